//! The faces of the real program: its command line, its Unix socket, its HTTP pages, its log, what
//! it tells systemd; and what a person sees and a caller hears when something is wrong.
//!
//! Each test starts the built binary with a configuration of its own, on loopback. The PBX and its
//! phones are the simulator's on real sockets.

mod agents;
mod bad_input;
mod cluster;
mod commands;
mod configuration;
mod instances;
mod log;
mod malformed;
mod pages;
mod relay;
mod stand;
mod supervisor;
mod systemd;
mod tokens;
mod watch;
