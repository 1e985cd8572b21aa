//! `[cluster]`, `[[cluster.nodes]]` and `[control]`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use toml::de::DeValue;

use super::cluster::{
    Cluster, ClusterProfile, Control, Member, MemberRole, OnCall, Promotion, Rehearsal,
    ServiceAddress, Takeover, TimerProfile,
};
use super::fault::nearest;
use super::parse::{Source, path_value};
use super::reader::{Meaning, Reader, Section};
use super::section_ports::{read_extension_password, single_extension};
use super::section_sentinel::read_sentinel;
use super::section_trunk::{check_on_call, read_trunk};
use super::self_call::night_time;
use super::values::{boolean, duration, one_of, pattern, show_duration, text};
use super::{NightTime, Node, Pbx, Port, PortKind, profile};
use crate::ids::{NodeId, PortId};
use crate::redact::Redacted;
use crate::timers::Duration;

const SECONDS: fn(u64) -> Duration = Duration::from_secs;

const PROFILES: &[(&str, ClusterProfile)] = &[
    ("single", ClusterProfile::Single),
    ("pair", ClusterProfile::Pair),
    ("trio", ClusterProfile::Trio),
];

const TIMERS: &[(&str, TimerProfile)] =
    &[("lan", TimerProfile::Lan), ("vm", TimerProfile::Vm), ("wan", TimerProfile::Wan)];

const TAKEOVERS: &[(&str, Takeover)] = &[
    ("reinvite", Takeover::Reinvite),
    ("shared_address", Takeover::SharedAddress),
    ("dual_devices", Takeover::DualDevices),
];

const REHEARSALS: &[(&str, Rehearsal)] = &[("query", Rehearsal::Query), ("off", Rehearsal::Off)];

const ROLES: &[(&str, MemberRole)] =
    &[("data", MemberRole::Data), ("witness", MemberRole::Witness)];

/// Reads `[cluster]`; without one the node is a cluster of its own.
pub(super) fn read_cluster<'t>(
    reader: &mut Reader<'t>,
    root: &mut Section<'t>,
    base: &Path,
    node: &Node,
    pbx: &Pbx,
) -> Cluster {
    let alone = Cluster::single(&node.name, &pbx.id);
    let mut section = root.section(reader, "cluster");
    let profile = section.value(reader, "profile", ClusterProfile::Single, one_of(PROFILES));
    let id = section.optional(reader, "id", node_name);
    let timer_profile = section.value(reader, "timers", TimerProfile::Lan, one_of(TIMERS));
    let by_itself =
        if profile == ClusterProfile::Trio { Promotion::Auto } else { Promotion::Manual };
    let promotion = section.value(reader, "promotion", by_itself, promotion);
    let takeover = section.value(reader, "takeover", Takeover::Reinvite, one_of(TAKEOVERS));
    let credentials = path_value(&mut section, reader, "credentials", base, "cluster");
    let store = path_value(&mut section, reader, "store", base, "state/portkeeper.db");
    let solo_bounds = duration(SECONDS(1)..=SECONDS(60));
    let solo_after = section.value(reader, "solo_after", SECONDS(5), solo_bounds);
    let harmless = profile::find(&pbx.profile).is_none_or(|profile| profile.rehearsal);
    let rehearsal = if harmless { Rehearsal::Query } else { Rehearsal::Off };
    let rehearsal = section.value(reader, "rehearsal", rehearsal, one_of(REHEARSALS));
    let nodes = read_nodes(reader, &mut section, &pbx.id);
    let address = read_address(reader, &mut section);
    section.finish(reader);
    let several = profile != ClusterProfile::Single;
    let me = if several { find_me(reader, &nodes, &node.name) } else { alone.me };
    if several && id.is_none() && !reader.written("cluster.id") {
        let text = "is missing: write a name that no other cluster of yours has, as \"north\"";
        reader.error("cluster.id", text);
    }
    if several && !reader.written("cluster.credentials") {
        let text = "is missing: write the directory where `portkeeper cluster init` or `cluster \
                    join` puts ca.pem, node.pem and node.key, as \"cluster\"";
        reader.error("cluster.credentials", text);
    }
    Cluster {
        id: id.unwrap_or_default(),
        profile,
        me,
        nodes: if several { nodes } else { alone.nodes },
        timer_profile,
        timers: timer_profile.timers(),
        promotion,
        takeover,
        address,
        credentials,
        store,
        solo_after,
        rehearsal,
    }
}

