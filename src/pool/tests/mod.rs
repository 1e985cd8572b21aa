//! The rules of the pool as claims, in virtual time.
