//! What became of every record that the load generator sent.
//!
//! Invariant: `sent = acked + refused + partial + failed`, at every moment and for every request.
//! The file of ids has a JSON object per request; it is written as requests end, through a buffer of fixed size.

use super::generate::Request;
use crate::commands::latency::Latency;
use flow::{Attempt, Kind};
use parking_lot::Mutex;
use serde::Serialize;
use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Duration;
use wire::Signal;

/// What the receiver said of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It took all.
    Acked,
    /// It took the request, but not so many of its records; nobody knows which.
    Partial(u32),
    /// It took nothing, and said so.
    Refused,
    /// It did not answer: it may have taken all, or nothing.
    Failed,
}

impl Verdict {
    /// What an attempt says after what the attempts before it said. Once an attempt got no answer, a later "no" is not the whole
    /// truth any more: the first may have arrived.
    #[must_use]
    pub fn of(attempt: &Attempt, records: u32, before: Verdict) -> Verdict {
        let no = if before == Verdict::Failed { Verdict::Failed } else { Verdict::Refused };
        match attempt {
            Attempt::Sent | Attempt::Partial { rejected: 0, .. } => Verdict::Acked,
            Attempt::Partial { rejected, .. } => {
                Verdict::Partial(u32::try_from(*rejected).unwrap_or(records).min(records))
            }
            Attempt::Reject { .. } => no,
            Attempt::Retry { why, .. } => match why.kind {
                Kind::Unreachable | Kind::Timeout | Kind::Protocol | Kind::Other => Verdict::Failed,
                _ => no,
            },
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Verdict::Acked => "acked",
            Verdict::Partial(_) => "partial",
            Verdict::Refused => "refused",
            Verdict::Failed => "failed",
        }
    }
}

/// A request that has ended.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The first of its ids, which are consecutive.
    pub first: u64,
    /// Its signal.
    pub signal: Signal,
    /// Its records.
    pub records: u32,
    /// How often it was sent.
    pub attempts: u32,
    /// How long after its time it was first sent.
    pub late: Duration,
    /// From its last sending to the answer.
    pub took: Duration,
    /// What the receiver said.
    pub verdict: Verdict,
    /// Why it did not take all, in the words of the last attempt.
    pub why: Option<String>,
}

impl Answer {
    /// A request that has not been sent yet.
    #[must_use]
    pub fn pending(request: &Request, records: u32, late: Duration) -> Answer {
        let (first, signal, took) = (request.first, request.signal, Duration::ZERO);
        Answer { first, signal, records, attempts: 0, late, took, verdict: Verdict::Acked, why: None }
    }

    /// One more attempt, and how long it took.
    pub fn add(&mut self, attempt: &Attempt, took: Duration) {
        self.attempts += 1;
        self.took = took;
        self.verdict = Verdict::of(attempt, self.records, self.verdict);
        self.why = match attempt {
            Attempt::Sent => None,
            Attempt::Partial { why, .. } | Attempt::Retry { why, .. } | Attempt::Reject { why } => {
                Some(why.to_string())
            }
        };
    }
}

/// A line of the file of ids.
#[derive(Serialize)]
struct Line<'a> {
    first: u64,
    records: u32,
    signal: &'static str,
    outcome: &'static str,
    rejected: u32,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
}

/// The sum of it all; displays as one line of JSON.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// Requests that ended.
    pub requests: u64,
    /// Requests sent again.
    pub retries: u64,
    /// Records in requests that ended.
    pub sent: u64,
    /// Records that the receiver took.
    pub acked: u64,
    /// Records that it refused with their whole request.
    pub refused: u64,
    /// Records that it refused while taking others of their request.
    pub partial: u64,
    /// Records without an answer.
    pub failed: u64,
    /// From the beginning.
    pub seconds: f64,
    /// Records acked per second.
    pub rate: f64,
    /// Half of the answers took at most so long.
    pub p50_ms: f64,
    /// 99 of 100.
    pub p99_ms: f64,
    /// 999 of 1000.
    pub p999_ms: f64,
    /// The longest that a request was late.
    pub late_ms: f64,
    /// Why records were not acked, in the words of the last such answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

#[derive(Default)]
struct Open {
    summary: Summary,
    late: Duration,
    latency: Latency,
    file: Option<BufWriter<File>>,
    /// The first failure to write the file.
    broken: Option<io::Error>,
}

/// See the module.
pub struct Books(Mutex<Open>);

