//! The primary of a cluster is lost in one way or another, and what those notice who are in a call.
//!
//! Callers hear a tone whose pitch tells where in the prompt they are. Keys are pressed before the
//! loss and after it, in a switchover also across it. One more caller dials until the new primary
//! answers. Every instant is of the boot-time clock: the signal or the request, what the PBX
//! emulator notes, and the kernel's receive times of packets.

#[cfg(test)]
mod tests;
mod watch;

use std::collections::BTreeSet;
use std::io;

use serde::Serialize;
use serde_json::Value;

use super::cast::until;
use super::figures::Digits;
use super::node::pause;
use super::pbx::{LineReport, LineState};
use super::sound;
use super::trio::{Trio, other};
use crate::admin::distribution;
use crate::driver::clock;
use crate::sim::pbx::LineId;
use crate::timers::{Duration, Instant};

/// Keys are on their way when the loss comes, where somebody is there to hear them.
const KEYS_BEFORE: Duration = Duration::from_millis(100);

/// A key takes so long, and the prompt is heard for a while.
const SETTLE: Duration = Duration::from_millis(600);

/// A prompt's place is taken from so many packets.
const PLACED_BY: usize = 10;

/// How the primary is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// A switchover.
    Planned,
    /// All processes of its host are frozen.
    Host,
    /// SIGKILL to all processes of its host.
    Power,
    /// SIGKILL to the process of the node; its host lives.
    Process,
}

/// One promotion on stage.
pub struct Act {
    /// The node that is lost.
    pub primary: usize,
    /// The node that takes over.
    pub next: usize,
    /// The calls.
    pub lines: Vec<LineId>,
    loss: Loss,
}

/// What many promotions took.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    detect: Vec<Duration>,
    registered: Vec<Duration>,
    first_new_call: Vec<Duration>,
    fenced: Vec<Duration>,
    gaps: Vec<Duration>,
    offsets: Vec<Duration>,
    calls_lost: usize,
    calls_refused: usize,
    digits: Digits,
    /// Calls whose record was acknowledged.
    recorded: BTreeSet<String>,
    stale_claims: usize,
    acknowledged_lost: usize,
}

/// The same in the words of the JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Voice ports.
    pub ports: u32,
    /// Calls that were up.
    pub calls: u32,
    /// Promotions.
    pub runs: u32,
    /// By a switchover.
    pub planned: bool,
    /// How it was lost: `planned`, `host`, `power`, `process`.
    pub loss: &'static str,
    /// How live calls were taken over.
    pub takeover: &'static str,
    /// Loss -> the other node acts.
    pub detect_ms: Value,
    /// Loss -> the last port is bound to the other node.
    pub registered_ms: Value,
    /// Loss -> a new call is answered there.
    pub first_new_call_ms: Value,
    /// A frozen host wakes -> it says that it is not primary; looked at every 10 ms.
    pub fenced_ms: Value,
    /// The longest silence of each call.
    pub audio_gap_ms: Value,
    /// How far off the prompt goes on from where it would be by then had nothing happened.
    pub playback_offset_error_ms: Value,
    /// Calls that did not live to see the end.
    pub calls_lost: usize,
    /// New calls that were refused.
    pub calls_refused: usize,
    /// Keys that no instance took.
    pub digits_lost: usize,
    /// Keys that were taken twice.
    pub digits_doubled: usize,
    /// Keys in all.
    pub digits_sent: usize,
    /// Ports that the lost node registered when another one was primary.
    pub stale_claims: usize,
    /// Records of calls (CDRs) that were acknowledged.
    pub acknowledged: usize,
    /// Those of them that the store of the last primary lacks.
    pub acknowledged_lost: usize,
}

impl Loss {
    /// Its name in the JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Host => "host",
            Self::Power => "power",
            Self::Process => "process",
        }
    }
}

impl Act {
    /// Everybody is ready, callers are in their calls and press keys.
    pub fn begin(trio: &mut Trio, calls: u32, loss: Loss) -> io::Result<Self> {
        let primary = trio.wait_for_primary()?;
        let next = other(primary);
        trio.wait_for_backup(next)?;
        trio.staff(primary)?;
        trio.staff(next)?;
        let lines = trio.place(calls);
        trio.wait_until_served(&lines, primary)?;
        let act = Self { primary, next, lines, loss };
        act.press(trio, "47");
        pause(if loss == Loss::Planned { KEYS_BEFORE } else { SETTLE });
        trio.pbx.events.try_iter().for_each(drop);
        Ok(act)
    }

