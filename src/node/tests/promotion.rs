//! Two nodes: one serves calls, the other one takes them over.

use super::pbx::header;
use super::*;

const CLUSTER: &str = "[applications.main]\nbarge_in = \"1\"\n\
    [cluster]\nid = \"north\"\ncredentials = \"c\"\nprofile = \"pair\"\n\
    [[cluster.nodes]]\nname = \"a\"\nlink = \"10.0.0.9:7400\"\n\
    [[cluster.nodes]]\nname = \"b\"\nlink = \"10.0.0.10:7400\"\n";

const PLAY: &str = "channels/{id}/play?media=sound:menu";

fn node(name: &str) -> Bench {
    let address = if name == "a" { "10.0.0.9" } else { "10.0.0.10" };
    let text = config("[\"main\"]", CLUSTER).replacen("10.0.0.9", address, 1);
    Bench::with(&format!("[node]\nname = \"{name}\"\n{text}"))
}

/// A node that acts, with its port registered.
fn primary() -> Bench {
    let mut bench = node("a");
    promote(&mut bench);
    bench.register();
    bench
}

/// What the primary tells the backup, over the link.
fn copy(from: &mut Bench, to: &mut Bench) {
    let made = from.run(Duration::from_millis(20));
    to.now = from.now;
    let text = serde_json::to_string(&made.copies).expect("plain data");
    let changes: Vec<CallChange> = serde_json::from_str(&text).expect("the same");
    told(to, changes);
}

fn told(bench: &mut Bench, changes: Vec<CallChange>) {
    changes.into_iter().for_each(|change| bench.node.replicas.told(bench.now, change));
}

fn promote(bench: &mut Bench) -> Made {
    bench.node.acts(bench.now);
    bench.node.route(bench.now);
    bench.take()
}

fn fence(bench: &mut Bench) -> Made {
    bench.node.follows(bench.now);
    bench.node.route(bench.now);
    bench.take()
}

/// The media of the recovered call opens its UDP port.
fn opened(bench: &mut Bench, call: CallId) -> Made {
    bench.call = call;
    bench.media(media::Event::Opened)
}

/// A call that hears the menu, at the primary and at the backup that has it copied, where an
/// instance waits.
fn copied() -> (Bench, Bench) {
    let mut a = primary().in_call();
    let mut b = node("b");
    let id = a.post(FIRST, PLAY).played()[0].id;
    a.media(media::Event::PlaybackStarted { id });
    copy(&mut a, &mut b);
    b.connect(FIRST);
    (a, b)
}

#[test]
fn a_node_of_several_registers_nothing_and_refuses_calls_until_it_acts() {
    let mut bench = node("b");
    assert_eq!(bench.contacts.len(), 0);
    assert!(bench.run(Duration::from_secs(60)).sip.is_empty());
    let contact = bench.node.sip.contact(PORT).expect("a port").uri.to_string();
    bench.contact = contact;
    let made = bench.arrive();
    assert_eq!(made.lines(), ["SIP/2.0 503 Service Unavailable"]);
    bench.connect(FIRST);
    let made = bench.post(FIRST, "channels?endpoint=SIP/2001&app=main&timeout=20");
    assert_eq!(made.status(), 503);
}

#[test]
fn the_backup_tells_the_far_end_first_and_then_registers() {
    let (a, mut b) = copied();
    let call = a.call;
    promote(&mut b);
    let made = opened(&mut b, call);
    let invite = made.to_pbx("INVITE ");
    assert!(invite.contains("c=IN IP4 10.0.0.10"), "{invite}");
    assert_eq!(header(invite, "Call-ID"), ["in1@pbx"]);
    let made = b.run(Duration::from_millis(100));
    assert!(made.sip.iter().any(|text| text.starts_with("REGISTER ")), "{made:?}");
}

