//! Lines and bytes a second on one core, and what idle files cost.
//!
//! `cargo bench -p bywash-tail` prints the best of some rounds. Rates of a busy machine mean nothing: that is why the
//! best counts.

#![allow(clippy::print_stdout, clippy::disallowed_methods, clippy::unwrap_used, reason = "a benchmark")]

use std::fs;
use std::hint::black_box;
use std::io::Write;
use std::time::{Duration, Instant};
use tail::{Config, Encoding, Line, Multiline, StartAt, Tailer, Take, Where};

const ROUNDS: usize = 7;
const BYTES: usize = 256 << 20;

fn main() {
    let dir = tempfile::tempdir().unwrap();
    for len in [60, 200, 1000] {
        let path = dir.path().join("one.log");
        let line = format!("2026-11-29T15:00:00Z INFO {}\n", "request served ".repeat(len / 15 + 1));
        let text = line[line.len() - len..].repeat(BYTES / len);
        fs::write(&path, &text).unwrap();
        let joined = Multiline::new("^request", Where::Start, false).unwrap();
        for (name, encoding, multiline) in
            [("utf-8", Encoding::Utf8, None), ("nop", Encoding::Raw, None), ("multiline", Encoding::Utf8, Some(joined))]
        {
            let config = Config { encoding, multiline, ..config(path.to_str().unwrap()) };
            let (time, lines) = best(|| read(&config));
            let rate = |n: f64| n / time.as_secs_f64();
            println!(
                "{name:>9}, lines of {len:>4} bytes: {:>5.0} MiB/s {:>5.1} M records/s",
                rate(text.len() as f64 / 1048576.0),
                rate(lines as f64 / 1e6),
            );
        }
    }
    idle(dir.path());
}

fn config(include: &str) -> Config {
    Config { include: vec![include.to_owned()], start_at: StartAt::Beginning, ..Config::default() }
}

fn best(mut run: impl FnMut() -> u64) -> (Duration, u64) {
    (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            let lines = run();
            (start.elapsed(), lines)
        })
        .min()
        .unwrap()
}

fn read(config: &Config) -> u64 {
    let now = Instant::now();
    let mut tailer = Tailer::new(config.clone(), vec![], now).unwrap();
    let mut lines = 0;
    let mut sink = |line: &Line<'_>| {
        black_box(line.text);
        lines += 1;
        Take::More
    };
    while tailer.poll(now, &mut sink).is_ready {}
    lines
}

/// Ten thousand files that do not grow, for a minute of their time.
fn idle(dir: &std::path::Path) {
    let many = dir.join("many");
    fs::create_dir(&many).unwrap();
    for n in 0..10_000 {
        let mut file = fs::File::create(many.join(format!("{n}.log"))).unwrap();
        writeln!(file, "the only line of {n}").unwrap();
    }
    let mut now = Instant::now();
    let mut tailer = Tailer::new(config(&format!("{}/*.log", many.display())), vec![], now).unwrap();
    let mut sink = |_: &Line<'_>| Take::More;
    let mut minute = |tailer: &mut Tailer| {
        let (end, start, mut polls) = (now + Duration::from_secs(60), Instant::now(), 0);
        while now < end {
            let next = tailer.poll(now, &mut sink);
            polls += 1;
            if !next.is_ready {
                now = next.at.max(now + Duration::from_millis(1));
            }
        }
        (start.elapsed(), polls)
    };
    minute(&mut tailer);
    let (time, polls) = minute(&mut tailer);
    println!("10 000 idle files: {:.2} % of a core, {polls} polls a minute", time.as_secs_f64() / 60.0 * 100.0);
}
