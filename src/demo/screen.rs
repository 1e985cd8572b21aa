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
    terminal: bool,
    /// Only the result goes to standard output; the rest to standard error.
    aside: bool,
    began_at: Instant,
    /// Lines of the table that stand on the terminal.
    drawn: usize,
}

impl Screen {
    /// With `aside`, standard output is kept for the result.
    pub fn new(aside: bool) -> Self {
        let terminal = !aside && io::stdout().is_terminal();
        Self { terminal, aside, began_at: clock::now(), drawn: 0 }
    }

    /// One line for good.
    pub fn say(&mut self, text: &str) {
        self.erase();
        let seconds = clock::now().saturating_duration_since(self.began_at).as_secs_f64();
        let line = if text.is_empty() { String::new() } else { format!("{seconds:6.2} s  {text}") };
        self.write(&format!("{line}\n"));
    }

    /// One line for good, without the time.
    pub fn plain(&mut self, text: &str) {
        self.erase();
        self.write(&format!("{text}\n"));
    }

    /// The last line: the result.
    #[expect(clippy::print_stdout, reason = "a face that prints its result")]
    pub fn result(&mut self, text: &str) {
        println!("{text}");
    }

    /// The table of instances and calls, on a terminal only.
    pub fn show(&mut self, node: &Node) -> io::Result<()> {
        if !self.terminal {
            return Ok(());
        }
        let instances = node.ask(&Request::Instances { format: Format::Json })?;
        let calls = node.ask(&Request::Calls { format: Format::Json })?;
        let table = table(&instances, &calls);
        self.erase();
        self.drawn = table.lines().count();
        self.write(&table);
        Ok(())
    }

    fn erase(&mut self) {
        if self.drawn > 0 {
            self.write(&format!("\x1b[{}A\x1b[J", self.drawn));
            self.drawn = 0;
        }
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

fn table(instances: &Value, calls: &Value) -> String {
    let mut text = String::from("  instance  health    calls  pong p99\n");
    for instance in instances.as_array().into_iter().flatten() {
        let word = |key: &str| instance[key].as_str().unwrap_or("-").to_owned();
        let pong = instance["pong"]["p99_ms"].as_f64().unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "  {:8}  {:8}  {:>5}  {pong:6.1} ms",
            word("instance"),
            word("health"),
            instance["calls"],
        );
    }
    for state in ["offered", "bound", "rebinding"] {
        let count = calls.as_array().into_iter().flatten().filter(|c| c["state"] == state).count();
        let _ = write!(text, "  {state}: {count}");
    }
    text.push('\n');
    text
}
