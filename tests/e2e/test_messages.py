"""HTTP/1.1 both ways, as RFC 9110 and 9112 have it: streaming, interim answers, lengths, connections (SPEC §3)."""

import contextlib
import queue
import threading
import time

import pytest

from peers.keystile import in_time, wait_for
from peers.wire import Closed

CHUNKED = "Transfer-Encoding: chunked"


@pytest.fixture
def serve(before):
    """serve(SCRIPT) gives proxyd in front of an origin that runs it, and the origin."""
    return before


def test_keep_alive_both_sides(serve):
    proxy, server = serve()
    with proxy.client() as client:
        for number in range(5):
            response = client.ask(proxy.request(f"/{number}"))
            assert (response.status, response.text) == (200, "ok")
            assert response.get("Connection", "keep-alive").lower() != "close"
    assert [request.target for request in server.requests] == [f"/{number}" for number in range(5)]
    assert len(server.connections) == 1, "five requests, one upstream connection"


def test_connection_close_is_honoured(serve):
    proxy, _ = serve()
    with proxy.client() as client:
        response = client.ask(proxy.request("/x", "Connection: close"))
        assert response.status == 200
        assert response.get("Connection").lower() == "close"
        assert client.rest() == b""


def test_events_leave_one_by_one(serve):
    """The server sends the next event only after the client has the last one."""
    arrived = threading.Semaphore(0)

    def script(connection):
        connection.request()
        connection.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(5):
            data = f"data: {number}\n\n"
            connection.send(f"{len(data):x}\r\n{data}\r\n")
            assert arrived.acquire(timeout=5), f"event {number} did not reach the client"
        connection.send("0\r\n\r\n")

    proxy, _ = serve(script)
    with proxy.client() as client:
        client.send(proxy.request("/events"))
        head = client.head()
        assert head.get("Content-Type") == "text/event-stream"
        for number in range(5):
            event = b""
            while not event.endswith(b"\n\n"):
                event += client.chunk()
            assert event == f"data: {number}\n\n".encode()
            arrived.release()
        assert client.chunk() == b"" and client.trailers() == []


def test_events_without_length(serve):
    """The same from a server that ends its answer by closing."""
    arrived = threading.Semaphore(0)

    def script(connection):
        connection.request()
        connection.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        for number in range(3):
            connection.send(f"data: {number}\n\n")
            assert arrived.acquire(timeout=5), f"event {number} did not reach the client"

    proxy, _ = serve(script)
    with proxy.client() as client:
        client.send(proxy.request("/events"))
        client.head()
        for _ in range(3):
            event = b""
            while not event.endswith(b"\n\n"):
                event += client.chunk()
            arrived.release()
        assert client.chunk() == b"", "a whole answer ends with a last chunk"


def test_upload_streams(serve):
    """The server answers only after each piece has come; the client sends the next only then."""
    came = threading.Semaphore(0)

    def script(connection):
        connection.head()
        for number in range(4):
            piece = b""
            while len(piece) < 5:
                piece += connection.chunk()
            assert piece == f"part{number}".encode()
            came.release()
        assert connection.chunk() == b""
        connection.trailers()
        connection.answer()

    proxy, _ = serve(script)
    with proxy.client() as client:
        client.send(proxy.request("/up", CHUNKED, method="POST"))
        for number in range(4):
            client.send(f"5\r\npart{number}\r\n")
            assert came.acquire(timeout=5), f"piece {number} did not reach the server"
        client.send("0\r\n\r\n")
        assert client.response().status == 200


