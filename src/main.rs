//! The command line: a thin table from arguments to [`portkeeper::driver::commands`].
//!
//! Exit codes: 0 done; 1 the configuration has errors, or the node refused; 2 wrong usage;
//! 3 no node answers; 4 a node could not start, or ended by itself.

#![expect(clippy::print_stderr, reason = "this is the command line")]

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use portkeeper::admin::{Format, NewAgent, Request, RoleWish};
use portkeeper::bench::{
    ari, false_verdicts, livelock, media, peer, phone_promotion, port_switch, promotion, register,
    simulation,
};
use portkeeper::config::Log;
use portkeeper::demo;
use portkeeper::driver::agent;
use portkeeper::driver::commands::{self, Failure, Supervised};
use portkeeper::driver::enrol;
use portkeeper::driver::forced;
use portkeeper::driver::ledger;
use portkeeper::driver::records::{self, Wanted};
use portkeeper::driver::relay::{self, NodeAddress};
use portkeeper::driver::watch;
use portkeeper::stage::instance::{self, Habits, Play};
use portkeeper::stage::promotion::Loss;

#[derive(Parser)]
#[command(version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a node until SIGTERM or SIGINT.
    Run {
        /// Its configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// The process that watches this one.
        #[arg(long, hide = true)]
        supervisor: Option<u32>,
        /// Of what an earlier process of this node ended.
        #[arg(long, hide = true, requires = "supervisor")]
        ended: Vec<String>,
    },
    /// Give applications on this host one URL that stays over a promotion.
    Relay(RelayOptions),
    /// Play on loopback what happens when an IVR instance hangs or dies.
    Demo(Demo),
    /// Measure on loopback.
    #[command(subcommand)]
    Bench(Bench),
    /// Run the simulated world: a seed is 20 s with about 20 faults.
    Sim(Sim),
    /// One IVR instance of a play; `demo` and `bench` start it.
    #[command(hide = true)]
    DemoInstance(DemoInstance),
    /// Work with configuration files.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Certificates of the nodes of a cluster.
    #[command(subcommand)]
    Cluster(Cluster),
    /// Show the node as a whole, with its alarms.
    Status(Look),
    /// Show every voice port.
    Ports(Look),
    /// Show every call.
    Calls(Look),
    /// Show every IVR application instance.
    Instances(Look),
    /// Show the latest rebinds with their durations.
    Rebinds(Look),
    /// Offer no new calls to an instance (`i3`), or to the whole node (`node`).
    Drain(Drain),
    /// Move a call to another instance.
    Rebind(Rebind),
    /// Stay, say who is primary, and ask for a promotion when nobody is.
    Watch(NodeSocket),
    /// Make a node primary whose primary is gone.
    Promote(Promote),
    /// Make the other node primary while both live.
    Switchover(Switchover),
    /// No promotion without a person, until `resume`.
    Pause(Look),
    /// Promotion as configured.
    Resume(Look),
    /// Let a node that was primary follow again.
    Rejoin(Look),
    /// Give this node's role up in order.
    Release(Look),
    /// Test the control extensions of the other nodes now.
    SelfCall(Look),
    /// Show the seconds in which calls could not be answered, against 99.9996 %.
    Ledger(OfStore),
    /// Show who did what to the cluster.
    Audit(Records),
    /// Show the calls.
    Cdr(Records),
    /// Agents of the phone menu: people who may promote by phone.
    #[command(subcommand)]
    Agent(AgentCommand),
}

#[derive(Args)]
struct OfStore {
    /// The node's configuration, which names the store.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// For programs.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Records {
    /// The node's configuration, which names the store.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Not before: 2027-03-01T06:30:00Z, 2027-03-01 (UTC), or so long ago: 90m, 12h, 7d.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// So many at most, the newest first.
    #[arg(long, value_name = "N", default_value_t = 100)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum AgentCommand {
    /// Add an agent, or give one a new PIN. The PIN is asked for, or read from a pipe.
    Add(AgentAdd),
    /// Show every agent with its locks.
    List(Look),
    /// Let an agent act no more.
    Disable(AgentOne),
    /// Forget an agent's wrong PINs.
    Unlock(AgentOne),
}

