//! Bodies as senders of logs make them.

#![allow(dead_code, clippy::unwrap_used, reason = "tests use parts of it")]

use std::io::Write;

/// A field of length-delimited bytes.
fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    let mut len = bytes.len();
    while len > 127 {
        out.push(len as u8 | 128);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend_from_slice(bytes);
}

fn attribute(out: &mut Vec<u8>, number: u8, key: &str, value: &str) {
    let (mut pair, mut any) = (Vec::new(), Vec::new());
    field(&mut pair, 1, key.as_bytes());
    field(&mut any, 1, value.as_bytes());
    field(&mut pair, 2, &any);
    field(out, number, &pair);
}

fn record(random: &mut fastrand::Rng, time: u64) -> Vec<u8> {
    const PATHS: [&str; 5] = ["/api/v1/cart", "/api/v1/checkout", "/api/v2/products", "/healthz", "/api/v1/users"];
    const METHODS: [&str; 3] = ["GET", "POST", "PUT"];
    let mut out = vec![0x09];
    out.extend_from_slice(&time.to_le_bytes());
    out.extend_from_slice(&[0x10, [9, 9, 9, 13, 17][random.usize(..5)]]);
    field(&mut out, 3, ["INFO", "INFO", "INFO", "WARN", "ERROR"][random.usize(..5)].as_bytes());
    let (method, path) = (METHODS[random.usize(..3)], PATHS[random.usize(..5)]);
    let (status, took) = ([200, 200, 201, 404, 500][random.usize(..5)], random.u32(1..2500));
    let line = format!(
        "{method} {path}/{} HTTP/1.1 {status} {took}ms user={} remote=10.{}.{}.{} bytes={}",
        random.u32(..100_000),
        random.u32(..5000),
        random.u8(..),
        random.u8(..),
        random.u8(..),
        random.u32(..60_000)
    );
    let mut body = Vec::new();
    field(&mut body, 1, line.as_bytes());
    field(&mut out, 5, &body);
    attribute(&mut out, 6, "http.request.method", method);
    attribute(&mut out, 6, "url.path", path);
    attribute(&mut out, 6, "http.response.status_code", &status.to_string());
    attribute(&mut out, 6, "thread.name", &format!("http-worker-{}", random.u8(..32)));
    attribute(&mut out, 6, "code.namespace", "com.example.shop.web.RequestLoggingFilter");
    attribute(&mut out, 6, "log.iostream", "stdout");
    out.extend_from_slice(&[0x45, 1, 0, 0, 0]);
    field(&mut out, 9, &random.u128(..).to_le_bytes());
    field(&mut out, 10, &random.u64(..).to_le_bytes());
    out
}

/// An OTLP request of so many log records of about 430 bytes, in protobuf.
pub fn logs(records: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut resource, mut scope, mut entry, mut request) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    attribute(&mut resource, 1, "service.name", "checkout");
    attribute(&mut resource, 1, "k8s.pod.name", "checkout-7d9c6b8f4d-x2x9q");
    attribute(&mut resource, 1, "k8s.namespace.name", "shop");
    field(&mut entry, 1, &resource);
    field(&mut scope, 1, b"\x0a\x0alogback-io");
    let mut time = 1_700_000_000_000_000_000 + seed % 1_000_000 * 1_000_000_000;
    for _ in 0..records {
        time += random.u64(..2_000_000);
        field(&mut scope, 2, &record(&mut random, time));
    }
    field(&mut entry, 2, &scope);
    field(&mut request, 1, &entry);
    request
}

/// These bytes as one gzip member.
pub fn packed(bytes: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
