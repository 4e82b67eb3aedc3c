"""HTTP/2 towards upstreams: what came by HTTP/2 goes up by it where the origin offers it (SPEC §3, §5). The origins are python-h2's
and nginx; what they do wrong is in test_h2_upstream_faults.py."""

import hashlib
import os
import signal
import ssl
import subprocess
import threading

import pytest

from peers import evidence
from peers.config import get, one_api
from peers.h2 import H2
from peers.h2_origin import CANCEL, HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS, MAX_FRAME_SIZE, Came, speak
from peers.keystile import wait_for
from peers.tunnel import open_tunnel
from peers.wire import TIMEOUT, Message

OF_THE_HOP = {"connection", "host", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "http2-settings"}


def by_h2(server, count=None):
    """The streams that came; it is an error if one is none."""
    assert server.requests and all(isinstance(came, Came) for came in server.requests), server.requests
    assert count is None or len(server.requests) == count, server.requests
    return server.requests


def respond(answer):
    """A script of one way to answer."""
    return lambda session: session.serve(answer)


# What goes up


def test_what_goes_up(before_h2):
    proxy, server = before_h2()
    with H2(proxy) as client:
        answer = client.ask("/api/v1/x?a=b", ("te", "trailers"), ("x-a", "1"), ("cookie", "a=1"), ("x-a", "2"), ("cookie", "b=2"))
        assert (answer.status, answer.body, answer.get("content-length")) == (200, b"ok", "2"), answer
    (came,) = by_h2(server, 1)
    pseudo = {(":method", "GET"), (":scheme", "https"), (":authority", f"127.0.0.1:{server.port}"), (":path", "/v1/x?a=b")}
    assert set(came.fields[:4]) == pseudo and not any(name.startswith(":") for name, _ in came.fields[4:])
    names = [name for name, _ in came.fields]
    assert [name.lower() for name in names] == names and not OF_THE_HOP & set(names), came
    assert came.all("authorization") == [f"Bearer {proxy.secrets['api']}"] and "authorization" in came.never
    assert came.all("te") == ["trailers"] and came.all("x-a") == ["1", "2"] and "; ".join(came.all("cookie")) == "a=1; b=2"
    assert not {"via", "content-length", "content-type"} & set(names) and client.token not in str(came.fields)
    (line,) = proxy.audit(1)
    assert (line["way"], line["credential"], line["path"], line["status"], line["verdict"]) == ("reverse", "api", "/v1/x", 200, "allow")
    assert line["injected"] and line["bytes_down"] == 2


@pytest.mark.parametrize("inject,name,value", [
    ('{ header: X-Api-Key, value: "{secret}" }', "x-api-key", "{}"),
    ("{ basic: user }", "authorization", None),
    ("{ cookie: key }", "cookie", "a=1; key={}"),
    ("{ query: key }", ":path", "/x?key={}"),
    ("{ path: '/bot{secret}' }", ":path", "/bot{}/x"),
])
def test_a_secret_is_never_indexed(before_h2, inject, name, value):
    """RFC 7541 section 7.1.3, wherever it stands, also when it goes up again."""
    proxy, server = before_h2(inject=inject)
    with H2(proxy) as client:
        for _ in range(3):
            assert client.ask("/api/x", ("cookie", "a=1")).status == 200
    for came in by_h2(server, 3):
        assert name in came.never, came
        assert value is None or "; ".join(came.all(name)) == value.format(proxy.secrets["api"]), came


@pytest.fixture
def opened():
    """opened(PROXY, NAME, PORT) is a client by HTTP/2 in TLS that proxyd ends."""

    def start(proxy, name, port):
        client = open_tunnel(proxy, f"{name}:{port}", proxy.proxy_token())
        context = ssl.create_default_context(cafile=proxy.folder / "state/ca.pem")
        context.set_alpn_protocols(["h2"])
        client.sock = context.wrap_socket(client.sock, server_hostname=name)
        assert client.sock.selected_alpn_protocol() == "h2"
        return H2(proxy, stream=client)

    return start


