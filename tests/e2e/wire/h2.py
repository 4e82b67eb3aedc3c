"""The 147 cases of h2spec 2.6, as rows: 44 "generic", 95 of RFC 7540 and 8 of RFC 7541, under its own names ("http2/6.3/1" is what
`h2spec http2/6.3/1` runs), so that lists can be compared. Where h2spec takes several outcomes for good, or RFC 9113 says it in other
words than RFC 7540, a row names the one that is ours.

A row sends what `sends(client)` returns, or itself sends step by step; `outcome(client)` says what must come of it."""

import dataclasses
import struct
import typing

from .h2_bytes import (
    ACK, ADDED, DATA, ENABLE_PUSH, END_HEADERS, END_STREAM, GOAWAY, HEADER_TABLE_SIZE, HEADERS, INITIAL_WINDOW_SIZE, KEPT_OUT, LARGEST,
    MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE, MAX_STREAMS, NEVER, PADDED, PING, PREFACE, PRIORITIZED, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, UNKNOWN,
    WINDOW_UPDATE, block, continuation, data, dependency, frame, goaway, indexed, literal, padded, ping, priority, reset, settings, table_size,
    window,
)

DEFAULT_FRAME = 16384
MORE = block([("x-more", "a" * 100)])
OPAQUE = b"opaque!!"


@dataclasses.dataclass(frozen=True)
class Row:
    id: str
    what: str
    sends: typing.Callable
    outcome: typing.Callable
    greet: bool = True


# --- outcomes ---


def answered(client):
    assert client.status(1) == "200"
    client.whole()
    client.answers()


def refused(status):
    """By us, as in HTTP/1.1."""

    def outcome(client):
        assert client.status(1) == status
        client.answers()

    return outcome


def pong(payload):
    def outcome(client):
        one = client.unless_ended(lambda one: one.kind == PING, "PING")
        assert one.flags == ACK and one.payload == payload, one
        client.answers()

    return outcome


def acknowledged(client):
    client.unless_ended(lambda one: one.kind == SETTINGS and one.flags == ACK, "the acknowledgement")
    client.answers()


def resets(code, stream=1):
    """A stream error: the connection goes on."""

    def outcome(client):
        one = client.unless_ended(lambda one: one.kind == RST_STREAM and one.stream == stream, f"the reset of {stream}")
        assert one.code == code, one
        client.answers()

    return outcome


def refused_or_reset(status, code):
    """By us, or by a libnghttp2 that is new enough to see it first (1.64 and later)."""

    def outcome(client):
        one = client.unless_ended(lambda one: one.kind in (HEADERS, RST_STREAM) and one.stream == 1, "an answer or the reset of 1")
        assert (dict(one.fields)[":status"] == status) if one.kind == HEADERS else (one.code == code), one
        client.answers()

    return outcome


def ends(code):
    """A connection error: GOAWAY, and then the end."""

    def outcome(client):
        one = client.until(lambda one: one.kind == GOAWAY, "GOAWAY")
        assert one.code == code, one
        assert not client.rest(), client.heard

    outcome.audited = True
    return outcome


def parts(client):
    """The client said GOAWAY: without a stream there is nothing to stay for."""
    client.send(ping(OPAQUE))
    assert all(one.code == "NO_ERROR" for one in client.rest() if one.kind == GOAWAY), client.heard


def goes_on(client):
    client.send(ping(OPAQUE))
    pong(OPAQUE)(client)


def first_piece(size):
    """The next DATA is just as long as the window."""

    def outcome(client):
        one = client.unless_ended(lambda one: one.kind == DATA, "DATA", 1)
        assert len(one.payload) == size, one

    return outcome


def takes_the_window(client):
    first_piece(1)(client)
    client.answers()


def greets(client):
    one = client.hear()
    assert (one.kind, one.flags) == (SETTINGS, 0), one
    client.answers()


def closes(client):
    """On a listener it is neither HTTP/2 nor HTTP/1.1; where ALPN named h2 it can be nothing but the former."""
    heard = client.rest()
    assert [one.code for one in heard if one.kind == GOAWAY] == ["PROTOCOL_ERROR"] * bool(heard), heard
    assert bool(heard) == client.in_tls


# --- what takes more than one step ---


