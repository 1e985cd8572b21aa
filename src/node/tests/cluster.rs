//! Three nodes and the links between them: who acts, and what becomes of ports and calls.

use super::*;
use crate::ha::{Role, peer};
use crate::ids::Epoch;
use crate::node::RoleOrder;
use crate::node::snapshot::AlarmKind;
use crate::store::{Loaded, Who};

pub(super) const A: usize = 0;
pub(super) const B: usize = 1;
pub(super) const W: usize = 2;

const NODES: &str = "[[cluster.nodes]]\nname = \"a\"\nlink = \"10.0.0.9:7400\"\n\
    [[cluster.nodes]]\nname = \"b\"\nlink = \"10.0.0.10:7400\"\n\
    [[cluster.nodes]]\nname = \"w\"\nlink = \"10.0.0.11:7400\"\nrole = \"witness\"\n";

pub(super) fn text(name: &str, promotion: &str, more: &str, control: &str) -> String {
    let address = match name {
        "a" => "10.0.0.9",
        "b" => "10.0.0.10",
        _ => "10.0.0.11",
    };
    let cluster = format!(
        "[applications.main]\n[cluster]\nid = \"north\"\ncredentials = \"c\"\n\
         profile = \"trio\"\npromotion = \"{promotion}\"\n{NODES}{more}"
    );
    let mut text = config("[\"main\"]", &cluster).replacen("10.0.0.9", address, 1);
    if name == "w" {
        let (ports, rest) = (text.find("[[ports]]"), text.find("[ari.users"));
        text.replace_range(ports.expect("ports")..rest.expect("users"), "");
        text += "[control]\nextension = \"6090\"\npassword = \"kT7-pq2Zr9vXw4mN8sLd\"\n\
                 telephones = [\"2001\", \"2002\"]\n";
        text += control;
    }
    format!("[node]\nname = \"{name}\"\n{text}")
}

/// The nodes that live, and the links that are up.
pub(super) struct Trio {
    pub(super) nodes: [Option<Bench>; 3],
    pub(super) now: Instant,
    /// Pairs that hear nothing of each other.
    pub(super) cut: BTreeSet<(usize, usize)>,
    pub(super) made: [Made; 3],
    /// Whose control extension people call.
    pub(super) phone: usize,
}

impl Trio {
    pub(super) fn new(promotion: &str) -> Self {
        Self::with(promotion, "", "")
    }

    /// With more text in the configurations of all three, and for the witness's `[control]`.
    pub(super) fn with(promotion: &str, more: &str, control: &str) -> Self {
        Self::of(["a", "b", "w"].map(|name| Bench::with(&text(name, promotion, more, control))))
    }

    /// Two nodes that nobody votes between, each with a control extension.
    pub(super) fn pair(promotion: &str, control: &str) -> Self {
        let witness = NODES.find("[[cluster.nodes]]\nname = \"w\"").expect("a witness");
        let [a, b] = ["a", "b"].map(|name| {
            let text = text(name, promotion, "", "").replace("\"trio\"", "\"pair\"");
            let text = text.replace(&NODES[witness..], "");
            Bench::with(&format!(
                "{text}[control]\nextension = \"6091\"\npassword = \"kT7-pq2Zr9vXw4mN8sLd\"\n\
                 {control}"
            ))
        });
        Self::begin([Some(a), Some(b), None])
    }

    pub(super) fn of(nodes: [Bench; 3]) -> Self {
        Self::begin(nodes.map(Some))
    }

    fn begin(nodes: [Option<Bench>; 3]) -> Self {
        Self::begin_with(nodes, &[])
    }

