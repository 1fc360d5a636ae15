//! A layout cut into tokens, and writing a time by it.

use super::super::location::Location;
use crate::entry::Timestamp;
use crate::entry::timestamp::days_from_civil;

/// What one part of a layout stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Literal(Box<str>),
    LongYear,
    Year,
    LongMonth,
    Month,
    /// Two digits, or as few as needed.
    NumMonth {
        zero: bool,
    },
    LongWeekday,
    Weekday,
    Day(Pad),
    YearDay(Pad),
    Hour,
    Hour12 {
        zero: bool,
    },
    Minute {
        zero: bool,
    },
    Second {
        zero: bool,
    },
    Pm {
        upper: bool,
    },
    /// `MST`
    Abbreviation,
    Offset(OffsetForm),
    /// `.000`: so many digits, with their separator. Not optional.
    Fraction {
        separator: char,
        digits: usize,
    },
    /// `.999`: up to so many digits, perhaps none.
    OptionalFraction {
        separator: char,
        digits: usize,
    },
}

/// How a number is filled up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pad {
    None,
    Space,
    Zero,
}

/// How an offset from UTC is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OffsetForm {
    /// `Z` stands for UTC.
    pub z: bool,
    pub colon: bool,
    /// 1: hours; 2: and minutes; 3: and seconds.
    pub parts: u8,
}

/// The offsets, longer ones before those they begin with.
const OFFSETS: [(&str, bool, u8); 5] =
    [("070000", false, 3), ("07:00:00", true, 3), ("0700", false, 2), ("07:00", true, 2), ("07", false, 1)];

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub(super) const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A layout, ready to read and write times.
#[derive(Clone, Debug)]
pub struct Layout {
    pub(super) tokens: Vec<Token>,
}

impl Layout {
    /// Cuts a layout into tokens. Every text is a layout; what stands for nothing stands for itself.
    pub fn new(layout: &str) -> Self {
        let (mut tokens, mut literal, mut rest) = (Vec::new(), String::new(), layout);
        while let Some(c) = rest.chars().next() {
            match token(rest) {
                Some((skipped, token, len)) => {
                    literal.push_str(&rest[..skipped]);
                    if !literal.is_empty() {
                        tokens.push(Token::Literal(std::mem::take(&mut literal).into()));
                    }
                    tokens.push(token);
                    rest = &rest[len..];
                }
                None => {
                    literal.push(c);
                    rest = &rest[c.len_utf8()..];
                }
            }
        }
        if !literal.is_empty() {
            tokens.push(Token::Literal(literal.into()));
        }
        Self { tokens }
    }

    /// Whether nothing in it stands for a part of a time, so that it reads no time at all.
    pub fn is_constant(&self) -> bool {
        self.tokens.iter().all(|token| matches!(token, Token::Literal(_)))
    }

    /// Writes `at` as clocks show it in `location`.
    pub fn format(&self, at: Timestamp, location: &Location) -> String {
        let (offset, abbreviation) = location.at(at);
        let local = Timestamp::from_secs_nanos(at.secs().saturating_add(offset.into()), at.subsec_nanos().into());
        let (year, month, day, hour, minute, second) = local.civil();
        let days = local.secs().div_euclid(86_400);
        let pad = |n: i64, pad: Pad, width: usize| match pad {
            Pad::None => n.to_string(),
            Pad::Space => format!("{n:width$}"),
            Pad::Zero => format!("{n:0width$}"),
        };
        let two = |n: u8, zero: bool| pad(n.into(), if zero { Pad::Zero } else { Pad::None }, 2);
        let hour12 = if hour.is_multiple_of(12) { 12 } else { hour % 12 };
        let mut out = String::new();
        for token in &self.tokens {
            out.push_str(&match token {
                Token::Literal(text) => text.to_string(),
                Token::LongYear => format!("{year:04}"),
                Token::Year => format!("{:02}", year.rem_euclid(100)),
                Token::LongMonth => MONTHS[usize::from(month) - 1].to_owned(),
                Token::Month => MONTHS[usize::from(month) - 1][..3].to_owned(),
                Token::NumMonth { zero } => two(month, *zero),
                Token::LongWeekday => DAYS[(days + 4).rem_euclid(7) as usize].to_owned(),
                Token::Weekday => DAYS[(days + 4).rem_euclid(7) as usize][..3].to_owned(),
                Token::Day(p) => pad(day.into(), *p, 2),
                Token::YearDay(p) => pad(days - days_from_civil(year, 1, 1) + 1, *p, 3),
                Token::Hour => two(hour, true),
                Token::Hour12 { zero } => two(hour12, *zero),
                Token::Minute { zero } => two(minute, *zero),
                Token::Second { zero } => two(second, *zero),
                Token::Pm { upper } => match (upper, hour >= 12) {
                    (true, true) => "PM".to_owned(),
                    (true, false) => "AM".to_owned(),
                    (false, true) => "pm".to_owned(),
                    (false, false) => "am".to_owned(),
                },
                Token::Abbreviation => abbreviation.clone(),
                Token::Offset(form) => write_offset(offset, *form),
                Token::Fraction { separator, digits } => {
                    format!("{separator}{}", &format!("{:09}", at.subsec_nanos())[..(*digits).min(9)])
                }
                Token::OptionalFraction { separator, digits } => {
                    let all = format!("{:09}", at.subsec_nanos());
                    let shown = all[..(*digits).min(9)].trim_end_matches('0');
                    if shown.is_empty() { String::new() } else { format!("{separator}{shown}") }
                }
            });
        }
        out
    }
}

