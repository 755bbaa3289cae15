#!/usr/bin/env python3
"""What can be made to go wrong, and that exactly this does."""
import http.client
import threading
import time

from harness import equal, refused, run, test, wait

NO_LIMIT = "--no-rate-limit"
BROKEN = (ConnectionError, http.client.HTTPException, TimeoutError)


def broken(call, *args, **kw):
    """The exception by which a request that gets no whole answer ends."""
    try:
        answer = call(*args, **kw)
    except BROKEN as e:
        return e
    raise AssertionError(f"it was answered: {answer!r}")


def get(sim, key):
    """What another client would read, past all faults."""
    answer = sim.control.call("GET", "object/b/" + key)
    return answer.body if answer.status == 200 else None


@test("a request fails before its effect, with status, code, Retry-After and a body of choice")
def _(sim):
    c = sim.client()
    sim.control.fault(kind="Put", answer="status", status=503, headers={"Retry-After": "7"})
    answer = c.put("k", b"x")
    refused(answer, 503, "SlowDown")
    equal((answer.headers["Retry-After"], get(sim, "k")), ("7", None))
    sim.control.fault(answer="status", status=502, body="html")
    answer = c.put("k", b"x")
    equal((answer.status, answer.headers["Content-Type"][:9], answer.body[:15]), (502, "text/html", b"<!DOCTYPE html>"))
    sim.control.fault(answer="status", status=500, body="empty")
    equal(c.put("k", b"x").body, b"")
    sim.control.fault(answer="status", status=400, code="Odd", message="m")
    refused(c.put("k", b"x"), 400, "Odd")
    equal(get(sim, "k"), None)


@test("an effect takes place and its answer is lost")
def _(sim):
    c = sim.client()
    sim.control.fault(kind="Put", answer="reset", effect="done")
    equal(type(broken(c.put, "k", b"x")), ConnectionResetError)
    equal(get(sim, "k"), b"x")
    sim.control.fault(kind="Put", answer="status", status=500, effect="done")
    equal(c.put("l", b"x").status, 500)
    equal(get(sim, "l"), b"x")


@test("a connection is reset without an effect")
def _(sim):
    c = sim.client()
    sim.control.fault(kind="Put", answer="reset")
    equal(type(broken(c.put, "k", b"x")), ConnectionResetError)
    equal(get(sim, "k"), None)


@test("a connection is reset while the request's body is on its way")
def _(sim):
    sim.control.fault(kind="Put", answer="reset-upload", after_bytes=100000)
    broken(sim.client().put, "k", b"x" * 50000000)
    equal(get(sim, "k"), None)


@test("a connection is reset in the headers and in the body of the answer")
def _(sim):
    c = sim.client()
    sim.control.call("PUT", "object/b/k", b"0123456789" * 100000)
    for answer in ("reset-headers", "reset-body"):
        sim.control.fault(kind="Get", answer=answer)
        broken(c.get, "k")
    equal(len(c.get("k").body), 1000000)


@test("a body is cut short under its full Content-Length")
def _(sim):
    c = sim.client()
    sim.control.call("PUT", "object/b/k", b"0123456789" * 10)
    sim.control.fault(kind="Get", answer="truncate")
    e = broken(c.get, "k")
    equal((type(e), len(e.partial)), (http.client.IncompleteRead, 50))


@test("a Content-Length is wrong")
def _(sim):
    c = sim.client()
    sim.control.call("PUT", "object/b/k", b"0123456789")
    sim.control.fault(kind="Get", answer="wrong-length", drop_bytes=3)
    answer = c.get("k")
    equal((answer.status, answer.body, answer.headers["Content-Length"]), (200, b"0123456", "7"))
    sim.control.fault(kind="Head", answer="wrong-length")
    equal(c.head("k").headers["Content-Length"], "9")
    equal(c.get("k").body, b"0123456789")


@test("one byte of a body is another")
def _(sim):
    c = sim.client()
    data = b"0123456789" * 1000
    sim.control.call("PUT", "object/b/k", data)
    sim.control.fault(kind="Get", answer="corrupt")
    got = c.get("k").body
    equal((len(got), sum(a != b for a, b in zip(got, data))), (len(data), 1))


@test("a request hangs, without and with its effect, until released")
def _(sim):
    for effect in ("none", "done"):
        sim.control.fault(kind="Put", answer="hang", effect=effect)
        result = []
        thread = threading.Thread(target=lambda r=result: r.append(broken(sim.client().put, "k", b"x")))
        thread.start()
        wait(lambda: sim.control.json("GET", "counts")["hanging"] == 1)
        equal(get(sim, "k"), b"x" if effect == "done" else None)
        equal(result, [])
        sim.control.json("POST", "release")
        thread.join(10)
        equal(len(result), 1)


