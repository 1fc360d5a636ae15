use super::*;
use config::{parse, path::Path, source::Source};
use flow::{Ack, Outcome, Payload};
use net::client::testing::{Answer, Setup, grpc, retry_info};
use std::time::Duration;

fn decode(kind: &str, yaml: &str) -> (Option<ExporterConfig>, Diagnostics) {
    let node = parse::parse(&Source::new("test.yaml", yaml), &mut Diagnostics::new()).unwrap();
    let mut found = Diagnostics::new();
    let at = Located { node: &node, path: Path::root().key("exporters").key(kind) };
    (ExporterConfig::decode(kind, &at, &mut found), found)
}

/// Scenario: every type of the table, with the least that it needs. Guarantee: it decodes, builds, and has an outlet for every signal; `loki` for logs only,
/// `store` not for metrics, and each says so.
#[tokio::test]
async fn every_type_of_the_table_can_be_built() {
    let dir = tempfile::TempDir::new().unwrap();
    let store = format!("path: '{}'", dir.path().display());
    for kind in KINDS {
        let yaml = match kind.name {
            "otlp_grpc" => "{endpoint: 'localhost:4317', tls: {insecure: true}}",
            "load_balancing" => "{resolver: {static: {hostnames: [a]}}, protocol: {otlp: {tls: {insecure: true}}}}",
            "otlp_http" => "endpoint: http://localhost:4318",
            "loki" => "endpoint: http://localhost:3100/loki/api/v1/push",
            "prometheus" => "endpoint: '127.0.0.1:0'",
            "store" => &store,
            _ => "{}",
        };
        let (config, found) = decode(kind.name, yaml);
        assert!(!found.has_errors(), "{}", found.render(false));
        let built = build(kind.name, &config.unwrap(), None).unwrap();
        for signal in Signal::ALL {
            let only = match kind.name {
                "loki" => Some((&[Signal::Logs][..], "logs")),
                "prometheus" => Some((&[Signal::Metrics][..], "metrics")),
                "store" => Some((&[Signal::Logs, Signal::Traces][..], "logs and traces")),
                _ => None,
            };
            if let Some((_, only)) = only.filter(|(signals, _)| !signals.contains(&signal)) {
                let refused = built.outlet(signal, Budget::of(1 << 20), None, &Apart::default(), None);
                assert!(refused.is_err_and(|e| e.0.contains(&format!("takes {only} only"))));
                continue;
            }
            assert_eq!(
                built.outlet(signal, Budget::of(1 << 20), None, &Apart::default(), None).unwrap().name(),
                kind.name
            );
        }
    }
}

/// Scenario: `otlp_http` with a URL for traces only. Guarantee: logs cannot be sent by it, and it says why.
#[tokio::test]
async fn a_signal_without_an_endpoint_is_refused() {
    let (config, _) = decode("otlp_http", "traces_endpoint: http://localhost/x");
    let built = build("otlp_http", &config.unwrap(), None).unwrap();
    assert!(built.outlet(Signal::Traces, Budget::of(1), None, &Apart::default(), None).is_ok());
    assert!(
        built
            .outlet(Signal::Logs, Budget::of(1), None, &Apart::default(), None)
            .is_err_and(|e| e.0.contains("logs_endpoint"))
    );
}

/// Scenario: an unknown key in each type. Guarantee: an error with the dotted path of the key.
#[test]
fn unknown_keys_are_errors_with_their_path() {
    for kind in KINDS {
        let (config, found) = decode(kind.name, "nonsense: 1");
        assert!(config.is_none());
        let paths: Vec<String> = found.errors().map(|d| d.path.to_string()).collect();
        assert!(paths.contains(&format!("exporters.{}.nonsense", kind.name)), "{paths:?}");
    }
}

/// A request of one log record with this id.
fn log(id: usize) -> Payload {
    let json =
        format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{{"stringValue":"id-{id}."}}}}]}}]}}]}}"#);
    let body = wire::json::to_protobuf(wire::schema::request(Signal::Logs), json.as_bytes(), 1 << 20).unwrap();
    Payload::new(Signal::Logs, body, 1)
}

