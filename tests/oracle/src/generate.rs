//! proptest strategies for whole requests, rich enough to reach every field, kind and oneof member of OTLP.
//!
//! Headers are drawn from a small pool half of the time, so that equal ones meet. NaN has one bit pattern, because JSON
//! has one; ids are empty or of their exact length. Nesting stays within what prost decodes.

use crate::common::{AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList, any_value};
use crate::logs::{LogRecord, ResourceLogs, ScopeLogs};
use crate::metrics::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar,
    exponential_histogram_data_point::Buckets, metric, number_data_point, summary_data_point::ValueAtQuantile,
};
use crate::resource::Resource;
use crate::trace::{ResourceSpans, ScopeSpans, Span, Status, span};
use crate::{LogsRequest, MetricsRequest, TracesRequest};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// A text: empty, plain, or anything Unicode has, quotes and control characters included.
pub fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-z.]{1,12}", any::<String>()]
}

/// A double: any bit pattern but the many NaNs, and the simple ones more often.
pub fn double() -> impl Strategy<Value = f64> {
    prop_oneof![
        proptest::num::f64::ANY.prop_map(|value| if value.is_nan() { f64::NAN } else { value }),
        Just(0.0),
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        (-1000i32..1000).prop_map(|value| f64::from(value) / 8.0),
    ]
}

/// An unsigned integer of any magnitude.
fn unsigned() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 0u64..300, any::<u64>(), Just(u64::MAX)]
}

/// A signed integer of any magnitude.
fn signed() -> impl Strategy<Value = i64> {
    prop_oneof![-300i64..300, any::<i64>(), Just(i64::MIN), Just(i64::MAX)]
}

fn small() -> impl Strategy<Value = u32> {
    prop_oneof![3 => Just(0), 1 => any::<u32>()]
}

/// An enum number: declared ones, and some that are not.
fn number() -> impl Strategy<Value = i32> {
    prop_oneof![4 => 0i32..25, 1 => any::<i32>()]
}

fn id(len: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![1 => Just(Vec::new()), 1 => (0u8..4).prop_map(move |byte| vec![byte; len]), 2 => vec(any::<u8>(), len)]
}

/// An attribute value of every kind, nested up to four levels.
pub fn any_value() -> impl Strategy<Value = AnyValue> {
    use any_value::Value;
    let leaf = prop_oneof![
        1 => Just(None),
        4 => text().prop_map(|value| Some(Value::StringValue(value))),
        1 => any::<bool>().prop_map(|value| Some(Value::BoolValue(value))),
        2 => signed().prop_map(|value| Some(Value::IntValue(value))),
        2 => double().prop_map(|value| Some(Value::DoubleValue(value))),
        1 => vec(any::<u8>(), 0..12).prop_map(|value| Some(Value::BytesValue(value))),
        1 => any::<i32>().prop_map(|value| Some(Value::StringValueStrindex(value))),
    ]
    .prop_map(|value| AnyValue { value });
    leaf.prop_recursive(4, 24, 4, |inner| {
        let pair = (text(), option::weighted(0.9, inner.clone()), any::<bool>());
        let pair = pair.prop_map(|(key, value, index)| KeyValue { key, value, key_strindex: i32::from(index) });
        prop_oneof![
            vec(inner, 0..4).prop_map(|values| Value::ArrayValue(ArrayValue { values })),
            vec(pair, 0..4).prop_map(|values| Value::KvlistValue(KeyValueList { values })),
        ]
        .prop_map(|value| AnyValue { value: Some(value) })
    })
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let one = (text(), option::weighted(0.95, any_value()), prop_oneof![9 => Just(0), 1 => any::<i32>()]);
    vec(one.prop_map(|(key, value, key_strindex)| KeyValue { key, value, key_strindex }), 0..4)
}

fn named(key: &str, value: String) -> KeyValue {
    let value = Some(AnyValue { value: Some(any_value::Value::StringValue(value)) });
    KeyValue { key: key.to_owned(), value, key_strindex: 0 }
}

fn resource() -> impl Strategy<Value = Option<Resource>> {
    let entity = (text(), text(), vec(text(), 0..3), vec(text(), 0..3));
    let entity = entity.prop_map(|(schema_url, r#type, id_keys, description_keys)| EntityRef {
        schema_url,
        r#type,
        id_keys,
        description_keys,
    });
    let any = (attributes(), small(), vec(entity, 0..2)).prop_map(|(attributes, dropped, entity_refs)| {
        Some(Resource { attributes, dropped_attributes_count: dropped, entity_refs })
    });
    let pool = (0u8..3).prop_map(|service| {
        Some(Resource { attributes: vec![named("service.name", format!("svc-{service}"))], ..Resource::default() })
    });
    prop_oneof![1 => Just(None), 4 => pool, 4 => any]
}