def test_inside_intercepted_tls(before_h2, opened):
    proxy, server = before_h2(name="localhost", intercept="true")
    own = f"localhost:{server.port}"
    with opened(proxy, "localhost", server.port) as client:
        for path in ("/a", "/b"):
            assert client.ask(path, authority=own, scheme="https", token=None).body == b"ok"
        assert client.ask("/c", authority="elsewhere.test", scheme="https", token=None).status == 421
        assert client.ask("/d", ("authorization", "Bearer mine"), authority=own, scheme="https", token=None).body == b"ok"
    for came in by_h2(server, 3):
        assert came.all("authorization") == [f"Bearer {proxy.secrets['api']}"] and came.get(":authority") == own
    assert len(server.connections) == 1
    assert [line["path"] for line in proxy.audit(3, event="end", way="intercept", injected=True)] == ["/a", "/b", "/d"]


def test_forward(before_h2, origin, context_for):
    """An allowed host gets what the agent says, and no more; a credential's host gets its secret."""
    other = origin(speak(), context=context_for(("h2",)))
    proxy, server = before_h2(hosts=f'["127.0.0.1:{other.port}"]')
    token = proxy.proxy_token()
    with H2(proxy) as client:
        assert client.ask("/x?y", ("authorization", "Bearer mine"), authority=f"127.0.0.1:{other.port}", scheme="https", proxy_token=token).body == b"ok"
        assert client.ask("/c", authority=f"127.0.0.1:{server.port}", scheme="https", proxy_token=token).body == b"ok"
    (there,), (here,) = by_h2(other, 1), by_h2(server, 1)
    assert (there.get(":path"), there.get("authorization"), there.all("proxy-authorization")) == ("/x?y", "Bearer mine", []), there
    assert here.all("authorization") == [f"Bearer {proxy.secrets['api']}"]


def test_each_by_its_own_protocol(before_h2):
    """What came by HTTP/1.1 goes up by it, also to an origin that speaks HTTP/2 with others."""
    proxy, server = before_h2()
    token = proxy.token()
    with H2(proxy) as client, proxy.client() as plain:
        for _ in range(2):
            assert client.ask("/api/x").body == b"ok"
            assert plain.ask(get("/api/x", token)).status == 200
    assert [type(came) for came in server.requests] == [Came, Message] * 2
    assert len(server.connections) == 2


@pytest.mark.parametrize("alpn", [("http/1.1",), ()], ids=["http/1.1 alone", "no ALPN"])
def test_an_origin_without_it(before_h2, alpn):
    """The connection on which that was found out carries the request, and those behind it."""
    proxy, server = before_h2(alpn=alpn)
    with H2(proxy) as client:
        for body in (b"one", b"two" * 10_000):
            number = client.request(method="POST", end=False)
            client.data(number, body, end=True)
            assert client.answer(number).body == b"ok"
    assert [came.line for came in server.requests] == ["POST /x HTTP/1.1"] * 2
    assert [came.body for came in server.requests] == [b"one", b"two" * 10_000]
    assert len(server.connections) == 1


def test_many_at_an_origin_without_it(before_h2):
    """They all wait for the one connection that finds it out."""
    proxy, server = before_h2(alpn=("http/1.1",))
    with H2(proxy) as client:
        numbers = [client.request(f"/api/{i}") for i in range(30)]
        assert [client.answer(number).body for number in numbers] == [b"ok"] * 30
    assert sorted(came.target for came in server.requests) == sorted(f"/{i}" for i in range(30))


# Shared connections


def test_streams_share_a_connection(before_h2):
    """No one is answered before all are there, and the last is answered first."""

    def script(session):
        session.until(lambda: len(session.left) == 20, "all of them")
        for came in reversed(session.left):
            session.answer(came, came.path.encode())

    proxy, server = before_h2(script)
    with H2(proxy) as client, H2(proxy) as other:
        asked = [(one, i, one.request(f"/api/{i}")) for i in range(20) for one in ((client, other)[i % 2],)]
        for one, i, number in asked:
            assert one.answer(number).body == b"/%d" % i
    assert len(server.connections) == 1


