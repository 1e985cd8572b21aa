//! What the Rust clients share: where to connect, and one JSON line on standard output per step.

use std::io::Write;

use serde_json::{Value, json};

/// Where to connect, from the environment.
pub struct Target {
    /// Host.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User.
    pub user: String,
    /// Password.
    pub password: String,
    /// Application.
    pub app: String,
}

fn var(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

impl Target {
    /// Reads ARI_URL, ARI_USER, ARI_PASSWORD and ARI_APP.
    pub fn from_env() -> Self {
        let url = var("ARI_URL", "http://127.0.0.1:8088");
        let authority = url.trim_start_matches("http://").trim_end_matches('/');
        let (host, port) = authority.split_once(':').unwrap_or((authority, "8088"));
        Self {
            host: host.to_owned(),
            port: port.parse().expect("ARI_URL ends in a port number"),
            user: var("ARI_USER", "ivr"),
            password: var("ARI_PASSWORD", "secret"),
            app: var("ARI_APP", "main"),
        }
    }
}

/// One line per step.
pub fn step(name: &str, mut fields: Value) {
    fields["step"] = json!(name);
    let mut out = std::io::stdout().lock();
    // A reader that is gone ends the test, and with it this process.
    let _ = writeln!(out, "{fields}").and_then(|()| out.flush());
}
