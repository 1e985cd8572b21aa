//! What one contender's callers noticed, as a column of the table and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::admin::distribution;
use crate::timers::Duration;

/// What a contender's callers noticed.
#[derive(Debug, Default)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) calls: usize,
    /// Freeze -> the caller hears the healthy instance, of the calls where that happened.
    pub(super) healthy: Vec<Duration>,
    /// The longest time without a packet after the freeze.
    pub(super) gap: Duration,
    pub(super) digits_sent: usize,
    pub(super) digits_kept: usize,
    pub(super) positions_kept: usize,
    /// Commands of the woken instance for calls that it had lost.
    pub(super) refused: usize,
    pub(super) accepted: usize,
    pub(super) new_call_served: bool,
}

impl Row {
    /// Every call and every digit has a healthy owner, and the woken instance is kept out.
    pub(super) fn is_clean(&self) -> bool {
        self.healthy.len() == self.calls
            && self.digits_kept == self.digits_sent
            && self.positions_kept == self.calls
            && self.accepted == 0
            && self.new_call_served
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "name": self.name,
            "calls_rescued": self.healthy.len(),
            "healthy_ms": distribution(&self.healthy),
            "audio_gap_ms_max": self.gap.as_secs_f64() * 1e3,
            "digits_sent": self.digits_sent,
            "digits_kept": self.digits_kept,
            "positions_kept": self.positions_kept,
            "stale_commands_refused": self.refused,
            "stale_commands_accepted": self.accepted,
            "new_call_served": self.new_call_served,
        })
    }

    fn healthy_text(&self) -> String {
        match self.healthy.iter().max() {
            None => "never".to_owned(),
            Some(worst) => {
                let best = self.healthy.iter().min().unwrap_or(worst);
                format!("{} to {} ms", best.as_millis(), worst.as_millis())
            }
        }
    }

    fn woken_text(&self) -> String {
        let (refused, all) = (self.refused, self.refused + self.accepted);
        match (refused, all) {
            (_, 0) => "said nothing".to_owned(),
            (0, _) => format!("no, {all} accepted"),
            _ if refused == all => format!("yes, {all} of {all}"),
            _ => format!("{refused} of {all}"),
        }
    }
}

/// A column for each contender.
pub(super) fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    let mut line = |name: &str, of: &dyn Fn(&Row) -> String| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{name:38}");
        for row in rows {
            let _ = write!(text, "{:<22}", of(row));
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    };
    line("one instance is frozen (SIGSTOP)", &|row| row.name.to_owned());
    line("caller hears a healthy instance after", &Row::healthy_text);
    line("calls that a healthy instance serves", &|row| of(row.healthy.len(), row.calls));
    line("longest silence for a caller", &|row| format!("{} ms", row.gap.as_millis()));
    line("digits keyed meanwhile that are kept", &|row| of(row.digits_kept, row.digits_sent));
    line("menu position kept", &|row| of(row.positions_kept, row.calls));
    line("woken instance refused", &Row::woken_text);
    line("new calls served", &|row| (if row.new_call_served { "yes" } else { "no" }).to_owned());
    text
}

fn of(part: usize, whole: usize) -> String {
    format!("{part} of {whole}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contender_that_never_comes_back_says_so() {
        let row = Row { name: "nobody", calls: 2, digits_sent: 4, ..Row::default() };
        assert!(!row.is_clean());
        let text = table(&[row]);
        assert!(text.contains("never") && text.contains("0 of 4"), "{text}");
        assert!(text.lines().all(|line| line.trim_end() == line));
    }
}
