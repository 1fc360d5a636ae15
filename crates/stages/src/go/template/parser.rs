//! Builds the tree of a template from its tokens. Unknown functions and variables are errors here.

use super::TemplateError;
use super::functions::{self, Function};
use super::lexer::{Kind, Token};
use super::value::Val;
use crate::text::Text;

/// How deep parentheses and blocks may nest.
const MAX_NESTING: usize = 64;

/// A list of nodes.
pub type Block = Vec<Node>;

/// A `define`: its name and what is in it.
#[derive(Debug)]
pub struct Define {
    pub name: Text,
    pub body: Block,
}

/// A part of a template.
#[derive(Debug)]
pub enum Node {
    Text(Text),
    /// A pipeline whose value is printed, unless it sets a variable.
    Action(Pipeline),
    If(Pipeline, Block, Block),
    With(Pipeline, Block, Block),
    Range(Pipeline, Block, Block),
    Template(Text, Option<Pipeline>),
    Break,
    Continue,
}

/// Commands, each given the value of the one before.
#[derive(Debug)]
pub struct Pipeline {
    /// Variables that are set, and whether they are new.
    pub variables: Vec<String>,
    pub declares: bool,
    pub commands: Vec<Command>,
}

/// A function or value with its arguments.
#[derive(Debug)]
pub struct Command {
    pub head: Operand,
    pub args: Vec<Operand>,
}

/// A value in a command.
#[derive(Debug)]
pub enum Operand {
    Dot,
    Nil,
    Literal(Literal),
    /// `.a.b`
    Fields(Vec<Text>),
    /// `$x.a.b`
    Variable(String, Vec<Text>),
    Function(Function),
    Pipeline(Box<Pipeline>),
    /// Fields of something in parentheses.
    Chain(Box<Operand>, Vec<Text>),
}

/// A constant.
#[derive(Clone, Debug)]
pub enum Literal {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Text),
}

impl Literal {
    pub fn value(&self) -> Val {
        match self {
            Literal::Bool(value) => Val::Bool(*value),
            Literal::Int(value) => Val::Int(*value),
            Literal::Float(value) => Val::Float(*value),
            Literal::Text(value) => Val::Text(value.clone()),
        }
    }
}

/// Reads a template's tokens: what it prints, and what it defines.
pub fn parse(tokens: Vec<Token>) -> Result<(Block, Vec<Define>), TemplateError> {
    let mut parser = Parser { tokens, at: 0, variables: vec![String::new()], depth: 0, loops: 0, defines: Vec::new() };
    let (main, end) = parser.block()?;
    match end {
        Ended::Eof => Ok((main, parser.defines)),
        Ended::End => parser.fail("unexpected {{end}}"),
        Ended::Else => parser.fail("unexpected {{else}}"),
    }
}

/// What ended a block.
#[derive(PartialEq)]
enum Ended {
    Eof,
    End,
    /// After the word `else`.
    Else,
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    /// Variables in scope; `$` is the empty name.
    variables: Vec<String>,
    depth: usize,
    /// How many `range`s are open.
    loops: usize,
    defines: Vec<Define>,
}

impl Parser {
    fn fail<T>(&self, what: impl Into<String>) -> Result<T, TemplateError> {
        let line = self.tokens.get(self.at.saturating_sub(1)).map_or(1, |token| token.line);
        Err(TemplateError { line, what: what.into() })
    }

    fn peek(&self) -> &Kind {
        self.tokens.get(self.at).map_or(&Kind::End, |token| &token.kind)
    }

    fn next(&mut self) -> Kind {
        let kind = self.peek().clone();
        self.at += 1;
        kind
    }

    fn take(&mut self, kind: &Kind) -> bool {
        let found = self.peek() == kind;
        if found {
            self.at += 1;
        }
        found
    }

    fn close(&mut self, context: &str) -> Result<(), TemplateError> {
        if self.take(&Kind::Close) { Ok(()) } else { self.fail(format!("unexpected token in {context}")) }
    }

    fn deeper(&mut self) -> Result<(), TemplateError> {
        self.depth += 1;
        if self.depth > MAX_NESTING { self.fail("nested too deep") } else { Ok(()) }
    }

