//! The floor: the least that any program pays to send and receive the same packets.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "sockets of its own")]

use std::io;
use std::net::{SocketAddr, UdpSocket};

use super::far_end::{FarEnd, STREAM_PACKET};
use crate::driver::clock;
use crate::driver::rtp_net::Scheduling;
use crate::timers::{Duration, Instant};

/// Cores that a thread keeps busy that does one `send` and one `recv` per stream and frame, on
/// connected sockets, on the schedule of a worker.
pub(super) fn turn(far: &mut FarEnd, turn: Duration, warm_up: Duration) -> io::Result<f64> {
    let sockets = connected(far.addresses())?;
    let ports: Vec<_> = sockets
        .iter()
        .map(|socket| socket.local_addr().map(|address| address.port()))
        .collect::<io::Result<_>>()?;
    let running = far.speak_to(&ports, false)?;
    let thread = std::thread::Builder::new()
        .name("floor".to_owned())
        .spawn(move || exchange(&sockets, warm_up, turn))?;
    let cores = thread.join().map_err(|_| io::Error::other("the floor's thread ended"))?;
    far.take_back(running);
    Ok(cores)
}

fn connected(addresses: &[SocketAddr]) -> io::Result<Vec<UdpSocket>> {
    addresses
        .iter()
        .map(|address| {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.set_nonblocking(true)?;
            socket.connect(address)?;
            Ok(socket)
        })
        .collect()
}

fn exchange(sockets: &[UdpSocket], warm_up: Duration, turn: Duration) -> f64 {
    Scheduling::raise();
    let step = super::far_end::step(sockets.len());
    let begin = clock::now();
    run_until(sockets, step, begin + warm_up);
    let (began, cpu) = (clock::now(), clock::thread_cpu_nanos());
    run_until(sockets, step, began + turn);
    let busy = clock::thread_cpu_nanos() - cpu;
    busy as f64 / clock::now().saturating_duration_since(began).as_nanos() as f64
}

fn run_until(sockets: &[UdpSocket], step: Duration, end: Instant) {
    let packet = [0x80; STREAM_PACKET];
    let mut buffer = [0; 1_500];
    let phases = (20 / step.as_millis()) as usize;
    let step = step.as_nanos() as u64;
    let mut tick = clock::now().as_nanos() / step;
    loop {
        tick += 1;
        let at = Instant::from_nanos(tick * step);
        if at >= end {
            return;
        }
        if at > clock::now() {
            clock::sleep_until(at);
        }
        for socket in sockets.iter().skip(tick as usize % phases).step_by(phases) {
            // What is lost costs the same.
            let _ = socket.send(&packet);
            let _ = socket.recv(&mut buffer);
        }
    }
}
