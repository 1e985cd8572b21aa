//! The seams between lease, roles and facts, at whole members of a pair: what a release that is
//! stored lets the other node do, also when whoever released never comes back.

use std::collections::BTreeMap;

use rand_core::SeedableRng;

use crate::config::{Cluster, ClusterProfile, Member as Node, Promotion};
use crate::ha::Role;
use crate::ha::fact_ship::Token;
use crate::ha::member::{Input, Member, Output};
use crate::ha::peer::{Event as Link, Refusal};
use crate::ha::role::{Answer, Order};
use crate::ids::{Epoch, NodeId, RequestId, Rng};
use crate::store::{Action, Audit, Body, Fact, Lane, Loaded, Record, Ticket, Vote, Who};
use crate::timers::{Duration, Instant};

const A: NodeId = NodeId(0);
const B: NodeId = NodeId(1);

/// One machine: its process, if it runs, and its disk.
#[derive(Default)]
struct Machine {
    member: Option<Member<()>>,
    boot: u32,
    vote: Vote,
    marks: BTreeMap<Lane, u64>,
    facts: Vec<Fact>,
    answers: Vec<Answer>,
    acknowledged: usize,
    /// Its disk takes everything and answers nothing.
    stuck: bool,
    unanswered: Option<Ticket>,
}

impl Machine {
    fn write(&mut self, record: Record) {
        match record {
            Record::Vote(vote) => self.vote = vote,
            Record::Fact(fact) | Record::Late(fact) => {
                self.marks.insert(fact.id.lane, fact.id.counter);
                self.facts.push(*fact);
            }
        }
    }

    fn behind(&self, lane: Lane, after: u64) -> Vec<Fact> {
        let wanted = |fact: &&Fact| fact.id.lane == lane && fact.id.counter > after;
        self.facts.iter().filter(wanted).cloned().collect()
    }
}

struct Pair {
    now: Instant,
    policy: Promotion,
    machines: [Machine; 2],
    linked: bool,
    other_pbx: bool,
}

impl Pair {
    /// A is primary and B follows.
    fn new() -> Self {
        let now = Instant::ZERO + Duration::from_secs(1);
        let machines = [Machine::default(), Machine::default()];
        let mut pair =
            Self { now, policy: Promotion::Auto, machines, linked: false, other_pbx: false };
        pair.start(A);
        pair.start(B);
        pair.link();
        pair.run(1_000);
        assert_eq!(pair.role(A), Some(Role::Primary(Epoch(1))));
        pair
    }

    fn machine(&mut self, id: NodeId) -> &mut Machine {
        &mut self.machines[usize::from(id.0)]
    }

    fn start(&mut self, id: NodeId) {
        let other_pbx = self.other_pbx;
        let node = |id| {
            let pbx = if other_pbx { format!("at {id}") } else { "x".to_owned() };
            Node { id, name: format!("n{id}"), pbx, ..Cluster::single("", "x").nodes[0].clone() }
        };
        let cluster = Cluster {
            profile: ClusterProfile::Pair,
            me: id,
            nodes: vec![node(A), node(B)],
            promotion: self.policy,
            ..Cluster::single("", "x")
        };
        let now = self.now;
        let machine = self.machine(id);
        machine.boot += 1;
        let (boot, vote, marks) = (machine.boot, machine.vote, machine.marks.clone());
        let loaded = Loaded { boot, vote, marks, facts: Vec::new() };
        let rng = Rng::seed_from_u64(u64::from(id.0));
        machine.member = Some(Member::new(now, &cluster, &loaded, rng));
        self.settle();
    }

    /// The process ends, and the link with it.
    fn kill(&mut self, id: NodeId) {
        self.machine(id).member = None;
        self.cut();
    }

    fn cut(&mut self) {
        if std::mem::take(&mut self.linked) {
            for (id, peer) in [(A, B), (B, A)] {
                let event = Link::Down { why: None };
                self.input(id, Input::Link { peer, event });
            }
        }
    }

    fn link(&mut self) {
        self.linked = true;
        for (id, peer) in [(A, B), (B, A)] {
            let event = Link::Up { build: String::new(), anew: true };
            self.input(id, Input::Link { peer, event });
        }
    }

    fn input(&mut self, id: NodeId, input: Input<()>) {
        let now = self.now;
        if let Some(member) = &mut self.machine(id).member {
            member.handle_input(now, input);
        }
        self.settle();
    }

    fn settle(&mut self) {
        let one = |pair: &mut Self, id| {
            let member = pair.machine(id).member.as_mut();
            member.and_then(Member::poll_output).map(|output| (id, output))
        };
        while let Some((id, output)) = one(self, A).or_else(|| one(self, B)) {
            self.carry_out(id, output);
        }
    }

