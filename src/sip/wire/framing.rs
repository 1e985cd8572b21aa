//! Cuts a stream into messages (RFC 3261 section 18.3).
//!
//! On a stream Content-Length alone says where a message ends, so it must be there, once, and a
//! plain number; with anything else the place of the next message is unknown and the connection is
//! lost. Empty lines between messages are keep-alives (RFC 5626 section 4.4.1).
//!
//! The deadline by which a message must be complete belongs to the owner of the connection:
//! [`Framer::is_waiting`] tells whether one has begun.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memmem;

use super::limits::STREAM_MESSAGE_MAX;
use super::names::canonical;
use super::{Malformed, Text, content_length};

/// Bytes of one connection on their way to messages.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: BytesMut,
    /// Up to here there is no empty line; what was searched is not searched again.
    searched: usize,
    /// Length of the message at the start of the buffer, known once its header is complete.
    length: Option<usize>,
    pings: u32,
    lost: Option<Malformed>,
}

impl Framer {
    /// Nothing received yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes. Call [`Framer::next`] until `None` after each.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.lost.is_none() {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next whole message. After an error every call gives the same error.
    #[expect(clippy::should_implement_trait, reason = "an error is not an end, as in an Iterator")]
    pub fn next(&mut self) -> Result<Option<Bytes>, Malformed> {
        if let Some(lost) = self.lost {
            return Err(lost);
        }
        self.cut().inspect_err(|what| {
            self.lost = Some(*what);
            self.buffer = BytesMut::new();
        })
    }

    /// Keep-alives (double CRLF) received since the last call; each wants a CRLF in return.
    pub fn take_pings(&mut self) -> u32 {
        std::mem::take(&mut self.pings)
    }

    /// Whether a message has begun and is not complete.
    pub fn is_waiting(&self) -> bool {
        !self.buffer.is_empty()
    }

    fn cut(&mut self) -> Result<Option<Bytes>, Malformed> {
        if self.length.is_none() {
            self.skip_keep_alives();
            self.length = self.measure()?;
        }
        match self.length {
            Some(length) if self.buffer.len() >= length => {
                self.length = None;
                self.searched = 0;
                Ok(Some(self.buffer.split_to(length).freeze()))
            }
            _ => Ok(None),
        }
    }

    fn skip_keep_alives(&mut self) {
        let pairs = self.buffer.chunks(2).take_while(|pair| *pair == b"\r\n").count();
        let pings = pairs / 2;
        // An odd CRLF waits for its other half, unless a message follows it.
        let next = self.buffer.get(pairs * 2);
        let odd = pairs % 2 == 1 && next.is_some_and(|b| *b != b'\r');
        let skipped = if odd { pairs * 2 } else { pings * 4 };
        self.pings = self.pings.saturating_add(u32::try_from(pings).unwrap_or(u32::MAX));
        self.buffer.advance(skipped);
    }

    /// Length of the message at the start of the buffer, once its header is complete.
    fn measure(&mut self) -> Result<Option<usize>, Malformed> {
        let from = self.searched.saturating_sub(3).min(self.buffer.len());
        let Some(found) = memmem::find(&self.buffer[from..], b"\r\n\r\n") else {
            self.searched = self.buffer.len();
            let full = self.buffer.len() > STREAM_MESSAGE_MAX;
            return if full { Err(Malformed("stream: header too long")) } else { Ok(None) };
        };
        let head = from + found + 4;
        let length = declared_length(&self.buffer[..head])?;
        match head.checked_add(length) {
            Some(total) if total <= STREAM_MESSAGE_MAX => Ok(Some(total)),
            _ => Err(Malformed("stream: message too long")),
        }
    }
}

/// Content-Length of a header block: there, once, and a number.
fn declared_length(head: &[u8]) -> Result<usize, Malformed> {
    let mut found = None;
    for line in head.split(|b| *b == b'\n') {
        let Some(colon) = line.iter().position(|b| *b == b':') else { continue };
        let name = std::str::from_utf8(line[..colon].trim_ascii_end()).unwrap_or_default();
        if canonical(name) != "Content-Length" {
            continue;
        }
        let value = Text::from_wire(Bytes::copy_from_slice(line[colon + 1..].trim_ascii()));
        let length = content_length(value.as_str()).ok_or(Malformed("stream: Content-Length"))?;
        if found.replace(length).is_some() {
            return Err(Malformed("stream: two Content-Length"));
        }
    }
    found.ok_or(Malformed("stream: no Content-Length"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &[u8] = b"OPTIONS sip:a SIP/2.0\r\nl : 3\r\n\r\nabc";

    #[test]
    fn messages_come_out_whole_however_they_are_cut() {
        let stream = [MESSAGE, b"\r\n\r\n", MESSAGE, b"\r\n", MESSAGE].concat();
        for step in 1..stream.len() {
            let mut framer = Framer::new();
            let mut messages = Vec::new();
            for chunk in stream.chunks(step) {
                framer.push(chunk);
                while let Some(message) = framer.next().expect("well formed") {
                    messages.push(message);
                }
            }
            assert_eq!(messages, [MESSAGE; 3], "cut every {step} bytes");
            assert_eq!(framer.take_pings(), 1);
            assert!(!framer.is_waiting());
        }
    }

    #[test]
    fn a_stream_without_exact_length_is_lost() {
        for head in ["", "Content-Length: -1\r\n", "l: 1\r\nContent-Length: 1\r\n", "l: 99999\r\n"]
        {
            let mut framer = Framer::new();
            framer.push(format!("OPTIONS sip:a SIP/2.0\r\n{head}\r\n").as_bytes());
            let first = framer.next();
            assert!(first.is_err(), "{head:?}");
            framer.push(MESSAGE);
            assert_eq!(framer.next(), first, "a lost stream stays lost");
        }
    }

    #[test]
    fn an_endless_header_is_refused() {
        let mut framer = Framer::new();
        for _ in 0..STREAM_MESSAGE_MAX / 16 {
            framer.push(b"X-Padding: 4567\r");
            assert_eq!(framer.next(), Ok(None));
        }
        framer.push(b"X");
        assert!(framer.next().is_err());
    }
}
