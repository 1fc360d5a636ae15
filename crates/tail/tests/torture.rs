//! Rotation against a model: a writer of numbered lines does everything that loggers and rotation tools do, while a
//! tailer reads.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::type_complexity, reason = "tests")]

use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tail::{Config, Event, FileState, Line, Resumed, StartAt, Tailer, Take};

#[derive(Clone, Debug)]
enum Op {
    /// Whole lines.
    Write(u8),
    /// The first half of a line; the next write completes it.
    Half,
    /// `mv app.log app.log.N`, and a new one. The writer may write to the old one a last time.
    Rename {
        late: bool,
    },
    /// `cp app.log app.log.N; : > app.log`.
    CopyTruncate,
    /// The file is deleted and made anew, once it was looked at.
    Recreate,
    /// The oldest rotated file is compressed.
    Compress,
    Poll(u16),
    /// The tailer ends and begins anew. With `lag` the last lines it gave were not delivered.
    Restart {
        lag: u8,
    },
}

fn op(restarts: bool) -> impl Strategy<Value = Op> {
    let restart = if restarts { 2 } else { 0 };
    prop_oneof![
        8 => (1u8..60).prop_map(Op::Write),
        3 => Just(Op::Half),
        2 => any::<bool>().prop_map(|late| Op::Rename { late }),
        2 => Just(Op::CopyTruncate),
        1 => Just(Op::Recreate),
        1 => Just(Op::Compress),
        8 => (1u16..4000).prop_map(Op::Poll),
        restart => (0u8..6).prop_map(|lag| Op::Restart { lag }),
    ]
}

struct World {
    dir: tempfile::TempDir,
    config: Config,
    now: Instant,
    tailer: Tailer,
    file: File,
    half: Option<String>,
    written: u64,
    rotated: u32,
    /// How often each line was given.
    given: BTreeMap<u64, u32>,
    /// What the process would have kept: the state of each stream, and the ends of its lines as they were given.
    kept: BTreeMap<String, (FileState, Vec<(u64, u64)>)>,
    /// The tailer has seen the file that is written to.
    is_seen: bool,
}

