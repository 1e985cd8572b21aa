//! `portkeeper bench`: measurements on real sockets.

pub mod ari;
pub mod false_verdicts;
pub mod livelock;
pub mod media;
pub mod peer;
pub mod phone_promotion;
pub mod port_switch;
pub mod promotion;
pub mod register;
pub mod simulation;

use std::io;
use std::path::Path;

use serde::Serialize;

/// Runs something in a directory of its own, which stays when it fails.
fn in_directory<R>(run: impl FnOnce(&Path) -> io::Result<R>) -> io::Result<R> {
    let directory = std::env::temp_dir().join(format!("portkeeper-bench-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let result = run(&directory)?;
    std::fs::remove_dir_all(&directory)?;
    Ok(result)
}

/// Prints a report: one JSON object, or a table.
#[expect(clippy::print_stdout, reason = "a command")]
fn print<R: Serialize>(report: &R, json: bool, text: fn(&R) -> String) -> io::Result<()> {
    if json {
        println!("{}", serde_json::to_string(report)?);
    } else {
        print!("{}", text(report));
    }
    Ok(())
}
