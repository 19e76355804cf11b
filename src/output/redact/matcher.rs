//! Finds needles in bytes. An Aho-Corasick automaton says exactly what matches; a sampled filter of four-byte grams
//! in front of it skips what cannot. Measured with 50 secrets in all their forms: the automaton alone takes several
//! times as long as the rest of the tee, the filter a fraction of it.
//!
//! The filter: a needle of at least m bytes covers one of every `step` = m - 3 consecutive positions together with
//! the three that follow, so it is enough to look at every step-th position, and to know each needle's grams at its
//! first `step` offsets (the idea of Wu and Manber, 1994).

use std::ops::Range;

use aho_corasick::automaton::Automaton;
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, MatchKind};

/// Bytes of a gram.
const GRAM: usize = 4;

/// More would make the table larger for little.
const LONGEST_STEP: usize = 16;

/// Steps of the automaton that are spent at most on what is open at the end: a quarter of a millisecond.
const EFFORT: usize = 1 << 16;

#[derive(Debug)]
pub(super) struct Matcher {
    automaton: NFA,
    longest: usize,
    step: usize,
    /// One bit per hash of a gram; its length in bits is a power of two.
    grams: Vec<u64>,
    shift: u32,
}

impl Matcher {
    /// None without needles, or when they are too many to be held (never with what [`super::Sources`] lets through).
    pub(super) fn new(needles: &[Vec<u8>]) -> Option<Self> {
        let shortest = needles.iter().map(Vec::len).min()?;
        let longest = needles.iter().map(Vec::len).max()?;
        debug_assert!(shortest >= GRAM, "the sources refuse short values");
        let step = (shortest + 1).saturating_sub(GRAM).clamp(1, LONGEST_STEP);
        // Sixty-four bits per gram: one position in 64 is looked at for nothing.
        let bits = (needles.len() * step * 64).next_power_of_two().clamp(1 << 10, 1 << 20);
        let mut grams = vec![0_u64; bits / 64];
        let shift = 32 - bits.trailing_zeros();
        for needle in needles {
            for gram in needle.windows(GRAM).take(step).filter_map(<[u8]>::first_chunk) {
                let hash = hash(*gram, shift);
                grams[hash / 64] |= 1 << (hash % 64);
            }
        }
        let automaton = NFA::builder().match_kind(MatchKind::Standard).build(needles).ok()?;
        Some(Self { automaton, longest, step, grams, shift })
    }

    /// Bytes of the longest needle.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// Calls `found` with the place of the needles in `bytes` that begin at `from` or later. Of the needles that
    /// end at one place only the longest is told.
    pub(super) fn find(&self, bytes: &[u8], from: usize, mut found: impl FnMut(Range<usize>)) {
        let mut at = from;
        // Up to here the automaton has looked.
        let mut done = from;
        while let Some(candidate) = self.next_candidate(bytes, at) {
            if candidate >= done {
                let start = candidate.saturating_sub(self.step - 1).max(from);
                done = self.confirm(bytes, start, candidate + GRAM, &mut found);
            }
            at = candidate + self.step;
        }
    }

    /// The first of the sampled positions from `at` on at which a needle could lie. All that is done for each of them is
    /// here, in few instructions: the program is built for size.
    fn next_candidate(&self, bytes: &[u8], at: usize) -> Option<usize> {
        let (grams, step, shift) = (&*self.grams, self.step, self.shift);
        let mut rest = bytes.get(at..)?;
        while let Some((gram, _)) = rest.split_first_chunk() {
            let hash = hash(*gram, shift);
            if grams[hash / 64] & (1 << (hash % 64)) != 0 {
                return Some(bytes.len() - rest.len());
            }
            rest = rest.get(step..)?;
        }
        None
    }

    /// Runs the automaton from `start` until no needle is open and at least to `least`.
    fn confirm(
        &self,
        bytes: &[u8],
        start: usize,
        least: usize,
        found: &mut impl FnMut(Range<usize>),
    ) -> usize {
        let Ok(root) = self.automaton.start_state(Anchored::No) else { return least };
        let mut state = root;
        for (index, &byte) in bytes.iter().enumerate().skip(start) {
            state = self.automaton.next_state(Anchored::No, state, byte);
            if self.automaton.is_match(state) {
                let longest = (0..self.automaton.match_len(state))
                    .map(|n| self.automaton.pattern_len(self.automaton.match_pattern(state, n)))
                    .max();
                found(index + 1 - longest.unwrap_or(0)..index + 1);
            }
            if state == root && index + 1 >= least {
                return index + 1;
            }
        }
        bytes.len()
    }

    /// How many bytes at the end begin a needle that is not yet whole: at most the longest needle minus one.
    pub(super) fn open_suffix(&self, bytes: &[u8]) -> usize {
        let Ok(root) = self.automaton.start_state(Anchored::No) else { return 0 };
        let start = bytes.len().saturating_sub(self.longest - 1);
        let mut state = root;
        let mut open_since = start;
        for (index, &byte) in bytes.iter().enumerate().skip(start) {
            state = self.automaton.next_state(Anchored::No, state, byte);
            if state == root {
                open_since = index + 1;
            }
        }
        // Not before it, but later perhaps: with many needles some byte or other always begins one.
        let mut effort = EFFORT;
        let open = (open_since..bytes.len()).find(|&from| self.is_open(&bytes[from..], &mut effort));
        bytes.len() - open.unwrap_or(bytes.len())
    }

    /// Whether `bytes` are the beginning of a needle and not all of it. True as well when `effort` is used up: what is
    /// held back for nothing comes a moment later, no more.
    fn is_open(&self, bytes: &[u8], effort: &mut usize) -> bool {
        let Ok(mut state) = self.automaton.start_state(Anchored::Yes) else { return true };
        for &byte in bytes {
            *effort = effort.saturating_sub(1);
            if *effort == 0 {
                return true;
            }
            state = self.automaton.next_state(Anchored::Yes, state, byte);
            if self.automaton.is_dead(state) {
                return false;
            }
        }
        let goes_on = |byte| !self.automaton.is_dead(self.automaton.next_state(Anchored::Yes, state, byte));
        // Where no needle ends there is always more.
        !self.automaton.is_match(state) || (0..=u8::MAX).any(goes_on)
    }
}

/// Multiplicative hashing (Knuth): the high bits of a product with an odd number near 2^32 over the golden ratio.
#[inline]
fn hash(gram: [u8; GRAM], shift: u32) -> usize {
    (u32::from_ne_bytes(gram).wrapping_mul(0x9E37_79B1) >> shift) as usize
}
