"""
scripts/soak bucket-only: git commits, merges and gc, SQLite in rollback mode and editors work on a mount; after some request the machine
is cut off from the bucket and thrown away with its cache, without a flush. What a cold mount finds must be usable: no git ref to a
missing object, an intact database, whole files; and the oldest close() that was lost is younger than the write-back delay and
the oldest entry of the queue at the cut.
"""
import hashlib
import os
import random
import sqlite3
import subprocess
import threading
import time

import lab
from lab import CampaignError, Lab

WRITE_BACK, SLACK = 0.3, 2.0


def git(folder, *words, check=True):
    environment = dict(os.environ, GIT_CONFIG_NOSYSTEM="1", HOME=folder, GIT_AUTHOR_NAME="a", GIT_AUTHOR_EMAIL="a@b", GIT_COMMITTER_NAME="a",
                       GIT_COMMITTER_EMAIL="a@b")
    return subprocess.run(["git", "-C", folder, "-c", "gc.auto=0", "-c", "safe.directory=*", *words], env=environment, capture_output=True,
                          text=True, timeout=90, check=check)


class Programs:
    """What runs on the mount until it is cut off."""

    def __init__(self, root, seed):
        self.root, self.random, self.stop = root, random.Random(seed), threading.Event()
        self.closes, self.errors, self.done = [], [], {"git": 0, "sqlite": 0, "editor": 0}

    def at(self, *names):
        return os.path.join(self.root, *names)

    def prepare(self):
        os.mkdir(self.at("repo"))
        git(self.at("repo"), "init", "-q", "-b", "main")
        self.commit(0)
        with sqlite3.connect(self.at("data.db")) as database:
            database.execute("CREATE TABLE pair(a INTEGER PRIMARY KEY, b TEXT)")
            database.execute("CREATE TABLE pair_copy(a INTEGER PRIMARY KEY, b TEXT)")
        database.close()
        os.mkdir(self.at("docs"))

    def commit(self, number):
        for name in self.random.sample(range(8), 3):
            with open(self.at("repo", f"file{name}"), "w", encoding="ascii") as file:
                file.write(f"{number} " * self.random.choice([10, 500, 9000]))
        git(self.at("repo"), "add", "-A")
        git(self.at("repo"), "commit", "-q", "-m", f"commit {number}")

    def run_git(self):
        number = 0
        while not self.stop.is_set():
            number += 1
            self.commit(number)
            what = self.random.randrange(6)
            if what == 0:
                git(self.at("repo"), "gc", "-q", "--prune=now")
            elif what == 1:
                git(self.at("repo"), "tag", f"t{number}")
            elif what == 2:
                git(self.at("repo"), "checkout", "-q", "-b", f"b{number}")
                self.commit(number)
                git(self.at("repo"), "checkout", "-q", "main")
                git(self.at("repo"), "merge", "-q", "--no-edit", f"b{number}")
            self.done["git"] += 1

    def run_sqlite(self):
        while not self.stop.is_set():
            database = sqlite3.connect(self.at("data.db"), timeout=30)
            database.execute(f"PRAGMA journal_mode={self.random.choice(['DELETE', 'PERSIST', 'TRUNCATE'])}")
            for _ in range(self.random.choice([1, 5])):
                with database:
                    for _ in range(self.random.choice([1, 20, 300])):
                        key, text = self.random.randrange(500), "x" * self.random.choice([10, 2000])
                        database.execute("INSERT OR REPLACE INTO pair VALUES(?, ?)", (key, text))
                        database.execute("INSERT OR REPLACE INTO pair_copy VALUES(?, ?)", (key, text))
                self.done["sqlite"] += 1
                self.stop.wait(self.random.choice([0, 0.05, 0.4]))
            database.close()

    def run_editor(self):
        """Saves as editors do: beside it, then over it. Each version carries its number and checksum."""
        number = 0
        while not self.stop.is_set():
            number += 1
            name = f"doc{self.random.randrange(5)}"
            body = self.random.randbytes(self.random.choice([20, 4000, 60000])).hex()
            text = f"{number} {body}"
            with open(self.at("docs", name + "~"), "w", encoding="ascii") as file:
                file.write(f"{hashlib.sha256(text.encode()).hexdigest()} {text}")
            os.rename(self.at("docs", name + "~"), self.at("docs", name))
            self.closes.append((time.time(), name, number))
            self.done["editor"] += 1
            self.stop.wait(self.random.choice([0, 0.02, 0.2]))

    def guard(self, run):
        try:
            run()
        except (OSError, subprocess.SubprocessError, sqlite3.Error) as error:
            if not self.stop.is_set():
                self.errors.append(f"{run.__name__}: {error} {getattr(error, 'stderr', '')}")

    def start(self):
        threads = [threading.Thread(target=self.guard, args=(run,), daemon=True) for run in (self.run_git, self.run_sqlite, self.run_editor)]
        for thread in threads:
            thread.start()
        return threads


