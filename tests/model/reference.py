"""What a volume must hold after each copy: the contract as plain code over an in-memory tree.

Knows nothing of the engine, its files or its output. A tree maps a path to ("f", content), ("l", target) or ("d",).
Written from DESIGN.md, "Copy", and docs/guarantees.md, "Copy".
"""

BESIDE = (".from-image", ".from-volume")


def parents(path):
    parts = path.split("/")
    return ["/".join(parts[:n]) for n in range(1, len(parts))]


def with_directories(files):
    tree = dict(files)
    for path in files:
        for parent in parents(path):
            tree.setdefault(parent, ("d",))
    return tree


def beside(path):
    return any(end in part for part in path.split("/") for end in BESIDE)


class Record:
    """What one owner installed under one name: what its image had, and what stood there when the run ended."""

    def __init__(self, source, left, installed):
        self.source, self.left, self.installed = source, left, installed
        self.half_done = False  # edited by an attempt that failed
        self.retried = False  # then left so by one that succeeded, which copied something else


class Reference:
    """The volume (user and hook included) and, for each owner in the order of their first copy, its records."""

    def __init__(self):
        self.volume, self.records, self.conflicts = {}, {}, []
        self.abandoned = {}  # what an owner no longer has and left, since another claims its name

    def copy(self, owner, image, policy, prune, found, run=False):
        """Copies; where the contract leaves a choice, `found` says which of the permitted outcomes was taken."""
        image = with_directories(image)
        order = list(self.records) if owner in self.records else [*self.records, owner]
        place = order.index(owner)
        mine = self.records.get(owner, {})
        self.earlier = [self.records[other] for other in order[:place]]
        later = {path for other in order[place + 1:] for path in self.records[other]}
        self.conflicts, self.found, self.by_run, new = [], found, run, {}
        for path in sorted(image):
            if path in later:
                new[path] = Record(image[path], None, False)
            else:
                new[path] = self.one(path, image[path], mine.get(path), policy)
        if prune == "owned":
            self.prune(mine, new, {p for other in order if other != owner for p in self.records[other]})
        self.records[owner] = new

    def choose(self, path, *permitted):
        present = self.found.get(path)
        entry = present if present in permitted else permitted[0]
        if entry is None:
            self.volume.pop(path, None)
        return entry

    def one(self, path, wanted, record, policy):
        present = self.volume.get(path)
        if any(self.volume.get(p, ("d",)) != ("d",) for p in parents(path)):
            return Record(wanted, None, False)  # a parent was kept as the user's
        if present == wanted:
            return Record(wanted, wanted, True)
        if present is None:
            deleted = record and record.installed
            if policy == "keep-modified" and deleted and record.source == wanted:
                return record
            if policy == "keep-modified" and record and self.choose(path, wanted, None) is None:
                return Record(wanted, record.left, record.installed)
            return self.install(path, wanted)
        if policy == "missing":
            return record or Record(wanted, None, False)
        if record and record.installed and present == record.left:
            # A new run may begin with the image's own again, since its steps edit it again; a mere copy must not.
            if record.source == wanted and not record.half_done and not self.by_run and not record.retried:
                return record
            if record.source == wanted and not record.half_done and self.choose(path, present, wanted) == present:
                return record
            return self.install(path, wanted)
        earlier = any(path in r and r[path].installed and r[path].left == present for r in self.earlier)
        taken_over = earlier and not (record and record.installed) or self.abandoned.get(path) == present
        if present == ("d",) and wanted != ("d",) and policy == "keep-modified" and not beside(path):
            # A directory in the way of a file: it goes when nothing of the user's is in it, which the volume alone cannot tell.
            if self.choose(path, wanted, present) == present:
                return Record(wanted, None, False)
            return self.install(path, wanted)
        if policy == "replace" or taken_over:
            return self.install(path, wanted)
        if record is None or record.source != wanted:
            self.conflicts.append((path, wanted))
        return Record(wanted, record.left if record else None, record.installed if record else False)

    def install(self, path, wanted):
        if wanted != ("d",):
            for below in [p for p in self.volume if p.startswith(path + "/")]:
                del self.volume[below]  # moved beside, see the invariant about users' bytes
        self.volume[path] = wanted
        return Record(wanted, wanted, True)

    def prune(self, mine, new, claimed):
        for path in sorted(mine, reverse=True):
            record = mine[path]
            if path in new or not record.installed:
                continue
            if record.left == ("d",):
                if path in claimed:
                    continue
                if not any(p.startswith(path + "/") for p in self.volume):
                    self.volume.pop(path, None)
            elif self.volume.get(path) == record.left:
                if path in claimed:
                    self.choose(path, record.left, None)
                    self.abandoned[path] = record.left
                elif any(new.get(p) and new[p].source != ("d",) for p in parents(path)):
                    self.choose(path, record.left, None)  # its directory stands in the way of a file and was kept
                else:
                    del self.volume[path]

    def run_ended(self, owner, well, before):
        """The hook's own steps have edited the volume: after a good end what stands there is as the run left it."""
        for records in self.records.values():
            for path, record in records.items():
                now = self.volume.get(path)
                if record.half_done and well:
                    record.half_done, record.retried, record.left = False, True, now
                elif record.installed and before.get(path) == record.left and now != record.left:
                    record.left, record.half_done = now, not well
