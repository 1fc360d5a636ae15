//! OTLP/JSON ⇄ protobuf, driven by the tables of [`schema`](crate::schema), streaming in both directions: no value tree
//! is built, memory is the output and the nesting.
//!
//! Reading follows the OTLP specification (docs/specification.md, "JSON Protobuf Encoding") and, where that is silent,
//! proto3 JSON as Go's `protojson` reads it:
//!
//! - keys are lowerCamelCase or, as the collector takes them, the names of the `.proto` files (`trace_id`); the names that scopes had before
//!   OTLP 0.15 (`instrumentationLibraryLogs` …) too; everything else is an unknown field and ignored, whatever it holds;
//! - trace and span ids are hex in any case, of their one length or empty; a base64 id is refused with a message that says so;
//! - other bytes are base64, standard or URL-safe, padded or not; enums are integers, of which unknown ones are kept,
//!   or their names (`SPAN_KIND_SERVER`), as the collector takes them against the specification;
//! - integers of any width may be numbers or strings, and may be written `1.0` or `1e3`; doubles may be strings, and
//!   `"NaN"`, `"Infinity"`, `"-Infinity"`;
//! - `null` is an absent field; in a list of messages or strings it is an empty one; as another element of a list, or as the body, it is
//!   an error, and so is an empty body;
//! - of a key that comes twice the last counts, lists are put together and messages merged; of several members of a oneof the last counts;
//! - a surrogate that stands alone, and bytes that are not UTF-8, become U+FFFD;
//! - errors: integers out of range, doubles beyond an f64 (`1e400`, also in an unknown field), anything after the object;
//! - a leading UTF-8 byte order mark is skipped, as RFC 8259 §8.1 allows (Go refuses it); other encodings are errors.
//!
//! Nesting is bounded: [`MAX_VALUE_DEPTH`](crate::schema::MAX_VALUE_DEPTH) levels of `AnyValue` when reading,
//! [`MAX_DEPTH`](crate::check::MAX_DEPTH) when writing, 128 levels inside an unknown field. Numbers with a fraction or an exponent pass through an f64, also where an integer is wanted.
//!
//! Writing gives the canonical shape: fields in the order of their numbers, 64-bit integers as strings, ids in lower-case
//! hex, enums as integers, default values omitted, unknown fields dropped.
//!
//! What it does not do: it does not judge ids that are all zero, and it does not know HTTP or media types.

mod cursor;
mod output;
mod place;
mod read;
mod repair;
mod scalar;
mod skip;
mod usual;
mod write;
mod wrong;

#[cfg(test)]
mod tests;

pub(crate) use repair::repair;

use crate::field::Malformed;
use crate::schema::Message;

/// Why a JSON body is not the OTLP message it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON, or not this message: the sender's fault, and permanent (HTTP 400).
    #[error("line {line}, column {column}{}{path}: {what}", if path.is_empty() { "" } else { ", in " })]
    Invalid {
        /// Line of the body, from 1.
        line: usize,
        /// Column in bytes, from 1; 0 at the very start of a line.
        column: usize,
        /// The known fields that lead there, such as `resourceLogs[0].scopeLogs[2].logRecords`; empty at the top.
        path: String,
        /// What is wrong, in at most [`MAX_WHAT`] bytes.
        what: String,
    },
    /// The protobuf form would be larger than the caller's limit (HTTP 413).
    #[error("the message is larger than {limit} bytes as protobuf")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
}

/// The longest description in a [`JsonError`], in bytes: it may quote the sender, who decides how long the quote is.
pub const MAX_WHAT: usize = 256;

/// Transcodes the OTLP/JSON of one `message` to protobuf of at most `limit` bytes.
///
/// Fields are written in the order in which they come, defaults of fields without presence are left out, lists of
/// scalars are packed. The result passes [`check`](crate::check::check) by construction.
///
/// # Errors
/// [`JsonError`], for the reasons the module lists.
pub fn to_protobuf(message: &'static Message, json: &[u8], limit: usize) -> Result<Vec<u8>, JsonError> {
    to_protobuf_and_note(message, json, limit).map(|(protobuf, _)| protobuf)
}

/// The same, and where the first field stands that nobody knows, if there is one: `resourceLogs[0].scopeLog`.
///
/// # Errors
/// As [`to_protobuf`].
pub fn to_protobuf_and_note(
    message: &'static Message,
    json: &[u8],
    limit: usize,
) -> Result<(Vec<u8>, Option<String>), JsonError> {
    read::message(message, json, limit)
}

/// Transcodes the protobuf of one `message` to OTLP/JSON.
///
/// Any legal encoding is read: fields in any order, messages in pieces, lists packed or not, several members of a oneof
/// (the last counts). A string that is not UTF-8 is written with U+FFFD in place of the broken bytes, so that one bad
/// string does not cost its whole batch. The output can be about ten times the input, which the caller has to bound.
///
/// # Errors
/// [`Malformed`] if the bytes are not such a message; never for bytes that [`check`](crate::check::check) accepts.
pub fn to_json(message: &'static Message, protobuf: &[u8]) -> Result<Vec<u8>, Malformed> {
    write::message(message, protobuf)
}
