//! Who calls, and whom (RFC 3325, RFC 5806, RFC 7044, Cisco's Remote-Party-ID).
//!
//! P-Asserted-Identity comes from a trusted proxy, Remote-Party-ID from a CUCM line, From from
//! whoever sent the request: that is the order of trust. What was dialled first stands in the
//! last Diversion (the newest is first) or in the first entry of History-Info.

use crate::redact::Redacted;
use crate::sip::Party;
use crate::sip::message::{Headers, NameAddr, Scheme};

/// The caller of an INVITE.
pub(crate) fn caller(headers: &Headers) -> Party {
    let mut party = asserted(headers).unwrap_or_default();
    let Ok(from) = headers.from() else { return party };
    let from = party_of(&from);
    // CUCM gives the name in one field and the number in another.
    if party.number.reveal().is_empty() {
        party.number = from.number;
    }
    if party.name.reveal().is_empty() {
        party.name = from.name;
    }
    party
}

/// The identity that the PBX vouches for; `None` when it says nothing.
pub(super) fn asserted(headers: &Headers) -> Option<Party> {
    let vouched = headers.p_asserted_identity();
    let best = best(&vouched).cloned().or_else(|| {
        // Of several, the one that speaks of the caller.
        let remote = headers.remote_party_id();
        let of_caller = |id: &&NameAddr| id.params.get("party") != Some("called");
        remote.iter().find(of_caller).cloned()
    })?;
    let party = party_of(&best);
    let empty = party.number.reveal().is_empty() && party.name.reveal().is_empty();
    (!empty).then_some(party)
}

/// A SIP URI before a telephone number: it carries the extension.
fn best(identities: &[NameAddr]) -> Option<&NameAddr> {
    let sip = |id: &&NameAddr| matches!(id.uri.scheme, Scheme::Sip | Scheme::Sips);
    identities.iter().find(sip).or_else(|| identities.first())
}

/// What was dialled before the call was diverted to a port; `extension` when it was not.
pub(crate) fn called(headers: &Headers, extension: &str) -> Party {
    let diversion = headers.diversion();
    let history = headers.history_info();
    let first = diversion.last().or_else(|| history.first()).map(party_of);
    first
        .filter(|party| !party.number.reveal().is_empty())
        .unwrap_or_else(|| Party { name: Redacted::default(), number: extension.to_owned().into() })
}

fn party_of(address: &NameAddr) -> Party {
    Party {
        name: address.display.clone().unwrap_or_default().into(),
        number: address.uri.user_text().unwrap_or_default().into_owned().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> Headers {
        let mut headers = Headers::default();
        lines.iter().for_each(|(name, value)| headers.push(name, value));
        headers
    }

    fn shown(party: &Party) -> (&str, &str) {
        (party.name.reveal(), party.number.reveal())
    }

    #[test]
    fn sip_c5_the_caller_is_taken_from_pai_before_rpid_before_from() {
        let from = ("From", "\"Line\" <sip:1@x>;tag=a");
        let rpid = ("Remote-Party-ID", "\"Anna\" <sip:2@x;x-cisco-number=9>;party=calling");
        let pai = ("P-Asserted-Identity", "<tel:+493>, \"Bert\" <sip:3@x>");
        assert_eq!(shown(&caller(&headers(&[from, rpid, pai]))), ("Bert", "3"));
        assert_eq!(shown(&caller(&headers(&[from, rpid]))), ("Anna", "2"));
        assert_eq!(shown(&caller(&headers(&[from]))), ("Line", "1"));
    }

    #[test]
    fn sip_c4_from_without_a_user_part_still_makes_a_caller() {
        let cucm = ("From", "\"M\u{fc}ller \\\"X\\\"\" <sip:10.0.0.1>;tag=a");
        assert_eq!(shown(&caller(&headers(&[cucm]))), ("M\u{fc}ller \"X\"", ""));
    }

    #[test]
    fn sip_c5_the_number_dialled_first_comes_from_diversion_or_history() {
        let diversion = ("Diversion", "<sip:5001@x>;reason=no-answer, <sip:5000@x>;reason=hunt");
        let history = ("History-Info", "<sip:7000@x>;index=1, <sip:1001@x>;index=1.1");
        assert_eq!(shown(&called(&headers(&[diversion, history]), "1001")).1, "5000");
        assert_eq!(shown(&called(&headers(&[history]), "1001")).1, "7000");
        assert_eq!(shown(&called(&headers(&[]), "1001")).1, "1001");
    }
}
