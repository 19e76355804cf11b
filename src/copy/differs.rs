//! What of a changed entry is not as it was.

use std::fmt;

use serde::{Serialize, Serializer};

/// Displayed as the letters of rsync(1), `--itemize-changes`, in their order; `+` if the entry is of another type than
/// before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Differs(u8);

impl Differs {
    pub(crate) const TYPE: Self = Self(1);
    /// The bytes of a file, or the target of a link.
    pub(crate) const CONTENT: Self = Self(1 << 1);
    pub(crate) const SIZE: Self = Self(1 << 2);
    pub(crate) const TIME: Self = Self(1 << 3);
    pub(crate) const MODE: Self = Self(1 << 4);
    pub(crate) const OWNER: Self = Self(1 << 5);
    pub(crate) const GROUP: Self = Self(1 << 6);
    pub(crate) const XATTRS: Self = Self(1 << 7);
    const LETTERS: &str = "+cstpogx";

    /// Those of which the condition holds.
    pub(crate) fn of<const N: usize>(all: [(Self, bool); N]) -> Self {
        Self(all.into_iter().filter(|(_, holds)| *holds).fold(0, |sum, (one, _)| sum | one.0))
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    #[allow(clippy::trivially_copy_pass_by_ref)] // the signature that serde asks for
    pub(crate) fn is_empty(&self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Differs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = Self::LETTERS.chars().enumerate().filter(|(at, _)| self.0 & 1 << at != 0);
        letters.map(|(_, letter)| letter).try_for_each(|letter| write!(f, "{letter}"))
    }
}

impl Serialize for Differs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
