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

struct Desk {
    socket: UdpSocket,
    pbx: Pbx,
    ports: u64,
}

impl Desk {
    fn serve(mut self) -> io::Result<Seen> {
        let (mut registered, mut requests) = (0, 0);
        let mut first: Option<(Instant, u64)> = None;
        let mut buffer = [0; 4_096];
        while registered < self.ports {
            let (length, from) = self.socket.recv_from(&mut buffer)?;
            let now = clock::now();
            first.get_or_insert_with(|| (now, clock::thread_cpu_nanos()));
            requests += u64::from(buffer.starts_with(b"REGISTER "));
            let bytes = Bytes::copy_from_slice(&buffer[..length]);
            self.pbx.handle_input(now, Input::Datagram { from, bytes });
            registered += self.answer()?;
        }
        let (began, cpu) = first.unwrap_or((clock::now(), clock::thread_cpu_nanos()));
        Ok(Seen {
            total: clock::now().saturating_duration_since(began),
            cpu: Duration::from_nanos(clock::thread_cpu_nanos() - cpu),
            control_cpu: Duration::ZERO,
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
