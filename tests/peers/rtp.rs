//! One end of an audio stream: sends silence and digits every 20 ms, remembers what arrives.

use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::prompts;

/// One packet of audio that arrived.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// When.
    pub at: Instant,
    /// Its synchronisation source.
    pub ssrc: u32,
    /// Its sequence number.
    pub sequence: u16,
    /// The prompt that it is a part of.
    pub prompt: Option<&'static str>,
    /// Its pitch in Hz, if it is a tone.
    pub hz: Option<f64>,
}

struct State {
    target: Option<SocketAddr>,
    /// Whoever sends is answered, as with symmetric RTP.
    learn: bool,
    event_type: u8,
    ssrc: u32,
    digits: VecDeque<u8>,
    heard: Vec<Heard>,
}

/// A socket with a thread that keeps time.
pub struct RtpEnd {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
}

impl RtpEnd {
    /// Opens a socket below 32768 on 127.0.0.1. Without a target it answers whoever sends.
    pub fn open(target: Option<SocketAddr>) -> Self {
        let socket = bind_even();
        let address = socket.local_addr().expect("bound");
        let state = Arc::new(Mutex::new(State {
            target,
            learn: target.is_none(),
            event_type: 101,
            ssrc: 0x1000_0000 | u32::from(address.port()),
            digits: VecDeque::new(),
            heard: Vec::new(),
        }));
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, ended) = (state.clone(), stop.clone());
        thread::spawn(move || run(&socket, &shared, &ended));
        Self { address, state, stop }
    }

    /// Its UDP port.
    pub fn udp_port(&self) -> u16 {
        self.address.port()
    }

    /// Sends there from the next packet on.
    pub fn aim(&self, target: SocketAddr) {
        let mut state = self.lock();
        state.target = Some(target);
        state.learn = false;
    }

    /// Payload type of the digits that it sends.
    pub fn event_type(&self, payload_type: u8) {
        self.lock().event_type = payload_type;
    }

    /// Becomes another source, as a PBX does that moves a call to another gateway.
    pub fn new_ssrc(&self) {
        self.lock().ssrc ^= 0x0F0F_0F0F;
    }

    /// Presses keys, 160 ms each, 100 ms apart.
    pub fn press(&self, keys: &str) {
        self.lock().digits.extend(keys.bytes());
    }

    /// Whether all keys were sent.
    pub fn pressed_all(&self) -> bool {
        self.lock().digits.is_empty()
    }

    /// Everything that arrived so far.
    pub fn heard(&self) -> Vec<Heard> {
        self.lock().heard.clone()
    }

    /// The prompts that arrived, in order, each once per run of packets.
    pub fn prompts(&self) -> Vec<&'static str> {
        let mut names: Vec<&'static str> = Vec::new();
        for name in self.heard().into_iter().filter_map(|h| h.prompt) {
            if names.last() != Some(&name) {
                names.push(name);
            }
        }
        names
    }

    /// Whether this prompt has been heard for at least five frames.
    pub fn hears(&self, prompt: &str) -> bool {
        self.heard().iter().filter(|h| h.prompt == Some(prompt)).count() >= 5
    }

    /// Whether a tone was heard for at least five frames since then.
    pub fn hears_after(&self, since: Instant) -> bool {
        self.heard().iter().filter(|h| h.at > since && h.hz.is_some()).count() >= 5
    }

    /// The longest time between two packets that arrived one after the other.
    pub fn longest_gap(&self) -> Duration {
        let heard = self.heard();
        heard.windows(2).map(|w| w[1].at - w[0].at).max().unwrap_or(Duration::ZERO)
    }

    /// Sequence numbers that are not one more than the last, of one source.
    pub fn sequence_breaks(&self) -> usize {
        let heard = self.heard();
        let follows =
            |w: &[Heard]| w[0].ssrc == w[1].ssrc && w[1].sequence == w[0].sequence.wrapping_add(1);
        heard.windows(2).filter(|w| !follows(w)).count()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }
}

