//! What tells one state of a file from another without reading it: size, time of modification, and which file it is, so that a replaced
//! file and a switched symbolic link (as Kubernetes does it with `..data`) are noticed too.

use std::os::unix::fs::MetadataExt;

/// Of a file that is there: length, time of modification in seconds and nanoseconds, inode and device.
type Stamp = (u64, i64, i64, u64, u64);

/// The states of some files; `None` for one that is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamps(Vec<Option<Stamp>>);

impl Stamps {
    /// How they are now.
    #[must_use]
    pub fn of<'a>(files: impl Iterator<Item = &'a str>) -> Stamps {
        let stamp = |file: &str| {
            let meta = std::fs::metadata(file).ok()?;
            Some((meta.len(), meta.mtime(), meta.mtime_nsec(), meta.ino(), meta.dev()))
        };
        Stamps(files.filter(|file| !file.is_empty()).map(stamp).collect())
    }
}
