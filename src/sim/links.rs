//! Links: one that loses, doubles, delays and overtakes (UDP), and one that only delays (TCP).

use rand_core::RngCore;

use crate::ids::Rng;
use crate::timers::{Duration, Instant};

/// Chance, drawn from the seed.
#[derive(Debug)]
pub struct Dice(Rng);

impl Dice {
    /// Dice that roll as `rng` says.
    pub const fn new(rng: Rng) -> Self {
        Self(rng)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u32) -> u32 {
        // The bias of 2^-32 x end tips no scale here.
        ((u64::from(self.0.next_u32()) * u64::from(end)) >> 32) as u32
    }

    /// Whether something that happens `permille` times in a thousand happens.
    pub fn chance(&mut self, permille: u32) -> bool {
        permille > 0 && self.below(1_000) < permille
    }

    /// A duration from `least` to `most`.
    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let micros = u32::try_from((most - least).as_micros()).unwrap_or(u32::MAX);
        least + Duration::from_micros(self.below(micros.max(1)).into())
    }
}

/// How a lossy link is just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weather {
    /// Datagrams lost, in a thousand.
    pub loss: u32,
    /// Datagrams that arrive twice, in a thousand.
    pub double: u32,
    /// Shortest way.
    pub delay: Duration,
    /// What chance adds to it; more than the pause between two datagrams lets them overtake.
    pub jitter: Duration,
}

impl Weather {
    /// A local network.
    pub const FAIR: Self = Self {
        loss: 0,
        double: 0,
        delay: Duration::from_micros(300),
        jitter: Duration::from_micros(700),
    };
}

/// A lossy link of one direction.
#[derive(Debug)]
pub struct Lossy {
    /// How it is.
    pub weather: Weather,
    dice: Dice,
}

impl Lossy {
    /// A link in fair weather.
    pub const fn new(dice: Dice) -> Self {
        Self { weather: Weather::FAIR, dice }
    }

    /// When a datagram sent at `now` arrives: never, once or twice.
    pub fn arrivals(&mut self, now: Instant) -> [Option<Instant>; 2] {
        let Weather { loss, double, delay, jitter } = self.weather;
        if self.dice.chance(loss) {
            return [None, None];
        }
        let first = now + self.dice.between(delay, delay + jitter);
        let twice = self.dice.chance(double);
        [Some(first), twice.then(|| first + self.dice.between(delay, delay + jitter))]
    }
}

/// One direction of a connection: nothing is lost, nothing overtakes, but it may stand still.
#[derive(Debug)]
pub struct Ordered {
    delay: Duration,
    jitter: Duration,
    last: Instant,
    still_until: Instant,
}

impl Ordered {
    /// A connection on a local network.
    pub const fn new(delay: Duration, jitter: Duration) -> Self {
        Self { delay, jitter, last: Instant::ZERO, still_until: Instant::ZERO }
    }

    /// Its delay never varies.
    pub fn be_steady(&mut self) {
        self.jitter = Duration::ZERO;
    }

    /// Nothing gets through until then.
    pub fn stand_still(&mut self, until: Instant) {
        self.still_until = self.still_until.max(until);
    }

    /// Until when it stands still, if it does.
    pub fn stands_still(&self, now: Instant) -> Option<Instant> {
        (self.still_until > now).then_some(self.still_until)
    }

    /// When what is sent at `now` arrives.
    pub fn arrival(&mut self, now: Instant, dice: &mut Dice) -> Instant {
        let way = dice.between(self.delay, self.delay + self.jitter);
        self.last = self.last.max(now.max(self.still_until) + way);
        self.last
    }
}

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng;

    use super::*;

    fn dice() -> Dice {
        Dice::new(Rng::seed_from_u64(7))
    }

    #[test]
    fn an_ordered_link_never_lets_anything_overtake_even_after_it_stood_still() {
        let ms = Duration::from_millis;
        let (mut link, mut dice) = (Ordered::new(ms(1), ms(50)), dice());
        let mut last = Instant::ZERO;
        for n in 0..200_u64 {
            let now = Instant::from_nanos(n * 1_000_000);
            if n == 50 {
                link.stand_still(now + ms(500));
            }
            let at = link.arrival(now, &mut dice);
            assert!(at >= last.max(now), "{n}");
            assert!(n < 50 || at >= Instant::from_nanos(550_000_000), "{n}");
            last = at;
        }
    }

    #[test]
    fn a_lossy_link_loses_and_doubles_about_as_often_as_it_says() {
        let mut link = Lossy::new(dice());
        link.weather = Weather { loss: 200, double: 100, ..Weather::FAIR };
        let arrivals: Vec<_> = (0..10_000).map(|_| link.arrivals(Instant::ZERO)).collect();
        let lost = arrivals.iter().filter(|a| a[0].is_none()).count();
        let doubled = arrivals.iter().filter(|a| a[1].is_some()).count();
        assert!((1_800..2_200).contains(&lost), "{lost}");
        assert!((700..900).contains(&doubled), "{doubled}");
    }
}