fn read_nodes<'t>(reader: &mut Reader<'t>, cluster: &mut Section<'t>, pbx: &str) -> Vec<Member> {
    let sections = cluster.sections(reader, "nodes");
    let mut nodes = Vec::new();
    for (mut section, number) in sections.into_iter().zip(0..=u8::MAX) {
        let name = section.required(reader, "name", "write a name, as \"a\"", node_name);
        let role = section.value(reader, "role", MemberRole::Data, one_of(ROLES));
        let why = "write the address and TCP port where this node listens for the others, as \
                   \"192.0.2.10:7443\"";
        let link = section.required(reader, "link", why, link);
        let pbx = section.value(reader, "pbx", pbx.to_owned(), text);
        let control = section.optional(reader, "control", single_extension);
        section.finish(reader);
        let name = name.unwrap_or_default();
        nodes.push(Member { id: NodeId(number), name, role, link, pbx, control });
    }
    nodes
}

/// `[cluster.address]`, if it is there.
fn read_address<'t>(reader: &mut Reader<'t>, cluster: &mut Section<'t>) -> Option<ServiceAddress> {
    let mut section = cluster.section(reader, "address");
    if !reader.written("cluster.address") {
        return None;
    }
    let why = "write the address that moves with the role, with the bits of its network, as \
               \"10.0.0.5/24\"";
    let address = section.required(reader, "address", why, address_and_prefix);
    let why = "write the network card of this host that gets the address, as \"eth0\"";
    let interface = section.required(reader, "interface", why, interface);
    section.finish(reader);
    let ((address, prefix), interface) = (address?, interface?);
    Some(ServiceAddress { address, prefix, interface })
}

/// As `"10.0.0.5/24"`.
fn address_and_prefix(value: &DeValue<'_>) -> Meaning<(Ipv4Addr, u8)> {
    let wrong = || {
        "write an IPv4 address of one host with the bits of its network, as \"10.0.0.5/24\"; \
         IPv6 is not moved"
            .to_owned()
    };
    let (address, prefix) =
        value.as_str().and_then(|text| text.split_once('/')).ok_or_else(wrong)?;
    let address: Ipv4Addr = address.parse().map_err(|_| wrong())?;
    let prefix = prefix.parse().ok().filter(|bits| (8..=32).contains(bits)).ok_or_else(wrong)?;
    let of_one = !address.is_unspecified() && !address.is_multicast() && !address.is_broadcast();
    if of_one && !address.is_loopback() { Ok((address, prefix)) } else { Err(wrong()) }
}

/// A name as the kernel takes it.
fn interface(value: &DeValue<'_>) -> Meaning<String> {
    let allowed = |b: u8| b.is_ascii_graphic() && b != b'/' && b != b':';
    let name = value.as_str().filter(|name| {
        (1..=15).contains(&name.len()) && name.bytes().all(allowed) && !matches!(*name, "." | "..")
    });
    name.map(str::to_owned)
        .ok_or_else(|| "write the name of a network card, as \"eth0\"".to_owned())
}

fn find_me(reader: &mut Reader<'_>, nodes: &[Member], name: &str) -> NodeId {
    if let Some(me) = nodes.iter().find(|member| member.name == name) {
        return me.id;
    }
    let known = nodes.iter().map(|member| member.name.as_str()).filter(|name| !name.is_empty());
    let names: Vec<_> = known.clone().map(|name| format!("\"{name}\"")).collect();
    let hint = match nearest(name, known) {
        _ if names.is_empty() => "write [[cluster.nodes]] for each node, this one too".to_owned(),
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("write one of {}", names.join(", ")),
    };
    let what = if reader.written("node.name") { "is" } else { "is missing, and its default is" };
    let text = format!("{what} none of [[cluster.nodes]]: {hint}");
    reader.error("node.name", text);
    NodeId(0)
}

