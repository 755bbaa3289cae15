"""
scripts/soak crash: random work, kill -9 of the daemon at a random instant (also while a request is held in the server, before or
after it took effect, or to take effect later), remount with the same cache, compare with what was acknowledged. Now and then:
flush, compare the bucket itself, and remount with an empty cache.
"""
import random
import threading
import time

import lab
import model
from lab import CampaignError, Lab
from model import Cut, Work, difference, read_tree


def check_bucket(server, prefix, tree):
    """Every file and symlink is a plain object of its bytes; nothing else is there but directories' own and .r2fs/."""
    objects = server.dump()
    wanted = {f"{prefix}/{p}": n for p, n in tree.items() if n.kind != "dir"}
    for key, node in wanted.items():
        if key not in objects:
            return f"{key} is not in the bucket"
        if node.kind == "file":
            body = server.body(key)
            if body != node.data:
                return f"{key} has {len(body)} other bytes in the bucket, not the {len(node.data)} of the tree"
    folders = {f"{prefix}/{p}/" for p in tree.of("dir")} | {f"{prefix}/"}
    for key in objects:
        if key not in wanted and key not in folders and "/.r2fs/" not in f"/{key}":
            return f"{key} is in the bucket and not in the tree"
    return None


def hold_a_request(server, chance):
    """A request that the kill cuts off: it never takes effect, has taken it, or takes it after the next daemon has begun."""
    effect = chance.choice(["none", "done", "late", "late"])
    kind = chance.choice(["mutating", "mutating", "Put", "Delete", "DeleteObjects", "Copy", "Complete", "UploadPart", "CreateMultipart"])
    server.faults([{"kind": kind, "skip": chance.randrange(6), "count": chance.choice([1, 3, 0]), "answer": "hang", "effect": effect,
                    "late_ms": chance.choice([100, 700, 2500])}])
    return f"{kind} held, effect {effect}"


def work_until_killed(work, mount, server, chance):
    work.history.append("hold a request: " + hold_a_request(server, chance) if chance.random() < 0.5 else "all requests are answered")
    timer = threading.Timer(chance.choice([0.02, 0.1, 0.5, 1.2, 2.5]) * chance.random(), mount.process.kill)
    timer.start()
    try:
        while mount.process.poll() is None:
            work.step()
            if work.wrong:
                raise CampaignError(work.wrong)
            if chance.random() < 0.02:
                time.sleep(chance.choice([0.05, 0.4, 1.1]))
    except Cut:
        pass
    finally:
        timer.join()
    mount.kill()
    work.history.append("kill -9")


def compare_bucket(server, mount, work):
    """The bucket itself, and what a machine with an empty cache sees of it."""
    mount.flush()
    wrong = check_bucket(server, mount.prefix, work.tree)
    if wrong:
        return wrong
    mount.umount()
    mount.forget_cache()
    mount.mount()
    found = read_tree(mount.path)
    wrong = difference(found, work.tree, links=False)
    work.tree = found
    work.history.append("remount with an empty cache")
    return wrong and f"with an empty cache: {wrong}"


def one_round(number, options, server, mount, work):
    chance = random.Random(options.seed * 1000003 + number)
    work.history.append(f"round {number}")
    work_until_killed(work, mount, server, chance)
    heal_late = chance.random() < 0.5
    if not heal_late:
        server.heal()
    mount.mount()
    wrong = work.settle(read_tree(mount.path))
    if heal_late:
        server.heal()
    if wrong is None and number % options.cold_every == options.cold_every - 1:
        wrong = compare_bucket(server, mount, work)
    return wrong


def main():
    options = lab.options("crash", __doc__, rounds=1000, more=[
        ("--cold-every", {"type": int, "default": 10, "help": "rounds between comparisons of the bucket and of an empty cache"}),
        ("--exact", {"action": "store_true", "help": "a file that was held open over a kill must be what it was at one instant"}),
        ("--no-large", {"action": "store_true", "help": "no files of megabytes"})])
    model.EXACT = options.exact
    with Lab("crash") as scratch:
        server = scratch.server()
        mount = scratch.new_mount(server, options=["--write-back", "300ms", "--max-dirty-age", "1s"])
        watch = scratch.watch(mount)
        work = Work(mount.path, options.seed, large=0 if options.no_large else 2, deadline=watch)
        mount.mount()
        start = time.monotonic()
        for number in range(options.rounds):
            try:
                wrong = one_round(number, options, server, mount, work)
            except CampaignError as error:
                wrong = str(error)
            if wrong:
                print(f"round {number}: {wrong}", "the last operations:", *work.history[-40:], sep="\n    ")
                raise CampaignError(f"round {number}: {wrong}; replay: scripts/soak crash --seed {options.seed} --rounds {number + 1}")
            if number % 100 == 99:
                print(f"crash: round {number + 1}, {time.monotonic() - start:.0f} s, {len(work.tree)} names", flush=True)
        mount.flush()
        mount.umount()
        print(f"crash: {options.rounds} rounds, {len(work.history)} operations, {time.monotonic() - start:.0f} s, nothing lost")


if __name__ == "__main__":
    lab.run("crash", main)
