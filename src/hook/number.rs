//! Whole numbers, sizes and file modes as people write them.

use std::fmt;
use std::str::FromStr;

use crate::hook::scalar::scalar;

/// A number of bytes, written `1048576`, `64MiB`, `2GB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        text.parse::<bytesize::ByteSize>()
            .map(|size| Self(size.0))
            .map_err(|_| format!("'{text}' is not a size; expected bytes or one such as 64MiB"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", bytesize::ByteSize(self.0).display().iec())
    }
}

/// Permission bits in octal, written `0640`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode(pub u32);

impl FromStr for Mode {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match u32::from_str_radix(text, 8) {
            Ok(mode) if mode <= 0o7777 => Ok(Self(mode)),
            _ => Err(format!("'{text}' is not a file mode; expected octal digits such as 0640")),
        }
    }
}

/// Reads a whole number, and says what was expected where it is none.
pub fn whole_number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("'{text}' is not a number that fits; expected a whole one such as 3"))
}

scalar! {
    Size: "bytes, or a size such as 64MiB", "^[0-9.]+ *([kKMGT]i?B?|B)?$";
    Mode: "a file mode in octal such as 0640", "^[0-7]{1,5}$";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_octal() {
        assert_eq!("0640".parse::<Mode>().unwrap(), Mode(0o640));
        assert!("0999".parse::<Mode>().is_err());
    }
}
