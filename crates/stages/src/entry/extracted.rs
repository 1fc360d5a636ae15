//! What stages have learned about an entry: the extracted map.
//!
//! It begins as a copy of the labels, and later changes of labels are not mirrored into it. Names that a pipeline's
//! configuration mentions are numbered when the pipeline is built ([`Symbols`]), so that reading or setting one is an array
//! access; names that only the data brings (a key matched by a regex, an unmentioned label) are in a list beside it.
//!
//! Invariant: a name is in one place: its slot if it has a symbol, else `extra`, else `base`. The labels themselves are not
//! copied: `base` shares them.

use super::labels::Labels;
use crate::go::number;
use crate::shared::Shared;
use crate::text::Text;
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::sync::Arc;

/// A value that a stage extracted. Objects and arrays are held as JSON text.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// JSON null, or a path that was not there: the key exists, the value cannot be used.
    Null,
    /// true or false.
    Bool(bool),
    /// A number.
    Number(f64),
    /// A whole number with more digits than a float keeps, as it was written.
    Integer(Text),
    /// Text.
    Text(Text),
}

impl Value {
    /// The value as text: numbers with the fewest digits and without exponent, `None` for null.
    pub fn to_text(&self) -> Option<Text> {
        Some(match self {
            Value::Null => return None,
            Value::Bool(true) => Text::from_static("true"),
            Value::Bool(false) => Text::from_static("false"),
            Value::Number(number) => number::format_f(*number).into(),
            Value::Integer(text) | Value::Text(text) => text.clone(),
        })
    }
}

impl Value {
    /// The value as text, without another counter where it is text.
    pub fn into_text(self) -> Option<Text> {
        match self {
            Value::Integer(text) | Value::Text(text) => Some(text),
            other => other.to_text(),
        }
    }
}

impl From<Text> for Value {
    fn from(text: Text) -> Self {
        Value::Text(text)
    }
}

/// The number of a name in one pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Symbol(u16);

/// The names that a pipeline's configuration mentions.
#[derive(Debug, Default)]
pub struct Symbols(Arc<Names>);

#[derive(Clone, Debug, Default)]
struct Names {
    names: Vec<Text>,
    numbers: HashMap<Text, Symbol, RandomState>,
}

impl Symbols {
    /// The number of `name`, a new one if it is new. `None` when all 65 535 are taken.
    pub fn intern(&mut self, name: &str) -> Option<Symbol> {
        if let Some(symbol) = self.find(name.as_bytes()) {
            return Some(symbol);
        }
        let symbol = Symbol(u16::try_from(self.0.names.len()).ok().filter(|&n| n < u16::MAX)?);
        let (name, all) = (Text::from(name), Arc::make_mut(&mut self.0));
        all.names.push(name.clone());
        all.numbers.insert(name, symbol);
        Some(symbol)
    }

    /// The number of `name`.
    #[inline]
    pub fn find(&self, name: &[u8]) -> Option<Symbol> {
        self.0.numbers.get(name).copied()
    }

    /// The name of a number.
    pub fn name(&self, symbol: Symbol) -> &Text {
        &self.0.names[usize::from(symbol.0)]
    }
}

impl Symbols {
    /// The names of a pipeline that is built. Pipelines with the same names share them, but not the counter that every entry
    /// counts up and down: cores that run different pipelines do not meet.
    pub fn share(self) -> Arc<Symbols> {
        static KNOWN: Shared<Vec<Text>, Names> = Shared::new();
        let names = Names::clone(&self.0);
        match KNOWN.get(names.names.clone(), |_| Ok::<_, std::convert::Infallible>(names)) {
            Ok(shared) => Arc::new(Symbols(shared)),
        }
    }
}

impl std::borrow::Borrow<[u8]> for Text {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// The extracted map.
#[derive(Clone, Debug, Default)]
pub struct Extracted {
    /// None until a pipeline has filled the map.
    symbols: Option<Arc<Symbols>>,
    slots: Vec<Option<Value>>,
    extra: Vec<(Text, Value)>,
    base: Labels,
}

impl Extracted {
    #[inline]
    fn find(&self, name: &[u8]) -> Option<Symbol> {
        self.symbols.as_ref()?.find(name)
    }

