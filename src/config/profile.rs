//! What each make of PBX wants: the defaults of `[pbx]`, every one of which a key can override.
//!
//! A row holds what the makers document or what was seen on the wire. CUCM: one Contact IP:port
//! per device or 405, no device that moves while its binding stands, MD5 without qop, 120 s granted
//! whatever is asked. NEC: registrar of standard SIP phones on 5070, RTP peer may change in a call.
//! Asterisk and FreeSWITCH challenge with MD5.

use super::{ContactSecret, DigestAlgorithm, SecondBinding};
use crate::sdp::Codec;
use crate::timers::Duration;

/// Defaults that a make of PBX brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Profile {
    pub(super) name: &'static str,
    /// Port of a registrar written without one.
    pub(super) registrar_port: u16,
    /// A socket for each voice port.
    pub(super) per_device: bool,
    pub(super) contact_secret: ContactSecret,
    pub(super) expires: Duration,
    pub(super) second_binding: SecondBinding,
    /// REGISTERs a second.
    pub(super) register_rate: u32,
    pub(super) min_digest: DigestAlgorithm,
    pub(super) refuse_status: u16,
    pub(super) options_interval: Option<Duration>,
    pub(super) symmetric_rtp: bool,
    pub(super) inband_dtmf: bool,
    pub(super) codecs: [Codec; 2],
    /// A REGISTER that only asks does no harm: no lock-out, no alarm at the PBX.
    pub(super) rehearsal: bool,
}

const MU_LAW_FIRST: [Codec; 2] = [Codec::Pcmu, Codec::Pcma];
const A_LAW_FIRST: [Codec; 2] = [Codec::Pcma, Codec::Pcmu];
const OPTIONS_INTERVAL: Option<Duration> = Some(Duration::from_secs(30));

/// The cautious one: what RFC 3261 and RFC 8760 recommend.
const GENERIC: Profile = Profile {
    name: "generic",
    registrar_port: 5060,
    per_device: false,
    contact_secret: ContactSecret::User,
    expires: Duration::from_secs(300),
    second_binding: SecondBinding::Taken,
    register_rate: 100,
    min_digest: DigestAlgorithm::Sha256,
    refuse_status: 503,
    options_interval: OPTIONS_INTERVAL,
    symmetric_rtp: false,
    inband_dtmf: true,
    codecs: A_LAW_FIRST,
    rehearsal: true,
};

/// All profiles; the first is the default.
pub(super) const PROFILES: [Profile; 6] = [
    GENERIC,
    Profile {
        name: "asterisk",
        expires: Duration::from_secs(120),
        min_digest: DigestAlgorithm::Md5,
        inband_dtmf: false,
        codecs: MU_LAW_FIRST,
        ..GENERIC
    },
    Profile {
        name: "cucm",
        per_device: true,
        contact_secret: ContactSecret::UriParam,
        second_binding: SecondBinding::Refused,
        register_rate: 50,
        min_digest: DigestAlgorithm::Md5,
        refuse_status: 486,
        // Its keepalive is the REGISTER; devices need not send OPTIONS.
        options_interval: None,
        inband_dtmf: false,
        codecs: MU_LAW_FIRST,
        rehearsal: false,
        ..GENERIC
    },
    Profile {
        name: "nec",
        registrar_port: 5070,
        // Whether a Contact with a secret survives is not documented.
        contact_secret: ContactSecret::None,
        register_rate: 50,
        min_digest: DigestAlgorithm::Md5,
        options_interval: None,
        symmetric_rtp: true,
        rehearsal: false,
        ..GENERIC
    },
    Profile {
        name: "freeswitch",
        expires: Duration::from_secs(120),
        min_digest: DigestAlgorithm::Md5,
        inband_dtmf: false,
        codecs: MU_LAW_FIRST,
        ..GENERIC
    },
    Profile {
        name: "kamailio",
        expires: Duration::from_secs(120),
        min_digest: DigestAlgorithm::Md5,
        // A proxy: media comes from whatever stands behind it.
        symmetric_rtp: true,
        inband_dtmf: false,
        ..GENERIC
    },
];

/// The profile of a name.
pub(super) fn find(name: &str) -> Option<Profile> {
    PROFILES.into_iter().find(|profile| profile.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cucm_gets_a_socket_for_each_device_and_is_refused_with_busy() {
        let cucm = find("cucm").expect("known");
        assert!(cucm.per_device);
        assert_eq!((cucm.refuse_status, cucm.register_rate), (486, 50));
        assert_eq!(cucm.contact_secret, ContactSecret::UriParam);
        assert_eq!(cucm.expires, Duration::from_secs(300));
        assert_eq!(cucm.min_digest, DigestAlgorithm::Md5);
        assert_eq!(cucm.second_binding, SecondBinding::Refused);
    }

    #[test]
    fn nec_registers_at_5070_and_may_move_its_media() {
        let nec = find("nec").expect("known");
        assert_eq!(nec.registrar_port, 5070);
        assert_eq!(nec.contact_secret, ContactSecret::None);
        assert!(nec.symmetric_rtp);
    }

    #[test]
    fn only_the_generic_profile_can_insist_on_more_than_md5() {
        let strict = PROFILES.iter().filter(|p| p.min_digest > DigestAlgorithm::Md5);
        assert_eq!(strict.map(|p| p.name).collect::<Vec<_>>(), ["generic"]);
    }
}
