#!/usr/bin/env python3
"""Multipart uploads."""
import hashlib

from harness import equal, refused, run, test

SMALL = ("--min-part", "10", "--no-rate-limit")


def create(c, key="k", **headers):
    answer = c.request("POST", key, query={"uploads": ""}, headers={k.replace("_", "-"): v for k, v in headers.items()})
    equal(answer.status, 200)
    return answer.one("UploadId")


def part(c, upload, number, data, key="k", **kw):
    return c.put(key, data, query={"partNumber": str(number), "uploadId": upload}, **kw)


def complete(c, upload, parts, key="k", headers=None):
    body = "<CompleteMultipartUpload>" + "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{e}</ETag></Part>" for n, e in parts)
    return c.request("POST", key, query={"uploadId": upload}, body=(body + "</CompleteMultipartUpload>").encode(), headers=headers)


def upload_parts(c, *parts, key="k"):
    upload = create(c, key)
    return upload, [(i, part(c, upload, i, data, key).etag) for i, data in enumerate(parts, 1)]


@test("parts become one object, with metadata and the ETag of ETags", *SMALL)
def _(sim):
    c = sim.client()
    upload = create(c, x_amz_meta_m="1", Content_Type="text/x")
    etags = [(i, part(c, upload, i, data).etag) for i, data in ((1, b"a" * 10), (2, b"b" * 10), (3, b"c"))]
    equal(c.get("k").status, 404)
    answer = complete(c, upload, etags)
    want = hashlib.md5(b"".join(hashlib.md5(d).digest() for d in (b"a" * 10, b"b" * 10, b"c"))).hexdigest() + "-3"
    equal((answer.status, answer.one("ETag")), (200, f'"{want}"'))
    got = c.get("k")
    equal((got.body, got.headers["x-amz-meta-m"], got.headers["Content-Type"], got.etag), (b"a" * 10 + b"b" * 10 + b"c", "1", "text/x", f'"{want}"'))
    equal(c.get("k", headers={"Range": "bytes=8-21"}).body, b"aa" + b"b" * 10 + b"c")


@test("a retried Complete answers NoSuchUpload", *SMALL)
def _(sim):
    c = sim.client()
    upload, parts = upload_parts(c, b"x")
    equal(complete(c, upload, parts).status, 200)
    refused(complete(c, upload, parts), 404, "NoSuchUpload")


@test("parts but the last must be large enough, and equal; the last no larger")
def _(sim):
    c = sim.client()
    refused(complete(c, *upload_parts(c, b"x", b"y")), 400, "EntityTooSmall")
    sim.control.config(min_part=10)
    refused(complete(c, *upload_parts(c, b"x" * 10, b"y" * 11, b"z")), 400, "InvalidPart")
    refused(complete(c, *upload_parts(c, b"x" * 10, b"y" * 11)), 400, "InvalidPart")
    equal(complete(c, *upload_parts(c, b"x" * 10, b"y" * 10, b"z")).status, 200)


@test("unequal parts are taken where that is switched off", "--no-equal-parts", *SMALL)
def _(sim):
    c = sim.client()
    equal(complete(c, *upload_parts(c, b"x" * 10, b"y" * 11, b"z")).status, 200)


@test("a wrong order, a wrong ETag, a missing part, no part are refused, and the upload stays", *SMALL)
def _(sim):
    c = sim.client()
    upload, parts = upload_parts(c, b"x" * 10, b"y")
    refused(complete(c, upload, parts[::-1]), 400, "InvalidPartOrder")
    refused(complete(c, upload, [(1, '"0"')]), 400, "InvalidPart")
    refused(complete(c, upload, parts + [(3, parts[0][1])]), 400, "InvalidPart")
    refused(complete(c, upload, []), 400, "MalformedXML")
    equal(complete(c, upload, parts).status, 200)


@test("a part uploaded again replaces itself", *SMALL)
def _(sim):
    c = sim.client()
    upload = create(c)
    first = part(c, upload, 1, b"x").etag
    second = part(c, upload, 1, b"y").etag
    refused(complete(c, upload, [(1, first)]), 400, "InvalidPart")
    equal(complete(c, upload, [(1, second)]).status, 200)
    equal(c.get("k").body, b"y")


@test("a refused condition on Complete takes the upload and its parts with it", *SMALL)
def _(sim):
    c = sim.client()
    c.put("k", b"old")
    upload, parts = upload_parts(c, b"x")
    refused(complete(c, upload, parts, headers={"If-None-Match": "*"}), 412, "PreconditionFailed")
    refused(complete(c, upload, parts), 404, "NoSuchUpload")
    equal((c.get("k").body, sim.control.json("GET", "uploads/b")), (b"old", []))


@test("conditions on Complete that hold, hold", *SMALL)
def _(sim):
    c = sim.client()
    etag = c.put("k", b"old").etag
    equal(complete(c, *upload_parts(c, b"x"), headers={"If-Match": etag}).status, 200)