def test_both_ways_at_once(serve):
    """An echo over two open bodies."""

    def script(connection):
        connection.head()
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while data := connection.chunk():
            connection.send(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        connection.trailers()
        connection.send("0\r\n\r\n")

    proxy, _ = serve(script)
    with proxy.client() as client:
        client.send(proxy.request("/echo", CHUNKED, method="POST"))
        client.head()
        for number in range(4):
            text = f"line{number}"
            client.send(f"{len(text):x}\r\n{text}\r\n")
            echo = b""
            while len(echo) < len(text):
                echo += client.chunk()
            assert echo == text.encode()
        client.send("0\r\n\r\n")
        assert client.chunk() == b""


def test_expect_is_the_upstreams(serve):
    """The 100 comes when the upstream sends it, not before."""
    go = threading.Event()

    def script(connection):
        head = connection.head()
        assert head.get("Expect").lower() == "100-continue"
        assert go.wait(5)
        connection.send("HTTP/1.1 100 Continue\r\n\r\n")
        body = connection.body(head, False).body
        connection.answer("200 OK", body)
        connection.request()
        connection.answer("200 OK", "second")

    proxy, _ = serve(script)
    with proxy.client() as client:
        client.send(proxy.request("/up", "Expect: 100-continue", "Content-Length: 4", method="PUT"))
        assert client.quiet(), "the 100 came before the upstream's"
        go.set()
        assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 100")
        client.send("body")
        response = client.response()
        assert (response.status, response.text) == (200, "body")
        assert client.ask(proxy.request("/again")).text == "second"


def test_expect_of_nobody(serve):
    """A client that does not wait, and an upstream that knows no Expect: neither waits for the other."""

    def script(connection):
        for _ in range(2):
            assert connection.request().body == b"body"
            connection.answer()

    proxy, _ = serve(script)
    with proxy.client() as client:
        for _ in range(2):
            client.send(proxy.request("/up", "Expect: 100-continue", "Content-Length: 4", method="PUT") + "body")
            assert client.response().status == 200


def test_expect_refused(serve):
    def script(connection):
        connection.head()
        connection.answer("417 Expectation Failed", "no")

    proxy, _ = serve(script)
    with proxy.client() as client:
        response = client.ask(proxy.request("/up", "Expect: 100-continue", "Content-Length: 4", method="PUT"))
        assert (response.status, response.text, response.interim) == (417, "no", [])


def test_early_hints(serve):
    def script(connection):
        connection.request()
        connection.send("HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")
        connection.send("HTTP/1.1 103 Early Hints\r\nLink: </more.css>; rel=preload\r\n\r\n")
        connection.answer("200 OK", "page")

    proxy, _ = serve(script)
    with proxy.client() as client:
        response = client.ask(proxy.request())
        assert (response.status, response.text) == (200, "page")
        assert [message.status for message in response.interim] == [103, 103]
        assert "style.css" in response.interim[0].get("Link")


def test_interim_not_to_http_1_0(serve):
    def script(connection):
        connection.request()
        connection.send("HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n")
        connection.answer("200 OK", "page")

    proxy, _ = serve(script)
    with proxy.client() as client:
        response = client.ask(proxy.request().replace("HTTP/1.1", "HTTP/1.0"))
        assert (response.status, response.text, response.interim) == (200, "page", [])


def test_trailers_down(serve):
    def script(connection):
        connection.request()
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
                        "3\r\nabc\r\n0\r\nX-Sum: 42\r\n\r\n")

    proxy, _ = serve(script)
    response = proxy.ask(proxy.request("/x", "TE: trailers"))
    assert (response.text, response.trailers) == ("abc", [("X-Sum", "42")])


def test_trailers_up(serve):
    proxy, server = serve()
    response = proxy.ask(proxy.request("/x", CHUNKED, "Trailer: X-Sum", method="POST") + "3\r\nabc\r\n0\r\nX-Sum: 42\r\n\r\n")
    assert response.status == 200
    assert server.requests[0].body == b"abc"
    assert server.requests[0].trailers == [("X-Sum", "42")]


def test_head(serve):
    def script(connection):
        while True:
            request = connection.request()
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n" if request.method == "HEAD"
                            else "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    proxy, _ = serve(script)
    with proxy.client() as client:
        response = client.ask(proxy.request(method="HEAD"), "HEAD")
        assert (response.status, response.get("Content-Length")) == (200, "1234")
        assert client.ask(proxy.request()).text == "ok", "nothing stands between the two answers"


def test_head_of_chunked(serve):
    def script(connection):
        while True:
            request = connection.request()
            connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
                            ("" if request.method == "HEAD" else "2\r\nok\r\n0\r\n\r\n"))

    proxy, _ = serve(script)
    for _ in range(2):
        with proxy.client() as client:
            response = client.ask(proxy.request(method="HEAD"), "HEAD")
            assert (response.status, response.all("Content-Length")) == (200, []), "no length is made up"
            if response.get("Connection") == "close":
                assert client.rest() == b""
                continue
            assert client.ask(proxy.request()).text == "ok", "nothing stands between the two answers"


def test_head_of_a_problem(serve):
    proxy, _ = serve(rules='["allow * /ok"]')
    with proxy.client() as client:
        response = client.ask(proxy.request("/denied", method="HEAD"), "HEAD")
        assert response.status == 403 and int(response.get("Content-Length")) > 0, response
        assert client.ask(proxy.request("/ok")).text == "ok", "nothing stands between the two answers"


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_no_body(serve, status):
    def script(connection):
        while True:
            connection.request()
            connection.send(f"HTTP/1.1 {status}\r\nETag: \"a\"\r\n\r\n")

    proxy, _ = serve(script)
    for _ in range(2):
        with proxy.client() as client:
            response = client.ask(proxy.request())
            assert (response.line, response.get("ETag")) == (f"HTTP/1.1 {status}", '"a"')
            assert response.all("Transfer-Encoding") == [] and response.all("Content-Length") == []
            if response.get("Connection") == "close":
                assert client.rest() == b""
            else:
                assert client.ask(proxy.request()).line == f"HTTP/1.1 {status}"


