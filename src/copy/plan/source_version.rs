//! What a source is called that need not be read when it is called so again (`--source-version`, an image's digest).

use crate::copy::options::Options;

/// What the source is called, with what else decides what becomes of it.
pub(crate) fn source_version(version: &str, options: &Options) -> Vec<u8> {
    let Options { policy, prune, exclude, include, chown, chmod, dereference, .. } = options;
    let decisive = format!("{policy} {prune} {exclude:?} {include:?} {chown:?} {chmod:?} {dereference}");
    let short = blake3::hash(decisive.as_bytes()).to_hex()[..16].to_owned();
    format!("{version} {short}").into_bytes()
}
