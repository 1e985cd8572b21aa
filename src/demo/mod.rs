//! `portkeeper demo`: the whole thing on loopback, without configuration.
//!
//! A PBX emulator, a node with 30 registered ports and three IVR instances, all real processes and
//! sockets. Callers listen to a menu and key digits; one instance is frozen and woken, another is
//! killed; and at the end it is counted what the callers noticed. In a second act, which
//! [`second`] tells, a whole server dies.

mod screen;
mod second;
mod versus;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::driver::clock;
use crate::sim::pbx::LineId;
use crate::stage::cast::{Cast, Troupe, until};
use crate::stage::figures::{Digits, Durations};
use crate::stage::node::pause;
use crate::stage::pbx::{Command, LineState, Report};
use crate::stage::sound;
use screen::Screen;

const PORTS: u32 = 30;
const CALLS: u32 = 24;
/// Calls whose sound is kept.
const RECORDED: u32 = 2;

/// What the command line says.
#[derive(Clone, Debug)]
pub struct Options {
    /// One JSON object as the last line.
    pub json: bool,
    /// The same freeze beside a real Asterisk, instead.
    pub against_asterisk: bool,
    /// Where the sound and the log of the node are left; `None`: a new directory.
    pub out: Option<PathBuf>,
}

/// What a demo found.
#[derive(Clone, Debug)]
pub struct Outcome {
    calls: usize,
    calls_lost: usize,
    digits: Digits,
    stale_commands_refused: u64,
    audio_gap: Duration,
    hang: Durations,
    crash: Durations,
}

/// Plays the demo; whether no call and no digit was lost or doubled.
pub fn run(options: &Options) -> io::Result<bool> {
    let directory = directory(options.out.clone())?;
    std::fs::create_dir_all(&directory)?;
    if options.against_asterisk {
        return versus::run(options, &directory);
    }
    let mut screen = Screen::new(options.json);
    screen.say(&format!("PBX emulator, one node, {PORTS} ports: starting"));
    let cast = Cast { ports: PORTS, directory: directory.clone() };
    let mut troupe = cast.start()?;
    screen.say(&format!("{PORTS} ports are registered at the PBX"));
    let outcome = play(&mut troupe, &mut screen)?;
    let sounds = keep_sounds(&troupe.report(), &directory)?;
    troupe.node.stop()?;
    let second = second::play(&directory, &mut screen)?;
    screen.say("");
    for line in outcome.text().lines().chain(second.text().lines()) {
        screen.plain(line);
    }
    for path in sounds {
        screen.plain(&format!("listen to what a caller heard: {}", path.display()));
    }
    if options.json {
        let mut result = outcome.json();
        for (key, value) in second.json()? {
            result[key] = value;
        }
        screen.result(&result.to_string());
    }
    Ok(outcome.is_clean() && second.is_clean())
}

/// Where everything goes. A whole path, as nodes read others from where their configuration is.
fn directory(out: Option<PathBuf>) -> io::Result<PathBuf> {
    std::path::absolute(out.unwrap_or_else(|| {
        std::env::temp_dir().join(format!("portkeeper-demo-{}", std::process::id()))
    }))
}

/// The acts, in order.
fn play(troupe: &mut Troupe, screen: &mut Screen) -> io::Result<Outcome> {
    for _ in 0..3 {
        troupe.add_instance()?;
    }
    screen.say("three IVR instances are connected: i1, i2, i3");
    let lines = troupe.call(CALLS, RECORDED)?;
    screen.say(&format!("{CALLS} callers listen to the menu"));
    for &line in &lines {
        troupe.press(line, "12");
    }
    watch(troupe, screen, Duration::from_millis(1_500))?;

    let hang = freeze(troupe, screen, &lines)?;
    let crash = kill(troupe, screen, &lines)?;

    for &line in &lines {
        troupe.press(line, "9");
    }
    watch(troupe, screen, Duration::from_millis(1_500))?;
    curtain(troupe, screen, &lines, hang, crash)
}

