//! `portkeeper watch` beside nodes as real processes: who has it open is asked when nobody serves.

#![expect(clippy::disallowed_methods, reason = "plays on real processes and files")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use super::stand::PROGRAM;
use super::supervisor::Trio;

/// An open `watch`.
struct Watch {
    process: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Watch {
    fn at(trio: &Trio, name: &str) -> Self {
        let mut process = Command::new(PROGRAM)
            .args(["watch", "--socket", "admin.sock"])
            .current_dir(trio.at(name))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let (send, lines) = mpsc::channel();
        let output = BufReader::new(process.stdout.take().expect("piped"));
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| send.send(line))
        });
        let input = process.stdin.take();
        Self { process, input, lines }
    }

    /// Waits for a line, and returns those before it.
    fn says(&self, wanted: &str) -> Vec<String> {
        let mut before = Vec::new();
        loop {
            let line = self.lines.recv_timeout(Duration::from_secs(60));
            let line = line.unwrap_or_else(|_| panic!("not said: {wanted}; but: {before:#?}"));
            if line.contains(wanted) {
                return before;
            }
            before.push(line);
        }
    }

    fn word(&mut self, word: &str) {
        writeln!(self.input.as_mut().expect("open"), "{word}").expect("it reads");
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.input = None;
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A cluster in which a person promotes.
fn manual() -> Trio {
    let trio = Trio::new("lan");
    for name in ["a", "b", "w"] {
        let path = trio.at(name).join("pk.toml");
        let text = fs::read_to_string(&path).expect("there");
        let manual = "profile = \"trio\"\npromotion = \"manual\"\n";
        fs::write(path, text.replace("profile = \"trio\"\n", manual)).expect("written");
    }
    trio
}

#[test]
fn who_watches_is_asked_when_the_primary_dies_and_promotes_with_a_word() {
    let mut trio = manual();
    ["a", "b", "w"].into_iter().for_each(|name| trio.start(name, &[]));
    trio.wait_for_roles();
    let mut watch = Watch::at(&trio, "b");
    watch.says("a is primary");
    watch.word("b");
    watch.says("a is primary: nothing was done");
    // With its supervisor, which would start it again as the primary that it was.
    trio.supervisor("a").kill().expect("alive");
    watch.says("NOBODY IS PRIMARY");
    let evidence = watch.says("type its name (a or b)");
    let tells = |what: &str| evidence.iter().any(|line| line.contains(what));
    assert!(tells("primary is nobody") && tells("ports proven"), "{evidence:#?}");
    watch.word("nobody");
    watch.says("nobody: no such node");
    watch.word("b");
    watch.says("b is primary");
    trio.acts("b");
}

#[test]
fn who_begins_to_watch_while_the_primary_is_dead_is_asked() {
    let mut trio = manual();
    ["b", "w"].into_iter().for_each(|name| trio.start(name, &[]));
    trio.follows_nobody("b");
    let mut watch = Watch::at(&trio, "b");
    watch.says("NOBODY IS PRIMARY");
    let evidence = watch.says("type its name (a or b)");
    assert!(evidence.iter().any(|line| line.contains("a: never heard")), "{evidence:#?}");
    watch.word("b");
    watch.says("b is primary");
    watch.input = None;
    assert!(watch.process.wait().expect("ended").success(), "it ends with its input");
}
