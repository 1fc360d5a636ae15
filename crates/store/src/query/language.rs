//! The language of queries: words, and what they are of.
//!
//! ```text
//! declined "connection refused" ~nsufficient_fun       a word, a phrase, a piece of text
//! service:cart service:checkout                        one of these services
//! severity>=warn                                       also > <= < and : for just this one
//! http.status_code:500 http.status_code>=500           an attribute, a number
//! user.id:*                                            there is one
//! trace:4bf92f3577b34da6a3ce929d0e0e4736 span:00f0…    ids; a whole traceparent will do
//! -debug -service:cart                                 not
//! ```
//!
//! All of them hold at once. Words and phrases do not know upper from lower case; pieces of text do. What has a blank or one of the signs
//! above in it is written in double quotes, within which `\"` is a quote and `\\` a backslash.

use super::condition::{Comparison, Condition, Test};

/// What is wrong with a query, where, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at character {}: {problem}; {remedy}", .at + 1)]
pub struct QueryError {
    /// Characters before it.
    pub at: usize,
    /// What is wrong.
    pub problem: String,
    /// What would be right.
    pub remedy: String,
}

/// Classes of severities with the lowest and the highest of each.
const CLASSES: [(&str, u8, u8); 7] = [
    ("none", 0, 0),
    ("trace", 1, 4),
    ("debug", 5, 8),
    ("info", 9, 12),
    ("warn", 13, 16),
    ("error", 17, 20),
    ("fatal", 21, 24),
];

/// Reads a query. An empty one asks for everything.
///
/// # Errors
/// The first thing that is wrong.
pub fn parse(text: &str) -> Result<Vec<Condition>, QueryError> {
    let characters: Vec<char> = text.chars().collect();
    let mut parser = Parser { text: &characters, at: 0 };
    let mut conditions: Vec<Condition> = vec![];
    loop {
        parser.blanks();
        if parser.at == characters.len() {
            return Ok(conditions);
        }
        let condition = parser.condition()?;
        add(&mut conditions, condition);
    }
}

/// Services that are asked for one by one are one set: no record is of two.
fn add(conditions: &mut Vec<Condition>, condition: Condition) {
    if let Condition { not: false, test: Test::Service(names) } = &condition {
        for there in conditions.iter_mut() {
            if let Condition { not: false, test: Test::Service(known) } = there {
                known.extend(names.iter().cloned());
                return;
            }
        }
    }
    conditions.push(condition);
}

struct Parser<'a> {
    text: &'a [char],
    at: usize,
}

/// The sign between a name and a value.
#[derive(Clone, Copy, PartialEq)]
enum Sign {
    Is,
    Than(Comparison),
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    fn condition(&mut self) -> Result<Condition, QueryError> {
        let not = self.peek() == Some('-');
        if not {
            self.at += 1;
            if self.peek().is_none_or(char::is_whitespace) {
                return Err(error(self.at - 1, "there is nothing after `-`", "write what must not be, as in -debug"));
            }
        }
        let test = match self.peek() {
            Some('"') => Test::Phrase(self.quoted()?),
            Some('~') => {
                self.at += 1;
                Test::Substring(self.value()?)
            }
            _ => self.word()?,
        };
        let is_empty = matches!(&test, Test::Phrase(text) | Test::Substring(text) if text.is_empty());
        if is_empty {
            return Err(error(self.at, "the text is empty", "write what to look for between the quotes"));
        }
        Ok(Condition { not, test })
    }

