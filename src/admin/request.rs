//! The protocol of the admin socket: one JSON line in, one JSON line out.
//!
//! ```text
//! {"request":"status"}                            -> {"ok":{...}}
//! {"request":"ports","format":"text"}             -> {"ok":"PORT  EXTENSION ..."}
//! {"request":"drain","instance":"i3","on":true}   -> {"ok":{"instance":"i3","draining":true,...}}
//! {"request":"rebind","target":"7"}               -> {"error":"port 7 has no call"}
//! ```

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{agents, cluster, json, text};
use crate::ha::role;
use crate::ids::{CallId, InstanceId, PortId};
use crate::node::snapshot::{Health, Instance, Port, PortState};
use crate::node::{AgentChange, Order, Snapshot};
use crate::redact::Redacted;

/// What an operator asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// The node as a whole.
    Status {
        /// Form of the answer.
        #[serde(default)]
        format: Format,
    },
    /// Every voice port.
    Ports {
        /// Form of the answer.
        #[serde(default)]
        format: Format,
    },
    /// Every call.
    Calls {
        /// Form of the answer.
        #[serde(default)]
        format: Format,
    },
    /// Every instance.
    Instances {
        /// Form of the answer.
        #[serde(default)]
        format: Format,
    },
    /// The latest rebinds.
    Rebinds {
        /// Form of the answer.
        #[serde(default)]
        format: Format,
    },
    /// No new calls for an instance, or again.
    Drain {
        /// Its name, as `i3`.
        instance: String,
        /// On or off.
        on: bool,
        /// Form of the answer.
        #[serde(default)]
        format: Format,
    },
    /// A call to another instance.
    Rebind {
        /// The name of the call, or the index of its port.
        target: String,
        /// Form of the answer.
        #[serde(default)]
        format: Format,
    },
    /// No new calls from the PBX, or again.
    DrainNode {
        /// On or off.
        on: bool,
        /// Form of the answer.
        #[serde(default)]
        format: Format,
    },
    /// A test of the other nodes' control extensions, now.
    SelfCall {
        /// Form of the answer.
        #[serde(default)]
        format: Format,
    },
    /// Another role for a node.
    Role {
        /// What.
        wish: RoleWish,
        /// Form of the answer.
        #[serde(default)]
        format: Format,
    },
    /// Every agent of the phone menu.
    AgentList {
        /// Form of the answer.
        #[serde(default)]
        format: Format,
    },
    /// There is this agent, in place of one of the same number.
    AgentAdd {
        /// Who.
        #[serde(flatten)]
        agent: NewAgent,
        /// Form of the answer.
        #[serde(default)]
        format: Format,
    },
    /// An agent may act no more.
    AgentDisable {
        /// Agent number.
        number: String,
        /// Form of the answer.
        #[serde(default)]
        format: Format,
    },
    /// An agent's wrong PINs are forgotten.
    AgentUnlock {
        /// Agent number.
        number: String,
        /// Form of the answer.
        #[serde(default)]
        format: Format,
    },
}

/// Another role for a node, with nodes by their names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoleWish {
    /// Make a node primary.
    Promote {
        /// Which; `None`: the one that is asked.
        node: Option<String>,
        /// Without what makes it safe: the words of whoever attests that no other node acts.
        force: Option<String>,
    },
    /// Make the other node primary while both live.
    Switchover {
        /// Which.
        to: String,
        /// Even if it is not ready.
        force: bool,
    },
    /// No promotion without a person.
    Pause,
    /// Promotion as configured.
    Resume,
    /// Let the node that is asked follow again.
    Rejoin,
    /// Give up the role of the node that is asked.
    Release,
}

impl RoleWish {
    const fn name(&self) -> &'static str {
        match self {
            Self::Promote { .. } => "promote",
            Self::Switchover { .. } => "switchover",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Rejoin => "rejoin",
            Self::Release => "release",
        }
    }
}

/// An agent as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewAgent {
    /// Agent number.
    pub number: String,
    /// For lists.
    pub name: String,
    /// The PIN in clear.
    pub pin: Redacted<String>,
    /// Extensions that the agent calls from; empty: any internal one.
    #[serde(default)]
    pub extensions: Vec<String>,
    /// Hang up and call the first of these back.
    #[serde(default)]
    pub callback: bool,
}

