//! What one call remembers of its descriptions, and how they are written.

use std::net::IpAddr;

use sdp_types::{AddrType, Attribute, Connection, Media, NetType, Session};
use serde::{Deserialize, Serialize};

use super::{Codec, Direction, LocalMedia};

/// One `m=` line of a call: its place never changes (RFC 3264 section 8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Line {
    /// Our audio.
    Audio,
    /// A stream of the far end that we do not speak: port 0.
    Refused {
        /// `video`, `image`, ...
        media: String,
        /// `RTP/AVP`, ...
        proto: String,
        /// Formats as the far end gave them.
        fmt: String,
    },
}

impl Line {
    /// The line of a stream that we refuse.
    pub(super) fn refused(media: &Media) -> Self {
        Self::Refused {
            media: media.media.clone(),
            proto: media.proto.clone(),
            fmt: media.fmt.clone(),
        }
    }

    fn written(&self, audio: &Media) -> Media {
        let Self::Refused { media, proto, fmt } = self else { return audio.clone() };
        let (media, proto, fmt) = (media.clone(), proto.clone(), fmt.clone());
        Media { media, proto, fmt, port: 0, attributes: Vec::new(), ..audio.clone() }
    }
}

/// Our side of the descriptions of one call: the `o=` line and the order of the `m=` lines. Part of
/// a dialog's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    session: u64,
    version: u64,
    /// What was written last, without its `o=` line.
    written: Option<String>,
    /// Every `m=` line of the call.
    pub(super) lines: Vec<Line>,
    /// Payload type that we told the far end for telephone-events; it must not change its meaning.
    pub(super) event: Option<u8>,
}

impl Origin {
    /// Nothing written yet. Keep `session` below 2^31: there are PBXs that read it as an `int`.
    pub const fn new(session: u64) -> Self {
        Self { session, version: 0, written: None, lines: Vec::new(), event: None }
    }

    /// Version of what was written last.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Makes the next description differ for certain from whatever another node has written: with
    /// an old version the far end would keep the old address.
    pub fn leap(&mut self, by: u64) {
        self.version = self.version.saturating_add(by);
        self.written = None;
    }

    /// Writes a description. The version grows only when something else changed
    /// (RFC 3264 section 8).
    pub(super) fn write(&mut self, audio: &Media, address: IpAddr) -> String {
        let lines = if self.lines.is_empty() { vec![Line::Audio] } else { self.lines.clone() };
        let medias: Vec<_> = lines.iter().map(|line| line.written(audio)).collect();
        self.lines = lines;
        let unversioned = self.text(&medias, address, 0);
        if self.written.as_ref() != Some(&unversioned) {
            self.version = self.version.saturating_add(1);
            self.written = Some(unversioned);
        }
        self.text(&medias, address, self.version)
    }

    fn text(&self, medias: &[Media], address: IpAddr, version: u64) -> String {
        let origin = sdp_types::Origin {
            username: Some("-".to_owned()),
            sess_id: self.session.to_string(),
            sess_version: version,
            nettype: NetType::In,
            addrtype: AddrType::from(address),
            unicast_address: address.to_string(),
        };
        let mut session = Session::new(origin, "-");
        session.connection = Some(Connection::from_ip_addr(address));
        session.times = vec![sdp_types::Time { start_time: 0, stop_time: 0, repeats: Vec::new() }];
        session.medias = medias.to_vec();
        let mut bytes = Vec::new();
        // Writing into a Vec cannot fail.
        let _ = session.write(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Our audio line.
pub(super) fn audio(
    local: &LocalMedia,
    codecs: &[Codec],
    event: Option<u8>,
    direction: Direction,
) -> Media {
    let mut formats: Vec<_> = codecs.iter().map(|c| c.payload_type().to_string()).collect();
    let mut attributes: Vec<_> =
        codecs.iter().map(|c| rtpmap(c.payload_type(), c.encoding())).collect();
    if let Some(pt) = event {
        formats.push(pt.to_string());
        attributes.push(rtpmap(pt, "telephone-event"));
        attributes.push(attribute("fmtp", Some(format!("{pt} 0-15"))));
    }
    attributes.push(attribute("ptime", Some("20".to_owned())));
    attributes.push(attribute(direction.name(), None));
    Media {
        media: "audio".to_owned(),
        port: local.udp_port,
        num_ports: None,
        proto: "RTP/AVP".to_owned(),
        fmt: formats.join(" "),
        media_title: None,
        connections: Vec::new(),
        bandwidths: Vec::new(),
        key: None,
        attributes,
    }
}

fn rtpmap(pt: u8, encoding: &str) -> Attribute {
    attribute("rtpmap", Some(format!("{pt} {encoding}/8000")))
}

fn attribute(name: &str, value: Option<String>) -> Attribute {
    Attribute { attribute: name.to_owned(), value }
}
