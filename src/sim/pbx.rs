//! A PBX: registrar with digest, and the far end of every call.
//!
//! It is a model of its own, not the product's transactions turned round: what it expects of a
//! port is written here from RFC 3261, so that a misunderstanding shows. Requests that it sends are
//! repeated until answered (timers A and E, 500 ms doubling to 4 s, 32 s in all).

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use bytes::Bytes;
use rand_core::RngCore;

use crate::ids::Rng;
use crate::redact::Redacted;
use crate::sdp::{self, Codec, Direction, LocalMedia, Negotiated, Origin};
use crate::sip::digest::Authorization;
use crate::sip::message::{Message, Request, Response};
use crate::sip::wire::{Method, NameAddr, Uri, Via};
use crate::timers::{Duration, Instant, earliest};

/// T1 and T2 of RFC 3261, and the end of trying.
const RESEND_FIRST: Duration = Duration::from_millis(500);
const RESEND_MAX: Duration = Duration::from_secs(4);
const GIVE_UP: Duration = Duration::from_secs(32);

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
}

impl Default for Manner {
    fn default() -> Self {
        Self { expires_max: 120, qop: true, digest: true, nonce_life: Duration::from_secs(60) }
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
    /// ACK of the latest 2xx, repeated when the 2xx is.
    ack: Option<(u32, Bytes)>,
}

/// A PBX on one UDP socket.
#[derive(Debug)]
pub struct Pbx {
    address: SocketAddr,
    manner: Manner,
    accounts: BTreeMap<String, Redacted<String>>,
    bindings: BTreeMap<String, Binding>,
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

    /// Whether an extension is bound.
    pub fn is_registered(&self, extension: &str, now: Instant) -> bool {
        self.bindings.get(extension).is_some_and(|binding| binding.expires_at > now)
    }

    /// Lines that are in a call.
    pub fn lines(&self) -> usize {
        self.lines.len()
    }

