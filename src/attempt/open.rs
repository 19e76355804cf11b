//! Opens an attempt: the lock, the history, the log under its name, the header. All of this touches the volume and so
//! runs on its own thread; only waiting for the lock happens here.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::header::{self, Plan};
use super::outcome::SUCCEEDED;
use crate::diagnostics;
use crate::exit::Kind;
use crate::output::{LogFile, MaxLog, recover_tail};
use crate::support::cause::words;
use crate::support::{blocking, times};
use crate::volume::lock::{self, Holder, Lock, Name, Taken};
use crate::volume::record::{Ended, Line, Started};
use crate::volume::{
    History, LogProblem, OpenLog, Placed, Volume, VolumeError, bring_over, check, known, place, prune,
};

/// The first pause between two tries for the lock; doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// An open attempt. Holds the lock as long as it lives.
#[derive(Debug)]
pub struct Opened {
    pub volume: Volume,
    /// The record that the header shows.
    pub started: Started,
    /// Proves the footer to be ours: the command cannot know it.
    pub key: String,
    /// The log, for writing the end. A call that hangs keeps it locked for ever.
    pub log: Mutex<OpenLog>,
    /// The file that the output was written to, once that has ended.
    pub written: Mutex<Option<File>>,
    /// Remarks for the summary: a volume without locks, a log that was repaired.
    pub warnings: Vec<String>,
    /// No earlier run of this log has succeeded.
    pub first_run: bool,
    /// The file for the runner's own diagnostics, if it can be opened.
    pub diary: Option<File>,
    /// Released at the end of the attempt.
    _lock: Option<Lock>,
}

/// Why an attempt could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Log(#[from] LogProblem),
    #[error(transparent)]
    Volume(#[from] VolumeError),
    #[error("another run holds the volume: {holder}")]
    Locked {
        /// The state directory.
        state: PathBuf,
        /// Who holds it.
        holder: Holder,
        /// Time waited.
        waited: Duration,
    },
    /// No thread can be started.
    #[error("cannot start a thread: {}", words(.0))]
    Thread(std::io::Error),
    /// Cancelled while waiting for the lock.
    #[error("cancelled while another run held the volume")]
    Cancelled,
}

enum Try {
    Opened(Box<Opened>, LogFile),
    Busy(Holder, PathBuf),
}

/// Opens the attempt; waits for the lock no longer than the plan says. If cancellation comes just as the attempt has
/// opened, it is still returned: its header is in the log, so it must be ended there.
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
            Try::Busy(holder, _) => {
                plan.waiting.set(format!("its lock is held by {holder}"));
                let waited = cancel.run_until_cancelled(sleep(pause.min(left))).await;
                waited.ok_or(OpenError::Cancelled)?;
            }
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn try_open(plan: &Plan) -> Result<Try, OpenError> {
    check(&plan.log, plan.state.as_deref())?;
    let volume = Volume::create(&plan.log, plan.state.as_deref(), plan.log_mode)?;
    let mut warnings: Vec<String> = volume.moved_aside().into_iter().collect();
    let lock =
        match lock::try_take(&volume.state, &volume.state_path, Name::Attempt, plan.shared, &holder(plan))? {
            Taken::Held(lock) => Some(lock),
            Taken::Busy(holder) => return Ok(Try::Busy(holder, volume.state_path)),
            Taken::Unsupported(error) => {
                warnings.push(format!(
                    "the volume has no file locks ({}); see to it that only one hook runs on it at a time",
                    words(&error)
                ));
                None
            }
        };
    let history = History::create(&volume)?;
    bring_over(&volume, &history)?;
    history.trim()?;
    if restore_tail(&volume)? {
        warnings.push(
            "the end of an earlier attempt's output was kept apart (--max-log) and is in its log now".into(),
        );
    }
    let max = plan.max_log.map(|bytes| max_log(bytes, &volume)).transpose()?;
    let key = key();
    let Begun { file, started, header, first_run } = begin(plan, &volume, &history, &key, &mut warnings)?;
    if let Err(error) = history.enter(&Line::Start(started.clone())) {
        // The log is the truth and holds the attempt.
        warnings.push(format!("the index has no entry for this attempt: {error}"));
    }
    let diary = diagnostics::open(&volume.state).ok();
    let duplicate = file.try_clone().map_err(VolumeError::at("open", &volume.log_path))?;
    let log = OpenLog::new(duplicate, &volume, &started, header);
    let sink = LogFile { file, name: volume.log_path.clone(), max };
    let opened = Opened {
        volume,
        started,
        key,
        log: Mutex::new(log),
        written: Mutex::new(None),
        warnings,
        first_run,
        diary,
        _lock: lock,
    };
    Ok(Try::Opened(Box::new(opened), sink))
}

