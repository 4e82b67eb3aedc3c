"""What an origin may answer wrongly in HTTP/2 (RFC 9113 and, of field blocks, 7541): each row is a list of steps, given session and
stream (peers.h2_origin), past the library that would not say such things."""

import dataclasses
import socket
import struct

from peers.h2_origin import INTERNAL_ERROR, NO_ERROR, PROTOCOL_ERROR
from peers.wire import Closed
from wire.h2_bytes import (
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame,
)

MALFORMED, TOO_LARGE, CLOSED, ANY = "upstream_malformed", "upstream_head_too_large", "upstream_closed", None


@dataclasses.dataclass(frozen=True)
class Row:
    id: str
    rfc: str
    steps: tuple
    reason: str = None    # why it failed, as the audit has it, where there is one
    ends: bool = False    # is it the connection's end as well?
    method: str = "GET"


def bad(id, rfc, *steps, reason=MALFORMED, **more):
    """Nothing of it is an answer: 502."""
    return Row(id, rfc, steps, reason, **more)


def broken(id, rfc, *steps, reason=ANY, **more):
    """It began well: the client's stream is reset, and does not end."""
    return Row(id, rfc, steps, reason, **more)


# Steps


def send(kind, flags=0, payload=b"", stream=None, times=1):
    def step(session, came):
        session.raw(frame(kind, came.number if stream is None else stream, payload or b"", flags) * times)

    return step


def head(*fields, end=True, status="200", flags=END_HEADERS):
    """A field block in HEADERS; `status` None leaves :status out."""

    def step(session, came):
        block = session.block([*([] if status is None else [(":status", status)]), *fields])
        cut = [block[at : at + 16_000] for at in range(0, len(block), 16_000)] or [b""]
        first = (END_STREAM if end else 0) | (flags if len(cut) == 1 else 0)
        frames = [frame(HEADERS, came.number, cut[0], first)]
        frames += [frame(CONTINUATION, came.number, piece, flags if at == len(cut) - 1 else 0) for at, piece in enumerate(cut) if at]
        session.raw(b"".join(frames))

    return step


def block(data, end=True):
    """HEADERS with a block that no encoder made."""
    return send(HEADERS, END_HEADERS | (END_STREAM if end else 0), data)


def bomb(session, came):
    """A field of 4000 bytes, and the shortest name for it 12 000 times (RFC 7541 section 6.1)."""
    named = session.block([(":status", "200"), ("x-b", "b" * 4000)]) + b"\xbe" * 12_000
    send(HEADERS, END_HEADERS | END_STREAM, named)(session, came)


def data(body, end=False):
    return send(DATA, END_STREAM if end else 0, body)


def reset(code):
    return send(RST_STREAM, 0, struct.pack(">I", code))


def settings(identifier, value):
    return send(SETTINGS, 0, struct.pack(">HI", identifier, value), stream=0)


def raw(text):
    return lambda session, came: session.raw(text)


def close(session, came):
    """The end, without a close_notify."""
    session.connection.sock.shutdown(socket.SHUT_WR)
    raise Closed("as the row says")


def trailers(*fields, end=True):
    return head(*fields, end=end, status=None)


OK = head(end=False)
PART = (OK, data(b"part"))
END = data(b"ok", end=True)

STATUS = [
    bad("no :status", "9113 §8.3.2", head(("content-type", "text/x"), status=None)),
    bad("no field at all", "9113 §8.3.2", block(b"")),
    bad("two :status", "9113 §8.3", head((":status", "200"))),
    bad("two :status that differ", "9113 §8.3", head((":status", "404"))),
    *[bad(f":status {text!r}", "9113 §8.3.2", head(status=text))
      for text in ("2x0", "20", "2", "2000", "", "+20", " 200", "200 ", "099", "600", "999", "200 OK", "2OO")],
    bad(":status behind a field", "9113 §8.3", head(("x-a", "b"), (":status", "200"), status=None)),
    bad("a request's pseudo-field", "9113 §8.3", head((":path", "/"))),
    bad("a pseudo-field that nobody knows", "9113 §8.3", head((":version", "2"))),
    bad(":status in capitals", "9113 §8.2", head((":Status", "200"), status=None)),
]

FIELDS = [
    *[bad(f"name {name!r}", "9113 §8.2.1", head((name, "b"))) for name in ("X-A", "x-A", "x a", "x\ta", " x-a", "x-a ", "x\0a", "x\na", "x:a", "", "x\xe4", "x\x7f")],
    *[bad(f"value {value!r}", "9113 §8.2.1", head(("x-a", value))) for value in ("b\0c", "b\rc", "b\nc", "b\r\nset-cookie: c", "\0", " b", "b ", "\tb", "b\t")],
    *[bad(f"value {value!r}", "9110 §5.5", head(("x-a", value))) for value in ("b\x01c", "b\x0bc", "b\x7fc")],
    *[bad(f"{name}: {value}", "9113 §8.2.2", head((name, value))) for name, value in (
        ("connection", "close"), ("connection", "x-a"), ("keep-alive", "5"), ("proxy-connection", "close"), ("transfer-encoding", "chunked"),
        ("upgrade", "h3"))],
    bad("a head over the limit", "9110 §5.4", head(*[(f"x-{at}", "b" * 4000) for at in range(15)]), reason=TOO_LARGE),
    bad("more fields than the limit", "9110 §5.4", head(*[("x-a", "b")] * 300), reason=TOO_LARGE),
]

