"""
scripts/soak two-clients: two mounts of one prefix write, rename and delete the same names. Every version has bytes of its own. In the
end each version that close() acknowledged, and that no client which had seen it replaced or removed, is in the bucket: under its name or a
conflict name. With r2sim's conditional DELETE that holds without exception; without it (every second round) each loss has to lie
between a check and its DELETE in r2sim's journal, and is counted.
"""
import errno
import hashlib
import os
import random
import threading
import time

import lab
from lab import CampaignError, Lab, wait_for
from model import difference, read_tree

FOLDERS = ["", "d0", "d1", "d2", "d0/e"]
EXPECTED = {errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR, errno.ESTALE, errno.EINVAL, errno.EBUSY}
DELETE_WINDOW_MS = 1200  # between a check and its DELETE, with the way there


class Client(threading.Thread):
    def __init__(self, mount, seed, number, watch):
        super().__init__(daemon=True)
        self.mount, self.random, self.number, self.watch = mount, random.Random(seed), number, watch
        self.acknowledged, self.seen, self.history = {}, set(), []
        self.count, self.error, self.end = 0, None, 0.0

    def full(self, path):
        return os.path.join(self.mount.path, path)

    def any_path(self):
        return os.path.join(self.random.choice(FOLDERS), f"f{self.random.randrange(5)}")

    def bytes(self):
        self.count += 1
        head = f"{self.number}.{self.count}.".encode()
        return head + self.random.randbytes(self.random.choice([3, 100, 5000, 33000, 70000]))

    def look(self, path):
        """The version that this mount shows, so that it counts as seen; looked at again until nothing moved meanwhile."""
        for _ in range(20):
            try:
                before = os.stat(self.full(path))
                with open(self.full(path), "rb") as file:
                    data = file.read()
                after = os.stat(self.full(path))
            except FileNotFoundError:
                return None
            if (before.st_ino, before.st_mtime_ns, before.st_size) == (after.st_ino, after.st_mtime_ns, after.st_size):
                return hashlib.md5(data).hexdigest()
        return hashlib.md5(data).hexdigest()

    def replaced(self, version):
        if version:
            self.seen.add(version)

    def put(self, path, flags):
        data = self.bytes()
        fd = os.open(self.full(path), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flags, 0o644)
        try:
            os.write(fd, data)
        finally:
            os.close(fd)
        self.acknowledged[hashlib.md5(data).hexdigest()] = (path, self.count, time.time())

    def write(self):
        path = self.any_path()
        saw = self.look(path)
        self.history.append(f"write {path} over {saw}")
        self.put(path, os.O_TRUNC)
        self.replaced(saw)

    def over(self):
        path, aside = self.any_path(), f"aside{self.number}"
        self.history.append(f"write {aside}")
        self.put(aside, os.O_EXCL)
        saw = self.look(path)
        self.history.append(f"rename {aside} over {path}, {saw}")
        try:
            os.rename(self.full(aside), self.full(path))
            self.replaced(saw)
        except OSError:
            self.replaced(self.look(aside))
            os.unlink(self.full(aside))
            raise

    def unlink(self):
        path = self.any_path()
        saw = self.look(path)
        self.history.append(f"unlink {path}, {saw}")
        os.unlink(self.full(path))
        self.replaced(saw)

    def rename(self):
        path, new = self.any_path(), self.any_path()
        if path != new:
            saw = self.look(new)
            self.history.append(f"rename {path} over {new}, {saw}")
            os.rename(self.full(path), self.full(new))
            self.replaced(saw)

    def rename_dir(self):
        path, new = self.random.choice(FOLDERS[1:]), self.random.choice(FOLDERS[1:])
        if path != new:
            self.history.append(f"rename directory {path} to {new}")
            os.rename(self.full(path), self.full(new))

    def mkdir(self):
        path = self.random.choice(FOLDERS[1:])
        self.history.append(f"mkdir {path}")
        os.mkdir(self.full(path))

    def run(self):
        try:
            while time.monotonic() < self.end:
                operation = self.random.choices([self.write, self.over, self.unlink, self.rename, self.rename_dir, self.mkdir], [10, 5, 5, 4, 1, 2])[0]
                try:
                    with self.watch.limited(lambda: self.history[-1]):
                        operation()
                except OSError as error:
                    if error.errno not in EXPECTED:
                        raise
                    self.history.append(f"    {errno.errorcode[error.errno]}")
                time.sleep(self.random.choice([0, 0, 0, 0.01, 0.05, 0.4]))
        except (OSError, CampaignError) as error:
            self.error = f"client {self.number}: {self.history[-1] if self.history else ''}: {error}"


