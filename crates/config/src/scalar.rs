//! What a scalar is: text, boolean, number, or nothing.
//!
//! The rules are those of Go's yaml.v3, which the OpenTelemetry Collector reads its configuration with: YAML 1.2's core
//! schema, numbers in Go's notation (`0x1f`, `0o17`, `0b11`, `017`, `1_000`), and `yes`/`no`/`on`/`off` are text.
//! Timestamps stay text.
//!
//! Invariant: pure; the source text is kept beside the meaning, because a string field takes the text as written
//! (`"0123"` and `1_000` included). It does NOT handle quoting: only plain scalars come here.

/// What the text of a scalar means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Text.
    Str,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number that fits 64 bits with a sign.
    Int(i64),
    /// A whole number above that.
    Uint(u64),
    /// Any other number.
    Float(f64),
}

/// A scalar: its text, and what it means.
#[derive(Clone, Debug, PartialEq)]
pub struct Scalar {
    /// The text after YAML's own unescaping.
    pub text: String,
    /// What it means.
    pub kind: Kind,
}

impl Scalar {
    /// A scalar that is text, whatever it looks like.
    pub fn text(text: impl Into<String>) -> Self {
        Scalar { text: text.into(), kind: Kind::Str }
    }
}

/// The meaning of a plain (unquoted) scalar; none for null.
pub fn resolve(text: &str) -> Option<Kind> {
    Some(match text {
        "" | "~" | "null" | "Null" | "NULL" => return None,
        "true" | "True" | "TRUE" => Kind::Bool(true),
        "false" | "False" | "FALSE" => Kind::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Kind::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Kind::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => Kind::Float(f64::NAN),
        _ => number(text).unwrap_or(Kind::Str),
    })
}

fn number(text: &str) -> Option<Kind> {
    let first = text.as_bytes().first()?;
    if !(first.is_ascii_digit() || matches!(first, b'+' | b'-' | b'.')) {
        return None;
    }
    let plain = text.replace('_', "");
    let (negative, digits) = match plain.as_bytes().first()? {
        b'-' => (true, &plain[1..]),
        b'+' => (false, &plain[1..]),
        _ => (false, plain.as_str()),
    };
    whole(negative, digits).or_else(|| decimal(&plain, digits))
}

fn whole(negative: bool, digits: &str) -> Option<Kind> {
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = if let Some(hex) = lower.strip_prefix("0x") {
        (16, hex)
    } else if let Some(octal) = lower.strip_prefix("0o") {
        (8, octal)
    } else if let Some(binary) = lower.strip_prefix("0b") {
        (2, binary)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..])
    } else {
        (10, lower.as_str())
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let value = i128::from(u64::from_str_radix(digits, radix).ok()?) * if negative { -1 } else { 1 };
    i64::try_from(value).map(Kind::Int).or_else(|_| u64::try_from(value).map(Kind::Uint)).ok()
}

/// `1`, `1.`, `.5`, `1.5`, each with an exponent if so wished; `unsigned` is `plain` without its sign.
fn decimal(plain: &str, unsigned: &str) -> Option<Kind> {
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let mantissa_ok = match mantissa.split_once('.') {
        Some(("", fraction)) => digits(fraction),
        Some((int, fraction)) => digits(int) && (fraction.is_empty() || digits(fraction)),
        None => digits(mantissa),
    };
    let exponent_ok = exponent.is_none_or(|e| digits(e.strip_prefix(['+', '-']).unwrap_or(e)));
    if !mantissa_ok || !exponent_ok {
        return None;
    }
    plain.parse().ok().map(Kind::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plain scalars mean what Go's yaml.v3 takes them for.
    #[test]
    fn plain_scalars_are_typed_as_by_go() {
        use Kind::*;
        for (text, expected) in [
            ("", None),
            ("~", None),
            ("null", None),
            ("nUll", Some(Str)),
            ("true", Some(Bool(true))),
            ("FALSE", Some(Bool(false))),
            ("yes", Some(Str)),
            ("on", Some(Str)),
            ("5", Some(Int(5))),
            ("-5", Some(Int(-5))),
            ("+5", Some(Int(5))),
            ("1_000", Some(Int(1000))),
            ("0x1F", Some(Int(31))),
            ("0o17", Some(Int(15))),
            ("017", Some(Int(15))),
            ("0b11", Some(Int(3))),
            ("-0b11", Some(Int(-3))),
            ("08", Some(Float(8.0))),
            ("18446744073709551615", Some(Uint(u64::MAX))),
            ("18446744073709551616", Some(Float(18446744073709551616.0))),
            ("-9223372036854775808", Some(Int(i64::MIN))),
            ("1.5", Some(Float(1.5))),
            (".5", Some(Float(0.5))),
            ("1.", Some(Float(1.0))),
            ("1e3", Some(Float(1000.0))),
            ("1e+3", Some(Float(1000.0))),
            ("-.inf", Some(Float(f64::NEG_INFINITY))),
            ("inf", Some(Str)),
            ("1e", Some(Str)),
            (".", Some(Str)),
            ("-", Some(Str)),
            ("1.2.3", Some(Str)),
            ("200ms", Some(Str)),
            ("2024-01-01", Some(Str)),
            ("0x", Some(Str)),
            ("--5", Some(Str)),
        ] {
            assert_eq!(resolve(text), expected, "{text}");
        }
    }
}
