//! A node as a process: `portkeeper run` with a configuration written for the play.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::process::{self, program};
use crate::admin::{Format, Reply, Request};
use crate::driver::admin_socket;
use crate::timers::Instant;

/// A node is up within this, however loaded the machine.
const START_WITHIN: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// What the node of a play is like.
#[derive(Clone, Debug)]
pub struct Setting {
    /// SIP address of the PBX.
    pub pbx: SocketAddr,
    /// Extensions of its ports, as in the configuration.
    pub extensions: String,
    /// Directory with the prompts.
    pub prompts: PathBuf,
    /// REGISTERs a second; 0: no pacing.
    pub register_rate: u32,
    /// Further lines of `[applications.main]`.
    pub application: String,
    /// Plays this prompt to every caller, for long, and needs no instance.
    pub announce: Option<String>,
}

/// Password of every port in a play.
pub const PASSWORD: &str = "a-play-on-loopback-only-7Qx2";
/// User and password of the ARI listener in a play.
pub const API_KEY: &str = "play:a-play-on-loopback-only";

/// Files of a node, in its directory.
pub(super) const SOCKET: &str = "admin.sock";
pub(super) const CONFIGURATION: &str = "portkeeper.toml";

/// A node that runs.
pub struct Node {
    /// Its ARI listener.
    pub ari: SocketAddr,
    socket: PathBuf,
    child: Child,
}

impl Node {
    /// Starts a node with its files in `directory`, and waits until it answers.
    pub fn start(setting: &Setting, directory: &Path) -> io::Result<Self> {
        let ari = free_tcp_port()?;
        let observe = free_tcp_port()?;
        let socket = directory.join(SOCKET);
        let text = configuration(setting, directory, &socket, ari, observe);
        write_file(&directory.join(CONFIGURATION), &text)?;
        let mut node = Self::spawn(ari, directory)?;
        node.wait_for_start(directory)?;
        Ok(node)
    }

    /// Starts a node whose configuration is in `directory` already, and waits for nothing.
    pub(super) fn spawn(ari: SocketAddr, directory: &Path) -> io::Result<Self> {
        let log = append_file(&directory.join("node.log"))?;
        let child = Command::new(program()?)
            .args(["run", "--config"])
            .arg(directory.join(CONFIGURATION))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        Ok(Self { ari, socket: directory.join(SOCKET), child })
    }

    /// Waits until it answers; its log is in `directory`.
    pub(super) fn wait_for_start(&mut self, directory: &Path) -> io::Result<()> {
        let rounds = START_WITHIN.as_millis() / POLL.as_millis();
        for _ in 0..rounds {
            if self.ask(&Request::Status { format: Format::Json }).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                let log = directory.join("node.log");
                let text = format!("the node ended with {status}: see {}", log.display());
                return Err(io::Error::other(text));
            }
            pause(POLL);
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "the node does not answer"))
    }

    /// Asks the admin socket.
    pub fn ask(&self, request: &Request) -> io::Result<Value> {
        match admin_socket::ask(&self.socket, request)? {
            Reply::Ok(value) => Ok(value),
            Reply::Error(text) => Err(io::Error::other(text)),
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Stops it in order: calls end, ports are un-registered.
    pub fn stop(mut self) -> io::Result<()> {
        process::signal(&[self.child.id()], Signal::TERM)?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGSTOP to all of its processes, as a host that is lost: nothing ends, nothing answers.
    /// Returns when the signals were sent.
    pub fn freeze(&self) -> io::Result<Instant> {
        process::signal(&process::family(self.child.id()), Signal::STOP)
    }

    /// SIGCONT to all of its processes.
    pub fn wake(&self) -> io::Result<Instant> {
        process::signal(&process::family(self.child.id()), Signal::CONT)
    }

    /// SIGKILL to all of its processes at once: nobody is left to tell of it.
    pub fn kill(&mut self) -> io::Result<Instant> {
        // The first one starts the others: it must not see them end.
        let family = process::family(self.child.id());
        process::signal(&family, Signal::STOP)?;
        let at = process::signal(&family, Signal::KILL)?;
        self.child.wait()?;
        Ok(at)
    }

    /// SIGKILL to the process that does the work; its supervisor, if it has one, lives.
    pub fn kill_worker(&mut self) -> io::Result<Instant> {
        let family = process::family(self.child.id());
        let at = process::signal(family.last().map_or(&[], std::slice::from_ref), Signal::KILL)?;
        if family.len() == 1 {
            self.child.wait()?;
        }
        Ok(at)
    }

    /// Whether its first process lives.
    pub fn is_alive(&mut self) -> io::Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Process ids of all of its processes.
    pub fn pids(&self) -> Vec<u32> {
        process::family(self.child.id())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        drop(process::signal(&process::family(self.child.id()), Signal::KILL));
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn configuration(
    setting: &Setting,
    directory: &Path,
    socket: &Path,
    ari: SocketAddr,
    observe: SocketAddr,
) -> String {
    let announces = setting.announce.is_some();
    let serves = if announces { "builtin:announce" } else { "main" };
    let announce = setting.announce.as_ref().map_or_else(String::new, |prompt| {
        format!("[announce]\nprompts = [\"{prompt}\"]\nrepeats = 1000")
    });
    let (user, password) = API_KEY.split_once(':').unwrap_or_default();
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        r#"
[node]
name = "play"
[pbx]
id = "play"
profile = "asterisk"
registrars = ["{pbx}"]
local_address = "127.0.0.1"
sip_udp_port = 0
min_digest = "md5"
register_rate = {rate}
[[ports]]
extensions = "{extensions}"
password = "{PASSWORD}"
applications = ["{serves}"]
[applications.main]
{application}
{announce}
[media]
udp_ports = "20000-31999"
prompts = "{prompts}"
recordings = "{recordings}"
[ari]
listen = "{ari}"
[ari.users.{user}]
password = "{password}"
[admin]
socket = "{socket}"
listen = "{observe}"
"#,
        pbx = setting.pbx,
        rate = setting.register_rate,
        extensions = setting.extensions,
        application = setting.application,
        prompts = setting.prompts.display(),
        recordings = directory.join("recordings").display(),
        socket = socket.display(),
    );
    text
}

/// A port that was free a moment ago: good enough on loopback, and an error names it if not.
#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a face that plays on real sockets"
)]
pub(super) fn free_tcp_port() -> io::Result<SocketAddr> {
    std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()
}

#[expect(clippy::disallowed_methods, reason = "a face that writes files")]
pub(super) fn write_file(path: &Path, text: &str) -> io::Result<()> {
    std::fs::write(path, text)
}

#[expect(clippy::disallowed_methods, reason = "a face that writes files")]
pub(super) fn create_file(path: &Path) -> io::Result<std::fs::File> {
    std::fs::File::create(path)
}

/// A restarted node goes on in the log that it has.
#[expect(clippy::disallowed_methods, reason = "a face that writes files")]
fn append_file(path: &Path) -> io::Result<std::fs::File> {
    std::fs::File::options().create(true).append(true).open(path)
}

/// Waits between two looks at another process.
#[expect(clippy::disallowed_methods, reason = "a face that watches other processes")]
pub fn pause(duration: Duration) {
    std::thread::sleep(duration);
}
