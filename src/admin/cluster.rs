//! The cluster for operators: how it stands, and what they want of it.

use std::fmt::Write;

use serde_json::{Value, json};

use super::request::{Answer, Format, Reply, RoleWish};
use crate::ha::role::{self, Order};
use crate::ids::NodeId;
use crate::node::Snapshot;
use crate::node::snapshot::cluster::{Cluster, ControlTest, Peer, Sentinel};

/// Lines of `portkeeper status`.
pub(super) fn lines(cluster: &Cluster) -> String {
    let mut text = String::new();
    let Cluster { id, profile, role, epoch, .. } = cluster;
    let primary = match (&cluster.primary, &cluster.unheard_primary) {
        (Some(primary), _) => primary.clone(),
        (None, Some(unheard)) => format!("not known, {unheard} is not heard"),
        (None, None) => "nobody".to_owned(),
    };
    let paused = if cluster.paused { ", promotion paused" } else { "" };
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "cluster    {id} ({profile}): this node is {role}; primary is {primary}, epoch \
         {epoch}{paused}"
    );
    for peer in &cluster.peers {
        let _ = writeln!(text, "peer       {}", peer_line(peer));
    }
    if let Some(sentinel) = &cluster.sentinel {
        let _ = writeln!(text, "sentinel   {}: {}", sentinel.extension, told(sentinel));
    }
    if let Some(trunk) = &cluster.trunk {
        let _ = writeln!(text, "trunk      {}: {}", trunk.address, reached(trunk.state));
    }
    for test in &cluster.control_tests {
        let _ = writeln!(text, "control    {}", test_line(test));
    }
    for reason in &cluster.passive_because {
        let _ = writeln!(text, "passive    {reason}");
    }
    if cluster.ports > 0 {
        let (proven, of) = (cluster.ports_proven, cluster.ports);
        let _ = writeln!(text, "ready      {proven} of {of} ports proven");
    }
    for reason in &cluster.unproven {
        let _ = writeln!(text, "unproven   {reason}");
    }
    if let Some(ms) = cluster.data_age_ms.filter(|ms| *ms > 0) {
        let _ = writeln!(text, "data       {} s old", ms / 1_000);
    }
    if let Some(ms) = cluster.on_backup_since_ms {
        let hours = ms / 3_600_000;
        let (days, hours) = (hours / 24, hours % 24);
        let _ = writeln!(text, "on backup  for {days} d {hours} h: bring the other server back");
    }
    for protection in &cluster.protections {
        let _ = writeln!(text, "armed      {protection}");
    }
    if let Some(takeover) = cluster.takeover.filter(|takeover| takeover.calls > 0) {
        let _ = writeln!(
            text,
            "takeover   {} of {} live calls kept, {} lost",
            takeover.kept, takeover.calls, takeover.lost
        );
    }
    let alone = if cluster.alone { ", acknowledged by this node alone" } else { "" };
    let _ = writeln!(text, "facts      {} not acknowledged{alone}", cluster.facts_pending);
    text
}

/// What is known of the trunk, in words.
fn reached(state: &str) -> &'static str {
    match state {
        "answers" => "answers",
        "silent" => "answers OPTIONS no more: alert calls may not leave by it",
        "unheard" => "has not answered OPTIONS since the start: see whether a call leaves by it",
        _ => "no answer yet",
    }
}

/// What is known of the sentinel, in words.
fn told(sentinel: &Sentinel) -> String {
    let seconds = sentinel.silent_ms.unwrap_or_default() / 1_000;
    let before = if sentinel.proven { "" } else { ", and never answered this node: no proof" };
    match sentinel.state {
        "registered" => "registered by this node".to_owned(),
        "unregistered" => "not registered, though this node is primary".to_owned(),
        "unasked" if sentinel.proven => "has answered this node".to_owned(),
        "unasked" => "has not answered this node yet".to_owned(),
        "answers" => "answers through the PBX: the primary lives".to_owned(),
        "silent" => format!("has not answered for {seconds} s{before}"),
        "dead" => format!("has not answered for {seconds} s: the primary counts as dead"),
        _ => "not called yet".to_owned(),
    }
}

