//! The primary of a cluster is killed under live calls at a real Asterisk.
//!
//! Two nodes and a witness as processes, each at an address of its own; Asterisk asks for digest
//! authentication and relays the audio. Callers on the trunk and a real phone (baresip, extension
//! 7004) hear a tone that rises, so that its pitch tells where in the prompt they are. Everything
//! of the primary is killed at once; the other node has to register every port and to move every
//! call by a re-INVITE, of which Asterisk has to think that nothing of note happened.
//!
//! `PORTS` and `RUNS` of the environment make the play a bigger one; what it
//! prints is what docs/MEASUREMENTS.md holds.

use std::collections::BTreeSet;
use std::env;
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, Instant};

use portkeeper::admin::{Format, Request, distribution};
use portkeeper::stage::crew::Crew;
use portkeeper::stage::node::PASSWORD;
use portkeeper::stage::pbx::LineReport;
use portkeeper::stage::promotion::{longest_gap, offset_error};
use portkeeper::stage::trio::{Cast, Site, other};
use portkeeper::timers;
use serde_json::Value;

use crate::asterisk::Asterisk;
use crate::baresip::Baresip;
use crate::phone::Call;
use crate::process::{eventually, within};
use crate::prompts;
use crate::rtp::RtpEnd;
use crate::runner::Test;

/// What this file proves.
pub const TESTS: &[Test] = &[
    ("promotion::killed_under_calls_at_asterisk_no_call_ends_and_every_port_moves", unpaced),
    ("promotion::at_50_registers_a_second_calls_go_on_as_fast_and_ports_follow", paced),
];

/// Extension of the phone; it follows those of the three control extensions.
const PHONE: &str = "7004";

/// What a call may miss of its audio on a loaded machine, which is twice the goal, and how far off
/// the prompt may go on.
const GAP: Duration = Duration::from_secs(2);
const OFFSET: Duration = Duration::from_millis(200);

fn unpaced() {
    play(0, 2);
}

fn paced() {
    play(50, 1);
}

