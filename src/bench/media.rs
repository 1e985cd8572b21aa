//! `portkeeper bench media`: what calls cost, against the floor of the system calls.
//!
//! One run measures both, in turns, so that neighbours on the machine disturb both alike: the
//! floor is a thread with the workers' schedule that does nothing but one `send` and one `recv` per
//! stream and frame; against it stands a real worker with as many calls, each playing a prompt and
//! hearing a far end. Compared is processor time of the one thread; the far end is another thread.
//! Lateness is the kernel's receive time at the far end against the stream's own absolute schedule.
//! Memory is that of a whole node with as many registered ports, and with as many calls.

mod far_end;
mod floor;
pub(super) mod load;
mod memory;

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::mpsc;

use self::far_end::FarEnd;
use self::load::Load;
use self::memory::Memory;
use crate::driver::clock;
use crate::driver::rtp_net::{Config, Report as PortReport, RtpNet};
use crate::ids::{CallId, MediaId, PortId};
use crate::media::{self, Command, DigitSet, Event, Playback, Prompt, SourcePolicy, StreamStart};
use crate::sdp::{Codec, Direction, Negotiated};
use crate::timers::Duration;

/// Turns of floor and calls.
const ROUNDS: u32 = 5;

/// Left out at the beginning of each turn: sockets are opened and caches fill.
const WARM_UP: Duration = Duration::from_millis(500);

/// Calls are set up one after the other, at 100 a second.
const CALL_EVERY: Duration = Duration::from_millis(10);

/// The first local port that is tried: below the ports that the kernel gives to the far end.
const FIRST_UDP_PORT: u16 = 10_000;

/// What to measure.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Calls at once.
    pub calls: u16,
    /// Seconds of calls, and as many of floor.
    pub seconds: u32,
    /// Print JSON.
    pub json: bool,
}

/// What came out. The names are those of the JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Calls at once.
    pub calls: u16,
    /// Processor time of the worker over that of the floor, median of the turns.
    pub cpu_over_floor: f64,
    /// Cores that 1,000 calls take.
    pub cores_per_1000_calls: f64,
    /// The same of the floor.
    pub floor_cores_per_1000: f64,
    /// Share of packets that arrived more than 5 ms after their time.
    pub late_over_5ms_share: f64,
    /// How late packets arrived.
    pub lateness_ms: Lateness,
    /// Memory of a node for a port with a call, all told.
    pub rss_bytes_per_call: u64,
    /// Memory of a node for a registered port without a call.
    pub rss_bytes_per_idle_port: u64,
    /// Scheduling class of the worker.
    pub scheduling: String,
    /// Cores that other processes kept busy meanwhile.
    pub other_cpu_cores: f64,
    /// Packets that the worker left out because it was too late for them.
    pub left_out: u64,
}

/// Lateness in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Lateness {
    /// Median.
    pub p50: f64,
    /// 99 of 100 were earlier.
    pub p99: f64,
    /// 999 of 1,000 were earlier.
    pub p999: f64,
    /// The worst.
    pub max: f64,
    /// Packets.
    pub n: usize,
}

/// Measures and prints. An error means that the system refused a socket or a thread: mostly the
/// limit of open files, of which a call takes four here.
pub fn run(options: Options) -> io::Result<Report> {
    let memory = memory::measure(options.calls.max(1))?;
    let report = measure(options, memory)?;
    super::print(&report, options.json, Report::text)?;
    Ok(report)
}

fn measure(options: Options, memory: Memory) -> io::Result<Report> {
    let calls = options.calls.max(1);
    let turn = Duration::from_secs(u64::from(options.seconds.max(1))) / ROUNDS;
    let mut far = FarEnd::new(calls, turn * ROUNDS)?;
    let (sender, mut events) = mpsc::channel(usize::from(calls) * 4);
    let net = RtpNet::start(&config(calls), Arc::new(sender))?;
    let mut turns = Vec::new();
    let load = Load::begin();
    for _ in 0..ROUNDS {
        let floor = floor::turn(&mut far, turn, WARM_UP)?;
        let ports = open_calls(&net, &mut events, &far, calls)?;
        let worker = worker_turn(&net, &mut far, &ports, turn)?;
        close_calls(&net, &mut events, calls)?;
        turns.push((worker, floor));
    }
    let other_cpu_cores = load.other_cores();
    Ok(Report {
        calls,
        cpu_over_floor: median(turns.iter().map(|(worker, floor)| worker / floor)),
        cores_per_1000_calls: median(turns.iter().map(|t| t.0)) * 1_000.0 / f64::from(calls),
        floor_cores_per_1000: median(turns.iter().map(|t| t.1)) * 1_000.0 / f64::from(calls),
        late_over_5ms_share: far.late_share(Duration::from_millis(5)),
        lateness_ms: far.lateness(),
        rss_bytes_per_call: memory.call,
        rss_bytes_per_idle_port: memory.idle_port,
        scheduling: net.scheduling().to_string(),
        other_cpu_cores,
        left_out: net.counters().left_out,
    })
}

fn config(calls: u16) -> Config {
    Config {
        ports: calls,
        workers: Some(1),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        service: None,
        raise_priority: true,
        recordings: std::env::temp_dir(),
        media: Arc::new(media::Config::default()),
    }
}

/// Cores that the worker keeps busy while the far end speaks.
fn worker_turn(net: &RtpNet, far: &mut FarEnd, ports: &[u16], turn: Duration) -> io::Result<f64> {
    let running = far.speak_to(ports, true)?;
    clock::sleep_until(clock::now() + WARM_UP);
    running.measure();
    let (began, cpu) = (clock::now(), net.counters().cpu_nanos);
    clock::sleep_until(began + turn);
    let busy = net.counters().cpu_nanos - cpu;
    let lasted = clock::now().saturating_duration_since(began);
    far.take_back(running);
    Ok(busy as f64 / lasted.as_nanos() as f64)
}

