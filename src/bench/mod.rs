//! `portkeeper bench`: measurements on real sockets.

pub mod ari;
pub mod false_verdicts;
pub mod livelock;
pub mod media;
pub mod peer;
pub mod port_switch;
pub mod register;
pub mod simulation;
