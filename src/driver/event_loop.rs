//! The control thread: one task that drives [`Node`]. Beside it the tasks run that write events to
//! instances, each in its turn.
//!
//! Inputs come over three bounded channels and the clock; outputs are carried out at once, none of
//! them waits. `progress` counts the rounds, so that a watchdog can tell a stuck loop from an idle
//! one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use super::autostart::Programs;
use super::cluster::{ClusterNet, Heard, Joined, Told};
use super::links::{Full, Standing};
use super::pins::Pins;
use super::rtp_net::{Report, RtpNet};
use super::sip_net::{Received, SipNet};
use super::supervised::Answers;
use super::supervisor::word::{Reply, Word};
use super::{Links, ToNode, clock, log, prompts, supervised, zone};
use crate::config::{ClusterProfile, Config};
use crate::ha::role::Answer;
use crate::ha::{Role, member};
use crate::ids::{CallId, Epoch, InstanceId, PortId, RequestId};
use crate::media::{self, Prompt};
use crate::node::{Incident, Input, Mark, Node, Output, RoleOrder};
use crate::redact::Redacted;
use crate::sip;
use crate::store::{Pin, Record, Ticket};
use crate::timers::Instant;

/// Wall time is read this often, and the loop shows progress at least this often.
const TICK: Duration = Duration::from_millis(500);
/// Inputs of one channel that are taken, or events that are made, before others get their turn.
const BATCH_MAX: usize = 64;

/// Everything that the control thread owns.
pub struct EventLoop {
    /// The node.
    pub node: Node,
    /// SIP sockets.
    pub sip: SipNet,
    /// Media workers.
    pub rtp: RtpNet,
    /// Who waits for ARI answers.
    pub links: Arc<Links>,
    /// The configuration.
    pub config: Arc<Config>,
    /// Where loaded recordings come back.
    pub to_node: mpsc::Sender<ToNode>,
    /// Rounds of the loop.
    pub progress: Arc<AtomicU64>,
    /// The node has said so.
    pub stopped: bool,
    /// The other nodes and the disk; `None`: the node is alone, or its store is being opened.
    pub cluster: Option<ClusterNet>,
    /// Of what earlier processes of this node ended lately; told when the store is open.
    pub causes: Vec<String>,
    /// Programs that were started at the promotion.
    pub programs: Programs,
    /// Compares PINs, where there is a phone menu.
    pub pins: Option<Pins>,
    /// Operators who wait for another role, by request.
    pub waiting: BTreeMap<RequestId, oneshot::Sender<Answer>>,
    /// Operators who wait for an agent to be changed, by request.
    pub changing: BTreeMap<RequestId, oneshot::Sender<Result<(), String>>>,
    /// Who wants to hear of every incident.
    pub listeners: Vec<mpsc::Sender<Incident>>,
    /// Requests of operators so far.
    pub requests: u64,
    /// Packets that claimed and were not sent, because the lease was over.
    pub withheld: u64,
    /// The epoch that the supervisor releases when this process is gone.
    pub noted: Option<Epoch>,
    /// The supervisor was asked for the service address.
    pub asked: bool,
    /// What it answered last.
    pub answered: Option<Reply>,
    /// Events that were made and wait for their turn to be written.
    pub texts_waiting: usize,
}

/// What the event loop listens to.
pub struct Channels {
    /// From the SIP sockets.
    pub sip: mpsc::Receiver<Received>,
    /// From the media workers.
    pub media: mpsc::Receiver<Report>,
    /// From the faces.
    pub faces: mpsc::Receiver<ToNode>,
    /// From the other nodes and the disk.
    pub cluster: Option<Heard>,
    /// The store, when it is open, and the links; `None`: the node is alone, or has them.
    pub joined: Option<oneshot::Receiver<Joined>>,
    /// From the supervisor, if there is one.
    pub answers: Option<Answers>,
    /// The process shall end.
    pub stop: oneshot::Receiver<()>,
}

