//! Calls as plain data.

use super::*;
use crate::ids::CallId;
use crate::sip::message::Method;
use crate::sip::snapshot::{Snapshot, Stage};
use crate::sip::{Command, Refresher};

/// The snapshot of a call after a journey as text.
fn snapshot(bench: &Bench, call: CallId) -> Snapshot {
    let taken = bench.endpoint.call_snapshot(bench.now, call).expect("a call");
    let text = serde_json::to_string(&taken).expect("plain data");
    let read: Snapshot = serde_json::from_str(&text).expect("the same");
    assert_eq!(read, taken);
    read
}

#[test]
fn a_call_that_is_up_is_plain_data_with_all_that_its_dialog_needs() {
    let mut bench = Bench::registered(GENERIC);
    let mut invite = bench.invite("a");
    invite.headers.push("Record-Route", "<sip:10.0.0.5:5080;lr>");
    invite.headers.push("Supported", "timer");
    invite.headers.push("Session-Expires", "90;refresher=uac");
    invite.set_body("application/sdp", sdp("sendrecv"));
    let far = bench.call_by(invite);
    bench.secs(10);
    let snapshot = snapshot(&bench, far.call);
    assert_eq!(snapshot.stage, Stage::Up { confirmed: true });
    let dialog = snapshot.dialog.expect("a dialog");
    assert_eq!((dialog.call_id.as_str(), dialog.remote_cseq), ("a", Some(1)));
    assert_eq!(dialog.remote.tag(), Some("far"));
    assert_eq!(dialog.routes.len(), 1);
    assert_eq!(dialog.remote_target.to_string(), "sip:2000@10.0.0.5:5060");
    let (terms, remaining) = snapshot.timer.expect("a timer");
    assert_eq!((terms.interval, terms.refresher), (90, Refresher::Remote));
    assert_eq!(remaining.as_secs(), 50);
}

#[test]
fn a_ringing_call_carries_its_invite_and_the_unconfirmed_rseq() {
    let mut bench = Bench::registered(GENERIC);
    let mut invite = bench.invite("a");
    invite.headers.push("Require", "100rel");
    invite.headers.push("Expires", "60");
    invite.set_body("application/sdp", sdp("sendrecv"));
    bench.receive_request(&invite);
    let call = bench.incoming().call;
    bench.command(Command::Ring { call });
    let rseq = bench.response(180).headers.rseq();
    bench.millis(100);
    let Stage::Offered { invite: text, rings_for, rseq: noted } = snapshot(&bench, call).stage
    else {
        panic!("offered");
    };
    assert!(text.starts_with("INVITE ") && text.ends_with("a=sendrecv\r\n"));
    assert_eq!((rings_for.as_millis(), noted), (59_900, rseq));
}

#[test]
fn a_placed_call_is_plain_data_from_its_invite_on() {
    let mut bench = Bench::registered(GENERIC);
    let call = bench.endpoint.next_call_id();
    let (port, target) = (crate::ids::PortId(0), "3000".to_owned());
    let (caller, media) = (crate::sip::Party::default(), local_media());
    bench.command(Command::Invite { call, port, target, caller, media });
    bench.request(Method::Invite);
    let snapshot = snapshot(&bench, call);
    assert_eq!((snapshot.stage, snapshot.dialog), (Stage::Calling { rseq: None }, None));
    assert!(snapshot.outbound);
}
