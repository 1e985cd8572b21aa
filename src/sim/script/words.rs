//! Reads an action in the words of its `Display`.

use super::super::action::Action;
use super::super::links::Weather;
use super::super::process::{Kind, Pongs};
use super::super::site;
use crate::ids::{InstanceId, PortId};
use crate::timers::Duration;

/// The action that these words say.
pub fn action(words: &[&str]) -> Option<Action> {
    caller(words).or_else(|| process(words)).or_else(|| surroundings(words))
}

/// What callers do.
fn caller(words: &[&str]) -> Option<Action> {
    Some(match *words {
        ["call", at] => Action::Call { port: port(at)?, delayed_offer: false },
        ["call", at, "without", "an", "offer"] => {
            Action::Call { port: port(at)?, delayed_offer: true }
        }
        ["press", keys, "at", at] => Action::Press { port: port(at)?, keys: keys.to_owned() },
        ["info", key, "at", at] => Action::Info { port: port(at)?, key: key.parse().ok()? },
        ["hang", "up", at] => Action::HangUp { port: port(at)? },
        ["hold", at, ref rest @ ..] => Action::Hold { port: port(at)?, on: on(rest)? },
        _ => return None,
    })
}

/// What befalls the processes of applications.
fn process(words: &[&str]) -> Option<Action> {
    Some(match *words {
        ["start", kind, ref rest @ ..] => {
            Action::Start { kind: self::kind(kind)?, pongs: pongs(rest)? }
        }
        ["freeze", id] => Action::Freeze { instance: instance(id)?, on: true },
        ["wake", id] => Action::Freeze { instance: instance(id)?, on: false },
        ["kill", id] => Action::Kill { instance: instance(id)? },
        ["cut", id] => Action::Cut { instance: instance(id)? },
        ["livelock", id, ref rest @ ..] => {
            Action::Livelock { instance: instance(id)?, on: on(rest)? }
        }
        ["slow", id, "off"] => Action::Slow { instance: instance(id)?, think: None },
        ["slow", id, ms, "ms"] => Action::Slow { instance: instance(id)?, think: Some(time(ms)?) },
        ["stall", "node", ms, "ms"] => Action::StallNode { time: time(ms)? },
        ["stall", id, ms, "ms"] => Action::Stall { instance: instance(id)?, time: time(ms)? },
        _ => return None,
    })
}

/// What operators, the PBX and the network do.
fn surroundings(words: &[&str]) -> Option<Action> {
    Some(match *words {
        ["sip", ref sky @ ..] => Action::Sip(weather(sky)?),
        ["rtp", ref sky @ ..] => Action::Rtp(weather(sky)?),
        ["pbx", "forgets"] => Action::PbxForgets,
        ["pbx", "refuses", "with", status] => Action::PbxRefuses(Some(status.parse().ok()?)),
        ["pbx", "refuses", "nothing"] => Action::PbxRefuses(None),
        ["binds", "fail", permille] => Action::BindsFail(permille.parse().ok()?),
        ["drain", "node", ref rest @ ..] => Action::DrainNode { on: on(rest)? },
        ["drain", id, ref rest @ ..] => {
            Action::DrainInstance { instance: instance(id)?, on: on(rest)? }
        }
        ["rebind", at] => Action::Rebind { port: port(at)? },
        _ => return None,
    })
}

pub(in crate::sim) fn port(word: &str) -> Option<PortId> {
    site::port_of(word)
}

fn instance(word: &str) -> Option<InstanceId> {
    Some(InstanceId(word.strip_prefix('i')?.parse().ok()?))
}

fn kind(word: &str) -> Option<Kind> {
    [Kind::Main, Kind::Basic].into_iter().find(|kind| kind.name() == word)
}

fn pongs(words: &[&str]) -> Option<Pongs> {
    match words {
        [] => Some(Pongs::AtOnce),
        ["in", "turn"] => Some(Pongs::InTurn),
        ["without", "pongs"] => Some(Pongs::Never),
        _ => None,
    }
}

pub(in crate::sim) fn on(words: &[&str]) -> Option<bool> {
    match words {
        [] => Some(true),
        ["off"] => Some(false),
        _ => None,
    }
}

pub(in crate::sim) fn time(ms: &str) -> Option<Duration> {
    ms.parse().ok().map(Duration::from_millis)
}

pub(in crate::sim) fn weather(words: &[&str]) -> Option<Weather> {
    match words {
        ["fair"] => Some(Weather::FAIR),
        ["loss", loss, "double", double, "jitter", jitter] => Some(Weather {
            loss: loss.parse().ok()?,
            double: double.parse().ok()?,
            jitter: time(jitter)?,
            ..Weather::FAIR
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng;

    use super::*;
    use crate::ids::Rng;
    use crate::sim::links::Dice;
    use crate::sim::plan;

    #[test]
    fn whatever_a_plan_does_can_be_written_as_a_script() {
        for seed in 0..50 {
            for (_, drawn) in plan::draw(&mut Dice::new(Rng::seed_from_u64(seed))) {
                let text = drawn.to_string();
                let words: Vec<_> = text.split_whitespace().collect();
                assert_eq!(action(&words), Some(drawn), "{text}");
            }
        }
    }
}
