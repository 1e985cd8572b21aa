//! SIPp in the manner of CUCM and NEC, as registrar and as caller; audio by our own RTP end.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::clients::Client;
use crate::gateway::{Gateway, Settings};
use crate::process::{Process, eventually};
use crate::rtp::RtpEnd;
use crate::runner::{Test, top};

/// What this file proves.
pub const TESTS: &[Test] = &[
    ("sipp::cucm_a_port_for_each_device_registers_and_answers_mwi", cucm_registers),
    ("sipp::cucm_a_second_device_on_one_contact_is_405_and_said", cucm_405),
    ("sipp::cucm_a_changed_contact_is_5xx_until_the_old_one_lapses", cucm_changed_contact),
    ("sipp::cucm_call_with_delayed_offer_update_hold_and_resume", cucm_call),
    ("sipp::nec_call_after_a_rehunt_with_a_moving_audio_peer", nec_call),
];

/// A running scenario.
struct Sipp {
    process: Process,
    folder: tempfile::TempDir,
}

impl Sipp {
    fn start(scenario: &str, udp_port: u16, more: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("pk-").tempdir_in("/tmp").expect("/tmp");
        let mut command = Command::new(top().join(".peers/bin/sipp"));
        command
            .current_dir(folder.path())
            .args(["-nostdin", "-i", "127.0.0.1", "-p", &udp_port.to_string()])
            .arg("-sf")
            .arg(top().join("tests/peers/sipp").join(format!("{scenario}.xml")))
            .args(["-trace_logs", "-log_file", "said", "-trace_err", "-error_file", "errors"])
            // A registration comes again with the Call-ID of the last one.
            .args(["-deadcall_wait", "0"])
            .args(more);
        Self { process: Process::start(scenario, &mut command), folder }
    }

    /// A registrar for any number of ports.
    fn registrar(manner: &str, udp_port: u16) -> Self {
        Self::start(&format!("{manner}_registrar"), udp_port, &[])
    }

    /// One call to a Contact.
    fn call(manner: &str, udp_port: u16, contact: &str, keys: &[(&str, &str)]) -> Self {
        let target = address_of(contact).to_string();
        let mut more = vec!["-m", "1", "-key", "contact", contact];
        keys.iter().for_each(|(name, value)| more.extend(["-key", name, value]));
        more.push(&target);
        Self::start(&format!("{manner}_call"), udp_port, &more)
    }

