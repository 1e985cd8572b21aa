//! The endpoint from end to end, in virtual time, against a scripted PBX.
//!
//! [`Bench`] holds the endpoint and the wire. What the endpoint sends waits in order until the
//! script takes it; a script that takes something else than what comes next fails, and
//! [`Bench::silence`] fails when anything is left. Names begin with the item of the checklist that
//! they prove.

mod bench;
mod bindings;
mod bodies;
mod calls_in;
mod calls_out;
mod early;
mod far_end;
mod in_dialog;
mod lives;
mod names;
mod nodes;
mod recovery;
mod registration;
mod routes;
mod snapshots;
mod sources;
mod streams;
mod texts;
mod timers;
mod trunk;

use bench::{Bench, GENERIC, PBX, RAND, local_media, sdp};
use far_end::Call;
