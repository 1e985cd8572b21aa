//! `portkeeper watch`: stays with a node and says who is primary whenever that changes. When
//! nobody is, it shows what speaks for a promotion and against it, and takes the word for one.
//!
//! A word is the name of the node that shall serve. An order by force needs an attestation, and is
//! not given here.

use std::io::{self, BufRead, Write};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::commands::{self, Failure};
use crate::admin::{Format, Request, RoleWish};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// A promotion by itself takes less: nobody is asked meanwhile.
const LOOKS_BEFORE_A_WORD: u32 = 2;
/// Lines of `status` that tell how the cluster stands.
const EVIDENCE: [&str; 7] = ["cluster", "peer", "passive", "ready", "unproven", "data", "facts"];

/// Who is primary, as one node knows.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    /// This one.
    Primary(String),
    /// Nobody that is heard; any of these nodes could be. The last one may serve behind a cut link.
    Nobody { nodes: Vec<String>, unheard: Option<String> },
    /// The node that is watched does not answer.
    NoNode(String),
}

/// Watches the node at a socket until standard input ends.
///
/// # Errors
/// [`Failure::Refused`] by a node alone, which has no other one.
pub fn watch(socket: &Path) -> Result<String, Failure> {
    let words = words();
    let mut last = None;
    let mut looks = 0;
    loop {
        let seen = look(socket)?;
        looks = if last.as_ref() == Some(&seen) { looks + 1 } else { 1 };
        match &seen {
            Seen::Nobody { nodes, unheard } if looks == LOOKS_BEFORE_A_WORD => {
                ask_for_a_word(socket, nodes, unheard.as_deref());
            }
            Seen::Primary(node) if looks == 1 => say(&format!("{node} is primary")),
            Seen::NoNode(why) if looks == 1 => say(why),
            _ => {}
        }
        match words.recv_timeout(LOOK) {
            Ok(word) => order(socket, &seen, word.trim()),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(String::new()),
        }
        last = Some(seen);
    }
}

/// Lines of standard input, until it ends.
#[expect(clippy::disallowed_methods, reason = "waits for a person beside the looks at the node")]
fn words() -> Receiver<String> {
    let (send, words) = mpsc::channel();
    // Ends with the process, or with the input.
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                break;
            }
        }
    });
    words
}

fn look(socket: &Path) -> Result<Seen, Failure> {
    let text = match commands::ask(socket, &Request::Status { format: Format::Json }) {
        Ok(text) => text,
        Err(Failure::NoNode(why)) => return Ok(Seen::NoNode(why)),
        Err(other) => return Err(other),
    };
    let status: Value = serde_json::from_str(&text)
        .map_err(|error| Failure::Node(format!("the node's answer cannot be read: {error}")))?;
    seen(&status["cluster"]).ok_or_else(|| {
        let text = "this node is alone: its configuration has no [cluster], and nobody to promote";
        Failure::Refused(text.to_owned())
    })
}

fn seen(cluster: &Value) -> Option<Seen> {
    let cluster = cluster.as_object()?;
    if let Some(primary) = cluster["primary"].as_str() {
        return Some(Seen::Primary(primary.to_owned()));
    }
    let witnesses = cluster["peers"].as_array()?.iter().filter(|peer| peer["kind"] == "witness");
    let witnesses: Vec<&Value> = witnesses.map(|peer| &peer["name"]).collect();
    let nodes = cluster["nodes"].as_array()?.iter().filter(|node| !witnesses.contains(node));
    let nodes = nodes.filter_map(Value::as_str).map(str::to_owned);
    let unheard = cluster.get("unheard_primary").and_then(Value::as_str).map(str::to_owned);
    Some(Seen::Nobody { nodes: nodes.collect(), unheard })
}

fn headline(unheard: Option<&str>) -> String {
    match unheard {
        Some(node) => format!(
            "THE PRIMARY {node} IS NOT HEARD: unless only the link to it is cut, no call is \
             answered."
        ),
        None => "NOBODY IS PRIMARY: no call is answered.".to_owned(),
    }
}

fn ask_for_a_word(socket: &Path, nodes: &[String], unheard: Option<&str>) {
    let status = commands::ask(socket, &Request::Status { format: Format::Text });
    let status = status.unwrap_or_else(|failure| failure.to_string());
    let tells = |line: &&str| line.split_whitespace().next().is_some_and(|w| EVIDENCE.contains(&w));
    let evidence: Vec<&str> = status.lines().filter(tells).collect();
    say(&format!(
        "{}\n{}\nTo promote a node, type its name ({}) and Enter.",
        headline(unheard),
        evidence.join("\n"),
        nodes.join(" or ")
    ));
}

fn order(socket: &Path, seen: &Seen, word: &str) {
    let nodes = match seen {
        _ if word.is_empty() => return,
        Seen::Nobody { nodes, .. } => nodes,
        Seen::Primary(node) => return say(&format!("{node} is primary: nothing was done")),
        Seen::NoNode(_) => return say("no node answers: nothing was done"),
    };
    if !nodes.iter().any(|node| node == word) {
        return say(&format!("{word}: no such node; nothing was done"));
    }
    let wish = RoleWish::Promote { node: Some(word.to_owned()), force: None };
    match commands::ask(socket, &Request::Role { wish, format: Format::Text }) {
        Ok(text) => say(&text),
        Err(failure) => say(&failure.to_string()),
    }
}

fn say(text: &str) {
    // Whoever does not read any more has left.
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_witness_is_not_among_those_that_could_serve() {
        let peers = json!([{"name": "a", "kind": "data"}, {"name": "w", "kind": "witness"}]);
        let nodes = json!(["a", "b", "w"]);
        let cluster = json!({"primary": null, "peers": peers, "nodes": nodes});
        let both = vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(seen(&cluster), Some(Seen::Nobody { nodes: both, unheard: None }));
        let served = json!({"primary": "a", "peers": peers, "nodes": nodes});
        assert_eq!(seen(&served), Some(Seen::Primary("a".to_owned())));
        assert_eq!(seen(&Value::Null), None);
    }

    #[test]
    fn a_primary_of_a_pair_that_is_not_heard_is_named_before_a_word_is_asked_for() {
        let peers = json!([{"name": "a", "kind": "data"}]);
        let cluster = json!({
            "primary": null, "unheard_primary": "a", "peers": peers, "nodes": ["a", "b"],
        });
        let Some(Seen::Nobody { nodes, unheard }) = seen(&cluster) else { panic!("{cluster}") };
        assert_eq!(nodes, ["a", "b"]);
        assert!(headline(unheard.as_deref()).contains("THE PRIMARY a IS NOT HEARD"));
    }
}
