//! What systemd is told, by a socket that stands in for it: READY when the node serves, WATCHDOG
//! only while the threads get work done, STOPPING.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "plays on real sockets and threads"
)]

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use super::stand::{Stand, Wish, eventually, pbx, receive};

/// systemd's end of the notify socket.
pub struct Systemd {
    _directory: tempfile::TempDir,
    path: String,
    socket: UnixDatagram,
}

impl Systemd {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("notify").to_str().expect("a plain path").to_owned();
        let socket = UnixDatagram::bind(&path).expect("a socket");
        Self { _directory: directory, path, socket }
    }

    pub fn environment(&self, watchdog: Option<Duration>) -> Vec<(&'static str, String)> {
        let mut variables = vec![("NOTIFY_SOCKET", self.path.clone())];
        if let Some(watchdog) = watchdog {
            variables.push(("WATCHDOG_USEC", watchdog.as_micros().to_string()));
        }
        variables
    }

    /// The next thing that is said within some time.
    pub fn hear(&self, within: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(within)).expect("a socket option");
        let mut buffer = [0; 1_024];
        let length = receive(|| self.socket.recv(&mut buffer)).ok()?;
        Some(String::from_utf8(buffer[..length].to_vec()).expect("text"))
    }

    pub fn hear_until(&self, what: &str) -> Vec<String> {
        let mut heard = Vec::new();
        while !heard.iter().any(|said: &String| said.contains(what)) {
            let said = self.hear(Duration::from_secs(20));
            heard.push(said.unwrap_or_else(|| panic!("no {what} after {heard:?}")));
        }
        heard
    }

    /// How often WATCHDOG=1 is said within some time.
    fn feeds_within(&self, time: Duration) -> usize {
        let until = Instant::now() + time;
        let mut feeds = 0;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            let left = left.max(Duration::from_millis(1));
            feeds += usize::from(self.hear(left).is_some_and(|said| said.contains("WATCHDOG=1")));
        }
        feeds
    }
}

/// A thread of the node, stopped as a debugger stops it; the others run.
struct Frozen(Pid);

impl Frozen {
    fn thread(stand: &Stand, name: &str) -> Self {
        let tasks = fs::read_dir(format!("/proc/{}/task", stand.pid())).expect("a process");
        let is_it = |path: &std::path::PathBuf| {
            fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim() == name)
        };
        let task = tasks.map(|task| task.expect("a thread").path()).find(is_it);
        let task = task.unwrap_or_else(|| panic!("a thread {name}"));
        let number = task.file_name().and_then(|n| n.to_str()).and_then(|n| n.parse().ok());
        let thread = Pid::from_raw(number.expect("a number"));
        ptrace::seize(thread, ptrace::Options::empty()).expect("a child may be traced");
        ptrace::interrupt(thread).expect("seized");
        waitpid(thread, Some(WaitPidFlag::__WALL)).expect("stopped");
        Self(thread)
    }

    fn go_on(self) {
        drop(self);
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // A process with a thread that somebody traces cannot be waited for. It may have ended.
        let _ = ptrace::detach(self.0, None);
    }
}

#[test]
fn systemd_hears_ready_when_the_node_serves_and_stopping_when_it_ends() {
    let systemd = Systemd::new();
    let pbx = pbx(&["6001", "6002"]);
    let environment = systemd.environment(None);
    let stand = Wish { environment, ..Wish::at(pbx.address) }.start();
    let first = systemd.hear(Duration::from_secs(20)).expect("a message");
    assert_eq!(first.trim(), "READY=1", "the first thing that is said");
    assert_eq!(stand.page("/livez").0, 200, "and it is true");
    let said = systemd.hear_until("STATUS=2 of 2 ports registered");
    assert!(said.iter().any(|said| said.contains("0 calls, 0 instances, ")), "{said:?}");
    stand.stop();
    systemd.hear_until("STOPPING=1");
}

#[test]
fn the_watchdog_is_fed_only_while_the_event_loop_works() {
    starved_by("control", "event loop");
}

#[test]
fn the_watchdog_is_fed_only_while_the_media_workers_work() {
    starved_by("media-0", "media worker 0");
}

/// Freezes one thread: the watchdog starves, and is fed again when the thread goes on.
fn starved_by(thread: &str, part: &str) {
    let systemd = Systemd::new();
    let pbx = pbx(&["6001", "6002"]);
    let environment = systemd.environment(Some(Duration::from_secs(5)));
    let stand = Wish { environment, ..Wish::at(pbx.address) }.start();
    systemd.hear_until("WATCHDOG=1");
    let frozen = Frozen::thread(&stand, thread);
    systemd.hear_until(&format!("STATUS={part} makes no progress"));
    assert_eq!(systemd.feeds_within(Duration::from_secs(5)), 0);
    assert_eq!(stand.page("/livez"), (503, format!("{part} makes no progress\n")));
    let complaint = stand.log_lines("no progress: the watchdog is not fed");
    assert!(complaint.iter().any(|line| line.contains(part)), "{complaint:?}");
    frozen.go_on();
    systemd.hear_until("WATCHDOG=1");
    eventually("alive again", || (stand.page("/livez").0 == 200).then_some(()));
}