fn wished<T: FromStr>(name: &str, otherwise: T) -> T {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn play(rate: u32, runs: u32) {
    let (ports, runs) = (wished("PORTS", 20), wished("RUNS", runs));
    let mut stage = Stage::start(ports, rate);
    let mut figures = Figures::default();
    for _ in 0..runs {
        stage.kill_and_watch(&mut figures);
    }
    figures.print(ports, rate, runs);
    assert!(figures.gaps.iter().all(|gap| *gap < GAP), "a call was silent for too long");
    assert!(figures.offsets.iter().all(|off| *off < OFFSET), "a prompt went on somewhere else");
}

/// What many promotions took.
#[derive(Default)]
struct Figures {
    registered: Vec<Duration>,
    gaps: Vec<Duration>,
    offsets: Vec<Duration>,
    phone_gaps: Vec<Duration>,
}

impl Figures {
    fn print(&self, ports: u32, rate: u32, runs: u32) {
        println!("    {ports} ports, {} calls, {runs} promotions, {rate} REGISTERs/s", ports - 1);
        for (name, of) in [
            ("every port registered", &self.registered),
            ("audio gap", &self.gaps),
            ("audio gap at baresip", &self.phone_gaps),
            ("off in the prompt", &self.offsets),
        ] {
            println!("    {name}: {} ms", distribution(of));
        }
    }
}

/// Everybody on stage.
struct Stage {
    crew: Crew,
    sites: Vec<Site>,
    phone: Baresip,
    asterisk: Asterisk,
    ports: u32,
    _folder: tempfile::TempDir,
}

impl Stage {
    fn start(ports: u32, rate: u32) -> Self {
        portkeeper::stage::play_with(env!("CARGO_BIN_EXE_portkeeper").into());
        let folder = tempfile::Builder::new().prefix("pk-").tempdir_in("/tmp").expect("/tmp");
        let count = ports.to_string();
        // The nodes' own audio is at 20000 and above.
        let asterisk = Asterisk::start(&[
            ("PORTS", &count),
            ("PASSWORD", PASSWORD),
            ("RTP_FIRST", "12000"),
            ("RTP_LAST", "13999"),
        ]);
        let directory = folder.path().to_owned();
        let cast = Cast { ports, register_rate: rate, promotion: "auto", directory };
        let sites = cast.nodes_at(asterisk.sip).expect("three nodes start");
        let mut crew = Crew::default();
        for site in &sites[..2] {
            crew.add(&site.play()).expect("an instance connects");
        }
        let phone = Baresip::registered(asterisk.sip, PHONE, PASSWORD);
        Self { crew, sites, phone, asterisk, ports, _folder: folder }
    }

    /// One promotion: calls on all ports but one; the last one is for a new call afterwards.
    fn kill_and_watch(&mut self, figures: &mut Figures) {
        let primary = eventually("a node is primary", || self.primary());
        let next = other(primary);
        self.all_registered(primary);
        eventually("the other one is backup", || {
            (self.sites[next].role().as_deref() == Some("backup")).then_some(())
        });
        let calls = self.place();
        self.served(primary, next);
        // Last come keys that last: the copies are up to 50 ms old when all is lost.
        self.phone.press("4");
        press_all(&calls, "47");
        self.taken("47", "4", primary);
        let before = self.channels();
        assert!(before.len() >= 2 * calls.len(), "two channels of each call: {before:?}");

        let told_at = prompts::pitches_in_wav(&self.phone.heard()).len();
        let lost_at = Instant::now();
        self.sites[primary].node.kill().expect("its processes end");
        self.all_registered(next);
        figures.registered.push(lost_at.elapsed());
        self.bound_to(next);
        within(Duration::from_secs(5), "every call is heard again", || {
            calls.iter().all(|call| call.rtp.hears_after(lost_at)).then_some(())
        });
        press_all(&calls, "58");
        self.phone.press("5");
        self.taken("4758", "45", next);
        assert_eq!(self.channels(), before, "for Asterisk no call ended, and none began");
        assert!(calls.iter().all(|call| !call.ended()), "no caller saw an end");
        self.measure(&calls, lost_at, told_at, figures);

        let new = Call::answered(self.asterisk.sip, &self.extension(self.ports - 1), "2999");
        eventually("a new caller hears the prompt", || new.rtp.hears_after(lost_at).then_some(()));
        drop(new);
        drop(calls);
        self.phone.hang_up();
        eventually("all calls have ended", || self.calls(next).is_empty().then_some(()));
        self.sites[primary].restart().expect("it starts again");
        self.crew.add(&self.sites[primary].play()).expect("an instance connects");
    }

    fn primary(&self) -> Option<usize> {
        (0..2).find(|&at| self.sites[at].role().as_deref() == Some("primary"))
    }

    fn extension(&self, port: u32) -> String {
        (6_001 + port).to_string()
    }

    /// Calls on every port but the last two, and the phone's on the last but one.
    fn place(&self) -> Vec<Call> {
        self.phone.dial(&self.extension(self.ports - 2));
        let call = |port| Call::answered(self.asterisk.sip, &self.extension(port), "2000");
        (0..self.ports - 2).map(call).collect()
    }

    fn ask(&self, at: usize, request: &Request) -> Vec<Value> {
        let answer = self.sites[at].node.ask(request).expect("the node answers");
        answer.as_array().cloned().unwrap_or_default()
    }

    fn calls(&self, at: usize) -> Vec<Value> {
        self.ask(at, &Request::Calls { format: Format::Json })
    }

    fn all_registered(&self, at: usize) {
        let patience = Duration::from_secs(60);
        within(patience, "every port is registered", || {
            let ports = self.ask(at, &Request::Ports { format: Format::Json });
            let bound = ports.iter().filter(|port| port["registration"]["state"] == "registered");
            (bound.count() == self.ports as usize).then_some(())
        });
    }

    /// Asterisk knows every port at this node's address and nowhere else.
    fn bound_to(&self, at: usize) {
        let shown = self.asterisk.cli("database show registrar/contact");
        let of_port = |line: &&str| line.starts_with("/registrar/contact/6");
        let bound: Vec<&str> = shown.lines().filter(of_port).collect();
        let address = format!("@{}:", self.sites[at].address);
        assert!(bound.iter().all(|line| line.contains(&address)), "all at {address}: {shown}");
        assert_eq!(bound.len(), self.ports as usize, "{shown}");
    }

    fn served(&self, primary: usize, next: usize) {
        let calls = self.ports as usize - 1;
        eventually("every call is served", || {
            let bound = self.calls(primary).into_iter().filter(|call| call["state"] == "bound");
            (bound.count() == calls).then_some(())
        });
        eventually("the backup has a copy of every call", || {
            let status = self.sites[next].status().ok()?;
            (status["cluster"]["copied_calls"].as_u64() == Some(calls as u64)).then_some(())
        });
    }

    /// Waits until the instances have these keys of every caller, and those of the phone.
    fn taken(&mut self, keys: &str, of_phone: &str, at: usize) {
        let phone = self.extension(self.ports - 2);
        let calls = self.calls(at);
        assert_eq!(calls.len(), self.ports as usize - 1, "every call is here");
        for call in calls {
            let name = call["call"].as_str().expect("its name").to_owned();
            let expected = if call["extension"] == phone { of_phone } else { keys };
            let mut taken = String::new();
            eventually(&format!("{name} has {expected}"), || {
                taken = self.crew.digits().remove(&name).unwrap_or_default();
                (taken.len() >= expected.len()).then_some(())
            });
            assert_eq!(taken, expected, "each key once, in order");
        }
    }

    /// Names of the channels that Asterisk has.
    fn channels(&self) -> BTreeSet<String> {
        let shown = self.asterisk.cli("core show channels concise");
        shown.lines().filter_map(|line| line.split_once('!')).map(|(name, _)| name.into()).collect()
    }

    fn measure(&self, calls: &[Call], lost_at: Instant, told_at: usize, figures: &mut Figures) {
        for call in calls {
            let line = heard_by(&call.rtp, lost_at);
            figures.gaps.push(longest_gap(&line, LOSS).expect("audio"));
            figures.offsets.push(offset_error(&line, LOSS).expect("a prompt"));
        }
        let line = heard_by_phone(&self.phone.heard(), told_at);
        figures.phone_gaps.push(longest_gap(&line, LOSS).expect("audio"));
        figures.offsets.push(offset_error(&line, LOSS).expect("a prompt"));
    }
}

/// All callers at once: the phone speaks for a minute only.
fn press_all(calls: &[Call], keys: &str) {
    calls.iter().for_each(|call| call.rtp.press(keys));
    eventually("the keys are sent", || {
        calls.iter().all(|call| call.rtp.pressed_all()).then_some(())
    });
}

/// The loss, on a clock that begins well before it.
const LOSS: timers::Instant = timers::Instant::from_nanos(1_000_000_000_000);

/// What a caller heard, on that clock.
fn heard_by(rtp: &RtpEnd, lost_at: Instant) -> LineReport {
    let placed = |at: Instant| match at.checked_duration_since(lost_at) {
        Some(since) => LOSS + since,
        None => before(lost_at - at),
    };
    let heard = rtp.heard();
    LineReport {
        arrivals: heard.iter().map(|heard| placed(heard.at)).collect(),
        pitches: heard.iter().filter_map(|heard| Some((placed(heard.at), heard.hz?))).collect(),
        ..LineReport::default()
    }
}

/// The same of the phone, from the frames that its loudspeaker played: silence is what it lacked.
fn heard_by_phone(wav: &Path, told_at: usize) -> LineReport {
    let at = |n: usize| match n.checked_sub(told_at) {
        Some(since) => LOSS + frames(since),
        None => before(frames(told_at - n)),
    };
    let heard = prompts::pitches_in_wav(wav);
    let pitches: Vec<_> =
        heard.iter().enumerate().filter_map(|(n, hz)| Some((at(n), (*hz)?))).collect();
    let arrivals = pitches.iter().map(|(at, _)| *at).collect();
    LineReport { arrivals, pitches, ..LineReport::default() }
}

fn before(by: Duration) -> timers::Instant {
    let nanos = u64::try_from(by.as_nanos()).expect("a short play");
    timers::Instant::from_nanos(LOSS.as_nanos() - nanos)
}

fn frames(count: usize) -> Duration {
    Duration::from_millis(20) * u32::try_from(count).expect("a short play")
}
