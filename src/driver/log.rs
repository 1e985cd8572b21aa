//! Where log lines go: standard error, as text or as JSON lines, through the configured filter.
//!
//! A thread of its own writes them: whoever reads standard error may be slow or hang, and a call
//! must not wait for that. Lines that find its queue full are lost, and counted.
//!
//! Libraries are heard from INFO upwards only, whatever the filter says: what they tell below that
//! is the traffic itself, with the numbers of callers, digits and passwords in it.

use std::sync::OnceLock;

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt, registry};

use crate::config;

/// Lines that wait to be written.
const LINES_MAX: usize = 8_192;

static LOST: OnceLock<ErrorCounter> = OnceLock::new();

/// Lines that were lost since the start, because nobody took them.
pub fn lines_lost() -> u64 {
    LOST.get().map_or(0, |lost| lost.dropped_lines() as u64)
}

/// Starts logging. Called once. What waits is written when the guard is dropped, if it can be
/// within a second.
///
/// # Errors
/// One sentence: the filter cannot be read, or logging was started before.
pub fn start(log: &config::Log) -> Result<WorkerGuard, String> {
    let queue = NonBlockingBuilder::default().buffered_lines_limit(LINES_MAX).thread_name("log");
    let (writer, guard) = queue.finish(std::io::stderr());
    LOST.get_or_init(|| writer.error_counter());
    let layer = fmt::layer().with_writer(writer);
    let layer = if log.json { layer.json().boxed() } else { layer.with_ansi(false).boxed() };
    let libraries = filter_fn(is_discreet).with_max_level_hint(LevelFilter::TRACE);
    let layer = layer.with_filter(filter(&log.filter)?.and(libraries));
    let started = registry().with(layer).try_init();
    started.map_err(|error| format!("cannot start logging: {error}"))?;
    Ok(guard)
}

/// Ours, or not of the traffic.
fn is_discreet(line: &Metadata<'_>) -> bool {
    line.target().starts_with("portkeeper") || *line.level() <= Level::INFO
}

fn filter(text: &str) -> Result<EnvFilter, String> {
    text.parse().map_err(|error| {
        format!(
            "log.filter = \"{text}\": {error}; write a level (error, warn, info, debug, trace), \
             or as \"portkeeper::sip=debug,info\""
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_filter_is_named_with_what_to_write() {
        assert!(filter("portkeeper::sip=debug,info").is_ok());
        let fault = filter("portkeeper=loud").expect_err("no such level");
        assert!(fault.contains("portkeeper=loud") && fault.contains("write a level"), "{fault}");
    }
}