    /// With what each of them finds on its disk.
    pub(super) fn begin_with(nodes: [Option<Bench>; 3], facts: &[store::Fact]) -> Self {
        let now = nodes.iter().flatten().map(|node| node.now).max().expect("nodes");
        let mut trio =
            Self { nodes, now, cut: BTreeSet::new(), made: Default::default(), phone: W };
        for at in [A, B, W] {
            let Some(bench) = &mut trio.nodes[at] else { continue };
            (bench.now, bench.grants) = (now, true);
            let loaded = Loaded { boot: 1, facts: facts.to_vec(), ..Loaded::default() };
            bench.node.join(now, &loaded);
            trio.carry(at);
        }
        for at in [A, B, W] {
            trio.greet(at);
        }
        trio
    }

    fn link(
        &mut self,
        at: usize,
        from: usize,
        event: peer::Event<member::Message<Vec<CallChange>>>,
    ) {
        let peer = NodeId(u8::try_from(from).expect("three"));
        if let Some(bench) = &mut self.nodes[at] {
            bench.now = self.now;
            let input = Input::Cluster(member::Input::Link { peer, event });
            bench.node.handle_input(self.now, input);
            self.carry(at);
        }
    }

    pub(super) fn greet(&mut self, at: usize) {
        for from in [A, B, W] {
            if from != at && self.nodes[from].is_some() {
                self.link(at, from, peer::Event::Up { build: String::new(), anew: true });
            }
        }
    }

    /// Takes what a node has made, and carries it to the others.
    pub(super) fn carry(&mut self, at: usize) {
        let Some(bench) = &mut self.nodes[at] else { return };
        let made = bench.take();
        self.deliver(at, made);
    }

    /// Carries to the others what a node has made.
    pub(super) fn deliver(&mut self, at: usize, mut made: Made) {
        let peers = std::mem::take(&mut made.peers);
        let beats = std::mem::take(&mut made.beats);
        let member = self.nodes[at].as_ref().and_then(|bench| bench.node.member());
        let epoch = member.map_or(Epoch::default(), |member| member.ha().epoch());
        self.made[at].add(made);
        for beat in beats {
            for to in [A, B, W] {
                if to != at && !self.cut.contains(&(at.min(to), at.max(to))) {
                    self.link(to, at, peer::Event::Beat { epoch: Epoch::default(), beat });
                }
            }
        }
        for (to, message) in peers {
            let to = usize::from(to.0);
            if !self.cut.contains(&(at.min(to), at.max(to))) {
                self.link(to, at, peer::Event::Message { epoch, message });
            }
        }
    }

    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let due = |at: usize| Some((self.nodes[at].as_ref()?.node.poll_timeout()?, at));
            let Some((when, at)) = [A, B, W].into_iter().filter_map(due).min() else { break };
            if when > end {
                break;
            }
            self.now = self.now.max(when);
            let bench = self.nodes[at].as_mut().expect("due");
            bench.now = self.now;
            bench.node.handle_timeout(self.now);
            self.carry(at);
        }
        self.now = end;
        self.nodes.iter_mut().flatten().for_each(|bench| bench.now = end);
    }

    pub(super) fn kill(&mut self, at: usize) {
        self.nodes[at] = None;
        for other in [A, B, W] {
            self.link(other, at, peer::Event::Down { why: None });
        }
    }

    /// A node says of itself what it said last.
    pub(super) fn beat(&mut self, at: usize) {
        let beat = self.nodes[at].as_ref().and_then(|bench| bench.node.beat);
        let beats = beat.into_iter().collect();
        self.deliver(at, Made { beats, ..Made::default() });
    }

    /// A node hears that the link to another one is gone.
    pub(super) fn down(&mut self, at: usize, from: usize) {
        self.link(at, from, peer::Event::Down { why: None });
    }

    pub(super) fn role(&self, at: usize) -> Role {
        let member = self.nodes[at].as_ref().expect("alive").node.member().expect("joined");
        member.ha().role()
    }

    fn registered(&self, at: usize) -> bool {
        let node = &self.nodes[at].as_ref().expect("alive").node;
        matches!(node.registrations[0], sip::RegistrationState::Registered { .. })
    }

    pub(super) fn order(&mut self, at: usize, order: crate::ha::role::Order) {
        let who = Who::Operator("root".to_owned());
        self.input(at, Input::Role(RoleOrder { id: RequestId(9), who, order }));
    }

    pub(super) fn alarm(&self, at: usize, wanted: &str) -> bool {
        let alarms = self.nodes[at].as_ref().expect("alive").node.alarms.list(self.now);
        let is = |kind: &AlarmKind| matches!(kind, AlarmKind::Other { text, .. } if text == wanted);
        alarms.iter().any(|alarm| is(&alarm.kind))
    }

    pub(super) fn input(&mut self, at: usize, input: Input) {
        let bench = self.nodes[at].as_mut().expect("alive");
        bench.now = self.now;
        bench.node.handle_input(self.now, input);
        self.carry(at);
    }

    /// A call at the node that acts, with a prompt that plays.
    pub(super) fn call(&mut self, at: usize) -> CallId {
        let bench = self.nodes[at].as_mut().expect("alive");
        bench.contact = bench.node.sip.contact(PORT).expect("a port").uri.to_string();
        bench.connect(FIRST);
        bench.arrive();
        bench.post(FIRST, "channels/{id}/answer");
        let id = bench.post(FIRST, "channels/{id}/play?media=sound:menu").played()[0].id;
        bench.media(media::Event::PlaybackStarted { id });
        bench.call
    }
}

