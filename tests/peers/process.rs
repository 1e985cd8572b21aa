//! Child processes: started, frozen, resumed and ended by their own id; what they print is kept.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Long enough for a loaded machine, short enough to notice.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `ready` says something, and panics with `what` if it never does.
pub fn eventually<T>(what: &str, ready: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, ready)
}

/// The same with a patience of its own, where a protocol's timer is longer.
pub fn within<T>(patience: Duration, what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + patience;
    loop {
        if let Some(found) = ready() {
            return found;
        }
        assert!(Instant::now() < give_up, "never happened: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A running program. Dropping it kills it.
pub struct Process {
    name: String,
    child: Child,
    lines: Receiver<String>,
    /// Steps that were printed and not yet asked for.
    steps: RefCell<Vec<Value>>,
    /// Everything that it printed, for the story of a failure.
    log: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts it; `name` marks it in failures.
    pub fn start(name: &str, command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let log = Arc::new(Mutex::new(Vec::new()));
        let (send, lines) = channel();
        let out = child.stdout.take().expect("piped above");
        let err = child.stderr.take().expect("piped above");
        follow(out, log.clone(), move |line| drop(send.send(line)));
        follow(err, log.clone(), |_| {});
        Self { name: name.to_owned(), child, lines, steps: RefCell::default(), log }
    }

    /// Waits for a line of JSON whose `step` is `step` and takes it out; others stay, for a program
    /// does several things at once. An `error` fails the test.
    pub fn step(&self, step: &str) -> Value {
        let give_up = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = self.take(step) {
                return found;
            }
            let left = give_up.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.keep(&line),
                Err(RecvTimeoutError::Timeout) => self.fail(&format!("no step `{step}`")),
                Err(RecvTimeoutError::Disconnected) => self.fail(&format!("ended before `{step}`")),
            }
        }
    }

    fn take(&self, step: &str) -> Option<Value> {
        let mut steps = self.steps.borrow_mut();
        let at = steps.iter().position(|value| value["step"] == step)?;
        Some(steps.remove(at))
    }

    fn keep(&self, line: &str) {
        let Ok(value) = serde_json::from_str::<Value>(line) else { return };
        if value["step"] == "error" {
            self.fail("an error");
        }
        if value["step"].is_string() {
            self.steps.borrow_mut().push(value);
        }
    }

    /// What it printed so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().expect("no holder panics").clone()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGSTOP: it keeps its sockets and does nothing.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    /// SIGTERM, and its exit status.
    pub fn stop(&mut self) -> std::process::ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Whether it is gone already.
    pub fn ended(&mut self) -> bool {
        self.child.try_wait().expect("our own child").is_some()
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> std::process::ExitStatus {
        let give_up = Instant::now() + PATIENCE * 3;
        loop {
            if let Some(status) = self.child.try_wait().expect("our own child") {
                return status;
            }
            if Instant::now() > give_up {
                self.fail("does not end");
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Panics with the last lines that it printed.
    pub fn fail(&self, what: &str) -> ! {
        let log = self.log();
        let tail = log[log.len().saturating_sub(40)..].join("\n    ");
        panic!("{}: {what}; it printed\n    {tail}", self.name)
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let done = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(done.is_ok_and(|s| s.success()), "{}: kill -s {signal}", self.name);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn follow(
    from: impl Read + Send + 'static,
    log: Arc<Mutex<Vec<String>>>,
    mut each: impl FnMut(String) + Send + 'static,
) {
    let start = Instant::now();
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let at = start.elapsed().as_secs_f64();
            log.lock().expect("no holder panics").push(format!("{at:7.3} {line}"));
            each(line);
        }
    });
}

/// Runs a command to its end and returns what it printed; panics when it fails.
pub fn output(command: &mut Command) -> String {
    let out = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let err = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{command:?} failed:\n{text}\n{err}");
    text
}
