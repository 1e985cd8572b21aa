//! Random lives: a PBX that says anything, a node that orders anything, in any order. Whatever
//! they do, nothing panics, every call ends exactly once, and nothing is left behind.

use std::collections::{BTreeMap, BTreeSet};

use rand_core::{RngCore, SeedableRng};

use super::*;
use crate::codecs::Digit;
use crate::ids::{CallId, PortId, Rng};
use crate::sip::message::{Message, Method, Request};
use crate::sip::{Command, Event, Party};
use crate::timers::Duration;

const METHODS: [Method; 11] = [
    Method::Invite,
    Method::Ack,
    Method::Bye,
    Method::Update,
    Method::Info,
    Method::Prack,
    Method::Options,
    Method::Notify,
    Method::Refer,
    Method::Cancel,
    Method::Message,
];
const STATUSES: [u16; 16] =
    [100, 180, 183, 200, 200, 200, 202, 302, 401, 408, 422, 481, 486, 491, 500, 603];
const FIELDS: [(&str, &str); 12] = [
    ("Contact", "<sip:2000@10.0.0.5:5060>"),
    ("Contact", "<sip:2000@10.0.0.5:5060>"),
    ("Require", "100rel"),
    ("RSeq", "1"),
    ("RAck", "1 1 INVITE"),
    ("Supported", "timer"),
    ("Session-Expires", "90;refresher=uas"),
    ("Min-SE", "120"),
    ("Retry-After", "3"),
    ("Expires", "60"),
    ("Event", "refer"),
    ("WWW-Authenticate", "Digest realm=\"pbx\", nonce=\"n\", algorithm=SHA-256, qop=\"auth\""),
];

/// One life.
struct Life {
    bench: Bench,
    rng: Rng,
    calls: Vec<CallId>,
    ended: BTreeMap<CallId, u32>,
    /// Requests of ours that wait for an answer, and a few that do not any more.
    ours: Vec<Request>,
    dialogs: Vec<Call>,
    invites: Vec<Request>,
    heard: Vec<Vec<u8>>,
}

impl Life {
    fn new(seed: u64) -> Self {
        let nodes = ("[\"10.0.0.5\"]", "[\"10.0.0.5\", \"10.0.0.6\"]");
        let bench = Bench { damage: true, ..Bench::with(GENERIC, &[nodes]) };
        Self {
            bench,
            rng: Rng::seed_from_u64(seed),
            calls: vec![],
            ended: BTreeMap::new(),
            ours: vec![],
            dialogs: vec![],
            invites: vec![],
            heard: vec![],
        }
    }

    fn below(&mut self, n: usize) -> usize {
        let n = u64::try_from(n).expect("small");
        usize::try_from(self.rng.next_u64() % n).expect("small")
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        if from.is_empty() {
            return None;
        }
        let index = self.below(from.len());
        from.get(index).cloned()
    }

    fn say(&mut self, bytes: Vec<u8>) {
        self.bench.datagram(PBX, bytes.clone());
        self.heard.push(bytes);
        self.listen();
    }

    /// Takes what the endpoint did.
    fn listen(&mut self) {
        for sent in std::mem::take(&mut self.bench.sent) {
            match sent.message {
                Message::Request(request) => self.ours.push(request),
                Message::Response(response) => self.answered(&response),
            }
        }
        for event in std::mem::take(&mut self.bench.events) {
            self.told(&event);
        }
    }

    /// A dialog that our answer to an INVITE made.
    fn answered(&mut self, response: &crate::sip::message::Response) {
        let of = |i: &&Request| i.headers.get("Call-ID") == response.headers.get("Call-ID");
        let Some(invite) = self.invites.iter().find(of) else { return };
        let known = self.dialogs.iter().any(|d| Some(&*d.call_id) == invite.headers.get("Call-ID"));
        if !known && response.headers.has("Contact") {
            let call = self.calls.last().copied().expect("it answers a call");
            self.dialogs.push(Call::of_invite(call, invite, response));
        }
    }

    fn told(&mut self, event: &Event) {
        let call = match event {
            Event::Incoming(incoming) => {
                self.calls.push(incoming.call);
                return;
            }
            Event::Ended { call, .. } => {
                *self.ended.entry(*call).or_default() += 1;
                assert_eq!(self.ended[call], 1, "a call ends once");
                return;
            }
            Event::Registration { .. }
            | Event::Outranked { .. }
            | Event::Answers { .. }
            | Event::Trunk { .. }
            | Event::Named { .. }
            | Event::Queried { .. }
            | Event::Texted { .. }
            | Event::Alarm { .. }
            | Event::AlarmOver { .. } => return,
            Event::Ringing { call }
            | Event::Established { call }
            | Event::Media { call, .. }
            | Event::Identity { call, .. }
            | Event::Digit { call, .. }
            | Event::InfoDone { call, .. }
            | Event::HoldRefused { call, .. }
            | Event::Recovered { call }
            | Event::Referred { call, .. } => call,
        };
        assert!(!self.ended.contains_key(call), "{event:?} after the end");
    }

