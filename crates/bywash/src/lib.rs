//! The program around the flow: receivers, exporters, configuration, telemetry, and what holds them together.
//!
//! # The map
//!
//! ```text
//!                     app                    reads a configuration, builds what it says, reloads it, ends it
//!                      │
//!  receivers  exporters  processors  extensions      siblings: none imports another
//!  resolvers                                         tell exporters of their backends
//!                      │
//!                  telemetry                 metrics, logs, health: what is shown of all this
//!                      │
//!              net   config   clock          know no component
//!                      │
//!                flow (crate)                payload, ack, budget, inlet, lane: knows no protocol
//!                      │
//!               stages (crate)               log entries and Loki stages: one function call
//!                store (crate)               logs and traces on disk, and questions: no async
//!                wire (crate)                OTLP on bytes: no async, no I/O
//!                gzip (crate)                gzip bodies: inflated, joined
//! ```
//!
//! A layer uses only what lies below it.
//!
//! | to change | open |
//! |---|---|
//! | how OTLP comes in: gRPC, HTTP, answers, limits | [`receivers::otlp`] |
//! | how Loki pushes come in and go out | [`receivers::loki`], [`exporters::loki`], and the crate `wire` for their bytes |
//! | how OTLP goes out | [`exporters::otlp_client`], [`exporters::otlp_http`] |
//! | which backend a record goes to, and what happens when backends come and go | [`exporters::load_balancing`] |
//! | where the list of backends comes from | [`resolvers`] |
//! | what `sending_queue`, `retry_on_failure` and `timeout` mean | [`exporters::queue`] |
//! | what processors do, and what `batch` and `memory_limiter` mean | [`processors`] |
//! | the health page, who may send | [`extensions`] |
//! | the metrics and their names, the log | [`telemetry`] |
//! | keys of `service`, error messages of configurations | [`config`] |
//! | listeners, connections, TLS, compression | [`net`] |
//! | commands, start, reload, stop | [`app`] |
//! | what is kept on this machine, and how it is asked | [`exporters::store`], [`commands::query`], and the crate `store` |
//! | `bywash load`, `bywash sink` and `bywash stages` | [`commands`] |
//! | which components there are | [`app::components`], [`exporters`] |
//! | batching, queues, retries, breakers, admission, memory | the crate `flow` |
//! | how gzip is inflated and joined | the crate `gzip` |
//! | what OTLP looks like on the wire: check, split, merge, JSON | the crate `wire` |

pub mod app;
pub mod clock;
pub mod commands;
pub mod config;
pub mod exporters;
pub mod extensions;
pub mod net;
pub mod processors;
pub mod receivers;
pub mod resolvers;
pub mod telemetry;
