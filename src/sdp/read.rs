//! What the far end says about its streams, out of the syntax tree of `sdp-types`.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use sdp_types::{Attribute, Connection, Media, Session};

use super::{Codec, Direction, SdpError};

/// Bytes of a description.
const BYTES_MAX: usize = 4 * 1024;
/// Lines of a description.
const LINES_MAX: usize = 64;

/// Reads a description, after looking at its size.
pub(super) fn parse(body: &[u8]) -> Result<Session, SdpError> {
    if body.len() > BYTES_MAX || body.split(|b| *b == b'\n').count() > LINES_MAX + 1 {
        return Err(SdpError::TooLarge);
    }
    // ISO 8859-1 in a session name must not cost the call.
    let text = match std::str::from_utf8(body) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(body.iter().map(|b| char::from(*b)).collect()),
    };
    Session::parse(text.as_bytes()).map_err(|e| SdpError::Syntax(e.to_string()))
}

/// One `m=` line with the session around it.
#[derive(Clone, Copy)]
pub(super) struct Stream<'a> {
    session: &'a Session,
    media: &'a Media,
}

impl<'a> Stream<'a> {
    /// The stream that we talk on, and its place: the first usable one.
    pub(super) fn audio(session: &'a Session) -> Result<(usize, Self), SdpError> {
        let usable = |media: &Media| {
            media.media.eq_ignore_ascii_case("audio") && is_plain_rtp(media) && media.port != 0
        };
        let at = session.medias.iter().position(usable).ok_or(SdpError::NoAudio)?;
        Ok((at, Self { session, media: session.medias.get(at).ok_or(SdpError::NoAudio)? }))
    }

    /// Payload types in the far end's order of preference.
    fn payload_types(self) -> impl Iterator<Item = u8> + use<'a> {
        self.media.fmt.split_ascii_whitespace().filter_map(|pt| pt.parse().ok())
    }

    fn attributes(self, name: &'static str) -> impl Iterator<Item = &'a str> {
        values(&self.media.attributes, name)
    }

    /// `encoding/clock[/channels]` of a payload type.
    fn rtpmap(self, pt: u8) -> Option<&'a str> {
        self.attributes("rtpmap").find_map(|map| {
            let (number, encoding) = map.split_once([' ', '\t'])?;
            (number.parse() == Ok(pt)).then_some(encoding.trim())
        })
    }

    /// Codecs of ours that the stream carries, in the far end's order. Their payload types are
    /// static and need no `rtpmap`; one that says something else makes them something else.
    pub(super) fn codecs(self) -> impl Iterator<Item = Codec> + use<'a> {
        self.payload_types().filter_map(move |pt| {
            let codec = [Codec::Pcmu, Codec::Pcma].into_iter().find(|c| c.payload_type() == pt)?;
            let as_usual = self.rtpmap(pt).is_none_or(|map| is_encoding(map, codec.encoding()));
            as_usual.then_some(codec)
        })
    }

    /// Payload type on which the far end takes telephone-events at 8 kHz.
    pub(super) fn telephone_event(self) -> Option<u8> {
        let event = |pt: &u8| self.rtpmap(*pt).is_some_and(|m| is_encoding(m, "telephone-event"));
        self.payload_types().filter(|pt| (96..128).contains(pt)).find(event)
    }

    /// Where the far end wants its audio.
    pub(super) fn address(self) -> Result<SocketAddr, SdpError> {
        let connection: &Connection = self
            .media
            .connections
            .first()
            .or(self.session.connection.as_ref())
            .ok_or(SdpError::Address)?;
        let text = connection.connection_address.split('/').next().unwrap_or_default();
        let ip: IpAddr = text.parse().map_err(|_| SdpError::Address)?;
        if ip.is_multicast() {
            return Err(SdpError::Address);
        }
        Ok(SocketAddr::new(ip, self.media.port))
    }

    /// Who sends, seen from the far end. With the address 0.0.0.0 it does not want to hear
    /// (RFC 3264 section 8.4).
    pub(super) fn direction(self) -> Result<Direction, SdpError> {
        let said = direction(&self.media.attributes)
            .or_else(|| direction(&self.session.attributes))
            .unwrap_or(Direction::SendRecv);
        let deaf = self.address()?.ip().is_unspecified();
        Ok(Direction::new(said.sends(), said.recvs() && !deaf))
    }

    /// Largest packet that the far end takes, in milliseconds.
    pub(super) fn maxptime(self) -> Option<u32> {
        let session = values(&self.session.attributes, "maxptime");
        self.attributes("maxptime").chain(session).next()?.trim().parse().ok()
    }
}

/// Plain RTP with the standard profile: no SRTP, no feedback profile.
pub(super) fn is_plain_rtp(media: &Media) -> bool {
    media.proto.eq_ignore_ascii_case("RTP/AVP")
}

fn is_encoding(map: &str, name: &str) -> bool {
    let mut parts = map.split('/').map(str::trim);
    parts.next().is_some_and(|n| n.eq_ignore_ascii_case(name))
        && parts.next() == Some("8000")
        && matches!(parts.next(), None | Some("1" | ""))
}

fn values<'a>(list: &'a [Attribute], name: &'static str) -> impl Iterator<Item = &'a str> {
    list.iter()
        .filter(move |a| a.attribute.eq_ignore_ascii_case(name))
        .filter_map(|a| a.value.as_deref())
}

/// The last direction attribute of a level: where two stand, the later one was meant.
fn direction(list: &[Attribute]) -> Option<Direction> {
    list.iter().rev().find_map(|a| {
        let all =
            [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive];
        all.into_iter().find(|d| d.name().eq_ignore_ascii_case(&a.attribute))
    })
}
