//! Walks a TOML document key by key, collecting every fault instead of stopping at the first.
//!
//! A reader of a section asks for each key it knows, with a default and a function that turns a
//! value into what it means or says what is allowed. Whatever was not asked for is unknown. The
//! places of all keys are kept, so that checks across sections can point at lines too.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{Fault, Severity, excerpt, line_of, nearest};

/// What a value means, or what is allowed in its place.
pub(super) type Meaning<T> = Result<T, String>;

/// The document, the places of its keys and the faults so far.
pub(super) struct Reader<'t> {
    text: &'t str,
    /// Span of the value of every key that was met, by dotted path.
    places: BTreeMap<String, Range<usize>>,
    /// Every key that was asked for, by dotted path without indexes.
    asked: BTreeSet<String>,
    /// Paths whose values are never shown.
    secrets: BTreeSet<String>,
    faults: Vec<Fault>,
}

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text,
            places: BTreeMap::new(),
            asked: BTreeSet::new(),
            secrets: BTreeSet::new(),
            faults: Vec::new(),
        }
    }

    /// A fault at a key, or at the nearest enclosing section that was written.
    pub(super) fn fault(&mut self, severity: Severity, path: &str, text: impl Into<String>) {
        let place = self.places.get(path).cloned();
        let shown = place.clone().filter(|_| !self.secrets.contains(path));
        self.faults.push(Fault {
            severity,
            line: place.or_else(|| self.enclosing(path)).map(|p| line_of(self.text, p.start)),
            key: path.to_owned(),
            found: shown.and_then(|span| self.shown(span)),
            text: text.into(),
        });
    }

    pub(super) fn error(&mut self, path: &str, text: impl Into<String>) {
        self.fault(Severity::Error, path, text);
    }

    pub(super) fn warning(&mut self, path: &str, text: impl Into<String>) {
        self.fault(Severity::Warning, path, text);
    }

    /// A fault of the grammar itself.
    pub(super) fn syntax(&mut self, fault: &toml::de::Error) {
        let line = fault.span().map(|span| line_of(self.text, span.start));
        let written = fault.span().and_then(|span| excerpt(self.text, span));
        let at = written.filter(|w| !w.trim().is_empty()).map(|w| format!(" at `{w}`"));
        let text = format!("not TOML: {}{}", fault.message(), at.unwrap_or_default());
        let severity = Severity::Error;
        self.faults.push(Fault { severity, line, key: String::new(), found: None, text });
    }

    /// The line of a key, for a message about another one.
    pub(super) fn line(&self, path: &str) -> Option<usize> {
        self.places.get(path).map(|span| line_of(self.text, span.start))
    }

    /// Whether the key was written.
    pub(super) fn written(&self, path: &str) -> bool {
        self.places.contains_key(path)
    }

    /// Whether a fault so far is an error.
    pub(super) fn has_errors(&self) -> bool {
        self.faults.iter().any(|fault| fault.severity == Severity::Error)
    }

    /// Whether something is wrong with a key: what stands in for its value says nothing then.
    pub(super) fn is_faulty(&self, key: &str) -> bool {
        self.faults.iter().any(|fault| fault.severity == Severity::Error && fault.key == key)
    }

    /// The keys of the values of a list, which lacks those that could not be read; a single value
    /// is written without brackets.
    pub(super) fn readable(&self, list: &str, count: usize) -> Vec<String> {
        let elements = (0_usize..).map(|n| format!("{list}[{n}]"));
        let readable = elements.filter(|element| !self.is_faulty(element)).take(count);
        let written =
            |element: String| if self.written(&element) { element } else { list.to_owned() };
        readable.map(written).collect()
    }

    /// All faults, by line, and every key that exists.
    pub(super) fn into_faults(mut self) -> (Vec<Fault>, BTreeSet<String>) {
        self.faults.sort_by_key(|fault| fault.line);
        self.faults.dedup();
        (self.faults, self.asked)
    }

    fn enclosing(&self, path: &str) -> Option<Range<usize>> {
        let mut path = path;
        while let Some(at) = path.rfind(['.', '[']) {
            path = &path[..at];
            if let Some(place) = self.places.get(path) {
                return Some(place.clone());
            }
        }
        None
    }

    /// The value as written; a section has no value worth showing.
    fn shown(&self, span: Range<usize>) -> Option<String> {
        excerpt(self.text, span).filter(|written| !written.starts_with('['))
    }

    fn meet(&mut self, path: &str, span: Range<usize>) {
        self.places.insert(path.to_owned(), span);
    }
}

/// One table of the document, or its absence.
pub(super) struct Section<'t> {
    path: String,
    table: Option<&'t DeTable<'t>>,
    known: BTreeSet<&'static str>,
}

impl<'t> Section<'t> {
    /// The document.
    pub(super) fn root(table: &'t DeTable<'t>) -> Self {
        Self { path: String::new(), table: Some(table), known: BTreeSet::new() }
    }

