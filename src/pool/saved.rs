//! A call as the pool knows it, as plain data, and how it goes on at another node.
//!
//! To the pool a promotion is the loss of an owner like any other: the token leaps, the journal
//! closes its channel, and the call is placed anew. Tokens leap by more than one, because the
//! other node may have made offers that its replica does not show.

use serde::{Deserialize, Serialize};

use super::Reason;
use super::binding::new_call;
use super::journal::{self, Journal};
use super::machine::Pool;
use super::port::{AppId, Call, Handover, Stage, Stop};
use super::verdict::QUIET;
use crate::ids::{CallId, Generation, PortId};
use crate::timers::{Duration, Instant};

/// What is added to the token of a call that goes on at another node.
const GENERATION_LEAP: u32 = 1_000;

/// A call without its owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// Names of applications; `None`: the announcement.
    route: Vec<Option<String>>,
    at: usize,
    args: Option<Vec<String>>,
    generation: Generation,
    up: bool,
    was_owned: bool,
    announcing: bool,
    journal: journal::Saved,
}

impl Pool {
    /// The call of a port, for another node. `None`: there is none that could go on.
    pub fn save(&self, port: PortId) -> Option<Saved> {
        let busy = self.busy(port)?;
        let (served, announcing) = match busy.stage {
            Stage::Offered { .. } | Stage::Bound { .. } => (true, false),
            Stage::Queued { .. } | Stage::Rebinding { .. } => (false, false),
            Stage::Announce => (false, true),
            Stage::Outbound { .. } | Stage::Leaving => return None,
        };
        let name = |app: AppId| self.rules(app).name.clone();
        let stop = |stop: &Stop| match stop {
            Stop::App(app) => Some(name(*app)),
            Stop::Announce => None,
        };
        let call = &busy.call;
        Some(Saved {
            route: call.route.iter().map(stop).collect(),
            at: call.at,
            args: call.args.clone(),
            generation: call.generation,
            up: call.up,
            was_owned: call.was_owned || served,
            announcing,
            journal: call.journal.save(name),
        })
    }

    /// A call of another node goes on here.
    pub(super) fn recovered(&mut self, now: Instant, port: PortId, id: CallId, saved: Saved) {
        if self.vacate(now, port).is_none() {
            return;
        }
        let (announcing, owned) = (saved.announcing, saved.was_owned);
        let call = self.restore(now, id, saved);
        let quiet_at = (call.up && !call.journal.sounding).then_some(now + QUIET);
        let at = call.announce_at();
        self.begin(now, port, call, None);
        let detect = Duration::ZERO;
        let lost = Handover { reason: Reason::Promotion, detect, verdict_at: now, quiet_at };
        match at {
            Some(at) if announcing => self.announce(now, port, at),
            _ if owned => self.place(now, port, lost),
            _ => self.place(now, port, new_call(now)),
        }
    }

    fn restore(&self, now: Instant, id: CallId, saved: Saved) -> Call {
        let stop = |name: &Option<String>| match name {
            Some(name) => self.app_id(name).map(Stop::App),
            None => Some(Stop::Announce),
        };
        let route: Vec<Stop> = saved.route.iter().filter_map(stop).collect();
        let mut journal = Journal::restore(saved.journal, now, |name| self.app_id(name));
        journal.lost();
        Call {
            at: saved.at.min(route.len()),
            args: saved.args,
            generation: Generation(saved.generation.0.saturating_add(GENERATION_LEAP)),
            up: saved.up,
            was_owned: saved.was_owned,
            journal,
            ..Call::new(now, id, route)
        }
    }
}