#[test]
fn the_prompt_goes_on_where_it_was_and_gives_way_to_the_new_owner() {
    let (a, mut b) = copied();
    b.now += Duration::from_millis(100);
    let call = a.call;
    promote(&mut b);
    b.now += Duration::from_millis(15);
    let made = opened(&mut b, call);
    let played = made.played();
    // 20 ms until the copy was made and 100 + 15 ms since; the prompt is 200 ms long.
    assert_eq!(played.len(), 1, "{made:?}");
    let offset = played[0].offset.as_millis();
    assert_eq!(offset, 20 + 115);
    assert!(played[0].barge_in.contains(crate::codecs::Digit::from_char('1').expect("a key")));
    let made = b.post(FIRST, PLAY);
    assert!(made.played()[0].replace);
}

#[test]
fn the_application_gets_the_call_under_a_higher_generation_with_its_variables() {
    let (mut a, mut b) = copied();
    a.post(FIRST, "channels/{id}/variable?variable=GW_CHECKPOINT&value=menu-2");
    copy(&mut a, &mut b);
    let old = a.channel();
    let call = a.call;
    promote(&mut b);
    let made = opened(&mut b, call);
    let start = made.event("StasisStart");
    let variables = &start["channel"]["channelvars"];
    assert_eq!(variables["GW_REASON"], "promotion");
    assert_eq!(variables["GW_CHECKPOINT"], "menu-2");
    assert_eq!(start["channel"]["state"], "Up");
    let generation = variables["GW_GENERATION"].as_str().expect("text");
    assert!(generation.parse::<u32>().expect("a number") > 1_000);
    let made = b.post(FIRST, &format!("channels/{old}/play?media=sound:menu"));
    assert_eq!(made.status(), 404);
}

#[test]
fn digits_that_were_not_acknowledged_are_typed_again_at_the_backup() {
    let (mut a, mut b) = copied();
    a.post(FIRST, "channels/{id}/variable?variable=GW_ACK&value=0");
    a.run(Duration::from_secs(3));
    for key in ['7', '8'] {
        let digit = crate::codecs::Digit::from_char(key).expect("a key");
        a.media(media::Event::Digit { digit, duration_ms: 60, rtp_timestamp: 0, in_band: false });
        a.run(Duration::from_millis(200));
    }
    a.post(FIRST, "channels/{id}/variable?variable=GW_ACK&value=1");
    copy(&mut a, &mut b);
    let call = a.call;
    promote(&mut b);
    opened(&mut b, call);
    let mut made = b.post(FIRST, "channels/{id}/answer");
    made.add(b.run(Duration::from_secs(3)));
    let typed: Vec<_> = made
        .events
        .iter()
        .filter(|(_, event)| event["type"] == "ChannelDtmfReceived")
        .map(|(_, event)| event["digit"].as_str().expect("a key").to_owned())
        .collect();
    assert_eq!(typed, ["8"]);
}

#[test]
fn the_backup_knows_the_last_key_that_the_primary_heard() {
    let (mut a, mut b) = copied();
    let digit = crate::codecs::Digit::from_char('7').expect("a key");
    for (rtp_timestamp, in_band) in [(4_711, false), (9_000, true)] {
        a.media(media::Event::Digit { digit, duration_ms: 60, rtp_timestamp, in_band });
    }
    copy(&mut a, &mut b);
    let call = a.call;
    promote(&mut b);
    let made = opened(&mut b, call);
    let known = made.media.iter().find_map(|command| match command {
        media::Command::GoOnAfter(last) => Some(*last),
        _ => None,
    });
    assert_eq!(known, Some(media::KeyPress { event: 7, rtp_timestamp: 4_711 }));
}

#[test]
fn without_an_instance_the_call_waits_and_goes_on_hearing_its_prompt() {
    let (a, mut b) = copied();
    let call = a.call;
    b.crash(FIRST);
    promote(&mut b);
    let made = opened(&mut b, call);
    assert_eq!((made.played().len(), made.events.len()), (1, 0));
    let made = b.connect(SECOND);
    assert_eq!(made.types(), [(SECOND, "StasisStart")]);
}

#[test]
fn a_udp_port_that_is_taken_is_replaced_before_the_far_end_hears_of_it() {
    let (a, mut b) = copied();
    promote(&mut b);
    b.call = a.call;
    let made = b.media(media::Event::OpenFailed);
    assert!(made.sip.is_empty());
    let udp_port = b.node.calls[&a.call].udp_port;
    let made = opened(&mut b, a.call);
    assert!(made.to_pbx("INVITE ").contains(&format!("m=audio {udp_port} ")));
}

