//! One copy from beginning to end: what its phases share, and their order. Scan and transfer, hard links, one sync of
//! the filesystem, renames into place, pruning, manifest.

use std::ffi::OsString;
use std::io;
use std::mem::MaybeUninit;
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use tokio_util::sync::CancellationToken;

use crate::copy::Request;
use crate::copy::earlier;
use crate::copy::error::{Error, Reached};
use crate::copy::io::durable;
use crate::copy::io::lacks::Lacks;
use crate::copy::io::listing::Listing;
use crate::copy::io::metadata::{Permissions, Xattrs};
use crate::copy::io::pool::Pool;
use crate::copy::io::readahead::{Ahead, Spare};
use crate::copy::io::transfer::Reflink;
use crate::copy::journal::read::{Intent, Noted};
use crate::copy::manifest::{self, Head, Manifest, Reading, Spill};
use crate::copy::options::Policy;
use crate::copy::plan::entry::Later;
use crate::copy::plan::filter::{self, Filter};
use crate::copy::plan::layers::{Claims, Layers};
use crate::copy::plan::links::Links;
use crate::copy::plan::stat_cache::Seen;
use crate::copy::plan::unread;
use crate::copy::preflight::{Places, Protected, Single, is_emptied};
use crate::copy::progress::{Counters, Progress};
use crate::copy::report::Report;
use crate::copy::shard::merge;
use crate::copy::shard::partition::Shares;
use crate::copy::stage::node::{Node, handle_budget};
use crate::copy::stage::space;
use crate::copy::stage::staging::{Leftovers, Stage};
use crate::copy::state::State;
use crate::support::mutex;
use crate::support::rooted_dir::Dir;

/// Threads at the most where not told otherwise: more than processors, as a cold source and a network volume make them wait.
const WORKERS: usize = 16;

/// What the workers of a copy share.
pub(super) struct Engine<'a> {
    pub(super) request: &'a Request,
    pub(super) source: Dir,
    pub(super) destination: Dir,
    /// One file of the source directory is all that is copied.
    pub(super) single: Option<Single>,
    /// The directory that is copied into.
    pub(super) to: PathBuf,
    /// `None` in a dry run that finds no state directory.
    pub(super) state: Option<State>,
    pub(super) manifest_name: OsString,
    /// What the next manifest begins with.
    pub(super) head: Head,
    pub(super) old: Manifest,
    /// It was written by version 0.1, in this directory under this name.
    pub(super) brought_over: Option<(Dir, OsString)>,
    /// The other owners of what is on the volume.
    pub(super) layers: Layers,
    /// What differs from the manifest is the doing of a run that did not end well.
    pub(super) run_failed: bool,
    /// A run is at work on this volume: what differs is taken for its edit and left.
    pub(super) beside_run: bool,
    pub(super) leftovers: Leftovers,
    /// What copies that were cut short were about to install.
    pub(super) intent: Intent,
    /// The volume was emptied by hand: no absence on it is an edit.
    pub(super) emptied: bool,
    pub(super) spill: Spill,
    pub(super) permissions: Permissions,
    pub(super) reflink: Reflink,
    pub(super) filter: Filter,
    /// Which entries are this copy's, where several share the tree.
    pub(super) shares: Option<Shares>,
    /// Directories that are this copy's with all that is below them, in shared ones; by weight.
    pub(super) pieces: Mutex<Vec<(u64, Arc<Node>)>>,
    pub(super) links: Links,
    pub(super) counters: Counters,
    pub(super) cancel: &'a CancellationToken,
    /// The runner's own files.
    pub(super) protected: Protected,
    pub(super) worker_count: usize,
    pub(super) budget: usize,
    pub(super) spare: Spare,
    pub(super) fsync_each: bool,
    pub(super) pool: Pool<Task>,
    /// Existing directories that something was staged for.
    pub(super) publish: Mutex<Vec<Arc<Node>>>,
    /// Modes that can only be set once a directory has its final place.
    pub(super) late: Mutex<Vec<(Arc<Node>, std::ffi::CString, u32)>>,
    pub(super) stage: Mutex<Option<Arc<Stage>>>,
    space: OnceLock<bool>,
    /// Something on the volume was touched since the manifest was written, and read.
    pub(super) looked: AtomicBool,
    pub(super) seen: Seen,
    /// It is on stable storage which pieces get their names before the end.
    pub(super) noted: AtomicBool,
    pub(super) created_root: bool,
}

