//! What the tests of this crate share: requests, a scripted destination, and the books that must balance.

use crate::router::Routes;
use crate::{Attempt, Exporter, Kind, Payload, Router, Scope, Target, Why};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wire::Signal;

fn field(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag << 3 | 2];
    let mut len = body.len();
    while len >= 128 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend_from_slice(body);
    out
}

/// One log record whose body is `id`; an error record if `error`.
fn record(id: &str, error: bool) -> Vec<u8> {
    let mut rec = vec![2 << 3, if error { 17 } else { 9 }];
    rec.extend(field(5, &field(1, id.as_bytes())));
    field(2, &rec)
}

/// A log request of one service with these records. An id that begins with `!` is an error.
pub fn logs(service: &str, ids: &[&str]) -> Payload {
    let attribute = [field(1, b"service.name"), field(2, &field(1, service.as_bytes()))].concat();
    let records: Vec<u8> = ids.iter().flat_map(|id| record(id, id.starts_with('!'))).collect();
    let entry = [field(1, &field(1, &attribute)), field(2, &records)].concat();
    Payload::new(Signal::Logs, bytes::Bytes::from(field(1, &entry)), ids.len() as u32)
}

/// The ids in a request, in order.
pub fn ids(payload: &Payload) -> Vec<String> {
    fn fields(mut b: &[u8]) -> Vec<(u8, &[u8])> {
        let mut out = vec![];
        while let [key, rest @ ..] = b {
            if key & 7 == 0 {
                b = &rest[1..];
                continue;
            }
            let (mut len, mut rest, mut shift) = (0, rest, 0);
            loop {
                len |= (rest[0] as usize & 127) << shift;
                shift += 7;
                let is_last = rest[0] < 128;
                rest = &rest[1..];
                if is_last {
                    break;
                }
            }
            out.push((key >> 3, &rest[..len]));
            b = &rest[len..];
        }
        out
    }
    let body = payload.body.contiguous();
    let nested = |b, tag| fields(b).into_iter().filter(move |(t, _)| *t == tag).map(|(_, v)| v);
    nested(&body, 1)
        .flat_map(|entry| nested(entry, 2))
        .flat_map(|scope| nested(scope, 2))
        .flat_map(|record| nested(record, 5))
        .flat_map(|any| nested(any, 1))
        .map(|id| String::from_utf8_lossy(id).into_owned())
        .collect()
}

/// What a scripted destination does with a request.
#[derive(Clone, Debug)]
pub enum Script {
    /// Takes it after this long.
    Take(Duration),
    /// Answers this at once.
    Answer(Attempt),
    /// Never answers.
    Stall,
}

/// A retryable failure of one target.
pub fn unavailable() -> Attempt {
    Attempt::Retry { after: None, why: Why::new(Kind::Unavailable, "down"), scope: Scope::Target }
}

/// A destination that follows a script, then takes everything; it rejects any request with an id that begins with `bad`.
#[derive(Default, Clone)]
pub struct Destination(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    script: VecDeque<Script>,
    always: Option<Script>,
    largest: Option<(usize, Attempt)>,
    taken: Vec<Vec<String>>,
    tries: Vec<(Instant, Vec<String>)>,
}

impl Destination {
    pub fn scripted(script: impl IntoIterator<Item = Script>) -> Destination {
        let d = Destination::default();
        d.0.lock().script.extend(script);
        d
    }

    /// From now on, whenever the script is at its end.
    pub fn always(&self, script: Option<Script>) {
        self.0.lock().always = script;
    }

    /// From now on, requests of more records are answered so.
    pub fn refuse_more_than(&self, records: usize, answer: Attempt) {
        self.0.lock().largest = Some((records, answer));
    }

    /// What comes next.
    pub fn script(&self, script: impl IntoIterator<Item = Script>) {
        self.0.lock().script.extend(script);
    }

    /// From now on it takes everything.
    pub fn clear(&self) {
        let mut inner = self.0.lock();
        inner.script.clear();
        inner.always = None;
    }

    /// The requests that were taken, as ids.
    pub fn taken(&self) -> Vec<Vec<String>> {
        self.0.lock().taken.clone()
    }

    pub fn taken_ids(&self) -> Vec<String> {
        self.taken().concat()
    }

    /// All tries with their times.
    pub fn tries(&self) -> Vec<(Instant, Vec<String>)> {
        self.0.lock().tries.clone()
    }
}

impl Exporter for Destination {
    async fn send(&self, _target: &Target, request: Payload, _deadline: Instant) -> Attempt {
        let ids = ids(&request);
        let script = {
            let mut inner = self.0.lock();
            inner.tries.push((crate::clock::now(), ids.clone()));
            let largest = inner.largest.as_ref().filter(|(most, _)| ids.len() > *most);
            let refusal = largest.map(|(_, answer)| Script::Answer(answer.clone()));
            inner.script.pop_front().or(refusal).or(inner.always.clone()).unwrap_or(Script::Take(Duration::ZERO))
        };
        let attempt = match script {
            Script::Stall => std::future::pending().await,
            Script::Answer(attempt) => attempt,
            Script::Take(delay) => {
                tokio::time::sleep(delay).await;
                match ids.iter().any(|id| id.starts_with("bad")) {
                    true => Attempt::Reject { why: Why::new(Kind::BadData, "bad record") },
                    false => Attempt::Sent,
                }
            }
        };
        if matches!(attempt, Attempt::Sent | Attempt::Partial { .. }) {
            self.0.lock().taken.push(ids);
        }
        attempt
    }
}

/// Routes by the last character of the service name, to `target-<it>`.
pub struct ByService;

impl Router for ByService {
    fn route(&self, payload: Payload, out: &mut Routes) {
        let body = payload.body.contiguous();
        let Some(at) = body.windows(7).position(|w| w == b"target-") else { return };
        out.push((Target::new(String::from_utf8_lossy(&body[at..at + 8]).into_owned()), payload));
    }
}
