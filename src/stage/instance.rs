//! The simulator's IVR application as a process: `portkeeper demo-instance`.
//!
//! The process speaks ARI over one WebSocket, as any application does, and prints a JSON line for
//! each thing of note. Its parent freezes it (SIGSTOP), wakes it (SIGCONT) or kills it (SIGKILL).
//!
//! For comparisons it also plays what people build around a PBX of their own: it beats on standard
//! output, so that a supervisor sees it hang; or it waits on standard input until the supervisor
//! lets it take over, and then lists the channels of its application and goes on with them.

#![expect(clippy::disallowed_methods, reason = "threads of the stage")]

use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::process::program;
use super::rest::{Couriers, Rest};
use crate::driver::clock;
use crate::sim::app::{App, Event, Mood, Output};
use crate::timers::{Duration, Instant};

/// What the process is told on its command line.
#[derive(Clone, Debug)]
pub struct Play {
    /// ARI listener.
    pub ari: SocketAddr,
    /// `?app=`
    pub application: String,
    /// `?api_key=`
    pub api_key: String,
    /// Sets `GW_ACK` and `GW_CHECKPOINT`.
    pub acknowledges: bool,
    /// Reads its events, answers pings, and does nothing.
    pub livelocked: bool,
    /// What it does besides.
    pub habits: Habits,
}

/// What some applications do besides; nothing by default.
#[derive(Clone, Debug, Default)]
pub struct Habits {
    /// Its menu is this prompt, so that one can hear who serves a call.
    pub menu: Option<String>,
    /// Its menu goes on whatever comes: keys sound of nothing, a promotion begins nothing anew.
    pub steady: bool,
    /// Sends its commands over HTTP, as most client libraries do, not over the WebSocket, and
    /// stops its prompts at a key.
    pub over_http: bool,
    /// Says every 50 ms that it lives.
    pub beats: bool,
    /// Waits until it is let go, and then takes the channels of its application over.
    pub stands_by: bool,
}

/// How often an instance says that it lives.
const BEAT: Duration = Duration::from_millis(50);

/// A PBX may answer a command only when the prompt before it has ended.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// One line of an instance's output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Line {
    /// It lives.
    Beat,
    /// It waits to be let go.
    StandsBy,
    /// The WebSocket is open.
    Connected,
    /// The application says something of itself.
    #[serde(untagged)]
    Said(Event),
}

/// The body of the process: plays until its connection ends.
pub fn run(instance: Play) -> io::Result<()> {
    if instance.habits.stands_by {
        print(&Line::StandsBy)?;
        io::stdin().read_line(&mut String::new())?;
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let (mut player, mut events) = Player::connect(&instance).await?;
        print(&Line::Connected)?;
        player.take_over().await?;
        player.play(&mut events).await?;
        player.finish().await
    })
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

struct Player {
    app: App,
    sender: SplitSink<Socket, Message>,
    rest: Rest,
    couriers: Couriers,
    answers: tokio::sync::mpsc::Receiver<String>,
    habits: Habits,
}

impl Player {
    async fn connect(play: &Play) -> io::Result<(Self, SplitStream<Socket>)> {
        let Play { ari, application, api_key, acknowledges, livelocked, habits } = play.clone();
        let url = format!("ws://{ari}/ari/events?app={application}&api_key={api_key}");
        // As the public ARI libraries do: a command behind another one does not wait for its ACK.
        let connect = tokio_tungstenite::connect_async_with_config(url, None, true);
        let (socket, _) = connect.await.map_err(io::Error::other)?;
        let (sender, events) = socket.split();
        let mut app = App::new(acknowledges);
        if livelocked {
            app.set_mood(Mood::Livelocked);
        }
        if let Some(menu) = &habits.menu {
            app.set_menu(menu);
        }
        if habits.steady {
            app.stay_steady();
        }
        if habits.over_http {
            app.stop_playbacks_at_keys();
        }
        let rest = Rest { ari, api_key };
        let (couriers, answers) = Couriers::new(rest.clone());
        Ok((Self { app, sender, rest, couriers, answers, habits }, events))
    }

    /// A new connection hears nothing of the calls that are there: it has to ask.
    async fn take_over(&mut self) -> io::Result<()> {
        if !self.habits.stands_by {
            return Ok(());
        }
        for channel in self.rest.channels().await? {
            let start = serde_json::json!({ "type": "StasisStart", "channel": channel });
            self.app.handle_text(&start.to_string());
        }
        self.perform().await
    }

