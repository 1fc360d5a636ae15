//! The page as text: Prometheus' format 0.0.4, or OpenMetrics 1.0.
//!
//! Invariant: what is written parses, whatever names, help texts and values there are.

use super::names::{is_plain_name, plain};
use super::series::{Buckets, Family, Kind, Shown, Store};
use std::fmt::Write;
use std::time::Instant;
use telemetry::exposition::escape;

/// How the page is to be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Format {
    /// OpenMetrics rather than Prometheus' own.
    pub open_metrics: bool,
    /// Names of any characters, in quotes.
    pub utf8: bool,
}

impl Format {
    /// What a scraper takes, by its `Accept`.
    #[must_use]
    pub fn accepted(accept: &str, open_metrics: bool) -> Format {
        // Scrapers name the formats in the order in which they like them; ours are as good as each other.
        let open_metrics = open_metrics && accept.contains("application/openmetrics-text");
        Format { open_metrics, utf8: accept.contains("escaping=allow-utf-8") }
    }

    /// The `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match (self.open_metrics, self.utf8) {
            (true, false) => "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores",
            (true, true) => "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
            (false, false) => "text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
            (false, true) => "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
        }
    }
}

/// Writes all series that are not expired.
#[must_use]
pub fn render(store: &Store, format: Format, timestamps: bool, now: Instant) -> String {
    let mut out = String::new();
    for (name, family) in store.families() {
        let mut family = family.lock();
        store.expire(&mut family, now);
        if !family.series.is_empty() {
            Writer { out: &mut out, format, timestamps }.family(&name, &family);
        }
    }
    if format.open_metrics {
        out.push_str("# EOF\n");
    }
    out
}

struct Writer<'a> {
    out: &'a mut String,
    format: Format,
    timestamps: bool,
}

impl Writer<'_> {
    fn family(&mut self, name: &str, family: &Family) {
        let own = if self.format.utf8 { name.to_owned() } else { plain(name) };
        // In OpenMetrics a counter is called without its suffix, and its sample must have that.
        let (base, total) = match (self.format.open_metrics && family.kind == Kind::Counter, own.strip_suffix("_total"))
        {
            (true, Some(base)) => (base, "_total"),
            (true, None) => (own.as_str(), "_total"),
            _ => (own.as_str(), ""),
        };
        let quoted = quote(base);
        // Writing to a string cannot fail.
        let _ = write!(self.out, "# HELP {quoted} ");
        escape(self.out, &family.help, self.format.open_metrics);
        let _ = writeln!(self.out, "\n# TYPE {quoted} {}", family.kind.as_str());
        for (labels, series) in &family.series {
            let time = self.timestamps.then_some(series.time);
            match &series.value {
                Shown::Number(value) => self.sample(base, total, labels, None, *value, time),
                Shown::Histogram(buckets) => self.histogram(base, labels, buckets, time),
                Shown::Summary(count, sum, quantiles) => {
                    for (quantile, value) in quantiles {
                        self.sample(base, "", labels, Some(("quantile", *quantile)), *value, time);
                    }
                    self.sample(base, "_sum", labels, None, *sum, time);
                    self.sample(base, "_count", labels, None, *count as f64, time);
                }
            }
        }
    }

    fn histogram(&mut self, base: &str, labels: &str, histogram: &Buckets, time: Option<u64>) {
        let mut below = 0u64;
        for (bound, n) in histogram.bounds.iter().zip(&histogram.buckets) {
            below = below.saturating_add(*n);
            if bound.is_finite() {
                self.sample(base, "_bucket", labels, Some(("le", *bound)), below as f64, time);
            }
        }
        self.sample(base, "_bucket", labels, Some(("le", f64::INFINITY)), histogram.count as f64, time);
        if let Some(sum) = histogram.sum {
            self.sample(base, "_sum", labels, None, sum, time);
        }
        self.sample(base, "_count", labels, None, histogram.count as f64, time);
    }

    fn sample(
        &mut self,
        base: &str,
        suffix: &str,
        labels: &str,
        extra: Option<(&str, f64)>,
        value: f64,
        time: Option<u64>,
    ) {
        let is_plain = is_plain_name(base);
        if is_plain {
            self.out.push_str(base);
            self.out.push_str(suffix);
        }
        let extra = extra.map(|(name, bound)| format!("{name}=\"{}\"", Number(bound)));
        let name = (!is_plain).then(|| quote(&format!("{base}{suffix}")));
        let parts = [name.as_deref(), Some(labels).filter(|l| !l.is_empty()), extra.as_deref()];
        for (n, part) in parts.into_iter().flatten().enumerate() {
            self.out.push(if n == 0 { '{' } else { ',' });
            self.out.push_str(part);
        }
        if parts.iter().any(Option::is_some) {
            self.out.push('}');
        }
        let _ = write!(self.out, " {}", Number(value));
        match time.filter(|time| *time > 0) {
            Some(time) if self.format.open_metrics => {
                let _ = write!(self.out, " {}.{:03}", time / 1_000_000_000, time / 1_000_000 % 1000);
            }
            Some(time) => {
                let _ = write!(self.out, " {}", time / 1_000_000);
            }
            None => {}
        }
        self.out.push('\n');
    }
}

/// A number as Prometheus reads it.
struct Number(f64);

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = self.0;
        match value {
            _ if value.is_nan() => f.write_str("NaN"),
            f64::INFINITY => f.write_str("+Inf"),
            f64::NEG_INFINITY => f.write_str("-Inf"),
            _ if value != 0.0 && (value.abs() >= 1e21 || value.abs() < 1e-6) => write!(f, "{value:e}"),
            _ => write!(f, "{value}"),
        }
    }
}