fn scope() -> impl Strategy<Value = Option<InstrumentationScope>> {
    let any = (text(), text(), attributes(), small()).prop_map(|(name, version, attributes, dropped)| {
        Some(InstrumentationScope { name, version, attributes, dropped_attributes_count: dropped })
    });
    let pool = (0u8..2)
        .prop_map(|name| Some(InstrumentationScope { name: format!("lib-{name}"), ..InstrumentationScope::default() }));
    prop_oneof![1 => Just(None), 3 => pool, 2 => any]
}

fn schema_url() -> impl Strategy<Value = String> {
    prop_oneof![4 => Just(String::new()), 1 => Just("https://opentelemetry.io/schemas/1.0".to_owned()), 1 => text()]
}

fn log_record() -> impl Strategy<Value = LogRecord> {
    let time = (unsigned(), unsigned());
    let severity = (number(), text());
    let content = (option::of(any_value()), attributes(), small(), text());
    let trace = (small(), id(16), id(8));
    (time, severity, content, trace).prop_map(
        |(
            (time_unix_nano, observed_time_unix_nano),
            (severity_number, severity_text),
            (body, attributes, dropped_attributes_count, event_name),
            (flags, trace_id, span_id),
        )| LogRecord {
            time_unix_nano,
            observed_time_unix_nano,
            severity_number,
            severity_text,
            body,
            attributes,
            dropped_attributes_count,
            flags,
            trace_id,
            span_id,
            event_name,
        },
    )
}

/// A logs request of up to 3 resource entries of up to 3 scope entries of up to 4 records.
pub fn logs() -> impl Strategy<Value = LogsRequest> {
    let scope = (scope(), vec(log_record(), 0..5), schema_url());
    let scope = scope.prop_map(|(scope, log_records, schema_url)| ScopeLogs { scope, log_records, schema_url });
    let entry = (resource(), vec(scope, 0..4), schema_url());
    let entry = entry.prop_map(|(resource, scope_logs, schema_url)| ResourceLogs { resource, scope_logs, schema_url });
    vec(entry, 0..4).prop_map(|resource_logs| LogsRequest { resource_logs })
}

fn event() -> impl Strategy<Value = span::Event> {
    (unsigned(), text(), attributes(), small()).prop_map(|(time_unix_nano, name, attributes, dropped)| span::Event {
        time_unix_nano,
        name,
        attributes,
        dropped_attributes_count: dropped,
    })
}

fn link() -> impl Strategy<Value = span::Link> {
    (id(16), id(8), text(), attributes(), small(), small()).prop_map(
        |(trace_id, span_id, trace_state, attributes, dropped_attributes_count, flags)| span::Link {
            trace_id,
            span_id,
            trace_state,
            attributes,
            dropped_attributes_count,
            flags,
        },
    )
}

fn span() -> impl Strategy<Value = Span> {
    let ids = (id(16), id(8), id(8), text());
    let head = (text(), number(), unsigned(), unsigned(), small());
    let lists = (attributes(), vec(event(), 0..2), vec(link(), 0..2));
    let dropped = (small(), small(), small());
    let status = option::of((text(), number()).prop_map(|(message, code)| Status { message, code }));
    (ids, head, lists, dropped, status).prop_map(
        |(
            (trace_id, span_id, parent_span_id, trace_state),
            (name, kind, start_time_unix_nano, end_time_unix_nano, flags),
            (attributes, events, links),
            (dropped_attributes_count, dropped_events_count, dropped_links_count),
            status,
        )| Span {
            trace_id,
            span_id,
            trace_state,
            parent_span_id,
            flags,
            name,
            kind,
            start_time_unix_nano,
            end_time_unix_nano,
            attributes,
            dropped_attributes_count,
            events,
            dropped_events_count,
            links,
            dropped_links_count,
            status,
        },
    )
}

/// A traces request of up to 3 resource entries of up to 3 scope entries of up to 4 spans.
pub fn traces() -> impl Strategy<Value = TracesRequest> {
    let scope = (scope(), vec(span(), 0..5), schema_url());
    let scope = scope.prop_map(|(scope, spans, schema_url)| ScopeSpans { scope, spans, schema_url });
    let entry = (resource(), vec(scope, 0..4), schema_url());
    let entry =
        entry.prop_map(|(resource, scope_spans, schema_url)| ResourceSpans { resource, scope_spans, schema_url });
    vec(entry, 0..4).prop_map(|resource_spans| TracesRequest { resource_spans })
}

fn exemplars() -> impl Strategy<Value = Vec<Exemplar>> {
    let value = prop_oneof![double().prop_map(exemplar::Value::AsDouble), signed().prop_map(exemplar::Value::AsInt)];
    let one = (attributes(), unsigned(), id(8), id(16), option::of(value));
    let one = one.prop_map(|(filtered_attributes, time_unix_nano, span_id, trace_id, value)| Exemplar {
        filtered_attributes,
        time_unix_nano,
        span_id,
        trace_id,
        value,
    });
    vec(one, 0..2)
}

