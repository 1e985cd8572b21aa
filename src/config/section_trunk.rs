//! `[control.trunk]`: the way out for alert calls of a node that does not reach the PBX.

use std::net::SocketAddr;

use toml::de::DeValue;

use super::cluster::{OnCall, Trunk};
use super::parse::Source;
use super::reader::{Meaning, Reader, Section};
use super::section_pbx::host_name;
use super::section_ports::read_extension_password;
use super::values::text;
use super::{Pbx, Port, PortKind};
use crate::ids::PortId;
use crate::redact::Redacted;

/// Reads it, if it is there, out of `[control]`: the section, and its port, which gets the number
/// `id`. A trunk that knows this host by its address wants no password.
pub(super) fn read_trunk<'t>(
    reader: &mut Reader<'t>,
    control: &mut Section<'t>,
    source: Source<'_>,
    pbx: &Pbx,
    id: PortId,
) -> Option<(Trunk, Port)> {
    let mut section = control.section(reader, "trunk");
    let why = "write address and port of a gateway or of a provider, as \"198.51.100.7:5060\"";
    let there = reader.written("control.trunk");
    let address = section.optional(reader, "address", trunk_address);
    let number = section.optional(reader, "number", number);
    let domain = section.optional(reader, "domain", host_name);
    let auth_user = section.optional(reader, "auth_user", text);
    let wanted = |key: &str| reader.written(&format!("control.trunk.{key}"));
    let proves = wanted("auth_user") || wanted("password") || wanted("password_file");
    let password = proves.then(|| {
        let number = number.as_deref().unwrap_or_default();
        read_extension_password(reader, &mut section, source, number)
    });
    section.finish(reader);
    if !there {
        return None;
    }
    for (missing, key, why) in [
        (address.is_none(), "address", why),
        (number.is_none(), "number", "write the number that callers of it have, as \"4930123456\""),
    ] {
        let path = format!("control.trunk.{key}");
        if missing && !reader.written(&path) {
            reader.error(&path, format!("is missing: {why}"));
        }
    }
    let (address, number) = (address?, number?);
    check(reader, address, pbx);
    let port = Port {
        id,
        kind: PortKind::Trunk,
        auth_user: auth_user.unwrap_or_else(|| number.clone()),
        password: Redacted::new(password.unwrap_or_default()),
        applications: Vec::new(),
        outbound: false,
        extension: number,
    };
    let domain = domain.unwrap_or_else(|| address.ip().to_string());
    Some((Trunk { port: id, address, domain }, port))
}

fn check(reader: &mut Reader<'_>, address: SocketAddr, pbx: &Pbx) {
    if address.is_ipv4() != pbx.local_address.is_ipv4() {
        let family = if pbx.local_address.is_ipv4() { "IPv4" } else { "IPv6" };
        let text = format!("is reached by no socket: pbx.local_address is {family}");
        reader.error("control.trunk.address", text);
    }
    if pbx.registrars.iter().any(|written| written.parse() == Ok(address)) {
        let text = "is the PBX itself: write another way to the people on call, or take it out";
        reader.error("control.trunk.address", text);
    }
}

/// Who can be called by it has to be written, and who is called by it needs it.
pub(super) fn check_on_call(reader: &mut Reader<'_>, trunk: bool, people: &[OnCall]) {
    let outside = |person: &OnCall| person.outside.is_some();
    if let Some(first) = people.iter().position(outside).filter(|_| !trunk) {
        let text = "is dialled by [control.trunk], which is missing: write it, or take this out";
        reader.error(&format!("control.on_call[{first}].outside"), text);
    }
    if trunk && !people.iter().any(outside) {
        let text = "calls nobody: write `outside`, the number to dial there, to those of \
                    [[control.on_call]] whom it reaches";
        reader.error("control.trunk", text);
    }
}

/// One address: whoever calls for help asks no name server.
fn trunk_address(value: &DeValue<'_>) -> Meaning<SocketAddr> {
    let address = value.as_str().and_then(|text| text.parse::<SocketAddr>().ok());
    let usable =
        |at: &SocketAddr| !at.ip().is_unspecified() && !at.ip().is_multicast() && at.port() != 0;
    address.filter(usable).ok_or_else(|| {
        "write address and port, as \"198.51.100.7:5060\": no name, as its server may be gone \
         with the rest"
            .to_owned()
    })
}

fn number(value: &DeValue<'_>) -> Meaning<String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"+-_.".contains(&b);
    let number = value.as_str().filter(|n| (1..=32).contains(&n.len()) && n.bytes().all(allowed));
    number.map(str::to_owned).ok_or_else(|| "write a number, as \"4930123456\"".to_owned())
}
