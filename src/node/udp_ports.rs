//! UDP ports for RTP: random and even, one per call, and cooled down before they are used again.
//!
//! A guessable port invites injection (SECURITY R-02), and a port used again at once would hear
//! the last words of the call before.

use std::collections::{BTreeSet, VecDeque};

use rand_core::RngCore;

use crate::config;
use crate::ids::Rng;
use crate::timers::{Duration, Instant};

/// How long a port rests after a call.
const COOL_DOWN: Duration = Duration::from_secs(60);

/// The ports that may be taken.
#[derive(Debug)]
pub struct UdpPorts {
    free: Vec<u16>,
    cooling: VecDeque<(Instant, u16)>,
    taken: BTreeSet<u16>,
}

impl UdpPorts {
    /// All even ports of the configured range whose RTCP neighbour is in it too.
    pub fn new(media: &config::Media) -> Self {
        let first = media.udp_first.next_multiple_of(2);
        let free = (first..media.udp_last).step_by(2).collect();
        Self { free, cooling: VecDeque::new(), taken: BTreeSet::new() }
    }

    /// A port for a new call. When all rested ones are taken, the one that rested longest.
    pub fn take(&mut self, now: Instant, rng: &mut Rng) -> Option<u16> {
        while self.cooling.front().is_some_and(|&(at, _)| at <= now) {
            let (_, port) = self.cooling.pop_front()?;
            self.free.push(port);
        }
        let port = if self.free.is_empty() {
            self.cooling.pop_front()?.1
        } else {
            let at = rng.next_u32() as usize % self.free.len();
            self.free.swap_remove(at)
        };
        self.taken.insert(port);
        Some(port)
    }

    /// This port, for a call that had it at another node; false: it has none of that number, or
    /// another call has it.
    pub fn take_this(&mut self, port: u16) -> bool {
        let free = self.free.iter().position(|&free| free == port);
        let cooling = self.cooling.iter().position(|&(_, cooling)| cooling == port);
        if let Some(at) = free {
            self.free.swap_remove(at);
        } else if let Some(at) = cooling {
            self.cooling.remove(at);
        } else {
            return false;
        }
        self.taken.insert(port)
    }

    /// Ports that a call could have, the ones that cool down included.
    pub fn available(&self) -> usize {
        self.free.len() + self.cooling.len()
    }

    /// Gives a port back after its call.
    pub fn give_back(&mut self, now: Instant, port: u16) {
        if self.taken.remove(&port) {
            self.cooling.push_back((now + COOL_DOWN, port));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use rand_core::SeedableRng;

    use super::*;

    fn ports(first: u16, last: u16) -> UdpPorts {
        UdpPorts::new(&config::Media {
            address: std::net::Ipv4Addr::LOCALHOST.into(),
            udp_first: first,
            udp_last: last,
            workers: None,
            prompts: PathBuf::new(),
            recordings: PathBuf::new(),
            rtp_timeout: Duration::from_secs(30),
        })
    }

    #[test]
    fn a_port_rests_after_its_call_unless_all_others_are_taken() {
        let mut rng = Rng::seed_from_u64(1);
        let mut ports = ports(10_001, 10_007);
        let now = Instant::ZERO;
        let first = ports.take(now, &mut rng).expect("10002 or 10004 or 10006");
        ports.give_back(now, first);
        let others = [ports.take(now, &mut rng), ports.take(now, &mut rng)];
        assert!(!others.contains(&Some(first)), "rested ones come first");
        assert_eq!(ports.take(now, &mut rng), Some(first), "rather early than no call");
        assert_eq!(ports.take(now, &mut rng), None);
    }

    #[test]
    fn a_port_that_a_call_had_elsewhere_is_taken_if_it_is_ours_and_free() {
        let mut rng = Rng::seed_from_u64(1);
        let mut ports = ports(10_000, 10_004);
        assert!(ports.take_this(10_002) && !ports.take_this(10_002));
        assert!(!ports.take_this(10_001) && !ports.take_this(20_000));
        assert_eq!(ports.take(Instant::ZERO, &mut rng), Some(10_000));
        ports.give_back(Instant::ZERO, 10_002);
        assert!(ports.take_this(10_002), "also one that cools down");
    }

    #[test]
    fn every_port_is_even_and_its_neighbour_is_in_the_range() {
        let mut rng = Rng::seed_from_u64(2);
        let mut ports = ports(10_000, 10_010);
        let mut taken: Vec<u16> =
            std::iter::from_fn(|| ports.take(Instant::ZERO, &mut rng)).collect();
        taken.sort_unstable();
        assert_eq!(taken, [10_000, 10_002, 10_004, 10_006, 10_008]);
    }
}
