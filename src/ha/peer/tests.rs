//! Two links, and a peer that says what a test tells it to.

use super::*;
use crate::config::Part;
use crate::timers::{Duration, Instant};

const A: NodeId = NodeId(0);
const B: NodeId = NodeId(1);

fn identity(me: NodeId, name: &str) -> Identity {
    let hash = "0123456789abcdef".to_owned();
    let part = Part { name: "extensions".into(), shown: "6001-6030".into(), hash };
    Identity {
        cluster: "north".to_owned(),
        me,
        name: name.to_owned(),
        speaker: Speaker::Node,
        run: 1,
        shared: Shared {
            parts: vec![part],
            elsewhere: Vec::new(),
            registrars: Vec::new(),
            own: Vec::new(),
        },
        pepper: None,
        timers: Timers { renew: Duration::from_millis(100), lease: Duration::from_millis(600) },
    }
}

fn beat() -> Beat {
    Beat::at_start(Role::Backup)
}

/// Node a with a connection to b, and the pen of b.
struct Bench {
    link: Link<String>,
    now: Instant,
    b: Identity,
    counter: u64,
}

impl Bench {
    fn new() -> Self {
        let mut link = Link::new(identity(A, "a"), B, "b".to_owned());
        let now = Instant::ZERO + Duration::from_secs(1);
        link.handle_input(now, Input::Connected);
        Self { link, now, b: identity(B, "b"), counter: 0 }
    }

    fn up() -> Self {
        let mut bench = Self::new();
        let hello = Body::Hello(Box::new(bench.b.hello()));
        let events = events(bench.say(hello));
        assert_eq!(events, [Event::Up { build: env!("CARGO_PKG_VERSION").into(), anew: true }]);
        bench
    }

    fn take(&mut self) -> Vec<Output<String>> {
        std::iter::from_fn(|| self.link.poll_output()).collect()
    }

    fn bytes(&mut self, bytes: &[u8]) -> Vec<Output<String>> {
        self.link.handle_input(self.now, Input::Received(bytes.to_vec()));
        self.take()
    }

    fn frame(&mut self, frame: &Frame<String>) -> Vec<Output<String>> {
        let bytes = encode(frame).expect("short");
        self.bytes(&bytes)
    }

    /// b says something, in its turn.
    fn say(&mut self, body: Body<String>) -> Vec<Output<String>> {
        self.counter += 1;
        let frame = self.b.frame(Epoch(0), self.counter, body);
        self.frame(&frame)
    }

    fn run(&mut self, time: Duration) -> Vec<Output<String>> {
        let (end, mut made) = (self.now + time, Vec::new());
        while let Some(next) = self.link.poll_timeout().filter(|&at| at <= end) {
            self.now = self.now.max(next);
            self.link.handle_timeout(self.now);
            made.extend(self.take());
        }
        self.now = end;
        made
    }
}

fn beats(outputs: &[Output<String>]) -> usize {
    let beat = |o: &&Output<String>| matches!(o, Output::Write { droppable: true, .. });
    outputs.iter().filter(beat).count()
}

fn events(outputs: Vec<Output<String>>) -> Vec<Event<String>> {
    let event = |output| match output {
        Output::Event(event) => Some(event),
        Output::Write { .. } | Output::Close => None,
    };
    outputs.into_iter().filter_map(event).collect()
}

/// Why a link closed, if it did, and told the other side why.
fn refusal(outputs: Vec<Output<String>>) -> Option<Refusal> {
    let goodbye = outputs.iter().any(|output| {
        matches!(output, Output::Write { bytes, .. }
            if matches!(decode::<String>(&bytes[4..]).map(|f| f.body), Ok(Body::Goodbye { .. })))
    });
    let closed = outputs.contains(&Output::Close);
    let down = events(outputs).into_iter().find_map(|event| match event {
        Event::Down { why } => why,
        _ => None,
    });
    assert_eq!(closed, down.is_some(), "closed and told so");
    assert!(!closed || goodbye || matches!(down, Some(Refusal::TheyRefused { .. })));
    down
}

