//! The file names of manifests.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The file name of an owner's manifest. It has no dot: a file beside a manifest has one, and is never taken for
/// another owner's manifest.
pub(crate) fn file_name(owner: &[u8]) -> std::ffi::OsString {
    let mut name = String::new();
    for byte in owner.strip_prefix(b"/").unwrap_or(owner) {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            name.push(char::from(*byte));
        } else {
            let _ = std::fmt::Write::write_fmt(&mut name, format_args!("%{byte:02x}"));
        }
    }
    // A file name holds 255 bytes, and `.part-…` and `.new` are appended to this one.
    if name.len() > 160 || name.is_empty() || owner.is_empty() {
        name.truncate(100);
        name.push_str("%-");
        name.push_str(&blake3::hash(owner).to_hex()[..32]);
    }
    name.into()
}

/// The file name of a manifest in version 0.1: the destination relative to the directory that holds the state
/// directory, so that it is the same wherever the volume is mounted; elsewhere, the absolute path.
pub(crate) fn name_of(destination: &Path, state: &Path) -> std::ffi::OsString {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let destination = real(destination);
    let home = real(state.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")));
    let key = destination.strip_prefix(&home).unwrap_or(&destination).as_os_str().as_bytes();
    let mut name = String::from("root");
    if !key.is_empty() {
        name.clear();
        for byte in key {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
                name.push(char::from(*byte));
            } else {
                let _ = std::fmt::Write::write_fmt(&mut name, format_args!("%{byte:02x}"));
            }
        }
        // A file name holds 255 bytes, and `.part-…` and `.new` are appended to this one.
        if name.len() > 160 || name == "root" {
            name.truncate(100);
            name.push_str("%-");
            name.push_str(&blake3::hash(key).to_hex()[..32]);
        }
    }
    name.into()
}
