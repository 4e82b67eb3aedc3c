"""Floods: what a client may send without end, and asks for nothing by it. Each is made beforehand, as much of it as a test wants, so
that sending it costs next to nothing."""

import dataclasses
import itertools
import typing

from .h2_bytes import (
    ACK, ADDED, END_HEADERS, END_STREAM, HEADER_TABLE_SIZE, HEADERS, INITIAL_WINDOW_SIZE, LARGEST, PREFACE, SETTINGS, UNKNOWN, block,
    continuation, data, frame, goaway, indexed, literal, padded, ping, priority, reset, settings, window,
)

CALM, ENDED, LATER, WAITS = "calm", "ended", "later", "waits"
GREETING = PREFACE + settings() + frame(SETTINGS, flags=ACK)


@dataclasses.dataclass(frozen=True)
class Flood:
    """`outcome`: ENHANCE_YOUR_CALM (CALM), the same after a while (LATER), another end (ENDED), or none by itself, and what it holds is
    bounded (WAITS). `first` comes once, `more` without end; both are given the fields of a request, and `more` gives pieces."""

    name: str
    outcome: str
    more: typing.Callable
    first: typing.Callable = lambda fields: b""
    path: str = "small"
    answered: bool = False  # a hundred streams of it get an answer's head
    resets: bool = False  # each piece is a stream that is reset

    def bytes(self, fields, size):
        """About so many, with all that comes before."""
        pieces, made = [GREETING, self.first(fields)], 0
        for piece in self.more(fields):
            pieces.append(piece)
            made += len(piece)
            if made >= size:
                return b"".join(pieces)
        return b"".join(pieces)


