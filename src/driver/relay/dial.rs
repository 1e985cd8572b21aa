//! Connections to one node's ARI listener: in clear, or with TLS and the one CA that is trusted.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::NodeAddress;
use crate::driver::http::USER_TIMEOUT;
use crate::driver::peer_net::{certificate, provider};
use crate::driver::tune;

/// A node that takes longer to be connected to is not there.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// Header lines of an answer, and all of them together.
const HEADERS_MAX: usize = 64;
const HEAD_MAX: usize = 32 * 1024;

/// Dials one node.
pub(super) struct Dialler {
    address: NodeAddress,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Dialler {
    /// For a node; `trust`: TLS, with these.
    ///
    /// # Errors
    /// The node's name cannot be that of a certificate.
    pub(super) fn new(
        address: NodeAddress,
        trust: Option<&Arc<ClientConfig>>,
    ) -> Result<Self, String> {
        let tls = match trust {
            None => None,
            Some(config) => {
                let name = ServerName::try_from(address.certified_name().to_owned())
                    .map_err(|_| format!("{address}: no certificate can have this name"))?;
                Some((TlsConnector::from(Arc::clone(config)), name))
            }
        };
        Ok(Self { address, tls })
    }

    /// A connection that takes a request.
    pub(super) async fn connect(&self) -> io::Result<SendRequest<Body>> {
        let connected = timeout(CONNECT_MAX, self.open()).await;
        connected.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn open(&self) -> io::Result<SendRequest<Body>> {
        let stream = TcpStream::connect((self.address.host.as_str(), self.address.port)).await?;
        tune(&stream, USER_TIMEOUT)?;
        match &self.tls {
            None => speak(stream).await,
            Some((connector, name)) => speak(connector.connect(name.clone(), stream).await?).await,
        }
    }
}

async fn speak<S>(stream: S) -> io::Result<SendRequest<Body>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut http = http1::Builder::new();
    let http = http.max_headers(HEADERS_MAX).max_buf_size(HEAD_MAX);
    let (sender, connection) =
        http.handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    // It ends with its sender, or becomes a WebSocket.
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to a node ended");
        }
    });
    Ok(sender)
}

/// Trusts one CA and nobody else.
///
/// # Errors
/// The file cannot be used: names it.
pub(super) fn trust(ca: &Path) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    let named = |error| io::Error::other(format!("{}: {error}", ca.display()));
    roots.add(certificate(ca)?).map_err(named)?;
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
