"""HTTP/2 from clients, by prior knowledge (SPEC §3): each stream is a request like any other. Clients that break the rules are
in test_h2_hostile.py."""

import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import time

import httpx
import pytest

from peers import evidence
from peers.config import get, one_api, problem
from peers.h2 import H2
from peers.keystile import wait_for
from peers.tunnel import open_tunnel
from wire.h2_bytes import INITIAL_WINDOW_SIZE, PREFACE, ping

NO_ERROR, INTERNAL_ERROR, CANCEL = 0, 2, 8


@pytest.fixture
def serve(keystile, origin):
    """serve(SCRIPT) gives proxyd and the origin behind its credential `api`."""

    def start(script=None, head=None, config="", **more):
        server = origin(script)
        secret = start.secret = evidence.secret()
        return keystile(one_api(f"http://127.0.0.1:{server.port}", **more) + config, {"api": secret}, head), server

    return start


def told(answer, status):
    """The members of a problem of ours."""
    assert (answer.status, answer.get("content-type")) == (status, "application/problem+json"), answer
    assert answer.get("proxy-status").startswith("keystile; "), answer
    members = json.loads(answer.body)
    assert members["status"] == status and members["detail"], members
    return members


# Ways in


def test_reverse_endpoint(serve):
    proxy, server = serve()
    with H2(proxy) as client:
        answer = client.ask("/api/v1/x?a=b", ("accept", "text/x"))
    assert (answer.status, answer.body, answer.get("content-length")) == (200, b"ok", "2"), answer
    (request,) = server.requests
    assert request.line == "GET /v1/x?a=b HTTP/1.1" and request.get("Host") == f"127.0.0.1:{server.port}", request
    assert request.get("Authorization") == f"Bearer {serve.secret}"
    assert request.all("Accept") == ["text/x"] and not request.all("Cookie") and not request.all("Connection"), request
    (line,) = proxy.audit(1)
    assert (line["way"], line["credential"], line["method"], line["path"], line["status"]) == ("reverse", "api", "GET", "/v1/x", 200)
    assert line["injected"] and line["verdict"] == "allow" and line["bytes_down"] == 2


def test_forward(serve, origin):
    other = origin()
    proxy, server = serve(hosts=f'["127.0.0.1:{other.port}"]')
    token = proxy.proxy_token()
    with H2(proxy) as client:
        assert client.ask("/x?y", authority=f"127.0.0.1:{other.port}", proxy_token=token).body == b"ok"
        assert client.ask("/c", authority=f"127.0.0.1:{server.port}", proxy_token=token).body == b"ok"
        refused = client.ask("/x", authority=f"127.0.0.1:{other.port}", token=None)
        assert told(refused, 407) and refused.get("proxy-authenticate") == 'Basic realm="keystile"'
        told(client.ask("/x", authority="elsewhere.test", proxy_token=token), 403)
        assert client.ask("/x", authority=f"127.0.0.1:{other.port}", proxy_token=token).body == b"ok", "and the connection goes on"
    assert [request.target for request in other.requests] == ["/x?y", "/x"] and not other.requests[0].all("Proxy-Authorization")
    assert [bool(request.all("Authorization")) for request in (*server.requests, *other.requests)] == [True, False, False]
    assert [line["way"] for line in proxy.audit(5)] == ["forward"] * 5


ASKED = [
    ("GET", "/api/x", {"token": None}, 401),
    ("GET", "/api/x", {"token": "wrong"}, 401),
    ("GET", "/none/x", {}, 404),
    ("GET", "/api/a/../b", {}, 400),
    ("GET", "/api/x%00", {}, 400),
    ("TRACE", "/api/x", {}, 405),
    ("get", "/api/x", {}, 400),
    ("GET", "/api/x#f", {}, 400),
    ("DELETE", "/api/x", {}, 403),
    ("GET", "/api/x", {"fields": ["x-http-method-override: DELETE"]}, 403),
]


