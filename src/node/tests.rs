//! A node with one port, between a PBX of a few lines and applications that say what a test tells
//! them to: what each of them, and the port's media, sees.

mod alarms;
mod alerts;
mod announce;
mod bad_input;
mod cluster;
mod control;
mod dead_pbx;
mod digits;
mod digits_out;
mod fenced;
mod full;
mod incidents;
mod menu;
mod originate;
mod own_devices;
mod pair;
mod pbx;
mod promotion;
mod readiness;
mod rebind;
mod record;
mod self_calls;
mod sentinel;
mod shared_address;
mod sounds;
mod stream_start;
mod takeover;
mod texts;
mod waiting;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rand_core::SeedableRng;
use serde_json::{Value, json};

use super::replicas::CallChange;
use super::{Input, Node, Output, Prompts};
use crate::config::{Source, parse};
use crate::ha::member;
use crate::ha::role::Answer;
use crate::ids::{self, CallId, InstanceId, MediaId, NodeId, PortId, RequestId};
use crate::ivr;
use crate::media::{self, PlaybackEnd};
use crate::redact::Redacted;
use crate::sip;
use crate::store;
use crate::timers::{Duration, Instant};

const PORT: PortId = PortId(0);
const FIRST: InstanceId = InstanceId(1);
const SECOND: InstanceId = InstanceId(2);

/// One port with these applications, and more text behind it.
fn config(applications: &str, more: &str) -> String {
    format!(
        "[pbx]\nprofile = \"generic\"\nregistrars = [\"10.0.0.5\"]\n\
         local_address = \"10.0.0.9\"\n\
         [[ports]]\nextensions = \"1000\"\npassword = \"kT7-pq2Zr9vXw4mN8sLd\"\n\
         applications = {applications}\noutbound = true\n\
         [ari.users.ivr]\npassword = \"kT7-pq2Zr9vXw4mN8sLd\"\n\
         [outbound]\nallow = [\"2XXX\"]\nmax_calls = 1\n{more}"
    )
}

/// What one step made.
#[derive(Debug, Default)]
struct Made {
    media: Vec<media::Command>,
    events: Vec<(InstanceId, Value)>,
    /// To the PBX, but for registrations.
    sip: Vec<String>,
    loads: usize,
    copies: Vec<CallChange>,
    alerts: Vec<crate::node::Incident>,
    /// For whoever listens.
    news: Vec<crate::node::Incident>,
    facts: Vec<store::Fact>,
    beats: Vec<crate::ha::peer::Beat>,
    /// To other nodes of the cluster.
    peers: Vec<(NodeId, member::Message<Vec<CallChange>>)>,
    answers: Vec<Answer>,
    /// Programs of `[[autostart_on_promotion]]`.
    started: Vec<usize>,
    /// PINs to compare.
    checks: Vec<(CallId, u32, String)>,
    stopped: bool,
}

impl Made {
    /// Types of the events, and to whom.
    fn types(&self) -> Vec<(InstanceId, &str)> {
        self.events.iter().map(|(to, event)| (*to, event["type"].as_str().unwrap_or(""))).collect()
    }

    /// The one event of this type.
    fn event(&self, kind: &str) -> &Value {
        let found: Vec<_> = self.events.iter().filter(|(_, event)| event["type"] == kind).collect();
        let [(_, event)] = found[..] else { panic!("{kind}: {self:?}") };
        event
    }

    /// Status of the one answer to a request.
    fn status(&self) -> u64 {
        self.event("RESTResponse")["status_code"].as_u64().expect("a number")
    }

    fn played(&self) -> Vec<&media::Playback> {
        self.media
            .iter()
            .flat_map(|command| match command {
                media::Command::Play(play) => std::slice::from_ref(play),
                media::Command::PlayAll(plays) => plays,
                _ => &[],
            })
            .collect()
    }

    /// First lines of what went to the PBX.
    fn lines(&self) -> Vec<&str> {
        self.sip.iter().map(|text| text.lines().next().unwrap_or("")).collect()
    }

