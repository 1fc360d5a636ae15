//! `trace_parser`: ids in hex become those of the record. A field that is not there gives none.

use crate::field::{Field, Root};
use crate::keys::Keys;
use crate::record::Record;
use crate::value::Value;

/// See the module.
pub struct Trace {
    trace: Field,
    span: Field,
    flags: Field,
}

impl Trace {
    pub fn new(keys: &Keys<'_>) -> Trace {
        let of = |key: &'static str| {
            let from = keys.block(key).and_then(|block| {
                let from = block.field("parse_from");
                block.done();
                from
            });
            from.unwrap_or(Field { root: Root::Body, keys: vec![key.to_owned()] })
        };
        Trace { trace: of("trace_id"), span: of("span_id"), flags: of("trace_flags") }
    }

    pub fn apply(&self, record: &mut Record) -> Result<(), String> {
        let (trace, span, flags) =
            (hex(record, &self.trace, 16)?, hex(record, &self.span, 8)?, hex(record, &self.flags, 1)?);
        record.trace_id = trace.unwrap_or_default();
        record.span_id = span.unwrap_or_default();
        record.flags = flags.and_then(|bytes| bytes.first().copied()).unwrap_or(0);
        Ok(())
    }
}

/// The bytes that a field has in hex.
fn hex(record: &Record, field: &Field, len: usize) -> Result<Option<Vec<u8>>, String> {
    let Some(value) = record.get(field) else { return Ok(None) };
    let text = value.text().unwrap_or_default();
    let digit = |at: usize| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let bytes: Option<Vec<u8>> = (0..text.len()).step_by(2).map(digit).collect();
    match bytes {
        _ if text.is_empty() && *value != Value::Null && value.text().is_some() => Ok(None),
        Some(bytes) if bytes.len() == len => Ok(Some(bytes)),
        _ => Err(format!("`{field}` is not {len} bytes in hex")),
    }
}
