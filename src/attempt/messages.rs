//! Turns errors of lower rooms into the user's message: the kind of failure and what to do about it. The only place
//! where they get their exit status.

use std::io;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;

use crate::attempt::open::OpenError;
use crate::attempt::outcome::Failure;
use crate::attempt::volumes::SyncError;
use crate::copy;
use crate::exit::Kind;
use crate::kubernetes;
use crate::output::LogFailure;
use crate::process::Stop;
use crate::steps::copy::TurnError;
use crate::steps::follow::FollowError;
use crate::steps::wait::NotMet;
use crate::support::cause::{Cause, words};
use crate::support::durations::shown;
use crate::support::sizes::human_bytes;
use crate::volume::lock::Holder;
use crate::volume::{LogProblem, SealError, VolumeError};

/// Kubernetes stops a pod with TERM (`kubectl delete pod`, a drain, a deadline).
const TERM: u8 = 15;

pub(crate) fn stopped(when: &str) -> Failure {
    stopped_by(None, when)
}

/// As [`stopped`], with what is known of the signal.
pub(crate) fn stopped_by(stop: Option<&Stop>, when: &str) -> Failure {
    let signal = stop.map_or(TERM, |stop| stop.signal);
    let by = stop.map_or_else(|| "a signal".to_owned(), ToString::to_string);
    Failure::new(Kind::Stopped(signal), format!("stopped by {by} {when}")).advise(
        "the pod was deleted or evicted, or activeDeadlineSeconds was over; the next attempt goes on from here",
    )
}

/// Advice when the system has run out of a resource.
const LIMITS: &str =
    "raise the limits of open files, processes or memory (ulimit -n, -u and -v, the pod's limits)";

pub(crate) fn hung(what: &str) -> Failure {
    Failure::new(Kind::Io, format!("the volume hangs: {what} did not end"))
        .because(Cause::Hung.word())
        .advise(volume_advice(Cause::Hung))
}

/// A second signal to stop interrupted work on the volume.
pub(crate) fn cut_short(what: &str, stop: Option<&Stop>) -> Failure {
    let first = stop.map_or_else(String::new, |stop| format!("after {stop} "));
    Failure::new(Kind::Io, format!("{what} was cut short: {first}a second signal to stop came"))
        .because(Cause::Io.word())
        .advise("leave the end of an attempt its time (terminationGracePeriodSeconds); the next attempt goes on from here")
}

/// A fault of ours, or of a machine that can start no thread.
pub(crate) fn fault(error: io::Error) -> Failure {
    Failure::new(Kind::Fault, words(&error))
}

/// No thread, pipe or descriptor is left for the output.
pub(crate) fn no_tee(error: &io::Error) -> Failure {
    Failure::new(Kind::Fault, format!("cannot take the output: {}", words(error))).advise(LIMITS)
}

/// The attempt could not be opened.
pub(crate) fn open(error: OpenError, stop: Option<&Stop>) -> Failure {
    let message = error.to_string();
    match error {
        OpenError::Volume(error) | OpenError::Log(LogProblem::Volume(error)) => store(&error),
        OpenError::Log(LogProblem::State { .. }) => {
            Failure::new(Kind::Config, message).advise("give --state another directory, or leave it out")
        }
        OpenError::Log(LogProblem::Path { .. }) => {
            Failure::new(Kind::Config, message).advise("give --log another path")
        }
        OpenError::Log(_) => {
            Failure::new(Kind::Config, message).advise("give --log another path, or move the file away")
        }
        OpenError::Locked { state, holder, waited } => locked(&state, &holder, waited),
        OpenError::Thread(_) => Failure::new(Kind::Fault, message),
        OpenError::Cancelled => stopped_by(stop, "before the first step"),
    }
}

/// Another run holds the volume.
pub(crate) fn locked(state: &Path, holder: &Holder, waited: Duration) -> Failure {
    let waited = shown(waited);
    let message = format!("another run holds the volume ({}): {holder}; waited {waited}", state.display());
    Failure::new(Kind::Locked, message)
        .advise("wait for it or stop it, or raise --lock-timeout; the lock goes with its process")
}

