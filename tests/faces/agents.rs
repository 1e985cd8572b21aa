//! Agents of the phone menu on the command line.

use super::stand::{Wish, pbx, text};

const ADD: [&str; 5] = ["agent", "add", "4711", "--name", "Ada"];

#[test]
fn a_node_that_keeps_no_agents_says_so_to_every_command() {
    let pbx = pbx(&["6001", "6002"]);
    let stand = Wish::at(pbx.address).start();
    let (code, complaint) = stand.refused(&["agent", "list"]);
    assert_eq!((code, complaint.contains("keeps no agents")), (1, true), "{complaint}");
    for arguments in [["agent", "disable", "4711"], ["agent", "unlock", "4711"]] {
        assert!(stand.refused(&arguments).1.contains("keeps no agents"));
    }
    let output = stand.fed(&ADD, "190472\n");
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(1), ""));
    assert!(text(&output.stderr).contains("keeps no agents"));
    assert!(!stand.log().contains("190472"), "no PIN in a log");
}

#[test]
fn a_pin_comes_from_a_pipe_and_never_from_an_argument() {
    let pbx = pbx(&["6001", "6002"]);
    let stand = Wish::at(pbx.address).start();
    let output = stand.fed(&ADD, "");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("no PIN: nothing was keyed"));
    let output = stand.fed(&[&ADD[..], &["--pin", "190472"]].concat(), "");
    assert_eq!(output.status.code(), Some(2), "there is no such argument");
}
