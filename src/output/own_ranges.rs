//! Where the runner's own lines are in the log's output, so that a reader can leave them out. Only numbers.

use std::ops::Range;

use super::report::LeftOut;

/// Limit of the list: a volume that fails and recovers for hours would make the footer too long.
const MOST: usize = 1000;

/// The ranges of the output that no command wrote, in order.
#[derive(Debug, Default)]
pub(super) struct OwnRanges(Vec<Range<u64>>);

impl OwnRanges {
    /// Adds the latest range. Extends the last one if they touch or overlap.
    pub(super) fn add(&mut self, range: Range<u64>) {
        let is_full = self.0.len() == MOST;
        match self.0.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ if range.is_empty() || is_full => {}
            _ => self.0.push(range),
        }
    }

    /// The ranges in the log, where `left_out` is replaced by its marker, which is also the runner's.
    pub(super) fn in_log(self, left_out: Option<LeftOut>) -> Vec<Range<u64>> {
        let Some(out) = left_out.filter(|out| out.bytes > 0) else { return self.0 };
        let moved = self.0.into_iter().map(|range| out.in_log(range.start)..out.in_log(range.end));
        let marker = out.at..out.at + out.marker;
        let mut ranges: Vec<_> = moved.chain(std::iter::once(marker)).collect();
        ranges.sort_by_key(|range| range.start);
        let mut all = Self::default();
        for range in ranges {
            all.add(range);
        }
        all.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<const N: usize>(ranges: [Range<u64>; N]) -> OwnRanges {
        let mut own = OwnRanges::default();
        for range in ranges {
            own.add(range);
        }
        own
    }

    #[test]
    fn lines_that_follow_each_other_are_one_and_an_empty_one_is_none() {
        let own = of([0..5, 5..9, 20..20, 30..31]);
        assert_eq!(own.in_log(None), [0..9, 30..31]);
    }

    /// 100 bytes of the first part, then 50 bytes left out, a marker of 10 bytes.
    #[test]
    fn what_comes_after_a_part_that_is_left_out_moves_and_what_was_in_it_is_gone() {
        let own = of([10..20, 95..105, 110..120, 140..155, 200..210]);
        let left_out = LeftOut { at: 100, bytes: 50, marker: 10 };
        assert_eq!(own.in_log(Some(left_out)), [10..20, 95..115, 160..170]);
    }
}
