//! A PBX: registrar with digest, and the far end of every call.
//!
//! It is a model of its own, not the product's transactions turned round: what it expects of a
//! port is written here from RFC 3261, so that a misunderstanding shows. Requests that it sends are
//! repeated until answered (timers A and E, 500 ms doubling to 4 s, 32 s in all).

mod answers;
mod calls;
mod dialogs;
mod line;
mod registrar;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use bytes::Bytes;
use rand_core::RngCore;

use crate::ids::Rng;
use crate::redact::Redacted;
use crate::sdp::{Direction, LocalMedia, Negotiated, Origin};
use crate::sip::message::{Message, Request, Response};
use crate::sip::wire::{Method, NameAddr, Uri, Via};
use crate::timers::{Duration, Instant, earliest};

/// T1 and T2 of RFC 3261, and the end of trying.
const RESEND_FIRST: Duration = Duration::from_millis(500);
const RESEND_MAX: Duration = Duration::from_secs(4);
const GIVE_UP: Duration = Duration::from_secs(32);
/// Both sides changed the session at once: whoever made the Call-ID tries again after 2.1 to 4 s
/// (RFC 3261 section 14.1).
const GLARE: Duration = Duration::from_millis(2_100);
/// A port that is refused comes again after this, or before.
const BACK_OFF: Duration = Duration::from_secs(36);
/// Behind the time at which a port refreshes its binding: an answer may be late.
const REFRESHED_WITHIN: Duration = Duration::from_secs(1);

/// How this PBX behaves.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Longest lifetime that it grants.
    pub expires_max: u32,
    /// Challenge with `qop=auth`; otherwise in the form of RFC 2069.
    pub qop: bool,
    /// Challenge every REGISTER; otherwise none.
    pub digest: bool,
    /// A nonce is good for this long.
    pub nonce_life: Duration,
    /// A device that is bound keeps its extension: another one's REGISTER is refused until the
    /// binding has run out or was taken away. Otherwise the last REGISTER wins.
    pub first_stays: bool,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            expires_max: 120,
            qop: true,
            digest: true,
            nonce_life: Duration::from_secs(60),
            first_stays: false,
        }
    }
}

/// A line of the PBX in a call with a port. Names count up from 1 and are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LineId(pub u32);

/// What happens to the PBX.
#[derive(Clone, Debug)]
pub enum Input {
    /// A datagram came.
    Datagram {
        /// From where.
        from: SocketAddr,
        /// Its bytes.
        bytes: Bytes,
    },
    /// Somebody behind the PBX calls a registered extension.
    Call {
        /// The line.
        line: LineId,
        /// The extension.
        extension: String,
        /// Number of the caller.
        caller: String,
        /// Where the caller's phone hears RTP.
        media: SocketAddr,
        /// INVITE without SDP.
        delayed_offer: bool,
    },
    /// The caller hangs up.
    HangUp {
        /// The line.
        line: LineId,
    },
    /// The caller's key comes as INFO (`application/dtmf-relay`).
    Info {
        /// The line.
        line: LineId,
        /// The key.
        key: char,
    },
    /// The caller holds the port (re-INVITE `sendonly`), or takes it back.
    Hold {
        /// The line.
        line: LineId,
        /// On or off.
        on: bool,
    },
}

/// What the PBX does.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send a datagram.
    Datagram {
        /// To where.
        to: SocketAddr,
        /// Its bytes.
        bytes: Bytes,
    },
    /// Something to note.
    Event(Event),
}

/// What an observer may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An extension is bound.
    Registered {
        /// Which.
        extension: String,
    },
    /// An extension's binding was taken away.
    Unregistered {
        /// Which.
        extension: String,
    },
    /// A port answered: its phone may send.
    Answered {
        /// Which line.
        line: LineId,
        /// What was agreed.
        media: Negotiated,
    },
    /// A re-INVITE or UPDATE changed what was agreed.
    Changed {
        /// Which line.
        line: LineId,
        /// What was agreed.
        media: Negotiated,
    },
    /// A call is over, or was refused.
    Ended {
        /// Which line.
        line: LineId,
        /// Final status of a call that was never up.
        refused: Option<u16>,
        /// The port hung up.
        by_port: bool,
    },
    /// A port asked for a transfer of its line.
    Transferred {
        /// Which line.
        line: LineId,
        /// Value of Refer-To.
        target: String,
    },
    /// A port calls somebody.
    Dialled {
        /// Whom.
        extension: String,
    },
    /// A request of a line's dialog came from a port: a rebind must make none.
    FromPort {
        /// Which line.
        line: LineId,
        /// Its method.
        method: Method,
    },
}

