//! Parameters of a request, wherever a client puts them: query, form body or JSON body.
//!
//! npm's and the Python clients use the query, Go and two others a JSON body, and one posts a
//! literal `[]` that means nothing. The body outranks the query.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde_json::{Map, Value};

use super::fault::Fault;
use super::http::pairs;
use crate::timers::Duration;

/// Longest body, in bytes.
pub(super) const BODY_MAX: usize = 64 * 1024;

/// Fields of a JSON body and entries of one list at most.
const FIELDS_MAX: usize = 256;

/// Parameters by name. Each has at least one value.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Params {
    values: BTreeMap<String, Vec<String>>,
    variables: Map<String, Value>,
}

impl Params {
    /// Joins what the query and the body say.
    pub(super) fn new(
        query: Vec<(String, String)>,
        content_type: Option<&str>,
        body: &[u8],
    ) -> Result<Self, Fault> {
        let mut params = Self::default();
        params.add_pairs(query);
        if body.len() > BODY_MAX {
            return Err(Fault::new(413, "Body is longer than 64 KiB"));
        }
        let body = body.trim_ascii();
        let kind = content_type.unwrap_or("").split(';').next().unwrap_or("").trim();
        if body.is_empty() {
            Ok(params)
        } else if kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            params.add_form(body)
        } else if kind.eq_ignore_ascii_case("application/json") || matches!(body[0], b'{' | b'[') {
            params.add_json(body)
        } else {
            Err(Fault::new(415, "Body is neither JSON nor a form"))
        }
    }

    fn add_pairs(&mut self, pairs: Vec<(String, String)>) {
        for (name, value) in pairs {
            self.values.entry(name).or_default().push(value);
        }
    }

    fn add_form(mut self, body: &[u8]) -> Result<Self, Fault> {
        let text = str::from_utf8(body).map_err(|_| Fault::bad("Form is not UTF-8"))?;
        let pairs = pairs(text)?;
        for (name, _) in &pairs {
            self.values.remove(name);
        }
        self.add_pairs(pairs);
        Ok(self)
    }

    fn add_json(self, body: &[u8]) -> Result<Self, Fault> {
        let value = serde_json::from_slice(body);
        match value.map_err(|e| Fault::bad(format!("Body is not valid JSON: {e}")))? {
            Value::Object(fields) if fields.len() > FIELDS_MAX => {
                Err(Fault::bad("Body has more than 256 fields"))
            }
            Value::Object(fields) => self.add_fields(fields),
            Value::Array(empty) if empty.is_empty() => Ok(self),
            Value::Null => Ok(self),
            Value::Array(_) | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                Err(Fault::bad("Body must be a JSON object"))
            }
        }
    }

    fn add_fields(mut self, fields: Map<String, Value>) -> Result<Self, Fault> {
        for (name, value) in fields {
            match (name.as_str(), value) {
                ("variables", Value::Object(variables)) => self.variables = variables,
                (_, Value::Null) => {}
                (_, Value::Array(items)) => {
                    let items: Option<Vec<_>> = items.iter().take(FIELDS_MAX).map(scalar).collect();
                    self.set(name, items.filter(|i| !i.is_empty()))?;
                }
                (_, value) => self.set(name, scalar(&value).map(|v| vec![v]))?,
            }
        }
        Ok(self)
    }

    fn set(&mut self, name: String, values: Option<Vec<String>>) -> Result<(), Fault> {
        let Some(values) = values else {
            return Err(Fault::bad(format!("Parameter {name} has no usable value")));
        };
        self.values.insert(name, values);
        Ok(())
    }

    /// The value of a parameter; empty is as good as absent.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let value = self.values.get(name)?.first()?;
        Some(value.as_str()).filter(|v| !v.is_empty())
    }

    /// The value of a parameter that may be empty.
    pub(super) fn raw(&self, name: &str) -> Option<&str> {
        self.values.get(name)?.first().map(String::as_str)
    }

    pub(super) fn required(&self, name: &'static str) -> Result<&str, Fault> {
        self.get(name).ok_or_else(|| Fault::bad(format!("Missing parameter {name}")))
    }

    /// The values of a parameter that may be repeated, an array, or a comma list.
    pub(super) fn list(&self, name: &str) -> Vec<&str> {
        let values = self.values.get(name).into_iter().flatten();
        values.flat_map(|v| v.split(',')).map(str::trim).filter(|v| !v.is_empty()).collect()
    }

    pub(super) fn number<T: FromStr>(&self, name: &'static str) -> Result<Option<T>, Fault> {
        let value = self.get(name).map(str::parse).transpose();
        value.map_err(|_| Fault::bad(format!("Parameter {name} must be a number in range")))
    }

    /// A duration in milliseconds, at most `max`.
    pub(super) fn millis(
        &self,
        name: &'static str,
        default: u64,
        max: u64,
    ) -> Result<Duration, Fault> {
        let millis = self.number(name)?.unwrap_or(default);
        if millis > max {
            return Err(Fault::bad(format!("Parameter {name} must be at most {max}")));
        }
        Ok(Duration::from_millis(millis))
    }

    pub(super) fn flag(&self, name: &'static str) -> Result<bool, Fault> {
        match self.get(name).map(str::to_ascii_lowercase).as_deref() {
            Some("true" | "yes" | "on" | "1") => Ok(true),
            None | Some("false" | "no" | "off" | "0") => Ok(false),
            Some(_) => Err(Fault::bad(format!("Parameter {name} must be true or false"))),
        }
    }

    /// `variables` of the body, as they came.
    pub(super) const fn variables(&self) -> &Map<String, Value> {
        &self.variables
    }

    /// `variables` of the body as channel variables.
    pub(super) fn channel_variables(&self) -> Result<Vec<(String, String)>, Fault> {
        let pair = |(name, value): (&String, &Value)| {
            let value = scalar(value)
                .ok_or_else(|| Fault::bad(format!("Variable {name} must be a string")))?;
            Ok((name.clone(), value))
        };
        self.variables.iter().map(pair).collect()
    }
}

