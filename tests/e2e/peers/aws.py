"""An AWS service that is strict about signatures: what botocore would have signed must be what came. And an agent's own signature,
which says nothing, since it has no key."""

import hashlib
import hmac
import re

import botocore.auth
import botocore.awsrequest
import botocore.credentials

EMPTY = hashlib.sha256(b"").hexdigest()
ID = "AKIDEXAMPLE"
NOW = "20260102T030405Z"  # an agent's clock says what it likes


def sha(data):
    return hashlib.sha256(data).hexdigest()


def sign(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def derived_key(secret, scope):
    key = b"AWS4" + secret.encode()
    for part in scope.split("/"):
        key = sign(key, part)
    return key


def agent_fields(token, *more, region="us-west-2", service="s3"):
    """What an SDK that has the token as its access key id, and any secret, sends."""
    credential = f"{token}/{NOW[:8]}/{region}/{service}/aws4_request"
    return [f"X-Amz-Date: {NOW}", *more,
            f"Authorization: AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host;x-amz-date, Signature={'0' * 64}"]


def chunks(*pieces, signature="0" * 64, trailers=()):
    """A body in chunks as an agent signs them: with whatever signature."""
    out = b"".join(f"{len(piece):x};chunk-signature={signature}\r\n".encode() + piece + b"\r\n" for piece in (*pieces, b"") if piece)
    out += f"0;chunk-signature={signature}\r\n".encode()
    if trailers:
        out += b"".join(f"{line}\r\n".encode() for line in (*trailers, f"x-amz-trailer-signature:{signature}"))
    return out + b"\r\n"


class Refused(Exception):
    pass


class Signed:
    """One request with a signature, taken apart."""

    def __init__(self, message, secret, service, session=None):
        self.message, self.secret, self.service = message, secret, service
        authorization = message.get("Authorization", "")
        parts = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8}/[^,]+), SignedHeaders=([^,]+), Signature=([0-9a-f]{64})",
                             authorization)
        if not parts:
            raise Refused(f"no signature: {message.fields}")
        self.id, self.scope, self.names, self.signature = parts[1], parts[2], parts[3].split(";"), parts[4]
        if self.id != ID or message.get("X-Amz-Security-Token") != session:
            raise Refused(f"another key or session: {message.fields}")
        unsigned = {name.lower() for name, _ in message.fields if name.lower().startswith("x-amz-")} - set(self.names)
        if unsigned or "host" not in self.names:
            raise Refused(f"not signed: {unsigned}")

    def expected(self):
        """The signature by botocore."""
        message = self.message
        request = botocore.awsrequest.AWSRequest(method=message.method, url=f"http://{message.get('Host')}{message.target}",
                                                 data=message.body)
        for name, value in message.fields:
            if name.lower() in self.names:
                request.headers.add_header(name, value)
        request.context["timestamp"] = message.get("X-Amz-Date")
        date, region, service, _ = self.scope.split("/")
        kind = botocore.auth.S3SigV4Auth if self.service == "s3" else botocore.auth.SigV4Auth
        auth = kind(botocore.credentials.Credentials(ID, self.secret), service, region)
        return auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)

    def check(self):
        if self.scope.split("/")[2] != self.service:
            raise Refused(f"signed for {self.scope}")
        if self.expected() != self.signature:
            raise Refused(f"SignatureDoesNotMatch: {self.message.line} {self.message.fields}")
        said = self.message.get("X-Amz-Content-Sha256", "")
        if re.fullmatch("[0-9a-f]{64}", said) and sha(self.message.body) != said:
            raise Refused("XAmzContentSHA256Mismatch")
        self.data = self.chunks() if said.startswith("STREAMING-AWS4-HMAC-SHA256-PAYLOAD") else self.message.body

    def next_signature(self, kind, *hashes):
        text = "\n".join((f"AWS4-HMAC-SHA256-{kind}", self.message.get("X-Amz-Date"), self.scope, self.signature, *hashes))
        self.signature = sign(derived_key(self.secret, self.scope), text).hex()
        return self.signature

    def chunks(self):
        """The data of a body in signed chunks."""
        rest, data = self.message.body, b""
        while True:
            line, rest = rest.split(b"\r\n", 1)
            size, signature = re.fullmatch(rb"([0-9a-f]+);chunk-signature=([0-9a-f]{64})", line).groups()
            piece, rest = rest[: int(size, 16)], rest[int(size, 16) :]
            if self.next_signature("PAYLOAD", EMPTY, sha(piece)).encode() != signature:
                raise Refused("a chunk's signature does not match")
            if not piece:
                break
            if not rest.startswith(b"\r\n"):
                raise Refused("a chunk does not end")
            data, rest = data + piece, rest[2:]
        if self.message.get("X-Amz-Content-Sha256").endswith("-TRAILER"):
            lines, signature = rest.split(b"x-amz-trailer-signature:")
            text = b"".join(line + b"\n" for line in lines.split())  # written with CRLF, or LF and an empty line
            if self.next_signature("TRAILER", sha(text)).encode() + b"\r\n\r\n" != signature:
                raise Refused("the trailers' signature does not match")
        elif rest != b"\r\n":
            raise Refused(f"something behind the chunks: {rest}")
        return data


def service(secret, name="s3", session=None):
    """A script for an Origin: 200 with the data for what is signed, 403 with the reason for what is not. Requests are in
    origin.requests, refusals in origin.refused."""

    def script(connection):
        origin = connection.origin
        origin.refused = getattr(origin, "refused", [])
        while True:
            message = connection.request()
            if not message.clean:
                origin.refused.append("cut")
                return
            signed = None
            try:
                signed = Signed(message, secret, name, session)
                signed.check()
            except Refused as why:
                origin.refused.append(str(why))
                connection.answer("403 Forbidden", str(why))
                continue
            message.data = signed.data
            origin.requests.append(message)
            connection.answer("200 OK", signed.data if message.method != "HEAD" else b"")

    return script


class OfH2:
    """A stream of peers.h2_origin, to be read as a message of HTTP/1."""

    def __init__(self, came):
        pseudo = dict(field for field in came.fields if field[0].startswith(":"))
        self.method, self.target, self.body = pseudo[":method"], pseudo[":path"], came.body
        self.line, self.clean = f"{self.method} {self.target}", came.whole
        self.fields = [("Host", pseudo[":authority"])] + [field for field in came.fields if not field[0].startswith(":")]

    def all(self, name):
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def get(self, name, default=None):
        found = self.all(name)
        assert len(found) < 2, f"{name} stands {len(found)} times: {found}"
        return found[0] if found else default


def service_h2(secret, name="s3", session=None):
    """The same as service() for an Origin that speaks HTTP/2."""

    def answer(stream, came):
        signed = None
        try:
            signed = Signed(OfH2(came), secret, name, session)
            signed.check()
        except Refused as why:
            return stream.answer(came, str(why).encode(), status=403)
        return stream.answer(came, signed.data)

    return lambda stream: stream.serve(answer)
