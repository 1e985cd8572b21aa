//! Checks that no single key can fail: ranges against each other, names against what they name,
//! settings that are legal and unwise.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use super::reader::Reader;
use super::section_admin::check_admin;
use super::section_pbx::{NO_ADDRESS, host_of};
use super::{ClusterProfile, Config, DigestAlgorithm, Entry, Overflow, SipPorts, Transport};

/// Checks a configuration as a whole. `fault_of` tells what is wrong with a file.
pub(super) fn check(
    reader: &mut Reader<'_>,
    config: &Config,
    fault_of: &dyn Fn(&Path) -> Option<String>,
) {
    check_ports(reader, config);
    check_udp_ports(reader, config);
    check_sip_ports(reader, config);
    check_pbx(reader, config);
    check_addresses(reader, config);
    check_applications(reader, config);
    check_listeners(reader, config);
    check_admin(reader, config);
    check_outbound(reader, config);
    check_prompts(reader, config, fault_of);
}

/// Strength of a secret against guessing, from its length and the kinds of its characters.
pub(super) fn entropy_bits(secret: &str) -> u32 {
    let has = |kind: fn(&u8) -> bool| u32::from(secret.as_bytes().iter().any(kind));
    let alphabet = 10 * has(u8::is_ascii_digit)
        + 26 * has(u8::is_ascii_lowercase)
        + 26 * has(u8::is_ascii_uppercase)
        + 16 * has(u8::is_ascii_punctuation);
    // A secret that repeats a few characters is as weak as those few.
    let mut different: Vec<u8> = secret.bytes().collect();
    different.sort_unstable();
    different.dedup();
    let useful = secret.len().min(2 * different.len());
    let bits = f64::from(alphabet.max(1)).log2() * f64::from(u32::try_from(useful).unwrap_or(999));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 10,000")]
    let whole = bits as u32;
    whole
}

fn check_ports(reader: &mut Reader<'_>, config: &Config) {
    let witness = config.cluster.is_witness();
    if witness && !config.pool_ports().is_empty() {
        let text = "is for nodes with role \"data\": a witness has no voice ports but [control]";
        reader.error("ports", text);
    }
    if config.pool_ports().is_empty() && !reader.written("ports") && !witness {
        reader.error("", "no voice port: write [[ports]] with extensions, password, applications");
    }
}

/// Every call takes an even port and the odd one above it (RFC 3550 section 11).
fn check_udp_ports(reader: &mut Reader<'_>, config: &Config) {
    let media = &config.media;
    let have = (u32::from(media.udp_last) + 1 - u32::from(media.udp_first)) / 2;
    let need = u32::try_from(config.ports.len()).unwrap_or(u32::MAX);
    if have < need {
        let last = u32::from(media.udp_first) + 4 * need - 1;
        let text = format!(
            "holds {have} calls (two UDP ports each), there are {need} voice ports: \
             write at least \"{}-{last}\"",
            media.udp_first
        );
        reader.error("media.udp_ports", text);
    } else if have < 2 * need {
        reader.warning(
            "media.udp_ports",
            format!(
                "holds {have} calls for {need} voice ports: a UDP port rests for 60 s after a \
                 call, so that strays of one call are not heard in the next; twice as many is safe"
            ),
        );
    }
}

fn check_sip_ports(reader: &mut Reader<'_>, config: &Config) {
    let count = u32::try_from(config.ports.len()).unwrap_or(u32::MAX);
    let (first, last) = match config.pbx.sip_ports {
        SipPorts::Shared { udp_port } => (u32::from(udp_port), u32::from(udp_port)),
        SipPorts::PerDevice { first } => {
            (u32::from(first), u32::from(first) + count.saturating_sub(1))
        }
    };
    if last > u32::from(u16::MAX) {
        let most = u32::from(u16::MAX) + 1 - count.min(60_000);
        let text = format!("{count} ports from {first} on end above 65535: write {most} or less");
        reader.error("pbx.sip_udp_port", text);
    }
    let media = &config.media;
    let same_host = media.address == config.pbx.local_address || config.service_address().is_some();
    let overlap = first <= u32::from(media.udp_last) && u32::from(media.udp_first) <= last;
    if same_host && overlap && config.pbx.transport == Transport::Udp {
        let numbers = if first == last { first.to_string() } else { format!("{first} to {last}") };
        let text = format!(
            "SIP uses UDP {numbers}, media.udp_ports ({}-{}) too: move one",
            media.udp_first, media.udp_last
        );
        reader.error("pbx.sip_udp_port", text);
    }
}

fn check_pbx(reader: &mut Reader<'_>, config: &Config) {
    let pbx = &config.pbx;
    if pbx.min_digest == DigestAlgorithm::Md5 {
        reader.warning(
            "pbx.min_digest",
            "MD5 digests are answered: one captured REGISTER lets a weak password be guessed \
             offline; write \"sha-256\" if the PBX can do it",
        );
    }
    if pbx.profile == "cucm" && matches!(pbx.sip_ports, SipPorts::Shared { .. }) {
        let text = "CUCM refuses a second device on one address and port with 405: \
                    write \"per_device\"";
        reader.warning("pbx.sip_port", text);
    }
    if pbx.min_se > pbx.session_expires {
        let text = "is longer than pbx.session_expires: RFC 4028 wants it equal or shorter";
        reader.error("pbx.min_se", text);
    }
}

