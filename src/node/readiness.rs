//! Whether a backup could take over: what it proves all the time, port by port, and what it lacks.
//!
//! A port is proven when the PBX took its password. One port is asked every ten seconds, in turn,
//! and the first answer that says that the PBX does not want to be asked ends that for
//! good: a rehearsal must not harm the PBX that it is there for. A port that is not proven keeps no
//! node from being promoted; a PBX that does not answer and a lack of UDP ports do.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::ids::PortId;
use crate::sip::Queried;
use crate::timers::{Duration, Instant};

/// One port is asked in this time.
pub const ASK_EVERY: Duration = Duration::from_secs(10);
/// The first one so long after the start: the PBX may just be starting too.
const FIRST: Duration = Duration::from_secs(5);

/// Why a port is not proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unproven {
    /// The PBX refuses its password or account.
    Refused,
    /// The PBX does not answer.
    Unreachable,
    /// Its turn has not come, or nobody may ask.
    Untried,
}

/// The rehearsal of one node.
#[derive(Debug)]
pub struct Readiness {
    /// Ports of the pool; the last answer of each that was asked.
    ports: BTreeMap<PortId, Option<Queried>>,
    /// `None`: nobody is asked (any more).
    ask_at: Option<Instant>,
    next: usize,
    /// The status with which the PBX said that it does not want to be asked.
    ended: Option<u16>,
}

impl Readiness {
    /// Of these ports; `asks`: the configuration wants it.
    pub fn new(now: Instant, ports: impl Iterator<Item = PortId>, asks: bool) -> Self {
        let ports: BTreeMap<_, _> = ports.map(|port| (port, None)).collect();
        let ask_at = (asks && !ports.is_empty()).then_some(now + FIRST);
        Self { ports, ask_at, next: 0, ended: None }
    }

    /// The port to ask now.
    pub fn due(&mut self, now: Instant) -> Option<PortId> {
        self.ask_at.filter(|at| *at <= now)?;
        self.ask_at = Some(now + ASK_EVERY);
        let port = self.ports.keys().nth(self.next % self.ports.len().max(1)).copied();
        self.next = (self.next + 1) % self.ports.len().max(1);
        port
    }

    /// When somebody is to be asked.
    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.ask_at
    }

    /// What the PBX said of a port.
    pub fn answered(&mut self, port: PortId, queried: Queried) {
        if let Queried::Refused { status } = queried
            && matches!(status, 403 | 405 | 500..)
        {
            (self.ask_at, self.ended) = (None, Some(status));
        }
        if let Some(slot) = self.ports.get_mut(&port) {
            *slot = Some(queried);
        }
    }

    /// How many ports are proven.
    pub fn proven(&self) -> u32 {
        let proven = |queried: &&Option<Queried>| **queried == Some(Queried::Proven);
        u32::try_from(self.ports.values().filter(proven).count()).unwrap_or(u32::MAX)
    }

    /// How many are not, by reason; no zeros.
    pub fn unproven(&self) -> Vec<(u32, Unproven)> {
        let mut counts = BTreeMap::<Unproven, u32>::new();
        for queried in self.ports.values() {
            let why = match queried {
                Some(Queried::Proven) => continue,
                Some(Queried::Refused { .. }) => Unproven::Refused,
                Some(Queried::Silent) => Unproven::Unreachable,
                None => Unproven::Untried,
            };
            *counts.entry(why).or_default() += 1;
        }
        counts.into_iter().map(|(why, count)| (count, why)).collect()
    }

    /// Why passwords are not proven, in a sentence; `None`: they are being asked for, in turn.
    pub fn note(&self) -> Option<String> {
        match (self.ended, self.ask_at) {
            (Some(status), _) => Some(format!(
                "passwords not proven: the PBX answered {status} to a REGISTER without Contact, \
                 and is not asked again until this node starts anew"
            )),
            (None, None) if !self.ports.is_empty() => {
                Some("passwords not proven: cluster.rehearsal is \"off\"".to_owned())
            }
            (None, _) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn asked(readiness: &mut Readiness, seconds: u64) -> Vec<PortId> {
        (0..=seconds).filter_map(|at| readiness.due(secs(at))).collect()
    }

    fn of_three(asks: bool) -> Readiness {
        Readiness::new(Instant::ZERO, (0..3).map(PortId), asks)
    }

    #[test]
    fn one_port_is_asked_in_ten_seconds_and_all_of_them_in_turn() {
        let mut readiness = of_three(true);
        assert_eq!(asked(&mut readiness, 40), [0, 1, 2, 0].map(PortId));
        readiness.answered(PortId(0), Queried::Proven);
        readiness.answered(PortId(1), Queried::Refused { status: 401 });
        assert_eq!(readiness.proven(), 1);
        assert_eq!(readiness.unproven(), [(1, Unproven::Refused), (1, Unproven::Untried)]);
        assert_eq!(readiness.note(), None);
    }

    #[test]
    fn the_first_refusal_of_the_question_itself_ends_it() {
        for status in [403, 405, 500, 503] {
            let mut readiness = of_three(true);
            readiness.answered(PortId(0), Queried::Refused { status });
            assert_eq!(asked(&mut readiness, 100), []);
            assert!(readiness.note().expect("said").contains(&status.to_string()));
        }
    }

    #[test]
    fn off_asks_nobody_and_says_that_passwords_are_not_proven() {
        let mut readiness = of_three(false);
        assert_eq!(asked(&mut readiness, 100), []);
        assert_eq!(readiness.unproven(), [(3, Unproven::Untried)]);
        assert!(readiness.note().expect("said").contains("off"));
    }
}
