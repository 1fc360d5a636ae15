//! Requests in, page out, over a real socket.

use super::*;
use config::testing::{decoded, errors};
use otlp_oracle::common::{AnyValue, InstrumentationScope, KeyValue, any_value};
use otlp_oracle::metrics::metric::Data;
use otlp_oracle::metrics::number_data_point::Value;
use otlp_oracle::metrics::{Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum};
use otlp_oracle::{MetricsRequest, resource::Resource};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn attributes(pairs: &[(&str, &str)]) -> Vec<KeyValue> {
    let pair = |(key, value): &(&str, &str)| KeyValue {
        key: (*key).to_owned(),
        value: Some(AnyValue { value: Some(any_value::Value::StringValue((*value).to_owned())) }),
        ..KeyValue::default()
    };
    pairs.iter().map(pair).collect()
}

fn request(resource: &[(&str, &str)], metrics: Vec<Metric>) -> Payload {
    let scope =
        InstrumentationScope { name: "lib".to_owned(), version: "2".to_owned(), ..InstrumentationScope::default() };
    let records = metrics.len() as u32;
    let request = MetricsRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource { attributes: attributes(resource), ..Resource::default() }),
            scope_metrics: vec![ScopeMetrics { scope: Some(scope), metrics, ..ScopeMetrics::default() }],
            ..ResourceMetrics::default()
        }],
    };
    Payload::new(Signal::Metrics, bytes::Bytes::from(request.encode_to_vec()), records)
}

fn points(own: &[(&str, &str)], value: Value) -> Vec<NumberDataPoint> {
    vec![NumberDataPoint {
        attributes: attributes(own),
        time_unix_nano: 1,
        value: Some(value),
        ..NumberDataPoint::default()
    }]
}

fn gauge(name: &str, own: &[(&str, &str)], value: f64) -> Metric {
    let data_points = points(own, Value::AsDouble(value));
    Metric { name: name.to_owned(), data: Some(Data::Gauge(Gauge { data_points })), ..Metric::default() }
}

fn counter(name: &str, own: &[(&str, &str)], value: i64) -> Metric {
    let sum = Sum { data_points: points(own, Value::AsInt(value)), aggregation_temporality: 2, is_monotonic: true };
    Metric { name: name.to_owned(), data: Some(Data::Sum(sum)), ..Metric::default() }
}

/// A port that was free a moment ago: the exporter does not say which one it got.
fn endpoint() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn config(endpoint: &str, keys: &str) -> Config {
    decoded(&format!("{{endpoint: '{endpoint}', {keys}}}"))
}

async fn send(exporter: &Prometheus, payload: Payload) -> Attempt {
    exporter.send(&exporter.target(), payload, flow::clock::now()).await
}

async fn get(endpoint: &str, headers: &str) -> Vec<u8> {
    let mut stream = tokio::net::TcpStream::connect(endpoint).await.unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![];
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}

async fn page(endpoint: &str) -> String {
    let answer = String::from_utf8(get(endpoint, "").await).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    body.to_owned()
}

const SHOP: [(&str, &str); 4] =
    [("service.name", "cart"), ("service.namespace", "shop"), ("service.instance.id", "1"), ("host.name", "h")];

/// Scenario: a counter and a gauge of one service. Guarantee: names, labels of point, scope, job and instance, and `target_info`, in order.
#[tokio::test]
async fn series_have_all_their_labels() {
    let at = endpoint();
    let exporter = Prometheus::new("prometheus", &config(&at, "namespace: ns, const_labels: {zone: a}")).unwrap();
    let metrics =
        vec![counter("http.requests", &[("http.method", "GET"), ("code", "2\"0")], 7), gauge("load", &[], 0.5)];
    assert_eq!(send(&exporter, request(&SHOP, metrics)).await, Attempt::Sent);
    let own = "instance=\"1\",job=\"shop/cart\",otel_scope_name=\"lib\",otel_scope_version=\"2\",zone=\"a\"";
    let expected = format!(
        "# HELP ns_http_requests_total \n# TYPE ns_http_requests_total counter\n\
         ns_http_requests_total{{code=\"2\\\"0\",http_method=\"GET\",{own}}} 7\n\
         # HELP ns_load \n# TYPE ns_load gauge\nns_load{{{own}}} 0.5\n\
         # HELP ns_target_info Target metadata\n# TYPE ns_target_info gauge\n\
         ns_target_info{{host_name=\"h\",instance=\"1\",job=\"shop/cart\"}} 1\n"
    );
    assert_eq!(page(&at).await, expected);
}

