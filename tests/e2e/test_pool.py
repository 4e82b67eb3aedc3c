"""Kept connections that die: they never cost a request that may be repeated, and never repeat one that may not (SPEC §3).

A request on a reused connection that got not one byte back is sent once more, on a new connection, if its method is
idempotent or none of it was written; else 502."""

import os
import threading

import pytest

from peers import evidence
from peers.config import get, one_api, problem

CHUNKED = "Transfer-Encoding: chunked"
CHUNKS = "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
LARGE = "a" * 300000
# name: method, field of the body, body, whether it may be sent once more after it was written
REQUESTS = {
    "get": ("GET", None, "", True),
    "delete": ("DELETE", None, "", True),
    "put": ("PUT", "Content-Length: 11", "hello world", True),
    "put-chunked": ("PUT", CHUNKED, CHUNKS, True),
    "put-large": ("PUT", "Content-Length: 300000", LARGE, None),  # if no more was written than is kept for a repeat
    "post": ("POST", "Content-Length: 11", "hello world", False),
    "post-empty": ("POST", "Content-Length: 0", "", False),
    "post-chunked": ("POST", CHUNKED, CHUNKS, False),
    "patch": ("PATCH", "Content-Length: 11", "hello world", False),
    "unknown": ("FROB", None, "", False),
}
WHOLE = {"": b"", LARGE: LARGE.encode()}  # the body as it must arrive, where it is not b"hello world"


def request_of(name, token):
    method, field, body, _ = REQUESTS[name]
    return get(f"/api/{name}", token, *[field] * bool(field), method=method) + body


def fin(connection):
    """An end without a word: on TLS without its close_notify."""
    os.close(connection.sock.detach())


def reset(connection):
    connection.reset()


def close(connection):
    """An orderly end; on TLS with its close_notify, without waiting for proxyd's."""
    if hasattr(connection.sock, "unwrap"):
        connection.sock.setblocking(False)
        try:
            connection.sock.unwrap()
        except OSError:
            pass
    connection.sock.close()


ENDS = {"close": close, "fin": fin, "reset": reset}


class Dying:
    """An origin whose kept connections end at `moment` of the request that is to be looked at, each time that it comes."""

    def __init__(self, moment, end, always=False):
        self.moment, self.end, self.always = moment, end, always
        self.heads = []  # the targets of all heads that came
        self.bodies = []
        self.kept = threading.Semaphore(0)  # one for each connection that is idle now
        self.go = threading.Event()         # before: end the idle one
        self.gone = threading.Semaphore(0)

    def __call__(self, connection):
        connection.request()  # /warm
        connection.answer()
        self.kept.release()
        if self.moment == "before":
            assert self.go.wait(10)
            self.end(connection)
            self.gone.release()
            return
        if self.moment == "first bytes":
            while len(connection.buffer) < 10 and connection.receive():
                pass
            self.heads.append(connection.buffer.split()[1].decode())
        else:
            message = connection.head()
            self.heads.append(message.target)
            if self.moment == "whole":
                connection.body(message, False)
            elif self.moment == "one byte":
                connection.sock.sendall(b"H")
            elif self.moment == "interim":
                connection.sock.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        self.end(connection)


class Origins:
    """The first connection for each request dies as told, those that follow answer (or die too)."""

    def __init__(self, dying):
        self.dying = dying
        self.fresh = False

    def __call__(self, connection):
        if not self.fresh:
            self.dying(connection)
            return
        while True:
            message = connection.request()
            self.dying.heads.append(message.target)
            self.dying.bodies.append(message.body)
            if self.dying.always:
                self.dying.end(connection)
                return
            connection.answer("200 OK", "second", "Connection: close")


@pytest.fixture(params=["plain", "tls"])
def transport(request):
    return request.param


@pytest.fixture
def serve(keystile, origin, authority, transport):
    def start(script):
        tls = transport == "tls"
        server = origin(script, context=authority.server_context() if tls else None)
        url = f"https://localhost:{server.port}" if tls else f"http://127.0.0.1:{server.port}"
        return keystile(one_api(url, **({"ca": authority.ca} if tls else {})), {"api": evidence.secret()})

    return start


def warmed(proxy, token, origins):
    """A client of whose first request a connection is kept; what follows goes to a fresh one if that dies."""
    client = proxy.client()
    origins.fresh = False
    assert client.ask(get("/api/warm", token)).status == 200
    assert origins.dying.kept.acquire(timeout=5)
    origins.fresh = True
    return client


