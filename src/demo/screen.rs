//! What the demo shows: a table that updates on a terminal, plain lines otherwise.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use serde_json::Value;

use crate::admin::{Format, Request};
use crate::driver::clock;
use crate::stage::node::Node;
use crate::timers::Instant;

/// Where the demo speaks to.
pub struct Screen {
    /// Only the result goes to standard output; the rest to standard error.
    aside: bool,
    began_at: Instant,
    page: Page,
}

/// What is written, and what of it does not stay.
struct Page {
    terminal: bool,
    /// Lines of the table that stand on the terminal.
    drawn: usize,
}

impl Screen {
    /// With `aside`, standard output is kept for the result.
    pub fn new(aside: bool) -> Self {
        let terminal = !aside && io::stdout().is_terminal();
        Self { aside, began_at: clock::now(), page: Page { terminal, drawn: 0 } }
    }

    /// One line for good.
    pub fn say(&mut self, text: &str) {
        let seconds = clock::now().saturating_duration_since(self.began_at).as_secs_f64();
        let line = if text.is_empty() { String::new() } else { format!("{seconds:6.2} s  {text}") };
        self.plain(&line);
    }

    /// One line for good, without the time.
    pub fn plain(&mut self, text: &str) {
        let written = self.page.line(text);
        self.write(&written);
    }

    /// The last line: the result.
    #[expect(clippy::print_stdout, reason = "a face that prints its result")]
    pub fn result(&mut self, text: &str) {
        println!("{text}");
    }

    /// The table of instances and calls, on a terminal only.
    pub fn show(&mut self, node: &Node) -> io::Result<()> {
        if !self.page.terminal {
            return Ok(());
        }
        let instances = node.ask(&Request::Instances { format: Format::Json })?;
        let calls = node.ask(&Request::Calls { format: Format::Json })?;
        let written = self.page.table(&instances, &calls);
        self.write(&written);
        Ok(())
    }

    fn write(&self, text: &str) {
        // Nobody listens if this fails.
        let _ = if self.aside {
            io::stderr().write_all(text.as_bytes())
        } else {
            io::stdout().write_all(text.as_bytes())
        };
    }
}

impl Page {
    /// A line that stays, in the place of the table.
    fn line(&mut self, text: &str) -> String {
        format!("{}{text}\n", self.erase())
    }

    /// The table in the place of the one before; nothing where that cannot be.
    fn table(&mut self, instances: &Value, calls: &Value) -> String {
        if !self.terminal {
            return String::new();
        }
        let table = table(instances, calls);
        let written = self.erase() + &table;
        self.drawn = table.lines().count();
        written
    }

    /// Up to the first line of the table, and away with everything from there.
    fn erase(&mut self) -> String {
        match std::mem::take(&mut self.drawn) {
            0 => String::new(),
            lines => format!("\x1b[{lines}A\x1b[J"),
        }
    }
}

fn table(instances: &Value, calls: &Value) -> String {
    let mut text = String::from("  instance  health    calls  pong p99\n");
    for instance in instances.as_array().into_iter().flatten() {
        let word = |key: &str| instance[key].as_str().unwrap_or("-").to_owned();
        let calls = instance["calls"].as_u64().unwrap_or_default();
        let pong = instance["pong"]["p99_ms"].as_f64().unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "  {:8}  {:8}  {calls:>5}  {pong:6.1} ms",
            word("instance"),
            word("health"),
        );
    }
    for state in ["offered", "bound", "rebinding"] {
        let count = calls.as_array().into_iter().flatten().filter(|c| c["state"] == state).count();
        let _ = write!(text, "  {state}: {count}");
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pages(terminal: bool) -> [String; 4] {
        let mut page = Page { terminal, drawn: 0 };
        let instances = json!([
            { "instance": "i1", "health": "healthy", "calls": 2, "pong": { "p99_ms": 1.25 } },
            { "instance": "i2", "health": "hung", "calls": 0, "pong": null },
        ]);
        let calls = json!([{ "state": "bound" }, { "state": "rebinding" }, { "state": "bound" }]);
        let first = page.table(&instances, &calls);
        let second = page.table(&json!([]), &calls);
        [first, second, page.line("SIGSTOP to i2"), page.line("over")]
    }

    #[test]
    fn on_a_terminal_a_table_takes_the_place_of_the_one_before_and_a_line_that_of_the_table() {
        let [first, second, line, next] = pages(true);
        assert_eq!(
            first,
            "  instance  health    calls  pong p99\n  \
             i1        healthy       2     1.2 ms\n  \
             i2        hung          0     0.0 ms\n  \
             offered: 0  bound: 2  rebinding: 1\n"
        );
        assert_eq!(second.lines().count(), 2, "{second:?}");
        assert!(second.starts_with("\x1b[4A\x1b[J  instance"), "all four lines go: {second:?}");
        assert_eq!((&*line, &*next), ("\x1b[2A\x1b[JSIGSTOP to i2\n", "over\n"));
    }

    #[test]
    fn elsewhere_there_are_plain_lines_and_no_table() {
        assert_eq!(pages(false), ["", "", "SIGSTOP to i2\n", "over\n"]);
    }
}