def test_no_more_streams_than_the_origin_takes(before_h2):
    """200 at once where 10 are taken: the others wait, or are refused and asked again."""

    def script(session):
        while session.left or session.hear():
            if len(session.left) < session.most and session.hear(0.02):
                continue
            for came in session.left:
                session.answer(came, came.path.encode())
            session.left.clear()

    proxy, server = before_h2(script, {MAX_CONCURRENT_STREAMS: 10}, head={"limits": "{{ streams: 200 }}"})
    with H2(proxy) as client:
        asked = {i: client.request(f"/api/{i}") for i in range(200)}
        for i, number in asked.items():
            assert client.answer(number).body == b"/%d" % i
    by_h2(server, 200)


def test_nginx(keystile, nginx_tls, authority):
    """1000 requests, 50 at a time, over few connections."""
    proxy = keystile(one_api(f"https://127.0.0.1:{nginx_tls.port}", ca=authority.ca), {"api": evidence.secret()}, {"workers": "1"})
    with H2(proxy) as client:
        left, waits = list(range(1000)), {}
        while left or waits:
            while left and len(waits) < 50:
                i = left.pop()
                waits[client.request(f"/api/say/{i}")] = i
            client.until(lambda: any(client.answers[number].whole or client.answers[number].reset is not None for number in waits), "an answer")
            for number in [number for number in waits if client.answers[number].whole]:
                assert client.answer(number).body == b"GET /say/%d\n" % waits.pop(number)
    seen = nginx_tls.seen(1000)
    assert {one["protocol"] for one in seen} == {"HTTP/2.0"} and {one["authorization"] for one in seen} == {f"Bearer {proxy.secrets['api']}"}
    assert len({one["connection"] for one in seen}) <= 3


def test_curl_to_nginx(keystile, nginx_tls, authority, tmp_path):
    """Up and down, by a client that is not ours."""
    proxy = keystile(one_api(f"https://127.0.0.1:{nginx_tls.port}", ca=authority.ca), {"api": evidence.secret()})
    data = os.urandom(5 << 20)
    (nginx_tls.folder / "www/five").write_bytes(data)
    (tmp_path / "up").write_bytes(data)
    base, token = f"http://127.0.0.1:{proxy.port}/api", f"Authorization: Bearer {proxy.token()}"
    for arguments in ([f"{base}/files/five", "-o", tmp_path / "down"], [f"{base}/files/five", "-X", "PUT", "-T", tmp_path / "up"]):
        done = subprocess.run(["curl", "-sS", "--http2-prior-knowledge", "-H", token, *arguments], capture_output=True, timeout=30)
        assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "down").read_bytes() == data
    first, second = nginx_tls.seen(2)
    assert (first["protocol"], second["protocol"], second["length"]) == ("HTTP/2.0", "HTTP/2.0", str(len(data)))


# Bodies


@pytest.mark.parametrize("length", [True, False], ids=["with its length", "without"])
def test_large_both_ways_through_small_windows(before_h2, length):
    data, back = os.urandom(5 << 20), os.urandom(5 << 20)
    seen = []

    def script(session):
        came = session.next()
        seen.append((hashlib.sha256(came.body).digest(), came.get("content-length")))
        session.answer(came, back)

    proxy, server = before_h2(script, {INITIAL_WINDOW_SIZE: 16_000})
    with H2(proxy, settings={INITIAL_WINDOW_SIZE: 16_000}) as client:
        number = client.request("/api/x", *([("content-length", str(len(data)))] if length else []), method="POST", end=False)
        client.data(number, data, end=True)
        assert hashlib.sha256(client.answer(number).body).digest() == hashlib.sha256(back).digest()
    assert seen == [(hashlib.sha256(data).digest(), str(len(data)) if length else None)]
    (line,) = proxy.audit(1)
    assert (line["bytes_up"], line["bytes_down"]) == (len(data), len(back))


