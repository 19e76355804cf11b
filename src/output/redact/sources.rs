//! Reads secrets from named environment variables, files and directories (a mounted Secret), and literals, once, before
//! the first step. Problems are reported with the name, never the value.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::support::cause::words;
use crate::support::small_file;

/// Shorter values occur by chance: masking them would spoil the log and even reveal them.
const SHORTEST: usize = 6;

/// A whole Secret holds at most 1 MiB (Kubernetes, "Secrets"). A longer single value is no password or key.
const LONGEST: usize = 64 * 1024;
/// How many bytes of a file are read.
const LARGEST_FILE: u64 = 1 << 20;

/// The `redact` of a hook. Trailing newlines come from how a value was written (`echo … | base64`) and are not part of
/// the secret: programs that use it strip them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    pub env: Vec<OsString>,
    /// Files, each a secret, and directories of such files.
    pub files: Vec<PathBuf>,
    pub literals: Vec<OsString>,
}

/// A file with a secret cannot be read. Going on would publish the secret.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the secret to redact from {}: {}", path.display(), words(source))]
pub struct SourceError {
    pub path: PathBuf,
    #[source]
    pub source: io::Error,
}

impl Sources {
    /// The secrets, and warnings about those that cannot be redacted.
    pub fn read(&self) -> Result<(Vec<Vec<u8>>, Vec<String>), SourceError> {
        let mut taken = Taken::default();
        for name in &self.env {
            match std::env::var_os(name) {
                Some(value) => {
                    taken.take(value.into_vec(), || format!("environment variable {}", name.display()));
                }
                None => taken.warnings.push(format!(
                    "redact: environment variable {} is not set, so there is nothing to redact for it",
                    name.display()
                )),
            }
        }
        for path in &self.files {
            taken.take_path(path)?;
        }
        for (number, literal) in (1..).zip(&self.literals) {
            taken.take(literal.as_bytes().to_vec(), || format!("--redact number {number}"));
        }
        Ok((taken.secrets, taken.warnings))
    }
}

#[derive(Default)]
struct Taken {
    secrets: Vec<Vec<u8>>,
    warnings: Vec<String>,
}

impl Taken {
    fn take_path(&mut self, path: &Path) -> Result<(), SourceError> {
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |source| SourceError { path, source }
        };
        if !fs::metadata(path).map_err(failed(path))?.is_dir() {
            return self.take_file(path).map_err(failed(path));
        }
        let mut files = Vec::new();
        for entry in fs::read_dir(path).map_err(failed(path))? {
            let entry = entry.map_err(failed(path))?;
            // The kubelet keeps versions of a mounted Secret in entries with two leading dots; the keys are links into
            // them.
            if !entry.file_name().as_bytes().starts_with(b"..") {
                files.push(entry.path());
            }
        }
        files.sort();
        for file in files {
            if fs::metadata(&file).map_err(failed(&file))?.is_file() {
                self.take_file(&file).map_err(failed(&file))?;
            }
        }
        Ok(())
    }

    fn take_file(&mut self, path: &Path) -> io::Result<()> {
        let value = small_file::read(path, LARGEST_FILE)?;
        self.take(value, || format!("file {}", path.display()));
        Ok(())
    }

    fn take(&mut self, mut value: Vec<u8>, name: impl FnOnce() -> String) {
        while let Some(b'\n' | b'\r') = value.last() {
            value.pop();
        }
        if value.len() < SHORTEST {
            self.warnings.push(format!(
                "redact: the value of {} is shorter than {SHORTEST} bytes and is NOT redacted; use a longer one",
                name()
            ));
        } else if value.len() > LONGEST {
            self.warnings.push(format!(
                "redact: the value of {} is longer than {LONGEST} bytes and is NOT redacted",
                name()
            ));
        } else {
            self.secrets.push(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_values_are_refused_by_name_and_not_by_value() {
        let sources = Sources { literals: vec!["short".into(), "longer".into()], ..Sources::default() };
        let (secrets, warnings) = sources.read().expect("no files");
        assert_eq!(secrets, [b"longer"]);
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("--redact number 1") && !warnings[0].contains("short "), "{warnings:?}");
    }

    #[test]
    fn newlines_at_the_end_are_no_part_of_a_secret_wherever_it_comes_from() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("key"), "in a file\r\n\n").expect("a file");
        let sources = Sources {
            files: vec![directory.path().into()],
            literals: vec!["as it is\n".into(), "two\nlines\n".into(), "12345\n\n".into()],
            ..Sources::default()
        };
        let (secrets, warnings) = sources.read().expect("a file");
        assert_eq!(secrets, [&b"in a file"[..], b"as it is", b"two\nlines"]);
        assert!(matches!(&*warnings, [warning] if warning.contains("--redact number 3")), "{warnings:?}");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error() {
        let sources = Sources { files: vec!["/nonexistent/secret".into()], ..Sources::default() };
        let error = sources.read().expect_err("there is no such file");
        assert!(error.to_string().contains("/nonexistent/secret"));
    }
}
