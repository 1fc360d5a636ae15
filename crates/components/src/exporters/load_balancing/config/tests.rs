use super::*;
use config::testing::{decoded, problems};
use std::time::Duration;

const STATIC: &str = "resolver: {static: {hostnames: [a, b]}}";

fn found(yaml: &str) -> Vec<String> {
    let yaml = format!("{STATIC}\nprotocol: {{otlp: {{tls: {{insecure: true}}}}}}\n{yaml}");
    problems::<Config>(&yaml).into_iter().map(|(path, text)| format!("{path}: {text}")).collect()
}

fn config(yaml: &str) -> Config {
    decoded(&format!("{STATIC}\n{yaml}"))
}

/// Scenario: each rule of the collector and the fork is broken. Guarantee: an error at the key, in their meaning; a sound one has none.
#[test]
fn every_rule_is_checked() {
    for (yaml, expected) in [
        ("routing_key: nonsense", "routing_key: unsupported routing_key: \"nonsense\""),
        ("routing_key: attributes", "routing_attributes: routing_attributes must be specified when"),
        ("routing_attributes: [a]", "routing_attributes: routing_attributes can only be used when"),
        ("log_batcher: {enabled: true, max_records: 0}", "log_batcher.max_records: "),
        ("batcher: {enabled: true, flush_interval: 0s}", "batcher.flush_interval: "),
        ("metric_batcher: {enabled: true, max_datapoints: 0}", "metric_batcher.max_datapoints: "),
        (
            "metric_batcher: {max_retry_buffer_multiplier: 3}",
            "metric_batcher.max_retry_buffer_multiplier: has no effect",
        ),
        ("log_batcher: {enabled: true, payload_compression: gzip}", "log_batcher.payload_compression"),
        ("sending_queue: {payload_compression: lz4}", "sending_queue.payload_compression: "),
        ("sending_queue: {compress_in_memory: true}", "compress_in_memory is not supported; use `payload_compression`"),
        ("weights: {a: 2}", "weights: weights need `ring: even`"),
        ("ring: even\nweights: {a: 0}", "weights: the weight of a"),
        ("ring: v1", "ring: "),
        ("load_factor: 0.9", "load_factor: must be from 1 to 100"),
        ("load_factor: .nan", "load_factor: must be from 1 to 100"),
        ("ring: even\nload_factor: 1.25", "load_factor: has no effect"),
        ("max_in_flight: 0", "max_in_flight: "),
        ("endpoint_health: {enabled: true, quarantine_duration: 0s}", "endpoint_health.quarantine_duration: "),
        ("endpoint_health: {max_quarantined_percent: 101}", "endpoint_health.max_quarantined_percent: "),
        (
            "endpoint_health: {active_probe: {enabled: true}}",
            "active_probe.enabled: requires endpoint_health.enabled=true",
        ),
        (
            "endpoint_health: {enabled: true, active_probe: {enabled: true, timeout: 5s}}",
            "active_probe.timeout: must be less",
        ),
        ("endpoint_health: {enabled: true, active_probe: {enabled: true, jitter: '120%'}}", "active_probe.jitter: "),
        ("log_routing: {record_striping_enabled: true}", "log_routing.record_striping_enabled: "),
        ("routing_key: service\nlog_routing: {ignore_trace_id: true}", "log_routing.ignore_trace_id: has no effect"),
        ("nonsense: 1", "nonsense"),
    ] {
        let found = found(yaml);
        assert!(found.iter().any(|f| f.contains(expected)), "{yaml}: {found:?}");
    }
    assert_eq!(found(""), Vec::<String>::new());
    let all = "ring: even\nweights: {a: 3}\nrouting_key: attributes\nrouting_attributes: [x]\nbatcher: {enabled: true}\n\
               endpoint_health: {enabled: true, active_probe: {enabled: true, type: grpc_health}}";
    assert_eq!(found(all), Vec::<String>::new());
}

/// Scenario: hosts that cannot be connected to. Guarantee: an error that names the host's place; IPv6 without a port is fine.
#[test]
fn hosts_are_checked() {
    let yaml = "resolver: {static: {hostnames: [a, 'fd00::1', '[fd00::2]', 'b c', 'x:y']}}";
    let paths: Vec<String> = problems::<Config>(yaml).into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["resolver.static.hostnames[3]", "resolver.static.hostnames[4]"]);
}

