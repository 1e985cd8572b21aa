//! What is forced over HTTP is said twice: the second time with six digits of the first answer, by
//! the same token and within a minute. A request that went out by accident, or is sent again by
//! some proxy, forces nothing.

use std::collections::BTreeMap;

use crate::admin::RoleWish;
use crate::timers::{Duration, Instant};

/// For the second time.
const AGAIN_WITHIN: Duration = Duration::from_secs(60);

/// What was said once, by the name of the token.
#[derive(Debug, Default)]
pub(super) struct Forced(BTreeMap<String, Once>);

#[derive(Debug)]
struct Once {
    wish: RoleWish,
    digits: String,
    until: Instant,
}

impl Forced {
    /// Whether an order needs to be said twice.
    pub(super) const fn needs(wish: &RoleWish) -> bool {
        match wish {
            RoleWish::Promote { force, .. } => force.is_some(),
            RoleWish::Switchover { force, .. } => *force,
            RoleWish::Pause | RoleWish::Resume | RoleWish::Rejoin | RoleWish::Release => false,
        }
    }

    /// Whether this is the second time, with the right digits.
    pub(super) fn is_said_again(
        &mut self,
        now: Instant,
        token: &str,
        wish: &RoleWish,
        digits: &str,
    ) -> bool {
        let once = self.0.remove(token);
        once.is_some_and(|once| now < once.until && once.wish == *wish && once.digits == digits)
    }

    /// It was said for the first time; `digits` have to come with the second.
    pub(super) fn said(&mut self, now: Instant, token: &str, wish: RoleWish, digits: String) {
        self.0.insert(token.to_owned(), Once { wish, digits, until: now + AGAIN_WITHIN });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn force(node: &str) -> RoleWish {
        RoleWish::Promote { node: Some(node.to_owned()), force: Some("a is off".to_owned()) }
    }

    #[test]
    fn only_the_same_order_of_the_same_token_with_its_digits_in_time_is_the_second() {
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        let second = |seconds, token: &str, wish: &RoleWish, digits: &str| {
            let mut forced = Forced::default();
            forced.said(at(0), "desk", force("b"), "123456".to_owned());
            forced.is_said_again(at(seconds), token, wish, digits)
        };
        assert!(second(59, "desk", &force("b"), "123456"));
        assert!(!second(60, "desk", &force("b"), "123456"), "too late");
        assert!(!second(1, "wall", &force("b"), "123456"), "somebody else");
        assert!(!second(1, "desk", &force("a"), "123456"), "another node");
        assert!(!second(1, "desk", &force("b"), "123457"), "other digits");
    }

    #[test]
    fn the_digits_are_good_once() {
        let mut forced = Forced::default();
        forced.said(Instant::ZERO, "desk", force("b"), "123456".to_owned());
        for wanted in [true, false] {
            let again = forced.is_said_again(Instant::ZERO, "desk", &force("b"), "123456");
            assert_eq!(again, wanted);
        }
    }

    #[test]
    fn what_forces_nothing_is_said_once() {
        let calm = [
            RoleWish::Promote { node: None, force: None },
            RoleWish::Switchover { to: "b".to_owned(), force: false },
            RoleWish::Release,
        ];
        assert!(!calm.iter().any(Forced::needs));
        assert!(Forced::needs(&force("b")));
        assert!(Forced::needs(&RoleWish::Switchover { to: "b".to_owned(), force: true }));
    }
}
