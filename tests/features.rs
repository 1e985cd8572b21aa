//! The documents keep their word: what docs/FEATURES.md calls done names a test, every test that it
//! names is one that runs, and docs/OPERATING.md has every key of a result.

#![expect(clippy::disallowed_methods, reason = "reads the source tree")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// One row of the table.
struct Row<'t> {
    name: &'t str,
    status: &'t str,
    proof: &'t str,
}

const TABLE: &str = include_str!("../docs/FEATURES.md");

fn rows() -> Vec<Row<'static>> {
    let rows = TABLE.lines().filter(|line| line.starts_with("| S"));
    rows.map(|line| {
        let cells: Vec<_> = line.split(" | ").map(|cell| cell.trim_matches(['|', ' '])).collect();
        let [name, .., status, proof] = cells[..] else { panic!("four cells: {line}") };
        Row { name, status, proof }
    })
    .collect()
}

/// Names between backticks.
fn named(proof: &str) -> impl Iterator<Item = &str> {
    proof.split('`').skip(1).step_by(2)
}

/// Every source below a directory, with its text.
fn rust_files(directory: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(directory).expect("readable") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).expect("UTF-8 source");
            found.push((path, text));
        }
    }
}

/// Functions that follow a test attribute and are not ignored.
fn tests_of(text: &str) -> impl Iterator<Item = &str> {
    let marked = text.split("#[test]").skip(1).chain(text.split("#[tokio::test]").skip(1));
    marked.filter_map(|after| {
        let (attributes, rest) = after.split_once("fn ")?;
        let ignored = attributes.contains("ignore");
        rest.split_once('(').filter(|_| !ignored).map(|(name, _)| name)
    })
}

/// Rows of a list of tests against real peers, as `("queue::a_hunt", a_hunt)`.
fn peers_of(text: &str) -> impl Iterator<Item = &str> {
    let rows = text
        .lines()
        .filter_map(|line| line.trim_start_matches([' ', '&', '[']).strip_prefix("(\""));
    rows.filter_map(|row| row.split_once("\", ")).map(|(name, _)| name)
}

fn tests() -> BTreeSet<String> {
    let mut files = Vec::new();
    for directory in ["src", "codecs/src", "tests"] {
        rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(directory), &mut files);
    }
    let names = files.iter().flat_map(|(_, text)| tests_of(text).chain(peers_of(text)));
    names.map(str::to_owned).collect()
}

#[test]
fn every_row_is_open_or_done_and_what_is_done_names_its_tests() {
    let rows = rows();
    assert_eq!(rows.len(), 117, "no row was lost");
    for Row { name, status, proof } in rows {
        match status {
            "open" => assert_eq!(proof, "", "{name} is open and proved"),
            "done" | "done (single)" => assert!(named(proof).count() > 0, "{name} is not proved"),
            other => panic!("{name}: no such status as {other:?}"),
        }
    }
}

#[test]
fn every_test_that_the_table_names_is_there() {
    let tests = tests();
    for Row { name, proof, .. } in rows() {
        for test in named(proof) {
            let is_there = match test.strip_suffix('*') {
                Some(beginning) => tests.iter().any(|test| test.starts_with(beginning)),
                None => tests.contains(test),
            };
            assert!(is_there, "{name}: there is no test `{test}`");
        }
    }
}

/// Keys of JSON objects in a source: `"total_ms": value`, and the fields of what is serialized, but
/// for those that only hold the fields of another object.
fn keys_of(text: &str) -> Vec<&str> {
    let tested = text.find("#[cfg(test)]").unwrap_or(text.len());
    let (mut keys, mut serialized, mut flat) = (Vec::new(), false, false);
    for line in text[..tested].lines() {
        serialized = match line {
            "}" => false,
            _ => serialized || line.starts_with("#[derive(") && line.contains("Serialize"),
        };
        let line = line.trim_start();
        let literal = line.strip_prefix('"').and_then(|rest| rest.split_once("\":"));
        let field = line.strip_prefix("pub ").and_then(|rest| rest.split_once(": "));
        keys.extend(literal.or(field.filter(|_| serialized && !flat)).map(|(key, _)| key));
        flat = line == "#[serde(flatten)]";
    }
    keys.retain(|key| key.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_')));
    keys
}

#[test]
fn every_key_of_a_result_stands_in_the_manual() {
    let manual = include_str!("../docs/OPERATING.md");
    let mut files = Vec::new();
    for directory in ["src/demo", "src/bench", "src/admin"] {
        rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(directory), &mut files);
    }
    files.push((
        PathBuf::from("src/stage/promotion.rs"),
        include_str!("../src/stage/promotion.rs").to_owned(),
    ));
    let mut keys = 0;
    for (path, text) in &files {
        for key in keys_of(text) {
            keys += 1;
            let path = path.display();
            assert!(manual.contains(&format!("`{key}`")), "{path}: no word of `{key}`");
        }
    }
    assert!(keys > 30, "{keys} keys found");
}
