//! Three nodes of a cluster as real processes, each under its supervisor: what becomes of the role
//! when a process is killed, crashes, is frozen or is told to stop.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "plays on real processes and files"
)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use portkeeper::ha::role::BOOT_WAIT;
use portkeeper::stage::node::pause;
use portkeeper::stage::pbx::PbxNet;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, setrlimit};
use serde_json::Value;

use super::stand::{
    PASSWORD, PROGRAM, eventually, free_tcp_port, own_udp_ports, pbx, portkeeper, repository, text,
};
use super::systemd::Systemd;

const NAMES: [&str; 3] = ["a", "b", "w"];

/// The machines, and the supervisors that run on them.
pub struct Trio {
    directory: tempfile::TempDir,
    pbx: PbxNet,
    timers: &'static str,
    links: [SocketAddr; 3],
    supervisors: Vec<(&'static str, Child)>,
}

/// Three addresses for links, on a loopback address of their own.
fn free_links() -> [SocketAddr; 3] {
    static SITES: AtomicU8 = AtomicU8::new(0);
    let process = u8::try_from(std::process::id() % 120).expect("small");
    let address = Ipv4Addr::new(127, 130 + process, SITES.fetch_add(1, Ordering::Relaxed), 1);
    let listeners = [(); 3].map(|()| TcpListener::bind((address, 0)).expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("bound"))
}

impl Trio {
    /// Machines with configurations and certificates; nothing runs.
    pub fn new(timers: &'static str) -> Self {
        // Crashes are part of the play; what they leave in memory is of no use.
        let none = Rlimit { current: Some(0), maximum: Some(0) };
        setrlimit(Resource::Core, none).expect("lowered");
        let trio = Self {
            directory: tempfile::tempdir().expect("a temporary directory"),
            pbx: pbx(&["6001", "6002"]),
            timers,
            links: free_links(),
            supervisors: Vec::new(),
        };
        for name in NAMES {
            fs::create_dir(trio.at(name)).expect("made");
            fs::write(trio.at(name).join("pk.toml"), trio.configuration(name)).expect("written");
        }
        let made = portkeeper(&["cluster", "init", "--config", "pk.toml"], &trio.at("a"));
        assert!(made.status.success(), "{}", text(&made.stderr));
        trio.join("b");
        trio.join("w");
        trio
    }

    /// Two of the machines as a pair, of which each says that it serves a PBX of its own.
    fn of_two_pbxs() -> Self {
        let pair = Self::new("lan");
        let w = pair.links[2];
        let witness =
            format!("[[cluster.nodes]]\nname = \"w\"\nrole = \"witness\"\nlink = \"{w}\"\n");
        for (name, pbx) in [("a", "one"), ("b", "two")] {
            let text = pair
                .configuration(name)
                .replace("profile = \"trio\"", "profile = \"pair\"")
                .replace(&witness, "")
                .replace("[pbx]\n", &format!("[pbx]\nid = \"{pbx}\"\n"))
                .replace("name = \"a\"\nlink", "name = \"a\"\npbx = \"one\"\nlink")
                .replace("name = \"b\"\nlink", "name = \"b\"\npbx = \"two\"\nlink");
            fs::write(pair.at(name).join("pk.toml"), text).expect("written");
        }
        pair
    }

    /// Machines on which everything runs: `a` is primary, and `b` would take over.
    pub fn running(timers: &'static str) -> Self {
        let mut trio = Self::new(timers);
        NAMES.into_iter().for_each(|name| trio.start(name, &[]));
        trio.wait_for_roles();
        trio
    }

