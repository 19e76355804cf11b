//! One copy from beginning to end: plan and stage entry by entry, then publish, prune, commit.

use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::copy::commit::force::put_in_force;
use crate::copy::commit::listed::announce;
use crate::copy::control::Control;
use crate::copy::earlier;
use crate::copy::error::{Cause, Error, Reached};
use crate::copy::io::durable;
use crate::copy::journal::ledger::{Ledger, Note};
use crate::copy::journal::moved;
use crate::copy::lists::Changes;
use crate::copy::manifest::builder::Sorted;
use crate::copy::open::{self, Opened};
use crate::copy::plan::known::Known;
use crate::copy::plan::stat_cache::StatCache;
use crate::copy::plan::{filter, unread};
use crate::copy::progress::Progress;
use crate::copy::prune::pruner::Pruner;
use crate::copy::publish::pending::Pending;
use crate::copy::publish::publisher::Publisher;
use crate::copy::publish::put_back::PutBack;
use crate::copy::report::Report;
use crate::copy::request::Request;
use crate::copy::shard::merge;
use crate::copy::stage::space::Space;
use crate::copy::stage::stager::Stager;
use crate::copy::stage::writeback::write_back_during;
use crate::copy::tree::node::Node;
use crate::copy::tree::place::Place;
use crate::copy::tree::roots::Roots;
use crate::copy::tree::worker::{Task, Worker};
use crate::copy::walk::blocks::Blocks;
use crate::copy::walk::context::Walk;
use crate::copy::walk::hard_links::HardLinks;
use crate::copy::walk::queue::Queue;

/// Default limit of threads. More than processors, because a cold source or a network volume makes them wait.
const WORKERS: usize = 16;

/// Implements [`crate::copy::copy()`].
pub(crate) fn copy(
    request: &Request,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Result<Report, Error> {
    let options = &request.options;
    let mut report = Report::listing(options);
    report.remarks.extend(filter::doubts(options));
    let workers = options.workers.map_or(WORKERS, NonZeroUsize::get).min(256);
    let control = Control::of(request, cancel);
    let opened = open::open(request, workers, cancel)?;
    report.remarks.extend(opened.files.state.iter().flat_map(|state| state.remarks(&opened.roots.path)));
    if !options.dry_run {
        let place = Place::of(&opened.roots.destination, &opened.roots.path);
        report.place = Some(Arc::new(place.map_err(|e| Error::system("open", &opened.roots.path, e))?));
        announce(&opened.roots.path);
    }
    let cut_short = (!options.dry_run).then(|| PutBack::begin(&opened.roots, &opened.files)).transpose()?;
    let known = Known::read(request, (&opened.roots, &opened.scope), &opened.files, &mut report)?;
    cut_short.map_or(Ok(()), |moved| moved.end(&known))?;
    if unread::is_as_left(&known, workers, &mut report)? {
        return Ok(report);
    }
    let seen = StatCache::default();
    let space = Space::new(&known, &control, &seen, workers);
    let stager = Stager::new(&known, &control, &opened.files, space)?;
    let run = Run { request, opened: &opened, known: &known, control: &control, stager: &stager };
    let outcome = run.watched(progress, || run.all_stages((workers, &seen), &mut report));
    if let Err(mut error) = outcome {
        // Complete staged files are kept for the next attempt, unless others need the space.
        if matches!(error.cause(), Cause::NoSpace | Cause::Config) {
            // Best effort: the first error is the one to report.
            let _ = stager.clear();
        }
        let (files, bytes) = control.counters.copied();
        (error.reached, error.begun) = (Reached { files, bytes }, !options.dry_run);
        report.sort();
        error.changes = Box::new(report.changes);
        return Err(error);
    }
    // Another shard may have met it.
    for text in opened.scope.filter.not_met().filter(|_| opened.scope.shares.is_none()) {
        report.remarks.push(format!("--include {text} matches nothing in the source"));
    }
    report.not_permitted = stager.permissions.refused();
    report.sort();
    if !report.changed_source.is_empty() {
        let mut torn =
            Error::torn(&request.source, &report.changed_source.items, report.changed_source.len());
        torn.changes = Box::new(report.changes);
        return Err(torn);
    }
    Ok(report)
}

struct Run<'a> {
    request: &'a Request,
    opened: &'a Opened,
    known: &'a Known<'a>,
    control: &'a Control<'a>,
    stager: &'a Stager<'a>,
}

