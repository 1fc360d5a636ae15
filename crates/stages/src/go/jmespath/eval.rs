//! Runs an expression on a document.
//!
//! Values are borrowed from the document as long as they are parts of it. Everything that is made anew, and every element that is
//! looked at, costs a unit of [`FUEL`]; an expression that runs out of it fails, so that `[@,@]|[@,@]|…` cannot fill the memory.

use super::functions::{self, Argument};
use super::parser::Node;
use serde_json::Value as Json;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};

/// Units of work for one run.
const FUEL: usize = 1 << 20;

/// The expression fails: it has no result.
#[derive(Clone, Copy, Debug)]
pub struct Failed;

/// What evaluating gives.
pub type Found<'a> = Result<Cow<'a, Json>, Failed>;

/// The value of an expression on a document; none if it fails.
pub fn run(node: &Node, root: &Json) -> Option<Json> {
    let run = Run { root, fuel: Cell::new(FUEL), variables: RefCell::default() };
    run.eval(node, root).ok().map(Cow::into_owned)
}

/// One run of an expression.
pub struct Run<'r> {
    root: &'r Json,
    fuel: Cell<usize>,
    /// What `let` has bound, the innermost last.
    variables: RefCell<Vec<(String, Json)>>,
}

fn null<'a>() -> Found<'a> {
    Ok(Cow::Owned(Json::Null))
}

fn owned<'a>(value: impl Into<Json>) -> Found<'a> {
    Ok(Cow::Owned(value.into()))
}

/// A number; one that JSON cannot hold fails.
pub fn number<'a>(value: f64) -> Found<'a> {
    serde_json::Number::from_f64(value).map(|n| Cow::Owned(Json::Number(n))).ok_or(Failed)
}

/// Whether JMESPath takes a value for false.
fn is_false(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Bool(value) => !value,
        Json::String(value) => value.is_empty(),
        Json::Array(values) => values.is_empty(),
        Json::Object(values) => values.is_empty(),
        Json::Number(_) => false,
    }
}

/// How much a value takes: one for each part, and for each 16 bytes of text.
fn weight(value: &Json) -> usize {
    match value {
        Json::String(text) => 1 + text.len() / 16,
        Json::Array(values) => 1 + values.iter().map(weight).sum::<usize>(),
        Json::Object(values) => 1 + values.iter().map(|(key, value)| 1 + key.len() / 16 + weight(value)).sum::<usize>(),
        Json::Null | Json::Bool(_) | Json::Number(_) => 1,
    }
}