    /// A backup that has not heard of its primary yet waits as after a first start.
    pub fn wait_for_roles(&self) {
        self.role_when("a", |role| role == "primary");
        self.follows("b", "a");
        for peer in ["\"b\"", "\"w\""] {
            let line = format!("supervisor's link up peer={peer}");
            self.log_when("a", &line);
        }
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn configuration(&self, name: &str) -> String {
        let [a, b, w] = self.links;
        let (timers, pbx, udp_ports) = (self.timers, self.pbx.address, own_udp_ports());
        let (ari, observe) = (free_tcp_port(), free_tcp_port());
        let prompts = repository("fixtures/prompts/en");
        let ports = format!(
            "[[ports]]\nextensions = \"6001-6002\"\npassword = \"{PASSWORD}\"\n\
             applications = [\"main\"]\n[applications.main]\n"
        );
        let ports = if name == "w" { "" } else { &ports };
        format!(
            "[node]\nname = \"{name}\"\n[cluster]\nid = \"north\"\nprofile = \"trio\"\n\
             timers = \"{timers}\"\ncredentials = \"cluster\"\n\
             store = \"store/pk.db\"\n\
             [[cluster.nodes]]\nname = \"a\"\nlink = \"{a}\"\n\
             [[cluster.nodes]]\nname = \"b\"\nlink = \"{b}\"\n\
             [[cluster.nodes]]\nname = \"w\"\nrole = \"witness\"\nlink = \"{w}\"\n\
             [pbx]\nprofile = \"asterisk\"\nregistrars = [\"{pbx}\"]\n\
             local_address = \"127.0.0.1\"\nsip_udp_port = 0\nmin_digest = \"md5\"\n\
             register_rate = 0\n{ports}\
             [media]\nudp_ports = \"{udp_ports}\"\nprompts = \"{}\"\nrecordings = \"recordings\"\n\
             [ari]\nlisten = \"{ari}\"\n\
             [admin]\nsocket = \"admin.sock\"\nlisten = \"{observe}\"\n",
            prompts.display()
        )
    }

    /// Lets a machine into the cluster.
    fn join(&self, name: &str) {
        let mut serving = Command::new(PROGRAM)
            .args(["cluster", "token", name, "--listen", "127.0.0.1:0", "--config", "pk.toml"])
            .current_dir(self.at("a"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let lines = BufReader::new(serving.stdout.take().expect("piped")).lines();
        let mut lines = lines.map_while(Result::ok);
        let line = lines.find(|line| line.contains("--token")).expect("printed");
        let words: Vec<_> = line.split_whitespace().skip_while(|word| *word != "--token").collect();
        let join = ["cluster", "join", "--config", "pk.toml", "--token", words[1], words[2]];
        let joined = portkeeper(&join, &self.at(name));
        assert!(joined.status.success(), "{}", text(&joined.stderr));
        assert!(serving.wait().expect("ended").success());
    }

    pub fn start(&mut self, name: &'static str, environment: &[(&'static str, String)]) {
        let log = fs::File::create(self.at(name).join("log")).expect("a log");
        let child = Command::new(PROGRAM)
            .args(["run", "--config", "pk.toml"])
            .current_dir(self.at(name))
            .envs(environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("started");
        self.supervisors.push((name, child));
    }

    pub fn supervisor(&mut self, name: &str) -> &mut Child {
        let found = self.supervisors.iter_mut().find(|(of, _)| *of == name);
        &mut found.expect("started").1
    }

    /// SIGTERM to a supervisor: how it ended.
    fn stop(&mut self, name: &str) -> ExitStatus {
        let at = self.supervisors.iter().position(|(of, _)| *of == name).expect("started");
        let (_, mut supervisor) = self.supervisors.swap_remove(at);
        kill_process(Pid::from_child(&supervisor), Signal::TERM).expect("alive");
        supervisor.wait().expect("a child")
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.at(name).join("log")).expect("a log")
    }

    /// Waits for a line of the log.
    pub fn log_when(&self, name: &str, line: &str) {
        eventually(&format!("{name}: {line}"), || self.log(name).contains(line).then_some(()));
    }

    /// Processes of a node so far, oldest first.
    fn processes(&self, name: &str) -> Vec<i32> {
        let number = |line: &str| line.split_once("the node is started node=")?.1.parse().ok();
        self.log(name).lines().filter_map(number).collect()
    }

    /// To the node's process alone.
    fn signal(&self, name: &str, signal: Signal) {
        let process = *self.processes(name).last().expect("started");
        kill_process(Pid::from_raw(process).expect("a process"), signal).expect("alive");
    }

    pub fn status(&self, name: &str) -> Option<Value> {
        let status = portkeeper(&["status", "--json", "--socket", "admin.sock"], &self.at(name));
        serde_json::from_slice(&status.stdout).ok()
    }

    pub fn cluster(&self, name: &str) -> Option<Value> {
        Some(self.status(name)?["cluster"].clone())
    }

    pub fn role_when(&self, name: &str, is: impl Fn(&str) -> bool) -> String {
        eventually(&format!("another role of {name}"), || {
            let role = self.cluster(name)?["role"].as_str()?.to_owned();
            is(&role).then_some(role)
        })
    }

    pub fn acts(&self, name: &str) {
        self.role_when(name, |role| ["promoting", "primary"].contains(&role));
    }

    /// Waits until a node is a backup and knows of no primary.
    pub fn follows_nobody(&self, name: &str) {
        eventually(&format!("{name} follows nobody"), || {
            let cluster = self.cluster(name)?;
            (cluster["role"] == "backup" && cluster["primary"].is_null()).then_some(())
        });
    }

    /// Waits until a node follows another one.
    pub fn follows(&self, name: &str, primary: &str) {
        eventually(&format!("{name} follows {primary}"), || {
            let cluster = self.cluster(name)?;
            (cluster["role"] == "backup" && cluster["primary"] == primary).then_some(())
        });
    }
}

impl Drop for Trio {
    fn drop(&mut self) {
        for (_, supervisor) in &mut self.supervisors {
            // It may have ended already; its node dies with it.
            drop(supervisor.kill());
            drop(supervisor.wait());
        }
        if std::thread::panicking() {
            for name in NAMES {
                let log = fs::read_to_string(self.at(name).join("log")).unwrap_or_default();
                eprintln!("-- log of {name}:\n{log}");
            }
        }
    }
}

/// Whether a process runs: one that nobody has waited for does not.
fn runs(process: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim().chars().next());
    state.is_some_and(|state| state != 'Z' && state != 'X')
}

#[test]
fn a_killed_process_releases_its_epoch_and_the_backup_does_not_wait_for_the_lease() {
    let trio = Trio::running("wan");
    let killed_at = Instant::now();
    trio.signal("a", Signal::KILL);
    trio.acts("b");
    // The lease is 5 s and was renewed within the second before: the voters keep it for 4 s.
    assert!(killed_at.elapsed() < Duration::from_secs(4), "{:?}", killed_at.elapsed());
    trio.log_when("b", "promotion started");
    let log = trio.log("b");
    let at = |line: &str| log.find(line).unwrap_or_else(|| panic!("{line}: not in\n{log}"));
    assert!(at("its process is gone, says its supervisor") < at("promotion started"));
    trio.log_when("a", "the epoch of the node is released");
    trio.follows("a", "b");
    assert_eq!(trio.processes("a").len(), 2, "started again, as a backup");
}

#[test]
fn the_node_dies_with_its_supervisor() {
    let mut trio = Trio::new("vm");
    trio.start("a", &[]);
    trio.role_when("a", |role| role == "backup");
    let [node] = trio.processes("a")[..] else { panic!("{}", trio.log("a")) };
    assert!(runs(node));
    trio.supervisor("a").kill().expect("alive");
    eventually("the node is gone", || (!runs(node)).then_some(()));
}

#[test]
fn two_crashes_of_one_cause_stop_automatic_promotion_until_somebody_resumes_it() {
    let trio = Trio::running("vm");
    trio.signal("a", Signal::ABORT);
    trio.acts("b");
    trio.follows("a", "b");
    trio.signal("b", Signal::ABORT);
    let halted = |name: &str| {
        eventually(&format!("{name} is halted"), || {
            let cluster = trio.cluster(name)?;
            let why = cluster["passive_because"].as_array()?.clone();
            let is = |why: &Value| {
                let cause = "processes ended twice of the same cause (signal 6)";
                why.as_str().is_some_and(|why| why.starts_with(cause))
            };
            (cluster["role"] == "backup" && why.iter().any(is)).then_some(())
        });
    };
    halted("a");
    // Longer than a lease, and nobody acts.
    pause(Duration::from_secs(4));
    halted("a");
    let role = trio.cluster("b").expect("started again")["role"].clone();
    assert_eq!(role, "backup");
    let resumed = portkeeper(&["resume", "--socket", "admin.sock"], &trio.at("a"));
    assert!(resumed.status.success(), "{}", text(&resumed.stderr));
    eventually("somebody acts again", || {
        let acts = |name| Some(trio.cluster(name)?["role"] == "primary");
        (acts("a")? || acts("b")?).then_some(())
    });
}

#[test]
fn a_frozen_process_is_left_to_the_lease_and_follows_when_it_wakes() {
    let trio = Trio::running("vm");
    trio.signal("a", Signal::STOP);
    trio.acts("b");
    trio.signal("a", Signal::CONT);
    trio.follows("a", "b");
    let log = trio.log("a");
    assert!(log.contains("role role=Fenced"), "it acts no more when it wakes");
    assert!(!log.contains("the epoch of the node is released"), "nobody says that it is gone");
    assert!(!trio.log("b").contains("its process is gone"));
    assert_eq!(trio.processes("a").len(), 1, "it is the same process");
}

#[test]
fn a_supervisor_that_is_told_to_stop_hands_the_role_over_in_order() {
    let systemd = Systemd::new();
    let mut trio = Trio::new("vm");
    trio.start("a", &systemd.environment(Some(Duration::from_secs(5))));
    trio.start("b", &[]);
    trio.start("w", &[]);
    trio.wait_for_roles();
    let heard = systemd.hear_until("STATUS=primary of north, epoch ");
    let fed = |said: &String| said.contains("WATCHDOG=1");
    assert!(heard.iter().any(|said| said.trim() == "READY=1") && heard.iter().any(fed));
    let [node] = trio.processes("a")[..] else { panic!("{}", trio.log("a")) };
    let supervisor = Pid::from_child(trio.supervisor("a"));
    kill_process(supervisor, Signal::TERM).expect("alive");
    let status = trio.supervisor("a").wait().expect("a child");
    assert!(status.success() && !runs(node), "{status}");
    systemd.hear_until("STOPPING=1");
    trio.acts("b");
    for name in ["b", "w"] {
        trio.log_when(name, "a gave the role of primary up in order");
    }
    assert!(!trio.log("b").contains("its process is gone"));
}

/// Machines of which the first has a store that opens when the other value is dropped, or not at
/// all after 5 s.
fn with_a_slow_store() -> (Trio, rusqlite::Connection) {
    let mut trio = Trio::new("vm");
    trio.start("a", &[]);
    trio.role_when("a", |role| role == "backup");
    assert!(trio.stop("a").success());
    let slow = rusqlite::Connection::open(trio.at("a").join("store/pk.db")).expect("a store");
    // Whoever opens it to write waits for this to end.
    slow.execute_batch("BEGIN IMMEDIATE").expect("nobody else writes");
    (trio, slow)
}

#[test]
fn a_node_that_is_told_to_stop_while_its_store_is_opened_stops_at_once() {
    let (mut trio, _slow) = with_a_slow_store();
    trio.start("a", &[]);
    let status = eventually("the node answers", || trio.status("a"));
    assert_eq!(status["node"]["opening"], true);
    let told_at = Instant::now();
    let status = trio.stop("a");
    assert!(status.success(), "{status}: {}", trio.log("a"));
    assert!(told_at.elapsed() < Duration::from_secs(4), "{:?}", told_at.elapsed());
}

#[test]
fn a_node_whose_store_is_slow_to_open_answers_meanwhile_and_then_takes_its_place() {
    let (mut trio, slow) = with_a_slow_store();
    let systemd = Systemd::new();
    trio.start("a", &systemd.environment(None));
    let status = eventually("the node answers", || trio.status("a"));
    assert_eq!(
        (&status["node"]["opening"], &status["cluster"]),
        (&Value::from(true), &Value::Null)
    );
    let refused = portkeeper(&["pause", "--socket", "admin.sock"], &trio.at("a"));
    assert_eq!(refused.status.code(), Some(1));
    let why = text(&refused.stderr);
    assert!(why.contains("the store is being opened"), "{why}");
    let heard = systemd.hear_until("STATUS=the store is being opened");
    assert!(heard.iter().any(|said| said.contains("EXTEND_TIMEOUT_USEC=")), "{heard:?}");
    assert!(!heard.iter().any(|said| said.contains("READY=1")), "{heard:?}");
    slow.execute_batch("ROLLBACK").expect("ended");
    systemd.hear_until("READY=1");
    trio.role_when("a", |role| role == "backup");
    assert_eq!(trio.status("a").expect("it runs")["node"]["opening"], false);
}

#[test]
fn records_are_printed_newest_first_as_many_and_as_old_as_is_wanted() {
    let trio = Trio::running("vm");
    for order in ["pause", "resume"] {
        let done = portkeeper(&[order, "--socket", "admin.sock"], &trio.at("a"));
        assert!(done.status.success(), "{}", text(&done.stderr));
    }
    let audit = |more: &[&str]| {
        portkeeper(&[&["audit", "--config", "pk.toml"], more].concat(), &trio.at("a"))
    };
    let newest = eventually("it is on the disk", || {
        let shown = text(&audit(&["--limit", "1"]).stdout);
        shown.contains("Pause(false): done").then_some(shown)
    });
    assert_eq!(newest.lines().count(), 2, "{newest}");
    assert!(newest.ends_with("... and older ones: see --limit and --since\n"), "{newest}");
    let all = text(&audit(&["--since", "1h", "--json"]).stdout);
    let at = |what: &str| all.find(what).unwrap_or_else(|| panic!("no {what} in {all}"));
    assert!(at("{\"Pause\":false}") < at("{\"Pause\":true}"), "{all}");
    assert_eq!(text(&audit(&["--since", "2099-01-01"]).stdout), "");
    let wrong = audit(&["--since", "yesterday"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(text(&wrong.stderr).contains("write a moment as"), "{}", text(&wrong.stderr));
}

#[test]
fn a_node_that_cannot_start_ends_its_supervisor_with_its_own_exit_code() {
    let mut trio = Trio::new("vm");
    let text = fs::read_to_string(trio.at("a").join("pk.toml")).expect("written");
    let text = text.replace("store = \"store/pk.db\"", "store = \"/proc/nowhere/pk.db\"");
    fs::write(trio.at("a").join("pk.toml"), text).expect("written");
    trio.start("a", &[]);
    let status = trio.supervisor("a").wait().expect("a child");
    assert_eq!(status.code(), Some(4));
    assert_eq!(trio.processes("a").len(), 1, "once");
}

#[test]
fn two_nodes_at_one_pbx_under_two_names_refuse_each_other_and_one_of_them_serves() {
    let mut pair = Trio::of_two_pbxs();
    pair.start("a", &[]);
    pair.role_when("a", |role| role == "primary");
    pair.start("b", &[]);
    for name in ["a", "b"] {
        eventually(&format!("{name} says why"), || {
            let alarms = pair.status(name)?["alarms"].as_array()?.clone();
            let says = |alarm: &Value| {
                alarm["text"].as_str().is_some_and(|text| text.contains("extensions are equal"))
            };
            alarms.iter().any(says).then_some(())
        });
    }
    // Longer than a node waits for the first one after its start.
    pause(BOOT_WAIT + Duration::from_secs(2));
    let role = |name| pair.cluster(name).expect("it runs")["role"].clone();
    assert_eq!((role("a"), role("b")), ("primary".into(), "backup".into()));
}