    /// The one request or response to the PBX whose first line begins so.
    fn to_pbx(&self, start: &str) -> &str {
        let found: Vec<_> = self.sip.iter().filter(|text| text.starts_with(start)).collect();
        let [text] = found[..] else { panic!("{start}: {:?}", self.sip) };
        text
    }

    fn add(&mut self, more: Self) {
        self.media.extend(more.media);
        self.events.extend(more.events);
        self.sip.extend(more.sip);
        self.loads += more.loads;
        self.copies.extend(more.copies);
        self.alerts.extend(more.alerts);
        self.news.extend(more.news);
        self.facts.extend(more.facts);
        self.beats.extend(more.beats);
        self.peers.extend(more.peers);
        self.answers.extend(more.answers);
        self.checks.extend(more.checks);
        self.started.extend(more.started);
        self.stopped |= more.stopped;
    }
}

struct Bench {
    node: Node,
    now: Instant,
    call: CallId,
    /// Calls of the PBX so far.
    calls: u32,
    /// The 200 to the latest of them.
    ok: String,
    /// Request-URI of the port, as registered.
    contact: String,
    /// Of every port.
    contacts: Vec<String>,
    /// They answer no pings.
    frozen: BTreeSet<InstanceId>,
    /// The PBX answers nothing that it would answer by itself.
    pbx_dead: bool,
    /// The PBX grants every REGISTER at once.
    grants: bool,
}

impl Bench {
    fn new() -> Self {
        Self::with(&config("[\"main\"]", "[applications.main]\n"))
    }

    fn with(text: &str) -> Self {
        Self::seeded(text, 1)
    }

    /// With chance of its own: secrets, tags and UDP ports that no other bench draws.
    fn seeded(text: &str, seed: u64) -> Self {
        let base = Path::new("/");
        let read_file = |_: &Path| Err(std::io::Error::other("no files here"));
        let parsed = parse(Source {
            text,
            base,
            read_file: &read_file,
            fault_of: &|_| None,
            today: crate::config::Day::default(),
        });
        assert!(parsed.config.is_some(), "{:?}", parsed.faults);
        let config = Arc::new(parsed.config.expect("checked"));
        let mut prompts = Prompts::default();
        for name in ["menu", "moh", "hold", "bridge", "sorry", "later", "digits/star"] {
            let bytes = || Bytes::from_static(&[0; 1_600]);
            let prompt = media::Prompt { pcmu: bytes(), pcma: bytes() };
            prompts.sounds.insert(name.to_owned(), Arc::new(prompt));
        }
        for name in crate::menu::words::names() {
            let bytes = || Bytes::from_static(&[0; 800]);
            let word = media::Prompt { pcmu: bytes(), pcma: bytes() };
            prompts.menu.insert(name, Arc::new(word));
        }
        let now = Instant::ZERO + Duration::from_secs(1);
        let rng = ids::Rng::seed_from_u64(seed);
        let addresses = vec![([10, 0, 0, 5], 5060).into()];
        let shares = config.service_address().is_some();
        let sockets = shares.then(|| config.sip_addresses()).flatten();
        let sockets = sockets.unwrap_or(addresses);
        let node = Node::new(config, Arc::new(prompts), sockets, rng, now);
        let mut bench = Self {
            node,
            now,
            call: CallId(0),
            calls: 0,
            ok: String::new(),
            contact: String::new(),
            contacts: Vec::new(),
            frozen: BTreeSet::new(),
            pbx_dead: false,
            grants: false,
        };
        bench.register();
        bench
    }

    /// A call that is up and bound to the first of two instances.
    fn with_call() -> Self {
        Self::new().in_call()
    }

    fn in_call(mut self) -> Self {
        self.connect(FIRST);
        self.arrive();
        self.connect(SECOND);
        self.post(FIRST, "channels/{id}/answer");
        self
    }

    fn connect(&mut self, instance: InstanceId) -> Made {
        let http = ivr::Request {
            method: "GET".to_owned(),
            uri: Redacted::new("/ari/events?app=main&api_key=ivr:kT7-pq2Zr9vXw4mN8sLd".to_owned()),
            host: String::new(),
            authorization: None,
            content_type: None,
            protocols: None,
            body: Bytes::new(),
        };
        let request = RequestId(instance.0);
        self.input(Input::Ivr(ivr::Input::Upgrade { request, instance, http }))
    }

