use super::*;
use ::config::testing::{decoded, errors, problems};
use bytes::Bytes;
use flow::router::Routes;
use flow::{Meta, Payload};
use net::client::testing::{HttpAnswer, Server, Setup, http, nowhere};
use wire::Signal;
use wire::build::{Attribute, Log, MessageWriter};
use wire::key::AnyValue;
use wire::loki::receive;

fn exporter(server: &Server, more: &str) -> Loki {
    Loki::new(&decoded(&format!("{{endpoint: 'http://{}/loki/api/v1/push'{more}}}", server.address))).unwrap()
}

/// A request of records with these resource attributes, each with a line.
fn logs(resource: &[Attribute<'_>], records: u32) -> Payload {
    let mut request = MessageWriter::new();
    request.resource_entry(resource, "", |scope| {
        for i in 0..records {
            let line = format!("line {i}");
            scope.log(&Log { time: 5, body: AnyValue::Str(line.as_bytes()), ..Log::default() });
        }
    });
    Payload::new(Signal::Logs, request.finish(), records)
}

fn text(value: &str) -> AnyValue<'_> {
    AnyValue::Str(value.as_bytes())
}

async fn send(exporter: &Loki, target: &str, request: Payload) -> Attempt {
    exporter.send(&Target::new(target), request, flow::clock::now() + Duration::from_secs(5)).await
}

