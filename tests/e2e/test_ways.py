"""Every way in that is not a reverse endpoint on a TCP listener, and proxyd as a process (SPEC §3, §9, §12)."""

import json
import os
import signal
import socket
import subprocess
import threading
import time

import pytest

from peers import evidence
from peers.config import basic, get, one_api, problem
from peers.keystile import free_port, wait_for
from peers.wire import Client, Closed


def proxied(target, token, *fields, method="GET", host="ignored.test"):
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *fields]
    if token:
        lines.append(f"Proxy-Authorization: {basic('agent', token)}")
    return "\r\n".join(lines) + "\r\n\r\n"


# Absolute-form requests


def test_absolute_credential(keystile, origin):
    server, secret = origin(), evidence.secret("abs")
    proxy = keystile(one_api(f"http://127.0.0.1:{server.port}"), {"api": secret})
    url = f"http://127.0.0.1:{server.port}/v1/x?y=1"
    assert proxy.ask(proxied(url, proxy.proxy_token(), "Authorization: Bearer mine")).status == 200
    request = server.requests[0]
    assert (request.target, request.get("Host")) == ("/v1/x?y=1", f"127.0.0.1:{server.port}")
    assert request.all("Authorization") == [f"Bearer {secret}"]
    assert request.all("Proxy-Authorization") == []
    line = proxy.audit(1, way="forward", verdict="allow")[0]
    assert (line["credential"], line["path"], line["injected"]) == ("api", "/v1/x", True)


def test_absolute_allowed_host_gets_nothing(keystile, origin):
    server, other = origin(), origin()
    proxy = keystile(
        one_api(f"http://127.0.0.1:{server.port}", hosts=f'["127.0.0.1:{other.port}"]'), {"api": evidence.secret()}
    )
    url = f"http://127.0.0.1:{other.port}/x"
    assert proxy.ask(proxied(url, proxy.proxy_token(), "Authorization: Bearer its-own")).status == 200
    assert other.requests[0].get("Authorization") == "Bearer its-own"
    assert other.requests[0].get("Host") == f"127.0.0.1:{other.port}"


def test_a_token_never_goes_to_an_allowed_host(keystile, origin):
    server, other = origin(), origin()
    proxy = keystile(
        one_api(f"http://127.0.0.1:{server.port}", hosts=f'["127.0.0.1:{other.port}"]'), {"api": evidence.secret()}
    )
    token = proxy.token()
    url = f"http://127.0.0.1:{other.port}/x?t={token}&a=b"
    proxy.ask(proxied(url, proxy.proxy_token(), f"X-Key: {token}", f"Authorization: Bearer {token}"))
    request = other.requests[0]
    assert token not in request.raw_head.decode(), request
    assert "a=b" in request.target


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_absolute_tls(keystile, nginx_tls, authority, scheme):
    """https: dialled with TLS and verified, both as a credential host."""
    secret = evidence.secret("tls")
    proxy = keystile(one_api(f"https://localhost:{nginx_tls.port}", ca=authority.ca), {"api": secret})
    response = proxy.ask(proxied(f"https://localhost:{nginx_tls.port}/say/x", proxy.proxy_token()))
    assert (response.status, response.text) == (200, "GET /say/x\n")
    assert nginx_tls.seen()[0]["authorization"] == f"Bearer {secret}"


