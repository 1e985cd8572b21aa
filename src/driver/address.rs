//! The service address, as the supervisor keeps it for its node.
//!
//! The supervisor alone may change the network card, and does so on the word of the node: hold the
//! address until a moment, which is the end of the lease. It is set with a lifetime of whole
//! seconds that reaches beyond that moment, so that the kernel takes it from a host whose processes
//! are frozen, and it is deleted at that moment by whoever is not. Whoever comes to it is told by
//! gratuitous ARP: at once and often, then each second for a while, and whenever another host says
//! that the address is its own; never closer than in quick succession, or two that hold it would
//! answer each other without end.
//!
//! What belongs to a node that is gone is deleted before the others hear of its end.

mod arp;
mod kernel;

use std::io;
use std::time::Duration;

use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, clear_ambient_capability_set, remove_capability_from_bounding_set,
};
use tracing::{error, info, warn};

use super::clock;
use crate::config::ServiceAddress;
use crate::timers::Instant;
use arp::{Arp, Card};
use kernel::Kernel;

/// Gratuitous ARP that leaves in quick succession.
const QUICK: u8 = 5;
const QUICK_EVERY: Duration = Duration::from_millis(100);
/// And from there on.
const SLOW_EVERY: Duration = Duration::from_secs(1);
const SLOW_FOR: Duration = Duration::from_secs(30);

/// The address, here or not.
#[derive(Debug)]
pub struct Keeper {
    service: ServiceAddress,
    kernel: Kernel,
    held: Option<Hold>,
}

/// It is here.
#[derive(Debug)]
struct Hold {
    until: Instant,
    card: Card,
    arp: Arp,
    announces: Announces,
}

/// When to say so next.
#[derive(Debug)]
struct Announces {
    quick: u8,
    at: Option<Instant>,
    /// Not before.
    rests_until: Instant,
    ends_at: Instant,
}

impl Keeper {
    /// Looks whether this process may do what it is for, and takes away what an earlier one left.
    /// What it starts from here on may not do the same.
    ///
    /// # Errors
    /// Why it cannot, and who must do what.
    pub fn open(service: &ServiceAddress) -> io::Result<Self> {
        let ServiceAddress { address, interface, .. } = service;
        let card = Card::find(interface)?;
        Arp::open(&card).map_err(|error| allowed("CAP_NET_RAW", error))?;
        let mut kernel = Kernel::open()?;
        if kernel.has_for_good(*address)? {
            let text = format!(
                "{address} of [cluster.address] is an address of this host for good: take it out \
                 of the network configuration; the node that is primary gets it by itself"
            );
            return Err(io::Error::other(text));
        }
        kernel.delete(service, card.index).map_err(|error| allowed("CAP_NET_ADMIN", error))?;
        keep_for_ourselves();
        Ok(Self { service: service.clone(), kernel, held: None })
    }

    /// The node may act until then: the address is here from here on.
    pub fn hold(&mut self, now: Instant, until: Instant) -> io::Result<()> {
        if until <= now {
            // The word is older than the lease that it speaks of.
            self.let_go();
            return Ok(());
        }
        let seconds = seconds_until(now, until);
        if let Some(hold) = &mut self.held {
            hold.until = until;
            let set = self.kernel.set(&self.service, hold.card.index, seconds);
            if set.is_err() {
                // The card may be another one when it comes back.
                self.held = None;
            }
            return set;
        }
        let card = Card::find(&self.service.interface)?;
        let arp = Arp::open(&card)?;
        self.kernel.set(&self.service, card.index, seconds)?;
        info!(address = %self.service.address, interface = self.service.interface, "address held");
        let announces = Announces::new(now);
        self.held = Some(Hold { until, card, arp, announces });
        self.step(now);
        Ok(())
    }

    /// The address is not here any more.
    pub fn let_go(&mut self) {
        let Some(hold) = self.held.take() else { return };
        match self.kernel.delete(&self.service, hold.card.index) {
            Ok(()) => info!(address = %self.service.address, "address let go"),
            // Its lifetime ends by itself.
            Err(error) => error!(address = %self.service.address, %error, "address not let go"),
        }
    }

