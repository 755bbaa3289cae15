"""
A model of a tree that knows what was acknowledged, and random work on it.

A node is an inode: hard links are one node under several paths. It holds the bytes that close() or fsync() acknowledged and the
writes since; after a kill its bytes must be those of one instant, after so many of these writes as it likes. An operation on names
first says in `choices` which trees may be there when it is cut off, then runs on the mount, then its tree is the one truth.
"""
import errno
import mmap
import os
import random
import stat

from lab import GONE

SMALL = [0, 1, 17, 900, 4096, 5000, 20000, 32767, 32768, 32769, 60000, 65536, 140000, 300000]
LARGE = [1 << 20, 3000000, 9 << 20, (16 << 20) + 1, 17 << 20, 25000000, 40 << 20]
PAGE = 4096
# After a kill a file that was held open must be as it was at one instant, not only a mix of what was written: scripts/soak crash --exact.
EXACT = False
# What a mount may answer when the bucket does not.
TROUBLE = {errno.EIO, errno.ETIMEDOUT, errno.EAGAIN, errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EACCES, errno.EHOSTUNREACH, errno.ECONNREFUSED,
           errno.ECONNRESET, errno.ENETUNREACH}


class Node:
    def __init__(self, kind, data=b"", mode=0o644, target=""):
        self.kind, self.data, self.target = kind, data, target
        self.modes = {mode}   # two while a chmod is under way
        self.writes = []      # (offset, bytes), or (size, None): set to this size; not acknowledged yet
        self.stores = {}      # page number -> [bytes, …] stored through a mapping, not synced: each page by itself may be there or not
        self.cut = False      # the last write was cut off: any part of it may be there
        self.ino = 0          # as read from a mount

    def now(self):
        """The bytes that a program sees. Stores to a mapping are made through now() by whoever makes them."""
        data = self.data
        if self.writes:
            data = bytearray(data)
            for write in self.writes:
                put(data, write)
        return bytes(data)

    def acknowledge(self):
        self.data, self.writes, self.stores = self.now(), [], {}

    def may_be(self, found):
        """Were these the bytes at one instant since the last acknowledgement?"""
        if self.stores:
            return self.mixed(found)
        return self.one_instant(found) or (not EXACT and self.mix(found))

    def mix(self, found):
        """Every byte is one that was there at some instant, and so is the size."""
        states, data = [bytes(self.data)], bytearray(self.data)
        for write in self.writes:
            put(data, write)
            states.append(bytes(data))
        last = self.writes[-1] if self.writes and self.cut else (0, b"")
        if len(found) not in {len(s) for s in states} and not last[0] <= len(found) <= last[0] + len(last[1] or b""):
            return False
        for start in range(0, len(found), PAGE):
            page = found[start:start + PAGE]
            pieces = [s[start:start + PAGE].ljust(len(page), bytes(1))[:len(page)] for s in states]
            if page not in pieces and not all(byte in options for byte, options in zip(page, zip(*pieces))):
                return False
        return True

    def one_instant(self, found):
        data = bytearray(self.data)
        if found == data:
            return True
        for number, write in enumerate(self.writes):
            if self.cut and number == len(self.writes) - 1 and write[1] is not None:
                break
            put(data, write)
            if found == data:
                return True
        else:
            return False
        return partly(found, data, write)

    def mixed(self, found):
        if len(found) != len(self.data):
            return False
        for start in range(0, len(found), PAGE):
            page = found[start:start + PAGE]
            if page != self.data[start:start + PAGE] and page not in self.stores.get(start // PAGE, ()):
                return False
        return True

    def same(self, other):
        """Could `other`, as found, be this node?"""
        if self.kind != other.kind:
            return False
        if self.kind == "link":
            return self.target == other.target
        if not other.modes <= self.modes:
            return False
        return self.kind != "file" or self.may_be(other.data)


def partly(found, data, write):
    """Is `found` data with any part of the write? That call never returned."""
    offset, piece = write
    end = min(offset + len(piece), len(found))
    if len(found) < len(data) or len(found) > max(len(data), offset + len(piece)) or end < offset:
        return len(found) <= max(len(data), offset) and found == (data + bytes(max(0, len(found) - len(data))))[:len(found)] and len(found) >= len(data)
    old = bytes(data) + bytes(max(0, len(found) - len(data)))
    if found[:offset] != old[:offset] or found[end:] != old[end:]:
        return False
    return all(a in (b, c) for a, b, c in zip(found[offset:end], old[offset:end], piece))


def put(data, write):
    offset, piece = write
    if piece is None:
        if offset < len(data):
            del data[offset:]
        else:
            data.extend(bytes(offset - len(data)))
        return
    if offset > len(data):
        data.extend(bytes(offset - len(data)))
    data[offset:offset + len(piece)] = piece


class Tree(dict):
    """relative path -> Node; parents are always there."""

    def copy(self):
        return Tree(self)

    def of(self, kind):
        return sorted(p for p, n in self.items() if n.kind == kind)

    def below(self, path):
        return [p for p in self if p.startswith(path + "/")]

    def move(self, old, new):
        for p in [old, *self.below(old)]:
            self[new + p[len(old):]] = self.pop(p)


def read_file(full):
    with open(full, "rb") as file:
        data = file.read()
        size = os.fstat(file.fileno()).st_size
    if len(data) != size:
        raise AssertionError(f"{full}: stat says {size} bytes, read gives {len(data)}")
    return data


def read_tree(root):
    """What a program sees."""
    tree, nodes = Tree(), {}

    def fail(error):
        raise error

    for base, folders, files in os.walk(root, onerror=fail):
        for name in folders + files:
            full = os.path.join(base, name)
            info = os.lstat(full)
            path = os.path.relpath(full, root)
            mode = stat.S_IMODE(info.st_mode)
            if info.st_ino in nodes:
                tree[path] = nodes[info.st_ino]
                continue
            if stat.S_ISLNK(info.st_mode):
                node = Node("link", target=os.readlink(full))
            elif stat.S_ISDIR(info.st_mode):
                node = Node("dir", mode=mode)
            else:
                node = Node("file", read_file(full), mode)
            node.ino = info.st_ino
            tree[path] = nodes[info.st_ino] = node
    return tree


def describe(path, found, wanted):
    if found.kind != wanted.kind:
        return f"{path} is a {found.kind}, not a {wanted.kind}"
    if found.kind == "file" and not wanted.may_be(found.data):
        a, b = found.data, wanted.now()
        at = next((i for i in range(0, max(len(a), len(b)), 64) if a[i:i + 64] != b[i:i + 64]), 0)
        at += next((i for i in range(64) if a[at + i:at + i + 1] != b[at + i:at + i + 1]), 0)
        last = f" ({len(wanted.writes)} writes not acknowledged, before them {len(wanted.data)} bytes)" if wanted.writes or wanted.stores else ""
        return f"{path} has {len(a)} bytes, not {len(b)}{last}; they differ from {at}: {a[at:at + 16]!r}, not {b[at:at + 16]!r}"
    return f"{path} has modes {found.modes} target {found.target!r}, not {wanted.modes} {wanted.target!r}"


def difference(found, wanted, links=True):
    """One sentence, or None when `found` may be `wanted`. links: hard links must be what they were."""
    for path in sorted(set(found) | set(wanted)):
        if path not in found:
            return f"{path} ({wanted[path].kind}) is not there"
        if path not in wanted:
            return f"{path} ({found[path].kind}, {len(found[path].data)} bytes) should not be there"
        if not wanted[path].same(found[path]):
            return describe(path, found[path], wanted[path])
    if links:
        pairs = {}
        for path in sorted(found):
            other = pairs.setdefault(id(wanted[path]), path)
            if found[other] is not found[path]:
                return f"{other} and {path} were one file and are two"
        if len({id(n) for n in found.values()}) != len(pairs):
            return "two files are one now"
    return None


class Cut(Exception):
    """The daemon went away in the middle of an operation."""


class Handle:
    def __init__(self, node, fd, name, append=False):
        self.node, self.fd, self.name, self.append = node, fd, name, append


class Work:
    """limit: entries in the tree; large: large files at a time. trouble: errors of the network may reach us."""

    def __init__(self, root, seed, limit=120, large=2, trouble=False, deadline=None):
        self.root, self.random, self.count = root, random.Random(seed), 0
        self.limit, self.large, self.trouble = limit, large, trouble
        self.tree, self.choices, self.handles = Tree(), [], []
        self.history, self.errors, self.wrong = [], {}, None
        self.limited = deadline  # a Watch
        self.operations = [
            (self.create, 20), (self.rewrite, 8), (self.patch, 8), (self.append, 6), (self.truncate, 5), (self.rename_over, 12),
            (self.rename, 8), (self.rename_dir, 5), (self.unlink, 8), (self.mkdir, 8), (self.rmdir, 4), (self.symlink, 4), (self.chmod, 5),
            (self.swap_type, 2), (self.link, 4), (self.hold, 6), (self.write_held, 14), (self.sync_held, 3), (self.close_held, 4),
            (self.mapped, 3), (self.create_large, 1), (self.look, 8), (self.exchange, 2)]

    # ---- what there is ----

    def full(self, path):
        return os.path.join(self.root, path)

    def bytes(self, size):
        """Never the same twice, so that what was not written can be told."""
        self.count += 1
        return (f"{self.count:08d}:".encode() + random.Random(self.count).randbytes(max(0, size - 9)))[:size]

    def fresh(self):
        self.count += 1
        return os.path.join(self.random.choice([""] + self.tree.of("dir")), f"n{self.count}")

    def pick(self, *kinds):
        paths = [p for kind in kinds for p in self.tree.of(kind)]
        return self.random.choice(paths) if paths else None

    def quiet_file(self):
        """A file that no handle of ours is writing to."""
        busy = {id(h.node) for h in self.handles}
        paths = [p for p in self.tree.of("file") if id(self.tree[p]) not in busy and not self.tree[p].writes]
        return self.random.choice(paths) if paths else None

    # ---- one step ----

    def step(self):
        """One random operation. Raises Cut when the daemon went away."""
        if len(self.tree) > self.limit:
            operation = self.random.choice([self.unlink, self.unlink, self.remove_tree])
        else:
            operation = self.random.choices([o for o, _ in self.operations], [w for _, w in self.operations])[0]
        before = len(self.history)
        try:
            if self.limited:
                with self.limited.limited(lambda: self.history[-1]):
                    operation()
            else:
                operation()
        except OSError as error:
            self.failed(operation, error, before)
        self.choices = []

    def failed(self, operation, error, before):
        if error.errno in GONE:
            raise Cut() from error
        what = self.history[-1] if len(self.history) > before else operation.__name__
        if not self.trouble or error.errno not in TROUBLE:
            self.wrong = f"{what}: {error}"
            return
        name = errno.errorcode[error.errno]
        self.errors[name] = self.errors.get(name, 0) + 1
        self.history.append(f"{name}: {what}")

    def names(self, text, after, run):
        """An operation on names: cut off, either tree may be there."""
        self.history.append(text)
        self.choices = [after]
        run()
        self.tree, self.choices = after, []

    # ---- bytes ----

    def write(self, node, fd, data, offset, append=False):
        view = memoryview(data)
        while view:
            piece = bytes(view[:self.random.choice([777, 4096, 65536, 1 << 20]) if len(data) < (1 << 20) else 1 << 20])
            node.writes.append((offset, piece))
            node.cut = True
            try:
                written = os.write(fd, piece) if append else os.pwrite(fd, piece, offset)
            except OSError as error:
                if error.errno not in GONE:  # a refused write changes nothing
                    node.writes.pop()
                    node.cut = False
                raise
            node.cut = False
            if written != len(piece):
                node.writes[-1] = (offset, piece[:written])
            offset += written
            view = view[written:]

    def close(self, node, fd, acknowledge=True):
        try:
            os.close(fd)
        except OSError as error:
            if self.trouble and error.errno in TROUBLE:
                raise
            raise Cut() from error  # Linux tells a close() of the daemon's death only now
        if acknowledge:
            node.acknowledge()

    def edit(self, text, path, flags, change):
        """change(node, fd) between open and close."""
        node = self.tree[path]
        self.history.append(f"{text} {path}")
        if flags & os.O_TRUNC:
            node.writes.append((0, None))
        fd = -1
        try:
            fd = os.open(self.full(path), flags | os.O_CLOEXEC)
            change(node, fd)
        except OSError:
            if flags & os.O_TRUNC and fd < 0 and self.trouble:
                node.writes.pop()
            if fd >= 0:
                try:
                    os.close(fd)
                except OSError:
                    pass
            raise
        self.close(node, fd)

    def create(self, data=None, path=None):
        data = self.bytes(self.random.choice(SMALL)) if data is None else data
        path = path or self.fresh()
        node = Node("file")
        after = self.tree.copy()
        after[path] = node
        self.history.append(f"create {path} {len(data)}")
        self.choices = [after]
        fd = os.open(self.full(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        self.tree, self.choices = after, []
        try:
            self.write(node, fd, data, 0)
        except OSError:
            try:
                os.close(fd)
            except OSError:
                pass
            raise
        self.close(node, fd)
        return path

    def create_large(self):
        sizes = [len(n.data) for n in self.tree.values() if n.kind == "file"]
        if len([s for s in sizes if s >= 1 << 20]) < self.large:
            self.create(self.bytes(self.random.choice(LARGE)))

    def rewrite(self):
        path = self.quiet_file()
        if path:
            new = self.bytes(self.random.choice(SMALL))
            self.edit(f"rewrite with {len(new)}", path, os.O_WRONLY | os.O_TRUNC, lambda node, fd: self.write(node, fd, new, 0))

    def patch(self):
        path = self.quiet_file()
        if path:
            offset = self.random.randrange(len(self.tree[path].data) + 3000)
            piece = self.bytes(self.random.choice([1, 100, 4096, 50000]))
            self.edit(f"patch {len(piece)} at {offset}", path, os.O_WRONLY, lambda node, fd: self.write(node, fd, piece, offset))

    def append(self):
        path = self.quiet_file()
        if path:
            piece, end = self.bytes(self.random.choice([1, 80, 3000, 40000])), len(self.tree[path].data)
            self.edit(f"append {len(piece)}", path, os.O_WRONLY | os.O_APPEND, lambda node, fd: self.write(node, fd, piece, end, True))

    def truncate(self):
        path = self.quiet_file()
        if path:
            node = self.tree[path]
            size = self.random.choice([0, len(node.data) // 2, len(node.data) + 5000, max(0, len(node.data) - 1)])
            self.history.append(f"truncate {path} from {len(node.data)} to {size}")
            node.writes.append((size, None))
            try:
                os.truncate(self.full(path), size)
            except OSError as error:
                if error.errno not in GONE:
                    node.writes.pop()
                raise
            node.acknowledge()

    def mapped(self):
        path = self.quiet_file()
        if not path or not self.tree[path].data:
            return
        size = len(self.tree[path].data)
        stores = [(self.random.randrange(size), self.bytes(self.random.choice([8, 200, 5000]))) for _ in range(3)]

        def change(node, fd):
            new = bytearray(node.data)
            with mmap.mmap(fd, size) as area:
                for offset, piece in stores:
                    piece = piece[:size - offset]
                    new[offset:offset + len(piece)] = piece
                    for page in range(offset // PAGE, (offset + len(piece) - 1) // PAGE + 1):
                        node.stores.setdefault(page, []).append(bytes(new[page * PAGE:(page + 1) * PAGE]))
                    area[offset:offset + len(piece)] = piece
                area.flush()
                node.data, node.stores = bytes(new), {}
        self.edit("store through a mapping of", path, os.O_RDWR, change)

    # ---- files held open, over a kill too ----

    def hold(self):
        path = self.quiet_file()
        if path and len(self.handles) < 4:
            append = self.random.random() < 0.3
            self.history.append(f"hold {path}")
            fd = os.open(self.full(path), os.O_RDWR | os.O_CLOEXEC | (os.O_APPEND if append else 0))
            self.handles.append(Handle(self.tree[path], fd, path, append))

    def write_held(self):
        if self.handles:
            handle = self.random.choice(self.handles)
            size = len(handle.node.now())
            offset = size if handle.append else self.random.choice([size, self.random.randrange(size + 1)])
            piece = self.bytes(self.random.choice([1, 100, 4096, 30000, 200000]))
            self.history.append(f"write {len(piece)} at {offset} to held {handle.name}")
            self.write(handle.node, handle.fd, piece, offset, handle.append)

    def sync_held(self):
        if self.handles:
            handle = self.random.choice(self.handles)
            self.history.append(f"fsync held {handle.name}")
            os.fsync(handle.fd)
            handle.node.acknowledge()

    def close_held(self):
        if self.handles:
            handle = self.handles.pop(self.random.randrange(len(self.handles)))
            self.history.append(f"close held {handle.name}")
            self.close(handle.node, handle.fd)

    def close_all(self):
        while self.handles:
            handle = self.handles.pop()
            self.history.append(f"close held {handle.name}")
            self.close(handle.node, handle.fd)

    # ---- names ----

    def rename_over(self):
        """As editors and git save: a new file beside it, then renamed."""
        path = self.pick("file") or self.fresh()
        aside = path + ".lock"
        if aside in self.tree:
            return
        self.create(self.bytes(self.random.choice(SMALL)), aside)
        after = self.tree.copy()
        after.move(aside, path)
        self.names(f"rename {aside} over {path}", after, lambda: os.rename(self.full(aside), self.full(path)))

    def move(self, text, path, new):
        after = self.tree.copy()
        after.move(path, new)
        self.names(f"{text} {path} to {new}", after, lambda: os.rename(self.full(path), self.full(new)))

    def rename(self):
        path = self.pick("file", "link")
        if path:
            self.move("rename", path, self.fresh())

    def rename_dir(self):
        path, new = self.pick("dir"), self.fresh()
        if path and not new.startswith(path + "/"):
            self.move("rename directory", path, new)

    def exchange(self):
        """Two names, by way of a third: a cycle of renames."""
        a, b = self.pick("file", "dir"), self.pick("file", "dir")
        if a and b and a != b and not a.startswith(b + "/") and not b.startswith(a + "/"):
            between = self.fresh()
            if not between.startswith((a + "/", b + "/")):
                self.move("exchange: rename", a, between)
                self.move("exchange: rename", b, a)
                self.move("exchange: rename", between, b)

    def link(self):
        path = self.pick("file")
        if path:
            new = self.fresh()
            after = self.tree.copy()
            after[new] = after[path]
            self.names(f"link {path} to {new}", after, lambda: os.link(self.full(path), self.full(new)))

    def remove(self, path, text="unlink", call=os.unlink):
        after = self.tree.copy()
        del after[path]
        self.names(f"{text} {path}", after, lambda: call(self.full(path)))

    def unlink(self):
        path = self.pick("file", "link")
        if path:
            self.remove(path)

    def rmdir(self):
        empty = [p for p in self.tree.of("dir") if not self.tree.below(p)]
        if empty:
            self.remove(self.random.choice(empty), "rmdir", os.rmdir)

    def remove_tree(self):
        top = self.pick("dir")
        if top:
            for path in sorted([top, *self.tree.below(top)], reverse=True):
                is_dir = self.tree[path].kind == "dir"
                self.remove(path, "rmdir" if is_dir else "unlink", os.rmdir if is_dir else os.unlink)

    def make_dir(self, path):
        after = self.tree.copy()
        after[path] = Node("dir", mode=0o755)
        self.names(f"mkdir {path}", after, lambda: os.mkdir(self.full(path), 0o755))

    def mkdir(self):
        self.make_dir(self.fresh())

    def symlink(self):
        path = self.fresh()
        after = self.tree.copy()
        after[path] = Node("link", target=f"to/{self.count}")
        self.names(f"symlink {path}", after, lambda: os.symlink(after[path].target, self.full(path)))

    def chmod(self):
        path = self.pick("file", "dir")
        if path:
            node, mode = self.tree[path], self.random.choice([0o600, 0o644, 0o755, 0o700])
            old = set(node.modes)
            self.history.append(f"chmod {mode:o} {path}")
            node.modes.add(mode)
            try:
                os.chmod(self.full(path), mode)
            except OSError as error:
                if error.errno not in GONE:
                    node.modes = old
                raise
            node.modes = {mode}

    def swap_type(self):
        """A file becomes a directory of the same name with a file in it."""
        path = self.pick("file")
        if path:
            self.remove(path)
            self.make_dir(path)
            self.create(path=os.path.join(path, f"in{self.count}"))

    # ---- looking ----

    def look(self):
        """What a program sees in the middle of everything is the newest: no wrong byte, no name that vanished."""
        path = self.random.choice(sorted(self.tree)) if self.tree else None
        if not path:
            return
        node = self.tree[path]
        self.history.append(f"look at {path}")
        try:
            if node.kind == "link":
                found = Node("link", target=os.readlink(self.full(path)))
            elif node.kind == "dir":
                names = set(os.listdir(self.full(path)))
                wanted = {p[len(path) + 1:] for p in self.tree.below(path) if "/" not in p[len(path) + 1:]}
                if names != wanted:
                    self.wrong = f"directory {path}: not there {sorted(wanted - names)[:5]}, should not be there {sorted(names - wanted)[:5]}"
                return
            else:
                found = Node("file", read_file(self.full(path)), mode=next(iter(node.modes)))
        except FileNotFoundError:
            self.wrong = f"{path} ({node.kind}) has vanished"
            return
        now = node if node.cut else Node(node.kind, node.now(), next(iter(node.modes)), node.target)
        if not now.same(found):
            self.wrong = f"looking: {describe(path, found, now)}"

    def resolve(self, found):
        """What a failed operation left open is settled by what is there, when it is one of the possible."""
        for path, node in self.tree.items():
            if path in found and node.kind == "file" and node.writes and node.may_be(found[path].data):
                node.data, node.writes, node.cut = found[path].data, [], False

    def settle(self, found):
        """After a kill: the tree that is found must be acceptable, and becomes the truth. Returns a sentence when it is not."""
        for handle in self.handles:
            try:
                os.close(handle.fd)
            except OSError:
                pass
        self.handles = []
        wrong = difference(found, self.tree)
        if wrong and all(difference(found, tree) for tree in self.choices):
            return wrong
        self.tree, self.choices = found, []
        return None