def test_304_keeps_length(serve):
    def script(connection):
        while True:
            connection.request()
            connection.send("HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n\r\n")

    proxy, _ = serve(script)
    with proxy.client() as client:
        for _ in range(2):
            assert client.ask(proxy.request()).status == 304


def test_chunk_extensions_and_sizes(serve):
    proxy, server = serve()
    body = "0000005\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\n\r\n"
    assert proxy.ask(proxy.request("/x", CHUNKED, method="POST") + body).status == 200
    assert server.requests[0].body == b"hello world"


@pytest.mark.parametrize("length", ["Content-Length: 5000\r\n", ""], ids=["a length", "none"])
def test_early_answer_during_upload(serve, length):
    """A refusal that comes before the upload's end reaches a client that goes on sending, whole."""

    def script(connection):
        connection.head()
        connection.send(f"HTTP/1.1 413 Content Too Large\r\n{length}Connection: close\r\n\r\n" + "x" * 5000)
        connection.sock.settimeout(2)
        with contextlib.suppress(TimeoutError, OSError):
            if not length:
                getattr(connection.sock, "unwrap", connection.half_close)()  # in TLS, close_notify
            connection.rest()

    proxy, _ = serve(script)
    with proxy.client() as client:
        client.send(proxy.request("/up", "Content-Length: 10000000", method="POST") + "x" * 1000)
        response = client.response()
        assert response.status == 413
        assert response.text == "x" * 5000 and response.clean


def test_large_answer(serve):
    body = bytes(range(256)) * 20000

    def script(connection):
        connection.request()
        connection.answer("200 OK", body)

    proxy, _ = serve(script)
    response = proxy.ask(proxy.request())
    assert len(response.body) == len(body) and response.body == body


def test_client_that_does_not_read_stops_the_upstream(serve):
    """Back-pressure: an upstream with 64 MiB to send gets rid of far less while the client does not read."""
    sent, ended = [0], threading.Event()

    def script(connection):
        connection.request()
        connection.sock.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {64 << 20}\r\n\r\n".encode())
        connection.sock.settimeout(1)  # nothing was taken for that long
        try:
            while sent[0] < 64 << 20:
                sent[0] += connection.sock.send(b"x" * 65536)
        except TimeoutError:
            pass
        ended.set()

    proxy, server = serve(script)
    with proxy.client() as client:
        client.send(proxy.request())
        client.head()
        assert ended.wait(20)
        assert sent[0] < 32 << 20, f"the upstream got rid of {sent[0]} bytes"


def test_http_1_0_gets_no_chunks(serve):
    def script(connection):
        connection.request()
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")

    proxy, _ = serve(script)
    with proxy.client() as client:
        response = client.ask(proxy.request().replace("HTTP/1.1", "HTTP/1.0"))
        assert response.all("Transfer-Encoding") == []
        assert response.text == "hello" and client.ended


def test_http_1_0_keep_alive(serve):
    proxy, _ = serve()
    with proxy.client() as client:
        for _ in range(2):
            response = client.ask(proxy.request("/x", "Connection: keep-alive").replace("HTTP/1.1", "HTTP/1.0"))
            assert (response.status, response.text) == (200, "ok")
            if client.ended:
                pytest.fail("an HTTP/1.0 client that asked for keep-alive was closed")


def test_pipelining(serve):
    proxy, server = serve()
    with proxy.client() as client:
        client.send("".join(proxy.request(f"/{number}") for number in range(6)))
        for _ in range(6):
            assert client.response().text == "ok"
    assert [request.target for request in server.requests] == [f"/{number}" for number in range(6)]


def test_pipelined_behind_a_body(serve):
    proxy, server = serve()
    with proxy.client() as client:
        client.send(proxy.request("/a", "Content-Length: 3", method="POST") + "abc" +
                    proxy.request("/b", CHUNKED, method="POST") + "2\r\nde\r\n0\r\n\r\n" + proxy.request("/c"))
        assert [client.response().status for _ in range(3)] == [200, 200, 200]
    assert [(request.target, request.body) for request in server.requests] == [("/a", b"abc"), ("/b", b"de"), ("/c", b"")]


def test_dribbled(serve):
    proxy, server = serve()
    with proxy.client() as client:
        for byte in proxy.request("/slow", "Content-Length: 2", method="POST") + "hi":
            client.sock.sendall(byte.encode())
        assert client.response().status == 200
    assert (server.requests[0].target, server.requests[0].body) == ("/slow", b"hi")


