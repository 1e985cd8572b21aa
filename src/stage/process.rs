//! Processes that a play has started, and those that they have started.

#![expect(clippy::disallowed_methods, reason = "reads /proc")]

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::OnceLock;

use rustix::process::{Pid, Signal, kill_process};

use crate::driver::clock;
use crate::timers::Instant;

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Nodes and instances are processes of this program, if the running one is another: a test.
/// Heard once.
pub fn play_with(program: PathBuf) {
    PROGRAM.get_or_init(|| program);
}

/// The program whose processes a play starts.
pub(super) fn program() -> io::Result<PathBuf> {
    PROGRAM.get().map_or_else(std::env::current_exe, |program| Ok(program.clone()))
}

/// A process and its descendants, parents before children.
pub(super) fn family(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut at = 0;
    while let Some(&parent) = found.get(at) {
        found.extend(children(parent));
        at += 1;
    }
    found
}

/// Sends a signal to each of them. Returns when the last one was sent.
pub(super) fn signal(pids: &[u32], signal: Signal) -> io::Result<Instant> {
    let mut at = clock::now();
    for &pid in pids {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("no process id"))?;
        at = clock::now();
        kill_process(pid, signal)?;
    }
    Ok(at)
}

/// Each thread has the processes that it started.
fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split(' ').filter_map(|n| n.parse().ok()).collect::<Vec<_>>())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_child_belongs_to_the_family_as_long_as_it_lives() {
        let mut child = Command::new("sleep").arg("60").spawn().expect("started");
        let (me, pid) = (std::process::id(), child.id());
        assert!(family(me).contains(&pid) && family(me)[0] == me);
        assert_eq!(family(pid), [pid]);
        signal(&[pid], Signal::KILL).expect("sent");
        child.wait().expect("ended");
        assert!(!family(me).contains(&pid));
    }
}
