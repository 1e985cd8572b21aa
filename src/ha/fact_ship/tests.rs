//! The rules one by one, at one node.

use super::*;
use crate::config::MemberRole;
use crate::ids::{CallId, PortId};
use crate::store::{Action, Audit, Cdr, Who};
use crate::timers::Duration;

const A: NodeId = NodeId(0);
const B: NodeId = NodeId(1);
const W: NodeId = NodeId(2);
const BOOT: u32 = 7;

fn at(ms: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(ms)
}

fn lane(node: NodeId, boot: u32, stream: Stream) -> Lane {
    Lane { node, boot, stream }
}

fn audit() -> Body {
    let who = Who::Operator("root".to_owned());
    Body::Audit(Audit { who, action: Action::Drill, result: Ok(()) })
}

fn cdr() -> Body {
    Body::Cdr(Cdr {
        call: CallId(1),
        port: PortId(1),
        extension: "201".to_owned(),
        party: "300".to_owned().into(),
        outbound: false,
        began_unix_ms: 0,
        answered_ms: None,
        duration_ms: 0,
        cause: "normal".to_owned(),
        rebinds: 0,
        takeovers: 0,
    })
}

fn fact(lane: Lane, counter: u64, epoch: u64) -> Fact {
    let body = if lane.stream == Stream::Calls { cdr() } else { audit() };
    Fact { id: FactId { lane, counter }, epoch: Epoch(epoch), unix_ms: 0, body }
}

/// Node A.
struct Bench {
    ship: FactShip,
    now: Instant,
    said: u64,
    tokens: u64,
}

impl Bench {
    fn new(profile: ClusterProfile, marks: &[(Lane, u64)]) -> Self {
        let others = match profile {
            ClusterProfile::Single => Vec::new(),
            ClusterProfile::Pair => vec![(B, MemberRole::Data)],
            ClusterProfile::Trio => vec![(B, MemberRole::Data), (W, MemberRole::Witness)],
        };
        let site = Site { me: A, profile, others, solo_after: Duration::from_secs(5) };
        let marks = marks.iter().copied().collect();
        let loaded = Loaded { boot: BOOT, marks, ..Loaded::default() };
        Self { ship: FactShip::new(site, &loaded), now: at(0), said: 0, tokens: 0 }
    }

    fn input(&mut self, input: Input) {
        self.ship.handle_input(self.now, input);
    }

    fn hears(&mut self, from: NodeId, content: Content) {
        self.said += 1;
        let epoch = self.ship.epoch;
        let message = Message { epoch, counter: self.said, content };
        self.input(Input::Received { from, message });
    }

    /// A peer that has nothing comes up.
    fn up(&mut self, node: NodeId) {
        self.input(Input::Up(node));
        self.hears(node, Content::Marks { all: true, lanes: Vec::new() });
    }

    fn append(&mut self, body: Body) -> Token {
        self.tokens += 1;
        let token = Token(self.tokens);
        self.input(Input::Append { token, unix_ms: 0, body: Box::new(body) });
        token
    }

    /// Appends a fact that is durable here.
    fn durable(&mut self, body: Body) -> Token {
        let token = self.append(body);
        let ticket = Ticket(self.ship.tickets);
        self.input(Input::Persisted(ticket));
        token
    }

    fn tells_all(&mut self, node: NodeId, lanes: Vec<(Lane, u64)>) {
        self.hears(node, Content::Marks { all: true, lanes });
    }

    fn tells(&mut self, node: NodeId, lane: Lane, mark: u64) {
        self.hears(node, Content::Marks { all: false, lanes: vec![(lane, mark)] });
    }

    fn pass(&mut self, ms: u64) {
        let until = self.now + Duration::from_millis(ms);
        while let Some(due) = self.ship.poll_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.ship.handle_timeout(self.now);
        }
        self.now = until;
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.ship.poll_output()).collect()
    }

    fn acknowledged(&mut self) -> Vec<(Token, bool)> {
        let acknowledged = |output| match output {
            Output::Acknowledged { token, alone, .. } => Some((token, alone)),
            _ => None,
        };
        self.outputs().into_iter().filter_map(acknowledged).collect()
    }
}

