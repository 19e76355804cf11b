//! Starts one command: looks it up in PATH as execvp(3) does, and starts it in its own process group or session, with
//! the signal mask and dispositions that the runner was started with, and with only the descriptors it should have.
//!
//! `posix_spawn(3)` uses vfork(2): the cost does not grow with the runner, and execve(2)'s error is returned.

use nix::libc;
use std::ffi::{CStr, CString, NulError, OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::unistd::{AccessFlags, Pid, access};

use super::command::{ChildStdio, Command};
use super::signals::{Before, as_sigset, restore_kept};
use super::spawn_error::{Reason, SpawnError};
use super::terminal::{SessionTerminal, make_controlling};
use crate::support::signal_mask::block_all;

/// The environment of this process as C strings.
pub(super) fn inherited() -> Vec<CString> {
    // Never drops a variable: they came as C strings.
    std::env::vars_os().filter_map(|(name, value)| entry(name, &value).ok()).collect()
}

/// Starts `command`. Its process group (or session) has its process id. `terminal` becomes that session's terminal.
pub(super) fn spawn(
    command: &Command,
    stdio: &ChildStdio,
    terminal: Option<&SessionTerminal>,
    before: &Before,
    inherited: &[CString],
) -> Result<Pid, SpawnError> {
    let program = command.argv.first().map_or(OsStr::new(""), OsString::as_os_str);
    let file = match &command.workdir {
        Some(directory) => find_from(directory, program)?,
        None => find(program)?,
    };
    if before.sigchld_ignored || terminal.is_some() || command.workdir.is_some() {
        return spawn_by_fork(&file, command, stdio, terminal, before);
    }
    let argv = c_strings(&command.argv, &file)?;
    let added = added(command, &file)?;
    let env = environment(&added, inherited);
    let start = || -> nix::Result<Pid> {
        let mut actions = PosixSpawnFileActions::init()?;
        for (number, fd) in (1..).zip(stdio.pair()) {
            if let Some(fd) = fd {
                actions.add_dup2(fd, number)?;
            }
        }
        let mut attr = PosixSpawnAttr::init()?;
        let mut flags = PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK;
        attr.set_sigmask(&as_sigset(before.mask))?;
        if command.setsid {
            flags |= PosixSpawnFlags::from_bits_retain(libc::c_int::from(libc::POSIX_SPAWN_SETSID));
        } else {
            flags |= PosixSpawnFlags::POSIX_SPAWN_SETPGROUP;
            attr.set_pgroup(Pid::from_raw(0))?;
        }
        flags |= PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF;
        attr.set_sigdefault(&as_sigset(before.to_default))?;
        attr.set_flags(flags)?;
        posix_spawn(file.as_os_str(), &actions, &attr, &argv, &env)
    };
    let started = start();
    // Cannot fail here if it did not at the start.
    let _ = block_all();
    started.map_err(|errno| SpawnError::explain(&file, errno))
}

/// For the rare start in which the child must do what `posix_spawn(3)` cannot: ignore SIGCHLD, take a terminal, or
/// change the directory.
fn spawn_by_fork(
    file: &Path,
    command: &Command,
    stdio: &ChildStdio,
    terminal: Option<&SessionTerminal>,
    before: &Before,
) -> Result<Pid, SpawnError> {
    let refused = |error: io::Error| {
        SpawnError::explain(file, error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
    };
    let mut child = std::process::Command::new(file);
    child.arg0(&command.argv[0]).args(&command.argv[1..]).envs(command.env.iter().map(|(k, v)| (k, v)));
    if let Some(directory) = &command.workdir {
        child.current_dir(directory);
    }
    if let Some(out) = &stdio.stdout {
        child.stdout(out.try_clone().map_err(refused)?);
    }
    if let Some(err) = stdio.stderr.as_ref().or(stdio.stdout.as_ref()) {
        child.stderr(err.try_clone().map_err(refused)?);
    }
    if !command.setsid {
        child.process_group(0);
    }
    let (before, setsid, terminal) = (*before, command.setsid, terminal.map(SessionTerminal::descriptor));
    // SAFETY: the closure only makes system calls and allocates nothing.
    unsafe {
        child.pre_exec(move || {
            if setsid {
                nix::unistd::setsid()?;
            }
            if let Some(terminal) = terminal {
                // Fails if the terminal has gone away; then nobody needs it.
                let _ = make_controlling(terminal);
            }
            if before.sigchld_ignored {
                libc::signal(libc::SIGCHLD, libc::SIG_IGN);
            }
            restore_kept(before.to_default)?;
            if before.sigpipe_ignored {
                libc::signal(libc::SIGPIPE, libc::SIG_IGN);
            }
            as_sigset(before.mask).thread_set_mask()?;
            Ok(())
        });
    }
    let child = child.spawn().map_err(refused)?;
    i32::try_from(child.id()).map(Pid::from_raw).map_err(|_| refused(io::ErrorKind::InvalidData.into()))
}

fn c_strings(words: &[OsString], file: &Path) -> Result<Vec<CString>, SpawnError> {
    words
        .iter()
        .map(|word| CString::new(word.as_bytes()).map_err(|_| SpawnError::nul(file.as_os_str())))
        .collect()
}

fn added(command: &Command, file: &Path) -> Result<Vec<CString>, SpawnError> {
    command
        .env
        .iter()
        .map(|(name, value)| entry(name.clone(), value).map_err(|_| SpawnError::nul(file.as_os_str())))
        .collect()
}

fn entry(name: OsString, value: &OsStr) -> Result<CString, NulError> {
    let mut entry = name.into_vec();
    entry.push(b'=');
    entry.extend_from_slice(value.as_bytes());
    CString::new(entry)
}

/// The inherited environment, with added variables replacing those of the same name.
fn environment<'a>(added: &'a [CString], inherited: &'a [CString]) -> Vec<&'a CStr> {
    let name = |entry: &'a CString| {
        let entry = entry.as_bytes();
        // As in the standard library, a name may begin with `=`.
        let end = entry.iter().skip(1).position(|&byte| byte == b'=').map_or(entry.len(), |at| at + 1);
        &entry[..end]
    };
    let kept = inherited.iter().filter(|entry| added.iter().all(|added| name(added) != name(entry)));
    kept.chain(added).map(CString::as_c_str).collect()
}

/// As [`find`], for a command that starts in `directory`: relative paths start there.
fn find_from(directory: &Path, program: &OsStr) -> Result<PathBuf, SpawnError> {
    let refused =
        |why| SpawnError { command: program.into(), reason: Reason::Workdir { path: directory.into(), why } };
    match directory.metadata() {
        Ok(metadata) if !metadata.is_dir() => return Err(refused("it is no directory")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(refused("it does not exist")),
        _ if access(directory, AccessFlags::X_OK).is_err() => return Err(refused("this user may not")),
        _ => {}
    }
    let found = if program.as_bytes().contains(&b'/') { directory.join(program) } else { find(program)? };
    Ok(std::path::absolute(&found).unwrap_or(found))
}

/// As execvp(3): a name with a slash is a path, otherwise the first executable file in PATH. If there are only files
/// that cannot be executed, returns the first of those, so that the reason can be reported.
fn find(program: &OsStr) -> Result<PathBuf, SpawnError> {
    if program.as_bytes().contains(&b'/') {
        return Ok(program.into());
    }
    // The default in musl's execvp(3) and in container runtimes.
    let path = std::env::var_os("PATH")
        .unwrap_or_else(|| "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into());
    let mut refused = None;
    if !program.is_empty() {
        for directory in std::env::split_paths(&path) {
            let file = directory.join(program);
            match access(&file, AccessFlags::X_OK) {
                Ok(()) if !file.is_dir() => return Ok(file),
                Err(Errno::EACCES) if refused.is_none() && file.is_file() => refused = Some(file),
                _ => {}
            }
        }
    }
    refused.ok_or_else(|| SpawnError { command: program.into(), reason: Reason::NotInPath { path } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_stands_in_place_of_what_is_inherited() {
        let entries = |texts: &[&str]| -> Vec<CString> {
            texts.iter().map(|text| CString::new(*text).unwrap()).collect()
        };
        let inherited = entries(&["A=1", "AB=2", "=odd=3", "EMPTY="]);
        let added = entries(&["A=4", "NEW=5"]);
        let got: Vec<_> =
            environment(&added, &inherited).iter().map(|entry| entry.to_str().unwrap()).collect();
        assert_eq!(got, ["AB=2", "=odd=3", "EMPTY=", "A=4", "NEW=5"]);
    }
}
