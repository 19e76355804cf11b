//! `SRC:DST` of `--copy`.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::support::os::{OsStrExt, OsStringExt};

/// One `--copy SRC:DST`. The last colon separates, so that the source may contain colons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyPair {
    /// The content directory in the image.
    pub from: PathBuf,
    /// The directory on the volume.
    pub to: PathBuf,
}

impl CopyPair {
    /// Splits `SRC:DST`. Both sides may hold bytes that are not UTF-8.
    pub fn parse(text: &OsStr) -> Result<Self, String> {
        let bytes = text.as_bytes();
        match bytes.iter().rposition(|&byte| byte == b':') {
            Some(colon) if colon > 0 && colon + 1 < bytes.len() => Ok(Self {
                from: PathBuf::from(OsString::from_vec(bytes[..colon].to_vec())),
                to: PathBuf::from(OsString::from_vec(bytes[colon + 1..].to_vec())),
            }),
            _ => Err(format!(
                "'{}' does not name a source and a destination; expected SRC:DST such as /app:/data",
                text.to_string_lossy()
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_colon_separates_source_from_destination() {
        let pair = CopyPair::parse(OsStr::new("/a:b:/c")).unwrap();
        assert_eq!((pair.from, pair.to), ("/a:b".into(), "/c".into()));
        for wrong in ["", "/a", ":/a", "/a:"] {
            assert!(CopyPair::parse(OsStr::new(wrong)).is_err(), "{wrong}");
        }
    }
}