/// How often each id stands in a message.
fn ids(message: &[u8], counts: &mut [usize]) {
    let text = String::from_utf8_lossy(message);
    for part in text.split("id-").skip(1) {
        counts[part[..part.find('.').unwrap()].parse::<usize>().unwrap()] += 1;
    }
}

/// Scenario: 500 requests through queue, batches and retries to a server that fails in every way before it takes something.
/// Guarantee: every sender is told, what was told delivered is there, and nothing is refused for another's fault.
#[tokio::test]
async fn nothing_told_delivered_is_missing() {
    const COUNT: usize = 500;
    let fails = [
        Answer::Status(14, "no", None),
        Answer::Hangup,
        Answer::Refuse,
        Answer::Reset(h2::Reason::INTERNAL_ERROR),
        Answer::ResetEarly(h2::Reason::CANCEL),
        Answer::Stall,
        Answer::Http(502, "x"),
        Answer::Cut(3),
        Answer::Status(8, "no", Some(retry_info(Duration::from_millis(1)))),
    ];
    let takes = |n: usize| n % 2 == 1;
    let answer = move |n: usize| if takes(n) { Answer::Ok(vec![]) } else { fails[n / 2 % fails.len()].clone() };
    let mut server = grpc(Setup::default(), answer).await;
    let yaml = format!(
        "{{endpoint: '{}', tls: {{insecure: true}}, compression: none, timeout: 100ms, \
         sending_queue: {{batch: {{min_size: 20, max_size: 30, flush_timeout: 1ms}}}}, \
         retry_on_failure: {{initial_interval: 1ms, max_interval: 2ms, max_elapsed_time: 0s}}}}",
        server.address
    );
    let outlet = build("x", &decode("otlp_grpc", &yaml).0.unwrap(), None)
        .unwrap()
        .outlet(Signal::Logs, Budget::of(1 << 30), None, &Apart::default(), None)
        .unwrap();
    let told: Vec<_> = (0..COUNT)
        .map(|id| {
            let (ack, told) = Ack::watched(None);
            let payload = log(id);
            let slot = outlet.reserve(&payload, false).unwrap();
            outlet.push(payload, slot, ack, true);
            told
        })
        .collect();
    for told in told {
        assert_eq!(told.await.unwrap(), Outcome::Delivered);
    }
    outlet.close(flow::clock::now()).await;
    let mut counts = vec![0; COUNT];
    while let Ok(seen) = server.seen.try_recv() {
        if takes(seen.number) {
            ids(&seen.message, &mut counts);
        }
    }
    assert!(counts.iter().all(|count| *count >= 1), "{counts:?}");
    assert_eq!(outlet.view().stats.sent.get(), COUNT as u64);
}

/// Scenario: a server that takes nothing more after the first request. Guarantee: closing ends by its deadline and tells every sender.
#[tokio::test]
async fn closing_ends_by_its_deadline() {
    let server = grpc(Setup::default(), |_| Answer::Stall).await;
    let yaml = format!("{{endpoint: '{}', tls: {{insecure: true}}}}", server.address);
    let outlet = build("x", &decode("otlp_grpc", &yaml).0.unwrap(), None)
        .unwrap()
        .outlet(Signal::Logs, Budget::of(1 << 30), None, &Apart::default(), None)
        .unwrap();
    let told: Vec<_> = (0..30)
        .map(|id| {
            let (ack, told) = Ack::watched(None);
            let payload = log(id);
            let slot = outlet.reserve(&payload, false).unwrap();
            outlet.push(payload, slot, ack, true);
            told
        })
        .collect();
    outlet.close(flow::clock::now() + Duration::from_millis(50)).await;
    for told in told {
        assert!(matches!(told.await.unwrap(), Outcome::Failed { records: 1, .. }));
    }
}

mod same_records;
