//! What a copy did: counts for the summary, and lists of what the reader has to act on.

use std::fmt::Write as _;
use std::sync::Arc;

use serde::Serialize;

use crate::copy::lists::{Changes, EntryPath, LISTED, List, is_zero};
use crate::copy::options::Options;
use crate::copy::tree::place::Place;
use crate::support::sizes::human_bytes;

/// What a copy did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Regular files written, hard links included.
    pub files: u64,
    /// Directories created.
    pub dirs: u64,
    /// Symbolic links created.
    pub links: u64,
    /// Bytes of content written.
    pub bytes: u64,
    /// Entries that needed no change.
    pub unchanged: u64,
    /// Entries of which only mode, owner or attributes were repaired.
    pub metadata: u64,
    pub removed: u64,
    /// Entries that stayed although the image has something else.
    pub kept: u64,
    /// What became of which entry.
    #[serde(skip_serializing_if = "Changes::is_empty")]
    pub changes: Changes,
    /// For a dry run: what would be done (`create`, `replace`, `remove`, `keep`) and the path.
    #[serde(skip_serializing_if = "List::is_empty")]
    pub plan: List,
    /// Files that the user and the image both changed; the image's version is beside them as `NAME.from-image`.
    #[serde(skip_serializing_if = "List::is_empty")]
    pub conflicts: List<EntryPath>,
    /// For each of these a sentence that says where the image's version is.
    #[serde(skip)]
    pub beside: List,
    /// Entries of a later copy, which this one left to it.
    #[serde(skip_serializing_if = "List::is_empty")]
    pub left_to_others: List<EntryPath>,
    /// Entries that this copy no longer has but an earlier one has: its next run installs them.
    #[serde(skip_serializing_if = "List::is_empty")]
    pub given_back: List<EntryPath>,
    /// FIFOs, sockets and devices of the source, which are not copied.
    #[serde(skip_serializing_if = "List::is_empty")]
    pub skipped: List<EntryPath>,
    /// Source files that changed while they were being copied.
    #[serde(skip_serializing_if = "List::is_empty")]
    pub changed_source: List<EntryPath>,
    /// Metadata that this user or volume does not permit (`owner`, `xattr user.a`), each once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_permitted: Vec<String>,
    /// Remarks about the state found: an unreadable manifest, an emptied volume.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
    /// Leftovers of an interrupted copy that were removed.
    #[serde(skip_serializing_if = "is_zero")]
    pub leftovers: u64,
    /// The directory that was copied into.
    #[serde(skip)]
    pub place: Option<Arc<Place>>,
}

impl Report {
    /// An empty report whose lists are as long as the options ask for.
    pub(crate) fn listing(options: &Options) -> Self {
        let mut report = Self::default();
        (report.plan.whole, report.changes.most) =
            (options.dry_run, options.listed_changes.unwrap_or(LISTED));
        report
    }

    /// An empty report with the same limits.
    pub(crate) fn like(&self) -> Self {
        let mut report = Self::default();
        (report.plan.whole, report.changes.most) = (self.plan.whole, self.changes.most);
        report
    }

    /// Lines about what is no failure but needs attention: conflicts, skipped entries, what was not permitted.
    pub fn warnings(&self) -> Vec<String> {
        let lists = [
            (&self.left_to_others, "belongs to a later copy and was left to it"),
            (&self.given_back, "belongs to an earlier copy: run that copy again to install it"),
            (&self.skipped, "is neither file, directory nor link, and was not copied"),
            (&self.changed_source, "changed in the source while it was copied"),
        ];
        let mut warnings = self.remarks.clone();
        warnings.extend(self.beside.items.iter().cloned());
        if self.beside.more > 0 {
            warnings.push(format!(
                "{} more are in conflict; the image's versions are beside them",
                self.beside.more
            ));
        }
        for (list, what) in lists {
            warnings.extend(list.items.iter().map(|item| format!("{item} {what}")));
            if list.more > 0 {
                warnings.push(format!("{} more {what}", list.more));
            }
        }
        if !self.not_permitted.is_empty() {
            warnings.push(format!("not permitted here, so not kept: {}", self.not_permitted.join(", ")));
        }
        warnings
    }

    /// Whether anything was changed, or would be in a dry run.
    pub fn changed(&self) -> bool {
        self.files + self.dirs + self.links + self.metadata + self.removed > 0
    }

