//! How a part of a record is named: `body`, `attributes.a.b`, `attributes["a.b"]`, `resource["service.name"]`.

use std::fmt;

/// Which part of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// The body.
    Body,
    /// The attributes.
    Attributes,
    /// Those of the resource.
    Resource,
}

/// A part of a record, and the way within it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Which part.
    pub root: Root,
    /// The keys that lead to it; none: all of the part.
    pub keys: Vec<String>,
}

impl Field {
    /// The whole of a part.
    #[must_use]
    pub fn of(root: Root) -> Field {
        Field { root, keys: vec![] }
    }

    /// An attribute.
    #[must_use]
    pub fn attribute(key: &str) -> Field {
        Field { root: Root::Attributes, keys: vec![key.to_owned()] }
    }

    /// Reads a field as it is written.
    ///
    /// # Errors
    /// What is wrong, as words after the field.
    pub fn parse(text: &str) -> Result<Field, String> {
        let keys = path(text)?;
        let mut keys = keys.into_iter();
        let root = match keys.next().as_deref() {
            Some("body" | "$body") => Root::Body,
            Some("attributes" | "$attributes") => Root::Attributes,
            Some("resource" | "$resource") => Root::Resource,
            _ => {
                let hint =
                    "a field begins with `body`, `attributes` or `resource`, as in `attributes[\"http.method\"]`";
                return Err(hint.to_owned());
            }
        };
        Ok(Field { root, keys: keys.collect() })
    }
}

/// The steps of a path: names with dots between them, or in brackets and quotes.
fn path(text: &str) -> Result<Vec<String>, String> {
    let (mut steps, mut rest) = (vec![], text);
    loop {
        if let Some(inner) = rest.strip_prefix('[') {
            let quote = inner.chars().next().filter(|c| matches!(c, '"' | '\''));
            let quote = quote.ok_or("brackets hold a name in quotes")?;
            let end = inner[1..].find(quote).ok_or("a quote is not closed")?;
            steps.push(inner[1..=end].to_owned());
            rest = inner[end + 2..].strip_prefix(']').ok_or("a bracket is not closed")?;
        } else {
            let name =
                if steps.is_empty() { rest } else { rest.strip_prefix('.').ok_or("a dot or bracket is missing")? };
            let end = name.find(['.', '[']).unwrap_or(name.len());
            if end == 0 {
                return Err("a name is missing".to_owned());
            }
            steps.push(name[..end].to_owned());
            rest = &name[end..];
        }
        if rest.is_empty() {
            return Ok(steps);
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.root {
            Root::Body => "body",
            Root::Attributes => "attributes",
            Root::Resource => "resource",
        })?;
        self.keys.iter().try_for_each(|key| match key.contains(['.', '[']) {
            true => write!(f, "[\"{key}\"]"),
            false => write!(f, ".{key}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: fields in every form, and texts that are none. Guarantee: each leads where the collector goes; a
    /// reason for the others.
    #[test]
    fn fields_are_read_in_every_form() {
        let of = |text: &str| Field::parse(text).unwrap();
        assert_eq!(of("body"), Field::of(Root::Body));
        assert_eq!(of("attributes.a.b"), Field { root: Root::Attributes, keys: vec!["a".into(), "b".into()] });
        assert_eq!(
            of("attributes[\"a.b\"]['c']"),
            Field { root: Root::Attributes, keys: vec!["a.b".into(), "c".into()] }
        );
        assert_eq!(of("resource['k8s.pod.name']").to_string(), "resource[\"k8s.pod.name\"]");
        for wrong in ["", "message", "attributes.", "attributes[a]", "attributes[\"a\"", "attributes[\"a", "body..a"] {
            assert!(Field::parse(wrong).is_err(), "{wrong}");
        }
    }
}