#[derive(Args)]
struct AgentAdd {
    /// Agent number: 3 to 10 digits, keyed on the telephone.
    number: String,
    /// Name, for lists.
    #[arg(long)]
    name: String,
    /// An extension that the agent calls from. Several times: several. Without it: any internal
    /// one.
    #[arg(long = "extension", value_name = "EXTENSION")]
    extensions: Vec<String>,
    /// Hang up and call the first extension back.
    #[arg(long)]
    callback: bool,
    /// Make a PIN and print it, instead of asking for one.
    #[arg(long)]
    generate: bool,
    #[command(flatten)]
    look: Look,
}

#[derive(Args)]
struct AgentOne {
    /// Agent number.
    number: String,
    #[command(flatten)]
    look: Look,
}

#[derive(Args)]
struct RelayOptions {
    /// Where the applications connect.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8088")]
    listen: SocketAddr,
    /// Listen where other hosts reach it too, in clear.
    #[arg(long)]
    listen_anywhere: bool,
    /// ARI listener of a node; once for each, the usual primary first. NAME is that of its
    /// certificate where it is not HOST.
    #[arg(long = "node", value_name = "[NAME@]HOST:PORT", required = true)]
    nodes: Vec<NodeAddress>,
    /// Speak TLS to the nodes, whose certificates this CA must have made.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// What is logged: a level, or as "portkeeper=debug,info".
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// Log JSON lines.
    #[arg(long)]
    log_json: bool,
}

impl RelayOptions {
    fn run(self) -> Result<String, Failure> {
        let Self { listen, listen_anywhere, nodes, ca, log, log_json } = self;
        let default = Log::default();
        let log = Log { json: log_json, filter: log.unwrap_or(default.filter) };
        relay::run(&relay::Options { listen, listen_anywhere, nodes, ca, log })
    }
}

