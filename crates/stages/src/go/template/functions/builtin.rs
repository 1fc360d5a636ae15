//! Go's own functions, and those that Loki adds.

use super::{Args, group, text};
use crate::go::quote;
use crate::go::template::ExecError;
use crate::go::template::format::sprintf;
use crate::go::template::value::Val;
use sha2::Digest;
use std::cmp::Ordering;

group! {
    "not" => |a| Ok(Val::Bool(!a.exactly(1)?[0].truth())),
    "eq" => eq,
    "ne" => |a| { a.exactly(2)?; Ok(Val::Bool(!equal(a, 0, 1)?)) },
    "lt" => |a| Ok(Val::Bool(order(a)? == Ordering::Less)),
    "le" => |a| Ok(Val::Bool(order(a)? != Ordering::Greater)),
    "gt" => |a| Ok(Val::Bool(order(a)? == Ordering::Greater)),
    "ge" => |a| Ok(Val::Bool(order(a)? != Ordering::Less)),
    "index" => index,
    "len" => len,
    "print" => |a| text(print(a.all())),
    "println" => |a| {
        let parts: Vec<String> = a.all().iter().map(shown).collect();
        text(parts.join(" ") + "\n")
    },
    "printf" => |a| { a.at_least(1)?; text(sprintf(&a.str(0)?, &a.all()[1..])?) },
    "html" => |a| text(html(&print(a.all()))),
    "js" => |a| text(js(&print(a.all()))),
    "urlquery" => |a| text(urlquery(print(a.all()).as_bytes())),
    "call" => |a| a.fail("there is nothing to call"),
    "ToLower" => super::text::lower,
    "ToUpper" => super::text::upper,
    "Replace" => |a| {
        a.exactly(4)?;
        let (s, old, new, n) = (a.str(0)?, a.str(1)?, a.str(2)?, a.int(3)?);
        super::text::replace(a, &s, &old, &new, usize::try_from(n).unwrap_or(usize::MAX))
    },
    "Trim" => |a| { a.exactly(2)?; let set = a.str(1)?; text(a.str(0)?.trim_matches(|c| set.contains(c))) },
    "TrimLeft" => |a| { a.exactly(2)?; let set = a.str(1)?; text(a.str(0)?.trim_start_matches(|c| set.contains(c))) },
    "TrimRight" => |a| { a.exactly(2)?; let set = a.str(1)?; text(a.str(0)?.trim_end_matches(|c| set.contains(c))) },
    "TrimPrefix" => |a| { a.exactly(2)?; let (s, x) = (a.str(0)?, a.str(1)?); text(s.strip_prefix(&*x).unwrap_or(&s)) },
    "TrimSuffix" => |a| { a.exactly(2)?; let (s, x) = (a.str(0)?, a.str(1)?); text(s.strip_suffix(&*x).unwrap_or(&s)) },
    "TrimSpace" => |a| { a.exactly(1)?; text(a.str(0)?.trim()) },
    "Hash" => |a| { a.exactly(2)?; text(hex(&sha3::Sha3_256::digest(salted(a)?))) },
    "Sha2Hash" => |a| { a.exactly(2)?; text(hex(&sha2::Sha256::digest(salted(a)?))) },
}

fn salted(a: &Args<'_>) -> Result<Vec<u8>, ExecError> {
    Ok([a.text(0)?.as_bytes(), a.text(1)?.as_bytes()].concat())
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn eq(a: &Args<'_>) -> Result<Val, ExecError> {
    a.at_least(2)?;
    for i in 1..a.len() {
        if equal(a, 0, i)? {
            return Ok(Val::Bool(true));
        }
    }
    Ok(Val::Bool(false))
}

fn equal(a: &Args<'_>, i: usize, j: usize) -> Result<bool, ExecError> {
    match (a.get(i)?, a.get(j)?) {
        (x, y) if x.is_nil() || y.is_nil() => Ok(x.is_nil() && y.is_nil()),
        (Val::List(_) | Val::Map(_) | Val::Root, _) | (_, Val::List(_) | Val::Map(_) | Val::Root) => {
            a.fail("non-comparable types")
        }
        (x, y) => match x.compare(y) {
            Some(order) => Ok(order == Ordering::Equal),
            None => a.fail("incompatible types for comparison"),
        },
    }
}

fn order(a: &Args<'_>) -> Result<Ordering, ExecError> {
    let args = a.exactly(2)?;
    if args.iter().any(|arg| matches!(arg, Val::Bool(_) | Val::Time(..))) {
        return a.fail("invalid type for comparison");
    }
    match args[0].compare(&args[1]) {
        Some(order) => Ok(order),
        None => a.fail("incompatible types for comparison"),
    }
}

fn index(a: &Args<'_>) -> Result<Val, ExecError> {
    let mut value = a.at_least(1)?[0].clone();
    for i in 1..a.len() {
        value = match &value {
            Val::List(values) => {
                let at = a.int(i)?;
                match usize::try_from(at).ok().and_then(|at| values.get(at)) {
                    Some(value) => value.clone(),
                    None => return a.fail(format!("index out of range: {at}")),
                }
            }
            Val::Text(text) => {
                let at = a.int(i)?;
                match usize::try_from(at).ok().and_then(|at| text.get(at).copied()) {
                    Some(byte) => Val::Int(byte.into()),
                    None => return a.fail(format!("index out of range: {at}")),
                }
            }
            // A key that is not there has the zero value, which is nil.
            Val::Map(values) => values.get(a.text(i)?).cloned().unwrap_or(Val::Missing),
            other => return a.fail(format!("can't index item of type {}", other.type_name())),
        };
    }
    Ok(value)
}

fn len(a: &Args<'_>) -> Result<Val, ExecError> {
    Ok(Val::Int(match &a.exactly(1)?[0] {
        Val::Text(text) => text.len(),
        Val::List(values) => values.len(),
        Val::Map(values) => values.len(),
        other => return a.fail(format!("len of type {}", other.type_name())),
    } as i64))
}

fn shown(value: &Val) -> String {
    if value.is_nil() { "<nil>".to_owned() } else { value.show() }
}

/// `fmt.Sprint`: a space between two values of which neither is text.
fn print(args: &[Val]) -> String {
    let mut out = String::new();
    for (i, arg) in args.iter().enumerate() {
        let both = i > 0 && !matches!(arg, Val::Text(_)) && !matches!(args[i - 1], Val::Text(_));
        if both {
            out.push(' ');
        }
        out.push_str(&shown(arg));
    }
    out
}

fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => out.push('\u{fffd}'),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out
}

fn js(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' | '>' | '&' | '=' | '\0'..='\x1f' => out.push_str(&format!("\\u{:04X}", c as u32)),
            c if quote::quote(c.to_string().as_bytes()).starts_with("\"\\") => {
                out.push_str(&format!("\\u{:04X}", c as u32));
            }
            c => out.push(c),
        }
    }
    out
}

/// A text as a part of a URL's query.
pub fn urlquery(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b' ' => out.push('+'),
            b'-' | b'_' | b'.' | b'~' => out.push(byte as char),
            b if b.is_ascii_alphanumeric() => out.push(b as char),
            b => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}
