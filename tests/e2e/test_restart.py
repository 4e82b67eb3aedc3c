"""Ends and restarts under load: whoever asked is answered, whole (SPEC §12)."""

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import threading
import time

import httpx
import pytest
from peers import evidence
from peers.config import get, one_api
from peers.h2 import H2
from peers.keystile import free_port, wait_for
from peers.nginx import Nginx
from peers.tunnel import echo, open_tunnel
from peers.websocket import PythonServer
from peers.wire import Client
from websockets.sync.client import unix_connect

LOAD = 0.5  # s of load before a restart, and between two
THINKS = 0.05  # s that a client takes to ask again
GRACE = 0.3  # s that proxyd has for who was just answered, or has just come, by its own clock
SLOW = 0.2  # s behind which a client cannot tell whether that is over


class Refused(Exception):
    """Nobody took the connection, so nothing was asked."""


class Kept:
    """A client of HTTP/1.1 that keeps its connection, and lets `tries` requests be lost on one that it finds closed. Where the
    machine kept it from asking for too long, more: then `late` is true."""

    def __init__(self, address, token, path="/api/say/x", tries=1):
        self.address, self.path, self.tries = address, path, tries
        self.fields = {"Authorization": f"Bearer {token}"}
        self.http, self.last, self.late = None, None, False

    def connect(self):
        http_client = http.client.HTTPConnection("127.0.0.1", timeout=30)
        try:
            if isinstance(self.address, str):
                http_client.sock = socket.socket(socket.AF_UNIX)
                http_client.sock.settimeout(30)
                http_client.sock.connect(self.address)
            else:
                http_client.sock = socket.create_connection(self.address, 30)
        except ConnectionError as error:
            raise Refused from error
        return http_client

    def ask(self, method="GET"):
        """One request, with a body where it is a POST; returns its answer."""
        rest, spared = self.tries, 0
        while True:
            fresh = self.http is None
            if fresh:
                self.spoke = time.monotonic()
                self.http = self.connect()
            asks, asked = time.monotonic(), None
            try:
                self.http.request(method, self.path, b"x" * 1000 if method == "POST" else None, self.fields)
                asked = time.monotonic()
                answer = self.http.getresponse()
                body = answer.read()
                assert answer.status == 200 and body.startswith(method.encode()), (answer.status, body)
            except ConnectionError as error:
                self.http = None
                if fresh and refuses(self.address):  # it was in the queue when that was closed
                    raise Refused from error
                rest -= 1
                if (asked or time.monotonic()) - self.spoke > SLOW and spared < 5:
                    self.late, spared = True, spared + 1
                elif fresh or not rest:
                    raise
                continue
            self.spoke = asks
            self.last = answer.getheader("Connection")
            if answer.will_close:
                self.http = None
            return answer

    def ask_anew(self, method="GET"):
        """On a connection of its own."""
        self.http = None
        return self.ask(method)


class Load:
    """Threads that ask, each by its own `ask` (a function without arguments), until told to stop or refused."""

    def __init__(self, asks):
        self.stop, self.lock, self.lost = threading.Event(), threading.Lock(), []
        self.count = self.refused = 0
        self.threads = [threading.Thread(target=self.run, args=(ask,), daemon=True) for ask in asks]
        for thread in self.threads:
            thread.start()

    def run(self, ask):
        while not self.stop.is_set():
            try:
                ask()
            except (Refused, httpx.ConnectError):
                with self.lock:
                    self.refused += 1
                return
            except Exception as error:
                self.lost.append(error)
                return
            with self.lock:
                self.count += 1

    def goes_on(self, seconds=LOAD):
        """Until some time has passed, and some requests with it."""
        end, least = time.monotonic() + seconds, self.count + 10
        wait_for(lambda: self.lost or (time.monotonic() > end and self.count > least), "requests", 60)
        assert not self.lost, self.lost

    def end(self):
        self.stop.set()
        self.wait()

    def wait(self):
        for thread in self.threads:
            thread.join(40)
            assert not thread.is_alive(), "a client waits for ever"
        assert not self.lost, self.lost


def refuses(address):
    """Is nobody there who takes connections?"""
    try:
        Client(address, "late client").sock.close()
        return False
    except ConnectionError:
        return True


def drains(proxy):
    proxy.process.send_signal(signal.SIGTERM)
    wait_for(lambda: refuses(("127.0.0.1", proxy.port)), "the listener to close")


