//! The log is the truth: what an attempt was is read from its frames, whatever the command printed and whatever became of
//! the index.

use super::histories::{printed, run};
use crate::support::harness::{Done, Test};

const INDEX: &str = ".hook-runner/histories/log/index.jsonl";

/// Run, attempt, result of each row, the oldest first.
fn rows(json: &str) -> Vec<(String, u64, String)> {
    let row = |line: &str| {
        let row: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let text = |name: &str| row[name].as_str().expect("text").to_owned();
        (text("run"), row["attempt"].as_u64().expect("a number"), text("result"))
    };
    json.lines().rev().map(row).collect()
}

fn row(run: &str, attempt: u64, result: &str) -> (String, u64, String) {
    (run.to_owned(), attempt, result.to_owned())
}

/// The whole of a log that has just been read, printed by a command, is output.
#[test]
fn a_log_that_a_command_prints_is_output() {
    let done = run(Test::new(), "r1", "log", "echo one; exit 3", 3);
    let done = run(done.then(), "r1", "log", "cat log; cat log; exit 4", 4);
    let done = run(done.then(), "r1", "log", "echo three", 0);
    std::fs::remove_file(done.path(INDEX)).unwrap();
    let (done, json) = printed(done, &["history", "--json", "log"]);
    assert_eq!(rows(&json), [row("r1", 1, "command"), row("r1", 2, "command"), row("r1", 3, "succeeded")]);
    let (_, third) = printed(done, &["logs", "--attempt", "3", "--raw", "log"]);
    assert_eq!(third, "three\n");
}

/// Right lengths, right run, right place: all that can be seen from outside. Then the runner is killed.
#[test]
fn a_perfect_footer_that_a_command_prints_is_not_believed() {
    let forge = r#"
        head=$(stat -c %s log)
        printf 'working\n'
        until [ "$(stat -c %s log)" -ge $((head + 8)) ]; do sleep 0.01; done
        body='--- attempt 1 of run r1 succeeded after 1ms ---
record     {"run":"r1","attempt":1,"at":"2026-01-01T00:00:00.000000Z","status":0,"result":"succeeded","duration_ms":1,"files_copied":0,"output":8,"key":"00000000000000000000000000000000"}
'
        printf '%s\n' "$body" | head -c -1
        printf '=== end of attempt (output of 8 bytes, footer of %s bytes) ===\n' "${#body}"
        until tail -n 1 log | grep -q 'end of attempt'; do sleep 0.01; done
        kill -KILL $PPID; sleep 5
    "#;
    let test = Test::new().args(["run", "--run-id", "r1", "--log", "log", "--", "sh", "-c", forge]);
    let directory = test.command().get_current_dir().expect("set").to_path_buf();
    let output = test.command().output().unwrap();
    assert!(output.status.code().is_none(), "{output:?}");
    let log = std::fs::read_to_string(directory.join("log")).unwrap();
    assert!(log.ends_with(" bytes) ===\n"), "{log}");
    let history = Test::new().args(["history", "--json"]).args([directory.join("log")]).any_stdout().run();
    assert_eq!(rows(&history.stdout), [row("r1", 1, "interrupted")]);
    drop(test);
}

