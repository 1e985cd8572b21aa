//! The media of one call, from `Open` to `Close`.
//!
//! Everything that two parts of a call have to do with each other happens here: a key ends a
//! playback and a recording, a hold stops the stream and excuses the far end's silence, a new
//! source redirects both sockets.

use std::net::SocketAddr;
use std::sync::Arc;

use rtp_rs::RtpReader;

use super::digits::Keys;
use super::events::Events;
use super::inbound::{self, Inbound};
use super::keying::Keying;
use super::line::Line;
use super::playback::{Filled, Player, law, silence};
use super::port::{Out, Pending};
use super::recorder::Recorder;
use super::rtcp::{self, Sent};
use super::source;
use super::stream::Punctuality;
use super::{
    Command, Config, Event, Recording, RecordingEnd, SourcePolicy, Statistics, StreamStart,
};
use crate::codecs::g711::Law;
use crate::ids::MediaId;
use crate::sdp::Negotiated;
use crate::timers::{Duration, Instant, earliest};

/// The frame that phases are counted in.
const FRAME_NANOS: u64 = 20_000_000;

/// The longest packet that is heard, in samples: 80 ms.
const HEARD_MAX: usize = 640;

/// The longest packet that we send, in samples.
const SAMPLES_MAX: usize = 320;

/// A call.
#[derive(Debug)]
pub(super) struct Call {
    config: Arc<Config>,
    phase: Duration,
    start: StreamStart,
    policy: SourcePolicy,
    /// Since the first answer.
    line: Option<Line>,
    inbound: Inbound,
    keys: Keys,
    keying: Keying,
    player: Player,
    /// Boxed: most calls record nothing.
    recorder: Option<Box<Recorder>>,
    muted_out: bool,
    muted_in: bool,
    /// When the node is told next where the stream stands.
    tells_at: Option<Instant>,
}

/// What `Open` says of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    pub(super) start: StreamStart,
    pub(super) policy: SourcePolicy,
    pub(super) detect_tones: bool,
}

impl Call {
    pub(super) fn new(config: Arc<Config>, phase: Duration, opening: Opening) -> Self {
        let Opening { start, policy, detect_tones } = opening;
        Self {
            config,
            phase,
            start,
            policy,
            line: None,
            inbound: Inbound::default(),
            keys: Keys::new(detect_tones),
            keying: Keying::default(),
            player: Player::default(),
            recorder: None,
            muted_out: false,
            muted_in: false,
            tells_at: None,
        }
    }

