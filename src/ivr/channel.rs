//! What is known of one call under ARI: its channel, the channel's playbacks and recordings.
//!
//! A channel outlives its owners: a rebind gives it a new id, takes its playbacks away and brings
//! the variables that the call's journal hands over. What is being recorded stays with the call.

use std::collections::BTreeMap;

use super::model::{ChannelVars, ChannelView, Dialplan, Party, PlaybackView, RecordingView};
use super::model::{TargetUri, json};
use super::timestamp::Timestamp;
use super::{ChannelState, Offer};
use crate::ids::{CallId, Generation, InstanceId, MediaId, PortId};
use crate::timers::{Duration, Instant};

/// Language of a channel; prompts of others are asked for with `lang`.
pub(super) const LANGUAGE: &str = "en";

/// Time of one command at the sustained rate of 20 a second.
const COMMAND_INTERVAL: Duration = Duration::from_millis(50);

/// Commands at once: a burst of 20.
const COMMAND_BURST: Duration = Duration::from_millis(20 * 50);

/// Commands of a new owner beyond those: to answer, to read the variables and to play. All of them
/// leave room in the queue to the media port, which holds 32, for what the node itself wants.
const NEW_OWNER_RESERVE: u32 = 5;

/// Finished playbacks that are remembered, so that a repeated `play/{id}` finds its first.
const FINISHED_MAX: usize = 32;

/// Who hears of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// Nobody: taken from its owner, not yet offered again. No id leads here.
    Nobody,
    /// Placed by `POST /channels` and not answered: whoever asked over a WebSocket, else every
    /// instance of the application.
    Dialing { by: Option<InstanceId> },
    /// It was offered to this instance.
    Bound { instance: InstanceId },
}

pub(super) struct Channel {
    pub call: CallId,
    pub port: PortId,
    pub id: String,
    pub name: String,
    pub generation: Generation,
    pub owner: Owner,
    pub application: String,
    pub args: Vec<String>,
    pub extension: String,
    pub reason: &'static str,
    pub state: ChannelState,
    /// An `Answer` is under way: a second one is not sent.
    pub answering: bool,
    pub caller: (String, String),
    pub connected: (String, String),
    pub protocol_id: String,
    pub created: Timestamp,
    pub variables: BTreeMap<String, String>,
    pub playbacks: Vec<Playback>,
    pub recordings: Vec<Recording>,
    pub pace: Pace,
    app_data: String,
    gw_call: String,
    media_count: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PlaybackState {
    Queued,
    Playing,
    /// A further URI sounds.
    Continuing,
    Done,
    Failed,
}

#[derive(Debug)]
pub(super) struct Playback {
    pub id: String,
    pub media: MediaId,
    /// What it plays, one after the other.
    pub uris: Vec<String>,
    /// Which of them sounds, or will.
    pub part: usize,
    pub language: String,
    pub state: PlaybackState,
}

/// The ids that an owner of a call knew.
#[derive(Debug)]
pub(super) struct Taken {
    pub call: CallId,
    pub id: String,
    pub playbacks: Vec<Playback>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordingState {
    Queued,
    Recording,
    Done,
    Failed,
    Canceled,
}

#[derive(Debug)]
pub(super) struct Recording {
    pub name: String,
    pub media: MediaId,
    /// To be thrown away when it ends.
    pub discarded: bool,
    /// Begun under an older id: it is kept, but nobody can name it.
    pub inherited: bool,
}

impl Channel {
    /// The channel of a call that was not known before.
    pub(super) fn new(offer: Offer, owner: Owner, created: Timestamp) -> Self {
        let mut channel = Self {
            call: offer.call,
            port: offer.port,
            id: String::new(),
            name: format!("PJSIP/{}-{:08x}", offer.extension, offer.call.0 & 0xffff_ffff),
            generation: offer.generation,
            owner,
            application: String::new(),
            args: Vec::new(),
            extension: String::new(),
            reason: offer.reason,
            state: offer.state,
            answering: false,
            caller: Default::default(),
            connected: Default::default(),
            protocol_id: String::new(),
            created,
            variables: BTreeMap::new(),
            playbacks: Vec::new(),
            recordings: Vec::new(),
            pace: Pace::default(),
            app_data: String::new(),
            gw_call: offer.call.to_string(),
            media_count: 0,
        };
        channel.take_over(offer, owner);
        channel
    }

