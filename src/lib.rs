//! portkeeper: soft voice ports for a PBX, lent to IVR instances and rebound when one hangs.
//!
//! The map of the code, right to left: a module may name only what stands to its right.
//!
//! ```text
//! main -> {demo, bench} -> stage -> {driver, sim} -> admin -> node
//!      -> {pool, menu, ha, ivr, cti, sip, media} -> {sdp, config, store} -> {ids, timers, redact}
//! ```
//!
//! Everything left of `admin` touches the world; everything else is a pure machine with the four
//! functions `handle_input`, `handle_timeout`, `poll_output` and `poll_timeout`.
//! "What happens when ...?" has one file: [`node`]'s `route.rs`.

pub use portkeeper_codecs as codecs;

pub mod ids;
pub mod mutants;
pub mod redact;
pub mod timers;

pub mod config;
pub mod sdp;
pub mod store;

pub mod ha;
pub mod ivr;
pub mod media;
pub mod menu;
pub mod pool;
pub mod sip;

pub mod admin;
pub mod node;

#[cfg(feature = "driver")]
pub mod driver;
pub mod sim;

#[cfg(feature = "driver")]
pub mod bench;
#[cfg(feature = "driver")]
pub mod demo;
#[cfg(feature = "driver")]
pub mod stage;
