"""Many at once: what clients that do not read cost, thousands of connections, and clients that go away (SPEC §3)."""

import contextlib
import gzip
import os
import queue
import resource
import socket
import threading
import time

import pytest

from peers import evidence
from peers.config import get, one_api, problem
from peers.keystile import in_time, wait_for
from peers.wire import serve_ok
from test_limits import memory_of

CLIENTS = 100
MOST = 256 << 10  # bytes for one exchange
BODY = 128 << 20  # more than the kernel holds of it: a socket of proxyd's may have 32 MiB
sanitized = pytest.mark.skipif("ASAN_OPTIONS" in os.environ or "TSAN_OPTIONS" in os.environ,
                               reason="a sanitizer's memory is not proxyd's")


def small(sock):
    """A socket that holds little, so that what is sent has to be taken."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)


def push(sock, piece):
    """Sends `piece` again and again until nothing was taken for half a second; returns how much was."""
    sent = 0
    sock.settimeout(0.5)
    with contextlib.suppress(TimeoutError):
        while sent < BODY:
            sent += sock.send(memoryview(piece)[sent % len(piece) :])
    return sent


PLAIN = b"x" * 65536
CHUNK = b"10000\r\n" + PLAIN + b"\r\n"
EVENTS = b"8\r\ndata: x\n\r\n" * 4096
MEMBER = gzip.compress(os.urandom(65536))
# name: fields of the request, head of the answer, what of its body is sent again and again
DOWN = {
    "length": ("", f"Content-Length: {BODY}", PLAIN),
    "chunked": ("", "Transfer-Encoding: chunked", CHUNK),
    "small chunks": ("", "Transfer-Encoding: chunked", EVENTS),
    "until close": ("", "Connection: close", PLAIN),
    "gzip": ("", "Connection: close\r\nContent-Encoding: gzip", MEMBER),
    "within the upload": ("Content-Length: 100", "Transfer-Encoding: chunked", CHUNK),
}


class Blocked:
    """An origin that pushes an answer that nobody reads, or does not read an upload; it counts those that stand still."""

    def __init__(self, head=None, piece=None):
        self.head, self.piece = head, piece
        self.sent = []
        self.standing = threading.Semaphore(0)
        self.end = threading.Event()

    def __call__(self, connection):
        connection.until(b"\r\n\r\n")
        if self.head:
            connection.send(f"HTTP/1.1 200 OK\r\n{self.head}\r\n\r\n")
            self.sent.append(push(connection.sock, self.piece))
        self.standing.release()
        self.end.wait(60)


@pytest.fixture
def many(keystile, origin, authority):
    """many(SCRIPT, REQUEST) opens CLIENTS connections that ask and read nothing."""
    opened = []

    def start(script, tls=False):
        server = origin(script, context=authority.server_context() if tls else None)
        small(server.listener)  # what is accepted inherits it
        url = f"https://localhost:{server.port}" if tls else f"http://127.0.0.1:{server.port}"
        more = {"ca": authority.ca} if tls else {}
        proxy = keystile(one_api(url, **more), {"api": evidence.secret()}, {"limits": "{{ handshake: 60s }}"})
        token = proxy.token()
        proxy.before = memory_of(proxy.process)
        proxy.open = lambda *fields, **how: opened.append(connect(proxy, get("/api/x", token, *fields, **how))) or opened[-1]
        return proxy, server

    yield start
    for sock in opened:
        sock.close()


def connect(proxy, data):
    sock = socket.socket()
    small(sock)
    sock.connect(("127.0.0.1", proxy.port))
    sock.sendall(data.encode())
    return sock


def cost(proxy):
    """What each of the exchanges takes."""
    return (memory_of(proxy.process) - proxy.before) / CLIENTS


@sanitized
@pytest.mark.parametrize("kind,transport", [*((kind, "plain") for kind in DOWN),
                                            *((kind, "tls") for kind in ("length", "chunked", "gzip"))])
def test_clients_that_do_not_read(many, transport, kind):
    """The upstreams' sends stand still, and an exchange takes at most 256 KiB."""
    field, head, piece = DOWN[kind]
    script = Blocked(head, piece)
    proxy, _ = many(script, transport == "tls")
    for _ in range(CLIENTS):
        proxy.open(*[field] * bool(field), method="POST" if field else "GET")
    for _ in range(CLIENTS):
        assert script.standing.acquire(timeout=30)
    each = cost(proxy)
    script.end.set()
    assert max(script.sent) < BODY, "an upstream got rid of its answer though nobody reads it"
    assert each < MOST, f"{each / 1024:.0f} KiB for each exchange"


