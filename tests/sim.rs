//! The simulated world: the same seed is the same run, seeds that once told something stay quiet,
//! and the command prints what it promises.

#![expect(clippy::disallowed_methods, reason = "reads fixtures, runs threads and a command")]

use std::thread;

use portkeeper::sim::run::{self, Outcome};
use portkeeper::sim::trio;

/// Seeds of a fixture: a number and its story.
fn seeds(text: &'static str) -> Vec<(u64, &'static str)> {
    let rows = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    rows.map(|line| {
        let (seed, story) = line.split_once(' ').expect("a seed and its story");
        (seed.parse().expect("a seed"), story.trim())
    })
    .collect()
}

#[test]
fn the_same_seed_is_the_same_run_to_the_last_note() {
    let runs = |seed: u64| thread::spawn(move || run::run(seed, true));
    for seed in [11, 12, 13] {
        let (first, second) = (runs(seed), runs(seed));
        let join = |run: thread::JoinHandle<Outcome>| run.join().expect("no panic");
        let (first, second) = (join(first), join(second));
        assert_eq!(first.hash, second.hash, "seed {seed}");
        assert_eq!(first, second, "seed {seed}");
    }
}

#[test]
fn to_watch_a_run_does_not_change_it() {
    let (watched, alone) = (run::run(14, true), run::run(14, false));
    assert_eq!((watched.steps, watched.faults), (alone.steps, alone.faults));
    assert!(!watched.trace.is_empty() && alone.trace.is_empty());
}

#[test]
fn seeds_that_once_told_something_stay_quiet() {
    for (seed, story) in seeds(include_str!("../fixtures/seeds.txt")) {
        let outcome = run::run(seed, false);
        assert_eq!(outcome.violation, None, "seed {seed}, {story}");
    }
    for (seed, story) in seeds(include_str!("../fixtures/seeds_of_three.txt")) {
        let outcome = trio::run::run(seed, false);
        assert_eq!(outcome.violation, None, "three nodes, seed {seed}, {story}");
    }
}

#[cfg(feature = "driver")]
#[test]
fn the_command_ends_with_one_object_of_exactly_these_keys() {
    use std::process::Command;

    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portkeeper"));
        command.arg("sim").args(arguments).output().expect("it runs")
    };
    let output = run(&["--seeds", "2", "--from", "5", "--json"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let last: serde_json::Value =
        serde_json::from_str(text.lines().last().expect("a line")).expect("JSON");
    let keys: Vec<_> = last.as_object().expect("an object").keys().map(String::as_str).collect();
    let expected = ["faults", "seeds", "steps", "violations", "virtual_seconds", "wall_seconds"];
    assert_eq!(keys, expected);
    assert_eq!((&last["seeds"], &last["virtual_seconds"]), (&2.into(), &40.into()));
    let traced = run(&["--from", "5", "--seeds", "1", "--trace"]);
    assert!(traced.stdout.starts_with(b"seed 5\n"), "{traced:?}");
}
