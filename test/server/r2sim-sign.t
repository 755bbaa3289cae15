#!/usr/bin/env python3
"""Who gets in: signatures, credentials and their scopes."""
import hashlib
import time

from harness import equal, refused, run, test


@test("a signed request is served, whatever bytes its key has")
def _(sim):
    c = sim.client()
    for key in ["plain", "a b", "a+b", "a%20b", "ü/ß", "q?x=1&y", "a//b", "~-._", "tab\tq", "'()*!$@:;,=", "dir/"]:
        equal(c.put(key, key.encode()).status, 200)
        equal(c.get(key).body, key.encode())


@test("an encoding of the path other than the signer's names the same key")
def _(sim):
    c = sim.client()
    c.put("a(b)", b"x")
    connection = c.connect()
    headers = c.sign("GET", "/b/a(b)", [], {}, hashlib.sha256(b"").hexdigest())
    connection.request("GET", "/b/a(b)", headers=headers)
    answer = connection.getresponse()
    equal((answer.status, answer.read()), (200, b"x"))


@test("a wrong secret is SignatureDoesNotMatch")
def _(sim):
    refused(sim.client(secret="other").get("k"), 403, "SignatureDoesNotMatch")


@test("an unknown key is InvalidAccessKeyId")
def _(sim):
    refused(sim.client(access="nobody").get("k"), 403, "InvalidAccessKeyId")


@test("a request without a signature is AccessDenied")
def _(sim):
    refused(sim.client().get("k", tamper=lambda h: h.pop("authorization")), 403, "AccessDenied")


@test("a changed method, query, header or path does not match its signature")
def _(sim):
    c = sim.client()
    def other_header(h): h["x-amz-meta-a"] = "2"
    refused(c.put("k", b"", headers={"x-amz-meta-a": "1"}, tamper=other_header), 403, "SignatureDoesNotMatch")
    def other_host(h): h["host"] = "elsewhere"
    refused(c.get("k", tamper=other_host), 403, "SignatureDoesNotMatch")


@test("a clock more than 15 minutes off is RequestTimeTooSkewed, 14 are served")
def _(sim):
    for skew in (-16 * 60, 16 * 60):
        c = sim.client()
        c.clock = skew
        refused(c.get("k"), 403, "RequestTimeTooSkewed")
    c = sim.client()
    c.clock = 14 * 60
    refused(c.get("k"), 404, "NoSuchKey")


@test("the server's own clock can be set off, and shows in Date")
def _(sim):
    sim.control.config(clock_skew_s=3600)
    c = sim.client()
    answer = c.get("k")
    refused(answer, 403, "RequestTimeTooSkewed")
    c.clock = 3600
    refused(c.get("k"), 404, "NoSuchKey")


@test("an x-amz header that is not signed is AccessDenied")
def _(sim):
    refused(sim.client().put("k", b"", headers={"x-amz-meta-a": "1"}, unsigned=("x-amz-meta-a",)), 403, "AccessDenied")


@test("a host that is not signed is AccessDenied")
def _(sim):
    refused(sim.client().get("k", unsigned=("host",)), 403, "AccessDenied")


@test("a body that is not the one that was signed is XAmzContentSHA256Mismatch, and stores nothing")
def _(sim):
    c = sim.client()
    refused(c.put("k", b"one", payload=hashlib.sha256(b"two").hexdigest()), 400, "XAmzContentSHA256Mismatch")
    equal(c.get("k").status, 404)


@test("UNSIGNED-PAYLOAD is taken, STREAMING payloads are 501, a missing hash is refused")
def _(sim):
    c = sim.client()
    equal(c.put("k", b"one", payload="UNSIGNED-PAYLOAD").status, 200)
    refused(c.put("k", b"one", payload="STREAMING-AWS4-HMAC-SHA256-PAYLOAD"), 501, "NotImplemented")
    refused(c.put("k", b"one", payload="nonsense"), 400, "InvalidArgument")


