//! From tokens to a tree: an operator-precedence parser with the peer's binding powers and its leniences (commas between the
//! arguments of a function may be left out).

use super::lexer::Token;
use serde_json::Value as Json;

/// An expression.
#[derive(Clone, Debug)]
pub enum Node {
    /// The value itself.
    Current,
    /// `$`: the document.
    Root,
    /// A field of an object.
    Field(String),
    /// An element of an array, from its end if negative.
    Index(i64),
    /// `[start:stop:step]`
    Slice([Option<i64>; 3]),
    /// A literal.
    Literal(Json),
    /// `$name`
    Variable(String),
    /// The second on what the first gives, unless that is null.
    Sub(Box<Node>, Box<Node>),
    /// The second on what the first gives.
    Pipe(Box<Node>, Box<Node>),
    /// `||`
    Or(Box<Node>, Box<Node>),
    /// `&&`
    And(Box<Node>, Box<Node>),
    /// `!`
    Not(Box<Node>),
    /// `-`, `+` before one operand.
    Unary(&'static str, Box<Node>),
    /// `+ - * / % //`
    Arithmetic(&'static str, Box<Node>, Box<Node>),
    /// `== != < <= > >=`
    Compare(&'static str, Box<Node>, Box<Node>),
    /// `[a, b]`
    List(Vec<Node>),
    /// `{a: b}`
    Hash(Vec<(String, Node)>),
    /// The second on each element of the first.
    Projection(Box<Node>, Box<Node>),
    /// The second on each value of the object that the first gives.
    Values(Box<Node>, Box<Node>),
    /// The second on each element of the first that the third holds for.
    Filter(Box<Node>, Box<Node>, Box<Node>),
    /// An array with its arrays dissolved.
    Flatten(Box<Node>),
    /// `&expression`
    Reference(Box<Node>),
    /// A function.
    Call(String, Vec<Node>),
    /// `let $a = x, $b = y in z`
    Let(Vec<(String, Node)>, Box<Node>),
    /// `=` where it means nothing: it fails when it is run.
    Binding(Box<Node>, Box<Node>),
}

/// How tightly a token binds what stands before it.
fn power(token: Option<&Token>) -> u8 {
    let Some(Token::Sign(sign)) = token else { return 0 };
    match *sign {
        "=" | "|" => 1,
        "||" => 2,
        "&&" => 3,
        "==" | "<" | "<=" | ">" | ">=" | "!=" => 5,
        "-" | "+" => 6,
        "//" | "/" | "%" | "\u{d7}" => 7,
        "[]" => 9,
        "*" => 20,
        "[?" => 21,
        "." => 40,
        "!" => 45,
        "{" => 50,
        "[" => 55,
        "(" => 60,
        _ => 0,
    }
}

const FLATTEN: u8 = 9;
const STAR: u8 = 20;
const FILTER: u8 = 21;
const DOT: u8 = 40;

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

type Parsed = Result<Node, String>;

/// Parses all of an expression.
pub fn parse(tokens: Vec<Token>) -> Parsed {
    let mut parser = Parser { tokens, at: 0 };
    let node = parser.expression(0)?;
    match parser.peek() {
        None => Ok(node),
        Some(token) => Err(format!("{} is too much", show(Some(token)))),
    }
}

fn show(token: Option<&Token>) -> String {
    match token {
        None => "the end".to_owned(),
        Some(Token::Name(name) | Token::Variable(name)) => format!("\"{name}\""),
        Some(Token::Quoted(name)) => format!("{name:?}"),
        Some(Token::Number(number)) => format!("\"{number}\""),
        Some(Token::Literal(_)) => "a literal".to_owned(),
        Some(Token::Sign(sign)) => format!("\"{sign}\""),
    }
}

fn boxed(node: Node) -> Box<Node> {
    Box::new(node)
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn is(&self, sign: &str) -> bool {
        matches!(self.peek(), Some(Token::Sign(found)) if *found == sign)
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = self.is(sign);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), String> {
        if self.take(sign) { Ok(()) } else { Err(format!("expected \"{sign}\", not {}", show(self.peek()))) }
    }

    fn expression(&mut self, bound: u8) -> Parsed {
        let mut left = self.prefix()?;
        while bound < power(self.peek()) {
            let Some(Token::Sign(sign)) = self.next() else { break };
            left = self.infix(sign, left)?;
        }
        Ok(left)
    }

    fn prefix(&mut self) -> Parsed {
        let token = self.next();
        Ok(match token {
            Some(Token::Variable(name)) => Node::Variable(name),
            Some(Token::Literal(value)) => Node::Literal(value),
            Some(Token::Name(name)) if name == "let" && matches!(self.peek(), Some(Token::Variable(_))) => {
                return self.bindings();
            }
            Some(Token::Name(name)) => Node::Field(name),
            Some(Token::Quoted(name)) if self.is("(") => {
                return Err(format!("{name:?} in quotes cannot be a function"));
            }
            Some(Token::Quoted(name)) => Node::Field(name),
            Some(Token::Sign(sign)) => return self.prefix_sign(sign),
            other => return Err(format!("unexpected {}", show(other.as_ref()))),
        })
    }

    fn prefix_sign(&mut self, sign: &'static str) -> Parsed {
        Ok(match sign {
            "@" => Node::Current,
            "$" => Node::Root,
            "+" | "-" => Node::Unary(sign, boxed(self.expression(6)?)),
            "*" if self.is("]") => Node::Values(boxed(Node::Current), boxed(Node::Current)),
            "*" => Node::Values(boxed(Node::Current), boxed(self.projected(STAR)?)),
            "[?" => return self.filter(Node::Current),
            "{" => return self.hash(),
            "[]" => {
                let left = Node::Flatten(boxed(Node::Current));
                Node::Projection(boxed(left), boxed(self.projected(FLATTEN)?))
            }
            "[" => return self.bracket(),
            "&" => Node::Reference(boxed(self.expression(0)?)),
            "!" => Node::Not(boxed(self.expression(45)?)),
            "(" => {
                let inside = self.expression(0)?;
                self.expect(")")?;
                inside
            }
            sign => return Err(format!("unexpected \"{sign}\"")),
        })
    }

    /// After a `[` that follows nothing.
    fn bracket(&mut self) -> Parsed {
        match self.peek() {
            Some(Token::Number(_) | Token::Sign(":")) => self.index(Node::Current),
            Some(Token::Sign("*")) if matches!(self.tokens.get(self.at + 1), Some(Token::Sign("]"))) => {
                self.at += 2;
                Ok(Node::Projection(boxed(Node::Current), boxed(self.projected(STAR)?)))
            }
            _ => self.list(),
        }
    }

    fn infix(&mut self, sign: &'static str, left: Node) -> Parsed {
        let left = boxed(left);
        Ok(match sign {
            "." if self.take("*") => Node::Values(left, boxed(self.projected(DOT)?)),
            "." => Node::Sub(left, boxed(self.after_dot(DOT)?)),
            "|" => Node::Pipe(left, boxed(self.expression(1)?)),
            "||" => Node::Or(left, boxed(self.expression(2)?)),
            "&&" => Node::And(left, boxed(self.expression(3)?)),
            "(" => {
                let Node::Field(name) = *left else { return Err("only a name can be a function".to_owned()) };
                let arguments = self.several(|parser| parser.is(")"))?;
                self.expect(")")?;
                Node::Call(name, arguments)
            }
            "[?" => return self.filter(*left),
            "[]" => {
                let flat = Node::Flatten(left);
                Node::Projection(boxed(flat), boxed(self.projected(FLATTEN)?))
            }
            "+" | "-" | "*" | "\u{d7}" | "/" | "//" | "%" => {
                let power = power(Some(&Token::Sign(sign)));
                Node::Arithmetic(sign, left, boxed(self.expression(power)?))
            }
            "=" => Node::Binding(left, boxed(self.expression(0)?)),
            "==" | "!=" | "<" | "<=" | ">" | ">=" => Node::Compare(sign, left, boxed(self.expression(5)?)),
            "[" if matches!(self.peek(), Some(Token::Number(_) | Token::Sign(":"))) => return self.index(*left),
            "[" => {
                self.expect("*")?;
                self.expect("]")?;
                Node::Projection(left, boxed(self.projected(STAR)?))
            }
            sign => return Err(format!("unexpected \"{sign}\"")),
        })
    }

    /// `3]`, or a slice.
    fn index(&mut self, left: Node) -> Parsed {
        let is_slice = self.is(":") || matches!(self.tokens.get(self.at + 1), Some(Token::Sign(":")));
        if !is_slice {
            let Some(Token::Number(index)) = self.next() else { return Err("expected an index".to_owned()) };
            self.expect("]")?;
            return Ok(Node::Sub(boxed(left), boxed(Node::Index(index))));
        }
        let (mut parts, mut at) = ([None; 3], 0);
        while !self.is("]") {
            match self.next() {
                Some(Token::Sign(":")) => at += 1,
                Some(Token::Number(number)) if at < 3 => parts[at] = Some(number),
                other => return Err(format!("unexpected {} in a slice", show(other.as_ref()))),
            }
            if at == 3 {
                return Err("too many colons in a slice".to_owned());
            }
        }
        self.expect("]")?;
        let slice = Node::Sub(boxed(left), boxed(Node::Slice(parts)));
        Ok(Node::Projection(boxed(slice), boxed(self.projected(STAR)?)))
    }

    fn list(&mut self) -> Parsed {
        let mut items = Vec::new();
        loop {
            items.push(self.expression(0)?);
            if self.take("]") {
                return Ok(Node::List(items));
            }
            self.expect(",")?;
        }
    }

    fn hash(&mut self) -> Parsed {
        let mut items = Vec::new();
        loop {
            let name = match self.next() {
                Some(Token::Name(name) | Token::Quoted(name)) => name,
                other => return Err(format!("expected a name, not {}", show(other.as_ref()))),
            };
            self.expect(":")?;
            items.push((name, self.expression(0)?));
            if self.take("}") {
                return Ok(Node::Hash(items));
            }
            self.take(",");
        }
    }

    fn filter(&mut self, left: Node) -> Parsed {
        let condition = self.expression(0)?;
        self.expect("]")?;
        let right = if self.is("[]") { Node::Current } else { self.projected(FILTER)? };
        Ok(Node::Filter(boxed(left), boxed(right), boxed(condition)))
    }

    fn after_dot(&mut self, power: u8) -> Parsed {
        match self.peek() {
            Some(Token::Name(_) | Token::Quoted(_) | Token::Sign("*")) => self.expression(power),
            Some(Token::Sign("[")) => {
                self.at += 1;
                self.list()
            }
            Some(Token::Sign("{")) => {
                self.at += 1;
                self.hash()
            }
            other => Err(format!("expected a name, \"[\" or \"{{\" after the dot, not {}", show(other))),
        }
    }

    /// What a projection does with each element.
    fn projected(&mut self, bound: u8) -> Parsed {
        match self.peek() {
            token if power(token) < 10 => Ok(Node::Current),
            Some(Token::Sign("[" | "[?")) => self.expression(bound),
            Some(Token::Sign(".")) => {
                self.at += 1;
                self.after_dot(bound)
            }
            other => Err(format!("unexpected {}", show(other))),
        }
    }

    /// Expressions with commas between them, which may be left out.
    fn several(&mut self, ends: impl Fn(&Parser) -> bool) -> Result<Vec<Node>, String> {
        let mut nodes = Vec::new();
        while !ends(self) {
            nodes.push(self.expression(0)?);
            self.take(",");
        }
        Ok(nodes)
    }

    /// After `let`.
    fn bindings(&mut self) -> Parsed {
        let is_in = |parser: &Parser| matches!(parser.peek(), Some(Token::Name(name)) if name == "in");
        let mut bindings = Vec::new();
        for node in self.several(is_in)? {
            match node {
                Node::Binding(name, value) => match *name {
                    Node::Variable(name) => bindings.push((name, *value)),
                    _ => return Err("let takes $name = expression".to_owned()),
                },
                _ => return Err("let takes $name = expression".to_owned()),
            }
        }
        self.at += 1;
        Ok(Node::Let(bindings, boxed(self.expression(0)?)))
    }
}
