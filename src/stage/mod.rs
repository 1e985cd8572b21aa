//! The simulator's actors on loopback sockets: a PBX with phones, IVR applications as processes,
//! and a node as a process. `portkeeper demo` and `portkeeper bench` play on it.

pub mod agent;
pub mod asterisk;
pub mod cast;
pub mod crew;
pub mod figures;
pub mod instance;
pub mod kernel_time;
pub mod node;
pub mod pbx;
mod process;
pub mod promotion;
mod rest;
pub mod sound;
pub mod trio;

pub use process::play_with;
