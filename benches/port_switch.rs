//! The decision of a port switch: an instance fails, and every call of it is revoked and offered
//! to another one. From the verdict to the last output, without a socket. The floor is a loop that
//! gives each port of a bare table another owner and queues that.

mod surroundings;

use std::collections::{BTreeMap, VecDeque};
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::BatchSize::SmallInput;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use portkeeper::config::{Config, Source, parse};
use portkeeper::ids::{CallId, Generation, InstanceId, PortId};
use portkeeper::pool::{Input, Output, Pool};
use portkeeper::timers::{Duration, Instant};

const OLD: InstanceId = InstanceId(1);

const PORTS: [u16; 4] = [100, 500, 1_000, 10_000];

fn config(ports: u16) -> Arc<Config> {
    let text = format!(
        "[pbx]\nprofile = \"generic\"\nregistrars = [\"10.0.0.5\"]\nlocal_address = \"10.0.0.9\"\n\
         [[ports]]\nextensions = \"1000-{}\"\npassword = \"kT7-pq2Zr9vXw4mN8sLd\"\n\
         applications = [\"main\"]\n[applications.main]\n\
         [ari.users.ivr]\npassword = \"kT7-pq2Zr9vXw4mN8sLd\"\n",
        999 + ports,
    );
    let read_file = |_: &Path| Err(std::io::Error::other("no files here"));
    let base = Path::new("/");
    let parsed = parse(Source {
        text: &text,
        base,
        read_file: &read_file,
        fault_of: &|_| None,
        today: portkeeper::config::Day::default(),
    });
    Arc::new(parsed.config.expect("a good configuration"))
}

fn drain(pool: &mut Pool) -> usize {
    std::iter::from_fn(|| pool.poll_output())
        .filter(|output| matches!(output, Output::Offer(_)))
        .count()
}

/// All ports in a call with one instance, and four others that can take them.
fn loaded(ports: u16) -> (Pool, Instant) {
    let mut pool = Pool::new(config(ports));
    let now = Instant::from_nanos(1_000_000_000);
    let up = |instance| Input::InstanceUp {
        instance,
        applications: vec!["main".to_owned()],
        user: "ivr".to_owned(),
    };
    pool.handle_input(now, up(OLD));
    pool.handle_input(now, Input::Pong { instance: OLD });
    for port in (0..ports).map(PortId) {
        pool.handle_input(now, Input::Arrived { port, call: CallId(port.0.into()) });
        pool.handle_input(now, Input::Command { port, generation: Generation(1) });
    }
    for id in 2..6 {
        pool.handle_input(now, up(InstanceId(id)));
    }
    drain(&mut pool);
    (pool, now)
}

/// Each port's next owner, in turn.
fn reassign(mut table: BTreeMap<PortId, InstanceId>) -> usize {
    let mut offers = VecDeque::new();
    for ((port, owner), next) in table.iter_mut().zip((2..6).cycle()) {
        *owner = InstanceId(next);
        offers.push_back((*port, *owner));
    }
    std::iter::from_fn(|| black_box(offers.pop_front())).count()
}

fn verdicts(c: &mut Criterion) {
    let mut group = c.benchmark_group("port_switch");
    for ports in PORTS {
        let (pool, now) = loaded(ports);
        group.throughput(Throughput::Elements(ports.into()));
        let table: BTreeMap<_, _> = (0..ports).map(|port| (PortId(port), OLD)).collect();
        group.bench_function(BenchmarkId::new("floor", ports), |b| {
            b.iter_batched(|| table.clone(), |table| black_box(reassign(table)), SmallInput);
        });
        group.bench_function(BenchmarkId::new("crash", ports), |b| {
            let run = |mut pool: Pool| {
                pool.handle_input(now, Input::InstanceDown { instance: OLD });
                assert_eq!(drain(&mut pool), usize::from(ports));
                black_box(pool)
            };
            b.iter_batched(|| pool.clone(), run, SmallInput);
        });
        let (pool, now) = silent(pool, now);
        group.bench_function(BenchmarkId::new("hang", ports), |b| {
            let run = |mut pool: Pool| {
                pool.handle_timeout(now);
                assert_eq!(drain(&mut pool), usize::from(ports));
                black_box(pool)
            };
            b.iter_batched(|| pool.clone(), run, SmallInput);
        });
    }
    group.finish();
}

/// One wake before the verdict of a hang.
fn silent(mut pool: Pool, start: Instant) -> (Pool, Instant) {
    let verdict = start + Duration::from_millis(250);
    while let Some(next) = pool.poll_timeout().filter(|&t| t < verdict) {
        pool.handle_timeout(next);
        drain(&mut pool);
    }
    (pool, verdict)
}

criterion_group!(benches, verdicts);
fn main() {
    let names = |what: &str| PORTS.map(|ports| format!("port_switch/{what}/{ports}"));
    let (crashes, hangs, floors) = (names("crash"), names("hang"), names("floor"));
    let over = crashes.iter().zip(&floors).chain(hangs.iter().zip(&floors));
    let pairs: Vec<_> = over.map(|(name, floor)| (name.as_str(), floor.as_str())).collect();
    surroundings::told(&[benches], &pairs);
}
