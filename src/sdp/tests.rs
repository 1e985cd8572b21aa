//! Offers and answers as PBXs make them.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;

fn local() -> LocalMedia {
    LocalMedia {
        address: Ipv4Addr::new(10, 0, 0, 9).into(),
        udp_port: 20_000,
        codecs: vec![Codec::Pcmu, Codec::Pcma],
        telephone_event: 101,
    }
}

/// A description of a far end at 10.0.0.1 with these lines behind `t=`.
fn far(lines: &str) -> String {
    let lines = lines.replace('|', "\r\n");
    format!("v=0\r\no=pbx 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n{lines}\r\n")
}

fn answered(lines: &str) -> Result<(String, Negotiated), SdpError> {
    answer(far(lines).as_bytes(), &local(), &mut Origin::new(7), Direction::SendRecv)
}

fn agreed(lines: &str) -> Negotiated {
    answered(lines).expect("agreement").1
}

fn accepted(offered: Direction, lines: &str) -> Result<Negotiated, SdpError> {
    let mut origin = Origin::new(7);
    offer(&local(), &mut origin, offered);
    accept(far(lines).as_bytes(), &local(), &origin, offered)
}

#[test]
fn sip_c1_a_full_offer_names_both_codecs_and_events() {
    let text = offer(&local(), &mut Origin::new(7), Direction::SendRecv);
    assert_eq!(
        text,
        "v=0\r\no=- 7 1 IN IP4 10.0.0.9\r\ns=-\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\n\
         m=audio 20000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
    );
}

#[test]
fn sip_c1_cucm_answers_with_one_codec_and_events() {
    let got = accepted(
        Direction::SendRecv,
        "m=audio 24580 RTP/AVP 0 101|a=rtpmap:0 PCMU/8000|a=ptime:20|\
         a=rtpmap:101 telephone-event/8000|a=fmtp:101 0-15",
    );
    let got = got.expect("agreement");
    assert_eq!(got.remote, "10.0.0.1:24580".parse().expect("address"));
    assert_eq!((got.codec, got.event_send, got.event_recv), (Codec::Pcmu, Some(101), Some(101)));
}

#[test]
fn the_far_ends_favourite_codec_wins_and_needs_no_rtpmap() {
    assert_eq!(agreed("m=audio 4000 RTP/AVP 18 8 0").codec, Codec::Pcma);
}

#[test]
fn a_static_payload_type_mapped_to_something_else_does_not_count() {
    let error = answered("m=audio 4000 RTP/AVP 0|a=rtpmap:0 G729/8000").expect_err("no codec");
    assert_eq!((error.status(), error), (488, SdpError::NoCommonCodec));
}

#[test]
fn sip_m7_other_streams_are_refused_in_their_places() {
    let (text, _) = answered(
        "m=video 5000 RTP/AVP 96|a=rtpmap:96 H264/90000|m=audio 4002 RTP/SAVP 0|\
         m=audio 4000 RTP/AVP 0|m=image 4004 udptl t38",
    )
    .expect("agreement");
    let lines: Vec<_> = text.lines().filter(|l| l.starts_with("m=")).collect();
    assert_eq!(
        lines,
        [
            "m=video 0 RTP/AVP 96",
            "m=audio 0 RTP/SAVP 0",
            "m=audio 20000 RTP/AVP 0",
            "m=image 0 udptl t38"
        ]
    );
}

#[test]
fn sip_m7_our_later_offers_keep_the_places() {
    let mut origin = Origin::new(7);
    let first = far("m=video 5000 RTP/AVP 96|m=audio 4000 RTP/AVP 0");
    answer(first.as_bytes(), &local(), &mut origin, Direction::SendRecv).expect("agreement");
    let text = offer(&local(), &mut origin, Direction::SendOnly);
    let lines: Vec<_> = text.lines().filter(|l| l.starts_with("m=")).collect();
    assert_eq!(lines, ["m=video 0 RTP/AVP 96", "m=audio 20000 RTP/AVP 0 8 101"]);
    let good = far("m=video 0 RTP/AVP 96|m=audio 4000 RTP/AVP 0|a=recvonly");
    let got = accept(good.as_bytes(), &local(), &origin, Direction::SendOnly).expect("agreement");
    assert_eq!(got.direction, Direction::SendOnly);
}

