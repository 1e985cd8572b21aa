//! Header fields in their order.

use std::borrow::Cow;
use std::fmt;

use super::names::{canonical, is_list};
use super::{Malformed, Text, split_list};

/// One header field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Long name in its usual spelling.
    pub name: Cow<'static, str>,
    /// Value.
    pub value: Text,
}

/// Header fields in their order; names without regard to case, compact names already long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<Header>);

impl Headers {
    pub(super) fn with_capacity(n: usize) -> Self {
        Self(Vec::with_capacity(n))
    }

    /// Appends a field.
    pub fn push(&mut self, name: &str, value: impl fmt::Display) {
        self.push_text(name, value.to_string().into());
    }

    /// Appends a field whose value is already there, such as an echo.
    pub fn push_text(&mut self, name: &str, value: Text) {
        self.0.push(Header { name: canonical(name), value });
    }

    /// Puts a field before all others of that name (a Via of ours, a Route).
    pub fn push_front(&mut self, name: &str, value: impl fmt::Display) {
        let name = canonical(name);
        let at = self.0.iter().position(|h| h.name.eq_ignore_ascii_case(&name)).unwrap_or(0);
        self.0.insert(at, Header { name, value: value.to_string().into() });
    }

    /// Replaces all fields of that name by one, in the place of the first.
    pub fn set(&mut self, name: &str, value: impl fmt::Display) {
        let header = Header { name: canonical(name), value: value.to_string().into() };
        match self.0.iter().position(|h| h.name.eq_ignore_ascii_case(&header.name)) {
            Some(at) => {
                let name = header.name.clone();
                self.0[at] = header;
                let mut index = 0;
                self.0.retain(|h| {
                    index += 1;
                    index <= at + 1 || !h.name.eq_ignore_ascii_case(&name)
                });
            }
            None => self.0.push(header),
        }
    }

    /// Removes all fields of that name.
    pub fn remove(&mut self, name: &str) {
        let name = canonical(name);
        self.0.retain(|h| !h.name.eq_ignore_ascii_case(&name));
    }

    /// Value of the first field of that name, one whole line.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.lines(name).next().map(Text::as_str)
    }

    /// Whether there is a field of that name.
    pub fn has(&self, name: &str) -> bool {
        self.lines(name).next().is_some()
    }

    /// The lines of that name, as they came.
    pub fn lines<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Text> {
        self.0.iter().filter(|h| h.name.eq_ignore_ascii_case(name)).map(|h| &h.value)
    }

    /// All values of that name over all its lines; split at commas where the field is a list.
    /// A line whose quotes do not close counts as one value.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let list = is_list(name);
        let mut values = Vec::new();
        for line in self.lines(name).map(Text::as_str) {
            match split_list(line) {
                Ok(parts) if list => values.extend(parts),
                _ => values.push(line),
            }
        }
        values
    }

    /// The elements of a list field over all its lines, or why they cannot be told apart.
    pub fn elements(&self, name: &str) -> Result<Vec<&str>, Malformed> {
        let mut values = Vec::new();
        for line in self.lines(name) {
            values.extend(split_list(line.as_str())?);
        }
        if values.len() > super::limits::LIST_MAX {
            return Err(Malformed("list: too long"));
        }
        Ok(values)
    }

    /// Whether a list field (Require, Supported, Allow) names this, without regard to case.
    pub fn lists(&self, name: &str, element: &str) -> bool {
        self.all(name).iter().any(|one| one.eq_ignore_ascii_case(element))
    }

    /// All fields.
    pub fn iter(&self) -> impl Iterator<Item = &Header> {
        self.0.iter()
    }

    /// How many fields there are.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_replaces_all_lines_in_place() {
        let mut headers = Headers::default();
        for (name, value) in [("To", "a"), ("Via", "1"), ("v", "2"), ("From", "b")] {
            headers.push(name, value);
        }
        headers.set("via", "3");
        let names: Vec<_> = headers.iter().map(|h| (&*h.name, h.value.as_str())).collect();
        assert_eq!(names, [("To", "a"), ("Via", "3"), ("From", "b")]);
    }

    #[test]
    fn lists_are_joined_over_lines() {
        let mut headers = Headers::default();
        headers.push("Supported", "timer, 100rel");
        headers.push("k", "replaces");
        assert_eq!(headers.all("Supported"), ["timer", "100rel", "replaces"]);
        assert!(headers.lists("supported", "Replaces"));
    }

    #[test]
    fn a_field_that_is_no_list_keeps_its_commas() {
        let mut headers = Headers::default();
        headers.push("Date", "Sat, 13 Nov 2010 23:29:00 GMT");
        assert_eq!(headers.all("Date").len(), 1);
    }
}
