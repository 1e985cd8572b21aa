//! Every operation of the link: where it is, what it takes, what it answers. Requests are routed
//! by this table and clients are told of it, so the two cannot differ.

use super::Errors;
use super::routes::{
    ApplicationOp, AsteriskOp, ChannelOp, Op, Param, Place, PlaybackOp, RecordingOp, Resource,
    Route,
};

const fn text(name: &'static str, about: &'static str) -> Param {
    Param { name, kind: "string", place: Place::Query, required: false, many: false, about }
}

const fn int(name: &'static str, about: &'static str) -> Param {
    Param { kind: "int", ..text(name, about) }
}

const fn boolean(name: &'static str, about: &'static str) -> Param {
    Param { kind: "boolean", ..text(name, about) }
}

impl Param {
    const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    const fn many(self) -> Self {
        Self { many: true, ..self }
    }
}

const VARIABLE: Param = text("variable", "Name of the variable").required();
const VALUE: Param = text("value", "Its new value; absent: empty");
const VARIABLES: Param = Param {
    kind: "containers",
    place: Place::Body,
    ..text("variables", "Object of names and values, as {\"variables\": {\"NAME\": \"value\"}}")
};
const SOURCE: Param =
    text("eventSource", "channel:ID and the like; has no effect").required().many();
const MEDIA: Param =
    text("media", "sound:, recording:, digits:, number: or tone:, one after the other")
        .required()
        .many();
const LANG: Param = text("lang", "Language of prompts");
const OFFSET: Param = int("offsetms", "Where to begin, in milliseconds");
const SKIP: Param = int("skipms", "Step of forward and reverse, in milliseconds");
const PLAYBACK_ID: Param = text("playbackId", "Id of the playback, chosen by the client");
const ONLY: Param = text("only", "build, system, config, status").many();

const ENDPOINT: Param = text("endpoint", "SIP/EXTENSION, within the allowed patterns").required();
const APP: Param = text("app", "Application that gets the call").required();
const APP_ARGS: Param = text("appArgs", "Its arguments, separated by commas");
const CALLER_ID: Param = text("callerId", "Name <number>");
const TIMEOUT: Param = int("timeout", "Seconds to ring; -1: as long as allowed");
const CHANNEL_ID: Param =
    text("channelId", "First id of the channel, chosen by the client, without a dot");

const ORIGINATE: &[Param] = &[ENDPOINT, APP, APP_ARGS, CALLER_ID, TIMEOUT, CHANNEL_ID, VARIABLES];
const ORIGINATE_WITH_ID: &[Param] = &[ENDPOINT, APP, APP_ARGS, CALLER_ID, TIMEOUT, VARIABLES];

const RECORD: &[Param] = &[
    text("name", "Name of the recording, without directory or ending").required(),
    text("format", "wav").required(),
    int("maxDurationSeconds", "End after this; 0: no limit"),
    int("maxSilenceSeconds", "End after this much silence; 0: no limit"),
    text("ifExists", "fail, overwrite or append"),
    boolean("beep", "Sound a beep first"),
    text("terminateOn", "Key that ends it: none, any, * or #"),
];

const DTMF: &[Param] = &[
    text("dtmf", "Keys to send").required(),
    int("before", "Wait first, in milliseconds"),
    int("between", "Pause between keys, in milliseconds"),
    int("duration", "Length of a key, in milliseconds"),
    int("after", "Wait afterwards, in milliseconds"),
];

const CONTINUE: &[Param] = &[
    text("context", "Has no effect"),
    text("extension", "Where to, if the application is configured to transfer"),
    int("priority", "Has no effect"),
    text("label", "Has no effect"),
];

const HANGUP: &[Param] =
    &[text("reason_code", "Q.850 cause"), text("reason", "Cause by name; not both")];
const MOVE: &[Param] = &[APP, APP_ARGS];
const REDIRECT: &[Param] = &[ENDPOINT];
const DIRECTION: &[Param] = &[text("direction", "both, in or out")];
const OPERATION: &[Param] =
    &[text("operation", "restart, pause, unpause, reverse or forward").required()];
const USER_EVENT: &[Param] = &[
    text("application", "Who gets it").required(),
    text("source", "channel:ID: only the owner of this channel gets it"),
    VARIABLES,
];
const SOCKET: &[Param] = &[
    text("app", "Applications that this instance serves").required().many(),
    boolean("subscribeAll", "Has no effect: an instance hears of its own calls"),
];