def both_same(server, mounts):
    """Both see the bucket, and each other's work."""
    last = ["?"]

    def same():
        try:
            a, b = read_tree(mounts[0].path), read_tree(mounts[1].path)
        except (OSError, AssertionError) as error:
            last[0] = str(error)
            return False
        wanted = {k: o["etag"] for k, o in server.dump().items() if k.startswith(mounts[0].prefix + "/") and not k.endswith("/") and "/.r2fs/" not in k}
        shown = {f"{mounts[0].prefix}/{p}": hashlib.md5(a[p].data).hexdigest() for p in a.of("file")}
        last[0] = difference(a, b, links=False) or (None if shown == wanted else f"bucket and mounts differ: {sorted(set(shown.items()) ^ set(wanted.items()))[:4]}")
        return last[0] is None

    try:
        wait_for("two equal trees", same, 40)
    except CampaignError:
        raise CampaignError(f"the mounts do not come to see the same within 40 s: {last[0]}") from None


def explained(version, journal):
    """A DELETE without a condition took this very version, which had arrived after the check."""
    puts = [e for e in journal if e.get("etag") == version and e["effect"]]
    takes = [e for e in journal if e.get("previous_etag") == version and e["kind"] == "Delete" and e["effect"]]
    return any(0 <= t["ms"] - p["ms"] <= DELETE_WINDOW_MS and t["client"].split(":")[0] != p["client"].split(":")[0] for t in takes for p in puts)


def one_round(server, mounts, watch, options, number):
    clients = [Client(m, (options.seed * 1000003 + number) * 2 + i, i, watch) for i, m in enumerate(mounts)]
    for folder in FOLDERS[1:]:
        os.makedirs(os.path.join(mounts[0].path, folder), exist_ok=True)
    for client in clients:
        client.end = time.monotonic() + options.seconds
        client.start()
    for client in clients:
        client.join(options.seconds + 150)
        if client.error:
            raise CampaignError(client.error)
    for mount in mounts:
        mount.flush()
    both_same(server, mounts)
    there = {o["etag"] for o in server.dump().values()}
    seen = set().union(*(c.seen for c in clients))
    acknowledged = {v: (c.number, *what) for c in clients for v, what in c.acknowledged.items()}
    lost = [v for v in acknowledged if v not in there and v not in seen]
    journal = server.journal() if lost else []
    counted = [v for v in lost if number % 2 and explained(v, journal)]
    for version in lost:
        if version not in counted:
            client, path, count, when = acknowledged[version]
            print(f"version {version} ({client}.{count}, written to {path} at {when:.3f}) is nowhere; the journal:")
            for event in journal:
                if version in (event.get("etag"), event.get("previous_etag")):
                    print("   ", {k: event.get(k) for k in ("ms", "kind", "key", "effect", "etag", "previous_etag", "client", "condition")})
            for one in clients:
                print(f"client {one.number}:", *[h for h in one.history if path in h or version in h][-25:], sep="\n    ")
            raise CampaignError(f"a version that nobody had seen is lost: {version}, {path}")
    conflicts = sum(1 for k in server.dump() if k.startswith(mounts[0].prefix + "/") and ".conflict-" in k)
    return len(acknowledged), conflicts, len(counted)


def main():
    options = lab.options("two-clients", __doc__, rounds=100, more=[("--seconds", {"type": float, "default": 6.0, "help": "of a round"})])
    versions = conflicts = counted = 0
    with Lab("two-clients") as scratch:
        server = scratch.server()
        for number in range(options.rounds):
            server.config(conditional_delete=number % 2 == 0)
            mounts = [scratch.new_mount(server, name=f"{name}{number}", prefix=f"work{number}", host=host,
                                        options=["--write-back", "200ms", "--poll-interval", "300ms"])
                      for name, host in (("a", "127.0.0.1"), ("b", "localhost"))]
            watch = scratch.watch(*mounts)
            try:
                for mount in mounts:
                    mount.mount()
                result = one_round(server, mounts, watch, options, number)
                for mount in mounts:
                    mount.umount()
            except CampaignError as error:
                raise CampaignError(f"round {number}: {error}; replay: scripts/soak two-clients --seed {options.seed} --rounds {number + 1}") from error
            versions, conflicts, counted = versions + result[0], conflicts + result[1], counted + result[2]
            watch.stop()
            for mount in mounts:
                scratch.parts.remove(mount)
                mount.forget_cache()
            server.control("reset?journal=1", b"")
        print(f"two-clients: {options.rounds} rounds, {versions} versions, {conflicts} kept under conflict names, "
              f"{counted} lost between a check and its DELETE where DELETE takes no condition, none otherwise")


if __name__ == "__main__":
    lab.run("two-clients", main)
