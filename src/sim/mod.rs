//! The simulated world: a virtual clock, links that lose and delay, and actors.
