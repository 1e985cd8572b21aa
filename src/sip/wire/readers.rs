//! Typed readers of header fields. What a message cannot do without gives a `Result`; what it can
//! gives an `Option`, and a malformed value reads as a missing one.

use super::fields::{CSeq, MediaType, RAck, Replaces, SessionExpires, Valued};
use super::grammar::number;
use super::limits::VIAS_MAX;
use super::{Contacts, Headers, Malformed, Method, NameAddr, Uri, Via};

impl Headers {
    fn number(&self, name: &str) -> Option<u32> {
        self.get(name).and_then(number)
    }

    fn addresses(&self, name: &'static str) -> Result<Vec<NameAddr>, Malformed> {
        self.elements(name)?
            .into_iter()
            .map(|one| NameAddr::parse(one).map_err(|_| Malformed(name)))
            .collect()
    }

    /// What can be read of a list of addresses.
    fn readable_addresses(&self, name: &str) -> Vec<NameAddr> {
        self.all(name).into_iter().filter_map(|one| NameAddr::parse(one).ok()).collect()
    }

    fn address(&self, name: &'static str) -> Result<NameAddr, Malformed> {
        let text = self.get(name).ok_or(Malformed(name))?;
        NameAddr::parse(text).map_err(|_| Malformed(name))
    }

    fn valued(&self, name: &str) -> Option<Valued> {
        self.get(name).and_then(|text| Valued::parse(text).ok())
    }

    /// Every hop, topmost first.
    pub fn vias(&self) -> Result<Vec<Via>, Malformed> {
        let hops = self.elements("Via")?;
        if hops.len() > VIAS_MAX {
            return Err(Malformed("Via: too many"));
        }
        hops.into_iter().map(Via::parse).collect()
    }

    /// The topmost hop.
    pub fn top_via(&self) -> Result<Via, Malformed> {
        let line = self.get("Via").ok_or(Malformed("Via"))?;
        Via::parse(super::split_list(line)?.first().copied().unwrap_or_default())
    }

    /// From.
    pub fn from(&self) -> Result<NameAddr, Malformed> {
        self.address("From")
    }

    /// To.
    pub fn to(&self) -> Result<NameAddr, Malformed> {
        self.address("To")
    }

    /// Contact; an empty list when it is missing.
    pub fn contacts(&self) -> Result<Contacts, Malformed> {
        match self.get("Contact") {
            Some(star) if star.trim() == "*" => Ok(Contacts::Star),
            _ => self.addresses("Contact").map(Contacts::List),
        }
    }

    /// CSeq.
    pub fn cseq(&self) -> Result<CSeq, Malformed> {
        CSeq::parse(self.get("CSeq").ok_or(Malformed("CSeq"))?)
    }

    /// Call-ID.
    pub fn call_id(&self) -> Result<&str, Malformed> {
        let id = self.get("Call-ID").ok_or(Malformed("Call-ID"))?;
        let word = |c: char| !c.is_whitespace() && !c.is_control();
        let good = !id.is_empty() && id.chars().all(word);
        good.then_some(id).ok_or(Malformed("Call-ID"))
    }

    /// Route, topmost first.
    pub fn routes(&self) -> Result<Vec<NameAddr>, Malformed> {
        self.addresses("Route")
    }

    /// Record-Route, topmost first.
    pub fn record_routes(&self) -> Result<Vec<NameAddr>, Malformed> {
        self.addresses("Record-Route")
    }

    /// Path of a REGISTER (RFC 3327).
    pub fn path(&self) -> Result<Vec<NameAddr>, Malformed> {
        self.addresses("Path")
    }

    /// Service-Route of an answer to REGISTER (RFC 3608).
    pub fn service_routes(&self) -> Result<Vec<NameAddr>, Malformed> {
        self.addresses("Service-Route")
    }

    /// Expires, in seconds.
    pub fn expires(&self) -> Option<u32> {
        self.number("Expires")
    }

