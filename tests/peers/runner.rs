//! Runs the tests one by one and closes like `cargo test`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

/// A name that is a claim, and its proof.
pub type Test = (&'static str, fn());

/// The root of the repository.
pub fn top() -> &'static std::path::Path {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs those of `groups` that the arguments name, or says why none ran.
pub fn run(groups: &[&[Test]]) -> ExitCode {
    let all: Vec<Test> = groups.iter().flat_map(|g| g.iter().copied()).collect();
    let filters: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    if std::env::args().any(|a| a == "--list") {
        all.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    if std::env::var("PORTKEEPER_PEERS").as_deref() != Ok("1") {
        println!("\npeers: not run. ./check.sh installs the peers and runs them; by hand:");
        println!("    tests/peers/install.sh && PORTKEEPER_PEERS=1 cargo test --test peers");
        return close(0, 0, all.len(), 0.0);
    }
    let missing = !top().join(".peers/stamps").is_dir();
    assert!(!missing, "the peers are not installed: run tests/peers/install.sh");
    let chosen: Vec<Test> = all
        .iter()
        .copied()
        .filter(|(name, _)| filters.is_empty() || filters.iter().any(|f| name.contains(f)))
        .collect();
    println!("\nrunning {} tests", chosen.len());
    let start = Instant::now();
    let failed: Vec<&str> = chosen.iter().filter(|t| !passes(t)).map(|(name, _)| *name).collect();
    if !failed.is_empty() {
        println!("\nfailures:\n    {}", failed.join("\n    "));
    }
    let passed = chosen.len() - failed.len();
    close(passed, failed.len(), all.len() - chosen.len(), start.elapsed().as_secs_f64())
}

fn passes((name, test): &Test) -> bool {
    let start = Instant::now();
    println!("test {name} ...");
    // A failed test tells its story through the panic hook; the next one begins afresh.
    let ok = catch_unwind(AssertUnwindSafe(test)).is_ok();
    let word = if ok { "ok" } else { "FAILED" };
    println!("test {name} ... {word} ({:.1} s)", start.elapsed().as_secs_f64());
    ok
}

fn close(passed: usize, failed: usize, filtered: usize, seconds: f64) -> ExitCode {
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; \
         {filtered} filtered out; finished in {seconds:.2}s\n"
    );
    ExitCode::from(u8::from(failed != 0))
}