impl Run<'_> {
    /// Pays for `units` of work.
    pub fn pay(&self, units: usize) -> Result<(), Failed> {
        self.fuel.set(self.fuel.get().checked_sub(units.max(1)).ok_or(Failed)?);
        Ok(())
    }

    /// A value of its own.
    pub fn own(&self, value: Cow<'_, Json>) -> Result<Json, Failed> {
        self.pay(weight(&value))?;
        Ok(value.into_owned())
    }

    /// Runs `node` on `value`.
    pub fn eval<'a>(&'a self, node: &'a Node, value: &'a Json) -> Found<'a> {
        self.pay(1)?;
        match node {
            Node::Current => Ok(Cow::Borrowed(value)),
            Node::Root => Ok(Cow::Borrowed(self.root)),
            Node::Field(name) => Ok(value.get(name).map_or(Cow::Owned(Json::Null), Cow::Borrowed)),
            Node::Index(index) => Ok(element(value, *index).map_or(Cow::Owned(Json::Null), Cow::Borrowed)),
            Node::Slice(parts) => self.slice(value, parts),
            Node::Literal(value) => Ok(Cow::Borrowed(value)),
            Node::Variable(name) => {
                let variables = self.variables.borrow();
                let (_, value) = variables.iter().rev().find(|(bound, _)| bound == name).ok_or(Failed)?;
                self.own(Cow::Borrowed(value)).map(Cow::Owned)
            }
            Node::Sub(left, right) => match self.eval(left, value)? {
                left if left.is_null() => null(),
                left => self.on(right, left),
            },
            Node::Pipe(left, right) => self.on(right, self.eval(left, value)?),
            Node::Or(left, right) => match self.eval(left, value)? {
                left if is_false(&left) => self.eval(right, value),
                left => Ok(left),
            },
            Node::And(left, right) => match self.eval(left, value)? {
                left if is_false(&left) => Ok(left),
                _ => self.eval(right, value),
            },
            Node::Not(inner) => owned(is_false(&*self.eval(inner, value)?)),
            Node::Unary(sign, inner) => match self.eval(inner, value)?.as_f64() {
                Some(found) => number(if *sign == "-" { -found } else { found }),
                None => null(),
            },
            Node::Arithmetic(sign, left, right) => {
                arithmetic(sign, &*self.eval(left, value)?, &*self.eval(right, value)?)
            }
            Node::Compare(sign, left, right) => compare(sign, &*self.eval(left, value)?, &*self.eval(right, value)?),
            Node::List(items) => {
                let items: Result<Vec<Json>, Failed> =
                    items.iter().map(|item| self.own(self.eval(item, value)?)).collect();
                owned(items?)
            }
            Node::Hash(items) => {
                let mut map = serde_json::Map::new();
                for (name, item) in items {
                    map.insert(name.clone(), self.own(self.eval(item, value)?)?);
                }
                owned(map)
            }
            Node::Projection(left, right) => self.project(left, right, value),
            Node::Values(left, right) => match self.eval(left, value) {
                Ok(found) => match &*found {
                    Json::Object(map) => self.collect(map.values(), right, None),
                    _ => null(),
                },
                Err(Failed) => null(),
            },
            Node::Filter(left, right, condition) => match self.eval(left, value) {
                Ok(found) => match &*found {
                    Json::Array(items) => self.collect(items.iter(), right, Some(condition)),
                    _ => null(),
                },
                Err(Failed) => null(),
            },
            Node::Flatten(left) => self.flatten(left, value),
            // A reference is only good as an argument; elsewhere the peer has a function, which it shows as nothing.
            Node::Reference(_) => owned(""),
            Node::Call(name, arguments) => self.call(name, arguments, value),
            Node::Let(bindings, inner) => self.bound(bindings, inner, value),
            Node::Binding(..) => Err(Failed),
        }
    }

    /// Runs `node` on a value that may be borrowed or not.
    fn on<'a>(&'a self, node: &'a Node, value: Cow<'a, Json>) -> Found<'a> {
        match value {
            Cow::Borrowed(value) => self.eval(node, value),
            Cow::Owned(value) => {
                let found = self.eval(node, &value)?;
                Ok(Cow::Owned(found.into_owned()))
            }
        }
    }

    /// The results of `node` on each item that the condition holds for, without nulls.
    fn collect<'i, 'a>(
        &self,
        items: impl Iterator<Item = &'i Json>,
        node: &Node,
        condition: Option<&Node>,
    ) -> Found<'a> {
        let mut collected = Vec::new();
        for item in items {
            if let Some(condition) = condition
                && is_false(&*self.eval(condition, item)?)
            {
                continue;
            }
            let found = self.eval(node, item)?;
            if !found.is_null() {
                collected.push(self.own(found)?);
            }
        }
        owned(collected)
    }

    fn project<'a>(&'a self, left: &'a Node, right: &'a Node, value: &'a Json) -> Found<'a> {
        // A slice of a string is a string, and not projected.
        let is_slice = matches!(left, Node::Sub(_, slice) if matches!(**slice, Node::Slice(_)));
        let found = self.eval(left, value)?;
        match &*found {
            Json::Array(items) => self.collect(items.iter(), right, None),
            Json::String(_) if is_slice => Ok(found),
            _ => null(),
        }
    }

    fn flatten<'a>(&'a self, left: &'a Node, value: &'a Json) -> Found<'a> {
        let Ok(found) = self.eval(left, value) else { return null() };
        let Json::Array(items) = &*found else { return null() };
        self.pay(weight(&found))?;
        let mut flat = Vec::new();
        for item in items {
            match item {
                Json::Array(inner) => flat.extend(inner.iter().cloned()),
                other => flat.push(other.clone()),
            }
        }
        owned(flat)
    }

    fn slice<'a>(&self, value: &Json, parts: &[Option<i64>; 3]) -> Found<'a> {
        match value {
            Json::Array(items) => {
                let picked = picked(items.len(), parts).ok_or(Failed)?;
                let items: Result<Vec<Json>, Failed> =
                    picked.filter_map(|at| items.get(at)).map(|item| self.own(Cow::Borrowed(item))).collect();
                owned(items?)
            }
            Json::String(text) => {
                let chars: Vec<char> = text.chars().collect();
                self.pay(chars.len())?;
                match picked(chars.len(), parts) {
                    Some(picked) => owned(picked.filter_map(|at| chars.get(at)).collect::<String>()),
                    None => null(),
                }
            }
            _ => null(),
        }
    }

    fn call<'a>(&'a self, name: &str, arguments: &'a [Node], value: &'a Json) -> Found<'a> {
        let mut resolved = Vec::with_capacity(arguments.len());
        for argument in arguments {
            resolved.push(match argument {
                Node::Reference(inner) => Argument::Reference(inner),
                node => Argument::Value(self.eval(node, value)?),
            });
        }
        functions::call(self, name, resolved)
    }

    fn bound<'a>(&'a self, bindings: &'a [(String, Node)], inner: &'a Node, value: &'a Json) -> Found<'a> {
        let before = self.variables.borrow().len();
        // All are bound at once: none sees another.
        let mut found = Vec::new();
        for (name, node) in bindings {
            found.push((name.clone(), self.own(self.eval(node, value)?)?));
        }
        self.variables.borrow_mut().extend(found);
        let result = self.eval(inner, value);
        self.variables.borrow_mut().truncate(before);
        result
    }
}

