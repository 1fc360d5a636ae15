//! From the text of an expression to its tree. Precedence climbing; depth is bounded.

use super::{Node, Op};
use crate::field::Root;
use crate::value::Value;
use stages::go::regex::Regex;

/// Parentheses and negations within each other.
const DEEPEST: usize = 64;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Text(String),
    Number(Value),
    Name(String),
    /// An operator or a bracket.
    Sign(&'static str),
}

/// Longer signs first. The last ones are known only to be refused by name.
const SIGNS: [&str; 29] = [
    "==", "!=", "<=", ">=", "=~", "&&", "||", "??", "?.", "**", "..", "<", ">", "!", "+", "(", ")", "[", "]", ".", ",",
    "-", "*", "/", "%", "?", ":", "{", "}",
];

/// Names that stand between two values.
const WORDS: [(&str, Op); 4] =
    [("contains", Op::Contains), ("startsWith", Op::StartsWith), ("endsWith", Op::EndsWith), ("in", Op::In)];
const COMPARISONS: [(&str, Op); 6] =
    [("==", Op::Equal), ("!=", Op::Unequal), ("<", Op::Less), ("<=", Op::AtMost), (">", Op::More), (">=", Op::AtLeast)];

pub(super) fn parse(text: &str) -> Result<Node, String> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0 };
    let node = parser.either()?;
    match parser.peek() {
        None => Ok(node),
        Some(token) => Err(format!("{} is not known here{}", shown(token), hint(token))),
    }
}

fn hint(token: &Token) -> &'static str {
    match token {
        Token::Sign("?" | ":") => ": there is no choice between values; use two operators with `if`",
        Token::Sign("*" | "/" | "-" | "%" | "**") => ": there is no arithmetic",
        Token::Sign("{" | "}") => ": there are no closures",
        _ => "",
    }
}

