//! Disks that are full, and files that are damaged: the process lives, tells senders to come back, and loses no more than what is
//! damaged.

use crate::harness::config::FAST_RETRY;
use crate::harness::network;
use crate::harness::process::Metrics;
use crate::harness::{Books, Bywash, Load, Pipeline, Rules, Sink, eventually, http, probe};
use flow::Attempt;
use serde_json::Value;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const STORED: &str = "sending_queue: {storage: file_storage}";
const STORAGE: &str = "directory: storage, create_directory: true, segment_bytes: 1MiB";
/// The queue of the logs of `otlp_grpc/a`.
const QUEUE: &str = "storage/otlp_grpc%2Fa/logs";
const PAGE: u64 = 4096;

fn config(sink: &Sink) -> String {
    Pipeline::new().grpc("a", sink.grpc[0], &[FAST_RETRY, STORED]).storage(STORAGE).yaml()
}

fn is_delivered(metrics: &Metrics) -> bool {
    metrics.sum("bywash_spool_records", &[]) == 0.0
}

fn troubles(metrics: &Metrics, kind: &str) -> f64 {
    metrics.sum("bywash_spool_disk_trouble", &[&format!("kind=\"{kind}\"")])
}

/// A small file system of a test's own, below its folder. Only within [`network::within`].
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    pub fn mount(dir: &Path) -> SmallDisk {
        let at = dir.join("storage");
        fs::create_dir(&at).unwrap();
        mount(&["-t", "tmpfs", "-o", "size=8m", "tmpfs"], &at);
        SmallDisk(at)
    }

    /// Takes all the space that is left.
    pub fn fill(&self) {
        let mut ballast = File::create(self.0.join("ballast")).unwrap();
        while ballast.write_all(&[0; PAGE as usize]).is_ok() {}
    }

    pub fn relieve(&self) {
        fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

async fn is_told_to_come_back(bywash: &Bywash) {
    let large = probe::large_error(200_000);
    let attempt = probe::grpc(bywash.grpc, large.clone()).await;
    let Attempt::Retry { after: Some(_), why, .. } = &attempt else { panic!("{attempt:?}") };
    assert!(why.text.contains("cannot be written to disk"), "{why}");
    let answer = http::post(bywash.http, "/v1/logs", "application/x-protobuf", &large).await.unwrap();
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0);
}

/// Scenario: under load with a dead backend the disk is full; then there is room; then it is full while the process is killed and started
/// again, and the backend recovers. Guarantee: the process lives and starts, senders are told to come back, it takes data again without a
/// restart; every acknowledged record arrives, once where nothing was killed, and no refused one does.
#[test]
fn a_full_disk_refuses_and_recovers() {
    network::within("disk_trouble::a_full_disk_refuses_and_recovers", async || {
        let mut sink = Sink::start(&["--fail", "unavailable"]).await;
        sink.behave("mode=fail").await;
        let dir = TempDir::new().unwrap();
        let disk = SmallDisk::mount(dir.path());
        fs::write(dir.path().join("config.yaml"), config(&sink)).unwrap();
        let bywash = Bywash::start_in(dir).await;
        let mut load = Load::start(bywash.grpc, &["--duration", "0", "--rate", "500", "--in-flight", "4"]);
        bywash.until("records on disk", |m| m.sum("bywash_spool_records", &[]) > 100.0).await;
        disk.fill();
        bywash.until("the trouble of all queues", |m| troubles(m, "full") == 3.0).await;
        is_told_to_come_back(&bywash).await;
        assert_eq!(bywash.health_status().await, Some(200), "it is no reason to be killed");
        disk.relieve();
        let full = bywash.scrape().await.sum("bywash_spool_records", &[]);
        let recovered = |m: &Metrics| troubles(m, "") == 0.0 && m.sum("bywash_spool_records", &[]) > full + 100.0;
        bywash.until("data to be taken again", recovered).await;
        let summary = load.stop().await;
        assert!(summary.refused > 0 && summary.acked > 0 && summary.failed == 0, "{summary:?}");
        sink.behave("mode=ok").await;
        bywash.until("all to be delivered", is_delivered).await;
        let balance = Books::read(&[&load.ids], &[&sink.ids]).balance(Rules::default());
        assert_eq!((balance.lost, balance.distinct), (0, summary.acked));

        sink.behave("mode=fail").await;
        let (second, summary) =
            Load::run(bywash.grpc, &["--requests", "60", "--rate", "0", "--first-id", "1000000"]).await;
        assert_eq!(summary.acked, 600, "{summary:?}");
        disk.fill();
        let bywash = Bywash::start_in(bywash.kill().await).await;
        is_told_to_come_back(&bywash).await;
        sink.behave("mode=ok").await;
        bywash.until("all to be delivered", is_delivered).await;
        disk.relieve();
        let mut last = Load::start(
            bywash.grpc,
            &["--duration", "0", "--rate", "500", "--in-flight", "4", "--first-id", "2000000"],
        );
        let taken = bywash.scrape().await.records("otelcol_exporter_sent", &[]);
        bywash.until("data to be taken", |m| m.records("otelcol_exporter_sent", &[]) > taken + 100).await;
        last.stop().await;
        bywash.until("all to be delivered", is_delivered).await;
        drop(bywash.end().await);
        let rules = Rules { duplicates: true, ..Rules::default() };
        assert_eq!(sink.books(&[&load, &second, &last]).await.balance(rules).lost, 0);
        drop(disk);
    });
}

