//! sprig's maps, and its defaults. Maps are values here: `set` answers a changed copy, and does not change what it was given.

use super::{Args, MAX_ELEMENTS, group, is_empty, strval, text};
use crate::go::template::ExecError;
use crate::go::template::value::Val;
use crate::text::Text;
use std::collections::BTreeMap;
use std::rc::Rc;

group! {
    "dict" => dict,
    "get" => |a| { a.exactly(2)?; Ok(a.map(0)?.get(a.text(1)?).cloned().unwrap_or_else(|| Val::text(""))) },
    "set" => |a| {
        a.exactly(3)?;
        let mut map = BTreeMap::clone(a.map(0)?);
        map.insert(a.text(1)?.clone(), a.get(2)?.clone());
        a.bounded(map.len(), MAX_ELEMENTS)?;
        Ok(Val::Map(Rc::new(map)))
    },
    "unset" => |a| {
        a.exactly(2)?;
        let mut map = BTreeMap::clone(a.map(0)?);
        map.remove(a.text(1)?);
        Ok(Val::Map(Rc::new(map)))
    },
    "hasKey" => |a| { a.exactly(2)?; Ok(Val::Bool(a.map(0)?.contains_key(a.text(1)?))) },
    "keys" => |a| {
        let mut keys = Vec::new();
        for i in 0..a.len() {
            keys.extend(a.map(i)?.keys().cloned());
        }
        Ok(super::texts(keys))
    },
    "values" => |a| { a.exactly(1)?; Ok(Val::list(a.map(0)?.values().cloned().collect())) },
    "pluck" => |a| {
        let name = a.text(0)?;
        let mut found = Vec::new();
        for i in 1..a.len() {
            found.extend(a.map(i)?.get(name).cloned());
        }
        Ok(Val::list(found))
    },
    "pick" => |a| filtered(a, true),
    "omit" => |a| filtered(a, false),
    "merge" => |a| merged(a, false),
    "mustMerge" => |a| merged(a, false),
    "mergeOverwrite" => |a| merged(a, true),
    "mustMergeOverwrite" => |a| merged(a, true),
    "dig" => dig,
    "deepCopy" => |a| Ok(a.exactly(1)?[0].clone()),
    "mustDeepCopy" => |a| Ok(a.exactly(1)?[0].clone()),
    "deepEqual" => |a| { let v = a.exactly(2)?; Ok(Val::Bool(v[0].deep_equal(&v[1]))) },
    "default" => |a| {
        a.at_least(1)?;
        Ok(match a.all().get(1) {
            Some(given) if !is_empty(given) => given.clone(),
            _ => a.get(0)?.clone(),
        })
    },
    "empty" => |a| Ok(Val::Bool(is_empty(&a.exactly(1)?[0]))),
    "coalesce" => |a| Ok(a.all().iter().find(|value| !is_empty(value)).cloned().unwrap_or(Val::Nil)),
    "all" => |a| Ok(Val::Bool(!a.all().iter().any(is_empty))),
    "any" => |a| Ok(Val::Bool(!a.all().iter().all(is_empty))),
    "ternary" => |a| {
        let args = a.exactly(3)?;
        match args[2] {
            Val::Bool(chosen) => Ok(args[usize::from(!chosen)].clone()),
            _ => a.fail("wrong type for value; expected bool"),
        }
    },
    "fromJson" => |a| Ok(from_json(a)?.unwrap_or(Val::Nil)),
    "mustFromJson" => |a| match from_json(a)? {
        Some(value) => Ok(value),
        None => a.fail("malformed JSON"),
    },
    "toJson" => |a| text(json(&a.exactly(1)?[0], true, None)),
    "mustToJson" => |a| text(json(&a.exactly(1)?[0], true, None)),
    "toRawJson" => |a| text(json(&a.exactly(1)?[0], false, None)),
    "mustToRawJson" => |a| text(json(&a.exactly(1)?[0], false, None)),
    "toPrettyJson" => |a| text(json(&a.exactly(1)?[0], true, Some(0))),
    "mustToPrettyJson" => |a| text(json(&a.exactly(1)?[0], true, Some(0))),
}

fn dict(a: &Args<'_>) -> Result<Val, ExecError> {
    let pairs = a.all().chunks(2).map(|pair| (strval(&pair[0]), pair.get(1).cloned().unwrap_or_else(|| Val::text(""))));
    Ok(Val::Map(Rc::new(pairs.collect())))
}

