//! `media` URIs and names of recordings: what may become part of a file name is checked here.

use super::MediaUri;
use super::fault::Fault;

/// Longest name of a prompt, tone or recording.
const NAME_MAX: usize = 128;

/// Longest run of digits in one piece.
const DIGITS_MAX: usize = 64;

/// Reads one `media` URI.
///
/// # Errors
///
/// 400 for a scheme or a name that cannot be played.
pub(super) fn parse(uri: &str) -> Result<MediaUri, Fault> {
    let refused = || Fault::bad(format!("Media {} cannot be played", uri.escape_debug()));
    let (scheme, rest) = uri.split_once(':').ok_or_else(refused)?;
    let piece = match scheme {
        "sound" => prompt_name(rest).map(MediaUri::Sound),
        "recording" => recording_name(rest).map(MediaUri::Recording),
        "tone" => recording_name(rest.split(';').next().unwrap_or("")).map(MediaUri::Tone),
        "digits" => spoken(rest).map(MediaUri::Digits),
        "number" => rest.parse().ok().map(MediaUri::Number),
        _ => None,
    };
    piece.ok_or_else(refused)
}

/// A prompt may lie in a directory below the prompts, never outside of it.
fn prompt_name(name: &str) -> Option<String> {
    let fits = name.len() <= NAME_MAX && name.split('/').all(is_plain);
    fits.then(|| name.to_owned())
}

/// A name without any directory.
pub(super) fn recording_name(name: &str) -> Option<String> {
    (name.len() <= NAME_MAX && is_plain(name)).then(|| name.to_owned())
}

/// Letters of any script, digits and `-_.`, not beginning with a dot.
fn is_plain(part: &str) -> bool {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ' | '+' | '@');
    !part.is_empty() && !part.starts_with('.') && part.chars().all(allowed)
}

fn spoken(digits: &str) -> Option<String> {
    let fits = (1..=DIGITS_MAX).contains(&digits.len())
        && digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'*' | b'#'));
    fits.then(|| digits.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_scheme_is_read() {
        assert_eq!(parse("sound:menu/main"), Ok(MediaUri::Sound("menu/main".into())));
        assert_eq!(parse("recording:msg-1"), Ok(MediaUri::Recording("msg-1".into())));
        assert_eq!(parse("tone:ring;tonezone=de"), Ok(MediaUri::Tone("ring".into())));
        assert_eq!(parse("digits:12*#"), Ok(MediaUri::Digits("12*#".into())));
        assert_eq!(parse("number:42"), Ok(MediaUri::Number(42)));
    }

    #[test]
    fn nothing_leads_out_of_the_directory() {
        let ways_out = [
            "sound:../etc/passwd",
            "sound:/etc/passwd",
            "sound:a/../b",
            "sound:a//b",
            "sound:a\\b",
            "sound:.hidden",
            "sound:a\0b",
            "sound:a\r\nb",
            "recording:a/b",
            "recording:..",
            "tone:../x",
        ];
        for uri in ways_out {
            assert_eq!(parse(uri).expect_err("refused").status, 400, "{uri}");
        }
    }

    #[test]
    fn what_cannot_be_spoken_is_refused() {
        for uri in ["", "sound", "sound:", "digits:1a", "number:-1", "number:x", "video:x"] {
            assert_eq!(parse(uri).expect_err("refused").status, 400, "{uri}");
        }
        assert!(parse(&format!("digits:{}", "1".repeat(65))).is_err());
        assert!(parse(&format!("sound:{}", "a".repeat(129))).is_err());
    }

    proptest! {
        #[test]
        fn no_uri_panics_or_escapes(uri in any::<String>(), name in "[./a\\\\]{0,12}") {
            drop(parse(&uri));
            if let Ok(MediaUri::Sound(kept)) = parse(&format!("sound:{name}")) {
                prop_assert!(kept.split('/').all(|part| !part.is_empty() && part != ".."));
            }
        }
    }
}