    /// A one-line summary.
    pub fn summary(&self) -> String {
        let files = if self.files == 1 { "file" } else { "files" };
        let mut line = format!("{} {files} ({}) copied", self.files, human_bytes(self.bytes));
        for (count, what) in [
            (self.dirs, if self.dirs == 1 { "directory" } else { "directories" }),
            (self.links, if self.links == 1 { "symbolic link" } else { "symbolic links" }),
            (self.metadata, "with metadata set right"),
            (self.unchanged, "unchanged"),
            (self.removed, "removed"),
            (self.kept, "kept as the volume has them"),
            (self.conflicts.len(), "in conflict"),
            (self.left_to_others.len(), "left to a later copy"),
            (
                self.skipped.len(),
                if self.skipped.len() == 1 { "special file skipped" } else { "special files skipped" },
            ),
            (self.changed_source.len(), "changed in the source meanwhile"),
        ] {
            if count > 0 {
                let _ = write!(line, ", {count} {what}");
            }
        }
        if !self.not_permitted.is_empty() {
            let _ = write!(line, "; not permitted: {}", self.not_permitted.join(", "));
        }
        line
    }

    /// Adds another worker's report.
    pub(crate) fn merge(&mut self, other: Self) {
        self.files += other.files;
        self.dirs += other.dirs;
        self.links += other.links;
        self.bytes += other.bytes;
        self.unchanged += other.unchanged;
        self.metadata += other.metadata;
        self.removed += other.removed;
        self.kept += other.kept;
        self.leftovers += other.leftovers;
        self.plan.merge(other.plan);
        self.changes.merge(other.changes);
        self.conflicts.merge(other.conflicts);
        self.beside.merge(other.beside);
        self.left_to_others.merge(other.left_to_others);
        self.given_back.merge(other.given_back);
        self.skipped.merge(other.skipped);
        self.changed_source.merge(other.changed_source);
        for item in other.not_permitted {
            if !self.not_permitted.contains(&item) {
                self.not_permitted.push(item);
            }
        }
        self.remarks.extend(other.remarks);
    }

    /// Sorts the lists: workers finish in any order.
    pub(crate) fn sort(&mut self) {
        self.plan.items.sort_unstable();
        self.beside.items.sort_unstable();
        for list in [
            &mut self.conflicts,
            &mut self.left_to_others,
            &mut self.given_back,
            &mut self.skipped,
            &mut self.changed_source,
        ] {
            list.items.sort_unstable();
        }
        self.changes.items.sort_unstable();
        self.not_permitted.sort_unstable();
    }
}

/// The result of `verify`. Paths are relative to the destination.
#[derive(Debug, Clone, Default, Serialize)]
pub struct VerifyReport {
    /// Entries that match the manifest.
    pub matching: u64,
    /// Entries with another type, content or link target.
    pub modified: List<EntryPath>,
    /// Entries that differ only in permission bits.
    pub mode: List<EntryPath>,
    /// Entries that are missing.
    pub missing: List<EntryPath>,
    /// Entries that this user may not read: not compared.
    pub denied: List<EntryPath>,
    /// Entries that a copy left to the user, which are not compared.
    pub kept: u64,
    /// Those entries.
    pub users: List<EntryPath>,
    /// Entries that no copy installed, in directories that copies made or filled.
    pub added: List<EntryPath>,
}

impl VerifyReport {
    /// Whether the volume matches the manifests.
    pub fn is_clean(&self) -> bool {
        self.modified.is_empty() && self.mode.is_empty() && self.missing.is_empty()
    }

    /// A one-line summary.
    pub fn summary(&self) -> String {
        let denied = match self.denied.len() {
            0 => String::new(),
            denied => format!(", {denied} not readable"),
        };
        format!(
            "{} as installed, {} modified, {} with another mode, {} missing, {} kept by the user{denied}",
            self.matching,
            self.modified.len(),
            self.mode.len(),
            self.missing.len(),
            self.kept
        )
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.matching += other.matching;
        self.kept += other.kept;
        self.users.merge(other.users);
        self.added.merge(other.added);
        self.modified.merge(other.modified);
        self.mode.merge(other.mode);
        self.missing.merge(other.missing);
        self.denied.merge(other.denied);
    }

    pub(crate) fn sort(&mut self) {
        let Self { modified, mode, missing, denied, users, added, .. } = self;
        for list in [modified, mode, missing, denied, users, added] {
            list.items.sort_unstable();
        }
    }
}