def check(name, origins, response, repeated):
    """Was it sent as often as it may be, and did the client get what belongs to it?"""
    heads, origins.dying.heads = origins.dying.heads, []
    bodies, origins.dying.bodies = origins.dying.bodies, []
    if repeated is None:
        repeated = response.status == 200
    if repeated:
        assert heads == [f"/{name}"] * 2, f"{name}: {heads}"
        assert (response.status, response.text) == (200, "second"), name
        assert bodies == [WHOLE.get(REQUESTS[name][2], b"hello world")], name
    else:
        assert heads == [f"/{name}"], f"{name}: {heads}"
        assert response.status == 502, name


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("moment", ["first bytes", "head", "whole"])
def test_dies_unanswered(serve, moment, end):
    """The request was written, or a part of it, and not a byte came back."""
    origins = Origins(Dying(moment, ENDS[end]))
    proxy = serve(origins)
    token = proxy.token()
    for name, (_, _, _, repeatable) in REQUESTS.items():
        with warmed(proxy, token, origins) as client:
            check(name, origins, client.ask(request_of(name, token)), repeatable)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("moment", ["one byte", "interim"])
def test_dies_within_its_answer(serve, moment, end):
    """One byte came back: somebody worked on it, so nothing is sent twice."""
    origins = Origins(Dying(moment, ENDS[end]))
    proxy = serve(origins)
    token = proxy.token()
    for name in REQUESTS:
        with warmed(proxy, token, origins) as client:
            response = client.ask(request_of(name, token))
            if (end == "reset" or name == "put-large") and len(origins.dying.heads) == 2:
                origins.dying.heads.pop(0)  # the reset overtook the byte; who closes with a body unread resets, too
                origins.dying.bodies.clear()
                assert REQUESTS[name][3] is not False, f"{name} was sent twice"
                continue
            check(name, origins, response, False)


@pytest.mark.parametrize("end", ENDS)
def test_dies_before(serve, end):
    """It ended while it was idle, and proxyd has had the time to see it: no request is lost, whatever its method."""
    origins = Origins(Dying("before", ENDS[end]))
    proxy = serve(origins)
    token = proxy.token()
    for name in REQUESTS:
        with warmed(proxy, token, origins) as client:
            origins.dying.go.set()
            assert origins.dying.gone.acquire(timeout=5)
            origins.dying.go.clear()
            assert client.ask(get("/api/between", None)).status == 401  # a round of its loop
            assert client.ask(request_of(name, token)).text == "second", name
            assert origins.dying.heads == [f"/{name}"]
            origins.dying.heads.clear()


@pytest.mark.parametrize("order", ["end first", "request first"])
@pytest.mark.parametrize("end", ENDS)
def test_dies_in_the_same_moment(serve, end, order):
    """proxyd is told of the request and of the connection's end in one round: the end counts first."""
    origins = Origins(Dying("before", ENDS[end]))
    proxy = serve(origins)
    token = proxy.token()
    for name in REQUESTS:
        if name == "put-large":
            continue  # more than the kernel takes while proxyd stands still
        with warmed(proxy, token, origins) as client:
            with proxy.standing_still():
                if order == "request first":
                    client.send(request_of(name, token))
                origins.dying.go.set()
                assert origins.dying.gone.acquire(timeout=5)
                if order == "end first":
                    client.send(request_of(name, token))
            assert client.response().text == "second", name
            origins.dying.go.clear()
            assert origins.dying.heads == [f"/{name}"]
            origins.dying.heads.clear()


def test_dies_twice(serve):
    """The new connection dies as well: that was the one repeat."""
    origins = Origins(Dying("whole", fin, always=True))
    proxy = serve(origins)
    token = proxy.token()
    for name, (_, _, _, repeatable) in REQUESTS.items():
        with warmed(proxy, token, origins) as client:
            problem(client.ask(request_of(name, token)), 502)
        assert len(origins.dying.heads) in ((1, 2) if repeatable is None else (1 + repeatable,)), origins.dying.heads
        origins.dying.heads.clear()


def test_dies_within_an_upload(serve):
    """A part of the body was written: nothing of it is sent twice, and what follows on the client's connection works."""
    origins = Origins(Dying("head", reset))
    proxy = serve(origins)
    token = proxy.token()
    with warmed(proxy, token, origins) as client:
        client.send(get("/api/post-chunked", token, CHUNKED, method="POST") + "5\r\nhello\r\n")
        problem(client.response(), 502)
    assert origins.dying.heads == ["/post-chunked"]
    assert proxy.ask(request_of("post", token)).text == "second"


def test_dies_within_a_large_upload(serve):
    """Wherever in it the connection dies, the upload goes on on the new one or is refused: it does not stand still."""
    origins = Origins(Dying("head", reset))
    proxy = serve(origins)
    token = proxy.token()
    for _ in range(40):
        with warmed(proxy, token, origins) as client:
            check("put-large", origins, client.ask(request_of("put-large", token)), None)


def test_answer_and_end_at_once(serve):
    """An origin that ends every connection right behind its answer, without having said so: many requests, none lost that
    may be repeated, none that was answered sent twice."""
    came = []

    def script(connection):
        came.append(connection.request().target)
        connection.answer()
        fin(connection)

    proxy = serve(script)
    token = proxy.token()
    with proxy.client() as client:
        for number in range(300):
            assert client.ask(get(f"/api/{number}", token)).status == 200
    assert sorted(set(came), key=came.index) == [f"/{number}" for number in range(300)]
