"""HTTP/2 towards upstreams: what came by HTTP/2 goes up by it where the origin offers it (SPEC §3, §5). The origins are python-h2's
and nginx; bodies and responses are in test_h2_upstream_bodies.py, and what origins do wrong in test_h2_upstream_faults.py."""

import os
import signal
import socket
import ssl
import subprocess
import threading

import pytest
from hpack import NeverIndexedHeaderTuple

from peers import evidence
from peers.config import get, one_api
from peers.h2 import H2
from peers.h2_origin import CANCEL, MAX_CONCURRENT_STREAMS, Came, by_h2, respond, speak
from peers.keystile import wait_for
from peers.tunnel import open_tunnel
from peers.wire import TIMEOUT, Message

ONE_WORKER = {"workers": "1"}  # each has connections of its own
OF_THE_HOP = {"connection", "host", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "http2-settings"}


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


def test_what_came_never_indexed_goes_on_so(before_h2):
    """RFC 7541 section 6.2.3: fields and trailers, up and down, and no others."""
    never = [NeverIndexedHeaderTuple(name, "1") for name in ("x-never", "x-last")]

    def answer(session, came):
        session.answer(came, b"ok", never[0], ("x-ever", "1"), trailers=[never[1]])

    proxy, server = before_h2(respond(answer))
    with H2(proxy) as client:
        number = client.request("/api/x", never[0], ("x-ever", "1"), method="POST", end=False)
        client.data(number, b"body")
        client.trailers(number, never[1])
        answer = client.answer(number)
    (came,) = by_h2(server, 1)
    assert "x-never" in came.never and "x-ever" not in came.never
    for fields in (answer.fields, answer.trailers, came.trailers):
        kept = {field[0] for field in fields if isinstance(field, NeverIndexedHeaderTuple)}
        assert kept == {field[0] for field in fields} & {"x-never", "x-last"} and kept, fields


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

    proxy, server = before_h2(script, head=ONE_WORKER)
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
    proxy = keystile(one_api(f"https://127.0.0.1:{nginx_tls.port}", ca=authority.ca), {"api": evidence.secret()})
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


# Ends


@pytest.mark.parametrize("how", ["reset", "close"])
def test_the_client_leaves(before_h2, how):
    """Its stream ends at the origin by CANCEL, long before any time is over; another client's goes on there."""
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

    proxy, server = before_h2(script, head=ONE_WORKER)
    with H2(proxy) as client, H2(proxy) as other:
        goes = client.request("/api/goes")
        wait_for(lambda: server.requests, "the first")
        stays = other.request("/api/stays")
        client.until(lambda: client.answers[goes].body, "its part")
        client.reset(goes) if how == "reset" else client.close()
        wait_for(lambda: server.requests[0].reset is not None, "the reset")
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
        wait_for(lambda: server.requests[0].reset is not None, "the reset")
    (came,) = by_h2(server, 1)
    assert came.reset == CANCEL and not came.whole and came.body == b"part"


def test_an_origin_that_closed(before_h2):
    """An idle connection that ended is not used again: a POST behind it is sent once, and answered."""
    ended = []

    def script(session):
        session.answer(session.next())
        session.connection.sock.shutdown(socket.SHUT_WR)
        ended.append(session.connection.rest())

    proxy, server = before_h2(script)
    with H2(proxy) as client:
        for turn in range(3):
            assert client.ask(method="POST").body == b"ok"
            wait_for(lambda: len(ended) > turn, "our end of it")
    by_h2(server, 3)
    assert len(server.connections) == 3


def test_an_idle_connection_ends(before_h2):
    """limits.idle, with GOAWAY; what comes behind it has a new one."""
    ended = []

    def script(session):
        session.serve()
        ended.append(session.goaway)

    proxy, server = before_h2(script, head={"limits": "{{ idle: 1s }}"})
    token = proxy.token()
    for turn in (1, 2):
        with H2(proxy) as client:
            assert client.ask(token=token).body == b"ok"
        wait_for(lambda: len(ended) == turn, "the end")
    assert ended == [0, 0] and len(server.connections) == 2
    by_h2(server, 2)


def test_sigterm(before_h2):
    """Streams under way end, both ways."""
    over = threading.Event()

    def script(session):
        came = session.next(whole=False)
        session.head(came)
        session.data(came, b"first")
        session.until(lambda: came.whole, "the rest of the request")
        session.data(came, came.body, end=True)
        while session.hear():
            pass
        over.set()

    proxy, server = before_h2(script)
    with H2(proxy) as client:
        number = client.request(method="POST", end=False)
        client.until(lambda: client.answers[number].body, "the first part")
        proxy.process.send_signal(signal.SIGTERM)
        client.until(lambda: client.goaway, "GOAWAY")
        client.data(number, b"last", end=True)
        assert client.answer(number).body == b"firstlast"
        client.end()
    assert proxy.process.wait(10) == 0 and over.wait(TIMEOUT)
    by_h2(server, 1)


def test_response_idle(before_h2):
    """504, and the stream is taken back at the origin; the connection serves on."""

    def answer(session, came):
        if came.path != "/silent":
            session.answer(came)

    proxy, server = before_h2(respond(answer), head={"limits": "{{ response_idle: 3s }}"})
    with H2(proxy) as client:
        assert client.ask("/api/silent").status == 504
        assert client.ask("/api/x").status == 200
    by_h2(server, 2)
    wait_for(lambda: server.requests[0].reset == CANCEL, "the reset")
    assert len(server.connections) == 1
