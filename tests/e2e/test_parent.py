"""Through a parent proxy (SPEC §2): every way in and every kind of upstream by real squid and tinyproxy, what these refuse, and by
a parent that answers what a test wants. What goes through is judged by name and literal alone (SPEC §7)."""

import contextlib
import json
import signal
import socket

import pytest

from peers import evidence
from peers.config import basic, get, one_api, problem
from peers.evidence import EVIDENCE
from peers.keystile import clean_environment, free_port, wait_for
from peers.nginx import Nginx
from peers.parents import DENIED, USER, Squid, Tinyproxy, answering, head_of, through_to
from peers.tunnel import Tls, connect, open_tunnel
from peers.wire import Client

WEB = "198.51.100.90"     # *.par.test
PARENT = "198.51.100.91"  # parent.test, where squid listens
NAMES = ("api", "seen", "docs", "direct", "denied", "gone")
HOSTS = f'[docs.par.test, direct.par.test, {DENIED}, gone.par.test, {{ host: seen.par.test, intercept: true }}]'


@pytest.fixture(scope="module")
def secure(network, authority, tmp_path_factory):
    network.names.addresses.update({f"{name}.par.test": WEB for name in NAMES} | {"parent.test": PARENT, "gone.par.test": None})
    server = Nginx(tmp_path_factory.mktemp("par-tls"), certificate=authority.issue("par", ["DNS:*.par.test"]), network=network,
                   address=WEB, port=443)
    yield server
    server.close()


@pytest.fixture(scope="module")
def plain(network, secure, tmp_path_factory):
    server = Nginx(tmp_path_factory.mktemp("par"), network=network, address=WEB, port=80)
    yield server
    server.close()


@pytest.fixture(scope="module")
def password():
    return evidence.secret("parent")


@pytest.fixture(scope="module", params=["squid", "tinyproxy"])
def parent(request, network, secure, password, tmp_path_factory):
    """squid at a name, and with what would be percent-decoded in its password; tinyproxy at a loopback address."""
    kind, address, port, more = {"squid": (Squid, PARENT, 3128, "%41:b@/ü"), "tinyproxy": (Tinyproxy, "127.0.0.1", 8888, "")}[request.param]
    one = kind(network, tmp_path_factory.mktemp(request.param), address, port, password + more)
    one.where = f"http://{'parent.test' if kind is Squid else address}:{port}"
    yield one
    one.close()


def said(where, more=", auth: vault:parent"):
    return f"parent: {{ proxy: {json.dumps(where)}{more} }}\n"


@pytest.fixture
def proxy(keystile, network, authority, secure, plain, parent):
    """For profile `agent`: the credential `api`, and HOSTS, all but one of them by way of the parent."""
    for server in (secure, plain):
        server.forget()
    config = one_api("https://api.par.test", hosts=HOSTS, ca=authority.ca)
    config += said(parent.where, ", auth: vault:parent, except: [direct.par.test]")
    secrets = {"api": evidence.secret("api"), "parent": f"{USER}:{parent.password}"}
    one = keystile(config, secrets, network=network, start=False)
    return one.start("-v", env={"SSL_CERT_FILE": str(authority.ca), "http_proxy": "http://198.51.100.1:9", "no_proxy": "*", "NO_PROXY": "*"})


def absolute(url, proxy, *fields):
    host = url.split("/")[2]
    return get(url, None, f"Proxy-Authorization: {basic('agent', proxy.proxy_token())}", *fields, host=host)


def tunnel_told(proxy, authority, status):
    with proxy.client() as client:
        return problem(client.ask(connect(authority, proxy.proxy_token())), status)


# What goes through


def test_credential(proxy, parent, secure):
    """The secret comes to the API, inside TLS, and the parent sees neither it nor the token."""
    for path in ("/api/say/one", "/api/say/two"):
        assert proxy.ask(get(path, proxy.token())).text == f"GET {path[4:]}\n"
    for seen in secure.seen(2):
        assert seen["authorization"] == f"Bearer {proxy.secrets['api']}" and not seen["proxy_authorization"]
    proxy.stop()
    assert parent.seen("api.par.test:443")


