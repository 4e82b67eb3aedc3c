"""101 upgrades (SPEC §3): who may ask for one, which 101 reaches the client, and that behind it bytes flow both ways, whole."""

import contextlib
import ctypes
import os
import signal
import socket
import stat
import threading

import pytest

from peers import evidence, sanitizers
from peers.config import basic, get, one_api, problem
from peers.keystile import wait_for
from peers.pace import Pace
from peers.tunnel import echo, open_tunnel

PIDFD_GETFD = 438
ASKS = ("Connection: Upgrade", "Upgrade: echo")


def answer(*fields, version="1.1"):
    return "\r\n".join([f"HTTP/{version} 101 Switching Protocols", *fields]) + "\r\n\r\n"


SWITCH = answer("Connection: Upgrade", "Upgrade: echo")


def switching(sends=SWITCH):
    """A server's script: who asks gets `sends` (the pieces of a list one by one) and an echo, anybody else a 200."""

    def script(connection):
        while True:
            connection.origin.requests.append(connection.request())
            if not connection.origin.requests[-1].all("Upgrade"):
                connection.answer()
                continue
            for piece in [sends] if isinstance(sends, str) else sends:
                connection.send(piece)
            echo(connection)
            return

    return script


def always(sends):
    """A server's script that answers each request with just these bytes, asked or not, and listens until the end."""

    def script(connection):
        connection.origin.requests.append(connection.request())
        connection.send(sends)
        connection.left = connection.rest()

    return script


@pytest.fixture
def serve(keystile, origin):
    """serve(SCRIPT) gives proxyd in front of an origin that runs it, and the origin."""

    def start(script=None, head=None, hosts="[]", **more):
        server = origin(script or switching())
        proxy = keystile(one_api(f"http://127.0.0.1:{server.port}", hosts=hosts, **more), {"api": evidence.secret()}, head)
        proxy.asks = lambda path="/x", *fields: get("/api" + path, proxy.token(), *(fields or ASKS))
        return proxy, server

    return start


@pytest.fixture
def both(before):
    """The same, for plain clients and for those in TLS."""

    def start(script=None, head=None, **more):
        proxy, server = before(script or switching(), head, **more)
        proxy.asks = lambda path="/x", *fields: proxy.request(path, *(fields or ASKS))
        return proxy, server

    return start


def switched(client, request, early=b""):
    """Sends the request, and returns the 101 that must answer it."""
    client.send(request.encode() + early)
    response = client.head()
    assert response.status == 101, response
    assert (response.get("Connection").lower(), response.get("Upgrade")) == ("upgrade", "echo"), response
    assert not response.all("Content-Length") + response.all("Transfer-Encoding"), response
    return response


def talks(client, text=b"\0hello"):
    client.send(text)
    return client.exactly(len(text)) == text


def lines_of(proxy, **match):
    """The two audit lines of the one upgrade, start and end."""
    end = proxy.audit(1, event="end", status=101, **match)[0]
    both = [line for line in proxy.audit() if line["id"] == end["id"]]
    assert [line["event"] for line in both] == ["start", "end"], both
    return both


# Every way in


def test_reverse(serve):
    proxy, server = serve()
    with proxy.client() as client:
        switched(client, proxy.asks("/chat?a=b"))
        assert talks(client)
        client.end()
        assert client.rest() == b""
    seen = server.requests[0]
    assert (seen.line, seen.all("Connection"), seen.all("Upgrade")) == ("GET /chat?a=b HTTP/1.1", ["Upgrade"], ["echo"])
    assert seen.get("Authorization") == "Bearer " + proxy.secrets["api"]
    start, end = lines_of(proxy)
    for line in (start, end):
        assert (line["way"], line["credential"], line["profile"], line["method"]) == ("reverse", "api", "agent", "GET")
        assert (line["host"], line["port"], line["path"], line["injected"]) == ("127.0.0.1", server.port, "/chat", True)
        assert line["client"].startswith("127.0.0.1:")
    assert "status" not in start and (end["verdict"], end["bytes_up"], end["bytes_down"]) == ("allow", 6, 6)