    /// Starts anew: registrations and nonces are lost, calls go on.
    pub fn forget_registrations(&mut self) {
        self.bindings.clear();
        self.nonces.clear();
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
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call `handle_timeout`.
    pub fn poll_timeout(&self) -> Option<Instant> {
        earliest(self.waiting.values().flat_map(|w| [w.resend_at, Some(w.give_up_at)]))
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
            _ => self.in_dialog(now, from, request),
        }
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

    fn register(&mut self, now: Instant, from: SocketAddr, request: &Request) {
        if let Some(status) = self.refuses {
            return self.reply(from, request, status, |_| {});
        }
        let Some(extension) =
            request.headers.to().ok().and_then(|to| to.uri.user_text().map(|u| u.into_owned()))
        else {
            return self.reply(from, request, 400, |_| {});
        };
        match self.authorized(now, &extension, request) {
            Verdict::Yes => self.bind(now, from, request, extension),
            Verdict::Unknown => self.reply(from, request, 404, |_| {}),
            Verdict::Wrong => self.reply(from, request, 403, |_| {}),
            Verdict::Challenge { stale } => self.challenge(now, from, request, stale),
        }
    }

    fn authorized(&self, now: Instant, extension: &str, request: &Request) -> Verdict {
        let Some(password) = self.accounts.get(extension) else { return Verdict::Unknown };
        if !self.manner.digest {
            return Verdict::Yes;
        }
        let Some(answer) =
            request.headers.get("Authorization").and_then(|a| Authorization::parse(a).ok())
        else {
            return Verdict::Challenge { stale: false };
        };
        match self.nonces.get(&answer.nonce) {
            Some(&until) if until > now => {}
            _ => return Verdict::Challenge { stale: true },
        }
        if answer.verify(password, &request.method, &request.body) {
            Verdict::Yes
        } else {
            Verdict::Wrong
        }
    }

    fn challenge(&mut self, now: Instant, to: SocketAddr, request: &Request, stale: bool) {
        let nonce = self.token();
        self.nonces.retain(|_, until| *until > now);
        self.nonces.insert(nonce.clone(), now + self.manner.nonce_life);
        let qop = if self.manner.qop { ", qop=\"auth\"" } else { "" };
        let stale = if stale { ", stale=true" } else { "" };
        let value = format!("Digest realm=\"pbx\", nonce=\"{nonce}\", algorithm=MD5{qop}{stale}");
        self.reply(to, request, 401, |r| r.headers.push("WWW-Authenticate", value));
    }

    fn bind(&mut self, now: Instant, from: SocketAddr, request: &Request, extension: String) {
        let contact = request.headers.contacts().ok().and_then(|c| c.first().cloned());
        let Some(contact) = contact else {
            return self.reply(from, request, 200, |_| {});
        };
        let asked = contact.expires().or(request.headers.expires()).unwrap_or(3_600);
        let granted = asked.min(self.manner.expires_max);
        if granted == 0 {
            self.bindings.remove(&extension);
            self.event(Event::Unregistered { extension });
            return self.reply(from, request, 200, |_| {});
        }
        let expires_at = now + Duration::from_secs(u64::from(granted));
        let binding = Binding { contact: contact.uri.clone(), address: from, expires_at };
        self.bindings.insert(extension.clone(), binding);
        self.event(Event::Registered { extension });
        let value = format!("<{}>;expires={granted}", contact.uri);
        self.reply(from, request, 200, |r| r.headers.push("Contact", value));
    }

    fn in_dialog(&mut self, now: Instant, from: SocketAddr, request: &Request) {
        let call_id = request.headers.call_id().unwrap_or_default().to_owned();
        let Some(&id) = self.by_call_id.get(&call_id) else {
            return self.reply(from, request, 481, |_| {});
        };
        let cseq = request.headers.cseq().map_or(0, |cseq| cseq.seq);
        let Some(line) = self.lines.get_mut(&id) else { return };
        if cseq < line.remote_cseq {
            return self.reply(from, request, 500, |_| {});
        }
        let repeated = cseq == line.remote_cseq;
        line.remote_cseq = cseq;
        if !repeated {
            self.event(Event::FromPort { line: id, method: request.method.clone() });
        }
        match request.method {
            Method::Bye => {
                self.reply(from, request, 200, |_| {});
                self.forget(id, None, true);
            }
            Method::Invite | Method::Update => self.reoffered(from, request, id),
            Method::Refer => self.referred(now, from, request, id, repeated),
            _ => self.reply(from, request, 200, |_| {}),
        }
    }

    /// A refresh, or the port changes its media: answered as offered.
    fn reoffered(&mut self, from: SocketAddr, request: &Request, id: LineId) {
        let Some(line) = self.lines.get_mut(&id) else { return };
        let contact = format!("<sip:pbx@{}>", self.address);
        let mut body = None;
        if !request.body.is_empty() {
            let answered =
                sdp::answer(&request.body, &line.media, &mut line.origin, line.direction);
            let Ok((text, negotiated)) = answered else {
                return self.reply(from, request, 488, |_| {});
            };
            line.negotiated = Some(negotiated);
            body = Some(text);
            self.event(Event::Changed { line: id, media: negotiated });
        }
        let timer = request.headers.get("Session-Expires").map(str::to_owned);
        self.reply(from, request, 200, |response| {
            response.headers.push("Contact", contact);
            if let Some(timer) = timer {
                response.headers.push("Require", "timer");
                response.headers.push("Session-Expires", timer);
            }
            if let Some(body) = body {
                response.set_body("application/sdp", body);
            }
        });
    }

    /// The transfer succeeds at once: the line is somebody else's, and the PBX ends the dialog.
    fn referred(
        &mut self,
        now: Instant,
        from: SocketAddr,
        request: &Request,
        id: LineId,
        repeated: bool,
    ) {
        self.reply(from, request, 202, |_| {});
        if repeated {
            return;
        }
        let target = request.headers.get("Refer-To").unwrap_or_default().to_owned();
        self.event(Event::Transferred { line: id, target });
        let notify = self.next_request(id, Method::Notify, |request| {
            request.headers.push("Event", "refer");
            request.headers.push("Subscription-State", "terminated;reason=noresource");
            request.set_body("message/sipfrag", "SIP/2.0 200 OK");
        });
        self.ask(now, id, notify);
    }

    // ---- Calls to ports ------------------------------------------------------------------------

    fn call(
        &mut self,
        now: Instant,
        id: LineId,
        extension: &str,
        caller: &str,
        media: SocketAddr,
        delayed_offer: bool,
    ) {
        let bound = self.bindings.get(extension).filter(|b| b.expires_at > now).cloned();
        let Some(binding) = bound else {
            let refused = Some(480);
            return self.event(Event::Ended { line: id, refused, by_port: false });
        };
        let host = self.address.ip();
        let uri = |user: &str| Uri::sip(Some(user), host);
        let local = NameAddr::new(uri(caller)).with_tag(&format!("l{}", id.0));
        let remote = NameAddr::new(uri(extension));
        let media = LocalMedia {
            address: media.ip(),
            udp_port: media.port(),
            codecs: vec![Codec::Pcmu, Codec::Pcma],
            telephone_event: 101,
        };
        let mut line = Line {
            state: State::Calling,
            call_id: self.token(),
            local,
            remote,
            target: binding.contact,
            address: binding.address,
            cseq: 0,
            remote_cseq: 0,
            invite: Request::new(Method::Invite, uri(extension)),
            media,
            origin: Origin::new(u64::from(id.0)),
            direction: Direction::SendRecv,
            delayed_offer,
            negotiated: None,
            ack: None,
        };
        let body = (!delayed_offer)
            .then(|| sdp::offer(&line.media, &mut line.origin, Direction::SendRecv));
        self.by_call_id.insert(line.call_id.clone(), id);
        self.lines.insert(id, line);
        self.invite(now, id, body);
    }

    /// INVITE or re-INVITE.
    fn invite(&mut self, now: Instant, id: LineId, body: Option<String>) {
        let request = self.next_request(id, Method::Invite, |request| {
            request.headers.push("Allow", "INVITE, ACK, CANCEL, BYE, UPDATE, NOTIFY, REFER");
            if let Some(body) = body {
                request.set_body("application/sdp", body);
            }
        });
        if let (Some(request), Some(line)) = (&request, self.lines.get_mut(&id)) {
            line.invite = request.clone();
        }
        self.ask(now, id, request);
    }

    /// The next request of a line's dialog.
    fn next_request(
        &mut self,
        id: LineId,
        method: Method,
        dress: impl FnOnce(&mut Request),
    ) -> Option<Request> {
        let branch = format!("z9hG4bK{}", self.token());
        let address = self.address;
        let line = self.lines.get_mut(&id)?;
        line.cseq += 1;
        let mut request = line.request(address, method, line.cseq, &branch);
        dress(&mut request);
        Some(request)
    }

    /// Sends a request and repeats it until it is answered.
    fn ask(&mut self, now: Instant, id: LineId, request: Option<Request>) {
        let Some(request) = request else { return };
        let Some(to) = self.lines.get(&id).map(|line| line.address) else { return };
        let Ok(bytes) = request.to_bytes() else { return };
        let branch = branch_of(&request.headers.top_via().ok());
        let waiting = Waiting {
            line: id,
            method: request.method,
            to,
            bytes: bytes.clone(),
            pause: RESEND_FIRST,
            resend_at: Some(now + RESEND_FIRST),
            give_up_at: now + GIVE_UP,
        };
        self.waiting.insert(branch, waiting);
        self.send(to, bytes);
    }

    fn hang_up(&mut self, now: Instant, id: LineId) {
        let Some(line) = self.lines.get_mut(&id) else { return };
        match line.state {
            State::Calling => {
                line.state = State::GivingUp;
                self.cancel(now, id);
            }
            State::Up => {
                line.state = State::Ending;
                let bye = self.next_request(id, Method::Bye, |_| {});
                self.ask(now, id, bye);
            }
            State::GivingUp | State::Ending => {}
        }
    }

    /// CANCEL carries the branch of its INVITE (RFC 3261 section 9.1).
    fn cancel(&mut self, now: Instant, id: LineId) {
        let address = self.address;
        let Some(line) = self.lines.get(&id) else { return };
        let branch = branch_of(&line.invite.headers.top_via().ok());
        let cancel = line.request(address, Method::Cancel, line.cseq, &branch);
        let Ok(bytes) = cancel.to_bytes() else { return };
        let to = line.address;
        let waiting = Waiting {
            line: id,
            method: Method::Cancel,
            to,
            bytes: bytes.clone(),
            pause: RESEND_FIRST,
            resend_at: Some(now + RESEND_FIRST),
            give_up_at: now + GIVE_UP,
        };
        self.waiting.insert(format!("{branch}/CANCEL"), waiting);
        self.send(to, bytes);
    }

    fn info(&mut self, now: Instant, id: LineId, key: char) {
        if self.lines.get(&id).is_some_and(|line| line.state == State::Up) {
            let request = self.next_request(id, Method::Info, |request| {
                let body = format!("Signal={key}\r\nDuration=160\r\n");
                request.set_body("application/dtmf-relay", body);
            });
            self.ask(now, id, request);
        }
    }

    fn hold(&mut self, now: Instant, id: LineId, on: bool) {
        let Some(line) = self.lines.get_mut(&id) else { return };
        if line.state != State::Up {
            return;
        }
        line.direction = if on { Direction::SendOnly } else { Direction::SendRecv };
        let body = sdp::offer(&line.media, &mut line.origin, line.direction);
        self.invite(now, id, Some(body));
    }

    // ---- Answers of ports ----------------------------------------------------------------------

    fn response(&mut self, now: Instant, response: &Response) {
        let branch = branch_of(&response.headers.top_via().ok());
        let Ok(cseq) = response.headers.cseq() else { return };
        let key = if cseq.method == Method::Cancel { format!("{branch}/CANCEL") } else { branch };
        if cseq.method == Method::Invite && response.status >= 200 {
            return self.invite_answered(now, &key, cseq.seq, response);
        }
        if let Some(waiting) = self.waiting.get_mut(&key) {
            if response.status < 200 {
                waiting.resend_at = None;
                return;
            }
            let (line, method) = (waiting.line, waiting.method.clone());
            self.waiting.remove(&key);
            self.answered(now, line, &method, response.status);
        }
    }

    fn answered(&mut self, now: Instant, line: LineId, method: &Method, status: u16) {
        match method {
            Method::Bye => self.forget(line, None, false),
            Method::Notify if status < 300 => self.hang_up(now, line),
            _ => {}
        }
    }

    fn invite_answered(&mut self, now: Instant, key: &str, cseq: u32, response: &Response) {
        let call_id = response.headers.call_id().unwrap_or_default();
        let Some(&id) = self.by_call_id.get(call_id) else { return };
        let Some(line) = self.lines.get_mut(&id) else { return };
        if let Some((_, ack)) = line.ack.as_ref().filter(|(acked, _)| *acked == cseq) {
            let (to, bytes) = (line.address, ack.clone());
            return self.send(to, bytes);
        }
        if self.waiting.remove(key).is_none() {
            return;
        }
        if response.status >= 300 {
            self.refused(id, cseq, response);
        } else {
            self.accepted(now, id, cseq, response);
        }
    }

    /// ACK of a refusal goes to the transaction: same branch (RFC 3261 section 17.1.1.3).
    fn refused(&mut self, id: LineId, cseq: u32, response: &Response) {
        let address = self.address;
        let Some(line) = self.lines.get_mut(&id) else { return };
        let branch = branch_of(&line.invite.headers.top_via().ok());
        let mut ack = line.request(address, Method::Ack, cseq, &branch);
        if let Some(to) = response.headers.get("To") {
            ack.headers.set("To", to.to_owned());
        }
        let Ok(bytes) = ack.to_bytes() else { return };
        let (to, first) = (line.address, line.negotiated.is_none());
        line.ack = Some((cseq, bytes.clone()));
        self.send(to, bytes);
        if first {
            self.forget(id, Some(response.status), false);
        }
    }

    fn accepted(&mut self, now: Instant, id: LineId, cseq: u32, response: &Response) {
        let address = self.address;
        let ack_branch = format!("z9hG4bK{}", self.token());
        let Some(line) = self.lines.get_mut(&id) else { return };
        if let Ok(remote) = response.headers.to() {
            line.remote = remote;
        }
        if let Ok(contact) = response.headers.contact_uri() {
            line.target = contact;
        }
        let was_up = line.negotiated.is_some();
        let agreed = line.agree(&response.body);
        let mut ack = line.request(address, Method::Ack, cseq, &ack_branch);
        if let Some((Some(body), _)) = &agreed {
            ack.set_body("application/sdp", body.clone());
        }
        let Ok(bytes) = ack.to_bytes() else { return };
        line.ack = Some((cseq, bytes.clone()));
        let (to, giving_up) = (line.address, line.state == State::GivingUp);
        if line.state == State::Calling || giving_up {
            line.state = State::Up;
        }
        self.send(to, bytes);
        match agreed {
            Some((_, media)) if was_up => self.event(Event::Changed { line: id, media }),
            Some((_, media)) => self.event(Event::Answered { line: id, media }),
            None => {}
        }
        if giving_up || agreed.is_none() {
            self.hang_up(now, id);
        }
    }

    fn forget(&mut self, id: LineId, refused: Option<u16>, by_port: bool) {
        let Some(line) = self.lines.remove(&id) else { return };
        self.by_call_id.remove(&line.call_id);
        self.waiting.retain(|_, waiting| waiting.line != id);
        let refused = refused.filter(|_| line.negotiated.is_none());
        self.event(Event::Ended { line: id, refused, by_port });
    }
}

impl Line {
    fn request(&self, address: SocketAddr, method: Method, cseq: u32, branch: &str) -> Request {
        let mut request = Request::new(method.clone(), self.target.clone());
        let headers = &mut request.headers;
        headers.push("Via", Via::new("UDP", address.ip(), address.port(), branch));
        headers.push("Max-Forwards", 70);
        headers.push("From", &self.local);
        headers.push("To", &self.remote);
        headers.push("Call-ID", &self.call_id);
        headers.push("CSeq", format!("{cseq} {method}"));
        headers.push("Contact", format!("<sip:pbx@{address}>"));
        request
    }

    /// Completes offer and answer with the body of a 2xx; the answer for ACK if it was an offer.
    fn agree(&mut self, body: &[u8]) -> Option<(Option<String>, Negotiated)> {
        let delayed = self.delayed_offer && self.negotiated.is_none();
        let (answer, negotiated) = if delayed {
            let (answer, negotiated) =
                sdp::answer(body, &self.media, &mut self.origin, self.direction).ok()?;
            (Some(answer), negotiated)
        } else {
            (None, sdp::accept(body, &self.media, &self.origin, self.direction).ok()?)
        };
        self.negotiated = Some(negotiated);
        Some((answer, negotiated))
    }
}

/// What the registrar thinks of a request.
enum Verdict {
    Yes,
    Unknown,
    Wrong,
    Challenge { stale: bool },
}

fn branch_of(via: &Option<Via>) -> String {
    via.as_ref().and_then(Via::branch).unwrap_or_default().to_owned()
}
