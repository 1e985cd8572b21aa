//! The file on a real disk, in one process; what processes and disks do to it is in `tests/store`.

#![expect(clippy::disallowed_methods, reason = "spoils files")]

use std::collections::BTreeMap;
use std::fs;
use std::sync::mpsc::{self, Receiver};

use tempfile::TempDir;

use super::*;
use crate::ids::{CallId, Epoch, PortId};
use crate::store::{
    Action, Agent, Agents, Audit, Body, Cdr, Fact, FactId, Lane, Pin, Solo, Standing, Stream, Vote,
    Who,
};

const ME: NodeId = NodeId(0);

struct Bench {
    directory: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory") }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("node.db")
    }

    fn open(&self) -> (Store, Loaded, Receiver<Event>) {
        let (events, heard) = mpsc::channel();
        let (store, loaded) = Store::open(&self.path(), ME, events).expect("it opens");
        (store, loaded, heard)
    }

    fn refused(&self) -> Error {
        Store::open(&self.path(), ME, mpsc::channel().0).map(|_| ()).expect_err("refused")
    }
}

fn lane(boot: u32, stream: Stream) -> Lane {
    Lane { node: ME, boot, stream }
}

fn fact(lane: Lane, counter: u64, body: Body) -> Fact {
    let id = FactId { lane, counter };
    Fact { id, epoch: Epoch(1), unix_ms: clock::unix_ms(), body }
}

fn cdr(boot: u32, counter: u64, call: u64, takeovers: u32) -> Fact {
    let cdr = Cdr {
        call: CallId(call),
        port: PortId(1),
        extension: "201".to_owned(),
        party: "300".to_owned().into(),
        outbound: false,
        began_unix_ms: 0,
        answered_ms: None,
        duration_ms: 5,
        cause: "normal".to_owned(),
        rebinds: 0,
        takeovers,
    };
    fact(lane(boot, Stream::Calls), counter, Body::Cdr(cdr))
}

fn audit(counter: u64, action: Action, result: Result<(), String>) -> Fact {
    let who = Who::Agent { number: "4711".to_owned(), extension: "200".to_owned().into() };
    fact(lane(1, Stream::Control), counter, Body::Audit(Audit { who, action, result }))
}

fn agent(counter: u64) -> Fact {
    let pin = Pin { salt: vec![1; 16].into(), hash: vec![2; 32].into() };
    let agent = Agent {
        number: "4711".to_owned(),
        name: "Ada".to_owned(),
        standing: Standing::Enabled,
        pin,
        extensions: Vec::new(),
        callback: false,
    };
    fact(lane(1, Stream::Control), counter, Body::Agent(agent))
}

fn persisted(heard: &Receiver<Event>, tickets: impl Iterator<Item = u64>) {
    for ticket in tickets {
        assert_eq!(heard.recv(), Ok(Event::Persisted(Ticket(ticket))));
    }
}

fn write(store: &Store, facts: impl IntoIterator<Item = Fact>) {
    for (ticket, fact) in (1..).zip(facts) {
        store.write(Ticket(ticket), Record::Fact(Box::new(fact))).expect("room");
    }
}

#[test]
fn what_was_persisted_is_there_at_the_next_start_and_tickets_come_in_order() {
    let bench = Bench::new();
    let (store, first, heard) = bench.open();
    let vote = Vote {
        promised: Epoch(u64::MAX),
        solo: Some(Solo { node: ME, epoch: Epoch(2), counter: 3, on: true }),
        ..Vote::default()
    };
    write(&store, (1..=600).map(|n| cdr(1, n, n, 0)));
    store.write(Ticket(601), Record::Vote(vote)).expect("room");
    persisted(&heard, 1..=601);
    drop(store);
    assert!(heard.recv().is_err(), "nothing fails at an orderly stop");
    let (store, second, _) = bench.open();
    assert!(second.boot > first.boot);
    assert_eq!((first.vote, second.vote), (Vote::default(), vote));
    assert_eq!(second.marks, BTreeMap::from([(lane(1, Stream::Calls), 600)]));
    let reader = store.reader().expect("a reader");
    let facts = reader.facts(lane(1, Stream::Calls), 597, 2).expect("readable");
    assert_eq!(facts.iter().map(|fact| fact.id.counter).collect::<Vec<_>>(), [598, 599]);
}

