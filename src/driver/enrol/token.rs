//! The token: what it holds, how it is written, and what proves that one has it.

use std::fmt::Write as _;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use rand_core::{OsRng, TryRngCore};
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// A token is good for this long, and for one node once.
pub(super) const HOLDS: Duration = Duration::from_secs(600);

const PREFIX: &str = "pk1";

/// A secret, and which CA it lets one into.
pub(super) struct Token {
    secret: Zeroizing<[u8; 16]>,
    pub(super) fingerprint: [u8; 32],
}

impl Token {
    pub(super) fn new(ca: &CertificateDer<'_>) -> std::io::Result<Self> {
        let mut secret = Zeroizing::new([0; 16]);
        OsRng.try_fill_bytes(&mut *secret).map_err(std::io::Error::other)?;
        Ok(Self { secret, fingerprint: fingerprint(ca) })
    }

    /// As an operator copies it.
    pub(super) fn text(&self) -> Zeroizing<String> {
        let text = format!("{PREFIX}.{}.{}", hex(&*self.secret), hex(&self.fingerprint));
        Zeroizing::new(text)
    }

    /// Reads what an operator copied.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('.');
        let (prefix, secret, fingerprint) = (parts.next()?, parts.next()?, parts.next()?);
        if prefix != PREFIX || parts.next().is_some() {
            return None;
        }
        let secret = Zeroizing::new(unhex(secret)?);
        Some(Self { secret, fingerprint: unhex(fingerprint)? })
    }

    /// What shows that one knows the secret, on this connection, for this node and this key.
    pub(super) fn proof(&self, exported: &[u8; 32], node: &str, request: &str) -> String {
        hex(&self.mac(exported, node, request).finalize().into_bytes())
    }

    /// Whether somebody else's proof is right. Takes as long for a wrong one.
    pub(super) fn verify(
        &self,
        proof: &str,
        exported: &[u8; 32],
        node: &str,
        request: &str,
    ) -> bool {
        let mac = self.mac(exported, node, request);
        unhex::<32>(proof).is_some_and(|proof| mac.verify_slice(&proof).is_ok())
    }

    fn mac(&self, exported: &[u8; 32], node: &str, request: &str) -> Hmac<Sha256> {
        // HMAC takes a key of any length.
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&*self.secret)
            .expect("HMAC has no key of a wrong length");
        mac.update(exported);
        // Its length ends the name: no other name and request run together to the same bytes.
        mac.update(&u64::try_from(node.len()).unwrap_or(u64::MAX).to_be_bytes());
        mac.update(node.as_bytes());
        mac.update(request.as_bytes());
        mac
    }
}

/// SHA-256 of a certificate.
pub(super) fn fingerprint(certificate: &CertificateDer<'_>) -> [u8; 32] {
    Sha256::digest(certificate).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let text = text.as_bytes();
    if text.len() != 2 * N {
        return None;
    }
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? * 16 + digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Token {
        Token::new(&CertificateDer::from(vec![1, 2, 3])).expect("random bytes")
    }

    #[test]
    fn a_token_survives_being_copied() {
        let token = token();
        let read = Token::parse(&format!(" {}\n", *token.text())).expect("a token");
        assert_eq!(*read.text(), *token.text());
        let text = token.text().to_string();
        for wrong in ["", "pk1", &text[..text.len() - 1], &text.replace("pk1", "pk2")] {
            assert!(Token::parse(wrong).is_none(), "{wrong}");
        }
        assert!(Token::parse(&text.replacen("pk1.", "pk1.zz", 1)).is_none());
    }

    #[test]
    fn a_proof_holds_for_one_connection_one_node_and_one_request() {
        let (token, here) = (token(), [7; 32]);
        let proof = token.proof(&here, "b", "request");
        assert!(token.verify(&proof, &here, "b", "request"));
        assert!(!token.verify(&proof, &[8; 32], "b", "request"));
        assert!(!token.verify(&proof, &here, "c", "request"));
        assert!(!token.verify(&proof, &here, "br", "equest"));
        assert!(!token.verify("", &here, "b", "request"));
        assert!(!self::token().verify(&proof, &here, "b", "request"));
    }
}
