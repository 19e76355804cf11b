//! Redaction: known secrets are replaced by `***` before the bytes reach either sink, whatever the chunk boundaries.
//! Knows bytes and needles; must not know where the bytes come from or go.
//!
//! The rule, which makes the result independent of chunks: a byte is masked when it lies in an occurrence of any
//! needle, occurrences that overlap included, and each run of masked bytes becomes one `***`. To decide that, bytes at
//! the end of what has come are held back while they could begin a needle: at most the longest needle minus one.

mod forms;
mod matcher;
mod sources;

use std::ops::Range;
use std::sync::Arc;

pub use sources::Sources;

use matcher::Matcher;

/// What stands in place of a secret.
const MASK: &[u8] = b"***";

/// The secrets of one attempt, ready to be looked for.
#[derive(Debug, Clone)]
pub struct Redactor {
    matcher: Arc<Matcher>,
}

/// What can be passed on after a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pushed<'a> {
    /// Comes first.
    pub bytes: &'a [u8],
    /// Then so many bytes of the chunk, from its beginning, as they came.
    pub verbatim: usize,
}

/// Redaction of one stream.
#[derive(Debug)]
pub struct Stream {
    matcher: Arc<Matcher>,
    /// The last bytes that were passed on, as they came, then the bytes held back.
    bytes: Vec<u8>,
    /// Where needles lie in `bytes`: apart from each other, in order.
    hits: Vec<Range<usize>>,
    /// How many of `bytes` were passed on.
    passed: usize,
    /// The last byte that was passed on was masked.
    in_mask: bool,
    out: Vec<u8>,
}

impl Redactor {
    /// Looks for `secrets` and their encoded forms. None when there is nothing to look for.
    pub fn new(secrets: &[Vec<u8>]) -> Option<Self> {
        Some(Self { matcher: Arc::new(Matcher::new(&forms::all(secrets))?) })
    }

    /// State for one stream.
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

    /// All of `text` at once.
    pub fn redact(&self, text: &[u8]) -> Vec<u8> {
        let mut stream = self.stream();
        let Pushed { bytes, verbatim } = stream.push(text);
        let mut out = [bytes, &text[..verbatim]].concat();
        out.extend_from_slice(stream.flush());
        out
    }
}

impl Stream {
    /// Takes `chunk`, gives what can be passed on. A chunk without a needle is not copied.
    pub fn push(&mut self, chunk: &[u8]) -> Pushed<'_> {
        self.forget();
        let seen = self.bytes.len();
        // A needle that was not whole before begins at most its length minus one before the new bytes.
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

    /// No needle is in what came before, up to `seen`, nor in `chunk`, which is longer than any.
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

    /// Whether bytes are held back.
    pub fn holds(&self) -> bool {
        self.passed < self.bytes.len()
    }

    /// Gives what is held back: the command pauses, or has ended. Should the rest of a needle come later, that rest is
    /// still masked.
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

    /// Hits that overlap or touch become one.
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

    /// Drops what no needle to come can reach back to.
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
