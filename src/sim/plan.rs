//! The plan of a seed: who calls when, and about twenty faults. All of it is drawn before the
//! world begins, so that a change of the node changes nothing of what is done to it.
//!
//! 0-11 s: calls and faults. At 11.5 s everything is healed, at 16.5 s the world must have settled,
//! then everybody hangs up, at 19 s nothing may be left and the node is stopped in order.

use super::action::Action;
use super::links::{Dice, Weather};
use super::pbx::Manner;
use super::process::{Kind, Pongs};
use crate::ids::{InstanceId, PortId};
use crate::timers::{Duration, Instant};

/// Something done at a time.
pub type Deed = (Instant, Action);

/// Nothing new is begun after this.
const LAST_DEED: u32 = 11_000;

/// No fault is done before this.
const FIRST_FAULT: u32 = 700;

/// Calls at once.
const LINES_MAX: u32 = 8;

/// Faults are drawn until there are so many.
const FAULTS: u32 = 20;

/// Processes that one run may start.
const PROCESSES_MAX: u64 = 12;

/// Draws what happens.
#[derive(Debug)]
pub struct Plan<'a> {
    dice: &'a mut Dice,
    deeds: Vec<Deed>,
    processes: u64,
    ports: Vec<PortId>,
}

fn at(ms: u32) -> Instant {
    Instant::ZERO + Duration::from_millis(ms.into())
}

/// How the PBX of a seed behaves.
pub fn manner(dice: &mut Dice) -> Manner {
    Manner {
        expires_max: [40, 60, 120][dice.below(3) as usize],
        qop: dice.chance(500),
        digest: dice.chance(900),
        nonce_life: Duration::from_secs([1, 5, 60][dice.below(3) as usize]),
        first_stays: false,
    }
}

/// The plan that the dice give.
pub fn draw(dice: &mut Dice) -> Vec<Deed> {
    let mut plan = Plan { dice, deeds: Vec::new(), processes: 0, ports: Vec::new() };
    plan.begin();
    let lines = 3 + plan.dice.below(LINES_MAX - 2);
    for _ in 0..lines {
        plan.line();
    }
    for _ in 0..FAULTS {
        plan.fault();
    }
    // Stable: what was drawn first is done first among equals. A process that is started is
    // numbered when it is, so its numbers follow the time.
    plan.deeds.sort_by_key(|(at, _)| *at);
    plan.deeds
}

