//! Why a promotion is refused or has failed, in words of the menu.

use super::voice::Speech;
use super::words::{self, Prompt};

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The primary answers.
    PrimaryAnswers,
    /// No majority granted the lease.
    NoMajority,
    /// The lease was lost on the way.
    LeaseLost,
    /// A server that is not heard, or was faster, has the lease.
    LeaseElsewhere,
    /// A higher epoch is known.
    TakenOver,
    /// Somebody ordered the role to be given up.
    GivenUp,
    /// Nothing proves that the other server of a pair is halted.
    NotReleased,
    /// The sentinel answers through the PBX.
    SentinelAnswers,
    /// It was not called yet.
    SentinelUntried,
    /// It has not been silent for long enough.
    SentinelShort,
    /// It never answered before, so its silence proves nothing.
    SentinelUnproven,
    /// The other server of a pair serves a PBX of its own.
    OwnPbx,
    /// The candidate lacks facts that were acknowledged.
    Behind,
    /// The candidate does not reach the PBX.
    PbxUnreachable,
    /// The PBX refuses passwords of the candidate's ports.
    Passwords,
    /// The candidate has fewer UDP ports than voice ports.
    UdpPorts,
    /// The candidate's disk is nearly full.
    DiskFull,
    /// The candidate's disk cannot be written.
    DiskFails,
    /// The candidate's prompts differ from the primary's.
    Prompts,
    /// The candidate lacks a codec of the primary.
    Codecs,
    /// Nobody can be promoted.
    NotReady,
    /// The candidate is a witness.
    Witness,
    /// A promotion is under way.
    UnderWay,
    /// A server that has to take part is not heard.
    NoLink,
    /// The candidate does not answer the primary.
    Silent,
    /// The latest facts did not get to the candidate in time.
    NotCopied,
    /// The candidate did not take the role.
    NotTaken,
    /// Another server is primary than the one that was asked.
    Changed,
    /// Too many orders wait.
    Busy,
    /// The record of the order is on one server alone.
    Unrecorded,
    /// Something that a promotion by phone does not meet.
    Other,
}

impl Obstacle {
    const fn word(self) -> Prompt {
        match self {
            Self::PrimaryAnswers => words::PRIMARY_ANSWERS,
            Self::NoMajority => words::NO_MAJORITY,
            Self::LeaseLost => words::LEASE_LOST,
            Self::LeaseElsewhere => words::LEASE_ELSEWHERE,
            Self::TakenOver => words::TAKEN_OVER,
            Self::GivenUp => words::GIVEN_UP,
            Self::NotReleased => words::NOT_RELEASED,
            Self::SentinelAnswers => words::SENTINEL_ANSWERS,
            Self::SentinelUntried => words::SENTINEL_UNTRIED,
            Self::SentinelShort => words::SENTINEL_SHORT,
            Self::SentinelUnproven => words::SENTINEL_UNPROVEN,
            Self::OwnPbx => words::OWN_PBX,
            Self::Behind => words::BEHIND,
            Self::PbxUnreachable => words::PBX_UNREACHABLE,
            Self::Passwords => words::PASSWORDS,
            Self::UdpPorts => words::UDP_PORTS,
            Self::DiskFull => words::DISK_FULL,
            Self::DiskFails => words::DISK_FAILS,
            Self::Prompts => words::PROMPTS,
            Self::Codecs => words::CODECS,
            Self::NotReady => words::NOT_READY,
            Self::Witness => words::WITNESS,
            Self::UnderWay => words::UNDER_WAY,
            Self::NoLink => words::NO_LINK,
            Self::Silent => words::SILENT,
            Self::NotCopied => words::NOT_COPIED,
            Self::NotTaken => words::NOT_TAKEN,
            Self::Changed => words::CHANGED,
            Self::Busy => words::BUSY,
            Self::Unrecorded => words::UNRECORDED,
            Self::Other => words::OTHER_REASON,
        }
    }
}

/// Each of them once, one after the other.
pub(super) fn obstacles(obstacles: &[Obstacle]) -> Speech {
    let new = |(at, obstacle): (usize, &Obstacle)| {
        (!obstacles[..at].contains(obstacle)).then(|| obstacle.word())
    };
    obstacles.iter().enumerate().filter_map(new).fold(Speech::default(), Speech::say)
}
