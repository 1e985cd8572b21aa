//! What becomes of ports and calls when this node's role changes.
//!
//! A node that follows keeps its control extension registered and nothing else; its applications
//! are connected and have no calls. Promoted, it carries on the calls that it has copies of, and
//! then registers every port. A node that may act no more says nothing: its bindings and dialogs
//! are another node's. What it has of calls goes on sounding for a while, so that a caller whom the
//! other node has not reached yet hears no gap; a BYE is still answered.

use tracing::{info, warn};

use crate::config::PortKind;
use crate::ha::member;
use crate::ids::{CallId, PortId};
use crate::mutants::{Mutant, mutant};
use crate::node::call::Call;
use crate::node::replicas::CallChange;
use crate::node::snapshot::AlarmKind;
use crate::node::snapshot::cluster::Takeover;
use crate::node::{Duty, Node, Orphan, Output};
use crate::sip::EndCause;
use crate::timers::{Duration, Instant};
use crate::{ivr, media, pool, sip};

/// How long the sound of a call that is no longer ours goes on.
const SOUND_ON: Duration = Duration::from_secs(30);

impl Node {
    /// This node is primary from here on.
    pub(in crate::node) fn acts(&mut self, now: Instant) {
        if self.duty == Duty::Acting {
            return;
        }
        self.duty = Duty::Acting;
        self.acts_since = Some(now);
        self.tell_unreached(now);
        self.drop_orphans(now, |_| true);
        let records = self.replicas.take(now);
        info!(calls = records.len(), "this node acts");
        let calls = u32::try_from(records.len()).unwrap_or(u32::MAX);
        self.takeover = Some(Takeover { acted_at_ns: now, calls, ..Takeover::default() });
        self.sip_command(now, sip::Command::Drain(false));
        for record in records.into_iter().skip(usize::from(mutant(Mutant::LoseOneCall))) {
            self.recover(now, record);
        }
        self.tell_calls(now, self.all_calls(now));
        self.take_ports_over(now);
        self.start_programs(now);
    }

    /// This node is not primary, or no longer.
    pub(in crate::node) fn follows(&mut self, now: Instant) {
        if self.duty == Duty::Following || mutant(Mutant::KeepServing) {
            return;
        }
        warn!(calls = self.calls.len(), "this node acts no more");
        self.tell_copies_now(now);
        self.replicas.rest();
        // What the registrations know holds until OPTIONS tell more.
        self.pbx_answers = self.reaches_pbx();
        self.duty = Duty::Following;
        self.acts_since = None;
        self.unbinding = None;
        self.alarms.clear(|kind| matches!(kind, AlarmKind::OnBackup { .. }));
        self.stop_programs();
        self.sip_command(now, sip::Command::Drain(true));
        for port in self.moving_ports() {
            self.sip_command(now, sip::Command::Abandon { port });
        }
        let of_pool = |call: &&CallId| !self.is_control_call(**call);
        let calls: Vec<CallId> = self.calls.keys().filter(of_pool).copied().collect();
        let others = self.member.as_ref().is_some_and(|member| member.ha().holder(now).is_some());
        for call in calls {
            // What another node tells of a call that is ours is of a later epoch.
            let ours = !others && !self.replicas.knows(call);
            if let Some(record) = self.call_record(now, call).filter(|_| ours) {
                self.replicas.told(now, CallChange::Put(Box::new(record)));
            }
            self.orphan(now, call);
        }
        // With a shared address the sound is the other node's to send.
        if self.config.service_address().is_some() {
            self.drop_orphans(now, |_| true);
        }
    }

    /// Registers the ports of a kind.
    pub(in crate::node) fn register(&mut self, now: Instant, is: impl Fn(PortKind) -> bool) {
        let kinds = [PortKind::Control, PortKind::Sentinel, PortKind::Pool];
        for kind in kinds.into_iter().filter(|kind| is(*kind)) {
            for port in self.ports_of(kind) {
                self.sip_command(now, sip::Command::Register { port });
            }
        }
    }

    pub(super) fn ports_of(&self, kind: PortKind) -> Vec<PortId> {
        self.config.ports.iter().filter(|port| port.kind == kind).map(|port| port.id).collect()
    }

    /// Those that only the node that acts registers.
    pub(super) fn moving_ports(&self) -> Vec<PortId> {
        self.config.ports.iter().filter(|port| port.kind.moves()).map(|port| port.id).collect()
    }

    /// A call leaves this node: its application loses it, its sound goes on.
    fn orphan(&mut self, now: Instant, call: CallId) {
        let Some(entry) = self.calls.remove(&call) else { return };
        let port = entry.port;
        self.timers.retain(|&(_, timed, _)| timed != call);
        let (cause, by_caller) = (41, false);
        self.ivr.handle_input(now, ivr::Input::Ended { call, cause, by_caller });
        self.pool.handle_input(now, pool::Input::Ended { port });
        self.orphans.insert(call, Orphan { call: Box::new(entry), until: now + SOUND_ON });
    }

    /// A key in a call whose sound goes on here, and that another node has, or nobody.
    pub(super) fn digit_lost(&mut self, now: Instant, call: CallId) {
        if self.orphans.contains_key(&call) {
            self.counters.digits_received_total += 1;
            self.counters.digits_lost_total += 1;
            self.alarms.raise_passing(AlarmKind::DigitsLost, now);
        }
    }

