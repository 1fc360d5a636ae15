//! sprig's functions on text. Widths and lengths are bytes, as in sprig; what is cut has no half character at its end, unlike there.

use super::{Args, MAX_OUTPUT, group, strings, strval, text};
use crate::go::template::ExecError;
use crate::go::template::value::Val;
use crate::go::{quote, unicode};
use crate::text::{Text, ceil_boundary, floor_boundary};

group! {
    "hello" => |_| text("Hello!"),
    "upper" => upper,
    "lower" => lower,
    "title" => |a| { a.exactly(1)?; text(title(&a.str(0)?)) },
    "untitle" => |a| { a.exactly(1)?; text(words(&a.str(0)?, unicode::lower_char)) },
    "trim" => |a| { a.exactly(1)?; text(a.str(0)?.trim()) },
    "trimAll" => |a| { a.exactly(2)?; let set = a.str(0)?; text(a.str(1)?.trim_matches(|c| set.contains(c))) },
    "trimall" => |a| { a.exactly(2)?; let set = a.str(0)?; text(a.str(1)?.trim_matches(|c| set.contains(c))) },
    "trimPrefix" => |a| { a.exactly(2)?; let (x, s) = (a.str(0)?, a.str(1)?); text(s.strip_prefix(&*x).unwrap_or(&s)) },
    "trimSuffix" => |a| { a.exactly(2)?; let (x, s) = (a.str(0)?, a.str(1)?); text(s.strip_suffix(&*x).unwrap_or(&s)) },
    "nospace" => |a| { a.exactly(1)?; text(a.str(0)?.chars().filter(|c| !c.is_whitespace()).collect::<String>()) },
    "contains" => |a| { a.exactly(2)?; Ok(Val::Bool(a.str(1)?.contains(&*a.str(0)?))) },
    "hasPrefix" => |a| { a.exactly(2)?; Ok(Val::Bool(a.text(1)?.starts_with(a.text(0)?))) },
    "hasSuffix" => |a| { a.exactly(2)?; Ok(Val::Bool(a.text(1)?.ends_with(a.text(0)?))) },
    "replace" => |a| { a.exactly(3)?; replace(a, &a.str(2)?, &a.str(0)?, &a.str(1)?, usize::MAX) },
    "repeat" => repeat,
    "trunc" => trunc,
    "substr" => substr,
    "abbrev" => |a| { a.exactly(2)?; text(abbreviate(a.text(1)?, 0, a.int(0)?)) },
    "abbrevboth" => abbrevboth,
    "initials" => |a| { a.exactly(1)?; text(a.str(0)?.split_whitespace().filter_map(|w| w.chars().next()).collect::<String>()) },
    "swapcase" => |a| { a.exactly(1)?; text(swapcase(&a.str(0)?)) },
    "snakecase" => |a| { a.exactly(1)?; text(separated(&a.str(0)?, '_')) },
    "kebabcase" => |a| { a.exactly(1)?; text(separated(&a.str(0)?, '-')) },
    "camelcase" => |a| { a.exactly(1)?; text(camelcase(&a.str(0)?)) },
    "wrap" => |a| { a.exactly(2)?; wrap(a, 0, "\n", 1, false) },
    "wrapWith" => |a| { a.exactly(3)?; let with = a.str(1)?; wrap(a, 0, &with, 2, true) },
    "indent" => |a| { a.exactly(2)?; text(indent(a)?) },
    "nindent" => |a| { a.exactly(2)?; text(format!("\n{}", indent(a)?)) },
    "plural" => |a| { a.exactly(3)?; Ok(Val::Text(a.text(usize::from(a.int(2)? != 1))?.clone())) },
    "quote" => |a| {
        let quoted = a.all().iter().filter(|v| !v.is_nil()).map(|v| quote::quote(&strval(v)));
        text(quoted.collect::<Vec<_>>().join(" "))
    },
    "squote" => |a| {
        let quoted = a.all().iter().filter(|v| !v.is_nil()).map(|v| format!("'{}'", strval(v)));
        text(quoted.collect::<Vec<_>>().join(" "))
    },
    "cat" => |a| {
        let parts: Vec<String> = a.all().iter().filter(|v| !v.is_nil()).map(|v| strval(v).to_string()).collect();
        text(parts.join(" "))
    },
    "toString" => |a| Ok(Val::Text(strval(&a.exactly(1)?[0]))),
    "toStrings" => |a| Ok(super::texts(strings(&a.exactly(1)?[0]))),
    "join" => |a| {
        a.exactly(2)?;
        let parts: Vec<String> = strings(a.get(1)?).iter().map(Text::to_string).collect();
        text(parts.join(&a.str(0)?))
    },
    "sortAlpha" => |a| {
        let mut parts = strings(&a.exactly(1)?[0]);
        parts.sort();
        Ok(super::texts(parts))
    },
    "splitList" => |a| {
        a.exactly(2)?;
        Ok(super::texts(split(&a.str(1)?, &a.str(0)?, usize::MAX)))
    },
    "split" => |a| { a.exactly(2)?; Ok(numbered(split(&a.str(1)?, &a.str(0)?, usize::MAX))) },
    "splitn" => |a| {
        a.exactly(3)?;
        let limit = usize::try_from(a.int(1)?).unwrap_or(usize::MAX);
        Ok(numbered(if limit == 0 { Vec::new() } else { split(&a.str(2)?, &a.str(0)?, limit) }))
    },
    "fail" => |a| { a.exactly(1)?; a.fail(a.str(0)?) },
}

