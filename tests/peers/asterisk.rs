//! A real Asterisk, started by `asterisk.sh` in a folder of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use crate::process::output;
use crate::runner::top;

/// A running Asterisk. Dropping it ends it.
pub struct Asterisk {
    dir: PathBuf,
    /// Where it listens for SIP.
    pub sip: SocketAddr,
    /// Where its own ARI listens.
    pub http: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Asterisk {
    /// Starts it with 30 extensions and further settings of `asterisk.sh`.
    pub fn start(settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::Builder::new().prefix("pk-").tempdir_in("/tmp").expect("/tmp");
        let dir = folder.path().join("a");
        let sounds = folder.path().join("sounds");
        crate::prompts::write(&sounds);
        let sip: SocketAddr = "127.0.0.1:15060".parse().expect("an address");
        let http: SocketAddr = "127.0.0.1:18088".parse().expect("an address");
        output(
            script()
                .arg("start")
                .arg(&dir)
                .env("SIP_PORT", sip.port().to_string())
                .env("HTTP_PORT", http.port().to_string())
                .env("SOUNDS", &sounds)
                .envs(settings.iter().copied()),
        );
        Self { dir, sip, http, _folder: folder }
    }

    /// A command of its console.
    pub fn cli(&self, command: &str) -> String {
        output(script().arg("cli").arg(&self.dir).arg(command))
    }
}

impl Drop for Asterisk {
    fn drop(&mut self) {
        // A second failure while a test unwinds would hide the first.
        let _ = script().arg("stop").arg(&self.dir).status();
    }
}

fn script() -> Command {
    Command::new(top().join("tests/peers/asterisk.sh"))
}
