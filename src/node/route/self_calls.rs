//! Test calls between control extensions: when they are made, who answers one, and who hears what
//! came of it.

use tracing::info;

use super::cluster::millis;
use crate::codecs::Digit;
use crate::ha::proof::{About, Exchange, Input, Outcome};
use crate::ha::self_call::{self, Output, SelfCalls, Target};
use crate::ids::CallId;
use crate::menu;
use crate::node::Node;
use crate::node::snapshot::{AlarmKind, cluster as view};
use crate::timers::{Duration, Instant};

/// Two nodes do not call a third one at the same moment.
const APART: Duration = Duration::from_secs(20);
/// A machine that did not run at that moment tests a little later.
const NIGHT_MINUTES: u32 = 60;
const DAY_MINUTES: u32 = 24 * 60;

/// Whom this node tests, from its start on.
pub fn self_calls(now: Instant, config: &crate::config::Config) -> SelfCalls {
    let target = |(peer, number): (&crate::config::Member, &str)| {
        let (node, extension) = (peer.id, number.to_owned());
        Target { node, extension, tested: None }
    };
    let me = u32::from(config.cluster.me.0);
    SelfCalls::new(now + APART * me, config.self_calls().map(target).collect())
}

impl Node {
    /// The clock was looked at: whether it is time. Each node has a minute of its own.
    pub(in crate::node) fn night_comes(&mut self, now: Instant) {
        let control = self.config.control.as_ref();
        let Some(at) = control.and_then(|control| control.self_call) else { return };
        let clock = self.zone.clock(self.unix_ms(now));
        let minutes = 60 * u32::from(clock.hour) + u32::from(clock.minute);
        let mine = u32::from(at.minutes) + u32::from(self.config.cluster.me.0);
        if (minutes + DAY_MINUTES - mine % DAY_MINUTES) % DAY_MINUTES < NIGHT_MINUTES {
            self.self_call_input(now, self_call::Input::Night);
        }
    }

    pub(in crate::node) fn self_call_input(&mut self, now: Instant, input: self_call::Input) {
        self.proofs.self_calls.handle_input(now, input);
        self.pump_self_calls(now);
    }

    pub(super) fn self_calls_due(&mut self, now: Instant) {
        self.proofs.self_calls.handle_timeout(now);
        self.pump_self_calls(now);
    }

    pub(super) fn self_called(&mut self, now: Instant, outcome: Outcome) {
        self.self_call_input(now, self_call::Input::Called(Some(outcome)));
    }

    fn pump_self_calls(&mut self, now: Instant) {
        while let Some(output) = self.proofs.self_calls.poll_output() {
            let (Output::Call(at) | Output::Tested(at)) = output;
            let Some(target) = self.proofs.self_calls.targets().get(at).cloned() else { continue };
            match output {
                Output::Call(_) => self.call_control(now, &target),
                Output::Tested(_) => self.tested(now, &target),
            }
        }
    }

    fn call_control(&mut self, now: Instant, target: &Target) {
        let peers = self.member.as_ref().map(|member| member.peers());
        let heard = peers.and_then(|peers| peers.get(&target.node)).is_some_and(|peer| peer.up);
        let about = About::ControlExtension;
        if !heard {
            self.self_call_input(now, self_call::Input::Called(None));
        } else if !self.place_proof(now, about, &target.extension) {
            self.self_called(now, Outcome::NotMade);
        }
    }

    /// People hear of one that does not answer before they need it.
    fn tested(&mut self, now: Instant, target: &Target) {
        let (name, extension) = (self.config.cluster.name_of(target.node), &target.extension);
        let text = format!(
            "the control extension {extension} of {name} did not answer the test call of this \
             node, so that people may not reach its phone menu: see to its registration and its \
             forwarding at the PBX, and whether telephone-events or INFO pass"
        );
        let proven = target.tested.is_some_and(|tested| tested.proven);
        info!(name, extension, proven, "control extension tested");
        let kind = AlarmKind::Other { extension: None, text };
        if proven {
            self.alarms.clear(|standing| *standing == kind);
        } else {
            self.alarms.raise(kind, now);
        }
        self.tell_menus(now);
    }

    // ---- At the node that is called -----------------------------------------------------------

    /// A key of a call of the control extension, whether or not it is the one by which the call
    /// shows that another node tests the extension. Only its first keys can be.
    pub(super) fn begins_test(&mut self, call: CallId, key: Digit) -> bool {
        let prefix = About::ControlExtension.prefix();
        let control = self.controls.calls.get_mut(&call);
        let Some((control, keyed)) = control.and_then(|c| c.test_keys.map(|n| (c, n))) else {
            return false;
        };
        let goes_on = prefix.get(keyed) == Some(&key);
        control.test_keys = goes_on.then_some(keyed + 1);
        keyed + 1 == prefix.len() && goes_on
    }

    /// The menu leaves the call to the proof.
    pub(super) fn answer_test(&mut self, now: Instant, call: CallId) {
        let control = self.config.control.as_ref();
        let own = control.and_then(|own| self.config.ports.get(usize::from(own.port.0)));
        let (Some(key), Some(own)) = (self.proofs.key.as_ref(), own) else { return };
        let exchange = Exchange::answer(key, About::ControlExtension, &own.extension);
        self.controls.calls.remove(&call);
        self.proofs.calls.insert(call, exchange);
        self.proof_input(now, call, Input::Up);
    }

    // ---- For people ----------------------------------------------------------------------------

    /// What the phone menu says of these tests.
    pub(super) fn tests_spoken(&self, now: Instant) -> Option<menu::Tests> {
        let targets = self.proofs.self_calls.targets();
        let failed = |t: &&Target| t.tested.is_some_and(|tested| !tested.proven);
        if let Some(target) = targets.iter().find(failed) {
            return Some(menu::Tests::Failed { name: self.config.cluster.name_of(target.node) });
        }
        let tested: Option<Vec<_>> = targets.iter().map(|target| Some(target.tested?.at)).collect();
        let oldest = tested?.into_iter().min()?;
        Some(menu::Tests::Proven { at: self.since(now, oldest) })
    }

    /// What `status` says of them.
    pub(super) fn tests_view(&self, now: Instant) -> Vec<view::ControlTest> {
        let test = |target: &Target| view::ControlTest {
            node: self.config.cluster.name_of(target.node),
            extension: target.extension.clone(),
            proven: target.tested.map(|tested| tested.proven),
            tested_ms: target.tested.map(|t| millis(now.saturating_duration_since(t.at))),
        };
        self.proofs.self_calls.targets().iter().map(test).collect()
    }
}
