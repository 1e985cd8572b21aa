//! One call, seen from outside the node: who was told what, which keys came in, which went out.
//!
//! The rules, each with the words of its finding below:
//!
//! * Tokens only grow; the old owner is told before the new one; nobody is offered a call that it
//!   has just lost for a fault of its own.
//! * A digit goes to the owner alone, after its first command and 250 ms (2 s at most), and 150 ms
//!   after one that had to wait.
//! * An application that acknowledges gets, behind its checkpoint, every key once and in order.
//! * An application that does not gets each key at most once, in order.

use crate::ids::{InstanceId, PortId};
use crate::sim::process::Kind;
use crate::timers::{Duration, Instant};

/// A new owner gets no digit before its first command and this much more,
const HOLD_AFTER_CLAIM: Duration = Duration::from_millis(250);
/// or its offer and this much more.
const HOLD_MAX: Duration = Duration::from_secs(2);
/// Between two digits, the first of which had to wait.
const PACE: Duration = Duration::from_millis(150);

/// Inputs that the node has taken so far: several may come at one instant.
pub type Turn = u64;

/// A channel: one offer of the call.
#[derive(Clone, Debug)]
pub struct Channel {
    /// Whom it was offered to.
    pub instance: InstanceId,
    /// The token.
    pub generation: u32,
    /// When.
    pub offered_at: Instant,
    /// First command.
    pub claimed_at: Option<Instant>,
    /// StasisEnd: in which turn of the node, and whether the instance had given no cause for it.
    pub ended: Option<(Turn, bool)>,
    /// Place among the typed keys of the one that is delivered next.
    next: usize,
}

/// One call.
#[derive(Debug)]
pub struct CallCheck {
    /// Its port.
    pub port: PortId,
    /// The latest offer.
    pub channel: Option<Channel>,
    /// Keys that the node took, and when.
    typed: Vec<(char, Instant)>,
    /// Which of them were delivered to anybody.
    delivered: Vec<bool>,
    /// The latest checkpoint, and that of the latest acknowledgement.
    checkpoint: String,
    pub acknowledged: String,
    /// The last digit that had to wait went out then.
    waited_at: Option<Instant>,
    /// Owners so far: only `main`, only `basic`.
    only: Option<Kind>,
    mixed: bool,
    /// Offers after the first.
    pub rebinds: u32,
    /// Somebody asked the port to end or transfer the call.
    pub may_end: bool,
}

impl CallCheck {
    /// A call that has just begun.
    pub fn new(port: PortId) -> Self {
        Self {
            port,
            channel: None,
            typed: Vec::new(),
            delivered: Vec::new(),
            checkpoint: String::new(),
            acknowledged: String::new(),
            waited_at: None,
            only: None,
            mixed: false,
            rebinds: 0,
            may_end: false,
        }
    }

    /// The owner: it was offered the call, and has not been told otherwise.
    pub fn owner(&self) -> Option<&Channel> {
        self.channel.as_ref().filter(|channel| channel.ended.is_none())
    }

    /// The keys as one word.
    pub fn typed(&self) -> String {
        self.typed.iter().map(|(key, _)| *key).collect()
    }

    /// Those of them that were delivered to anybody.
    pub fn delivered(&self) -> String {
        let keys = self.typed.iter().zip(&self.delivered);
        keys.filter(|(_, delivered)| **delivered).map(|((key, _), _)| *key).collect()
    }

    /// Whether only applications that acknowledge ever had it.
    pub fn only_acknowledging(&self) -> bool {
        self.only == Some(Kind::Main) && !self.mixed
    }

    /// StasisStart.
    pub fn offered(
        &mut self,
        (now, turn): (Instant, Turn),
        to: InstanceId,
        kind: Kind,
        generation: u32,
        reason: &str,
        checkpoint: &str,
    ) -> Result<(), String> {
        // Who hands a call on has done with what it was given.
        self.mixed |= self.only.is_some_and(|only| only != kind) || reason == "moved";
        self.only = Some(kind);
        self.rebinds += u32::from(self.channel.is_some());
        let before = self.channel.take();
        let next = if self.only_acknowledging() { checkpoint.len() } else { 0 };
        let next = match &before {
            Some(before) if kind == Kind::Basic && !self.mixed => before.next,
            _ => next,
        };
        self.channel = Some(Channel {
            instance: to,
            generation,
            offered_at: now,
            claimed_at: None,
            ended: None,
            next,
        });
        if let Some(before) = before {
            succeeds(turn, &before, to, generation, reason)?;
        }
        if self.only_acknowledging() && !self.typed().starts_with(checkpoint) {
            return Err(format!(
                "checkpoint {checkpoint} of a call in which {} was typed",
                self.typed()
            ));
        }
        Ok(())
    }

