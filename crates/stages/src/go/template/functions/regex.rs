//! sprig's regular expressions: Go's syntax, as everywhere. An expression that does not compile is an error of
//! the template.

use super::{Args, MAX_ELEMENTS, MAX_OUTPUT, group, text};
use crate::go::regex::{Regex, span};
use crate::go::template::ExecError;
use crate::go::template::value::Val;
use crate::text::Text;

group! {
    "regexMatch" => |a| {
        a.exactly(2)?;
        // The one function that takes an expression that does not compile for one that does not match.
        Ok(Val::Bool(compiled(a).is_ok_and(|regex| a.text(1).is_ok_and(|s| regex.is_match(s)))))
    },
    "mustRegexMatch" => is_match,
    "regexFind" => find_first,
    "mustRegexFind" => find_first,
    "regexFindAll" => find_all,
    "mustRegexFindAll" => find_all,
    "regexReplaceAll" => |a| { a.exactly(3)?; replaced(a, Regex::replace_all) },
    "mustRegexReplaceAll" => |a| { a.exactly(3)?; replaced(a, Regex::replace_all) },
    "regexReplaceAllLiteral" => |a| { a.exactly(3)?; replaced(a, Regex::replace_all_literal) },
    "mustRegexReplaceAllLiteral" => |a| { a.exactly(3)?; replaced(a, Regex::replace_all_literal) },
    "regexSplit" => split,
    "mustRegexSplit" => split,
    "regexQuoteMeta" => |a| {
        a.exactly(1)?;
        let escape = |c: char| if r"\.+*?()|[]{}^$".contains(c) { format!("\\{c}") } else { c.to_string() };
        text(a.str(0)?.chars().map(escape).collect::<String>())
    },
}

/// The expressions that this thread's templates used last; they are constants nearly always.
const REMEMBERED: usize = 32;

fn compiled(a: &Args<'_>) -> Result<Regex, ExecError> {
    thread_local! {
        static KNOWN: std::cell::RefCell<Vec<Regex>> = const { std::cell::RefCell::new(Vec::new()) };
    }
    let source = a.str(0)?;
    KNOWN.with_borrow_mut(|known| {
        if let Some(regex) = known.iter().find(|regex| regex.source() == source) {
            return Ok(regex.clone());
        }
        let regex = match Regex::new(&source) {
            Ok(regex) => regex,
            Err(error) => return a.fail(error),
        };
        if known.len() >= REMEMBERED {
            known.remove(0);
        }
        known.push(regex.clone());
        Ok(regex)
    })
}

fn is_match(a: &Args<'_>) -> Result<Val, ExecError> {
    a.exactly(2)?;
    Ok(Val::Bool(compiled(a)?.is_match(a.text(1)?)))
}

fn find_first(a: &Args<'_>) -> Result<Val, ExecError> {
    a.exactly(2)?;
    let s = a.text(1)?;
    let found = compiled(a)?.find(s);
    Ok(Val::Text(found.map_or(Text::new(), |(start, end)| s.slice(start, end))))
}

/// The places of all matches, at most `limit` if it is not negative.
fn spans(a: &Args<'_>, s: &Text, limit: i64) -> Result<Vec<(usize, usize)>, ExecError> {
    let limit = usize::try_from(limit).unwrap_or(MAX_ELEMENTS).min(MAX_ELEMENTS);
    let mut all = Vec::new();
    compiled(a)?.for_each(s, |slots| {
        if all.len() < limit {
            all.extend(span(slots, 0));
        }
    });
    Ok(all)
}

fn find_all(a: &Args<'_>) -> Result<Val, ExecError> {
    a.exactly(3)?;
    let s = a.text(1)?;
    Ok(super::texts(spans(a, s, a.int(2)?)?.into_iter().map(|(start, end)| s.slice(start, end))))
}

fn replaced(a: &Args<'_>, replace: fn(&Regex, &[u8], &str, usize) -> Vec<u8>) -> Result<Val, ExecError> {
    text(replace(&compiled(a)?, a.text(1)?, &a.str(2)?, MAX_OUTPUT))
}

fn split(a: &Args<'_>) -> Result<Val, ExecError> {
    a.exactly(3)?;
    let (s, limit) = (a.text(1)?, a.int(2)?);
    if limit == 0 {
        return Ok(Val::list(Vec::new()));
    }
    let (mut parts, mut from, mut last) = (Vec::new(), 0, 0);
    if s.is_empty() && !a.str(0)?.is_empty() {
        parts.push(Text::new());
        return Ok(super::texts(parts));
    }
    for (start, end) in spans(a, s, -1)? {
        if limit > 0 && parts.len() as i64 == limit - 1 {
            break;
        }
        last = start;
        // A match of nothing at the start cuts nothing off.
        if end > 0 {
            parts.push(s.slice(from, start));
        }
        from = end;
    }
    if last != s.len() {
        parts.push(s.slice(from, s.len()));
    }
    Ok(super::texts(parts))
}
