//! Bindings: what the PBX answers to REGISTER, and what becomes of it.

use super::*;
use crate::ids::PortId;
use crate::sip::digest::Authorization;
use crate::sip::message::{Message, Method, Request};
use crate::sip::{Command, Event, RegistrationState};

const CUCM: (&str, &str) = ("profile = \"generic\"", "profile = \"cucm\"");
/// CUCM 14: MD5, neither qop nor opaque.
const CHALLENGE: &str =
    "Digest realm=\"ccmsipline\", nonce=\"kqzLEqDHpR2Djfwq8c8S4rQbcQvM9TPT\", algorithm=MD5";
const SHA256: &str = "Digest realm=\"pbx\", nonce=\"n1\", algorithm=SHA-256, qop=\"auth\"";
const PORT: PortId = PortId(0);

/// Port 0 was told to register; its first REGISTER is on the wire.
fn started(changes: &[(&str, &str)]) -> (Bench, Request) {
    let mut bench = Bench::with(GENERIC, changes);
    bench.command(Command::Register { port: PORT });
    bench.millis(0);
    let register = bench.request(Method::Register);
    (bench, register)
}

fn seq(request: &Request) -> u32 {
    request.headers.cseq().expect("CSeq").seq
}

fn state(bench: &Bench) -> RegistrationState {
    bench.endpoint.registration(PORT)
}

const fn registered(expires: u32, node: usize) -> RegistrationState {
    RegistrationState::Registered { expires, node }
}

const fn refused(status: u16, why: Option<&'static str>) -> RegistrationState {
    RegistrationState::Refused { status, why }
}

/// How often the node was told of a refusal.
fn refusals(bench: &mut Bench) -> usize {
    let is_refusal = |event: &Event| {
        let Event::Registration { state, .. } = event else { return false };
        matches!(state, RegistrationState::Refused { .. })
    };
    bench.events.drain(..).filter(is_refusal).count()
}

fn alarms(bench: &mut Bench) -> Vec<String> {
    let text = |event| match event {
        Event::Alarm { text, .. } => Some(text),
        _ => None,
    };
    bench.events.drain(..).filter_map(text).collect()
}

/// Lets time pass until the next message; returns how many milliseconds it took.
fn wait_for_next(bench: &mut Bench) -> u64 {
    let from = bench.clock();
    for _ in 0..100_000 {
        if !bench.sent.is_empty() {
            break;
        }
        bench.millis(100);
    }
    bench.clock() - from
}

#[test]
fn sip_r1_digest_without_qop_names_the_digest_user_and_not_the_extension() {
    let (mut bench, first) = started(&[CUCM]);
    assert_eq!(first.target(), "sip:pbx.example");
    assert_eq!(bench.last().to.to_string(), PBX);
    bench.reply(&first, 100, &[]);
    bench.reply(&first, 401, &[("WWW-Authenticate", CHALLENGE)]);
    let second = bench.request(Method::Register);
    let credentials = second.headers.get("Authorization").expect("credentials");
    let credentials = Authorization::parse(credentials).expect("well formed");
    assert_eq!(credentials.user, "auth-6001");
    assert_eq!((credentials.qop, credentials.nc), (None, None));
    let credentials = second.headers.get("Authorization").expect("credentials");
    let credentials = Authorization::parse(credentials).expect("well formed");
    let password = "kT7-pq2Zr9vXw4mN8sLd".to_owned().into();
    assert!(credentials.verify(&password, &Method::Register, b""));
    assert_eq!(seq(&second), seq(&first) + 1);
    bench.reply(&second, 100, &[]);
    bench.reply(&second, 200, &[("Expires", "120")]);
    assert_eq!(state(&bench), registered(120, 0));
}

#[test]
fn sip_r2_100_to_register_is_no_error_and_slows_repetition_down() {
    let (mut bench, register) = started(&[]);
    bench.reply(&register, 100, &[]);
    bench.millis(499);
    bench.silence();
    bench.secs(4);
    bench.request(Method::Register);
    bench.silence();
    assert_eq!(state(&bench), RegistrationState::Pending);
}

