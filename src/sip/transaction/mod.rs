//! The four transactions of RFC 3261 section 17, with the Accepted states of RFC 6026.
//!
//! Each decides when a message is sent again, when a message of the other side is a repetition,
//! and when the other side is given up. They hold finished bytes and know neither address nor
//! header: whoever holds one reads the message, names it by its branch and carries the bytes.

pub(crate) mod client_invite;
pub(crate) mod client_request;
pub(crate) mod server_invite;
pub(crate) mod server_request;

use crate::timers::Duration;

/// Estimate of a round trip, and the first pause before a repetition (RFC 3261 17.1.1.1).
pub(crate) const T1: Duration = Duration::from_millis(500);
/// Longest pause between repetitions of a request that is not INVITE, and of a final response.
pub(crate) const T2: Duration = Duration::from_secs(4);
/// How long a message may stay in the network.
pub(crate) const T4: Duration = Duration::from_secs(5);
/// When a side that does not answer is given up (timers B, F, H, J, L, M).
pub(crate) const T1_X64: Duration = Duration::from_secs(32);

/// The next pause of a doubling series that ends at T2.
pub(crate) fn doubled(pause: Duration) -> Duration {
    pause.saturating_mul(2).min(T2)
}