impl EventLoop {
    /// Runs until the node has stopped.
    pub async fn run(mut self, mut channels: Channels) {
        let mut tick = tokio::time::interval(TICK);
        let mut beat = tokio::time::interval(self.config.cluster.timers.renew);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut stopping = false;
        loop {
            self.progress.fetch_add(1, Ordering::Relaxed);
            let now = clock::now();
            if self.node.poll_timeout().is_some_and(|at| at <= now) {
                self.node.handle_timeout(now);
                self.carry_out().await;
                if self.stopped {
                    return;
                }
            }
            let deadline = self.deadline();
            tokio::select! {
                biased;
                stop = &mut channels.stop, if !stopping => {
                    stopping = true;
                    if stop.is_err() {
                        warn!("the process gave up its event loop");
                    }
                    self.node.handle_input(clock::now(), Input::Stop);
                }
                () = tokio::time::sleep_until(deadline) => {}
                told = Heard::next(&mut channels.cluster) => self.told(told),
                joined = Joined::next(&mut channels.joined) => {
                    channels.cluster = Some(self.join(joined));
                }
                answer = Answers::next(&mut channels.answers) => self.answered(answer),
                _ = beat.tick() => self.beat(),
                Some(event) = channels.media.recv() => {
                    self.media_event(event);
                    self.drain_media(&mut channels.media);
                }
                Some(received) = channels.sip.recv() => {
                    self.received(received);
                    self.drain_sip(&mut channels.sip);
                }
                Some(message) = channels.faces.recv() => {
                    self.message(message);
                    self.drain_faces(&mut channels.faces);
                }
                _ = tick.tick() => self.wall(),
            }
            self.carry_out().await;
            if self.stopped {
                return;
            }
        }
    }

    /// Carries out every output, and lets events be written before anything else is done.
    async fn carry_out(&mut self) {
        self.perform();
        if std::mem::take(&mut self.texts_waiting) > 0 {
            tokio::task::yield_now().await;
        }
    }

    fn deadline(&self) -> tokio::time::Instant {
        let now = clock::now();
        let wait = self.node.poll_timeout().map_or(TICK, |at| at.saturating_duration_since(now));
        tokio::time::Instant::now() + wait.min(TICK)
    }

    /// What is looked at by the clock: wall time, sound that the recorder did not take, and how
    /// many calls each instance has.
    fn wall(&mut self) {
        let unix_ms = clock::unix_ms();
        self.node.handle_input(clock::now(), Input::Zone(zone::at(unix_ms)));
        self.node.handle_input(clock::now(), Input::Wall { unix_ms });
        let pieces = self.rtp.counters().recorder_full;
        self.node.handle_input(clock::now(), Input::RecorderFull { pieces });
        for status in self.node.pool().instances() {
            self.links.calls(status.instance, status.calls);
        }
    }

    fn drain_media(&mut self, channel: &mut mpsc::Receiver<Report>) {
        for _ in 1..BATCH_MAX {
            self.perform();
            let Some(event) = self.another(channel) else { return };
            self.media_event(event);
        }
    }

    fn drain_sip(&mut self, channel: &mut mpsc::Receiver<Received>) {
        for _ in 1..BATCH_MAX {
            self.perform();
            let Some(received) = self.another(channel) else { return };
            self.received(received);
        }
    }

    fn drain_faces(&mut self, channel: &mut mpsc::Receiver<ToNode>) {
        for _ in 1..BATCH_MAX {
            self.perform();
            let Some(message) = self.another(channel) else { return };
            self.message(message);
        }
    }

    /// What else has come, unless a port switch waits to be told.
    fn another<T>(&self, channel: &mut mpsc::Receiver<T>) -> Option<T> {
        if self.texts_waiting < BATCH_MAX { channel.try_recv().ok() } else { None }
    }

    fn media_event(&mut self, event: Report) {
        let Report { port, call, at, event } = event;
        self.node.handle_input(clock::now(), Input::Media { port, call, at, event });
    }

    fn received(&mut self, received: Received) {
        if let Some(input) = self.sip.take(received) {
            self.node.handle_input(clock::now(), Input::Sip(input));
        }
    }

    fn message(&mut self, message: ToNode) {
        let now = clock::now();
        match message {
            ToNode::Ivr(input) => self.node.handle_input(now, Input::Ivr(*input)),
            ToNode::Text { instance, text, permit } => {
                let text = crate::ivr::Input::Text { instance, text };
                self.node.handle_input(now, Input::Ivr(text));
                drop(permit);
            }
            ToNode::Pong { instance } => self.node.handle_input(now, Input::Pong { instance }),
            ToNode::Unsent { instance, since } => {
                self.node.handle_input(now, Input::Unsent { instance, since });
            }
            ToNode::Written { marks, at } => {
                for mark in marks {
                    self.node.handle_input(now, Input::Written { mark, at });
                }
            }
            ToNode::Loaded { call, name, prompt } => {
                self.node.handle_input(now, Input::Loaded { call, name, prompt });
            }
            ToNode::Snapshot(reply) => self.snapshot(now, reply),
            ToNode::Order(order) => self.node.handle_input(now, Input::Order(order)),
            ToNode::Listen(listener) => {
                self.listeners.retain(|listener| !listener.is_closed());
                self.listeners.push(listener);
            }
            ToNode::Denied(denied) => self.node.handle_input(now, Input::Denied(denied)),
            ToNode::Role { order, who, done } => {
                self.requests += 1;
                let id = RequestId(self.requests);
                self.waiting.insert(id, done);
                self.node.handle_input(now, Input::Role(RoleOrder { id, who, order }));
            }
            ToNode::ProgramFailed { index, why } => {
                self.node.handle_input(now, Input::ProgramFailed { index, why });
            }
            ToNode::PinChecked { call, check, matched } => {
                self.node.handle_input(now, Input::PinChecked { call, check, matched });
            }
            ToNode::Disk { free } => self.node.handle_input(now, Input::Disk { free }),
            ToNode::Cluster(input) => self.node.handle_input(now, Input::Cluster(*input)),
            // Whoever asked may be gone.
            ToNode::Agent { change, who, done } => {
                self.requests += 1;
                let id = RequestId(self.requests);
                self.changing.insert(id, done);
                self.node.handle_input(now, Input::Agent { id, change, who });
            }
        }
    }