/// What a server's answer becomes.
async fn answered(status: u16, headers: Vec<(&'static str, String)>, body: &'static str) -> Attempt {
    let server =
        http(Setup::default(), move |_| Some((status, headers.clone(), Bytes::from_static(body.as_bytes())))).await;
    send(&exporter(&server, ""), NO_TENANT, logs(&[], 5)).await
}

fn no_content() -> HttpAnswer {
    Some((204, vec![], Bytes::new()))
}

/// Scenario: records for a tenant, and for none. Guarantee: POSTed to the whole URL, in a block of snappy, with the headers of Loki's clients; the push
/// is sound.
#[tokio::test]
async fn a_push_is_what_loki_expects() {
    let mut server = http(Setup::default(), |_| no_content()).await;
    let exporter = exporter(&server, ", headers: {x-extra: '1', X-Scope-OrgID: ignored}");
    for (target, tenant) in [("acme", Some("acme")), (NO_TENANT, None)] {
        assert_eq!(send(&exporter, target, logs(&[], 3)).await, Attempt::Sent);
        let seen = server.next().await;
        assert_eq!((seen.head.method.as_str(), seen.head.uri.path()), ("POST", "/loki/api/v1/push"));
        let header = |name: &str| seen.head.headers.get(name).and_then(|v| v.to_str().ok());
        assert_eq!(
            (header("content-type"), header("content-encoding")),
            (Some("application/x-protobuf"), Some("snappy"))
        );
        assert_eq!((header("x-scope-orgid"), header("x-extra")), (tenant, Some("1")));
        let push = snap::raw::Decoder::new().decompress_vec(&seen.message).unwrap();
        let census = receive::check(&push).unwrap();
        assert_eq!((census.streams, census.entries), (1, 3));
    }
}

/// Scenario: every status. Guarantee: 429, 5xx and the credential's are retried, all else is final; nothing that Loki may have stored in part is sent again in
/// parts.
#[tokio::test]
async fn statuses_mean_what_they_mean_to_lokis_clients() {
    let retry = |kind, scope| (Some(scope), kind);
    for (status, expected) in [
        (400, (None, Kind::Partial)),
        (401, retry(Kind::Auth, Scope::Target)),
        (403, retry(Kind::Auth, Scope::Target)),
        (404, (None, Kind::Unimplemented)),
        (413, (None, Kind::TooLarge)),
        (422, (None, Kind::Unimplemented)),
        (429, retry(Kind::Throttled, Scope::Target)),
        (500, retry(Kind::Unavailable, Scope::Target)),
        (502, retry(Kind::Unavailable, Scope::Target)),
        (503, retry(Kind::Unavailable, Scope::Target)),
    ] {
        let found = match answered(status, vec![], "").await {
            Attempt::Retry { why, scope, .. } => (Some(scope), why.kind),
            Attempt::Reject { why } => (None, why.kind),
            other => panic!("{status}: {other:?}"),
        };
        assert_eq!(found, expected, "{status}");
    }
    for status in [200, 204, 260] {
        assert_eq!(answered(status, vec![], "").await, Attempt::Sent);
    }
    let Attempt::Retry { after, why, .. } = answered(429, vec![("retry-after", "7".into())], "slow down").await else {
        panic!("retried")
    };
    assert_eq!((after, why.to_string().as_str()), (Some(Duration::from_secs(7)), "throttled: HTTP 429: slow down"));
    let gone = Loki::new(&decoded(&format!("endpoint: 'http://{}/'", nowhere().await))).unwrap();
    assert!(matches!(send(&gone, NO_TENANT, logs(&[], 1)).await, Attempt::Retry { .. }));
}

/// Scenario: a 400 that says how many entries were left out, and one that does not. Guarantee: those are counted; else all are; with Loki's text.
#[tokio::test]
async fn a_400_is_told_with_its_count() {
    let said = "entry with timestamp 5 ignored, reason: 'entry too far behind',\nuser 'fake', total ignored: 1 out of 3 for stream: {a=\"1\"}\n\
                total ignored: 1 out of 2 for stream: {a=\"2\"}";
    let Attempt::Partial { rejected, why } = answered(400, vec![], said).await else { panic!("in part") };
    assert_eq!((rejected, why.text.contains("entry too far behind")), (2, true));
    let Attempt::Reject { why } = answered(400, vec![], "error at least one label pair is required per stream").await
    else {
        panic!("rejected")
    };
    assert!(why.text.contains("at least one label pair"), "{why}");
    assert_eq!(ignored(b"total ignored: 99999999999999999999999 out of 1"), None);
}

/// Scenario: records that cannot be entries, alone and among others. Guarantee: counted as rejected; nothing empty is sent.
#[tokio::test]
async fn what_is_left_out_is_counted() {
    let server = http(Setup::default(), |_| no_content()).await;
    let off = ", default_labels_enabled: {exporter: false, job: true, instance: false, level: false}";
    let exporter = exporter(&server, off);
    let Attempt::Partial { rejected, why } = send(&exporter, NO_TENANT, logs(&[], 3)).await else { panic!("in part") };
    assert_eq!((rejected, server.connections()), (3, 0));
    assert!(why.text.contains("without any label"), "{why}");
    let mut both = logs(&[("service.name", text("x"))], 2);
    both.body.append(logs(&[], 1).body);
    both.records = 3;
    let attempt = send(&exporter, NO_TENANT, both).await;
    assert!(matches!(attempt, Attempt::Partial { rejected: 1, .. }), "{attempt:?}");
    assert!(matches!(send(&exporter, BAD_TENANT, logs(&[], 1)).await, Attempt::Reject { .. }));
}

fn routes(config: &str, payload: Payload) -> Vec<(String, u32)> {
    let exporter = Loki::new(&decoded(&format!("{{endpoint: 'http://x/', {config}}}"))).unwrap();
    let mut out = Routes::new();
    exporter.router().route(payload, &mut out);
    out.iter().map(|(target, piece)| (target.name().to_owned(), piece.records)).collect()
}

/// Scenario: each way to name a tenant, and all of them together. Guarantee: what the record says, then the headers, then the sender, then the default.
#[test]
fn the_tenant_is_found_in_order() {
    let from = |payload: Payload, tenant: &str| Payload { meta: Arc::new(Meta::of_tenant(tenant)), ..payload };
    let one = |name: &str| vec![(name.to_owned(), 1)];
    assert_eq!(routes("", logs(&[], 1)), one(NO_TENANT));
    assert_eq!(routes("tenant_id: d", logs(&[], 1)), one("d"));
    assert_eq!(routes("tenant_id: d", from(logs(&[], 1), "s")), one("s"));
    let headers = "tenant_id: d, headers: {X-Scope-OrgID: h}";
    assert_eq!(routes(headers, from(logs(&[], 1), "s")), one("h"));
    let hint = [("loki.tenant", text("team")), ("team", text("t"))];
    assert_eq!(routes(headers, logs(&hint, 1)), one("t"));
    assert_eq!(routes(headers, logs(&[("__tenant_id__", text("l")), hint[0], hint[1]], 1)), one("l"));
    assert_eq!(routes("tenant_id: d", logs(&[("loki.tenant", text("none"))], 1)), one("d"));
    assert_eq!(routes("", logs(&[("__tenant_id__", text("a|b"))], 1)), one(BAD_TENANT));
}

/// Scenario: records of several tenants in one request. Guarantee: one piece for each, with all of its records.
#[test]
fn tenants_are_divided() {
    let mut payload = logs(&[("__tenant_id__", text("a"))], 2);
    for (resource, records) in
        [(&[][..], 1), (&[("__tenant_id__", text("b"))], 3), (&[("__tenant_id__", text("a"))], 4)]
    {
        payload.body.append(logs(resource, records).body);
        payload.records += records;
    }
    let mut found = routes("tenant_id: d", payload);
    found.sort();
    assert_eq!(found, [("a".to_owned(), 6), ("b".to_owned(), 3), ("d".to_owned(), 1)]);
}

/// Scenario: the collector's keys and ours, right and wrong. Guarantee: defaults of the collector, Promtail's batches, errors at their keys.
#[test]
fn keys_are_checked() {
    let config: Config =
        decoded("{endpoint: 'http://loki:3100/loki/api/v1/push', default_labels_enabled: {exporter: false}}");
    assert!(errors(&config).is_empty());
    assert_eq!(config.default_labels_enabled, Labels { exporter: false, ..Labels::default() });
    assert_eq!(config.timeout.0, Duration::from_secs(30));
    let batch = config.batching(None);
    assert_eq!((batch.min_bytes, batch.flush_interval), (1 << 20, Duration::from_secs(1)));
    let pipeline = BatchConfig { enabled: true, min_records: 7, ..BatchConfig::default() };
    assert_eq!(config.batching(Some(pipeline.clone())), pipeline);
    let own: Config = decoded("{endpoint: 'http://x', batch_size: 2MiB}");
    assert_eq!(own.batching(Some(pipeline)).max_bytes, 2 << 20);
    let wrong =
        "{endpoint: x, external_labels: {'a.b': c}, tenant_id: 'a b', batch_wait: 0s, proxy_url: 'socks5://p:1'}";
    assert_eq!(
        errors(&decoded::<Config>(wrong)),
        ["endpoint", "external_labels", "tenant_id", "batch_wait", "proxy_url"]
    );
    assert_eq!(problems::<Config>("labels: {}").len(), 1);
}

/// A source of addresses that never answers.
struct Silent;

impl Resolve for Silent {
    fn resolve<'a>(
        &'a self,
        _: &'a net::client::connect::HostPort,
    ) -> std::pin::Pin<Box<dyn Future<Output = std::io::Result<Vec<std::net::SocketAddr>>> + Send + 'a>> {
        Box::pin(std::future::pending())
    }
}

/// Scenario: no connection comes about, and nothing says so. Guarantee: it is known for the endpoint's trouble before the request's time is up, so that it
/// does not look like that of the one tenant who asked.
#[tokio::test(start_paused = true)]
async fn a_connection_that_never_comes_is_the_endpoints() {
    let config = decoded("{endpoint: 'http://loki.example/loki/api/v1/push', timeout: 4s}");
    let exporter = Loki::with_resolver(&config, Arc::new(Silent)).unwrap();
    let start = flow::clock::now();
    let attempt = send(&exporter, "acme", logs(&[], 1)).await;
    let Attempt::Retry { why, scope: flow::Scope::Endpoint(at), .. } = attempt else { panic!("{attempt:?}") };
    assert_eq!((why.kind, &*at), (Kind::Unreachable, "loki.example"));
    assert_eq!(flow::clock::now() - start, Duration::from_secs(3));
}
