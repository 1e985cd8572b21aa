//! The models that clients are told of: every field that responses and events have, and a few
//! that they never have but that a library looks for.

/// One model.
#[derive(Debug)]
pub(in super::super) struct Model {
    /// The description file that carries it.
    pub resource: &'static str,
    pub id: &'static str,
    pub about: &'static str,
    pub shape: Shape,
    pub fields: &'static [Field],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Shape {
    Plain,
    /// Has [`EVENT_FIELDS`] too.
    Event,
}

/// One field of a model.
#[derive(Debug)]
pub(in super::super) struct Field {
    pub name: &'static str,
    pub kind: &'static str,
    pub required: bool,
    pub about: &'static str,
}

const fn must(name: &'static str, kind: &'static str, about: &'static str) -> Field {
    Field { name, kind, required: true, about }
}

const fn may(name: &'static str, kind: &'static str, about: &'static str) -> Field {
    Field { name, kind, required: false, about }
}

const fn plain(
    resource: &'static str,
    id: &'static str,
    about: &'static str,
    fields: &'static [Field],
) -> Model {
    Model { resource, id, about, shape: Shape::Plain, fields }
}

const fn event(id: &'static str, about: &'static str, fields: &'static [Field]) -> Model {
    Model { resource: "events", id, about, shape: Shape::Event, fields }
}

/// What all events have.
pub(in super::super) const EVENT_FIELDS: &[Field] = &[
    must("type", "string", "Name of the event's model"),
    must("application", "string", "The application that the instance serves"),
    must("timestamp", "Date", "When it happened"),
    may("asterisk_id", "string", "The cluster; equal on all its nodes"),
];

const CHANNEL: Field = must("channel", "Channel", "The channel as it is now");
const PLAYBACK: &[Field] = &[must("playback", "Playback", "The playback as it is now")];
const RECORDING: &[Field] = &[must("recording", "LiveRecording", "The recording as it is now")];

const CHANNEL_FIELDS: &[Field] = &[
    must("id", "string", "Its id: the call and the number of its offer"),
    must("name", "string", "A name for people"),
    must("state", "string", "Down, Ring, Ringing or Up"),
    must("protocol_id", "string", "Stays with the call when its id changes"),
    must("caller", "CallerID", "Who calls"),
    must("connected", "CallerID", "Who was called"),
    must("accountcode", "string", "Always empty"),
    must("dialplan", "DialplanCEP", "Where it entered"),
    must("creationtime", "Date", "When the call began"),
    must("language", "string", "Language of its prompts"),
    may("channelvars", "object", "GW_CALL, GW_GENERATION, GW_REASON, GW_CHECKPOINT"),
];

const LIVE_RECORDING_FIELDS: &[Field] = &[
    must("name", "string", "Its name"),
    must("format", "string", "wav"),
    must("target_uri", "string", "channel:ID"),
    must("state", "string", "queued, recording, done, failed or canceled"),
    may("duration", "int", "Whole seconds, when it is over"),
];

const REST_RESPONSE_FIELDS: &[Field] = &[
    must("transaction_id", "string", "Repeated from the request"),
    must("request_id", "string", "Repeated from the request"),
    must("status_code", "int", "Status as over HTTP"),
    must("reason_phrase", "string", "Its name"),
    must("uri", "string", "Repeated from the request"),
    may("content_type", "string", "Kind of the body"),
    may("message_body", "string", "The body as over HTTP"),
];

