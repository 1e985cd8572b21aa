//! Frames between two nodes of a cluster, and whether two nodes belong together.
//!
//! A frame is a length of four bytes, high byte first, and so many bytes of JSON: cluster, sender,
//! the highest epoch that the sender knows, a counter that rises within that epoch, and a body. The
//! first frame of each side is a [`Hello`]; until it is accepted nothing else is heard. What is
//! refused closes the connection with a [`Refusal`] that says who must act, and the other side is
//! told why, so that both logs agree. Who the far end *is* was proved below, by its certificate;
//! here its words are only compared with that.
//!
//! [`Link`] is the machine of one peer; it outlives its connections.

mod link;
mod refusal;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Role;
use crate::config::{Cluster, Config, PARTS_MAX, Shared, Timers};
use crate::ids::{Epoch, NodeId};

pub use link::{Event, Input, Link, Output};
pub use refusal::Refusal;

/// Version of what is said on a link. Both sides must have the same one.
pub const PROTOCOL: u16 = 4;

/// Bytes of JSON in a frame at most.
pub const FRAME_MAX: usize = 1 << 20;

/// Bytes of JSON in a frame at most before the sender's hello was accepted.
pub const HELLO_MAX: usize = 64 << 10;

/// Characters of a text from a peer that are logged or shown at most.
const TEXT_MAX: usize = 300;

/// What every frame carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame<M> {
    /// The sender's `cluster.id`.
    pub cluster: String,
    /// The sender.
    pub from: NodeId,
    /// Highest epoch that the sender knows. Never falls within a run of the sender.
    pub epoch: Epoch,
    /// Counts the sender's frames of this epoch to this receiver; rises.
    pub counter: u64,
    /// What it says.
    pub body: Body<M>,
}

/// What a frame says; `M` are the messages of lease, facts and calls, of which this file knows
/// nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body<M> {
    /// The first frame of each side.
    Hello(Box<Hello>),
    /// I live.
    Beat(Beat),
    /// A message between the machines of two nodes.
    Message(M),
    /// From a supervisor: the kernel says that its node's process is gone, and with it every claim
    /// of that epoch.
    Release {
        /// The epoch that ended.
        epoch: Epoch,
        /// Of which cause, in words that are equal for equal causes; empty if that is not known, or
        /// if it came from outside.
        cause: String,
    },
    /// To a supervisor: its release has been handed on.
    Released {
        /// Which.
        epoch: Epoch,
    },
    /// The last frame of a connection: why it is closed.
    Goodbye {
        /// In words.
        why: String,
    },
}

/// Who speaks for a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Speaker {
    /// The node.
    Node,
    /// The process that watches it: may send [`Body::Release`] and nothing else.
    Supervisor,
}

/// The first frame of each side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`] of the sender.
    pub protocol: u16,
    /// Version of the sender's program, for people.
    pub build: String,
    /// The sender's `node.name`.
    pub node: String,
    /// Who speaks for it.
    pub speaker: Speaker,
    /// Drawn at each start of the sender: its counters begin anew.
    pub run: u64,
    /// What must be equal on both sides.
    pub shared: Shared,
    /// Commitment of the pepper under which PINs are stored; `None`: the sender has none.
    #[serde(default)]
    pub pepper: Option<String>,
}

/// What a node says of itself all the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// What it is.
    pub role: Role,
    /// Whether it reaches its PBX; `None`: not known yet.
    pub pbx_reachable: Option<bool>,
    /// Live calls.
    pub calls: u32,
    /// Ports whose registration would work, or does.
    pub ports_proven: u32,
    /// Ports of the pool.
    pub ports: u32,
    /// Ports that a backup has not proven, by reason.
    #[serde(default)]
    pub unproven: Unproven,
    /// Age of its copy of calls and facts, in milliseconds; 0 on the primary. `None`: nothing was
    /// ever copied.
    pub data_age_ms: Option<u64>,
    /// What has to be equal at the node that takes over.
    #[serde(default)]
    pub sound: Sound,
}

/// Ports that a backup has not proven, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unproven {
    /// The PBX refuses password or account.
    pub refused: u32,
    /// The PBX does not answer.
    pub unreachable: u32,
    /// Prompts are missing, or differ from the primary's.
    pub prompts: u32,
    /// The primary speaks a codec with the PBX that is not configured here.
    pub codecs: u32,
    /// No UDP port is free.
    pub udp_ports: u32,
    /// The disk is nearly full.
    pub disk: u32,
    /// Not asked yet, or nobody may ask.
    pub untried: u32,
}

/// What a call sounds like at a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sound {
    /// Digest of its prompts, of names and sound.
    pub prompts: u64,
    /// Its codecs: bit n is static payload type n.
    pub codecs: u32,
}

impl Beat {
    /// Of a node that has only started.
    pub fn at_start(role: Role) -> Self {
        Self {
            role,
            pbx_reachable: None,
            calls: 0,
            ports_proven: 0,
            ports: 0,
            unproven: Unproven::default(),
            data_age_ms: None,
            sound: Sound::default(),
        }
    }
}

/// What this node says of itself on every link.
#[derive(Clone, Debug)]
pub struct Identity {
    /// `cluster.id`
    pub cluster: String,
    /// Its number.
    pub me: NodeId,
    /// `node.name`
    pub name: String,
    /// Who speaks.
    pub speaker: Speaker,
    /// Drawn at this start.
    pub run: u64,
    /// What must be equal on both sides.
    pub shared: Shared,
    /// Commitment of its pepper.
    pub pepper: Option<String>,
    /// Of heartbeats and silence.
    pub timers: Timers,
}

