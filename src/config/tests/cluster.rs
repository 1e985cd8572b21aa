//! Clusters: who is in one, what they must share, and what is said about wrong ones.

use std::net::SocketAddr;

use super::*;
use crate::ids::{NodeId, PortId};

/// What turns [`GOOD`] into node `a` of three.
const TRIO: &str = r#"
[cluster]
id = "north"
profile = "trio"
credentials = "cluster"
[[cluster.nodes]]
name = "a"
link = "192.0.2.10:7443"
[[cluster.nodes]]
name = "b"
link = "192.0.2.11:7443"
[[cluster.nodes]]
name = "w"
role = "witness"
link = "192.0.2.12:7443"
"#;

pub(super) fn node(name: &str, more: &str) -> String {
    format!("[node]\nname = \"{name}\"\n{GOOD}{TRIO}{more}")
}

pub(super) const CONTROL: &str =
    "[control]\nextension = \"6090\"\npassword = \"kT7-pq2Zr9vXw4mN8sLd\"\n";

/// A witness: no ports, no applications.
pub(super) fn witness() -> String {
    let ports = GOOD.find("[[ports]]").expect("ports");
    format!("[node]\nname = \"w\"\n{}{TRIO}{CONTROL}", &GOOD[..ports])
}

#[test]
fn without_a_section_a_node_is_a_cluster_of_its_own() {
    let config = parsed(GOOD).config.expect("usable");
    assert_eq!(config.cluster.profile, ClusterProfile::Single);
    assert_eq!(config.cluster.peers().count(), 0);
    assert_eq!(config.cluster.name_of(config.cluster.me), "portkeeper");
    assert!(config.control.is_none());
}

#[test]
fn a_data_node_without_a_control_extension_is_warned_of_what_it_cannot_know() {
    let faults = parsed(&node("b", "")).faults;
    let [fault] = &faults[..] else { panic!("{faults:?}") };
    assert_eq!((fault.severity, fault.key.as_str()), (Severity::Warning, "control"));
    assert!(fault.text.contains("learns from OPTIONS alone whether it reaches the PBX"));
}

#[test]
fn a_node_of_a_trio_knows_itself_and_its_peers() {
    let parsed = parsed(&node("b", CONTROL));
    assert_eq!(parsed.faults, []);
    let cluster = parsed.config.expect("usable").cluster;
    assert_eq!((cluster.me, cluster.witness()), (NodeId(1), Some(NodeId(2))));
    let peers: Vec<_> = cluster.peers().map(|peer| peer.name.as_str()).collect();
    assert_eq!(peers, ["a", "w"]);
    assert_eq!(cluster.data_peer().map(|peer| peer.id), Some(NodeId(0)));
    assert_eq!(cluster.timers, TimerProfile::Lan.timers());
    assert_eq!((cluster.promotion, cluster.rehearsal), (Promotion::Auto, Rehearsal::Query));
    assert_eq!(cluster.credentials, Path::new("/etc/pk/cluster"));
    assert!(!cluster.is_witness() && !cluster.other_pbx(NodeId(0)));
}

#[test]
fn rehearsals_are_off_where_they_can_harm_the_pbx() {
    let config = parsed(&GOOD.replace("generic", "nec")).config.expect("usable");
    assert_eq!(config.cluster.rehearsal, Rehearsal::Off);
}

#[test]
fn a_witness_needs_no_voice_ports_and_may_have_none() {
    let parsed = parsed(&witness());
    assert_eq!(parsed.faults, []);
    let config = parsed.config.expect("usable");
    assert!(config.cluster.is_witness() && config.pool_ports().is_empty());
    assert_eq!(config.ports.len(), 1);
    let with_ports = node("w", CONTROL);
    assert!(
        report(&with_ports).contains("a witness has no voice ports"),
        "{}",
        report(&with_ports)
    );
}

#[test]
fn the_control_port_comes_last_and_is_not_of_the_pool() {
    let text = GOOD.replace("\"6001\"", "\"6001-6003\"") + CONTROL + "callers = [\"60XX\"]\n";
    let config = parsed(&text).config.expect("usable");
    let control = config.control.as_ref().expect("one");
    assert_eq!((control.port, control.language.as_str()), (PortId(3), "en"));
    assert_eq!(control.callers, ["60XX"]);
    assert_eq!(config.pool_ports().len(), 3);
    let port = &config.ports[3];
    assert_eq!((port.id, port.kind), (PortId(3), PortKind::Control));
    assert_eq!((port.extension.as_str(), port.auth_user.as_str()), ("6090", "6090"));
    assert!(config.is_control(PortId(3)) && !config.is_control(PortId(2)));
}