def before_nginx(keystile, nginx, head=None, **more):
    return keystile(one_api(f"http://127.0.0.1:{nginx.port}", **more), {"api": evidence.secret("restart")}, head)


# One proxyd ends


@pytest.mark.parametrize("required", ["true", "false"])
def test_kept_connections(keystile, nginx, required):
    """Clients that ask and ask, and never try again: each has its answers, and the last one says that the connection ends.
    The audit has each of them."""
    proxy = before_nginx(keystile, nginx, {"audit": "{{ file: audit.jsonl, required: " + required + " }}"})
    token = proxy.token()
    clients = [Kept(("127.0.0.1", proxy.port), token) for _ in range(6)]
    load = Load([client.ask for client in clients])
    load.goes_on()
    assert proxy.stop() == 0
    load.wait()
    assert load.refused == 6
    assert {client.last for client in clients if not client.late} <= {"close"}
    assert load.count == len(proxy.audit(event="end", verdict="allow", status=200)) == len(nginx.seen(load.count))
    assert len(proxy.audit(event="start")) == (load.count if required == "true" else 0)


def test_a_connection_for_each_request(keystile, nginx):
    """Whoever could connect is answered, or, where nobody was there any more, nothing of it went up."""
    proxy = before_nginx(keystile, nginx)
    token = proxy.token()
    load = Load([Kept(("127.0.0.1", proxy.port), token).ask_anew for _ in range(6)])
    load.goes_on()
    assert proxy.stop() == 0
    load.wait()
    assert load.count == len(nginx.seen(load.count))


def test_http2_clients(keystile, nginx):
    """httpx gives up all that is under way when it reads a GOAWAY: it comes behind a response, or, where there has been none for
    long, while one may be asked for."""
    proxy = before_nginx(keystile, nginx)
    url, fields = f"http://127.0.0.1:{proxy.port}/api/say/x", {"Authorization": f"Bearer {proxy.token()}"}
    spoke, late = {}, []

    def ask(client):
        asks = time.monotonic()
        try:
            client.get(url).raise_for_status()
        except httpx.RemoteProtocolError as error:
            if time.monotonic() - spoke.get(client, asks) < SLOW:
                raise
            late.append(client)
            raise Refused from error
        spoke[client] = asks

    with contextlib.ExitStack() as stack:
        made = [stack.enter_context(httpx.Client(http1=False, http2=True, trust_env=False, headers=fields)) for _ in range(4)]
        load = Load([lambda client=client: ask(client) for client in made])
        load.goes_on()
        assert proxy.stop() == 0
        load.wait()
    assert load.refused == 4 and load.count <= len(nginx.seen(load.count)) <= load.count + len(late)


def in_time(keystile, nginx, act, **more):
    """`act(proxy)` says how many seconds after proxyd may have begun to wait for it the client asked again in the drain. On a
    machine that was too slow for that to mean something, once more."""
    for _ in range(5):
        proxy = before_nginx(keystile, nginx, **more)
        if act(proxy) < SLOW:
            assert proxy.stop() == 0
            return
        proxy.hurry()
    pytest.skip("this machine is too slow to see it")


def test_who_was_just_answered_may_ask_once_more(keystile, nginx):
    def act(proxy):
        request = get("/api/say/x", proxy.token())
        with proxy.client() as client:
            began = time.monotonic()
            assert client.ask(request).get("Connection") is None
            drains(proxy)
            time.sleep(THINKS)
            client.send(request)
            took = time.monotonic() - began
            if took < SLOW:
                answer = client.response()
                assert (answer.status, answer.get("Connection")) == (200, "close"), answer
                assert client.rest() == b""
            return took

    in_time(keystile, nginx, act)


def test_who_has_just_connected_may_ask(keystile, nginx):
    def act(proxy):
        token, began = proxy.token(), time.monotonic()
        with proxy.client() as client:
            drains(proxy)
            time.sleep(THINKS)
            client.send(get("/api/say/x", token))
            took = time.monotonic() - began
            if took < SLOW:
                answer = client.response()
                assert (answer.status, answer.get("Connection")) == (200, "close"), answer
            return took

    in_time(keystile, nginx, act)


