//! Writing to standard output, for commands whose result is text.
//!
//! It does NOT write logs, nor anything while a service runs: whoever reads may have stopped, and [`telemetry::writer`] does
//! not wait for them.

use std::io::{self, IsTerminal, Write};

/// Writes a text to standard output. A reader that went away is not an error: it has seen enough.
///
/// # Errors
/// Standard output cannot be written for another reason.
pub fn print(text: &str) -> io::Result<()> {
    quiet(io::stdout().lock().write_all(text.as_bytes()))
}

/// Writes a text to standard error, as [`print`].
///
/// # Errors
/// Standard error cannot be written.
pub fn complain(text: &str) -> io::Result<()> {
    quiet(io::stderr().lock().write_all(text.as_bytes()))
}

/// A text that shows `line` in place of the line before, on a terminal.
#[must_use]
pub fn redrawn(line: &str) -> String {
    // Without wrapping, so that a long line is cut at the margin. The cursor goes back to the beginning, so that a line of the
    // log takes the place of this one rather than following it.
    format!("\x1b[?7l\x1b[2K{line}\r\x1b[?7h")
}

/// Whether standard output is a terminal.
#[must_use]
pub fn is_interactive() -> bool {
    io::stdout().is_terminal()
}

/// Whether standard error takes colours.
#[must_use]
pub fn has_colors() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// An error with its causes in one line; a cause that has been told is not told again.
#[must_use]
pub fn whole(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn quiet(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    /// Scenario: errors whose texts hold their causes, and such whose do not. Guarantee: each cause is told, and once.
    #[test]
    fn a_cause_is_told_once() {
        assert_eq!(
            whole(&anyhow!("address in use").context("cannot listen: address in use")),
            "cannot listen: address in use"
        );
        assert_eq!(
            whole(&anyhow!("no such file").context("cannot read a").context("start")),
            "start: cannot read a: no such file"
        );
    }
}