#[test]
fn a_backup_that_comes_late_is_told_of_every_call() {
    let mut a = primary().in_call();
    a.run(Duration::from_secs(1));
    let mut b = node("b");
    a.node.tell_all(a.now);
    b.now = a.now;
    told(&mut b, a.take().copies);
    promote(&mut b);
    let made = opened(&mut b, a.call);
    made.to_pbx("INVITE ");
}

#[test]
fn a_call_that_ended_is_not_taken_over() {
    let (mut a, mut b) = copied();
    a.caller_hangs_up();
    copy(&mut a, &mut b);
    let made = promote(&mut b);
    assert_eq!((b.node.calls.len(), made.media.len()), (0, 0));
}

#[test]
fn a_node_that_acts_no_more_says_nothing_but_answers_a_bye() {
    let (mut a, _) = copied();
    let made = fence(&mut a);
    let ends = ["PlaybackFinished", "StasisEnd", "ChannelDestroyed"];
    assert_eq!(made.types(), ends.map(|kind| (FIRST, kind)));
    assert!(made.sip.is_empty() && made.media.is_empty(), "{made:?}");
    let made = a.caller_hangs_up();
    assert_eq!(made.lines(), ["SIP/2.0 200 OK"]);
    assert!(matches!(made.media[..], [media::Command::Close]));
    let made = a.run(Duration::from_secs(4_000));
    assert!(made.sip.is_empty(), "{:?}", made.sip);
}

#[test]
fn a_change_of_a_call_that_lives_elsewhere_is_refused_and_ends_nothing() {
    let (mut a, mut b) = copied();
    fence(&mut a);
    for method in ["INVITE", "UPDATE"] {
        let asked = a.in_dialog(method, 3);
        for node in [&mut a, &mut b] {
            assert_eq!(node.datagram(&asked).lines(), ["SIP/2.0 503 Service Unavailable"]);
        }
    }
    assert_eq!(a.caller_hangs_up().lines(), ["SIP/2.0 200 OK"]);
}

#[test]
fn the_sound_of_a_lost_call_ends_after_half_a_minute() {
    let (mut a, _) = copied();
    fence(&mut a);
    assert!(a.run(Duration::from_secs(29)).media.is_empty());
    let made = a.run(Duration::from_secs(2));
    assert!(matches!(made.media[..], [media::Command::Close]) && made.sip.is_empty());
}

#[test]
fn keys_at_a_node_that_lost_its_role_are_counted_and_told() {
    let (mut a, _) = copied();
    fence(&mut a);
    for char in ['4', '2'] {
        let digit = crate::codecs::Digit::from_char(char).expect("a key");
        let (duration_ms, in_band) = (80, false);
        let made = a.media(media::Event::Digit { digit, duration_ms, rtp_timestamp: 0, in_band });
        assert!(made.events.is_empty(), "nobody gets it: {made:?}");
    }
    let counters = a.node.snapshot(a.now).counters;
    assert_eq!((counters.digits_received_total, counters.digits_lost_total), (2, 2));
    let alarms = a.node.alarms(a.now);
    assert!(alarms.iter().any(|alarm| alarm.kind.name() == "digits_lost"), "{alarms:?}");
}

#[test]
fn a_node_that_lost_the_lease_for_a_moment_carries_its_own_calls_on() {
    let (mut a, _) = copied();
    let call = a.call;
    fence(&mut a);
    a.run(Duration::from_millis(100));
    promote(&mut a);
    let made = opened(&mut a, call);
    made.to_pbx("INVITE ");
    assert_eq!(made.played().len(), 1, "the prompt goes on");
    assert_eq!(a.node.calls[&call].takeovers, 1);
    assert_eq!(a.node.takeover.map(|takeover| takeover.calls), Some(1));
}

