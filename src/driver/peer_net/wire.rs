//! One connection: a task that reads and a task that writes, so that neither waits for the other.
//!
//! What waits to be written is bounded in frames and in bytes. A peer that takes nothing while so
//! much piles up is as good as gone: its connection is closed and whoever sent is told, and begins
//! anew when it is back. Beats wait for nobody: the next one says it all again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Frames that wait to be written: seconds of what a busy node says.
const FRAMES_MAX: usize = 1_024;
/// Bytes that wait to be written: some frames of the greatest length.
const BYTES_MAX: usize = 8 << 20;
/// Bytes that are read at once.
const CHUNK: usize = 16 << 10;
/// Chunks that wait for the link.
const CHUNKS_MAX: usize = 8;
/// What was written last has this long to leave before the connection is dropped.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A connection.
#[derive(Debug)]
pub(super) struct Wire {
    chunks: mpsc::Receiver<io::Result<Vec<u8>>>,
    frames: mpsc::Sender<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
    reader: JoinHandle<()>,
}

/// It could not take a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Choked;

impl Wire {
    pub(super) fn new<S>(stream: S) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (read, write) = tokio::io::split(stream);
        let (chunk, chunks) = mpsc::channel(CHUNKS_MAX);
        let (frames, frame) = mpsc::channel(FRAMES_MAX);
        let waiting = Arc::new(AtomicUsize::new(0));
        let reader = tokio::spawn(read_chunks(read, chunk));
        tokio::spawn(write_frames(write, frame, Arc::clone(&waiting)));
        Self { chunks, frames, waiting, reader }
    }

    /// What came; `None`, and ever after, when nothing comes any more.
    pub(super) async fn read(&mut self) -> Option<io::Result<Vec<u8>>> {
        self.chunks.recv().await
    }

    /// Queues a frame.
    pub(super) fn write(&self, bytes: Vec<u8>, droppable: bool) -> Result<(), Choked> {
        let length = bytes.len();
        let before = self.waiting.load(Ordering::Relaxed);
        if droppable && before > 0 {
            return Ok(());
        }
        if before.saturating_add(length) > BYTES_MAX {
            return Err(Choked);
        }
        self.waiting.fetch_add(length, Ordering::Relaxed);
        self.frames.try_send(bytes).map_err(|_| Choked)
    }
}

impl Drop for Wire {
    /// The writer ends by itself: when its queue is empty, or when it cannot write.
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn read_chunks<S: AsyncRead>(
    mut stream: ReadHalf<S>,
    chunks: mpsc::Sender<io::Result<Vec<u8>>>,
) {
    let mut buffer = vec![0; CHUNK];
    loop {
        let chunk = match stream.read(&mut buffer).await {
            Ok(0) => return,
            Ok(length) => Ok(buffer[..length].to_vec()),
            Err(error) => Err(error),
        };
        let ended = chunk.is_err();
        if chunks.send(chunk).await.is_err() || ended {
            return;
        }
    }
}

async fn write_frames<S: AsyncWrite>(
    mut stream: WriteHalf<S>,
    mut frames: mpsc::Receiver<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
) {
    while let Some(frame) = frames.recv().await {
        let written = write_out(&mut stream, &frame);
        // With the other end gone the frame is the last words, which may not take for ever.
        let done = if frames.is_closed() {
            timeout(LAST_WORDS, written).await.is_ok_and(|done| done.is_ok())
        } else {
            written.await.is_ok()
        };
        waiting.fetch_sub(frame.len(), Ordering::Relaxed);
        if !done {
            return;
        }
    }
    let _ = timeout(LAST_WORDS, stream.shutdown()).await;
}

async fn write_out<S: AsyncWrite>(stream: &mut WriteHalf<S>, frame: &[u8]) -> io::Result<()> {
    stream.write_all(frame).await?;
    stream.flush().await
}

/// A cable that was pulled ends a connection that says nothing, too.
pub(super) fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let probes = Duration::from_secs(5);
    let keepalive = TcpKeepalive::new().with_time(probes).with_interval(probes).with_retries(3);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(Duration::from_secs(15)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_peer_that_reads_nothing_chokes_its_connection_at_a_bound() {
        let (ours, _theirs) = tokio::io::duplex(64);
        let wire = Wire::new(ours);
        let frame = || vec![0; 1 << 20];
        let taken = (0..20).take_while(|_| wire.write(frame(), false).is_ok()).count();
        assert_eq!(taken, BYTES_MAX >> 20);
        let (ours, _theirs) = tokio::io::duplex(64);
        let wire = Wire::new(ours);
        let taken = (0..2_000).take_while(|_| wire.write(vec![0; 10], false).is_ok()).count();
        assert_eq!(taken, FRAMES_MAX);
    }

    #[tokio::test]
    async fn a_beat_does_not_queue_behind_what_waits() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let wire = Wire::new(ours);
        assert_eq!(wire.write(b"message".to_vec(), false), Ok(()));
        assert_eq!(wire.write(b"beat".to_vec(), true), Ok(()));
        drop(wire);
        let mut all = Vec::new();
        theirs.read_to_end(&mut all).await.expect("ended");
        assert_eq!(all, b"message");
    }

    #[tokio::test]
    async fn the_last_words_leave_before_the_connection_ends() {
        let (ours, mut theirs) = tokio::io::duplex(4);
        let wire = Wire::new(ours);
        assert_eq!(wire.write(b"goodbye".to_vec(), false), Ok(()));
        drop(wire);
        let mut all = Vec::new();
        theirs.read_to_end(&mut all).await.expect("ended");
        assert_eq!(all, b"goodbye");
    }
}
