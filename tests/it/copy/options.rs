//! The options of `copy` as they are given on the command line, and a source that changes under its hands.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use faultfs::{Fault, Mount};

use crate::needs;
use crate::support::harness::{PROGRAM, Test, eventually};
use crate::support::running::Running;
use crate::support::tree::{copy_command, file};

#[test]
fn links_that_the_administrator_made_on_the_volume_are_followed_when_asked_for() {
    let test =
        Test::new().file("image/app/one", "1").file("image/app/sub/two", "2").file("image/app/note", "image");
    let test = test.file("elsewhere/own", "mine").file("secret", "secret").file("volume/beside", "mine");
    let directory = test.into_directory();
    symlink("../elsewhere", directory.path().join("volume/app")).unwrap();
    // A link to a file is never written through.
    symlink("../secret", directory.path().join("elsewhere/note")).unwrap();
    let copy = ["copy", "image", "volume", "--prune", "owned", "--follow-destination-links"];
    let done = Test::within(directory).args(copy).any_stdout().run();
    assert_eq!((done.read("elsewhere/one"), done.read("elsewhere/sub/two")), ("1".into(), "2".into()));
    assert_eq!((done.read("elsewhere/note"), done.read("secret")), ("image".into(), "secret".into()));
    assert!(done.path("volume/app").is_symlink());
    let done = done.then().args(copy).stdout_contains("hook-runner: 0 files").run();
    std::fs::remove_dir_all(done.path("image/app/sub")).unwrap();
    let done = done.then().args(copy).stdout_contains("2 removed").run();
    assert!(!done.path("elsewhere/sub").exists());
    assert_eq!((done.read("elsewhere/own"), done.read("volume/beside")), ("mine".into(), "mine".into()));
}

/// A link is an entry of another type than the directory of the image, and stays as such: nothing is written through it.
#[test]
fn a_link_in_the_way_of_a_directory_of_the_image_is_the_users_like_any_other_entry() {
    let by_policy = [("replace", "app.from-volume"), ("keep-modified", "app"), ("missing", "app")];
    let options: [&[&str]; 2] = [&[], &["--follow-destination-links"]];
    for (policy, place) in by_policy {
        // What leads nowhere, or to no directory, cannot be followed.
        for (target, options) in
            [("../elsewhere", options[0]), ("../nowhere", options[1]), ("../file", options[1])]
        {
            let test = Test::new().file("image/app/one", "1").file("image/beside", "2");
            let directory = test
                .file("elsewhere/own", "mine")
                .file("file", "mine")
                .file("volume/own", "mine")
                .into_directory();
            symlink(target, directory.path().join("volume/app")).unwrap();
            let copy = [&["copy", "image", "volume", "--policy", policy][..], options].concat();
            let mut done = Test::within(directory).args(&copy).any_stdout().any_stderr().run();
            for _ in 0..2 {
                let link = std::fs::read_link(done.path("volume").join(place)).unwrap();
                assert_eq!(link.to_str(), Some(target), "{policy} {options:?}");
                assert_eq!(done.read("volume/beside"), "2", "{policy} {options:?}");
                let has = |path: &str| done.path(path).exists();
                assert_eq!(has("volume/app/one"), policy == "replace", "{policy} {options:?}");
                assert_eq!(
                    has("volume/app.from-image/one"),
                    policy == "keep-modified",
                    "{policy} {options:?}"
                );
                assert!(!has("elsewhere/one") && !has("nowhere"), "{policy}: written through the link");
                done = done.then().args(&copy).stdout_contains("hook-runner: 0 files").run();
            }
        }
    }
}

