//! A log that takes bytes again after it has failed: a marker stands where some are missing, whole and once.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use nix::libc;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::needs;
use crate::support::harness::{LOG, Test};
use crate::support::running::Running;

#[test]
fn a_full_volume_ends_in_74_and_after_it_has_room_again_a_marker_counts_what_is_missing() {
    needs!(Mount);
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    std::fs::create_dir(&data).expect("a directory");
    mount(Some("tmpfs"), &data, Some("tmpfs"), MsFlags::empty(), Some("size=2m")).expect("a tmpfs");
    let script = "dd if=/dev/zero of=data/filler bs=64k 2>/dev/null; rm -f data/none; seq 100000; \
                  while ! [ -e go ]; do sleep 0.02; done; echo back; sleep 0.3; echo again";
    let test = Test::within(directory).args(["run", "--log", LOG, "--", "sh", "-c", script]);
    let command = test.command();
    let mut running = Running::start(command, test.into_directory());
    running.wait_for("out", "\n100000\n");
    std::fs::remove_file(running.path("data/filler")).expect("the filler");
    std::fs::write(running.path("go"), "").expect("a file");
    let status = running.end();
    let log = running.read("data/post-hook-output.txt");
    let (out, err) = (running.read("out"), running.read("err"));
    umount2(&data, MntFlags::MNT_DETACH).expect("unmounts");
    assert_eq!(status, 74, "{err}");
    assert_eq!(err.matches("the log ends at byte").count(), 1, "one line: {err}");
    assert!(err.contains("No space left on device"), "{err}");
    let output = log.split_once("--- output ---\n").expect("a header").1;
    let (body, rest) = output.split_once("hook-runner: ").expect("a marker");
    let (number, after) =
        rest.split_once(" bytes are missing here: No space left on device").expect("a marker");
    let after = &after[after.find('\n').expect("a line") + 1..after.find("--- attempt").expect("a footer")];
    assert!(after.ends_with("again\n"), "{after}");
    let missing: usize = number.parse().expect("a number");
    let kept = body.len() + after.len();
    // A marker in the middle of a line begins with a newline of its own.
    assert!(
        kept + missing == out.len() || kept + missing == out.len() + 1,
        "{kept} + {missing}, {}",
        out.len()
    );
}

/// Any process of one's own may be kept from writing behind a place in files (`RLIMIT_FSIZE`, setrlimit(2)): a write
/// across it is cut short there, the next is refused.
fn end_files_of(runner: &Running, at: u64) {
    let limit = libc::rlimit { rlim_cur: at, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: prlimit(2) reads a structure that lives across the call, and writes nothing to a null one.
    let rc =
        unsafe { libc::prlimit(runner.pid(), libc::RLIMIT_FSIZE, &raw const limit, std::ptr::null_mut()) };
    assert_eq!(rc, 0, "{}", std::io::Error::last_os_error());
}

/// A command that says a line whenever it is asked to, and its output as it comes.
struct Asked {
    running: Running,
    out: BufReader<std::process::ChildStdout>,
    seen: String,
    /// What has no room is written to.
    file: &'static str,
}

impl Asked {
    fn start(options: &[&str], file: &'static str) -> Self {
        // The log is larger than all other files by far, so that it is the one that meets the limit.
        let script = "head -c 100000 /dev/zero | tr '\\0' x; echo; \
                      while read line; do echo \"$line\"; done";
        let test = Test::new().args(["run", "--log", LOG]).args(options).args(["--", "sh", "-c", script]);
        let mut command = test.command();
        let directory = test.into_directory();
        let err = File::create(directory.path().join("err")).expect("a file");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(err);
        let mut child = command.spawn().expect("the program starts");
        let out = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut asked = Self { running: Running::of(child, directory), out, seen: String::new(), file };
        asked.hear();
        asked
    }

    /// The next line on stdout, which is shown after the log was tried.
    fn hear(&mut self) {
        let before = self.seen.len();
        self.out.read_line(&mut self.seen).expect("text");
        assert!(self.seen.len() > before, "no more: {}", self.running.read("err"));
    }

    fn say(&mut self, line: &str) {
        use std::io::Write;
        let stdin = self.running.child.stdin.as_mut().expect("a pipe");
        stdin.write_all(line.as_bytes()).expect("it reads");
        stdin.write_all(b"\n").expect("it reads");
        self.hear();
    }

    /// The volume takes so many bytes more, and no others.
    fn leave(&self, bytes: u64) {
        end_files_of(&self.running, self.running.read(self.file).len() as u64 + bytes);
    }

    /// A failed log is not tried again at once; says lines until it must have been.
    fn say_until_tried(&mut self) {
        let since = std::time::Instant::now();
        while since.elapsed() < 3 * RETRY {
            std::thread::sleep(RETRY / 2);
            self.say("and on");
        }
    }

    fn end(mut self) -> (i32, String, String, String) {
        drop(self.running.child.stdin.take());
        self.out.read_to_string(&mut self.seen).expect("text");
        let status = self.running.end();
        (status, self.running.read(LOG.trim_start_matches("{}/")), self.seen, self.running.read("err"))
    }
}

/// At most so often a failed log is tried again.
const RETRY: std::time::Duration = std::time::Duration::from_millis(100);

#[test]
fn a_marker_that_could_be_written_only_in_part_is_taken_back_and_stands_there_whole_once() {
    marks_a_gap_once(Asked::start(&[], "data/post-hook-output.txt"));
}

#[test]
fn so_is_one_in_what_is_kept_of_the_end_of_an_endless_log() {
    // The first half of that is in the log when the volume is full.
    let kept = "data/.hook-runner/tail-post-hook-output.txt.0";
    marks_a_gap_once(Asked::start(&["--max-log", "150000"], kept));
}

fn marks_a_gap_once(mut asked: Asked) {
    // The first failure: seven bytes are taken.
    asked.leave(7);
    asked.say("a line that is cut");
    // What the volume has room for, each time for a moment: nothing, or a part of the marker.
    for bytes in [0, 1, 20, 40, 50] {
        asked.leave(bytes);
        asked.say_until_tried();
    }
    end_files_of(&asked.running, libc::RLIM_INFINITY);
    asked.say_until_tried();
    let (status, log, out, err) = asked.end();
    assert_eq!(status, 74, "{err}");
    assert_eq!(err.matches("the log ends at byte").count(), 1, "one line: {err}");
    let output = log.split_once("--- output ---\n").expect("a header").1;
    let (body, rest) = output.split_once("\nhook-runner: ").expect("a marker");
    assert!(body.ends_with("x\na line "), "{}", &body[body.len() - 40..]);
    let (number, after) = rest.split_once(" bytes are missing here: File too large\n").expect("it is whole");
    let after = after.split_once("--- attempt 1 of run ").expect("a footer").0;
    assert!(!after.is_empty() && after.replace("and on\n", "").is_empty(), "{after}");
    let missing: usize = number.parse().unwrap_or_else(|_| panic!("{rest}"));
    assert_eq!(body.len() + missing + after.len(), out.len());
}
