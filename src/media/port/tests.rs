//! Claims about a port's media as a whole, in virtual time.

mod digits;
mod harness;
mod recording;
mod sending;
mod session;
