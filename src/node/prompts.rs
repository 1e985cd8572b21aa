//! Sounds by name, and how a `media` URI of an application becomes a row of them.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::codecs::tone::Signal;
use crate::codecs::wav;
use crate::ivr::MediaUri;
use crate::media::Prompt;
use crate::menu::{self, Speech};

/// The sounds of this node, loaded before it starts.
#[derive(Debug, Default)]
pub struct Prompts {
    /// By name below the directory of prompts, as `menu`, `digits/7` or `en/menu`.
    pub sounds: BTreeMap<String, Arc<Prompt>>,
    /// Call-progress tones by name and zone, one turn of the cadence each. Zone `""` is neutral.
    pub tones: BTreeMap<(String, String), Arc<Prompt>>,
    /// A directory whose sounds are missing here, and why.
    pub unread: Option<String>,
    /// Built-in words of the phone menu, for those that the site has no sound of its own for.
    /// Applications do not see them.
    pub menu: BTreeMap<&'static str, Arc<Prompt>>,
}

/// A row of sounds, ready to play.
#[derive(Clone, Debug)]
pub struct Row {
    /// The pieces.
    pub pieces: Vec<Arc<Prompt>>,
    /// The pieces with which a further URI begins, for who wants to hear of it.
    pub parts: Vec<usize>,
    /// A tone goes on until it is stopped.
    pub repeat: bool,
}

/// What stands between a `media` URI and its sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gap {
    /// No such sound here.
    Missing(String),
    /// A stored recording, which has to be read first.
    Recording(String),
}

/// `number:` is spoken up to here; beyond it digit by digit.
const NUMBER_SPOKEN_MAX: u64 = 999_999_999;

impl Gap {
    /// What is missing.
    pub fn name(&self) -> &str {
        match self {
            Self::Missing(name) | Self::Recording(name) => name,
        }
    }
}

impl Row {
    /// Samples in all.
    pub fn length(&self) -> usize {
        self.pieces.iter().map(|piece| piece.len()).sum()
    }
}

impl Prompts {
    /// A sound in a language, or in the language of the directory itself.
    pub fn sound(&self, name: &str, language: &str) -> Option<&Arc<Prompt>> {
        let name = name.strip_suffix(".wav").unwrap_or(name);
        self.sounds.get(&format!("{language}/{name}")).or_else(|| self.sounds.get(name))
    }

    /// The sounds of what the menu says: the site's own where it has them, else the built-in ones.
    pub fn spoken(&self, speech: &Speech, language: &str) -> Vec<Arc<Prompt>> {
        let word = |name| self.sound(name, language).or_else(|| self.menu.get(name));
        speech.prompts().iter().filter_map(|&name| word(name).cloned()).collect()
    }

    /// Of names and sound of everything that the site has brought: two nodes that agree in it play
    /// the same.
    pub fn digest(&self) -> u64 {
        let mut all = Sha256::new();
        for (name, sound) in &self.sounds {
            // Lengths keep a name and a sound apart from each other.
            all.update((name.len() as u64).to_be_bytes());
            all.update(name);
            all.update((sound.pcmu.len() as u64).to_be_bytes());
            all.update(&sound.pcmu);
        }
        let first = all.finalize().first_chunk().copied();
        u64::from_be_bytes(first.unwrap_or_default())
    }

    /// The sounds of a row of URIs.
    pub fn row(&self, media: &[MediaUri], language: &str) -> Result<Row, Gap> {
        let mut row = Row { pieces: Vec::new(), parts: Vec::new(), repeat: false };
        for uri in media {
            match uri {
                MediaUri::Sound(name) => row.pieces.push(self.named(name, language)?),
                MediaUri::Digits(digits) => self.spell(digits, language, &mut row)?,
                MediaUri::Number(number) => self.speak(*number, language, &mut row)?,
                MediaUri::Tone(name) => self.tone(name, &mut row)?,
                MediaUri::Recording(name) => return Err(Gap::Recording(name.clone())),
            }
        }
        Ok(row)
    }

    /// `ring`, or `ring;tonezone=us`.
    fn tone(&self, text: &str, row: &mut Row) -> Result<(), Gap> {
        let (name, zone) = text.split_once(";tonezone=").unwrap_or((text, ""));
        let key = (name.to_owned(), zone.to_owned());
        let tone = self.tones.get(&key).ok_or_else(|| Gap::Missing(format!("tone:{text}")))?;
        row.pieces.push(tone.clone());
        row.repeat |= Signal::from_name(name).is_some_and(Signal::repeats);
        Ok(())
    }

    fn named(&self, name: &str, language: &str) -> Result<Arc<Prompt>, Gap> {
        self.sound(name, language).cloned().ok_or_else(|| Gap::Missing(name.to_owned()))
    }

