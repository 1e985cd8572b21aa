//! `[alerts]`: whom a program tells of what happens to the cluster.

use std::path::{Path, PathBuf};

use toml::de::DeValue;

use super::parse::path_value;
use super::reader::{Meaning, Reader, Section};
use super::values::text;

/// Where the system keeps the CAs that it trusts.
const SYSTEM_CAS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// `[alerts]`
#[derive(Clone, Debug, Default)]
pub struct Alerts {
    /// Gets a CloudEvents object of each incident.
    pub webhook: Option<Webhook>,
    /// A program that is run for each incident.
    pub hook: Option<PathBuf>,
    /// The CAs that the webhook's certificate may come from.
    pub ca: PathBuf,
}

/// Where a webhook is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// HTTPS.
    pub tls: bool,
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path and query.
    pub path: String,
}

pub(super) fn read_alerts<'t>(
    reader: &mut Reader<'t>,
    root: &mut Section<'t>,
    base: &Path,
) -> Alerts {
    let mut section = root.section(reader, "alerts");
    let webhook = section.value(reader, "webhook", None, |value| webhook(value).map(Some));
    let hook = section.value(reader, "hook", None, |value| hook(value).map(Some));
    let ca = path_value(&mut section, reader, "ca", base, SYSTEM_CAS);
    section.finish(reader);
    Alerts { webhook, hook, ca }
}

fn hook(value: &DeValue<'_>) -> Meaning<PathBuf> {
    let path = PathBuf::from(text(value)?);
    if path.is_absolute() { Ok(path) } else { Err("write the whole path, from `/` on".to_owned()) }
}

fn webhook(value: &DeValue<'_>) -> Meaning<Webhook> {
    let wanted = || "write an address, as \"https://alerts.example.com/portkeeper\"".to_owned();
    let url = text(value)?;
    let (scheme, rest) = url.split_once("://").ok_or_else(wanted)?;
    let tls = match scheme {
        "https" => true,
        "http" => false,
        _ => return Err(wanted()),
    };
    let (place, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().map_err(|_| wanted())?),
        None => (place, if tls { 443 } else { 80 }),
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'.' || b == b'-';
    if host.is_empty() || !host.bytes().all(plain) || !path.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(wanted());
    }
    Ok(Webhook { tls, host: host.to_owned(), port, path: path.to_owned() })
}