    fn snapshot(&self, now: Instant, reply: oneshot::Sender<Box<crate::node::Snapshot>>) {
        let mut snapshot = self.node.snapshot(now);
        let media = self.rtp.counters();
        snapshot.counters.rtp_sent_total = media.sent;
        snapshot.counters.rtp_received_total = media.received;
        snapshot.counters.rtp_refused_total = media.refused;
        snapshot.counters.rtp_late_total = media.late;
        snapshot.counters.rtp_rebases_total = media.left_out;
        snapshot.media.workers = u32::try_from(self.rtp.workers()).unwrap_or(u32::MAX);
        snapshot.media.scheduling = self.rtp.scheduling().to_string();
        let dropped = self.sip.dropped();
        snapshot.counters.dropped_total.insert("sip_input", dropped);
        snapshot.counters.dropped_total.insert("log", log::lines_lost());
        snapshot.counters.claims_withheld_total = self.withheld + self.sip.withheld();
        // Whoever asked may be gone.
        drop(reply.send(Box::new(snapshot)));
    }

    /// Carries out every output.
    fn perform(&mut self) {
        self.links.set_standing(self.standing());
        self.sip.claims_until(self.node.claims_until());
        self.note_address(false);
        while let Some(output) = self.node.poll_output() {
            self.note_epoch();
            self.note_address(false);
            match output {
                Output::Sip(output) => self.send(output),
                Output::Media { port, command } => self.media(port, command),
                Output::Load { call, name } => self.load(call, name),
                Output::Respond { request, response } => self.links.respond(request, response),
                Output::Accept { request, instance, protocol } => {
                    self.links.accept(request, instance, protocol);
                }
                Output::Text { instance, text, mark } => {
                    self.text(instance, text, mark);
                }
                Output::Ping { instance } => self.links.ping(instance),
                Output::StartProgram { index } => {
                    if let Some(program) = self.config.autostart.get(index) {
                        self.programs.start(index, program, self.to_node.clone());
                    }
                }
                Output::StopPrograms => self.programs.stop(),
                Output::CheckPin { call, check, pin, stored } => {
                    self.check_pin(call, check, pin, stored);
                }
                Output::AgentChanged { id, result } => {
                    if let Some(done) = self.changing.remove(&id) {
                        drop(done.send(result));
                    }
                }
                Output::Answer { id, answer } => {
                    if let Some(done) = self.waiting.remove(&id) {
                        // Whoever asked may be gone.
                        drop(done.send(answer));
                    }
                }
                Output::News(incident) => {
                    self.listeners.retain(|to| to.try_send((*incident).clone()).is_ok());
                }
                Output::Peer { .. }
                | Output::Beat(_)
                | Output::Epoch(_)
                | Output::Persist { .. }
                | Output::Alert(_)
                | Output::ReadFacts { .. } => self.cluster(output),
                Output::Stopped => self.stopped = true,
            }
        }
    }

    /// An epoch is noted before anything leaves under it.
    fn note_epoch(&mut self) {
        let epoch = match self.node.member().map(|member| member.ha().role()) {
            Some(Role::Promoting(epoch) | Role::Primary(epoch)) => Some(epoch),
            Some(Role::Witness | Role::Backup | Role::Candidate | Role::Fenced) | None => None,
        };
        if epoch != self.noted && supervised::note(epoch) {
            self.noted = epoch;
        }
    }

    /// The service address is asked for, or given up, before anything leaves that another node may
    /// take for a release. `again`: until when it is ours is said anew.
    fn note_address(&mut self, again: bool) {
        if self.config.service_address().is_none() {
            return;
        }
        let until = self.node.address_until(clock::now());
        if until.is_none() && !self.asked || until.is_some() && self.asked && !again {
            return;
        }
        if supervised::tell(&Word::Address(until)) {
            self.asked = until.is_some();
            self.answered = self.answered.take().filter(|_| self.asked);
        }
    }

