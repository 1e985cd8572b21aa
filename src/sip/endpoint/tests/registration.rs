//! Bindings.

use super::*;
use crate::ids::PortId;
use crate::sip::digest::Authorization;
use crate::sip::message::Method;
use crate::sip::{Command, Event, RegistrationState};

const CUCM: (&str, &str) = ("profile = \"generic\"", "profile = \"cucm\"");
/// CUCM 14: MD5, neither qop nor opaque.
const CHALLENGE: &str =
    "Digest realm=\"ccmsipline\", nonce=\"kqzLEqDHpR2Djfwq8c8S4rQbcQvM9TPT\", algorithm=MD5";

#[test]
fn sip_r1_digest_without_qop_names_the_digest_user_and_not_the_extension() {
    let mut bench = Bench::with(GENERIC, &[CUCM]);
    bench.command(Command::Register { port: PortId(0) });
    bench.millis(0);
    let first = bench.request(Method::Register);
    assert_eq!(first.target(), "sip:pbx.example");
    assert_eq!(bench.last().to.to_string(), PBX);
    bench.reply(&first, 100, &[]);
    bench.reply(&first, 401, &[("WWW-Authenticate", CHALLENGE)]);
    let second = bench.request(Method::Register);
    let credentials = second.headers.get("Authorization").expect("credentials");
    let credentials = Authorization::parse(credentials).expect("well formed");
    assert_eq!(credentials.user, "auth-6001");
    assert_eq!(credentials.qop, None);
    let password = "kT7-pq2Zr9vXw4mN8sLd".to_owned().into();
    assert!(credentials.verify(&password, &Method::Register, b""));
    let seq = |r: &crate::sip::message::Request| r.headers.cseq().expect("CSeq").seq;
    assert_eq!(seq(&second), seq(&first) + 1);
    bench.reply(&second, 200, &[("Expires", "120")]);
    bench.events.retain(|e| !matches!(e, Event::Alarm { .. }));
    let pending = Event::Registration { port: PortId(0), state: RegistrationState::Pending };
    assert_eq!(format!("{:?}", bench.event()), format!("{pending:?}"));
    let Event::Registration { state, .. } = bench.event() else { panic!("registered") };
    assert_eq!(state, RegistrationState::Registered { expires: 120, node: 0 });
}
