"""Tunnels by CONNECT: heads, what is sent inside, and servers that keep what reaches them."""

import contextlib
import os
import ssl
import struct

from .config import basic
from .wire import Closed


def connect(authority, token=None, *fields, host=None, version="1.1"):
    """A CONNECT head, as bytes; `authority` may be bytes as they are to stand there."""
    authority = authority.encode() if isinstance(authority, str) else authority
    host = authority if host is None else host.encode()
    lines = [b"CONNECT " + authority + b" HTTP/" + version.encode(), b"Host: " + host, *(field.encode() for field in fields)]
    if token:
        lines.append(b"Proxy-Authorization: " + basic("agent", token).encode())
    return b"\r\n".join(lines) + b"\r\n\r\n"


def open_tunnel(proxy, authority, token, behind=b"", *fields, who="client", client=None):
    """A client whose tunnel stands; `behind` follows the head in the same write."""
    client = client or proxy.client(who)
    client.send(connect(authority, token, *fields) + behind)
    response = client.head()
    assert response.status == 200, client.body(response, until_close=True)
    for name in ("Content-Length", "Transfer-Encoding"):
        assert not response.all(name), f"RFC 9110 9.3.6: no {name} in a 2xx to CONNECT: {response}"
    return client


def refused_inside(client):
    """Did the other end close, with nothing before but at most one fatal alert (RFC 8446 6)?"""
    came = client.rest()
    return not came or (came[:3] == b"\x15\x03\x03" and len(came) == 7 and came[5] == 2)


def swallow(connection):
    """A server's script: reads all, says nothing; what came is in `connection.buffer`."""
    with contextlib.suppress(TimeoutError):
        while connection.receive():
            pass


def echo(connection):
    """A server's script: sends back what comes, and ends when the client does."""
    while connection.buffer or connection.receive():
        data, connection.buffer = connection.buffer, b""
        connection.send(data)


# ClientHello (RFC 8446 4.1.2), by hand: what no TLS library would send


def vector(size, data):
    return len(data).to_bytes(size, "big") + data


def extension(kind, data):
    return struct.pack(">H", kind) + vector(2, data)


def server_name(*names):
    """RFC 6066 3; a list of more than one is forbidden, and can be sent."""
    return extension(0, vector(2, b"".join(b"\0" + vector(2, name) for name in names)))


def hello(*extensions, version=b"\x03\x03"):
    """The handshake message, without a record around it."""
    supported = extension(43, vector(1, b"\x03\x04\x03\x03"))
    groups = extension(10, vector(2, b"\x00\x1d\x00\x17"))
    signatures = extension(13, vector(2, b"\x04\x03\x08\x04"))
    share = extension(51, vector(2, b"\x00\x1d" + vector(2, os.urandom(32))))
    body = version + os.urandom(32) + vector(1, b"") + vector(2, b"\x13\x01\xc0\x2b") + vector(1, b"\0")
    body += vector(2, b"".join([*extensions, supported, groups, signatures, share]))
    return b"\x01" + vector(3, body)


def records(message, size=16384, version=b"\x03\x01"):
    """The message in TLS records of at most `size` bytes."""
    pieces = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(b"\x16" + version + vector(2, piece) for piece in pieces)


class Tls:
    """A real TLS client whose bytes we hold in our hands, on a stream."""

    def __init__(self, stream, name, ca=None, alpn=(), strict=False):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if strict:
            context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(ca)
        if alpn:
            context.set_alpn_protocols(list(alpn))
        self.stream = stream
        self.came, self.goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        if name is None:
            context.check_hostname = False
        self.session = context.wrap_bio(self.came, self.goes, server_hostname=name)
        self.first = self.begin()

    def begin(self):
        """The first flight, which nobody has sent yet."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.session.do_handshake()
        return self.goes.read()

    def flush(self):
        if self.goes.pending:
            self.stream.send(self.goes.read())

    def step(self, call, *arguments):
        while True:
            try:
                value = call(*arguments)
                self.flush()
                return value
            except ssl.SSLWantReadError:
                self.flush()
                if not self.stream.buffer and not self.stream.receive():
                    raise Closed(f"{self.stream.who}: closed within TLS") from None
                self.came.write(self.stream.buffer)
                self.stream.buffer = b""

    def shake_hands(self):
        self.step(self.session.do_handshake)
        return self

    def ask(self, data):
        """Sends a request; returns what comes until its body of Content-Length is whole."""
        self.step(self.session.write, data.encode())
        return self.answer()

    def answer(self):
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.step(self.session.read)
        head, body = answer.split(b"\r\n\r\n", 1)
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        while len(body) < length:
            body += self.step(self.session.read)
        return head + b"\r\n\r\n" + body
