//! A host is lost, and its address goes to the other one with every call.
//!
//! Two nodes, a witness and the PBX emulator, each in a network of its own (a network namespace),
//! on one switch. The kernel of the frozen host takes the address away by its lifetime, the other
//! node gets it, and the caller hears the same stream from the same address and port: no re-INVITE
//! comes, and every REGISTER comes from the one address. Needs root and `ip`.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use portkeeper::driver::{clock, enrol};
use portkeeper::redact::Redacted;
use portkeeper::sim::pbx::{Event, LineId, Manner};
use portkeeper::stage::pbx::{self, Keep, LineReport, LineState, PbxNet};
use portkeeper::timers;
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::Value;

use crate::gateway::binary;
use crate::process::{Process, eventually, output};
use crate::runner::{Test, top};

/// What this file proves.
pub const TESTS: &[Test] =
    &[("address::goes_to_the_other_host_with_calls_that_notice_nothing", goes_to_the_other_host)];

/// The address that moves.
const SERVICE: &str = "10.77.0.100";
const PBX: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 4);
const LINE: LineId = LineId(1);
const PASSWORD: &str = "a-play-in-networks-of-its-own-7Qx2";
const NODES: [&str; 3] = ["a", "b", "w"];
/// A host that loses its lease loses its address this much later, with slack for a loaded machine.
const GONE_WITHIN: Duration = Duration::from_millis(2_500);

fn goes_to_the_other_host() {
    let scene = Scene::start();
    let from = scene.primary();
    let next = 1 - from;
    scene.call(LINE);

    scene.signal(from, Signal::STOP);
    let lost_at = clock::now();
    let since = Instant::now();
    eventually("the kernel takes the address from the frozen host", || {
        (!scene.has_address(from)).then_some(())
    });
    assert!(since.elapsed() < GONE_WITHIN, "it took {:?}", since.elapsed());
    scene.goes_on(next, lost_at, "host frozen");

    scene.signal(from, Signal::CONT);
    eventually("the host that woke up follows", || {
        (scene.role(from).as_deref() == Some("backup")).then_some(())
    });
    assert!(!scene.has_address(from) && scene.has_address(next));
    scene.backs(from);

    // Its supervisor says so: nobody waits for a lifetime.
    let lost_at = clock::now();
    let node = *family(scene.nodes[next].id()).last().expect("the node");
    kill(node, Signal::KILL);
    scene.goes_on(from, lost_at, "process killed");
    scene.backs(next);

    let lost_at = clock::now();
    output(scene.command(from).args(["switchover", NODES[next], "--socket", "admin.sock"]));
    scene.goes_on(next, lost_at, "switched over");

    scene.ends(next);
}

struct Scene {
    nodes: Vec<Process>,
    pbx: PbxNet,
    folder: tempfile::TempDir,
    net: Net,
}

impl Scene {
    fn start() -> Self {
        let net = Net::new();
        let accounts = ["6001", "6002"].map(|n| (n.into(), Redacted::new(PASSWORD.to_owned())));
        let accounts = accounts.into_iter().collect();
        let pbx = net.inside("p", || PbxNet::start_at(PBX, accounts, Manner::default()));
        let pbx = pbx.expect("the PBX starts");
        let folder = tempfile::Builder::new().prefix("pk-").tempdir_in("/tmp").expect("/tmp");
        let at = NODES.map(|name| folder.path().join(name));
        let stores = at.clone().map(|at| at.join("store"));
        let credentials = at.clone().map(|at| at.join("cluster"));
        let paths =
            credentials.iter().map(PathBuf::as_path).zip(stores.iter().map(PathBuf::as_path));
        let own: Vec<(&str, &Path, &Path)> =
            NODES.into_iter().zip(paths).map(|(name, (c, s))| (name, c, s)).collect();
        at.iter().for_each(|at| fs::create_dir(at).expect("a fresh folder"));
        enrol::all_here("north", &own).expect("certificates");
        let mut scene = Self { nodes: Vec::new(), pbx, folder, net };
        for (number, name) in (1_u8..).zip(NODES) {
            let text = configuration(number, name, scene.pbx.address.port());
            fs::write(scene.at(name).join("pk.toml"), text).expect("written");
            let mut command = binary();
            command.args(["run", "--config", "pk.toml"]).current_dir(scene.at(name));
            let node = scene.net.inside(name, || Process::start(name, &mut command));
            scene.nodes.push(node);
        }
        scene
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, node: usize) -> Command {
        let mut command = binary();
        command.current_dir(self.at(NODES[node]));
        command
    }

