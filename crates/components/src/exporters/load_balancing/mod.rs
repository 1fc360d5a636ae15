//! The `load_balancing` exporter (alias `loadbalancing`): records go to the backend that owns their key, in batches formed for
//! each backend after routing.
//!
//! ```text
//! resolver ─► Backends (resolved · client · quarantine) ─► Snapshot { Ring } ── read by ──► RingRouter ─► lane of each backend
//!                 ▲ halted · passing (lanes)   ▲ probed                                        │ gone or quarantined
//!                 └────────────────────────────┴──────────── Outlet::retire routes again ◄─────┘
//! ```
//!
//! | to change | open |
//! |---|---|
//! | the keys of the configuration | [`config`] |
//! | which backend owns a key | [`ring`] |
//! | what a record is routed by | [`keys`], [`hex_crc`] |
//! | which backends there are, and which are used | [`backends`] |
//! | how a request is divided | [`router`] |
//! | how it is put together, followed and ended | [`exporter`] |
//! | how backends are probed | [`probe`] |
//! | what is counted | [`stats`] |

pub mod backends;
pub mod config;
pub mod exporter;
mod hex_crc;
pub mod keys;
pub mod probe;
pub mod ring;
pub mod router;
pub mod stats;

pub use self::config::Config;
pub use exporter::LoadBalancing;

#[cfg(test)]
mod tests;
