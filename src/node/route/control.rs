//! The control extension: its calls go to the menu, and what the menu wants is done here.
//!
//! A call of it is a call like any other to the endpoint and to the media port, and none to the
//! pool, to applications and to the other node: every node has a control extension of its own, and
//! it answers whatever the node's role is.

use crate::codecs::Digit;
use crate::ha::proof;
use crate::ha::role::{self, Answer};
use crate::ids::{CallId, MediaId, PortId, RequestId};
use crate::ivr;
use crate::media::{self, DigitSet};
use crate::menu::{
    self, Alarm, AlertInput, Caller, Entry, Heard, Menu, Promotion, Proposal, judge,
};
use crate::node::call::{Call, Leg};
use crate::node::control::{Control, Controls, Purpose};
use crate::node::route::refusal::{drilled, refusal};
use crate::node::{Asked, Node, Output, RoleOrder};
use crate::redact::Redacted;
use crate::sip;
use crate::store::{Action, Audit, Body, Who};
use crate::timers::{Duration, Instant, earliest};

/// A forced promotion waits for a second agent so long.
const PROPOSAL_MAX: Duration = Duration::from_secs(300);
/// Digits of a number from which on it is one of the outside.
const OUTSIDE_DIGITS: usize = 8;

/// Callers who may not call are written down once in this time.
const UNWELCOME_EVERY: Duration = Duration::from_secs(60);

/// Any key stops a speech.
const ANY_KEY: DigitSet = DigitSet(u16::MAX);

impl Node {
    /// Somebody calls the control extension.
    pub(super) fn control_call(&mut self, now: Instant, incoming: sip::Incoming) {
        let sip::Incoming { call, caller, called, .. } = incoming;
        let welcome = self.member.is_some() && self.may_call_control(caller.number.reveal());
        if !welcome {
            self.unwelcome(now, caller.number);
            // 480 lets the PBX go on to another node's control extension.
            return self.sip_command(now, sip::Command::Refuse { call, status: 480 });
        }
        let line = self.free_line().filter(|_| self.phase.takes_calls());
        let opened = line.and_then(|line| Some((line, self.open_udp_port(now, call, line)?)));
        let Some((line, udp_port)) = opened else {
            return self.sip_command(now, sip::Command::Refuse { call, status: 486 });
        };
        let mut entry = Call::new(call, line, udp_port, Leg::Inbound, now);
        (entry.caller, entry.called) = (caller, called);
        self.admit(entry);
        self.admit_menu(call, Purpose::Menu(Entry::Called), None);
        self.answer(now, call);
    }

    /// Somebody calls who may not. Once a minute in the records, whoever it is.
    fn unwelcome(&mut self, now: Instant, extension: Redacted<String>) {
        if self.controls.unwelcome_until.is_some_and(|until| now < until) {
            return;
        }
        self.controls.unwelcome_until = Some(now + UNWELCOME_EVERY);
        let who = Who::Agent { number: String::new(), extension };
        let result = Err("the caller is not one of control.callers".to_owned());
        self.append(now, Body::Audit(Audit { who, action: Action::Call, result }));
    }

    /// A line of the control extension that has no call.
    pub(super) fn free_line(&self) -> Option<PortId> {
        self.config.control_lines().find(|&line| self.call_of(line).is_none())
    }

    pub(super) fn admit_menu(&mut self, call: CallId, purpose: Purpose, person: Option<usize>) {
        let two_person = self.config.control.as_ref().is_some_and(|control| control.two_person);
        let rng = crate::ids::fork(&mut self.rng);
        let menu = match purpose {
            Purpose::Menu(_) => Some(Menu::new(menu::Config { two_person }, rng)),
            Purpose::RestartMessage => None,
        };
        let test_keys = (purpose == Purpose::Menu(Entry::Called)).then_some(0);
        let (says, began, keyed) = (None, false, false);
        let control = Control { menu, purpose, says, person, began, keyed, test_keys };
        self.controls.calls.insert(call, control);
    }

