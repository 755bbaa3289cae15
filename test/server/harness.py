"""Runs r2sim for tests written in Python, and reports in TAP. A test is a function with a title that reads as a promise:

    @test("a second PUT with If-None-Match: * is refused", "--no-rate-limit")
    def _(sim):
        ...

Each gets a simulator of its own, started with the options given. An assertion or an exception fails it."""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

sys.dont_write_bytecode = True
from s3client import Client, Control  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.environ.get("R2SIM", os.path.join(TOP, "build", "r2sim"))
TESTS = []


class Sim:
    def __init__(self, *options, bucket="b"):
        self.options = list(options)
        if not any(o.startswith("--data") for o in options):
            self.options.append("--memory")
        self.bucket, self.process = bucket, None

    def start(self):
        self.process = subprocess.Popen([BINARY, "--bucket", self.bucket, "--access-key", "test", "--secret-key", "secret", "--parent-dies",
                                         *self.options], stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        match = re.fullmatch(r"r2sim: ready on (https?)://127\.0\.0\.1:(\d+)(\S*)\n", line)
        if not match:
            raise RuntimeError(f"r2sim said {line!r}")
        self.port, self.prefix = int(match[2]), match[3]
        self.control = Control(self.port)
        return self

    def client(self, **options):
        options.setdefault("bucket", self.bucket)
        options.setdefault("prefix", self.prefix)
        return Client(self.port, **options)

    def stop(self, how=signal.SIGTERM):
        if self.process is None:
            return None
        self.process.send_signal(how)
        status = self.process.wait(20)
        self.process.stdout.close()
        self.process = None
        return status

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


def test(title, *options):
    def add(function):
        TESTS.append((title, options, function))
        return function
    return add


def equal(got, wanted):
    if got != wanted:
        raise AssertionError(f"got {got!r}, wanted {wanted!r}")


def refused(answer, status, code):
    equal((answer.status, answer.code), (status, code))


def wait(condition, seconds=10):
    """Until condition() is true; fails when it is not within the time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("it did not happen in time")
        time.sleep(0.01)


def run():
    print(f"1..{len(TESTS)}")
    failed = 0
    for number, (title, options, function) in enumerate(TESTS, 1):
        folder = tempfile.mkdtemp(prefix="r2sim-test.")
        sim = None
        try:
            sim = Sim(*(o.replace("TMP", folder) for o in options)).start()
            sim.folder = folder
            function(sim)
            status = sim.stop()
            if status not in (0, None):
                raise AssertionError(f"r2sim ended with {status}")
            print(f"ok {number} - {title}", flush=True)
        except Exception:
            failed += 1
            print(f"not ok {number} - {title}", flush=True)
            print("".join("# " + line + "\n" for line in traceback.format_exc().splitlines()), end="", flush=True)
        finally:
            if sim:
                sim.stop(signal.SIGKILL)
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if failed else 0)
