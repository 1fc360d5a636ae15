//! Data goes through, and what is said of it is true.

use super::sink::{Mode, Sink, request};
use super::*;
use components::exporters::otlp_client::{self, OtlpGrpc};

async fn send_grpc(to: SocketAddr, ids: &[String]) -> Attempt {
    let mut config = otlp_client::Config { endpoint: to.to_string(), ..otlp_client::Config::default() };
    config.tls.insecure = true;
    let client = OtlpGrpc::new(&config).unwrap();
    client.send(&client.target(), request(ids), flow::clock::now() + Duration::from_secs(20)).await
}

/// Scenario: logs come in by gRPC and by HTTP. Guarantee: every id arrives once; health is good; the metrics page counts them under the collector's names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_arrive_and_are_counted() {
    let sink = Sink::start(Mode::Take).await;
    let service = started(&gateway(sink.address, "", "")).await;
    let client = Client::new(address(&service, "http"));
    for n in 0..20 {
        assert!(client.sends(&ids(&format!("http-{n}"), 0..5)).await);
        assert_eq!(send_grpc(address(&service, "grpc"), &ids(&format!("grpc-{n}"), 0..3)).await, Attempt::Sent);
    }
    sink.took(160).await;
    let health = service.pages().address("health_check").unwrap();
    assert_eq!(get(health, "/").await.0, 200);
    let metrics = service.pages().address("metrics").unwrap();
    let (status, page) = get(metrics, "/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "otelcol_receiver_accepted_log_records{receiver=\"otlp\",transport=\"http\"} 100",
        "otelcol_receiver_accepted_log_records{receiver=\"otlp\",transport=\"grpc\"} 60",
        "otelcol_receiver_requests{receiver=\"otlp\",transport=\"grpc\",outcome=\"success\"} 20",
        "otelcol_exporter_queue_capacity{exporter=\"otlp_http\",data_type=\"logs\"} 1000",
        "bywash_leaked_acknowledgements 0",
        "bywash_config_last_reload_successful 1",
    ] {
        assert!(page.contains(line), "{line} in\n{page}");
    }
    assert_eq!(service.stop(Duration::from_secs(10)).await.given_up, 0);
    let mut expected: Vec<String> =
        (0..20).flat_map(|n| [ids(&format!("http-{n}"), 0..5), ids(&format!("grpc-{n}"), 0..3)].concat()).collect();
    expected.sort();
    assert_eq!(sink.taken(), expected);
}

/// Scenario: `acknowledge: delivered` and a backend that fails, then takes. Guarantee: success is answered only when the backend has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delivered_means_delivered() {
    let sink = Sink::start(Mode::Fail).await;
    let exporter = "retry_on_failure: {enabled: false}";
    let service = started(&gateway(sink.address, exporter, "acknowledge: delivered")).await;
    let client = Client::new(address(&service, "http"));
    assert!(matches!(client.send(request(&ids("a", 0..2))).await, Attempt::Retry { .. }));
    sink.set(Mode::Take);
    assert!(client.sends(&ids("b", 0..2)).await);
    assert_eq!(sink.taken(), ids("b", 0..2));
    service.stop(Duration::from_secs(10)).await;
}

/// Scenario: a pipeline for logs only. Guarantee: traces are refused for good, not swallowed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_without_a_pipeline_is_refused() {
    let sink = Sink::start(Mode::Take).await;
    let service = started(&gateway(sink.address, "", "")).await;
    let client = Client::new(address(&service, "http"));
    let traces = Payload::new(wire::Signal::Traces, bytes::Bytes::new(), 1);
    assert!(matches!(client.send(traces).await, Attempt::Reject { .. }));
    service.stop(Duration::from_secs(10)).await;
}

/// Scenario: the port of the receiver is taken. Guarantee: nothing starts, the error names receiver and endpoint, and the pages are gone too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_port_is_a_clear_error() {
    let sink = Sink::start(Mode::Take).await;
    let text = gateway_on(&sink.address.to_string(), sink.address, "", "");
    let error = Service::start(planned(&text), None, false).await.err().unwrap().to_string();
    assert!(error.contains("receiver otlp: ") && error.contains(&sink.address.to_string()), "{error}");
}
