//! The functions that templates may call: Go's own, Loki's, and sprig's text functions.
//!
//! A function gets its arguments in order, the piped value last. Sizes and counts are checked where a function could make
//! much out of little. What sprig has and tenants must not is named in [`FORBIDDEN`], so that the error says why.

mod builtin;
mod dict;
mod encode;
mod kind;
mod list;
mod math;
mod path;
mod regex;
mod text;
mod time;

use super::value::Val;
use super::{ExecError, MAX_OUTPUT};
use crate::text::Text;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;

/// The most elements a list may have that a function makes.
const MAX_ELEMENTS: usize = 10_000;

/// What a function does.
pub type Plain = fn(&Args<'_>) -> Result<Val, ExecError>;

/// How a function is called.
#[derive(Clone, Copy)]
pub enum Call {
    /// Arguments are evaluated until one is false.
    And,
    /// Arguments are evaluated until one is true.
    Or,
    /// All arguments are evaluated first.
    Plain(Plain),
}

/// A function by its name.
#[derive(Clone, Copy)]
pub struct Function {
    pub name: &'static str,
    pub call: Call,
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// What sprig has, but not here: it reads secrets, uses the network, makes keys, burns time, or differs from call to call.
const FORBIDDEN: [&str; 34] = [
    "env",
    "expandenv",
    "getHostByName",
    "genPrivateKey",
    "genCA",
    "genCAWithKey",
    "genSelfSignedCert",
    "genSelfSignedCertWithKey",
    "genSignedCert",
    "genSignedCertWithKey",
    "buildCustomCert",
    "derivePassword",
    "encryptAES",
    "decryptAES",
    "bcrypt",
    "htpasswd",
    "uuidv4",
    "shuffle",
    "randAlphaNum",
    "randAlpha",
    "randAscii",
    "randNumeric",
    "randBytes",
    "randInt",
    "now",
    "ago",
    "uuidv1",
    "uuidv3",
    "uuidv5",
    "getHostname",
    "lookup",
    "tpl",
    "include",
    "required",
];

/// Finds a function; the error says why there is none.
pub fn find(name: &str) -> Result<Function, String> {
    let call = match name {
        "and" => Some(("and", Call::And)),
        "or" => Some(("or", Call::Or)),
        _ => [
            builtin::find,
            text::find,
            math::find,
            list::find,
            dict::find,
            encode::find,
            kind::find,
            path::find,
            regex::find,
            time::find,
        ]
        .iter()
        .find_map(|find| find(name))
        .map(|(name, plain)| (name, Call::Plain(plain))),
    };
    match call {
        Some((name, call)) => Ok(Function { name, call }),
        None if FORBIDDEN.contains(&name) => Err(format!(
            "function \"{name}\" is not available: templates cannot read the environment or the clock, use the network, make keys or random values"
        )),
        None => Err(format!("function \"{name}\" not defined")),
    }
}

/// The functions of a group by name.
type Found = Option<(&'static str, Plain)>;

/// Builds a group's `find` out of names and functions.
macro_rules! group {
    ($($name:literal => $function:expr),* $(,)?) => {
        /// The function of this group that has this name.
        pub fn find(name: &str) -> super::Found {
            Some(match name {
                $($name => ($name, $function as super::Plain),)*
                _ => return None,
            })
        }
    };
}
use group;

/// The arguments of a call.
pub struct Args<'a> {
    name: &'static str,
    args: &'a [Val],
}

impl<'a> Args<'a> {
    pub fn new(name: &'static str, args: &'a [Val]) -> Self {
        Self { name, args }
    }

    pub fn fail<T>(&self, what: impl std::fmt::Display) -> Result<T, ExecError> {
        Err(ExecError(format!("error calling {}: {what}", self.name)))
    }

    pub fn all(&self) -> &'a [Val] {
        self.args
    }

    pub fn len(&self) -> usize {
        self.args.len()
    }

    /// There must be exactly so many.
    pub fn exactly(&self, count: usize) -> Result<&'a [Val], ExecError> {
        if self.args.len() == count {
            return Ok(self.args);
        }
        Err(ExecError(format!("wrong number of args for {}: want {count} got {}", self.name, self.args.len())))
    }

    /// There must be at least so many.
    pub fn at_least(&self, count: usize) -> Result<&'a [Val], ExecError> {
        if self.args.len() >= count {
            return Ok(self.args);
        }
        Err(ExecError(format!("wrong number of args for {}: want at least {count} got {}", self.name, self.args.len())))
    }

    pub fn get(&self, i: usize) -> Result<&'a Val, ExecError> {
        self.args.get(i).ok_or_else(|| ExecError(format!("not enough arguments for {}", self.name)))
    }

    /// An argument that must be text.
    pub fn text(&self, i: usize) -> Result<&'a Text, ExecError> {
        match self.get(i)? {
            Val::Text(text) => Ok(text),
            Val::Missing => self.fail("invalid value; expected string"),
            other => self.fail(format!("wrong type for value; expected string; got {}", other.type_name())),
        }
    }

    /// An argument that must be text, as UTF-8.
    pub fn str(&self, i: usize) -> Result<Cow<'a, str>, ExecError> {
        Ok(self.text(i)?.to_str_lossy())
    }

    /// An argument that must be a whole number.
    pub fn int(&self, i: usize) -> Result<i64, ExecError> {
        match self.get(i)? {
            Val::Int(value) => Ok(*value),
            Val::Float(value) if value.fract() == 0.0 && value.abs() < 9e18 => Ok(*value as i64),
            other => self.fail(format!("wrong type for value; expected int; got {}", other.type_name())),
        }
    }

    /// An argument that must be a list.
    pub fn list(&self, i: usize) -> Result<&'a [Val], ExecError> {
        match self.get(i)? {
            Val::List(values) => Ok(values),
            other => self.fail(format!("wrong type; expected a list; got {}", other.type_name())),
        }
    }

    /// An argument that must be a map.
    pub fn map(&self, i: usize) -> Result<&'a Rc<BTreeMap<Text, Val>>, ExecError> {
        match self.get(i)? {
            Val::Map(values) => Ok(values),
            other => self.fail(format!("wrong type; expected a map; got {}", other.type_name())),
        }
    }

    /// A count of bytes or elements that is to be made; too many fail.
    pub fn bounded(&self, count: usize, limit: usize) -> Result<usize, ExecError> {
        if count > limit { self.fail("the result would be too large") } else { Ok(count) }
    }
}

/// Any value as text, as sprig's strval: text as it is, the rest as `%v` prints it.
fn strval(value: &Val) -> Text {
    match value {
        Val::Text(text) => text.clone(),
        Val::Missing => Text::from_static("<nil>"),
        other => other.show().into(),
    }
}

/// A list of texts out of a list or one value; nil is left out.
fn strings(value: &Val) -> Vec<Text> {
    match value {
        Val::List(values) => values.iter().filter(|value| !value.is_nil()).map(strval).collect(),
        Val::Missing | Val::Nil => Vec::new(),
        other => vec![strval(other)],
    }
}

/// Whether sprig takes a value for empty.
fn is_empty(value: &Val) -> bool {
    !value.truth() && !matches!(value, Val::Time(..))
}

fn text(value: impl Into<Text>) -> Result<Val, ExecError> {
    Ok(Val::text(value))
}

fn texts(values: impl IntoIterator<Item = Text>) -> Val {
    Val::list(values.into_iter().map(Val::Text).collect())
}