#[test]
fn sip_r3_the_granted_time_is_that_of_our_contact_or_else_of_the_header() {
    let (mut bench, register) = started(&[]);
    bench.reply(&register, 200, &[("Expires", "120")]);
    assert_eq!(state(&bench), registered(120, 0));

    let (mut bench, register) = started(&[]);
    let own = format!("<{};x-cisco-newreg>;expires=90", bench.contact(0));
    let other = "\"A, B\" <sip:6001@192.0.2.7>;expires=30;+sip.instance=\"<urn:x>\"";
    let list = format!("{other}, {own}");
    bench.reply(&register, 200, &[("Contact", &list), ("Expires", "120")]);
    assert_eq!(state(&bench), registered(90, 0));
}

#[test]
fn sip_r4_refreshes_come_early_and_spread_over_the_pool() {
    let mut bench = Bench::with(GENERIC, &[("6001-6003", "6001-6100")]);
    (0..100).for_each(|p| bench.command(Command::Register { port: PortId(p) }));
    bench.millis(0);
    let mut times = vec![];
    for round in 0..4 {
        let mut done = 0;
        while done < 100 {
            wait_for_next(&mut bench);
            while !bench.sent.is_empty() {
                let register = bench.request(Method::Register);
                bench.reply(&register, 200, &[("Expires", "120")]);
                done += 1;
                if round == 1 {
                    times.push(bench.clock());
                }
            }
        }
    }
    let (first, last) = (times[0], times[99]);
    assert!(first >= 54_000 && last <= 66_200, "{first} {last}");
    assert!(last - first > 8_000, "spread over the pool: {first} {last}");
}

#[test]
fn sip_r5_423_is_tried_once_more_with_the_minimum_of_the_pbx() {
    let (mut bench, register) = started(&[]);
    bench.reply(&register, 423, &[("Min-Expires", "600")]);
    let again = bench.request(Method::Register);
    assert_eq!(again.headers.expires(), Some(600));
    bench.reply(&again, 200, &[("Expires", "600")]);
    assert_eq!(state(&bench), registered(600, 0));
}

#[test]
fn sip_r5_a_senseless_minimum_does_not_loop() {
    for min in ["300", "0", "4294967295", "x"] {
        let (mut bench, register) = started(&[]);
        bench.reply(&register, 423, &[("Min-Expires", min)]);
        bench.silence();
        assert_eq!(state(&bench), refused(423, Some("the PBX allows no interval")));
        bench.secs(599);
        bench.silence();
    }
    let (mut bench, register) = started(&[]);
    bench.reply(&register, 423, &[("Min-Expires", "600")]);
    let again = bench.request(Method::Register);
    bench.reply(&again, 423, &[("Min-Expires", "900")]);
    bench.silence();
}

#[test]
fn sip_r6_a_stale_nonce_is_answered_once_more_and_never_taken_for_a_refused_password() {
    let (mut bench, register) = started(&[]);
    bench.reply(&register, 401, &[("WWW-Authenticate", SHA256)]);
    let second = bench.request(Method::Register);
    let stale = SHA256.replace("n1", "n2") + ", stale=true";
    bench.reply(&second, 401, &[("WWW-Authenticate", &stale)]);
    let third = bench.request(Method::Register);
    assert!(third.headers.get("Authorization").expect("credentials").contains("\"n2\""));
    bench.reply(&third, 401, &[("WWW-Authenticate", &stale.replace("n2", "n3"))]);
    bench.silence();
    assert_eq!(state(&bench), RegistrationState::Unreachable { status: Some(401) });
    bench.secs(10);
    bench.request(Method::Register);
}

#[test]
fn sip_r6_a_refused_password_stops_the_port_and_is_told_once() {
    let (mut bench, register) = started(&[]);
    bench.reply(&register, 401, &[("WWW-Authenticate", SHA256)]);
    let second = bench.request(Method::Register);
    bench.reply(&second, 401, &[("WWW-Authenticate", &SHA256.replace("n1", "n2"))]);
    assert_eq!(state(&bench), refused(401, None));
    assert_eq!(refusals(&mut bench), 1);
    bench.secs(100_000);
    bench.silence();
    bench.command(Command::Register { port: PORT });
    bench.millis(0);
    bench.request(Method::Register);
}

