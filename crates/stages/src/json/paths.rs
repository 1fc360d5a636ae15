//! Finding several fields of a document in one walk.

use super::{Kind, Malformed, Raw, Scanner, unescape};
use crate::shared::Shared;
use std::sync::Arc;

/// Field paths to be found, arranged as a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Paths {
    nodes: Vec<Node>,
    count: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Node {
    /// Name and node of each field that is wanted, or leads to one that is.
    fields: Vec<(Box<[u8]>, usize)>,
    /// The paths that end here.
    ends: Vec<usize>,
}

/// Is shown keys with their values.
pub type Each<'a> = &'a mut dyn FnMut(&[u8], Raw);

impl Paths {
    /// These paths, once for all who look for the same.
    pub fn share(self) -> Arc<Paths> {
        static KNOWN: Shared<Paths, Paths> = Shared::new();
        match KNOWN.get(self, |paths| Ok::<_, std::convert::Infallible>(paths.clone())) {
            Ok(shared) => shared,
        }
    }

    /// Adds a path of fields; its number, from 0.
    pub fn add(&mut self, path: &[&str]) -> usize {
        if self.nodes.is_empty() {
            self.nodes.push(Node::default());
        }
        let mut node = 0;
        for name in path {
            let known = self.nodes[node].fields.iter().find(|(n, _)| **n == *name.as_bytes()).map(|(_, child)| *child);
            node = known.unwrap_or_else(|| {
                let child = self.nodes.len();
                self.nodes.push(Node::default());
                self.nodes[node].fields.push((name.as_bytes().into(), child));
                child
            });
        }
        self.nodes[node].ends.push(self.count);
        self.count += 1;
        self.count - 1
    }

    /// How many paths there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Walks `doc`, which must be one object (or null, which has no fields). `found` gets the value of each path, and `each`
    /// is shown every top-level key.
    pub fn find(&self, doc: &[u8], found: &mut [Option<Raw>], mut each: Option<Each<'_>>) -> Result<(), Malformed> {
        found.fill(None);
        let mut scanner = Scanner::new(doc);
        match scanner.peek() {
            Some(b'{') => {}
            Some(b'n') => {
                scanner.value()?;
                return scanner.end();
            }
            _ => return Err(Malformed { at: scanner.position() }),
        }
        self.object(&mut scanner, doc, Some(0), found, &mut each)?;
        scanner.end()
    }

    /// Walks an object that is at a node. Recursion is as deep as the longest path.
    fn object(
        &self,
        scanner: &mut Scanner<'_>,
        doc: &[u8],
        node: Option<usize>,
        found: &mut [Option<Raw>],
        each: &mut Option<Each<'_>>,
    ) -> Result<(), Malformed> {
        let node = node.and_then(|node| self.nodes.get(node));
        scanner.expect(b'{')?;
        if scanner.peek() == Some(b'}') {
            scanner.bump();
            return Ok(());
        }
        loop {
            let key = scanner.string()?;
            let key_text = &doc[key.start..key.end];
            let decoded;
            let key_text = if key.kind == (Kind::String { escaped: true }) {
                decoded = unescape(key_text);
                &decoded
            } else {
                key_text
            };
            scanner.expect(b':')?;
            let child =
                node.and_then(|n| n.fields.iter().find(|(name, _)| **name == *key_text)).map(|(_, child)| *child);
            let start = scanner.peek();
            let value_start = scanner.position();
            let value = match child {
                Some(child) => {
                    // The last of equal keys counts: forget what an earlier one had.
                    self.forget(child, found);
                    if start == Some(b'{') && !self.nodes[child].fields.is_empty() {
                        self.object(scanner, doc, Some(child), found, &mut None)?;
                        Raw { kind: Kind::Object, start: value_start, end: scanner.position() }
                    } else {
                        scanner.value()?
                    }
                }
                None => scanner.value()?,
            };
            for end in child.map_or(&[][..], |child| &self.nodes[child].ends) {
                if let Some(slot) = found.get_mut(*end) {
                    *slot = Some(value);
                }
            }
            if let Some(each) = each {
                each(key_text, value);
            }
            match scanner.peek() {
                Some(b',') => scanner.bump(),
                Some(b'}') => {
                    scanner.bump();
                    return Ok(());
                }
                _ => return Err(Malformed { at: scanner.position() }),
            }
        }
    }

    fn forget(&self, node: usize, found: &mut [Option<Raw>]) {
        for end in &self.nodes[node].ends {
            if let Some(slot) = found.get_mut(*end) {
                *slot = None;
            }
        }
        for (_, child) in &self.nodes[node].fields {
            self.forget(*child, found);
        }
    }
}