    fn spell(&self, digits: &str, language: &str, row: &mut Row) -> Result<(), Gap> {
        for key in digits.chars() {
            let name = match key {
                '*' => "digits/star".to_owned(),
                '#' => "digits/pound".to_owned(),
                key => format!("digits/{key}"),
            };
            row.pieces.push(self.named(&name, language)?);
        }
        Ok(())
    }

    fn speak(&self, number: u64, language: &str, row: &mut Row) -> Result<(), Gap> {
        if number > NUMBER_SPOKEN_MAX {
            return self.spell(&number.to_string(), language, row);
        }
        for word in number_words(number) {
            row.pieces.push(self.named(&format!("digits/{word}"), language)?);
        }
        Ok(())
    }
}

/// The built-in words of the menu, made ready with `encode`.
pub fn menu_words(encode: impl Fn(&[i16]) -> Prompt) -> BTreeMap<&'static str, Arc<Prompt>> {
    let ready = |(name, file): menu::words::Sound| {
        // They are part of the program, and a test reads each of them.
        let samples = wav::load(Cursor::new(file)).ok()?;
        Some((name, Arc::new(encode(&samples))))
    };
    menu::words::english().filter_map(ready).collect()
}

/// English: 1,042 is `1 thousand 40 2`.
fn number_words(number: u64) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = number;
    for (size, word) in [(1_000_000, "million"), (1_000, "thousand"), (100, "hundred")] {
        if rest >= size {
            words.extend(number_words(rest / size));
            words.push(word.to_owned());
            rest %= size;
        }
    }
    match rest {
        0 if !words.is_empty() => {}
        0..=20 => words.push(rest.to_string()),
        _ => {
            words.push((rest / 10 * 10).to_string());
            if !rest.is_multiple_of(10) {
                words.push((rest % 10).to_string());
            }
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn prompts(names: &[&str]) -> Prompts {
        let prompt = || Arc::new(Prompt { pcmu: Bytes::new(), pcma: Bytes::new() });
        let sounds = names.iter().map(|&name| (name.to_owned(), prompt())).collect();
        let tones = [(("ring".to_owned(), "us".to_owned()), prompt())].into();
        Prompts { sounds, tones, ..Prompts::default() }
    }

    #[test]
    fn numbers_are_spoken_in_words() {
        assert_eq!(number_words(0), ["0"]);
        assert_eq!(number_words(17), ["17"]);
        assert_eq!(number_words(100), ["1", "hundred"]);
        assert_eq!(number_words(21_042), ["20", "1", "thousand", "40", "2"]);
        assert_eq!(number_words(2_000_300), ["2", "million", "3", "hundred"]);
    }

    #[test]
    fn a_language_directory_is_preferred_and_its_absence_forgiven() {
        let prompts = prompts(&["menu", "de/menu", "bye"]);
        let de = prompts.sound("menu", "de").expect("there");
        assert!(Arc::ptr_eq(de, &prompts.sounds["de/menu"]));
        assert!(prompts.sound("bye", "de").is_some());
        assert!(prompts.sound("menu.wav", "en").is_some());
    }

    #[test]
    fn the_menu_has_a_sound_for_every_word_and_a_site_may_have_its_own() {
        let encode = |samples: &[i16]| {
            let sound = Bytes::from(vec![0; samples.len()]);
            Prompt { pcmu: sound.clone(), pcma: sound }
        };
        let speech = menu::restart_message();
        let mut prompts = Prompts { menu: menu_words(encode), ..prompts(&[]) };
        assert_eq!(prompts.menu.len(), menu::words::names().len());
        let built_in = prompts.spoken(&speech, "de");
        assert!(built_in.iter().all(|sound| !sound.is_empty()) && !built_in.is_empty());
        let own = Arc::new(encode(&[0; 5]));
        let name = format!("de/{}", speech.prompts()[0]);
        prompts.sounds.insert(name, Arc::clone(&own));
        assert!(Arc::ptr_eq(&prompts.spoken(&speech, "de")[0], &own));
        assert!(!Arc::ptr_eq(&prompts.spoken(&speech, "fr")[0], &own));
    }

    #[test]
    fn a_tone_goes_on_and_a_missing_sound_is_named() {
        let prompts = prompts(&["digits/1", "digits/pound"]);
        let tone = prompts.row(&[MediaUri::Tone("ring;tonezone=us".into())], "en").expect("known");
        assert!(tone.repeat);
        let row = prompts.row(&[MediaUri::Digits("1#".into())], "en").expect("known");
        assert_eq!((row.pieces.len(), row.repeat), (2, false));
        let gap = prompts.row(&[MediaUri::Sound("no".into())], "en").expect_err("missing");
        assert_eq!(gap, Gap::Missing("no".into()));
        let gap = prompts.row(&[MediaUri::Recording("r".into())], "en").expect_err("unread");
        assert_eq!(gap, Gap::Recording("r".into()));
    }
}