/// Opens a call on every port, each playing a loop, and returns the UDP ports.
fn open_calls(
    net: &RtpNet,
    events: &mut mpsc::Receiver<PortReport>,
    far: &FarEnd,
    calls: u16,
) -> io::Result<Vec<u16>> {
    let mut next = FIRST_UDP_PORT;
    let mut ports = Vec::new();
    let prompt = prompt();
    for (port, &remote) in (0..calls).map(PortId).zip(far.addresses()) {
        ports.push(open_call(net, events, port, &mut next)?);
        let negotiated = Negotiated {
            remote,
            codec: Codec::Pcmu,
            event_send: Some(101),
            event_recv: Some(101),
            direction: Direction::SendRecv,
            ptime_ms: 20,
        };
        command(net, port, Command::Session(negotiated))?;
        command(net, port, Command::Play(music(&prompt)))?;
        clock::sleep_until(clock::now() + CALL_EVERY);
    }
    Ok(ports)
}

fn open_call(
    net: &RtpNet,
    events: &mut mpsc::Receiver<PortReport>,
    port: PortId,
    next: &mut u16,
) -> io::Result<u16> {
    let start = StreamStart { ssrc: u32::from(port.0) + 1, sequence: 0, timestamp: 0 };
    loop {
        let udp_port = *next;
        *next = next.checked_add(2).ok_or(io::ErrorKind::AddrInUse)?;
        let policy = SourcePolicy::Strict;
        let call = CallId(u64::from(port.0));
        command(net, port, Command::Open { call, udp_port, start, policy, detect_tones: false })?;
        match wait_for(events, |event| matches!(event, Event::Opened | Event::OpenFailed))? {
            Event::Opened => return Ok(udp_port),
            _ => continue,
        }
    }
}

/// Ends every call and waits until the sockets are gone: the playback's end is told after that.
fn close_calls(
    net: &RtpNet,
    events: &mut mpsc::Receiver<PortReport>,
    calls: u16,
) -> io::Result<()> {
    for port in (0..calls).map(PortId) {
        command(net, port, Command::Close)?;
        wait_for(events, |event| matches!(event, Event::PlaybackFinished { .. }))?;
    }
    Ok(())
}

fn command(net: &RtpNet, port: PortId, command: Command) -> io::Result<()> {
    net.send(port, command).map_err(|_| io::Error::other("the media worker hangs"))
}

fn wait_for(
    events: &mut mpsc::Receiver<PortReport>,
    wanted: impl Fn(&Event) -> bool,
) -> io::Result<Event> {
    loop {
        let report = events.blocking_recv().ok_or(io::ErrorKind::BrokenPipe)?;
        if wanted(&report.event) {
            return Ok(report.event);
        }
    }
}

/// Ten seconds of something, which all calls share.
fn prompt() -> Arc<Prompt> {
    let pcmu = (0..80_000_u32).map(|n| (n % 251) as u8).collect::<Bytes>();
    Arc::new(Prompt { pcma: pcmu.clone(), pcmu })
}

/// The same over and over.
fn music(prompt: &Arc<Prompt>) -> Playback {
    Playback {
        id: MediaId(1),
        pieces: vec![Arc::clone(prompt)],
        parts: Vec::new(),
        offset: Duration::ZERO,
        skip: Duration::ZERO,
        repeat: true,
        barge_in: DigitSet::NONE,
        replace: false,
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

impl Report {
    fn text(&self) -> String {
        let Lateness { p50, p99, p999, max, n } = self.lateness_ms;
        format!(
            "{} calls, worker scheduling {}, other processes {:.2} cores\n\
             cpu: {:.3} cores per 1,000 calls, floor {:.3}: {:.2} times the floor\n\
             lateness of {n} packets: p50 {p50:.3} ms, p99 {p99:.3} ms, p99.9 {p999:.3} ms, \
             max {max:.3} ms; {:.3} % over 5 ms; {} left out\n\
             memory of a node: {} KiB for a port in a call, {} KiB for an idle one\n",
            self.calls,
            self.scheduling,
            self.other_cpu_cores,
            self.cores_per_1000_calls,
            self.floor_cores_per_1000,
            self.cpu_over_floor,
            self.late_over_5ms_share * 100.0,
            self.left_out,
            self.rss_bytes_per_call / 1_024,
            self.rss_bytes_per_idle_port / 1_024,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_calls_are_measured_and_every_number_is_there() {
        let memory = Memory { idle_port: 1_024, call: 4_096 };
        let options = Options { calls: 3, seconds: 1, json: true };
        let report = measure(options, memory).expect("sockets");
        assert!(report.cpu_over_floor > 0.0 && report.lateness_ms.n > 0, "{report:?}");
        let json = serde_json::to_value(&report).expect("JSON");
        for key in ["calls", "cpu_over_floor", "late_over_5ms_share", "rss_bytes_per_call"] {
            assert!(json.get(key).is_some_and(serde_json::Value::is_number), "{key}: {json}");
        }
        assert!(json["lateness_ms"]["p99"].is_number() && json["lateness_ms"]["p999"].is_number());
        assert!(report.text().contains("times the floor"));
    }

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!(median([5.0, 1.0, 3.0].into_iter()), 3.0);
        assert_eq!(median(std::iter::empty()), 0.0);
    }
}
