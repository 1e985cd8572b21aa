//! The process that writes until it is killed or its disk fails, and says what is durable.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use portkeeper::driver::sqlite::{Event, Store};
use portkeeper::ids::{CallId, Epoch, NodeId, PortId};
use portkeeper::store::{
    Action, Audit, Body, Cdr, Fact, FactId, Lane, Record, Stream, Ticket, Vote, Who,
};

/// Names the directory, and thereby says that a writer is wanted.
pub const DIRECTORY: &str = "PORTKEEPER_STORE_WRITER";
pub const ME: NodeId = NodeId(0);

/// Records on their way to the disk.
const WINDOW: u64 = 24;
/// Makes a fact span pages now and then.
const FILLER: &str = "a sentence that fills a page; ";

pub fn path(directory: &Path) -> PathBuf {
    directory.join("node.db")
}

pub fn is_wanted() -> bool {
    std::env::var_os(DIRECTORY).is_some()
}

/// What the `n`th record is.
fn record(boot: u32, n: u64) -> (&'static str, Record) {
    let turn = n / 3 + 1;
    match n % 3 {
        0 => ("calls", Record::Fact(Box::new(cdr(boot, turn)))),
        1 => ("control", Record::Late(Box::new(audit(boot, turn)))),
        _ => ("vote", Record::Vote(Vote { promised: Epoch(turn), ..Vote::default() })),
    }
}

fn fact(boot: u32, counter: u64, stream: Stream, body: Body) -> Fact {
    let id = FactId { lane: Lane { node: ME, boot, stream }, counter };
    Fact { id, epoch: Epoch(counter), unix_ms: counter, body }
}

fn cdr(boot: u32, counter: u64) -> Fact {
    let cdr = Cdr {
        call: CallId(counter),
        port: PortId(1),
        extension: "201".to_owned(),
        party: "300".to_owned().into(),
        outbound: false,
        began_unix_ms: counter,
        answered_ms: None,
        duration_ms: counter,
        cause: FILLER.repeat((counter % 40) as usize),
        rebinds: 0,
        takeovers: 0,
    };
    fact(boot, counter, Stream::Calls, Body::Cdr(cdr))
}

fn audit(boot: u32, counter: u64) -> Fact {
    let who = Who::Operator(FILLER.repeat((counter % 300) as usize));
    let audit = Audit { who, action: Action::Drill, result: Ok(()) };
    fact(boot, counter, Stream::Control, Body::Audit(audit))
}

/// Whether a fact is exactly what a writer wrote.
pub fn is_whole(seen: &Fact) -> bool {
    let FactId { lane: Lane { boot, stream, .. }, counter } = seen.id;
    let written = match stream {
        Stream::Calls => cdr(boot, counter),
        Stream::Control => audit(boot, counter),
    };
    *seen == written
}

/// Writes until it is killed, or until the disk fails.
pub fn write() {
    let directory = PathBuf::from(std::env::var_os(DIRECTORY).expect("set by the test"));
    let (events, heard) = mpsc::channel();
    let (store, loaded) = match Store::open(&path(&directory), ME, events) {
        Ok(opened) => opened,
        Err(error) => return println!("\nrefused {error}"),
    };
    println!("\nboot {}", loaded.boot);
    let (mut written, mut durable) = (0, 0);
    loop {
        while written < durable + WINDOW {
            let (_, record) = record(loaded.boot, written);
            if store.write(Ticket(written), record).is_err() {
                break;
            }
            written += 1;
        }
        match heard.recv() {
            Ok(Event::Persisted(Ticket(n))) => {
                assert_eq!(n, durable, "in order");
                durable += 1;
                say(loaded.boot, n);
            }
            Ok(Event::Failed(error)) => {
                println!("failed {error}");
                return go_on(&store, &heard, loaded.boot);
            }
            Err(_) => return println!("failed without a word"),
        }
    }
}

fn say(boot: u32, n: u64) {
    println!("{} {}", record(boot, n).0, n / 3 + 1);
}

/// A store that has failed says nothing more, whatever it is given.
fn go_on(store: &Store, heard: &Receiver<Event>, boot: u32) {
    for n in 0..100 {
        let _ = store.write(Ticket(n), record(boot, n).1);
    }
    while let Ok(Event::Persisted(Ticket(n))) = heard.recv_timeout(Duration::from_millis(200)) {
        say(boot, n);
    }
}
