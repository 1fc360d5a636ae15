//! How values print: `%v`, and Printf.

use super::value::Val;
use super::{ExecError, MAX_OUTPUT};
use crate::go::time::Layout;
use crate::go::{number, quote};

/// The widest a verb may print.
const MAX_WIDTH: usize = 10_000;

/// As `%v` prints it.
pub fn show(value: &Val) -> String {
    match value {
        Val::Missing => "<no value>".to_owned(),
        Val::Nil => "<nil>".to_owned(),
        Val::Bool(value) => value.to_string(),
        Val::Int(value) => value.to_string(),
        Val::Float(value) => number::format_g(*value),
        Val::Text(text) => text.to_str_lossy().into_owned(),
        Val::List(values) => {
            let parts: Vec<String> = values.iter().map(nested).collect();
            format!("[{}]", parts.join(" "))
        }
        Val::Map(values) => {
            let parts: Vec<String> = values.iter().map(|(key, value)| format!("{key}:{}", nested(value))).collect();
            format!("map[{}]", parts.join(" "))
        }
        Val::Root => "map[]".to_owned(),
        Val::Time(at, zone) => Layout::new("2006-01-02 15:04:05.999999999 -0700 MST").format(*at, zone),
    }
}

fn nested(value: &Val) -> String {
    if value.is_nil() { "<nil>".to_owned() } else { show(value) }
}

/// The flags of a verb.
#[derive(Default)]
struct Flags {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: usize,
    precision: Option<usize>,
}

/// `fmt.Sprintf`.
pub fn sprintf(format: &str, args: &[Val]) -> Result<String, ExecError> {
    let (mut out, mut rest, mut next) = (String::new(), format, 0usize);
    let mut is_indexed = false;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let mut flags = Flags::default();
        while let Some(c) = rest.chars().next() {
            match c {
                '-' => flags.minus = true,
                '+' => flags.plus = true,
                '#' => flags.sharp = true,
                ' ' => flags.space = true,
                '0' => flags.zero = true,
                _ => break,
            }
            rest = &rest[1..];
        }
        indexed(&mut rest, &mut next, &mut is_indexed);
        flags.width = counted(&mut rest, args, &mut next)?.unwrap_or(0);
        if let Some(after) = rest.strip_prefix('.') {
            rest = after;
            indexed(&mut rest, &mut next, &mut is_indexed);
            flags.precision = Some(counted(&mut rest, args, &mut next)?.unwrap_or(0));
        }
        indexed(&mut rest, &mut next, &mut is_indexed);
        let Some(verb) = rest.chars().next() else {
            out.push_str("%!(NOVERB)");
            break;
        };
        rest = &rest[verb.len_utf8()..];
        if verb == '%' {
            out.push('%');
            continue;
        }
        match args.get(next) {
            Some(arg) => out.push_str(&one(verb, &flags, arg)),
            None => out.push_str(&format!("%!{verb}(MISSING)")),
        }
        next += 1;
        if out.len() > MAX_OUTPUT {
            return Err(ExecError("a value of the template is too large".to_owned()));
        }
    }
    out.push_str(rest);
    if let Some(extra) = args.get(next..).filter(|extra| !extra.is_empty() && !is_indexed) {
        let parts: Vec<String> = extra
            .iter()
            .map(|arg| if arg.is_nil() { "<nil>".to_owned() } else { format!("{}={}", arg.type_name(), show(arg)) })
            .collect();
        out.push_str(&format!("%!(EXTRA {})", parts.join(", ")));
    }
    Ok(out)
}

/// An explicit index, `[2]`: the argument that comes next, from 1.
fn indexed(rest: &mut &str, next: &mut usize, is_indexed: &mut bool) {
    let Some((number, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) else { return };
    if let Some(index) = number.parse::<usize>().ok().and_then(|n| n.checked_sub(1)) {
        (*rest, *next, *is_indexed) = (after, index, true);
    }
}

/// A width or precision: digits, or `*` for the next argument.
fn counted(rest: &mut &str, args: &[Val], next: &mut usize) -> Result<Option<usize>, ExecError> {
    let count = if let Some(after) = rest.strip_prefix('*') {
        *rest = after;
        let count = match args.get(*next) {
            Some(Val::Int(count)) => usize::try_from(*count).ok(),
            _ => None,
        };
        *next += 1;
        count
    } else {
        let len = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, after) = rest.split_at(len);
        *rest = after;
        if len == 0 { None } else { Some(digits.parse().unwrap_or(usize::MAX)) }
    };
    match count {
        Some(count) if count > MAX_WIDTH => Err(ExecError("printf is too wide".to_owned())),
        count => Ok(count),
    }
}

