//! The far end of many calls: a thread that sends a packet of sound on each stream every 20 ms and
//! takes what comes, with the kernel's receive time.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "sockets of its own")]

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::JoinHandle;

use super::Lateness;
use crate::driver::clock;
use crate::driver::rtp_net::Scheduling;
use crate::stage::kernel_time;
use crate::timers::{Duration, Instant};

/// Octets of an RTP packet with 20 ms of G.711.
pub(super) const STREAM_PACKET: usize = 172;

const FRAME_NANOS: i64 = 20_000_000;

/// The step of the schedule: that of a worker with so many ports.
pub(super) fn step(streams: usize) -> Duration {
    Duration::from_millis(if streams > 200 { 1 } else { 5 })
}

/// The streams and what was heard of them.
pub(super) struct FarEnd {
    streams: Vec<Stream>,
    addresses: Vec<SocketAddr>,
    /// Microseconds.
    lateness: Vec<u32>,
}

struct Stream {
    socket: UdpSocket,
    packet: [u8; STREAM_PACKET],
    sequence: u16,
    /// The phase of the port that it talks to: its frames are due at multiples of 20 ms plus this.
    phase: i64,
    /// When the packet with timestamp 0 was due, once one was heard.
    base: Option<i64>,
}

/// A far end at work.
pub(super) struct Running {
    mode: Arc<AtomicU8>,
    thread: JoinHandle<(Vec<Stream>, Vec<u32>)>,
}

const WARMING_UP: u8 = 0;
const MEASURING: u8 = 1;
const STOPPED: u8 = 2;

impl FarEnd {
    pub(super) fn new(streams: u16, lasts: Duration) -> io::Result<Self> {
        let streams: Vec<_> = (0..usize::from(streams))
            .map(|index| Stream::new(index, streams.into()))
            .collect::<io::Result<_>>()?;
        let addresses =
            streams.iter().map(|stream| stream.socket.local_addr()).collect::<io::Result<_>>()?;
        // Written once, so that no page fault falls into the measurement.
        let packets = streams.len() * (lasts.as_millis() as usize / 20 + 100);
        let mut lateness = vec![1; packets];
        lateness.clear();
        Ok(Self { streams, addresses, lateness })
    }

    pub(super) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Begins to exchange packets with these local ports.
    pub(super) fn speak_to(&mut self, ports: &[u16], rtp: bool) -> io::Result<Running> {
        let mut streams = std::mem::take(&mut self.streams);
        for (stream, &port) in streams.iter_mut().zip(ports) {
            stream.socket.connect((Ipv4Addr::LOCALHOST, port))?;
            stream.base = None;
            // What an earlier turn left behind.
            while stream.socket.recv(&mut [0]).is_ok() {}
        }
        let mode = Arc::new(AtomicU8::new(WARMING_UP));
        let (seen, lateness) = (Arc::clone(&mode), std::mem::take(&mut self.lateness));
        let thread = std::thread::Builder::new()
            .name("far end".to_owned())
            .spawn(move || Exchange { streams, lateness, rtp, mode: seen }.run())?;
        Ok(Running { mode, thread })
    }

    /// Ends it.
    pub(super) fn take_back(&mut self, running: Running) {
        running.mode.store(STOPPED, Ordering::Relaxed);
        if let Ok((streams, lateness)) = running.thread.join() {
            (self.streams, self.lateness) = (streams, lateness);
        }
    }

    pub(super) fn lateness(&mut self) -> Lateness {
        self.lateness.sort_unstable();
        let at = |share: f64| {
            let index = (self.lateness.len() as f64 * share) as usize;
            let micros = self.lateness.get(index).or(self.lateness.last());
            f64::from(*micros.unwrap_or(&0)) / 1_000.0
        };
        let n = self.lateness.len();
        Lateness { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1.0), n }
    }

    pub(super) fn late_share(&self, limit: Duration) -> f64 {
        let limit = limit.as_micros();
        let late = self.lateness.iter().filter(|micros| u128::from(**micros) > limit).count();
        late as f64 / self.lateness.len().max(1) as f64
    }
}

impl Running {
    /// Lateness counts from here on.
    pub(super) fn measure(&self) {
        self.mode.store(MEASURING, Ordering::Relaxed);
    }
}

