//! What metrics and labels are called on the page: OpenTelemetry's names as Prometheus wants them.
//!
//! The rules are those of Prometheus' own translator (otlptranslator 1.0.0), held against its output for all strategies in
//! `names.json`. Pure functions; a name that becomes nothing is no name.

use serde::Deserialize;

/// The collector's `translation_strategy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Strategy {
    /// Letters, digits, `_` and `:`; unit and `total` are appended.
    #[default]
    UnderscoreEscapingWithSuffixes,
    /// Letters, digits, `_` and `:`; nothing is appended.
    UnderscoreEscapingWithoutSuffixes,
    /// Any character; unit and `total` are appended.
    NoUTF8EscapingWithSuffixes,
    /// As it is.
    NoTranslation,
}

impl Strategy {
    fn has_suffixes(self) -> bool {
        matches!(self, Strategy::UnderscoreEscapingWithSuffixes | Strategy::NoUTF8EscapingWithSuffixes)
    }

    fn escapes(self) -> bool {
        matches!(self, Strategy::UnderscoreEscapingWithSuffixes | Strategy::UnderscoreEscapingWithoutSuffixes)
    }
}

/// What a name's suffix depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suffix {
    /// A gauge: the unit 1 makes it a ratio.
    Gauge,
    /// A counter: it ends with `total`.
    Counter,
    /// Anything else.
    Other,
}

/// The name of a metric. `None`: nothing is left of it.
#[must_use]
pub fn metric(name: &str, unit: &str, suffix: Suffix, namespace: &str, strategy: Strategy) -> Option<String> {
    let (main, per) = units(unit);
    let built = match (strategy.escapes(), strategy.has_suffixes()) {
        (true, true) => escaped(name, &clean(main), &clean(&per), unit, suffix, namespace),
        (true, false) => {
            let words = |text: &str| {
                let keep = |c: char| is_plain(c) || c == '_';
                text.split(|c| !keep(c)).filter(|word| !word.is_empty()).collect::<Vec<_>>().join("_")
            };
            match namespace {
                "" => digit_safe(words(name)),
                namespace => format!("{}_{}", words(namespace), words(name)),
            }
        }
        (false, with) => {
            let own = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}_{name}") };
            return Some(if with { appended(own, main, &per, unit, suffix) } else { own }).filter(|n| !n.is_empty());
        }
    };
    let is_nothing = built.is_empty() || (built != name && built.chars().all(|c| c == '_'));
    (!is_nothing).then_some(built)
}

fn escaped(name: &str, main: &str, per: &str, unit: &str, suffix: Suffix, namespace: &str) -> String {
    let mut words: Vec<&str> = name.split(|c| !is_plain(c)).filter(|word| !word.is_empty()).collect();
    let per = if per == "per_" { "" } else { per.strip_suffix('_').unwrap_or(per) };
    let per = if words.contains(&per) { "" } else { per };
    let main = if words.contains(&main) { "" } else { main };
    let main = if per.is_empty() { main } else { main.strip_suffix('_').unwrap_or(main) };
    words.extend([main, per].iter().filter(|word| !word.is_empty()));
    let last = match suffix {
        Suffix::Counter => Some("total"),
        Suffix::Gauge if unit == "1" => Some("ratio"),
        _ => None,
    };
    if let Some(last) = last {
        words.retain(|word| *word != last);
        words.push(last);
    }
    if !namespace.is_empty() {
        words.insert(0, namespace);
    }
    digit_safe(words.join("_"))
}

/// A name of any characters with its unit and kind.
fn appended(mut name: String, main: &str, per: &str, unit: &str, suffix: Suffix) -> String {
    let mut after = vec![];
    let mut trim = |name: &mut String, word: &str| {
        if name.ends_with(word) && name.len() > word.len() + 1 {
            let mut end = name.len() - word.len() - 1;
            // Whatever stands before the word goes with it.
            while !name.is_char_boundary(end) {
                end -= 1;
            }
            name.truncate(end);
        }
        after.push(word.to_owned());
    };
    match suffix {
        Suffix::Gauge if unit == "1" => trim(&mut name, "ratio"),
        Suffix::Counter => trim(&mut name, "total"),
        _ => {}
    }
    if !per.is_empty() {
        trim(&mut name, per);
    }
    if !main.is_empty() && !name.ends_with(main) {
        name = format!("{name}_{main}");
    }
    after.iter().rev().fold(name, |name, word| format!("{name}_{word}"))
}

