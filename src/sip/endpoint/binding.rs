//! Bindings that two nodes of a cluster hold one after the other, and what one of them sees of the
//! other in the registrar's answers.
//!
//! A Contact of a pool port carries the epoch of whoever registered it. A 200 that lists a higher
//! one means that this node was replaced; a lower one is of a node that was, whose late REGISTER
//! took the binding back: it is taken again. The exact Contact of the node before this one, which
//! that node told, is the only one of another that is ever removed, and only when the registrar
//! lists it beside ours: that registrar forks, and half of the rings would go nowhere.
//!
//! Nodes that share an address share the Contact too, secret and all, without an epoch: the one
//! that takes a port over goes on with the Contact that the other one told.

use std::sync::Arc;

use super::Endpoint;
use super::account::same_contact;
use crate::ids::{Epoch, PortId};
use crate::sip::message::{NameAddr, Response, Uri};
use crate::sip::pacing::Pacing;
use crate::sip::registration::{Answer, Contacts, Input, Repair};
use crate::sip::session::Local;
use crate::sip::{Binding, Event, RegistrationState};
use crate::timers::{Duration, Instant};

/// URI parameter that carries the epoch.
const EPOCH_PARAM: &str = "pk-epoch";
/// The CSeq of the node before is passed by this for each epoch: what it still sends is older.
const CSEQ_LEAP: u32 = 100_000;
/// How long beyond its granted time a binding may linger at a registrar.
const LINGER: Duration = Duration::from_secs(10);
/// Characters of a Call-ID that another node told at most.
const CALL_ID_MAX: usize = 256;
/// A Contact that stays listed is removed so many times at most.
const REMOVALS_MAX: u8 = 3;

/// What a port knows of the binding before its own.
#[derive(Clone, Debug, Default)]
pub(super) struct Before {
    contact: Option<Uri>,
    removals: u8,
    /// The next REGISTER takes it away.
    remove: bool,
}

impl Endpoint {
    /// [`super::Command::Epoch`].
    pub(super) fn acts_under(&mut self, epoch: Epoch) {
        self.epoch = Some(epoch);
        if self.config.service_address().is_some() {
            return; // The Contact is the same at each node, so that the PBX sees no change.
        }
        for index in 0..self.accounts.len() {
            let account = &mut self.accounts[index];
            if self.config.ports[index].kind.moves() {
                let mut contact = account.local.contact.clone();
                contact.uri.params.set(EPOCH_PARAM, epoch.0.to_string());
                account.local = Arc::new(Local { contact, ..(*account.local).clone() });
            }
        }
    }

    /// [`super::Command::TakeOver`].
    pub(super) fn take_over(&mut self, now: Instant, port: PortId, before: Option<&Binding>) {
        let epoch = self.epoch.unwrap_or_default();
        let leaps = before.map_or(1, |binding| epoch.leaps(binding.epoch));
        let shared = self.config.service_address().is_some();
        let Some(account) = self.accounts.get_mut(usize::from(port.0)) else { return };
        (account.realm, account.credentials) = (None, None);
        account.before = Before::default();
        let (mut within, mut cseq) = (Duration::ZERO, 0);
        if let Some(binding) = before {
            let contact = NameAddr::parse(binding.contact.reveal()).ok();
            account.before.contact = contact.map(|contact| contact.uri);
            if shared {
                let same = account.before.contact.take();
                if let Some(uri) = same.filter(|uri| is_of(uri, &account.local.contact.uri)) {
                    let contact = NameAddr::new(uri);
                    self.directory.name(port, &contact.uri);
                    account.local = Arc::new(Local { contact, ..(*account.local).clone() });
                }
            }
            let call_id = binding.call_id.reveal();
            if !call_id.is_empty()
                && call_id.len() <= CALL_ID_MAX
                && call_id.bytes().all(|b| b.is_ascii_graphic())
            {
                account.call_id.clone_from(call_id);
            }
            within = Duration::from_secs(u64::from(binding.granted)) + LINGER;
            cseq = binding.cseq.saturating_add(CSEQ_LEAP.saturating_mul(leaps));
        }
        self.registration_input(now, port, Input::TakeOver { within, cseq });
    }