#[test]
fn a_fact_that_is_there_stays_as_it_is_and_one_out_of_order_ends_the_store() {
    let bench = Bench::new();
    let (store, _, heard) = bench.open();
    write(&store, [cdr(1, 1, 7, 0), cdr(1, 1, 8, 0)]);
    persisted(&heard, 1..=2);
    let facts = store.reader().expect("a reader").facts(lane(1, Stream::Calls), 0, 9);
    let Ok([Fact { body: Body::Cdr(cdr), .. }]) = facts.as_deref() else { panic!("{facts:?}") };
    assert_eq!(cdr.call, CallId(7));
    write(&store, [self::cdr(1, 3, 9, 0)]);
    let id = FactId { lane: lane(1, Stream::Calls), counter: 3 };
    assert_eq!(heard.recv(), Ok(Event::Failed(Error::Order { fact: id })));
    assert!(heard.recv().is_err(), "and nothing after that");
    let again = store.write(Ticket(9), Record::Vote(Vote::default()));
    assert_eq!(again, Err(Refused::Failed));
}

#[test]
fn a_start_never_has_the_number_of_one_before_even_if_the_file_was_lost() {
    let bench = Bench::new();
    let boots = [(); 3].map(|()| bench.open().1.boot);
    assert!(boots.is_sorted_by(|a, b| a < b), "{boots:?}");
    fs::remove_file(bench.path()).expect("there");
    let seconds = clock::unix_ms() / 1_000 - 1_577_836_800;
    let lost = bench.open().1.boot;
    assert!(u64::from(lost) >= seconds && lost >= boots[0], "{lost}");
}

#[test]
fn what_locks_an_agent_is_loaded_however_old_it_is() {
    let bench = Bench::new();
    let (store, _, heard) = bench.open();
    let failed = (2..=11).map(|n| {
        let mut fact = audit(n, Action::Login, Err("wrong PIN".to_owned()));
        fact.unix_ms -= 1_000 * 24 * 3_600 * 1_000;
        fact
    });
    write(&store, [agent(1)].into_iter().chain(failed));
    persisted(&heard, 1..=11);
    drop(store);
    let mut agents = Agents::default();
    bench.open().1.facts.iter().for_each(|fact| agents.apply(fact));
    let locked = crate::store::Access::Locked { until_unix_ms: None };
    assert_eq!(agents.standing("4711", "200", clock::unix_ms()), locked);
}

#[test]
fn the_last_pause_is_loaded_however_old_it_is() {
    let bench = Bench::new();
    let (store, _, heard) = bench.open();
    let orders = [(1, true), (2, false), (3, true)].map(|(n, on)| {
        let mut fact = audit(n, Action::Pause(on), Ok(()));
        fact.unix_ms -= (1_000 - n) * 24 * 3_600 * 1_000;
        fact
    });
    write(&store, orders.clone());
    persisted(&heard, 1..=3);
    drop(store);
    assert_eq!(bench.open().1.facts, orders[2..]);
}

#[test]
fn two_cdrs_of_one_call_are_listed_as_one_and_late_facts_as_late() {
    let bench = Bench::new();
    let (store, _, heard) = bench.open();
    write(&store, [cdr(1, 1, 7, 0), cdr(1, 2, 8, 0), cdr(1, 3, 7, 1)]);
    store.write(Ticket(4), Record::Late(Box::new(cdr(1, 4, 9, 0)))).expect("room");
    persisted(&heard, 1..=4);
    let cdrs = store.reader().and_then(|reader| reader.cdrs(0, 100)).expect("readable");
    let seen: Vec<_> = cdrs.iter().map(|entry| (entry.fact.id.counter, entry.late)).collect();
    assert_eq!(seen, [(4, true), (3, false), (2, false)], "newest first");
    let cdrs = store.reader().and_then(|reader| reader.cdrs(0, 2)).expect("readable");
    let seen: Vec<_> = cdrs.iter().map(|entry| entry.fact.id.counter).collect();
    assert_eq!(seen, [4, 3]);
}