#[derive(Args)]
struct Demo {
    /// One JSON object as the last line.
    #[arg(long)]
    json: bool,
    /// The same freeze with portkeeper, with a real Asterisk, and with a supervisor around that
    /// Asterisk; tests/peers/install.sh installs it.
    #[arg(long)]
    against_asterisk: bool,
    /// Leave sound and logs here. Without it: a new directory for temporary files.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Args)]
struct Sim {
    /// How many seeds.
    #[arg(long, default_value_t = 500)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// One JSON object as the last line.
    #[arg(long)]
    json: bool,
    /// Print everything that happens in these seeds, instead of a sum.
    #[arg(long, conflicts_with_all = ["json", "mutants"])]
    trace: bool,
    /// Plant known bugs, one after the other, and count those that are found (needs a build with
    /// `--features mutants`).
    #[arg(long, conflicts_with = "seeds")]
    mutants: bool,
    /// How many nodes the world has: 1, or 3 of a cluster.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=3))]
    nodes: u8,
}

#[derive(Subcommand)]
enum Bench {
    /// What calls cost, against the floor of the system calls.
    Media {
        /// Calls at once.
        #[arg(long, default_value_t = 1_000)]
        calls: u16,
        /// Seconds of calls, and as many of floor.
        #[arg(long, default_value_t = 10)]
        seconds: u32,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Processor time of a call, beside a real Asterisk that plays the same file;
    /// tests/peers/install.sh installs it.
    Peer {
        /// Calls at once.
        #[arg(long, default_value_t = 100)]
        calls: u32,
        /// Seconds for each of the two.
        #[arg(long, default_value_t = 15)]
        seconds: u32,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// What it takes to move all calls from an instance that hangs or dies to another one.
    PortSwitch {
        /// Ports, each with a call.
        #[arg(long, default_value_t = 100)]
        ports: u32,
        /// Hangs, and as many crashes.
        #[arg(long, default_value_t = 20)]
        runs: u32,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// What it takes until the other node of a cluster has ports and calls.
    Promotion {
        /// Voice ports.
        #[arg(long, default_value_t = 100)]
        ports: u32,
        /// Calls that are up.
        #[arg(long, default_value_t = 30)]
        calls: u32,
        /// Promotions.
        #[arg(long, default_value_t = 20)]
        runs: u32,
        /// Registrations that a node may begin in a second; 0: no pacing.
        #[arg(long, default_value_t = 0)]
        rate: u32,
        /// A switchover. Without any of the three: all of the primary's host is frozen.
        #[arg(long, conflicts_with_all = ["process", "power"])]
        planned: bool,
        /// SIGKILL to the primary's process, whose supervisor lives. After some of these it waits
        /// longer and longer, up to 15 s, before it starts the process again.
        #[arg(long, conflicts_with = "power")]
        process: bool,
        /// SIGKILL to all of the primary's host.
        #[arg(long)]
        power: bool,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// A person promotes the other node by telephone.
    PhonePromotion {
        /// Voice ports.
        #[arg(long, default_value_t = 100)]
        ports: u32,
        /// Promotions.
        #[arg(long, default_value_t = 20)]
        runs: u32,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// How fast a node registers all of its ports.
    Register {
        /// Ports that register.
        #[arg(long, default_value_t = 1_000)]
        ports: u32,
        /// Times that a node is started.
        #[arg(long, default_value_t = 5)]
        runs: u32,
        /// Registrations that the node may begin in a second; 0: no pacing.
        #[arg(long, default_value_t = 0)]
        rate: u32,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Healthy instances on a machine that has no time for them.
    FalseVerdicts {
        /// How long.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Threads that burn. Without it: one for each core.
        #[arg(long)]
        hogs: Option<usize>,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// How fast commands are answered and keys become events while every port is busy.
    Ari {
        /// Ports, each with a call.
        #[arg(long, default_value_t = 100)]
        ports: u32,
        /// How long.
        #[arg(long, default_value_t = 20)]
        seconds: u64,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// An instance that answers every ping and does no work.
    Livelock {
        /// Ports, each with a call.
        #[arg(long, default_value_t = 20)]
        ports: u32,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
struct DemoInstance {
    #[arg(long)]
    ari: SocketAddr,
    #[arg(long)]
    app: String,
    #[arg(long)]
    api_key: String,
    #[arg(long)]
    no_ack: bool,
    #[arg(long)]
    livelocked: bool,
    #[arg(long)]
    menu: Option<String>,
    #[arg(long)]
    steady: bool,
    #[arg(long)]
    over_http: bool,
    #[arg(long)]
    beats: bool,
    #[arg(long)]
    stands_by: bool,
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Report every fault of a file, each with its line and what to write.
    Check {
        /// The file.
        file: PathBuf,
    },
}

#[derive(Subcommand)]
enum Cluster {
    /// Make the cluster's CA and this node's certificate; once, on the first node.
    Init(OfNode),
    /// Print a token and let a node in with it, once, within ten minutes; where the CA is.
    Token {
        /// The node's name.
        node: String,
        /// Where it will dial. Without it: this node's link, one port higher.
        #[arg(long, value_name = "ADDRESS:PORT")]
        listen: Option<SocketAddr>,
        #[command(flatten)]
        of: OfNode,
    },
    /// Get this node's certificate, or a new one, from where `token` runs.
    Join {
        /// As it was printed there.
        #[arg(long)]
        token: String,
        /// As it was printed there.
        #[arg(value_name = "HOST:PORT")]
        address: String,
        #[command(flatten)]
        of: OfNode,
    },
    /// Make a new certificate for the node that has the CA.
    Renew(OfNode),
}

#[derive(Args)]
struct OfNode {
    /// Configuration of this node.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

#[derive(Args)]
struct Look {
    /// One JSON value instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    node: NodeSocket,
}

#[derive(Args)]
struct Drain {
    /// Name of the instance, as `portkeeper instances` shows it, or `node`.
    instance: String,
    /// Offer calls again.
    #[arg(long)]
    off: bool,
    #[command(flatten)]
    look: Look,
}

#[derive(Args)]
struct Rebind {
    /// Name of the call, index of its port, or the port's extension.
    target: String,
    #[command(flatten)]
    look: Look,
}

#[derive(Args)]
struct Promote {
    /// Name of the node; without it, the one that is asked.
    node: Option<String>,
    /// Without what makes it safe: who attests, in a few words, that no other node acts. Two
    /// primaries take each other's ports and calls.
    #[arg(long, value_name = "ATTESTATION")]
    force: Option<String>,
    /// The node's name once more, for scripts; without it, it is asked for.
    #[arg(long, value_name = "NODE", requires = "force")]
    confirm: Option<String>,
    #[command(flatten)]
    look: Look,
}

#[derive(Args)]
struct Switchover {
    /// Name of the node that shall be primary.
    to: String,
    /// Even if it says that it is not ready.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    look: Look,
}

#[derive(Args)]
struct NodeSocket {
    /// Socket of the node (`admin.socket` of its configuration). Without it: run/admin.sock if it
    /// is there, else /run/portkeeper/admin.sock.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

impl NodeSocket {
    fn ask(self, request: &Request) -> Result<String, Failure> {
        commands::ask(&self.path(), request)
    }

    fn path(&self) -> PathBuf {
        self.socket.clone().unwrap_or_else(commands::default_socket)
    }
}

impl Look {
    fn ask(self, request: impl FnOnce(Format) -> Request) -> Result<String, Failure> {
        let format = self.format();
        self.node.ask(&request(format))
    }

    const fn format(&self) -> Format {
        if self.json { Format::Json } else { Format::Text }
    }
}

impl Look {
    fn wish(self, wish: RoleWish) -> Result<String, Failure> {
        self.ask(|format| Request::Role { wish, format })
    }
}

fn main() -> ExitCode {
    match execute(Arguments::parse().command) {
        Ok(text) => {
            if !text.is_empty() {
                // Whoever reads may have seen enough, as `head` has: that is no failure.
                let _ = writeln!(io::stdout(), "{text}");
            }
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

fn execute(command: Command) -> Result<String, Failure> {
    match command {
        Command::Run { config, supervisor, ended } => {
            commands::run(&config, supervisor.map(|by| Supervised { by, ended }))
        }
        Command::Relay(options) => options.run(),
        Command::Demo(Demo { json, against_asterisk, out }) => {
            played(demo::run(&demo::Options { json, against_asterisk, out }))
        }
        Command::Bench(bench) => measured(bench),
        Command::Sim(sim) => sim.run(),
        Command::DemoInstance(instance) => instance.play(),
        Command::Config(ConfigCommand::Check { file }) => commands::check_config(&file),
        Command::Cluster(cluster) => cluster.run(),
        Command::Ledger(OfStore { config, json }) => ledger::ledger(&config, json),
        Command::Audit(Records { config, since, limit, json }) => {
            records::audit(&config, &Wanted { since, limit, json })
        }
        Command::Cdr(Records { config, since, limit, json }) => {
            records::cdr(&config, &Wanted { since, limit, json })
        }
        Command::Status(look) => look.ask(|format| Request::Status { format }),
        Command::Ports(look) => look.ask(|format| Request::Ports { format }),
        Command::Calls(look) => look.ask(|format| Request::Calls { format }),
        Command::Instances(look) => look.ask(|format| Request::Instances { format }),
        Command::Rebinds(look) => look.ask(|format| Request::Rebinds { format }),
        Command::Drain(Drain { instance, off, look }) if instance == "node" => {
            look.ask(|format| Request::DrainNode { on: !off, format })
        }
        Command::Drain(Drain { instance, off, look }) => {
            look.ask(|format| Request::Drain { instance, on: !off, format })
        }
        Command::Watch(node) => watch::watch(&node.path()),
        Command::Promote(Promote { node, force, confirm, look }) => {
            if force.is_some() {
                forced::confirm(&look.node.path(), node.as_deref(), confirm.as_deref())?;
            }
            look.wish(RoleWish::Promote { node, force })
        }
        Command::Switchover(Switchover { to, force, look }) => {
            look.wish(RoleWish::Switchover { to, force })
        }
        Command::Pause(look) => look.wish(RoleWish::Pause),
        Command::Resume(look) => look.wish(RoleWish::Resume),
        Command::Rejoin(look) => look.wish(RoleWish::Rejoin),
        Command::Release(look) => look.wish(RoleWish::Release),
        Command::SelfCall(look) => look.ask(|format| Request::SelfCall { format }),
        Command::Rebind(Rebind { target, look }) => {
            look.ask(|format| Request::Rebind { target, format })
        }
        Command::Agent(command) => command.run(),
    }
}

impl AgentCommand {
    fn run(self) -> Result<String, Failure> {
        match self {
            Self::Add(add) => add.run(),
            Self::List(look) => look.ask(|format| Request::AgentList { format }),
            Self::Disable(AgentOne { number, look }) => {
                look.ask(|format| Request::AgentDisable { number, format })
            }
            Self::Unlock(AgentOne { number, look }) => {
                look.ask(|format| Request::AgentUnlock { number, format })
            }
        }
    }
}

impl AgentAdd {
    fn run(self) -> Result<String, Failure> {
        let Self { number, name, extensions, callback, generate, look } = self;
        let pin = String::new().into();
        let agent = NewAgent { number, name, pin, extensions, callback };
        let format = look.format();
        agent::add(&look.node.path(), agent, generate, format)
    }
}

impl Cluster {
    fn run(self) -> Result<String, Failure> {
        match self {
            Self::Init(of) => enrol::init(&of.config),
            Self::Token { node, listen, of } => {
                enrol::token(&of.config, &node, listen, &mut |text| {
                    // Whoever shall copy it sees it while it is served.
                    let _ = writeln!(io::stdout(), "{text}");
                })
            }
            Self::Join { token, address, of } => enrol::join(&of.config, &token, &address),
            Self::Renew(of) => enrol::renew(&of.config),
        }
    }
}

impl Sim {
    fn run(self) -> Result<String, Failure> {
        let Self { seeds, from, json, trace, mutants, nodes } = self;
        let options = simulation::Options { seeds, from, json };
        let good = match nodes {
            #[cfg(feature = "mutants")]
            _ if mutants => simulation::hunt(json),
            #[cfg(not(feature = "mutants"))]
            _ if mutants => {
                let text = "this program has no planted bugs; build it with --features mutants";
                return Err(Failure::Refused(text.to_owned()));
            }
            1 if trace => simulation::trace(from, seeds),
            1 => simulation::run(options),
            3 if trace => simulation::trio::trace(from, seeds),
            3 => simulation::trio::run(options),
            _ => return Err(Failure::Refused("a world has 1 node, or 3".to_owned())),
        };
        let refused = || Failure::Refused("the simulation found something wrong".to_owned());
        good.then(String::new).ok_or_else(refused)
    }
}

impl DemoInstance {
    fn play(self) -> Result<String, Failure> {
        let play = Play {
            ari: self.ari,
            application: self.app,
            api_key: self.api_key,
            acknowledges: !self.no_ack,
            livelocked: self.livelocked,
            habits: Habits {
                menu: self.menu,
                steady: self.steady,
                over_http: self.over_http,
                beats: self.beats,
                stands_by: self.stands_by,
            },
        };
        instance::run(play).map(|()| String::new()).map_err(|e| Failure::Node(e.to_string()))
    }
}

fn measured(bench: Bench) -> Result<String, Failure> {
    let nothing_lost = match bench {
        Bench::PortSwitch { ports, runs, json } => {
            let report = port_switch::run(port_switch::Options { ports, runs, json });
            report.map(|report| report.nothing_lost())
        }
        Bench::Promotion { ports, calls, runs, rate, planned, process, power, json } => {
            let loss = match (planned, process, power) {
                (true, ..) => Loss::Planned,
                (_, true, _) => Loss::Process,
                (.., true) => Loss::Power,
                _ => Loss::Host,
            };
            let options = promotion::Options { ports, calls, runs, loss, rate, json };
            promotion::run(options).map(|report| report.outcome.nothing_lost())
        }
        Bench::PhonePromotion { ports, runs, json } => {
            let report = phone_promotion::run(phone_promotion::Options { ports, runs, json });
            report.map(|report| report.failed == 0)
        }
        Bench::Media { calls, seconds, json } => {
            media::run(media::Options { calls, seconds, json }).map(|_| true)
        }
        Bench::Register { ports, runs, rate, json } => {
            register::run(register::Options { ports, runs, rate, json }).map(|_| true)
        }
        Bench::FalseVerdicts { seconds, hogs, json } => {
            let report = false_verdicts::run(false_verdicts::Options { seconds, hogs, json });
            report.map(|report| report.none_was_false())
        }
        Bench::Ari { ports, seconds, json } => {
            let report = ari::run(ari::Options { ports, seconds, json });
            report.map(|report| report.nothing_lost())
        }
        Bench::Livelock { ports, json } => {
            let report = livelock::run(livelock::Options { ports, json });
            report.map(|report| report.nothing_lost())
        }
        Bench::Peer { calls, seconds, json } => {
            peer::run(peer::Options { calls, seconds, json }).map(|_| true)
        }
    };
    played(nothing_lost)
}

/// What no play may end with.
const LOSS: &str = "a call or a digit was lost or doubled, or a verdict was false";

/// A play has ended: well, or with something lost.
fn played(outcome: io::Result<bool>) -> Result<String, Failure> {
    match outcome {
        Ok(true) => Ok(String::new()),
        Ok(false) => Err(Failure::Refused(LOSS.to_owned())),
        Err(error) => Err(Failure::Node(error.to_string())),
    }
}
