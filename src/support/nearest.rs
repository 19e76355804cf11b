//! "Did you mean …?" for misspelt names.

/// The known name most like `name`, if it is similar enough.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = |known: &'a str| (strsim::jaro_winkler(name, known), known);
    let best = known.into_iter().map(near).max_by(|one, other| one.0.total_cmp(&other.0))?;
    (best.0 > 0.8).then_some(best.1)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_misspelt_name_finds_the_one_that_was_meant() {
        let known = ["log", "log-mode", "timeout", "steps"];
        assert_eq!(nearest("timout", known), Some("timeout"));
        assert_eq!(nearest("logg", known), Some("log"));
        assert_eq!(nearest("stesp", known), Some("steps"));
        assert_eq!(nearest("colour", known), None);
    }
}