#[test]
fn sip_r6_a_nonce_that_may_be_used_again_saves_a_round_trip() {
    let (mut bench, register) = started(&[]);
    bench.reply(&register, 401, &[("WWW-Authenticate", SHA256)]);
    let second = bench.request(Method::Register);
    bench.reply(&second, 200, &[("Expires", "120")]);
    wait_for_next(&mut bench);
    let refresh = bench.request(Method::Register);
    let credentials = refresh.headers.get("Authorization").expect("sent at once");
    let credentials = Authorization::parse(credentials).expect("well formed");
    assert_eq!(credentials.nonce_count(), Some(2));
    bench.reply(&refresh, 401, &[("WWW-Authenticate", &SHA256.replace("n1", "n9"))]);
    let again = bench.request(Method::Register);
    bench.reply(&again, 200, &[("Expires", "120")]);
    assert_eq!(state(&bench), registered(120, 0));
}

#[test]
fn sip_r7_an_unsolicited_notify_is_accepted() {
    let mut bench = Bench::registered(GENERIC);
    bench.receive(
        "NOTIFY sip:10.0.0.9:5070 SIP/2.0\n\
         Via: SIP/2.0/UDP 10.0.0.5:5060;branch=z9hG4bK-mwi\n\
         From: <sip:6001@pbx.example>;tag=1\n\
         To: <sip:6001@10.0.0.9>\n\
         Call-ID: mwi///1\n\
         CSeq: 101 NOTIFY\n\
         Event: message-summary\n\
         Subscription-State: active\n\
         Content-Type: application/simple-message-summary\n\nMessages-Waiting: no\n",
    );
    let ok = bench.response(200);
    assert!(ok.headers.to().expect("To").tag().is_some());
    bench.no_event();
}

#[test]
fn sip_r8_retry_after_of_a_503_is_honoured() {
    let (mut bench, register) = started(&[]);
    bench.reply(&register, 503, &[("Retry-After", "77 (busy)")]);
    assert_eq!(state(&bench), RegistrationState::Unreachable { status: Some(503) });
    let waited = wait_for_next(&mut bench);
    assert!((77_000..78_000).contains(&waited), "{waited}");
}

#[test]
fn sip_r8_a_refused_account_is_told_once_and_tried_every_ten_minutes() {
    for status in [403, 404] {
        let (mut bench, register) = started(&[]);
        bench.reply(&register, status, &[]);
        assert_eq!(state(&bench), refused(status, None));
        assert_eq!(refusals(&mut bench), 1);
        let waited = wait_for_next(&mut bench);
        assert!((600_000..600_200).contains(&waited), "{waited}");
        let again = bench.request(Method::Register);
        bench.reply(&again, status, &[]);
        assert_eq!(refusals(&mut bench), 0, "the same news once");
    }
}

const TWO_NODES: (&str, &str) = ("[\"10.0.0.5\"]", "[\"10.0.0.5\", \"10.0.0.6\"]");

#[test]
fn sip_r9_a_silent_node_is_left_and_returned_to_after_good_probes_without_a_call() {
    let (mut bench, _) = started(&[TWO_NODES]);
    bench.pass(crate::timers::Duration::from_millis(31_999));
    assert!(bench.sent.iter().all(|s| s.to.to_string() == PBX));
    bench.sent.clear();
    bench.millis(1);
    let second = bench.request(Method::Register);
    assert_eq!(bench.last().to.to_string(), "10.0.0.6:5060");
    bench.reply(&second, 200, &[("Expires", "3600")]);
    assert_eq!(state(&bench), registered(3600, 1));

    let call = bench.call();
    for _ in 0..3 {
        wait_for_next(&mut bench);
        let options = bench.request(Method::Options);
        assert_eq!(bench.last().to.to_string(), PBX);
        bench.reply(&options, 501, &[]);
    }
    bench.secs(60);
    bench.silence();
    bench.command(Command::Hangup { call: call.call, cause: None });
    bench.request(Method::Bye);
    bench.millis(0);
    let back = bench.request(Method::Register);
    assert_eq!(bench.last().to.to_string(), PBX);
    bench.reply(&back, 200, &[("Expires", "3600")]);
    assert_eq!(state(&bench), registered(3600, 0));
}