#[test]
fn a_node_that_may_claim_nothing_for_a_moment_offers_a_call_when_it_may_again() {
    let mut trio = Trio::new("auto\"\ntimers = \"vm");
    trio.run(Duration::from_secs(10));
    let call = trio.call(A);
    let bench = trio.nodes[A].as_mut().expect("alive");
    bench.connect(SECOND);
    trio.cut.extend([(A, B), (A, W)]);
    // The lease lasts for 600 ms more, and the next renewal but one is sent before.
    while trio.nodes[A].as_ref().expect("alive").node.may_claim(trio.now) {
        trio.run(Duration::from_millis(10));
    }
    let bench = trio.nodes[A].as_mut().expect("alive");
    assert!(bench.node.is_acting());
    let offers = |made: &Made| made.types().contains(&(SECOND, "StasisStart"));
    let made = bench.crash(FIRST);
    assert!(!offers(&made) && bench.node.pool.port(PORT).expect("a port").call == Some(call));
    trio.deliver(A, made);
    trio.cut.clear();
    trio.made[A] = Made::default();
    trio.run(Duration::from_millis(550));
    assert!(offers(&trio.made[A]), "{:?}", trio.made[A].types());
}

#[test]
fn the_first_node_becomes_primary_and_registers_and_the_backup_is_silent() {
    let mut trio = Trio::new("auto");
    trio.run(Duration::from_secs(5));
    assert!(matches!(trio.role(A), Role::Primary(_)), "{:?}", trio.role(A));
    assert_eq!((trio.role(B), trio.role(W)), (Role::Backup, Role::Witness));
    assert!(trio.registered(A) && !trio.registered(B));
    // Without a Contact it is a question.
    let binds = |text: &String| text.starts_with("REGISTER") && text.contains("Contact:");
    let registers = |made: &Made| made.sip.iter().any(binds);
    assert!(registers(&trio.made[A]) && !registers(&trio.made[B]));
}

#[test]
fn the_backup_takes_a_lost_primary_over_within_a_lease_and_a_half() {
    let mut trio = Trio::new("auto");
    trio.run(Duration::from_secs(5));
    let call = trio.call(A);
    trio.run(Duration::from_millis(200));
    trio.kill(A);
    trio.run(Duration::from_millis(900));
    assert!(trio.role(B).acts(), "{:?}", trio.role(B));
    let bench = trio.nodes[B].as_mut().expect("alive");
    bench.call = call;
    let made = bench.media(media::Event::Opened);
    assert!(made.to_pbx("INVITE ").contains("c=IN IP4 10.0.0.10"));
    trio.run(Duration::from_secs(3));
    assert!(trio.registered(B) && matches!(trio.role(B), Role::Primary(_)));
}

