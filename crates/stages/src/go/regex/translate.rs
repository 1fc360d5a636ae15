//! Rewrites a regular expression from Go's syntax (RE2) into that of the `regex` engine.
//!
//! | Go | here |
//! |---|---|
//! | `\d \w \s \b` are ASCII, `\s` has no vertical tab | explicit classes, `(?-u:\b)` |
//! | `\Q…\E`, octal `\101`, `\<` | literals |
//! | a brace that is no repetition; `[`, `&`, `-`, `~` in a class | escaped |
//! | a group name twice, or beginning with a digit | unnamed, names kept beside |
//! | `\pN`, `\p{Greek}`, `\p{uppercase letter}` | `\p{gc=…}`, `\p{sc=…}` |
//! | `a**`, `{1001}`, `(?x)`, `\u0041`, `\p{Alphabetic}` | refused, as Go refuses them |

use super::RegexError;
use regex_automata::util::syntax;
use std::iter::Peekable;
use std::str::CharIndices;

/// The largest repetition count, and the largest product of nested ones.
const MAX_REPEAT: u32 = 1000;

/// The POSIX classes.
const POSIX: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word",
    "xdigit",
];

/// An expression for the engine.
#[derive(Debug)]
pub struct Translated {
    /// The expression, all capturing groups unnamed.
    pub pattern: String,
    /// Go's names by group number; group 0 is the whole match.
    pub names: Vec<Option<Box<str>>>,
}

/// Rewrites `source`.
pub fn translate(source: &str) -> Result<Translated, RegexError> {
    let mut t = Translator {
        source,
        chars: source.char_indices().peekable(),
        out: String::with_capacity(source.len() + 16),
        names: vec![None],
        groups: Vec::new(),
        largest: 1,
        last: Last::Nothing,
    };
    t.run()?;
    Ok(Translated { pattern: t.out, names: t.names })
}

/// What stands before the current position, and so may be repeated.
#[derive(Clone, Copy)]
enum Last {
    /// The start of the expression, of a group or of an alternative.
    Nothing,
    /// Something whose repetitions multiply to this already.
    Atom(u32),
    /// A repetition that began at this offset.
    Repeat(usize),
}

struct Translator<'a> {
    source: &'a str,
    chars: Peekable<CharIndices<'a>>,
    out: String,
    names: Vec<Option<Box<str>>>,
    /// For each open group the largest repetition before it.
    groups: Vec<u32>,
    /// The largest product of nested repetitions in the current group.
    largest: u32,
    last: Last,
}

impl<'a> Translator<'a> {
    fn run(&mut self) -> Result<(), RegexError> {
        while let Some((at, c)) = self.chars.next() {
            match c {
                '\\' => self.escape(at)?,
                '[' => {
                    self.class(at)?;
                    self.last = Last::Atom(1);
                }
                '(' => self.open(at)?,
                ')' => {
                    let Some(before) = self.groups.pop() else {
                        return Err(RegexError::new("unexpected )", self.source));
                    };
                    self.out.push(')');
                    self.last = Last::Atom(self.largest);
                    self.largest = self.largest.max(before);
                }
                '|' => {
                    self.out.push('|');
                    self.last = Last::Nothing;
                }
                '*' | '+' | '?' => self.repeat(at, &self.source[at..at + 1], None)?,
                '{' => match counts(&self.source[at..]) {
                    Some((len, counts)) => {
                        for _ in 1..len {
                            self.chars.next();
                        }
                        self.repeat(at, &self.source[at..at + len], Some(counts))?;
                    }
                    None => self.literal('{'),
                },
                '^' | '$' | '.' => {
                    self.out.push(c);
                    self.last = Last::Atom(1);
                }
                c => self.literal(c),
            }
        }
        if self.groups.is_empty() { Ok(()) } else { Err(RegexError::new("missing closing )", self.source)) }
    }

    fn literal(&mut self, c: char) {
        push_literal(&mut self.out, c);
        self.last = Last::Atom(1);
    }

