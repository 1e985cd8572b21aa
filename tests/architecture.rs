//! The fences that no compiler checks: which module may name which, where `rsip` may be named,
//! where one machine may speak to another, that each file says what it is about, and that each rule
//! that was won from a client has a test of its name.

#![expect(clippy::disallowed_methods, reason = "reads the source tree")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules by rank: a module may name only those of a higher rank. Equals never name each other.
const RANKS: &[(&str, u8)] = &[
    ("main", 0),
    ("demo", 1),
    ("bench", 1),
    ("stage", 2),
    ("driver", 3),
    ("sim", 3),
    ("admin", 4),
    ("node", 5),
    ("pool", 6),
    ("menu", 6),
    ("ha", 6),
    ("ivr", 6),
    ("cti", 6),
    ("sip", 6),
    ("media", 6),
    ("sdp", 7),
    ("config", 7),
    ("store", 7),
    ("ids", 8),
    ("timers", 8),
    ("redact", 8),
    ("mutants", 7),
    ("codecs", 9),
];

/// Equals that are the same layer of data: configuration speaks of codecs.
const ALLOWED_EQUALS: &[(&str, &str)] = &[("config", "sdp")];

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> =
        fs::read_dir(dir).expect("readable").map(|e| e.expect("entry").path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for dir in ["src", "codecs/src", "tests", "benches", "examples"] {
        if root.join(dir).is_dir() {
            rust_files(&root.join(dir), &mut files);
        }
    }
    files
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).expect("utf-8 source");
            (path.strip_prefix(root).expect("below root").to_owned(), text)
        })
        .collect()
}

/// `src/sip/wire/uri.rs` -> `sip`; `src/ids.rs` -> `ids`.
fn module_of(path: &Path) -> Option<String> {
    let below = path.strip_prefix("src").ok()?;
    let first = below.components().next()?.as_os_str().to_str()?;
    Some(first.trim_end_matches(".rs").to_owned())
}

/// Code without comments: a doc comment may speak of any module.
fn code(text: &str) -> String {
    text.lines().map(|l| l.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}

/// Every module that the code names as `crate::x` or inside `crate::{x, y::z}`.
fn named_modules(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            for c in list.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => found.push(std::mem::take(&mut word)),
                    c if depth == 0 => word.push(c),
                    _ => {}
                }
            }
            found.push(word);
        } else {
            found.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    found.into_iter().map(|w| w.trim().split("::").next().unwrap_or("").to_owned()).collect()
}

