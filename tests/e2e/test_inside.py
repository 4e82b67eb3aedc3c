"""Behind the 200: the client's first byte decides what the tunnel is, and what flows in it arrives whole (SPEC §4, step 5)."""

import contextlib
import os
import re
import threading

import pytest

from peers import evidence
from peers.config import basic, one_api, problem
from peers.keystile import Keystile, wait_for
from peers.nginx import Nginx
from peers.tunnel import Tls, connect, echo, open_tunnel, records, refused_inside, swallow
from peers.wire import Closed, Origin

SECURE = "198.51.100.82"  # tls.test


@pytest.fixture(scope="module")
def tls_server(network, authority, tmp_path_factory):
    """nginx at tls.test:443, with HTTP/2."""
    certificate = authority.issue("tls", ["DNS:tls.test", f"IP:{SECURE}"])
    server = Nginx(tmp_path_factory.mktemp("tls"), "", certificate, network, SECURE, 443)
    yield server
    server.close()


@pytest.fixture
def passing(tunnelled, network, tls_server):
    """proxyd in front of it, for its name and its address."""
    tls_server.forget()
    network.names.addresses["tls.test"] = SECURE
    proxy, _ = tunnelled(hosts=f'["tls.test", "{SECURE}"]')
    return proxy


def denied(proxy, **match):
    """The one audit line of a tunnel that was closed by us."""
    return proxy.audit(1, way="connect", event="end", verdict="deny", **match)[0]


# TLS, which passes untouched


@pytest.mark.parametrize("version,shown", [("--http1.1", "1.1"), ("--http2", "2")])
def test_curl(passing, network, authority, tls_server, version, shown):
    proxy = f"http://agent:{passing.proxy_token()}@127.0.0.1:{passing.port}"
    urls = ["https://tls.test/say/one", "https://tls.test/say/two"]
    done = network.run("curl", "-sS", version, "--proxy", proxy, "--cacert", authority.ca, "-w", "%{http_version}\n", *urls, text=True)
    assert (done.stdout, done.stderr) == (f"GET /say/one\n{shown}\nGET /say/two\n{shown}\n", "")
    for seen in tls_server.seen(2):
        assert seen["host"] == "tls.test" and not seen["proxy_authorization"], seen
    line = passing.audit(1, event="end", way="connect")[0]
    assert (line["host"], line["port"], line["method"]) == ("tls.test", 443, "CONNECT")
    assert line["verdict"] == "allow" or line["reason"] == "client_gone", "the server's close_notify may find curl gone"
    assert line["bytes_up"] > 300 and line["bytes_down"] > 1000


@pytest.mark.parametrize("name,good", [("tls.test", True), ("TLS.TEST", True), ("other.test", False), (None, False)])
def test_openssl(passing, network, authority, name, good):
    """A server name that is not the tunnel's, or none, ends it before the server hears of it."""
    told = ["-servername", name] if name else ["-noservername"]
    user = ["-proxy_user", "agent", "-proxy_pass", "env:TOKEN"]
    done = network.run(
        "openssl", "s_client", "-proxy", f"127.0.0.1:{passing.port}", *user, "-connect", "tls.test:443", *told, "-CAfile", authority.ca,
        input=b"", env={**os.environ, "TOKEN": passing.proxy_token()},
    )
    assert (b"Verify return code: 0 (ok)" in done.stdout and b"BEGIN CERTIFICATE" in done.stdout) == good, done
    if not good:
        assert denied(passing, host="tls.test", port=443)["reason"]


@pytest.mark.parametrize("authority_form,name,good", [
    (f"{SECURE}:443", None, True), (f"{SECURE}:443", "tls.test", False), (f"{SECURE}:443", SECURE, False),
    (f"[::ffff:{SECURE}]:443", None, True), ("tls.test:443", None, False), ("tls.test:443", "tls.test", True),
])
def test_address_literal(passing, network, authority, authority_form, name, good):
    """With an address there is no name to compare, so none may be shown."""
    with open_tunnel(passing, authority_form, passing.proxy_token()) as client:
        # OpenSSL sends no server name that is an address; so the wrong one is put there by hand
        tls = Tls(client, "aaa.aa.aaa.aa" if name == SECURE else name, authority.ca)
        client.send(tls.first.replace(b"aaa.aa.aaa.aa", SECURE.encode()))
        if good:
            assert tls.shake_hands().ask("GET /say/x HTTP/1.1\r\nHost: tls.test\r\n\r\n").endswith(b"GET /say/x\n")
        else:
            assert refused_inside(client)
    if not good:
        denied(passing, port=443)


