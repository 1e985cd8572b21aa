//! Alarms that calls, applications and the PBX raise, and what else a person must still be told.

use super::*;

fn names(bench: &Bench) -> Vec<&'static str> {
    bench.node.alarms(bench.now).iter().map(|alarm| alarm.kind.name()).collect()
}

#[test]
fn an_application_that_asks_for_any_prompts_hides_no_other_alarm_and_is_forgotten_at_last() {
    let mut bench = Bench::with_call();
    for n in 0..1_100 {
        bench.now += Duration::from_millis(100);
        bench.post(FIRST, &format!("channels/{{id}}/play?media=sound:no{n}"));
    }
    assert!(names(&bench).len() < 40, "{:?}", names(&bench));
    bench.input(Input::MediaStuck { port: PORT });
    let stuck = bench.node.alarms(bench.now);
    assert!(stuck.iter().any(|a| a.kind.to_string().contains("media worker hangs")), "{stuck:?}");
    bench.now += Duration::from_secs(600);
    bench.input(Input::Wall { unix_ms: 0 });
    assert!(!names(&bench).contains(&"prompt_missing"), "{:?}", names(&bench));
}

#[test]
fn an_instance_that_is_only_late_is_no_alarm_and_one_that_hangs_is() {
    let mut bench = Bench::new();
    bench.connect(FIRST);
    bench.connect(SECOND);
    bench.run(Duration::from_secs(60));
    let told = |bench: &Bench| names(bench).contains(&"no_instance");
    for instance in [FIRST, SECOND] {
        bench.frozen.insert(instance);
    }
    let mut late = 0;
    let any = |bench: &Bench, health| bench.node.pool().instances().any(|i| i.health == health);
    for _ in 0..100 {
        bench.run(Duration::from_millis(10));
        let suspect = any(&bench, crate::pool::Health::Suspect);
        if suspect && !any(&bench, crate::pool::Health::Healthy) {
            late += 1;
            assert!(!told(&bench), "{:?}", names(&bench));
        }
    }
    assert!(late > 0 && told(&bench), "{late} {:?}", names(&bench));
}

fn next_register(bench: &mut Bench) -> String {
    loop {
        let made = bench.run(Duration::from_secs(10));
        if let Some(register) = made.sip.iter().find(|text| text.starts_with("REGISTER ")) {
            return register.clone();
        }
    }
}

/// Lets the PBX grant the next REGISTER, with more Contacts in its list.
fn refreshed(bench: &mut Bench, more: &str) {
    let register = next_register(bench);
    bench.grant(&register, more);
}

#[test]
fn a_port_has_one_alarm_for_its_refusal_and_that_is_the_latest() {
    let mut bench = Bench::new();
    for status in ["403 Forbidden", "404 Not Found"] {
        let register = next_register(&mut bench);
        bench.reply(&register, status);
        let alarms = bench.node.alarms(bench.now);
        let [alarm] = &alarms[..] else { panic!("{alarms:?}") };
        assert!(alarm.kind.to_string().contains(&status[..3]), "{alarm:?}");
    }
}

#[test]
fn another_device_on_an_extension_is_an_alarm_until_it_is_gone() {
    let mut bench = Bench::new();
    refreshed(&mut bench, ", <sip:1000@10.0.0.77>;expires=60");
    let alarms = bench.node.alarms(bench.now);
    let told = "extension 1000: another device is bound to this extension as well";
    assert_eq!(alarms.iter().map(|a| a.kind.to_string()).collect::<Vec<_>>(), [told]);
    bench.now += Duration::from_secs(1_000);
    bench.input(Input::Wall { unix_ms: 0 });
    bench.node.handle_timeout(bench.now);
    assert!(names(&bench).contains(&"other"), "it does not pass by itself");
    refreshed(&mut bench, "");
    assert!(!names(&bench).contains(&"other"), "{:?}", names(&bench));
}

fn texts(bench: &Bench) -> Vec<String> {
    bench.node.alarms(bench.now).iter().map(|alarm| alarm.kind.to_string()).collect()
}

/// The PBX wants credentials for the next REGISTER; what the node makes of it.
fn challenged(bench: &mut Bench, realm: &str) -> Made {
    let register = next_register(bench);
    bench.challenge(&register, realm)
}

#[test]
fn a_challenge_with_another_realm_hides_no_other_device_and_passes() {
    let mut bench = Bench::new();
    let made = challenged(&mut bench, "one");
    bench.grant(made.to_pbx("REGISTER "), ", <sip:1000@10.0.0.77>;expires=60");
    challenged(&mut bench, "two");
    let device = "extension 1000: another device is bound to this extension as well";
    let realm = "extension 1000: the PBX challenges with another realm than before";
    let told = texts(&bench);
    assert!(told.iter().any(|text| text == device), "{told:?}");
    assert!(told.iter().any(|text| text == realm), "{told:?}");
    bench.now += Duration::from_secs(600);
    bench.input(Input::Wall { unix_ms: 0 });
    let told = texts(&bench);
    assert!(told.iter().any(|text| text == device), "{told:?}");
    assert!(!told.iter().any(|text| text == realm), "{told:?}");
}

#[test]
fn what_is_said_of_a_port_without_binding_claims_no_answer_that_there_may_not_have_been() {
    let mut bench = Bench::with_call();
    let mut detail = |status| {
        bench.node.registrations[0] = sip::RegistrationState::Unreachable { status };
        bench.node.snapshot(bench.now).ports[0].registration.detail.clone()
    };
    // 503 is also told for a connection that was lost and for what could not be sent.
    assert_eq!(detail(Some(503)), "no registrar grants it, the last try ended with 503");
    assert_eq!(detail(None), "no answer from any registrar");
}
