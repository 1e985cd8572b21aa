//! The command line: a thin table from arguments to [`portkeeper::driver::commands`].
//!
//! Exit codes: 0 done; 1 the configuration has errors, or the node refused; 2 wrong usage;
//! 3 no node answers; 4 a node could not start, or ended by itself.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is the command line")]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use portkeeper::admin::{Format, Request};
use portkeeper::driver::commands::{self, Failure};

#[derive(Parser)]
#[command(version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Work with configuration files.
    #[command(subcommand)]
    Config(ConfigCommand),
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
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Report every fault of a file, each with its line and what to write.
    Check {
        /// The file.
        file: PathBuf,
    },
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
    node: NodeSocket,
}

#[derive(Args)]
struct Rebind {
    /// Name of the call, index of its port, or the port's extension.
    target: String,
    #[command(flatten)]
    node: NodeSocket,
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
        commands::ask(&self.socket.unwrap_or_else(commands::default_socket), request)
    }
}

impl Look {
    fn ask(self, request: fn(Format) -> Request) -> Result<String, Failure> {
        let format = if self.json { Format::Json } else { Format::Text };
        self.node.ask(&request(format))
    }
}

fn main() -> ExitCode {
    match execute(Arguments::parse().command) {
        Ok(text) => {
            println!("{text}");
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
        Command::Config(ConfigCommand::Check { file }) => commands::check_config(&file),
        Command::Status(look) => look.ask(|format| Request::Status { format }),
        Command::Ports(look) => look.ask(|format| Request::Ports { format }),
        Command::Calls(look) => look.ask(|format| Request::Calls { format }),
        Command::Instances(look) => look.ask(|format| Request::Instances { format }),
        Command::Rebinds(look) => look.ask(|format| Request::Rebinds { format }),
        Command::Drain(Drain { instance, off, node }) if instance == "node" => {
            node.ask(&Request::DrainNode { on: !off })
        }
        Command::Drain(Drain { instance, off, node }) => {
            node.ask(&Request::Drain { instance, on: !off })
        }
        Command::Rebind(Rebind { target, node }) => node.ask(&Request::Rebind { target }),
    }
}
