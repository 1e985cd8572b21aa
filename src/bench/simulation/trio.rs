//! `portkeeper sim --nodes 3`: many seeds of the world of three nodes.

use serde::Serialize;

use super::{Options, load, on_every_core, print_notes};
use crate::driver::clock;
use crate::sim::trio::run::{self, Counts, Outcome};

/// What came out. The names are those of the JSON.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Seeds run.
    pub seeds: u64,
    /// Faults done.
    pub faults: u64,
    /// Steps of all worlds.
    pub steps: u64,
    /// Seeds in which something was wrong.
    pub violations: u64,
    /// Seconds that passed in the worlds.
    pub virtual_seconds: u64,
    /// Seconds that passed here.
    pub wall_seconds: f64,
    /// Two nodes might have acted at one instant.
    pub dual_primaries: u64,
    /// Claims that left after the deadline of their sender.
    pub sent_after_deadline: u64,
    /// The longest time that a stolen binding stayed stolen.
    pub bindings_repaired_ms_max: u64,
    /// Acknowledged facts that the last primary does not have.
    pub acknowledged_lost: u64,
    /// Calls that were copied and not carried on.
    pub not_recovered: u64,
    /// Promotions.
    pub promotions: u64,
    /// Calls that another node carried on.
    pub recovered: u64,
    /// Seeds in which somebody used force, whose safety is not counted.
    pub forced: u64,
}

/// Runs seeds, and says which of them failed and how. Returns whether none did.
pub fn run(options: Options) -> bool {
    let (began, surroundings) = (clock::now(), load::Surroundings::begin(&[]));
    let end = options.from.saturating_add(options.seeds);
    let parts = on_every_core(options.from, end, |next| {
        let mut part = Report::default();
        while let Some(seed) = next() {
            part.add(&run::run(seed, false));
        }
        part
    });
    let mut report = parts.iter().fold(Report::default(), Report::with);
    report.wall_seconds = clock::now().saturating_duration_since(began).as_secs_f64();
    let cores = surroundings.other_cores(&[]);
    eprintln!("scheduling {}, other processes {cores:.2} cores", load::scheduling());
    report.print(options.json);
    report.violations == 0
}

/// Prints every note of some seeds. Returns whether nothing was wrong.
pub fn trace(from: u64, seeds: u64) -> bool {
    let mut good = true;
    for seed in from..from.saturating_add(seeds) {
        let outcome = run::run(seed, true);
        good &= outcome.violation.is_none();
        if print_notes(seed, &outcome.trace).is_err() {
            break; // Whoever reads has read enough.
        }
    }
    good
}

impl Report {
    fn add(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        self.faults += outcome.faults;
        self.steps += outcome.steps;
        self.virtual_seconds += run::SECONDS;
        self.forced += u64::from(outcome.forced);
        self.count(&outcome.counts);
        if let Some((text, last)) = &outcome.violation {
            self.violations += 1;
            let (seed, last) = (outcome.seed, last.join("\n  "));
            eprintln!("seed {seed}: {text}\n  {last}");
            eprintln!("  again: portkeeper sim --nodes 3 --from {seed} --seeds 1 --trace");
        }
    }

    fn count(&mut self, counts: &Counts) {
        self.dual_primaries += counts.dual_primaries;
        self.sent_after_deadline += counts.sent_after_deadline;
        self.acknowledged_lost += counts.acknowledged_lost;
        self.not_recovered += counts.not_recovered;
        self.promotions += counts.promotions;
        self.recovered += counts.recovered;
        let max = &mut self.bindings_repaired_ms_max;
        *max = (*max).max(counts.bindings_repaired_ms_max);
    }

    fn with(mut self, part: &Self) -> Self {
        self.seeds += part.seeds;
        self.faults += part.faults;
        self.steps += part.steps;
        self.violations += part.violations;
        self.virtual_seconds += part.virtual_seconds;
        self.forced += part.forced;
        self.count(&Counts {
            dual_primaries: part.dual_primaries,
            sent_after_deadline: part.sent_after_deadline,
            bindings_repaired_ms_max: part.bindings_repaired_ms_max,
            acknowledged_lost: part.acknowledged_lost,
            not_recovered: part.not_recovered,
            promotions: part.promotions,
            recovered: part.recovered,
        });
        self
    }

    fn print(&self, json: bool) {
        if json {
            println!("{}", serde_json::json!(self));
            return;
        }
        println!(
            "{} seeds of three nodes, {} faults, {} promotions, {} calls carried on, {} \
             violations; {:.1} seeds a second",
            self.seeds,
            self.faults,
            self.promotions,
            self.recovered,
            self.violations,
            self.seeds as f64 / self.wall_seconds.max(1e-9)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_theft_of_all_cores_is_told() {
        let part = |ms| Report { bindings_repaired_ms_max: ms, seeds: 1, ..Report::default() };
        let sum = part(70).with(&part(900)).with(&part(20));
        assert_eq!((sum.seeds, sum.bindings_repaired_ms_max), (3, 900));
    }
}
