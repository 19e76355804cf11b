//! Spawns the real program and says what must come out. Every default is strict: status 0, nothing on stdout,
//! nothing on stderr, unless a test says otherwise.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::libc;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_hook-runner");

/// The preserved log, where a test directory is `{}`.
pub(crate) const LOG: &str = "{}/data/post-hook-output.txt";

/// What is expected of a stream.
#[derive(Debug, Clone)]
enum Expect {
    Exactly(String),
    Contains(Vec<String>),
    Anything,
}

/// One start of the program, in a directory of its own.
#[must_use]
pub(crate) struct Test {
    directory: tempfile::TempDir,
    program: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    stdin: Vec<u8>,
    stdout: Expect,
    stderr: Expect,
    status: i32,
}

/// What came out, for a closer look.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Test {
    pub(crate) fn new() -> Self {
        Self::within(tempfile::tempdir().expect("a temporary directory"))
    }

    /// A further start in the directory of an earlier one.
    pub(crate) fn within(directory: tempfile::TempDir) -> Self {
        Self {
            directory,
            program: PROGRAM.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            stdin: Vec::new(),
            stdout: Expect::Exactly(String::new()),
            stderr: Expect::Exactly(String::new()),
            status: 0,
        }
    }

    /// Arguments; `{}` in them stands for the test's directory.
    pub(crate) fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, arguments: I) -> Self {
        for argument in arguments {
            let argument = argument.as_ref();
            self.arguments.push(match argument.to_str() {
                Some(text) => text.replace("{}", &self.directory.path().to_string_lossy()).into(),
                None => argument.to_owned(),
            });
        }
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment
            .push((name.into(), value.replace("{}", &self.directory.path().to_string_lossy()).into()));
        self
    }

    pub(crate) fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// A file that is there before the start.
    pub(crate) fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.directory.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        std::fs::write(path, content).expect("a file");
        self
    }

    /// An executable script.
    pub(crate) fn script(self, path: &str, content: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let test = self.file(path, content);
        let path = test.directory.path().join(path);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
        test
    }

    pub(crate) fn stdout(mut self, text: impl Into<String>) -> Self {
        self.stdout = Expect::Exactly(text.into());
        self
    }

    pub(crate) fn stdout_contains(mut self, text: impl Into<String>) -> Self {
        push(&mut self.stdout, text.into());
        self
    }

    pub(crate) fn any_stdout(mut self) -> Self {
        self.stdout = Expect::Anything;
        self
    }

    pub(crate) fn stderr_contains(mut self, text: impl Into<String>) -> Self {
        push(&mut self.stderr, text.into());
        self
    }

    pub(crate) fn any_stderr(mut self) -> Self {
        self.stderr = Expect::Anything;
        self
    }

    pub(crate) fn status(mut self, status: i32) -> Self {
        self.status = status;
        self
    }

    /// The test's directory, when the process is handled by the test.
    pub(crate) fn into_directory(self) -> tempfile::TempDir {
        self.directory
    }

    /// The command as it would be started, for tests that handle the process themselves.
    pub(crate) fn command(&self) -> Command {
        let mut command = with_default_actions(&self.program);
        command.args(&self.arguments).current_dir(self.directory.path());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("HOOK_RUNNER_") {
                command.env_remove(name);
            }
        }
        command.envs(self.environment.iter().cloned());
        command
    }

    /// Starts the program, waits for its end, and checks what came out.
    #[track_caller]
    pub(crate) fn run(self) -> Done {
        let mut command = self.command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        let bytes = self.stdin.clone();
        let writer = std::thread::spawn(move || {
            // A program that does not read its input is not at fault.
            let _ = stdin.write_all(&bytes);
        });
        let output = child.wait_with_output().expect("the program ends");
        writer.join().expect("the writer ends");
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let shown = format!("arguments: {:?}\nstdout:\n{stdout}\nstderr:\n{stderr}", self.arguments);
        assert_eq!(output.status.code(), Some(self.status), "status; {shown}");
        check("stdout", &self.stdout, &stdout, self.directory.path(), &shown);
        check("stderr", &self.stderr, &stderr, self.directory.path(), &shown);
        Done { directory: self.directory, stdout, stderr }
    }
}

impl Done {
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    #[track_caller]
    pub(crate) fn read(&self, path: &str) -> String {
        let bytes = std::fs::read(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The preserved log in the directory `data`.
    #[track_caller]
    pub(crate) fn log(&self) -> String {
        self.read("data/post-hook-output.txt")
    }

    /// A further start in the same directory.
    pub(crate) fn then(self) -> Test {
        Test::within(self.directory)
    }
}

/// A program that finds every signal at its default action and none blocked. Whatever started these tests may ignore
/// signals (nohup(1) does, and `&` in a shell without job control), and that is inherited. glibc's `posix_spawn`(3) ignores
/// 32 and 33 in a child: in this test where cargo started it, and in what it starts itself by other means than fork(2).
/// Nobody can ask a C library for their default action again, so the kernel is asked.
pub(crate) fn with_default_actions(program: impl AsRef<OsStr>) -> Command {
    let default = || {
        for signal in 1..=64 {
            // The kernel's structure (asm/signal.h), a word for each of its fields.
            let action = [0_u64; 4];
            // SAFETY: rt_sigaction(2) reads a structure that lives across the call. KILL and STOP are refused.
            unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, action.as_ptr(), 0, size_of::<u64>()) };
        }
        let none = 0_u64;
        // SAFETY: rt_sigprocmask(2) reads 8 bytes that live across the call.
        unsafe {
            libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const none, 0, size_of::<u64>())
        };
        Ok(())
    };
    let mut command = Command::new(program);
    // SAFETY: between fork and exec only system calls are made.
    unsafe { std::os::unix::process::CommandExt::pre_exec(&mut command, default) };
    command
}

fn push(expect: &mut Expect, text: String) {
    match expect {
        Expect::Contains(parts) => parts.push(text),
        other => *other = Expect::Contains(vec![text]),
    }
}

#[track_caller]
fn check(name: &str, expect: &Expect, actual: &str, directory: &Path, shown: &str) {
    let placed = |text: &str| text.replace("{}", &directory.to_string_lossy());
    match expect {
        Expect::Exactly(text) => assert_eq!(actual, placed(text), "{name}; {shown}"),
        Expect::Contains(parts) => {
            for part in parts {
                let part = placed(part);
                assert!(actual.contains(&part), "{name} lacks {part:?}; {shown}");
            }
        }
        Expect::Anything => {}
    }
}

/// Polls until `probe` gives something; gives up loudly after a minute.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(std::time::Instant::now() < end, "not within a minute: {what}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}
