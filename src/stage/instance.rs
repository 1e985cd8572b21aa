//! The simulator's IVR application as a process: `portkeeper demo-instance`.
//!
//! The process speaks ARI over one WebSocket, as any application does, and prints a JSON line for
//! each thing of note. Its parent freezes it (SIGSTOP), wakes it (SIGCONT) or kills it (SIGKILL).

use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use futures_util::{SinkExt, StreamExt};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tokio_tungstenite::tungstenite::Message;

use crate::driver::clock;
use crate::sim::app::{App, Event, Mood, Output};
use crate::timers::Instant;

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
}

/// One line of an instance's output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Line {
    /// The WebSocket is open.
    Connected,
    /// The application says something of itself.
    #[serde(untagged)]
    Said(Event),
}

/// The body of the process: plays until its connection ends.
pub fn run(instance: Play) -> io::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(play(instance))
}

async fn play(play: Play) -> io::Result<()> {
    let Play { ari, application, api_key, acknowledges, livelocked } = play;
    let url = format!("ws://{ari}/ari/events?app={application}&api_key={api_key}");
    let (socket, _) = tokio_tungstenite::connect_async(url).await.map_err(io::Error::other)?;
    let (mut sender, mut receiver) = socket.split();
    let mut app = App::new(acknowledges);
    if livelocked {
        app.set_mood(Mood::Livelocked);
    }
    print(&Line::Connected)?;
    while let Some(message) = receiver.next().await {
        match message.map_err(io::Error::other)? {
            Message::Text(text) => app.handle_text(&text),
            Message::Close(_) => break,
            // The library answers pings by itself, when it is flushed below.
            Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_) => {}
        }
        while let Some(output) = app.poll_output() {
            match output {
                Output::Text(text) => {
                    sender.feed(Message::text(text)).await.map_err(io::Error::other)?;
                }
                Output::Event(event) => print(&Line::Said(event))?,
            }
        }
        sender.flush().await.map_err(io::Error::other)?;
    }
    Ok(())
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
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["demo-instance", "--ari", &play.ari.to_string()]);
        command.args(["--app", &play.application, "--api-key", &play.api_key]);
        if !play.acknowledges {
            command.arg("--no-ack");
        }
        if play.livelocked {
            command.arg("--livelocked");
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let lines = child.stdout.take().ok_or_else(|| io::Error::other("no output"))?;
        std::thread::Builder::new().name(format!("instance-{index}")).spawn(move || {
            for line in BufReader::new(lines).lines().map_while(Result::ok) {
                let Ok(line) = serde_json::from_str(&line) else { continue };
                if said.send(Said { instance: index, at: clock::now(), line }).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { name: format!("ivr{}", index + 1), child })
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