/// Work of the main phase.
#[allow(clippy::large_enum_variant)] // large files are few: a box each would cost the others nothing either
pub(super) enum Task {
    Dir(Arc<Node>),
    /// Entries of a large directory.
    Part {
        node: Arc<Node>,
        names: Vec<(std::ffi::CString, rustix::fs::FileType)>,
    },
    /// A file too large to be dealt with between its siblings.
    File(Later),
}

/// What a worker keeps from task to task: allocating these anew for each directory halves the speed.
pub(super) struct Worker {
    pub(super) buffer: Vec<u8>,
    pub(super) other: Vec<u8>,
    pub(super) dirents: Vec<MaybeUninit<u8>>,
    pub(super) listing: Listing,
    pub(super) old: Vec<u8>,
    pub(super) block: Vec<u8>,
    pub(super) orphans: bool,
    /// What other owners have in the directory that it is in.
    pub(super) claims: Claims,
    pub(super) noted: Noted,
    pub(super) xattrs: Xattrs,
    pub(super) report: Report,
    pub(super) tasks: Vec<Task>,
    pub(super) ahead: Ahead,
}

impl Worker {
    fn new(options: &crate::copy::Options) -> Self {
        let mut report = Report::default();
        (report.plan.whole, report.changes.whole) = (options.dry_run, options.list_changes);
        Self {
            buffer: Vec::new(),
            other: Vec::new(),
            dirents: vec![MaybeUninit::uninit(); 32 << 10],
            listing: Listing::default(),
            old: Vec::new(),
            block: Vec::new(),
            orphans: false,
            claims: Claims::default(),
            noted: Noted::default(),
            xattrs: Xattrs::default(),
            report,
            tasks: Vec::new(),
            ahead: Ahead::default(),
        }
    }
}

/// Copies as [`crate::copy::copy`] says.
pub(super) fn copy(
    request: &Request,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Result<Report, Error> {
    let (engine, mut report) = Engine::open(request, cancel)?;
    if unread::is_as_left(&engine, &mut report)? {
        return Ok(report);
    }
    let outcome = watched(&engine, progress, || engine.run(&mut report));
    let outcome = outcome.and_then(|()| engine.close(&mut report));
    if let Err(mut error) = outcome {
        // What is complete in staging is for the next attempt, unless others need the space.
        if matches!(error.cause(), crate::copy::Cause::NoSpace | crate::copy::Cause::Config) {
            // Best effort: the error that ended the copy is the one to tell.
            let _ = mutex::lock(&engine.stage).take().map(|stage| stage.remove());
            let _ = engine.leftovers.remove();
        }
        let done = engine.counters.copied();
        error.reached = Reached { files: done.0, bytes: done.1 };
        return Err(error);
    }
    if engine.filter.is_selective() && engine.counters.snapshot().files == 0 && report.links == 0 {
        report.remarks.push("--include matches nothing in the source".to_owned());
    }
    report.not_permitted = engine.permissions.refused();
    report.sort();
    if !report.changed_source.is_empty() {
        return Err(Error::torn(&request.source, &report.changed_source.items, report.changed_source.len()));
    }
    Ok(report)
}

/// The name of the copy: given, or else its source, as seen from the root.
pub(super) fn owner_of(request: &Request) -> Vec<u8> {
    if let Some(owner) = &request.options.owner {
        return owner.clone().into_bytes();
    }
    let path = std::path::absolute(&request.source).unwrap_or_else(|_| request.source.clone());
    // `absolute` keeps a `/` at the end.
    let path: PathBuf = path.components().collect();
    path.into_os_string().into_encoded_bytes()
}

/// For a dry run: the destination and its state, where they are there.
fn open_as_it_is(places: &Places) -> Result<(Option<Dir>, Option<State>), Error> {
    let failed = |e| Error::unusable("open the destination", &places.destination, e);
    match Dir::open(&places.destination) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((None, None)),
        Err(error) => Err(failed(error)),
        Ok(destination) => {
            let state = State::open(&destination).map_err(failed)?;
            Ok((Some(destination), state))
        }
    }
}