impl Identity {
    /// The node of a configuration. `run` is drawn anew at each start.
    pub fn of(config: &Config, speaker: Speaker, run: u64) -> Self {
        let Cluster { id, me, timers, .. } = &config.cluster;
        Self {
            cluster: id.clone(),
            me: *me,
            name: config.cluster.name_of(*me),
            speaker,
            run,
            shared: Shared::of(config),
            pepper: None,
            timers: *timers,
        }
    }

    /// Our first frame.
    pub fn hello(&self) -> Hello {
        Hello {
            protocol: PROTOCOL,
            build: env!("CARGO_PKG_VERSION").to_owned(),
            node: self.name.clone(),
            speaker: self.speaker,
            run: self.run,
            shared: self.shared.clone(),
            pepper: self.pepper.clone(),
        }
    }

    /// Whether the node that proved to be `peer`, called `name`, belongs to us by its first frame.
    ///
    /// # Errors
    /// What keeps it from belonging to us.
    pub fn accept<M>(&self, peer: NodeId, name: &str, frame: Frame<M>) -> Result<Hello, Refusal> {
        self.check_sender(peer, &frame)?;
        let Body::Hello(hello) = frame.body else { return Err(Refusal::NotGreeted) };
        if hello.protocol != PROTOCOL {
            let build = clean(&hello.build);
            return Err(Refusal::OtherVersion { protocol: hello.protocol, build });
        }
        if hello.node != name {
            return Err(Refusal::OtherNode { claims: clean(&hello.node) });
        }
        if hello.shared.parts.len() > PARTS_MAX {
            return Err(Refusal::Malformed { what: "a hello with too many parts".to_owned() });
        }
        if let Some(what) = self.shared.at_both(&hello.shared) {
            return Err(Refusal::SamePbx { what: clean(&what) });
        }
        match self.shared.disagreement(&hello.shared, name) {
            Some(what) => Err(Refusal::Disagrees { what: clean(&what) }),
            None => Ok(*hello),
        }
    }

    /// Whether a frame is of our cluster and from the node that proved to be `peer`.
    ///
    /// # Errors
    /// Another cluster, or another node's number.
    pub fn check_sender<M>(&self, peer: NodeId, frame: &Frame<M>) -> Result<(), Refusal> {
        if frame.cluster != self.cluster {
            let theirs = clean(&frame.cluster);
            return Err(Refusal::OtherCluster { theirs, ours: self.cluster.clone() });
        }
        if frame.from != peer {
            return Err(Refusal::OtherNode { claims: frame.from.to_string() });
        }
        Ok(())
    }

    /// A frame of ours.
    pub fn frame<M>(&self, epoch: Epoch, counter: u64, body: Body<M>) -> Frame<M> {
        Frame { cluster: self.cluster.clone(), from: self.me, epoch, counter, body }
    }
}

/// Text of a stranger, as it may stand in a log: short, without control characters.
pub fn clean(text: &str) -> String {
    text.chars().take(TEXT_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A frame as it goes over the wire.
///
/// # Errors
/// Its length, when that is over [`FRAME_MAX`]: whoever makes messages must cut them.
pub fn encode<M: Serialize>(frame: &Frame<M>) -> Result<Vec<u8>, usize> {
    let mut bytes = vec![0; 4];
    // Writing into memory does not fail, and our types have no maps with keys that are no strings;
    // a body that cannot be written would be refused as too long.
    serde_json::to_writer(&mut bytes, frame).map_err(|_| usize::MAX)?;
    let length = bytes.len() - 4;
    let prefix = u32::try_from(length).ok().filter(|_| length <= FRAME_MAX).ok_or(length)?;
    bytes[..4].copy_from_slice(&prefix.to_be_bytes());
    Ok(bytes)
}

/// Reads the JSON of a frame.
///
/// # Errors
/// It is none.
pub fn decode<M: DeserializeOwned>(json: &[u8]) -> Result<Frame<M>, Refusal> {
    serde_json::from_slice(json)
        .map_err(|error| Refusal::Malformed { what: clean(&error.to_string()) })
}

/// Cuts a stream into frames. Keeps at most one frame and what came with its end.
#[derive(Debug)]
pub struct Framer {
    buffer: Vec<u8>,
    max: usize,
}

impl Default for Framer {
    fn default() -> Self {
        Self { buffer: Vec::new(), max: HELLO_MAX }
    }
}

impl Framer {
    /// The sender is known: its frames may be long.
    pub fn trust(&mut self) {
        self.max = FRAME_MAX;
    }

    /// Bytes of the stream, in order.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The JSON of the next whole frame; `None`: more bytes are needed.
    ///
    /// # Errors
    /// A length that is not allowed. The stream cannot be read on.
    pub fn next_frame(&mut self) -> Result<Option<Vec<u8>>, Refusal> {
        let Some((prefix, rest)) = self.buffer.split_first_chunk::<4>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*prefix)).unwrap_or(usize::MAX);
        if length == 0 || length > self.max {
            return Err(Refusal::Length { length, max: self.max });
        }
        let Some(json) = rest.get(..length).map(<[u8]>::to_vec) else { return Ok(None) };
        self.buffer.drain(..4 + length);
        Ok(Some(json))
    }
}

#[cfg(test)]
mod tests;