    fn body(&mut self) -> Option<String> {
        let directions = ["sendrecv", "sendonly", "inactive"];
        match self.below(6) {
            0 => None,
            1 => Some("v=0\r\nnonsense".to_owned()),
            2 => Some(sdp("sendrecv").replace("AVP 0 101", "AVP 18")),
            n => Some(sdp(directions[n - 3])),
        }
    }

    fn fields(&mut self) -> Vec<(&'static str, &'static str)> {
        let count = self.below(4);
        (0..count).filter_map(|_| self.pick(&FIELDS)).collect()
    }

    fn decorate(&mut self, request: &mut Request) {
        for (name, value) in self.fields() {
            request.headers.set(name, value);
        }
        if let Some(body) = self.body().filter(|_| self.rng.next_u32().is_multiple_of(2)) {
            request.set_body("application/sdp", body);
        }
    }

    fn step(&mut self) {
        match self.below(9) {
            0 => self.invite(),
            1 | 2 => self.answer_ours(),
            3 | 4 => self.speak_in_dialog(),
            5 => self.repeat(),
            6 | 7 => self.order(),
            _ => {
                let millis = self.below(5000);
                self.bench.pass(Duration::from_millis(u64::try_from(millis).expect("small")));
                self.listen();
            }
        }
    }

    fn invite(&mut self) {
        let mut invite = self.bench.invite(&format!("call-{}", self.invites.len()));
        self.decorate(&mut invite);
        self.invites.push(invite.clone());
        self.say(invite.to_bytes().expect("printable").to_vec());
    }

    fn answer_ours(&mut self) {
        let (ours, statuses) = (self.ours.clone(), STATUSES);
        let Some(request) = self.pick(&ours).filter(|r| r.method != Method::Ack) else { return };
        let mut response = request.reply(self.pick(&statuses).expect("some"));
        response.set_to_tag(if self.below(8) == 0 { "other" } else { "pbx-tag" });
        for (name, value) in self.fields() {
            response.headers.push(name, value);
        }
        if let Some(body) = self.body() {
            response.set_body("application/sdp", body);
        }
        self.say(response.to_bytes().expect("printable").to_vec());
    }

    fn speak_in_dialog(&mut self) {
        if self.dialogs.is_empty() {
            return;
        }
        let (index, methods) = (self.below(self.dialogs.len()), METHODS);
        let method = self.pick(&methods).expect("some");
        let mut request = self.dialogs[index].request(method);
        self.decorate(&mut request);
        self.say(request.to_bytes().expect("printable").to_vec());
    }

    /// Something old again, sometimes damaged.
    fn repeat(&mut self) {
        let heard = self.heard.clone();
        let Some(mut bytes) = self.pick(&heard) else { return };
        if self.below(2) == 0 {
            let at = self.below(bytes.len());
            bytes[at] = self.rng.next_u32().to_le_bytes()[0];
        }
        self.say(bytes);
    }

    fn order(&mut self) {
        if self.below(6) == 0 {
            self.place();
        }
        let calls = self.calls.clone();
        let Some(call) = self.pick(&calls) else { return };
        let digit = Digit::from_event(1).expect("key");
        let command = match self.below(12) {
            0 => Command::Ring { call },
            1..4 => Command::Answer { call, media: local_media() },
            4 => Command::Refuse { call, status: 486 },
            5 => Command::Hangup { call, cause: Some(16) },
            6 => Command::Refer { call, target: "3000".to_owned(), replaces: None },
            7 => Command::Refer { call, target: "3000".to_owned(), replaces: self.pick(&calls) },
            8 => Command::Hold { call, on: self.below(2) == 0 },
            9 => Command::SendInfo { call, digit, duration: Duration::from_millis(100) },
            10 => Command::Register { port: PortId(0) },
            _ => Command::Unregister { port: PortId(0) },
        };
        self.bench.command(command);
        self.listen();
    }

    fn place(&mut self) {
        let call = self.bench.endpoint.next_call_id();
        self.calls.push(call);
        let (port, target) = (PortId(1), "3000".to_owned());
        let (caller, media) = (Party::default(), local_media());
        self.bench.command(Command::Invite { call, port, target, caller, media });
        self.listen();
    }

    /// Everything is hung up, the PBX falls silent, and time does the rest.
    fn end(mut self) {
        for call in self.calls.clone() {
            self.bench.command(Command::Hangup { call, cause: None });
        }
        self.bench.command(Command::Unregister { port: PortId(0) });
        self.bench.secs(400);
        self.listen();
        let calls: BTreeSet<_> = self.calls.iter().copied().collect();
        let ended: BTreeSet<_> = self.ended.keys().copied().collect();
        assert_eq!(calls, ended, "every call ended");
        let status = self.bench.endpoint.status();
        assert_eq!((status.calls, status.server_transactions), (0, 0));
        assert_eq!(self.bench.endpoint.sizes(), [0; 4]);
    }
}

#[test]
fn whatever_is_said_and_ordered_every_call_ends_once_and_nothing_is_left() {
    for seed in 0..300 {
        let mut life = Life::new(seed);
        for _ in 0..150 {
            life.step();
        }
        life.end();
    }
}