@test("the regions of R2 are taken, others are not")
def _(sim):
    for region in ("auto", "us-east-1", "weur"):
        equal(sim.client(region=region).get("k").status, 404)
    refused(sim.client(region="eu-central-1").get("k"), 400, "InvalidRegionName")


@test("another server is told its one region", "--region", "eu-central-1")
def _(sim):
    equal(sim.client(region="eu-central-1").get("k").status, 404)
    refused(sim.client(region="auto").get("k"), 400, "AuthorizationHeaderMalformed")


@test("temporary credentials need their session token, and no other")
def _(sim):
    sim.control.json("POST", "keys", {"access_key": "temp", "secret_key": "s", "session_token": "tok"})
    equal(sim.client(access="temp", secret="s", token="tok").get("k").status, 404)
    refused(sim.client(access="temp", secret="s").get("k"), 400, "InvalidToken")
    refused(sim.client(access="temp", secret="s", token="other").get("k"), 400, "InvalidToken")
    refused(sim.client(token="tok").get("k"), 400, "InvalidToken")


@test("credentials expire and can be revoked")
def _(sim):
    sim.control.json("POST", "keys", {"access_key": "old", "secret_key": "s", "expires_ms": int(time.time() * 1000) - 1})
    refused(sim.client(access="old", secret="s").get("k"), 400, "ExpiredToken")
    sim.control.json("POST", "keys", {"access_key": "new", "secret_key": "s"})
    equal(sim.client(access="new", secret="s").get("k").status, 404)
    sim.control.json("DELETE", "keys/new")
    refused(sim.client(access="new", secret="s").get("k"), 403, "InvalidAccessKeyId")


@test("a read-only key reads and lists, and writes nothing")
def _(sim):
    sim.client().put("k", b"x")
    sim.control.json("POST", "keys", {"access_key": "ro", "secret_key": "s", "read_only": True})
    c = sim.client(access="ro", secret="s")
    equal((c.get("k").status, c.head("k").status, c.list().status), (200, 200, 200))
    refused(c.put("k", b"y"), 403, "AccessDenied")
    refused(c.delete("k"), 403, "AccessDenied")
    refused(c.request("POST", "k", query={"uploads": ""}), 403, "AccessDenied")
    equal(c.get("k").body, b"x")


@test("a key scoped to a prefix sees and changes that prefix only")
def _(sim):
    admin = sim.client()
    admin.put("other/k", b"x")
    sim.control.json("POST", "keys", {"access_key": "scoped", "secret_key": "s", "buckets": ["b"], "prefixes": ["mine/"]})
    c = sim.client(access="scoped", secret="s")
    equal(c.put("mine/k", b"x").status, 200)
    equal(c.list(prefix="mine/").all("Contents/Key"), ["mine/k"])
    refused(c.put("other/k", b"y"), 403, "AccessDenied")
    refused(c.get("other/k"), 403, "AccessDenied")
    refused(c.list(), 403, "AccessDenied")
    refused(c.list(prefix="other/"), 403, "AccessDenied")
    refused(c.put("mine/copy", headers={"x-amz-copy-source": "/b/other/k"}), 403, "AccessDenied")


@test("only an administrator's key may ask for buckets")
def _(sim):
    sim.control.json("POST", "keys", {"access_key": "object", "secret_key": "s"})
    c = sim.client(access="object", secret="s")
    for request in (("HEAD", None, None), ("GET", None, ""), ("PUT", None, "new")):
        equal(c.request(request[0], request[1], bucket=request[2]).status, 403)
    admin = sim.client()
    equal(admin.request("HEAD").status, 200)
    equal(admin.request("GET", bucket="").all("Buckets/Bucket/Name"), ["b"])
    equal(admin.request("PUT", bucket="new").status, 200)
    equal(admin.request("DELETE", bucket="new").status, 204)


@test("an endpoint with a path signs the whole path", "--path-prefix", "/a/b/s3")
def _(sim):
    c = sim.client()
    equal(c.put("k", b"x").status, 200)
    equal(c.get("k").body, b"x")
    equal(c.list().all("Contents/Key"), ["k"])
    refused(sim.client(prefix="").get("k"), 400, "InvalidURI")


run()
