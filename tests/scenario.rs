//! Every script of `fixtures/scenarios`: what is done to the world, `---`, and what must come of
//! it. `UPDATE=1 cargo test --test scenario` writes anew what came of it; read the difference.

#![expect(clippy::disallowed_methods, reason = "reads fixtures")]

use std::fs;
use std::path::{Path, PathBuf};

use portkeeper::sim::script;
use portkeeper::sim::trio::script::{self as several, Site};

/// Between a script and its expected output.
const SEAM: &str = "\n---\n";

/// Those of one node, or of a site with several: `trio` has a witness, `pair` none, and the PBX of
/// `refusing` lets no second device have an extension.
fn scripts(site: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/scenarios").join(site);
    let entries = fs::read_dir(dir).expect("scenarios");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "txt"));
    files.sort();
    files
}

/// The first line in which two texts differ.
fn difference(expected: &str, played: &str) -> Option<String> {
    let (mut expected, mut played) = (expected.lines(), played.lines());
    loop {
        match (expected.next(), played.next()) {
            (None, None) => return None,
            (a, b) if a == b => {}
            (a, b) => {
                let (a, b) = (a.unwrap_or("nothing more"), b.unwrap_or("nothing more"));
                return Some(format!("expected: {a}\n  played: {b}"));
            }
        }
    }
}

fn play_all(site: &str, play: impl Fn(&str) -> Result<Vec<String>, String>) {
    let update = std::env::var_os("UPDATE").is_some();
    let mut faults = Vec::new();
    for path in scripts(site) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).expect("readable");
        let (script, expected) = text.split_once(SEAM).unwrap_or((text.trim_end(), ""));
        let played = match play(script) {
            Ok(lines) => lines.join("\n") + "\n",
            Err(fault) => panic!("{name}: {fault}"),
        };
        assert!(!played.contains("VIOLATION"), "{name}:\n{played}");
        if update {
            fs::write(&path, [script, SEAM, &played].concat()).expect("writable");
        } else if let Some(fault) = difference(expected, &played) {
            faults.push(format!("{name}\n{fault}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_scenario_ends_as_it_is_written() {
    play_all("", script::play);
}

#[test]
fn every_scenario_of_two_nodes_and_a_witness_ends_as_it_is_written() {
    play_all("trio", |text| several::play(text, Site::Trio));
}

#[test]
fn every_scenario_of_two_nodes_without_a_witness_ends_as_it_is_written() {
    play_all("pair", |text| several::play(text, Site::Pair));
}

#[test]
fn every_scenario_at_a_pbx_that_refuses_a_second_device_ends_as_it_is_written() {
    play_all("refusing", |text| several::play(text, Site::Refusing));
}

#[test]
fn there_is_a_scenario_for_each_way_in_which_a_call_loses_its_instance() {
    let all: String = scripts("").iter().filter_map(|path| fs::read_to_string(path).ok()).collect();
    let reasons = ["hang", "crash", "no_start", "caller_silence", "operator", "moved"];
    for reason in reasons {
        assert!(all.contains(&format!("({reason})")), "{reason}");
    }
}
