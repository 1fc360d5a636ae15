//! sprig's lists.

use super::{Args, MAX_ELEMENTS, group, is_empty};
use crate::go::template::ExecError;
use crate::go::template::value::Val;

group! {
    "list" => |a| Ok(Val::list(a.all().iter().map(own).collect())),
    "tuple" => |a| Ok(Val::list(a.all().iter().map(own).collect())),
    "first" => |a| { a.exactly(1)?; Ok(a.list(0)?.first().cloned().unwrap_or(Val::Nil)) },
    "mustFirst" => |a| { a.exactly(1)?; Ok(a.list(0)?.first().cloned().unwrap_or(Val::Nil)) },
    "last" => |a| { a.exactly(1)?; Ok(a.list(0)?.last().cloned().unwrap_or(Val::Nil)) },
    "mustLast" => |a| { a.exactly(1)?; Ok(a.list(0)?.last().cloned().unwrap_or(Val::Nil)) },
    "rest" => |a| { a.exactly(1)?; Ok(Val::list(a.list(0)?.iter().skip(1).cloned().collect())) },
    "mustRest" => |a| { a.exactly(1)?; Ok(Val::list(a.list(0)?.iter().skip(1).cloned().collect())) },
    "initial" => initial,
    "mustInitial" => initial,
    "append" => append,
    "mustAppend" => append,
    "push" => append,
    "mustPush" => append,
    "prepend" => prepend,
    "mustPrepend" => prepend,
    "concat" => concat,
    "reverse" => |a| { a.exactly(1)?; Ok(Val::list(a.list(0)?.iter().rev().cloned().collect())) },
    "mustReverse" => |a| { a.exactly(1)?; Ok(Val::list(a.list(0)?.iter().rev().cloned().collect())) },
    "uniq" => uniq,
    "mustUniq" => uniq,
    "without" => without,
    "mustWithout" => without,
    "has" => has,
    "mustHas" => has,
    "compact" => |a| { a.exactly(1)?; Ok(Val::list(a.list(0)?.iter().filter(|v| !is_empty(v)).cloned().collect())) },
    "mustCompact" => |a| { a.exactly(1)?; Ok(Val::list(a.list(0)?.iter().filter(|v| !is_empty(v)).cloned().collect())) },
    "slice" => slice,
    "mustSlice" => slice,
    "chunk" => chunk,
    "mustChunk" => chunk,
}

/// A value as a list holds it: what is missing is nil there.
fn own(value: &Val) -> Val {
    if value.is_nil() { Val::Nil } else { value.clone() }
}

fn initial(a: &Args<'_>) -> Result<Val, ExecError> {
    a.exactly(1)?;
    let list = a.list(0)?;
    Ok(Val::list(list[..list.len().saturating_sub(1)].to_vec()))
}

fn append(a: &Args<'_>) -> Result<Val, ExecError> {
    a.exactly(2)?;
    let mut list = a.list(0)?.to_vec();
    a.bounded(list.len() + 1, MAX_ELEMENTS)?;
    list.push(own(a.get(1)?));
    Ok(Val::list(list))
}

fn prepend(a: &Args<'_>) -> Result<Val, ExecError> {
    a.exactly(2)?;
    let mut list = a.list(0)?.to_vec();
    a.bounded(list.len() + 1, MAX_ELEMENTS)?;
    list.insert(0, own(a.get(1)?));
    Ok(Val::list(list))
}

fn concat(a: &Args<'_>) -> Result<Val, ExecError> {
    let mut all = Vec::new();
    for i in 0..a.len() {
        all.extend_from_slice(a.list(i)?);
        a.bounded(all.len(), MAX_ELEMENTS)?;
    }
    Ok(Val::list(all))
}

fn uniq(a: &Args<'_>) -> Result<Val, ExecError> {
    a.exactly(1)?;
    let mut kept: Vec<Val> = Vec::new();
    // Every value is compared with all before it.
    a.bounded(a.list(0)?.len(), 1000)?;
    for value in a.list(0)? {
        if !kept.iter().any(|known| known.deep_equal(value)) {
            kept.push(value.clone());
        }
    }
    Ok(Val::list(kept))
}

fn without(a: &Args<'_>) -> Result<Val, ExecError> {
    let unwanted = &a.at_least(1)?[1..];
    let kept = a.list(0)?.iter().filter(|value| !unwanted.iter().any(|u| u.deep_equal(value)));
    Ok(Val::list(kept.cloned().collect()))
}

fn has(a: &Args<'_>) -> Result<Val, ExecError> {
    let args = a.exactly(2)?;
    if args[1].is_nil() {
        return Ok(Val::Bool(false));
    }
    Ok(Val::Bool(a.list(1)?.iter().any(|value| value.deep_equal(&args[0]))))
}

/// sprig's slice is of lists only, and hides Go's, which slices texts too.
fn slice(a: &Args<'_>) -> Result<Val, ExecError> {
    a.at_least(1)?;
    let list = a.list(0)?;
    let bound = |i: usize, default: usize| match a.all().get(i) {
        Some(value) => usize::try_from(super::math::to_int(value)).unwrap_or(usize::MAX),
        None => default,
    };
    let (start, end) = (bound(1, 0), bound(2, list.len()));
    if start > end || end > list.len() {
        return a.fail("slice bounds out of range");
    }
    Ok(Val::list(list[start..end].to_vec()))
}

fn chunk(a: &Args<'_>) -> Result<Val, ExecError> {
    a.exactly(2)?;
    let Some(size) = usize::try_from(a.int(0)?).ok().filter(|size| *size > 0) else {
        return a.fail("the size of a chunk must be positive");
    };
    Ok(Val::list(a.list(1)?.chunks(size).map(|part| Val::list(part.to_vec())).collect()))
}
