//! The `headers_setter` extension: headers of every request of an exporter, fixed, from a file, or from whoever sent the data.
//!
//! Actions run in order, on what the exporter's `headers` have set; another authenticator may come after them. A value that is taken
//! from the sender divides the exporter's batches ([`flow::origin`]), so that it is always the one of all records that go out with it.

use config::{ComponentId, Report, Secret, Validate};
use flow::{Kind, Origin, Why};
use http::{HeaderMap, HeaderName};
use net::auth::AuthError;
use net::client::auth::{Authenticator, Pending, Unsignable, Unsigned, secret_header};
use net::client::headers::check_name;
use net::origin;
use net::secret_file::{SecretFile, whole};
use serde::Deserialize;
use std::fmt;
use std::sync::Arc;

/// The collector's keys.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What is done, in order.
    pub headers: Vec<Header>,
    /// An authenticator that comes after.
    pub additional_auth: Option<ComponentId>,
}

/// One header.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Header {
    /// `upsert` (default), `insert`, `update` or `delete`.
    pub action: Action,
    /// Its name.
    pub key: String,
    /// A fixed value.
    pub value: Option<Secret>,
    /// A file with the value, which is looked at again.
    pub value_file: Option<String>,
    /// A header of whoever sent the data.
    pub from_context: Option<String>,
    /// What the credential said of whoever sent the data: an attribute of the receiver's authenticator.
    pub from_attribute: Option<String>,
    /// The value where the sender gave none.
    pub default_value: Option<Secret>,
}

/// What is done with a header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Set, if it is not there.
    Insert,
    /// Set, if it is there.
    Update,
    /// Set.
    #[default]
    Upsert,
    /// Taken away.
    Delete,
}

impl Header {
    fn step(&self) -> Result<Step, AuthError> {
        let wrong = |key, message: &str| AuthError::Setting { key, message: message.to_owned() };
        if self.key.is_empty() {
            return Err(wrong("key", "missing header name"));
        }
        let name = check_name(&self.key).map_err(|message| AuthError::Setting { key: "key", message })?;
        let sources = [&self.value_file, &self.from_context, &self.from_attribute];
        let given = sources.iter().filter(|source| source.is_some()).count() + usize::from(self.value.is_some());
        let names = "`value`, `value_file`, `from_context` and `from_attribute`";
        let source = match (self.action, given) {
            (Action::Delete, _) => Source::Nothing,
            (_, 0) => return Err(wrong("", &format!("missing header source: one of {names}"))),
            (_, 2..) => return Err(wrong("", &format!("only one of {names} may be given"))),
            _ => self.source()?,
        };
        let default = self.default_value.clone().unwrap_or_default();
        Ok(Step { name, action: self.action, source, default })
    }

    fn source(&self) -> Result<Source, AuthError> {
        let none = Secret::default();
        let fixed = |file: &str| SecretFile::new("value_file", self.value.as_ref().unwrap_or(&none), file, whole);
        Ok(match (&self.from_context, &self.from_attribute, &self.value_file) {
            (Some(key), ..) => Source::Origin(origin::header(key)),
            (_, Some(key), _) => Source::Origin(origin::attribute(key)),
            (.., file) => Source::Own(fixed(file.as_deref().unwrap_or_default())?),
        })
    }
}

impl Validate for Config {
    fn validate(&self, report: &mut Report<'_>) {
        if self.headers.is_empty() {
            report.error("", "missing headers configuration");
        }
        for (n, header) in self.headers.iter().enumerate() {
            report.nested(&format!("headers.{n}"), header);
        }
    }
}

impl Validate for Header {
    fn validate(&self, report: &mut Report<'_>) {
        match self.step() {
            Err(error) => error.tell(report),
            Ok(Step { source: Source::Own(value), .. }) => {
                if secret_header(value.current().expose().to_owned()).is_err() {
                    report.error("value", "the value has characters that a header cannot have");
                }
            }
            Ok(Step { source: Source::Nothing, .. }) => {
                for key in ["value", "value_file", "from_context", "from_attribute", "default_value"] {
                    if report.is_set(key) {
                        report.warning(key, "has no effect: the action `delete` needs no value");
                    }
                }
            }
            Ok(_) => {}
        }
    }
}