#[test]
fn sip_m7_an_answer_with_another_number_of_lines_is_refused() {
    let error = accepted(Direction::SendRecv, "m=audio 4000 RTP/AVP 0|m=video 0 RTP/AVP 96");
    assert_eq!(error, Err(SdpError::LineCount { offered: 1, answered: 2 }));
}

#[test]
fn sip_d1_every_form_of_hold_is_answered() {
    let cases = [
        ("m=audio 4000 RTP/AVP 0|a=inactive", Direction::Inactive),
        ("m=audio 4000 RTP/AVP 0|a=sendonly", Direction::RecvOnly),
        ("m=audio 4000 RTP/AVP 0|c=IN IP4 0.0.0.0", Direction::RecvOnly),
        ("m=audio 4000 RTP/AVP 0|c=IN IP4 0.0.0.0|a=sendonly", Direction::RecvOnly),
        ("m=audio 4000 RTP/AVP 0|c=IN IP4 0.0.0.0|a=inactive", Direction::Inactive),
        ("a=inactive|m=audio 4000 RTP/AVP 0", Direction::Inactive),
        ("a=inactive|m=audio 4000 RTP/AVP 0|a=sendrecv", Direction::SendRecv),
        ("m=audio 4000 RTP/AVP 0|a=recvonly", Direction::SendOnly),
        ("m=audio 4000 RTP/AVP 0", Direction::SendRecv),
    ];
    for (lines, direction) in cases {
        let (text, agreed) = answered(lines).expect(lines);
        assert_eq!(agreed.direction, direction, "{lines}");
        assert!(text.contains(&format!("a={}\r\n", direction.name())), "{lines}\n{text}");
    }
}

#[test]
fn sip_d2_an_offer_after_hold_is_full_and_sendrecv() {
    let mut origin = Origin::new(7);
    let hold = far("m=audio 4000 RTP/AVP 8|a=inactive");
    answer(hold.as_bytes(), &local(), &mut origin, Direction::SendRecv).expect("agreement");
    let text = offer(&local(), &mut origin, Direction::SendRecv);
    assert!(text.contains("m=audio 20000 RTP/AVP 0 8 101\r\n"));
    assert!(text.contains("a=sendrecv\r\n"));
}

#[test]
fn sip_d3_address_port_codec_and_payload_type_may_change_in_a_call() {
    let mut origin = Origin::new(7);
    let mut next = |lines: &str| {
        answer(far(lines).as_bytes(), &local(), &mut origin, Direction::SendRecv)
            .expect("agreement")
            .1
    };
    let first = next("m=audio 4000 RTP/AVP 0 101|a=rtpmap:101 telephone-event/8000");
    let second =
        next("m=audio 4444 RTP/AVP 8 97|c=IN IP4 10.0.0.2|a=rtpmap:97 telephone-event/8000");
    assert_eq!((first.codec, first.event_send), (Codec::Pcmu, Some(101)));
    assert_eq!((second.codec, second.event_send), (Codec::Pcma, Some(97)));
    assert_eq!(second.remote, "10.0.0.2:4444".parse().expect("address"));
}

#[test]
fn sip_m3_payload_types_of_events_may_differ_both_ways() {
    let got =
        accepted(Direction::SendRecv, "m=audio 4000 RTP/AVP 0 97|a=rtpmap:97 telephone-event/8000")
            .expect("agreement");
    assert_eq!((got.event_send, got.event_recv), (Some(97), Some(101)));
}

#[test]
fn sip_m3_only_events_at_8_khz_count() {
    let got = agreed(
        "m=audio 4000 RTP/AVP 0 100 101|a=rtpmap:100 telephone-event/48000|\
         a=rtpmap:101 telephone-event/8000",
    );
    assert_eq!(got.event_send, Some(101));
    assert_eq!(agreed("m=audio 4000 RTP/AVP 0").event_recv, None);
}

#[test]
fn sip_m1_maxptime_is_honoured() {
    assert_eq!(agreed("m=audio 4000 RTP/AVP 0|a=ptime:30").ptime_ms, 20);
    assert_eq!(agreed("m=audio 4000 RTP/AVP 0|a=maxptime:10").ptime_ms, 10);
    assert_eq!(agreed("a=maxptime:10|m=audio 4000 RTP/AVP 0|a=maxptime:40").ptime_ms, 20);
}

