"""What each copier loses: entries and metadata of the odd tree, and whole files when it is killed."""

import os
import subprocess
import time

import data
from measure import empty
from peers import OURS

COPIERS = [OURS, "cp -a", "rsync -aHAXS", "cpz", "xcp", "fcp", "fs_extra"]
# Seconds; each of these copies takes well under one.
DEADLINE = 20


def odd_tree(bench):
    """One table: a property a row, a copier a column. Each property has a tree of its own, so that a copier that gives up on
    one is not blamed for the others."""
    volume = bench.mounts.volume("ext4")
    copiers = [name for name in COPIERS if name == OURS or bench.only is None or name in bench.only]
    lines = ["### The odd trees on ext4, as root\n", "| | " + " | ".join(copiers) + " |",
             "|---" * (len(copiers) + 1) + "|"]
    for number, odd in enumerate(data.ODD):
        tree = volume / f"source-{number}"
        tree.mkdir()
        odd.build(tree)
        lines.append(f"| {odd.name} | " + " | ".join(verdict(bench, odd, tree, volume, name) for name in copiers) + " |")
        bench.say("  " + lines[-1])
    return "\n".join(lines) + "\n\nlost: it ends with status 0 and the copy has it not. fails: it says so.\n"


def verdict(bench, odd, tree, volume, name):
    destination = volume / "content"
    destination.mkdir()
    status = limited(bench.peers.command(name, tree, destination))
    try:
        kept = odd.kept(tree, destination / tree.name if name == "fcp" else destination)
    except OSError:
        kept = False
    subprocess.run(["rm", "-rf", "--", destination], check=True)
    if status is None:
        return "hangs"
    return ("kept" if status == 0 else "kept, but fails") if kept else "lost" if status == 0 else "fails"


def killed(bench):
    """Each copier is killed while it writes BIG: is there a file under its final name that is not whole?"""
    source = bench.mounts.overlay("source", data.big(bench.cache))
    volume = bench.mounts.volume("ext4")
    names = {path.name: path.stat().st_size for path in source.iterdir()}
    lines = ["### Killed in the middle of BIG\n", "| | partial files under final names |", "|---|---|"]
    for name in COPIERS:
        if name != OURS and bench.only is not None and name not in bench.only:
            continue
        empty(volume)
        destination = volume / "content"
        destination.mkdir()
        process = subprocess.Popen(bench.peers.command(name, source, destination), stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        end = time.monotonic() + DEADLINE
        while used(volume) < data.BIG_SIZE // 4 and process.poll() is None and time.monotonic() < end:
            time.sleep(0.001)
        process.kill()
        process.wait()
        final = destination / "source" if name == "fcp" else destination
        partial = [one for one, size in names.items() if (final / one).exists() and not whole(source / one, final / one, size)]
        lines.append(f"| {name} | {len(partial) or 'none'} |")
        bench.say(f"  killed: {name}: {partial}")
    return "\n".join(lines) + "\n"


def used(volume):
    total = 0
    for here, _, files in os.walk(volume):
        for name in files:
            try:
                total += os.lstat(os.path.join(here, name)).st_blocks * 512
            except FileNotFoundError:
                pass
    return total


def whole(one, other, size):
    return other.stat().st_size == size and data.digest(one) == data.digest(other)


def limited(argv):
    """The status of a copier; None when it hangs (on a FIFO) and is stopped."""
    try:
        return subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=DEADLINE).returncode
    except subprocess.TimeoutExpired:
        return None