/// Upper case; ASCII, which most text is, needs no tables.
pub fn upper(a: &Args<'_>) -> Result<Val, ExecError> {
    a.exactly(1)?;
    let s = a.text(0)?;
    if s.is_ascii() { text(s.to_ascii_uppercase()) } else { text(unicode::upper(&s.to_str_lossy())) }
}

/// Lower case.
pub fn lower(a: &Args<'_>) -> Result<Val, ExecError> {
    a.exactly(1)?;
    let s = a.text(0)?;
    if s.is_ascii() { text(s.to_ascii_lowercase()) } else { text(unicode::lower(&s.to_str_lossy())) }
}

/// Go's `strings.SplitN`: an empty separator cuts into characters.
fn split(text: &str, separator: &str, limit: usize) -> Vec<Text> {
    if !separator.is_empty() {
        return text.splitn(limit, separator).map(Text::from).collect();
    }
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if parts.len() + 1 == limit {
            break;
        }
        parts.push(rest[..c.len_utf8()].into());
        rest = &rest[c.len_utf8()..];
    }
    if !rest.is_empty() {
        parts.push(rest.into());
    }
    parts
}

/// Parts as a map of `_0`, `_1` and so on.
fn numbered(parts: Vec<Text>) -> Val {
    let named = parts.into_iter().enumerate().map(|(i, part)| (Text::from(format!("_{i}")), Val::Text(part)));
    Val::Map(std::rc::Rc::new(named.collect()))
}

/// Replaces up to `limit` times; the result is bounded.
pub fn replace(a: &Args<'_>, s: &str, old: &str, new: &str, limit: usize) -> Result<Val, ExecError> {
    let found = if old.is_empty() { s.chars().count() + 1 } else { s.matches(old).count() };
    a.bounded(s.len() + found.min(limit).saturating_mul(new.len()), MAX_OUTPUT)?;
    text(if limit == usize::MAX { s.replace(old, new) } else { s.replacen(old, new, limit) })
}

fn repeat(a: &Args<'_>) -> Result<Val, ExecError> {
    a.exactly(2)?;
    let s = a.text(1)?;
    let Ok(count) = usize::try_from(a.int(0)?) else { return a.fail("negative repeat count") };
    a.bounded(count.saturating_mul(s.len()), MAX_OUTPUT)?;
    text(s.repeat(count))
}

fn trunc(a: &Args<'_>) -> Result<Val, ExecError> {
    a.exactly(2)?;
    let (count, s) = (a.int(0)?, a.text(1)?);
    let size = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    Ok(Val::Text(match count {
        ..0 if size < s.len() => s.slice(ceil_boundary(s, s.len() - size), s.len()),
        0.. if size < s.len() => s.slice(0, floor_boundary(s, size)),
        _ => s.clone(),
    }))
}

fn substr(a: &Args<'_>) -> Result<Val, ExecError> {
    a.exactly(3)?;
    let (start, end, s) = (a.int(0)?, a.int(1)?, a.text(2)?);
    let end = usize::try_from(end).ok().filter(|end| *end <= s.len());
    let (start, end) = match (usize::try_from(start), end) {
        (Err(_), Some(end)) => (0, end),
        (Err(_), None) => return a.fail("slice bounds out of range"),
        (Ok(start), end) => (start, end.unwrap_or(s.len())),
    };
    if start > end {
        return a.fail("slice bounds out of range");
    }
    let (start, end) = (ceil_boundary(s, start), floor_boundary(s, end));
    Ok(Val::Text(s.slice(start.min(end), end)))
}

/// Shortens with `...` to a width; from `offset` on where that is beyond the start. No half characters are left.
fn abbreviate(s: &[u8], offset: usize, width: i64) -> Vec<u8> {
    let Some(width) = usize::try_from(width).ok().filter(|width| *width >= 4 && s.len() > *width) else {
        return s.to_vec();
    };
    let offset = if s.len() - offset.min(s.len()) < width - 3 { s.len() - (width - 3) } else { offset.min(s.len()) };
    if offset <= 4 {
        return [&s[..floor_boundary(s, width - 3)], b"..."].concat();
    }
    if width < 7 {
        return Vec::new();
    }
    if offset + width - 3 < s.len() {
        return [b"...", abbreviate(&s[ceil_boundary(s, offset)..], 0, width as i64 - 3).as_slice()].concat();
    }
    [b"...", &s[ceil_boundary(s, s.len() - (width - 3))..]].concat()
}