/// A JSON value as the text that a query would have.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn query() -> Vec<(String, String)> {
        pairs("media=sound:a,sound:b&lang=de&skipms=500").expect("valid")
    }

    fn json(body: &str) -> Result<Params, Fault> {
        Params::new(query(), Some("application/json; charset=utf-8"), body.as_bytes())
    }

    #[test]
    fn ari_r6_parameters_come_from_query_json_and_form_alike() {
        let form = "media=sound%3Aa&media=sound%3Ab&lang=de&skipms=500";
        let json = r#"{"media":["sound:a","sound:b"],"lang":"de","skipms":500}"#;
        let all = [
            Params::new(query(), None, b""),
            Params::new(Vec::new(), Some("application/x-www-form-urlencoded"), form.as_bytes()),
            Params::new(Vec::new(), Some("application/json"), json.as_bytes()),
            Params::new(Vec::new(), None, json.as_bytes()),
        ];
        for params in all {
            let params = params.expect("valid");
            assert_eq!(params.list("media"), ["sound:a", "sound:b"]);
            assert_eq!(params.get("lang"), Some("de"));
            assert_eq!(params.number("skipms"), Ok(Some(500)));
        }
    }

    #[test]
    fn ari_r6_a_body_that_is_an_empty_array_is_ignored() {
        for body in ["[]", " [ ] ", "null"] {
            assert_eq!(json(body).expect("valid").get("lang"), Some("de"), "{body}");
        }
    }

    #[test]
    fn the_body_outranks_the_query_and_null_is_absent() {
        let params = json(r#"{"lang":"fr","skipms":null}"#).expect("valid");
        assert_eq!((params.get("lang"), params.get("skipms")), (Some("fr"), Some("500")));
        let form = Some("application/x-www-form-urlencoded");
        let params = Params::new(query(), form, b"lang=fr").expect("valid");
        assert_eq!(params.list("lang"), ["fr"]);
    }

    #[test]
    fn variables_are_kept_apart() {
        let params = json(r#"{"variables":{"A":"x","N":5}}"#).expect("valid");
        let variables = params.channel_variables().expect("scalars");
        assert_eq!(variables, [("A".into(), "x".into()), ("N".into(), "5".into())]);
        let params = json(r#"{"variables":{"A":[1]}}"#).expect("valid");
        assert_eq!(params.channel_variables().expect_err("refused").status, 400);
    }

    #[test]
    fn hostile_bodies_are_refused_in_words() {
        let deep = "[".repeat(60_000);
        let object = format!("{}1{}", "{\"a\":".repeat(300), "}".repeat(300));
        for body in ["{", "1", "\"x\"", "[1]", "{\"a\":{}}", "{\"a\":[[]]}", &deep, &object] {
            assert_eq!(json(body).expect_err("refused").status, 400);
        }
        let giant = vec![b' '; BODY_MAX + 1];
        assert_eq!(Params::new(Vec::new(), None, &giant).expect_err("refused").status, 413);
        assert_eq!(Params::new(Vec::new(), None, b"<x/>").expect_err("refused").status, 415);
    }

    #[test]
    fn numbers_and_flags_are_checked() {
        let params = json(r#"{"n":-1,"big":99,"flag":"maybe","yes":true}"#).expect("valid");
        assert!(params.number::<u32>("n").is_err());
        assert!(params.millis("big", 0, 98).is_err());
        assert!(params.flag("flag").is_err());
        assert_eq!((params.flag("yes"), params.flag("none")), (Ok(true), Ok(false)));
    }

    proptest! {
        #[test]
        fn no_body_panics(body in any::<Vec<u8>>(), text in "[\\[\\]{}\":,0-9a-z]{0,64}") {
            let kinds = ["", "application/json", "application/x-www-form-urlencoded"];
            for kind in kinds.map(Some) {
                drop(Params::new(Vec::new(), kind, &body));
                drop(Params::new(Vec::new(), kind, text.as_bytes()));
            }
        }
    }
}
