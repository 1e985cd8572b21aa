//! The commands of an operator over the Unix socket, as text and as JSON.

use std::collections::BTreeSet;

use portkeeper::sim::app::Event;
use portkeeper::stage::pbx::LineState;
use serde_json::Value;

use super::stand::{Stand, Wish, call, eventually, line_when, pbx, portkeeper, text};

const LOOKS: [&str; 5] = ["status", "ports", "calls", "instances", "rebinds"];

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn each_command_shows_the_same_call_as_text_and_as_json() {
    let pbx = pbx(&["6001", "6002"]);
    let stand = Wish::at(pbx.address).start();
    let _instance = stand.takes_a_key(&pbx, "6002");

    let status = stand.json("status");
    assert_eq!((&status["calls"], &status["ports"]["bound"]), (&1.into(), &1.into()));
    assert_eq!(status["counters"]["digits_received_total"], 1);
    let calls = stand.json("calls");
    let (name, of_call) = (calls[0]["call"].as_str().expect("a name"), &calls[0]);
    assert_eq!((&of_call["state"], &of_call["extension"]), (&"bound".into(), &"6002".into()));
    assert_eq!((&of_call["caller"], &of_call["digits"]), (&"***01".into(), &1.into()));
    let ports = stand.json("ports");
    assert_eq!((&ports[0]["call"], &ports[1]["call"]), (&Value::Null, &name.into()));
    let instances = stand.json("instances");
    assert_eq!((&instances[0]["instance"], &instances[0]["calls"]), (&"i1".into(), &1.into()));
    assert_eq!(stand.json("rebinds"), Value::Array(Vec::new()));

    let shown = stand.said(&["status"]);
    assert!(shown.contains("faces ") && shown.contains("1 up, 1 since the start"), "{shown}");
    let row = |command: &str, word: &str| {
        let table = stand.said(&[command]);
        let found = table.lines().find(|row| row.contains(word)).map(str::to_owned);
        found.unwrap_or_else(|| panic!("no {word} in\n{table}"))
    };
    assert!(row("ports", "6002").contains(name) && row("ports", "6001").contains("idle"));
    assert!(row("calls", name).contains("bound"));
    assert!(row("instances", "i1").contains("healthy"));
    assert!(stand.said(&["rebinds"]).starts_with("CALL "));
}

#[test]
fn the_keys_of_a_live_node_are_those_of_the_manual() {
    let manual = include_str!("../../docs/OPERATING.md");
    let pbx = pbx(&["6001"]);
    let stand = Wish { extensions: "\"6001\"", ..Wish::at(pbx.address) }.start();
    stand.registered(1);
    let _instance = stand.instance();
    let line = call(&pbx, 1, "6001");
    line_when(&pbx, line, LineState::Up);
    for command in LOOKS {
        let value = stand.json(command);
        let first = value.as_array().map_or(Some(&value), |list| list.first());
        for key in first.map(keys).unwrap_or_default() {
            assert!(manual.contains(&format!("`{key}`")), "{command}: no word of `{key}`");
        }
    }
    let counters = stand.json("status")["counters"].clone();
    for key in keys(&counters) {
        assert!(manual.contains(&format!("`{key}`")), "no word of `{key}`");
    }
    // By a label each, which the manual lists behind the counter.
    for kind in keys(&counters["refused_messages_total"]) {
        assert!(manual.contains(&format!("`{kind}`")), "no word of `{kind}`");
    }
}

#[test]
fn a_drained_instance_gets_no_new_calls_until_it_is_taken_back() {
    let pbx = pbx(&["6001", "6002"]);
    let stand = Wish::at(pbx.address).start();
    stand.registered(2);
    let (first, second) = (stand.instance(), stand.instance());
    assert_eq!(stand.said(&["drain", "i1"]), "i1 gets no new calls; its own stay\n");
    assert_eq!(stand.json("instances")[0]["draining"], true);
    let line = call(&pbx, 1, "6001");
    line_when(&pbx, line, LineState::Up);
    second.wait_for(|said| matches!(said, Event::Started { .. }));

    assert_eq!(stand.said(&["drain", "i1", "--off"]), "i1 gets calls\n");
    assert_eq!(stand.said(&["drain", "i2"]), "i2 gets no new calls; its own stay\n");
    let line = call(&pbx, 2, "6002");
    line_when(&pbx, line, LineState::Up);
    first.wait_for(|said| matches!(said, Event::Started { rebound: false, .. }));
    assert_eq!(stand.json("status")["calls"], 2, "the call of i2 stays");
    let orders = stand.log_lines("an operator's order");
    assert_eq!(orders.len(), 3, "{orders:?}");
    assert!(orders[0].contains("drain i1") && orders[0].contains("uid "), "{orders:?}");
}

