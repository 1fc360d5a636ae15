//! Tokens by which people and programs ask, each with the tenants whose data it opens: in files, looked at again when they change.
//!
//! Every token is compared, each in constant time, so that an answer's timing says nothing about which one was nearly right. Invariants: of
//! a file at most [`MAX_BYTES`] are read; files that cannot be read, or are wrong, change nothing and are told once.

use crate::auth::AuthError;
use crate::tls::stamp::Stamps;
use config::{Report, Secret, Validate};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use parking_lot::Mutex;
use serde::Deserialize;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// How often files are looked at.
pub const POLL: Duration = Duration::from_secs(5);
/// Bytes of a file.
const MAX_BYTES: u64 = 1 << 20;
/// Tokens at most: each is compared at each request.
const MOST_TOKENS: usize = 10_000;
/// The name of all tenants.
const ALL: &str = "*";

/// A token and whose data it opens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenConfig {
    /// The file that holds the token.
    pub token_file: String,
    /// The tenants; `*` is all of them.
    pub tenants: Vec<String>,
}

/// Whose data somebody may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tenants {
    /// Everybody's, and what belongs to nobody.
    All,
    /// Theirs; never empty.
    Of(Vec<String>),
}

impl Tenants {
    /// Of a list of names.
    fn of<'a>(names: impl Iterator<Item = &'a str>) -> Option<Tenants> {
        let names: Vec<String> = names.map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
        match names.iter().any(|name| name == ALL) {
            true => Some(Tenants::All),
            false => Some(Tenants::Of(names)).filter(|tenants| *tenants != Tenants::Of(vec![])),
        }
    }

    /// Whether the data of a tenant may be seen.
    #[must_use]
    pub fn has(&self, tenant: &str) -> bool {
        match self {
            Tenants::All => true,
            Tenants::Of(names) => names.iter().any(|name| name == tenant),
        }
    }

    /// The tenant that is meant if none is named; `otherwise` for who may see all.
    #[must_use]
    pub fn first<'a>(&'a self, otherwise: &'a str) -> &'a str {
        match self {
            Tenants::All => otherwise,
            Tenants::Of(names) => names.first().map_or(otherwise, String::as_str),
        }
    }
}

type Known = Vec<(Secret, Arc<Tenants>)>;

/// The tokens that are known now.
pub struct Tokens {
    /// A file with a token and its tenants in each line; or empty.
    lines: String,
    each: Vec<TokenConfig>,
    loaded: Mutex<Loaded>,
}

struct Loaded {
    known: Arc<Known>,
    at: Instant,
    stamps: Stamps,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokens({:?})", self.files().collect::<Vec<_>>())
    }
}

impl Tokens {
    /// Of a file of lines `TOKEN TENANT[,TENANT]` (if it is named), and of files with one token each.
    ///
    /// # Errors
    /// A file cannot be read or is wrong, or there is no token at all.
    pub fn new(lines: &str, each: &[TokenConfig]) -> Result<Tokens, AuthError> {
        let loaded = Loaded { known: Arc::default(), at: flow::clock::now(), stamps: Stamps::default() };
        let tokens = Tokens { lines: lines.to_owned(), each: each.to_vec(), loaded: Mutex::new(loaded) };
        let (stamps, known) = (tokens.stamps(), Arc::new(tokens.read()?));
        {
            let mut loaded = tokens.loaded.lock();
            (loaded.known, loaded.stamps) = (known, stamps);
        }
        Ok(tokens)
    }

    fn files(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.lines.as_str()).chain(self.each.iter().map(|token| token.token_file.as_str()))
    }

    fn stamps(&self) -> Stamps {
        Stamps::of(self.files())
    }

    fn read(&self) -> Result<Known, AuthError> {
        let mut known = vec![];
        if !self.lines.is_empty() {
            let text = read("tokens_file", &self.lines)?;
            let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
            for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
                let (token, names) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
                let tenants = Tenants::of(names.split(',')).ok_or_else(|| AuthError::Setting {
                    key: "tokens_file",
                    message: format!("{}:{number}: a line is TOKEN TENANT, and this one names no tenant", self.lines),
                })?;
                known.push((Secret::new(token), Arc::new(tenants)));
            }
        }
        for TokenConfig { token_file, tenants } in &self.each {
            let tenants = Tenants::of(tenants.iter().map(String::as_str)).ok_or_else(|| AuthError::Setting {
                key: "tokens",
                message: format!("`tenants` of {token_file} is required: whose data the token opens, `*` for all"),
            })?;
            let token = read("tokens", token_file)?;
            let token = token.trim();
            if token.is_empty() || token.contains(char::is_whitespace) {
                let message = format!("{token_file} must hold one token");
                return Err(AuthError::Setting { key: "tokens", message });
            }
            known.push((Secret::new(token), Arc::new(tenants)));
        }
        let wrong = |message: &str| {
            let key = if self.lines.is_empty() { "tokens" } else { "tokens_file" };
            Err(AuthError::Setting { key, message: message.to_owned() })
        };
        match known.len() {
            0 => wrong("there is no token in it: nobody could ask"),
            n if n > MOST_TOKENS => wrong("there are more than 10000 tokens"),
            _ => Ok(known),
        }
    }

    /// Looks at the files if it is time to, best called every second.
    pub fn look_if_due(&self, now: Instant) {
        let mut loaded = self.loaded.lock();
        if now.saturating_duration_since(loaded.at) >= POLL {
            loaded.at = now;
            drop(loaded);
            self.look();
        }
    }

    /// Looks at the files now.
    pub fn look(&self) {
        let stamps = self.stamps();
        if std::mem::replace(&mut self.loaded.lock().stamps, stamps.clone()) == stamps {
            return;
        }
        match self.read() {
            Ok(known) => {
                tracing::info!(tokens = known.len(), "tokens loaded");
                self.loaded.lock().known = Arc::new(known);
            }
            Err(error) => tracing::warn!(%error, "the files of tokens are bad: the old tokens stay in force"),
        }
    }

    /// What the token in these headers opens; none if there is none, or it is not known.
    #[must_use]
    pub fn who(&self, headers: &HeaderMap) -> Option<Arc<Tenants>> {
        let value = headers.get(AUTHORIZATION)?.as_bytes();
        let (scheme, token) = value.split_at_checked("Bearer ".len())?;
        let token = token.trim_ascii();
        if !scheme.eq_ignore_ascii_case(b"Bearer ") || token.is_empty() {
            return None;
        }
        let known = self.loaded.lock().known.clone();
        let (mut any, mut which) = (Choice::from(0), 0);
        for (at, (secret, _)) in known.iter().enumerate() {
            let is_it = secret.expose().as_bytes().ct_eq(token);
            which = u32::conditional_select(&which, &(at as u32), is_it);
            any |= is_it;
        }
        bool::from(any).then(|| known.get(which as usize).map(|(_, tenants)| tenants.clone())).flatten()
    }
}