    /// Whether the configuration lets this number call. A number is a hint and no proof: the PIN
    /// is asked all the same.
    pub(in crate::node) fn may_call_control(&self, number: &str) -> bool {
        let Some(control) = &self.config.control else { return false };
        control.callers.is_empty()
            || control.callers.iter().any(|p| ivr::matches(p, number))
            || self.config.is_control_of_peer(number)
    }

    // ---- What happens in a call ----------------------------------------------------------------

    /// Whether a call is one of the control extension or of the sentinel, and none of the pool.
    pub(super) fn is_control_call(&self, call: CallId) -> bool {
        self.controls.calls.contains_key(&call) || self.is_proof(call)
    }

    /// It is up.
    pub(super) fn control_established(&mut self, now: Instant, call: CallId) {
        if self.is_proof(call) {
            return self.proof_input(now, call, proof::Input::Up);
        }
        let caller = self.control_caller(call);
        let evidence = self.evidence(now);
        let Some(control) = self.controls.calls.get_mut(&call) else { return };
        if std::mem::replace(&mut control.began, true) {
            return;
        }
        let (purpose, person) = (control.purpose.clone(), control.person);
        match (purpose, &mut control.menu) {
            (Purpose::Menu(entry), Some(menu)) => {
                menu.handle_input(now, menu::Input::Evidence(evidence));
                menu.handle_input(now, menu::Input::Began { entry, caller });
            }
            _ => self.speak(now, call, 0, &menu::restart_message()),
        }
        if let Some(person) = person {
            self.alert(now, AlertInput::Answered { person });
        }
        self.pump_control(now, call);
    }

    fn control_caller(&self, call: CallId) -> Caller {
        let Some(entry) = self.calls.get(&call) else { return Caller::default() };
        let extension = entry.party().number.clone();
        let trunk = is_outside(extension.reveal());
        Caller { extension, trunk, placed: entry.outbound }
    }

    /// A key was pressed in a call of the control extension.
    pub(super) fn control_digit(&mut self, now: Instant, call: CallId, key: Digit, heard: Heard) {
        if self.is_proof(call) {
            return self.proof_digit(now, call, key, heard);
        }
        if heard != Heard::Tone && self.begins_test(call, key) {
            return self.answer_test(now, call);
        }
        self.menu_input(now, call, menu::Input::Digit { key: Redacted::new(key), heard });
        let Some(control) = self.controls.calls.get_mut(&call) else { return };
        if heard == Heard::Tone {
            return;
        }
        control.keyed = true;
        if let Some(person) = control.person {
            self.alert(now, AlertInput::Acknowledged { person });
        }
    }

    /// Something that it played is over.
    pub(super) fn control_played(&mut self, now: Instant, call: CallId, id: MediaId) {
        let Some(control) = self.controls.calls.get_mut(&call) else { return };
        let message = control.menu.is_none();
        if let Some((speech, _)) = control.says.take_if(|(_, said)| *said == id) {
            if message {
                return self.hang_up(now, call, Some(16));
            }
            self.menu_input(now, call, menu::Input::Said { speech });
        }
    }

    /// Somebody else may be on the line.
    pub(super) fn control_changed(&mut self, now: Instant, call: CallId) {
        let caller = self.control_caller(call);
        if self.controls.calls.get(&call).is_some_and(|control| control.began) {
            self.menu_input(now, call, menu::Input::Changed { caller });
        }
    }

    /// The call is over.
    pub(super) fn control_ended(&mut self, now: Instant, call: CallId) {
        self.menu_input(now, call, menu::Input::Ended);
        let Some(control) = self.controls.calls.remove(&call) else { return };
        if let Some(person) = control.person {
            self.alert(now, AlertInput::Ended { person });
        }
        self.place_waiting(now);
    }

    fn menu_input(&mut self, now: Instant, call: CallId, input: menu::Input) {
        let control = self.controls.calls.get_mut(&call);
        if let Some(menu) = control.and_then(|control| control.menu.as_mut()) {
            menu.handle_input(now, input);
            self.pump_control(now, call);
        }
    }