LENGTHS = [
    *[bad(f"length {text!r}", "9110 §8.6", head(("content-length", text), end=False), data(b"ok", end=True))
      for text in ("2x", "-2", "+2", "0x2", "2, 2", "", "18446744073709551618")],
    bad("two equal lengths", "9110 §8.6", head(("content-length", "2"), ("content-length", "2"), end=False), data(b"ok", end=True)),
    bad("two lengths that differ", "9110 §8.6", head(("content-length", "2"), ("content-length", "1"), end=False), data(b"ok", end=True)),
    bad("a length and no body", "9113 §8.1.1", head(("content-length", "2"))),
]

INTERIM = [
    bad("101", "9113 §8.6", head(status="101", end=False), head()),
    bad("101 that is the end", "9113 §8.6", head(status="101")),
    bad("1xx that is the end", "9113 §8.1", head(status="103")),
    bad("1xx with a name in capitals", "9113 §8.2.1", head(("X-A", "b"), status="103", end=False), head()),
    bad("1xx and a body", "9113 §8.1", head(status="103", end=False), data(b"ok", end=True)),
    bad("malformed behind a 1xx", "9113 §8.3.2", head(status="103", end=False), head(status=None)),
    bad("a flood of 1xx", "9110 §15.2", *[head(status="103", end=False)] * 200, head()),
]

