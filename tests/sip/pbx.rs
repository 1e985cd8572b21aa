//! Messages as PBXs send them, and what must be read out of each.

use std::fs;
use std::path::Path;

use portkeeper::config::DigestAlgorithm;
use portkeeper::sdp::{self, Codec, Direction, LocalMedia, Negotiated, Origin};
use portkeeper::sip::digest::{Algorithm, choose};
use portkeeper::sip::message::{Contacts, Host, Refresher, Request, Response};

fn read(name: &str) -> Vec<u8> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/sip/pbx");
    fs::read(dir.join(format!("{name}.sip"))).expect("readable")
}

fn request(name: &str) -> Request {
    crate::request(read(name))
}

fn response(name: &str) -> Response {
    crate::response(read(name))
}

fn local() -> LocalMedia {
    LocalMedia {
        address: "10.20.0.9".parse().expect("address"),
        udp_port: 20_000,
        codecs: vec![Codec::Pcmu, Codec::Pcma],
        telephone_event: 101,
    }
}

fn answered(request: &Request) -> Negotiated {
    let offer = request.sdp().expect("an offer");
    let mut origin = Origin::new(1);
    sdp::answer(&offer, &local(), &mut origin, Direction::SendRecv).expect("agreement").1
}

#[test]
fn sip_c1_the_invite_of_a_cucm_has_no_offer_and_its_ack_answers_ours() {
    let invite = request("cucm_invite_delayed_offer");
    assert_eq!(invite.sdp(), None);
    assert_eq!(invite.headers.supported(), ["timer", "resource-priority", "replaces"]);
    assert_eq!((invite.headers.min_se(), invite.headers.session_expires()), (Some(1800), None));
    assert_eq!(invite.headers.expires(), Some(180));
    assert!(!invite.headers.lists("Allow", "MESSAGE"));
    let mut origin = Origin::new(1);
    sdp::offer(&local(), &mut origin, Direction::SendRecv);
    let answer = request("cucm_ack_answer").sdp().expect("an answer");
    let agreed = sdp::accept(&answer, &local(), &origin, Direction::SendRecv).expect("agreement");
    assert_eq!(agreed.remote, "10.10.0.31:24580".parse().expect("address"));
    assert_eq!((agreed.codec, agreed.event_send), (Codec::Pcmu, Some(101)));
}

#[test]
fn sip_c4_names_with_umlauts_commas_and_unknown_parameters_are_read() {
    let invite = request("cucm_invite_delayed_offer");
    let from = invite.headers.from().expect("From");
    assert_eq!(from.display.as_deref(), Some("Müller, Eva"));
    let remote = &invite.headers.remote_party_id()[0];
    assert_eq!(remote.uri.user.as_deref(), Some("2201"));
    assert_eq!(remote.uri.param("x-cisco-callback-number").as_deref(), Some("2201"));
    assert_eq!(remote.params.get("party"), Some("calling"));
    let contact = invite.headers.contacts().expect("Contact");
    let contact = contact.first().expect("one");
    assert_eq!(contact.params.get("+u.sip!devicename.ccm.cisco.com"), Some("SEPA44C11D5C3B1"));
    assert_eq!(invite.uri.param("pk").as_deref(), Some("Zk3vT9qLw2"));
    let latin1 = request("nec_invite").headers.from().expect("From");
    assert_eq!(latin1.display.as_deref(), Some("Zoë Büro"));
}

#[test]
fn sip_c4_a_from_without_user_part_is_read() {
    let invite = request("cucm_invite_no_user");
    let from = invite.headers.from().expect("From");
    assert_eq!((from.uri.user, from.display), (None, None));
    assert_eq!(from.uri.host, Host::from("10.10.0.11"));
    assert_eq!(invite.headers.remote_party_id()[0].params.get("privacy"), Some("full"));
}

#[test]
fn sip_c5_every_source_of_caller_and_called_is_read() {
    let cucm = request("cucm_invite_delayed_offer");
    let hunt_pilot = &cucm.headers.diversion()[0];
    assert_eq!(hunt_pilot.uri.user.as_deref(), Some("8000"));
    assert_eq!(hunt_pilot.display.as_deref(), Some("Hotline"));
    let asterisk = request("asterisk_invite");
    assert_eq!(asterisk.headers.p_asserted_identity()[0].display.as_deref(), Some("Reception"));
    let history = asterisk.headers.history_info();
    assert_eq!(history[0].uri.user.as_deref(), Some("8000"));
    assert_eq!(history[1].uri.header("Reason").as_deref(), Some("SIP;cause=302"));
    let proxied = request("proxied_invite");
    let identities = proxied.headers.p_asserted_identity();
    assert_eq!(identities[1].uri.to_string(), "tel:+4989123456");
}