    /// The lines that its scenario logged.
    fn said(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join("said")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn says(&self, line: &str) {
        eventually(&format!("SIPp says {line}; it said {:?}", self.said()), || {
            self.said().iter().any(|said| said == line).then_some(())
        });
    }

    /// The Contact that an extension registered.
    fn contact(&self, extension: &str) -> String {
        let prefix = format!("CONTACT {extension} ");
        eventually(&format!("{extension} registers"), || {
            self.said().iter().rev().find_map(|l| l.strip_prefix(&prefix).map(str::to_owned))
        })
    }

    /// The scenario ran to its end and met nothing unexpected.
    fn succeeds(mut self) {
        let status = self.process.wait();
        let errors = read(&self.folder.path().join("errors"));
        assert!(status.success(), "SIPp met something unexpected ({status}):\n{errors}");
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// `sip:6001-x@127.0.0.1:6000;y=z` -> `127.0.0.1:6000`
fn address_of(contact: &str) -> SocketAddr {
    let host = contact.rsplit('@').next().and_then(|rest| rest.split([';', '?']).next());
    host.and_then(|h| h.parse().ok()).unwrap_or_else(|| panic!("no address in {contact}"))
}

const CUCM: u16 = 15_260;

fn at_cucm(extensions: &'static str, pbx: &'static str) -> Settings {
    let mut settings = Settings::at(SocketAddr::from(([127, 0, 0, 1], CUCM)), "cucm");
    settings.extensions = extensions;
    settings.pbx = pbx;
    settings
}

fn cucm_registers() {
    let cucm = Sipp::registrar("cucm", CUCM);
    let mut gateway = Gateway::registered(&at_cucm("6001-6004", ""));
    for extension in ["6001", "6002", "6003", "6004"] {
        cucm.says(&format!("MWI {extension} 200"));
        let granted = gateway.port(extension)["registration"]["expires_s"].as_u64();
        assert_eq!(granted, Some(120), "the Expires header counts");
    }
    let first = address_of(&cucm.contact("6001"));
    let second = address_of(&cucm.contact("6002"));
    assert_eq!(second.port(), first.port() + 1, "a SIP port for each device");
    gateway.process.stop();
    (1..=4).for_each(|n| cucm.says(&format!("GONE 600{n}")));
}

fn cucm_405() {
    let _cucm = Sipp::registrar("cucm", CUCM);
    let gateway = Gateway::start(&at_cucm("6001-6002", "sip_port = \"shared\""));
    // Whichever comes first keeps the address.
    let refused = eventually("one of two ports is refused", || {
        let ports = [gateway.port("6001"), gateway.port("6002")];
        ports.into_iter().find(|port| port["registration"]["state"] == "refused")
    });
    let detail = refused["registration"]["detail"].as_str().unwrap_or("");
    assert!(detail.contains("405"), "says what the PBX said: {detail:?}");
    let other = if refused["extension"] == "6001" { "6002" } else { "6001" };
    gateway.port_becomes(other, "registered");
}

fn cucm_changed_contact() {
    let cucm = Sipp::registrar("cucm", CUCM);
    let mut before = Gateway::registered(&at_cucm("6001-6001", ""));
    before.process.kill();
    let mut settings = at_cucm("6001-6001", "");
    settings.number = 1;
    let after = Gateway::start(&settings);
    eventually("the refusal is said", || {
        let port = after.port("6001");
        port["registration"]["detail"].as_str().filter(|d| d.contains("500")).map(drop)
    });
    after.port_becomes("6001", "registered");
    assert_eq!(address_of(&cucm.contact("6001")).port(), 5_300);
}

fn cucm_call() {
    let cucm = Sipp::registrar("cucm", CUCM);
    let gateway = Gateway::registered(&at_cucm("6001-6001", ""));
    let program = Client::NpmAri.start(gateway.ari, "main");
    gateway.instances(1);
    let rtp = RtpEnd::open(None);
    let port = rtp.udp_port().to_string();
    let call = Sipp::call("cucm", CUCM + 1, &cucm.contact("6001"), &[("rtp", &port)]);
    program.step("playing");
    eventually("the caller hears the menu", || rtp.hears("menu").then_some(()));
    rtp.press("1");
    assert_eq!(program.step("digit")["digits"], "1");
    call.says("HELD");
    // What was on its way is heard yet, and then nothing.
    std::thread::sleep(std::time::Duration::from_millis(200));
    let held = rtp.heard().len();
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(rtp.heard().len(), held, "no audio while held");
    call.says("RESUMED");
    eventually("audio flows again", || (rtp.heard().len() > held + 10).then_some(()));
    rtp.press("2");
    assert_eq!(program.step("digit")["digits"], "12");
    rtp.press("#");
    program.step("hangup");
    call.succeeds();
}

const NEC: u16 = 5_070;

fn nec_call() {
    let nec = Sipp::registrar("nec", NEC);
    let mut settings = Settings::at(SocketAddr::from(([127, 0, 0, 1], NEC)), "nec");
    settings.extensions = "6001-6002";
    let gateway = Gateway::registered(&settings);
    let granted = gateway.port("6001")["registration"]["expires_s"].as_u64();
    assert_eq!(granted, Some(180), "the parameter of our own Contact counts");
    let program = Client::NpmAri.start(gateway.ari, "main");
    gateway.instances(1);
    let (first, second) = (RtpEnd::open(None), RtpEnd::open(None));
    let ports = [first.udp_port().to_string(), second.udp_port().to_string()];

    let busy = CallOver::new(&nec, NEC + 1);
    program.step("playing");
    let keys =
        [("busy", nec.contact("6001")), ("rtp", ports[0].clone()), ("rtp2", ports[1].clone())];
    let keys: Vec<(&str, &str)> = keys.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let call = Sipp::call("nec", NEC + 2, &nec.contact("6002"), &keys);
    program.step("playing");
    eventually("the caller hears audio", || (first.heard().len() > 10).then_some(()));
    first.event_type(97);
    first.press("1");
    assert_eq!(program.step("digit")["digits"], "1", "payload type 97");
    eventually("the key is released", || first.pressed_all().then_some(()));
    // Another source on the same address, as after a hand-over inside the PBX.
    first.new_ssrc();
    first.press("2");
    assert_eq!(program.step("digit")["digits"], "12", "another SSRC");
    call.says("MOVED");
    eventually("audio moves to the other peer", || (second.heard().len() > 10).then_some(()));
    second.event_type(97);
    second.press("3");
    assert_eq!(program.step("digit")["digits"], "123", "another peer");
    second.press("#");
    program.step("hangup");
    call.succeeds();
    drop(busy);
}

/// A call that keeps port 6001 busy.
struct CallOver {
    _call: Sipp,
    _rtp: RtpEnd,
}

impl CallOver {
    fn new(registrar: &Sipp, udp_port: u16) -> Self {
        let rtp = RtpEnd::open(None);
        let port = rtp.udp_port().to_string();
        let call = Sipp::call("cucm", udp_port, &registrar.contact("6001"), &[("rtp", &port)]);
        Self { _call: call, _rtp: rtp }
    }
}
