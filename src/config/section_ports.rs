//! `[[ports]]`: a block of extensions with the same settings becomes one [`Port`] for each.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::fault::nearest;
use super::parse::{PasswordSource, Source, read_password, read_secret_file};
use super::reader::{Meaning, Reader, Section};
use super::values::{boolean, extensions, is_application_name, text};
use super::{Application, Entry, Port, PortKind};
use crate::ids::PortId;
use crate::redact::Redacted;

/// Voice ports of one node at most.
const PORTS_MAX: usize = 10_000;

const PLACEHOLDER: &str = "{extension}";

/// Reads every block, in the order of the file: the order of ports is the order of extensions.
pub(super) fn read_ports<'t>(
    reader: &mut Reader<'t>,
    root: &mut Section<'t>,
    source: Source<'_>,
    applications: &BTreeMap<String, Application>,
) -> Vec<Port> {
    let mut ports = Vec::new();
    // Extension -> the key that gave it.
    let mut taken = BTreeMap::new();
    for mut section in root.sections(reader, "ports") {
        let room = PORTS_MAX - ports.len();
        let block = read_block(reader, &mut section, source);
        if block.len() > room {
            let text = format!("a node serves at most {PORTS_MAX} ports");
            reader.error(&section.at("extensions"), text);
        }
        check_duplicates(reader, &mut taken, &section.at("extensions"), &block);
        check_entries(reader, &section.at("applications"), &block, applications);
        ports.extend(block.into_iter().take(room));
        section.finish(reader);
    }
    for (port, index) in ports.iter_mut().zip(0..) {
        port.id = PortId(index);
    }
    ports
}

fn read_block<'t>(
    reader: &mut Reader<'t>,
    section: &mut Section<'t>,
    source: Source<'_>,
) -> Vec<Port> {
    let extensions = section.list(reader, "extensions", extensions);
    if extensions.is_none() && !reader.written(&section.at("extensions")) {
        let text = "is missing: write the numbers of these ports, as \"6001-6030\"";
        reader.error(&section.at("extensions"), text);
    }
    let auth_user = section.value(reader, "auth_user", PLACEHOLDER.to_owned(), text);
    let password = read_password(reader, section);
    let applications = section.list(reader, "applications", entry);
    if applications.as_ref().is_none_or(Vec::is_empty)
        && !reader.written(&format!("{}[0]", section.at("applications")))
    {
        let text = "is missing: write who serves the calls, in order, as [\"main\"]";
        reader.error(&section.at("applications"), text);
    }
    let outbound = section.value(reader, "outbound", false, boolean);
    let applications = applications.unwrap_or_default();
    let extensions = extensions.into_iter().flatten().flatten();
    let passwords = Passwords { source, from: password, at: section.at("password_file") };
    passwords.check_entropy(reader, &section.at("password"));
    extensions
        .map(|extension| Port {
            id: PortId(0),
            kind: PortKind::Pool,
            auth_user: auth_user.replace(PLACEHOLDER, &extension),
            password: Redacted::new(passwords.of(reader, &extension)),
            applications: applications.clone(),
            outbound,
            extension,
        })
        .collect()
}

/// The password of one extension that is no block of [[ports]]; empty after a fault.
pub(super) fn read_extension_password<'t>(
    reader: &mut Reader<'t>,
    section: &mut Section<'t>,
    source: Source<'_>,
    extension: &str,
) -> String {
    let from = read_password(reader, section);
    let passwords = Passwords { source, from, at: section.at("password_file") };
    passwords.check_entropy(reader, &section.at("password"));
    passwords.of(reader, extension)
}

/// One extension, not a range.
pub(super) fn single_extension(value: &DeValue<'_>) -> Meaning<String> {
    let one = extensions(value).ok().filter(|all| all.len() == 1).and_then(|mut all| all.pop());
    one.ok_or_else(|| "write one extension in quotes, as \"6090\"".to_owned())
}

/// Two ports with one extension would take each other's registration away.
fn check_duplicates(
    reader: &mut Reader<'_>,
    taken: &mut BTreeMap<String, String>,
    path: &str,
    block: &[Port],
) {
    let mut twice = Vec::new();
    for port in block {
        if let Some(first) = taken.insert(port.extension.clone(), path.to_owned()) {
            twice.push((port.extension.as_str(), first));
        }
    }
    let Some((_, first)) = twice.first() else { return };
    let numbers: Vec<_> = twice.iter().map(|(extension, _)| *extension).collect();
    let numbers = match numbers.as_slice() {
        [one] => (*one).to_owned(),
        [first, .., last] => format!("{first} to {last}"),
        [] => return,
    };
    let line = reader.line(first).map_or_else(String::new, |line| format!(", on line {line}"));
    reader.error(path, format!("extension {numbers} is given twice (first by {first}{line})"));
}

/// Every port of a block lists the same entries: looks at the first.
fn check_entries(
    reader: &mut Reader<'_>,
    path: &str,
    block: &[Port],
    applications: &BTreeMap<String, Application>,
) {
    for (n, entry) in block.first().into_iter().flat_map(|p| &p.applications).enumerate() {
        let Entry::Application(name) = entry else { continue };
        if applications.contains_key(name) {
            continue;
        }
        let path = format!("{path}[{n}]");
        reader.error(&path, no_such_application(name, applications));
    }
}

/// What to write in place of an application that is not there.
pub(super) fn no_such_application(
    name: &str,
    applications: &BTreeMap<String, Application>,
) -> String {
    match nearest(name, applications.keys().map(String::as_str)) {
        Some(near) => format!("there is no [applications.{name}]; did you mean \"{near}\"?"),
        None => format!("there is no [applications.{name}]: write that section"),
    }
}

/// The passwords of one block.
struct Passwords<'a> {
    source: Source<'a>,
    from: Option<PasswordSource>,
    /// Path of `password_file`, for faults.
    at: String,
}

impl Passwords<'_> {
    /// The password of one extension; empty after a fault.
    fn of(&self, reader: &mut Reader<'_>, extension: &str) -> String {
        match &self.from {
            None => String::new(),
            Some(PasswordSource::Text(text)) => text.replace(PLACEHOLDER, extension),
            Some(PasswordSource::File(path)) => {
                let path = path.replace(PLACEHOLDER, extension);
                read_secret_file(self.source, &path).unwrap_or_else(|text| {
                    reader.error(&self.at, text);
                    String::new()
                })
            }
        }
    }

    /// The part of a password that all ports share must carry the strength: an extension is
    /// known to everybody.
    fn check_entropy(&self, reader: &mut Reader<'_>, at: &str) {
        let Some(PasswordSource::Text(text)) = &self.from else { return };
        if super::check::entropy_bits(&text.replace(PLACEHOLDER, "")) < 64 {
            reader.warning(
                at,
                "can be guessed offline from one captured REGISTER (under 64 bits): use 20 random \
                 characters; where the PBX allows only a few, keep the ports in a network of \
                 their own",
            );
        }
    }
}

fn entry(value: &DeValue<'_>) -> Meaning<Entry> {
    match value.as_str() {
        Some("builtin:announce") => Ok(Entry::Announce),
        Some(name) if is_application_name(name) => Ok(Entry::Application(name.to_owned())),
        _ => Err("write the NAME of an [applications.NAME], or \"builtin:announce\"".to_owned()),
    }
}
