//! The world with three nodes: two that have ports, a witness, the links between them, their disks
//! and clocks, a PBX, phones, and applications that are connected to both.
//!
//! Like the [`World`](super::world) of one node it drives the product's machines as a driver would.
//! Here the rules of one call are not looked at again: what is looked at is who may act, what
//! leaves under whose lease, and what becomes of calls, keys, bindings and facts when a node is
//! lost.
//!
//! Files: `host` is a machine with its clock, `disk` and `pair` what stores and connects, `world`
//! the clock of it all, `node_side`, `pbx_side`, `sound` and `app_side` carry inputs and outputs,
//! `deeds` does what a `plan` says, `checks` and `settle` judge.

mod action;
mod app_side;
mod checks;
mod client;
mod clock;
mod deeds;
mod disk;
mod host;
mod ledger;
mod lines;
mod log;
mod node_side;
mod pair;
mod pbx_side;
mod plan;
pub mod run;
pub mod script;
mod settle;
mod site;
mod sound;
mod world;
