#!/usr/bin/env python3
"""Put, Get, Head, Delete, and their conditions."""
import base64
import hashlib
import threading

from harness import equal, refused, run, test

NO_LIMIT = "--no-rate-limit"


@test("what was put is got: bytes, type, headers, metadata, ETag")
def _(sim):
    c = sim.client()
    sent = {"Content-Type": "text/x", "Content-Encoding": "br", "Content-Disposition": "inline", "Content-Language": "de",
            "Cache-Control": "no-cache", "Expires": "Thu, 01 Jan 2032 00:00:00 GMT", "x-amz-meta-mode": "33188", "x-amz-meta-Mixed": "v"}
    answer = c.put("k", b"hello", headers=sent)
    equal(answer.etag, '"' + hashlib.md5(b"hello").hexdigest() + '"')
    for answer in (c.get("k"), c.head("k")):
        equal(answer.status, 200)
        equal({n: answer.headers[n] for n in sent}, sent)
        equal(answer.headers["Content-Length"], "5")
    equal(c.get("k").body, b"hello")
    equal(c.head("k").body, b"")


@test("an object without a type is application/octet-stream")
def _(sim):
    c = sim.client()
    c.put("k", b"")
    equal(c.head("k").headers["Content-Type"], "application/octet-stream")


@test("a missing object is NoSuchKey, a missing bucket NoSuchBucket, and HEAD has no body")
def _(sim):
    refused(sim.client().get("k"), 404, "NoSuchKey")
    refused(sim.client(bucket="none").get("k"), 404, "NoSuchBucket")
    refused(sim.client(bucket="none").list(), 404, "NoSuchBucket")
    equal((sim.client().head("k").status, sim.client().head("k").body), (404, b""))


@test("ranges: first, last, open, suffix, beyond the end")
def _(sim):
    c = sim.client()
    c.put("k", b"0123456789")
    for value, body, shown in (("0-3", b"0123", "0-3"), ("5-", b"56789", "5-9"), ("-2", b"89", "8-9"), ("8-100", b"89", "8-9"), ("-100", b"0123456789", "0-9")):
        answer = c.get("k", headers={"Range": "bytes=" + value})
        equal((answer.status, answer.body, answer.headers["Content-Range"]), (206, body, f"bytes {shown}/10"))
    answer = c.get("k", headers={"Range": "bytes=10-"})
    refused(answer, 416, "InvalidRange")
    equal(answer.headers["Content-Range"], "bytes */10")
    equal(c.get("k", headers={"Range": "lines=1-2"}).status, 200)


