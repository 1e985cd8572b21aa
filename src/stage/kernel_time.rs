//! When a datagram reached its socket, by the kernel, so that a reader that is late itself blames
//! nobody else.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use rustix::time::{ClockId, clock_gettime};

use crate::driver::clock;

/// Room for the kernel's note of the time.
pub fn control() -> Vec<u8> {
    nix::cmsg_space!(TimeSpec)
}

/// Asks the kernel to note when each datagram comes.
pub fn enable(socket: &impl AsFd) -> io::Result<()> {
    Ok(setsockopt(socket, sockopt::ReceiveTimestampns, &true)?)
}

/// A datagram that was taken.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// Octets.
    pub length: usize,
    /// Who sent it.
    pub from: SocketAddr,
    /// When it came, in nanoseconds of wall time.
    pub wall: i64,
}

/// Takes a datagram of an IPv4 socket without waiting.
pub fn receive(
    socket: &impl AsRawFd,
    buffer: &mut [u8],
    control: &mut [u8],
) -> io::Result<Received> {
    let mut vectors = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<SockaddrIn>(socket.as_raw_fd(), &mut vectors, Some(control), flags)?;
    let time = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::ScmTimestampns(time) => Some(nanos(time)),
        _ => None,
    });
    let time = time.ok_or_else(|| io::Error::other("the kernel notes no time"))?;
    let from = message.address.ok_or_else(|| io::Error::other("a datagram of nobody"))?;
    Ok(Received { length: message.bytes, from: SocketAddrV4::from(from).into(), wall: time })
}

/// Between two looks at one clock the other one was read, if no more than this lies between them.
const AT_ONCE: i64 = 20_000;

/// What to add to wall time to get boot time. A thread that is put aside between its looks at the
/// two clocks would make every packet late that it reads next, so it looks again.
pub fn boot_minus_wall() -> i64 {
    let mut best = (i64::MAX, 0);
    for _ in 0..8 {
        let before = clock::now().as_nanos() as i64;
        let wall = clock_gettime(ClockId::Realtime);
        let took = clock::now().as_nanos() as i64 - before;
        let wall = wall.tv_sec * 1_000_000_000 + wall.tv_nsec;
        best = best.min((took, before + took / 2 - wall));
        if took <= AT_ONCE {
            break;
        }
    }
    best.1
}

fn nanos(time: TimeSpec) -> i64 {
    time.tv_sec() * 1_000_000_000 + time.tv_nsec()
}

#[cfg(test)]
mod tests {
    use tokio::net::UdpSocket;

    use super::*;

    #[tokio::test]
    async fn a_datagram_names_its_sender_and_its_time() {
        let to = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let from = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        enable(&to).expect("times");
        let before = clock::now().as_nanos() as i64;
        from.send_to(b"sound", to.local_addr().expect("bound")).await.expect("sent");
        let taken = receive(&to, &mut [0; 16], &mut control()).expect("there at once");
        assert_eq!((taken.length, taken.from), (5, from.local_addr().expect("bound")));
        let at = taken.wall + boot_minus_wall();
        assert!((before - 1_000_000..before + 1_000_000_000).contains(&at));
    }
}