fn test_line(test: &ControlTest) -> String {
    let minutes = test.tested_ms.unwrap_or_default() / 60_000;
    let (hours, minutes) = (minutes / 60, minutes % 60);
    let told = match test.proven {
        None => "not tested yet".to_owned(),
        Some(true) => format!("answered the test call {hours} h {minutes} min ago"),
        Some(false) => format!("did not answer the test call {hours} h {minutes} min ago"),
    };
    format!("{} of {}: {told}", test.extension, test.node)
}

fn peer_line(peer: &Peer) -> String {
    let name = &peer.name;
    let Some(heard) = peer.heard_ms else { return format!("{name}: never heard since the start") };
    let lacks = match (peer.unshipped, peer.unshipped_since_ms) {
        (Some(0) | None, _) => String::new(),
        (Some(facts), since) => {
            let since = since.map_or_else(String::new, |ms| format!(", for {} s", ms / 1_000));
            format!(", unshipped records: {facts}{since}")
        }
    };
    if !peer.up {
        return format!("{name}: not heard for {} s{lacks}", heard / 1_000);
    }
    let role = peer.role.unwrap_or("silent");
    let pbx = match peer.pbx_reachable {
        Some(true) => ", reaches its PBX",
        Some(false) => ", does not reach its PBX",
        None => "",
    };
    format!("{name}: {role}{pbx}{lacks}")
}

/// A wish with the nodes by their numbers.
pub(super) fn wish(_format: Format, wish: &RoleWish, snapshot: &Snapshot) -> Answer {
    let refused =
        |text: String| Answer { reply: Reply::Error(text), order: None, agent: None, role: None };
    let Some(cluster) = &snapshot.cluster else {
        return refused("this node is alone: its configuration has no [cluster]".to_owned());
    };
    match order(wish, cluster, &snapshot.node.name) {
        Ok(order) => {
            let reply = Reply::Ok(Value::Null);
            Answer { reply, order: None, agent: None, role: Some(order) }
        }
        Err(text) => refused(text),
    }
}

fn order(wish: &RoleWish, cluster: &Cluster, me: &str) -> Result<Order, String> {
    Ok(match wish {
        RoleWish::Promote { node, force } => {
            let node = number(node.as_deref().unwrap_or(me), cluster)?;
            Order::Promote { node, forced: force.clone() }
        }
        RoleWish::Switchover { to, force } => {
            Order::Switchover { to: number(to, cluster)?, forced: *force }
        }
        RoleWish::Pause => Order::Pause,
        RoleWish::Resume => Order::Resume,
        RoleWish::Rejoin => Order::Rejoin,
        RoleWish::Release => Order::Release,
    })
}

fn number(name: &str, cluster: &Cluster) -> Result<NodeId, String> {
    let at = cluster.nodes.iter().position(|node| node == name);
    let number = at.and_then(|at| u8::try_from(at).ok()).map(NodeId);
    number.ok_or_else(|| format!("no node {name}; there are {}", cluster.nodes.join(", ")))
}