/// Scenario: attributes of the resource as labels: all, all but those of the service, some by pattern. Guarantee: just those.
#[tokio::test]
async fn attributes_of_the_resource_become_labels() {
    let labels = |page: &str| {
        let line = page.lines().find(|l| l.starts_with("load{")).unwrap().to_owned();
        ["host_name", "service_name"].map(|name| line.contains(&format!("{name}=")))
    };
    for (keys, wanted) in [
        ("", [false, false]),
        ("resource_to_telemetry_conversion: {enabled: true}", [true, true]),
        ("resource_to_telemetry_conversion: {enabled: true, exclude_service_attributes: true}", [true, false]),
        ("resource_constant_labels: {included: ['*.name'], excluded: ['host.*']}", [false, true]),
    ] {
        let at = endpoint();
        let exporter = Prometheus::new("prometheus", &config(&at, keys)).unwrap();
        send(&exporter, request(&SHOP, vec![gauge("load", &[], 1.0)])).await;
        assert_eq!(labels(&page(&at).await), wanted, "{keys}");
    }
}

/// Scenario: two attributes that become one label, with the scope left out. Guarantee: their values are joined; the page has each series once.
#[tokio::test]
async fn attributes_that_become_one_label_are_joined() {
    let at = endpoint();
    let exporter = Prometheus::new("prometheus", &config(&at, "without_scope_info: true")).unwrap();
    send(&exporter, request(&[], vec![gauge("g", &[("a.b", "1"), ("a_b", "2")], 1.0)])).await;
    assert_eq!(page(&at).await, "# HELP g \n# TYPE g gauge\ng{a_b=\"1;2\"} 1\n");
}

/// Scenario: a request of which one point cannot be shown. Guarantee: it is told as partly refused, with the reason; the rest is shown.
#[tokio::test]
async fn what_cannot_be_shown_is_counted() {
    let at = endpoint();
    let exporter = Prometheus::new("prometheus", &config(&at, "")).unwrap();
    let attempt = send(&exporter, request(&[], vec![gauge("...", &[], 1.0), gauge("ok", &[], 1.0)])).await;
    let Attempt::Partial { rejected: 1, why } = attempt else { panic!("{attempt:?}") };
    assert_eq!(&*why.text, Refused::Name.as_str());
    assert!(page(&at).await.contains("\nok{"));
}

/// Scenario: a scraper that takes gzip, and one that asks for another page, or with another method. Guarantee: each is answered so.
#[tokio::test]
async fn the_server_answers_scrapers() {
    let at = endpoint();
    let exporter = Prometheus::new("prometheus", &config(&at, "response_headers: {x-own: yes!}")).unwrap();
    send(&exporter, request(&[], vec![gauge("g", &[], 1.0)])).await;
    let answer = get(&at, "accept-encoding: gzip\r\n").await;
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    assert!(head.contains("content-encoding: gzip") && head.contains("x-own: yes!"), "{head}");
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&answer[end + 4..]), &mut text).unwrap();
    assert_eq!(text, page(&at).await);
}

/// Scenario: a reload with a changed key, then the exporter goes. Guarantee: the successor has the same listener at once; another exporter
/// cannot have it; in the end the port is free.
#[tokio::test]
async fn a_reload_keeps_the_listener() {
    let at = endpoint();
    let old = Prometheus::new("prometheus", &config(&at, "")).unwrap();
    send(&old, request(&[], vec![gauge("old", &[], 1.0)])).await;
    let new = Prometheus::new("prometheus", &config(&at, "namespace: x")).unwrap();
    send(&new, request(&[], vec![gauge("new", &[], 1.0)])).await;
    drop(old);
    assert!(page(&at).await.contains("x_new"));
    let other = Prometheus::new("prometheus/2", &config(&at, ""));
    assert!(other.is_err_and(|e| e.0.contains("prometheus listens")));
    drop(new);
    while std::net::TcpListener::bind(&at).is_err() {
        tokio::task::yield_now().await;
    }
}

/// Scenario: each rule of the keys. Guarantee: an error at its key.
#[test]
fn keys_are_checked() {
    let errors = |keys: &str| errors(&decoded::<Config>(keys));
    assert_eq!(errors("{}"), ["endpoint"]);
    assert!(errors("{endpoint: 'localhost:8889'}").is_empty());
    let bad = "{endpoint: 'localhost:8889', max_series: 0, const_labels: {a.b: c}, resource_constant_labels: {}, \
               resource_to_telemetry_conversion: {enabled: true}}";
    assert_eq!(errors(bad), ["max_series", "const_labels", "resource_constant_labels"]);
    let strategy = |keys: &str| decoded::<Config>(keys).strategy();
    assert_eq!(strategy("{add_metric_suffixes: false}"), Strategy::UnderscoreEscapingWithoutSuffixes);
    assert_eq!(strategy("{add_metric_suffixes: false, translation_strategy: NoTranslation}"), Strategy::NoTranslation);
}
