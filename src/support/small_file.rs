//! Reads a file that an option names, with limits on size and time. The path may be a pipe without a writer or an
//! endless device, and no time limit of the hook runs yet.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::sizes::human_bytes;

/// How long a pipe's writer (such as a shell's `<(command)`) may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The content of `path`, at most `most` bytes.
///
/// # Errors
/// What the system answers, `FileTooLarge`, or `TimedOut` for a pipe that is still open after ten seconds.
pub(crate) fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let end = Instant::now() + PATIENCE;
    let (mut limited, mut content) = ((&file).take(most + 1), Vec::new());
    loop {
        match limited.read_to_end(&mut content) {
            Ok(_) if content.len() as u64 > most => {
                let message = format!("it is larger than {}", human_bytes(most));
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
            }
            Ok(_) => return Ok(content),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait(&file, end)?,
            Err(error) => return Err(error),
        }
    }
}

fn wait(file: &File, end: Instant) -> io::Result<()> {
    let left = end.saturating_duration_since(Instant::now());
    let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
    match poll(&mut [PollFd::new(file.as_fd(), PollFlags::POLLIN)], timeout)? {
        0 => Err(io::Error::new(io::ErrorKind::TimedOut, "its writer did not end within 10 s")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_a_pipe_without_a_writer_nor_a_device_without_an_end_holds_the_reader() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(read(&path, 10).unwrap(), b"");
        assert_eq!(read(Path::new("/dev/zero"), 10).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        std::fs::write(directory.path().join("file"), "0123456789").unwrap();
        assert_eq!(read(&directory.path().join("file"), 10).unwrap(), b"0123456789");
    }

    #[test]
    fn a_pipe_is_read_to_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        // Opened for reading and writing, so that the open does not wait for a reader.
        let mut writer = File::options().read(true).write(true).open(&path).unwrap();
        std::io::Write::write_all(&mut writer, b"first ").unwrap();
        let writer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            std::io::Write::write_all(&mut writer, b"second").unwrap();
        });
        assert_eq!(read(&path, 100).unwrap(), b"first second");
        writer.join().unwrap();
    }
}