fn abbrevboth(a: &Args<'_>) -> Result<Val, ExecError> {
    a.exactly(3)?;
    let (left, right, s) = (a.int(0)?, a.int(1)?, a.text(2)?);
    if right < 4 || (left > 0 && right < 7) {
        return Ok(Val::Text(s.clone()));
    }
    text(abbreviate(s, usize::try_from(left).unwrap_or(0), right))
}

/// Changes the first letter of each word.
fn words(s: &str, change: impl Fn(char) -> char) -> String {
    let (mut out, mut start) = (String::with_capacity(s.len()), true);
    for c in s.chars() {
        if start && !c.is_whitespace() {
            out.push(change(c));
        } else {
            out.push(c);
        }
        start = c.is_whitespace();
    }
    out
}

/// Go's `strings.Title`: a word begins after anything but letters, digits and `_`.
fn title(s: &str) -> String {
    let (mut out, mut previous) = (String::with_capacity(s.len()), ' ');
    for c in s.chars() {
        out.push(if unicode::ends_word(previous) { unicode::upper_char(c) } else { c });
        previous = c;
    }
    out
}

fn swapcase(s: &str) -> String {
    let swap = |c: char| if c.is_uppercase() { unicode::lower_char(c) } else { unicode::upper_char(c) };
    s.chars().map(swap).collect()
}

/// Words of an identifier with a separator between them: `HTTPServer` is `http_server`.
fn separated(s: &str, separator: char) -> String {
    let chars: Vec<char> = s.chars().collect();
    let mut out = String::with_capacity(s.len() + 4);
    for (i, &c) in chars.iter().enumerate() {
        if matches!(c, '_' | '-' | ' ') {
            if !out.is_empty() && !out.ends_with(separator) || matches!(c, '_' | '-') && out.is_empty() {
                out.push(separator);
            }
            continue;
        }
        let before = i.checked_sub(1).and_then(|i| chars.get(i)).copied().unwrap_or('_');
        let after = chars.get(i + 1).copied().unwrap_or('_');
        let boundary = (c.is_uppercase() && (before.is_lowercase() || before.is_numeric()))
            || (c.is_uppercase() && before.is_uppercase() && after.is_lowercase())
            || (c.is_numeric() && before.is_uppercase() && i > 1 && chars[i - 2].is_uppercase());
        if boundary && !out.is_empty() && !out.ends_with(separator) {
            out.push(separator);
        }
        out.push(unicode::lower_char(c));
    }
    out
}

/// `http_server` is `HttpServer`.
fn camelcase(s: &str) -> String {
    let leading = s.chars().take_while(|c| matches!(c, '_' | '-' | ' ')).count();
    let mut out: String = s.chars().take(leading).collect();
    let mut start = true;
    for c in s.chars().skip(leading) {
        if matches!(c, '_' | '-' | ' ') {
            start = true;
        } else if start {
            out.push(unicode::upper_char(c));
            start = false;
        } else {
            out.push(c);
        }
    }
    out
}

/// Breaks lines between words, so that they are at most so wide; longer words too if `long` says so.
fn wrap(a: &Args<'_>, width: usize, with: &str, at: usize, long: bool) -> Result<Val, ExecError> {
    let width = usize::try_from(a.int(width)?).unwrap_or(0).max(1);
    let s = a.str(at)?;
    a.bounded(s.len().saturating_add((s.len() / width + 1).saturating_mul(with.len())), 2 * MAX_OUTPUT)?;
    let (mut out, mut rest) = (String::with_capacity(s.len() + 16), &*s);
    while rest.len() > width {
        let Some(stripped) = rest.strip_prefix(' ') else {
            let limit = rest.floor_char_boundary(width + 1).min(rest.len());
            match rest[..limit].rfind(' ') {
                Some(space) => {
                    out.push_str(&rest[..space]);
                    out.push_str(with);
                    rest = &rest[space + 1..];
                }
                None if long => {
                    let cut = rest.floor_char_boundary(width).max(rest.chars().next().map_or(1, char::len_utf8));
                    out.push_str(&rest[..cut]);
                    out.push_str(with);
                    rest = &rest[cut..];
                }
                None => match rest[limit..].find(' ') {
                    Some(space) => {
                        out.push_str(&rest[..limit + space]);
                        out.push_str(with);
                        rest = &rest[limit + space + 1..];
                    }
                    None => break,
                },
            }
            continue;
        };
        rest = stripped;
    }
    out.push_str(rest);
    text(out)
}

fn indent(a: &Args<'_>) -> Result<String, ExecError> {
    let s = a.str(1)?;
    let Ok(count) = usize::try_from(a.int(0)?) else { return a.fail("negative repeat count") };
    a.bounded(s.len().saturating_add((s.matches('\n').count() + 1).saturating_mul(count)), MAX_OUTPUT)?;
    let padding = " ".repeat(count);
    Ok(format!("{padding}{}", s.replace('\n', &format!("\n{padding}"))))
}
