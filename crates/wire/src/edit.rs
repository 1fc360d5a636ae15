//! Resources and records changed in place: what changed is written anew, all else is copied as it stands.
//!
//! [`resources`] and [`records`] show each resource or record of a request to a function and take its new bytes, if it has any. Lengths above
//! what changed are corrected, and nothing else of the request is looked into or touched: unknown fields, order and odd encodings stay. A
//! request of which nothing changed is not copied at all.
//!
//! [`Attributes`] is what such a function usually needs: the attributes of one message, as a map that keeps its order, with everything else of
//! the message beside it. A value is an encoded `AnyValue`, so that it is copied rather than decoded.
//!
//! A resource that comes in pieces is shown joined, and written as one if it changes. A resource that is absent is an empty one. Of a key that
//! comes twice, which OTLP forbids, the first counts, as in the collector; setting or removing it removes the others too.
//!
//! It does not decide what is changed, and does not bound the growth: that is the caller's.

use crate::field::{Field, Fields, Malformed, len_field_len, put_len_field, put_len_prefix};
use crate::index::{Index, ROOT, Record};
use crate::key::AnyValue;
use crate::signal::{RESOURCE, Signal};
use bytes::Bytes;
use std::borrow::Cow;
use std::ops::Range;

/// Tables that are reused from request to request.
#[derive(Debug, Default)]
pub struct Scratch {
    index: Index,
    edits: Vec<Edit>,
    /// Per entry, how much longer its payload becomes, if anything in it changes.
    growth: Vec<Option<i64>>,
}

/// Bytes that take the place of others.
#[derive(Debug)]
struct Edit {
    /// The entry whose fields they are among.
    node: u32,
    /// Whole fields, or an empty range where one is put in.
    range: Range<usize>,
    /// Whole fields.
    bytes: Vec<u8>,
}

/// Shows the bytes of each `Resource` to `edit`, which answers what it becomes; the request that results, or `None` if nothing changes.
///
/// # Errors
/// Bytes that are not framed, which `check` would have refused.
pub fn resources(
    signal: Signal,
    body: &[u8],
    scratch: &mut Scratch,
    mut edit: impl FnMut(&[u8]) -> Option<Vec<u8>>,
) -> Result<Option<Bytes>, Malformed> {
    let Scratch { index, edits, .. } = scratch;
    index.build_runs(signal, body)?;
    edits.clear();
    for entry in index.resources(body) {
        let node = entry.id() as u32;
        let pieces = || index.header(node).flat_map(|run| Fields::within(body, run).map_while(Result::ok));
        let pieces = || pieces().filter(|field| field.number == RESOURCE);
        let mut payloads = pieces().filter_map(|field| field.bytes());
        let (first, rest) = (payloads.next(), payloads.next());
        let whole: Cow<'_, [u8]> = match (first, rest) {
            (_, Some(_)) => pieces().filter_map(|field| field.bytes()).collect::<Vec<_>>().concat().into(),
            (only, None) => only.unwrap_or_default().into(),
        };
        let Some(new) = edit(&whole) else { continue };
        if first.is_none() && new.is_empty() {
            // What was put in was taken out again: an absent one stays absent.
            continue;
        }
        let mut bytes = Vec::with_capacity(len_field_len(RESOURCE, new.len()));
        put_len_field(&mut bytes, RESOURCE, &new);
        let from = index.nodes[node as usize].from as usize;
        let mut places = pieces().map(|field| field.range());
        let first = places.next().unwrap_or(from..from);
        edits.push(Edit { node, range: first, bytes });
        edits.extend(places.map(|range| Edit { node, range, bytes: Vec::new() }));
    }
    Ok(scratch.apply(body))
}

