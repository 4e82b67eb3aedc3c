"""A client of HTTP/2 with no state machine: what a test says goes out as it stands, what comes is kept frame by frame."""

import contextlib
import dataclasses
import ssl
import struct

import hpack
from hpack.hpack import encode_integer
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH

from .evidence import EVIDENCE
from .h2 import PREFACE
from .tunnel import Tls, open_tunnel
from .wire import Closed, note

# RFC 9113 section 6: types, flags, settings; section 7: codes
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION, UNKNOWN = (*range(10), 0x16)
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITIZED = 0x1, 0x1, 0x4, 0x8, 0x20
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = range(1, 7)
CODES = ("NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR",
         "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM")
NAMES = ("DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY", "WINDOW_UPDATE", "CONTINUATION")
LARGEST = 2**31 - 1


# --- frames as bytes ---


def frame(kind, stream=0, payload=b"", flags=0):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def data(stream, payload=b"test", end=True):
    return frame(DATA, stream, payload, END_STREAM * end)


def padded(stream, payload, padding, end=True):
    return frame(DATA, stream, bytes([padding]) + payload + bytes(padding), PADDED | END_STREAM * end)


def dependency(on=0, weight=255, exclusive=False):
    return struct.pack(">IB", on | exclusive << 31, weight)


def priority(stream, on=0, weight=255, exclusive=False):
    return frame(PRIORITY, stream, dependency(on, weight, exclusive))


def reset(stream, code="CANCEL"):
    return frame(RST_STREAM, stream, struct.pack(">I", CODES.index(code) if code in CODES else code))


def settings(*pairs):
    return frame(SETTINGS, 0, b"".join(struct.pack(">HI", *pair) for pair in pairs))


def ping(payload=bytes(8), flags=0):
    return frame(PING, 0, payload, flags)


def goaway(code=0):
    return frame(GOAWAY, 0, struct.pack(">II", 0, code))


def window(stream, increment):
    return frame(WINDOW_UPDATE, stream, struct.pack(">I", increment))


def continuation(stream, block, end=True):
    return frame(CONTINUATION, stream, block, END_HEADERS * end)


def string(text, coded=False):
    """RFC 7541 section 5.2; `coded`: in Huffman's code."""
    text = text if isinstance(text, bytes) else text.encode()
    if not coded:
        return bytes(encode_integer(len(text), 7)) + text
    text = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode(text)
    return bytes([0x80 | len(text)]) + text


def integer(value, bits, pattern):
    """RFC 7541 section 5.1, behind the pattern of a representation."""
    first, *more = encode_integer(value, bits)
    return bytes([first | pattern, *more])


INDEXED, ADDED, KEPT_OUT, NEVER, RESIZED = 0x80, 0x40, 0x00, 0x10, 0x20  # RFC 7541 section 6
BITS = {INDEXED: 7, ADDED: 6, KEPT_OUT: 4, NEVER: 4, RESIZED: 5}


def literal(name, value, pattern=KEPT_OUT, index=0, coded=False):
    """A literal field; kept out of the table, so that a block means the same wherever it stands. `index` stands for the name."""
    return integer(index, BITS[pattern], pattern) + (b"" if index else string(name, coded)) + string(value, coded)


def indexed(index):
    return integer(index, 7, INDEXED)


def table_size(size):
    return integer(size, 5, RESIZED)


def block(fields):
    return b"".join(literal(name, value) for name, value in fields)


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
        """What it may still take; who has closed hears no more."""
        with contextlib.suppress(ConnectionError, Closed, ssl.SSLError):
            self.stream.send(b"".join(pieces))

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
        """Does it still answer, on a new stream?"""
        self.newest += 2
        self.send(self.head(stream=self.newest))
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
