//! An IVR application: a menu that answers, plays, takes digits, acknowledges and checkpoints.
//!
//! It speaks ARI as any client does, events in and `RESTRequest` out, on one WebSocket. Its moods
//! are the ways in which real applications fail while their connection stays up. The keys A to D,
//! which no ordinary phone has, make it transfer the call, move it to the application `basic`,
//! leave it and hang up.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How the application works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// As it should.
    Working,
    /// Reads its events and does nothing: the library pongs, the handlers are stuck.
    Livelocked,
}

/// What the application says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// It was given a call.
    Started {
        /// `GW_CALL`
        call: String,
        /// It had another owner before.
        rebound: bool,
    },
    /// It took a digit; the gateway accepted the acknowledgement.
    Acknowledged {
        /// `GW_CALL`
        call: String,
        /// The digits of the call so far, those of earlier owners among them.
        digits: String,
    },
    /// A command was refused with 404: the call belongs to somebody else.
    Refused {
        /// `GW_CALL`
        call: String,
    },
    /// Its call was taken away, or ended.
    Ended {
        /// `GW_CALL`
        call: String,
    },
}

/// What the application does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a text message on the WebSocket.
    Text(String),
    /// Something to note.
    Event(Event),
}

#[derive(Debug)]
struct Channel {
    call: String,
    /// Keys of the whole call: what the checkpoint carries.
    digits: String,
    /// Keys taken under this channel id: what `GW_ACK` counts.
    taken: u32,
    /// Playbacks that a key stops.
    playing: Vec<String>,
}

/// Begins the id of a request to stop a playback; all others begin with their channel.
const STOP: &str = "stop/";

/// The parts of an event that this application looks at.
#[derive(Debug, Deserialize)]
struct Message {
    #[serde(rename = "type")]
    kind: String,
    channel: Option<ChannelPart>,
    digit: Option<String>,
    playback: Option<PlaybackPart>,
    request_id: Option<String>,
    status_code: Option<u16>,
}

#[derive(Debug, Deserialize)]
struct ChannelPart {
    id: String,
    #[serde(default)]
    channelvars: BTreeMap<String, Value>,
}

#[derive(Debug, Deserialize)]
struct PlaybackPart {
    id: String,
    target_uri: String,
}

/// One application process.
#[derive(Debug)]
pub struct App {
    mood: Mood,
    /// Sets `GW_ACK` and `GW_CHECKPOINT`.
    acknowledges: bool,
    /// What a caller hears first, and again and again: a prompt's name.
    menu: String,
    /// Its menu goes on whatever comes: keys sound of nothing, and a promotion begins nothing anew.
    steady: bool,
    /// Stops its playbacks when a key comes, for a peer that does not do that by itself.
    stops_playbacks: bool,
    channels: BTreeMap<String, Channel>,
    /// Acknowledgements whose answer has not come, by request id.
    pending: BTreeMap<String, (String, Event)>,
    next_request: u64,
    outputs: VecDeque<Output>,
}

impl App {
    /// An application that has just connected.
    pub fn new(acknowledges: bool) -> Self {
        Self {
            mood: Mood::Working,
            acknowledges,
            menu: "menu".to_owned(),
            steady: false,
            stops_playbacks: false,
            channels: BTreeMap::new(),
            pending: BTreeMap::new(),
            next_request: 0,
            outputs: VecDeque::new(),
        }
    }

    /// Changes how it works.
    pub fn set_mood(&mut self, mood: Mood) {
        self.mood = mood;
    }

    /// Another prompt as menu, so that a caller can hear who serves the call.
    pub fn set_menu(&mut self, prompt: &str) {
        prompt.clone_into(&mut self.menu);
    }

    /// From here on its menu goes on whatever comes.
    pub fn stay_steady(&mut self) {
        self.steady = true;
    }

    /// From here on a key stops what is playing.
    pub fn stop_playbacks_at_keys(&mut self) {
        self.stops_playbacks = true;
    }

    /// Calls that it believes to have.
    pub fn calls(&self) -> usize {
        self.channels.len()
    }

