"""Plays a history on a directory with the built program, and holds the volume against the reference after each copy."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

import tree
from history import OWNERS
from reference import Reference, beside, skips
from tree import content, difference, quote, with_directories

PLAN = re.compile(r"^(create|replace|remove|set the metadata of|put beside) (.*?)/?( by a directory)?$")
DONE = {"create": "installed", "replace": "replaced", "remove": "removed", "set the metadata of": "metadata"}
CHANGE = re.compile(r"^(installed|replaced|kept|conflict|metadata|removed) +(.*) \([^()]*\)$")
COUNTS = re.compile(r"^(?:hook-runner: )?(\d+ files? \(.*)$")
NOT_KEPT = {  # what a manner takes away from what is checked
    "owner-refused": set(), "mode-refused": {"mode"}, "mode-ignored": {"mode"}, "modes-777": {"mode"}, "root-squash": {"mode", "xattr"},
    "no-hard-links": {"links"}, "no-xattrs": {"xattr"},
}


OPEN = """left out, as it is known to be wrong (--everything tries it):
  - with --prune all, what the same copy has put beside is removed again
  - verify names a mode that a user or a run has changed and the copy has left
  - of hard links that are none any more, --changes and the dry run name different ones"""


class Fault(Exception):
    pass


class Play:
    """One history on a directory of its own; `script` is the same as shell commands."""

    restarts = False  # whether a copy of a restarted pod comes between a failed attempt and its retry
    manners = ()
    everything = False  # what is known to be wrong, too: see OPEN
    volumes = None  # where the volumes are made, when they are to have manners

    def __init__(self, binary, home):
        self.binary, self.home, self.model, self.images, self.script = binary, home, Reference(), {}, []
        self.stale = set()  # owners who have not copied since somebody else changed the volume
        self.touched = set()  # names whose metadata a user or a hook has changed
        self.unchecked = set().union(*(NOT_KEPT.get(manner, set()) for manner in self.manners))
        self.fold = "no-case" in self.manners
        if self.volumes:
            self.volume = tempfile.mkdtemp(dir=self.volumes)
            os.symlink(self.volume, f"{home}/V")
        else:
            os.makedirs(f"{home}/V")

    def close(self):
        shutil.rmtree(self.home, ignore_errors=True)
        if self.volumes:
            shutil.rmtree(self.volume, ignore_errors=True)

    def shell(self, text):
        self.script.append(text)
        return subprocess.run(["sh", "-c", text], cwd=self.home, capture_output=True, text=True, check=False)

    def runner(self, arguments):
        self.script.append("hook-runner " + " ".join(map(quote, arguments)))
        environment = {"PATH": os.environ["PATH"]}
        return subprocess.run([self.binary, *arguments], cwd=self.home, capture_output=True, text=True, env=environment, check=False)

    def play(self, history):
        for step in history:
            getattr(self, "do_" + step[0])(*step[1:])

    # What the history does.

    def do_image(self, owner, files):
        self.images[owner] = files
        if owner == "F":
            entry = files[""]
            self.shell(f"mkdir -p F; printf {entry.content} >F/file; chmod {entry.mode:o} F/file")
        else:
            operations = tree.operations(owner, files, "D.files" if owner == "D" else None)
            self.script.append("; ".join(map(tree.shell, operations)))
            for operation in operations:
                tree.do(operation, self.home)

    def do_user(self, kind, path, token):
        full, there = f"V/{path}", self.model.volume.get(path)
        is_file = there is not None and there[0] == "f"
        if kind == "touch" and is_file:
            text = f"touch {full}"
        elif kind == "rewrite" and is_file:
            text = f"cp {full} t; cat t >{full}; rm t"
        elif kind == "chmod" and is_file:
            text = f"chmod 604 {full}"
        elif kind == "xattr" and is_file:
            text = f"setfattr -n user.x -v own {full}"
        elif kind == "remove":
            text = f"rm -rf {full}"
        elif kind == "mkdir":
            text = f"rm -rf {full}; mkdir -p {full}; printf {token} >{full}/own"
        elif kind == "hardlink" and is_file:
            text = f"rm -rf V/own; mkdir V/own; ln {full} V/own/z"
        elif kind == "link":
            text = f"rm -rf {full}; mkdir -p $(dirname {full}) && ln -s {token} {full}"
        else:
            text = f"rm -rf {full}; mkdir -p $(dirname {full}) && printf {token} >{full}"
        before, metadata = self.read()
        self.shell(text)
        self.model.volume, after = self.read()
        self.touched |= {p for p in after if after[p][:2] != metadata.get(p, (None, None))[:2]}
        if before != self.model.volume or metadata != after:
            self.stale = set(self.model.records)

    def do_copy(self, owner, policy, prune, chosen):
        command = self.command(owner, policy, prune, chosen)
        before, metadata = self.read()
        dry = self.runner([*command, "--dry-run"])
        if self.read() != (before, metadata):
            raise Fault(f"a dry run changed the volume: {difference(before, self.read()[0])}")
        done = self.runner([*command, "--changes"])
        self.ended("copy", done, 0)
        self.ended("the dry run", dry, 0)
        after = self.read()[0]
        self.check([owner], policy, prune, (before, metadata), self.read(), chosen=chosen)
        self.changes(owner, done.stdout, dry.stdout, before, after, (prune, chosen))
        if self.everything or prune != "all":
            self.said(done, after)
        if before != after:
            self.stale = set(self.model.records)
        (self.stale.add if chosen else self.stale.discard)(owner)
        self.verify()
        again = self.runner([*command, "--changes"])
        self.ended("the second copy in a row", again, 0)
        if self.read()[0] != after:
            raise Fault(f"the second copy in a row changed {difference(after, self.read()[0])}")

    def do_run(self, owners, policy, prune, edits, well):
        assert all(owner in self.images for owner in owners), "an image comes first"
        before = self.read()
        script = "mkdir seen; cp -a V/. seen; " + "".join(self.edit(*edit) for edit in edits) + ("true" if well else "exit 3")
        copies = [word for owner in owners for word in ("--copy", self.between(owner))]
        options = ["--policy", policy, "--prune", prune, *(["--dereference"] if "D" in owners else [])]
        done = self.runner(["run", *copies, *options, "--log", "log", "--", "sh", "-c", script])
        self.ended("run", done, 0 if well else 3)
        after = self.read()
        seen = tree.read(f"{self.home}/seen", self.fold)
        shutil.rmtree(f"{self.home}/seen")
        self.check(owners, policy, prune, before, seen, run=True)
        self.model.volume = after[0]
        self.model.run_ended(well, seen[0], tuple("" if owner == "F" else OWNERS[owner].prefix for owner in owners))
        self.touched |= {p for p in after[1] if after[1][p][:2] != seen[1].get(p, (None, None))[:2]}
        self.stale = set(self.model.records)
        if not well and not self.restarts:
            self.do_run(owners, policy, prune, (), True)

    @staticmethod
    def edit(kind, path, token):
        there = f"[ ! -f V/{path} ] || [ -L V/{path} ]"
        return f"{there} || " + {"write": f"printf {token} >V/{path}", "chmod": f"chmod 606 V/{path}", "remove": f"rm V/{path}"}[kind] + "; "

    def do_kill(self, owner, policy, prune, milliseconds):
        before = self.read()
        command = self.command(owner, policy, prune, None)
        self.script.append(f"timeout -s KILL {milliseconds / 1000} hook-runner " + " ".join(command))
        child = subprocess.Popen([self.binary, *command], cwd=self.home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(milliseconds / 1000)
        child.send_signal(signal.SIGKILL)
        child.wait()
        image = self.image(owner)
        for path, entry in self.read()[0].items():
            if not beside(path) and entry not in (before[0].get(path), image.get(path)):
                raise Fault(f"neither old nor new after a kill: {path}: {entry}")
        self.ended("the copy after a kill", self.runner(command), 0)
        self.check([owner], policy, prune, before, self.read())
        self.stale = set(self.model.records)

    # What it is held against.

    def read(self):
        return tree.read(f"{self.home}/V", self.fold)

    def between(self, owner):
        return f"{'F/file' if owner == 'F' else owner}:{OWNERS[owner].destination}"

    def command(self, owner, policy, prune, chosen):
        assert owner in self.images, "an image comes first"
        options = ["--policy", policy, "--prune", prune, *(["--dereference"] if owner == "D" else [])]
        if chosen:
            options += [f"--{chosen[0]}", chosen[1], "--allow-empty-source"]
        return ["copy", *self.between(owner).split(":"), *options]

    def image(self, owner):
        """Paths as seen from the volume."""
        prefix = OWNERS[owner].prefix
        return with_directories({(prefix + p).lower() if self.fold else prefix + p: content(e) for p, e in self.images[owner].items()})

    @staticmethod
    def ended(what, done, status):
        if done.returncode != status:
            raise Fault(f"{what} ended with {done.returncode}: {done.stderr.strip()[-600:]}")

    def check(self, owners, policy, prune, before, after, run=False, chosen=None):
        self.model.volume, installed = dict(before[0]), {}
        for position, owner in enumerate(owners):
            # A single file goes into the volume's root.
            prefix = "" if owner == "F" else OWNERS[owner].prefix
            following = {other: self.image(other) for other in owners[position + 1:]} if run else None
            self.model.copy(owner, self.image(owner), policy, prune if owner != "F" or prune != "all" else "owned", after[0], following, prefix, chosen, owners[:position])
            installed.update(dict.fromkeys(self.model.installed, owner))
            for path, entry in self.model.conflicts:
                there = [e for p, e in after[0].items() if p.startswith(path + ".from-image")]
                if entry != ("d",) and entry not in there:
                    raise Fault(f"conflict at {path}: no {path}.from-image with {entry}, but {there}")
        leave_out = lambda t: {p: e for p, e in t.items() if not beside(p)}  # noqa: E731
        expected, found = leave_out(self.model.volume), leave_out(after[0])
        if expected != found:
            raise Fault(f"copy {owners} --policy {policy} --prune {prune} {chosen}: expected/found {difference(expected, found)}")
        if policy != "replace" and prune != "all":
            lost = {e for e in before[0].values() if e[0] != "d" and e[1][0] == "u"} - set(after[0].values())
            if lost:
                raise Fault(f"lost what the user had: {lost}")
        for owner in owners:
            apart = {p for other in owners if other != owner for p in self.image(other)}
            fresh = {p for p, by in installed.items() if by == owner and p not in apart}
            self.metadata(owner, policy, fresh, len(owners) == 1, after, chosen)
        self.one_file(set(installed), after)
        self.model.volume = after[0]

    def metadata(self, owner, policy, installed, alone, after, chosen):
        """Modes, attributes and hard links of what has the image's content."""
        image, prefix, groups = self.images[owner], OWNERS[owner].prefix, {}
        since = self.model.since
        later = {p for other in since if since[other] > since[owner] for p in self.model.records[other]}
        earlier = {p for other in since if other != owner for p in self.model.records[other]}
        for name, entry in image.items():
            path = prefix + name.lower() if self.fold else prefix + name
            record = self.model.records[owner].get(path)
            if not record or not record.installed or after[0].get(path) != content(entry) or path in later or skips(chosen, prefix, path):
                continue
            meta, fresh = after[1][path], path in installed
            if not fresh and not alone:
                continue
            if getattr(entry, "links", None) is not None:
                groups.setdefault(entry.links, []).append((path, meta.inode, fresh or policy == "replace"))
            if hasattr(entry, "mode") and (fresh or policy == "replace" and path not in self.touched | earlier):
                if "mode" not in self.unchecked and meta.mode != entry.mode:
                    raise Fault(f"{path} has mode {meta.mode:o}, in the image of {owner} {entry.mode:o}")
            if getattr(entry, "xattr", None) and (fresh or policy == "replace") and "xattr" not in self.unchecked:
                if meta.xattr != entry.xattr and path not in self.touched:
                    raise Fault(f"{path} has user.x={meta.xattr}, in the image of {owner} {entry.xattr}")
        for members in groups.values():
            separate = {inode for _, inode, linked in members if linked}
            if len(separate) > 1 and "links" not in self.unchecked and not {p for p, *_ in members} & self.touched:
                raise Fault(f"hard links of the image are separate: {members}")

    def one_file(self, installed, after):
        """No name shares its file with one that it does not share it with in an image."""
        linked = set()
        for owner, image in self.images.items():
            prefix, groups = OWNERS[owner].prefix, {}
            for name, entry in image.items():
                groups.setdefault(getattr(entry, "links", None), set()).add(prefix + name.lower() if self.fold else prefix + name)
            linked |= {(a, b) for number, group in groups.items() if number is not None for a in group for b in group}
        inodes = {}
        for path, meta in after[1].items():
            if after[0][path] != ("d",):
                inodes.setdefault(meta.inode, set()).add(path)
        for paths in inodes.values():
            for one in paths & installed:
                others = {p for p in paths - {one} if (one, p) not in linked and not beside(p)}
                if others:
                    raise Fault(f"{one} and {others} are one file, in no image they are")

    def changes(self, owner, said, planned, before, after, options):
        """The list of a copy is what happened, and what its dry run had said."""
        prefix = OWNERS[owner].prefix if owner != "F" else ""
        listed, plan = {}, {}
        for line in said.splitlines():
            if match := CHANGE.match(line):
                listed[prefix + (match[2].lower() if self.fold else match[2])] = match[1]
        for line in planned.splitlines():
            if match := PLAN.match(line):
                what, path = DONE.get(match[1], "conflict"), match[2]
                path = re.sub(r"\.from-image(-\d+)?$", "", path) if what == "conflict" else path
                plan[prefix + (path.lower() if self.fold else path)] = what
        gone_with = {p for p, what in listed.items() if what == "replaced"}
        for path, (old, new) in difference(before, after).items():
            if beside(path) or f"{path}/" == prefix or new is None and any(p in gone_with for p in tree.parents(path)):
                continue
            what = "installed" if old is None else "removed" if new is None else "replaced"
            if listed.get(path) != what:
                raise Fault(f"{path} was {what}, and --changes says {listed.get(path)}")
        for path, what in listed.items():
            wrong = {"installed": path not in after, "removed": path in after, "kept": before.get(path) != after.get(path),
                     "conflict": before.get(path) != after.get(path), "replaced": path not in before or path not in after}
            if wrong.get(what):
                raise Fault(f"--changes says {what} of {path}: {before.get(path)} before, {after.get(path)} after")
        put = {p for p in difference(before, after) if ".from-image" in p}
        counts_for = lambda p, what: not beside(p) and what != "kept" and (what != "conflict" or any(b.startswith(p + ".from-image") for b in put))  # noqa: E731
        plan, done = ({p: what for p, what in each.items() if counts_for(p, what)} for each in (plan, listed))
        if not self.everything:
            same = {p for p in {*plan, *done} if before.get(p) == after.get(p) or options[1] and after.get(p) == ("d",) or options[0] == "all" and "conflict" in (plan.get(p), done.get(p))}
            plan, done = ({p: what for p, what in each.items() if p not in same} for each in (plan, done))
        if plan != done:
            raise Fault(f"dry run/done: {difference(plan, done)}")
        counts = [[m[1].split("; not permitted")[0] for m in map(COUNTS.match, text.splitlines()) if m] for text in (planned, said)]
        if counts[0] != counts[1]:
            raise Fault(f"the dry run counts {counts[0]}, the copy {counts[1]}")

    def said(self, done, after):
        """What a message says is beside a name is there."""
        for name in re.findall(r"moved to (\S+?)[;,.]?$", done.stderr, re.M):
            if not any(p == name or p.endswith("/" + name) for p in after):
                raise Fault(f"'moved to {name}' is said, and it is not there")

    def verify(self):
        if self.stale:
            return
        for destination in sorted({"V" if owner == "F" else OWNERS[owner].destination for owner in self.model.records}):
            done = self.runner(["verify", destination])
            modes_alone = not self.everything and all(line.split()[0] in ("mode", "added", "kept") for line in done.stdout.splitlines()[:-1])
            if done.returncode and not modes_alone:
                raise Fault(f"verify {destination} after copies that returned 0: {done.returncode}: {done.stdout.strip()} {done.stderr.strip()}")