@pytest.mark.parametrize("size,alpn", [(16384, ()), (16384, ("h2", "http/1.1")), (1, ()), (70, ("http/1.1",))])
@pytest.mark.parametrize("behind", [True, False], ids=["behind the head", "later"])
def test_hello(passing, authority, size, alpn, behind):
    """A real handshake whose hello comes in the CONNECT's own write, or in many records, one byte each at worst."""
    name = "tls.test"

    class Later:
        who = "client"

    tls = Tls(Later, name, authority.ca, alpn)
    message = b"".join(tls.first[at + 5 : at + 5 + length] for at, length in record_places(tls.first))
    sent = records(message, size)
    with open_tunnel(passing, "tls.test:443", passing.proxy_token(), sent * behind) as client:
        if not behind:
            client.send(sent)
        tls.stream = client
        tls.shake_hands()
        assert tls.session.selected_alpn_protocol() == (alpn[0] if alpn else None)
        if not alpn or alpn[0] != "h2":
            assert tls.ask("GET /say/x HTTP/1.1\r\nHost: tls.test\r\n\r\n").endswith(b"GET /say/x\n")


def record_places(data):
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at + 3 : at + 5], "big")
        yield at, length
        at += 5 + length


def test_tls_on_a_named_port(tunnelled, authority):
    """There the name is looked at as well: whatever flows, TLS to another host does not."""
    proxy, server = tunnelled(context=authority.server_context("tun.test", ["DNS:tun.test"]))
    with open_tunnel(proxy, "tun.test:9999", proxy.proxy_token()) as client:
        tls = Tls(client, "tun.test", authority.ca)
        client.send(tls.first)
        tls.shake_hands().step(tls.session.write, b"hello")
        assert tls.step(tls.session.read) == b"hello"
    with open_tunnel(proxy, "tun.test:9999", proxy.proxy_token()) as client:
        client.send(Tls(client, "api.cred.test", authority.ca).first)
        assert refused_inside(client)
    denied(proxy, port=9999)
    assert len(server.connections) <= 2


# Plain HTTP, which is judged


RULED = '[{ host: tun.test, rules: ["allow GET,HEAD,POST /docs/**"] }, "tun.test:9999"]'


@pytest.fixture
def web(tunnelled):
    """A tunnel to a web server on port 80, or on `port`, whose entry has rules."""

    def start(script=None, hosts=RULED, port=80, **more):
        proxy, server = tunnelled(script or answer_all, hosts, port=port, **more)
        return proxy, server, open_tunnel(proxy, f"tun.test:{port}", proxy.proxy_token(), who="client inside")

    return start


def answer_all(connection):
    while True:
        request = connection.request()
        connection.origin.requests.append(request)
        connection.answer("200 OK", f"{request.method} {request.target} " + request.text if request.method != "HEAD" else b"")


def ask(target, *fields, method="GET", body=""):
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: tun.test", *fields]) + "\r\n\r\n" + body


def test_rules_inside(web):
    """No token is asked for inside; each request is judged, and audited, by itself, and a refusal ends nothing."""
    proxy, server, client = web()
    with client:
        assert client.ask(ask("/docs/a?b=c")).text == "GET /docs/a?b=c "
        told = problem(client.ask(ask("/other")), 403)
        assert "/other" in told["detail"] and "agent" not in client.buffer.decode(), told
        problem(client.ask(ask("/docs/x", method="DELETE")), 403)
        problem(client.ask(ask("/docs/../other")), 400)
        assert client.ask(ask("/docs/b", "Content-Length: 3", method="POST", body="abc")).text == "POST /docs/b abc"
        assert client.ask(ask("/docs/c", "Transfer-Encoding: chunked", method="POST", body="3\r\nabc\r\n0\r\n\r\n")).text == "POST /docs/c abc"
        assert client.ask(ask("/docs/d", method="HEAD"), "HEAD").status == 200
    assert [request.target for request in server.requests] == ["/docs/a?b=c", "/docs/b", "/docs/c", "/docs/d"]
    lines = proxy.audit(7, profile="agent", way="connect", host="tun.test", port=80)
    paths = {(line["method"], line.get("path"), line["status"], line["verdict"]) for line in lines if line["event"] == "end"}
    assert {("GET", "/docs/a", 200, "allow"), ("GET", "/other", 403, "deny"), ("POST", "/docs/b", 200, "allow")} <= paths