    /// The names of the slots.
    fn names(&self) -> &[Text] {
        self.symbols.as_ref().map_or(&[], |symbols| &symbols.0.names)
    }

    /// A map that holds the labels.
    pub fn from_labels(symbols: &Arc<Symbols>, labels: &Labels) -> Self {
        let mut slots = Vec::new();
        slots.resize(symbols.0.names.len(), None);
        let mut this = Self { symbols: Some(Arc::clone(symbols)), slots, extra: Vec::new(), base: labels.clone() };
        for (name, value) in labels.iter() {
            if let Some(symbol) = symbols.find(name) {
                this.slots[usize::from(symbol.0)] = Some(Value::Text(value.clone()));
            }
        }
        this
    }

    /// Copies the labels in again, over what is there (what `match` does before its nested stages).
    pub fn copy_labels(&mut self, labels: &Labels) {
        if labels.same(&self.base) && self.extra.is_empty() {
            // What is unmentioned is unchanged; only slots may have been overwritten.
            for (name, value) in labels.iter() {
                if let Some(symbol) = self.find(name) {
                    self.slots[usize::from(symbol.0)] = Some(Value::Text(value.clone()));
                }
            }
            return;
        }
        for (name, value) in labels.iter() {
            self.set_named(name.clone(), Value::Text(value.clone()));
        }
    }

    /// The value of a mentioned name. The symbol must be of this pipeline.
    #[inline]
    pub fn get(&self, symbol: Symbol) -> Option<&Value> {
        self.slots.get(usize::from(symbol.0))?.as_ref()
    }

    /// The value of a mentioned name as text; `None` also where it has no text (null).
    #[inline]
    pub fn get_text(&self, symbol: Symbol) -> Option<Text> {
        self.get(symbol)?.to_text()
    }

    /// Sets a mentioned name.
    #[inline]
    pub fn set(&mut self, symbol: Symbol, value: impl Into<Value>) {
        if let Some(slot) = self.slots.get_mut(usize::from(symbol.0)) {
            *slot = Some(value.into());
        }
    }

    /// Removes a mentioned name.
    pub fn remove(&mut self, symbol: Symbol) {
        if let Some(slot) = self.slots.get_mut(usize::from(symbol.0)) {
            *slot = None;
        }
    }

    /// The value of any name.
    pub fn get_named(&self, name: &[u8]) -> Option<Value> {
        if let Some(symbol) = self.find(name) {
            return self.get(symbol).cloned();
        }
        match self.extra.iter().find(|(n, _)| n.as_bytes() == name) {
            Some((_, value)) => Some(value.clone()),
            None => self.base.get(name).map(|value| Value::Text(value.clone())),
        }
    }

    /// Gives the value of any name as text to `print`, if it has one, without another counter.
    pub fn print<T>(&self, name: &[u8], print: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let symbol = self.find(name);
        let extra = || self.extra.iter().find(|(n, _)| n.as_bytes() == name).map(|(_, value)| value);
        match symbol.map_or_else(extra, |symbol| self.get(symbol)) {
            Some(Value::Integer(text) | Value::Text(text)) => Some(print(text)),
            Some(value) => value.to_text().map(|text| print(&text)),
            None if symbol.is_none() => self.base.get(name).map(|text| print(text)),
            None => None,
        }
    }

    /// Sets any name.
    pub fn set_named(&mut self, name: Text, value: Value) {
        if let Some(symbol) = self.find(&name) {
            return self.set(symbol, value);
        }
        match self.extra.iter_mut().find(|(n, _)| *n == name) {
            Some((_, old)) => *old = value,
            None => self.extra.push((name, value)),
        }
    }