fn facts_to(node: NodeId, outputs: &[Output]) -> Vec<FactId> {
    let facts = outputs.iter().filter_map(|output| match output {
        Output::Send { to, message: Message { content: Content::Facts(facts), .. } } => {
            (*to == node).then_some(facts)
        }
        _ => None,
    });
    facts.flatten().map(|fact| fact.id).collect()
}

const CONTROL: Lane = Lane { node: A, boot: BOOT, stream: Stream::Control };
const CALLS: Lane = Lane { node: A, boot: BOOT, stream: Stream::Calls };

#[test]
fn a_single_node_acknowledges_what_is_durable() {
    let mut a = Bench::new(ClusterProfile::Single, &[]);
    let token = a.append(cdr());
    assert_eq!(a.acknowledged(), []);
    a.input(Input::Persisted(Ticket(1)));
    assert_eq!(a.acknowledged(), [(token, false)]);
}

#[test]
fn a_pair_acknowledges_what_is_durable_on_both_and_after_a_silence_what_its_holder_has() {
    let mut a = Bench::new(ClusterProfile::Pair, &[]);
    a.up(B);
    a.input(Input::Held { epoch: Epoch(1), facts_of: None });
    a.tells_all(B, Vec::new());
    let both = a.durable(cdr());
    assert_eq!(a.acknowledged(), []);
    a.tells(B, CALLS, 1);
    assert_eq!(a.acknowledged(), [(both, false)]);
    a.input(Input::Down(B));
    let first = a.durable(cdr());
    a.pass(4_999);
    assert_eq!(a.acknowledged(), []);
    a.pass(1);
    let outputs = a.outputs();
    assert!(outputs.contains(&Output::Alone(true)), "{outputs:?}");
    assert!(
        outputs.iter().any(
            |o| matches!(o, Output::Acknowledged { token, alone: true, .. } if *token == first)
        )
    );
    let status = a.ship.status();
    assert_eq!(
        (status.alone, status.peers[0].unshipped, status.peers[0].up),
        (true, Some(1), false)
    );
    let next = a.durable(cdr());
    assert_eq!(a.acknowledged(), [(next, true)]);
    a.input(Input::Up(B));
    a.hears(B, Content::Marks { all: true, lanes: vec![(CALLS, 1)] });
    a.outputs();
    a.tells(B, CALLS, 3);
    assert!(a.outputs().contains(&Output::Alone(false)));
    assert_eq!((a.ship.status().alone, a.ship.status().peers[0].unshipped), (false, Some(0)));
}

#[test]
fn who_does_not_hold_in_a_pair_never_goes_on_alone_and_who_lost_the_lease_ends_it() {
    let mut b = Bench::new(ClusterProfile::Pair, &[]);
    b.up(B);
    b.input(Input::Down(B));
    let token = b.durable(audit());
    b.pass(60_000);
    assert_eq!((b.acknowledged(), b.ship.poll_timeout()), (vec![], None));
    b.input(Input::Held { epoch: Epoch(1), facts_of: None });
    assert_eq!(b.acknowledged(), [(token, true)], "it has waited for long enough");
    b.input(Input::Lost);
    b.durable(audit());
    b.pass(60_000);
    assert_eq!(b.acknowledged(), []);
    assert!(!b.ship.status().alone);
}

#[test]
fn whoever_asks_what_is_here_gets_at_once_what_it_lacks_of_others() {
    let mut w = Bench::new(ClusterProfile::Trio, &[]);
    w.up(W);
    let theirs = lane(B, 3, Stream::Control);
    w.up(B);
    w.hears(B, Content::Facts(vec![fact(theirs, 1, 0)]));
    w.input(Input::Persisted(Ticket(1)));
    let read = Output::Read { lane: theirs, after: 0, max: BATCH_MAX };
    assert!(!w.outputs().contains(&read), "its writer has most likely sent it");
    w.said += 1;
    w.hears(W, Content::Ask);
    assert!(w.outputs().contains(&read));
}

