//! What facts say on the link, pinned to its version: a node of the same version reads them all.

use crate::ha::peer::PROTOCOL;
use crate::ids::{CallId, Epoch, NodeId, PortId};
use crate::store::{Action, Agent, Audit, Body, Cdr, Outage, Pin, Standing, Who};

/// The version, and every kind of fact under it. A node that lacks a kind cannot read a frame that
/// carries it, and ends the link: whoever changes a line below raises [`PROTOCOL`] with it.
const VERSION: u16 = 4;
const KINDS: &[&str] = &[
    r#"{"Promote":{"node":1,"forced":"x"}}"#,
    r#""Release""#,
    r#"{"Pause":true}"#,
    r#""Rejoin""#,
    r#""Login""#,
    r#""Call""#,
    r#"{"Unlock":{"number":"1"}}"#,
    r#"{"ChangeAgent":{"number":"1"}}"#,
    r#""Acknowledge""#,
    r#""Drill""#,
    r#""RestartMessage""#,
    r#""Link""#,
    r#"{"Ask":{"request":"x"}}"#,
    r#"{"ClockMoved":{"by_ms":-1}}"#,
    r#"{"Serve":{"node":1}}"#,
    r#""Disk""#,
    r#""Policy""#,
    r#"{"Operator":"x"}"#,
    r#"{"Agent":{"number":"1","extension":"2"}}"#,
    r#"{"Audit":{"who":"Policy","action":"Drill","result":{"Ok":null}}}"#,
    concat!(
        r#"{"Cdr":{"call":1,"port":1,"extension":"1","party":"2","outbound":true,"#,
        r#""began_unix_ms":1,"answered_ms":1,"duration_ms":1,"cause":"x","rebinds":1,"#,
        r#""takeovers":1}}"#
    ),
    concat!(
        r#"{"Agent":{"number":"1","name":"x","standing":"Enabled","#,
        r#""pin":{"salt":[1],"hash":[2]},"extensions":["2"],"callback":true}}"#
    ),
    r#"{"Outage":{"ended":1,"began_unix_ms":1,"lasted_ms":1,"planned":true}}"#,
    r#""Disabled""#,
];

/// Each of these names the one after it, so that a new one does not compile without a line here.
fn action_after(action: &Action) -> Option<Action> {
    let number = || "1".to_owned();
    Some(match action {
        Action::Promote { .. } => Action::Release,
        Action::Release => Action::Pause(true),
        Action::Pause(_) => Action::Rejoin,
        Action::Rejoin => Action::Login,
        Action::Login => Action::Call,
        Action::Call => Action::Unlock { number: number() },
        Action::Unlock { .. } => Action::ChangeAgent { number: number() },
        Action::ChangeAgent { .. } => Action::Acknowledge,
        Action::Acknowledge => Action::Drill,
        Action::Drill => Action::RestartMessage,
        Action::RestartMessage => Action::Link,
        Action::Link => Action::Ask { request: "x".to_owned() },
        Action::Ask { .. } => Action::ClockMoved { by_ms: -1 },
        Action::ClockMoved { .. } => Action::Serve { node: NodeId(1) },
        Action::Serve { .. } => Action::Disk,
        Action::Disk => return None,
    })
}

fn who_after(who: &Who) -> Option<Who> {
    Some(match who {
        Who::Policy => Who::Operator("x".to_owned()),
        Who::Operator(_) => Who::Agent { number: "1".to_owned(), extension: "2".to_owned().into() },
        Who::Agent { .. } => return None,
    })
}

fn body_after(body: &Body) -> Option<Body> {
    Some(match body {
        Body::Audit(_) => Body::Cdr(Cdr {
            call: CallId(1),
            port: PortId(1),
            extension: "1".to_owned(),
            party: "2".to_owned().into(),
            outbound: true,
            began_unix_ms: 1,
            answered_ms: Some(1),
            duration_ms: 1,
            cause: "x".to_owned(),
            rebinds: 1,
            takeovers: 1,
        }),
        Body::Cdr(_) => Body::Agent(Agent {
            number: "1".to_owned(),
            name: "x".to_owned(),
            standing: Standing::Enabled,
            pin: Pin { salt: vec![1].into(), hash: vec![2].into() },
            extensions: vec!["2".to_owned()],
            callback: true,
        }),
        Body::Agent(_) => {
            Body::Outage(Outage { ended: Epoch(1), began_unix_ms: 1, lasted_ms: 1, planned: true })
        }
        Body::Outage(_) => return None,
    })
}

fn standing_after(standing: &Standing) -> Option<Standing> {
    match standing {
        Standing::Enabled => Some(Standing::Disabled),
        Standing::Disabled => None,
    }
}

fn said<T: serde::Serialize>(first: T, after: fn(&T) -> Option<T>) -> Vec<String> {
    let json = |kind: &T| serde_json::to_string(kind).expect("it is text");
    std::iter::successors(Some(first), after).map(|kind| json(&kind)).collect()
}

#[test]
fn what_facts_say_changes_with_the_version_of_the_link_only() {
    let promote = Action::Promote { node: NodeId(1), forced: Some("x".to_owned()) };
    let drill = Audit { who: Who::Policy, action: Action::Drill, result: Ok(()) };
    let mut kinds = said(promote, action_after);
    kinds.extend(said(Who::Policy, who_after));
    kinds.extend(said(Body::Audit(drill), body_after));
    kinds.extend(said(Standing::Enabled, standing_after).split_off(1));
    assert_eq!((PROTOCOL, kinds.iter().map(String::as_str).collect()), (VERSION, KINDS.to_vec()));
}
