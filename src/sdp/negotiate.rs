//! Offer, answer, and what both sides agreed on (RFC 3264).

use sdp_types::Session;

use super::origin::{Line, audio};
use super::read::{Stream, parse};
use super::{Codec, Direction, LocalMedia, Negotiated, Origin, SdpError};

/// Milliseconds in each packet that we send.
const PTIME_MS: u8 = 20;

/// A full offer: every codec of ours, whatever was agreed before (a far end that asks for an offer
/// in the middle of a call wants all of it).
pub fn offer(local: &LocalMedia, origin: &mut Origin, direction: Direction) -> String {
    let event = origin.event.unwrap_or(local.telephone_event);
    origin.event = Some(event);
    let audio = audio(local, &local.codecs, Some(event), direction);
    origin.write(&audio, local.address)
}

/// Whether an offer can be answered at all, before there is a media port to answer it with.
pub fn check(offer: &[u8]) -> Result<(), SdpError> {
    let session = parse(offer)?;
    let (_, stream) = Stream::audio(&session)?;
    stream.codecs().next().ok_or(SdpError::NoCommonCodec)?;
    stream.address().map(drop)
}

/// Answers an offer: one codec, the far end's favourite among ours, and telephone-events under the
/// payload type that it chose. `wanted` is what we would do if the far end agreed to everything.
/// On an error nothing has changed.
pub fn answer(
    offer: &[u8],
    local: &LocalMedia,
    origin: &mut Origin,
    wanted: Direction,
) -> Result<(String, Negotiated), SdpError> {
    let session = parse(offer)?;
    let (at, stream) = Stream::audio(&session)?;
    let event = stream.telephone_event();
    let agreed = agree(stream, local, event, wanted)?;
    origin.lines = layout(&session, at);
    origin.event = event.or(origin.event);
    let audio = audio(local, &[agreed.codec], event, agreed.direction);
    Ok((origin.write(&audio, local.address), agreed))
}

/// Takes the answer to our last offer, which was made with `local` and `offered`.
pub fn accept(
    answer: &[u8],
    local: &LocalMedia,
    origin: &Origin,
    offered: Direction,
) -> Result<Negotiated, SdpError> {
    let session = parse(answer)?;
    let (lines, answered) = (origin.lines.len(), session.medias.len());
    if lines != answered {
        return Err(SdpError::LineCount { offered: lines, answered });
    }
    let (at, stream) = Stream::audio(&session)?;
    if origin.lines.get(at) != Some(&Line::Audio) {
        return Err(SdpError::NoAudio);
    }
    agree(stream, local, origin.event, offered)
}

/// The `m=` lines of an offer: ours at `at`, the rest refused.
fn layout(session: &Session, at: usize) -> Vec<Line> {
    let line = |(n, media)| if n == at { Line::Audio } else { Line::refused(media) };
    session.medias.iter().enumerate().map(line).collect()
}

/// What holds between us and this stream. Events are sent under the far end's payload type and
/// received under `event_recv`, which is ours.
fn agree(
    stream: Stream<'_>,
    local: &LocalMedia,
    event_recv: Option<u8>,
    wanted: Direction,
) -> Result<Negotiated, SdpError> {
    let remote = stream.address()?;
    if remote.is_ipv4() != local.address.is_ipv4() {
        return Err(SdpError::Address);
    }
    let mut common = stream.codecs().filter(|codec| local.codecs.contains(codec));
    let codec: Codec = common.next().ok_or(SdpError::NoCommonCodec)?;
    let event_send = stream.telephone_event();
    Ok(Negotiated {
        remote,
        codec,
        event_send,
        event_recv: event_send.and(event_recv),
        direction: wanted.and(stream.direction()?.mirrored()),
        ptime_ms: ptime(stream.maxptime()),
    })
}

/// 20 ms, or 10 ms for a far end that cannot take 20.
fn ptime(max: Option<u32>) -> u8 {
    if max.is_some_and(|ms| ms < u32::from(PTIME_MS)) { PTIME_MS / 2 } else { PTIME_MS }
}
