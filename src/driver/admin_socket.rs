//! The Unix socket of operators: one JSON line in, one JSON line out, as often as wanted.
//!
//! Whoever may open the socket may give orders: the kernel lets its owner and group do so, and
//! nobody else. The log names the user behind each order, by the kernel's word.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::pins::Pins;
use super::{ToNode, observe};
use crate::admin::{self, AgentWish, NO_AGENTS, NewAgent, Reply, Request};
use crate::ha::role;
use crate::node::AgentChange;
use crate::store::{self, Standing, Who};

/// What is answered when nobody will carry it out.
const STOPPING: &str = "the node is stopping";
/// A request; the longest is an agent with all its extensions.
const LINE_MAX: u64 = 4_096;
/// Operators at once.
const CONNECTIONS_MAX: usize = 32;
/// The longest that an answer takes: a promotion waits for every port.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// An operator who says nothing is sent away.
const IDLE_MAX: Duration = Duration::from_secs(300);

/// Makes the socket. A file that an earlier process left is removed; one that answers is not.
///
/// # Errors
/// The path cannot be used, or another node answers there.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Some(directory) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
        fs::create_dir_all(directory)?;
    }
    remove_stale(path)?;
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

fn remove_stale(path: &Path) -> io::Result<()> {
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() {
        let text = "is there and no socket: write another path";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        let text = "another node answers there: stop it, or write another path";
        return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
    }
    fs::remove_file(path)
}

