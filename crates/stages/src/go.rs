//! What Go does where users of Promtail and Alloy rely on it: regular expressions, times, durations, sizes, numbers, quoting,
//! templates, and the little LogQL that `match` knows.
//!
//! | to change | open |
//! |---|---|
//! | RE2 syntax | [`regex`] |
//! | time layouts and named formats, locations | [`time`], [`location`] |
//! | durations and byte sizes | [`duration`], [`bytesize`] |
//! | text/template and its functions | [`template`] |
//! | selectors and line filters | [`logql`] |
//! | JMESPath | [`jmespath`] |
//! | numbers, quoted strings, case | [`number`], [`quote`], [`unicode`] |

pub mod bytesize;
pub mod duration;
pub mod jmespath;
pub mod location;
pub mod logql;
pub mod number;
pub mod quote;
pub mod regex;
pub mod template;
pub mod time;
pub mod unicode;
