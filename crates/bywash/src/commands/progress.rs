//! One line on the terminal that says what is going on.
//!
//! It is written to standard error, and only if that is a terminal: a pipe or a log file gets nothing. It does NOT know how
//! wide the terminal is, so lines are to be kept below 80 characters.

use std::io::{self, IsTerminal, Write};

/// The line. What it shows is wiped when it is dropped.
pub struct Progress {
    terminal: bool,
    shown: bool,
}

impl Progress {
    /// A line that shows nothing yet.
    #[must_use]
    pub fn new() -> Progress {
        Progress { terminal: io::stderr().is_terminal(), shown: false }
    }

    /// Puts `text` in place of what was shown.
    pub fn show(&mut self, text: &str) {
        if self.terminal {
            self.shown = true;
            // There is nobody to be told of a terminal that is gone.
            let _ = write!(io::stderr(), "\r\x1b[2K{text}");
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Progress::new()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\x1b[2K");
        }
    }
}

/// A part of the line that is only there if there is something to say.
#[must_use]
pub fn part(what: &str, count: u64) -> String {
    if count == 0 { String::new() } else { format!(" · {what} {}", short(count)) }
}

/// A count for people: `950`, `12.3k`, `4.56M`.
#[must_use]
pub fn short(count: u64) -> String {
    let scaled = |unit: f64| count as f64 / unit;
    match count {
        0..1_000 => count.to_string(),
        1_000..1_000_000 => format!("{:.1}k", scaled(1e3)),
        1_000_000..1_000_000_000 => format!("{:.2}M", scaled(1e6)),
        _ => format!("{:.2}G", scaled(1e9)),
    }
}

#[cfg(test)]
mod tests {
    use super::short;

    /// Scenario: counts on both sides of each unit. Guarantee: at most six characters, rounded.
    #[test]
    fn counts_are_short() {
        for (count, text) in
            [(0, "0"), (999, "999"), (1_000, "1.0k"), (12_345, "12.3k"), (4_560_000, "4.56M"), (7_000_000_000, "7.00G")]
        {
            assert_eq!(short(count), text);
        }
    }
}
