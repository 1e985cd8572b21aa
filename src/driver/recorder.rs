//! The thread that writes recordings.
//!
//! Workers hand it 20 ms at a time and never wait for it. A recording is written under a hidden
//! name, with its header brought up to date once a second, so that a crash leaves a playable file;
//! at its end it is synchronised, takes its name, and only then does the node hear that it is
//! finished: whoever hears of a recording can read it. A file that cannot be written ends its
//! recording as failed; calls go on.

#![expect(clippy::disallowed_methods, reason = "threads live here")]

mod file;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, Thread};

use self::file::File;
use super::clock;
use super::mailbox::{Inbound, Mailbox, Message, Outbound, outbound};
use super::rtp_net::{EventSink, Report};
use crate::ids::{CallId, MediaId, PortId};
use crate::media::{Event, IfExists, RecordingEnd};
use crate::timers::Duration;

/// Things that wait from one worker: 100 ms of 800 recordings. Beyond it sound is lost and counted.
const QUEUED_MAX: usize = 4_096;

/// How often the queues are looked at while something is recorded.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Samples of a piece.
const SAMPLES: usize = 160;

/// Names a recording: numbers of media repeat from call to call.
pub(super) type RecordingId = (CallId, MediaId);

/// What a worker hands over.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a box for each piece of sound would allocate")]
pub(super) enum Item {
    Begin {
        port: PortId,
        id: RecordingId,
        name: Arc<str>,
        if_exists: IfExists,
    },
    Sound {
        port: PortId,
        id: RecordingId,
        samples: [i16; SAMPLES],
    },
    /// A recording is over: what to tell the node when its file is closed.
    End(Report),
}

impl Item {
    /// A piece of sound; `None` when it is none of 20 ms.
    pub(super) fn sound(port: PortId, id: RecordingId, samples: &[i16]) -> Option<Self> {
        Some(Self::Sound { port, id, samples: samples.try_into().ok()? })
    }

    /// The event of an [`Item::End`] that could not be handed over.
    pub(super) fn into_event(self) -> Event {
        match self {
            Self::End(report) => report.event,
            Self::Begin { id: (_, id), .. } | Self::Sound { id: (_, id), .. } => {
                let end = RecordingEnd::Failed;
                Event::RecordingFinished { id, end, duration_ms: 0 }
            }
        }
    }
}

/// The running thread. Dropping it, after the workers are gone, finishes every file.
#[derive(Debug)]
pub(super) struct Recorder {
    thread: Thread,
    handle: Option<JoinHandle<()>>,
    stopped: Arc<AtomicBool>,
}

impl Recorder {
    /// Starts it, with a queue for each worker.
    pub(super) fn start(
        directory: &Path,
        mailboxes: &[Arc<Mailbox>],
        events: Arc<dyn EventSink>,
    ) -> io::Result<(Self, Vec<Outbound<Item>>)> {
        let (outbounds, inbounds): (Vec<_>, Vec<_>) =
            mailboxes.iter().map(|_| outbound(QUEUED_MAX)).unzip();
        let stopped = Arc::new(AtomicBool::new(false));
        let mut writer = Writer {
            directory: directory.to_owned(),
            queues: inbounds.into_iter().zip(mailboxes.iter().cloned()).collect(),
            files: BTreeMap::new(),
            events,
            unsent: VecDeque::new(),
        };
        let stop = Arc::clone(&stopped);
        let handle = std::thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || writer.run(&stop))?;
        let thread = handle.thread().clone();
        Ok((Self { thread, handle: Some(handle), stopped }, outbounds))
    }

    /// For waking it up.
    pub(super) fn thread(&self) -> Thread {
        self.thread.clone()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        self.thread.unpark();
        if let Some(handle) = self.handle.take() {
            let _ = handle.join();
        }
    }
}

struct Writer {
    directory: PathBuf,
    queues: Vec<(Inbound<Item>, Arc<Mailbox>)>,
    files: BTreeMap<RecordingId, (PortId, Result<File, io::Error>)>,
    events: Arc<dyn EventSink>,
    unsent: VecDeque<Report>,
}

impl Writer {
    fn run(&mut self, stopped: &AtomicBool) {
        let mut buffers: Vec<_> = self.queues.iter().map(|(queue, _)| queue.buffer()).collect();
        loop {
            let stops = stopped.load(Ordering::Acquire);
            for (number, buffer) in buffers.iter_mut().enumerate() {
                self.queues[number].0.take(buffer);
                while let Some(item) = buffer.pop_front() {
                    self.handle(number, item);
                }
            }
            self.send_reports();
            if stops {
                return self.finish_all();
            }
            self.wait();
        }
    }

    /// The node goes down: what is recorded up to here is kept.
    fn finish_all(&mut self) {
        for (port, file) in std::mem::take(&mut self.files).into_values() {
            if let Err(error) = file.and_then(File::finish) {
                tracing::warn!(%port, %error, "a recording is lost at the end of the process");
            }
        }
    }

    fn wait(&self) {
        if self.files.is_empty() && self.unsent.is_empty() {
            std::thread::park();
        } else {
            std::thread::park_timeout(LOOK_EVERY);
        }
    }

    fn handle(&mut self, worker: usize, item: Item) {
        match item {
            Item::Begin { port, id, name, if_exists } => {
                let file = File::create(&self.directory, &name, if_exists, port, clock::now());
                self.keep(worker, port, id, file);
            }
            Item::Sound { port, id, samples } => {
                if let Some((_, Ok(file))) = self.files.get_mut(&id)
                    && let Err(error) = file.write(&samples, clock::now())
                {
                    self.keep(worker, port, id, Err(error));
                }
            }
            Item::End(report) => self.end(report),
        }
    }

    /// Keeps a file, or that it failed, until the recording ends; a failure ends it.
    fn keep(&mut self, worker: usize, port: PortId, id: RecordingId, file: io::Result<File>) {
        if let Err(error) = &file {
            tracing::warn!(%port, %error, "a recording cannot be written: check the directory");
            // A full mailbox means that the worker hangs, and with it the recording.
            let failed = Message::RecordingFailed(port, id.0, id.1);
            let _ = self.queues[worker].1.post(failed, u8::MAX);
        }
        self.files.insert(id, (port, file));
    }

    fn end(&mut self, mut report: Report) {
        if let Event::RecordingFinished { id, end, .. } = &mut report.event {
            let file = self.files.remove(&(report.call, *id)).map(|(_, file)| file);
            let closed = match file {
                // A file that is dropped unfinished is removed.
                Some(Ok(_)) if matches!(*end, RecordingEnd::Failed | RecordingEnd::Discarded) => {
                    Ok(())
                }
                Some(Ok(file)) => file.finish(),
                Some(Err(error)) => Err(error),
                // Its beginning was never heard of.
                None => Err(io::ErrorKind::NotFound.into()),
            };
            if closed.is_err() {
                *end = RecordingEnd::Failed;
            }
        }
        report.at = clock::now();
        self.unsent.push_back(report);
    }

    fn send_reports(&mut self) {
        while let Some(report) = self.unsent.pop_front() {
            if let Err(report) = self.events.send(report) {
                self.unsent.push_front(report);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
