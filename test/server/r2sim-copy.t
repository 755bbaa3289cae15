#!/usr/bin/env python3
"""CopyObject."""
from harness import equal, refused, run, test

NO_LIMIT = "--no-rate-limit"


def copy(c, target, source, **headers):
    h = {"x-amz-copy-source": source}
    h.update({k.replace("_", "-"): v for k, v in headers.items()})
    return c.put(target, headers=h)


@test("a copy has the source's bytes, ETag, type and metadata")
def _(sim):
    c = sim.client()
    etag = c.put("a b/ü", b"x", headers={"Content-Type": "text/x", "x-amz-meta-m": "1"}).etag
    answer = copy(c, "t", "/b/a%20b/%C3%BC", x_amz_meta_m="2")
    equal((answer.status, answer.one("ETag")), (200, etag))
    got = c.get("t")
    equal((got.body, got.headers["Content-Type"], got.headers["x-amz-meta-m"]), (b"x", "text/x", "1"))
    equal(copy(c, "u", "b/a%20b/%C3%BC").status, 200)


@test("REPLACE takes the request's metadata alone, MERGE adds it")
def _(sim):
    c = sim.client()
    c.put("s", b"x", headers={"Content-Type": "text/x", "x-amz-meta-a": "1", "x-amz-meta-b": "1"})
    copy(c, "r", "/b/s", x_amz_metadata_directive="REPLACE", x_amz_meta_b="2")
    copy(c, "m", "/b/s", x_amz_metadata_directive="MERGE", x_amz_meta_b="2")
    dump = {o["key"]: (o["meta"], o["content_type"]) for o in sim.control.json("GET", "dump/b")}
    equal(dump["r"], ({"b": "2"}, None))
    equal(dump["m"], ({"a": "1", "b": "2"}, "text/x"))


@test("a copy onto itself changes metadata and LastModified, and needs a directive", NO_LIMIT)
def _(sim):
    c = sim.client()
    c.put("s", b"x")
    before = sim.control.json("GET", "dump/b")[0]
    refused(copy(c, "s", "/b/s"), 400, "InvalidRequest")
    equal(copy(c, "s", "/b/s", x_amz_metadata_directive="REPLACE", x_amz_meta_a="1").status, 200)
    after = sim.control.json("GET", "dump/b")[0]
    equal(after["meta"], {"a": "1"})
    assert after["last_modified"] > before["last_modified"]
    equal(after["etag"], before["etag"])


@test("conditions on the source are honoured")
def _(sim):
    c = sim.client()
    etag = c.put("s", b"x").etag
    refused(copy(c, "t", "/b/s", x_amz_copy_source_if_match='"0"'), 412, "PreconditionFailed")
    refused(copy(c, "t", "/b/s", x_amz_copy_source_if_none_match=etag), 412, "PreconditionFailed")
    refused(copy(c, "t", "/b/s", x_amz_copy_source_if_unmodified_since="Thu, 01 Jan 1999 00:00:00 GMT"), 412, "PreconditionFailed")
    equal(c.get("t").status, 404)
    equal(copy(c, "t", "/b/s", x_amz_copy_source_if_match=etag).status, 200)


@test("a missing source is NoSuchKey, a missing bucket NoSuchBucket")
def _(sim):
    c = sim.client()
    refused(copy(c, "t", "/b/none"), 404, "NoSuchKey")
    refused(copy(c, "t", "/none/k"), 404, "NoSuchBucket")
    refused(copy(c, "t", "nonsense"), 400, "InvalidArgument")


@test("R2's conditions on what is replaced are honoured, AWS's are not", NO_LIMIT)
def _(sim):
    c = sim.client()
    c.put("s", b"x")
    etag = c.put("t", b"old").etag
    refused(copy(c, "t", "/b/s", cf_copy_destination_if_none_match="*"), 412, "PreconditionFailed")
    refused(copy(c, "t", "/b/s", cf_copy_destination_if_match='"0"'), 412, "PreconditionFailed")
    refused(copy(c, "none", "/b/s", cf_copy_destination_if_match=etag), 404, "NoSuchKey")
    equal(copy(c, "t", "/b/s", cf_copy_destination_if_match=etag).status, 200)
    equal(copy(c, "t", "/b/s", if_none_match="*").status, 200)


@test("AWS's conditions on what is replaced can be switched on, R2's off", "--aws-copy-conditions", "--no-cf-copy-conditions", NO_LIMIT)
def _(sim):
    c = sim.client()
    c.put("s", b"x")
    c.put("t", b"old")
    refused(copy(c, "t", "/b/s", if_none_match="*"), 412, "PreconditionFailed")
    equal(copy(c, "t", "/b/s", cf_copy_destination_if_none_match="*").status, 200)


@test("a server may ignore every condition of copies", "--ignore-copy-conditions", NO_LIMIT)
def _(sim):
    c = sim.client()
    c.put("s", b"x")
    equal(copy(c, "t", "/b/s", x_amz_copy_source_if_match='"0"').status, 200)
    equal(copy(c, "t", "/b/s", cf_copy_destination_if_none_match="*").status, 200)


@test("a copy counts as a write of its target")
def _(sim):
    c = sim.client()
    c.put("s", b"x")
    copy(c, "t", "/b/s")
    refused(copy(c, "t", "/b/s"), 429, "TooManyRequests")


run()