    /// [`super::Command::Verify`]: what the node before sent late may have taken a binding back.
    pub(super) fn verify(&mut self, now: Instant) {
        for index in 0..self.accounts.len() {
            let port = PortId(u16::try_from(index).unwrap_or(u16::MAX));
            if self.port_claims(port) {
                self.registration_input(now, port, Input::Renew);
            }
        }
    }

    /// Whether the pace of a registrar keeps ports without a binding waiting.
    pub fn holds_unbound_back(&self) -> bool {
        self.pacing.iter().any(Pacing::holds_unbound_back)
    }

    /// The binding of a port, for the node that may have to take its place.
    pub fn binding(&self, port: PortId) -> Option<Binding> {
        let account = self.account(port)?;
        let RegistrationState::Registered { expires, .. } = account.registration.reported() else {
            return None;
        };
        Some(Binding {
            port,
            contact: account.local.contact.to_string().into(),
            granted: expires,
            call_id: account.call_id.clone().into(),
            cseq: account.registration.cseq(),
            epoch: self.epoch.unwrap_or_default(),
        })
    }

    /// The Contacts of a REGISTER: ours, and one that is to go.
    pub(super) fn register_contacts(&self, port: PortId, expires: u32) -> Vec<NameAddr> {
        let Some(account) = self.account(port) else { return Vec::new() };
        let mut contacts = vec![account.local.contact.clone()];
        if let Some(old) = account.before.contact.clone().filter(|_| account.before.remove) {
            let mut old = NameAddr::new(old);
            old.params.set("expires", "0");
            contacts[0].params.set("expires", expires.to_string());
            contacts.push(old);
        }
        contacts
    }

    /// Whose bindings a 200 lists beside ours, where nodes are told apart by epochs.
    pub(super) fn compare_epochs(
        &mut self,
        port: PortId,
        response: &Response,
        answer: &mut Answer,
    ) {
        let granted = (200..300).contains(&answer.status);
        let Some(epoch) = self.epoch.filter(|_| granted && self.port_claims(port)) else { return };
        let Some(account) = self.account_mut(port) else { return };
        let list = response.headers.contacts().map(|c| c.list().to_vec()).unwrap_or_default();
        let ours = &account.local.contact.uri;
        let foreign = || list.iter().map(|c| &c.uri).filter(|uri| !same_contact(ours, uri));
        let highest = foreign().filter_map(epoch_of).max();
        if let Some(higher) = highest.filter(|&theirs| theirs > epoch) {
            return self.event(Event::Outranked { epoch: higher });
        }
        let old = account.before.contact.clone();
        let is_old = |uri: &Uri| old.as_ref().is_some_and(|old| same_contact(old, uri));
        let removable = foreign().any(is_old) && answer.contacts == Contacts::Shared;
        let before = &mut account.before;
        before.remove = removable && before.removals < REMOVALS_MAX;
        before.removals = before.removals.saturating_add(u8::from(before.remove));
        answer.repair = match answer.contacts {
            Contacts::Shared if before.remove && foreign().all(is_old) => Some(Repair::Always),
            Contacts::Foreign if foreign().all(|uri| is_old(uri) || epoch_of(uri).is_some()) => {
                Some(Repair::Always)
            }
            Contacts::Foreign => Some(Repair::Bounded),
            Contacts::Ours | Contacts::Shared => None,
        };
    }
}

/// Whether a Contact of the other node is at the address that both have in turn.
fn is_of(theirs: &Uri, ours: &Uri) -> bool {
    theirs.host.same(&ours.host) && theirs.port == ours.port && theirs.user_text().is_some()
}

fn epoch_of(uri: &Uri) -> Option<Epoch> {
    uri.param(EPOCH_PARAM)?.parse().ok().map(Epoch)
}
