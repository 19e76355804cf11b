//! The name of a source's content (`--source-version`, an image's digest). If it is unchanged, the source need not be
//! read.

use crate::copy::options::Options;

/// The name, combined with a digest of the options that decide what is installed.
pub(crate) fn source_version(version: &str, options: &Options) -> Vec<u8> {
    let Options { policy, prune, exclude, include, chown, chmod, dereference, .. } = options;
    let decisive = format!("{policy} {prune} {exclude:?} {include:?} {chown:?} {chmod:?} {dereference}");
    let short = blake3::hash(decisive.as_bytes()).to_hex()[..16].to_owned();
    format!("{version} {short}").into_bytes()
}