def half_closed(*more, method="GET"):
    """A request whose answer waits for a window, and more on its stream."""

    def sends(client):
        pieces = (one(client) if callable(one) else one for one in more)
        return b"".join([settings((INITIAL_WINDOW_SIZE, 0)), client.head(method=method), *pieces])

    return sends


def again(client):
    return client.head()


def trailers(*fields, end=True):
    return frame(HEADERS, 1, block(fields), END_HEADERS | END_STREAM * end)


def twice(name):
    return lambda client: client.head((name, client.begin[name]))


def closed(more):
    def sends(client):
        client.send(client.head())
        client.whole()
        return more(client)

    return sends


def too_many_streams(client):
    announced = next(one.payload for one in client.heard if one.kind == SETTINGS)
    most = dict(struct.iter_unpack(">HI", announced))[MAX_STREAMS]
    assert most == 100
    return settings((INITIAL_WINDOW_SIZE, 0)) + b"".join(client.head(stream=1 + 2 * number) for number in range(most + 1))


def window_after_the_request(client):
    client.send(settings((INITIAL_WINDOW_SIZE, 0)), client.head())
    assert client.status(1) == "200"
    return settings((INITIAL_WINDOW_SIZE, 1))


def negative_window(client):
    client.send(settings((INITIAL_WINDOW_SIZE, 3)), client.head())
    first_piece(3)(client)
    return settings((INITIAL_WINDOW_SIZE, 2)) + window(1, 2)


# --- pieces of rows ---


def split(*sizes, fields=()):
    """A head in HEADERS and CONTINUATIONs of such sizes, the rest in a last one."""

    def sends(client):
        left, pieces = block(client.fields(*fields)), []
        for size in sizes:
            pieces.append(left[:size])
            left = left[size:]
        return frame(HEADERS, 1, pieces[0], END_STREAM) + b"".join(continuation(1, one, False) for one in pieces[1:]) + continuation(1, left)

    return sends


def head(*more, **other):
    return lambda client: client.head(*more, **other)


def post(*behind, fields=()):
    """A request whose body follows."""
    return lambda client: client.post(*fields) + b"".join(behind)


def opened(*behind, **more):
    """A head without END_HEADERS, and what comes behind it."""
    return lambda client: client.head(whole=False, **more) + b"".join(behind)


def before(*frames):
    """Frames, and a request that is answered all the same."""
    return lambda client: b"".join(frames) + client.head()


def says(*frames):
    return lambda client: b"".join(frames)


def field(representation):
    return lambda client: client.head(behind=representation)


def first_field(representation):
    return lambda client: client.head(before=representation)


USER_AGENT = 58  # in the static table


def literals():
    number = 2
    for pattern, kind in ((ADDED, "with incremental indexing"), (KEPT_OUT, "without indexing"), (NEVER, "never indexed")):
        for index, what in ((USER_AGENT, "indexed name"), (0, "new name")):
            for coded in (False, True):
                yield Row(f"generic/5/{number}", f"literal {kind}, {what}" + ", Huffman" * coded,
                          field(literal("x-test", "agent", pattern, index, coded)), answered)
                number += 1