    /// Waits until there is something to do, and does it.
    pub async fn next(&mut self) {
        let Some(hold) = &mut self.held else { return std::future::pending().await };
        let at = hold.announces.at.map_or(hold.until, |at| at.min(hold.until));
        let wait = at.saturating_duration_since(clock::now());
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            from = hold.arp.foreign(self.service.address, &hold.card) => {
                if hold.announces.hurry(clock::now()) {
                    warn!(address = %self.service.address, ?from, "another host says it has it");
                }
            }
        }
        self.step(clock::now());
    }

    /// What is due.
    fn step(&mut self, now: Instant) {
        let Some(hold) = &mut self.held else { return };
        if hold.until <= now {
            return self.let_go();
        }
        if hold.announces.is_due(now)
            && let Err(error) = hold.arp.announce(self.service.address, &hold.card)
        {
            warn!(address = %self.service.address, %error, "gratuitous ARP not sent");
        }
    }
}

impl Announces {
    fn new(now: Instant) -> Self {
        Self { quick: QUICK, at: Some(now), rests_until: now, ends_at: now + SLOW_FOR }
    }

    /// The next one comes as soon as it may. Whether that changes anything.
    fn hurry(&mut self, now: Instant) -> bool {
        let soon = now.max(self.rests_until);
        let sooner = self.at.is_none_or(|at| soon < at);
        if sooner {
            self.at = Some(soon);
        }
        sooner
    }

    /// Whether one is due; plans the next.
    fn is_due(&mut self, now: Instant) -> bool {
        if self.at.is_none_or(|at| now < at) {
            return false;
        }
        self.rests_until = now + QUICK_EVERY;
        self.quick = self.quick.saturating_sub(1);
        let pause = if self.quick > 0 { QUICK_EVERY } else { SLOW_EVERY };
        self.at = Some(now + pause).filter(|at| *at < self.ends_at);
        true
    }
}

/// A lifetime that reaches until then, in the kernel's seconds.
fn seconds_until(now: Instant, until: Instant) -> u32 {
    let left = until.saturating_duration_since(now);
    let whole = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    u32::try_from(whole.max(1)).unwrap_or(u32::MAX - 1)
}

/// The node below has no need of these rights. Best effort: without them it has less.
fn keep_for_ourselves() {
    let _ = clear_ambient_capability_set();
    for right in [CapabilitySet::NET_ADMIN, CapabilitySet::NET_RAW] {
        let _ = remove_capability_from_bounding_set(right);
    }
}

fn allowed(right: &str, error: io::Error) -> io::Error {
    let family = error.raw_os_error() == Some(Errno::AFNOSUPPORT.raw_os_error());
    if error.kind() != io::ErrorKind::PermissionDenied && !family {
        return error;
    }
    let text = format!(
        "cluster.takeover = \"shared_address\" needs {right} ({error}): give the systemd unit \
         \"AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW\", the same CapabilityBoundingSet, \
         \"RestrictAddressFamilies=AF_NETLINK AF_PACKET\" and \"PrivateUsers=no\" (`systemctl edit \
         portkeeper`; OPERATING.md, \"One address for both servers\")"
    );
    io::Error::new(error.kind(), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_whole_seconds_and_never_shorter_than_the_lease() {
        let now = Instant::from_nanos(7_000_000_000);
        let of = |ms| seconds_until(now, now + Duration::from_millis(ms));
        assert_eq!([480, 1_000, 1_001, 1_600, 5_000].map(of), [1, 1, 2, 2, 5]);
    }

    #[test]
    fn gratuitous_arp_comes_five_times_quickly_then_each_second_for_half_a_minute() {
        let start = Instant::from_nanos(1);
        let mut announces = Announces::new(start);
        let mut at = Vec::new();
        while let Some(next) = announces.at {
            assert!(announces.is_due(next) && at.len() < 100);
            at.push(next.saturating_duration_since(start).as_millis());
        }
        assert_eq!(at[..6], [0, 100, 200, 300, 400, 1_400]);
        assert_eq!((at.len(), at.last()), (34, Some(&29_400)));
    }

    #[test]
    fn who_claims_the_address_a_thousand_times_is_answered_ten_times_a_second() {
        let start = Instant::from_nanos(1);
        let mut announces = Announces::new(start);
        let minute = start + Duration::from_secs(60);
        while announces.at.is_some_and(|at| at < minute) {
            announces.is_due(announces.at.expect("due"));
        }
        let (mut sent, mut told) = (0, 0);
        for ms in 0..1_000 {
            let now = minute + Duration::from_millis(ms);
            told += u32::from(announces.hurry(now));
            sent += u32::from(announces.is_due(now));
        }
        // The eleventh word is of one that is due when the second is over.
        assert_eq!((sent, told), (10, 11));
    }

    #[test]
    fn a_missing_right_is_named_with_what_gives_it() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let text = allowed("CAP_NET_ADMIN", denied).to_string();
        assert!(text.contains("AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW"), "{text}");
    }
}