    /// StasisEnd. `innocent`: the instance works, and did all the time.
    pub fn ended(
        &mut self,
        turn: Turn,
        to: InstanceId,
        generation: u32,
        innocent: bool,
    ) -> Result<(), String> {
        let of_it = |c: &&mut Channel| c.instance == to && c.generation == generation;
        let Some(channel) = self.channel.as_mut().filter(of_it) else {
            return Err(format!("StasisEnd of generation {generation} for {to}, not its channel"));
        };
        if channel.ended.is_some() {
            return Err(format!("a second StasisEnd for {to}"));
        }
        channel.ended = Some((turn, innocent));
        Ok(())
    }

    /// The node took a key.
    pub fn key(&mut self, now: Instant, key: char) {
        self.typed.push((key, now));
        self.delivered.push(false);
    }

    /// ChannelDtmfReceived.
    pub fn digit(
        &mut self,
        now: Instant,
        to: InstanceId,
        generation: u32,
        key: char,
    ) -> Result<(), String> {
        let strict = self.only_acknowledging();
        let mine =
            |c: &&mut Channel| c.instance == to && c.generation == generation && c.ended.is_none();
        let Some(channel) = self.channel.as_mut().filter(mine) else {
            return Err(format!("digit {key} for {to}, which does not own the call"));
        };
        let gate = channel.offered_at + HOLD_MAX;
        let gate = channel.claimed_at.map_or(gate, |at| gate.min(at + HOLD_AFTER_CLAIM));
        if now < gate {
            return Err(format!("digit {key} for {to} before the new owner may have one"));
        }
        if self.waited_at.is_some_and(|at| now < at + PACE) {
            return Err(format!("digit {key} for {to} right behind one that had to wait"));
        }
        let Some(place) = place_of(&self.typed, channel.next, key, strict) else {
            let typed: String = self.typed.iter().map(|(key, _)| *key).collect();
            let next = channel.next;
            return Err(format!("digit {key} for {to}: {typed} was typed, {next} of it had gone"));
        };
        channel.next = place + 1;
        self.delivered[place] = true;
        self.waited_at = (strict && self.typed[place].1 < now).then_some(now);
        Ok(())
    }

    /// The owner sent more than it may, and does not repeat what was refused: what it says of
    /// digits has gaps from here on.
    pub fn was_throttled(&mut self) {
        self.mixed = true;
    }

    /// The owner set its checkpoint.
    pub fn set_checkpoint(&mut self, value: &str) {
        self.checkpoint = value.replace("%23", "#");
    }

    /// The owner acknowledged so many digits.
    pub fn acknowledge(&mut self, count: &str) -> Result<(), String> {
        if count == "0" {
            return Ok(());
        }
        self.acknowledged.clone_from(&self.checkpoint);
        let typed = self.typed();
        if self.only_acknowledging() && !typed.starts_with(&self.acknowledged) {
            return Err(format!("checkpoint {} where {typed} was typed", self.acknowledged));
        }
        Ok(())
    }

    /// Whether everything that was typed has arrived where it belongs.
    pub fn has_settled(&self) -> bool {
        let Some(channel) = self.owner() else { return true };
        let all = self.typed.len();
        if self.only_acknowledging() {
            return self.acknowledged.len() == all;
        }
        // Where nobody acknowledges, a rebind discards what waited.
        self.mixed
            || self.rebinds > 0
            || self.delivered.iter().skip(channel.next).all(|delivered| *delivered)
    }
}

fn succeeds(
    turn: Turn,
    before: &Channel,
    to: InstanceId,
    generation: u32,
    reason: &str,
) -> Result<(), String> {
    if generation <= before.generation {
        return Err(format!("generation {generation} offered after {}", before.generation));
    }
    let Some((ended_in, innocent)) = before.ended else {
        return Err(format!("{} had the call and was not told that it lost it", before.instance));
    };
    let fault = matches!(reason, "hang" | "no_start" | "caller_silence");
    if fault && innocent {
        return Err(format!(
            "{} lost the call ({reason}) for no fault of its own",
            before.instance
        ));
    }
    let refused = fault || matches!(reason, "crash" | "operator");
    if refused && before.instance == to && ended_in == turn {
        return Err(format!("offered ({reason}) to {to}, which has just lost it"));
    }
    Ok(())
}

