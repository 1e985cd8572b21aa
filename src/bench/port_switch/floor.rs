//! The floor of a crash's detection: a process that does nothing, behind a connection of which
//! nobody knows more than that it is there.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "a connection of its own")]

use std::io::{self, Read};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::Command;

use crate::driver::clock;
use crate::timers::Duration;

/// From SIGKILL to the end of the connection, seen by a thread that waits for nothing else.
pub(super) fn kill_to_end() -> io::Result<Duration> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let far = TcpStream::connect(listener.local_addr()?)?;
    let (mut near, _) = listener.accept()?;
    let mut process = Command::new("sleep").arg("60").stdin(OwnedFd::from(far)).spawn()?;
    let watching = std::thread::spawn(move || near.read(&mut [0; 8]).map(|_| clock::now()));
    // The thread waits and the process sleeps before the signal comes.
    std::thread::sleep(Duration::from_millis(50));
    let at = clock::now();
    process.kill()?;
    process.wait()?;
    let seen = watching.join().map_err(|_| io::Error::other("the watching thread panicked"))??;
    Ok(seen.saturating_duration_since(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_killed_process_is_seen() {
        let took = kill_to_end().expect("a process and a connection");
        assert!(took > Duration::ZERO && took < Duration::from_secs(5), "{took:?}");
    }
}
