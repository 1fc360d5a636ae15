//! Properties of the wire crate held against full decodes: what prost reads is what `wire` must have kept.
//!
//! Every property runs on random requests of all three signals, as prost encodes them and in awkward encodings that
//! protobuf allows (fields out of order, messages in pieces, unknown fields, long varints).

#![allow(clippy::unwrap_used, reason = "a failing unwrap is a failing test")]

mod awkward;
mod convert;
mod divide;
mod edit;
mod json;
mod loki;
mod points;

use awkward::{Under, records};
use bytes::Bytes;
use fastrand::Rng;
use otlp_oracle::metrics::metric::Data;
use otlp_oracle::{LogsRequest, MetricsRequest, TracesRequest, generate};
use proptest::prelude::*;
use prost::Message as _;
use std::collections::BTreeMap;
use wire::{Census, CheckLimits, Signal, check, schema};

/// A request of any signal as prost holds it.
#[derive(Debug, Clone, PartialEq)]
enum Request {
    Logs(LogsRequest),
    Traces(TracesRequest),
    Metrics(MetricsRequest),
}

impl Request {
    fn signal(&self) -> Signal {
        match self {
            Request::Logs(_) => Signal::Logs,
            Request::Traces(_) => Signal::Traces,
            Request::Metrics(_) => Signal::Metrics,
        }
    }

    fn encode(&self) -> Vec<u8> {
        match self {
            Request::Logs(request) => request.encode_to_vec(),
            Request::Traces(request) => request.encode_to_vec(),
            Request::Metrics(request) => request.encode_to_vec(),
        }
    }

    fn decode(signal: Signal, bytes: &[u8]) -> Self {
        match signal {
            Signal::Logs => Request::Logs(LogsRequest::decode(bytes).unwrap()),
            Signal::Traces => Request::Traces(TracesRequest::decode(bytes).unwrap()),
            Signal::Metrics => Request::Metrics(MetricsRequest::decode(bytes).unwrap()),
        }
    }

    fn json(&self) -> serde_json::Value {
        match self {
            Request::Logs(request) => json::logs(request),
            Request::Traces(request) => json::traces(request),
            Request::Metrics(request) => json::metrics(request),
        }
    }

    /// Counts the decoded tree.
    fn census(&self) -> Census {
        let mut census = Census::default();
        match self {
            Request::Logs(request) => {
                census.resources = request.resource_logs.len();
                for entry in &request.resource_logs {
                    census.scopes += entry.scope_logs.len();
                    census.records += entry.scope_logs.iter().map(|scope| scope.log_records.len()).sum::<usize>();
                }
            }
            Request::Traces(request) => {
                census.resources = request.resource_spans.len();
                for entry in &request.resource_spans {
                    census.scopes += entry.scope_spans.len();
                    census.records += entry.scope_spans.iter().map(|scope| scope.spans.len()).sum::<usize>();
                }
            }
            Request::Metrics(request) => {
                census.resources = request.resource_metrics.len();
                for entry in &request.resource_metrics {
                    census.scopes += entry.scope_metrics.len();
                    let metrics = entry.scope_metrics.iter().flat_map(|scope| &scope.metrics);
                    census.records += metrics.map(|metric| points(metric.data.as_ref())).sum::<usize>();
                }
            }
        }
        census
    }
}

fn points(data: Option<&Data>) -> usize {
    match data {
        None => 0,
        Some(Data::Gauge(data)) => data.data_points.len(),
        Some(Data::Sum(data)) => data.data_points.len(),
        Some(Data::Histogram(data)) => data.data_points.len(),
        Some(Data::ExponentialHistogram(data)) => data.data_points.len(),
        Some(Data::Summary(data)) => data.data_points.len(),
    }
}

