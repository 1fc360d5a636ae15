//! Whole records, for comparing what went in with what came out, however it was divided, merged and ordered on the way.
//!
//! A whole record is a request that holds it alone: with its resource, its scope and, for data points, its metric with all that a decoder
//! tells metrics apart by. Two are the same record if these bytes are the same.
//!
//! [`pool_logs`] and its siblings give a request few names, so that everything that can be merged meets.

use crate::common::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use crate::logs::{ResourceLogs, ScopeLogs};
use crate::metrics::{Metric, ResourceMetrics, ScopeMetrics, metric::Data};
use crate::resource::Resource;
use crate::trace::{ResourceSpans, ScopeSpans};
use crate::{LogsRequest, MetricsRequest, TracesRequest};
use prost::Message;

/// The records of a logs request, in order.
pub fn logs(request: &LogsRequest) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for entry in &request.resource_logs {
        for scope in &entry.scope_logs {
            for record in &scope.log_records {
                let scope = ScopeLogs { log_records: vec![record.clone()], ..scope_of_logs(scope) };
                let entry = ResourceLogs {
                    resource: entry.resource.clone(),
                    scope_logs: vec![scope],
                    schema_url: entry.schema_url.clone(),
                };
                all.push(LogsRequest { resource_logs: vec![entry] }.encode_to_vec());
            }
        }
    }
    all
}

fn scope_of_logs(scope: &ScopeLogs) -> ScopeLogs {
    ScopeLogs { scope: scope.scope.clone(), log_records: vec![], schema_url: scope.schema_url.clone() }
}

/// The spans of a traces request, in order.
pub fn traces(request: &TracesRequest) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for entry in &request.resource_spans {
        for scope in &entry.scope_spans {
            for span in &scope.spans {
                let scope = ScopeSpans {
                    scope: scope.scope.clone(),
                    spans: vec![span.clone()],
                    schema_url: scope.schema_url.clone(),
                };
                let entry = ResourceSpans {
                    resource: entry.resource.clone(),
                    scope_spans: vec![scope],
                    schema_url: entry.schema_url.clone(),
                };
                all.push(TracesRequest { resource_spans: vec![entry] }.encode_to_vec());
            }
        }
    }
    all
}

/// The data points of a metrics request, in order.
pub fn metrics(request: &MetricsRequest) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    each_metric(request, |metric, whole| {
        all.extend(points(metric).into_iter().map(|data| whole(Metric { data: Some(data), ..head(metric) })));
    });
    all
}

/// What metrics there are, with or without points, each once.
pub fn identities(request: &MetricsRequest) -> std::collections::BTreeSet<Vec<u8>> {
    let mut all = std::collections::BTreeSet::new();
    each_metric(request, |metric, whole| {
        all.insert(whole(Metric { data: metric.data.clone().map(without_points), ..head(metric) }));
    });
    all
}

fn head(metric: &Metric) -> Metric {
    Metric { data: None, ..metric.clone() }
}

fn each_metric(request: &MetricsRequest, mut each: impl FnMut(&Metric, &dyn Fn(Metric) -> Vec<u8>)) {
    for entry in &request.resource_metrics {
        for scope in &entry.scope_metrics {
            let whole = |metric: Metric| {
                let scope = ScopeMetrics {
                    scope: scope.scope.clone(),
                    metrics: vec![metric],
                    schema_url: scope.schema_url.clone(),
                };
                let entry = ResourceMetrics {
                    resource: entry.resource.clone(),
                    scope_metrics: vec![scope],
                    schema_url: entry.schema_url.clone(),
                };
                MetricsRequest { resource_metrics: vec![entry] }.encode_to_vec()
            };
            scope.metrics.iter().for_each(|metric| each(metric, &whole));
        }
    }
}