fn filtered(a: &Args<'_>, wanted: bool) -> Result<Val, ExecError> {
    let mut names = Vec::new();
    for i in 1..a.len() {
        names.push(a.text(i)?);
    }
    let kept = a.map(0)?.iter().filter(|(name, _)| names.contains(name) == wanted);
    Ok(Val::Map(Rc::new(kept.map(|(name, value)| (name.clone(), value.clone())).collect())))
}

fn merged(a: &Args<'_>, overwrite: bool) -> Result<Val, ExecError> {
    a.at_least(1)?;
    let mut map = BTreeMap::clone(a.map(0)?);
    for i in 1..a.len() {
        merge_into(&mut map, a.map(i)?, overwrite, 0);
    }
    a.bounded(map.len(), MAX_ELEMENTS)?;
    Ok(Val::Map(Rc::new(map)))
}

fn merge_into(map: &mut BTreeMap<Text, Val>, from: &BTreeMap<Text, Val>, overwrite: bool, depth: usize) {
    for (name, value) in from {
        match (map.get_mut(name), value) {
            (Some(Val::Map(old)), Val::Map(new)) if depth < 16 => {
                let mut inner = BTreeMap::clone(old);
                merge_into(&mut inner, new, overwrite, depth + 1);
                *old = Rc::new(inner);
            }
            (Some(old), value) if (overwrite && !is_empty(value)) || is_empty(old) => *old = value.clone(),
            (Some(_), _) => {}
            (None, value) => drop(map.insert(name.clone(), value.clone())),
        }
    }
}

/// `dig "a" "b" default map`
fn dig(a: &Args<'_>) -> Result<Val, ExecError> {
    let args = a.at_least(3)?;
    let mut value = &args[args.len() - 1];
    let default = &args[args.len() - 2];
    for i in 0..args.len() - 2 {
        match value {
            Val::Map(map) => match map.get(a.text(i)?) {
                Some(inner) => value = inner,
                None => return Ok(default.clone()),
            },
            _ => return a.fail("not a map"),
        }
    }
    Ok(value.clone())
}

fn from_json(a: &Args<'_>) -> Result<Option<Val>, ExecError> {
    a.exactly(1)?;
    Ok(crate::json::tree(a.text(0)?, 64).map(from_tree))
}

fn from_tree(tree: serde_json::Value) -> Val {
    match tree {
        serde_json::Value::Null => Val::Nil,
        serde_json::Value::Bool(value) => Val::Bool(value),
        serde_json::Value::Number(value) => Val::Float(value.as_f64().unwrap_or_default()),
        serde_json::Value::String(value) => Val::text(value),
        serde_json::Value::Array(values) => Val::list(values.into_iter().map(from_tree).collect()),
        serde_json::Value::Object(values) => {
            Val::Map(Rc::new(values.into_iter().map(|(name, value)| (name.into(), from_tree(value))).collect()))
        }
    }
}

/// A value as JSON; `indent` is the depth where lines are broken.
fn json(value: &Val, html: bool, indent: Option<usize>) -> String {
    let string = |text: &[u8]| {
        let mut out = vec![b'"'];
        crate::json::escape_into(&mut out, text, html);
        out.push(b'"');
        String::from_utf8_lossy(&out).into_owned()
    };
    let wrapped = |open: char, close: char, parts: Vec<String>| match (parts.is_empty(), indent) {
        (true, _) => format!("{open}{close}"),
        (false, None) => format!("{open}{}{close}", parts.join(",")),
        (false, Some(depth)) => {
            let inner = "  ".repeat(depth + 1);
            let parts: Vec<String> = parts.into_iter().map(|part| format!("{inner}{part}")).collect();
            format!("{open}\n{}\n{}{close}", parts.join(",\n"), "  ".repeat(depth))
        }
    };
    let deeper = indent.map(|depth| depth + 1);
    match value {
        Val::Missing | Val::Nil | Val::Root => "null".to_owned(),
        Val::Bool(value) => value.to_string(),
        Val::Int(value) => value.to_string(),
        Val::Float(value) => json_float(*value),
        Val::Text(text) => string(text),
        Val::Time(..) => string(value.show().as_bytes()),
        Val::List(values) => wrapped('[', ']', values.iter().map(|v| json(v, html, deeper)).collect()),
        Val::Map(values) => {
            let colon = if indent.is_some() { ": " } else { ":" };
            let pairs = values.iter().map(|(name, v)| format!("{}{colon}{}", string(name), json(v, html, deeper)));
            wrapped('{', '}', pairs.collect())
        }
    }
}

/// encoding/json writes exponents without padding: `1e-7`.
fn json_float(value: f64) -> String {
    crate::go::number::format_json(value).replace("e-0", "e-")
}