#[test]
fn two_nodes_that_belong_together_hear_each_other() {
    let mut a = Link::<String>::new(identity(A, "a"), B, "b".to_owned());
    let mut b = Link::<String>::new(identity(B, "b"), A, "a".to_owned());
    let now = Instant::ZERO;
    a.handle_input(now, Input::Connected);
    b.handle_input(now, Input::Connected);
    a.handle_input(now, Input::Send("too early".to_owned()));
    let mut heard = Vec::new();
    for round in 0..4 {
        if round == 2 {
            a.handle_input(now, Input::Send("hello".to_owned()));
        }
        while let Some(output) = a.poll_output() {
            if let Output::Write { bytes, .. } = output {
                b.handle_input(now, Input::Received(bytes));
            }
        }
        while let Some(output) = b.poll_output() {
            match output {
                Output::Write { bytes, .. } => a.handle_input(now, Input::Received(bytes)),
                Output::Event(event) => heard.push(event),
                Output::Close => panic!("closed"),
            }
        }
    }
    let message = Event::Message { epoch: Epoch(0), message: "hello".to_owned() };
    assert!(matches!(&heard[..], [Event::Up { anew: true, .. }, m] if *m == message), "{heard:?}");
    assert!(a.is_up() && b.is_up());
}

#[test]
fn bytes_may_come_one_by_one() {
    let mut bench = Bench::new();
    bench.take();
    let hello: Frame<String> = bench.b.frame(Epoch(3), 1, Body::Hello(Box::new(bench.b.hello())));
    let mut made = Vec::new();
    for byte in encode(&hello).expect("short") {
        made.extend(bench.bytes(&[byte]));
    }
    assert_eq!(events(made).len(), 1);
    assert!(bench.link.is_up());
}

/// What becomes of a hello that was changed.
fn hello_with(change: impl FnOnce(&mut Frame<String>, &mut Hello)) -> Option<Refusal> {
    let mut bench = Bench::new();
    let mut hello = bench.b.hello();
    let mut frame =
        bench.b.frame(Epoch(0), 1, Body::Release { epoch: Epoch(0), cause: String::new() });
    change(&mut frame, &mut hello);
    frame.body = Body::Hello(Box::new(hello));
    refusal(bench.frame(&frame))
}

#[test]
fn a_node_of_another_cluster_is_refused() {
    let refused = hello_with(|frame, _| frame.cluster = "south\u{1b}[2J".to_owned());
    let refused = refused.expect("refused");
    assert!(matches!(&refused, Refusal::OtherCluster { theirs, .. } if theirs == "south [2J"));
    assert!(refused.is_lasting() && refused.to_string().contains("must correct it"));
}

#[test]
fn another_version_is_refused_and_who_upgrades_is_told() {
    let refused = hello_with(|_, hello| hello.protocol = PROTOCOL + 1).expect("refused");
    assert!(refused.to_string().contains("version 5 of the link"), "{refused}");
}

#[test]
fn another_node_than_its_certificate_says_is_refused() {
    let by_name = hello_with(|_, hello| hello.node = "c".to_owned());
    assert_eq!(by_name, Some(Refusal::OtherNode { claims: "c".to_owned() }));
    let by_number = hello_with(|frame, _| frame.from = NodeId(2));
    assert_eq!(by_number, Some(Refusal::OtherNode { claims: "n2".to_owned() }));
}

#[test]
fn a_configuration_that_differs_is_refused_by_name() {
    let refused = hello_with(|_, hello| {
        hello.shared.parts[0].shown = "6001-6020".to_owned();
        hello.shared.parts[0].hash = "0".to_owned();
    });
    let refused = refused.expect("refused").to_string();
    assert!(refused.starts_with("extensions differ: 6001-6030 here, 6001-6020 at b"), "{refused}");
}

#[test]
fn whoever_speaks_before_the_hello_is_refused() {
    let mut bench = Bench::new();
    assert_eq!(refusal(bench.say(Body::Beat(beat()))), Some(Refusal::NotGreeted));
}

#[test]
fn a_supervisor_is_no_node() {
    let refused = hello_with(|_, hello| hello.speaker = Speaker::Supervisor);
    assert!(matches!(refused, Some(Refusal::MayNotSay { .. })));
    let mut bench = Bench::up();
    let release = bench.say(Body::Release { epoch: Epoch(1), cause: String::new() });
    assert!(matches!(refusal(release), Some(Refusal::MayNotSay { .. })));
}

#[test]
fn a_frame_that_comes_twice_is_refused() {
    let mut bench = Bench::up();
    let frame = bench.b.frame(Epoch(0), 7, Body::Message("x".to_owned()));
    assert_eq!(events(bench.frame(&frame)).len(), 1);
    assert_eq!(refusal(bench.frame(&frame)), Some(Refusal::NotRisen));
}

#[test]
fn a_frame_of_an_older_epoch_is_refused_and_a_newer_epoch_counts_anew() {
    let mut bench = Bench::up();
    let newer = bench.b.frame(Epoch(2), 1, Body::Message("x".to_owned()));
    assert_eq!(events(bench.frame(&newer)).len(), 1);
    let older = bench.b.frame(Epoch(1), 9, Body::Message("x".to_owned()));
    assert_eq!(refusal(bench.frame(&older)), Some(Refusal::NotRisen));
}

