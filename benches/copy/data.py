"""The trees that are copied: SMALL, BIG, ODD and a million files. Built once, in the cache directory.

SMALL is what images of applications are made of: the files of published npm packages, a few KiB each. It is kept as two
layers, so that an overlayfs mount of them is read as a container reads its image.
"""

import hashlib
import os
import shutil
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

from peers import run

PACKAGES = ["lodash@4.17.21", "core-js@3.36.0", "rxjs@7.8.1", "antd@5.16.0", "webpack@5.91.0", "eslint@8.57.0",
            "aws-sdk@2.1600.0", "jest@29.7.0", "express@4.19.2"]
SMALL_FILES = 30_000
LARGEST_SMALL = 64 << 10
BIG_FILES, BIG_SIZE = 3, 512 << 20


def small(cache):
    """SMALL's layers, lowest first."""
    layers = [cache / "small" / "layer0", cache / "small" / "layer1"]
    if (cache / "small" / "complete").exists():
        return layers
    npm = cache / "npm"
    shutil.rmtree(npm, ignore_errors=True)
    npm.mkdir(parents=True)
    (npm / "package.json").write_text('{"private": true}')
    run(["npm", "install", "--legacy-peer-deps", "--ignore-scripts", "--no-audit", "--no-fund", "--no-bin-links",
         *PACKAGES], cwd=npm)
    shutil.rmtree(cache / "small", ignore_errors=True)
    taken = 0
    for here, dirs, files in os.walk(npm / "node_modules"):
        dirs.sort()
        for name in sorted(files):
            path = Path(here, name)
            if path.is_symlink() or path.stat().st_size > LARGEST_SMALL or taken == SMALL_FILES:
                continue
            taken += 1
            relative = path.relative_to(npm)
            layer = layers[relative.parts[1] > "core-js"]
            (layer / relative.parent).mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, layer / relative)
    if taken < SMALL_FILES:
        raise SystemExit(f"the npm packages have only {taken} small files")
    shutil.rmtree(npm)
    (cache / "small" / "complete").touch()
    return layers


def small_part(cache, every):
    """Every n-th directory of SMALL, for volumes on which the whole takes minutes. SMALL's largest directory holds a thirtieth
    of its files; so it is here, or one directory would be most of the work, which it is not in an image."""
    part = cache / f"small-part-{every}"
    if not (part / "complete").exists():
        shutil.rmtree(part, ignore_errors=True)
        most = SMALL_FILES // every // 30
        number = 0
        for layer in small(cache):
            for here, dirs, files in os.walk(layer):
                dirs.sort()
                number += bool(files)
                if files and number % every == 0:
                    to = part / "layer0" / Path(here).relative_to(layer)
                    to.mkdir(parents=True, exist_ok=True)
                    for name in sorted(files)[:most]:
                        shutil.copy2(Path(here, name), to / name)
        (part / "complete").touch()
    return [part / "layer0"]


def big(cache):
    """Three files that no filesystem can compress."""
    tree = cache / "big" / "layer0"
    if not (cache / "big" / "complete").exists():
        tree.mkdir(parents=True, exist_ok=True)
        for number in range(BIG_FILES):
            with open(tree / f"model-{number}.bin", "wb") as file:
                for _ in range(BIG_SIZE >> 20):
                    file.write(os.urandom(1 << 20))
        (cache / "big" / "complete").touch()
    return [tree]


def million(cache):
    """A million files of 16 bytes in a thousand directories: what memory use depends on is their number."""
    tree = cache / "million" / "layer0"
    if not (cache / "million" / "complete").exists():
        for directory in range(1000):
            here = tree / f"directory-{directory:04}"
            here.mkdir(parents=True, exist_ok=True)
            for number in range(1000):
                (here / f"a-file-with-a-usual-name-{number:04}.txt").write_bytes(struct.pack("<QQ", directory, number))
        (cache / "million" / "complete").touch()
    return [tree]


@dataclass
class Oddity:
    """One thing a copier may lose: a small tree that has it, and how to see it in the copy."""
    name: str
    build: object  # tree -> None; the tree exists and is empty
    kept: object  # tree, copy -> bool


def regular(tree):
    (tree / "plain").mkdir()
    (tree / "plain" / "file").write_text("content\n")
    (tree / "plain" / ".dotfile").write_text("dot\n")
    (tree / "empty").mkdir()


def links(tree):
    regular(tree)
    for name, target in LINKS.items():
        (tree / name).symlink_to(target)


def hard(tree):
    regular(tree)
    os.link(tree / "plain" / "file", tree / "empty" / "other")


def special(tree):
    regular(tree)
    os.mkfifo(tree / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(tree, os.O_PATH)
        server.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)


def sparse(tree):
    with open(tree / "sparse", "wb") as file:
        file.truncate(256 << 20)
        for offset in (0, 128 << 20):
            os.pwrite(file.fileno(), b"d" * (2 << 20), offset)


def file_modes(tree):
    for mode in (0o000, 0o400, 0o755, 0o4755, 0o2755, 0o1777, 0o7777):
        path = tree / f"mode-{mode:04o}"
        path.write_text("mode\n")
        path.chmod(mode)


