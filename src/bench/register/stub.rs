//! A registrar that does nothing else: the simulator's PBX on a blocking socket.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "a socket of its own")]

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

/// Registrations that have begun: REGISTERs without credentials.
#[derive(Debug, Default)]
struct Begun {
    count: u32,
    first: Instant,
    last: Instant,
}

impl Begun {
    fn add(&mut self, now: Instant, request: &[u8]) {
        let signed = memchr::memmem::find(request, b"\r\nAuthorization:").is_some();
        if !request.starts_with(b"REGISTER ") || signed {
            return;
        }
        self.count += 1;
        self.last = now;
        if self.count == 1 {
            self.first = now;
        }
    }

    /// From the first to the last of them.
    fn per_second(&self) -> f64 {
        let lasted = self.last.saturating_duration_since(self.first).as_secs_f64();
        if lasted > 0.0 { f64::from(self.count - 1) / lasted } else { 0.0 }
    }
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
    fn only_requests_without_credentials_begin_a_registration() {
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        let mut begun = Begun::default();
        for (ms, request) in [
            (1_000, "REGISTER sip:a SIP/2.0\r\nTo: <sip:1@a>\r\n\r\n"),
            (1_001, "REGISTER sip:a SIP/2.0\r\nAuthorization: Digest\r\n\r\n"),
            (1_010, "REGISTER sip:a SIP/2.0\r\nTo: <sip:2@a>\r\n\r\n"),
            (1_020, "REGISTER sip:a SIP/2.0\r\nTo: <sip:3@a>\r\n\r\n"),
        ] {
            begun.add(at(ms), request.as_bytes());
        }
        assert_eq!(begun.per_second(), 100.0);
    }
}