/// A request of one signal.
fn request_of(signal: Signal) -> BoxedStrategy<Request> {
    match signal {
        Signal::Logs => generate::logs().prop_map(Request::Logs).boxed(),
        Signal::Traces => generate::traces().prop_map(Request::Traces).boxed(),
        Signal::Metrics => generate::metrics().prop_map(Request::Metrics).boxed(),
    }
}

/// A request of any signal.
fn any_request() -> impl Strategy<Value = Request> {
    prop::sample::select(&Signal::ALL[..]).prop_flat_map(request_of)
}

/// A request with its bytes in one of its encodings.
fn in_some_encoding(request: impl Strategy<Value = Request>) -> impl Strategy<Value = (Request, Bytes)> {
    (request, any::<bool>(), any::<u64>()).prop_map(|(request, plain, seed)| {
        let bytes = request.encode();
        let bytes = match plain {
            true => bytes,
            false => awkward::awkward(schema::request(request.signal()), &bytes, &mut Rng::with_seed(seed)),
        };
        (request, Bytes::from(bytes))
    })
}

/// A request of any signal in one of its encodings.
fn encoded() -> impl Strategy<Value = (Request, Bytes)> {
    in_some_encoding(any_request())
}

/// Decoded and encoded by prost: NaN compares equal to itself only in bytes.
fn through_prost(signal: Signal, bytes: &[u8]) -> Vec<u8> {
    Request::decode(signal, bytes).encode()
}

fn checked(signal: Signal, body: &[u8]) -> Census {
    check(signal, body, &CheckLimits { strict_utf8: true, ..CheckLimits::default() }).unwrap()
}

/// Records by their headers, in order: what must stay equal when requests are cut, merged and folded.
fn grouped(list: impl IntoIterator<Item = Under>) -> BTreeMap<Vec<Vec<u8>>, Vec<Vec<u8>>> {
    let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (above, record) in list {
        groups.entry(above).or_default().push(record);
    }
    groups
}

proptest! {
    /// The awkward encodings are encodings of the same request: the premise of everything else here.
    #[test]
    fn awkward_encodings_decode_to_the_same((request, bytes) in encoded()) {
        prop_assert_eq!(through_prost(request.signal(), &bytes), request.encode());
        prop_assert_eq!(records(schema::request(request.signal()), &bytes).len(), request.census().records);
    }

    /// Every request that prost can write is accepted, and the census is the count of the decoded tree.
    #[test]
    fn check_accepts_and_counts((request, bytes) in encoded()) {
        for strict_utf8 in [false, true] {
            let limits = CheckLimits { strict_utf8, ..CheckLimits::default() };
            prop_assert_eq!(check(request.signal(), &bytes, &limits), Ok(request.census()));
        }
    }

    /// What the strict check accepts, prost decodes, and to the same counts: on requests with random damage.
    #[test]
    fn what_check_accepts_prost_decodes(
        (request, bytes) in encoded(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = bytes.to_vec();
        for (at, byte) in damage {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        if let (Some(cut), false) = (cut, bytes.is_empty()) {
            bytes.truncate(cut.index(bytes.len()));
        }
        let limits = CheckLimits { strict_utf8: true, ..CheckLimits::default() };
        if let Ok(census) = check(request.signal(), &bytes, &limits) {
            let decoded = match request.signal() {
                Signal::Logs => LogsRequest::decode(bytes.as_slice()).map(Request::Logs),
                Signal::Traces => TracesRequest::decode(bytes.as_slice()).map(Request::Traces),
                Signal::Metrics => MetricsRequest::decode(bytes.as_slice()).map(Request::Metrics),
            };
            match decoded {
                // A metric whose data changes kind on the way loses the points of the first kind in decoding.
                Ok(decoded) if request.signal() == Signal::Metrics => prop_assert!(decoded.census().records <= census.records),
                Ok(decoded) => prop_assert_eq!(decoded.census(), census),
                Err(error) => prop_assert!(false, "prost refuses what check accepts: {error}, {bytes:?}"),
            }
        }
    }
}