/// Serves operators until the task is dropped.
pub async fn serve(
    listener: UnixListener,
    to_node: mpsc::Sender<ToNode>,
    pins: Option<Pins>,
) -> Infallible {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let permit = Arc::clone(&room).acquire_owned().await;
        match listener.accept().await {
            Ok((stream, _)) => {
                let (to_node, pins) = (to_node.clone(), pins.clone());
                tokio::spawn(async move {
                    let _permit = permit;
                    if let Err(error) = converse(stream, &to_node, pins.as_ref()).await {
                        tracing::debug!(%error, "operator's connection ended");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept an operator");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(
    stream: UnixStream,
    to_node: &mpsc::Sender<ToNode>,
    pins: Option<&Pins>,
) -> io::Result<()> {
    let uid = stream.peer_cred()?.uid();
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let mut line = String::new();
        let mut limited = (&mut read).take(LINE_MAX);
        let next = tokio::time::timeout(IDLE_MAX, limited.read_line(&mut line));
        let length = next.await.map_err(io::Error::other)??;
        if length == 0 {
            return Ok(());
        }
        let reply = if line.ends_with('\n') {
            answer(&line, uid, to_node, pins).await
        } else {
            Reply::Error(format!("a request is one line of at most {LINE_MAX} bytes"))
        };
        let mut text = serde_json::to_string(&reply)?;
        text.push('\n');
        write.write_all(text.as_bytes()).await?;
        if !line.ends_with('\n') {
            return Ok(());
        }
    }
}

async fn answer(
    line: &str,
    uid: u32,
    to_node: &mpsc::Sender<ToNode>,
    pins: Option<&Pins>,
) -> Reply {
    let request: Request = match serde_json::from_str(line) {
        Ok(request) => request,
        Err(error) => return Reply::Error(format!("not a request: {error}")),
    };
    let Some(snapshot) = observe::snapshot(to_node).await else {
        return Reply::Error("the event loop does not answer; see the log".to_owned());
    };
    let answer = admin::answer(&request, &snapshot);
    if let Some(order) = answer.order {
        tracing::info!(uid, %order, "an operator's order");
        if to_node.send(ToNode::Order(order)).await.is_err() {
            return Reply::Error(STOPPING.to_owned());
        }
    }
    if let Some(order) = answer.role {
        return change_role(order, uid, to_node).await;
    }
    if let Some(wish) = answer.agent
        && let Err(text) = change_agent(wish, uid, to_node, pins).await
    {
        return Reply::Error(text);
    }
    answer.reply
}

/// Returns when the role is as wanted, or will not be.
async fn change_role(order: role::Order, uid: u32, to_node: &mpsc::Sender<ToNode>) -> Reply {
    tracing::info!(uid, ?order, "an operator wants another role");
    let (done, answered) = oneshot::channel();
    let who = Who::Operator(format!("uid {uid}"));
    if to_node.send(ToNode::Role { order, who, done }).await.is_err() {
        return Reply::Error(STOPPING.to_owned());
    }
    match answered.await {
        Ok(answer) => admin::role_reply(answer),
        Err(_) => Reply::Error(STOPPING.to_owned()),
    }
}

/// Returns when the change is acknowledged: what is answered then is not lost.
async fn change_agent(
    wish: AgentWish,
    uid: u32,
    to_node: &mpsc::Sender<ToNode>,
    pins: Option<&Pins>,
) -> Result<(), String> {
    let change = match wish {
        AgentWish::Change(change) => change,
        AgentWish::Set(agent) => set(agent, pins.ok_or(NO_AGENTS)?).await?,
    };
    tracing::info!(uid, "an operator changes an agent");
    let (done, acknowledged) = oneshot::channel();
    let who = Who::Operator(format!("uid {uid}"));
    let sent = to_node.send(ToNode::Agent { change, who, done }).await;
    sent.map_err(|_| STOPPING.to_owned())?;
    acknowledged.await.map_err(|_| STOPPING.to_owned())?
}

async fn set(agent: NewAgent, pins: &Pins) -> Result<AgentChange, String> {
    let NewAgent { number, name, pin, extensions, callback } = agent;
    let pin = pins.store(pin).await.map_err(|error| format!("the PIN is not stored: {error}"))?;
    let standing = Standing::Enabled;
    let agent = store::Agent { number, name, standing, pin, extensions, callback };
    Ok(AgentChange::Set(Box::new(agent)))
}

/// Asks a node over its socket; for the command line.
///
/// # Errors
/// No node listens there, or it ended in the middle.
pub fn ask(path: &Path, request: &Request) -> io::Result<Reply> {
    use std::io::{BufRead, Write};
    let mut stream = std::os::unix::net::UnixStream::connect(path)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    let mut line = serde_json::to_string(request)?;
    line.push('\n');
    stream.write_all(line.as_bytes())?;
    let mut reply = String::new();
    io::BufReader::new(stream).read_line(&mut reply)?;
    Ok(serde_json::from_str(&reply)?)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "the file system is what is tested")]

    use super::*;
    use crate::admin::Format;
    use crate::driver::to_node_channel;
    use crate::node::{Order, Snapshot};

    /// A node that answers snapshots, at a socket in a fresh directory.
    fn node() -> (tempfile::TempDir, std::path::PathBuf, mpsc::Receiver<Order>) {
        let (directory, path, orders, _) = node_with_agents(|_| Ok(()));
        (directory, path, orders)
    }

    /// And that keeps agents, and answers changes in this way.
    fn node_with_agents(
        answers: impl Fn(&AgentChange) -> Result<(), String> + Send + 'static,
    ) -> (
        tempfile::TempDir,
        std::path::PathBuf,
        mpsc::Receiver<Order>,
        mpsc::Receiver<(AgentChange, Who)>,
    ) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("run/admin.sock");
        let (to_node, mut inbox) = to_node_channel();
        let (orders, ordered) = mpsc::channel(8);
        let (changes, changed) = mpsc::channel(8);
        let pins = Pins::open(directory.path()).expect("a pepper");
        tokio::spawn(serve(bind(&path).expect("free"), to_node, Some(pins)));
        tokio::spawn(async move {
            while let Some(message) = inbox.recv().await {
                match message {
                    ToNode::Snapshot(reply) => {
                        let agents = Some(Vec::new());
                        drop(reply.send(Box::new(Snapshot { agents, ..Snapshot::default() })));
                    }
                    ToNode::Agent { change, who, done } => {
                        drop(done.send(answers(&change)));
                        drop(changes.send((change, who)).await);
                    }
                    ToNode::Order(order) => drop(orders.send(order).await),
                    other => panic!("not of an operator: {other:?}"),
                }
            }
        });
        (directory, path, ordered, changed)
    }

    async fn asked(path: &Path, request: Request) -> Reply {
        let path = path.to_owned();
        let asking = tokio::task::spawn_blocking(move || ask(&path, &request));
        asking.await.expect("no panic").expect("answered")
    }

    #[tokio::test]
    async fn a_request_is_answered_over_the_socket() {
        let (_directory, path, _) = node();
        let reply = asked(&path, Request::Status { format: Format::Json }).await;
        let Reply::Ok(status) = reply else { panic!("refused: {reply:?}") };
        assert_eq!(status["calls"], 0);
    }

    #[tokio::test]
    async fn an_order_reaches_the_node() {
        let (_directory, path, mut ordered) = node();
        let reply = asked(&path, Request::DrainNode { on: true, format: Format::Json }).await;
        assert!(matches!(reply, Reply::Ok(_)), "{reply:?}");
        assert_eq!(ordered.recv().await, Some(Order::DrainNode { on: true }));
    }

    fn ada() -> Request {
        let agent = NewAgent {
            number: "4711".to_owned(),
            name: "Ada".to_owned(),
            pin: "190472".to_owned().into(),
            extensions: Vec::new(),
            callback: false,
        };
        Request::AgentAdd { agent, format: Format::Text }
    }

    #[tokio::test]
    async fn the_pin_of_an_agent_reaches_the_node_as_a_hash() {
        let (directory, path, _orders, mut changed) = node_with_agents(|_| Ok(()));
        assert_eq!(asked(&path, ada()).await, Reply::Ok("agent 4711 is added".into()));
        let (change, who) = changed.recv().await.expect("a change");
        let AgentChange::Set(agent) = change else { panic!("{change:?}") };
        let pins = Pins::open(directory.path()).expect("a pepper");
        let right = pins.is_right("190472".to_owned().into(), Some(agent.pin)).await;
        assert!(right.expect("compared"));
        assert!(matches!(who, Who::Operator(user) if user.starts_with("uid ")));
    }

    #[tokio::test]
    async fn a_change_that_is_not_acknowledged_is_not_called_done() {
        let (_directory, path, _orders, _changed) =
            node_with_agents(|_| Err("no majority".to_owned()));
        assert_eq!(asked(&path, ada()).await, Reply::Error("no majority".to_owned()));
    }

    #[tokio::test]
    async fn what_is_no_request_is_told_so_and_the_connection_goes_on() {
        let (_directory, path, _) = node();
        let mut stream = UnixStream::connect(&path).await.expect("listening");
        stream.write_all(b"hello\n{\"request\":\"ports\"}\n").await.expect("sent");
        let mut lines = BufReader::new(stream).lines();
        let first = lines.next_line().await.expect("open").expect("a line");
        assert!(first.starts_with("{\"error\":\"not a request"), "{first}");
        assert_eq!(lines.next_line().await.expect("open").as_deref(), Some("{\"ok\":[]}"));
    }

    #[tokio::test]
    async fn an_endless_line_is_refused() {
        let (_directory, path, _) = node();
        let mut stream = UnixStream::connect(&path).await.expect("listening");
        stream.write_all(&[b'x'; 4_096]).await.expect("sent");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.expect("text");
        assert!(reply.contains("at most 4096 bytes"), "{reply}");
    }

    #[tokio::test]
    async fn a_dead_socket_is_replaced_and_a_live_one_is_not() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("admin.sock");
        drop(bind(&path).expect("free"));
        let live = bind(&path).expect("left by a dead process");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        assert_eq!(bind(&path).expect_err("in use").kind(), io::ErrorKind::AddrInUse);
        drop(live);
        let file = directory.path().join("file");
        fs::write(&file, "precious").expect("writable");
        assert!(bind(&file).is_err());
        assert_eq!(fs::read_to_string(&file).expect("there"), "precious");
    }
}
