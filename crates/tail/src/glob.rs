//! Patterns of paths, in the collector's syntax: `*`, `?`, `[a-z]`, `{a,b}` within a name, `**` for any number of
//! directories.
//!
//! A pattern is taken apart at its slashes, so that only directories are opened that can hold something.

use crate::config::ConfigError;
use globset::{GlobBuilder, GlobMatcher};
use std::path::{Component, Path};

/// Alternatives with slashes that one pattern may be written out to.
const MOST_ALTERNATIVES: usize = 1000;

/// One step of a pattern.
#[derive(Clone, Debug)]
pub enum Step {
    /// This name.
    Name(String),
    /// Names that match.
    Matching(GlobMatcher),
    /// Any number of directories.
    Deep,
}

/// A pattern, as steps from the root or from the working directory.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// Whether it begins at the root.
    pub is_absolute: bool,
    /// Its steps.
    pub steps: Vec<Step>,
}

impl Pattern {
    /// The pattern that `text` is: several, if it has alternatives with slashes.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Vec<Pattern>, ConfigError> {
        let wrong = |why: &str| ConfigError::Glob { pattern: text.to_owned(), why: why.to_owned() };
        if text.is_empty() {
            return Err(wrong("it is empty"));
        }
        let mut written_out = vec![];
        write_out(text, &mut written_out).map_err(|()| wrong("it has too many alternatives"))?;
        written_out.iter().map(|one| Pattern::of(one).map_err(|why| wrong(&why))).collect()
    }

    fn of(text: &str) -> Result<Pattern, String> {
        let mut steps = vec![];
        for name in text.split('/').filter(|name| !name.is_empty() && *name != ".") {
            let step = match name {
                "**" if matches!(steps.last(), Some(Step::Deep)) => continue,
                "**" => Step::Deep,
                name if name.contains(['*', '?', '[', '{', '\\']) => Step::Matching(matcher(name)?),
                name => Step::Name(name.to_owned()),
            };
            steps.push(step);
        }
        Ok(Pattern { is_absolute: text.starts_with('/'), steps })
    }

    /// Whether a path is one of it.
    #[must_use]
    pub fn matches(&self, path: &Path) -> bool {
        let names: Vec<&str> = path
            .components()
            .filter_map(|part| match part {
                Component::Normal(name) => Some(name.to_str().unwrap_or("\u{fffd}")),
                Component::ParentDir => Some(".."),
                _ => None,
            })
            .collect();
        self.is_absolute == path.is_absolute() && matches(&self.steps, &names)
    }
}

fn matcher(name: &str) -> Result<GlobMatcher, String> {
    let glob = GlobBuilder::new(name).literal_separator(true).backslash_escape(true).build();
    glob.map(|glob| glob.compile_matcher()).map_err(|error| error.kind().to_string())
}

/// Each step is met once for each name, whatever the pattern: those behind the last `**` decide.
fn matches(steps: &[Step], names: &[&str]) -> bool {
    let fits = |step: &Step, name: &str| match step {
        Step::Name(own) => own == name,
        Step::Matching(glob) => glob.is_match(name),
        Step::Deep => true,
    };
    let (mut s, mut n, mut back) = (0, 0, None);
    while n < names.len() {
        match steps.get(s) {
            Some(Step::Deep) => {
                back = Some((s, n));
                s += 1;
            }
            Some(step) if fits(step, names[n]) => (s, n) = (s + 1, n + 1),
            _ => {
                let Some((deep, at)) = back else { return false };
                back = Some((deep, at + 1));
                (s, n) = (deep + 1, at + 1);
            }
        }
    }
    steps[s..].iter().all(|step| matches!(step, Step::Deep))
}

/// Writes alternatives out that have a slash in them.
fn write_out(text: &str, out: &mut Vec<String>) -> Result<(), ()> {
    let Some((from, to)) = alternatives(text) else {
        out.push(text.to_owned());
        return if out.len() > MOST_ALTERNATIVES { Err(()) } else { Ok(()) };
    };
    let (mut depth, mut start) = (0, from + 1);
    for (at, c) in text[from + 1..to].char_indices().map(|(at, c)| (from + 1 + at, c)).chain([(to, ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                write_out(&format!("{}{}{}", &text[..from], &text[start..at], &text[to + 1..]), out)?;
                start = at + 1;
            }
            _ => {}
        }
    }
    Ok(())
}

/// The first braces with a slash between them.
fn alternatives(text: &str) -> Option<(usize, usize)> {
    let mut open = vec![];
    let mut found: Option<(usize, usize)> = None;
    for (at, c) in text.char_indices() {
        match c {
            '{' => open.push(at),
            '}' => {
                let from = open.pop()?;
                if open.is_empty() && text[from..at].contains('/') {
                    found = found.or(Some((from, at)));
                }
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is_match(pattern: &str, path: &str) -> bool {
        Pattern::parse(pattern).unwrap().iter().any(|pattern| pattern.matches(Path::new(path)))
    }

    /// Scenario: patterns as people write them. Guarantee: they mean what they mean in the collector.
    #[test]
    fn patterns_mean_what_they_mean() {
        for (pattern, path, expected) in [
            ("/var/log/*.log", "/var/log/a.log", true),
            ("/var/log/*.log", "/var/log/x/a.log", false),
            ("/var/log/**/*.log", "/var/log/a.log", true),
            ("/var/log/**/*.log", "/var/log/x/y/a.log", true),
            ("/var/log/**", "/var/log/x/y", true),
            ("**/*.log", "a.log", true),
            ("/a/{b,c}/x{1,2}.log", "/a/c/x2.log", true),
            ("/a/{b/d,c}/x", "/a/b/d/x", true),
            ("/a/{b/d,c}/x", "/a/b/x", false),
            ("/a/[x-z]?.log", "/a/y1.log", true),
            ("/a/.*", "/a/.hidden", true),
            ("./x/*.log", "x/a.log", true),
            ("/**/a/**/b", "/x/a/y/z/b", true),
        ] {
            assert_eq!(is_match(pattern, path), expected, "{pattern} {path}");
        }
        let error = Pattern::parse("/a/[x").unwrap_err().to_string();
        assert!(error.starts_with("`/a/[x` is no pattern of paths"), "{error}");
        assert!(Pattern::parse(&"{a/,b/}".repeat(12)).is_err());
    }

    proptest! {
        /// Scenario: any text. Guarantee: it is a pattern or it is not, without a panic.
        #[test]
        fn any_text_is_read(text in "[a/{},*\\[\\]\\\\]{0,30}") {
            drop(Pattern::parse(&text));
        }
    }
}
