//! Blocks, attributes and values of Alloy's syntax.
//!
//! An expression that is no literal is passed and becomes its description ([`Value::Expression`]): nothing is evaluated.

use super::lexer::{Lexer, Token};
use super::{AlloyError, Place, Tree, Value};

/// How deep blocks may be nested, and how deep values.
const MAX_DEPTH: usize = 12;

/// A block: `loki.process "a" { … }`.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// `loki.process`
    pub name: String,
    /// `a`
    pub label: Option<String>,
    /// Where its name is.
    pub place: Place,
    /// What it has, in order.
    pub attributes: Vec<Attribute>,
    /// What is in it, in order.
    pub blocks: Vec<Block>,
}

/// An attribute: `source = "a"`.
#[derive(Clone, Debug)]
pub(super) struct Attribute {
    pub name: String,
    pub place: Place,
    pub value: Tree,
}

/// Attributes and blocks.
type Body = (Vec<Attribute>, Vec<Block>);

/// Reads a file: its attributes and its blocks.
pub(super) fn parse(text: &str) -> Result<Body, AlloyError> {
    let mut parser = Parser { lexer: Lexer::new(text), next: (Token::End, Place::default()) };
    parser.advance()?;
    let body = parser.body(0)?;
    match parser.next {
        (Token::End, _) => Ok(body),
        (_, place) => Err(AlloyError::new(place, "unexpected `}`: no block is open")),
    }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    next: (Token, Place),
}

fn shown(token: &Token) -> String {
    match token {
        Token::Name(name) => format!("`{name}`"),
        Token::Number(number) => format!("the number `{number}`"),
        Token::Text(_) => "a text".to_owned(),
        Token::Sign(sign) => format!("`{sign}`"),
        Token::End => "the end of the file".to_owned(),
    }
}

