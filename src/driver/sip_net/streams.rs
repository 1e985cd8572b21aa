//! Connections of SIP over TCP, each with a task that reads and writes.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::{ACCEPTED, Received, STREAM_SENDS_MAX};
use crate::driver::{clock, tune};
use crate::sip::{Input, SocketId, StreamId};
use crate::timers::Instant;

/// A way that is gone without a word is left before the transactions on it end (RFC 3261 section
/// 17.1.1.2: timer B), so that the next request connects anew.
const USER_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a message that claims waits for a slow peer before the lease is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// One message for a connection.
#[derive(Debug)]
pub struct Send {
    /// Whole.
    pub(super) bytes: Bytes,
    /// It takes a port or a call for this node.
    pub(super) claims: bool,
}

/// Until when messages that claim may leave, as the event loop last said.
#[derive(Debug, Default)]
pub(super) struct Claims {
    until: AtomicU64,
    /// Those that did not leave.
    withheld: AtomicU64,
}

impl Claims {
    pub(super) fn until(&self, until: Instant) {
        self.until.store(until.as_nanos(), Ordering::Relaxed);
    }

    pub(super) fn withheld(&self) -> u64 {
        self.withheld.load(Ordering::Relaxed)
    }

    fn left(&self) -> Duration {
        let until = Instant::from_nanos(self.until.load(Ordering::Relaxed));
        until.saturating_duration_since(clock::now())
    }
}

pub(super) async fn connect_from(local: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = match to {
        SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
        SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6()?,
    };
    socket.bind(SocketAddr::new(local, 0))?;
    socket.connect(to).await
}

/// Connections that a PBX makes to our Contact.
pub(super) async fn accept_streams(
    id: SocketId,
    listener: TcpListener,
    inputs: mpsc::Sender<Received>,
    claims: Arc<Claims>,
) {
    let mut next = ACCEPTED | (u64::from(id.0) << 40);
    loop {
        match listener.accept().await {
            Ok((connection, _)) => {
                next += 1;
                let stream = StreamId(next);
                let (writer, sends) = mpsc::channel(STREAM_SENDS_MAX);
                if inputs.send(Received::Accepted { stream, writer }).await.is_err() {
                    return;
                }
                let inputs = inputs.clone();
                tokio::spawn(run_stream(stream, connection, sends, inputs, Arc::clone(&claims)));
            }
            Err(error) => {
                warn!(%error, "cannot accept a SIP connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Reads and writes one connection until either side ends it.
pub(super) async fn run_stream(
    stream: StreamId,
    connection: TcpStream,
    mut sends: mpsc::Receiver<Send>,
    inputs: mpsc::Sender<Received>,
    claims: Arc<Claims>,
) {
    let (Ok(peer), Ok(local)) = (connection.peer_addr(), connection.local_addr()) else {
        return down(stream, &inputs).await;
    };
    if let Err(error) = tune(&connection, USER_TIMEOUT) {
        debug!(%error, "SIP connection");
    }
    let up = Received::Input(Input::StreamUp { stream, peer, local });
    if inputs.send(up).await.is_err() {
        return;
    }
    let (mut reader, mut writer) = connection.into_split();
    let mut buffer = BytesMut::with_capacity(16 * 1024);
    loop {
        tokio::select! {
            read = reader.read_buf(&mut buffer) => match read {
                Ok(0) | Err(_) => break,
                Ok(_) => {
                    let bytes = buffer.split().freeze();
                    // A full channel stops the reading: TCP slows the peer down.
                    let data = Received::Input(Input::StreamData { stream, bytes });
                    if inputs.send(data).await.is_err() {
                        return;
                    }
                    buffer.reserve(16 * 1024);
                }
            },
            send = sends.recv() => match send {
                Some(send) => if write(&mut writer, &send, &claims).await.is_err() { break },
                None => break,
            },
        }
    }
    down(stream, &inputs).await;
}

/// What claims leaves while the lease lasts, and not when it was ready to leave: a peer that reads
/// slowly makes it wait here. A message of which a part has left cannot be taken back, nor may its
/// rest leave: the connection ends.
async fn write(
    writer: &mut (impl AsyncWrite + Unpin),
    send: &Send,
    claims: &Claims,
) -> io::Result<()> {
    if !send.claims {
        return writer.write_all(&send.bytes).await;
    }
    let mut rest = &send.bytes[..];
    while !rest.is_empty() {
        let left = claims.left();
        if left.is_zero() {
            claims.withheld.fetch_add(1, Ordering::Relaxed);
            let whole = rest.len() == send.bytes.len();
            return if whole { Ok(()) } else { Err(io::ErrorKind::TimedOut.into()) };
        }
        tokio::select! {
            written = writer.write(rest) => match written? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => rest = &rest[count..],
            },
            // The lease may have been renewed meanwhile.
            () = tokio::time::sleep(left.min(LOOK_AGAIN)) => {}
        }
    }
    Ok(())
}

pub(super) async fn down(stream: StreamId, inputs: &mpsc::Sender<Received>) {
    // The event loop has stopped if this fails, and nobody needs to know.
    drop(inputs.send(Received::Input(Input::StreamDown { stream })).await);
}

#[cfg(test)]
mod tests {
    use socket2::SockRef;

    use super::*;

    #[tokio::test]
    async fn a_connection_without_a_peer_ends_before_the_requests_on_it_do() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let connection = TcpStream::connect(address).await.expect("connected");
        tune(&connection, USER_TIMEOUT).expect("tuned");
        let set = SockRef::from(&connection).tcp_user_timeout().expect("told");
        assert_eq!(set, Some(USER_TIMEOUT));
        assert!(USER_TIMEOUT < Duration::from_secs(32), "timer B");
    }
}
