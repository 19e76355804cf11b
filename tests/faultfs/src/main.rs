//! The daemon: mounts, says `ready`, serves until it is unmounted or told to end by SIGTERM or SIGINT.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use faultfs::control;
use faultfs::fault::parse_duration;
use faultfs::gate::Gate;
use faultfs::manners::{Manner, Manners};
use faultfs::passthrough::Passthrough;
use fuser::{Config, MountOption, Session, SessionACL};

const USAGE: &str = "\
usage: faultfs [--control SOCKET] [--delay 1ms] [--ttl 1s] [--threads 64] [--manner NAME]… BACKING MOUNTPOINT
       faultfs ctl SOCKET set OPS errno ERRNO|delay TIME|hang [after-bytes N] [after-ops N] [times N] [path PART]
       faultfs ctl SOCKET clear [OPS]
       faultfs ctl SOCKET stats";

/// How long files that are still open in an unmounted filesystem are served.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.split_first() {
        Some((first, rest)) if first == "ctl" => tell(rest),
        _ => Options::parse(arguments).and_then(|options| serve(&options)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("faultfs: {error}");
            ExitCode::FAILURE
        }
    }
}

fn tell(arguments: &[String]) -> io::Result<()> {
    let (socket, words) = arguments.split_first().ok_or_else(|| io::Error::other(USAGE))?;
    println!("{}", control::command(Path::new(socket), &words.join(" "))?);
    Ok(())
}

struct Options {
    backing: PathBuf,
    mountpoint: PathBuf,
    control: Option<PathBuf>,
    delay: Duration,
    ttl: Duration,
    threads: usize,
    manners: Vec<Manner>,
}

impl Options {
    fn parse(arguments: Vec<String>) -> io::Result<Options> {
        let usage = || io::Error::other(USAGE);
        let (mut control, mut delay, mut ttl, mut threads) =
            (None, Duration::ZERO, Duration::from_secs(1), 64);
        let (mut paths, mut manners) = (Vec::new(), Vec::new());
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(usage);
            match argument.as_str() {
                "--control" => control = Some(PathBuf::from(value()?)),
                "--delay" => delay = parse_duration(&value()?).map_err(io::Error::other)?,
                "--ttl" => ttl = parse_duration(&value()?).map_err(io::Error::other)?,
                "--threads" => threads = value()?.parse().map_err(io::Error::other)?,
                "--manner" => manners.push(value()?.parse().map_err(io::Error::other)?),
                option if option.starts_with('-') => return Err(usage()),
                path => paths.push(PathBuf::from(path)),
            }
        }
        let [backing, mountpoint] = <[PathBuf; 2]>::try_from(paths).map_err(|_| usage())?;
        Ok(Options { backing, mountpoint, control, delay, ttl, threads, manners })
    }
}

fn serve(options: &Options) -> io::Result<()> {
    let gate = Arc::new(Gate::new(options.delay));
    let filesystem = Passthrough::new(
        &options.backing,
        Arc::clone(&gate),
        Manners::new(options.manners.clone()),
        options.ttl,
    )?;
    // The modes of new entries come from the kernel, which has applied the caller's umask.
    rustix::process::umask(rustix::fs::Mode::empty());
    let signals = block_signals()?;

    let root = rustix::process::geteuid().is_root();
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName("faultfs".into()),
        MountOption::Subtype("faultfs".into()),
        MountOption::DefaultPermissions,
    ];
    config.acl = if root { SessionACL::All } else { SessionACL::Owner };
    config.n_threads = Some(options.threads);
    let mut session = Session::new(filesystem, &options.mountpoint, &config)?;
    let mut unmounter = session.unmount_callable();
    if let Some(socket) = &options.control {
        control::serve(socket, Arc::clone(&gate))?;
    }
    let mountpoint = options.mountpoint.clone();
    thread::Builder::new().name("signals".into()).spawn(move || {
        wait_for(&signals);
        gate.close();
        if unmounter.unmount().is_err() {
            // Files are still open in it: take it out of sight; it ends with the last of them, or without them.
            let _ = rustix::mount::unmount(&mountpoint, rustix::mount::UnmountFlags::DETACH);
            thread::sleep(PATIENCE);
            std::process::exit(0);
        }
    })?;
    io::stdout().write_all(b"ready\n")?;
    session.run()
}

/// SIGTERM and SIGINT, blocked in this thread and so in all that follow, to be waited for in one.
fn block_signals() -> io::Result<libc::sigset_t> {
    // SAFETY: a plain C struct; sigemptyset below gives it its value.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is a valid signal set to write to.
    unsafe { libc::sigemptyset(&raw mut set) };
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // SAFETY: `set` was initialised above and the signals exist.
        unsafe { libc::sigaddset(&raw mut set, signal) };
    }
    // SAFETY: `set` is initialised; the old mask is not wanted.
    match unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) } {
        0 => Ok(set),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

fn wait_for(set: &libc::sigset_t) {
    let mut signal = 0;
    // SAFETY: `set` is initialised and `signal` is writable.
    unsafe { libc::sigwait(std::ptr::from_ref(set), &raw mut signal) };
}
