"""
A model of a tree that knows what was acknowledged, and random work on it.

Every operation first says in `pending` which trees may be there when it is cut off (before, after, and what lies between), then runs
on the mount, then becomes the one truth. After a kill the tree that is found must be one of those.
"""
import errno
import os
import random
import stat

from lab import GONE

SIZES = [0, 1, 17, 900, 4096, 5000, 20000, 32767, 32768, 32769, 60000, 65536, 140000, 300000]


class Node:
    def __init__(self, kind, data=b"", mode=0o644, target=""):
        self.kind, self.data, self.mode, self.target = kind, data, mode, target

    def copy(self):
        return Node(self.kind, self.data, self.mode, self.target)

    def same(self, other):
        if self.kind != other.kind:
            return False
        if self.kind == "link":
            return self.target == other.target
        if self.kind == "file" and self.data != other.data:
            return False
        return self.mode == other.mode


class Tree(dict):
    """relative path -> Node; parents are always there."""

    def copy(self):
        return Tree({path: node.copy() for path, node in self.items()})

    def of(self, kind):
        return sorted(p for p, n in self.items() if n.kind == kind)

    def below(self, path):
        return [p for p in self if p.startswith(path + "/")]

    def move(self, old, new):
        for p in [old, *self.below(old)]:
            self[new + p[len(old):]] = self.pop(p)


def read_tree(root):
    """What a program sees."""
    tree = Tree()

    def fail(error):
        raise error

    for base, folders, files in os.walk(root, onerror=fail):
        for name in folders + files:
            full = os.path.join(base, name)
            info = os.lstat(full)
            path = os.path.relpath(full, root)
            mode = stat.S_IMODE(info.st_mode)
            if stat.S_ISLNK(info.st_mode):
                tree[path] = Node("link", target=os.readlink(full))
            elif stat.S_ISDIR(info.st_mode):
                tree[path] = Node("dir", mode=mode)
            else:
                with open(full, "rb") as file:
                    data = file.read()
                if len(data) != info.st_size:
                    raise AssertionError(f"{path}: stat says {info.st_size} bytes, read gives {len(data)}")
                tree[path] = Node("file", data, mode)
    return tree


def difference(found, wanted):
    """One sentence, or None when they are equal."""
    for path in sorted(set(found) | set(wanted)):
        if path not in found:
            return f"{path} ({wanted[path].kind}) is not there"
        if path not in wanted:
            return f"{path} ({found[path].kind}, {len(found[path].data)} bytes) should not be there"
        a, b = found[path], wanted[path]
        if not a.same(b):
            if a.kind != b.kind:
                return f"{path} is a {a.kind}, not a {b.kind}"
            if a.data != b.data:
                at = next((i for i, (x, y) in enumerate(zip(a.data, b.data)) if x != y), min(len(a.data), len(b.data)))
                return f"{path} has {len(a.data)} bytes, not {len(b.data)}; they differ from {at}: {a.data[at:at + 16]!r}, not {b.data[at:at + 16]!r}"
            return f"{path} has mode {a.mode:o} target {a.target!r}, not {b.mode:o} {b.target!r}"
    return None


class Cut(Exception):
    """The daemon went away in the middle of an operation."""


