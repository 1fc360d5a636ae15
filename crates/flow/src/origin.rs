//! What is known of where a request came from, and which requests stay apart because of it.
//!
//! An [`Origin`] is a list of names with values: headers of the sender, its address, what its credential said. A router that is
//! [`Partitioned`] by some of the names gives requests that differ in one of them different targets, so that they have lanes, batches and
//! failures of their own. The values stand in the target's name, `a:4317{metadata.x-team="red"}`: what is known on the way is
//! known on disk, and whoever sends reads it there.
//!
//! Invariants: no name of a backend, tenant or terminal has a brace in it; values that may be credentials are never shown.

use crate::payload::Payload;
use crate::router::{Router, Routes, Target};
use crate::{Meta, Why};
use std::fmt::{self, Write};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use wire::Records;

/// Words in names whose values are not shown.
const SECRET: [&str; 9] =
    ["auth", "token", "secret", "key", "cookie", "password", "credential", "signature", "session"];

/// Names with their values, sorted by name. A name that has several values comes several times; names have no upper case.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Origin(Vec<(Arc<str>, Box<str>)>);

impl Origin {
    /// Of these pairs.
    pub fn new(pairs: impl IntoIterator<Item = (Arc<str>, Box<str>)>) -> Origin {
        let mut pairs: Vec<_> = pairs.into_iter().collect();
        // The values of one name keep their order.
        pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
        Origin(pairs)
    }

    /// Nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// About the bytes that it takes in memory.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.iter().map(|pair| size_of_val(pair) + pair.1.len()).sum()
    }

    /// The values of a name.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| **known == *name).map(|(_, value)| &**value)
    }

    /// What is known of these names only.
    #[must_use]
    pub fn of(&self, names: &[Arc<str>]) -> Origin {
        Origin(self.0.iter().filter(|(name, _)| names.contains(name)).cloned().collect())
    }

    /// Reads what is between the braces of a target's name; nothing of what is not one.
    fn parse(mut text: &str) -> Origin {
        let mut pairs = Vec::new();
        while let Some((name, rest)) = text.split_once("=\"") {
            let (mut value, mut chars) = (String::new(), rest.char_indices());
            let end = loop {
                match chars.next() {
                    Some((_, '\\')) => value.extend(chars.next().map(|(_, c)| c)),
                    Some((at, '"')) => break at + 1,
                    Some((_, c)) => value.push(c),
                    None => return Origin::default(),
                }
            };
            pairs.push((name.into(), value.into()));
            text = rest[end..].strip_prefix(',').unwrap_or_default();
        }
        Origin(pairs)
    }

    /// Writes the pairs as they stand in a target's name, or as they may be shown.
    fn write(&self, out: &mut impl Write, is_shown: bool) -> fmt::Result {
        for (n, (name, value)) in self.0.iter().enumerate() {
            out.write_str(if n == 0 { "" } else { "," })?;
            if is_shown && SECRET.iter().any(|word| name.contains(word)) {
                let mut hasher = DefaultHasher::new();
                value.hash(&mut hasher);
                write!(out, "{name}=#{:08x}", hasher.finish() as u32)?;
                continue;
            }
            write!(out, "{name}=\"")?;
            for c in value.chars() {
                match c {
                    '"' | '\\' => write!(out, "\\{c}")?,
                    c => out.write_char(c)?,
                }
            }
            out.write_char('"')?;
        }
        Ok(())
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Origin {
    /// Credentials are replaced by a short hash, which tells one from another.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, true)
    }
}

impl Target {
    /// This target for what comes from one origin only; the target itself if nothing is known of that.
    #[must_use]
    pub fn within(&self, origin: &Origin) -> Target {
        if origin.is_empty() {
            return self.clone();
        }
        let mut name = format!("{}{{", self.name());
        // Writing to a text cannot fail.
        let _ = origin.write(&mut name, false);
        name.push('}');
        Target::new(name)
    }

    /// The target without its origin: what is connected to.
    #[must_use]
    pub fn base(&self) -> Target {
        self.parts().map_or_else(|| self.clone(), |(base, _)| Target::new(base))
    }

    /// What is known of where all of what it is sent came from.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.parts().map_or_else(Origin::default, |(_, pairs)| Origin::parse(pairs))
    }

    fn parts(&self) -> Option<(&str, &str)> {
        self.name().strip_suffix('}')?.split_once('{')
    }
}

/// A router whose targets are divided by the origin of requests.
#[derive(Clone, Debug)]
pub struct Partitioned<R> {
    router: R,
    /// The names whose values divide; none: nothing is divided.
    names: Arc<[Arc<str>]>,
}

impl<R> Partitioned<R> {
    /// Divides what `router` names by the values of these names.
    pub fn new(router: R, names: Arc<[Arc<str>]>) -> Partitioned<R> {
        Partitioned { router, names }
    }

    fn origin(&self, meta: &Meta) -> Origin {
        meta.origin.of(&self.names)
    }
}