def echo_more(session, came):
    """Sends back what is new of a stream; False if nothing is."""
    if came.number not in session.said:
        if not came.body and not came.whole:
            return False
        session.said[came.number] = 0
        session.head(came, ("content-type", "application/grpc"))
    piece, whole = came.body[session.said[came.number]:], came.whole
    session.said[came.number] += len(piece)
    session.data(came, piece) if piece else None
    if whole:
        session.left.remove(came)
        session.head(came, ("grpc-status", "0"), *came.trailers, status=None, end=True)
    return bool(piece or whole)


def echo(session):
    """Each piece of each body goes back as it comes; then the trailers."""
    session.said = {}
    while True:
        if not any([echo_more(session, came) for came in list(session.left)]) and not session.hear():
            return


def test_both_ways_at_once(before_h2):
    """As gRPC: each message is answered before the next one is said, and trailers end both."""
    proxy, server = before_h2(echo)
    with H2(proxy) as client:
        number = client.request("/api/s.S/M", ("te", "trailers"), ("content-type", "application/grpc"), method="POST", end=False)
        answer = client.answers[number]
        for turn in range(20):
            client.data(number, b"message %02d" % turn)
            client.until(lambda: answer.body.endswith(b"message %02d" % turn), "the message to come back")
        assert answer.status == 200 and not answer.whole
        client.trailers(number, ("x-checksum", "abc"))
        client.answer(number)
    assert answer.trailers == [("grpc-status", "0"), ("x-checksum", "abc")] and len(answer.body) == 200
    (came,) = by_h2(server, 1)
    assert came.trailers == [("x-checksum", "abc")] and came.pieces >= 20, "no piece waits for another"


def test_ten_streams_both_ways_at_once(before_h2):
    """Each with more than its windows hold, all through one connection."""
    proxy, server = before_h2(echo)
    bodies = {}
    with H2(proxy) as client:
        for letter in range(10):
            bodies[client.request(method="POST", end=False)] = bytes([65 + letter]) * 300_000
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
    by_h2(server, 10)
    assert len(server.connections) == 1 and {line["bytes_up"] for line in proxy.audit(10)} == {300_000}


def test_a_window_that_shrinks(before_h2):
    """SETTINGS may take from a window that is in use (RFC 9113 section 6.9.2)."""
    body = os.urandom(400_000)

    def script(session):
        (came,) = session.until(lambda: [one for one in session.left if one.pieces], "the first piece")
        session.h2.update_settings({INITIAL_WINDOW_SIZE: 1000})
        session.flush()
        session.until(lambda: len(came.body) > 100_000, "some of it")
        session.h2.update_settings({INITIAL_WINDOW_SIZE: 50_000})
        session.flush()
        session.serve(lambda session, came: session.answer(came, came.body))

    proxy, server = before_h2(script)
    with H2(proxy) as client:
        number = client.request(method="POST", end=False)
        client.data(number, body, end=True)
        assert client.answer(number).body == body
    by_h2(server, 1)


@pytest.mark.parametrize("slow", [1, 8])
def test_whoever_reads_slowly_holds_up_nobody_else(before_h2, slow):
    """The windows of an upstream's connection are not one client's to fill."""

    def script(session):
        while came := session.next():
            if came.path != "/slow":
                session.answer(came, b"x" * 200_000)
                continue
            session.head(came)
            while room := min(session.h2.local_flow_control_window(came.number), 16_000):
                session.data(came, b"s" * room)

    proxy, server = before_h2(script)
    with H2(proxy, windows=False) as idle, H2(proxy) as client:
        numbers = [idle.request("/api/slow") for _ in range(slow)]
        wait_for(lambda: len(server.requests) == slow, "the slow ones")
        for number in numbers:
            idle.until(lambda: idle.answers[number].status, "the head")
        for _ in range(20):
            assert client.ask("/api/fast").body == b"x" * 200_000
    by_h2(server, slow + 20)
    assert len(server.connections) == 1


