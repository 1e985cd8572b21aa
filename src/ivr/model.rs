//! The JSON of responses, and of the things inside events.
//!
//! Clients with typed models decide the shape: no field is ever `null`, a string that ARI knows is
//! always there (`accountcode`, `language`, `creationtime`, `dialplan`, ...), and no field is sent
//! that the served models do not name.

use std::fmt;

use serde::{Serialize, Serializer};

use super::timestamp::Timestamp;

/// Octets that most events take, so that their text does not grow piece by piece. The C library's
/// allocator tidies up its small blocks before it gives out one of 1,008 or more.
const USUAL: usize = 1_000;

/// Serialises one of this module's types.
pub(super) fn json<T: Serialize + ?Sized>(value: &T) -> String {
    let mut text = Vec::with_capacity(USUAL);
    // Fails for maps with keys that are no strings and for a `Serialize` that fails by itself:
    // no type here has either.
    serde_json::to_writer(&mut text, value).expect("types of this room always serialise");
    String::from_utf8(text).expect("JSON is UTF-8")
}

/// Writes a value as the string that it displays as.
pub(super) fn display<T: fmt::Display, S: Serializer>(value: &T, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(value)
}

#[derive(Serialize)]
pub(super) struct ErrorBody<'a> {
    pub message: &'a str,
}

#[derive(Clone, Copy, Serialize)]
pub(super) struct Party<'a> {
    pub name: &'a str,
    pub number: &'a str,
}

#[derive(Clone, Copy, Serialize)]
pub(super) struct Dialplan<'a> {
    pub context: &'static str,
    pub exten: &'a str,
    pub priority: u32,
    pub app_name: &'static str,
    pub app_data: &'a str,
}

/// What the gateway says about an offer, under the names of channel variables.
#[derive(Clone, Copy, Serialize)]
pub(super) struct ChannelVars<'a> {
    #[serde(rename = "GW_CALL")]
    pub call: &'a str,
    #[serde(rename = "GW_GENERATION", serialize_with = "display")]
    pub generation: u32,
    #[serde(rename = "GW_REASON")]
    pub reason: &'a str,
    /// At StasisStart and in answers to GET only: it may be 4 KiB.
    #[serde(rename = "GW_CHECKPOINT", skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<&'a str>,
}

#[derive(Clone, Copy, Serialize)]
pub(super) struct ChannelView<'a> {
    pub id: &'a str,
    pub name: &'a str,
    pub state: &'static str,
    pub protocol_id: &'a str,
    pub caller: Party<'a>,
    pub connected: Party<'a>,
    pub accountcode: &'static str,
    pub dialplan: Dialplan<'a>,
    pub creationtime: Timestamp,
    pub language: &'static str,
    pub channelvars: ChannelVars<'a>,
}

#[derive(Clone, Copy, Serialize)]
pub(super) struct PlaybackView<'a> {
    pub id: &'a str,
    pub media_uri: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_media_uri: Option<&'a str>,
    pub target_uri: TargetUri<'a>,
    pub language: &'a str,
    pub state: &'static str,
}

/// `channel:<id>`
#[derive(Clone, Copy)]
pub(super) struct TargetUri<'a>(pub &'a str);

impl Serialize for TargetUri<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("channel:{}", self.0))
    }
}

#[derive(Clone, Copy, Serialize)]
pub(super) struct RecordingView<'a> {
    pub name: &'a str,
    pub format: &'static str,
    pub target_uri: TargetUri<'a>,
    pub state: &'static str,
    /// Whole seconds, once it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<u64>,
}

#[derive(Serialize)]
pub(super) struct StoredView<'a> {
    pub name: &'a str,
    pub format: &'static str,
}

#[derive(Serialize)]
pub(super) struct ApplicationView<'a> {
    pub name: &'a str,
    pub channel_ids: Vec<&'a str>,
    pub bridge_ids: [&'a str; 0],
    pub endpoint_ids: [&'a str; 0],
    pub device_names: [&'a str; 0],
    pub events_allowed: [&'a str; 0],
    pub events_disallowed: [&'a str; 0],
}

#[derive(Serialize)]
pub(super) struct VariableView<'a> {
    pub value: &'a str,
}

#[derive(Serialize)]
pub(super) struct PingView<'a> {
    pub timestamp: Timestamp,
    pub ping: &'static str,
    pub asterisk_id: &'a str,
}

#[derive(Serialize)]
pub(super) struct InfoView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<BuildInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<SystemInfo<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<ConfigInfo<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<StatusInfo>,
}

#[derive(Serialize)]
pub(super) struct BuildInfo {
    pub os: &'static str,
    pub kernel: &'static str,
    pub options: &'static str,
    pub machine: &'static str,
    pub date: &'static str,
    pub user: &'static str,
}

#[derive(Serialize)]
pub(super) struct SystemInfo<'a> {
    pub version: &'static str,
    pub entity_id: &'a str,
}

#[derive(Serialize)]
pub(super) struct ConfigInfo<'a> {
    pub name: &'a str,
    pub default_language: &'static str,
    pub setid: SetId,
}

#[derive(Serialize)]
pub(super) struct SetId {
    pub user: &'static str,
    pub group: &'static str,
}

#[derive(Serialize)]
pub(super) struct StatusInfo {
    pub startup_time: Timestamp,
    pub last_reload_time: Timestamp,
}
