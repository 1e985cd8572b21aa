//! From the order to the result, spoken on the open call.
//!
//! What was ordered goes on whatever becomes of the call. A promotion that nobody tells of for half
//! a minute is *unknown*: it may still take place, and the caller hears just that.

use super::confirm::What;
use super::evidence::Candidate;
use super::login::Purpose;
use super::machine::{Menu, State, Turn};
use super::obstacle::{Obstacle, obstacles};
use super::voice::Speech;
use super::{Order, Output, Promotion, words};
use crate::timers::{Duration, Instant};

/// Without any news.
const UNKNOWN_AFTER: Duration = Duration::from_secs(30);
/// Between two reports of progress.
const REPORT_EVERY: Duration = Duration::from_secs(2);

/// A promotion that this call knows of.
#[derive(Debug)]
pub(super) enum Following {
    /// It is under way.
    Running {
        /// Ports that serve, of all, as far as is known.
        ports: Option<(u32, u32)>,
        /// What the caller heard of it.
        said: Option<(u32, u32)>,
        /// The next report is not earlier.
        report_at: Instant,
        /// Without news until then, nobody knows what becomes of it.
        unknown_at: Instant,
    },
    /// Nothing is: it was asked whether one would be refused.
    Drilling {
        /// Without an answer until then, there will be none.
        unknown_at: Instant,
    },
    /// It is over, and the caller has not heard of it: he has to key his PIN first.
    Over {
        /// What to say.
        outcome: Speech,
    },
}

impl Menu {
    pub(super) fn order(
        &mut self,
        now: Instant,
        agent: String,
        candidate: Candidate,
        forced: Option<String>,
    ) {
        let who = self.who(&agent);
        self.outputs.push_back(Output::Order(Order::Promote { candidate, forced, who }));
        self.promotion = Some(Following::Running {
            ports: None,
            said: None,
            report_at: now,
            unknown_at: now + UNKNOWN_AFTER,
        });
        self.ask(now, Speech::of(words::PROMOTION_BEGINS), State::Following { agent });
    }

    pub(super) fn drill(&mut self, now: Instant, agent: String, candidate: Candidate) {
        let who = self.who(&agent);
        self.outputs.push_back(Output::Order(Order::Drill { candidate, who }));
        self.promotion = Some(Following::Drilling { unknown_at: now + UNKNOWN_AFTER });
        (self.state, self.turn) = (State::Following { agent }, Turn::Waiting);
    }

    fn drill_over(&mut self, now: Instant, why: &[Obstacle]) {
        if !matches!(self.promotion, Some(Following::Drilling { .. })) {
            return; // A promotion has begun meanwhile, and is told of.
        }
        self.promotion = None;
        if let State::Following { agent } = &self.state {
            let agent = agent.clone();
            self.tell_drilled(now, why, agent);
        }
    }

    pub(super) fn tell_drilled(&mut self, now: Instant, why: &[Obstacle], agent: String) {
        let speech = Speech::of(words::DRILL_OVER);
        let speech = if why.is_empty() {
            speech.say(words::DRILL_POSSIBLE)
        } else {
            speech.say(words::DRILL_REFUSED).then(obstacles(why))
        };
        self.tell_briefly(now, speech, agent);
    }

    pub(super) fn news(&mut self, now: Instant, news: Promotion) {
        match news {
            Promotion::Refused { obstacles, may_force } => {
                self.turned_down(now, &obstacles, may_force);
            }
            Promotion::Progress { ports, of } => self.progress(now, ports, of),
            Promotion::Done { ports, of } => {
                let speech = Speech::of(words::PROMOTED).of_all(ports, of);
                self.finish(now, speech.say(words::PORTS_IN_SERVICE));
            }
            Promotion::Failed { obstacles: why } => {
                self.finish(now, Speech::of(words::PROMOTION_FAILED).then(obstacles(&why)));
            }
            Promotion::Drilled { obstacles: why } => self.drill_over(now, &why),
            Promotion::Unknown => self.finish(now, Speech::of(words::PROMOTION_UNKNOWN)),
        }
    }

