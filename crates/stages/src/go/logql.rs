//! The LogQL that `match` knows: a selector of labels, then filters of the line.
//!
//! `{name op "value", …}` with `=`, `!=`, `=~`, `!~`, at least one; then any number of `|= != |~ !~ "text"`. Strings are
//! double-quoted as in Go; there are no raw strings, no empty selectors, no parsers. A label's regex must match the whole
//! value; a label that is missing is empty; a filter's regex may match anywhere. All must hold.

use super::quote::unescape;
use super::regex::{Regex, RegexError};
use crate::entry::Labels;
use crate::text::Text;
use memchr::memmem;

/// A selector that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// The syntax, at a byte of it.
    #[error("invalid selector at byte {at}: {expected}")]
    Syntax {
        /// Where.
        at: usize,
        /// What should be there.
        expected: &'static str,
    },
    /// A regular expression in it.
    #[error(transparent)]
    Regex(#[from] RegexError),
}

/// What a label's value must be.
#[derive(Clone, Debug)]
enum Match {
    Equal(Box<[u8]>),
    Regex(Regex),
}

/// What the line must contain.
#[derive(Clone, Debug)]
enum Find {
    Text(Box<memmem::Finder<'static>>),
    Regex(Regex),
}

/// A selector with its line filters.
#[derive(Clone, Debug)]
pub struct Selector {
    /// Label, what its value is compared with, and whether it must match or must not.
    matchers: Vec<(Text, Match, bool)>,
    filters: Vec<(Find, bool)>,
}

impl Selector {
    /// Reads a selector.
    pub fn parse(source: &str) -> Result<Self, SelectorError> {
        let mut parser = Parser { source, at: 0 };
        let matchers = parser.matchers()?;
        let filters = parser.filters()?;
        Ok(Self { matchers, filters })
    }

    /// Whether an entry with these labels and this line is selected.
    #[inline]
    pub fn is_match(&self, labels: &Labels, line: &[u8]) -> bool {
        self.matchers.iter().all(|(name, pattern, wanted)| {
            let value = labels.get(name).map_or(&b""[..], |value| value.as_bytes());
            let found = match pattern {
                Match::Equal(text) => **text == *value,
                Match::Regex(regex) => regex.is_match(value),
            };
            found == *wanted
        }) && self.filters.iter().all(|(find, wanted)| {
            let found = match find {
                Find::Text(finder) => finder.find(line).is_some(),
                Find::Regex(regex) => regex.is_match(line),
            };
            found == *wanted
        })
    }
}

struct Parser<'a> {
    source: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&mut self) -> &'a str {
        let rest = self.source[self.at..].trim_start();
        self.at = self.source.len() - rest.len();
        rest
    }

    fn fail<T>(&self, expected: &'static str) -> Result<T, SelectorError> {
        Err(SelectorError::Syntax { at: self.at, expected })
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn matchers(&mut self) -> Result<Vec<(Text, Match, bool)>, SelectorError> {
        if !self.take("{") {
            return self.fail("a selector begins with {");
        }
        let mut matchers = Vec::new();
        loop {
            let name = self.identifier()?;
            let (regex, wanted) = match self.operator() {
                Some(('=', '~')) => (true, true),
                Some(('!', '~')) => (true, false),
                Some(('!', '=')) => (false, false),
                Some(('=', _)) => (false, true),
                _ => return self.fail("expected =, !=, =~ or !~"),
            };
            let value = self.string()?;
            let pattern = match regex {
                false => Match::Equal(value.into()),
                true => Match::Regex(Regex::anchored(&utf8(value, self)?)?),
            };
            matchers.push((name.into(), pattern, wanted));
            if self.take("}") {
                return Ok(matchers);
            }
            if !self.take(",") {
                return self.fail("expected , or }");
            }
        }
    }

    /// A label's operator: its first character, and its second or a space. Nothing may stand between the two.
    fn operator(&mut self) -> Option<(char, char)> {
        const OPERATORS: [(&str, (char, char)); 4] =
            [("=~", ('=', '~')), ("!~", ('!', '~')), ("!=", ('!', '=')), ("=", ('=', ' '))];
        OPERATORS.into_iter().find(|(text, _)| self.take(text)).map(|(_, operator)| operator)
    }

    fn filters(&mut self) -> Result<Vec<(Find, bool)>, SelectorError> {
        let mut filters = Vec::new();
        while !self.rest().is_empty() {
            const FILTERS: [(&str, bool, bool); 4] =
                [("|=", true, false), ("!=", false, false), ("|~", true, true), ("!~", false, true)];
            let Some((_, wanted, regex)) = FILTERS.into_iter().find(|(text, ..)| self.take(text)) else {
                return self.fail("only line filters may follow a selector: |=, !=, |~ or !~");
            };
            let text = self.string()?;
            let find = match regex {
                false => Find::Text(Box::new(memmem::Finder::new(&text).into_owned())),
                true => Find::Regex(Regex::new(&utf8(text, self)?)?),
            };
            filters.push((find, wanted));
        }
        Ok(filters)
    }

    fn identifier(&mut self) -> Result<&'a str, SelectorError> {
        let rest = self.rest();
        let len = rest.find(|c: char| !(c == '_' || c.is_alphanumeric())).unwrap_or(rest.len());
        if len == 0 || rest.starts_with(|c: char| c.is_numeric()) {
            return self.fail("expected a label name");
        }
        self.at += len;
        Ok(&rest[..len])
    }

    /// A double-quoted string.
    fn string(&mut self) -> Result<Vec<u8>, SelectorError> {
        let rest = self.rest();
        let Some(inside) = rest.strip_prefix('"') else {
            return self.fail("expected a double-quoted string");
        };
        let mut escaped = false;
        for (at, c) in inside.char_indices() {
            match c {
                '"' if !escaped => {
                    let Some(text) = unescape(&inside[..at]) else {
                        return self.fail("an escape that Go's strings do not have");
                    };
                    self.at += at + 2;
                    return Ok(text);
                }
                '\n' => break,
                c => escaped = c == '\\' && !escaped,
            }
        }
        self.fail("the string does not end")
    }
}

