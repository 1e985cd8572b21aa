//! A person with a telephone, who promotes the other node by what the menu says.
//!
//! The person knows nothing but an agent number, a PIN and what is heard: words are told by their
//! sound, which is that of the built-in prompts in the call's codec. Where the person knows what
//! comes, half a second of it is enough to go on; digits and results count when all of them was
//! heard. A word began when its first packet came.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::node::pause;
use super::pbx::{Command, Keep, LineReport, LineState};
use super::trio::Trio;
use crate::admin::{Format, NewAgent, Request};
use crate::codecs::{Digit, g711::Law};
use crate::driver::{clock, prompts};
use crate::media::Prompt;
use crate::redact::Redacted;
use crate::sdp::Codec;
use crate::sim::pbx::LineId;
use crate::timers::Instant;

/// Agent number and PIN of the person.
pub const NUMBER: &str = "4711";
const PIN: &str = "836152";

/// So much of a question is enough for whoever knows it: half a second.
const HINT_LEN: usize = 4_000;

/// A word by which a longer one is looked for: 20 ms of it.
const KEY_LEN: usize = 160;

/// A person who does not hear what should come gives up.
const PATIENCE: Duration = Duration::from_secs(20);
const LISTEN: Duration = Duration::from_millis(20);

/// How a promotion by telephone went.
#[derive(Clone, Copy, Debug)]
pub struct Spoken {
    /// The last of the three digits was pressed.
    pub confirmed_at: Instant,
    /// The word for a promotion that succeeded began to be heard.
    pub spoken_at: Instant,
}

/// A word that was heard.
#[derive(Clone, Debug)]
struct Said {
    word: &'static str,
    begins: usize,
    at: Instant,
}

/// Who knows the words by their sound.
pub struct Person {
    words: BTreeMap<&'static str, Arc<Prompt>>,
}

/// One call of the person.
struct Conversation<'a> {
    trio: &'a Trio,
    person: &'a Person,
    line: LineId,
    /// Where in the sound of the call the person listens from.
    from: usize,
}

impl Person {
    /// A person whom the cluster knows: the agent is added at a node that acts.
    pub fn enrolled(trio: &Trio, at: usize) -> io::Result<Self> {
        let agent = NewAgent {
            number: NUMBER.to_owned(),
            name: "the play's agent".to_owned(),
            pin: Redacted::new(PIN.to_owned()),
            extensions: Vec::new(),
            callback: false,
        };
        trio.sites[at].node.ask(&Request::AgentAdd { agent, format: Format::Json })?;
        Ok(Self { words: prompts::menu() })
    }

    /// Calls the witness and promotes the node that it offers.
    pub fn promote(&self, trio: &mut Trio) -> io::Result<Spoken> {
        let line = trio.dial_witness(Keep::Sound);
        let mut talk = Conversation { trio, person: self, line, from: 0 };
        let spoken = talk.promote();
        trio.give_up(line);
        spoken
    }

    /// The words of which so many octets, or all, were heard from an octet on, in order.
    fn words_in(
        &self,
        line: &LineReport,
        from: usize,
        wanted: &[&'static str],
        enough: usize,
    ) -> Vec<Said> {
        let Some((codec, sound)) = &line.sound else { return Vec::new() };
        let mut said = Vec::new();
        for &word in wanted {
            let Some(prompt) = self.words.get(word) else { continue };
            let whole = in_codec(prompt, *codec);
            let word_sound = whole.get(..enough).unwrap_or(whole);
            for begins in places(*codec, sound, from, word_sound) {
                let packet = line.ends.partition_point(|&end| end <= begins);
                let Some(&at) = line.arrivals.get(packet) else { continue };
                said.push(Said { word, begins, at });
            }
        }
        said.sort_by_key(|said| said.begins);
        said
    }
}

impl Conversation<'_> {
    fn promote(&mut self) -> io::Result<Spoken> {
        self.hear(&["portkeeper/welcome"], 1, HINT_LEN)?;
        self.press(&format!("{NUMBER}#"));
        self.hear(&["portkeeper/pin"], 1, HINT_LEN)?;
        self.press(&format!("{PIN}#"));
        self.hear(&["portkeeper/no-primary", "portkeeper/primary-server"], 1, HINT_LEN)?;
        self.press("1");
        self.hear(&["portkeeper/key-to-promote"], 1, HINT_LEN)?;
        let digits = self.hear(&DIGITS, 3, usize::MAX)?;
        let digits: String =
            digits.iter().filter_map(|said| said.word.strip_prefix("digits/")).collect();
        self.press(&digits);
        let results = [
            "portkeeper/promoted",
            "portkeeper/promotion-failed",
            "portkeeper/promotion-refused",
            "portkeeper/not-correct",
        ];
        let result = self.hear(&results, 1, usize::MAX)?.remove(0);
        if result.word != results[0] {
            return Err(io::Error::other(format!("the person heard {}", result.word)));
        }
        let keys_at = self.report().keys_at;
        let confirmed_at = keys_at.iter().copied().rfind(|at| *at <= result.at);
        let confirmed_at = confirmed_at.ok_or_else(|| io::Error::other("no key was pressed"))?;
        Ok(Spoken { confirmed_at, spoken_at: result.at })
    }

