//! Agents as an operator sees and changes them. What they are follows from facts; a change is
//! facts too: the agent as it shall be, and who wanted it.

use crate::node::snapshot::{Agent as View, Lock};
use crate::store::{Access, Action, Agent, Agents, Audit, Body, Standing, Who};

/// A change of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentChange {
    /// There is this agent, in place of one of the same number, and without any lock.
    Set(Box<Agent>),
    /// The agent may act no more.
    Disable {
        /// Whose.
        number: String,
    },
    /// The agent's wrong PINs are forgotten.
    Unlock {
        /// Whose.
        number: String,
    },
}

impl AgentChange {
    /// The facts that make it so; none for an agent that is not there.
    pub fn facts(self, agents: &Agents, who: Who) -> Vec<Body> {
        let audit = |action| Body::Audit(Audit { who: who.clone(), action, result: Ok(()) });
        match self {
            Self::Set(agent) => {
                let number = agent.number.clone();
                let unlocked = Action::Unlock { number: number.clone() };
                let changed = audit(Action::ChangeAgent { number });
                vec![Body::Agent(*agent), changed, audit(unlocked)]
            }
            Self::Disable { number } => {
                let Some(agent) = agents.get(&number) else { return Vec::new() };
                let agent = Agent { standing: Standing::Disabled, ..agent.clone() };
                vec![Body::Agent(agent), audit(Action::ChangeAgent { number })]
            }
            Self::Unlock { number } if agents.get(&number).is_some() => {
                vec![audit(Action::Unlock { number })]
            }
            Self::Unlock { .. } => Vec::new(),
        }
    }
}

/// Every agent, for whoever looks at this moment.
pub fn view(agents: &Agents, unix_ms: u64) -> Vec<View> {
    agents.iter().map(|agent| view_of(agents, agent, unix_ms)).collect()
}

fn view_of(agents: &Agents, agent: &Agent, unix_ms: u64) -> View {
    let lock = match agents.lock(&agent.number, unix_ms) {
        Some(Access::Locked { until_unix_ms: Some(until) }) => {
            Some(Lock::For { ms: until.saturating_sub(unix_ms) })
        }
        Some(_) => Some(Lock::UntilUnlocked),
        None => None,
    };
    View {
        number: agent.number.clone(),
        name: agent.name.clone(),
        enabled: agent.standing == Standing::Enabled,
        extensions: agent.extensions.clone(),
        callback: agent.callback,
        wrong_pins: agents.failures(&agent.number),
        lock,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Epoch, NodeId};
    use crate::store::{Fact, FactId, Lane, Pin, Stream};

    const NOON: u64 = 1_800_000_000_000;

    /// Facts of one node, as they come.
    #[derive(Default)]
    struct Log {
        agents: Agents,
        counter: u64,
    }

    impl Log {
        fn write(&mut self, body: Body) {
            self.counter += 1;
            let lane = Lane { node: NodeId(0), boot: 1, stream: Stream::Control };
            let id = FactId { lane, counter: self.counter };
            let unix_ms = NOON + self.counter;
            self.agents.apply(&Fact { id, epoch: Epoch(1), unix_ms, body });
        }

        fn change(&mut self, change: AgentChange) -> usize {
            let facts = change.facts(&self.agents, Who::Operator("root".to_owned()));
            let count = facts.len();
            facts.into_iter().for_each(|body| self.write(body));
            count
        }

        fn wrong_pins(&mut self, count: usize) {
            for _ in 0..count {
                let (number, extension) = ("4711".to_owned(), "200".to_owned().into());
                let who = Who::Agent { number, extension };
                let result = Err("wrong PIN".to_owned());
                self.write(Body::Audit(Audit { who, action: Action::Login, result }));
            }
        }

        fn view(&self) -> View {
            view(&self.agents, NOON + self.counter).pop().expect("an agent")
        }
    }

    fn agent() -> Agent {
        Agent {
            number: "4711".to_owned(),
            name: "Ada".to_owned(),
            standing: Standing::Enabled,
            pin: Pin { salt: vec![1; 16].into(), hash: vec![2; 32].into() },
            extensions: vec!["200".to_owned()],
            callback: false,
        }
    }

    #[test]
    fn an_agent_is_set_locked_by_wrong_pins_and_unlocked() {
        let mut log = Log::default();
        log.change(AgentChange::Set(Box::new(agent())));
        assert_eq!((log.view().enabled, log.view().lock), (true, None));
        log.wrong_pins(5);
        assert!(matches!(log.view().lock, Some(Lock::For { ms }) if ms == 30 * 60_000));
        log.wrong_pins(5);
        assert_eq!((log.view().wrong_pins, log.view().lock), (10, Some(Lock::UntilUnlocked)));
        log.change(AgentChange::Unlock { number: "4711".to_owned() });
        assert_eq!((log.view().wrong_pins, log.view().lock), (0, None));
    }

    #[test]
    fn an_agent_is_disabled_and_set_anew_without_its_locks() {
        let mut log = Log::default();
        log.change(AgentChange::Set(Box::new(agent())));
        log.wrong_pins(10);
        log.change(AgentChange::Disable { number: "4711".to_owned() });
        assert!(!log.view().enabled);
        assert_eq!(log.agents.get("4711").expect("there").pin, agent().pin, "the PIN is kept");
        log.change(AgentChange::Set(Box::new(agent())));
        assert_eq!((log.view().enabled, log.view().lock), (true, None));
    }

    #[test]
    fn who_is_not_there_is_not_changed() {
        let mut log = Log::default();
        assert_eq!(log.change(AgentChange::Disable { number: "1".to_owned() }), 0);
        assert_eq!(log.change(AgentChange::Unlock { number: "1".to_owned() }), 0);
    }
}
