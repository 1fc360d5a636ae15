//! What is kept on disk for an exporter and signal, so that nothing acknowledged is lost.
//!
//! ```text
//! Outlet::store ─► Spool (one task: group, write, sync) ─► the sender is told ─► Landing::land ─► Lane
//!                    │                                                              ▲
//!                    └─► Store: segments, marks, index  ─► loose pieces ────────────┘
//! ```
//!
//! | to change | open |
//! |---|---|
//! | what can be configured | [`config`] |
//! | what is shown of it | [`view`], [`stats`] |
//! | when a group is written, what happens when the disk fails | [`writer`] |
//! | who owns a piece | [`ticket`] |
//! | what is live, where, in how much memory | [`index`] |
//! | how a group is written, when segments go, what a start finds | [`store`] |
//! | how a piece lies on disk, and is found again | [`frame`], [`marks`] |
//! | how files are reached | [`disk`] |

pub mod config;
pub mod disk;
pub mod frame;
pub mod index;
pub mod marks;
pub mod stats;
pub mod store;
#[cfg(test)]
pub mod testing;
pub mod ticket;
pub mod view;
pub mod writer;

pub use config::{DeadLettersConfig, StorageConfig, WhenFull};
pub use stats::SpoolStats;
pub use store::{Key, Look, Piece, Place, Store, StoreConfig, StoreError, Totals};
pub use ticket::Ticket;
pub use view::SpoolView;
pub use writer::{Burial, Fresh, Incoming, Landing, Spool};
