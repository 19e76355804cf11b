"""Trees in memory and on a disk: how an image is made, how a volume is read. Knows nothing of copies.

An entry of an image is a File, a Link or a Directory. What a volume holds is read twice: as content (a path maps to
("f", content), ("l", target) or ("d",)), and as metadata (a path maps to a Meta).
"""

import os
import stat
from collections import namedtuple

File = namedtuple("File", "content mode xattr links")  # links: None, or a number that hard-linked names share
Link = namedtuple("Link", "target")
Directory = namedtuple("Directory", "mode")
Meta = namedtuple("Meta", "mode xattr inode")

STATE = ".hook-runner"


def quote(text):
    return "'" + text.replace("'", "'\\''") + "'"


def parents(path):
    parts = path.split("/")
    return ["/".join(parts[:n]) for n in range(1, len(parts))]


def content(entry):
    """What decides: type and bytes."""
    if isinstance(entry, File):
        return ("f", entry.content)
    return ("l", entry.target) if isinstance(entry, Link) else ("d",)


def with_directories(contents):
    tree = dict(contents)
    for path in contents:
        for parent in parents(path):
            tree.setdefault(parent, ("d",))
    return tree


def commands(root, image, elsewhere=None):
    """Shell commands that make an image; with `elsewhere` its files are there, and the image has links to them."""
    lines, first = [f"rm -rf {root}; mkdir {root}"], {}
    if elsewhere:
        lines.append(f"rm -rf {elsewhere}; mkdir {elsewhere}")
    for number, (path, entry) in enumerate(sorted(image.items())):
        full = f"{root}/{path}"
        lines.append(f"mkdir -p $(dirname {full})")
        if isinstance(entry, Link):
            lines.append(f"ln -s {entry.target} {full}")
        elif isinstance(entry, Directory):
            lines.append(f"mkdir -p {full}; chmod {entry.mode:o} {full}")
        elif entry.links is not None and entry.links in first:
            lines.append(f"ln {first[entry.links]} {full}")
        else:
            if entry.links is not None:
                first[entry.links] = full
            at = f"{elsewhere}/{number}" if elsewhere else full
            if elsewhere:
                lines.append(f"ln -s $PWD/{at} {full}")
            lines.append(f"printf {entry.content} >{at}; chmod {entry.mode:o} {at}")
            if entry.xattr:
                lines.append(f"setfattr -n user.x -v {entry.xattr} {at}")
    return "; ".join(lines)


def read(root, fold=False):
    """Content and metadata of what is below `root`, without the runner's own directories."""
    contents, metadata = {}, {}
    for base, directories, files in os.walk(root):
        directories[:] = [name for name in directories if name != STATE]
        for name in directories + files:
            full = os.path.join(base, name)
            path = os.path.relpath(full, root)
            path = path.lower() if fold else path
            status = os.lstat(full)
            if stat.S_ISLNK(status.st_mode):
                contents[path] = ("l", os.readlink(full))
            elif stat.S_ISDIR(status.st_mode):
                contents[path] = ("d",)
            else:
                with open(full, encoding="utf-8", errors="surrogateescape") as file:
                    contents[path] = ("f", file.read())
            metadata[path] = Meta(stat.S_IMODE(status.st_mode), xattr(full), status.st_ino)
    return contents, metadata


def xattr(full):
    try:
        return os.getxattr(full, "user.x", follow_symlinks=False).decode()
    except OSError:
        return None


def difference(old, new):
    return {path: (old.get(path), new.get(path)) for path in sorted({*old, *new}) if old.get(path) != new.get(path)}
