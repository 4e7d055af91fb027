# SPDX-License-Identifier: MIT
"""What may be on a disk after the power failed: built from a record of every call that changed it.

`libdisk_record.so` writes the record. Whatever no later sync covers may be there or not, each by itself: a write whole, in
part (512 bytes stay together), as zeros, or not at all; a name as well. So a new name may be there before the bytes, as on a
file system that does not order them. A rename is one step unless one of its two folders alone was synced.
"""

import collections
import hashlib
import os
import stat
from pathlib import Path

SECTOR = 512
NEVER = float("inf")

# One effect: of a file (`target` is the file), or of names (`changes`: folder, name, file or None).
Op = collections.namedtuple("Op", "kind target offset data changes")
Fate = collections.namedtuple("Fate", "is_kept pieces")
KEPT, LOST = Fate(True, None), Fate(False, None)


class BadRecord(AssertionError):
    pass


class Disk:
    """The folder as it is now; then, with `read_record`, all that happens to it."""

    def __init__(self, root):
        self.root = Path(root)
        self.ids = {}  # of inode numbers, which may be used again
        self.contents = {}  # what files held at the start
        self.folders = {}  # what folders held at the start
        self.ops, self.ends = [], []  # `ends`: how long the record was after each
        self.top = self.take_in(self.root)

    def new_id(self, inode):
        self.ids[inode] = len(self.contents) + len(self.folders) + sum(op.kind == "make" for op in self.ops)
        return self.ids[inode]

    def take_in(self, path):
        status = os.lstat(path)
        if status.st_ino in self.ids:
            return self.ids[status.st_ino]
        number = self.new_id(status.st_ino)
        if stat.S_ISDIR(status.st_mode):
            self.folders[number] = {}
            self.folders[number] = {name: self.take_in(path / name) for name in os.listdir(path)}
        else:
            self.contents[number] = path.read_bytes()
        return number

    # --- The record ---

    def read_record(self, path):
        data, at = Path(path).read_bytes(), 0
        while at < len(data):
            kind, _, rest = data[at:data.index(b"\0", at)].partition(b" ")
            at += len(kind) + len(rest) + 2
            if kind == b"write":
                inode, offset, size = map(int, rest.split())
                self.add("write", self.ids[inode], offset, data[at:at + size])
                at += size
            elif kind == b"move":
                inode, old_folder, new_folder, old = rest.split(b" ", 3)
                new = data[at:data.index(b"\0", at)]
                at += len(new) + 1
                self.add("names", changes=((self.ids[int(new_folder)], os.fsdecode(new), self.ids[int(inode)]),
                                           (self.ids[int(old_folder)], os.fsdecode(old), None)))
            else:
                self.read_op(kind.decode(), rest)
            self.ends += [at] * (len(self.ops) - len(self.ends))
        self.find_covers()

    def count_at(self, size):
        """How many ops there were when the record was so long."""
        return sum(end <= size for end in self.ends)

    def read_op(self, kind, rest):
        if kind in ("make", "folder", "link"):
            inode, folder, name = rest.split(b" ", 2)
            if kind != "link":
                self.add("make", self.new_id(int(inode)), data=None if kind == "folder" else b"")
            self.add("names", changes=((self.ids[int(folder)], os.fsdecode(name), self.ids[int(inode)]),))
        elif kind == "drop":
            folder, name = rest.split(b" ", 1)
            self.add("names", changes=((self.ids[int(folder)], os.fsdecode(name), None),))
        elif kind in ("cut", "zero", "room"):
            inode, *numbers = map(int, rest.split())
            self.add(kind, self.ids[inode], numbers[0], numbers[1] if len(numbers) > 1 else None)
        elif kind in ("sync", "syncall"):
            self.add(kind, self.ids.get(int(rest)))
        else:
            raise BadRecord(f"an entry of kind {kind!r}")

    def add(self, kind, target=None, offset=0, data=None, changes=()):
        self.ops.append(Op(kind, target, offset, data, changes))

    def sync_before(self, count):
        """The prefix that ends with the last sync but one of the first `count` ops."""
        syncs = [number + 1 for number, op in enumerate(self.ops[:count]) if op.kind in ("sync", "syncall")]
        return syncs[-2] if len(syncs) > 1 else 0

    def find_covers(self):
        """For each op, and each change of a name, the sync that makes it last."""
        self.covers, synced, all_synced = [None] * len(self.ops), {}, NEVER
        for number in range(len(self.ops) - 1, -1, -1):
            op = self.ops[number]
            if op.kind == "syncall":
                synced, all_synced = {}, number
            elif op.kind == "sync":
                synced[op.target] = number
            elif op.kind == "names":
                self.covers[number] = [synced.get(folder, all_synced) for folder, _, _ in op.changes]
            elif op.kind != "make":
                self.covers[number] = [synced.get(op.target, all_synced)]

    # --- States ---

    def state(self, count, fate):
        """After the first `count` ops; `fate(op)` says what became of one that nothing covers: KEPT, LOST, or pieces."""
        folders = {number: dict(names) for number, names in self.folders.items()}
        contents = dict(self.contents)
        for number, op in enumerate(self.ops[:count]):
            if op.kind == "make":
                (folders if op.data is None else contents)[op.target] = {} if op.data is None else b""
            elif op.kind == "names":
                last = [cover < count for cover in self.covers[number]]
                is_whole = not any(last) and fate(op).is_kept
                for (folder, name, target), lasts in zip(op.changes, last):
                    if not (lasts or is_whole or (any(last) and fate(op).is_kept)):
                        continue
                    if target is None:
                        folders[folder].pop(name, None)
                    else:
                        folders[folder][name] = target
            elif op.kind not in ("sync", "syncall"):
                chosen = KEPT if self.covers[number][0] < count else fate(op)
                if chosen.is_kept:
                    contents[op.target] = apply(contents[op.target], op, chosen.pieces)
        return State(self.top, folders, contents)

    def check(self):
        """Nothing was missed: the record leads to what is there."""
        told, found = self.state(len(self.ops), lambda op: KEPT).files(), Disk(self.root).state(0, None).files()
        if told != found:
            names = sorted(name for name in told.keys() | found.keys() if told.get(name) != found.get(name))
            raise BadRecord(f"the record does not lead to what is there: {names}")

    def states(self, source, tries, counts=None):
        """(count, what became of the rest, state) for each prefix; `tries` of chance for each, from `source`."""
        for count in counts or range(len(self.ops) + 1):
            for name, fate in FIXED.items():
                yield count, name, self.state(count, fate)
            for number in range(tries):
                yield count, f"by chance {number}", self.state(count, lambda op: chance(source, op))