    fn carry_out(&mut self, id: NodeId, output: Output<()>) {
        let linked = self.linked;
        let machine = self.machine(id);
        match output {
            Output::Persist { ticket, record } => {
                machine.write(record);
                if machine.stuck {
                    machine.unanswered = Some(ticket);
                } else {
                    self.input(id, Input::Persisted(ticket));
                }
            }
            Output::Send { to, message } if linked => {
                let event = Link::Message { epoch: Epoch(0), message };
                self.input(to, Input::Link { peer: id, event });
            }
            Output::Read { lane, after, max } => {
                let mut facts = machine.behind(lane, after);
                facts.truncate(max);
                self.input(id, Input::Read { lane, after, facts });
            }
            Output::Role(Role::Promoting(_)) => self.input(id, Input::TakenOver),
            Output::Unbind(true) => self.input(id, Input::Unbound),
            Output::Answer { answer, .. } => machine.answers.push(answer),
            Output::Appended { result: Ok(()), .. } => machine.acknowledged += 1,
            _ => {}
        }
    }

    fn run(&mut self, ms: u64) {
        for _ in 0..ms / 10 {
            self.now += Duration::from_millis(10);
            let now = self.now;
            for machine in &mut self.machines {
                if let Some(member) = &mut machine.member {
                    member.handle_timeout(now);
                }
            }
            self.settle();
        }
    }

    fn unstick(&mut self, id: NodeId) {
        let machine = self.machine(id);
        machine.stuck = false;
        if let Some(ticket) = machine.unanswered.take() {
            self.input(id, Input::Persisted(ticket));
        }
    }

    fn order(&mut self, id: NodeId, order: Order) -> Option<Answer> {
        self.input(id, Input::Order { id: RequestId(1), order });
        self.run(2_000);
        self.machine(id).answers.pop()
    }

    fn append(&mut self, id: NodeId) {
        let who = Who::Operator("root".to_owned());
        let body = Body::Audit(Audit { who, action: Action::Drill, result: Ok(()) });
        self.input(id, Input::Append { token: Token(1), unix_ms: 0, body: Box::new(body) });
    }

    fn role(&self, id: NodeId) -> Option<Role> {
        self.machines[usize::from(id.0)].member.as_ref().map(|member| member.ha().role())
    }

    fn why(&self, id: NodeId) -> String {
        let member = self.machines[usize::from(id.0)].member.as_ref().expect("it runs");
        member.ha().passive_because(self.now).join("; ")
    }

    /// The supervisor of A tells B of the end of this epoch.
    fn exited(&mut self, epoch: Epoch) {
        self.input(B, Input::Exited { node: A, epoch, cause: String::new() });
    }
}

fn promote() -> Order {
    Order::Promote { node: B, forced: None }
}

/// A has released its role in order and is gone; B waits for a person.
fn released_for_good() -> Pair {
    let mut pair = Pair::new();
    pair.kill(B);
    pair.policy = Promotion::Manual;
    pair.start(B);
    pair.link();
    pair.append(A);
    pair.run(1_000);
    assert_eq!(pair.order(A, Order::Release), Some(Answer::Done));
    pair.kill(A);
    pair.run(1_000);
    assert_eq!(pair.role(B), Some(Role::Backup));
    pair
}

#[test]
fn a_stored_release_lets_a_person_promote_without_force_though_the_other_node_is_gone() {
    let mut pair = released_for_good();
    assert_eq!(pair.order(B, promote()), Some(Answer::Done));
    assert_eq!(pair.role(B), Some(Role::Primary(Epoch(2))));
}

#[test]
fn so_it_does_when_the_backup_was_restarted_in_between() {
    let mut pair = released_for_good();
    pair.kill(B);
    pair.start(B);
    assert_eq!(pair.order(B, promote()), Some(Answer::Done));
    assert_eq!(pair.role(B), Some(Role::Primary(Epoch(2))));
}

#[test]
fn a_backup_that_was_restarted_takes_what_was_released_by_itself_and_at_once() {
    let mut pair = released_for_good();
    pair.kill(B);
    pair.policy = Promotion::Auto;
    pair.start(B);
    pair.run(100);
    assert_eq!(pair.role(B), Some(Role::Primary(Epoch(2))), "{}", pair.why(B));
}

#[test]
fn the_word_of_a_supervisor_is_enough_though_the_process_never_comes_back() {
    let mut pair = Pair::new();
    pair.append(A);
    pair.run(1_000);
    pair.kill(A);
    pair.exited(Epoch(1));
    pair.run(100);
    assert_eq!(pair.role(B), Some(Role::Primary(Epoch(2))), "{}", pair.why(B));
}

#[test]
fn the_release_of_an_epoch_that_the_backup_never_heard_of_is_proof_too() {
    let mut pair = Pair::new();
    pair.kill(A);
    pair.start(A);
    let words = Some("B is halted".to_owned());
    assert_eq!(pair.order(A, Order::Promote { node: A, forced: words }), Some(Answer::Done));
    let Some(Role::Primary(epoch)) = pair.role(A) else { panic!("{:?}", pair.role(A)) };
    assert!(epoch > Epoch(1));
    pair.kill(A);
    pair.exited(epoch);
    pair.run(100);
    let Some(Role::Primary(next)) = pair.role(B) else { panic!("{}", pair.why(B)) };
    assert!(next > epoch);
}

