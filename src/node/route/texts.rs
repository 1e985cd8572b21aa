//! Texts to telephones (SIP MESSAGE), where the site wants them: each incident once, and that the
//! system restarts.
//!
//! A PBX or a telephone that knows no MESSAGE says so by its status: from then on nobody is sent a
//! text, an alarm says whose turn it is, and who was to get the restart message is called.

use tracing::{info, warn};

use crate::node::Node;
use crate::node::control::Purpose;
use crate::node::snapshot::AlarmKind;
use crate::sip;
use crate::timers::Instant;

/// What a telephone reads when the system restarts.
const RESTART: &str =
    "The telephone system is being restarted. Calls may be interrupted for a moment.";

/// Texts under way at most: whoever does not answer holds one for half a minute.
const TEXTS_MAX: usize = 256;

impl Node {
    /// Everybody who wants it reads of an incident.
    pub(in crate::node) fn text_incident(&mut self, now: Instant, text: &str) {
        let readers = self.config.control.as_ref().map(|control| control.text_to.clone());
        for number in readers.unwrap_or_default() {
            self.send_text(now, number, text, false);
        }
    }

    /// Whether the telephone will read that the system restarts, or be called if it cannot.
    pub(super) fn text_restart(&mut self, now: Instant, number: &str) -> bool {
        let control = self.config.control.as_ref();
        let reads = control.is_some_and(|control| control.text_to.iter().any(|to| to == number));
        reads && self.send_text(now, number.to_owned(), RESTART, true)
    }

    /// `calls`: the telephone is called if it gets no text. Whether it is on its way.
    fn send_text(&mut self, now: Instant, to: String, text: &str, calls: bool) -> bool {
        let Some(port) = self.config.control.as_ref().map(|control| control.port) else {
            return false;
        };
        let texts = &mut self.controls.texts;
        if texts.refused || texts.under_way.len() >= TEXTS_MAX {
            warn!(text, "nobody is sent a text");
            return false;
        }
        texts.sent += 1;
        let id = texts.sent;
        texts.under_way.insert(id, (to.clone(), calls));
        let text = text.to_owned();
        self.sip_command(now, sip::Command::Text { port, id, target: to, text });
        true
    }

    /// What became of a text; `None`: no answer.
    pub(super) fn texted(&mut self, now: Instant, id: u32, status: Option<u16>) {
        let Some((to, calls)) = self.controls.texts.under_way.remove(&id) else { return };
        match status {
            Some(200..=299) => return info!("a telephone has its text"),
            Some(status @ (405 | 415 | 488 | 501)) => self.texts_refused(now, status),
            Some(_) | None => warn!(?status, "a telephone did not get its text"),
        }
        if calls {
            self.place_control(now, to, Purpose::RestartMessage, None);
        }
    }

    fn texts_refused(&mut self, now: Instant, status: u16) {
        if std::mem::replace(&mut self.controls.texts.refused, true) {
            return;
        }
        let text = format!(
            "the PBX answers {status} to a text (MESSAGE): nobody is sent one until this node is \
             started again; let it pass MESSAGE between extensions, or take control.text_to out"
        );
        self.alarms.raise(AlarmKind::Other { extension: None, text }, now);
    }
}
