"""A small S3 client for the tests of r2sim: Python's standard library only, its Signature Version 4 written from Amazon's
documentation and independent of every line of C here."""
import datetime
import hashlib
import hmac
import http.client
import json
import re
import urllib.parse
import xml.etree.ElementTree


def quote(text, safe=""):
    return urllib.parse.quote(text if isinstance(text, bytes) else text.encode(), safe=safe + "-._~")


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def code(self):
        """The code of an error document, or None."""
        root = self.xml()
        if root is None:
            return None
        return root.findtext("Code") if root.tag == "Error" else None

    def xml(self):
        """The document without its namespace, or None."""
        try:
            return xml.etree.ElementTree.fromstring(re.sub(rb' xmlns="[^"]*"', b"", self.body))
        except xml.etree.ElementTree.ParseError:
            return None

    def all(self, path):
        return [e.text or "" for e in self.xml().iterfind(path)]

    def one(self, path):
        return self.xml().findtext(path)

    @property
    def etag(self):
        return self.headers.get("ETag")

    def __repr__(self):
        return f"{self.status} {self.code or self.body[:200]!r}"


class Client:
    def __init__(self, port, access="test", secret="secret", token=None, region="auto", prefix="", bucket="b", host="127.0.0.1", context=None):
        self.host, self.port, self.access, self.secret, self.token = host, port, access, secret, token
        self.region, self.prefix, self.bucket, self.context = region, prefix, bucket, context
        self.connection = None
        self.clock = 0  # seconds that this client's clock is ahead

    def connect(self):
        if self.connection is None:
            if self.context:
                self.connection = http.client.HTTPSConnection(self.host, self.port, timeout=20, context=self.context)
            else:
                self.connection = http.client.HTTPConnection(self.host, self.port, timeout=20)
        return self.connection

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def sign(self, method, path, query, headers, payload, unsigned=()):
        now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=self.clock)
        stamp = now.strftime("%Y%m%dT%H%M%SZ")
        headers = dict(headers)
        headers["host"] = f"{self.host}:{self.port}"
        headers["x-amz-date"] = stamp
        headers["x-amz-content-sha256"] = payload
        if self.token:
            headers["x-amz-security-token"] = self.token
        lower = {k.lower(): " ".join(v.split()) if v.strip() else "" for k, v in headers.items()}
        signed = sorted(k for k in lower if (k == "host" or k.startswith("x-amz-")) and k not in unsigned)
        canonical = "\n".join([method, quote(urllib.parse.unquote_to_bytes(path), "/"),
                               "&".join(sorted(f"{quote(k)}={quote(v)}" for k, v in query)),
                               "".join(f"{k}:{lower[k]}\n" for k in signed), ";".join(signed), payload])
        scope = f"{stamp[:8]}/{self.region}/s3/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = ("AWS4" + self.secret).encode()
        for part in (stamp[:8], self.region, "s3", "aws4_request", text):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        headers["authorization"] = (f"AWS4-HMAC-SHA256 Credential={self.access}/{scope},SignedHeaders={';'.join(signed)},"
                                    f"Signature={key.hex()}")
        return headers

    def request(self, method, key=None, query=(), headers=None, body=b"", bucket=None, payload=None, unsigned=(), tamper=None, length=True):
        """key None: the bucket; bucket "": the service. query: (name, value) pairs. tamper(headers) changes what was signed."""
        bucket = self.bucket if bucket is None else bucket
        path = self.prefix + "/" + bucket + ("" if key is None else "/" + quote(key, "/"))
        query = list(query.items()) if isinstance(query, dict) else list(query)
        headers = self.sign(method, path, query, headers or {}, payload or hashlib.sha256(body).hexdigest(), unsigned)
        if length and (body or method in ("PUT", "POST")):
            headers["content-length"] = str(len(body))
        if tamper:
            tamper(headers)
        target = path + ("?" + "&".join(f"{quote(k)}={quote(v)}" if v else quote(k) for k, v in query) if query else "")
        connection = self.connect()
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value.encode() if isinstance(value, str) else value)
            connection.endheaders(body or None)
            answer = connection.getresponse()
            content = answer.read()
        except Exception:
            self.close()
            raise
        if answer.will_close:
            self.close()
        return Answer(answer.status, answer.headers, content)

    def get(self, key, **kw):
        return self.request("GET", key, **kw)

    def head(self, key, **kw):
        return self.request("HEAD", key, **kw)

    def put(self, key, body=b"", **kw):
        return self.request("PUT", key, body=body, **kw)

    def delete(self, key, **kw):
        return self.request("DELETE", key, **kw)

    def list(self, **query):
        return self.request("GET", query=[("list-type", "2")] + [(k.replace("_", "-"), str(v)) for k, v in query.items()])


class Control:
    """The simulator's unsigned endpoint."""

    def __init__(self, port, host="127.0.0.1"):
        self.host, self.port = host, port

    def call(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=20)
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        connection.request(method, "/_r2sim/" + path, body=body, headers=headers or {})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return Answer(answer.status, answer.headers, content)

    def json(self, method, path, body=None):
        answer = self.call(method, path, body)
        value = json.loads(answer.body)
        if answer.status != 200:
            raise RuntimeError(f"{method} {path}: {value}")
        return value

    def config(self, **settings):
        return self.json("POST", "config", settings)

    def counts(self):
        return self.json("GET", "counts")["kinds"]

    def fault(self, **rule):
        return self.json("POST", "faults", rule)[0]

    def journal(self, since=0):
        return self.json("GET", f"journal?since={since}")
