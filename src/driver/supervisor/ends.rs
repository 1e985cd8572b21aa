//! How node processes have ended: of which cause, and how soon the next one is started.

use std::collections::VecDeque;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use crate::timers::Instant;

/// Two ends of one cause within this time are a pattern.
const CAUSES_WITHIN: Duration = Duration::from_secs(60);
/// A process that lived so long ended of something new.
const LIVED: Duration = Duration::from_secs(60);
/// Pauses before the next start, for each end in a row; the last one from there on.
const PAUSES: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(15),
];

/// Signals that come from outside, also from the kernel when memory runs out: they say nothing
/// about what the process was doing.
const FROM_OUTSIDE: [i32; 4] = [1, 2, 9, 15];

/// In words that are equal for equal causes; empty: not known, or from outside.
pub(super) fn cause(status: ExitStatus, panicked: Option<&str>) -> String {
    match (panicked, status.signal(), status.code()) {
        (Some(text), ..) if !status.success() => text.to_owned(),
        (_, Some(signal), _) if !FROM_OUTSIDE.contains(&signal) => format!("signal {signal}"),
        (_, None, Some(code)) if code != 0 => format!("exit code {code}"),
        _ => String::new(),
    }
}

/// The latest ends.
#[derive(Debug, Default)]
pub(super) struct Ends {
    causes: VecDeque<(Instant, String)>,
    /// Ends in a row of processes that did not live long.
    in_a_row: usize,
}

impl Ends {
    /// A process has ended that lived so long. Returns the pause before the next one.
    pub(super) fn ended(&mut self, now: Instant, lived: Duration, cause: String) -> Duration {
        if lived >= LIVED {
            self.in_a_row = 0;
        }
        let pause = PAUSES[self.in_a_row.min(PAUSES.len() - 1)];
        self.in_a_row = self.in_a_row.saturating_add(1);
        if !cause.is_empty() {
            self.causes.truncate(PAUSES.len());
            self.causes.push_front((now, cause));
        }
        pause
    }

    /// Of what processes ended lately, newest first.
    pub(super) fn causes(&mut self, now: Instant) -> Vec<String> {
        self.causes.retain(|(at, _)| now <= *at + CAUSES_WITHIN);
        self.causes.iter().map(|(_, cause)| cause.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn a_kill_from_outside_is_no_cause_and_a_fault_is() {
        let by = |signal| cause(ExitStatus::from_raw(signal), None);
        assert_eq!((by(9), by(15), by(11)), (String::new(), String::new(), "signal 11".into()));
        let panicked = cause(ExitStatus::from_raw(6), Some("panic at src/x.rs:1:2"));
        assert_eq!(panicked, "panic at src/x.rs:1:2");
        assert_eq!(cause(ExitStatus::from_raw(4 << 8), None), "exit code 4");
        assert_eq!(cause(ExitStatus::from_raw(0), None), "");
    }

    #[test]
    fn pauses_grow_until_a_process_lives_for_a_minute() {
        let mut ends = Ends::default();
        let short = Duration::from_secs(1);
        let mut pause = |lived| ends.ended(at(1), lived, String::new()).as_secs();
        let pauses: Vec<u64> = (0..8).map(|_| pause(short)).collect();
        assert_eq!(pauses, [0, 1, 2, 4, 8, 15, 15, 15]);
        assert_eq!((pause(LIVED), pause(short)), (0, 1));
    }

    #[test]
    fn causes_are_told_for_a_minute_and_never_many() {
        let mut ends = Ends::default();
        ends.ended(at(10), LIVED, "x".to_owned());
        ends.ended(at(50), LIVED, "y".to_owned());
        assert_eq!(ends.causes(at(70)), ["y", "x"]);
        assert_eq!(ends.causes(at(71)), ["y"]);
        for n in 0..100 {
            ends.ended(at(80), LIVED, format!("{n}"));
        }
        assert_eq!(ends.causes(at(80)).len(), PAUSES.len() + 1);
    }
}
