//! From what happened to the figures of a report.

use serde::Serialize;
use serde_json::{Value, json};

use super::cast::Switch;
use crate::admin::distribution;
use crate::timers::{Duration, Instant};

/// The four durations of many switches.
#[derive(Clone, Debug, Default)]
pub struct Durations {
    /// Signal -> verdict.
    pub detect: Vec<Duration>,
    /// Verdict -> StasisStart written.
    pub decide: Vec<Duration>,
    /// StasisStart written -> first command read.
    pub claim: Vec<Duration>,
    /// Signal -> first packet of the new owner's sound.
    pub total: Vec<Duration>,
}

impl Durations {
    /// Adds the switches that a signal caused.
    pub fn add(&mut self, signal_at: Instant, switches: &[Switch]) {
        for switch in switches {
            let (Some(written), Some(claimed), Some(heard)) =
                (switch.written_at_ns, switch.claimed_at_ns, switch.first_media_at_ns)
            else {
                continue;
            };
            let verdict = switch.verdict_at_ns;
            self.detect.push(verdict.saturating_duration_since(signal_at));
            self.decide.push(written.saturating_duration_since(verdict));
            self.claim.push(claimed.saturating_duration_since(written));
            self.total.push(heard.saturating_duration_since(signal_at));
        }
    }

    /// `{"detect_ms","decide_ms","claim_ms","total_ms"}`, each a distribution.
    pub fn json(&self) -> Value {
        json!({
            "detect_ms": distribution(&self.detect),
            "decide_ms": distribution(&self.decide),
            "claim_ms": distribution(&self.claim),
            "total_ms": distribution(&self.total),
        })
    }
}

/// How the digits of a call came through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Digits {
    /// Keyed by the caller.
    pub sent: usize,
    /// Taken by the applications.
    pub received: usize,
    /// Keyed and not taken.
    pub lost: usize,
    /// Taken and not keyed, or taken twice.
    pub doubled: usize,
}

impl Digits {
    /// Compares what was keyed with what was taken, in order.
    pub fn compare(sent: &str, received: &str) -> Self {
        let common = common_subsequence(sent.as_bytes(), received.as_bytes());
        Self {
            sent: sent.len(),
            received: received.len(),
            lost: sent.len() - common,
            doubled: received.len() - common,
        }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            sent: self.sent + other.sent,
            received: self.received + other.received,
            lost: self.lost + other.lost,
            doubled: self.doubled + other.doubled,
        }
    }
}

/// Length of the longest common subsequence.
fn common_subsequence(a: &[u8], b: &[u8]) -> usize {
    let mut row = vec![0; b.len() + 1];
    for x in a {
        let mut diagonal = 0;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = if x == y { diagonal + 1 } else { above.max(row[j]) };
            diagonal = above;
        }
    }
    row[b.len()]
}

/// Time before a window whose packets tell the stream's clock.
const CLOCK_FROM: Duration = Duration::from_secs(1);

/// A stream's packets in a window that came over 5 ms after their time. The earliest packet
/// of the window and the second before it sets the clock, so that one packet that is missing long
/// before does not count for ever.
pub fn late_in(arrivals: &[Instant], from: Instant, until: Instant) -> Vec<Instant> {
    const FRAME: u64 = 20_000_000;
    const LATE: u64 = 5_000_000;
    let first = arrivals.partition_point(|at| *at + CLOCK_FROM < from);
    let last = arrivals.partition_point(|at| *at < until);
    let near = arrivals.get(first..last).unwrap_or_default();
    // Counted from the end: a frame later is at most that much later.
    let frames = near.len() as u64;
    let offset = |(n, at): (usize, &Instant)| at.as_nanos() + (frames - n as u64) * FRAME;
    let Some(base) = near.iter().enumerate().map(offset).min() else {
        return Vec::new();
    };
    let is_late = |&(n, at): &(usize, &Instant)| offset((n, at)) - base > LATE;
    let in_window = near.iter().enumerate().filter(|(_, at)| **at >= from);
    in_window.filter(is_late).map(|(_, at)| *at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_and_doubled_digits_are_told_apart() {
        let of = |sent, received| {
            let digits = Digits::compare(sent, received);
            (digits.lost, digits.doubled)
        };
        assert_eq!(of("1234", "1234"), (0, 0));
        assert_eq!(of("1234", "124"), (1, 0));
        assert_eq!(of("1234", "12234"), (0, 1));
        assert_eq!(of("12", "21"), (1, 1));
    }

    #[test]
    fn lateness_is_measured_against_the_streams_own_clock() {
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        let arrivals = [at(1_001), at(1_020), at(1_048), at(1_060), at(1_086)];
        assert_eq!(late_in(&arrivals, at(1_000), at(1_100)).len(), 2);
        assert_eq!(late_in(&arrivals, at(1_050), at(1_100)), [at(1_086)]);
        assert_eq!(late_in(&[], at(0), at(9)).len(), 0);
    }

    #[test]
    fn a_packet_that_was_missing_long_ago_makes_nobody_late() {
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        let mut arrivals: Vec<Instant> = (0..200).map(|n| at(10_000 + n * 20)).collect();
        arrivals.remove(10);
        assert_eq!(late_in(&arrivals, at(12_000), at(12_200)).len(), 0);
        assert_eq!(
            late_in(&arrivals, at(10_210), at(10_300)).len(),
            4,
            "but it counts where it was"
        );
    }
}
