"""
scripts/soak faults: the model's work while requests of every kind fail in every way that r2sim knows: before, during and after
their effect, by lost answers, late effects, cut, corrupted and wrong bodies, refusals, pages that lie, a server that freezes, denies
or closes its sockets. No wrong byte, no name that vanishes, no operation that hangs; once all is well again everything is in the bucket.
"""
import random
import time

import lab
from crash import check_bucket
from lab import CampaignError, Lab
from model import Work, difference, read_tree

MUTATING = ["Put", "Copy", "Delete", "DeleteObjects", "CreateMultipart", "UploadPart", "UploadPartCopy", "Complete", "Abort"]
READING = ["List", "Get", "Head"]


def some_fault(chance):
    """One rule. Only what an ordinary bad day brings; refusals for good are in `disaster`."""
    kind = chance.choice([chance.choice(MUTATING), chance.choice(MUTATING), chance.choice(READING), "mutating", "reading", "*"])
    effect = chance.choice(["none", "done", "late"])
    late = chance.choice([50, 300, 1500, 4000])
    rule = chance.choice([
        {"answer": "reset", "effect": effect, "late_ms": late},
        {"answer": "reset", "effect": "done"},
        {"answer": "reset-headers"},
        {"answer": "reset-body"},
        {"answer": "reset-upload", "after_bytes": chance.choice([0, 100, 70000])},
        {"answer": "truncate"},
        {"answer": "wrong-length", "drop_bytes": chance.choice([1, 10])},
        {"answer": "corrupt"},
        {"answer": "hang", "effect": effect, "late_ms": late, "hang_ms": chance.choice([200, 1500, 8000])},
        {"answer": "normal", "delay_ms": chance.choice([30, 400, 2500])},
        {"answer": "error-200", "code": chance.choice(["InternalError", "SlowDown"]), "effect": chance.choice(["none", "done"])},
        {"answer": "empty-200", "effect": chance.choice(["none", "done"])},
        {"answer": "redirect", "location": "http://127.0.0.1:9/", "status": chance.choice([301, 307])},
        {"answer": "status", "status": 429, "code": "TooManyRequests"},
        {"answer": "status", "status": 429, "code": "TooManyRequests", "headers": {"Retry-After": "1"}},
        {"answer": "status", "status": 500, "code": "InternalError", "effect": chance.choice(["none", "done", "late"]), "late_ms": late},
        {"answer": "status", "status": 502, "body": "html", "effect": chance.choice(["none", "done"])},
        {"answer": "status", "status": 503, "code": "SlowDown"},
        {"answer": "status", "status": 503, "code": "ServiceUnavailable", "headers": {"Retry-After": "2"}},
        {"answer": "status", "status": 520, "body": "html", "effect": chance.choice(["none", "done"])},
        {"answer": "status", "status": 400, "code": "RequestTimeout"},
        {"answer": "status", "status": 409, "code": "OperationAborted"},
        {"answer": "page-repeat"}, {"answer": "page-short"}, {"answer": "page-empty"}, {"answer": "page-stale", "age_ms": 3000},
        {"answer": "date-skew", "skew_s": chance.choice([-86400, 86400, 1200])},
    ])
    if rule["answer"].startswith("page-"):
        kind = "List"
    return dict(rule, kind=kind, probability=chance.choice([0.05, 0.3, 0.7, 1.0]), seed=chance.randrange(1 << 30),
                count=chance.choice([1, 3, 20, 0]), skip=chance.randrange(4))


def disaster(server, chance, history):
    """Something that hits every request for a while; returns how to end it."""
    what = chance.choice(["frozen", "denied", "bucket gone", "clock", "quota", "close", "reset", "cut", "slow"])
    history.append(f"disaster: {what}")
    if what == "frozen":
        server.config(frozen=True)
    elif what == "denied":
        server.config(denied=True)
    elif what == "bucket gone":
        server.config(bucket_gone=True)
    elif what == "clock":
        server.config(clock_skew_s=chance.choice([-90000, 90000, 2000]))
    elif what == "quota":
        server.config(quota=1000)
    elif what == "close":
        server.control("close-connections", b"")
    elif what == "reset":
        server.control("close-connections?mode=reset", b"")
    elif what == "cut":
        server.config(cut_after=chance.randrange(5), cut_answer=chance.random() < 0.5)
    else:
        server.config(delay_ms=chance.choice([100, 700]))


