//! The program around the flow: receivers, exporters, configuration, telemetry, and what holds them together.
//!
//! # The map
//!
//! Each name below is a crate of its own; the compiler sees to it that a crate uses only what lies below it.
//!
//! ```text
//!  bywash: app, commands, main      reads a configuration, builds what it says, reloads it, ends it
//!        │
//!  components                       receivers  exporters  processors  extensions: siblings, none imports another
//!        │                          resolvers: tell exporters of their backends
//!  telemetry                        metrics, logs, health: what is shown of all this
//!        │
//!  net                              listeners, TLS, bodies, clients: knows no component
//!        │
//!  config                           files with places, references, all errors at once: knows nothing of the rest
//!  flow                             payload, ack, budget, inlet, lane: knows no protocol
//!  stages                           log entries and Loki stages: one function call
//!  store                            logs and traces on disk, and questions: no async
//!  wire                             OTLP on bytes: no async, no I/O
//!  gzip                             gzip bodies: inflated, joined
//! ```
//!
//! | to change | open |
//! |---|---|
//! | how OTLP comes in: gRPC, HTTP, answers, limits | [`components::receivers::otlp`] |
//! | how Loki pushes come in and go out | [`components::receivers::loki`], [`components::exporters::loki`], and the crate `wire` for their bytes |
//! | how OTLP goes out | [`components::exporters::otlp_client`], [`components::exporters::otlp_http`] |
//! | which backend a record goes to, and what happens when backends come and go | [`components::exporters::load_balancing`] |
//! | where the list of backends comes from | [`components::resolvers`] |
//! | what `sending_queue`, `retry_on_failure` and `timeout` mean | [`components::exporters::queue`] |
//! | what processors do, and what `batch` and `memory_limiter` mean | [`components::processors`] |
//! | the health page, who may send | [`components::extensions`] |
//! | the metrics and their names, the log | [`telemetry`] |
//! | keys of `service`, error messages of configurations | [`config`] |
//! | listeners, connections, TLS, compression | [`net`] |
//! | commands, start, reload, stop | [`app`] |
//! | what is kept on this machine, and how it is asked | [`components::exporters::store`], [`commands::query`], and the crate `store` |
//! | `bywash load`, `bywash sink` and `bywash stages` | [`commands`] |
//! | which components there are | [`app::components`], [`components::exporters`] |
//! | batching, queues, retries, breakers, admission, memory | the crate `flow` |
//! | how gzip is inflated and joined | the crate `gzip` |
//! | what OTLP looks like on the wire: check, split, merge, JSON | the crate `wire` |

pub mod app;
pub mod commands;