GENERIC = [
    Row("generic/1/1", "preface", says(PREFACE, settings((INITIAL_WINDOW_SIZE, 65535))), greets, greet=False),
    Row("generic/2/1", "PRIORITY, idle", says(priority(1)), goes_on),
    Row("generic/2/2", "WINDOW_UPDATE, half-closed", half_closed(window(1, 1)), takes_the_window),
    Row("generic/2/3", "PRIORITY, half-closed", half_closed(priority(1), window(1, 1)), takes_the_window),
    Row("generic/2/4", "RST_STREAM, half-closed", half_closed(reset(1)), goes_on),
    Row("generic/2/5", "PRIORITY, closed", closed(says(priority(1))), goes_on),
    Row("generic/3.1/1", "DATA", post(data(1)), answered),
    Row("generic/3.1/2", "several DATA", post(data(1, end=False), data(1)), answered),
    Row("generic/3.1/3", "padded DATA", post(padded(1, b"test", 5)), answered),
    Row("generic/3.2/1", "HEADERS", head(), answered),
    Row("generic/3.2/2", "padded HEADERS", head(flags=PADDED, before=bytes([8]), behind=bytes(8)), answered),
    Row("generic/3.2/3", "HEADERS with a priority", head(flags=PRIORITIZED, before=dependency()), answered),
    Row("generic/3.3/1", "PRIORITY, weight 1", before(priority(1, weight=0)), answered),
    Row("generic/3.3/2", "PRIORITY, weight 256", before(priority(1, weight=255)), answered),
    Row("generic/3.3/3", "PRIORITY that depends on another", before(priority(3, on=1, weight=0)), answered),
    Row("generic/3.3/4", "PRIORITY, exclusive", before(priority(1, weight=0, exclusive=True)), answered),
    Row("generic/3.3/5", "PRIORITY of a higher stream, then a lower one", before(priority(3)), answered),
    Row("generic/3.4/1", "RST_STREAM", post(reset(1)), goes_on),
    Row("generic/3.5/1", "SETTINGS", says(settings((HEADER_TABLE_SIZE, 4096), (ENABLE_PUSH, 1), (MAX_STREAMS, 100), (INITIAL_WINDOW_SIZE, 65535),
                                                  (MAX_FRAME_SIZE, DEFAULT_FRAME), (MAX_HEADER_LIST_SIZE, 100))), acknowledged),
    Row("generic/3.7/1", "PING", says(ping(OPAQUE)), pong(OPAQUE)),
    Row("generic/3.8/1", "GOAWAY", says(goaway()), parts),
    Row("generic/3.9/1", "WINDOW_UPDATE of the connection", says(window(0, 1)), goes_on),
    Row("generic/3.9/2", "WINDOW_UPDATE of a stream", lambda client: client.head() + window(1, 1), answered),
    Row("generic/3.10/1", "CONTINUATION", split(5), answered),
    Row("generic/3.10/2", "several CONTINUATION", split(5, 5), answered),
    Row("generic/4/1", "GET", head(), answered),
    Row("generic/4/2", "HEAD", head(method="HEAD"), answered),
    Row("generic/4/3", "POST", post(data(1)), answered),
    Row("generic/4/4", "POST with trailers", post(data(1, end=False), trailers(("x-test", "ok")), fields=[("trailer", "x-test")]), answered),
    Row("generic/5/1", "indexed field", field(indexed(USER_AGENT)), answered),
    *literals(),
    Row("generic/5/14", "table size update", first_field(table_size(128)), answered),
    Row("generic/5/15", "several table size updates", first_field(table_size(128) + table_size(4096)), answered),
]

