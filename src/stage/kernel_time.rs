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

/// What to add to wall time to get boot time. Both are read in a row.
pub fn boot_minus_wall() -> i64 {
    let wall = clock_gettime(ClockId::Realtime);
    let boot = clock::now().as_nanos() as i64;
    boot - (wall.tv_sec * 1_000_000_000 + wall.tv_nsec)
}

fn nanos(time: TimeSpec) -> i64 {
    time.tv_sec() * 1_000_000_000 + time.tv_nsec()
}
