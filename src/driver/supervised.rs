//! A node under a supervisor: it dies with it, and tells it what must be known when it is gone.
//!
//! The socket to the supervisor is standard input, so that no number of a file is handed over. A
//! line never waits: a supervisor that is stopped must not hold the node up. What is lost then is
//! said again, and meanwhile only costs time (`supervisor.rs`).

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

use tokio::io::{AsyncBufReadExt, BufReader, Lines};

use super::supervisor::word::{Reply, Word};
use crate::ids::Epoch;

/// To the supervisor, if there is one. Set once, before any thread is started.
static SUPERVISOR: OnceLock<UnixStream> = OnceLock::new();

/// Takes this process's place under the supervisor whose process has this number.
///
/// # Errors
/// There is no such supervisor any more.
pub fn join(supervisor: u32) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have died before the line above: then this process has another parent by now.
    let parent = getppid().map(|parent| parent.as_raw_nonzero().get().unsigned_abs());
    if parent != Some(supervisor) {
        return Err(io::Error::other(
            "the supervisor that started this node is gone: run `portkeeper run --config FILE`",
        ));
    }
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    socket.set_nonblocking(true)?;
    if SUPERVISOR.set(socket).is_ok() {
        tell_of_panics();
    }
    Ok(())
}

/// Where a panic was is the cause of what ends the process: it is told before it ends.
fn tell_of_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map_or_else(String::new, ToString::to_string);
        tell(&Word::Panicked(format!("panic at {place}")));
        before(panic);
    }));
}

/// Whether this node has a supervisor.
pub fn is_supervised() -> bool {
    SUPERVISOR.get().is_some()
}

/// Tells the supervisor, if there is one. Whether it took the word.
pub fn tell(word: &Word) -> bool {
    let Some(mut socket) = SUPERVISOR.get() else { return false };
    let line = word.line();
    // A line is far shorter than what the socket takes at once: it goes whole or not at all.
    matches!(socket.write(line.as_bytes()), Ok(length) if length == line.len())
}

/// Notes the epoch under which this node is about to act; `None`: it acts no more. Whether that is
/// noted; true for a node without a supervisor.
pub fn note(epoch: Option<Epoch>) -> bool {
    !is_supervised() || tell(&Word::Epoch(epoch))
}

/// What the supervisor answers.
#[derive(Debug)]
pub struct Answers {
    lines: Lines<BufReader<tokio::net::UnixStream>>,
}

impl Answers {
    /// Of this process's supervisor, if it has one. Within a tokio runtime.
    ///
    /// # Errors
    /// The socket cannot be read.
    pub fn listen() -> io::Result<Option<Self>> {
        let Some(socket) = SUPERVISOR.get() else { return Ok(None) };
        let socket = tokio::net::UnixStream::from_std(socket.try_clone()?)?;
        Ok(Some(Self { lines: BufReader::new(socket).lines() }))
    }

    /// The next one; never, without a supervisor.
    pub async fn next(answers: &mut Option<Self>) -> Reply {
        if let Some(answers) = answers {
            while let Ok(Some(line)) = answers.lines.next_line().await {
                if let Some(answer) = Reply::parse(&line) {
                    return answer;
                }
            }
        }
        std::future::pending().await
    }
}