def check_git(repo):
    # Reflogs of new branches are plain new files, which no order holds back until their objects are there.
    result = git(repo, "fsck", "--connectivity-only", "--no-reflogs", check=False)
    if result.returncode != 0 or "missing" in result.stdout + result.stderr:
        raise CampaignError(f"git fsck: exit {result.returncode}: {(result.stdout + result.stderr).strip()[:600]}")
    log = git(repo, "log", "--all", "--format=%H", "--stat", check=False)
    if log.returncode != 0:
        raise CampaignError(f"git log: {log.stderr.strip()[:600]}")


def check_sqlite(path):
    database = sqlite3.connect(path, timeout=30)
    try:
        result = database.execute("PRAGMA integrity_check").fetchall()
        if result != [("ok",)]:
            raise CampaignError(f"integrity_check: {result[:5]}")
        apart = database.execute("SELECT count(*) FROM (SELECT * FROM pair EXCEPT SELECT * FROM pair_copy)").fetchone()[0]
        if apart:
            raise CampaignError(f"half a transaction: {apart} rows of one table and not of the other")
    except sqlite3.DatabaseError as error:
        raise CampaignError(f"sqlite: {error}") from error
    finally:
        database.close()


def check_editor(folder, closes, cut_at, queue_age):
    """Whole files; how old the oldest close() is that was lost."""
    numbers = {}
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), encoding="ascii") as file:
            text = file.read()
        digest, _, rest = text.partition(" ")
        if not name.endswith("~") and digest != hashlib.sha256(rest.encode()).hexdigest():
            raise CampaignError(f"docs/{name} is not a version that was saved: {len(text)} bytes")
        if not name.endswith("~"):
            numbers[name] = int(rest.split(" ")[0])
    lost = [when for when, name, number in closes if number > numbers.get(name, 0) and when < cut_at]
    age = cut_at - min(lost) if lost else 0.0
    if age > WRITE_BACK + queue_age + SLACK:
        raise CampaignError(f"a close() {age:.1f} s before the cut was lost; the oldest entry of the queue was {queue_age:.1f} s old")
    return age


def one_round(scratch, server, number, options):
    chance = random.Random(options.seed * 1000003 + number)
    mount = scratch.new_mount(server, name=f"m{number}", prefix=f"work{number}", options=["--write-back", f"{int(WRITE_BACK * 1000)}ms"])
    cold = scratch.new_mount(server, name=f"c{number}", prefix=f"work{number}", host="localhost")
    watch = scratch.watch(mount, cold, limit=150)
    mount.mount()
    programs = Programs(mount.path, chance.randrange(1 << 30))
    programs.prepare()
    mount.flush()
    cut_after = 1 + chance.choice([chance.randrange(20), chance.randrange(150), chance.randrange(options.requests)])
    server.config(cut_after=cut_after, cut_answer=chance.random() < 0.5)
    threads = programs.start()
    end, cut_at = time.monotonic() + options.seconds, None
    while time.monotonic() < end and not programs.errors:
        if json_true(server):
            cut_at = time.time()
            break
        time.sleep(0.05)
    if cut_at is None:  # the time was over first
        server.config(cut=True)
        cut_at = time.time()
    queue_age = mount.status().get("oldest_pending_s") or 0
    programs.stop.set()
    errors = list(programs.errors)
    mount.kill()
    for thread in threads:
        with watch.limited("a program that was killed"):
            thread.join(120)
    if errors:
        raise CampaignError(f"a program failed before the cut: {errors[0]}")
    mount.forget_cache()
    server.heal()
    cold.mount()
    with watch.limited("the checks"):
        check_editor_age = check_editor(os.path.join(cold.path, "docs"), programs.closes, cut_at, queue_age)
        check_git(os.path.join(cold.path, "repo"))
        check_sqlite(os.path.join(cold.path, "data.db"))
    cold.umount()
    watch.stop()
    for part in (mount, cold, watch):
        scratch.parts.remove(part)
    cold.forget_cache()
    return programs.done, check_editor_age


def json_true(server):
    return lab.json.loads(server.control("config"))["cut"]


def main():
    options = lab.options("bucket-only", __doc__, rounds=200, more=[
        ("--seconds", {"type": float, "default": 12.0, "help": "of a round at most"}),
        ("--requests", {"type": int, "default": 600, "help": "the cut comes after at most so many"})])
    total, oldest = {"git": 0, "sqlite": 0, "editor": 0}, 0.0
    with Lab("bucket-only") as scratch:
        server = scratch.server()
        for number in range(options.rounds):
            try:
                done, age = one_round(scratch, server, number, options)
            except (CampaignError, OSError) as error:
                raise CampaignError(f"round {number}: {error}; replay: scripts/soak bucket-only --seed {options.seed} --rounds {number + 1}") from error
            total = {k: total[k] + done[k] for k in total}
            oldest = max(oldest, age)
            server.control(f"buckets/{lab.BUCKET}", method="DELETE")
            server.control(f"buckets/{lab.BUCKET}", method="PUT", body=b"")
        print(f"bucket-only: {options.rounds} cuts, {total['git']} commits, {total['sqlite']} transactions, {total['editor']} saves; "
              f"the oldest close() lost was {oldest:.1f} s old; every cold mount was usable")


if __name__ == "__main__":
    lab.run("bucket-only", main)