#[test]
fn a_backup_that_may_lack_acknowledged_facts_waits_for_them_or_for_force() {
    let mut pair = Pair::new();
    pair.cut();
    pair.append(A);
    pair.run(10_000);
    assert_eq!(pair.machine(A).acknowledged, 1, "a pair goes on alone");
    pair.kill(A);
    pair.exited(Epoch(1));
    pair.run(20_000);
    assert_eq!(pair.role(B), Some(Role::Backup));
    assert!(pair.why(B).contains("facts that are not here"), "{}", pair.why(B));
    // Also after a restart: it is on its disk.
    pair.kill(B);
    pair.start(B);
    assert!(pair.why(B).contains("facts that are not here"), "{}", pair.why(B));
    pair.start(A);
    pair.link();
    pair.run(1_000);
    assert!([pair.role(A), pair.role(B)].iter().flatten().any(|role| role.acts()));
    assert_eq!(pair.machine(B).facts.len(), 1);
    assert!(!pair.machine(B).vote.behind);
}

#[test]
fn a_release_is_done_when_the_other_node_has_stored_it() {
    let mut pair = Pair::new();
    pair.machine(B).stuck = true;
    pair.input(A, Input::Order { id: RequestId(1), order: Order::Release });
    pair.run(1_000);
    assert_eq!(pair.machine(A).answers, [], "B's disk has not answered");
    pair.unstick(B);
    pair.run(100);
    assert_eq!(pair.machine(A).answers.pop(), Some(Answer::Done));
}

#[test]
fn a_release_that_nobody_stored_says_that_force_may_be_needed() {
    let mut pair = Pair::new();
    pair.cut();
    let answer = pair.order(A, Order::Release);
    let Some(Answer::Refused { reasons, .. }) = answer else { panic!("{answer:?}") };
    assert!(reasons[0].to_string().contains("may need --force"), "{reasons:?}");
    assert_eq!(pair.role(A), Some(Role::Fenced), "it gave its role up all the same");
}

#[test]
fn a_release_that_found_the_link_cut_is_said_again_when_it_is_up() {
    let mut pair = Pair::new();
    pair.cut();
    assert!(matches!(pair.order(A, Order::Release), Some(Answer::Refused { .. })));
    pair.run(120_000);
    assert_eq!(pair.role(B), Some(Role::Backup));
    pair.link();
    pair.run(1_000);
    assert_eq!(pair.role(B), Some(Role::Primary(Epoch(2))), "{}", pair.why(B));
    assert_eq!(pair.role(A), Some(Role::Backup), "it follows");
}

#[test]
fn a_release_for_which_there_was_no_time_to_ship_says_how_far_acknowledged_facts_go() {
    let mut pair = Pair::new();
    pair.append(A);
    pair.run(1_000);
    assert_eq!(pair.machine(A).acknowledged, 1);
    pair.machine(B).stuck = true;
    pair.append(A);
    pair.input(A, Input::Order { id: RequestId(1), order: Order::Release });
    pair.run(4_000);
    assert_eq!(pair.machine(A).acknowledged, 1, "the second one waits for B");
    pair.kill(A);
    pair.unstick(B);
    pair.run(1_000);
    assert!(!pair.machine(B).vote.behind, "B has all that A acknowledged");
    assert!(pair.role(B).is_some_and(Role::acts), "{}", pair.why(B));
}

#[test]
fn a_link_that_is_refused_for_equal_extensions_takes_the_right_to_serve_without_proof() {
    let mut pair = Pair::new();
    pair.kill(A);
    pair.kill(B);
    pair.machines = [Machine::default(), Machine::default()];
    pair.other_pbx = true;
    pair.start(B);
    let why = Some(Refusal::SamePbx { what: "extensions are equal".to_owned() });
    pair.input(B, Input::Link { peer: A, event: Link::Down { why } });
    pair.run(60_000);
    assert_eq!(pair.role(B), Some(Role::Backup));
    pair.kill(B);
    pair.start(B);
    pair.run(60_000);
    assert_eq!(pair.role(B), Some(Role::Backup), "it is on the disk");
    pair.link();
    pair.cut();
    pair.run(60_000);
    assert!(pair.role(B).is_some_and(Role::acts), "corrected: {}", pair.why(B));
}

#[test]
fn a_sentinel_that_answers_at_what_is_called_another_pbx_takes_that_right_over_new_links_too() {
    let serves_alone = |met: bool| {
        let mut pair = Pair::new();
        pair.kill(A);
        pair.kill(B);
        pair.machines = [Machine::default(), Machine::default()];
        pair.other_pbx = true;
        pair.start(A);
        pair.start(B);
        pair.link();
        pair.run(60_000);
        if met {
            pair.input(B, Input::SamePbx);
        }
        pair.cut();
        pair.link();
        pair.cut();
        pair.kill(A);
        pair.run(60_000);
        pair.role(B).is_some_and(Role::acts)
    };
    assert!(serves_alone(false), "another PBX is served without proof");
    assert!(!serves_alone(true));
}
