//! Digest against the vectors of its RFCs and against an independent computation.

use rand_core::SeedableRng;

use super::*;
use crate::sip::message::Method;

fn get() -> Method {
    Method::from_token("GET")
}

fn credentials(challenge: &str) -> Credentials {
    let found = parse_challenges(challenge, false).expect("well formed");
    Credentials::new(found.first().expect("one challenge"))
}

fn response_to(challenge: &str, user: &str, password: &str, target: &str, cnonce: &str) -> String {
    let password = Redacted::new(password.to_owned());
    let method = get();
    let signed = Signed { user, password: &password, method: &method, target, body: b"" };
    let value = credentials(challenge).authorize_with(signed, cnonce);
    Authorization::parse(&value).expect("our own answer is well formed").response
}

const RFC7616: &str = "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", \
    nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
    opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"";
const RFC7616_CNONCE: &str = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";

#[test]
fn rfc_7616_section_3_9_1_md5() {
    let challenge = format!("{RFC7616}, algorithm=MD5");
    let response =
        response_to(&challenge, "Mufasa", "Circle of Life", "/dir/index.html", RFC7616_CNONCE);
    assert_eq!(response, "8ca523f5e9506fed4657c9700eebdbec");
}

#[test]
fn rfc_7616_section_3_9_1_sha_256() {
    let challenge = format!("{RFC7616}, algorithm=SHA-256");
    let response =
        response_to(&challenge, "Mufasa", "Circle of Life", "/dir/index.html", RFC7616_CNONCE);
    assert_eq!(response, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1");
}

#[test]
fn rfc_2617_section_3_5() {
    let challenge = "Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", \
        nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"";
    let response =
        response_to(challenge, "Mufasa", "Circle Of Life", "/dir/index.html", "0a4f113b");
    assert_eq!(response, "6629fae49393a05397450978507c4ef1");
}

/// The example of RFC 2069 section 2.4 with the response corrected by its erratum 749.
#[test]
fn rfc_2069_without_qop() {
    let challenge = "Digest realm=\"testrealm@host.com\", \
        nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"";
    let response = response_to(challenge, "Mufasa", "CircleOfLife", "/dir/index.html", "unused");
    assert_eq!(response, "1949323746fe6a43ef61f9606e7febea");
}

/// Algorithm, qop, response: user `8001`, realm `asterisk`, password `s3cret`, nonce `abc/123`,
/// tenth request, cnonce `0a4f113b`, `INVITE sip:8001@10.0.0.1:5060`, body `v=0\r\n`; computed with
/// another implementation of the hashes (Python's hashlib).
const INDEPENDENT: &[(&str, &str, &str)] = &[
    ("MD5", "", "4950bc928492cafc8b7efda1bed4cca5"),
    ("MD5", "auth", "bee4ad10729b398d8470bb72a2c47dca"),
    ("MD5", "auth-int", "955816094ee73ea76218f4e6ddc67d94"),
    ("MD5-sess", "", "1ff9a36a6b46e7e92f72e936b8e36e05"),
    ("MD5-sess", "auth", "395dbf63cb30c1ba072e0e2c026d37b4"),
    ("MD5-sess", "auth-int", "99fc52d01e514ba23be88eea18ccc4ad"),
    ("SHA-256", "", "41880c8c00523f47785de55462103ec08c74f05a822d7d2630a5a8cbf31f4ec5"),
    ("SHA-256", "auth", "3efeb4c7e1bd26af4f66982e57738937eb35fc8aab67bee9cf9d41276ea65a2e"),
    ("SHA-256", "auth-int", "4c246d969a23fbc5b0a1188b2a061ee4a0c63bcad5a8fdf1cb0d08ec81ca892a"),
    ("SHA-256-sess", "", "69ccd8bbb207daf249b4be20daacf9eda2445e64dc31540c6abd54ec94aefd6b"),
    ("SHA-256-sess", "auth", "d7ad997e3607cd83c61fd34df4154e7ce2bf4041599bf0b2f454343a6af7509f"),
    (
        "SHA-256-sess",
        "auth-int",
        "f4060933d09d425b6112c949a7d4b690b13a4249889df5f5bf31cb0560e3d671",
    ),
    ("SHA-512-256", "", "5f0c50f454c26bebf6e330794dff3b6e29cd9ce91d271bf38996d6a8ddf05368"),
    ("SHA-512-256", "auth", "a386166fc3220ca1af080d2d03f0ad38ffea79e1b518f85a574744801e288e2f"),
    ("SHA-512-256", "auth-int", "a16b17658abfe0c9f8b09c678dd3714bab3a73e9bfa88a783470bc3a6b5b813a"),
    ("SHA-512-256-sess", "", "b3663002aada85fe8fbaba6cce2ff2f18d79d23a62580f7be7a2a7ac26a2b98a"),
    (
        "SHA-512-256-sess",
        "auth",
        "3bb67487b7230c7219764a6c92bf3021f0a322d8d81294a288adfe7b4cedb48f",
    ),
    (
        "SHA-512-256-sess",
        "auth-int",
        "c3950bdfbee2aa4f9b935998fbaa5b76215770572153fc804e7cb162f1c670f9",
    ),
];

fn secret() -> Redacted<String> {
    Redacted::new("s3cret".to_owned())
}

fn invite<'a>(password: &'a Redacted<String>) -> Signed<'a> {
    let target = "sip:8001@10.0.0.1:5060";
    Signed { user: "8001", password, method: &Method::Invite, target, body: b"v=0\r\n" }
}

