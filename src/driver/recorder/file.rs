//! One recording on disk: WAV, 16 bits, 8,000 samples a second.

#![expect(clippy::disallowed_methods, reason = "files live here")]

use std::fs;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use hound::{SampleFormat, WavSpec, WavWriter};

use crate::ids::PortId;
use crate::media::IfExists;
use crate::timers::{Duration, Instant};

/// How often the header is brought up to date.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// A file that is appended to is copied first, while other recordings wait: an hour of it at most,
/// which is what can be played.
const APPENDED_MAX: u64 = 3_600 * 8_000 * 2;

/// The longest name. File systems take 255 bytes, and we add to it.
const NAME_MAX: usize = 200;

const SPEC: WavSpec = WavSpec {
    channels: 1,
    sample_rate: 8_000,
    bits_per_sample: 16,
    sample_format: SampleFormat::Int,
};

/// A file being written. One that is dropped without [`File::finish`] is removed.
pub(super) struct File {
    /// `None` once closed.
    writer: Option<WavWriter<BufWriter<fs::File>>>,
    /// The same file, to synchronise it.
    file: fs::File,
    /// It takes the place of a file of its name.
    replaces: bool,
    directory: PathBuf,
    hidden: PathBuf,
    named: PathBuf,
    flush_at: Instant,
}

impl File {
    /// Creates it. An error means that the name is no plain name or taken, that what is to be
    /// appended to is no recording, or that the disk refuses.
    pub(super) fn create(
        directory: &Path,
        name: &str,
        if_exists: IfExists,
        port: PortId,
        now: Instant,
    ) -> io::Result<Self> {
        let named = directory.join(format!("{}.wav", plain(name)?));
        let exists = named.try_exists()?;
        if exists && if_exists == IfExists::Fail {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let hidden = directory.join(format!(".{port}-{}.part", now.as_nanos()));
        let file = fs::OpenOptions::new().write(true).create_new(true).open(&hidden)?;
        let before = (exists && if_exists == IfExists::Append).then_some(&*named);
        let writer = begin(&file, &hidden, before).inspect_err(|_| {
            let _ = fs::remove_file(&hidden);
        })?;
        Ok(Self {
            writer: Some(writer),
            file,
            replaces: if_exists != IfExists::Fail,
            directory: directory.to_owned(),
            hidden,
            named,
            flush_at: now + FLUSH_EVERY,
        })
    }

    pub(super) fn write(&mut self, samples: &[i16], now: Instant) -> io::Result<()> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        for &sample in samples {
            writer.write_sample(sample).map_err(io_error)?;
        }
        if now >= self.flush_at {
            self.flush_at = now + FLUSH_EVERY;
            writer.flush().map_err(io_error)?;
        }
        Ok(())
    }

    /// Closes it, makes it durable and gives it its name.
    pub(super) fn finish(mut self) -> io::Result<()> {
        if let Some(writer) = self.writer.take() {
            writer.finalize().map_err(io_error)?;
        }
        self.file.sync_all()?;
        if self.replaces {
            fs::rename(&self.hidden, &self.named)?;
        } else {
            // A link does not replace a file of that name, as a rename would.
            fs::hard_link(&self.hidden, &self.named)?;
            fs::remove_file(&self.hidden)?;
        }
        fs::OpenOptions::new().read(true).open(&self.directory)?.sync_all()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // Gone already after `finish`.
        let _ = fs::remove_file(&self.hidden);
    }
}

/// Begins empty, or with what an earlier recording holds. That one stays as it is until this one
/// is whole.
fn begin(
    file: &fs::File,
    hidden: &Path,
    before: Option<&Path>,
) -> io::Result<WavWriter<BufWriter<fs::File>>> {
    let Some(before) = before else {
        return WavWriter::new(BufWriter::new(file.try_clone()?), SPEC).map_err(io_error);
    };
    if fs::metadata(before)?.len() > APPENDED_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "longer than an hour"));
    }
    fs::copy(before, hidden)?;
    let writer = WavWriter::append(hidden).map_err(io_error)?;
    match writer.spec() {
        SPEC => Ok(writer),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "not of 16 bits at 8,000 Hz, mono")),
    }
}

/// A name that cannot leave the directory or hide in it.
fn plain(name: &str) -> io::Result<&str> {
    let fits = (1..=NAME_MAX).contains(&name.len()) && !name.starts_with('.');
    let is_plain = fits && !name.contains(|c: char| c == '/' || c == '\\' || c.is_control());
    is_plain.then_some(name).ok_or_else(|| io::ErrorKind::InvalidFilename.into())
}

fn io_error(error: hound::Error) -> io::Error {
    match error {
        hound::Error::IoError(error) => error,
        other => io::Error::other(other),
    }
}
