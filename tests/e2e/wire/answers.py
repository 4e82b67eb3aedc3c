"""What an upstream sends: malformed responses, and odd ones that are valid (RFC 9112 §4 to §9, RFC 9110 §6, §15)."""

import dataclasses

BAD = "bad"        # 502 to the client, nothing of it
GOOD = "good"      # comes down as `down`
BROKEN = "broken"  # its beginning may come down, its end never does
KEEPS = True       # the connection may serve a request behind it


@dataclasses.dataclass(frozen=True)
class Down:
    """A response as the client must get it, without Date, Connection and framing."""

    status: int = 200
    body: bytes = b"ok"
    fields: tuple = ()
    trailers: tuple = ()
    interim: tuple = ()  # statuses


@dataclasses.dataclass(frozen=True)
class Answer:
    id: str
    rfc: str
    sent: str
    outcome: str
    down: Down = None
    then: str = "wait"  # what the upstream does behind it: "wait", "close" or "reset"
    keeps: bool = False
    method: str = "GET"


    @property
    def strays(self):
        """Do bytes come behind its end? They come in the same write as the end: behind the next request nothing could tell
        them from its answer."""
        return "evil" in self.sent or self.sent.endswith("okX")


def bad(id, rfc, sent, then="wait", method="GET"):
    return Answer(id, rfc, sent, BAD, None, then, method=method)


def good(id, rfc, sent, down=Down(), then="wait", keeps=False, method="GET"):
    return Answer(id, rfc, sent, GOOD, down, then, keeps, method)


def broken(id, rfc, sent, then="wait", method="GET"):
    return Answer(id, rfc, sent, BROKEN, None, then, method=method)


OK = "HTTP/1.1 200 OK\r\n"
LENGTH = "Content-Length: 2\r\n"
CHUNKED = OK + "Transfer-Encoding: chunked\r\n\r\n"
PLAIN = LENGTH + "\r\nok"


def line(text):
    return text + "\r\n" + PLAIN


def field(text):
    return OK + text + "\r\n" + PLAIN


def framed(text, body="ok"):
    return OK + text + "\r\n\r\n" + body


