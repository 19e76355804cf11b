//! The opening of an attempt: the volume's lock taken, the log of the right run in place, the attempt entered
//! in the index, the header written. All of it blocks on the volume: when that does not answer at once, the signals and
//! the attempt's time limit go on meanwhile on another thread ([`crate::support::blocking`]).

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::fs::{FileType, OFlags};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::diagnostics;
use crate::exit::Kind;
use crate::hook::identity::Identity;
use crate::hook::spec::Keep;
use crate::output::{LogFile, recover_tail};
use crate::support::blocking;
use crate::support::times::now;
use crate::volume::archive::Archive;
use crate::volume::index::{self, Attempt, Index, Line, Started};
use crate::volume::lock::{self, Holder, Lock, Name, Taken};
use crate::volume::{Volume, VolumeError, frame};

/// Between two tries for the lock; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What an attempt needs to know before it can open.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The preserved log.
    pub log: PathBuf,
    /// One of several that copy their shares at the same time: the lock is shared with them, and kept from others.
    pub shared: bool,
    /// The state directory, if it was given.
    pub state: Option<PathBuf>,
    /// Mode of a new log.
    pub log_mode: u32,
    /// How long to wait for the lock.
    pub lock_timeout: Duration,
    /// How many earlier logs stay.
    pub keep: Keep,
    /// Who runs.
    pub identity: Identity,
    /// Rows of the header beside those that are the opening's own.
    pub rows: Vec<(&'static str, String)>,
}

/// An open attempt: the lock is held as long as this lives.
#[derive(Debug)]
pub struct Opened {
    /// The directories.
    pub volume: Volume,
    /// The attempt's number within its run.
    pub attempt: u32,
    /// For the attempt's end.
    index: Index,
    /// What is worth a line in the summary: a volume without locks, a log that was tidied up.
    pub warnings: Vec<String>,
    /// Where the runner's own diagnostics go, if they can.
    pub diary: Option<File>,
    /// Released when the attempt is over.
    _lock: Option<Lock>,
}

/// Why an attempt did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file or directory cannot be used.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// Another run holds the volume.
    #[error("another run holds the volume: {holder}")]
    Locked {
        /// The state directory.
        state: PathBuf,
        /// Who holds it.
        holder: Holder,
        /// For how long it was waited.
        waited: Duration,
    },
    /// No thread can be started.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    /// Cancelled while it waited for the lock.
    #[error("cancelled while another run held the volume")]
    Cancelled,
}

