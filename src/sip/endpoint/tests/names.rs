//! A PBX by name: asked for, not found, found, moved.

use std::net::SocketAddr;

use super::*;
use crate::ids::PortId;
use crate::sip::message::Method;
use crate::sip::{Command, Event, Input, Output, RegistrationState};

const NAMED: (&str, &str) = ("[\"10.0.0.5\"]", "[\"pbx.example\"]");
const MOVED: &str = "10.0.0.6:5060";

/// Whether the name is asked for.
fn is_asked(bench: &mut Bench) -> bool {
    let asked = |output: &Output| matches!(output, Output::Resolve { entry: 0 });
    std::mem::take(&mut bench.streams).iter().any(asked)
}

fn resolves(bench: &mut Bench, addresses: &[&str]) {
    let found = addresses.iter().map(|a| a.parse().expect("address")).collect();
    bench.input(Input::Resolved { entry: 0, found: Ok(found) });
}

fn state(bench: &Bench) -> RegistrationState {
    bench.endpoint.registration(PortId(0))
}

fn named() -> Bench {
    let mut bench = Bench::with(GENERIC, &[NAMED]);
    bench.command(Command::Register { port: PortId(0) });
    bench.millis(0);
    assert!(is_asked(&mut bench));
    bench
}

/// Registered at the address of [`PBX`], by name.
fn registered() -> Bench {
    let mut bench = named();
    resolves(&mut bench, &[PBX]);
    bench.millis(0);
    let register = bench.request(Method::Register);
    bench.reply(&register, 200, &[("Expires", "120")]);
    bench.events.clear();
    bench
}

/// Lets the binding run into silence, until the name is asked for again.
fn fall_silent(bench: &mut Bench) {
    let silent = RegistrationState::Unreachable { status: None };
    for _ in 0..200 {
        bench.secs(1);
        if state(bench) == silent {
            bench.sent.clear();
            return;
        }
    }
    panic!("the port never noticed");
}

#[test]
fn ports_wait_while_the_name_does_not_resolve_and_register_once_it_does() {
    let mut bench = named();
    assert_eq!(state(&bench), RegistrationState::Pending);
    let why = "no such name".to_owned();
    bench.input(Input::Resolved { entry: 0, found: Err(why.clone()) });
    assert_eq!(state(&bench), RegistrationState::Unresolved);
    let told = |e: &Event| matches!(e, Event::Named { entry: 0, why: Some(w) } if *w == why);
    assert!(bench.events.iter().any(told), "{:?}", bench.events);
    bench.silence();
    bench.secs(2);
    assert!(is_asked(&mut bench), "asked again");
    bench.events.clear();
    resolves(&mut bench, &[PBX]);
    bench.millis(0);
    let register = bench.request(Method::Register);
    assert_eq!(bench.last().to.to_string(), PBX);
    bench.reply(&register, 200, &[("Expires", "120")]);
    assert_eq!(state(&bench), RegistrationState::Registered { expires: 120, node: 0 });
    let over = |e: &Event| matches!(e, Event::Named { entry: 0, why: None });
    assert!(bench.events.iter().any(over), "{:?}", bench.events);
}

#[test]
fn a_pbx_that_moved_is_found_by_its_name_after_a_registration_fails() {
    let mut bench = registered();
    fall_silent(&mut bench);
    assert!(is_asked(&mut bench));
    resolves(&mut bench, &[MOVED]);
    bench.millis(0);
    let register = bench.request(Method::Register);
    assert_eq!(bench.last().to, MOVED.parse::<SocketAddr>().expect("address"));
    let bytes = register.reply(200).to_bytes().expect("printable");
    bench.datagram(MOVED, bytes.to_vec());
    assert!(matches!(state(&bench), RegistrationState::Registered { node: 0, .. }));
}

#[test]
fn s_04_who_may_send_requests_follows_the_name_of_the_pbx() {
    let mut bench = registered();
    let heard = |bench: &mut Bench, from: &str, call_id: &str| {
        let before = bench.endpoint.status().counters.unknown_sources;
        let invite = bench.invite(call_id).to_bytes().expect("printable");
        bench.datagram(from, invite.to_vec());
        bench.sent.clear();
        bench.endpoint.status().counters.unknown_sources == before
    };
    assert!(!heard(&mut bench, MOVED, "early"), "not the PBX yet");
    fall_silent(&mut bench);
    resolves(&mut bench, &[MOVED]);
    assert!(heard(&mut bench, MOVED, "moved"));
    assert!(!heard(&mut bench, PBX, "late"), "not the PBX any more");
}

#[test]
fn a_call_goes_on_with_the_address_that_it_began_at() {
    let mut bench = registered();
    let mut far = bench.call();
    fall_silent(&mut bench);
    resolves(&mut bench, &[MOVED]);
    bench.sent.clear();
    bench.events.clear();
    let bye = far.request(Method::Bye);
    bench.receive_request(&bye);
    assert!(bench.events.iter().any(|e| matches!(e, Event::Ended { .. })), "{:?}", bench.events);
}

#[test]
fn a_lookup_that_fails_later_moves_no_port() {
    let mut bench = registered();
    fall_silent(&mut bench);
    bench.input(Input::Resolved { entry: 0, found: Err("no server".to_owned()) });
    while bench.sent.is_empty() {
        bench.secs(1);
    }
    let register = bench.request(Method::Register);
    assert_eq!(bench.last().to.to_string(), PBX);
    bench.reply(&register, 200, &[("Expires", "120")]);
    assert!(matches!(state(&bench), RegistrationState::Registered { .. }));
}

#[test]
fn the_addresses_of_a_name_are_nodes_of_the_list() {
    let mut bench = named();
    resolves(&mut bench, &[PBX, MOVED]);
    bench.millis(0);
    let register = bench.request(Method::Register);
    bench.reply(&register, 503, &[]);
    bench.millis(0);
    bench.request(Method::Register);
    assert_eq!(bench.last().to.to_string(), MOVED);
}
