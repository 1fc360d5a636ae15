//! OTLP/HTTP: what a request is answered. The connections are [`net::server`]'s.
//!
//! A request is routed, judged by its headers and admitted before its body is asked for. Every answer to an OTLP path has a body in the
//! request's own content type.

mod request;

use super::config;
use super::intake::Intake;
use http::StatusCode;
use net::compression::Encoding;
use net::server::cors::Cors;
use net::server::{self, keys};
use std::sync::Arc;
use std::time::Duration;
use wire::Signal;

/// What all requests of one listener share.
pub(super) struct Otlp {
    intake: Arc<Intake>,
    routes: [(String, Signal); 3],
    encodings: Vec<Encoding>,
    max_body: usize,
    overload: StatusCode,
    read_timeout: Option<Duration>,
}

pub(super) type Server = server::Server<Otlp>;

/// The server of a configuration.
pub(super) fn server(config: &config::Http, intake: Intake) -> Server {
    let handler = Otlp {
        intake: Arc::new(intake),
        routes: [
            (config.logs_url_path.clone(), Signal::Logs),
            (config.traces_url_path.clone(), Signal::Traces),
            (config.metrics_url_path.clone(), Signal::Metrics),
        ],
        encodings: config.encodings(),
        max_body: config.max_body(),
        overload: StatusCode::from_u16(config.overload_status).unwrap_or(StatusCode::TOO_MANY_REQUESTS),
        read_timeout: keys::timeout(config.read_timeout),
    };
    let keepalive = keys::keepalive(config.keepalive, config.keep_alives_enabled, config.idle_timeout);
    Server {
        handler,
        max_head: keys::max_head(config.max_header_list_size),
        header_timeout: keys::timeout(config.read_header_timeout),
        write_timeout: keys::timeout(config.write_timeout),
        idle_timeout: keys::timeout(keepalive.idle_timeout),
        keep_alive: keepalive.enabled,
        cors: config.cors.as_ref().and_then(Cors::new),
        extra_headers: keys::headers(&config.response_headers),
    }
}
