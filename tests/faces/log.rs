//! The log: text or JSON lines on standard error, and no secret in either.

use std::io::{Write as _, pipe};

use serde_json::Value;

use super::stand::{ARI_PASSWORD, PASSWORD, Wish, eventually, pbx};

/// One call with digits, from start to stop; the whole log.
fn life(log: &'static str) -> String {
    let pbx = pbx(&["6001", "6002"]);
    let stand = Wish { log, ..Wish::at(pbx.address) }.start();
    let _instance = stand.takes_a_key(&pbx, "6001");
    stand.said(&["drain", "i1"]);
    let (code, log) = stand.stop();
    assert_eq!(code, Some(0), "{log}");
    log
}

#[test]
fn a_text_line_has_a_time_a_level_a_part_and_a_sentence() {
    let log = life("");
    for line in log.lines() {
        let mut words = line.split_whitespace();
        let time = words.next().expect("a time");
        assert!(time.ends_with('Z') && time.contains('T'), "{line}");
        assert!(matches!(words.next(), Some("INFO" | "WARN")), "{line}");
        assert!(words.next().is_some_and(|part| part.starts_with("portkeeper")), "{line}");
        assert!(words.next().is_some(), "{line}");
        assert!(!line.contains('\x1b'), "colours in a file: {line}");
    }
    let stories = ["ready", "instance connected", "call begins", "an operator's order"];
    for story in stories.into_iter().chain(["call ended", "stopping", "stopped"]) {
        assert!(log.contains(story), "no {story} in\n{log}");
    }
}

#[test]
fn a_json_line_is_one_object_with_its_values_as_fields() {
    let log = life("json = true");
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    for line in &lines {
        for key in ["timestamp", "level", "target", "fields"] {
            assert!(!line[key].is_null(), "{line}");
        }
        assert!(line["fields"]["message"].is_string(), "{line}");
    }
    let order = lines.iter().find(|line| line["fields"]["message"] == "an operator's order");
    let fields = &order.expect("the order")["fields"];
    assert_eq!(fields["order"], "drain i1");
    assert!(fields["who"].as_str().is_some_and(|who| who.starts_with("uid ")), "{fields}");
}

#[test]
fn no_level_of_the_log_tells_a_password_or_a_caller() {
    let log = life("filter = \"trace\"");
    assert!(log.contains("DEBUG") || log.contains("TRACE"), "the filter is open");
    for line in log.lines() {
        for secret in [PASSWORD, ARI_PASSWORD, "20001"] {
            assert!(!line.contains(secret), "{line}");
        }
    }
}

#[test]
fn an_instance_that_hung_is_a_warning_and_one_that_hesitates_is_not() {
    let pbx = pbx(&["6001", "6002"]);
    let stand = Wish::at(pbx.address).start();
    let instance = stand.instance();
    eventually("a pong", || stand.json("instances")[0]["pong"].is_object().then_some(()));
    instance.freeze();
    let hung = eventually("a hang", || stand.log_lines("health=Hung").pop());
    assert!(hung.contains("WARN") && hung.contains("instance=i1"), "{hung}");
    let suspect = stand.log_lines("health=Suspect").pop().expect("suspect before");
    assert!(suspect.contains("INFO"), "{suspect}");
}

#[test]
fn the_filter_is_obeyed() {
    let log = life("filter = \"portkeeper::node=info,off\"");
    assert!(log.contains("call begins") && !log.contains("stopping"), "{log}");
}

#[test]
fn a_reader_of_the_log_that_hangs_holds_nothing_up() {
    let (reader, mut writer) = pipe().expect("a pipe");
    writer.write_all(&[b'.'; 64 << 10]).expect("what a pipe holds, so that it is full");
    let pbx = pbx(&["6001", "6002"]);
    let stand = Wish { stderr: Some(writer.into()), ..Wish::at(pbx.address) }.start();
    let _instance = stand.takes_a_key(&pbx, "6001");
    assert_eq!(stand.stop().0, Some(0));
    drop(reader);
}