def test_a_tunnel_that_has_just_opened(keystile, nginx, origin):
    far = f"127.0.0.1:{origin().port}"

    def act(proxy):
        token, began = proxy.proxy_token(), time.monotonic()
        with open_tunnel(proxy, far, token) as client:
            drains(proxy)
            time.sleep(THINKS)
            client.send(f"GET /x HTTP/1.1\r\nHost: {far}\r\n\r\n")
            took = time.monotonic() - began
            if took < SLOW:
                assert client.response().status == 200
            return took

    in_time(keystile, nginx, act, hosts=f'["{far}"]')


def test_a_stream_behind_the_first_goaway(keystile, nginx):
    """It names no stream: what was on its way when it came is answered. The second one names the last that was."""
    def act(proxy):
        with H2(proxy) as client:
            client.token, asked = proxy.token(), time.monotonic()
            first = client.request("/api/say/x")
            assert client.answer(first).status == 200
            drained = time.monotonic()
            drains(proxy)
            client.until(lambda: client.goaway, "the first GOAWAY")
            assert client.last == 2**31 - 1
            time.sleep(THINKS)
            late = client.request("/api/say/y")
            took = time.monotonic() - max(asked + GRACE, drained)  # it was told then, or later
            if took < SLOW:
                assert client.answer(late).body == b"GET /say/y\n"
                assert client.end()[0] == 0 and client.last == late
            return took

    in_time(keystile, nginx, act)


def test_idle_connections_are_closed_at_once(keystile, nginx):
    proxy = before_nginx(keystile, nginx)
    request = get("/api/say/x", proxy.token())
    with contextlib.ExitStack() as stack:
        kept = [stack.enter_context(proxy.client(f"kept client {number}")) for number in range(50)]
        for client in kept:
            assert client.ask(request).status == 200
        streams = [stack.enter_context(H2(proxy)) for _ in range(5)]
        for client in streams:
            assert client.ask("/api/say/x").status == 200
        began = time.monotonic()
        proxy.process.send_signal(signal.SIGTERM)
        for client in kept:
            assert client.rest() == b""
        for client in streams:
            assert client.end()[0] == 0
        assert proxy.process.wait(10) == 0
        assert time.monotonic() - began < 5
    assert proxy.stop() == 0


CONFIG = """credentials:
  api: {{ upstream: "http://127.0.0.1:{api}", secret: vault:api, inject: {{ basic: x }}, env: {{ token: API_TOKEN }} }}
  sock: {{ upstream: "http://127.0.0.1:{socket}", secret: vault:api, inject: {{ header: X-Key, value: "{{secret}}" }}, env: {{ token: SOCK_TOKEN }} }}
profiles:
  agent: {{ credentials: [api, sock], hosts: ["127.0.0.1:{far}"] }}
"""