/// Runs `act` while another thread tells `progress` how far it is.
fn watched<T>(engine: &Engine<'_>, progress: &dyn Progress, act: impl FnOnce() -> T) -> T {
    let (over, waiting) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        // Without a thread to spare there is no progress to see, but a copy.
        let _ = std::thread::Builder::new().name("progress".into()).spawn_scoped(scope, move || {
            let every = std::time::Duration::from_millis(200);
            while waiting.recv_timeout(every) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                progress.update(&engine.counters.snapshot());
            }
        });
        let outcome = act();
        drop(over);
        outcome
    })
}

impl<'a> Engine<'a> {
    fn open(request: &'a Request, cancel: &'a CancellationToken) -> Result<(Self, Report), Error> {
        let options = &request.options;
        let filter = Filter::new(options)?;
        let places = Places::find(request)?;
        let workers = options.workers.map_or(WORKERS, NonZeroUsize::get).min(256);
        let shares = options.shard.filter(|_| places.single.is_none()).map(|shard| {
            Shares::of(shard, &places.source, &filter, workers, cancel, |path, errno| {
                source_error(request, "list", path, errno)
            })
        });
        let shares = shares.transpose()?;
        let (destination, state) = if options.dry_run {
            open_as_it_is(&places)?
        } else {
            let (destination, state) = places.make(request)?;
            (Some(destination), Some(state))
        };
        let failed = |e| Error::system("read the state of", &places.destination, e);
        let created_root = match &state {
            Some(state) => state.is_new_root().map_err(failed)?,
            None => destination.is_none(),
        };
        let owner = owner_of(request);
        let manifest_name = manifest::file_name(&owner);
        let mut report = Report::default();
        (report.plan.whole, report.changes.whole) = (options.dry_run, options.list_changes);
        report.remarks.extend(filter::doubts(options));
        let (mut old, mut intent, mut unfinished) = (Manifest::default(), Intent::default(), None);
        let mut brought_over = None;
        let mut leftovers = Leftovers::default();
        if let Some(state) = &state {
            let name = &manifest_name;
            unfinished = state.unfinished_run(name).map_err(failed)?;
            intent = Intent::read(state, name, request, shares.as_ref()).map_err(failed)?;
            match merge::base(state, name, request, shares.as_ref()).map_err(failed)? {
                Reading::Read(manifest) => old = manifest,
                Reading::Absent => {
                    if let Some((manifest, dir, name)) = earlier::read(request, &places).map_err(failed)? {
                        old = manifest;
                        brought_over = Some((dir, name));
                    }
                }
                Reading::Unusable => report.remarks.push(
                    "the manifest cannot be read: everything is compared as in a first copy".to_owned(),
                ),
            }
            if !options.dry_run {
                let staging = merge::stage_name(name, request);
                leftovers = Leftovers::find(&state.root, &staging).map_err(failed)?;
            }
        }
        // In a dry run that is to make the destination, the source stands in for it: nothing of it is looked at.
        let destination = match destination {
            Some(destination) => destination,
            None => places.source.reopen().map_err(failed)?,
        };
        let layers = if created_root && options.dry_run {
            Layers::default()
        } else {
            Layers::read(&places.destination, &manifest_name, old.head.since, request.later.as_deref())
                .map_err(failed)?
        };
        let emptied = !(created_root && options.dry_run)
            && is_emptied(&old, &destination).map_err(|e| Error::system("read", &places.destination, e))?;
        if emptied {
            report.remarks.push("nothing of the last copy is left on the volume: copied anew".to_owned());
        }
        let version = options.source_version.as_ref();
        let head = Head {
            owner,
            since: Some(layers.since()),
            source_version: version.map(|version| unread::version(version, options)),
            lacks: old.head.lacks.clone(),
        };
        let permissions = Permissions::new(options);
        if let Some(lacks) = &old.head.lacks {
            permissions.set_lacks(Lacks::parse(lacks));
        }
        let at_work = unfinished
            .as_ref()
            .is_some_and(|run| run.run == request.run || !request.steps_follow && run.at_work);
        let engine = Self {
            permissions,
            reflink: Reflink::default(),
            links: Links::default(),
            pieces: Mutex::default(),
            shares,
            counters: Counters::default(),
            protected: Protected::of(request, &places.destination, state.as_ref()),
            budget: handle_budget(),
            spare: Spare::beside(workers),
            worker_count: workers,
            fsync_each: durable::needs_fsync(&destination),
            pool: Pool::new(Vec::new()),
            publish: Mutex::default(),
            late: Mutex::default(),
            stage: Mutex::default(),
            space: OnceLock::new(),
            looked: AtomicBool::new(false),
            seen: Seen::default(),
            noted: AtomicBool::new(false),
            spill: Spill::default(),
            request,
            source: places.source,
            single: places.single,
            to: places.destination,
            destination,
            state,
            manifest_name,
            head,
            old,
            brought_over,
            layers,
            run_failed: unfinished.is_some() && !at_work,
            beside_run: request.beside_run || at_work,
            leftovers,
            intent,
            emptied,
            filter,
            cancel,
            created_root,
        };
        Ok((engine, report))
    }