def test_absolute_form(serve):
    proxy, server = serve()
    auth = f"Proxy-Authorization: {basic('agent', proxy.proxy_token())}"
    with proxy.client() as client:
        switched(client, get(f"http://127.0.0.1:{server.port}/x", None, *ASKS, auth))
        assert talks(client)
    assert server.requests[0].get("Authorization") == "Bearer " + proxy.secrets["api"]
    assert lines_of(proxy, way="forward")


def test_inside_a_tunnel(tunnelled):
    """Plain HTTP in CONNECT: judged like any request there, and counted for the tunnel's host."""
    proxy, server = tunnelled(switching())
    with open_tunnel(proxy, "tun.test:9999", proxy.proxy_token()) as client:
        assert client.ask(get("/first", None, host="tun.test:9999")).status == 200
        switched(client, get("/x", None, *ASKS, host="tun.test:9999"))
        assert talks(client)
    assert [seen.target for seen in server.requests] == ["/first", "/x"]
    start, end = lines_of(proxy, way="connect", host="tun.test", port=9999, path="/x")
    assert end["injected"] is False and end["profile"] == "agent"


@pytest.mark.parametrize("behind", ["", "behind", "behind" * 40_000], ids=["nothing", "a word", "more than a record"])
def test_tls_upstream(keystile, origin, authority, behind):
    server = origin(switching(SWITCH + behind), context=authority.server_context())
    proxy = keystile(one_api(f"https://127.0.0.1:{server.port}", ca=authority.ca), {"api": evidence.secret()})
    text = os.urandom(300_000)
    with proxy.client() as client:
        switched(client, get("/api/x", proxy.token(), *ASKS), b"early")
        assert client.exactly(len(behind) + 5) == behind.encode() + b"early"
        sender = threading.Thread(target=client.sock.sendall, args=(text,))
        sender.start()
        assert client.exactly(len(text)) == text
        sender.join()
    assert server.requests[0].get("Authorization") == "Bearer " + proxy.secrets["api"]
    wait_for(lambda: lines_of(proxy)[1]["bytes_up"] == 300_005, "the bytes to be counted")


def test_denied_by_a_rule(serve):
    """It is judged like any request, before anything is dialled."""
    proxy, server = serve(rules='["deny GET /chat", "allow * /**"]')
    with proxy.client() as client:
        problem(client.ask(proxy.asks("/chat")), 403)
        problem(client.ask(get("/api/x", "wrong", *ASKS)), 401)
        switched(client, proxy.asks("/x"))
    assert len(server.connections) == 1
    assert [line["rule"] for line in lines_of(proxy)] == ["allow * /**"] * 2


# Bytes around the 101


PIECES = {"with it": SWITCH + "first words", "dribbled": [*(SWITCH + "first words")], "in two": [SWITCH, "first words"]}


@pytest.mark.parametrize("sends", PIECES.values(), ids=PIECES)
def test_bytes_behind_the_101(both, sends):
    """They come first, and none is lost."""
    proxy, _ = both(switching(sends))
    with proxy.client() as client:
        switched(client, proxy.asks())
        assert client.exactly(11) == b"first words"
        assert talks(client)


@pytest.mark.parametrize("place", ["first", "second", "behind another"])
@pytest.mark.parametrize("early", [b"early", b"\0\0\0early\0\0", b"GET /api/y HTTP/1.1\r\nHost: h\r\n\r\n", os.urandom(200_000)],
                         ids=["text", "zeroes", "a request", "many"])
def test_early_bytes(serve, place, early):
    """What the client says behind its request, without having waited, is the new protocol's."""
    proxy, server = serve()
    with proxy.client() as client:
        if place == "second":
            assert client.ask(get("/api/warm", proxy.token())).status == 200
        before = get("/api/warm", proxy.token()) if place == "behind another" else ""
        sender = threading.Thread(target=client.send, args=((before + proxy.asks()).encode() + early,))
        sender.start()
        assert not before or client.response().status == 200
        assert client.head().status == 101
        assert client.exactly(len(early)) == early
        sender.join()
        assert talks(client)
    assert len(server.requests) == 1 + (place != "first")
    assert lines_of(proxy)[1]["bytes_up"] == len(early) + 6


