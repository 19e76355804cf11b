"""The program under test and its peers: how each is installed and how each copies SRC's content to DST.

Everything is installed below one cache directory outside the checkout. Debian's rsync and coreutils are used as they are.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CARGO_PEERS = {"cpz": "3.2.1", "xcp": "0.24.9", "fcp": "0.2.2"}
OURS = "hook-runner"
# Another build of it, given with --before: a change is judged beside the program without it, round by round.
BEFORE = "hook-runner before"
# Programs of this benchmark: a library as a program, and the system calls of a copy without a copier.
OWN = ("fs_extra_copy", "calls")
CALLS = ("calls first", "calls compare", "calls look")


class Peers:
    def __init__(self, cache, before=None):
        self.cache = cache
        self.bin = cache / "peers" / "bin"
        self.ours = None
        self.before = Path(before).resolve() if before else None

    def install(self):
        for tool in ("cp", "rsync", "sync"):
            if not shutil.which(tool):
                raise SystemExit(f"{tool} is missing: apt-get install coreutils rsync")
        for crate, version in CARGO_PEERS.items():
            if not (self.bin / crate).exists():
                run(["cargo", "install", "--locked", "--root", self.cache / "peers", f"{crate}@{version}"])
        for program in OWN:
            source, built = ROOT / "benches/copy" / program, self.bin / program
            if not built.exists() or built.stat().st_mtime < (source / "src/main.rs").stat().st_mtime:
                run(["cargo", "install", "--root", self.cache / "peers", "--path", source, "--target-dir", self.cache / program])
        # As for the tests: FAULTFS names one that is built already.
        self.faultfs = os.environ.get("FAULTFS") or self.build(["--package", "faultfs"], "release/faultfs")

    def build_ours(self, binary):
        if binary:
            self.ours = Path(binary).resolve()
            return
        target = "x86_64-unknown-linux-musl"
        self.ours = self.build(["--target", target], f"{target}/release/hook-runner")

    def build(self, arguments, product):
        run(["cargo", "build", "--release", "--quiet", *arguments], cwd=ROOT)
        return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / product

    def command(self, name, src, dst, *extra):
        """The command line that brings the content of src into dst, which exists and is empty or is an older copy."""
        return [str(part) for part in {
            OURS: [self.ours, "copy", *extra, src, dst],
            BEFORE: [self.before, "copy", *extra, src, dst],
            "cp -a": ["cp", "-a", f"{src}/.", dst],
            "rsync -a": ["rsync", "-a", f"{src}/", f"{dst}/"],
            "rsync -aHAXS": ["rsync", "-aHAXS", f"{src}/", f"{dst}/"],
            "cpz": [self.bin / "cpz", "-f", f"{src}/.", dst],
            "xcp": [self.bin / "xcp", "-r", "-T", src, dst],
            "fcp": [self.bin / "fcp", src, dst],
            "fs_extra": [self.bin / "fs_extra_copy", src, dst],
            **{calls: [self.bin / "calls", calls.split()[1], src, dst] for calls in CALLS},
        }[name]]

    def versions(self):
        def first_line(*command):
            text = subprocess.run(command, capture_output=True, text=True).stdout
            return re.sub(r" +", " ", text.split("\n", 1)[0]).strip()
        found = {"hook-runner": first_line(self.ours, "--version") if self.ours else "not built",
                 "cp": first_line("cp", "--version"), "rsync": first_line("rsync", "--version"), "fs_extra": "1.3.0"}
        found.update(CARGO_PEERS)
        return ", ".join(text if name in ("cp", "rsync", "hook-runner") else f"{name} {text}"
                         for name, text in found.items())


def run(command, **options):
    """Runs a step of the preparation; its failure ends the benchmark."""
    done = subprocess.run([str(part) for part in command], **options)
    if done.returncode:
        raise SystemExit(f"failed: {' '.join(str(part) for part in command)}")
