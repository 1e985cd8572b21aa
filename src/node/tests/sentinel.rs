//! Two nodes of a pair and the PBX between them: the backup asks through it whether the primary
//! lives.

use super::cluster::{A, B, Trio, W, text};
use super::menu::{add_agent, call, heard, key, log_in};
use super::*;
use crate::codecs::Digit;
use crate::ha::proof;
use crate::ha::role::{Order, Reason};
use crate::ha::{Role, sentinel};
use crate::menu;
use crate::node::call::Socket;

const SENTINEL: &str =
    "[control.sentinel]\nextension = \"6099\"\npassword = \"kT7-pq2Zr9vXw4mN8sLd\"\n";
/// Behind the port of the pool and the control extension.
const PORT_OF_SENTINEL: PortId = PortId(2);
/// Behind the lines of the control extension.
const PROOF_LINE: PortId = PortId(4);

fn pair() -> Trio {
    let mut trio = Trio::pair("manual", SENTINEL);
    for at in [A, B] {
        trio.input(at, Input::ProofKey(proof::Key::new([7; proof::KEY_BYTES].into())));
    }
    trio.run(Duration::from_secs(5));
    assert_eq!((trio.role(A).acts(), trio.role(B)), (true, Role::Backup));
    trio
}

/// The backup has called the sentinel while it heard the primary, which then falls silent: `cut`,
/// or gone.
fn unheard(cut: bool) -> Trio {
    let mut trio = pair();
    trio.run(Duration::from_secs(30));
    answer(&mut trio, None);
    assert!(node(&trio, B).proofs.sentinel.is_proven());
    if cut {
        trio.cut.insert((A, B));
        trio.down(A, B);
        trio.down(B, A);
    } else {
        trio.kill(A);
    }
    trio.run(Duration::from_secs(3));
    trio
}

pub(super) fn node(trio: &Trio, at: usize) -> &Node {
    &trio.nodes[at].as_ref().expect("alive").node
}

pub(super) fn bench(trio: &mut Trio, at: usize) -> &mut Bench {
    let now = trio.now;
    let bench = trio.nodes[at].as_mut().expect("alive");
    bench.now = now;
    bench
}

pub(super) fn media_of(trio: &mut Trio, at: usize, port: PortId, event: media::Event) -> Made {
    let call = node(trio, at).call_of(port).expect("a call");
    let bench = bench(trio, at);
    let at = bench.now;
    bench.input(Input::Media { port, call, at, event })
}

/// Keys that reach the media of a call.
pub(super) fn keyed(
    trio: &mut Trio,
    at: usize,
    port: PortId,
    digits: &[Digit],
    in_band: bool,
) -> Made {
    let mut made = Made::default();
    for &digit in digits {
        if node(trio, at).call_of(port).is_none() {
            break;
        }
        let event = media::Event::Digit { digit, duration_ms: 100, rtp_timestamp: 0, in_band };
        made.add(media_of(trio, at, port, event));
    }
    made
}

pub(super) fn sent(made: &Made) -> Option<Vec<Digit>> {
    made.media.iter().find_map(|command| match command {
        media::Command::SendDigits { digits, .. } => Some(digits.clone()),
        _ => None,
    })
}

/// The call of the backup leaves it.
fn invite(trio: &mut Trio) -> String {
    let call = node(trio, B).call_of(PROOF_LINE).expect("the sentinel is called");
    assert!(matches!(node(trio, B).calls[&call].socket, Socket::Opening { .. }));
    let made = media_of(trio, B, PROOF_LINE, media::Event::Opened);
    let invite = made.to_pbx("INVITE ").to_owned();
    assert!(invite.starts_with("INVITE sip:6099@"), "{invite}");
    invite
}

/// It is answered, and this is what the backup asks.
fn question(trio: &mut Trio) -> Vec<Digit> {
    let invite = invite(trio);
    bench(trio, B).pick_up(&invite);
    trio.made[B] = Made::default();
    trio.run(Duration::from_millis(600));
    sent(&trio.made[B]).expect("a challenge")
}

/// A call reaches a node's sentinel; what is said to the PBX.
fn ring(trio: &mut Trio, at: usize) -> Made {
    let bench = bench(trio, at);
    bench.contact = bench.node.sip.contact(PORT_OF_SENTINEL).expect("a port").uri.to_string();
    let mut made = bench.arrive();
    if node(trio, at).call_of(PORT_OF_SENTINEL).is_some() {
        made.add(media_of(trio, at, PORT_OF_SENTINEL, media::Event::Opened));
    }
    made
}