@test("a hang ends by itself after hang_ms, and when the client gives up")
def _(sim):
    sim.control.fault(answer="hang", hang_ms=50)
    broken(sim.client().get, "k")
    sim.control.fault(answer="hang")
    c = sim.client()
    thread = threading.Thread(target=lambda: broken(c.get, "k"))
    c.connect().timeout = 0.2
    thread.start()
    thread.join()
    wait(lambda: sim.control.json("GET", "counts")["hanging"] == 0)


@test("an effect comes late, after the answer was an error, lost, or never given")
def _(sim):
    for i, rule in enumerate(({"answer": "status", "status": 500}, {"answer": "reset"}, {"answer": "hang", "hang_ms": 50})):
        sim.control.fault(kind="Put", effect="late", late_ms=300, **rule)
        start = time.monotonic()
        try:
            equal(sim.client().put(f"k{i}", b"x").status, 500)
        except BROKEN:
            pass
        equal(get(sim, f"k{i}"), None)
        wait(lambda i=i: get(sim, f"k{i}") == b"x")
        assert time.monotonic() - start >= 0.3


@test("a late effect still meets its condition", NO_LIMIT)
def _(sim):
    c = sim.client()
    sim.control.fault(kind="Put", effect="late", late_ms=200, answer="status", status=500)
    c.put("k", b"late", headers={"If-None-Match": "*"})
    sim.control.call("PUT", "object/b/k", b"between")
    wait(lambda: any(e.get("code") == "PreconditionFailed" for e in sim.control.journal()))
    equal(get(sim, "k"), b"between")


@test("200 comes with an <Error> inside, or with nothing")
def _(sim):
    c = sim.client()
    c.put("s", b"x")
    sim.control.fault(kind="Copy", answer="error-200")
    answer = c.put("t", headers={"x-amz-copy-source": "/b/s"})
    equal((answer.status, answer.code, get(sim, "t")), (200, "InternalError", None))
    sim.control.fault(kind="Copy", answer="empty-200", effect="done")
    answer = c.put("t", headers={"x-amz-copy-source": "/b/s"})
    equal((answer.status, answer.body, get(sim, "t")), (200, b"", b"x"))


@test("a request is redirected")
def _(sim):
    sim.control.fault(answer="redirect", status=301, location="http://127.0.0.1:1/")
    answer = sim.client().get("k")
    equal((answer.status, answer.headers["Location"]), (301, "http://127.0.0.1:1/"))


@test("a page of a listing repeats, is short, or is empty")
def _(sim):
    c = sim.client()
    sim.control.json("POST", "plant", {"bucket": "b", "count": 1500})
    first = c.list()
    token = first.one("NextContinuationToken")
    sim.control.fault(kind="List", answer="page-repeat")
    again = c.list(continuation_token=token)
    equal((again.all("Contents/Key"), again.one("NextContinuationToken")), (first.all("Contents/Key"), token))
    sim.control.fault(kind="List", answer="page-short")
    short = c.list()
    equal((len(short.all("Contents/Key")), short.one("IsTruncated")), (500, "false"))
    sim.control.fault(kind="List", answer="page-empty")
    empty = c.list()
    equal((empty.status, empty.one("KeyCount"), empty.one("IsTruncated")), (200, "0", "false"))
    equal(len(c.list().all("Contents/Key")), 1000)


@test("a page is out of date by a given age", NO_LIMIT)
def _(sim):
    c = sim.client()
    old = c.put("changed", b"1").etag
    c.put("gone", b"1")
    time.sleep(0.5)
    c.put("changed", b"2")
    c.put("new", b"1")
    c.delete("gone")
    sim.control.fault(kind="List", answer="page-stale", age_ms=300)
    stale = c.list()
    equal((stale.all("Contents/Key"), stale.all("Contents/ETag")[0]), (["changed", "gone"], old))
    equal(c.list().all("Contents/Key"), ["changed", "new"])


@test("a Date header is off")
def _(sim):
    c = sim.client()
    sim.control.fault(answer="date-skew", skew_s=86400 * 400)
    assert c.get("k").headers["Date"] != c.get("k").headers["Date"]


@test("a request is slow")
def _(sim):
    sim.control.fault(answer="normal", delay_ms=200)
    start = time.monotonic()
    equal(sim.client().get("k").status, 404)
    assert time.monotonic() - start >= 0.2


