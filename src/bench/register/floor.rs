//! The floor of registering: as many round trips of as many bytes, and nobody reads them.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "sockets of its own")]

use std::io;
use std::net::UdpSocket;

use crate::driver::clock;
use crate::timers::Duration;

/// About the length of a REGISTER with credentials, and of its answer.
const REQUEST: usize = 650;
const ANSWER: usize = 450;

/// The time that `count` round trips take with so many on the way at once.
pub(super) fn round_trips(count: u32, window: usize) -> io::Result<Duration> {
    let (near, far) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    for (socket, peer) in [(&near, &far), (&far, &near)] {
        socket.connect(peer.local_addr()?)?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    }
    let answering =
        std::thread::Builder::new().name("echo".to_owned()).spawn(move || answer(&far, count))?;
    let began = clock::now();
    let mut buffer = [0; REQUEST];
    let ahead = count.min(window as u32);
    for _ in 0..ahead {
        near.send(&[b'x'; REQUEST])?;
    }
    for received in 1..=count {
        near.recv(&mut buffer)?;
        if received + ahead <= count {
            near.send(&[b'x'; REQUEST])?;
        }
    }
    let took = clock::now().saturating_duration_since(began);
    answering.join().map_err(|_| io::Error::other("the echo's thread panicked"))??;
    Ok(took)
}

fn answer(socket: &UdpSocket, count: u32) -> io::Result<()> {
    let mut buffer = [0; REQUEST];
    for _ in 0..count {
        socket.recv(&mut buffer)?;
        socket.send(&[b'y'; ANSWER])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_trip_is_made() {
        assert!(round_trips(100, 32).expect("sockets") > Duration::ZERO);
        assert!(round_trips(3, 32).expect("sockets") > Duration::ZERO, "fewer than the window");
    }
}
