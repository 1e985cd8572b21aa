//! The registrar: digest, bindings, and what it remembers of nonces (RFC 3261 10.3).

use std::net::SocketAddr;

use super::{Binding, Event, Pbx};
use crate::sip::digest::Authorization;
use crate::sip::message::Request;
use crate::timers::{Duration, Instant};

impl Pbx {
    pub(super) fn register(&mut self, now: Instant, from: SocketAddr, request: &Request) {
        let Some(extension) =
            request.headers.to().ok().and_then(|to| to.uri.user_text().map(|u| u.into_owned()))
        else {
            return self.reply(from, request, 400, |_| {});
        };
        if let Some(status) = self.refuses {
            self.turned_away.insert(extension, now);
            return self.reply(from, request, status, |_| {});
        }
        match self.authorized(now, &extension, request) {
            Verdict::Yes => self.bind(now, from, request, extension),
            Verdict::Unknown => self.reply(from, request, 404, |_| {}),
            Verdict::Wrong => self.reply(from, request, 403, |_| {}),
            Verdict::Challenge { stale } => self.challenge(now, from, request, stale),
        }
    }

    fn authorized(&self, now: Instant, extension: &str, request: &Request) -> Verdict {
        let Some(password) = self.accounts.get(extension) else { return Verdict::Unknown };
        if !self.manner.digest {
            return Verdict::Yes;
        }
        let Some(answer) =
            request.headers.get("Authorization").and_then(|a| Authorization::parse(a).ok())
        else {
            return Verdict::Challenge { stale: false };
        };
        match self.nonces.get(&answer.nonce) {
            Some(&until) if until > now => {}
            _ => return Verdict::Challenge { stale: true },
        }
        if answer.verify(password, &request.method, &request.body) {
            Verdict::Yes
        } else {
            Verdict::Wrong
        }
    }

    fn challenge(&mut self, now: Instant, to: SocketAddr, request: &Request, stale: bool) {
        let nonce = self.token();
        self.nonces.retain(|_, until| *until > now);
        self.nonces.insert(nonce.clone(), now + self.manner.nonce_life);
        let qop = if self.manner.qop { ", qop=\"auth\"" } else { "" };
        let stale = if stale { ", stale=true" } else { "" };
        let value = format!("Digest realm=\"pbx\", nonce=\"{nonce}\", algorithm=MD5{qop}{stale}");
        self.reply(to, request, 401, |r| r.headers.push("WWW-Authenticate", value));
    }

    fn bind(&mut self, now: Instant, from: SocketAddr, request: &Request, extension: String) {
        let contact = request.headers.contacts().ok().and_then(|c| c.first().cloned());
        let Some(contact) = contact else {
            return self.reply(from, request, 200, |_| {});
        };
        let asked = contact.expires().or(request.headers.expires()).unwrap_or(3_600);
        let granted = asked.min(self.manner.expires_max);
        if granted == 0 {
            self.bindings.remove(&extension);
            self.event(Event::Unregistered { extension });
            return self.reply(from, request, 200, |_| {});
        }
        let taken = |binding: &&Binding| binding.expires_at > now && binding.address != from;
        if self.manner.first_stays && self.bindings.get(&extension).filter(taken).is_some() {
            return self.reply(from, request, 403, |_| {});
        }
        let expires_at = now + Duration::from_secs(u64::from(granted));
        let binding = Binding { contact: contact.uri.clone(), address: from, expires_at };
        self.bindings.insert(extension.clone(), binding);
        self.event(Event::Registered { extension });
        let value = format!("<{}>;expires={granted}", contact.uri);
        self.reply(from, request, 200, |r| r.headers.push("Contact", value));
    }
}

/// What the registrar thinks of a request.
enum Verdict {
    Yes,
    Unknown,
    Wrong,
    Challenge { stale: bool },
}
