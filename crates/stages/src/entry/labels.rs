//! The labels of an entry: names and values, sorted by name, shared until changed.
//!
//! All entries of a stream carry the same labels, so a clone is one counter; the first change of a shared set copies it.
//! Invariant: sorted by name bytewise, each name once. Names and values are not validated here: the stages that set them do.

use crate::go::quote;
use crate::text::Text;
use foldhash::fast::FixedState;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

/// A sorted set of labels, cheap to clone. The empty set is nothing at all.
#[derive(Clone, Default)]
pub struct Labels(Option<Arc<Vec<(Text, Text)>>>);

impl Labels {
    #[inline]
    fn all(&self) -> &[(Text, Text)] {
        self.0.as_ref().map_or(&[], |labels| labels.as_slice())
    }

    /// The value of the label `name`.
    #[inline]
    pub fn get(&self, name: &[u8]) -> Option<&Text> {
        self.all().iter().find(|(n, _)| n.as_bytes() == name).map(|(_, value)| value)
    }

    /// Sets the label `name`, in place of the one that is there.
    pub fn set(&mut self, name: Text, value: Text) {
        let at = self.all().binary_search_by(|(n, _)| n.as_bytes().cmp(&name));
        let labels = self.to_mut();
        match at {
            Ok(at) => labels[at].1 = value,
            Err(at) => labels.insert(at, (name, value)),
        }
    }

    /// Removes the label `name`; the value that was there.
    pub fn remove(&mut self, name: &[u8]) -> Option<Text> {
        let at = self.all().iter().position(|(n, _)| n.as_bytes() == name)?;
        Some(self.to_mut().remove(at).1)
    }

    /// Keeps the labels for which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(&Text) -> bool) {
        if !self.all().iter().all(|(name, _)| keep(name)) {
            self.to_mut().retain(|(name, _)| keep(name));
        }
    }

    /// The values, to be changed in place.
    pub fn values_mut(&mut self) -> impl Iterator<Item = (&Text, &mut Text)> {
        self.to_mut().iter_mut().map(|(name, value)| (&*name, value))
    }

    /// Names and values, sorted by name.
    #[inline]
    pub fn iter(&self) -> std::slice::Iter<'_, (Text, Text)> {
        self.all().iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all().is_empty()
    }

    /// A number that is equal for equal labels, and otherwise differs nearly always. Holders of state keep the labels beside
    /// it wherever a mistake would mix two streams.
    pub fn fingerprint(&self, seed: &FixedState) -> u64 {
        seed.hash_one(self.all())
    }

    /// A copy that keeps no line alive.
    pub fn detached(&self) -> Labels {
        self.iter().map(|(name, value)| (name.detached(), value.detached())).collect()
    }

    /// Whether both are the very same set, without comparing it.
    #[inline]
    pub fn same(&self, other: &Labels) -> bool {
        match (&self.0, &other.0) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (a, b) => a.is_none() && b.is_none(),
        }
    }

    fn to_mut(&mut self) -> &mut Vec<(Text, Text)> {
        if self.0.as_mut().is_none_or(|labels| Arc::get_mut(labels).is_none()) {
            // A set that changes once usually changes again: leave room, so that it is copied once.
            let mut copy = Vec::with_capacity(self.len() + 4);
            copy.extend_from_slice(self.all());
            self.0 = Some(Arc::new(copy));
        }
        // It is not shared, so nothing is copied here.
        Arc::make_mut(self.0.get_or_insert_default())
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Labels) -> bool {
        self.same(other) || self.all() == other.all()
    }
}

impl Eq for Labels {}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.all().hash(state);
    }
}

impl<N: Into<Text>, V: Into<Text>> FromIterator<(N, V)> for Labels {
    /// Of two labels with one name the later stays.
    fn from_iter<I: IntoIterator<Item = (N, V)>>(labels: I) -> Self {
        let mut all: Vec<(Text, Text)> = labels.into_iter().map(|(n, v)| (n.into(), v.into())).collect();
        all.reverse();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all.dedup_by(|a, b| a.0 == b.0);
        Labels((!all.is_empty()).then(|| Arc::new(all)))
    }
}

/// As Loki writes them: `{a="x", b="y"}`.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (name, value)) in self.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            write!(f, "{comma}{name}={}", quote::quote(value))?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Changing a clone leaves the original as it was, and the order by name holds.
    #[test]
    fn clones_are_independent() {
        let one: Labels = [("b", "1"), ("a", "2"), ("b", "3")].into_iter().collect();
        let mut two = one.clone();
        two.set("aa".into(), "x\"y".into());
        two.remove(b"b");
        assert_eq!(one.to_string(), r#"{a="2", b="3"}"#);
        assert_eq!(two.to_string(), r#"{a="2", aa="x\"y"}"#);
    }

    /// Keeping everything does not copy a shared set.
    #[test]
    fn retain_all_shares() {
        let one: Labels = [("a", "1")].into_iter().collect();
        let mut two = one.clone();
        two.retain(|_| true);
        assert!(one.same(&two));
        two.retain(|_| false);
        assert!(two.is_empty() && one.len() == 1);
    }
}
