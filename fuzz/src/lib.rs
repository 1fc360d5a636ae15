//! What the fuzz targets share.

use stages::{Entry, Labels, Now, Pipeline, Stages, Timestamp};
use std::io::Read;
use std::time::Instant;
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

/// What a deflate stream at the beginning of these bytes comes to, and its size, if it is sound and within the cap.
pub fn deflated(input: &[u8], cap: usize) -> Option<(Vec<u8>, usize)> {
    let mut plain = Vec::new();
    let mut decoder = flate2::bufread::DeflateDecoder::new(input);
    (&mut decoder).take(cap as u64 + 1).read_to_end(&mut plain).ok()?;
    (plain.len() <= cap).then(|| (plain, decoder.total_in() as usize))
}

/// A gzip body of one member with this stream, and the trailer of these bytes.
pub fn gzip_body(stream: &[u8], plain: &[u8]) -> Vec<u8> {
    let head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    [&head[..], stream, &crc32fast::hash(plain).to_le_bytes(), &(plain.len() as u32).to_le_bytes()].concat()
}

/// The first line of an input as text, and what follows it.
pub fn head_and_rest(input: &[u8]) -> Option<(String, &[u8])> {
    let at = input.iter().position(|byte| *byte == b'\n')?;
    Some((String::from_utf8(input[..at].to_vec()).ok()?, &input[at + 1..]))
}

/// The labels of every entry that is run.
pub fn labels() -> Labels {
    [("app", "web"), ("env", "prod")].into_iter().collect()
}

/// Runs a line through stages and ends the input; none if the stages are refused.
pub fn run(config: serde_json::Value, line: &[u8]) -> Option<Vec<Entry>> {
    let list = config.as_array().expect("a list of stages").clone();
    let pipeline = Pipeline::new(&Stages(list)).ok()?;
    let now = Now { wall: Timestamp::from_secs_nanos(1_700_000_000, 0), mono: Instant::now() };
    let mut out = Vec::new();
    let entry = Entry { line: line.to_vec().into(), labels: labels(), timestamp: now.wall, ..Entry::default() };
    pipeline.process(entry, now, |entry| out.push(entry));
    pipeline.finish(now, |entry| out.push(entry));
    Some(out)
}

/// What was extracted under a name, as text.
pub fn extracted(entry: &Entry, name: &str) -> Option<stages::Text> {
    entry.extracted.get_named(name.as_bytes()).and_then(|value| value.to_text())
}