fn utf8(text: Vec<u8>, parser: &Parser<'_>) -> Result<String, SelectorError> {
    let syntax = SelectorError::Syntax { at: parser.at, expected: "a regular expression must be UTF-8" };
    String::from_utf8(text).map_err(|_| syntax)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn selects(selector: &str, line: &str) -> bool {
        let labels: Labels = [("app", "web"), ("env", "prod")].into_iter().collect();
        Selector::parse(selector).unwrap_or_else(|e| panic!("{selector}: {e}")).is_match(&labels, line.as_bytes())
    }

    /// Matchers see labels whole, filters see any part of the line, and all must hold.
    #[test]
    fn selects_entries() {
        for (selector, line, expected) in [
            (r#"{app="web"}"#, "", true),
            (r#" { app = "web" , env =~ "pr.*" } |= "err" != "x" "#, "an err", true),
            (r#"{app=~"we"}"#, "", false),
            (r#"{app!~"we"}"#, "", true),
            (r#"{nope=""}"#, "", true),
            (r#"{nope!="x"}"#, "", true),
            (r#"{nope=~".+"}"#, "", false),
            (r#"{app="w\x65b"}"#, "", true),
            (r#"{app="web"} |~ "e.r" !~ "^x""#, "xerr", false),
            (r#"{app="web"} |= """#, "a", true),
        ] {
            assert_eq!(selects(selector, line), expected, "{selector}");
        }
    }

    /// What the peer's grammar does not know is refused.
    #[test]
    fn refuses() {
        for bad in [
            "",
            "{}",
            "app",
            "{app}",
            "{app=}",
            "{app='a'}",
            "{app=`a`}",
            r#"{app="a",}"#,
            r#"{app="a"} | json"#,
            r#"{app="a"} |="#,
            r#"{app="a"} extra"#,
            r#"{app="a" env="b"}"#,
            r#"{app=="a"}"#,
            r#"{app=~"("}"#,
            r#"{app="a"} |~ "(""#,
            r#"{app="\q"}"#,
            r#"{app="a"#,
            r#"{1a="a"}"#,
            r#"{app="a"} |> "x""#,
            r#"{app="a"} | = "x""#,
            r#"{app= ~"a"}"#,
            r#"{app! ="a"}"#,
        ] {
            assert!(Selector::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        /// No text makes parsing panic.
        #[test]
        fn never_panics(source in r#"[{}a"=!~|, \\é(]{0,30}"#) {
            let _ = Selector::parse(&source);
        }
    }
}
