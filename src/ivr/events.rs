//! Events as ARI names them, as one JSON text each.
//!
//! Only types that the served model list names may leave (two client libraries die of any other),
//! and only fields that those models name (one library refuses others). StasisStart never carries
//! `replace_channel`, although its model names it: one library needs it in the model, another
//! breaks on it in the event.

use serde::Serialize;
use serde_json::{Map, Value};

use super::model::{ChannelView, PlaybackView, RecordingView, json};
use super::timestamp::Timestamp;

/// What happened, as the served models describe it.
#[derive(Serialize)]
#[serde(tag = "type")]
pub(super) enum Body<'a> {
    StasisStart {
        args: &'a [String],
        channel: ChannelView<'a>,
    },
    StasisEnd {
        channel: ChannelView<'a>,
    },
    ChannelStateChange {
        channel: ChannelView<'a>,
    },
    ChannelDtmfReceived {
        digit: char,
        duration_ms: u32,
        channel: ChannelView<'a>,
    },
    ChannelVarset {
        variable: &'a str,
        value: &'a str,
        channel: ChannelView<'a>,
    },
    ChannelHold {
        channel: ChannelView<'a>,
    },
    ChannelUnhold {
        channel: ChannelView<'a>,
    },
    ChannelHangupRequest {
        cause: u8,
        soft: bool,
        channel: ChannelView<'a>,
    },
    ChannelDestroyed {
        cause: u8,
        cause_txt: &'static str,
        channel: ChannelView<'a>,
    },
    ApplicationMoveFailed {
        destination: &'a str,
        args: &'a [String],
        channel: ChannelView<'a>,
    },
    ChannelUserevent {
        eventname: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        channel: Option<ChannelView<'a>>,
        userevent: &'a Map<String, Value>,
    },
    PlaybackStarted {
        playback: PlaybackView<'a>,
    },
    PlaybackContinuing {
        playback: PlaybackView<'a>,
    },
    PlaybackFinished {
        playback: PlaybackView<'a>,
    },
    RecordingStarted {
        recording: RecordingView<'a>,
    },
    RecordingFinished {
        recording: RecordingView<'a>,
    },
    RecordingFailed {
        recording: RecordingView<'a>,
    },
    #[serde(rename = "RESTResponse")]
    RestResponse {
        transaction_id: &'a str,
        request_id: &'a str,
        status_code: u16,
        reason_phrase: &'static str,
        uri: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        content_type: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        message_body: Option<&'a str>,
    },
}

#[derive(Serialize)]
struct Envelope<'a> {
    #[serde(flatten)]
    body: &'a Body<'a>,
    application: &'a str,
    timestamp: Timestamp,
    asterisk_id: &'a str,
}

/// The text of an event.
pub(super) fn text(
    body: &Body<'_>,
    application: &str,
    timestamp: Timestamp,
    asterisk_id: &str,
) -> String {
    json(&Envelope { body, application, timestamp, asterisk_id })
}

/// What a Q.850 cause is called.
pub(super) const fn cause_text(cause: u8) -> &'static str {
    match cause {
        1 => "Unallocated number",
        16 => "Normal clearing",
        17 => "User busy",
        18 => "No user responding",
        19 => "No answer from user",
        20 => "Subscriber absent",
        21 => "Call rejected",
        22 => "Number changed",
        26 => "Answered elsewhere",
        27 => "Destination out of order",
        28 => "Invalid number format",
        29 => "Facility rejected",
        31 => "Normal, unspecified",
        34 => "No circuit available",
        38 => "Network out of order",
        41 => "Temporary failure",
        42 => "Switching equipment congestion",
        58 => "Bearer capability not available",
        88 => "Incompatible destination",
        102 => "Recovery on timer expiry",
        127 => "Interworking, unspecified",
        _ => "Unknown",
    }
}