/// The primary answers the backup's call, or what it would have said to `wrong`.
fn answer(trio: &mut Trio, wrong: Option<&[Digit]>) {
    let question = question(trio);
    let made = ring(trio, A);
    assert!(made.lines().contains(&"SIP/2.0 200 OK"), "{:?}", made.lines());
    let made = keyed(trio, A, PORT_OF_SENTINEL, wrong.unwrap_or(&question), false);
    let answer = sent(&made).expect("an answer");
    let made = keyed(trio, B, PROOF_LINE, &answer, false);
    let bye = made.to_pbx("BYE ").to_owned();
    bench(trio, B).reply(&bye, "200 OK");
    let made = bench(trio, A).caller_hangs_up();
    assert_eq!(made.lines(), ["SIP/2.0 200 OK"]);
    trio.carry(B);
}

/// Nobody answers for so long: each call is placed, reaches the PBX and rings.
fn rings(trio: &mut Trio, seconds: u32) {
    for _ in 0..seconds {
        trio.run(Duration::from_secs(1));
        let Some(call) = node(trio, B).call_of(PROOF_LINE) else { continue };
        if matches!(node(trio, B).calls[&call].socket, Socket::Opening { .. }) {
            invite(trio);
        }
    }
}

fn seen(trio: &Trio) -> Option<sentinel::Seen> {
    node(trio, B).proofs.sentinel.seen()
}

fn state(trio: &Trio, at: usize) -> &'static str {
    node(trio, at).cluster_view(trio.now).expect("a cluster").sentinel.expect("one").state
}

