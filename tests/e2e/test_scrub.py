"""What comes back is searched for the secret that went out (SPEC §3 Scrubbing)."""

import base64
import gzip
import json
import os
import random
import threading
import urllib.parse

import pytest

from peers import evidence
from peers.config import get, one_api
from peers.nginx import Nginx
from peers.wire import Closed

SECRET = "scrub-" + os.urandom(16).hex()  # without the canary: parts of it do go on
SPECIAL = "p+a/b=c \"q\\u%41&" + evidence.CANARY + "<'>~"


@pytest.fixture
def serve(keystile, origin):
    """serve(ANSWER, …): ANSWER(request) gives the bytes of the whole response, or a list of pieces."""

    def start(answer, secret=None, **more):
        def script(connection):
            request = connection.request()
            connection.origin.requests.append(request)
            pieces = answer(request)
            for piece in pieces if isinstance(pieces, list) else [pieces]:
                connection.send(piece)
            connection.rest()

        server = origin(script)
        proxy = keystile(one_api(f"http://127.0.0.1:{server.port}", **more), {"api": secret or SECRET})
        return proxy, server

    return start


def response(body, *fields, status="200 OK"):
    body = body.encode() if isinstance(body, str) else body
    return "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", *fields, f"Content-Length: {len(body)}", "")).encode() + body


def secret_of(request):
    return request.get("Authorization").split(" ", 1)[1]


def ask(proxy, *fields, path="/api/x"):
    with proxy.client() as client:
        return client.ask(get(path, proxy.token(), *fields))


def test_echo_in_a_body(serve):
    proxy, _ = serve(lambda request: response(f"you sent {secret_of(request)}, did you?"), secret=evidence.secret())
    answer = ask(proxy)
    assert answer.status == 200
    assert answer.text == f"you sent {'*' * len(evidence.secret())}, did you?"
    line = proxy.audit(1, verdict="allow")[0]
    assert line["scrubbed"] == 1 and line["injected"]


