//! The simulated world: a virtual clock, links that lose and delay, and actors.
//!
//! The actors are machines too (`pbx`, `phone`, `app`): [`World`](world) drives them under its
//! clock, `portkeeper demo` and `portkeeper bench` drive the same ones on loopback sockets.

mod action;
pub mod app;
mod checks;
mod links;
mod notes;
pub mod pbx;
pub mod phone;
mod plan;
mod process;
mod queue;
pub mod run;
pub mod script;
mod site;
pub mod trio;
mod world;

pub mod fuzz;