fn reasons(trio: &mut Trio) -> Vec<Reason> {
    trio.made[B].answers.clear();
    trio.order(B, Order::Promote { node: NodeId(1), forced: None });
    trio.run(Duration::from_millis(100));
    match trio.made[B].answers.pop() {
        Some(Answer::Refused { reasons, .. }) => reasons,
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_the_node_that_acts_registers_the_sentinel() {
    let mut trio = pair();
    let registered = |trio: &Trio, at: usize| {
        let state = node(trio, at).registrations[usize::from(PORT_OF_SENTINEL.0)];
        matches!(state, sip::RegistrationState::Registered { .. })
    };
    assert!(registered(&trio, A) && !registered(&trio, B));
    assert_eq!((state(&trio, A), state(&trio, B)), ("registered", "unasked"));
    trio.order(A, Order::Switchover { to: NodeId(1), forced: false });
    trio.run(Duration::from_secs(3));
    assert!(trio.role(B).acts());
    assert!(registered(&trio, B) && !registered(&trio, A));
    assert_eq!(node(&trio, B).snapshot(trio.now).ports.len(), 1, "the pool never sees it");
}

#[test]
fn a_primary_behind_a_cut_link_answers_the_challenge_through_the_pbx() {
    let mut trio = unheard(true);
    assert_eq!((seen(&trio), state(&trio, B)), (Some(sentinel::Seen::Untried), "untried"));
    answer(&mut trio, None);
    assert_eq!((seen(&trio), state(&trio, B)), (Some(sentinel::Seen::Answers), "answers"));
    let reasons = reasons(&mut trio);
    let lives = [Reason::NotReleased { node: "a".to_owned() }, Reason::SentinelAnswers];
    assert_eq!(reasons, lives);
    assert_eq!(node(&trio, B).evidence(trio.now).sentinel, Some(menu::Sentinel::Answers));
    assert_eq!((trio.role(A).acts(), trio.role(B)), (true, Role::Backup));
}

#[test]
fn a_wrong_answer_a_voice_mail_and_tones_in_its_sound_are_none() {
    let mut trio = unheard(true);
    let other = ['0'; 8].map(|key| Digit::from_char(key).expect("a key"));
    answer(&mut trio, Some(&other));
    assert_eq!(state(&trio, B), "silent");
    trio.run(Duration::from_secs(16));
    let question = question(&mut trio);
    ring(&mut trio, A);
    let made = keyed(&mut trio, A, PORT_OF_SENTINEL, &question, false);
    let answer = sent(&made).expect("an answer");
    let made = keyed(&mut trio, B, PROOF_LINE, &answer, true);
    assert_eq!((made.lines().len(), state(&trio, B)), (0, "silent"));
    trio.made[B] = Made::default();
    trio.run(Duration::from_secs(11));
    assert!(trio.made[B].lines().iter().any(|line| line.starts_with("BYE ")));
    assert_eq!(state(&trio, B), "silent");
}

#[test]
fn a_sentinel_answers_while_its_node_drains_and_not_when_another_one_may_act() {
    let mut trio = pair();
    trio.input(A, Input::Order(crate::node::Order::DrainNode { on: true }));
    assert!(ring(&mut trio, A).lines().contains(&"SIP/2.0 200 OK"));
    let made = ring(&mut trio, A);
    assert!(made.lines().contains(&"SIP/2.0 486 Busy Here"), "{:?}", made.lines());
    let made = ring(&mut trio, B);
    assert!(made.lines().contains(&"SIP/2.0 480 Temporarily Unavailable"), "{:?}", made.lines());
}

#[test]
fn a_node_that_has_lost_its_role_in_the_call_keys_no_answer() {
    let mut trio = pair();
    ring(&mut trio, A);
    trio.order(A, Order::Release);
    trio.run(Duration::from_secs(2));
    assert_eq!(trio.role(A), Role::Fenced);
    let digits = ['1'; 8].map(|key| Digit::from_char(key).expect("a key"));
    let made = keyed(&mut trio, A, PORT_OF_SENTINEL, &digits, false);
    assert_eq!(sent(&made), None);
    assert!(made.lines().iter().any(|line| line.starts_with("BYE ")), "{:?}", made.lines());
}

#[test]
fn when_the_sentinel_is_dead_a_person_may_promote_without_force() {
    let mut trio = unheard(false);
    rings(&mut trio, 60);
    assert_eq!(state(&trio, B), "silent");
    assert!(reasons(&mut trio).contains(&Reason::SentinelShort));
    // The registrar grants 3,600 s.
    rings(&mut trio, 3_500);
    assert_eq!(state(&trio, B), "silent");
    rings(&mut trio, 100);
    assert_eq!((state(&trio, B), trio.role(B)), ("dead", Role::Backup), "and nobody else does");
    trio.order(B, Order::Promote { node: NodeId(1), forced: None });
    trio.run(Duration::from_secs(3));
    assert!(matches!(trio.role(B), Role::Primary(_)), "{:?}", trio.made[B].answers);
    assert_eq!(state(&trio, B), "registered");
}

#[test]
fn when_the_sentinel_is_dead_an_agent_hears_so_and_promotes_by_phone() {
    let mut trio = pair();
    trio.phone = B;
    add_agent(&mut trio);
    trio.run(Duration::from_secs(30));
    answer(&mut trio, None);
    trio.kill(A);
    rings(&mut trio, 3_700);
    call(&mut trio);
    let state = log_in(&mut trio, true).join(" ");
    assert!(state.contains("portkeeper/sentinel-silent-since"), "{state}");
    assert!(state.contains("portkeeper/sentinel-dead"), "{state}");
    key(&mut trio, "1", false);
    let asked = heard(&mut trio);
    let digits: Vec<_> = asked.iter().filter_map(|word| word.strip_prefix("digits/")).collect();
    key(&mut trio, &digits[digits.len() - 3..].concat(), false);
    trio.run(Duration::from_secs(3));
    assert!(matches!(trio.role(B), Role::Primary(_)), "{:?}", heard(&mut trio));
}

#[test]
fn a_call_that_does_not_reach_the_pbx_or_finds_it_away_proves_nothing() {
    let mut trio = unheard(false);
    trio.run(Duration::from_secs(60));
    assert_eq!(state(&trio, B), "untried", "no UDP port was opened");
    trio.run(Duration::from_secs(20));
    if node(&trio, B).call_of(PROOF_LINE).is_none() {
        trio.run(Duration::from_secs(15));
    }
    let invite = invite(&mut trio);
    bench(&mut trio, B).reply(&invite, "486 Busy Here");
    assert_eq!(state(&trio, B), "untried", "somebody else calls it");
    rings(&mut trio, 60);
    assert_eq!(state(&trio, B), "silent");
    let unreachable = sip::RegistrationState::Unreachable { status: None };
    let bench = bench(&mut trio, B);
    bench.node.registration(bench.now, PortId(1), unreachable);
    assert_eq!(state(&trio, B), "untried");
}

#[test]
fn a_sentinel_that_does_not_answer_while_the_primary_is_heard_is_an_alarm() {
    let mut trio = pair();
    let text = "the sentinel 6099 does not answer this node though the primary is heard, so that \
                its silence would prove nothing: see to its account and its forwarding at the \
                PBX, and whether the control extension may call it";
    rings(&mut trio, 45);
    assert!(trio.alarm(B, text));
    rings(&mut trio, 580);
    assert!(node(&trio, B).call_of(PROOF_LINE).is_none());
    trio.run(Duration::from_secs(15));
    answer(&mut trio, None);
    assert!(!trio.alarm(B, text));
    trio.kill(A);
    rings(&mut trio, 30);
    assert!(!trio.alarm(B, text));
}

#[test]
fn people_find_two_lines_of_the_control_extension_while_the_sentinel_is_called() {
    let mut trio = unheard(false);
    invite(&mut trio);
    trio.phone = B;
    call(&mut trio);
    super::menu::call_too(&mut trio);
}

#[test]
fn a_witness_calls_the_sentinel_for_whoever_speaks_with_its_menu() {
    let mut trio = Trio::with("manual", "", "[control.sentinel]\nextension = \"6099\"\n");
    trio.input(W, Input::ProofKey(proof::Key::new([7; proof::KEY_BYTES].into())));
    trio.order(A, Order::Promote { node: NodeId(0), forced: None });
    trio.run(Duration::from_secs(5));
    assert!(trio.role(A).acts() && node(&trio, W).evidence(trio.now).sentinel.is_none());
    trio.kill(A);
    trio.run(Duration::from_secs(3));
    let line = node(&trio, W).config.proof_line().expect("one");
    let made = media_of(&mut trio, W, line, media::Event::Opened);
    assert!(made.to_pbx("INVITE ").starts_with("INVITE sip:6099@"));
    assert_eq!(node(&trio, W).evidence(trio.now).sentinel, Some(menu::Sentinel::Untried));
}

#[test]
fn a_sentinel_that_answers_through_what_is_called_another_pbx_shows_that_it_is_the_same() {
    let apart = |name: &str| {
        let text = text(name, "manual", "", "").replace("\"trio\"", "\"pair\"");
        let witness = text.find("[[cluster.nodes]]\nname = \"w\"").expect("a witness");
        let end = witness + text[witness..].find("[control]").unwrap_or(text[witness..].len());
        let mut text = text.replace(&text[witness..end], "");
        for (link, pbx) in [("9:7400", "one"), ("10:7400", "two")] {
            let link = format!("link = \"10.0.0.{link}\"\n");
            text = text.replace(&link, &format!("{link}pbx = \"{pbx}\"\n"));
        }
        let mine = if name == "a" { "one" } else { "two" };
        let text = text.replace("[pbx]\n", &format!("[pbx]\nid = \"{mine}\"\n"));
        let control = "[control]\nextension = \"6091\"\npassword = \"kT7-pq2Zr9vXw4mN8sLd\"\n";
        Some(Bench::with(&format!("{text}{control}{SENTINEL}")))
    };
    let mut trio = Trio::begin_with([apart("a"), apart("b"), None], &[]);
    for at in [A, B] {
        trio.input(at, Input::ProofKey(proof::Key::new([7; proof::KEY_BYTES].into())));
    }
    trio.run(Duration::from_secs(5));
    assert_eq!((trio.role(A).acts(), trio.role(B)), (true, Role::Backup));
    assert!(node(&trio, B).member().expect("joined").ha().other_pbx());
    trio.run(Duration::from_secs(30));
    answer(&mut trio, None);
    let member = node(&trio, B).member().expect("joined");
    assert!(!member.ha().other_pbx() && !node(&trio, B).proofs.sentinel.is_proven());
    let text = "the sentinel of the other node answers through this node's PBX: both serve one \
                PBX, and this node takes over by proof alone; correct `pbx` of [[cluster.nodes]]";
    assert!(trio.alarm(B, text));
    trio.down(B, A);
    trio.greet(B);
    assert!(
        !node(&trio, B).member().expect("joined").ha().other_pbx(),
        "a new link changes nothing"
    );
}
