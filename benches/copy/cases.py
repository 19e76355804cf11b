"""What is measured, against which ratio, and the tables that come of it."""

import os
import shutil
import subprocess
import sys

import data
import losses
from measure import Case, drop_caches, empty, measure, median, once, peak, ratio
from peers import BEFORE, CALLS, OURS

PEERS = ["cp -a", "rsync -a", "cpz", "xcp", "fcp", "fs_extra"]
TRUSTING = f"{OURS} --trust-mtime"
VERSIONED = f"{OURS} --source-version"
# One directory in so many, where the whole of SMALL would take a sequential copier minutes.
SLOW_PART = 20
# Less is left out where what is measured is how little each shard has to do for directories that are another's.
SHARDED_PART = 5
SHARDS = 8


class Bench:
    def __init__(self, cache, peers, mounts, rounds, only):
        self.cache, self.peers, self.mounts, self.rounds, self.only = cache, peers, mounts, rounds, only

    def contenders(self, among=PEERS):
        before = [BEFORE] if self.peers.before else []
        return [OURS, *before] + [peer for peer in among if self.only is None or peer in self.only]

    def say(self, text):
        print(text, file=sys.stderr, flush=True)


def prepare(cache):
    data.small(cache)
    data.small_part(cache, SLOW_PART)
    data.small_part(cache, SHARDED_PART)
    data.big(cache)
    data.million(cache)


def first_copy(bench, layers, kind, title, targets, cold=False, among=PEERS):
    """Everything is copied to an empty directory. Durable: our own syncfs, the peers' `sync -f` afterwards."""
    source = bench.mounts.overlay("source", layers)
    volume = bench.mounts.volume(kind)
    durable = kind not in ("tmpfs", "1ms")
    destination = volume / "content"

    def fresh(_):
        empty(bench.mounts.behind(volume))
        destination.mkdir()
        if cold:
            drop_caches()

    case = Case(title, bench.contenders(among), lambda name: bench.peers.command(name, source, destination), fresh,
                volume if durable else None)
    if not cold:
        read_all(source)
    measure(case, bench.rounds, bench.say)
    return table(case, targets, durable)


def read_all(tree):
    """Brings a tree into the page cache."""
    buffer = bytearray(1 << 20)
    for here, _, files in os.walk(tree):
        for name in files:
            with open(os.path.join(here, name), "rb", buffering=0) as file:
                while file.readinto(buffer):
                    pass


def table(case, targets, durable, ours=OURS):
    """targets: {peer: the ratio to reach}. The time that counts is the one after which nothing can be lost."""
    lines = [f"### {case.title}\n",
             "| | seconds" + (" until durable | before `sync -f`" if durable else "")
             + " | processor seconds | ratio of hook-runner to it | to reach | |",
             "|---|---|---|---|---|---|" + ("---|" if durable else "")]
    for name in case.names:
        cells = [name, f"{median(case, name, 'durable'):.2f}"]
        if durable:
            cells.append(f"{median(case, name, 'wall'):.2f}")
        cells += [f"{median(case, name, 'cpu'):.2f}"]
        if name == ours:
            cells += ["", "", ""]
        else:
            found = ratio(case, ours, name, "durable")
            limit = targets.get(name)
            cells += [f"{found:.2f} (processor {ratio(case, ours, name, 'cpu'):.2f})", f"≤ {limit}" if limit else "",
                      ("reached" if found <= limit else "SHORT") if limit else ""]
        lines.append("| " + " | ".join(cells) + " |")
    bounds = "".join(bound(case, calls, peer) for calls in case.names if calls in CALLS for peer in targets if peer in case.names)
    commands = "; ".join(f"`{' '.join(shown(case.command(name)))}`" for name in case.names)
    return "\n".join(lines) + f"\n{bounds}\nCommands: {commands}" + ("; after each `sync -f VOLUME`" if durable else "") + "\n"


