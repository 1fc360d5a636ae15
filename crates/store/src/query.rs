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

pub(crate) mod condition;
pub(crate) mod fields;
pub(crate) mod language;
pub(crate) mod matching;
pub(crate) mod plan;
pub(crate) mod search;
pub(crate) mod source;
pub(crate) mod tally;

pub use condition::{Comparison, Condition, Cursor, Query, Test};
pub use fields::Value;
pub use language::{QueryError, parse};
pub use search::{Found, Row};
pub use tally::{Buckets, Tally};
