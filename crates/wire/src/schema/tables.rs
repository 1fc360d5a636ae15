//! The tables themselves, one static per message, in the order of the .proto files. Data only.

use super::Kind::{
    Bool, Bytes, Double, Fixed32, Fixed64, Id, Int32, Int64, Message as Msg, Sfixed64, Sint32, String, Uint32, Uint64,
};
use super::{Field, Message};

const TRACE_ID: super::Kind = Id(16);
const SPAN_ID: super::Kind = Id(8);

/// The numbers of an enum by their names.
type Names = &'static [(&'static str, i32)];

const SEVERITIES: Names = &[
    ("SEVERITY_NUMBER_UNSPECIFIED", 0),
    ("SEVERITY_NUMBER_TRACE", 1),
    ("SEVERITY_NUMBER_TRACE2", 2),
    ("SEVERITY_NUMBER_TRACE3", 3),
    ("SEVERITY_NUMBER_TRACE4", 4),
    ("SEVERITY_NUMBER_DEBUG", 5),
    ("SEVERITY_NUMBER_DEBUG2", 6),
    ("SEVERITY_NUMBER_DEBUG3", 7),
    ("SEVERITY_NUMBER_DEBUG4", 8),
    ("SEVERITY_NUMBER_INFO", 9),
    ("SEVERITY_NUMBER_INFO2", 10),
    ("SEVERITY_NUMBER_INFO3", 11),
    ("SEVERITY_NUMBER_INFO4", 12),
    ("SEVERITY_NUMBER_WARN", 13),
    ("SEVERITY_NUMBER_WARN2", 14),
    ("SEVERITY_NUMBER_WARN3", 15),
    ("SEVERITY_NUMBER_WARN4", 16),
    ("SEVERITY_NUMBER_ERROR", 17),
    ("SEVERITY_NUMBER_ERROR2", 18),
    ("SEVERITY_NUMBER_ERROR3", 19),
    ("SEVERITY_NUMBER_ERROR4", 20),
    ("SEVERITY_NUMBER_FATAL", 21),
    ("SEVERITY_NUMBER_FATAL2", 22),
    ("SEVERITY_NUMBER_FATAL3", 23),
    ("SEVERITY_NUMBER_FATAL4", 24),
];
const SPAN_KINDS: Names = &[
    ("SPAN_KIND_UNSPECIFIED", 0),
    ("SPAN_KIND_INTERNAL", 1),
    ("SPAN_KIND_SERVER", 2),
    ("SPAN_KIND_CLIENT", 3),
    ("SPAN_KIND_PRODUCER", 4),
    ("SPAN_KIND_CONSUMER", 5),
];
const STATUS_CODES: Names = &[("STATUS_CODE_UNSET", 0), ("STATUS_CODE_OK", 1), ("STATUS_CODE_ERROR", 2)];
const TEMPORALITIES: Names = &[
    ("AGGREGATION_TEMPORALITY_UNSPECIFIED", 0),
    ("AGGREGATION_TEMPORALITY_DELTA", 1),
    ("AGGREGATION_TEMPORALITY_CUMULATIVE", 2),
];

// common.proto, resource.proto

pub(super) static ANY_VALUE: Message = Message::new(
    "AnyValue",
    &[
        Field::of(1, "stringValue", String),
        Field::of(2, "boolValue", Bool),
        Field::of(3, "intValue", Int64),
        Field::of(4, "doubleValue", Double),
        Field::of(5, "arrayValue", Msg(&ARRAY_VALUE)),
        Field::of(6, "kvlistValue", Msg(&KEY_VALUE_LIST)),
        Field::of(7, "bytesValue", Bytes),
        Field::of(8, "stringValueStrindex", Int32),
    ],
);

static ARRAY_VALUE: Message = Message::new("ArrayValue", &[Field::many(1, "values", Msg(&ANY_VALUE))]);

static KEY_VALUE_LIST: Message = Message::new("KeyValueList", &[Field::many(1, "values", Msg(&KEY_VALUE))]);

pub(super) static KEY_VALUE: Message = Message::new(
    "KeyValue",
    &[Field::one(1, "key", String), Field::one(2, "value", Msg(&ANY_VALUE)), Field::one(3, "keyStrindex", Int32)],
);

