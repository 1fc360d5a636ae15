//! The functions of JMESPath, with the argument checks of the peer: too many, too few, or of a wrong type, and the call fails.

use super::eval::{Failed, Found, Run, number};
use super::parser::Node;
use super::write;
use crate::go::number::{format_json, parse_float};
use crate::go::unicode;
use serde_json::Value as Json;
use std::borrow::Cow;
use std::cmp::Ordering;

/// The widest that padding makes a text, in bytes.
const WIDEST: usize = 1 << 16;

/// An argument of a function.
pub enum Argument<'a> {
    /// A value.
    Value(Cow<'a, Json>),
    /// `&expression`
    Reference(&'a Node),
}

/// The arguments of a call, with their checks.
struct Arguments<'a>(Vec<Argument<'a>>);

impl<'a> Arguments<'a> {
    fn count(&self, least: usize, most: usize) -> Result<(), Failed> {
        if (least..=most).contains(&self.0.len()) { Ok(()) } else { Err(Failed) }
    }

    fn any(&self, at: usize) -> Result<&Json, Failed> {
        match self.0.get(at) {
            Some(Argument::Value(value)) => Ok(value),
            _ => Err(Failed),
        }
    }

    fn text(&self, at: usize) -> Result<&str, Failed> {
        self.any(at)?.as_str().ok_or(Failed)
    }

    fn number(&self, at: usize) -> Result<f64, Failed> {
        self.any(at)?.as_f64().ok_or(Failed)
    }

    /// A whole number that is not negative; `None` if there is no such argument.
    fn size(&self, at: usize) -> Result<Option<usize>, Failed> {
        if at >= self.0.len() {
            return Ok(None);
        }
        let value = self.number(at)?;
        if value.fract() != 0.0 || !(0.0..=1e15).contains(&value) { Err(Failed) } else { Ok(Some(value as usize)) }
    }

    fn array(&self, at: usize) -> Result<&Vec<Json>, Failed> {
        self.any(at)?.as_array().ok_or(Failed)
    }

    fn object(&self, at: usize) -> Result<&serde_json::Map<String, Json>, Failed> {
        self.any(at)?.as_object().ok_or(Failed)
    }

    fn numbers(&self, at: usize) -> Result<Vec<f64>, Failed> {
        self.array(at)?.iter().map(|item| item.as_f64().ok_or(Failed)).collect()
    }

    fn texts(&self, at: usize) -> Result<Vec<&str>, Failed> {
        self.array(at)?.iter().map(|item| item.as_str().ok_or(Failed)).collect()
    }

    fn reference(&self, at: usize) -> Result<&'a Node, Failed> {
        match self.0.get(at) {
            Some(Argument::Reference(node)) => Ok(node),
            _ => Err(Failed),
        }
    }
}

fn owned<'a>(value: impl Into<Json>) -> Found<'a> {
    Ok(Cow::Owned(value.into()))
}

