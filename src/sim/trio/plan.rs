//! The plan of a seed: who calls when, and about twenty faults.
//!
//! 0-11 s: calls and faults. At 11.5 s everything is healed, at 16.5 s one node must serve
//! everything, then everybody hangs up.

use super::action::{Action, Harm, Part};
use super::site::{A, B, PORTS, W};
use crate::ha::role::Order;
use crate::ids::{NodeId, PortId};
use crate::sim::links::{Dice, Weather};
use crate::sim::pbx::Manner;
use crate::timers::{Duration, Instant};

/// Something done at a time.
pub type Deed = (Instant, Action);

/// When every fault ends.
pub const HEALED_AT: u64 = 11_500;
/// When one node must serve everything.
pub const SETTLED_AT: u64 = 16_500;

/// What whoever orders a promotion by force attests.
pub const HALTED: &str = "the other one is halted";

/// Nothing new is begun after this.
const LAST_DEED: u32 = 11_000;

/// Faults are drawn until there are so many.
const FAULTS: u32 = 20;

/// Whatever stops between an input and what comes of it has its next input by then, in ms.
const MIDWAY_WITHIN: u64 = 100;

/// What stands against a restart of a process.
const BACK_MAX: u32 = 2_500;

struct Plan<'a> {
    dice: &'a mut Dice,
    deeds: Vec<Deed>,
    /// No fault before this.
    first: u32,
}

/// How the PBX of a seed behaves.
pub fn manner(dice: &mut Dice) -> Manner {
    Manner {
        expires_max: [10, 40, 120][dice.below(3) as usize],
        qop: dice.chance(500),
        digest: dice.chance(900),
        nonce_life: Duration::from_secs([1, 5, 60][dice.below(3) as usize]),
        first_stays: false,
    }
}

/// The plan that the dice give.
pub fn draw(dice: &mut Dice, vm: bool) -> Vec<Deed> {
    // Voters are silent for a lease after their start.
    let mut plan = Plan { dice, deeds: Vec::new(), first: if vm { 3_500 } else { 1_500 } };
    (0..PORTS).for_each(|port| plan.line(PortId(port)));
    for _ in 0..5 {
        let (ms, node) = (plan.ms(), plan.data());
        plan.add(ms, Action::Agent { node });
    }
    (0..FAULTS).for_each(|_| plan.fault());
    plan.deeds.sort_by_key(|(at, _)| *at);
    plan.deeds
}