FRAMES = [
    bad("body before a head", "9113 §8.1", data(b"ok", end=True)),
    bad("the end before a head", "9113 §8.1", data(b"", end=True)),
    bad("a pushed response", "9113 §8.4", send(PUSH_PROMISE, END_HEADERS, b"\0\0\0\2\x82\x87\x84\x41\x01a"), ends=True),
    bad("a head on stream 0", "9113 §6.2", send(HEADERS, END_HEADERS | END_STREAM, b"\x88", stream=0), ends=True),
    bad("a head on a stream of nobody", "9113 §5.1", send(HEADERS, END_HEADERS | END_STREAM, b"\x88", stream=7001), ends=True),
    bad("a head on a stream of its own", "9113 §5.1.1", send(HEADERS, END_HEADERS | END_STREAM, b"\x88", stream=2), ends=True),
    bad("a body on a stream of nobody", "9113 §5.1", send(DATA, 0, b"ok", stream=7001), ends=True),
    bad("an index of nothing", "7541 §2.3.3", block(b"\x88\xff\xff\x7f"), ends=True),
    bad("a length past the block", "7541 §5.2", block(b"\x88\x40\x7f\xff\xff"), ends=True),
    bad("a table of 4 GiB", "7541 §4.2", block(b"\x3f\xff\xff\xff\xff\x0f\x88"), ends=True),
    bad("a small block of 48 MB", "7541 §7.3", bomb, reason=ANY),
    bad("frames between those of a head", "9113 §6.10", send(HEADERS, END_STREAM, b"\x88"), send(PING, 0, b"12345678", stream=0), ends=True),
    bad("the rest of a head that never began", "9113 §6.10", send(CONTINUATION, END_HEADERS, b"\x88"), ends=True),
    bad("a head that never ends", "9113 §10.5.1", send(HEADERS, END_STREAM, b"\x88"), send(CONTINUATION, 0, b"\0\x03x-a\x01b" * 1000, times=100), reason=ANY, ends=True),
    bad("a head in frames of nothing", "9113 §10.5.1", send(HEADERS, END_STREAM, b"\x88"), send(CONTINUATION, 0, b"", times=20_000), reason=ANY, ends=True),
    bad("a frame over the size", "9113 §4.2", send(DATA, 0, b"x" * 17_000), reason=ANY, ends=True),
    bad("padding longer than the frame", "9113 §6.1", send(HEADERS, 8 | END_HEADERS | END_STREAM, b"\xff\x88"), ends=True),
    bad("a window beyond 2^31", "9113 §6.9.1", send(WINDOW_UPDATE, 0, b"\x7f\xff\xff\xff", stream=0, times=2), ends=True),
    bad("a stream's window beyond 2^31", "9113 §6.9.1", send(WINDOW_UPDATE, 0, b"\x7f\xff\xff\xff", times=2), reason=ANY),
    bad("a window update of nothing", "9113 §6.9", send(WINDOW_UPDATE, 0, b"\0\0\0\0", stream=0), ends=True),
    bad("a PING of seven bytes", "9113 §6.7", send(PING, 0, b"1234567", stream=0), reason=ANY, ends=True),
    bad("SETTINGS of five bytes", "9113 §6.5", send(SETTINGS, 0, b"12345", stream=0), reason=ANY, ends=True),
    bad("SETTINGS that allow a push", "9113 §6.5.2", settings(2, 1), ends=True),
    bad("SETTINGS of a window beyond 2^31", "9113 §6.5.2", settings(4, 1 << 31), ends=True),
    bad("SETTINGS of small frames", "9113 §6.5.2", settings(5, 100), ends=True),
    bad("a flood of SETTINGS", "9113 §10.5", send(SETTINGS, 0, b"\0\4\0\0\xff\xff", stream=0, times=20_000), reason=ANY, ends=True),
    bad("a flood of PING", "9113 §10.5", send(PING, 0, b"12345678", stream=0, times=100_000), reason=ANY, ends=True),
    bad("HTTP/1.1 where frames go", "9113 §3.4", raw(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"), reason=ANY, ends=True),
    bad("a reset for an answer", "9113 §6.4", reset(INTERNAL_ERROR), reason=ANY),
    bad("a reset without an error for an answer", "9113 §6.4", reset(NO_ERROR), reason=ANY),
    bad("the end for an answer", "9113 §9.1", close, reason=ANY, ends=True, method="POST"),
    bad("GOAWAY for an answer", "9113 §6.8", send(GOAWAY, 0, struct.pack(">II", 2**31 - 1, PROTOCOL_ERROR), stream=0), close, reason=ANY, ends=True, method="POST"),
]

BODIES = [
    broken("a reset within the body", "9113 §8.1", *PART, reset(INTERNAL_ERROR)),
    broken("a reset without an error within the body", "9113 §8.1", *PART, reset(NO_ERROR)),
    broken("the end within the body", "9113 §9.1", *PART, close, ends=True),
    broken("GOAWAY within the body", "9113 §6.8", *PART, send(GOAWAY, 0, struct.pack(">II", 2**31 - 1, PROTOCOL_ERROR), stream=0), close, ends=True),
    broken("body shorter than its length", "9113 §8.1.1", head(("content-length", "5"), end=False), data(b"part", end=True)),
    broken("body longer than its length", "9113 §8.1.1", head(("content-length", "3"), end=False), data(b"part", end=True)),
    broken("body and trailers shorter than the length", "9113 §8.1.1", head(("content-length", "5"), end=False), data(b"part"), trailers(("x-a", "b"))),
    broken("trailers that are no end", "9113 §8.1", *PART, trailers(("x-a", "b"), end=False), data(b"", end=True)),
    broken("a second response", "9113 §8.1", *PART, head()),
    broken("1xx within the body", "9113 §8.1", *PART, head(status="103", end=False), END),
    broken("a pseudo-field in trailers", "9113 §8.1", *PART, trailers((":path", "/"))),
    broken("capitals in trailers", "9113 §8.2.1", *PART, trailers(("X-A", "b"))),
    broken("NUL in trailers", "9113 §8.2.1", *PART, trailers(("x-a", "b\0c"))),
    broken("a line break in trailers", "9113 §8.2.1", *PART, trailers(("x-a", "b\r\nc"))),
    broken("a field of the connection in trailers", "9113 §8.2.2", *PART, trailers(("connection", "close"))),
    broken("a coding in trailers", "9113 §8.2.2", *PART, trailers(("transfer-encoding", "chunked"))),
    broken("a length in trailers", "9110 §6.5.1", *PART, trailers(("content-length", "4"))),
    broken("trailers over the limit", "9110 §5.4", *PART, trailers(*[(f"x-{at}", "b" * 4000) for at in range(15)])),
    broken("an index of nothing in trailers", "7541 §2.3.3", *PART, block(b"\xff\xff\x7f"), ends=True),
    broken("a pushed response within the body", "9113 §8.4", *PART, send(PUSH_PROMISE, END_HEADERS, b"\0\0\0\2\x82\x87\x84\x41\x01a"), ends=True),
    broken("more than the window", "9113 §6.9.1", OK, send(DATA, 0, b"x" * 16_384, times=400)),
    broken("a flood of empty DATA", "9113 §10.5", *PART, send(DATA, 0, b"", times=100_000), ends=True),
    broken("a flood of padding", "9113 §10.5", *PART, send(DATA, 8, b"\x01\0", times=50_000), ends=True),
    broken("a flood of PING within the body", "9113 §10.5", *PART, send(PING, 0, b"12345678", stream=0, times=100_000), ends=True),
    broken("a frame on stream 0 within the body", "9113 §6.1", *PART, send(DATA, 0, b"ok", stream=0), ends=True),
]

# No client gets a body that cannot be: whether the answer stands without it, or breaks, is not said.
EVIL = [
    Row("HEAD with a body", "9110 §9.3.2", (head(("content-length", "4"), end=False), data(b"evil", end=True)), method="HEAD"),
    Row("204 with a body", "9110 §15.3.5", (head(status="204", end=False), data(b"evil", end=True))),
    Row("304 with a body", "9110 §15.4.5", (head(status="304", end=False), data(b"evil", end=True))),
    Row("body behind the end", "9113 §5.1", (head(("content-length", "0")), data(b"evil", end=True))),
    Row("trailers behind the end", "9113 §5.1", (head(("content-length", "0")), trailers(("x-a", "evil")))),
]

BAD = STATUS + FIELDS + LENGTHS + INTERIM + FRAMES
