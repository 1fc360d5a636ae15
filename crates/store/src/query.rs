//! Questions about what is stored.
//!
//! | to change | open |
//! |---|---|
//! | what can be asked | [`condition`] |
//! | the language in which it is written | [`language`] |
//! | which chunks a question is about | [`source`] |
//! | what a question is to a chunk | [`plan`] |
//! | which records of a chunk match | [`matching`] |
//! | the newest records first, page by page | [`search`] |
//! | counts by time, severity and service | [`tally`] |
//! | names and values to choose from | [`fields`] |
//! | what stands around a record | [`around`] |
//! | how services fare | [`services`], [`durations`] |
//! | one record held against a question | [`filter`] |

pub(crate) mod around;
pub(crate) mod condition;
pub(crate) mod durations;
pub(crate) mod fields;
pub(crate) mod filter;
pub(crate) mod language;
pub(crate) mod matching;
pub(crate) mod plan;
pub(crate) mod search;
pub(crate) mod services;
pub(crate) mod source;
pub(crate) mod tally;

pub use around::{Around, RowId, Surroundings};
pub use condition::{Comparison, Condition, Cursor, Order, Query, Test};
pub use durations::Durations;
pub use fields::{Value, Values};
pub use filter::Filter;
pub use language::{QueryError, parse};
pub use search::{Found, Row};
pub use services::{Service, ServiceQuery, Services};
pub use tally::{Buckets, Tally};
