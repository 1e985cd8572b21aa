//! The rules of the pool as claims, in virtual time.

mod calls;
mod digits;
mod failures;
mod world;
