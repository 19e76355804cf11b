//! The staging directory, the permissions, and how staged content becomes durable.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::{Arc, Mutex};

use rustix::fs::Mode;
use rustix::io::Errno;

use crate::copy::control::Control;
use crate::copy::error::Error;
use crate::copy::io::durable;
use crate::copy::io::lacks::Lacks;
use crate::copy::io::listing;
use crate::copy::io::metadata::Permissions;
use crate::copy::io::path::shown_path;
use crate::copy::io::transfer::Reflink;
use crate::copy::own_files::OwnFiles;
use crate::copy::plan::known::Known;
use crate::copy::stage::space::Space;
use crate::copy::stage::staging::{Leftovers, Stage};
use crate::copy::tree::node::{Node, Target};
use crate::copy::tree::roots::Roots;
use crate::support::mutex;

/// Completes entries in staging.
pub(crate) struct Stager<'a> {
    pub(crate) roots: &'a Roots,
    pub(crate) control: &'a Control<'a>,
    pub(crate) known: &'a Known<'a>,
    files: &'a OwnFiles,
    space: Space<'a>,
    pub(crate) permissions: Permissions,
    pub(crate) reflink: Reflink,
    /// What interrupted attempts have staged.
    pub(crate) leftovers: Leftovers,
    /// Syncs each file by itself, because syncfs(2) is not reliable here.
    pub(crate) fsync_each: bool,
    stage: Mutex<Option<Arc<Stage>>>,
}

impl<'a> Stager<'a> {
    /// Creates nothing yet.
    pub(crate) fn new(
        known: &'a Known<'a>,
        control: &'a Control<'a>,
        files: &'a OwnFiles,
        space: Space<'a>,
    ) -> Result<Self, Error> {
        let roots = known.roots;
        let permissions = Permissions::new(known.options);
        if let Some(lacks) = &known.old.head.lacks {
            permissions.set_lacks(Lacks::parse(lacks));
        }
        let leftovers = match files.state.as_ref().filter(|_| !control.dry_run) {
            Some(state) => Leftovers::find(&state.root, &files.staging, |name| files.is_stale(name))
                .map_err(|e| Error::system("read the state of", &roots.path, e))?,
            None => Leftovers::default(),
        };
        Ok(Self {
            fsync_each: durable::needs_fsync(&roots.destination),
            roots,
            control,
            known,
            files,
            space,
            permissions,
            reflink: Reflink::default(),
            leftovers,
            stage: Mutex::default(),
        })
    }

    /// The staging directory, created on first use.
    pub(crate) fn stage(&self) -> io::Result<Arc<Stage>> {
        let mut stage = mutex::lock(&self.stage);
        if let Some(stage) = &*stage {
            return Ok(stage.clone());
        }
        let state = self.files.state.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let home = (&state.root, &self.roots.destination);
        let may_chown = self.permissions.may_chown();
        let new = Arc::new(Stage::open(home, &self.files.staging, &self.leftovers, may_chown)?);
        self.permissions.set_own(&new.sample);
        self.permissions.set_lacks(new.lacks);
        *stage = Some(new.clone());
        Ok(new)
    }

    /// The staging directory, if it was created.
    pub(crate) fn made(&self) -> Option<Arc<Stage>> {
        mutex::lock(&self.stage).clone()
    }

    /// Removes everything staged, also by earlier attempts.
    pub(crate) fn clear(&self) -> io::Result<()> {
        let stage = mutex::lock(&self.stage).take();
        stage.map_or(Ok(()), |stage| stage.remove())?;
        self.leftovers.remove()
    }

    /// The directory in which new entries of `node` are created.
    pub(crate) fn place(&self, node: &Node) -> Result<Arc<OwnedFd>, Error> {
        self.space.ensure(&self.leftovers)?;
        node.place(&|node| self.stage_for(node), &make_directory).map_err(|error| {
            if Errno::from_io_error(&error) != Some(Errno::XDEV) {
                return self.roots.volume_error("create", &node.path(), error);
            }
            let mut there = node;
            while let (Target::New | Target::Lazy, Some(parent)) = (there.target, &there.parent) {
                there = parent;
            }
            let path = self.roots.path.join(OsStr::from_bytes(&there.path()));
            Error::request(format!(
                "{} is on another mount than the destination: exclude it, or give it a copy of its own",
                shown_path(&path)
            ))
        })
    }

    fn stage_for(&self, node: &Node) -> io::Result<(u64, Arc<OwnedFd>)> {
        let stage = self.stage()?;
        // A mount inside the destination, or a link to another filesystem: a rename cannot cross it.
        if !self.roots.destination.is_on_mount_of(node.made()?.as_fd())? {
            return Err(Errno::XDEV.into());
        }
        stage.add(&node.path())
    }
}

fn make_directory(node: &Node, at: &OwnedFd) -> io::Result<OwnedFd> {
    let mode = node.meta.get().map_or(0o700, |meta| meta.mode);
    let name = node.made_name();
    rustix::fs::mkdirat(at, name, Mode::from_raw_mode((mode | 0o700) & 0o777))?;
    Ok(listing::open(at, name)?)
}
