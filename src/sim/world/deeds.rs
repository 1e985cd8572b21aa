//! What is done to the world, carried out.

use super::super::action::Action;
use super::super::links::Weather;
use super::super::notes::Note;
use super::super::pbx;
use super::{Event, World};
use crate::ids::{InstanceId, PortId};
use crate::node::{self, Order};
use crate::timers::Duration;

/// TCP notices after this that the other host is gone.
const USER_TIMEOUT: Duration = Duration::from_secs(3);

/// What a process that is killed has said by then arrives so long after; of several things that
/// it says at once the last may be missing.
const HALF_SAID: Duration = Duration::from_micros(150);

impl World {
    /// Does something.
    pub(super) fn act(&mut self, action: Action) {
        self.faults += u64::from(action.is_fault());
        self.note(Note::Done(action.clone()));
        match action {
            Action::Call { port, delayed_offer } => self.call(port, delayed_offer),
            Action::Press { port, keys } => self.press(port, &keys),
            Action::HangUp { port } => self.at_line(port, |line| pbx::Input::HangUp { line }),
            Action::Hold { port, on } => self.at_line(port, |line| pbx::Input::Hold { line, on }),
            Action::Info { port, key } => self.at_line(port, |line| pbx::Input::Info { line, key }),
            Action::Start { kind, pongs } => self.start(kind, pongs),
            Action::StallNode { time } => self.stall_node(time),
            Action::Sip(weather) => self.set_sip(weather),
            Action::Rtp(weather) => self.rtp.weather = weather,
            Action::PbxForgets => self.pbx.forget_registrations(),
            Action::PbxRefuses(status) => self.pbx.refuse_registrations(status),
            Action::BindsFail(permille) => self.binds_fail = permille,
            Action::DrainInstance { instance, on } => {
                self.order(Order::DrainInstance { instance, on });
            }
            Action::DrainNode { on } => self.order(Order::DrainNode { on }),
            Action::Rebind { port } => self.order(Order::Rebind { port }),
            Action::Freeze { instance, .. }
            | Action::Kill { instance }
            | Action::Cut { instance }
            | Action::Livelock { instance, .. }
            | Action::Slow { instance, .. }
            | Action::Stall { instance, .. } => self.harm(instance, &action),
        }
    }

    fn set_sip(&mut self, weather: Weather) {
        (self.sip_to_node.weather, self.sip_to_pbx.weather) = (weather, weather);
    }

    fn order(&mut self, order: Order) {
        self.tell_node(node::Input::Order(order));
    }

    fn at_line(&mut self, port: PortId, input: impl FnOnce(pbx::LineId) -> pbx::Input) {
        if let Some(line) = self.line_at(port) {
            self.tell_pbx(input(line));
        }
    }

    fn harm(&mut self, id: InstanceId, action: &Action) {
        let now = self.now;
        let Some(process) = self.process(id).filter(|process| process.is_alive()) else { return };
        match *action {
            Action::Freeze { on, .. } => process.freeze(now, on),
            Action::Livelock { on, .. } => process.livelock(now, on),
            Action::Slow { think, .. } => process.slow_down(now, think),
            Action::Stall { time, .. } => process.stand_still(now, now + time),
            Action::Kill { .. } => {
                process.kill(now);
                process.silent_from = Some(now + HALF_SAID);
                self.ends_after(id, Duration::ZERO);
            }
            _ => {
                process.stand_still(now, now + USER_TIMEOUT);
                process.kill(now);
                self.ends_after(id, USER_TIMEOUT);
            }
        }
        self.perform_process(id);
    }

    /// Behind everything that is on its way already.
    fn ends_after(&mut self, id: InstanceId, time: Duration) {
        let Some(index) = usize::try_from(id.0).ok().and_then(|id| id.checked_sub(1)) else {
            return;
        };
        let Some(process) = self.processes.get_mut(index) else { return };
        let at = process.up.arrival(self.now, &mut self.dice) + time;
        self.queue.push(at, Event::Closed(id));
    }

    /// Every fault ends, and a fresh process of each kind comes.
    pub fn heal(&mut self) {
        for n in 1..=self.processes.len() as u64 {
            let instance = InstanceId(n);
            for action in [
                Action::Freeze { instance, on: false },
                Action::Livelock { instance, on: false },
                Action::Slow { instance, think: None },
            ] {
                self.harm(instance, &action);
            }
            self.order(Order::DrainInstance { instance, on: false });
        }
        self.order(Order::DrainNode { on: false });
        self.set_sip(Weather::FAIR);
        self.rtp.weather = Weather::FAIR;
        self.binds_fail = 0;
        self.pbx.refuse_registrations(None);
        let ports: Vec<PortId> = self.callers.values().map(|caller| caller.port).collect();
        for port in ports {
            self.at_line(port, |line| pbx::Input::Hold { line, on: false });
        }
    }

    /// Every caller hangs up.
    pub fn everybody_hangs_up(&mut self) {
        let ports: Vec<PortId> = self.callers.values().map(|caller| caller.port).collect();
        for port in ports {
            self.at_line(port, |line| pbx::Input::HangUp { line });
        }
    }
}
