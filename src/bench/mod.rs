//! `portkeeper bench`: measurements on real sockets.

pub mod media;
pub mod simulation;
