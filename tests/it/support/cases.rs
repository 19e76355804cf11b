//! How many of its cases a test tries.

/// A test that tries many cases alike tries one in `number` of them each day, and all where `EVERY_CASE` is set.
pub(crate) fn one_in(number: usize) -> usize {
    if std::env::var_os("EVERY_CASE").is_some() { 1 } else { number }
}
