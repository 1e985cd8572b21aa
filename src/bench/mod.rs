//! `portkeeper bench`: measurements on real sockets.