#[test]
fn a_fact_that_is_not_taken_is_not_told_as_stored() {
    let mut a = Bench::new(ClusterProfile::Pair, &[]);
    a.input(Input::Epoch(Epoch(9)));
    a.up(B);
    let theirs = lane(B, 1, Stream::Calls);
    let marks = |a: &mut Bench| {
        let told = a.outputs().into_iter().filter_map(|output| match output {
            Output::Send {
                message: Message { content: Content::Marks { lanes, .. }, .. }, ..
            } => Some(lanes),
            _ => None,
        });
        told.flatten().collect::<Vec<_>>()
    };
    a.outputs();
    a.hears(B, Content::Facts(vec![fact(theirs, 2, 1)]));
    assert_eq!(marks(&mut a), [(theirs, 0)], "it does not follow");
    a.hears(B, Content::Facts(vec![fact(theirs, 1, 1), fact(theirs, 2, 1)]));
    assert_eq!(marks(&mut a), [(theirs, 0)], "ordered, not durable");
    a.input(Input::Persisted(Ticket(1)));
    assert_eq!(marks(&mut a), [(theirs, 1)]);
}

#[test]
fn a_holder_asks_the_witness_within_a_second_and_counts_on_nothing_else() {
    let mut a = Bench::new(ClusterProfile::Trio, &[]);
    a.up(W);
    a.input(Input::Held { epoch: Epoch(1), facts_of: None });
    let token = a.durable(audit());
    a.tells(W, CONTROL, 1);
    assert_eq!(a.acknowledged(), [], "the witness does not become primary");
    a.pass(700);
    assert!(a.outputs().contains(&Output::WantSolo(true)));
    a.input(Input::Solo { on: true, epoch: Epoch(2) });
    assert_eq!(a.acknowledged(), [], "of another epoch");
    a.input(Input::Solo { on: true, epoch: Epoch(1) });
    assert_eq!(a.acknowledged(), [(token, true)]);
    a.input(Input::Lost);
    a.input(Input::Held { epoch: Epoch(2), facts_of: None });
    a.durable(audit());
    assert_eq!(a.acknowledged(), [], "nothing is inherited");
}

#[test]
fn a_holder_returns_from_alone_when_all_of_it_is_shipped_and_acknowledges_nothing_in_between() {
    let mut a = Bench::new(ClusterProfile::Trio, &[]);
    a.input(Input::Held { epoch: Epoch(1), facts_of: None });
    a.durable(cdr());
    a.pass(700);
    a.input(Input::Solo { on: true, epoch: Epoch(1) });
    a.up(B);
    assert!(!a.outputs().contains(&Output::WantSolo(false)), "B has nothing");
    a.tells(B, CALLS, 1);
    assert!(a.outputs().contains(&Output::WantSolo(false)));
    let token = a.durable(cdr());
    a.input(Input::Solo { on: true, epoch: Epoch(1) });
    assert_eq!(a.acknowledged(), [], "the note may be gone");
    a.tells(B, CALLS, 2);
    assert_eq!(a.acknowledged(), [(token, false)]);
}

#[test]
fn no_note_replaces_that_of_another_node_before_its_facts_are_here() {
    let mut a = Bench::new(ClusterProfile::Trio, &[]);
    a.up(W);
    a.input(Input::Held { epoch: Epoch(2), facts_of: Some(B) });
    a.durable(cdr());
    a.pass(5_000);
    let theirs = lane(B, 3, Stream::Calls);
    a.input(Input::Up(B));
    a.hears(B, Content::Marks { all: true, lanes: vec![(theirs, 1)] });
    a.pass(100);
    let wants = |outputs: &[Output]| outputs.iter().any(|o| matches!(o, Output::WantSolo(_)));
    assert!(!wants(&a.outputs()));
    a.hears(B, Content::Facts(vec![fact(theirs, 1, 1)]));
    assert!(!a.outputs().iter().any(|o| matches!(o, Output::CaughtUp { .. })), "not durable");
    a.input(Input::Persisted(Ticket(2)));
    let outputs = a.outputs();
    assert!(outputs.contains(&Output::CaughtUp { with: B, epoch: Epoch(2) }), "{outputs:?}");
    assert!(outputs.contains(&Output::WantSolo(true)), "the CDR waits for B");
}

