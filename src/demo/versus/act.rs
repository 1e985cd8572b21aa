//! One contender's act: calls, keys, a freeze, a rescue or none, and the woken instance.

#![expect(clippy::disallowed_methods, reason = "threads of the stage")]

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc;

use super::row::Row;
use super::{CALLS, MENUS};
use crate::codecs::Digit;
use crate::demo::screen::Screen;
use crate::driver::clock;
use crate::sim::app::Event;
use crate::sim::pbx::LineId;
use crate::stage::cast::{FIRST_EXTENSION, until};
use crate::stage::instance::{Habits, Instance, Line, Play, Said};
use crate::stage::node::pause;
use crate::stage::pbx::{Command, Keep, LineReport, LineState, PbxNet};
use crate::stage::sound;
use crate::timers::{Duration, Instant};

/// Keys before the freeze, during it, and after.
const BEFORE: &str = "12";
const DURING: &str = "34";
const AFTER: &str = "9";

/// The supervisor's limit: four beats.
const BEAT_MISSED: Duration = Duration::from_millis(200);
/// A call comes so long after the freeze.
const NEW_CALL_AFTER: Duration = Duration::from_millis(1_500);
/// And so long after it the callers' patience is over.
const WATCHED: Duration = Duration::from_secs(6);
/// Time for keys to come through.
const KEYS: Duration = Duration::from_millis(1_500);
/// Time for the woken instance's commands; they may wait for a prompt to end.
const LATE_COMMANDS: Duration = Duration::from_secs(6);
const POLL: Duration = Duration::from_millis(5);
/// A new call is served that heard half a second of something.
const SERVED_PACKETS: u64 = 25;

/// So many packets of a tone are the menu; speech carries a tone for a packet, at most.
const TONE_PACKETS: usize = 3;

/// Who helps when the first instance hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rescue {
    /// The gateway, with a second instance that is connected.
    Gateway,
    /// Nobody.
    Nobody,
    /// A supervisor, with a second instance that stands by.
    Supervisor,
}

/// A contender on stage.
pub(super) struct Act<'a> {
    pub(super) name: &'static str,
    pub(super) pbx: &'a PbxNet,
    pub(super) ari: SocketAddr,
    pub(super) api_key: &'a str,
    pub(super) rescue: Rescue,
}

/// The instances, and what they said.
struct Players {
    first: Instance,
    second: Option<Instance>,
    said: mpsc::Receiver<Said>,
    lines: Vec<Said>,
    /// The supervisor has let the second one go.
    let_go: bool,
}

impl Act<'_> {
    pub(super) fn play(&self, screen: &mut Screen) -> io::Result<Row> {
        let mut players = self.enter()?;
        let lines: Vec<_> = (1..=CALLS).map(LineId).collect();
        lines.iter().for_each(|&line| self.call(line));
        self.wait_for_sound(&lines)?;
        self.bring_second(&mut players)?;
        self.press(&lines, BEFORE);
        players.watch(clock::now() + KEYS, None)?;

        screen.say(&format!("{}: SIGSTOP to the instance with {CALLS} calls", self.name));
        let frozen_at = players.first.freeze()?;
        self.press(&lines, DURING);
        let limit = (self.rescue == Rescue::Supervisor).then_some(BEAT_MISSED);
        players.watch(frozen_at + NEW_CALL_AFTER, limit)?;
        let newcomer = LineId(CALLS + 1);
        self.call(newcomer);
        players.watch(frozen_at + WATCHED, limit)?;
        let report = self.pbx.report();
        let served = is_served(&report.lines[&newcomer]);
        self.press(&lines, AFTER);
        players.watch(clock::now() + KEYS, None)?;
        let taken = players.digits_of_second();

        screen.say(&format!("{}: SIGCONT, and its late commands", self.name));
        let woken_at = players.first.wake()?;
        players.watch(clock::now() + LATE_COMMANDS, None)?;
        let (refused, accepted) = players.late_commands(woken_at);
        let mut row = Row {
            name: self.name,
            calls: CALLS as usize,
            digits_sent: DURING.len() * CALLS as usize,
            digits_kept: taken.values().map(|keys| kept(keys)).sum(),
            positions_kept: taken.values().filter(|keys| keys.starts_with(BEFORE)).count(),
            refused,
            accepted,
            new_call_served: served,
            ..Row::default()
        };
        for line in lines {
            let (healthy, gap) = heard_after(&report.lines[&line], frozen_at)?;
            row.healthy.extend(healthy);
            row.gap = row.gap.max(gap);
            self.pbx.command(Command::HangUp { line });
        }
        self.pbx.command(Command::HangUp { line: newcomer });
        Ok(row)
    }

    fn enter(&self) -> io::Result<Players> {
        let (tell, said) = mpsc::channel();
        let habits = Habits { beats: self.rescue == Rescue::Supervisor, ..Habits::default() };
        let first = Instance::start(0, &self.instance(0, habits), tell)?;
        let mut players = Players { first, second: None, said, lines: Vec::new(), let_go: false };
        players.wait_for(&Line::Connected)?;
        Ok(players)
    }

    fn bring_second(&self, players: &mut Players) -> io::Result<()> {
        let stands_by = match self.rescue {
            Rescue::Nobody => return Ok(()),
            Rescue::Gateway => false,
            Rescue::Supervisor => true,
        };
        let (tell, said) = mpsc::channel();
        let first = std::mem::replace(&mut players.said, said);
        let both = tell.clone();
        std::thread::Builder::new()
            .name("first-instance".to_owned())
            .spawn(move || first.iter().all(|said| both.send(said).is_ok()))?;
        let play = self.instance(1, Habits { stands_by, ..Habits::default() });
        players.second = Some(Instance::start(1, &play, tell)?);
        players.wait_for(if stands_by { &Line::StandsBy } else { &Line::Connected })
    }

    fn instance(&self, index: usize, habits: Habits) -> Play {
        Play {
            ari: self.ari,
            application: "main".to_owned(),
            api_key: self.api_key.to_owned(),
            acknowledges: true,
            livelocked: false,
            habits: Habits { menu: Some(MENUS[index].0.to_owned()), over_http: true, ..habits },
        }
    }

    fn call(&self, line: LineId) {
        let extension = (FIRST_EXTENSION + line.0 - 1).to_string();
        self.pbx.command(Command::Call {
            line,
            extension,
            keep: Keep::Sound,
            delayed_offer: false,
        });
    }

    fn press(&self, lines: &[LineId], keys: &str) {
        for &line in lines {
            let digits = keys.chars().filter_map(Digit::from_char).collect();
            self.pbx.command(Command::Press { line, digits });
        }
    }

    fn wait_for_sound(&self, lines: &[LineId]) -> io::Result<()> {
        until("every caller hears the menu", || {
            let report = self.pbx.report();
            Ok(lines.iter().all(|line| is_served(&report.lines[line])))
        })
    }
}

