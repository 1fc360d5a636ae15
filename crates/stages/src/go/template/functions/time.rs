//! sprig's dates. The local zone is UTC; what depends on the clock is not there.

use super::math::to_int;
use super::{Args, group, text};
use crate::entry::Timestamp;
use crate::go::location::Location;
use crate::go::template::ExecError;
use crate::go::template::value::Val;
use crate::go::time::Layout;
use crate::go::{duration, number};
use std::rc::Rc;

group! {
    "date" => |a| { a.exactly(2)?; written(a, &a.str(0)?, 1, "UTC") },
    "dateInZone" => |a| { a.exactly(3)?; written(a, &a.str(0)?, 1, &a.str(2)?) },
    "date_in_zone" => |a| { a.exactly(3)?; written(a, &a.str(0)?, 1, &a.str(2)?) },
    "htmlDate" => |a| { a.exactly(1)?; written(a, "2006-01-02", 0, "UTC") },
    "htmlDateInZone" => |a| { a.exactly(2)?; written(a, "2006-01-02", 0, &a.str(1)?) },
    "toDate" => |a| { a.exactly(2)?; Ok(read(a)?.unwrap_or_else(|| Val::Time(zero(), Rc::new(Location::utc())))) },
    "mustToDate" => |a| {
        a.exactly(2)?;
        match read(a)? {
            Some(time) => Ok(time),
            None => a.fail("cannot parse the date"),
        }
    },
    "dateModify" => |a| modified(a, false),
    "date_modify" => |a| modified(a, false),
    "mustDateModify" => |a| modified(a, true),
    "must_date_modify" => |a| modified(a, true),
    "unixEpoch" => |a| {
        a.exactly(1)?;
        match a.get(0)? {
            Val::Time(at, _) => text(at.secs().to_string()),
            other => a.fail(format!("wrong type; expected time.Time; got {}", other.type_name())),
        }
    },
    "duration" => |a| {
        let secs = match &a.exactly(1)?[0] {
            Val::Text(text) => text.as_str().and_then(number::parse_int).unwrap_or(0),
            value => to_int(value),
        };
        text(duration::format(secs.saturating_mul(1_000_000_000)))
    },
    "durationRound" => |a| text(rounded(a)?),
}

/// What an unreadable date is: Go's zero time, the first second of the year 1.
fn zero() -> Timestamp {
    Timestamp::from_secs_nanos(-62_135_596_800, 0)
}

/// A time, or the number of seconds since 1970.
fn time(a: &Args<'_>, i: usize) -> Result<(Timestamp, Rc<Location>), ExecError> {
    match a.get(i)? {
        Val::Time(at, zone) => Ok((*at, Rc::clone(zone))),
        Val::Int(secs) => Ok((Timestamp::from_secs_nanos(*secs, 0), Rc::new(Location::utc()))),
        // Anything else is the current time in sprig.
        _ => a.fail("expected a time or a number of seconds"),
    }
}

fn written(a: &Args<'_>, layout: &str, at: usize, zone: &str) -> Result<Val, ExecError> {
    let (at, _) = time(a, at)?;
    // An unknown zone is UTC, as in sprig.
    let zone = Location::load(zone).unwrap_or_else(Location::utc);
    text(Layout::new(layout).format(at, &zone))
}

fn read(a: &Args<'_>) -> Result<Option<Val>, ExecError> {
    let (layout, source) = (a.str(0)?, a.str(1)?);
    let zone = Location::utc();
    let parsed = Layout::new(&layout).parse(&source).map(|parsed| parsed.resolve(&zone));
    Ok(parsed.map(|at| Val::Time(at, Rc::new(zone))))
}

fn modified(a: &Args<'_>, must: bool) -> Result<Val, ExecError> {
    a.exactly(2)?;
    let (at, zone) = time(a, 1)?;
    match duration::parse(&a.str(0)?) {
        Ok(nanos) => Ok(Val::Time(at.plus_nanos(nanos), zone)),
        Err(error) if must => a.fail(error),
        Err(_) => Ok(Val::Time(at, zone)),
    }
}

/// The largest unit that a duration reaches: `2h`, `3d`, `1y`.
fn rounded(a: &Args<'_>) -> Result<String, ExecError> {
    let nanos = match &a.exactly(1)?[0] {
        Val::Text(text) => text.as_str().and_then(|text| duration::parse(text).ok()).unwrap_or(0),
        Val::Int(nanos) => *nanos,
        _ => 0,
    };
    let secs = nanos.unsigned_abs() / 1_000_000_000;
    const UNITS: [(u64, &str); 6] =
        [(365 * 86_400, "y"), (30 * 86_400, "mo"), (86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    // sprig's comparison is strict: sixty seconds are `60s`.
    let unit = UNITS.iter().find(|(unit, _)| secs > *unit);
    Ok(match unit {
        Some((unit, name)) => format!("{}{name}", secs / unit),
        None => format!("{secs}s"),
    })
}
