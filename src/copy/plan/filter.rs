//! Selects source entries by `exclude` and `include`, in gitignore(5) syntax relative to the source. As there, the last
//! matching pattern decides, `!` re-includes, and nothing below an excluded directory can be re-included.

use std::sync::atomic::{AtomicBool, Ordering};

use gix_glob::pattern::Case;
use gix_glob::wildmatch::Mode;

use crate::copy::error::Error;
use crate::copy::io::path::{join, parent};
use crate::copy::options::Options;
use crate::copy::pattern::{pattern, pattern_mistake};

#[derive(Debug, Default)]
pub(crate) struct Filter {
    exclude: Vec<gix_glob::Pattern>,
    include: Vec<gix_glob::Pattern>,
    /// The include patterns as given, and whether one of the source's files was met that each matches.
    met: Vec<(String, AtomicBool)>,
}

impl Filter {
    pub(crate) fn new(options: &Options) -> Result<Self, Error> {
        Ok(Self {
            exclude: parse("exclude", &options.exclude)?,
            include: parse("include", &options.include)?,
            met: options.include.iter().map(|text| (text.clone(), text.starts_with('!').into())).collect(),
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
        with_those_above(path).any(|(p, dir)| matches(&self.include, p, dir))
    }

    /// Notes which include patterns match a file of the source that takes part.
    pub(crate) fn meet(&self, dir: &[u8], name: &[u8]) {
        let open = || self.include.iter().zip(&self.met).filter(|(_, (_, met))| !met.load(Ordering::Relaxed));
        if open().next().is_none() {
            return;
        }
        let path = join(dir, name);
        for (pattern, (_, met)) in open() {
            met.store(with_those_above(&path).any(|(p, dir)| is_match(pattern, p, dir)), Ordering::Relaxed);
        }
    }

    /// The include patterns that matched no file of the source.
    pub(crate) fn not_met(&self) -> impl Iterator<Item = &str> {
        self.met.iter().filter(|(_, met)| !met.load(Ordering::Relaxed)).map(|(text, _)| text.as_str())
    }
}

/// A file's path and those of the directories above it, each with whether it is a directory.
fn with_those_above(path: &[u8]) -> impl Iterator<Item = (&[u8], bool)> {
    let ends = path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at);
    ends.map(|end| (&path[..end], true)).chain([(path, false)])
}

fn parse(option: &str, patterns: &[String]) -> Result<Vec<gix_glob::Pattern>, Error> {
    let one = |text: &String| match pattern_mistake(text) {
        Some(mistake) => Err(Error::request(format!("{option}: {mistake}"))),
        None => Ok(pattern(text)),
    };
    patterns.iter().filter_map(|text| one(text).transpose()).collect()
}

/// Warnings about patterns that take back what nothing has excluded.
pub(crate) fn doubts(options: &Options) -> Vec<String> {
    let mut doubts = Vec::new();
    for (option, patterns) in [("exclude", &options.exclude), ("include", &options.include)] {
        for (at, text) in patterns.iter().enumerate() {
            if text.starts_with('!') && !patterns[..at].iter().any(|earlier| !earlier.starts_with('!')) {
                doubts.push(format!("--{option} {text}: there is nothing before it that it could take back"));
            }
        }
    }
    doubts
}

fn matches(patterns: &[gix_glob::Pattern], path: &[u8], is_dir: bool) -> bool {
    patterns
        .iter()
        .rev()
        .find(|pattern| is_match(pattern, path, is_dir))
        .is_some_and(|pattern| !pattern.is_negative())
}

fn is_match(pattern: &gix_glob::Pattern, path: &[u8], is_dir: bool) -> bool {
    let basename = path.iter().rposition(|b| *b == b'/').map(|at| at + 1);
    let mode = Mode::NO_MATCH_SLASH_LITERAL;
    pattern.matches_repo_relative_path(path.into(), basename, Some(is_dir), Case::Sensitive, mode)
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
    fn a_pattern_that_takes_nothing_back_is_told() {
        for (patterns, told) in [(&["!x"][..], 1), (&["*.log", "!x.log"], 0), (&["!x", "!y", "z"], 2)] {
            let exclude = patterns.iter().map(|p| (*p).to_owned()).collect();
            assert_eq!(doubts(&Options { exclude, ..Options::default() }).len(), told, "{patterns:?}");
        }
    }

    #[test]
    fn each_include_that_matches_no_file_is_told() {
        let f = filter(&[], &["*.html", "!b.html", "/static", "sttaic", "*.css"]);
        for (dir, name) in [("", "a.html"), ("static", "x.css")] {
            f.meet(dir.as_bytes(), name.as_bytes());
        }
        assert_eq!(f.not_met().collect::<Vec<_>>(), ["sttaic"]);
    }

    #[test]
    fn a_pattern_that_matches_nothing_is_refused() {
        for text in ["# x", "./x"] {
            assert!(Filter::new(&Options { exclude: vec![text.into()], ..Options::default() }).is_err());
        }
    }
}