HTTP2 = [
    Row("http2/3.5/1", "preface", says(PREFACE, settings((INITIAL_WINDOW_SIZE, 65535))), greets, greet=False),
    Row("http2/3.5/2", "no preface", says(b"INVALID CONNECTION PREFACE\r\n\r\n"), closes, greet=False),
    Row("http2/4.1/1", "unknown type", says(frame(UNKNOWN, 0, bytes(8))), goes_on),
    Row("http2/4.1/2", "undefined flags", says(ping(flags=0x16)), pong(bytes(8))),
    Row("http2/4.1/3", "reserved bit", says(frame(PING, 1 << 31, bytes(8), 0x16)), pong(bytes(8))),
    Row("http2/4.2/1", "DATA of 2^14 bytes", post(data(1, bytes(DEFAULT_FRAME))), answered),
    Row("http2/4.2/2", "DATA over SETTINGS_MAX_FRAME_SIZE", post(data(1, bytes(DEFAULT_FRAME + 1))), ends("FRAME_SIZE_ERROR")),
    Row("http2/4.2/3", "HEADERS over SETTINGS_MAX_FRAME_SIZE", head(("x-more", "a" * DEFAULT_FRAME)), ends("FRAME_SIZE_ERROR")),
    Row("http2/4.3/1", "block that is none", says(frame(HEADERS, 1, b"\x40", END_STREAM | END_HEADERS)), ends("COMPRESSION_ERROR")),
    Row("http2/4.3/2", "PRIORITY within a block", opened(priority(1), continuation(1, MORE)), ends("PROTOCOL_ERROR")),
    Row("http2/4.3/3", "HEADERS of another stream within a block",
        lambda client: client.head(whole=False) + client.head(stream=3) + continuation(1, MORE), ends("PROTOCOL_ERROR")),
    Row("http2/5.1/1", "idle: DATA", says(data(1)), ends("PROTOCOL_ERROR")),
    Row("http2/5.1/2", "idle: RST_STREAM", says(reset(1)), ends("PROTOCOL_ERROR")),
    Row("http2/5.1/3", "idle: WINDOW_UPDATE", says(window(1, 100)), ends("PROTOCOL_ERROR")),
    Row("http2/5.1/4", "idle: CONTINUATION", lambda client: continuation(1, block(client.fields())), ends("PROTOCOL_ERROR")),
    Row("http2/5.1/5", "half-closed: DATA", half_closed(data(1)), ends("STREAM_CLOSED")),
    Row("http2/5.1/6", "half-closed: HEADERS", half_closed(again), ends("STREAM_CLOSED")),
    Row("http2/5.1/7", "half-closed: CONTINUATION", half_closed(continuation(1, MORE)), ends("PROTOCOL_ERROR")),
    Row("http2/5.1/8", "closed by RST_STREAM: DATA", post(reset(1), data(1)), ends("STREAM_CLOSED")),
    Row("http2/5.1/9", "closed by RST_STREAM: HEADERS", lambda client: client.post() + reset(1) + client.head(), ends("STREAM_CLOSED")),
    Row("http2/5.1/10", "closed by RST_STREAM: CONTINUATION", post(reset(1), continuation(1, MORE)), ends("PROTOCOL_ERROR")),
    Row("http2/5.1/11", "closed: DATA", closed(says(data(1))), ends("STREAM_CLOSED")),
    Row("http2/5.1/12", "closed: HEADERS", closed(again), ends("STREAM_CLOSED")),
    Row("http2/5.1/13", "closed: CONTINUATION", closed(says(continuation(1, MORE))), ends("PROTOCOL_ERROR")),
    Row("http2/5.1.1/1", "even stream", head(stream=2), ends("PROTOCOL_ERROR")),
    Row("http2/5.1.1/2", "lower stream than before", lambda client: client.head(stream=5) + client.head(stream=3), ends("PROTOCOL_ERROR")),
    Row("http2/5.1.2/1", "more streams than announced", too_many_streams, ends("PROTOCOL_ERROR")),
    Row("http2/5.3.1/1", "HEADERS that depend on themselves", head(flags=PRIORITIZED, before=dependency(1)), ends("PROTOCOL_ERROR")),
    Row("http2/5.3.1/2", "PRIORITY that depends on itself", says(priority(1, on=1)), ends("PROTOCOL_ERROR")),
    Row("http2/5.4.1/1", "connection error: the end", says(frame(PING, 3, bytes(8))), ends("PROTOCOL_ERROR")),
    Row("http2/5.4.1/2", "connection error: GOAWAY first", says(frame(PING, 3, bytes(8))), ends("PROTOCOL_ERROR")),
    Row("http2/5.5/1", "unknown frame", says(frame(UNKNOWN, 0, bytes(8))), goes_on),
    Row("http2/5.5/2", "unknown frame within a block", opened(frame(UNKNOWN, 0, bytes(8))), ends("PROTOCOL_ERROR")),
    Row("http2/6.1/1", "DATA on stream 0", says(data(0)), ends("PROTOCOL_ERROR")),
    Row("http2/6.1/2", "DATA behind the end", half_closed(data(1), method="POST"), ends("STREAM_CLOSED")),
    Row("http2/6.1/3", "DATA, more padding than length", post(frame(DATA, 1, b"\6test", PADDED | END_STREAM), fields=[("content-length", "4")]),
        ends("PROTOCOL_ERROR")),
    Row("http2/6.2/1", "PRIORITY behind HEADERS without END_HEADERS", opened(priority(1), continuation(1, MORE)), ends("PROTOCOL_ERROR")),
    Row("http2/6.2/2", "HEADERS of another stream behind such",
        lambda client: client.head(whole=False) + client.head(stream=3) + continuation(1, MORE), ends("PROTOCOL_ERROR")),
    Row("http2/6.2/3", "HEADERS on stream 0", head(stream=0), ends("PROTOCOL_ERROR")),
    Row("http2/6.2/4", "HEADERS, more padding than length", head(flags=PADDED, before=b"\xff", without="authorization"), ends("PROTOCOL_ERROR")),
    Row("http2/6.3/1", "PRIORITY on stream 0", says(priority(0)), ends("PROTOCOL_ERROR")),
    Row("http2/6.3/2", "PRIORITY of 4 bytes", says(frame(PRIORITY, 1, bytes(4))), ends("FRAME_SIZE_ERROR")),
    Row("http2/6.4/1", "RST_STREAM on stream 0", says(reset(0)), ends("PROTOCOL_ERROR")),
    Row("http2/6.4/2", "RST_STREAM, idle", says(reset(1)), ends("PROTOCOL_ERROR")),
    Row("http2/6.4/3", "RST_STREAM of 3 bytes", post(frame(RST_STREAM, 1, bytes(3))), ends("FRAME_SIZE_ERROR")),
    Row("http2/6.5/1", "SETTINGS with ACK and a payload", says(frame(SETTINGS, 0, b"\0", ACK)), ends("FRAME_SIZE_ERROR")),
    Row("http2/6.5/2", "SETTINGS on stream 1", says(frame(SETTINGS, 1, bytes([0, 3, 0, 0, 0, 100]))), ends("PROTOCOL_ERROR")),
    Row("http2/6.5/3", "SETTINGS of 3 bytes", says(frame(SETTINGS, 0, bytes([0, 3, 0]))), ends("FRAME_SIZE_ERROR")),
    Row("http2/6.5.2/1", "ENABLE_PUSH 2", says(settings((ENABLE_PUSH, 2))), ends("PROTOCOL_ERROR")),
    Row("http2/6.5.2/2", "INITIAL_WINDOW_SIZE 2^31", says(settings((INITIAL_WINDOW_SIZE, LARGEST + 1))), ends("FLOW_CONTROL_ERROR")),
    Row("http2/6.5.2/3", "MAX_FRAME_SIZE 2^14-1", says(settings((MAX_FRAME_SIZE, DEFAULT_FRAME - 1))), ends("PROTOCOL_ERROR")),
    Row("http2/6.5.2/4", "MAX_FRAME_SIZE 2^24", says(settings((MAX_FRAME_SIZE, 1 << 24))), ends("PROTOCOL_ERROR")),
    Row("http2/6.5.2/5", "unknown setting", says(settings((0xFF, 1))), goes_on),
    Row("http2/6.5.3/1", "a setting twice", lambda client: settings((INITIAL_WINDOW_SIZE, 100), (INITIAL_WINDOW_SIZE, 1)) + client.head(), takes_the_window),
    Row("http2/6.5.3/2", "SETTINGS", says(settings((ENABLE_PUSH, 0))), acknowledged),
    Row("http2/6.7/1", "PING", says(ping(OPAQUE)), pong(OPAQUE)),
    Row("http2/6.7/2", "PING with ACK", says(ping(b"answered", ACK), ping(OPAQUE)), pong(OPAQUE)),
    Row("http2/6.7/3", "PING on stream 1", says(frame(PING, 1, bytes(8))), ends("PROTOCOL_ERROR")),
    Row("http2/6.7/4", "PING of 6 bytes", says(ping(bytes(6))), ends("FRAME_SIZE_ERROR")),
    Row("http2/6.8/1", "GOAWAY on stream 1", says(frame(GOAWAY, 1, bytes(8))), ends("PROTOCOL_ERROR")),
    Row("http2/6.9/1", "WINDOW_UPDATE of 0", says(window(0, 0)), ends("PROTOCOL_ERROR")),
    Row("http2/6.9/2", "WINDOW_UPDATE of 0 on a stream", post(window(1, 0)), ends("PROTOCOL_ERROR")),
    Row("http2/6.9/3", "WINDOW_UPDATE of 3 bytes", says(frame(WINDOW_UPDATE, 0, bytes(3))), ends("FRAME_SIZE_ERROR")),
    Row("http2/6.9.1/1", "window of 1", lambda client: settings((INITIAL_WINDOW_SIZE, 1)) + client.head(), takes_the_window),
    Row("http2/6.9.1/2", "window above 2^31-1", says(window(0, LARGEST), window(0, LARGEST)), ends("FLOW_CONTROL_ERROR")),
    Row("http2/6.9.1/3", "window of a stream above 2^31-1", post(window(1, LARGEST), window(1, LARGEST)), resets("FLOW_CONTROL_ERROR")),
    Row("http2/6.9.2/1", "INITIAL_WINDOW_SIZE behind HEADERS", window_after_the_request, takes_the_window),
    Row("http2/6.9.2/2", "window below 0", negative_window, takes_the_window),
    Row("http2/6.9.2/3", "INITIAL_WINDOW_SIZE above 2^31-1", says(settings((INITIAL_WINDOW_SIZE, LARGEST + 1))), ends("FLOW_CONTROL_ERROR")),
    Row("http2/6.10/1", "several CONTINUATION", opened(continuation(1, MORE, False), continuation(1, MORE)), answered),
    Row("http2/6.10/2", "DATA behind CONTINUATION without END_HEADERS", opened(continuation(1, MORE, False), data(1), method="POST", end=False),
        ends("PROTOCOL_ERROR")),
    Row("http2/6.10/3", "CONTINUATION on stream 0", opened(continuation(0, MORE)), ends("PROTOCOL_ERROR")),
    Row("http2/6.10/4", "CONTINUATION behind END_HEADERS", lambda client: client.post() + continuation(1, MORE), ends("PROTOCOL_ERROR")),
    Row("http2/6.10/5", "CONTINUATION behind a last CONTINUATION", opened(continuation(1, MORE), continuation(1, MORE), end=False), ends("PROTOCOL_ERROR")),
    Row("http2/6.10/6", "CONTINUATION behind DATA", opened(data(1), continuation(1, MORE, False), continuation(0, MORE), method="POST", end=False),
        ends("PROTOCOL_ERROR")),
    Row("http2/7/1", "GOAWAY, unknown code", says(goaway(0xFF)), parts),
    Row("http2/7/2", "RST_STREAM, unknown code", post(reset(1, 0xFF)), goes_on),
    Row("http2/8.1/1", "second HEADERS without END_STREAM", post(data(1, end=False), trailers(("x-test", "ok"), end=False)), resets("PROTOCOL_ERROR")),
    Row("http2/8.1.2/1", "name in capitals", head(("X-TEST", "ok")), resets("PROTOCOL_ERROR")),
    Row("http2/8.1.2.1/1", "unknown pseudo-field", head((":test", "ok")), resets("PROTOCOL_ERROR")),
    Row("http2/8.1.2.1/2", "pseudo-field of responses", head((":status", "200")), resets("PROTOCOL_ERROR")),
    Row("http2/8.1.2.1/3", "pseudo-field in trailers", post(data(1, end=False), trailers((":method", "POST"))), resets("PROTOCOL_ERROR")),
    Row("http2/8.1.2.1/4", "pseudo-fields behind a field", first_field(literal("x-test", "ok")), resets("PROTOCOL_ERROR")),
    Row("http2/8.1.2.2/1", "Connection", head(("connection", "keep-alive")), resets("PROTOCOL_ERROR")),
    Row("http2/8.1.2.2/2", "TE, other than trailers", head(("trailers", "test"), ("te", "trailers, deflate")), resets("PROTOCOL_ERROR")),
    Row("http2/8.1.2.3/1", "empty :path", head(path=""), resets("PROTOCOL_ERROR")),
    *(Row(f"http2/8.1.2.3/{number}", f"no {name}", head(without=name), resets("PROTOCOL_ERROR"))
      for number, name in enumerate((":method", ":scheme", ":path"), 2)),
    *(Row(f"http2/8.1.2.3/{number}", f"{name} twice", twice(name), resets("PROTOCOL_ERROR"))
      for number, name in enumerate((":method", ":scheme", ":path"), 5)),
    Row("http2/8.1.2.6/1", "more body than Content-Length", post(data(1), fields=[("content-length", "1")]), resets("PROTOCOL_ERROR")),
    Row("http2/8.1.2.6/2", "more body than Content-Length, in pieces", post(data(1, end=False), data(1), fields=[("content-length", "1")]),
        resets("PROTOCOL_ERROR")),
    Row("http2/8.2/1", "PUSH_PROMISE", lambda client: frame(PUSH_PROMISE, 1, bytes([0, 0, 0, 3]) + block(client.fields()), END_HEADERS), ends("PROTOCOL_ERROR")),
]

