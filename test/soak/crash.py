"""
scripts/soak crash: random work, kill -9 of the daemon at a random instant, remount with the same cache, compare with what was
acknowledged. Now and then: flush, compare the bucket itself, and remount with an empty cache.
"""
import argparse
import random
import sys
import threading
import time

from lab import CampaignError, Lab
from model import Cut, Work, difference, read_tree


def check_bucket(server, prefix, tree):
    """Every file and symlink is a plain object of its bytes; nothing else is there but directories' own and .r2fs/."""
    objects = server.dump()
    wanted = {f"{prefix}/{p}": n for p, n in tree.items() if n.kind != "dir"}
    for key, node in wanted.items():
        if key not in objects:
            return f"{key} is not in the bucket"
        body = server.body(key)
        if node.kind == "file" and body != node.data:
            return f"{key} has {len(body)} other bytes in the bucket"
    folders = {f"{prefix}/{p}/" for p in tree.of("dir")} | {f"{prefix}/"}
    for key in objects:
        if key not in wanted and key not in folders and "/.r2fs/" not in f"/{key}":
            return f"{key} is in the bucket and not in the tree"
    return None


def round_of(work, mount, seed):
    chance = random.Random(seed)
    timer = threading.Timer(chance.choice([0.02, 0.1, 0.5, 1.2, 2.5]) * chance.random(), mount.process.kill)
    timer.start()
    try:
        while mount.process.poll() is None:
            work.step()
            if chance.random() < 0.02:
                time.sleep(chance.choice([0.05, 1.1]))
    except Cut:
        pass
    finally:
        timer.join()
    mount.kill()


def main():
    parser = argparse.ArgumentParser(prog="scripts/soak crash", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--cold-every", type=int, default=10, help="rounds between comparisons of the bucket and of an empty cache")
    options = parser.parse_args()
    print(f"crash: {options.rounds} rounds, --seed {options.seed}", flush=True)
    with Lab("crash") as lab:
        server = lab.server()
        mount = lab.new_mount(server, options=["--write-back", "300ms"])
        work = Work(mount.path, options.seed)
        for number in range(options.rounds):
            mount.mount()
            round_of(work, mount, options.seed * 1000003 + number)
            mount.mount()
            wrong = work.settle(read_tree(mount.path))
            if wrong is None and number % options.cold_every == options.cold_every - 1:
                mount.flush()
                wrong = check_bucket(server, mount.prefix, work.tree)
                if wrong is None:
                    mount.umount()
                    mount.forget_cache()
                    mount.mount()
                    wrong = difference(read_tree(mount.path), work.tree)
                    wrong = wrong and f"with an empty cache: {wrong}"
            if wrong:
                print(f"round {number}: {wrong}", *work.history[-12:], sep="\n    ")
                raise CampaignError(f"lost in round {number}; replay: scripts/soak crash --seed {options.seed} --rounds {number + 1}")
            mount.umount()
        print(f"crash: {options.rounds} rounds, {len(work.history)} operations, nothing lost")


if __name__ == "__main__":
    try:
        main()
    except CampaignError as error:
        sys.exit(f"crash: {error}")
