//! ARI and the API of operators over TLS, for other hosts: the node's certificate of the cluster,
//! TLS 1.3.
//!
//! Who connects shows no certificate: applications have users and passwords, operators tokens. A
//! certificate that was renewed is used from the next connection on.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::Cluster;
use crate::driver::peer_net::{Credentials, Stamp, stamp_of};

/// A handshake takes this long at most.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);

/// Takes connections in over TLS.
#[derive(Debug)]
pub struct Door {
    directory: PathBuf,
    name: String,
    /// Version of the certificate in use.
    stamp: Option<Stamp>,
    config: Arc<ServerConfig>,
}

impl Door {
    /// With the certificate of this node.
    ///
    /// # Errors
    /// The files cannot be used: names the one, and who must act.
    pub fn open(cluster: &Cluster) -> io::Result<Self> {
        let (directory, name) = (cluster.credentials.clone(), cluster.name_of(cluster.me));
        let stamp = stamp_of(&directory);
        let config = Credentials::load(&directory, &name)?.server_for_anyone()?;
        Ok(Self { directory, name, stamp, config })
    }

    /// The handshake of the next connection, to be done by a task of its own.
    pub(super) fn next(&mut self) -> Handshake {
        let stamp = stamp_of(&self.directory);
        if stamp != self.stamp {
            self.stamp = stamp;
            let loaded = Credentials::load(&self.directory, &self.name);
            match loaded.and_then(|new| new.server_for_anyone()) {
                Ok(config) => self.config = config,
                Err(error) => tracing::warn!(%error, "listeners go on with the old certificate"),
            }
        }
        Handshake(TlsAcceptor::from(Arc::clone(&self.config)))
    }
}

/// One handshake.
pub(super) struct Handshake(TlsAcceptor);

impl Handshake {
    pub(super) async fn shake(self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let shaken = timeout(HANDSHAKE_MAX, self.0.accept(stream)).await;
        shaken.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}