#[test]
fn what_was_heard_on_one_connection_is_old_on_the_next() {
    let mut bench = Bench::up();
    bench.link.handle_input(bench.now, Input::Connected);
    bench.take();
    bench.counter = 0;
    let hello = Body::Hello(Box::new(bench.b.hello()));
    assert_eq!(refusal(bench.say(hello)), Some(Refusal::NotRisen));
}

#[test]
fn a_peer_that_starts_anew_counts_anew() {
    let mut bench = Bench::up();
    bench.link.handle_input(bench.now, Input::Closed);
    bench.link.handle_input(bench.now, Input::Connected);
    bench.take();
    (bench.b.run, bench.counter) = (2, 0);
    let hello = Body::Hello(Box::new(bench.b.hello()));
    assert!(matches!(events(bench.say(hello))[..], [Event::Up { anew: true, .. }]));
}

#[test]
fn a_known_epoch_leaves_with_every_frame_and_starts_the_count_again() {
    let mut bench = Bench::up();
    bench.take();
    bench.link.handle_input(bench.now, Input::Epoch(Epoch(5)));
    bench.link.handle_input(bench.now, Input::Epoch(Epoch(4)));
    bench.link.handle_input(bench.now, Input::Send("x".to_owned()));
    let [Output::Write { bytes, droppable: false }] = &bench.take()[..] else { panic!("one") };
    let frame = decode::<String>(&bytes[4..]).expect("a frame");
    assert_eq!((frame.epoch, frame.counter, frame.from), (Epoch(5), 1, A));
}

#[test]
fn beats_leave_as_often_as_the_lease_is_renewed() {
    let mut bench = Bench::up();
    bench.link.handle_input(bench.now, Input::Beat(beat()));
    assert_eq!(beats(&bench.run(Duration::from_millis(500))), 6, "at once, then five times");
}

#[test]
fn a_node_that_says_nothing_of_itself_for_a_lease_does_not_beat() {
    let mut bench = Bench::up();
    assert_eq!(beats(&bench.run(Duration::from_millis(300))), 0);
    bench.link.handle_input(bench.now, Input::Beat(beat()));
    assert_eq!(beats(&bench.run(Duration::from_millis(1_000))), 5, "at 300 + 100 .. 300 + 500");
}

#[test]
fn silence_is_told_after_a_lease_and_closes_after_three() {
    let mut bench = Bench::up();
    let since = bench.now;
    assert_eq!(events(bench.run(Duration::from_millis(599))), []);
    assert_eq!(events(bench.run(Duration::from_millis(1))), [Event::Silent { since }]);
    assert!(!bench.link.is_up());
    let down = events(bench.run(Duration::from_secs(10)));
    assert_eq!(down, [Event::Down { why: Some(Refusal::Silent) }]);
    assert_eq!(bench.now, since + Duration::from_millis(10_600));
    assert_eq!(bench.link.poll_timeout(), None);
}

#[test]
fn a_peer_that_speaks_again_is_heard_again() {
    let mut bench = Bench::up();
    bench.run(Duration::from_millis(700));
    let heard = events(bench.say(Body::Beat(beat())));
    assert_eq!(heard, [Event::Heard, Event::Beat { epoch: Epoch(0), beat: beat() }]);
    assert!(bench.link.is_up());
}

#[test]
fn a_peer_that_says_no_hello_is_given_up() {
    let mut bench = Bench::new();
    bench.take();
    let outputs = bench.run(Duration::from_secs(6));
    assert_eq!(refusal(outputs), Some(Refusal::Silent));
}

#[test]
fn what_the_peer_says_of_us_is_told_without_control_characters() {
    let mut bench = Bench::new();
    let why = format!("extensions differ\n{}", "x".repeat(1_000));
    let Some(Refusal::TheyRefused { why }) = refusal(bench.say(Body::Goodbye { why })) else {
        panic!("refused")
    };
    assert!(why.starts_with("extensions differ x") && why.len() == TEXT_MAX, "{why}");
}

#[test]
fn a_frame_over_its_bound_is_refused_by_its_length_alone() {
    let mut bench = Bench::new();
    let length = u32::try_from(HELLO_MAX + 1).expect("small").to_be_bytes();
    assert!(matches!(refusal(bench.bytes(&length)), Some(Refusal::Length { .. })));
    let mut bench = Bench::up();
    let length = u32::try_from(FRAME_MAX + 1).expect("small").to_be_bytes();
    assert!(matches!(refusal(bench.bytes(&length)), Some(Refusal::Length { .. })));
    let mut bench = Bench::up();
    assert!(matches!(refusal(bench.bytes(&[0; 4])), Some(Refusal::Length { length: 0, .. })));
}

