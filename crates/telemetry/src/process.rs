//! What the operating system says of this process: memory, processor time, open files.
//!
//! Read from `/proc/self`; where that does not exist, there is nothing to say. It does NOT keep anything.

/// A look at the process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProcessStats {
    /// Processor time used, user and system, in seconds.
    pub cpu_seconds: f64,
    /// Resident memory in bytes.
    pub memory_rss: u64,
    /// Address space in bytes.
    pub memory_virtual: u64,
    /// Threads.
    pub threads: u64,
    /// Open file descriptors.
    pub open_fds: u64,
}

/// Ticks per second in `/proc`: Linux shows all times to user space in this unit, whatever the kernel's own is.
const USER_HZ: f64 = 100.0;

impl ProcessStats {
    /// The process now; `None` where there is no `/proc`.
    #[must_use]
    pub fn read() -> Option<ProcessStats> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let open_fds = std::fs::read_dir("/proc/self/fd").map_or(0, |fds| fds.count() as u64);
        ProcessStats::parse(&stat, &status, open_fds)
    }

    fn parse(stat: &str, status: &str, open_fds: u64) -> Option<ProcessStats> {
        // The name of the process stands in brackets and may hold anything, brackets and blanks included.
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_whitespace().skip(11);
        let user: f64 = fields.next()?.parse().ok()?;
        let system: f64 = fields.next()?.parse().ok()?;
        let number = |key: &str| -> u64 {
            let value = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
            value.and_then(|value| value.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        Some(ProcessStats {
            cpu_seconds: (user + system) / USER_HZ,
            memory_rss: number("VmRSS") << 10,
            memory_virtual: number("VmSize") << 10,
            threads: number("Threads"),
            open_fds,
        })
    }
}

/// The memory this process may use: the smaller of the machine's and the control group's. `None` if neither is known.
#[must_use]
pub fn total_memory() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let machine = read("/proc/meminfo").and_then(|text| mem_total(&text));
    // Version 2 of control groups, as a container sees its own, then version 1.
    let group = read("/sys/fs/cgroup/memory.max").or_else(|| read("/sys/fs/cgroup/memory/memory.limit_in_bytes"));
    smaller(machine, group.and_then(|text| text.trim().parse().ok()))
}

fn mem_total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib << 10)
}

fn smaller(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    [a, b].into_iter().flatten().filter(|n| *n > 0).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a process whose name looks like the fields after it. Guarantee: the fields are found all the same.
    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 100 1 1";
        let status = "Name:\ta) b (c\nVmSize:\t   2048 kB\nVmRSS:\t     512 kB\nThreads:\t9\n";
        let expected = ProcessStats {
            cpu_seconds: 3.0,
            memory_rss: 512 << 10,
            memory_virtual: 2048 << 10,
            threads: 9,
            open_fds: 3,
        };
        assert_eq!(ProcessStats::parse(stat, status, 3), Some(expected));
        assert_eq!(ProcessStats::parse("", "", 0), None);
    }

    /// Scenario: this test's own process. Guarantee: it uses memory, files and at least a thread.
    #[test]
    fn this_process_uses_something() {
        let Some(stats) = ProcessStats::read() else { return };
        assert!(
            stats.memory_rss > 0 && stats.memory_virtual > stats.memory_rss && stats.threads > 0 && stats.open_fds > 2
        );
    }

    /// Scenario: a machine of 8 GiB, with and without a group limit. Guarantee: the smaller one counts, nonsense does not.
    #[test]
    fn the_smaller_limit_counts() {
        let machine = mem_total("MemTotal:        8388608 kB\nMemFree: 1 kB\n");
        assert_eq!(machine, Some(8 << 30));
        assert_eq!(smaller(machine, Some(1 << 30)), Some(1 << 30));
        assert_eq!(smaller(machine, None), Some(8 << 30));
        assert_eq!(smaller(None, Some(0)), None);
        assert_eq!(mem_total("x"), None);
    }
}
