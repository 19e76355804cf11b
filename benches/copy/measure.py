"""Interleaved measurement: every contender once, then every contender again. Ratios are taken within a round."""

import os
import shutil
import statistics
import subprocess
import time
from dataclasses import dataclass, field


@dataclass
class Sample:
    """Seconds: by the clock, of processor time (the copier's own, user and system), by the clock until durable."""
    wall: float
    cpu: float
    durable: float


@dataclass
class Case:
    """One row group: contenders of one source, volume and state of the cache."""
    title: str
    names: list
    command: object  # name -> argv
    prepare: object = lambda name: None
    sync: object = None  # a path to `sync -f` afterwards
    samples: dict = field(default_factory=dict)


def measure(case, rounds, say):
    for number in range(rounds):
        # A different one begins each time, so that no one always follows the same other.
        shift = number % len(case.names)
        for name in case.names[shift:] + case.names[:shift]:
            case.prepare(name)
            sample = once(case.command(name), case.sync)
            case.samples.setdefault(name, []).append(sample)
            say(f"  {case.title} {number + 1}/{rounds} {name}: {sample.durable:.3f} s")


def once(argv, sync=None, check=True):
    before = time.monotonic()
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - before
    if check and process.returncode:
        raise SystemExit(f"{' '.join(argv)}: status {process.returncode}: {errors.decode(errors='replace')[-500:]}")
    durable = wall
    if sync:
        subprocess.run(["sync", "-f", sync], check=True)
        durable = time.monotonic() - before
    return Sample(wall, usage.ru_utime + usage.ru_stime, durable)


def peak(argv):
    """Seconds and the peak of resident memory in MiB. From VmHWM, which starts anew at exec; ru_maxrss does not, so that a
    small program would be charged with this one's memory."""
    before = time.monotonic()
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    found = 0
    while process.poll() is None:
        try:
            with open(f"/proc/{process.pid}/status") as status:
                for line in status:
                    if line.startswith("VmHWM:"):
                        found = max(found, int(line.split()[1]))
        except (FileNotFoundError, ProcessLookupError):
            break
        time.sleep(0.005)
    if process.wait():
        raise SystemExit(f"{' '.join(argv)}: status {process.returncode}")
    return time.monotonic() - before, found / 1024


def median(case, name, what):
    return statistics.median(getattr(sample, what) for sample in case.samples[name])


def ratio(case, ours, peer, what):
    """The median of the ratios within each round."""
    pairs = zip(case.samples[ours], case.samples[peer])
    return statistics.median(getattr(a, what) / getattr(b, what) for a, b in pairs)


def empty(directory):
    """Removes what a copy left, and lets the volume come to rest."""
    for entry in os.scandir(directory):
        if entry.name == "lost+found":
            continue
        if entry.is_dir(follow_symlinks=False):
            subprocess.run(["rm", "-rf", "--", entry.path], check=True)
        else:
            os.unlink(entry.path)
    subprocess.run(["sync", "-f", directory], check=True)


def drop_caches():
    subprocess.run(["sync"], check=True)
    with open("/proc/sys/vm/drop_caches", "w") as control:
        control.write("3\n")
