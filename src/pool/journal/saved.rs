//! The journal as plain data. Instants stay behind: whoever takes the call over has lost its owner
//! anyway, and with the owner every pause that was running.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{AppId, DIGITS_KEPT_MAX, Entry, Journal, Loss};
use crate::codecs::Digit;
use crate::ids::Generation;
use crate::mutants::{Mutant, mutant};
use crate::redact::Redacted;
use crate::timers::Instant;

/// No call has so many key presses: a number beyond it is a fault of the other node.
const PLACE_MAX: u64 = 1 << 48;

/// A journal, with applications by their names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// Key, how long it was pressed in milliseconds, and whom it was delivered to.
    digits: Redacted<Vec<(u8, u32, Option<Generation>)>>,
    first: u64,
    acked: u64,
    sent: u64,
    base: u64,
    answered: u64,
    ever_delivered: bool,
    acknowledging: Vec<String>,
    variables: Redacted<BTreeMap<String, String>>,
    typed: u64,
    discarded: u64,
    sounding: bool,
}

impl Journal {
    /// As plain data; a checkpoint that does not hold yet is left out, as it would be at a rebind.
    pub(in crate::pool) fn save(&self, name: impl Fn(AppId) -> String) -> Saved {
        let plain = |entry: &Entry| (entry.digit.event(), entry.duration_ms, entry.delivered);
        Saved {
            digits: self.digits.iter().map(plain).collect::<Vec<_>>().into(),
            first: self.first,
            acked: self.acked,
            sent: self.sent,
            base: self.base,
            answered: self.answered,
            ever_delivered: self.ever_delivered,
            acknowledging: self.acknowledging.iter().map(|&app| name(app)).collect(),
            variables: self.variables.clone().into(),
            typed: self.typed,
            discarded: self.discarded,
            sounding: self.sounding,
        }
    }

    /// The journal of a call whose owner is lost. Marks that do not fit together are set right: the
    /// other node may be of another version.
    pub(in crate::pool) fn restore(
        saved: Saved,
        now: Instant,
        app: impl Fn(&str) -> Option<AppId>,
    ) -> Self {
        let entry = |&(event, duration_ms, delivered): &(u8, u32, Option<Generation>)| {
            let digit = Digit::from_event(event)?;
            Some(Entry { digit, duration_ms, at: now, delivered })
        };
        let mut journal = Self::new();
        let most = if mutant(Mutant::CopyWithoutKeys) { 0 } else { DIGITS_KEPT_MAX };
        let kept = saved.digits.reveal().iter().take(most);
        journal.digits = kept.filter_map(entry).collect();
        journal.first = saved.first.min(PLACE_MAX);
        let end = journal.end();
        journal.sent = saved.sent.clamp(journal.first, end);
        journal.acked = saved.acked.min(journal.sent);
        journal.base = saved.base.min(journal.sent);
        journal.answered = saved.answered.min(journal.sent);
        journal.ever_delivered = saved.ever_delivered;
        journal.acknowledging = saved.acknowledging.iter().filter_map(|name| app(name)).collect();
        if !mutant(Mutant::LoseCheckpoint) {
            journal.variables = saved.variables.reveal().clone();
        }
        journal.typed = saved.typed.min(PLACE_MAX);
        journal.discarded = saved.discarded.min(PLACE_MAX);
        journal.sounding = saved.sounding;
        journal.loss = Loss::Settled;
        journal
    }
}
