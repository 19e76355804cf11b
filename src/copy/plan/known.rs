//! What is known of earlier copies: the manifest in force, other owners, and the journal; compares the volume with it.
//! Changes nothing.

use std::ffi::{CStr, CString, OsString};
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FileType, Stat};

use crate::copy::earlier;
use crate::copy::error::Error;
use crate::copy::journal::noted::{is_noted, is_pruned, is_there};
use crate::copy::journal::read::Intent;
use crate::copy::manifest::{Head, Kind, Manifest, Payload, Reading, Record};
use crate::copy::options::{Options, Policy};
use crate::copy::own_files::OwnFiles;
use crate::copy::plan::compare::{Baseline, Look, compare_content, looks_as_left};
use crate::copy::plan::emptied::is_emptied;
use crate::copy::plan::layers::{Layers, came};
use crate::copy::plan::scope::Scope;
use crate::copy::plan::source_version::source_version;
use crate::copy::report::Report;
use crate::copy::request::{Request, owner_of};
use crate::copy::tree::entry::{DirContext, Entry};
use crate::copy::tree::roots::Roots;
use crate::copy::tree::worker::Worker;
use crate::support::rooted_dir::Dir;

/// What is known of earlier copies into the destination.
pub(crate) struct Known<'a> {
    pub(crate) roots: &'a Roots,
    pub(crate) scope: &'a Scope,
    pub(crate) options: &'a Options,
    /// The manifest in force.
    pub(crate) old: Manifest,
    /// The head of the next manifest.
    pub(crate) head: Head,
    /// The directory and name of the manifest in force, if version 0.1 wrote it.
    pub(crate) brought_over: Option<(Dir, OsString)>,
    /// The other owners of entries on the volume.
    pub(crate) layers: Layers,
    /// What interrupted copies were about to install.
    pub(crate) intent: Intent,
    /// Differences from the manifest are changes of a run: one that did not end well, or this one.
    pub(crate) changed_by_run: bool,
    /// That run has ended.
    pub(crate) run_is_over: bool,
    /// A run is at work on this volume: differences count as its edits and are left.
    pub(crate) beside_run: bool,
    /// Steps follow this copy and expect the image's version.
    pub(crate) steps_follow: bool,
    /// The volume was emptied by hand: no absence counts as an edit.
    pub(crate) emptied: bool,
    /// A file was touched since the manifest was written, and its content was read.
    pub(crate) looked: AtomicBool,
    /// A record took no part in this copy.
    pub(crate) left_out: AtomicBool,
}

impl<'a> Known<'a> {
    /// Reads what earlier copies left, and adds remarks about anything unusual to the report.
    pub(crate) fn read(
        request: &'a Request,
        (roots, scope): (&'a Roots, &'a Scope),
        files: &OwnFiles,
        report: &mut Report,
    ) -> Result<Self, Error> {
        let failed = |e| Error::system("read the state of", &roots.path, e);
        let (options, shares) = (&request.options, scope.shares.as_ref());
        let (mut old, mut intent, mut unfinished, mut brought_over) =
            (Manifest::default(), Intent::default(), None, None);
        if let Some(state) = &files.state {
            unfinished = state.unfinished_run(&files.manifest).map_err(failed)?;
            intent = Intent::read(files, request, shares).map_err(failed)?;
            match files.base(state).map_err(failed)? {
                Reading::Read(manifest) => old = manifest,
                Reading::Absent => {
                    if let Some((manifest, dir, name)) =
                        earlier::read(request, &roots.path).map_err(failed)?
                    {
                        (old, brought_over) = (manifest, Some((dir, name)));
                    }
                }
                Reading::Unusable => report.remarks.push(
                    "the manifest cannot be read: everything is compared as in a first copy".to_owned(),
                ),
            }
        }
        // In a dry run without a destination, the source stands in for it and is not looked at as a destination.
        let is_there = !(roots.created && options.dry_run);
        let (mut layers, mut emptied) = (Layers::default(), false);
        if is_there {
            let since = old.head.since.filter(|since| came_last(request, *since));
            layers = Layers::read(&roots.path, &files.manifest, since, request.later.as_deref())
                .map_err(failed)?;
            emptied =
                is_emptied(&old, &roots.destination).map_err(|e| Error::system("read", &roots.path, e))?;
        }
        if emptied {
            report.remarks.push("nothing of the last copy is left on the volume: copied again".to_owned());
        }
        let is_own = unfinished.as_ref().is_some_and(|run| run.run == request.run);
        // What this run's own steps have changed is installed again by its next copy, because the hook says so.
        let at_work = is_own && request.beside_run
            || !request.steps_follow && unfinished.as_ref().is_some_and(|run| run.at_work);
        let head = Head {
            owner: owner_of(request),
            since: Some(layers.since()),
            source_version: options.source_version.as_ref().map(|version| source_version(version, options)),
            follows: options.follow_destination_links,
            ..old.head.clone()
        };
        Ok(Self {
            roots,
            scope,
            options,
            old,
            head,
            brought_over,
            layers: layers.following(roots.follow),
            intent,
            changed_by_run: unfinished.is_some() && !at_work,
            run_is_over: unfinished.is_some() && !at_work && !is_own,
            beside_run: request.beside_run || at_work,
            steps_follow: request.steps_follow,
            emptied,
            looked: AtomicBool::new(false),
            left_out: AtomicBool::new(false),
        })
    }

    /// Closes the manifests, which are read lazily: some network volumes cannot replace an open file. Nothing can be
    /// read from them afterwards.
    pub(crate) fn close_manifests(&self) {
        self.old.close();
        self.intent.notes().for_each(Manifest::close);
    }

