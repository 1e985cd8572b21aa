//! What happens to the cluster, told to one webhook and one program.
//!
//! Each incident is one CloudEvents object (version 1.0, structured JSON). The webhook gets it by
//! POST, again with growing pauses until it answers 2xx or an hour is over; the program gets its
//! name as argument and the object on standard input, and 30 s. So many wait at most: what comes
//! beyond that is in the log alone, and says so. The `id` of an incident is the same whoever tells
//! it, so that a receiver that hears it twice knows.

use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tracing::{error, info, warn};

use super::peer_net::provider;
use crate::config::{Alerts as Config, Webhook};
use crate::node::Incident;

/// Incidents that wait for the webhook, and for the program.
const WAITING_MAX: usize = 64;
/// One try.
const TRY_MAX: Duration = Duration::from_secs(10);
/// Pauses between two tries.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Tries of one incident: about an hour.
const TRIES_MAX: u32 = 64;
/// The program has so long.
const HOOK_MAX: Duration = Duration::from_secs(30);

/// Tells incidents. Its tasks end when it is dropped and what waits is told.
#[derive(Debug, Default)]
pub struct Alerts {
    tellers: Vec<mpsc::Sender<Incident>>,
}

impl Alerts {
    /// Starts what the configuration asks for, on the runtime that is entered.
    ///
    /// # Errors
    /// The CAs of the webhook cannot be read: names the file.
    pub fn start(config: &Config) -> io::Result<Self> {
        let mut tellers = Vec::new();
        if let Some(webhook) = config.webhook.clone() {
            let tls = if webhook.tls { Some(trust(config)?) } else { None };
            let (sender, incidents) = mpsc::channel(WAITING_MAX);
            tokio::spawn(post_all(webhook, tls, incidents, PAUSE_FIRST));
            tellers.push(sender);
        }
        if let Some(hook) = config.hook.clone() {
            let (sender, incidents) = mpsc::channel(WAITING_MAX);
            tokio::spawn(run_all(hook, incidents));
            tellers.push(sender);
        }
        Ok(Self { tellers })
    }

    /// Tells one, without waiting for anybody.
    pub fn tell(&self, incident: &Incident) {
        for teller in &self.tellers {
            if teller.try_send(incident.clone()).is_err() {
                error!(event = incident.kind, text = incident.text, "too many alerts wait: lost");
            }
        }
    }
}

/// The object that is told.
pub(super) fn cloud_event(incident: &Incident) -> String {
    serde_json::json!({
        "specversion": "1.0",
        "id": incident.id,
        "source": incident.source,
        "type": format!("portkeeper.{}", incident.kind),
        "time": super::ledger::utc(incident.unix_ms),
        "datacontenttype": "application/json",
        "data": {
            "text": incident.text,
            "told_by": incident.told_by,
            "epoch": incident.epoch,
        },
    })
    .to_string()
}