#[test]
fn a_copy_from_before_its_own_epoch_does_not_come_to_life_at_the_node_that_took_over() {
    let mut trio = Trio::new("auto");
    trio.run(Duration::from_secs(5));
    let call = trio.call(A);
    let bench = trio.nodes[A].as_ref().expect("alive");
    let record = Box::new(bench.node.call_record(trio.now, call).expect("a call"));
    trio.kill(A);
    trio.run(Duration::from_secs(1));
    assert!(trio.role(B).acts(), "{:?}", trio.role(B));
    let acts = trio.nodes[B].as_ref().expect("alive").node.member().expect("joined").ha().epoch();
    // Its sender may have heard of the newer epoch by then.
    let epoch = acts.next();
    let told = |trio: &mut Trio, acted| {
        let calls = vec![CallChange::Put(record.clone())];
        let message = member::Message::Calls { acted, calls };
        trio.link(B, A, peer::Event::Message { epoch, message });
        trio.nodes[B].as_ref().expect("alive").node.replicas.copies()
    };
    assert_eq!(told(&mut trio, Epoch(acts.0 - 1)), 0);
    assert_eq!(told(&mut trio, acts.next()), 1);
}

#[test]
fn a_call_that_has_its_cdr_is_carried_on_by_nobody() {
    let mut trio = Trio::new("auto");
    trio.run(Duration::from_secs(5));
    let call = trio.call(A);
    let bench = trio.nodes[A].as_ref().expect("alive");
    let record = Box::new(bench.node.call_record(trio.now, call).expect("a call"));
    let acted = bench.node.member().expect("joined").acted();
    let told = |trio: &mut Trio| {
        let calls = vec![CallChange::Put(record.clone())];
        let message = member::Message::Calls { acted, calls };
        trio.link(B, A, peer::Event::Message { epoch: acted, message });
        trio.nodes[B].as_ref().expect("alive").node.replicas.copies()
    };
    assert_eq!(told(&mut trio), 1);
    let made = trio.nodes[A].as_mut().expect("alive").caller_hangs_up();
    trio.deliver(A, made);
    trio.run(Duration::from_secs(1));
    assert_eq!(told(&mut trio), 0);
}

#[test]
fn applications_at_the_backup_hear_once_that_the_primary_is_down_and_who_took_over() {
    for controlled in [false, true] {
        let mut trio = Trio::new("auto");
        trio.run(Duration::from_secs(5));
        trio.nodes[B].as_mut().expect("alive").connect(FIRST);
        trio.carry(B);
        trio.made[B] = Made::default();
        if controlled {
            trio.order(A, crate::ha::role::Order::Release);
        } else {
            trio.kill(A);
        }
        trio.run(Duration::from_secs(5));
        let told: Vec<_> = trio.made[B]
            .events
            .iter()
            .filter(|(_, event)| event["type"] == "ChannelUserevent")
            .map(|(_, event)| event["eventname"].as_str().expect("a name"))
            .collect();
        assert_eq!(told, ["primary.down", "promotion.started", "promotion.done"]);
        let kind = &trio.made[B].events[0].1["userevent"]["kind"];
        assert_eq!(kind, if controlled { "controlled" } else { "uncontrolled" });
    }
}