impl Run<'_> {
    /// Runs `act` while another thread reports the progress.
    fn watched<T>(&self, progress: &dyn Progress, act: impl FnOnce() -> T) -> T {
        let (over, waiting) = std::sync::mpsc::channel::<()>();
        let counters = &self.control.counters;
        std::thread::scope(|scope| {
            // Without another thread there is no progress display, only the copy.
            let _ = std::thread::Builder::new().name("progress".into()).spawn_scoped(scope, move || {
                let every = std::time::Duration::from_millis(200);
                while waiting.recv_timeout(every) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                    progress.update(&counters.snapshot());
                }
            });
            let outcome = act();
            drop(over);
            outcome
        })
    }

    fn all_stages(&self, (workers, seen): (usize, &StatCache), report: &mut Report) -> Result<(), Error> {
        let (roots, scope, files) = (&self.opened.roots, &self.opened.scope, &self.opened.files);
        let (known, control, stager) = (self.known, self.control, self.stager);
        let (pending, queue, links) = (Pending::default(), Queue::new(workers), HardLinks::default());
        let blocks = Blocks::new(stager);
        let ledger = Ledger { roots, known, files, permissions: &stager.permissions };
        let walk = Walk {
            roots,
            scope,
            known,
            control,
            stager,
            blocks: &blocks,
            pending: &pending,
            queue: &queue,
            links: &links,
            seen,
        };
        self.walk(&walk, &ledger, report)?;
        let sorted = blocks.sort();
        let pruner = Pruner { roots, scope, known, control, ledger: &ledger, sorted: &sorted };
        if control.dry_run {
            return pruner.prune(report).map(drop);
        }
        let nothing_has_its_name = |_: &Error| report.changes = Changes::default();
        let noted = self.prepare(&ledger, &sorted, &pending).inspect_err(nothing_has_its_name)?;
        let publisher = Publisher { roots, control, known, files, stager, pending: &pending };
        publisher.publish(queue.worker_states(report), report)?;
        let pruned = pruner.prune(report)?;
        control.go_on()?;
        put_in_force(&ledger, &sorted, noted, &pruned)?;
        let apart = merge::merge(self.request, &ledger, workers, report)?;
        self.clear()?;
        apart.map_or_else(|| roots.in_place(), Err)
    }

    /// Decides about everything and stages it.
    fn walk(&self, walk: &Walk<'_>, ledger: &Ledger<'_>, report: &mut Report) -> Result<(), Error> {
        let queue = walk.queue;
        queue.pool.push(Task::Dir(root_node(&self.opened.roots, walk)?));
        let act = |worker: &mut Worker, task| {
            let done = task_of(walk, worker, task);
            done.inspect_err(|_| walk.control.fail())
        };
        let workers = write_back_during(self.stager, || {
            let workers = queue.pool.run(queue.worker_states(report), act)?;
            let pieces = queue.take_pieces();
            if pieces.is_empty() {
                return Ok(workers);
            }
            queue.pool.push_all(&mut pieces.iter().cloned().map(Task::Dir).collect());
            let early = self.stager.fsync_each && !self.control.dry_run;
            std::thread::scope(|scope| {
                // If the note cannot be written, all pieces get their names at the end.
                let note = || walk.pending.pieces_are_noted(ledger.note_pieces(&pieces).is_ok());
                let _ = early.then(|| std::thread::Builder::new().spawn_scoped(scope, note));
                queue.pool.run(workers, act)
            })
        })?;
        for worker in workers {
            report.merge(worker.report);
        }
        walk.deferred_names(report)
    }

    /// Before the first rename: makes staged content durable and writes the note of what is about to be renamed. Both
    /// at the same time, because the sync waits for the disk. Returns what was noted.
    fn prepare(&self, ledger: &Ledger<'_>, sorted: &Sorted, pending: &Pending) -> Result<Note, Error> {
        let stage = self.stager.made().filter(|_| !self.stager.fsync_each && !pending.is_empty());
        let Some(stage) = stage else { return ledger.note(sorted) };
        let sync = || durable::sync(&stage.dir).map_err(|e| self.opened.roots.volume_error("sync", b"", e));
        std::thread::scope(|scope| {
            let Ok(beside) = std::thread::Builder::new().name("sync".into()).spawn_scoped(scope, sync) else {
                sync()?;
                return ledger.note(sorted);
            };
            let noted = ledger.note(sorted);
            beside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            noted
        })
    }

    /// Removes the copy's journal and staging, now that its result is recorded.
    fn clear(&self) -> Result<(), Error> {
        let failed = |e| Error::system("clear the state of", &self.opened.roots.path, e);
        self.stager.clear().map_err(failed)?;
        let files = &self.opened.files;
        moved::clear(files).map_err(failed)?;
        if let Some(state) = &files.state {
            if self.known.run_is_over {
                state.run_is_over(&files.manifest).map_err(failed)?;
            }
            if self.opened.roots.created {
                state.root_is_done().map_err(failed)?;
            }
        }
        if let Some((dir, name)) = &self.known.brought_over {
            earlier::forget(dir, name).map_err(failed)?;
        }
        Ok(())
    }
}

fn task_of(walk: &Walk<'_>, worker: &mut Worker, task: Task) -> Result<(), Error> {
    walk.control.go_on()?;
    match task {
        Task::Dir(node) => walk.directory_task(worker, node),
        Task::Part { node, names } => walk.part_task(worker, node, &names),
        Task::File(later) => {
            walk.file_task(worker, &later)?;
            walk.finish(worker, later.node)
        }
    }
}

fn root_node(roots: &Roots, walk: &Walk<'_>) -> Result<Arc<Node>, Error> {
    let failed = |e: std::io::Error| Error::system("open", &roots.path, e);
    let source = roots.source.reopen().and_then(|dir| Ok((dir.stat()?, dir)));
    let (source_stat, source) = source.map_err(|e| Error::system("open", &roots.source_path, e))?;
    let dry_run = walk.control.dry_run;
    let made = if roots.created && dry_run {
        None
    } else {
        let dir = roots.destination.reopen().map_err(failed)?;
        let stat = dir.stat().map_err(failed)?;
        Some((dir.into_fd(), stat))
    };
    let mut root = Node::root((source.into_fd(), &source_stat), made, roots.follow).map_err(failed)?;
    let shares = walk.scope.shares.as_ref();
    root.dereference = roots.dereference;
    root.shared = shares.is_some();
    root.in_place = root.shared && !dry_run;
    root.finished_by_another = shares.is_some_and(|shares| !shares.completes(b""));
    Ok(Arc::new(root))
}