def test_pipelined_inside(web):
    proxy, server, client = web()
    with client:
        client.send(ask("/docs/1") + ask("/no") + ask("/docs/2", "Content-Length: 2", method="POST", body="xy") + ask("/docs/3"))
        answers = [client.response() for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 403, 200, 200]
    assert [answer.text for answer in answers if answer.status == 200] == ["GET /docs/1 ", "POST /docs/2 xy", "GET /docs/3 "]


def test_requests_behind_the_head(tunnelled):
    proxy, server = tunnelled(answer_all, RULED, port=80)
    behind = (ask("/docs/1") + ask("/docs/2")).encode()
    with open_tunnel(proxy, "tun.test:80", proxy.proxy_token(), behind) as client:
        assert [client.response().text for _ in range(2)] == ["GET /docs/1 ", "GET /docs/2 "]


def test_request_byte_by_byte(web):
    _, server, client = web()
    with client:
        for byte in ask("/docs/slow").encode():
            client.sock.sendall(bytes([byte]))
        assert client.response().text == "GET /docs/slow "


@pytest.mark.parametrize("port", [80, 443, 9999])
def test_requests_on_any_port(web, port):
    """What begins as a request is one, on a named port too."""
    _, server, client = web(hosts='["tun.test", "tun.test:9999"]', port=port)
    with client:
        assert client.ask(ask("/x").replace("Host: tun.test", "Host: elsewhere.example")).status in (200, 400, 421)
    assert all(request.get("Host") == ("tun.test" if port == 80 else f"tun.test:{port}") for request in server.requests)


def test_what_is_removed_inside(web):
    """Tokens of this proxy go to nobody; what is the agent's own does."""
    proxy, server, client = web(hosts='["tun.test"]')
    token, own = proxy.token(), proxy.proxy_token()
    with client:
        fields = [f"X-Key: {token}", f"Proxy-Authorization: {basic('agent', own)}", "Proxy-Connection: keep-alive", "Connection: X-Drop",
                  "X-Drop: 1", "Authorization: Bearer its-own", "TE: trailers", "X-Stays: 1"]
        assert client.ask(ask(f"/x?t={token}&a=b", *fields)).status == 200
    request = server.requests[0]
    assert token not in request.raw_head.decode() and own not in request.raw_head.decode()
    assert request.get("Authorization") == "Bearer its-own" and request.get("X-Stays") == "1" and "a=b" in request.target
    for name in ("Proxy-Authorization", "Proxy-Connection", "X-Drop", "TE"):
        assert not request.all(name), request


def test_absolute_form_inside(web):
    """To the tunnel's own host it is the same request."""
    _, server, client = web()
    with client:
        assert client.ask(ask("http://TUN.test./docs/x")).text == "GET /docs/x "
        problem(client.ask(ask("http://tun.test/other")), 403)
    assert [request.get("Host") for request in server.requests] == ["tun.test"]


def test_own_address_inside(web):
    """The proxy's own endpoints are not to be had through a tunnel to somebody else."""
    proxy, server, client = web(hosts='["tun.test"]')
    with client:
        own = ask(f"http://127.0.0.1:{proxy.port}/api/x", f"Authorization: Bearer {proxy.token()}")
        assert client.ask(own).status in (400, 403, 421)
    assert server.requests == []


def test_profile_stays(web):
    """Another profile's token inside changes nothing."""
    proxy, _, client = web(more="  other:\n    hosts: []\n")
    with client:
        field = f"Proxy-Authorization: {basic('x', proxy.proxy_token('other'))}"
        assert client.ask(ask("/docs/x", field)).status == 200
        assert problem(client.ask(ask("/no", field)), 403)
    assert {line["profile"] for line in proxy.audit(3, way="connect", event="end")} == {"agent"}


def test_places_of_web_tunnels(tunnelled):
    """Requests inside count as the tunnel did, and for no longer."""
    proxy, _ = tunnelled(answer_all, RULED, {"limits": "{{ profile_connections: 2 }}"}, port=80)
    token = proxy.proxy_token()
    with open_tunnel(proxy, "tun.test:80", token) as first, open_tunnel(proxy, "tun.test:80", token) as second:
        for client in (first, second, first):
            assert client.ask(ask("/docs/x")).status == 200
        assert proxy.ask(connect("tun.test:80", token)).status == 503

    def is_free():
        with proxy.client() as client:
            client.send(connect("tun.test:80", token))
            return client.head().status == 200

    for _ in range(5):
        wait_for(is_free, "a place")