/// The first instance hangs with calls in its hands, and wakes up too late.
fn freeze(troupe: &mut Troupe, screen: &mut Screen, lines: &[LineId]) -> io::Result<Durations> {
    let calls = troupe.calls_of(0);
    screen.say(&format!("SIGSTOP to i1, which has {calls} calls; the callers key digits"));
    let at = troupe.crew.instances[&0].freeze()?;
    for &line in lines {
        troupe.press(line, "34");
    }
    let switches = troupe.wait_for_switches(at, calls)?;
    let mut durations = Durations::default();
    durations.add(at, &switches);
    watch(troupe, screen, Duration::from_millis(2_000))?;
    screen.say("SIGCONT to i1: it goes on where it was, and finds its calls gone");
    troupe.crew.instances[&0].wake()?;
    until("the woken instance's late commands are refused", || {
        Ok(stale_commands(&troupe.status()?) > 0)
    })?;
    watch(troupe, screen, Duration::from_millis(1_000))?;
    Ok(durations)
}

/// The second instance dies.
fn kill(troupe: &mut Troupe, screen: &mut Screen, lines: &[LineId]) -> io::Result<Durations> {
    let calls = troupe.calls_of(1);
    for &line in lines {
        troupe.press(line, "56");
    }
    pause(Duration::from_millis(250));
    screen.say(&format!("SIGKILL to i2, which has {calls} calls, in the middle of digits"));
    let Some(mut instance) = troupe.crew.instances.remove(&1) else {
        return Err(io::Error::other("the second instance is gone"));
    };
    let at = instance.kill()?;
    let switches = troupe.wait_for_switches(at, calls)?;
    let mut durations = Durations::default();
    durations.add(at, &switches);
    watch(troupe, screen, Duration::from_millis(2_000))?;
    Ok(durations)
}

/// Everybody hangs up, and it is counted.
fn curtain(
    troupe: &mut Troupe,
    screen: &mut Screen,
    lines: &[LineId],
    hang: Durations,
    crash: Durations,
) -> io::Result<Outcome> {
    let calls = troupe.calls()?;
    let before = troupe.report();
    let stale_commands_refused = stale_commands(&troupe.status()?);
    let up = |line: &&LineId| before.lines[line].state == LineState::Up;
    let calls_up = lines.iter().filter(up).count();
    let taken = troupe.digits();
    let mut digits = Digits::default();
    for call in &calls {
        let of_call =
            |report: &&crate::stage::pbx::LineReport| call["extension"] == report.extension;
        let sent = before.lines.values().find(of_call).map_or("", |report| &report.pressed);
        let received = call["call"].as_str().and_then(|call| taken.get(call));
        digits = digits.plus(Digits::compare(sent, received.map_or("", String::as_str)));
    }
    for &line in lines {
        troupe.pbx.command(Command::HangUp { line });
    }
    until("every call has ended", || Ok(troupe.calls()?.is_empty()))?;
    screen.say("the callers have hung up");
    let audio_gap = before.lines.values().map(|line| line.heard.longest_gap).max();
    Ok(Outcome {
        calls: lines.len(),
        calls_lost: lines.len() - calls_up,
        digits,
        stale_commands_refused,
        audio_gap: audio_gap.unwrap_or_default(),
        hang,
        crash,
    })
}

/// Shows the state of things for a while.
fn watch(troupe: &Troupe, screen: &mut Screen, time: Duration) -> io::Result<()> {
    let until = clock::now() + time;
    while clock::now() < until {
        screen.show(&troupe.node)?;
        pause(Duration::from_millis(200));
    }
    Ok(())
}

fn stale_commands(status: &Value) -> u64 {
    status["counters"]["stale_commands_total"].as_u64().unwrap_or_default()
}

