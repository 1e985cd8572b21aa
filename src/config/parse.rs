//! Text to [`Config`]: every section read key by key, then checked across sections.
//!
//! Nothing stops at the first fault. A wrong value is reported and its default stands in for it,
//! so that the checks behind it still run. A configuration comes out only if no fault is an error.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::check;
use super::check_cluster::check_cluster;
use super::day::Day;
use super::fault::{Fault, Severity};
use super::reader::{Reader, Section};
use super::section_admin::read_admin;
use super::section_alerts::read_alerts;
use super::section_cluster::{read_cluster, read_control};
use super::section_pbx::read_pbx;
use super::section_ports::read_ports;
use super::values::{boolean, log_filter, number, pattern, text, udp_range};
use super::{Config, Log, Media, Node, Outbound};
use super::{section_applications as applications, section_ari, values};
use crate::timers::Duration;

/// A configuration as it lies on a disk.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// Its text.
    pub text: &'a str,
    /// Relative paths in it start here: the directory of the file.
    pub base: &'a Path,
    /// Reads a file that the text names (`password_file`).
    pub read_file: &'a dyn Fn(&Path) -> io::Result<String>,
    /// What is wrong with a file that the text names and nobody reads yet, as a sentence that
    /// begins with its path: it is not there, or is no prompt.
    pub fault_of: &'a dyn Fn(&Path) -> Option<String>,
    /// For warnings of what ends soon.
    pub today: Day,
}

/// What became of a configuration.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// The configuration, unless a fault is an error.
    pub config: Option<Config>,
    /// Errors and warnings, by line.
    pub faults: Vec<Fault>,
    /// Every key that exists, by dotted path.
    pub keys: BTreeSet<String>,
}

/// Reads and checks a whole configuration.
pub fn parse(source: Source<'_>) -> Parsed {
    let (document, syntax) = DeTable::parse_recoverable(source.text);
    let mut reader = Reader::new(source.text);
    for fault in &syntax {
        reader.syntax(fault);
    }
    // After a fault of the grammar the rest is a guess: reporting it would mislead.
    let config = syntax.is_empty().then(|| read_config(&mut reader, source, document.get_ref()));
    let (faults, keys) = reader.into_faults();
    let usable = faults.iter().all(|fault| fault.severity == Severity::Warning);
    Parsed { config: config.filter(|_| usable), faults, keys }
}

fn read_config<'t>(
    reader: &mut Reader<'t>,
    source: Source<'_>,
    document: &'t DeTable<'t>,
) -> Config {
    let mut root = Section::root(document);
    let node = read_node(reader, &mut root);
    let pbx = read_pbx(reader, &mut root);
    let applications = applications::read_applications(reader, &mut root);
    let announce = applications::read_announce(reader, &mut root);
    let cluster = read_cluster(reader, &mut root, source.base, &node, &pbx);
    let mut ports = read_ports(reader, &mut root, source, &applications);
    let control = read_control(reader, &mut root, source, (&cluster, &pbx), &ports);
    let control = control.map(|(control, own)| {
        ports.extend(own);
        control
    });
    let media = read_media(reader, &mut root, source.base, pbx.local_address);
    let autostart = applications::read_autostart(reader, &mut root, &applications);
    let ari = section_ari::read_ari(reader, &mut root, source, &applications);
    let outbound = read_outbound(reader, &mut root);
    let alerts = read_alerts(reader, &mut root, source.base);
    let admin = read_admin(reader, &mut root, source);
    let log = read_log(reader, &mut root);
    root.finish(reader);
    let config = Config {
        node,
        pbx,
        cluster,
        ports,
        control,
        applications,
        announce,
        media,
        autostart,
        ari,
        outbound,
        alerts,
        admin,
        log,
    };
    check::check(reader, &config, source.fault_of);
    check_cluster(reader, &config, source.fault_of);
    config
}

fn read_node<'t>(reader: &mut Reader<'t>, root: &mut Section<'t>) -> Node {
    let mut section = root.section(reader, "node");
    let name = section.value(reader, "name", "portkeeper".to_owned(), text);
    let entity_id = section.value(reader, "entity_id", name.clone(), text);
    section.finish(reader);
    Node { name, entity_id }
}

