//! The simulated world: a virtual clock, links that lose and delay, and actors.
//!
//! The actors are machines too (`pbx`, `phone`, `app`): [`World`](world) drives them under its
//! clock, `portkeeper demo` and `portkeeper bench` drive the same ones on loopback sockets.

pub mod app;
pub mod pbx;
pub mod phone;

pub mod fuzz;
