//! The Unix socket of operators: one JSON line in, one JSON line out, as often as wanted.
//!
//! Whoever may open the socket may give orders: the kernel lets its owner and group do so, and
//! nobody else. The log names the user behind each order, by the kernel's word.
//!
//! No client holds up another one: so many are connected at most, and when one more comes, the one
//! that has been silent for longest is sent away. A request has a length and a time, and so has
//! whoever shall read the answer.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};

use super::pins::Pins;
use super::{ToNode, observe};
use crate::admin::{self, AgentWish, NO_AGENTS, NewAgent, Reply, Request};
use crate::ha::role;
use crate::node::AgentChange;
use crate::store::{self, Standing, Who};

/// What is answered when nobody will carry it out.
const STOPPING: &str = "the node is stopping";
/// What is answered when nobody has carried it out in time.
pub(super) const LATE: &str = "no answer in time: it may still happen; see `portkeeper status`";
/// A request; the longest is an agent with all its extensions.
pub(super) const LINE_MAX: u64 = 4_096;
/// Operators at once.
const CONNECTIONS_MAX: usize = 32;
/// The longest that an answer takes: a promotion waits for every port.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(50);
/// Whoever asks waits a little longer, and hears that.
const ASK_MAX: Duration = Duration::from_secs(60);
/// A whole request comes within this time of the connection or the last answer, and an answer is
/// read within it.
const REQUEST_WITHIN: Duration = Duration::from_secs(30);

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
    let crowded = Arc::new(Notify::new());
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if room.available_permits() == 0 {
                    crowded.notify_one();
                }
                let permit = Arc::clone(&room).acquire_owned().await;
                let (to_node, pins) = (to_node.clone(), pins.clone());
                let crowded = Arc::clone(&crowded);
                tokio::spawn(async move {
                    let _permit = permit;
                    let limits = (&*crowded, REQUEST_WITHIN);
                    let talk = converse(stream, &to_node, pins.as_ref(), limits);
                    if let Err(error) = talk.await {
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
    (crowded, within): (&Notify, Duration),
) -> io::Result<()> {
    let who = Who::Operator(format!("uid {}", stream.peer_cred()?.uid()));
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let mut line = Vec::new();
        let mut limited = (&mut read).take(LINE_MAX);
        let end = tokio::select! {
            biased;
            read = limited.read_until(b'\n', &mut line) => match read? {
                0 => return Ok(()),
                _ if line.ends_with(b"\n") => None,
                _ => Some(format!("a request is one line of at most {LINE_MAX} bytes")),
            },
            // Waits in line: whoever has been silent for longest hears it first.
            () = crowded.notified() => {
                Some(format!("others want to be served and {CONNECTIONS_MAX} are connected"))
            }
            () = tokio::time::sleep(within) => {
                Some(format!("no whole request within {within:?}"))
            }
        };
        let ends = end.is_some();
        let reply = match end {
            Some(why) => Reply::Error(why),
            None => {
                let answered =
                    tokio::time::timeout(ANSWER_MAX, answer(&line, who.clone(), to_node, pins));
                answered.await.unwrap_or_else(|_| Reply::Error(LATE.to_owned()))
            }
        };
        let mut text = serde_json::to_string(&reply)?;
        text.push('\n');
        let read = tokio::select! {
            biased;
            written = write.write_all(text.as_bytes()) => { written?; true }
            () = crowded.notified() => false,
            () = tokio::time::sleep(within) => false,
        };
        if ends || !read {
            return Ok(());
        }
    }
}

async fn answer(
    line: &[u8],
    who: Who,
    to_node: &mpsc::Sender<ToNode>,
    pins: Option<&Pins>,
) -> Reply {
    match read(line) {
        Ok(request) => carry_out(&request, who, to_node, pins).await,
        Err(text) => Reply::Error(text),
    }
}

/// What somebody asks, or why nobody can tell.
pub(super) fn read(line: &[u8]) -> Result<Request, String> {
    serde_json::from_slice(line).map_err(|error| format!("not a request: {error}"))
}

/// Does what somebody asks who may. Whoever waits for the answer does so for [`ANSWER_MAX`].
pub(super) async fn carry_out(
    request: &Request,
    who: Who,
    to_node: &mpsc::Sender<ToNode>,
    pins: Option<&Pins>,
) -> Reply {
    let Some(snapshot) = observe::snapshot(to_node).await else {
        return Reply::Error("the event loop does not answer; see the log".to_owned());
    };
    let answer = admin::answer(request, &snapshot);
    if let Some(order) = answer.order {
        tracing::info!(who = who.name(), %order, "an operator's order");
        if to_node.send(ToNode::Order(order)).await.is_err() {
            return Reply::Error(STOPPING.to_owned());
        }
    }
    if let Some(order) = answer.role {
        return change_role(order, who, to_node).await;
    }
    if let Some(wish) = answer.agent
        && let Err(text) = change_agent(wish, who, to_node, pins).await
    {
        return Reply::Error(text);
    }
    answer.reply
}

/// Returns when the role is as wanted, or will not be.
async fn change_role(order: role::Order, who: Who, to_node: &mpsc::Sender<ToNode>) -> Reply {
    tracing::info!(who = who.name(), ?order, "an operator wants another role");
    let (done, answered) = oneshot::channel();
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
    who: Who,
    to_node: &mpsc::Sender<ToNode>,
    pins: Option<&Pins>,
) -> Result<(), String> {
    let change = match wish {
        AgentWish::Change(change) => change,
        AgentWish::Set(agent) => set(agent, pins.ok_or(NO_AGENTS)?).await?,
    };
    tracing::info!(who = who.name(), "an operator changes an agent");
    let (done, acknowledged) = oneshot::channel();
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
    stream.set_read_timeout(Some(ASK_MAX))?;
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
    async fn silent_and_slow_clients_keep_nobody_out() {
        let (_directory, path, _) = node();
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            silent.push(UnixStream::connect(&path).await.expect("listening"));
        }
        // The second has begun a request: that is no right to stay.
        silent[1].write_all(b"{\"request\":").await.expect("sent");
        let asked = asked(&path, Request::Status { format: Format::Json });
        let reply = tokio::time::timeout(Duration::from_secs(5), asked).await.expect("let in");
        assert!(matches!(reply, Reply::Ok(_)), "{reply:?}");
        let mut told = String::new();
        silent[0].read_to_string(&mut told).await.expect("ended");
        assert!(told.contains("32 are connected"), "{told}");
        // The others are not sent away for one that came.
        let other = &mut silent[2];
        other.write_all(b"{\"request\":\"ports\"}\n").await.expect("sent");
        let mut line = String::new();
        BufReader::new(other).read_line(&mut line).await.expect("open");
        assert_eq!(line, "{\"ok\":[]}\n");
    }

    #[tokio::test]
    async fn a_request_that_is_never_whole_ends_the_connection() {
        let (mut slow, served) = UnixStream::pair().expect("a pair");
        let (to_node, _inbox) = to_node_channel();
        let crowded = Notify::new();
        slow.write_all(b"{\"request\":").await.expect("sent");
        let within = Duration::from_millis(1);
        let talk = converse(served, &to_node, None, (&crowded, within));
        tokio::time::timeout(Duration::from_secs(10), talk).await.expect("ended").expect("told");
        let mut told = String::new();
        slow.read_to_string(&mut told).await.expect("text");
        assert!(told.contains("no whole request within 1ms"), "{told}");
    }

    #[tokio::test]
    async fn who_asks_and_reads_no_answer_is_sent_away() {
        let (mut deaf, served) = UnixStream::pair().expect("a pair");
        let (to_node, _inbox) = to_node_channel();
        let crowded = Notify::new();
        let talk = converse(served, &to_node, None, (&crowded, Duration::from_millis(100)));
        let asks = async {
            // Ends when the other side does, and before that whenever nothing fits any more.
            while deaf.write_all(&b"x\n".repeat(1_000)).await.is_ok() {}
        };
        let both = async { tokio::join!(talk, asks) };
        let (ended, ()) =
            tokio::time::timeout(Duration::from_secs(20), both).await.expect("it ends");
        ended.expect("in order");
    }

    #[tokio::test]
    async fn what_is_no_text_is_no_request() {
        let (_directory, path, _) = node();
        let stream = UnixStream::connect(&path).await.expect("listening");
        let (read, mut write) = stream.into_split();
        write.write_all(b"\xff\xfe\n").await.expect("sent");
        let mut line = String::new();
        BufReader::new(read).read_line(&mut line).await.expect("answered");
        assert!(line.starts_with("{\"error\":\"not a request"), "{line}");
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
