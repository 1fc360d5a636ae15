//! Numbers as Go's strconv reads and writes them.
//!
//! Used by: the extracted map (`FormatFloat(f, 'f', -1, 64)`), metrics values and sprig (`ParseFloat`, `ParseInt` with base 0),
//! and JSON that is written back (`%g`-like, as json-iterator does).

/// A float with the fewest digits that read back the same, never with an exponent: `FormatFloat(f, 'f', -1, 64)`.
pub fn format_f(number: f64) -> String {
    if number.is_nan() {
        "NaN".to_owned()
    } else if number.is_infinite() {
        if number > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() }
    } else if number.fract() == 0.0 && number.abs() < 1e15 && (number != 0.0 || number.is_sign_positive()) {
        // Most numbers are whole, and integers print faster.
        (number as i64).to_string()
    } else {
        number.to_string()
    }
}

/// A float as Go's `%v` and Prometheus print it: `%g` with the shortest digits, an exponent below 1e-4 and from 1e6 on.
pub fn format_g(number: f64) -> String {
    format_exponent(number, 1e-4, 1e6)
}

/// A float as json-iterator writes it inside re-serialised JSON: an exponent below 1e-6 and from 1e21 on, of two digits.
pub fn format_json(number: f64) -> String {
    format_exponent(number, 1e-6, 1e21)
}

/// Whether this is a whole number, without exponent, whose digits a float would not give back: 2^53 + 1, but not 2^53.
pub fn is_beyond_float(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    digits.len() > 15
        && digits.iter().all(u8::is_ascii_digit)
        && std::str::from_utf8(text).is_ok_and(|text| text.parse().is_ok_and(|float| format_f(float) != text))
}

fn format_exponent(number: f64, low: f64, high: f64) -> String {
    let size = number.abs();
    if size == 0.0 || !number.is_finite() || (size >= low && size < high) {
        return format_f(number);
    }
    // Rust writes `1e-7`; Go writes at least two digits of exponent, and its sign.
    let text = format!("{number:e}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) = exponent.strip_prefix('-').map_or(("+", exponent), |e| ("-", e));
            format!("{digits}e{sign}{exponent:0>2}")
        }
        None => text,
    }
}

/// `strconv.ParseFloat(s, 64)`: decimal and hexadecimal floats, `inf`, `infinity` and `nan` in any case, underscores only in
/// hexadecimal with base prefix (never accepted here). Values out of range fail.
pub fn parse_float(text: &str) -> Option<f64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let lower = digits.to_ascii_lowercase();
    match lower.as_str() {
        "inf" | "infinity" => return Some(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY }),
        // Go accepts no sign before nan.
        "nan" => return (digits.len() == text.len()).then_some(f64::NAN),
        _ => {}
    }
    if let Some(hex) = lower.strip_prefix("0x") {
        let value = parse_hex_float(hex)?;
        return Some(if text.starts_with('-') { -value } else { value });
    }
    if !lower.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'+' | b'-')) {
        return None;
    }
    text.parse::<f64>().ok().filter(|value| value.is_finite())
}

/// `1.8p3`: hexadecimal digits, then a binary exponent, which is required.
fn parse_hex_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once('p')?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || digits.len() > 16 {
        return None;
    }
    let value = u64::from_str_radix(&digits, 16).ok()? as f64;
    let exponent = exponent.parse::<i32>().ok()?.checked_sub(4 * fraction.len() as i32)?;
    Some(value * 2f64.powi(exponent)).filter(|value| value.is_finite())
}

/// `strconv.ParseInt(s, 0, 64)`: a sign, the prefixes `0x`, `0o`, `0b` and `0`, and underscores between digits.
pub fn parse_int_base0(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, body) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    let prefixed = body.len() < lower.len();
    if body.is_empty() || body.ends_with('_') || body.contains("__") || (body.starts_with('_') && !prefixed) {
        return None;
    }
    let body: String = body.chars().filter(|&c| c != '_').collect();
    if !body.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let value = i128::from(u64::from_str_radix(&body, base).ok()?);
    i64::try_from(if negative { -value } else { value }).ok()
}

/// `strconv.ParseInt(s, 10, 64)`: a sign and digits.
pub fn parse_int(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Floats print as Go prints them, at the edges of each form.
    #[test]
    fn prints_like_go() {
        for (number, plain, g, json) in [
            (1.0, "1", "1", "1"),
            (-0.0, "-0", "-0", "-0"),
            (1e21, "1000000000000000000000", "1e+21", "1e+21"),
            (1e20, "100000000000000000000", "1e+20", "100000000000000000000"),
            (999_999.0, "999999", "999999", "999999"),
            (1_234_567.5, "1234567.5", "1.2345675e+06", "1234567.5"),
            (0.0001, "0.0001", "0.0001", "0.0001"),
            (1e-7, "0.0000001", "1e-07", "1e-07"),
            (0.000001, "0.000001", "1e-06", "0.000001"),
            (2.57, "2.57", "2.57", "2.57"),
        ] {
            assert_eq!(format_f(number), plain);
            assert_eq!(format_g(number), g);
            assert_eq!(format_json(number), json);
        }
        assert_eq!(format_f(f64::INFINITY), "+Inf");
    }

    /// Scenario: whole numbers round the edges of what a float holds. Guarantee: those whose digits it would change are told apart.
    #[test]
    fn digits_that_a_float_would_change_are_known() {
        for exact in
            ["0", "-1", "999999999999999", "9007199254740992", "-9007199254740992", "1e30", "1234567890123456.5"]
        {
            assert!(!is_beyond_float(exact.as_bytes()), "{exact}");
        }
        for beyond in ["9007199254740993", "-9007199254740993", "1152921504606846977", "18446744073709551615"] {
            assert!(is_beyond_float(beyond.as_bytes()), "{beyond}");
        }
    }

    /// Numbers read as Go reads them, and what Go refuses is refused.
    #[test]
    fn reads_like_go() {
        assert_eq!(parse_float("1e3"), Some(1000.0));
        assert_eq!(parse_float("-Inf"), Some(f64::NEG_INFINITY));
        assert!(parse_float("NaN").unwrap().is_nan());
        assert_eq!(parse_float("0x1p4"), Some(16.0));
        for bad in ["", " 1", "1 ", "1e999", "1_000", "0x1", "+nan", "1f"] {
            assert_eq!(parse_float(bad), None, "{bad}");
        }
        assert_eq!(parse_int_base0("0x1f"), Some(31));
        assert_eq!(parse_int_base0("-017"), Some(-15));
        assert_eq!(parse_int_base0("1_000"), Some(1000));
        assert_eq!(parse_int_base0("0"), Some(0));
        for bad in ["", "08", "1.9", "0x", "_1", "1__0", "9223372036854775808"] {
            assert_eq!(parse_int_base0(bad), None, "{bad}");
        }
        assert_eq!(parse_int("+5"), Some(5));
        assert_eq!(parse_int("5 "), None);
    }
}
