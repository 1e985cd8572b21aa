//! The rules of the lease as claims, in virtual time.

mod cluster;
mod pair;
mod solo;
mod table;
mod voter;
