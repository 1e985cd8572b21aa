//! A real Asterisk on loopback, with a configuration of its own: what portkeeper is compared with.
//!
//! It registers extensions at the PBX emulator as a node does, so the same callers, phones and
//! figures serve both. Installing and starting it is the business of the scripts in `tests/peers`.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::node::{PASSWORD, create_file, free_tcp_port, write_file};

/// User and password of ARI, as the script writes them.
pub const API_KEY: &str = "ivr:secret";

/// How it is used.
#[derive(Clone, Debug)]
pub struct Setting {
    /// SIP address of the PBX emulator.
    pub pbx: SocketAddr,
    /// First and last extension.
    pub extensions: (u32, u32),
    /// Directory with the prompts.
    pub prompts: PathBuf,
    /// What calls to `play-EXTENSION` do, as `extensions.conf` has it.
    pub dialplan: String,
    /// Real-time scheduling, for a comparison with a node that has it.
    pub real_time: bool,
}

/// An Asterisk that runs.
pub struct Asterisk {
    /// Where its ARI listens.
    pub ari: SocketAddr,
    directory: PathBuf,
}

impl Asterisk {
    /// Whether it is installed; if not, the error says how to.
    pub fn look() -> io::Result<()> {
        let binary = peers().join("bin/asterisk");
        if binary.exists() && script().exists() {
            return Ok(());
        }
        let text = format!(
            "no Asterisk at {}: in a checkout of portkeeper, run\n    \
             tests/peers/install.sh debian\nonce (about 100 MB from your Debian mirror, \
             nothing is installed on the host)",
            binary.display()
        );
        Err(io::Error::new(io::ErrorKind::NotFound, text))
    }

    /// Starts it and waits until it is booted. The extensions register soon after.
    pub fn start(setting: &Setting, log: &Path) -> io::Result<Self> {
        Self::look()?;
        // Short: the path of a control socket ends at 107 characters.
        let directory = std::env::temp_dir().join(format!("pk-{}", std::process::id()));
        let further = directory.with_extension("conf");
        create_directory(&further)?;
        write_file(&further.join("pjsip.conf"), &registrations(setting))?;
        write_file(&further.join("extensions.conf"), &setting.dialplan)?;
        let ari = free_tcp_port()?;
        let asterisk = Self { ari, directory };
        let output = create_file(log)?;
        let status = Command::new(script())
            .arg("start")
            .arg(&asterisk.directory)
            .env("PORTKEEPER_PEERS_DIR", peers())
            .env("SIP_PORT", free_udp_port()?.to_string())
            .env("HTTP_PORT", ari.port().to_string())
            .envs([("RTP_FIRST", "14000"), ("RTP_LAST", "15999"), ("PORTS", "1")])
            .env("SOUNDS", &setting.prompts)
            .env("FURTHER", &further)
            .env("FLAGS", if setting.real_time { "-p" } else { "" })
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .status();
        remove_directory(&further);
        if status?.success() {
            return Ok(asterisk);
        }
        Err(io::Error::other(format!("Asterisk did not start: see {}", log.display())))
    }

    /// Its process id.
    #[expect(clippy::disallowed_methods, reason = "a face that reads files")]
    pub fn pid(&self) -> io::Result<u32> {
        let text = std::fs::read_to_string(self.directory.join("pid"))?;
        text.trim().parse().map_err(io::Error::other)
    }
}

impl Drop for Asterisk {
    fn drop(&mut self) {
        // It may have ended already.
        drop(Command::new(script()).arg("stop").arg(&self.directory).status());
        remove_directory(&self.directory);
    }
}

/// One registration for each extension; its calls come to `play-EXTENSION`.
fn registrations(setting: &Setting) -> String {
    let mut text = String::new();
    let (first, last) = setting.extensions;
    let pbx = setting.pbx;
    for n in first..=last {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "[auth-{n}]\ntype=auth\nauth_type=digest\nusername={n}\n\
             password={PASSWORD}\n[registration-{n}]\ntype=registration\ntransport=udp\n\
             server_uri=sip:{pbx}\nclient_uri=sip:{n}@{pbx}\ncontact_user=play-{n}\n\
             outbound_auth=auth-{n}\nexpiration=120\n\
             max_random_initial_delay=0\n"
        );
    }
    text
}

fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn script() -> PathBuf {
    checkout().join("tests/peers/asterisk.sh")
}

#[expect(clippy::disallowed_methods, reason = "the same variable that the scripts read")]
fn peers() -> PathBuf {
    let named = std::env::var("PORTKEEPER_PEERS_DIR").map(PathBuf::from);
    named.unwrap_or_else(|_| checkout().join(".peers"))
}

/// A port that was free a moment ago.
#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a face that plays on real sockets"
)]
fn free_udp_port() -> io::Result<u16> {
    Ok(std::net::UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn create_directory(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)
}

fn remove_directory(path: &Path) {
    // Left in the directory for temporary files, at worst.
    drop(std::fs::remove_dir_all(path));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_extension_registers_with_its_own_name() {
        let setting = Setting {
            pbx: SocketAddr::from(([127, 0, 0, 1], 5_060)),
            extensions: (6_001, 6_003),
            prompts: PathBuf::new(),
            dialplan: String::new(),
            real_time: false,
        };
        let text = registrations(&setting);
        assert_eq!(text.matches("type=registration").count(), 3);
        assert!(text.contains("client_uri=sip:6002@127.0.0.1:5060\ncontact_user=play-6002"));
    }
}
