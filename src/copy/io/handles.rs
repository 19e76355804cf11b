//! How many file descriptors a copy may keep open.

/// How many directories may be kept open: half of what the process may have, the rest is for files and the caller.
pub(crate) fn budget() -> usize {
    half().max(64).saturating_sub(32)
}

/// Half of the descriptors that the process may have, up to 4096.
pub(crate) fn half() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1 << 20);
    usize::try_from(limit / 2).unwrap_or(4096).min(4096)
}
