//! Calls from the PBX.

use super::*;
use crate::sdp::{Codec, Direction};
use crate::sip::message::Method;
use crate::sip::{Command, EndCause, Event};

#[test]
fn sip_c3_a_call_rings_is_answered_and_is_up_with_the_ack() {
    let mut bench = Bench::registered(GENERIC);
    let mut invite = bench.invite("a");
    invite.set_body("application/sdp", sdp("sendrecv"));
    bench.receive_request(&invite);
    let incoming = bench.incoming();
    assert_eq!(incoming.caller.name.reveal(), "Anna");
    assert_eq!(incoming.caller.number.reveal(), "2000");
    assert_eq!(incoming.called.number.reveal(), "6001");
    let call = incoming.call;

    bench.command(Command::Ring { call });
    bench.response(180);
    bench.command(Command::Answer { call, media: local_media() });
    let ok = bench.response(200);
    let Event::Media { media, .. } = bench.event() else { panic!("media first") };
    assert_eq!((media.codec, media.direction), (Codec::Pcmu, Direction::SendRecv));
    assert_eq!(media.remote.to_string(), "10.0.0.5:40000");
    bench.no_event();

    let mut far = Call::of_invite(call, &invite, &ok);
    let ack = far.request(Method::Ack);
    bench.receive_request(&ack);
    assert!(matches!(bench.event(), Event::Established { .. }));
    bench.secs(40);
    bench.silence();

    let bye = far.request(Method::Bye);
    bench.receive_request(&bye);
    bench.response(200);
    let Event::Ended { cause, .. } = bench.event() else { panic!("the end") };
    assert_eq!(cause, EndCause::RemoteHangup);
    assert_eq!(bench.endpoint.status().calls, 0);
}