/// A name, in quotes if it needs them.
fn quote(name: &str) -> String {
    if is_plain_name(name) {
        return name.to_owned();
    }
    let mut out = String::from("\"");
    escape(&mut out, name, true);
    out.push('"');
    out
}

/// Appends a label. Its name is one that every scraper takes.
pub fn label(out: &mut String, name: &str, value: &str) {
    if !out.is_empty() {
        out.push(',');
    }
    out.push_str(name);
    out.push_str("=\"");
    escape(out, value, true);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::super::names::Strategy;
    use super::super::series::{Keeping, Told};
    use super::*;
    use std::time::Duration;
    use wire::point::{MetricHead, MetricKind, Point, PointValue, Temporality};

    fn store(strategy: Strategy) -> Store {
        let expiration = Duration::from_secs(300);
        let keeping = Keeping { namespace: String::new(), strategy, expiration, max_series: 100 };
        let store = Store::new(keeping);
        let counter = MetricKind::Sum { temporality: Temporality::Cumulative, monotonic: true };
        let histogram = MetricKind::Histogram(Temporality::Cumulative);
        let buckets =
            PointValue::Histogram { count: 6, sum: Some(1.5), bounds: vec![0.1, 2.0], buckets: vec![1, 2, 3] };
        let summary = PointValue::Summary { count: 2, sum: 3.0, quantiles: vec![(0.5, 1e-9), (0.9, 2.0)] };
        for (name, unit, kind, value) in [
            ("http.requests", "", counter, PointValue::Number(Some(7.0))),
            ("duration", "s", histogram, buckets),
            ("load.1m", "", MetricKind::Gauge, PointValue::Number(Some(f64::NEG_INFINITY))),
            ("sizes", "By", MetricKind::Summary, summary),
        ] {
            let (description, labels) = (&b"a \"help\"\nof two lines"[..], "job=\"a\"");
            let head = MetricHead { name: name.as_bytes(), description, unit: unit.as_bytes(), kind };
            let point = Point { start: 0, time: 1_700_000_000_123_000_000, is_gone: false, value };
            let (name, kind) = store.name(&head).unwrap();
            let family = store.family(&name, kind, description);
            let told = Told { head: &head, point, labels, resource: 1 };
            store.tell(&family, kind, told, flow::clock::now()).unwrap();
        }
        store
    }

    /// Scenario: a metric of each kind, in Prometheus' format. Guarantee: the page as agreed; buckets are added up.
    #[test]
    fn the_page_in_prometheus_format() {
        let page = render(&store(Strategy::default()), Format::default(), false, flow::clock::now());
        let help = "a \"help\"\\nof two lines";
        let expected = format!(
            "# HELP duration_seconds {help}\n# TYPE duration_seconds histogram\n\
             duration_seconds_bucket{{job=\"a\",le=\"0.1\"}} 1\nduration_seconds_bucket{{job=\"a\",le=\"2\"}} 3\n\
             duration_seconds_bucket{{job=\"a\",le=\"+Inf\"}} 6\nduration_seconds_sum{{job=\"a\"}} 1.5\n\
             duration_seconds_count{{job=\"a\"}} 6\n\
             # HELP http_requests_total {help}\n# TYPE http_requests_total counter\nhttp_requests_total{{job=\"a\"}} 7\n\
             # HELP load_1m {help}\n# TYPE load_1m gauge\nload_1m{{job=\"a\"}} -Inf\n\
             # HELP sizes_bytes {help}\n# TYPE sizes_bytes summary\nsizes_bytes{{job=\"a\",quantile=\"0.5\"}} 1e-9\n\
             sizes_bytes{{job=\"a\",quantile=\"0.9\"}} 2\nsizes_bytes_sum{{job=\"a\"}} 3\nsizes_bytes_count{{job=\"a\"}} 2\n"
        );
        assert_eq!(page, expected);
    }

    /// Scenario: the same in OpenMetrics with time stamps. Guarantee: counters are called without their suffix, times are seconds, the end is said.
    #[test]
    fn the_page_in_open_metrics() {
        let format = Format { open_metrics: true, utf8: false };
        let page = render(&store(Strategy::default()), format, true, flow::clock::now());
        let counter = "# TYPE http_requests counter\nhttp_requests_total{job=\"a\"} 7 1700000000.123\n";
        assert!(page.contains(counter) && page.ends_with("# EOF\n"), "{page}");
    }

    /// Scenario: names of any characters, for a scraper that takes them and for one that does not. Guarantee: they are quoted, or escaped.
    #[test]
    fn names_are_quoted_for_those_who_take_them() {
        let store = store(Strategy::NoUTF8EscapingWithSuffixes);
        let text = |utf8| render(&store, Format { open_metrics: false, utf8 }, false, flow::clock::now());
        let quoted = "# TYPE \"http.requests_total\" counter\n{\"http.requests_total\",job=\"a\"} 7\n";
        assert!(text(true).contains(quoted), "{}", text(true));
        assert!(text(false).contains("\nhttp_requests_total{job=\"a\"} 7\n"), "{}", text(false));
    }

    /// Scenario: what scrapers ask for. Guarantee: OpenMetrics only where it is enabled and asked for.
    #[test]
    fn the_format_is_what_is_asked_for() {
        let prometheus =
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.3";
        assert_eq!(Format::accepted(prometheus, true), Format { open_metrics: true, utf8: true });
        assert_eq!(Format::accepted(prometheus, false), Format { open_metrics: false, utf8: true });
        assert_eq!(Format::accepted("*/*", true), Format::default());
    }
}
