//! Puts the far end's sound in order, for recordings.
//!
//! A ring of samples addressed by RTP timestamp: packets of 10 to 40 ms, late ones and doubled ones
//! all write where they belong, and sound is taken out of the other end at our own pace, 60 ms
//! behind. What is missing when it is taken is missing for good. Silence suppression leaves holes
//! that the timestamps account for; a timestamp that jumps, or a clock that drifts until packets
//! keep coming too late or too early, moves the place of taking instead.
//!
//! Keys and prompts do not pass through here, so the delay costs a caller nothing.

/// Samples in the ring: 256 ms.
const RING: usize = 2_048;

/// How far taking lags behind the first packet: 60 ms.
const LAG: u32 = 480;

/// Sound that waits at most, 200 ms; more means that the far end's clock is faster than ours.
const WAITING_MAX: u32 = 1_600;

/// Packets in a row that come too late before taking is moved back.
const LATE_MAX: u8 = 3;

/// The ring.
#[derive(Debug)]
pub(super) struct Jitter {
    samples: [i16; RING],
    present: [bool; RING],
    place: Option<Place>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    /// Timestamp of the next sample to take.
    next: u32,
    /// Timestamp behind the newest sample.
    end: u32,
    /// Packets in a row that came too late.
    late: u8,
}

impl Jitter {
    pub(super) fn new() -> Self {
        Self { samples: [0; RING], present: [false; RING], place: None }
    }

    /// Writes the sound of a packet, at most 200 ms of it.
    pub(super) fn insert(&mut self, timestamp: u32, sound: &[i16]) {
        let sound = &sound[..sound.len().min(WAITING_MAX as usize)];
        // At most 1,600.
        let end = timestamp.wrapping_add(sound.len() as u32);
        let mut place = self.place.unwrap_or_else(|| Place::before(timestamp));
        let waiting = end.wrapping_sub(place.next) as i32;
        if waiting > RING as i32 {
            self.clear();
            place = Place::before(timestamp);
        } else if waiting <= 0 {
            place.late += 1;
            if place.late < LATE_MAX {
                self.place = Some(place);
                return;
            }
            self.clear();
            place = Place::before(timestamp);
        }
        self.write(place.next, timestamp, sound);
        let is_newest = end.wrapping_sub(place.end) as i32 > 0;
        self.place = Some(Place { end: if is_newest { end } else { place.end }, late: 0, ..place });
    }

    /// Takes the next samples; false: some of them are missing.
    pub(super) fn take(&mut self, sound: &mut [i16]) -> bool {
        let Some(mut place) = self.place else { return false };
        let length = sound.len() as u32;
        if place.end.wrapping_sub(place.next) as i32 > (WAITING_MAX + length) as i32 {
            self.read(place.next, sound);
            place.next = place.next.wrapping_add(length);
        }
        let whole = self.read(place.next, sound);
        place.next = place.next.wrapping_add(length);
        self.place = Some(place);
        whole
    }

    fn write(&mut self, next: u32, timestamp: u32, sound: &[i16]) {
        for (n, &sample) in sound.iter().enumerate() {
            let at = timestamp.wrapping_add(n as u32);
            if (at.wrapping_sub(next) as i32) >= 0 {
                self.samples[at as usize % RING] = sample;
                self.present[at as usize % RING] = true;
            }
        }
    }

    fn read(&mut self, from: u32, sound: &mut [i16]) -> bool {
        let mut whole = true;
        for (n, sample) in sound.iter_mut().enumerate() {
            let at = from.wrapping_add(n as u32) as usize % RING;
            whole &= std::mem::take(&mut self.present[at]);
            *sample = std::mem::take(&mut self.samples[at]);
        }
        whole
    }

    fn clear(&mut self) {
        self.samples.fill(0);
        self.present.fill(false);
    }
}

