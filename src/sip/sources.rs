//! Who may speak to us, and how much.
//!
//! A PBX does not answer challenges, so the source address is the only proof of an incoming
//! request: configured PBX addresses pass, and everybody else meets silence. A stranger that gets
//! no answer learns nothing, not even that somebody is here. What the PBX itself may start is
//! bounded by a token bucket, so that a loop between two proxies does not take the node along.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::timers::{Duration, Instant};

/// New transactions a second that the PBX may start.
const PACE: Duration = Duration::from_millis(5);
/// And at once after a rest.
const BURST: u32 = 400;

/// The doorkeeper.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    pbx: BTreeSet<IpAddr>,
    /// Were among them once.
    former: BTreeSet<IpAddr>,
    /// When the bucket will be full again.
    full_at: Instant,
}

impl Sources {
    /// `pbx`: every address that may send requests.
    pub(crate) fn new(pbx: impl IntoIterator<Item = IpAddr>) -> Self {
        let pbx = pbx.into_iter().map(canonical).collect();
        Self { pbx, former: BTreeSet::new(), full_at: Instant::ZERO }
    }

    /// Others may send requests from here on; of those before them, `stays` says who is remembered.
    pub(crate) fn replace(
        &mut self,
        pbx: impl IntoIterator<Item = IpAddr>,
        stays: impl Fn(&IpAddr) -> bool,
    ) {
        self.former.append(&mut self.pbx);
        self.former.retain(stays);
        self.pbx.extend(pbx.into_iter().map(canonical));
    }

    /// Whether requests of this address are heard.
    pub(crate) fn knows(&self, address: IpAddr) -> bool {
        self.pbx.contains(&canonical(address))
    }

    /// Whether requests of this address were heard before.
    pub(crate) fn knew(&self, address: IpAddr) -> bool {
        self.former.contains(&canonical(address))
    }

    /// Takes a token for a new transaction, if there is one.
    pub(crate) fn admit(&mut self, now: Instant) -> bool {
        if self.full_at > now + PACE * (BURST - 1) {
            return false;
        }
        self.full_at = self.full_at.max(now) + PACE;
        true
    }
}

/// A dual-stack socket shows IPv4 peers as mapped IPv6.
fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_configured_addresses_are_known() {
        let sources = Sources::new(["192.0.2.1".parse().expect("address")]);
        assert!(sources.knows("192.0.2.1".parse().expect("address")));
        assert!(sources.knows("::ffff:192.0.2.1".parse().expect("address")));
        assert!(!sources.knows("192.0.2.2".parse().expect("address")));
    }

    #[test]
    fn four_hundred_at_once_and_then_two_hundred_a_second() {
        let mut sources = Sources::new([]);
        let start = Instant::from_nanos(1_000_000_000_000);
        let admitted =
            |sources: &mut Sources, now| (0..1000).filter(|_| sources.admit(now)).count();
        assert_eq!(admitted(&mut sources, start), 400);
        assert_eq!(admitted(&mut sources, start + Duration::from_secs(1)), 200);
    }
}