async fn post_all(
    webhook: Webhook,
    tls: Option<Arc<ClientConfig>>,
    mut incidents: mpsc::Receiver<Incident>,
    first: Duration,
) {
    while let Some(incident) = incidents.recv().await {
        let mut pause = first;
        for tried in 1..=TRIES_MAX {
            let posted = timeout(TRY_MAX, post(&webhook, tls.as_ref(), &incident)).await;
            let posted = posted.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            let Err(error) = posted else {
                info!(event = incident.kind, "the webhook was told");
                break;
            };
            if tried == TRIES_MAX {
                error!(event = incident.kind, %error, "the webhook was not told: given up");
                break;
            }
            warn!(event = incident.kind, %error, tried, "the webhook was not told: tried again");
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}

async fn post(
    webhook: &Webhook,
    tls: Option<&Arc<ClientConfig>>,
    incident: &Incident,
) -> io::Result<()> {
    let stream = TcpStream::connect((webhook.host.as_str(), webhook.port)).await?;
    match tls {
        None => speak(stream, webhook, incident).await,
        Some(config) => {
            let name = ServerName::try_from(webhook.host.clone()).map_err(io::Error::other)?;
            let connector = TlsConnector::from(Arc::clone(config));
            speak(connector.connect(name, stream).await?, webhook, incident).await
        }
    }
}

async fn speak<S>(stream: S, webhook: &Webhook, incident: &Incident) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(io::Error::other)?;
    let talking = tokio::spawn(connection);
    let request = Request::post(&webhook.path)
        .header("Host", format!("{}:{}", webhook.host, webhook.port))
        .header("Content-Type", "application/cloudevents+json; charset=utf-8")
        .header("Connection", "close")
        .body(Body::from(cloud_event(incident)))
        .map_err(io::Error::other)?;
    let answered = sender.send_request(request).await;
    talking.abort();
    let status = answered.map_err(io::Error::other)?.status();
    if status.is_success() {
        return Ok(());
    }
    Err(io::Error::other(format!("it answered {status}")))
}

/// The CAs that a webhook's certificate may come from.
fn trust(config: &Config) -> io::Result<Arc<ClientConfig>> {
    let named = |error: &dyn std::fmt::Display| {
        io::Error::other(format!("alerts.ca = {}: {error}", config.ca.display()))
    };
    let mut roots = RootCertStore::empty();
    let found = CertificateDer::pem_file_iter(&config.ca).map_err(|error| named(&error))?;
    for certificate in found {
        // A system's bundle may hold some that nobody can use.
        drop(roots.add(certificate.map_err(|error| named(&error))?));
    }
    if roots.is_empty() {
        return Err(named(&"holds no certificate of a CA"));
    }
    let built = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    Ok(Arc::new(built.with_root_certificates(roots).with_no_client_auth()))
}

async fn run_all(hook: std::path::PathBuf, mut incidents: mpsc::Receiver<Incident>) {
    while let Some(incident) = incidents.recv().await {
        match timeout(HOOK_MAX, run(&hook, &incident)).await {
            Ok(Ok(())) => info!(event = incident.kind, "the hook was run"),
            Ok(Err(error)) => warn!(event = incident.kind, %error, "the hook failed"),
            // Dropped, the child is killed.
            Err(_) => warn!(event = incident.kind, "the hook took 30 s and was killed"),
        }
    }
}

async fn run(hook: &std::path::Path, incident: &Incident) -> io::Result<()> {
    let mut command = Command::new(hook);
    command.arg(incident.kind).stdin(Stdio::piped()).stdout(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A hook that does not read is none that failed.
        let _ = stdin.write_all(cloud_event(incident).as_bytes()).await;
    }
    let status = child.wait().await?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("it ended: {status}"))) }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
    use tokio::net::TcpListener;

    use super::*;

    fn incident() -> Incident {
        Incident {
            id: "north-4-primary.down".to_owned(),
            source: "portkeeper/north".to_owned(),
            kind: "primary.down",
            text: "the primary a is down".to_owned(),
            told_by: "w".to_owned(),
            epoch: 4,
            unix_ms: 0,
        }
    }

    /// Answers each POST with the next status; returns the head and the object of each.
    async fn receive(listener: TcpListener, statuses: &[u16]) -> Vec<(String, serde_json::Value)> {
        let mut told = Vec::new();
        for status in statuses {
            let (stream, _) = listener.accept().await.expect("dialled");
            let mut stream = BufReader::new(stream);
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).await.expect("a line");
                if line.trim().is_empty() {
                    break;
                }
                let lower = line.to_ascii_lowercase();
                if let Some(value) = lower.strip_prefix("content-length:") {
                    length = value.trim().parse().expect("a number");
                }
                head += &line;
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.expect("a body");
            let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.expect("answered");
            told.push((head, serde_json::from_slice(&body).expect("JSON")));
        }
        told
    }

    #[tokio::test]
    async fn a_webhook_that_answers_500_is_told_again_until_it_takes_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let webhook = Webhook {
            tls: false,
            host: "127.0.0.1".to_owned(),
            port,
            path: "/hook?x=1".to_owned(),
        };
        let (sender, incidents) = mpsc::channel(4);
        tokio::spawn(post_all(webhook, None, incidents, Duration::from_millis(1)));
        sender.send(incident()).await.expect("taken");
        let told = receive(listener, &[500, 503, 200]).await;
        for (head, event) in &told {
            assert!(head.starts_with("POST /hook?x=1 HTTP/1.1"), "{head}");
            assert!(head.contains("application/cloudevents+json"), "{head}");
            assert_eq!(event["specversion"], "1.0");
            assert_eq!(event["id"], "north-4-primary.down");
            assert_eq!(event["type"], "portkeeper.primary.down");
            assert_eq!(event["time"], "1970-01-01T00:00:00Z");
            assert_eq!(event["data"]["epoch"], 4);
        }
        assert_eq!(told.len(), 3);
    }

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "a script of the test")]
    async fn a_hook_gets_the_event_as_argument_and_the_object_on_its_input() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (hook, out) = (directory.path().join("hook"), directory.path().join("out"));
        let script = format!("#!/bin/sh\necho \"$1\" > {0}\ncat >> {0}\n", out.display());
        std::fs::write(&hook, script).expect("written");
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&hook, mode).expect("changed");
        run(&hook, &incident()).await.expect("run");
        let text = std::fs::read_to_string(&out).expect("there");
        let (argument, object) = text.split_once('\n').expect("two parts");
        assert_eq!(argument, "primary.down");
        let object: serde_json::Value = serde_json::from_str(object).expect("JSON");
        assert_eq!(object["data"]["told_by"], "w");
    }

    #[tokio::test]
    async fn a_hook_that_fails_or_is_not_there_is_an_error() {
        let failed = run(std::path::Path::new("/bin/false"), &incident()).await;
        assert!(failed.expect_err("status 1").to_string().contains("it ended"));
        assert!(run(std::path::Path::new("/nowhere/hook"), &incident()).await.is_err());
    }

    #[tokio::test]
    async fn what_nobody_takes_fills_no_memory() {
        let (sender, _kept) = mpsc::channel(WAITING_MAX);
        let alerts = Alerts { tellers: vec![sender] };
        (0..10 * WAITING_MAX).for_each(|_| alerts.tell(&incident()));
        assert_eq!(alerts.tellers[0].capacity(), 0);
    }
}