def directory_modes(tree):
    for mode in (0o2775, 0o1777, 0o500, 0o000):
        path = tree / f"directory-{mode:04o}"
        path.mkdir()
        path.chmod(mode)


def times(tree):
    regular(tree)
    links(tree / "empty")
    for number, path in enumerate(sorted(tree.rglob("*"), reverse=True)):
        seconds = (-86_401, 1_111_111_111, 5_000_000_000)[number % 3]
        os.utime(path, ns=(0, seconds * 10**9 + 123_456_789), follow_symlinks=False)


def xattrs(tree):
    (tree / "attributes").write_text("user xattr\n")
    os.setxattr(tree / "attributes", "user.kept", b"value")


def acls(tree):
    (tree / "acl").write_text("acl\n")
    os.setxattr(tree / "acl", "system.posix_acl_access", acl(user=65532))


def owners(tree):
    (tree / "owned").write_text("owner\n")
    os.chown(tree / "owned", 65532, 65532)


def names(tree):
    for name in (b"new\nline", b"not \xff UTF-8", b"n" * 255, b" leading space", b"-dash"):
        with open(os.fsencode(tree) + b"/" + name, "wb") as file:
            file.write(name)


def deep(tree):
    here = os.open(tree, os.O_RDONLY)
    for _ in range(25):
        os.mkdir("d" * 200, dir_fd=here)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("bottom", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=here))
    os.close(here)


LINKS = {"dangling": "no/where", "absolute": "/no/where", "to-directory": "plain", "to-file": "plain/file"}

ODD = [
    Oddity("regular files, dotfiles, empty directories", regular,
           lambda tree, copy: (copy / "plain/file").read_bytes() == b"content\n" and (copy / "plain/.dotfile").is_file()
           and (copy / "empty").is_dir()),
    Oddity("symbolic links: dangling, absolute, to directories", links,
           lambda tree, copy: all(os.readlink(copy / name) == target for name, target in LINKS.items())),
    Oddity("hard links", hard,
           lambda tree, copy: (copy / "plain/file").stat().st_ino == (copy / "empty/other").stat().st_ino),
    Oddity("the rest of a tree with a FIFO and a socket", special, lambda tree, copy: (copy / "plain/file").is_file()),
    Oddity("holes", sparse, lambda tree, copy: os.stat(copy / "sparse").st_blocks * 512 < 16 << 20
           and digest(copy / "sparse") == digest(tree / "sparse")),
    Oddity("file modes, 0000 to 7777", file_modes,
           lambda tree, copy: same(tree, copy, os.listdir(tree), lambda stat: stat.st_mode)),
    Oddity("directory modes", directory_modes, lambda tree, copy: same(tree, copy, os.listdir(tree), lambda stat: stat.st_mode)),
    Oddity("mtimes of files, 1969 to 2128, in nanoseconds", times,
           lambda tree, copy: same(tree, copy, ("plain/file", "plain/.dotfile"), lambda stat: stat.st_mtime_ns)),
    Oddity("mtimes of directories", times,
           lambda tree, copy: same(tree, copy, ("plain", "empty"), lambda stat: stat.st_mtime_ns)),
    Oddity("mtimes of symbolic links", times,
           lambda tree, copy: same(tree, copy, ("empty/dangling", "empty/to-file"), lambda stat: stat.st_mtime_ns)),
    Oddity("user xattrs", xattrs, lambda tree, copy: os.getxattr(copy / "attributes", "user.kept") == b"value"),
    Oddity("POSIX ACLs", acls, lambda tree, copy: os.getxattr(copy / "acl", "system.posix_acl_access")
           == os.getxattr(tree / "acl", "system.posix_acl_access")),
    Oddity("owners", owners, lambda tree, copy: same(tree, copy, ["owned"], lambda stat: (stat.st_uid, stat.st_gid))),
    Oddity("names: newline, not UTF-8, 255 bytes", names,
           lambda tree, copy: set(os.listdir(os.fsencode(tree))) <= set(os.listdir(os.fsencode(copy)))),
    Oddity("paths beyond PATH_MAX", deep, lambda tree, copy: bottom(copy)),
]


def same(tree, copy, names, of):
    """Whether `of` the stat is the same for each name on both sides; by name, as a pattern would pass dangling links by."""
    return all(of(os.lstat(tree / name)) == of(os.lstat(copy / name)) for name in names)


def bottom(copy):
    here = os.open(copy, os.O_RDONLY)
    try:
        for _ in range(25):
            below = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        return os.stat("bottom", dir_fd=here).st_size == 0
    finally:
        os.close(here)


def digest(path):
    found = hashlib.blake2b()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            found.update(block)
    return found.digest()


def acl(user):
    """user::rw-, user:N:r--, group::r--, mask::r--, other::--- in the kernel's form (acl(5), version 2)."""
    entries = [(0x01, 6, -1), (0x02, 4, user), (0x04, 4, -1), (0x10, 4, -1), (0x20, 0, -1)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", tag, perm, who & 0xFFFFFFFF)
                                           for tag, perm, who in entries)
