//! What a node tells its supervisor: one line each.

use crate::ids::Epoch;

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
        ];
        for word in words {
            let line = word.line();
            assert_eq!(Word::parse(line.trim_end_matches('\n')), Some(word));
        }
        assert_eq!(Word::parse("epoch -1"), None);
        assert_eq!(Word::parse("nonsense"), None);
    }

    #[test]
    fn a_text_never_makes_a_second_word() {
        let line = Word::Status("x\nepoch 9\n".repeat(1_000)).line();
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.len() < 400);
    }
}