/// Opens the attempt, waiting for the lock at most the plan's time. Cancelled, it still gives an attempt that is open in
/// that moment: it is in the log and must be ended there.
pub async fn open(plan: Plan, cancel: &CancellationToken) -> Result<(Opened, LogFile), OpenError> {
    let began = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let (lock_timeout, again) = (plan.lock_timeout, plan.clone());
        let tried = blocking::run(move || try_open(&again)).await.map_err(OpenError::Thread)??;
        let left = lock_timeout.saturating_sub(began.elapsed());
        match tried {
            Try::Opened(opened, log) => return Ok((*opened, log)),
            Try::Busy(holder, state) if left.is_zero() => {
                return Err(OpenError::Locked { state, holder, waited: lock_timeout });
            }
            Try::Busy(..) => {
                let waited = cancel.run_until_cancelled(sleep(pause.min(left))).await;
                waited.ok_or(OpenError::Cancelled)?;
            }
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[derive(Debug)]
enum Try {
    Opened(Box<Opened>, LogFile),
    Busy(Holder, PathBuf),
}

/// Opens the attempt if the lock is free.
fn try_open(plan: &Plan) -> Result<Try, OpenError> {
    let volume = Volume::create(&plan.log, plan.state.as_deref())?;
    let holder = Holder {
        run: plan.identity.run.clone(),
        pod: plan.identity.pod.clone().unwrap_or_default(),
        pid: std::process::id(),
        since: now(),
    };
    let mut warnings = Vec::new();
    let lock = match lock::try_take(&volume.state, &volume.state_path, Name::Attempt, plan.shared, &holder)? {
        Taken::Held(lock) => Some(lock),
        Taken::Busy(holder) => return Ok(Try::Busy(holder, volume.state_path)),
        Taken::Unsupported(error) => {
            warnings.push(format!(
                "the volume has no file locks ({error}); see to it that only one hook runs on it at a time"
            ));
            None
        }
    };
    let index = Index::open(&volume.state, &volume.state_path, !plan.shared)?;
    let log_name = volume.log_name.to_string_lossy();
    let attempts = index.read_for(&plan.identity.run, plan.identity.new, &log_name)?;
    if restore_tail(&volume)? {
        warnings.push(
            "the end of an earlier attempt's output was kept apart (--max-log) and is in its log now".into(),
        );
    }
    let moved = place_log(plan, &volume, &attempts)?;
    let (mut log, stat) = volume.open_log(plan.log_mode)?;
    let earlier: Vec<&Attempt> =
        attempts.iter().filter(|known| known.started.run == plan.identity.run).collect();
    let attempt = earlier.last().map_or(1, |last| last.started.attempt + 1);
    let started = Started {
        run: plan.identity.run.clone(),
        attempt,
        at: now(),
        log: log_name.into_owned(),
        offset: u64::try_from(stat.st_size).unwrap_or(0),
        release: plan.identity.release.clone(),
        revision: plan.identity.revision.clone(),
        event_name: plan.identity.event.clone(),
        pod: plan.identity.pod.clone(),
    };
    let header = header(plan, &started, attempts.last());
    // First the index: a header without an entry would be nobody's.
    let entry = Line::Start(started.clone());
    if let Err(error) = index.append(&entry) {
        // Logs of earlier runs that are too many may be what fills the volume.
        make_room(error, plan.keep, &volume)?;
        index.append(&entry)?;
    }
    let begun = begin_log(&mut log, &header, &started, &volume).or_else(|error| {
        make_room(error, plan.keep, &volume)?;
        begin_log(&mut log, &header, &started, &volume)
    });
    if let Err(error) = begun {
        // It was not killed, which is what an entry without an end says.
        let ended = index.append(&Line::End(unopened(&started, &error)));
        if ended.is_err() && !plan.shared {
            let _ = index.withdraw();
        }
        return Err(error.into());
    }
    let directory = volume.directory.duplicate().map_err(VolumeError::at("open", &volume.log_path))?;
    let log = LogFile {
        file: log,
        directory: Some(File::from(directory.into_fd())),
        name: volume.log_path.clone(),
    };
    if moved && let Err(error) = prune(plan.keep, &volume) {
        warnings.push(format!("too many logs of earlier runs are kept: {error}"));
    }
    let diary = diagnostics::open(&volume.state).ok();
    let opened = Opened { volume, attempt, index, warnings, diary, _lock: lock };
    Ok(Try::Opened(Box::new(opened), log))
}

/// The header into the log, and both durable: or nothing of it. From here on a power cut leaves at least that this
/// attempt was begun, and where.
fn begin_log(log: &mut File, header: &str, started: &Started, volume: &Volume) -> Result<(), VolumeError> {
    let write = |log: &mut File| {
        log.write_all(header.as_bytes()).map_err(VolumeError::at("write to", &volume.log_path))?;
        log.sync_data().map_err(VolumeError::at("sync", &volume.log_path))?;
        volume.directory.sync().map_err(VolumeError::at("sync the directory of", &volume.log_path))
    };
    write(log).inspect_err(|_| {
        // What is there of it stays when the volume does not even do that.
        let _ = log.set_len(started.offset);
    })
}

/// The end of an attempt whose header could not be written.
fn unopened(started: &Started, error: &VolumeError) -> index::Ended {
    index::Ended {
        run: started.run.clone(),
        attempt: started.attempt,
        at: now(),
        status: Kind::Io.status(),
        result: Kind::Io.word().into(),
        message: error.to_string(),
        duration_ms: 0,
        files_copied: 0,
    }
}

/// After `error`, which is given back when it does not say that the volume is full: removes logs of earlier runs that
/// are too many.
fn make_room(error: VolumeError, keep: Keep, volume: &Volume) -> Result<(), VolumeError> {
    if is_full(&error) { prune(keep, volume) } else { Err(error) }
}

fn is_full(error: &VolumeError) -> bool {
    matches!(error.source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

fn prune(keep: Keep, volume: &Volume) -> Result<(), VolumeError> {
    Archive::open(volume)?.prune(keep.runs, keep.bytes).map(drop)
}

/// Puts what `--max-log` kept apart at the end of the log of an attempt that was killed.
fn restore_tail(volume: &Volume) -> Result<bool, VolumeError> {
    let log = || volume.directory.open_regular(&volume.log_name, OFlags::RDWR | OFlags::APPEND, 0).ok();
    recover_tail(&volume.state, &volume.log_name, log)
        .map_err(VolumeError::at("restore the end of", &volume.log_path))
}

/// Sees to it that the log under the current name is that of this run: another run's is archived first, and
/// this run's own is brought back when another ran in between. True when one was archived or may have been.
fn place_log(plan: &Plan, volume: &Volume, attempts: &[Attempt]) -> Result<bool, VolumeError> {
    let name = volume.log_name.to_string_lossy();
    let here = attempts.iter().rev().find(|known| known.started.log == name);
    let current = volume
        .directory
        .find(&volume.log_name)
        .map_err(VolumeError::at("look for", &volume.log_path))?
        // Whatever else stands there is not ours to move; opening it says what is wrong with it.
        .filter(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
        .filter(|stat| stat.st_size > 0 && stat.st_nlink == 1);
    if here.is_some_and(|known| known.started.run == plan.identity.run) && current.is_some() {
        return Ok(false);
    }
    let archive = Archive::open(volume)?;
    if let Some(stat) = current {
        // A log without an entry was written by something else, or the state directory is new.
        let run =
            here.map_or_else(|| format!("unknown-{}", stat.st_mtime), |known| known.started.run.clone());
        archive.put_away(&run)?;
    }
    if !plan.identity.new {
        archive.bring_back(&plan.identity.run)?;
    }
    Ok(true)
}

fn header(plan: &Plan, started: &Started, last: Option<&Attempt>) -> String {
    let identity = &plan.identity;
    let release = identity.release_text();
    let title = if release.is_empty() {
        format!("{} of run {}", started.attempt, started.run)
    } else {
        format!("{} of run {} ({release})", started.attempt, started.run)
    };
    let mut rows = vec![
        ("started", format!("{} by hook-runner {}", started.at, env!("CARGO_PKG_VERSION"))),
        ("where", identity.place_text()),
    ];
    if let Some(chart) = &identity.chart {
        rows.push(("chart", chart.clone()));
    }
    if let Some(text) = last.and_then(|last| earlier_text(last, &started.run)) {
        rows.push(("before", text));
    }
    rows.extend(plan.rows.iter().cloned());
    frame::header(&title, &rows)
}

/// What to know of the attempt before this one: nothing, when that was another run that ended well.
fn earlier_text(last: &Attempt, run: &str) -> Option<String> {
    let same = last.started.run == run;
    let who = if same {
        format!("attempt {}", last.started.attempt)
    } else {
        format!("attempt {} of run {}", last.started.attempt, last.started.run)
    };
    match &last.ended {
        None => Some(format!(
            "{who} was interrupted: it started at {} and has no end (killed, out of memory, or the node went down)",
            last.started.at
        )),
        Some(end) if end.status == 0 => same.then(|| format!("{who} succeeded at {}", end.at)),
        Some(end) => Some(format!("{who} ended at {} with status {}: {}", end.at, end.status, end.message)),
    }
}

impl Opened {
    /// Enters the end of the attempt in the index; what is entered later of the same attempt counts.
    pub fn enter_end(&self, ended: index::Ended) -> Result<(), VolumeError> {
        self.index.append(&Line::End(ended))
    }
}
