//! Where log lines go: standard error, as text or as JSON lines, through the configured filter.

use tracing_subscriber::EnvFilter;

use crate::config;

/// Starts logging. Called once.
///
/// # Errors
/// One sentence: the filter cannot be read, or logging was started before.
pub fn start(log: &config::Log) -> Result<(), String> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(&log.filter)?)
        .with_writer(std::io::stderr);
    let started =
        if log.json { builder.json().try_init() } else { builder.with_ansi(false).try_init() };
    started.map_err(|error| format!("cannot start logging: {error}"))
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
