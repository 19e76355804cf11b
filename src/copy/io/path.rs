//! Names and paths below a root: bytes, joined by `/`, with none at either end. The root's own path is empty.

use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub(crate) fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(dir.len() + 1 + name.len());
    path.extend_from_slice(dir);
    if !dir.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// The path of the parent directory; `None` for the root.
pub(crate) fn parent(path: &[u8]) -> Option<&[u8]> {
    (!path.is_empty()).then(|| path.iter().rposition(|b| *b == b'/').map_or(&b""[..], |at| &path[..at]))
}

pub(crate) fn file_name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

/// `NAME.from-image` (or another suffix). A long name is cut to fit into 255 bytes.
pub(crate) fn beside(name: &CStr, suffix: &str) -> CString {
    let bytes = name.to_bytes();
    let mut new = bytes[..bytes.len().min(255 - suffix.len())].to_vec();
    new.extend_from_slice(suffix.as_bytes());
    // Cannot fail: neither the name nor the suffix holds a NUL.
    CString::new(new).unwrap_or_default()
}

/// `NAME.from-image`, `NAME.from-image-1` and so on: candidates for a name beside another.
pub(crate) fn names_beside(name: &CStr, suffix: &str) -> impl Iterator<Item = CString> {
    let (name, suffix) = (name.to_owned(), suffix.to_owned());
    (0..1000).map(move |n| match n {
        0 => beside(&name, &suffix),
        n => beside(&name, &format!("{suffix}-{n}")),
    })
}

/// The original of a name made by [`names_beside`]. For a name that was cut, the original is unknown.
pub(crate) fn beside_what(name: &[u8]) -> Option<&[u8]> {
    let digits = name.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let counted = name[..name.len() - digits].strip_suffix(b"-").filter(|_| digits > 0);
    let whole = counted.unwrap_or(name);
    whole.strip_suffix(b".from-image").or_else(|| whole.strip_suffix(b".from-volume"))
}

/// Text for messages and reports. Control characters are escaped, because a terminal would obey them.
pub(crate) fn shown(path: &[u8]) -> String {
    let text = OsStr::from_bytes(path).display().to_string();
    if !text.chars().any(char::is_control) {
        return text;
    }
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escape).collect()
}

/// As [`shown`], for any path.
pub(crate) fn shown_path(path: &Path) -> String {
    shown(path.as_os_str().as_bytes())
}