#[test]
fn a_node_that_acts_no_more_tells_the_last_change_and_then_nothing() {
    let (mut a, mut b) = copied();
    a.post(FIRST, "channels/{id}/variable?variable=GW_CHECKPOINT&value=menu-9");
    let mut made = fence(&mut a);
    assert!(made.copies.iter().any(|change| matches!(change, CallChange::Put(_))));
    told(&mut b, std::mem::take(&mut made.copies));
    assert!(a.run(Duration::from_secs(60)).copies.is_empty());
    let call = a.call;
    promote(&mut b);
    let made = opened(&mut b, call);
    let start = &made.events.first().expect("StasisStart").1;
    assert_eq!(start["channel"]["channelvars"]["GW_CHECKPOINT"], "menu-9");
}

#[test]
fn a_call_that_ended_while_nobody_acted_is_not_carried_on() {
    let (mut a, _) = copied();
    fence(&mut a);
    a.caller_hangs_up();
    promote(&mut a);
    assert_eq!(a.node.calls.len(), 0);
}

#[test]
fn what_a_new_primary_has_is_all_that_the_old_one_keeps_copies_of() {
    let (mut a, mut b) = copied();
    let call = a.call;
    b.node.replicas.told(b.now, CallChange::Gone(call));
    fence(&mut a);
    assert_eq!(a.node.replicas.copies(), 1);
    let made = promote(&mut b);
    told(&mut a, made.copies);
    assert_eq!(a.node.replicas.copies(), 0);
}

#[test]
fn many_calls_are_told_in_messages_that_the_link_takes() {
    let (mut a, _) = copied();
    let change = CallChange::Put(Box::new(a.node.call_record(a.now, a.call).expect("a call")));
    let (messages, left_out) = CallChange::parted(vec![change; 500]);
    assert_eq!((messages.iter().map(Vec::len).sum::<usize>(), left_out.len()), (500, 0));
    assert!(messages.len() > 1);
    for message in &messages {
        let calls = message.clone();
        let message = member::Message::<Vec<CallChange>>::Calls { acted: ids::Epoch(9), calls };
        let text = serde_json::to_string(&message);
        let quoted = serde_json::to_string(&text.expect("plain data")).expect("text");
        assert!(quoted.len() < crate::ha::peer::FRAME_MAX * 9 / 10, "{}", quoted.len());
    }
    a.take();
}

#[test]
fn a_call_that_no_message_holds_is_left_out_and_raises_an_alarm() {
    let (mut a, mut b) = copied();
    for n in 0..60 {
        let value = "%01".repeat(2_500);
        let path = format!("channels/{{id}}/variable?variable=V{n}&value={value}");
        assert_eq!(a.post(FIRST, &path).status(), 204);
        a.run(Duration::from_millis(100));
    }
    copy(&mut a, &mut b);
    let alarms = a.node.snapshot(a.now).alarms;
    assert!(alarms.iter().any(|alarm| alarm.kind.to_string().contains("too large to be")));
    assert_eq!(b.node.replicas.copies(), 1, "what was told of it before");
}

#[test]
fn a_call_comes_back_to_the_node_that_had_it() {
    let (mut a, mut b) = copied();
    let call = a.call;
    fence(&mut a);
    promote(&mut b);
    opened(&mut b, call);
    copy(&mut b, &mut a);
    promote(&mut a);
    let made = opened(&mut a, call);
    assert!(made.to_pbx("INVITE ").contains("c=IN IP4 10.0.0.9"));
    assert_eq!(a.node.calls[&call].takeovers, 2);
}

#[test]
fn a_call_that_another_node_had_meanwhile_goes_on_from_there() {
    let (mut a, mut b) = copied();
    let call = a.call;
    promote(&mut b);
    opened(&mut b, call);
    copy(&mut b, &mut a);
    // Only now it learns that its lease is over, and that the other one is gone as well.
    fence(&mut a);
    promote(&mut a);
    opened(&mut a, call);
    assert_eq!(a.node.calls[&call].takeovers, 2);
}

/// Replaces one number of a record, counted from the first; whether there was such a one.
fn replace(value: &mut Value, left: &mut usize, number: u64) -> bool {
    match value {
        Value::Number(_) if *left == 0 => {
            *value = number.into();
            true
        }
        Value::Number(_) => {
            *left -= 1;
            false
        }
        Value::Array(list) => list.iter_mut().any(|v| replace(v, left, number)),
        Value::Object(map) => map.values_mut().any(|v| replace(v, left, number)),
        _ => false,
    }
}

