//! What the phone says of an order that was refused: the menu's word for each reason.

use crate::ha::role::{Answer, Lack, Reason};
use crate::menu::{Obstacle, Promotion};

/// News of an order that did not lead to a promotion.
pub(super) fn refusal(reasons: &[Reason], may_force: bool) -> Promotion {
    let obstacles = reasons.iter().map(obstacle).collect();
    let begun =
        |reason| matches!(reason, &Reason::LeaseLost | &Reason::Outranked | &Reason::GivenUp);
    if reasons.iter().any(begun) {
        Promotion::Failed { obstacles }
    } else {
        Promotion::Refused { obstacles, may_force }
    }
}

/// The same of an order that was only tried.
pub(super) fn drilled(answer: &Answer) -> Promotion {
    let obstacles = match answer {
        Answer::Done => Vec::new(),
        Answer::Refused { reasons, .. } => reasons.iter().map(obstacle).collect(),
        Answer::Unknown => vec![Obstacle::Silent],
    };
    Promotion::Drilled { obstacles }
}

const fn obstacle(reason: &Reason) -> Obstacle {
    match reason {
        Reason::Lacks(Lack::Passwords { .. }) => Obstacle::Passwords,
        Reason::Lacks(Lack::UdpPorts) => Obstacle::UdpPorts,
        Reason::Lacks(Lack::Disk) => Obstacle::DiskFull,
        Reason::Lacks(Lack::Prompts) => Obstacle::Prompts,
        Reason::Lacks(Lack::Codecs) => Obstacle::Codecs,
        Reason::Behind { .. } => Obstacle::Behind,
        Reason::DiskFailed { .. } => Obstacle::DiskFails,
        Reason::NoPbx { .. } => Obstacle::PbxUnreachable,
        Reason::Witness => Obstacle::Witness,
        Reason::IsPrimary { .. } => Obstacle::PrimaryAnswers,
        Reason::OwnPbx { .. } => Obstacle::OwnPbx,
        Reason::NotReleased { .. } => Obstacle::NotReleased,
        Reason::SentinelAnswers => Obstacle::SentinelAnswers,
        Reason::SentinelUntried => Obstacle::SentinelUntried,
        Reason::SentinelShort => Obstacle::SentinelShort,
        Reason::SentinelUnproven => Obstacle::SentinelUnproven,
        Reason::HasLease { .. } | Reason::Beaten { .. } => Obstacle::LeaseElsewhere,
        Reason::FewVoters => Obstacle::NoMajority,
        Reason::LeaseLost => Obstacle::LeaseLost,
        Reason::Outranked => Obstacle::TakenOver,
        Reason::GivenUp => Obstacle::GivenUp,
        Reason::Switching | Reason::Promoting => Obstacle::UnderWay,
        Reason::NoLink { .. } | Reason::NoLinkToSwitch { .. } => Obstacle::NoLink,
        Reason::Silent { .. } => Obstacle::Silent,
        Reason::NotCopied => Obstacle::NotCopied,
        Reason::NotTaken => Obstacle::NotTaken,
        Reason::NoPrimary { .. } | Reason::Elsewhere { .. } => Obstacle::Changed,
        Reason::Busy => Obstacle::Busy,
        Reason::Unrecorded => Obstacle::Unrecorded,
        Reason::NotData
        | Reason::ReleaseUnstored { .. }
        | Reason::NoWords
        | Reason::NotFenced
        | Reason::Alone => Obstacle::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ended_a_promotion_on_its_way_is_told_as_a_failure() {
        let failed = Promotion::Failed { obstacles: vec![Obstacle::LeaseLost] };
        assert_eq!(refusal(&[Reason::LeaseLost], false), failed);
        let refused = Promotion::Refused { obstacles: vec![Obstacle::NoMajority], may_force: true };
        assert_eq!(refusal(&[Reason::FewVoters], true), refused);
    }
}