/// Form of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// A JSON value.
    #[default]
    Json,
    /// An aligned table, as one JSON string.
    Text,
}

/// The answer on the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Done, or seen.
    Ok(Value),
    /// Not done; one sentence that says why and what to do.
    Error(String),
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// To the operator.
    pub reply: Reply,
    /// To the node.
    pub order: Option<Order>,
    /// To the store, before the reply is true.
    pub agent: Option<AgentWish>,
    /// To the cluster; what it answers takes the place of the reply.
    pub role: Option<role::Order>,
}

/// What shall become of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentWish {
    /// It is stored, once its PIN is hashed.
    Set(NewAgent),
    /// It is changed.
    Change(AgentChange),
}

impl Request {
    /// What is asked, in a word.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Status { .. } => "status",
            Self::Ports { .. } => "ports",
            Self::Calls { .. } => "calls",
            Self::Instances { .. } => "instances",
            Self::Rebinds { .. } => "rebinds",
            Self::Drain { .. } => "drain",
            Self::Rebind { .. } => "rebind",
            Self::DrainNode { .. } => "drain node",
            Self::SelfCall { .. } => "self-call",
            Self::Role { wish, .. } => wish.name(),
            Self::AgentList { .. } => "agent list",
            Self::AgentAdd { .. } => "agent add",
            Self::AgentDisable { .. } => "agent disable",
            Self::AgentUnlock { .. } => "agent unlock",
        }
    }

    /// Whether it is about what the store holds.
    const fn needs_store(&self) -> bool {
        matches!(
            self,
            Self::Role { .. }
                | Self::AgentList { .. }
                | Self::AgentAdd { .. }
                | Self::AgentDisable { .. }
                | Self::AgentUnlock { .. }
        )
    }
}

/// Answers a request against a snapshot.
pub fn answer(request: &Request, snapshot: &Snapshot) -> Answer {
    if snapshot.node.opening && request.needs_store() {
        let reply = Reply::Error(format!("{}; try again in a moment", super::OPENING));
        return Answer { reply, order: None, agent: None, role: None };
    }
    match request {
        Request::Status { format } => shown(*format, json::status, text::status, snapshot),
        Request::Ports { format } => shown(*format, json::ports, text::ports, snapshot),
        Request::Calls { format } => shown(*format, json::calls, text::calls, snapshot),
        Request::Instances { format } => shown(*format, json::instances, text::instances, snapshot),
        Request::Rebinds { format } => shown(*format, json::rebinds, text::rebinds, snapshot),
        Request::Drain { instance, on, format } => ordered(*format, drain(instance, *on, snapshot)),
        Request::Rebind { target, format } => ordered(*format, rebind(target, snapshot)),
        Request::DrainNode { on, format } => ordered(*format, Ok(drain_node(*on))),
        Request::SelfCall { format } => ordered(*format, self_call(snapshot)),
        Request::Role { wish, format } => cluster::wish(*format, wish, snapshot),
        Request::AgentList { format } => agents::list(*format, snapshot.agents.as_deref()),
        Request::AgentAdd { agent, format } => {
            agents::add(*format, agent, snapshot.agents.as_deref())
        }
        Request::AgentDisable { number, format } => {
            agents::disable(*format, number, snapshot.agents.as_deref())
        }
        Request::AgentUnlock { number, format } => {
            agents::unlock(*format, number, snapshot.agents.as_deref())
        }
    }
}

fn shown(
    format: Format,
    json: fn(&Snapshot) -> Value,
    text: fn(&Snapshot) -> String,
    snapshot: &Snapshot,
) -> Answer {
    let value = match format {
        Format::Json => json(snapshot),
        Format::Text => Value::String(text(snapshot)),
    };
    Answer { reply: Reply::Ok(value), order: None, agent: None, role: None }
}

fn ordered(format: Format, result: Result<(Order, String), String>) -> Answer {
    match result {
        Ok((order, text)) => {
            let value = match format {
                Format::Json => json::order(order, &text),
                Format::Text => Value::String(text),
            };
            Answer { reply: Reply::Ok(value), order: Some(order), agent: None, role: None }
        }
        Err(text) => Answer { reply: Reply::Error(text), order: None, agent: None, role: None },
    }
}