    /// Until the connection ends, in order or not: an instance that was away too long is cut off.
    async fn play(&mut self, events: &mut SplitStream<Socket>) -> io::Result<()> {
        let mut beat = tokio::time::interval(BEAT);
        loop {
            tokio::select! {
                message = events.next() => match message {
                    Some(Ok(Message::Text(text))) => self.app.handle_text(&text),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(()),
                    // The library answers pings by itself, when it is flushed below.
                    Some(Ok(_)) => {}
                },
                Some(answer) = self.answers.recv() => self.app.handle_text(&answer),
                _ = beat.tick(), if self.habits.beats => print(&Line::Beat)?,
            }
            if self.perform().await.is_err() {
                return Ok(());
            }
        }
    }

    /// Hears what became of its last commands. It does not know yet that it was replaced.
    async fn finish(&mut self) -> io::Result<()> {
        while let Ok(Some(answer)) = timeout(LAST_ANSWERS, self.answers.recv()).await {
            self.app.handle_text(&answer);
            self.carry_out().await?;
        }
        Ok(())
    }

    async fn perform(&mut self) -> io::Result<()> {
        self.carry_out().await?;
        self.sender.flush().await.map_err(io::Error::other)
    }

    async fn carry_out(&mut self) -> io::Result<()> {
        while let Some(output) = self.app.poll_output() {
            match output {
                Output::Text(request) if self.habits.over_http => self.couriers.carry(request)?,
                Output::Text(text) => {
                    self.sender.feed(Message::text(text)).await.map_err(io::Error::other)?;
                }
                Output::Event(event) => print(&Line::Said(event))?,
            }
        }
        Ok(())
    }
}

fn print(line: &Line) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, line)?;
    out.write_all(b"\n")?;
    out.flush()
}

/// An instance as its parent sees it.
pub struct Instance {
    /// What people call it.
    pub name: String,
    child: Child,
    stdin: Option<ChildStdin>,
}

/// A line of an instance, by its index, and when it was read.
#[derive(Clone, Debug)]
pub struct Said {
    /// Which instance.
    pub instance: usize,
    /// When the line was read.
    pub at: Instant,
    /// The line.
    pub line: Line,
}

impl Instance {
    /// Starts the process; its lines go to `said`.
    pub fn start(index: usize, play: &Play, said: mpsc::Sender<Said>) -> io::Result<Self> {
        let mut command = Command::new(program()?);
        command.args(["demo-instance", "--ari", &play.ari.to_string()]);
        command.args(["--app", &play.application, "--api-key", &play.api_key]);
        if !play.acknowledges {
            command.arg("--no-ack");
        }
        if play.livelocked {
            command.arg("--livelocked");
        }
        command.args(play.habits.arguments());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdin = child.stdin.take();
        let lines = child.stdout.take().ok_or_else(|| io::Error::other("no output"))?;
        std::thread::Builder::new().name(format!("instance-{index}")).spawn(move || {
            for line in BufReader::new(lines).lines().map_while(Result::ok) {
                let Ok(line) = serde_json::from_str(&line) else { continue };
                if said.send(Said { instance: index, at: clock::now(), line }).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { name: format!("ivr{}", index + 1), child, stdin })
    }

    /// Lets an instance take over that stands by.
    pub fn let_go(&mut self) -> io::Result<()> {
        // Standard input that ends is a line, too.
        self.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(b"go\n"))
    }

    /// SIGSTOP: it hangs, its connection stays. Returns when the signal was sent.
    pub fn freeze(&self) -> io::Result<Instant> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT: it wakes up and believes that nothing happened.
    pub fn wake(&self) -> io::Result<Instant> {
        self.signal(Signal::CONT)
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> io::Result<Instant> {
        let at = self.signal(Signal::KILL)?;
        self.child.wait()?;
        Ok(at)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn signal(&self, signal: Signal) -> io::Result<Instant> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("no process id"))?;
        let at = clock::now();
        kill_process(pid, signal)?;
        Ok(at)
    }
}

impl Habits {
    /// As arguments of the command line.
    fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        if let Some(menu) = &self.menu {
            arguments.extend(["--menu".to_owned(), menu.clone()]);
        }
        let flags = [
            (self.steady, "--steady"),
            (self.over_http, "--over-http"),
            (self.beats, "--beats"),
            (self.stands_by, "--stands-by"),
        ];
        arguments.extend(flags.iter().filter(|flag| flag.0).map(|flag| flag.1.to_owned()));
        arguments
    }
}

impl Drop for Instance {
    /// A frozen process must be woken to die of anything but SIGKILL.
    fn drop(&mut self) {
        // It may be dead already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_printed() {
        let started = Event::Started { call: "c".to_owned(), rebound: true };
        for (line, text) in [
            (Line::Connected, r#"{"event":"connected"}"#),
            (Line::Said(started), r#"{"event":"started","call":"c","rebound":true}"#),
        ] {
            assert_eq!(serde_json::to_string(&line).expect("JSON"), text);
            assert_eq!(serde_json::from_str::<Line>(text).expect("a line"), line);
        }
    }
}