    /// Min-Expires, in seconds.
    pub fn min_expires(&self) -> Option<u32> {
        self.number("Min-Expires")
    }

    /// Retry-After, in seconds; comment and parameters are left out.
    pub fn retry_after(&self) -> Option<u32> {
        let text = self.get("Retry-After")?;
        number(text.split([';', '(']).next()?)
    }

    /// Session-Expires.
    pub fn session_expires(&self) -> Option<SessionExpires> {
        self.get("Session-Expires").and_then(SessionExpires::parse)
    }

    /// Min-SE, in seconds.
    pub fn min_se(&self) -> Option<u32> {
        self.valued("Min-SE").and_then(|v| number(&v.value))
    }

    /// Option tags of Require.
    pub fn require(&self) -> Vec<&str> {
        self.all("Require")
    }

    /// Option tags of Supported.
    pub fn supported(&self) -> Vec<&str> {
        self.all("Supported")
    }

    /// Methods of Allow.
    pub fn allow(&self) -> Vec<Method> {
        self.all("Allow").into_iter().map(Method::from_token).collect()
    }

    /// RAck.
    pub fn rack(&self) -> Result<RAck, Malformed> {
        RAck::parse(self.get("RAck").ok_or(Malformed("RAck"))?)
    }

    /// RSeq.
    pub fn rseq(&self) -> Option<u32> {
        self.number("RSeq")
    }

    /// Max-Forwards, 0-255.
    pub fn max_forwards(&self) -> Option<u8> {
        self.number("Max-Forwards").and_then(|n| n.try_into().ok())
    }

    /// Refer-To.
    pub fn refer_to(&self) -> Result<NameAddr, Malformed> {
        self.address("Refer-To")
    }

    /// Referred-By.
    pub fn referred_by(&self) -> Option<NameAddr> {
        self.address("Referred-By").ok()
    }

    /// Replaces: `None` when missing, an error when malformed.
    pub fn replaces(&self) -> Option<Result<Replaces, Malformed>> {
        self.get("Replaces").map(Replaces::parse)
    }

    /// Remote-Party-ID.
    pub fn remote_party_id(&self) -> Vec<NameAddr> {
        self.readable_addresses("Remote-Party-ID")
    }

    /// P-Asserted-Identity: one SIP and one telephone URI at most.
    pub fn p_asserted_identity(&self) -> Vec<NameAddr> {
        self.readable_addresses("P-Asserted-Identity")
    }

    /// Diversion, last diversion first.
    pub fn diversion(&self) -> Vec<NameAddr> {
        self.readable_addresses("Diversion")
    }

    /// History-Info, oldest first by its `index`.
    pub fn history_info(&self) -> Vec<NameAddr> {
        let mut entries = self.readable_addresses("History-Info");
        let index = |entry: &NameAddr| -> Vec<u32> {
            let text = entry.params.get("index").unwrap_or_default();
            text.split('.').map(|n| n.parse().unwrap_or(u32::MAX)).collect()
        };
        entries.sort_by_key(index);
        entries
    }

    /// Event.
    pub fn event(&self) -> Option<Valued> {
        self.valued("Event")
    }

    /// Subscription-State.
    pub fn subscription_state(&self) -> Option<Valued> {
        self.valued("Subscription-State")
    }

    /// Reason (RFC 3326): protocol, with `cause` and `text`.
    pub fn reasons(&self) -> Vec<Valued> {
        self.all("Reason").into_iter().filter_map(|one| Valued::parse(one).ok()).collect()
    }

    /// Content-Type.
    pub fn content_type(&self) -> Option<MediaType> {
        self.get("Content-Type").and_then(|text| MediaType::parse(text).ok())
    }

    /// The single contact that a dialog needs (RFC 3261 section 12.1).
    pub fn contact_uri(&self) -> Result<Uri, Malformed> {
        let contacts = self.contacts()?;
        contacts.first().map(|c| c.uri.clone()).ok_or(Malformed("Contact"))
    }
}