    /// The primary is lost. Returns when.
    pub fn lose(&self, trio: &mut Trio) -> io::Result<Instant> {
        let node = &mut trio.sites[self.primary].node;
        match self.loss {
            Loss::Planned => {
                let at = clock::now();
                trio.switch_over(self.primary)?;
                Ok(at)
            }
            Loss::Host => node.freeze(),
            Loss::Power => node.kill(),
            Loss::Process => node.kill_worker(),
        }
    }

    /// Watches until the other node has every port and answers, and gathers what callers noticed.
    /// Returns when the last port was bound there.
    pub fn watch(
        &self,
        trio: &mut Trio,
        lost_at: Instant,
        figures: &mut Figures,
    ) -> io::Result<Instant> {
        let seen = watch::until_served(trio, self.next, self.lines.len(), lost_at)?;
        let since = |at: Instant| at.saturating_duration_since(lost_at);
        figures.registered.push(since(seen.registered_at));
        figures.first_new_call.push(since(seen.answered_at));
        figures.detect.push(since(trio.acted_at(self.next)?));
        figures.calls_refused += seen.refused;
        pause(SETTLE);
        self.press(trio, "58");
        pause(SETTLE);
        figures.gather(trio, self, lost_at)?;
        Ok(seen.registered_at)
    }

    /// Everybody hangs up, and the lost node comes back as a backup.
    pub fn end(self, trio: &mut Trio, figures: &mut Figures) -> io::Result<()> {
        let calls = trio.sites[self.next].calls()?;
        trio.hang_up(&self.lines, self.next)?;
        trio.wait_until_recorded(self.next)?;
        let names = calls.iter().filter_map(|call| call["call"].as_str());
        figures.recorded.extend(names.map(str::to_owned));
        trio.pbx.events.try_iter().for_each(drop);
        match self.loss {
            Loss::Host => figures.fenced.push(self.wake(trio)?),
            Loss::Power => trio.sites[self.primary].restart()?,
            Loss::Planned | Loss::Process => {}
        }
        trio.wait_for_backup(self.primary)?;
        let noted: Vec<_> = trio.pbx.events.try_iter().collect();
        let stale = noted.iter().filter(|noted| trio.is_claim(noted, self.primary));
        figures.stale_claims += stale.count();
        Ok(())
    }

    /// A frozen host wakes. Returns after how long its node says that it is not primary.
    fn wake(&self, trio: &Trio) -> io::Result<Duration> {
        let site = &trio.sites[self.primary];
        let woken_at = site.node.wake()?;
        until("the woken node is primary no more", || {
            Ok(site.role().is_some_and(|role| role != "primary"))
        })?;
        Ok(clock::now().saturating_duration_since(woken_at))
    }

    fn press(&self, trio: &Trio, keys: &str) {
        self.lines.iter().for_each(|&line| trio.press(line, keys));
    }
}

impl Figures {
    fn gather(&mut self, trio: &mut Trio, act: &Act, lost_at: Instant) -> io::Result<()> {
        let report = trio.pbx.report();
        let calls = trio.sites[act.next].calls()?;
        let taken = trio.crew.digits();
        for line in act.lines.iter().filter_map(|line| report.lines.get(line)) {
            self.calls_lost += usize::from(line.state != LineState::Up);
            self.gaps.extend(longest_gap(line, lost_at));
            self.offsets.extend(offset_error(line, lost_at));
            let call = calls.iter().find(|call| call["extension"] == line.extension);
            let name = call.and_then(|call| call["call"].as_str()).unwrap_or_default();
            let received = taken.get(name).map_or("", String::as_str);
            self.digits = self.digits.plus(Digits::compare(&line.pressed, received));
        }
        Ok(())
    }

    /// Looks whether every record that was acknowledged is in the store of the primary.
    pub fn check_records(&mut self, trio: &Trio) -> io::Result<()> {
        let kept = trio.recorded_calls(trio.wait_for_primary()?)?;
        self.acknowledged_lost = self.recorded.difference(&kept).count();
        Ok(())
    }

