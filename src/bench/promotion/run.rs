//! One promotion, from the loss of a primary to its return as a backup.

use std::io;
use std::net::IpAddr;

use super::{Found, Loss, Options};
use crate::driver::clock;
use crate::sim::pbx::{Event, LineId};
use crate::stage::cast::PATIENCE;
use crate::stage::figures::Digits;
use crate::stage::node::pause;
use crate::stage::pbx::{LineReport, LineState, Noted};
use crate::stage::sound;
use crate::stage::trio::{Registrations, Trio, other};
use crate::timers::{Duration, Instant};

/// A new caller waits so long for an answer, and dials again.
const ATTEMPT: Duration = Duration::from_millis(50);

/// How often the notes of the PBX are read.
const LOOK: Duration = Duration::from_millis(2);

/// Keys are on their way when the loss comes, where somebody is there to hear them.
const KEYS_BEFORE: Duration = Duration::from_millis(100);

/// A key takes so long, and the prompt is heard for a while.
const SETTLE: Duration = Duration::from_millis(600);

/// A prompt's place is taken from so many packets.
const PLACED_BY: usize = 10;

/// Loses the primary, waits for the other one, and brings the lost one back.
pub(super) fn once(trio: &mut Trio, options: Options, found: &mut Found) -> io::Result<()> {
    let primary = trio.wait_for_primary()?;
    let next = other(primary);
    trio.wait_for_backup(next)?;
    trio.staff(primary)?;
    trio.staff(next)?;
    let lines = trio.place(options.calls);
    trio.wait_until_served(&lines, primary)?;
    press(trio, &lines, "47");
    let across = options.loss == Loss::Planned;
    pause(if across { KEYS_BEFORE } else { SETTLE });
    trio.pbx.events.try_iter().for_each(drop);
    let lost_at = options.loss.happen(trio, primary)?;
    let seen = watch(trio, next, options.calls, lost_at, found)?;
    found.registered.push(seen.registered_at.saturating_duration_since(lost_at));
    found.first_new_call.push(seen.answered_at.saturating_duration_since(lost_at));
    found.detect.push(trio.acted_at(next)?.saturating_duration_since(lost_at));
    pause(SETTLE);
    press(trio, &lines, "58");
    pause(SETTLE);
    gather(trio, &lines, next, lost_at, found)?;
    trio.hang_up(&lines, next)?;
    if options.loss == Loss::Host {
        trio.sites[primary].node.wake()?;
    }
    trio.wait_for_backup(primary)
}

fn press(trio: &Trio, lines: &[LineId], keys: &str) {
    lines.iter().for_each(|&line| trio.press(line, keys));
}

/// What the PBX saw of a promotion.
struct Seen {
    registered_at: Instant,
    answered_at: Instant,
}

/// Watches until every port is bound to the new primary and a new call was answered there.
fn watch(
    trio: &mut Trio,
    next: usize,
    calls: u32,
    lost_at: Instant,
    found: &mut Found,
) -> io::Result<Seen> {
    let mut eyes = Eyes::new(trio, next, calls);
    while clock::now().saturating_duration_since(lost_at) < PATIENCE {
        eyes.dial_again(trio);
        pause(LOOK);
        for noted in trio.pbx.events.try_iter() {
            eyes.see(&noted);
        }
        if let (Some(registered_at), Some(answered_at)) =
            (eyes.registrations.complete_at, eyes.answered_at)
        {
            eyes.hang_up(trio);
            found.calls_refused += eyes.refused;
            return Ok(Seen { registered_at, answered_at });
        }
    }
    let (bound, ports) = eyes.registrations.progress();
    let answered = eyes.answered_at.is_some();
    let what = format!(
        "waited in vain: {bound} of {ports} ports are registered, new calls answered: {answered}"
    );
    Err(io::Error::new(io::ErrorKind::TimedOut, what))
}

struct Eyes {
    address: IpAddr,
    registrations: Registrations,
    answered_at: Option<Instant>,
    attempt: Option<Attempt>,
    /// Ports without a call.
    free: u32,
    refused: usize,
}

/// A new caller.
struct Attempt {
    line: LineId,
    since: Instant,
    /// Free ports that were dialled for it.
    dialled: u32,
    is_refused: bool,
}

