//! The faces of a running node beside ARI: the socket of operators, the observation listener, the
//! watchdog; and the signals that end it.

use std::io;

use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::api::{Api, Keys};
use super::http::{self, Door};
use super::pins::Pins;
use super::{Progress, ToNode, admin_socket, notify, observe};
use crate::config::{Admin, Cluster};

/// Sockets that are bound and not served yet.
#[derive(Debug)]
pub struct Faces {
    operators: UnixListener,
    observers: TcpListener,
    /// Of operators on other hosts.
    remote: Option<(TcpListener, Door)>,
    keys: Keys,
}

impl Faces {
    /// Binds their sockets. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Names the key of the configuration that somebody must change.
    pub async fn bind(admin: &Admin, cluster: &Cluster) -> io::Result<Self> {
        let named = |key: &str, value: String| {
            let key = key.to_owned();
            move |error: io::Error| {
                io::Error::new(error.kind(), format!("{key} = \"{value}\": {error}"))
            }
        };
        let operators = admin_socket::bind(&admin.socket)
            .map_err(named("admin.socket", admin.socket.display().to_string()))?;
        let observers = TcpListener::bind(admin.listen)
            .await
            .map_err(named("admin.listen", admin.listen.to_string()))?;
        let remote = match admin.tls_listen {
            None => None,
            Some(listen) => {
                let fault = named("admin.tls_listen", listen.to_string());
                let listener = TcpListener::bind(listen).await.map_err(fault)?;
                Some((listener, Door::open(cluster)?))
            }
        };
        Ok(Self { operators, observers, remote, keys: Keys::of(admin) })
    }

    /// Serves them in tasks of the current runtime, and feeds the watchdog. `pins`: where the node
    /// keeps agents.
    pub fn serve(self, to_node: &mpsc::Sender<ToNode>, progress: &Progress, pins: Option<Pins>) {
        tokio::spawn(notify::watch(progress.clone(), to_node.clone()));
        tokio::spawn(admin_socket::serve(self.operators, to_node.clone(), pins));
        let api = Api::new(self.keys, to_node.clone());
        if let Some((listener, door)) = self.remote {
            let api = api.clone();
            tokio::spawn(async move {
                http::serve_router_tls(listener, door, |peer| api.router(peer)).await
            });
        }
        let (observers, progress, inbox) = (self.observers, progress.clone(), to_node.clone());
        tokio::spawn(async move {
            observe::serve(observers, inbox, progress, |peer| api.router(peer)).await
        });
    }
}

/// Waits for a signal to stop, and names it.
///
/// # Errors
/// The signals cannot be watched.
pub async fn stop_signal() -> io::Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
        _ = hang_up.recv() => "SIGHUP",
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[tokio::test]
    async fn a_socket_that_cannot_be_bound_is_named_by_its_key() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let taken = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let listen = taken.local_addr().expect("bound");
        let cluster = Cluster::single("a", "pbx");
        let mut admin = Admin {
            socket: directory.path().join("admin.sock"),
            listen,
            tls_listen: None,
            tokens: BTreeMap::new(),
        };
        let fault = Faces::bind(&admin, &cluster).await.expect_err("in use").to_string();
        assert!(fault.starts_with(&format!("admin.listen = \"{listen}\": ")), "{fault}");
        admin.socket = directory.path().into();
        let fault = Faces::bind(&admin, &cluster).await.expect_err("a directory").to_string();
        assert!(fault.starts_with("admin.socket = "), "{fault}");
    }
}
