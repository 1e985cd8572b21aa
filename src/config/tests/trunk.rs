//! `[control.trunk]`: where it stands among the ports, and what is said about a wrong one.

use std::net::SocketAddr;

use super::cluster::{CONTROL, node, witness};
use super::*;
use crate::ids::PortId;

const TRUNK: &str = "[control.trunk]\naddress = \"198.51.100.7:5070\"\nnumber = \"4930123456\"\n";
const PEOPLE: &str = "[[control.on_call]]\nextension = \"2001\"\noutside = \"+49170555\"\n";

#[test]
fn the_trunk_comes_last_and_stays_with_its_node() {
    let sentinel = "[control.sentinel]\nextension = \"6099\"\npassword_file = \"secrets/6001\"\n";
    let text = node("a", &format!("{CONTROL}{sentinel}{TRUNK}{PEOPLE}"));
    let read = parsed(&text);
    assert_eq!(read.faults, []);
    let config = read.config.expect("usable");
    let address = SocketAddr::from(([198, 51, 100, 7], 5070));
    let domain = "198.51.100.7".to_owned();
    assert_eq!(config.trunk(), Some(&Trunk { port: PortId(3), address, domain }));
    let port = &config.ports[3];
    assert_eq!((port.id, port.kind, port.kind.moves()), (PortId(3), PortKind::Trunk, false));
    assert_eq!(port.extension, "4930123456");
    let outside = &config.control.as_ref().expect("one").on_call[0].outside;
    assert_eq!(outside.as_deref(), Some("+49170555"));
    let config = parsed(&(witness() + TRUNK + PEOPLE)).config.expect("usable");
    assert_eq!(config.trunk().map(|trunk| trunk.port), Some(PortId(1)));
}

#[test]
fn a_trunk_that_cannot_be_one_is_told_why() {
    let with = |trunk: &str, people: &str| report(&node("a", &format!("{CONTROL}{trunk}{people}")));
    for (from, to, said) in [
        ("198.51.100.7:5070", "gw.example:5060", "no name, as its server may be gone"),
        ("198.51.100.7:5070", "[2001:db8::7]:5060", "pbx.local_address is IPv4"),
        ("number = \"4930123456\"", "", "control.trunk.number: is missing"),
        ("address = \"198.51.100.7:5070\"", "", "control.trunk.address: is missing"),
        ("number", "auth_user = \"site7\"\nnumber", "control.trunk.password: is missing"),
    ] {
        let report = with(&TRUNK.replace(from, to), PEOPLE);
        assert!(report.contains(said), "{said}: {report}");
    }
    let nobody = with(TRUNK, "[[control.on_call]]\nextension = \"2001\"\n");
    assert!(nobody.contains("error: control.trunk: calls nobody"), "{nobody}");
    let no_way = with("", PEOPLE);
    assert!(no_way.contains("is dialled by [control.trunk], which is missing"), "{no_way}");
}