    pub(super) fn workers(&self) -> Vec<Worker> {
        (0..self.worker_count).map(|_| Worker::new(&self.request.options)).collect()
    }

    fn run(&self, report: &mut Report) -> Result<(), Error> {
        let root = self.root_node()?;
        self.pool.push(Task::Dir(root));
        let workers = durable::ahead(self, || {
            let act = |worker: &mut Worker, task| self.task(worker, task);
            let workers = self.pool.run(self.workers(), act)?;
            let mut pieces = std::mem::take(&mut *mutex::lock(&self.pieces));
            if pieces.is_empty() {
                return Ok(workers);
            }
            // The heaviest is taken first: what is left at the end is small.
            pieces.sort_by_key(|(weight, _)| *weight);
            let pieces: Vec<_> = pieces.into_iter().map(|(_, node)| node).collect();
            self.pool.push_all(&mut pieces.iter().cloned().map(Task::Dir).collect());
            let early = self.fsync_each && !self.request.options.dry_run;
            std::thread::scope(|scope| {
                // Where it cannot be noted, all get their names in the end.
                let note = || self.noted.store(self.note_pieces(&pieces).is_ok(), Ordering::Release);
                let _ = early.then(|| std::thread::Builder::new().spawn_scoped(scope, note));
                self.pool.run(workers, act)
            })
        })?;
        for worker in workers {
            report.merge(worker.report);
        }
        self.link_phase(report)
    }

    fn root_node(&self) -> Result<Arc<Node>, Error> {
        let failed = |e: io::Error| Error::system("open", &self.to, e);
        let source = self.source.reopen().and_then(|dir| Ok((dir.stat()?, dir)));
        let (source_stat, source) = source.map_err(|e| Error::system("open", &self.request.source, e))?;
        let made = if self.created_root && self.request.options.dry_run {
            None
        } else {
            let dir = self.destination.reopen().map_err(failed)?;
            let stat = dir.stat().map_err(failed)?;
            Some((dir.into(), stat))
        };
        let follow = self.request.options.follow_destination_links;
        Node::root(source.into(), &source_stat, made, follow).map_err(failed).map(|mut root| {
            if let Some(root) = Arc::get_mut(&mut root) {
                root.dereference = self.request.options.dereference;
                root.shared = self.shares.is_some();
                root.in_place = root.shared && !self.request.options.dry_run;
                root.others = self.shares.as_ref().is_some_and(|shares| !shares.completes(b""));
            }
            root
        })
    }