impl Books {
    /// Empty books, with a file of ids or without.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn open(path: Option<&Path>) -> io::Result<Books> {
        let file = path.map(File::create).transpose()?.map(BufWriter::new);
        Ok(Books(Mutex::new(Open { file, ..Open::default() })))
    }

    /// Enters a request that has ended.
    pub fn enter(&self, answer: &Answer) {
        let Answer { first, signal, records, attempts, .. } = *answer;
        let mut open = self.0.lock();
        let rejected = match answer.verdict {
            Verdict::Partial(rejected) => rejected,
            _ => 0,
        };
        let sum = &mut open.summary;
        sum.requests += 1;
        sum.retries += u64::from(attempts.saturating_sub(1));
        sum.sent += u64::from(records);
        match answer.verdict {
            Verdict::Acked => sum.acked += u64::from(records),
            Verdict::Partial(rejected) => {
                sum.acked += u64::from(records - rejected);
                sum.partial += u64::from(rejected);
            }
            Verdict::Refused => sum.refused += u64::from(records),
            Verdict::Failed => sum.failed += u64::from(records),
        }
        if answer.verdict != Verdict::Failed {
            open.latency.add(answer.took);
        }
        open.late = open.late.max(answer.late);
        if answer.why.is_some() {
            open.summary.why.clone_from(&answer.why);
        }
        if let Some(file) = &mut open.file {
            let (signal, outcome, why) = (signal.as_str(), answer.verdict.as_str(), answer.why.as_deref());
            let line = Line { first, records, signal, outcome, rejected, attempts, why };
            let written =
                serde_json::to_writer(&mut *file, &line).map_err(io::Error::from).and_then(|()| file.write_all(b"\n"));
            if let Err(error) = written {
                open.broken.get_or_insert(error);
            }
        }
    }

    /// The sum so far.
    #[must_use]
    pub fn summary(&self, since: Duration) -> Summary {
        let open = self.0.lock();
        let millis = |d: Duration| (d.as_secs_f64() * 1e6).round() / 1e3;
        Summary {
            seconds: millis(since) / 1e3,
            rate: (open.summary.acked as f64 / since.as_secs_f64().max(1e-9)).round(),
            p50_ms: millis(open.latency.quantile(0.5)),
            p99_ms: millis(open.latency.quantile(0.99)),
            p999_ms: millis(open.latency.quantile(0.999)),
            late_ms: millis(open.late),
            ..open.summary.clone()
        }
    }

    /// Writes the file to its end, and gives the sum.
    ///
    /// # Errors
    /// Something of the file could not be written.
    pub fn close(&self, since: Duration) -> io::Result<Summary> {
        let mut open = self.0.lock();
        if let Some(error) = open.broken.take() {
            return Err(error);
        }
        if let Some(file) = &mut open.file {
            file.flush()?;
        }
        drop(open);
        Ok(self.summary(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flow::{Scope, Why};
    use proptest::prelude::*;

    fn retry(kind: Kind) -> Attempt {
        Attempt::Retry { after: None, why: Why::new(kind, ""), scope: Scope::Target }
    }

    /// Scenario: no answer, then a refusal; and the other way round. Guarantee: it stays unknown whether the records arrived.
    #[test]
    fn a_request_without_an_answer_stays_unknown() {
        let first = Verdict::of(&retry(Kind::Timeout), 3, Verdict::Acked);
        assert_eq!(first, Verdict::Failed);
        assert_eq!(Verdict::of(&retry(Kind::Throttled), 3, first), Verdict::Failed);
        assert_eq!(Verdict::of(&Attempt::Sent, 3, first), Verdict::Acked);
        let refused = Verdict::of(&retry(Kind::Throttled), 3, Verdict::Acked);
        assert_eq!(refused, Verdict::Refused);
        assert_eq!(Verdict::of(&retry(Kind::Unreachable), 3, refused), Verdict::Failed);
    }

    proptest! {
        /// Scenario: any answers, even those that refuse more records than were sent. Guarantee: every record is in exactly one book, and the file has a line for each request.
        #[test]
        fn the_books_balance(answers in prop::collection::vec((1u32..50, 0u8..4, 0u64..60), 1..40)) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("ids");
            let books = Books::open(Some(&path)).unwrap();
            let mut first = 1;
            for (records, kind, rejected) in &answers {
                let attempt = match kind {
                    0 => Attempt::Sent,
                    1 => Attempt::Partial { rejected: *rejected, why: Why::new(Kind::Partial, "") },
                    2 => retry(Kind::Throttled),
                    _ => retry(Kind::Unreachable),
                };
                let request = Request { signal: Signal::Logs, first, body: bytes::Bytes::new() };
                let mut answer = Answer::pending(&request, *records, Duration::ZERO);
                answer.add(&attempt, Duration::from_millis(1));
                books.enter(&answer);
                first += u64::from(*records);
            }
            let sum = books.close(Duration::from_secs(1)).unwrap();
            prop_assert_eq!(sum.sent, sum.acked + sum.refused + sum.partial + sum.failed);
            prop_assert_eq!(sum.sent, first - 1);
            prop_assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), answers.len());
        }
    }
}