impl Plan<'_> {
    fn add(&mut self, ms: u32, action: Action) {
        self.deeds.push((Instant::ZERO + Duration::from_millis(ms.into()), action));
    }

    fn span(&mut self, from: u32, to: u32, action: impl Fn(bool) -> Action) {
        self.add(from, action(true));
        self.add(to, action(false));
    }

    fn below(&mut self, end: u32) -> u32 {
        self.dice.below(end)
    }

    fn ms(&mut self) -> u32 {
        self.first + self.below(LAST_DEED - self.first)
    }

    fn time(&mut self, least: u32, most: u32) -> Duration {
        Duration::from_millis(u64::from(least + self.below(most - least)))
    }

    fn data(&mut self) -> usize {
        if self.dice.chance(600) { A } else { B }
    }

    fn node(&mut self) -> usize {
        match self.below(10) {
            0..5 => A,
            5..8 => B,
            _ => W,
        }
    }

    /// One caller after another at one port.
    fn line(&mut self, port: PortId) {
        let mut ms = self.first - 300 + self.below(1_500);
        while ms < LAST_DEED {
            let delayed_offer = self.dice.chance(150);
            self.add(ms, Action::Call { port, delayed_offer });
            let end = ms + 1_500 + self.below(9_000);
            self.keys(port, ms + 400, end.min(LAST_DEED));
            if self.dice.chance(150) {
                let from = ms + self.below(end - ms);
                let to = from + 100 + self.below(2_000);
                self.span(from, to, |on| Action::Hold { port, on });
            }
            if end < LAST_DEED {
                self.add(end, Action::HangUp { port });
            }
            ms = end + 200 + self.below(1_000);
        }
    }

    fn keys(&mut self, port: PortId, from: u32, to: u32) {
        let mut ms = from + self.below(1_200);
        while ms < to {
            let count = 1 + self.below(3);
            let key = |dice: &mut Dice| b"0123456789*#"[dice.below(12) as usize] as char;
            let keys = (0..count).map(|_| key(self.dice)).collect();
            self.add(ms, Action::Press { port, keys });
            ms += count * 200 + 50 + self.below(2_000);
        }
    }

    fn fault(&mut self) {
        let ms = self.ms();
        let last = ms + self.lasting();
        match self.below(100) {
            0..12 => self.process(ms),
            12..18 => {
                let (node, back) = (self.node(), self.time(100, BACK_MAX));
                self.add(ms, Action::PowerLoss { node, back });
            }
            18..21 => self.both(ms),
            21..37 => self.stop(ms),
            37..54 => self.cut(ms, last),
            54..66 => self.at_the_pbx(ms, last),
            66..74 => self.disk(ms, last),
            74..88 => self.order(ms),
            _ => self.client(ms, last),
        }
    }

    /// Most faults are short, some outlast every patience.
    fn lasting(&mut self) -> u32 {
        match self.below(4) {
            0 => 30 + self.below(220),
            1 => 200 + self.below(600),
            2 => 400 + self.below(1_600),
            _ => 1_000 + self.below(4_000),
        }
    }

    fn process(&mut self, ms: u32) {
        let (node, back) = (self.node(), self.time(100, BACK_MAX));
        let supervised = self.dice.chance(600);
        self.add(ms, Action::Crash { node, supervised, back });
    }

    fn both(&mut self, ms: u32) {
        for node in [A, B] {
            let (back, supervised) = (self.time(100, BACK_MAX), self.dice.chance(500));
            self.add(ms, Action::Crash { node, supervised, back });
        }
    }

    fn stop(&mut self, ms: u32) {
        let part = Part::ALL[self.below(4) as usize];
        let (node, most) = (self.node(), self.lasting().max(50));
        // Whoever is woken before its time finds what waited for it behind what came later.
        let left = Duration::from_millis(HEALED_AT - MIDWAY_WITHIN - u64::from(ms));
        let time = self.time(20, most).min(left);
        self.add(ms, Action::Stop { node, part, time });
    }

    fn cut(&mut self, ms: u32, last: u32) {
        match self.below(10) {
            0..3 => self.span(ms, last, |on| Action::Cut { from: A, to: B, on }),
            3..5 => {
                self.span(ms, last, |on| Action::Cut { from: A, to: B, on });
                self.span(ms, last, |on| Action::Cut { from: B, to: A, on });
            }
            5 => {
                let (from, to) = if self.dice.chance(500) { (A, W) } else { (W, A) };
                self.span(ms, last, |on| Action::Cut { from, to, on });
            }
            6..9 => {
                let node = self.node();
                self.span(ms, last, |on| Action::CutOff { node, on });
            }
            _ => {
                let (pair, slow) = (self.below(3) as usize, self.time(5, 300));
                let by = |on| if on { slow } else { Duration::ZERO };
                self.span(ms, last, |on| Action::SlowLink { pair, by: by(on) });
            }
        }
    }

    fn at_the_pbx(&mut self, ms: u32, last: u32) {
        let node = self.data();
        match self.below(10) {
            0..3 => self.span(ms, last, |on| Action::CutPbx { node, on }),
            3..7 => {
                let sky = self.sky();
                let weather = |on| if on { sky } else { Weather::FAIR };
                self.span(ms, last, |on| Action::Sip { node, weather: weather(on) });
            }
            7 | 8 => self.add(ms, Action::PbxForgets),
            _ => {
                let status = [403, 500, 503][self.below(3) as usize];
                self.span(ms, last, |on| Action::PbxRefuses(on.then_some(status)));
            }
        }
    }

    /// Datagrams are lost, doubled, overtaken; some come after a whole lease.
    fn sky(&mut self) -> Weather {
        let jitter = if self.dice.chance(300) { 1_500 } else { 60 };
        Weather {
            loss: 1 + self.below(300),
            double: self.below(200),
            jitter: self.time(1, jitter),
            ..Weather::FAIR
        }
    }

    fn disk(&mut self, ms: u32, last: u32) {
        let node = self.node();
        if self.dice.chance(250) {
            return self.add(ms, Action::DiskFails { node });
        }
        let slow = self.time(10, 600);
        let by = |on| if on { slow } else { Duration::ZERO };
        self.span(ms, last, |on| Action::SlowDisk { node, by: by(on) });
    }

    fn order(&mut self, ms: u32) {
        let (node, to) = (self.data(), NodeId(self.below(2) as u8));
        let order = match self.below(20) {
            0..9 => Order::Switchover { to, forced: self.dice.chance(200) },
            9..12 => Order::Promote { node: to, forced: None },
            12 | 13 => Order::Release,
            14 | 15 => Order::Rejoin,
            16 | 17 => Order::Pause,
            18 => Order::Resume,
            _ if self.dice.chance(300) => {
                Order::Promote { node: to, forced: Some(HALTED.to_owned()) }
            }
            _ => Order::Resume,
        };
        self.add(ms, Action::Order { node, order });
    }

    fn client(&mut self, ms: u32, last: u32) {
        let client = self.below(2) as usize;
        let harm = [Harm::Crash, Harm::Hang, Harm::Freeze][self.below(3) as usize];
        self.add(ms, Action::Client { client, harm });
        if harm != Harm::Crash {
            self.add(last, Action::Client { client, harm: Harm::Heal });
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng;

    use super::*;
    use crate::ids::Rng;

    #[test]
    fn a_plan_has_about_twenty_faults_and_calls_at_every_port() {
        for seed in 0..100 {
            let plan = draw(&mut Dice::new(Rng::seed_from_u64(seed)), false);
            let faults = plan.iter().filter(|(_, action)| action.is_fault()).count();
            assert!((14..=28).contains(&faults), "{faults} faults in {seed}");
            let calls = |(_, action): &&Deed| matches!(action, Action::Call { .. });
            assert!(plan.iter().filter(calls).count() >= 4);
        }
    }

    #[test]
    fn whatever_is_stopped_runs_again_before_all_is_healed() {
        let healed = Instant::ZERO + Duration::from_millis(HEALED_AT);
        for seed in 0..1_000 {
            let plan = draw(&mut Dice::new(Rng::seed_from_u64(seed)), false);
            let late = |(at, action): &&Deed| match action {
                Action::Stop { time, .. } => *at + *time >= healed,
                _ => false,
            };
            assert_eq!(plan.iter().find(late), None, "{seed}");
        }
    }
}
