//! The menu on a virtual clock.

mod alerted;
mod calls;
mod desk;
mod forced;
mod logins;
mod promotions;
mod random;
mod sounds;
