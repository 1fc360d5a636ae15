//! From the text of an expression to tokens.

use super::floats;
use serde_json::Value as Json;

/// A piece of an expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    /// A name without quotes; keywords too.
    Name(String),
    /// A name in double quotes.
    Quoted(String),
    /// `$name`
    Variable(String),
    /// A whole number.
    Number(i64),
    /// What stands in backticks, or a string in single quotes.
    Literal(Json),
    /// Anything of one or two characters: `[?`, `[]`, `||`, `.`; the Unicode signs for minus, times and divided by as `-`, `×`, `/`.
    Sign(&'static str),
}

/// All tokens of an expression.
pub fn tokens(source: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        let (token, len) = match c {
            ' ' | '\t' | '\n' | '\r' => {
                rest = &rest[1..];
                continue;
            }
            'a'..='z' | 'A'..='Z' | '_' => {
                let len = name_len(rest);
                (Token::Name(rest[..len].to_owned()), len)
            }
            '$' => match 1 + name_len(&rest[1..]) {
                1 => (Token::Sign("$"), 1),
                len => (Token::Variable(rest[..len].to_owned()), len),
            },
            '0'..='9' => number(rest)?,
            '-' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => number(rest)?,
            '"' => quoted(rest)?,
            '\'' => raw(rest)?,
            '`' => literal(rest)?,
            _ => sign(rest, c)?,
        };
        tokens.push(token);
        rest = &rest[len..];
    }
    Ok(tokens)
}

fn name_len(text: &str) -> usize {
    text.bytes().take_while(|b| *b == b'_' || b.is_ascii_alphanumeric()).count()
}

fn number(text: &str) -> Result<(Token, usize), String> {
    let len = 1 + text[1..].bytes().take_while(u8::is_ascii_digit).count();
    let value = text[..len].parse().map_err(|_| format!("the number {} is too large", &text[..len]))?;
    Ok((Token::Number(value), len))
}

/// The length of a text up to and with its closing delimiter; a backslash takes the character after it along.
fn delimited(text: &str, delimiter: char) -> Result<usize, String> {
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            c if c == delimiter => return Ok(at + 1),
            _ => {}
        }
    }
    Err(format!("{delimiter} is not closed"))
}

fn quoted(text: &str) -> Result<(Token, usize), String> {
    let len = delimited(text, '"')?;
    let name = serde_json::from_str(&text[..len]).map_err(|_| format!("{} is not a JSON string", &text[..len]))?;
    Ok((Token::Quoted(name), len))
}

/// Only the quote and the backslash can be escaped; any other backslash is one.
fn raw(text: &str) -> Result<(Token, usize), String> {
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        match (c, chars.peek()) {
            ('\'', _) => return Ok((Token::Literal(Json::String(value)), at + 1)),
            ('\\', Some((_, next @ ('\'' | '\\')))) => {
                value.push(*next);
                chars.next();
            }
            _ => value.push(c),
        }
    }
    Err("' is not closed".to_owned())
}

fn literal(text: &str) -> Result<(Token, usize), String> {
    let len = delimited(text, '`')?;
    let json = text[1..len - 1].replace("\\`", "`");
    let mut value = serde_json::from_str(&json).map_err(|_| format!("the literal `{json}` is not JSON"))?;
    floats(&mut value);
    Ok((Token::Literal(value), len))
}

fn sign(text: &str, c: char) -> Result<(Token, usize), String> {
    const SIGNS: [&str; 33] = [
        "[?", "[]", "||", "<=", ">=", "!=", "==", "&&", "//", "[", "]", "(", ")", "{", "}", ".", ",", ":", "*", "@",
        "+", "-", "/", "%", "|", "<", ">", "!", "=", "&", "\u{2212}", "\u{d7}", "\u{f7}",
    ];
    let found =
        SIGNS.into_iter().find(|sign| text.starts_with(sign)).ok_or_else(|| format!("unknown character {c:?}"))?;
    let meaning = match found {
        "\u{2212}" => "-",
        "\u{f7}" => "/",
        found => found,
    };
    Ok((Token::Sign(meaning), found.len()))
}