#[test]
fn every_algorithm_and_qop_agrees_with_an_independent_computation() {
    for (algorithm, qop, response) in INDEPENDENT {
        let qop = if qop.is_empty() { String::new() } else { format!(", qop=\"{qop}\"") };
        let text =
            format!("Digest realm=\"asterisk\", nonce=\"abc/123\", algorithm={algorithm}{qop}");
        let mut credentials = credentials(&text);
        credentials.nc = 9;
        credentials.session_cnonce = algorithm.ends_with("-sess").then(|| "0a4f113b".to_owned());
        let value = credentials.authorize_with(invite(&secret()), "0a4f113b");
        let answer = Authorization::parse(&value).expect("our own");
        assert_eq!(answer.response, *response, "{text}");
        assert!(answer.verify(&secret(), &Method::Invite, b"v=0\r\n"), "{text}");
    }
}

#[test]
fn a_wrong_password_method_or_body_is_noticed() {
    let mut credentials =
        credentials("Digest realm=\"asterisk\", nonce=\"n\", qop=\"auth-int\", algorithm=SHA-256");
    let value = credentials.authorize_with(invite(&secret()), "c");
    let answer = Authorization::parse(&value).expect("our own");
    let guess = Redacted::new("secret".to_owned());
    assert!(answer.verify(&secret(), &Method::Invite, b"v=0\r\n"));
    assert!(!answer.verify(&guess, &Method::Invite, b"v=0\r\n"));
    assert!(!answer.verify(&secret(), &Method::Bye, b"v=0\r\n"));
    assert!(!answer.verify(&secret(), &Method::Invite, b""));
    let stripped = Authorization { nc: None, ..answer };
    assert!(!stripped.verify(&secret(), &Method::Invite, b"v=0\r\n"));
}

#[test]
fn a_known_nonce_is_counted_and_each_request_has_its_own_cnonce() {
    let mut rng = Rng::seed_from_u64(7);
    let mut credentials = credentials("Digest realm=\"r\", nonce=\"n\", qop=\"auth\"");
    let mut next = || {
        let value = credentials.authorize(invite(&secret()), &mut rng);
        let answer = Authorization::parse(&value).expect("our own");
        (answer.nonce_count(), answer.cnonce.expect("with qop"))
    };
    let (first, second) = (next(), next());
    assert_eq!((first.0, second.0), (Some(1), Some(2)));
    assert_ne!(first.1, second.1);
    assert_eq!(first.1.len(), 32, "128 bits");
}

#[test]
fn a_session_keeps_its_first_cnonce() {
    let mut rng = Rng::seed_from_u64(7);
    let text = "Digest realm=\"r\", nonce=\"n\", qop=\"auth\", algorithm=MD5-sess";
    let mut credentials = credentials(text);
    let mut cnonce = || {
        let value = credentials.authorize(invite(&secret()), &mut rng);
        Authorization::parse(&value).expect("our own").cnonce
    };
    assert_eq!(cnonce(), cnonce());
}

#[test]
fn credentials_survive_storage_and_hide_their_nonce_from_logs() {
    let mut stored =
        credentials("Digest realm=\"r\", nonce=\"hidden\", qop=\"auth\", opaque=\"o\"");
    stored.authorize(invite(&secret()), &mut Rng::seed_from_u64(7));
    let json = serde_json::to_string(&stored).expect("plain data");
    assert_eq!(serde_json::from_str::<Credentials>(&json).expect("our own"), stored);
    assert!(!format!("{stored:?}").contains("hidden"));
}

#[test]
fn the_header_follows_the_challenge() {
    let found = parse_challenges("Digest realm=\"r\", nonce=\"n\"", true).expect("well formed");
    assert_eq!(Credentials::new(&found[0]).header_name(), "Proxy-Authorization");
    assert_eq!(credentials("Digest realm=\"r\", nonce=\"n\"").header_name(), "Authorization");
}

#[test]
fn a_challenge_prints_as_it_reads() {
    let text = "Digest realm=\"r \\\" x\", nonce=\"n\", opaque=\"\", algorithm=SHA-512-256, \
        qop=\"auth,auth-int\", stale=true";
    let found = parse_challenges(text, false).expect("well formed");
    assert_eq!(found[0].to_string(), text);
}

#[test]
fn a_user_name_cannot_leave_its_quotes() {
    let mut credentials = credentials("Digest realm=\"r\", nonce=\"n\"");
    let password = secret();
    let signed = Signed { user: "a\", realm=\"evil\r\n", ..invite(&password) };
    let value = credentials.authorize_with(signed, "c");
    let answer = Authorization::parse(&value).expect("our own");
    assert_eq!(answer.user, "a\\\", realm=\\\"evil");
    assert_eq!(answer.realm, "r");
}

#[test]
fn broken_answers_are_refused() {
    let good = "Digest username=\"u\", realm=\"r\", nonce=\"n\", uri=\"sip:x\", response=\"0\"";
    assert!(Authorization::parse(good).is_ok());
    for text in ["", "Basic YTpi", "Digest", "Digest username=\"u\"", &good.replace("u\"", "u")] {
        assert!(Authorization::parse(text).is_err(), "{text}");
    }
    for more in ["qop=x", "algorithm=x", "nc=1", "nc=\"1 , x=y\"", "opaque"] {
        assert!(Authorization::parse(&format!("{good}, {more}")).is_err(), "{more}");
    }
}

#[test]
fn an_endless_challenge_ends() {
    let fields = ", x=y".repeat(10_000);
    assert!(parse_challenges(&format!("Digest realm=\"r\"{fields}"), false).is_err());
    let many = "Digest realm=r, nonce=n, ".repeat(10_000);
    assert!(parse_challenges(&many, false).is_err());
}