HPACK = [
    Row("hpack/2.3.3/1", "index that is not there", field(indexed(70)), ends("COMPRESSION_ERROR")),
    Row("hpack/2.3.3/2", "literal, such an index", field(literal("", "", ADDED, 70)), ends("COMPRESSION_ERROR")),
    Row("hpack/4.2/1", "table size update behind fields", field(table_size(1)), ends("COMPRESSION_ERROR")),
    Row("hpack/5.2/1", "Huffman, more than 7 bits of padding", field(b"\0\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff"), ends("COMPRESSION_ERROR")),
    Row("hpack/5.2/2", "Huffman, padded by zeros", field(b"\0\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90"), ends("COMPRESSION_ERROR")),
    Row("hpack/5.2/3", "Huffman, EOS", field(b"\0\x85\xf2\xb2\x4a\x84\xff\x87\x49\x51\xff\xff\xff\xfa\x7f"), ends("COMPRESSION_ERROR")),
    Row("hpack/6.1/1", "index 0", field(indexed(0)), ends("COMPRESSION_ERROR")),
    Row("hpack/6.3/1", "table size above SETTINGS_HEADER_TABLE_SIZE", first_field(table_size(4097)), ends("COMPRESSION_ERROR")),
]

CASES = GENERIC + HTTP2 + HPACK

