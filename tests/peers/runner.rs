//! Runs the tests one by one and closes like `cargo test`.

use std::fs::File;
use std::net::{TcpListener, UdpSocket};
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
    let _alone = alone();
    println!("\nrunning {} tests", chosen.len());
    let start = Instant::now();
    let failed: Vec<&str> = chosen.iter().filter(|t| !passes(t)).map(|(name, _)| *name).collect();
    if !failed.is_empty() {
        println!("\nfailures:\n    {}", failed.join("\n    "));
    }
    let passed = chosen.len() - failed.len();
    close(passed, failed.len(), all.len() - chosen.len(), start.elapsed().as_secs_f64())
}

/// Where PBX, phone and node listen, whatever the test.
const UDP_PORTS: &[u16] = &[5_070, 5_200, 5_300, 5_400, 15_060, 15_160, 15_260, 15_370];
const TCP_PORTS: &[u16] = &[
    15_060, 15_160, 15_380, 17_443, 17_444, 17_445, 18_088, 18_089, 18_090, 18_091, 18_095, 19_108,
    19_109, 19_110,
];

/// The ports are the machine's: a second run waits for the first, and any other program on one of
/// them is named here rather than seen as a test that fails for no reason.
fn alone() -> File {
    let path = std::env::temp_dir().join("portkeeper-peers.lock");
    let lock = File::create(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    if lock.try_lock().is_err() {
        println!("\npeers: waiting for another run, which holds {}", path.display());
        lock.lock().expect("a lock of our own");
    }
    for &port in UDP_PORTS {
        free(port, "UDP", UdpSocket::bind(("127.0.0.1", port)).err());
    }
    for &port in TCP_PORTS {
        free(port, "TCP", TcpListener::bind(("127.0.0.1", port)).err());
    }
    lock
}

fn free(port: u16, kind: &str, error: Option<std::io::Error>) {
    if let Some(error) = error {
        println!("peers: {kind} port {port} of 127.0.0.1 is needed by the tests: {error}");
        println!("peers: stop the program that uses it (`ss -lnp | grep :{port}`)");
        std::process::exit(1);
    }
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