FORMS = {
    "plain": lambda secret: secret,
    "percent": lambda secret: urllib.parse.quote(secret, safe=""),
    "percent, small letters": lambda secret: urllib.parse.quote(secret, safe="/").replace("%2B", "%2b"),
    "form": urllib.parse.quote_plus,
    "json": lambda secret: json.dumps(secret)[1:-1],
    "json with slashes": lambda secret: json.dumps(secret)[1:-1].replace("/", "\\/"),
    "json for html": lambda secret: "".join(f"\\u{ord(c):04X}" if c in "<>&'+=" else c for c in json.dumps(secret)[1:-1]),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms(serve, form):
    written = FORMS[form](SPECIAL)
    proxy, _ = serve(lambda request: response(f"[{written}]", f"X-Echo: a{written}b"), secret=SPECIAL)
    answer = ask(proxy)
    assert answer.text == f"[{'*' * len(written)}]"
    assert answer.get("X-Echo") == "a[secret]b"


def test_basic_as_sent(serve):
    proxy, _ = serve(lambda request: response(f"({secret_of(request)})"), inject="{ basic: someone }")
    sent = base64.b64encode(f"someone:{SECRET}".encode())
    assert ask(proxy).text == f"({'*' * len(sent)})"


def test_query_as_sent(serve):
    proxy, _ = serve(lambda request: response(f"({request.target})"), secret=SPECIAL, inject="{ query: key }")
    sent = urllib.parse.quote(SPECIAL, safe="")
    assert ask(proxy, path="/api/x?a=b").text == f"(/x?a=b&key={'*' * len(sent)})"


@pytest.mark.parametrize("framing", ["length", "chunked", "until close"])
def test_split_anywhere(serve, framing):
    """Each byte on its own, and other cuts; what is no find comes through whole."""
    body = f"{SECRET[:10]}x{SECRET}{SECRET}{SECRET[:-1]}-{SECRET[5:]}{SECRET}{SECRET[:7]}"
    stars = "*" * len(SECRET)
    want = f"{SECRET[:10]}x{stars}{stars}{SECRET[:-1]}-{SECRET[5:]}{stars}{SECRET[:7]}"
    cuts = iter([1, 2, 3, 7, 50])

    def answer(request):
        size = next(cuts)
        pieces = [body[at:at + size] for at in range(0, len(body), size)]
        if framing == "chunked":
            pieces = [f"{len(piece):x}\r\n{piece}\r\n" for piece in pieces] + ["0\r\n\r\n"]
        line = {"length": f"Content-Length: {len(body)}", "chunked": "Transfer-Encoding: chunked", "until close": "X: y"}
        return [f"HTTP/1.1 200 OK\r\nConnection: close\r\n{line[framing]}\r\n\r\n"] + pieces

    def script(connection):
        for piece in answer(connection.request()):
            connection.send(piece)
        connection.close()

    proxy, server = serve(answer)
    server.script = script
    for _ in range(5):
        assert ask(proxy).text == want


def test_an_event_leaves_as_it_comes(serve, keystile, origin):
    """Its end is no beginning of the secret, so nobody waits; where it is, the next bytes decide."""
    arrived = threading.Semaphore(0)

    def script(connection):
        connection.request()
        connection.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for data in (f"data: {SECRET}\n\n", "data: 2\n\n", f"data: 3 {SECRET[:9]}\n\n"):
            connection.send(f"{len(data):x}\r\n{data}\r\n")
            assert arrived.acquire(timeout=10), "the event did not reach the client"
        connection.send("0\r\n\r\n")

    server = origin(script)
    proxy = keystile(one_api(f"http://127.0.0.1:{server.port}"), {"api": SECRET})
    with proxy.client() as client:
        client.send(get("/api/x", proxy.token()))
        client.head()
        for want in (f"data: {'*' * len(SECRET)}\n\n", "data: 2\n\n", f"data: 3 {SECRET[:9]}\n\n"):
            event = b""
            while not event.endswith(b"\n\n"):
                event += client.chunk()
            assert event.decode() == want
            arrived.release()
        assert client.chunk() == b""


def test_fields_names_and_trailers(serve):
    fields = [f"X-A: {SECRET}", f"X-B: {SECRET},{SECRET}", f"X-{SECRET}: a", "X-C: c"]
    head = "HTTP/1.1 103 Early Hints\r\nX-E: " + SECRET + "\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
    proxy, _ = serve(lambda request: head + "\r\n".join(fields) + f"\r\n\r\n2\r\nok\r\n0\r\nX-T: <{SECRET}>\r\n\r\n")
    with proxy.client() as client:
        client.send(get("/api/x", proxy.token()))
        early = client.head()
        assert (early.status, early.get("X-E")) == (103, "[secret]")
        answer = client.response()
    assert answer.get("X-A") == "[secret]" and answer.get("X-B") == "[secret],[secret]" and answer.get("X-C") == "c"
    assert answer.trailers == [("X-T", "<[secret]>")]
    assert proxy.audit(1, verdict="allow")[0]["scrubbed"] == 6


def test_reason_phrase(serve):
    """Where the head is written past libmicrohttpd: interim responses, and those that come before the request's end."""
    early = f"HTTP/1.1 103 so {SECRET}\r\nX: y\r\n\r\n"
    final = f"HTTP/1.1 413 not {SECRET} again\r\nContent-Length: 2\r\n\r\nno"
    proxy, server = serve(None)
    server.script = lambda connection: (connection.head(), connection.send(early), connection.send(final), connection.rest())
    with proxy.client() as client:
        client.send(get("/api/x", proxy.token(), "Content-Length: 100", method="POST") + "begin")
        assert client.head().line == "HTTP/1.1 103 so [secret]"
        assert client.head().line == "HTTP/1.1 413 not [secret] again"
        assert client.exactly(2) == b"no"
    assert proxy.audit(1, status=413)[0]["scrubbed"] == 2


SENT_UP = [
    (["gzip, deflate, br"], ["gzip"]),
    (["br;q=1.0, gzip;q=0.8, *;q=0.1"], ["gzip;q=0.8"]),
    (["br, zstd"], ["identity"]),
    (["*"], ["identity"]),
    (["identity;q=0.5, GZIP"], ["identity;q=0.5, GZIP"]),
    (["br", "gzip"], ["identity", "gzip"]),
    ([], []),
]


@pytest.mark.parametrize("sent,want", SENT_UP, ids=[str(row[0]) for row in SENT_UP])
def test_codings_that_can_be_read(serve, sent, want):
    proxy, server = serve(lambda request: response("ok"))
    assert ask(proxy, *[f"Accept-Encoding: {value}" for value in sent]).status == 200
    assert server.requests[0].all("Accept-Encoding") == want


def test_codings_where_nothing_is_searched(serve):
    proxy, server = serve(lambda request: response(secret_of(request)), scrub="off")
    assert ask(proxy, "Accept-Encoding: br").text == SECRET
    assert server.requests[0].all("Accept-Encoding") == ["br"]
    assert proxy.audit(1, verdict="allow")[0]["scrubbed"] == 0


def drawn(letters, count):
    return "".join(random.Random(7).choices(letters, k=count))


def long_text():
    return drawn("abcdefghij ", 200000)


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZIP"])
def test_gzip_passes_as_it_came(serve, coding):
    packed = gzip.compress(long_text().encode())
    proxy, _ = serve(lambda request: response(packed, f"Content-Encoding: {coding}"))
    with proxy.client() as client:
        client.send(get("/api/x", proxy.token(), "Accept-Encoding: gzip"))
        head = client.head()
        assert client.exactly(int(head.get("Content-Length"))) == packed


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("size", [1, 5, 100, 100000])
def test_a_find_in_gzip_breaks(serve, members, size):
    """Nobody can put together what went on before: without the end of it the rest does not tell the secret."""
    text = (long_text()[:3000] + SECRET + long_text()[:3000]).encode()
    step = len(text) // members + 1
    packed = b"".join(gzip.compress(text[at:at + step]) for at in range(0, len(text), step))
    pieces = [packed[at:at + size] for at in range(0, len(packed), size)]
    proxy, _ = serve(lambda request: [f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"] + pieces)
    with proxy.client() as client:
        client.send(get("/api/x", proxy.token(), "Accept-Encoding: gzip"))
        with pytest.raises((Closed, ConnectionResetError)):
            client.head()
            client.exactly(len(packed))
    line = proxy.audit(1, reason="secret_in_gzip", verdict="fail")[0]
    assert line["scrubbed"] == 1


@pytest.mark.parametrize("tail,whole", [(b"", True), (b"\0" * 100, True), (b"something", False)], ids=["none", "zeros", "other"])
def test_behind_gzip(serve, tail, whole):
    packed = gzip.compress(b"text") + tail
    proxy, _ = serve(lambda request: response(packed, "Content-Encoding: gzip"))
    with proxy.client() as client:
        client.send(get("/api/x", proxy.token(), "Accept-Encoding: gzip"))
        if whole:
            client.head()
            assert client.exactly(len(packed)) == packed
        else:
            with pytest.raises((Closed, ConnectionResetError)):
                client.head()
                client.exactly(len(packed))
            assert proxy.audit(1, reason="unreadable_gzip")


ECHO = """
	location /echo { add_header X-Echo $http_authorization; return 200 "you sent $http_authorization and $request_uri\\n"; }
	location /packed { gzip on; gzip_min_length 0; gzip_types *; alias %s; }
"""


def test_nginx(keystile, tmp_path):
    """A real server that echoes, as it stands and through its own gzip."""
    secret = evidence.secret()
    (tmp_path / "clean").write_text(long_text())
    (tmp_path / "echoed").write_text(long_text() + secret + long_text())
    server = Nginx(tmp_path / "nginx", more=ECHO % f"{tmp_path}/")
    try:
        proxy = keystile(one_api(f"http://127.0.0.1:{server.port}"), {"api": secret})
        answer = ask(proxy, path="/api/echo?a")
        assert answer.get("X-Echo") == "Bearer [secret]"
        assert answer.text == f"you sent Bearer {'*' * len(secret)} and /echo?a\n"
        answer = ask(proxy, "Accept-Encoding: br, gzip", path="/api/packed/clean")
        assert answer.get("Content-Encoding") == "gzip" and gzip.decompress(answer.body).decode() == long_text()
        assert not ask(proxy, "Accept-Encoding: br, gzip", path="/api/packed/echoed").clean
        assert proxy.audit(1, reason="secret_in_gzip")[0]["scrubbed"] == 1
        assert ask(proxy, "Accept-Encoding: br", path="/api/packed/echoed").text.count("*") == len(secret)
    finally:
        server.close()


def test_gzip_that_names_the_secret(serve):
    """RFC 1952 §2.3.1: a member's file name is not packed."""
    packed = bytes.fromhex("1f8b08080000000000ff") + SECRET.encode() + b"\0" + gzip.compress(b"text")[10:]
    assert gzip.decompress(packed) == b"text"
    proxy, _ = serve(lambda request: response(packed, "Content-Encoding: gzip"))
    with proxy.client() as client:
        client.send(get("/api/x", proxy.token(), "Accept-Encoding: gzip"))
        assert SECRET.encode() not in client.rest()
    assert proxy.audit(1, reason="secret_in_gzip", verdict="fail")


UNREAD = [("206 Partial Content", []), ("200 OK", ["Content-Encoding: br"]), ("200 OK", ["Content-Encoding: gzip, gzip"])]


@pytest.mark.parametrize("status,fields", UNREAD, ids=["part", "br", "two codings"])
def test_what_passes_unread(serve, status, fields):
    proxy, _ = serve(lambda request: response("as it is: " + secret_of(request)[:-3] + "xyz", *fields, status=status))
    assert ask(proxy).text == "as it is: " + SECRET[:-3] + "xyz"


def test_short_secrets_are_not_searched_for(serve):
    proxy, server = serve(lambda request: response("a " + secret_of(request)), secret="abcdefg")
    assert ask(proxy, "Accept-Encoding: br").text == "a abcdefg"
    assert server.requests[0].all("Accept-Encoding") == ["br"]


def test_long_secrets(serve):
    secret = "long-one" + drawn("abc+/=%\\\"", 3000)
    proxy, _ = serve(lambda request: response(json.dumps({"got": secret_of(request)})), secret=secret)
    answer = ask(proxy)
    assert set(json.loads(answer.text.replace("*", ""))["got"]) == set() and len(answer.text) == len(json.dumps({"got": secret}))


def test_head_tells_nothing(serve):
    proxy, _ = serve(lambda request: f"HTTP/1.1 200 OK\r\nX-Echo: {secret_of(request)}\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\n")
    with proxy.client() as client:
        answer = client.ask(get("/api/x", proxy.token(), method="HEAD"), "HEAD")
    assert (answer.status, answer.get("X-Echo"), answer.get("Content-Length")) == (200, "[secret]", "5")


def test_a_length_that_is_the_secret(serve):
    proxy, _ = serve(lambda request: "HTTP/1.1 200 OK\r\nContent-Length: 12345678\r\n\r\n", secret="12345678")
    with proxy.client() as client:
        answer = client.ask(get("/api/x", proxy.token(), method="HEAD"), "HEAD")
    assert (answer.status, answer.get("Content-Length")) == (200, "12345678")


def test_blanks_around_a_secret(serve):
    proxy, _ = serve(lambda request: response(f"({SECRET})"), secret=f" {SECRET} ")
    assert ask(proxy).text == f"({'*' * len(SECRET)})"


def test_a_token_among_the_codings(serve):
    proxy, server = serve(lambda request: response("ok"))
    assert ask(proxy, f"Accept-Encoding: gzip;x={proxy.token()}").status == 200
    assert server.requests[0].all("Accept-Encoding") == []
