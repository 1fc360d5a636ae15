//! The embedded store: logs and spans in append-only day segments, searched without a server and without a database.
//!
//! ```text
//!   append ──► journal (as it came; a sync makes it durable, and the sender may be told)
//!      └─────► open chunk of its tenant, signal and service
//!                 │ 1 000 records, 512 KiB or 30 s
//!                 ▼
//!              packed columns and filters ──► segment of the day ──► the journal's file is removed
//!   query ◄─── all three: open chunks, packed ones that wait, segments
//! ```
//!
//! - **Lossless.** A record comes back byte by byte, with the headers of its resource and scope, whatever its shape.
//! - **Durable.** What was appended before a `sync` survives any crash, once. Damage costs what it touches, never the start.
//! - **Columns.** A histogram reads some five bytes a record, a search for text the texts only, and filters say which chunks have a word.
//! - **Removal is `rm`.** A day, and a tenant in it, is a folder: retention and the deletion of a tenant rewrite nothing.
//! - **Plain.** No network, no async, no clock (`now` is handed in), no `unsafe`, files through [`disk::Disk`].
//!
//! What an exporter calls: [`Store::append`], [`Store::sync`]. What runs every second: [`Store::tick`]; when nothing else does:
//! [`Store::rewrite`].
//! The format of the files is described in `docs/store-format.md`.
//!
//! | to change | open |
//! |---|---|
//! | what users hold | `store.rs` |
//! | the order of writes | `commit.rs` |
//! | how days that are over become smaller | `rewrite.rs` |
//! | what goes, and when | `retention.rs` |
//! | what comes back from the journal | `replay.rs` |
//! | the settings | `config.rs` |
//! | what every engine can do | `engine.rs` |
//! | what every engine reads of a record | `facts.rs` |
//! | which logs are made of spans | `failures.rs` |
//! | who is shown what comes | `live.rs` |
//! | how requests become chunks | `ingest.rs` |
//! | how records become columns | `chunk.rs` |
//! | what is durable before a chunk is | `journal.rs` |
//! | how chunks lie in files, and how damage is repaired | `segment.rs` |
//! | which folders there are | `part.rs` |
//! | what is known of all chunks | `catalog.rs` |
//! | which requests were there before | `repeat.rs` |
//! | traces | `trace.rs` |
//! | queries | `query.rs` |
//! | what a word is | `text.rs` |

mod catalog;
mod chunk;
mod codec;
mod commit;
mod config;
pub mod disk;
mod engine;
mod facts;
mod failures;
mod hash;
mod ingest;
mod journal;
mod live;
mod part;
mod query;
mod repeat;
mod replay;
mod retention;
mod rewrite;
mod segment;
#[cfg(test)]
mod sim;
mod stats;
mod store;
#[cfg(test)]
mod tests;
mod text;
mod trace;

pub use config::{Config, ConfigError};
pub use engine::{Engine, Until};
pub use facts::{Facts, Piece, pieces, text_of_value};
pub use failures::failures;
pub use live::{Committed, Live, News, Subscription, TooManySubscribers};
pub use query::{
    Around, Buckets, Comparison, Condition, Cursor, Durations, Filter, Found, Order, Query, QueryError, Row, RowId,
    Service, ServiceQuery, Services, Surroundings, Tally, Test, Value, Values, parse,
};
pub use rewrite::Rewritten;
pub use stats::Stats;
pub use store::{Appended, Opened, Refused, Store, request_hash};
pub use trace::list::{Trace, TraceCursor, TraceQuery, Traces};
