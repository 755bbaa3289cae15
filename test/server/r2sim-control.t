#!/usr/bin/env python3
"""Counts, log, journal, direct access to objects; the program itself."""
import json
import os
import signal
import subprocess
import time

from harness import BINARY, Sim, equal, run, test, wait

NO_LIMIT = "--no-rate-limit"


@test("requests are counted by kind, with bytes, errors and those under .r2fs/")
def _(sim):
    c = sim.client()
    c.put("a/k", b"12345")
    c.put("a/.r2fs/x", b"1")
    c.get("a/k")
    c.get("none")
    c.list()
    counts = sim.control.json("GET", "counts")
    equal({k: v for k, v in counts["kinds"].items() if v}, {"Put": 2, "Get": 2, "List": 1})
    equal(counts["detail"]["Put"], {"requests": 2, "errors": 0, "bytes_in": 6, "bytes_out": 0, "internal": 1})
    equal((counts["detail"]["Get"]["errors"], counts["connections"] >= 1), (1, True))
    equal(sim.control.json("GET", "counts?prefix=a/")["kinds"]["Put"], 2)
    equal(sim.control.json("GET", "counts?prefix=a/&exclude=.r2fs/")["kinds"]["Put"], 1)
    sim.control.json("POST", "reset")
    equal(sum(sim.control.counts().values()), 0)


@test("a request is counted before its answer is seen")
def _(sim):
    c = sim.client()
    for i in range(1, 100):
        c.get("k")
        equal(sim.control.counts()["Get"], i)


@test("the log has each request, with what it asked and how it ended")
def _(sim):
    c = sim.client()
    c.get("k", headers={"Range": "bytes=0-1", "If-Match": '"e"'})
    entry = sim.control.json("GET", "log")[-1]
    equal({n: entry[n] for n in ("kind", "key", "status", "code", "range", "condition", "access_key")},
          {"kind": "Get", "key": "k", "status": 404, "code": "NoSuchKey", "range": "bytes=0-1", "condition": 'if-match: "e"', "access_key": "test"})
    equal(sim.control.json("GET", f"log?since={entry['seq']}"), [])


@test("the journal has every mutation in the order of effects, with what it replaced", NO_LIMIT)
def _(sim):
    c = sim.client()
    one = c.put("k", b"1", headers={"x-amz-meta-r2fs-v": "nonce"}).etag.strip('"')
    two = c.put("k", b"22").etag.strip('"')
    c.put("k", b"3", headers={"If-None-Match": "*"})
    c.delete("k")
    got = [(e["kind"], e["effect"], e.get("previous_etag"), e.get("etag"), e["size"]) for e in sim.control.journal()]
    equal(got, [("Put", True, None, one, 1), ("Put", True, one, two, 2), ("Put", False, None, None, 0), ("Delete", True, two, None, 0)])
    first, _, refused, _ = sim.control.journal()
    equal((first["meta"], refused["status"], refused["code"]), ({"r2fs-v": "nonce"}, 412, "PreconditionFailed"))
    equal(len(sim.control.journal(since=first["seq"])), 3)


@test("another client's objects are put, read, listed and deleted without a signature")
def _(sim):
    equal(sim.control.call("PUT", "object/b/a%20b", b"x", {"x-amz-meta-mode": "33188", "Content-Type": "text/x"}).status, 200)
    dump = sim.control.json("GET", "dump/b?prefix=a")
    equal((dump[0]["key"], dump[0]["size"], dump[0]["meta"], dump[0]["content_type"]), ("a b", 1, {"mode": "33188"}, "text/x"))
    assert abs(dump[0]["last_modified"] - time.time() * 1000) < 5000
    equal(sim.client().get("a b").body, b"x")
    equal(sim.control.call("DELETE", "object/b/a%20b").status, 204)
    equal(sim.control.call("GET", "object/b/a%20b").status, 404)
    equal(sim.control.counts()["Put"], 0)
    equal([e["client"] for e in sim.control.journal()], ["control", "control"])


@test("100,000 objects are planted in seconds, and listed page by page")
def _(sim):
    equal(sim.control.json("POST", "plant", {"bucket": "b", "prefix": "p/", "count": 100000, "size": 10, "directories": 100}), 100000)
    c = sim.client()
    answer = c.list(prefix="p/", delimiter="/")
    equal(len(answer.all("CommonPrefixes/Prefix")), 100)
    equal(len(c.list(prefix="p/d0099/").all("Contents/Key")), 1000)
    equal(c.get("p/d0000/000000").body, b"p/d0000/00")


@test("settings are shown and changed by name, all or none")
def _(sim):
    equal(sim.control.json("GET", "config")["delay_ms"], 0)
    equal(sim.control.config(delay_ms=5)["delay_ms"], 5)
    equal(sim.control.call("POST", "config", {"delay_ms": 6, "nonsense": 1}).status, 400)
    equal(sim.control.call("POST", "config", {"delay_ms": True}).status, 400)
    equal(sim.control.json("GET", "config")["delay_ms"], 5)


@test("what the endpoint does not know is 404 or 405")
def _(sim):
    equal(sim.control.call("GET", "nonsense").status, 404)
    equal(sim.control.call("DELETE", "counts").status, 405)
    equal(sim.control.call("POST", "faults", b"{").status, 400)