struct Exchange {
    streams: Vec<Stream>,
    lateness: Vec<u32>,
    rtp: bool,
    mode: Arc<AtomicU8>,
}

impl Exchange {
    fn run(mut self) -> (Vec<Stream>, Vec<u32>) {
        Scheduling::raise();
        let step = step(self.streams.len());
        let phases = (20 / step.as_millis()) as usize;
        let step = step.as_nanos() as u64;
        // Half a step beside the worker's ticks.
        let mut tick = clock::now().as_nanos() / step;
        let mut control = kernel_time::control();
        while self.mode.load(Ordering::Relaxed) != STOPPED {
            tick += 1;
            let at = Instant::from_nanos(tick * step + step / 2);
            if at > clock::now() {
                clock::sleep_until(at);
            }
            self.tick(tick as usize % phases, phases, &mut control);
        }
        (self.streams, self.lateness)
    }

    fn tick(&mut self, phase: usize, phases: usize, control: &mut [u8]) {
        let measuring = self.rtp && self.mode.load(Ordering::Relaxed) == MEASURING;
        let to_boot_time = kernel_time::boot_minus_wall();
        for stream in self.streams.iter_mut().skip(phase).step_by(phases) {
            stream.send();
            while let Some((timestamp, received)) = stream.receive(control) {
                let late = stream.late(timestamp, received + to_boot_time);
                if measuring && self.lateness.len() < self.lateness.capacity() {
                    self.lateness.push(u32::try_from(late / 1_000).unwrap_or(u32::MAX));
                }
            }
        }
    }
}

impl Stream {
    fn new(index: usize, streams: usize) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_nonblocking(true)?;
        kernel_time::enable(&socket)?;
        let mut packet = [0x55; STREAM_PACKET];
        packet[..12].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
        let step = step(streams).as_nanos() as i64;
        let phase = index as i64 * step % FRAME_NANOS;
        Ok(Self { socket, packet, sequence: 0, phase, base: None })
    }

    fn send(&mut self) {
        self.sequence = self.sequence.wrapping_add(1);
        self.packet[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        self.packet[4..8].copy_from_slice(&(u32::from(self.sequence) * 160).to_be_bytes());
        let _ = self.socket.send(&self.packet);
    }

    /// RTP timestamp and receive time, by the wall clock, of the next packet.
    fn receive(&self, control: &mut [u8]) -> Option<(u32, i64)> {
        let mut buffer = [0; 256];
        let received = kernel_time::receive(&self.socket, &mut buffer, control).ok()?.wall;
        let timestamp = u32::from_be_bytes(*buffer.get(4..8)?.first_chunk()?);
        Some((timestamp, received))
    }

    /// Nanoseconds between the time of a packet by its stream's schedule and its arrival. In which
    /// frame the schedule began is taken from the first packet, and put right when a later one
    /// proves to be earlier.
    fn late(&mut self, timestamp: u32, received: i64) -> i64 {
        let due_after_base = i64::from(timestamp) * 125_000;
        let in_phase = received - due_after_base - self.phase;
        let latest_base = in_phase.div_euclid(FRAME_NANOS) * FRAME_NANOS + self.phase;
        let base = *self.base.get_or_insert(latest_base);
        if latest_base < base {
            self.base = Some(latest_base);
        }
        received - due_after_base - base.min(latest_base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    #[test]
    fn lateness_is_counted_from_the_streams_own_schedule() {
        // The fourth stream of many: its frames are due 3 ms into each frame.
        let mut stream = Stream::new(3, 1_000).expect("a socket");
        assert_eq!(stream.late(0, 1_003 * MS + 5), 5);
        assert_eq!(stream.late(160, 1_023 * MS + 7 * MS), 7 * MS);
        assert_eq!(stream.late(320, 1_043 * MS + 50 * MS), 50 * MS, "more than a frame");
    }

    #[test]
    fn a_late_first_packet_is_put_right_by_the_next() {
        let mut stream = Stream::new(0, 10).expect("a socket");
        stream.late(0, 1_000 * MS + 25 * MS);
        assert_eq!(stream.late(160, 1_020 * MS + MS), MS);
        assert_eq!(stream.late(320, 1_040 * MS + 30 * MS), 30 * MS);
    }
}
