//! What the load generator sends with: the exporters of the pipelines, one attempt at a time, without their queues.

use super::generate::Request;
use super::{Args, Packing, Protocol};
use bytes::Bytes;
use components::exporters::{otlp_client, otlp_http};
use config::path::Path;
use config::source::Source;
use config::validate::Validate;
use config::{Diagnostics, Located, decode_valid, parse};
use flow::{Attempt, Exporter, Kind, Payload, Scope, Target, Why};
use serde::de::DeserializeOwned;
use serde_json::json;
use std::time::Duration;

/// An exporter, and where it sends to.
pub enum Client {
    /// OTLP/gRPC.
    Grpc(otlp_client::OtlpGrpc, Target),
    /// OTLP/HTTP.
    Http(otlp_http::OtlpHttp, Target),
}

impl Client {
    /// A client with connections of its own, none of which is made yet.
    ///
    /// # Errors
    /// What the arguments say makes no sense to the exporter.
    pub fn new(args: &Args) -> anyhow::Result<Client> {
        let to = args.to.clone().unwrap_or_else(|| match args.protocol {
            Protocol::Grpc => "http://localhost:4317".to_owned(),
            Protocol::HttpProtobuf | Protocol::HttpJson => "http://localhost:4318".to_owned(),
        });
        let compression = match args.compression {
            Packing::None => "none",
            Packing::Gzip => "gzip",
            Packing::Zstd => "zstd",
            Packing::Snappy => "snappy",
        };
        let headers: serde_json::Map<_, _> = args.header.iter().map(|(n, v)| (n.clone(), v.clone().into())).collect();
        let mut keys = json!({ "endpoint": to, "compression": compression, "headers": headers });
        let tls = [("ca_file", &args.ca_file), ("cert_file", &args.cert_file), ("key_file", &args.key_file)];
        let tls = tls.into_iter().filter_map(|(key, file)| Some((key.to_owned(), file.clone()?.into())));
        let tls: serde_json::Map<_, _> = tls.collect();
        if !tls.is_empty() {
            keys["tls"] = tls.into();
        }
        if args.protocol == Protocol::Grpc {
            keys["balancer_name"] = "pick_first".into();
            let exporter = otlp_client::OtlpGrpc::new(&configured(&keys)?)?;
            let target = exporter.target();
            return Ok(Client::Grpc(exporter, target));
        }
        keys["encoding"] = if args.protocol == Protocol::HttpJson { "json" } else { "proto" }.into();
        let exporter = otlp_http::OtlpHttp::new(&configured(&keys)?)?;
        let target = exporter.target();
        Ok(Client::Http(exporter, target))
    }

    /// One attempt, which ends after `timeout`; zero is no limit.
    pub async fn send(&self, request: &Request, records: u32, timeout: Duration) -> Attempt {
        let payload = Payload::new(request.signal, Bytes::clone(&request.body), records);
        let limit = if timeout.is_zero() { Duration::from_secs(86_400) } else { timeout };
        let deadline = flow::clock::now() + limit;
        let attempt = async {
            match self {
                Client::Grpc(exporter, target) => exporter.send(target, payload, deadline).await,
                Client::Http(exporter, target) => exporter.send(target, payload, deadline).await,
            }
        };
        let late =
            |_| Attempt::Retry { after: None, why: Why::new(Kind::Timeout, "no answer in time"), scope: Scope::Target };
        tokio::time::timeout(limit, attempt).await.unwrap_or_else(late)
    }
}

/// The configuration of an exporter with these keys. JSON is YAML, so it takes the way of every configuration.
fn configured<T: DeserializeOwned + Validate>(keys: &serde_json::Value) -> anyhow::Result<T> {
    let mut found = Diagnostics::new();
    let node = parse::parse(&Source::new("arguments", keys.to_string()), &mut found);
    let config = node.and_then(|node| decode_valid(&Located { node: &node, path: Path::root() }, &mut found));
    let wrong = found.errors().map(|d| format!("{}: {}", d.path, d.message)).collect::<Vec<_>>().join("; ");
    config.ok_or_else(|| anyhow::anyhow!("cannot send with these arguments: {wrong}"))
}
