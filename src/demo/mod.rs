//! `portkeeper demo`: the whole thing on loopback, without configuration.
