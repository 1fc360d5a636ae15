//! Durations in Go's notation.

use serde::{Deserialize, Deserializer};
use std::time::Duration;

/// A duration such as `200ms` or `1m30s`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GoDuration(pub Duration);

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse(&text).map(GoDuration).ok_or_else(|| serde::de::Error::custom(format!("not a duration: {text:?}")))
    }
}

fn parse(mut text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut all = Duration::ZERO;
    while !text.is_empty() {
        let number = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let value: f64 = text[..number].parse().ok()?;
        text = &text[number..];
        let end = text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len());
        let unit = match &text[..end] {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        all += Duration::try_from_secs_f64(value * unit).ok()?;
        text = &text[end..];
    }
    Some(all)
}
