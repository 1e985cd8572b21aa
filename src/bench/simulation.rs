//! `portkeeper sim`: many seeds of the simulated world, on every core, and the score of its
//! checkers against planted bugs.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command")]

pub mod trio;

use std::io::{self, Write as _};
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use serde::Serialize;

use super::media::load::{self, Surroundings};
use crate::driver::clock;
use crate::sim::run::{self, Outcome};

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How many seeds.
    pub seeds: u64,
    /// The first one.
    pub from: u64,
    /// Print JSON as the last line.
    pub json: bool,
}

/// What came out. The names are those of the JSON.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Seeds run.
    pub seeds: u64,
    /// Faults done to the node.
    pub faults: u64,
    /// Steps of all worlds.
    pub steps: u64,
    /// Seeds in which something was wrong.
    pub violations: u64,
    /// Seconds that passed in the worlds.
    pub virtual_seconds: u64,
    /// Seconds that passed here.
    pub wall_seconds: f64,
}

/// Runs seeds, and says which of them failed and how. Returns whether none did.
pub fn run(options: Options) -> bool {
    let (began, surroundings) = (clock::now(), Surroundings::begin(&[]));
    let report = Report::default();
    let end = options.from.saturating_add(options.seeds);
    let parts = on_every_core(options.from, end, |next| {
        let mut part = Report::default();
        while let Some(seed) = next() {
            part.add(&run::run(seed, false));
        }
        part
    });
    let mut report = parts.iter().fold(report, Report::with);
    report.wall_seconds = clock::now().saturating_duration_since(began).as_secs_f64();
    // The JSON is what the worlds make of it; this is what the machine adds.
    let cores = surroundings.other_cores(&[]);
    eprintln!("scheduling {}, other processes {cores:.2} cores", load::scheduling());
    report.print(options.json);
    report.violations == 0
}

/// Prints every note of some seeds, one after the other. Returns whether nothing was wrong.
pub fn trace(from: u64, seeds: u64) -> bool {
    let mut good = true;
    for seed in from..from.saturating_add(seeds) {
        let outcome = run::run(seed, true);
        good &= outcome.violation.is_none();
        if print_notes(outcome.seed, &outcome.trace).is_err() {
            break; // Whoever reads has read enough.
        }
    }
    good
}

fn print_notes(seed: u64, notes: &[String]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "seed {seed}")?;
    for line in notes {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

impl Report {
    fn add(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        self.faults += outcome.faults;
        self.steps += outcome.steps;
        self.virtual_seconds += run::SECONDS;
        if let Some((text, last)) = &outcome.violation {
            self.violations += 1;
            let (seed, last) = (outcome.seed, last.join("\n  "));
            eprintln!("seed {seed}: {text}\n  {last}");
            eprintln!("  again: portkeeper sim --from {seed} --seeds 1 --trace");
        }
    }

    fn with(mut self, part: &Self) -> Self {
        self.seeds += part.seeds;
        self.faults += part.faults;
        self.steps += part.steps;
        self.violations += part.violations;
        self.virtual_seconds += part.virtual_seconds;
        self
    }

    fn print(&self, json: bool) {
        if json {
            println!("{}", serde_json::json!(self));
            return;
        }
        println!(
            "{} seeds, {} faults, {} steps, {} violations; {} virtual seconds in {:.1} s: {:.0} \
             virtual seconds a second",
            self.seeds,
            self.faults,
            self.steps,
            self.violations,
            self.virtual_seconds,
            self.wall_seconds,
            self.virtual_seconds as f64 / self.wall_seconds.max(1e-9)
        );
    }
}

/// Runs `work` once on every core; each call of the function it is given is a seed of its own.
fn on_every_core<T: Send>(
    from: u64,
    end: u64,
    work: impl Fn(&dyn Fn() -> Option<u64>) -> T + Sync,
) -> Vec<T> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let counter = AtomicU64::new(from);
    let next = || Some(counter.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < end);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(|| work(&next))).collect();
        // A panic of a world is a panic of the whole.
        threads.into_iter().map(|thread| thread.join().expect("a world panicked")).collect()
    })
}

/// The score of the checkers.
#[cfg(feature = "mutants")]
mod mutants {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::{clock, on_every_core, run};
    use crate::mutants::{Mutant, plant};
    use crate::sim::trio;

    /// Those of one world, and how many seeds each may take until it shows.
    struct Hunt {
        mutants: &'static [Mutant],
        seeds_max: u64,
        run: fn(u64) -> Option<String>,
    }

    const HUNTS: [Hunt; 2] = [
        Hunt { mutants: Mutant::ALL, seeds_max: 2_000, run: one_node },
        Hunt { mutants: Mutant::OF_CLUSTER, seeds_max: 20_000, run: three_nodes },
    ];

    fn one_node(seed: u64) -> Option<String> {
        run::run(seed, false).violation.map(|(text, _)| text)
    }

    fn three_nodes(seed: u64) -> Option<String> {
        trio::run::run(seed, false).violation.map(|(text, _)| text)
    }

    /// Plants each bug and looks for it. Returns whether each was found.
    pub fn hunt(json: bool) -> bool {
        let mut missed = 0;
        for hunt in &HUNTS {
            missed += hunt.mutants.iter().filter(|mutant| !hunt.shows(**mutant)).count();
        }
        let all: usize = HUNTS.iter().map(|hunt| hunt.mutants.len()).sum();
        let found = all - missed;
        if json {
            let report = serde_json::json!({"mutants": all, "found": found, "missed": missed});
            println!("{report}");
        } else {
            println!("{all} planted bugs, {found} found, {missed} missed");
        }
        missed == 0
    }

    impl Hunt {
        fn shows(&self, mutant: Mutant) -> bool {
            let began = clock::now();
            let found = self.find(mutant);
            let wall = clock::now().saturating_duration_since(began).as_secs_f64();
            match &found {
                Some((seed, text)) => println!("{mutant:?}: seed {seed}, {wall:.1} s: {text}"),
                None => println!("{mutant:?}: not found in {} seeds, {wall:.1} s", self.seeds_max),
            }
            found.is_some()
        }

        /// The first seed that is wrong with the bug and right without it.
        fn find(&self, mutant: Mutant) -> Option<(u64, String)> {
            let found = AtomicBool::new(false);
            let parts = on_every_core(0, self.seeds_max, |next| {
                while !found.load(Ordering::Relaxed) {
                    let seed = next()?;
                    plant(Some(mutant));
                    let wrong = (self.run)(seed);
                    plant(None);
                    if let Some(text) = wrong.filter(|_| (self.run)(seed).is_none()) {
                        found.store(true, Ordering::Relaxed);
                        return Some((seed, text));
                    }
                }
                None
            });
            parts.into_iter().flatten().min()
        }
    }
}

#[cfg(feature = "mutants")]
pub use mutants::hunt;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_counted_whichever_core_had_it() {
        let good = run::run(3, false);
        let bad = Outcome { violation: Some(("planted".to_owned(), vec![])), ..good.clone() };
        let (mut first, mut second) = (Report::default(), Report::default());
        first.add(&good);
        second.add(&bad);
        let sum = first.with(&second);
        assert_eq!((sum.seeds, sum.violations, sum.virtual_seconds), (2, 1, 2 * run::SECONDS));
        assert_eq!((sum.faults, sum.steps), (2 * good.faults, 2 * good.steps));
    }
}