#[test]
fn a_drained_node_refuses_new_calls_and_keeps_those_that_are_up() {
    let pbx = pbx(&["6001", "6002"]);
    let stand = Wish::at(pbx.address).start();
    stand.registered(2);
    let _instance = stand.instance();
    let stays = call(&pbx, 1, "6001");
    line_when(&pbx, stays, LineState::Up);
    let said = stand.said(&["drain", "node"]);
    assert_eq!(said, "the node takes no new calls; calls that are up stay\n");
    let refused = call(&pbx, 2, "6002");
    line_when(&pbx, refused, LineState::Lost);
    assert_eq!(stand.page("/readyz").0, 503);
    line_when(&pbx, stays, LineState::Up);
    let said: Value =
        serde_json::from_str(&stand.said(&["drain", "node", "--off", "--json"])).expect("JSON");
    assert_eq!(said, serde_json::json!({"draining": false, "text": "the node takes calls"}));
    let taken = call(&pbx, 3, "6002");
    line_when(&pbx, taken, LineState::Up);
}

#[test]
fn a_call_is_moved_by_hand_and_the_rebind_is_shown() {
    let pbx = pbx(&["6001", "6002"]);
    let stand = Wish::at(pbx.address).start();
    stand.registered(2);
    let (first, second) = (stand.instance(), stand.instance());
    let line = call(&pbx, 1, "6002");
    line_when(&pbx, line, LineState::Up);
    first.wait_for(|said| matches!(said, Event::Started { .. }));
    let name = stand.json("calls")[0]["call"].as_str().expect("a name").to_owned();
    let said = stand.said(&["rebind", "6002"]);
    assert_eq!(said, format!("call {name} is being moved to another instance\n"));
    second.wait_for(|said| matches!(said, Event::Started { rebound: true, .. }));
    let rebind = eventually("the rebind", || {
        let rebind = stand.json("rebinds")[0].clone();
        rebind["total_ms"].is_number().then_some(rebind)
    });
    assert_eq!((&rebind["from"], &rebind["to"]), (&"i1".into(), &"i2".into()));
    assert_eq!((&rebind["reason"], &rebind["call"]), (&"operator".into(), &name.as_str().into()));
    assert!(stand.said(&["rebinds"]).contains("operator"));
    assert!(stand.said(&["status"]).contains("1 (1 operator)"));
    // The other one would not take it back.
    stand.said(&["drain", "i1"]);
    let (code, said) = stand.refused(&["rebind", "6002"]);
    assert!(code == 1 && said.starts_with(&format!("call {name} stays: no other")), "{said}");
}

#[test]
fn an_order_that_cannot_be_carried_out_is_refused_with_a_reason() {
    let pbx = pbx(&["6001", "6002"]);
    let stand = Wish::at(pbx.address).start();
    let refused = |arguments: &[&str]| stand.refused(arguments);
    assert_eq!(refused(&["drain", "i9"]), (1, "no instance i9: none is connected\n".to_owned()));
    assert_eq!(refused(&["rebind", "0"]), (1, "port 0 has no call\n".to_owned()));
    let (code, said) = refused(&["rebind", "nobody"]);
    assert_eq!(code, 1);
    assert!(said.contains("`portkeeper calls` lists the calls"), "{said}");
    assert_eq!(refused(&["rebind"]).0, 2, "wrong usage");
}

#[test]
fn a_command_without_a_node_says_what_to_do() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for command in LOOKS {
        let socket = ["--socket", "nowhere.sock"];
        let output = portkeeper(&[command, socket[0], socket[1]], directory.path());
        assert_eq!(output.status.code(), Some(3), "{command}");
        let said = text(&output.stderr);
        assert!(said.contains("nowhere.sock") && said.contains("portkeeper run"), "{said}");
    }
}

#[test]
#[cfg(not(feature = "mutants"))]
fn without_planted_bugs_none_are_hunted_and_nothing_is_said_to_be_wrong() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let output = portkeeper(&["sim", "--mutants"], directory.path());
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.lines().count() == 1 && said.contains("build it with --features mutants"),
        "{said}"
    );
}

#[test]
fn an_orderly_stop_ends_calls_and_takes_registrations_away() {
    let pbx = pbx(&["6001", "6002"]);
    let stand: Stand = Wish::at(pbx.address).start();
    stand.registered(2);
    let _instance = stand.instance();
    let line = call(&pbx, 1, "6001");
    line_when(&pbx, line, LineState::Up);
    let (code, log) = stand.stop();
    assert_eq!(code, Some(0), "{log}");
    line_when(&pbx, line, LineState::Lost);
    assert_eq!(pbx.report().registered, 0);
    assert!(log.contains("stopping") && log.contains("SIGTERM"), "{log}");
}
