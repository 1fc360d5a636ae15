//! Questions to a store as URLs, and their answers as JSON. It knows no connection: [`super::serve`] does, and the program's page, and
//! `bywash query`.
//!
//! | question | answer |
//! |---|---|
//! | `/api/logs`, `/api/spans` | rows, the newest first, and counts by severity |
//! | `/api/logs/around` | what stands around a row |
//! | `/api/traces` | a list of traces, the latest first |
//! | `/api/traces/{id}` | the spans and log records of one |
//! | `/api/histogram` | counts by time and severity |
//! | `/api/fields` | names of attributes, or with `field` the values of one |
//! | `/api/services` | how services fare |
//!
//! Invariants: an answer has a bounded number of rows and bytes; parameters that nobody knows are errors; an answer is of one tenant.

mod names;
mod parameters;
mod records;
mod traces;

use super::DEFAULT_TENANT;
use ::store::Engine;
pub use ::store::Until;
pub use parameters::Parameters;
use serde_json::{Value, json};
use wire::Signal;

/// Rows of an answer, at most.
pub const MOST_ROWS: usize = 1000;
/// Bytes of the records of an answer: the one that reaches it is the last.
const MOST_BYTES: usize = 8 << 20;

/// What is wrong with a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// 400, or what else there is to say.
    pub status: u16,
    /// What, and what would be right.
    pub error: String,
    /// Characters of the expression before it.
    pub at: Option<usize>,
}

impl Wrong {
    /// A question that cannot be answered as it is: 400.
    pub fn new(error: impl Into<String>) -> Wrong {
        Wrong { status: 400, error: error.into(), at: None }
    }

    /// As it is answered.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({"error": self.error, "at": self.at})
    }
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What is asked for, `/api/…`.
    pub path: String,
    /// Whose data.
    pub tenant: String,
    /// The rest.
    pub asked: Parameters,
}

impl Question {
    /// Of an address without its host, by somebody who may see the data of every tenant.
    #[must_use]
    pub fn read(address: &str) -> Question {
        let (path, query) = address.split_once('?').unwrap_or((address, ""));
        let mut asked = Parameters::read(query);
        let tenant = asked.take("tenant").unwrap_or_else(|| DEFAULT_TENANT.to_owned());
        Question { path: path.to_owned(), tenant, asked }
    }
}

/// Answers an address, for somebody who may see the data of every tenant.
///
/// # Errors
/// What is wrong with it.
pub fn answer(store: &dyn Engine, address: &str, until: Until<'_>) -> Result<Value, Wrong> {
    answer_question(store, Question::read(address), until)
}

/// Answers a question.
///
/// # Errors
/// What is wrong with it.
pub fn answer_question(engine: &dyn Engine, question: Question, until: Until<'_>) -> Result<Value, Wrong> {
    let Question { path, tenant, mut asked } = question;
    match path.as_str() {
        "/api/logs" => records::records(engine, &asked.query(&tenant, Signal::Logs)?, asked, until),
        "/api/spans" => records::records(engine, &asked.query(&tenant, Signal::Traces)?, asked, until),
        "/api/logs/around" => records::around(engine, &tenant, asked, until),
        "/api/traces" => traces::list(engine, &tenant, asked, until),
        "/api/histogram" => {
            let signal = asked.signal()?;
            records::histogram(engine, &asked.query(&tenant, signal)?, asked, until)
        }
        "/api/fields" => {
            let signal = asked.signal()?;
            names::fields(engine, &asked.query(&tenant, signal)?, asked, until)
        }
        "/api/services" => names::services(engine, &tenant, asked, until),
        path => match path.strip_prefix("/api/traces/") {
            Some(id) => traces::one(engine, &tenant, id, asked, until),
            None => Err(Wrong { status: 404, ..Wrong::new("there is no such page below /api") }),
        },
    }
}