    /// Deadlines of menus and alert calls.
    pub(in crate::node) fn control_due(&mut self, now: Instant) {
        let due = |control: &Control| {
            control.menu.as_ref().and_then(Menu::poll_timeout).is_some_and(|at| at <= now)
        };
        let calls: Vec<CallId> = self
            .controls
            .calls
            .iter()
            .filter(|(_, control)| due(control))
            .map(|(call, _)| *call)
            .collect();
        for call in calls {
            let control = self.controls.calls.get_mut(&call);
            if let Some(menu) = control.and_then(|control| control.menu.as_mut()) {
                menu.handle_timeout(now);
            }
            self.pump_control(now, call);
        }
        if self.controls.stopped_until.take_if(|until| *until <= now).is_some() {
            self.ring_for(now, Alarm::PrimaryStopped);
        }
        self.controls.alerts.handle_timeout(now);
        self.pump_alerts(now);
    }

    pub(in crate::node) fn control_timeout(&self) -> Option<Instant> {
        let menus =
            self.controls.calls.values().filter_map(|c| c.menu.as_ref()?.poll_timeout()).min();
        earliest([menus, self.controls.alerts.poll_timeout(), self.controls.stopped_until])
    }

    /// The other calls hear how the cluster stands, and how far a promotion is.
    pub(in crate::node) fn tell_menus(&mut self, now: Instant) {
        if self.controls.calls.is_empty() {
            return;
        }
        let evidence = self.evidence(now);
        let (ports, of) = (evidence.ports_proven, evidence.ports);
        let calls: Vec<CallId> = self.controls.calls.keys().copied().collect();
        for call in calls {
            self.menu_input(now, call, menu::Input::Evidence(evidence.clone()));
            let promotes = |id| !self.role_orders.get(id).is_some_and(Asked::is_drill);
            let mut orders = self.controls.orders.iter();
            if orders.any(|(id, &waits)| waits == call && promotes(id)) {
                let progress = Promotion::Progress { ports, of };
                self.menu_input(now, call, menu::Input::Promotion(progress));
            }
        }
    }

    // ---- What the menu wants -------------------------------------------------------------------

    fn pump_control(&mut self, now: Instant, call: CallId) {
        while let Some(output) =
            self.controls.calls.get_mut(&call).and_then(|c| c.menu.as_mut()?.poll_output())
        {
            match output {
                menu::Output::Say { speech, prompts } => self.speak(now, call, speech, &prompts),
                menu::Output::CheckPin { check, number, pin } => {
                    let stored = self.agents.get(number.reveal()).map(|agent| agent.pin.clone());
                    self.checks.insert((call, check), number);
                    self.outputs.push_back(Output::CheckPin { call, check, pin, stored });
                }
                menu::Output::Order(order) => self.menu_order(now, call, order),
                menu::Output::Audit(audit) => drop(self.append(now, Body::Audit(audit))),
                menu::Output::HangUp => self.hang_up(now, call, Some(16)),
                menu::Output::CallBack { extension, number } => {
                    let purpose = Purpose::Menu(Entry::CalledBack { number });
                    self.place_control(now, extension, purpose, None);
                }
            }
        }
    }

    fn speak(&mut self, now: Instant, call: CallId, speech: u32, prompts: &menu::Speech) {
        let language = self.config.control.as_ref().map_or("en", |c| c.language.as_str());
        let pieces = self.prompts.spoken(prompts, language);
        let Some(entry) = self.calls.get_mut(&call) else { return };
        let (id, port) = (entry.own_media(), entry.port);
        entry.live.insert(id);
        let Some(control) = self.controls.calls.get_mut(&call) else { return };
        control.says = Some((speech, id));
        if pieces.is_empty() {
            return self.control_played(now, call, id);
        }
        let playback = media::Playback {
            id,
            pieces,
            parts: Vec::new(),
            offset: Duration::ZERO,
            skip: Duration::ZERO,
            repeat: false,
            barge_in: ANY_KEY,
            replace: true,
        };
        self.media(port, media::Command::Play(playback));
    }

