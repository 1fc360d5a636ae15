//! Cuts a template into text and the tokens of its actions.

use super::TemplateError;
use crate::go::quote::unescape;
use crate::text::Text;

/// A token, with the line it is on.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    pub kind: Kind,
    pub line: usize,
    /// Whether white space stands before it, which separates arguments.
    pub spaced: bool,
}

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Text outside of actions.
    Text(Text),
    /// `{{`
    Open,
    /// `}}`
    Close,
    /// A function's name or a keyword.
    Word(String),
    /// `.name`
    Field(String),
    /// `.`
    Dot,
    /// `$name`, or `$`.
    Variable(String),
    /// A string literal.
    String(Text),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(f64),
    /// `:=`, `=`, `|`, `,`, `(` or `)`.
    Symbol(&'static str),
    /// The end of the template.
    End,
}

/// Cuts `source` into tokens.
pub fn lex(source: &str) -> Result<Vec<Token>, TemplateError> {
    let mut lexer = Lexer { source, at: 0, tokens: Vec::new() };
    lexer.run()?;
    lexer.push(Kind::End, false);
    Ok(lexer.tokens)
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    tokens: Vec<Token>,
}

const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

fn is_name(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn line(&self) -> usize {
        1 + self.source[..self.at].matches('\n').count()
    }

    fn fail<T>(&self, what: impl Into<String>) -> Result<T, TemplateError> {
        Err(TemplateError { line: self.line(), what: what.into() })
    }

    fn push(&mut self, kind: Kind, spaced: bool) {
        // Lines are counted only as far as there can be another.
        let line = self.line();
        self.tokens.push(Token { kind, line, spaced });
    }

    fn run(&mut self) -> Result<(), TemplateError> {
        let mut trim_left = false;
        while !self.rest().is_empty() {
            let rest = self.rest();
            let open = rest.find("{{").unwrap_or(rest.len());
            let mut text = &rest[..open];
            if trim_left {
                text = text.trim_start_matches(SPACE);
            }
            let action = rest.get(open + 2..).unwrap_or_default();
            let trim_right = action.starts_with('-') && action[1..].starts_with(SPACE);
            if trim_right {
                text = text.trim_end_matches(SPACE);
            }
            if !text.is_empty() {
                self.push(Kind::Text(text.into()), false);
            }
            if open == rest.len() {
                return Ok(());
            }
            self.at += open + 2 + if trim_right { 2 } else { 0 };
            trim_left = self.action()?;
        }
        Ok(())
    }

    /// One action, after its `{{`; whether what follows is trimmed.
    fn action(&mut self) -> Result<bool, TemplateError> {
        let start = self.rest().trim_start_matches(SPACE);
        if let Some(comment) = self
            .rest()
            .strip_prefix("/*")
            .or_else(|| start.strip_prefix("/*").filter(|_| self.source[..self.at].ends_with(SPACE)))
        {
            let Some(end) = comment.find("*/") else { return self.fail("unclosed comment") };
            let after = &comment[end + 2..];
            let trimmed = after.trim_start_matches(SPACE);
            let (trim, after) = match (after.strip_prefix("}}"), trimmed.strip_prefix("-}}")) {
                (Some(after), _) => (false, after),
                (None, Some(dashed)) if trimmed.len() < after.len() => (true, dashed),
                _ => return self.fail("a comment ends before the closing delimiter"),
            };
            self.at = self.source.len() - after.len();
            return Ok(trim);
        }
        self.push(Kind::Open, false);
        let mut parens = 0usize;
        loop {
            let rest = self.rest();
            let inner = rest.trim_start_matches(SPACE);
            let spaced = inner.len() < rest.len();
            self.at = self.source.len() - inner.len();
            if spaced && inner.starts_with("-}}") {
                self.at += 3;
                return self.close(parens, true);
            }
            if inner.starts_with("}}") {
                self.at += 2;
                return self.close(parens, false);
            }
            let kind = self.token(&mut parens)?;
            self.push(kind, spaced);
        }
    }

    fn close(&mut self, parens: usize, trim: bool) -> Result<bool, TemplateError> {
        if parens > 0 {
            return self.fail("unclosed left paren");
        }
        self.push(Kind::Close, false);
        Ok(trim)
    }

    fn token(&mut self, parens: &mut usize) -> Result<Kind, TemplateError> {
        let rest = self.rest();
        let Some(c) = rest.chars().next() else { return self.fail("unclosed action") };
        for symbol in [":=", "=", "|", ",", "(", ")"] {
            if rest.starts_with(symbol) {
                self.at += symbol.len();
                match symbol {
                    "(" => *parens += 1,
                    ")" if *parens == 0 => return self.fail("unexpected right paren"),
                    ")" => *parens -= 1,
                    _ => {}
                }
                return Ok(Kind::Symbol(symbol));
            }
        }
        let after = &rest[c.len_utf8()..];
        match c {
            '"' => self.quoted(after),
            '`' => {
                let Some(end) = after.find('`') else { return self.fail("unterminated raw quoted string") };
                self.at += end + 2;
                Ok(Kind::String(after[..end].into()))
            }
            '\'' => self.character(after),
            '.' if !after.starts_with(|c: char| c.is_ascii_digit()) => {
                let name = self.name(after);
                self.at += 1 + name.len();
                self.terminated(if name.is_empty() { Kind::Dot } else { Kind::Field(name.to_owned()) })
            }
            '$' => {
                let name = self.name(after);
                self.at += 1 + name.len();
                self.terminated(Kind::Variable(name.to_owned()))
            }
            '+' | '-' | '.' | '0'..='9' => self.number(),
            c if is_name(c) => {
                let name = self.name(rest);
                self.at += name.len();
                self.terminated(Kind::Word(name.to_owned()))
            }
            c => self.fail(format!("unexpected {c:?} in an action")),
        }
    }

    fn name(&self, text: &'a str) -> &'a str {
        &text[..text.find(|c| !is_name(c)).unwrap_or(text.len())]
    }

    /// A name must end where something else can begin.
    fn terminated(&self, kind: Kind) -> Result<Kind, TemplateError> {
        let rest = self.rest();
        let ends = rest.is_empty()
            || rest.starts_with(SPACE)
            || rest.starts_with(['.', ',', '|', ':', ')', '(', '='])
            || rest.starts_with("}}");
        if ends { Ok(kind) } else { self.fail(format!("bad character {:?}", rest.chars().next().unwrap_or(' '))) }
    }

    fn quoted(&mut self, inside: &str) -> Result<Kind, TemplateError> {
        let mut escaped = false;
        for (i, c) in inside.char_indices() {
            match c {
                '"' if !escaped => {
                    let Some(text) = unescape(&inside[..i]) else { return self.fail("invalid escape in a string") };
                    self.at += i + 2;
                    return Ok(Kind::String(text.into()));
                }
                '\n' => break,
                c => escaped = c == '\\' && !escaped,
            }
        }
        self.fail("unterminated quoted string")
    }

    /// `'a'` is the number of the character.
    fn character(&mut self, inside: &str) -> Result<Kind, TemplateError> {
        let escaped = inside.starts_with('\\');
        let close = inside[inside.floor_char_boundary(usize::from(escaped) * 2)..].find('\'');
        let Some(end) = close.map(|i| i + inside.floor_char_boundary(usize::from(escaped) * 2)) else {
            return self.fail("unterminated character constant");
        };
        let text = if inside[..end] == *"\\'" { Some(b"'".to_vec()) } else { unescape(&inside[..end]) };
        let text = text.and_then(|bytes| String::from_utf8(bytes).ok());
        let mut chars = text.as_deref().unwrap_or_default().chars();
        match (chars.next(), chars.next()) {
            (Some(c), None) => {
                self.at += end + 2;
                Ok(Kind::Int(i64::from(u32::from(c))))
            }
            _ => self.fail("malformed character constant"),
        }
    }

    fn number(&mut self) -> Result<Kind, TemplateError> {
        let rest = self.rest();
        let mut end = 0;
        let hex = rest.trim_start_matches(['+', '-']).to_ascii_lowercase().starts_with("0x");
        for (i, c) in rest.char_indices() {
            let sign =
                matches!(c, '+' | '-') && (i == 0 || rest[..i].ends_with(if hex { ['p', 'P'] } else { ['e', 'E'] }));
            if !(sign || c == '.' || is_name(c)) {
                break;
            }
            end = i + c.len_utf8();
        }
        let text = &rest[..end];
        self.at += end;
        if let Some(int) = crate::go::number::parse_int_base0(text) {
            return Ok(Kind::Int(int));
        }
        let plain = text.replace('_', "");
        match crate::go::number::parse_float(&plain)
            .filter(|f| f.is_finite() && plain.contains(['.', 'e', 'E', 'p', 'P']))
        {
            Some(float) => Ok(Kind::Float(float)),
            None => self.fail(format!("bad number syntax: {text:?}")),
        }
    }
}