/// A request of ours that waits for its answer.
#[derive(Debug)]
struct Waiting {
    line: LineId,
    method: Method,
    to: SocketAddr,
    bytes: Bytes,
    pause: Duration,
    resend_at: Option<Instant>,
    give_up_at: Instant,
}

#[derive(Clone, Debug)]
struct Binding {
    contact: Uri,
    address: SocketAddr,
    expires_at: Instant,
}

/// Where a line's call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// INVITE sent.
    Calling,
    /// CANCEL or BYE is wanted as soon as the call allows it.
    GivingUp,
    /// ACK sent.
    Up,
    /// BYE sent.
    Ending,
}

#[derive(Debug)]
struct Line {
    state: State,
    call_id: String,
    local: NameAddr,
    remote: NameAddr,
    target: Uri,
    address: SocketAddr,
    cseq: u32,
    remote_cseq: u32,
    invite: Request,
    media: LocalMedia,
    origin: Origin,
    direction: Direction,
    delayed_offer: bool,
    negotiated: Option<Negotiated>,
    /// The ACK of each INVITE that was answered, by CSeq: repeated whenever the answer is, even
    /// behind a later INVITE (RFC 3261 section 13.2.2.4).
    acks: BTreeMap<u32, Bytes>,
    /// When a hold that met a change of the port is tried again.
    holds_at: Option<Instant>,
}

/// A PBX on one UDP socket.
#[derive(Debug)]
pub struct Pbx {
    address: SocketAddr,
    manner: Manner,
    accounts: BTreeMap<String, Redacted<String>>,
    bindings: BTreeMap<String, Binding>,
    /// When each extension was refused last.
    turned_away: BTreeMap<String, Instant>,
    /// What each extension had when the registrar last started anew.
    forgotten: BTreeMap<String, Binding>,
    nonces: BTreeMap<String, Instant>,
    lines: BTreeMap<LineId, Line>,
    by_call_id: BTreeMap<String, LineId>,
    waiting: BTreeMap<String, Waiting>,
    /// Status for every REGISTER.
    refuses: Option<u16>,
    rng: Rng,
    outputs: VecDeque<Output>,
}

impl Pbx {
    /// A PBX at an address, with accounts by extension.
    pub fn new(
        address: SocketAddr,
        accounts: BTreeMap<String, Redacted<String>>,
        manner: Manner,
        rng: Rng,
    ) -> Self {
        Self {
            address,
            manner,
            accounts,
            bindings: BTreeMap::new(),
            turned_away: BTreeMap::new(),
            forgotten: BTreeMap::new(),
            nonces: BTreeMap::new(),
            lines: BTreeMap::new(),
            by_call_id: BTreeMap::new(),
            waiting: BTreeMap::new(),
            refuses: None,
            rng,
            outputs: VecDeque::new(),
        }
    }

    /// Extensions that are bound.
    pub fn registered(&self, now: Instant) -> usize {
        self.bindings.values().filter(|binding| binding.expires_at > now).count()
    }

    /// The device of each extension that is bound.
    pub fn devices(&self, now: Instant) -> impl Iterator<Item = SocketAddr> {
        self.bindings.values().filter(move |b| b.expires_at > now).map(|b| b.address)
    }

    /// Whether an extension is bound.
    pub fn is_registered(&self, extension: &str, now: Instant) -> bool {
        self.bindings.get(extension).is_some_and(|binding| binding.expires_at > now)
    }

    /// Where the device is that an extension is bound to.
    pub fn bound_to(&self, extension: &str, now: Instant) -> Option<SocketAddr> {
        let binding = self.bindings.get(extension).filter(|binding| binding.expires_at > now)?;
        Some(binding.address)
    }

    /// Where the far end of a line is that is up.
    pub fn far_end(&self, line: LineId) -> Option<SocketAddr> {
        self.lines.get(&line).filter(|line| line.state == State::Up).map(|line| line.address)
    }

    /// The line that this request is of, if it is an INVITE and the line is still there.
    pub fn invited(&self, datagram: &Bytes) -> Option<LineId> {
        if !datagram.starts_with(b"INVITE ") {
            return None;
        }
        let Ok(Message::Request(invite)) = Message::parse(datagram.clone()) else { return None };
        self.by_call_id.get(invite.headers.call_id().ok()?).copied()
    }

    /// Lines that are in a call.
    pub fn lines(&self) -> usize {
        self.lines.len()
    }

