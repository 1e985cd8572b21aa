//! The node's process, as its supervisor has it: a pidfd, and the socket on which it speaks.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tracing::warn;

use super::word::{Reply, Word};

/// A line of the node is far shorter.
const LINE_MAX: usize = 4_096;

/// What is heard of a process.
#[derive(Debug)]
pub(super) enum Told {
    Word(Word),
    Exited(ExitStatus),
}

#[derive(Debug)]
pub(super) struct NodeProcess {
    child: Child,
    id: u32,
    pidfd: OwnedFd,
    socket: UnixStream,
    /// What came, up to the first end of a line that is not read yet.
    heard: Vec<u8>,
    /// It has closed its end.
    closed: bool,
}

impl NodeProcess {
    /// Starts the node. From the main thread only: the node dies with the thread that started it.
    pub(super) fn start(program: &Path, config: &Path, causes: &[String]) -> io::Result<Self> {
        let (ours, theirs) = net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut command = Command::new(program);
        command.args(["run", "--config"]).arg(config);
        command.args(["--supervisor", &std::process::id().to_string()]);
        command.args(causes.iter().map(|cause| format!("--ended={cause}")));
        // systemd hears of the node through its supervisor, which is the process that it started.
        command.env_remove("NOTIFY_SOCKET").env_remove("WATCHDOG_PID");
        let child = command.stdin(Stdio::from(OwnedFd::from(theirs))).spawn()?;
        let socket = UnixStream::from_std(ours)?;
        let id = child.id().ok_or_else(|| io::Error::other("the node has no process"))?;
        let pid = i32::try_from(id).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("the node has no number"))?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        Ok(Self { child, id, pidfd, socket, heard: Vec::new(), closed: false })
    }

    pub(super) const fn id(&self) -> u32 {
        self.id
    }

    /// Tells the node something. A node that does not read is told again.
    pub(super) fn answer(&self, answer: &Reply) {
        let _ = self.socket.try_write(answer.line().as_bytes());
    }

    pub(super) fn signal(&self, signal: Signal) {
        if let Err(error) = pidfd_send_signal(&self.pidfd, signal) {
            warn!(%error, "the node has ended before a signal");
        }
    }

    /// The next thing that it says, and after the last one: that the kernel says that every thread
    /// of it is gone.
    pub(super) async fn next(&mut self) -> io::Result<Told> {
        loop {
            if let Some(word) = self.said() {
                return Ok(Told::Word(word));
            }
            tokio::select! {
                biased;
                status = self.child.wait() => {
                    // Nothing more is said than is here by now; the status stays.
                    return match self.said() {
                        Some(word) => Ok(Told::Word(word)),
                        None => status.map(Told::Exited),
                    };
                }
                more = self.socket.readable(), if !self.closed => more?,
            }
        }
    }

    /// The next thing that it has said already.
    fn said(&mut self) -> Option<Word> {
        loop {
            while let Some(end) = self.heard.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.heard.drain(..=end).collect();
                let word = str::from_utf8(&line[..end]).ok().and_then(Word::parse);
                if word.is_some() {
                    return word;
                }
            }
            if self.heard.len() > LINE_MAX {
                self.heard.clear();
            }
            let mut chunk = [0; 1_024];
            match self.socket.try_read(&mut chunk) {
                Ok(0) => self.closed = true,
                Ok(length) => {
                    self.heard.extend_from_slice(&chunk[..length]);
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => self.closed = true,
            }
            return None;
        }
    }
}