static SCOPE: Message = Message::new(
    "InstrumentationScope",
    &[
        Field::one(1, "name", String),
        Field::one(2, "version", String),
        Field::many(3, "attributes", Msg(&KEY_VALUE)),
        Field::one(4, "droppedAttributesCount", Uint32),
    ],
);

static ENTITY_REF: Message = Message::new(
    "EntityRef",
    &[
        Field::one(1, "schemaUrl", String),
        Field::one(2, "type", String),
        Field::many(3, "idKeys", String),
        Field::many(4, "descriptionKeys", String),
    ],
);

static RESOURCE: Message = Message::new(
    "Resource",
    &[
        Field::many(1, "attributes", Msg(&KEY_VALUE)),
        Field::one(2, "droppedAttributesCount", Uint32),
        Field::many(3, "entityRefs", Msg(&ENTITY_REF)),
    ],
);

// logs.proto, logs_service.proto

pub(super) static LOGS_REQUEST: Message =
    Message::new("ExportLogsServiceRequest", &[Field::many(1, "resourceLogs", Msg(&RESOURCE_LOGS))]);

pub(super) static LOGS_RESPONSE: Message =
    Message::new("ExportLogsServiceResponse", &[Field::one(1, "partialSuccess", Msg(&LOGS_PARTIAL_SUCCESS))]);

static LOGS_PARTIAL_SUCCESS: Message = Message::new(
    "ExportLogsPartialSuccess",
    &[Field::one(1, "rejectedLogRecords", Int64), Field::one(2, "errorMessage", String)],
);

static RESOURCE_LOGS: Message = Message::new(
    "ResourceLogs",
    &[
        Field::one(1, "resource", Msg(&RESOURCE)),
        Field::many(2, "scopeLogs", Msg(&SCOPE_LOGS)),
        Field::one(3, "schemaUrl", String),
    ],
);

static SCOPE_LOGS: Message = Message::new(
    "ScopeLogs",
    &[
        Field::one(1, "scope", Msg(&SCOPE)),
        Field::many(2, "logRecords", Msg(&LOG_RECORD)),
        Field::one(3, "schemaUrl", String),
    ],
);

static LOG_RECORD: Message = Message::new(
    "LogRecord",
    &[
        Field::one(1, "timeUnixNano", Fixed64),
        Field::named(2, "severityNumber", SEVERITIES),
        Field::one(3, "severityText", String),
        Field::one(5, "body", Msg(&ANY_VALUE)),
        Field::many(6, "attributes", Msg(&KEY_VALUE)),
        Field::one(7, "droppedAttributesCount", Uint32),
        Field::one(8, "flags", Fixed32),
        Field::one(9, "traceId", TRACE_ID),
        Field::one(10, "spanId", SPAN_ID),
        Field::one(11, "observedTimeUnixNano", Fixed64),
        Field::one(12, "eventName", String),
    ],
);

// trace.proto, trace_service.proto

pub(super) static TRACES_REQUEST: Message =
    Message::new("ExportTraceServiceRequest", &[Field::many(1, "resourceSpans", Msg(&RESOURCE_SPANS))]);

pub(super) static TRACES_RESPONSE: Message =
    Message::new("ExportTraceServiceResponse", &[Field::one(1, "partialSuccess", Msg(&TRACE_PARTIAL_SUCCESS))]);

static TRACE_PARTIAL_SUCCESS: Message = Message::new(
    "ExportTracePartialSuccess",
    &[Field::one(1, "rejectedSpans", Int64), Field::one(2, "errorMessage", String)],
);

static RESOURCE_SPANS: Message = Message::new(
    "ResourceSpans",
    &[
        Field::one(1, "resource", Msg(&RESOURCE)),
        Field::many(2, "scopeSpans", Msg(&SCOPE_SPANS)),
        Field::one(3, "schemaUrl", String),
    ],
);

static SCOPE_SPANS: Message = Message::new(
    "ScopeSpans",
    &[Field::one(1, "scope", Msg(&SCOPE)), Field::many(2, "spans", Msg(&SPAN)), Field::one(3, "schemaUrl", String)],
);

