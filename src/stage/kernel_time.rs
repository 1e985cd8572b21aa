//! When a datagram reached its socket, by the kernel, so that a reader that is late itself blames
//! nobody else.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
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

/// Takes a datagram without waiting: its length, and when it came, in nanoseconds of wall time.
pub fn receive(
    socket: &impl AsRawFd,
    buffer: &mut [u8],
    control: &mut [u8],
) -> io::Result<(usize, i64)> {
    let mut vectors = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut vectors, Some(control), flags)?;
    let time = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::ScmTimestampns(time) => Some(nanos(time)),
        _ => None,
    });
    let time = time.ok_or_else(|| io::Error::other("the kernel notes no time"))?;
    Ok((message.bytes, time))
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
