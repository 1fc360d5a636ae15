//! The check at the door: is this an OTLP request, and how many records does it hold?
//!
//! One pass over the whole request, down to the last attribute, following the tables of `schema`. What passes can be cut,
//! merged and sent on without looking again: no later step can stumble over it, and no receiver that decodes OTLP refuses
//! the merged request it ends up in because of its shape.
//!
//! Refused: everything `field` refuses, a known field with a wire type its declaration does not allow, trace and span ids
//! that are neither empty nor of their exact length (the collector's own decoder refuses those), broken packed lists,
//! attribute values nested too deep, and, when asked for, strings that are not UTF-8.
//! Accepted: unknown fields (checked for their framing, not entered), repeated scalars packed or not, any enum number,
//! fields in any order and singular fields that come twice, as protobuf demands.
//!
//! The recursion is bounded: OTLP recurses only through `AnyValue`, whose depth is limited.

use crate::field::{Fault, Malformed, delimited, tag, varint};
use crate::schema::{self, Field, Kind, Message};
use crate::signal::{DATA_POINT, RECORD, RESOURCE, RESOURCE_ENTRY, SCOPE_ENTRY, Signal};

/// What a check insists on beyond protobuf's own rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckLimits {
    /// The deepest accepted nesting of attribute values; a plain value is at depth 1. At most
    /// [`MAX_DEPTH`] takes effect.
    pub max_depth: usize,
    /// Whether every string must be UTF-8. Off by default: the collector does not look, and a look costs about as much as
    /// the rest of the check.
    pub strict_utf8: bool,
}

/// The largest `max_depth` that takes effect, so that no configuration can exhaust the stack.
pub const MAX_DEPTH: usize = schema::MAX_VALUE_DEPTH;

impl Default for CheckLimits {
    fn default() -> Self {
        CheckLimits { max_depth: MAX_DEPTH, strict_utf8: false }
    }
}

/// What a sound request holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Resource entries.
    pub resources: usize,
    /// Scope entries.
    pub scopes: usize,
    /// Log records, spans or data points.
    pub records: usize,
}

/// Checks the bytes of an export request and counts what is in it.
pub fn check(signal: Signal, body: &[u8], limits: &CheckLimits) -> Result<Census, Malformed> {
    let mut pass = Pass::new(signal, limits, None);
    pass.level(Level::Request, body, 0, schema::request(signal))?;
    Ok(pass.census)
}

/// The same, and notes where the trace id of each record begins, in order: 0 if it has none. Of metrics, whose points have none, and
/// of requests of 4 GiB and more nothing is noted.
pub fn check_and_note(
    signal: Signal,
    body: &[u8],
    limits: &CheckLimits,
    traces: &mut Vec<u32>,
) -> Result<Census, Malformed> {
    traces.clear();
    let is_noted = signal != Signal::Metrics && u32::try_from(body.len()).is_ok();
    let mut pass = Pass::new(signal, limits, is_noted.then_some(traces));
    pass.level(Level::Request, body, 0, schema::request(signal))?;
    Ok(pass.census)
}

/// Field number of the attributes of a `Resource`.
const ATTRIBUTES: u32 = 1;
/// Bytes of a trace id.
pub(crate) const TRACE_ID: usize = 16;

/// The levels above the records, whose children are counted.
#[derive(Clone, Copy, PartialEq)]
enum Level {
    Request,
    Resource,
    Scope,
    Metric,
    Data,
}

struct Pass<'a> {
    signal: Signal,
    max_depth: usize,
    strict_utf8: bool,
    /// The table of `KeyValue`, to know one by.
    key_value: &'static Message,
    /// That of `LogRecord` or `Span`.
    record: &'static Message,
    census: Census,
    /// Where the trace id of the record begins that is being read.
    trace: usize,
    /// Those of the records before it.
    traces: Option<&'a mut Vec<u32>>,
}

