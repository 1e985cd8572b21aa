//! `[pbx]`: where it is and how it wants to be spoken to.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;

use toml::de::DeValue;

use super::profile::{self, PROFILES, Profile};
use super::reader::{Meaning, Reader, Section};
use super::values::{address, boolean, duration, duration_or_off, host_port, is_host_name};
use super::values::{number, one_of, text};
use super::{ContactSecret, DigestAlgorithm, Pbx, SecondBinding, SipPorts, Transport};
use crate::sdp::Codec;
use crate::timers::Duration;

const SECONDS: fn(u64) -> Duration = Duration::from_secs;

/// Stands in for an address that is missing or wrong; no configuration with it comes out.
pub(super) const NO_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Reads `[pbx]`.
pub(super) fn read_pbx<'t>(reader: &mut Reader<'t>, root: &mut Section<'t>) -> Pbx {
    let mut section = root.section(reader, "pbx");
    let profile = section.value(reader, "profile", PROFILES[0], profile_named);
    let id = section.value(reader, "id", "pbx".to_owned(), text);
    let registrars = read_registrars(reader, &mut section, profile);
    let domain = section.optional(reader, "domain", host_name);
    let sources = section.list(reader, "sources", address).unwrap_or_default();
    let local_address = section.required(
        reader,
        "local_address",
        "write the address of this machine that the PBX can reach, as \"192.0.2.10\"",
        address,
    );
    let transport = section.value(reader, "transport", Transport::Udp, one_of(TRANSPORTS));
    let sip_ports = read_sip_ports(reader, &mut section, profile);
    let manners = read_manners(reader, &mut section, profile);
    let sound = read_sound(reader, &mut section, profile);
    section.finish(reader);
    let host = registrars.first().map(|first| host_of(first));
    Pbx {
        id,
        profile: profile.name.to_owned(),
        domain: domain.or(host).unwrap_or_default(),
        registrars,
        sources,
        local_address: local_address.unwrap_or(NO_ADDRESS),
        sip_ports,
        transport,
        contact_secret: manners.contact_secret,
        expires: manners.expires,
        second_binding: manners.second_binding,
        register_rate: manners.register_rate,
        register_window: manners.register_window,
        min_digest: manners.min_digest,
        refuse_status: manners.refuse_status,
        options_interval: manners.options_interval,
        session_expires: manners.session_expires,
        min_se: manners.min_se,
        symmetric_rtp: sound.symmetric_rtp,
        inband_dtmf: sound.inband_dtmf,
        telephone_event: sound.telephone_event,
        codecs: sound.codecs,
    }
}

const TRANSPORTS: &[(&str, Transport)] = &[("udp", Transport::Udp), ("tcp", Transport::Tcp)];

fn profile_named(value: &DeValue<'_>) -> Meaning<Profile> {
    value.as_str().and_then(profile::find).ok_or_else(|| {
        let names: Vec<_> = PROFILES.iter().map(|p| format!("\"{}\"", p.name)).collect();
        format!("allowed are {}", names.join(", "))
    })
}

pub(super) fn host_name(value: &DeValue<'_>) -> Meaning<String> {
    let name = value.as_str().filter(|n| is_host_name(n) || n.parse::<IpAddr>().is_ok());
    name.map(str::to_owned)
        .ok_or_else(|| "write a domain name or an IP address, as \"pbx.example\"".to_owned())
}

fn read_registrars<'t>(
    reader: &mut Reader<'t>,
    section: &mut Section<'t>,
    profile: Profile,
) -> Vec<String> {
    let registrars = section.list(reader, "registrars", host_port(profile.registrar_port));
    let missing = registrars.as_ref().is_none_or(Vec::is_empty);
    if missing && !reader.written(&format!("{}[0]", section.at("registrars"))) {
        reader.error(
            &section.at("registrars"),
            "is missing: write the PBX's addresses in order of preference, as [\"192.0.2.5\"]",
        );
    }
    registrars.unwrap_or_default()
}

/// `sip_port` names the lay-out, `sip_udp_port` the number, or the first one.
fn read_sip_ports<'t>(
    reader: &mut Reader<'t>,
    section: &mut Section<'t>,
    profile: Profile,
) -> SipPorts {
    const LAYOUTS: &[(&str, bool)] = &[("shared", false), ("per_device", true)];
    let per_device = section.value(reader, "sip_port", profile.per_device, one_of(LAYOUTS));
    if per_device {
        let first = section.value(reader, "sip_udp_port", 6_000, number(1_024..=u16::MAX));
        SipPorts::PerDevice { first }
    } else {
        let udp_port = section.value(reader, "sip_udp_port", 5_060, number(0..=u16::MAX));
        SipPorts::Shared { udp_port }
    }
}