    /// Its dotted path.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Dotted path of one of its keys.
    pub(super) fn at(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// A value, or `default` when it is absent or wrong.
    pub(super) fn value<T>(
        &mut self,
        reader: &mut Reader<'t>,
        key: &'static str,
        default: T,
        meaning: impl Fn(&DeValue<'t>) -> Meaning<T>,
    ) -> T {
        self.optional(reader, key, meaning).unwrap_or(default)
    }

    /// A value, or `None` when it is absent or wrong.
    pub(super) fn optional<T>(
        &mut self,
        reader: &mut Reader<'t>,
        key: &'static str,
        meaning: impl Fn(&DeValue<'t>) -> Meaning<T>,
    ) -> Option<T> {
        let value = self.find(reader, key)?;
        read(reader, &self.at(key), value, meaning)
    }

    /// A value that must be there; `why` says what to write.
    pub(super) fn required<T>(
        &mut self,
        reader: &mut Reader<'t>,
        key: &'static str,
        why: &str,
        meaning: impl Fn(&DeValue<'t>) -> Meaning<T>,
    ) -> Option<T> {
        let Some(value) = self.find(reader, key) else {
            reader.error(&self.at(key), format!("is missing: {why}"));
            return None;
        };
        read(reader, &self.at(key), value, meaning)
    }

    /// A list, each element read by itself; a lone value counts as a list of one.
    pub(super) fn list<T>(
        &mut self,
        reader: &mut Reader<'t>,
        key: &'static str,
        meaning: impl Fn(&DeValue<'t>) -> Meaning<T>,
    ) -> Option<Vec<T>> {
        let value = self.find(reader, key)?;
        let path = self.at(key);
        let DeValue::Array(elements) = value.get_ref() else {
            return read(reader, &path, value, meaning).map(|one| vec![one]);
        };
        let mut list = Vec::new();
        for (n, element) in elements.iter().enumerate() {
            list.extend(read(reader, &format!("{path}[{n}]"), element, &meaning));
        }
        Some(list)
    }

    /// A value that no message may show.
    pub(super) fn secret<T>(
        &mut self,
        reader: &mut Reader<'t>,
        key: &'static str,
        meaning: impl Fn(&DeValue<'t>) -> Meaning<T>,
    ) -> Option<T> {
        reader.secrets.insert(self.at(key));
        self.optional(reader, key, meaning)
    }

    /// A table below; an absent one reads as empty.
    pub(super) fn section(&mut self, reader: &mut Reader<'t>, key: &'static str) -> Self {
        let path = self.at(key);
        let value = self.find(reader, key);
        let table = value.and_then(|value| table_of(reader, &path, value));
        Section { path, table, known: BTreeSet::new() }
    }

    /// The tables of an array of tables.
    pub(super) fn sections(&mut self, reader: &mut Reader<'t>, key: &'static str) -> Vec<Self> {
        let path = self.at(key);
        let Some(value) = self.find(reader, key) else { return Vec::new() };
        let DeValue::Array(elements) = value.get_ref() else {
            reader.error(&path, format!("write [[{key}]] above the keys, once for each"));
            return Vec::new();
        };
        let mut sections = Vec::new();
        for (n, element) in elements.iter().enumerate() {
            let path = format!("{path}[{n}]");
            reader.meet(&path, element.span());
            let table = table_of(reader, &path, element);
            sections.push(Section { path, table, known: BTreeSet::new() });
        }
        sections
    }

    /// The tables below, each with a name that the operator chose.
    pub(super) fn named(&self, reader: &mut Reader<'t>) -> Vec<(String, Self)> {
        let mut sections = Vec::new();
        for (name, value) in self.table.into_iter().flatten() {
            let name = name.get_ref().to_string();
            let path = self.at(&name);
            reader.meet(&path, value.span());
            let table = table_of(reader, &path, value);
            sections.push((name, Section { path, table, known: BTreeSet::new() }));
        }
        sections
    }

    /// Reports every key that was not asked for, with the nearest one that exists.
    pub(super) fn finish(self, reader: &mut Reader<'t>) {
        for (key, value) in self.table.into_iter().flatten() {
            let name = key.get_ref().as_ref();
            if self.known.contains(name) {
                continue;
            }
            let path = self.at(name);
            reader.secrets.insert(path.clone());
            reader.meet(&path, key.span().start..value.span().end);
            let hint = match nearest(name, self.known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known here are {}", words(&self.known)),
            };
            reader.error(&path, format!("unknown key; {hint}"));
        }
    }

    fn find(
        &mut self,
        reader: &mut Reader<'t>,
        key: &'static str,
    ) -> Option<&'t Spanned<DeValue<'t>>> {
        self.known.insert(key);
        reader.asked.insert(without_indexes(&self.at(key)));
        let (_, value) = self.table?.iter().find(|(name, _)| name.get_ref().as_ref() == key)?;
        reader.meet(&self.at(key), value.span());
        Some(value)
    }
}

fn read<'t, T>(
    reader: &mut Reader<'t>,
    path: &str,
    value: &Spanned<DeValue<'t>>,
    meaning: impl Fn(&DeValue<'t>) -> Meaning<T>,
) -> Option<T> {
    reader.meet(path, value.span());
    meaning(value.get_ref()).map_err(|allowed| reader.error(path, allowed)).ok()
}

fn table_of<'t>(
    reader: &mut Reader<'t>,
    path: &str,
    value: &'t Spanned<DeValue<'t>>,
) -> Option<&'t DeTable<'t>> {
    let DeValue::Table(table) = value.get_ref() else {
        reader.error(path, format!("is a section: write [{path}] above its keys"));
        return None;
    };
    Some(table)
}

fn without_indexes(path: &str) -> String {
    let mut inside = false;
    path.chars()
        .filter(|&c| {
            inside = c == '[' || inside && c != ']';
            !inside && c != ']'
        })
        .collect()
}

fn words(keys: &BTreeSet<&'static str>) -> String {
    keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_not_part_of_a_name() {
        assert_eq!(without_indexes("ports[12].applications[0]"), "ports.applications");
        assert_eq!(without_indexes("node.name"), "node.name");
    }
}
