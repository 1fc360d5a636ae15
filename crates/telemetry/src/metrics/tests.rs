use super::*;
use flow::Target;
use flow::spool::view::DeadView;
use flow::stats::HistogramView;

fn lane(target: &str, state: &'static str, oldest: Option<Instant>) -> LaneView {
    let (why, until) = (None, None);
    LaneView {
        target: Target::new(target),
        state,
        why,
        until,
        bytes: 7,
        size: 9,
        records: 1,
        oldest,
        waiting: 1,
        stored: 0,
    }
}

/// A queue on disk to which everything has happened, with a different number for each.
fn spool() -> SpoolView {
    SpoolView {
        records: 101,
        pieces: 102,
        bytes: 103,
        max_bytes: 104,
        disk_bytes: 105,
        segments: 106,
        oldest_age: Some(Duration::from_millis(1_500)),
        sync_seconds: HistogramView { buckets: vec![(0.001, 2), (0.01, 3)], sum: 0.25, count: 4 },
        sync_records: HistogramView { buckets: vec![(1.0, 1), (100.0, 3)], sum: 107.0, count: 4 },
        recovered_records: 108,
        damaged: 109,
        torn: 110,
        expired_records: 111,
        copied_bytes: 112,
        written_bytes: 113,
        stored_bytes: 114,
        failed_syncs: 115,
        trouble: Some("full"),
        dead: Some(DeadView {
            letters: 116,
            records: 117,
            bytes: 118,
            buried: vec![(Kind::BadData, 119), (Kind::Expired, 120)],
            evicted_records: 121,
            expired_records: 122,
            discarded_records: 123,
            replayed_records: 124,
            damaged: 125,
        }),
    }
}

/// A moment in which everything has happened once.
fn eventful() -> Snapshot {
    let now = flow::clock::now() + Duration::from_secs(1000);
    let logs = InletStats::default();
    logs.accepted.add(90);
    logs.requests_accepted.add(9);
    logs.requests_refused.add(2);
    logs.requests_failed.add(1);
    logs.shed.add(Kind::SoftLimit, 6);
    logs.refused.add(Kind::QueueFull, 4);
    logs.refused_requests.add(Kind::QueueFull, 1);
    logs.refused_requests.add(Kind::HardLimit, 1);
    logs.failed.add(3);
    let spans = InletStats::default();
    spans.accepted.add(5);
    spans.requests_accepted.add(1);
    let connections = ListenStats::default();
    connections.open.add(3);
    connections.accepted.add(7);
    let sent = ExporterStats::default();
    sent.sent.add(80);
    sent.failed.add(Kind::Expired, 5);
    sent.enqueue_failed.add(Kind::LaneFull, 2);
    sent.requests.add(4);
    sent.bytes.add(4096);
    sent.retries.add(Kind::Timeout, 5);
    sent.partial.add(1);
    sent.divided.add(1);
    sent.in_flight.add(2);
    sent.waiting.add(1);
    let mut totals = ExporterTotals::default();
    totals.add(&sent);
    let ago = |seconds| Some(now - Duration::from_secs(seconds));
    let receiver =
        |transport, signal, stats| ReceiverState { receiver: "otlp".into(), transport, signal, stats: Arc::new(stats) };
    Snapshot {
        now,
        uptime: Duration::from_millis(1500),
        resource: vec![("service.name".into(), "bywash".into()), ("1st \"label\"".into(), "a\nb".into())],
        budget: BudgetState {
            bytes: 950,
            limit: 1000,
            soft: 0.9,
            records: 10,
            max_records: 20,
            requests: 1,
            max_requests: 0,
            tenants: 2,
            level: Level::Priority,
            call_bytes: 40,
            connection_bytes: 50,
            lane_bytes: 60,
        },
        stages: vec![],
        stores: vec![store::StoreState {
            exporter: "store".into(),
            records: 61,
            bytes: 62,
            chunks: 63,
            parts: 64,
            tenants: 65,
            stored_records: 66,
            repeated_requests: 67,
            repeated_records: 68,
            refused_requests: 69,
            damaged_chunks: 70,
            removed_parts: 71,
            queries: 72,
            missed_rows: 73,
        }],
        receivers: vec![
            receiver("grpc", Signal::Logs, logs),
            receiver("http", Signal::Logs, InletStats::default()),
            receiver("grpc", Signal::Traces, spans),
        ],
        listeners: vec![ListenerState { receiver: "otlp".into(), transport: "grpc", stats: Arc::new(connections) }],
        exporters: vec![ExporterState {
            exporter: "otlp/backend".into(),
            signal: Signal::Logs,
            totals,
            queue_size: 3,
            queue_capacity: 1000,
            bytes: 1234,
            lanes: vec![
                lane("a:4317", "passing", ago(2)),
                lane("b:4317", "halted", ago(60)),
                lane("c", "passing", None),
            ],
            halted_scopes: [1, 0, 0],
            spool: Some(spool()),
        }],
        load_balancers: vec![],
        files: vec![],
        limiters: vec![LimiterState {
            processor: "memory_limiter".into(),
            signal: Signal::Logs,
            accepted: 90,
            refused: 6,
        }],
        process: Some(ProcessStats {
            cpu_seconds: 1.25,
            memory_rss: 4096,
            memory_virtual: 8192,
            threads: 3,
            open_fds: 12,
        }),
        reloads: ReloadState {
            succeeded: 2,
            failed: 1,
            last_successful: false,
            last_success: Duration::from_secs(1_700_000_000),
        },
        suppressed_lines: 42,
        task_panics: vec![("listener", 1)],
        dropped_lines: vec![("stderr".into(), 7), ("/var/log/bywash.log".into(), 0)],
        leaked: 0,
    }
}

