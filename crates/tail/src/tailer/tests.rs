#![allow(
    clippy::disallowed_methods,
    clippy::type_complexity,
    clippy::single_range_in_vec_init,
    reason = "a first instant; what was read is compared as pairs and lists"
)]

use super::*;
use crate::config::{Compression, StartAt};
use crate::encoding::Encoding;
use flate2::write::GzEncoder;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

struct World {
    dir: tempfile::TempDir,
    config: Config,
    now: Instant,
    tailer: Tailer,
    lines: Vec<(Arc<str>, u64, Range<u64>, String, Option<Part>)>,
    events: Vec<Event>,
    /// Records that are taken in one poll.
    most: usize,
}

impl World {
    fn new(change: impl FnOnce(&mut Config)) -> World {
        let dir = tempfile::tempdir().unwrap();
        let include = vec![format!("{}/*.log", dir.path().display())];
        let mut config = Config { include, start_at: StartAt::Beginning, ..Config::default() };
        change(&mut config);
        config
            .include
            .iter_mut()
            .chain(&mut config.exclude)
            .for_each(|text| *text = text.replace("DIR", dir.path().to_str().unwrap()));
        let now = Instant::now();
        let tailer = Tailer::new(config.clone(), vec![], now).unwrap();
        World { dir, config, now, tailer, lines: vec![], events: vec![], most: usize::MAX }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.path(name)).unwrap();
        file.write_all(bytes.as_ref()).unwrap();
    }

    /// Lets time go by, with a poll every 200 ms.
    fn pass(&mut self, seconds: f64) {
        let end = self.now + Duration::from_secs_f64(seconds);
        while self.now < end {
            self.now = end.min(self.now + Duration::from_millis(200));
            self.poll();
        }
    }

    fn poll(&mut self) {
        let (lines, mut taken, most) = (&mut self.lines, 0, self.most);
        let mut sink = |line: &Line<'_>| {
            let text = String::from_utf8_lossy(line.text).into_owned();
            lines.push((line.id.clone(), line.generation, line.range.clone(), text, line.part));
            taken += 1;
            if taken % most == 0 { Take::Enough } else { Take::More }
        };
        // Some rounds: with `most` it goes on at the next poll.
        for _ in 0..if most == usize::MAX { 1000 } else { 1 } {
            if !self.tailer.poll(self.now, &mut sink).is_ready {
                break;
            }
        }
        self.events.extend(self.tailer.take_events());
    }

    fn texts(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines).into_iter().map(|(_, _, _, text, _)| text).collect()
    }

    /// Ends, and begins anew with positions before which all was delivered.
    fn restart(&mut self, resume: impl Fn(&FileState) -> (u64, Vec<Range<u64>>)) {
        let ids: Vec<Arc<str>> = self.tailer.by_id.keys().cloned().collect();
        let resumed = |id: Arc<str>| {
            let state = self.tailer.state(&id).unwrap();
            let (from, skip) = resume(&state);
            Resumed { state, from, skip }
        };
        let resumed = ids.into_iter().map(resumed).collect();
        self.tailer = Tailer::new(self.config.clone(), resumed, self.now).unwrap();
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(vec![], flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Scenario: a file that was there before with `end`, lines after that, and a file that comes later. Guarantee: only
/// what is new is given; of the new file all.
#[test]
fn the_end_is_where_the_file_ended() {
    let mut world = World::new(|config| config.start_at = StartAt::End);
    world.write("a.log", "old\n");
    world.pass(1.0);
    world.write("a.log", "new\n");
    world.write("b.log", "other\n");
    world.pass(3.0);
    let mut texts = world.texts();
    texts.sort();
    assert_eq!(texts, ["new", "other"]);
}

/// Scenario (28): a line in two parts within the flush period, one without an end. Guarantee: the former is one record;
/// the latter comes after the period, once, and what follows it is another record. Offsets follow each other.
#[test]
fn a_rest_is_flushed_when_it_is_quiet() {
    let mut world = World::new(|_| {});
    world.write("a.log", "hello ");
    world.pass(0.4);
    world.write("a.log", "world\nrest");
    world.pass(0.4);
    assert_eq!(world.texts(), ["hello world"]);
    world.pass(1.0);
    world.write("a.log", " of it\n");
    world.pass(1.0);
    let ranges: Vec<Range<u64>> = world.lines.iter().map(|(_, _, range, ..)| range.clone()).collect();
    assert_eq!((world.texts(), ranges), (vec!["rest".into(), " of it".into()], vec![12..16, 16..23]));
}

/// Scenario (28): CRLF, NUL, broken UTF-8, byte order marks, UTF-16, Latin-1. Guarantee: the text that it is.
#[test]
fn text_is_what_its_encoding_says() {
    let utf_16: Vec<u8> = "\u{feff}é\r\n😀\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
    for (encoding, bytes, expected) in [
        (Encoding::Utf8, b"\xef\xbb\xbfa\0b\r\nc\xff\n".to_vec(), ["a\0b", "c\u{fffd}"]),
        (Encoding::Utf16 { big: true }, utf_16, ["é", "😀"]),
        (Encoding::Latin1, b"\xe9\n\xff\n".to_vec(), ["é", "ÿ"]),
    ] {
        let mut world = World::new(|config| config.encoding = encoding);
        world.write("a.log", bytes);
        world.pass(1.0);
        assert_eq!(world.texts(), expected);
    }
}

/// Scenario: two files with the same first 2 000 bytes, one of which comes later. Guarantee: both are read.
#[test]
fn files_that_begin_alike_are_two_files() {
    let mut world = World::new(|_| {});
    let banner = format!("{}\n", "=".repeat(1999));
    world.write("a.log", format!("{banner}1\n"));
    world.pass(2.0);
    world.write("b.log", format!("{banner}2\n"));
    world.pass(2.0);
    world.write("c.log", &banner);
    world.pass(6.0);
    assert_eq!(world.texts(), [banner.trim(), "1", banner.trim(), "2", banner.trim()]);
}

/// Scenario (27): a file is replaced by one with the same beginning, at the same place. Guarantee: the new one is read
/// from its beginning.
#[test]
fn a_successor_is_no_copy() {
    let mut world = World::new(|config| config.exclude = vec!["DIR/*.old.log".into()]);
    world.write("a.log", "start\n");
    world.pass(2.0);
    fs::rename(world.path("a.log"), world.path("a.old.log")).unwrap();
    world.write("a.log", "start\nready\n");
    world.pass(3.0);
    assert_eq!(world.texts(), ["start", "start", "ready"]);
}

/// Scenario (26): a file is emptied and filled beyond what it was between two looks; then it shrinks. Guarantee: what
/// is in it is read from the beginning, in a new generation each time, and what went away unread is counted.
#[test]
fn a_file_that_is_written_anew_is_read_anew() {
    let mut world = World::new(|config| config.flush_after = Duration::ZERO);
    world.write("a.log", "one\ntwo\nthr");
    world.pass(1.0);
    fs::write(world.path("a.log"), "another\nfile altogether\n").unwrap();
    world.pass(1.0);
    fs::write(world.path("a.log"), "x\n").unwrap();
    world.pass(1.0);
    let generations: Vec<u64> = world.lines.iter().map(|(_, generation, ..)| *generation).collect();
    assert_eq!(world.texts(), ["one", "two", "another", "file altogether", "x"]);
    assert_eq!(generations, [0, 0, 1, 1, 2]);
    let stats = world.tailer.stats();
    assert_eq!((stats.emptied, stats.lost_bytes), (2, 3));
    let notice = world.tailer.take_notices().remove(0);
    assert!(notice.trouble == Trouble::Lost && notice.to_string().contains("3 bytes were not read"), "{notice}");
}

/// Scenario (27): a file is deleted with lines that were not read, one is written to it after that, and another is made
/// in its place. Guarantee: all of both is read; the old one is over when it is quiet.
#[test]
fn a_deleted_file_is_read_to_its_end() {
    let mut world = World::new(|_| {});
    world.write("a.log", "1\n");
    world.pass(1.0);
    let mut old = OpenOptions::new().append(true).open(world.path("a.log")).unwrap();
    old.write_all(b"2\n").unwrap();
    fs::remove_file(world.path("a.log")).unwrap();
    world.write("a.log", "4\n");
    world.pass(2.0);
    old.write_all(b"3").unwrap();
    world.pass(10.0);
    let mut texts = world.texts();
    texts.sort();
    assert_eq!(texts, ["1", "2", "3", "4"]);
    assert_eq!(world.events.iter().filter(|event| matches!(event, Event::Over { .. })).count(), 1);
    assert_eq!(world.tailer.stats().files, 1);
}

/// Scenario: unread bytes of deleted files above their bound. Guarantee: the oldest is closed, and every byte of it
/// that was not read is counted.
#[test]
fn deleted_files_do_not_keep_the_disk() {
    let mut world = World::new(|config| config.old_bytes = 100);
    world.write("a.log", "first\n");
    world.pass(1.0);
    world.most = 1;
    world.write("a.log", "x".repeat(50) + "\n" + &"y".repeat(150) + "\n");
    fs::remove_file(world.path("a.log")).unwrap();
    world.now += Duration::from_secs(1);
    world.poll();
    let read: u64 = world.lines.iter().map(|(_, _, range, ..)| range.end).max().unwrap();
    world.now += Duration::from_secs(10);
    world.poll();
    let lost = world.tailer.stats().lost_bytes;
    assert_eq!((read, lost, world.tailer.stats().files), (57, 151, 0));
}

/// Scenario (25): after a restart 0..6 and 14..19 of "19" were delivered, by positions 6 and a range. Guarantee: only
/// the gap and the tail are given.
#[test]
fn only_gaps_and_the_tail_are_given_again() {
    let mut world = World::new(|_| {});
    world.write("a.log", "12345\n1234567\n1234\n");
    world.pass(1.0);
    world.restart(|_| (6, vec![14..19]));
    world.write("a.log", "tail\n");
    world.lines.clear();
    world.pass(1.0);
    let ranges: Vec<Range<u64>> = world.lines.iter().map(|(_, _, range, ..)| range.clone()).collect();
    assert_eq!((world.texts(), ranges), (vec!["1234567".into(), "tail".into()], vec![6..14, 19..24]));
}

/// Scenario (25): the file was emptied while nobody read it, positions lie past its end. Guarantee: all that is in it
/// is given once.
#[test]
fn positions_past_the_end_mean_another_content() {
    let mut world = World::new(|_| {});
    world.write("a.log", "x\n".repeat(100));
    world.pass(1.0);
    world.restart(|_| (6, vec![100..200]));
    fs::write(world.path("a.log"), "new 1\nnew 2\n").unwrap();
    world.lines.clear();
    world.pass(1.0);
    assert_eq!((world.lines[0].1, world.texts()), (1, vec!["new 1".into(), "new 2".into()]));
}

/// Scenario (27): rotation while nobody reads: by a rename, by copying and emptying, with lines before and after; `end`
/// is configured. Guarantee: each line once.
#[test]
fn rotation_while_nobody_reads_loses_nothing() {
    for by_copy in [false, true] {
        let mut world = World::new(|config| config.start_at = StartAt::End);
        world.pass(0.5);
        world.write("a.log", "1\n2\n");
        world.pass(3.0);
        world.restart(|state| (state.check.at, vec![]));
        world.write("a.log", "3\n");
        if by_copy {
            fs::copy(world.path("a.log"), world.path("a.1.log")).unwrap();
            fs::write(world.path("a.log"), "4\n5\n6\n7\n").unwrap();
        } else {
            fs::rename(world.path("a.log"), world.path("a.1.log")).unwrap();
            world.write("a.log", "4\n5\n6\n7\n");
        }
        world.pass(3.0);
        let mut texts = world.texts();
        texts.sort();
        assert_eq!(texts, ["1", "2", "3", "4", "5", "6", "7"], "{by_copy}");
    }
}

/// Scenario: a pipe, a directory and a link to the directory above, all within the patterns. Guarantee: none is opened,
/// each is told once with what to do, and files below are found.
#[test]
fn what_is_no_file_is_passed_over() {
    let mut world = World::new(|config| config.include = vec!["DIR/**/*.log".into()]);
    world.write("a.log", "1\n");
    fs::create_dir_all(world.path("x.log/y")).unwrap();
    world.write("x.log/y/b.log", "2\n");
    std::os::unix::fs::symlink(world.dir.path(), world.path("x.log/up")).unwrap();
    std::os::unix::fs::symlink(world.path("a.log"), world.path("same.log")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(world.path("pipe.log")).status().unwrap();
    assert!(made.success());
    world.pass(25.0);
    let mut texts = world.texts();
    texts.sort();
    assert_eq!(texts, ["1", "2"]);
    let troubles = |trouble| world.tailer.troubles(trouble);
    assert_eq!((troubles(Trouble::NotAFile), troubles(Trouble::Loop)), (2, 1));
    assert!(world.tailer.take_notices().iter().all(|notice| !notice.trouble.remedy().is_empty()));
}

/// Scenario: a line of 8 MiB, written in pieces, with a limit of 64 KiB; characters of three bytes. Guarantee: numbered
/// parts that are whole characters and give the line again; memory does not grow with it.
#[test]
fn a_long_line_comes_in_parts() {
    let mut world = World::new(|config| config.max_record = 64 << 10);
    let line = "é漢x".repeat(1 << 17);
    for piece in line.as_bytes().chunks(1_000_001) {
        world.write("a.log", piece);
        world.pass(0.2);
    }
    world.write("a.log", "\nshort\n");
    world.pass(1.0);
    let parts: Vec<Part> = world.lines.iter().filter_map(|(.., part)| *part).collect();
    assert!(
        parts.iter().enumerate().all(|(n, part)| part.number as usize == n && part.is_last == (n + 1 == parts.len()))
    );
    assert!(world.lines.iter().all(|(_, _, range, ..)| range.end - range.start <= (64 << 10) + 1));
    let mut texts = world.texts();
    assert_eq!(texts.pop().as_deref(), Some("short"));
    assert!(texts.concat() == line && !line.contains('\u{fffd}'));
    assert!(world.tailer.buffer.capacity() <= 512 << 10);
}

/// Scenario: forty files, four of which may be open, one of them large. Guarantee: all are read, each once; none waits
/// for the large one.
#[test]
fn files_take_turns() {
    let mut world = World::new(|config| (config.max_open, config.round) = (4, 1000));
    world.write("00.log", "a large one\n".repeat(5000));
    for n in 1..40 {
        world.write(&format!("{n:02}.log"), format!("{n}\n"));
    }
    world.now += Duration::from_millis(200);
    world.most = 200;
    for _ in 0..12 {
        world.poll();
    }
    let small = world.lines.iter().filter(|(.., text, _)| !text.starts_with('a')).count();
    assert_eq!(small, 39, "the small ones come in the first rounds");
    world.most = usize::MAX;
    world.pass(1.0);
    assert_eq!(world.texts().len(), 5039);
    assert!(world.tailer.stats().open <= 4);
    for n in 1..40 {
        world.write(&format!("{n:02}.log"), "again\n");
    }
    world.pass(4.0);
    assert_eq!(world.texts(), vec!["again"; 39]);
}

/// Scenario: gzip files, told by their beginning, one of which is damaged; a rotated file is compressed. Guarantee:
/// what can be read is given once; the damage is told.
#[test]
fn packed_files_are_read() {
    let mut world = World::new(|config| {
        config.compression = Compression::Auto;
        config.include = vec!["DIR/*".into()];
    });
    let text: String = (0..1000).map(|n| format!("line {n}\n")).collect();
    world.write("a.gz", [gzip(&text.as_bytes()[..4000]), gzip(&text.as_bytes()[4000..])].concat());
    world.write("plain", &text);
    world.pass(2.0);
    assert_eq!(world.texts().len(), 2000);
    world.write("plain.gz", gzip(text.as_bytes()));
    fs::remove_file(world.path("plain")).unwrap();
    world.pass(15.0);
    assert_eq!(world.texts().len(), 0);
    let packed = gzip(&text.as_bytes()[7..]);
    world.write("cut.gz", &packed[..packed.len() - 20]);
    world.pass(15.0);
    let given = world.texts().len();
    assert!(given < 1000, "{given}");
    assert_eq!(world.tailer.troubles(Trouble::Damaged), 1);
}

/// Scenario: more files than may be known, and a pattern to leave some out. Guarantee: those beyond are counted and
/// told once.
#[test]
fn there_is_a_bound_for_files() {
    let mut world = World::new(|config| {
        config.max_files = 10;
        config.exclude = vec!["DIR/x*".into()];
    });
    for n in 0..30 {
        world.write(&format!("{n}.log"), "1\n");
        world.write(&format!("x{n}.log"), "1\n");
    }
    world.pass(3.0);
    assert_eq!((world.texts().len(), world.tailer.stats().files, world.tailer.stats().left_out), (10, 10, 20));
    assert!(world.tailer.take_notices()[0].to_string().contains("more than 10 files"));
}

/// Scenario: a file of which all was given is to be deleted, once after more was written and once not. Guarantee: only
/// the latter deletes it.
#[test]
fn only_what_was_read_is_deleted() {
    let mut world = World::new(|_| {});
    world.write("a.log", "1\n");
    world.pass(2.0);
    let ends =
        world.events.iter().filter_map(|event| if let Event::AtEnd { id } = event { Some(id.clone()) } else { None });
    let ids: Vec<Arc<str>> = ends.collect();
    assert_eq!(ids.len(), 1);
    world.write("a.log", "2\n");
    assert!(!world.tailer.delete(&ids[0]).unwrap());
    world.pass(3.0);
    assert!(world.tailer.delete(&ids[0]).unwrap() && !world.path("a.log").exists());
    world.pass(12.0);
    assert_eq!((world.texts(), world.tailer.stats().files), (vec!["1".into(), "2".into()], 0));
}

/// Scenario: an inode gets another file while nobody reads: other content, longer than what was read. Guarantee: it is
/// read from its beginning.
#[test]
fn a_used_inode_is_another_file() {
    let mut world = World::new(|_| {});
    world.write("a.log", "1\n2\n");
    world.pass(1.0);
    world.restart(|state| (state.check.at, vec![]));
    // The same inode with other bytes is what a recreated file on a file system without birth times looks like.
    let mut file = File::create(world.path("a.log")).unwrap();
    file.write_all(b"3\n4\n5\n").unwrap();
    world.lines.clear();
    world.pass(1.0);
    assert_eq!(world.texts(), ["3", "4", "5"]);
}

/// Scenario: a memo that a caller notes of a file, and a restart. Guarantee: it comes with the records, and is there
/// again.
#[test]
fn a_memo_stays_with_its_file() {
    let mut world = World::new(|_| {});
    world.write("a.log", "1\n");
    world.pass(1.0);
    let id = world.lines[0].0.clone();
    world.tailer.set_memo(&id, "host=a".into());
    assert!(world.tailer.take_events().contains(&Event::Changed { id: id.clone() }));
    world.restart(|state| (state.check.at, vec![]));
    assert_eq!(world.tailer.state(&id).unwrap().memo, "host=a");
}