def test_tls_behind_a_request(web, authority):
    """What the tunnel is was settled by its first byte."""
    _, server, client = web()
    with client:
        assert client.ask(ask("/docs/x")).status == 200
        client.send(Tls(client, "tun.test", authority.ca).first)
        assert client.rest() == b""
    assert len(server.requests) == 1


def test_http_1_0_inside(web):
    _, _, client = web()
    with client:
        response = client.ask("GET /docs/x HTTP/1.0\r\nHost: tun.test\r\n\r\n")
        assert response.status == 200 and response.text == "GET /docs/x "
        assert client.rest() == b""


def test_malformed_inside(web):
    _, server, client = web()
    with client:
        problem(client.ask("GET /docs/x HTTP/1.1\r\nHost: tun.test\r\nHost: tun.test\r\n\r\n"), 400)
    assert server.requests == []


def test_streams_inside(web):
    """An event leaves as it comes, and an interim answer too."""
    go = threading.Semaphore(0)

    def script(connection):
        connection.head()
        connection.send("HTTP/1.1 103 Early Hints\r\nX-A: b\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(3):
            assert go.acquire(timeout=10)
            connection.send(f"3\r\n<{number}>\r\n")
        connection.send("0\r\n\r\n")
        connection.rest()

    _, _, client = web(script)
    with client:
        client.send(ask("/docs/events"))
        assert client.head().status == 103 and client.head().status == 200
        for number in range(3):
            go.release()
            assert client.chunk() == b"<%d>" % number
        assert client.chunk() == b"" and client.trailers() == []


# Other bytes


@pytest.fixture(scope="module")
def shared_crossing(network, tmp_path_factory):
    """One proxyd for all rows. The entry of open.test names port 9999, that of named.test 80 and 443."""
    address = "198.51.100.81"
    network.names.addresses.update({"open.test": address, "named.test": address})
    servers = {port: Origin(echo if port == 9999 else swallow, host=address, port=port, network=network) for port in (80, 443, 9999)}
    hosts = '["open.test", "open.test:9999", "named.test:80", "named.test:443"]'
    config = one_api("https://api.cred.test", hosts=hosts)
    proxy = Keystile(tmp_path_factory.mktemp("crossing"), config, {"api": evidence.secret("crossing")}, network=network)
    proxy.start()
    yield proxy, proxy.proxy_token(), servers
    assert proxy.stop() == 0
    for server in servers.values():
        server.close()
        assert not server.errors, server.errors


@pytest.fixture
def crossing(request, shared_crossing):
    request.node.keystiles = [shared_crossing[0]]
    for server in shared_crossing[2].values():
        server.connections.clear()
    return shared_crossing


OTHER = {"NUL": b"\0\1\2", "SOCKS 5": b"\x05\1\0", "TLS alert": b"\x15\3\3\0\2\2\x28", "SSL 2 hello": b"\x80\x2e\1\3\1", "digit": b"220 x\r\n",
         "brace": b'{"a":1}\n', "blank": b" GET / HTTP/1.1\r\n", "RESP": b"*1\r\n$4\r\nPING\r\n", "high": b"\xff\xfd\x01",
         "PostgreSQL": b"\0\0\0\x08\x04\xd2\x16\x2f"}
LINES = {"CR": b"\r\nGET / HTTP/1.1\r\nHost: open.test\r\n\r\n", "LF": b"\nGET / HTTP/1.1\r\nHost: open.test\r\n\r\n"}


@pytest.mark.parametrize("sent", [*OTHER.values(), *LINES.values()], ids=[*OTHER, *LINES])
@pytest.mark.parametrize("port", [80, 443])
@pytest.mark.parametrize("host", ["open.test", "named.test"])
def test_other_bytes_on_web_ports(crossing, sent, port, host):
    """Even where the entry names that port."""
    proxy, token, servers = crossing
    before = len(proxy.audit(way="connect", event="end", verdict="deny"))
    with open_tunnel(proxy, f"{host}:{port}", token) as client:
        client.send(sent)
        assert client.rest() == b""
    line = proxy.audit(before + 1, way="connect", event="end", verdict="deny")[-1]
    assert (line["host"], line["port"]) == (host, port)
    assert re.search(rf"\b(0x)?{sent[0]:02x}\b", line["reason"].replace("_", " "), re.I), line
    assert b"".join(connection.buffer for connection in servers[port].connections) == b""


TEXT = {"SSH": b"SSH-2.0-OpenSSH_9.2\r\n", "SMTP": b"EHLO me\r\n", "IRC": b"NICK a\r\n", "small letters": b"ping\r\n"}


@pytest.mark.parametrize("sent", TEXT.values(), ids=TEXT)
@pytest.mark.parametrize("port", [80, 443])
def test_text_on_web_ports(crossing, sent, port):
    """A letter begins a request; what turns out to be none is refused as one."""
    proxy, token, servers = crossing
    match = {"way": "connect", "event": "end", "verdict": "deny", "host": "open.test", "port": port, "profile": "agent"}
    before = len(proxy.audit(**match))
    with open_tunnel(proxy, f"open.test:{port}", token) as client:
        client.send(sent)
        with contextlib.suppress(Closed):
            assert client.response().status == 400
        assert client.rest() == b""
    assert proxy.audit(before + 1, **match)
    assert b"".join(connection.buffer for connection in servers[port].connections) == b""


FLOW = {**OTHER, **TEXT, "a method and no target": b"GET key\r\n", "lower target": b"GET hello HTTP/1.1\r\n", "NATS": b"CONNECT {}\r\n",
        "AUTH": b"AUTH a b\r\n", "no blank": b"GET/ HTTP/1.1\r\n", "colon": b"GET: / HTTP/1.1\r\n"}


@pytest.mark.parametrize("sent", FLOW.values(), ids=FLOW)
@pytest.mark.parametrize("how", ["whole", "byte by byte", "behind the head"])
def test_other_bytes_on_a_named_port(crossing, sent, how):
    proxy, token, _ = crossing
    with open_tunnel(proxy, "open.test:9999", token, sent if how == "behind the head" else b"") as client:
        for at in range(len(sent)) if how == "byte by byte" else ():
            client.sock.sendall(sent[at : at + 1])
        if how == "whole":
            client.send(sent)
        assert client.exactly(len(sent)) == sent
        client.send(b"GET / HTTP/1.1\r\n\r\n")  # no longer a request
        assert client.exactly(18) == b"GET / HTTP/1.1\r\n\r\n"


REQUESTS = {"origin-form": b"GET / HTTP/1.1\r\n", "absolute-form": b"BREW http://tun.test/ HTTP/1.1\r\n", "asterisk": b"OPTIONS * HTTP/1.1\r\n",
            "behind an empty line": b"\r\nGET / HTTP/1.1\r\n", "behind a bare LF": b"\nGET / HTTP/1.1\r\n",
            "with a tab": b"GET\t/ HTTP/1.1\r\n", "with two blanks": b"GET  / HTTP/1.1\r\n", "of HTTP/1.0": b"GET / HTTP/1.0\r\n"}


@pytest.mark.parametrize("sent", REQUESTS.values(), ids=REQUESTS)
def test_requests_are_no_other_bytes(tunnelled, sent):
    """Nor where the port is named: what a server might take for a request comes to it as judged, or not at all."""
    proxy, server = tunnelled(lambda connection: connection.origin.requests.append(connection.request()),
                              head={"limits": "{{ head_time: 1s }}"})
    with open_tunnel(proxy, "tun.test:9999", proxy.proxy_token()) as client:
        client.send(sent + b"Host: elsewhere.example\r\nProxy-Authorization: Basic YTpi\r\n\r\n")
        with contextlib.suppress(Closed):
            client.response()
    for request in server.requests:
        assert request.get("Host") == "tun.test:9999" and not request.all("Proxy-Authorization"), request
        assert request.line.endswith(" HTTP/1.1"), request


UNDECIDED = {"a method": b"GET", "a method and a blank": b"GET ", "a word": b"HELLO", "half of http": b"GET htt", "a hello that ends": b"\x16\3\1"}


@pytest.mark.parametrize("sent", UNDECIDED.values(), ids=UNDECIDED)
def test_undecided(tunnelled, sent):
    """They may become a request, so they are kept; once it is too late for one they go nowhere."""
    proxy, server = tunnelled(swallow, head={"limits": "{{ head_time: 1s }}"})
    with open_tunnel(proxy, "tun.test:9999", proxy.proxy_token()) as client:
        client.send(sent)
        with contextlib.suppress(Closed):
            assert client.response().status == 408
        assert client.rest() == b""
    line = proxy.audit(1, way="connect", event="end", host="tun.test", port=9999)[0]
    assert line["verdict"] in ("deny", "fail") and line["reason"], line
    assert b"".join(connection.buffer for connection in server.connections) == b""