@pytest.mark.parametrize("method,target,more,status", ASKED, ids=[f"{method} {target} {status}" for method, target, _, status in ASKED])
def test_refused_as_in_http1(serve, method, target, more, status):
    """Word for word what HTTP/1.1 is told."""
    proxy, server = serve(rules='["deny DELETE *", "allow * /**"]')
    token, fields = more.get("token", proxy.token()), more.get("fields", [])
    first = problem(proxy.ask(get(target, token, *fields, method=method), method), status)
    proxy.audit(1)
    with H2(proxy) as client:
        pairs = [tuple(field.split(": ")) for field in fields]
        assert told(client.ask(target, *pairs, method=method, token=token), status) == first
        assert client.ask("/api/fine").status == 200
    assert [request.target for request in server.requests] == ["/fine"]
    lines = proxy.audit(3)
    same = ("verdict", "reason", "way", "status", "method", "path", "rule", "credential", "profile")
    assert [lines[0].get(name) for name in same] == [lines[1].get(name) for name in same]


def test_connect(serve):
    proxy, server = serve()
    with H2(proxy) as client:
        number = client.request(None, method="CONNECT", scheme=None, authority=f"127.0.0.1:{server.port}", end=False, proxy_token=proxy.proxy_token())
        told(client.answer(number), 501)
        assert client.end()[0] == NO_ERROR
    assert server.requests == []


def test_session_none(keystile, origin):
    server = origin()
    proxy = keystile(one_api(f"http://127.0.0.1:{server.port}"), {"api": evidence.secret()}, {"session": "none"})
    with H2(proxy) as client:
        assert client.ask("/api/x", token=None).status == 200
        told(client.ask("/api/x", ("origin", "http://page.test"), token=None), 403)
        told(client.ask("/api/x", token=None, authority="page.test"), 403)
    assert len(server.requests) == 1


@pytest.mark.parametrize("authority", ["{own}", None], ids=["agrees", "alone"])
def test_host_field(serve, authority):
    """RFC 9113 section 8.3.1: it may stand for :authority."""
    proxy, server = serve()
    own = f"127.0.0.1:{proxy.port}"
    with H2(proxy) as client:
        assert client.ask("/api/x", ("host", own), authority=authority and own).status == 200
    assert server.requests[0].all("Host") == [f"127.0.0.1:{server.port}"]


def test_preface_byte_by_byte(serve):
    proxy, _ = serve()
    with H2(proxy, greet=False) as client:
        client.connection.initiate_connection()
        data = client.connection.data_to_send()
        assert data.startswith(PREFACE)
        for byte in data[:-1]:
            client.raw(bytes([byte]))
            assert client.stream.quiet(0.002) or client.stream.buffer.startswith(b"\0\0"), "no answer but in frames"
        client.raw(data[-1:])
        assert client.ask().status == 200


def test_preface_behind_a_request(serve):
    proxy, _ = serve()
    with proxy.client() as client:
        assert client.ask(get("/api/x", proxy.token())).status == 200
        assert client.ask(PREFACE).status in (501, 505)
        assert client.rest() == b""


def test_preface_in_a_tunnel(tunnelled):
    proxy, server = tunnelled()
    with open_tunnel(proxy, "tun.test:9999", proxy.proxy_token()) as client:
        client.send(PREFACE)
        assert "TLS" in problem(client.response(), 501)["detail"]
        assert client.rest() == b""
    assert not any(connection.buffer for connection in server.connections)


# Real clients


def curl(proxy, *arguments, **more):
    done = subprocess.run(
        ["curl", "-sS", "--http2-prior-knowledge", "-H", f"Authorization: Bearer {proxy.token()}", "-w", " %{http_code} %{http_version}\n",
         *(argument.format(base=f"http://127.0.0.1:{proxy.port}/api") for argument in arguments)],
        capture_output=True, text=True, timeout=30, **more)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_curl(keystile, nginx):
    proxy = keystile(one_api(f"http://127.0.0.1:{nginx.port}"), {"api": evidence.secret()})
    # One by one: curl 7.88 cannot go on with a connection that began so, nor to nginx.
    assert curl(proxy, "{base}/say/one") == "GET /say/one\n 200 2\n"
    assert curl(proxy, "{base}/empty") == " 204 2\n"
    assert all(proxy.secrets["api"] in line["authorization"] for line in nginx.seen(2))


