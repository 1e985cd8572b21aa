//! `[applications.NAME]` and `[announce]`: who serves calls, and what stands in for them.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::reader::{Meaning, Reader, Section};
use super::section_ports::no_such_application;
use super::values::{duration, duration_or_off, is_application_name, keys, number, one_of, text};
use super::{Announce, Application, Autostart, Continue, Overflow, Replay};
use crate::timers::Duration;

const SECONDS: fn(u64) -> Duration = Duration::from_secs;
const MILLIS: fn(u64) -> Duration = Duration::from_millis;

/// Reads every application.
pub(super) fn read_applications<'t>(
    reader: &mut Reader<'t>,
    root: &mut Section<'t>,
) -> BTreeMap<String, Application> {
    let sections = root.section(reader, "applications").named(reader);
    let mut applications = BTreeMap::new();
    for (name, mut section) in sections {
        if !is_application_name(&name) {
            let text = "a name of an application has letters, digits, `-`, `_` and `.` only";
            reader.error(section.path(), text);
        }
        let application = read_application(reader, &mut section, &name);
        section.finish(reader);
        applications.insert(name, application);
    }
    applications
}

fn read_application<'t>(
    reader: &mut Reader<'t>,
    section: &mut Section<'t>,
    name: &str,
) -> Application {
    let ring = duration(MILLIS(0)..=SECONDS(60));
    let wait = duration(SECONDS(1)..=SECONDS(3_600));
    // Below 100 ms even a healthy process is called hung; above 3 s the caller has hung up.
    let hang = duration(MILLIS(100)..=SECONDS(3));
    let start = duration(MILLIS(200)..=SECONDS(30));
    let silence = duration_or_off(SECONDS(1)..=SECONDS(600));
    Application {
        name: name.to_owned(),
        args: section.list(reader, "args", any_text).unwrap_or_default(),
        queue_ring: section.value(reader, "queue_ring", SECONDS(2), ring),
        queue_max: section.value(reader, "queue_max", SECONDS(60), wait),
        hold_prompt: section.optional(reader, "hold_prompt", prompt),
        gateway_prompt: section.optional(reader, "gateway_prompt", prompt),
        overflow: section.value(reader, "overflow", Overflow::Release, overflow),
        hang_after: section.value(reader, "hang_after", MILLIS(250), hang),
        start_deadline: section.value(reader, "start_deadline", SECONDS(2), start),
        caller_silence: section.value(reader, "caller_silence", Some(SECONDS(10)), silence),
        replay: section.value(reader, "replay", Replay::Auto, one_of(REPLAYS)),
        barge_in: section.value(reader, "barge_in", Vec::new(), keys),
        on_continue: section.value(reader, "on_continue", Continue::Release, one_of(CONTINUES)),
    }
}

const REPLAYS: &[(&str, Replay)] = &[
    ("auto", Replay::Auto),
    ("unacked", Replay::Unacked),
    ("all", Replay::All),
    ("none", Replay::None),
];

const CONTINUES: &[(&str, Continue)] =
    &[("release", Continue::Release), ("refer", Continue::Refer), ("next", Continue::Next)];

/// Reads `[announce]`.
pub(super) fn read_announce<'t>(reader: &mut Reader<'t>, root: &mut Section<'t>) -> Announce {
    let mut section = root.section(reader, "announce");
    let prompts = section.list(reader, "prompts", prompt).unwrap_or_default();
    let repeats = section.value(reader, "repeats", 1, number(1..=1_000));
    let then = section.value(reader, "then", Overflow::Release, |value| match overflow(value) {
        Ok(Overflow::Announce) | Err(_) => {
            Err("allowed are \"release\" and \"refer:TARGET\"".to_owned())
        }
        Ok(then) => Ok(then),
    });
    section.finish(reader);
    Announce { prompts, repeats, then }
}

/// `[[autostart_on_promotion]]`
pub(super) fn read_autostart<'t>(
    reader: &mut Reader<'t>,
    root: &mut Section<'t>,
    applications: &BTreeMap<String, Application>,
) -> Vec<Autostart> {
    let mut programs = Vec::new();
    for mut section in root.sections(reader, "autostart_on_promotion") {
        let command = section.list(reader, "command", any_text).unwrap_or_default();
        if command.is_empty() {
            let text = "is missing: write program and arguments, as [\"/usr/bin/ivr\", \"--menu\"]";
            reader.error(&section.at("command"), text);
        }
        let why = "write the application whose instance it becomes, as \"main\"";
        let application = section.required(reader, "application", why, |value| {
            let name = value.as_str().unwrap_or_default();
            let known = applications.contains_key(name);
            if known { Ok(name.to_owned()) } else { Err(no_such_application(name, applications)) }
        });
        let span = duration(SECONDS(1)..=SECONDS(600));
        let ready_within = section.value(reader, "ready_within", SECONDS(10), span);
        section.finish(reader);
        programs.extend(application.map(|application| Autostart {
            command,
            application,
            ready_within,
        }));
    }
    programs
}

fn overflow(value: &DeValue<'_>) -> Meaning<Overflow> {
    let word = value.as_str().unwrap_or_default();
    match (word, word.strip_prefix("refer:")) {
        ("release", _) => Ok(Overflow::Release),
        ("announce", _) => Ok(Overflow::Announce),
        (_, Some(target)) if is_target(target) => Ok(Overflow::Refer(target.to_owned())),
        _ => Err("allowed are \"release\", \"announce\" and \"refer:TARGET\", where TARGET is an \
                  extension or a SIP URI"
            .to_owned()),
    }
}

/// An extension or a SIP URI; nothing that could end a header.
fn is_target(target: &str) -> bool {
    !target.is_empty() && target.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"".contains(&b))
}

/// Name of a prompt: a file below the directory of prompts, without its ending.
fn prompt(value: &DeValue<'_>) -> Meaning<String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_./".contains(&b);
    let name = value.as_str().unwrap_or_default();
    let inside = !name.split('/').any(|part| part.is_empty() || part.starts_with('.'));
    if inside && !name.ends_with(".wav") && name.bytes().all(allowed) {
        return Ok(name.to_owned());
    }
    Err("write the name of a file below media.prompts without \".wav\", as \"please-hold\"".into())
}

fn any_text(value: &DeValue<'_>) -> Meaning<String> {
    value.as_str().map_or_else(|| text(value), |text| Ok(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_cannot_leave_its_directory() {
        let read = |name: &str| prompt(&DeValue::String(name.to_owned().into()));
        assert!(read("please-hold").is_ok() && read("menu/main").is_ok());
        for wrong in ["../secret", "/etc/x", "a//b", "", "hold.wav", "a b"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_target_cannot_end_a_header() {
        assert!(is_target("2000") && is_target("sip:help@pbx.example"));
        assert!(!is_target("") && !is_target("2000>\r\nX: y") && !is_target("a b"));
    }
}