fn read_media<'t>(
    reader: &mut Reader<'t>,
    root: &mut Section<'t>,
    base: &Path,
    default_address: IpAddr,
) -> Media {
    const SILENCE: std::ops::RangeInclusive<Duration> =
        Duration::from_secs(1)..=Duration::from_secs(3_600);
    let mut section = root.section(reader, "media");
    let address = section.value(reader, "address", default_address, values::address);
    let (udp_first, udp_last) = section.value(reader, "udp_ports", (16_384, 32_767), udp_range);
    let workers = section.value(reader, "workers", None, |value| match value.as_str() {
        Some("auto") => Ok(None),
        _ => number(1..=64)(value).map(Some).map_err(|e| format!("{e}, or \"auto\"")),
    });
    let prompts = path_value(&mut section, reader, "prompts", base, "prompts");
    let recordings = path_value(&mut section, reader, "recordings", base, "recordings");
    let rtp_timeout =
        section.value(reader, "rtp_timeout", Duration::from_secs(10), values::duration(SILENCE));
    section.finish(reader);
    Media { address, udp_first, udp_last, workers, prompts, recordings, rtp_timeout }
}

fn read_outbound<'t>(reader: &mut Reader<'t>, root: &mut Section<'t>) -> Outbound {
    let mut section = root.section(reader, "outbound");
    let allow = section.list(reader, "allow", pattern).unwrap_or_default();
    let max_calls = section.value(reader, "max_calls", 10, number(0..=10_000));
    let max_per_hour = section.value(reader, "max_per_hour", 60, number(0..=1_000_000));
    section.finish(reader);
    Outbound { allow, max_calls, max_per_hour }
}

fn read_log<'t>(reader: &mut Reader<'t>, root: &mut Section<'t>) -> Log {
    let mut section = root.section(reader, "log");
    let json = section.value(reader, "json", false, boolean);
    let filter = section.value(reader, "filter", "info".to_owned(), log_filter);
    section.finish(reader);
    Log { json, filter }
}

/// A path; a relative one starts at the directory of the file.
pub(super) fn path_value<'t>(
    section: &mut Section<'t>,
    reader: &mut Reader<'t>,
    key: &'static str,
    base: &Path,
    default: &str,
) -> PathBuf {
    base.join(section.value(reader, key, default.to_owned(), text))
}

/// Reads the secret of `password` or `password_file`, of which exactly one must be written.
/// `{extension}` in either is left in place.
pub(super) fn read_password<'t>(
    reader: &mut Reader<'t>,
    section: &mut Section<'t>,
) -> Option<PasswordSource> {
    let password = section.secret(reader, "password", text);
    let file = section.optional(reader, "password_file", text);
    let (has_password, has_file) =
        (reader.written(&section.at("password")), reader.written(&section.at("password_file")));
    match (has_password, has_file) {
        (false, false) => {
            reader.error(
                &section.at("password"),
                "is missing: write password = \"...\" or, better, password_file = \"PATH\"",
            );
        }
        (true, true) => {
            reader.error(&section.at("password_file"), "write password or password_file, not both");
        }
        _ => {}
    }
    password.map(PasswordSource::Text).or(file.map(PasswordSource::File))
}

/// Where a password comes from.
#[derive(Clone)]
pub(super) enum PasswordSource {
    /// The configuration itself.
    Text(String),
    /// The first line of a file.
    File(String),
}

/// The first line of a file that the configuration names.
pub(super) fn read_secret_file(source: Source<'_>, path: &str) -> Result<String, String> {
    let path = source.base.join(path);
    let text = (source.read_file)(&path)
        .map_err(|e| format!("cannot read {}: {e}; make it readable to us", path.display()))?;
    match text.lines().next().map(str::trim) {
        None | Some("") => {
            Err(format!("{} is empty: put the password on its first line", path.display()))
        }
        Some(line) => Ok(line.to_owned()),
    }
}