impl<R: Router> Router for Partitioned<R> {
    fn route(&self, payload: Payload, out: &mut Routes) {
        if self.names.is_empty() {
            return self.router.route(payload, out);
        }
        let (origin, before) = (self.origin(&payload.meta), out.len());
        self.router.route(payload, out);
        out[before..].iter_mut().for_each(|(target, _)| *target = target.within(&origin));
    }

    fn only(&self, payload: &Payload) -> Option<Target> {
        Some(self.router.only(payload)?.within(&self.origin(&payload.meta)))
    }

    /// Requests that are sorted together lose their origin, so divided ones are not.
    fn sorts_by(&self) -> usize {
        if self.names.is_empty() { self.router.sorts_by() } else { 0 }
    }

    fn owners(&self, records: Records<'_>, owners: &mut Vec<u32>) -> Arc<[Target]> {
        if self.names.is_empty() { self.router.owners(records, owners) } else { Arc::new([]) }
    }

    fn ready(&self) -> Result<(), Why> {
        self.router.ready()
    }

    /// A target that is divided by a name that does not count any more is none: what was meant for it is routed again.
    fn knows(&self, target: &Target) -> bool {
        let origin = target.origin();
        origin.0.iter().all(|(name, _)| self.names.contains(name)) && self.router.knows(&target.base())
    }

    fn is_dynamic(&self) -> bool {
        !self.names.is_empty() || self.router.is_dynamic()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::Direct;
    use proptest::prelude::*;
    use wire::Signal;

    fn origin(pairs: &[(&str, &str)]) -> Origin {
        Origin::new(pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())))
    }

    fn from(pairs: &[(&str, &str)]) -> Payload {
        let meta = Arc::new(Meta { origin: origin(pairs), ..Meta::default() });
        Payload { meta, ..Payload::new(Signal::Logs, bytes::Bytes::new(), 0) }
    }

    fn routed<R: Router>(router: &R, payload: Payload) -> Target {
        let mut routes = Routes::new();
        router.route(payload, &mut routes);
        routes.remove(0).0
    }

    proptest! {
        /// Scenario: any values, several of one name among them. Guarantee: a target gives back what it was named for.
        #[test]
        fn a_target_remembers_its_origin(values in proptest::collection::vec((0usize..3, ".{0,12}"), 0..5)) {
            let names = ["client.address", "metadata.x-a", "metadata.x-b"];
            let origin = Origin::new(values.into_iter().map(|(n, value)| (names[n].into(), value.into())));
            let base = Target::new("a:4317");
            let target = base.within(&origin);
            prop_assert_eq!((target.base(), target.origin()), (base, origin));
        }

        /// Scenario: any name. Guarantee: it is read without a panic.
        #[test]
        fn any_name_is_read(name in ".*\\{.*\\}") {
            let target = Target::new(name);
            drop((target.base(), target.origin(), target.to_string()));
        }
    }

    /// Scenario: requests of two teams and of none, one of them with more headers. Guarantee: three targets, by the names that count only.
    #[test]
    fn requests_are_divided_by_the_names_that_count() {
        let router = Partitioned::new(Direct(Target::new("a:1")), [Arc::from("metadata.x-team")].into());
        let (red, blue) =
            (from(&[("metadata.x-team", "red"), ("client.address", "::1")]), from(&[("metadata.x-team", "blue")]));
        assert_eq!(routed(&router, red.clone()).name(), "a:1{metadata.x-team=\"red\"}");
        assert_eq!(routed(&router, blue).name(), "a:1{metadata.x-team=\"blue\"}");
        assert_eq!(routed(&router, from(&[])).name(), "a:1");
        assert!(router.is_dynamic() && router.sorts_by() == 0);
        let whole = Partitioned::new(Direct(Target::new("a:1")), Arc::new([]));
        assert!(routed(&whole, red).name() == "a:1" && !whole.is_dynamic());
    }

    /// Scenario: pieces from disk whose targets were divided as now, by a name that does not count any more, and for another backend.
    /// Guarantee: only the first target is known; the others are routed again.
    #[test]
    fn only_targets_that_are_divided_as_now_are_known() {
        let (base, names) = (Target::new("a:1"), [Arc::from("metadata.x-team")].into());
        let router = Partitioned::new(Direct(base.clone()), names);
        assert!(router.knows(&base) && router.knows(&base.within(&origin(&[("metadata.x-team", "red")]))));
        assert!(!router.knows(&base.within(&origin(&[("client.address", "::1")]))));
        assert!(!router.knows(&Target::new("b:1").within(&origin(&[("metadata.x-team", "red")]))));
    }

    /// Scenario: a target by a team and a credential is shown. Guarantee: the team can be read, of the credential a hash.
    #[test]
    fn credentials_are_not_shown() {
        let known = origin(&[("metadata.authorization", "Bearer hunter2"), ("metadata.x-team", "red")]);
        let target = Target::new("a:1").within(&known);
        for shown in [target.to_string(), format!("{target:?}"), format!("{known:?}")] {
            assert!(shown.contains("metadata.x-team=\"red\"") || shown.contains("red"), "{shown}");
            assert!(shown.contains("metadata.authorization=#") && !shown.contains("hunter2"), "{shown}");
        }
    }
}