@pytest.mark.parametrize("url,port", [("http://docs.par.test/say/x", 80), ("https://docs.par.test/say/x", 443)])
def test_allowed_host(proxy, parent, secure, plain, url, port):
    assert proxy.ask(absolute(url, proxy)).text == "GET /say/x\n"
    (seen,) = (plain if port == 80 else secure).seen(1)
    assert not seen["proxy_authorization"] and not seen["authorization"] and not seen["via"]
    proxy.stop()
    assert parent.seen(f"docs.par.test:{port}")


def test_tunnel(proxy, parent, authority):
    with open_tunnel(proxy, "docs.par.test:443", proxy.proxy_token()) as client:
        tls = Tls(client, "docs.par.test", authority.ca)
        client.send(tls.first)
        assert tls.shake_hands().ask("GET /say/in HTTP/1.1\r\nHost: docs.par.test\r\n\r\n").endswith(b"GET /say/in\n")
        client.half_close()
        client.rest()  # the server's close_notify is taken, so that both have ended
    assert proxy.audit(1, event="end", way="connect", host="docs.par.test", verdict="allow", status=200)
    assert parent.seen("docs.par.test:443")


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_intercepted_host(proxy, parent, network, secure, version):
    """A client that knows nothing of the parent."""
    environment = {**clean_environment(), **proxy.environment()}
    EVIDENCE.add("environ", str(environment))
    done = network.run("curl", "-sS", version, "https://seen.par.test/say/x", env=environment, text=True)
    assert (done.stdout, done.stderr) == ("GET /say/x\n", "")
    (seen,) = secure.seen(1)
    assert seen["host"] == "seen.par.test" and not seen["proxy_authorization"]
    assert seen["protocol"] == ("HTTP/2.0" if version == "--http2" else "HTTP/1.1")
    proxy.stop()
    assert parent.seen("seen.par.test:443")


def test_exception(proxy, parent, plain):
    """Behind what goes through it: nothing of that stays with the dialer."""
    for name in ("docs", "direct"):
        assert proxy.ask(absolute(f"http://{name}.par.test/say/x", proxy)).text == "GET /say/x\n"
    proxy.stop()
    assert parent.seen("docs.par.test:80") and not parent.knows("direct.par.test")


# What does not


def test_parent_refuses(proxy, parent):
    """Its status says so, and proxyd says whose it was; the next host is not the worse for it."""
    told = tunnel_told(proxy, f"{DENIED}:443", 502)
    assert f"{parent.port} answered 403 to a CONNECT to {DENIED} port 443" in told["detail"] and "except" in told["hint"]
    told = problem(proxy.ask(absolute(f"https://{DENIED}/", proxy)), 502)
    assert "answered 403" in told["detail"]
    assert len(proxy.audit(2, event="end", host=DENIED, verdict="fail", reason="parent_refused", status=502)) == 2
    assert proxy.ask(absolute("https://docs.par.test/say/x", proxy)).status == 200


def test_parent_does_not_find_it(proxy, parent):
    told = tunnel_told(proxy, "gone.par.test:443", 502)
    assert "answered 50" in told["detail"] and "gone.par.test" in told["detail"]
    assert proxy.audit(1, host="gone.par.test", verdict="fail", reason="parent_failed")


