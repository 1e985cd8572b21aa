//! The store as a real process on a real disk: killed at any moment, with a torn log, on a full
//! and on a read-only disk. What it said is durable is there afterwards, whole and in order.
//!
//! A test starts itself once more as the process that is killed: its environment tells it so.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "plays with real processes and files"
)]

mod writer;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use portkeeper::driver::sqlite::{Error, Store, Verified};
use portkeeper::ids::NodeId;
use portkeeper::stage::node::pause;
use portkeeper::store::{Lane, Loaded, Stream};

use writer::{ME, path};

/// Kills in one run; the long run sets another number.
const KILLS: &str = "PORTKEEPER_STORE_KILLS";

/// Numbers that differ, the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// This program as a writer in `directory`, called by `wrapper`, a shell command that ends with
/// `"$@"`.
fn start(test: &str, directory: &Path, wrapper: &str) -> Child {
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new("sh");
    command.args(["-c", wrapper, "sh"]).arg(program).args(["--exact", test, "--nocapture"]);
    command.env(writer::DIRECTORY, directory).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().expect("it starts")
}

/// What a writer said of itself.
#[derive(Debug, Default)]
struct Said {
    boot: u32,
    /// The last fact of each stream, and the last vote, that it called durable.
    calls: u64,
    control: u64,
    vote: u64,
    failed: Option<String>,
    refused: Option<String>,
    after_failure: u32,
}

impl Said {
    fn hear(&mut self, line: &str) {
        let Some((what, rest)) = line.split_once(' ') else { return };
        let number = rest.parse().unwrap_or(0);
        let durable = match what {
            "boot" => return self.boot = number as u32,
            "failed" => return self.failed = Some(rest.to_owned()),
            "refused" => return self.refused = Some(rest.to_owned()),
            "calls" => &mut self.calls,
            "control" => &mut self.control,
            "vote" => &mut self.vote,
            _ => return,
        };
        assert_eq!(number, *durable + 1, "durable in order: {line}");
        *durable = number;
        self.after_failure += u32::from(self.failed.is_some());
    }

    fn to_the_end(mut child: Child) -> Self {
        let mut text = String::new();
        let mut out = child.stdout.take().expect("piped");
        out.read_to_string(&mut text).expect("UTF-8");
        child.wait().expect("a child");
        let mut said = Self::default();
        text.lines().for_each(|line| said.hear(line));
        said
    }

    /// Hears `lines` of them, waits a moment, kills, and hears what was said in the meantime.
    fn until_killed(mut child: Child, lines: u64, moment: Duration) -> Self {
        let mut said = Self::default();
        let mut out = BufReader::new(child.stdout.take().expect("piped")).lines();
        for line in out.by_ref().map_while(Result::ok).take(lines as usize) {
            said.hear(&line);
        }
        pause(moment);
        child.kill().expect("its own child");
        out.map_while(Result::ok).for_each(|line| said.hear(&line));
        child.wait().expect("a child");
        said
    }
}

fn open(directory: &Path) -> Result<(Store, Loaded), Error> {
    Store::open(&path(directory), ME, mpsc::channel().0)
}

/// Every fact of a store, by lane: whole, in order, without a hole, with its chain.
fn whole(store: &Store, loaded: &Loaded) -> BTreeMap<Lane, u64> {
    let reader = store.reader().expect("a reader");
    let mut facts = 0;
    for (&lane, &mark) in &loaded.marks {
        let read = reader.facts(lane, 0, u32::MAX).expect("readable");
        let counters = read.iter().map(|fact| fact.id.counter);
        assert!(counters.eq(1..=mark), "{lane:?} has a hole");
        assert!(read.iter().all(writer::is_whole), "{lane:?} has half a fact");
        facts += mark;
    }
    assert_eq!(reader.verify(), Ok(Verified { facts, broken: Vec::new() }));
    loaded.marks.clone()
}

fn mark(marks: &BTreeMap<Lane, u64>, boot: u32, stream: Stream) -> u64 {
    marks.get(&Lane { node: ME, boot, stream }).copied().unwrap_or(0)
}

fn is_kept(said: &Said, directory: &Path) -> u32 {
    let (store, loaded) = open(directory).expect("it opens after anything");
    let marks = whole(&store, &loaded);
    assert!(mark(&marks, said.boot, Stream::Calls) >= said.calls, "{said:?} {marks:?}");
    assert!(mark(&marks, said.boot, Stream::Control) >= said.control, "{said:?} {marks:?}");
    assert!(loaded.vote.promised.0 >= said.vote, "{said:?} {:?}", loaded.vote);
    loaded.boot
}

