"""Volumes to copy to and the overlay to copy from. Whatever is mounted or attached here is taken away at the end, however it comes.

Loop images lie in the cache directory and are attached with direct I/O, so that a sync reaches the disk and pages are cached once.
"""

import contextlib
import os
import shutil
import subprocess
import time

from peers import run

SIZE = "12G"


class Mounts:
    """A stack of what has to be undone."""

    def __init__(self, cache, faultfs):
        self.room = cache / f"mounts.{os.getpid()}"
        self.room.mkdir(parents=True)
        self.cache, self.faultfs = cache, faultfs
        self.undo = contextlib.ExitStack()
        self.undo.callback(shutil.rmtree, self.room, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.undo.close()

    def mount(self, name, *arguments):
        where = self.room / name
        where.mkdir()
        run(["mount", *arguments, where])
        self.undo.callback(unmount, where)
        return where

    def overlay(self, name, layers):
        """A source as a container sees it: image layers below, a writable layer of its own above."""
        scratch = self.volume("tmpfs", name + "-upper")
        for part in ("upper", "work"):
            (scratch / part).mkdir()
        lower = ":".join(str(layer) for layer in reversed(layers))
        options = f"lowerdir={lower},upperdir={scratch}/upper,workdir={scratch}/work"
        return self.mount(name, "-t", "overlay", "overlay", "-o", options)

    def volume(self, kind, name=None):
        """An empty volume: ext4, xfs, btrfs, tmpfs, or `1ms`, a FUSE passthrough to tmpfs that delays each operation."""
        name = name or kind
        if kind == "tmpfs":
            return self.mount(name, "-t", "tmpfs", "-o", "size=75%,nr_inodes=4m", "tmpfs")
        if kind == "1ms":
            return self.delayed(name, "1ms")
        image = self.room / f"{name}.img"
        run(["truncate", "-s", SIZE, image])
        make = {"ext4": ["mkfs.ext4", "-q", "-F", "-i", "8192"], "xfs": ["mkfs.xfs", "-q", "-f"],
                "btrfs": ["mkfs.btrfs", "-q", "-f"]}[kind]
        run([*make, image])
        loop = subprocess.run(["losetup", "--find", "--show", "--direct-io=on", image],
                              check=True, capture_output=True, text=True).stdout.strip()
        self.undo.callback(run, ["losetup", "--detach", loop])
        return self.mount(name, loop)

    def delayed(self, name, delay):
        backing = self.volume("tmpfs", name + "-backing")
        where = self.room / name
        where.mkdir()
        daemon = subprocess.Popen([self.faultfs, "--delay", delay, backing, where], stdout=subprocess.PIPE)
        self.undo.callback(stop, daemon)
        if daemon.stdout.readline() != b"ready\n":
            raise SystemExit("faultfs did not mount")
        self.backing = {**getattr(self, "backing", {}), where: backing}
        return where

    def behind(self, where):
        """The directory that can be emptied without waiting for the delay."""
        return getattr(self, "backing", {}).get(where, where)


def stop(daemon):
    daemon.terminate()
    daemon.wait()


def unmount(where):
    for _ in range(50):
        if subprocess.run(["umount", where], stderr=subprocess.DEVNULL).returncode == 0:
            return
        time.sleep(0.1)
    run(["umount", "--lazy", where])
