//! Loki's push messages ⇄ OTLP logs, bytes to bytes.
//!
//! | Loki | OTLP |
//! |---|---|
//! | a stream | a resource entry with one scope entry, whose scope is called [`SCOPE_NAME`] |
//! | a label | a resource attribute, string |
//! | line | body, string |
//! | timestamp | `time_unix_nano` |
//! | structured metadata | log attributes, string |
//!
//! It is the mapping that the crate `stages` has for entries, so that what comes in by Loki, passes stages and leaves by Loki is what it
//! was. What a label string, a line or structured metadata holds that is not UTF-8 becomes U+FFFD: OTLP strings must be UTF-8.
//!
//! | to change | open |
//! |---|---|
//! | label strings, `{a="b"}`, read and written | [`labels`] |
//! | push, protobuf → OTLP | [`receive`] |
//! | push, JSON → OTLP | [`json`] |
//! | lines of text → OTLP | [`raw`] |
//! | OTLP → push | [`send`] |
//! | which records become labels, and by which hints | `stream` |
//! | a record as one line of JSON or logfmt | `line` |
//! | an attribute value as text | [`text`] |
//!
//! Source of the messages: `pkg/push/push.proto` of Loki. Not here: HTTP, snappy, tenants' headers.

pub mod json;
pub mod labels;
mod line;
pub mod raw;
pub mod receive;
pub mod send;
mod stream;
#[cfg(test)]
mod tests;
pub mod text;
mod time;
mod writer;

use crate::field::{Fault, Malformed};
use crate::json::JsonError;
use labels::LabelError;

/// The name of the instrumentation scope of what came in as a Loki stream: its resource attributes are all labels.
pub const SCOPE_NAME: &str = "loki";
/// The label that names the tenant within stages; it never leaves.
pub const TENANT_LABEL: &str = "__tenant_id__";
/// The attribute that names the attribute that holds the tenant.
pub const TENANT_HINT: &str = "loki.tenant";

/// The longest name of a tenant, in bytes.
pub const MAX_TENANT: usize = 150;

/// Whether Loki takes a name for a tenant's; no name is fine. Source: `tenant.ValidTenantID` of Grafana's dskit.
///
/// # Errors
/// Why not, in Loki's words.
pub fn check_tenant(name: &str) -> Result<(), &'static str> {
    let is_legal = |b: u8| b.is_ascii_alphanumeric() || b"!-_.*'()".contains(&b);
    match name {
        "." | ".." => Err("tenant ID is '.' or '..'"),
        _ if name.len() > MAX_TENANT => Err("tenant ID is too long: max 150 characters"),
        _ if !name.bytes().all(is_legal) => Err("tenant ID contains unsupported characters"),
        _ => Ok(()),
    }
}

/// Field numbers of `PushRequest`, `StreamAdapter`, `EntryAdapter`, `LabelPairAdapter` and `google.protobuf.Timestamp`.
pub mod number {
    #![allow(missing_docs)]
    pub const STREAMS: u32 = 1;
    pub const LABELS: u32 = 1;
    pub const ENTRIES: u32 = 2;
    pub const HASH: u32 = 3;
    pub const TIMESTAMP: u32 = 1;
    pub const LINE: u32 = 2;
    pub const METADATA: u32 = 3;
    pub const NAME: u32 = 1;
    pub const VALUE: u32 = 2;
    pub const SECONDS: u32 = 1;
    pub const NANOS: u32 = 2;
}

/// A push that is not what it should be: the sender's fault, and permanent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// The protobuf is not framed as a push request.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A label string is no label string.
    #[error("couldn't parse labels: {0}")]
    Labels(#[from] LabelError),
    /// The JSON is none, or not that of a push request.
    #[error("{0}")]
    Json(JsonError),
    /// The OTLP form would be larger than the caller's limit.
    #[error("the push request is larger than {limit} bytes as OTLP")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
}

/// How a push becomes OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receiving {
    /// The time of arrival in nanoseconds since 1970: what records are observed at, and the time of those without one.
    pub now: u64,
    /// Whether entries keep the time that the sender wrote; otherwise they get that of their arrival.
    pub keep_time: bool,
    /// The largest result in bytes.
    pub limit: usize,
}

/// A push as OTLP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// An `ExportLogsServiceRequest`; empty if there are no entries.
    pub body: Vec<u8>,
    /// Its log records.
    pub records: usize,
}

fn wrong_type(offset: usize, message: &'static str, field: &'static str) -> Malformed {
    Malformed { offset, what: Fault::WrongType { message, field } }
}