def test_curl_uploads(serve):
    """The second answer comes before the upload's end."""

    def script(connection):
        connection.answer("200 OK", connection.request().body)
        connection.head()
        connection.answer("413 Content Too Large", "too large")
        connection.rest()

    proxy, _ = serve(script, head={"workers": "1"})  # the second one goes up by the connection of the first
    body = "x" * 200_000
    assert curl(proxy, "--data-binary", "@-", "{base}/one", input=body) == body + " 200 2\n"
    assert curl(proxy, "--data-binary", "@-", "{base}/two", input=body) == "too large 413 2\n"


def test_httpx(keystile, nginx):
    proxy = keystile(one_api(f"http://127.0.0.1:{nginx.port}"), {"api": evidence.secret()})
    (nginx.folder / "www/large").write_bytes(os.urandom(3_000_000))
    with httpx.Client(http1=False, http2=True, trust_env=False, headers={"Authorization": f"Bearer {proxy.token()}"}) as client:
        base = f"http://127.0.0.1:{proxy.port}/api"
        for answer in (client.get(f"{base}/files/large"), client.get(f"{base}/files/large")):
            assert (answer.http_version, answer.status_code) == ("HTTP/2", 200)
            assert answer.content == (nginx.folder / "www/large").read_bytes()
        assert client.head(f"{base}/files/large").headers["content-length"] == "3000000"
        assert client.get(f"{base}/moved").headers["location"] == "/api/there?a=b"
        assert client.post(f"{base}/say/x", content=iter([b"a" * 1000] * 300)).text == "POST /say/x\n"


# Fields and bodies


def test_cookie_crumbs_are_joined(serve):
    proxy, server = serve()
    with H2(proxy) as client:
        client.ask("/api/x", ("cookie", "a=1"), ("x-between", "y"), ("cookie", "b=2"), ("cookie", "c=3"))
        client.ask("/api/x", ("cookie", "a=1; b=2"))
    assert [request.all("Cookie") for request in server.requests] == [["a=1; b=2; c=3"], ["a=1; b=2"]]
    assert server.requests[0].get("x-between") == "y"


@pytest.mark.parametrize("length", [None, 0, 5], ids=["no length", "length 0", "length 5"])
def test_request_body(serve, length):
    proxy, server = serve()
    fields = [] if length is None else [("content-length", str(length))]
    body = b"12345"[: 5 if length is None else length]
    with H2(proxy) as client:
        number = client.request("/api/x", *fields, method="POST", end=False)
        client.data(number, body[:3])
        client.data(number, body[3:], end=True)
        assert client.answer(number).status == 200
    (request,) = server.requests
    assert request.body == body and request.all("Transfer-Encoding") == (["chunked"] if length is None else []), request


def echo_chunks(connection):
    """Each chunk goes back as it comes; the trailers too."""
    request = connection.head()
    connection.origin.requests.append(request)
    connection.send("HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\nTrailer: grpc-status\r\n\r\n")
    while data := connection.chunk():
        connection.send(b"%x\r\n%b\r\n" % (len(data), data))
    request.trailers = connection.trailers()
    connection.send("0\r\nGrpc-Status: 0\r\ngrpc-message: fine\r\n\r\n")


def test_both_ways_at_once(serve):
    """As gRPC: each message is answered before the next one is said, and trailers end both."""
    proxy, server = serve(echo_chunks)
    with H2(proxy) as client:
        number = client.request("/api/s.S/M", ("te", "trailers"), ("content-type", "application/grpc"), method="POST", end=False)
        answer = client.answers[number]
        for turn in range(20):
            client.data(number, b"message %02d" % turn)
            client.until(lambda: answer.body.endswith(b"message %02d" % turn), "the message to come back")
        assert not answer.whole and answer.status == 200
        client.trailers(number, ("x-checksum", "abc"))
        client.answer(number)
    assert answer.body == b"".join(b"message %02d" % turn for turn in range(20))
    assert answer.trailers == [("grpc-status", "0"), ("grpc-message", "fine")]
    (request,) = server.requests
    assert request.trailers == [("x-checksum", "abc")] and request.all("TE") == ["trailers"], request


