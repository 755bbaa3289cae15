#!/usr/bin/env python3
"""ListObjectsV2."""
import re
import urllib.parse

from harness import equal, refused, run, test


def plant(sim, *keys):
    for key in keys:
        sim.control.call("PUT", "object/b/" + urllib.parse.quote(key), b"x")


def pages(c, **query):
    """Each page's keys and common prefixes."""
    token, result = None, []
    while True:
        answer = c.list(**query, **({"continuation_token": token} if token else {}))
        equal(answer.status, 200)
        result.append((answer.all("Contents/Key"), answer.all("CommonPrefixes/Prefix")))
        equal(answer.one("KeyCount"), str(len(result[-1][0]) + len(result[-1][1])))
        token = answer.one("NextContinuationToken")
        equal(answer.one("IsTruncated"), "true" if token else "false")
        if not token:
            return result


@test("pages hold 1000 keys in byte order, and go on where they ended")
def _(sim):
    sim.control.json("POST", "plant", {"bucket": "b", "prefix": "p/", "count": 2500})
    got = pages(sim.client())
    equal([len(keys) for keys, _ in got], [1000, 1000, 500])
    equal(sum((keys for keys, _ in got), []), [f"p/{i:06d}" for i in range(2500)])


@test("max-keys above 1000 counts as 1000, 0 gives an empty page")
def _(sim):
    sim.control.json("POST", "plant", {"bucket": "b", "prefix": "p/", "count": 1001})
    c = sim.client()
    answer = c.list(max_keys=5000)
    equal((answer.one("KeyCount"), answer.one("IsTruncated")), ("1000", "true"))
    answer = c.list(max_keys=0)
    equal((answer.one("KeyCount"), answer.one("IsTruncated")), ("0", "false"))
    refused(c.list(max_keys="x"), 400, "InvalidArgument")


@test("byte order is that of UTF-8")
def _(sim):
    keys = ["A", "Z", "a", "a-b", "a/b", "a0", "z", "é", "\uffee", "\U0001f600"]
    plant(sim, *reversed(keys))
    equal(sim.client().list().all("Contents/Key"), keys)


@test("a delimiter folds keys into common prefixes, which count in max-keys")
def _(sim):
    plant(sim, "a", "b/1", "b/2", "c", "d/1/2", "d/3", "e")
    c = sim.client()
    equal(pages(c, delimiter="/"), [(["a", "c", "e"], ["b/", "d/"])])
    equal(pages(c, delimiter="/", max_keys=1), [(["a"], []), ([], ["b/"]), (["c"], []), ([], ["d/"]), (["e"], [])])
    equal(pages(c, delimiter="/", prefix="d/"), [(["d/3"], ["d/1/"])])
    equal(pages(c, delimiter="/", prefix="b"), [([], ["b/"])])


@test("a page ends exactly at its last key without claiming more")
def _(sim):
    plant(sim, "a", "b")
    equal(pages(sim.client(), max_keys=2), [(["a", "b"], [])])


@test("start-after is exclusive, and a token takes precedence")
def _(sim):
    plant(sim, "a", "b", "b/x", "c")
    c = sim.client()
    equal(pages(c, start_after="b"), [(["b/x", "c"], [])])
    equal(pages(c, start_after="a", max_keys=1), [(["b"], []), (["b/x"], []), (["c"], [])])


@test("encoding-type=url encodes keys, prefixes and the delimiter")
def _(sim):
    plant(sim, "a b/c+d", "ü\x01")
    c = sim.client()
    answer = c.list(encoding_type="url")
    equal(answer.all("Contents/Key"), ["a%20b/c%2Bd", "%C3%BC%01"])
    equal(answer.one("EncodingType"), "url")
    equal(c.list(encoding_type="url", delimiter="/", prefix="a b/").one("Prefix"), "a%20b/")
    equal(c.list(encoding_type="url", delimiter="/").all("CommonPrefixes/Prefix"), ["a%20b/"])


@test("each entry has size, ETag, class, and LastModified in milliseconds; the owner when asked")
def _(sim):
    c = sim.client()
    etag = c.put("k", b"hello").etag
    answer = c.list()
    equal((answer.one("Contents/Size"), answer.one("Contents/ETag"), answer.one("Contents/StorageClass")), ("5", etag, "STANDARD"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", answer.one("Contents/LastModified"))
    equal(answer.one("Contents/Owner/ID"), None)
    equal(c.list(fetch_owner="true").one("Contents/Owner/ID"), "r2sim")


@test("a prefix that does not exist gives an empty listing, not an error")
def _(sim):
    equal(pages(sim.client(), prefix="none/", max_keys=1), [([], [])])


@test("a token that is none is InvalidArgument")
def _(sim):
    refused(sim.client().list(continuation_token="zz"), 400, "InvalidArgument")


@test("the older ListObjects goes on by marker")
def _(sim):
    plant(sim, "a", "b/1", "b/2", "c")
    c = sim.client()
    answer = c.request("GET", query={"max-keys": "2", "delimiter": "/"})
    equal((answer.all("Contents/Key"), answer.all("CommonPrefixes/Prefix"), answer.one("NextMarker")), (["a"], ["b/"], "b/"))
    answer = c.request("GET", query={"max-keys": "2", "delimiter": "/", "marker": "b/"})
    equal((answer.all("Contents/Key"), answer.one("IsTruncated")), (["c"], "false"))


@test("what is written is listed at once, and what is deleted is not")
def _(sim):
    c = sim.client()
    for i in range(50):
        c.put(f"k{i}", b"")
        equal(len(c.list().all("Contents/Key")), 1)
        c.delete(f"k{i}")
        equal(c.list().all("Contents/Key"), [])


run()
