"""A private r2sim and r2fs mounts of it, for the campaigns: each in its own scratch folder, everything ended at exit."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
R2FS = os.environ.get("R2FS", os.path.join(TOP, "build", "r2fs"))
R2SIM = os.environ.get("R2SIM", os.path.join(TOP, "build", "r2sim"))
BUCKET = "bucket"
# The daemon is gone or going: what a program sees after kill -9.
GONE = {107, 103, 5}  # ENOTCONN, ECONNABORTED, EIO


class CampaignError(Exception):
    pass


def wait_for(what, condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise CampaignError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.01)


class Server:
    """One r2sim with its data in memory."""

    def __init__(self, folder, *options):
        port_file = os.path.join(folder, "port")
        self.process = subprocess.Popen(
            [R2SIM, "--listen", "127.0.0.1:0", "--memory", "--bucket", BUCKET, "--access-key", "k", "--secret-key", "s",
             "--port-file", port_file, "--no-rate-limit", *options],
            stdout=open(os.path.join(folder, "r2sim.log"), "ab"), stderr=subprocess.STDOUT)
        wait_for("r2sim's port", lambda: os.path.exists(port_file) and os.path.getsize(port_file) > 0)
        self.url = f"http://127.0.0.1:{open(port_file, encoding='ascii').read().strip()}"

    def control(self, path, body=None, method=None):
        request = urllib.request.Request(f"{self.url}/_r2sim/{path}", data=body, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.read()

    def dump(self):
        """key -> {size, etag, meta, …} of the whole bucket."""
        listing = json.loads(self.control(f"dump/{BUCKET}"))
        objects = listing["objects"] if isinstance(listing, dict) else listing
        return {o["key"]: o for o in objects}

    def body(self, key):
        return self.control(f"object/{BUCKET}/{urllib.request.quote(key)}")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Mount:
    """`r2fs mount --foreground` of one prefix; the process is ours, so kill -9 hits exactly it."""

    def __init__(self, server, folder, name="a", prefix="work", options=()):
        self.server, self.prefix, self.options = server, prefix, list(options)
        self.path = os.path.join(folder, f"mnt-{name}")
        self.cache = os.path.join(folder, f"cache-{name}")
        self.log = os.path.join(folder, f"r2fs-{name}.log")
        self.process = None
        os.makedirs(self.path, exist_ok=True)

    def environment(self):
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("S3_", "R2_", "AWS_", "RCLONE_", "SUDO_"))}
        return dict(kept, S3_ENDPOINT_URL=self.server.url, S3_ACCESS_KEY="k", S3_ACCESS_SECRET="s")

    def device(self):
        with open("/proc/self/mountinfo", encoding="utf-8") as table:
            for line in table:
                fields = line.split()
                if fields[4] == self.path:
                    return fields[2]
        return None

    def mount(self):
        self.process = subprocess.Popen(
            [R2FS, "mount", f"{BUCKET}/{self.prefix}", self.path, "--foreground", "--cache-dir", self.cache,
             "--log-file", self.log, *self.options],
            env=self.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=open(self.log + ".stderr", "ab"))

        def usable():
            if self.process.poll() is not None:
                raise CampaignError(f"r2fs mount ended with {self.process.returncode}: see {self.log}.stderr")
            return self.device() and subprocess.run(
                [R2FS, "status", self.path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=20, check=False).returncode == 0

        wait_for("the mount", usable)

    def command(self, *words, timeout=120):
        return subprocess.run([R2FS, *words], env=self.environment(), capture_output=True, text=True, timeout=timeout, check=False)

    def flush(self):
        result = self.command("flush", self.path)
        if result.returncode != 0:
            raise CampaignError(f"flush: exit {result.returncode}: {result.stderr.strip()}")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.detach()

    def detach(self):
        device = self.device()
        if device:
            minor = device.split(":")[1]
            try:
                with open(f"/sys/fs/fuse/connections/{minor}/abort", "w", encoding="ascii") as abort:
                    abort.write("1")
            except OSError:
                pass
            subprocess.run(["umount", "-l", self.path], check=False, stderr=subprocess.DEVNULL)

    def umount(self):
        result = self.command("umount", self.path)
        if result.returncode != 0:
            raise CampaignError(f"umount: exit {result.returncode}: {result.stderr.strip()}")
        self.process.wait(30)

    def forget_cache(self):
        shutil.rmtree(self.cache, ignore_errors=True)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.detach()


class Lab:
    """The scratch folder. Kept, and named, when the campaign failed."""

    def __init__(self, name):
        self.folder = tempfile.mkdtemp(prefix=f"r2fs-soak-{name}.")
        self.parts = []

    def server(self, *options):
        self.parts.append(Server(self.folder, *options))
        return self.parts[-1]

    def new_mount(self, server, **arguments):
        self.parts.append(Mount(server, self.folder, **arguments))
        return self.parts[-1]

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _trace):
        for part in reversed(self.parts):
            part.stop()
        if kind is None:
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            print(f"kept: {self.folder}", file=sys.stderr)