fn check_addresses(reader: &mut Reader<'_>, config: &Config) {
    let local = config.pbx.local_address;
    if local == NO_ADDRESS {
        return;
    }
    let registrars = &config.pbx.registrars;
    let keys = reader.readable("pbx.registrars", registrars.len());
    for (registrar, at) in registrars.iter().zip(keys) {
        let Ok(remote) = host_of(registrar).parse::<IpAddr>() else { continue };
        if remote.is_ipv4() != local.is_ipv4() {
            let text = format!("is of another IP version than pbx.local_address {local}");
            reader.error(&at, text);
        } else if local.is_loopback() && !remote.is_loopback() {
            let text = format!(
                "pbx.local_address {local} is of this machine only: the PBX {remote} cannot \
                 call it; write the address of the network card"
            );
            reader.error(&at, text);
        }
    }
}

fn check_applications(reader: &mut Reader<'_>, config: &Config) {
    for (name, application) in &config.applications {
        let path = format!("applications.{name}");
        let entry = Entry::Application(name.clone());
        // With an error before, the block that lists it may have been left out.
        if !reader.has_errors()
            && !config.ports.iter().any(|port| port.applications.contains(&entry))
        {
            reader.warning(&path, "no [[ports]] lists it in `applications`: it gets no calls");
        }
        let open = |u: &super::AriUser| u.applications.is_empty() || u.applications.contains(name);
        if !config.ari.users.is_empty() && !config.ari.users.values().any(open) {
            let text = "no user of [ari.users] may serve it: no instance can connect";
            reader.warning(&path, text);
        }
        let keys = ["queue_ring", "queue_max"].map(|key| format!("{path}.{key}"));
        let both = !keys.iter().any(|key| reader.is_faulty(key));
        if both && application.queue_ring > application.queue_max {
            let text = "is longer than queue_max: the call would end before it is answered";
            reader.error(&format!("{path}.queue_ring"), text);
        }
        if application.overflow == Overflow::Announce && config.announce.prompts.is_empty() {
            let text = "plays [announce], which has no prompts: write announce.prompts";
            reader.error(&format!("{path}.overflow"), text);
        }
    }
    if config.ari.users.is_empty() && !config.cluster.is_witness() {
        let text = "nobody can connect: write [ari.users.NAME] with a password";
        reader.warning("ari.users", text);
    }
    let announces = |port: &super::Port| port.applications.contains(&Entry::Announce);
    if config.announce.prompts.is_empty() && config.ports.iter().any(announces) {
        let text = "is missing, and ports list \"builtin:announce\": write what is played, as \
                    [\"closed\"]";
        reader.error("announce.prompts", text);
    }
}

fn check_listeners(reader: &mut Reader<'_>, config: &Config) {
    let clear = |address: SocketAddr| !address.ip().is_loopback();
    if clear(config.ari.listen) {
        reader.warning(
            "ari.listen",
            "is not loopback: passwords and callers' numbers cross the network in clear; keep it \
             in a network of its own, or write ari.tls_listen and run a relay at the applications",
        );
    }
    if config.ari.tls_listen.is_some() && config.cluster.profile == ClusterProfile::Single {
        let text = "needs the certificate of a cluster's node: write [cluster], or put a TLS proxy \
                    before ari.listen";
        reader.error("ari.tls_listen", text);
    }
    if config.ari.tls_listen == Some(config.ari.listen) && config.ari.listen.port() != 0 {
        reader.error("ari.tls_listen", "is the address of ari.listen too: write another port");
    }
}

fn check_outbound(reader: &mut Reader<'_>, config: &Config) {
    let may_call = config.pool_ports().iter().any(|port| port.outbound);
    match (may_call, config.outbound.allow.is_empty()) {
        (true, true) => reader.warning(
            "outbound.allow",
            "is empty while [[ports]] have outbound = true: every outbound call is refused",
        ),
        (false, false) if config.outbound.max_calls > 0 => reader.warning(
            "outbound.allow",
            "is used for transfers only: no [[ports]] has outbound = true",
        ),
        _ => {}
    }
}

fn check_prompts(
    reader: &mut Reader<'_>,
    config: &Config,
    fault_of: &dyn Fn(&Path) -> Option<String>,
) {
    // Who has no voice port plays nothing.
    if config.ports.is_empty() {
        return;
    }
    if let Some(fault) = fault_of(&config.media.prompts) {
        let text = format!("{fault}: callers would hear silence for every prompt");
        return reader.warning("media.prompts", text);
    }
    for (path, prompt) in prompts(reader, config) {
        let file = config.media.prompts.join(format!("{prompt}.wav"));
        if let Some(fault) = fault_of(&file) {
            reader.warning(&path, format!("{fault}: callers would hear silence"));
        }
    }
}

/// Every prompt that the configuration names, with the key that names it.
fn prompts(reader: &Reader<'_>, config: &Config) -> Vec<(String, String)> {
    let announced = config.announce.prompts.clone();
    let keys = reader.readable("announce.prompts", announced.len());
    let mut found: Vec<_> = keys.into_iter().zip(announced).collect();
    for (name, application) in &config.applications {
        let named = [
            ("hold_prompt", &application.hold_prompt),
            ("gateway_prompt", &application.gateway_prompt),
        ];
        for (key, prompt) in named {
            let prompt = prompt.iter().map(|p| (format!("applications.{name}.{key}"), p.clone()));
            found.extend(prompt);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_counts_length_kinds_and_variety() {
        assert!(entropy_bits("1234") < 16);
        assert!(entropy_bits("12345678") < 32);
        assert!(entropy_bits("aaaaaaaaaaaaaaaaaaaaaaaaaaaa") < 32);
        assert!(entropy_bits("kT7-pq2Zr9vXw4mN8sLd") > 100);
        assert_eq!(entropy_bits(""), 0);
    }
}
