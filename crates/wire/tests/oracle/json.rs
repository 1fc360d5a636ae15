//! A second opinion on OTLP/JSON: what a prost tree looks like in JSON, written by hand and without the tables of
//! `wire::schema`. Default values are left out where the field has no presence.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use otlp_oracle::common::{AnyValue, EntityRef, InstrumentationScope, KeyValue, any_value};
use otlp_oracle::logs::{LogRecord, ResourceLogs, ScopeLogs};
use otlp_oracle::metrics::exponential_histogram_data_point::Buckets;
use otlp_oracle::metrics::{
    Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, SummaryDataPoint, exemplar, metric, number_data_point,
};
use otlp_oracle::resource::Resource;
use otlp_oracle::trace::{ResourceSpans, ScopeSpans, Span, span};
use otlp_oracle::{LogsRequest, MetricsRequest, TracesRequest};
use serde_json::{Map, Value, json};

/// An object that leaves out what is `None`.
fn object<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let present = fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Value::Object(present.collect::<Map<_, _>>())
}

fn text(value: &str) -> Option<Value> {
    (!value.is_empty()).then(|| json!(value))
}

fn long(value: u64) -> Option<Value> {
    (value != 0).then(|| json!(value.to_string()))
}

fn int(value: impl Into<i64>) -> Option<Value> {
    let value = value.into();
    (value != 0).then(|| json!(value))
}

