//! Selects source entries by `exclude` and `include`, in gitignore(5) syntax relative to the source. As there, the last
//! matching pattern decides, `!` re-includes, and nothing below an excluded directory can be re-included.

use gix_glob::pattern::Case;
use gix_glob::wildmatch::Mode;

use crate::copy::error::Error;
use crate::copy::io::path::{join, parent};
use crate::copy::options::Options;
use crate::copy::pattern::pattern;

#[derive(Debug, Default)]
pub(crate) struct Filter {
    exclude: Vec<gix_glob::Pattern>,
    include: Vec<gix_glob::Pattern>,
}

impl Filter {
    pub(crate) fn new(options: &Options) -> Result<Self, Error> {
        Ok(Self {
            exclude: parse("exclude", &options.exclude)?,
            include: parse("include", &options.include)?,
        })
    }

    /// Whether there are include patterns. Then a directory is only created when something is put into it.
    pub(crate) fn is_selective(&self) -> bool {
        !self.include.is_empty()
    }

    /// Whether there are no patterns at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.exclude.is_empty() && self.include.is_empty()
    }

    /// Whether a directory or one of its parents is left out.
    pub(crate) fn skips_below(&self, dir: &[u8]) -> bool {
        let above = || std::iter::successors(Some(dir), |path| parent(path)).filter(|path| !path.is_empty());
        !self.is_empty() && above().any(|path| matches(&self.exclude, path, true))
    }

    /// Whether the entry `name` of the directory `dir` is left out.
    pub(crate) fn skips(&self, dir: &[u8], name: &[u8], is_dir: bool) -> bool {
        if self.is_empty() {
            return false;
        }
        let path = join(dir, name);
        matches(&self.exclude, &path, is_dir) || self.is_selective() && !is_dir && !self.includes(&path)
    }

    /// Whether the file itself or a directory above it is included.
    fn includes(&self, path: &[u8]) -> bool {
        let ends = path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at);
        ends.map(|end| (&path[..end], true))
            .chain([(path, false)])
            .any(|(p, dir)| matches(&self.include, p, dir))
    }
}

fn parse(option: &str, patterns: &[String]) -> Result<Vec<gix_glob::Pattern>, Error> {
    let one = |text: &String| {
        pattern(text)
            .ok_or_else(|| Error::request(format!("the pattern '{text}' of {option} is empty or a comment")))
    };
    patterns.iter().map(one).collect()
}

/// Warnings about patterns that can match nothing: an unclosed bracket, or a first pattern with `!`, before which
/// nothing is excluded.
pub(crate) fn doubts(options: &Options) -> Vec<String> {
    let mut doubts = Vec::new();
    for (option, patterns) in [("exclude", &options.exclude), ("include", &options.include)] {
        for (at, text) in patterns.iter().enumerate() {
            if text.starts_with('!') && !patterns[..at].iter().any(|earlier| !earlier.starts_with('!')) {
                doubts.push(format!("--{option} {text}: there is nothing before it that it could take back"));
            } else if is_open(text) {
                doubts
                    .push(format!("--{option} {text}: a bracket is not closed, so that it matches nothing"));
            }
        }
    }
    doubts
}

/// Whether a bracket expression is not closed. A `]` right after the bracket, or after its `!` or `^`, is an ordinary
/// character.
fn is_open(pattern: &str) -> bool {
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => drop(rest.next()),
            '[' => {
                let inner: String = rest.clone().collect();
                let start = inner.len() - inner.trim_start_matches(['!', '^']).len();
                let skip = start + usize::from(inner[start..].starts_with(']'));
                match inner[skip..].find(']') {
                    Some(end) => rest.nth(inner[..=skip + end].chars().count() - 1).map_or((), drop),
                    None => return true,
                }
            }
            _ => {}
        }
    }
    false
}

fn matches(patterns: &[gix_glob::Pattern], path: &[u8], is_dir: bool) -> bool {
    let basename = path.iter().rposition(|b| *b == b'/').map(|at| at + 1);
    patterns
        .iter()
        .rev()
        .find(|pattern| {
            pattern.matches_repo_relative_path(
                path.into(),
                basename,
                Some(is_dir),
                Case::Sensitive,
                Mode::NO_MATCH_SLASH_LITERAL,
            )
        })
        .is_some_and(|pattern| !pattern.is_negative())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(exclude: &[&str], include: &[&str]) -> Filter {
        let owned = |patterns: &[&str]| patterns.iter().map(|p| (*p).to_owned()).collect();
        Filter::new(&Options { exclude: owned(exclude), include: owned(include), ..Options::default() })
            .unwrap()
    }

    #[test]
    fn patterns_mean_what_they_mean_in_a_gitignore() {
        let f = filter(&["**/__pycache__", "/build", "*.log", "!keep.log", "tmp/"], &[]);
        for (dir, name, is_dir, skipped) in [
            ("a/b", "__pycache__", true, true),
            ("", "build", true, true),
            ("sub", "build", true, false),
            ("sub", "x.log", false, true),
            ("sub", "keep.log", false, false),
            ("", "tmp", true, true),
            ("", "tmp", false, false),
        ] {
            assert_eq!(f.skips(dir.as_bytes(), name.as_bytes(), is_dir), skipped, "{dir}/{name}");
        }
        assert!(f.skips(b"\xff", b"\xfe.log", false));
    }

    #[test]
    fn with_includes_only_what_matches_takes_part_and_excludes_win() {
        let f = filter(&["secret.html"], &["*.html", "/static"]);
        assert!(!f.skips(b"a", b"x.html", false));
        assert!(!f.skips(b"static/css", b"x.css", false));
        assert!(f.skips(b"other/static", b"x.css", false));
        assert!(f.skips(b"a", b"secret.html", false));
        assert!(!f.skips(b"", b"a", true));
    }

    #[test]
    fn a_pattern_that_cannot_match_is_told() {
        let doubts = |patterns: &[&str]| {
            let exclude = patterns.iter().map(|p| (*p).to_owned()).collect();
            doubts(&Options { exclude, ..Options::default() }).len()
        };
        for (patterns, told) in [
            (&["[z-a"][..], 1),
            (&["!x"], 1),
            (&["*.log", "!x.log"], 0),
            (&["[ab]c", "[]]", "[!]a]", "\\[a", "a]"], 0),
            (&["a[b", "[!"], 2),
        ] {
            assert_eq!(doubts(patterns), told, "{patterns:?}");
        }
    }

    #[test]
    fn a_pattern_that_says_nothing_is_refused() {
        assert!(Filter::new(&Options { exclude: vec!["# x".into()], ..Options::default() }).is_err());
    }
}