const NONE: &[Param] = &[];
const NO_ERRORS: Errors = &[];
const BAD: (u16, &str) = (400, "A parameter is missing or wrong");
const NO_CHANNEL: (u16, &str) = (404, "No such channel, or it was given to another instance");
const ELSEWHERE: (u16, &str) = (409, "Not in an application of this user, or not yet in one");
const TOO_EARLY: (u16, &str) = (412, "The far end is still being called");
const NOT_ALLOWED: (u16, &str) = (403, "The target is not among the allowed patterns");
const NO_TARGET: (u16, &str) = (422, "The target is no extension of the PBX, or not configured");
const CHANNEL: Errors = &[NO_CHANNEL, ELSEWHERE];
const SETTLED: Errors = &[NO_CHANNEL, ELSEWHERE, TOO_EARLY];
const CHECKED: Errors = &[BAD, NO_CHANNEL, ELSEWHERE];
const SOUNDING: Errors = &[BAD, NO_CHANNEL, ELSEWHERE, TOO_EARLY];
const TRANSFER: Errors = &[BAD, NOT_ALLOWED, NO_CHANNEL, ELSEWHERE, TOO_EARLY, NO_TARGET];
const PLACING: Errors = &[
    BAD,
    NOT_ALLOWED,
    (409, "Channel id is in use"),
    NO_TARGET,
    (503, "Too many calls are being placed"),
];
const NO_PLAYBACK: Errors = &[(404, "No such playback, or it is over")];
const CONTROL: Errors = &[BAD, (404, "No such playback, or it is over"), (409, "Has not begun")];
const NO_RECORDING: Errors = &[(404, "No such recording")];
const NO_APPLICATION: Errors = &[(404, "No such application")];
const SUBSCRIBE: Errors = &[BAD, (404, "No such application")];

const fn get(path: &'static str, nickname: &'static str, op: Op) -> Route {
    Route {
        method: "GET",
        path,
        nickname,
        summary: "",
        returns: "void",
        params: NONE,
        errors: NO_ERRORS,
        op,
    }
}

const fn post(path: &'static str, nickname: &'static str, op: Op) -> Route {
    Route { method: "POST", ..get(path, nickname, op) }
}

const fn delete(path: &'static str, nickname: &'static str, op: Op) -> Route {
    Route { method: "DELETE", ..get(path, nickname, op) }
}

impl Route {
    const fn about(self, summary: &'static str) -> Self {
        Self { summary, ..self }
    }

    const fn takes(self, params: &'static [Param]) -> Self {
        Self { params, ..self }
    }

    const fn returns(self, returns: &'static str) -> Self {
        Self { returns, ..self }
    }

    const fn refuses(self, errors: Errors) -> Self {
        Self { errors, ..self }
    }
}

const fn channel(op: ChannelOp) -> Op {
    Op::Channel(op)
}

/// The files that the listing names.
pub(in super::super) const RESOURCES: &[Resource] = &[
    Resource { name: "asterisk", about: "Whom a client talks to" },
    Resource { name: "endpoints", about: "Endpoints: none are shown" },
    Resource { name: "channels", about: "Calls that applications serve" },
    Resource { name: "bridges", about: "Bridges: there are none" },
    Resource { name: "recordings", about: "Recordings of callers" },
    Resource { name: "playbacks", about: "What sounds on channels" },
    Resource { name: "events", about: "Events to applications, and between them" },
    Resource { name: "applications", about: "Applications and their channels" },
];