fn one(verb: char, flags: &Flags, arg: &Val) -> String {
    let bad = || match arg.is_nil() {
        true => format!("%!{verb}(<nil>)"),
        false => format!("%!{verb}({}={})", arg.type_name(), show(arg)),
    };
    let text = match (verb, arg) {
        ('T', arg) => arg.type_name().to_owned(),
        ('v', Val::Missing | Val::Nil) => "<nil>".to_owned(),
        ('v', Val::Text(text)) if flags.sharp => quote::quote(text),
        ('v', Val::Float(value)) => signed(number::format_g(*value), flags),
        ('v', arg) => show(arg),
        ('s', Val::Text(text)) => clip(&text.to_str_lossy(), flags),
        ('s', Val::List(values)) => {
            let parts: Vec<String> = values.iter().map(|value| one('s', &Flags::default(), value)).collect();
            format!("[{}]", parts.join(" "))
        }
        ('s', Val::Time(..)) => show(arg),
        ('q', Val::Text(text)) => quote::quote(clip(&text.to_str_lossy(), flags).as_bytes()),
        ('q' | 'c', Val::Int(value)) => {
            let c = u32::try_from(*value).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
            if verb == 'c' { c.to_string() } else { format!("'{c}'") }
        }
        ('x' | 'X', Val::Text(text)) => {
            let separator = if flags.space { " " } else { "" };
            let hex = text.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(separator);
            if verb == 'X' { hex.to_uppercase() } else { hex }
        }
        ('d' | 'b' | 'o' | 'x' | 'X' | 'U', Val::Int(value)) => integer(verb, *value, flags),
        ('e' | 'E' | 'f' | 'F' | 'g' | 'G', Val::Float(value)) => signed(float(verb, *value, flags), flags),
        ('t', Val::Bool(value)) => value.to_string(),
        (_, Val::List(values)) if !matches!(verb, 't' | 'c' | 'U' | 'T') => {
            let parts: Vec<String> = values.iter().map(|value| one(verb, flags, value)).collect();
            return format!("[{}]", parts.join(" "));
        }
        _ => return bad(),
    };
    pad(text, verb, flags)
}

fn clip(text: &str, flags: &Flags) -> String {
    match flags.precision {
        Some(max) => text.chars().take(max).collect(),
        None => text.to_owned(),
    }
}

fn signed(text: String, flags: &Flags) -> String {
    match text.starts_with(['-', '+']) {
        false if flags.plus => format!("+{text}"),
        false if flags.space => format!(" {text}"),
        _ => text,
    }
}

fn integer(verb: char, value: i64, flags: &Flags) -> String {
    let size = value.unsigned_abs();
    let digits = match verb {
        'b' => format!("{size:b}"),
        'o' => format!("{size:o}"),
        'x' => format!("{size:x}"),
        'X' => format!("{size:X}"),
        'U' => return format!("U+{size:04X}"),
        _ => size.to_string(),
    };
    let digits = format!("{digits:0>width$}", width = flags.precision.unwrap_or(0));
    let prefix = match (flags.sharp, verb) {
        (true, 'x') => "0x",
        (true, 'X') => "0X",
        (true, 'o') => "0",
        (true, 'b') => "0b",
        _ => "",
    };
    let sign = if value < 0 { "-" } else { "" };
    signed(format!("{sign}{prefix}{digits}"), flags)
}

fn float(verb: char, value: f64, flags: &Flags) -> String {
    if !value.is_finite() {
        return number::format_f(value);
    }
    let precision = flags.precision;
    let exponent = |text: String| match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) = exponent.strip_prefix('-').map_or(("+", exponent), |e| ("-", e));
            format!("{digits}e{sign}{exponent:0>2}")
        }
        None => text,
    };
    let text = match verb.to_ascii_lowercase() {
        'f' => format!("{value:.*}", precision.unwrap_or(6)),
        'e' => exponent(format!("{value:.*e}", precision.unwrap_or(6))),
        _ => match precision {
            None => number::format_g(value),
            Some(precision) => {
                let precision = precision.max(1);
                let scientific = format!("{value:.*e}", precision - 1);
                let power: i64 = scientific.split_once('e').and_then(|(_, e)| e.parse().ok()).unwrap_or(0);
                if power < -4 || power >= precision as i64 {
                    let (digits, power) = scientific.split_once('e').unwrap_or((&scientific, "0"));
                    let digits =
                        if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits };
                    exponent(format!("{digits}e{power}"))
                } else {
                    let places = (precision as i64 - 1 - power).max(0) as usize;
                    let plain = format!("{value:.places$}");
                    if plain.contains('.') {
                        plain.trim_end_matches('0').trim_end_matches('.').to_owned()
                    } else {
                        plain
                    }
                }
            }
        },
    };
    if verb.is_ascii_uppercase() { text.to_uppercase() } else { text }
}

fn pad(text: String, verb: char, flags: &Flags) -> String {
    let len = text.chars().count();
    if len >= flags.width {
        return text;
    }
    let fill = flags.width - len;
    if flags.minus {
        return text + &" ".repeat(fill);
    }
    // Zeros go between the sign and the digits; text takes them too.
    if flags.zero && !(flags.precision.is_some() && matches!(verb, 'd' | 'x' | 'X' | 'o' | 'b')) {
        let numeric = !matches!(verb, 's' | 'q' | 'v' | 'T' | 't');
        let (sign, digits) = match text.strip_prefix(['-', '+']).filter(|_| numeric) {
            Some(digits) => text.split_at(text.len() - digits.len()),
            None => ("", text.as_str()),
        };
        return format!("{sign}{}{digits}", "0".repeat(fill));
    }
    " ".repeat(fill) + &text
}
