//! A request becomes rows: on the thread of who brings it, before it waits for a connection.

use crate::copy::{Tuple, text, time};
use crate::trace::{Summaries, Summary};
use std::collections::BTreeMap;
use store::{Durations, Facts, Piece, failures, pieces};
use wire::{Malformed, Signal};

/// Nanoseconds of a minute.
pub(crate) const MINUTE: u64 = 60_000_000_000;

/// The table of a signal.
pub(crate) fn table(signal: Signal) -> &'static str {
    if signal == Signal::Logs { "logs" } else { "spans" }
}

/// The columns of [`table`], in the order in which rows are written.
pub(crate) const LOG_COLUMNS: &str =
    "arrived, request, record, origin, time, nanos, severity, tenant, service, body, trace, span, otlp";
/// And those of spans.
pub(crate) const SPAN_COLUMNS: &str =
    "arrived, request, record, origin, time, nanos, severity, tenant, service, name, trace, span, otlp, took";

/// And those of headers.
pub(crate) const ORIGIN_COLUMNS: &str = "arrived, request, origin, tenant, resource, scope";

/// What a row of logs or spans adds to counts and summaries.
pub(crate) struct Record {
    pub count: Count,
    /// Of a span that has a trace: its id, and what it adds.
    pub trace: Option<([u8; 16], Summary)>,
}

/// What is counted together: signal, service, minute, class of severity.
pub(crate) type Count = (i16, String, u64, i16);

/// The rows of one request.
pub(crate) struct Rows {
    pub tenant: String,
    pub hash: u64,
    pub number: u64,
    pub arrived: u64,
    /// Records as they came, without those that are made of failures.
    pub received: usize,
    pub records: Vec<Record>,
    /// Rows of the tables of logs, spans and origins.
    pub logs: Vec<u8>,
    pub spans: Vec<u8>,
    pub origins: Vec<u8>,
    /// The headers that were written last.
    last_origin: Option<u32>,
}

impl Rows {
    /// Reads a request.
    ///
    /// # Errors
    /// It is no OTLP request.
    pub fn read(
        tenant: &str,
        signal: Signal,
        request: &[u8],
        (number, arrived): (u64, u64),
        with_failures: bool,
    ) -> Result<Rows, Malformed> {
        let mut rows = Rows {
            tenant: tenant.to_owned(),
            hash: store::request_hash(tenant, signal, request),
            number,
            arrived,
            received: 0,
            records: vec![],
            logs: vec![],
            spans: vec![],
            origins: vec![],
            last_origin: None,
        };
        let mut failed = 0;
        pieces(signal, request, arrived, |piece| {
            rows.received += 1;
            rows.add_origin(&piece);
            rows.add(signal, &piece);
            if with_failures && signal == Signal::Traces {
                for log in failures(piece.record) {
                    let facts = Facts::read(Signal::Logs, &log, arrived);
                    rows.add(Signal::Logs, &Piece { ordinal: failed, record: &log, facts: &facts, ..piece });
                    failed += 1;
                }
            }
        })?;
        Ok(rows)
    }

    /// Headers are kept once for all records that follow each other below them.
    fn add_origin(&mut self, piece: &Piece<'_>) {
        if self.last_origin.replace(piece.origin) == Some(piece.origin) {
            return;
        }
        Tuple::new(&mut self.origins, 6)
            .int8(time(self.arrived).0)
            .int8(self.number as i64)
            .int4(piece.origin as i32)
            .bytes(text(self.tenant.as_bytes()).as_bytes())
            .bytes(piece.resource)
            .bytes(piece.scope);
    }

    fn add(&mut self, signal: Signal, piece: &Piece<'_>) {
        let facts = piece.facts;
        let (micros, rest) = time(facts.time);
        let service = text(piece.service);
        let is_span = signal == Signal::Traces;
        let (out, fields) = if is_span { (&mut self.spans, 14) } else { (&mut self.logs, 13) };
        let tuple = Tuple::new(out, fields)
            .int8(time(self.arrived).0)
            .int8(self.number as i64)
            .int4(piece.ordinal as i32)
            .int4(piece.origin as i32)
            .int8(micros)
            .int2(rest)
            .int2(facts.severity.into())
            .bytes(self.tenant.as_bytes())
            .bytes(service.as_bytes())
            .bytes(text(&facts.text).as_bytes())
            .id(&facts.trace)
            .id(&facts.span)
            .bytes(piece.record);
        if is_span {
            tuple.int2(Durations::bar(facts.end.saturating_sub(facts.time)) as i16);
        }
        let class = i16::from(facts.severity.min(24).div_ceil(4));
        let has_trace = is_span && facts.trace != [0; 16];
        self.records.push(Record {
            count: (i16::from(is_span), service.into_owned(), facts.time / MINUTE, class),
            trace: has_trace.then(|| (facts.trace, Summary::of(piece))),
        });
    }

    /// Bytes of its rows.
    pub fn bytes(&self) -> usize {
        self.logs.len() + self.spans.len() + self.origins.len()
    }
}

/// What a record adds to the counts and summaries of its transaction.
pub(crate) fn tell(tenant: &str, record: &Record, counts: &mut BTreeMap<(String, Count), i64>, traces: &mut Summaries) {
    *counts.entry((tenant.to_owned(), record.count.clone())).or_default() += 1;
    if let Some((id, summary)) = &record.trace {
        let there = traces.entry((tenant.to_owned(), *id));
        there.and_modify(|there| there.join(summary)).or_insert_with(|| summary.clone());
    }
}
