//! The decision of a port switch: an instance fails, and every call of it is revoked and offered
//! to another one. From the verdict to the last output, without a socket. The floor is a loop that
//! gives each port of a bare table another owner and queues that. `port_switch_notices` is what
//! follows: the link takes each call from the one and tells it to the other, as JSON.

mod surroundings;

use std::collections::{BTreeMap, VecDeque};
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::BatchSize::SmallInput;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use portkeeper::config::{Config, Source, parse};
use portkeeper::ids::{CallId, Generation, InstanceId, PortId, RequestId};
use portkeeper::ivr::{self, ChannelState, Ivr, Request};
use portkeeper::pool::{Input, Output, Pool};
use portkeeper::timers::{Duration, Instant};

const OLD: InstanceId = InstanceId(1);

const PORTS: [u16; 4] = [100, 500, 1_000, 10_000];

fn config(ports: u16) -> Arc<Config> {
    let text = format!(
        "[pbx]\nprofile = \"generic\"\nregistrars = [\"10.0.0.5\"]\nlocal_address = \"10.0.0.9\"\n\
         [media]\nudp_ports = \"16384-56383\"\n\
         [[ports]]\nextensions = \"10000-{}\"\npassword = \"kT7-pq2Zr9vXw4mN8sLd\"\n\
         applications = [\"main\"]\n[applications.main]\n\
         [ari.users.ivr]\npassword = \"kT7-pq2Zr9vXw4mN8sLd\"\n",
        9_999 + ports,
    );
    let read_file = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
    let base = Path::new("/");
    let parsed = parse(Source {
        text: &text,
        base,
        read_file: &read_file,
        fault_of: &|_| None,
        today: portkeeper::config::Day::default(),
    });
    Arc::new(parsed.config.unwrap_or_else(|| panic!("{:?}", parsed.faults)))
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

/// A link with the five instances, and all calls with the first.
fn linked(ports: u16) -> Ivr {
    let mut ivr = Ivr::new(config(ports));
    let now = Instant::from_nanos(1_000_000_000);
    ivr.handle_wall(1_800_000_000_000, now);
    for id in 1..6 {
        let request = RequestId(id);
        ivr.handle_input(
            now,
            ivr::Input::Upgrade { request, instance: InstanceId(id), http: hello() },
        );
    }
    for port in (0..ports).map(PortId) {
        ivr.handle_input(now, ivr::Input::Offer(offer(port, OLD, Generation(1))));
    }
    while ivr.poll_output().is_some() {}
    ivr
}

fn hello() -> Request {
    Request {
        method: "GET".to_owned(),
        uri: "/ari/events?app=main&api_key=ivr:kT7-pq2Zr9vXw4mN8sLd".to_owned().into(),
        host: "10.0.0.9:8088".to_owned(),
        authorization: None,
        content_type: None,
        protocols: None,
        body: Vec::new().into(),
    }
}

fn offer(port: PortId, instance: InstanceId, generation: Generation) -> ivr::Offer {
    let party = |name: &str, number: &str| (name.to_owned(), number.to_owned());
    ivr::Offer {
        call: call(port),
        port,
        extension: format!("{}", 1_000 + port.0),
        generation,
        instance,
        application: "main".to_owned(),
        args: Vec::new(),
        reason: "hang",
        state: ChannelState::Up,
        caller: party("Caller", "5551000"),
        connected: party("", "1000"),
        protocol_id: String::new(),
        variables: vec![("GW_CHECKPOINT".to_owned(), "menu=2".to_owned())],
    }
}

/// As calls are named: half by the node, half in turn.
fn call(port: PortId) -> CallId {
    CallId(0x5eed_0001_0000_0000 + u64::from(port.0))
}

fn notices(c: &mut Criterion) {
    let mut group = c.benchmark_group("port_switch_notices");
    for ports in [30, 1_000] {
        group.throughput(Throughput::Elements(ports.into()));
        group.bench_function(BenchmarkId::new("json", ports), |b| {
            let run = |mut ivr: Ivr| {
                let now = Instant::from_nanos(2_000_000_000);
                for (port, id) in (0..ports).map(PortId).zip((2..6).cycle()) {
                    let (call, generation) = (call(port), Generation(1));
                    ivr.handle_input(now, ivr::Input::Revoke { call, generation });
                    let offer = offer(port, InstanceId(id), Generation(2));
                    ivr.handle_input(now, ivr::Input::Offer(offer));
                }
                let texts: Vec<_> = std::iter::from_fn(|| ivr.poll_output()).collect();
                assert_eq!(texts.len(), 2 * usize::from(ports));
                black_box((ivr, texts))
            };
            b.iter_batched(|| linked(ports), run, SmallInput);
        });
    }
    group.finish();
}

criterion_group!(benches, verdicts, notices);
fn main() {
    let names = |what: &str| PORTS.map(|ports| format!("port_switch/{what}/{ports}"));
    let (crashes, hangs, floors) = (names("crash"), names("hang"), names("floor"));
    let over = crashes.iter().zip(&floors).chain(hangs.iter().zip(&floors));
    let pairs: Vec<_> = over.map(|(name, floor)| (name.as_str(), floor.as_str())).collect();
    surroundings::told(&[benches], &pairs);
}