/// The words of a unit: what is measured, and `per_` what.
fn units(unit: &str) -> (&str, String) {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let known = |text: &str| !text.is_empty() && !text.contains(['{', '}']);
    let (main, per) = (main.trim(), per.trim());
    let main = if known(main) { whole(main) } else { "" };
    let per = if known(per) { format!("per_{}", single(per)) } else { String::new() };
    (main, per)
}

fn whole(unit: &str) -> &str {
    match unit {
        "d" => "days",
        "h" => "hours",
        "min" => "minutes",
        "s" => "seconds",
        "ms" => "milliseconds",
        "us" => "microseconds",
        "ns" => "nanoseconds",
        "By" => "bytes",
        "KiBy" => "kibibytes",
        "MiBy" => "mebibytes",
        "GiBy" => "gibibytes",
        "TiBy" => "tibibytes",
        "KBy" => "kilobytes",
        "MBy" => "megabytes",
        "GBy" => "gigabytes",
        "TBy" => "terabytes",
        "m" => "meters",
        "V" => "volts",
        "A" => "amperes",
        "J" => "joules",
        "W" => "watts",
        "g" => "grams",
        "Cel" => "celsius",
        "Hz" => "hertz",
        "1" => "",
        "%" => "percent",
        other => other,
    }
}

fn single(unit: &str) -> &str {
    match unit {
        "s" => "second",
        "m" => "minute",
        "h" => "hour",
        "d" => "day",
        "w" => "week",
        "mo" => "month",
        "y" => "year",
        other => other,
    }
}

/// A unit as a part of a name.
fn clean(unit: &str) -> String {
    let mut out = String::with_capacity(unit.len());
    for c in unit.chars() {
        let c = if is_plain(c) { c } else { '_' };
        if c != '_' || !out.ends_with('_') {
            out.push(c);
        }
    }
    out.strip_prefix('_').map_or(out.clone(), str::to_owned)
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == ':'
}

fn digit_safe(name: String) -> String {
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

/// The name of a label. `None`: nothing is left of it.
#[must_use]
pub fn label(name: &str, strategy: Strategy) -> Option<String> {
    if name.chars().all(|c| c == '_') {
        return None;
    }
    if !strategy.escapes() {
        return Some(name.to_owned());
    }
    let own: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
    let own = if own.starts_with(|c: char| c.is_ascii_digit()) { format!("key_{own}") } else { own };
    (!own.chars().all(|c| c == '_')).then_some(own)
}

/// A name in letters, digits, `_` and `:`, for a scraper that takes no others.
#[must_use]
pub fn plain(name: &str) -> String {
    digit_safe(name.chars().map(|c| if is_plain(c) || c == '_' { c } else { '_' }).collect())
}

/// Whether every scraper takes it without quotes.
#[must_use]
pub fn is_plain_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(|c| is_plain(c) || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Case {
        name: String,
        unit: String,
        kind: String,
        namespace: String,
        /// By strategy; empty where the translator refuses.
        out: [String; 4],
    }

    const STRATEGIES: [Strategy; 4] = [
        Strategy::UnderscoreEscapingWithSuffixes,
        Strategy::UnderscoreEscapingWithoutSuffixes,
        Strategy::NoUTF8EscapingWithSuffixes,
        Strategy::NoTranslation,
    ];

    /// Scenario: names, units and kinds of every sort, by each strategy. Guarantee: the names are those of Prometheus' translator.
    #[test]
    fn names_are_prometheus_own() {
        let cases: Vec<Case> = serde_json::from_str(include_str!("names.json")).unwrap();
        for case in &cases {
            let suffix = match case.kind.as_str() {
                "gauge" => Suffix::Gauge,
                "counter" => Suffix::Counter,
                _ => Suffix::Other,
            };
            for (strategy, wanted) in STRATEGIES.into_iter().zip(&case.out) {
                let own = metric(&case.name, &case.unit, suffix, &case.namespace, strategy).unwrap_or_default();
                let what = format!("{:?} {:?} {} {:?} {strategy:?}", case.name, case.unit, case.kind, case.namespace);
                assert_eq!(own, *wanted, "{what}");
            }
        }
        assert!(cases.len() > 400);
    }

    /// Scenario: names of attributes. Guarantee: bad characters become `_`, one after the other; a digit in front gets `key_`.
    #[test]
    fn labels_are_made_legal() {
        let label = |name| label(name, Strategy::UnderscoreEscapingWithSuffixes);
        let pairs = [("http.method", "http_method"), ("9lives", "key_9lives"), ("a__b", "a__b"), ("é", "_")];
        for (name, wanted) in pairs {
            assert_eq!(label(name), (wanted != "_").then(|| wanted.to_owned()), "{name}");
        }
        assert_eq!((label(""), label("__")), (None, None));
    }
}
