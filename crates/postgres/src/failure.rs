//! Which failures may be tried again.

use std::io;
use store::Refused;
use tokio_postgres::error::SqlState;

/// Why something did not work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// The server cannot be reached, is stopping or starting, or does not let us in: it may be tried again.
    #[error("PostgreSQL: {0}")]
    Gone(String),
    /// It has no room: it may be tried again.
    #[error("PostgreSQL has no room: {0}")]
    Full(String),
    /// It took too long.
    #[error("PostgreSQL did not answer in time")]
    Late,
    /// Two transactions were in each other's way: it may be tried again at once.
    #[error("PostgreSQL: {0}")]
    Again(String),
    /// The partition of a day is not there.
    #[error("PostgreSQL: {0}")]
    NoDay(String),
    /// A row that cannot be taken, ever.
    #[error("{0}")]
    Bad(String),
    /// The database cannot be used as it is, until somebody changes it.
    #[error("PostgreSQL: {0}")]
    Unfit(String),
    /// The asker ended it.
    #[error("the question was ended")]
    Ended,
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(db) = error.as_db_error() else {
            // The cause says more than "error communicating with the server".
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            return Failure::Gone(format!("{error}{cause}"));
        };
        let text = db.message().to_owned();
        let code = db.code().code();
        match code.get(..2) {
            Some("53") | Some("58") => Failure::Full(text),
            Some("40") | Some("55") => Failure::Again(text),
            Some("23") if *db.code() == SqlState::CHECK_VIOLATION && db.constraint().is_none() => Failure::NoDay(text),
            Some("22" | "23" | "21" | "54" | "P0") => Failure::Bad(text),
            _ if *db.code() == SqlState::QUERY_CANCELED => Failure::Late,
            _ => Failure::Gone(text),
        }
    }
}

impl Failure {
    /// Whether the connection should not be used any more.
    pub fn spoils(&self) -> bool {
        matches!(self, Failure::Gone(_) | Failure::Late | Failure::Ended)
    }

    pub fn into_io(self) -> io::Error {
        let kind = match self {
            Failure::Full(_) => io::ErrorKind::StorageFull,
            Failure::Late => io::ErrorKind::TimedOut,
            Failure::Bad(_) => io::ErrorKind::InvalidData,
            Failure::Gone(_) | Failure::NoDay(_) | Failure::Unfit(_) => io::ErrorKind::NotConnected,
            Failure::Again(_) | Failure::Ended => io::ErrorKind::Interrupted,
        };
        io::Error::new(kind, self)
    }

    /// As an exporter hears it: it may be tried again, unless it is for a row.
    pub fn into_refused(self) -> Refused {
        match self {
            Failure::Bad(why) => Refused::Record(why),
            other => Refused::Disk(other.into_io()),
        }
    }
}
