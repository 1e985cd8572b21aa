//! What the commands of the command line do. Each returns what to print, or why it cannot.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::{fmt, fs, io};

use super::{admin_socket, clock, log, notify, prompts, run, supervised, supervisor};
use crate::admin::{Reply, Request};
use crate::config::{self, ClusterProfile, Config, Report};

/// Why a command failed. The kind decides the exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The configuration cannot be used; every fault, one a line.
    Configuration(String),
    /// The node refused the request, with its sentence.
    Refused(String),
    /// No node answers.
    NoNode(String),
    /// A node could not start, or ended by itself.
    Node(String),
    /// A node under a supervisor ended so, and has said why.
    Ended(ExitStatus),
}

impl Failure {
    /// Exit code: 1 configuration or refusal, 3 no node, 4 node. (2 is wrong usage.)
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Configuration(_) | Self::Refused(_) => 1,
            Self::NoNode(_) => 3,
            Self::Node(_) => 4,
            Self::Ended(status) => {
                status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(4)
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(text)
            | Self::Refused(text)
            | Self::NoNode(text)
            | Self::Node(text) => f.write_str(text.trim_end()),
            Self::Ended(status) => write!(f, "the node ended: {status}"),
        }
    }
}

/// A configuration that can be used, and its warnings, one a line.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Warnings.
    pub warnings: String,
}

/// Reads and checks a configuration file.
///
/// # Errors
/// [`Failure::Configuration`] with every fault.
pub fn load_config(path: &Path) -> Result<Loaded, Failure> {
    let file = path.display().to_string();
    let text = read_file(path)
        .map_err(|error| Failure::Configuration(format!("{file}: cannot be read: {error}")))?;
    let base = path.parent().unwrap_or(Path::new(""));
    let fault_of = &prompts::fault_of;
    let today = config::Day::of(clock::unix_ms());
    let source = config::Source { text: &text, base, read_file: &read_file, fault_of, today };
    let parsed = config::parse(source);
    let report = Report { file: &file, faults: &parsed.faults }.to_string();
    match parsed.config {
        Some(config) => Ok(Loaded { config, warnings: report }),
        None => Err(Failure::Configuration(report)),
    }
}

#[expect(clippy::disallowed_methods, reason = "the configuration is read here and nowhere else")]
fn read_file(path: &Path) -> io::Result<String> {
    fs::read_to_string(path)
}

/// A node that a supervisor has started.
#[derive(Clone, Debug)]
pub struct Supervised {
    /// The process of the supervisor.
    pub by: u32,
    /// Of what earlier processes of this node ended lately.
    pub ended: Vec<String>,
}

/// `portkeeper run --config FILE`: until a signal ends it. A node in a cluster is started as a
/// process of its own, under this one; `supervised`: this is that process.
///
/// # Errors
/// [`Failure::Configuration`] with every fault, or [`Failure::Node`] when it cannot start.
pub fn run(path: &Path, supervised: Option<Supervised>) -> Result<String, Failure> {
    if let Some(supervised) = &supervised {
        let joined = supervised::join(supervised.by);
        joined.map_err(|error| Failure::Node(error.to_string()))?;
    }
    let Loaded { config, warnings } = load_config(path)?;
    let _log = log::start(&config.log).map_err(Failure::Node)?;
    if supervised.is_none() && config.cluster.profile != ClusterProfile::Single {
        return supervisor::run(path, &config);
    }
    for warning in warnings.lines() {
        tracing::warn!("{warning}");
    }
    let failed = |error: io::Error| Failure::Node(error.to_string());
    let causes = supervised.map_or_else(Vec::new, |supervised| supervised.ended);
    let mut running = run::start(config, causes).map_err(failed)?;
    let signal = running.wait().map_err(failed)?;
    notify::stopping();
    tracing::info!(signal, "stopping: calls end, ports are un-registered");
    running.stop();
    tracing::info!("stopped");
    Ok(format!("stopped by {signal}"))
}

/// `portkeeper config check FILE`
///
/// # Errors
/// [`Failure::Configuration`] with every fault.
pub fn check_config(path: &Path) -> Result<String, Failure> {
    let Loaded { config, warnings } = load_config(path)?;
    let (ports, applications) = (config.pool_ports().len(), config.applications.len());
    let fine = format!("{}: fine, {ports} ports, {applications} applications", path.display());
    Ok(warnings + &fine)
}

/// Asks the node at a socket.
///
/// # Errors
/// [`Failure::NoNode`] or [`Failure::Refused`].
pub fn ask(socket: &Path, request: &Request) -> Result<String, Failure> {
    let reply = admin_socket::ask(socket, request).map_err(|error| {
        Failure::NoNode(format!(
            "no node answers at {}: {error}; start one with `portkeeper run`, or name its \
             admin.socket with --socket",
            socket.display()
        ))
    })?;
    match reply {
        Reply::Ok(serde_json::Value::String(text)) => Ok(text.trim_end().to_owned()),
        Reply::Ok(value) => Ok(value.to_string()),
        Reply::Error(text) => Err(Failure::Refused(text)),
    }
}

/// The socket that a command without `--socket` means: the one of the example configuration in
/// the current directory if it is there, else that of the system's service.
pub fn default_socket() -> PathBuf {
    let here = PathBuf::from("run/admin.sock");
    if here.exists() { here } else { PathBuf::from("/run/portkeeper/admin.sock") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::Format;

    fn repository(path: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
    }

    #[test]
    fn the_example_is_fine() {
        let text = check_config(&repository("portkeeper.toml")).expect("usable");
        assert!(text.ends_with("portkeeper.toml: fine, 30 ports, 1 applications"), "{text}");
        assert!(!text.contains("there is no "), "a prompt is missing: {text}");
    }

    #[test]
    fn a_wrong_file_fails_with_every_fault() {
        let failure = check_config(&repository("fixtures/config/faults.toml")).expect_err("wrong");
        assert_eq!(failure.exit_code(), 1);
        let faults = include_str!("../../fixtures/config/faults.txt").lines().count();
        assert_eq!(failure.to_string().lines().count(), faults);
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let failure = check_config(Path::new("/nowhere/x.toml")).expect_err("absent");
        assert!(failure.to_string().starts_with("/nowhere/x.toml: cannot be read: "), "{failure}");
    }

    #[test]
    fn a_node_that_is_not_there_is_told_with_what_to_do() {
        let request = Request::Status { format: Format::Text };
        let failure = ask(Path::new("/nowhere/admin.sock"), &request).expect_err("no node");
        assert_eq!(failure.exit_code(), 3);
        assert!(failure.to_string().contains("portkeeper run"), "{failure}");
    }
}
