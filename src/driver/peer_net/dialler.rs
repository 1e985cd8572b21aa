//! Dials one peer whenever there is no connection to it, with growing pauses.
//!
//! The credentials are read for each try: a certificate that was renewed is used without a restart.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::{TlsConnector, TlsStream};

use super::credentials::{Credentials, NODE_PROTOCOL};
use super::peer::Wanted;
use super::trouble::explain;
use super::wire;
use crate::config::{Cluster, Member};

/// First pause between two tries.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest pause, and that after a refusal which somebody must mend.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// A try takes this long at most.
const TRY_MAX: Duration = Duration::from_secs(5);

/// Where the dialler hands in what it got.
pub(super) struct Out {
    pub(super) arrivals: mpsc::Sender<TlsStream<TcpStream>>,
    pub(super) complaints: mpsc::Sender<String>,
}

/// Dials until the peer's task is gone.
pub(super) async fn dial(
    cluster: Cluster,
    peer: Member,
    mut wanted: watch::Receiver<Wanted>,
    out: Out,
) {
    let mut pause = PAUSE_MIN;
    loop {
        sleep(pause).await;
        match connect(&cluster, &peer, NODE_PROTOCOL).await {
            Ok(stream) => {
                // The task that gets it says that nothing is wanted; until then another try would
                // be one too many.
                wanted.mark_unchanged();
                if out.arrivals.send(stream).await.is_err() || wanted.changed().await.is_err() {
                    return;
                }
                let wants = wanted.wait_for(|wants| *wants != Wanted::Nothing).await;
                pause = match wants.map(|wants| *wants) {
                    Ok(Wanted::Nothing | Wanted::Connection) => PAUSE_MIN,
                    Ok(Wanted::Again) => (2 * pause).min(PAUSE_MAX),
                    Ok(Wanted::Later) => PAUSE_MAX,
                    Err(_) => return,
                };
            }
            Err(error) => {
                pause = (2 * pause).min(PAUSE_MAX);
                let text = format!("{}: {}", peer.name, explain(&error, &peer.name));
                if out.complaints.send(text).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// One try.
pub(super) async fn connect(
    cluster: &Cluster,
    peer: &Member,
    protocol: &[u8],
) -> io::Result<TlsStream<TcpStream>> {
    let link = peer.link.ok_or_else(|| io::Error::other("it has no link"))?;
    let credentials = Credentials::load(&cluster.credentials, &cluster.name_of(cluster.me))?;
    let connector = TlsConnector::from(credentials.client(protocol)?);
    let name = ServerName::try_from(peer.name.clone()).map_err(io::Error::other)?;
    let own = cluster.member(cluster.me).and_then(|me| me.link);
    let connecting = async {
        let stream = reach(own, link).await.map_err(|error| {
            io::Error::new(error.kind(), format!("{link} cannot be reached: {error}"))
        })?;
        wire::prepare(&stream)?;
        connector.connect(name, stream).await
    };
    let stream = timeout(TRY_MAX, connecting).await.map_err(|_| {
        let text = format!("{link} does not answer within {} s", TRY_MAX.as_secs());
        io::Error::new(io::ErrorKind::TimedOut, text)
    })??;
    Ok(stream.into())
}

/// Connects from the address of our own link: firewalls and the far end know it.
async fn reach(own: Option<SocketAddr>, link: SocketAddr) -> io::Result<TcpStream> {
    let socket = if link.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Some(own) = own.filter(|own| own.is_ipv4() == link.is_ipv4()) {
        socket.bind(SocketAddr::new(own.ip(), 0))?;
    }
    socket.connect(link).await
}
