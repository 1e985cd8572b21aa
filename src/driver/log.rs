//! Where log lines go: standard error, as text or as JSON lines, through the configured filter.
//!
//! Libraries are heard from INFO upwards only, whatever the filter says: what they tell below that
//! is the traffic itself, with the numbers of callers, digits and passwords in it.

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt, registry};

use crate::config;

/// Starts logging. Called once.
///
/// # Errors
/// One sentence: the filter cannot be read, or logging was started before.
pub fn start(log: &config::Log) -> Result<(), String> {
    let layer = fmt::layer().with_writer(std::io::stderr);
    let layer = if log.json { layer.json().boxed() } else { layer.with_ansi(false).boxed() };
    let libraries = filter_fn(is_discreet).with_max_level_hint(LevelFilter::TRACE);
    let layer = layer.with_filter(filter(&log.filter)?.and(libraries));
    let started = registry().with(layer).try_init();
    started.map_err(|error| format!("cannot start logging: {error}"))
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
