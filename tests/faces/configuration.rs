//! `config check`: every fault at once, each with file, line, value and what to write; and the
//! commented example, which starts as it is.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "plays on real files and processes"
)]

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::stand::{PROGRAM, eventually, portkeeper, repository, text};

fn wrong_files() -> Vec<PathBuf> {
    let directory = fs::read_dir(repository("fixtures/config")).expect("fixtures");
    let mut files: Vec<_> = directory.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
    files.sort();
    files
}

#[test]
fn every_wrong_file_is_reported_with_each_line_value_and_what_to_write() {
    let files = wrong_files();
    assert!(files.len() >= 12, "{} files", files.len());
    for path in files {
        let file = path.file_name().and_then(|name| name.to_str()).expect("a plain name");
        let output = portkeeper(&["config", "check", file], &repository("fixtures/config"));
        let expected = fs::read_to_string(path.with_extension("txt")).expect("what it says");
        assert_eq!(text(&output.stderr), expected, "{file}\n{}", text(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "{file}");
        assert_eq!(text(&output.stdout), "", "{file}");
    }
}

#[test]
fn no_report_shows_a_password() {
    for path in wrong_files() {
        let file = path.to_str().expect("a plain name");
        let output = portkeeper(&["config", "check", file], &repository("fixtures/config"));
        let said = text(&output.stderr);
        for secret in ["kT7-pq2Zr9vXw4mN8sLd", "4711", "has space", "Xk7vQ2mT9rLwB4nZ", "p@ss"] {
            assert!(!said.contains(secret), "{file}: {said}");
        }
    }
}

#[test]
fn a_node_with_a_wrong_file_says_the_same_and_does_not_start() {
    let directory = repository("fixtures/config");
    let output = portkeeper(&["run", "--config", "outbound.toml"], &directory);
    let expected = include_str!("../../fixtures/config/outbound.txt");
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(1), expected));
}

#[test]
fn a_file_that_is_not_there_or_not_text_is_named() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::write(directory.path().join("x.toml"), b"\xff\xfe").expect("written");
    for (file, says) in [("nowhere.toml", "cannot be read: "), ("x.toml", "cannot be read: ")] {
        let output = portkeeper(&["config", "check", file], directory.path());
        let said = text(&output.stderr);
        assert!(said.starts_with(&format!("{file}: {says}")), "{said}");
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn the_commented_example_is_checked_without_an_error() {
    let output = portkeeper(&["config", "check", "portkeeper.toml"], &repository(""));
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(said.ends_with("portkeeper.toml: fine, 30 ports, 1 applications\n"), "{said}");
}

/// Another program may hold one of the example's ports for a moment.
fn ports_of_the_example_are_free() -> Option<()> {
    TcpListener::bind("127.0.0.1:8088").ok()?;
    TcpListener::bind("127.0.0.1:9108").ok()?;
    UdpSocket::bind("127.0.0.1:5062").ok()?;
    Some(())
}

#[test]
fn the_commented_example_starts_as_it_is() {
    eventually("the ports of the example are free", ports_of_the_example_are_free);
    let mut child = Command::new(PROGRAM)
        .args(["run", "--config", "portkeeper.toml"])
        .current_dir(repository(""))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // No --socket: the command finds run/admin.sock by itself, as the manual says.
    let status = eventually("it answers", || {
        let output = portkeeper(&["status"], &repository(""));
        let ended = child.try_wait().expect("a child").is_some();
        (output.status.success() || ended).then(|| text(&output.stdout))
    });
    if child.try_wait().expect("a child").is_none() {
        kill_process(Pid::from_child(&child), Signal::TERM).expect("alive");
    }
    let output = child.wait_with_output().expect("a child");
    let log = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert_eq!(text(&output.stdout), "stopped by SIGTERM\n");
    assert!(status.contains("of 30 ports registered"), "{status}");
    assert!(!log.contains("ERROR") && !log.contains("panicked"), "{log}");
}