/// Scenario: a moment in which everything has happened once. Guarantee: the whole page, names, labels and types.
#[test]
fn the_page_is_as_agreed() {
    insta::assert_snapshot!(render(&eventful()));
}

/// Scenario: ten thousand lanes with long names. Guarantee: the page stays bounded and shows those with the oldest records.
#[test]
fn many_lanes_do_not_make_a_long_page() {
    let mut snapshot = eventful();
    let now = snapshot.now;
    snapshot.exporters[0].lanes = (0..10_000u64)
        .map(|n| lane(&format!("{n}-{}", "x".repeat(1000)), "halted", Some(now - Duration::from_secs(n))))
        .collect();
    let page = render(&snapshot);
    assert_eq!(page.matches("bywash_lane_state{").count(), MAX_LANES);
    assert!(page.contains("target=\"9999-") && !page.contains("target=\"5-"));
    assert!(
        page.contains("bywash_exporter_lanes{exporter=\"otlp/backend\",data_type=\"logs\",state=\"halted\"} 10000")
    );
    assert!(page.len() < 200_000, "{}", page.len());
}

/// Scenario: an exporter replaced another of the same id. Guarantee: their counters add up, reason by reason.
#[test]
fn totals_add_up_over_generations() {
    let (old, new) = (ExporterStats::default(), ExporterStats::default());
    old.sent.add(10);
    old.failed.add(Kind::Expired, 1);
    new.sent.add(5);
    new.failed.add(Kind::Auth, 2);
    let mut totals = ExporterTotals::default();
    totals.add(&old);
    totals.add(&new);
    assert_eq!((totals.sent, totals.failed.total()), (15, 3));
    assert_eq!(totals.failed.iter().collect::<Vec<_>>(), [(Kind::Auth, 2), (Kind::Expired, 1)]);
}

/// Scenario: a queue on disk. Guarantee: each of its numbers stands under its name and labels, once.
#[test]
fn every_number_of_a_queue_on_disk_is_shown() {
    let page = render(&eventful());
    let of = "exporter=\"otlp/backend\",data_type=\"logs\"";
    for (name, more, value) in [
        ("bywash_spool_records", "", "101"),
        ("bywash_spool_pieces", "", "102"),
        ("bywash_spool_bytes", "", "103"),
        ("bywash_spool_limit_bytes", "", "104"),
        ("bywash_spool_disk_bytes", "", "105"),
        ("bywash_spool_segments", "", "106"),
        ("bywash_spool_oldest_record_age_seconds", "", "1.5"),
        ("bywash_spool_sync_seconds_bucket", ",le=\"0.001\"", "2"),
        ("bywash_spool_sync_seconds_bucket", ",le=\"+Inf\"", "4"),
        ("bywash_spool_sync_seconds_sum", "", "0.25"),
        ("bywash_spool_sync_records_sum", "", "107"),
        ("bywash_spool_sync_records_count", "", "4"),
        ("bywash_spool_recovered_records", "", "108"),
        ("bywash_spool_damaged", "", "109"),
        ("bywash_spool_torn", "", "110"),
        ("bywash_spool_expired_records", "", "111"),
        ("bywash_spool_copied_bytes", "", "112"),
        ("bywash_spool_written_bytes", "", "113"),
        ("bywash_spool_stored_bytes", "", "114"),
        ("bywash_spool_failed_syncs", "", "115"),
        ("bywash_spool_disk_trouble", ",kind=\"full\"", "1"),
        ("bywash_spool_disk_trouble", ",kind=\"read_only\"", "0"),
        ("bywash_spool_disk_trouble", ",kind=\"other\"", "0"),
        ("bywash_dead_letters", "", "116"),
        ("bywash_dead_letter_records", "", "117"),
        ("bywash_dead_letter_bytes", "", "118"),
        ("bywash_dead_letter_buried_records", ",reason=\"bad_data\"", "119"),
        ("bywash_dead_letter_buried_records", ",reason=\"expired\"", "120"),
        ("bywash_dead_letter_removed_records", ",cause=\"full\"", "121"),
        ("bywash_dead_letter_removed_records", ",cause=\"age\"", "122"),
        ("bywash_dead_letter_removed_records", ",cause=\"discarded\"", "123"),
        ("bywash_dead_letter_removed_records", ",cause=\"replayed\"", "124"),
        ("bywash_dead_letters_damaged", "", "125"),
    ] {
        let line = format!("\n{name}{{{of}{more}}} {value}\n");
        assert_eq!(page.matches(&line).count(), 1, "{line}");
    }
}