static SPAN: Message = Message::new(
    "Span",
    &[
        Field::one(1, "traceId", TRACE_ID),
        Field::one(2, "spanId", SPAN_ID),
        Field::one(3, "traceState", String),
        Field::one(4, "parentSpanId", SPAN_ID),
        Field::one(5, "name", String),
        Field::named(6, "kind", SPAN_KINDS),
        Field::one(7, "startTimeUnixNano", Fixed64),
        Field::one(8, "endTimeUnixNano", Fixed64),
        Field::many(9, "attributes", Msg(&KEY_VALUE)),
        Field::one(10, "droppedAttributesCount", Uint32),
        Field::many(11, "events", Msg(&EVENT)),
        Field::one(12, "droppedEventsCount", Uint32),
        Field::many(13, "links", Msg(&LINK)),
        Field::one(14, "droppedLinksCount", Uint32),
        Field::one(15, "status", Msg(&STATUS)),
        Field::one(16, "flags", Fixed32),
    ],
);

static EVENT: Message = Message::new(
    "Span.Event",
    &[
        Field::one(1, "timeUnixNano", Fixed64),
        Field::one(2, "name", String),
        Field::many(3, "attributes", Msg(&KEY_VALUE)),
        Field::one(4, "droppedAttributesCount", Uint32),
    ],
);

static LINK: Message = Message::new(
    "Span.Link",
    &[
        Field::one(1, "traceId", TRACE_ID),
        Field::one(2, "spanId", SPAN_ID),
        Field::one(3, "traceState", String),
        Field::many(4, "attributes", Msg(&KEY_VALUE)),
        Field::one(5, "droppedAttributesCount", Uint32),
        Field::one(6, "flags", Fixed32),
    ],
);

static STATUS: Message =
    Message::new("Status", &[Field::one(2, "message", String), Field::named(3, "code", STATUS_CODES)]);

// metrics.proto, metrics_service.proto

pub(super) static METRICS_REQUEST: Message =
    Message::new("ExportMetricsServiceRequest", &[Field::many(1, "resourceMetrics", Msg(&RESOURCE_METRICS))]);

pub(super) static METRICS_RESPONSE: Message =
    Message::new("ExportMetricsServiceResponse", &[Field::one(1, "partialSuccess", Msg(&METRICS_PARTIAL_SUCCESS))]);

static METRICS_PARTIAL_SUCCESS: Message = Message::new(
    "ExportMetricsPartialSuccess",
    &[Field::one(1, "rejectedDataPoints", Int64), Field::one(2, "errorMessage", String)],
);

static RESOURCE_METRICS: Message = Message::new(
    "ResourceMetrics",
    &[
        Field::one(1, "resource", Msg(&RESOURCE)),
        Field::many(2, "scopeMetrics", Msg(&SCOPE_METRICS)),
        Field::one(3, "schemaUrl", String),
    ],
);

static SCOPE_METRICS: Message = Message::new(
    "ScopeMetrics",
    &[Field::one(1, "scope", Msg(&SCOPE)), Field::many(2, "metrics", Msg(&METRIC)), Field::one(3, "schemaUrl", String)],
);

static METRIC: Message = Message::new(
    "Metric",
    &[
        Field::one(1, "name", String),
        Field::one(2, "description", String),
        Field::one(3, "unit", String),
        Field::of(5, "gauge", Msg(&GAUGE)),
        Field::of(7, "sum", Msg(&SUM)),
        Field::of(9, "histogram", Msg(&HISTOGRAM)),
        Field::of(10, "exponentialHistogram", Msg(&EXPONENTIAL_HISTOGRAM)),
        Field::of(11, "summary", Msg(&SUMMARY)),
        Field::many(12, "metadata", Msg(&KEY_VALUE)),
    ],
);

static GAUGE: Message = Message::new("Gauge", &[Field::many(1, "dataPoints", Msg(&NUMBER_DATA_POINT))]);

static SUM: Message = Message::new(
    "Sum",
    &[
        Field::many(1, "dataPoints", Msg(&NUMBER_DATA_POINT)),
        Field::named(2, "aggregationTemporality", TEMPORALITIES),
        Field::one(3, "isMonotonic", Bool),
    ],
);