/// Shows each log record, span or data point to `edit`, which answers what its bytes become; the request that results, or `None` if
/// nothing changes.
///
/// # Errors
/// As [`resources`].
pub fn records(
    signal: Signal,
    body: &[u8],
    scratch: &mut Scratch,
    mut edit: impl FnMut(&Record) -> Option<Vec<u8>>,
) -> Result<Option<Bytes>, Malformed> {
    let Scratch { index, edits, .. } = scratch;
    index.build(signal, body)?;
    edits.clear();
    for record in index.records(body) {
        let Some(new) = edit(&record) else { continue };
        let node = index.leaves[record.ordinal()].parent;
        // Records are the second field of a scope entry, and the first of a metric's data.
        let number = if signal == Signal::Metrics { crate::signal::DATA_POINT } else { crate::signal::RECORD };
        let mut bytes = Vec::with_capacity(len_field_len(number, new.len()));
        put_len_field(&mut bytes, number, &new);
        edits.push(Edit { node, range: record.range(), bytes });
    }
    Ok(scratch.apply(body))
}

impl Scratch {
    /// Empty tables; they grow with use.
    #[must_use]
    pub fn new() -> Scratch {
        Scratch::default()
    }

    fn apply(&mut self, body: &[u8]) -> Option<Bytes> {
        let changed = !self.edits.is_empty();
        let result = changed.then(|| {
            self.measure();
            let growth = self.growth[ROOT as usize].unwrap_or_default();
            let mut out = Vec::with_capacity((body.len() as i64 + growth) as usize);
            Writer { index: &self.index, growth: &self.growth, edits: &self.edits, body }.entry(ROOT, &mut out);
            debug_assert_eq!(out.len(), out.capacity(), "sizes were found wrong");
            Bytes::from(out)
        });
        self.index.trim();
        crate::index::trim(&mut self.edits);
        crate::index::trim(&mut self.growth);
        result
    }

    /// Finds how much longer each entry becomes; an entry always stands after the one it is in.
    fn measure(&mut self) {
        let Scratch { index, edits, growth } = self;
        growth.clear();
        growth.resize(index.nodes.len(), None);
        for Edit { node, range, bytes } in edits.iter() {
            *growth[*node as usize].get_or_insert(0) += bytes.len() as i64 - range.len() as i64;
        }
        for at in (1..growth.len()).rev() {
            let Some(own) = growth[at] else { continue };
            let node = &index.nodes[at];
            let payload = (node.extent.end - node.from) as i64 + own;
            let field = len_field_len(node.number.into(), payload as usize) as i64;
            *growth[node.parent as usize].get_or_insert(0) += field - node.extent.len() as i64;
        }
    }
}

struct Writer<'a> {
    index: &'a Index,
    growth: &'a [Option<i64>],
    /// Those that are not written yet, in the order in which they stand.
    edits: &'a [Edit],
    body: &'a [u8],
}

impl Writer<'_> {
    /// Writes the payload of an entry in which something changes.
    fn entry(&mut self, at: u32, out: &mut Vec<u8>) {
        let node = &self.index.nodes[at as usize];
        let mut from = node.from as usize;
        if !self.index.holds_leaves(at) {
            for child in node.children.range() {
                let Some(growth) = self.growth[child] else { continue };
                let inner = &self.index.nodes[child];
                let extent = inner.extent.range();
                self.copy(at, from..extent.start, out);
                let payload = (inner.extent.end - inner.from) as i64 + growth;
                put_len_prefix(out, inner.number.into(), payload as usize);
                self.entry(child as u32, out);
                from = extent.end;
            }
        }
        self.copy(at, from..node.extent.end as usize, out);
    }

    /// Copies a part of an entry that holds no entry that changes, with what is to take the place of its fields.
    fn copy(&mut self, at: u32, part: Range<usize>, out: &mut Vec<u8>) {
        let mut from = part.start;
        while let [Edit { node, range, bytes }, rest @ ..] = self.edits
            && *node == at
            && range.start <= part.end
        {
            out.extend_from_slice(&self.body[from..range.start]);
            out.extend_from_slice(bytes);
            from = range.end;
            self.edits = rest;
        }
        out.extend_from_slice(&self.body[from..part.end]);
    }
}

/// Key and encoded value of an attribute.
type Pair<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// A field of the message, or a pair that was put in.
#[derive(Clone, Debug)]
struct Part<'a> {
    /// Where it stands in the message; `None` if it does not.
    range: Option<Range<usize>>,
    /// Key and encoded value, if it is an attribute.
    pair: Option<Pair<'a>>,
}