LINES = [
    good("plain", "9112 §4", OK + PLAIN, keeps=KEEPS),
    good("no phrase", "9112 §4", line("HTTP/1.1 200 "), keeps=KEEPS),
    good("no phrase, no blank", "9112 §4", line("HTTP/1.1 200"), keeps=KEEPS),
    good("a code that nobody knows", "9110 §15", line("HTTP/1.1 299 Odd"), Down(299), keeps=KEEPS),
    good("a phrase of 8-bit bytes and tabs", "9112 §4", line("HTTP/1.1 200 \xe9\t!"), keeps=KEEPS),
    good("a blank before the phrase", "9112 §4", line("HTTP/1.1 200  OK"), keeps=KEEPS),
    good("HTTP/1.0", "9112 §9.3", line("HTTP/1.0 200 OK")),
    good("HTTP/1.0 that keeps the connection", "9112 §9.3", line("HTTP/1.0 200 OK\r\nConnection: Keep-Alive"), keeps=KEEPS),
    good("HTTP/1.0 until its end", "9112 §6.3", "HTTP/1.0 200 OK\r\n\r\nok", then="close"),
    good("HTTP/1.0 that keeps the connection, until its end", "9112 §6.3", "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n\r\nok", then="close"),
    bad("code 99", "9110 §15", line("HTTP/1.1 099 Odd")),
    bad("code 600", "9110 §15", line("HTTP/1.1 600 Odd")),
    bad("code 999", "9110 §15", line("HTTP/1.1 999 Odd")),
    bad("code of two digits", "9112 §4", line("HTTP/1.1 20 OK")),
    bad("code of one digit", "9112 §4", line("HTTP/1.1 2 OK")),
    bad("code of four digits", "9112 §4", line("HTTP/1.1 2000 OK")),
    bad("code with a sign", "9112 §4", line("HTTP/1.1 +20 OK")),
    bad("code of letters", "9112 §4", line("HTTP/1.1 2OO OK")),
    bad("hexadecimal code", "9112 §4", line("HTTP/1.1 0xC8 OK")),
    bad("no code", "9112 §4", line("HTTP/1.1 OK")),
    bad("version alone", "9112 §4", line("HTTP/1.1")),
    bad("two blanks before the code", "9112 §4", line("HTTP/1.1  200 OK")),
    bad("tab before the code", "9112 §4", line("HTTP/1.1\t200 OK")),
    bad("tab behind the code", "9112 §4", line("HTTP/1.1 200\tOK")),
    bad("blank before the version", "9112 §4", line(" HTTP/1.1 200 OK")),
    bad("HTTP/2.0", "9110 §2.5", line("HTTP/2.0 200 OK")),
    bad("HTTP/2", "9112 §2.3", line("HTTP/2 200")),
    bad("HTTP/1.2", "9110 §2.5", line("HTTP/1.2 200 OK")),
    bad("HTTP/0.9 with a line", "9112 §2.3", line("HTTP/0.9 200 OK")),
    bad("HTTP/1.01", "9112 §2.3", line("HTTP/1.01 200 OK")),
    bad("HTTP/11.1", "9112 §2.3", line("HTTP/11.1 200 OK")),
    bad("http/1.1", "9112 §2.3", line("http/1.1 200 OK")),
    bad("ICY", "9112 §4", line("ICY 200 OK")),
    bad("RTSP", "9112 §4", line("RTSP/1.1 200 OK")),
    bad("HTP/1.1", "9112 §4", line("HTP/1.1 200 OK")),
    bad("a body alone, as HTTP/0.9 has it", "9112 §2.3", "<html>ok</html>\r\n", "close"),
    bad("an empty line in front", "9112 §2.2", "\r\n" + OK + PLAIN),
    bad("a bare LF in front", "9112 §2.2", "\n" + OK + PLAIN),
    bad("a bare CR in front", "9112 §2.2", "\r" + OK + PLAIN),
    bad("a byte-order mark in front", "9112 §2.2", "\xef\xbb\xbf" + OK + PLAIN),
    bad("a request", "9112 §2.1", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    bad("a preface of HTTP/2", "9113 §3.4", "\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x64", "close"),
    bad("NUL in the phrase", "9112 §4", line("HTTP/1.1 200 O\0K")),
    bad("control in the phrase", "9112 §4", line("HTTP/1.1 200 O\x01K")),
    bad("DEL in the phrase", "9112 §4", line("HTTP/1.1 200 O\x7fK")),
    bad("bare CR in the phrase", "9112 §2.2", line("HTTP/1.1 200 O\rX-A: b")),
    bad("bare LF behind the line", "9112 §2.2", "HTTP/1.1 200 OK\n" + PLAIN),
    bad("CR CR LF behind the line", "9112 §2.2", "HTTP/1.1 200 OK\r\r\n" + PLAIN),
]

FIELDS = [
    good("fields as they are", "9112 §5", field("X-A:b\r\nx-a: \t c d \t\r\nX-B:"),
         Down(fields=(("X-A", "b"), ("x-a", "c d"), ("X-B", ""))), keeps=KEEPS),
    good("8-bit value", "9110 §5.5", field("X-A: \xe9\xff"), Down(fields=(("X-A", "\xe9\xff"),)), keeps=KEEPS),
    good("fields that Connection names", "9110 §7.6.1", field("Connection: X-A\r\nX-A: b\r\nX-C: d"), Down(fields=(("X-C", "d"),)), keeps=KEEPS),
    good("an upgrade that is offered", "9110 §7.8", field("Connection: Upgrade\r\nUpgrade: h2c"), keeps=KEEPS),
    good("a name that begins as a length's", "9112 §6.3", field("Content-Length-X: 0"), Down(fields=(("Content-Length-X", "0"),)), keeps=KEEPS),
    bad("fold", "9112 §5.2", field("X-A: b\r\n c")),
    bad("fold with a tab", "9112 §5.2", field("X-A: b\r\n\tc")),
    bad("fold behind the status line", "9112 §5.2", field(" X-A: b")),
    bad("fold of blanks alone", "9112 §5.2", field("X-A: b\r\n ")),
    bad("blank before the colon", "9112 §5.1", field("X-A : b")),
    bad("tab before the colon", "9112 §5.1", field("X-A\t: b")),
    bad("blank within a name", "9110 §5.1", field("X A: b")),
    bad("tab within a name", "9110 §5.1", field("X\tA: b")),
    bad("bare CR before a name", "9112 §2.2", field("\rX-A: b")),
    bad("no colon", "9112 §5", field("nothing")),
    bad("no name", "9112 §5", field(": b")),
    bad("8-bit name", "9110 §5.1", field("X-\xc4: b")),
    bad("NUL in a name", "9110 §5.1", field("X\0A: b")),
    bad("NUL in a value", "9110 §5.5", field("X-A: b\0c")),
    bad("control in a value", "9110 §5.5", field("X-A: b\x0bc")),
    bad("DEL in a value", "9110 §5.5", field("X-A: b\x7fc")),
    bad("bare CR in a value", "9112 §2.2", field("X-A: b\rSet-Cookie: c")),
    bad("bare LF in a value", "9112 §2.2", field("X-A: b\nSet-Cookie: c")),
    bad("bare LF for the empty line", "9112 §2.2", OK + LENGTH + "\nok"),
    bad("bare LFs alone", "9112 §2.2", (OK + PLAIN).replace("\r\n", "\n")),
    bad("more fields than the limit", "9110 §5.4", field("\r\n".join(["X-A: b"] * 200))),
    bad("a head over the limit", "9110 §5.4", field("X-A: " + "b" * 60000)),
]

LENGTHS = [
    good("length of nothing", "9112 §6.2", framed("Content-Length: 0", ""), Down(body=b""), keeps=KEEPS),
    good("length with blanks around", "9112 §5.1", framed("Content-Length: \t2 \t"), keeps=KEEPS),
    good("neither length nor coding", "9112 §6.3", OK + "\r\nok", then="close"),
    bad("two equal lengths", "9110 §8.6", framed("Content-Length: 2\r\nContent-Length: 2")),
    bad("two lengths that differ", "9112 §6.3", framed("Content-Length: 2\r\nContent-Length: 0")),
    bad("listed lengths", "9110 §8.6", framed("Content-Length: 2, 2")),
    bad("length with a plus", "9110 §8.6", framed("Content-Length: +2")),
    bad("length with a minus", "9110 §8.6", framed("Content-Length: -2")),
    bad("hexadecimal length", "9110 §8.6", framed("Content-Length: 0x2")),
    bad("length and letters", "9110 §8.6", framed("Content-Length: 2x")),
    bad("blank within a length", "9110 §8.6", framed("Content-Length: 0 2")),
    bad("quoted length", "9110 §8.6", framed('Content-Length: "2"')),
    bad("empty length", "9110 §8.6", framed("Content-Length:")),
    bad("length of 2^64 and 2", "9110 §8.6", framed("Content-Length: 18446744073709551618")),
    bad("length beside a coding", "9112 §6.3", framed("Content-Length: 2\r\nTransfer-Encoding: chunked", "2\r\nok\r\n0\r\n\r\n")),
    bad("coding beside a length", "9112 §6.3", framed("Transfer-Encoding: chunked\r\nContent-Length: 12", "2\r\nok\r\n0\r\n\r\n")),
    bad("two codings in two fields", "9112 §6.1", framed("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n")),
    bad("gzip, chunked", "9112 §6.1", framed("Transfer-Encoding: gzip, chunked", "0\r\n\r\n")),
    bad("chunked, gzip", "9112 §6.1", framed("Transfer-Encoding: chunked, gzip", "0\r\n\r\n"), "close"),
    bad("identity", "9112 §7", framed("Transfer-Encoding: identity"), "close"),
    bad("xchunked", "9112 §6.1", framed("Transfer-Encoding: xchunked"), "close"),
    bad("chunkedchunked", "9112 §6.1", framed("Transfer-Encoding: chunkedchunked", "0\r\n\r\n"), "close"),
    bad("chunked with a vertical tab", "9110 §5.5", framed("Transfer-Encoding: \x0bchunked", "0\r\n\r\n")),
    bad("empty coding", "9112 §6.1", framed("Transfer-Encoding:"), "close"),
    bad("coding in HTTP/1.0", "9112 §6.1", CHUNKED.replace("/1.1", "/1.0") + "2\r\nok\r\n0\r\n\r\n"),
    broken("body shorter than its length", "9112 §8", framed("Content-Length: 5"), "close"),
    broken("reset within its length", "9112 §8", framed("Content-Length: 5"), "reset"),
    good("bytes behind the length", "9112 §6.3", OK + PLAIN + "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"),
    good("a letter behind the length", "9112 §6.3", OK + PLAIN + "X"),
]

CHUNKS = [
    good("chunked", "9112 §7.1", CHUNKED + "1\r\no\r\n1\r\nk\r\n0\r\n\r\n", keeps=KEEPS),
    good("extensions", "9112 §7.1.1", CHUNKED + '02;a=b;c="d"\r\nok\r\n00;e\r\n\r\n', keeps=KEEPS),
    # An extension is read over, whatever it says, and none of it comes down
    good("semicolon without an extension", "9112 §7.1.1", CHUNKED + "2;\r\nok\r\n0\r\n\r\n", keeps=KEEPS),
    good("quote that is not closed", "9112 §7.1.1", CHUNKED + '2;a="b\r\nok\r\n0\r\n\r\n', keeps=KEEPS),
    good("extension with a letter that is none of a name", "9112 §7.1.1", CHUNKED + "2;a[b=c\r\nok\r\n0\r\n\r\n", keeps=KEEPS),
    good("trailers", "9112 §7.1.2", CHUNKED + "2\r\nok\r\n0\r\nX-A: b\r\n\r\n", Down(trailers=(("X-A", "b"),)), keeps=KEEPS),
    good("bytes behind the last chunk", "9112 §6.3", CHUNKED + "2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"),
    broken("hexadecimal size", "9112 §7.1", CHUNKED + "0x2\r\nok\r\n0\r\n\r\n"),
    broken("size with a sign", "9112 §7.1", CHUNKED + "+2\r\nok\r\n0\r\n\r\n"),
    broken("blank before a size", "9112 §7.1", CHUNKED + " 2\r\nok\r\n0\r\n\r\n"),
    broken("blank behind a size", "9112 §7.1", CHUNKED + "2 \r\nok\r\n0\r\n\r\n"),
    broken("size and letters", "9112 §7.1", CHUNKED + "2x\r\nok\r\n0\r\n\r\n"),
    broken("no size", "9112 §7.1", CHUNKED + "\r\nok\r\n0\r\n\r\n"),
    broken("size of 2^64 and 2", "9112 §7.1", CHUNKED + "10000000000000002\r\nok\r\n0\r\n\r\n"),
    broken("bare LF behind a size", "9112 §2.2", CHUNKED + "2\nok\r\n0\r\n\r\n"),
    broken("bare CR behind a size", "9112 §2.2", CHUNKED + "2\rok\r\n0\r\n\r\n"),
    broken("bare LF in an extension", "9112 §2.2", CHUNKED + "2;a\nok\r\n0\r\n\r\n"),
    broken("CR in a quoted extension", "9112 §7.1.1", CHUNKED + '2;a="\r"\r\nok\r\n0\r\n\r\n'),
    broken("NUL in an extension", "9112 §7.1.1", CHUNKED + "2;a\0\r\nok\r\n0\r\n\r\n"),
    broken("words behind a size", "9112 §7.1", CHUNKED + "2 abc\r\nok\r\n0\r\n\r\n"),
    broken("extension of 30 KB", "9112 §7.1.1", CHUNKED + "2;a=" + "b" * 30000 + "\r\nok\r\n0\r\n\r\n"),
    broken("more data than the size", "9112 §7.1", CHUNKED + "1\r\nok\r\n0\r\n\r\n"),
    broken("no CR LF behind data", "9112 §7.1", CHUNKED + "2\r\nok0\r\n\r\n"),
    broken("bare LF behind data", "9112 §7.1", CHUNKED + "2\r\nok\n0\r\n\r\n"),
    broken("bare LF for the last line", "9112 §2.2", CHUNKED + "2\r\nok\r\n0\r\n\n"),
    broken("length in a trailer", "9110 §6.5.1", CHUNKED + "2\r\nok\r\n0\r\nContent-Length: 2\r\n\r\n"),
    broken("coding in a trailer", "9110 §6.5.1", CHUNKED + "2\r\nok\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    broken("trailer without a colon", "9112 §5", CHUNKED + "2\r\nok\r\n0\r\nnothing\r\n\r\n"),
    broken("folded trailer", "9112 §5.2", CHUNKED + "2\r\nok\r\n0\r\nX-A: b\r\n c\r\n\r\n"),
    broken("NUL in a trailer", "9110 §5.5", CHUNKED + "2\r\nok\r\n0\r\nX-A: b\0\r\n\r\n"),
    broken("trailers over the limit", "9110 §5.4", CHUNKED + "2\r\nok\r\n0\r\n" + "X-A: " + "b" * 60000 + "\r\n\r\n"),
    broken("a response for a chunk", "9112 §7.1", CHUNKED + OK + PLAIN),
]
# Cut in each place
WHOLE = CHUNKED + "2;a\r\nok\r\n0\r\nX-A: b\r\n\r\n"
CHUNKS += [broken(f"cut {length - len(CHUNKED)} bytes behind the head", "9112 §8", WHOLE[:length], "close")
           for length in range(len(CHUNKED), len(WHOLE))]
CUTS = [bad(f"cut {length} bytes behind its start", "9112 §8", (OK + LENGTH)[:length], then)
        for length in range(1, len(OK + LENGTH), 4) for then in ("close", "reset")[: 1 + (length == 13)]]
CUTS = [dataclasses.replace(row, id=row.id + (", by a reset" if row.then == "reset" else "")) for row in CUTS]

CODES = [
    good("204", "9110 §15.3.5", "HTTP/1.1 204 No Content\r\n\r\n", Down(204, b""), keeps=KEEPS),
    good("204 with a length", "9112 §6.3", "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil", Down(204, b"")),
    good("204 that promises a body", "9112 §6.3", "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n", Down(204, b"")),
    good("204 with a length of nothing", "9112 §6.3", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", Down(204, b""), keeps=KEEPS),
    good("204 with chunks", "9112 §6.3", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n", Down(204, b"")),
    good("304 with a body", "9112 §6.3", "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nevil", Down(304, b"")),
    good("304 with chunks", "9112 §6.3", "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n", Down(304, b"")),
    good("HEAD with a body", "9110 §9.3.2", OK + "Content-Length: 4\r\n\r\nevil", Down(200, b""), method="HEAD"),
    good("HEAD with a response behind it", "9110 §9.3.2", OK + LENGTH + "\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
         Down(200, b""), method="HEAD"),
    good("early hints", "9110 §15.2", "HTTP/1.1 103 Early Hints\r\nX-A: b\r\n\r\n" + OK + PLAIN, Down(interim=(103,)), keeps=KEEPS),
    good("100 that nobody waits for", "9110 §15.2.1", "HTTP/1.1 100 Continue\r\n\r\n" + OK + PLAIN, Down(interim=(100,)), keeps=KEEPS),
    good("100, then an error", "9110 §15.2.1", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 400 No\r\n" + PLAIN, Down(400, interim=(100,)), keeps=KEEPS),
    good("1xx with a length", "9112 §6.3", "HTTP/1.1 103 Early Hints\r\nContent-Length: 4\r\n\r\n" + OK + PLAIN, Down(interim=(103,)), keeps=KEEPS),
    bad("1xx without an end", "9112 §8", "HTTP/1.1 103 Early Hints\r\n\r\n", "close"),
    bad("malformed behind a 1xx", "9112 §4", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 20 OK\r\n\r\n"),
    bad("malformed 1xx", "9112 §5.1", "HTTP/1.1 103 Early Hints\r\nX-A : b\r\n\r\n" + OK + PLAIN),
    bad("a flood of 1xx", "9110 §15.2", "HTTP/1.1 103 Early Hints\r\n\r\n" * 200 + OK + PLAIN),
    bad("101 that nobody asked for", "9110 §7.8", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nraw"),
    bad("101 behind a 103", "9110 §7.8", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nraw"),
]

ROWS = LINES + FIELDS + LENGTHS + CHUNKS + CUTS + CODES
