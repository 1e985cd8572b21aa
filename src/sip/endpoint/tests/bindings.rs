//! A port that another node of the cluster had, and what the registrar shows of that node.

use super::*;
use crate::ids::{Epoch, PortId};
use crate::sip::message::{Message, Method, Request};
use crate::sip::{Binding, Command, Event, Queried, RegistrationState};

const PORT: PortId = PortId(0);
const OLD: &str = "<sip:6001-0123456789abcdef@10.0.0.77:5060;pk-epoch=4>";

fn before() -> Binding {
    Binding {
        port: PORT,
        contact: OLD.to_owned().into(),
        granted: 60,
        call_id: "of-the-other-node".to_owned().into(),
        cseq: 900,
        epoch: Epoch(4),
    }
}

/// A node that acts under epoch 5 and takes the port over.
fn taking() -> (Bench, Request) {
    let mut bench = Bench::with(GENERIC, &[]);
    bench.command(Command::Epoch(Epoch(5)));
    bench.command(Command::TakeOver { port: PORT, before: Some(Box::new(before())) });
    bench.millis(0);
    let register = bench.request(Method::Register);
    (bench, register)
}

/// The next REGISTER; the registrar may be asked for a sign of life as well.
fn next_register(bench: &mut Bench) -> Request {
    loop {
        match bench.next() {
            Message::Request(request) if request.method == Method::Register => return request,
            _ => {}
        }
    }
}

fn contacts(request: &Request) -> Vec<String> {
    let contacts = request.headers.contacts().expect("Contact");
    contacts.list().iter().map(ToString::to_string).collect()
}

pub(super) fn events<T>(bench: &mut Bench, wanted: impl Fn(&Event) -> Option<T>) -> Vec<T> {
    bench.events.drain(..).filter_map(|event| wanted(&event)).collect()
}

fn alarms(bench: &mut Bench) -> Vec<String> {
    events(bench, |event| match event {
        Event::Alarm { text, .. } => Some(text.clone()),
        _ => None,
    })
}

#[test]
fn a_port_is_taken_over_at_once_under_the_old_call_id_above_its_cseq_and_with_our_epoch() {
    let (_bench, register) = taking();
    assert_eq!(register.headers.call_id().expect("Call-ID"), "of-the-other-node");
    assert!(register.headers.cseq().expect("CSeq").seq > 100_900);
    let listed = contacts(&register);
    assert!(listed.len() == 1 && listed[0].contains(";pk-epoch=5"), "{listed:?}");
}

#[test]
fn a_refusal_is_not_believed_while_the_old_binding_may_last() {
    for status in [403, 404, 500, 503] {
        let (mut bench, mut register) = taking();
        let (mut tries, start) = (1, bench.clock());
        while bench.clock() - start < 70_000 {
            bench.reply(&register, status, &[]);
            let told = events(&mut bench, |event| match event {
                Event::Registration { state, .. } => Some(*state),
                _ => None,
            });
            let pending = |state: &RegistrationState| *state == RegistrationState::Pending;
            assert!(told.iter().all(pending), "{told:?}");
            bench.secs(5);
            register = next_register(&mut bench);
            tries += 1;
        }
        assert!(tries >= 10, "{status}: {tries}");
        bench.reply(&register, status, &[]);
        let state = bench.endpoint.registration(PORT);
        match status {
            403 | 404 => assert_eq!(state, RegistrationState::Refused { status, why: None }),
            _ => assert_eq!(state, RegistrationState::Unreachable { status: Some(status) }),
        }
    }
}

#[test]
fn a_wrong_password_is_believed_at_once() {
    let (mut bench, register) = taking();
    bench.reply(&register, 401, &[]);
    let state = bench.endpoint.registration(PORT);
    assert!(matches!(state, RegistrationState::Refused { status: 401, .. }), "{state:?}");
}

#[test]
fn where_the_registrar_forks_the_old_contact_is_removed_and_nobody_elses() {
    let (mut bench, register) = taking();
    let own = contacts(&register).remove(0);
    let list = format!("{own};expires=60, {OLD};expires=40");
    bench.reply(&register, 200, &[("Contact", &list)]);
    bench.secs(1);
    let again = bench.request(Method::Register);
    let listed = contacts(&again);
    assert_eq!(listed[1], format!("{OLD};expires=0"));
    assert!(listed[0].starts_with(&own) && !listed[0].ends_with("=0"), "{listed:?}");
    assert!(alarms(&mut bench).is_empty());
    let stranger = format!("{own};expires=60, <sip:6001@10.0.0.78>;expires=40");
    bench.reply(&again, 200, &[("Contact", &stranger)]);
    bench.secs(20);
    bench.silence();
    assert_eq!(alarms(&mut bench), ["another device is bound to this extension as well"]);
}

