"""Token endpoints that do not do what RFC 6749 says: scripts for an Origin (peers.wire), by name, with what may come of them."""

import contextlib
import dataclasses
import gzip
import json
import select
import typing
import urllib.parse

from . import evidence

JSON = "Content-Type: application/json"
NOTHING = (503,)        # no token comes of it
EITHER = (200, 503)     # a reader may take it or leave it, but must not fall over it


def token(**members):
    """A right answer; members that are None are left out."""
    whole = {"access_token": evidence.secret("at"), "token_type": "Bearer", "expires_in": 3600, **members}
    return {key: value for key, value in whole.items() if value is not None}


def answering(body, status="200 OK", *fields):
    """A script: reads a request and says just this, or what `body(REQUEST)` gives; requests are in origin.requests."""

    def script(connection):
        connection.origin.requests.append(connection.request())
        data = body(connection.origin.requests[-1]) if callable(body) else body
        data = json.dumps(data) if isinstance(data, dict) else data
        connection.answer(status, data, *(fields or (JSON,)), "Connection: close")

    return script


def raw(*pieces):
    """A script: these bytes, and the end."""

    def script(connection):
        connection.origin.requests.append(connection.request())
        for piece in pieces:
            connection.send(piece)

    return script


def endless(head, piece):
    """A script: `head`, then `piece` again and again, until the other end goes; how much was sent is origin.sent."""

    def script(connection):
        connection.origin.requests.append(connection.request())
        connection.origin.sent = 0
        with contextlib.suppress(OSError):
            connection.sock.sendall(head)
            while connection.origin.sent < 200 << 20:
                connection.sock.sendall(piece)
                connection.origin.sent += len(piece)

    return script


def forever(connection):
    """A script: reads, says nothing, waits for the other end to go."""
    connection.origin.requests.append(connection.request())
    connection.sock.settimeout(None)
    connection.receive()


def dripping(connection):
    """A script: a right answer, in a hundred seconds."""
    connection.origin.requests.append(connection.request())
    data = json.dumps(token())
    for letter in f"HTTP/1.1 200 OK\r\n{JSON}\r\nContent-Length: {len(data)}\r\n\r\n{data}":
        connection.sock.sendall(letter.encode())
        if select.select([connection.sock], [], [], 0.5)[0]:  # the other end has gone
            return


def secrets_of(request):
    """Whatever a token request shows: its form's values, as they are and as they came, and its Authorization."""
    form = request.body.decode()
    values = [value for _, value in urllib.parse.parse_qsl(form)]
    return " ".join([form, *values, request.get("Authorization", "")])


def with_text(text):
    """A right answer whose token is this, as it stands in JSON."""
    return answering(f'{{"access_token": "{text}", "token_type": "Bearer", "expires_in": 3600}}')


def expiring(text):
    return answering(f'{{"access_token": "{evidence.secret("at")}", "token_type": "Bearer", "expires_in": {text}}}')


def in_gzip(_=None):
    return gzip.compress(json.dumps(token()).encode())


@dataclasses.dataclass
class Lie:
    script: typing.Callable
    statuses: tuple = NOTHING
    says: str = ""  # a pattern for the detail of the 503


def told_error(error, status="400 Bad Request", *fields):
    return answering(lambda request: {"error": error, "error_description": f"not so: {secrets_of(request)}"}, status, *(fields or (JSON,)))


def shows_in_status(connection):
    connection.origin.requests.append(connection.request())
    key = secrets_of(connection.origin.requests[-1])
    connection.send(f"HTTP/1.1 400 {key}\r\nContent-Length: 0\r\n\r\n")


def empty(connection):
    connection.origin.requests.append(connection.request())
    connection.send("HTTP/1.1 204 No Content\r\n\r\n")