/// What a certificate can carry as a name.
fn node_name(value: &DeValue<'_>) -> Meaning<String> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let name = value.as_str().filter(|name| {
        (1..=63).contains(&name.len())
            && name.bytes().all(allowed)
            && !name.starts_with('-')
            && !name.ends_with('-')
    });
    name.map(str::to_owned)
        .ok_or_else(|| "write small letters, digits and `-` in quotes, as \"north-a\"".to_owned())
}

fn link(value: &DeValue<'_>) -> Meaning<SocketAddr> {
    let address = value.as_str().and_then(|text| text.parse::<SocketAddr>().ok());
    let of_a_machine =
        |a: &SocketAddr| !a.ip().is_unspecified() && !a.ip().is_multicast() && a.port() != 0;
    address.filter(of_a_machine).ok_or_else(|| {
        "write the IP address and TCP port that the other nodes reach, as \"192.0.2.10:7443\" (no \
         name, no wildcard)"
            .to_owned()
    })
}

/// `"manual"`, `"auto"`, or how long the primary must be gone, as `"30s"`.
fn promotion(value: &DeValue<'_>) -> Meaning<Promotion> {
    let (least, most) = (SECONDS(1), SECONDS(86_400));
    match value.as_str() {
        Some("manual") => Ok(Promotion::Manual),
        Some("auto") => Ok(Promotion::Auto),
        _ => duration(least..=most)(value).map(Promotion::AutoAfter).map_err(|_| {
            format!(
                "allowed are \"manual\", \"auto\", and how long the primary must be gone, from \
                 \"{}\" to \"{}\"",
                show_duration(least),
                show_duration(most)
            )
        }),
    }
}

/// What telephones are told of by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NotifyOn {
    Promotion,
}

const NOTIFY_ON: &[(&str, NotifyOn)] = &[("promotion", NotifyOn::Promotion)];

/// Reads `[control]`, if it is there: the section, and the ports that go behind all others.
pub(super) fn read_control<'t>(
    reader: &mut Reader<'t>,
    root: &mut Section<'t>,
    source: Source<'_>,
    (cluster, pbx): (&Cluster, &Pbx),
    ports: &[Port],
) -> Option<(Control, Vec<Port>)> {
    let mut section = root.section(reader, "control");
    let there = reader.written("control");
    let extension = section.optional(reader, "extension", single_extension);
    let auth_user = section.optional(reader, "auth_user", text);
    let language = section.value(reader, "language", "en".to_owned(), language);
    let callers = section.list(reader, "callers", pattern).unwrap_or_default();
    let two_person = section.value(reader, "two_person", false, boolean);
    let on_call = read_on_call(reader, &mut section);
    let telephones = section.list(reader, "telephones", dialled).unwrap_or_default();
    let text_to = section.list(reader, "text_to", dialled).unwrap_or_default();
    let notify = section.list(reader, "notify_phones_on", one_of(NOTIFY_ON)).unwrap_or_default();
    let password = there.then(|| {
        let extension = extension.as_deref().unwrap_or_default();
        read_extension_password(reader, &mut section, source, extension)
    });
    let self_call = section.value(reader, "self_call", Some(NightTime::USUAL), night_time);
    let sentinel = read_sentinel(reader, &mut section, source, cluster, ports);
    let own = 1 + usize::from(sentinel.as_ref().is_some_and(|(_, port)| port.is_some()));
    let id = PortId(u16::try_from(ports.len() + own).unwrap_or(u16::MAX));
    let trunk = read_trunk(reader, &mut section, source, pbx, id);
    section.finish(reader);
    let password = password?;
    if extension.is_none() && !reader.written("control.extension") {
        let text = "is missing: write the extension that people call to hear the state and to \
                    promote, as \"6090\"";
        reader.error("control.extension", text);
    }
    let extension = extension?;
    if ports.iter().any(|port| port.extension == extension) {
        let text = "is one of [[ports]] too: it needs an extension of its own";
        reader.error("control.extension", text);
    }
    let (sentinel, sentinel_port) = sentinel.unzip();
    if sentinel.as_ref().is_some_and(|sentinel| sentinel.extension == extension) {
        let text = "is control.extension too: it needs an extension of its own";
        reader.error("control.sentinel.extension", text);
    }
    check_on_call(reader, trunk.is_some(), &on_call);
    let (trunk, trunk_port) = trunk.unzip();
    let id = PortId(u16::try_from(ports.len()).unwrap_or(u16::MAX));
    let port = Port {
        id,
        kind: PortKind::Control,
        auth_user: auth_user.unwrap_or_else(|| extension.clone()),
        password: Redacted::new(password),
        applications: Vec::new(),
        outbound: false,
        extension,
    };
    let notify_on_promotion = notify.contains(&NotifyOn::Promotion);
    let control = Control {
        port: id,
        language,
        callers,
        two_person,
        on_call,
        telephones,
        text_to,
        notify_on_promotion,
        sentinel,
        trunk,
        self_call,
    };
    let behind = sentinel_port.flatten().into_iter().chain(trunk_port);
    Some((control, std::iter::once(port).chain(behind).collect()))
}

