//! `[ari]`: the listener and who may speak there.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use toml::de::DeValue;

use super::parse::{PasswordSource, Source, read_password, read_secret_file};
use super::reader::{Meaning, Reader, Section};
use super::section_ports::no_such_application;
use super::values::{boolean, is_application_name, is_url_safe, listener};
use super::{Application, Ari, AriUser};
use crate::redact::Redacted;

/// Reads `[ari]` and `[ari.users.NAME]`.
pub(super) fn read_ari<'t>(
    reader: &mut Reader<'t>,
    root: &mut Section<'t>,
    source: Source<'_>,
    applications: &BTreeMap<String, Application>,
) -> Ari {
    let mut section = root.section(reader, "ari");
    let default_listen = SocketAddr::from(([127, 0, 0, 1], 8_088));
    let listen = section.value(reader, "listen", default_listen, listener);
    let tls_listen = section.optional(reader, "tls_listen", listener);
    let mut users = BTreeMap::new();
    for (name, mut user) in section.section(reader, "users").named(reader) {
        if !is_url_safe(&name) {
            let text = "a name of a user has letters, digits, `-`, `.`, `_` and `~` only";
            reader.error(user.path(), text);
        }
        let read = read_user(reader, &mut user, source);
        check_applications(reader, &user.at("applications"), &read, applications);
        user.finish(reader);
        users.insert(name, read);
    }
    section.finish(reader);
    Ari { listen, tls_listen, users }
}

fn read_user<'t>(
    reader: &mut Reader<'t>,
    section: &mut Section<'t>,
    source: Source<'_>,
) -> AriUser {
    let password = match read_password(reader, section) {
        None => String::new(),
        Some(PasswordSource::Text(text)) => {
            check_password(reader, &section.at("password"), &text);
            text
        }
        Some(PasswordSource::File(path)) => {
            let at = section.at("password_file");
            match read_secret_file(source, &path) {
                Ok(text) => {
                    check_password(reader, &at, &text);
                    text
                }
                Err(text) => {
                    reader.error(&at, text);
                    String::new()
                }
            }
        }
    };
    AriUser {
        password: Redacted::new(password),
        read_only: section.value(reader, "read_only", false, boolean),
        applications: section.list(reader, "applications", application).unwrap_or_default(),
    }
}

fn check_applications(
    reader: &mut Reader<'_>,
    path: &str,
    user: &AriUser,
    applications: &BTreeMap<String, Application>,
) {
    let keys = reader.readable(path, user.applications.len());
    for (name, at) in user.applications.iter().zip(keys) {
        if !applications.contains_key(name) {
            reader.error(&at, no_such_application(name, applications));
        }
    }
}

fn check_password(reader: &mut Reader<'_>, at: &str, password: &str) {
    if !is_url_safe(password) {
        let text = "has characters that some ARI clients do not escape in a URL: use letters, \
                    digits, `-`, `.`, `_` and `~` only";
        reader.error(at, text);
    }
    if super::check::entropy_bits(password) < 64 {
        reader.warning(at, "can be guessed (under 64 bits): use 20 random characters");
    }
}

fn application(value: &DeValue<'_>) -> Meaning<String> {
    let name = value.as_str().filter(|name| is_application_name(name));
    name.map(str::to_owned)
        .ok_or_else(|| "write the NAME of an [applications.NAME] in quotes".to_owned())
}