def test_large_both_ways(serve):
    """Ten streams at a time, each with more than its windows hold."""
    proxy, _ = serve(lambda connection: connection.answer("200 OK", connection.request().body))
    bodies = {}
    with H2(proxy) as client:
        for letter in range(10):
            number = client.request(method="POST", end=False)
            bodies[number] = bytes([65 + letter]) * 300_000
        left = dict(bodies)
        while left:
            for number in list(left):
                room = min(client.room(number), client.connection.max_outbound_frame_size)
                if room:
                    client.data(number, left[number][:room], end=room >= len(left[number]))
                    left[number] = left[number][room:]
                if not left[number]:
                    del left[number]
            if left and all(client.room(number) == 0 for number in left):
                client.hear()
        for number, body in bodies.items():
            assert client.answer(number).body == body
    assert {line["bytes_up"] for line in proxy.audit(10)} == {300_000}


def answers(head, body=b""):
    def script(connection):
        connection.origin.requests.append(connection.request())
        connection.send(head.encode() + b"\r\n\r\n" + body)
        connection.rest()

    return script


@pytest.mark.parametrize(
    "method,head,body,status,length",
    [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 17", b"", 200, "17"),
        ("GET", "HTTP/1.1 204 No Content", b"", 204, None),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9", b"", 304, "9"),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0", b"", 200, "0"),
        ("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", b"0\r\n\r\n", 200, None),
        ("POST", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nGrpc-Status: 5", b"", 200, "0"),
    ],
    ids=["HEAD", "204", "304", "length 0", "no chunk", "trailers alone"],
)
def test_response_without_body(serve, method, head, body, status, length):
    proxy, _ = serve(answers(head, body))
    with H2(proxy) as client:
        answer = client.ask(method=method)
    assert (answer.status, answer.body, answer.get("content-length"), answer.trailers) == (status, b"", length, []), answer
    assert ("grpc-status", "5") in answer.fields or method != "POST"


def test_problem_without_body(serve):
    proxy, _ = serve(rules='["deny * /**"]')
    with H2(proxy) as client:
        answer = client.ask(method="HEAD")
        assert (answer.status, answer.body) == (403, b"") and int(answer.get("content-length")) > 0, answer