    /// A new offer of the call: all that it says replaces what was known. Its variables are all
    /// that the new owner may read: what the old one set is not always handed over. The pace goes
    /// on, for what all owners ask for in a moment goes to the one port of the call; but the new
    /// owner has a few commands of its own, whatever the old one asked for.
    pub(super) fn take_over(&mut self, offer: Offer, owner: Owner) {
        if self.generation != offer.generation || self.id.is_empty() {
            self.id = format!("{}.{}", offer.call, offer.generation);
            self.media_count = 0;
        }
        if self.generation != offer.generation {
            self.pace.next_owner();
        }
        self.generation = offer.generation;
        self.owner = owner;
        self.port = offer.port;
        self.app_data = offer.args.iter().fold(offer.application.clone(), |a, b| a + "," + b);
        self.application = offer.application;
        self.args = offer.args;
        self.extension = offer.extension;
        self.reason = offer.reason;
        self.state = offer.state;
        self.caller = offer.caller;
        self.connected = offer.connected;
        self.protocol_id = offer.protocol_id;
        // It counts from 1 on each channel id.
        let kept = offer.variables.into_iter().filter(|(name, _)| name != "GW_ACK");
        self.variables = kept.collect();
    }

    /// A number for a playback or recording, unique within the call: the generation is its upper
    /// half, so that a node that takes the call over needs not know what was given out. It
    /// repeats after 65,536 of one generation, when the first is long over. Numbers below 65,536
    /// belong to the node.
    pub(super) const fn next_media(&mut self) -> MediaId {
        self.media_count = self.media_count.wrapping_add(1);
        MediaId((self.generation.0 & 0xffff) << 16 | self.media_count as u32)
    }

    /// Ends one playback; returns the ids of those that are forgotten to make room.
    pub(super) fn forget_finished(&mut self) -> Vec<String> {
        let finished = self.playbacks.iter().filter(|p| p.is_finished()).count();
        let mut surplus = finished.saturating_sub(FINISHED_MAX);
        let mut forgotten = Vec::new();
        self.playbacks.retain(|p| {
            let goes = surplus > 0 && p.is_finished();
            if goes {
                surplus -= 1;
                forgotten.push(p.id.clone());
            }
            !goes
        });
        forgotten
    }

    pub(super) fn playback(&mut self, media: MediaId) -> Option<&mut Playback> {
        self.playbacks.iter_mut().find(|p| p.media == media && !p.is_finished())
    }

    /// For events: without the checkpoint, which may be 4 KiB.
    pub(super) fn view(&self) -> ChannelView<'_> {
        ChannelView {
            id: &self.id,
            name: &self.name,
            state: self.state.name(),
            protocol_id: self.protocol_id(),
            caller: party(&self.caller),
            connected: party(&self.connected),
            accountcode: "",
            dialplan: self.dialplan(),
            creationtime: self.created,
            language: LANGUAGE,
            channelvars: ChannelVars {
                call: &self.gw_call,
                generation: self.generation.0,
                reason: self.reason,
                checkpoint: None,
            },
        }
    }

    /// For StasisStart and answers: with the checkpoint.
    pub(super) fn full_view(&self) -> ChannelView<'_> {
        let mut view = self.view();
        view.channelvars.checkpoint = self.variables.get("GW_CHECKPOINT").map(String::as_str);
        view
    }

    pub(super) fn body(&self) -> String {
        json(&self.full_view())
    }

    pub(super) fn gw_call(&self) -> &str {
        &self.gw_call
    }