#[test]
fn excludes_and_includes_are_those_of_a_gitignore_and_what_is_left_out_is_left_alone() {
    let mut test = Test::new().file("volume/app/__pycache__/user.pyc", "mine");
    for path in
        ["app/main.py", "app/__pycache__/main.pyc", "app/logs/a.log", "app/logs/keep.log", "logs/b.log"]
    {
        test = test.file(&format!("image/{path}"), path);
    }
    let options = [
        "--exclude",
        "**/__pycache__",
        "--exclude",
        "*.log",
        "--exclude",
        "!keep.log",
        "--exclude",
        "/logs/",
    ];
    let copy = [&["copy", "image", "volume", "--prune", "owned"], &options[..]].concat();
    let plan = test.args(&copy).args(["--dry-run"]).any_stdout().run();
    assert!(
        plan.stdout.contains("create app/main.py\n") && !plan.stdout.contains("pycache"),
        "{}",
        plan.stdout
    );
    assert!(!plan.path("volume/app/main.py").exists() && !plan.path("volume/.hook-runner").exists());
    let done = plan.then().args(&copy).stdout_contains("2 files").run();
    let there = |path: &str| done.path("volume").join(path).exists();
    assert!(there("app/main.py") && there("app/logs/keep.log"));
    assert!(!there("app/__pycache__/main.pyc") && !there("app/logs/a.log") && !there("logs"));
    assert_eq!(done.read("volume/app/__pycache__/user.pyc"), "mine");
    done.then().args(["verify", "volume"]).stdout_contains("0 missing").run();
    let included = Test::new().file("image/a.py", "1").file("image/deep/b.py", "2").file("image/deep/c", "3");
    let done =
        included.args(["copy", "image", "volume", "--include", "*.py"]).stdout_contains("2 files").run();
    assert!(done.path("volume/deep/b.py").exists() && !done.path("volume/deep/c").exists());
}

/// What takes no part keeps its record, so that the next copy of everything knows its own file.
#[test]
fn a_file_stays_with_this_copy_where_nothing_is_put_into_the_directory_that_would_take_its_place() {
    for policy in ["replace", "keep-modified"] {
        for prune in ["none", "owned"] {
            let options = ["copy", "image", "volume", "--policy", policy, "--prune", prune];
            let first =
                Test::new().file("image/a", "1").file("image/k", "1").args(options).any_stdout().run();
            std::fs::remove_file(first.path("image/a")).unwrap();
            let next = first.then().file("image/a/n", "2").file("image/a/sub/m", "2");
            let partly = next.args(options).args(["--include", "k", "--changes"]);
            let partly = partly.stdout_contains("1 unchanged").run();
            assert_eq!(partly.read("volume/a"), "1");
            let verified = partly.then().args(["verify", "volume"]).stdout_contains("2 as installed").run();
            assert!(!verified.stdout.contains("added"), "{}", verified.stdout);
            let part = verified.then().args(options).args(["--include", "/a/sub", "--dry-run"]);
            let part = part.stdout_contains("replace a by a directory\n").run();
            assert!(!part.stdout.contains("create a/\n"), "{}", part.stdout);
            let whole = part.then().args(options).args(["--changes"]);
            let whole = whole.stdout_contains("replaced  a (a directory of the source)\n").run();
            assert_eq!((whole.read("volume/a/n"), whole.read("volume/a/sub/m")), ("2".into(), "2".into()));
            assert!(!whole.path("volume/a.from-volume").exists());
        }
    }
}

/// Copies as another user.
fn copy_as(user: u32, home: &Path, options: &[&str]) -> Output {
    let mut command = Command::new(home.join("hook-runner"));
    command.arg("copy").args([home.join("image"), home.join("volume")]).args(options);
    command.uid(user).gid(user).current_dir("/").output().unwrap()
}