    /// The rest, once everything that was copied has its final name.
    fn close(&self, report: &mut Report) -> Result<(), Error> {
        let sorted = self.spill.sort();
        if self.request.options.dry_run {
            return self.prune(&sorted, report).map(drop);
        }
        let noted = self.prepare(&sorted)?;
        self.publish_phase(report)?;
        self.prune_and_record(&sorted, noted, report)?;
        let failed = |e| Error::system("clear the state of", &self.to, e);
        if let Some(stage) = mutex::lock(&self.stage).take() {
            stage.remove().map_err(failed)?;
        }
        self.leftovers.remove().map_err(failed)?;
        if let Some(state) = &self.state {
            if self.run_failed {
                state.run_is_over(&self.manifest_name).map_err(failed)?;
            }
            if self.created_root {
                state.root_is_done().map_err(failed)?;
            }
        }
        if let Some((dir, name)) = &self.brought_over {
            earlier::forget(dir, name).map_err(failed)?;
        }
        Ok(())
    }

    /// An error where nothing more is to be done: when it was asked for, or where a test cuts the copy short.
    pub(super) fn go_on(&self) -> Result<(), Error> {
        #[cfg(test)]
        if crate::copy::tests::cut::is_due(self.request) {
            return Err(Error::cancelled());
        }
        if self.cancel.is_cancelled() { Err(Error::cancelled()) } else { Ok(()) }
    }

    fn task(&self, worker: &mut Worker, task: Task) -> Result<(), Error> {
        self.go_on()?;
        match task {
            Task::Dir(node) => self.directory_task(worker, node),
            Task::Part { node, names } => self.part_task(worker, node, &names),
            Task::File(later) => {
                self.file_task(worker, &later)?;
                self.finish(worker, later.node)
            }
        }
    }

    /// The staging directory, made at the first call, after space was found to suffice.
    pub(super) fn stage(&self) -> io::Result<Arc<Stage>> {
        let mut stage = mutex::lock(&self.stage);
        if let Some(stage) = &*stage {
            return Ok(stage.clone());
        }
        let state = self.state.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let name = merge::stage_name(&self.manifest_name, self.request);
        let new = Arc::new(Stage::open(
            &state.root,
            &self.destination,
            &name,
            &self.leftovers,
            self.permissions.may_chown(),
        )?);
        self.permissions.set_own(&new.sample);
        self.permissions.set_lacks(new.lacks);
        *stage = Some(new.clone());
        Ok(new)
    }

    /// Before the first byte is written: does it fit? Concurrent callers wait for the one that finds out.
    pub(super) fn ensure_space(&self) -> Result<(), Error> {
        let mut outcome = Ok(());
        let fits = *self.space.get_or_init(|| {
            outcome = space::check(self);
            outcome.is_ok()
        });
        // Who has waited stops as well; the one that found out says why.
        if outcome.is_ok() && !fits { Err(Error::cancelled()) } else { outcome }
    }

    /// An error about an entry of the destination.
    pub(super) fn volume_error(
        &self,
        operation: &'static str,
        path: &[u8],
        error: impl Into<io::Error>,
    ) -> Error {
        Error::system(operation, joined(&self.to, path), error)
    }

    /// An error about an entry of the source.
    pub(super) fn source_error(
        &self,
        operation: &'static str,
        path: &[u8],
        error: impl Into<io::Error>,
    ) -> Error {
        source_error(self.request, operation, path, error)
    }

    /// What the new manifest begins with.
    pub(super) fn head(&self) -> Head {
        let words = self.permissions.lacks().map(|lacks| lacks.words());
        Head { lacks: words.filter(|words| !words.is_empty()), ..self.head.clone() }
    }

    pub(super) fn policy(&self) -> Policy {
        self.request.options.policy
    }
}

/// An error about an entry of the source. One that may not be read will not be readable the next time either.
fn source_error(
    request: &Request,
    operation: &'static str,
    path: &[u8],
    error: impl Into<io::Error>,
) -> Error {
    let error = error.into();
    let path = joined(&request.source, path);
    if error.kind() == io::ErrorKind::PermissionDenied {
        return Error::unusable(operation, path, error);
    }
    Error::system(operation, path, error)
}

fn joined(base: &Path, path: &[u8]) -> PathBuf {
    if path.is_empty() { base.to_owned() } else { base.join(std::ffi::OsStr::from_bytes(path)) }
}