/// The attributes of one message. See the module.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    message: &'a [u8],
    /// Their field number.
    number: u32,
    parts: Vec<Part<'a>>,
    is_changed: bool,
}

impl<'a> Attributes<'a> {
    /// Those in the `KeyValue` field `number` of a message.
    #[must_use]
    pub fn of(message: &'a [u8], number: u32) -> Attributes<'a> {
        let fields = Fields::new(message).map_while(Result::ok);
        let parts = fields.map(|field| Part { range: Some(field.range()), pair: pair(&field, number) }).collect();
        Attributes { message, number, parts, is_changed: false }
    }

    /// Those of a log record, span or data point.
    #[must_use]
    pub fn of_record(record: &Record<'a>) -> Attributes<'a> {
        Attributes::of(record.bytes(), crate::key::attributes_number(record))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys().next().is_none()
    }

    /// Their keys in order.
    pub fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.parts.iter().filter_map(|part| part.pair.as_ref()).map(|(key, _)| &**key)
    }

    /// The encoded value of a key.
    #[must_use]
    pub fn encoded(&self, key: &[u8]) -> Option<&[u8]> {
        let mut pairs = self.parts.iter().filter_map(|part| part.pair.as_ref());
        pairs.find(|(name, _)| **name == *key).map(|(_, value)| &**value)
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<AnyValue<'_>> {
        self.encoded(key).map(AnyValue::read)
    }

    /// Gives a key an encoded value: where it stands, else behind everything.
    pub fn set(&mut self, key: &[u8], encoded: &[u8]) {
        let is_of = |part: &Part<'_>| part.pair.as_ref().is_some_and(|(name, _)| **name == *key);
        let Some(at) = self.parts.iter().position(is_of) else {
            self.parts.push(Part { range: None, pair: Some((key.to_vec().into(), encoded.to_vec().into())) });
            self.is_changed = true;
            return;
        };
        let mut others = 0;
        let mut n = 0;
        self.parts.retain(|part| {
            n += 1;
            let goes = n > at + 1 && is_of(part);
            others += usize::from(goes);
            !goes
        });
        if let Some((name, value)) = &mut self.parts[at].pair
            && (**value != *encoded || others > 0)
        {
            (*name, *value) = (name.to_vec().into(), encoded.to_vec().into());
            self.parts[at].range = None;
            self.is_changed = true;
        }
    }

    /// Removes those whose key is not wanted.
    pub fn retain(&mut self, mut is_wanted: impl FnMut(&[u8]) -> bool) {
        let before = self.parts.len();
        self.parts.retain(|part| part.pair.as_ref().is_none_or(|(key, _)| is_wanted(key)));
        self.is_changed |= self.parts.len() < before;
    }

    /// The message with them, if anything changed.
    #[must_use]
    pub fn finish(self) -> Option<Vec<u8>> {
        if !self.is_changed {
            return None;
        }
        let mut out = Vec::with_capacity(self.message.len() + 64);
        for part in &self.parts {
            match (&part.range, &part.pair) {
                (Some(range), _) => out.extend_from_slice(&self.message[range.clone()]),
                (None, Some((key, value))) => {
                    put_len_prefix(&mut out, self.number, len_field_len(1, key.len()) + len_field_len(2, value.len()));
                    put_len_field(&mut out, 1, key);
                    put_len_field(&mut out, 2, value);
                }
                (None, None) => {}
            }
        }
        Some(out)
    }
}

/// Key and encoded value of a field, if it is an attribute. A value that comes in pieces is joined.
fn pair<'a>(field: &Field<'a>, number: u32) -> Option<Pair<'a>> {
    let message = field.bytes().filter(|_| field.number == number)?;
    let (mut key, mut value) = (&[][..], Cow::Borrowed(&[][..]));
    for field in Fields::new(message).map_while(Result::ok) {
        match (field.number, field.bytes()) {
            (1, Some(bytes)) => key = bytes,
            (2, Some(bytes)) if value.is_empty() => value = bytes.into(),
            (2, Some(bytes)) => value.to_mut().extend_from_slice(bytes),
            _ => {}
        }
    }
    Some((key.into(), value))
}

#[cfg(test)]
mod tests;
