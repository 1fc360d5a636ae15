//! `time_parser`: a time as it is written becomes the time of the record.
//!
//! Layouts are strptime's, Go's or Unix times. A time without a year is of this year, or of the last one if that would
//! be more than a week ahead. Without a zone and a `location` it is UTC, whatever the machine's zone is.

use super::parser::missing;
use super::strptime;
use crate::field::Field;
use crate::keys::Keys;
use crate::record::Record;
use crate::value::Value;
use stages::entry::Timestamp;
use stages::go::location::Location;
use stages::go::time::Layout;

/// See the module.
pub struct Time {
    from: Field,
    form: Form,
}

enum Form {
    Layout(Layout, Location),
    /// Whole units of so many nanoseconds.
    Units(i64),
    /// Seconds and a fraction in units of so many nanoseconds.
    Fraction(i64),
}

const WEEK: i64 = 7 * 86_400;
const EPOCHS: [&str; 7] = ["s", "ms", "us", "ns", "s.ms", "s.us", "s.ns"];

impl Time {
    pub fn new(keys: &Keys<'_>) -> Option<Time> {
        let from = keys.required_field("parse_from");
        let kind = keys.word("layout_type", &["strptime", "gotime", "epoch"]);
        let layout = keys.required("layout");
        let location = match keys.text("location") {
            None => Some(Location::utc()),
            Some(name) => {
                let location = Location::load(&name);
                if location.is_none() {
                    keys.wrong("location", format!("there is no time zone `{name}`"));
                }
                location
            }
        };
        let form = match (kind, layout?) {
            ("epoch", layout) => match EPOCHS.iter().position(|known| *known == layout) {
                Some(at) => {
                    let unit = [1_000_000_000, 1_000_000, 1_000, 1, 1_000_000, 1_000, 1][at];
                    Some(if at < 4 { Form::Units(unit) } else { Form::Fraction(unit) })
                }
                None => {
                    keys.wrong("layout", format!("of `epoch` the layout is one of {}", crate::keys::quoted(&EPOCHS)));
                    None
                }
            },
            (kind, layout) => {
                let go = if kind == "strptime" { strptime::to_go(&layout) } else { Ok(layout) };
                match go.map(|go| Layout::new(&go)) {
                    Ok(layout) if layout.is_constant() => {
                        let hint = if kind == "strptime" {
                            "as in `%Y-%m-%d %H:%M:%S`"
                        } else {
                            "as in `2006-01-02 15:04:05`"
                        };
                        keys.wrong("layout", format!("nothing in it stands for a part of a time, {hint}"));
                        None
                    }
                    Ok(layout) => Some(Form::Layout(layout, location?)),
                    Err(why) => {
                        keys.wrong("layout", why);
                        None
                    }
                }
            }
        };
        Some(Time { from: from?, form: form? })
    }

    pub fn apply(&self, record: &mut Record) -> Result<(), String> {
        let value = record.get(&self.from).ok_or_else(|| missing(&self.from))?;
        let now = Timestamp::from_secs_nanos((record.observed / 1_000_000_000) as i64, 0);
        record.time = self.read(value, now)?.as_unix_nanos();
        Ok(())
    }

    fn read(&self, value: &Value, now: Timestamp) -> Result<Timestamp, String> {
        let no_time = |text: &str| format!("`{text}` is no time of this layout");
        let (secs, rest) = match (&self.form, value) {
            (Form::Layout(layout, location), value) => {
                let text = value.text().ok_or_else(|| format!("{} is no time", value.noun()))?;
                let mut parsed = layout.parse(text).ok_or_else(|| no_time(text))?;
                if parsed.year != 0 {
                    return Ok(parsed.resolve(location));
                }
                parsed.year = now.civil().0;
                let time = parsed.resolve(location);
                if time.secs() > now.secs() + WEEK {
                    parsed.year -= 1;
                    return Ok(parsed.resolve(location));
                }
                return Ok(time);
            }
            (Form::Units(unit), value) => {
                let n = match value {
                    Value::Int(n) => *n,
                    Value::Double(n) => *n as i64,
                    other => {
                        let text = other.text().ok_or_else(|| format!("{} is no time", other.noun()))?;
                        text.trim().parse().map_err(|_| no_time(text))?
                    }
                };
                let nanos = i128::from(n) * i128::from(*unit);
                (nanos.div_euclid(1_000_000_000) as i64, nanos.rem_euclid(1_000_000_000) as i64)
            }
            (Form::Fraction(_), Value::Int(n)) => (*n, 0),
            (Form::Fraction(unit), Value::Double(n)) => {
                // To the digits that the layout has: more of a double's would be noise.
                let units = ((n - n.floor()) * (1e9 / *unit as f64)).round() as i64;
                (n.floor() as i64, units * unit)
            }
            (Form::Fraction(unit), other) => {
                let text = other.text().ok_or_else(|| format!("{} is no time", other.noun()))?;
                let (secs, rest) = text.split_once('.').ok_or_else(|| no_time(text))?;
                let parse = |part: &str| part.parse::<i64>().map_err(|_| no_time(text));
                (parse(secs)?, parse(rest)?.saturating_mul(*unit))
            }
        };
        Ok(Timestamp::from_secs_nanos(secs, rest))
    }
}
