//! Whole numbers, sizes and file modes as people write them.

use std::str::FromStr;

use serde_json::Value;

use crate::hook::file_value::{FileValue, form, number_or_form, scalar, whole_number as read_whole};
use crate::hook::yaml::{Mistake, Node, ScalarKind};

/// Reads a whole number; the error says what was expected.
pub fn whole_number<T: FromStr>(text: &str) -> Result<T, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    number.ok_or_else(|| format!("'{text}' is not a number that fits; expected a whole one such as 3"))
}

/// A number of bytes, written `1048576`, `64MiB`, `2GB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A number of bytes that is not 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeLimit(pub u64);

const SIZE: &str = "[0-9]{1,15}(?:\\.[0-9]{1,9})? ?(?:[kKmMgGtT][iI]?[bB]?|[bB])?";

impl FromStr for Size {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is not a size; expected bytes or one such as 64MiB");
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        if !(1..=15).contains(&whole.len()) || !(1..=9).contains(&fraction.len()) {
            return Err(wrong());
        }
        let bytes = factor(unit.strip_prefix(' ').unwrap_or(unit)).ok_or_else(wrong)?;
        let whole: u64 = whole.parse().map_err(|_| wrong())?;
        let parts: u64 = fraction.parse().map_err(|_| wrong())?;
        // Fractions are rounded up to whole bytes.
        let of = 10_u128.pow(u32::try_from(fraction.len()).unwrap_or_default());
        let parts = u64::try_from((u128::from(parts) * u128::from(bytes)).div_ceil(of)).unwrap_or(u64::MAX);
        Ok(Self(whole.saturating_mul(bytes).saturating_add(parts)))
    }
}

/// Bytes of a unit: `k` is 1000, `Ki` is 1024, as in Kubernetes. Case is ignored.
fn factor(unit: &str) -> Option<u64> {
    let unit = unit.to_ascii_lowercase();
    let letters = unit.strip_suffix('b').unwrap_or(&unit);
    let (base, letters) = letters.strip_suffix('i').map_or((1000, letters), |letters| (1024, letters));
    match letters {
        "" if base == 1000 => Some(1),
        "k" => Some(base),
        "m" => Some(u64::pow(base, 2)),
        "g" => Some(u64::pow(base, 3)),
        "t" => Some(u64::pow(base, 4)),
        _ => None,
    }
}

impl FromStr for SizeLimit {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse()? {
            Size(0) => Err(format!("{text} leaves nothing; give more, or leave it out for no limit")),
            Size(bytes) => Ok(Self(bytes)),
        }
    }
}

/// Reads a number of bytes, or a text with a unit.
fn read_size<T: FromStr<Err = String>>(node: &Node) -> Result<T, Mistake> {
    let written = scalar(node, "a size such as 64MiB")?;
    let text = match written.kind {
        ScalarKind::Number => read_whole(node, "a size such as 64MiB")?.to_string(),
        _ => written.text.clone(),
    };
    text.parse().map_err(|message: String| node.mistake(message))
}

const MOST_BYTES: u64 = 999_999_999_999_999;

impl FileValue for Size {
    fn read(node: &Node) -> Result<Self, Mistake> {
        read_size(node)
    }
    fn schema() -> Value {
        number_or_form(0, MOST_BYTES, SIZE)
    }
}

impl FileValue for SizeLimit {
    fn read(node: &Node) -> Result<Self, Mistake> {
        read_size(node)
    }
    fn schema() -> Value {
        number_or_form(1, MOST_BYTES, &format!("(?=[^1-9]*[1-9]){SIZE}"))
    }
}

/// Octal permission bits of a log, written `0640`. Its owner must be able to read and write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode(pub u32);

form!(Mode, "a file mode in quotes such as '0640'", "0*[67][0-7]{2}");

impl FromStr for Mode {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let octal = !text.is_empty() && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
        let mode = u32::from_str_radix(text, 8).ok().filter(|mode| octal && matches!(mode, 0o600..=0o777));
        mode.map(Self).ok_or_else(|| {
            format!("'{text}' is not the mode of a log; expected octal digits such as 0640, with 6 or 7 for its owner")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_octal() {
        assert_eq!("0640".parse::<Mode>(), Ok(Mode(0o640)));
        for wrong in ["0999", "", "+640", "10000", "u=rw", "0000", "0440", "4640"] {
            assert!(wrong.parse::<Mode>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_size_is_bytes_or_has_a_unit() {
        for (text, bytes) in [
            ("0", 0),
            ("1048576", 1 << 20),
            ("64MiB", 64 << 20),
            ("64Mi", 64 << 20),
            ("64 mib", 64 << 20),
            ("2GB", 2_000_000_000),
            ("2G", 2_000_000_000),
            ("10k", 10_000),
            ("1.5KiB", 1536),
            ("3b", 3),
        ] {
            assert_eq!(text.parse::<Size>(), Ok(Size(bytes)), "{text}");
        }
        for wrong in ["", "MiB", "1..5k", "1.k", "-1", "1 000", "64MiBs", "1i", "1e6"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
        assert!("0".parse::<SizeLimit>().is_err());
    }
}