#[test]
fn the_version_grows_only_with_the_content() {
    let mut origin = Origin::new(7);
    let mut offered = |direction| {
        let text = offer(&local(), &mut origin, direction);
        text.lines().nth(1).map(str::to_owned).expect("o=")
    };
    assert_eq!(offered(Direction::SendRecv), "o=- 7 1 IN IP4 10.0.0.9");
    assert_eq!(offered(Direction::SendRecv), "o=- 7 1 IN IP4 10.0.0.9");
    assert_eq!(offered(Direction::SendOnly), "o=- 7 2 IN IP4 10.0.0.9");
    origin.leap(1000);
    assert!(offer(&local(), &mut origin, Direction::SendOnly).contains("o=- 7 1003 IN"));
}

#[test]
fn ipv6_is_spoken() {
    let ours = LocalMedia { address: Ipv6Addr::LOCALHOST.into(), ..local() };
    let text = far("m=audio 4000 RTP/AVP 0").replace("IP4 10.0.0.1", "IP6 2001:db8::1");
    let (answer, got) =
        answer(text.as_bytes(), &ours, &mut Origin::new(7), Direction::SendRecv).expect("agree");
    assert!(answer.contains("c=IN IP6 ::1\r\n"));
    assert_eq!(got.remote, "[2001:db8::1]:4000".parse().expect("address"));
}

#[test]
fn sip_m6_multiplexed_rtcp_is_not_taken_up() {
    let (text, agreed) = answered(
        "m=audio 4000 RTP/AVP 0|a=rtcp-mux|a=rtcp:4005|a=ssrc:1 cname:x|a=silenceSupp:off - - - -",
    )
    .expect("agreement");
    assert!(!text.contains("rtcp"), "{text}");
    assert_eq!(agreed.remote, "10.0.0.1:4000".parse().expect("address"));
}

#[test]
fn what_cannot_be_used_is_refused() {
    let cases = [
        ("m=audio 4000 RTP/SAVP 0", SdpError::NoAudio),
        ("m=audio 0 RTP/AVP 0", SdpError::NoAudio),
        ("m=video 4000 RTP/AVP 96", SdpError::NoAudio),
        ("", SdpError::NoAudio),
        ("m=audio 4000 RTP/AVP 9 18", SdpError::NoCommonCodec),
        ("m=audio 4000 RTP/AVP 0|c=IN IP4 pbx.example.com", SdpError::Address),
        ("m=audio 4000 RTP/AVP 0|c=IN IP4 224.2.1.1/127", SdpError::Address),
        ("m=audio 4000 RTP/AVP 0|c=IN IP6 2001:db8::1", SdpError::Address),
    ];
    for (lines, error) in cases {
        assert_eq!(answered(lines).expect_err(lines), error);
    }
    assert_eq!(answered("m=audio 99999 RTP/AVP 0").expect_err("port").status(), 400);
}

#[test]
fn size_is_looked_at_first() {
    let many = "a=x|".repeat(70);
    assert_eq!(answered(&many).expect_err("lines"), SdpError::TooLarge);
    let long = format!("a={}", "x".repeat(4096));
    assert_eq!(answered(&long).expect_err("bytes"), SdpError::TooLarge);
}

#[test]
fn a_session_name_in_iso_8859_1_costs_nothing() {
    let mut body = far("m=audio 4000 RTP/AVP 0").into_bytes();
    let at = body.windows(4).position(|w| w == b"s=-\r").expect("s=") + 2;
    body[at] = 0xFC;
    assert!(answer(&body, &local(), &mut Origin::new(7), Direction::SendRecv).is_ok());
}

#[test]
fn a_refused_offer_changes_nothing() {
    let mut origin = Origin::new(7);
    offer(&local(), &mut origin, Direction::SendRecv);
    let before = origin.clone();
    let bad = far("m=audio 4000 RTP/AVP 18|m=video 5000 RTP/AVP 96");
    assert!(answer(bad.as_bytes(), &local(), &mut origin, Direction::SendRecv).is_err());
    assert_eq!(origin, before);
}