@test("rules choose by kind, key, how many to pass over, to hit, and every how many")
def _(sim):
    c = sim.client()
    def statuses(n, key="a/k"): return [c.get(key).status for _ in range(n)]
    sim.control.fault(kind=["Get", "Head"], key="a/*", answer="status", skip=1, count=2)
    equal(statuses(1, "b/k"), [404])
    equal(statuses(5), [404, 500, 500, 404, 404])
    sim.control.json("DELETE", "faults/")
    sim.control.fault(kind="reading", answer="status", every=3, count=0)
    equal(statuses(7), [404, 404, 500, 404, 404, 500, 404])
    equal(c.put("k", b"").status, 200)


@test("a probability with a seed hits the same requests again")
def _(sim):
    c, seen = sim.client(), []
    for _ in range(2):
        rule = sim.control.fault(kind="Get", answer="status", probability=0.5, seed=42, count=0)
        seen.append([c.get("k").status for _ in range(64)])
        sim.control.json("DELETE", f"faults/{rule}")
    equal(seen[0], seen[1])
    assert 10 < seen[0].count(500) < 54


@test("a rule that can't be meant is refused with a sentence")
def _(sim):
    for rule in ({"kind": "Nonsense"}, {"answer": "nonsense"}, {"effect": "perhaps"}, {"colour": 1}, {"count": "x"}, [1]):
        equal(sim.control.call("POST", "faults", rule).status, 400)
    equal(sim.control.json("GET", "faults"), [])


@test("delay holds no thread: 200 requests of 200 ms end together", "--delay-ms", "200", "--threads", "1")
def _(sim):
    start = time.monotonic()
    threads = [threading.Thread(target=lambda: equal(sim.client().get("k").status, 404)) for _ in range(200)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    took = time.monotonic() - start
    assert 0.2 <= took < 3, took
    assert sim.control.json("GET", "counts")["in_flight_max"] > 20


@test("bandwidth is limited each way", "--bandwidth", "1000000")
def _(sim):
    c = sim.client()
    for call in (lambda: c.put("k", b"x" * 300000), lambda: c.get("k")):
        start = time.monotonic()
        equal(call().status, 200)
        assert 0.2 < time.monotonic() - start < 3


@test("frozen, it accepts and never answers; thawed, it goes on")
def _(sim):
    sim.control.config(frozen=True)
    result = []
    thread = threading.Thread(target=lambda: result.append(sim.client().put("k", b"x").status))
    thread.start()
    wait(lambda: sim.control.json("GET", "counts")["hanging"] == 1)
    equal((result, get(sim, "k")), ([], None))
    sim.control.config(frozen=False)
    thread.join(10)
    equal((result, get(sim, "k")), ([200], b"x"))


@test("the network is cut after the Nth mutating request took effect", NO_LIMIT)
def _(sim):
    c = sim.client()
    sim.control.config(cut_after=3)
    outcomes = []
    for i in range(5):
        try:
            outcomes.append(c.put(f"k{i}", b"x").status)
        except BROKEN:
            outcomes.append(0)
    equal(outcomes, [200, 200, 0, 0, 0])
    broken(c.get, "k0")
    equal([o["key"] for o in sim.control.json("GET", "dump/b")], ["k0", "k1", "k2"])
    sim.control.config(cut=False, cut_after=0)
    equal(c.get("k0").status, 200)


@test("of many concurrent requests exactly N take effect before the cut", NO_LIMIT)
def _(sim):
    sim.control.config(cut_after=17)
    def write(i):
        try:
            sim.client().put(f"k{i}", b"x")
        except BROKEN:
            pass
    threads = [threading.Thread(target=write, args=(i,)) for i in range(40)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    equal(len(sim.control.json("GET", "dump/b")), 17)


@test("every connection can be closed, by FIN or by RST")
def _(sim):
    for mode in ("fin", "reset"):
        clients = [sim.client() for _ in range(5)]
        for c in clients:
            c.get("k")
        equal(sim.control.json("POST", "close-connections?mode=" + mode), 5)
        for c in clients:
            broken(c.get, "k")
            equal(c.get("k").status, 404)


@test("everybody is denied, the bucket goes, the quota ends, and all heals", NO_LIMIT)
def _(sim):
    c = sim.client()
    sim.control.config(denied=True)
    refused(c.put("k", b"x"), 403, "AccessDenied")
    sim.control.config(denied=False, bucket_gone=True)
    refused(c.put("k", b"x"), 404, "NoSuchBucket")
    refused(c.list(), 404, "NoSuchBucket")
    sim.control.config(bucket_gone=False, quota=10)
    refused(c.put("k", b"x" * 11), 403, "QuotaExceeded")
    equal(c.put("k", b"x" * 10).status, 200)


run()