#[test]
fn a_higher_epoch_in_the_list_is_told_at_once() {
    let (mut bench, register) = taking();
    let own = contacts(&register).remove(0);
    let list = format!("{own};expires=60, <sip:6001@10.0.0.78;pk-epoch=6>;expires=60");
    bench.reply(&register, 200, &[("Contact", &list)]);
    let epochs = events(&mut bench, |event| match event {
        Event::Outranked { epoch } => Some(*epoch),
        _ => None,
    });
    assert_eq!(epochs, [Epoch(6)]);
}

#[test]
fn a_lower_epoch_that_took_the_binding_back_is_repaired_until_it_works() {
    let (mut bench, mut register) = taking();
    for _ in 0..10 {
        bench.reply(&register, 200, &[("Contact", "<sip:6001@10.0.0.78;pk-epoch=3>;expires=60")]);
        bench.secs(1);
        register = bench.request(Method::Register);
    }
    assert!(alarms(&mut bench).is_empty());
}

#[test]
fn a_binding_of_nobody_known_is_repaired_three_times_and_then_a_person_is_told() {
    let (mut bench, mut register) = taking();
    let list = "<sip:6001@10.0.0.78>;expires=60";
    for _ in 0..3 {
        bench.reply(&register, 200, &[("Contact", list), ("Expires", "60")]);
        assert!(alarms(&mut bench).is_empty());
        bench.secs(1);
        register = bench.request(Method::Register);
    }
    bench.reply(&register, 200, &[("Contact", list), ("Expires", "60")]);
    bench.secs(20);
    bench.silence();
    assert_eq!(alarms(&mut bench), ["the PBX lists another device, and not this port"]);
}

#[test]
fn every_binding_of_the_pool_is_renewed_when_told_to() {
    let (mut bench, register) = taking();
    let own = contacts(&register).remove(0);
    bench.reply(&register, 200, &[("Contact", &format!("{own};expires=60"))]);
    bench.silence();
    bench.command(Command::Verify);
    bench.millis(0);
    bench.request(Method::Register);
}

#[test]
fn the_binding_of_a_port_is_what_another_node_needs() {
    let (mut bench, register) = taking();
    assert_eq!(bench.endpoint.binding(PORT), None);
    let own = contacts(&register).remove(0);
    bench.reply(&register, 200, &[("Contact", &format!("{own};expires=60"))]);
    let binding = bench.endpoint.binding(PORT).expect("bound");
    assert_eq!((binding.contact.reveal(), binding.granted), (&own, 60));
    assert_eq!(binding.call_id.reveal(), "of-the-other-node");
    assert_eq!(binding.cseq, register.headers.cseq().expect("CSeq").seq);
}

fn queried(bench: &mut Bench) -> Vec<Queried> {
    events(bench, |event| match event {
        Event::Queried { queried, .. } => Some(*queried),
        _ => None,
    })
}

#[test]
fn a_question_has_no_contact_claims_nothing_and_proves_the_password() {
    let mut bench = Bench::with(GENERIC, &[]);
    bench.command(Command::Query { port: PORT });
    let question = bench.request(Method::Register);
    assert!(question.headers.get("Contact").is_none() && question.headers.get("Expires").is_none());
    let challenge = "Digest realm=\"pbx\", nonce=\"n1\", algorithm=SHA-256, qop=\"auth\"";
    bench.reply(&question, 401, &[("WWW-Authenticate", challenge)]);
    let again = bench.request(Method::Register);
    assert!(again.headers.get("Authorization").is_some());
    assert!(queried(&mut bench).is_empty());
    bench.reply(&again, 200, &[("Contact", "<sip:6001@10.0.0.77>;expires=40")]);
    assert_eq!(queried(&mut bench), [Queried::Proven]);
    assert_eq!(bench.endpoint.registration(PORT), RegistrationState::Off);
}

#[test]
fn a_question_that_is_refused_or_not_answered_says_so() {
    for status in [401, 403, 405, 503] {
        let mut bench = Bench::with(GENERIC, &[]);
        bench.command(Command::Query { port: PORT });
        let question = bench.request(Method::Register);
        bench.reply(&question, status, &[]);
        assert_eq!(queried(&mut bench), [Queried::Refused { status }]);
    }
    let mut bench = Bench::with(GENERIC, &[]);
    bench.command(Command::Query { port: PORT });
    bench.secs(40);
    assert_eq!(queried(&mut bench), [Queried::Silent]);
}