class State:
    def __init__(self, top, folders, contents):
        self.top, self.folders, self.contents = top, folders, contents

    def files(self, folder=None, path=""):
        """{path: bytes}; None for a folder."""
        found = {}
        for name, number in self.folders[self.top if folder is None else folder].items():
            if number in self.folders:
                found[path + name] = None
                found |= self.files(number, f"{path}{name}/")
            else:
                found[path + name] = self.contents[number]
        return found

    def digest(self):
        digest = hashlib.sha256()
        for path, data in sorted(self.files().items()):
            digest.update(f"{path}\0{-1 if data is None else len(data)}\0".encode())
            digest.update(data or b"")
        return digest.digest()

    def lay_out(self, root):
        """A file with two names has two here, too."""
        self.lay_out_folder(Path(root), self.top, {})

    def lay_out_folder(self, path, folder, made):
        path.mkdir(parents=True, exist_ok=True)
        for name, number in self.folders[folder].items():
            if number in self.folders:
                self.lay_out_folder(path / name, number, made)
            elif number in made:
                os.link(made[number], path / name)
            else:
                (path / name).write_bytes(self.contents[number])
                made[number] = path / name


def apply(content, op, pieces):
    """The content after one op; of a write only `pieces` (None: all): (begin, end, whether as zeros)."""
    if op.kind == "cut":
        return content[:op.offset].ljust(op.offset, b"\0")
    if op.kind == "room":
        return content.ljust(op.offset + op.data, b"\0")
    if op.kind == "zero":
        end = min(op.offset + op.data, len(content))
        return content[:op.offset] + bytes(max(0, end - op.offset)) + content[end:]
    changed = bytearray(content)
    for begin, end, is_zero in [(0, len(op.data), False)] if pieces is None else pieces:
        changed.extend(bytes(max(0, op.offset + end - len(changed))))
        if not is_zero:
            changed[op.offset + begin:op.offset + end] = op.data[begin:end]
    return bytes(changed)


def chance(source, op):
    """Whole, lost, as zeros, or in part; parts end where sectors of the disk do."""
    pick = source.random()
    if op.kind != "write" or pick < 0.4:
        return KEPT if pick < 0.5 else LOST
    if pick < 0.6:
        return LOST
    if pick < 0.7:
        return Fate(True, [(0, len(op.data), True)])
    first = -op.offset % SECTOR
    edges = [0, *range(first or SECTOR, len(op.data), SECTOR), len(op.data)]
    if pick < 0.85:  # the beginning, or the end, is there
        edge = source.choice(edges)
        return Fate(True, [(0, edge, False)] if source.random() < 0.5 else [(edge, len(op.data), False)])
    return Fate(True, [(begin, end, False) for begin, end in zip(edges, edges[1:]) if source.random() < 0.5])


FIXED = {
    "all lost": lambda op: LOST,
    "all kept": lambda op: KEPT,
    "only names kept": lambda op: KEPT if op.kind == "names" else LOST,
    "only bytes kept": lambda op: LOST if op.kind == "names" else KEPT,
    "names and sizes kept": lambda op: (Fate(True, [(0, len(op.data), True)]) if op.kind == "write" else KEPT),
}
