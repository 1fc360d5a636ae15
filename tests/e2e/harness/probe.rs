//! Single requests whose answers are looked at closely, sent with our own exporter.

use bytes::Bytes;
use bywash::exporters::otlp_grpc::{Config, OtlpGrpc};
use bywash::net::tls::client::TlsConfig;
use flow::{Attempt, Exporter, Kind, Payload};
use std::net::SocketAddr;
use std::time::Duration;
use wire::Signal;
use wire::build::{Log, MessageWriter};
use wire::key::AnyValue;

/// How often a request of one large error record is tried.
const TRIES: usize = 5;

/// A request of one error record with a body of so many bytes.
pub fn large_error(bytes: usize) -> Bytes {
    let body = "x".repeat(bytes);
    let mut message = MessageWriter::new();
    message.resource_entry(&[("service.name", AnyValue::Str(b"probe"))], "probe", |scope| {
        scope.log(&Log { severity_number: 17, body: AnyValue::Str(body.as_bytes()), ..Log::default() });
    });
    message.finish()
}

/// Sends large errors to a receiver that has no room for them: how many were tried, and how many were refused for overload with a delay.
pub async fn refusals(to: SocketAddr, bytes: usize) -> (usize, usize) {
    let tls = TlsConfig { insecure: true, ..TlsConfig::default() };
    let exporter = OtlpGrpc::new(&Config { endpoint: to.to_string(), tls, ..Config::default() }).unwrap();
    let mut told = 0;
    for _ in 0..TRIES {
        let deadline = flow::clock::now() + Duration::from_secs(10);
        let attempt = exporter.send(&exporter.target(), Payload::new(Signal::Logs, large_error(bytes), 1), deadline).await;
        match attempt {
            Attempt::Retry { after: Some(after), why, .. } if why.kind == Kind::Throttled && !after.is_zero() => told += 1,
            other => println!("not a refusal with a delay: {other:?}"),
        }
    }
    (TRIES, told)
}
