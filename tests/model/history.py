"""Random histories: images, copies, what users and hooks do, kills. Each operation is a tuple that begins with its name."""

import random
from collections import namedtuple

from tree import Directory, File, Link

# `destination` is where a copy of this owner goes, `prefix` what its paths begin with, seen from the volume.
Owner = namedtuple("Owner", "destination prefix names")
NAMES = ["a", "b", "d/a", "d/b", "d/e/c", "s", "x", "x/y"]
OWNERS = {
    "A": Owner("V", "", NAMES),
    "B": Owner("V", "", NAMES),
    "N": Owner("V/d", "d/", ["a", "b", "e/c", "e", "k"]),  # inside the destination of the others
    "F": Owner("V/s", "s", [""]),  # a single file
    "D": Owner("V", "", ["a", "d/e/c", "q"]),  # its files are links that are followed
}
USERS = [name for name in NAMES] + ["d/k", "d/e", "own/z"]
FILTERS = [("exclude", "a"), ("exclude", "/d"), ("exclude", "/x"), ("include", "/d"), ("include", "a"), ("include", "/x")]


def make(seed, owners, manners=()):
    dice = random.Random(seed)
    count = iter(range(1, 1000))
    here = dice.sample(list(owners), dice.randint(1, min(3, len(owners))))
    images, history, linked, made = {}, [], set(), set()
    policy = dice.choice(["replace", "keep-modified", "keep-modified", "missing"])
    prune = dice.choice(["none", "owned", "owned", "all"])
    chosen = None

    def new_image(owner):
        files = image(dice, owner, images.get(owner, {}), manners)
        prefix = OWNERS[owner].prefix
        in_the_way = lambda p, e: isinstance(e, Directory) and prefix + p in linked  # noqa: E731
        images[owner] = {p: File("i0", 0o644, None, None) if in_the_way(p, e) else e for p, e in files.items()}
        made.update(prefix + p for p, e in files.items() if isinstance(e, Directory))
        history.append(("image", owner, images[owner]))

    new_image(here[0])
    for _ in range(dice.randint(3, 12)):
        owner = dice.choice(here)
        what = dice.choice(["image", "copy", "copy", "copy", "user", "user", "user", "run", "failed-run", "kill", "policy", "filter"])
        if owner not in images or what == "image":
            new_image(owner)
        elif what == "policy":
            policy = dice.choice(["replace", "keep-modified", "missing"])
            prune = dice.choice(["none", "owned", prune])
        elif what == "filter":
            chosen = dice.choice([None, *FILTERS])
        elif what == "user":
            history.append(user(dice, f"u{next(count)}", manners, made))
            linked.update(history[-1][2:3] if history[-1][1] == "link" else [])
        elif what in ("run", "failed-run"):
            # --dereference is for all copies of a run, and a link that leads nowhere cannot be followed.
            together = tuple(o for o in here if o in images and (o == owner or "D" not in (o, owner) and dice.random() < 0.4))
            together = tuple(dice.sample(together, len(together)))
            edits = tuple(("write" if dice.random() < 0.8 else dice.choice(["chmod", "remove"]), dice.choice(USERS), f"h{next(count)}")
                          for _ in range(dice.randint(1, 2)))
            history.append(("run", together, policy, prune, edits, what == "run"))
        elif what == "kill":
            history.append(("kill", owner, policy, prune, dice.randint(0, 40)))
        else:
            history.append(("copy", owner, policy, prune, chosen if owner != "F" else None))
    history.append(("copy", here[0], policy, prune, None))
    return history


def user(dice, token, manners, made):
    kind = dice.choice(["write", "write", "remove", "touch", "mkdir", "link", "rewrite", "chmod", "xattr", "hardlink"])
    name = dice.choice(USERS)
    if kind == "link" and "no-symlinks" in manners or kind == "hardlink" and "no-hard-links" in manners:
        kind = "write"
    # A link in the way of an image's directory is refused by design: links of a volume are not followed.
    # So is a file that would be copied to the name of a directory.
    if kind == "link" and name in ("x", "d/e") or kind == "mkdir" and name == "s":
        name = "b"
    if kind == "link" and name in made:
        kind = "write"
    return ("user", kind, name, token)


def image(dice, owner, old, manners):
    if owner == "F":
        return {"": File(f"i{dice.randint(0, 3)}", dice.choice([0o644, 0o600]), None, None)}
    files = dict(old)
    for _ in range(dice.randint(1, 4)):
        name = dice.choice(OWNERS[owner].names)
        if name in files and dice.random() < 0.4 and len(files) > 1:
            del files[name]
            continue
        for other in [p for p in files if p.startswith(name + "/") or name.startswith(p + "/")]:
            del files[other]
        files[name] = entry(dice, owner, name, files, manners)
    if "no-case" in manners:
        files = {"".join(dice.choice([c, c.upper()]) if dice.random() < 0.2 else c for c in p.lower()): e for p, e in files.items()}
        files = dict({p.lower(): (p, e) for p, e in files.items()}.values())
        files = one_spelling(files)
    return files


def one_spelling(files):
    """Gives directories that differ in case alone one spelling, so that no two names of an image collide."""
    spelling, result = {}, {}
    for path, entry_ in files.items():
        parts = path.split("/")
        for n in range(1, len(parts)):
            parts[n - 1] = spelling.setdefault("/".join(parts[:n]).lower(), parts[n - 1])
        result["/".join(parts)] = entry_
    return result


def entry(dice, owner, name, files, manners):
    what = dice.random()
    if owner != "D":
        if what < 0.12 and "no-symlinks" not in manners:
            return Link(f"t{dice.randint(0, 3)}")
        if what < 0.2 and name != "s":
            return Directory(dice.choice([0o755, 0o750, 0o700]))
        there = [path for path, other in files.items() if isinstance(other, File)]
        if what < 0.35 and there:
            other = dice.choice(there)
            files[other] = files[other]._replace(links=files[other].links or dice.randint(1, 1 << 30))
            return files[other]
    return File(f"i{dice.randint(0, 5)}", dice.choice([0o644, 0o644, 0o600, 0o755, 0o440]), dice.choice([None, None, "1", "2"]), None)
