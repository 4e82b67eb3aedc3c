"""Every entry of `limits:` (SPEC §3): what it bounds, what is told, and that whoever drips, stalls or floods gets nowhere."""

import threading
import time

import pytest

from peers import evidence, sanitizers
from peers.config import get, one_api, problem
from peers.wire import Closed

LATE = 8  # s: a limit of 1 s was reached by then, wherever this machine stood still, and no other limit was


@pytest.fixture
def serve(before):
    """serve(SCRIPT, {LIMIT: VALUE}) gives proxyd with these limits in front of an origin that runs the script."""

    def start(script=None, limits=None, **more):
        text = ", ".join(f"{name}: {value}" for name, value in (limits or {}).items())
        return before(script, {"limits": "{{ " + text + " }}"} if limits else None, **more)

    return start


@pytest.fixture
def clock():
    """Seconds since the test began, or since clock.start()."""

    class Clock:
        def start(self):
            self.began = time.monotonic()

        def __call__(self):
            return time.monotonic() - self.began

    one = Clock()
    one.start()
    return one


def warm(client, proxy, place):
    """Makes what follows on the connection its first or a later request."""
    if place == "second":
        assert client.ask(get("/api/warm", proxy.token())).status == 200


PLACES = pytest.mark.parametrize("place", ["first", "second"])


def padded(request, size):
    """`request` with a field that makes it just `size` bytes long."""
    return request[:-2] + "X-Pad: " + "a" * (size - len(request) - len("X-Pad: \r\n")) + "\r\n\r\n"


def test_limits_are_read(keystile):
    limits = "tunnel_idle: 5m, streams: 7, signed_body: 1MiB"
    proxy = keystile(one_api("http://127.0.0.1:1"), {"api": "secret"}, {"limits": "{{ " + limits + " }}"}, start=False)
    assert proxy.check().returncode == 0
    for wrong in ("tunnel_idle: 5", "streams: 0", "signed_body: big"):
        proxy.config.write_text(proxy.text.replace(limits, wrong))
        told = proxy.check()
        assert told.returncode == 1 and "keystile.yaml:9:" in told.err, told.err


# Heads


@PLACES
@pytest.mark.parametrize("more,status", [(0, 200), (1, 431)])
def test_head(serve, place, more, status):
    proxy, server = serve(limits={"head": "2KiB"})
    with proxy.client() as client:
        warm(client, proxy, place)
        response = client.ask(padded(proxy.request(), 2048 + more))
    if status == 200:
        assert response.status == 200
    else:
        assert "limits.head" in problem(response, 431)["hint"]
    assert len(server.requests) == (place == "second") + (status == 200)


@pytest.mark.parametrize("size,whole,status", [(2048, True, 200), (5000, True, 431), (5000, False, 431)])
def test_a_later_head_under_a_small_limit(serve, size, whole, status):
    """Of a head over the limit no more is looked at than there is room for. (A client's first words in TLS may take 1.5 KiB.)"""
    proxy, server = serve(limits={"head": "2KiB"})
    with proxy.client() as client:
        warm(client, proxy, "second")
        client.send(padded(proxy.request(), size)[: size if whole else size - 100])
        assert client.response().status == status
    assert len(server.requests) == 1 + (status == 200)
    assert proxy.ask(proxy.request()).status == 200


@PLACES
@pytest.mark.parametrize("more,status", [(0, 200), (1, 431)])
def test_fields(serve, place, more, status):
    proxy, server = serve(limits={"fields": 20})
    with proxy.client() as client:
        warm(client, proxy, place)
        response = client.ask(get("/api/x", proxy.token(), *["X-A: b"] * (18 + more)))
    if status == 200:
        assert response.status == 200
    else:
        assert "limits.fields" in problem(response, 431)["hint"]
    assert len(server.requests) == (place == "second") + (status == 200)


def drip(client, text, pause=0.05):
    """Sends byte by byte until something comes back; False where it could send all of it."""
    for byte in text:
        try:
            client.sock.sendall(byte.encode())
        except ConnectionError:
            return True
        if not client.quiet(pause):
            return True
    return False