#[test]
fn a_changed_a_missing_and_a_cut_off_fact_break_the_chain() {
    let bench = Bench::new();
    let (store, _, heard) = bench.open();
    write(&store, (1..=5).map(|n| audit(n, Action::Drill, Ok(()))));
    persisted(&heard, 1..=5);
    let reader = store.reader().expect("a reader");
    assert_eq!(reader.verify(), Ok(Verified { facts: 5, broken: Vec::new() }));
    drop(store);
    let lane = lane(1, Stream::Control);
    for (sql, counter, what) in [
        ("DELETE FROM fact WHERE counter = 5", 5, "is missing at the end"),
        (
            "UPDATE fact SET fact = replace(fact, 'Drill', 'Login') WHERE counter = 4",
            4,
            "was changed",
        ),
        ("DELETE FROM fact WHERE counter = 2", 2, "is missing"),
    ] {
        let forger = rusqlite::Connection::open(bench.path()).expect("a file");
        assert_eq!(forger.execute(sql, []), Ok(1));
        let broken = vec![Broken { lane, counter, what }];
        assert_eq!(reader.verify(), Ok(Verified { facts: counter - 1, broken }));
    }
}

#[test]
fn a_copy_that_is_made_while_the_node_writes_is_a_store() {
    let bench = Bench::new();
    let (store, loaded, heard) = bench.open();
    write(&store, (1..=400).map(|n| cdr(1, n, n, 0)));
    persisted(&heard, 1..=200);
    let copy = Bench::new();
    store.reader().and_then(|reader| reader.backup(&copy.path())).expect("copied");
    persisted(&heard, 201..=400);
    let (_, copied, _) = copy.open();
    assert!(copied.boot > loaded.boot);
    assert!(copied.marks[&lane(1, Stream::Calls)] >= 200, "{:?}", copied.marks);
}

#[test]
fn each_fault_of_a_file_says_what_to_do_and_leaves_the_file_alone() {
    let bench = Bench::new();
    let store = bench.open();
    let process = format!("process {}", std::process::id());
    let path = bench.path();
    assert_eq!(bench.refused(), Error::Locked { path: path.clone(), process });
    drop(store);

    let other = Store::open(&path, NodeId(1), mpsc::channel().0).map(|_| ()).expect_err("refused");
    let of_others = Error::OtherNode { path: path.clone(), found: ME, wanted: NodeId(1) };
    assert_eq!(other, of_others);

    rusqlite::Connection::open(&path)
        .and_then(|connection| connection.pragma_update(None, "user_version", 99))
        .expect("set");
    let newer = Error::Newer { path: path.clone(), found: 99, known: schema::VERSION };
    assert_eq!(bench.refused(), newer);

    let texts: [&[u8]; 2] =
        [b"SQLite format 3, but not really; a text file of somebody", &[7; 900]];
    for text in texts {
        fs::write(&path, text).expect("written");
        assert_eq!(bench.refused(), Error::Foreign { path: path.clone() });
        assert_eq!(fs::read(&path).expect("readable"), text);
    }
    fs::remove_file(&path).expect("there");
    rusqlite::Connection::open(&path)
        .and_then(|connection| connection.execute_batch("CREATE TABLE mine (a)"))
        .expect("a file of somebody");
    assert_eq!(bench.refused(), Error::Foreign { path });
}

#[test]
fn a_damaged_page_is_found_after_a_stop_that_was_none() {
    let bench = Bench::new();
    let (store, _, heard) = bench.open();
    write(&store, (1..=600).map(|n| cdr(1, n, n, 0)));
    persisted(&heard, 1..=600);
    drop(store);
    let connection = rusqlite::Connection::open(bench.path()).expect("a file");
    connection.execute("UPDATE node SET clean = 0", []).expect("set");
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("copied");
    drop(connection);
    let mut bytes = fs::read(bench.path()).expect("readable");
    let middle = (bytes.len() / 2) & !4_095;
    bytes[middle..middle + 2_000].fill(0x5a);
    fs::write(bench.path(), bytes).expect("written");
    let error = bench.refused();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
}