#[test]
fn modules_name_only_what_stands_to_their_right() {
    let ranks: BTreeMap<&str, u8> = RANKS.iter().copied().collect();
    let mut faults = Vec::new();
    for (path, text) in sources() {
        let Some(from) = module_of(&path) else { continue };
        if from == "lib" {
            continue;
        }
        let Some(&rank) = ranks.get(from.as_str()) else {
            faults.push(format!("{}: module `{from}` has no rank", path.display()));
            continue;
        };
        for to in named_modules(&code(&text)) {
            let Some(&to_rank) = ranks.get(to.as_str()) else { continue };
            let equals_allowed = ALLOWED_EQUALS.contains(&(from.as_str(), to.as_str()));
            if to != from && to_rank <= rank && !equals_allowed {
                faults.push(format!("{}: `{from}` names `{to}`", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_file_says_what_it_is_about() {
    for (path, text) in sources() {
        assert!(text.starts_with("//!"), "{}: first line is not a `//!`", path.display());
    }
}

#[test]
fn rsip_is_named_only_in_sip_message() {
    for (path, text) in sources() {
        if path != Path::new("src/sip/message.rs") && path != Path::new("tests/architecture.rs") {
            assert!(!code(&text).contains("rsip::"), "{} names rsip", path.display());
        }
    }
}

#[test]
fn lines_fit_in_100_columns() {
    let mut long = String::new();
    for (path, text) in sources() {
        for (number, line) in text.lines().enumerate() {
            let width = line.chars().count();
            if width > 100 {
                let _ = writeln!(long, "{}:{}: {width} columns", path.display(), number + 1);
            }
        }
    }
    assert!(long.is_empty(), "\n{long}");
}

/// The checklist of a SIP port by part: how many rules each has. Each rule begins the name of a
/// test: `sip_r1` to `sip_r13` registration, `sip_c` set-up, `sip_d` in dialog, `sip_m` media.
const RULES: &[(char, usize)] = &[('r', 13), ('c', 12), ('d', 12), ('m', 8)];

/// Names of the functions right below a `#[test]` of any kind.
fn tests_in(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if line == "#[test]" || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some((_, rest)) = line.split_once("fn ").filter(|_| is_test) {
            names.extend(rest.split(['(', '<']).next());
            is_test = false;
        }
    }
    names
}

#[test]
fn every_rule_of_the_sip_checklist_begins_the_name_of_a_test() {
    let sources = sources();
    let names: Vec<_> = sources.iter().flat_map(|(_, text)| tests_in(text)).collect();
    let rules = RULES.iter().flat_map(|&(part, count)| (1..=count).map(move |n| (part, n)));
    let missing: Vec<_> = rules
        .map(|(part, n)| format!("sip_{part}{n}_"))
        .filter(|rule| !names.iter().any(|name| name.starts_with(rule)))
        .collect();
    assert!(missing.is_empty(), "no test proves {missing:?}");
    let unknown: Vec<_> = names
        .iter()
        .filter_map(|name| name.strip_prefix("sip_"))
        .filter(|rest| {
            let (part, rest) = rest.split_at(rest.chars().next().map_or(0, char::len_utf8));
            let number = rest.split('_').next().and_then(|n| n.parse().ok()).unwrap_or(0);
            !RULES.iter().any(|&(p, count)| part == p.to_string() && (1..=count).contains(&number))
        })
        .filter(|rest| rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit))
        .collect();
    assert!(unknown.is_empty(), "no rule has the name of {unknown:?}");
}

#[test]
fn codecs_know_nothing_of_the_gateway() {
    for (path, text) in sources() {
        if path.starts_with("codecs") {
            assert!(!code(&text).contains("portkeeper::"), "{}", path.display());
        }
    }
}

/// Inputs of the machines that a node holds.
const ARROWS: [&str; 3] = ["sip.handle_input", "pool.handle_input", "ivr.handle_input"];

#[test]
fn machines_meet_only_in_the_routes_of_the_node() {
    let may = |path: &Path| {
        path == Path::new("src/node/mod.rs")
            || path == Path::new("src/node/route.rs")
            || path.starts_with("src/node/route")
    };
    for (path, text) in sources() {
        if path.starts_with("src/node") && !may(&path) {
            let code = code(&text);
            let found = ARROWS.iter().find(|arrow| code.contains(*arrow));
            assert!(found.is_none(), "{} has {found:?}", path.display());
        }
    }
}

/// Rules of compatibility, each found with a client library that broke without it.
const LINK_RULES: u32 = 19;

/// Names of functions that stand right below `#[test]`.
fn tests() -> Vec<String> {
    let mut names = Vec::new();
    for (_, text) in sources() {
        let mut lines = text.lines().map(str::trim);
        while let Some(line) = lines.next() {
            let below = || lines.find(|line| !line.starts_with("#["));
            let name = (line == "#[test]").then(below).flatten();
            let name = name.and_then(|line| line.strip_prefix("fn ")?.split('(').next());
            names.extend(name.map(str::to_owned));
        }
    }
    names
}

#[test]
fn every_rule_of_the_link_begins_the_name_of_a_test() {
    let tests = tests();
    let bare = |rule: &u32| !tests.iter().any(|name| name.starts_with(&format!("ari_r{rule}_")));
    let without: Vec<u32> = (1..=LINK_RULES).filter(bare).collect();
    assert!(without.is_empty(), "no test begins with ari_r{without:?}_");
}

/// Lines of an example, so that one sees all of it.
const EXAMPLE_LINES: usize = 79;

#[test]
fn each_example_is_read_at_a_glance() {
    for example in ["examples/ivr.py", "examples/ivr.mjs", "examples/rust/src/main.rs"] {
        let text = fs::read_to_string(example).expect("an example");
        let lines = text.lines().count();
        assert!(lines <= EXAMPLE_LINES, "{example} has {lines} lines");
        assert!(text.contains("GW_CHECKPOINT"), "{example} keeps no checkpoint");
    }
}
