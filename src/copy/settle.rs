//! One file or symbolic link: the image's version, the manifest and the volume are compared, and what the table in
//! `decide` says is done and recorded.

use std::ffi::CStr;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::Stat;

use super::compare::{looks_as_left, meta_changed, seen};
use super::decide::{Action, Around, Decision, Image, Volume, decide};
use super::engine::{Engine, Worker};
use super::error::Error;
use super::image::Version;
use super::install::Data;
use super::links::Outcome;
use super::manifest::{Flags, Kind, Left, Record};
use super::node::Node;
use super::options::Policy;
use super::path::{beside, child, shown};
use super::walk::Here;

impl Engine<'_> {
    /// Decides, acts and records.
    #[allow(clippy::too_many_arguments)] // the three sides of the comparison, and where they are
    pub(super) fn settle(
        &self,
        worker: &mut Worker,
        node: &Arc<Node>,
        source: &OwnedFd,
        made: Option<&OwnedFd>,
        name: &CStr,
        version: &Version<'_>,
        record: Option<&Record<'_>>,
        volume: Option<&Stat>,
        data: Data<'_>,
    ) -> Result<Outcome, Error> {
        let failed = |e: io::Error| self.volume_error("compare", &child(node, name), e);
        let noted = self.as_noted(worker, node, made, name, record, volume)?;
        let record = noted.as_ref().or(record);
        let image = match record {
            None => Image::New,
            Some(r)
                if r.kind == version.kind && r.content == version.content && r.xattrs == version.xattrs =>
            {
                Image::Same
            }
            Some(_) => Image::Changed,
        };
        let state = match (volume, record) {
            (None, Some(r)) if r.left == Left::Absent => Volume::LeftAbsent,
            (None, _) if image == Image::Same && self.emptied => Volume::LeftAbsent,
            (None, _) => Volume::Absent,
            (Some(_), None) => Volume::Differs,
            (Some(stat), Some(r)) => {
                if looks_as_left(made, name, r, stat).map_err(failed)? {
                    Volume::AsLeft { image: r.left == Left::AsImage }
                } else {
                    Volume::Differs
                }
            }
        };
        let state = if self.emptied && state == Volume::Absent { Volume::LeftAbsent } else { state };
        let image = if self.emptied && volume.is_none() { Image::New } else { image };
        let action = match decide(
            self.policy(),
            image,
            state,
            Around { beside_run: self.request.beside_run, steps_follow: self.request.steps_follow },
        ) {
            Decision::Do(action) => action,
            Decision::AdoptOr(action) => {
                if self.has_content(
                    worker,
                    made,
                    name,
                    version.kind,
                    version.size,
                    &version.content,
                    volume,
                )? {
                    Action::Adopt
                } else {
                    action
                }
            }
            Decision::InstallIfLeft => match (record, volume) {
                (Some(r), Some(_))
                    if !self.is_as_left(worker, &here_of(node, source, made), name, record, volume)? =>
                {
                    debug_assert!(r.left != Left::Absent);
                    Action::Conflict
                }
                _ => Action::Install,
            },
        };
        self.act(worker, node, source, made, name, version, record, volume, data, action, state)
    }

    #[allow(clippy::too_many_arguments, clippy::too_many_lines)] // one arm for each outcome of the table
    fn act(
        &self,
        worker: &mut Worker,
        node: &Arc<Node>,
        source: &OwnedFd,
        made: Option<&OwnedFd>,
        name: &CStr,
        version: &Version<'_>,
        record: Option<&Record<'_>>,
        volume: Option<&Stat>,
        data: Data<'_>,
        action: Action,
        state: Volume,
    ) -> Result<Outcome, Error> {
        let flags = record.map_or(Flags::default(), |r| r.flags);
        let put = |worker: &mut Worker, record: Record<'_>| {
            if !node.aside {
                record.write(&mut worker.block);
            }
        };
        let kept_left = || match record {
            None => Left::Absent,
            Some(r) => match r.as_left() {
                None => Left::Absent,
                Some((kind, size, mtime, mode, content)) => {
                    Left::Other { kind, size, mtime, mode, content: content.clone().into_owned() }
                }
            },
        };
        match action {
            Action::Install => {
                let verb = if volume.is_some() { "replace" } else { "create" };
                self.install(worker, node, source, name, name, version, data, verb)?;
                put(worker, version.record(name, Flags::default(), Left::AsImage));
                Ok(Outcome::Staged)
            }
            Action::Nothing | Action::Adopt => {
                let mut flags = Flags { orphan: false, ..flags };
                let left = if let (Action::Nothing, Some(r)) = (action, record) {
                    flags.kept &= state == Volume::Differs;
                    r.left.clone()
                } else {
                    flags.found = match record {
                        Some(r) => r.flags.found,
                        None => !self.intended(&node.path(), name),
                    };
                    flags.kept = false;
                    Left::AsImage
                };
                // What is there in place of the image's version keeps its own metadata, and its record.
                let others = action == Action::Nothing && state != (Volume::AsLeft { image: true });
                let mend = self.policy() == Policy::Replace && !self.request.beside_run && !others
                    || state == (Volume::AsLeft { image: true })
                        && record.is_some_and(|r| meta_changed(r, version));
                let left = if left == Left::AsImage && !others && !mend {
                    // As the volume has it: an adopted file keeps its own times where they are not set right.
                    volume
                        .filter(|_| version.kind == Kind::File)
                        .map_or(Left::AsImage, |stat| seen(stat, version))
                } else {
                    left
                };
                if mend && self.differs(version, volume) {
                    if !self.mend(worker, node, made, name, version, volume, data)? {
                        return self.act(
                            worker,
                            node,
                            source,
                            made,
                            name,
                            version,
                            record,
                            volume,
                            data,
                            Action::Install,
                            state,
                        );
                    }
                } else {
                    worker.report.unchanged += 1;
                }
                put(worker, version.record(name, flags, left));
                Ok(Outcome::InPlace(volume.map(|stat| stat.st_ino)))
            }
            Action::Keep => {
                worker.report.kept += 1;
                let flags = Flags { kept: true, orphan: false, ..flags };
                put(worker, version.record(name, flags, kept_left()));
                Ok(Outcome::Other)
            }
            Action::Conflict => {
                worker.report.kept += 1;
                worker.report.conflicts.push(shown(&child(node, name)));
                self.install(
                    worker,
                    node,
                    source,
                    name,
                    &beside(name, ".from-image"),
                    version,
                    data,
                    "put beside",
                )?;
                let flags = Flags { kept: true, found: record.is_none() || flags.found, orphan: false };
                put(worker, version.record(name, flags, kept_left()));
                Ok(Outcome::Other)
            }
            Action::Leave => {
                worker.report.kept += 1;
                if let Some(r) = record {
                    put(worker, r.clone());
                }
                Ok(Outcome::Other)
            }
        }
    }
}

fn here_of<'a>(node: &'a Arc<Node>, source: &'a OwnedFd, made: Option<&'a OwnedFd>) -> Here<'a> {
    Here { node, path: b"", source, made }
}