/// What every data point has: attributes, start and end, flags.
fn common() -> impl Strategy<Value = (Vec<KeyValue>, (u64, u64), u32)> {
    (attributes(), (unsigned(), unsigned()), small())
}

fn number_points() -> impl Strategy<Value = Vec<NumberDataPoint>> {
    use number_data_point::Value;
    let value = prop_oneof![double().prop_map(Value::AsDouble), signed().prop_map(Value::AsInt)];
    let one = (common(), exemplars(), option::weighted(0.9, value));
    let one = one.prop_map(|((attributes, time, flags), exemplars, value)| NumberDataPoint {
        attributes,
        start_time_unix_nano: time.0,
        time_unix_nano: time.1,
        exemplars,
        flags,
        value,
    });
    vec(one, 0..4)
}

/// Sum, minimum and maximum, each of which may be absent or zero.
fn extremes() -> impl Strategy<Value = (Option<f64>, Option<f64>, Option<f64>)> {
    (option::of(double()), option::of(double()), option::of(double()))
}

fn histogram_points() -> impl Strategy<Value = Vec<HistogramDataPoint>> {
    let buckets = (vec(unsigned(), 0..5), vec(double(), 0..5));
    let one = (common(), unsigned(), extremes(), buckets, exemplars());
    let one = one.prop_map(|((attributes, time, flags), count, extremes, buckets, exemplars)| HistogramDataPoint {
        attributes,
        start_time_unix_nano: time.0,
        time_unix_nano: time.1,
        count,
        sum: extremes.0,
        bucket_counts: buckets.0,
        explicit_bounds: buckets.1,
        exemplars,
        flags,
        min: extremes.1,
        max: extremes.2,
    });
    vec(one, 0..3)
}

fn exponential_points() -> impl Strategy<Value = Vec<ExponentialHistogramDataPoint>> {
    let buckets = || {
        let any = (signed(), vec(unsigned(), 0..5));
        option::of(any.prop_map(|(offset, bucket_counts)| Buckets { offset: offset as i32, bucket_counts }))
    };
    let zero = (unsigned(), double());
    let one = (common(), (unsigned(), signed()), extremes(), zero, (buckets(), buckets()), exemplars());
    let one = one.prop_map(|((attributes, time, flags), (count, scale), extremes, zero, buckets, exemplars)| {
        ExponentialHistogramDataPoint {
            attributes,
            start_time_unix_nano: time.0,
            time_unix_nano: time.1,
            count,
            sum: extremes.0,
            scale: scale as i32,
            zero_count: zero.0,
            positive: buckets.0,
            negative: buckets.1,
            flags,
            exemplars,
            min: extremes.1,
            max: extremes.2,
            zero_threshold: zero.1,
        }
    });
    vec(one, 0..3)
}

fn summary_points() -> impl Strategy<Value = Vec<SummaryDataPoint>> {
    let quantiles = vec((double(), double()).prop_map(|(quantile, value)| ValueAtQuantile { quantile, value }), 0..3);
    let one = (common(), unsigned(), double(), quantiles);
    let one = one.prop_map(|((attributes, time, flags), count, sum, quantile_values)| SummaryDataPoint {
        attributes,
        start_time_unix_nano: time.0,
        time_unix_nano: time.1,
        count,
        sum,
        quantile_values,
        flags,
    });
    vec(one, 0..3)
}

fn metric() -> impl Strategy<Value = Metric> {
    use metric::Data;
    let data = prop_oneof![
        number_points().prop_map(|data_points| Data::Gauge(Gauge { data_points })),
        (number_points(), number(), any::<bool>()).prop_map(|(data_points, aggregation_temporality, is_monotonic)| {
            Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic })
        }),
        (histogram_points(), number()).prop_map(|(data_points, aggregation_temporality)| {
            Data::Histogram(Histogram { data_points, aggregation_temporality })
        }),
        (exponential_points(), number()).prop_map(|(data_points, aggregation_temporality)| {
            Data::ExponentialHistogram(ExponentialHistogram { data_points, aggregation_temporality })
        }),
        summary_points().prop_map(|data_points| Data::Summary(Summary { data_points })),
    ];
    (text(), text(), text(), attributes(), option::weighted(0.95, data))
        .prop_map(|(name, description, unit, metadata, data)| Metric { name, description, unit, metadata, data })
}

/// A metrics request of up to 3 resource entries of up to 3 scope entries of up to 3 metrics of every kind.
pub fn metrics() -> impl Strategy<Value = MetricsRequest> {
    let scope = (scope(), vec(metric(), 0..4), schema_url());
    let scope = scope.prop_map(|(scope, metrics, schema_url)| ScopeMetrics { scope, metrics, schema_url });
    let entry = (resource(), vec(scope, 0..4), schema_url());
    let entry =
        entry.prop_map(|(resource, scope_metrics, schema_url)| ResourceMetrics { resource, scope_metrics, schema_url });
    vec(entry, 0..4).prop_map(|resource_metrics| MetricsRequest { resource_metrics })
}