def test_wrong_password_then_the_right_one(keystile, network, authority, secure, parent):
    config = one_api("https://api.par.test", ca=authority.ca) + said(parent.where, ', auth: "file:auth"')
    wrong = evidence.secret("wrong")
    proxy = keystile(config, {"api": evidence.secret("api")}, network=network, start=False)
    (proxy.folder / "auth").write_text(f"{USER}:{wrong}\n")
    proxy.start("-v", env={"SSL_CERT_FILE": str(authority.ca)})
    response = proxy.ask(get("/api/say/x", proxy.token()))
    told = problem(response, 502)
    assert "does not take the user and password" in told["detail"] and "`auth` of `parent:`" in told["hint"]
    assert "proxy_configuration_error" in response.get("Proxy-Status")
    assert not response.all("Proxy-Authenticate"), "who asked is not the one to answer"
    assert proxy.audit(1, verdict="fail", reason="parent_auth", status=502)
    (proxy.folder / "auth").write_text(f"{USER}:{parent.password}\n")
    wait_for(lambda: "secrets read again" in proxy.log(), "the password to be read again")
    assert proxy.ask(get("/api/say/x", proxy.token())).text == "GET /say/x\n"
    assert wrong not in proxy.log() and parent.password not in proxy.log()


# A parent of our own


@pytest.fixture
def by(keystile, origin):
    """by(SCRIPT) gives proxyd, whose profile allows names that nobody resolves, and the parent in front of it."""

    def make(script, auth=None, hosts='[far.invalid, "far.invalid:9999"]', head=None, scheme="http", **more):
        server = origin(script)
        config = one_api("http://api.invalid:8080", hosts=hosts) + said(f"{scheme}://127.0.0.1:{server.port}", ", auth: vault:parent" if auth else "")
        secrets = {"api": evidence.secret("api")} | ({"parent": auth} if auth else {})
        return keystile(config, secrets, head, **more), server

    return make


def test_what_it_is_asked(by, origin):
    """One CONNECT with host and port as they were judged, the credentials at once, and nothing of the client's."""
    target = origin()
    auth = f"us er:{evidence.secret('parent')}:%20"
    proxy, parent = by(through_to(lambda: socket.create_connection(("127.0.0.1", target.port))), auth)
    token = proxy.token()
    assert proxy.ask(get("/api/x", token, "User-Agent: agent/1", "Proxy-Foo: bar", "Cookie: a=b")).status == 200
    assert proxy.ask(get("/api/y", token)).status == 200
    for asked in parent.requests:  # one for each worker
        assert asked.line == "CONNECT api.invalid:8080 HTTP/1.1"
        fields = dict(asked.fields)
        assert fields.pop("Proxy-Connection", "Keep-Alive") == "Keep-Alive"
        assert fields == {"Host": "api.invalid:8080", "Proxy-Authorization": basic(*auth.split(":", 1))}
    assert [request.target for request in target.requests] == ["/x", "/y"]
    assert all(request.get("Host") == "api.invalid:8080" and not request.all("Proxy-Authorization") for request in target.requests)


def test_address(by, origin):
    """An address that an entry names goes through it too, IPv6 in brackets."""
    target = origin()
    hosts = '["198.51.100.7:81", "[2001:db8::7]:81"]'
    proxy, parent = by(through_to(lambda: socket.create_connection(("127.0.0.1", target.port))), hosts=hosts)
    for authority in ("198.51.100.7:81", "[2001:db8::7]:81"):
        assert proxy.ask(absolute(f"http://{authority}/x", proxy)).status == 200
    assert [asked.target for asked in parent.requests] == ["198.51.100.7:81", "[2001:db8::7]:81"]
    assert not parent.requests[0].all("Proxy-Authorization")


def greet(connection):
    head_of(connection)
    connection.send(b"HTTP/1.1 200 OK\r\nX-Via: corp\r\n\r\n220 hello\r\n")
    assert connection.until(b"\r\n") == b"EHLO\r\n"
    connection.send(b"250 ok\r\n")


def test_bytes_behind_its_answer(by):
    """They are the upstream's, and not one is lost. The parent's fields are not the client's."""
    proxy, _ = by(greet)
    with open_tunnel(proxy, "far.invalid:9999", proxy.proxy_token()) as client:
        assert client.until(b"\r\n") == b"220 hello\r\n"
        client.send(b"EHLO\r\n")
        assert client.until(b"\r\n") == b"250 ok\r\n"