    fn rest(&mut self) -> &'a str {
        match self.chars.peek() {
            Some((at, _)) => &self.source[*at..],
            None => "",
        }
    }

    fn skip(&mut self, chars: usize) {
        for _ in 0..chars {
            self.chars.next();
        }
    }

    fn repeat(&mut self, at: usize, operator: &str, counts: Option<(u32, Option<u32>)>) -> Result<(), RegexError> {
        let lazy = self.rest().starts_with('?');
        let end = at + operator.len() + usize::from(lazy);
        let product = match self.last {
            Last::Nothing => return Err(RegexError::new("missing argument to repetition operator", operator)),
            Last::Repeat(start) => {
                return Err(RegexError::new("invalid nested repetition operator", &self.source[start..end]));
            }
            Last::Atom(product) => product,
        };
        if let Some((low, high)) = counts {
            let times = high.unwrap_or(low);
            if low > times || times > MAX_REPEAT || product * times.max(1) > MAX_REPEAT {
                return Err(RegexError::new("invalid repeat count", operator));
            }
            self.largest = self.largest.max(product * times.max(1));
        }
        self.out.push_str(operator);
        if lazy {
            self.skip(1);
            self.out.push('?');
        }
        self.last = Last::Repeat(at);
        Ok(())
    }

    /// After a `(`.
    fn open(&mut self, at: usize) -> Result<(), RegexError> {
        let rest = self.rest();
        let Some(inner) = rest.strip_prefix('?') else {
            self.names.push(None);
            return self.opened("(");
        };
        if let Some(named) = inner.strip_prefix("P<").or_else(|| inner.strip_prefix('<')) {
            let valid = |name: &str| !name.is_empty() && name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric());
            let Some((name, _)) = named.split_once('>').filter(|(name, _)| valid(name)) else {
                let lookbehind = named.starts_with(['=', '!']) && !inner.starts_with('P');
                let what = if lookbehind { "lookaround is not supported" } else { "invalid named capture" };
                return Err(RegexError::new(what, clip(&self.source[at..])));
            };
            let skipped = 1 + (inner.len() - named.len()) + name.len() + 1;
            self.skip(skipped);
            self.names.push(Some(name.into()));
            return self.opened("(");
        }
        if inner.starts_with(['=', '!']) {
            return Err(RegexError::new("lookaround is not supported", clip(&self.source[at..])));
        }
        let flags = &inner[..inner.find([':', ')']).unwrap_or(inner.len())];
        let legal = flags.chars().all(|c| matches!(c, 'i' | 'm' | 's' | 'U' | '-'))
            && flags.matches('-').count() <= 1
            && !flags.ends_with('-');
        let end = inner[flags.len()..].chars().next().filter(|_| legal);
        match end {
            Some(':') => {
                self.skip(1 + flags.len() + 1);
                let open = format!("(?{flags}:");
                self.opened(&open)
            }
            Some(_) if !flags.is_empty() => {
                self.skip(1 + flags.len() + 1);
                self.out.push_str(&format!("(?{flags})"));
                Ok(())
            }
            _ => Err(RegexError::new("invalid or unsupported Perl syntax", clip(&self.source[at..]))),
        }
    }

    fn opened(&mut self, open: &str) -> Result<(), RegexError> {
        if self.groups.len() >= 150 {
            return Err(RegexError::new("expression nests too deeply", clip(self.source)));
        }
        self.out.push_str(open);
        self.groups.push(self.largest);
        self.largest = 1;
        self.last = Last::Nothing;
        Ok(())
    }

    /// After a `\` outside of a class.
    fn escape(&mut self, at: usize) -> Result<(), RegexError> {
        let Some(&(_, c)) = self.chars.peek() else {
            return Err(RegexError::new("trailing backslash at end of expression", ""));
        };
        let class = match c {
            'A' | 'z' => format!("\\{c}"),
            'b' | 'B' => format!("(?-u:\\{c})"),
            'Q' => {
                self.skip(1);
                let rest = self.rest();
                let quoted = rest.split_once("\\E").map_or(rest, |(quoted, _)| quoted);
                self.skip(quoted.chars().count());
                if !self.rest().is_empty() {
                    self.skip(2);
                }
                for c in quoted.chars() {
                    self.literal(c);
                }
                return Ok(());
            }
            'd' | 'D' | 's' | 'S' | 'w' | 'W' => perl_class(c),
            'p' | 'P' => {
                let property = self.property(at)?;
                self.out.push_str(&property);
                self.last = Last::Atom(1);
                return Ok(());
            }
            _ => {
                let c = self.escaped_char(at)?;
                self.literal(c);
                return Ok(());
            }
        };
        self.skip(1);
        self.out.push_str(&class);
        self.last = Last::Atom(1);
        Ok(())
    }

    /// After a `\` that stands before `p` or `P`: a Unicode class.
    fn property(&mut self, at: usize) -> Result<String, RegexError> {
        let invalid = |near: &str| RegexError::new("invalid character class range", clip(near));
        let negated = matches!(self.chars.next(), Some((_, 'P')));
        let rest = self.rest();
        let (name, len) = match rest.strip_prefix('{') {
            Some(inner) => {
                let (name, _) = inner.split_once('}').ok_or_else(|| invalid(&self.source[at..]))?;
                (name, name.chars().count() + 2)
            }
            None => {
                let c = rest.chars().next().ok_or_else(|| invalid(&self.source[at..]))?;
                (&rest[..c.len_utf8()], 1)
            }
        };
        self.skip(len);
        let (name, negated) = name.strip_prefix('^').map_or((name, negated), |name| (name, !negated));
        unicode_class(name, negated).ok_or_else(|| invalid(&self.source[at..]))
    }

    /// After a `\`: one character.
    fn escaped_char(&mut self, at: usize) -> Result<char, RegexError> {
        let invalid = |near: &str| RegexError::new("invalid escape sequence", clip(near));
        let near = &self.source[at..];
        let Some((_, c)) = self.chars.next() else {
            return Err(RegexError::new("trailing backslash at end of expression", ""));
        };
        Ok(match c {
            'a' => '\x07',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            'x' => {
                let rest = self.rest();
                let (digits, len) = match rest.strip_prefix('{') {
                    Some(inner) => {
                        let (digits, _) = inner.split_once('}').ok_or_else(|| invalid(near))?;
                        (digits, digits.chars().count() + 2)
                    }
                    None => (rest.get(..2).ok_or_else(|| invalid(near))?, 2),
                };
                if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Err(invalid(near));
                }
                self.skip(len);
                u32::from_str_radix(digits, 16).ok().and_then(char::from_u32).ok_or_else(|| invalid(near))?
            }
            '0'..='7' => {
                // One digit from 1 to 7 by itself would be a back reference.
                let octal = |c: Option<char>| c.and_then(|c| c.to_digit(8));
                let mut value = c.to_digit(8).unwrap_or_default();
                if c != '0' && octal(self.rest().chars().next()).is_none() {
                    return Err(invalid(near));
                }
                for _ in 0..2 {
                    if let Some(digit) = octal(self.rest().chars().next()) {
                        value = value * 8 + digit;
                        self.skip(1);
                    }
                }
                char::from_u32(value).ok_or_else(|| invalid(near))?
            }
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => c,
            _ => return Err(invalid(near)),
        })
    }

    /// After a `[`.
    fn class(&mut self, at: usize) -> Result<(), RegexError> {
        let missing = |t: &Self| RegexError::new("missing closing ]", clip(&t.source[at..]));
        self.out.push('[');
        if self.rest().starts_with('^') {
            self.skip(1);
            self.out.push('^');
        }
        let mut first = true;
        loop {
            let rest = self.rest();
            if rest.is_empty() {
                return Err(missing(self));
            }
            if rest.starts_with(']') && !first {
                self.skip(1);
                self.out.push(']');
                return Ok(());
            }
            first = false;
            if rest.starts_with("[:")
                && let Some(end) = rest[2..].find(":]")
            {
                let posix = &rest[..end + 4];
                if !POSIX.contains(&rest[2..end + 2].trim_start_matches('^')) {
                    return Err(RegexError::new("invalid character class range", posix));
                }
                self.skip(posix.chars().count());
                self.out.push_str(posix);
                continue;
            }
            if let Some(escaped) = rest.strip_prefix('\\')
                && let Some(c) = escaped.chars().next()
            {
                if matches!(c, 'd' | 'D' | 's' | 'S' | 'w' | 'W') {
                    self.skip(2);
                    self.out.push_str(&perl_class(c));
                    continue;
                }
                if matches!(c, 'p' | 'P') {
                    let at = self.source.len() - rest.len();
                    self.skip(1);
                    let property = self.property(at)?;
                    self.out.push_str(&property);
                    continue;
                }
            }
            self.range(rest)?;
        }
    }

    /// One character of a class, or two with a hyphen between them.
    fn range(&mut self, rest: &str) -> Result<(), RegexError> {
        let low = self.class_char()?;
        let after = self.rest();
        if !(after.starts_with('-') && after.len() > 1 && !after.starts_with("-]")) {
            push_literal(&mut self.out, low);
            return Ok(());
        }
        self.skip(1);
        let high = self.class_char()?;
        if high < low {
            return Err(RegexError::new("invalid character class range", clip(rest)));
        }
        push_literal(&mut self.out, low);
        self.out.push('-');
        push_literal(&mut self.out, high);
        Ok(())
    }

    fn class_char(&mut self) -> Result<char, RegexError> {
        match self.chars.next() {
            Some((at, '\\')) => self.escaped_char(at),
            Some((_, c)) => Ok(c),
            None => Err(RegexError::new("missing closing ]", clip(self.source))),
        }
    }
}

