//! Scenario scripts: what is done to the world as lines of text, and what came of it likewise.
//!
//! ```text
//! # An instance dies, and its call goes on under the other one.
//! 0.1 start main
//! 1.0 call 6000
//! 2.0 kill i1
//! 3.0 end
//! ```
//!
//! Each line is a time in seconds and an [`Action`](super::action::Action) in the words of its
//! `Display`; `end` ends the script. Links are fair and never vary, so the expected output stays
//! the same while the code of the node does. Behind the notes stands one line for each call.

pub(super) mod words;

use super::notes::Note;
use super::pbx::Manner;
use super::world::{Setup, World};
use crate::timers::{Duration, Instant};

/// What decides the little that chance still has to say: names of calls, first sequence numbers.
const SEED: u64 = 1;

/// The longest script. A longer one is a mistake in a number.
const SECONDS_MAX: u64 = 600;

/// A script that was read, with what is done in its world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Script<A> {
    pub deeds: Vec<(Instant, A)>,
    pub end: Instant,
}

/// Plays a script. Returns its notes and a summary, one a line.
///
/// # Errors
///
/// The number of the line that cannot be read, and the line.
pub fn play(text: &str) -> Result<Vec<String>, String> {
    let script = read(text, words::action)?;
    let setup = Setup { seed: SEED, manner: Manner::default(), full_trace: true, steady: true };
    let mut world = World::new(&setup);
    for (at, action) in script.deeds {
        world.plan(at, action);
    }
    world.run_until(script.end);
    let mut lines: Vec<_> = world.trace().notes().map(|(at, note)| line(*at, note)).collect();
    lines.extend(world.summary());
    Ok(lines)
}

/// Reads a script whose actions are in these words.
pub(super) fn read<A>(
    text: &str,
    action: impl Fn(&[&str]) -> Option<A>,
) -> Result<Script<A>, String> {
    let mut script = Script { deeds: Vec::new(), end: Instant::ZERO };
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            let understood = understand(line, &action, &mut script);
            understood.ok_or_else(|| format!("line {}: {line}", number + 1))?;
        }
    }
    if script.end == Instant::ZERO {
        return Err("the script has no `end`".to_owned());
    }
    Ok(script)
}

fn understand<A>(
    line: &str,
    action: impl Fn(&[&str]) -> Option<A>,
    script: &mut Script<A>,
) -> Option<()> {
    let mut words = line.split_whitespace();
    let at = time(words.next()?)?;
    let words: Vec<&str> = words.collect();
    if words == ["end"] {
        script.end = at;
    } else {
        script.deeds.push((at, action(&words)?));
    }
    Some(())
}

/// Seconds, with up to three places.
fn time(word: &str) -> Option<Instant> {
    let (seconds, rest) = word.split_once('.').unwrap_or((word, ""));
    let seconds = seconds.parse().ok().filter(|seconds| *seconds < SECONDS_MAX)?;
    let is_short = rest.len() <= 3 && rest.bytes().all(|byte| byte.is_ascii_digit());
    let ms = is_short.then(|| format!("{rest:0<3}").parse().ok()).flatten()?;
    Some(Instant::ZERO + Duration::from_secs(seconds) + Duration::from_millis(ms))
}

/// A note as one line, its time in thousandths.
fn line(at: Instant, note: &Note) -> String {
    let ms = at.as_nanos() / 1_000_000;
    format!("{:>2}.{:03} {note}", ms / 1_000, ms % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        for wrong in ["1.0 kill 1", "x call 6000", "1.2345 call 6000", "999 call 6000", "1"] {
            let text = format!("# one\n{wrong}\n2.0 end\n");
            assert_eq!(play(&text), Err(format!("line 2: {wrong}")));
        }
        assert!(play("1.0 start main\n").is_err(), "no end");
    }

    #[test]
    fn a_script_is_played_the_same_each_time() {
        let text = "0.1 start main\n1 call 6000\n1.5 press 1 at 6000\n2.0 end";
        let lines = play(text).expect("a script");
        assert!(lines.iter().any(|line| line.ends_with("6000 i1 gets 1")), "{lines:#?}");
        assert_eq!(play(text), Ok(lines));
    }
}