def fill(sim):
    c = sim.client()
    c.put("kept ü", b"hello", headers={"x-amz-meta-m": "1", "Content-Type": "text/x"})
    c.put("replaced", b"old")
    c.put("replaced", b"new")
    c.put("deleted", b"x")
    c.delete("deleted")
    c.put("copy", headers={"x-amz-copy-source": "/b/kept%20%C3%BC"})
    upload = c.request("POST", "big", query={"uploads": ""}).one("UploadId")
    return upload, c.put("big", b"part", query={"partNumber": "1", "uploadId": upload}).etag


for how, name in ((signal.SIGTERM, "SIGTERM"), (signal.SIGKILL, "SIGKILL")):
    @test(f"objects and uploads on disk survive {name}", "--data", "TMP/d", NO_LIMIT)
    def _(sim, how=how):
        upload, etag = fill(sim)
        before = sim.control.json("GET", "dump/b")
        sim.stop(how)
        sim.start()
        equal(sim.control.json("GET", "dump/b"), before)
        c = sim.client()
        equal([c.get(k).body for k in ("kept ü", "replaced", "copy")], [b"hello", b"new", b"hello"])
        body = f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>".encode()
        equal(c.request("POST", "big", query={"uploadId": upload}, body=body).status, 200)
        equal(c.get("big").body, b"part")
        c.delete("kept ü")
        equal(c.get("copy").body, b"hello")


@test("bodies that nothing refers to leave the disk", "--data", "TMP/d", NO_LIMIT)
def _(sim):
    c = sim.client()
    for i in range(10):
        c.put("k", b"x" * (i + 1))
    equal(len(os.listdir(sim.folder + "/d/blobs")), 1)
    c.delete("k")
    equal(os.listdir(sim.folder + "/d/blobs"), [])


@test("a torn last line of the index is ignored", "--data", "TMP/d", NO_LIMIT)
def _(sim):
    sim.client().put("k", b"x")
    sim.stop()
    with open(sim.folder + "/d/index", "a", encoding="ascii") as f:
        f.write('{"op": "removed", "bucket": "b", "key": "k"')
    sim.start()
    equal(sim.client().get("k").body, b"x")


@test("two servers can't share a directory", "--data", "TMP/d")
def _(sim):
    done = subprocess.run([BINARY, "--data", sim.folder + "/d", "--access-key", "a", "--secret-key", "s"], capture_output=True, text=True, timeout=20)
    equal((done.returncode, "another r2sim uses it" in done.stderr), (1, True))


@test("it is ready in under 100 ms, writes its port, and ends on SIGTERM with 0")
def _(sim):
    start = time.monotonic()
    with Sim("--port-file", sim.folder + "/port") as s:
        assert time.monotonic() - start < 0.1
        with open(sim.folder + "/port", encoding="ascii") as f:
            equal(int(f.read()), s.port)
        equal(s.stop(), 0)


@test("it ends on SIGTERM while requests hang, wait and stream", "--delay-ms", "100000", "--bandwidth", "1000")
def _(sim):
    sim.control.fault(kind="Head", answer="hang")
    sim.control.call("PUT", "object/b/k", b"x" * 100000)
    import socket
    sockets = []
    for method in ("HEAD", "GET"):
        c = sim.client()
        headers = c.sign(method, "/b/k", [], {}, "UNSIGNED-PAYLOAD")
        s = socket.create_connection(("127.0.0.1", sim.port))
        s.sendall((f"{method} /b/k HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items()) + "\r\n").encode())
        sockets.append(s)
    wait(lambda: sim.control.json("GET", "counts")["in_flight"] == 2)
    equal(sim.stop(), 0)
    for s in sockets:
        s.close()


@test("it ends with its parent where that is asked for")
def _(sim):
    code = ("import subprocess, sys, os\n"
            "p = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE)\np.stdout.readline()\nprint(p.pid, flush=True)\nos._exit(0)\n")
    out = subprocess.run(["python3", "-c", code, BINARY, "--memory", "--access-key", "a", "--secret-key", "s", "--parent-dies"],
                         stdout=subprocess.PIPE, text=True, timeout=20).stdout
    def gone():
        try:
            with open(f"/proc/{int(out)}/stat", encoding="ascii") as f:
                return f.read().split()[2] == "Z"
        except FileNotFoundError:
            return True
    wait(gone)


@test("wrong options are one sentence and status 1")
def _(sim):
    for options in ([], ["--memory", "--data", "/x"], ["--nonsense"], ["--delay-ms", "x"], ["--delay-ms"], ["--no-delay-ms"], ["--cut=1"],
                    ["--listen", "nonsense"], ["word"]):
        done = subprocess.run([BINARY, "--access-key", "a", "--secret-key", "s", *options], capture_output=True, text=True, timeout=20)
        equal((options, done.returncode, done.stderr.count("\n"), done.stderr[:7]), (options, 1, 1, "r2sim: "))
    equal(subprocess.run([BINARY, "--help"], capture_output=True, timeout=20).returncode, 0)


@test("https works with a certificate, for the UNSIGNED-PAYLOAD way")
def _(sim):
    import ssl
    pair = [sim.folder + "/cert", sim.folder + "/key"]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=r2sim",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-out", pair[0], "-keyout", pair[1]], check=True, capture_output=True, timeout=60)
    with Sim("--tls-cert", pair[0], "--tls-key", pair[1]) as s:
        c = s.client(context=ssl.create_default_context(cafile=pair[0]))
        equal(c.put("k", b"x" * 100000, payload="UNSIGNED-PAYLOAD").status, 200)
        equal(len(c.get("k").body), 100000)


run()
