//! What every engine reads of a record in the same way: its time, severity, text, ids, and the records of a request one by one.
//!
//! Invariants: an engine that reads records by this answers as the embedded one does. Nothing is decoded that is not asked for.

use crate::chunk::parse::{Parsed, rendered};
use wire::key::{AnyValue, resource_attribute};
use wire::{Entry, Index, Malformed, Signal};

/// The longest name of a service; what is longer is cut.
const LONGEST_SERVICE: usize = 256;

/// What is known of a record whatever its shape.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Nanoseconds since the epoch: its own time, or when it was observed, or when it arrived. Of a span when it began.
    pub time: u64,
    /// 1 to 24 as in OTLP, 0 for none. Of a span 17 if it failed.
    pub severity: u8,
    /// The body of a log record, the name of a span. Mostly UTF-8.
    pub text: Vec<u8>,
    /// Zeros for none.
    pub trace: [u8; 16],
    /// Zeros for none.
    pub span: [u8; 8],
    /// Of a span: when it ended.
    pub end: u64,
    /// Of a span: its status, 0 unset, 1 ok, 2 error.
    pub status: u8,
    /// Of a span: whether it has a parent.
    pub has_parent: bool,
}

impl Facts {
    /// Reads an encoded `LogRecord` or `Span`. `arrived` is its time if it has none.
    #[must_use]
    pub fn read(signal: Signal, record: &[u8], arrived: u64) -> Facts {
        let mut parsed = Parsed::default();
        parsed.read(signal, record, arrived);
        Facts::of(&parsed, record)
    }

    fn of(parsed: &Parsed, record: &[u8]) -> Facts {
        let &Parsed { time, severity, trace, span, end, status, has_parent, .. } = parsed;
        Facts { time, severity, text: parsed.text(record).to_vec(), trace, span, end, status, has_parent }
    }
}

/// A record of a request with what stands above it.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// Which of its request's records it is.
    pub ordinal: u32,
    /// Which pair of headers of its request it has; pairs are numbered from 0 on.
    pub origin: u32,
    /// The name of its service; empty if it has none.
    pub service: &'a [u8],
    /// The encoded header of its resource entry.
    pub resource: &'a [u8],
    /// The encoded header of its scope entry.
    pub scope: &'a [u8],
    /// The encoded `LogRecord` or `Span`, as it came.
    pub record: &'a [u8],
    /// What is known of it.
    pub facts: &'a Facts,
}

/// Shows each record of a request, in its order.
///
/// # Errors
/// It is no OTLP request; nothing was shown then.
pub fn pieces(signal: Signal, request: &[u8], arrived: u64, mut each: impl FnMut(Piece<'_>)) -> Result<(), Malformed> {
    let mut index = Index::new();
    index.build(signal, request)?;
    let (mut parsed, mut resource, mut scope) = (Parsed::default(), vec![], vec![]);
    let mut origin = 0;
    for entry in index.resources(request) {
        join(&mut resource, entry);
        let service = service_of(&entry);
        for inner in entry.entries() {
            join(&mut scope, inner);
            for record in inner.records() {
                parsed.read(signal, record.bytes(), arrived);
                each(Piece {
                    ordinal: record.ordinal() as u32,
                    origin,
                    service: &service,
                    resource: &resource,
                    scope: &scope,
                    record: record.bytes(),
                    facts: &Facts::of(&parsed, record.bytes()),
                });
            }
            origin += 1;
        }
    }
    Ok(())
}

/// The header of an entry, its pieces joined.
pub(crate) fn join(out: &mut Vec<u8>, entry: Entry<'_>) {
    out.clear();
    entry.header().for_each(|run| out.extend_from_slice(run));
}

/// The name of the service of a resource; empty if it has none.
pub(crate) fn service_of(resource: &Entry<'_>) -> Vec<u8> {
    let mut name = match resource_attribute(resource, b"service.name") {
        Some(AnyValue::Str(name)) => name.to_vec(),
        Some(other) => rendered(other).into_bytes(),
        None => vec![],
    };
    name.truncate(LONGEST_SERVICE);
    name
}
