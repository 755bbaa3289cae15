"""
scripts/soak torn: another client polls the bucket while files are written again and again. Versions that end by close() carry their
own checksum: every object that is seen is one of them, whole, and never older than one seen before. A writer that never closes
numbers its writes: the object is always a prefix of what it wrote, and its age stays below five seconds and one upload.
"""
import hashlib
import os
import random
import struct
import threading
import time

import lab
from lab import CampaignError, Lab

RECORD = 1000          # of the writer that never closes: a number, and bytes that follow from it
DIRTY_AGE, SLACK = 5.0, 3.0


def version(number, size):
    """number, the body's checksum, the body"""
    body = random.Random(number).randbytes(size)
    return struct.pack("<Q", number) + hashlib.sha256(body).digest() + body


def check_version(data):
    """The number, or None when it is torn."""
    if len(data) < 40 or hashlib.sha256(data[40:]).digest() != data[8:40]:
        return None
    return struct.unpack("<Q", data[:8])[0]


def record(number):
    return struct.pack("<Q", number) + random.Random(number).randbytes(RECORD - 8)


class Writer(threading.Thread):
    def __init__(self, path, seed, stop):
        super().__init__(daemon=True)
        self.path, self.random, self.stop, self.error, self.number = path, random.Random(seed), stop, None, 0

    def run(self):
        try:
            while not self.stop.is_set():
                self.number += 1
                self.once()
        except OSError as error:
            self.error = f"{self.path}: {error}"


class Closing(Writer):
    """how: trunc (open, truncate, write, close), over (beside and renamed), place (in place, all bytes; the same size)"""

    def __init__(self, path, seed, stop, how, sizes, pauses):
        super().__init__(path, seed, stop)
        self.how, self.sizes, self.pauses = how, sizes, pauses

    def once(self):
        data = version(self.number, self.random.choice(self.sizes))
        if self.how == "over":
            with open(self.path + ".new", "wb") as file:
                file.write(data)
            os.rename(self.path + ".new", self.path)
        else:
            with open(self.path, "wb") as file:
                file.write(data)
        self.stop.wait(self.random.choice(self.pauses))


class Endless(Writer):
    """Appends records to a file that it never closes."""

    def __init__(self, path, seed, stop):
        super().__init__(path, seed, stop)
        self.times, self.fd = [], -1

    def once(self):
        if self.fd < 0:
            self.fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        os.write(self.fd, record(self.number))
        self.times.append(time.monotonic())
        self.stop.wait(0.02)


class Polls:
    def __init__(self, server, prefix):
        self.server, self.prefix, self.seen, self.last = server, prefix, {}, {}
        self.count = 0

    def closing(self, writer):
        name = os.path.basename(writer.path)
        data = self.server.body(f"{self.prefix}/{name}")
        self.count += 1
        if data is None:
            if name in self.last:
                raise CampaignError(f"{name} has vanished from the bucket")
            return
        number = check_version(data)
        if number is None:
            raise CampaignError(f"{name} is torn: {len(data)} bytes, not what version {struct.unpack('<Q', data[:8].ljust(8, bytes(1)))[0]} was")
        if number < self.last.get(name, 0):
            raise CampaignError(f"{name}: version {number} after version {self.last[name]}")
        self.last[name] = number
        self.seen.setdefault(name, set()).add(number)

    def endless(self, writer, started):
        name = os.path.basename(writer.path)
        now = time.monotonic()
        data = self.server.body(f"{self.prefix}/{name}") or b""
        self.count += 1
        records = len(data) // RECORD
        if len(data) % RECORD:
            raise CampaignError(f"{name}: a part of a record: {len(data)} bytes")
        for number in random.sample(range(records), min(records, 20)):
            if data[number * RECORD:(number + 1) * RECORD] != record(number + 1):
                raise CampaignError(f"{name}: record {number + 1} of {records} is not what was written")
        if len(writer.times) > records and now - writer.times[records] > DIRTY_AGE + SLACK and now - started > DIRTY_AGE + SLACK:
            raise CampaignError(f"{name}: the bucket lacks record {records + 1}, written {now - writer.times[records]:.1f} s ago")
        self.seen.setdefault(name, set()).add(records)


def main():
    options = lab.options("torn", __doc__, minutes=10)
    with Lab("torn") as scratch:
        server = scratch.server()
        mount = scratch.new_mount(server, options=["--write-back", "200ms"])
        watch = scratch.watch(mount)
        mount.mount()
        stop = threading.Event()

        def at(name):
            return os.path.join(mount.path, name)

        small, medium, large = [0, 100, 5000, 32000], [33000, 70000, 400000, 2 << 20], [17 << 20, 20 << 20]
        closing = [
            Closing(at("small-trunc"), options.seed, stop, "trunc", small, [0.0, 0.05, 0.3]),
            Closing(at("small-over"), options.seed + 1, stop, "over", small, [0.0, 0.05, 0.3]),
            Closing(at("medium-trunc"), options.seed + 2, stop, "trunc", medium, [0.01, 0.1, 0.5]),
            Closing(at("medium-over"), options.seed + 3, stop, "over", medium, [0.01, 0.1, 0.5]),
            Closing(at("large-trunc"), options.seed + 4, stop, "trunc", large, [0.7, 2.0]),
            Closing(at("large-over"), options.seed + 5, stop, "over", large, [0.7, 2.0])]
        endless = Endless(at("endless"), options.seed + 6, stop)
        polls, started = Polls(server, mount.prefix), time.monotonic()
        for writer in [*closing, endless]:
            writer.start()
        try:
            turn = 0
            while time.monotonic() < started + 60 * options.minutes:
                turn += 1
                for writer in closing:
                    if "large" not in writer.path or turn % 10 == 0:
                        polls.closing(writer)
                polls.endless(endless, started)
                for writer in [*closing, endless]:
                    if writer.error:
                        raise CampaignError(writer.error)
                if watch.hung:
                    raise CampaignError(watch.hung)
                time.sleep(0.02)
        except CampaignError as error:
            raise CampaignError(f"{error}; replay: scripts/soak torn --seed {options.seed} --minutes {options.minutes:g}") from None
        finally:
            stop.set()
            for writer in [*closing, endless]:
                with watch.limited("the last write"):
                    writer.join(90)
        os.close(endless.fd)
        mount.flush()
        for writer in closing:
            polls.closing(writer)
            name = os.path.basename(writer.path)
            if polls.last.get(name) != writer.number:
                raise CampaignError(f"{name}: the last version is {writer.number}, in the bucket is {polls.last.get(name)}")
        mount.umount()
        print(f"torn: {polls.count} looks, versions seen {({n: len(s) for n, s in polls.seen.items()})}, none torn")


if __name__ == "__main__":
    lab.run("torn", main)