def test_dribbled_response(serve):
    def script(connection):
        connection.request()
        for byte in b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n":
            connection.sock.sendall(bytes([byte]))

    proxy, _ = serve(script)
    response = proxy.ask(proxy.request())
    assert (response.text, response.trailers) == ("abc", [("X-T", "1")])


def test_fin_behind_the_request(serve):
    """Who closes while it waits has gone: a close of one side cannot be told from one of both."""
    asked, ended = queue.Queue(), queue.Queue()

    def script(connection):
        connection.request()
        asked.put(True)
        connection.rest()
        ended.put(time.monotonic())

    def ask_and_go():
        with proxy.client() as client:
            client.send(proxy.request("/x"))
            assert asked.get(timeout=10)
            left = time.monotonic()
            client.half_close()
            took = ended.get(timeout=10) - left
            assert client.rest() == b""
        return took

    proxy, _ = serve(script)
    assert in_time(1, ask_and_go), "the upstream's request ends within a second"
    assert proxy.audit(1, reason="client_gone")


@pytest.mark.parametrize("field", ["Connection: close", "X-A: b"])
def test_fin_behind_the_answer(serve, field):
    """All of it is on its way: who says its own end before it has read it loses nothing of it."""
    body = b"x" * 1_000_000

    def script(connection):
        connection.request()
        connection.answer("200 OK", body)

    proxy, _ = serve(script)
    before = proxy.open_files()
    with proxy.client() as client:
        client.send(proxy.request("/x", field))
        assert proxy.audit(1, event="end", method="GET", verdict="allow")
        client.half_close()
        wait_for(lambda: proxy.open_files() <= before + 1, "its connection to be closed, and the upstream's kept at most")
        assert client.response().body == body


def test_hop_by_hop_down(serve):
    def script(connection):
        connection.request()
        connection.answer("200 OK", "ok", "Connection: X-Hop", "X-Hop: 1", "Keep-Alive: timeout=5",
                          'Alt-Svc: h3=":443"', "Set-Cookie: a=1", "Set-Cookie: b=2", "Proxy-Authenticate: Basic")

    proxy, _ = serve(script)
    response = proxy.ask(proxy.request())
    for name in ("X-Hop", "Alt-Svc", "Proxy-Authenticate"):
        assert response.all(name) == [], f"{name} came down: {response}"
    assert response.all("Set-Cookie") == ["a=1", "b=2"]


def test_client_that_goes_away(serve):
    """Its upstream request ends within a second, and it is no failure of the upstream."""
    ended = queue.Queue()

    def script(connection):
        connection.request()
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        connection.rest()
        ended.put(time.monotonic())

    def ask_and_go():
        client = proxy.client()
        client.send(proxy.request())
        client.head()
        left = time.monotonic()
        client.close()
        return ended.get(timeout=10) - left

    proxy, _ = serve(script)
    assert in_time(1.5, ask_and_go), "the upstream request went on"
    assert proxy.audit(1, reason="client_gone")


def test_upstream_says_close(serve):
    def script(connection):
        connection.request()
        connection.answer("200 OK", "bye", "Connection: close")

    proxy, server = serve(script)
    with proxy.client() as client:
        for _ in range(3):
            response = client.ask(proxy.request())
            assert response.text == "bye"
            assert response.get("Connection", "").lower() != "close", "the client's connection is another one"
    assert len(server.connections) == 3


def test_fields_stay_byte_for_byte(serve):
    proxy, server = serve()
    proxy.ask(proxy.request("/a%20b/~x?q=%41+%2f&empty", "X-Odd: a \"b\" \xe4\t,;=", "Accept: */*"))
    request = server.requests[0]
    assert request.target == "/a%20b/~x?q=%41+%2f&empty"
    assert request.get("X-Odd") == "a \"b\" \xe4\t,;="


def test_options_and_unknown_methods(serve):
    proxy, server = serve()
    for method in ("OPTIONS", "PATCH", "DELETE", "PROPFIND", "QUERY"):
        assert proxy.ask(proxy.request("/m", method=method)).status == 200
    assert [request.method for request in server.requests] == ["OPTIONS", "PATCH", "DELETE", "PROPFIND", "QUERY"]


def test_end_of_answer_is_seen_by_the_client(serve):
    """A length that the upstream does not keep breaks the answer."""

    def script(connection):
        connection.request()
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")

    proxy, _ = serve(script)
    with proxy.client() as client:
        client.send(proxy.request())
        client.head()
        with pytest.raises(Closed):
            client.exactly(10)