def test_what_was_not_read_is_not_lost_to_others(before_h2):
    """160 clients' worth of windows that were full when they left: the connection's own window is whole again."""

    def script(session):
        while came := session.next():
            if came.path == "/fast":
                session.answer(came, b"x" * 200_000)
                continue
            session.head(came)
            while room := min(session.h2.local_flow_control_window(came.number), 16_000):
                session.data(came, b"s" * room)
            came.filled = True

    proxy, server = before_h2(script)
    for turn in (1, 2):
        with H2(proxy, windows=False) as idle:
            for _ in range(80):
                idle.request("/api/slow")
            wait_for(lambda: sum(hasattr(came, "filled") for came in server.requests) == 80 * turn, "full windows")
        wait_for(lambda: sum(came.reset == CANCEL for came in server.requests) == 80 * turn, "their end")
    with H2(proxy) as client:
        assert client.ask("/api/fast").body == b"x" * 200_000
    assert len(server.connections) == 1


def test_padding(before_h2):
    """It takes of the windows too (RFC 9113 section 6.1)."""

    def answer(session, came):
        session.head(came)
        for _ in range(1000):
            session.until(lambda: session.h2.local_flow_control_window(came.number) > 300, "room in the window")
            session.h2.send_data(came.number, b"0123456789", pad_length=255)
            session.flush()
        session.data(came, end=True)

    proxy, server = before_h2(respond(answer))
    with H2(proxy) as client:
        assert client.ask().body == b"0123456789" * 1000
    by_h2(server, 1)


@pytest.mark.parametrize("settings", [{HEADER_TABLE_SIZE: 0}, {HEADER_TABLE_SIZE: 1 << 20}, {MAX_FRAME_SIZE: 1 << 20}, {INITIAL_WINDOW_SIZE: 0}],
                         ids=["no table", "large table", "large frames", "no window"])
def test_settings_of_the_origin(before_h2, settings):
    def answer(session, came):
        while not came.whole:
            session.h2.increment_flow_control_window(10_000, came.number)
            session.flush()
            session.hear()
        session.answer(came, came.body, ("x-again", came.get("x-a")))

    proxy, server = before_h2(lambda session: session.serve(answer, whole=False), settings)
    with H2(proxy) as client:
        for _ in range(3):
            number = client.request("/api/x", ("x-a", "b" * 100), method="POST", end=False)
            client.data(number, b"x" * 50_000, end=True)
            answer = client.answer(number)
            assert (answer.body, answer.get("x-again")) == (b"x" * 50_000, "b" * 100)
    by_h2(server, 3)


def test_what_is_not_read_stops_the_origin(before_h2):
    """Less than 256 KiB of a response waits in between, and some in sockets."""
    stopped = []

    def script(session):
        came = session.next()
        session.head(came)
        sent = 0
        while came.reset is None and not stopped:
            room = min(session.h2.local_flow_control_window(came.number), 16_000)
            session.data(came, b"x" * room)
            sent += room
            if room == 0 and session.hear(0.3) is None:
                stopped.append(sent)
        session.until(lambda: came.reset is not None, "the client's leaving")

    proxy, _ = before_h2(script)
    with H2(proxy, windows=False) as client:
        client.request()
        wait_for(lambda: stopped, "the origin to be stopped")
    assert stopped[0] <= 65_535 + 256 * 1024


# Responses


@pytest.mark.parametrize("method,status,fields,length", [
    ("HEAD", 200, [("content-length", "17")], "17"),
    ("GET", 204, [], None),
    ("GET", 304, [("content-length", "9"), ("etag", '"a"')], "9"),
    ("GET", 200, [("content-length", "0")], "0"),
    ("GET", 200, [], None),
    ("POST", 200, [("content-type", "application/grpc"), ("grpc-status", "5")], None),
], ids=["HEAD", "204", "304", "length 0", "nothing", "trailers alone"])
def test_response_without_body(before_h2, method, status, fields, length):
    proxy, server = before_h2(respond(lambda session, came: session.head(came, *fields, status=status, end=True)))
    with H2(proxy) as client:
        for _ in range(2):
            answer = client.ask(method=method)
            assert (answer.status, answer.body, answer.trailers) == (status, b"", []), answer
            assert sorted(answer.fields) == sorted(fields), answer
            assert answer.get("content-length") == length
    by_h2(server, 2)