/// Every model.
pub(in super::super) const MODELS: &[Model] = &[
    plain("channels", "Channel", "A call that an application serves", CHANNEL_FIELDS),
    plain(
        "channels",
        "CallerID",
        "Name and number of a party",
        &[must("name", "string", "Its name"), must("number", "string", "Its number")],
    ),
    plain(
        "channels",
        "DialplanCEP",
        "Where a call entered",
        &[
            must("context", "string", "Always default"),
            must("exten", "string", "Extension of the port"),
            must("priority", "long", "Always 1"),
            must("app_name", "string", "Always Stasis"),
            must("app_data", "string", "The application and its arguments"),
        ],
    ),
    plain("channels", "Variable", "Value of a variable", &[must("value", "string", "The value")]),
    plain(
        "playbacks",
        "Playback",
        "Something that sounds on a channel",
        &[
            must("id", "string", "Its id"),
            must("media_uri", "string", "The piece that sounds, or will be the first to"),
            may("next_media_uri", "string", "The piece after that one, if it is not the last"),
            must("target_uri", "string", "channel:ID"),
            may("language", "string", "Language of its prompts"),
            must("state", "string", "queued, playing, continuing, done or failed"),
        ],
    ),
    plain("recordings", "LiveRecording", "A recording that runs", LIVE_RECORDING_FIELDS),
    plain(
        "recordings",
        "StoredRecording",
        "A recording that is over",
        &[must("name", "string", "Its name"), must("format", "string", "wav")],
    ),
    plain(
        "applications",
        "Application",
        "An application and its channels",
        &[
            must("name", "string", "Its name"),
            must("channel_ids", "List[string]", "Its channels"),
            must("bridge_ids", "List[string]", "Always empty"),
            must("endpoint_ids", "List[string]", "Always empty"),
            must("device_names", "List[string]", "Always empty"),
            must("events_allowed", "List[object]", "Always empty: all events"),
            must("events_disallowed", "List[object]", "Always empty: no event"),
        ],
    ),
    plain(
        "bridges",
        "Bridge",
        "Channels that hear each other; there is none",
        &[must("id", "string", "Its id"), must("channels", "List[string]", "Its channels")],
    ),
    plain(
        "endpoints",
        "Endpoint",
        "A telephone; none is shown",
        &[
            must("technology", "string", "SIP"),
            must("resource", "string", "Its extension"),
            may("state", "string", "Whether it is there"),
            must("channel_ids", "List[string]", "Its channels"),
        ],
    ),
    plain(
        "asterisk",
        "AsteriskInfo",
        "The gateway",
        &[
            may("build", "BuildInfo", "How it was made"),
            may("system", "SystemInfo", "What it is"),
            may("config", "ConfigInfo", "How it is set up"),
            may("status", "StatusInfo", "Since when it runs"),
        ],
    ),
    plain(
        "asterisk",
        "BuildInfo",
        "How the gateway was made",
        &[
            must("os", "string", "Operating system"),
            must("kernel", "string", "Always empty"),
            must("options", "string", "Always empty"),
            must("machine", "string", "Processor"),
            must("date", "string", "Always empty"),
            must("user", "string", "Always empty"),
        ],
    ),
    plain(
        "asterisk",
        "SystemInfo",
        "What the gateway is",
        &[
            must("version", "string", "Name and version"),
            must("entity_id", "string", "The cluster; as asterisk_id of events"),
        ],
    ),
    plain(
        "asterisk",
        "ConfigInfo",
        "How the gateway is set up",
        &[
            must("name", "string", "Name of the node"),
            must("default_language", "string", "Language of prompts"),
            must("setid", "SetId", "Always empty"),
        ],
    ),
    plain(
        "asterisk",
        "SetId",
        "Whom the process runs as",
        &[must("user", "string", "Always empty"), must("group", "string", "Always empty")],
    ),
    plain(
        "asterisk",
        "StatusInfo",
        "Since when the gateway runs",
        &[
            must("startup_time", "Date", "Start of the process"),
            must("last_reload_time", "Date", "The same"),
        ],
    ),
    plain(
        "asterisk",
        "AsteriskPing",
        "An answer at once",
        &[
            must("timestamp", "Date", "Time at the gateway"),
            must("ping", "string", "pong"),
            must("asterisk_id", "string", "The cluster"),
        ],
    ),
    plain("asterisk", "Variable", "Value of a variable", &[must("value", "string", "The value")]),
    plain(
        "events",
        "Message",
        "Anything that comes on the WebSocket",
        &[must("type", "string", "Name of its model"), may("asterisk_id", "string", "The cluster")],
    ),
    event("Event", "Anything that happened", &[]),
    event(
        "StasisStart",
        "A call is offered: do something with it within two seconds",
        &[
            must("args", "List[string]", "Arguments of the application"),
            CHANNEL,
            may("replace_channel", "Channel", "Never sent"),
        ],
    ),
    event("StasisEnd", "The channel is no longer this instance's", &[CHANNEL]),
    event("ChannelStateChange", "The channel changed its state", &[CHANNEL]),
    event(
        "ChannelDtmfReceived",
        "The caller pressed a key",
        &[must("digit", "string", "The key"), must("duration_ms", "int", "How long"), CHANNEL],
    ),
    event(
        "ChannelVarset",
        "A variable was set",
        &[
            must("variable", "string", "Its name"),
            must("value", "string", "Its value"),
            may("channel", "Channel", "The channel as it is now"),
        ],
    ),
    event(
        "ChannelHold",
        "The far end holds the call",
        &[CHANNEL, may("musicclass", "string", "Never sent")],
    ),
    event("ChannelUnhold", "The far end took the call back", &[CHANNEL]),
    event(
        "ChannelHangupRequest",
        "The far end hung up",
        &[may("cause", "int", "Q.850 cause"), may("soft", "boolean", "Always false"), CHANNEL],
    ),
    event(
        "ChannelDestroyed",
        "The call is over",
        &[must("cause", "int", "Q.850 cause"), must("cause_txt", "string", "Its name"), CHANNEL],
    ),
    event(
        "ApplicationMoveFailed",
        "Nobody serves the application that the channel was to move to: it stays where it is",
        &[
            must("destination", "string", "That application"),
            must("args", "List[string]", "The arguments for it"),
            CHANNEL,
        ],
    ),
    event(
        "ChannelUserevent",
        "Sent by an application",
        &[
            must("eventname", "string", "Its name"),
            may("channel", "Channel", "Its source"),
            may("bridge", "object", "Never sent"),
            may("endpoint", "object", "Never sent"),
            must("userevent", "object", "Its variables"),
        ],
    ),
    event("PlaybackStarted", "A playback began to sound", PLAYBACK),
    event("PlaybackContinuing", "The next URI of a playback began to sound", PLAYBACK),
    event("PlaybackFinished", "A playback is over", PLAYBACK),
    event("RecordingStarted", "A recording began", RECORDING),
    event("RecordingFinished", "A recording is over", RECORDING),
    event("RecordingFailed", "A recording could not be written", RECORDING),
    event("RESTResponse", "Answer to a request on the WebSocket", REST_RESPONSE_FIELDS),
];
