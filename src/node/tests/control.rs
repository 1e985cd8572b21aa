//! The control port beside the ports of the pool.

use super::*;

const CONTROL: &str = "[control]\nextension = \"6090\"\npassword = \"kT7-pq2Zr9vXw4mN8sLd\"\n";

fn bench() -> Bench {
    let more = format!("[applications.main]\n{CONTROL}");
    Bench::with(&config("[\"main\"]", &more))
}

#[test]
fn the_control_port_registers_and_is_no_port_of_the_pool() {
    let bench = bench();
    assert_eq!(bench.contacts.len(), 2);
    assert!(bench.contacts[1].starts_with("sip:6090-"), "{:?}", bench.contacts);
    assert_eq!(bench.node.snapshot(bench.now).ports.len(), 1);
}

#[test]
fn a_call_to_the_control_port_is_refused_with_480_and_offered_to_nobody() {
    let mut bench = bench();
    bench.connect(FIRST);
    bench.contact = bench.contacts[1].clone();
    let made = bench.arrive();
    assert_eq!(made.lines(), ["SIP/2.0 480 Temporarily Unavailable"]);
    assert_eq!((made.events.len(), made.media.len()), (0, 0));
}

#[test]
fn no_call_is_placed_from_the_control_port() {
    let mut bench = bench();
    bench.connect(FIRST);
    bench.arrive();
    let made = bench.post(FIRST, "channels?endpoint=SIP/2001&app=main&timeout=20");
    assert_eq!(made.status(), 503, "the only port of the pool is busy");
}
