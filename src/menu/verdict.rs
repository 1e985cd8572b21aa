//! What comes of a number and a PIN: the agent's standing, the caller and the comparison put
//! together. The comparison has been made whatever the rest says, so that time tells nothing.
//!
//! Two refusals are spoken as such, because they say nothing of the PIN and a person in a hurry
//! has to know what to do: a lock, and a telephone that is not on the agent's list.

use super::Caller;
use crate::store::{Access, Action, Agent};

/// What comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The agent may act.
    Right,
    /// The agent has to be called back first.
    CallBack {
        /// Whom.
        extension: String,
    },
    /// No.
    Refused(Why),
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Nobody has this number.
    UnknownAgent,
    /// The agent is disabled.
    Disabled,
    /// It is not the PIN.
    WrongPin,
    /// Too many tries: of this agent, from this extension, or of all.
    Locked,
    /// Not from this telephone.
    Telephone,
    /// A call from outside, and nothing is known to call back.
    NoCallBack,
    /// The PIN could not be compared.
    Unchecked,
}

impl Why {
    /// How it is written down: what says nothing of the PIN counts towards no lock.
    pub(super) const fn action(self) -> Action {
        match self {
            Self::UnknownAgent | Self::Disabled | Self::WrongPin => Action::Login,
            Self::Locked | Self::Telephone | Self::NoCallBack | Self::Unchecked => Action::Call,
        }
    }

    /// For the audit log.
    pub const fn text(self) -> &'static str {
        match self {
            Self::UnknownAgent => "unknown agent",
            Self::Disabled => "agent is disabled",
            Self::WrongPin => "wrong PIN",
            Self::Locked => "locked",
            Self::Telephone => "not from this telephone",
            Self::NoCallBack => "from outside, and no extension to call back",
            Self::Unchecked => "the PIN could not be checked",
        }
    }
}

/// `access` is the agent's standing for this caller, `matched` whether the PIN is the agent's.
pub fn judge(access: Access, agent: Option<&Agent>, caller: &Caller, matched: bool) -> Verdict {
    let why = match access {
        Access::Open => match agent {
            Some(agent) if matched => return admitted(agent, caller),
            Some(_) => Why::WrongPin,
            None => Why::UnknownAgent,
        },
        Access::Unknown => Why::UnknownAgent,
        Access::Disabled => Why::Disabled,
        Access::Elsewhere => Why::Telephone,
        Access::Locked { .. } | Access::ExtensionLocked { .. } | Access::Flooded { .. } => {
            Why::Locked
        }
    };
    Verdict::Refused(why)
}

fn admitted(agent: &Agent, caller: &Caller) -> Verdict {
    if caller.placed || !(caller.trunk || agent.callback) {
        return Verdict::Right;
    }
    match agent.extensions.first() {
        Some(extension) => Verdict::CallBack { extension: extension.clone() },
        None => Verdict::Refused(Why::NoCallBack),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Pin, Standing};

    fn agent(extensions: &[&str], callback: bool) -> Agent {
        Agent {
            number: "4711".to_owned(),
            name: "Ada".to_owned(),
            standing: Standing::Enabled,
            pin: Pin { salt: vec![1; 16].into(), hash: vec![2; 32].into() },
            extensions: extensions.iter().map(|&e| e.to_owned()).collect(),
            callback,
        }
    }

    fn from(trunk: bool, placed: bool) -> Caller {
        Caller { extension: "200".to_owned().into(), trunk, placed }
    }

    #[test]
    fn a_right_pin_opens_only_where_the_standing_is_open() {
        let agent = agent(&[], false);
        let judged = |access, matched| judge(access, Some(&agent), &from(false, false), matched);
        assert_eq!(judged(Access::Open, true), Verdict::Right);
        assert_eq!(judged(Access::Open, false), Verdict::Refused(Why::WrongPin));
        let locked = Access::Locked { until_unix_ms: None };
        for access in [locked, Access::Flooded { until_unix_ms: 1 }] {
            assert_eq!(judged(access, true), Verdict::Refused(Why::Locked));
        }
        assert_eq!(judged(Access::Disabled, true), Verdict::Refused(Why::Disabled));
        assert_eq!(judged(Access::Elsewhere, true), Verdict::Refused(Why::Telephone));
    }

    #[test]
    fn nobody_is_let_in_by_a_pin_that_matched_nobody() {
        let verdict = judge(Access::Open, None, &from(false, false), true);
        assert_eq!(verdict, Verdict::Refused(Why::UnknownAgent));
        let verdict = judge(Access::Unknown, None, &from(false, false), true);
        assert_eq!(verdict, Verdict::Refused(Why::UnknownAgent));
    }

    #[test]
    fn a_caller_from_outside_is_called_back_at_the_agents_own_extension() {
        let judged = |extensions: &[&str], caller| {
            judge(Access::Open, Some(&agent(extensions, false)), &caller, true)
        };
        let back = Verdict::CallBack { extension: "201".to_owned() };
        assert_eq!(judged(&["201", "200"], from(true, false)), back);
        assert_eq!(judged(&[], from(true, false)), Verdict::Refused(Why::NoCallBack));
        assert_eq!(judged(&[], from(true, true)), Verdict::Right, "we called");
    }

    #[test]
    fn an_agent_with_call_back_is_called_back_once() {
        let judged = |caller| judge(Access::Open, Some(&agent(&["200"], true)), &caller, true);
        let back = Verdict::CallBack { extension: "200".to_owned() };
        assert_eq!(judged(from(false, false)), back);
        assert_eq!(judged(from(false, true)), Verdict::Right);
    }
}