/// Every operation. Those of one path stand together.
pub(in super::super) const ROUTES: &[Route] = &[
    get("/api-docs/resources.json", "", Op::Listing),
    get("/api-docs/{file}", "", Op::Description),
    get("/events", "eventWebsocket", Op::Socket)
        .about("Open a WebSocket and join the instances of an application")
        .takes(SOCKET)
        .returns("Message")
        .refuses(&[BAD, (403, "Not for this user"), (426, "This is no WebSocket request")]),
    post("/events/user/{eventName}", "userEvent", Op::UserEvent)
        .about("Send an event to instances of an application")
        .takes(USER_EVENT)
        .refuses(&[BAD, (404, "No such application or channel"), (422, "Source is no channel")]),
    get("/channels", "list", channel(ChannelOp::List))
        .about("Channels in applications of this user")
        .returns("List[Channel]"),
    post("/channels", "originate", Op::Originate)
        .about("Place a call")
        .takes(ORIGINATE)
        .returns("Channel")
        .refuses(PLACING),
    get("/channels/{channelId}", "get", channel(ChannelOp::Get))
        .about("One channel")
        .returns("Channel")
        .refuses(CHANNEL),
    post("/channels/{channelId}", "originateWithId", Op::Originate)
        .about("Place a call; its first channel has this id")
        .takes(ORIGINATE_WITH_ID)
        .returns("Channel")
        .refuses(PLACING),
    delete("/channels/{channelId}", "hangup", channel(ChannelOp::Hangup))
        .about("Hang up")
        .takes(HANGUP)
        .refuses(CHECKED),
    post("/channels/{channelId}/answer", "answer", channel(ChannelOp::Answer))
        .about("Answer")
        .refuses(SETTLED),
    post("/channels/{channelId}/ring", "ring", channel(ChannelOp::Ring(true)))
        .about("Let the caller hear ringing")
        .refuses(CHANNEL),
    delete("/channels/{channelId}/ring", "ringStop", channel(ChannelOp::Ring(false)))
        .about("End the ringing")
        .refuses(CHANNEL),
    post("/channels/{channelId}/play", "play", channel(ChannelOp::Play))
        .about("Play after what waits; answer first if nobody did")
        .takes(&[MEDIA, LANG, OFFSET, SKIP, PLAYBACK_ID])
        .returns("Playback")
        .refuses(SOUNDING),
    post("/channels/{channelId}/play/{playbackId}", "playWithId", channel(ChannelOp::Play))
        .about("Play under this id; the same id on the same channel is the same playback")
        .takes(&[MEDIA, LANG, OFFSET, SKIP])
        .returns("Playback")
        .refuses(SOUNDING),
    post("/channels/{channelId}/record", "record", channel(ChannelOp::Record))
        .about("Record the caller")
        .takes(RECORD)
        .returns("LiveRecording")
        .refuses(&[
            BAD,
            NO_CHANNEL,
            (409, "Recorded already, or the name exists"),
            TOO_EARLY,
            (422, "Not wav"),
        ]),
    get("/channels/{channelId}/variable", "getChannelVar", channel(ChannelOp::GetVariable))
        .about("Value of a variable")
        .takes(&[VARIABLE])
        .returns("Variable")
        .refuses(&[BAD, (404, "No such channel or variable"), ELSEWHERE]),
    post("/channels/{channelId}/variable", "setChannelVar", channel(ChannelOp::SetVariable))
        .about("Set a variable")
        .takes(&[VARIABLE, VALUE])
        .refuses(CHECKED),
    post("/channels/{channelId}/dtmf", "sendDTMF", channel(ChannelOp::Dtmf))
        .about("Send digits to the caller")
        .takes(DTMF)
        .refuses(SOUNDING),
    post("/channels/{channelId}/continue", "continueInDialplan", channel(ChannelOp::Continue))
        .about("Leave the application: what follows is configured for it")
        .takes(CONTINUE)
        .refuses(SETTLED),
    post("/channels/{channelId}/redirect", "redirect", channel(ChannelOp::Redirect))
        .about("Transfer to an extension")
        .takes(REDIRECT)
        .refuses(TRANSFER),
    post("/channels/{channelId}/move", "move", channel(ChannelOp::Move))
        .about("Hand the call to another application")
        .takes(MOVE)
        .refuses(&[BAD, NO_CHANNEL, ELSEWHERE, TOO_EARLY, NO_TARGET]),
    post("/channels/{channelId}/moh", "startMoh", channel(ChannelOp::Moh(true)))
        .about("Start hold music")
        .takes(&[text("mohClass", "Has no effect")])
        .refuses(SETTLED),
    delete("/channels/{channelId}/moh", "stopMoh", channel(ChannelOp::Moh(false)))
        .about("Stop hold music")
        .refuses(SETTLED),
    post("/channels/{channelId}/silence", "startSilence", channel(ChannelOp::Silence(true)))
        .about("Stop what sounds")
        .refuses(SETTLED),
    delete("/channels/{channelId}/silence", "stopSilence", channel(ChannelOp::Silence(false)))
        .about("End the silence")
        .refuses(SETTLED),
    post("/channels/{channelId}/hold", "hold", channel(ChannelOp::Hold(true)))
        .about("Hold the far end")
        .refuses(SETTLED),
    delete("/channels/{channelId}/hold", "unhold", channel(ChannelOp::Hold(false)))
        .about("Take the far end back")
        .refuses(SETTLED),
    post("/channels/{channelId}/mute", "mute", channel(ChannelOp::Mute(true)))
        .about("Mute")
        .takes(DIRECTION)
        .refuses(SOUNDING),
    delete("/channels/{channelId}/mute", "unmute", channel(ChannelOp::Mute(false)))
        .about("End the muting")
        .takes(DIRECTION)
        .refuses(SOUNDING),
    get("/playbacks/{playbackId}", "get", Op::Playback(PlaybackOp::Get))
        .about("One playback")
        .returns("Playback")
        .refuses(NO_PLAYBACK),
    delete("/playbacks/{playbackId}", "stop", Op::Playback(PlaybackOp::Stop))
        .about("Stop it")
        .refuses(NO_PLAYBACK),
    post("/playbacks/{playbackId}/control", "control", Op::Playback(PlaybackOp::Control))
        .about("Act on it")
        .takes(OPERATION)
        .refuses(CONTROL),
    get("/recordings/stored", "listStored", Op::Recording(RecordingOp::ListStored))
        .about("Recordings made since the gateway started")
        .returns("List[StoredRecording]"),
    get("/recordings/stored/{recordingName}", "getStored", Op::Recording(RecordingOp::GetStored))
        .about("One of them")
        .returns("StoredRecording")
        .refuses(NO_RECORDING),
    get("/recordings/live/{recordingName}", "getLive", Op::Recording(RecordingOp::GetLive))
        .about("A recording that runs")
        .returns("LiveRecording")
        .refuses(NO_RECORDING),
    delete("/recordings/live/{recordingName}", "cancel", Op::Recording(RecordingOp::Cancel))
        .about("End it and throw it away")
        .refuses(NO_RECORDING),
    post("/recordings/live/{recordingName}/stop", "stop", Op::Recording(RecordingOp::Stop))
        .about("End it and keep it")
        .refuses(NO_RECORDING),
    get("/applications", "list", Op::Application(ApplicationOp::List))
        .about("Applications of this user")
        .returns("List[Application]"),
    get("/applications/{applicationName}", "get", Op::Application(ApplicationOp::Get))
        .about("One application")
        .returns("Application")
        .refuses(NO_APPLICATION),
    post(
        "/applications/{applicationName}/subscription",
        "subscribe",
        Op::Application(ApplicationOp::Subscribe),
    )
    .about("Has no effect: an instance hears of its own channels")
    .takes(&[SOURCE])
    .returns("Application")
    .refuses(SUBSCRIBE),
    delete(
        "/applications/{applicationName}/subscription",
        "unsubscribe",
        Op::Application(ApplicationOp::Subscribe),
    )
    .about("Has no effect")
    .takes(&[SOURCE])
    .returns("Application")
    .refuses(SUBSCRIBE),
    get("/asterisk/info", "getInfo", Op::Asterisk(AsteriskOp::Info))
        .about("The gateway")
        .takes(&[ONLY])
        .returns("AsteriskInfo"),
    get("/asterisk/ping", "ping", Op::Asterisk(AsteriskOp::Ping))
        .about("An answer at once")
        .returns("AsteriskPing"),
    get("/asterisk/variable", "getGlobalVar", Op::Asterisk(AsteriskOp::GetGlobal))
        .about("Value of a global variable; empty if nobody set it")
        .takes(&[VARIABLE])
        .returns("Variable")
        .refuses(&[BAD]),
    post("/asterisk/variable", "setGlobalVar", Op::Asterisk(AsteriskOp::SetGlobal))
        .about("Set a global variable of this node")
        .takes(&[VARIABLE, VALUE])
        .refuses(&[BAD]),
    get("/bridges", "list", Op::Nothing).about("There are none").returns("List[Bridge]"),
    get("/bridges/{bridgeId}", "get", Op::NoBridge)
        .about("There is none")
        .returns("Bridge")
        .refuses(&[(404, "There is none")]),
    get("/endpoints", "list", Op::Nothing).about("None are shown").returns("List[Endpoint]"),
    get("/endpoints/{tech}", "listByTech", Op::Nothing)
        .about("None are shown")
        .returns("List[Endpoint]"),
    get("/endpoints/{tech}/{resource}", "get", Op::NoEndpoint)
        .about("None is shown")
        .returns("Endpoint")
        .refuses(&[(404, "None is shown")]),
];