    /// Nodes up to an `end`, an `else`, or the end of the template.
    fn block(&mut self) -> Result<(Block, Ended), TemplateError> {
        self.deeper()?;
        let mut nodes = Block::new();
        let end = loop {
            match self.next() {
                Kind::End => break Ended::Eof,
                Kind::Text(text) => nodes.push(Node::Text(text)),
                Kind::Open => match self.peek().clone() {
                    Kind::Word(word) if word == "end" => {
                        self.at += 1;
                        self.close("end")?;
                        break Ended::End;
                    }
                    Kind::Word(word) if word == "else" => {
                        self.at += 1;
                        break Ended::Else;
                    }
                    Kind::Word(word) if word == "define" => {
                        self.at += 1;
                        self.define()?;
                    }
                    _ => nodes.push(self.action()?),
                },
                _ => return self.fail("unexpected token"),
            }
        };
        self.depth -= 1;
        Ok((nodes, end))
    }

    fn string(&mut self, context: &str) -> Result<Text, TemplateError> {
        match self.next() {
            Kind::String(text) => Ok(text),
            _ => self.fail(format!("{context} needs a name in quotes")),
        }
    }

    /// After `define`.
    fn define(&mut self) -> Result<(), TemplateError> {
        if self.depth > 1 {
            return self.fail("unexpected {{define}}");
        }
        let name = self.string("define")?;
        self.close("define")?;
        self.body(name)
    }

    /// The body of a define or block, with variables of its own.
    fn body(&mut self, name: Text) -> Result<(), TemplateError> {
        let variables = std::mem::replace(&mut self.variables, vec![String::new()]);
        let loops = std::mem::take(&mut self.loops);
        let (body, end) = self.block()?;
        (self.variables, self.loops) = (variables, loops);
        if end != Ended::End {
            return self.fail("a definition has no {{end}}");
        }
        // Of two definitions the later counts, unless it is empty.
        let is_empty = body.iter().all(|node| matches!(node, Node::Text(text) if text.trim_ascii().is_empty()));
        if !(is_empty && self.defines.iter().any(|d| d.name == name)) {
            self.defines.retain(|d| d.name != name);
            self.defines.push(Define { name, body });
        }
        Ok(())
    }

    /// After a `{{`.
    fn action(&mut self) -> Result<Node, TemplateError> {
        let Kind::Word(word) = self.peek().clone() else { return self.printed() };
        match word.as_str() {
            "if" | "with" | "range" => {
                self.at += 1;
                self.control(&word)
            }
            "template" | "block" => {
                self.at += 1;
                let name = self.string(&word)?;
                let pipeline = match self.peek() {
                    Kind::Close => None,
                    _ => Some(self.pipeline(false)?),
                };
                if word == "block" && pipeline.is_none() {
                    return self.fail("missing value for block clause");
                }
                self.close(&word)?;
                if word == "block" {
                    self.body(name.clone())?;
                }
                Ok(Node::Template(name, pipeline))
            }
            "break" | "continue" => {
                self.at += 1;
                self.close(&word)?;
                if self.loops == 0 {
                    return self.fail(format!("{{{{{word}}}}} outside {{{{range}}}}"));
                }
                Ok(if word == "break" { Node::Break } else { Node::Continue })
            }
            _ => self.printed(),
        }
    }

    fn printed(&mut self) -> Result<Node, TemplateError> {
        let pipeline = self.pipeline(false)?;
        self.close("command")?;
        Ok(Node::Action(pipeline))
    }

    /// After `if`, `with` or `range`.
    fn control(&mut self, word: &str) -> Result<Node, TemplateError> {
        self.deeper()?;
        let scope = self.variables.len();
        let pipeline = self.pipeline(word == "range")?;
        self.close(word)?;
        self.loops += usize::from(word == "range");
        let inner = self.variables.len();
        let (then, mut end) = self.block()?;
        self.loops -= usize::from(word == "range");
        self.variables.truncate(inner);
        let mut otherwise = Block::new();
        if end == Ended::Else {
            match self.peek().clone() {
                // `else if` and `else with` are blocks that share the end.
                Kind::Word(next) if next == word && word != "range" => {
                    self.at += 1;
                    otherwise.push(self.control(word)?);
                    end = Ended::End;
                }
                _ => {
                    self.close("else")?;
                    (otherwise, end) = self.block()?;
                }
            }
        }
        if end != Ended::End {
            return self.fail(format!("{word} has no {{{{end}}}}"));
        }
        self.variables.truncate(scope);
        self.depth -= 1;
        Ok(match word {
            "if" => Node::If(pipeline, then, otherwise),
            "with" => Node::With(pipeline, then, otherwise),
            _ => Node::Range(pipeline, then, otherwise),
        })
    }