class UnderWay:
    """Long things through one proxyd, that go on when the test says so: events, an upload, a tunnel, a WebSocket."""

    def __init__(self, keystile, origin, stack):
        self.go, self.begun = threading.Event(), []
        self.api, self.far = origin(self.serve), origin(echo)
        self.socket = PythonServer()
        stack.callback(self.socket.close)
        config = CONFIG.format(api=self.api.port, socket=self.socket.port, far=self.far.port)
        listen = {"listen": '["127.0.0.1:{port}", "unix:{folder}/s"]'}
        self.proxy = keystile(config, {"api": evidence.secret("under way")}, listen)
        self.stack = stack

    def serve(self, connection):
        message = connection.head()
        self.begun.append(message.method)
        if message.method == "GET":
            connection.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n7\r\ndata: 1\r\n")
            assert self.go.wait(20)
            connection.send("7\r\ndata: 2\r\n0\r\n\r\n")
        else:
            connection.body(message, until_close=False)
            connection.answer(body=str(len(message.body)).encode())

    def begin(self):
        proxy = self.proxy
        token = proxy.token()
        self.events = self.stack.enter_context(proxy.client("events"))
        self.events.send(get("/api/events", token))
        self.head = self.events.head()
        assert self.events.chunk() == b"data: 1"
        self.upload = subprocess.Popen(
            ["curl", "-sS", "-T", "-", "-w", " %{http_code}", "-H", f"Authorization: Bearer {token}", f"http://127.0.0.1:{proxy.port}/api/up"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={"PATH": os.environ["PATH"]}, bufsize=0)
        self.stack.callback(self.upload.kill)
        self.upload.stdin.write(b"u" * 100_000)
        self.tunnel = self.stack.enter_context(open_tunnel(proxy, f"127.0.0.1:{self.far.port}", proxy.proxy_token()))
        self.tunnel.send("\x01tunnel")
        assert self.tunnel.exactly(7) == b"\x01tunnel"
        self.websocket = self.stack.enter_context(unix_connect(
            str(proxy.folder / "s"), "ws://x/sock/", additional_headers={"X-Key": proxy.token("SOCK_TOKEN")}))
        self.websocket.send("one")
        assert self.websocket.recv(10) == "one"
        wait_for(lambda: sorted(self.begun) == ["GET", "PUT"], "both requests")

    def finish(self):
        self.go.set()
        assert self.head.get("Connection") is None and self.events.chunk() == b"data: 2" and self.events.chunk() == b""
        self.upload.stdin.write(b"u" * 100_000)
        self.upload.stdin.close()
        assert self.upload.stdout.read() == b"200000 200"
        self.tunnel.send("\x01more")
        assert self.tunnel.exactly(5) == b"\x01more"
        self.tunnel.half_close()
        assert self.tunnel.rest() == b""
        self.websocket.send("two")
        assert self.websocket.recv(10) == "two"
        self.websocket.close()


@pytest.fixture
def under_way(keystile, origin):
    with contextlib.ExitStack() as stack:
        yield UnderWay(keystile, origin, stack)


def test_what_is_under_way_ends_whole(under_way):
    proxy = under_way.proxy
    under_way.begin()
    drains(proxy)
    under_way.finish()
    assert proxy.process.wait(10) == 0
    assert sorted((line["way"], line["verdict"]) for line in proxy.audit(event="end")) == [
        ("connect", "allow"), ("reverse", "allow"), ("reverse", "allow"), ("reverse", "allow")]


def test_two_signals_at_once_are_one(keystile, origin):
    """A terminal sends Ctrl-C to all, and a launcher passes it on. They are two behind a second: once more then."""
    for _ in range(5):
        with contextlib.ExitStack() as stack:
            under_way = UnderWay(keystile, origin, stack)
            proxy = under_way.proxy
            under_way.begin()
            began = time.monotonic()
            for _ in range(3):
                proxy.process.send_signal(signal.SIGINT)
            wait_for(lambda: refuses(("127.0.0.1", proxy.port)), "the listener to close")
            proxy.process.send_signal(signal.SIGTERM)
            if time.monotonic() - began < 0.7:
                under_way.finish()
                assert proxy.process.wait(10) == 0
                return
            proxy.hurry()
            under_way.go.set()
    pytest.skip("this machine is too slow to see it")


def test_a_second_signal_ends_all(under_way):
    """Cut, and told so: no answer ends as if it were whole. The audit has all of it."""
    proxy = under_way.proxy
    under_way.begin()
    drains(proxy)
    assert proxy.hurry() == 0
    assert under_way.events.rest() == under_way.tunnel.rest() == b"", "the last chunk is not among it"
    under_way.upload.stdin.close()
    assert under_way.upload.wait(10) != 0, "curl was told"
    assert len(proxy.audit(event="end", verdict="fail")) == 4, proxy.audit()
    assert "once more" in proxy.log()


# Two of them


class Replicas:
    """Two proxyds with one session.key, in front of one nginx."""

    def __init__(self, keystile, nginx, head=None):
        secret = evidence.secret("replica")
        self.both = [keystile(one_api(f"http://127.0.0.1:{nginx.port}"), {"api": secret}, {"admin": None, **(head or {})}, start=False)
                     for _ in range(2)]
        shutil.copyfile(self.both[0].folder / "session.key", self.both[1].folder / "session.key")
        self.token = self.both[0].token()


def test_tokens_of_both(keystile, nginx):
    replicas = Replicas(keystile, nginx)
    for proxy in replicas.both:
        proxy.start()
        assert proxy.token() == replicas.token
        assert proxy.ask(get("/api/say/x", replicas.token)).status == 200


BALANCER = """location /api/ {{
			proxy_pass http://replicas; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_connect_timeout 5s;
			proxy_next_upstream error timeout http_503;
		}}
	}}
	upstream replicas {{
		server 127.0.0.1:{0} max_fails=0; server 127.0.0.1:{1} max_fails=0;
		keepalive 16;"""


def test_rolling_restart_behind_a_balancer(keystile, nginx, tmp_path):
    """nginx keeps connections to both, and goes to the other one where it finds nobody: of GETs and POSTs, none is lost."""
    replicas = Replicas(keystile, nginx)
    for proxy in replicas.both:
        proxy.start()
    balancer = Nginx(tmp_path / "balancer", BALANCER.format(*(proxy.port for proxy in replicas.both)))
    try:
        address = ("127.0.0.1", balancer.port)
        made = [Kept(address, replicas.token, tries=2) for _ in range(4)]
        load = Load([lambda client=client, method=method: client.ask(method) for client, method in zip(made, ["GET", "POST"] * 2)])
        for number, proxy in [*enumerate(replicas.both)] * 2:
            other = Load([Kept(("127.0.0.1", replicas.both[1 - number].port), replicas.token).ask])  # and never tries again
            load.goes_on(LOAD / 2)
            assert proxy.stop() == 0
            load.goes_on(LOAD / 2)
            proxy.start()
            load.goes_on(LOAD / 2)
            other.end()
        load.end()
    finally:
        balancer.close()


# Sockets that stay


def test_a_path_that_the_next_one_took_over(keystile, origin, tmp_path):
    """One that drains leaves a unix socket to the next one, which is bound to the same path by then."""
    path, asked, go = str(tmp_path / "p.sock"), threading.Event(), threading.Event()

    def serve(connection):
        connection.request()
        asked.set()
        assert go.wait(20)
        connection.answer()

    replicas = Replicas(keystile, origin(serve), {"listen": f'["127.0.0.1:{{port}}", "unix:{path}"]'})
    old, new = replicas.both
    request = get("/api/x", replicas.token)
    old.start()
    with Client(path, "first client") as first:
        first.send(request)
        wait_for(asked.is_set, "the request")
        old.process.send_signal(signal.SIGTERM)
        wait_for(lambda: refuses(path), "the listener to close")
        new.start()
        go.set()
        assert first.response().status == 200
    assert old.process.wait(10) == old.stop() == 0
    with Client(path, "late client") as late:
        assert late.ask(request).status == 200
    assert new.stop() == 0 and not os.path.exists(path)


LAUNCHER = 'exec 3<&"$1" 4<&"$2" 5<&"$3"; shift 3; LISTEN_PID=$$ LISTEN_FDS=3 exec "$@"'


@pytest.mark.parametrize("overlap", [True, False], ids=["the next one serves already", "nobody serves between them"])
def test_sockets_that_are_passed_on(keystile, nginx, tmp_path, overlap):
    """As a service manager has it: the sockets are its own, and who connects waits for the next process. Five restarts, and no
    request is lost, neither of who connects each time nor of who keeps a connection, and tries again where he finds it closed.
    The admin pages stay where they are, too."""
    port, admin, path = free_port(), free_port(), str(tmp_path / "p.sock")
    replicas = Replicas(keystile, nginx, {"listen": f'["127.0.0.1:{port}", "unix:{path}"]', "admin": f"127.0.0.1:{admin}"})
    with (socket.create_server(("127.0.0.1", port), backlog=256) as tcp, socket.create_server(("127.0.0.1", admin)) as pages,
          socket.socket(socket.AF_UNIX) as local):
        local.bind(path)
        local.listen(256)
        fds = [tcp.fileno(), local.fileno(), pages.fileno()]

        def start(proxy):
            proxy.start(pass_fds=fds, launcher=["/bin/bash", "-c", LAUNCHER, "launcher", *map(str, fds)])

        start(replicas.both[0])
        kept = [Kept(address, replicas.token, tries=2) for address in (("127.0.0.1", port), path) * 2]
        anew = [Kept(address, replicas.token) for address in (("127.0.0.1", port), path)]
        load = Load([client.ask for client in kept] + [client.ask_anew for client in anew])
        for number in range(5):
            old, new = replicas.both[number % 2], replicas.both[1 - number % 2]
            load.goes_on(LOAD / 2)
            if overlap:
                start(new)
                load.goes_on(LOAD / 2)
            assert old.stop() == 0
            assert not refuses(("127.0.0.1", admin))
            if not overlap:
                start(new)
            assert httpx.get(f"http://127.0.0.1:{admin}/healthz", trust_env=False).status_code == 200
        load.goes_on()
        load.end()
        assert os.path.exists(path), "the socket is the manager's"