@PLACES
@pytest.mark.parametrize("sent", ["", "GET /api/", "GET /api/x HTTP/1.1\r\nHost: h\r\n"], ids=["nothing", "line", "field"])
def test_head_time(serve, clock, place, sent):
    """The deadline stands from a head's first byte on, however many bytes follow; on a new connection, from its begin."""
    proxy, server = serve(limits={"head_time": "2s"})
    clock.start()
    with proxy.client() as client:
        warm(client, proxy, place)
        if place == "second":
            clock.start()
        client.send(sent)
        assert drip(client, "GET /" * (not sent) + "X" * 1000)
        problem(client.response(), 408)
        assert 1.9 < clock() < LATE, "a byte moved the deadline"
        assert client.rest() == b""
    assert proxy.audit(1, reason="head_late", status=408, verdict="fail")
    assert len(server.requests) == (place == "second")


def test_head_time_of_one_that_came_with_the_last(serve, clock):
    """The beginning of a head that was read together with the request in front of it has no more time than others."""
    proxy, _ = serve(limits={"head_time": "1s", "idle": "30s"})
    with proxy.client() as client:
        client.send(get("/api/x", proxy.token()) + "GET /api/y HTTP/1.1\r\nHost: h\r\n")
        assert client.response().status == 200
        clock.start()
        problem(client.response(), 408)
        assert clock() < LATE


def test_silence(serve, clock):
    """Who connects and says nothing is closed without a word."""
    proxy, _ = serve(limits={"head_time": "1s"})
    with proxy.client() as client:
        clock.start()
        assert client.rest() == b""
        assert clock() < LATE


def test_drips_hold_nobody_up(serve):
    """A hundred heads that never end, one byte in every of them now and then, while others are served."""
    proxy, _ = serve(limits={"head_time": "20s"})
    request, slow = get("/api/x", proxy.token()), [proxy.client() for _ in range(100)]
    for byte in "GET /api/x HTTP/1.1\r\nHost: h\r\n":
        for client in slow:
            client.sock.sendall(byte.encode())
        assert proxy.ask(request).status == 200
    for client in slow:
        client.close()


# Connections


def test_idle(serve, clock):
    """Both sides' connections are closed once nothing is asked for that long."""
    ended = threading.Event()

    def script(connection):
        connection.request()
        connection.answer()
        connection.rest()
        ended.set()

    proxy, _ = serve(script, {"idle": "1s"})
    with proxy.client() as client:
        clock.start()
        assert client.ask(get("/api/x", proxy.token())).status == 200
        assert client.rest() == b"", "closed without a word"
        assert 0.9 < clock() < LATE
        assert ended.wait(10), "the upstream's connection stays"


def test_idle_is_no_limit_of_an_answer(serve):
    """An answer may take longer than a connection may be idle."""
    go = threading.Event()

    def script(connection):
        connection.request()
        go.wait(5)
        connection.answer()

    proxy, _ = serve(script, {"idle": "300ms"})
    with proxy.client() as client:
        client.send(get("/api/x", proxy.token()))
        assert client.quiet(1)
        go.set()
        assert client.response().status == 200


# Bodies


def test_body_idle(serve, clock):
    """A body that stops coming: 408, and its upstream request ends with it."""
    ended = threading.Event()

    def script(connection):
        connection.rest()
        ended.set()

    proxy, _ = serve(script, {"body_idle": "1s", "response_idle": "20s"})
    with proxy.client() as client:
        clock.start()
        client.send(get("/api/x", proxy.token(), "Content-Length: 10", method="POST") + "half")
        assert "limits.body_idle" in problem(client.response(), 408)["hint"]
        assert 0.9 < clock() < LATE
        assert ended.wait(10), "the upstream's request goes on"
    assert proxy.audit(1, reason="body_late", status=408)


@pytest.mark.parametrize("field,pieces", [("Content-Length: 15", ["a"] * 15),
                                          ("Transfer-Encoding: chunked", ["1\r\na\r\n"] * 15 + ["0\r\n\r\n"])])
def test_body_idle_is_no_limit_of_a_body(serve, clock, field, pieces):
    """It may come as slowly as it likes, as long as it comes."""
    proxy, server = serve(limits={"body_idle": "3s"})
    with proxy.client() as client:
        client.send(get("/api/x", proxy.token(), field, method="POST"))
        for piece in pieces[:-1]:
            client.send(piece)
            assert client.quiet(0.25)
        client.send(pieces[-1])
        assert client.response().status == 200
        assert clock() > 3
    assert server.requests[0].body == b"a" * 15


