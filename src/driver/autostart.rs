//! Programs of `[[autostart_on_promotion]]`: started by the node's order, ended by it.
//!
//! A program ends with the node that started it: it gets SIGTERM, and is killed when it has not
//! ended within five seconds.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;
use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

use super::ToNode;
use crate::config::Autostart;

/// A program that was asked to end has so long.
const END_WITHIN: Duration = Duration::from_secs(5);

/// The programs that run. Dropping it ends them.
#[derive(Debug, Default)]
pub struct Programs {
    running: Vec<oneshot::Sender<()>>,
}

impl Programs {
    /// Starts one; what becomes of it comes back over `to_node`.
    pub fn start(&mut self, index: usize, program: &Autostart, to_node: mpsc::Sender<ToNode>) {
        let Some((name, arguments)) = program.command.split_first() else { return };
        let mut command = Command::new(name);
        command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        let (stop, stopped) = oneshot::channel();
        self.running.push(stop);
        let name = name.clone();
        tokio::spawn(async move {
            let failed = |why: String| ToNode::ProgramFailed { index, why };
            let mut child = match command.spawn() {
                Ok(child) => child,
                Err(error) => {
                    let why = format!("cannot be started: {error}");
                    // Fails only when the event loop has stopped.
                    return drop(to_node.send(failed(why)).await);
                }
            };
            info!(program = name, pid = child.id(), "program started");
            tokio::select! {
                ended = child.wait() => {
                    let how = ended.map_or_else(|e| e.to_string(), |status| status.to_string());
                    drop(to_node.send(failed(format!("ended: {how}"))).await);
                }
                _ = stopped => {
                    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
                    if let Some(pid) = pid.and_then(Pid::from_raw) {
                        // It may have ended by itself.
                        let _ = kill_process(pid, Signal::TERM);
                    }
                    if tokio::time::timeout(END_WITHIN, child.wait()).await.is_err() {
                        warn!(program = name, "did not end by SIGTERM and is killed");
                    }
                }
            }
        });
    }

    /// Ends all of them.
    pub fn stop(&mut self) {
        for stop in self.running.drain(..) {
            // One that has ended has nobody to tell.
            let _ = stop.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::to_node_channel;

    fn program(command: &[&str]) -> Autostart {
        Autostart {
            command: command.iter().map(|&word| word.to_owned()).collect(),
            application: "main".to_owned(),
            ready_within: Duration::from_secs(1),
        }
    }

    async fn failure(command: &[&str]) -> String {
        let (to_node, mut inbox) = to_node_channel();
        let mut programs = Programs::default();
        programs.start(3, &program(command), to_node);
        match inbox.recv().await {
            Some(ToNode::ProgramFailed { index: 3, why }) => why,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_or_ends_is_told_of() {
        let why = failure(&["/nowhere/ivr"]).await;
        assert!(why.starts_with("cannot be started: "), "{why}");
        assert_eq!(failure(&["/bin/sh", "-c", "exit 7"]).await, "ended: exit status: 7");
    }

    #[tokio::test]
    async fn a_program_ends_when_the_node_says_so() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mark = directory.path().join("ended");
        let script =
            format!("trap 'touch {}; exit' TERM; while :; do sleep 0.05; done", mark.display());
        let (to_node, mut inbox) = to_node_channel();
        let mut programs = Programs::default();
        programs.start(0, &program(&["/bin/sh", "-c", &script]), to_node);
        tokio::time::sleep(Duration::from_millis(200)).await;
        programs.stop();
        // The task drops its sender when the program has ended.
        assert!(inbox.recv().await.is_none());
        assert!(mark.exists());
    }
}
