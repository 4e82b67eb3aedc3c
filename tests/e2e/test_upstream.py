"""Upstreams that break, lie or move, and the connections that are kept to them (SPEC §3)."""

import threading

import pytest

from peers import evidence
from peers.config import get, one_api, problem
from peers.keystile import free_port
from peers.wire import Closed


@pytest.fixture
def serve(keystile, origin):
    def start(script=None, base="", head=None, **more):
        server = origin(script)
        proxy = keystile(one_api(f"http://127.0.0.1:{server.port}{base}", **more), {"api": evidence.secret()}, head)
        return proxy, server

    return start


BREAKS = [
    ("length", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", "close"),
    ("length, reset", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", "reset"),
    ("chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", "close"),
    ("chunked, reset", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", "reset"),
    ("bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n", "close"),
]


@pytest.mark.parametrize("answer,how", [row[1:] for row in BREAKS], ids=[row[0] for row in BREAKS])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_breaks_mid_body(serve, answer, how, version):
    """It never ends the answer cleanly."""
    taken = threading.Event()

    def script(connection):
        connection.request()
        connection.send(answer)
        taken.wait(10)
        getattr(connection, how)()

    proxy, _ = serve(script)
    with proxy.client() as client:
        client.send(get("/api/x", proxy.token()).replace("HTTP/1.1", f"HTTP/{version}"))
        response = client.head()
        taken.set()
        if response.all("Transfer-Encoding"):
            with pytest.raises(Closed):
                while client.chunk():
                    pass
        elif response.all("Content-Length"):
            with pytest.raises(Closed):
                client.exactly(int(response.get("Content-Length")))
        else:
            assert version == "1.0"
            with pytest.raises(ConnectionResetError):
                while client.sock.recv(4096):
                    pass
    assert proxy.audit(1, verdict="fail")


@pytest.mark.parametrize("body", ["", "Content-Length: 100"])
def test_stalls_mid_body(serve, body):
    """A client of HTTP/1.0, whose answer ends with the connection, is not told that a stalled one is whole."""

    def script(connection):
        connection.until(b"\r\n\r\n")
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        connection.rest()

    proxy, _ = serve(script, head={"limits": "{{ response_idle: 1s, body_idle: 1s }}"})
    with proxy.client() as client:
        request = get("/api/x", proxy.token(), *[body] * bool(body), method="POST" if body else "GET")
        client.send(request.replace("HTTP/1.1", "HTTP/1.0"))
        client.head()
        with pytest.raises(ConnectionResetError):
            while client.sock.recv(4096):
                pass
    assert proxy.audit(1, verdict="fail", reason="stalled")


def test_body_limit_behind_an_early_answer(serve):
    """The limit holds although the answer has begun; it is cut, since no 413 can follow."""
    over = threading.Event()

    def script(connection):
        connection.until(b"\r\n\r\n")
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        assert connection.rest() == b"32\r\n" + b"a" * 50 + b"\r\n", "neither more, nor an end"
        over.set()

    proxy, _ = serve(script, body="100B")
    with proxy.client() as client:
        client.send(get("/api/x", proxy.token(), "Transfer-Encoding: chunked", method="POST"))
        client.send("32\r\n" + "a" * 50 + "\r\n")
        assert client.head().status == 200 and client.chunk() == b"half"
        client.send("33\r\n" + "a" * 51 + "\r\n0\r\n\r\n")
        with pytest.raises(Closed):
            client.chunk()
    assert over.wait(5)
    line = proxy.audit(1, reason="body_too_large")[0]
    assert (line["verdict"], line["bytes_up"]) == ("deny", 50), line


def test_audit_of_what_was_never_sent(keystile):
    proxy = keystile(one_api(f"http://127.0.0.1:{free_port()}"), {"api": evidence.secret()})
    assert proxy.ask(get("/api/x", proxy.token())).status == 502
    assert proxy.audit(1, reason="connect")[0]["injected"] is False


@pytest.mark.parametrize("field", ["X-A: " + "q" * 100, "X-A: " + "q" * 23000, "Cookie: a=b; c=" + "q" * 14000])
def test_heads_near_the_limit(serve, field):
    """Both heads may be as long as limits.head, at once."""

    def script(connection):
        for _ in range(2):
            connection.request()
            connection.send("HTTP/1.1 200 OK\r\nX-Long: " + "r" * 24000 + "\r\nContent-Length: 2\r\n\r\nok")

    proxy, _ = serve(script)
    for method in ("POST", "GET"):
        body = "abc" if method == "POST" else ""
        length = [f"Content-Length: {len(body)}"] * bool(body)
        with proxy.client() as client:
            client.send(get("/api/x", proxy.token(), field, *length, method=method) + body)
            response = client.response(method)
            assert (response.status, response.get("X-Long"), response.body) == (200, "r" * 24000, b"ok")
    assert len(proxy.audit(2, verdict="allow")) == 2


def test_hint_of_too_many_fields(serve):
    proxy, _ = serve(lambda connection: connection.request() and connection.send(
        "HTTP/1.1 200 OK\r\n" + "A: b\r\n" * 101 + "Content-Length: 0\r\n\r\n"))
    told = problem(proxy.ask(get("/api/x", proxy.token())), 502)
    assert "limits.fields" in told["hint"], told


LATER_HEADS = [
    ("no colon", "GET /api/x HTTP/1.1\r\nHost: x\r\nnothing\r\n\r\n", "malformed"),
    ("another version", "GET /api/x HTTP/2.0\r\nHost: x\r\n\r\n", "malformed"),
    ("too long", "GET /api/x HTTP/1.1\r\nHost: x\r\nX: " + "a" * 90000 + "\r\n\r\n", "head_too_large"),
    ("never complete", "GET /api/x HTTP/1.1\r\nHost:", "head_late"),
]


@pytest.mark.parametrize("head,reason", [row[1:] for row in LATER_HEADS], ids=[row[0] for row in LATER_HEADS])
def test_audit_of_later_heads(serve, head, reason):
    """What is refused has its line, on a later request too, which never becomes an exchange."""
    proxy, _ = serve(head={"limits": "{{ head_time: 2s }}"})
    first = get("/api/x", proxy.token())
    with proxy.client() as client:
        assert client.ask(first).status == 200
        client.send(head)
        client.head()
        assert len(proxy.audit(1, verdict="fail" if reason == "head_late" else "deny")) == 1
        assert proxy.audit(reason=reason)


@pytest.mark.parametrize("head", [row[1] for row in LATER_HEADS[:3]], ids=[row[0] for row in LATER_HEADS[:3]])
def test_audit_of_heads_right_behind(serve, head):
    """Those that libmicrohttpd has read together with the request before, and refuses by itself."""
    proxy, _ = serve()
    with proxy.client() as client:
        client.send(get("/api/x", proxy.token()) + head)
        assert client.response().status == 200
        client.head()
        assert len(proxy.audit(1, verdict="deny")) == 1


def test_audit_of_a_malformed_body(serve):
    proxy, _ = serve(lambda connection: connection.rest())
    with proxy.client() as client:
        client.send(get("/api/x", proxy.token(), "Transfer-Encoding: chunked", method="POST") + "zz\r\n")
        assert client.head().status == 400
        assert proxy.audit(1, reason="malformed_body", verdict="deny")[0]["status"] == 400


MALFORMED = [
    ("both framings", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    ("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!"),
    ("length 2x", "HTTP/1.1 200 OK\r\nContent-Length: 2x\r\n\r\nok"),
    ("fold", "HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 2\r\n\r\nok"),
    ("bare CR", "HTTP/1.1 200 OK\r\nX-A: b\rX-B: c\r\nContent-Length: 2\r\n\r\nok"),
    ("NUL", "HTTP/1.1 200 OK\r\nX-A: b\0c\r\nContent-Length: 2\r\n\r\nok"),
    ("no colon", "HTTP/1.1 200 OK\r\nnothing\r\n\r\n"),
    ("blank before colon", "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok"),
    ("status 99", "HTTP/1.1 99 What\r\n\r\n"),
    ("status 2000", "HTTP/1.1 2000 OK\r\n\r\n"),
    ("HTTP/2.0", "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("unknown coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ("head of 300 KB", "HTTP/1.1 200 OK\r\n" + "X-A: " + "a" * 300000 + "\r\n\r\n"),
    ("10,000 fields", "HTTP/1.1 200 OK\r\n" + "A: b\r\n" * 10000 + "\r\n"),
]


@pytest.mark.parametrize("answer", [row[1] for row in MALFORMED], ids=[row[0] for row in MALFORMED])
def test_malformed_answer(serve, answer):
    def script(connection):
        connection.request()
        connection.send(answer)

    proxy, _ = serve(script)
    problem(proxy.ask(get("/api/x", proxy.token())), 502)


def test_closes_without_an_answer(serve):
    def script(connection):
        connection.request()

    proxy, server = serve(script)
    problem(proxy.ask(get("/api/x", proxy.token())), 502)
    assert len(server.connections) == 1, "on a new connection nothing is repeated"


@pytest.mark.parametrize("method,repeated", [("GET", True), ("PUT", True), ("POST", False)])
def test_reused_connection_that_dies(serve, method, repeated):
    """Not one byte came back: sent once more where the method is idempotent, else 502."""
    asked = []

    def script(connection):
        first = len(connection.origin.connections) == 1
        if first:
            connection.request()
            connection.answer("200 OK", "first")
        asked.append(connection.request())
        if not first:  # the first connection closes here, having read the request
            connection.answer("200 OK", "second")

    proxy, _ = serve(script)
    token = proxy.token()
    with proxy.client() as client:
        assert client.ask(get("/api/1", token)).text == "first"
        response = client.ask(get("/api/2", token, "Content-Length: 0", method=method))
    if repeated:
        assert response.text == "second"
        assert [request.target for request in asked] == ["/2", "/2"]
    else:
        problem(response, 502)
        assert len(asked) == 1, "a POST that was written is never repeated"


def test_dead_pooled_connection_costs_nothing(serve):
    """The upstream closed while the connection was idle: the next request finds a new one, whatever its method."""
    dropped = threading.Semaphore(0)

    def script(connection):
        connection.origin.requests.append(connection.request())
        connection.answer()
        connection.half_close()  # without having said so
        connection.rest()
        dropped.release()

    proxy, server = serve(script)
    token = proxy.token()
    with proxy.client() as client:
        for number in range(3):
            head = get(f"/api/{number}", token, "Content-Length: 2", method="POST")
            assert client.ask(head + "hi").status == 200
            assert dropped.acquire(timeout=10), "proxyd keeps a connection that its upstream has closed"
    assert [request.body for request in server.requests] == [b"hi"] * 3


def test_data_on_an_idle_connection(serve):
    """What comes unasked is never the answer to the next request."""
    dropped = threading.Event()

    def script(connection):
        if len(connection.origin.connections) == 1:
            connection.request()
            connection.answer("200 OK", "first")
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
            connection.rest()
            dropped.set()
            return
        connection.request()
        connection.answer("200 OK", "second")

    proxy, _ = serve(script)
    token = proxy.token()
    with proxy.client() as client:
        assert client.ask(get("/api/1", token)).text == "first"
        assert dropped.wait(10), "proxyd keeps a connection on which an answer came unasked"
        assert client.ask(get("/api/2", token)).text == "second"


def test_answer_longer_than_it_said(serve):
    def script(connection):
        connection.request()
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
        connection.rest()

    proxy, server = serve(script)
    token = proxy.token()
    with proxy.client() as client:
        assert client.ask(get("/api/1", token)).text == "ok"
        assert client.ask(get("/api/2", token)).text == "ok", "its own connection, its own answer"
    assert len(server.connections) == 2


# The origin's upstream is http://127.0.0.1:PORT/base; {up} stands for its origin
MOVED = [
    ("Location", "{up}/base/new?x=1#f", "/api/new?x=1#f"),
    ("Location", "/base/new", "/api/new"),
    ("Location", "/base", "/api"),
    ("Location", "/elsewhere", "/elsewhere"),
    ("Location", "/based/new", "/based/new"),
    ("Location", "new", "/api/dir/new"),
    ("Location", "?page=2", "/api/dir/x?page=2"),
    ("Location", "//127.0.0.1:{port}/base/new", "/api/new"),
    ("Location", "http://other.example/base/new", "http://other.example/base/new"),
    ("Location", "https://127.0.0.1:{port}/base/new", "https://127.0.0.1:{port}/base/new"),
    ("Content-Location", "{up}/base/doc", "/api/doc"),
    ("Link", '<{up}/base/p?page=2>; rel="next", <http://o.example/>; rel="last"',
     '</api/p?page=2>; rel="next", <http://o.example/>; rel="last"'),
    ("X-Location", "{up}/base/new", "{up}/base/new"),
]


@pytest.mark.parametrize("name,sent,wanted", MOVED, ids=[f"{row[0]} {row[1]}" for row in MOVED])
def test_moved(serve, name, sent, wanted):
    def script(connection):
        up = f"http://127.0.0.1:{connection.origin.port}"
        connection.request()
        connection.answer("302 Found", "moved", f"{name}: {sent.format(up=up, port=connection.origin.port)}")

    proxy, server = serve(script, base="/base")
    response = proxy.ask(get("/api/dir/x", proxy.token()))
    up = f"http://127.0.0.1:{server.port}"
    assert response.get(name) == wanted.format(up=up, port=server.port)
    assert response.status == 302, "a redirect is passed on, never followed"


def test_tls_upstream(keystile, nginx_tls, authority):
    secret = evidence.secret("up")
    proxy = keystile(one_api(f"https://127.0.0.1:{nginx_tls.port}", ca=authority.ca), {"api": secret})
    token = proxy.token()
    with proxy.client() as client:
        for number in range(3):
            assert client.ask(get(f"/api/say/{number}", token)).text == f"GET /say/{number}\n"
    seen = nginx_tls.seen(3)
    assert {line["authorization"] for line in seen} == {f"Bearer {secret}"}
    assert len({line["connection"] for line in seen}) == 1, "one TLS connection for three requests"


def test_tls_upload_and_answer(keystile, origin, authority):
    def script(connection):
        while True:
            connection.answer("200 OK", connection.request().body)

    server = origin(script, context=authority.server_context())
    proxy = keystile(one_api(f"https://localhost:{server.port}", ca=authority.ca), {"api": evidence.secret()})
    body = bytes(range(256)) * 8000
    head = get("/api/x", proxy.token(), f"Content-Length: {len(body)}", method="POST").encode()
    assert proxy.ask(head + body).body == body


def test_tls_cut_is_no_end(keystile, origin, authority):
    """A body that ends with the connection must end with TLS's own close too."""
    taken = threading.Event()

    def script(connection):
        connection.request()
        connection.send("HTTP/1.1 200 OK\r\n\r\nhalf")
        taken.wait(5)
        connection.reset()

    server = origin(script, context=authority.server_context())
    proxy = keystile(one_api(f"https://localhost:{server.port}", ca=authority.ca), {"api": evidence.secret()})
    with proxy.client() as client:
        client.send(get("/api/x", proxy.token()))
        client.head()
        assert client.chunk() == b"half"
        taken.set()
        with pytest.raises(Closed):
            while client.chunk():
                pass


def test_interim_flood_ends(serve):
    """An upstream that sends 1xx for ever is ended."""

    def script(connection):
        connection.request()
        connection.sock.settimeout(5)
        for _ in range(200000):
            connection.sock.sendall(b"HTTP/1.1 103 Early Hints\r\nX-A: b\r\n\r\n")

    proxy, _ = serve(script)
    with proxy.client() as client:
        client.sock.settimeout(20)
        assert client.ask(get("/api/x", proxy.token())).status == 502
