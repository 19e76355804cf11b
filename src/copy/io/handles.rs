//! Limits for open file descriptors.

/// How many directories may stay open: half of the process's limit. The rest is for files and for the caller.
pub(crate) fn budget() -> usize {
    half().max(64).saturating_sub(32)
}

/// Half of the process's descriptor limit, at most 4096.
pub(crate) fn half() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1 << 20);
    usize::try_from(limit / 2).unwrap_or(4096).min(4096)
}
