//! Many random lives, and each planted bug found in one of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::life::{CALM_MS, Life, PORTS, WILD_MS};
use super::world::{at, config};
use crate::config::Config;
use crate::ids::{CallId, PortId};

/// What went wrong in the life of this seed.
fn live(seed: u64, config: Arc<Config>) -> Option<String> {
    let mut life = Life::new(seed, config);
    life.run_until(WILD_MS);
    life.calm();
    life.run_until(WILD_MS + CALM_MS);
    life.checker.settled(at(life.now), &life.pool);
    let ports: BTreeSet<(PortId, CallId)> = life.calls.iter().map(|(&p, &c)| (p, c)).collect();
    for (port, call) in ports {
        life.hangup(port, call);
    }
    life.checker.fault.map(|fault| format!("seed {seed}, {fault}"))
}

fn lists() -> [Arc<Config>; 2] {
    [
        config(PORTS, "[\"main\"]", ""),
        config(PORTS, "[\"main\", \"basic\", \"builtin:announce\"]", ""),
    ]
}

/// The first of `seeds` lives that goes wrong.
fn first_fault(seeds: u64) -> Option<String> {
    let lists = lists();
    (0..seeds).find_map(|seed| live(seed, lists[usize::from(seed % 2 == 1)].clone()))
}

#[test]
fn no_random_life_breaks_a_rule() {
    assert_eq!(first_fault(100), None);
}

#[test]
fn the_same_seed_is_the_same_life() {
    let life = || {
        let mut life = Life::new(7, lists()[1].clone());
        life.run_until(WILD_MS);
        (life.pool.counters().clone(), life.count, life.keys)
    };
    assert_eq!(life(), life());
}

#[cfg(feature = "mutants")]
#[test]
fn every_planted_bug_is_found_within_2000_lives() {
    use crate::mutants::{Mutant, plant};
    let missed: Vec<Mutant> = Mutant::ALL
        .iter()
        .copied()
        .filter(|&mutant| {
            plant(Some(mutant));
            let fault = first_fault(2_000);
            plant(None);
            fault.is_none()
        })
        .collect();
    assert_eq!(missed, []);
}
