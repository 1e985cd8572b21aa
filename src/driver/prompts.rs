//! Reads the directory of prompts and makes the tones, before the node starts.
//!
//! A file that cannot be read as a prompt, or a directory that cannot be read at all, is an alarm,
//! not a reason to stay down: whoever plays it gets a failed playback, and `status` names it.

#![expect(clippy::disallowed_methods, reason = "the driver reads files")]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use tracing::warn;

use crate::codecs::g711::Law;
use crate::codecs::tone::{Signal, Zone};
use crate::codecs::wav;
use crate::media::Prompt;
use crate::node::Prompts;
use crate::node::prompts::menu_words;

/// Directories below the directory of prompts: a language, and a group as `digits`.
const DEPTH_MAX: usize = 3;

/// Loads every `.wav` below `directory`.
pub fn load(directory: &Path) -> Prompts {
    let mut prompts = Prompts { menu: menu(), ..Prompts::default() };
    read_below(directory, "", DEPTH_MAX, &mut prompts);
    for zone in ["", "us", "uk", "de", "jp"] {
        let of_zone = Zone::from_name(zone).unwrap_or_default();
        for signal in Signal::ALL {
            let key = (signal.name().to_owned(), zone.to_owned());
            prompts.tones.insert(key, Arc::new(encode(&signal.render(of_zone))));
        }
    }
    prompts
}

/// The words of the phone menu.
pub fn menu() -> BTreeMap<&'static str, Arc<Prompt>> {
    menu_words(encode)
}

/// Reads one stored recording.
pub fn recording(directory: &Path, name: &str) -> Option<Arc<Prompt>> {
    prompt(&directory.join(format!("{name}.wav")))
}

/// Reads what can be read; of the rest one directory is named.
fn read_below(directory: &Path, prefix: &str, depth: usize, prompts: &mut Prompts) {
    if let Err(error) = read_directory(directory, prefix, depth, prompts) {
        prompts.unread = Some(format!("{}: {error}", directory.display()));
    }
}

fn read_directory(
    directory: &Path,
    prefix: &str,
    depth: usize,
    prompts: &mut Prompts,
) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
        let name = format!("{prefix}{stem}");
        if path.is_dir() && depth > 0 {
            read_below(&path, &format!("{name}/"), depth - 1, prompts);
        } else if path.extension().is_some_and(|ending| ending == "wav")
            && let Some(prompt) = prompt(&path)
        {
            prompts.sounds.insert(name, prompt);
        }
    }
    Ok(())
}

/// What is wrong with a file that the configuration names: it is not there, is a directory that
/// cannot be read, or is to be a prompt and cannot be played.
pub fn fault_of(path: &Path) -> Option<String> {
    if !path.exists() {
        return Some(format!("there is no {}", path.display()));
    }
    let is_prompt = path.extension().is_some_and(|ending| ending == "wav");
    let read = if path.is_dir() {
        fs::read_dir(path).map(drop).map_err(|error| format!("cannot be read: {error}"))
    } else if is_prompt {
        samples(path).map(drop)
    } else {
        Ok(())
    };
    read.err().map(|error| format!("{} {error}", path.display()))
}

fn samples(path: &Path) -> Result<Vec<i16>, String> {
    let file = fs::File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    wav::load(io::BufReader::new(file)).map_err(|error| error.to_string())
}

fn prompt(path: &Path) -> Option<Arc<Prompt>> {
    match samples(path) {
        Ok(samples) => Some(Arc::new(encode(&samples))),
        Err(error) => {
            warn!(file = %path.display(), error, "not a prompt");
            None
        }
    }
}

fn encode(samples: &[i16]) -> Prompt {
    let wire = |law: Law| {
        let mut octets = vec![0; samples.len()];
        law.encode(samples, &mut octets);
        octets.into()
    };
    Prompt { pcmu: wire(Law::Mu), pcma: wire(Law::A) }
}
