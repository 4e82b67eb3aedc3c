"""What Keystile answers itself: problem details with a Proxy-Status, the right status, words that help (SPEC §7, §8)."""

import select
import socket
import time

import pytest

from peers import evidence
from peers.config import get, one_api, problem
from peers.keystile import free_port, wait_for
from test_ways import proxied


@pytest.fixture
def serve(keystile, origin):
    def start(script=None, head=None, secrets=True, **more):
        server = origin(script)
        config = one_api(f"http://127.0.0.1:{server.port}", **more)
        return keystile(config, {"api": evidence.secret()} if secrets else None, head), server

    return start


# What is sent ({token}), the status, words in detail or hint
REFUSED = [
    ("no token", "GET /api/x HTTP/1.1\r\nHost: h\r\n\r\n", 401, []),
    ("wrong token", "GET /api/x HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer nonsense\r\n\r\n", 401, []),
    ("no credential", "GET /nope/x HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\r\n", 404, ["nope"]),
    ("near credential", "GET /apis/x HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\r\n", 404, ["apis"]),
    ("root", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 404, []),
    ("rule", "GET /api/secret/x HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\r\n", 403, ["/secret/x"]),
    ("rule's method", "DELETE /api/x HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\r\n", 403, ["DELETE"]),
    ("trace", "TRACE /api/x HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\r\n", 405, []),
    ("encoded slash", "GET /api/a%2Fb HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\r\n", 400, []),
    ("dot segment", "GET /api/a/../b HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\r\n", 400, []),
    ("encoded dots", "GET /api/a/%2e%2e/b HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\r\n", 400, []),
    ("backslash", "GET /api/a%5cb HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\r\n", 400, []),
    ("NUL", "GET /api/a%00b HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\r\n", 400, []),
    ("bad escape", "GET /api/a%zz HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\r\n", 400, []),
    ("empty segment", "GET /api/a//b HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\r\n", 400, []),
    ("no Host", "GET /api/x HTTP/1.1\r\nAuthorization: Bearer {token}\r\n\r\n", 400, ["Host"]),
    ("two Hosts", "GET /api/x HTTP/1.1\r\nHost: h\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\r\n", 400, ["Host"]),
    ("two lengths", "POST /api/x HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n"
     "Authorization: Bearer {token}\r\n\r\na", 400, ["Content-Length"]),
    ("length and coding", "POST /api/x HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n"
     "Authorization: Bearer {token}\r\n\r\n0\r\n\r\n", 400, []),
    ("signed length", "POST /api/x HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\na", 400, []),
    ("unknown coding", "POST /api/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501, []),
    ("fold", "GET /api/x HTTP/1.1\r\nHost: h\r\nX-A: b\r\n c\r\n\r\n", 400, []),
    ("blank before the colon", "GET /api/x HTTP/1.1\r\nHost : h\r\n\r\n", 400, []),
    ("no colon", "GET /api/x HTTP/1.1\r\nHost: h\r\nnothing\r\n\r\n", 400, []),
    ("bare LF", "GET /api/x HTTP/1.1\nHost: h\n\n", 400, []),
    ("version 2.0", "GET /api/x HTTP/2.0\r\nHost: h\r\n\r\n", 400, []),
    ("head too large", "GET /api/x HTTP/1.1\r\nHost: h\r\nX-A: " + "a" * 30000 + "\r\n\r\n", 431, ["head"]),
    ("too many fields", "GET /api/x HTTP/1.1\r\nHost: h\r\n" + "X-A: a\r\n" * 150 + "\r\n", 431, ["fields"]),
    ("too many cookies", "GET /api/x HTTP/1.1\r\nHost: h\r\nCookie: " + "a=b; " * 800 + "c=d\r\n\r\n", 431, ["cookies"]),
    ("long cookies", "GET /api/x HTTP/1.1\r\nHost: h\r\nCookie: a=" + "b" * 21000 + "\r\n\r\n", 431, ["cookies"]),
]
OWN = {"HTTP/2.0": 505, "Transfer-Encoding: gzip, chunked": 400}  # libmicrohttpd's, in its own words (the second: from 1.0 on)
RULES = '["deny * /secret/**", "allow GET,POST /**"]'


@pytest.mark.parametrize("sent,status,words", [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
@pytest.mark.parametrize("place", ["first", "second"])
def test_refused(serve, sent, status, words, place):
    """As the first request of a connection, and as a later one (where libmicrohttpd may have its own words)."""
    proxy, server = serve(rules=RULES)
    token = proxy.token()
    with proxy.client() as client:
        if place == "second":
            assert client.ask(get("/api/first", token)).status == 200
        response = client.ask(sent.format(token=token))
        if place == "first":
            told = problem(response, status)
            text = told["detail"] + told.get("hint", "")
            assert all(word in text for word in words), told
        else:
            assert response.status in {status, *(own for part, own in OWN.items() if part in sent)}, response
        if status == 401:
            assert response.get("WWW-Authenticate") == 'Basic realm="keystile", Bearer'
    assert len(server.requests) == (place == "second"), "nothing of it reaches the upstream"


def test_rule_hint_names_a_rule(serve):
    proxy, _ = serve(rules='["allow GET /v1/models"]')
    told = problem(proxy.ask(get("/api/v1/files", proxy.token())), 403)
    assert "allow GET /v1/files" in told["hint"], told


def test_408(serve):
    proxy, _ = serve(head={"limits": "{{ head_time: 2s }}"})
    started = time.monotonic()
    with proxy.client() as client:
        client.send("GET /api/x HTTP/1.1\r\nHost:")
        problem(client.response(), 408)
        assert 1.5 < time.monotonic() - started < 8
        assert client.rest() == b""


def test_408_on_a_later_request(serve):
    proxy, _ = serve(head={"limits": "{{ head_time: 1s }}"})
    with proxy.client() as client:
        assert client.ask(get("/api/x", proxy.token())).status == 200
        client.send("GET /api/x HTTP/1.1\r\nHost:")
        started = time.monotonic()
        client.rest()
        assert time.monotonic() - started < 5, "a head that never ends holds the connection"


def test_503_secret_not_there(serve):
    proxy, server = serve(secrets=False)
    response = proxy.ask(get("/api/x", proxy.token()))
    told = problem(response, 503)
    assert "vault:api" in told["detail"] + told.get("hint", ""), told
    assert int(response.get("Retry-After")) > 0
    assert server.requests == []


def test_502_connection_refused(keystile):
    proxy = keystile(one_api(f"http://127.0.0.1:{free_port()}"), {"api": evidence.secret()})
    response = proxy.ask(get("/api/x", proxy.token()))
    told = problem(response, 502)
    assert "127.0.0.1" in told["detail"], told
    assert "error=" in response.get("Proxy-Status")


def test_502_unknown_name(keystile):
    proxy = keystile(one_api("http://does-not-exist.invalid"), {"api": evidence.secret()})
    told = problem(proxy.ask(get("/api/x", proxy.token())), 502)
    assert "does-not-exist.invalid" in told["detail"], told


def test_502_plain_http_to_a_tls_port(keystile, nginx_tls):
    """nginx says 400 to that itself; a server that answers with a TLS alert must give a 502."""
    proxy = keystile(one_api(f"http://127.0.0.1:{nginx_tls.port}"), {"api": evidence.secret()})
    assert proxy.ask(get("/api/x", proxy.token())).status == 400


def test_502_tls_to_a_plain_port(keystile, nginx):
    proxy = keystile(one_api(f"https://127.0.0.1:{nginx.port}"), {"api": evidence.secret()})
    told = problem(proxy.ask(get("/api/x", proxy.token())), 502)
    assert "TLS" in told["detail"] + told.get("hint", ""), told


def test_502_unknown_issuer(keystile, nginx_tls):
    proxy = keystile(one_api(f"https://127.0.0.1:{nginx_tls.port}"), {"api": evidence.secret()})
    told = problem(proxy.ask(get("/api/x", proxy.token())), 502)
    assert "certificate" in told["detail"], told
    assert "ca:" in told["hint"], told
    assert nginx_tls.seen(0) == []


def test_502_wrong_name(keystile, origin, authority):
    server = origin(context=authority.server_context("elsewhere", ["DNS:elsewhere.test"]))
    proxy = keystile(one_api(f"https://127.0.0.1:{server.port}", ca=authority.ca), {"api": evidence.secret()})
    told = problem(proxy.ask(get("/api/x", proxy.token())), 502)
    assert "certificate" in told["detail"], told
    assert server.requests == []


def test_502_nonsense(serve):
    def script(connection):
        connection.request()
        connection.send("220 mail.example ESMTP\r\n")

    proxy, _ = serve(script)
    problem(proxy.ask(get("/api/x", proxy.token())), 502)


def test_502_unasked_101(serve):
    def script(connection):
        connection.request()
        connection.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nraw bytes")

    proxy, _ = serve(script)
    with proxy.client() as client:
        response = client.ask(get("/api/x", proxy.token()))
        assert response.status == 502
        assert b"raw bytes" not in client.rest()


def test_504_no_connection(keystile):
    """A listener whose backlog is full lets nobody in."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    port = listener.getsockname()[1]
    fillers = [socket.socket()]
    fillers[0].setblocking(False)
    fillers[0].connect_ex(("127.0.0.1", port))
    while select.select([], fillers[-1:], [], 0.1)[1]:  # the last one got in
        fillers.append(socket.socket())
        fillers[-1].setblocking(False)
        fillers[-1].connect_ex(("127.0.0.1", port))
    proxy = keystile(one_api(f"http://127.0.0.1:{port}"), {"api": evidence.secret()}, {"limits": "{{ connect: 1s }}"})
    began = time.monotonic()
    told = problem(proxy.ask(get("/api/x", proxy.token())), 504)
    assert 0.9 < time.monotonic() - began < 8 and "limits.connect" in told["hint"], told
    assert proxy.audit(1, reason="connect_timeout", status=504, injected=False)


def test_504_no_answer(serve):
    def script(connection):
        connection.request()
        connection.rest()

    proxy, _ = serve(script, head={"limits": "{{ response_idle: 1s }}"})
    told = problem(proxy.ask(get("/api/x", proxy.token())), 504)
    assert "response_idle" in told["detail"] + told.get("hint", ""), told


@pytest.mark.parametrize("fields, status", [(["Expect: 100-continue"], 504), ([], 408)])
def test_whose_turn_it_was(serve, fields, status):
    """A client that waits for a 100 does as it should: who does not send one is the upstream."""
    proxy, _ = serve(lambda connection: connection.rest(), head={"limits": "{{ response_idle: 1s, body_idle: 1s }}"})
    problem(proxy.ask(get("/api/x", proxy.token(), "Content-Length: 5", *fields, method="POST")), status)


def test_413(serve):
    proxy, _ = serve(body="1KiB")
    token = proxy.token()
    told = problem(proxy.ask(get("/api/x", token, "Content-Length: 5000", method="POST")), 413)
    assert "body" in told["detail"] + told.get("hint", ""), told


def test_503_too_many_connections(serve):
    proxy, _ = serve(head={"limits": "{{ connections: 2 }}"})
    token = proxy.token()
    with proxy.client("first") as first, proxy.client("second") as second:
        assert first.ask(get("/api/x", token)).status == 200
        assert second.ask(get("/api/x", token)).status == 200
        with proxy.client("third") as third:
            third.send(get("/api/x", token))
            problem(third.response(), 503)
    assert proxy.audit(1, reason="too_many_connections")[0]["status"] == 503
    wait_for(lambda: proxy.ask(get("/api/x", token)).status == 200, "the place of a closed connection to be given back")


def test_503_too_many_connections_of_a_profile(keystile, origin):
    """One agent's connections take nothing from another's."""
    server = origin()
    config = (
        f"credentials:\n  api: {{ upstream: 'http://127.0.0.1:{server.port}', secret: vault:api, "
        "inject: { header: X-Key, value: '{secret}' }, env: { token: API_TOKEN } }\n"
        "profiles:\n  a: { credentials: [api] }\n  b: { credentials: [api] }\n"
    )
    proxy = keystile(config, {"api": evidence.secret()}, {"limits": "{{ profile_connections: 2 }}"})
    a, b = proxy.environment("a")["API_TOKEN"], proxy.environment("b")["API_TOKEN"]
    with proxy.client("first") as first, proxy.client("second") as second, proxy.client("third") as third:
        assert first.ask(get("/api/x", a)).status == 200
        assert second.ask(get("/api/x", a)).status == 200
        told = problem(third.ask(get("/api/x", a)), 503)
        assert "profile a" in told["detail"] and "profile_connections" in told["hint"], told
        assert third.ask(get("/api/x", b)).status == 200, "it counts for nobody, and may be somebody else's"
        assert first.ask(get("/api/x", b)).status == 200, "a connection counts for one profile at a time"
        assert third.ask(get("/api/x", a)).status == 200
    wait_for(lambda: proxy.ask(get("/api/x", a)).status == 200, "places to be given back")


# An upstream or allowed host whose address must not be reached
SSRF = [
    ("metadata", "http://169.254.169.254/latest/meta-data/", 403),
    ("loopback", "http://127.0.0.1:{port}/", 403),
    ("loopback, other spelling", "http://127.1:{port}/", 400),
    ("loopback, decimal", "http://2130706433:{port}/", 400),
    ("loopback, hex", "http://0x7f000001:{port}/", 400),
    ("loopback, mapped", "http://[::ffff:127.0.0.1]:{port}/", 403),
    ("unspecified", "http://0.0.0.0:{port}/", 403),
    ("v6 loopback", "http://[::1]:{port}/", 403),
]


@pytest.mark.parametrize("url,status", [row[1:] for row in SSRF], ids=[row[0] for row in SSRF])
def test_addresses_that_nobody_named(keystile, origin, url, status):
    server = origin()
    config = one_api("http://upstream.invalid", hosts='["*.example", "203.0.113.0/24"]')
    proxy = keystile(config, {"api": evidence.secret()})
    response = proxy.ask(proxied(url.format(port=server.port), proxy.proxy_token()))
    assert response.status == status, response
    assert server.connections == []


def test_name_whose_address_is_an_entry(keystile, origin):
    """An address that is always refused is reached by its name where `hosts:` names it too, unless that denies it."""
    server = origin()
    hosts = f'"localhost:{server.port}", "127.0.0.1:{server.port}"'
    config = 'profiles:\n  agent: {{ hosts: [{}] }}\n  other: {{ extends: agent, hosts: ["!127.0.0.1:{}"] }}\n'
    proxy = keystile(config.format(hosts, server.port))
    target = f"http://localhost:{server.port}/"
    assert proxy.ask(proxied(target, proxy.proxy_token())).status == 200
    told = problem(proxy.ask(proxied(target, proxy.proxy_token("other"))), 403)
    assert "loopback" in told["detail"] or "denied address" in told["detail"], told  # ::1, or 127.0.0.1


def test_name_that_resolves_to_loopback(keystile, origin):
    """`localhost` under a wildcard or as another name of the machine is refused; only the one named is reached."""
    server = origin()
    name = socket.gethostname()
    try:
        address = socket.gethostbyname(name)
    except OSError:
        address = None
    if not address or not address.startswith("127."):
        pytest.skip(f"{name} is not at loopback here")
    proxy = keystile(one_api("http://upstream.invalid", hosts=f'["{name}:{server.port}"]'), {"api": evidence.secret()})
    told = problem(proxy.ask(proxied(f"http://{name}:{server.port}/", proxy.proxy_token())), 403)
    assert address in told["detail"], told
    assert server.connections == []


def test_own_listener_is_never_dialled(keystile):
    port = free_port()
    head = {"listen": f"127.0.0.1:{port}"}
    proxy = keystile(one_api(f"http://localhost:{port}", hosts='["127.0.0.1/32"]'), {"api": evidence.secret()}, head, start=False)
    proxy.port = port
    proxy.start()
    problem(proxy.ask(get("/api/x", proxy.token())), 403)
    problem(proxy.ask(proxied(f"http://127.0.0.1:{proxy.admin_port}/readyz", proxy.proxy_token())), 403)
