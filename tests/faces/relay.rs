//! `portkeeper relay` in front of a primary, a backup and a witness, all of them processes: what an
//! application sees when the primary is killed.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "plays on real files, sockets and processes"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use portkeeper::sim::app::Event;
use portkeeper::stage::pbx::LineState;
use serde_json::Value;

use super::stand::{
    ARI_PASSWORD, Instance, PASSWORD, PROGRAM, call, eventually, free_tcp_port, line, line_when,
    own_udp_ports, pbx, portkeeper, press, repository, text,
};

const NODES: [&str; 3] = ["a", "b", "w"];

/// A node of the cluster: its directory, and its process while it runs.
struct Member {
    directory: PathBuf,
    /// Where it speaks ARI over TLS.
    tls: SocketAddr,
    child: Child,
}

/// Three nodes that trust each other.
struct Trio {
    members: Vec<Member>,
    _directory: tempfile::TempDir,
}

impl Trio {
    fn start(pbx: SocketAddr) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let links: Vec<SocketAddr> = NODES.iter().map(|_| free_tcp_port()).collect();
        for node in NODES {
            let (at, tls) = (directory.path().join(node), free_tcp_port());
            fs::create_dir(&at).expect("made");
            fs::write(at.join("pk.toml"), configuration(node, &links, pbx, tls)).expect("written");
            fs::write(at.join("tls"), tls.to_string()).expect("written");
        }
        let first = directory.path().join(NODES[0]);
        let made = portkeeper(&["cluster", "init", "--config", "pk.toml"], &first);
        assert!(made.status.success(), "{}", text(&made.stderr));
        for node in &NODES[1..] {
            join(&first, &directory.path().join(node), node);
        }
        let members = NODES.iter().map(|node| Member::start(directory.path().join(node)));
        Self { members: members.collect(), _directory: directory }
    }

    /// `portkeeper relay` in front of the two data nodes, over TLS.
    fn relay(&self) -> Relay {
        let relay = self.relay_to(&format!("a@{}", self.members[0].tls));
        eventually("the relay knows who acts", || {
            relay.get("/readyz").filter(|answer| answer.starts_with("HTTP/1.1 200"))
        });
        relay
    }

    /// The same with another name for the first node.
    fn relay_to(&self, first: &str) -> Relay {
        let listen = free_tcp_port();
        let child = Command::new(PROGRAM)
            .args(["relay", "--listen", &listen.to_string(), "--node", first])
            .args(["--node", &format!("b@{}", self.members[1].tls)])
            .arg("--ca")
            .arg(self.members[2].directory.join("cluster/ca.pem"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        Relay { child, listen }
    }
}

impl Member {
    fn start(directory: PathBuf) -> Self {
        let tls = fs::read_to_string(directory.join("tls")).expect("written");
        let log = fs::File::create(directory.join("node.log")).expect("a log");
        let child = Command::new(PROGRAM)
            .args(["run", "--config", "pk.toml"])
            .current_dir(&directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the program starts");
        Self { directory, tls: tls.parse().expect("an address"), child }
    }

    fn status(&self) -> Option<Value> {
        let asked = portkeeper(&["status", "--json", "--socket", "admin.sock"], &self.directory);
        asked.status.success().then(|| serde_json::from_slice(&asked.stdout).expect("JSON"))
    }

    /// Waits until it is primary and has its ports.
    fn acts(&self) {
        eventually("it is primary with both ports", || {
            let status = self.status()?;
            let primary = status["cluster"]["role"] == "primary";
            (primary && status["registrations"]["registered"] == 2).then_some(())
        });
    }

    /// SIGKILL.
    fn kill(&mut self) {
        self.child.kill().expect("alive");
        self.child.wait().expect("a child");
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            let log = fs::read_to_string(self.directory.join("node.log")).unwrap_or_default();
            eprintln!("-- {}:\n{log}", self.directory.display());
        }
    }
}

/// A relay that runs.
struct Relay {
    child: Child,
    listen: SocketAddr,
}

impl Relay {
    /// The whole answer to a GET; `None`: it does not listen.
    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.listen).ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// SIGTERM; how it ended, and its log.
    fn stop(mut self) -> (Option<i32>, String) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("alive");
        let status = self.child.wait().expect("a child");
        let mut log = String::new();
        self.child.stderr.take().expect("piped").read_to_string(&mut log).expect("text");
        (status.code(), log)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn configuration(node: &str, links: &[SocketAddr], pbx: SocketAddr, tls: SocketAddr) -> String {
    let ports = if node == "w" {
        format!("[control]\nextension = \"6099\"\npassword = \"{PASSWORD}\"\n")
    } else {
        format!(
            "[[ports]]\nextensions = \"6001-6002\"\npassword = \"{PASSWORD}\"\n\
             applications = [\"main\"]\n[applications.main]\n"
        )
    };
    let [a, b, w] = links else { panic!("three links") };
    format!(
        "[node]\nname = \"{node}\"\n[cluster]\nid = \"relay\"\nprofile = \"trio\"\n\
         timers = \"vm\"\ncredentials = \"cluster\"\nstore = \"state/pk.db\"\n\
         [[cluster.nodes]]\nname = \"a\"\nlink = \"{a}\"\n\
         [[cluster.nodes]]\nname = \"b\"\nlink = \"{b}\"\n\
         [[cluster.nodes]]\nname = \"w\"\nrole = \"witness\"\nlink = \"{w}\"\n\
         [pbx]\nprofile = \"asterisk\"\nregistrars = [\"{pbx}\"]\nlocal_address = \"127.0.0.1\"\n\
         sip_udp_port = 0\nmin_digest = \"md5\"\nregister_rate = 0\n{ports}\
         [media]\nudp_ports = \"{udp_ports}\"\nprompts = \"{prompts}\"\nrecordings = \"rec\"\n\
         [ari]\nlisten = \"{ari}\"\ntls_listen = \"{tls}\"\n\
         [ari.users.ivr]\npassword = \"{ARI_PASSWORD}\"\n\
         [admin]\nsocket = \"admin.sock\"\nlisten = \"{observe}\"\n",
        udp_ports = own_udp_ports(),
        prompts = repository("fixtures/prompts/en").display(),
        ari = free_tcp_port(),
        observe = free_tcp_port(),
    )
}

/// Lets a node in.
fn join(first: &Path, at: &Path, node: &str) {
    let mut serving = Command::new(PROGRAM)
        .args(["cluster", "token", node, "--listen", "127.0.0.1:0", "--config", "pk.toml"])
        .current_dir(first)
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let lines = BufReader::new(serving.stdout.take().expect("piped")).lines();
    let line = lines.map_while(Result::ok).find(|line| line.contains("--token")).expect("printed");
    let words: Vec<&str> = line.split_whitespace().skip_while(|w| *w != "--token").collect();
    let (token, address) = (words[1], words[2]);
    let joined = ["cluster", "join", "--config", "pk.toml", "--token", token, address];
    let joined = portkeeper(&joined, at);
    assert!(joined.status.success(), "{}", text(&joined.stderr));
    assert!(serving.wait().expect("ended").success());
}

#[test]
fn an_application_behind_the_relay_keeps_its_connection_and_its_call_when_the_primary_is_killed() {
    let pbx = pbx(&["6001", "6002", "6099"]);
    let mut trio = Trio::start(pbx.address);
    trio.members[0].acts();
    let relay = trio.relay();
    let stranger = trio.relay_to(&format!("c@{}", trio.members[0].tls));
    let instance = Instance::at(relay.listen);
    let served = call(&pbx, 1, "6001");
    line_when(&pbx, served, LineState::Up);
    press(&pbx, served, "42");
    instance.wait_for(|said| matches!(said, Event::Acknowledged { digits, .. } if digits == "42"));
    trio.members[0].kill();
    // Over the same WebSocket: the application ends with it.
    instance.wait_for(|said| matches!(said, Event::Started { rebound: true, .. }));
    press(&pbx, served, "7");
    instance.wait_for(|said| matches!(said, Event::Acknowledged { digits, .. } if digits == "427"));
    assert_eq!(line(&pbx, served).state, LineState::Up);
    trio.members[1].acts();
    let channels = format!("/ari/channels?api_key=ivr:{ARI_PASSWORD}");
    let channels = relay.get(&channels).expect("it listens");
    assert!(channels.starts_with("HTTP/1.1 200") && channels.contains("GW_CALL"), "{channels}");
    let (_, log) = stranger.stop();
    assert!(log.contains("certificate not valid for name"), "{log}");
    let (code, log) = relay.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("a node is lost") && !log.contains(ARI_PASSWORD), "{log}");
}

#[test]
fn a_relay_that_cannot_start_says_what_to_write() {
    let here = Path::new(".");
    let node = ["--node", "127.0.0.1:1"];
    let open = portkeeper(&[&["relay", "--listen", "0.0.0.0:0"], &node[..]].concat(), here);
    assert_eq!(open.status.code(), Some(1));
    assert!(text(&open.stderr).contains("--listen-anywhere"), "{}", text(&open.stderr));
    let none = portkeeper(&["relay"], here);
    assert_eq!(none.status.code(), Some(2), "wrong usage");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    let second = portkeeper(&[&["relay", "--listen", &address], &node[..]].concat(), here);
    assert_eq!(second.status.code(), Some(4));
    assert!(text(&second.stderr).contains(&format!("--listen {address}: ")));
    drop(taken);
}