def test_curl_through_the_proxy(keystile, nginx):
    secret = evidence.secret("curl")
    proxy = keystile(one_api(f"http://127.0.0.1:{nginx.port}"), {"api": secret})
    env = {**os.environ, **proxy.environment(), "NO_PROXY": "", "no_proxy": ""}
    done = subprocess.run(["curl", "-sS", f"http://127.0.0.1:{nginx.port}/say/curl"], env=env, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("GET /say/curl\n", "")
    assert nginx.seen()[0]["authorization"] == f"Bearer {secret}"


@pytest.mark.parametrize("shown", ["nothing", "a wrong token", "a credential's token", "Authorization alone"])
def test_407(keystile, origin, shown):
    server = origin()
    proxy = keystile(one_api(f"http://127.0.0.1:{server.port}"), {"api": evidence.secret()})
    token = {"a wrong token": "0" * 43, "a credential's token": proxy.token()}.get(shown)
    fields = [f"Authorization: {basic('agent', proxy.proxy_token())}"] if shown == "Authorization alone" else []
    with proxy.client() as client:
        request = proxied(f"http://127.0.0.1:{server.port}/x", token, *fields)
        response = client.ask(request)
        problem(response, 407)
        assert response.get("Proxy-Authenticate") == 'Basic realm="keystile"'
        again = proxied(f"http://127.0.0.1:{server.port}/x", proxy.proxy_token())
        assert client.ask(again).status == 200, "the connection stays open after a 407"


def test_host_that_is_not_allowed(keystile, origin):
    server = origin()
    proxy = keystile(one_api(f"http://127.0.0.1:{server.port}"), {"api": evidence.secret()})
    told = problem(proxy.ask(proxied("http://other.example/x", proxy.proxy_token())), 403)
    assert "other.example" in told["detail"] and "agent" in told["detail"], told


def test_own_address_is_origin_form(keystile, origin):
    server = origin()
    proxy = keystile(one_api(f"http://127.0.0.1:{server.port}"), {"api": evidence.secret()})
    url = f"http://127.0.0.1:{proxy.port}/api/x"
    response = proxy.ask(get(url, proxy.token(), host=f"127.0.0.1:{proxy.port}"))
    assert response.status == 200
    assert server.requests[0].target == "/x"


# Listeners


def test_unix_listener(keystile, origin, tmp_path):
    server, path = origin(), tmp_path / "p.sock"
    head = {"listen": f'["127.0.0.1:{{port}}", "unix:{path}"]'}
    proxy = keystile(one_api(f"http://127.0.0.1:{server.port}"), {"api": evidence.secret()}, head)
    token = proxy.token()
    for _ in range(2):
        with Client(str(path)) as client:
            assert client.ask(get("/api/x", token)).status == 200
    assert len(server.requests) == 2


def test_stale_unix_socket_is_replaced(keystile, origin, tmp_path):
    path = tmp_path / "p.sock"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    head = {"listen": f'["127.0.0.1:{{port}}", "unix:{path}"]'}
    proxy = keystile(one_api(f"http://127.0.0.1:{origin().port}"), {"api": evidence.secret()}, head)
    with Client(str(path)) as client:
        assert client.ask(get("/api/x", proxy.token())).status == 200


def test_live_unix_socket_is_not(keystile, origin, tmp_path):
    path = tmp_path / "p.sock"
    live = socket.socket(socket.AF_UNIX)
    live.bind(str(path))
    live.listen()
    proxy = keystile(one_api(f"http://127.0.0.1:{origin().port}"), head={"listen": f'["unix:{path}"]'}, start=False)
    proxy.start(wait=False)
    assert proxy.process.wait(10) == 1
    assert str(path) in proxy.log() and path.exists()


def test_ipv6_listener(keystile, origin):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    server, port = origin(), free_port()
    proxy = keystile(one_api(f"http://127.0.0.1:{server.port}"), {"api": evidence.secret()},
                     {"listen": f'["127.0.0.1:{{port}}", "[::1]:{port}"]'})
    with Client(("::1", port)) as client:
        assert client.ask(get("/api/x", proxy.token(), host=f"[::1]:{port}")).status == 200


def test_socket_activation(keystile, origin):
    """As systemd does it: the listening socket is fd 3, and LISTEN_PID is proxyd's."""
    server = origin()
    proxy = keystile(one_api(f"http://127.0.0.1:{server.port}"), {"api": evidence.secret()}, start=False)
    listener = socket.create_server(("127.0.0.1", proxy.port))
    script = 'exec 3<&"$1"; shift; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
    fd = listener.fileno()
    proxy.start(pass_fds=[fd], launcher=["/bin/bash", "-c", script, "launcher", str(fd)])
    assert proxy.ask(get("/api/x", proxy.token())).status == 200
    proxy.stop()
    listener.setblocking(False)
    assert listener.getsockname()[1] == proxy.port, "the socket is the launcher's, and still listens"


def test_two_workers(keystile, origin):
    server = origin()
    proxy = keystile(one_api(f"http://127.0.0.1:{server.port}"), {"api": evidence.secret()}, {"workers": "2"})
    token = proxy.token()
    clients = [proxy.client(f"client {number}") for number in range(8)]
    for client in clients:
        assert client.ask(get("/api/x", token)).status == 200
    for client in clients:
        client.close()
    assert 2 <= len(server.connections) <= 8, "each worker has connections of its own"
    tasks = os.listdir(f"/proc/{proxy.process.pid}/task")
    assert len(tasks) >= 2, tasks
    assert len(proxy.audit(8, event="end")) == 8


# Sessions


def test_wrong_profiles_token(keystile, origin):
    server = origin()
    config = (
        "credentials:\n"
        f"  one: {{ upstream: 'http://127.0.0.1:{server.port}', secret: vault:one, "
        "inject: { header: X-Key, value: '{secret}' }, env: { token: ONE_TOKEN } }\n"
        f"  two: {{ upstream: 'http://localhost:{server.port}', secret: vault:one, "
        "inject: { header: X-Key, value: '{secret}' }, env: { token: TWO_TOKEN } }\n"
        "profiles:\n  a: { credentials: [one, two] }\n  b: { credentials: [one] }\n"
    )
    proxy = keystile(config, {"one": evidence.secret()})
    a, b = proxy.environment("a"), proxy.environment("b")
    assert len({a["ONE_TOKEN"], a["TWO_TOKEN"], b["ONE_TOKEN"]}) == 3
    assert proxy.ask(get("/one/x", a["ONE_TOKEN"])).status == 200
    problem(proxy.ask(get("/one/x", a["TWO_TOKEN"])), 401)
    problem(proxy.ask(get("/two/x", b["ONE_TOKEN"])), 401)
    problem(proxy.ask(get("/one/x", proxy.proxy_token("a"))), 401)
    assert len(server.requests) == 1


def test_replicas_share_tokens_and_a_new_key_revokes_them(keystile, origin):
    server = origin()
    proxy = keystile(one_api(f"http://127.0.0.1:{server.port}"), {"api": evidence.secret()})
    token = proxy.token()
    assert proxy.token() == token
    proxy.stop()
    (proxy.folder / "session.key").unlink()
    proxy.creds("init")
    proxy.start()
    problem(proxy.ask(get("/api/x", token)), 401)
    assert proxy.ask(get("/api/x", proxy.token())).status == 200


NONE = [  # fields, Host, status
    ([], "127.0.0.1:{port}", 200),
    ([], "localhost:{port}", 200),
    ([], "localhost", 200),
    (["Sec-Fetch-Site: none"], "127.0.0.1:{port}", 200),
    (["Origin: https://evil.example"], "127.0.0.1:{port}", 403),
    (["Origin: null"], "127.0.0.1:{port}", 403),
    (["Sec-Fetch-Site: cross-site"], "127.0.0.1:{port}", 403),
    (["Sec-Fetch-Site: same-origin"], "127.0.0.1:{port}", 403),
    ([], "evil.example", 403),
    ([], "evil.example:{port}", 403),
]


@pytest.mark.parametrize("fields,host,status", NONE)
def test_session_none(keystile, origin, fields, host, status):
    server, secret = origin(), evidence.secret("none")
    proxy = keystile(one_api(f"http://127.0.0.1:{server.port}"), {"api": secret}, {"session": "none"})
    response = proxy.ask(get("/api/x", None, *fields, host=host.format(port=proxy.port)))
    assert response.status == status, response
    assert len(server.requests) == (status == 200)
    if status == 200:
        assert server.requests[0].get("Authorization") == f"Bearer {secret}"


# The process


def test_drains_at_sigterm(keystile, origin):
    """An exchange in flight ends in peace, new connections find nobody, and the exit status is 0."""
    begun, go = threading.Event(), threading.Event()

    def script(connection):
        connection.request()
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
        begun.set()
        assert go.wait(10)
        connection.send("after")

    proxy = keystile(one_api(f"http://127.0.0.1:{origin(script).port}"), {"api": evidence.secret()})
    token = proxy.token()
    idle = proxy.client("idle client")
    with proxy.client() as client:
        client.send(get("/api/x", token))
        assert begun.wait(5)
        proxy.process.send_signal(signal.SIGTERM)

        def refused():
            try:
                proxy.client("late client").close()
                return False
            except (ConnectionRefusedError, ConnectionResetError):
                return True

        wait_for(refused, "the listener to close")
        assert proxy.process.poll() is None, "it must wait for the exchange"
        go.set()
        assert client.response().text == "firstafter"
    idle.close()
    started = time.monotonic()
    assert proxy.stop() == 0
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("workers", (1, 3))
def test_who_asked_before_sigterm_is_answered(keystile, origin, workers):
    """Whoever has connected and said something is served, though nobody has looked yet and those who say nothing leave."""
    proxy = keystile(one_api(f"http://127.0.0.1:{origin().port}"), {"api": evidence.secret()}, {"workers": str(workers)})
    token = proxy.token()
    silent = [proxy.client(f"silent client {number}") for number in range(workers)]
    kept = [proxy.client(f"kept client {number}") for number in range(workers)]
    for client in kept:
        assert client.ask(get("/api/x", token)).status == 200
    with proxy.standing_still():
        late = [proxy.client(f"late client {number}") for number in range(100)]
        for client in kept + late:
            client.send(get("/api/x", token))
        proxy.process.send_signal(signal.SIGTERM)
    for client in kept + late:
        assert client.response().status == 200
        client.close()
    for client in silent:
        client.close()
    assert proxy.stop() == 0


def test_a_head_on_its_way_at_sigterm_is_served(keystile, origin):
    proxy = keystile(one_api(f"http://127.0.0.1:{origin().port}"), {"api": evidence.secret()})
    request = get("/api/x", proxy.token())
    with proxy.client() as client, proxy.client("silent client") as silent:
        client.send(request[:10])
        proxy.process.send_signal(signal.SIGTERM)
        assert silent.rest() == b"", "it is closed, so the drain has begun"
        client.send(request[10:])
        assert client.response().status == 200
    assert proxy.stop() == 0


def test_ends_at_once_when_idle(keystile, origin):
    proxy = keystile(one_api(f"http://127.0.0.1:{origin().port}"), {"api": evidence.secret()})
    with proxy.client() as client:
        client.ask(get("/api/x", proxy.token()))
        started = time.monotonic()
        assert proxy.stop() == 0
        assert time.monotonic() - started < 10, "an idle keep-alive connection holds nothing up"


def admin_get(proxy, path, host=None, method="GET"):
    with Client(("127.0.0.1", proxy.admin_port), "admin client") as client:
        host = host or f"127.0.0.1:{proxy.admin_port}"
        return client.ask(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n", method)


def test_health_and_readiness(keystile, origin):
    proxy = keystile(one_api(f"http://127.0.0.1:{origin().port}"), {"api": evidence.secret()})
    assert admin_get(proxy, "/healthz").status == 200
    assert admin_get(proxy, "/readyz").status == 200
    assert admin_get(proxy, "/readyz?all").status == 200
    assert admin_get(proxy, "/healthz", method="HEAD").status == 200
    assert admin_get(proxy, "/healthz", host="localhost").status == 200


def test_readiness_lists_what_waits(keystile, origin):
    proxy = keystile(one_api(f"http://127.0.0.1:{origin().port}"))
    ready = admin_get(proxy, "/readyz")
    assert ready.status == 200 and "api" in ready.text
    assert admin_get(proxy, "/readyz?all").status == 503


@pytest.mark.parametrize("host,method,status", [("evil.example", "GET", 403), ("", "GET", 403), (None, "POST", 403)])
def test_admin_refuses(keystile, origin, host, method, status):
    proxy = keystile(one_api(f"http://127.0.0.1:{origin().port}"), {"api": evidence.secret()})
    if host == "":
        host = f"evil.example:{proxy.admin_port}"
    response = admin_get(proxy, "/healthz", host, method)
    assert response.status in (status, 405 if method == "POST" else status)
    assert response.all("Access-Control-Allow-Origin") == []


# Audit


def test_audit_line(keystile, origin):
    proxy = keystile(one_api(f"http://127.0.0.1:{origin().port}", rules='["deny * /no/**", "allow * /**"]'),
                     {"api": evidence.secret()})
    token = proxy.token()
    proxy.ask(get("/api/a/b?q=secret-query", token))
    proxy.ask(get("/api/no/c", token))
    allowed, denied = sorted(proxy.audit(2, event="end"), key=lambda line: line["verdict"])
    assert {key: allowed[key] for key in ("profile", "way", "credential", "method", "path", "verdict", "status")} == {
        "profile": "agent", "way": "reverse", "credential": "api", "method": "GET", "path": "/a/b", "verdict": "allow",
        "status": 200,
    }
    assert allowed["injected"] is True and allowed["bytes_down"] == 2 and allowed["ms"] >= 0
    assert time.strptime(allowed["time"][:19], "%Y-%m-%dT%H:%M:%S")
    assert "secret-query" not in json.dumps(allowed)
    assert (denied["verdict"], denied["status"], denied["rule"]) == ("deny", 403, "deny * /no/**")
    assert allowed["id"] != denied["id"]


def test_audit_required(keystile, origin):
    server = origin()
    proxy = keystile(one_api(f"http://127.0.0.1:{server.port}"), {"api": evidence.secret()},
                     {"audit": "{{ file: /dev/full, required: true }}"})
    problem(proxy.ask(get("/api/x", proxy.token())), 503)
    assert server.requests == [], "no line, no injection"


@pytest.mark.parametrize("first", [b"\x16\x03\x01\x02\x00\x01", b"SSH-2.0-x\r\n", b"\x00\x01", b"\x05\x01\x00"])
def test_other_first_bytes_close(keystile, origin, first):
    proxy = keystile(one_api(f"http://127.0.0.1:{origin().port}"), {"api": evidence.secret()})
    with proxy.client() as client:
        client.send(first)
        try:
            client.half_close()
            answer = client.rest()
        except (Closed, OSError):
            answer = b""
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400"), answer
    assert proxy.audit(1), "a refusal leaves an audit line"
