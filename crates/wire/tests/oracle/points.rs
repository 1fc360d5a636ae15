//! Data points read in place, held against prost.

use crate::MetricsRequest;
use otlp_oracle::generate;
use otlp_oracle::metrics::metric::Data;
use otlp_oracle::metrics::number_data_point::Value;
use otlp_oracle::metrics::{HistogramDataPoint, Metric, NumberDataPoint};
use proptest::prelude::*;
use prost::Message;
use wire::point::{MetricKind, Point, PointValue, Temporality, metric_head, point};
use wire::{Index, Signal};

fn number(p: &NumberDataPoint) -> Point {
    let value = p.value.map(|value| match value {
        Value::AsDouble(value) => value,
        Value::AsInt(value) => value as f64,
    });
    Point {
        start: p.start_time_unix_nano,
        time: p.time_unix_nano,
        is_gone: p.flags & 1 != 0,
        value: PointValue::Number(value),
    }
}

fn histogram(p: &HistogramDataPoint) -> Point {
    let value = PointValue::Histogram {
        count: p.count,
        sum: p.sum,
        bounds: p.explicit_bounds.clone(),
        buckets: p.bucket_counts.clone(),
    };
    Point { start: p.start_time_unix_nano, time: p.time_unix_nano, is_gone: p.flags & 1 != 0, value }
}

fn temporality(number: i32) -> Temporality {
    match number {
        1 => Temporality::Delta,
        2 => Temporality::Cumulative,
        _ => Temporality::Unspecified,
    }
}

/// The points of a metric as prost has them.
fn points(metric: &Metric) -> (MetricKind, Vec<Point>) {
    let Some(data) = &metric.data else { return (MetricKind::Gauge, vec![]) };
    match data {
        Data::Gauge(d) => (MetricKind::Gauge, d.data_points.iter().map(number).collect()),
        Data::Sum(d) => {
            let (temporality, monotonic) = (temporality(d.aggregation_temporality), d.is_monotonic);
            (MetricKind::Sum { temporality, monotonic }, d.data_points.iter().map(number).collect())
        }
        Data::Histogram(d) => {
            let kind = MetricKind::Histogram(temporality(d.aggregation_temporality));
            (kind, d.data_points.iter().map(histogram).collect())
        }
        Data::ExponentialHistogram(d) => {
            let point = |p: &otlp_oracle::metrics::ExponentialHistogramDataPoint| {
                let value = PointValue::Histogram { count: p.count, sum: p.sum, bounds: vec![], buckets: vec![] };
                let (start, time) = (p.start_time_unix_nano, p.time_unix_nano);
                Point { start, time, is_gone: p.flags & 1 != 0, value }
            };
            let kind = MetricKind::ExponentialHistogram(temporality(d.aggregation_temporality));
            (kind, d.data_points.iter().map(point).collect())
        }
        Data::Summary(d) => {
            let point = |p: &otlp_oracle::metrics::SummaryDataPoint| {
                let quantiles = p.quantile_values.iter().map(|q| (q.quantile, q.value)).collect();
                let value = PointValue::Summary { count: p.count, sum: p.sum, quantiles };
                let (start, time) = (p.start_time_unix_nano, p.time_unix_nano);
                Point { start, time, is_gone: p.flags & 1 != 0, value }
            };
            (MetricKind::Summary, d.data_points.iter().map(point).collect())
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Scenario: any metrics. Guarantee: each point, and the head of its metric, reads as prost reads it, NaN for NaN.
    #[test]
    fn points_read_as_prost_reads_them(request in generate::metrics()) {
        let bytes = request.encode_to_vec();
        let mut index = Index::new();
        index.build(Signal::Metrics, &bytes).unwrap();
        let read: Vec<_> = index.records(&bytes).map(|record| {
            let head = metric_head(&record).unwrap();
            (head.name.to_vec(), head.unit.to_vec(), head.description.to_vec(), head.kind, point(head.kind, record.bytes()))
        }).collect();
        let request = MetricsRequest::decode(&*bytes).unwrap();
        let metrics = request.resource_metrics.iter().flat_map(|r| &r.scope_metrics).flat_map(|s| &s.metrics);
        let wanted: Vec<_> = metrics.flat_map(|metric| {
            let (kind, points) = points(metric);
            let texts = [&metric.name, &metric.unit, &metric.description].map(|text| text.clone().into_bytes());
            points.into_iter().map(move |point| {
                let [name, unit, description] = texts.clone();
                (name, unit, description, kind, point)
            })
        }).collect();
        // As text, because no NaN equals itself.
        prop_assert_eq!(format!("{read:?}"), format!("{wanted:?}"));
    }
}
