//! Each word has a sound that can be heard, and each sound is a word.

use std::collections::BTreeSet;
use std::io::Cursor;

use crate::codecs::wav;
use crate::menu::words;

#[test]
fn every_word_has_a_sound_that_can_be_heard_in_less_than_ten_seconds() {
    for (name, file) in words::english() {
        let samples = wav::load(Cursor::new(file.to_vec())).expect(name);
        let loud = samples.iter().filter(|sample| sample.unsigned_abs() > 1_000).count();
        assert!(loud > 100, "{name}: {loud} loud samples");
        assert!(samples.len() < 10 * 8_000, "{name} is too long");
        let header = (&file[22..24], &file[24..28], &file[34..36]);
        let wanted =
            (&1_u16.to_le_bytes()[..], &8_000_u32.to_le_bytes()[..], &16_u16.to_le_bytes()[..]);
        assert_eq!(header, wanted, "{name}: mono, 8,000 Hz, 16 bits");
    }
}

#[test]
fn all_sounds_together_are_small() {
    let size: usize = words::english().map(|(_, file)| file.len()).sum();
    assert!(size < 4_500_000, "{size} bytes");
}

#[test]
fn every_text_is_a_word_and_every_word_of_ours_has_a_text() {
    let texts = include_str!("../../../fixtures/prompts/portkeeper.txt");
    let texts: BTreeSet<_> =
        texts.lines().filter_map(|line| line.split_once('|')).map(|(name, _)| name).collect();
    let ours = words::english().filter_map(|(name, _)| name.strip_prefix("portkeeper/"));
    assert_eq!(ours.collect::<BTreeSet<_>>(), texts);
}

#[test]
fn every_letter_and_number_word_is_found_by_its_index() {
    let all: BTreeSet<_> = words::english().map(|(name, _)| name).collect();
    for letter in 'a'..='z' {
        let name = words::letter(letter).expect("a letter");
        assert_eq!(name, format!("letters/{letter}"));
        assert_eq!(words::letter(letter.to_ascii_uppercase()), Some(name));
        assert!(all.contains(name));
    }
    for number in 0..=20 {
        assert_eq!(words::small(number), format!("digits/{number}"));
    }
    for digit in 2..=9 {
        assert_eq!(words::tens(digit), format!("digits/{digit}0"));
    }
    assert_eq!(words::letter('{'), None);
    assert_eq!(words::letter('`'), None);
}
