//! Keys that we press: telephone-events, or tones for a far end that takes none.

use crate::codecs::Digit;
use crate::codecs::g711::Law;
use crate::codecs::telephone_event::{Packet, Payload, Sender};
use crate::codecs::tone::Generator;
use crate::timers::Duration;

/// The longest frame, in samples.
const SAMPLES_MAX: usize = 320;

/// The keys that wait, and the one that sounds.
#[derive(Debug, Default)]
pub(super) struct Keying {
    sender: Sender,
    /// The tone of the key that is down, where there are no events.
    tone: Option<Generator>,
    /// Keys that went down and that nobody was told of yet.
    begun: u32,
}

impl Keying {
    /// Queues keys behind what waits; returns how many found no room.
    pub(super) fn queue(
        &mut self,
        digits: &[Digit],
        duration: Duration,
        between: Duration,
        after: Duration,
    ) -> u32 {
        let mut lost = 0;
        let last = digits.len().saturating_sub(1);
        for (n, &digit) in digits.iter().enumerate() {
            let pause = if n == last { after.max(between) } else { between };
            let queued = self.sender.queue(digit, millis(duration), millis(pause));
            lost += u32::from(queued.is_err());
        }
        lost
    }

    /// How many keys went down since the last call.
    pub(super) fn take_begun(&mut self) -> u32 {
        std::mem::take(&mut self.begun)
    }

    /// The telephone-event to send in place of a frame of sound, if a key is down.
    pub(super) fn event(&mut self, timestamp: u32, samples: usize) -> Option<Packet> {
        // At most 320.
        let packet = self.sender.next_frame(timestamp, samples as u32)?;
        // The marker is that of the first packet of a key.
        self.begun += u32::from(packet.marker);
        Some(packet)
    }

    /// Fills a frame with the tone of the key that is down, if one is.
    pub(super) fn sound(&mut self, timestamp: u32, law: Law, frame: &mut [u8]) -> bool {
        let Some(packet) = self.event(timestamp, frame.len()) else { return false };
        let Some(report) = Payload::parse(&packet.payload) else { return false };
        if packet.marker {
            self.tone = Digit::from_event(report.event).map(Generator::dtmf);
        }
        frame.fill(law.silence());
        // The repetitions of the last packet find no tone: they are a pause.
        if let Some(tone) = &mut self.tone {
            let mut samples = [0; SAMPLES_MAX];
            let samples = &mut samples[..frame.len().min(SAMPLES_MAX)];
            tone.fill(samples);
            law.encode(samples, frame);
        }
        if report.end {
            self.tone = None;
        }
        true
    }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