/// How the PBX registers, refuses and is watched.
struct Manners {
    contact_secret: ContactSecret,
    expires: u32,
    second_binding: SecondBinding,
    register_rate: Option<u32>,
    register_window: u32,
    min_digest: DigestAlgorithm,
    refuse_status: u16,
    options_interval: Option<Duration>,
    session_expires: Duration,
    min_se: Duration,
}

const SECRETS: &[(&str, ContactSecret)] = &[
    ("user", ContactSecret::User),
    ("uri_param", ContactSecret::UriParam),
    ("none", ContactSecret::None),
];

const SECOND_BINDINGS: &[(&str, SecondBinding)] =
    &[("taken", SecondBinding::Taken), ("refused", SecondBinding::Refused)];

const DIGESTS: &[(&str, DigestAlgorithm)] = &[
    ("md5", DigestAlgorithm::Md5),
    ("sha-256", DigestAlgorithm::Sha256),
    ("sha-512-256", DigestAlgorithm::Sha512_256),
];

fn read_manners<'t>(
    reader: &mut Reader<'t>,
    section: &mut Section<'t>,
    profile: Profile,
) -> Manners {
    let expires_bounds = duration(SECONDS(30)..=SECONDS(86_400));
    let expires = section.value(reader, "expires", profile.expires, expires_bounds);
    let rate = section.value(reader, "register_rate", profile.register_rate, number(0..=10_000));
    let options_bounds = duration_or_off(SECONDS(5)..=SECONDS(3_600));
    // RFC 4028 section 4: no smaller than 90 s.
    let session_bounds: RangeInclusive<Duration> = SECONDS(90)..=SECONDS(86_400);
    Manners {
        contact_secret: section.value(
            reader,
            "contact_secret",
            profile.contact_secret,
            one_of(SECRETS),
        ),
        expires: u32::try_from(expires.as_secs()).unwrap_or(u32::MAX),
        second_binding: section.value(
            reader,
            "second_binding",
            profile.second_binding,
            one_of(SECOND_BINDINGS),
        ),
        register_rate: Some(rate).filter(|rate| *rate > 0),
        register_window: section.value(reader, "register_window", 32, number(1..=1_000)),
        min_digest: section.value(reader, "min_digest", profile.min_digest, one_of(DIGESTS)),
        refuse_status: section.value(reader, "refuse_status", profile.refuse_status, refuse_status),
        options_interval: section.value(
            reader,
            "options_interval",
            profile.options_interval,
            options_bounds,
        ),
        session_expires: section.value(
            reader,
            "session_expires",
            SECONDS(1_800),
            duration(session_bounds.clone()),
        ),
        min_se: section.value(reader, "min_se", SECONDS(90), duration(session_bounds)),
    }
}

fn refuse_status(value: &DeValue<'_>) -> Meaning<u16> {
    number(486..=503)(value)
        .ok()
        .filter(|status| [486, 503].contains(status))
        .ok_or_else(|| "allowed are 486 (busy) and 503 (service unavailable)".to_owned())
}

struct Sound {
    symmetric_rtp: bool,
    inband_dtmf: bool,
    telephone_event: u8,
    codecs: Vec<Codec>,
}

fn read_sound<'t>(reader: &mut Reader<'t>, section: &mut Section<'t>, profile: Profile) -> Sound {
    const CODECS: &[(&str, Codec)] = &[("pcmu", Codec::Pcmu), ("pcma", Codec::Pcma)];
    let codecs = section.list(reader, "codecs", one_of(CODECS));
    let none = codecs.as_ref().is_some_and(Vec::is_empty);
    if none && !reader.written(&format!("{}[0]", section.at("codecs"))) {
        reader.error(&section.at("codecs"), "write at least one of \"pcmu\", \"pcma\"");
    }
    let inband_dtmf = section.value(reader, "inband_dtmf", profile.inband_dtmf, boolean);
    let symmetric_rtp = section.value(reader, "symmetric_rtp", profile.symmetric_rtp, boolean);
    // RFC 3551 section 3: the dynamic payload types.
    let telephone_event = section.value(reader, "telephone_event", 101, number(96..=127));
    let codecs = codecs.unwrap_or_else(|| profile.codecs.to_vec());
    Sound { symmetric_rtp, inband_dtmf, telephone_event, codecs }
}

/// `pbx.example:5060` -> `pbx.example`.
pub(super) fn host_of(registrar: &str) -> String {
    match registrar.parse::<SocketAddr>() {
        Ok(address) => address.ip().to_string(),
        Err(_) => registrar.split(':').next().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_domain_is_the_host_of_the_first_registrar() {
        assert_eq!(host_of("pbx.example:5060"), "pbx.example");
        assert_eq!(host_of("10.0.0.5:5060"), "10.0.0.5");
        assert_eq!(host_of("[2001:db8::5]:5060"), "2001:db8::5");
    }
}