/// A file of the runner's own failed.
pub(crate) fn store(error: &VolumeError) -> Failure {
    let cause = Cause::of(&error.source);
    let is_ours = error.source.raw_os_error().is_none();
    let advice = match error.source.kind() {
        io::ErrorKind::PermissionDenied => {
            "let the pod's user write there (fsGroup, or the directory's mode), or give --log and --state elsewhere"
        }
        io::ErrorKind::InvalidInput if is_ours => "remove it, or give --log elsewhere",
        io::ErrorKind::IsADirectory => "name a file in it, or remove it",
        _ => match error.source.raw_os_error() {
            Some(nix::libc::ELOOP | nix::libc::ENOTDIR) => {
                "it must be a directory, and no link on the volume is followed; remove it, or give another path"
            }
            Some(nix::libc::EMFILE | nix::libc::ENFILE | nix::libc::ENOMEM) => LIMITS,
            _ => volume_advice(cause),
        },
    };
    Failure::new(Kind::Io, error.to_string()).because(cause.word()).advise(advice)
}

pub(crate) fn log(log: &str, failure: &LogFailure, missed: u64) -> Failure {
    if failure.cause == Cause::Removed {
        return not_whole(log, &failure.message);
    }
    let missing = if missed > 0 { format!(", {missed} bytes are missing") } else { String::new() };
    Failure::new(Kind::Io, format!("the preserved log {log} is incomplete: {failure}{missing}"))
        .because(failure.cause.word())
        .advise(volume_advice(failure.cause))
}

/// The hook removed its log or a part of it.
fn not_whole(log: &str, how: &str) -> Failure {
    Failure::new(Kind::Io, format!("the preserved log {log} is not whole: {how}"))
        .because(Cause::Removed.word())
        .advise("let the hook leave its log alone, or give --log outside of what it cleans")
}

pub(crate) fn seal(error: &SealError, log: Option<&str>) -> Failure {
    let log = log.unwrap_or_default();
    match error {
        SealError::Removed(how) => not_whole(log, how),
        SealError::Io { operation, source } => {
            let (cause, why) = (Cause::of(source), words(source));
            let message =
                format!("the preserved log {log} is not durable: {operation} failed: {why} ({cause})");
            Failure::new(Kind::Io, message).because(cause.word()).advise(volume_advice(cause))
        }
    }
}

/// A volume that steps wrote to could not be opened or synced.
pub(crate) fn sync(error: &SyncError) -> Failure {
    let cause = Cause::of(&error.source);
    Failure::new(Kind::Io, error.to_string()).because(cause.word()).advise(volume_advice(cause))
}

/// A path of `sync` does not exist at the end.
pub(crate) fn nothing_to_sync(path: &Path) -> Failure {
    Failure::new(Kind::Io, format!("cannot sync the volume of {}: nothing is there", path.display()))
        .advise("give with --sync, or the hook file's sync, a path that the steps leave on the volume")
}

/// A wait that can never succeed.
pub(crate) fn wrong_wait(error: &NotMet) -> Failure {
    Failure::new(Kind::Config, error.to_string()).advise(error.advice())
}

pub(crate) fn copy(error: &copy::Error) -> Failure {
    if error.cause() == copy::Cause::Config {
        // 78 promises that nothing was changed.
        let kind = if error.begun { Kind::Io } else { Kind::Config };
        return Failure::new(kind, error.to_string())
            .advise("correct the copy's source, destination or options");
    }
    let cause = match error.cause() {
        copy::Cause::NoSpace => Cause::NoSpace,
        copy::Cause::ReadOnly => Cause::ReadOnly,
        copy::Cause::Stale => Cause::Stale,
        copy::Cause::Config | copy::Cause::Io | copy::Cause::Cancelled => Cause::Io,
    };
    let reached = error.reached;
    let message = if reached.files > 0 {
        format!("{error} (after {} files, {})", reached.files, human_bytes(reached.bytes))
    } else {
        error.to_string()
    };
    let failure = Failure::new(Kind::Io, message).because(cause.word());
    match (cause, error.errno().map(Errno::from_raw)) {
        // Without a system error this is not about the volume, and the message says what to do.
        (Cause::Io, None) => failure,
        (Cause::Io, Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM)) => failure.advise(LIMITS),
        (Cause::Io, Some(Errno::EACCES)) => {
            failure.advise("let the pod's user write there (fsGroup, or the directory's mode)")
        }
        (Cause::Io, Some(Errno::EPERM)) => failure
            .advise("see whose it is, and whether it is immutable or append-only (lsattr); let the pod's user change it"),
        (cause, _) => failure.advise(volume_advice(cause)),
    }
}

