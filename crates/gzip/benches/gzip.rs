//! What inflating a body costs, beside flate2 with zlib-rs, and what joining bodies costs, beside compressing them together.
//!
//! `cargo bench -p bywash-gzip` prints the best of many rounds for requests of 430-byte log records. Rates of a busy machine mean
//! nothing: that is why the best counts.

#![allow(clippy::print_stdout, clippy::disallowed_methods, clippy::unwrap_used, reason = "a benchmark")]

#[path = "../tests/telemetry/mod.rs"]
mod telemetry;

use gzip::{Packed, Part, join};
use std::convert::Infallible;
use std::hint::black_box;
use std::io::Read;
use std::time::{Duration, Instant};
use telemetry::{logs, packed};

const ROUNDS: usize = 40;

fn best(mut run: impl FnMut()) -> Duration {
    (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .min()
        .unwrap_or(Duration::ZERO)
}

fn main() {
    for records in [10, 100, 1000] {
        for level in [1, 4, 6] {
            inflating(records, level);
        }
    }
    for records in [1, 5, 10, 20, 50, 100, 1000] {
        joining(records);
    }
}

fn inflating(records: usize, level: u32) {
    // Several bodies, so that the branches of one are not learnt by heart.
    let plain: Vec<_> = (0..2000 / records as u64).map(|seed| logs(records, seed)).collect();
    let bodies: Vec<_> = plain.iter().map(|body| packed(body, level)).collect();
    let bytes: usize = plain.iter().map(Vec::len).sum();
    let small: usize = bodies.iter().map(Vec::len).sum();
    let ours = best(|| {
        for body in &bodies {
            black_box(gzip::inflate::<Infallible>(body, 1 << 24, |_| Ok(())).unwrap());
        }
    });
    let theirs = best(|| {
        for (body, plain) in bodies.iter().zip(&plain) {
            let mut out = vec![0; plain.len() + 1];
            let mut decoder = flate2::bufread::MultiGzDecoder::new(&body[..]);
            let mut len = 0;
            loop {
                match decoder.read(&mut out[len..]).unwrap() {
                    0 => break,
                    n => len += n,
                }
            }
            assert_eq!(len, plain.len());
            black_box(out);
        }
    });
    let rate = |time: Duration| bytes as f64 / 1e6 / time.as_secs_f64();
    println!(
        "{records:>5} records, level {level}, 1:{:.1}  inflate {:>6.0} MB/s  zlib-rs {:>6.0} MB/s  {:.2} x",
        bytes as f64 / small as f64,
        rate(ours),
        rate(theirs),
        theirs.as_secs_f64() / ours.as_secs_f64(),
    );
}

/// Requests as a sender compresses them at level 6, joined to one of a thousand records, beside the thousand compressed at level 4.
fn joining(records: usize) {
    let plain: Vec<_> = (0..(1000 / records).max(2) as u64).map(|seed| logs(records, seed)).collect();
    let parts: Vec<_> = plain
        .iter()
        .map(|plain| {
            let body = packed(plain, 6);
            let inflated = gzip::inflate::<Infallible>(&body, 1 << 24, |_| Ok(())).unwrap();
            Packed::new(body.into(), &inflated).unwrap()
        })
        .collect();
    let parts: Vec<_> = parts.iter().map(Part::Packed).collect();
    let whole = plain.concat();
    let size: usize = join(&parts).iter().map(|piece| piece.len()).sum();
    let (joined, compressed) = (best(|| drop(black_box(join(&parts)))), best(|| drop(black_box(packed(&whole, 4)))));
    println!(
        "{:>5} x {records:>4} records  join {:>8.1} us  compress {:>8.1} us  {:.3} x the size",
        plain.len(),
        joined.as_secs_f64() * 1e6,
        compressed.as_secs_f64() * 1e6,
        size as f64 / packed(&whole, 4).len() as f64,
    );
}