    fn ask(&self, node: usize, what: &str) -> Option<Value> {
        let mut command = self.command(node);
        let out = command.args([what, "--json", "--socket", "admin.sock"]).output().ok()?;
        serde_json::from_slice(&out.stdout).ok().filter(|_| out.status.success())
    }

    fn role(&self, node: usize) -> Option<String> {
        Some(self.ask(node, "status")?["cluster"]["role"].as_str()?.to_owned())
    }

    /// Waits until one of them is primary with every port, and another would take over.
    fn primary(&self) -> usize {
        let primary = eventually("a node is primary", || {
            (0..2).find(|&node| self.role(node).as_deref() == Some("primary"))
        });
        assert!(self.has_address(primary) && !self.has_address(1 - primary));
        self.backs(1 - primary);
        primary
    }

    /// Waits until a node follows, and hears of every call.
    fn backs(&self, node: usize) {
        eventually("the other node would take over", || {
            let status = self.ask(node, "status")?;
            let cluster = &status["cluster"];
            let peers = cluster["peers"].as_array()?;
            let hears = peers.iter().all(|peer| peer["up"] == true);
            let calls = self.calls(1 - node)? as u64;
            let copied = cluster["copied_calls"].as_u64() == Some(calls);
            (cluster["role"] == "backup" && hears && copied).then_some(())
        });
        // Supervisors have links of their own.
        thread::sleep(Duration::from_millis(1_500));
    }

    fn has_address(&self, node: usize) -> bool {
        let shown = self.net.ip(NODES[node], &["-4", "addr", "show", "dev", "eth0"]);
        shown.contains(&format!("inet {SERVICE}/"))
    }

    fn calls(&self, node: usize) -> Option<usize> {
        Some(self.ask(node, "calls")?.as_array()?.len())
    }

    fn report(&self, line: LineId) -> LineReport {
        self.pbx.report().lines.get(&line).cloned().unwrap_or_default()
    }

    fn call(&self, line: LineId) {
        let (extension, keep) = ("6001".to_owned(), Keep::Nothing);
        let call = pbx::Command::Call { line, extension, keep, delayed_offer: false };
        self.pbx.command(call);
        eventually("the caller hears the prompt", || {
            let report = self.report(line);
            (report.state == LineState::Up && report.heard.packets > 50).then_some(())
        });
        let served = (0..2).find(|&node| self.calls(node) == Some(1));
        self.backs(1 - served.expect("it is somewhere"));
    }

    /// The call is heard again, from the other node, as if nothing had happened.
    fn goes_on(&self, node: usize, lost_at: timers::Instant, how: &str) {
        eventually("the other node is primary", || {
            (self.role(node).as_deref() == Some("primary")).then_some(())
        });
        assert!(self.has_address(node) && !self.has_address(1 - node));
        let gap = eventually("the caller hears the prompt again", || self.gap_since(lost_at));
        println!("    {how}: the caller heard nothing for {} ms", gap.as_millis());
        assert!(gap < Duration::from_secs(4), "{gap:?}");
        let report = self.report(LINE);
        assert_eq!((report.state, report.heard.further_sources), (LineState::Up, 0), "one stream");
        self.one_address();
    }

    /// The longest pause in what a caller heard, once half a second of sound came behind it.
    fn gap_since(&self, lost_at: timers::Instant) -> Option<Duration> {
        let arrivals = self.report(LINE).arrivals;
        let after = arrivals.iter().filter(|at| **at > lost_at).count();
        let window = &arrivals[arrivals.len().saturating_sub(after + 1)..];
        let pauses = window.windows(2).map(|two| two[1].saturating_duration_since(two[0]));
        let longest = pauses.clone().max()?;
        let behind = pauses.rev().take_while(|pause| *pause < longest).count();
        (behind >= 25 && longest > Duration::from_millis(15)).then_some(longest)
    }

    /// What the PBX has seen: no call changed, and every device is at the service address.
    fn one_address(&self) {
        let service: IpAddr = SERVICE.parse().expect("an address");
        while let Ok(noted) = self.pbx.events.try_recv() {
            match noted.event {
                Event::Changed { .. } => panic!("a re-INVITE came: {noted:?}"),
                Event::Registered { .. } => {
                    assert_eq!(noted.device.map(|device| device.ip()), Some(service));
                }
                _ => {}
            }
        }
        assert_eq!(self.pbx.report().devices.keys().copied().collect::<Vec<_>>(), [service]);
    }

