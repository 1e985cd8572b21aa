//! The watch over the nodes of the registrar list.
//!
//! A node that failed gets OPTIONS until it has answered three times in a row, so that one that
//! flaps does not move bindings to and fro; then ports without a call go back to it. Where the
//! profile wants it, every node gets OPTIONS all the time, and bindings leave one that fell silent
//! before their half time. Any answer means alive. Silence means dead only of a node that has
//! answered OPTIONS before: there are PBXs that never do, and of such a node one port tries by
//! REGISTER whether it is back. Where the list has one node only, its silence moves nothing, but
//! one port asks by REGISTER whether it is true.
//!
//! A node of a cluster that has nothing registered, as a backup without a control extension, knows
//! by OPTIONS alone whether it reaches the PBX, so it asks whatever the profile says.

use super::account::Account;
use super::client::Owner;
use super::{Endpoint, TimerKey};
use crate::config::ClusterProfile;
use crate::ids::PortId;
use crate::sip::ident::token;
use crate::sip::message::{CSeq, Method, NameAddr, Request, Uri};
use crate::sip::{Event, RegistrationState};
use crate::timers::{Duration, Instant};

/// How often a node that failed is asked where the profile says nothing.
const RETURN_INTERVAL: Duration = Duration::from_secs(30);
/// How often it is asked by an endpoint that has nothing registered, in a cluster.
pub(super) const REACH_INTERVAL: Duration = Duration::from_secs(10);
/// Answers in a row that make a node good again.
const GOOD_AGAIN: u8 = 3;
/// OPTIONS without answer before one port tries by REGISTER: five minutes.
const TRIAL_AFTER: u8 = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing known.
    Unknown,
    /// Answers.
    Up,
    /// Failed; so many answers in a row since.
    Down { good: u8 },
}

/// One node.
#[derive(Debug)]
pub(super) struct Watch {
    state: State,
    /// It has answered OPTIONS once, so that its silence means something.
    heard: bool,
    /// OPTIONS in a row without answer.
    unheard: u8,
    /// It fell silent since it was up last, and the ports were told.
    left: bool,
    /// An OPTIONS is out.
    asking: bool,
}

impl Watch {
    pub(super) const fn new() -> Self {
        Self { state: State::Unknown, heard: false, unheard: 0, left: false, asking: false }
    }

    /// Whether the node answers, if that is known.
    pub(super) const fn is_up(&self) -> Option<bool> {
        match self.state {
            State::Unknown => None,
            State::Up => Some(true),
            State::Down { .. } => Some(false),
        }
    }

    /// Whether it answered the last OPTIONS; `None`: it never did.
    fn answers(&self) -> Option<bool> {
        self.heard.then_some(self.unheard == 0)
    }

    /// An answer to OPTIONS.
    fn answered(&mut self) {
        (self.asking, self.heard, self.unheard) = (false, true, 0);
        self.state = match self.state {
            State::Down { good } if good + 1 < GOOD_AGAIN => State::Down { good: good + 1 },
            State::Unknown | State::Up | State::Down { .. } => State::Up,
        };
        self.left &= self.state != State::Up;
    }

    /// No answer to OPTIONS. Returns whether the node is to be taken for dead from here on.
    fn silent(&mut self) -> bool {
        self.asking = false;
        self.unheard = self.unheard.saturating_add(1);
        let died = self.heard && self.state == State::Up;
        if self.heard {
            self.state = State::Down { good: 0 };
        }
        self.left |= died;
        died
    }
}

impl Endpoint {
    /// A binding was renewed where it was: the next silence of the node is news again. The only
    /// node of the list is good with that. One of several that refused another port with 5xx is
    /// not: it would be asked again by that port at every renewal of any.
    pub(super) fn node_renewed(&mut self, now: Instant, node: usize) {
        if let Some(watch) = self.watches.get_mut(node) {
            watch.left = false;
        }
        if self.registrars.count() == 1 {
            self.node_works(now, node);
        }
    }

    /// A REGISTER was granted by a node.
    pub(super) fn node_works(&mut self, now: Instant, node: usize) {
        let Some(watch) = self.watches.get_mut(node) else { return };
        let before = std::mem::replace(&mut watch.state, State::Up);
        (watch.unheard, watch.left) = (0, false);
        if before != State::Up {
            self.nodes_changed(now);
            self.plan_watch(now, node);
        }
    }

    /// A REGISTER failed at a node: `silent`, or by a 5xx that may concern its port alone.
    pub(super) fn node_fails(&mut self, now: Instant, node: usize, silent: bool) {
        if self.registrars.count() < 2 {
            return;
        }
        let Some(watch) = self.watches.get_mut(node) else { return };
        let before = std::mem::replace(&mut watch.state, State::Down { good: 0 });
        // It may have refused one port before, and be silent only now.
        let leave = silent && !watch.left;
        watch.left |= silent;
        if !matches!(before, State::Down { .. }) {
            self.nodes_changed(now);
            self.plan_watch(now, node);
        }
        if leave {
            self.node_down(now, node);
        }
    }