ANSWERS = {
    "forbidden": (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", 502, "parent_refused", "answered 403 to a CONNECT to far.invalid port 443"),
    "a redirect": (b"HTTP/1.1 302 Found\r\nLocation: http://evil.test/\r\nContent-Length: 0\r\n\r\n", 502, "parent_refused", "answered 302"),
    "bad gateway": (b"HTTP/1.0 502 Bad Gateway\r\n\r\n", 502, "parent_failed", "answered 502"),
    "unavailable": (b"HTTP/1.1 503 x\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n", 502, "parent_failed", "answered 503"),
    "its timeout": (b"HTTP/1.1 504 x\r\nContent-Length: 0\r\n\r\n", 504, "parent_timeout", "answered 504"),
    "407 to nobody": (b'HTTP/1.1 407 x\r\nProxy-Authenticate: Basic realm="corp"\r\nContent-Length: 0\r\n\r\n', 502, "parent_auth", "`parent:` has no `auth`"),
    "another scheme": (b'HTTP/1.1 407 x\r\nProxy-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n', 502, "parent_auth", "(407)"),
    "nothing": (b"", 502, "parent_down", "gave no answer that is HTTP"),
    "no HTTP": (b"SSH-2.0-x\r\n\r\n", 502, "parent_down", "gave no answer that is HTTP"),
}


@pytest.mark.parametrize("answer,status,reason,text", ANSWERS.values(), ids=ANSWERS)
def test_answers(by, answer, status, reason, text):
    def script(connection):
        head_of(connection)
        connection.send(answer)

    proxy, parent = by(script)
    told = tunnel_told(proxy, "far.invalid:443", status)
    assert text in told["detail"] and f"127.0.0.1:{parent.port}" in told["detail"] and told["hint"], told
    (line,) = proxy.audit(1, event="end", host="far.invalid", verdict="fail", status=status)
    assert line["reason"] == reason, line
    assert len(parent.requests) == 1, "asked once"


def test_silent(by):
    proxy, parent = by(lambda connection: connection.receive() and connection.receive(), head={"limits": "{{ connect: 300ms }}"})
    told = tunnel_told(proxy, "far.invalid:443", 504)
    assert f"127.0.0.1:{parent.port} did not connect to far.invalid port 443 within 0.3 s" in told["detail"]
    assert proxy.audit(1, event="end", verdict="fail", reason="parent_timeout", status=504)


@pytest.mark.parametrize("where,text", [("127.0.0.1:{port}", "cannot connect to the parent proxy 127.0.0.1:{port}: Connection refused"),
                                        ("nobody.invalid:{port}", "cannot resolve the parent proxy nobody.invalid")])
def test_down(keystile, where, text):
    port = free_port()
    proxy = keystile(one_api("https://api.invalid", hosts="[far.invalid]") + said("http://" + where.format(port=port), ""), {"api": evidence.secret("api")})
    told = tunnel_told(proxy, "far.invalid:443", 502)
    assert text.format(port=port) in told["detail"] and "proxyd" not in told["detail"]
    assert problem(proxy.ask(get("/api/x", proxy.token())), 502)["detail"] == told["detail"]


FLOODS = {
    "a body": (b"HTTP/1.1 407 x\r\nContent-Length: 99999999999\r\n\r\n", b"y", "parent_auth", "(407)"),
    "a body behind a scheme": (b"HTTP/1.1 407 x\r\nProxy-Authenticate: Digest realm=x\r\nContent-Length: 99999999999\r\n\r\n", b"y", "parent_auth", "(407)"),
    "a head": (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", "parent_down", "gave an answer (200) without an end"),
    "a line": (b"HTTP/1.1 200 OK\r\nX: ", b"y", "parent_down", "gave an answer (200) without an end"),
    "no HTTP": (b"", b"y", "parent_down", "gave no answer that is HTTP"),
}


@pytest.mark.parametrize("first,rest,reason,text", FLOODS.values(), ids=FLOODS)
def test_flood(by, first, rest, reason, text):
    """More than anybody wants to read: it ends at once, and does not hold the worker, whom no timer would free."""
    def script(connection):
        head_of(connection)
        connection.send(first)
        with contextlib.suppress(OSError):
            while True:
                connection.send(rest * 10000)
        over.append(connection)

    over = []
    proxy, _ = by(script, f"u:{evidence.secret('parent')}", head={"workers": "1"})
    assert text in tunnel_told(proxy, "far.invalid:443", 502)["detail"]
    assert proxy.audit(1, event="end", verdict="fail", reason=reason, status=502)
    wait_for(lambda: over, "the parent's connection to end")


@pytest.mark.parametrize("head,status,reason,text", [(b"HTTP/1.1 403 x\r\nX: y\r\n", 502, "parent_refused", "answered 403"),
                                                     (b"HTTP/1.1 200 x\r\nX: y\r\n", 504, "parent_timeout", "did not connect to")])
def test_half_an_answer(by, head, status, reason, text):
    """A status says what it says before its head is whole; a tunnel is one only behind it."""
    def script(connection):
        head_of(connection)
        connection.send(head)
        connection.receive()

    proxy, _ = by(script, head={"limits": "{{ connect: 3s }}"})
    assert text in tunnel_told(proxy, "far.invalid:443", status)["detail"]
    assert proxy.audit(1, event="end", verdict="fail", reason=reason, status=status)


def test_cut_answer(by):
    proxy, _ = by(lambda connection: (head_of(connection), connection.send(b"HTTP/1.1 200 OK\r\nX: y\r\n")))
    assert "gave an answer (200) without an end" in tunnel_told(proxy, "far.invalid:443", 502)["detail"]
    assert proxy.audit(1, event="end", verdict="fail", reason="parent_down")


def test_client_that_leaves(by):
    """The parent's connection ends with it."""
    proxy, parent = by(lambda connection: (head_of(connection), connection.receive()))
    with proxy.client() as client:
        client.send(connect("far.invalid:443", proxy.proxy_token()))
        wait_for(lambda: parent.requests, "the CONNECT to come")
    wait_for(lambda: parent.connections[0].ended, "the connection to end")
    assert proxy.audit(1, event="end", verdict="fail", reason="client_gone")


# Judged by name and literal, before anything is sent


def test_own_listeners(by):
    proxy, parent = by(answering(b""), hosts='["*.invalid"]', start=False)
    places = [f"127.0.0.1:{proxy.port}", f"localhost:{proxy.port}", f"127.0.0.1:{proxy.admin_port}", f"[::ffff:127.0.0.1]:{proxy.port}",
              f"proxy.invalid:{proxy.port}", f"pod.invalid:{proxy.admin_port}"]
    text = proxy.text.replace('["*.invalid"]', json.dumps(places[:3] + ["127.0.0.0/8", places[4], places[5]]))
    text = text.replace(f"admin: 127.0.0.1:{proxy.admin_port}", f"admin: {{ listen: 127.0.0.1:{proxy.admin_port}, hosts: [Pod.invalid] }}")
    assert "Pod.invalid" in text
    text += f"advertise: proxy.invalid:{proxy.port}\n"
    proxy.config.write_text(text)
    proxy.start()
    for place in places:
        told = tunnel_told(proxy, place, 403)
        assert "this proxy" in told["detail"], told
    assert len(proxy.audit(len(places), event="end", verdict="deny", reason="own_listener")) == len(places)
    assert parent.connections == []


def test_localhost(by):
    """There it would be the parent's; named as an address it may be."""
    proxy, parent = by(answering(b"HTTP/1.1 403 x\r\n\r\n"), hosts='[localhost, a.localhost, "127.0.0.1:81"]')
    for place in ("localhost:80", "a.localhost:443"):
        assert "a loopback address" in tunnel_told(proxy, place, 403)["detail"]
    assert len(proxy.audit(2, event="end", verdict="deny", reason="address_refused")) == 2
    assert parent.connections == []
    tunnel_told(proxy, "127.0.0.1:81", 502)
    assert [asked.target for asked in parent.requests] == ["127.0.0.1:81"]


def test_own_listener_of_the_other_family(by):
    """`localhost` of a parent on this machine may be ::1."""
    proxy, parent = by(answering(b"HTTP/1.1 403 x\r\n\r\n"), start=False)
    text = proxy.text.replace(f"127.0.0.1:{proxy.port}", f"'[::1]:{proxy.port}'", 1)
    proxy.config.write_text(text.replace("http://api.invalid:8080", f"http://localhost:{proxy.port}"))
    proxy.start()
    with Client(("::1", proxy.port), "::1") as client:
        told = problem(client.ask(get("/api/x", proxy.token(), host=f"[::1]:{proxy.port}")), 403)
    assert "a listener of this proxy" in told["detail"] and parent.connections == []


def test_parent_is_this_proxy(keystile):
    """The configuration tells where it can be seen."""
    one = keystile(one_api("https://api.invalid", hosts="[far.invalid]"), {"api": evidence.secret("api")}, start=False)
    for host in ("127.0.0.1", "localhost"):
        one.config.write_text(one.text + said(f"http://{host}:{one.port}", ""))
        checked = one.check()
        assert checked.returncode == 1 and "proxyd would ask itself" in checked.err


def test_parent_is_the_admin_listener(keystile):
    """And proxyd finds it where the configuration cannot."""
    one = keystile(one_api("https://api.invalid", hosts="[far.invalid]"), {"api": evidence.secret("api")}, start=False)
    one.config.write_text(one.text + said(f"http://127.0.0.1:{one.admin_port}", ""))
    told = tunnel_told(one.start(), "far.invalid:443", 403)
    assert told["detail"] == "the parent proxy 127.0.0.1 is a listener of this proxy, which may not be reached"


def test_parent_name_that_leads_here(keystile, network):
    network.names.addresses.update({"here.par.test": "127.0.0.1"})
    proxy = keystile(one_api("https://api.invalid", hosts="[far.invalid]") + said("http://here.par.test:3128", ""), {"api": evidence.secret("api")}, network=network)
    told = tunnel_told(proxy, "far.invalid:443", 403)
    assert told["detail"] == "the parent proxy here.par.test resolves to 127.0.0.1, a loopback address, which may not be reached"
    assert "`parent:`" in told["hint"]


# auth: that is not there


@pytest.mark.parametrize("value,why", [(None, "No such file"), ("no-colon", "USER:PASSWORD"), (":empty", "USER:PASSWORD"), ("", "is empty")])
def test_auth_not_ready(keystile, origin, value, why):
    """503 for what needs it, and for nothing else; it works once it is there and was read."""
    target, parent = origin(), origin(through_to(lambda: socket.create_connection(("127.0.0.1", target.port))))
    hosts = f'[far.invalid, "127.0.0.1:{target.port}"]'
    config = one_api("http://api.invalid", hosts=hosts)
    config += said(f"http://127.0.0.1:{parent.port}", f', auth: "file:auth", except: ["127.0.0.1:{target.port}"]')
    proxy = keystile(config, {"api": evidence.secret("api")}, start=False)
    if value is not None:
        (proxy.folder / "auth").write_text(value)
    checked = proxy.check()
    assert checked.returncode == 0 and why in checked.err and f"the parent proxy 127.0.0.1:{parent.port} is not ready" in checked.err
    proxy.start()
    response = proxy.ask(get("/api/x", proxy.token()))
    told = problem(response, 503)
    assert why in told["detail"] and response.get("Retry-After") == "5"
    told = tunnel_told(proxy, "far.invalid:443", 503)
    assert why in told["detail"]
    assert len(proxy.audit(2, event="end", verdict="fail", reason="parent_not_ready", status=503)) == 2
    assert proxy.ask(absolute(f"http://127.0.0.1:{target.port}/x", proxy)).status == 200
    assert parent.connections == []
    for query, status in (("", 200), ("?all", 503)):
        ready = admin(proxy, "/readyz" + query)
        assert ready.status == status
        waiting = json.loads(ready.body)["waiting_parent"]
        assert waiting["proxy"] == f"127.0.0.1:{parent.port}" and why in waiting["why"]
    (proxy.folder / "auth").write_text(f"{USER}:{evidence.secret('parent')}\n")
    proxy.process.send_signal(signal.SIGHUP)
    wait_for(lambda: admin(proxy, "/readyz?all").status == 200, "readiness")
    assert proxy.ask(get("/api/x", proxy.token())).status == 200
    assert "waiting_parent" not in json.loads(admin(proxy, "/readyz").body)
    (proxy.folder / "auth").unlink()
    proxy.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "stale_parent" in json.loads(admin(proxy, "/readyz?all").body), "what is gone to be told")
    assert proxy.ask(get("/api/y", proxy.token())).status == 200


def test_auth_with_a_blank(keystile):
    """It is sent as it is, and warned of."""
    one = keystile(one_api("https://api.invalid") + said("http://127.0.0.1:9"), {"api": evidence.secret("api"), "parent": f"u:{evidence.secret('parent')} "}, start=False)
    checked = one.check()
    assert checked.returncode == 0 and "the secret `auth` of parent begins or ends with a blank" in checked.err


def admin(proxy, path):
    with Client(("127.0.0.1", proxy.admin_port), "admin") as client:
        return client.ask(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{proxy.admin_port}\r\n\r\n")


# SOCKS5 (RFC 1928, RFC 1929), which libcurl speaks for us


def socks(target, reply=0, accept=0):
    def script(connection):
        connection.origin.requests.append(connection.exactly(connection.exactly(2)[1]))
        wanted = 2 if b"\2" in connection.origin.requests[-1] else 0
        connection.send(bytes([5, wanted]))
        if wanted:
            assert connection.exactly(1) == b"\1"
            connection.origin.requests.append([connection.exactly(connection.exactly(1)[0]) for _ in range(2)])
            connection.send(bytes([1, accept]))
        assert connection.exactly(4) == b"\5\1\0\3", "by name (socks5h)"
        name = connection.exactly(connection.exactly(1)[0])
        connection.origin.requests.append((name, int.from_bytes(connection.exactly(2), "big")))
        connection.send(bytes([5, reply, 0, 1]) + bytes(6))
        if not reply:
            with socket.create_connection(("127.0.0.1", target.port)) as upstream:
                upstream.sendall(connection.until(b"\r\n\r\n"))
                while data := upstream.recv(65536):
                    connection.send(data)

    return script


def test_socks(by, origin):
    target, auth = origin(), f"u:{evidence.secret('parent')}"
    proxy, parent = by(socks(target), auth, scheme="socks5h")
    assert proxy.ask(get("/api/x", proxy.token())).status == 200
    assert parent.requests[1:] == [[part.encode() for part in auth.split(":")], (b"api.invalid", 8080)]


@pytest.mark.parametrize("more,reason", [({"reply": 2}, "parent_refused"), ({"reply": 5}, "parent_failed"), ({"accept": 1}, "parent_auth")])
def test_socks_that_refuses(by, origin, more, reason):
    proxy, parent = by(socks(origin(), **more), f"u:{evidence.secret('parent')}", scheme="socks5h")
    told = tunnel_told(proxy, "far.invalid:443", 502)
    assert f"127.0.0.1:{parent.port}" in told["detail"]
    assert proxy.audit(1, event="end", verdict="fail", reason=reason, status=502)


@pytest.mark.parametrize("answer,reason,text", [(b"\5\xff", "parent_auth", "`parent:` has no `auth`"), (b"\5", "parent_down", "no answer that is SOCKS5"),
                                                (b"HTTP/1.1 400 Bad Request\r\n\r\n", "parent_down", "no answer that is SOCKS5")])
def test_socks_that_is_none(by, answer, reason, text):
    proxy, _ = by(lambda connection: connection.receive() and connection.send(answer), scheme="socks5h")
    assert text in tunnel_told(proxy, "far.invalid:443", 502)["detail"]
    assert proxy.audit(1, event="end", verdict="fail", reason=reason, status=502)