    /// A word, or a name with a sign and a value.
    fn word(&mut self) -> Result<Test, QueryError> {
        let start = self.at;
        let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '/' | '@');
        while self.peek().is_some_and(is_name) {
            self.at += 1;
        }
        let name: String = self.text[start..self.at].iter().collect();
        let is_key = name.starts_with(|c: char| c.is_alphabetic() || matches!(c, '_' | '@'));
        // An address is a text, and no attribute `http`.
        let is_address = self.text[self.at..].starts_with(&[':', '/', '/']);
        if is_key
            && !is_address
            && let Some(sign) = self.sign()
        {
            return self.field(start, name, sign);
        }
        while self.peek().is_some_and(|c| !c.is_whitespace()) {
            self.at += 1;
        }
        Ok(Test::Phrase(self.text[start..self.at].iter().collect()))
    }

    fn sign(&mut self) -> Option<Sign> {
        let (sign, len) = match (self.peek()?, self.text.get(self.at + 1)) {
            ('>', Some('=')) => (Sign::Than(Comparison::AtLeast), 2),
            ('<', Some('=')) => (Sign::Than(Comparison::AtMost), 2),
            ('>', _) => (Sign::Than(Comparison::More), 1),
            ('<', _) => (Sign::Than(Comparison::Less), 1),
            (':' | '=', _) => (Sign::Is, 1),
            _ => return None,
        };
        self.at += len;
        Some(sign)
    }

    fn field(&mut self, start: usize, key: String, sign: Sign) -> Result<Test, QueryError> {
        let at = self.at;
        let is_star = self.peek() == Some('*') && self.text.get(at + 1).is_none_or(|c| c.is_whitespace());
        let value = self.value()?;
        match (key.as_str(), sign) {
            ("severity", sign) => severity(at, &value, sign),
            ("service", Sign::Is) => Ok(Test::Service(vec![value])),
            ("trace", Sign::Is) => {
                // The second part of a traceparent.
                let id = value.split('-').nth(1).unwrap_or(&value);
                hex(id).map(Test::Trace).ok_or_else(|| wrong_id(at, &value, 32))
            }
            ("span", Sign::Is) => hex(&value).map(Test::Span).ok_or_else(|| wrong_id(at, &value, 16)),
            ("service" | "trace" | "span", Sign::Than(_)) => {
                let remedy = format!("write {key}:{value}");
                Err(error(start, &format!("`{key}` has no order"), &remedy))
            }
            (_, Sign::Is) if is_star => Ok(Test::Exists { key }),
            (_, Sign::Is) => Ok(Test::Attribute { key, value }),
            (_, Sign::Than(comparison)) => match value.parse() {
                Ok(number) => Ok(Test::Number { key, comparison, number }),
                Err(_) => Err(error(at, &format!("`{value}` is no number"), "compare with a number, as in took>1.5")),
            },
        }
    }

    /// A value: up to the next blank, or in quotes.
    fn value(&mut self) -> Result<String, QueryError> {
        if self.peek() == Some('"') {
            return self.quoted();
        }
        let start = self.at;
        while self.peek().is_some_and(|c| !c.is_whitespace()) {
            self.at += 1;
        }
        if start == self.at {
            return Err(error(start, "a value is missing", "write it right behind the sign, in quotes if it is empty"));
        }
        Ok(self.text[start..self.at].iter().collect())
    }

    fn quoted(&mut self) -> Result<String, QueryError> {
        let start = self.at;
        self.at += 1;
        let mut value = String::new();
        while let Some(c) = self.peek() {
            self.at += 1;
            match (c, self.peek()) {
                ('"', _) => return Ok(value),
                ('\\', Some(escaped @ ('"' | '\\'))) => {
                    self.at += 1;
                    value.push(escaped);
                }
                _ => value.push(c),
            }
        }
        Err(error(start, "the quote is not closed", "write another \" where the text ends"))
    }
}

fn error(at: usize, problem: &str, remedy: &str) -> QueryError {
    QueryError { at, problem: problem.to_owned(), remedy: remedy.to_owned() }
}

fn wrong_id(at: usize, value: &str, digits: usize) -> QueryError {
    error(at, &format!("`{value}` is no id"), &format!("an id has {digits} hexadecimal digits"))
}

fn severity(at: usize, value: &str, sign: Sign) -> Result<Test, QueryError> {
    let name = value.to_ascii_lowercase();
    let number = value.parse::<u8>().ok().filter(|number| *number <= 24).map(|number| (number, number));
    let class = CLASSES.iter().find(|(class, _, _)| *class == name).map(|(_, min, max)| (*min, *max));
    let Some((min, max)) = class.or(number) else {
        let names: Vec<_> = CLASSES.iter().map(|(name, _, _)| *name).collect();
        let remedy = format!("write one of {}, or a number to 24", names.join(", "));
        return Err(error(at, &format!("`{value}` is no severity"), &remedy));
    };
    let (min, max) = match sign {
        Sign::Is => (min, max),
        Sign::Than(Comparison::AtLeast) => (min, 24),
        Sign::Than(Comparison::More) => (max + 1, 24),
        Sign::Than(Comparison::AtMost) => (0, max),
        // Nothing is less than none.
        Sign::Than(Comparison::Less) => match min.checked_sub(1) {
            Some(max) => (0, max),
            None => (1, 0),
        },
    };
    Ok(Test::Severity { min, max })
}