impl Parser<'_> {
    /// The next token, which is passed.
    fn advance(&mut self) -> Result<(Token, Place), AlloyError> {
        let next = self.lexer.next()?;
        Ok(std::mem::replace(&mut self.next, next))
    }

    fn is_sign(&self, sign: &str) -> bool {
        matches!(&self.next.0, Token::Sign(next) if *next == sign)
    }

    /// Passes `sign`, if it is next.
    fn eat(&mut self, sign: &str) -> Result<bool, AlloyError> {
        let is_next = self.is_sign(sign);
        if is_next {
            self.advance()?;
        }
        Ok(is_next)
    }

    fn expect(&mut self, sign: &str) -> Result<Place, AlloyError> {
        let (token, place) = self.advance()?;
        match token {
            Token::Sign(next) if next == sign => Ok(place),
            other => Err(AlloyError::new(place, format!("expected `{sign}`, not {}", shown(&other)))),
        }
    }

    /// Attributes and blocks up to the end of the block, or of the file.
    fn body(&mut self, depth: usize) -> Result<Body, AlloyError> {
        let (mut attributes, mut blocks): Body = (vec![], vec![]);
        while !self.is_sign("}") && self.next.0 != Token::End {
            let (token, place) = self.advance()?;
            let Token::Name(mut name) = token else {
                return Err(AlloyError::new(place, format!("expected an attribute or a block, not {}", shown(&token))));
            };
            if self.eat("=")? {
                let value = self.expression(0)?;
                if attributes.iter().any(|known: &Attribute| known.name == name) {
                    return Err(AlloyError::new(place, format!("the attribute `{name}` is there twice")));
                }
                attributes.push(Attribute { name, place, value });
                continue;
            }
            let mut end = place.end;
            while self.eat(".")? {
                let (token, at) = self.advance()?;
                let Token::Name(part) = token else {
                    return Err(AlloyError::new(at, format!("expected a name, not {}", shown(&token))));
                };
                name = format!("{name}.{part}");
                end = at.end;
            }
            let place = Place { end, ..place };
            let label = match &self.next.0 {
                Token::Text(label) => Some(label.clone()),
                _ => None,
            };
            if label.is_some() {
                self.advance()?;
            }
            if !self.is_sign("{") {
                let expected = if name.contains('.') { "expected `{`" } else { "expected `=` or `{`" };
                let message = format!("{expected} after `{name}`, not {}", shown(&self.next.0));
                return Err(AlloyError::new(self.next.1, message));
            }
            if depth >= MAX_DEPTH {
                return Err(AlloyError::new(place, format!("blocks may be nested at most {MAX_DEPTH} deep")));
            }
            self.advance()?;
            let (inner, nested) = self.body(depth + 1)?;
            if self.next.0 == Token::End {
                return Err(AlloyError::new(place, format!("the block `{name}` does not end: there is no `}}`")));
            }
            self.advance()?;
            blocks.push(Block { name, label, place, attributes: inner, blocks: nested });
        }
        Ok((attributes, blocks))
    }

    /// A value, with all operators behind it.
    fn expression(&mut self, depth: usize) -> Result<Tree, AlloyError> {
        let mut value = self.operand(depth)?;
        while let Token::Sign(
            sign @ ("+" | "-" | "*" | "/" | "%" | "^" | "==" | "!=" | "<" | "<=" | ">" | ">=" | "&&" | "||"),
        ) = self.next.0
        {
            self.advance()?;
            let right = self.operand(depth)?;
            value.place.end = right.place.end;
            value.value = Value::Expression(format!("the operator `{sign}`"));
        }
        Ok(value)
    }

    /// A value without operators but for those before it, and what is asked of it.
    fn operand(&mut self, depth: usize) -> Result<Tree, AlloyError> {
        if depth > MAX_DEPTH {
            return Err(AlloyError::new(self.next.1, format!("values may be nested at most {MAX_DEPTH} deep")));
        }
        let (token, place) = self.advance()?;
        let mut value = match token {
            Token::Text(text) => Value::Scalar(text),
            Token::Number(number) => Value::Scalar(number),
            Token::Name(name) => match name.as_str() {
                "null" => Value::Null,
                "true" | "false" => Value::Scalar(name),
                _ => Value::Expression(format!("the reference `{name}`")),
            },
            Token::Sign("[") => Value::List(self.list(depth)?),
            Token::Sign("{") => Value::Map(self.object(depth)?),
            Token::Sign("(") => {
                let inner = self.expression(depth + 1)?;
                self.expect(")")?;
                inner.value
            }
            Token::Sign(sign @ ("-" | "!")) => {
                let is_number = matches!(self.next.0, Token::Number(_));
                match (sign, self.operand(depth + 1)?.value) {
                    ("-", Value::Scalar(number)) if is_number => Value::Scalar(format!("-{number}")),
                    _ => Value::Expression(format!("the operator `{sign}`")),
                }
            }
            other => return Err(AlloyError::new(place, format!("expected a value, not {}", shown(&other)))),
        };
        self.access(&mut value, depth)?;
        Ok(Tree { place, value })
    }

    /// What is asked of a value: fields, elements, a call.
    fn access(&mut self, value: &mut Value, depth: usize) -> Result<(), AlloyError> {
        let name = |value: &Value| match value {
            Value::Expression(text) => text.split('`').nth(1).unwrap_or_default().to_owned(),
            _ => String::new(),
        };
        loop {
            if self.eat(".")? {
                let (token, place) = self.advance()?;
                let Token::Name(field) = token else {
                    return Err(AlloyError::new(place, format!("expected a name, not {}", shown(&token))));
                };
                *value = Value::Expression(format!("the reference `{}.{field}`", name(value)));
            } else if self.eat("[")? {
                self.expression(depth + 1)?;
                self.expect("]")?;
                *value = Value::Expression(format!("the element `{}[…]`", name(value)));
            } else if self.eat("(")? {
                while !self.is_sign(")") {
                    self.expression(depth + 1)?;
                    if !self.eat(",")? {
                        break;
                    }
                }
                self.expect(")")?;
                *value = Value::Expression(format!("the call `{}(…)`", name(value)));
            } else {
                return Ok(());
            }
        }
    }

    /// After a `[`.
    fn list(&mut self, depth: usize) -> Result<Vec<Tree>, AlloyError> {
        let mut items = vec![];
        while !self.is_sign("]") {
            items.push(self.expression(depth + 1)?);
            if !self.eat(",")? {
                break;
            }
        }
        self.expect("]")?;
        Ok(items)
    }

    /// After a `{`.
    fn object(&mut self, depth: usize) -> Result<Vec<(String, Place, Tree)>, AlloyError> {
        let mut entries: Vec<(String, Place, Tree)> = vec![];
        while !self.is_sign("}") {
            let (token, place) = self.advance()?;
            let (Token::Name(key) | Token::Text(key)) = token else {
                return Err(AlloyError::new(place, format!("expected a key, not {}", shown(&token))));
            };
            if entries.iter().any(|(known, ..)| *known == key) {
                return Err(AlloyError::new(place, format!("the key `{}` is there twice", key.escape_debug())));
            }
            self.expect("=")?;
            entries.push((key, place, self.expression(depth + 1)?));
            if !self.eat(",")? {
                break;
            }
        }
        self.expect("}")?;
        Ok(entries)
    }
}