/// Scenario: a queue in memory. Guarantee: the page has nothing of a disk.
#[test]
fn a_queue_in_memory_shows_no_disk() {
    let mut snapshot = eventful();
    snapshot.exporters[0].spool = None;
    let page = render(&snapshot);
    assert!(!page.contains("bywash_spool") && !page.contains("bywash_dead"), "{page}");
}
/// Scenario: two processors' stages make metrics of one name with lines' own labels, a histogram, one of another kind, and one named like
/// the program's own. Guarantee: no series is there twice, each says who made it, and what cannot be is left out and counted.
#[test]
fn metrics_of_stages_are_told_apart() {
    use ::stages::{MetricKind, Sample};
    let sample = |name: &str, kind, labels: &[(&str, &str)], value| Sample {
        name: name.into(),
        kind,
        help: "Of lines.".into(),
        labels: labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        value,
    };
    let state = |pipeline: &str, samples| stages::StagesState {
        processor: "loki_stages".into(),
        pipeline: pipeline.into(),
        signal: Signal::Logs,
        incoming: 10,
        outgoing: 4,
        dropped: vec![(("[0].drop".into(), "drop_stage".into()), 3)],
        held: 1,
        joined: 4,
        split: 2,
        failures: 5,
        refused_series: 6,
        samples,
    };
    let one = vec![
        sample("lines", MetricKind::Counter, &[("pipeline", "mine"), ("x", "1")], 2.0),
        sample("size_bucket", MetricKind::Histogram, &[("le", "+Inf")], 3.0),
        sample("size_sum", MetricKind::Histogram, &[], 4.5),
        sample("target_info", MetricKind::Gauge, &[], 1.0),
        sample("otelcol_exporter_sent_log_records", MetricKind::Counter, &[], 1.0),
    ];
    let two = vec![sample("lines", MetricKind::Counter, &[], 7.0), sample("size", MetricKind::Gauge, &[], 7.0)];
    let mut snapshot = eventful();
    snapshot.stages = vec![state("logs", one), state("logs/b", two)];
    let page = render(&snapshot);
    for line in [
        "# TYPE lines counter",
        "lines{processor=\"loki_stages\",pipeline=\"logs\",exported_pipeline=\"mine\",x=\"1\"} 2",
        "lines{processor=\"loki_stages\",pipeline=\"logs/b\"} 7",
        "size_bucket{processor=\"loki_stages\",pipeline=\"logs\",le=\"+Inf\"} 3",
        "size_sum{processor=\"loki_stages\",pipeline=\"logs\"} 4.5",
        "bywash_processor_conflicting_metrics{processor=\"loki_stages\",pipeline=\"logs\"} 2",
        "bywash_processor_conflicting_metrics{processor=\"loki_stages\",pipeline=\"logs/b\"} 1",
        "otelcol_processor_incoming_items{processor=\"loki_stages\",pipeline=\"logs\",otel_signal=\"logs\"} 10",
        "otelcol_processor_outgoing_items{processor=\"loki_stages\",pipeline=\"logs\",otel_signal=\"logs\"} 4",
        "bywash_processor_dropped_records{processor=\"loki_stages\",pipeline=\"logs\",stage=\"[0].drop\",reason=\"drop_stage\"} 3",
        "bywash_processor_held_records{processor=\"loki_stages\",pipeline=\"logs\"} 1",
        "bywash_processor_joined_records{processor=\"loki_stages\",pipeline=\"logs\"} 4",
        "bywash_processor_split_records{processor=\"loki_stages\",pipeline=\"logs\"} 2",
        "bywash_processor_stage_failures{processor=\"loki_stages\",pipeline=\"logs\"} 5",
        "bywash_processor_refused_observations{processor=\"loki_stages\",pipeline=\"logs\"} 6",
    ] {
        assert_eq!(page.lines().filter(|l| *l == line).count(), 1, "{line}\n{page}");
    }
}
