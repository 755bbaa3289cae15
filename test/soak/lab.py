"""A private r2sim and r2fs mounts of it, for the campaigns: each in its own scratch folder, everything ended at exit."""
import argparse
import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
R2FS = os.environ.get("R2FS", os.path.join(TOP, "build", "r2fs"))
R2SIM = os.environ.get("R2SIM", os.path.join(TOP, "build", "r2sim"))
BUCKET = "bucket"
# The daemon is gone or going: what a program sees after kill -9.
GONE = {107, 103}  # ENOTCONN, ECONNABORTED
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


class CampaignError(Exception):
    pass


def wait_for(what, condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise CampaignError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.01)


def die_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Server:
    """One r2sim with its data in memory. Every mount gets a key of its own, so that the journal tells who did what."""

    def __init__(self, folder, *options):
        self.folder, self.keys = folder, 0
        port_file = os.path.join(folder, "port")
        with open(os.path.join(folder, "r2sim.log"), "ab") as log:
            self.process = subprocess.Popen(
                [R2SIM, "--listen", "127.0.0.1:0", "--memory", "--bucket", BUCKET, "--access-key", "k", "--secret-key", "s",
                 "--port-file", port_file, "--no-rate-limit", "--parent-dies", *options], stdout=log, stderr=subprocess.STDOUT)
        wait_for("r2sim's port", lambda: os.path.exists(port_file) and os.path.getsize(port_file) > 0)
        with open(port_file, encoding="ascii") as file:
            self.port = int(file.read())
        self.url = f"http://127.0.0.1:{self.port}"

    def control(self, path, body=None, method=None, timeout=30):
        """Sends body (a value, as JSON; or bytes) and returns the answer's bytes."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/_r2sim/{path}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.read()

    def config(self, **settings):
        self.control("config", settings)

    def faults(self, rules):
        return json.loads(self.control("faults", rules)) if rules else []

    def heal(self):
        self.control("faults", method="DELETE")
        self.config(frozen=False, denied=False, bucket_gone=False, cut_after=0, cut=False, delay_ms=0, clock_skew_s=0, quota=0)
        self.control("release", b"")

    def dump(self):
        """key -> {size, etag, meta, …} of the whole bucket."""
        return {o["key"]: o for o in json.loads(self.control(f"dump/{BUCKET}"))}

    def body(self, key):
        """The object's bytes, or None."""
        try:
            return self.control(f"object/{BUCKET}/{urllib.request.quote(key)}")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def journal(self, since=0):
        return json.loads(self.control(f"journal?since={since}"))

    def log(self, since=0):
        return json.loads(self.control(f"log?since={since}"))

    def counts(self):
        return json.loads(self.control("counts"))

    def keep_records(self):
        """For who reads the scratch folder."""
        for what in "log", "journal", "faults", "config":
            with contextlib.suppress(OSError), open(os.path.join(self.folder, f"r2sim.{what}.json"), "wb") as file:
                file.write(self.control(what))

    def new_key(self):
        self.keys += 1
        self.control("keys", {"access_key": f"k{self.keys}", "secret_key": "s", "admin": False})
        return f"k{self.keys}"

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Mount:
    """`r2fs mount --foreground` of one prefix; the process is ours, so kill -9 hits exactly it."""

    def __init__(self, server, name="a", prefix="work", options=(), host="127.0.0.1"):
        """host: two mounts of one prefix on one machine differ in how they spell the endpoint, or they would be one cache."""
        self.server, self.prefix, self.options = server, prefix, list(options)
        self.url = f"http://{host}:{server.port}"
        self.key = server.new_key()
        self.path = os.path.join(server.folder, f"mnt-{name}")
        self.cache = os.path.join(server.folder, f"cache-{name}")
        self.log = os.path.join(server.folder, f"r2fs-{name}.log")
        self.process = None
        self.extra = {}  # more of the environment
        os.makedirs(self.path, exist_ok=True)

    def environment(self):
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("S3_", "R2_", "AWS_", "RCLONE_", "SUDO_"))}
        return dict(kept, S3_ENDPOINT_URL=self.url, S3_ACCESS_KEY=self.key, S3_ACCESS_SECRET="s", **self.extra)

    def device(self):
        with open("/proc/self/mountinfo", encoding="utf-8") as table:
            for line in table:
                fields = line.split()
                if fields[4] == self.path:
                    return fields[2]
        return None

    def mount(self):
        with open(self.log + ".stderr", "ab") as errors:
            self.process = subprocess.Popen(
                [R2FS, "mount", f"{BUCKET}/{self.prefix}", self.path, "--foreground", "--cache-dir", self.cache,
                 "--log-file", self.log, *self.options],
                env=self.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, preexec_fn=die_with_parent)

        def usable():
            if self.process.poll() is not None:
                with open(self.log + ".stderr", encoding="utf-8", errors="replace") as file:
                    raise CampaignError(f"r2fs mount ended with {self.process.returncode}: {file.read()[-600:]}")
            return self.device() and self.command("status", self.path, timeout=20).returncode == 0

        wait_for("the mount", usable)

    def command(self, *words, timeout=120):
        try:
            return subprocess.run([R2FS, *words], env=self.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  timeout=timeout, check=False)
        except subprocess.TimeoutExpired:
            raise CampaignError(f"r2fs {words[0]} did not end within {timeout} s") from None

    def status(self):
        result = self.command("status", self.path, "--json", timeout=30)
        if result.returncode != 0:
            raise CampaignError(f"status: exit {result.returncode}: {result.stderr.strip()}")
        return json.loads(result.stdout)

    def flush(self, timeout=120):
        result = self.command("flush", self.path, "--timeout", f"{timeout}s", timeout=timeout + 30)
        if result.returncode != 0:
            raise CampaignError(f"flush: exit {result.returncode}: {result.stderr.strip()}")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.detach()

    def abort(self):
        """Ends every request that waits, as when the daemon died."""
        device = self.device()
        if device:
            with contextlib.suppress(OSError), open(f"/sys/fs/fuse/connections/{device.split(':')[1]}/abort", "w", encoding="ascii") as abort:
                abort.write("1")

    def detach(self):
        if self.device():
            self.abort()
            subprocess.run(["umount", "-l", self.path], check=False, stderr=subprocess.DEVNULL, timeout=60)

    def umount(self):
        result = self.command("umount", self.path)
        if result.returncode != 0:
            raise CampaignError(f"umount: exit {result.returncode}: {result.stderr.strip()}")
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            raise CampaignError("the daemon did not end within 30 s of umount") from None

    def forget_cache(self):
        shutil.rmtree(self.cache, ignore_errors=True)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.detach()