/// Calls the function `name`; one that does not exist fails.
pub fn call<'a>(run: &'a Run<'_>, name: &str, arguments: Vec<Argument<'a>>) -> Found<'a> {
    let args = Arguments(arguments);
    let (least, most) = match name {
        "abs" | "avg" | "ceil" | "floor" | "from_items" | "items" | "keys" | "length" | "lower" | "max" | "min"
        | "reverse" | "sort" | "sum" | "to_array" | "to_number" | "to_string" | "type" | "upper" | "values" => (1, 1),
        "contains" | "ends_with" | "starts_with" | "group_by" | "join" | "map" | "max_by" | "min_by" | "sort_by" => {
            (2, 2)
        }
        "find_first" | "find_last" => (2, 4),
        "pad_left" | "pad_right" | "split" => (2, 3),
        "replace" => (3, 4),
        "trim" | "trim_left" | "trim_right" => (1, 2),
        "merge" | "not_null" | "zip" => (1, usize::MAX),
        _ => return Err(Failed),
    };
    args.count(least, most)?;
    match name {
        "abs" => number(args.number(0)?.abs()),
        "ceil" => number(args.number(0)?.ceil()),
        "floor" => number(args.number(0)?.floor()),
        "avg" => match args.numbers(0)? {
            all if all.is_empty() => owned(Json::Null),
            all => number(all.iter().sum::<f64>() / all.len() as f64),
        },
        // A sum of nothing is 0; Rust's own would be -0.
        "sum" => number(args.numbers(0)?.iter().fold(0.0, |sum, n| sum + n)),
        "max" => extreme(&args, Ordering::Greater),
        "min" => extreme(&args, Ordering::Less),
        "to_number" => match args.any(0)? {
            Json::String(text) => {
                owned(parse_float(text).and_then(|n| number(n).ok()).map_or(Json::Null, Cow::into_owned))
            }
            Json::Number(found) => owned(found.clone()),
            _ => owned(Json::Null),
        },
        "type" => owned(kind(args.any(0)?)),
        "to_string" => to_string(run, args.any(0)?),
        "length" => match args.any(0)? {
            Json::String(text) => number(text.chars().count() as f64),
            Json::Array(items) => number(items.len() as f64),
            Json::Object(map) => number(map.len() as f64),
            _ => Err(Failed),
        },
        "max_by" | "min_by" | "sort_by" | "group_by" | "map" => on_elements(run, name, &args),
        "merge" | "keys" | "values" | "items" | "from_items" => on_objects(run, name, &args),
        "join" | "contains" | "reverse" | "sort" | "to_array" | "not_null" | "zip" => on_arrays(run, name, args),
        _ => on_text(run, name, &args),
    }
}

fn kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }
}

/// As `encoding/json` writes it: exponents without a leading zero.
fn to_string<'a>(run: &Run<'_>, value: &Json) -> Found<'a> {
    if let Json::String(text) = value {
        return owned(text.clone());
    }
    let mut out = Vec::new();
    write(value, &mut out, &|number| format_json(number).replace("e-0", "e-"));
    run.pay(out.len() / 16)?;
    owned(String::from_utf8(out).map_err(|_| Failed)?)
}

fn extreme<'a>(args: &Arguments<'_>, wanted: Ordering) -> Found<'a> {
    if args.array(0)?.is_empty() {
        return owned(Json::Null);
    }
    if let Ok(all) = args.numbers(0) {
        let best = all.into_iter().reduce(|best, n| if n.partial_cmp(&best) == Some(wanted) { n } else { best });
        return number(best.ok_or(Failed)?);
    }
    let best = args.texts(0)?.into_iter().reduce(|best, text| if text.cmp(best) == wanted { text } else { best });
    owned(best.ok_or(Failed)?)
}

/// What elements are compared by: a number, or a text.
fn order(a: &Json, b: &Json) -> Result<Ordering, Failed> {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => Ok(a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal)),
        (Json::String(a), Json::String(b)) => Ok(a.cmp(b)),
        _ => Err(Failed),
    }
}

fn on_elements<'a>(run: &'a Run<'_>, name: &str, args: &Arguments<'a>) -> Found<'a> {
    let (node, items) = match name {
        "map" => (args.reference(0)?, args.array(1)?),
        _ => (args.reference(1)?, args.array(0)?),
    };
    if items.is_empty() {
        return owned(if matches!(name, "map" | "sort_by") { Json::Array(vec![]) } else { Json::Null });
    }
    if items.len() == 1 && matches!(name, "max_by" | "min_by" | "sort_by") {
        let one = run.own(Cow::Borrowed(&items[0]))?;
        return owned(if name == "sort_by" { Json::Array(vec![one]) } else { one });
    }
    let keys: Result<Vec<Json>, Failed> = items.iter().map(|item| run.own(run.eval(node, item)?)).collect();
    let keys = keys?;
    let own = |item: &Json| run.own(Cow::Borrowed(item));
    match name {
        "map" => owned(keys),
        "group_by" => {
            let mut groups = serde_json::Map::new();
            for (key, item) in keys.iter().zip(items) {
                let key = key.as_str().ok_or(Failed)?.to_owned();
                let group = groups.entry(key).or_insert_with(|| Json::Array(vec![]));
                if let Json::Array(group) = group {
                    group.push(own(item)?);
                }
            }
            owned(groups)
        }
        "sort_by" => {
            // Checked first: sorting itself cannot fail.
            for key in &keys {
                order(&keys[0], key)?;
            }
            let mut sorted: Vec<(&Json, &Json)> = keys.iter().zip(items).collect();
            sorted.sort_by(|a, b| order(a.0, b.0).unwrap_or(Ordering::Equal));
            let sorted: Result<Vec<Json>, Failed> = sorted.into_iter().map(|(_, item)| own(item)).collect();
            owned(sorted?)
        }
        _ => {
            let wanted = if name == "max_by" { Ordering::Greater } else { Ordering::Less };
            let mut best = 0;
            for (at, key) in keys.iter().enumerate() {
                if order(key, &keys[best])? == wanted {
                    best = at;
                }
            }
            own(&items[best]).map(Cow::Owned)
        }
    }
}

