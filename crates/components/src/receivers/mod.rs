//! Receivers: where telemetry comes in.
//!
//! A receiver turns what arrives on its socket into checked OTLP requests and hands them to an [`Inlet`]; how the answer is worded on its
//! wire is its business, whether the request is taken is the inlet's. Receivers are siblings and never import each other.
//!
//! | to change | open |
//! |---|---|
//! | OTLP over gRPC and HTTP | [`otlp`] |
//! | Loki's push API | [`loki`] |
//! | files as they grow | [`file_log`] |
//! | what those that pull keep over reloads | [`pulled`] |
//! | nothing at all | [`nop`] |

pub mod file_log;
pub mod loki;
pub mod nop;
pub mod otlp;
pub mod pulled;

use config::ComponentId;
use flow::Inlet;
use flow::source::LogError;
use net::listen;
use net::tls::TlsError;
use wire::Signal;

/// The inlets of one receiver and transport, each possibly not connected to any pipeline.
#[derive(Clone)]
pub struct Inlets {
    /// For logs.
    pub logs: Inlet,
    /// For traces.
    pub traces: Inlet,
    /// For metrics.
    pub metrics: Inlet,
}

impl Inlets {
    /// The inlet of a signal.
    #[must_use]
    pub fn of(&self, signal: Signal) -> &Inlet {
        match signal {
            Signal::Logs => &self.logs,
            Signal::Traces => &self.traces,
            Signal::Metrics => &self.metrics,
        }
    }
}

/// A receiver that could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Its listener cannot be opened.
    #[error(transparent)]
    Listen(#[from] listen::BindError),
    /// Its certificates cannot be used.
    #[error("{endpoint}: {source}")]
    Tls {
        /// The endpoint they are for.
        endpoint: String,
        /// What is wrong.
        #[source]
        source: TlsError,
    },
    /// Its positions cannot be opened.
    #[error(transparent)]
    Positions(LogError),
    /// The authenticator it names does not exist.
    #[error("{endpoint}: auth: there is no authenticator {id} among the extensions of the service")]
    Authenticator {
        /// The endpoint it is for.
        endpoint: String,
        /// The id that was named.
        id: ComponentId,
    },
}
