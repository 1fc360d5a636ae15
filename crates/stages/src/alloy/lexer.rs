//! Tokens of Alloy's syntax.

use super::{AlloyError, Place};
use crate::go::quote;

/// What a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A name, or `true`, `false` and `null`.
    Name(String),
    /// A number as it is written.
    Number(String),
    /// A text without its quotes and escapes.
    Text(String),
    /// Anything else: `{`, `==`.
    Sign(&'static str),
    /// There is no more.
    End,
}

/// The signs, longer ones before those they begin with.
const SIGNS: [&str; 26] = [
    "==", "!=", "<=", ">=", "&&", "||", "{", "}", "[", "]", "(", ")", "=", ",", ".", "+", "-", "*", "/", "%", "^", "!",
    "<", ">", "?", ":",
];

/// Reads tokens one by one.
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: Place,
}

impl<'a> Lexer<'a> {
    /// A text from its beginning.
    pub fn new(text: &'a str) -> Self {
        Self { text, at: Place { start: 0, end: 0, line: 1, column: 1 } }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at.start..]
    }

    /// Passes so many bytes.
    fn pass(&mut self, bytes: usize) {
        let passed = &self.rest()[..bytes];
        match passed.rsplit_once('\n') {
            Some((_, last)) => {
                self.at.line += passed.matches('\n').count();
                self.at.column = 1 + last.chars().count();
            }
            None => self.at.column += passed.chars().count(),
        }
        self.at.start += bytes;
    }

    /// Passes what means nothing.
    fn space(&mut self) -> Result<(), AlloyError> {
        loop {
            let rest = self.rest();
            let len = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n', '\u{feff}']).len();
            let len = if len > 0 {
                len
            } else if rest.starts_with("//") {
                rest.find('\n').unwrap_or(rest.len())
            } else if let Some(comment) = rest.strip_prefix("/*") {
                match comment.find("*/") {
                    Some(end) => end + 4,
                    None => return Err(AlloyError::new(self.at, "a comment that does not end")),
                }
            } else {
                return Ok(());
            };
            self.pass(len);
        }
    }

    /// The next token, and where it is.
    pub fn next(&mut self) -> Result<(Token, Place), AlloyError> {
        self.space()?;
        let (rest, start) = (self.rest(), self.at);
        let Some(first) = rest.chars().next() else { return Ok((Token::End, Place { end: start.start, ..start })) };
        let while_in = |fits: fn(char) -> bool| rest.find(|c| !fits(c)).unwrap_or(rest.len());
        let (token, len) = if first == '_' || first.is_alphabetic() {
            let len = while_in(|c| c == '_' || c.is_alphanumeric());
            (Token::Name(rest[..len].to_owned()), len)
        } else if first.is_ascii_digit() || (first == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
            let len = number(rest);
            (Token::Number(rest[..len].to_owned()), len)
        } else if first == '"' {
            self.quoted(rest)?
        } else if first == '`' {
            let end = rest[1..]
                .find('`')
                .ok_or_else(|| AlloyError::new(start, "a text that does not end: there is no second `"))?;
            // As in Go, a carriage return is no part of a raw text.
            (Token::Text(rest[1..=end].replace('\r', "")), end + 2)
        } else {
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
            let sign = sign.ok_or_else(|| AlloyError::new(start, format!("unexpected `{}`", first.escape_debug())))?;
            (Token::Sign(sign), sign.len())
        };
        self.pass(len);
        Ok((token, Place { end: start.start + len, ..start }))
    }

    /// A text in double quotes.
    fn quoted(&self, rest: &str) -> Result<(Token, usize), AlloyError> {
        let mut escaped = false;
        let end = rest.char_indices().skip(1).find(|(_, c)| match c {
            '\n' => true,
            '"' if !escaped => true,
            _ => {
                escaped = *c == '\\' && !escaped;
                false
            }
        });
        let Some((end, '"')) = end else {
            return Err(AlloyError::new(self.at, "a text that does not end in its line"));
        };
        let text = quote::unescape(&rest[1..end]).and_then(|bytes| String::from_utf8(bytes).ok());
        let text = text
            .ok_or_else(|| AlloyError::new(self.at, "a text with an escape that there is not, or that is not UTF-8"))?;
        Ok((Token::Text(text), end + 1))
    }
}

/// The length of a number: digits, a fraction, an exponent.
fn number(text: &str) -> usize {
    let digits = |from: usize| text[from..].bytes().take_while(u8::is_ascii_digit).count();
    let mut at = digits(0);
    if text[at..].starts_with('.') {
        at += 1 + digits(at + 1);
    }
    if text[at..].starts_with(['e', 'E']) {
        let sign = usize::from(text[at + 1..].starts_with(['+', '-']));
        match digits(at + 1 + sign) {
            0 => {}
            exponent => at += 1 + sign + exponent,
        }
    }
    at
}
