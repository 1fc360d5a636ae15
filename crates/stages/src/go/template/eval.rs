//! Runs a template on its data, within bounds.

use super::functions::{Args, Call};
use super::parser::{Block, Command, Define, Node, Operand, Pipeline};
use super::value::Val;
use super::{Data, ExecError, MAX_OUTPUT};
use crate::text::Text;
use std::rc::Rc;

/// The most nodes and commands that are run.
const MAX_STEPS: usize = 50_000;
/// How deep templates may call each other.
const MAX_CALLS: usize = 32;
/// The most bytes that all values together may take.
const MAX_BYTES: usize = 8 << 20;

/// Runs a template.
pub fn execute(main: &Block, defines: &[Define], data: &Data<'_>) -> Result<Vec<u8>, ExecError> {
    let variables = smallvec::smallvec![("", Val::Root)];
    let mut vm = Vm { data, defines, out: Vec::with_capacity(128), variables, steps: 0, calls: 0, bytes: 0 };
    vm.block(main, &Val::Root)?;
    Ok(vm.out)
}

/// How a block ended.
#[derive(PartialEq)]
enum Flow {
    Next,
    Break,
    Continue,
}

/// Names and values, the innermost last.
type Variables<'a> = smallvec::SmallVec<[(&'a str, Val); 2]>;

struct Vm<'a> {
    data: &'a Data<'a>,
    defines: &'a [Define],
    out: Vec<u8>,
    variables: Variables<'a>,
    steps: usize,
    calls: usize,
    bytes: usize,
}

/// The name, if a pipeline is `.name` and nothing else, as most are.
fn plain_field(pipeline: &Pipeline) -> Option<&Text> {
    match (pipeline.variables.as_slice(), pipeline.commands.as_slice()) {
        ([], [Command { head: Operand::Fields(names), args }]) if args.is_empty() && names.len() == 1 => names.first(),
        _ => None,
    }
}

fn fail<T>(what: impl Into<String>) -> Result<T, ExecError> {
    Err(ExecError(what.into()))
}

impl<'a> Vm<'a> {
    fn step(&mut self) -> Result<(), ExecError> {
        self.steps += 1;
        if self.steps > MAX_STEPS { fail("the template runs too long") } else { Ok(()) }
    }

    fn print(&mut self, text: &[u8]) -> Result<(), ExecError> {
        if self.out.len() + text.len() > MAX_OUTPUT {
            return fail("the template prints too much");
        }
        self.out.extend_from_slice(text);
        Ok(())
    }

    fn block(&mut self, block: &'a Block, dot: &Val) -> Result<Flow, ExecError> {
        let scope = self.variables.len();
        for node in block {
            let flow = self.node(node, dot)?;
            if flow != Flow::Next {
                self.variables.truncate(scope);
                return Ok(flow);
            }
        }
        self.variables.truncate(scope);
        Ok(Flow::Next)
    }

