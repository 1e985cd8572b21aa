//! Which address the far end may send from (SECURITY R-01).
//!
//! Whoever can send to a port could otherwise speak to the application, key digits, or pull the
//! outgoing audio to himself ("RTP bleed"). `Strict` knows one source, the SDP's. `Symmetric`
//! exists for far ends behind a NAT: for 3 s it may learn another source, from 5 packets of one
//! SSRC, unless the SDP's own speaks, which always wins; then it is locked until the SDP changes.
//! Nothing that comes from a source being learned is heard.

use std::net::SocketAddr;

use super::SourcePolicy;
use crate::timers::{Duration, Instant};

/// How long a source may be learned.
const LEARN_FOR: Duration = Duration::from_secs(3);

/// Packets that it takes.
const LEARN_PACKETS: u8 = 5;

/// The source of one session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    /// Where the SDP says that it is.
    sdp: SocketAddr,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Learning { until: Instant, candidate: Option<Candidate> },
    Locked { address: SocketAddr },
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    address: SocketAddr,
    ssrc: u32,
    packets: u8,
}

/// What to do with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Accept,
    Refuse,
}

impl Source {
    pub(super) fn new(now: Instant, sdp: SocketAddr, policy: SourcePolicy) -> Self {
        let state = match policy {
            SourcePolicy::Strict => State::Locked { address: sdp },
            SourcePolicy::Symmetric => State::Learning { until: now + LEARN_FOR, candidate: None },
        };
        Self { sdp, state }
    }

    /// The SDP's address.
    pub(super) fn sdp(&self) -> SocketAddr {
        self.sdp
    }

    /// Where our packets go.
    pub(super) fn target(&self) -> SocketAddr {
        self.locked().unwrap_or(self.sdp)
    }

    /// The one source, once there is only one.
    pub(super) fn locked(&self) -> Option<SocketAddr> {
        match self.state {
            State::Learning { .. } => None,
            State::Locked { address } => Some(address),
        }
    }

    /// When learning ends.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Learning { until, .. } => Some(until),
            State::Locked { .. } => None,
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let State::Learning { until, .. } = self.state
            && now >= until
        {
            self.state = State::Locked { address: self.sdp };
        }
    }

    /// Judges a packet; may lock.
    pub(super) fn judge(&mut self, now: Instant, from: SocketAddr, ssrc: u32) -> Verdict {
        self.handle_timeout(now);
        match &mut self.state {
            State::Locked { address } if same(*address, from) => Verdict::Accept,
            State::Locked { .. } => Verdict::Refuse,
            State::Learning { .. } if same(self.sdp, from) => {
                self.state = State::Locked { address: self.sdp };
                Verdict::Accept
            }
            State::Learning { candidate, .. } => {
                let packets = learn(candidate, from, ssrc);
                if packets < LEARN_PACKETS {
                    return Verdict::Refuse;
                }
                self.state = State::Locked { address: from };
                Verdict::Accept
            }
        }
    }

    /// Whether an RTCP packet may be believed: it comes from the address beside the stream's.
    pub(super) fn is_rtcp_source(&self, from: SocketAddr) -> bool {
        self.locked().is_some_and(|rtp| same(rtp, from) || Some(from) == rtcp_of(rtp))
    }
}

/// Counts a packet of the candidate; another candidate starts over.
fn learn(candidate: &mut Option<Candidate>, address: SocketAddr, ssrc: u32) -> u8 {
    let packets = match candidate {
        Some(known) if known.address == address && known.ssrc == ssrc => known.packets + 1,
        _ => 1,
    };
    *candidate = Some(Candidate { address, ssrc, packets });
    packets
}

/// Equal address and port. The scope of an IPv6 address is the receiver's own affair.
fn same(a: SocketAddr, b: SocketAddr) -> bool {
    a.ip() == b.ip() && a.port() == b.port()
}

/// The RTCP address that belongs to an RTP address (RFC 3550 section 11).
pub(super) fn rtcp_of(rtp: SocketAddr) -> Option<SocketAddr> {
    Some(SocketAddr::new(rtp.ip(), rtp.port().checked_add(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn judge_many(source: &mut Source, ms: u64, from: SocketAddr, packets: usize) -> usize {
        (0..packets).filter(|_| source.judge(at(ms), from, 9) == Verdict::Accept).count()
    }

    #[test]
    fn r_01_strict_accepts_the_source_of_the_sdp_and_no_other() {
        let mut source = Source::new(at(0), address(4_000), SourcePolicy::Strict);
        assert_eq!(judge_many(&mut source, 1, address(4_002), 100), 0);
        assert_eq!(judge_many(&mut source, 1, SocketAddr::from(([192, 0, 2, 2], 4_000)), 9), 0);
        assert_eq!(judge_many(&mut source, 1, address(4_000), 3), 3);
        assert_eq!(source.target(), address(4_000));
    }

    #[test]
    fn sip_m2_a_silent_sdp_source_lets_another_be_learned_from_five_packets() {
        let mut source = Source::new(at(0), address(4_000), SourcePolicy::Symmetric);
        assert_eq!(judge_many(&mut source, 10, address(5_000), 4), 0);
        assert_eq!(source.target(), address(4_000), "nothing goes to a source being learned");
        assert_eq!(judge_many(&mut source, 20, address(5_000), 1), 1);
        assert_eq!(source.target(), address(5_000));
        assert_eq!(judge_many(&mut source, 30, address(4_000), 9), 0, "locked");
    }

    #[test]
    fn r_01_the_source_of_the_sdp_wins_over_one_being_learned() {
        let mut source = Source::new(at(0), address(4_000), SourcePolicy::Symmetric);
        assert_eq!(judge_many(&mut source, 10, address(5_000), 4), 0);
        assert_eq!(judge_many(&mut source, 11, address(4_000), 1), 1);
        assert_eq!(judge_many(&mut source, 12, address(5_000), 9), 0);
    }

    #[test]
    fn r_01_learning_ends_after_three_seconds() {
        let mut source = Source::new(at(0), address(4_000), SourcePolicy::Symmetric);
        assert_eq!(source.poll_timeout(), Some(at(3_000)));
        assert_eq!(judge_many(&mut source, 3_000, address(5_000), 9), 0);
        assert_eq!(source.locked(), Some(address(4_000)));
    }

    #[test]
    fn r_01_five_packets_of_changing_ssrcs_teach_nothing() {
        let mut source = Source::new(at(0), address(4_000), SourcePolicy::Symmetric);
        for ssrc in 0..50 {
            assert_eq!(source.judge(at(1), address(5_000), ssrc), Verdict::Refuse);
        }
    }

    #[test]
    fn rtcp_comes_from_the_next_port_or_from_the_same() {
        let source = Source::new(at(0), address(4_000), SourcePolicy::Strict);
        assert!(source.is_rtcp_source(address(4_001)));
        assert!(source.is_rtcp_source(address(4_000)));
        assert!(!source.is_rtcp_source(address(4_003)));
        assert_eq!(rtcp_of(address(u16::MAX)), None);
    }
}