    /// Takes a text message of the WebSocket. What it does not know it ignores, as clients do.
    pub fn handle_text(&mut self, text: &str) {
        if self.mood == Mood::Livelocked {
            return;
        }
        let Ok(message) = serde_json::from_str::<Message>(text) else { return };
        match message.kind.as_str() {
            "StasisStart" => self.start(message.channel),
            "ChannelDtmfReceived" => self.digit(message.channel, message.digit),
            "PlaybackFinished" => self.finished(message.playback),
            "StasisEnd" => self.end(message.channel),
            "RESTResponse" => self.answered(message.request_id, message.status_code),
            _ => {}
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn start(&mut self, channel: Option<ChannelPart>) {
        let Some(ChannelPart { id, channelvars }) = channel else { return };
        let variable = |name: &str| {
            channelvars.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let (call, digits) = (variable("GW_CALL"), variable("GW_CHECKPOINT"));
        let reason = variable("GW_REASON");
        let rebound = reason != "new";
        self.event(Event::Started { call: call.clone(), rebound });
        self.channels.insert(id.clone(), Channel { call, digits, taken: 0, playing: Vec::new() });
        self.request(&id, "answer", "");
        if self.acknowledges {
            // Known as one that acknowledges before the first digit, so that not even that one is
            // lost when this process dies of it.
            self.request(&id, "variable", "variable=GW_ACK&value=0");
        }
        if !(self.steady && reason == "promotion") {
            self.play_menu(&id);
        }
    }

    fn digit(&mut self, channel: Option<ChannelPart>, digit: Option<String>) {
        let (Some(ChannelPart { id, .. }), Some(digit)) = (channel, digit) else { return };
        let Some(channel) = self.channels.get_mut(&id) else { return };
        channel.digits.push_str(&digit);
        channel.taken += 1;
        let stopped = std::mem::take(&mut channel.playing);
        let (digits, taken, call) = (channel.digits.clone(), channel.taken, channel.call.clone());
        for playback in stopped {
            self.stop(&playback);
        }
        if self.acknowledges {
            let encoded = digits.replace('#', "%23");
            self.request(&id, "variable", &format!("variable=GW_CHECKPOINT&value={encoded}"));
            let ack = self.request(&id, "variable", &format!("variable=GW_ACK&value={taken}"));
            self.pending.insert(ack, (id.clone(), Event::Acknowledged { call, digits }));
        }
        match digit.as_str() {
            "A" => drop(self.request(&id, "redirect", "endpoint=SIP/7000")),
            "B" => drop(self.request(&id, "move", "app=basic")),
            "C" => drop(self.request(&id, "continue", "")),
            "D" => drop(self.send(&id, "DELETE", "")),
            _ if self.steady => {}
            "*" => self.play("key", &id, "digits/star"),
            "#" => self.play("key", &id, "digits/pound"),
            key => self.play("key", &id, &format!("digits/{key}")),
        }
    }

    /// The caller always hears something.
    fn finished(&mut self, playback: Option<PlaybackPart>) {
        let Some(PlaybackPart { id, target_uri }) = playback else { return };
        let Some(channel) = target_uri.strip_prefix("channel:") else { return };
        let Some(Channel { playing, .. }) = self.channels.get_mut(channel) else { return };
        playing.retain(|playback| *playback != id);
        if id.starts_with("menu") {
            let channel = channel.to_owned();
            self.play_menu(&channel);
        }
    }

    fn end(&mut self, channel: Option<ChannelPart>) {
        let Some(ended) = channel.and_then(|part| self.channels.remove(&part.id)) else { return };
        self.event(Event::Ended { call: ended.call });
    }

    fn answered(&mut self, request: Option<String>, status: Option<u16>) {
        let Some(request) = request else { return };
        let pending = self.pending.remove(&request);
        // A playback may have ended by itself.
        let is_gone = status == Some(404) && !request.starts_with(STOP);
        if is_gone {
            let id = request.split('/').next().unwrap_or_default();
            let call = id.rsplit_once('.').map_or("", |(call, _)| call).to_owned();
            self.channels.remove(id);
            self.event(Event::Refused { call });
        } else if let (Some((_, event)), Some(200..=299)) = (pending, status) {
            self.event(event);
        }
    }

    fn play_menu(&mut self, channel: &str) {
        let menu = self.menu.clone();
        self.play("menu", channel, &menu);
    }

    fn play(&mut self, kind: &str, channel: &str, prompt: &str) {
        self.next_request += 1;
        let playback = format!("{kind}-{}-{channel}", self.next_request);
        if let Some(Channel { playing, .. }) = self.channels.get_mut(channel)
            && self.stops_playbacks
        {
            playing.push(playback.clone());
        }
        self.request(channel, &format!("play/{playback}"), &format!("media=sound:{prompt}"));
    }

    fn stop(&mut self, playback: &str) {
        self.next_request += 1;
        let request_id = format!("{STOP}{playback}/{}", self.next_request);
        self.push(&request_id, "DELETE", &format!("playbacks/{playback}"));
    }

    /// Sends `POST /channels/{channel}/{what}?{query}`.
    fn request(&mut self, channel: &str, what: &str, query: &str) -> String {
        let mark = if query.is_empty() { "" } else { "?" };
        self.send(channel, "POST", &format!("/{what}{mark}{query}"))
    }

    /// Sends a request about a channel; its id begins with the channel. Nothing in it needs an
    /// escape.
    fn send(&mut self, channel: &str, method: &str, rest: &str) -> String {
        self.next_request += 1;
        let request_id = format!("{channel}/{}", self.next_request);
        self.push(&request_id, method, &format!("channels/{channel}{rest}"));
        request_id
    }

    fn push(&mut self, request_id: &str, method: &str, uri: &str) {
        let text = format!(
            concat!(
                r#"{{"type":"RESTRequest","request_id":"{}","#,
                r#""method":"{}","uri":"{}"}}"#
            ),
            request_id, method, uri
        );
        self.outputs.push_back(Output::Text(text));
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(app: &mut App, checkpoint: &str) {
        app.handle_text(&format!(
            r#"{{"type":"StasisStart","channel":{{"id":"c.2","channelvars":{{
            "GW_CALL":"c","GW_REASON":"hang","GW_CHECKPOINT":"{checkpoint}"}}}}}}"#
        ));
    }

    fn outputs(app: &mut App) -> Vec<Output> {
        std::iter::from_fn(|| app.poll_output()).collect()
    }

    #[test]
    fn a_key_stops_the_menu_where_the_peer_does_not() {
        let mut app = App::new(false);
        app.stop_playbacks_at_keys();
        start(&mut app, "");
        drop(outputs(&mut app));
        app.handle_text(r#"{"type":"ChannelDtmfReceived","digit":"3","channel":{"id":"c.2"}}"#);
        let sent = outputs(&mut app);
        let Output::Text(stop) = &sent[0] else { panic!("{sent:?}") };
        assert!(stop.contains(r#""method":"DELETE","uri":"playbacks/menu-"#), "{stop}");
        let stop: Value = serde_json::from_str(stop).expect("JSON");
        app.handle_text(&format!(
            r#"{{"type":"RESTResponse","request_id":{},"status_code":404}}"#,
            stop["request_id"]
        ));
        assert_eq!((app.calls(), outputs(&mut app)), (1, vec![]));
    }

    #[test]
    fn it_goes_on_from_the_checkpoint_of_the_owner_before() {
        let mut app = App::new(true);
        start(&mut app, "12");
        assert_eq!(
            outputs(&mut app)[0],
            Output::Event(Event::Started { call: "c".into(), rebound: true })
        );
        app.handle_text(r#"{"type":"ChannelDtmfReceived","digit":"3","channel":{"id":"c.2"}}"#);
        let sent = outputs(&mut app);
        let Output::Text(ack) = &sent[1] else { panic!("{sent:?}") };
        assert!(ack.contains("GW_ACK&value=1"), "{ack}");
        let ack: Value = serde_json::from_str(ack).expect("JSON");
        app.handle_text(&format!(
            r#"{{"type":"RESTResponse","request_id":{},"status_code":204}}"#,
            ack["request_id"]
        ));
        let acknowledged = Event::Acknowledged { call: "c".into(), digits: "123".into() };
        assert_eq!(outputs(&mut app), [Output::Event(acknowledged)]);
    }

    #[test]
    fn a_steady_one_begins_nothing_anew_after_a_promotion() {
        let plays = |reason: &str| {
            let mut app = App::new(true);
            app.stay_steady();
            app.handle_text(&format!(
                r#"{{"type":"StasisStart","channel":{{"id":"c.2","channelvars":{{
                "GW_CALL":"c","GW_REASON":"{reason}"}}}}}}"#
            ));
            app.handle_text(r#"{"type":"ChannelDtmfReceived","digit":"3","channel":{"id":"c.2"}}"#);
            let is_play =
                |output: &&Output| matches!(output, Output::Text(t) if t.contains("/play/"));
            outputs(&mut app).iter().filter(is_play).count()
        };
        assert_eq!((plays("new"), plays("hang"), plays("promotion")), (1, 1, 0));
    }

    #[test]
    fn a_refused_command_tells_it_that_the_call_is_gone() {
        let mut app = App::new(true);
        start(&mut app, "");
        outputs(&mut app);
        app.handle_text(r#"{"type":"RESTResponse","request_id":"c.2/9","status_code":404}"#);
        assert_eq!(outputs(&mut app), [Output::Event(Event::Refused { call: "c".into() })]);
        assert_eq!(app.calls(), 0);
    }

    #[test]
    fn a_livelocked_application_does_nothing() {
        let mut app = App::new(true);
        app.set_mood(Mood::Livelocked);
        start(&mut app, "");
        assert_eq!(outputs(&mut app), []);
    }
}