#[test]
fn a_message_of_a_mebibyte_passes_and_a_longer_one_closes_the_link() {
    let mut bench = Bench::up();
    let outputs = bench.say(Body::Message("x".repeat(FRAME_MAX - 200)));
    assert_eq!(events(outputs).len(), 1);
    bench.link.handle_input(bench.now, Input::Send("x".repeat(FRAME_MAX)));
    assert!(matches!(refusal(bench.take()), Some(Refusal::Length { .. })));
}

#[test]
fn bytes_that_are_no_frame_are_refused() {
    for json in ["{", "[]", "null", "{\"cluster\":\"north\"}", "\u{fffd}", &"[".repeat(5_000)] {
        let mut bench = Bench::up();
        let mut bytes = u32::try_from(json.len()).expect("small").to_be_bytes().to_vec();
        bytes.extend_from_slice(json.as_bytes());
        assert!(matches!(refusal(bench.bytes(&bytes)), Some(Refusal::Malformed { .. })), "{json}");
    }
}

#[test]
fn what_comes_after_a_refusal_is_not_heard() {
    let mut bench = Bench::up();
    bench.bytes(&[0; 4]);
    assert_eq!(bench.say(Body::Message("x".to_owned())), []);
}

#[test]
fn a_peer_with_another_pepper_is_known_and_stays() {
    let greet = |ours: Option<&str>, theirs: Option<&str>| {
        let mut a = identity(A, "a");
        a.pepper = ours.map(str::to_owned);
        let mut link = Link::<String>::new(a, B, "b".to_owned());
        let now = Instant::ZERO + Duration::from_secs(1);
        link.handle_input(now, Input::Connected);
        let mut b = identity(B, "b");
        b.pepper = theirs.map(str::to_owned);
        let hello: Frame<String> = b.frame(Epoch(0), 0, Body::Hello(Box::new(b.hello())));
        link.handle_input(now, Input::Received(encode(&hello).expect("short")));
        assert!(link.is_up());
        link.other_pepper()
    };
    assert!(greet(Some("1"), Some("2")));
    assert!(!greet(Some("1"), Some("1")));
    assert!(!greet(None, Some("1")) && !greet(Some("1"), None));
}

/// What becomes of a hello whose sender, as we do, says that it serves a PBX of its own.
fn apart(ours: &[(&str, &str)], theirs: &[(&str, &str)]) -> Option<Refusal> {
    let runs = |runs: &[(&str, &str)]| {
        runs.iter().map(|&(first, last)| (first.to_owned(), last.to_owned())).collect()
    };
    let mut bench = Bench::new();
    let mut us = identity(A, "a");
    us.shared.elsewhere = runs(ours);
    bench.link = Link::new(us, B, "b".to_owned());
    bench.link.handle_input(bench.now, Input::Connected);
    let mut hello = bench.b.hello();
    hello.shared.elsewhere = runs(theirs);
    refusal(bench.frame(&bench.b.frame(Epoch(0), 1, Body::Hello(Box::new(hello)))))
}

#[test]
fn a_node_at_another_pbx_with_an_extension_of_ours_is_refused() {
    let ours = [("6001", "6030"), ("hall", "hall")];
    for theirs in [("6030", "6040"), ("5990", "6001"), ("6010", "6010"), ("hall", "hall")] {
        let refused = apart(&ours, &[("7001", "7030"), theirs]).expect("refused");
        assert!(matches!(refused, Refusal::SamePbx { .. }) && refused.is_lasting(), "{refused}");
    }
    for theirs in [("6031", "6040"), ("60010", "60020"), ("600", "603"), ("halls", "halls")] {
        assert_eq!(apart(&ours, &[theirs]), None, "{theirs:?}");
    }
}

#[test]
fn a_hello_has_room_for_a_thousand_extensions_that_are_no_run() {
    let mut us = identity(A, "a");
    let extension = |n: u32| format!("{:012}", u64::from(n) * 3);
    us.shared.elsewhere = (0..1_000).map(|n| (extension(n), extension(n))).collect();
    let frame: Frame<String> = us.frame(Epoch(0), 1, Body::Hello(Box::new(us.hello())));
    assert!(encode(&frame).expect("short").len() < HELLO_MAX);
}
