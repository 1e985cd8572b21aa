//! `portkeeper bench`: measurements on real sockets.

pub mod media;