def again(*frames):
    together = b"".join(frames)
    piece = together * max(1, 4096 // len(together))
    return lambda fields: itertools.repeat(piece)


def head(fields, stream, *more, method=None, flags=END_HEADERS | END_STREAM):
    return frame(HEADERS, stream, block([(name, method if method and name == ":method" else value) for name, value in fields] + list(more)), flags)


def post(fields):
    """A request whose body is under way."""
    return head(fields, 1, method="POST", flags=END_HEADERS)


def cut_short(fields):
    """A head whose end never comes."""
    return head(fields, 1, flags=END_STREAM)


def short_heads(fields):
    """Heads that cost few bytes: the first one's fields stand in the table."""
    first = b"".join(literal(name, value, ADDED) for name, value in fields)
    yield 1, first
    again = b"".join(indexed(62 + index) for index in reversed(range(len(fields))))
    for stream in range(3, LARGEST, 2):
        yield stream, again


def opens(*behind, flags=END_HEADERS, post=True):
    """Streams one after the other; `behind` are functions of the stream: what follows its head."""

    def more(fields):
        fields = [(name, "POST" if post and name == ":method" else value) for name, value in fields]
        for stream, fields_block in short_heads(fields):
            yield frame(HEADERS, stream, fields_block, flags) + b"".join(one(stream) for one in behind)

    return more


def sized(*behind):
    """As opens(), of bodies with a length of 1."""
    return lambda fields: opens(*behind)(list(fields) + [("content-length", "1")])


def trailers(field, flags):
    return lambda stream: frame(HEADERS, stream, block([field]), flags)


def requests(fields):
    """As short as they can be."""
    return opens(post=False, flags=END_HEADERS | END_STREAM)(fields)


def capitals(fields):
    for stream in range(1, LARGEST, 2):
        yield head(fields, stream, ("X-A", "b"))


def bomb(fields):
    """One byte stands for a field of 4000; so many of them are one head."""
    first = block(fields) + literal("x-a", "a" * 4000, ADDED)
    for stream in range(1, LARGEST, 2):
        yield frame(HEADERS, stream, first + indexed(62) * 8000, END_HEADERS | END_STREAM)


def pings_behind_long_heads(fields):
    """A few bytes stand for a head of 40 000, which is answered with 431: that earns no more than these few."""
    first = literal("x-a", "a" * 4000, ADDED)
    for stream in range(1, LARGEST, 2):
        yield frame(HEADERS, stream, block(fields) + first + indexed(62) * 10, END_HEADERS | END_STREAM) + ping() * 140
        first = b""


def nothing(fields):
    return iter(())


def hundred(*behind, first=b"", flags=END_HEADERS | END_STREAM):
    return lambda fields: first + b"".join(head(fields, stream, flags=flags) for stream in range(1, 201, 2)) + b"".join(behind)


def byte_by_byte(fields):
    """Every stream's window opens by one byte at a time."""
    for stream in itertools.cycle(range(1, 201, 2)):
        yield window(stream, 1)


FLOODS = [
    Flood("PING", CALM, again(ping())),
    Flood("PING, answers to none", CALM, again(ping(flags=ACK))),
    Flood("SETTINGS", CALM, again(settings())),
    Flood("SETTINGS, many values", CALM, again(settings(*[(INITIAL_WINDOW_SIZE, 65535)] * 30))),
    Flood("SETTINGS, windows of open streams", CALM, again(settings((INITIAL_WINDOW_SIZE, 0)), settings((INITIAL_WINDOW_SIZE, 65535))),
          hundred(flags=END_HEADERS)),
    Flood("PRIORITY", CALM, again(*(priority(stream) for stream in range(1, 401, 2)))),
    Flood("WINDOW_UPDATE", CALM, again(window(0, 1))),
    Flood("WINDOW_UPDATE of a stream", CALM, again(window(1, 1)), post),
    Flood("empty DATA", CALM, again(data(1, b"", end=False)), post),
    Flood("padding", CALM, again(padded(1, b"", 255, end=False)), post),
    Flood("unknown frames", CALM, again(frame(UNKNOWN, 0, bytes(16384)))),
    Flood("small unknown frames", CALM, again(frame(UNKNOWN, 0))),
    Flood("GOAWAY", CALM, again(goaway()), post),
    Flood("CONTINUATION", CALM, again(continuation(1, block([("x-a", "a" * 1000)]), False)), cut_short),
    Flood("empty CONTINUATION", CALM, again(continuation(1, b"", False)), cut_short),
    Flood("rapid reset", CALM, opens(reset), resets=True),
    Flood("MadeYouReset: window", CALM, opens(lambda stream: window(stream, LARGEST)), resets=True),
    Flood("MadeYouReset: longer than its length", CALM, sized(lambda stream: data(stream, b"ab", end=False)), resets=True),
    Flood("MadeYouReset: shorter than its length", CALM, sized(lambda stream: data(stream, b"")), resets=True),
    Flood("MadeYouReset: trailers that are none", CALM, opens(trailers((":path", "/"), END_HEADERS | END_STREAM)), resets=True),
    Flood("MadeYouReset: trailers without an end", CALM, opens(trailers(("x-a", "b"), END_HEADERS)), resets=True),
    Flood("MadeYouReset: no window", ENDED, opens(lambda stream: window(stream, 0))),
    Flood("MadeYouReset: half-closed", ENDED, opens(lambda stream: data(stream), flags=END_HEADERS | END_STREAM)),
    Flood("MadeYouReset: depends on itself", ENDED, opens(lambda stream: priority(stream, stream))),
    Flood("heads that are malformed", CALM, capitals, resets=True),
    Flood("HPACK bomb", CALM, bomb),
    Flood("PING behind heads that are long once they are read", CALM, pings_behind_long_heads),
    Flood("HPACK tables", CALM, again(settings((HEADER_TABLE_SIZE, 0)), settings((HEADER_TABLE_SIZE, LARGEST)))),
    Flood("more streams than announced", ENDED, requests,
          lambda fields: settings((INITIAL_WINDOW_SIZE, 0)), "big"),
    Flood("bodies of streams that are over", LATER, again(data(1, bytes(16384), end=False)), post, "early"),
    Flood("windows that never open", WAITS, nothing, hundred(first=settings((INITIAL_WINDOW_SIZE, 0))), "big", answered=True),
    Flood("windows of a byte", WAITS, byte_by_byte, hundred(first=settings((INITIAL_WINDOW_SIZE, 0))), "big", answered=True),
    Flood("answers that are not read", WAITS, nothing, hundred(*(window(stream, LARGEST - 65535) for stream in (0, *range(1, 201, 2)))), "big"),
    Flood("streams that are left", WAITS, nothing, hundred(flags=END_HEADERS)),
    Flood("DATA of a byte", WAITS, again(data(1, b"x", end=False)), post, "sink"),
]
