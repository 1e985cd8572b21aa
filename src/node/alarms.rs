//! What needs a person: each raised once, with one clear line in the log, and cleared when it is
//! over.
//!
//! Most alarms stand until something clears them, and there are no more of them than the
//! configuration has ports, applications and prompts. What calls and applications bring about
//! has neither: nothing ever says that it is over, and a program may send any name. Such an alarm
//! passes when it was not raised again for ten minutes, and of each kind few are listed; the rest
//! is counted. So no application, however wrong, hides what is said of the PBX.

use std::collections::BTreeMap;

use tracing::{info, warn};

use super::prompts::Prompts;
use super::snapshot::{Alarm, AlarmKind};
use crate::config::{Config, Overflow};
use crate::timers::{Duration, Instant};

/// A passing alarm is over when it was not raised again for so long: time enough to be seen.
const PASSES_AFTER: Duration = Duration::from_secs(600);

/// Passing alarms of one kind that are listed: more than anybody reads.
const PASSING_MAX: usize = 32;

/// The alarms that stand.
#[derive(Debug, Default)]
pub struct Alarms {
    standing: BTreeMap<AlarmKind, Standing>,
    /// Passing alarms that found their kind full, by its name.
    unlisted: BTreeMap<&'static str, Unlisted>,
}

#[derive(Debug)]
struct Standing {
    since: Instant,
    /// When it passes; `None`: when it is cleared.
    until: Option<Instant>,
}

#[derive(Debug)]
struct Unlisted {
    since: Instant,
    until: Instant,
    times: u64,
}

impl Alarms {
    /// Those that the start itself shows: prompts that could not be read, or that the configuration
    /// names and nobody has.
    pub fn new(config: &Config, prompts: &Prompts, now: Instant) -> Self {
        let mut alarms = Self::default();
        if let Some(unread) = &prompts.unread {
            let text = format!(
                "media.prompts cannot be read, callers hear silence for what is there: {unread}; \
                 mend the directory or its rights, then start the node again"
            );
            alarms.raise(AlarmKind::Other { extension: None, text }, now);
        }
        let of_applications = config.applications.values().flat_map(|application| {
            application.hold_prompt.iter().chain(application.gateway_prompt.iter())
        });
        let announced: &[String] =
            if needs_announce(config) { &config.announce.prompts } else { &[] };
        for prompt in of_applications.chain(announced) {
            if prompts.sound(prompt, "en").is_none() {
                alarms.raise(prompt_missing(config, prompt), now);
            }
        }
        alarms
    }

    /// An application asked for a prompt that is not there.
    pub fn prompt_missing(&mut self, config: &Config, prompt: &str, now: Instant) {
        self.raise_passing(prompt_missing(config, prompt), now);
    }

    /// Raises an alarm that stands until it is cleared. There must not be more of its kind than
    /// the configuration has things to be wrong. One that stands already stays as it is.
    pub fn raise(&mut self, kind: AlarmKind, now: Instant) {
        self.stand(kind, now, None);
    }

    /// Raises an alarm that is over when this was not called for it again for ten minutes.
    pub fn raise_passing(&mut self, kind: AlarmKind, now: Instant) {
        self.raise_news(kind, now);
    }

    /// The same; whether it is listed from here on, and was not before.
    pub fn raise_news(&mut self, kind: AlarmKind, now: Instant) -> bool {
        if self.standing.contains_key(&kind) || self.has_room(&kind) {
            self.stand(kind, now, Some(now + PASSES_AFTER))
        } else {
            self.count(&kind, now);
            false
        }
    }

    fn stand(&mut self, kind: AlarmKind, now: Instant, until: Option<Instant>) -> bool {
        if let Some(standing) = self.standing.get_mut(&kind) {
            standing.until = standing.until.and(until);
            return false;
        }
        warn!(alarm = kind.name(), "{kind}");
        self.standing.insert(kind, Standing { since: now, until });
        true
    }

    fn has_room(&self, kind: &AlarmKind) -> bool {
        let alike = |(k, s): &(&AlarmKind, &Standing)| k.name() == kind.name() && s.until.is_some();
        self.standing.iter().filter(alike).count() < PASSING_MAX
    }

    fn count(&mut self, kind: &AlarmKind, now: Instant) {
        let until = now + PASSES_AFTER;
        let unlisted = self.unlisted.entry(kind.name()).or_insert_with(|| {
            warn!(alarm = kind.name(), "not listed, like others that follow: {kind}");
            Unlisted { since: now, until, times: 0 }
        });
        unlisted.until = until;
        unlisted.times += 1;
    }

    /// Forgets what has passed.
    pub fn pass(&mut self, now: Instant) {
        self.retain(|_, standing| standing.until.is_none_or(|at| now < at));
        self.unlisted.retain(|_, unlisted| now < unlisted.until);
    }

    /// Brings an alarm that stands up to date; its age and the log stay as they are.
    pub fn revise(&mut self, is: impl Fn(&AlarmKind) -> bool, kind: AlarmKind) {
        let before = self.standing.keys().find(|k| is(k)).cloned();
        if let Some(standing) = before.and_then(|before| self.standing.remove(&before)) {
            self.standing.insert(kind, standing);
        }
    }

