"""Trees in memory and on a disk: how an image is made, how a volume is read. Knows nothing of copies.

An entry of an image is a File, a Link or a Directory. What a volume holds is read twice: as content (a path maps to
("f", content), ("l", target) or ("d",)), and as metadata (a path maps to a Meta).
"""

import os
import shutil
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


def operations(root, image, elsewhere=None):
    """What makes an image; with `elsewhere` its files are there, and the image has links to them."""
    done, first = [("empty", root)], {}
    if elsewhere:
        done.append(("empty", elsewhere))
    for number, (path, entry) in enumerate(sorted(image.items())):
        full = f"{root}/{path}"
        if isinstance(entry, Link):
            done += [("mkdir", os.path.dirname(full)), ("link", entry.target, full)]
        elif isinstance(entry, Directory):
            done += [("mkdir", full), ("chmod", entry.mode, full)]
        elif entry.links is not None and entry.links in first:
            done += [("mkdir", os.path.dirname(full)), ("hardlink", first[entry.links], full)]
        else:
            if entry.links is not None:
                first[entry.links] = full
            at = f"{elsewhere}/{number}" if elsewhere else full
            done.append(("mkdir", os.path.dirname(full)))
            if elsewhere:
                done.append(("link", os.path.relpath(at, os.path.dirname(full)), full))
            done += [("write", entry.content, at), ("chmod", entry.mode, at)]
            if entry.xattr:
                done.append(("xattr", entry.xattr, at))
    return done


def shell(operation):
    """An operation as a shell command."""
    what, *words = operation
    return {
        "empty": "rm -rf {0}; mkdir {0}", "mkdir": "mkdir -p {0}", "link": "ln -s {0} {1}", "hardlink": "ln {0} {1}",
        "chmod": "chmod {0:o} {1}", "write": "printf {0} >{1}", "xattr": "setfattr -n user.x -v {0} {1}",
    }[what].format(*words)


def do(operation, home):
    """The same without a shell, which takes ten times as long."""
    what, *words = operation
    at = os.path.join(home, words[-1])
    if what == "empty":
        shutil.rmtree(at, ignore_errors=True)
        os.mkdir(at)
    elif what == "mkdir":
        os.makedirs(at, exist_ok=True)
    elif what == "link":
        os.symlink(words[0], at)
    elif what == "hardlink":
        os.link(os.path.join(home, words[0]), at)
    elif what == "chmod":
        os.chmod(at, words[0])
    elif what == "write":
        with open(at, "w", encoding="utf-8") as file:
            file.write(words[0])
    else:
        try:
            os.setxattr(at, "user.x", words[0].encode())
        except OSError:
            pass  # a volume without them


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
