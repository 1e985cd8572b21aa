//! Claims about files of recordings.

#![expect(clippy::disallowed_methods, reason = "reads what was written")]

use std::fs;

use super::*;

fn at(ms: u64) -> crate::timers::Instant {
    crate::timers::Instant::from_nanos(ms * 1_000_000)
}

fn file(directory: &Path, name: &str) -> io::Result<File> {
    File::create(directory, name, IfExists::Fail, PortId(3), at(0))
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    entries.map(|e| e.expect("an entry").file_name().into_string().expect("UTF-8")).collect()
}

#[test]
fn a_recording_has_its_name_only_when_it_is_whole() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut file = file(directory.path(), "hello").expect("created");
    file.write(&[1_000; SAMPLES], at(20)).expect("written");
    assert!(names(directory.path()).iter().all(|name| name.ends_with(".part")));
    file.finish().expect("finished");
    assert_eq!(names(directory.path()), ["hello.wav"]);
    let read = hound::WavReader::open(directory.path().join("hello.wav")).expect("a WAV file");
    assert_eq!((read.spec().sample_rate, read.duration()), (8_000, 160));
    assert!(read.into_samples::<i16>().all(|sample| sample.expect("a sample") == 1_000));
}

#[test]
fn a_crash_leaves_what_was_recorded_up_to_a_second_before() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut file = file(directory.path(), "hello").expect("created");
    for n in 1..=75 {
        file.write(&[7; SAMPLES], at(n * 20)).expect("written");
    }
    let hidden = directory.path().join(&names(directory.path())[0]);
    let seen = hound::WavReader::open(hidden).expect("playable while it is written");
    assert_eq!(seen.duration(), 8_000);
}

#[test]
fn a_recording_that_failed_leaves_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    drop(file(directory.path(), "hello").expect("created"));
    assert_eq!(names(directory.path()), Vec::<String>::new());
}

#[test]
fn names_that_leave_the_directory_or_are_taken_are_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let long = "x".repeat(201);
    for name in ["", ".", "..", "../x", "a/b", "a\\b", "a\0b", ".hidden", &long] {
        assert!(file(directory.path(), name).is_err(), "{name:?}");
    }
    fs::write(directory.path().join("taken.wav"), b"mine").expect("written");
    assert!(file(directory.path(), "taken").is_err());
    assert_eq!(names(directory.path()), ["taken.wav"]);
}

#[test]
fn two_recordings_of_one_name_do_not_overwrite_each_other() {
    let directory = tempfile::tempdir().expect("a directory");
    let create = |port| File::create(directory.path(), "same", IfExists::Fail, port, at(0));
    let first = create(PortId(1)).expect("created");
    let second = create(PortId(2)).expect("created");
    assert!(first.finish().is_ok());
    assert!(second.finish().is_err());
    assert_eq!(names(directory.path()), ["same.wav"]);
}

/// Writes 20 ms of one level under a name that may be taken; what the file of that name holds.
fn again(directory: &Path, if_exists: IfExists, level: i16) -> io::Result<Vec<i16>> {
    let mut file = File::create(directory, "same", if_exists, PortId(3), at(0))?;
    file.write(&[level; SAMPLES], at(20))?;
    file.finish()?;
    let read = hound::WavReader::open(directory.join("same.wav")).expect("a WAV file");
    Ok(read.into_samples().map(|sample| sample.expect("a sample")).collect())
}

#[test]
fn a_recording_takes_the_place_of_an_older_one_or_goes_on_where_it_ends() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    assert_eq!(again(path, IfExists::Append, 1).expect("the first"), [1; SAMPLES]);
    let both = [[1; SAMPLES], [2; SAMPLES]].concat();
    assert_eq!(again(path, IfExists::Append, 2).expect("appended"), both);
    assert_eq!(again(path, IfExists::Overwrite, 3).expect("replaced"), [3; SAMPLES]);
    let dropped = File::create(path, "same", IfExists::Append, PortId(3), at(0));
    drop(dropped.expect("created"));
    assert_eq!(names(path), ["same.wav"], "one that fails leaves the older as it was");
    assert_eq!(
        again(path, IfExists::Fail, 4).expect_err("taken").to_string(),
        "entity already exists"
    );
    fs::write(path.join("same.wav"), b"no sound").expect("written");
    assert!(again(path, IfExists::Append, 5).is_err(), "there is nothing to append to");
    let long = fs::OpenOptions::new().write(true).open(path.join("same.wav")).expect("there");
    long.set_len(3_600 * 16_000 + 1).expect("a sparse file");
    let error = again(path, IfExists::Append, 6).expect_err("too long to copy");
    assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    assert_eq!(names(path), ["same.wav"]);
}

/// Records 20 ms that end in this way; the file names that are left when the node hears of it.
fn recorded(end: RecordingEnd) -> Vec<String> {
    let directory = tempfile::tempdir().expect("a directory");
    let (sender, mut receiver) = tokio::sync::mpsc::channel(8);
    let mailbox = Arc::new(Mailbox::new(8));
    let (recorder, mut queues) =
        Recorder::start(directory.path(), &[Arc::clone(&mailbox)], Arc::new(sender))
            .expect("a thread");
    let (port, call, id) = (PortId(5), CallId(9), MediaId(1));
    let push = |queue: &mut Outbound<Item>, item| {
        queue.push(item).expect("room");
        recorder.thread().unpark();
    };
    let queue = &mut queues[0];
    push(
        queue,
        Item::Begin { port, id: (call, id), name: "hello".into(), if_exists: IfExists::Fail },
    );
    push(queue, Item::Sound { port, id: (call, id), samples: [5; SAMPLES] });
    let event = Event::RecordingFinished { id, end, duration_ms: 20 };
    push(queue, Item::End(Report { port, call, at: at(0), event: event.clone() }));
    let report = receiver.blocking_recv().expect("a report");
    assert_eq!((report.port, report.event), (port, event));
    names(directory.path())
}

#[test]
fn the_node_hears_of_a_recording_when_its_file_can_be_read() {
    assert_eq!(recorded(RecordingEnd::Stopped), ["hello.wav"]);
}

#[test]
fn a_recording_that_was_discarded_leaves_nothing() {
    assert_eq!(recorded(RecordingEnd::Discarded), Vec::<String>::new());
}

#[test]
fn a_directory_that_is_missing_fails_the_recording_and_tells_the_port() {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(8);
    let mailbox = Arc::new(Mailbox::new(8));
    let missing = Path::new("/nonexistent/recordings");
    let (recorder, mut queues) =
        Recorder::start(missing, &[Arc::clone(&mailbox)], Arc::new(sender)).expect("a thread");
    let (port, call, id) = (PortId(5), CallId(9), MediaId(1));
    queues[0]
        .push(Item::Begin { port, id: (call, id), name: "hello".into(), if_exists: IfExists::Fail })
        .expect("room");
    let event = Event::RecordingFinished { id, end: RecordingEnd::Stopped, duration_ms: 20 };
    queues[0].push(Item::End(Report { port, call, at: at(0), event })).expect("room");
    recorder.thread().unpark();
    let report = receiver.blocking_recv().expect("a report");
    let end = RecordingEnd::Failed;
    assert_eq!(report.event, Event::RecordingFinished { id, end, duration_ms: 20 });
    let mut told = VecDeque::new();
    mailbox.take(&mut told);
    let Some(Message::RecordingFailed(to, of, which)) = told.pop_front() else {
        panic!("the port is not told");
    };
    assert_eq!((to, of, which), (port, call, id));
}
