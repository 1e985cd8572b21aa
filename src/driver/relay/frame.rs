//! WebSocket frames on the connection to a node (RFC 6455 section 5), from the client's side.
//!
//! The usual library answers a ping by itself as soon as it has read it. Here a ping is a question
//! to the application behind the relay, and only its own pong may answer it: so frames are read and
//! written one by one. Headers are the library's; put together are texts only, which is all that a
//! node sends.

use std::io::{self, Cursor};

use bytes::{Buf, Bytes, BytesMut};
use rand_core::{OsRng, TryRngCore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{Frame, FrameHeader};

/// Longest message of a node: the list of every channel it has.
const MESSAGE_MAX: usize = 4 << 20;
/// Payload of a control frame (RFC 6455 section 5.5).
const CONTROL_MAX: usize = 125;

/// What a node sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// An event or an answer.
    Text(String),
    /// A question whether the application lives.
    Ping(Bytes),
    /// It ends the connection.
    Close,
}

/// Reads the messages of a node.
#[derive(Debug)]
pub(super) struct Reader<R> {
    from: R,
    read: BytesMut,
    /// The beginning of a message in several frames.
    text: Option<BytesMut>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, read: BytesMut::with_capacity(8 * 1024), text: None }
    }

    /// The next message. May be dropped while it waits: nothing is lost.
    ///
    /// # Errors
    /// The connection ended, or what came is not what a node sends.
    pub(super) async fn next(&mut self) -> io::Result<Message> {
        loop {
            while let Some((header, payload)) = take_frame(&mut self.read)? {
                if let Some(message) = self.message(&header, payload)? {
                    return Ok(message);
                }
            }
            if self.from.read_buf(&mut self.read).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// What a frame completes.
    fn message(&mut self, header: &FrameHeader, payload: Bytes) -> io::Result<Option<Message>> {
        match header.opcode {
            OpCode::Control(Control::Ping) => Ok(Some(Message::Ping(payload))),
            OpCode::Control(Control::Close) => Ok(Some(Message::Close)),
            OpCode::Control(Control::Pong) => Ok(None),
            OpCode::Control(Control::Reserved(_)) => Err(wrong("a reserved frame")),
            OpCode::Data(Data::Text) if self.text.is_none() => self.part(header, payload),
            OpCode::Data(Data::Continue) if self.text.is_some() => self.part(header, payload),
            OpCode::Data(_) => Err(wrong("a frame that is no text, or out of order")),
        }
    }

    /// One more part of a text.
    fn part(&mut self, header: &FrameHeader, payload: Bytes) -> io::Result<Option<Message>> {
        let mut text = self.text.take().unwrap_or_default();
        if text.len() + payload.len() > MESSAGE_MAX {
            return Err(wrong("a message over 4 MiB"));
        }
        text.extend_from_slice(&payload);
        if !header.is_final {
            self.text = Some(text);
            return Ok(None);
        }
        let text = String::from_utf8(text.into()).map_err(|_| wrong("text that is not UTF-8"))?;
        Ok(Some(Message::Text(text)))
    }
}

/// The first frame of the buffer, if all of it is there.
fn take_frame(read: &mut BytesMut) -> io::Result<Option<(FrameHeader, Bytes)>> {
    let mut cursor = Cursor::new(&read[..]);
    let parsed = FrameHeader::parse(&mut cursor).map_err(|_| wrong("no frame"))?;
    let Some((header, length)) = parsed else { return Ok(None) };
    // A server must not mask, and no extension was agreed on (sections 5.1 and 5.2).
    if header.mask.is_some() || header.rsv1 || header.rsv2 || header.rsv3 {
        return Err(wrong("a frame with bits that nobody agreed on"));
    }
    let is_control = matches!(header.opcode, OpCode::Control(_));
    let max = if is_control { CONTROL_MAX } else { MESSAGE_MAX };
    let length = usize::try_from(length).ok().filter(|length| *length <= max);
    let length = length.ok_or_else(|| wrong("a frame that is too long"))?;
    if is_control && !header.is_final {
        return Err(wrong("a control frame in pieces"));
    }
    let head = usize::try_from(cursor.position()).unwrap_or(usize::MAX);
    if read.len().saturating_sub(head) < length {
        return Ok(None);
    }
    read.advance(head);
    Ok(Some((header, read.split_to(length).freeze())))
}

/// Writes to a node.
#[derive(Debug)]
pub(super) struct Writer<W> {
    to: W,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    pub(super) const fn new(to: W) -> Self {
        Self { to }
    }

    /// Sends a text.
    pub(super) async fn text(&mut self, text: String) -> io::Result<()> {
        self.frame(Frame::message(text, OpCode::Data(Data::Text), true)).await
    }

    /// Sends the application's answer to a ping.
    pub(super) async fn pong(&mut self, payload: Bytes) -> io::Result<()> {
        self.frame(Frame::pong(payload)).await
    }

    /// Says that the application is gone.
    pub(super) async fn close(&mut self) -> io::Result<()> {
        self.frame(Frame::close(None)).await
    }

    async fn frame(&mut self, mut frame: Frame) -> io::Result<()> {
        // Nobody may know the mask before (section 5.3).
        let mut mask = [0; 4];
        OsRng.try_fill_bytes(&mut mask).map_err(io::Error::other)?;
        frame.header_mut().mask = Some(mask);
        let mut out = Vec::with_capacity(frame.len());
        frame.format(&mut out).map_err(io::Error::other)?;
        self.to.write_all(&out).await?;
        self.to.flush().await
    }
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the node sent {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_all(bytes: &[u8]) -> (Vec<Message>, io::ErrorKind) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let mut reader = Reader::new(bytes);
            let mut messages = Vec::new();
            loop {
                match reader.next().await {
                    Ok(message) => messages.push(message),
                    Err(error) => return (messages, error.kind()),
                }
            }
        })
    }

    #[test]
    fn a_ping_between_the_parts_of_a_text_is_heard_and_not_answered() {
        let bytes = b"\x01\x02ab\x89\x01p\x80\x01c";
        let (messages, end) = read_all(bytes);
        let ping = Message::Ping(Bytes::from_static(b"p"));
        assert_eq!(messages, [ping, Message::Text("abc".to_owned())]);
        assert_eq!(end, io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn what_a_server_must_not_send_ends_the_connection() {
        let wrong: [&[u8]; 8] = [
            b"\x81\x81\0\0\0\0a",          // masked
            b"\xc1\x01a",                  // a reserved bit
            b"\x82\x01a",                  // binary
            b"\x80\x01a",                  // goes on with nothing
            b"\x01\x01a\x81\x01b",         // a second beginning
            b"\x89\x7e\x00\x7e",           // a ping of 126 bytes
            b"\x81\x7f\0\0\0\0\0\x41\0\0", // over 4 MiB
            b"\x81\x01\xff",               // not UTF-8
        ];
        for bytes in wrong {
            assert_eq!(read_all(bytes), (vec![], io::ErrorKind::InvalidData), "{bytes:02x?}");
        }
    }

    #[test]
    fn what_is_written_is_masked_and_whole() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let mut out = Vec::new();
        runtime.block_on(async {
            let mut writer = Writer::new(&mut out);
            writer.text("hi".to_owned()).await.expect("room");
            writer.pong(Bytes::from_static(b"p")).await.expect("room");
            writer.close().await.expect("room");
        });
        assert_eq!(out.len(), 8 + 7 + 6);
        for (at, begin, payload) in [(0, b"\x81\x82", &b"hi"[..]), (8, b"\x8a\x81", b"p")] {
            assert_eq!(out[at..at + 2], *begin);
            let (mask, masked) = out[at + 2..].split_at(4);
            let plain: Vec<u8> = masked.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect();
            assert_eq!(plain[..payload.len()], *payload);
        }
        assert_eq!(out[15..17], *b"\x88\x80");
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_an_error_and_nothing_else(
            bytes in prop::collection::vec(any::<u8>(), 0..400),
        ) {
            let (_, end) = read_all(&bytes);
            let known = [io::ErrorKind::InvalidData, io::ErrorKind::UnexpectedEof];
            prop_assert!(known.contains(&end));
        }
    }
}