/// The copy did not get its turn.
pub(crate) fn turn(error: &TurnError) -> Failure {
    match error {
        TurnError::Lock(error) => store(error),
        TurnError::Busy { state, holder, waited } => locked(state, holder, *waited),
        TurnError::Cancelled => stopped("before the copy"),
    }
}

pub(crate) fn follow_step(error: &FollowError) -> Failure {
    match error {
        FollowError::Follow(error) => follow(error),
        FollowError::Volume(error) => store(error),
        FollowError::System(error) => Failure::new(Kind::Fault, words(error)),
    }
}

fn follow(error: &kubernetes::Failure) -> Failure {
    let message = error.to_string();
    match error {
        kubernetes::Failure::Api(error) => Failure::new(Kind::Config, message).advise(error.advice()),
        kubernetes::Failure::UnknownContainer { .. } => {
            Failure::new(Kind::Config, message).advise("correct --container")
        }
        kubernetes::Failure::LogLost { .. } => Failure::new(Kind::Io, message)
            .advise("see the kubelet's log; what came before is in the preserved log"),
        kubernetes::Failure::Gone { .. } => {
            Failure::new(Kind::Io, message).advise("give the pod restartPolicy: Never")
        }
        kubernetes::Failure::Sink { .. } => Failure::new(Kind::Fault, message),
    }
}

/// How the other container ended: in words if it succeeded, else the failure.
pub(crate) fn followed(container: &str, ended: &kubernetes::Ended) -> Result<String, Failure> {
    let how = &ended.how;
    let reason = match (how.reason.as_str(), how.message.trim()) {
        ("" | "Completed" | "Error", _) => String::new(),
        (reason, "") => format!(" ({reason})"),
        (reason, message) => format!(" ({reason}: {message})"),
    };
    let verb = if how.never_started() { "could not be started, status" } else { "exited with" };
    let text = format!("container {container} {verb} {}{reason}", how.exit_code);
    // The API's type is int32; the exit code of a Linux container fits.
    let status = u8::try_from(how.exit_code).unwrap_or(u8::MAX);
    match (status, ended.gaps) {
        (0, 0) => Ok(text),
        (0, gaps) => Err(Failure::new(
            Kind::Io,
            format!("{text}, and its log has gaps: {gaps} times lines may be missing, marked in the log"),
        )
        .advise(
            "list the sidecar before the container in the pod, so that it starts first; else the container prints faster than the kubelet keeps: raise the kubelet's containerLogMaxSize",
        )),
        _ if how.never_started() => Err(Failure::new(Kind::Command(status), text)
            .advise("check the container's command, its image and its volumes")),
        (137, _) => Err(Failure::new(Kind::Command(status), text)
            .advise("see the container's memory limit, and whether the pod was being stopped")),
        _ => Err(Failure::new(Kind::Command(status), text).advise("its output says why")),
    }
}

pub(crate) fn timed_out(limit: Option<Duration>, what: &str) -> Failure {
    let limit = shown(limit.unwrap_or_default());
    Failure::new(Kind::Timeout, format!("the attempt's time of {limit} was over: {what}"))
        .advise("raise --timeout (and helm --timeout above it), or see what took so long")
}

fn volume_advice(cause: Cause) -> &'static str {
    match cause {
        Cause::NoSpace => "free space on the volume or enlarge its claim; a retry goes on from here",
        Cause::ReadOnly => "see why the volume is read-only (readOnly in the pod, or errors of its device)",
        Cause::Stale => "the NFS server no longer knows the file; a new pod mounts the volume anew",
        Cause::Hung => "the volume does not answer; see its server and the node's kernel log",
        Cause::Removed | Cause::Io => "see the volume's state and the node's kernel log",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_that_ended_well_is_no_success_where_its_log_has_gaps() {
        #[allow(clippy::default_trait_access)]
        let mut ended = kubernetes::Ended { how: Default::default(), gaps: 0, mid_line: false };
        assert_eq!(followed("hook", &ended).unwrap(), "container hook exited with 0");
        ended.gaps = 1;
        assert_eq!(followed("hook", &ended).unwrap_err().kind, Kind::Io);
        ended.how.exit_code = 7;
        assert_eq!(followed("hook", &ended).unwrap_err().kind, Kind::Command(7));
    }
}