    /// Not even tried.
    fn turned_down(&mut self, now: Instant, reasons: &[Obstacle], may_force: bool) {
        if !matches!(self.promotion, Some(Following::Running { .. })) {
            return; // Somebody else's.
        }
        let speech = Speech::of(words::PROMOTION_REFUSED).then(obstacles(reasons));
        match &self.state {
            State::Following { agent } if may_force => {
                let agent = agent.clone();
                self.promotion = None;
                self.offer_force(now, speech, agent);
            }
            _ => self.finish(now, speech),
        }
    }

    pub(super) fn offer_force(&mut self, now: Instant, speech: Speech, agent: String) {
        self.ask(now, speech.say(words::MAY_FORCE), State::Forcing { agent });
    }

    pub(super) fn force_key(&mut self, now: Instant, key: char) {
        let State::Forcing { agent } = &self.state else { return };
        let agent = agent.clone();
        match (key, self.evidence.candidate.clone()) {
            ('1', Some(candidate)) => {
                self.confirm(now, Speech::default(), agent, What::Force { candidate });
            }
            ('#', _) => {}
            ('*', _) => self.offer_force(now, Speech::default(), agent),
            _ => self.tell_briefly(now, Speech::of(words::NOT_FORCED), agent),
        }
    }

    fn progress(&mut self, now: Instant, ports: u32, of: u32) {
        let (said, report_at) = match &self.promotion {
            Some(Following::Running { said, report_at, .. }) => (*said, *report_at),
            Some(Following::Over { .. } | Following::Drilling { .. }) | None => (None, now),
        };
        let (ports, unknown_at) = (Some((ports, of)), now + UNKNOWN_AFTER);
        self.promotion = Some(Following::Running { ports, said, report_at, unknown_at });
        if let Some(agent) = self.idle_agent() {
            self.state = State::Following { agent };
            if matches!(self.turn, Turn::Listening { .. }) {
                self.turn = Turn::Waiting;
            }
        }
        self.follow(now);
    }

    /// An agent who was let in, and whom news do not interrupt in anything.
    fn idle_agent(&self) -> Option<String> {
        match &self.state {
            State::Following { agent } | State::Choosing { agent, .. } => Some(agent.clone()),
            State::Number { keypad, purpose: Purpose::Second { first, .. } }
                if keypad.is_empty() =>
            {
                Some(first.clone())
            }
            State::Idle
            | State::Alerted { .. }
            | State::Number { .. }
            | State::Pin { .. }
            | State::Checking(_)
            | State::Forcing { .. }
            | State::Confirming(_)
            | State::Leaving { .. }
            | State::Over => None,
        }
    }

    /// Reports progress when nothing else is being said.
    pub(super) fn follow(&mut self, now: Instant) {
        let State::Following { .. } = self.state else { return };
        let Some(Following::Running { ports, said, report_at, .. }) = &mut self.promotion else {
            return;
        };
        if self.turn != Turn::Waiting || ports == said || now < *report_at {
            return;
        }
        *said = *ports;
        *report_at = now + REPORT_EVERY;
        if let Some((ports, of)) = *ports {
            let speech = Speech::default().of_all(ports, of).say(words::PORTS_IN_SERVICE);
            self.speak(now, speech);
        }
    }

    fn finish(&mut self, now: Instant, outcome: Speech) {
        if let Some(agent) = self.idle_agent() {
            self.promotion = None;
            self.tell_briefly(now, outcome, agent);
        } else {
            self.promotion = Some(Following::Over { outcome });
        }
    }

    pub(super) fn promotion_timeout(&mut self, now: Instant) {
        match self.promotion {
            Some(Following::Running { unknown_at, .. }) if now >= unknown_at => {
                self.finish(now, Speech::of(words::PROMOTION_UNKNOWN));
            }
            Some(Following::Drilling { unknown_at }) if now >= unknown_at => {
                self.drill_over(now, &[Obstacle::Silent]);
            }
            _ => self.follow(now),
        }
    }

    pub(super) fn promotion_deadline(&self) -> Option<Instant> {
        let (ports, said, report_at, unknown_at) = match &self.promotion {
            Some(Following::Running { ports, said, report_at, unknown_at }) => {
                (ports, said, report_at, unknown_at)
            }
            Some(Following::Drilling { unknown_at }) => return Some(*unknown_at),
            Some(Following::Over { .. }) | None => return None,
        };
        let waits = matches!(self.state, State::Following { .. }) && self.turn == Turn::Waiting;
        Some(if waits && ports != said { *report_at } else { *unknown_at })
    }
}
