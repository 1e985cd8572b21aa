//! What is wrong with a configuration, all of it at once: where, what was found, what to write.

use std::fmt;
use std::ops::Range;

/// Whether a configuration can be used in spite of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It cannot be used.
    Error,
    /// It can; somebody should know.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Error or warning.
    pub severity: Severity,
    /// Line in the file, from 1; `None` when the file as a whole lacks something.
    pub line: Option<usize>,
    /// Dotted path of the key, as `ports[0].extensions`; empty for the file.
    pub key: String,
    /// The value as written, shortened; `None` where there is none, or it is secret.
    pub found: Option<String>,
    /// What is wrong and what to write.
    pub text: String,
}

/// Shows faults as `FILE:LINE: error: KEY = VALUE: what to write`, one a line.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// Name of the file as the operator gave it.
    pub file: &'a str,
    /// The faults.
    pub faults: &'a [Fault],
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.faults.iter().try_for_each(|fault| write_fault(f, self.file, fault))
    }
}

fn write_fault(f: &mut fmt::Formatter<'_>, file: &str, fault: &Fault) -> fmt::Result {
    write!(f, "{file}:")?;
    if let Some(line) = fault.line {
        write!(f, "{line}:")?;
    }
    let severity = match fault.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    write!(f, " {severity}: ")?;
    match (fault.key.is_empty(), &fault.found) {
        (true, _) => {}
        (false, Some(found)) => write!(f, "{} = {found}: ", fault.key)?,
        (false, None) => write!(f, "{}: ", fault.key)?,
    }
    writeln!(f, "{}", fault.text)
}

/// The number of the line that holds byte `at`, from 1.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    let before = text.as_bytes().get(..at).unwrap_or(text.as_bytes());
    1 + memchr::memchr_iter(b'\n', before).count()
}

/// The value as written, on one line and not longer than a line.
pub(super) fn excerpt(text: &str, span: Range<usize>) -> Option<String> {
    const SHOWN_MAX: usize = 60;
    let written = text.get(span)?;
    let line = written.lines().next().unwrap_or_default();
    let mut shown: String = line.chars().take(SHOWN_MAX).collect();
    if shown.len() < written.len() {
        shown.push_str("...");
    }
    Some(shown)
}

/// The candidate that `word` was most likely meant to be, if one is near enough.
pub(super) fn nearest<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    let allowed = 1 + word.chars().count() / 4;
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Edits (insert, delete, replace, swap neighbours) between two words.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before_last = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_within_a_quarter_of_its_length() {
        let keys = ["register_rate", "register_window", "registrars"];
        assert_eq!(nearest("register_rat", keys), Some("register_rate"));
        assert_eq!(nearest("registrasr", keys), Some("registrars"));
        assert_eq!(nearest("colour", keys), None);
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(distance("", "abc"), 3);
    }

    #[test]
    fn lines_count_from_one() {
        assert_eq!(line_of("a\nb\nc", 0), 1);
        assert_eq!(line_of("a\nb\nc", 4), 3);
        assert_eq!(line_of("a", 99), 1);
    }

    #[test]
    fn a_long_value_is_shortened_to_one_line() {
        let text = format!("[\n  \"{}\"\n]", "x".repeat(100));
        assert_eq!(excerpt(&text, 0..text.len()).as_deref(), Some("[..."));
        assert_eq!(excerpt("abc", 0..3).as_deref(), Some("abc"));
    }
}