fn element(value: &Json, index: i64) -> Option<&Json> {
    let items = value.as_array()?;
    let index = if index < 0 { index.checked_add(i64::try_from(items.len()).ok()?)? } else { index };
    items.get(usize::try_from(index).ok()?)
}

fn arithmetic<'a>(sign: &str, left: &Json, right: &Json) -> Found<'a> {
    let (Some(left), Some(right)) = (left.as_f64(), right.as_f64()) else { return null() };
    number(match sign {
        "+" => left + right,
        "-" => left - right,
        "/" => left / right,
        "%" => left % right,
        "//" => (left / right).floor(),
        _ => left * right,
    })
}

fn compare<'a>(sign: &str, left: &Json, right: &Json) -> Found<'a> {
    match sign {
        "==" => return owned(left == right),
        "!=" => return owned(left != right),
        _ => {}
    }
    let (Some(left), Some(right)) = (left.as_f64(), right.as_f64()) else { return null() };
    owned(match sign {
        "<" => left < right,
        "<=" => left <= right,
        ">" => left > right,
        _ => left >= right,
    })
}

/// The indexes of a slice, in its order; none for a step of 0.
fn picked(len: usize, parts: &[Option<i64>; 3]) -> Option<impl Iterator<Item = usize>> {
    let len = i64::try_from(len).ok()?;
    let step = parts[2].unwrap_or(1);
    if step == 0 {
        return None;
    }
    let cap = |at: i64| match at {
        at if at < 0 => (at.saturating_add(len)).max(if step < 0 { -1 } else { 0 }),
        at if at >= len => {
            if step < 0 {
                len - 1
            } else {
                len
            }
        }
        at => at,
    };
    let (first, last) = if step < 0 { (len - 1, -1) } else { (0, len) };
    let (start, stop) = (parts[0].map_or(first, cap), parts[1].map_or(last, cap));
    let mut at = Some(start);
    Some(std::iter::from_fn(move || {
        let now = at.filter(|at| if step < 0 { *at > stop } else { *at < stop })?;
        at = now.checked_add(step);
        usize::try_from(now).ok()
    }))
}