def bound(case, calls, peer):
    """What nobody who makes these calls can go below: their processor time, as evenly as it can be on all processors."""
    return (f"\n`{calls}`, the system calls of such a copy and nothing else, to {peer}: {ratio(case, calls, peer, 'durable'):.2f} "
            f"(processor {ratio(case, calls, peer, 'cpu'):.2f})\n")


def shown(argv):
    """A command line without this machine's paths."""
    words = []
    for word in argv:
        if word.startswith("/"):
            tail = "/." if word.endswith("/.") else "/" if word.endswith("/") else ""
            core = word.rstrip("/.")
            if word == argv[0]:
                word = os.path.basename(core)
            elif core.rsplit("/", 1)[-1].startswith("source"):
                word = "SRC" + tail
            else:
                word = "DST" + tail
        words.append(word)
    return words


def small(kind, targets, cold=False):
    def case(bench):
        if kind == "1ms":
            layers = data.small_part(bench.cache, SLOW_PART)
            title = f"SMALL (one directory in {SLOW_PART}), 1 ms volume, first copy"
        else:
            layers = data.small(bench.cache)
            state = "cold cache" if cold else "warm cache"
            title = f"SMALL, {kind}, first copy, {state}" + ("" if kind == "tmpfs" else ", durable")
        # Where no disk is waited for, what its calls cost is what a copy costs.
        among = [*PEERS, CALLS[0]] if kind == "tmpfs" else PEERS
        return first_copy(bench, layers, kind, title, targets, cold, among)
    return case


def big(kind, targets):
    return lambda bench: first_copy(bench, data.big(bench.cache), kind, f"BIG, {kind}, first copy, warm cache, durable",
                                    targets)


def reflink(kind):
    """Source and volume in one filesystem: extents are shared, nothing is read or written."""
    def case(bench):
        volume = bench.mounts.volume(kind)
        source, destination = volume / "source", volume / "content"
        shutil.copytree(data.big(bench.cache)[0], source)
        subprocess.run(["sync", "-f", volume], check=True)

        def fresh(_):
            shutil.rmtree(destination, ignore_errors=True)
            destination.mkdir()
            subprocess.run(["sync", "-f", volume], check=True)

        found = Case(f"BIG, {kind}, source in the same filesystem", bench.contenders(["cp -a", "cpz", "xcp"]),
                     lambda name: bench.peers.command(name, source, destination), fresh, volume)
        measure(found, bench.rounds, bench.say)
        fresh(OURS)
        before = free(volume)
        once(found.command(OURS), volume)
        used = (before - free(volume)) >> 20
        return table(found, {}, True) + f"\nhook-runner's copy of 1536 MiB takes {used} MiB of the volume.\n"
    return case


def free(volume):
    of = os.statvfs(volume)
    return of.f_bfree * of.f_frsize


def unchanged(bench):
    """The second copy of the same content: hook-runner reads and hashes the source, rsync compares size and mtime. With the
    name of the source's version hook-runner reads the volume's metadata only."""
    source = bench.mounts.overlay("source", data.small(bench.cache))
    volume = bench.mounts.volume("ext4")

    def command(name):
        # The calls go through what hook-runner has copied.
        destination = volume / (OURS if name in CALLS else name.replace(" ", ""))
        extra = options.get(name, [])
        return bench.peers.command(OURS if extra else name, source, destination, *extra)

    options = {TRUSTING: ["--trust-mtime"], VERSIONED: ["--source-version", "sha256:1"]}
    bounds = [calls for calls in CALLS[1:] if calls in bench.contenders(CALLS)]
    case = Case("SMALL, ext4, nothing changed, warm cache", [*bench.contenders(["rsync -a"]), *options, *bounds], command)
    for name in case.names:
        if name in CALLS:
            continue
        (volume / name.replace(" ", "")).mkdir()
        once(command(name))
    measure(case, bench.rounds, bench.say)
    text = table(case, {"rsync -a": 0.7}, False)
    for name, limit in ((TRUSTING, 0.3), (VERSIONED, 0.25)):
        found = ratio(case, name, "rsync -a", "durable")
        text += (f"\n{name} to rsync -a: {found:.2f} (processor {ratio(case, name, 'rsync -a', 'cpu'):.2f}), "
                 f"to reach ≤ {limit}: {'reached' if found <= limit else 'SHORT'}\n")
    return text