fn keep_sounds(report: &Report, directory: &std::path::Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for line in report.lines.values() {
        let Some((codec, bytes)) = &line.sound else { continue };
        let path = directory.join(format!("caller-of-{}.wav", line.extension));
        sound::write_wav(&path, *codec, bytes)?;
        paths.push(path);
    }
    Ok(paths)
}

impl Outcome {
    /// No call and no digit lost or doubled.
    fn is_clean(&self) -> bool {
        self.calls_lost == 0 && self.digits.lost == 0 && self.digits.doubled == 0
    }

    fn json(&self) -> Value {
        json!({
            "ports": PORTS,
            "calls": self.calls,
            "calls_lost": self.calls_lost,
            "digits_sent": self.digits.sent,
            "digits_received": self.digits.received,
            "digits_lost": self.digits.lost,
            "digits_doubled": self.digits.doubled,
            "stale_commands_refused": self.stale_commands_refused,
            "audio_gap_ms_max": self.audio_gap.as_secs_f64() * 1e3,
            "hang": self.hang.json(),
            "crash": self.crash.json(),
        })
    }

    fn text(&self) -> String {
        let row = |name: &str, of: &Durations| {
            let worst = |durations: &[Duration]| {
                let max = durations.iter().max().copied().unwrap_or_default();
                format!("{:8.1}", max.as_secs_f64() * 1e3)
            };
            format!(
                "{name:22} {:>3} {} {} {} {}\n",
                of.detect.len(),
                worst(&of.detect),
                worst(&of.decide),
                worst(&of.claim),
                worst(&of.total)
            )
        };
        let digits = self.digits;
        format!(
            "worst case, in ms    calls   detect   decide    claim    total\n{}{}\
             longest gap in what a caller heard: {:.1} ms (a packet is due every 20 ms)\n\
             calls: {}, lost: {}\n\
             digits: {} sent, {} received, {} lost, {} doubled\n\
             commands of the woken instance that were refused: {}\n",
            row("hang (SIGSTOP)", &self.hang),
            row("crash (SIGKILL)", &self.crash),
            self.audio_gap.as_secs_f64() * 1e3,
            self.calls,
            self.calls_lost,
            digits.sent,
            digits.received,
            digits.lost,
            digits.doubled,
            self.stale_commands_refused,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome() -> Outcome {
        Outcome {
            calls: 1,
            calls_lost: 0,
            digits: Digits::compare("12", "12"),
            stale_commands_refused: 0,
            audio_gap: Duration::ZERO,
            hang: Durations::default(),
            crash: Durations::default(),
        }
    }

    #[test]
    fn a_lost_call_and_a_lost_or_doubled_digit_fail_the_demo() {
        assert!(outcome().is_clean());
        assert!(!Outcome { calls_lost: 1, ..outcome() }.is_clean());
        for received in ["1", "112"] {
            let digits = Digits::compare("12", received);
            assert!(!Outcome { digits, ..outcome() }.is_clean(), "{received}");
        }
    }

    #[test]
    fn a_directory_that_is_named_from_here_is_not_looked_for_elsewhere() {
        for out in [Some("sound".into()), None] {
            assert!(directory(out).expect("a path").is_absolute());
        }
    }

    #[test]
    fn the_json_has_the_keys_of_the_manual() {
        let json = outcome().json();
        for key in ["ports", "calls", "calls_lost", "stale_commands_refused", "audio_gap_ms_max"] {
            assert!(json[key].is_number(), "{key}: {json}");
        }
        for key in ["digits_sent", "digits_received", "digits_lost", "digits_doubled"] {
            assert!(json[key].is_number(), "{key}: {json}");
        }
        for fault in ["hang", "crash"] {
            for key in ["detect_ms", "decide_ms", "claim_ms", "total_ms"] {
                assert_eq!(json[fault][key]["n"], 0, "{fault} {key}: {json}");
            }
        }
    }
}