fn without_points(mut data: Data) -> Data {
    match &mut data {
        Data::Gauge(data) => data.data_points.clear(),
        Data::Sum(data) => data.data_points.clear(),
        Data::Histogram(data) => data.data_points.clear(),
        Data::ExponentialHistogram(data) => data.data_points.clear(),
        Data::Summary(data) => data.data_points.clear(),
    }
    data
}

/// The data of a metric once for each of its points.
fn points(metric: &Metric) -> Vec<Data> {
    macro_rules! each {
        ($data:expr, $kind:path) => {{
            let one = |point: &_| {
                let mut data = $data.clone();
                data.data_points = vec![Clone::clone(point)];
                $kind(data)
            };
            $data.data_points.iter().map(one).collect()
        }};
    }
    match &metric.data {
        None => vec![],
        Some(Data::Gauge(data)) => each!(data, Data::Gauge),
        Some(Data::Sum(data)) => each!(data, Data::Sum),
        Some(Data::Histogram(data)) => each!(data, Data::Histogram),
        Some(Data::ExponentialHistogram(data)) => each!(data, Data::ExponentialHistogram),
        Some(Data::Summary(data)) => each!(data, Data::Summary),
    }
}

/// One of two resources, one of two scopes, one of two schema URLs.
pub fn pool_logs(request: &mut LogsRequest) {
    for (n, entry) in request.resource_logs.iter_mut().enumerate() {
        (entry.resource, entry.schema_url) = (pooled_resource(n), pooled_url(&entry.schema_url));
        for (n, scope) in entry.scope_logs.iter_mut().enumerate() {
            (scope.scope, scope.schema_url) = (pooled_scope(n), pooled_url(&scope.schema_url));
        }
    }
}

/// The same for traces.
pub fn pool_traces(request: &mut TracesRequest) {
    for (n, entry) in request.resource_spans.iter_mut().enumerate() {
        (entry.resource, entry.schema_url) = (pooled_resource(n), pooled_url(&entry.schema_url));
        for (n, scope) in entry.scope_spans.iter_mut().enumerate() {
            (scope.scope, scope.schema_url) = (pooled_scope(n), pooled_url(&scope.schema_url));
        }
    }
}

/// The same for metrics, all of one of two names and of one of three temporalities.
pub fn pool_metrics(request: &mut MetricsRequest) {
    for (n, entry) in request.resource_metrics.iter_mut().enumerate() {
        (entry.resource, entry.schema_url) = (pooled_resource(n), pooled_url(&entry.schema_url));
        for (n, scope) in entry.scope_metrics.iter_mut().enumerate() {
            (scope.scope, scope.schema_url) = (pooled_scope(n), pooled_url(&scope.schema_url));
            for metric in &mut scope.metrics {
                let name = format!("m{}", metric.name.len() % 2);
                *metric = Metric { name, data: metric.data.take().map(few_temporalities), ..Metric::default() };
            }
        }
    }
}

fn few_temporalities(mut data: Data) -> Data {
    match &mut data {
        Data::Sum(data) => data.aggregation_temporality = data.aggregation_temporality.rem_euclid(3),
        Data::Histogram(data) => data.aggregation_temporality = data.aggregation_temporality.rem_euclid(3),
        Data::ExponentialHistogram(data) => data.aggregation_temporality = data.aggregation_temporality.rem_euclid(3),
        Data::Gauge(_) | Data::Summary(_) => {}
    }
    data
}

fn pooled_resource(n: usize) -> Option<Resource> {
    let value = Some(AnyValue { value: Some(Value::StringValue(format!("svc-{}", n % 2))) });
    let attributes = vec![KeyValue { key: "service.name".to_owned(), value, key_strindex: 0 }];
    Some(Resource { attributes, ..Resource::default() })
}

fn pooled_scope(n: usize) -> Option<InstrumentationScope> {
    Some(InstrumentationScope { name: format!("lib-{}", n % 2), ..InstrumentationScope::default() })
}

fn pooled_url(url: &str) -> String {
    if url.len().is_multiple_of(2) { String::new() } else { "https://schema/1".to_owned() }
}