/// What became of an order, for whoever gave it.
pub fn role_reply(answer: role::Answer) -> Reply {
    match answer {
        role::Answer::Done => Reply::Ok(json!("done")),
        role::Answer::Refused { reasons, may_force } => {
            let hint = if may_force { " (--force would do it all the same)" } else { "" };
            Reply::Error(format!("{}{hint}", role::sentence(&reasons)))
        }
        role::Answer::Unknown => Reply::Error(
            "no answer in time: it may still happen; see `portkeeper status`".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::fixture::cluster;
    use crate::node::snapshot::cluster::{SENTINEL_STATES, TRUNK_STATES};

    #[test]
    fn status_says_who_is_primary_who_is_heard_and_what_protects() {
        let lines = lines(&cluster());
        let wanted = "\
cluster    north (trio): this node is backup; primary is a, epoch 7, promotion paused
peer       a: primary, reaches its PBX, unshipped records: 3, for 12 s
peer       w: not heard for 4 s, unshipped records: 7, for 4 s
sentinel   6099: has answered this node
trunk      198.51.100.7:5060: answers
control    6091 of a: answered the test call 2 h 0 min ago
control    6093 of w: not tested yet
passive    a is primary
ready      28 of 30 ports proven
unproven   2 ports: not asked yet
data       4 s old
on backup  for 1 d 1 h: bring the other server back
armed      redundancy: a backup and a witness
takeover   2 of 3 live calls kept, 1 lost
facts      1 not acknowledged, acknowledged by this node alone
";
        assert_eq!(lines, wanted);
    }

    #[test]
    fn status_has_words_of_its_own_for_each_state_of_a_trunk() {
        let said: std::collections::BTreeSet<_> = TRUNK_STATES.map(reached).into();
        assert_eq!(said.len(), TRUNK_STATES.len(), "{said:?}");
        assert!(reached("silent").contains("may not leave"));
    }

    #[test]
    fn status_says_what_a_sentinel_that_is_called_tells() {
        let said = |state, silent_ms, proven| {
            let sentinel = Sentinel { extension: "6099".to_owned(), state, silent_ms, proven };
            let text = lines(&Cluster { sentinel: Some(sentinel), ..cluster() });
            let line = text.lines().find_map(|line| line.strip_prefix("sentinel   6099: "));
            line.expect("a line").to_owned()
        };
        assert_eq!(said("registered", None, false), "registered by this node");
        assert_eq!(said("untried", None, true), "not called yet");
        assert_eq!(said("answers", None, true), "answers through the PBX: the primary lives");
        assert_eq!(said("silent", Some(40_000), true), "has not answered for 40 s");
        let unproven = "has not answered for 40 s, and never answered this node: no proof";
        assert_eq!(said("silent", Some(40_000), false), unproven);
        let dead = "has not answered for 140 s: the primary counts as dead";
        assert_eq!(said("dead", Some(140_000), true), dead);
        for state in SENTINEL_STATES {
            assert!(state == "untried" || said(state, None, true) != "not called yet", "{state}");
        }
    }

    #[test]
    fn status_of_a_pair_names_the_primary_that_is_not_heard() {
        let unheard_primary = Some("a".to_owned());
        let text = lines(&Cluster { primary: None, unheard_primary, ..cluster() });
        assert!(text.contains("; primary is not known, a is not heard, epoch 7"), "{text}");
        let text = lines(&Cluster { primary: None, ..cluster() });
        assert!(text.contains("; primary is nobody, epoch 7"), "{text}");
    }

    #[test]
    fn a_wish_names_a_node_that_is_there() {
        let promote =
            |node: Option<&str>| RoleWish::Promote { node: node.map(str::to_owned), force: None };
        let number = |wish| order(&wish, &cluster(), "b");
        let own = Order::Promote { node: NodeId(1), forced: None };
        assert_eq!(number(promote(None)), Ok(own));
        assert_eq!(number(promote(Some("c"))), Err("no node c; there are a, b, w".to_owned()));
    }

    #[test]
    fn a_refusal_says_whether_force_would_help() {
        let refused = |may_force| {
            let reasons = vec![role::Reason::IsPrimary { node: "a".to_owned() }];
            role_reply(role::Answer::Refused { reasons, may_force })
        };
        assert_eq!(refused(false), Reply::Error("a is primary".to_owned()));
        let forced = "a is primary (--force would do it all the same)";
        assert_eq!(refused(true), Reply::Error(forced.to_owned()));
    }
}