#[test]
fn sip_r9_a_5xx_leads_to_the_next_node_at_once_and_all_of_them_to_a_pause() {
    let (mut bench, register) = started(&[TWO_NODES]);
    bench.reply(&register, 500, &[]);
    bench.millis(0);
    let second = bench.request(Method::Register);
    assert_eq!(bench.last().to.to_string(), "10.0.0.6:5060");
    bench.reply(&second, 503, &[]);
    bench.millis(0);
    bench.silence();
    assert_eq!(state(&bench), RegistrationState::Unreachable { status: Some(503) });
    wait_for_next(&mut bench);
    bench.request(Method::Register);
}

/// Answers everything but what went to `dead`; returns where REGISTERs went.
fn answer_all(bench: &mut Bench, dead: Option<&str>) -> Vec<String> {
    let mut registers = vec![];
    while let Some(sent) = bench.sent.pop_front() {
        let Message::Request(request) = sent.message else { panic!("{sent:?}") };
        let to = sent.to.to_string();
        if Some(&*to) == dead {
            continue;
        }
        if request.method == Method::Register {
            registers.push(to);
        }
        bench.reply(&request, 200, &[("Expires", "3600")]);
    }
    registers
}

#[test]
fn sip_r9_a_node_whose_options_fall_silent_is_left_before_half_time_and_returned_to() {
    let watched = ("options_interval = \"off\"", "options_interval = \"30s\"");
    let mut bench = Bench::with(GENERIC, &[TWO_NODES, watched]);
    bench.command(Command::Register { port: PORT });
    let mut run = |dead, secs| -> Vec<String> {
        let step = |_| {
            bench.millis(100);
            answer_all(&mut bench, dead)
        };
        (0..10 * secs).flat_map(step).collect()
    };
    assert_eq!(run(None, 120), [PBX]);
    assert_eq!(run(Some(PBX), 120), ["10.0.0.6:5060"]);
    assert_eq!(run(None, 45), <[&str; 0]>::default(), "not at its first answer");
    assert_eq!(run(None, 120), [PBX]);
}

#[test]
fn sip_r9_a_lone_node_whose_options_fall_silent_is_found_unreachable_before_half_time() {
    let watched = ("options_interval = \"off\"", "options_interval = \"30s\"");
    let mut bench = Bench::with(GENERIC, &[watched]);
    bench.command(Command::Register { port: PORT });
    bench.command(Command::Register { port: PortId(1) });
    let registers = |bench: &mut Bench, dead, secs| {
        let step = |_| {
            bench.millis(100);
            answer_all(bench, dead).len()
        };
        (0..10 * secs).map(step).sum::<usize>()
    };
    assert_eq!(registers(&mut bench, None, 120), 2);
    registers(&mut bench, Some(PBX), 100);
    assert_eq!(state(&bench), RegistrationState::Unreachable { status: None });
    assert_eq!(bench.endpoint.registration(PortId(1)), registered(3_600, 0), "one asks for all");
}

#[test]
fn sip_r9_a_node_that_refused_one_port_and_fell_silent_then_is_left_by_all() {
    let (mut bench, soon) = started(&[TWO_NODES]);
    bench.reply(&soon, 200, &[("Expires", "120")]);
    let register = |bench: &mut Bench, port| {
        bench.command(Command::Register { port: PortId(port) });
        bench.millis(0);
        bench.request(Method::Register)
    };
    let late = register(&mut bench, 1);
    bench.reply(&late, 200, &[("Expires", "3600")]);
    let refused = register(&mut bench, 2);
    bench.reply(&refused, 500, &[]);
    bench.millis(0);
    assert_eq!(answer_all(&mut bench, None), ["10.0.0.6:5060"]);
    for _ in 0..1_000 {
        bench.millis(100);
        answer_all(&mut bench, Some(PBX));
    }
    assert_eq!(state(&bench), registered(3_600, 1), "it found the silence");
    assert_eq!(bench.endpoint.registration(PortId(1)), registered(3_600, 1), "and told it");
}

