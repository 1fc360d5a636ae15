//! One event of the log on its way to an output: collected, cut if it is too long, handed over as a whole.

use super::Output;
use std::io;

/// Bytes of a line at most.
pub(super) const MAX_LINE: usize = 1 << 20;

/// What is written of one event. Dropped, it is handed over.
pub(super) struct Line<'a> {
    output: &'a Output,
    text: Vec<u8>,
    /// Bytes that were left out.
    cut: usize,
}

impl<'a> Line<'a> {
    /// A line that begins with this.
    pub(super) fn new(output: &'a Output, start: &str) -> Line<'a> {
        Line { output, text: start.into(), cut: 0 }
    }
}

impl io::Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let kept = bytes.len().min(MAX_LINE.saturating_sub(self.text.len()));
        self.text.extend_from_slice(&bytes[..kept]);
        self.cut += bytes.len() - kept;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if self.cut > 0 {
            // A character is cut whole.
            while self.text.pop_if(|byte| *byte & 0b1100_0000 == 0b1000_0000).is_some() {
                self.cut += 1;
            }
            self.text.pop();
            self.text.extend_from_slice(format!("… ({} bytes cut)\n", self.cut + 1).as_bytes());
        }
        if !self.text.is_empty() {
            self.output.put(std::mem::take(&mut self.text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use std::io::Write;
    use std::sync::Arc;

    /// Scenario: lines around the longest that may be, of characters of three bytes. Guarantee: what fits is whole; what does not ends between
    /// two characters, with how much is missing, and is a line.
    #[test]
    fn a_line_that_is_too_long_is_cut() {
        for size in [9, MAX_LINE - 1, MAX_LINE, MAX_LINE + 1, 3 * MAX_LINE] {
            let memory = Arc::new(Mutex::new(vec![]));
            let output = Output::Memory(memory.clone());
            let text = "€".repeat(size / 3) + &"x".repeat(size % 3);
            let mut line = Line::new(&output, "");
            line.write_all(text.as_bytes()).unwrap();
            line.write_all(b"\n").unwrap();
            drop(line);
            let written = String::from_utf8(memory.lock().clone()).unwrap();
            if size < MAX_LINE {
                assert_eq!(written, text + "\n");
                continue;
            }
            let (kept, mark) = written.rsplit_once("… (").unwrap();
            assert!(text.starts_with(kept) && kept.len() > MAX_LINE - 4);
            assert_eq!(mark, format!("{} bytes cut)\n", text.len() + 1 - kept.len()));
        }
    }
}