/// Go's Perl classes are ASCII.
fn perl_class(c: char) -> String {
    let members = match c.to_ascii_lowercase() {
        'd' => "0-9",
        's' => "\\t\\n\\x0C\\r ",
        _ => "0-9A-Za-z_",
    };
    format!("[{}{members}]", if c.is_ascii_uppercase() { "^" } else { "" })
}

/// The class of Unicode with this name, if Go has it: a general category, a script, or one of three more; not a property such as
/// `Alphabetic`. Case, spaces, hyphens and underscores do not matter.
fn unicode_class(name: &str, negated: bool) -> Option<String> {
    if !name.bytes().all(|b| matches!(b, b' ' | b'-' | b'_') || b.is_ascii_alphanumeric()) {
        return None;
    }
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    let known = |class: String| syntax::parse(&class).is_ok().then_some(class);
    let p = if negated { 'P' } else { 'p' };
    match name.as_str() {
        "any" | "ascii" | "assigned" => Some(format!("\\{p}{{{name}}}")),
        // No text has surrogates.
        "cs" | "surrogate" => Some(format!("[{}\\x00-\\x{{10FFFF}}]", if negated { "" } else { "^" })),
        _ if name.starts_with("is") => None,
        _ => known(format!("\\{p}{{gc={name}}}")).or_else(|| known(format!("\\{p}{{sc={name}}}"))),
    }
}

/// A character that means itself, in a class and outside of one.
fn push_literal(out: &mut String, c: char) {
    if c.is_ascii() && !c.is_ascii_alphanumeric() {
        out.push_str(&format!("\\x{:02X}", c as u32));
    } else {
        out.push(c);
    }
}

/// `{n}`, `{n,}` or `{n,m}` at the start of `text`: (length, (n, m)). Anything else after a brace makes it a literal brace.
fn counts(text: &str) -> Option<(usize, (u32, Option<u32>))> {
    let inner = text.strip_prefix('{')?;
    let (inner, _) = inner.split_once('}')?;
    let number = |digits: &str| {
        let legal = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let padded = digits.len() > 1 && digits.starts_with('0');
        // A count too large to read is too large to be legal.
        (legal && !padded).then(|| digits.parse::<u32>().unwrap_or(u32::MAX).min(MAX_REPEAT + 1))
    };
    let counts = match inner.split_once(',') {
        None => (number(inner)?, Some(number(inner)?)),
        Some((low, "")) => (number(low)?, None),
        Some((low, high)) => (number(low)?, Some(number(high)?)),
    };
    Some((inner.len() + 2, counts))
}

fn clip(text: &str) -> &str {
    &text[..text.floor_char_boundary(40)]
}
