//! The faces of a running node beside ARI: the socket of operators, the observation listener, the
//! watchdog; and the signals that end it.

use std::io;

use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::pins::Pins;
use super::{Progress, ToNode, admin_socket, notify, observe};
use crate::config;

/// Sockets that are bound and not served yet.
#[derive(Debug)]
pub struct Faces {
    operators: UnixListener,
    observers: TcpListener,
}

impl Faces {
    /// Binds both sockets. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Names the key of the configuration that somebody must change.
    pub async fn bind(admin: &config::Admin) -> io::Result<Self> {
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
        Ok(Self { operators, observers })
    }

    /// Serves both in tasks of the current runtime, and feeds the watchdog. `pins`: where the node
    /// keeps agents.
    pub fn serve(self, to_node: &mpsc::Sender<ToNode>, progress: &Progress, pins: Option<Pins>) {
        tokio::spawn(admin_socket::serve(self.operators, to_node.clone(), pins));
        tokio::spawn(observe::serve(self.observers, to_node.clone(), progress.clone()));
        tokio::spawn(notify::watch(progress.clone(), to_node.clone()));
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
    use super::*;

    #[tokio::test]
    async fn a_socket_that_cannot_be_bound_is_named_by_its_key() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let taken = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let listen = taken.local_addr().expect("bound");
        let admin = config::Admin { socket: directory.path().join("admin.sock"), listen };
        let fault = Faces::bind(&admin).await.expect_err("in use").to_string();
        assert!(fault.starts_with(&format!("admin.listen = \"{listen}\": ")), "{fault}");
        let admin = config::Admin { socket: directory.path().into(), listen };
        let fault = Faces::bind(&admin).await.expect_err("a directory").to_string();
        assert!(fault.starts_with("admin.socket = "), "{fault}");
    }
}
