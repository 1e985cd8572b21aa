//! `portkeeper promote --force`: the name of the node is typed once more, at the terminal or in
//! `--confirm`, before anything is ordered. What makes a promotion safe is not given up by a line
//! that was called back from a shell's history.

use std::io::{self, BufRead as _, Read as _, Write as _};
use std::path::Path;

use serde_json::Value;

use super::commands::{self, Failure};
use crate::admin::{Format, Request};

/// A line is read to here.
const LINE_MAX: u64 = 256;

/// Has the name typed. `node`: which shall serve; without it, the one that is asked.
///
/// # Errors
/// Another name was typed, or the node cannot be asked for its own.
pub fn confirm(socket: &Path, node: Option<&str>, typed: Option<&str>) -> Result<(), Failure> {
    let name = match node {
        Some(name) => name.to_owned(),
        None => name_of(socket)?,
    };
    let typed = match typed {
        Some(typed) => typed.to_owned(),
        None => ask(&name).map_err(|error| Failure::Refused(format!("not confirmed: {error}")))?,
    };
    judge(&name, &typed)
}

fn judge(name: &str, typed: &str) -> Result<(), Failure> {
    if typed.trim() == name {
        return Ok(());
    }
    let text = format!("not confirmed, nothing was done: type {name}, or write --confirm {name}");
    Err(Failure::Refused(text))
}

fn name_of(socket: &Path) -> Result<String, Failure> {
    let text = commands::ask(socket, &Request::Status { format: Format::Json })?;
    let status: Value = serde_json::from_str(&text)
        .map_err(|error| Failure::Node(format!("the node's answer cannot be read: {error}")))?;
    Ok(status["node"]["name"].as_str().unwrap_or_default().to_owned())
}

fn ask(name: &str) -> io::Result<String> {
    let mut terminal = io::stderr();
    write!(
        terminal,
        "This gives up what makes a promotion safe: with two primaries, calls end. To make {name} \
         primary all the same, type its name: "
    )?;
    terminal.flush()?;
    let mut text = String::new();
    io::stdin().lock().take(LINE_MAX).read_line(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_of_the_node_forces_it() {
        assert!(judge("b", " b\n").is_ok());
        for typed in ["", "\n", "a", "y", "B"] {
            let told = judge("b", typed).expect_err("refused").to_string();
            assert!(told.contains("nothing was done: type b"), "{told}");
        }
    }

    #[test]
    fn the_name_may_be_written_in_the_command_and_nobody_is_asked_then() {
        let nowhere = Path::new("/nonexistent");
        assert!(confirm(nowhere, Some("b"), Some("b")).is_ok());
        assert!(confirm(nowhere, Some("b"), Some("a")).is_err());
        assert!(confirm(nowhere, None, Some("b")).is_err(), "no node tells its name");
    }
}
