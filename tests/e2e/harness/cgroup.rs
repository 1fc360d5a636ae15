//! A control group with a limit on memory, version 1 or 2, for a process of a test. Needs the right to make one.

use std::fs;
use std::path::PathBuf;

/// A group that is removed when it is dropped.
pub struct Cgroup {
    dir: PathBuf,
}

impl Cgroup {
    /// Makes one below that of this process, of so many bytes.
    ///
    /// # Errors
    /// Why there can be none here.
    pub fn new(name: &str, bytes: u64) -> Result<Cgroup, String> {
        let own = fs::read_to_string("/proc/self/cgroup").map_err(|e| e.to_string())?;
        let path_of = |controllers: &str| {
            own.lines().find_map(|line| line.split_once(':')?.1.strip_prefix(controllers)?.strip_prefix(':'))
        };
        let (parent, limit) = match path_of("memory") {
            Some(path) => (format!("/sys/fs/cgroup/memory{path}"), "memory.limit_in_bytes"),
            None => (format!("/sys/fs/cgroup{}", path_of("").ok_or("no control group")?), "memory.max"),
        };
        let dir = PathBuf::from(parent).join(format!("{name}-{}", std::process::id()));
        fs::create_dir(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        let group = Cgroup { dir };
        fs::write(group.dir.join(limit), bytes.to_string()).map_err(|e| format!("{limit}: {e}"))?;
        // Without this the group would swap instead of ending; where there is no swap there is no such file.
        let _ = fs::write(group.dir.join("memory.swap.max"), "0");
        Ok(group)
    }

    /// The file that takes the numbers of processes which are to be in it.
    pub fn processes(&self) -> PathBuf {
        self.dir.join("cgroup.procs")
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.dir);
    }
}