def test_body_idle_of_a_chunk_head(serve):
    """Framing that never gets to a byte of content is no body that comes."""
    proxy, _ = serve(lambda connection: connection.rest(), {"body_idle": "1s"})
    with proxy.client() as client:
        client.send(get("/api/x", proxy.token(), "Transfer-Encoding: chunked", method="POST"))
        assert drip(client, "1;" + "a" * 200)
        problem(client.response(), 408)


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("where", ["limits", "credential", "credential, none in limits"])
def test_body(serve, framing, where):
    """A length over the limit is refused before a byte of it; a chunked body when it gets there, and nothing beyond goes up."""
    came, began, ended = [], threading.Event(), threading.Event()

    def script(connection):
        connection.head()
        began.set()
        came.append(connection.rest())
        ended.set()

    limit = {"limits": {"body": "100B"}} if where == "limits" else {"body": "100B"}
    proxy, server = serve(script, **limit)
    with proxy.client() as client:
        field = "Content-Length: 101" if framing == "length" else "Transfer-Encoding: chunked"
        client.send(get("/api/x", proxy.token(), field, method="POST"))
        if framing == "chunked":
            client.send("40\r\n" + "a" * 64 + "\r\n")
            assert began.wait(10), "nothing is sent up"
            client.send("40\r\n" + "b" * 64 + "\r\n0\r\n\r\n")
        assert "limits.body" in problem(client.response(), 413)["hint"]
    if framing == "chunked":
        assert ended.wait(10) and b"b" not in came[0], came
    assert len(server.connections) == (framing == "chunked")
    assert proxy.audit(1, reason="body_too_large", status=413, verdict="deny")


def test_body_of_just_the_limit(serve):
    proxy, server = serve(limits={"body": "100B"})
    with proxy.client() as client:
        request = get("/api/x", proxy.token(), "Content-Length: 100", method="POST") + "a" * 100
        assert client.ask(request).status == 200
        chunked = get("/api/x", proxy.token(), "Transfer-Encoding: chunked", method="POST")
        assert client.ask(chunked + "64\r\n" + "a" * 100 + "\r\n0\r\n\r\n").status == 200
    assert [request.body for request in server.requests] == [b"a" * 100] * 2


# Upstreams


def test_response_idle_of_a_head(serve, clock):
    """A head that drips is no answer: its bytes do not move the deadline."""
    ended = threading.Event()

    def script(connection):
        connection.request()
        connection.send("HTTP/1.1 200 OK\r\nX-A: ")
        drip(connection, "a" * 1000)
        ended.set()

    proxy, _ = serve(script, {"response_idle": "1s"})
    clock.start()
    assert "response_idle" in problem(proxy.ask(get("/api/x", proxy.token())), 504)["hint"]
    assert 0.9 < clock() < LATE
    assert ended.wait(10), "the upstream's request goes on"
    assert proxy.audit(1, reason="response_late", status=504)


def test_response_idle_is_no_limit_of_an_answer(serve, clock):
    def script(connection):
        connection.request()
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n")
        drip(connection, "a" * 15, 0.25)

    proxy, _ = serve(script, {"response_idle": "3s"})
    assert proxy.ask(get("/api/x", proxy.token())).body == b"a" * 15
    assert clock() > 3


def test_response_idle_of_a_credential(serve, clock):
    proxy, _ = serve(lambda connection: connection.rest(), {"response_idle": "20s"}, response_idle="1s")
    clock.start()
    problem(proxy.ask(get("/api/x", proxy.token())), 504)
    assert 0.9 < clock() < LATE


def test_response_idle_of_a_client_that_does_not_read(serve):
    """Its connection and the upstream's are held no longer than that."""
    ended = threading.Event()

    def script(connection):
        connection.request()
        connection.send(f"HTTP/1.1 200 OK\r\nContent-Length: {64 << 20}\r\n\r\n")
        try:
            connection.sock.sendall(b"x" * (64 << 20))
        except OSError:
            ended.set()

    proxy, _ = serve(script, {"response_idle": "3s"})
    with proxy.client() as client:
        client.send(get("/api/x", proxy.token()))
        assert client.head().status == 200
        assert ended.wait(10), "the upstream waits for ever"
    assert proxy.audit(1, reason="stalled", verdict="fail")


