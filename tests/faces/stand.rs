//! A node that runs, for a test to look at: the built binary, a configuration in a fresh
//! directory, and the means to ask it.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "plays on real sockets, files and processes"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU8, AtomicU16, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use portkeeper::codecs::Digit;
use portkeeper::redact::Redacted;
use portkeeper::sim::app::Event;
use portkeeper::sim::pbx::{LineId, Manner};
use portkeeper::stage::instance::Line;
use portkeeper::stage::node::pause;
use portkeeper::stage::pbx::{self, LineReport, LineState, PbxNet};
use serde_json::Value;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_portkeeper");
/// Password of every account.
pub const PASSWORD: &str = "a-test-on-loopback-only-7Qx2";
/// Password of the ARI user `ivr`.
pub const ARI_PASSWORD: &str = "another-on-loopback-only-9Kd4";

/// What does not happen within this does not happen.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(25);

/// Looks again and again until there is something to see.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if let Some(seen) = look() {
            return seen;
        }
        pause(POLL);
    }
    panic!("waited in vain: {what}");
}

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Runs the program to its end.
pub fn portkeeper(arguments: &[&str], directory: &Path) -> Output {
    let run = Command::new(PROGRAM).args(arguments).current_dir(directory).output();
    run.expect("the program starts")
}

/// What a program printed.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// A PBX with an account for each extension.
pub fn pbx(extensions: &[&str]) -> PbxNet {
    let account = |e: &&str| ((*e).to_owned(), Redacted::new(PASSWORD.to_owned()));
    let accounts: BTreeMap<_, _> = extensions.iter().map(account).collect();
    PbxNet::start(accounts, Manner::default()).expect("a PBX on loopback")
}

/// How a node is configured.
pub struct Wish {
    /// Where its PBX is.
    pub pbx: SocketAddr,
    /// Its name, in the place of its address.
    pub registrar: Option<String>,
    /// `udp` or `tcp`.
    pub transport: &'static str,
    /// TOML list or string.
    pub extensions: &'static str,
    /// Password of its ports.
    pub password: &'static str,
    /// TOML list.
    pub applications: &'static str,
    /// Further lines of `[applications.main]`.
    pub application: &'static str,
    /// Lines of `[announce]`.
    pub announce: &'static str,
    /// `media.prompts`
    pub prompts: PathBuf,
    /// `media.udp_ports`, or a range of its own.
    pub udp_ports: Option<String>,
    /// Lines of `[log]`.
    pub log: &'static str,
    /// Further environment of the process.
    pub environment: Vec<(&'static str, String)>,
    /// Its standard error, or `node.log` of its directory.
    pub stderr: Option<Stdio>,
}

impl Wish {
    /// Two ports at a PBX, nothing wrong.
    pub fn at(pbx: SocketAddr) -> Self {
        Self {
            pbx,
            registrar: None,
            transport: "udp",
            extensions: "\"6001-6002\"",
            password: PASSWORD,
            applications: "[\"main\"]",
            application: "",
            announce: "",
            prompts: repository("fixtures/prompts/en"),
            udp_ports: None,
            log: "",
            environment: Vec::new(),
            stderr: None,
        }
    }

    fn configuration(&self, directory: &Path, ari: SocketAddr, observe: SocketAddr) -> String {
        let mut text = String::new();
        let udp_ports = self.udp_ports.clone().unwrap_or_else(own_udp_ports);
        write!(
            text,
            r#"
[node]
name = "faces"
[pbx]
profile = "asterisk"
registrars = ["{pbx}"]
local_address = "127.0.0.1"
sip_udp_port = 0
transport = "{transport}"
min_digest = "md5"
register_rate = 0
[[ports]]
extensions = {extensions}
password = "{password}"
applications = {applications}
[applications.main]
{application}
[announce]
{announce}
[media]
udp_ports = "{udp_ports}"
prompts = "{prompts}"
recordings = "{recordings}"
[ari]
listen = "{ari}"
[ari.users.ivr]
password = "{ARI_PASSWORD}"
[admin]
socket = "{socket}"
listen = "{observe}"
[log]
{log}
"#,
            pbx = self.registrar.clone().unwrap_or_else(|| self.pbx.to_string()),
            transport = self.transport,
            extensions = self.extensions,
            password = self.password,
            applications = self.applications,
            application = self.application,
            announce = self.announce,
            prompts = self.prompts.display(),
            recordings = directory.join("recordings").display(),
            socket = directory.join("admin.sock").display(),
            log = self.log,
        )
        .expect("a String takes everything");
        text
    }

