//! An application on a blocking WebSocket, which notes when it has read an event.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "a socket of its own")]

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;

use serde::Deserialize;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use crate::driver::clock;
use crate::driver::rtp_net::Scheduling;
use crate::sim::app::{App, Output};
use crate::stage::node::API_KEY;
use crate::timers::Instant;

/// Something that the client read.
#[derive(Debug)]
pub(super) enum Note {
    /// A call was given to it.
    Started {
        /// Number of the caller.
        caller: String,
        /// Name of the channel.
        channel: String,
    },
    /// A digit.
    Digit {
        /// Name of the channel.
        channel: String,
        /// When it was read.
        at: Instant,
    },
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    channel: Option<Channel>,
}

#[derive(Deserialize)]
struct Channel {
    id: String,
    caller: Caller,
}

#[derive(Deserialize)]
struct Caller {
    number: String,
}

/// Connects, and plays on a thread of its own until the node ends the connection.
pub(super) fn start(ari: SocketAddr) -> io::Result<mpsc::Receiver<Note>> {
    let stream = TcpStream::connect(ari)?;
    stream.set_nodelay(true)?;
    let url = format!("ws://{ari}/ari/events?app=main&api_key={API_KEY}");
    let (socket, _) = tungstenite::client(url, stream).map_err(io::Error::other)?;
    let (sender, notes) = mpsc::channel();
    std::thread::Builder::new().name("ari client".to_owned()).spawn(move || {
        Scheduling::raise();
        play(socket, &sender);
    })?;
    Ok(notes)
}

fn play(mut socket: WebSocket<TcpStream>, notes: &mpsc::Sender<Note>) {
    let mut app = App::new(true);
    while let Ok(message) = socket.read() {
        let at = clock::now();
        // The library answers pings by itself before it reads on.
        let Message::Text(text) = message else { continue };
        if let Some(note) = note(&text, at)
            && notes.send(note).is_err()
        {
            return;
        }
        app.handle_text(&text);
        while let Some(output) = app.poll_output() {
            if let Output::Text(text) = output
                && socket.write(Message::text(text)).is_err()
            {
                return;
            }
        }
        if socket.flush().is_err() {
            return;
        }
    }
}

fn note(text: &str, at: Instant) -> Option<Note> {
    let event: Event = serde_json::from_str(text).ok()?;
    let Channel { id: channel, caller } = event.channel?;
    match event.kind.as_str() {
        "StasisStart" => Some(Note::Started { caller: caller.number, channel }),
        "ChannelDtmfReceived" => Some(Note::Digit { channel, at }),
        _ => None,
    }
}
