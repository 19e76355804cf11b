"""What a volume must hold after each copy: the contract as plain code over an in-memory tree.

Knows nothing of the engine, its files or its output. A tree maps a path to ("f", content), ("l", target) or ("d",); all
paths are seen from the volume, those of a copy into a directory of it too. Written from DESIGN.md, "Copy", and
docs/guarantees.md, "Copy".
"""

from tree import parents, with_directories

BESIDE = (".from-image", ".from-volume")


def beside(path):
    return any(end in part for part in path.split("/") for end in BESIDE)


def skips(chosen, prefix, path):
    """Whether --exclude or --include (a name, or /NAME at the root of the source) leaves this path alone."""
    if chosen is None or not path.startswith(prefix):
        return False
    kind, pattern = chosen
    parts = path[len(prefix):].split("/")
    matches = parts[0] == pattern[1:] if pattern.startswith("/") else pattern in parts
    return matches == (kind == "exclude")


class Record:
    """What one owner installed under one name: what its image had, and what stood there when the run ended."""

    def __init__(self, source, left, installed):
        self.source, self.left, self.installed = source, left, installed
        self.half_done = False  # edited by an attempt that failed
        self.retried = False  # then left so by one that succeeded, which copied something else
        self.dropped = False  # the image no longer has it, and nothing was pruned


