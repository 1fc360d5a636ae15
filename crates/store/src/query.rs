//! Questions about what is stored.
//!
//! | to change | open |
//! |---|---|
//! | which chunks a question is about | [`source`] |

pub(crate) mod source;