def test_response_trailers(before_h2):
    """Behind a body, behind none, and of a response whose length was told."""

    def answer(session, came):
        body = {"/none": b"", "/some": b"body", "/long": b"x" * 300_000}[came.path]
        session.answer(came, body, ("content-length", str(len(body))), trailers=[("grpc-status", "7"), ("grpc-message", "%20")])

    proxy, server = before_h2(respond(answer))
    with H2(proxy) as client:
        for path, body in (("none", b""), ("some", b"body"), ("long", b"x" * 300_000)):
            answer = client.ask(f"/api/{path}", ("te", "trailers"), method="POST")
            assert (answer.body, answer.trailers) == (body, [("grpc-status", "7"), ("grpc-message", "%20")])
    by_h2(server, 3)


def test_fields_come_down(before_h2):
    def answer(session, came):
        session.answer(came, b"ok", ("location", f"https://127.0.0.1:{came.session.origin.port}/there"), ("alt-svc", "h3"),
                       ("set-cookie", "a=1"), ("set-cookie", "b=2"), ("x-8bit", "\xe9"))

    proxy, server = before_h2(respond(answer))
    with H2(proxy) as client:
        answer = client.ask()
    assert sorted(answer.fields) == [("content-length", "2"), ("location", "/api/there"), ("set-cookie", "a=1"), ("set-cookie", "b=2"), ("x-8bit", "\xe9")]
    by_h2(server, 1)


def test_interim_responses(before_h2):
    def answer(session, came):
        session.head(came, ("link", "</a>"), status=103)
        session.head(came, status=100)
        session.answer(came)

    proxy, server = before_h2(respond(answer))
    with H2(proxy) as client:
        got = client.ask()
    assert got.status == 200 and [one[":status"] for one in got.interim] == ["103", "100"] and got.interim[0]["link"] == "</api/a>", got.interim
    by_h2(server, 1)


def test_expect(before_h2):
    """The 100 is the origin's, and the body waits for it."""

    def script(session):
        came = session.next(whole=False)
        assert came.get("expect") == "100-continue" and not came.body
        session.head(came, status=100)
        session.until(lambda: came.whole, "the body")
        session.answer(came, came.body)

    proxy, server = before_h2(script)
    with H2(proxy) as client:
        number = client.request("/api/x", ("expect", "100-continue"), ("content-length", "4"), method="POST", end=False)
        client.until(lambda: client.answers[number].interim, "the 100")
        client.data(number, b"body", end=True)
        assert client.answer(number).body == b"body"
    by_h2(server, 1)


def test_events_leave_as_they_come(before_h2):
    said = []

    def script(session):
        came = session.next()
        session.head(came, ("content-type", "text/event-stream"))
        for event in range(3):
            session.data(came, b"data: %d\n\n" % event)
            session.until_told(lambda: len(said) > event)
        session.data(came, end=True)

    proxy, server = before_h2(script)
    with H2(proxy) as client:
        number = client.request()
        for event in range(3):
            client.until(lambda: client.answers[number].body.endswith(b"data: %d\n\n" % event), "the event")
            said.append(event)
        assert client.answer(number).whole
    by_h2(server, 1)


def test_the_secret_never_comes_back(before_h2):
    """In fields, in the body, in pieces, and in trailers."""

    def answer(session, came):
        value = came.get("authorization")
        session.head(came, ("x-echo", value))
        session.data(came, f"<{value[:20]}".encode())
        session.data(came, f"{value[20:]}>".encode())
        session.head(came, ("x-last", value), status=None, end=True)

    proxy, server = before_h2(respond(answer))
    with H2(proxy) as client:
        got = client.ask()
    length = len(proxy.secrets["api"])
    assert (got.get("x-echo"), got.body, got.trailers) == ("Bearer [secret]", b"<Bearer " + b"*" * length + b">", [("x-last", "Bearer [secret]")])
    assert proxy.audit(1)[0]["scrubbed"]
    by_h2(server, 1)


