//! What the page shows: families of series, each with its last value.
//!
//! A series is its family's name and its labels as they stand on the page: two that would look alike are one, so that every page
//! parses. Delta points are added up; a counter made of them never falls. Two resources that would share a series (one job, no
//! instance) do not take turns: the first keeps it for as long as it is heard of, and the other is counted and named once.
//!
//! Invariants: never more than `max_series` series; a series that was not heard of for the expiration is gone.
//! It knows no protocol and no clock: the time is handed in.

use super::names::{self, Strategy, Suffix};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};
use wire::point::{MetricHead, MetricKind, Point, PointValue, Temporality};

/// What a family is to Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Observations by size.
    Histogram,
    /// Quantiles.
    Summary,
}

impl Kind {
    /// As `# TYPE` says it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Summary => "summary",
        }
    }
}

/// Why a point is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refused {
    /// Its name, or that of a label, has nothing left that Prometheus takes.
    Name,
    /// The family has another type already.
    Type,
    /// A delta that does not only grow, or a temporality that is none.
    Temporality,
    /// There are `max_series` already.
    Full,
    /// Another resource has the series.
    Conflict,
    /// It has no value.
    Empty,
}

impl Refused {
    /// For people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Refused::Name => "no name is left of it",
            Refused::Type => "a metric of this name has another type",
            Refused::Temporality => "its temporality cannot be shown",
            Refused::Full => "there are `max_series` series already",
            Refused::Conflict => "another resource with the same job and instance has this series",
            Refused::Empty => "it has no value",
        }
    }
}

/// The value of a series.
#[derive(Clone, Debug, PartialEq)]
pub enum Shown {
    /// Of a counter or gauge.
    Number(f64),
    /// Observations, their sum, upper bounds, and how many in each bucket; not added up.
    Histogram(Box<Buckets>),
    /// Observations, their sum, and quantiles.
    Summary(u64, f64, Box<[(f64, f64)]>),
}

/// Of a histogram.
#[derive(Clone, Debug, PartialEq)]
pub struct Buckets {
    /// Observations.
    pub count: u64,
    /// Their sum.
    pub sum: Option<f64>,
    /// Upper bounds.
    pub bounds: Box<[f64]>,
    /// One more than bounds, or none.
    pub buckets: Box<[u64]>,
}

/// One series.
#[derive(Debug)]
pub struct Series {
    /// What it shows.
    pub value: Shown,
    /// Nanoseconds since the epoch, as its source said.
    pub time: u64,
    /// When it was last heard of.
    heard: Instant,
    /// Which resource it is of.
    resource: u64,
}

/// All series of a name.
#[derive(Debug)]
pub struct Family {
    /// On the page.
    pub kind: Kind,
    /// The first one that was said.
    pub help: Box<str>,
    /// By labels, as text between the braces.
    pub series: HashMap<Box<str>, Series>,
    /// The kinds of trouble that were named already.
    named: Vec<Refused>,
}

/// How series are kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Keeping {
    /// Before every name.
    pub namespace: String,
    /// How names are made.
    pub strategy: Strategy,
    /// After how long without news a series is gone. Zero: never.
    pub expiration: Duration,
    /// Series at most.
    pub max_series: usize,
}

/// See the module.
pub struct Store {
    keeping: Keeping,
    families: Mutex<BTreeMap<String, Arc<Mutex<Family>>>>,
    series: AtomicUsize,
    swept: Mutex<Option<Instant>>,
}

/// A point with all that the page says of it.
pub struct Told<'a> {
    /// Its metric.
    pub head: &'a MetricHead<'a>,
    /// The point.
    pub point: Point,
    /// Its labels, as text between the braces.
    pub labels: &'a str,
    /// Tells its resource from others.
    pub resource: u64,
}

impl Store {
    /// An empty one.
    #[must_use]
    pub fn new(keeping: Keeping) -> Store {
        let series = AtomicUsize::new(0);
        Store { keeping, families: Mutex::default(), series, swept: Mutex::default() }
    }

    /// How series are kept.
    #[must_use]
    #[cfg(test)]
    pub fn keeping(&self) -> &Keeping {
        &self.keeping
    }

    /// How many series there are.
    #[cfg(test)]
    fn count(&self) -> usize {
        self.series.load(Relaxed)
    }

