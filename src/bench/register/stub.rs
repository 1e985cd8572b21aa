//! A registrar that does nothing else: the simulator's PBX on a blocking socket.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "a socket of its own")]

use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::thread::JoinHandle;

use bytes::Bytes;
use rand_core::{OsRng, SeedableRng, TryRngCore};

use super::Seen;
use crate::driver::clock;
use crate::ids::Rng;
use crate::redact::Redacted;
use crate::sim::pbx::{Event, Input, Manner, Output, Pbx};
use crate::stage::node::PASSWORD;
use crate::timers::{Duration, Instant};

/// A node that registers nothing for so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Requests of a port: one without credentials, one with.
const REQUESTS: u64 = 2;

/// A registrar that waits for its ports.
pub(super) struct Stub {
    pub(super) address: SocketAddr,
    thread: JoinHandle<io::Result<Seen>>,
}

impl Stub {
    pub(super) fn start(extensions: RangeInclusive<u32>) -> io::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let address = socket.local_addr()?;
        let mut seed = [0; 32];
        OsRng.try_fill_bytes(&mut seed).map_err(io::Error::other)?;
        let password = Redacted::new(PASSWORD.to_owned());
        let accounts: std::collections::BTreeMap<_, _> =
            extensions.map(|n| (n.to_string(), password.clone())).collect();
        let ports = accounts.len() as u64;
        let pbx = Pbx::new(address, accounts, Manner::default(), Rng::from_seed(seed));
        let desk = Desk { socket, pbx, ports };
        let thread =
            std::thread::Builder::new().name("registrar".to_owned()).spawn(move || desk.serve())?;
        Ok(Self { address, thread })
    }

    /// Waits for the last port.
    pub(super) fn wait(self) -> io::Result<Seen> {
        self.thread.join().map_err(|_| io::Error::other("the registrar's thread panicked"))?
    }
}

/// Registrations that have begun: REGISTERs without credentials, each by Call-ID and CSeq, so that
/// one that is repeated counts once.
#[derive(Debug, Default)]
struct Begun {
    seen: BTreeSet<[Vec<u8>; 2]>,
    first: Instant,
    last: Instant,
}

impl Begun {
    fn add(&mut self, now: Instant, request: &[u8]) {
        let signed = memchr::memmem::find(request, b"\r\nAuthorization:").is_some();
        let named = [field(request, b"\r\nCall-ID:"), field(request, b"\r\nCSeq:")];
        if !request.starts_with(b"REGISTER ") || signed || !self.seen.insert(named) {
            return;
        }
        self.last = now;
        if self.seen.len() == 1 {
            self.first = now;
        }
    }

    /// From the first to the last of them.
    fn per_second(&self) -> f64 {
        let lasted = self.last.saturating_duration_since(self.first).as_secs_f64();
        if lasted > 0.0 { (self.seen.len() - 1) as f64 / lasted } else { 0.0 }
    }
}

/// What a header field says, as our own node writes it.
fn field(request: &[u8], name: &[u8]) -> Vec<u8> {
    let Some(at) = memchr::memmem::find(request, name) else { return Vec::new() };
    let value = &request[at + name.len()..];
    value[..memchr::memchr(b'\r', value).unwrap_or(value.len())].to_vec()
}

struct Desk {
    socket: UdpSocket,
    pbx: Pbx,
    ports: u64,
}

impl Desk {
    fn serve(mut self) -> io::Result<Seen> {
        let (mut registered, mut requests) = (0, 0);
        let mut begun = Begun::default();
        let mut first: Option<(Instant, u64)> = None;
        let mut buffer = [0; 4_096];
        while registered < self.ports {
            let (length, from) = self.socket.recv_from(&mut buffer)?;
            let now = clock::now();
            first.get_or_insert_with(|| (now, clock::thread_cpu_nanos()));
            requests += u64::from(buffer.starts_with(b"REGISTER "));
            begun.add(now, &buffer[..length]);
            let bytes = Bytes::copy_from_slice(&buffer[..length]);
            self.pbx.handle_input(now, Input::Datagram { from, bytes });
            registered += self.answer()?;
        }
        let (began, cpu) = first.unwrap_or((clock::now(), clock::thread_cpu_nanos()));
        Ok(Seen {
            total: clock::now().saturating_duration_since(began),
            cpu: Duration::from_nanos(clock::thread_cpu_nanos() - cpu),
            control_cpu: Duration::ZERO,
            begun_per_second: begun.per_second(),
            repeated: requests.saturating_sub(REQUESTS * self.ports),
        })
    }

    /// Sends what there is to send, and counts new bindings.
    fn answer(&mut self) -> io::Result<u64> {
        let mut registered = 0;
        while let Some(output) = self.pbx.poll_output() {
            match output {
                Output::Datagram { to, bytes } => drop(self.socket.send_to(&bytes, to)?),
                Output::Event(Event::Registered { .. }) => registered += 1,
                Output::Event(_) => {}
            }
        }
        Ok(registered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_without_credentials_begins_one_registration_however_often_it_comes() {
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        let mut begun = Begun::default();
        for (ms, call, more) in [
            (1_000, "a", "CSeq: 1 REGISTER"),
            (1_001, "a", "CSeq: 2 REGISTER\r\nAuthorization: Digest"),
            (1_010, "b", "CSeq: 1 REGISTER"),
            (1_015, "a", "CSeq: 1 REGISTER"),
            (1_020, "c", "CSeq: 1 REGISTER"),
            (1_050, "b", "CSeq: 1 REGISTER"),
        ] {
            let request = format!("REGISTER sip:a SIP/2.0\r\nCall-ID: {call}\r\n{more}\r\n\r\n");
            begun.add(at(ms), request.as_bytes());
        }
        assert_eq!((begun.seen.len(), begun.per_second()), (3, 100.0));
    }
}