# Ends


@pytest.mark.parametrize("how", ["reset", "close"])
def test_the_client_leaves(before_h2, how):
    """Its stream ends at the origin, within a second and by CANCEL; another client's goes on there."""
    let = threading.Event()

    def script(session):
        goes, stays = session.until(lambda: len(session.left) == 2 and session.left, "both")
        for came in (goes, stays):
            session.head(came)
            session.data(came, b"part")
        session.until(lambda: goes.reset is not None, "the reset")
        let.wait(TIMEOUT)
        session.data(stays, b"rest", end=True)
        assert stays.reset is None

    proxy, server = before_h2(script)
    with H2(proxy) as client, H2(proxy) as other:
        goes = client.request("/api/goes")
        wait_for(lambda: server.requests, "the first")
        stays = other.request("/api/stays")
        client.until(lambda: client.answers[goes].body, "its part")
        client.reset(goes) if how == "reset" else client.close()
        wait_for(lambda: server.requests[0].reset is not None, "the reset", 1)
        let.set()
        assert other.answer(stays).body == b"partrest"
        assert other.ask("/none/x").status == 404
    assert by_h2(server, 2)[0].reset == CANCEL and len(server.connections) == 1
    (line,) = proxy.audit(1, path="/goes")
    assert (line["verdict"], line["reason"]) == ("fail", "client_gone")


def test_the_client_leaves_within_its_upload(before_h2):
    proxy, server = before_h2(lambda session: session.until(lambda: session.left and session.left[0].reset is not None, "the reset"))
    with H2(proxy) as client:
        number = client.request(method="POST", end=False)
        client.data(number, b"part")
        wait_for(lambda: server.requests and server.requests[0].body, "the part")
        client.reset(number)
        wait_for(lambda: server.requests[0].reset is not None, "the reset", 1)
    (came,) = by_h2(server, 1)
    assert came.reset == CANCEL and not came.whole and came.body == b"part"


def test_an_origin_that_closed(before_h2):
    """An idle connection that ended is not used again: a POST behind it is sent once, and answered."""
    ended = []

    def script(session):
        session.answer(session.next())
        session.connection.sock.shutdown(1)
        ended.append(session.connection.rest())

    proxy, server = before_h2(script)
    with H2(proxy) as client:
        for turn in range(3):
            assert client.ask(method="POST").body == b"ok"
            wait_for(lambda: len(ended) > turn, "our end of it")
    by_h2(server, 3)
    assert len(server.connections) == 3


def test_sigterm(before_h2):
    """Streams under way end, both ways."""
    let = threading.Event()

    def script(session):
        came = session.next(whole=False)
        session.head(came)
        session.data(came, b"first")
        session.until(lambda: came.whole, "the rest of the request")
        session.data(came, came.body, end=True)
        session.until(lambda: session.goaway is not None or session.hear() is False, "the end of the connection")
        let.set()

    proxy, server = before_h2(script)
    with H2(proxy) as client:
        number = client.request(method="POST", end=False)
        client.until(lambda: client.answers[number].body, "the first part")
        proxy.process.send_signal(signal.SIGTERM)
        client.until(lambda: client.goaway, "GOAWAY")
        client.data(number, b"last", end=True)
        assert client.answer(number).body == b"firstlast"
        client.end()
    assert proxy.process.wait(10) == 0 and let.wait(TIMEOUT)
    by_h2(server, 1)


def test_response_idle(before_h2):
    """504, and the stream is taken back at the origin; the connection serves on."""

    def answer(session, came):
        if came.path != "/silent":
            session.answer(came)

    proxy, server = before_h2(respond(answer), head={"limits": "{{ response_idle: 1s }}"})
    with H2(proxy) as client:
        assert client.ask("/api/silent").status == 504
        assert client.ask("/api/x").status == 200
    by_h2(server, 2)
    wait_for(lambda: server.requests[0].reset == CANCEL, "the reset", 1)
    assert len(server.connections) == 1
