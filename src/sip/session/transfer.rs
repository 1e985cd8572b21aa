//! A transfer that we asked for (REFER, RFC 3515; attended: RFC 3891).
//!
//! The far end accepts, and then tells by NOTIFY how its own call to the target goes. Some hang up
//! right after accepting: the caller is on its way, so that counts as success.

use super::{Purpose, Session, State};
use crate::sip::ident::complete;
use crate::sip::message::{Method, NameAddr, Replaces, Response};
use crate::sip::{EndCause, Event};
use crate::timers::{Duration, Instant};

/// Longest time from REFER to a final NOTIFY: a target rings at most three minutes.
const PATIENCE: Duration = Duration::from_secs(180);

/// A REFER of ours.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Transfer {
    /// Not answered.
    Asked { give_up_at: Instant },
    /// Accepted; the far end tells how it goes.
    Accepted { give_up_at: Instant },
}

impl Transfer {
    pub(super) const fn poll_timeout(&self) -> Instant {
        match *self {
            Self::Asked { give_up_at } | Self::Accepted { give_up_at } => give_up_at,
        }
    }
}

/// What a NOTIFY says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Notice {
    /// Status line of its sipfrag.
    pub(crate) status: Option<u16>,
    /// `Subscription-State: terminated`.
    pub(crate) ended: bool,
}

impl Session {
    pub(super) fn refer(&mut self, now: Instant, target: &str, replaces: Option<&Replaces>) {
        if !matches!(self.state, State::Up) || self.transfer.is_some() {
            return self.referred(491);
        }
        let Some(mut uri) = complete(target, &self.local.aor) else { return self.referred(416) };
        if let Some(replaces) = replaces {
            uri.push_header("Replaces", &replaces.to_string());
        }
        let Some(dialog) = &mut self.dialog else { return };
        let mut request = dialog.request(Method::Refer);
        request.headers.push("Refer-To", NameAddr::new(uri));
        request.headers.push("Referred-By", NameAddr::new(self.local.aor.clone()));
        request.headers.push("Contact", &self.local.contact);
        self.transfer = Some(Transfer::Asked { give_up_at: now + PATIENCE });
        self.send_in_dialog(Purpose::Refer, request);
    }

    fn referred(&mut self, status: u16) {
        self.event(Event::Referred { call: self.call, status });
    }

    pub(super) fn refer_response(&mut self, now: Instant, response: &Response) {
        match response.status {
            0..=199 => {}
            200..=299 => {
                if self.transfer.is_some() {
                    self.transfer = Some(Transfer::Accepted { give_up_at: now + PATIENCE });
                }
            }
            481 => self.lost(false),
            status => self.transfer_done(status),
        }
    }

    pub(super) fn refer_failed(&mut self, status: u16) {
        self.transfer_done(status);
    }

    fn transfer_done(&mut self, status: u16) {
        if self.transfer.take().is_some() {
            self.referred(status);
        }
    }

    pub(super) fn transfer_notice(&mut self, now: Instant, notice: Notice) {
        // A NOTIFY may overtake the 202.
        match (notice.status, notice.ended) {
            (Some(status @ 200..), _) => self.transfer_done(status),
            // It tells no more, and the last it told was "under way".
            (_, true) => self.transfer_done(200),
            (_, false) if self.transfer.is_some() => {
                self.transfer = Some(Transfer::Accepted { give_up_at: now + PATIENCE });
            }
            (_, false) => {}
        }
    }

    /// The call ended while a transfer was under way.
    pub(super) fn transfer_cut(&mut self, transfer: &Transfer, cause: EndCause) {
        let status = match (transfer, cause) {
            (Transfer::Accepted { .. }, EndCause::RemoteHangup) => 200,
            (Transfer::Asked { .. } | Transfer::Accepted { .. }, _) => 487,
        };
        self.referred(status);
    }

    pub(super) fn transfer_timeout(&mut self, now: Instant) {
        if self.transfer.as_ref().is_some_and(|t| now >= t.poll_timeout()) {
            self.transfer_done(408);
        }
    }
}
