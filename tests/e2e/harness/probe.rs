//! Single requests whose answers are looked at closely, sent with our own exporter.

use bytes::Bytes;
use components::exporters::otlp_client::{Config, OtlpGrpc};
use flow::{Attempt, Exporter, Payload};
use net::tls::client::TlsConfig;
use std::net::SocketAddr;
use std::time::Duration;
use wire::Signal;
use wire::build::{Log, MessageWriter};
use wire::key::AnyValue;

/// A request of one error record with a body of so many bytes.
pub fn large_error(bytes: usize) -> Bytes {
    let body = "x".repeat(bytes);
    let mut message = MessageWriter::new();
    message.resource_entry(&[("service.name", AnyValue::Str(b"probe"))], "probe", |scope| {
        scope.log(&Log { severity_number: 17, body: AnyValue::Str(body.as_bytes()), ..Log::default() });
    });
    message.finish()
}

/// What a receiver answers to one request over gRPC.
pub async fn grpc(to: SocketAddr, request: Bytes) -> Attempt {
    let tls = TlsConfig { insecure: true, ..TlsConfig::default() };
    let exporter = OtlpGrpc::new(&Config { endpoint: to.to_string(), tls, ..Config::default() }).unwrap();
    let deadline = flow::clock::now() + Duration::from_secs(10);
    exporter.send(&exporter.target(), Payload::new(Signal::Logs, request, 1), deadline).await
}