    pub(super) fn handle_command(&mut self, now: Instant, command: Command, out: &mut Out<'_>) {
        match command {
            Command::GoOnAfter(last) => self.keys.go_on_after(last),
            Command::Session(negotiated) => self.negotiate(now, negotiated, out),
            Command::Play(playback) => self.player.play(playback, out.events),
            Command::PlayAll(playbacks) => {
                for playback in playbacks {
                    self.player.play(playback, out.events);
                }
            }
            Command::Control { id, control } => self.player.control(id, control, out.events),
            Command::StopAll => self.player.stop_all(out.events),
            Command::SendDigits { digits, duration, between, after } => {
                let lost = self.keying.queue(&digits, duration, between, after);
                tell_keyed(0, lost, out.events);
            }
            Command::Record(recording) => self.record(now, recording, out),
            Command::StopRecord { id, discard } => {
                let end = if discard { RecordingEnd::Discarded } else { RecordingEnd::Stopped };
                self.end_recording(id, end, out);
            }
            Command::Mute { out, inbound } => {
                self.muted_out = out;
                self.muted_in = inbound;
            }
            // Of the port, not of a call.
            Command::Open { .. } | Command::Close | Command::Leave => {}
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, out: &mut Out<'_>) {
        self.end_learning(now, out);
        self.send_frame(now, out);
        self.tell_standing(now, out);
        self.send_report(now, out);
        self.record_frame(now, out);
        if let Some(line) = &mut self.line {
            line.watch.handle_timeout(now, out.events);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let line = self.line.as_ref()?;
        earliest([
            Some(line.stream.next_at()),
            Some(line.rtcp.poll_timeout()),
            line.source.poll_timeout(),
            line.watch.poll_timeout(),
            self.recorder.as_ref().and_then(|recorder| recorder.poll_timeout()),
        ])
    }

    pub(super) fn receive_rtp(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &[u8],
        out: &mut Out<'_>,
    ) {
        if !self.inbound.admit(now) {
            return;
        }
        if rtcp::is_rtcp(datagram) {
            return self.receive_rtcp(now, from, datagram);
        }
        let Ok(packet) = RtpReader::new(datagram) else {
            self.inbound.refused += 1;
            return;
        };
        if self.accept(now, from, &packet, out) {
            self.hear(now, &packet, out);
        }
    }

    pub(super) fn receive_rtcp(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        let peer = self.inbound.ssrc();
        let believed = self.line.as_mut().is_some_and(|line| {
            line.source.is_rtcp_source(from) && line.rtcp.receive(now, datagram, peer)
        });
        if !believed {
            self.inbound.refused += 1;
        }
    }

    /// Ends what sounds and what is recorded.
    pub(super) fn end(&mut self, out: &mut Out<'_>) {
        self.player.stop_all(out.events);
        self.end_any_recording(RecordingEnd::Stopped, out);
    }

    /// Tells the far end that the stream is over.
    pub(super) fn say_goodbye(&mut self, now: Instant, out: &mut Out<'_>) {
        if self.report(now)
            && let Some(line) = &mut self.line
        {
            line.rtcp.add_bye();
            out.outbox.extend(line.rtcp_target().map(Pending::Rtcp));
        }
    }

    pub(super) fn packet(&self) -> &[u8] {
        self.line.as_ref().map_or(&[], |line| line.stream.packet())
    }

    pub(super) fn rtcp_packet(&self) -> &[u8] {
        self.line.as_ref().map_or(&[], |line| line.rtcp.packet())
    }

    pub(super) fn end_recording(&mut self, id: MediaId, end: RecordingEnd, out: &mut Out<'_>) {
        if self.recorder.as_ref().is_some_and(|recorder| recorder.id() == id) {
            self.end_any_recording(end, out);
        }
    }

    pub(super) fn recorded(&self) -> &[i16] {
        self.recorder.as_ref().map_or(&[], |recorder| recorder.frame())
    }

    pub(super) fn punctuality(&self) -> Punctuality {
        self.line.as_ref().map_or_else(Punctuality::default, |line| line.stream.punctuality)
    }

    pub(super) fn statistics(&self) -> Statistics {
        let line = self.line.as_ref();
        Statistics {
            sent: line.map_or(0, |line| line.stream.packets),
            received: self.inbound.received,
            lost: self.inbound.lost(),
            refused: self.inbound.refused,
            late: self.punctuality().late,
            jitter: self.inbound.jitter(),
            playback_position_ms: self.player.position_ms(),
            source: line.and_then(|line| line.source.locked()),
        }
    }

    /// What the sockets may take, as far as it is known.
    pub(super) fn restriction(&self) -> Option<SocketAddr> {
        self.line.as_ref().and_then(|line| line.source.locked())
    }

    /// Takes the result of an offer and answer. The stream, its schedule, and what is known of
    /// the far end's stream live on.
    fn negotiate(&mut self, now: Instant, negotiated: Negotiated, out: &mut Out<'_>) {
        match &mut self.line {
            Some(line) => line.renegotiate(now, negotiated, self.policy),
            None => {
                let first_at = next_in_phase(now, self.phase);
                self.line = Some(Line::new(now, first_at, self.start, negotiated, self.policy));
            }
        }
        if negotiated.event_recv.is_none() {
            self.keys.expect_no_events();
        }
        if let Some(line) = &mut self.line {
            line.stream.set_ptime(negotiated.ptime_ms);
            line.watch.expect(now, line.hears(), self.config.silent_after, out.events);
            out.outbox.push_back(Pending::Restrict(line.source.locked()));
        }
    }

    fn end_learning(&mut self, now: Instant, out: &mut Out<'_>) {
        let Some(line) = &mut self.line else { return };
        if line.source.poll_timeout().is_some_and(|until| now >= until) {
            line.source.handle_timeout(now);
            out.outbox.push_back(Pending::Restrict(line.source.locked()));
        }
    }

    fn send_frame(&mut self, now: Instant, out: &mut Out<'_>) {
        let Some(line) = &mut self.line else { return };
        let Some((samples, timestamp)) = line.stream.next_frame(now) else { return };
        let codec = line.negotiated.codec;
        let mut frame = [silence(codec); SAMPLES_MAX];
        let frame = &mut frame[..samples];
        let beeps =
            self.recorder.as_mut().is_some_and(|r| r.beep(now, &self.config.beep, codec, frame));
        if !line.speaks() {
            line.marker = true;
            return;
        }
        out.outbox.push_back(Pending::Rtp(line.source.target()));
        if beeps {
            line.send_sound(frame, timestamp);
        } else if !line.send_key(&mut self.keying, timestamp, frame) {
            let filled = self.player.fill(codec, frame);
            if self.muted_out && filled == Filled::Sound {
                frame.fill(silence(codec));
            }
            line.send_sound(frame, timestamp);
            self.player.sent(out.events);
        }
        tell_keyed(self.keying.take_begun(), 0, out.events);
    }

    fn tell_standing(&mut self, now: Instant, out: &mut Out<'_>) {
        let (Some(every), Some(line)) = (self.config.standing_every, &self.line) else { return };
        if self.tells_at.is_none_or(|at| at <= now) {
            self.tells_at = Some(now + every);
            out.events.push(Event::Standing(line.stream.standing(now)));
        }
    }

    fn send_report(&mut self, now: Instant, out: &mut Out<'_>) {
        if self.line.as_mut().is_some_and(|line| line.rtcp.is_due(now)) && self.report(now) {
            out.outbox.extend(self.line.as_ref().and_then(Line::rtcp_target).map(Pending::Rtcp));
        }
    }

    /// Builds a report; false: there is no line to report on.
    fn report(&mut self, now: Instant) -> bool {
        let Some(line) = &mut self.line else { return false };
        let sent = (line.stream.packets > 0).then(|| Sent {
            timestamp: line.stream.timestamp_at(now),
            packets: line.stream.packets,
            octets: line.stream.octets,
        });
        line.rtcp.report(now, sent, self.inbound.report());
        true
    }

    /// Judges source, payload type and place in the stream.
    fn accept(
        &mut self,
        now: Instant,
        from: SocketAddr,
        packet: &RtpReader<'_>,
        out: &mut Out<'_>,
    ) -> bool {
        let judged = self.line.as_mut().is_some_and(|line| {
            let before = line.source.locked();
            let verdict = line.source.judge(now, from, packet.ssrc());
            if line.source.locked() != before {
                out.outbox.push_back(Pending::Restrict(line.source.locked()));
            }
            verdict == source::Verdict::Accept && line.knows(packet.payload_type())
        });
        if !judged {
            self.inbound.refused += 1;
            return false;
        }
        let sequence = packet.sequence_number().into();
        let before = self.inbound.ssrc();
        match self.inbound.judge(now, packet.ssrc(), sequence) {
            inbound::Verdict::Accept => true,
            inbound::Verdict::NewStream => {
                self.keys.new_stream();
                if before.is_some_and(|before| before != packet.ssrc()) {
                    out.events.push(Event::NewSsrc);
                }
                true
            }
            inbound::Verdict::Refuse => false,
        }
    }

    fn hear(&mut self, now: Instant, packet: &RtpReader<'_>, out: &mut Out<'_>) {
        let Some(line) = &mut self.line else { return };
        line.watch.heard(now, self.config.silent_after, out.events);
        let law = law(line.negotiated.codec);
        if packet.payload_type() == law.payload_type() {
            self.inbound.time(now, packet.timestamp());
            self.hear_sound(now, law, packet, out);
        } else if Some(packet.payload_type()) == line.negotiated.event_recv {
            let event = self.keys.receive(now, packet);
            out.events.refuse_too_fast(self.keys.take_too_fast());
            if let Some(event) = event {
                self.press(event, out);
            }
        }
    }

    /// A key of the caller: the node hears of it, then of what it ended.
    fn press(&mut self, event: Event, out: &mut Out<'_>) {
        let Event::Digit { digit, .. } = event else { return };
        out.events.push(event);
        self.player.barge_in(digit, out.events);
        if self.recorder.as_ref().is_some_and(|recorder| recorder.ends_with(digit)) {
            self.end_any_recording(RecordingEnd::Digit, out);
        }
    }

    fn hear_sound(&mut self, now: Instant, law: Law, packet: &RtpReader<'_>, out: &mut Out<'_>) {
        if self.muted_in || !(self.keys.wants_sound() || self.recorder.is_some()) {
            return;
        }
        let mut sound = [0; HEARD_MAX];
        let count = law.decode(packet.payload(), &mut sound);
        let sound = &sound[..count];
        if let Some(recorder) = &mut self.recorder {
            recorder.hear(packet.timestamp(), sound);
        }
        if let Some(event) = self.keys.listen(now, packet, sound) {
            self.press(event, out);
        }
    }

    /// Begins a recording; one at a time on a port.
    fn record(&mut self, now: Instant, recording: Recording, out: &mut Out<'_>) {
        let started = Pending::RecordingStarted(
            recording.id,
            Arc::clone(&recording.name),
            recording.if_exists,
        );
        let recorder = Recorder::new(now, recording);
        if self.recorder.is_some() {
            out.events.push(recorder.finished(RecordingEnd::Failed));
            return;
        }
        out.outbox.push_back(started);
        self.recorder = Some(Box::new(recorder));
    }

    fn record_frame(&mut self, now: Instant, out: &mut Out<'_>) {
        let Some(recorder) = &mut self.recorder else { return };
        // The last frame has left before: it was made in a step of its own.
        if let Some(end) = recorder.is_over() {
            self.end_any_recording(end, out);
        } else if recorder.step(now) {
            out.outbox.push_back(Pending::Recorded(recorder.id()));
        }
    }

    fn end_any_recording(&mut self, end: RecordingEnd, out: &mut Out<'_>) {
        if let Some(recorder) = self.recorder.take() {
            out.events.push(recorder.finished(end));
        }
    }
}

fn tell_keyed(sent: u32, lost: u32, events: &mut Events) {
    if sent + lost > 0 {
        events.push(Event::Keyed { sent, lost });
    }
}

/// The first moment from `now` on that lies in the phase.
fn next_in_phase(now: Instant, phase: Duration) -> Instant {
    let phase = u64::try_from(phase.as_nanos()).unwrap_or(0) % FRAME_NANOS;
    let into_frame = (now.as_nanos() % FRAME_NANOS + FRAME_NANOS - phase) % FRAME_NANOS;
    let wait = (FRAME_NANOS - into_frame) % FRAME_NANOS;
    now + Duration::from_nanos(wait)
}
