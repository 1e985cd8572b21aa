//! Cost of a 20 ms frame of G.711, each way, and of changing the law. The
//! floor is a copy of as many octets.

#[path = "../../benches/surroundings/mod.rs"]
mod surroundings;

use std::hint::black_box;

use criterion::{Criterion, criterion_group};
use portkeeper_codecs::FRAME_SAMPLES;
use portkeeper_codecs::g711::Law;

fn frame() -> [i16; FRAME_SAMPLES] {
    std::array::from_fn(|i| (f64::sin(i as f64 * 0.4) * 12_000.0) as i16)
}

fn g711(c: &mut Criterion) {
    let samples = frame();
    let mut octets = [0; FRAME_SAMPLES];
    let mut back = [0; FRAME_SAMPLES];
    c.bench_function("g711 floor, 20 ms", |b| {
        b.iter(|| {
            let copy = *black_box(&octets);
            black_box(copy)
        });
    });
    for law in [Law::Mu, Law::A] {
        c.bench_function(&format!("g711 encode {law:?}, 20 ms"), |b| {
            b.iter(|| law.encode(black_box(&samples), &mut octets));
        });
        c.bench_function(&format!("g711 decode {law:?}, 20 ms"), |b| {
            b.iter(|| law.decode(black_box(&octets), &mut back));
        });
    }
    c.bench_function("g711 mu-law to A-law, 20 ms", |b| {
        b.iter(|| Law::Mu.transcode_in_place(Law::A, black_box(&mut octets)));
    });
}

criterion_group!(benches, g711);
fn main() {
    let floor = "g711 floor, 20 ms";
    let over = ["encode Mu", "decode Mu", "encode A", "decode A", "mu-law to A-law"]
        .map(|name| format!("g711 {name}, 20 ms"));
    surroundings::told(&[benches], &over.each_ref().map(|name| (name.as_str(), floor)));
}