class Reference:
    """The volume (user and hook included) and, for each owner in the order of their first copy, its records."""

    def __init__(self):
        self.volume, self.records, self.conflicts, self.installed = {}, {}, [], set()
        self.since, self.prefixes = {}, {}  # when each owner came, and where to
        self.abandoned = {}  # what an owner no longer has and left, since another claims its name

    def copy(self, owner, image, policy, prune, found, run=None, prefix="", chosen=None, earlier=()):
        """Copies; where the contract leaves a choice, `found` says which of the permitted outcomes was taken.

        `prefix` is what the paths of this owner begin with: "" in the volume's root, "d/" in its directory d. `run` has the
        images of those that copy after this one in its run, and is None where it is no run; `earlier` copied before it in its run.
        """
        image = {path: entry for path, entry in image.items() if not skips(chosen, prefix, path)}
        # A directory that nothing is put into is not made; one that is there stays or goes.
        self.empty = {path for path, entry in image.items() if chosen and chosen[0] == "include" and entry == ("d",)}
        if chosen and chosen[0] == "include":
            image = {path: entry for path, entry in image.items() if entry != ("d",)}  # made only when something is put into it
        image = with_directories({**image, **{prefix.rstrip("/"): ("d",) for _ in prefix[:1]}})
        self.image = image
        mine = self.records.get(owner, {})
        above = self.above(owner, run, prefix, earlier)
        # Of a later owner that has the name and left it to what was there, both may be said.
        later, perhaps = set(), set()
        for other in above:
            if run and other in run:
                names, known = set(with_directories(run[other])), set(self.records.get(other, {}))
                later |= names & known
                perhaps |= names - known
                continue
            for path, record in self.records[other].items():
                (perhaps if not record.installed or record.dropped else later).add(path)
        self.mine, self.others = mine, [records for other, records in self.records.items() if other != owner]
        self.earlier = [records for other, records in self.records.items() if other != owner and other not in above]
        self.conflicts, self.installed, self.found, self.by_run = [], set(), found, run is not None
        self.anew = set()  # directories in the place of what a copy had there: what they lack, no user removed
        new = {path: record for path, record in mine.items() if skips(chosen, prefix, path)}
        for path in sorted(image):
            following = [images.get(path) for images in (run or {}).values()]
            if path in later or path in perhaps and found.get(path) in [self.volume.get(path), *following]:
                before = mine.get(path)
                is_left = before is not None and before.installed and before.left == self.volume.get(path)
                new[path] = Record(image[path], before.left, True) if is_left else Record(image[path], None, False)
            else:
                new[path] = self.one(path, image[path], mine.get(path), policy)
        others = {path: record for other in self.records if other != owner for path, record in self.records[other].items() if not record.dropped}
        if prune == "all":
            self.mirror(prefix, others, chosen)
        if prune != "none":
            self.prune(mine, new, set(others))
        for path in mine.keys() - new.keys():
            if mine[path].installed and path in self.volume:
                mine[path].dropped, new[path] = True, mine[path]
        self.records[owner] = new

    def above(self, owner, run, prefix, earlier):
        """Owners whose layers are above this one's: those that came later. Of a run's copies it is their order in it that counts,
        and who is not of the run comes before them where the destination is the same. `earlier` copied before it in its run."""
        newest = max([0, *self.since.values()])
        before = [self.since[other] for other in self.since
                  if (self.prefixes[other] == prefix or other in earlier) and other not in (run or {})]
        if owner not in self.since or run is not None and self.since[owner] < max(before):
            self.since[owner] = newest + 1
        self.prefixes[owner] = prefix
        is_later = lambda other: other in run or (  # noqa: E731
            self.prefixes[other] != prefix and self.since[other] > self.since[owner])
        if run is None:
            return [other for other in self.records if self.since[other] > self.since[owner]]
        return [other for other in {**self.records, **run} if other != owner and is_later(other)]

    def choose(self, path, *permitted):
        present = self.found.get(path)
        entry = present if present in permitted else permitted[0]
        if entry is None:
            self.volume.pop(path, None)
        return entry

    def one(self, path, wanted, record, policy):
        if record and record.dropped:
            record = Record(None, record.left, True)
        present = self.volume.get(path)
        if any(self.volume.get(p, ("d",)) != ("d",) for p in parents(path)):
            return Record(wanted, None, False)  # a parent was kept as the user's
        if present == wanted:
            return Record(wanted, wanted, True)
        if present is None and any(p in self.anew for p in parents(path)):
            return self.install(path, wanted)
        if present is None:
            if record and record.installed and record.left is None and record.source == wanted and not record.half_done:
                # A run that ended well removed it: as left. A new run may begin with the image's own again.
                may_begin_anew = self.by_run or record.retried or policy == "missing"
                return self.install(path, wanted) if may_begin_anew and self.choose(path, None, wanted) == wanted else record
            if record and record.half_done and policy == "missing" and self.choose(path, wanted, None) is None:
                return record
            deleted = record and record.installed and not record.half_done
            if policy == "keep-modified" and deleted and record.source == wanted:
                # Where nothing of this owner is left, the volume was emptied, which is no user's edit.
                # One file alone that is gone was deleted.
                files = [p for p, r in self.mine.items() if r.installed and r.source != ("d",) and r.left is not None]
                emptied = len(files) > 1 and not any(p in self.volume for p in files)
                return self.install(path, wanted) if emptied and self.choose(path, None, wanted) == wanted else record
            if policy == "keep-modified" and record and not record.half_done and self.choose(path, wanted, None) is None:
                return Record(wanted, record.left, record.installed)
            return self.install(path, wanted)
        if policy == "missing":
            return record or Record(wanted, None, False)
        if present == ("d",) and wanted != ("d",) and policy == "keep-modified" and not beside(path) and self.holds_more(path):
            # A directory in the way of a file, with something of the user's in it.
            if self.choose(path, wanted, present) == present:
                return Record(wanted, None, False)
            return self.install(path, wanted)
        if record and record.installed and present == record.left:
            # A new run may begin with the image's own again, since its steps edit it again; a mere copy must not.
            if record.source == wanted and not record.half_done and not self.by_run and not record.retried:
                return record
            if record.source == wanted and not record.half_done and self.choose(path, present, wanted) == present:
                return record
            return self.install(path, wanted)
        earlier = any(path in r and r[path].installed and r[path].left == present for r in self.earlier)
        taken_over = earlier and (self.by_run or not (record and record.installed)) or self.abandoned.get(path) == present
        if policy == "replace" or taken_over:
            return self.install(path, wanted)
        if record is None or record.source != wanted:
            self.conflicts.append((path, wanted))
        return Record(wanted, record.left if record else None, record.installed if record else False)

    def install(self, path, wanted):
        if wanted != ("d",):
            for below in [p for p in self.volume if p.startswith(path + "/")]:
                del self.volume[below]  # moved beside, see the invariant about users' bytes
        elif self.volume.get(path):
            self.anew.add(path)
        self.volume[path] = wanted
        self.installed.add(path)
        return Record(wanted, wanted, True)

    def holds_more(self, path):
        """More than what copies have installed there, or nothing at all, which is a user's directory."""
        every = [self.mine, *self.others]
        below = [p for p in [path, *self.volume] if p == path or p.startswith(path + "/")]
        return any(not any(p in records and records[p].installed and records[p].left == self.volume[p] for records in every) for p in below)

    def is_kept(self, path):
        """Below a directory that stands where the image has a file, and was kept."""
        return any(self.image.get(p, ("d",)) != ("d",) for p in parents(path))

    def mirror(self, prefix, others, chosen):
        """`all`: what neither this image nor another owner has goes, a user's too."""
        for path in sorted(self.volume, reverse=True):
            if not path.startswith(prefix) or path in self.image or skips(chosen, prefix, path):
                continue
            if self.volume[path] == ("d",) and any(p.startswith(path + "/") for p in self.volume):
                continue
            below_owned = any(p in others for p in parents(path))  # in a directory of another owner
            if beside(path) or path in self.empty or self.is_kept(path) or below_owned or path in others and not others[path].installed:
                self.choose(path, self.volume[path], None)
            elif path not in others:
                del self.volume[path]

    def prune(self, mine, new, claimed):
        for path in sorted(mine, reverse=True):
            record = mine[path]
            if path in new or not record.installed or path not in self.volume:
                continue
            if record.left == ("d",):
                if path in claimed or self.volume[path] != ("d",):
                    continue
                if not any(p.startswith(path + "/") for p in self.volume):
                    self.choose(path, *([record.left] if path in self.empty else []), None)
            elif self.volume.get(path) == record.left:
                if path in claimed:
                    self.choose(path, record.left, None)
                    self.abandoned[path] = record.left
                elif self.is_kept(path):
                    self.choose(path, record.left, None)
                else:
                    del self.volume[path]

    def run_ended(self, well, before, prefixes):
        """The hook's own steps have edited the volume: after a good end what stands there is as the run left it.

        That goes for what is in the destinations of the run, whoever copied it; what it did elsewhere is like a user's.
        """
        for records in self.records.values():
            for path, record in records.items():
                if not path.startswith(prefixes):
                    continue
                now = self.volume.get(path)
                if record.half_done and well:
                    record.half_done, record.retried, record.left = False, True, now
                elif record.installed and before.get(path) == record.left and now != record.left:
                    record.left, record.half_done = now, not well