    /// Changes every value in place. What shares the labels is copied first.
    pub fn for_each_mut(&mut self, mut change: impl FnMut(&Text, &mut Value)) {
        let base = std::mem::take(&mut self.base);
        for (name, value) in base.iter() {
            if self.find(name).is_none() && !self.extra.iter().any(|(n, _)| n == name) {
                self.extra.push((name.clone(), Value::Text(value.clone())));
            }
        }
        let symbols = self.symbols.clone();
        let names = symbols.iter().flat_map(|symbols| &symbols.0.names);
        for (slot, name) in self.slots.iter_mut().zip(names) {
            if let Some(value) = slot {
                change(name, value);
            }
        }
        for (name, value) in &mut self.extra {
            change(name, value);
        }
    }

    /// All names with their values, sorted by name.
    pub fn sorted(&self) -> Vec<(Text, Value)> {
        let slots = self.slots.iter().zip(self.names());
        let mut all: Vec<(Text, Value)> =
            slots.filter_map(|(slot, name)| Some((name.clone(), slot.clone()?))).collect();
        all.extend(self.extra.iter().cloned());
        for (name, value) in self.base.iter() {
            if self.find(name).is_none() && !self.extra.iter().any(|(n, _)| n == name) {
                all.push((name.clone(), Value::Text(value.clone())));
            }
        }
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// A copy that keeps no line alive.
    pub fn detached(&self) -> Self {
        let own = |value: &Value| match value {
            Value::Text(text) => Value::Text(text.detached()),
            Value::Integer(digits) => Value::Integer(digits.detached()),
            other => other.clone(),
        };
        Self {
            symbols: self.symbols.clone(),
            slots: self.slots.iter().map(|slot| slot.as_ref().map(own)).collect(),
            extra: self.extra.iter().map(|(name, value)| (name.detached(), own(value))).collect(),
            base: self.base.detached(),
        }
    }

    /// The same map with the symbols of another pipeline, for entries that outlive a reload.
    pub fn rebased(self, symbols: &Arc<Symbols>) -> Self {
        if self.symbols.as_ref().is_some_and(|own| Arc::ptr_eq(own, symbols)) {
            return self;
        }
        let mut this = Self::from_labels(symbols, &Labels::default());
        for (name, value) in self.sorted() {
            this.set_named(name, value);
        }
        this
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map() -> (Arc<Symbols>, Symbol, Extracted) {
        let mut symbols = Symbols::default();
        let app = symbols.intern("app").unwrap();
        let symbols = Arc::new(symbols);
        let labels: Labels = [("app", "web"), ("pod", "p1")].into_iter().collect();
        let map = Extracted::from_labels(&symbols, &labels);
        (symbols, app, map)
    }

    /// Labels are readable under their names, mentioned or not, and can be overwritten.
    #[test]
    fn labels_are_the_beginning() {
        let (_, app, mut map) = map();
        assert_eq!(map.get_text(app).unwrap(), "web");
        assert_eq!(map.get_named(b"pod"), Some(Value::Text("p1".into())));
        map.set_named("pod".into(), Value::Number(3.0));
        map.remove(app);
        assert_eq!(map.sorted(), vec![("pod".into(), Value::Number(3.0))]);
    }

    /// A map moves to another pipeline's symbols without losing a name.
    #[test]
    fn rebase_keeps_all() {
        let (_, _, map) = map();
        let mut other = Symbols::default();
        other.intern("pod").unwrap();
        let moved = map.clone().rebased(&Arc::new(other));
        assert_eq!(moved.sorted(), map.sorted());
    }

    /// Copying the labels again overwrites what was extracted under their names.
    #[test]
    fn copy_labels_overwrites() {
        let (_, app, mut map) = map();
        map.set(app, Value::Null);
        map.set_named("x".into(), Value::Bool(true));
        map.copy_labels(&[("app", "db"), ("new", "1")].into_iter().collect());
        assert_eq!(map.get_text(app).unwrap(), "db");
        assert_eq!(map.get_named(b"new"), Some(Value::Text("1".into())));
        assert_eq!(map.get_named(b"x"), Some(Value::Bool(true)));
    }
}
