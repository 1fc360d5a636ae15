//! Which records of a chunk match: condition by condition, on the column it needs, on what the ones before have left.

use super::condition::Cursor;
use super::plan::{AttributeTest, Plan, TextTest, ValueTest};
use crate::chunk::bloom::Decimal;
use crate::chunk::columns::{Cell, Column, Hot, Kind, Rest, Texts};
use crate::chunk::parse::rendered;
use crate::chunk::read::View;
use crate::chunk::write::header_pairs;
use crate::codec::Damaged;
use crate::text::{fold_into, is_bounded};
use wire::Signal;
use wire::key::{AnyValue, key_values};

/// The records that match, in their order in the chunk.
pub(crate) fn matching(plan: &Plan, view: &View) -> Result<Vec<u32>, Damaged> {
    let hot = view.hot()?;
    let mut rows = by_head(plan, hot);
    if rows.is_empty() {
        return Ok(rows);
    }
    if !plan.traces.is_empty() || !plan.spans.is_empty() {
        let ids = view.ids()?;
        rows.retain(|row| {
            let row = *row as usize;
            plan.traces.iter().all(|(not, id)| (ids.traces[row] == *id) != *not)
                && plan.spans.iter().all(|(not, id)| (ids.spans[row] == *id) != *not)
        });
    }
    if !plan.texts.is_empty() && !rows.is_empty() {
        let texts = view.texts()?;
        if texts.ends.len() != hot.len() {
            return Err(Damaged);
        }
        by_text(&plan.texts, texts, &mut rows);
    }
    for test in &plan.attributes {
        if rows.is_empty() {
            return Ok(rows);
        }
        by_attribute(test, view, &mut rows)?;
    }
    Ok(rows)
}

/// By time, severity and place.
fn by_head(plan: &Plan, hot: &Hot) -> Vec<u32> {
    let is_in_time = |time: u64| plan.start <= time && time < plan.end;
    let heads = hot.times.iter().zip(&hot.severities).enumerate();
    let heads = heads.filter(|(_, (time, severity))| is_in_time(**time) && plan.severities[usize::from(**severity)]);
    match plan.after {
        None => heads.map(|(row, _)| row as u32).collect(),
        Some(_) => {
            let places: Vec<_> = hot.places().collect();
            let is_after = |row: usize, time: u64| {
                let (request, record) = places[row];
                plan.is_after(Cursor { time, request, record })
            };
            heads.filter(|(row, (time, _))| is_after(*row, **time)).map(|(row, _)| row as u32).collect()
        }
    }
}

fn by_text(tests: &[TextTest], texts: &Texts, rows: &mut Vec<u32>) {
    let mut folded: Option<Texts> = None;
    for test in tests {
        if rows.is_empty() {
            return;
        }
        if test.finder.needle().is_empty() {
            // Every text has it.
            rows.retain(|_| !test.not);
            continue;
        }
        if rows.len() * 16 < texts.ends.len() {
            // Few are left: each by itself.
            let mut buffer = vec![];
            rows.retain(|row| {
                let text = texts.get(*row as usize);
                let has = match test.is_phrase {
                    true => {
                        buffer.clear();
                        fold_into(text, &mut buffer);
                        has_phrase(test, &buffer)
                    }
                    false => test.finder.find(text).is_some(),
                };
                has != test.not
            });
            continue;
        }
        let searched = match test.is_phrase {
            true => folded.get_or_insert_with(|| fold_all(texts)),
            false => texts,
        };
        let found = find_all(test, searched);
        rows.retain(|row| found[*row as usize] != test.not);
    }
}

/// All texts folded.
fn fold_all(texts: &Texts) -> Texts {
    if texts.bytes().is_ascii() {
        return Texts { ends: texts.ends.clone(), raw: texts.bytes().to_ascii_lowercase(), from: 0 };
    }
    let mut folded = Texts::default();
    for row in 0..texts.ends.len() {
        fold_into(texts.get(row), &mut folded.raw);
        folded.ends.push(folded.raw.len() as u32);
    }
    folded
}

pub(crate) fn has_phrase(test: &TextTest, text: &[u8]) -> bool {
    let len = test.finder.needle().len();
    let mut from = 0;
    while let Some(found) = test.finder.find(&text[from..]) {
        let at = from + found;
        if is_bounded(text, at, at + len) {
            return true;
        }
        from = at + 1;
    }
    false
}

/// Which texts have what is looked for, in one pass over all of them.
fn find_all(test: &TextTest, texts: &Texts) -> Vec<bool> {
    let mut found = vec![false; texts.ends.len()];
    let len = test.finder.needle().len();
    let bytes = texts.bytes();
    let (mut from, mut row, mut start) = (0, 0, 0);
    while let Some(hit) = test.finder.find(&bytes[from..]) {
        let at = from + hit;
        while texts.ends[row] as usize <= at {
            start = texts.ends[row] as usize;
            row += 1;
        }
        let end = texts.ends[row] as usize;
        let is_in = at + len <= end;
        if is_in && (!test.is_phrase || is_bounded(&bytes[start..end], at - start, at - start + len)) {
            found[row] = true;
            from = end;
        } else {
            from = at + 1;
        }
    }
    found
}