    /// The old caller hangs up, and a new one is served.
    fn ends(&self, node: usize) {
        self.pbx.command(pbx::Command::HangUp { line: LINE });
        eventually("the call has ended", || (self.calls(node) == Some(0)).then_some(()));
        assert_eq!(self.report(LINE).state, LineState::Done);
        self.call(LineId(2));
    }

    fn signal(&self, node: usize, signal: Signal) {
        family(self.nodes[node].id()).into_iter().for_each(|pid| kill(pid, signal));
    }
}

fn kill(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
    kill_process(pid, signal).expect("our own child");
}

/// A supervisor and the node below it.
fn family(pid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("alive");
    let children = list.split_whitespace().filter_map(|pid| pid.parse().ok());
    std::iter::once(pid).chain(children).collect()
}

fn configuration(number: u8, name: &str, pbx: u16) -> String {
    let prompts = top().join("fixtures/prompts/en");
    let ports = format!(
        "[[ports]]\nextensions = \"6001-6002\"\npassword = \"{PASSWORD}\"\n\
         applications = [\"builtin:announce\"]\n\
         [announce]\nprompts = [\"demo-congrats\"]\nrepeats = 1000\n"
    );
    let ports = if name == "w" { "" } else { &ports };
    format!(
        "[node]\nname = \"{name}\"\n\
         [cluster]\nid = \"north\"\nprofile = \"trio\"\ntakeover = \"shared_address\"\n\
         credentials = \"cluster\"\nstore = \"store/pk.db\"\n\
         [cluster.address]\naddress = \"{SERVICE}/24\"\ninterface = \"eth0\"\n\
         [[cluster.nodes]]\nname = \"a\"\nlink = \"10.77.0.1:7443\"\n\
         [[cluster.nodes]]\nname = \"b\"\nlink = \"10.77.0.2:7443\"\n\
         [[cluster.nodes]]\nname = \"w\"\nrole = \"witness\"\nlink = \"10.77.0.3:7443\"\n\
         [pbx]\nprofile = \"asterisk\"\nregistrars = [\"{PBX}:{pbx}\"]\n\
         local_address = \"10.77.0.{number}\"\nsip_udp_port = 5060\nmin_digest = \"md5\"\n{ports}\
         [media]\nudp_ports = \"20000-20999\"\nprompts = \"{}\"\nrecordings = \"recordings\"\n\
         [ari]\nlisten = \"127.0.0.1:8088\"\n\
         [admin]\nsocket = \"admin.sock\"\nlisten = \"127.0.0.1:9108\"\n",
        prompts.display()
    )
}

/// Networks of their own on one switch; gone when it is dropped.
struct Net;

/// Each site and its network; `sw` is the switch.
const SITES: [&str; 5] = ["sw", "a", "b", "w", "p"];

impl Net {
    fn new() -> Self {
        assert!(rustix::process::geteuid().is_root(), "networks of their own need root");
        let net = Self;
        net.remove();
        for site in SITES {
            output(Command::new("ip").args(["netns", "add", &Self::name(site)]));
            net.ip(site, &["link", "set", "lo", "up"]);
        }
        net.ip("sw", &["link", "add", "br0", "type", "bridge"]);
        net.ip("sw", &["link", "set", "br0", "up"]);
        for (number, site) in (1..).zip(&SITES[1..]) {
            let (own, port) = (Self::name(site), format!("v{site}"));
            let pair =
                ["link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &own];
            net.ip("sw", &pair);
            net.ip("sw", &["link", "set", &port, "master", "br0", "up"]);
            let address = format!("10.77.0.{number}/24");
            net.ip(site, &["addr", "add", &address, "dev", "eth0"]);
            net.ip(site, &["link", "set", "eth0", "up"]);
        }
        net
    }

    fn name(site: &str) -> String {
        format!("pk-address-{site}")
    }

    fn ip(&self, site: &str, args: &[&str]) -> String {
        output(Command::new("ip").arg("-n").arg(Self::name(site)).args(args))
    }

    /// Does something in the network of a site; what it starts stays there.
    fn inside<T: Send>(&self, site: &str, work: impl FnOnce() -> T + Send) -> T {
        let network = File::open(Path::new("/run/netns").join(Self::name(site))).expect("made");
        thread::scope(|scope| {
            let moved = scope.spawn(|| {
                let kind = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(network.as_fd(), kind).expect("root may");
                work()
            });
            moved.join().expect("no panic in there")
        })
    }

    fn remove(&self) {
        for site in SITES {
            // There may be none.
            let _ = Command::new("ip").args(["netns", "del", &Self::name(site)]).output();
        }
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        self.remove();
    }
}
