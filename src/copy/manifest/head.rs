//! The head of a manifest: its owner and what goes for all records.

use crate::copy::manifest::text::{Time, escape, parse_time, unescape, write_time};

pub(super) const HEADER: &[u8] = b"hook-runner manifest 2\n";
pub(super) const HEADER_0_1: &[u8] = b"hook-runner manifest 1\n";

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// The name of the copy that wrote the manifest.
    pub(crate) owner: Vec<u8>,
    /// When this owner first copied into this destination, in nanoseconds since the epoch; `None` in a manifest of
    /// version 0.1.
    pub(crate) since: Option<u64>,
    /// The `--source-version` of the last copy.
    pub(crate) source_version: Option<Vec<u8>>,
    /// What the volume cannot store, in words; such a difference is ignored.
    pub(crate) lacks: Option<String>,
    /// Links on the volume that lead to directories were followed.
    pub(crate) follows: bool,
    /// When the records with the flag `x` were last compared with the volume.
    pub(crate) compared: Option<Time>,
}

impl Head {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let line = |out: &mut Vec<u8>, word: &[u8], value: &[u8]| {
            out.extend_from_slice(word);
            escape(value, out);
            out.push(b'\n');
        };
        line(out, b"owner ", &self.owner);
        if let Some(since) = self.since {
            line(out, b"since ", since.to_string().as_bytes());
        }
        if let Some(version) = &self.source_version {
            line(out, b"version ", version);
        }
        if let Some(lacks) = &self.lacks {
            line(out, b"lacks ", lacks.as_bytes());
        }
        if self.follows {
            line(out, b"follows ", b"links");
        }
        if let Some(compared) = self.compared {
            let mut time = Vec::new();
            write_time(compared, &mut time);
            line(out, b"compared ", &time);
        }
    }

    /// Reads a line of the head; false for any other line.
    pub(super) fn read(&mut self, line: &[u8]) -> bool {
        let value = |word: &[u8]| line.strip_prefix(word).and_then(unescape);
        if let Some(owner) = value(b"owner ") {
            self.owner = owner.into_owned();
        } else if let Some(since) = value(b"since ") {
            self.since = std::str::from_utf8(&since).ok().and_then(|text| text.parse().ok());
        } else if let Some(version) = value(b"version ") {
            self.source_version = Some(version.into_owned());
        } else if let Some(lacks) = value(b"lacks ") {
            self.lacks = Some(String::from_utf8_lossy(&lacks).into_owned());
        } else if value(b"follows ").is_some() {
            self.follows = true;
        } else if let Some(compared) = value(b"compared ") {
            self.compared = parse_time(&compared);
        } else {
            return false;
        }
        true
    }
}