    /// The sound of orphaned calls has an end. What nobody has carried on by then is over.
    pub(in crate::node) fn orphans_due(&mut self, now: Instant) {
        let due = |orphan: &Orphan| orphan.until <= now;
        let lost = |orphan: &Orphan| due(orphan) && self.is_nobodys(orphan.call.id);
        let ids = self.orphans.iter().filter(|(_, orphan)| lost(orphan)).map(|(&call, _)| call);
        for call in ids.collect::<Vec<_>>() {
            self.write_orphan(now, call, EndCause::Lost);
        }
        self.drop_orphans(now, due);
    }

    /// The far end says that an orphaned call is over. Whoever carried it on writes of it too, and
    /// that record counts ([`crate::store::final_cdrs`]).
    pub(super) fn orphan_ended(&mut self, now: Instant, call: CallId, cause: EndCause) {
        self.replicas.told(now, CallChange::Gone(call));
        if matches!(cause, EndCause::RemoteHangup | EndCause::Cancelled) {
            self.write_orphan(now, call, cause);
        }
        self.drop_orphan(now, call);
    }

    fn write_orphan(&mut self, now: Instant, call: CallId, cause: EndCause) {
        if let Some(orphan) = self.orphans.get(&call) {
            let cdr = self.cdr(now, &orphan.call, cause);
            self.append_cdr(now, cdr);
        }
    }

    /// The other node serves, and tells this one of all its calls, of which this is none.
    fn is_nobodys(&self, call: CallId) -> bool {
        let serves = |peer: &member::Peer| peer.up && peer.beat.is_some_and(|b| b.role.acts());
        self.data_peer().is_some_and(serves) && !self.replicas.knows(call)
    }

    pub(in crate::node) fn drop_orphans(&mut self, now: Instant, due: impl Fn(&Orphan) -> bool) {
        let over: Vec<CallId> =
            self.orphans.iter().filter(|(_, orphan)| due(orphan)).map(|(call, _)| *call).collect();
        for call in over {
            self.sip_command(now, sip::Command::Forget { call });
            self.drop_orphan(now, call);
        }
    }

    fn drop_orphan(&mut self, now: Instant, call: CallId) {
        let Some(orphan) = self.orphans.remove(&call) else { return };
        let Call { port, udp_port, .. } = *orphan.call;
        if let Some(slot) = self.by_port.get_mut(usize::from(port.0)) {
            *slot = None;
        }
        let moved = self.config.service_address().is_some();
        let end = if moved { media::Command::Leave } else { media::Command::Close };
        self.media(port, end);
        self.udp_ports.give_back(now, udp_port);
    }

    // ---- Copies of calls -----------------------------------------------------------------------

    /// A call changed in a way that another node must know to carry it on.
    pub(super) fn touch(&mut self, now: Instant, call: CallId) {
        if self.copies_calls() {
            self.replicas.changed(now, call);
        }
    }

    /// Tells the other node what changed about our calls, if it is time to.
    pub(in crate::node) fn tell_copies(&mut self, now: Instant) {
        if !self.copies_calls() {
            return;
        }
        if self.replicas.all_due(now, !self.calls.is_empty()) {
            self.tell_calls(now, self.all_calls(now));
        }
        let due = self.replicas.due(now);
        let changes = due.into_iter().filter_map(|call| self.change(now, call)).collect();
        self.tell_calls(now, changes);
        self.tell_bindings(now);
    }

    /// The same, whether it is time to or not.
    pub(super) fn tell_copies_now(&mut self, now: Instant) {
        self.replicas.hurry(now);
        self.tell_copies(now);
    }

    /// `None`: the call is one of another node that is not carried on yet.
    fn change(&self, now: Instant, call: CallId) -> Option<CallChange> {
        if self.calls.get(&call).is_some_and(|entry| entry.recovery.is_some()) {
            return None;
        }
        let record = self.call_record(now, call);
        Some(record.map_or(CallChange::Gone(call), |record| CallChange::Put(Box::new(record))))
    }

    /// Which calls there are, and each that is carried on.
    fn all_calls(&self, now: Instant) -> Vec<CallChange> {
        let changes = self.calls.keys().filter_map(|&call| self.change(now, call));
        let only = CallChange::Only(self.calls.keys().copied().collect());
        std::iter::once(only).chain(changes).collect()
    }

    pub(super) fn tell_calls(&mut self, now: Instant, changes: Vec<CallChange>) {
        let Some(peer) = self.config.cluster.data_peer() else { return };
        let acted = self.member().map(|member| member.acted()).unwrap_or_default();
        let (messages, left_out) = CallChange::parted(changes);
        for calls in messages {
            let message = Box::new(member::Message::Calls { acted, calls });
            self.outputs.push_back(Output::Peer { to: peer.id, message });
        }
        for call in left_out {
            let text = format!(
                "call {call} is too large to be copied to the backup and would be lost with this \
                 node: let its application set fewer or shorter channel variables"
            );
            self.alarms.raise_passing(AlarmKind::Other { extension: None, text }, now);
        }
    }

    /// All of our calls, for a node that has just come.
    pub(in crate::node) fn tell_all(&mut self, now: Instant) {
        if !self.copies_calls() {
            return;
        }
        self.tell_calls(now, self.all_calls(now));
        self.tell_all_bindings(now);
    }
}
