//! Digest against the vectors of its RFCs and against an independent computation.

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
