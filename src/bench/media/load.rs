//! What the kernel says of memory and of other processes.

#![expect(clippy::disallowed_methods, reason = "reads /proc")]

use std::fs;
use std::path::Path;

use crate::driver::clock;
use crate::timers::{Duration, Instant};

/// Ticks of a second in /proc, on every Linux of today.
pub(in crate::bench) const TICKS: f64 = 100.0;

/// Resident memory of a process; 0 where /proc does not tell.
pub(super) fn resident_bytes_of(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) * 1_024
}

/// Processor time of a process's threads of this name; zero where /proc does not tell.
pub(in crate::bench) fn thread_time(pid: u32, name: &str) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let nanos = tasks.map(|task| task.path()).filter_map(|task| {
        let comm = fs::read_to_string(task.join("comm")).ok()?;
        let stat = fs::read_to_string(task.join("schedstat")).ok()?;
        (comm.trim() == name).then(|| stat.split(' ').next()?.parse::<u64>().ok())?
    });
    Duration::from_nanos(nanos.sum())
}

/// Processor time from here on.
pub(in crate::bench) struct Load {
    at: Instant,
    all: u64,
    own: u64,
}

impl Load {
    pub(in crate::bench) fn begin() -> Self {
        Self { at: clock::now(), all: busy_ticks(), own: own_ticks() }
    }

    /// Cores that all processes kept busy since.
    pub(in crate::bench) fn all_cores(&self) -> f64 {
        let seconds = clock::now().saturating_duration_since(self.at).as_secs_f64();
        busy_ticks().saturating_sub(self.all) as f64 / TICKS / seconds
    }

    /// Cores that other processes kept busy since.
    pub(super) fn other_cores(&self) -> f64 {
        let seconds = clock::now().saturating_duration_since(self.at).as_secs_f64();
        let all = busy_ticks().saturating_sub(self.all);
        let own = own_ticks().saturating_sub(self.own);
        all.saturating_sub(own) as f64 / TICKS / seconds
    }
}

/// How busy other processes are while this one plays with processes that it has started.
pub(in crate::bench) struct Surroundings {
    at: Instant,
    others: u64,
}

impl Surroundings {
    /// `children`: those that live.
    pub(in crate::bench) fn begin(children: &[u32]) -> Self {
        Self { at: clock::now(), others: ticks_of_others(children) }
    }

    /// Cores that processes of others kept busy since. `children`: those that live at this moment.
    pub(in crate::bench) fn other_cores(&self, children: &[u32]) -> f64 {
        let seconds = clock::now().saturating_duration_since(self.at).as_secs_f64();
        ticks_of_others(children).saturating_sub(self.others) as f64 / TICKS / seconds
    }
}

/// Scheduling class and nice value of this process.
pub(in crate::bench) fn scheduling() -> String {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name, in parentheses, may hold blanks.
    let fields: Vec<&str> =
        stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace().collect();
    let class = match fields.get(38).copied() {
        Some("0") => "default",
        Some("1") => "fifo",
        Some("2") => "round robin",
        Some("3") => "batch",
        Some("5") => "idle",
        _ => "unknown",
    };
    format!("{class}, nice {}", fields.get(16).copied().unwrap_or("unknown"))
}

fn ticks_of_others(children: &[u32]) -> u64 {
    // A child that has ended is counted with its parent.
    let own = fields(Path::new("/proc/self/stat"), 4);
    let live: u64 = children.iter().map(|&pid| ticks_of(pid)).sum();
    busy_ticks().saturating_sub(own + live)
}

/// Ticks of all processors that were not idle.
fn busy_ticks() -> u64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<u64> = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_ascii_whitespace()
        .skip(1)
        .take(8)
        .filter_map(|field| field.parse().ok())
        .collect();
    // The fourth and fifth are idle time.
    fields.iter().enumerate().filter(|(n, _)| *n != 3 && *n != 4).map(|(_, ticks)| ticks).sum()
}

/// Ticks of this process, in user and kernel mode.
fn own_ticks() -> u64 {
    ticks(Path::new("/proc/self/stat"))
}

/// The same of another process.
pub(in crate::bench) fn ticks_of(pid: u32) -> u64 {
    ticks(Path::new(&format!("/proc/{pid}/stat")))
}

fn ticks(file: &Path) -> u64 {
    fields(file, 2)
}

/// User and kernel mode of a process, then the same of its children that have ended.
fn fields(file: &Path, count: usize) -> u64 {
    let stat = fs::read_to_string(file).unwrap_or_default();
    // The name, in parentheses, may hold blanks.
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields = after_name.split_ascii_whitespace().skip(11).take(count);
    fields.filter_map(|field| field.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells() {
        assert!(resident_bytes_of(std::process::id()) > 100_000);
        assert!(busy_ticks() >= own_ticks());
        let scheduling = scheduling();
        let (class, nice) = scheduling.split_once(", nice ").expect("both");
        assert_ne!(class, "unknown");
        assert!((-20..=19).contains(&nice.parse().unwrap_or(99)), "{scheduling}");
    }
}
