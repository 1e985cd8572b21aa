//! One seed, one run of the world of three nodes.

use rand_core::SeedableRng;

pub use super::checks::Counts;
use super::plan::{self, HEALED_AT, SETTLED_AT};
use super::site::Site;
use super::world::{Setup, World};
use crate::ids::{Rng, fork};
use crate::sim::links::Dice;
use crate::timers::{Duration, Instant};

/// Virtual seconds of one seed. One in which both nodes start late takes longer: the second of them
/// leaves the role to the first for a while.
pub const SECONDS: u64 = 20;

/// After everybody hung up it may take so long until nothing is left.
const EMPTIES: Duration = Duration::from_millis(2_500);

/// A node that is not the first waits so long after its start, and takes over in this much more.
const BOOT: Duration = Duration::from_secs(13);

/// What came out of a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// Faults that were done.
    pub faults: u64,
    /// Steps of the world.
    pub steps: u64,
    /// Two runs of one seed have the same.
    pub hash: u64,
    /// What was found.
    pub counts: Counts,
    /// Somebody used force.
    pub forced: bool,
    /// What was wrong, and the last notes before it.
    pub violation: Option<(String, Vec<String>)>,
    /// Every note, if asked for.
    pub trace: Vec<String>,
}

/// Runs a seed. `full` keeps every note.
pub fn run(seed: u64, full: bool) -> Outcome {
    run_with(seed, full, true)
}

/// The same; without faults nothing is done but what callers do.
pub fn run_with(seed: u64, full: bool, faults: bool) -> Outcome {
    let mut rng = Rng::seed_from_u64(seed);
    let mut dice = Dice::new(fork(&mut rng));
    let (manner, vm) = (plan::manner(&mut dice), dice.chance(250));
    let site = if vm { Site::Vm } else { Site::Trio };
    let mut world = World::new(&Setup { seed, manner, site, full_trace: full });
    for (at, action) in plan::draw(&mut dice, vm) {
        if at < after(HEALED_AT) && (faults || !action.is_fault()) {
            world.plan(at, action);
        }
    }
    live(&mut world);
    Outcome {
        seed,
        faults: world.faults,
        steps: world.steps,
        hash: world.log.hash(),
        counts: world.checks.counts,
        forced: world.checks.forced,
        violation: world.checks.failure.clone(),
        trace: if full { world.log.lines().collect() } else { Vec::new() },
    }
}

fn live(world: &mut World) {
    world.run_until(after(HEALED_AT));
    world.heal();
    let mut at = after(HEALED_AT);
    for _ in 0..2 {
        at += Duration::from_millis(1_200);
        world.run_until(at);
        world.relieve();
    }
    world.run_until(after(SETTLED_AT));
    at = after(SETTLED_AT);
    let latest = at.max(world.latest_start() + BOOT);
    while at < latest && world.unsettled().is_some() {
        at += Duration::from_millis(250);
        world.run_until(at);
    }
    world.must_be_settled();
    world.everybody_hangs_up();
    world.run_until(at + EMPTIES);
    world.must_be_empty();
}

fn after(ms: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_is_the_same_run_and_another_seed_another() {
        let first = run(1, false);
        assert_eq!(first, run(1, false));
        assert_ne!(first.hash, run(2, false).hash);
    }

    #[test]
    fn without_faults_one_node_serves_from_the_beginning_to_the_end() {
        for seed in 0..4 {
            let outcome = run_with(seed, false, false);
            assert_eq!(outcome.violation, None, "seed {seed}");
            assert_eq!(outcome.counts.promotions, 1, "seed {seed}");
        }
    }
}
