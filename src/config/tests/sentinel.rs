//! `[control.sentinel]` and the test calls of control extensions: where they stand among ports and
//! nodes, who needs them, and what is said about wrong ones.

use super::cluster::{CONTROL, node, witness};
use super::*;
use crate::ids::PortId;

const SENTINEL: &str =
    "[control.sentinel]\nextension = \"6099\"\npassword_file = \"secrets/6001\"\n";

#[test]
fn the_sentinel_comes_behind_the_control_port_and_moves_with_the_role() {
    let read = parsed(&node("a", &format!("{CONTROL}{SENTINEL}")));
    assert_eq!(read.faults, []);
    let config = read.config.expect("usable");
    let (control, sentinel, more, proof) = (PortId(1), PortId(2), PortId(3), PortId(4));
    let wanted = Sentinel { extension: "6099".to_owned(), port: Some(sentinel) };
    assert_eq!(config.sentinel(), Some(&wanted));
    let port = &config.ports[2];
    assert_eq!((port.kind, port.auth_user.as_str()), (PortKind::Sentinel, "6099"));
    assert!(port.kind.moves() && !config.ports[1].kind.moves());
    assert_eq!(config.control_lines().collect::<Vec<_>>(), [control, more]);
    assert_eq!((config.proof_line(), config.lines()), (Some(proof), 5));
    assert_eq!((config.port_of(proof), config.port_of(sentinel)), (control, sentinel));
    assert_eq!(config.pool_ports().len(), 1);
}

#[test]
fn a_witness_calls_the_sentinel_and_never_has_it() {
    let read = parsed(&(witness() + "[control.sentinel]\nextension = \"6099\"\n"));
    assert_eq!(read.faults, []);
    let config = read.config.expect("usable");
    assert_eq!(config.sentinel().and_then(|sentinel| sentinel.port), None);
    assert_eq!((config.ports.len(), config.proof_line()), (1, Some(PortId(2))));
}

#[test]
fn a_sentinel_that_cannot_be_one_is_told_why() {
    let with = |text: String| report(&text);
    let alone = with(format!("{GOOD}{CONTROL}{SENTINEL}"));
    assert!(alone.contains("error: control.sentinel: asks whether another node"), "{alone}");
    let lonely = with(node("a", SENTINEL));
    assert!(lonely.contains("error: control.extension: is missing"), "{lonely}");
    for (taken, said) in [("6001", "is one of [[ports]] too"), ("6090", "is control.extension too")]
    {
        let text = SENTINEL.replace("\"6099\"", &format!("\"{taken}\""));
        let report = with(node("a", &format!("{CONTROL}{text}")));
        assert!(report.contains("control.sentinel.extension"), "{report}");
        assert!(report.contains(said), "{report}");
    }
    let nameless = with(node("a", &format!("{CONTROL}{}", SENTINEL.replace("extension", "#"))));
    assert!(nameless.contains("the extension that only the primary registers"), "{nameless}");
    let open = SENTINEL.replace("password_file", "# password_file");
    let open = with(node("a", &format!("{CONTROL}{open}")));
    assert!(open.contains("error: control.sentinel.password: is missing"), "{open}");
    let own = node("a", &format!("{CONTROL}{SENTINEL}")).replace("\"trio\"", "\"pair\"");
    let own = own.replace("[cluster]\n", "[cluster]\ntakeover = \"dual_devices\"\n");
    assert!(with(own).contains("both nodes serve: take it out"));
}

#[test]
fn the_sentinel_is_the_same_on_every_node_that_has_one() {
    let shared = |name: &str, more: &str| {
        let text = node(name, &format!("{CONTROL}{more}"));
        Shared::of(&parsed(&text).config.expect("usable"))
    };
    let (a, b) = (shared("a", SENTINEL), shared("b", &SENTINEL.replace("6099", "6098")));
    let said = a.disagreement(&b, "b").expect("differ");
    assert_eq!(said, "control.sentinel.extension differ: 6099 here, 6098 at b");
    assert_eq!(a.disagreement(&shared("b", ""), "b"), None);
}

#[test]
fn the_sentinel_of_the_operating_manual_is_good() {
    let manual = include_str!("../../../docs/OPERATING.md");
    let block = manual.split("```\n").find(|block| block.contains("[control.sentinel]"));
    let block = block.expect("an example").replace("secrets/6091", "secrets/6001");
    let read = parsed(&node("b", &block.replace("secrets/6099", "secrets/6001")));
    assert_eq!(read.faults, []);
    assert_eq!(read.config.expect("usable").sentinel().expect("one").extension, "6099");
}

/// Node `name` of three whose control extensions are written, with this one of its own.
fn tested(name: &str, own: &str) -> String {
    let text = node(name, &CONTROL.replace("6090", own));
    let numbers = [("10:7443", "6090"), ("11:7443", "6092"), ("12:7443", "6093")];
    numbers.into_iter().fold(text, |text, (link, number)| {
        let link = format!("link = \"192.0.2.{link}\"\n");
        text.replace(&link, &format!("{link}control = \"{number}\"\n"))
    })
}

#[test]
fn a_node_tests_the_control_extensions_of_the_others_at_its_pbx() {
    let read = parsed(&tested("b", "6092"));
    assert_eq!(read.faults, []);
    let config = read.config.expect("usable");
    let tests: Vec<_> = config.self_calls().map(|(peer, number)| (&*peer.name, number)).collect();
    assert_eq!(tests, [("a", "6090"), ("w", "6093")]);
    assert!(config.is_control_of_peer("6093") && !config.is_control_of_peer("6092"));
    let usual = config.control.as_ref().and_then(|control| control.self_call);
    assert_eq!((usual, config.proof_line()), (Some(NightTime::USUAL), Some(PortId(3))));
    let elsewhere = tested("b", "6092").replace("name = \"a\"\n", "name = \"a\"\npbx = \"x\"\n");
    let config = parsed(&elsewhere).config.expect("usable");
    assert_eq!(config.self_calls().count(), 1, "the other PBX cannot be dialled");
    let off = tested("b", "6092").replace("[control]\n", "[control]\nself_call = \"off\"\n");
    let config = parsed(&off).config.expect("usable");
    assert_eq!((config.self_calls().count(), config.proof_line()), (0, None));
}

#[test]
fn numbers_of_control_extensions_that_cannot_be_are_told_why() {
    let other = report(&tested("b", "6094"));
    let said = "cluster.nodes[1].control = \"6092\": is not control.extension (\"6094\")";
    assert!(other.contains(said), "{other}");
    let twice = report(&tested("b", "6092").replace("\"6093\"", "\"6090\""));
    assert!(twice.contains("cluster.nodes[2].control = \"6090\": is that of \"a\" too"), "{twice}");
    let without = report(&tested("b", "6092").replace("[control]\n", "[log]\n#"));
    assert!(without.contains("this node has no [control]: write it"), "{without}");
    let text = tested("b", "6092").replace("[control]\n", "[control]\nself_call = \"3\"\n");
    assert!(report(&text).contains("write a time of the day, as \"03:40\", or \"off\""));
}