/// The backup lives on with what it was told, whatever that is.
fn survives(mut bench: Bench, changes: Vec<CallChange>) {
    told(&mut bench, changes);
    bench.now += Duration::from_secs(1);
    promote(&mut bench);
    let calls: Vec<CallId> = bench.node.calls.keys().copied().collect();
    for call in calls {
        opened(&mut bench, call);
        let digit = crate::codecs::Digit::from_char('7').expect("a key");
        bench.media(media::Event::Digit {
            digit,
            duration_ms: 60,
            rtp_timestamp: 0,
            in_band: false,
        });
    }
    bench.run(Duration::from_secs(3));
}

#[test]
fn no_number_of_the_other_node_ends_this_one() {
    let (mut a, _) = copied();
    let digit = crate::codecs::Digit::from_char('7').expect("a key");
    a.media(media::Event::Digit { digit, duration_ms: 60, rtp_timestamp: 0, in_band: false });
    let made = a.run(Duration::from_millis(20));
    let text = serde_json::to_string(&made.copies).expect("plain data");
    let mut tried = 0;
    for number in [0, 1, 255, 65_535, u64::from(u32::MAX), u64::MAX / 2, u64::MAX] {
        for place in 0.. {
            let mut value: Value = serde_json::from_str(&text).expect("JSON");
            if !replace(&mut value, &mut place.clone(), number) {
                break;
            }
            // What does not fit is refused as a whole, with the frame that it came in.
            let Ok(changes) = serde_json::from_value(value) else { continue };
            let mut bench = node("b");
            bench.now = a.now;
            survives(bench, changes);
            tried += 1;
        }
    }
    assert!(tried > 100, "{tried}");
}

#[test]
fn the_backup_knows_the_binding_of_the_primary_and_goes_on_with_it() {
    let mut a = primary();
    let mut b = node("b");
    copy(&mut a, &mut b);
    let known = b.node.replicas.binding(PORT).expect("told");
    assert_eq!(Some(*known.clone()), a.node.sip.binding(PORT));
    let mut made = promote(&mut b);
    made.add(b.run(Duration::from_millis(1)));
    let register = made.to_pbx("REGISTER ");
    assert_eq!(header(register, "Call-ID"), [known.call_id.reveal().as_str()]);
    let mut late = node("b");
    late.now = a.now;
    a.node.tell_all(a.now);
    let made = a.run(Duration::from_millis(30));
    told(&mut late, made.copies);
    assert!(late.node.replicas.binding(PORT).is_some());
}

#[test]
fn bindings_that_were_taken_over_are_renewed_after_two_leases_and_after_t4() {
    let mut b = node("b");
    promote(&mut b);
    let since = b.now;
    b.register();
    for due in [2 * b.node.config.cluster.timers.lease, Duration::from_secs(5)] {
        let before = since + due - Duration::from_millis(1);
        assert!(b.run(before.saturating_duration_since(b.now)).sip.is_empty());
        let made = b.run(Duration::from_millis(10));
        b.grant(made.to_pbx("REGISTER "), "");
    }
    assert!(b.run(Duration::from_secs(600)).sip.is_empty());
}

#[test]
fn ports_without_a_binding_register_before_granted_ones_are_renewed() {
    let text = config("[\"main\"]", CLUSTER)
        .replacen("10.0.0.9\"", "10.0.0.10\"\nregister_rate = 1", 1)
        .replacen("\"1000\"", "\"1000-1007\"", 1);
    let mut bench = Bench::with(&format!("[node]\nname = \"b\"\n{text}"));
    bench.grants = true;
    promote(&mut bench);
    bench.run(Duration::from_millis(7_500));
    let bound = |bench: &Bench| {
        let states = bench.node.registrations.iter();
        states.filter(|state| matches!(state, sip::RegistrationState::Registered { .. })).count()
    };
    assert_eq!(bound(&bench), 8, "one a second, the first at once");
    let registers = |bench: &Bench| bench.node.sip.status().counters.registers_sent;
    assert_eq!(registers(&bench), 8);
    bench.run(Duration::from_secs(12));
    assert!(registers(&bench) >= 16, "each is renewed: {}", registers(&bench));
}
