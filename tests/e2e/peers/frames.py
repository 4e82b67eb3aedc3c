"""A client of HTTP/2 with no state machine: what a test says goes out as it stands, what comes is kept frame by frame."""

import contextlib
import dataclasses
import ssl

import hpack

from wire.h2_bytes import (
    ACK, CODES, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, NAMES, PREFACE, RST_STREAM, SETTINGS, block, frame, settings,
)

from .evidence import EVIDENCE
from .tunnel import Tls, open_tunnel
from .wire import Closed, note


@dataclasses.dataclass(frozen=True)
class Heard:
    kind: int
    flags: int
    stream: int
    payload: bytes
    fields: tuple = ()

    @property
    def code(self):
        return CODES[int.from_bytes(self.payload[:4] if self.kind == RST_STREAM else self.payload[4:8], "big")]

    def __repr__(self):
        name = NAMES[self.kind] if self.kind < len(NAMES) else f"0x{self.kind:x}"
        shown = self.code if self.kind in (RST_STREAM, GOAWAY) else self.fields or f"{len(self.payload)} bytes"
        return f"<{name} on {self.stream}, flags 0x{self.flags:x}, {shown}>"


class Inside:
    """What is in TLS, as a stream."""

    def __init__(self, tls):
        self.tls, self.buffer, self.sock = tls, b"", tls.stream.sock

    def send(self, data):
        self.tls.step(self.tls.session.write, data)

    def receive(self):
        try:
            data = self.tls.step(self.tls.session.read, 65536)
        except (Closed, ssl.SSLError):
            data = b""
        EVIDENCE.add("h2 client in TLS", data)
        self.buffer += data
        return bool(data)


class Frames:
    """One connection. `begin`: what begins a head that is answered with 200."""

    def __init__(self, stream, begin, greet=True):
        self.stream, self.begin, self.heard = stream, begin, []
        self.in_tls = isinstance(stream, Inside)
        self.decoder = hpack.Decoder()
        self.newest = 1001  # above what rows use
        if greet:
            self.send(PREFACE + settings())
            self.until(lambda one: one.kind == SETTINGS and not one.flags, "its SETTINGS")
            self.send(frame(SETTINGS, flags=ACK))
            self.until(lambda one: one.kind == SETTINGS and one.flags, "the acknowledgement of ours")

    # --- saying ---

    def send(self, *pieces):
        """What it may still take; False where it has closed."""
        with contextlib.suppress(ConnectionError, Closed, ssl.SSLError):
            self.stream.send(b"".join(pieces))
            return True
        return False

    def fields(self, *more, method="GET", without=None, **other):
        """The head's fields; `without` one, or with another value of one (`path="/"`)."""
        values = {**self.begin, ":method": method, **{f":{name}": value for name, value in other.items()}}
        return [pair for pair in values.items() if pair[0] != without] + list(more)

    def head(self, *more, stream=1, end=True, whole=True, flags=0, before=b"", behind=b"", **other):
        """HEADERS; `before` and `behind` are bytes around the fields."""
        flags |= END_STREAM * end | END_HEADERS * whole
        return frame(HEADERS, stream, before + block(self.fields(*more, **other)) + behind, flags)

    def post(self, *more, **other):
        return self.head(*more, method="POST", end=False, **other)

    # --- hearing ---

    def hear(self):
        """The next frame, or None at the end."""
        while len(self.stream.buffer) < 9 or len(self.stream.buffer) < 9 + int.from_bytes(self.stream.buffer[:3], "big"):
            if not self.stream.receive():
                return None
        size = 9 + int.from_bytes(self.stream.buffer[:3], "big")
        raw, self.stream.buffer = self.stream.buffer[:size], self.stream.buffer[size:]
        kind, flags, stream, payload = raw[3], raw[4], int.from_bytes(raw[5:9], "big"), raw[9:]
        fields = tuple(self.decoder.decode(payload)) if kind == HEADERS else ()
        self.heard.append(Heard(kind, flags, stream, payload, fields))
        note("h2 frames", "heard", repr(self.heard[-1]))
        return self.heard[-1]

    def until(self, condition, what):
        while (one := self.hear()) is not None:
            if condition(one):
                return one
        raise AssertionError(f"closed before {what} came; heard {self.heard[-8:]}")

    def unless_ended(self, condition, what, stream=None):
        """As until(), where neither GOAWAY nor a reset of the stream may come before."""

        def found(one):
            if condition(one):
                return True
            assert one.kind != GOAWAY and not (one.kind == RST_STREAM and one.stream == stream), f"{one} came before {what}"
            return False

        return self.until(found, what)

    def rest(self):
        """What comes until the end."""
        first = len(self.heard)
        while self.hear():
            pass
        return self.heard[first:]

    def status(self, stream):
        return dict(self.unless_ended(lambda one: one.kind == HEADERS and one.stream == stream, f"an answer on {stream}", stream).fields)[":status"]

    def whole(self, stream=1):
        """Waits for the end of the stream."""

        def is_last(one):
            return one.kind in (DATA, HEADERS) and one.stream == stream and one.flags & END_STREAM

        if not any(map(is_last, self.heard)):
            self.unless_ended(is_last, f"the end of {stream}", stream)

    def answers(self):
        """Does it still answer, on a new stream, whatever windows there are?"""
        self.newest += 2
        self.send(self.head(stream=self.newest, method="HEAD"))
        assert self.status(self.newest) == "200"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stream.sock.close()


# --- the two ways in ---


def plain(proxy, path="/api/x", greet=True):
    """By prior knowledge, at the reverse endpoint."""
    begin = {":method": "GET", ":scheme": "http", ":path": path, ":authority": f"127.0.0.1:{proxy.port}",
             "authorization": f"Bearer {proxy.tokens['api']}"}
    return Frames(proxy.client("h2 frames"), begin, greet)


def intercepted(proxy, path="/x", greet=True):
    """In TLS that the proxy ends, at the credential's host."""
    client = open_tunnel(proxy, proxy.intercepts, proxy.tokens["proxy"], who="h2 frames")
    tls = Tls(client, "localhost", proxy.folder / "state/ca.pem", ["h2"])
    client.send(tls.first)
    tls.shake_hands()
    assert tls.session.selected_alpn_protocol() == "h2"
    return Frames(Inside(tls), {":method": "GET", ":scheme": "https", ":path": path, ":authority": proxy.intercepts}, greet)


WAYS = {"h2c": plain, "TLS": intercepted}


def told(proxy, reason):
    """How many audit lines have it; floods make many, too many to be read as JSON each time."""
    return (proxy.folder / "audit.jsonl").read_text().count(f'"reason":"{reason}"')
