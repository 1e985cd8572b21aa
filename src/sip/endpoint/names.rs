//! Names of the registrar list: what changes when one of them has another address than before.
//!
//! A port that is bound to an address which is not the PBX's any more binds anew, where the PBX is
//! found. Who may send us requests follows: a new address is heard from the moment on that the name
//! says so, and one that is none any more is heard only for as long as a call goes on with it.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::watch::Watch;
use super::{Endpoint, TimerKey};
use crate::ids::PortId;
use crate::sip::registrars::{self, Output};
use crate::sip::registration::Input;
use crate::sip::{self, Event};
use crate::timers::Instant;

impl Endpoint {
    /// [`sip::Input::Resolved`].
    pub(super) fn resolved(
        &mut self,
        now: Instant,
        entry: usize,
        found: Result<Vec<SocketAddr>, String>,
    ) {
        self.registrars.handle_input(now, registrars::Input::Found { entry, found });
        self.pump_names(now);
    }

    pub(super) fn names_timeout(&mut self, now: Instant) {
        self.registrars.handle_timeout(now);
        self.pump_names(now);
    }

    /// A node did not do what was asked: its name may have another address by now.
    pub(super) fn doubt(&mut self, now: Instant, node: usize) {
        self.registrars.handle_input(now, registrars::Input::Doubt { node });
        self.pump_names(now);
    }

    fn pump_names(&mut self, now: Instant) {
        while let Some(output) = self.registrars.poll_output() {
            match output {
                Output::Ask { entry } => self.outputs.push_back(sip::Output::Resolve { entry }),
                Output::Changed { nodes } => self.addresses_changed(now, &nodes),
                Output::Lost { entry, why } => {
                    if why.is_some() && self.registrars.count() == 0 {
                        self.every_registration(now, |_| Input::Nameless);
                    }
                    self.event(Event::Named { entry, why });
                }
            }
        }
        self.deadlines.set(TimerKey::Names, self.registrars.poll_timeout());
    }

    fn addresses_changed(&mut self, now: Instant, changed: &BTreeSet<usize>) {
        let known = self.registrars.addresses().map(|address| address.ip());
        let known = known.chain(self.config.pbx.sources.iter().copied());
        let calls = self.calls.values().map(|call| call.peer().ip().to_canonical());
        let calls: BTreeSet<_> = calls.collect();
        self.sources.replace(known, |address| calls.contains(address));
        for &node in changed {
            if let Some(watch) = self.watches.get_mut(node) {
                *watch = Watch::new();
            }
            self.plan_watch(now, node);
        }
        self.nodes_changed(now);
        let nodes = self.registrars.listed();
        self.every_registration(now, |endpoint| Input::Nodes {
            nodes: nodes.clone(),
            changed: changed.clone(),
            delay: endpoint.start_delay(),
        });
    }

    fn every_registration(&mut self, now: Instant, input: impl Fn(&mut Self) -> Input) {
        for index in 0..self.accounts.len() {
            let input = input(self);
            let port = PortId(u16::try_from(index).unwrap_or(u16::MAX));
            self.registration_input(now, port, input);
        }
    }

    /// Whether this is the trunk, by which nobody calls us.
    pub(super) fn hears_calls_alone(&self, address: IpAddr) -> bool {
        let trunk = self.config.trunk().map(|trunk| trunk.address.ip().to_canonical());
        trunk == Some(address.to_canonical()) && !self.sources.knows(address)
    }

    /// Whether requests of this address are read.
    pub(super) fn hears(&self, address: IpAddr) -> bool {
        self.sources.knows(address)
            || self.hears_calls_alone(address)
            || self.sources.knew(address)
                && self
                    .calls
                    .values()
                    .any(|call| call.peer().ip().to_canonical() == address.to_canonical())
    }
}