    /// The supervisor answers each word, and the node hears what is new.
    fn answered(&mut self, answer: Reply) {
        if !self.asked || self.answered.as_ref() == Some(&answer) {
            return;
        }
        let result = match &answer {
            Reply::Held => Ok(()),
            Reply::Failed(why) => Err(why.clone()),
        };
        self.answered = Some(answer);
        self.node.handle_input(clock::now(), Input::Address(result));
    }

    /// What every ARI answer says of this node.
    fn standing(&self) -> Standing {
        match (self.config.cluster.profile, self.node.is_acting()) {
            (ClusterProfile::Single, _) => Standing::Alone,
            (ClusterProfile::Pair | ClusterProfile::Trio, true) => Standing::Primary,
            (ClusterProfile::Pair | ClusterProfile::Trio, false) => Standing::Backup,
        }
    }

    /// What claims a port or a call leaves only while the lease lasts, as it is at this moment.
    fn send(&mut self, output: sip::Output) {
        let claims = matches!(
            output,
            sip::Output::Datagram { claims: true, .. }
                | sip::Output::StreamSend { claims: true, .. }
        );
        if claims && !self.node.may_claim(clock::now()) {
            self.withheld += 1;
        } else {
            self.sip.perform(output);
        }
    }

    /// The store is open: the node takes its place in the cluster.
    fn join(&mut self, joined: Joined) -> Heard {
        let Joined { net, heard, loaded } = joined;
        self.cluster = Some(net);
        self.wall();
        self.node.join(clock::now(), &loaded);
        for cause in std::mem::take(&mut self.causes) {
            let crashed = member::Input::Crashed(cause);
            self.node.handle_input(clock::now(), Input::Cluster(crashed));
        }
        heard
    }

    /// The disk or another node has told something.
    fn told(&mut self, told: Told) {
        let input = self.cluster.as_ref().and_then(|net| told.into_input(net));
        if let Some(input) = input {
            self.node.handle_input(clock::now(), input);
        }
    }

    fn beat(&mut self) {
        self.note_address(true);
        if let Some(net) = &self.cluster {
            net.beat_again();
        }
    }

    fn cluster(&mut self, output: Output) {
        let Some(net) = &mut self.cluster else { return };
        match output {
            Output::Peer { to, message } => net.send(to, *message),
            Output::Beat(beat) => net.beat(beat),
            Output::Epoch(epoch) => net.epoch(epoch),
            Output::Alert(incident) => net.tell(&incident),
            Output::Persist { ticket, record } => self.persist(ticket, record),
            Output::ReadFacts { lane, after, max } => {
                net.read(lane, after, max, self.to_node.clone());
            }
            _ => {}
        }
    }

    /// Compares a PIN off the control thread.
    fn check_pin(&self, call: CallId, check: u32, pin: Redacted<String>, stored: Option<Pin>) {
        let (pins, to_node) = (self.pins.clone(), self.to_node.clone());
        tokio::spawn(async move {
            let matched = match pins {
                Some(pins) => pins.is_right(pin, stored).await.ok(),
                None => None,
            };
            // Fails only when the event loop has stopped.
            drop(to_node.send(ToNode::PinChecked { call, check, matched }).await);
        });
    }

    /// A disk that takes no write has failed for good.
    fn persist(&mut self, ticket: Ticket, record: Record) {
        if self.cluster.as_ref().is_some_and(|net| !net.persist(ticket, record)) {
            let failed = member::Input::StoreFailed;
            self.node.handle_input(clock::now(), Input::Cluster(failed));
        }
    }

    /// A marked text offers a call to an application, which claims it for this node. A full queue
    /// means an instance that takes no events.
    fn text(&mut self, instance: InstanceId, text: String, mark: Option<Mark>) {
        if mark.is_some() && !self.node.may_claim(clock::now()) {
            self.withheld += 1;
            return;
        }
        self.texts_waiting += 1;
        if let Err(Full { events }) = self.links.text(instance, text, mark) {
            self.node.handle_input(clock::now(), Input::EventsFull { instance, events });
        }
    }

    /// A full queue means a worker that hangs: the call is lost, and says so.
    fn media(&mut self, port: PortId, command: media::Command) {
        if self.rtp.send(port, command).is_err() {
            self.node.handle_input(clock::now(), Input::MediaStuck { port });
        }
    }

    /// Reads a stored recording off the control thread.
    fn load(&self, call: CallId, name: String) {
        let (directory, to_node) = (self.config.media.recordings.clone(), self.to_node.clone());
        tokio::spawn(async move {
            let file = name.clone();
            let read = tokio::task::spawn_blocking(move || prompts::recording(&directory, &file));
            let prompt: Option<Arc<Prompt>> = read.await.unwrap_or_default();
            // Fails only when the event loop has stopped.
            drop(to_node.send(ToNode::Loaded { call, name, prompt }).await);
        });
    }
}
