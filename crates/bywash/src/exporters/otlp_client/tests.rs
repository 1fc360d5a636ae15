use super::*;
use crate::net::client::testing::{Answer, Setup, grpc};

fn config(endpoint: impl ToString) -> Config {
    let json = serde_json::json!({"endpoint": endpoint.to_string(), "tls": {"insecure": true}, "compression": "none"});
    serde_json::from_value(json).unwrap()
}

fn payload(signal: Signal, body: &'static [u8]) -> Payload {
    Payload::new(signal, bytes::Bytes::from_static(body), 1)
}

async fn send(exporter: &OtlpGrpc, signal: Signal, body: &'static [u8]) -> Attempt {
    let deadline = flow::clock::now() + Duration::from_secs(5);
    exporter.send(&exporter.target(), payload(signal, body), deadline).await
}

/// Scenario: each signal is sent. Guarantee: it arrives at its own method, as it was, with the headers of gRPC.
#[tokio::test]
async fn every_signal_arrives_at_its_method() {
    let mut server = grpc(Setup::default(), |_| Answer::Ok(vec![])).await;
    let exporter = OtlpGrpc::new(&config(server.address)).unwrap();
    for (signal, service) in [
        (Signal::Logs, "logs.v1.LogsService"),
        (Signal::Traces, "trace.v1.TraceService"),
        (Signal::Metrics, "metrics.v1.MetricsService"),
    ] {
        assert_eq!(send(&exporter, signal, b"\x0a\x00").await, Attempt::Sent);
        let seen = server.next().await;
        assert_eq!(seen.head.uri.path(), format!("/opentelemetry.proto.collector.{service}/Export"));
        assert_eq!(seen.head.uri.authority().unwrap().as_str(), server.address.to_string());
        assert_eq!(&seen.message[..], b"\x0a\x00");
        assert_eq!(
            (&seen.head.headers["te"], &seen.head.headers["content-type"]),
            (&"trailers".parse().unwrap(), &"application/grpc".parse().unwrap())
        );
        assert!(seen.head.headers["user-agent"].to_str().unwrap().starts_with("Bywash/"));
    }
    assert_eq!(server.connections(), 1);
}