fn shown(token: &Token) -> String {
    match token {
        Token::Text(text) => format!("\"{text}\""),
        Token::Number(_) => "a number".to_owned(),
        Token::Name(name) => format!("`{name}`"),
        Token::Sign(sign) => format!("`{sign}`"),
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let (mut tokens, mut rest) = (vec![], text.trim_start());
    while let Some(first) = rest.chars().next() {
        let len = if matches!(first, '"' | '\'' | '`') {
            let (text, len) = quoted(rest, first)?;
            tokens.push(Token::Text(text));
            len
        } else if first.is_ascii_digit() {
            let len = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            tokens.push(Token::Number(number(&rest[..len])?));
            len
        } else if first.is_alphabetic() || matches!(first, '_' | '$') {
            let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
            let len = rest.find(|c: char| !is_name(c)).unwrap_or(rest.len());
            tokens.push(Token::Name(rest[..len].to_owned()));
            len
        } else {
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
            let sign = sign.ok_or_else(|| format!("`{first}` is not known here"))?;
            tokens.push(Token::Sign(sign));
            sign.len()
        };
        rest = rest[len..].trim_start();
    }
    Ok(tokens)
}

fn number(text: &str) -> Result<Value, String> {
    let int = text.parse().map(Value::Int);
    int.or_else(|_| text.parse().map(Value::Double)).map_err(|_| format!("`{text}` is no number"))
}

/// The text in quotes at the beginning, and its length with them.
fn quoted(text: &str, quote: char) -> Result<(String, usize), String> {
    let mut out = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => return Ok((out, at + 1)),
            '\\' if quote != '`' => match chars.next().map(|(_, c)| c) {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some(c @ ('\\' | '"' | '\'' | '`')) => out.push(c),
                Some(other) => return Err(format!("`\\{other}` is no escape: write `\\\\{other}`")),
                None => break,
            },
            c => out.push(c),
        }
    }
    Err("a quote is not closed".to_owned())
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Result<Token, String> {
        let token = self.peek().cloned().ok_or("it ends too early")?;
        self.at += 1;
        Ok(token)
    }

    fn takes(&mut self, sign: &str, word: &str) -> bool {
        let is_it = match self.peek() {
            Some(Token::Sign(found)) => *found == sign,
            Some(Token::Name(name)) => !word.is_empty() && name == word,
            _ => false,
        };
        self.at += usize::from(is_it);
        is_it
    }

    fn expect(&mut self, sign: &'static str) -> Result<(), String> {
        if self.takes(sign, "") { Ok(()) } else { Err(format!("`{sign}` is missing")) }
    }

    fn either(&mut self) -> Result<Node, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("it is too deep".to_owned());
        }
        let mut left = self.both()?;
        while self.takes("||", "or") {
            left = Node::Either(Box::new(left), Box::new(self.both()?));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn both(&mut self) -> Result<Node, String> {
        let mut left = self.negated()?;
        while self.takes("&&", "and") {
            left = Node::Both(Box::new(left), Box::new(self.negated()?));
        }
        Ok(left)
    }

    fn negated(&mut self) -> Result<Node, String> {
        let mut is_not = false;
        while self.takes("!", "not") {
            is_not = !is_not;
        }
        let node = self.comparison()?;
        Ok(if is_not { Node::Not(Box::new(node)) } else { node })
    }

    fn comparison(&mut self) -> Result<Node, String> {
        let left = self.joined()?;
        if let Some((_, op)) = COMPARISONS.iter().find(|(sign, _)| self.takes(sign, "")) {
            return Ok(Node::Compare(*op, Box::new(left), Box::new(self.joined()?)));
        }
        let is_not = self.takes("", "not");
        let node = if self.takes("=~", "matches") {
            self.matched(left)?
        } else if let Some((_, op)) = WORDS.iter().find(|(word, _)| self.takes("", word)) {
            Node::Compare(*op, Box::new(left), Box::new(self.joined()?))
        } else if is_not {
            return Err("behind `not` comes `in`, `matches` or `contains`".to_owned());
        } else {
            left
        };
        Ok(if is_not { Node::Not(Box::new(node)) } else { node })
    }

    fn matched(&mut self, left: Node) -> Result<Node, String> {
        match self.joined()? {
            Node::Literal(Value::Text(pattern)) => {
                let regex = Regex::new(&pattern).map_err(|error| error.to_string())?;
                Ok(Node::Matches(Box::new(left), regex))
            }
            _ => Err("what `matches` is held against must be a text".to_owned()),
        }
    }

    fn joined(&mut self) -> Result<Node, String> {
        let mut left = self.primary()?;
        loop {
            left = if self.takes("+", "") {
                Node::Compare(Op::Join, Box::new(left), Box::new(self.primary()?))
            } else if self.takes("??", "") {
                Node::Else(Box::new(left), Box::new(self.primary()?))
            } else {
                return Ok(left);
            };
        }
    }

    fn primary(&mut self) -> Result<Node, String> {
        match self.next()? {
            Token::Text(text) => Ok(Node::Literal(Value::Text(text))),
            Token::Number(number) => Ok(Node::Literal(number)),
            Token::Sign("(") => {
                let node = self.either()?;
                self.expect(")")?;
                Ok(node)
            }
            Token::Sign("[") => self.list(),
            Token::Sign("-") => match self.next()? {
                Token::Number(Value::Int(n)) => Ok(Node::Literal(Value::Int(-n))),
                Token::Number(Value::Double(n)) => Ok(Node::Literal(Value::Double(-n))),
                _ => Err("`-` is not known here: there is no arithmetic".to_owned()),
            },
            Token::Name(name) => self.named(&name),
            other => Err(format!("{} is not known here{}", shown(&other), hint(&other))),
        }
    }

    fn list(&mut self) -> Result<Node, String> {
        let mut nodes = vec![];
        while !self.takes("]", "") {
            if !nodes.is_empty() {
                self.expect(",")?;
            }
            nodes.push(self.either()?);
        }
        Ok(Node::List(nodes))
    }

    fn named(&mut self, name: &str) -> Result<Node, String> {
        if matches!(self.peek(), Some(Token::Sign("("))) {
            return Err(format!("`{name}` is no function that is known here: there are none"));
        }
        let root = match name {
            "true" | "false" => return Ok(Node::Literal(Value::Bool(name == "true"))),
            "nil" | "null" => return Ok(Node::Literal(Value::Null)),
            "severity_text" => return Ok(Node::SeverityText),
            "severity_number" => return Ok(Node::SeverityNumber),
            "body" | "$" | "$body" => Root::Body,
            "attributes" | "$attributes" => Root::Attributes,
            "resource" | "$resource" => Root::Resource,
            _ => {
                let known = "`body`, `attributes`, `resource`, `severity_text` and `severity_number`";
                return Err(format!("`{name}` is not known here: there are {known}"));
            }
        };
        let mut keys = vec![];
        loop {
            if self.takes(".", "") || self.takes("?.", "") {
                match self.next()? {
                    Token::Name(key) => keys.push(key),
                    other => return Err(format!("behind a dot comes a name, not {}", shown(&other))),
                }
            } else if self.takes("[", "") {
                match self.next()? {
                    Token::Text(key) => keys.push(key),
                    other => return Err(format!("brackets hold a text, not {}", shown(&other))),
                }
                self.expect("]")?;
            } else {
                return Ok(Node::Part(root, keys));
            }
        }
    }
}