fn mount(arguments: &[&str], at: &Path) {
    let status = Command::new("mount").args(arguments).arg(at).status().unwrap();
    assert!(status.success(), "mount {arguments:?}");
}

/// Scenario: under load the directory of a queue becomes read-only, and later writable again; after the end the whole storage is read-only at a start.
/// Guarantee: senders are told to come back, data is taken again without a restart, every acknowledged record arrives, once; the start says
/// what is wrong, and after that is mended it starts.
#[test]
fn a_read_only_disk_refuses_and_recovers() {
    network::within("disk_trouble::a_read_only_disk_refuses_and_recovers", async || {
        let mut sink = Sink::start(&[]).await;
        let dir = TempDir::new().unwrap();
        let disk = SmallDisk::mount(dir.path());
        fs::write(dir.path().join("config.yaml"), config(&sink)).unwrap();
        let bywash = Bywash::start_in(dir).await;
        let busy = ["--duration", "0", "--rate", "1000", "--in-flight", "4", "--signal", "logs", "--body", "5000"];
        let mut load = Load::start(bywash.grpc, &busy);
        sink.until("records", |n| n > 100).await;
        let queue = bywash.dir.path().join(QUEUE);
        // Of a place in the tree only: files that are open for writing keep a file system writable. It becomes read-only aside, where
        // nobody opens a file meanwhile, and is put in its place in one step.
        let aside = TempDir::new().unwrap();
        mount(&["--bind", queue.to_str().unwrap()], aside.path());
        mount(&["-o", "remount,bind,ro"], aside.path());
        mount(&["--bind", aside.path().to_str().unwrap()], &queue);
        let failures = |m: &Metrics| m.sum("bywash_spool_failed_syncs", &[]);
        bywash.until("the trouble", |m| troubles(m, "read_only") == 1.0 && failures(m) > 3.0).await;
        is_told_to_come_back(&bywash).await;
        for place in [queue.as_path(), aside.path()] {
            assert!(Command::new("umount").arg(place).status().unwrap().success());
        }
        let before = bywash.scrape().await.records("otelcol_exporter_sent", &[]);
        let recovered = |m: &Metrics| troubles(m, "") == 0.0 && m.records("otelcol_exporter_sent", &[]) > before + 1000;
        bywash.until("data to be taken again", recovered).await;
        let summary = load.stop().await;
        assert!(summary.refused > 0 && summary.failed == 0, "{summary:?}");
        bywash.until("all to be delivered", is_delivered).await;
        let dir = bywash.end().await;
        mount(&["-o", "remount,ro"], &disk.0);
        let mut process = Bywash::begin_in(dir.path());
        assert_eq!(process.ended().await, Some(1));
        eventually("the reason", async || {
            process.stderr.all().iter().any(|l| l.contains("Read-only file system")).then_some(())
        })
        .await;
        mount(&["-o", "remount,rw"], &disk.0);
        let bywash = Bywash::start_in(dir).await;
        drop(bywash.end().await);
        let balance = sink.books(&[&load]).await.balance(Rules::default());
        assert_eq!((balance.lost, balance.distinct), (0, summary.acked));
        drop(disk);
    });
}

/// A queue on disk as a process left it: a hundred requests of ten log records in several segments.
async fn filled() -> (TempDir, Load) {
    let sink = Sink::start(&["--fail", "unavailable"]).await;
    let bywash = Bywash::start(&config(&sink)).await;
    let args = ["--requests", "100", "--rate", "0", "--signal", "logs", "--body", "2500", "--in-flight", "1"];
    let (load, summary) = Load::run(bywash.grpc, &args).await;
    assert_eq!(summary.acked, 1000, "{summary:?}");
    (bywash.end().await, load)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => copy(&entry.path(), &to),
            kind if kind.is_file() => drop(fs::copy(entry.path(), to).unwrap()),
            // The socket of a process that is gone.
            _ => {}
        }
    }
}

fn segments(queue: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(queue).unwrap().map(|e| e.unwrap().path());
    let mut names: Vec<PathBuf> = names.filter(|p| p.extension().is_some_and(|e| e == "seg")).collect();
    names.sort();
    names
}

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// What is done to the files, and what that may cost.
struct Case {
    name: &'static str,
    harm: fn(&Path),
    /// Requests of ten records that are lost at least and at most.
    lost: [u64; 2],
    torn: f64,
    /// Whether each request lost is counted and its place logged.
    is_seen: bool,
    /// Files that are still there in the end.
    stay: &'static [&'static str],
}

