//! What came compressed leaves compressed, without being compressed again: bytes for bytes, as long as nothing changes it.

use crate::harness::{Bywash, Pipeline, http};
use flate2::{Compression, GzBuilder};
use otlp_oracle::LogsRequest;
use otlp_oracle::common::{AnyValue, KeyValue, any_value::Value};
use otlp_oracle::logs::{LogRecord, ResourceLogs, ScopeLogs};
use otlp_oracle::resource::Resource;
use prost::Message;
use std::io::{Read, Write};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// A backend that keeps what it is sent, as it is.
struct Backend {
    address: SocketAddr,
    bodies: mpsc::Receiver<(String, Vec<u8>)>,
    _tasks: JoinSet<()>,
}

impl Backend {
    async fn start() -> Backend {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (to, bodies) = mpsc::channel(100);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, to.clone()));
            }
        });
        Backend { address, bodies, _tasks: tasks }
    }

    /// The next body and how it is encoded.
    async fn body(&mut self) -> (String, Vec<u8>) {
        tokio::time::timeout(std::time::Duration::from_secs(30), self.bodies.recv()).await.unwrap().unwrap()
    }
}

/// Answers every request of a connection.
async fn serve(mut stream: TcpStream, to: mpsc::Sender<(String, Vec<u8>)>) {
    let mut read = vec![];
    loop {
        let end = loop {
            match read.windows(4).position(|at| at == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None if stream.read_buf(&mut read).await.unwrap_or(0) == 0 => return,
                None => {}
            }
        };
        let head = String::from_utf8(read[..end].to_vec()).unwrap().to_lowercase();
        let header = |name: &str| {
            let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            line.unwrap_or_default().to_owned()
        };
        let size: usize = header("content-length").parse().unwrap();
        while read.len() < end + size {
            assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0);
        }
        let body = read[end..end + size].to_vec();
        read.drain(..end + size);
        to.send((header("content-encoding"), body)).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    }
}

/// A request of a hundred records.
fn request(number: u64) -> Vec<u8> {
    let text = |text: String| Some(AnyValue { value: Some(Value::StringValue(text)) });
    let record = |n: u64| LogRecord {
        time_unix_nano: 1_700_000_000_000_000_000 + n,
        body: text(format!("record {n} of {number}: {:0300}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))),
        ..LogRecord::default()
    };
    let scope = ScopeLogs { log_records: (0..100).map(record).collect(), ..ScopeLogs::default() };
    let name = KeyValue { key: "service.name".to_owned(), value: text("checkout".to_owned()), key_strindex: 0 };
    let resource = Resource { attributes: vec![name], ..Resource::default() };
    let entry = ResourceLogs { resource: Some(resource), scope_logs: vec![scope], ..ResourceLogs::default() };
    LogsRequest { resource_logs: vec![entry] }.encode_to_vec()
}

/// It as gzip, with a time in its header that nobody else would write.
fn gzipped(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzBuilder::new().mtime(77).write(Vec::new(), Compression::new(3));
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// What is in one member of gzip, and nothing behind it.
fn inflated(body: &[u8]) -> Vec<u8> {
    let mut decoder = flate2::bufread::GzDecoder::new(body);
    let mut plain = vec![];
    decoder.by_ref().take(1 << 24).read_to_end(&mut plain).unwrap();
    assert!(decoder.into_inner().is_empty());
    plain
}

async fn post(bywash: &Bywash, encoding: &str, body: &[u8]) {
    let headers = [("content-type", "application/x-protobuf"), ("content-encoding", encoding)];
    let answer = http::request(bywash.http, "POST", "/v1/logs", &headers, body).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}

async fn memory_comes_back(bywash: &Bywash) {
    bywash.until("memory to be given back", |m| m.sum("bywash_budget_used_bytes", &[]) == 0.0).await;
}

/// Scenario: requests in gzip and in zstd, to a backend that gets the same. Guarantee: it gets the bytes that were sent.
#[tokio::test]
async fn what_is_not_changed_leaves_as_it_came() {
    let plain = request(1);
    let frame = zstd::bulk::compress(&plain, 7).unwrap();
    for (encoding, body) in [("gzip", gzipped(&plain)), ("zstd", frame)] {
        let mut backend = Backend::start().await;
        let pipeline = Pipeline::new().http("a", backend.address, &[&format!("compression: {encoding}")]);
        let bywash = Bywash::start(&pipeline.yaml()).await;
        post(&bywash, encoding, &body).await;
        assert!(backend.body().await == (encoding.to_owned(), body), "{encoding}");
        memory_comes_back(&bywash).await;
        bywash.stop().await;
    }
}

/// Scenario: three large requests make a batch. Guarantee: the backend gets one request of gzip, in which they stand one behind the other
/// as they were: they were joined, for merging would have said their resource once.
#[tokio::test]
async fn large_requests_of_a_batch_are_joined() {
    let mut backend = Backend::start().await;
    let batch =
        "sending_queue: {queue_size: 10000, sizer: items, batch: {min_size: 300, max_size: 1000, flush_timeout: 60s}}";
    let pipeline = Pipeline::new().http("a", backend.address, &["compression: gzip", batch]);
    let bywash = Bywash::start(&pipeline.yaml()).await;
    let plain: Vec<Vec<u8>> = (0..3).map(request).collect();
    for plain in &plain {
        post(&bywash, "gzip", &gzipped(plain)).await;
    }
    let (encoding, body) = backend.body().await;
    assert_eq!(encoding, "gzip");
    assert!(inflated(&body) == plain.concat());
    memory_comes_back(&bywash).await;
    bywash.stop().await;
}

/// Scenario: a processor adds an attribute to every resource. Guarantee: the backend gets gzip of the changed request.
#[tokio::test]
async fn what_is_changed_is_compressed_again() {
    let mut backend = Backend::start().await;
    let yaml = Pipeline::new().http("a", backend.address, &["compression: gzip"]).yaml();
    let yaml = yaml.replace("logs: {receivers: [otlp],", "logs: {receivers: [otlp], processors: [resource],");
    let processor = "resource: {attributes: [{key: added, value: by the way, action: insert}]}";
    let bywash = Bywash::start(&format!("processors:\n  {processor}\n{yaml}")).await;
    let plain = request(1);
    post(&bywash, "gzip", &gzipped(&plain)).await;
    let (_, body) = backend.body().await;
    let changed = LogsRequest::decode(&inflated(&body)[..]).unwrap();
    let resource = changed.resource_logs[0].resource.as_ref().unwrap();
    assert_eq!(resource.attributes.iter().map(|pair| pair.key.as_str()).collect::<Vec<_>>(), ["service.name", "added"]);
    assert_eq!(changed.resource_logs[0].scope_logs[0].log_records.len(), 100);
    memory_comes_back(&bywash).await;
    bywash.stop().await;
}