#[test]
fn programs_are_started_in_order_each_when_the_one_before_is_ready_or_has_failed() {
    let more = "[[autostart_on_promotion]]\ncommand = [\"/usr/bin/ivr\"]\napplication = \"main\"\n\
        [[autostart_on_promotion]]\ncommand = [\"/usr/bin/other\"]\napplication = \"other\"\n\
        [[autostart_on_promotion]]\ncommand = [\"/usr/bin/last\"]\napplication = \"main\"\n\
        [applications.other]\n";
    let mut trio = Trio::with("auto", more, "");
    trio.run(Duration::from_secs(2));
    assert!(trio.role(A).acts());
    assert_eq!((&trio.made[A].started[..], &trio.made[B].started[..]), (&[0][..], &[][..]));
    let made = trio.nodes[A].as_mut().expect("alive").connect(FIRST);
    trio.made[A].add(made);
    assert_eq!(trio.made[A].started, [0, 1]);
    trio.run(Duration::from_secs(11));
    assert_eq!(trio.made[A].started, [0, 1, 2], "the second one never came");
    let alarms = trio.nodes[A].as_ref().expect("alive").node.alarms(trio.now);
    let told = |text: &str| alarms.iter().any(|alarm| alarm.kind.to_string().contains(text));
    assert!(told("autostart_on_promotion /usr/bin/other: no instance of other"), "{alarms:?}");
}

#[test]
fn a_cut_between_the_nodes_is_not_told_as_the_end_of_the_primary() {
    let mut trio = Trio::new("auto");
    trio.run(Duration::from_secs(5));
    trio.nodes[B].as_mut().expect("alive").connect(FIRST);
    trio.carry(B);
    trio.made[B] = Made::default();
    trio.cut.insert((A, B));
    trio.run(Duration::from_secs(5));
    assert!(matches!(trio.role(A), Role::Primary(_)) && trio.role(B) == Role::Backup);
    assert!(trio.made[B].events.iter().all(|(_, event)| event["eventname"] != "primary.down"));
}

#[test]
fn a_primary_that_is_cut_off_fences_itself_before_the_backup_acts() {
    let mut trio = Trio::new("auto");
    trio.run(Duration::from_secs(5));
    trio.call(A);
    trio.cut.extend([(A, B), (A, W)]);
    let mut acted = Vec::new();
    for _ in 0..200 {
        trio.run(Duration::from_millis(5));
        let may = |at: usize| trio.nodes[at].as_ref().expect("alive").node.may_claim(trio.now);
        acted.push((may(A), may(B)));
    }
    assert!(!acted.contains(&(true, true)));
    assert_eq!(acted.last(), Some(&(false, true)));
    assert_eq!(trio.role(A), Role::Fenced);
    let bench = trio.nodes[A].as_mut().expect("alive");
    assert_eq!((bench.node.calls.len(), bench.node.orphans.len()), (0, 1));
}

#[test]
fn promotion_that_was_paused_stays_paused_when_every_node_starts_anew() {
    let mut trio = Trio::new("auto");
    trio.run(Duration::from_secs(5));
    trio.order(W, crate::ha::role::Order::Pause);
    let facts = std::mem::take(&mut trio.made[W].facts);
    let nodes = ["a", "b", "w"].map(|name| Some(Bench::with(&text(name, "auto", "", ""))));
    let mut trio = Trio::begin_with(nodes, &facts);
    trio.run(Duration::from_secs(30));
    trio.kill(A);
    trio.run(Duration::from_secs(5));
    assert_eq!(trio.role(B), Role::Backup);
    let node = &trio.nodes[B].as_ref().expect("alive").node;
    assert!(node.cluster_view(trio.now).expect("a cluster").paused);
}

#[test]
fn a_switch_hands_every_call_over_with_its_latest_state() {
    let mut trio = Trio::new("manual");
    trio.run(Duration::from_secs(5));
    if !trio.role(A).acts() {
        trio.order(A, crate::ha::role::Order::Promote { node: NodeId(0), forced: None });
        trio.run(Duration::from_secs(1));
    }
    let call = trio.call(A);
    trio.made[A] = Made::default();
    trio.order(A, crate::ha::role::Order::Switchover { to: NodeId(1), forced: false });
    trio.run(Duration::from_secs(2));
    assert!(trio.role(B).acts(), "{:?} {:?}", trio.role(B), trio.made[A].answers);
    assert!(!trio.role(A).acts());
    assert_eq!(trio.made[A].answers, [Answer::Done]);
    let bench = trio.nodes[B].as_mut().expect("alive");
    assert!(bench.node.calls.contains_key(&call));
}