fn on_objects<'a>(run: &Run<'_>, name: &str, args: &Arguments<'_>) -> Found<'a> {
    let own = |item: &Json| run.own(Cow::Borrowed(item));
    match name {
        "keys" => owned(args.object(0)?.keys().cloned().collect::<Vec<_>>()),
        "values" => owned(args.object(0)?.values().map(own).collect::<Result<Vec<_>, _>>()?),
        "items" => {
            let pair = |(key, value): (&String, &Json)| Ok(Json::Array(vec![Json::from(key.clone()), own(value)?]));
            owned(args.object(0)?.iter().map(pair).collect::<Result<Vec<_>, _>>()?)
        }
        "from_items" => {
            let mut map = serde_json::Map::new();
            for pair in args.array(0)? {
                match pair.as_array().map(Vec::as_slice) {
                    Some([Json::String(key), value]) => map.insert(key.clone(), own(value)?),
                    _ => return Err(Failed),
                };
            }
            owned(map)
        }
        _ => {
            let mut merged = serde_json::Map::new();
            for at in 0..args.0.len() {
                for (key, value) in args.object(at)? {
                    merged.insert(key.clone(), own(value)?);
                }
            }
            owned(merged)
        }
    }
}

fn on_arrays<'a>(run: &Run<'_>, name: &str, args: Arguments<'a>) -> Found<'a> {
    match name {
        "join" => {
            let joined = args.texts(1)?.join(args.text(0)?);
            run.pay(joined.len() / 16)?;
            owned(joined)
        }
        "contains" => match (args.any(0)?, args.any(1)?) {
            (Json::String(text), Json::String(part)) => owned(text.contains(part.as_str())),
            (Json::String(_), _) => owned(false),
            // The peer cannot compare arrays and objects.
            (Json::Array(items), part) => owned(!part.is_array() && !part.is_object() && items.contains(part)),
            _ => Err(Failed),
        },
        "reverse" => match args.any(0)? {
            Json::String(text) => owned(text.chars().rev().collect::<String>()),
            Json::Array(items) => {
                let reversed: Result<Vec<Json>, Failed> =
                    items.iter().rev().map(|item| run.own(Cow::Borrowed(item))).collect();
                owned(reversed?)
            }
            _ => Err(Failed),
        },
        "sort" => match args.numbers(0) {
            Ok(mut all) => {
                all.sort_by(f64::total_cmp);
                owned(all)
            }
            Err(Failed) => {
                let mut all = args.texts(0)?;
                all.sort_unstable();
                owned(all)
            }
        },
        "zip" => {
            let arrays = (0..args.0.len()).map(|at| args.array(at)).collect::<Result<Vec<_>, _>>()?;
            let shortest = arrays.iter().map(|array| array.len()).min().unwrap_or_default();
            let row = |at: usize| arrays.iter().map(|array| run.own(Cow::Borrowed(&array[at]))).collect();
            let rows: Result<Vec<Vec<Json>>, Failed> = (0..shortest).map(row).collect();
            owned(rows?.into_iter().map(Json::Array).collect::<Vec<_>>())
        }
        "to_array" => match args.0.into_iter().next() {
            Some(Argument::Value(value)) if value.is_array() => Ok(value),
            Some(Argument::Value(value)) => owned(vec![run.own(value)?]),
            _ => Err(Failed),
        },
        _ => {
            let values = args.0.into_iter().filter_map(|argument| match argument {
                Argument::Value(value) if !value.is_null() => Some(value),
                _ => None,
            });
            Ok(values.into_iter().next().unwrap_or(Cow::Owned(Json::Null)))
        }
    }
}

