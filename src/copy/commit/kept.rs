//! Keeps the manifests in force open while a run's command is at work, and writes them again if the command has removed
//! them: it may do anything to the volume, also remove the state directory.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::copy::error::Error;
use crate::copy::io::path::shown_path;
use crate::copy::manifest::{self, Flags, Head, Kind, Manifest, Reading, Record, Time, records};
use crate::copy::state::State;
use crate::support::rooted_dir::Dir;

/// The manifests of a destination when a run's command began.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    destination: PathBuf,
    run: String,
    owners: Vec<Owner>,
}

/// An owner's manifest.
#[derive(Debug)]
struct Owner {
    name: OsString,
    file: File,
    /// When it came into force. The ctime of a removed file is later.
    written: Time,
}

impl Kept {
    /// Opens all manifests of a destination.
    pub(crate) fn open(destination: &Path, state: &State, run: &str) -> io::Result<Self> {
        let mut owners = Vec::new();
        for name in state.owners()? {
            if let Ok(file) = state.manifests.open_read(&name) {
                let stat = rustix::fs::fstat(&file)?;
                let written = (stat.st_ctime, u32::try_from(stat.st_ctime_nsec).unwrap_or(0));
                owners.push(Owner { name, file, written });
            }
        }
        Ok(Self { destination: destination.to_owned(), run: run.to_owned(), owners })
    }

    /// Writes again what is gone. Returns sentences about it.
    pub(crate) fn put_back(&self) -> Result<Vec<String>, Error> {
        let failed = |e| Error::system("record again what copies installed in", &self.destination, e);
        let root = match Dir::open(&self.destination) {
            // The command removed the destination, and with it all that was recorded.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            root => root.map_err(failed)?,
        };
        let there = State::open(&root).map_err(failed)?;
        let mut gone = Vec::new();
        for owner in &self.owners {
            let is_there = there.as_ref().map_or(Ok(false), |state| {
                Ok(state.manifests.find(&owner.name)?.is_some() && state.is_marked(&owner.name)?)
            });
            if !is_there.map_err(failed)? {
                gone.push(owner);
            }
        }
        if gone.is_empty() {
            return Ok(Vec::new());
        }
        drop(there);
        let state = State::create(&root).map_err(failed)?;
        for owner in gone {
            if state.manifests.find(&owner.name).map_err(failed)?.is_none() {
                owner.write(&state).map_err(failed)?;
            }
            state.mark(&owner.name, &self.run).map_err(failed)?;
        }
        let mut said = state.remarks(&self.destination);
        said.push(format!(
            "the record of what copies installed in {} was removed while the hook ran, and is written again",
            shown_path(&self.destination)
        ));
        Ok(said)
    }
}

impl Owner {
    /// Writes the manifest again. Its records are as old as they were: what was touched since is read.
    fn write(&self, state: &State) -> io::Result<()> {
        let Reading::Read(manifest) = Manifest::of(self.file.try_clone()?)? else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let written = manifest.head.compared.map_or(self.written, |compared| compared.min(self.written));
        let head = Head { compared: Some(written), ..manifest.head.clone() };
        let blocks = (0..manifest.len()).map(|at| {
            let (mut block, mut marked) = (Vec::new(), Vec::new());
            manifest.load(at, &mut block)?;
            for record in records(&block) {
                let flags = Flags { left_out: record.kind != Kind::Dir, ..record.flags };
                Record { flags, ..record }.write(&mut marked);
            }
            Ok((Box::from(manifest.path(at)), marked))
        });
        manifest::write(&state.manifests, OsStr::new(&self.name), &head, blocks)
    }
}
