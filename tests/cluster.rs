//! A cluster under calls, and each of its processes dies in turn: no call ends, no key is lost.
//!
//! A program of its own: everything here plays on fixed loopback addresses and wants both cores.

use portkeeper::sim::pbx::LineId;
use portkeeper::stage::cast::until;
use portkeeper::stage::pbx::LineState;
use portkeeper::stage::play_with;
use portkeeper::stage::trio::{Cast, Trio, other};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_portkeeper");
const CALLS: u32 = 4;
const WITNESS: usize = 2;
/// A second of sound.
const PACKETS: usize = 50;

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    until(what, || Ok(is_so())).expect("in time");
}

/// The callers press a key: the application of each call at the primary takes it, and every caller
/// hears sound all the while.
fn goes_on(trio: &mut Trio, lines: &[LineId], keys: &mut String, key: char) {
    keys.push(key);
    let before = trio.pbx.report();
    lines.iter().for_each(|&line| trio.press(line, &key.to_string()));
    eventually("every application has the key", || {
        let taken = trio.crew.digits();
        taken.values().filter(|digits| *digits == keys).count() == lines.len()
    });
    eventually("every caller hears on", || {
        let now = trio.pbx.report();
        let heard = |line| now.lines[line].arrivals.len() - before.lines[line].arrivals.len();
        lines.iter().all(|line| heard(line) >= PACKETS)
    });
    let report = trio.pbx.report();
    assert!(lines.iter().all(|line| report.lines[line].state == LineState::Up), "a call ended");
}

/// Waits until a node has raised an alarm.
fn alarm(trio: &Trio, at: usize, text: &str) {
    eventually(text, || {
        let Ok(status) = trio.sites[at].status() else { return false };
        let alarms = status["alarms"].as_array().expect("a list").clone();
        let says = |alarm: &Value| alarm["text"].as_str().is_some_and(|said| said.contains(text));
        alarms.iter().any(says)
    });
}

#[test]
fn each_process_dies_in_turn_and_no_call_drops() {
    play_with(PROGRAM.into());
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut trio = Cast {
        ports: 2 * CALLS,
        register_rate: 0,
        promotion: "auto",
        directory: directory.path().to_owned(),
    }
    .start()
    .expect("a cluster");
    let primary = trio.wait_for_primary().expect("a primary");
    let backup = other(primary);
    trio.wait_for_backup(backup).expect("a backup");
    let lines = trio.place(CALLS);
    trio.wait_until_served(&lines, primary).expect("served");
    let mut keys = String::new();
    goes_on(&mut trio, &lines, &mut keys, '1');

    let instance = *trio.sites[primary].instances.last().expect("one");
    trio.crew.instances.remove(&instance).expect("lives").kill().expect("killed");
    eventually("its calls wait for another one", || {
        trio.sites[primary].status().is_ok_and(|status| status["instances"]["healthy"] == 0)
    });
    trio.staff(primary).expect("another instance");
    goes_on(&mut trio, &lines, &mut keys, '2');

    trio.sites[WITNESS].node.kill().expect("killed");
    alarm(&trio, primary, "the witness is not heard");
    goes_on(&mut trio, &lines, &mut keys, '3');
    trio.sites[WITNESS].restart().expect("back");

    trio.sites[backup].node.kill().expect("killed");
    alarm(&trio, primary, "is not heard: nobody would take over");
    goes_on(&mut trio, &lines, &mut keys, '4');
    trio.sites[backup].restart().expect("back");
    trio.staff(backup).expect("an instance");
    trio.wait_until_served(&lines, primary).expect("copied");

    trio.sites[primary].node.kill().expect("killed");
    eventually("the backup acts", || trio.primary() == Some(backup));
    goes_on(&mut trio, &lines, &mut keys, '5');
    trio.hang_up(&lines, backup).expect("ended");
}