    /// Starts the node and waits until it answers its operators.
    pub fn start(mut self) -> Stand {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (ari, observe) = (free_tcp_port(), free_tcp_port());
        let file = directory.path().join("portkeeper.toml");
        fs::write(&file, self.configuration(directory.path(), ari, observe)).expect("written");
        let log = fs::File::create(directory.path().join("node.log")).expect("a log");
        let child = Command::new(PROGRAM)
            .args(["run", "--config"])
            .arg(&file)
            .envs(self.environment)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(self.stderr.take().unwrap_or_else(|| log.into()))
            .spawn()
            .expect("the program starts");
        let mut stand = Stand { directory, ari, observe, child };
        eventually("the node answers", || {
            let ended = stand.child.try_wait().expect("a child");
            assert_eq!(ended, None, "{}", stand.log());
            stand.try_json("status")
        });
        stand
    }
}

/// A node that runs.
pub struct Stand {
    directory: tempfile::TempDir,
    pub ari: SocketAddr,
    pub observe: SocketAddr,
    child: Child,
}

impl Stand {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("admin.sock")
    }

    /// A command to the node.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let socket = self.socket();
        let socket = socket.to_str().expect("a plain path");
        let arguments = [arguments, &["--socket", socket]].concat();
        portkeeper(&arguments, self.directory.path())
    }

    /// A command to the node that reads `input`.
    pub fn fed(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).arg("--socket").arg(self.socket());
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().expect("the program starts");
        // A program that refuses its arguments reads nothing.
        let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
        child.wait_with_output().expect("it ends")
    }

    /// What a command prints; it must succeed.
    pub fn said(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Exit code and complaint of a command that must fail.
    pub fn refused(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.run(arguments);
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
        (output.status.code().expect("an exit code"), text(&output.stderr))
    }

    /// What a command prints with `--json`: one value on one line.
    pub fn json(&self, command: &str) -> Value {
        let printed = self.said(&[command, "--json"]);
        assert_eq!(printed.lines().count(), 1, "{printed}");
        serde_json::from_str(&printed).expect("JSON")
    }

    fn try_json(&self, command: &str) -> Option<Value> {
        let output = self.run(&[command, "--json"]);
        output.status.success().then(|| serde_json::from_slice(&output.stdout).expect("JSON"))
    }

    /// Waits until `status` shows something.
    pub fn status_when(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || Some(self.json("status")).filter(&is_so))
    }

    /// Waits until so many ports are registered.
    pub fn registered(&self, ports: u64) {
        self.status_when("registered", |s| s["registrations"]["registered"] == ports);
    }

    /// Waits until an alarm of a kind stands, and returns its sentence.
    pub fn alarm(&self, kind: &str) -> String {
        let alarm = eventually(&format!("alarm {kind}"), || {
            let status = self.json("status");
            let alarms = status["alarms"].as_array().expect("a list").clone();
            alarms.into_iter().find(|alarm| alarm["kind"] == kind)
        });
        alarm["text"].as_str().expect("a sentence").to_owned()
    }

    /// The log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("node.log")).expect("a log")
    }

    /// Lines of the log that have a text in them.
    pub fn log_lines(&self, with: &str) -> Vec<String> {
        self.log().lines().filter(|line| line.contains(with)).map(str::to_owned).collect()
    }

    /// A page of the observation listener: status and body.
    pub fn page(&self, path: &str) -> (u16, String) {
        let (status, _, body) = http(self.observe, "GET", path, "");
        (status, body)
    }

    /// A metric's value, by name and labels as they stand on the page.
    pub fn metric(&self, name: &str) -> f64 {
        let (_, page) = self.page("/metrics");
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{page}")).parse().expect("a number")
    }

    /// An ARI request of user `ivr`: status and body.
    pub fn ari(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let path = format!("/ari{path}?api_key=ivr:{ARI_PASSWORD}");
        let (status, _, body) = http(self.ari, method, &path, body);
        (status, body)
    }

    /// Connects an instance of `main` to the node.
    pub fn instance(&self) -> Instance {
        Instance::at(self.ari)
    }

    /// Connects an instance, calls a port on line 1 and presses 7, which the instance takes.
    pub fn takes_a_key(&self, pbx: &PbxNet, extension: &str) -> Instance {
        self.registered(2);
        let instance = self.instance();
        let line = call(pbx, 1, extension);
        line_when(pbx, line, LineState::Up);
        press(pbx, line, "7");
        instance.wait_for(|said| matches!(said, Event::Acknowledged { .. }));
        instance
    }

    /// SIGTERM; how it ended, and its log.
    pub fn stop(mut self) -> (Option<i32>, String) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("alive");
        let status = self.child.wait().expect("a child");
        (status.code(), self.log())
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!("-- log of the node:\n{}", self.log());
        }
    }
}