    /// The comparison of a PIN is made; `None`: it could not be.
    pub(in crate::node) fn pin_checked(
        &mut self,
        now: Instant,
        call: CallId,
        check: u32,
        matched: Option<bool>,
    ) {
        let Some(number) = self.checks.remove(&(call, check)) else { return };
        let caller = self.control_caller(call);
        let verdict = match matched {
            Some(matched) => {
                let (number, extension) = (number.reveal(), caller.extension.reveal());
                let access = self.agents.standing(number, extension, self.unix_ms(now));
                judge(access, self.agents.get(number), &caller, matched)
            }
            None => menu::Verdict::Refused(menu::Why::Unchecked),
        };
        let evidence = self.evidence(now);
        self.menu_input(now, call, menu::Input::Evidence(evidence));
        self.menu_input(now, call, menu::Input::Checked { check, verdict });
    }

    fn menu_order(&mut self, now: Instant, call: CallId, order: menu::Order) {
        match order {
            menu::Order::Promote { candidate, forced, who } => {
                let id = self.controls.order_of(call);
                let order = role::Order::Promote { node: candidate.node, forced };
                self.controls.proposal = None;
                self.role_order(now, RoleOrder { id, who, order });
            }
            menu::Order::Propose { who } => {
                let by = who.name().to_owned();
                self.controls.proposal = Some((Proposal { by }, now + PROPOSAL_MAX));
            }
            menu::Order::Acknowledge => self.acknowledged(now),
            menu::Order::RestartMessage => self.tell_telephones(now),
            menu::Order::Drill { candidate, who } => {
                let id = self.controls.order_of(call);
                let order = role::Order::Drill { node: candidate.node };
                self.role_order(now, RoleOrder { id, who, order });
            }
        }
    }

    /// Every telephone that asked for it hears that the system restarts: once, one after the other,
    /// after whatever else waits for the extension.
    pub(super) fn tell_telephones(&mut self, now: Instant) {
        let telephones = self.config.control.as_ref().map(|control| control.telephones.clone());
        let waits = |number: &String, controls: &Controls| {
            let message = (number.clone(), Purpose::RestartMessage, None);
            controls.to_place.contains(&message)
        };
        for number in telephones.unwrap_or_default() {
            if !waits(&number, &self.controls) && !self.text_restart(now, &number) {
                self.controls.to_place.push_back((number, Purpose::RestartMessage, None));
            }
        }
        self.place_waiting(now);
    }

    /// What became of an order of a menu; whether it was one.
    pub(super) fn menu_answer(
        &mut self,
        now: Instant,
        id: RequestId,
        drill: bool,
        answer: &Answer,
    ) -> bool {
        let Some(call) = self.controls.orders.remove(&id) else { return false };
        let evidence = self.evidence(now);
        let (ports, of) = (evidence.ports_proven, evidence.ports);
        let news = match answer {
            _ if drill => drilled(answer),
            Answer::Done => Promotion::Done { ports, of },
            Answer::Refused { reasons, may_force } => refusal(reasons, *may_force),
            Answer::Unknown => Promotion::Unknown,
        };
        self.menu_input(now, call, menu::Input::Evidence(evidence));
        self.menu_input(now, call, menu::Input::Promotion(news));
        true
    }
}

/// Whether a number may be one of the outside. Where it is withheld, or is no number, the call
/// comes from anywhere.
fn is_outside(number: &str) -> bool {
    let digits = number.bytes().all(|octet| octet.is_ascii_digit());
    !digits || number.is_empty() || number.len() >= OUTSIDE_DIGITS
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_withheld_a_long_and_a_strange_number_are_of_the_outside() {
        let inside = ["2001", "0", "1234567"];
        assert!(!inside.into_iter().any(super::is_outside));
        let outside = ["", "anonymous", "+4930123", "12345678", "20a1", "\u{0662}"];
        assert!(outside.into_iter().all(super::is_outside));
    }
}