    pub(crate) fn policy(&self) -> Policy {
        self.options.policy
    }

    /// Whether the volume has this content under the name; reads it.
    pub(crate) fn has_content(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        entry: Entry<'_>,
        wanted: Payload<'_>,
    ) -> Result<bool, Error> {
        let (Some(made), Some(stat)) = (here.made, entry.volume) else { return Ok(false) };
        compare_content(made, entry.name, wanted, stat, &mut worker.other)
            .map_err(|e| self.roots.volume_error("compare", &here.child(entry.name), e))
    }

    /// Whether the volume has what was left. Reads the content, for a directory of everything in it.
    pub(crate) fn is_as_left(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        entry: Entry<'_>,
    ) -> Result<bool, Error> {
        let Some(record) = entry.record.filter(|record| !record.flags.kept) else { return Ok(false) };
        let Some(left) = record.payload_left() else { return Ok(false) };
        if let (Kind::Dir, Some(made), Some(stat)) = (left.kind, here.made, entry.volume)
            && FileType::from_raw_mode(stat.st_mode) == FileType::Directory
        {
            let path = here.child(entry.name);
            let installed = self.installed_below(made, entry.name, &path);
            return installed
                .map(|found| found.is_some())
                .map_err(|e| self.roots.volume_error("compare", &path, e));
        }
        self.has_content(worker, here, entry, left)
    }

    /// Whether the volume has what was left. Reads the content only if the status does not tell.
    pub(crate) fn is_left(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        entry: Entry<'_>,
    ) -> Result<bool, Error> {
        let (Some(record), Some(stat)) = (entry.record, entry.volume) else { return Ok(false) };
        let since = Baseline::of(&self.old);
        let since = if self.options.trust_mtime { since.trusted() } else { since };
        let look = looks_as_left(here.made, entry.name, record, stat, since)
            .map_err(|e| self.roots.volume_error("compare", &here.child(entry.name), e))?;
        match (look, record.payload_left()) {
            (Look::AsLeft, _) if !record.flags.kept => Ok(true),
            // Where a user's version was kept, a newer manifest does not tell that this is as left.
            (Look::AsLeft | Look::Ask, Some(left)) => {
                self.looked.store(true, Ordering::Relaxed);
                self.has_content(worker, here, entry, left)
            }
            _ => Ok(false),
        }
    }

    /// Another owner's record that matches the volume's entry.
    pub(crate) fn base_of(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        name: &CStr,
        volume: Option<&Stat>,
    ) -> Result<Option<Record<'static>>, Error> {
        let (Some(made), Some(stat)) = (here.made, volume) else { return Ok(None) };
        for record in worker.claims.records(name.to_bytes()) {
            let Some(left) = record.payload_left().filter(|_| !record.flags.kept) else { continue };
            let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            let same = is_dir && left.kind == Kind::Dir
                || compare_content(made, name, left, stat, &mut worker.other)
                    .map_err(|e| self.roots.volume_error("compare", &here.child(name), e))?;
            if same {
                return Ok(Some(record.clone()));
            }
        }
        Ok(None)
    }

    /// Whether an interrupted copy was about to install this.
    pub(crate) fn intended(&self, dir: &[u8], name: &CStr) -> bool {
        self.intent.notes().any(|note| is_noted(note, dir, name.to_bytes()))
    }

    /// The noted record of a file or link, if the volume matches it and the manifest in force does not.
    pub(crate) fn as_noted(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        entry: Entry<'_>,
    ) -> Result<Option<Record<'static>>, Error> {
        let (Some(made), Some(stat)) = (here.made, entry.volume) else { return Ok(None) };
        if self.intent.is_empty() || here.node.beside_users {
            return Ok(None);
        }
        let failed = |e| self.roots.volume_error("compare", &here.child(entry.name), e);
        for noted in worker.noted.find(&self.intent, here.path, entry.name.to_bytes()).map_err(failed)? {
            if noted.kind != Kind::Dir
                && entry.record.is_none_or(|r| r.content != noted.content)
                && is_there(made, &noted, stat, &mut worker.other).map_err(failed)?
            {
                return Ok(Some(noted.into_owned()));
            }
        }
        Ok(None)
    }

    /// Whether an interrupted copy was about to prune this.
    pub(crate) fn was_pruned(
        &self,
        worker: &mut Worker,
        here: &DirContext<'_>,
        name: &CStr,
    ) -> Result<bool, Error> {
        if self.intent.is_empty() || here.node.beside_users {
            return Ok(false);
        }
        let failed = |e| self.roots.volume_error("compare", &here.child(name), e);
        let mut noted = worker.noted.find(&self.intent, here.path, name.to_bytes()).map_err(failed)?;
        Ok(noted.any(|noted| is_pruned(&noted)))
    }

    /// Whether the volume has what was noted of any entry in a directory.
    pub(crate) fn has_noted(
        &self,
        dir: impl AsFd,
        noted: &Record<'_>,
        buffer: &mut Vec<u8>,
    ) -> io::Result<bool> {
        let Ok(name) = CString::new(&*noted.name) else { return Ok(false) };
        match rustix::fs::statat(&dir, &*name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(!self.scope.protected.is_inode(&stat) && is_there(dir, noted, &stat, buffer)?),
            Err(rustix::io::Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Whether the time of this copy's first run still counts: copies of a run must be ordered as in the run, whatever
/// their destinations.
fn came_last(request: &Request, since: u64) -> bool {
    request.earlier.iter().filter_map(|(to, owner)| came(to, owner)).all(|other| other <= since)
}
