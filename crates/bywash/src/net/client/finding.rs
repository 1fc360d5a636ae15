//! What is wrong, or without effect, in the configuration of a component, each with its dotted path.
//!
//! A plain list: the configuration layer adds the file, the line and the layout.

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The dotted path within the component; empty for the component itself.
    pub path: String,
    /// What is wrong: one line, no final stop.
    pub message: String,
    /// Whether the configuration cannot be used.
    pub is_error: bool,
}

/// All findings of a component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// Adds what makes the configuration unusable.
    pub fn error(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.0.push(Finding { path: path.into(), message: message.into(), is_error: true });
    }

    /// Adds what the user should know of.
    pub fn warn(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.0.push(Finding { path: path.into(), message: message.into(), is_error: false });
    }

    /// Says that a key which was written has no effect here.
    pub fn no_effect(&mut self, path: &str, is_set: bool, why: &str) {
        if is_set {
            self.warn(path, format!("has no effect: {why}"));
        }
    }

    /// Adds the findings of a part that stands at `path`.
    pub fn nest(&mut self, path: &str, part: Findings) {
        for mut finding in part.0 {
            finding.path = if finding.path.is_empty() { path.to_owned() } else { format!("{path}.{}", finding.path) };
            self.0.push(finding);
        }
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Finding> {
        self.0.iter()
    }

    /// The errors among them.
    pub fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.0.iter().filter(|f| f.is_error)
    }

    /// Whether the configuration cannot be used.
    pub fn has_errors(&self) -> bool {
        self.errors().next().is_some()
    }
}

impl IntoIterator for Findings {
    type Item = Finding;
    type IntoIter = std::vec::IntoIter<Finding>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