fn by_attribute(test: &AttributeTest, view: &View, rows: &mut Vec<u32>) -> Result<(), Damaged> {
    let (hot, rest) = (view.hot()?, view.rest()?);
    let headers = by_headers(test, rest)?;
    let own = own_attributes(test, hot, rest, view.signal(), rows)?;
    let mut at = 0;
    rows.retain(|row| {
        let has = own[at] || headers.get(usize::from(hot.origins[*row as usize])).copied().unwrap_or_default();
        at += 1;
        has != test.not
    });
    Ok(())
}

/// Which origins have the attribute in their resource or scope.
fn by_headers(test: &AttributeTest, rest: &Rest) -> Result<Vec<bool>, Damaged> {
    let has = |header: &[u8], number| {
        header_pairs(header, number).any(|(key, value)| key == test.key && value_matches(&test.value, value))
    };
    let resources: Vec<bool> = rest.resources.iter().map(|header| has(header, 1)).collect();
    let scopes: Vec<bool> = rest.scopes.iter().map(|header| has(header, 3)).collect();
    let either = |(resource, scope): &(u16, u16)| {
        Some(*resources.get(usize::from(*resource))? || *scopes.get(usize::from(*scope))?)
    };
    rest.origins.iter().map(|origin| either(origin).ok_or(Damaged)).collect()
}

/// Where a slot's values are looked at.
#[derive(Clone, Copy, PartialEq)]
enum Look {
    /// It is no attribute of this name.
    Not,
    Value,
    /// An encoded `KeyValue`.
    Pair,
    /// The whole record.
    Record,
}

/// Which of some records have the attribute themselves.
fn own_attributes(
    test: &AttributeTest,
    hot: &Hot,
    rest: &Rest,
    signal: Signal,
    rows: &[u32],
) -> Result<Vec<bool>, Damaged> {
    let number = if signal == Signal::Logs { 6 } else { 9 };
    let looks: Vec<Look> = hot
        .slots
        .iter()
        .map(|slot| match slot.kind {
            kind if kind.is_attribute() && *slot.key == *test.key => Look::Value,
            Kind::Bytes if slot.number == number => Look::Pair,
            Kind::Raw => Look::Record,
            _ => Look::Not,
        })
        .collect();
    // Of each shape only the slots that are looked at.
    let shapes: Vec<Vec<usize>> = hot
        .shape_slots
        .iter()
        .map(|slots| slots.iter().map(|slot| usize::from(*slot)).filter(|slot| looks[*slot] != Look::Not).collect())
        .collect();
    let mut found = Vec::with_capacity(rows.len());
    if shapes.iter().all(Vec::is_empty) {
        found.resize(rows.len(), false);
        return Ok(found);
    }
    let mut cursors = vec![crate::chunk::columns::Cursor::default(); hot.slots.len()];
    let mut wanted = rows.iter().map(|row| *row as usize).peekable();
    let mut row = 0;
    while let Some(&next) = wanted.peek() {
        let mut has = false;
        for &slot in &shapes[usize::from(hot.shapes[row])] {
            let column: &Column = rest.columns.get(slot).ok_or(Damaged)?;
            let kind = hot.slots[slot].kind;
            let cell = cursors[slot].next(kind.layout(), column).ok_or(Damaged)?;
            has = has || row == next && cell_matches(test, kind, looks[slot], cell, number);
        }
        if row == next {
            found.push(has);
            wanted.next();
        }
        row += 1;
    }
    Ok(found)
}

fn cell_matches(test: &AttributeTest, kind: Kind, look: Look, cell: Cell<'_>, number: u32) -> bool {
    let value = match (look, kind, cell) {
        (Look::Value, Kind::AttributeText, Cell::Bytes(text)) => AnyValue::Str(text),
        (Look::Value, Kind::AttributeInt, Cell::Number(number)) => AnyValue::Int(number as i64),
        (Look::Value, Kind::AttributeBool, Cell::Number(number)) => AnyValue::Bool(number != 0),
        (Look::Value, Kind::AttributeDouble, Cell::Bytes(bits)) => {
            let bits = bits.try_into().unwrap_or_default();
            AnyValue::Double(f64::from_bits(u64::from_le_bytes(bits)))
        }
        (Look::Value, _, Cell::Bytes(value)) => AnyValue::read(value),
        (Look::Pair, _, Cell::Bytes(pair)) => {
            let mut message = vec![];
            wire::field::put_len_field(&mut message, number, pair);
            return record_matches(test, &message, number);
        }
        (Look::Record, _, Cell::Bytes(record)) => return record_matches(test, record, number),
        _ => return false,
    };
    value_matches(&test.value, value)
}

pub(crate) fn record_matches(test: &AttributeTest, record: &[u8], number: u32) -> bool {
    key_values(record, number).any(|(key, value)| key == test.key && value_matches(&test.value, value))
}

/// Whether a value passes a test.
pub(crate) fn value_matches(test: &ValueTest, value: AnyValue<'_>) -> bool {
    match test {
        ValueTest::Any => true,
        ValueTest::Text(text) => match value {
            AnyValue::Str(value) => value == text,
            AnyValue::Int(number) => Decimal::of(number).as_bytes() == text,
            other => rendered(other).as_bytes() == text,
        },
        ValueTest::Number(comparison, number) => {
            let value = match value {
                AnyValue::Int(value) => Some(value as f64),
                AnyValue::Double(value) => Some(value),
                AnyValue::Str(text) => std::str::from_utf8(text).ok().and_then(|text| text.trim().parse().ok()),
                _ => None,
            };
            value.is_some_and(|value| comparison.holds(value, *number))
        }
    }
}
