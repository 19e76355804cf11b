"""Reads a preserved log and its history as docs/formats.md states them, from the bytes alone. Shares no code with the runner."""

import json
import os
import re

HEADER = re.compile(rb"^=== hook-runner: attempt .* ===\n", re.M)
OUTPUT = b"--- output ---\n"
END = b"=== end of attempt ===\n"


def record(block):
    lines = [line for line in block.split(b"\n") if line.startswith(b"record     ")]
    try:
        return json.loads(lines[-1][11:]) if lines else None
    except ValueError:
        return None


def attempts(data):
    """The attempts of one log, in their order: (header record, footer record or None, output)."""
    found, headers = [], []
    for match in HEADER.finditer(data):
        end = data.find(OUTPUT, match.end())
        head = record(data[match.start():end]) if end >= 0 else None
        if head and head.get("offset") == match.start():
            headers.append((match.start(), end + len(OUTPUT), head))
    for number, (_, begin, head) in enumerate(headers):
        stop = headers[number + 1][0] if number + 1 < len(headers) else len(data)
        body, foot = data[begin:stop], None
        if body.endswith(END):
            foot = record(body[body.rfind(b"\n--- attempt ") + 1:])
        output = body[:foot["output"]] if foot else body
        found.append((head, foot, output))
    return found


def history(directory, log):
    """All attempts of a log's history by (run, attempt): those in its archive, then those under its own name."""
    seen = {}
    archive = os.path.join(directory, ".hook-runner", "histories", log)
    names = [os.path.join(archive, n) for n in sorted(os.listdir(archive)) if n.endswith(".log")] if os.path.isdir(archive) else []
    for name in [*names, os.path.join(directory, log)]:
        if not os.path.isfile(name):
            continue
        with open(name, "rb") as file:
            for head, foot, output in attempts(file.read()):
                seen[head["run"], head["attempt"]] = (head, foot, output)
    return seen
