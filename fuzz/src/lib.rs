//! What the fuzz targets share.

use wire::{Census, CheckLimits, Malformed, Signal, check};

/// Takes the signal off the front of an input.
pub fn signal(input: &[u8]) -> Option<(Signal, &[u8])> {
    let (first, rest) = input.split_first()?;
    Some((Signal::ALL[usize::from(*first) % Signal::ALL.len()], rest))
}

/// The strict check: what it accepts must satisfy any decoder.
pub fn strict(signal: Signal, body: &[u8]) -> Result<Census, Malformed> {
    check(signal, body, &CheckLimits { strict_utf8: true, ..CheckLimits::default() })
}

/// Decodes with prost and counts nothing: whether it can be decoded is the question.
pub fn prost_decodes(signal: Signal, body: &[u8]) -> Result<(), prost::DecodeError> {
    use otlp_oracle::{LogsRequest, MetricsRequest, TracesRequest};
    use prost::Message as _;
    match signal {
        Signal::Logs => LogsRequest::decode(body).map(drop),
        Signal::Traces => TracesRequest::decode(body).map(drop),
        Signal::Metrics => MetricsRequest::decode(body).map(drop),
    }
}
