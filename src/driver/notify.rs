//! What systemd is told: READY when every socket is bound and the store is open, STATUS in words,
//! WATCHDOG as long as every part makes progress, STOPPING. A node under a supervisor tells that,
//! which tells systemd.
//!
//! Without systemd (`NOTIFY_SOCKET` unset) every message goes nowhere, and the checks still feed
//! `/livez`.

use std::convert::Infallible;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::mpsc;

use super::progress::Progress;
use super::supervisor::word::Word;
use super::{ToNode, observe, supervised};
use crate::admin;
use crate::node::Snapshot;
use crate::node::snapshot::RegistrationState;

/// Pace of checks when systemd asks for none.
const CHECK_EVERY: Duration = Duration::from_secs(2);

/// An idle media worker turns once a second: a faster check would find it standing still.
const CHECK_AT_MOST_EVERY: Duration = Duration::from_millis(1_500);

/// Every socket is bound, and the store is open.
pub fn ready() {
    tell(&Word::Ready);
}

/// The node is being stopped.
pub fn stopping() {
    tell(&Word::Stopping);
}

/// Checks progress and feeds the watchdog, for ever. A part without progress starves the
/// watchdog, and systemd restarts the node after `WatchdogSec`.
pub async fn watch(progress: Progress, to_node: mpsc::Sender<ToNode>) -> Infallible {
    let mut turn = tokio::time::interval(interval(sd_notify::watchdog_enabled()));
    // The first tick comes at once: nothing can have advanced yet.
    turn.tick().await;
    let mut told = String::new();
    loop {
        turn.tick().await;
        progress.check();
        if let Some(part) = progress.stuck() {
            tracing::error!(part, "no progress: the watchdog is not fed");
            tell(&Word::Status(format!("{part} makes no progress")));
            continue;
        }
        tell(&Word::Alive);
        let Some(snapshot) = observe::snapshot(&to_node).await else { continue };
        let line = status(&snapshot);
        if line != told {
            tell(&Word::Status(line.clone()));
            told = line;
        }
    }
}

/// Feeds the watchdog for ever, for a process whose only part is the runtime that this runs in.
pub async fn watch_with(status: impl Fn() -> String) -> Infallible {
    let mut turn = tokio::time::interval(interval(sd_notify::watchdog_enabled()));
    let mut told = String::new();
    loop {
        turn.tick().await;
        tell(&Word::Alive);
        let line = status();
        if line != told {
            tell(&Word::Status(line.clone()));
            told = line;
        }
    }
}

/// A third of the time that the watchdog grants, so that one late check does no harm.
fn interval(watchdog: Option<Duration>) -> Duration {
    let granted = watchdog.map_or(CHECK_EVERY, |watchdog| watchdog / 3);
    granted.clamp(CHECK_AT_MOST_EVERY, CHECK_EVERY)
}

fn status(snapshot: &Snapshot) -> String {
    let registered =
        |p: &&crate::node::snapshot::Port| p.registration.state == RegistrationState::Registered;
    if snapshot.node.opening {
        return admin::OPENING.to_owned();
    }
    let role = snapshot.cluster.as_ref().map_or_else(String::new, |cluster| {
        format!("{} of {}, epoch {}: ", cluster.role, cluster.id, cluster.epoch)
    });
    format!(
        "{role}{} of {} ports registered, {} calls, {} instances, {} alarms",
        snapshot.ports.iter().filter(registered).count(),
        snapshot.ports.len(),
        snapshot.calls.len(),
        snapshot.instances.len(),
        snapshot.alarms.len()
    )
}

fn tell(word: &Word) {
    if supervised::is_supervised() {
        supervised::tell(word);
    } else {
        systemd(word);
    }
}

/// The node starts and needs more time, up to this from now: a large store takes longer than
/// systemd waits by itself.
pub fn starting(time: Duration) {
    let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
    send(NotifyState::ExtendTimeoutUsec(micros));
}

/// Tells systemd what concerns it.
pub fn systemd(word: &Word) {
    let state = match word {
        Word::Ready => NotifyState::Ready,
        Word::Alive => NotifyState::Watchdog,
        Word::Status(text) => NotifyState::Status(text),
        Word::Stopping => NotifyState::Stopping,
        Word::Epoch(_) | Word::Panicked(_) | Word::Address(_) => return,
    };
    send(state);
}

fn send(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::debug!(%error, "systemd was not told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_three_times_as_fast_as_the_watchdog() {
        assert_eq!(interval(Some(Duration::from_secs(5))), Duration::from_secs(5) / 3);
        assert_eq!(interval(Some(Duration::from_secs(30))), CHECK_EVERY);
        assert_eq!(interval(Some(Duration::from_millis(10))), CHECK_AT_MOST_EVERY);
        assert_eq!(interval(None), CHECK_EVERY);
    }

    #[test]
    fn the_status_line_counts_what_matters() {
        let line = status(&Snapshot::default());
        assert_eq!(line, "0 of 0 ports registered, 0 calls, 0 instances, 0 alarms");
    }
}