#[test]
fn nothing_that_was_called_durable_is_lost_to_kill_9() {
    if writer::is_wanted() {
        return writer::write();
    }
    let kills = std::env::var(KILLS).ok().and_then(|n| n.parse().ok()).unwrap_or(25);
    let directory = tempfile::tempdir().expect("a directory");
    let (mut dice, mut last_boot, mut durable) = (Dice(0x5eed), 0, 0);
    for _ in 0..kills {
        let test = "nothing_that_was_called_durable_is_lost_to_kill_9";
        let child = start(test, directory.path(), r#"exec "$@""#);
        let (lines, moment) = (dice.below(400), Duration::from_micros(dice.below(30_000)));
        let said = Said::until_killed(child, lines, moment);
        let boot = is_kept(&said, directory.path());
        assert!(boot > last_boot && (said.boot == 0 || said.boot < boot), "{said:?} {boot}");
        last_boot = boot;
        durable += said.calls + said.control + said.vote;
    }
    assert!(durable > kills * 20, "the writers wrote: {durable}");
}

/// The store's files without the one that a start makes anew.
fn copy(from: &Path, to: &Path) -> PathBuf {
    for name in ["node.db", "node.db-wal"] {
        fs::copy(from.join(name), to.join(name)).expect("a file");
    }
    to.join("node.db-wal")
}

#[test]
fn a_torn_log_never_gives_half_a_fact_or_an_old_start() {
    if writer::is_wanted() {
        return writer::write();
    }
    let written = tempfile::tempdir().expect("a directory");
    let test = "a_torn_log_never_gives_half_a_fact_or_an_old_start";
    let child = start(test, written.path(), r#"exec "$@""#);
    let said = Said::until_killed(child, 1_500, Duration::ZERO);
    let (mut dice, mut opened, mut shortened) = (Dice(0x7011), 0, 0);
    for round in 0..40 {
        let torn = tempfile::tempdir().expect("a directory");
        let log = copy(written.path(), torn.path());
        let mut bytes = fs::read(&log).expect("readable");
        let place = dice.below(bytes.len() as u64) as usize;
        if round % 2 == 0 {
            bytes.truncate(place);
        } else {
            bytes[place] ^= 1 << dice.below(8);
        }
        fs::write(&log, bytes).expect("written");
        match open(torn.path()) {
            Ok((store, loaded)) => {
                let marks = whole(&store, &loaded);
                assert!(loaded.boot > said.boot, "the number of a start was given twice");
                opened += 1;
                shortened += u32::from(mark(&marks, said.boot, Stream::Calls) < said.calls);
            }
            Err(error) => assert!(matches!(error, Error::Damaged { .. }), "{error}"),
        }
    }
    assert!(opened > 20 && shortened > 0, "{opened} opened, {shortened} with fewer facts");
}

#[test]
fn a_full_disk_ends_the_store_and_nothing_is_called_durable_after_that() {
    if writer::is_wanted() {
        return writer::write();
    }
    let test = "a_full_disk_ends_the_store_and_nothing_is_called_durable_after_that";
    let directory = tempfile::tempdir().expect("a directory");
    // No file may grow beyond 400 KiB, and a write that tries gets an error instead of a signal.
    let child = start(test, directory.path(), r#"trap '' XFSZ; ulimit -f 800; exec "$@""#);
    let said = Said::to_the_end(child);
    assert!(said.failed.is_some() && said.calls > 20, "{said:?}");
    assert_eq!(said.after_failure, 0, "{said:?}");
    is_kept(&said, directory.path());
}

/// Whether this user may mount in a name space of his own.
fn may_mount() -> bool {
    let unshare =
        Command::new("unshare").args(["-m", "mount", "-t", "tmpfs", "none", "/tmp"]).output();
    unshare.is_ok_and(|output| output.status.success())
}

#[test]
fn a_small_and_a_read_only_disk_are_called_what_they_are() {
    if writer::is_wanted() {
        return writer::write();
    }
    if !may_mount() {
        return println!("this user may not mount: the limit of a file stands for a full disk");
    }
    let test = "a_small_and_a_read_only_disk_are_called_what_they_are";
    let run = |options: &str| {
        let directory = tempfile::tempdir().expect("a directory");
        let mount = format!("mount -t tmpfs -o {options} none {}", directory.path().display());
        let wrapper = format!(r#"exec unshare -m sh -c '{mount} && exec "$@"' sh "$@""#);
        Said::to_the_end(start(test, directory.path(), &wrapper))
    };
    let small = run("size=1m");
    assert!(small.failed.as_ref().is_some_and(|error| error.contains("full")), "{small:?}");
    assert!(small.calls > 20 && small.after_failure == 0, "{small:?}");
    let tiny = run("size=8k");
    assert!(tiny.refused.as_ref().is_some_and(|error| error.contains("full")), "{tiny:?}");
    let read_only = run("ro");
    let refused = read_only.refused.as_ref();
    assert!(refused.is_some_and(|error| error.contains("read-only")), "{read_only:?}");
}

#[test]
fn a_second_process_is_told_which_one_has_the_store() {
    if writer::is_wanted() {
        return writer::write();
    }
    let test = "a_second_process_is_told_which_one_has_the_store";
    let directory = tempfile::tempdir().expect("a directory");
    let _store = open(directory.path()).expect("it opens");
    let said = Said::to_the_end(start(test, directory.path(), r#"exec "$@""#));
    let process = format!("process {}", std::process::id());
    assert!(said.refused.as_ref().is_some_and(|error| error.contains(&process)), "{said:?}");
}

#[test]
fn a_writer_of_another_node_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    drop(open(directory.path()).expect("it opens"));
    let other = Store::open(&path(directory.path()), NodeId(1), mpsc::channel().0);
    assert!(matches!(other, Err(Error::OtherNode { .. })));
}