def bad_time(server, work, chance, seconds):
    """Work while things go wrong."""
    rules = [some_fault(chance) for _ in range(chance.choice([1, 2, 4, 8]))]
    for rule in rules:
        work.history.append(f"fault {rule}")
    server.faults(rules)
    end = time.monotonic() + seconds
    next_disaster = time.monotonic() + chance.random() * seconds * 2
    while time.monotonic() < end:
        work.step()
        if work.wrong:
            raise CampaignError(work.wrong)
        if time.monotonic() > next_disaster:
            disaster(server, chance, work.history)
            next_disaster = end
        if chance.random() < 0.05:
            time.sleep(chance.choice([0.01, 0.2, 0.8]))


def after_it(server, mount, work, watch):
    """All is well again: what was refused may be written again, and everything is in the bucket."""
    server.heal()
    work.history.append("all is well again")
    with watch.limited("closing what is open"):
        try:
            work.close_all()
        except OSError as error:
            work.history.append(f"close: {error}")
            work.handles = []
    mount.flush(timeout=180)
    with watch.limited("reading everything"):
        found = read_tree(mount.path)
    work.resolve(found)
    wrong = difference(found, work.tree)
    if wrong:
        raise CampaignError(wrong)
    work.tree = found
    wrong = check_bucket(server, mount.prefix, work.tree)
    if wrong:
        raise CampaignError(wrong)


def restart(mount, work, watch, cold):
    """So that there is something to be fetched."""
    mount.umount()
    if cold:
        mount.forget_cache()
    mount.mount()
    work.history.append("remount" + (" with an empty cache" if cold else ""))
    if cold:  # hard links are separate files now
        with watch.limited("reading everything"):
            found = read_tree(mount.path)
        wrong = difference(found, work.tree, links=False)
        if wrong:
            raise CampaignError(f"with an empty cache: {wrong}")
        work.tree = found
        mount.umount()
        mount.forget_cache()
        mount.mount()


def main():
    options = lab.options("faults", __doc__, minutes=30, more=[
        ("--phase", {"type": float, "default": 6.0, "help": "seconds of trouble at a time"}),
        ("--phases", {"type": int, "default": 0, "help": "end after so many"})])
    with Lab("faults") as scratch:
        server = scratch.server()
        mount = scratch.new_mount(server, options=["--write-back", "200ms", "--max-dirty-age", "1s", "--poll-interval", "500ms"])
        watch = scratch.watch(mount)
        work = Work(mount.path, options.seed, limit=80, trouble=True, deadline=watch)
        mount.mount()
        end, phase = time.monotonic() + 60 * options.minutes, 0
        while time.monotonic() < end and (not options.phases or phase < options.phases):
            chance = random.Random(options.seed * 1000003 + phase)
            work.history.append(f"phase {phase}")
            try:
                bad_time(server, work, chance, options.phase)
                after_it(server, mount, work, watch)
                if chance.random() < 0.5:
                    restart(mount, work, watch, chance.random() < 0.6)
            except (CampaignError, OSError) as error:
                since = max(i for i, line in enumerate(work.history) if line.startswith("phase "))
                print(f"phase {phase}: {error}", "the last operations:", *work.history[max(since, len(work.history) - 150):], sep="\n    ")
                raise CampaignError(f"phase {phase}: {error}; replay: scripts/soak faults --seed {options.seed} --phases {phase + 1}") from error
            phase += 1
            if phase % 20 == 0:
                print(f"faults: {phase} phases, {len(work.history)} operations, errors seen {work.errors}, longest {watch.longest[0]:.1f} s", flush=True)
        mount.umount()
        longest, what = watch.longest
        print(f"faults: {phase} phases, {len(work.history)} operations, errors seen by programs: {work.errors or 'none'};"
              f" longest operation {longest:.1f} s ({what}); nothing lost")


if __name__ == "__main__":
    lab.run("faults", main)
