//! `portkeeper bench`: measurements on real sockets.

pub mod media;
pub mod port_switch;
pub mod simulation;
