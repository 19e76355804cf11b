//! Redaction: replaces known secrets by `***` before the bytes reach a sink, whatever the chunk boundaries. Knows bytes
//! and needles only.
//!
//! The rule that makes the result independent of chunks: a byte is masked if it lies in an occurrence of any needle,
//! overlapping ones included, and each run of masked bytes becomes one `***`. For this, bytes at the end of a chunk are
//! held back while they could begin a needle: less than the longest needle.

mod forms;
mod matcher;
mod sources;

use std::ops::Range;
use std::sync::Arc;

pub use sources::Sources;

use matcher::Matcher;

/// The replacement of a secret.
const MASK: &[u8] = b"***";

/// The secrets of one attempt, prepared for searching.
#[derive(Debug, Clone)]
pub struct Redactor {
    matcher: Arc<Matcher>,
}

/// What can be written after a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pushed<'a> {
    /// To be written first.
    pub bytes: &'a [u8],
    /// The number of bytes of the chunk, from its start, that follow unchanged.
    pub verbatim: usize,
}

#[derive(Debug)]
pub struct Stream {
    matcher: Arc<Matcher>,
    /// The last bytes that were written, then the bytes held back, both unredacted.
    bytes: Vec<u8>,
    /// The ranges of needles in `bytes`, disjoint and in order.
    hits: Vec<Range<usize>>,
    /// How many of `bytes` were written.
    passed: usize,
    /// The last byte that was written was masked.
    in_mask: bool,
    out: Vec<u8>,
}

impl Redactor {
    /// Prepares the search for `secrets` and their encoded forms. `None` if there is nothing to search for.
    pub fn new(secrets: &[Vec<u8>]) -> Option<Self> {
        Some(Self { matcher: Arc::new(Matcher::new(&forms::all(secrets))?) })
    }

    /// The state for one stream.
    pub fn stream(&self) -> Stream {
        Stream {
            matcher: Arc::clone(&self.matcher),
            bytes: Vec::new(),
            hits: Vec::new(),
            passed: 0,
            in_mask: false,
            out: Vec::new(),
        }
    }

    /// Redacts a whole text.
    pub fn redact(&self, text: &[u8]) -> Vec<u8> {
        let mut stream = self.stream();
        let Pushed { bytes, verbatim } = stream.push(text);
        let mut out = [bytes, &text[..verbatim]].concat();
        out.extend_from_slice(stream.flush());
        out
    }
}

impl Stream {
    /// Takes a chunk; returns what can be written. A chunk without a needle is not copied.
    pub fn push(&mut self, chunk: &[u8]) -> Pushed<'_> {
        self.forget();
        let seen = self.bytes.len();
        // A needle that was incomplete before can begin at most its length minus one before the new bytes.
        let reach = self.matcher.longest() - 1;
        let (start, rest) = chunk.split_at(chunk.len().min(reach));
        self.bytes.extend_from_slice(start);
        let known = self.hits.len();
        self.matcher.find(&self.bytes, seen.saturating_sub(reach), |hit| self.hits.push(hit));
        if !rest.is_empty() {
            self.matcher.find(chunk, 0, |hit| self.hits.push(hit.start + seen..hit.end + seen));
            if self.hits.is_empty() {
                return self.pass_clean(chunk, seen);
            }
            self.bytes.extend_from_slice(rest);
        }
        if self.hits.len() > known {
            self.join_hits();
        }
        let held = self.matcher.open_suffix(&self.bytes).min(self.bytes.len() - self.passed);
        Pushed { bytes: self.pass(self.bytes.len() - held), verbatim: 0 }
    }

    /// For a chunk longer than any needle, where neither it nor the bytes up to `seen` hold one.
    fn pass_clean(&mut self, chunk: &[u8], seen: usize) -> Pushed<'_> {
        self.out.clear();
        self.out.extend_from_slice(&self.bytes[self.passed..seen]);
        let held = self.matcher.open_suffix(chunk);
        let keep = self.matcher.longest() - 1;
        self.bytes.clear();
        self.bytes.extend_from_slice(&chunk[chunk.len() - keep..]);
        self.passed = keep - held;
        self.in_mask = false;
        Pushed { bytes: &self.out, verbatim: chunk.len() - held }
    }

    pub fn holds(&self) -> bool {
        self.passed < self.bytes.len()
    }

    /// Returns what is held back, because the command pauses or has ended. If the rest of a needle comes later, that
    /// rest is still masked.
    pub fn flush(&mut self) -> &[u8] {
        self.pass(self.bytes.len())
    }

    fn pass(&mut self, until: usize) -> &[u8] {
        let from = std::mem::replace(&mut self.passed, until);
        if from == until {
            return &[];
        }
        let first = self.hits.partition_point(|hit| hit.end <= from);
        if self.hits.get(first).is_none_or(|hit| hit.start >= until) {
            self.in_mask = false;
            return &self.bytes[from..until];
        }
        self.out.clear();
        let mut at = from;
        for hit in self.hits[first..].iter().take_while(|hit| hit.start < until) {
            if hit.start > at {
                self.out.extend_from_slice(&self.bytes[at..hit.start]);
                self.in_mask = false;
            }
            if !self.in_mask {
                self.out.extend_from_slice(MASK);
            }
            self.in_mask = true;
            at = hit.end.min(until);
        }
        if at < until {
            self.out.extend_from_slice(&self.bytes[at..until]);
            self.in_mask = false;
        }
        &self.out
    }

    /// Joins ranges that overlap or touch.
    fn join_hits(&mut self) {
        self.hits.sort_by_key(|hit| hit.start);
        self.hits.dedup_by(|next, hit| {
            let joined = next.start <= hit.end;
            if joined {
                hit.end = hit.end.max(next.end);
            }
            joined
        });
    }

    /// Drops bytes that no later needle can include.
    fn forget(&mut self) {
        let keep = (self.matcher.longest() - 1).max(self.bytes.len() - self.passed);
        let drop = self.bytes.len().saturating_sub(keep);
        self.bytes.drain(..drop);
        self.passed -= drop;
        self.hits.retain_mut(|hit| {
            *hit = hit.start.saturating_sub(drop)..hit.end.saturating_sub(drop);
            hit.end > 0
        });
    }
}

#[cfg(test)]
mod tests;
