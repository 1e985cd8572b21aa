//! Names that we draw or complete: tags, Call-IDs, secrets, targets.

use std::fmt::Write;

use rand_core::RngCore;

use crate::ids::Rng;
use crate::sip::message::{Scheme, Uri};

/// 96 random bits as text: whoever guesses a tag and a Call-ID can move a call.
pub(crate) fn token(rng: &mut Rng) -> String {
    let mut bytes = [0; 12];
    rng.fill_bytes(&mut bytes);
    bytes.iter().fold(String::with_capacity(24), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The URI of a target: a SIP URI as it is, an extension at the domain of `aor`.
pub(crate) fn complete(target: &str, aor: &Uri) -> Option<Uri> {
    let target = target.trim();
    if let Ok(uri) = Uri::parse(target)
        && matches!(uri.scheme, Scheme::Sip | Scheme::Sips | Scheme::Tel)
    {
        return Some(uri);
    }
    let dialable = |c: char| c.is_ascii_alphanumeric() || "+*#-._".contains(c);
    let good = !target.is_empty() && target.len() <= 64 && target.chars().all(dialable);
    good.then(|| Uri { user: None, ..aor.clone() })
        .map(|uri| Uri { user: Uri::sip(Some(target), uri.host.clone()).user, ..uri })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extension_is_completed_and_a_uri_stays() {
        let aor = Uri::parse("sip:1001@pbx.example").expect("URI");
        let whole = |target| complete(target, &aor).map(|uri| uri.to_string());
        assert_eq!(whole("2000").as_deref(), Some("sip:2000@pbx.example"));
        assert_eq!(whole("sip:x@other").as_deref(), Some("sip:x@other"));
        assert_eq!(whole("20 00"), None);
        assert_eq!(whole("http://x"), None);
    }
}
