"""HTTP/1.1 as it may be read in one way only: whatever else stands on a wire is Unclear. This is what the proxy's output is
held to, on both sides; it forgives nothing that the RFCs let a recipient forgive."""

import dataclasses
import re

TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
REQUEST_LINE = re.compile(rb"(%s) ([!-~]+) HTTP/1\.1" % TOKEN)
STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9]) ([\t -~\x80-\xff]*)")
FIELD_LINE = re.compile(rb"(%s): *((?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?)" % TOKEN)
LENGTH = re.compile(rb"0|[1-9][0-9]{0,17}")
CHUNK_SIZE = re.compile(rb"0|[1-9A-Fa-f][0-9A-Fa-f]{0,14}")


class Unclear(Exception):
    """Bytes that two readers could take for two things."""


class Short(Exception):
    """The message is not whole yet."""


@dataclasses.dataclass
class Read:
    """A message as it was read; `line` is method and target, or status and phrase."""

    line: tuple
    fields: list
    body: bytes = b""
    trailers: list = dataclasses.field(default_factory=list)
    size: int = 0
    whole: bool = True  # its end stands in the bytes; False: it ends with the connection

    def all(self, name):
        return [value for key, value in self.fields if key.lower() == name.lower()]


def take_line(data, at):
    end = data.find(b"\n", at)
    if end < 0:
        raise Short
    line = data[at : end + 1]
    if not line.endswith(b"\r\n") or b"\r" in line[:-2] or b"\0" in line:
        raise Unclear(f"a line with a bare CR, LF or NUL: {line!r}")
    return line[:-2], end + 1


def take_fields(data, at):
    fields = []
    while True:
        line, at = take_line(data, at)
        if not line:
            return fields, at
        match = FIELD_LINE.fullmatch(line)
        if not match:
            raise Unclear(f"not a field line: {line!r}")
        fields.append((match[1].decode(), match[2].decode("latin-1")))


def take_chunks(message, data, at):
    while True:
        line, at = take_line(data, at)
        if not CHUNK_SIZE.fullmatch(line):
            raise Unclear(f"not a chunk size: {line!r}")
        size = int(line, 16)
        if size == 0:
            break
        if len(data) < at + size + 2:
            raise Short
        message.body += data[at : at + size]
        if data[at + size : at + size + 2] != b"\r\n":
            raise Unclear(f"no CR LF behind a chunk: {data[at + size : at + size + 9]!r}")
        at += size + 2
    message.trailers, at = take_fields(data, at)
    for name, _ in message.trailers:
        if name.lower() in ("content-length", "transfer-encoding", "host"):
            raise Unclear(f"{name} in a trailer")
    return at


def take_body(message, data, at, until_close):
    codings, lengths = message.all("Transfer-Encoding"), message.all("Content-Length")
    if len(codings) + len(lengths) > 1:
        raise Unclear(f"two framings: {message.fields}")
    if codings:
        if codings != ["chunked"]:
            raise Unclear(f"coding {codings}")
        return take_chunks(message, data, at)
    if lengths:
        if not LENGTH.fullmatch(lengths[0].encode()):
            raise Unclear(f"length {lengths}")
        if len(data) < at + int(lengths[0]):
            raise Short
        message.body = data[at : at + int(lengths[0])]
        return at + len(message.body)
    if until_close:
        message.body, message.whole = data[at:], False
        return len(data)
    return at


def take_request(data):
    """The request at the start of `data`."""
    line, at = take_line(data, 0)
    match = REQUEST_LINE.fullmatch(line)
    if not match:
        raise Unclear(f"not a request line: {line!r}")
    fields, at = take_fields(data, at)
    message = Read((match[1].decode(), match[2].decode()), fields)
    if len(message.all("Host")) != 1:
        raise Unclear(f"{len(message.all('Host'))} Hosts: {fields}")
    message.size = take_body(message, data, at, False)
    return message


def take_response(data, method="GET"):
    """The response at the start of `data`; a 1xx is one."""
    line, at = take_line(data, 0)
    match = STATUS_LINE.fullmatch(line)
    if not match:
        raise Unclear(f"not a status line: {line!r}")
    fields, at = take_fields(data, at)
    message = Read((int(match[1]), match[2].decode("latin-1")), fields)
    status = message.line[0]
    if (status < 200 or status == 204) and (message.all("Content-Length") or message.all("Transfer-Encoding")):
        raise Unclear(f"a {status} that speaks of a body: {fields}")
    bodyless = method == "HEAD" or status < 200 or status in (204, 304)
    message.size = at if bodyless else take_body(message, data, at, True)
    return message
