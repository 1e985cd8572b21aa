//! Just enough of SIP to be a phone: a message as text, its headers, a few fields of SDP.

use std::net::SocketAddr;

/// A message as it came.
#[derive(Clone, Debug)]
pub struct Message {
    /// Request or status line.
    pub first: String,
    headers: Vec<(String, String)>,
    /// Its body.
    pub body: String,
}

impl Message {
    /// Splits a datagram; `None` when it is no SIP.
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(datagram);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let first = lines.next()?.to_owned();
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Some(Self { first, headers, body: body.to_owned() })
    }

    /// All values of a header, by its long name in lower case.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect()
    }

    /// The first value of a header, or nothing.
    pub fn one(&self, name: &str) -> &str {
        self.all(name).first().copied().unwrap_or("")
    }

    /// The status of a response.
    pub fn status(&self) -> Option<u16> {
        self.first.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// The method: of the request, or of the request that a response answers.
    pub fn method(&self) -> &str {
        if self.status().is_some() {
            return self.one("cseq").split_whitespace().nth(1).unwrap_or("");
        }
        self.first.split(' ').next().unwrap_or("")
    }

    /// The URI of the Contact.
    pub fn contact(&self) -> Option<String> {
        let value = self.one("contact");
        let inner = value.split_once('<').map_or(value, |(_, rest)| rest);
        inner.split(['>', ',']).next().map(str::to_owned).filter(|uri| !uri.is_empty())
    }

    /// Where its SDP wants RTP, if it has one.
    pub fn media(&self) -> Option<SocketAddr> {
        let address = self.line("c=IN IP4 ")?;
        let port = self.line("m=audio ")?.split(' ').next()?;
        format!("{}:{port}", address.trim()).parse().ok()
    }

    /// The payload type of telephone-event in its SDP.
    pub fn event_type(&self) -> Option<u8> {
        let line = self.body.lines().find(|l| l.contains("telephone-event/8000"))?;
        line.strip_prefix("a=rtpmap:")?.split(' ').next()?.parse().ok()
    }

    fn line(&self, prefix: &str) -> Option<&str> {
        self.body.lines().find_map(|line| line.strip_prefix(prefix))
    }

    /// A response to this request.
    pub fn response(&self, status: &str, tag: &str, more: &str, body: &str) -> String {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for name in ["via", "record-route", "from", "to", "call-id", "cseq"] {
            for value in self.all(name) {
                let tagged = name == "to" && !value.contains(";tag=") && !tag.is_empty();
                let tag = if tagged { format!(";tag={tag}") } else { String::new() };
                text += &format!("{name}: {value}{tag}\r\n");
            }
        }
        text + &with_body(more, body)
    }
}

/// The end of a message: further headers, length, body.
pub fn with_body(more: &str, body: &str) -> String {
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!("{more}{kind}Content-Length: {}\r\n\r\n{body}", body.len())
}