#[test]
fn owner_and_mode_are_those_asked_for_where_the_user_may_set_them() {
    needs!(OtherUsers);
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    std::fs::set_permissions(home, PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::copy(PROGRAM, home.join("hook-runner")).unwrap();
    std::fs::create_dir_all(home.join("image/sub")).unwrap();
    file(home.join("image/sub/file"), b"x", 0o644);
    file(home.join("image/script"), b"#!/bin/sh\n", 0o755);
    symlink("file", home.join("image/sub/link")).unwrap();
    let look = |path: &str| {
        let found = home.join("volume").join(path).symlink_metadata().unwrap();
        (found.uid(), found.gid(), found.mode() & 0o7777)
    };
    let said = |output: &Output| {
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    let options = ["--chown", "65532:65532", "--chmod", "u=rwX,go="];
    for changed in [true, false] {
        let output = copy_as(0, home, &options);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(look("sub"), (65532, 65532, 0o700));
        assert_eq!(look("sub/file"), (65532, 65532, 0o600));
        assert_eq!(look("script"), (65532, 65532, 0o700));
        assert_eq!((look("sub/link").0, look("sub/link").1), (65532, 65532), "the link itself");
        assert_eq!(!said(&output).contains("0 files (0 B) copied"), changed, "{output:?}");
    }
    // Another owner later, and the one that new files have by themselves, whatever else there is to do.
    for (owner, expected) in [("1000:1001", (1000, 1001)), ("0:0", (0, 0))] {
        file(home.join("image/early"), owner.as_bytes(), 0o644);
        let output = copy_as(0, home, &["--chown", owner, "--workers", "1"]);
        assert!(output.status.success(), "{output:?}");
        for path in ["early", "sub", "sub/file", "script", "sub/link"] {
            let found = look(path);
            assert_eq!((found.0, found.1), expected, "{path}, given to {owner}: {}", said(&output));
        }
        let again = copy_as(0, home, &["--chown", owner]);
        let again = said(&again);
        assert!(again.contains("0 files (0 B) copied") && !again.contains("set right"), "{again}");
    }
    // Who may set the mode of what it owns, but give nothing away.
    std::fs::remove_dir_all(home.join("volume")).unwrap();
    std::fs::create_dir(home.join("volume")).unwrap();
    std::os::unix::fs::chown(home.join("volume"), Some(65532), Some(65532)).unwrap();
    let output = copy_as(65532, home, &["--chown", "0:0", "--chmod", "go-rwx", "--strict-metadata"]);
    assert!(!output.status.success() && said(&output).contains("owner cannot be set"), "{output:?}");
    assert!(!home.join("volume/sub").exists(), "what cannot be kept is told before it is there");
    let output = copy_as(65532, home, &["--chown", "0:0", "--chmod", "go-rwx"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(said(&output).matches("not permitted here, so not kept: owner").count(), 1, "{output:?}");
    assert_eq!((look("sub"), look("sub/file")), ((65532, 65532, 0o700), (65532, 65532, 0o600)));
    let output = copy_as(65532, home, &["--chown", "65532:65532", "--chmod", "go-rwx", "--strict-metadata"]);
    assert!(output.status.success() && !said(&output).contains("not permitted"), "{output:?}");
}

/// An image that can be changed while an operation on it waits.
struct Changing {
    mount: Mount,
    home: tempfile::TempDir,
}

impl Changing {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        for name in ["backing", "image"] {
            std::fs::create_dir(home.path().join(name)).unwrap();
        }
        let options = Mount::options().ttl(Duration::ZERO);
        let mount = options.start(&home.path().join("backing"), &home.path().join("image")).unwrap();
        Self { mount, home }
    }

    /// Copies; `change` happens while `operation` on what has "changing" in its name waits, from so many bytes on.
    fn copy(&self, operation: &str, after_bytes: u64, change: impl FnOnce(&Path)) -> Output {
        self.mount.set(operation, Fault::Hang.after_bytes(after_bytes).on_path("changing"));
        let mut copy = copy_command(&self.home.path().join("image"), &self.home.path().join("volume"));
        let copy = copy.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        eventually("the copy has come so far", || (self.mount.statistics()["hanging"] > 0).then_some(()));
        change(&self.home.path().join("backing/changing"));
        self.mount.clear();
        copy.wait_with_output().unwrap()
    }
}

#[test]
fn a_source_file_that_changes_while_it_is_read_is_read_anew_and_never_half() {
    needs!(Fuse);
    // Small ones are read in one go, large ones copied piece by piece.
    for (size, after) in [(10_000, 0), (6_000_000, 3_000_000)] {
        // The last is shorter than what was written of the old one.
        for new_size in [size, size / 2, size + 1000, size / 4] {
            let changing = Changing::new();
            file(changing.home.path().join("backing/changing"), &vec![b'a'; size], 0o644);
            let new = vec![b'b'; new_size];
            let output = changing.copy("read", after, |path| std::fs::write(path, &new).unwrap());
            assert!(output.status.success(), "{size} {new_size}: {output:?}");
            let found = std::fs::read(changing.home.path().join("volume/changing")).unwrap();
            assert!(found == new, "{size} {new_size}: {} bytes, {output:?}", found.len());
        }
    }
}

#[test]
fn a_source_file_that_goes_away_is_a_failure_and_the_rest_is_copied() {
    needs!(Fuse);
    let changing = Changing::new();
    for name in ["changing", "steady"] {
        file(changing.home.path().join("backing").join(name), b"x", 0o644);
    }
    let output = changing.copy("lookup", 0, |path| std::fs::remove_file(path).unwrap());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(74), "{output:?}");
    assert!(said.contains("changing changed while it was copied"), "{output:?}");
    let volume = changing.home.path().join("volume");
    assert!(volume.join("steady").exists() && !volume.join("changing").exists());
}

#[test]
fn a_copy_that_is_stopped_or_runs_out_of_time_says_so_and_gives_no_name() {
    needs!(Fuse);
    for (options, status, said) in
        [(&[][..], 143, "stopped by SIGTERM"), (&["--timeout", "2s"], 124, "the copy was not finished")]
    {
        let home = tempfile::tempdir().unwrap();
        // Dropped after the mount, unlike the directory, which the runner has.
        let _remains = crate::support::faulty::Remains(home.path().to_path_buf());
        for name in ["backing", "image"] {
            std::fs::create_dir(home.path().join(name)).unwrap();
        }
        for number in 0..300 {
            file(home.path().join(format!("backing/f{number}")), b"x", 0o644);
        }
        let slow = Mount::options().delay(Duration::from_millis(10));
        let _mount = slow.start(&home.path().join("backing"), &home.path().join("image")).unwrap();
        let test = Test::within(home).args(["run", "--copy", "image:data", "--workers", "1"]).args(options);
        let command = test.command();
        let mut running = Running::start(command, test.into_directory());
        if status == 143 {
            let stage = running.path("data/.hook-runner/stage");
            eventually("something is copied", || {
                let runs = std::fs::read_dir(&stage).ok()?;
                let directories = |run: std::fs::DirEntry| std::fs::read_dir(run.path()).ok();
                let staged = runs.flatten().filter_map(directories).flatten().flatten();
                staged
                    .map(|staged| staged.path())
                    .any(|staged| std::fs::read_dir(staged).is_ok_and(|mut names| names.next().is_some()))
                    .then_some(())
            });
            running.signal(nix::libc::SIGTERM);
        }
        assert_eq!(running.end(), status, "{}", running.read("err"));
        assert!(running.read("err").contains(said), "{}", running.read("err"));
        assert!(running.read("data/post-hook-output.txt").contains(&format!("failed with status {status}")));
        assert!(!running.path("data/f0").exists());
    }
}

#[test]
fn a_single_file_that_a_run_has_removed_is_not_brought_back_under_keep_modified() {
    let test = Test::new().file("app/conf", "x");
    let run = ["run", "--log", "none", "--copy", "app/conf:data/conf", "--", "rm", "data/conf"];
    let done = test.args(run).any_stderr().run();
    let copy = ["copy", "app/conf", "data/conf", "--policy", "keep-modified"];
    let done = done.then().args(copy).any_stdout().any_stderr().run();
    assert!(!done.path("data/conf").exists());
}

#[test]
fn a_dry_run_as_json_is_json() {
    let test = Test::new().file("app/conf", "x").args(["copy", "app", "data", "--dry-run", "--json"]);
    let output = test.command().output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["files"], 1, "{report}");
}

#[test]
fn a_set_user_id_bit_stays_when_the_owner_of_a_file_is_set_right() {
    needs!(OtherUsers);
    for mode in [0o4755, 0o2755, 0o6711] {
        let temp = tempfile::tempdir().unwrap();
        let at = |path: &str| temp.path().join(path);
        std::fs::create_dir(at("image")).unwrap();
        file(at("image/program"), b"x", mode);
        for chown in [Some("1000:1000"), None, Some("0:1000")] {
            let mut copy = copy_command(&at("image"), &at("volume"));
            let output = copy.args(chown.iter().flat_map(|owner| ["--chown", owner])).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            let found = at("volume/program").metadata().unwrap();
            assert_eq!(found.mode() & 0o7777, mode, "{chown:?}");
            let owner = format!("{}:{}", found.uid(), found.gid());
            assert_eq!(owner, chown.unwrap_or("0:0"));
        }
    }
}

#[test]
fn a_directory_of_which_nothing_is_included_is_neither_made_nor_recorded() {
    let test = Test::new().file("first/x", "another owner's").file("image/x/in-x", "1").file("image/y", "1");
    let done = test.args(["copy", "first", "data"]).any_stdout().any_stderr().run();
    let done = done.then().args(["copy", "image", "data", "--include", "y"]).any_stdout().any_stderr().run();
    assert_eq!(done.read("data/x"), "another owner's");
    let done = done.then().args(["verify", "data"]).any_stdout().run();
    // With something in it, it takes the place, and goes again when the image has it no more.
    let done =
        done.then().args(["copy", "image", "data", "--include", "in-x"]).any_stdout().any_stderr().run();
    assert_eq!(done.read("data/x/in-x"), "1");
    let done = done.then().args(["verify", "data"]).any_stdout().run();
    std::fs::remove_dir_all(done.path("image/x")).unwrap();
    let done =
        done.then().args(["copy", "image", "data", "--prune", "owned"]).any_stdout().any_stderr().run();
    assert!(!done.path("data/x/in-x").exists());

    let done = done.then().file("image/deep/er/in", "1").file("image/deep/beside", "1");
    let done = done.args(["copy", "image", "new", "--include", "beside"]).any_stdout().any_stderr().run();
    assert!(done.path("new/deep/beside").exists() && !done.path("new/deep/er").exists());
    done.then().args(["verify", "new"]).any_stdout().run();
}

#[test]
fn a_source_through_which_the_destination_is_seen_is_refused_and_nothing_is_copied_into_itself() {
    for link in ["../volume", "../volume/.hook-runner", ".."] {
        for (options, status) in [(&["--dry-run"][..], 78), (&[][..], 74), (&["--exclude", "/in"][..], 0)] {
            let test = Test::new().file("image/one", "1").file("volume/own", "mine");
            let directory = test.into_directory();
            std::fs::create_dir(directory.path().join("volume/.hook-runner")).unwrap();
            std::fs::create_dir(directory.path().join("volume/.hook-runner/manifests")).unwrap();
            std::fs::create_dir(directory.path().join("volume/.hook-runner/journal")).unwrap();
            symlink(link, directory.path().join("image/in")).unwrap();
            let copy = [&["copy", "image", "volume", "--dereference"], options].concat();
            let test = Test::within(directory).args(&copy).status(status).any_stdout();
            let test = if status == 0 {
                test.any_stderr()
            } else {
                test.stderr_contains("in the source leads to the destination")
            };
            assert_eq!(test.run().path("volume/one").exists(), status == 0, "{link} {options:?}");
        }
    }
}

/// In JSON a path is the path: JSON escapes by itself. On a terminal a newline would begin another line.
#[test]
fn a_name_with_a_newline_is_itself_in_json_and_escaped_in_lines() {
    let test = Test::new().file("app/a\nb", "x");
    let done = test.args(["copy", "app", "data", "--json"]).any_stdout().run();
    let report: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(report["changes"]["items"][0]["path"], "a\nb", "{report}");
    let done = done.then().file("app/a\nb", "y").args(["copy", "app", "data", "--changes"]);
    done.stdout_contains("a\\nb ").run();
    let hook = ["run", "--run-id", "r", "--log", "l", "--copy", "app:new", "--", "true"];
    let done = Test::new().file("app/a\nb", "x").args(hook).any_stdout().any_stderr().run();
    let done = done.then().args(["diff", "r", "--log", "l", "--json"]).any_stdout().run();
    let lines: Vec<serde_json::Value> =
        done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|line| line["path"] == "a\nb"), "{}", done.stdout);
}