class Watch:
    """No operation may hang: one that is not over in time is noted, and the mounts are aborted, which ends it."""

    def __init__(self, mounts, limit=100.0):
        self.mounts, self.limit, self.current, self.hung, self.longest = mounts, limit, {}, None, (0.0, "")
        self.lock = threading.Lock()
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.ended.wait(0.5):
            with self.lock:
                late = [self.name(what) for start, what in self.current.values() if time.monotonic() - start > self.limit]
            if late and not self.hung:
                self.hung = f"hung for {self.limit:.0f} s: {late[0]}"
                for mount in self.mounts:
                    self.look_at(mount)
                    mount.abort()

    @staticmethod
    def name(what):
        return what() if callable(what) else what

    @staticmethod
    def look_at(mount):
        """Where its threads are, for who reads the scratch folder."""
        try:
            dump = subprocess.run(["gdb", "-p", str(mount.process.pid), "-batch", "-ex", "thread apply all bt"],
                                  capture_output=True, text=True, timeout=60, check=False).stdout
        except (OSError, subprocess.TimeoutExpired):
            return
        with open(mount.log + ".threads", "w", encoding="utf-8") as file:
            file.write(dump)

    @contextlib.contextmanager
    def limited(self, what):
        me, start = threading.get_ident(), time.monotonic()
        with self.lock:
            self.current[me] = (start, what)
        try:
            yield
        finally:
            with self.lock:
                del self.current[me]
                self.longest = max(self.longest, (time.monotonic() - start, self.name(what)))
            if self.hung:
                raise CampaignError(self.hung)

    def stop(self):
        self.ended.set()
        self.thread.join()


class Lab:
    """The scratch folder. Kept, and named, when the campaign failed."""

    def __init__(self, name):
        self.folder = tempfile.mkdtemp(prefix=f"r2fs-soak-{name}.")
        self.parts = []
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda number, _frame: sys.exit(128 + number))

    def keep(self, part):
        self.parts.append(part)
        return part

    def server(self, *options):
        return self.keep(Server(self.folder, *options))

    def new_mount(self, server, **arguments):
        return self.keep(Mount(server, **arguments))

    def watch(self, *mounts, **arguments):
        return self.keep(Watch(mounts, **arguments))

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _trace):
        if kind:
            for part in self.parts:
                if isinstance(part, Server):
                    part.keep_records()
        for part in reversed(self.parts):
            part.stop()
        if kind is None:
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            print(f"kept: {self.folder}", file=sys.stderr)


def options(campaign, text, rounds=None, minutes=None, more=()):
    """The command line that all campaigns share; more: (name, keywords) of further options."""
    parser = argparse.ArgumentParser(prog=f"scripts/soak {campaign}", description=text)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    if rounds:
        parser.add_argument("--rounds", type=int, default=rounds)
    if minutes:
        parser.add_argument("--minutes", type=float, default=minutes)
    for name, keywords in more:
        parser.add_argument(name, **keywords)
    result = parser.parse_args()
    length = f"{result.rounds} rounds" if rounds else f"{result.minutes:g} minutes"
    print(f"{campaign}: {length}, --seed {result.seed}", flush=True)
    return result


def run(campaign, main):
    """main(options) of a campaign's file; the exit code is 1, and the seed is said again, when it found a loss."""
    try:
        main()
    except CampaignError as error:
        sys.exit(f"{campaign}: FAILED: {error}")
