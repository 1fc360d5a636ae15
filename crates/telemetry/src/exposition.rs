//! The Prometheus text format, version 0.0.4.
//!
//! A [`Page`] is a list of families; a family is a name, a type, a help text and its samples. Samples of one family stand
//! together under one header, in whatever order they are added; a family without samples leaves no trace.
//!
//! It does NOT collect anything, and there is no global registry: who wants a page makes one. Names are the caller's
//! constants, or a user's choice ([`Page::chosen`]), and are not checked; label values may be anything and are escaped.

use std::borrow::Cow;
use std::fmt::{Display, Write};

/// The `Content-Type` of a page.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What kind of number a family holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// It only grows, but for restarts.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Observations by size.
    Histogram,
}

impl Type {
    const fn as_str(self) -> &'static str {
        match self {
            Type::Counter => "counter",
            Type::Gauge => "gauge",
            Type::Histogram => "histogram",
        }
    }
}

/// Label names and values, in the order in which they are written.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

/// One family and its samples, already written.
#[derive(Debug)]
pub struct Family {
    name: Cow<'static, str>,
    kind: Type,
    help: Cow<'static, str>,
    samples: String,
}

/// A page of metrics in the making.
#[derive(Debug, Default)]
pub struct Page {
    families: Vec<Family>,
}

impl Page {
    /// A page without families.
    #[must_use]
    pub fn new() -> Page {
        Page::default()
    }

    /// The counters of this name.
    pub fn counter(&mut self, name: &'static str, help: &'static str) -> &mut Family {
        self.family(name, Type::Counter, help)
    }

    /// The gauges of this name.
    pub fn gauge(&mut self, name: &'static str, help: &'static str) -> &mut Family {
        self.family(name, Type::Gauge, help)
    }

    /// The histograms of this name.
    pub fn histogram(&mut self, name: &'static str, help: &'static str) -> &mut Family {
        self.family(name, Type::Histogram, help)
    }

    /// The family of this name: the one that is there, whatever it was called with before, or a new one at the end.
    fn family(&mut self, name: &'static str, kind: Type, help: &'static str) -> &mut Family {
        let at = match self.families.iter().position(|family| family.name == name) {
            Some(at) => at,
            None => {
                let (name, help) = (Cow::Borrowed(name), Cow::Borrowed(help));
                self.families.push(Family { name, kind, help, samples: String::new() });
                self.families.len() - 1
            }
        };
        &mut self.families[at]
    }

    /// The metrics of a name that a user chose. `None` if it is one of the program's own, or of another kind already.
    pub fn chosen(&mut self, name: &str, kind: Type, help: &str) -> Option<&mut Family> {
        let at = match self.families.iter().position(|family| family.name == name) {
            Some(at) => at,
            None => {
                let (name, help) = (Cow::Owned(name.to_owned()), Cow::Owned(help.to_owned()));
                self.families.push(Family { name, kind, help, samples: String::new() });
                self.families.len() - 1
            }
        };
        let family = &mut self.families[at];
        (family.kind == kind && matches!(family.name, Cow::Owned(_))).then_some(family)
    }

    /// The page as text.
    #[must_use]
    pub fn finish(self) -> String {
        let mut out = String::with_capacity(self.families.iter().map(|f| f.samples.len() + 200).sum());
        for Family { name, kind, help, samples } in self.families.iter().filter(|f| !f.samples.is_empty()) {
            out.push_str("# HELP ");
            out.push_str(name);
            out.push(' ');
            escape(&mut out, help, false);
            // Writing to a string cannot fail.
            let _ = writeln!(out, "\n# TYPE {name} {}", kind.as_str());
            out.push_str(samples);
        }
        out
    }
}

impl Family {
    /// Adds a sample.
    pub fn add(&mut self, labels: Labels<'_>, value: impl Value) -> &mut Family {
        self.sample("", labels, None, value)
    }

    /// Adds a sample of a part of a histogram, such as `_sum`; no suffix for what is no histogram.
    pub fn add_part(&mut self, suffix: &str, labels: Labels<'_>, value: impl Value) -> &mut Family {
        self.sample(suffix, labels, None, value)
    }

    /// Adds a histogram: for each upper bound, in ascending order, the observations up to it; then their sum and count.
    pub fn observe(&mut self, labels: Labels<'_>, buckets: &[(f64, u64)], sum: f64, count: u64) -> &mut Family {
        for (bound, below) in buckets {
            self.sample("_bucket", labels, Some(*bound), *below);
        }
        self.sample("_bucket", labels, Some(f64::INFINITY), count);
        self.sample("_sum", labels, None, sum);
        self.sample("_count", labels, None, count)
    }