    /// The name and the kind that a metric has on the page.
    ///
    /// # Errors
    /// It cannot be shown.
    pub fn name(&self, head: &MetricHead<'_>) -> Result<(String, Kind), Refused> {
        let (kind, suffix) = match head.kind {
            MetricKind::Gauge => (Kind::Gauge, Suffix::Gauge),
            MetricKind::Sum { temporality: Temporality::Unspecified, .. }
            | MetricKind::Sum { temporality: Temporality::Delta, monotonic: false }
            | MetricKind::Histogram(Temporality::Unspecified)
            | MetricKind::ExponentialHistogram(Temporality::Unspecified) => return Err(Refused::Temporality),
            MetricKind::Sum { monotonic: true, .. } => (Kind::Counter, Suffix::Counter),
            // To Prometheus a sum that may fall is a gauge; the unit 1 does not make it a ratio.
            MetricKind::Sum { .. } => (Kind::Gauge, Suffix::Other),
            MetricKind::Histogram(_) | MetricKind::ExponentialHistogram(_) => (Kind::Histogram, Suffix::Other),
            MetricKind::Summary => (Kind::Summary, Suffix::Other),
        };
        let (name, unit) = (String::from_utf8_lossy(head.name), String::from_utf8_lossy(head.unit));
        let name = names::metric(&name, &unit, suffix, &self.keeping.namespace, self.keeping.strategy);
        name.map(|name| (name, kind)).ok_or(Refused::Name)
    }

    /// The family of this name, made if there is none.
    pub fn family(&self, name: &str, kind: Kind, help: &[u8]) -> Arc<Mutex<Family>> {
        let mut families = self.families.lock();
        if let Some(family) = families.get(name) {
            return family.clone();
        }
        let help = String::from_utf8_lossy(help).into();
        let family = Arc::new(Mutex::new(Family { kind, help, series: HashMap::new(), named: vec![] }));
        families.insert(name.to_owned(), family.clone());
        family
    }

    /// Takes a point in.
    ///
    /// # Errors
    /// Why it is not shown. True: this has not been said of the family before.
    pub fn tell(
        &self,
        family: &Mutex<Family>,
        kind: Kind,
        told: Told<'_>,
        now: Instant,
    ) -> Result<(), (Refused, bool)> {
        let mut family = family.lock();
        self.put(&mut family, kind, told, now).map_err(|why| {
            let is_new = !family.named.contains(&why);
            if is_new {
                family.named.push(why);
            }
            (why, is_new)
        })
    }

    fn put(&self, family: &mut Family, kind: Kind, told: Told<'_>, now: Instant) -> Result<(), Refused> {
        // A family of which nothing is left may become another.
        if family.kind != kind && !family.series.is_empty() {
            return Err(Refused::Type);
        }
        family.kind = kind;
        let Told { head, point, labels, resource } = told;
        if point.is_gone {
            if family.series.remove(labels).is_some() {
                self.series.fetch_sub(1, Relaxed);
            }
            return Ok(());
        }
        let is_delta = matches!(
            head.kind,
            MetricKind::Sum { temporality: Temporality::Delta, .. }
                | MetricKind::Histogram(Temporality::Delta)
                | MetricKind::ExponentialHistogram(Temporality::Delta)
        );
        let (time, value) = (point.time, shown(point.value)?);
        let Some(series) = family.series.get_mut(labels) else {
            if self.series.fetch_add(1, Relaxed) >= self.keeping.max_series {
                self.series.fetch_sub(1, Relaxed);
                return Err(Refused::Full);
            }
            family.series.insert(labels.into(), Series { value, time, heard: now, resource });
            return Ok(());
        };
        if series.resource != resource {
            if !is_over(series.heard, now, self.keeping.expiration) {
                return Err(Refused::Conflict);
            }
            *series = Series { value, time, heard: now, resource };
            return Ok(());
        }
        series.heard = now;
        if is_delta {
            add(&mut series.value, value);
            series.time = series.time.max(time);
        } else if time >= series.time {
            (series.value, series.time) = (value, time);
        }
        Ok(())
    }

    /// Lets go of what was not heard of for too long, if that was last done a while ago. Costs a look at every series.
    pub fn sweep(&self, now: Instant) {
        let expiration = self.keeping.expiration;
        if expiration.is_zero() {
            return;
        }
        let mut swept = self.swept.lock();
        if swept.is_some_and(|at| now.saturating_duration_since(at) < expiration / 4) {
            return;
        }
        *swept = Some(now);
        drop(swept);
        for family in self.families() {
            self.expire(&mut family.1.lock(), now);
        }
        // A family without series holds nothing but its name; whoever holds it meanwhile may be about to fill it.
        self.families.lock().retain(|_, family| Arc::strong_count(family) > 1 || !family.lock().series.is_empty());
    }

    /// Lets go of the series of a family that were not heard of for too long.
    pub fn expire(&self, family: &mut Family, now: Instant) {
        let before = family.series.len();
        family.series.retain(|_, series| !is_over(series.heard, now, self.keeping.expiration));
        self.series.fetch_sub(before - family.series.len(), Relaxed);
    }