#[test]
fn the_on_call_list_keeps_its_order() {
    let list = "two_person = true\n[[control.on_call]]\nextension = \"2001\"\nagent = \"4711\"\n\
                [[control.on_call]]\nextension = \"+49301234\"\n";
    let text = GOOD.to_owned() + CONTROL + list;
    let control = parsed(&text).config.expect("usable").control.expect("one");
    let person = |extension: &str, agent: &str| {
        let (extension, agent) = (extension.to_owned(), agent.to_owned());
        OnCall { extension, outside: None, agent }
    };
    assert_eq!(control.on_call, [person("2001", "4711"), person("+49301234", "")]);
    assert!(control.two_person);
}

#[test]
fn automatic_promotion_of_a_pair_is_warned_of_unless_each_has_a_pbx_of_its_own() {
    let pair = node("a", CONTROL)
        .replace("profile = \"trio\"", "profile = \"pair\"\npromotion = \"auto\"")
        .replace("[[cluster.nodes]]\nname = \"w\"\nrole = \"witness\"\n", "")
        .replace("link = \"192.0.2.12:7443\"\n", "");
    assert!(report(&pair).contains("only after an orderly stop"), "{}", report(&pair));
    let apart = pair.replace("192.0.2.11:7443\"", "192.0.2.11:7443\"\npbx = \"south\"");
    assert_eq!(report(&apart), "");
}

#[test]
fn missing_credentials_are_warned_of_with_what_makes_them() {
    let (text, base) = (node("a", ""), Path::new("/etc/pk"));
    let fault_of = |path: &Path| Some(format!("there is no {}", path.display()));
    let parsed = parse(Source {
        text: &text,
        base,
        read_file: &read_file,
        fault_of: &fault_of,
        today: Day::default(),
    });
    let report = Report { file: "x.toml", faults: &parsed.faults }.to_string();
    assert!(report.contains("lacks ca.pem, node.pem, node.key: run `portkeeper cluster init`"));
    assert!(parsed.config.is_some());
}

fn shared(text: &str) -> Shared {
    Shared::of(&parsed(text).config.expect("usable"))
}

#[test]
fn nodes_with_one_configuration_agree() {
    let (a, b, w) = (shared(&node("a", "")), shared(&node("b", "")), shared(&witness()));
    assert_eq!(a, b);
    assert_eq!(a.digest(), b.digest());
    assert_eq!((a.disagreement(&b, "b"), a.disagreement(&w, "w")), (None, None));
    assert_eq!(w.disagreement(&a, "a"), None);
}

#[test]
fn a_disagreement_is_named_with_both_sides() {
    let wide = |range: &str| node("a", "").replace("\"6001\"", range);
    let a = shared(&wide("\"6001-6030\""));
    let says = |other: &str| a.disagreement(&shared(other), "b");
    assert_eq!(
        says(&wide("\"6001-6020\"")).as_deref(),
        Some("extensions differ: 6001-6030 here, 6001-6020 at b")
    );
    let order = wide("[\"6002-6030\", \"6001\"]");
    assert!(says(&order).is_some_and(|text| text.contains("6002-6030, 6001 at b")));
    let slow = wide("\"6001-6030\"").replace(
        "[[cluster.nodes]]\nname = \"a\"",
        "timers = \"vm\"\n\
                                              [[cluster.nodes]]\nname = \"a\"",
    );
    assert_eq!(says(&slow).as_deref(), Some("cluster.timers differ: lan here, vm at b"));
    let pbx = wide("\"6001-6030\"").replace("[pbx]", "[pbx]\nid = \"south\"");
    assert!(says(&pbx).is_some_and(|text| text.starts_with("cluster.nodes differ: a ")));
}

#[test]
fn nodes_at_what_is_called_two_pbxs_share_neither_extension_nor_registrar() {
    let side = |name: &str, extension: &str, registrar: &str| {
        let id = if name == "a" { "north" } else { "south" };
        let text = node(name, "")
            .replace("[pbx]", &format!("[pbx]\nid = \"{id}\""))
            .replace("192.0.2.10:7443\"", "192.0.2.10:7443\"\npbx = \"north\"")
            .replace("192.0.2.11:7443\"", "192.0.2.11:7443\"\npbx = \"south\"")
            .replace("\"6001\"", &format!("\"{extension}\""))
            .replace("\"10.0.0.5\"", &format!("\"{registrar}\""));
        shared(&text)
    };
    let a = side("a", "6001", "10.0.0.5");
    assert_eq!(a.at_both(&side("b", "7001", "10.0.1.5")), None);
    let extension = a.at_both(&side("b", "6001", "10.0.1.5"));
    assert_eq!(extension.as_deref(), Some("extensions are equal, from 6001 on"));
    let registrar = a.at_both(&side("b", "7001", "10.0.0.5"));
    let text = "it registers at 10.0.0.5:5060, as this node does";
    assert_eq!(registrar.as_deref(), Some(text));
    let own = side("a", "6001", "127.0.0.1").at_both(&side("b", "7001", "127.0.0.1"));
    assert_eq!(own, None, "a proxy on each host");
}