impl World {
    fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let config = Config {
            include: vec![format!("{}/app.log*", dir.path().display())],
            start_at: StartAt::Beginning,
            // A line must never be divided by time.
            flush_after: Duration::ZERO,
            compression: tail::Compression::Auto,
            max_record: 4096,
            round: 1500,
            ..Config::default()
        };
        let now = Instant::now();
        let file = File::create(dir.path().join("app.log")).unwrap();
        let tailer = Tailer::new(config.clone(), vec![], now).unwrap();
        let (half, given, kept) = (None, BTreeMap::new(), BTreeMap::new());
        World { dir, config, now, tailer, file, half, written: 0, rotated: 0, given, kept, is_seen: false }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("app.log")
    }

    fn next(&mut self) -> PathBuf {
        self.rotated += 1;
        self.dir.path().join(format!("app.log.{:04}", self.rotated))
    }

    fn line(&mut self) -> String {
        let n = self.written;
        self.written += 1;
        format!("{n} {}\n", "x".repeat((n * 37 % 300) as usize))
    }

    fn complete(&mut self) {
        if let Some(rest) = self.half.take() {
            self.file.write_all(rest.as_bytes()).unwrap();
        }
    }

    fn poll(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
        loop {
            let (given, kept) = (&mut self.given, &mut self.kept);
            let mut lines: Vec<(String, u64, u64, u64)> = vec![];
            let mut sink = |line: &Line<'_>| {
                let text = std::str::from_utf8(line.text).unwrap();
                let n: u64 = text.split(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("{text:?}"));
                assert_eq!(text.len(), format!("{n} ").len() + (n * 37 % 300) as usize, "a line is whole");
                *given.entry(n).or_default() += 1;
                lines.push((line.id.to_string(), line.generation, line.range.start, line.range.end));
                Take::More
            };
            let next = self.tailer.poll(self.now, &mut sink);
            for event in self.tailer.take_events() {
                match event {
                    Event::Over { id } => drop(kept.remove(&*id)),
                    Event::Began { id, .. } => {
                        drop(kept.insert(id.to_string(), (self.tailer.state(&id).unwrap(), vec![])))
                    }
                    Event::Changed { id } => kept.get_mut(&*id).unwrap().0 = self.tailer.state(&id).unwrap(),
                    Event::AtEnd { .. } => {}
                }
            }
            for (id, generation, from, to) in lines {
                if let Some((state, ends)) = kept.get_mut(&id).filter(|(state, _)| state.generation == generation) {
                    let _ = state;
                    ends.push((from, to));
                }
            }
            if !next.is_ready {
                break;
            }
        }
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Write(lines) => {
                self.complete();
                let text: String = (0..*lines).map(|_| self.line()).collect();
                self.file.write_all(text.as_bytes()).unwrap();
            }
            Op::Half => {
                self.complete();
                let line = self.line();
                let (half, rest) = line.split_at(line.len() / 2);
                self.file.write_all(half.as_bytes()).unwrap();
                self.half = Some(rest.to_owned());
            }
            Op::Rename { late } => {
                self.complete();
                let to = self.next();
                fs::rename(self.path(), to).unwrap();
                if *late {
                    self.poll(100);
                    let line = self.line();
                    self.file.write_all(line.as_bytes()).unwrap();
                }
                self.file = File::create(self.path()).unwrap();
                self.is_seen = false;
            }
            Op::CopyTruncate => {
                self.complete();
                let to = self.next();
                fs::copy(self.path(), to).unwrap();
                OpenOptions::new().write(true).truncate(true).open(self.path()).unwrap();
                self.file = OpenOptions::new().append(true).open(self.path()).unwrap();
            }
            // What nobody has open is gone when it is deleted.
            Op::Recreate if self.is_seen => {
                self.complete();
                self.poll(3000);
                fs::remove_file(self.path()).unwrap();
                self.file = File::create(self.path()).unwrap();
                self.is_seen = false;
            }
            Op::Compress if self.is_seen => {
                // A file of which nothing was read cannot be known again when it is packed.
                self.poll(3000);
                let names = fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().path());
                let rotated = |path: &PathBuf| {
                    let name = path.file_name().unwrap().to_str().unwrap();
                    name != "app.log" && !name.ends_with(".gz")
                };
                if let Some(path) = names.filter(rotated).min() {
                    let to = path.with_file_name(format!("{}.gz", path.file_name().unwrap().to_str().unwrap()));
                    let bytes = fs::read(&path).unwrap();
                    let mut encoder =
                        flate2::write::GzEncoder::new(File::create(to).unwrap(), flate2::Compression::fast());
                    encoder.write_all(&bytes).unwrap();
                    encoder.finish().unwrap();
                    fs::remove_file(path).unwrap();
                }
            }
            Op::Poll(millis) => {
                self.poll(u64::from(*millis));
                self.is_seen |= *millis > 1000;
            }
            Op::Restart { lag } => {
                let resumed = |(id, (state, ends)): (&String, &(FileState, Vec<(u64, u64)>))| {
                    assert_eq!(*id, state.id);
                    let state: FileState = serde_json::from_str(&serde_json::to_string(state).unwrap()).unwrap();
                    // Lines one after the other: where the last that was delivered ends.
                    let delivered = &ends[..ends.len().saturating_sub(usize::from(*lag))];
                    let from = delivered.last().map_or(0, |(_, end)| *end);
                    Resumed { state, from, skip: vec![] }
                };
                let resumed: Vec<Resumed> = self.kept.iter().map(resumed).collect();
                for (resumed, (_, ends)) in resumed.iter().zip(self.kept.values_mut()) {
                    ends.retain(|(_, end)| *end <= resumed.from);
                }
                self.tailer = Tailer::new(self.config.clone(), resumed, self.now).unwrap();
                self.is_seen = false;
            }
            Op::Recreate | Op::Compress => {}
        }
    }

    fn finish(&mut self) {
        self.complete();
        for _ in 0..30 {
            self.poll(1500);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    /// Scenario (26, 27, 28): any order of whole and half lines, renames (with a last line to the old file),
    /// copytruncate, delete and recreate, compressing of rotated files, and polls. Guarantee: each line is given once,
    /// whole; nothing is counted as lost.
    #[test]
    fn every_line_is_read_once(ops in prop::collection::vec(op(false), 1..60)) {
        let mut world = World::new();
        for op in &ops {
            world.apply(op);
        }
        world.finish();
        let times = |n: u64| (n, world.given.get(&n).copied().unwrap_or(0));
        let wrong: Vec<(u64, u32)> = (0..world.written).map(times).filter(|(_, times)| *times != 1).collect();
        prop_assert!(wrong.is_empty(), "lines that were not given once: {:?} of {}", wrong, world.written);
        prop_assert_eq!(world.tailer.stats().lost_bytes, 0);
    }

    /// Scenario (14, 27): the same with restarts in between, after which the last lines were not delivered, and
    /// rotation while nobody reads. Guarantee: each line is given at least once.
    #[test]
    fn every_line_is_read_over_restarts(ops in prop::collection::vec(op(true), 1..60)) {
        let mut world = World::new();
        for op in &ops {
            world.apply(op);
        }
        world.finish();
        let missing: Vec<u64> = (0..world.written).filter(|n| !world.given.contains_key(n)).collect();
        prop_assert!(missing.is_empty(), "lines that were never given: {:?} of {}", missing, world.written);
    }
}