/// `[[control.on_call]]`
fn read_on_call<'t>(reader: &mut Reader<'t>, control: &mut Section<'t>) -> Vec<OnCall> {
    let mut people = Vec::new();
    for mut section in control.sections(reader, "on_call") {
        let why = "write the number to dial, as \"2001\"";
        let extension = section.required(reader, "extension", why, dialled);
        let outside = section.optional(reader, "outside", dialled);
        let agent = section.value(reader, "agent", String::new(), agent_number);
        section.finish(reader);
        people.extend(extension.map(|extension| OnCall { extension, outside, agent }));
    }
    people
}

/// An exact number: a pattern would be an allow-list of more than one.
fn dialled(value: &DeValue<'_>) -> Meaning<String> {
    let allowed = |b: u8| b.is_ascii_digit() || b"+*#".contains(&b);
    let number = value.as_str().filter(|n| (1..=32).contains(&n.len()) && n.bytes().all(allowed));
    number.map(str::to_owned).ok_or_else(|| "write the number to dial, as \"2001\"".to_owned())
}

/// As `portkeeper agent add` takes it.
fn agent_number(value: &DeValue<'_>) -> Meaning<String> {
    let is_digit = |b: u8| b.is_ascii_digit();
    let number = value.as_str().filter(|n| (3..=10).contains(&n.len()) && n.bytes().all(is_digit));
    number.map(str::to_owned).ok_or_else(|| "write an agent number, as \"1001\"".to_owned())
}

/// The name of a directory of prompts.
fn language(value: &DeValue<'_>) -> Meaning<String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
    let name = value.as_str().filter(|n| (2..=16).contains(&n.len()) && n.bytes().all(allowed));
    name.map(str::to_owned).ok_or_else(|| "write a language, as \"en\"".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(text: &str) -> DeValue<'_> {
        DeValue::String(text.into())
    }

    #[test]
    fn a_name_fits_into_a_certificate() {
        let read = |text| node_name(&string(text)).is_ok();
        assert!(read("a") && read("north-2"));
        for wrong in ["", "A", "a.b", "-a", "a-", "a b", "ä", &"a".repeat(64)] {
            assert!(!read(wrong), "{wrong}");
        }
    }

    #[test]
    fn promotion_is_a_word_or_how_long_to_wait() {
        let read = |text| promotion(&string(text)).ok();
        assert_eq!(read("auto"), Some(Promotion::Auto));
        assert_eq!(read("30s"), Some(Promotion::AutoAfter(SECONDS(30))));
        assert_eq!((read("0s"), read("automatic"), read("30")), (None, None, None));
    }

    #[test]
    fn a_link_is_an_address_that_others_can_dial() {
        let read = |text| link(&string(text)).is_ok();
        assert!(read("192.0.2.10:7443") && read("[2001:db8::5]:7443"));
        for wrong in ["0.0.0.0:7443", "192.0.2.10:0", "192.0.2.10", "host:7443", "[::]:1"] {
            assert!(!read(wrong), "{wrong}");
        }
    }
}