@test("If-None-Match: * lets one of many concurrent creators win", NO_LIMIT)
def _(sim):
    for round_number in range(20):
        results = []
        def create(i, key=f"k{round_number}"):
            c = sim.client()
            results.append((c.put(key, b"%d" % i, headers={"If-None-Match": "*"}).status, i))
            c.close()
        threads = [threading.Thread(target=create, args=(i,)) for i in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        equal(sorted(s for s, _ in results), [200] + [412] * 7)
        winner = [i for s, i in results if s == 200][0]
        equal(sim.client().get(f"k{round_number}").body, b"%d" % winner)


@test("If-Match lets one of many concurrent writers win", NO_LIMIT)
def _(sim):
    etag = sim.client().put("k", b"first").etag
    results = []
    def write(i):
        c = sim.client()
        results.append(c.put("k", b"%d" % i, headers={"If-Match": etag}).status)
        c.close()
    threads = [threading.Thread(target=write, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    equal(sorted(results), [200] + [412] * 7)


@test("If-Match on a missing key is 404, on another version 412", NO_LIMIT)
def _(sim):
    c = sim.client()
    refused(c.put("k", b"x", headers={"If-Match": '"0"'}), 404, "NoSuchKey")
    etag = c.put("k", b"x").etag
    refused(c.put("k", b"y", headers={"If-Match": '"0"'}), 412, "PreconditionFailed")
    equal(c.put("k", b"y", headers={"If-Match": etag}).status, 200)


@test("a server may ignore the conditions of PUT", "--ignore-put-conditions", NO_LIMIT)
def _(sim):
    c = sim.client()
    c.put("k", b"x")
    equal(c.put("k", b"y", headers={"If-None-Match": "*"}).status, 200)


@test("GET and HEAD honour conditions: 304 and 412")
def _(sim):
    c = sim.client()
    etag = c.put("k", b"x").etag
    for method in ("GET", "HEAD"):
        equal(c.request(method, "k", headers={"If-None-Match": etag}).status, 304)
        equal(c.request(method, "k", headers={"If-Match": '"0"'}).status, 412)
        equal(c.request(method, "k", headers={"If-Match": etag}).status, 200)
        equal(c.request(method, "k", headers={"If-Modified-Since": "Thu, 01 Jan 2099 00:00:00 GMT"}).status, 304)
        equal(c.request(method, "k", headers={"If-Unmodified-Since": "Thu, 01 Jan 1999 00:00:00 GMT"}).status, 412)


@test("DELETE of what is there and of what is not answers 204")
def _(sim):
    c = sim.client()
    c.put("k", b"x")
    equal((c.delete("k").status, c.delete("k").status, c.get("k").status), (204, 204, 404))


@test("a condition on DELETE is ignored, as R2 does")
def _(sim):
    c = sim.client()
    c.put("k", b"x")
    equal(c.delete("k", headers={"If-Match": '"0"'}).status, 204)
    equal(c.get("k").status, 404)


@test("a condition on DELETE is honoured where that is switched on", "--conditional-delete")
def _(sim):
    c = sim.client()
    etag = c.put("k", b"x").etag
    refused(c.delete("k", headers={"If-Match": '"0"'}), 412, "PreconditionFailed")
    equal(c.delete("k", headers={"If-Match": etag}).status, 204)


def delete_objects(c, keys, quiet=False, etags=None, md5=True):
    body = "<Delete>" + ("<Quiet>true</Quiet>" if quiet else "")
    for i, key in enumerate(keys):
        etag = f"<ETag>{etags[i]}</ETag>" if etags else ""
        body += f"<Object><Key>{key}</Key>{etag}</Object>"
    data = (body + "</Delete>").encode()
    headers = {"Content-MD5": base64.b64encode(hashlib.md5(data).digest()).decode()} if md5 else {}
    return c.request("POST", query={"delete": ""}, headers=headers, body=data)


@test("DeleteObjects deletes up to 1000 keys and names each")
def _(sim):
    c = sim.client()
    sim.control.json("POST", "plant", {"bucket": "b", "prefix": "p/", "count": 1001})
    keys = [f"p/{i:06d}" for i in range(1001)]
    refused(delete_objects(c, keys), 400, "MalformedXML")
    answer = delete_objects(c, keys[:1000])
    equal(sorted(answer.all("Deleted/Key")), keys[:1000])
    equal(c.list().all("Contents/Key"), [keys[1000]])


@test("DeleteObjects keeps quiet when asked, needs Content-MD5, and refuses what is no XML")
def _(sim):
    c = sim.client()
    c.put("a&b", b"")
    answer = delete_objects(c, ["a&amp;b"], quiet=True)
    equal((answer.status, answer.all("Deleted")), (200, []))
    equal(c.get("a&b").status, 404)
    refused(delete_objects(c, ["a"], md5=False), 400, "InvalidRequest")
    data = b"<Delete><Object>"
    refused(c.request("POST", query={"delete": ""}, body=data, headers={"Content-MD5": base64.b64encode(hashlib.md5(data).digest()).decode()}), 400,
            "MalformedXML")


@test("the ETags of DeleteObjects count only where conditional DELETE is switched on")
def _(sim):
    c = sim.client()
    for conditional in (True, False):
        sim.control.config(conditional_delete=conditional, rate_limit=False)
        c.put("k", b"x")
        answer = delete_objects(c, ["k"], etags=["0"])
        equal(answer.all("Error/Code"), ["PreconditionFailed"] if conditional else [])
        equal(c.get("k").status, 200 if conditional else 404)


@test("a body of 64 MiB arrives and leaves unchanged, in memory and on disk")
def _(sim):
    from harness import Sim
    data = bytes(range(256)) * (256 * 1024)
    with Sim("--data", sim.folder + "/d") as disk:
        for s in (sim, disk):
            c = s.client()
            equal(c.put("k", data).etag, '"' + hashlib.md5(data).hexdigest() + '"')
            equal(hashlib.md5(c.get("k").body).digest(), hashlib.md5(data).digest())
            equal(c.get("k", headers={"Range": "bytes=50000000-50000999"}).body, data[50000000:50001000])


run()