fn drain_node(on: bool) -> (Order, String) {
    let text = if on {
        "the node takes no new calls; calls that are up stay"
    } else {
        "the node takes calls"
    };
    (Order::DrainNode { on }, text.to_owned())
}

fn self_call(snapshot: &Snapshot) -> Result<(Order, String), String> {
    let tests = snapshot.cluster.as_ref().map_or(&[][..], |cluster| &cluster.control_tests);
    if tests.is_empty() {
        let text = "this node tests no control extension: write `control` in [[cluster.nodes]], \
                    and [control]";
        return Err(text.to_owned());
    }
    let called: Vec<_> = tests.iter().map(|t| format!("{} of {}", t.extension, t.node)).collect();
    let text = format!("calls {}; see `portkeeper status`", called.join(", "));
    Ok((Order::SelfCall, text))
}

fn drain(name: &str, on: bool, snapshot: &Snapshot) -> Result<(Order, String), String> {
    let instance = find_instance(name, snapshot)?;
    let text = if on {
        format!("{instance} gets no new calls; its own stay")
    } else {
        format!("{instance} gets calls")
    };
    Ok((Order::DrainInstance { instance, on }, text))
}

fn find_instance(name: &str, snapshot: &Snapshot) -> Result<InstanceId, String> {
    let instances = snapshot.instances.iter().map(|i| i.instance);
    if let Some(found) = instances.clone().find(|i| i.to_string() == name) {
        return Ok(found);
    }
    let names: Vec<_> = instances.map(|i| i.to_string()).collect();
    Err(if names.is_empty() {
        format!("no instance {name}: none is connected")
    } else {
        format!("no instance {name}; connected are {}", names.join(", "))
    })
}

fn rebind(target: &str, snapshot: &Snapshot) -> Result<(Order, String), String> {
    let port = find_port(target, snapshot)?;
    let (id, Some(call)) = (port.port, port.call) else {
        return Err(format!("port {} has no call", port.port));
    };
    match port.state {
        PortState::Bound | PortState::Offered => {}
        PortState::Leaving => return Err(format!("call {call} is ending")),
        PortState::Rebinding => return Err(format!("call {call} is being moved already")),
        PortState::Idle | PortState::Queued | PortState::Announce | PortState::Outbound => {
            return Err(format!(
                "call {call} is under no instance, so there is none to move it from"
            ));
        }
    }
    let may_take = |i: &Instance| {
        Some(i.instance) != port.instance
            && i.health == Health::Healthy
            && !i.draining
            && port.applications.iter().chain(&port.application).any(|a| i.applications.contains(a))
    };
    if !snapshot.instances.iter().any(may_take) {
        return Err(format!(
            "call {call} stays: no other instance of its applications is healthy and takes calls; \
             `portkeeper instances` lists them"
        ));
    }
    Ok((Order::Rebind { port: id }, format!("call {call} is being moved to another instance")))
}