impl Players {
    /// Time passes, and the supervisor, if there is one, watches the first instance's beat.
    fn watch(&mut self, until: Instant, limit: Option<Duration>) -> io::Result<()> {
        while clock::now() < until {
            self.lines.extend(self.said.try_iter());
            let beat = |said: &&Said| said.line == Line::Beat;
            let last = self.lines.iter().rev().find(beat).map(|said| said.at);
            if let (Some(limit), Some(last), false) = (limit, last, self.let_go)
                && clock::now().saturating_duration_since(last) > limit
            {
                self.let_go = true;
                self.second.as_mut().map_or(Ok(()), Instance::let_go)?;
            }
            pause(POLL);
        }
        Ok(())
    }

    fn wait_for(&mut self, wanted: &Line) -> io::Result<()> {
        let began = self.lines.len();
        until("an instance is there", || {
            self.lines.extend(self.said.try_iter());
            Ok(self.lines[began..].iter().any(|said| said.line == *wanted))
        })
    }

    /// Keys of each call as the second instance knows them.
    fn digits_of_second(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        for said in self.lines.iter().filter(|said| said.instance == 1) {
            if let Line::Said(Event::Acknowledged { call, digits }) = &said.line {
                found.insert(call.clone(), digits.clone());
            }
        }
        found
    }

    /// The woken instance's commands that were refused, and those that were accepted.
    fn late_commands(&self, woken_at: Instant) -> (usize, usize) {
        let late = |said: &&Said| said.instance == 0 && said.at >= woken_at;
        let count = |is: fn(&Line) -> bool| {
            self.lines.iter().filter(late).filter(|said| is(&said.line)).count()
        };
        let refused = count(|line| matches!(line, Line::Said(Event::Refused { .. })));
        (refused, count(|line| matches!(line, Line::Said(Event::Acknowledged { .. }))))
    }
}

/// Which of the keys pressed during the freeze a call's owner knows.
fn kept(keys: &str) -> usize {
    DURING.chars().filter(|&key| keys.contains(key)).count()
}

fn is_served(line: &LineReport) -> bool {
    line.state == LineState::Up && line.heard.packets >= SERVED_PACKETS
}

/// When, after the freeze, a caller first heard the second instance's menu, and the longest time
/// without a packet.
fn heard_after(line: &LineReport, frozen_at: Instant) -> io::Result<(Option<Duration>, Duration)> {
    let (codec, bytes) = line.sound.as_ref().ok_or(io::ErrorKind::InvalidData)?;
    let begins = std::iter::once(0).chain(line.ends.iter().copied());
    let packets = begins.zip(&line.ends).map(|(begin, &end)| &bytes[begin..end]);
    let mut healthy = None;
    let mut tone_since = None;
    let mut tones = 0;
    let mut last = frozen_at;
    let mut gap = Duration::ZERO;
    for (packet, &at) in packets.zip(&line.arrivals).filter(|(_, at)| **at >= frozen_at) {
        gap = gap.max(at.saturating_duration_since(last));
        last = at;
        if sound::carries(*codec, packet, MENUS[1].1) {
            tones += 1;
            let since = *tone_since.get_or_insert(at);
            if tones >= TONE_PACKETS && healthy.is_none() {
                healthy = Some(since.saturating_duration_since(frozen_at));
            }
        } else {
            (tones, tone_since) = (0, None);
        }
    }
    let end = (frozen_at + WATCHED).saturating_duration_since(last);
    Ok((healthy, gap.max(end)))
}