    /// Clears every alarm that `over` says is over.
    pub fn clear(&mut self, over: impl Fn(&AlarmKind) -> bool) {
        self.retain(|kind, _| !over(kind));
    }

    fn retain(&mut self, stays: impl Fn(&AlarmKind, &Standing) -> bool) {
        self.standing.retain(|kind, standing| {
            let stays = stays(kind, standing);
            if !stays {
                info!(alarm = kind.name(), "alarm over: {kind}");
            }
            stays
        });
    }

    /// Whether one of a kind stands.
    pub fn stands(&self, is: impl Fn(&AlarmKind) -> bool) -> bool {
        self.standing.keys().any(is)
    }

    /// All that stand, most urgent first, and what is not listed.
    pub fn list(&self, now: Instant) -> Vec<Alarm> {
        let alarm = |kind: AlarmKind, since: Instant| {
            let age = now.saturating_duration_since(since).as_millis();
            Alarm { kind, since_ms: u64::try_from(age).unwrap_or(u64::MAX) }
        };
        let listed = self.standing.iter().map(|(kind, s)| alarm(kind.clone(), s.since));
        let unlisted = self.unlisted.iter().map(|(name, u)| alarm(u.as_alarm(name), u.since));
        listed.chain(unlisted).collect()
    }
}

impl Unlisted {
    fn as_alarm(&self, name: &str) -> AlarmKind {
        let text = format!(
            "{name} was raised {} times more, for what is not listed: \
             deal with what is, and what is left will be",
            self.times
        );
        AlarmKind::Other { extension: None, text }
    }
}

fn prompt_missing(config: &Config, prompt: &str) -> AlarmKind {
    let path = config.media.prompts.join(format!("{prompt}.wav"));
    AlarmKind::PromptMissing { prompt: prompt.to_owned(), path: path.display().to_string() }
}

fn needs_announce(config: &Config) -> bool {
    let listed =
        |port: &crate::config::Port| port.applications.contains(&crate::config::Entry::Announce);
    let overflows = config.applications.values().any(|a| a.overflow == Overflow::Announce);
    overflows || config.ports.iter().any(listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn missing(n: u64) -> AlarmKind {
        AlarmKind::PromptMissing { prompt: format!("p{n}"), path: String::new() }
    }

    fn refused(n: u64) -> AlarmKind {
        let (extension, registrar) = (n.to_string(), String::new());
        AlarmKind::PbxRefused { extension, registrar, status: 403, why: None }
    }

    fn names(alarms: &Alarms) -> Vec<&'static str> {
        alarms.list(at(0)).iter().map(|alarm| alarm.kind.name()).collect()
    }

    #[test]
    fn a_passing_alarm_is_over_ten_minutes_after_the_last_time() {
        let mut alarms = Alarms::default();
        alarms.raise(refused(1), at(0));
        alarms.raise_passing(missing(1), at(0));
        alarms.raise_passing(missing(1), at(300));
        alarms.pass(at(899));
        assert_eq!(names(&alarms), ["pbx_refused", "prompt_missing"]);
        alarms.pass(at(900));
        assert_eq!(names(&alarms), ["pbx_refused"]);
    }

    #[test]
    fn what_stands_until_it_is_cleared_does_not_pass_because_a_call_raised_it_too() {
        let mut alarms = Alarms::default();
        alarms.raise(missing(1), at(0));
        alarms.raise_passing(missing(1), at(0));
        alarms.raise_passing(missing(2), at(0));
        alarms.raise(missing(2), at(0));
        alarms.pass(at(601));
        assert_eq!(names(&alarms), ["prompt_missing", "prompt_missing"]);
    }

    #[test]
    fn any_number_of_names_leaves_room_for_every_other_alarm() {
        let mut alarms = Alarms::default();
        for n in 0..5_000 {
            alarms.raise_passing(missing(n), at(0));
        }
        for n in 0..2_000 {
            alarms.raise(refused(n), at(1));
        }
        let extension = "1000".to_owned();
        let why = crate::media::Refusal::TooFast;
        alarms.raise_passing(AlarmKind::DigitsRefused { extension, why }, at(1));
        alarms.raise(missing(6_000), at(1));
        let count = |name| names(&alarms).iter().filter(|n| **n == name).count();
        assert_eq!((count("pbx_refused"), count("digits_refused")), (2_000, 1));
        assert_eq!(count("prompt_missing"), PASSING_MAX + 1, "the configuration's own as well");
    }

    #[test]
    fn what_is_not_listed_is_counted_until_it_has_passed() {
        let mut alarms = Alarms::default();
        for n in 0..40 {
            alarms.raise_passing(missing(n), at(0));
        }
        let rest = alarms.list(at(0)).pop().expect("alarms").kind.to_string();
        assert!(rest.starts_with("prompt_missing was raised 8 times more"), "{rest}");
        alarms.pass(at(600));
        assert_eq!(alarms.list(at(600)), []);
    }
}
