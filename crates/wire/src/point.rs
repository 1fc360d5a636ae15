//! Data points of metrics, read in place.
//!
//! A field that comes twice counts with its last occurrence; packed and unpacked repeated fields are the same. Nothing is allocated
//! but the bounds and counts of a histogram's buckets. Bytes that `check` would refuse are read up to the damage.

use crate::field::{Field, Fields, Value};
use crate::index::{Entry, Record};

/// `AggregationTemporality`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temporality {
    /// Absent, or a number that is none.
    Unspecified,
    /// Since the point before.
    Delta,
    /// Since the start.
    Cumulative,
}

/// What kind of data a metric has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// `Gauge`.
    Gauge,
    /// `Sum`.
    Sum {
        /// Since when it counts.
        temporality: Temporality,
        /// Whether it only grows.
        monotonic: bool,
    },
    /// `Histogram`.
    Histogram(Temporality),
    /// `ExponentialHistogram`.
    ExponentialHistogram(Temporality),
    /// `Summary`.
    Summary,
}

/// The head of a metric. Texts are empty when absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricHead<'a> {
    /// `name`.
    pub name: &'a [u8],
    /// `description`.
    pub description: &'a [u8],
    /// `unit`.
    pub unit: &'a [u8],
    /// Of its data.
    pub kind: MetricKind,
}

/// Reads the head of the metric that a data point belongs to. `None` for other records.
#[must_use]
pub fn metric_head<'a>(record: &Record<'a>) -> Option<MetricHead<'a>> {
    let (metric, data) = (record.metric()?, record.data()?);
    let mut head = MetricHead { name: b"", description: b"", unit: b"", kind: kind(&data) };
    for field in metric.fields() {
        match (field.number, field.value) {
            (1, Value::Len(text)) => head.name = text,
            (2, Value::Len(text)) => head.description = text,
            (3, Value::Len(text)) => head.unit = text,
            _ => {}
        }
    }
    Some(head)
}

fn kind(data: &Entry<'_>) -> MetricKind {
    let number = |number| data.fields().filter(|f| f.number == number).filter_map(|f| f.varint()).last().unwrap_or(0);
    let temporality = || match number(2) {
        1 => Temporality::Delta,
        2 => Temporality::Cumulative,
        _ => Temporality::Unspecified,
    };
    match data.number() {
        7 => MetricKind::Sum { temporality: temporality(), monotonic: number(3) != 0 },
        9 => MetricKind::Histogram(temporality()),
        10 => MetricKind::ExponentialHistogram(temporality()),
        11 => MetricKind::Summary,
        _ => MetricKind::Gauge,
    }
}

/// The value of a point.
#[derive(Clone, Debug, PartialEq)]
pub enum PointValue {
    /// Of a gauge or a sum; a whole number as the nearest float. `None`: it has none.
    Number(Option<f64>),
    /// Of a histogram, or of an exponential one without its buckets.
    Histogram {
        /// Observations.
        count: u64,
        /// Their sum, if it is known.
        sum: Option<f64>,
        /// Upper bounds, ascending; the last bucket has none.
        bounds: Vec<f64>,
        /// Observations of each bucket, not added up.
        buckets: Vec<u64>,
    },
    /// Of a summary.
    Summary {
        /// Observations.
        count: u64,
        /// Their sum.
        sum: f64,
        /// Quantiles with their values.
        quantiles: Vec<(f64, f64)>,
    },
}

/// A data point.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Nanoseconds since the epoch; 0 is unknown.
    pub start: u64,
    /// Nanoseconds since the epoch.
    pub time: u64,
    /// The flag `NO_RECORDED_VALUE`: there is none any more.
    pub is_gone: bool,
    /// What it says.
    pub value: PointValue,
}

/// Reads a data point of a metric of this kind. Its attributes are [`crate::key::record_attributes`].
#[must_use]
pub fn point(kind: MetricKind, bytes: &[u8]) -> Point {
    let fields = || Fields::new(bytes).map_while(Result::ok);
    let (start, time, flags) = match kind {
        MetricKind::Histogram(_) | MetricKind::ExponentialHistogram(_) => (2, 3, 10),
        MetricKind::Gauge | MetricKind::Sum { .. } | MetricKind::Summary => (2, 3, 8),
    };
    let fixed = |number| last(fields(), number, |f| f.fixed64());
    let value = match kind {
        MetricKind::Gauge | MetricKind::Sum { .. } => PointValue::Number(
            fields()
                .filter_map(|field| match field.number {
                    4 => field.fixed64().map(f64::from_bits),
                    6 => field.fixed64().map(|bits| bits.cast_signed() as f64),
                    _ => None,
                })
                .last(),
        ),
        MetricKind::Histogram(_) => PointValue::Histogram {
            count: fixed(4).unwrap_or(0),
            sum: fixed(5).map(f64::from_bits),
            bounds: packed(fields(), 7).map(f64::from_bits).collect(),
            buckets: packed(fields(), 6).collect(),
        },
        MetricKind::ExponentialHistogram(_) => PointValue::Histogram {
            count: fixed(4).unwrap_or(0),
            sum: fixed(5).map(f64::from_bits),
            bounds: vec![],
            buckets: vec![],
        },
        MetricKind::Summary => PointValue::Summary {
            count: fixed(4).unwrap_or(0),
            sum: fixed(5).map_or(0.0, f64::from_bits),
            quantiles: fields().filter(|f| f.number == 6).filter_map(|f| f.bytes()).map(quantile).collect(),
        },
    };
    Point {
        start: fixed(start).unwrap_or(0),
        time: fixed(time).unwrap_or(0),
        is_gone: last(fields(), flags, |f| f.varint()).unwrap_or(0) & 1 != 0,
        value,
    }
}

fn quantile(message: &[u8]) -> (f64, f64) {
    let of =
        |number| last(Fields::new(message).map_while(Result::ok), number, |f| f.fixed64()).map_or(0.0, f64::from_bits);
    (of(1), of(2))
}

fn last<'a, T>(
    fields: impl Iterator<Item = Field<'a>>,
    number: u32,
    of: impl Fn(&Field<'a>) -> Option<T>,
) -> Option<T> {
    fields.filter(|field| field.number == number).filter_map(|field| of(&field)).last()
}

/// The values of a repeated fixed64 field, packed or not.
fn packed<'a>(fields: impl Iterator<Item = Field<'a>>, number: u32) -> impl Iterator<Item = u64> {
    fields.filter(move |field| field.number == number).flat_map(|field| {
        let (one, many) = match field.value {
            Value::Fixed64(bits) => (Some(bits), &[][..]),
            Value::Len(bytes) => (None, bytes),
            _ => (None, &[][..]),
        };
        one.into_iter().chain(many.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes)))
    })
}