#[test]
fn long_parts_that_begin_alike_are_told_apart() {
    let list = |last: &str| {
        let odd: Vec<_> = (0..200).map(|n| format!("\"{}\"", 5000 + 2 * n)).collect();
        node("a", "").replace("\"6001\"", &format!("[{}, \"{last}\"]", odd.join(", ")))
    };
    let text = shared(&list("7001")).disagreement(&shared(&list("7003")), "b").expect("one");
    assert!(text.starts_with("extensions differ after what both begin with: 5000, 5002"), "{text}");
    assert!(text.len() < 300, "{text}");
}

/// Node `a` of two that have devices of their own.
fn dual(range: &str) -> String {
    let witness = TRIO.find("[[cluster.nodes]]\nname = \"w\"").expect("a witness");
    let two = TRIO[..witness].replace("\"trio\"", "\"pair\"\ntakeover = \"dual_devices\"");
    let ports = GOOD.replace("\"6001\"", range);
    format!("[node]\nname = \"a\"\n{ports}{two}{CONTROL}")
}

#[test]
fn devices_of_their_own_have_extensions_of_their_own() {
    assert_eq!(parsed(&dual("\"6001\"")).faults, []);
    let own = |range: &str| shared(&dual(range));
    let a = own("\"6001\"");
    assert_eq!(a.disagreement(&own("\"7001\""), "b"), None);
    let says = |ours: &str, theirs: &str| own(ours).disagreement(&own(theirs), "b");
    let same = says("\"6001\"", "\"6001\"").expect("they would fight for one binding");
    assert!(same.starts_with("extension 6001 is here and at b: with"), "{same}");
    let overlap = says("\"6001-6010\"", "\"6008-6020\"").expect("three are of both");
    assert!(overlap.starts_with("extension 6008 is here and at b"), "{overlap}");
    assert_eq!(says("\"6001-6010\"", "\"6011-6020\""), None);
    assert_eq!(own("\"6001\"").digest(), own("\"7001\"").digest());
}

#[test]
fn devices_of_their_own_are_of_two_nodes_that_nobody_promotes() {
    let by_itself = dual("\"6001\"").replace("takeover", "promotion = \"auto\"\ntakeover");
    let parsed_so = parsed(&by_itself);
    let [fault] = &parsed_so.faults[..] else { panic!("{:?}", parsed_so.faults) };
    assert_eq!((fault.severity, fault.key.as_str()), (Severity::Warning, "cluster.promotion"));
    assert!(fault.text.contains("has no effect"), "{}", fault.text);
    let with = "takeover = \"dual_devices\"\ncredentials";
    let trio = parsed(&node("a", CONTROL).replace("credentials", with));
    let [fault] = &trio.faults[..] else { panic!("{:?}", trio.faults) };
    assert_eq!((fault.severity, fault.key.as_str()), (Severity::Error, "cluster.takeover"));
    assert!(fault.text.contains("write profile = \"pair\""), "{}", fault.text);
}

/// Node `a` of three that share an address.
fn sharing(changes: &[(&str, &str)]) -> String {
    let moves = "takeover = \"shared_address\"\ncredentials = \"cluster\"\n[cluster.address]\n\
                 address = \"10.0.0.100/24\"\ninterface = \"eth0\"\n";
    let text = node("a", CONTROL).replace("credentials = \"cluster\"\n", moves);
    changes.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{from}: {text}");
        text.replace(from, to)
    })
}

#[test]
fn a_shared_address_is_what_the_ports_speak_from_and_the_rest_does_not() {
    let parsed_so = parsed(&sharing(&[]));
    assert_eq!(parsed_so.faults, []);
    let config = parsed_so.config.expect("usable");
    let service = config.service_address().expect("one");
    assert_eq!((service.prefix, service.interface.as_str()), (24, "eth0"));
    let own = SocketAddr::from(([10, 0, 0, 9], 5_060));
    let shared = SocketAddr::from(([10, 0, 0, 100], 5_060));
    assert_eq!(config.sip_addresses(), Some(vec![shared, own]));
    let (port, control) = (PortId(0), PortId(1));
    assert_eq!((config.sip_socket(port), config.sip_socket(control)), (0, 1));
    assert_eq!((config.asking_socket(port), config.asking_socket(control)), (1, 1));
    assert_eq!(
        (config.media_address(port), config.media_address(control)),
        (shared.ip(), own.ip())
    );
    assert!(config.control_lines().all(|line| config.media_address(line) == own.ip()));
    let devices = ("[pbx]\n", "[pbx]\nsip_port = \"per_device\"\nsip_udp_port = 5070\n");
    let config = parsed(&sharing(&[devices])).config.expect("usable");
    let at = |last, udp_port| SocketAddr::from(([10, 0, 0, last], udp_port));
    assert_eq!(config.sip_addresses(), Some(vec![at(100, 5_070), at(9, 5_071), at(9, 5_070)]));
    assert_eq!((config.sip_socket(control), config.asking_socket(port)), (1, 2));
}