#[test]
fn sip_r9_a_lone_node_is_found_dead_soon_after_a_false_alarm_too() {
    let watched = ("options_interval = \"off\"", "options_interval = \"30s\"");
    let mut bench = Bench::with(GENERIC, &[watched]);
    bench.command(Command::Register { port: PORT });
    bench.millis(100);
    assert_eq!(answer_all(&mut bench, None), [PBX]);
    // Nothing but its OPTIONS is lost, until a REGISTER asks whether it is true.
    let asked = |bench: &mut Bench| {
        bench.millis(100);
        bench.sent.retain(|sent| match &sent.message {
            Message::Request(request) => request.method == Method::Register,
            Message::Response(_) => false,
        });
        !answer_all(bench, None).is_empty()
    };
    let alarm = (0..1_000).position(|_| asked(&mut bench));
    assert!(alarm.is_some_and(|tenths| tenths > 600), "{alarm:?}");
    assert_eq!(state(&bench), registered(3_600, 0));
    bench.secs(100);
    assert_eq!(state(&bench), RegistrationState::Unreachable { status: None });
}

#[test]
fn sip_r9_a_register_that_had_no_place_here_says_nothing_of_the_pbx() {
    let mut bench = Bench::new(GENERIC);
    for n in 0..2_000 {
        let (call, port) = (bench.endpoint.next_call_id(), PortId(n % 3));
        let (target, caller) = ("3000".to_owned(), crate::sip::Party::default());
        bench.command(Command::Invite { call, port, target, caller, media: local_media() });
    }
    assert!(bench.endpoint.status().counters.requests_dropped > 0, "full");
    bench.command(Command::Register { port: PORT });
    bench.millis(0);
    assert_eq!(state(&bench), RegistrationState::Unreachable { status: Some(503) });
}

#[test]
fn sip_r10_a_second_device_raises_an_alarm_once() {
    let (mut bench, register) = started(&[]);
    let own = format!("<{}>;expires=60", bench.contact(0));
    let shared = format!("{own}, <sip:6001@192.0.2.7>;expires=60");
    bench.reply(&register, 200, &[("Contact", &shared)]);
    assert_eq!(state(&bench), registered(60, 0));
    assert_eq!(alarms(&mut bench), ["another device is bound to this extension as well"]);
    wait_for_next(&mut bench);
    let refresh = bench.request(Method::Register);
    bench.reply(&refresh, 200, &[("Contact", &shared)]);
    assert_eq!(alarms(&mut bench).len(), 0);
    wait_for_next(&mut bench);
    let refresh = bench.request(Method::Register);
    bench.reply(&refresh, 200, &[("Contact", "<sip:6001@192.0.2.7>"), ("Expires", "60")]);
    assert_eq!(alarms(&mut bench), ["the PBX lists another device, and not this port"]);
    wait_for_next(&mut bench);
    let refresh = bench.request(Method::Register);
    bench.reply(&refresh, 200, &[("Contact", &own)]);
    let over = |event: &Event| matches!(event, Event::AlarmOver { port: PORT });
    assert_eq!(bench.events.iter().filter(|e| over(e)).count(), 1);
}