#[test]
fn a_store_that_has_failed_acknowledges_nothing_to_anybody() {
    let mut a = Bench::new(ClusterProfile::Single, &[]);
    a.append(cdr());
    a.input(Input::StoreFailed);
    a.input(Input::Persisted(Ticket(1)));
    let next = a.append(cdr());
    let outputs = a.outputs();
    assert!(!outputs.iter().any(|o| matches!(o, Output::Acknowledged { .. } | Output::Fact(_))));
    assert!(outputs.contains(&Output::Refused { token: next, why: Refusal::StoreFailed }));
    let mut a = Bench::new(ClusterProfile::Pair, &[]);
    a.up(B);
    a.input(Input::StoreFailed);
    a.outputs();
    a.hears(B, Content::Facts(vec![fact(lane(B, 1, Stream::Calls), 1, 0)]));
    assert_eq!(a.outputs(), []);
}

#[test]
fn a_store_that_has_failed_leaves_no_deadline_that_nobody_meets() {
    let mut a = Bench::new(ClusterProfile::Pair, &[]);
    a.input(Input::Held { epoch: Epoch(1), facts_of: None });
    a.input(Input::Down(B));
    a.durable(cdr());
    assert!(a.ship.poll_timeout().is_some(), "the fact waits to go on alone");
    a.input(Input::StoreFailed);
    assert_eq!(a.ship.poll_timeout(), None);
}

#[test]
fn the_witness_gets_audit_records_and_no_calls() {
    let mut a = Bench::new(ClusterProfile::Trio, &[]);
    a.up(B);
    a.said = 0;
    a.up(W);
    a.durable(cdr());
    a.durable(audit());
    let outputs = a.outputs();
    let id = |lane| FactId { lane, counter: 1 };
    assert_eq!(facts_to(B, &outputs), [id(CALLS), id(CONTROL)]);
    assert_eq!(facts_to(W, &outputs), [id(CONTROL)]);
}

#[test]
fn a_peer_that_was_away_is_served_from_the_disk_in_pieces() {
    let old = lane(A, 3, Stream::Calls);
    let mut a = Bench::new(ClusterProfile::Pair, &[(old, 10_000)]);
    a.up(B);
    let (mut sent, mut told) = (0, 0);
    while sent < 10_000 {
        let outputs = a.outputs();
        sent += facts_to(B, &outputs).len() as u64;
        assert!(sent <= told + 256 + 64, "{sent} sent, {told} told");
        let read = outputs.iter().find_map(|output| match output {
            Output::Read { lane, after, max } => Some((*lane, *after, *max)),
            _ => None,
        });
        let Some((lane, after, max)) = read else {
            told = sent;
            a.tells(B, old, told);
            continue;
        };
        assert_eq!((lane, after, max), (old, sent, BATCH_MAX));
        let facts = (after + 1..=10_000).take(max).map(|n| fact(lane, n, 0)).collect();
        a.input(Input::Read { lane, after, facts });
    }
    a.tells(B, old, 10_000);
    assert_eq!(a.ship.status().peers[0].unshipped, Some(0));
}

#[test]
fn what_was_lost_on_the_way_is_sent_again() {
    let mut a = Bench::new(ClusterProfile::Pair, &[]);
    a.up(B);
    let token = a.durable(cdr());
    a.outputs();
    a.pass(500);
    let outputs = a.outputs();
    let id = FactId { lane: CALLS, counter: 1 };
    let again = outputs.contains(&Output::Read { lane: CALLS, after: 0, max: BATCH_MAX });
    assert!(again, "{outputs:?}");
    a.input(Input::Read { lane: CALLS, after: 0, facts: vec![fact(CALLS, 1, 0)] });
    assert_eq!(facts_to(B, &a.outputs()), [id]);
    a.tells(B, CALLS, 1);
    assert_eq!(a.acknowledged(), [(token, false)]);
}

#[test]
fn the_tail_of_an_epoch_that_has_ended_is_kept_and_marked_as_late() {
    let mut a = Bench::new(ClusterProfile::Pair, &[]);
    a.input(Input::Held { epoch: Epoch(2), facts_of: None });
    a.up(B);
    a.outputs();
    let theirs = lane(B, 3, Stream::Calls);
    a.hears(B, Content::Facts(vec![fact(theirs, 1, 1), fact(theirs, 2, 2)]));
    let records = a.outputs().into_iter().filter_map(|output| match output {
        Output::Persist { record, .. } => Some(record),
        _ => None,
    });
    let [first, second] = [fact(theirs, 1, 1), fact(theirs, 2, 2)].map(Box::new);
    assert_eq!(records.collect::<Vec<_>>(), [Record::Late(first), Record::Fact(second)]);
    assert_eq!(a.ship.status().late, 1);
}