/// An instance that runs.
pub struct Instance {
    child: Child,
    lines: mpsc::Receiver<Line>,
}

impl Instance {
    /// Connects an instance of `main`: the demo's application, a process of its own.
    pub fn at(ari: SocketAddr) -> Self {
        let mut child = Command::new(PROGRAM)
            .args(["demo-instance", "--app", "main", "--ari", &ari.to_string()])
            .args(["--api-key", &format!("ivr:{ARI_PASSWORD}")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let (tell, lines) = mpsc::channel();
        let output = BufReader::new(child.stdout.take().expect("piped"));
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).expect("a line of an instance");
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        let instance = Self { child, lines };
        assert_eq!(instance.next(), Line::Connected);
        instance
    }

    /// Waits until its application says something.
    pub fn wait_for(&self, is: impl Fn(&Event) -> bool) {
        while !matches!(self.next(), Line::Said(event) if is(&event)) {}
    }

    /// SIGSTOP: its connection stays, and nothing answers.
    pub fn freeze(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).expect("alive");
    }

    fn next(&self) -> Line {
        self.lines.recv_timeout(PATIENCE).expect("the instance says it in time")
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Calls an extension.
pub fn call(pbx: &PbxNet, line: u32, extension: &str) -> LineId {
    let line = LineId(line);
    let extension = extension.to_owned();
    pbx.command(pbx::Command::Call {
        line,
        extension,
        keep: pbx::Keep::Sound,
        delayed_offer: false,
    });
    line
}

/// Presses keys.
pub fn press(pbx: &PbxNet, line: LineId, keys: &str) {
    let digits = keys.chars().filter_map(Digit::from_char).collect();
    pbx.command(pbx::Command::Press { line, digits });
}

/// How a line is.
pub fn line(pbx: &PbxNet, line: LineId) -> LineReport {
    pbx.report().lines[&line].clone()
}

/// Waits until a line's call stands somewhere.
pub fn line_when(pbx: &PbxNet, id: LineId, state: LineState) -> LineReport {
    eventually(&format!("{id:?} is {state:?}"), || {
        Some(line(pbx, id)).filter(|report| report.state == state)
    })
}

/// Waits until a caller hears sound that is no silence.
pub fn hears_sound(pbx: &PbxNet, id: LineId) {
    eventually("sound", || loudness(&line(pbx, id)).gt(&100).then_some(()));
}

/// The loudest sample that a caller heard.
pub fn loudness(report: &LineReport) -> u16 {
    use portkeeper::codecs::g711::Law;
    use portkeeper::sdp::Codec;
    let Some((codec, octets)) = &report.sound else { return 0 };
    let law = match codec {
        Codec::Pcmu => Law::Mu,
        Codec::Pcma => Law::A,
    };
    octets.iter().map(|&octet| law.decode_sample(octet).unsigned_abs()).max().unwrap_or(0)
}

/// One HTTP exchange: status, head and body.
pub fn http(to: SocketAddr, method: &str, path: &str, body: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(to).expect("listening");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    (status, head.to_owned(), body.to_owned())
}

/// A free port, on a loopback address that nobody else takes one of meanwhile.
pub fn free_tcp_port() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let process = u8::try_from(std::process::id() % 100).expect("small");
    let address = Ipv4Addr::new(127, 10 + process, 0, NEXT.fetch_add(1, Ordering::Relaxed));
    let listener = TcpListener::bind((address, 0)).expect("a free port");
    listener.local_addr().expect("bound")
}

/// A range of 40 UDP ports below those that the system gives away, another one for each call.
pub fn own_udp_ports() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let offset = u16::try_from(std::process::id() % 100).expect("small") * 40;
    let first = 12_000 + (offset + NEXT.fetch_add(1, Ordering::Relaxed) * 40) % 8_000;
    format!("{first}-{}", first + 39)
}

/// Reads a datagram; a process that was stopped for a moment reads on.
pub fn receive<T>(mut read: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// A UDP socket of a test.
pub fn udp_socket(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).expect("a free port");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket option");
    socket
}
