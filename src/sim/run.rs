//! One seed, one run: the same to the last step, whoever runs it and when.

use rand_core::SeedableRng;

use super::links::Dice;
use super::notes::line;
use super::plan::{self, EMPTY_AT, END_AT, HEALED_AT, REGISTERED_AT, SETTLED_AT};
use super::world::{Setup, World};
use crate::ids::{Rng, fork};
use crate::timers::{Duration, Instant};

/// Virtual seconds of one seed.
pub const SECONDS: u64 = END_AT / 1_000;

/// What came out of a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// Faults that were done to the node.
    pub faults: u64,
    /// Steps of the world.
    pub steps: u64,
    /// Two runs of one seed have the same.
    pub hash: u64,
    /// What was wrong, and the last notes before it.
    pub violation: Option<(String, Vec<String>)>,
    /// Every note, if asked for.
    pub trace: Vec<String>,
}

/// Runs a seed. `full` keeps every note.
pub fn run(seed: u64, full: bool) -> Outcome {
    let mut rng = Rng::seed_from_u64(seed);
    let mut dice = Dice::new(fork(&mut rng));
    let manner = plan::manner(&mut dice);
    let mut world = World::new(&Setup { seed, manner, full_trace: full, steady: false });
    for (at, action) in plan::draw(&mut dice) {
        if at < after(HEALED_AT) {
            world.plan(at, action);
        }
    }
    for action in plan::relief() {
        world.plan(after(HEALED_AT), action);
    }
    live(&mut world);
    outcome(seed, &world, full)
}

fn live(world: &mut World) {
    world.run_until(after(REGISTERED_AT));
    world.must_be_registered();
    world.run_until(after(HEALED_AT));
    world.heal();
    world.run_until(after(SETTLED_AT));
    world.must_be_settled();
    world.must_be_served();
    world.everybody_hangs_up();
    world.run_until(after(EMPTY_AT));
    world.must_be_empty();
    world.stop();
    world.run_until(after(END_AT));
    world.must_have_stopped();
}

fn outcome(seed: u64, world: &World, full: bool) -> Outcome {
    let trace = world.trace();
    Outcome {
        seed,
        faults: world.faults(),
        steps: world.steps(),
        hash: trace.hash(),
        violation: world.failure().map(|failure| (failure.text.clone(), failure.last.clone())),
        trace: if full {
            trace.notes().map(|(at, note)| line(*at, note)).collect()
        } else {
            vec![]
        },
    }
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
}
