//! Decimal arithmetic, so that `addf 0.1 0.2` is 0.3, as sprig's decimals make it.
//!
//! A float is taken for the shortest decimal that reads back as it. What does not fit in 128 bits is calculated in floats.

/// `digits · 10^-scale`
#[derive(Clone, Copy)]
struct Decimal {
    digits: i128,
    scale: u32,
}

/// Digits after the point of a quotient.
const DIVISION_SCALE: u32 = 16;

fn decimal(value: f64) -> Option<Decimal> {
    let text = value.is_finite().then(|| value.to_string())?;
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let scale = u32::try_from(fraction.len()).ok().filter(|scale| *scale < 30)?;
    Some(Decimal { digits: format!("{whole}{fraction}").parse().ok()?, scale })
}

fn float(value: Decimal) -> Option<f64> {
    let digits = value.digits.unsigned_abs().to_string();
    let scale = value.scale as usize;
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    let sign = if value.digits < 0 { "-" } else { "" };
    format!("{sign}{whole}.{fraction}0").parse().ok()
}

fn aligned(a: Decimal, b: Decimal) -> Option<(i128, i128, u32)> {
    let scale = a.scale.max(b.scale);
    let a = a.digits.checked_mul(10i128.checked_pow(scale - a.scale)?)?;
    let b = b.digits.checked_mul(10i128.checked_pow(scale - b.scale)?)?;
    Some((a, b, scale))
}

/// a + b
pub fn add(a: f64, b: f64) -> f64 {
    let exact = || {
        let (x, y, scale) = aligned(decimal(a)?, decimal(b)?)?;
        float(Decimal { digits: x.checked_add(y)?, scale })
    };
    exact().unwrap_or(a + b)
}

/// a - b
pub fn sub(a: f64, b: f64) -> f64 {
    add(a, -b)
}

/// a · b
pub fn mul(a: f64, b: f64) -> f64 {
    let exact = || {
        let (x, y) = (decimal(a)?, decimal(b)?);
        float(Decimal { digits: x.digits.checked_mul(y.digits)?, scale: x.scale + y.scale })
    };
    exact().unwrap_or(a * b)
}

/// a / b, rounded half away from zero at the sixteenth digit; `None` where b is zero.
pub fn div(a: f64, b: f64) -> Option<f64> {
    if b == 0.0 {
        return None;
    }
    let exact = || {
        let (x, y, _) = aligned(decimal(a)?, decimal(b)?)?;
        let scaled = x.checked_mul(10i128.checked_pow(DIVISION_SCALE + 1)?)?;
        let quotient = scaled / y;
        float(Decimal { digits: (quotient + 5 * quotient.signum()) / 10, scale: DIVISION_SCALE })
    };
    Some(exact().unwrap_or(a / b))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sums and products that floats get wrong are right.
    #[test]
    fn is_exact() {
        assert_eq!(add(0.1, 0.2), 0.3);
        assert_eq!(sub(0.3, 0.1), 0.2);
        assert_eq!(mul(1.1, 1.1), 1.21);
        assert_eq!(div(1.0, 4.0), Some(0.25));
        assert_eq!(div(10.0, 3.0), Some(3.3333333333333333));
        assert_eq!(div(1.0, 0.0), None);
        assert_eq!(add(1e300, 1.0), 1e300);
    }
}