class Work:
    def __init__(self, root, seed):
        self.root, self.random, self.tree, self.count = root, random.Random(seed), Tree(), 0
        self.pending = None  # function(found tree) -> bool: acceptable while the operation is under way
        self.history = []

    def full(self, path):
        return os.path.join(self.root, path)

    def bytes(self, size):
        self.count += 1
        stamp = f"{self.count:08d}.".encode()
        return (stamp * (size // len(stamp) + 1))[:size]

    def fresh(self, suffix=""):
        parents = [""] + self.tree.of("dir")
        self.count += 1
        parent = self.random.choice(parents)
        return os.path.join(parent, f"n{self.count}{suffix}")

    def step(self):
        """One random operation. Raises Cut when the daemon went away."""
        operation = self.random.choices(
            [self.create, self.rewrite, self.patch, self.append, self.truncate, self.rename_over, self.rename, self.rename_dir,
             self.unlink, self.mkdir, self.rmdir, self.symlink, self.chmod, self.swap_type],
            [20, 8, 8, 8, 5, 12, 8, 5, 8, 8, 3, 4, 5, 2])[0]
        try:
            operation()
        except OSError as error:
            if error.errno in GONE:
                raise Cut() from error
            raise
        self.pending = None

    def begin(self, text, after, between=None):
        """after: the tree when it is done. between: says whether a found tree may be seen when it was cut."""
        self.history.append(text)
        before = self.tree
        self.pending = lambda found: (difference(found, before) is None or difference(found, after) is None
                                      or (between is not None and between(found)))

    def done(self, after):
        self.tree = after

    # Bytes that are written but not yet closed may be there in part: path's content is any mix, all else as before.
    def mixed(self, path, old, new):
        before = self.tree

        def accept(found):
            if path not in found or found[path].kind != "file":
                return False
            data = found[path].data
            if len(data) > max(len(old), len(new)):
                return False
            for i, byte in enumerate(data):
                if not ((i < len(old) and byte == old[i]) or (i < len(new) and byte == new[i]) or byte == 0):
                    return False
            rest = Tree({p: n for p, n in found.items() if p != path})
            return difference(rest, Tree({p: n for p, n in before.items() if p != path})) is None
        return accept

    def write(self, path, data, flags, offset=0, mode=0o644):
        handle = os.open(self.full(path), flags | os.O_CLOEXEC, mode)
        try:
            position = offset
            view = memoryview(data)
            while view:
                size = min(len(view), self.random.choice([777, 4096, 65536, 1 << 20]))
                written = os.pwrite(handle, view[:size], position)
                position += written
                view = view[written:]
        except BaseException:
            try:
                os.close(handle)
            except OSError:
                pass
            raise
        os.close(handle)

    def create(self):
        path, data = self.fresh(), self.bytes(self.random.choice(SIZES))
        after = self.tree.copy()
        after[path] = Node("file", data)
        self.begin(f"create {path} {len(data)}", after, self.mixed(path, b"", data))
        self.write(path, data, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        self.done(after)

    def any_file(self):
        files = self.tree.of("file")
        return self.random.choice(files) if files else None

    def change(self, text, path, new, run):
        after = self.tree.copy()
        old = after[path].data
        after[path].data = new
        self.begin(f"{text} {path} {len(old)} -> {len(new)}", after, self.mixed(path, old, new))
        run()
        self.done(after)

    def rewrite(self):
        path = self.any_file()
        if path:
            new = self.bytes(self.random.choice(SIZES))
            self.change("rewrite", path, new, lambda: self.write(path, new, os.O_WRONLY | os.O_TRUNC))

    def patch(self):
        path = self.any_file()
        if path:
            old = self.tree[path].data
            offset = self.random.randrange(len(old) + 3000)
            piece = self.bytes(self.random.choice([1, 100, 4096, 50000]))
            new = (old + b"\0" * max(0, offset - len(old)))[:offset] + piece + old[offset + len(piece):]
            self.change(f"patch at {offset}", path, new, lambda: self.write(path, piece, os.O_WRONLY, offset))

    def append(self):
        path = self.any_file()
        if path:
            old = self.tree[path].data
            piece = self.bytes(self.random.choice([1, 80, 3000, 40000]))
            self.change("append", path, old + piece, lambda: self.write(path, piece, os.O_WRONLY, len(old)))

    def truncate(self):
        path = self.any_file()
        if path:
            old = self.tree[path].data
            size = self.random.choice([0, len(old) // 2, len(old) + 5000, max(0, len(old) - 1)])
            self.change(f"truncate to {size}", path, old[:size] + b"\0" * (size - len(old)), lambda: os.truncate(self.full(path), size))

    def rename_over(self):
        """As editors and git save: a new file beside it, then renamed."""
        path = self.any_file() or self.fresh()
        data = self.bytes(self.random.choice(SIZES))
        aside = path + ".lock"
        if aside in self.tree:
            return
        middle = self.tree.copy()
        middle[aside] = Node("file", data)
        self.begin(f"create {aside} {len(data)}", middle, self.mixed(aside, b"", data))
        self.write(aside, data, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        self.done(middle)
        after = middle.copy()
        after.move(aside, path)
        self.begin(f"rename {aside} over {path}", after)
        os.rename(self.full(aside), self.full(path))
        self.done(after)

    def rename(self):
        path = self.any_file()
        if path:
            new = self.fresh()
            after = self.tree.copy()
            after.move(path, new)
            self.begin(f"rename {path} to {new}", after)
            os.rename(self.full(path), self.full(new))
            self.done(after)

    def rename_dir(self):
        folders = self.tree.of("dir")
        if folders:
            path = self.random.choice(folders)
            new = self.fresh()
            if new.startswith(path + "/"):
                return
            after = self.tree.copy()
            after.move(path, new)
            self.begin(f"rename directory {path} to {new}", after)
            os.rename(self.full(path), self.full(new))
            self.done(after)

    def unlink(self):
        files = self.tree.of("file") + self.tree.of("link")
        if files:
            path = self.random.choice(files)
            after = self.tree.copy()
            del after[path]
            self.begin(f"unlink {path}", after)
            os.unlink(self.full(path))
            self.done(after)

    def mkdir(self):
        path = self.fresh()
        after = self.tree.copy()
        after[path] = Node("dir", mode=0o755)
        self.begin(f"mkdir {path}", after)
        os.mkdir(self.full(path), 0o755)
        self.done(after)

    def rmdir(self):
        empty = [p for p in self.tree.of("dir") if not self.tree.below(p)]
        if empty:
            path = self.random.choice(empty)
            after = self.tree.copy()
            del after[path]
            self.begin(f"rmdir {path}", after)
            os.rmdir(self.full(path))
            self.done(after)

    def symlink(self):
        path = self.fresh()
        after = self.tree.copy()
        after[path] = Node("link", target=f"to/{self.count}")
        self.begin(f"symlink {path}", after)
        os.symlink(after[path].target, self.full(path))
        self.done(after)

    def chmod(self):
        paths = self.tree.of("file") + self.tree.of("dir")
        if paths:
            path = self.random.choice(paths)
            after = self.tree.copy()
            after[path].mode = self.random.choice([0o600, 0o644, 0o755, 0o700])
            self.begin(f"chmod {after[path].mode:o} {path}", after)
            os.chmod(self.full(path), after[path].mode)
            self.done(after)

    def swap_type(self):
        """A file becomes a directory of the same name with a file in it."""
        path = self.any_file()
        if path:
            self.begin(f"unlink {path}", (without := Tree({p: n for p, n in self.tree.items() if p != path})))
            os.unlink(self.full(path))
            self.done(without)
            after = self.tree.copy()
            after[path] = Node("dir", mode=0o755)
            self.begin(f"mkdir {path}", after)
            os.mkdir(self.full(path), 0o755)
            self.done(after)

    def settle(self, found):
        """After a kill: the tree that is found must be acceptable, and becomes the truth. Returns a sentence when it is not."""
        wrong = difference(found, self.tree)
        if wrong is not None and not (self.pending and self.pending(found)):
            return wrong
        self.tree, self.pending = found, None
        return None


def errno_name(error):
    return errno.errorcode.get(error.errno, str(error.errno))
