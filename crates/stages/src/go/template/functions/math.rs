//! sprig's numbers: whole ones in 64 bits, others as decimals.

use super::{Args, MAX_ELEMENTS, group, text};
use crate::go::number;
use crate::go::template::ExecError;
use crate::go::template::decimal;
use crate::go::template::value::Val;

group! {
    "int" => |a| Ok(Val::Int(to_int(&a.exactly(1)?[0]))),
    "int64" => |a| Ok(Val::Int(to_int(&a.exactly(1)?[0]))),
    "float64" => |a| Ok(Val::Float(to_float(&a.exactly(1)?[0]))),
    "atoi" => |a| { a.exactly(1)?; Ok(Val::Int(number::parse_int(&a.str(0)?).unwrap_or(0))) },
    "toDecimal" => |a| {
        let shown = a.exactly(1)?[0].show();
        Ok(Val::Int(i64::from_str_radix(&shown, 8).unwrap_or(0)))
    },
    "add" => |a| Ok(Val::Int(a.all().iter().map(to_int).fold(0, i64::wrapping_add))),
    "add1" => |a| Ok(Val::Int(to_int(&a.exactly(1)?[0]).wrapping_add(1))),
    "sub" => |a| { let v = a.exactly(2)?; Ok(Val::Int(to_int(&v[0]).wrapping_sub(to_int(&v[1])))) },
    "mul" => |a| Ok(Val::Int(a.at_least(1)?.iter().map(to_int).fold(1, i64::wrapping_mul))),
    "div" => |a| { let v = a.exactly(2)?; divided(a, to_int(&v[0]).checked_div(to_int(&v[1]))) },
    "mod" => |a| { let v = a.exactly(2)?; divided(a, to_int(&v[0]).checked_rem(to_int(&v[1]))) },
    "max" => |a| Ok(Val::Int(a.at_least(1)?.iter().map(to_int).max().unwrap_or(0))),
    "biggest" => |a| Ok(Val::Int(a.at_least(1)?.iter().map(to_int).max().unwrap_or(0))),
    "min" => |a| Ok(Val::Int(a.at_least(1)?.iter().map(to_int).min().unwrap_or(0))),
    "addf" => |a| folded(a, |x, y| Some(decimal::add(x, y))),
    "add1f" => |a| Ok(Val::Float(decimal::add(to_float(&a.exactly(1)?[0]), 1.0))),
    "subf" => |a| folded(a, |x, y| Some(decimal::sub(x, y))),
    "mulf" => |a| folded(a, |x, y| Some(decimal::mul(x, y))),
    "divf" => |a| folded(a, decimal::div),
    "maxf" => |a| folded(a, |x, y| Some(x.max(y))),
    "minf" => |a| folded(a, |x, y| Some(x.min(y))),
    "ceil" => |a| Ok(Val::Float(to_float(&a.exactly(1)?[0]).ceil())),
    "floor" => |a| Ok(Val::Float(to_float(&a.exactly(1)?[0]).floor())),
    "round" => round,
    "until" => |a| { a.exactly(1)?; let stop = a.int(0)?; steps(a, 0, stop, if stop < 0 { -1 } else { 1 }) },
    "untilStep" => |a| { a.exactly(3)?; steps(a, a.int(0)?, a.int(1)?, a.int(2)?) },
    "seq" => seq,
}

/// A whole number out of anything; 0 where there is none. Text may have a base prefix, and decimals are cut off.
pub fn to_int(value: &Val) -> i64 {
    match value {
        Val::Bool(value) => i64::from(*value),
        Val::Int(value) => *value,
        Val::Float(value) => *value as i64,
        Val::Text(text) => {
            let Some(text) = text.as_str() else { return 0 };
            let whole = match text.split_once('.') {
                Some((whole, fraction)) if fraction.bytes().all(|b| b.is_ascii_digit()) => whole,
                _ => text,
            };
            number::parse_int_base0(whole).unwrap_or(0)
        }
        _ => 0,
    }
}

/// A number out of anything; 0 where there is none.
pub fn to_float(value: &Val) -> f64 {
    match value {
        Val::Float(value) => *value,
        Val::Text(text) => text.as_str().and_then(number::parse_float).unwrap_or(0.0),
        other => to_int(other) as f64,
    }
}

fn divided(a: &Args<'_>, result: Option<i64>) -> Result<Val, ExecError> {
    match result {
        Some(value) => Ok(Val::Int(value)),
        None => a.fail("integer divide by zero"),
    }
}

fn folded(a: &Args<'_>, combine: impl Fn(f64, f64) -> Option<f64>) -> Result<Val, ExecError> {
    let values = a.at_least(1)?;
    let mut result = to_float(&values[0]);
    for value in &values[1..] {
        match combine(result, to_float(value)) {
            Some(value) => result = value,
            None => return a.fail("decimal division by 0"),
        }
    }
    Ok(Val::Float(result))
}

/// `round value places [from]`: up from a fraction of `from`, which is a half unless given.
fn round(a: &Args<'_>) -> Result<Val, ExecError> {
    a.at_least(2)?;
    let (value, places) = (to_float(a.get(0)?), a.int(1)?.clamp(-300, 300) as i32);
    let from = a.all().get(2).map_or(0.5, to_float);
    let power = 10f64.powi(places);
    let digit = power * value;
    // A negative number has a negative fraction, and so goes down: sprig's way.
    let rounded = if digit % 1.0 >= from { digit.ceil() } else { digit.floor() };
    Ok(Val::Float(rounded / power))
}

fn count(a: &Args<'_>, start: i64, stop: i64, step: i64) -> Result<Vec<i64>, ExecError> {
    let mut values = Vec::new();
    let mut at = start;
    while step != 0 && ((step > 0 && at < stop) || (step < 0 && at > stop)) {
        a.bounded(values.len() + 1, MAX_ELEMENTS)?;
        values.push(at);
        at = at.saturating_add(step);
    }
    Ok(values)
}

fn steps(a: &Args<'_>, start: i64, stop: i64, step: i64) -> Result<Val, ExecError> {
    Ok(Val::list(count(a, start, stop, step)?.into_iter().map(Val::Int).collect()))
}

/// `seq [first [step]] last`, as text.
fn seq(a: &Args<'_>) -> Result<Val, ExecError> {
    let (first, step, last) = match a.len() {
        0 => return text(""),
        1 => (1, None, a.int(0)?),
        2 => (a.int(0)?, None, a.int(1)?),
        3 => (a.int(0)?, Some(a.int(1)?), a.int(2)?),
        _ => return text(""),
    };
    let towards = if last < first { -1 } else { 1 };
    let step = step.unwrap_or(towards);
    // A step away from the end makes nothing.
    if step.signum() != towards && step != 0 {
        return text("");
    }
    let values = count(a, first, last.saturating_add(towards), step)?;
    text(values.iter().map(i64::to_string).collect::<Vec<_>>().join(" "))
}