    fn input(&mut self, input: Input) -> Made {
        self.node.handle_input(self.now, input);
        self.take()
    }

    fn media(&mut self, event: media::Event) -> Made {
        self.media_of(self.call, event)
    }

    fn media_of(&mut self, call: CallId, event: media::Event) -> Made {
        self.input(Input::Media { port: PORT, call, at: self.now, event })
    }

    fn finished(&mut self, id: MediaId) -> Made {
        self.media(media::Event::PlaybackFinished {
            id,
            end: PlaybackEnd::Completed,
            position_ms: 0,
        })
    }

    /// A stored recording was read.
    fn loaded(&mut self, name: &str) -> Made {
        let bytes = || Bytes::from_static(&[0; 1_600]);
        let prompt = Some(Arc::new(media::Prompt { pcmu: bytes(), pcma: bytes() }));
        self.input(Input::Loaded { call: self.call, name: name.to_owned(), prompt })
    }

    fn crash(&mut self, instance: InstanceId) -> Made {
        self.input(Input::Ivr(ivr::Input::Closed { instance }))
    }

    fn channel(&self) -> String {
        let offer = self.node.calls.get(&self.call).and_then(|entry| entry.offer);
        offer.map_or_else(String::new, |offer| format!("{}.{}", self.call, offer.generation))
    }

    /// A request over the WebSocket; `{id}` is the live channel.
    fn ask(&mut self, instance: InstanceId, method: &str, path: &str) -> Made {
        let uri = path.replace("{id}", &self.channel());
        let text = json!({"type": "RESTRequest", "method": method, "uri": uri}).to_string();
        self.input(Input::Ivr(ivr::Input::Text { instance, text }))
    }

    fn post(&mut self, instance: InstanceId, path: &str) -> Made {
        self.ask(instance, "POST", path)
    }

    /// Lets time pass while every instance answers its pings.
    fn run(&mut self, time: Duration) -> Made {
        let end = self.now + time;
        let mut made = Made::default();
        while let Some(next) = self.node.poll_timeout().filter(|&at| at <= end) {
            self.now = self.now.max(next);
            self.node.handle_timeout(self.now);
            made.add(self.take());
        }
        self.now = end;
        made
    }

    fn take(&mut self) -> Made {
        let mut made = Made::default();
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Media { command, .. } => made.media.push(command),
                Output::Text { instance, text, .. } => {
                    made.events.push((instance, serde_json::from_str(&text).expect("JSON")));
                }
                Output::Persist { ticket, record } => {
                    if let store::Record::Fact(fact) | store::Record::Late(fact) = record {
                        made.facts.push(*fact);
                    }
                    let durable = member::Input::Persisted(ticket);
                    self.node.handle_input(self.now, Input::Cluster(durable));
                }
                Output::Answer { answer, .. } => made.answers.push(answer),
                Output::StartProgram { index } => made.started.push(index),
                Output::CheckPin { call, check, pin, .. } => {
                    made.checks.push((call, check, pin.reveal().clone()));
                }
                Output::Load { .. } => made.loads += 1,
                Output::Peer { to, message } => {
                    if let member::Message::Calls { calls, .. } = &*message {
                        made.copies.extend(calls.iter().cloned());
                    }
                    made.peers.push((to, *message));
                }
                Output::Ping { instance } => {
                    if !self.frozen.contains(&instance) {
                        self.node.handle_input(self.now, Input::Pong { instance });
                    }
                }
                Output::Sip(sip::Output::Datagram { bytes, .. }) => {
                    let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
                    if !self.is_routine(&text) {
                        made.sip.push(text);
                    }
                }
                Output::Beat(beat) => made.beats.push(beat),
                Output::Alert(incident) => made.alerts.push(*incident),
                Output::News(incident) => made.news.push(*incident),
                Output::Sip(_)
                | Output::Respond { .. }
                | Output::Accept { .. }
                | Output::Epoch(_)
                | Output::ReadFacts { .. }
                | Output::AgentChanged { .. }
                | Output::StopPrograms => {}
                Output::Stopped => made.stopped = true,
            }
        }
        made
    }
}
