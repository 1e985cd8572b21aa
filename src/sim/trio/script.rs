//! Scenario scripts of a site with several nodes: what is done to the world as lines of text, and
//! what came of it likewise.
//!
//! ```text
//! # The primary loses its power: the backup serves.
//! 2.0 call 6000
//! 4.0 a has no power for 20000 ms
//! 8.0 end
//! ```
//!
//! The words are those of an action's `Display`. Behind the notes stand what each node is and what
//! each caller hears. Notes that only name what chance gave are left out, and times are in tenths
//! of a second, so that the expected output stays the same while the code of the nodes does.

mod words;

use super::pbx_side::Caller;
pub use super::site::Site;
use super::site::{NAMES, node_at};
use super::world::{Setup, World};
use crate::ha::Role;
use crate::sim::pbx::{LineId, Manner};
use crate::sim::script;
use crate::sim::site::extension;
use crate::timers::{Duration, Instant};

const SEED: u64 = 1;

/// Whoever has heard nothing for so long hears nothing.
const SILENCE: Duration = Duration::from_millis(200);

/// Plays a script in a site. Returns its notes and what there is in the end, one a line.
///
/// # Errors
///
/// The number of the line that cannot be read, and the line.
pub fn play(text: &str, site: Site) -> Result<Vec<String>, String> {
    let script = script::read(text, words::action)?;
    let manner = Manner { first_stays: site == Site::Refusing, ..Manner::default() };
    let setup = Setup { seed: SEED, manner, site, full_trace: true };
    let mut world = World::new(&setup);
    for (at, action) in script.deeds {
        world.plan(at, action);
    }
    world.run_until(script.end);
    let notes = world.log.notes().filter_map(|(at, note)| line(at, note));
    let mut lines: Vec<String> = notes.collect();
    lines.extend(world.summary());
    Ok(lines)
}

fn line(at: Instant, note: &str) -> Option<String> {
    if note.contains(" has a copy of ") {
        return None;
    }
    let note = note
        .split_once(" rings as ")
        .map_or_else(|| note.to_owned(), |(port, _)| format!("{port} rings"));
    let tenths = at.as_nanos() / 100_000_000;
    Some(format!("{:>2}.{} {note}", tenths / 10, tenths % 10))
}

impl World {
    fn summary(&self) -> Vec<String> {
        let last = if self.site == Site::Pair { 1 } else { 2 };
        let nodes = (0..=last).map(|at| self.node_summary(at));
        nodes.chain(self.caller_summaries()).collect()
    }

    fn node_summary(&self, at: usize) -> String {
        let name = NAMES[at];
        let Some(process) = &self.hosts[at].process else { return format!("{name}: dead") };
        let facts = process.node.member().map(|member| member.facts_status());
        let pending = facts.as_ref().map_or(0, |facts| facts.pending);
        let alone = if facts.is_some_and(|facts| facts.alone) { ", goes on alone" } else { "" };
        let role = match process.role {
            Role::Primary(epoch) | Role::Promoting(epoch) => format!("primary of {epoch}"),
            role => format!("{role:?}").to_lowercase(),
        };
        format!("{name}: {role}, {pending} records not acknowledged{alone}")
    }

    fn caller_summaries(&self) -> Vec<String> {
        let of = |(line, caller): (&LineId, &Caller)| {
            let at = self.pbx.far_end(*line).and_then(|far_end| node_at(far_end.ip()));
            let at = at.map_or("nobody", |at| NAMES[at]);
            let silent = self.now > caller.heard_at + SILENCE;
            let hears = if silent { "hears nothing" } else { "hears sound" };
            format!("{}: at {at}, {hears}", extension(caller.port))
        };
        self.callers.iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        for wrong in ["1.0 order at a promote b", "1 cut c off", "1 a crashes for 5", "1"] {
            let text = format!("# one\n{wrong}\n2.0 end\n");
            assert_eq!(play(&text, Site::Trio), Err(format!("line 2: {wrong}")));
        }
    }

    #[test]
    fn a_script_is_played_the_same_each_time() {
        let text = "2 call 6000\n3 a has no power for 9000 ms\n6 end";
        let lines = play(text, Site::Trio).expect("a script");
        assert!(lines.iter().any(|line| line == "6000: at b, hears sound"), "{lines:#?}");
        assert_eq!(play(text, Site::Trio), Ok(lines));
    }
}