const CASES: [Case; 6] = [
    Case {
        name: "the last write is torn",
        harm: |queue| edit(segments(queue).last().unwrap(), |bytes| bytes.truncate(bytes.len() - 100)),
        lost: [1, 1],
        torn: 1.0,
        is_seen: false,
        stay: &[],
    },
    Case {
        name: "a bit flips",
        harm: |queue| edit(&segments(queue)[1], |bytes| bytes[500_000] ^= 16),
        lost: [1, 1],
        torn: 0.0,
        is_seen: true,
        stay: &[],
    },
    Case {
        name: "a page is zero",
        harm: |queue| edit(&segments(queue)[1], |bytes| bytes[100 * PAGE as usize..101 * PAGE as usize].fill(0)),
        lost: [1, 2],
        torn: 0.0,
        is_seen: true,
        stay: &[],
    },
    Case {
        name: "a segment is gone",
        harm: |queue| fs::remove_file(&segments(queue)[1]).unwrap(),
        lost: [10, 50],
        torn: 0.0,
        is_seen: false,
        stay: &[],
    },
    Case {
        name: "there are foreign files",
        harm: |queue| {
            fs::write(queue.join("notes.txt"), "what is this").unwrap();
            fs::write(queue.join("0000000002.seg.bak"), "a copy").unwrap();
            fs::write(queue.join("0000000099.seg"), "x".repeat(10_000)).unwrap();
            fs::create_dir(queue.join("0000000050.seg")).unwrap();
        },
        lost: [0, 0],
        torn: 0.0,
        is_seen: false,
        stay: &["notes.txt", "0000000002.seg.bak", "0000000099.seg", "0000000050.seg"],
    },
    Case {
        name: "marks of a segment that is gone",
        harm: |queue| fs::write(queue.join("0000000077.marks"), [1; 100]).unwrap(),
        lost: [0, 0],
        torn: 0.0,
        is_seen: false,
        stay: &[],
    },
];

/// Scenario: the files of a queue are harmed in each of these ways before a start, and then the backend is well. Guarantee: it starts, loses
/// the damaged records alone, counts them and says where they were; foreign files are left alone; new data is taken and delivered.
#[tokio::test]
async fn damage_costs_what_is_damaged() {
    let (before, load) = filled().await;
    assert!(segments(&before.path().join(QUEUE)).len() >= 3, "several segments are to be there");
    for Case { name, harm, lost, torn, is_seen, stay } in CASES {
        println!("--- {name}");
        let mut sink = Sink::start(&[]).await;
        let dir = TempDir::new().unwrap();
        copy(before.path(), dir.path());
        let queue = dir.path().join(QUEUE);
        harm(&queue);
        fs::write(dir.path().join("config.yaml"), config(&sink)).unwrap();
        let bywash = Bywash::start_in(dir).await;
        let metrics = bywash.until("all to be delivered", is_delivered).await;
        let (after, summary) =
            Load::run(bywash.grpc, &["--requests", "9", "--rate", "0", "--first-id", "1000000"]).await;
        assert_eq!(summary.acked, 90, "{name}");
        bywash.until("all to be delivered", is_delivered).await;
        let said: Vec<Value> = bywash.process.stderr.json();
        let place =
            |l: &&Value| l["message"] == "damaged record in the spool" && l["segment"].is_u64() && l["offset"].is_u64();
        let places = said.iter().filter(place).count() as u64;
        for file in stay {
            assert!(queue.join(file).exists(), "{name}: {file}");
        }
        drop(bywash.end().await);
        let rules = Rules { acked_may_be_lost: true, ..Rules::default() };
        let balance = sink.books(&[&load, &after]).await.balance(rules);
        assert!((lost[0] * 10..=lost[1] * 10).contains(&balance.lost), "{name}: {balance:?}");
        assert_eq!(metrics.sum("bywash_spool_torn", &[]), torn, "{name}");
        if is_seen {
            let damaged = metrics.sum("bywash_spool_damaged", &[]) as u64;
            assert!(
                damaged > 0 && damaged == places && damaged * 10 <= balance.lost,
                "{name}: {damaged} {places} {balance:?}"
            );
        }
    }
}

/// Scenario: the directory of the storage is a file, or cannot be written to. Guarantee: the process does not start, and says which path is
/// wrong.
#[tokio::test]
async fn a_storage_that_cannot_be_is_named() {
    let sink = Sink::start(&[]).await;
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("config.yaml"), config(&sink)).unwrap();
    fs::write(dir.path().join("storage"), "a file").unwrap();
    let mut process = Bywash::begin_in(dir.path());
    let code = process.ended().await;
    assert!(matches!(code, Some(1 | 78)), "{code:?}");
    eventually("the reason", async || process.stderr.all().iter().any(|l| l.contains("storage")).then_some(())).await;
}
