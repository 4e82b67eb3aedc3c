"""What a row of the lists is: bytes that a client sends, and what must come of them.

In the bytes `{to}` stands for what the target begins with (`/api/n7`, or `http://host:port/n7`), `{host}` for a Host that
fits it, `{auth}` for the field that authenticates."""

import dataclasses

FIELDS = "Host: {host}\r\n{auth}\r\n"
GET = "GET {to}/x HTTP/1.1\r\n" + FIELDS
POST = "POST {to}/x HTTP/1.1\r\n" + FIELDS
CHUNKED = POST + "Transfer-Encoding: chunked\r\n\r\n"

# What follows where the connection must end: whoever reads on would find a request in it.
SMUGGLED = "GET {to}/smuggled HTTP/1.1\r\n" + FIELDS + "\r\n"

REFUSED = "refused"  # with `status` (0: no word), none of it goes up, the connection ends, nothing behind it is read
LENIENT = "lenient"  # REFUSED as a connection's first request; later, libmicrohttpd may read one request in it
STAYS = "stays"      # the same, but what follows is a request of its own
PASSES = "passes"    # goes up as `up`, and so does what follows
ENDS = "ends"        # goes up as `up`, and the connection ends; nothing behind it is read
CUT = "cut"          # BROKEN, once the client ends its side
BROKEN = "broken"    # its beginning may go up, never its end; the connection ends
EITHER = "either"    # BROKEN or PASSES: libmicrohttpd's versions differ, and there is one reading of what goes up


@dataclasses.dataclass(frozen=True)
class Up:
    """A request as the origin must get it, without Host, what is injected, and framing."""

    method: str = "GET"
    target: str = "/x"
    fields: tuple = ()
    body: bytes = b""
    trailers: tuple = ()


@dataclasses.dataclass(frozen=True)
class Row:
    id: str
    rfc: str
    sent: str
    outcome: str
    status: int = 0
    up: tuple = ()
    later: tuple = ()  # statuses of libmicrohttpd's own, on a later request of a connection


def refused(id, rfc, sent, status=400, later=()):
    return Row(id, rfc, sent, REFUSED, status, later=later)


def lenient(id, rfc, sent, status=400):
    return Row(id, rfc, sent, LENIENT, status, (Up(),))


def stays(id, rfc, sent, status=400):
    return Row(id, rfc, sent, STAYS, status)


def passes(id, rfc, sent, *up):
    return Row(id, rfc, sent, PASSES, 200, up or (Up(),))


def ends(id, rfc, sent):
    return Row(id, rfc, sent, ENDS, 200, (Up(),))


def cut(id, rfc, sent):
    return Row(id, rfc, sent, CUT)


def blanks(id, rfc, sent, up=Up()):
    """Valid; but of blanks behind a value libmicrohttpd's versions tell nothing, or do not know what they are."""
    return Row(id, rfc, sent, EITHER, up=(up,))


def broken(id, rfc, sent):
    return Row(id, rfc, sent, BROKEN)


def either(id, rfc, sent, body=b"hello", trailers=()):
    return Row(id, rfc, sent, EITHER, up=(Up("POST", body=body, trailers=trailers),))


def posts(id, rfc, sent, body=b"hello", fields=(), trailers=()):
    return passes(id, rfc, sent, Up("POST", "/x", fields, body, trailers))
