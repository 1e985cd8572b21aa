//! What needs a person: each raised once, with one clear line in the log, and cleared when it is
//! over.

use std::collections::BTreeMap;

use tracing::{info, warn};

use super::prompts::Prompts;
use super::snapshot::{Alarm, AlarmKind};
use crate::config::{Config, Overflow};
use crate::timers::Instant;

/// Alarms that stand at most: a configuration cannot have more things to be wrong.
const ALARMS_MAX: usize = 1_024;

/// The alarms that stand.
#[derive(Debug, Default)]
pub struct Alarms(BTreeMap<AlarmKind, Instant>);

impl Alarms {
    /// Those that the start itself shows: prompts that the configuration names and nobody has.
    pub fn new(config: &Config, prompts: &Prompts, now: Instant) -> Self {
        let mut alarms = Self::default();
        let of_applications = config.applications.values().flat_map(|application| {
            application.hold_prompt.iter().chain(application.gateway_prompt.iter())
        });
        let announced: &[String] =
            if needs_announce(config) { &config.announce.prompts } else { &[] };
        for prompt in of_applications.chain(announced) {
            if prompts.sound(prompt, "en").is_none() {
                alarms.prompt_missing(config, prompt, now);
            }
        }
        alarms
    }

    /// A prompt was wanted that is not there.
    pub fn prompt_missing(&mut self, config: &Config, prompt: &str, now: Instant) {
        let path = config.media.prompts.join(format!("{prompt}.wav"));
        let path = path.display().to_string();
        self.raise(AlarmKind::PromptMissing { prompt: prompt.to_owned(), path }, now);
    }

    /// Raises an alarm; one that stands already stays as it is.
    pub fn raise(&mut self, kind: AlarmKind, now: Instant) {
        if self.0.len() < ALARMS_MAX && !self.0.contains_key(&kind) {
            warn!(alarm = kind.name(), "{kind}");
            self.0.insert(kind, now);
        }
    }

    /// Brings an alarm that stands up to date; its age and the log stay as they are.
    pub fn revise(&mut self, is: impl Fn(&AlarmKind) -> bool, kind: AlarmKind) {
        let standing = self.0.iter().find(|(k, _)| is(k)).map(|(k, since)| (k.clone(), *since));
        if let Some((before, since)) = standing {
            self.0.remove(&before);
            self.0.insert(kind, since);
        }
    }

    /// Clears every alarm that `over` says is over.
    pub fn clear(&mut self, over: impl Fn(&AlarmKind) -> bool) {
        self.0.retain(|kind, _| {
            let is_over = over(kind);
            if is_over {
                info!(alarm = kind.name(), "alarm over: {kind}");
            }
            !is_over
        });
    }

    /// Whether one of a kind stands.
    pub fn stands(&self, is: impl Fn(&AlarmKind) -> bool) -> bool {
        self.0.keys().any(is)
    }

    /// All that stand, most urgent first.
    pub fn list(&self, now: Instant) -> Vec<Alarm> {
        let age = |since: Instant| now.saturating_duration_since(since).as_millis();
        let alarm = |(kind, since): (&AlarmKind, &Instant)| Alarm {
            kind: kind.clone(),
            since_ms: u64::try_from(age(*since)).unwrap_or(u64::MAX),
        };
        self.0.iter().map(alarm).collect()
    }
}

fn needs_announce(config: &Config) -> bool {
    let listed =
        |port: &crate::config::Port| port.applications.contains(&crate::config::Entry::Announce);
    let overflows = config.applications.values().any(|a| a.overflow == Overflow::Announce);
    overflows || config.ports.iter().any(listed)
}
