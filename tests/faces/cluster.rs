//! `portkeeper cluster` as an operator types it, on two machines that are two directories.

#![expect(clippy::disallowed_methods, reason = "plays on real files and processes")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::stand::{PROGRAM, portkeeper, text};

fn machine(directory: &Path, node: &str) {
    let text = format!(
        "[node]\nname = \"{node}\"\n[cluster]\nid = \"north\"\nprofile = \"pair\"\n\
         credentials = \"cluster\"\ntimers = \"lan\"\n\
         [[cluster.nodes]]\nname = \"a\"\nlink = \"127.0.0.1:7443\"\n\
         [[cluster.nodes]]\nname = \"b\"\nlink = \"127.0.0.2:7443\"\n\
         [pbx]\nregistrars = [\"127.0.0.1\"]\nlocal_address = \"127.0.0.1\"\n\
         [[ports]]\nextensions = \"6001\"\npassword = \"kT7-pq2Zr9vXw4mN8sLd\"\n\
         applications = [\"main\"]\n[applications.main]\n"
    );
    fs::create_dir(directory.join(node)).expect("made");
    fs::write(directory.join(node).join("pk.toml"), text).expect("written");
}

/// The words behind `--token` that a serving node prints.
fn printed(serving: &mut Child) -> (String, String) {
    let lines = BufReader::new(serving.stdout.take().expect("piped")).lines();
    let line = lines.map_while(Result::ok).find(|line| line.contains("--token")).expect("printed");
    let mut words = line.split_whitespace().skip_while(|word| *word != "--token").skip(1);
    let token = words.next().expect("a token").to_owned();
    (token, words.next().expect("an address").to_owned())
}

#[test]
fn two_machines_become_a_cluster_by_three_commands() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let at = |node: &str| directory.path().join(node);
    machine(directory.path(), "a");
    machine(directory.path(), "b");
    let warned = portkeeper(&["config", "check", "pk.toml"], &at("a"));
    assert!(text(&warned.stdout).contains("lacks ca.pem, node.pem, node.key"));

    let made = portkeeper(&["cluster", "init", "--config", "pk.toml"], &at("a"));
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    assert!(text(&made.stdout).contains("portkeeper cluster token NODE, for b"));
    let again = portkeeper(&["cluster", "init", "--config", "pk.toml"], &at("a"));
    assert_eq!(again.status.code(), Some(1));

    let mut serving = Command::new(PROGRAM)
        .args(["cluster", "token", "b", "--listen", "127.0.0.1:0", "--config", "pk.toml"])
        .current_dir(at("a"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let (token, address) = printed(&mut serving);
    let join = ["cluster", "join", "--config", "pk.toml", "--token", &token, &address];
    let joined = portkeeper(&join, &at("b"));
    assert_eq!(joined.status.code(), Some(0), "{}", text(&joined.stderr));
    assert!(serving.wait().expect("ended").success());
    let late = portkeeper(&join, &at("b"));
    assert_eq!(late.status.code(), Some(1), "the token was used");

    let key = fs::metadata(at("b").join("cluster/node.key")).expect("there");
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    let fine = portkeeper(&["config", "check", "pk.toml"], &at("b"));
    assert!(!text(&fine.stdout).contains("lacks"), "{}", text(&fine.stdout));
    let renewed = portkeeper(&["cluster", "renew", "--config", "pk.toml"], &at("a"));
    assert_eq!(renewed.status.code(), Some(0), "{}", text(&renewed.stderr));
}

#[test]
fn a_single_node_is_told_that_it_has_no_cluster() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let alone = "[pbx]\nregistrars = [\"127.0.0.1\"]\nlocal_address = \"127.0.0.1\"\n\
                 [[ports]]\nextensions = \"6001\"\npassword = \"kT7-pq2Zr9vXw4mN8sLd\"\n\
                 applications = [\"main\"]\n[applications.main]\n";
    fs::write(directory.path().join("pk.toml"), alone).expect("written");
    let told = portkeeper(&["cluster", "init", "--config", "pk.toml"], directory.path());
    assert_eq!(told.status.code(), Some(1));
    assert!(text(&told.stderr).contains("write [cluster] and [[cluster.nodes]] first"));
}