impl Config {
    /// What it asks of the origin of requests.
    #[must_use]
    pub fn wanted(&self) -> Vec<Arc<str>> {
        let steps = self.headers.iter().filter_map(|header| header.step().ok());
        steps.filter_map(|step| if let Source::Origin(name) = step.source { Some(name) } else { None }).collect()
    }
}

#[derive(Debug)]
struct Step {
    name: HeaderName,
    action: Action,
    source: Source,
    default: Secret,
}

#[derive(Debug)]
enum Source {
    Nothing,
    Own(SecretFile),
    Origin(Arc<str>),
}

impl Step {
    /// As the collector has it: a sender without the value, or with an empty one, is given the default, which may be empty too; of
    /// several values nobody can tell which is meant.
    fn value(&self, origin: &Origin) -> Result<String, Unsignable> {
        let name = match &self.source {
            Source::Nothing => return Ok(String::new()),
            Source::Own(value) => return Ok(value.current().expose().to_owned()),
            Source::Origin(name) => name,
        };
        let mut values = origin.values(name);
        match (values.next(), values.next()) {
            (Some(_), Some(_)) => {
                let text = format!("the sender gave several values for {name}, and {} takes one", self.name);
                Err(Unsignable::Never(Why::new(Kind::Auth, text)))
            }
            (Some(value), None) if !value.is_empty() => Ok(value.to_owned()),
            _ => Ok(self.default.expose().to_owned()),
        }
    }

    fn run(&self, origin: &Origin, headers: &mut HeaderMap) -> Result<(), Unsignable> {
        let is_there = headers.get(&self.name).is_some_and(|value| !value.is_empty());
        match self.action {
            Action::Delete => drop(headers.remove(&self.name)),
            Action::Insert if is_there => {}
            Action::Update if !is_there => {}
            Action::Insert | Action::Update | Action::Upsert => {
                headers.insert(&self.name, secret_header(self.value(origin)?)?);
            }
        }
        Ok(())
    }
}

/// The extension at work.
pub struct HeadersSetter {
    steps: Vec<Step>,
    next: Option<Arc<dyn Authenticator>>,
}

impl fmt::Debug for HeadersSetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeadersSetter({:?})", self.steps)
    }
}

impl HeadersSetter {
    /// Of a valid configuration, with the authenticator that comes after it.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn new(config: &Config, next: Option<Arc<dyn Authenticator>>) -> Result<HeadersSetter, AuthError> {
        let steps = config.headers.iter().map(Header::step).collect::<Result<_, _>>()?;
        Ok(HeadersSetter { steps, next })
    }
}

impl Authenticator for HeadersSetter {
    fn sign<'a>(&'a self, request: Unsigned<'a>, headers: &'a mut HeaderMap) -> Pending<'a, Result<(), Unsignable>> {
        Box::pin(async move {
            self.steps.iter().try_for_each(|step| step.run(request.origin, headers))?;
            match &self.next {
                Some(next) => next.sign(request, headers).await,
                None => Ok(()),
            }
        })
    }

    fn renew<'a>(&'a self, shown: &'a HeaderMap) -> Pending<'a, bool> {
        Box::pin(async move {
            let is_newer = |step: &Step| match &step.source {
                Source::Own(value) => {
                    let (shown, value) = (shown.get(&step.name), value.fresh());
                    shown.is_some_and(|shown| shown.as_bytes() != value.expose().as_bytes())
                }
                _ => false,
            };
            // Only of files: what is fixed would be the same again.
            let changed = self.steps.iter().any(|step| step.action == Action::Upsert && is_newer(step));
            match &self.next {
                Some(next) => next.renew(shown).await || changed,
                None => changed,
            }
        })
    }

    fn varies(&self) -> bool {
        let own = self.steps.iter().any(|step| matches!(step.source, Source::Origin(_)));
        own || self.next.as_ref().is_some_and(|next| next.varies())
    }
}

#[cfg(test)]
mod tests;