/// A random key that the command cannot know, so that it cannot forge a footer.
fn key() -> String {
    let mut bytes = [0; 16];
    // getrandom(2) returns this few bytes in full, and fails only before the kernel's first entropy.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A log that ends with this attempt's header.
struct Begun {
    file: File,
    started: Started,
    header: String,
    first_run: bool,
}

/// Opens the log under its name and appends the header durably.
fn begin(
    plan: &Plan,
    volume: &Volume,
    history: &History,
    key: &str,
    warnings: &mut Vec<String>,
) -> Result<Begun, OpenError> {
    let mut before = known(volume, Some(history));
    let succeeded = |ended: &Ended| ended.status == 0 && ended.result == SUCCEEDED;
    let first_run = !before.attempts.iter().any(|attempt| attempt.ended.as_ref().is_some_and(succeeded));
    warnings.extend(before.problems);
    let mended = if before.index_is_whole { Ok(None) } else { history.mend(&before.attempts) };
    match mended {
        Ok(told) => warnings.extend(told),
        // The logs are the truth.
        Err(error) => warnings.push(format!("a damaged index stays: {error}")),
    }
    let placed = place(volume, history, &mut before.attempts, &plan.identity.run)?;
    let (mut file, size) = volume.open_log()?;
    let newline = ends_mid_line(&file, size).map_err(VolumeError::at("read", &volume.log_path))?;
    let started = header::started(plan, volume, &before.attempts, size + u64::from(newline), key);
    let header = header::text(plan, &started, before.attempts.last());
    let text = if newline { format!("\n{header}") } else { header.clone() };
    let tidy = |warnings: &mut Vec<String>| {
        if let Err(error) = prune(history, &before.attempts, plan.keep) {
            warnings.push(format!("too many logs of earlier runs are kept: {error}"));
        }
    };
    let mut written = write(&mut file, &text, size, volume);
    let is_full = |error: &VolumeError| {
        matches!(error.source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
    };
    if written.as_ref().is_err_and(is_full) {
        // Too many logs of earlier runs may be what fills the volume.
        tidy(warnings);
        written = write(&mut file, &text, size, volume);
    } else if placed == Placed::Moved {
        tidy(warnings);
    }
    if let Placed::SetAside(kept) = &placed {
        let (log, kept) = (volume.log_path.display(), kept.to_string_lossy());
        warnings.push(format!(
            "{log} was no log any more after an attempt that was killed, and is {kept} now: its command, or a power cut, had overwritten it"
        ));
    }
    match written {
        Ok(synced) => {
            let note = || {
                format!("not permitted on the volume of {}: fsync of a directory", volume.log_path.display())
            };
            warnings.extend((!synced).then(note));
            Ok(Begun { file, started, header, first_run })
        }
        Err(error) => {
            enter_unopened(history, started, &error);
            Err(error.into())
        }
    }
}

/// Enters an attempt whose header could not be written, because no log shows it. Best effort: the volume has just
/// failed.
fn enter_unopened(history: &History, started: Started, error: &VolumeError) {
    let ended = Ended {
        run: started.run.clone(),
        attempt: started.attempt,
        at: times::now(),
        status: Kind::Io.status(),
        result: Kind::Io.word().into(),
        message: error.to_string(),
        ..Ended::default()
    };
    let _ = history.enter(&Line::Start(started));
    let _ = history.enter(&Line::End(ended));
}

/// Appends the text durably or not at all. False if the filesystem cannot sync names. After this, even a power failure
/// leaves the fact that the attempt began.
fn write(file: &mut File, text: &str, size: u64, volume: &Volume) -> Result<bool, VolumeError> {
    let mut write = || {
        file.write_all(text.as_bytes()).map_err(VolumeError::at("write to", &volume.log_path))?;
        file.sync_data().map_err(VolumeError::at("sync", &volume.log_path))?;
        volume.directory.sync().map_err(VolumeError::at("sync the directory of", &volume.log_path))
    };
    write().inspect_err(|_| {
        // If even this fails, the part that was written stays.
        let _ = file.set_len(size);
    })
}

fn ends_mid_line(file: &File, size: u64) -> std::io::Result<bool> {
    let mut last = [b'\n'];
    if size > 0 {
        file.read_exact_at(&mut last, size - 1)?;
    }
    Ok(last != [b'\n'])
}

/// After a killed attempt: appends what `--max-log` kept apart to its log.
fn restore_tail(volume: &Volume) -> Result<bool, VolumeError> {
    let log = || volume.directory.open_regular(&volume.log_name, OFlags::RDWR | OFlags::APPEND, 0).ok();
    recover_tail(&volume.state, &volume.log_name, log)
        .map_err(VolumeError::at("restore the end of", &volume.log_path))
}

fn max_log(bytes: u64, volume: &Volume) -> Result<MaxLog, VolumeError> {
    let create = |directory| MaxLog::create(bytes, directory, &volume.log_name);
    let created = volume.state.reopen().and_then(create);
    created.map_err(VolumeError::at("keep the end of a long output in", &volume.state_path))
}

fn holder(plan: &Plan) -> Holder {
    Holder {
        run: plan.identity.run.clone(),
        pod: plan.identity.pod.clone().unwrap_or_default(),
        pid: std::process::id(),
        since: times::now(),
    }
}
