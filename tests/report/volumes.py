"""Volumes with a history, made by the program itself, and the reports on them.

    volumes.py PROGRAM DIRECTORY

`vote` is a small application over four releases; `hostile` printed everything that a page must not obey; `large` has 500
runs and 100 MiB of logs, made from two of the program's own by giving them other run ids.
"""

import os
import shutil
import subprocess
import sys
import time

HOSTILE = """\
<script>window.hacked = 1</script>
</pre></details></main><script>window.hacked = 2</script>
</script><script>window.hacked = 3</script>
<img src=x onerror="window.hacked = 4"><img src="http://127.0.0.1:{port}/from-a-log">
<svg onload="window.hacked = 5"><style>@import url(http://127.0.0.1:{port}/style)</style>
<a href="javascript:window.hacked = 6">here</a> javascript:window.hacked=7
<meta http-equiv="refresh" content="0; url=http://127.0.0.1:{port}/refresh"><base href="http://127.0.0.1:{port}/">
\x1b]8;;javascript:window.hacked=8\x07a link\x1b]8;;\x07 \x1b]0;hacked\x07\x1b]52;c;aGFja2Vk\x07
\x1b[31m<iframe srcdoc="<script>parent.hacked = 9</script>">\x1b[0m
line\u2028separator\u2029window.hacked=10 \u202ereversed
]]></script>--><!--<script>
&lt;script&gt;window.hacked=11&lt;/script&gt; &#60;b&#62;
"""


def attempt(program, at, run, revision, command, *options, release="vote"):
    environment = {
        **os.environ,
        "HOOK_RUNNER_RELEASE": release,
        "HOOK_RUNNER_REVISION": str(revision),
        "HOOK_RUNNER_HOOK_EVENT": "post-install" if revision == 1 else "post-upgrade",
        "HOOK_RUNNER_JOB": "vote-hook",
        "HOOK_RUNNER_POD": f"vote-hook-{run[:5]}",
    }
    words = [command] if command.startswith("./") else ["sh", "-c", command]
    subprocess.run([program, "run", "--run-id", run, *options, "--", *words], cwd=at, env=environment, capture_output=True, check=False)


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def script(path, text):
    write(path, f"#!/bin/sh\n{text}\n")
    os.chmod(path, 0o755)


def vote(program, at):
    """An install, an upgrade that met a user's change and failed twice, one that succeeded, one without a change."""
    copy = ["--copy", "app:data", "--policy", "keep-modified", "--prune", "owned", "--wait-for", "file:data/index.html"]
    write(f"{at}/app/index.html", "<h1>Cats or dogs?</h1>\n")
    write(f"{at}/app/app.py", "print('vote')\n")
    write(f"{at}/app/old.css", "h1 {}\n")
    write(f"{at}/app/options.txt", "cats\ndogs\n")
    green = r"printf '\033[32mok\033[0m   migration 0001 applied\n'; sleep 0.2"
    script(f"{at}/migrate.sh", green)
    attempt(program, at, "3f2a9c11-6d0e", 1, "./migrate.sh", *copy)
    os.remove(f"{at}/app/old.css")
    write(f"{at}/app/index.html", "<h1>Cats or dogs, once more?</h1>\n")
    write(f"{at}/app/results.html", "<h1>Results</h1>\n")
    write(f"{at}/data/options.txt", "cats\ndogs\nbirds\n")
    write(f"{at}/app/options.txt", "cats\ndogs\nfish\n")
    script(f"{at}/migrate.sh", r"""printf '\033[32mok\033[0m   migration 0001 is applied\n'
        printf '\033[1;31merror\033[0m: relation \033[33m"votes"\033[0m does not exist\n  at migrate.sql:12\n' >&2; sleep 0.1; exit 3""")
    attempt(program, at, "5bb1c2d3-9a41", 2, "./migrate.sh", *copy)
    attempt(program, at, "5bb1c2d3-9a41", 2, "./migrate.sh", *copy)
    write(f"{at}/app/index.html", "<h1>Cats or dogs?</h1>\n")
    script(f"{at}/migrate.sh", green + r"; printf '\033[38;5;208mwarm\033[0m\n'")
    attempt(program, at, "77cc9e01-0b52", 3, "./migrate.sh", *copy)
    attempt(program, at, "a4d01e77-3c3f", 4, "./migrate.sh", *copy)


def hostile(program, at, port):
    write(f"{at}/printed", HOSTILE.replace("{port}", str(port)))
    with open(f"{at}/printed", "ab") as file:
        file.write(b"nul\0byte \xff\xfe not UTF-8 \x9b31m" + b"x" * 5000 + b"\nlast line\n")
    name = "<img src=x onerror=hacked=12>\"'\u202e"
    attempt(program, at, "bad-1", 1, "cat printed; exit 3", "--log", "data/log.txt", release=name)
    attempt(program, at, "good-1", 2, "echo fine", "--log", "data/log.txt", release=name)


def large(program, at):
    """The logs of 500 runs, 200 KiB each; every third failed."""
    line = r"printf 'row %06d: the quick brown fox jumps over <the> lazy dog\n'"
    templates = []
    for run, status in [("run-0001", 0), ("run-0002", 3)]:
        command = f"{line} $(seq 1 3400); exit {status}"
        attempt(program, f"{at}/made", run, 1, command, "--log", f"{run}/post-hook-output.txt")
        with open(f"{at}/made/{run}/post-hook-output.txt", "rb") as file:
            templates.append((run.encode(), file.read()))
    history = f"{at}/data/.hook-runner/histories/post-hook-output.txt"
    os.makedirs(history)
    for number in range(1, 501):
        run, text = templates[number % 3 == 0]
        name = b"run-%04d" % (number + 1000)
        text = text.replace(run, name).replace(b'"seq":1,', b'"seq":%d,' % number)
        path = f"{history}/{name.decode()}.log" if number < 500 else f"{at}/data/post-hook-output.txt"
        with open(path, "wb") as file:
            file.write(text)
    shutil.rmtree(f"{at}/made")


def main():
    program, directory = sys.argv[1:]
    port = 1 + os.getpid() % 1000 + 20000
    os.makedirs(f"{directory}/reports")
    for name in ["vote", "hostile", "large"]:
        os.makedirs(f"{directory}/{name}/made")
    vote(program, f"{directory}/vote")
    hostile(program, f"{directory}/hostile", port)
    large(program, f"{directory}/large")
    write(f"{directory}/port", str(port))
    for name in ["vote", "hostile", "large"]:
        began = time.monotonic()
        report = [program, "report", f"{name}/data", "--output", f"reports/{name}.html"]
        subprocess.run(report, cwd=directory, check=True)
        if name == "large":
            print(f"the report on 500 runs with 100 MiB of logs took {time.monotonic() - began:.2f} s (this build)", file=sys.stderr)


if __name__ == "__main__":
    main()