#[test]
fn sip_r10_each_way_to_treat_a_second_host_has_its_state() {
    let cases = [
        // The registrar replaced the other host's binding, or keeps it to itself.
        (200, registered(60, 0), 0),
        // It keeps the other host's and refuses ours: a person must act.
        (403, refused(403, None), 1),
        // CUCM, until the old binding is gone: tried again by itself.
        (500, RegistrationState::Unreachable { status: Some(500) }, 0),
        (503, RegistrationState::Unreachable { status: Some(503) }, 0),
    ];
    for (status, wanted, told) in cases {
        let (mut bench, register) = started(&[]);
        let own = format!("<{}>;expires=60", bench.contact(0));
        bench.reply(&register, status, &[("Contact", &own)]);
        assert_eq!(state(&bench), wanted, "{status}");
        assert_eq!(refusals(&mut bench), told, "{status}");
        wait_for_next(&mut bench);
        let again = bench.request(Method::Register);
        bench.reply(&again, 200, &[("Contact", &own)]);
        assert_eq!(state(&bench), registered(60, 0), "{status}");
    }
}

#[test]
fn sip_r11_only_our_own_contact_is_taken_away() {
    let mut bench = Bench::registered(GENERIC);
    bench.command(Command::Unregister { port: PORT });
    bench.millis(0);
    let register = bench.request(Method::Register);
    assert_eq!(register.headers.expires(), Some(0));
    let contacts = register.headers.contacts().expect("Contact");
    assert_eq!(contacts.first().expect("ours").uri.to_string(), bench.contact(0));
    bench.reply(&register, 200, &[]);
    assert_eq!(state(&bench), RegistrationState::Off);
    bench.secs(10_000);
    bench.silence();
}

#[test]
fn sip_r13_ports_share_a_socket_or_have_one_each() {
    let mut bench = Bench::new(GENERIC);
    (0..3).for_each(|p| bench.command(Command::Register { port: PortId(p) }));
    bench.millis(0);
    let mut contacts: Vec<_> = (0..3)
        .map(|_| bench.request(Method::Register).headers.contact_uri().expect("Contact"))
        .map(|uri| (uri.user_text().expect("user").into_owned(), uri.port))
        .collect();
    contacts.sort();
    contacts.dedup();
    assert_eq!(contacts.len(), 3);
    assert!(contacts.iter().all(|(_, port)| *port == Some(5070)));

    let mut bench = Bench::with(GENERIC, &[CUCM]);
    bench.command(Command::Register { port: PortId(2) });
    bench.secs(1);
    let register = bench.request(Method::Register);
    assert_eq!(bench.last().socket.0, 2);
    assert_eq!(register.headers.contact_uri().expect("Contact").port, Some(5072));
}

#[test]
fn a_thousand_ports_register_in_windows_of_32_and_each_message_is_cheap() {
    let mut bench = Bench::with(GENERIC, &[("6001-6003", "6000-6999")]);
    (0..1000).for_each(|p| bench.command(Command::Register { port: PortId(p) }));
    bench.millis(0);
    let mut registered = 0;
    while registered < 1000 {
        assert!(bench.sent.len() <= 32, "{}", bench.sent.len());
        let register = bench.request(Method::Register);
        if register.headers.has("Authorization") {
            bench.reply(&register, 200, &[("Expires", "3600")]);
            registered += 1;
        } else {
            bench.reply(&register, 401, &[("WWW-Authenticate", SHA256)]);
        }
        bench.millis(0);
    }
    bench.silence();
    let status = bench.endpoint.status();
    assert!(status.registrations.iter().all(|s| *s == registered_state()));
}

const fn registered_state() -> RegistrationState {
    registered(3600, 0)
}

#[test]
fn a_rate_is_kept_and_halved_by_repetitions() {
    let rate = ("register_rate = 0", "register_rate = 100");
    let mut bench = Bench::with(GENERIC, &[rate, ("6001-6003", "6000-6999")]);
    (0..1000).for_each(|p| bench.command(Command::Register { port: PortId(p) }));
    let mut sent = 0;
    for _ in 0..300 {
        bench.millis(10);
        while !bench.sent.is_empty() {
            let register = bench.request(Method::Register);
            bench.reply(&register, 200, &[("Expires", "3600")]);
            sent += 1;
        }
    }
    // Three seconds at 100 a second behind a burst of 32.
    assert!((300..=335).contains(&sent), "{sent}");
    bench.secs(1);
    assert_eq!(bench.endpoint.status().register_rate, [Some(50)]);
}