static HISTOGRAM: Message = Message::new(
    "Histogram",
    &[
        Field::many(1, "dataPoints", Msg(&HISTOGRAM_DATA_POINT)),
        Field::named(2, "aggregationTemporality", TEMPORALITIES),
    ],
);

static EXPONENTIAL_HISTOGRAM: Message = Message::new(
    "ExponentialHistogram",
    &[
        Field::many(1, "dataPoints", Msg(&EXPONENTIAL_HISTOGRAM_DATA_POINT)),
        Field::named(2, "aggregationTemporality", TEMPORALITIES),
    ],
);

static SUMMARY: Message = Message::new("Summary", &[Field::many(1, "dataPoints", Msg(&SUMMARY_DATA_POINT))]);

static NUMBER_DATA_POINT: Message = Message::new(
    "NumberDataPoint",
    &[
        Field::one(2, "startTimeUnixNano", Fixed64),
        Field::one(3, "timeUnixNano", Fixed64),
        Field::of(4, "asDouble", Double),
        Field::many(5, "exemplars", Msg(&EXEMPLAR)),
        Field::of(6, "asInt", Sfixed64),
        Field::many(7, "attributes", Msg(&KEY_VALUE)),
        Field::one(8, "flags", Uint32),
    ],
);

static HISTOGRAM_DATA_POINT: Message = Message::new(
    "HistogramDataPoint",
    &[
        Field::one(2, "startTimeUnixNano", Fixed64),
        Field::one(3, "timeUnixNano", Fixed64),
        Field::one(4, "count", Fixed64),
        Field::opt(5, "sum", Double),
        Field::many(6, "bucketCounts", Fixed64),
        Field::many(7, "explicitBounds", Double),
        Field::many(8, "exemplars", Msg(&EXEMPLAR)),
        Field::many(9, "attributes", Msg(&KEY_VALUE)),
        Field::one(10, "flags", Uint32),
        Field::opt(11, "min", Double),
        Field::opt(12, "max", Double),
    ],
);

static EXPONENTIAL_HISTOGRAM_DATA_POINT: Message = Message::new(
    "ExponentialHistogramDataPoint",
    &[
        Field::many(1, "attributes", Msg(&KEY_VALUE)),
        Field::one(2, "startTimeUnixNano", Fixed64),
        Field::one(3, "timeUnixNano", Fixed64),
        Field::one(4, "count", Fixed64),
        Field::opt(5, "sum", Double),
        Field::one(6, "scale", Sint32),
        Field::one(7, "zeroCount", Fixed64),
        Field::one(8, "positive", Msg(&BUCKETS)),
        Field::one(9, "negative", Msg(&BUCKETS)),
        Field::one(10, "flags", Uint32),
        Field::many(11, "exemplars", Msg(&EXEMPLAR)),
        Field::opt(12, "min", Double),
        Field::opt(13, "max", Double),
        Field::one(14, "zeroThreshold", Double),
    ],
);

static BUCKETS: Message = Message::new(
    "ExponentialHistogramDataPoint.Buckets",
    &[Field::one(1, "offset", Sint32), Field::many(2, "bucketCounts", Uint64)],
);

static SUMMARY_DATA_POINT: Message = Message::new(
    "SummaryDataPoint",
    &[
        Field::one(2, "startTimeUnixNano", Fixed64),
        Field::one(3, "timeUnixNano", Fixed64),
        Field::one(4, "count", Fixed64),
        Field::one(5, "sum", Double),
        Field::many(6, "quantileValues", Msg(&VALUE_AT_QUANTILE)),
        Field::many(7, "attributes", Msg(&KEY_VALUE)),
        Field::one(8, "flags", Uint32),
    ],
);

static VALUE_AT_QUANTILE: Message = Message::new(
    "SummaryDataPoint.ValueAtQuantile",
    &[Field::one(1, "quantile", Double), Field::one(2, "value", Double)],
);

static EXEMPLAR: Message = Message::new(
    "Exemplar",
    &[
        Field::one(2, "timeUnixNano", Fixed64),
        Field::of(3, "asDouble", Double),
        Field::one(4, "spanId", SPAN_ID),
        Field::one(5, "traceId", TRACE_ID),
        Field::of(6, "asInt", Sfixed64),
        Field::many(7, "filteredAttributes", Msg(&KEY_VALUE)),
    ],
);
