//! The three OTLP signals, and the numbers their export requests share.
//!
//! All three export requests have the same shape on the wire: field 1 of the request is a repeated resource entry, field 1
//! of a resource entry is the `Resource`, field 2 its scope entries, field 3 its schema URL; field 1 of a scope entry is the
//! `InstrumentationScope`, field 2 its records (for metrics: its metrics, whose data points are the records), field 3 its
//! schema URL. Source: opentelemetry-proto 1.x, `collector/*/v1` and `logs|trace|metrics/v1`.
//!
//! This module does not know the fields below that level: `schema` does.

use std::fmt;

/// Field number of the resource entries in an export request.
pub const RESOURCE_ENTRY: u32 = 1;
/// Field number of the `Resource` in a resource entry.
pub const RESOURCE: u32 = 1;
/// Field number of the scope entries in a resource entry.
pub const SCOPE_ENTRY: u32 = 2;
/// Field number of the `InstrumentationScope` in a scope entry.
pub const SCOPE: u32 = 1;
/// Field number of the records (log records, spans, metrics) in a scope entry.
pub const RECORD: u32 = 2;
/// Field number of the data points in the data (gauge, sum, …) of a metric.
pub const DATA_POINT: u32 = 1;
/// Field number of the schema URL in resource entries and scope entries.
pub const SCHEMA_URL: u32 = 3;

/// What kind of telemetry a request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// `ExportLogsServiceRequest`; a record is a `LogRecord`.
    Logs,
    /// `ExportTraceServiceRequest`; a record is a `Span`.
    Traces,
    /// `ExportMetricsServiceRequest`; a record is a data point.
    Metrics,
}

impl Signal {
    /// Every signal, in the order in which they are listed everywhere.
    pub const ALL: [Signal; 3] = [Signal::Logs, Signal::Traces, Signal::Metrics];

    /// The lower-case plural: "logs", "traces", "metrics".
    pub const fn as_str(self) -> &'static str {
        match self {
            Signal::Logs => "logs",
            Signal::Traces => "traces",
            Signal::Metrics => "metrics",
        }
    }

    /// What one record of this signal is called in the collector's own metric names:
    /// "log_records", "spans", "metric_points".
    pub const fn record_noun(self) -> &'static str {
        match self {
            Signal::Logs => "log_records",
            Signal::Traces => "spans",
            Signal::Metrics => "metric_points",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