LIES = {
    "HTML": Lie(answering("<!doctype html><title>Sign in</title>", "200 OK", "Content-Type: text/html")),
    "nothing": Lie(answering("")),
    "a list": Lie(answering('["access_token"]')),
    "no token": Lie(answering(token(access_token=None)), says="access_token"),
    "an empty token": Lie(answering(token(access_token="")), says="access_token"),
    "a number as token": Lie(answering(token(access_token=1)), says="access_token"),
    "a token that is null": Lie(answering('{"access_token": null, "token_type": "Bearer"}'), says="access_token"),
    "no expires_in": Lie(answering(token(expires_in=None)), (200,)),
    "no life": Lie(expiring("0")),
    "a negative life": Lie(expiring("-3600")),
    "a life in a string": Lie(expiring('"3600"'), EITHER),
    "a word as life": Lie(expiring('"soon"')),
    "a life of 1e400": Lie(expiring("1e400"), EITHER),
    "a life of 2^64 and more": Lie(expiring("18446744073709551676"), EITHER),
    "a life that is no number": Lie(expiring("NaN")),
    "10 MB": Lie(answering(lambda _: {**token(), "filler": "x" * 10_000_000})),
    "an endless body": Lie(endless(f"HTTP/1.1 200 OK\r\n{JSON}\r\n\r\n".encode(), b" " * 65536)),
    "an endless head": Lie(endless(b"HTTP/1.1 200 OK\r\n", b"X-Filler: 0123456789\r\n" * 3000)),
    "an endless line": Lie(endless(b"HTTP/1.1 200 OK\r\nX-Filler: ", b"0" * 65536)),
    "a flood of 1xx": Lie(endless(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 1000)),
    "the connection's end": Lie(raw()),
    "the end within the head": Lie(raw(b"HTTP/1.1 200 OK\r\nContent-")),
    "the end within the body": Lie(raw(f"HTTP/1.1 200 OK\r\n{JSON}\r\nContent-Length: 1000\r\n\r\n{json.dumps(token())}".encode())),
    "no HTTP": Lie(raw(b"220 mail.test ESMTP\r\n")),
    "a line end in the token": Lie(with_text("abc\\r\\nX-Evil: 1")),
    "a NUL in the token": Lie(with_text("abc\\u0000def")),
    "a blank in the token": Lie(with_text("abc def")),
    "a letter beyond ASCII in the token": Lie(with_text("abc\\u00e9")),
    "half a pair in the token": Lie(with_text("abc\\ud800")),
    "a token of 1 MB": Lie(with_text("a" * 1_000_000)),
    "another type": Lie(answering(token(token_type="mac")), says="mac|token_type"),
    "two tokens": Lie(answering('{"access_token": "aaaaaaaa", "access_token": "bbbbbbbb", "token_type": "Bearer", "expires_in": 60}')),
    "two lives": Lie(answering('{"access_token": "aaaaaaaa", "token_type": "Bearer", "expires_in": 1, "expires_in": 99999}'), EITHER),
    "a depth of 100000": Lie(answering('{"a":' + "[" * 100_000 + "]" * 100_000 + ', "access_token": "aaaaaaaa", "token_type": "Bearer"}')),
    "something behind the JSON": Lie(answering(json.dumps(token()) + "{}")),
    "an open JSON": Lie(answering(json.dumps(token())[:-1])),
    "gzip that nobody asked for": Lie(answering(in_gzip, "200 OK", JSON, "Content-Encoding: gzip"), EITHER),
    "an error that shows the key": Lie(told_error("invalid_client"), says="invalid_client|400"),
    "a 401 that shows the key": Lie(told_error("invalid_client", "401 Unauthorized", JSON, 'WWW-Authenticate: Basic realm="x"'), says="401|invalid_client"),
    "a key as the error's name": Lie(answering(lambda request: {"error": secrets_of(request)}, "400 Bad Request"), says="400"),
    "a key in the status line": Lie(shows_in_status, says="400"),
    "an error with 200": Lie(answering({"error": "bad_verification_code", "error_description": "The code passed is incorrect or expired."})),
    "500": Lie(answering("oops", "500 Internal Server Error", "Retry-After: 60"), says="500"),
    "429": Lie(answering("slowly", "429 Too Many Requests", "Retry-After: 60"), says="429"),
    "204": Lie(empty, says="204"),
    "a 101": Lie(raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")),
}
