//! Reads the few fields of ARI messages that the checks need, without parsing the rest.

/// The value behind `key` (which ends with a quote), up to the next quote.
pub fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let at = text.find(key)? + key.len();
    let rest = &text[at..];
    rest.split('"').next()
}

/// The type of an event.
pub fn kind(text: &str) -> &str {
    text.strip_prefix(r#"{"type":""#).and_then(|rest| rest.split('"').next()).unwrap_or_default()
}

/// The id of an event's channel.
pub fn channel(text: &str) -> Option<&str> {
    field(text, r#""channel":{"id":""#)
}

/// The status of an answer.
pub fn status(text: &str) -> Option<u16> {
    let at = text.find(r#""status_code":"#)? + r#""status_code":"#.len();
    text.get(at..at + 3)?.parse().ok()
}

/// Call and generation of a channel id.
pub fn token(channel: &str) -> Option<(&str, u32)> {
    let (call, generation) = channel.rsplit_once('.')?;
    Some((call, generation.parse().ok()?))
}

/// What a request wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish<'a> {
    /// GET, POST or DELETE.
    pub method: &'a str,
    /// The channel that it names.
    pub channel: &'a str,
    /// The rest of its path, and its query.
    pub rest: &'a str,
}

impl<'a> Wish<'a> {
    /// Reads a request about a channel.
    pub fn read(text: &'a str) -> Option<Self> {
        let method = field(text, r#""method":""#)?;
        let path = field(text, r#""uri":"channels/"#)?;
        let end = path.find(['/', '?']).unwrap_or(path.len());
        Some(Self { method, channel: &path[..end], rest: &path[end..] })
    }

    /// Whether the port may end or transfer the call because of it.
    pub fn ends(&self) -> bool {
        self.method == "DELETE" || self.rest.starts_with("/redirect") || self.rest == "/continue"
    }

    /// The value of a variable that it sets.
    pub fn variable(&self, name: &str) -> Option<&'a str> {
        let rest = self.rest.strip_prefix("/variable?variable=")?;
        rest.strip_prefix(name)?.strip_prefix("&value=")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_link_sends_is_read() {
        let text = include_str!("../../../fixtures/ari/StasisStart-rebound.json");
        assert_eq!(kind(text), "StasisStart");
        assert_eq!(channel(text), Some("000000aa-1.2"));
        assert_eq!(field(text, r#""GW_REASON":""#), Some("hang"));
        assert_eq!(token("000000aa-1.2"), Some(("000000aa-1", 2)));
        let text = include_str!("../../../fixtures/ari/RESTResponse.json");
        assert_eq!((kind(text), status(text)), ("RESTResponse", Some(204)));
    }

    #[test]
    fn what_the_application_sends_is_read() {
        let text = concat!(
            r#"{"type":"RESTRequest","request_id":"c-1.2/3","method":"POST","#,
            r#""uri":"channels/c-1.2/variable?variable=GW_ACK&value=7"}"#
        );
        let wish = Wish::read(text).expect("about a channel");
        assert_eq!((wish.method, wish.channel), ("POST", "c-1.2"));
        assert_eq!(wish.variable("GW_ACK"), Some("7"));
        assert_eq!(wish.variable("GW_CHECKPOINT"), None);
    }
}
