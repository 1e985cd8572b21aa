//! `portkeeper agent add`: where the PIN comes from. It is keyed at a terminal without being shown,
//! twice, or read from a pipe, or made here; it is never an argument, which every user of the
//! system could read.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;

use rand_core::{SeedableRng as _, TryRngCore as _};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::commands::{self, Failure};
use crate::admin::{Format, NewAgent, Request};
use crate::ids::Rng;
use crate::menu::generate_pin;

/// A line of a pipe is read to here.
const LINE_MAX: u64 = 256;

/// Adds an agent; its PIN is read or made here, and replaces the one in `agent`.
///
/// # Errors
/// No PIN could be read or made, or what [`commands::ask`] says.
pub fn add(
    socket: &Path,
    agent: NewAgent,
    generate: bool,
    format: Format,
) -> Result<String, Failure> {
    let failed = |error: io::Error| Failure::Refused(format!("no PIN: {error}"));
    let pin = if generate { generated(&agent) } else { read() }.map_err(failed)?;
    let agent = NewAgent { pin: pin.clone().into(), ..agent };
    let said = commands::ask(socket, &Request::AgentAdd { agent, format })?;
    Ok(match (generate, format) {
        (false, _) => said,
        (true, Format::Text) => format!("{said}\nPIN: {pin}"),
        (true, Format::Json) => with_pin(&said, &pin),
    })
}

/// The answer with the PIN in it: it is shown this once.
fn with_pin(said: &str, pin: &str) -> String {
    match serde_json::from_str(said) {
        Ok(serde_json::Value::Object(mut answer)) => {
            answer.insert("pin".to_owned(), pin.into());
            serde_json::Value::Object(answer).to_string()
        }
        Ok(_) | Err(_) => said.to_owned(),
    }
}

fn generated(agent: &NewAgent) -> io::Result<String> {
    let mut seed = [0; 32];
    rand_core::OsRng.try_fill_bytes(&mut seed).map_err(io::Error::other)?;
    let pin = generate_pin(&mut Rng::from_seed(seed), &agent.number, &agent.extensions);
    pin.ok_or_else(|| io::Error::other("the extensions leave none; write fewer"))
}

fn read() -> io::Result<String> {
    if !io::stdin().is_terminal() {
        return line();
    }
    let pin = hidden("PIN: ")?;
    if hidden("once more: ")? == pin {
        Ok(pin)
    } else {
        Err(io::Error::other("it was keyed in two ways"))
    }
}

fn hidden(question: &str) -> io::Result<String> {
    let mut terminal = io::stderr();
    terminal.write_all(question.as_bytes())?;
    terminal.flush()?;
    let quiet = Quiet::new()?;
    let answer = line();
    drop(quiet);
    terminal.write_all(b"\n")?;
    answer
}

fn line() -> io::Result<String> {
    let mut text = String::new();
    io::Read::take(io::stdin().lock(), LINE_MAX).read_line(&mut text)?;
    match text.trim() {
        "" => Err(io::Error::other("nothing was keyed")),
        pin => Ok(pin.to_owned()),
    }
}

/// A terminal that shows nothing of what is keyed, until this is dropped.
struct Quiet(Termios);

impl Quiet {
    fn new() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet)?;
        Ok(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // A terminal that is gone shows nothing either.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_that_is_made_is_shown_once_in_either_form() {
        let said = with_pin(r#"{"agent":"4711","text":"agent 4711 is added"}"#, "19047283");
        let answer: serde_json::Value = serde_json::from_str(&said).expect("JSON");
        assert_eq!((&answer["pin"], &answer["agent"]), (&"19047283".into(), &"4711".into()));
    }
}