/// The place of a delivered key among the typed ones: the next one, or the first of its kind where
/// keys in between may be discarded. With any later one what waits in between would be judged lost.
fn place_of(typed: &[(char, Instant)], next: usize, key: char, strict: bool) -> Option<usize> {
    let rest = typed.get(next..)?;
    let ahead = rest.iter().position(|(typed, _)| *typed == key)?;
    (ahead == 0 || !strict).then_some(next + ahead)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: InstanceId = InstanceId(1);
    const SECOND: InstanceId = InstanceId(2);

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    /// A call of `main` at the first instance, claimed, with 1 and 2 typed and delivered.
    fn call() -> CallCheck {
        let mut call = CallCheck::new(PortId(0));
        call.offered((at(0), 0), FIRST, Kind::Main, 1, "new", "").expect("first");
        call.channel.as_mut().expect("offered").claimed_at = Some(at(1));
        for (ms, key) in [(1_000, '1'), (1_200, '2')] {
            call.key(at(ms), key);
            call.digit(at(ms), FIRST, 1, key).expect("in order");
        }
        call
    }

    fn moved(call: &mut CallCheck, checkpoint: &str) -> Result<(), String> {
        call.ended(1, FIRST, 1, false).expect("its channel");
        call.offered((at(2_000), 1), SECOND, Kind::Main, 2, "hang", checkpoint)?;
        call.channel.as_mut().expect("offered").claimed_at = Some(at(2_001));
        Ok(())
    }

    #[test]
    fn what_the_checkpoint_lacks_must_come_once_and_in_order() {
        let mut call = call();
        moved(&mut call, "1").expect("a prefix");
        assert_eq!(call.digit(at(2_300), SECOND, 2, '2'), Ok(()));
        assert!(call.digit(at(2_500), SECOND, 2, '2').is_err(), "doubled");
        let mut call = self::call();
        moved(&mut call, "").expect("a prefix");
        assert!(call.digit(at(2_300), SECOND, 2, '2').is_err(), "1 is lost");
    }

    #[test]
    fn a_digit_must_wait_for_the_gate_and_for_the_one_before_it() {
        let mut call = call();
        moved(&mut call, "").expect("a prefix");
        assert!(call.digit(at(2_250), SECOND, 2, '1').is_err(), "too early");
        assert_eq!(call.digit(at(2_251), SECOND, 2, '1'), Ok(()));
        assert!(call.digit(at(2_400), SECOND, 2, '2').is_err(), "too close");
        assert_eq!(call.digit(at(2_401), SECOND, 2, '2'), Ok(()));
    }

    #[test]
    fn tokens_grow_and_the_old_owner_is_told_first() {
        let mut call = call();
        assert!(call.offered((at(3), 3), SECOND, Kind::Main, 2, "crash", "").is_err(), "not told");
        let mut call = self::call();
        call.ended(3, FIRST, 1, false).expect("its channel");
        assert!(
            call.offered((at(3), 3), SECOND, Kind::Main, 1, "crash", "").is_err(),
            "same token"
        );
        let mut call = self::call();
        call.ended(3, FIRST, 1, false).expect("its channel");
        assert!(call.offered((at(3), 3), FIRST, Kind::Main, 2, "hang", "").is_err(), "back to it");
        let mut call = self::call();
        call.ended(3, FIRST, 1, true).expect("its channel");
        assert!(call.offered((at(3), 3), SECOND, Kind::Main, 2, "hang", "").is_err(), "innocent");
    }

    #[test]
    fn without_acknowledgement_a_key_may_be_missing_but_never_come_again() {
        let mut call = CallCheck::new(PortId(0));
        call.offered((at(0), 0), FIRST, Kind::Basic, 1, "new", "").expect("first");
        for key in ['1', '2', '3'] {
            call.key(at(1_000), key);
        }
        assert_eq!(call.digit(at(3_000), FIRST, 1, '1'), Ok(()));
        assert_eq!(call.digit(at(3_200), FIRST, 1, '3'), Ok(()));
        assert!(call.digit(at(3_400), FIRST, 1, '2').is_err());
        assert_eq!(call.delivered, [true, false, true]);
    }
    #[test]
    fn a_key_that_waited_is_not_taken_for_the_same_one_that_has_just_come() {
        let mut call = CallCheck::new(PortId(0));
        call.offered((at(0), 0), FIRST, Kind::Basic, 1, "new", "").expect("first");
        call.key(at(1_900), '5');
        call.key(at(2_100), '5');
        assert_eq!(call.digit(at(2_100), FIRST, 1, '5'), Ok(()));
        assert_eq!(call.digit(at(2_250), FIRST, 1, '5'), Ok(()));
        assert!(call.digit(at(2_400), FIRST, 1, '5').is_err());
    }
}