@sanitized
@pytest.mark.parametrize("transport", ["plain", "tls"])
@pytest.mark.parametrize("method", ["PUT", "POST"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_upstreams_that_do_not_read(many, transport, method, framing):
    """The same the other way round: the clients' sends stand still."""
    script = Blocked()
    proxy, _ = many(script, transport == "tls")
    field = f"Content-Length: {BODY}" if framing == "length" else "Transfer-Encoding: chunked"
    sent, threads = [], []

    def upload(sock):
        sent.append(push(sock, PLAIN if framing == "length" else CHUNK))

    for _ in range(CLIENTS):
        threads.append(threading.Thread(target=upload, args=(proxy.open(field, method=method),)))
        threads[-1].start()
    for thread in threads:
        thread.join(30)
    each = cost(proxy)
    script.end.set()
    assert len(sent) == CLIENTS and max(sent) < BODY, sent
    assert each < MOST, f"{each / 1024:.0f} KiB for each exchange"


# 5,000 connections

CONNECTIONS = 5000


@pytest.fixture
def room():
    """Descriptors for these, here and in what is started from here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + 1000
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"the hard limit on open files is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("workers", [1, 2])
def test_5000_connections(keystile, origin, room, workers):
    """Half of them silent, half of them kept after a request: others are served, one too many is told, all are given back."""

    def script(connection):
        connection.sock.settimeout(120)  # all of this takes longer than a test's usual patience
        serve_ok(connection)

    server = origin(script)
    server.listener.listen(CONNECTIONS)  # half of them come at once
    limits = f"connections: {CONNECTIONS}, profile_connections: {CONNECTIONS}, head_time: 300s, idle: 300s"
    proxy = keystile(one_api(f"http://127.0.0.1:{server.port}"), {"api": evidence.secret()},
                     {"limits": "{{ " + limits + " }}", "workers": str(workers)})
    request = get("/api/x", proxy.token())
    with contextlib.ExitStack() as all_of_them:
        clients = [all_of_them.enter_context(proxy.client()) for _ in range(CONNECTIONS)]
        for client in clients[::2]:
            client.sock.sendall(request.encode())
        for client in clients[::2]:
            assert client.response().status == 200
        assert clients[1].ask(request).status == 200, "one that was silent so far"
        assert clients[0].ask(request).status == 200
        with proxy.client("one too many") as client:
            told = problem(client.ask(request), 503)
            assert str(CONNECTIONS) in told["detail"] and "limits.connections" in told["hint"]
        clients[2].close()
        wait_for(lambda: proxy.ask(request).status == 200, "the place of the one that left")
        if "ASAN_OPTIONS" not in os.environ and "TSAN_OPTIONS" not in os.environ:
            assert memory_of(proxy.process) < CONNECTIONS * (64 << 10)
    kept = 512 * workers  # connections to the upstream
    wait_for(lambda: len(os.listdir(f"/proc/{proxy.process.pid}/fd")) < kept + 100, "the descriptors to be given back")
    assert proxy.ask(request).status == 200


# Clients that go away


def backlog():
    """A listener that lets nobody in, and what fills it."""
    sockets = [socket.socket()]
    sockets[0].bind(("127.0.0.1", 0))
    sockets[0].listen(0)
    for _ in range(4):
        sockets.append(socket.socket())
        sockets[-1].setblocking(False)
        sockets[-1].connect_ex(sockets[0].getsockname())
    return sockets


def leave(client, how):
    if how == "reset":
        client.reset()
    elif how == "close":
        client.sock.close()
    else:
        client.half_close()


HOW = pytest.mark.parametrize("how", ["reset", "close", "half"])
# What had happened when it left: fields, what it sent of the body, what the origin sent, what the client waits for
PHASES = {
    "no answer yet": ([], "", "", b""),
    "within a head": ([], "", "HTTP/1.1 200 OK\r\nX-", b""),
    "behind a 103": ([], "", "HTTP/1.1 103 Early Hints\r\n\r\n", b"\r\n\r\n"),
    "within the upload": (["Content-Length: 9"], "half", "", b""),
    "within a chunk of the upload": (["Transfer-Encoding: chunked"], "9\r\nhalf", "", b""),
    "waiting for a 100": (["Content-Length: 9", "Expect: 100-continue"], "", "", b""),
    "behind a 100": (["Content-Length: 9", "Expect: 100-continue"], "", "HTTP/1.1 100 Continue\r\n\r\n", b"\r\n\r\n"),
    "upload sent": (["Content-Length: 4"], "half", "", b""),
    "within the answer": ([], "", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", b"half"),
    "within a chunked answer": ([], "", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", b"half"),
    "within an early answer": (["Content-Length: 9"], "half", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", b"half"),
}


@HOW
@pytest.mark.parametrize("phase", PHASES)
def test_client_gone(keystile, origin, how, phase):
    """Its upstream request ends within a second; the audit says client_gone, and blames nobody else."""
    fields, body, answer, mark = PHASES[phase]
    came, ended = queue.Queue(), queue.Queue()

    def script(connection):
        head = connection.until(b"\r\n\r\n")
        if body:
            connection.until(b"half")
        assert b"/x" in head
        connection.send(answer)
        came.put(True)
        connection.rest()
        ended.put(time.monotonic())

    server = origin(script)
    proxy = keystile(one_api(f"http://127.0.0.1:{server.port}"), {"api": evidence.secret()})
    request, lines = get("/api/x", proxy.token(), *fields, method="POST" if fields else "GET") + body, []

    def ask_and_go():
        client = proxy.client()
        client.send(request)
        assert came.get(timeout=10)
        if mark:
            client.until(mark)
        left = time.monotonic()
        leave(client, how)
        took = ended.get(timeout=10) - left
        lines[:] = proxy.audit(len(lines) + 1)
        client.sock.close()
        return took

    assert in_time(1, ask_and_go), "the upstream's request goes on"
    assert {(line["reason"], line["verdict"]) for line in lines} == {("client_gone", "fail")}, lines


@pytest.mark.parametrize("who,version", [("client", "1.1"), ("upstream", "1.1"), ("client", "1.0"), ("upstream", "1.0")])
def test_ended_answers_hold_nothing(keystile, origin, who, version):
    """Answers that are cut, or end with the connection, give its place back, also while an older connection is busy all the
    time."""
    framing = "Content-Length: 9" if version == "1.1" else "Connection: close"

    def script(connection):
        connection.until(b"\r\n\r\n")
        if len(connection.origin.connections) == 1:
            connection.rest()
            return
        connection.send(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\nhalf")
        if who == "client":
            connection.rest()

    server = origin(script)
    limits = {"limits": "{{ connections: 20 }}"}
    proxy = keystile(one_api(f"http://127.0.0.1:{server.port}"), {"api": evidence.secret()}, limits)
    token = proxy.token()
    with proxy.client("one that uploads") as slow:
        slow.send(get("/api/slow", token, "Transfer-Encoding: chunked", method="POST") + "1\r\na\r\n")
        wait_for(lambda: server.connections and b"1\r\na" in server.connections[0].buffer, "its upload to begin")
        for number in range(60):
            with proxy.client() as client:
                client.send(get("/api/x", token).replace("1.1", version))
                wait_for(lambda: client.receive() and b"half" in client.buffer or client.ended, "half of the answer")
                assert b" 200 " in client.buffer[:20], f"{number}: {client.buffer}"
                slow.send("1\r\na\r\n")
        assert len(proxy.audit(60)) == 60

        def are_there():
            with contextlib.ExitStack() as stack:
                clients = [stack.enter_context(proxy.client()) for _ in range(19)]
                for client in clients:
                    client.send(get("/api/x", token))
                return [client.head().status for client in clients] == [200] * 19

        wait_for(are_there, "all places but that of the one that uploads")


@pytest.mark.parametrize("how", ["reset", "close"])
def test_client_gone_that_did_not_read(keystile, origin, how):
    """What it leaves unread makes its end a reset, wherever proxyd is in its writing."""
    standing, ended = queue.Queue(), queue.Queue()

    def script(connection):
        connection.request()
        connection.send(f"HTTP/1.1 200 OK\r\nContent-Length: {BODY}\r\n\r\n")
        push(connection.sock, PLAIN)
        standing.put(True)
        try:
            connection.sock.settimeout(10)
            while True:
                connection.sock.sendall(PLAIN)
        except ConnectionError:
            ended.put(time.monotonic())

    server = origin(script)
    proxy = keystile(one_api(f"http://127.0.0.1:{server.port}"), {"api": evidence.secret()})
    request, lines = get("/api/x", proxy.token()), []

    def ask_and_go():
        client = proxy.client()
        client.send(request)
        assert standing.get(timeout=20)
        left = time.monotonic()
        leave(client, how)
        took = ended.get(timeout=20) - left
        lines[:] = proxy.audit(len(lines) + 1)
        return took

    assert in_time(1, ask_and_go), "the upstream's request goes on"
    assert {line["reason"] for line in lines} == {"client_gone"}, lines


def test_client_gone_while_the_upstream_does_not_read(keystile, origin):
    """It resets: an orderly end would stand behind what its kernel still has to send."""
    ended, more = queue.Queue(), queue.Queue()

    def script(connection):
        connection.until(b"\r\n\r\n")
        assert more.get(timeout=30)
        connection.rest()
        ended.put(True)

    server = origin(script)
    small(server.listener)
    proxy = keystile(one_api(f"http://127.0.0.1:{server.port}"), {"api": evidence.secret()})
    request, lines = get("/api/x", proxy.token(), f"Content-Length: {BODY}", method="POST"), []

    def upload_and_go():
        client = proxy.client()
        client.send(request)
        push(client.sock, PLAIN)
        left = time.monotonic()
        client.reset()
        lines[:] = proxy.audit(len(lines) + 1)
        took = time.monotonic() - left
        more.put(True)
        assert ended.get(timeout=20), "the upstream's request goes on"
        return took

    assert in_time(1, upload_and_go)
    assert {line["reason"] for line in lines} == {"client_gone"}, lines


@HOW
@pytest.mark.parametrize("what", ["connect", "handshake"])
def test_client_gone_before_there_is_an_upstream(keystile, origin, authority, what, how):
    with contextlib.ExitStack() as stack:
        if what == "connect":
            full = [stack.enter_context(sock) for sock in backlog()]
            url, more = f"http://127.0.0.1:{full[0].getsockname()[1]}", {}
        else:
            server = origin(lambda connection: connection.rest())
            url, more = f"https://localhost:{server.port}", {"ca": authority.ca}
        proxy = keystile(one_api(url, **more), {"api": evidence.secret()})
        request, lines = get("/api/x", proxy.token()), []

        def ask_and_go():
            client = stack.enter_context(proxy.client())
            client.send(request)
            if what == "handshake":
                wait_for(lambda: len(server.connections) > len(lines), "the handshake to begin")
            assert client.quiet(0.2)
            left = time.monotonic()
            leave(client, how)
            lines[:] = proxy.audit(len(lines) + 1)
            return time.monotonic() - left

        assert in_time(1, ask_and_go)
        assert {(line["reason"], line["injected"]) for line in lines} == {("client_gone", False)}, lines
