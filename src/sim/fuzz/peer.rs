//! Frames of a peer: bytes in any cut, as the first words of a connection and after a hello.

use crate::config::{Shared, Timers};
use crate::ha::peer::{
    Body, FRAME_MAX, Frame, Identity, Input, Link, Output, Speaker, decode, encode,
};
use crate::ids::{Epoch, NodeId};
use crate::timers::{Duration, Instant};

/// A stream of frames; the first byte says how it is cut, and whether a hello came before it.
pub fn fuzz_peer_frame(data: &[u8]) {
    let Some((step, stream)) = data.split_first() else { return };
    frame(stream);
    for greeted in [false, true] {
        let mut link = connected(greeted);
        let mut written = 0;
        for chunk in stream.chunks(usize::from(*step).max(1)) {
            link.handle_input(NOW, Input::Received(chunk.to_vec()));
            written += drain(&mut link);
        }
        assert!(written <= 1, "a hostile peer is told why it is refused, and nothing else");
    }
}

const NOW: Instant = Instant::from_nanos(1_000_000_000);

/// A frame that can be read survives being written.
fn frame(json: &[u8]) {
    if let Ok(frame) = decode::<String>(json) {
        let again = encode(&frame).expect("not longer than what was read, but for escapes");
        assert_eq!(decode(&again[4..]), Ok(frame));
    }
}

fn identity(me: u8, name: &str) -> Identity {
    Identity {
        cluster: "north".to_owned(),
        me: NodeId(me),
        name: name.to_owned(),
        speaker: Speaker::Node,
        run: 1,
        shared: Shared {
            parts: Vec::new(),
            elsewhere: Vec::new(),
            registrars: Vec::new(),
            own: Vec::new(),
        },
        pepper: None,
        timers: Timers { renew: Duration::from_millis(100), lease: Duration::from_millis(600) },
    }
}

fn connected(greeted: bool) -> Link<String> {
    let mut link = Link::new(identity(0, "a"), NodeId(1), "b".to_owned());
    link.handle_input(NOW, Input::Connected);
    if greeted {
        let b = identity(1, "b");
        let hello: Frame<String> = b.frame(Epoch(0), 0, Body::Hello(Box::new(b.hello())));
        let bytes = encode(&hello).expect("short");
        link.handle_input(NOW, Input::Received(bytes));
        assert!(link.is_up());
    }
    drain(&mut link);
    link
}

/// How many frames it wrote, each of which can be read.
fn drain(link: &mut Link<String>) -> usize {
    let mut written = 0;
    while let Some(output) = link.poll_output() {
        if let Output::Write { bytes, .. } = output {
            assert!(bytes.len() <= 4 + FRAME_MAX && decode::<String>(&bytes[4..]).is_ok());
            written += 1;
        }
    }
    written
}
