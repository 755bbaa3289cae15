#!/usr/bin/env python3
"""What R2 refuses, and its limits."""
import base64
import gzip
import hashlib
import time

from harness import equal, refused, run, test


@test("an unknown query parameter is 501")
def _(sim):
    c = sim.client()
    refused(c.list(versions=""), 501, "NotImplemented")
    refused(c.get("k", query={"versionId": "1"}), 501, "NotImplemented")
    refused(c.request("GET", query={"versioning": ""}), 501, "NotImplemented")


@test("the headers that R2 lacks are 501")
def _(sim):
    c = sim.client()
    for name in ("x-amz-acl", "x-amz-tagging", "x-amz-server-side-encryption", "x-amz-object-lock-mode", "x-amz-request-payer",
                 "x-amz-expected-bucket-owner"):
        refused(c.put("k", b"", headers={name: "x"}), 501, "NotImplemented")


@test("an optional header that is empty is refused")
def _(sim):
    c = sim.client()
    for name in ("x-amz-storage-class", "Content-Type", "If-Match", "Cache-Control"):
        refused(c.put("k", b"", headers={name: ""}), 501, "NotImplemented")
    equal(c.put("k", b"", headers={"x-amz-meta-empty": ""}).status, 200)


@test("a PUT without Content-Length is 411")
def _(sim):
    refused(sim.client().put("k", b"", length=False), 411, "MissingContentLength")


@test("a chunked upload is 411")
def _(sim):
    c = sim.client()
    headers = c.sign("PUT", "/b/k", [], {}, "UNSIGNED-PAYLOAD")
    connection = c.connect()
    connection.request("PUT", "/b/k", body=iter([b"ab", b"c"]), headers=headers, encode_chunked=True)
    equal(connection.getresponse().status, 411)


@test("100-continue is refused before the body is sent")
def _(sim):
    c = sim.client()
    headers = c.sign("PUT", "/b/k", [], {"expect": "100-continue"}, "UNSIGNED-PAYLOAD")
    connection = c.connect()
    connection.putrequest("PUT", "/b/k", skip_host=True, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.putheader("content-length", "1000000")
    connection.endheaders()
    equal(connection.getresponse().status, 417)


@test("what Debian's rclone sends is taken where that is switched on", "--ignore-acl", "--continue-100")
def _(sim):
    c = sim.client()
    equal(c.put("k", b"", headers={"x-amz-acl": "private"}).status, 200)
    headers = c.sign("PUT", "/b/l", [], {"expect": "100-continue"}, "UNSIGNED-PAYLOAD")
    connection = c.connect()
    connection.putrequest("PUT", "/b/l", skip_host=True, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.putheader("content-length", "5")
    connection.endheaders()
    connection.send(b"hello")
    equal(connection.getresponse().status, 200)


@test("Content-MD5 is checked")
def _(sim):
    c = sim.client()
    def md5(data): return base64.b64encode(hashlib.md5(data).digest()).decode()
    equal(c.put("k", b"one", headers={"Content-MD5": md5(b"one")}).status, 200)
    refused(c.put("l", b"one", headers={"Content-MD5": md5(b"two")}), 400, "BadDigest")
    refused(c.put("l", b"one", headers={"Content-MD5": "abc"}), 400, "InvalidDigest")
    equal(c.get("l").status, 404)


@test("a key may have 1024 bytes and no more")
def _(sim):
    c = sim.client()
    equal(c.put("k" * 1024, b"").status, 200)
    refused(c.put("k" * 1025, b""), 400, "KeyTooLongError")
    equal(c.put("ü" * 512, b"").status, 200)


@test("user metadata may have 8192 bytes in all and no more")
def _(sim):
    c = sim.client()
    equal(c.put("k", b"", headers={"x-amz-meta-aa": "x" * 4094, "x-amz-meta-bb": "x" * 4094}).status, 200)
    refused(c.put("l", b"", headers={"x-amz-meta-aa": "x" * 4094, "x-amz-meta-bb": "x" * 4095}), 400, "MetadataTooLarge")


@test("two names equal under NFC are one object")
def _(sim):
    c = sim.client()
    equal(c.put("e\u0301", b"x").status, 200)
    equal(c.get("\u00e9").body, b"x")
    equal(c.list().all("Contents/Key"), ["\u00e9"])


@test("without NFC they are two", "--no-nfc")
def _(sim):
    c = sim.client()
    c.put("e\u0301", b"x")
    equal(c.get("\u00e9").status, 404)


@test("metadata values are RFC 2047-decoded before they are stored")
def _(sim):
    c = sim.client()
    c.put("k", b"", headers={"x-amz-meta-a": "=?utf-8?B?w7w=?= =?utf-8?Q?_=C3=9F?=", "x-amz-meta-b": "=?x", "x-amz-meta-c": "plain"})
    meta = sim.control.json("GET", "dump/b")[0]["meta"]
    equal(meta, {"a": "ü ß", "b": "=?x", "c": "plain"})
    equal(c.head("k").headers["x-amz-meta-a"], "=?utf-8?B?" + base64.b64encode("ü ß".encode()).decode() + "?=")


@test("a second write of a key within a second is 429, another key is not")
def _(sim):
    c = sim.client()
    equal(c.put("k", b"1").status, 200)
    refused(c.put("k", b"2"), 429, "TooManyRequests")
    equal(c.put("l", b"1").status, 200)
    equal(c.get("k").body, b"1")


@test("a second later it is served")
def _(sim):
    c = sim.client()
    c.put("k", b"1")
    time.sleep(1.01)
    equal(c.put("k", b"2").status, 200)


@test("the rate limit can be switched off", "--no-rate-limit")
def _(sim):
    c = sim.client()
    for i in range(5):
        equal(c.put("k", b"%d" % i).status, 200)


@test("gzip is decoded for a client that does not take it, and its length is then not the listing's")
def _(sim):
    c = sim.client()
    data = gzip.compress(b"hello" * 100)
    c.put("k", data, headers={"Content-Encoding": "gzip"})
    equal(c.get("k", headers={"accept-encoding": "identity"}).body, b"hello" * 100)
    equal(c.get("k", headers={"accept-encoding": "gzip"}).body, data)
    equal(c.list().one("Contents/Size"), str(len(data)))


run()