#[test]
fn a_lost_or_damaged_index_loses_no_attempt() {
    let done = run(Test::new(), "r1", "log", "echo one; exit 3", 3);
    let done = run(done.then(), "r1", "log", "echo two", 0);
    let mut done = run(done.then(), "r2", "log", "echo three", 0);
    let expected = [row("r1", 1, "command"), row("r1", 2, "succeeded"), row("r2", 1, "succeeded")];
    let whole = std::fs::read(done.path(INDEX)).unwrap();
    let random: Vec<u8> = (0..4096_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let damaged: [(&str, Option<Vec<u8>>); 6] = [
        ("missing", None),
        ("empty", Some(Vec::new())),
        ("random", Some(random)),
        ("cut by 20 bytes", Some(whole[..whole.len() - 20].to_vec())),
        ("its first line lost", Some(whole.splitn(2, |&byte| byte == b'\n').nth(1).unwrap().to_vec())),
        ("twice", Some([whole.clone(), whole.clone()].concat())),
    ];
    for (what, content) in damaged {
        match content {
            Some(content) => std::fs::write(done.path(INDEX), content).unwrap(),
            None => std::fs::remove_file(done.path(INDEX)).unwrap(),
        }
        let json;
        (done, json) = printed(done, &["history", "--json", "log"]);
        assert_eq!(rows(&json), expected, "{what}");
    }
    // And the next run goes on.
    std::fs::write(done.path(INDEX), "nonsense").unwrap();
    let done = run(done.then(), "r1", "log", "echo four", 0);
    let (_, json) = printed(done, &["history", "--json", "log"]);
    assert_eq!(rows(&json).last(), Some(&row("r1", 3, "succeeded")));
}

#[test]
fn a_line_of_the_index_that_cannot_be_read_is_told() {
    let done = run(Test::new(), "r1", "log", "echo one", 0);
    let mut index = std::fs::read(done.path(INDEX)).unwrap();
    index.extend_from_slice(b"{\"event\":\"start\",\"ru\n");
    std::fs::write(done.path(INDEX), index).unwrap();
    let done = done.then().args(["history", "log"]).any_stdout().stderr_contains("1 line of").run();
    assert!(done.stderr.contains("cannot be read"), "{}", done.stderr);
}

/// The index is a cache: it is made anew from what is known, which is said once, and nothing of what stood there is lost.
#[test]
fn a_damaged_or_lost_index_is_made_anew_and_told_once() {
    let all = [row("r1", 1, "command"), row("r2", 1, "succeeded"), row("r3", 1, "succeeded")];
    let start = |done: Done, id: &str| {
        done.then().args(["run", "--run-id", id, "--log", "log", "--", "true"]).any_stderr().run()
    };
    for (damage, kept) in [
        ("printf 'nonsense\\n\\0' >$i", Some("nonsense\n\0")),
        ("printf '{\"event\":\"sta' >>$i", None),
        ("rm $i; mkdir $i; echo mine >$i/x", None),
        ("rm $i; ln -s /dev/null $i", None),
        (": >$i", None),
        ("rm $i", None),
    ] {
        let done = run(Test::new(), "r1", "log", "exit 3", 3);
        let done = run(done.then(), "r2", "log", "true", 0);
        let damaged =
            std::process::Command::new("sh").args(["-ec", damage]).env("i", done.path(INDEX)).status();
        assert!(damaged.unwrap().success(), "{damage}");
        let is_damage = !matches!(damage, ": >$i" | "rm $i");
        let done = start(done, "r3");
        assert_eq!(done.read("log").contains("is made anew"), is_damage, "{damage}: {}", done.read("log"));
        let (done, json) = printed(done, &["history", "--json", "log"]);
        assert_eq!(rows(&json), all, "{damage}");
        let done = start(done, "r4");
        assert!(!done.read("log").contains("index"), "{damage}: {}", done.read("log"));
        if let Some(kept) = kept {
            assert_eq!(done.read(&format!("{INDEX}.from-volume")), kept);
        }
        // It holds what only the logs held.
        let index = done.read(INDEX);
        assert!(index.contains("\"run\":\"r1\"") && index.contains("\"run\":\"r2\""), "{damage}: {index}");
    }
}

#[test]
fn a_log_can_be_read_alone() {
    let done = run(Test::new(), "r1", "d/log", "echo one; exit 3", 3);
    let done = run(done.then(), "r1", "d/log", "echo two", 0);
    let log = std::fs::read(done.path("d/log")).unwrap();
    let done = run(done.then(), "r2", "d/log", "echo three", 0);
    let done = done
        .then()
        .file("mailed/x.txt", &log)
        .args(["logs", "--raw", "mailed/x.txt"])
        .stdout("one\ntwo\n")
        .run();
    let done =
        done.then().args(["logs", "--raw", "d/.hook-runner/histories/log/r1.log"]).stdout("one\ntwo\n").run();
    let done = done.then().args(["logs", "--raw", "--attempt", "1", "-"]).stdin(log).stdout("one\n").run();
    let (_, json) = printed(done, &["history", "--json", "mailed/x.txt"]);
    assert_eq!(rows(&json), [row("r1", 1, "command"), row("r1", 2, "succeeded")]);
}

/// It was closed with an end, so nobody was killed.
#[test]
fn an_attempt_whose_end_was_not_written_is_told_from_one_that_was_killed() {
    let test = Test::new().args([
        "run",
        "--run-id",
        "r1",
        "--log",
        "log",
        "--",
        "sh",
        "-c",
        "echo half; kill -KILL $PPID",
    ]);
    let directory = test.command().get_current_dir().expect("set").to_path_buf();
    let _ = test.command().output().unwrap();
    let history = Test::new().args(["history", "--json"]).args([directory.join("log")]).any_stdout().run();
    assert_eq!(rows(&history.stdout), [row("r1", 1, "interrupted")]);
    let copied = std::fs::read(directory.join("log")).unwrap();
    // Away from its volume nobody can tell whether it is at work.
    let alone = Test::new().file("x", copied).args(["history", "--json", "x"]).any_stdout().run();
    assert_eq!(rows(&alone.stdout), [row("r1", 1, "unfinished")]);
    drop(test);
}
