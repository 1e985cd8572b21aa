//! Gaps of rsip 0.4 that our digest must not have.

use portkeeper::config::DigestAlgorithm;
use portkeeper::ids::Rng;
use portkeeper::redact::Redacted;
use portkeeper::sip::digest::{
    Algorithm, Authorization, Challenge, Credentials, Qop, Signed, choose, parse_challenges,
};
use portkeeper::sip::message::Method;
use rand_core::SeedableRng;

use crate::with;

fn challenge(text: &str) -> Challenge {
    let mut found = parse_challenges(text, false).expect("well formed");
    assert_eq!(found.len(), 1);
    found.remove(0)
}

/// What we answer to `challenge` for the n-th request.
fn answer(challenge: &Challenge, n: u32, target: &str, body: &[u8]) -> String {
    let mut credentials = Credentials::new(challenge);
    credentials.nc = n - 1;
    let password = Redacted::new("secret".to_owned());
    let (user, method) = ("100", &Method::Register);
    let signed = Signed { user, password: &password, method, target, body };
    credentials.authorize(signed, &mut Rng::seed_from_u64(1))
}

fn is_right(text: &str, body: &[u8]) -> bool {
    let password = Redacted::new("secret".to_owned());
    let answer = Authorization::parse(text).expect("our own");
    answer.verify(&password, &Method::Register, body)
}

#[test]
fn rsip_gap_26_algorithm_names_are_those_of_rfc_8760() {
    for name in ["SHA-256", "SHA-512-256", "MD5", "sha-256"] {
        let text = format!("Digest realm=\"r\", nonce=\"n\", algorithm={name}");
        let got = answer(&challenge(&text), 1, "sip:r", b"");
        assert!(got.contains(&format!("algorithm={}", name.to_uppercase())), "{got}");
    }
    let unknown = "Digest realm=\"r\", nonce=\"n\", algorithm=AKAv1-MD5";
    assert_eq!(parse_challenges(unknown, false), Ok(vec![]));
}

#[test]
fn rsip_gap_27_lists_of_qop_are_read() {
    let got = challenge("Digest realm=\"r\", nonce=\"n\", qop=\"auth,auth-int\"");
    assert_eq!(got.qop, [Qop::Auth, Qop::AuthInt]);
    let got = challenge("Digest realm=\"r\", nonce=\"n\", qop=\"x, auth-int\"");
    assert_eq!(got.qop, [Qop::AuthInt]);
}

#[test]
fn rsip_gap_28_the_nonce_count_is_hexadecimal() {
    let challenge = challenge("Digest realm=\"r\", nonce=\"n\", qop=\"auth\"");
    let text = answer(&challenge, 10, "sip:r", b"");
    assert!(text.contains("nc=0000000a"), "{text}");
    assert!(is_right(&text, b""));
    assert_eq!(Authorization::parse(&text).expect("our own").nonce_count(), Some(10));
    assert!(answer(&challenge, 300, "sip:r", b"").contains("nc=0000012c"));
}

#[test]
fn rsip_gap_29_qop_and_nc_are_sent_without_quotes() {
    let challenge = challenge("Digest realm=\"r\", nonce=\"n\", qop=\"auth\", algorithm=MD5");
    let text = answer(&challenge, 1, "sip:r", b"");
    assert!(text.contains("qop=auth, nc=00000001"), "{text}");
    assert!(text.contains("algorithm=MD5,"), "{text}");
}

#[test]
fn rsip_gap_30_sessions_and_bodies_are_hashed() {
    let plain = challenge("Digest realm=\"r\", nonce=\"n\", qop=\"auth\"");
    let session = Challenge { algorithm: Some(Algorithm::Md5Sess), ..plain.clone() };
    let response = |c: &Challenge| {
        Authorization::parse(&answer(c, 1, "sip:r", b"")).expect("our own").response
    };
    assert_ne!(response(&plain), response(&session));
    let integrity = Challenge { qop: vec![Qop::AuthInt], ..plain };
    let text = answer(&integrity, 1, "sip:r", b"body");
    assert!(is_right(&text, b"body"));
    assert!(!is_right(&text, b"another body"));
}

#[test]
fn rsip_gap_31_the_request_uri_is_signed_to_the_letter() {
    let target = "sip:100@PBX.example:5060;x=%41?no=t";
    let text = answer(&challenge("Digest realm=\"r\", nonce=\"n\""), 1, target, b"");
    assert!(text.contains(&format!("uri=\"{target}\"")), "{text}");
    let line = "OPTIONS sip:100@PBX.example;x=%41 SIP/2.0\r\nVia: ";
    let got = crate::request(
        crate::options("", "").replace("OPTIONS sip:100@pk.example SIP/2.0\r\nVia: ", line),
    );
    assert_eq!(got.target(), "sip:100@PBX.example;x=%41");
}

#[test]
fn rsip_gap_32_challenges_are_told_apart() {
    let got = with(
        "WWW-Authenticate: Digest realm = \"a \\\"q\\\", b\" ,nonce=n1 , Basic realm=\"x\", \
         Digest nonce=\"n2\", realm=\"r\", algorithm=SHA-256, stale=TRUE,\r\n \
         qop=\"auth\"\r\nWWW-Authenticate: Digest broken\r\nProxy-Authenticate: Digest realm=\"p\",\
         nonce=\"n3\", opaque=\"\"",
    );
    let found = got.headers.challenges();
    let nonces: Vec<_> = found.iter().map(|c| c.nonce.as_str()).collect();
    assert_eq!(nonces, ["n1", "n2", "n3"]);
    assert_eq!(found[0].realm, "a \\\"q\\\", b", "as it stands between the quotes");
    assert!(found[1].stale && found[2].proxy);
    assert_eq!(found[2].opaque.as_deref(), Some(""));
    let best = choose(&found, DigestAlgorithm::Md5).expect("three to choose from");
    assert_eq!(best.nonce, "n2", "the strongest");
    assert!(choose(&found[..1], DigestAlgorithm::Sha256).is_none(), "MD5 is too weak");
}
