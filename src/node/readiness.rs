//! Whether a backup could take over: what it proves all the time, port by port, and what it lacks.
//!
//! A port is proven when the PBX took its password and nothing else that its calls need is missing:
//! prompts equal to the primary's, its codecs, a UDP port, room on the disk. One port is asked
//! every ten seconds, in turn, and the first answer that says that the PBX does not want to be
//! asked ends that for good: a rehearsal must not harm the PBX that it is there for. Prompts and
//! codecs come with the primary's heartbeat; what was last heard holds when it is gone.
//!
//! A port that is not proven keeps no node from being promoted by itself. A person is told what is
//! missing first; what only a comparison says does not stand against taking a dead primary over.

use std::collections::BTreeMap;

use crate::ha::peer::{Sound, Unproven};
use crate::ha::role::Lack;
use crate::ids::PortId;
use crate::sip::Queried;
use crate::timers::{Duration, Instant};

/// One port is asked in this time.
pub const ASK_EVERY: Duration = Duration::from_secs(10);
/// The first one so long after the start: the PBX may just be starting too.
const FIRST: Duration = Duration::from_secs(5);
/// Facts and recordings of a busy day need less.
const DISK_FREE_MIN: u64 = 1 << 30;

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
    /// Prompts and codecs of this node.
    pub sound: Sound,
    /// Prompts that the configuration names are not there.
    misses_prompts: bool,
    /// Those of the primary, as last heard.
    primary: Option<Sound>,
    /// It is heard.
    primary_answers: bool,
    disk_full: bool,
    /// What stands as alarms.
    pub alarmed: Vec<Lack>,
}

/// What is missing for all ports of a backup.
#[derive(Clone, Copy, Debug)]
struct Lacks {
    prompts: bool,
    codecs: bool,
    disk: bool,
}

