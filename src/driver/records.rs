//! `portkeeper audit` and `portkeeper cdr`: who did what, and the calls, newest first.
//!
//! They read the file beside its writer, so they work whether the node runs or not, on any node of
//! the cluster. What is printed is bounded: whoever wants more says so.

use std::fmt::Write as _;
use std::path::Path;

use jiff::civil::DateTime;
use jiff::{Timestamp, tz};
use serde_json::json;

use super::clock;
use super::commands::Failure;
use super::ledger::{failed, open, seconds, utc};
use super::sqlite::Entry;
use crate::node::snapshot::mask;
use crate::redact::Redacted;
use crate::store::{Body, Cdr, Who};

/// Which records are wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Not before: a moment, a day, or an age.
    pub since: Option<String>,
    /// So many at most.
    pub limit: u32,
    /// One JSON object a line.
    pub json: bool,
}

impl Wanted {
    /// Milliseconds since 1970.
    fn since_ms(&self) -> Result<u64, Failure> {
        let Some(text) = &self.since else { return Ok(0) };
        since_ms(text, clock::unix_ms()).ok_or_else(|| {
            Failure::Refused(format!(
                "--since {text}: write a moment as 2027-03-01T06:30:00Z, a day as 2027-03-01 \
                 (UTC), or an age as 90m, 12h or 7d"
            ))
        })
    }
}

fn since_ms(text: &str, now_ms: u64) -> Option<u64> {
    if let Some(age) = age_ms(text) {
        return Some(now_ms.saturating_sub(age));
    }
    let moment = text.parse::<Timestamp>().ok().or_else(|| {
        // Without a zone, times are those that are printed.
        let zoned = text.parse::<DateTime>().ok()?.to_zoned(tz::TimeZone::UTC).ok()?;
        Some(zoned.timestamp())
    })?;
    Some(u64::try_from(moment.as_millisecond()).unwrap_or(0))
}

fn age_ms(text: &str) -> Option<u64> {
    let (count, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    count.parse::<u64>().ok()?.checked_mul(unit)
}

/// `portkeeper audit`
///
/// # Errors
/// The configuration or the store cannot be read.
pub fn audit(path: &Path, wanted: &Wanted) -> Result<String, Failure> {
    let since = wanted.since_ms()?;
    let entries = open(path)?.audit(since, wanted.limit.saturating_add(1)).map_err(failed)?;
    lines(&entries, wanted, |entry| {
        let Body::Audit(audit) = &entry.fact.body else { return String::new() };
        let who = match &audit.who {
            Who::Policy => "policy".to_owned(),
            Who::Operator(name) => format!("operator {name}"),
            Who::Agent { number, extension } => format!("agent {number} from {}", mask(extension)),
        };
        let result = audit.result.as_ref().map_or_else(Clone::clone, |()| "done".to_owned());
        format!("{who}: {:?}: {result}", audit.action)
    })
}

/// `portkeeper cdr`: one line for each call, its far end masked.
///
/// # Errors
/// The configuration or the store cannot be read.
pub fn cdr(path: &Path, wanted: &Wanted) -> Result<String, Failure> {
    let since = wanted.since_ms()?;
    let entries = open(path)?.cdrs(since, wanted.limit.saturating_add(1)).map_err(failed)?;
    lines(&entries, wanted, |entry| {
        let Body::Cdr(cdr) = &entry.fact.body else { return String::new() };
        let way = if cdr.outbound { "to" } else { "from" };
        format!(
            "{} {} {way} {} {:.1} s, {}{}",
            cdr.call,
            cdr.extension,
            mask(&cdr.party),
            seconds(cdr.duration_ms),
            cdr.cause,
            if cdr.takeovers > 0 { ", carried on by another node" } else { "" }
        )
    })
}

/// Each entry as a line; as JSON, with whoever was called or called masked. One more than is
/// wanted says that there are more, which people are told.
fn lines(
    entries: &[Entry],
    wanted: &Wanted,
    text: impl Fn(&Entry) -> String,
) -> Result<String, Failure> {
    let limit = usize::try_from(wanted.limit).unwrap_or(usize::MAX);
    let mut out = String::new();
    for entry in entries.iter().take(limit) {
        if wanted.json {
            let mut fact = entry.fact.clone();
            if let Body::Cdr(Cdr { party, .. }) = &mut fact.body {
                *party = Redacted::new(mask(party));
            }
            let value = json!({ "fact": fact, "late": entry.late });
            out += &serde_json::to_string(&value).map_err(failed)?;
            out.push('\n');
        } else {
            let late = if entry.late { " (late)" } else { "" };
            // Writing into a text cannot fail.
            let _ = writeln!(out, "{} {}{late}", utc(entry.fact.unix_ms), text(entry));
        }
    }
    if entries.len() > limit && !wanted.json {
        let _ = writeln!(out, "... and older ones: see --limit and --since");
    }
    // Whoever prints it ends the last line.
    out.truncate(out.trim_end().len());
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Epoch, NodeId};
    use crate::store::{Action, Audit, Fact, FactId, Lane, Stream};

    const MARCH_2027: u64 = 1_803_859_200_000;

    #[test]
    fn a_moment_a_day_and_an_age_are_understood_and_nothing_else() {
        let since = |text| since_ms(text, MARCH_2027 + 100_000);
        assert_eq!(since("2027-03-01T00:00:00Z"), Some(MARCH_2027));
        assert_eq!(since("2027-03-01T01:00:00+01:00"), Some(MARCH_2027));
        assert_eq!(since("2027-03-01T00:01:00"), Some(MARCH_2027 + 60_000));
        assert_eq!(since("2027-03-01"), Some(MARCH_2027));
        assert_eq!(since("100s"), Some(MARCH_2027));
        assert_eq!(since("1d"), Some(MARCH_2027 + 100_000 - 86_400_000));
        assert_eq!(since("99999d"), Some(0), "the store is younger");
        for wrong in ["", "d", "1", "1w", "yesterday", "2027-13-01", "-1d", "1é", "é"] {
            assert_eq!(since(wrong), None, "{wrong}");
        }
        let wanted = Wanted { since: Some("now".to_owned()), limit: 1, json: false };
        let told = wanted.since_ms().expect_err("no time").to_string();
        assert!(told.contains("--since now: write a moment as 2027-"), "{told}");
    }

    fn entry(counter: u64) -> Entry {
        let lane = Lane { node: NodeId(0), boot: 1, stream: Stream::Control };
        let id = FactId { lane, counter };
        let audit = Audit { who: Who::Policy, action: Action::Release, result: Ok(()) };
        let (epoch, body) = (Epoch(1), Body::Audit(audit));
        Entry { fact: Fact { id, epoch, unix_ms: MARCH_2027, body }, late: false }
    }

    #[test]
    fn people_are_told_that_there_are_more_than_they_wanted() {
        let shown = |limit, json| {
            let wanted = Wanted { since: None, limit, json };
            lines(&[entry(3), entry(2), entry(1)], &wanted, |_| "it".to_owned()).expect("text")
        };
        let whole = ["2027-03-01T00:00:00Z it"; 3].join("\n");
        assert_eq!(shown(3, false), whole);
        let cut = "2027-03-01T00:00:00Z it\n... and older ones: see --limit and --since";
        assert_eq!(shown(1, false), cut);
        assert_eq!(shown(2, true).lines().count(), 2, "a program counts what it gets");
    }
}