/// By name of the call, by index of the port, or by extension.
fn find_port<'s>(target: &str, snapshot: &'s Snapshot) -> Result<&'s Port, String> {
    let is_call = |call: Option<CallId>| call.is_some_and(|call| call.to_string() == target);
    let by_call = snapshot.ports.iter().find(|port| is_call(port.call));
    let by_index = || {
        let index = target.parse().ok().map(PortId)?;
        snapshot.ports.iter().find(|port| port.port == index)
    };
    let by_extension = || snapshot.ports.iter().find(|port| port.extension == target);
    by_call.or_else(by_index).or_else(by_extension).ok_or_else(|| {
        format!("no call, port or extension {target}; `portkeeper calls` lists the calls")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::fixture::snapshot;

    fn refused(request: Request) -> String {
        let answer = answer(&request, &snapshot());
        assert_eq!(answer.order, None);
        match answer.reply {
            Reply::Error(text) => text,
            Reply::Ok(value) => panic!("not refused: {value}"),
        }
    }

    fn rebind_of(target: &str) -> Request {
        Request::Rebind { target: target.into(), format: Format::Json }
    }

    fn order(request: Request) -> Order {
        answer(&request, &snapshot()).order.expect("an order")
    }

    /// The same node with both instances well.
    fn all_well() -> Snapshot {
        let mut snapshot = snapshot();
        for instance in &mut snapshot.instances {
            (instance.health, instance.draining) = (Health::Healthy, false);
        }
        snapshot
    }

    #[test]
    fn a_request_is_one_line_of_json() {
        let line = r#"{"request":"drain","instance":"i3","on":true,"format":"text"}"#;
        let request: Request = serde_json::from_str(line).expect("valid");
        let drain = Request::Drain { instance: "i3".into(), on: true, format: Format::Text };
        assert_eq!(request, drain);
        assert_eq!(serde_json::to_string(&request).expect("plain"), line);
        let status: Request = serde_json::from_str(r#"{"request":"status"}"#).expect("valid");
        assert_eq!(status, Request::Status { format: Format::Json });
        assert!(serde_json::from_str::<Request>(r#"{"request":"reboot"}"#).is_err());
    }

    #[test]
    fn an_instance_is_drained_by_its_name() {
        let wanted = Order::DrainInstance { instance: InstanceId(2), on: true };
        assert_eq!(
            order(Request::Drain { instance: "i2".into(), on: true, format: Format::Json }),
            wanted
        );
    }

    #[test]
    fn an_unknown_instance_is_answered_with_those_that_are_there() {
        let text =
            refused(Request::Drain { instance: "i9".into(), on: true, format: Format::Json });
        assert_eq!(text, "no instance i9; connected are i1, i2");
    }

    #[test]
    fn a_call_is_moved_by_its_name_its_port_or_its_extension() {
        let wanted = Order::Rebind { port: PortId(1) };
        for target in ["0000002a-1", "1", "6002"] {
            let answer = answer(&rebind_of(target), &all_well());
            assert_eq!(answer.order, Some(wanted), "{target}");
        }
    }

    #[test]
    fn a_call_that_nobody_else_would_take_is_not_moved() {
        let text = refused(rebind_of("1"));
        assert!(text.starts_with("call 0000002a-1 stays: no other instance"), "{text}");
    }

    #[test]
    fn a_port_without_an_instance_is_not_moved() {
        assert_eq!(refused(rebind_of("0")), "port 0 has no call");
        let text = refused(rebind_of("2"));
        assert!(text.contains("under no instance"), "{text}");
        assert!(refused(rebind_of("x")).contains("portkeeper calls"));
    }

    #[test]
    fn the_node_can_be_drained() {
        let wanted = Order::DrainNode { on: true };
        assert_eq!(order(Request::DrainNode { on: true, format: Format::Json }), wanted);
    }

    #[test]
    fn control_extensions_are_tested_by_order_where_there_are_any() {
        let request = Request::SelfCall { format: Format::Text };
        let answered = answer(&request, &snapshot());
        assert_eq!(answered.order, Some(Order::SelfCall));
        let said = "calls 6091 of a, 6093 of w; see `portkeeper status`";
        assert_eq!(answered.reply, Reply::Ok(said.into()));
        let mut alone = snapshot();
        alone.cluster = None;
        assert!(matches!(answer(&request, &alone).reply, Reply::Error(_)));
    }

    #[test]
    fn an_order_is_answered_in_the_form_that_was_asked_for() {
        let said = |format| {
            let drain = Request::Drain { instance: "i2".into(), on: true, format };
            match answer(&drain, &snapshot()).reply {
                Reply::Ok(value) => value,
                Reply::Error(text) => panic!("refused: {text}"),
            }
        };
        let text = said(Format::Text);
        assert_eq!(text, "i2 gets no new calls; its own stay");
        let json = said(Format::Json);
        assert_eq!((&json["instance"], &json["draining"]), (&"i2".into(), &true.into()));
        assert_eq!(json["text"], text);
    }

    #[test]
    fn text_travels_as_one_json_string() {
        let answer = answer(&Request::Ports { format: Format::Text }, &snapshot());
        let Reply::Ok(Value::String(text)) = answer.reply else { panic!("not text") };
        assert!(text.starts_with("PORT "), "{text}");
    }
}