impl Eyes {
    fn new(trio: &Trio, next: usize, calls: u32) -> Self {
        Self {
            address: trio.sites[next].address,
            registrations: Registrations::at(trio, next),
            answered_at: None,
            attempt: None,
            free: trio.ports.saturating_sub(calls),
            refused: 0,
        }
    }

    fn dial_again(&mut self, trio: &mut Trio) {
        if self.answered_at.is_some() {
            return;
        }
        let now = clock::now();
        match &self.attempt {
            Some(attempt) if now >= attempt.since + ATTEMPT => self.hang_up(trio),
            Some(Attempt { is_refused: true, since, dialled, .. }) if *dialled < self.free => {
                self.attempt = Some(Attempt::dial(trio, *since, *dialled));
            }
            Some(Attempt { is_refused: true, .. }) => {
                self.refused += 1;
                self.attempt = None;
            }
            Some(_) => {}
            None => self.attempt = Some(Attempt::dial(trio, now, 0)),
        }
    }

    fn hang_up(&mut self, trio: &Trio) {
        if let Some(attempt) = self.attempt.take() {
            trio.give_up(attempt.line);
        }
    }

    fn see(&mut self, noted: &Noted) {
        self.registrations.see(noted);
        match &noted.event {
            Event::Answered { line, media }
                if self.is_attempt(*line) && media.remote.ip() == self.address =>
            {
                self.answered_at = self.answered_at.or(Some(noted.at));
            }
            Event::Ended { line, refused: Some(_), .. } if self.is_attempt(*line) => {
                if let Some(attempt) = &mut self.attempt {
                    attempt.is_refused = true;
                }
            }
            _ => {}
        }
    }

    fn is_attempt(&self, line: LineId) -> bool {
        self.attempt.as_ref().is_some_and(|attempt| attempt.line == line)
    }
}

impl Attempt {
    /// Dials the next free port; the last ports have no calls.
    fn dial(trio: &mut Trio, since: Instant, dialled: u32) -> Self {
        let line = trio.dial(trio.ports - 1 - dialled);
        Self { line, since, dialled: dialled + 1, is_refused: false }
    }
}

fn gather(
    trio: &mut Trio,
    lines: &[LineId],
    next: usize,
    lost_at: Instant,
    found: &mut Found,
) -> io::Result<()> {
    let report = trio.pbx.report();
    let calls = trio.sites[next].calls()?;
    let taken = trio.crew.digits();
    for line in lines {
        let Some(line) = report.lines.get(line) else { continue };
        found.calls_lost += usize::from(line.state != LineState::Up);
        found.gaps.extend(longest_gap(line, lost_at));
        found.offsets.extend(offset_error(line, lost_at));
        let call = calls.iter().find(|call| call["extension"] == line.extension);
        let name = call.and_then(|call| call["call"].as_str()).unwrap_or_default();
        let received = taken.get(name).map_or("", String::as_str);
        found.digits = found.digits.plus(Digits::compare(&line.pressed, received));
    }
    Ok(())
}

/// The longest time without a packet since the loss.
pub(super) fn longest_gap(line: &LineReport, lost_at: Instant) -> Option<Duration> {
    let before = line.arrivals.partition_point(|at| *at < lost_at).saturating_sub(1);
    let arrivals = line.arrivals.get(before..)?;
    arrivals.windows(2).map(|two| two[1].saturating_duration_since(two[0])).max()
}

/// How far the sound behind the longest gap is from where the prompt is by then: it runs on while
/// nobody hears it, as the clock of the stream does.
pub(super) fn offset_error(line: &LineReport, lost_at: Instant) -> Option<Duration> {
    let pitches = &line.pitches;
    let first = pitches.partition_point(|(at, _)| *at < lost_at).saturating_sub(1);
    let after = (first + 1..pitches.len())
        .max_by_key(|&n| pitches[n].0.saturating_duration_since(pitches[n - 1].0))?;
    let before = pitches.get(after.saturating_sub(PLACED_BY)..after)?;
    let behind = pitches.get(after..(after + PLACED_BY).min(pitches.len()))?;
    Some(Duration::from_secs_f64((began(behind) - began(before)).abs()))
}

/// When the prompt began, by some packets of it, in seconds of the clock.
fn began(pitches: &[(Instant, f64)]) -> f64 {
    let began = |(at, hz): &(Instant, f64)| at.as_nanos() as f64 / 1e9 - sound::position(*hz);
    pitches.iter().map(began).sum::<f64>() / pitches.len() as f64
}