@test("a server may ignore conditions on Complete", "--ignore-complete-conditions", *SMALL)
def _(sim):
    c = sim.client()
    c.put("k", b"old")
    equal(complete(c, *upload_parts(c, b"x"), headers={"If-None-Match": "*"}).status, 200)


@test("Abort ends an upload; whatever comes after is NoSuchUpload", *SMALL)
def _(sim):
    c = sim.client()
    upload, parts = upload_parts(c, b"x")
    equal(c.delete("k", query={"uploadId": upload}).status, 204)
    refused(part(c, upload, 2, b"y"), 404, "NoSuchUpload")
    refused(complete(c, upload, parts), 404, "NoSuchUpload")
    refused(c.delete("k", query={"uploadId": upload}), 404, "NoSuchUpload")


@test("UploadPartCopy takes a whole object or a range of it", *SMALL)
def _(sim):
    c = sim.client()
    c.put("s", b"0123456789" * 2)
    upload = create(c)
    query = {"uploadId": upload}
    a = c.put("k", query={**query, "partNumber": "1"}, headers={"x-amz-copy-source": "/b/s", "x-amz-copy-source-range": "bytes=5-14"})
    equal(a.one("ETag"), '"' + hashlib.md5(b"5678901234").hexdigest() + '"')
    b = part(c, upload, 2, b"B" * 10)
    d = c.put("k", query={**query, "partNumber": "3"}, headers={"x-amz-copy-source": "/b/s", "x-amz-copy-source-range": "bytes=0-4"})
    c.delete("s")
    equal(complete(c, upload, [(1, a.one("ETag")), (2, b.etag), (3, d.one("ETag"))]).status, 200)
    equal(c.get("k").body, b"5678901234" + b"B" * 10 + b"01234")


@test("UploadPartCopy refuses a range outside its source, and ignores conditions")
def _(sim):
    c = sim.client()
    c.put("s", b"0123456789")
    query = {"uploadId": create(c), "partNumber": "1"}
    refused(c.put("k", query=query, headers={"x-amz-copy-source": "/b/s", "x-amz-copy-source-range": "bytes=5-10"}), 416, "InvalidRange")
    refused(c.put("k", query=query, headers={"x-amz-copy-source": "/b/s", "x-amz-copy-source-range": "bytes=5-"}), 400, "InvalidArgument")
    equal(c.put("k", query=query, headers={"x-amz-copy-source": "/b/s", "x-amz-copy-source-if-match": '"0"'}).status, 200)


@test("part numbers are 1 to 10000")
def _(sim):
    c = sim.client()
    upload = create(c)
    for number in ("0", "10001", "x", "-1"):
        refused(part(c, upload, number, b""), 400, "InvalidArgument")
    equal(part(c, upload, 10000, b"").status, 200)


@test("Content-MD5 of a part is checked")
def _(sim):
    c = sim.client()
    refused(part(c, create(c), 1, b"x", headers={"Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}), 400, "BadDigest")


@test("uploads and parts are listed, page by page, with the checksums that came along")
def _(sim):
    c = sim.client()
    ids = [create(c, k) for k in ("a", "a", "b")]
    answer = c.request("GET", query={"uploads": ""})
    equal(sorted(answer.all("Upload/UploadId")), sorted(ids))
    answer = c.request("GET", query={"uploads": "", "max-uploads": "2"})
    equal((answer.all("Upload/Key"), answer.one("IsTruncated")), (["a", "a"], "true"))
    answer = c.request("GET", query={"uploads": "", "key-marker": answer.one("NextKeyMarker"), "upload-id-marker": answer.one("NextUploadIdMarker")})
    equal((answer.all("Upload/Key"), answer.one("IsTruncated")), (["b"], "false"))
    for n in (3, 1, 2):
        part(c, ids[2], n, b"x" * n, "b", headers={"x-amz-checksum-crc32c": "AAAAAA=="})
    answer = c.get("b", query={"uploadId": ids[2], "max-parts": "2"})
    equal((answer.all("Part/PartNumber"), answer.all("Part/Size"), answer.one("IsTruncated")), (["1", "2"], ["1", "2"], "true"))
    equal(answer.one("Part/ChecksumCRC32C"), "AAAAAA==")
    answer = c.get("b", query={"uploadId": ids[2], "part-number-marker": answer.one("NextPartNumberMarker")})
    equal((answer.all("Part/PartNumber"), answer.one("IsTruncated")), (["3"], "false"))


@test("a copied multipart object keeps its ETag, or gets the MD5 where that is switched", *SMALL)
def _(sim):
    c = sim.client()
    etag = complete(c, *upload_parts(c, b"x" * 10, b"y")).one("ETag")
    equal(c.put("t", headers={"x-amz-copy-source": "/b/k"}).one("ETag"), etag)
    sim.control.config(copy_keeps_etag=False)
    equal(c.put("t", headers={"x-amz-copy-source": "/b/k"}).one("ETag"), '"' + hashlib.md5(b"x" * 10 + b"y").hexdigest() + '"')


run()