    /// Starts anew: registrations and nonces are lost, calls go on.
    pub fn forget_registrations(&mut self) {
        self.forgotten.append(&mut self.bindings);
        self.nonces.clear();
    }

    /// Whether whoever has this extension has no reason to come yet: it was refused and backs off,
    /// or its binding is `gone`, since it was forgotten, and is not yet to be refreshed.
    pub fn waits(&self, extension: &str, gone: bool, now: Instant) -> bool {
        if self.turned_away.get(extension).is_some_and(|at| now < *at + BACK_OFF) {
            return true;
        }
        let half = Duration::from_secs(u64::from(self.manner.expires_max) / 2);
        let is_due = |was: &Binding| now + half > was.expires_at + REFRESHED_WITHIN;
        gone && self.forgotten.get(extension).is_some_and(|was| !is_due(was))
    }

    /// Refuses every REGISTER with a status, or none.
    pub fn refuse_registrations(&mut self, status: Option<u16>) {
        self.refuses = status;
    }

    /// Takes what happened.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::Datagram { from, bytes } => match Message::parse(bytes) {
                Ok(Message::Request(request)) => self.request(now, from, &request),
                Ok(Message::Response(response)) => self.response(now, &response),
                // A model PBX on a lossy link has nobody to tell.
                Err(_) => {}
            },
            Input::Call { line, extension, caller, media, delayed_offer } => {
                self.call(now, line, &extension, &caller, media, delayed_offer);
            }
            Input::HangUp { line } => self.hang_up(now, line),
            Input::Info { line, key } => self.info(now, line, key),
            Input::Hold { line, on } => self.hold(now, line, on),
        }
    }

    /// Repeats what was not answered.
    pub fn handle_timeout(&mut self, now: Instant) {
        let due: Vec<String> = self
            .waiting
            .iter()
            .filter(|(_, w)| w.give_up_at <= now || w.resend_at.is_some_and(|at| at <= now))
            .map(|(branch, _)| branch.clone())
            .collect();
        for branch in due {
            self.waited(now, &branch);
        }
        self.hold_again(now);
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call `handle_timeout`.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let waiting = self.waiting.values().flat_map(|w| [w.resend_at, Some(w.give_up_at)]);
        earliest(waiting.chain(self.lines.values().map(|line| line.holds_at)))
    }

    /// Whether it waits for the answer to an INVITE of this line.
    pub fn asks(&self, line: LineId) -> bool {
        self.waiting.values().any(|w| w.line == line && w.method == Method::Invite)
    }

    fn waited(&mut self, now: Instant, branch: &str) {
        let Some(waiting) = self.waiting.get_mut(branch) else { return };
        if waiting.give_up_at <= now {
            let line = waiting.line;
            self.waiting.remove(branch);
            self.forget(line, Some(408), false);
            return;
        }
        waiting.pause = (waiting.pause * 2).min(RESEND_MAX);
        waiting.resend_at = Some(now + waiting.pause);
        let (to, bytes) = (waiting.to, waiting.bytes.clone());
        self.send(to, bytes);
    }

    fn send(&mut self, to: SocketAddr, bytes: Bytes) {
        self.outputs.push_back(Output::Datagram { to, bytes });
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn token(&mut self) -> String {
        format!("{:016x}{:08x}", self.rng.next_u64(), self.rng.next_u32())
    }

    // ---- Requests from ports -------------------------------------------------------------------

    fn request(&mut self, now: Instant, from: SocketAddr, request: &Request) {
        match request.method {
            Method::Register => self.register(now, from, request),
            Method::Options => self.reply(from, request, 200, |_| {}),
            Method::Ack => {}
            Method::Invite if request.headers.to().is_ok_and(|to| to.tag().is_none()) => {
                self.dialled(from, request);
            }
            _ => self.in_dialog(now, from, request),
        }
    }

    /// Nobody is there who could answer.
    fn dialled(&mut self, from: SocketAddr, request: &Request) {
        let extension = request.uri.user_text().unwrap_or_default().into_owned();
        self.event(Event::Dialled { extension });
        self.reply(from, request, 480, |_| {});
    }

    fn reply(
        &mut self,
        to: SocketAddr,
        request: &Request,
        status: u16,
        dress: impl FnOnce(&mut Response),
    ) {
        let mut response = request.reply(status);
        response.set_to_tag("pbx");
        dress(&mut response);
        if let Ok(bytes) = response.to_bytes() {
            self.send(to, bytes);
        }
    }
}

fn branch_of(via: &Option<Via>) -> String {
    via.as_ref().and_then(Via::branch).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
