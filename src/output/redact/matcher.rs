//! Finds needles in bytes. An Aho-Corasick automaton decides exactly; a sampling filter of four-byte grams in front of
//! it skips what cannot match. Measured with 50 secrets in all their forms: the automaton alone takes several times as
//! long as the rest of the tee, the filter a fraction of it.
//!
//! The filter: let m be the length of the shortest needle and `step` = m - 3. A needle always covers the four bytes at
//! one of every `step` consecutive positions. So it is enough to look at every `step`-th position, and to know each
//! needle's grams at its first `step` offsets (the idea of Wu and Manber, 1994).

use std::ops::Range;

use aho_corasick::automaton::Automaton;
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, MatchKind};

/// Bytes of a gram.
const GRAM: usize = 4;

/// A longer step would enlarge the table for little gain.
const LONGEST_STEP: usize = 16;

/// Limit of automaton steps spent on an incomplete needle at the end: a quarter of a millisecond.
const EFFORT: usize = 1 << 16;

#[derive(Debug)]
pub(super) struct Matcher {
    automaton: NFA,
    longest: usize,
    step: usize,
    /// One bit per hash of a gram; the number of bits is a power of two.
    grams: Vec<u64>,
    shift: u32,
}

impl Matcher {
    /// `None` without needles, or if they are too many for the automaton ([`super::Sources`] prevents that).
    pub(super) fn new(needles: &[Vec<u8>]) -> Option<Self> {
        let shortest = needles.iter().map(Vec::len).min()?;
        let longest = needles.iter().map(Vec::len).max()?;
        debug_assert!(shortest >= GRAM, "the sources refuse short values");
        let step = (shortest + 1).saturating_sub(GRAM).clamp(1, LONGEST_STEP);
        // 64 bits per gram: one position in 64 is a false positive.
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

    /// Length of the longest needle in bytes.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// Calls `found` with the range of each needle in `bytes` that begins at or after `from`. Of needles with the same
    /// end, only the longest is reported.
    pub(super) fn find(&self, bytes: &[u8], from: usize, mut found: impl FnMut(Range<usize>)) {
        let mut at = from;
        // The automaton has searched up to here.
        let mut done = from;
        while let Some(candidate) = self.next_candidate(bytes, at) {
            if candidate >= done {
                let start = candidate.saturating_sub(self.step - 1).max(from);
                done = self.confirm(bytes, start, candidate + GRAM, &mut found);
            }
            at = candidate + self.step;
        }
    }

    /// The first sampled position from `at` on where a needle could be. This loop is written by hand, because the
    /// program is optimized for size.
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

    /// Runs the automaton from `start` to at least `least`, and until no needle is incomplete.
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

    /// The number of bytes at the end that could begin an incomplete needle: less than the longest needle.
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
        // Shared by all positions: with many needles, some byte always begins one.
        let mut effort = EFFORT;
        let open = (open_since..bytes.len()).find(|&from| self.is_open(&bytes[from..], &mut effort));
        bytes.len() - open.unwrap_or(bytes.len())
    }

    /// Whether `bytes` are the beginning of a needle and not all of it. Also true if `effort` is used up: bytes that
    /// are held back needlessly only come a moment later.
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
        // A state in which no needle ends always goes on.
        !self.automaton.is_match(state) || (0..=u8::MAX).any(goes_on)
    }
}

/// Multiplicative hashing (Knuth): the high bits of a product with an odd number near 2^32 over the golden ratio.
#[inline]
fn hash(gram: [u8; GRAM], shift: u32) -> usize {
    (u32::from_ne_bytes(gram).wrapping_mul(0x9E37_79B1) >> shift) as usize
}