# Beyond these: RFC 9113 section 8.2 and 8.3, where no reader may find a second meaning.
OURS = [
    Row("6.10 many CONTINUATION", "", split(*[1000] * 20, fields=[("x-long", "a" * 20_000)]), answered),
    *(Row(f"8.2.1 value with {what}", "", head(("x-a", f"a{byte}b")), resets("PROTOCOL_ERROR"))
      for what, byte in (("NUL", "\0"), ("LF", "\n"), ("CR", "\r"), ("CRLF and a field", "\r\nx-b: c"))),
    *(Row(f"8.2.1 {what}", "", head((name, "a")), resets("PROTOCOL_ERROR"))
      for what, name in (("blank in a name", "x a"), ("colon in a name", "x:a"), ("blank behind a name", "x-a "), ("NUL in a name", "x\0a"),
                         ("no name", ""), ("a name above ASCII", "x-\xe4"))),
    *(Row(f"8.2.2 {name}", "", head((name, value)), resets("PROTOCOL_ERROR"))
      for name, value in (("transfer-encoding", "chunked"), ("keep-alive", "5"), ("proxy-connection", "close"), ("upgrade", "h2c"), ("te", "gzip"))),
    Row("8.2.2 te: trailers", "", head(("te", "trailers")), answered),
    Row("8.3.1 Host that is another", "", head(("host", "other.test")), refused("400")),
    Row("8.3.1 two Hosts", "", lambda client: client.head(*[("host", client.begin[":authority"])] * 2), resets("PROTOCOL_ERROR")),
    Row("8.3.1 userinfo", "", head(authority="a@localhost"), refused_or_reset("400", "PROTOCOL_ERROR")),
    Row("8.3.1 :path without a slash", "", head(path="x"), resets("PROTOCOL_ERROR")),
    Row("8.3.1 :scheme that is none of ours", "", head(scheme="ftp"), refused("400")),
    Row("8.3.1 :authority twice", "", twice(":authority"), resets("PROTOCOL_ERROR")),
    Row("8.1.1 Content-Length and no body", "", head(("content-length", "5")), resets("PROTOCOL_ERROR")),
    Row("8.1.1 two lengths", "", post(data(1), fields=[("content-length", "4")] * 2), resets("PROTOCOL_ERROR")),
    Row("8.1.1 length that is no number", "", post(data(1), fields=[("content-length", "+4")]), resets("PROTOCOL_ERROR")),
    Row("8.1 less body than Content-Length", "", post(data(1), fields=[("content-length", "5")]), resets("PROTOCOL_ERROR")),
    Row("8.1 trailers with a length", "", post(data(1, end=False), trailers(("content-length", "9"))), resets("PROTOCOL_ERROR")),
]