fn read(key: &'static str, file: &str) -> Result<String, AuthError> {
    let read = || -> io::Result<String> {
        let mut text = String::new();
        std::fs::File::open(file)?.take(MAX_BYTES + 1).read_to_string(&mut text)?;
        match text.len() as u64 > MAX_BYTES {
            true => Err(io::Error::new(io::ErrorKind::InvalidData, "it is larger than 1 MiB")),
            false => Ok(text),
        }
    };
    read().map_err(|source| AuthError::File { key, file: file.to_owned(), source })
}

impl Validate for TokenConfig {
    fn validate(&self, report: &mut Report<'_>) {
        if self.token_file.is_empty() {
            report.error("token_file", "`token_file` is required: the file that holds the token");
        }
        if self.tenants.is_empty() {
            report.error("tenants", "`tenants` is required: whose data the token opens, `*` for all");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())])
    }

    fn file(dir: &tempfile::TempDir, name: &str, text: &str) -> String {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Scenario: tokens of one tenant, of two, and of all; right, nearly right and missing ones. Guarantee: only a whole token opens, and only
    /// what is its own.
    #[test]
    fn a_token_opens_what_is_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let lines = file(&dir, "lines", "# who asks\nalpha acme\n\nbeta  shop,zoo\n");
        let each = vec![TokenConfig { token_file: file(&dir, "one", "gamma\n"), tenants: vec!["*".to_owned()] }];
        let tokens = Tokens::new(&lines, &each).unwrap();
        let who = |value: &str| tokens.who(&headers(value));
        let acme = who("Bearer alpha").unwrap();
        assert!(acme.has("acme") && !acme.has("shop") && acme.first("default") == "acme");
        assert_eq!(*who("bearer beta").unwrap(), Tenants::Of(vec!["shop".to_owned(), "zoo".to_owned()]));
        let all = who("Bearer gamma").unwrap();
        assert!(all.has("anybody") && all.first("default") == "default");
        for bad in ["Bearer alph", "Bearer alphaa", "Bearer ", "Bearer", "alpha", "Basic alpha", "Bearer acme", ""] {
            assert!(who(bad).is_none(), "{bad}");
        }
        assert!(tokens.who(&HeaderMap::new()).is_none());
        assert!(!format!("{tokens:?}").contains("alpha"));
    }

    /// Scenario: no token, a line without a tenant, two tokens in a file of one, a file that is not there. Guarantee: each is an error.
    #[test]
    fn files_must_be_whole() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["", "# none\n", "alpha\n", "alpha ,\n"] {
            assert!(Tokens::new(&file(&dir, "lines", text), &[]).is_err(), "{text:?}");
        }
        let one = |text: &str| TokenConfig { token_file: file(&dir, "one", text), tenants: vec!["a".to_owned()] };
        assert!(Tokens::new("", &[one("a b")]).is_err() && Tokens::new("", &[one(" ")]).is_err());
        assert!(matches!(Tokens::new("/nonexistent", &[]), Err(AuthError::File { key: "tokens_file", .. })));
    }

    /// Scenario: the file changes, and then is wrong. Guarantee: the new token opens and the old does not; what is wrong changes nothing.
    #[test]
    fn a_changed_file_is_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let lines = file(&dir, "lines", "old acme\n");
        let tokens = Tokens::new(&lines, &[]).unwrap();
        file(&dir, "lines", "newer acme\n");
        tokens.look();
        assert!(tokens.who(&headers("Bearer newer")).is_some() && tokens.who(&headers("Bearer old")).is_none());
        file(&dir, "lines", "none\n");
        tokens.look();
        assert!(tokens.who(&headers("Bearer newer")).is_some());
    }
}