def test_request_in_pieces(both):
    proxy, _ = both()
    with proxy.client() as client:
        request = proxy.asks().encode()
        for at in range(len(request)):
            client.sock.sendall(request[at : at + 1])
        switched(client, "", b"early")
        assert client.exactly(5) == b"early"


def test_behind_interim_answers(both):
    proxy, _ = both(switching("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + SWITCH + "words"))
    with proxy.client() as client:
        client.send(proxy.asks())
        assert [client.head().status for _ in range(3)] == [100, 103, 101]
        assert client.exactly(5) == b"words"


@pytest.mark.parametrize("who", ["client", "server"])
def test_half_close(serve, who):
    """The end of one side is passed on, and the other one may go on."""

    def script(connection):
        connection.request()
        connection.send(SWITCH)
        if who == "server":
            connection.half_close()
        connection.left = connection.rest()
        if who == "client":
            connection.send("last words")

    proxy, server = serve(script)
    with proxy.client() as client:
        switched(client, proxy.asks())
        if who == "server":
            assert client.rest() == b""
        client.send("more words")
        client.end()
        assert client.rest() == (b"last words" if who == "client" else b"")
    assert lines_of(proxy)[1]["verdict"] == "allow"
    assert wait_for(lambda: getattr(server.connections[0], "left", None), "what the server got") == b"more words"


def proxyds_end(proxy, client):
    """proxyd's own socket of that client, as a copy."""
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    process = os.pidfd_open(proxy.process.pid)
    try:
        for number in map(int, os.listdir(f"/proc/{proxy.process.pid}/fd")):
            fd = syscall(PIDFD_GETFD, process, number, 0)
            if fd < 0:
                continue
            if not stat.S_ISSOCK(os.fstat(fd).st_mode):
                os.close(fd)
                continue
            sock = socket.socket(fileno=fd)
            with contextlib.suppress(OSError):
                if sock.getpeername() == client.sock.getsockname():
                    return sock
            sock.close()
    finally:
        os.close(process)
    raise AssertionError("proxyd has no such socket")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may look at proxyd's sockets")
def test_nothing_waits_for_an_acknowledgement(both):
    """The last part of a message leaves as the others did: libmicrohttpd sets that otherwise."""
    proxy, _ = both()
    with proxy.client() as client:
        assert client.ask(get("/api/x", proxy.token())).status == 200
        switched(client, proxy.asks())
        assert talks(client)
        with proxyds_end(proxy, client) as sock:
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert not sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CORK)


def test_fields_of_the_101(serve):
    """As any head's: no hop-by-hop field, no Alt-Svc, Location mended, no secret."""
    fields = ["Connection: Upgrade, X-Hop", "Upgrade: echo", "X-Hop: 1", "Alt-Svc: h3=\":443\"", "Keep-Alive: timeout=5",
              "Content-Length: 5", "Sec-WebSocket-Accept: abc=", "Set-Cookie: a=b", "Set-Cookie: c=d"]
    proxy, server = serve()
    server.script = switching(answer(*fields, f"Location: http://127.0.0.1:{server.port}/y", "X-Echo: " + proxy.secrets["api"]))
    with proxy.client() as client:
        response = switched(client, proxy.asks())
        assert (response.get("Sec-WebSocket-Accept"), response.all("Set-Cookie")) == ("abc=", ["a=b", "c=d"])
        assert not [name for name in ("X-Hop", "Alt-Svc", "Keep-Alive") if response.all(name)]
        assert (response.get("Location"), response.get("X-Echo")) == ("/api/y", "[secret]")
        assert talks(client)
    assert lines_of(proxy)[1]["scrubbed"] == 1


@pytest.mark.parametrize("size,status", [(12_000, 101), (20_000, 502)])
def test_long_head(serve, size, status):
    """Early bytes need room beside it: what does not fit is refused, and nothing is lost of the connection."""
    proxy, server = serve()
    server.script = switching(answer(*ASKS, *(f"X-Pad: {'a' * 1000}" for _ in range(size // 1000))))
    with proxy.client() as client:
        client.send(proxy.asks())
        if status == 101:
            assert len(client.head().all("X-Pad")) == 12 and talks(client)
        else:
            assert "101" in problem(client.response(), 502)["detail"]
            assert client.ask(get("/api/x", proxy.token())).status == 200


# Who asks


FORMS = {
    "a list": (["Connection: keep-alive, Upgrade", "Upgrade: echo"], ["echo"]),
    "lists in lines": (["Connection: keep-alive", "Connection: x ,, upgrade", "Upgrade: echo"], ["echo"]),
    "cases": (["CONNECTION: UPGRADE", "upgrade: ECHO"], ["ECHO"]),
    "several protocols": (["Connection: upgrade", "Upgrade: other/2, echo"], ["other/2, echo"]),
    "protocols in lines": (["Upgrade: other/2", "Connection: upgrade", "Upgrade: echo"], ["other/2", "echo"]),
    "an empty body": (["Connection: upgrade", "Upgrade: echo", "Content-Length: 0"], ["echo"]),
}


@pytest.mark.parametrize("fields,asked", FORMS.values(), ids=FORMS)
def test_forms(both, fields, asked):
    proxy, server = both()
    with proxy.client() as client:
        switched(client, proxy.asks("/x", *fields))
        assert talks(client)
    assert (server.requests[0].all("Connection"), server.requests[0].all("Upgrade")) == (["Upgrade"], asked)


def test_nominated_fields(both):
    """Those that Connection names beside end here, as ever."""
    proxy, server = both()
    with proxy.client() as client:
        switched(client, proxy.asks("/x", "Connection: Upgrade, X-Gone", "Upgrade: echo", "X-Gone: 1", "X-Stays: 2"))
    assert (server.requests[0].all("X-Gone"), server.requests[0].all("X-Stays")) == ([], ["2"])


NOT_ASKED = {
    "Upgrade alone": ["GET {} HTTP/1.1", "Upgrade: echo"],
    "Connection alone": ["GET {} HTTP/1.1", "Connection: Upgrade"],
    "another Connection": ["GET {} HTTP/1.1", "Connection: keep-alive", "Upgrade: echo"],
    "h2c": ["GET {} HTTP/1.1", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"],
    "h2c among others": ["GET {} HTTP/1.1", "Connection: Upgrade, HTTP2-Settings", "Upgrade: echo, h2c", "HTTP2-Settings: AA"],
    "TLS": ["GET {} HTTP/1.1", "Connection: Upgrade", "Upgrade: TLS/1.2"],
    "HTTP": ["GET {} HTTP/1.1", "Connection: Upgrade", "Upgrade: echo", "Upgrade: HTTP/2.0"],
    "an empty Upgrade": ["GET {} HTTP/1.1", "Connection: Upgrade", "Upgrade:"],
    "no protocol": ["GET {} HTTP/1.1", "Connection: Upgrade", "Upgrade: e(ho"],
    "POST": ["POST {} HTTP/1.1", "Connection: Upgrade", "Upgrade: echo"],
    "OPTIONS": ["OPTIONS {} HTTP/1.1", "Connection: Upgrade", "Upgrade: echo"],
    "HTTP/1.0": ["GET {} HTTP/1.0", "Connection: Upgrade", "Upgrade: echo"],
    "a body of a length": ["GET {} HTTP/1.1", "Connection: Upgrade", "Upgrade: echo", "Content-Length: 5"],
    "a chunked body": ["GET {} HTTP/1.1", "Connection: Upgrade", "Upgrade: echo", "Transfer-Encoding: chunked"],
    "a wait for 100": ["GET {} HTTP/1.1", "Connection: Upgrade", "Upgrade: echo", "Expect: 100-continue"],
}


def not_asking(proxy, what):
    line, *fields = NOT_ASKED[what]
    body = {"a body of a length": "hello", "a chunked body": "5\r\nhello\r\n0\r\n\r\n"}.get(what, "")
    lines = [line.format("/api/x"), "Host: h", f"Authorization: Bearer {proxy.token()}", *fields]
    return "\r\n".join(lines) + "\r\n\r\n" + body


@pytest.mark.parametrize("what", NOT_ASKED)
def test_no_upgrade(serve, what):
    """It goes up without a word of it, is answered in HTTP/1.1, and the connection goes on as it would."""
    proxy, server = serve()
    with proxy.client() as client:
        response = client.ask(not_asking(proxy, what))
        assert response.status == 200
        if what in ("HTTP/1.0", "a wait for 100"):
            assert client.rest() == b""
        else:
            switched(client, proxy.asks())
    for name in ("Connection", "Upgrade", "HTTP2-Settings"):
        assert not server.requests[0].all(name), server.requests[0]
    assert proxy.audit(1, event="end", status=200)
    assert [line for line in proxy.audit(event="start") if line["path"] != "/x"] == []


FORGED = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"


@pytest.mark.parametrize("what", NOT_ASKED)
def test_a_101_all_the_same(both, what):
    """An upstream that colludes with the agent: what it sends behind a 101 that nobody asked for reaches nobody."""
    proxy, server = both(always(answer("Connection: Upgrade", "Upgrade: echo, h2c, TLS/1.2") + FORGED))
    with proxy.client() as client:
        request = not_asking(proxy, what)
        client.send(request + proxy.asks())
        problem(client.response("POST" if request.startswith("POST") else "GET"), 502)
        assert b"forged" not in client.rest()
    assert proxy.audit(1, event="end", verdict="fail", reason="unasked_upgrade", status=502)
    wait_for(lambda: hasattr(server.connections[0], "left"), "the upstream's connection to be closed")
    assert len(server.connections) == 1


def test_many_101s_that_nobody_asked_for(keystile, origin):
    """All their answers go out in one round; each ends its connection, and is in the audit, at once."""
    many = 20
    together = threading.Barrier(many)

    def serve(connection):
        connection.request()
        together.wait(15)
        connection.send(SWITCH)

    proxy = keystile(one_api(f"http://127.0.0.1:{origin(serve).port}"), {"api": evidence.secret("many")})
    token, clients = proxy.token(), [proxy.client(f"client {number}") for number in range(many)]
    for client in clients:
        client.send(get("/api/x", token))
    for client in clients:
        problem(client.response(), 502)
    proxy.audit(many, event="end", reason="unasked_upgrade", status=502)
    for client in clients:
        assert client.rest() == b""
        client.close()


def test_a_colluding_upstream(both):
    """A 101 to a plain GET, and a second answer behind it, for the next one."""
    proxy, server = both(always(SWITCH + FORGED))
    with proxy.client() as client:
        client.send(get("/api/x", proxy.token()) * 2)
        problem(client.response(), 502)
        assert client.rest() == b""
    server.script = switching()
    assert proxy.ask(get("/api/x", proxy.token())).text == "ok"
    assert len(server.connections) == 2


NOT_GRANTED = {
    "another protocol": answer("Connection: Upgrade", "Upgrade: other"),
    "another one beside": answer("Connection: Upgrade", "Upgrade: echo, other"),
    "another one in a line": answer("Connection: Upgrade", "Upgrade: echo", "Upgrade: other"),
    "another version": answer("Connection: Upgrade", "Upgrade: echo/2"),
    "h2c": answer("Connection: Upgrade", "Upgrade: h2c"),
    "no Connection": answer("Upgrade: echo"),
    "another Connection": answer("Connection: keep-alive", "Upgrade: echo"),
    "no Upgrade": answer("Connection: Upgrade"),
    "an empty Upgrade": answer("Connection: Upgrade", "Upgrade:"),
    "neither": answer(),
    "HTTP/1.0": answer("Connection: Upgrade", "Upgrade: echo", version="1.0"),
}


@pytest.mark.parametrize("sends", NOT_GRANTED.values(), ids=NOT_GRANTED)
def test_another_101_than_was_asked_for(both, sends):
    proxy, server = both(always(sends + "raw bytes"))
    with proxy.client() as client:
        client.send(proxy.asks())
        assert "not asked for" in problem(client.response(), 502)["detail"]
        assert b"raw bytes" not in client.rest()
    assert proxy.audit(1, event="end", verdict="fail", reason="unasked_upgrade", status=502)
    wait_for(lambda: hasattr(server.connections[0], "left"), "the upstream's connection to be closed")
    assert server.connections[0].left == b""


# Refused


@pytest.mark.parametrize("status", ["200 OK", "403 Forbidden", "426 Upgrade Required", "204 No Content"])
def test_a_refused_upgrade(both, status):
    """A normal exchange; both connections go on, and may switch later."""

    def script(connection):
        for _ in range(2):
            connection.origin.requests.append(connection.request())
            if status.startswith("204"):
                connection.send("HTTP/1.1 204 No Content\r\n\r\n")
            else:
                connection.answer(status, b"no" * 5000, "Upgrade: echo", "Connection: Upgrade")
        switching()(connection)

    proxy, server = both(script)
    with proxy.client() as client:
        for _ in range(2):
            response = client.ask(proxy.asks())
            assert response.line.endswith(status) and not response.all("Upgrade"), response
            assert response.body == (b"" if status.startswith("204") else b"no" * 5000)
        assert client.ask(get("/api/plain", proxy.token())).status == 200
        switched(client, proxy.asks())
        assert talks(client)
    assert len(server.connections) == 1 and [seen.all("Upgrade") for seen in server.requests] == [["echo"], ["echo"], [], ["echo"]]


def test_a_request_behind_a_refused_upgrade(serve):
    """Bytes that were sent early are a request, where no other protocol came."""

    def script(connection):
        connection.origin.requests.append(connection.request())
        connection.answer("403 Forbidden", "no")
        switching()(connection)

    proxy, server = serve(script)
    with proxy.client() as client:
        client.send(proxy.asks() + get("/api/y", proxy.token()) + get("/api/z", "wrong"))
        assert [client.response().status for _ in range(3)] == [403, 200, 401]
    assert [seen.target for seen in server.requests] == ["/x", "/y"]


def test_upstream_gone_before_its_answer(both):
    def script(connection):
        connection.request()

    proxy, _ = both(script)
    with proxy.client() as client:
        problem(client.ask(proxy.asks()), 502)
        problem(client.ask(proxy.asks()), 502)


def test_a_dead_connection_from_the_pool(both):
    """It gave not one byte back, and a GET is asked again."""
    done = threading.Event()

    def script(connection):
        connection.request()
        connection.answer()
        connection.request()
        done.set()

    proxy, server = both(script)
    with proxy.client() as client:
        assert client.ask(get("/api/x", proxy.token())).status == 200
        server.script = switching()
        switched(client, proxy.asks())
        assert done.is_set() and talks(client)


# The end


@pytest.mark.parametrize("how,reason", [("close", None), ("reset", "client_gone")])
def test_client_gone(both, how, reason):
    gone = threading.Event()

    def script(connection):
        connection.request()
        connection.send(SWITCH)
        connection.rest()
        gone.set()

    proxy, _ = both(script)
    client = proxy.client()
    switched(client, proxy.asks())
    with Pace() as pace:
        getattr(client, how)()
        assert gone.wait(10) and pace.passed < 1, "the upstream is told within a second"
    assert lines_of(proxy)[1].get("reason") == reason


def test_client_gone_before_the_101(both):
    asked, gone = threading.Event(), threading.Event()

    def script(connection):
        connection.request()
        asked.set()
        connection.rest()
        gone.set()

    proxy, _ = both(script)
    client = proxy.client()
    client.send(proxy.asks())
    assert asked.wait(10)
    with Pace() as pace:
        client.close()
        assert gone.wait(10) and pace.passed < 1, "the upstream's request ends within a second"
    assert proxy.audit(1, event="end", verdict="fail", reason="client_gone")


@pytest.mark.parametrize("how,reason", [("end", None), ("reset", "upstream_cut")])
def test_upstream_gone(serve, how, reason):
    def script(connection):
        connection.request()
        connection.send(SWITCH + "words")
        connection.until(b"go")
        getattr(connection, how)()

    proxy, _ = serve(script)
    with proxy.client() as client:
        switched(client, proxy.asks())
        assert client.exactly(5) == b"words"
        client.send("go")
        assert client.rest() == b""
        client.end()
    assert lines_of(proxy)[1].get("reason") == reason


def test_idle(both):
    proxy, server = both(head={"limits": "{{ tunnel_idle: 3s }}"})
    with proxy.client() as client:
        switched(client, proxy.asks())
        assert talks(client)
        assert client.rest() == b""
    assert lines_of(proxy)[1]["reason"] == "tunnel_idle"


def test_no_other_limit(both):
    """Those of requests and responses have ended with them."""
    limits = "{{ tunnel_idle: 60s, idle: 2s, body_idle: 2s, response_idle: 2s, head_time: 2s }}"
    proxy, server = both(head={"limits": limits})
    plain, asks = get("/api/x", proxy.token()), proxy.asks()
    with proxy.client() as client:
        switched(client, asks)
        with proxy.client("idle client") as idle:
            assert idle.ask(plain).status == 200
            assert idle.rest() == b"", "that one came to its limit"
        assert talks(client)


def test_counted_for_the_profile(serve):
    proxy, _ = serve(head={"limits": "{{ profile_connections: 1 }}"})
    with proxy.client() as client:
        switched(client, proxy.asks())
        assert "profile_connections" in problem(proxy.ask(proxy.asks()), 503)["hint"]
        client.end()
        assert client.rest() == b""
    lines_of(proxy)
    assert proxy.ask(get("/api/x", proxy.token())).status == 200


@pytest.mark.parametrize("required", ["true", "false"])
def test_one_start_line(serve, required):
    proxy, _ = serve(head={"audit": "{{ file: audit.jsonl, required: " + required + " }}"})
    with proxy.client() as client:
        switched(client, proxy.asks())
        assert len(proxy.audit(1, event="start")) == 1, "it stands there while the upgrade lasts"
        assert talks(client)
    lines_of(proxy)


def test_drains_at_sigterm(both):
    """An upgrade goes on as a tunnel does, and its end is proxyd's."""
    proxy, _ = both()
    with proxy.client() as client, proxy.client("silent client") as silent:
        switched(client, proxy.asks())
        proxy.process.send_signal(signal.SIGTERM)
        assert silent.rest() == b"", "it is closed, so the drain has begun"
        assert talks(client)
        assert proxy.process.poll() is None
        client.end()
        assert client.rest() == b""
    assert proxy.stop(patience=5) == 0


STRACE = pytest.mark.skipif(sanitizers.in_use() or os.geteuid() != 0, reason="strace attaches to proxyd, which only root may")


@pytest.mark.parametrize("how", ["hurry", pytest.param("end_of_the_drain", marks=STRACE)])
def test_the_end_of_the_drain(both, how):
    """What still goes on then is cut, and told so."""
    proxy, server = both(always(SWITCH))
    with proxy.client() as client, proxy.client("silent client") as silent:
        switched(client, proxy.asks())
        proxy.process.send_signal(signal.SIGTERM)
        assert silent.rest() == b"", "it is closed, so the drain has begun"
        assert getattr(proxy, how)() == 0
        assert client.rest() == b""
    assert lines_of(proxy, verdict="fail", reason="shutdown")
    wait_for(lambda: hasattr(server.connections[0], "left"), "the upstream's connection to be closed")


def test_many_at_once(both):
    """Each has its two sockets, and nothing of the front or of the pool."""
    proxy, _ = both(head={"workers": "2"})
    before, asks = proxy.open_files() + 10, proxy.asks()
    clients = [proxy.client(f"client {number}") for number in range(100)]
    for client in clients:
        switched(client, asks)
    wait_for(lambda: proxy.open_files() <= before + 200, "the front to have let go of them")
    for number, client in enumerate(clients):
        client.send(f"{number:3}" * 1000)
    for number, client in enumerate(clients):
        assert client.exactly(3000) == f"{number:3}".encode() * 1000
        client.close()
    assert len(proxy.audit(100, event="end", status=101, verdict="allow")) == 100
    wait_for(lambda: proxy.open_files() <= before, "all sockets to be closed")


def test_who_reads_nothing(both):
    """The client sets the pace: the server can say no more than fits on the way."""
    stuck = threading.Event()

    def script(connection):
        connection.request()
        connection.send(SWITCH)
        connection.sock.settimeout(0.5)
        sent = 0
        try:
            while sent < 64 * 1024 * 1024:
                sent += connection.sock.send(b"x" * 65536)
        except TimeoutError:
            stuck.set()
        connection.sent = sent

    proxy, server = both(script)
    with proxy.client() as client:
        switched(client, proxy.asks())
        assert stuck.wait(20), "it could send all of it"
        assert len(client.rest()) == wait_for(lambda: getattr(server.connections[0], "sent", 0), "the server's count")