/// Scenario: nothing written; the exporter's own queue; neither queue. Guarantee: `protocol.otlp`'s queue for each backend within
/// memory; the exporter's own bound; senders that wait.
#[test]
fn there_is_one_queue() {
    let outlet = |yaml: &str| config(yaml).outlet("x", Signal::Logs, 1 << 20, None);
    let default = outlet("");
    assert_eq!((default.capacity.size, default.lane_in_flight, default.wait_for_result), (u64::MAX, Some(10), false));
    assert_eq!((default.timeout, default.retry.enabled, default.batch.enabled), (Duration::from_secs(5), true, false));
    let own =
        outlet("sending_queue: {queue_size: 7, num_consumers: 3}\ntimeout: 9s\nretry_on_failure: {enabled: false}");
    assert_eq!((own.capacity.size, own.lane_in_flight), (7, Some(3)));
    assert_eq!((own.timeout, own.retry.enabled), (Duration::from_secs(9), false));
    let none = outlet("protocol: {otlp: {sending_queue: {enabled: false}}}\nmax_in_flight: 4");
    assert_eq!((none.wait_for_result, none.lane_in_flight), (true, Some(4)));
}

/// Scenario: batchers of one signal and of all. Guarantee: a signal's own comes first, then the common one, then the queue's,
/// then the pipeline's; limits are caps.
#[test]
fn the_nearest_batcher_counts() {
    let yaml =
        "log_batcher: {enabled: true}\nbatcher: {enabled: true, max_records: 9}\nmetric_batcher: {enabled: true}";
    let of = |yaml: &str, signal| config(yaml).outlet("x", signal, 1, Some(BatchConfig::default())).batch;
    let logs = of(yaml, Signal::Logs);
    assert_eq!((logs.min_records, logs.max_records, logs.max_bytes), (512, 512, 1 << 20));
    assert_eq!(logs.flush_interval, Duration::from_millis(100));
    assert_eq!(of(yaml, Signal::Traces).max_records, 9);
    let metrics = of(yaml, Signal::Metrics);
    assert_eq!((metrics.max_records, metrics.max_bytes), (8192, 2 << 20));
    assert_eq!(of("sending_queue: {batch: {min_size: 3}}", Signal::Logs).min_records, 3);
}

/// Scenario: compression named at the queue, at a batcher, at both, at a queue that is off. Guarantee: a batcher's own comes first, then the queue's;
/// without either nothing is compressed.
#[test]
fn the_nearest_compression_counts() {
    let of = |yaml: &str, signal| config(yaml).outlet("x", signal, 1, None).codec;
    assert_eq!(of("", Signal::Logs), Codec::None);
    let yaml = "sending_queue: {payload_compression: snappy}\nlog_batcher: {enabled: true, payload_compression: zstd}";
    assert_eq!((of(yaml, Signal::Logs), of(yaml, Signal::Traces)), (Codec::Zstd, Codec::Snappy));
    let yaml = "protocol: {otlp: {sending_queue: {payload_compression: zstd}}}\nbatcher: {enabled: true}";
    assert_eq!(of(yaml, Signal::Metrics), Codec::Zstd);
    let yaml = "protocol: {otlp: {sending_queue: {enabled: false, payload_compression: zstd}}}";
    assert_eq!(of(yaml, Signal::Logs), Codec::None);
    assert_eq!(found("load_factor: 1.25\nsending_queue: {payload_compression: snappy}"), Vec::<String>::new());
}

/// Scenario: every key for every signal. Guarantee: those the collector has are taken, others are refused when the signal is known.
#[test]
fn keys_are_refused_by_signal() {
    assert_eq!(config("").key(Signal::Traces), Ok(RoutingKey::TraceId));
    assert_eq!(config("").key(Signal::Logs), Ok(RoutingKey::Service));
    assert_eq!(config("log_routing: {ignore_trace_id: true}").key(Signal::Logs), Ok(RoutingKey::TraceId));
    assert!(
        config("routing_key: metric").key(Signal::Traces).unwrap_err().contains("unsupported routing_key: \"metric\"")
    );
    assert_eq!(config("routing_key: metric").key(Signal::Metrics), Ok(RoutingKey::Metric));
}
