//! The floor of a silence: a bare echo over a connection, asked as often as an instance is pinged,
//! by threads that do nothing else.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "a connection of its own")]

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::driver::clock;
use crate::timers::Duration;

/// As a healthy instance is pinged.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// The two threads.
pub(super) struct Echo {
    stop: Arc<AtomicBool>,
    asking: JoinHandle<io::Result<Duration>>,
}

impl Echo {
    pub(super) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let near = TcpStream::connect(listener.local_addr()?)?;
        let (far, _) = listener.accept()?;
        for stream in [&near, &far] {
            stream.set_nodelay(true)?;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let spawn = |name: &str| std::thread::Builder::new().name(name.to_owned());
        // Ends with the connection, which the other thread holds.
        spawn("echo").spawn(move || echo(far))?;
        let asking = spawn("asking").spawn(move || ask(near, &stopped))?;
        Ok(Self { stop, asking })
    }

    /// The longest time between two answers.
    pub(super) fn finish(self) -> io::Result<Duration> {
        self.stop.store(true, Ordering::Relaxed);
        self.asking.join().map_err(|_| io::Error::other("the asking thread panicked"))?
    }
}

fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut byte = [0];
    loop {
        stream.read_exact(&mut byte)?;
        stream.write_all(&byte)?;
    }
}

fn ask(mut stream: TcpStream, stop: &AtomicBool) -> io::Result<Duration> {
    let (mut heard, mut longest) = (clock::now(), Duration::ZERO);
    // Once at least: a floor of nothing is none.
    loop {
        clock::sleep_until(clock::now() + ASK_EVERY);
        stream.write_all(b"?")?;
        stream.read_exact(&mut [0])?;
        let now = clock::now();
        longest = longest.max(now.saturating_duration_since(heard));
        heard = now;
        if stop.load(Ordering::Relaxed) {
            return Ok(longest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_silence_is_no_shorter_than_the_time_between_two_questions() {
        let echo = Echo::start().expect("a connection");
        clock::sleep_until(clock::now() + ASK_EVERY * 3);
        assert!(echo.finish().expect("answers") >= ASK_EVERY);
    }

    #[test]
    fn an_echo_that_is_told_to_stop_before_it_began_has_asked_once() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let near = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        let (far, _) = listener.accept().expect("connected");
        let answering = std::thread::spawn(move || echo(far));
        let longest = ask(near, &AtomicBool::new(true)).expect("an answer");
        assert!(longest >= ASK_EVERY, "{longest:?}");
        assert!(answering.join().expect("no panic").is_err(), "it ends with the connection");
    }
}