#[test]
fn the_tail_that_only_a_peer_has_comes_back_to_its_writer() {
    let old = lane(A, BOOT - 1, Stream::Calls);
    let mut a = Bench::new(ClusterProfile::Pair, &[(old, 4)]);
    a.up(B);
    a.hears(B, Content::Facts(vec![fact(old, 4, 0), fact(old, 5, 0)]));
    a.input(Input::Persisted(Ticket(1)));
    assert_eq!(a.ship.mark(old), 5);
}

#[test]
fn a_file_that_was_set_back_is_noticed_and_nothing_is_acknowledged() {
    for seen in [(CALLS, 1), (lane(A, BOOT + 1, Stream::Control), 9)] {
        let mut a = Bench::new(ClusterProfile::Pair, &[]);
        a.input(Input::Up(B));
        a.hears(B, Content::Marks { all: true, lanes: vec![seen] });
        assert!(a.outputs().contains(&Output::SetBack));
        let token = a.append(cdr());
        assert_eq!(a.outputs(), [Output::Refused { token, why: Refusal::StoreFailed }]);
        assert!(a.ship.status().failed);
    }
}

#[test]
fn what_does_not_follow_or_does_not_belong_is_not_taken() {
    let mut a = Bench::new(ClusterProfile::Trio, &[]);
    a.up(B);
    let theirs = lane(B, 1, Stream::Calls);
    let mut wrong_stream = fact(theirs, 1, 0);
    wrong_stream.body = audit();
    let stranger = lane(NodeId(9), 1, Stream::Calls);
    for facts in [
        vec![],
        vec![fact(theirs, 2, 0)],
        vec![fact(theirs, 0, 0)],
        vec![fact(theirs, u64::MAX, u64::MAX)],
        vec![fact(stranger, 1, 0)],
        vec![wrong_stream],
    ] {
        a.hears(B, Content::Facts(facts));
    }
    a.hears(B, Content::Marks { all: false, lanes: vec![(theirs, u64::MAX), (stranger, 1)] });
    a.input(Input::Received {
        from: NodeId(9),
        message: Message { epoch: Epoch(9), counter: 1, content: Content::Ask },
    });
    a.input(Input::Persisted(Ticket(u64::MAX)));
    a.input(Input::Read { lane: theirs, after: u64::MAX, facts: vec![fact(theirs, 1, 0)] });
    assert!(!a.outputs().iter().any(|output| matches!(output, Output::Persist { .. })));
}

#[test]
fn a_message_that_comes_late_is_not_heard() {
    let mut a = Bench::new(ClusterProfile::Pair, &[]);
    a.up(B);
    a.durable(cdr());
    a.said = 0;
    a.tells(B, CALLS, 1);
    assert_eq!(a.acknowledged(), []);
}

#[test]
fn a_fact_that_would_burst_a_frame_is_refused() {
    let mut a = Bench::new(ClusterProfile::Single, &[]);
    let who = Who::Operator("x".repeat(FACT_MAX));
    let body = Body::Audit(Audit { who, action: Action::Drill, result: Ok(()) });
    let token = a.append(body);
    assert_eq!(a.outputs(), [Output::Refused { token, why: Refusal::TooLong }]);
}

#[test]
fn a_disk_that_hangs_costs_bounded_memory() {
    let mut a = Bench::new(ClusterProfile::Single, &[]);
    for _ in 0..6_000 {
        a.append(cdr());
    }
    let outputs = a.outputs();
    let count = |which: fn(&Output) -> bool| outputs.iter().filter(|output| which(output)).count();
    assert_eq!(count(|output| matches!(output, Output::Persist { .. })), 512);
    let full = |output: &Output| matches!(output, Output::Refused { why: Refusal::Full, .. });
    assert_eq!(count(full), 6_000 - 4_096);
}

#[test]
fn what_was_on_its_way_to_a_disk_that_fails_is_counted() {
    let mut a = Bench::new(ClusterProfile::Trio, &[]);
    a.durable(audit());
    a.durable(cdr());
    for body in [audit(), cdr(), cdr()] {
        a.append(body);
    }
    a.input(Input::StoreFailed);
    let status = a.ship.status();
    assert_eq!((status.pending, status.undurable), (5, 3));
}
