//! The parameters of a question, taken one by one: what is left over is an error.

use super::{MOST_ROWS, Wrong};
use ::store::{Query, parse};
use net::client::status::percent_decode;
use std::str::FromStr;
use wire::Signal;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Of what stands behind the `?` of an address.
    #[must_use]
    pub fn read(query: &str) -> Parameters {
        let decoded = |text: &str| percent_decode(text.replace('+', " ").as_bytes());
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        };
        Parameters(query.split('&').filter(|pair| !pair.is_empty()).map(pair).collect())
    }

    /// The next value of this name.
    pub fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(its, _)| its == name)?;
        Some(self.0.remove(at).1)
    }

    /// A whole number, or what it is otherwise.
    ///
    /// # Errors
    /// It is no whole number.
    pub fn number<T: FromStr>(&mut self, name: &str, otherwise: T) -> Result<T, Wrong> {
        let Some(text) = self.take(name) else { return Ok(otherwise) };
        text.parse().map_err(|_| Wrong::new(format!("`{name}` must be a whole number, not `{text}`")))
    }

    /// `signal`, which is logs unless it is said.
    ///
    /// # Errors
    /// It is neither logs nor traces.
    pub fn signal(&mut self) -> Result<Signal, Wrong> {
        match self.take("signal").as_deref() {
            None | Some("logs") => Ok(Signal::Logs),
            Some("traces") => Ok(Signal::Traces),
            Some(other) => Err(Wrong::new(format!("`signal` must be logs or traces, not `{other}`"))),
        }
    }

    /// `q`, `start`, `end`, `limit`, `cursor`.
    ///
    /// # Errors
    /// What is wrong with which.
    pub fn query(&mut self, tenant: &str, signal: Signal) -> Result<Query, Wrong> {
        let conditions = parse(&self.take("q").unwrap_or_default())
            .map_err(|error| Wrong { at: Some(error.at), ..Wrong::new(error.to_string()) })?;
        let after = self.take("cursor").map(|text| text.parse()).transpose().map_err(Wrong::new)?;
        Ok(Query {
            conditions,
            start: self.number("start", 0)?,
            end: self.number("end", u64::MAX)?,
            limit: self.number("limit", 100)?.min(MOST_ROWS),
            after,
            ..Query::new(tenant, signal)
        })
    }

    /// None must be left.
    ///
    /// # Errors
    /// One is left.
    pub fn end(self) -> Result<(), Wrong> {
        match self.0.first() {
            Some((name, _)) => Err(Wrong::new(format!("unknown parameter `{name}`"))),
            None => Ok(()),
        }
    }
}