    /// The families, by name.
    #[must_use]
    pub fn families(&self) -> Vec<(String, Arc<Mutex<Family>>)> {
        self.families.lock().iter().map(|(name, family)| (name.clone(), family.clone())).collect()
    }
}

fn is_over(heard: Instant, now: Instant, expiration: Duration) -> bool {
    !expiration.is_zero() && now.saturating_duration_since(heard) > expiration
}

fn shown(value: PointValue) -> Result<Shown, Refused> {
    match value {
        PointValue::Number(None) => Err(Refused::Empty),
        PointValue::Number(Some(number)) => Ok(Shown::Number(number)),
        PointValue::Histogram { count, sum, bounds, buckets } => {
            // Buckets that do not fit their bounds are none.
            let fit = buckets.len() == bounds.len() + 1;
            let (bounds, buckets) = if fit { (bounds, buckets) } else { (vec![], vec![]) };
            let (bounds, buckets) = (bounds.into_boxed_slice(), buckets.into_boxed_slice());
            Ok(Shown::Histogram(Box::new(Buckets { count, sum, bounds, buckets })))
        }
        PointValue::Summary { count, sum, quantiles } => Ok(Shown::Summary(count, sum, quantiles.into_boxed_slice())),
    }
}

/// Adds a delta. With other bounds a histogram begins anew: what Prometheus sees is a reset.
fn add(to: &mut Shown, delta: Shown) {
    match (to, delta) {
        (Shown::Number(to), Shown::Number(delta)) => *to += delta.max(0.0),
        (Shown::Histogram(to), Shown::Histogram(delta)) if to.bounds == delta.bounds => {
            to.count = to.count.saturating_add(delta.count);
            to.sum = to.sum.zip(delta.sum).map(|(a, b)| a + b);
            to.buckets.iter_mut().zip(&delta.buckets).for_each(|(a, b)| *a = a.saturating_add(*b));
        }
        (to, delta) => *to = delta,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn store(max_series: usize) -> Store {
        let keeping =
            Keeping { namespace: String::new(), strategy: Strategy::default(), expiration: 300 * SECOND, max_series };
        Store::new(keeping)
    }

    fn head(kind: MetricKind) -> MetricHead<'static> {
        MetricHead { name: b"m", description: b"help", unit: b"", kind }
    }

    fn counter(temporality: Temporality) -> MetricHead<'static> {
        head(MetricKind::Sum { temporality, monotonic: true })
    }

    fn number(time: u64, value: f64) -> Point {
        Point { start: 0, time, is_gone: false, value: PointValue::Number(Some(value)) }
    }

    fn tell(
        store: &Store,
        head: MetricHead<'_>,
        point: Point,
        labels: &str,
        resource: u64,
        now: Instant,
    ) -> Result<(), (Refused, bool)> {
        let (name, kind) = store.name(&head).map_err(|why| (why, true))?;
        let family = store.family(&name, kind, head.description);
        store.tell(&family, kind, Told { head: &head, point, labels, resource }, now)
    }

    fn value(store: &Store, name: &str, labels: &str) -> Option<f64> {
        let (_, family) = store.families().into_iter().find(|(own, _)| own == name)?;
        let family = family.lock();
        match family.series.get(labels)?.value {
            Shown::Number(value) => Some(value),
            _ => None,
        }
    }

    /// Scenario: deltas with a missed interval between, one of them negative. Guarantee: the counter is their sum, and never falls.
    #[test]
    fn deltas_add_up() {
        let (store, now) = (store(10), flow::clock::now());
        for (time, delta) in [(1, 5.0), (2, 3.0), (9, 4.0), (10, -2.0)] {
            tell(&store, counter(Temporality::Delta), number(time, delta), "", 1, now).unwrap();
        }
        assert_eq!(value(&store, "m_total", ""), Some(12.0));
    }

    /// Scenario: a cumulative point that is older than the last. Guarantee: the newer one stays.
    #[test]
    fn older_points_change_nothing() {
        let (store, now) = (store(10), flow::clock::now());
        for (time, total) in [(5, 50.0), (4, 40.0)] {
            tell(&store, counter(Temporality::Cumulative), number(time, total), "", 1, now).unwrap();
        }
        assert_eq!(value(&store, "m_total", ""), Some(50.0));
    }

    /// Scenario: two resources with one job and no instance. Guarantee: the first keeps the series and is not overwritten, the second is named
    /// once; when the first is not heard of any more the second has it.
    #[test]
    fn two_resources_do_not_take_turns() {
        let (store, now) = (store(10), flow::clock::now());
        let gauge = head(MetricKind::Gauge);
        tell(&store, gauge, number(1, 1.0), "job=\"a\"", 1, now).unwrap();
        assert_eq!(tell(&store, gauge, number(2, 2.0), "job=\"a\"", 2, now), Err((Refused::Conflict, true)));
        assert_eq!(tell(&store, gauge, number(3, 3.0), "job=\"a\"", 2, now), Err((Refused::Conflict, false)));
        assert_eq!(value(&store, "m", "job=\"a\""), Some(1.0));
        tell(&store, gauge, number(4, 4.0), "job=\"a\"", 2, now + 301 * SECOND).unwrap();
        assert_eq!(value(&store, "m", "job=\"a\""), Some(4.0));
    }

    /// Scenario: more series than there may be, one of which is withdrawn. Guarantee: what is too much is refused, what is withdrawn is gone
    /// at once and leaves room.
    #[test]
    fn series_are_bounded() {
        let (store, now) = (store(2), flow::clock::now());
        let gauge = head(MetricKind::Gauge);
        for labels in ["a", "b"] {
            tell(&store, gauge, number(1, 1.0), labels, 1, now).unwrap();
        }
        assert_eq!(tell(&store, gauge, number(1, 1.0), "c", 1, now), Err((Refused::Full, true)));
        let gone = Point { is_gone: true, ..number(2, 0.0) };
        tell(&store, gauge, gone, "a", 1, now).unwrap();
        assert_eq!((value(&store, "m", "a"), store.count()), (None, 1));
        tell(&store, gauge, number(1, 1.0), "c", 1, now).unwrap();
    }

    /// Scenario: series that are not heard of any more, with an expiration and without one. Guarantee: they go, or they stay for ever.
    #[test]
    fn silence_expires() {
        for (expiration, left) in [(60, 0), (0, 1)] {
            let keeping = Keeping { expiration: expiration * SECOND, ..store(10).keeping().clone() };
            let (store, now) = (Store::new(keeping), flow::clock::now());
            tell(&store, head(MetricKind::Gauge), number(1, 1.0), "", 1, now).unwrap();
            store.sweep(now + 3600 * SECOND);
            assert_eq!((store.count(), store.families().len()), (left, left));
        }
    }

    /// Scenario: a name with two types, a delta that may fall, a sum without temporality. Guarantee: each is refused for its reason.
    #[test]
    fn what_cannot_be_shown_is_refused() {
        let (store, now) = (store(10), flow::clock::now());
        let up_down = |temporality| head(MetricKind::Sum { temporality, monotonic: false });
        tell(&store, head(MetricKind::Gauge), number(1, 1.0), "", 1, now).unwrap();
        let summary = Point { value: PointValue::Summary { count: 1, sum: 1.0, quantiles: vec![] }, ..number(1, 0.0) };
        assert_eq!(tell(&store, head(MetricKind::Summary), summary, "", 1, now), Err((Refused::Type, true)));
        for temporality in [Temporality::Delta, Temporality::Unspecified] {
            assert_eq!(
                tell(&store, up_down(temporality), number(1, 1.0), "", 1, now),
                Err((Refused::Temporality, true))
            );
        }
        let none = Point { value: PointValue::Number(None), ..number(1, 0.0) };
        assert_eq!(tell(&store, head(MetricKind::Gauge), none, "", 1, now), Err((Refused::Empty, true)));
    }

    /// Scenario: delta histograms, then one with other bounds. Guarantee: they add up, then begin anew.
    #[test]
    fn histograms_add_up() {
        let (store, now) = (store(10), flow::clock::now());
        let point = |bounds: &[f64], buckets: &[u64]| Point {
            value: PointValue::Histogram {
                count: buckets.iter().sum(),
                sum: Some(2.0),
                bounds: bounds.to_vec(),
                buckets: buckets.to_vec(),
            },
            ..number(1, 0.0)
        };
        let delta = head(MetricKind::Histogram(Temporality::Delta));
        let shown = |store: &Store| store.families()[0].1.lock().series[""].value.clone();
        for _ in 0..2 {
            tell(&store, delta, point(&[1.0], &[1, 2]), "", 1, now).unwrap();
        }
        let Shown::Histogram(h) = shown(&store) else { panic!() };
        assert_eq!((h.count, h.sum, &*h.buckets), (6, Some(4.0), &[2, 4][..]));
        tell(&store, delta, point(&[1.0, 2.0], &[1, 1, 1]), "", 1, now).unwrap();
        let Shown::Histogram(h) = shown(&store) else { panic!() };
        assert_eq!((h.count, &*h.buckets), (3, &[1, 1, 1][..]));
    }
}