impl Readiness {
    /// Of these ports; `asks`: the configuration wants it. `misses_prompts`: some that the
    /// configuration names are not there.
    pub fn new(
        now: Instant,
        ports: impl Iterator<Item = PortId>,
        asks: bool,
        sound: Sound,
        misses_prompts: bool,
    ) -> Self {
        let ports: BTreeMap<_, _> = ports.map(|port| (port, None)).collect();
        let ask_at = (asks && !ports.is_empty()).then_some(now + FIRST);
        Self {
            ports,
            ask_at,
            next: 0,
            ended: None,
            sound,
            misses_prompts,
            primary: None,
            primary_answers: false,
            disk_full: false,
            alarmed: Vec::new(),
        }
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

    /// The primary's prompts and codecs, from its heartbeat; `None`: none is heard. Whether that is
    /// news.
    pub fn primary(&mut self, sound: Option<Sound>) -> bool {
        let before = (self.primary, self.primary_answers);
        self.primary = sound.or(self.primary);
        self.primary_answers = sound.is_some();
        before != (self.primary, self.primary_answers)
    }

    /// Bytes that are free where facts are stored. Whether that changes anything.
    pub fn disk(&mut self, free: u64) -> bool {
        let full = free < DISK_FREE_MIN;
        std::mem::replace(&mut self.disk_full, full) != full
    }

    fn lacks(&self) -> Lacks {
        let primary = self.primary.unwrap_or(self.sound);
        Lacks {
            prompts: self.misses_prompts || primary.prompts != self.sound.prompts,
            codecs: primary.codecs & !self.sound.codecs != 0,
            disk: self.disk_full,
        }
    }

    /// How many ports are proven, and why the others are not. `udp_ports`: how many are free.
    pub fn counts(&self, udp_ports: usize) -> (u32, Unproven) {
        let (mut proven, mut unproven) = (0_u32, Unproven::default());
        let lacks = self.lacks();
        let mut udp_ports = udp_ports;
        for queried in self.ports.values() {
            let has_udp_port = udp_ports > 0;
            udp_ports = udp_ports.saturating_sub(1);
            let count = match queried {
                Some(Queried::Refused { .. }) => &mut unproven.refused,
                Some(Queried::Silent) => &mut unproven.unreachable,
                Some(Queried::Proven) | None if lacks.prompts => &mut unproven.prompts,
                Some(Queried::Proven) | None if lacks.codecs => &mut unproven.codecs,
                Some(Queried::Proven) | None if lacks.disk => &mut unproven.disk,
                Some(Queried::Proven) | None if !has_udp_port => &mut unproven.udp_ports,
                Some(Queried::Proven) => &mut proven,
                None => &mut unproven.untried,
            };
            *count += 1;
        }
        (proven, unproven)
    }

    /// What a person has to see to before this node is made primary. `udp_ports`: how many are
    /// free.
    pub fn against(&self, udp_ports: usize) -> Vec<Lack> {
        let (_, unproven) = self.counts(udp_ports);
        let lacks = self.lacks();
        let (refused, asks) = (unproven.refused, self.note().is_none());
        [
            (refused > 0 && asks, Lack::Passwords { ports: refused }),
            (udp_ports < self.ports.len(), Lack::UdpPorts),
            (lacks.disk, Lack::Disk),
            (lacks.prompts && self.primary_answers, Lack::Prompts),
            (lacks.codecs && self.primary_answers, Lack::Codecs),
        ]
        .into_iter()
        .filter_map(|(lacks, lack)| lacks.then_some(lack))
        .collect()
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

    const SOUND: Sound = Sound { prompts: 7, codecs: 0b1 };

    fn of_three(asks: bool) -> Readiness {
        Readiness::new(Instant::ZERO, (0..3).map(PortId), asks, SOUND, false)
    }

    fn proven() -> Readiness {
        let mut readiness = of_three(true);
        (0..3).for_each(|port| readiness.answered(PortId(port), Queried::Proven));
        readiness
    }

    #[test]
    fn one_port_is_asked_in_ten_seconds_and_all_of_them_in_turn() {
        let mut readiness = of_three(true);
        assert_eq!(asked(&mut readiness, 40), [0, 1, 2, 0].map(PortId));
        readiness.answered(PortId(0), Queried::Proven);
        readiness.answered(PortId(1), Queried::Refused { status: 401 });
        let unproven = Unproven { refused: 1, untried: 1, ..Unproven::default() };
        assert_eq!(readiness.counts(3), (1, unproven));
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
        assert_eq!(readiness.counts(3).1, Unproven { untried: 3, ..Unproven::default() });
        assert!(readiness.note().expect("said").contains("off"));
    }

    #[test]
    fn prompts_that_differ_from_the_primarys_prove_no_port_also_when_it_is_gone() {
        let mut readiness = proven();
        assert_eq!(readiness.counts(3), (3, Unproven::default()));
        assert!(readiness.primary(Some(Sound { prompts: 8, ..SOUND })));
        assert_eq!(readiness.counts(3), (0, Unproven { prompts: 3, ..Unproven::default() }));
        assert_eq!(readiness.against(3), [Lack::Prompts]);
        assert!(readiness.primary(None));
        assert_eq!(readiness.counts(3).0, 0);
        assert!(readiness.against(3).is_empty(), "it is the only one that is left");
        assert!(readiness.primary(Some(SOUND)));
        assert!(!readiness.primary(Some(SOUND)), "is no news");
        assert_eq!(readiness.counts(3).0, 3);
    }

    #[test]
    fn prompts_that_the_configuration_names_have_to_be_there() {
        let mut readiness = Readiness::new(Instant::ZERO, [PORT].into_iter(), true, SOUND, true);
        readiness.answered(PORT, Queried::Proven);
        assert_eq!(readiness.counts(1), (0, Unproven { prompts: 1, ..Unproven::default() }));
    }

    #[test]
    fn a_codec_of_the_primary_that_is_not_spoken_here_proves_no_port() {
        let mut readiness = proven();
        readiness.primary(Some(Sound { codecs: 0b1_0000_0001, ..SOUND }));
        assert_eq!(readiness.counts(3), (0, Unproven { codecs: 3, ..Unproven::default() }));
        readiness.sound.codecs = 0b11_0000_0001;
        assert_eq!(readiness.counts(3).0, 3, "more do no harm");
    }

    #[test]
    fn ports_without_a_udp_port_and_a_full_disk_are_told() {
        let mut readiness = proven();
        assert_eq!(readiness.counts(1), (1, Unproven { udp_ports: 2, ..Unproven::default() }));
        assert_eq!(readiness.against(1), [Lack::UdpPorts]);
        assert!(!readiness.disk(DISK_FREE_MIN) && readiness.disk(DISK_FREE_MIN - 1));
        assert_eq!(readiness.counts(3), (0, Unproven { disk: 3, ..Unproven::default() }));
        assert_eq!(readiness.against(3), [Lack::Disk]);
    }

    const PORT: PortId = PortId(0);
}