    fn press(&mut self, keys: &str) {
        self.from = self.report().sound.map_or(0, |(_, sound)| sound.len());
        let digits = keys.chars().filter_map(Digit::from_char).collect();
        self.trio.pbx.command(Command::Press { line: self.line, digits });
    }

    /// Listens until so many of these words were heard; goes on behind the last of them.
    fn hear(
        &mut self,
        wanted: &[&'static str],
        count: usize,
        enough: usize,
    ) -> io::Result<Vec<Said>> {
        let until = clock::now() + PATIENCE;
        while clock::now() < until {
            let line = self.report();
            if line.state == LineState::Lost {
                return Err(io::Error::other("the menu hung up"));
            }
            let mut said = self.person.words_in(&line, self.from, wanted, enough);
            if said.len() >= count {
                said.truncate(count);
                self.from = said.last().map_or(self.from, |last| last.begins + KEY_LEN);
                return Ok(said);
            }
            pause(LISTEN);
        }
        let all: Vec<_> = self.person.words.keys().copied().collect();
        let heard = self.person.words_in(&self.report(), self.from, &all, usize::MAX);
        let heard: Vec<_> = heard.iter().map(|said| said.word).collect();
        let what = format!(
            "the person waited in vain for {}, and heard: {}",
            wanted.join(" or "),
            heard.join(" ")
        );
        Err(io::Error::new(io::ErrorKind::TimedOut, what))
    }

    fn report(&self) -> LineReport {
        self.trio.pbx.report().lines.remove(&self.line).unwrap_or_default()
    }
}

const DIGITS: [&str; 10] = [
    "digits/0", "digits/1", "digits/2", "digits/3", "digits/4", "digits/5", "digits/6", "digits/7",
    "digits/8", "digits/9",
];

fn in_codec(prompt: &Prompt, codec: Codec) -> &[u8] {
    match codec {
        Codec::Pcmu => &prompt.pcmu,
        Codec::Pcma => &prompt.pcma,
    }
}

/// Where a whole word begins in a sound. Looked for is its loudest part, which no other sound has.
fn places(codec: Codec, sound: &[u8], from: usize, word: &[u8]) -> Vec<usize> {
    let law = match codec {
        Codec::Pcmu => Law::Mu,
        Codec::Pcma => Law::A,
    };
    let loudness = |part: &[u8]| -> i64 {
        part.iter().map(|&octet| i64::from(law.decode_sample(octet)).abs()).sum()
    };
    let parts = word.chunks_exact(KEY_LEN).enumerate();
    let Some((n, key)) = parts.max_by_key(|(_, part)| loudness(part)) else { return Vec::new() };
    let before = n * KEY_LEN;
    let heard = sound.get(from..).unwrap_or_default();
    let found = heard.windows(KEY_LEN).enumerate().filter(|(_, part)| *part == key);
    let begins = found.filter_map(|(at, _)| (from + at).checked_sub(before));
    begins.filter(|&at| sound.get(at..at + word.len()) == Some(word)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_by_their_sound_and_only_when_all_of_it_was_heard() {
        let person = Person { words: prompts::menu() };
        let mut sound = vec![0xd5; 500];
        for word in ["digits/4", "digits/7", "digits/7", "portkeeper/promoted"] {
            sound.extend_from_slice(in_codec(&person.words[word], Codec::Pcma));
        }
        let end = sound.len();
        let ends: Vec<usize> = (1..=end.div_ceil(160)).map(|n| n * 160).collect();
        let arrivals = ends.iter().map(|end| Instant::from_nanos(*end as u64)).collect();
        let line = LineReport {
            sound: Some((Codec::Pcma, sound)),
            ends,
            arrivals,
            ..LineReport::default()
        };
        let words = |line: &LineReport, from| -> Vec<&str> {
            person.words_in(line, from, &DIGITS, usize::MAX).iter().map(|said| said.word).collect()
        };
        assert_eq!(words(&line, 0), ["digits/4", "digits/7", "digits/7"]);
        assert_eq!(person.words_in(&line, 0, &DIGITS, usize::MAX)[0].at, Instant::from_nanos(640));
        let promoted = ["portkeeper/promoted"];
        assert_eq!(person.words_in(&line, 0, &promoted, usize::MAX).len(), 1);
        let mut cut = line.clone();
        cut.sound = line.sound.map(|(codec, sound)| (codec, sound[..end - 1].to_vec()));
        assert_eq!(person.words_in(&cut, 0, &promoted, usize::MAX).len(), 0);
        assert_eq!(person.words_in(&cut, 0, &promoted, HINT_LEN).len(), 1);
        assert_eq!(words(&cut, 4_000).len(), 2);
    }
}