impl Drop for RtpEnd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// RTP wants an even port; below 32768 no connected socket of another program is in the way.
fn bind_even() -> UdpSocket {
    use std::sync::atomic::AtomicU16;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let port = 25_000 + (NEXT.fetch_add(2, Ordering::Relaxed) % 4_000);
        if let Ok(socket) = UdpSocket::bind(("127.0.0.1", port)) {
            socket.set_nonblocking(true).expect("a fresh socket");
            return socket;
        }
    }
}

/// A key being sent (RFC 4733): its packets share one timestamp.
struct Pressing {
    key: u8,
    timestamp: u32,
    frame: u16,
}

/// Eight frames of 20 ms, then three end packets.
const FRAMES: u16 = 8;

fn run(socket: &UdpSocket, shared: &Mutex<State>, stop: &AtomicBool) {
    let (mut sequence, mut timestamp) = (1u16, 160u32);
    let mut pressing: Option<Pressing> = None;
    let mut pause = 0u32;
    let mut next = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        receive(socket, shared);
        if Instant::now() < next {
            thread::sleep(Duration::from_millis(2));
            continue;
        }
        next += Duration::from_millis(20);
        timestamp = timestamp.wrapping_add(160);
        let mut state = shared.lock().expect("no holder panics");
        let Some(target) = state.target else { continue };
        if pressing.is_none() && pause == 0 {
            let key = state.digits.front().copied();
            pressing = key.map(|key| Pressing { key, timestamp, frame: 0 });
        }
        pause = pause.saturating_sub(1);
        let (ssrc, event_type) = (state.ssrc, state.event_type);
        let mut send = |marker: bool, payload_type: u8, timestamp: u32, payload: &[u8]| {
            let packet = packet(marker, payload_type, sequence, timestamp, ssrc, payload);
            sequence = sequence.wrapping_add(1);
            // A peer that is gone answers with ICMP; the test sees that elsewhere.
            let _ = socket.send_to(&packet, target);
        };
        let Some(key) = &mut pressing else {
            send(false, 0, timestamp, &[0xFF; 160]);
            continue;
        };
        key.frame += 1;
        let end = key.frame >= FRAMES;
        let duration = (key.frame * 160).to_be_bytes();
        let payload = [code(key.key), if end { 0x8A } else { 0x0A }, duration[0], duration[1]];
        for _ in 0..if end { 3 } else { 1 } {
            send(key.frame == 1, event_type, key.timestamp, &payload);
        }
        if end {
            pressing = None;
            pause = 5;
            state.digits.pop_front();
        }
    }
}

fn receive(socket: &UdpSocket, shared: &Mutex<State>) {
    let mut buffer = [0; 2_048];
    while let Ok((n, from)) = socket.recv_from(&mut buffer) {
        let at = Instant::now();
        let packet = &buffer[..n];
        let mut state = shared.lock().expect("no holder panics");
        if state.learn {
            state.target = Some(from);
        }
        let payload_type = packet.get(1).map_or(0xFF, |b| b & 0x7F);
        if n < 12 || !matches!(payload_type, prompts::PCMU | prompts::PCMA) {
            continue;
        }
        let field = |i: usize| u32::from_be_bytes([0, 1, 2, 3].map(|k| packet[i + k]));
        state.heard.push(Heard {
            at,
            ssrc: field(8),
            sequence: u16::from_be_bytes([packet[2], packet[3]]),
            prompt: prompts::name_of(payload_type, &packet[12..]),
            hz: prompts::pitch(payload_type, &packet[12..]),
        });
    }
}

fn packet(
    marker: bool,
    payload_type: u8,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    payload: &[u8],
) -> Vec<u8> {
    let mut out = vec![0x80, payload_type | if marker { 0x80 } else { 0 }];
    out.extend(sequence.to_be_bytes());
    out.extend(timestamp.to_be_bytes());
    out.extend(ssrc.to_be_bytes());
    out.extend(payload);
    out
}

fn code(key: u8) -> u8 {
    match key {
        b'0'..=b'9' => key - b'0',
        b'*' => 10,
        b'#' => 11,
        other => panic!("no such key: {}", char::from(other)),
    }
}
