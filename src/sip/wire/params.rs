//! Parameters behind a header value: `;name=value`, names without regard to case.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::grammar::is_token;

/// A parameter's value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ParamValue {
    /// Without quotes.
    Bare(String),
    /// Within quotes; here without them and without escapes.
    Quoted(String),
}

/// One parameter.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Param {
    /// Its name as written.
    pub name: String,
    /// Its value, if it has one.
    pub value: Option<ParamValue>,
}

/// Parameters in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Params(Vec<Param>);

impl Params {
    /// Appends one.
    pub fn push(&mut self, param: Param) {
        self.0.push(param);
    }

    /// Sets a value, in quotes when it needs them.
    pub fn set(&mut self, name: &str, value: impl fmt::Display) {
        let text = value.to_string();
        let bare = !text.is_empty() && text.chars().all(|c| is_token(c) || "[]:".contains(c));
        let value = if bare { ParamValue::Bare(text) } else { ParamValue::Quoted(text) };
        self.replace(name, Some(value));
    }

    /// Sets a parameter without a value.
    pub fn set_flag(&mut self, name: &str) {
        self.replace(name, None);
    }

    fn replace(&mut self, name: &str, value: Option<ParamValue>) {
        match self.0.iter_mut().find(|p| p.name.eq_ignore_ascii_case(name)) {
            Some(param) => param.value = value,
            None => self.0.push(Param { name: name.to_owned(), value }),
        }
    }

    /// Removes every parameter of that name.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|p| !p.name.eq_ignore_ascii_case(name));
    }

    /// The value of the first parameter of that name; empty for one without value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|p| p.name.eq_ignore_ascii_case(name)).map(|p| match &p.value {
            Some(ParamValue::Bare(v) | ParamValue::Quoted(v)) => v.as_str(),
            None => "",
        })
    }

    /// Whether a parameter of that name is there, with or without a value.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Param> {
        self.0.iter()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Text between quotes. CR and LF, which no escape can carry, become spaces.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars() {
            match c {
                '\r' | '\n' => f.write_str(" ")?,
                '\0' => {}
                '"' | '\\' => write!(f, "\\{c}")?,
                c if c.is_ascii_control() && c != '\t' => write!(f, "\\{c}")?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("\"")
    }
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Param { name, value } in &self.0 {
            match value {
                None => write!(f, ";{name}")?,
                Some(ParamValue::Bare(v)) => write!(f, ";{name}={v}")?,
                Some(ParamValue::Quoted(v)) => write!(f, ";{name}={}", Quoted(v))?,
            }
        }
        Ok(())
    }
}