/// Three nodes at a PBX that refuses a second device, and their REGISTERs that take a binding away.
fn refusing() -> Trio {
    let pbx = "[pbx]\nsecond_binding = \"refused\"\n";
    let node = |name| Bench::with(&text(name, "auto", "", "").replacen("[pbx]\n", pbx, 1));
    let mut trio = Trio::of(["a", "b", "w"].map(node));
    trio.run(Duration::from_secs(5));
    trio.made[A] = Made::default();
    trio
}

fn unregistered(made: &Made) -> usize {
    let takes = |text: &&String| text.starts_with("REGISTER") && text.contains("Expires: 0\r\n");
    made.sip.iter().filter(takes).count()
}

#[test]
fn a_switch_takes_the_bindings_away_first_where_the_pbx_refuses_a_second_device() {
    let mut trio = refusing();
    let call = trio.call(A);
    trio.nodes[A].as_mut().expect("alive").grants = false;
    trio.order(A, crate::ha::role::Order::Switchover { to: NodeId(1), forced: false });
    trio.run(Duration::from_millis(100));
    assert_eq!(unregistered(&trio.made[A]), 1);
    assert!(trio.role(A).acts() && !trio.role(B).acts(), "it waits for the PBX");
    let taken = trio.made[A].to_pbx("REGISTER ").to_owned();
    let made = trio.nodes[A].as_mut().expect("alive").reply(&taken, "200 OK");
    trio.deliver(A, made);
    trio.run(Duration::from_secs(1));
    assert!(trio.role(B).acts() && !trio.role(A).acts());
    assert_eq!(trio.made[A].answers, [Answer::Done]);
    assert!(trio.nodes[B].as_ref().expect("alive").node.calls.contains_key(&call));
}

#[test]
fn a_pbx_that_does_not_take_a_binding_away_holds_no_switch_up() {
    let mut trio = refusing();
    trio.nodes[A].as_mut().expect("alive").grants = false;
    trio.order(A, crate::ha::role::Order::Switchover { to: NodeId(1), forced: false });
    trio.run(Duration::from_secs(5));
    assert!(trio.role(B).acts() && !trio.role(A).acts());
}

#[test]
fn a_switch_that_is_called_off_has_every_port_registered_again() {
    let mut trio = refusing();
    for unbinds in [true, false] {
        let node = &mut trio.nodes[A].as_mut().expect("alive").node;
        if unbinds {
            node.unbind(trio.now);
        } else {
            node.bind_again(trio.now);
        }
        node.route(trio.now);
        trio.carry(A);
        trio.run(Duration::from_secs(3));
        assert_eq!(trio.registered(A), !unbinds);
    }
}

#[test]
fn a_node_that_is_fenced_takes_no_binding_away() {
    let mut trio = refusing();
    trio.cut.extend([(A, B), (A, W)]);
    trio.run(Duration::from_secs(3));
    assert_eq!((trio.role(A), unregistered(&trio.made[A])), (Role::Fenced, 0));
}

#[test]
fn an_orderly_stop_hands_role_and_calls_to_the_backup_before_the_process_ends() {
    let mut trio = Trio::new("auto");
    trio.run(Duration::from_secs(5));
    let call = trio.call(A);
    trio.run(Duration::from_millis(200));
    trio.made[A] = Made::default();
    trio.input(A, Input::Stop);
    trio.run(Duration::from_millis(500));
    assert!(trio.role(B).acts() && !trio.role(A).acts(), "{:?}", trio.role(B));
    let a = trio.nodes[A].as_ref().expect("alive");
    assert_eq!(a.node.orphans.len(), 1, "its sound goes on until the caller is reached");
    assert!(trio.nodes[B].as_ref().expect("alive").node.calls.contains_key(&call));
    trio.run(Duration::from_secs(8));
    assert!(trio.made[A].stopped);
    let unregisters = |line: &&&str| line.starts_with("BYE") || line.starts_with("REGISTER");
    assert_eq!(trio.made[A].lines().iter().find(unregisters), None);
    assert!(trio.alarm(W, "a gave the role of primary up in order"));
}

