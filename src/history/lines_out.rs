//! What attempts are printed to: knows whether its last byte ended a line, so that a header is never glued to output that did
//! not end its own.

use std::io::{self, Write};

/// A sink that knows whether it is within a line.
pub(super) struct LinesOut<W> {
    out: W,
    mid_line: bool,
}

impl<W: Write> LinesOut<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, mid_line: false }
    }

    /// The last byte did not end a line.
    pub(super) fn is_within_line(&self) -> bool {
        self.mid_line
    }

    /// What comes next begins a line.
    pub(super) fn begin_line(&mut self) -> io::Result<()> {
        if self.mid_line { self.write_all(b"\n") } else { Ok(()) }
    }
}

impl<W: Write> Write for LinesOut<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        if let Some(last) = bytes[..written].last() {
            self.mid_line = *last != b'\n';
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