impl Place {
    fn before(timestamp: u32) -> Self {
        Self { next: timestamp.wrapping_sub(LAG), end: timestamp, late: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 20 ms of sound that can be told apart.
    fn frame(value: i16) -> [i16; 160] {
        [value; 160]
    }

    /// Takes 20 ms: its one value, or `None` where anything is missing.
    fn take(jitter: &mut Jitter) -> Option<i16> {
        let mut sound = [0; 160];
        let whole = jitter.take(&mut sound);
        (whole && sound.iter().all(|s| *s == sound[0])).then_some(sound[0])
    }

    fn take_many(jitter: &mut Jitter, count: usize) -> Vec<Option<i16>> {
        (0..count).map(|_| take(jitter)).collect()
    }

    #[test]
    fn sound_comes_out_in_order_60_ms_behind() {
        let mut jitter = Jitter::new();
        for (value, at) in [(1, 0), (3, 320), (2, 160)] {
            jitter.insert((u32::MAX - 200).wrapping_add(at), &frame(value));
        }
        let taken = take_many(&mut jitter, 7);
        assert_eq!(taken, [None, None, None, Some(1), Some(2), Some(3), None]);
    }

    #[test]
    fn sip_m1_packets_of_30_and_40_ms_are_cut_into_frames() {
        for packet in [240, 320] {
            let mut jitter = Jitter::new();
            let mut values = Vec::new();
            for n in 0..24 {
                jitter.insert(n * packet, &vec![5; packet as usize]);
                values.extend(take(&mut jitter));
                if n % 2 == 0 || packet == 320 {
                    values.extend(take(&mut jitter));
                }
            }
            assert!(values.len() > 24 && values.iter().all(|v| *v == 5), "{packet}: {values:?}");
        }
    }

    #[test]
    fn a_lost_packet_leaves_a_hole_of_its_size() {
        let mut jitter = Jitter::new();
        for n in [0_u32, 1, 3, 4] {
            jitter.insert(n * 160, &frame(n as i16 + 1));
        }
        assert_eq!(take_many(&mut jitter, 8)[3..], [Some(1), Some(2), None, Some(4), Some(5)]);
    }

    #[test]
    fn sip_m6_a_silence_gap_keeps_its_length() {
        let mut jitter = Jitter::new();
        let mut taken = Vec::new();
        for n in 0..60_u32 {
            if !(10..40).contains(&n) {
                jitter.insert(n * 160, &frame(n as i16));
            }
            taken.push(take(&mut jitter));
        }
        assert_eq!(taken[12], Some(9));
        assert_eq!(taken[13..43], [None; 30]);
        assert_eq!(taken[43], Some(40));
    }

    #[test]
    fn sip_m6_a_timestamp_jump_is_followed() {
        for jump in [1_000_000_u32, 0x9000_0000, u32::MAX - 4_000] {
            let mut jitter = Jitter::new();
            let mut taken = Vec::new();
            for n in 0..20_u32 {
                let base = if n < 8 { 0 } else { jump };
                jitter.insert(base.wrapping_add(n * 160), &frame(n as i16));
                taken.push(take(&mut jitter));
            }
            assert_eq!(taken[19], Some(16), "jump {jump}: {taken:?}");
        }
    }

    #[test]
    fn a_far_end_with_a_faster_clock_does_not_pile_up() {
        let mut jitter = Jitter::new();
        let mut last = None;
        for n in 0..2_000_u32 {
            jitter.insert(n * 160, &frame((n % 100) as i16));
            // One frame in a hundred is not taken.
            if n % 100 != 0 {
                last = take(&mut jitter).or(last);
            }
        }
        let lag = (1_999 % 100) - last.expect("sound");
        assert!((0..=12).contains(&lag), "{lag} frames behind");
    }

    #[test]
    fn a_far_end_with_a_slower_clock_is_waited_for() {
        let mut jitter = Jitter::new();
        let mut heard = 0;
        for n in 0..2_000_u32 {
            if n % 100 != 0 {
                jitter.insert((n - n / 100) * 160, &frame(7));
            }
            heard += usize::from(take(&mut jitter) == Some(7));
        }
        assert!(heard > 1_900, "{heard} of 1,980 frames heard");
    }

    #[test]
    fn a_packet_of_any_length_is_harmless() {
        let mut jitter = Jitter::new();
        jitter.insert(0, &[]);
        jitter.insert(0, &vec![1; 60_000]);
        assert_eq!(take_many(&mut jitter, 4)[3], Some(1));
    }
}