fn id(value: &[u8]) -> Option<Value> {
    (!value.is_empty()).then(|| json!(value.iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
}

fn double(value: f64) -> Value {
    match value {
        value if value.is_nan() => json!("NaN"),
        f64::INFINITY => json!("Infinity"),
        f64::NEG_INFINITY => json!("-Infinity"),
        value => json!(value),
    }
}

fn list<T>(values: &[T], one: impl Fn(&T) -> Value) -> Option<Value> {
    (!values.is_empty()).then(|| values.iter().map(one).collect())
}

fn any(value: &AnyValue) -> Value {
    use any_value::Value as V;
    let Some(value) = &value.value else { return json!({}) };
    match value {
        V::StringValue(value) => json!({ "stringValue": value }),
        V::BoolValue(value) => json!({ "boolValue": value }),
        V::IntValue(value) => json!({ "intValue": value.to_string() }),
        V::DoubleValue(value) => json!({ "doubleValue": double(*value) }),
        V::BytesValue(value) => json!({ "bytesValue": BASE64_STANDARD.encode(value) }),
        V::StringValueStrindex(value) => json!({ "stringValueStrindex": value }),
        V::ArrayValue(array) => json!({ "arrayValue": object([("values", list(&array.values, any))]) }),
        V::KvlistValue(pairs) => json!({ "kvlistValue": object([("values", pairs_of(&pairs.values))]) }),
    }
}

fn pairs_of(pairs: &[KeyValue]) -> Option<Value> {
    list(pairs, |pair| {
        object([
            ("key", text(&pair.key)),
            ("value", pair.value.as_ref().map(any)),
            ("keyStrindex", int(pair.key_strindex)),
        ])
    })
}

fn entity(entity: &EntityRef) -> Value {
    object([
        ("schemaUrl", text(&entity.schema_url)),
        ("type", text(&entity.r#type)),
        ("idKeys", list(&entity.id_keys, |key| json!(key))),
        ("descriptionKeys", list(&entity.description_keys, |key| json!(key))),
    ])
}

fn resource(resource: &Resource) -> Value {
    object([
        ("attributes", pairs_of(&resource.attributes)),
        ("droppedAttributesCount", int(resource.dropped_attributes_count)),
        ("entityRefs", list(&resource.entity_refs, entity)),
    ])
}

fn scope(scope: &InstrumentationScope) -> Value {
    object([
        ("name", text(&scope.name)),
        ("version", text(&scope.version)),
        ("attributes", pairs_of(&scope.attributes)),
        ("droppedAttributesCount", int(scope.dropped_attributes_count)),
    ])
}

pub fn logs(request: &LogsRequest) -> Value {
    let scope_logs = |entry: &ScopeLogs| {
        object([
            ("scope", entry.scope.as_ref().map(scope)),
            ("logRecords", list(&entry.log_records, log_record)),
            ("schemaUrl", text(&entry.schema_url)),
        ])
    };
    let resource_logs = |entry: &ResourceLogs| {
        object([
            ("resource", entry.resource.as_ref().map(resource)),
            ("scopeLogs", list(&entry.scope_logs, scope_logs)),
            ("schemaUrl", text(&entry.schema_url)),
        ])
    };
    object([("resourceLogs", list(&request.resource_logs, resource_logs))])
}

fn log_record(record: &LogRecord) -> Value {
    object([
        ("timeUnixNano", long(record.time_unix_nano)),
        ("observedTimeUnixNano", long(record.observed_time_unix_nano)),
        ("severityNumber", int(record.severity_number)),
        ("severityText", text(&record.severity_text)),
        ("body", record.body.as_ref().map(any)),
        ("attributes", pairs_of(&record.attributes)),
        ("droppedAttributesCount", int(record.dropped_attributes_count)),
        ("flags", int(record.flags)),
        ("traceId", id(&record.trace_id)),
        ("spanId", id(&record.span_id)),
        ("eventName", text(&record.event_name)),
    ])
}

pub fn traces(request: &TracesRequest) -> Value {
    let scope_spans = |entry: &ScopeSpans| {
        object([
            ("scope", entry.scope.as_ref().map(scope)),
            ("spans", list(&entry.spans, span)),
            ("schemaUrl", text(&entry.schema_url)),
        ])
    };
    let resource_spans = |entry: &ResourceSpans| {
        object([
            ("resource", entry.resource.as_ref().map(resource)),
            ("scopeSpans", list(&entry.scope_spans, scope_spans)),
            ("schemaUrl", text(&entry.schema_url)),
        ])
    };
    object([("resourceSpans", list(&request.resource_spans, resource_spans))])
}

fn span(span: &Span) -> Value {
    let status =
        |status: &otlp_oracle::trace::Status| object([("message", text(&status.message)), ("code", int(status.code))]);
    object([
        ("traceId", id(&span.trace_id)),
        ("spanId", id(&span.span_id)),
        ("traceState", text(&span.trace_state)),
        ("parentSpanId", id(&span.parent_span_id)),
        ("flags", int(span.flags)),
        ("name", text(&span.name)),
        ("kind", int(span.kind)),
        ("startTimeUnixNano", long(span.start_time_unix_nano)),
        ("endTimeUnixNano", long(span.end_time_unix_nano)),
        ("attributes", pairs_of(&span.attributes)),
        ("droppedAttributesCount", int(span.dropped_attributes_count)),
        ("events", list(&span.events, event)),
        ("droppedEventsCount", int(span.dropped_events_count)),
        ("links", list(&span.links, link)),
        ("droppedLinksCount", int(span.dropped_links_count)),
        ("status", span.status.as_ref().map(status)),
    ])
}

fn event(event: &span::Event) -> Value {
    object([
        ("timeUnixNano", long(event.time_unix_nano)),
        ("name", text(&event.name)),
        ("attributes", pairs_of(&event.attributes)),
        ("droppedAttributesCount", int(event.dropped_attributes_count)),
    ])
}

fn link(link: &span::Link) -> Value {
    object([
        ("traceId", id(&link.trace_id)),
        ("spanId", id(&link.span_id)),
        ("traceState", text(&link.trace_state)),
        ("attributes", pairs_of(&link.attributes)),
        ("droppedAttributesCount", int(link.dropped_attributes_count)),
        ("flags", int(link.flags)),
    ])
}

pub fn metrics(request: &MetricsRequest) -> Value {
    let scope_metrics = |entry: &ScopeMetrics| {
        object([
            ("scope", entry.scope.as_ref().map(scope)),
            ("metrics", list(&entry.metrics, metric)),
            ("schemaUrl", text(&entry.schema_url)),
        ])
    };
    let resource_metrics = |entry: &ResourceMetrics| {
        object([
            ("resource", entry.resource.as_ref().map(resource)),
            ("scopeMetrics", list(&entry.scope_metrics, scope_metrics)),
            ("schemaUrl", text(&entry.schema_url)),
        ])
    };
    object([("resourceMetrics", list(&request.resource_metrics, resource_metrics))])
}

fn metric(metric: &Metric) -> Value {
    use metric::Data;
    let temporality = |value| ("aggregationTemporality", int(value));
    let (mut gauge, mut sum, mut histogram, mut exponential, mut summary) = (None, None, None, None, None);
    match &metric.data {
        None => {}
        Some(Data::Gauge(data)) => gauge = Some(object([("dataPoints", list(&data.data_points, number_point))])),
        Some(Data::Sum(data)) => {
            sum = Some(object([
                ("dataPoints", list(&data.data_points, number_point)),
                temporality(data.aggregation_temporality),
                ("isMonotonic", data.is_monotonic.then_some(json!(true))),
            ]));
        }
        Some(Data::Histogram(data)) => {
            let points = list(&data.data_points, histogram_point);
            histogram = Some(object([("dataPoints", points), temporality(data.aggregation_temporality)]));
        }
        Some(Data::ExponentialHistogram(data)) => {
            let points = list(&data.data_points, exponential_point);
            exponential = Some(object([("dataPoints", points), temporality(data.aggregation_temporality)]));
        }
        Some(Data::Summary(data)) => summary = Some(object([("dataPoints", list(&data.data_points, summary_point))])),
    }
    object([
        ("name", text(&metric.name)),
        ("description", text(&metric.description)),
        ("unit", text(&metric.unit)),
        ("gauge", gauge),
        ("sum", sum),
        ("histogram", histogram),
        ("exponentialHistogram", exponential),
        ("summary", summary),
        ("metadata", pairs_of(&metric.metadata)),
    ])
}

fn number_point(point: &NumberDataPoint) -> Value {
    use number_data_point::Value as V;
    let (as_double, as_int) = match point.value {
        None => (None, None),
        Some(V::AsDouble(value)) => (Some(double(value)), None),
        Some(V::AsInt(value)) => (None, Some(json!(value.to_string()))),
    };
    object([
        ("attributes", pairs_of(&point.attributes)),
        ("startTimeUnixNano", long(point.start_time_unix_nano)),
        ("timeUnixNano", long(point.time_unix_nano)),
        ("asDouble", as_double),
        ("asInt", as_int),
        ("exemplars", list(&point.exemplars, exemplar)),
        ("flags", int(point.flags)),
    ])
}

fn exemplar(exemplar: &Exemplar) -> Value {
    use exemplar::Value as V;
    let (as_double, as_int) = match exemplar.value {
        None => (None, None),
        Some(V::AsDouble(value)) => (Some(double(value)), None),
        Some(V::AsInt(value)) => (None, Some(json!(value.to_string()))),
    };
    object([
        ("filteredAttributes", pairs_of(&exemplar.filtered_attributes)),
        ("timeUnixNano", long(exemplar.time_unix_nano)),
        ("asDouble", as_double),
        ("asInt", as_int),
        ("spanId", id(&exemplar.span_id)),
        ("traceId", id(&exemplar.trace_id)),
    ])
}

fn histogram_point(point: &HistogramDataPoint) -> Value {
    object([
        ("attributes", pairs_of(&point.attributes)),
        ("startTimeUnixNano", long(point.start_time_unix_nano)),
        ("timeUnixNano", long(point.time_unix_nano)),
        ("count", long(point.count)),
        ("sum", point.sum.map(double)),
        ("bucketCounts", list(&point.bucket_counts, |count| json!(count.to_string()))),
        ("explicitBounds", list(&point.explicit_bounds, |bound| double(*bound))),
        ("exemplars", list(&point.exemplars, exemplar)),
        ("flags", int(point.flags)),
        ("min", point.min.map(double)),
        ("max", point.max.map(double)),
    ])
}

fn exponential_point(point: &ExponentialHistogramDataPoint) -> Value {
    let buckets = |buckets: &Buckets| {
        let counts = list(&buckets.bucket_counts, |count| json!(count.to_string()));
        object([("offset", int(buckets.offset)), ("bucketCounts", counts)])
    };
    object([
        ("attributes", pairs_of(&point.attributes)),
        ("startTimeUnixNano", long(point.start_time_unix_nano)),
        ("timeUnixNano", long(point.time_unix_nano)),
        ("count", long(point.count)),
        ("sum", point.sum.map(double)),
        ("scale", int(point.scale)),
        ("zeroCount", long(point.zero_count)),
        ("positive", point.positive.as_ref().map(buckets)),
        ("negative", point.negative.as_ref().map(buckets)),
        ("flags", int(point.flags)),
        ("exemplars", list(&point.exemplars, exemplar)),
        ("min", point.min.map(double)),
        ("max", point.max.map(double)),
        ("zeroThreshold", (point.zero_threshold != 0.0).then(|| double(point.zero_threshold))),
    ])
}

fn summary_point(point: &SummaryDataPoint) -> Value {
    use otlp_oracle::metrics::summary_data_point::ValueAtQuantile;
    let number = |value: f64| (value != 0.0).then(|| double(value));
    let quantile = |at: &ValueAtQuantile| object([("quantile", number(at.quantile)), ("value", number(at.value))]);
    object([
        ("attributes", pairs_of(&point.attributes)),
        ("startTimeUnixNano", long(point.start_time_unix_nano)),
        ("timeUnixNano", long(point.time_unix_nano)),
        ("count", long(point.count)),
        ("sum", number(point.sum)),
        ("quantileValues", list(&point.quantile_values, quantile)),
        ("flags", int(point.flags)),
    ])
}
