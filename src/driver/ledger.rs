//! `portkeeper ledger`: how long calls could not be answered.
//!
//! It reads the file beside its writer, so it works whether the node runs or not, on any node of
//! the cluster. It counts the seconds in which calls could not be answered, by incident and
//! by year, and holds them against 99.9996 %: 126 seconds a year.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;
use serde_json::json;

use super::commands::{Failure, load_config};
use super::sqlite::{Entry, Reader};
use crate::config::ClusterProfile;
use crate::store::{Body, Outage};

/// What is promised, in millionths.
const PROMISED: f64 = 0.999_996;
/// Facts that are read at most.
const FACTS_MAX: u32 = 100_000;

/// One year of the ledger.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
struct Year {
    incidents: u32,
    seconds: f64,
    planned_seconds: f64,
    availability_percent: f64,
    kept: bool,
}

/// `portkeeper ledger`
///
/// # Errors
/// The configuration or the store cannot be read.
pub fn ledger(path: &Path, as_json: bool) -> Result<String, Failure> {
    let entries = open(path)?.outages(0, FACTS_MAX).map_err(failed)?;
    let outages: Vec<Outage> = entries.into_iter().filter_map(outage).collect();
    Ok(if as_json { ledger_json(&outages) } else { ledger_text(&outages) })
}

/// The store that a configuration names.
pub(super) fn open(path: &Path) -> Result<Reader, Failure> {
    let cluster = load_config(path)?.config.cluster;
    if cluster.profile == ClusterProfile::Single {
        let text = "a node alone keeps no facts: its configuration has no [cluster]";
        return Err(Failure::Refused(text.to_owned()));
    }
    Reader::open(&cluster.store).map_err(failed)
}

pub(super) fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::Refused(error.to_string())
}

fn outage(entry: Entry) -> Option<Outage> {
    match entry.fact.body {
        Body::Outage(outage) => Some(outage),
        _ => None,
    }
}

fn years(outages: &[Outage]) -> BTreeMap<i64, Year> {
    let mut years = BTreeMap::<i64, Year>::new();
    for outage in outages {
        let (number, ..) = date(outage.began_unix_ms);
        let year = years.entry(number).or_default();
        year.incidents += 1;
        year.seconds += seconds(outage.lasted_ms);
        if outage.planned {
            year.planned_seconds += seconds(outage.lasted_ms);
        }
    }
    for (number, year) in &mut years {
        let whole = if is_leap(*number) { 366.0 } else { 365.0 } * 86_400.0;
        year.availability_percent = 100.0 * (1.0 - year.seconds / whole);
        year.kept = year.availability_percent >= 100.0 * PROMISED;
    }
    years
}

fn ledger_json(outages: &[Outage]) -> String {
    let incidents: Vec<_> = outages
        .iter()
        .map(|outage| {
            json!({
                "epoch": outage.ended.0,
                "began": utc(outage.began_unix_ms),
                "seconds": seconds(outage.lasted_ms),
                "planned": outage.planned,
            })
        })
        .collect();
    json!({
        "promised_percent": 100.0 * PROMISED,
        "incidents": incidents,
        "years": years(outages),
    })
    .to_string()
}

fn ledger_text(outages: &[Outage]) -> String {
    if outages.is_empty() {
        return "no outage is on record".to_owned();
    }
    let mut text = String::from("began                 epoch    seconds\n");
    for outage in outages {
        let planned = if outage.planned { "  planned" } else { "" };
        let lasted = seconds(outage.lasted_ms);
        // Writing into a text cannot fail.
        let _ = writeln!(
            text,
            "{}  {:>5} {lasted:>10.3}{planned}",
            utc(outage.began_unix_ms),
            outage.ended.0
        );
    }
    for (number, year) in years(outages) {
        let verdict = if year.kept { "kept" } else { "missed" };
        let _ = writeln!(
            text,
            "{number}: {} incidents, {:.3} s ({:.3} s planned), {:.5} % available; \
             99.9996 % {verdict}",
            year.incidents, year.seconds, year.planned_seconds, year.availability_percent
        );
    }
    text
}

pub(super) fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}

/// A moment as people and programs read it, UTC.
pub(super) fn utc(unix_ms: u64) -> String {
    let (year, month, day) = date(unix_ms);
    let second = unix_ms / 1_000 % 86_400;
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Year, month and day, UTC, by counting off years and months.
fn date(unix_ms: u64) -> (i64, u32, i64) {
    let mut days = i64::try_from(unix_ms / 86_400_000).unwrap_or(i64::MAX).min(400 * 366 * 10);
    let mut year = 1970;
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        (days, year) = (days - length, year + 1);
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        (days, month) = (days - length, month + 1);
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Epoch;

    const MARCH_2027: u64 = 1_803_859_200_000;

    fn outage(ended: u64, lasted_ms: u64, planned: bool) -> Outage {
        Outage { ended: Epoch(ended), began_unix_ms: MARCH_2027, lasted_ms, planned }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(951_782_400_000), "2000-02-29T00:00:00Z");
        assert_eq!(utc(MARCH_2027), "2027-03-01T00:00:00Z");
        assert_eq!(utc(1_735_689_599_999), "2024-12-31T23:59:59Z");
    }

    #[test]
    fn the_ledger_holds_the_seconds_of_a_year_against_what_is_promised() {
        let outages = [outage(3, 900, false), outage(5, 125_000, false), outage(6, 40, true)];
        let text = ledger_text(&outages);
        assert!(text.contains("2027: 3 incidents, 125.940 s (0.040 s planned)"), "{text}");
        assert!(text.contains("99.9996 % kept"), "{text}");
        let text = ledger_text(&[outage(3, 127_000, false)]);
        assert!(text.contains("99.9996 % missed"), "{text}");
        assert_eq!(ledger_text(&[]), "no outage is on record");
    }

    #[test]
    fn the_json_of_the_ledger_has_incidents_and_years() {
        let value: serde_json::Value =
            serde_json::from_str(&ledger_json(&[outage(3, 900, false)])).expect("JSON");
        assert_eq!(value["incidents"][0]["seconds"], 0.9);
        assert_eq!(value["years"]["2027"]["kept"], true);
        assert_eq!(value["promised_percent"], 99.9996);
    }
}
