//! Channel variables: which names an application may set, and what the gateway answers itself.
//!
//! `GW_CALL`, `GW_GENERATION` and `GW_REASON` are the gateway's. `GW_ACK`, `GW_CHECKPOINT` and
//! `GW_BARGE_IN` have a meaning beyond the application and are checked at the door.

use std::borrow::Cow;

use super::channel::{Channel, LANGUAGE};
use super::fault::Fault;
use crate::codecs::Digit;

/// Longest name, in bytes.
const NAME_MAX: usize = 80;

/// Longest value, in bytes.
const VALUE_MAX: usize = 4096;

/// Variables of one call, or of all calls together, at most.
pub(super) const VARIABLES_MAX: usize = 64;

/// Whether a variable may be set to this.
///
/// # Errors
///
/// 400, saying why not.
pub(super) fn check(name: &str, value: &str) -> Result<(), Fault> {
    if name.is_empty() || name.len() > NAME_MAX || !name.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Fault::bad("Variable name must be 1 to 80 printable ASCII characters"));
    }
    if value.len() > VALUE_MAX {
        return Err(Fault::bad(format!("Value of {name} is longer than 4096 bytes")));
    }
    match name {
        "GW_CALL" | "GW_GENERATION" | "GW_REASON" => {
            Err(Fault::bad(format!("{name} is set by the gateway only")))
        }
        "GW_ACK" if value.parse::<u32>().is_err() => {
            Err(Fault::bad("GW_ACK must be the number of digits handled on this channel id"))
        }
        "GW_BARGE_IN" if keys(value).is_none() => {
            Err(Fault::bad("GW_BARGE_IN must consist of keys and ranges, as 0-9*#"))
        }
        _ => Ok(()),
    }
}

/// The value as the node gets it: `GW_BARGE_IN` key by key.
pub(super) fn plain<'v>(name: &str, value: &'v str) -> Cow<'v, str> {
    let keys = if name == "GW_BARGE_IN" { keys(value) } else { None };
    keys.map_or(Cow::Borrowed(value), Cow::Owned)
}

/// Writes out the ranges in `0-9*#`.
fn keys(value: &str) -> Option<String> {
    let mut keys = String::new();
    let mut rest = value.chars().peekable();
    while let Some(key) = rest.next() {
        let first = Digit::from_char(key)?.event();
        let last = if rest.next_if_eq(&'-').is_some() {
            Digit::from_char(rest.next()?)?.event()
        } else {
            first
        };
        keys.extend((first..=last).filter_map(Digit::from_event).map(Digit::as_char));
    }
    Some(keys)
}

/// What a variable is on a channel.
pub(super) fn read<'c>(channel: &'c Channel, name: &str) -> Option<Cow<'c, str>> {
    match name {
        "GW_CALL" => return Some(channel.gw_call().into()),
        "GW_GENERATION" => return Some(channel.generation.to_string().into()),
        "GW_REASON" => return Some(channel.reason.into()),
        _ => {}
    }
    if let Some(value) = channel.variables.get(name) {
        return Some(value.as_str().into());
    }
    let value = match name {
        "CALLERID(num)" | "CALLERID(number)" => &channel.caller.1,
        "CALLERID(name)" => &channel.caller.0,
        "CHANNEL" | "CHANNEL(name)" => &channel.name,
        "CHANNEL(state)" => channel.state.name(),
        "CHANNEL(language)" => LANGUAGE,
        "UNIQUEID" => &channel.id,
        "EXTEN" => &channel.extension,
        _ => return None,
    };
    Some(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_the_gateway_cannot_be_set() {
        for name in ["GW_CALL", "GW_GENERATION", "GW_REASON"] {
            assert_eq!(check(name, "1").expect_err("refused").status, 400);
        }
    }

    #[test]
    fn an_acknowledgement_is_a_number_and_a_checkpoint_at_most_4_kib() {
        assert_eq!(check("GW_ACK", "12"), Ok(()));
        for value in ["", "-1", "x", "1.5", "99999999999"] {
            assert!(check("GW_ACK", value).is_err(), "{value}");
        }
        assert_eq!(check("GW_CHECKPOINT", &"x".repeat(4096)), Ok(()));
        assert!(check("GW_CHECKPOINT", &"x".repeat(4097)).is_err());
    }

    #[test]
    fn barge_in_names_keys_and_ranges() {
        assert_eq!(plain("GW_BARGE_IN", "0-3*#"), "0123*#");
        assert_eq!((plain("GW_BARGE_IN", ""), plain("OTHER", "0-3")), ("".into(), "0-3".into()));
        assert_eq!(check("GW_BARGE_IN", "0-9*#a"), Ok(()));
        for value in ["x", "-", "1-", "-1", "1-x", " "] {
            assert!(check("GW_BARGE_IN", value).is_err(), "{value}");
        }
    }

    #[test]
    fn names_are_short_and_printable() {
        for name in ["", "a b", "a\n", "ä", &"x".repeat(81)] {
            assert!(check(name, "").is_err(), "{name:?}");
        }
        assert_eq!(check("CALLERID(num)", ""), Ok(()));
    }
}