/// The message in a field, for fields that are known to hold one.
fn nested(message: &'static Message, number: u32) -> &'static Message {
    match message.field(number).map(|field| field.kind) {
        Some(Kind::Message(nested)) => nested,
        _ => message,
    }
}

impl<'a> Pass<'a> {
    fn new(signal: Signal, limits: &CheckLimits, traces: Option<&'a mut Vec<u32>>) -> Pass<'a> {
        let entry = nested(schema::request(signal), RESOURCE_ENTRY);
        Pass {
            signal,
            max_depth: limits.max_depth.min(MAX_DEPTH),
            strict_utf8: limits.strict_utf8,
            key_value: nested(nested(entry, RESOURCE), ATTRIBUTES),
            record: nested(nested(entry, SCOPE_ENTRY), RECORD),
            census: Census::default(),
            trace: 0,
            traces,
        }
    }

    /// A message above the records: `buf[pos..]`.
    fn level(&mut self, level: Level, buf: &[u8], mut pos: usize, message: &'static Message) -> Result<(), Malformed> {
        while pos < buf.len() {
            let start = pos;
            let (number, wire_type, at) = tag(buf, pos)?;
            let Some(field) = message.field(number) else {
                pos = skip(buf, wire_type, start, at)?;
                continue;
            };
            let child = match (field.kind, wire_type) {
                (Kind::Message(child), 2) if level.has_child(field) => child,
                _ => {
                    pos = self.value(message, field, buf, wire_type, start, at, 0)?;
                    continue;
                }
            };
            let (from, end) = delimited(buf, at, start)?;
            self.child(level, &buf[..end], from, child)?;
            pos = end;
        }
        Ok(())
    }

    /// Counts and enters a child of `level`.
    #[inline]
    fn child(&mut self, level: Level, buf: &[u8], from: usize, child: &'static Message) -> Result<(), Malformed> {
        match level {
            Level::Request => {
                self.census.resources += 1;
                self.level(Level::Resource, buf, from, child)
            }
            Level::Resource => {
                self.census.scopes += 1;
                self.level(Level::Scope, buf, from, child)
            }
            Level::Scope if self.signal == Signal::Metrics => self.level(Level::Metric, buf, from, child),
            Level::Metric => self.level(Level::Data, buf, from, child),
            Level::Scope | Level::Data => {
                self.census.records += 1;
                self.trace = 0;
                self.message(buf, from, child, 0)?;
                if let Some(traces) = &mut self.traces {
                    traces.push(self.trace as u32);
                }
                Ok(())
            }
        }
    }

    /// A message below: `buf[pos..]`, inside `depth` attribute values.
    fn message(
        &mut self,
        buf: &[u8],
        mut pos: usize,
        message: &'static Message,
        depth: usize,
    ) -> Result<(), Malformed> {
        while pos < buf.len() {
            let start = pos;
            let (number, wire_type, at) = tag(buf, pos)?;
            pos = match message.field(number) {
                Some(field) => self.value(message, field, buf, wire_type, start, at, depth)?,
                None => skip(buf, wire_type, start, at)?,
            };
        }
        Ok(())
    }

    /// Whether a `KeyValue` is a short key with a short string and nothing else, as most attributes are: then two looks at
    /// its lengths are the whole check, which makes the check of a log record twice as fast.
    #[inline]
    fn is_short_text(&self, pair: &[u8]) -> bool {
        let [0x0a, key_len @ 0..0x80, rest @ ..] = pair else { return false };
        let Some((key, [0x12, value_len @ 0..0x80, 0x0a, len, text @ ..])) = rest.split_at_checked((*key_len).into())
        else {
            return false;
        };
        let whole = usize::from(*len) == text.len() && usize::from(*value_len) == text.len() + 2;
        let is_utf8 = |bytes| std::str::from_utf8(bytes).is_ok();
        whole && (!self.strict_utf8 || is_utf8(key) && is_utf8(text))
    }

    /// The value of a known field, which begins at `at`; answers where it ends.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)] // The parts of one reading position; a struct of them costs a third of the speed.
    fn value(
        &mut self,
        message: &'static Message,
        field: &'static Field,
        buf: &[u8],
        wire_type: u8,
        start: usize,
        at: usize,
        depth: usize,
    ) -> Result<usize, Malformed> {
        match (field.kind, wire_type) {
            (Kind::Message(nested), 2) => {
                let (from, end) = delimited(buf, at, start)?;
                let depth = depth + usize::from(nested.is_any_value());
                if depth > self.max_depth {
                    return Err(Malformed { offset: start, what: Fault::Depth });
                }
                let seen = std::ptr::eq(nested, self.key_value)
                    && depth < self.max_depth
                    && self.is_short_text(&buf[from..end]);
                if !seen {
                    self.message(&buf[..end], from, nested, depth)?;
                }
                Ok(end)
            }
            (Kind::String, 2) => {
                let (from, end) = delimited(buf, at, start)?;
                if self.strict_utf8 && std::str::from_utf8(&buf[from..end]).is_err() {
                    let what = Fault::Utf8 { message: message.name, field: field.json };
                    return Err(Malformed { offset: start, what });
                }
                Ok(end)
            }
            (Kind::Bytes, 2) => delimited(buf, at, start).map(|(_, end)| end),
            (Kind::Id(len), 2) => match delimited(buf, at, start)? {
                (from, end) if end == from || end - from == len => {
                    // Of the ids directly in a record only that of the trace is so long; if it comes twice, the last one counts.
                    if len == TRACE_ID && std::ptr::eq(message, self.record) {
                        self.trace = if end == from { 0 } else { from };
                    }
                    Ok(end)
                }
                _ => {
                    Err(Malformed { offset: start, what: Fault::IdLength { message: message.name, field: field.json } })
                }
            },
            (Kind::Bool | Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Sint32 | Kind::Enum, 0) => {
                varint(buf, at).map(|(_, end)| end)
            }
            (Kind::Fixed64 | Kind::Sfixed64 | Kind::Double, 1) => fixed(buf, 8, start, at),
            (Kind::Fixed32, 5) => fixed(buf, 4, start, at),
            (_, 2) if field.repeated => packed(message, field, buf, start, at),
            _ => Err(misfit(message, field, buf, wire_type, start, at)),
        }
    }
}

impl Level {
    /// Whether this field of the level's message holds what is counted or lies above it.
    #[inline]
    fn has_child(self, field: &Field) -> bool {
        match self {
            Level::Request => field.number == RESOURCE_ENTRY,
            Level::Resource => field.number == SCOPE_ENTRY,
            Level::Scope => field.number == RECORD,
            Level::Metric => field.oneof,
            Level::Data => field.number == DATA_POINT,
        }
    }
}

/// The framing of an unknown field: answers where it ends.
fn skip(buf: &[u8], wire_type: u8, start: usize, at: usize) -> Result<usize, Malformed> {
    match wire_type {
        0 => varint(buf, at).map(|(_, end)| end),
        1 => fixed(buf, 8, start, at),
        2 => delimited(buf, at, start).map(|(_, end)| end),
        5 => fixed(buf, 4, start, at),
        3 | 4 => Err(Malformed { offset: start, what: Fault::Group }),
        _ => Err(Malformed { offset: start, what: Fault::WireType }),
    }
}

#[inline(always)]
fn fixed(buf: &[u8], len: usize, start: usize, at: usize) -> Result<usize, Malformed> {
    match at + len <= buf.len() {
        true => Ok(at + len),
        false => Err(Malformed { offset: start, what: Fault::Truncated }),
    }
}

/// A repeated scalar in its packed form.
#[inline(never)]
fn packed(message: &Message, field: &Field, buf: &[u8], start: usize, at: usize) -> Result<usize, Malformed> {
    let (mut pos, end) = delimited(buf, at, start)?;
    let broken = Malformed { offset: start, what: Fault::Packed { message: message.name, field: field.json } };
    let element = match field.kind {
        Kind::Fixed64 | Kind::Sfixed64 | Kind::Double => 8,
        Kind::Fixed32 => 4,
        Kind::Message(_) | Kind::String | Kind::Bytes | Kind::Id(_) => return Err(broken),
        _ => {
            while pos < end {
                pos = varint(&buf[..end], pos).map_err(|_| broken)?.1;
            }
            return Ok(end);
        }
    };
    match (end - pos) % element {
        0 => Ok(end),
        _ => Err(broken),
    }
}

/// Why a known field's value does not fit: its framing is broken, or its type is not the declared one.
#[cold]
fn misfit(message: &Message, field: &Field, buf: &[u8], wire_type: u8, start: usize, at: usize) -> Malformed {
    match skip(buf, wire_type, start, at) {
        Err(malformed) => malformed,
        Ok(_) => Malformed { offset: start, what: Fault::WrongType { message: message.name, field: field.json } },
    }
}

#[cfg(test)]
mod tests;
