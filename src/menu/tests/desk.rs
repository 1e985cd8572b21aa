//! A caller, the cluster and the PIN checker around one menu.

use rand_core::SeedableRng;

use crate::codecs::Digit;
use crate::ids::{NodeId, Rng};
use crate::menu::voice::Speech;
use crate::menu::{
    Caller, Candidate, Clock, Config, DataAge, Entry, Evidence, Heard, Input, Menu, Order, Output,
    Primary, Promotion, Since, Unproven, Verdict, Why,
};
use crate::store::{Action, Audit, Who};
use crate::timers::{Duration, Instant};

/// The one good PIN, of every agent.
pub(super) const PIN: &str = "190472";

pub(super) struct Desk {
    pub(super) menu: Menu,
    pub(super) now: Instant,
    /// What was ordered.
    pub(super) orders: Vec<Order>,
    /// What was written down.
    pub(super) audits: Vec<Audit>,
    /// Numbers and PINs that were to be compared, and the name of the last.
    pub(super) checks: Vec<(String, String)>,
    pub(super) check: u32,
    /// Texts of what was said, latest last.
    pub(super) said: Vec<String>,
    /// The speech that plays, or played last.
    pub(super) speech: u32,
    pub(super) hung_up: bool,
    pub(super) call_back: Option<(String, String)>,
}

pub(super) fn caller() -> Caller {
    Caller { extension: "200".to_owned().into(), trunk: false, placed: false }
}

pub(super) fn since() -> Since {
    Since { clock: Clock { hour: 14, minute: 2 }, ago: Duration::from_secs(300) }
}

/// A dead primary, a backup that can be promoted.
pub(super) fn evidence() -> Evidence {
    Evidence {
        primary: Primary::Silent { name: "east".to_owned(), since: since() },
        candidate: Some(Candidate { node: NodeId(1), name: "west".to_owned() }),
        live_calls: 31,
        ports_proven: 94,
        ports: 96,
        unproven: vec![(2, Unproven::Refused)],
        data: DataAge::Old(Duration::from_secs(3)),
        ..Evidence::default()
    }
}

impl Desk {
    /// A menu whose call has not begun.
    pub(super) fn quiet(config: Config, seed: u64) -> Self {
        Self {
            menu: Menu::new(config, Rng::seed_from_u64(seed)),
            now: Instant::from_nanos(1_000_000_000),
            orders: Vec::new(),
            audits: Vec::new(),
            checks: Vec::new(),
            check: 0,
            said: Vec::new(),
            speech: 0,
            hung_up: false,
            call_back: None,
        }
    }

    /// A call that has just begun.
    pub(super) fn called(config: Config) -> Self {
        let mut desk = Self::quiet(config, 7);
        desk.input(Input::Evidence(evidence()));
        desk.input(Input::Began { entry: Entry::Called, caller: caller() });
        desk
    }

    /// A call of agent 4711, who is let in.
    pub(super) fn let_in(config: Config) -> Self {
        let mut desk = Self::called(config);
        desk.log_in("4711");
        desk
    }

    pub(super) fn input(&mut self, input: Input) {
        self.menu.handle_input(self.now, input);
        self.collect();
    }

    fn collect(&mut self) {
        while let Some(output) = self.menu.poll_output() {
            match output {
                Output::Say { speech, prompts } => {
                    self.speech = speech;
                    self.said.push(text(&prompts));
                }
                Output::CheckPin { check, number, pin } => {
                    self.check = check;
                    self.checks.push((number.reveal().clone(), pin.reveal().clone()));
                }
                Output::Order(order) => self.orders.push(order),
                Output::Audit(audit) => self.audits.push(audit),
                Output::HangUp => self.hung_up = true,
                Output::CallBack { extension, number } => {
                    self.call_back = Some((extension, number));
                }
            }
        }
    }

    /// Lets time pass, deadline by deadline. Nothing that is said ends.
    pub(super) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.menu.poll_timeout().filter(|&next| next <= end) {
            self.now = self.now.max(next);
            self.menu.handle_timeout(self.now);
            self.collect();
            assert!(
                self.menu.poll_timeout() > Some(self.now) || self.menu.poll_timeout().is_none()
            );
        }
        self.now = end;
    }

    pub(super) fn wait_ms(&mut self, ms: u64) {
        self.wait(Duration::from_millis(ms));
    }

    /// What plays has been heard to its end.
    pub(super) fn listen(&mut self) {
        self.input(Input::Said { speech: self.speech });
    }

    pub(super) fn key(&mut self, key: char, heard: Heard) {
        let key = Digit::from_char(key).expect("a key");
        self.input(Input::Digit { key: key.into(), heard });
    }

    pub(super) fn keys(&mut self, keys: &str) {
        for key in keys.chars() {
            self.key(key, Heard::Event);
            self.wait_ms(200);
        }
    }

    /// Keys number and PIN, and answers as a cluster does in which every agent has the same PIN.
    pub(super) fn log_in(&mut self, number: &str) {
        self.keys(number);
        self.keys("#");
        self.pin(PIN);
    }

    pub(super) fn pin(&mut self, pin: &str) {
        self.keys(pin);
        self.keys("#");
        let why = Why::WrongPin;
        let verdict = if pin == PIN { Verdict::Right } else { Verdict::Refused(why) };
        self.verdict(verdict);
        self.wait_ms(1_500);
    }

    pub(super) fn verdict(&mut self, verdict: Verdict) {
        self.input(Input::Checked { check: self.check, verdict });
    }

    pub(super) fn promotion(&mut self, news: Promotion) {
        self.input(Input::Promotion(news));
    }

    /// The last thing said.
    pub(super) fn last(&self) -> &str {
        self.said.last().map_or("", String::as_str)
    }

    pub(super) fn hears(&self, words: &str) {
        assert!(self.last().contains(words), "no {words:?} in {:?}", self.said);
    }

    /// The three digits that were just spoken.
    pub(super) fn spoken_digits(&self) -> String {
        let words: Vec<_> = self.last().split(' ').collect();
        words[words.len() - 3..].concat()
    }

    /// Keys the three digits that were just spoken.
    pub(super) fn confirm(&mut self) {
        let digits = self.spoken_digits();
        self.keys(&digits);
    }

    /// Results of the actions that were written down, in order.
    pub(super) fn results(&self) -> Vec<(Action, Result<(), String>)> {
        self.audits.iter().map(|audit| (audit.action.clone(), audit.result.clone())).collect()
    }

    pub(super) fn promotions(&self) -> usize {
        self.orders.iter().filter(|order| matches!(order, Order::Promote { .. })).count()
    }
}

pub(super) fn who(number: &str) -> Who {
    Who::Agent { number: number.to_owned(), extension: "200".to_owned().into() }
}

/// What a listener hears.
fn text(speech: &Speech) -> String {
    let texts = include_str!("../../../fixtures/prompts/portkeeper.txt");
    let ours = |name: &str| {
        let mut lines = texts.lines().filter_map(|line| line.split_once('|'));
        lines.find(|(of, _)| *of == name).map(|(_, text)| text)
    };
    let word = |prompt: &&'static str| match prompt.split_once('/') {
        Some(("portkeeper", name)) => ours(name).expect("a text").to_owned(),
        Some((_, name)) => name.to_owned(),
        None => (*prompt).to_owned(),
    };
    speech.prompts().iter().map(word).collect::<Vec<_>>().join(" ")
}
