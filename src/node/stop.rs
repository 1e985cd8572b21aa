//! The life of the node as a whole, and how it ends in order.
//!
//! A primary that is told to stop asks the backup to go on, and serves until the backup has the
//! role: then the calls live there, and what sounds here goes on until each of them was reached.
//! Without a backup that would take them, calls are ended and ports un-registered; the role is
//! given up last, so that the other nodes know that nobody crashed. Every step has an end: a PBX or
//! a node that does not answer must not hold a stop up.

use tracing::{info, warn};

use crate::config::Promotion;
use crate::ha::Role;
use crate::ha::member;
use crate::ha::role::{self, Answer, Order};
use crate::ids::{CallId, NodeId, RequestId};
use crate::node::{Asked, Node, Output};
use crate::sip;
use crate::store::Who;
use crate::timers::{Duration, Instant};

/// The name of the order that a stop gives: no operator's, whose names count from 1.
pub(super) const STOP_ORDER: RequestId = RequestId(0);

/// The backup has the role within this time, or the calls end here.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(5);
/// The backup has reached the far end of every call within this time.
const TAKEN_WITHIN: Duration = Duration::from_secs(3);
/// Calls are ended and ports un-registered within this time.
const END_WITHIN: Duration = Duration::from_secs(3);
/// The last facts are shipped and the role given up within this time.
const RELEASE_WITHIN: Duration = Duration::from_secs(6);

/// Life of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    /// Taking nothing new.
    Draining,
    /// Serves until the other node has the role.
    HandingOver {
        give_up_at: Instant,
    },
    /// The other node has the role, and reaches for the calls.
    HandedOver {
        give_up_at: Instant,
    },
    /// Calls end, and ports un-register.
    Ending {
        give_up_at: Instant,
    },
    /// Gives up a role that nobody took.
    Releasing {
        give_up_at: Instant,
    },
    Stopped,
}

impl Phase {
    /// Whether calls may begin.
    pub const fn takes_calls(self) -> bool {
        matches!(self, Self::Running | Self::HandingOver { .. })
    }

    pub(super) const fn give_up_at(self) -> Option<Instant> {
        match self {
            Self::HandingOver { give_up_at }
            | Self::HandedOver { give_up_at }
            | Self::Ending { give_up_at }
            | Self::Releasing { give_up_at } => Some(give_up_at),
            Self::Running | Self::Draining | Self::Stopped => None,
        }
    }

    const fn is_running(self) -> bool {
        matches!(self, Self::Running | Self::Draining)
    }
}

impl Node {
    /// The process shall end.
    pub(super) fn stop(&mut self, now: Instant) {
        if !self.phase.is_running() {
            return;
        }
        match self.successor() {
            Some(to) => {
                info!(to = self.config.cluster.name_of(to), "the role is handed over");
                self.phase = Phase::HandingOver { give_up_at: now + HAND_OVER_WITHIN };
                self.leave_role(now, Order::Switchover { to, forced: false });
            }
            None => self.end_calls(now),
        }
    }

    /// Who would go on: the other data node, unless people have kept promotion to themselves.
    fn successor(&self) -> Option<NodeId> {
        let member = self.member.as_ref()?;
        let (config, ha) = (&self.config.cluster, member.ha());
        let by_itself = config.promotion != Promotion::Manual && !ha.paused();
        let peer = config.data_peer().filter(|_| by_itself)?;
        let up = member.peers().get(&peer.id).is_some_and(|peer| peer.up);
        (up && matches!(ha.role(), Role::Primary(_))).then_some(peer.id)
    }

    fn leave_role(&mut self, now: Instant, order: Order) {
        let (id, who) = (STOP_ORDER, Who::Policy);
        let asked = Asked { who, order: order.clone(), token: None, give_up_at: None };
        self.role_orders.insert(id, asked);
        self.member_input(now, member::Input::Order { id, order });
    }

    /// What became of the order that the stop gave.
    pub(super) fn role_left(&mut self, now: Instant, answer: &Answer) {
        match (self.phase, answer) {
            (Phase::HandingOver { .. }, Answer::Done) => {
                self.phase = Phase::HandedOver { give_up_at: now + TAKEN_WITHIN };
            }
            (Phase::HandingOver { .. }, Answer::Refused { reasons, .. }) => {
                warn!(reasons = role::sentence(reasons), "the role is not handed over: calls end");
                self.end_calls(now);
            }
            (Phase::HandingOver { .. }, Answer::Unknown) => self.end_calls(now),
            (Phase::Releasing { .. }, answer) => {
                if let Answer::Refused { reasons, .. } = answer {
                    warn!(reasons = role::sentence(reasons), "the role is given up");
                }
                self.stopped();
            }
            _ => {}
        }
    }

    fn end_calls(&mut self, now: Instant) {
        self.phase = Phase::Ending { give_up_at: now + END_WITHIN };
        self.sip_command(now, sip::Command::Drain(true));
        let calls: Vec<CallId> = self.calls.keys().copied().collect();
        for call in calls {
            self.hang_up(now, call, Some(41));
        }
        for index in 0..self.config.ports.len() {
            let port = self.config.ports[index].id;
            self.sip_command(now, sip::Command::Unregister { port });
        }
    }

    /// Takes the next step of a stop if it is due. Whether there was one.
    pub(super) fn go_on_stopping(&mut self, now: Instant) -> bool {
        let late = self.phase.give_up_at().is_some_and(|at| now >= at);
        match self.phase {
            Phase::HandingOver { .. } if late => self.end_calls(now),
            Phase::HandedOver { .. } if late || self.is_taken_over() => self.end_calls(now),
            Phase::Ending { .. } if late || self.is_at_rest() => self.release(now),
            Phase::Releasing { .. } if late => self.stopped(),
            Phase::Running
            | Phase::Draining
            | Phase::HandingOver { .. }
            | Phase::HandedOver { .. }
            | Phase::Ending { .. }
            | Phase::Releasing { .. }
            | Phase::Stopped => return false,
        }
        true
    }

    /// The other node says that every call and port is its own.
    fn is_taken_over(&self) -> bool {
        let peer = self.config.cluster.data_peer().map(|peer| peer.id);
        let peers = self.member.as_ref().map(|member| member.peers());
        let beat = peer.zip(peers).and_then(|(peer, peers)| peers.get(&peer)?.beat);
        beat.is_some_and(|beat| matches!(beat.role, Role::Primary(_)))
    }

    fn is_at_rest(&self) -> bool {
        let off = |state: &sip::RegistrationState| *state == sip::RegistrationState::Off;
        self.calls.is_empty() && self.registrations.iter().all(off)
    }

    fn release(&mut self, now: Instant) {
        if self.member.as_ref().is_some_and(|member| member.ha().role().acts()) {
            self.phase = Phase::Releasing { give_up_at: now + RELEASE_WITHIN };
            self.leave_role(now, Order::Release);
        } else {
            self.stopped();
        }
    }

    fn stopped(&mut self) {
        self.phase = Phase::Stopped;
        self.outputs.push_back(Output::Stopped);
    }
}