def test_trailers_behind_no_body(serve):
    proxy, _ = serve(answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", b"0\r\ngrpc-status: 7\r\n\r\n"))
    with H2(proxy) as client:
        answer = client.ask(method="POST")
    assert (answer.body, answer.trailers) == (b"", [("grpc-status", "7")])


def test_fields_of_the_hop_stay_behind(serve):
    proxy, _ = serve(answers("HTTP/1.1 200 OK\r\nX-Mixed-CASE: Value\r\nConnection: keep-alive, x-hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n"
                             "Alt-Svc: h3\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2", b"ok"))
    with H2(proxy) as client:
        answer = client.ask()
    assert sorted(answer.fields) == [("content-length", "2"), ("set-cookie", "a=1"), ("set-cookie", "b=2"), ("x-mixed-case", "Value")]


def test_events_leave_as_they_come(serve):
    said = []

    def script(connection):
        connection.request()
        connection.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        for event in range(3):
            connection.send(f"data: {event}\n\n")
            wait_for(lambda: len(said) > event, "the client to have it")

    proxy, _ = serve(script)
    with H2(proxy) as client:
        number = client.request()
        for event in range(3):
            client.until(lambda: client.answers[number].body.endswith(b"data: %d\n\n" % event), "the event")
            said.append(event)
        assert client.answer(number).whole


def test_interim_responses(serve):
    def script(connection):
        connection.request()
        connection.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        connection.answer()

    proxy, _ = serve(script)
    with H2(proxy) as client:
        answer = client.ask()
    assert answer.status == 200 and [(one[":status"], one["link"]) for one in answer.interim] == [("103", "</api/a>")]


@pytest.mark.parametrize("knows", [True, False], ids=["says 100", "waits for the body"])
def test_expect(serve, knows):
    """The 100 is the upstream's; where that knows none, the client gets one all the same."""

    def script(connection):
        head = connection.head()
        assert head.get("Expect") == "100-continue"
        if knows:
            connection.send("HTTP/1.1 100 Continue\r\n\r\n")
        connection.answer("200 OK", connection.body(head, until_close=False).body)

    proxy, _ = serve(script)
    with H2(proxy) as client:
        number = client.request("/api/x", ("expect", "100-continue"), ("content-length", "4"), method="POST", end=False)
        client.until(lambda: client.answers[number].interim, "the 100")
        assert client.answers[number].interim == [{":status": "100"}]
        client.data(number, b"body", end=True)
        assert client.answer(number).body == b"body"


@pytest.mark.parametrize("by", ["upstream", "proxy"])
def test_early_answer(serve, by):
    """It is whole before the upload is, and then the rest of the upload is of no use (RFC 9113 section 8.1)."""

    def script(connection):
        connection.head()
        connection.answer("413 Content Too Large", "x" * 100_000)
        connection.rest()

    proxy, server = serve(script)
    with H2(proxy) as client:
        number = client.request("/api/x" if by == "upstream" else "/none/x", method="POST", end=False)
        client.data(number, b"a" * 1000)
        answer = client.answer(number)
        assert (answer.status, len(answer.body) > 50) == (413 if by == "upstream" else 404, True)
        client.data(number, b"a" * 1_000_000)
        assert client.answer(number, reset=True).reset == NO_ERROR
        assert client.ask("/none/y").status == 404, "and the connection goes on"


# Ends


def test_client_gives_up(serve):
    """Its reset ends the upstream's request."""
    ended = []

    def script(connection):
        connection.request()
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\npart")
        ended.append(connection.rest())

    proxy, _ = serve(script)
    with H2(proxy) as client:
        number = client.request()
        client.until(lambda: client.answers[number].body, "the first part")
        client.reset(number)
        wait_for(lambda: ended, "the upstream's connection to end")
        assert client.ask("/none/x").status == 404, "and the connection goes on"
    (line,) = proxy.audit(1, credential="api")
    assert (line["verdict"], line["reason"]) == ("fail", "client_gone")


def test_client_goes(serve):
    ended = []

    def script(connection):
        connection.origin.requests.append(connection.request())
        ended.append(connection.rest())

    proxy, server = serve(script)
    with H2(proxy) as client:
        for _ in range(3):
            client.request()
        wait_for(lambda: len(server.requests) == 3, "the requests")
    wait_for(lambda: len(ended) == 3, "the upstream's connections to end")
    assert [line["reason"] for line in proxy.audit(3)] == ["client_gone"] * 3


def open_at_once(client, number, path, reset=False):
    """Requests, and their resets, that go out together."""
    for _ in range(number):
        stream = client.connection.get_next_available_stream_id()
        client.connection.send_headers(stream, client.head(path), end_stream=True)
        if reset:
            client.connection.reset_stream(stream, CANCEL)
    client.flush()


def test_client_gives_up_at_once(serve):
    """None of the requests is begun, and each has its line."""
    proxy, server = serve()
    with H2(proxy) as client:
        open_at_once(client, 3, "/api/x", reset=True)
        assert client.ask("/none/x").status == 404
    lines = proxy.audit(3, reason="client_gone")
    assert [line["verdict"] for line in lines] == ["fail"] * 3, lines
    assert not server.connections


def test_client_goes_at_once(serve):
    """Its connection breaks over the first answers: what was not begun by then has its line, too."""
    proxy, _ = serve()
    client = H2(proxy)
    assert client.ask("/none/x").status == 404
    with proxy.standing_still():
        open_at_once(client, 40, "/none/x")
        client.stream.reset()
    lines = proxy.audit(41)
    assert len(lines) == 41, lines
    assert {(line["verdict"], line["reason"]) for line in lines} <= {("deny", "no_credential"), ("fail", "client_gone")}, lines
    assert ("fail", "client_gone") in {(line["verdict"], line["reason"]) for line in lines}, lines


@pytest.mark.parametrize("framing", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
def test_upstream_breaks(serve, framing):
    """A response that is cut is no response that ended."""

    def script(connection):
        connection.request()
        connection.send(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n4\r\npart\r\n")

    proxy, _ = serve(script)
    with H2(proxy) as client:
        answer = client.answer(client.request(), reset=True)
        assert answer.reset == INTERNAL_ERROR and not answer.whole and b"part" in answer.body
        assert client.ask("/none/x").status == 404, "and the connection goes on"
    assert proxy.audit(1, reason="upstream_cut")


def test_unasked_upgrade_ends_the_connection(serve):
    proxy, _ = serve(answers("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x"))
    with H2(proxy) as client:
        told(client.ask(), 502)
        assert client.end()[0] == NO_ERROR


def test_sigterm(serve):
    """Streams under way end; new ones are not taken, which GOAWAY tells."""
    go_on = []

    def script(connection):
        connection.request()
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nfirst")
        wait_for(lambda: go_on, "the test")
        connection.send("end")
        connection.rest()

    proxy, server = serve(script)
    with H2(proxy) as idle, H2(proxy) as client:
        number = client.request()
        client.until(lambda: client.answers[number].body, "the first part")
        proxy.process.send_signal(signal.SIGTERM)
        assert idle.end()[0] == NO_ERROR
        client.until(lambda: client.goaway, "GOAWAY")
        assert client.goaway[0] == NO_ERROR
        go_on.append(True)
        assert client.answer(number).body == b"firstend"
        client.end()
    assert proxy.process.wait(10) == 0 and len(server.connections) == 1


def test_what_comes_behind_an_unwritten_goaway(serve):
    """A client that does not read has not seen it, and asks on. It will be told that this was not served: it may ask others."""

    def script(connection):
        came.append(connection.request().line)
        if came[-1].startswith("GET"):
            connection.send(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                connection.sock.sendall(bytes(size))
            return
        posts.put(connection)
        connection.answer("200 OK", b"ok")

    came, posts, size = [], queue.Queue(), 16 << 20
    proxy, _ = serve(script)
    with H2(proxy, windows=False, settings={INITIAL_WINDOW_SIZE: size}) as client, H2(proxy, windows=False) as other:
        client.stream.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.connection.increment_flow_control_window(size)
        big = client.request("/api/big")
        for _ in range(20):  # each makes it write on, until nothing that is between takes another byte
            client.raw(ping())
            time.sleep(0.02)
        beside = other.request("/api/beside")
        other.until(lambda: other.answers[beside].body, "a response under way, as the other one's")
        proxy.process.send_signal(signal.SIGTERM)
        other.until(lambda: other.goaway and other.last == beside, "the GOAWAY that names the last stream")
        served, late = [big], client.request("/api/late", method="POST")
        with contextlib.suppress(queue.Empty):  # its own GOAWAY may be due a moment behind the other's
            while posts.get(timeout=3):
                served.append(late)
                late = client.request("/api/late", method="POST")
        client.until(lambda: client.goaway, "GOAWAY")
        assert client.goaway[0] == NO_ERROR and client.last == served[-1] and client.answers[late].status is None, client.last
    assert proxy.process.wait(10) == 0
    assert came == ["GET /big HTTP/1.1", "GET /beside HTTP/1.1"] + ["POST /late HTTP/1.1"] * (len(served) - 1)


def test_profile_counts_connections_not_streams(serve):
    proxy, _ = serve(head={"limits": "{{ profile_connections: 1 }}"})
    with H2(proxy) as client:
        for _ in range(3):
            assert client.ask().status == 200
        problem(proxy.ask(get("/api/x", proxy.token())), 503)
    wait_for(lambda: proxy.ask(get("/api/x", proxy.token())).status == 200, "the connection to be counted no more")
