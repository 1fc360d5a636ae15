use super::*;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Command;

/// Far more than a test needs.
const AMPLE: Duration = Duration::from_secs(20);
/// What a pipe holds, and more.
const PIPEFUL: usize = 1 << 20;

/// A named pipe in a folder of its own.
fn pipe() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

/// Its end that reads; opening it waits for nobody.
fn reader(path: &str) -> File {
    OpenOptions::new().read(true).write(true).open(path).unwrap()
}

fn line(n: usize) -> Vec<u8> {
    format!("line {n} {}\n", "x".repeat(2000)).into_bytes()
}

fn dropped_by(path: &str) -> u64 {
    dropped().into_iter().find(|(output, _)| output == path).unwrap().1
}

/// Scenario: two writers to one file, dropped before all is written. Guarantee: one thread and one file, every text whole and in order, and
/// a flush waits for what is left although nobody has the output any more; afterwards it is not known any more.
#[test]
fn what_was_handed_over_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out").to_str().unwrap().to_owned();
    let (a, b) = (Writer::open(&path).unwrap(), Writer::open(&path).unwrap());
    assert!(Arc::ptr_eq(&a.0, &b.0));
    for n in 0..500 {
        [&a, &b][n % 2].put(format!("{n}\n").into_bytes());
    }
    drop((a, b));
    flush(AMPLE);
    let expected: String = (0..500).map(|n| format!("{n}\n")).collect();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
    assert!(dropped().iter().all(|(output, _)| *output != path));
}

/// Scenario: nobody reads a pipe; far more is put than pipe and queue hold; then it is read. Guarantee: putting never waits, memory stays
/// bounded, a flush ends in time, what was written is whole and in order, and a line says how many are missing: as many as were counted.
#[test]
fn what_finds_no_room_is_counted_and_told() {
    let (_folder, path) = pipe();
    let pipe = reader(&path);
    let writer = Writer::open_now(&path, true).unwrap();
    let all = (PIPEFUL + 2 * MAX_BYTES) / 2000;
    (0..all).for_each(|n| writer.put(line(n)));
    let state = writer.0.state.clone();
    assert!(state.bytes.load(Acquire) <= MAX_BYTES && state.messages.load(Acquire) <= MAX_MESSAGES);
    flush(Duration::from_millis(50));
    let missing = dropped_by(&path);
    assert!(missing > 0 && !writer.is_idle());
    let mut lines = BufReader::new(pipe).lines().map(Result::unwrap);
    // Others may ask that all be written, so that it tells more than once.
    let (mut read, mut told, mut last) = (0, 0, None);
    while told < missing || read < all - missing as usize {
        let text = lines.next().unwrap();
        let Some(n) = text.strip_prefix("line ").and_then(|rest| rest.split(' ').next()?.parse().ok()) else {
            let notice: serde_json::Value = serde_json::from_str(&text).unwrap();
            let dropped = notice["dropped"].as_u64().unwrap();
            assert_eq!(notice["message"], format!("{dropped} log lines were dropped: nobody read them"));
            assert_eq!((&notice["level"], &notice["output"]), (&"WARN".into(), &path.as_str().into()));
            told += dropped;
            continue;
        };
        assert!(text.len() + 1 == line(n).len() && last < Some(n));
        (last, read) = (Some(n), read + 1);
    }
    assert_eq!((told, read), (missing, all - missing as usize));
    writer.put(b"after\n".to_vec());
    assert_eq!(lines.next().unwrap(), "after");
}

/// Scenario: one who waits for room, while a reader reads slowly, and when it does not read at all. Guarantee: nothing is missing while it
/// reads; without a reader a text is waited for, and then those after it are dropped at once.
#[tokio::test(start_paused = true)]
async fn a_slow_reader_misses_nothing() {
    let (_folder, path) = pipe();
    let mut pipe = reader(&path);
    let writer = Writer::open(&path).unwrap();
    let all = (PIPEFUL + 2 * MAX_BYTES) / 2000;
    // While it runs the clock stands still.
    let reads = tokio::task::spawn_blocking(move || {
        let mut bytes = vec![0; PIPEFUL];
        let (mut read, whole) = (0, (0..all).map(|n| line(n).len()).sum::<usize>());
        while read < whole {
            read += pipe.read(&mut bytes).unwrap();
        }
        pipe
    });
    for n in 0..all {
        writer.put_patiently(line(n)).await;
    }
    let _pipe = reads.await.unwrap();
    assert_eq!(dropped_by(&path), 0);
    let began = tokio::time::Instant::now();
    for put in 0.. {
        let (before, asked) = (dropped_by(&path), tokio::time::Instant::now());
        writer.put_patiently(line(0)).await;
        if dropped_by(&path) > before && asked.elapsed().is_zero() {
            break;
        }
        assert!(put < all * 2, "each is waited for");
    }
    assert!(began.elapsed() >= PATIENCE);
}

/// Scenario: the reader of a pipe goes away, and another comes. Guarantee: lines that could not be written are counted, nothing ends, and
/// the new reader gets what comes then, and why lines are missing.
#[test]
fn a_broken_output_is_tried_again() {
    let (_folder, path) = pipe();
    let first = reader(&path);
    let writer = Writer::open_now(&path, false).unwrap();
    writer.put(b"one\n".to_vec());
    let mut first = BufReader::new(first).lines().map(Result::unwrap);
    assert_eq!(first.next().unwrap(), "one");
    drop(first);
    writer.put(b"two\n".to_vec());
    writer.put(b"three\n".to_vec());
    flush(AMPLE);
    assert_eq!(dropped_by(&path), 2);
    let second = reader(&path);
    writer.put(b"four\n".to_vec());
    let mut lines = BufReader::new(second).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "four");
    let told = lines.next().unwrap();
    assert!(told.contains("WARN") && told.contains("2 log lines were dropped: Broken pipe"), "{told}");
}

/// Scenario: the folder of a file is missing, then there. Guarantee: lines before are counted, those after are written.
#[test]
fn what_cannot_be_opened_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("later/out");
    let writer = Writer::open(path.to_str().unwrap()).unwrap();
    writer.put(b"one\n".to_vec());
    flush(AMPLE);
    assert_eq!(dropped_by(path.to_str().unwrap()), 1);
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    writer.put(b"two\n".to_vec());
    flush(AMPLE);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("two\n") && text.contains("1 log lines were dropped: No such file"), "{text}");
    assert!(Writer::open_now("/nonexistent/x.log", false).is_err());
}

/// Scenario: an output takes half of a line and then fails. Guarantee: the next line begins on a line of its own.
#[test]
fn a_line_that_was_cut_off_ends() {
    let full = Path::new("/dev/full");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    let state = Arc::new(State { output: path.to_str().unwrap().to_owned(), ..State::default() });
    let mut sink = Sink { state, file: None, is_torn: true, is_failing: false, told: 0, why: None, quiet: 0 };
    std::fs::write(&path, "half of a li").unwrap();
    sink.file = Some(OpenOptions::new().append(true).open(full).unwrap());
    assert!(sink.write(b"lost\n").is_err() && sink.is_torn);
    sink.file = None;
    sink.write(b"whole\n").unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "half of a li\nwhole\n");
}