    /// Tells the ports which node works best.
    pub(super) fn nodes_changed(&mut self, now: Instant) {
        let works = |(node, watch): &(usize, &Watch)| {
            self.registrars.lists(*node) && !matches!(watch.state, State::Down { .. })
        };
        if let Some((best, _)) = self.watches.iter().enumerate().find(works)
            && best != self.best_node
        {
            self.best_node = best;
            self.prefer_node(now, best);
        }
    }

    /// When a node is asked next, if at all.
    pub(super) fn plan_watch(&mut self, now: Instant, node: usize) {
        let Some(watch) = self.watches.get(node) else { return };
        let every = match (self.config.pbx.options_interval, watch.state) {
            (Some(interval), _) => Some(interval.max(Duration::from_secs(1))),
            (None, _) if self.knows_by_options() => Some(REACH_INTERVAL),
            (None, State::Down { .. }) => Some(RETURN_INTERVAL),
            (None, State::Unknown | State::Up) => None,
        };
        let asks = self.registrars.lists(node) && !watch.asking;
        let at = every.filter(|_| asks).map(|every| now + every);
        self.deadlines.set(TimerKey::Watch(node), at);
    }

    /// Whether nothing else says that the PBX is there.
    fn knows_by_options(&self) -> bool {
        let off = |a: &Account| a.registration.reported() == RegistrationState::Off;
        self.config.cluster.profile != ClusterProfile::Single && self.accounts.iter().all(off)
    }

    /// Ports were left: the nodes of the list may have to be asked from here on.
    pub(super) fn plan_watches(&mut self, now: Instant) {
        (0..self.watches.len()).for_each(|node| self.plan_watch(now, node));
    }

    /// Tells whether any node of the list answers OPTIONS, if one ever did.
    fn tell_answers(&mut self) {
        if let Some(any) = self.watches.iter().filter_map(Watch::answers).max() {
            self.event(Event::Answers { any });
        }
    }

    pub(super) fn watch_timeout(&mut self, now: Instant, node: usize) {
        let Some(address) = self.registrars.address(node) else { return };
        if let Some(watch) = self.watches.get_mut(node) {
            watch.asking = true;
        }
        let Some(request) = self.options(PortId(0)) else { return };
        let flow = self.transport.flow_to(now, self.asking_socket(PortId(0)), address);
        self.send_request(now, Owner::Watch(node), flow, request, 0);
    }

    /// OPTIONS outside any dialog, from a port to whom it calls.
    pub(super) fn options(&mut self, port: PortId) -> Option<Request> {
        let local = self.account(port)?.local.clone();
        let target = Uri::sip(None, local.aor.host.clone());
        let mut request = Request::new(Method::Options, target.clone());
        let headers = &mut request.headers;
        headers.push("Max-Forwards", 70);
        headers.push("From", NameAddr::new(local.aor.clone()).with_tag(&token(&mut self.rng)));
        headers.push("To", NameAddr::new(target));
        headers.push("Call-ID", token(&mut self.rng));
        headers.push("CSeq", CSeq { seq: 1, method: Method::Options });
        headers.push("Contact", &local.contact);
        headers.push("Accept", "application/sdp");
        Some(request)
    }

    /// Any final answer: a PBX that refuses OPTIONS is alive.
    pub(super) fn watch_response(&mut self, now: Instant, node: usize) {
        if let Some(watch) = self.watches.get_mut(node) {
            watch.answered();
        }
        self.tell_answers();
        self.nodes_changed(now);
        self.plan_watch(now, node);
    }

    pub(super) fn watch_failed(&mut self, now: Instant, node: usize) {
        let Some(watch) = self.watches.get_mut(node) else { return };
        let died = watch.silent();
        let trial = !watch.heard && watch.unheard >= TRIAL_AFTER;
        if trial {
            watch.unheard = 0;
            self.try_register(now, node);
        }
        self.tell_answers();
        self.nodes_changed(now);
        if died {
            self.doubt(now, node);
            self.node_down(now, node);
            if self.registrars.count() == 1 {
                self.renew_one(now, node);
            }
        }
        self.plan_watch(now, node);
    }

    /// An OPTIONS got no answer for a reason that says nothing of the node: the next one tells.
    pub(super) fn watch_unheard(&mut self, now: Instant, node: usize) {
        if let Some(watch) = self.watches.get_mut(node) {
            watch.asking = false;
        }
        self.plan_watch(now, node);
    }

    /// One port that is bound to a worse node tries this one.
    fn try_register(&mut self, now: Instant, node: usize) {
        let worse = |state: RegistrationState| match state {
            RegistrationState::Registered { node: bound, .. } => bound > node,
            RegistrationState::Off
            | RegistrationState::Pending
            | RegistrationState::Refused { .. }
            | RegistrationState::Unreachable { .. }
            | RegistrationState::Unresolved => false,
        };
        let idle = self.accounts.iter().find(|a| a.live == 0 && worse(a.registration.reported()));
        if let Some(port) = idle.map(|a| a.local.port) {
            self.prefer_for(now, port, node);
        }
    }
}
