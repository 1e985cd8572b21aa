//! A real phone: baresip, registered at the PBX, with real codecs in both directions.

use std::cell::RefCell;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::asterisk::Asterisk;
use crate::clients::Client;
use crate::gateway::{Gateway, Settings};
use crate::process::{PATIENCE, Process, eventually};
use crate::prompts;
use crate::runner::{Test, top};

/// What this file proves.
pub const TESTS: &[Test] =
    &[("baresip::a_phone_listens_talks_and_dials_through_the_queue", through_the_queue)];

/// Where it is told what to do. Not next to its SIP port, which it uses for TLS.
const CONTROL: u16 = 15_380;
const SIP: u16 = 15_370;

/// A phone of Asterisk. Dropping it ends it.
pub struct Baresip {
    control: RefCell<TcpStream>,
    pbx: SocketAddr,
    folder: tempfile::TempDir,
    _process: Process,
}

impl Baresip {
    /// Starts it and waits until it is registered.
    pub fn registered(pbx: SocketAddr, extension: &str, password: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("pk-").tempdir_in("/tmp").expect("/tmp");
        write_config(folder.path());
        let account = format!(
            "<sip:{extension}@{pbx}>;auth_user={extension};auth_pass={password};regint=60\n"
        );
        fs::write(folder.path().join("accounts"), account).expect("a fresh folder");
        let mut command = Command::new(top().join(".peers/bin/baresip"));
        let process = Process::start("baresip", command.arg("-f").arg(folder.path()));
        let address = SocketAddr::from(([127, 0, 0, 1], CONTROL));
        let control = eventually("baresip can be told", || TcpStream::connect(address).ok());
        control.set_read_timeout(Some(PATIENCE)).expect("a fresh socket");
        let phone = Self { control: RefCell::new(control), pbx, folder, _process: process };
        eventually("baresip registers", || phone.ask("reginfo", "").contains("OK").then_some(()));
        phone
    }

    /// Calls an extension.
    pub fn dial(&self, extension: &str) {
        self.ask("dial", &format!("sip:{extension}@{}", self.pbx));
    }

    /// Presses a key. Only a phone in a call knows the command.
    pub fn press(&self, key: &str) {
        let said = self.ask("sndcode", key);
        assert!(!said.contains("not found"), "the key {key}: {said}");
    }

    /// Ends its call.
    pub fn hang_up(&self) {
        self.ask("hangup", "");
    }

    /// Waits until its loudspeaker plays a prompt.
    fn hears(&self, prompt: &str) {
        let file = self.heard();
        eventually(&format!("baresip hears `{prompt}`"), || {
            prompts::in_wav(&file).contains(&prompt).then_some(())
        });
    }

    /// What its loudspeaker played so far, as a WAV file.
    pub fn heard(&self) -> PathBuf {
        self.folder.path().join("heard.wav")
    }

    /// Whether it is in no call.
    pub fn idle(&self) -> bool {
        self.ask("callstat", "").contains("no active call")
    }

    /// A command and what it says. Events that come in between are passed over.
    fn ask(&self, command: &str, params: &str) -> String {
        let text = json!({"command": command, "params": params}).to_string();
        let mut control = self.control.borrow_mut();
        write!(control, "{}:{text},", text.len()).expect("baresip listens");
        loop {
            let said = netstring(&mut *control);
            if said["response"] == true {
                return said["data"].as_str().unwrap_or("").to_owned();
            }
        }
    }
}

/// `LENGTH:JSON,`
fn netstring(from: &mut impl Read) -> Value {
    let mut byte = [0];
    let mut length = 0;
    loop {
        from.read_exact(&mut byte).expect("baresip answers");
        match byte[0] {
            b':' => break,
            digit => length = length * 10 + usize::from(digit - b'0'),
        }
    }
    let mut text = vec![0; length + 1];
    from.read_exact(&mut text).expect("baresip answers");
    serde_json::from_slice(&text[..length]).expect("baresip speaks JSON")
}

fn write_config(dir: &Path) {
    prompts::write_tone(&dir.join("voice.wav"), prompts::VOICE, 60_000);
    let modules = top().join(".peers/forky/root/usr/lib/baresip/modules");
    let (dir_name, modules) = (dir.display(), modules.display());
    let config = format!(
        "module_path {modules}\nsip_listen 127.0.0.1:{SIP}\nnet_interface 127.0.0.1\n\
         rtp_ports 24000-24100\nctrl_tcp_listen 127.0.0.1:{CONTROL}\n\
         audio_source aufile,{dir_name}/voice.wav\naudio_player aufile,{dir_name}/heard.wav\n\
         audio_alert aufile,{dir_name}/alert.wav\nmodule g711.so\nmodule aufile.so\n\
         module_app ctrl_tcp.so\nmodule_app account.so\nmodule_app menu.so\n"
    );
    fs::write(dir.join("config"), config).expect("a fresh folder");
}

fn through_the_queue() {
    let asterisk = Asterisk::start(&[]);
    let gateway = Gateway::registered(&Settings::at(asterisk.sip, "asterisk"));
    let program = Client::NpmAri.start(gateway.ari, "main");
    gateway.instances(1);
    let phone = Baresip::registered(asterisk.sip, "7001", "pw-7001");
    phone.dial("5000");
    let channel = program.step("start")["channel"].as_str().expect("its id").to_owned();
    program.step("playing");
    phone.hears("menu");
    assert!(!phone.idle());
    for (key, so_far) in [("1", "1"), ("9", "19"), ("*", "19*")] {
        phone.press(key);
        assert_eq!(program.step("digit")["digits"], so_far);
    }
    let answer = gateway.post(&format!("channels/{channel}/record"), "name=caller&format=wav");
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    let recording = gateway.folder().join("recordings/caller.wav");
    phone.press("#");
    program.step("hangup");
    program.step("end");
    // A recording appears under its name when it is complete.
    eventually("what the phone says is recorded", || {
        prompts::in_wav(&recording).contains(&"voice").then_some(())
    });
    eventually("the phone is idle", || phone.idle().then_some(()));
}
