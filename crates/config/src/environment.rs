//! What a configuration may read from the world: environment variables and files.
//!
//! A trait, so that tests own the world. Invariant: a file is read up to [`MAX_FILE`] bytes, never more. It does NOT
//! interpret what it reads.

use std::fs::File;
use std::io::Read;

/// The largest configuration file, or file named by `${file:…}`, in bytes.
pub const MAX_FILE: u64 = 4 << 20;

/// Environment variables and files.
pub trait Environment {
    /// The value of an environment variable, if it is set.
    fn var(&self, name: &str) -> Option<String>;

    /// The text of a file.
    ///
    /// # Errors
    /// A sentence that says why there is no text, without the path.
    fn file(&self, path: &str) -> Result<String, String>;
}

/// The real world of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn var(&self, name: &str) -> Option<String> {
        std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    }

    fn file(&self, path: &str) -> Result<String, String> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        let mut bytes = Vec::new();
        file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(format!("larger than {} MiB", MAX_FILE >> 20));
        }
        String::from_utf8(bytes).map_err(|error| format!("not UTF-8 from byte {} on", error.utf8_error().valid_up_to()))
    }
}