#[test]
fn sip_c11_lists_folds_and_strict_routers_of_proxies_are_read() {
    let invite = request("proxied_invite");
    let routes = invite.headers.record_routes().expect("three");
    let loose: Vec<_> = routes.iter().map(|r| r.uri.is_loose_router()).collect();
    assert_eq!(loose, [true, false, true]);
    let vias = invite.headers.vias().expect("three");
    let branches: Vec<_> = vias.iter().filter_map(|v| v.branch()).collect();
    assert_eq!(branches, ["z9hG4bKc1.1", "z9hG4bKc1.2", "z9hG4bKc1.3"]);
    assert_eq!(vias[2].received(), Some(Host::from("2001:db8::41")));
    assert_eq!(invite.headers.get("Subject"), Some("a subject that is folded"));
    assert_eq!(answered(&invite).codec, Codec::Pcmu, "the offer is one part of its body");
}

#[test]
fn sip_c11_compact_names_are_read_and_answered_in_long_form() {
    let invite = request("nec_invite");
    let timer = invite.headers.session_expires().expect("a timer");
    assert_eq!((timer.secs, timer.refresher), (180, Some(Refresher::Uac)));
    let printed = invite.reply(180).to_bytes().expect("printable");
    let from = b"\r\nFrom: \"Zo\xeb B\xfcro\" <sip:201@10.30.0.5:5070;user=phone>;tag=";
    assert!(printed.windows(from.len()).any(|w| w == from), "echoed byte for byte");
}

#[test]
fn sip_d1_a_nec_holds_with_the_zero_address() {
    assert_eq!(answered(&request("nec_reinvite_hold")).direction, Direction::RecvOnly);
}

#[test]
fn sip_m3_a_nec_names_its_own_payload_type_for_events() {
    let agreed = answered(&request("nec_invite"));
    assert_eq!((agreed.event_send, agreed.event_recv), (Some(96), Some(96)));
    assert_eq!(agreed.remote, "10.30.0.6:10020".parse().expect("address"));
}

#[test]
fn sip_r1_the_challenge_of_a_cucm_has_neither_qop_nor_opaque() {
    let challenges = response("cucm_register_401").headers.challenges();
    let [one] = challenges.as_slice() else { panic!("one challenge") };
    assert_eq!((&*one.realm, one.algorithm), ("ccmsipline", Some(Algorithm::Md5)));
    assert!(one.qop.is_empty() && one.opaque.is_none());
}

#[test]
fn sip_r3_the_lifetime_of_a_cucm_stands_in_expires() {
    let ok = response("cucm_register_200");
    let Contacts::List(contacts) = ok.headers.contacts().expect("Contact") else { panic!("star") };
    assert_eq!((contacts[0].expires(), ok.headers.expires()), (None, Some(120)));
    assert!(contacts[0].params.has("x-cisco-newreg"));
}

#[test]
fn sip_r5_min_expires_is_read() {
    assert_eq!(response("kamailio_423").headers.min_expires(), Some(60));
}

#[test]
fn sip_r7_an_unsolicited_notify_is_read() {
    let notify = request("cucm_notify_mwi");
    assert_eq!(notify.headers.event().expect("Event").value, "message-summary");
    assert_eq!(notify.headers.subscription_state().expect("state").value, "active");
}

#[test]
fn sip_d7_the_end_of_a_transfer_is_read() {
    let notify = request("asterisk_notify_sipfrag");
    let event = notify.headers.event().expect("Event");
    assert_eq!((&*event.value, event.params.get("id")), ("refer", Some("3")));
    let kind = notify.headers.content_type().expect("Content-Type");
    assert_eq!(kind.essence, "message/sipfrag");
    assert_eq!(notify.headers.subscription_state().expect("state").value, "terminated");
}

#[test]
fn sip_d10_of_two_challenges_the_stronger_is_taken() {
    let challenges = response("asterisk_reinvite_401").headers.challenges();
    let best = choose(&challenges, DigestAlgorithm::Md5).expect("two");
    assert_eq!(best.algorithm, Some(Algorithm::Sha256));
}