    fn protocol_id(&self) -> &str {
        if self.protocol_id.is_empty() { &self.gw_call } else { &self.protocol_id }
    }

    fn dialplan(&self) -> Dialplan<'_> {
        Dialplan {
            context: "default",
            exten: &self.extension,
            priority: 1,
            app_name: "Stasis",
            app_data: &self.app_data,
        }
    }
}

fn party((name, number): &(String, String)) -> Party<'_> {
    Party { name, number }
}

impl ChannelState {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Down => "Down",
            Self::Ring => "Ring",
            Self::Ringing => "Ringing",
            Self::Up => "Up",
        }
    }
}

impl Playback {
    pub(super) const fn is_finished(&self) -> bool {
        matches!(self.state, PlaybackState::Done | PlaybackState::Failed)
    }

    pub(super) fn view<'a>(&'a self, channel_id: &'a str) -> PlaybackView<'a> {
        PlaybackView {
            id: &self.id,
            media_uri: self.uris.get(self.part).map_or("", String::as_str),
            next_media_uri: self.uris.get(self.part + 1).map(String::as_str),
            target_uri: TargetUri(channel_id),
            language: &self.language,
            state: match self.state {
                PlaybackState::Queued => "queued",
                PlaybackState::Playing => "playing",
                PlaybackState::Continuing => "continuing",
                PlaybackState::Done => "done",
                PlaybackState::Failed => "failed",
            },
        }
    }
}

impl Recording {
    pub(super) fn view<'a>(
        &'a self,
        channel_id: &'a str,
        state: RecordingState,
        duration: Option<u64>,
    ) -> RecordingView<'a> {
        RecordingView {
            name: &self.name,
            format: "wav",
            target_uri: TargetUri(channel_id),
            state: match state {
                RecordingState::Queued => "queued",
                RecordingState::Recording => "recording",
                RecordingState::Done => "done",
                RecordingState::Failed => "failed",
                RecordingState::Canceled => "canceled",
            },
            duration,
        }
    }
}

/// The rate of commands of one call: 20 a second, 20 at once, and never more than 25 with what new
/// owners have of their own.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// When everything that came would be through at the sustained rate.
    clear_at: Instant,
    /// What is left to a new owner beyond the burst.
    reserve: u32,
}

impl Pace {
    /// Whether one more command fits; if so it is counted.
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        let clear_at = self.clear_at.max(now) + COMMAND_INTERVAL;
        let backlog = clear_at.saturating_duration_since(now);
        let all = COMMAND_BURST + COMMAND_INTERVAL * NEW_OWNER_RESERVE;
        let reserved = backlog > COMMAND_BURST && backlog <= all && self.reserve > 0;
        let fits = backlog <= COMMAND_BURST || reserved;
        if fits {
            self.clear_at = clear_at;
            self.reserve -= u32::from(reserved);
        }
        fits
    }

    /// The call goes to another owner.
    pub(super) const fn next_owner(&mut self) {
        self.reserve = NEW_OWNER_RESERVE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pace_is_twenty_at_once_and_twenty_a_second() {
        let mut pace = Pace::default();
        let start = Instant::ZERO + Duration::from_secs(1);
        let at_once = (0..30).filter(|_| pace.admits(start)).count();
        let in_a_second =
            (1..=100).filter(|n| pace.admits(start + Duration::from_millis(10 * n))).count();
        assert_eq!((at_once, in_a_second), (20, 20));
    }

    #[test]
    fn owners_in_quick_succession_never_have_more_than_25_commands_at_once() {
        let mut pace = Pace::default();
        let start = Instant::ZERO + Duration::from_secs(1);
        let admitted: Vec<_> = (0..4)
            .map(|_| {
                let admitted = (0..30).filter(|_| pace.admits(start)).count();
                pace.next_owner();
                admitted
            })
            .collect();
        assert_eq!(admitted, [20, 5, 0, 0]);
    }
}
