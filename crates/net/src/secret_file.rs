//! A secret of the configuration, or of a file that is looked at again.
//!
//! A file's secret is what stands in it, without space around it. A file that changes is taken over within [`POLL`]; one that is
//! empty or cannot be read changes nothing and is told once. Invariant: of a file at most [`MAX_BYTES`] are read.

use crate::auth::AuthError;
use crate::tls::stamp::Stamps;
use config::Secret;
use parking_lot::Mutex;
use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often a file is looked at.
pub const POLL: Duration = Duration::from_secs(5);

/// A credential is no longer than this.
const MAX_BYTES: u64 = 64 << 10;

/// What of a file's text is the secret.
pub type Pick = fn(&str) -> &str;

/// All of it.
#[must_use]
pub fn whole(text: &str) -> &str {
    text.trim()
}

/// Its first line that is not empty.
#[must_use]
pub fn first_line(text: &str) -> &str {
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default()
}

/// See the module.
pub struct SecretFile {
    file: String,
    pick: Pick,
    loaded: Mutex<Loaded>,
}

struct Loaded {
    secret: Arc<Secret>,
    at: Instant,
    stamps: Stamps,
}

impl fmt::Debug for SecretFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretFile({:?})", self.file)
    }
}

impl SecretFile {
    /// The secret of `file` if one is named, else `value`. `key` is what names the file in the configuration.
    ///
    /// # Errors
    /// The file cannot be read, or is empty.
    pub fn new(key: &'static str, value: &Secret, file: &str, pick: Pick) -> Result<SecretFile, AuthError> {
        let stamps = Stamps::of([file].into_iter());
        let secret = if file.is_empty() {
            value.clone()
        } else {
            read(file, pick).map_err(|source| AuthError::File { key, file: file.to_owned(), source })?
        };
        let loaded = Loaded { secret: Arc::new(secret), at: flow::clock::now(), stamps };
        Ok(SecretFile { file: file.to_owned(), pick, loaded: Mutex::new(loaded) })
    }

    /// The secret now.
    #[must_use]
    pub fn current(&self) -> Arc<Secret> {
        let (now, mut loaded) = (flow::clock::now(), self.loaded.lock());
        if !self.file.is_empty() && now.saturating_duration_since(loaded.at) >= POLL {
            loaded.at = now;
            self.look(&mut loaded);
        }
        loaded.secret.clone()
    }

    /// The secret now, whenever the file was looked at last.
    #[must_use]
    pub fn fresh(&self) -> Arc<Secret> {
        let mut loaded = self.loaded.lock();
        if !self.file.is_empty() {
            loaded.at = flow::clock::now();
            self.look(&mut loaded);
        }
        loaded.secret.clone()
    }

    fn look(&self, loaded: &mut Loaded) {
        let stamps = Stamps::of([self.file.as_str()].into_iter());
        if stamps == loaded.stamps {
            return;
        }
        loaded.stamps = stamps;
        match read(&self.file, self.pick) {
            Ok(secret) => {
                loaded.secret = Arc::new(secret);
                tracing::info!(file = self.file, "credential loaded");
            }
            Err(error) => {
                tracing::warn!(file = self.file, %error, "the file of a credential is bad: the old one stays in force");
            }
        }
    }
}

fn read(file: &str, pick: Pick) -> io::Result<Secret> {
    let mut text = String::new();
    std::fs::File::open(file)?.take(MAX_BYTES).read_to_string(&mut text)?;
    match pick(&text) {
        "" => Err(io::Error::new(io::ErrorKind::InvalidData, "it is empty")),
        secret => Ok(Secret::new(secret)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a file changes, is emptied, and changes again. Guarantee: what it holds counts after the pause, or at once if that is asked
    /// for; an empty file changes nothing.
    #[tokio::test(start_paused = true)]
    async fn a_changed_file_is_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        std::fs::write(&file, "\n one \ntwo\n").unwrap();
        let secret = SecretFile::new("filename", &Secret::default(), file.to_str().unwrap(), first_line).unwrap();
        assert_eq!(secret.current().expose(), "one");
        std::fs::write(&file, "three").unwrap();
        assert_eq!(secret.current().expose(), "one");
        tokio::time::advance(POLL).await;
        assert_eq!(secret.current().expose(), "three");
        std::fs::write(&file, "").unwrap();
        assert_eq!(secret.fresh().expose(), "three");
        std::fs::write(&file, "four\n\n").unwrap();
        assert_eq!(secret.fresh().expose(), "four");
    }

    /// Scenario: no file, one that is not there, an empty one. Guarantee: the value; an error at the key.
    #[test]
    fn a_file_must_hold_something() {
        let value = Secret::new("v");
        assert_eq!(SecretFile::new("f", &value, "", whole).unwrap().current().expose(), "v");
        let empty = tempfile::NamedTempFile::new().unwrap();
        for file in ["/nonexistent", empty.path().to_str().unwrap()] {
            assert!(matches!(SecretFile::new("f", &value, file, whole), Err(AuthError::File { key: "f", .. })));
        }
    }
}
