//! Reads an action in the words of its `Display`.

use super::super::action::{Action, Harm, Part};
use super::super::plan::HALTED;
use super::super::site::NAMES;
use crate::ha::role::Order;
use crate::ids::NodeId;
use crate::sim::script::words::{on, port, time, weather};

/// The action that these words say.
pub fn action(words: &[&str]) -> Option<Action> {
    caller(words).or_else(|| node(words)).or_else(|| link(words)).or_else(|| people(words))
}

fn caller(words: &[&str]) -> Option<Action> {
    Some(match *words {
        ["call", at] => Action::Call { port: port(at)?, delayed_offer: false },
        ["call", at, "without", "an", "offer"] => {
            Action::Call { port: port(at)?, delayed_offer: true }
        }
        ["press", keys, "at", at] => Action::Press { port: port(at)?, keys: keys.to_owned() },
        ["hang", "up", at] => Action::HangUp { port: port(at)? },
        ["hold", at, ref rest @ ..] => Action::Hold { port: port(at)?, on: on(rest)? },
        _ => return None,
    })
}

/// What befalls a node and its disk.
fn node(words: &[&str]) -> Option<Action> {
    Some(match *words {
        [name, "crashes", "for", ms, ref rest @ ..] => {
            let supervised = match rest {
                ["ms"] => false,
                ["ms,", "and", "its", "supervisor", "tells"] => true,
                _ => return None,
            };
            Action::Crash { node: host(name)?, supervised, back: time(ms)? }
        }
        [name, "has", "no", "power", "for", ms, "ms"] => {
            Action::PowerLoss { node: host(name)?, back: time(ms)? }
        }
        [part, "of", name, "stops", "for", ms, "ms"] => {
            let part = Part::ALL.into_iter().find(|known| known.name() == part)?;
            Action::Stop { node: host(name)?, part, time: time(ms)? }
        }
        ["disk", "of", name, "slow", ms, "ms"] => {
            Action::SlowDisk { node: host(name)?, by: time(ms)? }
        }
        ["disk", "of", name, "fails"] => Action::DiskFails { node: host(name)? },
        _ => return None,
    })
}

/// What befalls the links, the way to the PBX, and the PBX.
fn link(words: &[&str]) -> Option<Action> {
    Some(match *words {
        ["cut", from, "to", to, ref rest @ ..] => {
            Action::Cut { from: host(from)?, to: host(to)?, on: on(rest)? }
        }
        ["cut", name, "from", "the", "PBX", ref rest @ ..] => {
            Action::CutPbx { node: host(name)?, on: on(rest)? }
        }
        ["cut", name, "off", ref rest @ ..] => Action::CutOff { node: host(name)?, on: on(rest)? },
        ["link", pair, "slow", ms, "ms"] => {
            let pair = pair.parse().ok().filter(|pair| *pair < NAMES.len())?;
            Action::SlowLink { pair, by: time(ms)? }
        }
        ["SIP", "of", name, ref sky @ ..] => {
            Action::Sip { node: host(name)?, weather: weather(sky)? }
        }
        ["PBX", "forgets"] => Action::PbxForgets,
        ["PBX", "refuses", "with", status] => Action::PbxRefuses(Some(status.parse().ok()?)),
        ["PBX", "refuses", "nothing"] => Action::PbxRefuses(None),
        _ => return None,
    })
}

/// What operators do, and what happens to applications.
fn people(words: &[&str]) -> Option<Action> {
    Some(match *words {
        ["order", "at", name, ref rest @ ..] => {
            let name = name.strip_suffix(':')?;
            Action::Order { node: host(name)?, order: order(rest)? }
        }
        ["agent", "added", "at", name] => Action::Agent { node: host(name)? },
        ["application", client, harm] => {
            let client = client.strip_suffix(':')?.parse().ok().filter(|client| *client < 2)?;
            let harm = Harm::ALL.into_iter().find(|known| known.name() == harm)?;
            Action::Client { client, harm }
        }
        _ => return None,
    })
}

fn order(words: &[&str]) -> Option<Order> {
    let forced = |rest: &[&str]| match rest {
        [] => Some(false),
        ["by", "force"] => Some(true),
        _ => None,
    };
    Some(match *words {
        ["promote", name, ref rest @ ..] => {
            let forced = forced(rest)?.then(|| HALTED.to_owned());
            Order::Promote { node: id(name)?, forced }
        }
        ["switch", "to", name, ref rest @ ..] => {
            Order::Switchover { to: id(name)?, forced: forced(rest)? }
        }
        ["drill", name] => Order::Drill { node: id(name)? },
        ["pause"] => Order::Pause,
        ["resume"] => Order::Resume,
        ["rejoin"] => Order::Rejoin,
        ["release"] => Order::Release,
        _ => return None,
    })
}

fn host(word: &str) -> Option<usize> {
    NAMES.iter().position(|name| *name == word)
}

fn id(word: &str) -> Option<NodeId> {
    host(word).and_then(|host| u8::try_from(host).ok()).map(NodeId)
}

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng;

    use super::*;
    use crate::ids::Rng;
    use crate::sim::links::Dice;
    use crate::sim::trio::plan;

    #[test]
    fn whatever_a_plan_does_can_be_written_as_a_script() {
        for seed in 0..100 {
            for (_, drawn) in plan::draw(&mut Dice::new(Rng::seed_from_u64(seed)), seed % 2 == 0) {
                let text = drawn.to_string();
                let words: Vec<_> = text.split_whitespace().collect();
                assert_eq!(action(&words), Some(drawn), "{text}");
            }
        }
    }
}