@pytest.mark.parametrize("says", ["nothing", "drips"])
def test_handshake(keystile, origin, authority, clock, says):
    """A server that accepts, and never ends its part of the TLS handshake."""
    ended = threading.Event()

    def script(connection):
        if says == "drips":
            connection.receive()
            connection.buffer = b""
            drip(connection, "\x16\x03\x03\x40\x00\x02" + "\x00" * 1000)
        connection.rest()
        ended.set()

    server = origin(script)
    config = one_api(f"https://localhost:{server.port}", ca=authority.ca)
    proxy = keystile(config, {"api": evidence.secret()}, {"limits": "{{ handshake: 1s }}"})
    clock.start()
    told = problem(proxy.ask(get("/api/x", proxy.token())), 504)
    assert "limits.handshake" in told["hint"]
    assert 0.9 < clock() < LATE
    assert ended.wait(10), "its connection stays"
    assert proxy.audit(1, reason="handshake_timeout")[0]["injected"] is False


BROKEN_HEADS = ["", "HTTP/1.1 2", "HTTP/1.1 200 OK\r\nX-A: b", "HTTP/1.1 200 OK\r\nX-A: b\r\n",
                "HTTP/1.1 103 Early Hints\r\nX-A: b\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"]


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("sent", BROKEN_HEADS, ids=range(len(BROKEN_HEADS)))
def test_broken_head(serve, sent, how):
    """An upstream that closes or resets within its head; on a new connection nothing is sent twice."""

    def script(connection):
        connection.origin.requests.append(connection.request())
        connection.send(sent)
        getattr(connection, how)()

    proxy, server = serve(script)
    problem(proxy.ask(get("/api/x", proxy.token())), 502)
    assert len(server.requests) == 1
    assert proxy.audit(1, verdict="fail")


def memory_of(process):
    """Bytes of `process` in memory."""
    with open(f"/proc/{process.pid}/statm") as file:
        return int(file.read().split()[1]) * 4096


FLOODS = [
    ("fields", "HTTP/1.1 200 OK\r\n", "X-A: b\r\n"),
    ("one field", "HTTP/1.1 200 OK\r\nX-A: ", "b"),
    ("interim heads", "", "HTTP/1.1 103 Early Hints\r\nX-A: b\r\n\r\n"),
    ("interim fields", "HTTP/1.1 103 Early Hints\r\n", "X-A: b\r\n"),
    ("trailers", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "X-A: b\r\n"),
    ("chunk extension", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", "x"),
    ("zeroes of a chunk size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "0"),
]


@pytest.mark.parametrize("start,again", [row[1:] for row in FLOODS], ids=[row[0] for row in FLOODS])
def test_flood(serve, start, again):
    """Ten megabytes of what should be short: refused long before their end, and kept nowhere."""
    sent, ended = [0], threading.Event()

    def script(connection):
        connection.request()
        connection.sock.sendall(start.encode())
        piece = (again * 65536).encode()[: 65536 // len(again) * len(again)]
        try:
            while sent[0] < 10 << 20:
                connection.sock.sendall(piece)
                sent[0] += len(piece)
        except OSError:
            ended.set()

    proxy, _ = serve(script)
    before = memory_of(proxy.process)
    with proxy.client() as client:
        client.send(get("/api/x", proxy.token()))
        response = client.response()
        assert response.status == 502 or not response.clean, response
    assert ended.wait(10), f"the upstream got rid of all its {sent[0]} bytes"
    # What a sanitizer keeps of freed memory grows with all that passes.
    assert sanitizers.in_use() or memory_of(proxy.process) - before < 4 << 20
    assert proxy.audit(1, verdict="fail")


def test_body_that_is_reset(serve):
    """What came before the reset may arrive or not; what arrives has no end, and the next request works."""

    def script(connection):
        if connection.request().target == "/x":
            connection.send(f"HTTP/1.1 200 OK\r\nContent-Length: {1 << 20}\r\n\r\n" + "a" * 300000)
            connection.reset()
        else:
            connection.answer()

    proxy, _ = serve(script)
    with proxy.client() as client:
        client.send(get("/api/x", proxy.token()))
        try:
            response = client.response()
            assert not response.clean or response.status == 502, "the answer ended as if it were whole"
        except Closed:
            pass
    assert proxy.ask(get("/api/y", proxy.token())).status == 200