/// Bytes of hexadecimal digits.
pub(crate) fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
    let bytes: Vec<u8> = digits?.chunks(2).filter(|pair| pair.len() == 2).map(|pair| pair[0] << 4 | pair[1]).collect();
    if text.len() == N * 2 { bytes.try_into().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Test {
        let mut conditions = parse(text).expect("a query");
        assert_eq!(conditions.len(), 1, "{text}");
        conditions.pop().expect("one").test
    }

    fn attribute(key: &str, value: &str) -> Test {
        Test::Attribute { key: key.to_owned(), value: value.to_owned() }
    }

    /// Scenario: each thing that can be written. Guarantee: it is read as the module says.
    #[test]
    fn queries_are_read() {
        assert_eq!(parse("  "), Ok(vec![]));
        assert_eq!(one("Error"), Test::Phrase("Error".to_owned()));
        assert_eq!(one(r#""connection \"refused\"""#), Test::Phrase("connection \"refused\"".to_owned()));
        assert_eq!(one("~fun(x)"), Test::Substring("fun(x)".to_owned()));
        assert_eq!(one("~\"a b\""), Test::Substring("a b".to_owned()));
        assert_eq!(one("retry-3"), Test::Phrase("retry-3".to_owned()));
        assert_eq!(one("12:30:01"), Test::Phrase("12:30:01".to_owned()));
        assert_eq!(one("http://x/y?a=b"), Test::Phrase("http://x/y?a=b".to_owned()));
        assert_eq!(one("http.status_code:500"), attribute("http.status_code", "500"));
        assert_eq!(one("k8s.pod/name=\"a b\""), attribute("k8s.pod/name", "a b"));
        assert_eq!(one("user.id:*"), Test::Exists { key: "user.id".to_owned() });
        assert_eq!(one("user.id:\"*\""), attribute("user.id", "*"));
        let number = Test::Number { key: "took".to_owned(), comparison: Comparison::AtMost, number: 1.5 };
        assert_eq!(one("took<=1.5"), number);
        assert_eq!(one("severity>=warn"), Test::Severity { min: 13, max: 24 });
        assert_eq!(one("severity:Error"), Test::Severity { min: 17, max: 20 });
        assert_eq!(one("severity<9"), Test::Severity { min: 0, max: 8 });
        assert_eq!(one("severity<none"), Test::Severity { min: 1, max: 0 });
        assert_eq!(
            one("trace:4bf92f3577b34da6a3ce929d0e0e4736"),
            one("trace:00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        );
        assert_eq!(one("span:00f067aa0ba902b7"), Test::Span([0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 2, 0xb7]));
        let services = Test::Service(vec!["cart".to_owned(), "pay".to_owned()]);
        assert_eq!(parse("service:cart x service:pay").map(|all| all[0].test.clone()), Ok(services));
        let not = parse("-debug -service:cart").expect("a query");
        assert!(not.len() == 2 && not.iter().all(|condition| condition.not));
    }

    /// Scenario: each thing that can be written wrongly. Guarantee: the error says where, what, and what to write.
    #[test]
    fn errors_say_place_and_remedy() {
        let text = |query: &str| parse(query).expect_err(query).to_string();
        assert_eq!(
            text("a severity>=wran"),
            "at character 13: `wran` is no severity; write one of none, trace, debug, info, warn, error, fatal, or a number to 24"
        );
        assert_eq!(text("ä \"x"), "at character 3: the quote is not closed; write another \" where the text ends");
        assert_eq!(text("trace:12"), "at character 7: `12` is no id; an id has 32 hexadecimal digits");
        assert_eq!(text("took>x"), "at character 6: `x` is no number; compare with a number, as in took>1.5");
        assert_eq!(text("service>a"), "at character 1: `service` has no order; write service:a");
        assert!(text("a -").starts_with("at character 3: there is nothing after `-`"));
        assert!(text("a:").starts_with("at character 3: a value is missing"));
        assert!(text("\"\"").contains("the text is empty"));
    }
}