fn write_offset(offset: i32, form: OffsetForm) -> String {
    if form.z && offset == 0 {
        return "Z".to_owned();
    }
    let sign = if offset < 0 { '-' } else { '+' };
    let size = offset.unsigned_abs();
    let colon = if form.colon { ":" } else { "" };
    let mut out = format!("{sign}{:02}", size / 3600);
    if form.parts > 1 {
        out.push_str(&format!("{colon}{:02}", size / 60 % 60));
    }
    if form.parts > 2 {
        out.push_str(&format!("{colon}{:02}", size % 60));
    }
    out
}

/// The token at the start of `rest`: (bytes before it that are literal, the token, bytes in all).
fn token(rest: &str) -> Option<(usize, Token, usize)> {
    let lower_at = |at: usize| rest.as_bytes().get(at).is_some_and(u8::is_ascii_lowercase);
    let found = |token: Token, len: usize| Some((0, token, len));
    if let Some(token) = fraction(rest) {
        return Some(token);
    }
    if rest.starts_with("January") {
        return found(Token::LongMonth, 7);
    }
    if rest.starts_with("Jan") && !lower_at(3) {
        return found(Token::Month, 3);
    }
    if rest.starts_with("Monday") {
        return found(Token::LongWeekday, 6);
    }
    if rest.starts_with("Mon") && !lower_at(3) {
        return found(Token::Weekday, 3);
    }
    for (z, prefix) in [(true, 'Z'), (false, '-')] {
        if let Some(after) = rest.strip_prefix(prefix)
            && let Some((text, colon, parts)) = OFFSETS.iter().find(|(text, ..)| after.starts_with(text))
        {
            return found(Token::Offset(OffsetForm { z, colon: *colon, parts: *parts }), 1 + text.len());
        }
    }
    if rest.starts_with("_2006") {
        return Some((1, Token::LongYear, 5));
    }
    let simple: [(&str, Token); 19] = [
        ("MST", Token::Abbreviation),
        ("002", Token::YearDay(Pad::Zero)),
        ("01", Token::NumMonth { zero: true }),
        ("02", Token::Day(Pad::Zero)),
        ("03", Token::Hour12 { zero: true }),
        ("04", Token::Minute { zero: true }),
        ("05", Token::Second { zero: true }),
        ("06", Token::Year),
        ("15", Token::Hour),
        ("1", Token::NumMonth { zero: false }),
        ("2006", Token::LongYear),
        ("__2", Token::YearDay(Pad::Space)),
        ("_2", Token::Day(Pad::Space)),
        ("2", Token::Day(Pad::None)),
        ("3", Token::Hour12 { zero: false }),
        ("4", Token::Minute { zero: false }),
        ("5", Token::Second { zero: false }),
        ("PM", Token::Pm { upper: true }),
        ("pm", Token::Pm { upper: false }),
    ];
    simple.into_iter().find(|(text, _)| rest.starts_with(text)).and_then(|(text, token)| found(token, text.len()))
}

/// `.000` or `,999`: a separator and equal digits that no other digit follows.
fn fraction(rest: &str) -> Option<(usize, Token, usize)> {
    let separator = rest.chars().next().filter(|c| matches!(c, '.' | ','))?;
    let digits = &rest.as_bytes()[1..];
    let first = *digits.first().filter(|d| matches!(d, b'0' | b'9'))?;
    let len = digits.iter().take_while(|d| **d == first).count();
    if digits.get(len).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let token = match first {
        b'0' => Token::Fraction { separator, digits: len },
        _ => Token::OptionalFraction { separator, digits: len },
    };
    Some((0, token, 1 + len))
}
