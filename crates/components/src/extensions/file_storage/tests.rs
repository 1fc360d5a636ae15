use super::hold::{HoldError, hold, unused};
use super::*;
use config::testing::{decoded, problems};
use std::os::unix::fs::PermissionsExt;

fn config(yaml: &str) -> Config {
    decoded(yaml)
}

/// Scenario: nothing is written but an existing directory. Guarantee: the collector's defaults, ours beside them, no complaint.
#[test]
fn the_defaults_are_the_collectors() {
    let config = Config::default();
    assert_eq!(config.directory, "/var/lib/otelcol/file_storage");
    assert_eq!((config.timeout, config.mode()), (GoDuration::from_secs(1), Ok(0o750)));
    let id: ComponentId = "otlp/a".parse().unwrap();
    let storage = config.storage(&id, Signal::Logs);
    assert_eq!(storage, StorageConfig::new("/var/lib/otelcol/file_storage/otlp%2Fa/logs"));
    assert_eq!((storage.max_bytes, storage.segment_bytes), (10 << 30, 64 << 20));
    assert_eq!(problems::<Config>("directory: /"), []);
}

/// Scenario: every key written. Guarantee: each arrives; the collector's `max_size` is `max_bytes`.
#[test]
fn every_key_arrives() {
    let yaml = "{directory: /, timeout: 5s, fsync: true, create_directory: true, directory_permissions: 0700, max_size: 1000, \
                max_age: 336h, when_full: dead_letter_oldest, dead_letters: {max_bytes: 1MiB, max_age: 1h}, segment_bytes: 2MiB}";
    assert_eq!(problems::<Config>(yaml), []);
    let storage = config(yaml).storage(&ComponentId::unnamed("otlp"), Signal::Traces);
    let expected = StorageConfig {
        directory: "/otlp/traces".into(),
        max_bytes: 1000,
        max_age: Duration::from_secs(14 * 24 * 3600),
        when_full: WhenFull::DeadLetterOldest,
        dead_letters: Some(DeadLettersConfig { max_bytes: 1 << 20, max_age: Duration::from_secs(3600) }),
        segment_bytes: 2 << 20,
        lock_timeout: Duration::from_secs(5),
    };
    assert_eq!(storage, expected);
    assert_eq!(config(yaml).mode(), Ok(0o700));
    let off = config("dead_letters: {enabled: false}").storage(&ComponentId::unnamed("a"), Signal::Logs);
    assert_eq!(off.dead_letters, None);
}

/// Scenario: keys that mean nothing here. Guarantee: a warning at each, and no error.
#[test]
fn what_changes_nothing_is_said() {
    let yaml = "{directory: /, fsync: false, recreate: true, compaction: {on_start: true, on_rebound: true, directory: /tmp, \
                max_transaction_size: 65_536, rebound_needed_threshold_mib: 100, rebound_trigger_threshold_mib: 10, \
                check_interval: 5s, cleanup_on_start: true}}";
    let found = problems::<Config>(yaml);
    assert_eq!(found.iter().map(|(at, _)| at.as_str()).collect::<Vec<_>>(), ["fsync", "compaction", "recreate"]);
    assert!(found.iter().all(|(_, text)| text.starts_with("has no effect")), "{found:?}");
}

/// Scenario: each rule is broken. Guarantee: an error at its key, in the collector's words where it has them.
#[test]
fn broken_rules_are_errors_at_their_keys() {
    for (yaml, at, text) in [
        (
            "directory: /nonexistent/a",
            "directory",
            "directory must exist: stat /nonexistent/a: no such file or directory. You",
        ),
        ("directory: /etc/hostname", "directory", "/etc/hostname is not a directory"),
        ("directory: ''", "directory", "must not be empty"),
        ("{directory: /, directory_permissions: rwx}", "directory_permissions", "must be a valid octal representation"),
        (
            "{directory: /, directory_permissions: '1777'}",
            "directory_permissions",
            "contain invalid bits for file access",
        ),
        ("{directory: /, max_size: 1, max_bytes: 1}", "max_size", "mean the same"),
        ("{directory: /, segment_bytes: 2GiB}", "segment_bytes", "from 1MiB to 1GiB"),
        (
            "{directory: /, when_full: dead_letter_oldest, dead_letters: {enabled: false}}",
            "when_full",
            "needs `dead_letters`",
        ),
        ("{directory: /, when_full: drop}", "when_full", "shed_routine"),
        ("{directory: /, compaction: {on_stop: true}}", "compaction.on_stop", "on_start"),
    ] {
        let found = problems::<Config>(yaml);
        assert!(found.iter().any(|(path, why)| path == at && why.contains(text)), "{yaml}: {found:?}");
    }
    assert_eq!(problems::<Config>("{directory: /nonexistent/a, create_directory: true}"), []);
}

/// Scenario: a missing directory that may be made, taken twice, and given back. Guarantee: it is made with its permissions; the second holder is told whose it is, and may have it afterwards.
#[tokio::test(start_paused = true)]
async fn a_directory_has_one_holder() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("a/b");
    let config = Config {
        directory: directory.to_str().unwrap().to_owned(),
        create_directory: true,
        directory_permissions: "0700".to_owned(),
        ..Config::default()
    };
    let held = hold(&config).await.unwrap();
    assert_eq!(std::fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
    let began = flow::clock::now();
    let error = hold(&config).await.unwrap_err();
    assert!(matches!(&error, HoldError::Taken(taken) if *taken == directory), "{error}");
    assert!(flow::clock::now() - began >= Duration::from_secs(1), "it waits for its timeout");
    drop(held);
    assert_eq!(hold(&config).await.unwrap().directory(), directory);
}

/// Scenario: directories of exporters that are configured, that no longer are, and of strangers. Guarantee: exactly the second are named.
#[tokio::test]
async fn what_nobody_sends_any_more_is_found() {
    let root = tempfile::tempdir().unwrap();
    for path in ["otlp/logs", "otlp%2Fold/traces", "lost+found", "otlp/other"] {
        std::fs::create_dir_all(root.path().join(path)).unwrap();
    }
    let config = Config { directory: root.path().to_str().unwrap().to_owned(), ..Config::default() };
    let held = hold(&config).await.unwrap();
    let used = [config.storage(&ComponentId::unnamed("otlp"), Signal::Logs).directory];
    assert_eq!(unused(&held, &used).unwrap(), [root.path().join("otlp%2Fold/traces")]);
}