fn on_text<'a>(run: &Run<'_>, name: &str, args: &Arguments<'_>) -> Found<'a> {
    let text = args.text(0)?;
    run.pay(text.len() / 16)?;
    match name {
        "upper" => owned(unicode::upper(text)),
        "lower" => owned(unicode::lower(text)),
        "starts_with" => owned(text.starts_with(args.text(1)?)),
        "ends_with" => owned(text.ends_with(args.text(1)?)),
        "find_first" | "find_last" => find(name, text, args),
        "pad_left" | "pad_right" => pad(run, name, text, args),
        "replace" => {
            let (old, new) = (args.text(1)?, args.text(2)?);
            let most = args.size(3)?.unwrap_or(usize::MAX);
            let times = (text.len() / old.len().max(1) + 1).min(most);
            run.pay((text.len() + times * new.len()) / 16)?;
            owned(text.replacen(old, new, most))
        }
        "split" => split(text, args),
        _ => {
            let cutset = if args.0.len() > 1 { args.text(1)? } else { "" };
            let cut = |c: char| if cutset.is_empty() { unicode::is_space(c) } else { cutset.contains(c) };
            owned(match name {
                "trim" => text.trim_matches(cut),
                "trim_left" => text.trim_start_matches(cut),
                _ => text.trim_end_matches(cut),
            })
        }
    }
}

/// The byte at which a text is found; the third and fourth argument say where to look.
fn find<'a>(name: &str, text: &str, args: &Arguments<'_>) -> Found<'a> {
    let part = args.text(1)?;
    if text.is_empty() || part.is_empty() {
        return owned(Json::Null);
    }
    let whole = |at: usize| match args.0.len() > at {
        true => args.number(at).and_then(|n| if n.fract() == 0.0 { Ok(Some(n as i64)) } else { Err(Failed) }),
        false => Ok(None),
    };
    let len = text.len() as i64;
    let (start, end) = (whole(2)?.unwrap_or(0).max(0), whole(3)?.unwrap_or(len).min(len));
    let range = usize::try_from(start).map_err(|_| Failed)?..usize::try_from(end).map_err(|_| Failed)?;
    let within = text.as_bytes().get(range.clone()).ok_or(Failed)?;
    let found = match name {
        "find_first" => memchr::memmem::find(within, part.as_bytes()),
        _ => memchr::memmem::rfind(within, part.as_bytes()),
    };
    found.map_or_else(|| owned(Json::Null), |at| number((range.start + at) as f64))
}

fn pad<'a>(run: &Run<'_>, name: &str, text: &str, args: &Arguments<'_>) -> Found<'a> {
    let width = args.size(1)?.ok_or(Failed)?;
    let with = if args.0.len() > 2 { args.text(2)? } else { " " };
    if with.len() > 1 || width > WIDEST {
        return Err(Failed);
    }
    run.pay(width / 16)?;
    let padding = with.repeat(width.saturating_sub(text.len()));
    owned(if name == "pad_left" { format!("{padding}{text}") } else { format!("{text}{padding}") })
}

fn split<'a>(text: &str, args: &Arguments<'_>) -> Found<'a> {
    let separator = args.text(1)?;
    let most = args.size(2)?.map_or(usize::MAX, |n| n.saturating_add(1));
    if text.is_empty() {
        return owned(Vec::<Json>::new());
    }
    if most == 1 {
        return owned(vec![text]);
    }
    if !separator.is_empty() {
        return owned(text.splitn(most, separator).collect::<Vec<_>>());
    }
    // By nothing: characters, the last one with what is left.
    let ends = text.char_indices().map(|(at, _)| at).skip(1).take(most - 1).chain([text.len()]);
    let mut begin = 0;
    owned(ends.map(|end| &text[std::mem::replace(&mut begin, end)..end]).collect::<Vec<_>>())
}