    fn node(&mut self, node: &'a Node, dot: &Val) -> Result<Flow, ExecError> {
        self.step()?;
        match node {
            Node::Text(text) => self.print(text)?,
            Node::Action(pipeline) => {
                if let Some(name) = plain_field(pipeline)
                    && let Val::Root = dot
                    && let Some(printed) = self.data.print(name, |text| self.print(text))
                {
                    printed?;
                    return Ok(Flow::Next);
                }
                let value = self.pipeline(pipeline, dot)?;
                if pipeline.variables.is_empty() {
                    match &value {
                        Val::Text(text) => self.print(text)?,
                        Val::Missing | Val::Nil => self.print(b"<no value>")?,
                        Val::Root => {
                            let all = self.materialise(Val::Root);
                            self.print(all.show().as_bytes())?;
                        }
                        other => self.print(other.show().as_bytes())?,
                    }
                }
            }
            Node::If(pipeline, then, otherwise) | Node::With(pipeline, then, otherwise) => {
                let scope = self.variables.len();
                let value = self.pipeline(pipeline, dot)?;
                let with = matches!(node, Node::With(..));
                let flow = match value.truth() {
                    true => self.block(then, if with { &value } else { dot }),
                    false => self.block(otherwise, dot),
                };
                self.variables.truncate(scope);
                return flow;
            }
            Node::Range(pipeline, body, otherwise) => {
                let scope = self.variables.len();
                let done = self.range(pipeline, body, otherwise, dot);
                self.variables.truncate(scope);
                return done;
            }
            Node::Template(name, pipeline) => {
                let value = match pipeline {
                    Some(pipeline) => self.pipeline(pipeline, dot)?,
                    None => Val::Missing,
                };
                self.call(name, value)?;
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn call(&mut self, name: &Text, dot: Val) -> Result<(), ExecError> {
        let Some(define) = self.defines.iter().find(|define| define.name == *name) else {
            return fail(format!("template {name:?} not defined"));
        };
        self.calls += 1;
        if self.calls > MAX_CALLS {
            return fail("templates call each other too deep");
        }
        let outer = std::mem::replace(&mut self.variables, smallvec::smallvec![("", dot.clone())]);
        let done = self.block(&define.body, &dot);
        self.variables = outer;
        self.calls -= 1;
        done.map(|_| ())
    }

    fn range(
        &mut self,
        pipeline: &'a Pipeline,
        body: &'a Block,
        otherwise: &'a Block,
        dot: &Val,
    ) -> Result<Flow, ExecError> {
        let value = self.commands(pipeline, dot)?;
        let items: Vec<(Val, Val)> = match self.materialise(value) {
            Val::Missing | Val::Nil => Vec::new(),
            Val::List(values) => values.iter().enumerate().map(|(i, v)| (Val::Int(i as i64), v.clone())).collect(),
            Val::Map(values) => values.iter().map(|(k, v)| (Val::Text(k.clone()), v.clone())).collect(),
            Val::Int(n) if n > MAX_STEPS as i64 => return fail("the template runs too long"),
            Val::Int(n) => (0..n).map(|i| (Val::Int(i), Val::Int(i))).collect(),
            other => return fail(format!("range can't iterate over {}", other.show())),
        };
        if items.is_empty() {
            return self.block(otherwise, dot);
        }
        let scope = self.variables.len();
        for (key, item) in items {
            self.step()?;
            match (pipeline.variables.as_slice(), pipeline.declares) {
                ([one], declares) => self.set(one, item.clone(), declares)?,
                ([first, second], declares) => {
                    self.set(first, key, declares)?;
                    self.set(second, item.clone(), declares)?;
                }
                _ => {}
            }
            let flow = self.block(body, &item)?;
            self.variables.truncate(scope);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::Next)
    }

    fn set(&mut self, name: &'a str, value: Val, declares: bool) -> Result<(), ExecError> {
        if declares {
            self.variables.push((name, value));
            return Ok(());
        }
        match self.variables.iter_mut().rev().find(|(n, _)| *n == name) {
            Some((_, old)) => *old = value,
            None => return fail(format!("undefined variable ${name}")),
        }
        Ok(())
    }

    fn pipeline(&mut self, pipeline: &'a Pipeline, dot: &Val) -> Result<Val, ExecError> {
        let value = self.commands(pipeline, dot)?;
        for name in &pipeline.variables {
            self.set(name, value.clone(), pipeline.declares)?;
        }
        Ok(value)
    }

    fn commands(&mut self, pipeline: &'a Pipeline, dot: &Val) -> Result<Val, ExecError> {
        let mut last = None;
        for command in &pipeline.commands {
            last = Some(self.command(command, dot, last)?);
        }
        Ok(last.unwrap_or(Val::Missing))
    }

    fn command(&mut self, command: &'a Command, dot: &Val, last: Option<Val>) -> Result<Val, ExecError> {
        self.step()?;
        if let Operand::Function(function) = &command.head {
            return self.function(function.call, function.name, &command.args, dot, last);
        }
        if !command.args.is_empty() || last.is_some() {
            return fail("can't give argument to non-function");
        }
        if matches!(command.head, Operand::Nil) {
            return fail("nil is not a command");
        }
        self.operand(&command.head, dot)
    }

    fn function(
        &mut self,
        call: Call,
        name: &'static str,
        operands: &'a [Operand],
        dot: &Val,
        last: Option<Val>,
    ) -> Result<Val, ExecError> {
        match call {
            Call::And | Call::Or => {
                // The first argument that decides is the answer; later ones are not evaluated.
                let stop_at = matches!(call, Call::Or);
                let mut value = None;
                for operand in operands {
                    let next = self.operand(operand, dot)?;
                    if next.truth() == stop_at {
                        return Ok(next);
                    }
                    value = Some(next);
                }
                last.or(value).map_or_else(|| fail(format!("wrong number of args for {name}")), Ok)
            }
            Call::Plain(function) => {
                let mut args: smallvec::SmallVec<[Val; 4]> = smallvec::SmallVec::new();
                for operand in operands {
                    args.push(self.operand(operand, dot)?);
                }
                args.extend(last);
                for arg in &mut args {
                    if matches!(arg, Val::Root) {
                        *arg = self.materialise(Val::Root);
                    }
                }
                let value = function(&Args::new(name, &args))?;
                self.charge(&value)?;
                Ok(value)
            }
        }
    }

    /// Counts what a value takes.
    fn charge(&mut self, value: &Val) -> Result<(), ExecError> {
        let size = match value {
            Val::Text(text) => text.len(),
            Val::List(values) => 48 * values.len(),
            Val::Map(values) => 96 * values.len(),
            _ => 0,
        };
        self.bytes += size;
        if size > 48 * MAX_OUTPUT || self.bytes > MAX_BYTES || matches!(value, Val::Text(t) if t.len() > MAX_OUTPUT) {
            return fail("a value of the template is too large");
        }
        Ok(())
    }

    fn operand(&mut self, operand: &'a Operand, dot: &Val) -> Result<Val, ExecError> {
        match operand {
            Operand::Dot => Ok(dot.clone()),
            Operand::Nil => Ok(Val::Nil),
            Operand::Literal(literal) => Ok(literal.value()),
            Operand::Fields(names) => self.fields(dot.clone(), names),
            Operand::Variable(name, names) => {
                let value = self.variables.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.clone());
                match value {
                    Some(value) => self.fields(value, names),
                    None => fail(format!("undefined variable ${name}")),
                }
            }
            Operand::Function(function) => {
                self.step()?;
                self.function(function.call, function.name, &[], dot, None)
            }
            Operand::Pipeline(pipeline) => {
                self.step()?;
                self.pipeline(pipeline, dot)
            }
            Operand::Chain(inner, names) => {
                let value = self.operand(inner, dot)?;
                self.fields(value, names)
            }
        }
    }

    fn fields(&mut self, value: Val, names: &[Text]) -> Result<Val, ExecError> {
        let mut value = value;
        for name in names {
            value = match &value {
                Val::Root => self.data.get(name).map_or(Val::Missing, Val::Text),
                Val::Map(values) => values.get(name).cloned().unwrap_or(Val::Missing),
                Val::Missing => Val::Missing,
                Val::Nil => return fail(format!("nil pointer evaluating interface {{}}.{name}")),
                other => return fail(format!("can't evaluate field {name} in type {}", other.type_name())),
            };
        }
        Ok(value)
    }

    /// The data as a map like any other.
    fn materialise(&self, value: Val) -> Val {
        match value {
            Val::Root => {
                let all = self.data.all().into_iter().map(|(name, text)| (name, Val::Text(text)));
                Val::Map(Rc::new(all.collect()))
            }
            other => other,
        }
    }
}