    /// What came out of so many runs.
    pub fn outcome(&self, ports: u32, calls: u32, runs: u32, loss: Loss) -> Outcome {
        Outcome {
            ports,
            calls,
            runs,
            planned: loss == Loss::Planned,
            loss: loss.name(),
            takeover: "reinvite",
            detect_ms: distribution(&self.detect),
            registered_ms: distribution(&self.registered),
            first_new_call_ms: distribution(&self.first_new_call),
            fenced_ms: distribution(&self.fenced),
            audio_gap_ms: distribution(&self.gaps),
            playback_offset_error_ms: distribution(&self.offsets),
            calls_lost: self.calls_lost,
            calls_refused: self.calls_refused,
            digits_lost: self.digits.lost,
            digits_doubled: self.digits.doubled,
            digits_sent: self.digits.sent,
            stale_claims: self.stale_claims,
            acknowledged: self.recorded.len(),
            acknowledged_lost: self.acknowledged_lost,
        }
    }
}

impl Outcome {
    /// Every call and every key came through, each key once; every record is there; and nobody
    /// claimed a port that was another node's.
    pub fn nothing_lost(&self) -> bool {
        (self.calls_lost, self.digits_lost, self.digits_doubled) == (0, 0, 0)
            && (self.acknowledged_lost, self.stale_claims) == (0, 0)
    }

    /// A table, without a headline.
    pub fn text(&self) -> String {
        let row = |name: &str, of: &Value| {
            let number = |what: &str| of[what].as_f64().unwrap_or(f64::NAN);
            let (p50, p99, max) = (number("p50"), number("p99"), number("max"));
            format!("{name:24} {p50:9.1} {p99:9.1} {max:9.1}\n")
        };
        let mut text = "in ms                          p50       p99       max\n".to_owned();
        text += &row("the other node acts", &self.detect_ms);
        text += &row("every port registered", &self.registered_ms);
        text += &row("first new call answered", &self.first_new_call_ms);
        text += &row("audio gap of a call", &self.audio_gap_ms);
        text += &row("off in the prompt", &self.playback_offset_error_ms);
        if self.loss == Loss::Host.name() {
            text += &row("fenced after it woke", &self.fenced_ms);
        }
        text += &format!(
            "calls lost: {}; new calls refused: {}; digits: {} sent, {} lost, {} doubled\n",
            self.calls_lost,
            self.calls_refused,
            self.digits_sent,
            self.digits_lost,
            self.digits_doubled,
        );
        text += &format!(
            "records acknowledged: {}, lost: {}; ports claimed by the lost node: {}\n",
            self.acknowledged, self.acknowledged_lost, self.stale_claims,
        );
        text
    }
}

/// The longest time without a packet since the loss.
pub fn longest_gap(line: &LineReport, lost_at: Instant) -> Option<Duration> {
    let before = line.arrivals.partition_point(|at| *at < lost_at).saturating_sub(1);
    let arrivals = line.arrivals.get(before..)?;
    arrivals.windows(2).map(|two| two[1].saturating_duration_since(two[0])).max()
}

/// How far the sound behind the longest gap is from where the prompt is by then: it runs on while
/// nobody hears it, as the clock of the stream does.
pub fn offset_error(line: &LineReport, lost_at: Instant) -> Option<Duration> {
    let pitches = &line.pitches;
    let first = pitches.partition_point(|(at, _)| *at < lost_at).saturating_sub(1);
    let after = (first + 1..pitches.len())
        .max_by_key(|&n| pitches[n].0.saturating_duration_since(pitches[n - 1].0))?;
    let before = pitches.get(after.saturating_sub(PLACED_BY)..after)?;
    let behind = pitches.get(after..(after + PLACED_BY).min(pitches.len()))?;
    Some(Duration::from_secs_f64((began(behind) - began(before)).abs()))
}

/// When the prompt began, by some packets of it, in seconds of the clock.
fn began(pitches: &[(Instant, f64)]) -> f64 {
    let began = |(at, hz): &(Instant, f64)| at.as_nanos() as f64 / 1e9 - sound::position(*hz);
    pitches.iter().map(began).sum::<f64>() / pitches.len() as f64
}