    fn sample(&mut self, suffix: &str, labels: Labels<'_>, bound: Option<f64>, value: impl Value) -> &mut Family {
        let out = &mut self.samples;
        out.push_str(&self.name);
        out.push_str(suffix);
        let bound = bound.map(|bound| {
            let mut text = String::new();
            bound.write(&mut text);
            text
        });
        let labels = labels.iter().copied().chain(bound.as_deref().map(|bound| ("le", bound)));
        let mut open = false;
        for (name, value) in labels {
            out.push(if open { ',' } else { '{' });
            open = true;
            out.push_str(name);
            out.push_str("=\"");
            escape(out, value, true);
            out.push('"');
        }
        if open {
            out.push('}');
        }
        out.push(' ');
        value.write(out);
        out.push('\n');
        self
    }
}

/// Appends a text: backslash and line feed are escaped, in label values the quote as well.
pub fn escape(out: &mut String, text: &str, quote: bool) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quote => out.push_str("\\\""),
            c => out.push(c),
        }
    }
}

/// A number that a sample can have.
pub trait Value {
    /// Appends it as the format wants it.
    fn write(&self, out: &mut String);
}

fn append(out: &mut String, value: impl Display) {
    let _ = write!(out, "{value}");
}

impl Value for u64 {
    fn write(&self, out: &mut String) {
        append(out, self);
    }
}

impl Value for bool {
    fn write(&self, out: &mut String) {
        out.push(if *self { '1' } else { '0' });
    }
}

impl Value for f64 {
    fn write(&self, out: &mut String) {
        match *self {
            value if value.is_nan() => out.push_str("NaN"),
            f64::INFINITY => out.push_str("+Inf"),
            f64::NEG_INFINITY => out.push_str("-Inf"),
            value => append(out, value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Scenario: two families whose samples are added in turns, one without samples. Guarantee: one header each, samples together, nothing of the empty one.
    #[test]
    fn each_family_has_one_header() {
        let mut page = Page::new();
        page.counter("a", "As.").add(&[("k", "1")], 1);
        page.gauge("b", "Bs.").add(&[], 0.5);
        page.counter("a", "As.").add(&[("k", "2"), ("l", "x")], 2);
        page.gauge("none", "Nothing.");
        let expected =
            "# HELP a As.\n# TYPE a counter\na{k=\"1\"} 1\na{k=\"2\",l=\"x\"} 2\n# HELP b Bs.\n# TYPE b gauge\nb 0.5\n";
        assert_eq!(page.finish(), expected);
    }

    /// Scenario: a histogram. Guarantee: its buckets end with +Inf, and sum and count follow.
    #[test]
    fn a_histogram_is_spelt_out() {
        let mut page = Page::new();
        page.histogram("h", "Sizes.").observe(&[("x", "y")], &[(0.5, 1), (1.0, 3)], 4.25, 5);
        let expected = "# HELP h Sizes.\n# TYPE h histogram\nh_bucket{x=\"y\",le=\"0.5\"} 1\nh_bucket{x=\"y\",le=\"1\"} 3\n\
            h_bucket{x=\"y\",le=\"+Inf\"} 5\nh_sum{x=\"y\"} 4.25\nh_count{x=\"y\"} 5\n";
        assert_eq!(page.finish(), expected);
    }

    /// Scenario: numbers that are no ordinary numbers. Guarantee: Prometheus' spelling.
    #[test]
    fn odd_numbers_are_spelt_as_prometheus_wants() {
        let mut page = Page::new();
        page.gauge("g", "").add(&[], f64::NAN).add(&[], f64::INFINITY).add(&[], f64::NEG_INFINITY).add(&[], true);
        assert_eq!(page.finish(), "# HELP g \n# TYPE g gauge\ng NaN\ng +Inf\ng -Inf\ng 1\n");
    }

    proptest! {
        /// Scenario: any label value. Guarantee: the sample stays on one line and the value can be read back.
        #[test]
        fn any_label_value_survives(value in any::<String>()) {
            let mut page = Page::new();
            page.gauge("g", "h").add(&[("l", &value)], 1);
            let text = page.finish();
            let line = text.strip_prefix("# HELP g h\n# TYPE g gauge\n").unwrap().strip_suffix('\n').unwrap();
            prop_assert!(!line.contains('\n'));
            let inner = line.strip_prefix("g{l=\"").unwrap().strip_suffix("\"} 1").unwrap();
            let (mut read, mut chars) = (String::new(), inner.chars());
            while let Some(c) = chars.next() {
                read.push(match c {
                    '\\' => match chars.next().unwrap() { 'n' => '\n', c => c },
                    '"' => panic!("an unescaped quote"),
                    c => c,
                });
            }
            prop_assert_eq!(read, value);
        }
    }
}