#[test]
fn a_shared_address_that_cannot_be_moved_is_refused() {
    let cases = [
        (("10.0.0.100/24", "10.0.0.100"), "cluster.address.address", "bits of its network"),
        (("10.0.0.100/24", "2001:db8::5/64"), "cluster.address.address", "IPv6 is not moved"),
        (("10.0.0.100/24", "127.0.0.5/8"), "cluster.address.address", "of one host"),
        (("10.0.0.100/24", "10.0.0.9/24"), "cluster.address.address", "that no host has"),
        (("interface = \"eth0\"", "interface = \"a/b\""), "cluster.address.interface", "eth0"),
        (("interface = \"eth0\"\n", ""), "cluster.address.interface", "is missing"),
        (("[pbx]\n", "[pbx]\ntransport = \"tcp\"\n"), "cluster.takeover", "over UDP only"),
        (("[pbx]\n", "[pbx]\nsip_udp_port = 0\n"), "pbx.sip_udp_port", "both have the same"),
        (("shared_address", "reinvite"), "cluster.address", "has no effect"),
        (("name = \"b\"\n", "name = \"b\"\npbx = \"c\"\n"), "cluster.takeover", "one PBX"),
    ];
    for (change, key, says) in cases {
        let parsed = parsed(&sharing(&[change]));
        let error = parsed.faults.iter().find(|fault| fault.severity == Severity::Error);
        let fault = error.unwrap_or_else(|| panic!("{change:?}: {:?}", parsed.faults));
        assert_eq!(fault.key, key, "{change:?}: {}", fault.text);
        assert!(fault.text.contains(says), "{change:?}: {}", fault.text);
    }
    let none = node("a", CONTROL)
        .replace("credentials = ", "takeover = \"shared_address\"\ncredentials = ");
    assert!(report(&none).contains("needs [cluster.address]"), "{}", report(&none));
}

#[test]
fn nodes_that_share_an_address_agree_on_it_and_on_udp_ports() {
    let a = shared(&sharing(&[]));
    let says = |from: &str, to: &str| a.disagreement(&shared(&sharing(&[(from, to)])), "b");
    assert_eq!(says("interface = \"eth0\"", "interface = \"ens18\""), None);
    assert_eq!(
        says("10.0.0.100/24", "10.0.0.101/24").as_deref(),
        Some("cluster.address.address differ: 10.0.0.100/24 here, 10.0.0.101/24 at b")
    );
    let ports = says("[pbx]\n", "[pbx]\nsip_udp_port = 5080\n");
    assert_eq!(ports.as_deref(), Some("pbx.sip_udp_port differ: 5060 here, 5080 at b"));
    let range = says("[pbx]\n", "[media]\nudp_ports = \"20000-20999\"\n[pbx]\n");
    assert!(range.is_some_and(|text| text.starts_with("media.udp_ports differ: 16384-32767")));
    assert_eq!(
        a.disagreement(
            &shared(
                &witness().replace("credentials", "takeover = \"shared_address\"\ncredentials")
            ),
            "w"
        ),
        None
    );
}

#[test]
fn how_calls_reach_another_node_is_nothing_to_a_node_alone() {
    let text = format!("{GOOD}[cluster]\ntakeover = \"shared_address\"\n");
    let parsed = parsed(&text);
    let [fault] = &parsed.faults[..] else { panic!("{:?}", parsed.faults) };
    assert_eq!((fault.severity, fault.key.as_str()), (Severity::Error, "cluster.takeover"));
    assert!(fault.text.contains("cluster.profile is \"single\""), "{}", fault.text);
}

#[test]
fn ari_over_tls_needs_the_certificate_of_a_clusters_node() {
    let tls = "[ari]\ntls_listen = \"192.0.2.10:8089\"\n";
    let listen = parsed(&node("b", tls)).config.expect("usable").ari.tls_listen;
    assert_eq!(listen, Some(SocketAddr::from(([192, 0, 2, 10], 8089))));
    let alone = parsed(&(GOOD.to_owned() + tls));
    let texts: Vec<_> = alone.faults.iter().map(|fault| fault.key.as_str()).collect();
    assert!(texts.contains(&"ari.tls_listen"), "{texts:?}");
}
