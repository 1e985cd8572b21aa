//! What a node tells its supervisor, and is told: one line each.

use crate::ids::Epoch;
use crate::timers::Instant;

/// Characters of a text at most; a line is then taken by the socket whole or not at all.
const TEXT_MAX: usize = 300;

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// The node is about to act under this epoch; `None`: it acts no more.
    Epoch(Option<Epoch>),
    /// Every socket is bound, and the store is open.
    Ready,
    /// Every part has got work done.
    Alive,
    /// How it is, for people.
    Status(String),
    /// It ends in order.
    Stopping,
    /// It is about to end of its own fault: where.
    Panicked(String),
    /// The service address is to be here until this moment of the boot-time clock, if nothing more
    /// is said; `None`: no more.
    Address(Option<Instant>),
}

/// What a supervisor answers to [`Word::Address`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The address is here.
    Held,
    /// It is not: why.
    Failed(String),
}

impl Reply {
    /// As a line, with its end.
    pub fn line(&self) -> String {
        match self {
            Self::Held => "held\n".to_owned(),
            Self::Failed(why) => format!("failed {}\n", one_line(why)),
        }
    }

    /// Reads a line without its end; `None`: it is none of these.
    pub fn parse(line: &str) -> Option<Self> {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        match name {
            "held" => Some(Self::Held),
            "failed" => Some(Self::Failed(rest.to_owned())),
            _ => None,
        }
    }
}

impl Word {
    /// As a line, with its end.
    pub fn line(&self) -> String {
        match self {
            Self::Epoch(Some(epoch)) => format!("epoch {}\n", epoch.0),
            Self::Epoch(None) => "no-epoch\n".to_owned(),
            Self::Ready => "ready\n".to_owned(),
            Self::Alive => "alive\n".to_owned(),
            Self::Status(text) => format!("status {}\n", one_line(text)),
            Self::Stopping => "stopping\n".to_owned(),
            Self::Panicked(text) => format!("panicked {}\n", one_line(text)),
            Self::Address(Some(until)) => format!("address {}\n", until.as_nanos()),
            Self::Address(None) => "no-address\n".to_owned(),
        }
    }

    /// Reads a line without its end; `None`: it is none of these.
    pub fn parse(line: &str) -> Option<Self> {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        Some(match name {
            "epoch" => Self::Epoch(Some(Epoch(rest.parse().ok()?))),
            "no-epoch" => Self::Epoch(None),
            "ready" => Self::Ready,
            "alive" => Self::Alive,
            "status" => Self::Status(rest.to_owned()),
            "stopping" => Self::Stopping,
            "panicked" => Self::Panicked(rest.to_owned()),
            "address" => Self::Address(Some(Instant::from_nanos(rest.parse().ok()?))),
            "no-address" => Self::Address(None),
            _ => return None,
        })
    }
}

fn one_line(text: &str) -> String {
    text.chars().take(TEXT_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_as_it_was_said() {
        let words = [
            Word::Epoch(Some(Epoch(u64::MAX))),
            Word::Epoch(None),
            Word::Ready,
            Word::Alive,
            Word::Status("primary, epoch 7".to_owned()),
            Word::Stopping,
            Word::Panicked("panic at src/x.rs:1:2".to_owned()),
            Word::Address(Some(Instant::from_nanos(u64::MAX))),
            Word::Address(None),
        ];
        for word in words {
            let line = word.line();
            assert_eq!(Word::parse(line.trim_end_matches('\n')), Some(word));
        }
        assert_eq!(Word::parse("epoch -1"), None);
        assert_eq!(Word::parse("nonsense"), None);
        for answer in [Reply::Held, Reply::Failed("no such network card".to_owned())] {
            assert_eq!(Reply::parse(answer.line().trim_end_matches('\n')), Some(answer));
        }
    }

    #[test]
    fn a_text_never_makes_a_second_word() {
        let line = Word::Status("x\nepoch 9\n".repeat(1_000)).line();
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.len() < 400);
    }
}
