//! A terminal whose keyboard and screen the test has (pty(7)).

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex};

use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::stat::Mode;
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};

use crate::support::harness::eventually;

pub(crate) struct Terminal {
    keyboard: File,
    /// The end that programs are given.
    pub(crate) line: OwnedFd,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// Its screen is read for as long as somebody has the line open.
    pub(crate) fn open() -> Self {
        // Not openpty(3): other tests start programs meanwhile, which must not inherit it.
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let master = posix_openpt(flags).expect("a terminal");
        grantpt(&master).expect("granted");
        unlockpt(&master).expect("unlocked");
        let line =
            open(ptsname_r(&master).expect("a name").as_str(), flags, Mode::empty()).expect("its line");
        let keyboard = File::from(OwnedFd::from(master));
        let mut screen = keyboard.try_clone().expect("a descriptor");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let shown = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            // EIO when nobody has the line open any more.
            while let Ok(n @ 1..) = screen.read(&mut chunk) {
                shown.lock().expect("no panic").extend_from_slice(&chunk[..n]);
            }
        });
        Self { keyboard, line, seen }
    }

    pub(crate) fn screen(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().expect("no panic")).replace('\r', "")
    }

    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str) {
        eventually(&format!("{text:?} on the screen"), || self.screen().contains(text).then_some(()));
    }

    pub(crate) fn type_in(&self, keys: &str) {
        (&self.keyboard).write_all(keys.as_bytes()).expect("a keyboard");
    }
}

/// Keyboard and screen, and the end that programs are given.
fn pair() -> (File, OwnedFd) {
    // Not openpty(3): other tests start programs meanwhile, which must not inherit it.
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let master = posix_openpt(flags).expect("a terminal");
    grantpt(&master).expect("granted");
    unlockpt(&master).expect("unlocked");
    let line = open(ptsname_r(&master).expect("a name").as_str(), flags, Mode::empty()).expect("its line");
    (File::from(OwnedFd::from(master)), line)
}

/// A terminal whose reader has stopped as soon as there was room, which is given back by the kilobyte: poll(2) calls it
/// writable, and a write of four waits. The first is its screen.
pub(crate) fn nearly_full() -> (File, OwnedFd) {
    let (mut screen, line) = pair();
    let mut settings = tcgetattr(&line).expect("settings");
    cfmakeraw(&mut settings);
    tcsetattr(&line, SetArg::TCSANOW, &settings).expect("settings");
    let flags = OFlag::O_WRONLY | OFlag::O_NOCTTY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let mut filler =
        File::from(open(&*format!("/proc/self/fd/{}", line.as_raw_fd()), flags, Mode::empty()).expect("it"));
    // Twice: at first what has been read makes room for what waits inside.
    for _ in 0..2 {
        eventually("it is full and stays so", || {
            while filler.write(b"x").is_ok() {}
            std::thread::sleep(std::time::Duration::from_millis(100));
            (!has_room(&line)).then_some(())
        });
        while !has_room(&line) {
            screen.read_exact(&mut [0; 64]).expect("what was written");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
    (screen, line)
}

fn has_room(line: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(line.as_fd(), PollFlags::POLLOUT)];
    poll(&mut fds, PollTimeout::ZERO) == Ok(1)
}
