//! What the figures of a run are to be seen beside: each floor or peer of the same run, as a ratio;
//! how the measuring thread was scheduled, and how busy other processes kept the machine. A bench
//! calls [`told`] in place of `criterion_main!`.

#![expect(clippy::print_stdout, reason = "a command")]
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "reads /proc and a clock")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use criterion::Criterion;

/// Ticks of a second in /proc, on every Linux of today.
const TICKS: f64 = 100.0;

/// Fields of /proc/self/stat, counted from the one after the name: time in user and in kernel
/// mode, nice value, class.
const USER: usize = 11;
const KERNEL: usize = 12;
const NICE: usize = 16;
const CLASS: usize = 38;

/// Runs the groups, and says how often each first of a pair takes as long as the second, by their
/// names, and what surrounded them.
pub fn told(groups: &[fn()], pairs: &[(&str, &str)]) {
    let (began, before, since) = (Instant::now(), ticks_of_others(), SystemTime::now());
    groups.iter().for_each(|group| group());
    Criterion::default().configure_from_args().final_summary();
    for (name, floor) in pairs {
        // A filter may have left one of them out.
        if let (Some(nanos), Some(floor_nanos)) = (median(name, since), median(floor, since)) {
            println!("{name}: {:.1} times {floor}", nanos / floor_nanos);
        }
    }
    let others = (ticks_of_others() - before) as f64 / TICKS;
    let cores = others / began.elapsed().as_secs_f64();
    println!("scheduling {}, other processes {cores:.2} cores", scheduling());
}

/// Nanoseconds of a bench that was measured since then.
fn median(name: &str, since: SystemTime) -> Option<f64> {
    let file = results()?.join(name).join("new/estimates.json");
    fs::metadata(&file).ok()?.modified().ok().filter(|at| *at >= since)?;
    let estimates = fs::read_to_string(file).ok()?;
    let (_, median) = estimates.split_once("\"median\":")?;
    let (_, point) = median.split_once("\"point_estimate\":")?;
    point.split([',', '}']).next()?.trim().parse().ok()
}

/// Where criterion leaves its results: beside the directory of the program that measures.
fn results() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    program.ancestors().map(|above: &Path| above.join("criterion")).find(|at| at.is_dir())
}

/// Ticks of all processors that were not idle, less our own.
fn ticks_of_others() -> i64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let all = numbers(stat.lines().next().unwrap_or_default());
    // After the name `cpu`; the fourth and fifth are idle time, what follows the eighth is counted
    // in the first already.
    let busy = all.iter().skip(1).take(8).enumerate().filter(|(n, _)| *n != 3 && *n != 4);
    let own = own_stat();
    busy.map(|(_, ticks)| ticks).sum::<i64>() - own[USER] - own[KERNEL]
}

fn scheduling() -> String {
    let own = own_stat();
    let class = match own[CLASS] {
        0 => "default",
        1 => "fifo",
        2 => "round robin",
        3 => "batch",
        5 => "idle",
        _ => "unknown",
    };
    format!("{class}, nice {}", own[NICE])
}

fn own_stat() -> Vec<i64> {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let mut fields = numbers(stat.rsplit(')').next().unwrap_or_default());
    fields.resize(fields.len().max(CLASS + 1), 0);
    fields
}

/// What is no number counts as 0.
fn numbers(line: &str) -> Vec<i64> {
    line.split_ascii_whitespace().map(|field| field.parse().unwrap_or(0)).collect()
}