def memory(bench):
    """Peak resident memory over a million files, at the first copy and when nothing changed."""
    source = bench.mounts.overlay("source", data.million(bench.cache))
    destination = bench.mounts.volume("tmpfs") / "content"
    destination.mkdir()
    lines = ["### Peak memory, 1,000,000 files, tmpfs\n", "| | seconds | peak MiB | to reach | |", "|---|---|---|---|---|"]
    for what in ("first copy", "nothing changed"):
        seconds, mebibytes = peak(bench.peers.command(OURS, source, destination))
        lines.append(f"| {what} | {seconds:.1f} | {mebibytes:.0f} | ≤ 64 | {'reached' if mebibytes <= 64 else 'SHORT'} |")
    return "\n".join(lines) + "\n"


def shards(bench):
    """One tree split over eight local processes. Two workers each: sixteen in all, what one copier has by default, is what
    two processors can keep waiting; a copier alone with two workers is what it is compared with."""
    source = bench.mounts.overlay("source", data.small_part(bench.cache, SHARDED_PART))
    volume = bench.mounts.volume("1ms")
    destination = volume / "content"

    def copier(*extra):
        return bench.peers.command(OURS, source, destination, "--workers", "2", *extra)

    def command(name):
        if name == OURS:
            return copier()
        parts = [subprocess.list2cmdline(copier("--shard", f"{number}/{SHARDS}")) for number in range(SHARDS)]
        return ["env", "HOOK_RUNNER_RUN_ID=bench", "sh", "-c", "; ".join(f"{part} & p{n}=$!" for n, part in enumerate(parts)) + "; "
                + " && ".join(f"wait $p{n}" for n in range(SHARDS))]

    def fresh(_):
        empty(bench.mounts.behind(volume))
        destination.mkdir()

    case = Case(f"SMALL (one directory in {SHARDED_PART}), 1 ms volume, eight shards", [OURS, "8 shards"], command, fresh)
    measure(case, bench.rounds, bench.say)
    times = 1 / ratio(case, "8 shards", OURS, "durable")
    return (f"### {case.title}\n\n| one copier, 2 workers | 8 shards, 2 workers each | times faster | to reach | |\n"
            f"|---|---|---|---|---|\n| {median(case, OURS, 'durable'):.2f} s | {median(case, '8 shards', 'durable'):.2f} s "
            f"| {times:.1f} | ≥ 6 | {'reached' if times >= 6 else 'SHORT'} |\n")


ALL = {
    "small-ext4": small("ext4", {"cpz": 1.0, "cp -a": 0.45}),
    "small-xfs": small("xfs", {"cpz": 1.0, "cp -a": 0.45}),
    "small-btrfs": small("btrfs", {}),
    "small-tmpfs": small("tmpfs", {"cpz": 1.15, "cp -a": 0.25}),
    "small-1ms": small("1ms", {"cpz": 0.5, "cp -a": 0.11}),
    "small-cold": small("ext4", {"cpz": 0.6, "cp -a": 0.3}, cold=True),
    "unchanged": unchanged,
    "big-ext4": big("ext4", {"cp -a": 0.9}),
    "big-xfs": big("xfs", {"cp -a": 0.9}),
    "reflink-btrfs": reflink("btrfs"),
    "reflink-xfs": reflink("xfs"),
    "memory": memory,
    "shards": shards,
    "losses": losses.odd_tree,
    "killed": losses.killed,
}