#[test]
fn an_orderly_stop_without_a_backup_ends_the_calls_and_then_gives_the_role_up() {
    let mut trio = Trio::new("auto");
    trio.run(Duration::from_secs(5));
    trio.call(A);
    trio.kill(B);
    trio.made[A] = Made::default();
    trio.input(A, Input::Stop);
    assert!(trio.made[A].to_pbx("BYE ").contains("Reason: Q.850"), "{:?}", trio.made[A].sip);
    trio.run(Duration::from_secs(12));
    assert!(trio.made[A].stopped && !trio.role(A).acts());
    assert!(trio.alarm(W, "a gave the role of primary up in order"));
}

#[test]
fn where_a_person_must_promote_an_orderly_stop_leaves_no_call_behind() {
    let mut trio = Trio::new("manual");
    trio.run(Duration::from_secs(5));
    trio.order(A, crate::ha::role::Order::Promote { node: NodeId(0), forced: None });
    trio.run(Duration::from_secs(1));
    trio.call(A);
    trio.made[A] = Made::default();
    trio.input(A, Input::Stop);
    trio.run(Duration::from_secs(12));
    assert!(trio.made[A].lines()[0].starts_with("BYE "), "once, and again until it is answered");
    assert!(trio.made[A].stopped && trio.role(B) == Role::Backup);
}

/// What a node says of the PBX in its heartbeat.
fn reaches(trio: &Trio, at: usize) -> Option<bool> {
    trio.nodes[at].as_ref().expect("alive").node.beat.expect("told").pbx_reachable
}

fn set_pbx(trio: &mut Trio, at: usize, dead: bool) {
    trio.nodes[at].as_mut().expect("alive").pbx_dead = dead;
}

#[test]
fn a_backup_without_a_control_extension_knows_whether_it_reaches_the_pbx() {
    let off = "[pbx]\noptions_interval = \"off\"\n";
    let node = |name| Bench::with(&text(name, "auto", "", "").replacen("[pbx]\n", off, 1));
    let mut trio = Trio::of(["a", "b", "w"].map(node));
    trio.run(Duration::from_secs(15));
    assert_eq!((trio.role(B), reaches(&trio, B)), (Role::Backup, Some(true)));
    set_pbx(&mut trio, B, true);
    trio.run(Duration::from_secs(50));
    assert_eq!(reaches(&trio, B), Some(false));
    let text = "the PBX at 10.0.0.5:5060 does not answer this node, which could not take over: \
                check the network, the PBX and pbx.registrars";
    assert!(trio.alarm(B, text));
    set_pbx(&mut trio, B, false);
    trio.run(Duration::from_secs(50));
    assert_eq!((reaches(&trio, B), trio.alarm(B, text)), (Some(true), false));
}

#[test]
fn a_primary_that_lost_the_pbx_gives_its_role_to_a_backup_without_a_control_extension() {
    let mut trio = Trio::new("auto");
    trio.run(Duration::from_secs(35));
    assert!(matches!(trio.role(A), Role::Primary(_)), "{:?}", trio.role(A));
    set_pbx(&mut trio, A, true);
    trio.nodes[A].as_mut().expect("alive").grants = false;
    trio.run(Duration::from_secs(150));
    assert!(matches!(trio.role(B), Role::Primary(_)), "{:?}", trio.role(B));
    assert!(trio.registered(B) && !trio.role(A).acts());
    assert_eq!(reaches(&trio, A), Some(false), "what its registrations knew");
}
