//! What every protocol needs of the network: listeners, TLS, compression with a cap, bodies, credentials.
//!
//! | to change | open |
//! |---|---|
//! | how connections are accepted, limited and closed | [`listen`] |
//! | what an endpoint may be: TCP and Unix sockets | [`socket`] |
//! | how a socket goes from a receiver to its successor | [`handover`] |
//! | TLS and its certificates | [`tls`] |
//! | compression in either direction | [`compression`] |
//! | what connections may take of the memory, and who leaves when it is short | [`seats`] |
//! | what open calls may take of it | [`calls`] |
//! | how a body is put together | [`body`] |
//! | where large bodies are unpacked | [`heavy`] |
//! | who may send | [`auth`], [`htpasswd`] |
//! | secrets in files | [`secret_file`] |
//! | who may ask, and whose data each may see | [`tokens`] |
//! | which names are this machine's | [`host`] |
//! | what is kept of who sends | [`origin`] |
//! | HTTP servers of receivers: connections, bodies, keys | [`server`] |
//! | the small server of the metrics page and the health check | [`pages`] |
//! | how other processes of the same user ask a running one | [`private_socket`] |
//! | what an exporter sends with | [`client`] |
//! | what a sender is told of a reason | [`told`] |
//!
//! It knows no telemetry: no signals, no pipelines.

pub mod auth;
pub mod body;
pub mod calls;
pub mod client;
pub mod compression;
pub mod handover;
pub mod heavy;
pub mod host;
pub mod htpasswd;
pub mod listen;
pub mod origin;
pub mod pages;
pub mod private_socket;
pub mod seats;
pub mod secret_file;
pub mod server;
pub mod socket;
pub mod tls;
pub mod tokens;
pub mod told;