    fn pipeline(&mut self, range: bool) -> Result<Pipeline, TemplateError> {
        self.deeper()?;
        let (variables, declares) = self.declaration(range)?;
        let mut commands = vec![self.command()?];
        // As in Go, a | may stand at the end.
        while self.take(&Kind::Symbol("|")) && !matches!(self.peek(), Kind::Close | Kind::Symbol(")")) {
            let command = self.command()?;
            if matches!(command.head, Operand::Literal(_) | Operand::Dot | Operand::Nil) {
                return self.fail("non executable command in pipeline");
            }
            commands.push(command);
        }
        if declares {
            self.variables.extend(variables.iter().cloned());
        }
        self.depth -= 1;
        Ok(Pipeline { variables, declares, commands })
    }

    /// `$x :=`, `$x =`, or in a range `$i, $x :=`.
    fn declaration(&mut self, range: bool) -> Result<(Vec<String>, bool), TemplateError> {
        let Kind::Variable(first) = self.peek().clone() else { return Ok((Vec::new(), false)) };
        let start = self.at;
        self.at += 1;
        let mut names = vec![first];
        if range && self.take(&Kind::Symbol(",")) {
            match self.next() {
                Kind::Variable(second) => names.push(second),
                _ => return self.fail("range can only set variables"),
            }
        }
        let declares = self.take(&Kind::Symbol(":="));
        if declares || self.take(&Kind::Symbol("=")) {
            if !declares && let Some(name) = names.iter().find(|name| !self.variables.contains(name)) {
                return self.fail(format!("undefined variable \"${name}\""));
            }
            return Ok((names, declares));
        }
        self.at = start;
        Ok((Vec::new(), false))
    }

    fn command(&mut self) -> Result<Command, TemplateError> {
        let mut operands = Vec::new();
        loop {
            match self.peek() {
                Kind::Close | Kind::Symbol("|" | ")") => break,
                _ => {
                    if !operands.is_empty()
                        && !self.tokens.get(self.at).is_some_and(|t| t.spaced)
                        && !matches!(self.peek(), Kind::Symbol("("))
                    {
                        return self.fail("arguments need a space between them");
                    }
                    operands.push(self.operand()?);
                }
            }
        }
        if operands.is_empty() {
            return self.fail("missing value for command");
        }
        let head = operands.remove(0);
        Ok(Command { head, args: operands })
    }

    fn operand(&mut self) -> Result<Operand, TemplateError> {
        let operand = match self.next() {
            Kind::Dot => Operand::Dot,
            Kind::Field(name) => Operand::Fields(vec![name.into()]),
            Kind::Variable(name) => {
                if !self.variables.contains(&name) {
                    return self.fail(format!("undefined variable \"${name}\""));
                }
                Operand::Variable(name, Vec::new())
            }
            Kind::String(text) => Operand::Literal(Literal::Text(text)),
            Kind::Int(int) => Operand::Literal(Literal::Int(int)),
            Kind::Float(float) => Operand::Literal(Literal::Float(float)),
            Kind::Word(word) => match word.as_str() {
                "true" => Operand::Literal(Literal::Bool(true)),
                "false" => Operand::Literal(Literal::Bool(false)),
                "nil" => Operand::Nil,
                name => match functions::find(name) {
                    Ok(function) => Operand::Function(function),
                    Err(why) => return self.fail(why),
                },
            },
            Kind::Symbol("(") => {
                let inner = self.pipeline(false)?;
                if !self.take(&Kind::Symbol(")")) {
                    return self.fail("unclosed left paren");
                }
                Operand::Pipeline(Box::new(inner))
            }
            _ => return self.fail("unexpected token in an action"),
        };
        self.fields(operand)
    }

    /// Fields that follow without a space.
    fn fields(&mut self, operand: Operand) -> Result<Operand, TemplateError> {
        let mut names: Vec<Text> = Vec::new();
        while let Some(Token { kind: Kind::Field(name), spaced: false, .. }) = self.tokens.get(self.at) {
            names.push(name.as_str().into());
            self.at += 1;
        }
        if names.is_empty() {
            return Ok(operand);
        }
        Ok(match operand {
            Operand::Fields(mut first) => {
                first.append(&mut names);
                Operand::Fields(first)
            }
            Operand::Variable(name, _) => Operand::Variable(name, names),
            Operand::Literal(_) | Operand::Nil | Operand::Dot => return self.fail("unexpected . after a constant"),
            other => Operand::Chain(Box::new(other), names),
        })
    }
}
