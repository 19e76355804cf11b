//! The JSON Schema of the hook file and the parser take and refuse the same. What is good and what is bad stands here, from
//! the words of the documentation; `check` and a JSON Schema validator are held against it. The validator sees the file as
//! YAML 1.1 has it, which Helm, Kubernetes and most editors read.

use serde_json::Value;

use crate::support::harness::Test;

/// A hook file with a gap, what may fill it, and what may not.
type Row = (&'static str, &'static [&'static str], &'static [&'static str]);

const DURATIONS: [&[&str]; 2] = [
    &["5m", "1h30m", "500ms", "1d", "'5m'", "5m0s", "999999999d", "~", "1m30s"],
    &[
        "300",
        "5x",
        "5M",
        "''",
        "[5m]",
        "{a: b}",
        "true",
        "1_000",
        "1.5",
        "30m1h",
        "1s1s",
        "'5 m'",
        "2026-11-28",
        "9999999999s",
        "|\n    5m\n",
        "-5s",
        "'300'",
        "1.5h",
        "0",
        "5 minutes",
    ],
];

const NUMBERS: [&[&str]; 2] = [
    &["1", "5", "5.0", "0x10", "+5", "~"],
    &["-1", "1.5", "'5'", "lots", "true", "[1]", "''", "18446744073709551616"],
];

const MODES: [&[&str]; 2] = [
    &["'0640'", "'640'", "'00640'", "~"],
    &["0640", "640", "420", "'0999'", "'10000'", "''", "'+640'", "0o640", "'0o640'"],
];

const SWITCHES: [&[&str]; 2] =
    [&["true", "false", "yes", "no", "on", "Off", "NO", "'true'", "'yes'", "~"], &["maybe", "1", "0", "''"]];

const PATHS: [&[&str]; 2] =
    [&["/x", "5", "true", "'a b'", "1.5", "é"], &["''", "[a]", "{a: b}", "\"a\\0b\""]];

/// A name or version that a template left empty must not be taken for one.
const NAMES: [&[&str]; 2] = [&["a", "5", "a b", "~"], &["''", "[a]", "{a: b}", "\"a\\0b\""]];

fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = vec![
        ("log: none\nsteps: [{exec: {command: [a]}}]\ntimeout: GAP\n", DURATIONS[0], DURATIONS[1]),
        ("log: none\nsteps: [{exec: {command: [a]}}]\ntimeout: GAP\n", &[], &["0s", "0m0s"]),
        ("log: none\nsteps: [{exec: {command: [a]}}]\ngrace: GAP\n", DURATIONS[0], DURATIONS[1]),
        ("log: none\nsteps: [{exec: {command: [a]}}]\nlock-timeout: GAP\n", &["0s", "0ms"], &[]),
        ("log: none\nsteps: [{exec: {command: [a], timeout: GAP}}]\n", &["5m", "~"], &["0s", "5", "5M"]),
        ("log: none\nsteps: [{exec: {command: [a], backoff: GAP}}]\n", &["0s", "5m"], &["5", "5M"]),
        ("log: none\nsteps: [{wait: {for: 'file:/a', timeout: GAP}}]\n", &["5m", "~"], &["0s", "5", "5M"]),
        (
            "log: none\nsteps: [{exec: {command: [a], when: GAP}}]\n",
            &["~", "{}"],
            &["[]", "always", "{evnt: test}"],
        ),
        (
            "log: none\nsteps: [{exec: {command: [a], when: {event: GAP}}}]\n",
            &["post-install", "'test'", "[pre-upgrade, post-rollback]", "~"],
            &["post-instal", "''", "[]", "[post-install, 5]", "5", "true", "{a: b}"],
        ),
        (
            "log: none\nsteps: [{wait: {for: 'file:/a', when: {revision: GAP}}}]\n",
            &["3", "'3'", "'>1'", "'>=2'", "'<10'", "<=9", "~"],
            &["'>'", "'>= 2'", "-1", "1.5", "latest", "''", "true", "'=1'", "[1]"],
        ),
        ("steps: [{copy: {from: a, to: b, when: {first-run: GAP}}}]\n", SWITCHES[0], SWITCHES[1]),
        ("log: none\nsteps: [{exec: {command: [a]}}]\nkeep-days: GAP\n", NUMBERS[0], NUMBERS[1]),
        (
            "log: none\nsteps: [{exec: {command: [a]}}]\nlog-format: GAP\n",
            &["text", "json", "~"],
            &["xml", "''", "5"],
        ),
        ("log: none\nsteps: [{exec: {command: [a]}}]\nevents: GAP\n", SWITCHES[0], SWITCHES[1]),
        ("log: none\nsteps: [{exec: {command: [a]}}]\nkeep: GAP\n", NUMBERS[0], NUMBERS[1]),
        ("log: none\nsteps: [{exec: {command: [a]}}]\nkeep: GAP\n", &["0", "18446744073709551615"], &[]),
        ("log: none\nsteps: [{exec: {command: [a], retries: GAP}}]\n", NUMBERS[0], NUMBERS[1]),
        ("log: none\nsteps: [{exec: {command: [a], retries: GAP}}]\n", &["0", "4294967295"], &["4294967296"]),
        ("steps: [{copy: {from: a, to: b, workers: GAP}}]\n", NUMBERS[0], NUMBERS[1]),
        ("steps: [{copy: {from: a, to: b, workers: GAP}}]\n", &[], &["0"]),
        (
            "log: none\nsteps: [{exec: {command: [a]}}]\nkeep-bytes: GAP\n",
            &["0", "1048576", "64MiB", "64mib", "64 MiB", "1.5GiB", "2G", "64Mi", "'0'", "~"],
            &["-1", "1.5", "5x", "''", "MiB", "1e6x", "[1]"],
        ),
        (
            "log: none\nsteps: [{exec: {command: [a]}}]\nmax-log: GAP\n",
            &["1", "64Mi"],
            &["0", "'0'", "0MiB", "0.0k"],
        ),
        ("log: none\nsteps: [{exec: {command: [a]}}]\nlog-mode: GAP\n", MODES[0], MODES[1]),
        ("steps: [{copy: {from: a, to: b, chmod: GAP}}]\n", MODES[0], MODES[1]),
        (
            "steps: [{copy: {from: a, to: b, chmod: GAP}}]\n",
            &["u=rwX", "'u=rwX,go-w'", "'+X'", "'='", "'g=u'"],
            &["a+z", "','", "u"],
        ),
        ("log: none\nsteps: [{exec: {command: [a]}}]\ntimestamps: GAP\n", SWITCHES[0], SWITCHES[1]),
        ("steps: [{copy: {from: a, to: b, trust-mtime: GAP}}]\n", SWITCHES[0], SWITCHES[1]),
        (
            "log: none\nsteps: [{exec: {command: [a]}}]\nannotate: GAP\n",
            &["no", "~", "true\nsplit-streams: yes", "'yes'\nsplit-streams: 'on'"],
            &["true", "yes", "true\nsplit-streams: no", "'true'\nsplit-streams: ~"],
        ),
        (
            "log: none\nsteps: [{exec: {command: [a]}}]\nrun-id: GAP\n",
            &["5", "abc", "1.5", "true", "-5", "_x", "~"],
            &["'.a'", "''", "a b", "a/b", "'é'", "[a]", "|\n    abc\n"],
        ),
        (
            "steps: [{exec: {command: [a]}}]\nlog: GAP\n",
            &["none", "/x", "a/.b", "a/..b", "'a b'", "5", "true"],
            &["x/", "'.'", "'..'", "a/..", "a/.", "''", "~", "[a]", "\"a\\0b\""],
        ),
        ("log: none\nsteps: [{exec: {command: [a]}}]\nstate: GAP\n", PATHS[0], PATHS[1]),
        ("log: none\nsteps: [{exec: {command: [a]}}]\nsync: [GAP]\n", PATHS[0], PATHS[1]),
        ("steps: [{copy: {from: GAP, to: b}}]\n", PATHS[0], PATHS[1]),
        ("steps: [{copy: {from: a, to: GAP}}]\n", PATHS[0], PATHS[1]),
        ("steps: [{copy: {from: a, to: GAP}}]\n", &[], &["~"]),
        (
            "log: none\nsteps: [{exec: {command: [a]}}]\nlog-failure: GAP\n",
            &["fail", "warn", "~"],
            &["other", "true", "''"],
        ),
        (
            "steps: [{copy: {from: a, to: b, policy: GAP}}]\n",
            &["replace", "keep-modified", "missing"],
            &["mirror", "''", "5"],
        ),
        ("steps: [{copy: {from: a, to: b, prune: GAP}}]\n", &["none", "owned", "all", "~"], &["None", "5"]),
        (
            "steps: [{copy: {from: a, to: b, exclude: GAP}}]\n",
            &["[]", "[a]", "[a, 5, true]", "~", "['*.py']"],
            &["a", "[~]", "[[a]]", "{a: b}"],
        ),
        (
            "steps: [{copy: {from: a, to: b, include: [GAP]}}]\n",
            &[
                "'\\#a'", "'!a'", "a b", "' a'", "'\\!'", ".a", "a..", "'[a//b]'", "'[./]x'", "a/", "/a",
                "'...'",
            ],
            &[
                "''", "'#a'", "'!'", "' '", "'! '", "\"\\t\"", "/", "'!/'", "a//b", "./a", "../x", "a/./b",
                ".", "a/..", "'!./ '",
            ],
        ),
        ("steps: [{copy: {from: a, to: b, owner: GAP}}]\n", NAMES[0], NAMES[1]),
        ("steps: [{copy: {from: a, to: b, source-version: GAP}}]\n", NAMES[0], NAMES[1]),
        ("log: none\nsteps: [{exec: {command: [a], name: GAP}}]\n", NAMES[0], NAMES[1]),
        ("log: none\nsteps: [{wait: {for: 'http://a/', auth-env: GAP}}]\n", NAMES[0], NAMES[1]),
        ("log: none\nsteps: [{exec: {command: [a]}}]\nredact: {env: [GAP]}\n", &["A", "5"], NAMES[1]),
        (
            "steps: [{copy: {from: a, to: b, chown: GAP}}]\n",
            &["1000:1000", "'33:33'", "0:0", "65532:65532", "'4294967294:0'", "~"],
            &["1000", "a:b", "'1:'", "'4294967295:0'", "'1:+1'"],
        ),
    ];
    rows.extend(wait_rows());
    rows.extend(whole_rows());
    rows
}

fn wait_rows() -> Vec<Row> {
    vec![
        (
            "steps: [{copy: {from: a, to: b, shard: GAP}}]\n",
            &["auto", "0/4", "3/4", "4095/4096", "99/100", "0/1", "~"],
            &["3/3", "0/0", "1", "-1/2", "0/9999", "4096/4096", "00/4", "0/4097", "100/99", "+1/4"],
        ),
        (
            "log: none\nsteps: [{wait: {for: 'http://a/', status: GAP}}]\n",
            &["200", "404", "'200'", "200-399", "200-200", "100-599", "2xx", "200.0", "~"],
            &[
                "99", "600", "300-200", "9xx", "20x", "ok", "-200", "'+200'", "'0200'", "200.5", "599-100",
                "2XX", "[200]",
            ],
        ),
        (
            "log: none\nsteps: [{wait: {for: GAP}}]\n",
            &[
                "exec:pg_isready -h db",
                "file:/a",
                "'file:/a b'",
                "file:relative",
                "file:///a",
                "tcp:db:5432",
                "tcp:db:65535",
                "tcp://db:1",
                "'tcp:[::1]:80'",
                "'tcp:[::ffff:1.2.3.4]:80'",
                "'tcp:[1:2:3:4:5:6:7:8]:1'",
                "http://a",
                "http://a/",
                "HTTP://a/",
                "'https://a:443/x?y=z#f'",
                "http://a:/",
                "http://a/b@c",
                "'http://a/%20'",
                "'http://[::1]:80/'",
                "'http://a?x'",
                "http://a_b/",
            ],
            &[
                "'exec:sh -c \"a b\"'",
                "exec:sh -c 'a b'",
                "nope",
                "'file:'",
                "\"file:/a\\0\"",
                "tcp:db",
                "tcp:db:0",
                "tcp:db:65536",
                "tcp:db:+80",
                "'tcp:::1:80'",
                "'tcp:[x]:80'",
                "'tcp:[1:2:3:4:5:6:7:8:9]:1'",
                "'http://'",
                "http:///",
                "http://a:0/",
                "http://a:99999/",
                "http://u:p@h/",
                "http://a%40b/",
                "'http://a/b c'",
                "'http://a/é'",
                "http://é/",
                "ftp://a/",
                "5",
                "~",
                "true",
                "''",
                "'tcp: db:1'",
                "tcp:u:p@db:1",
            ],
        ),
        (
            "log: none\nsteps: [{exec: {command: GAP}}]\n",
            &[
                "[a]",
                "[a, 1, true]",
                "[a, '']",
                "[a, 1.5]",
                "[1]",
                "['a b']",
                "[a, yes]",
                "[a, 0644]",
                "[a, 33:33]",
            ],
            &["[]", "a", "['']", "[a, ~]", "~", "[a, [b]]", "[a, {b: c}]", "[\"a\\0\"]", "[~]", "{a: b}"],
        ),
    ]
}

/// Whole files.
fn whole_rows() -> Vec<Row> {
    vec![(
        "GAP",
        &[
            "log: none\nsteps:\n- exec: &a {command: [a]}\n- exec: *a\n",
            "log: none\nsteps:\n- exec: &a {command: [a]}\n- exec: {<<: *a, retries: 3}\n",
            "\u{feff}log: none\nsteps: [{exec: {command: [a]}}]\n",
            "log: none\r\nsteps: [{exec: {command: [a]}}]\r\n",
            "---\nlog: none\nsteps: [{exec: {command: [a]}}]\n...\n",
            "'log': >-\n  none\nsteps: [exec: {command: [a]}]\n",
            "log: none\nsteps: [{exec: {command: [a]}}]\nredact: {env: [A], files: [/x], literals: [y, 5]}\n",
            "log: none\nsteps: [{exec: {command: [a]}}]\nredact: {}\n",
            "steps: [{copy: {from: a, to: b}}, {exec: {command: [c]}}]\n",
        ],
        &[
            "steps: []\n",
            "log: none\nsteps: []\n",
            "log: none\nsteps: ~\n",
            "log: none\nsteps: {}\n",
            "log: none\n",
            "{}\n",
            "[]\n",
            "",
            "~\n",
            "a\n",
            "steps: [{exec: {command: [a]}}]\n",
            "log: none\nsteps: [{exec: {command: [a]}}]\nlogg: x\n",
            "log: none\nsteps: [{exec: {command: [a]}}]\n5: x\n",
            "log: none\nsteps: [{copy: {from: a, to: b}, exec: {command: [a]}}]\n",
            "log: none\nsteps: [{}]\n",
            "log: none\nsteps: [~]\n",
            "log: none\nsteps: [a]\n",
            "log: none\nsteps: [{copy: ~}]\n",
            "log: none\nsteps: [{cpy: {}}]\n",
            "steps: [{copy: {from: a}}]\n",
            "steps: [{copy: {from: a, to: b, too: c}}]\n",
            "log: none\nsteps: [{wait: {}}]\n",
            "log: none\nsteps: [{exec: {}}]\n",
            "log: none\nsteps: [{exec: {command: [a]}}]\nredact: []\n",
            "log: none\nsteps: [{exec: {command: [a]}}]\nredact: {envs: [A]}\n",
            "log: none\nsteps: [{exec: {command: [a]}}]\n---\nlog: none\n",
            "log: 'none\n",
            "log: *x\nsteps: [{exec: {command: [a]}}]\n",
        ],
    )]
}

/// Each text of the rows, and whether it is good.
fn files() -> Vec<(String, bool)> {
    let mut files = Vec::new();
    for (file, good, bad) in rows() {
        files.extend(good.iter().map(|value| (file.replace("GAP", value), true)));
        files.extend(bad.iter().map(|value| (file.replace("GAP", value), false)));
    }
    files
}

#[test]
fn check_and_the_schema_take_and_refuse_the_same_files() {
    let schema = Test::new().args(["schema"]).any_stdout().run().stdout;
    let schema: Value = serde_json::from_str(&schema).expect("JSON");
    let validator = jsonschema::draft202012::new(&schema).expect("a JSON Schema");
    let files = files();
    assert!(files.len() > 300, "{}", files.len());

    let names: Vec<String> = (0..files.len()).map(|at| format!("{at}.yaml")).collect();
    let mut test = Test::new();
    for (name, (text, _)) in names.iter().zip(&files) {
        test = test.file(name, text);
    }
    let checked = test.args(["check"]).args(&names).status(78).any_stdout().any_stderr().run();

    let mut wrong = Vec::new();
    for (name, (text, good)) in names.iter().zip(&files) {
        let taken = checked.stdout.contains(&format!("\n{name}: a hook with"))
            || checked.stdout.starts_with(&format!("{name}: a hook with"));
        let value = yaml_1_1(text);
        let valid = value.as_ref().is_some_and(|value| validator.is_valid(value));
        if taken != *good || valid != *good {
            wrong.push(format!("check {taken}, schema {valid}, right is {good}: {text:?} ({value:?})"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The file as a reader of YAML 1.1 sees it; nothing where it is no YAML.
fn yaml_1_1(text: &str) -> Option<Value> {
    let options = serde_saphyr::options! { legacy_octal_numbers: true };
    serde_saphyr::from_str_with_options(text, options).ok()
}
