//! The rules of the pool as claims, in virtual time.

mod calls;
mod checker;
mod digits;
mod failures;
mod life;
mod nonsense;
mod random;
mod world;
