//! When the files of a configuration count as changed.
//!
//! They are looked at every second: size, time of modification, and which file it is, so that a replaced file or a switched
//! symbolic link (as Kubernetes does it) is noticed. A change counts once it has stood still for a second, so that a file that
//! is still being written is not read. It does NOT read them.

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

/// How often the files are looked at.
pub const EVERY: Duration = Duration::from_secs(1);

/// What is compared of a file; `None` if it is not there.
type Stamp = Option<(u64, i64, i64, u64, u64)>;

/// The files, and how they were last seen.
#[derive(Clone, Debug)]
pub struct Watch {
    files: Vec<String>,
    used: Vec<Stamp>,
    seen: Vec<Stamp>,
}

impl Watch {
    /// Files as they are now. To be called before they are read, so that no change is missed.
    #[must_use]
    pub fn new(files: Vec<String>) -> Watch {
        let used = stamps(&files);
        Watch { seen: used.clone(), files, used }
    }

    /// Looks again. True if the files are others than those in use, and have not changed since the last look.
    pub fn look(&mut self) -> bool {
        let now = stamps(&self.files);
        let still = now == self.seen;
        self.seen = now;
        if still && self.seen != self.used {
            self.used = self.seen.clone();
            return true;
        }
        false
    }
}

fn stamps(files: &[String]) -> Vec<Stamp> {
    let stamp = |file: &String| {
        let meta = std::fs::metadata(file).ok()?;
        Some((meta.len(), meta.mtime(), meta.mtime_nsec(), meta.ino(), meta.dev()))
    };
    files.iter().map(stamp).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a file is rewritten, replaced by a rename, and removed. Guarantee: each counts once, and only after it stood still for a look.
    #[test]
    fn a_change_counts_once_it_stands_still() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.yaml");
        std::fs::write(&path, "a").unwrap();
        let mut watch = Watch::new(vec![path.to_str().unwrap().to_owned()]);
        assert!(!watch.look());
        std::fs::write(&path, "ab").unwrap();
        assert_eq!([watch.look(), watch.look(), watch.look()], [false, true, false]);
        std::fs::write(dir.path().join("b"), "ba").unwrap();
        std::fs::rename(dir.path().join("b"), &path).unwrap();
        assert!(!watch.look());
        std::fs::write(&path, "still being written").unwrap();
        assert_eq!([watch.look(), watch.look(), watch.look()], [false, true, false]);
        std::fs::remove_file(&path).unwrap();
        assert_eq!([watch.look(), watch.look(), watch.look()], [false, true, false]);
    }
}