impl Plan<'_> {
    fn add(&mut self, ms: u32, action: Action) {
        self.deeds.push((at(ms), action));
    }

    fn pongs(&mut self) -> Pongs {
        match self.dice.below(10) {
            0..7 => Pongs::AtOnce,
            7 | 8 => Pongs::InTurn,
            _ => Pongs::Never,
        }
    }

    fn start(&mut self, ms: u32, kind: Kind) {
        if self.processes < PROCESSES_MAX {
            self.processes += 1;
            let pongs = self.pongs();
            self.add(ms, Action::Start { kind, pongs });
        }
    }

    fn begin(&mut self) {
        let (main, basic) = (1 + self.dice.below(3), 1 + self.dice.below(2));
        for n in 0..main + basic {
            let ms = self.dice.below(300);
            self.start(ms, if n < main { Kind::Main } else { Kind::Basic });
        }
    }

    fn port(&mut self) -> PortId {
        loop {
            let port = match self.dice.below(10) {
                0..6 => self.dice.below(48),
                6 | 7 => 48 + self.dice.below(16),
                8 => 64 + self.dice.below(16),
                _ => 80 + self.dice.below(8),
            };
            let port = PortId(u16::try_from(port).unwrap_or_default());
            if !self.ports.contains(&port) {
                self.ports.push(port);
                return port;
            }
        }
    }

    /// One caller after another at one port.
    fn line(&mut self) {
        let port = self.port();
        let mut ms = 500 + self.dice.below(2_500);
        while ms < LAST_DEED {
            let delayed_offer = self.dice.chance(150);
            self.add(ms, Action::Call { port, delayed_offer });
            let end = ms + 1_000 + self.dice.below(9_000);
            self.keys(port, ms + 300, end.min(LAST_DEED));
            if self.dice.chance(150) {
                let from = ms + self.dice.below(end - ms);
                self.add(from, Action::Hold { port, on: true });
                let to = from + 100 + self.dice.below(2_000);
                self.add(to, Action::Hold { port, on: false });
            }
            if end < LAST_DEED {
                self.add(end, Action::HangUp { port });
            }
            ms = end + 200 + self.dice.below(1_500);
        }
    }

    fn keys(&mut self, port: PortId, from: u32, to: u32) {
        let mut ms = from + self.dice.below(1_500);
        while ms < to {
            let count = 1 + self.dice.below(4);
            let keys: String = (0..count).map(|_| self.key()).collect();
            if self.dice.chance(100) {
                let key = self.key();
                self.add(ms, Action::Info { port, key });
            } else {
                self.add(ms, Action::Press { port, keys });
            }
            ms += count * 200 + 50 + self.dice.below(2_500);
        }
    }

    /// Most are digits; A to D make the application transfer, move, leave and hang up.
    fn key(&mut self) -> char {
        let special = self.dice.chance(30);
        let of: &[char] = if special {
            &['A', 'B', 'C', 'D']
        } else {
            &['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '#']
        };
        of[self.dice.below(of.len() as u32) as usize]
    }

    fn instance(&mut self) -> InstanceId {
        let known = u32::try_from(self.processes).unwrap_or(1).max(1);
        InstanceId(u64::from(1 + self.dice.below(known)))
    }

    fn fault(&mut self) {
        let ms = FIRST_FAULT + self.dice.below(LAST_DEED - FIRST_FAULT);
        let last = ms + self.lasting();
        let instance = self.instance();
        match self.dice.below(100) {
            0..22 => self.span(ms, last, |on| Action::Freeze { instance, on }),
            22..30 => {
                let ms = self.when_it_matters(ms);
                self.killed(ms, instance, Action::Kill { instance });
            }
            30..34 => self.killed(ms, instance, Action::Cut { instance }),
            34..42 => self.span(ms, last, |on| Action::Livelock { instance, on }),
            42..48 => {
                let think = Duration::from_millis(u64::from(5 + self.dice.below(400)));
                self.span(ms, last, |on| Action::Slow { instance, think: on.then_some(think) });
            }
            48..55 => {
                // What is under way when all is healed cannot be called off.
                let time = Duration::from_millis(HEALED_AT.min(last.into()) - u64::from(ms));
                self.add(ms, Action::Stall { instance, time });
            }
            55..61 => {
                let time = Duration::from_millis(u64::from(20 + self.dice.below(900)));
                self.add(ms, Action::StallNode { time });
            }
            61..67 => {
                let sky = self.sky(400);
                self.span(ms, last, |on| Action::Sip(if on { sky } else { Weather::FAIR }));
            }
            67..73 => {
                let sky = self.sky(300);
                self.span(ms, last, |on| Action::Rtp(if on { sky } else { Weather::FAIR }));
            }
            73..76 => self.add(ms, Action::PbxForgets),
            76..79 => {
                let status = [403, 500, 503][self.dice.below(3) as usize];
                self.span(ms, last, |on| Action::PbxRefuses(on.then_some(status)));
            }
            79..83 => {
                let permille = 200 + self.dice.below(700);
                self.span(ms, last, |on| Action::BindsFail(if on { permille } else { 0 }));
            }
            83..88 => self.span(ms, last, |on| Action::DrainInstance { instance, on }),
            88..90 => self.span(ms, last, |on| Action::DrainNode { on }),
            _ => {
                let place = self.dice.below(self.ports.len() as u32) as usize;
                let port = self.ports[place];
                self.add(ms, Action::Rebind { port });
            }
        }
    }

    /// Half of the processes that die do so while they handle a key.
    fn when_it_matters(&mut self, ms: u32) -> u32 {
        let pressed = |(at, action): &Deed| match action {
            Action::Press { .. } => u32::try_from(at.as_nanos() / 1_000_000).ok(),
            _ => None,
        };
        let presses: Vec<u32> = self.deeds.iter().filter_map(pressed).collect();
        if presses.is_empty() || self.dice.chance(500) {
            return ms;
        }
        let place = self.dice.below(presses.len() as u32) as usize;
        presses[place] + self.dice.below(6)
    }

    /// Most faults are short, some outlast every patience.
    fn lasting(&mut self) -> u32 {
        match self.dice.below(4) {
            0 => 30 + self.dice.below(220),
            1 => 200 + self.dice.below(400),
            2 => 400 + self.dice.below(1_600),
            _ => 1_000 + self.dice.below(6_000),
        }
    }

    fn span(&mut self, from: u32, to: u32, action: impl Fn(bool) -> Action) {
        self.add(from, action(true));
        self.add(to, action(false));
    }

    /// Most processes that die are started anew.
    fn killed(&mut self, ms: u32, instance: InstanceId, action: Action) {
        self.add(ms, action);
        if self.dice.chance(800) {
            let again = ms + 50 + self.dice.below(2_000);
            // The numbers follow the plan's order only roughly: any will do.
            let kind = if instance.0.is_multiple_of(2) { Kind::Basic } else { Kind::Main };
            self.start(again, kind);
        }
    }

    fn sky(&mut self, loss_max: u32) -> Weather {
        Weather {
            loss: 1 + self.dice.below(loss_max),
            double: self.dice.below(200),
            jitter: Duration::from_millis(u64::from(1 + self.dice.below(60))),
            ..Weather::FAIR
        }
    }
}

/// The fresh processes that come when everything is healed.
pub fn relief() -> [Action; 2] {
    [Kind::Main, Kind::Basic].map(|kind| Action::Start { kind, pongs: Pongs::AtOnce })
}

/// Times of a run: before the first fault.
pub const REGISTERED_AT: u64 = 650;
/// When every fault ends.
pub const HEALED_AT: u64 = 11_500;
/// When calls must have settled.
pub const SETTLED_AT: u64 = 16_500;
/// When nothing may be left of any call, and the node is stopped.
pub const EMPTY_AT: u64 = 19_000;
/// When it must have stopped, and no port be registered.
pub const END_AT: u64 = 20_000;

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng;

    use super::*;
    use crate::ids::Rng;
    use crate::sim::site;

    fn plan(seed: u64) -> Vec<Deed> {
        draw(&mut Dice::new(Rng::seed_from_u64(seed)))
    }

    #[test]
    fn a_plan_has_about_twenty_faults_and_at_most_eight_lines() {
        for seed in 0..100 {
            let plan = plan(seed);
            let faults = plan.iter().filter(|(_, action)| action.is_fault()).count();
            assert!((18..=26).contains(&faults), "{faults} faults in {seed}");
            let mut ports: Vec<_> = plan
                .iter()
                .filter_map(|(_, action)| match action {
                    Action::Call { port, .. } => Some(port.0),
                    _ => None,
                })
                .collect();
            ports.sort_unstable();
            ports.dedup();
            assert!(ports.len() <= LINES_MAX as usize, "{ports:?}");
            assert!(ports.iter().all(|port| *port < site::PORTS));
        }
    }
}
