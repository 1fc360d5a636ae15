//! Where in a message the reader stands: known fields and elements, the innermost first. Each lies on the stack of who
//! reads it, so that nobody pays for a path that nobody asks for.

use std::fmt;

/// A field or an element, and where that is.
pub(super) struct Place<'p> {
    up: Option<&'p Place<'p>>,
    step: Step,
}

enum Step {
    Field(&'static str),
    Element(usize),
}

impl<'p> Place<'p> {
    /// A field of the message that is at `up`; the outermost message is nowhere.
    #[inline]
    pub fn field(up: Option<&'p Place<'p>>, name: &'static str) -> Self {
        Place { up, step: Step::Field(name) }
    }

    /// An element of the list at `up`.
    #[inline]
    pub fn element(up: &'p Place<'p>, index: usize) -> Self {
        Place { up: Some(up), step: Step::Element(index) }
    }

    /// Whether it is the first element.
    #[inline]
    pub fn is_first(&self) -> bool {
        matches!(self.step, Step::Element(0))
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(up) = self.up {
            up.fmt(f)?;
        }
        match self.step {
            Step::Field(name) if self.up.is_none() => f.write_str(name),
            Step::Field(name) => write!(f, ".{name}"),
            Step::Element(index) => write!(f, "[{index}]"),
        }
    }
}
