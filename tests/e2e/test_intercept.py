"""Where `intercept: true` stands, TLS inside CONNECT is ended by us, and every request in it is judged and injected (SPEC §5)."""

import contextlib
import os
import re
import signal
import socket
import ssl
import struct
import threading

import pytest

from peers import evidence
from peers.config import one_api
from peers.evidence import EVIDENCE
from peers.keystile import clean_environment, wait_for
from peers.nginx import Nginx
from peers.tunnel import Tls, connect, open_tunnel, refused_inside, swallow
from peers.two_hellos import TwoHellos
from peers.wire import TIMEOUT, Closed

SECURE = "198.51.100.84"  # api.seen.test and docs.seen.test
LONG = "a" * 60 + "." + "b" * 60 + ".seen.test"  # longer than a certificate's common name can be
HOSTS = ('[{{ host: docs.seen.test, intercept: true, rules: ["allow GET /say/**"] }}, {{ host: "{0}", intercept: true }}, {{ host: {1}, intercept: true }}, '
         'plain.test, {{ host: pass.seen.test, intercept: true, http2: tunnel }}, {{ host: off.seen.test, intercept: true, http2: off }}]')


@pytest.fixture(scope="module")
def server(network, authority, tmp_path_factory):
    """nginx at the addresses' port 443."""
    certificate = authority.issue("seen", ["DNS:*.seen.test", f"DNS:{LONG}", f"IP:{SECURE}"])
    network.names.addresses.update({"api.seen.test": SECURE, "docs.seen.test": SECURE, LONG: SECURE})
    network.names.addresses.update({"pass.seen.test": SECURE, "off.seen.test": SECURE})
    one = Nginx(tmp_path_factory.mktemp("seen"), "location = /big { return 200 'x'; }", certificate, network, SECURE, 443)
    yield one
    one.close()


@pytest.fixture
def secret():
    return evidence.secret("intercept")


@pytest.fixture
def proxy(keystile, network, authority, server, secret):
    server.forget()
    config = one_api("https://api.seen.test", hosts=HOSTS.format(SECURE, LONG), intercept="true", ca=authority.ca)
    one = keystile(config, {"api": secret}, network=network, start=False)
    return one.start(env={"SSL_CERT_FILE": str(authority.ca)})


def sourced(proxy):
    environment = {**clean_environment(), **proxy.environment()}
    EVIDENCE.add("environ", str(environment))
    return environment


def ca_of(proxy):
    return proxy.folder / "state/ca.pem"


def inside(proxy, name="api.seen.test", port=443, alpn=()):
    """A TLS session with whoever is behind the CONNECT, verified against the proxy's CA."""
    client = open_tunnel(proxy, f"{name}:{port}", proxy.proxy_token())
    tls = Tls(client, None if name == SECURE else name, ca_of(proxy), alpn)
    client.send(tls.first)
    return tls.shake_hands()


def status_of(answer):
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_curl(proxy, network, server, secret, version):
    """The sourced file alone: the client knows neither secret nor endpoint."""
    done = network.run("curl", "-sS", version, "-w", "%{http_version}\n", "https://api.seen.test/say/one", "https://api.seen.test/say/two", env=sourced(proxy), text=True)
    shown = "2" if version == "--http2" else "1.1"
    assert (done.stdout, done.stderr) == (f"GET /say/one\n{shown}\nGET /say/two\n{shown}\n", "")
    for seen in server.seen(2):
        assert (seen["authorization"], seen["host"]) == (f"Bearer {secret}", "api.seen.test") and not seen["proxy_authorization"]
    lines = proxy.audit(2, event="end", way="intercept", verdict="allow")
    assert [(line["credential"], line["path"], line["injected"]) for line in lines] == [("api", "/say/one", True), ("api", "/say/two", True)]
    assert proxy.audit(1, event="end", way="connect", verdict="allow", host="api.seen.test")


def test_python_of_today_verifies(proxy):
    """Python 3.13's default context asks for strict RFC 5280."""
    client = open_tunnel(proxy, "api.seen.test:443", proxy.proxy_token())
    tls = Tls(client, "api.seen.test", ca_of(proxy), strict=True)
    client.send(tls.first)
    assert tls.shake_hands().session.getpeercert()["subjectAltName"] == (("DNS", "api.seen.test"),)


@pytest.mark.parametrize("name", ["api.seen.test", LONG, SECURE])
def test_openssl_verifies_strictly(proxy, network, tmp_path, name):
    sni = [] if name == SECURE else ["-servername", name]
    checked = ["-verify_ip", name] if name == SECURE else ["-verify_hostname", name]
    done = network.run(
        "openssl", "s_client", "-proxy", f"127.0.0.1:{proxy.port}", "-proxy_user", "agent", "-proxy_pass", "env:TOKEN",
        "-connect", f"{name}:443", *(sni or ["-noservername"]), "-CAfile", ca_of(proxy), "-x509_strict", "-purpose", "sslserver", *checked,
        "-showcerts", input=b"", env={**os.environ, "TOKEN": proxy.proxy_token()},
    )
    assert b"Verify return code: 0 (ok)" in done.stdout and done.stdout.count(b"BEGIN CERTIFICATE") >= 2, done


@pytest.mark.parametrize("method,path,status", [("GET", "/say/x", 200), ("POST", "/say/x", 403), ("GET", "/other", 403)])
def test_rules_of_a_host(proxy, server, secret, method, path, status):
    tls = inside(proxy, "docs.seen.test")
    answer = tls.ask(f"{method} {path} HTTP/1.1\r\nHost: docs.seen.test\r\nContent-Length: 0\r\n\r\n")
    assert status_of(answer) == status
    if status == 200:
        assert secret not in str(server.seen(1))
    else:
        assert b"application/problem+json" in answer
        assert proxy.audit(1, way="intercept", verdict="deny", host="docs.seen.test")


@pytest.mark.parametrize("head,status", [
    ("GET /say/x HTTP/1.1\r\nHost: api.seen.test\r\n", 200),
    ("GET /say/x HTTP/1.1\r\nHost: API.seen.test:443\r\n", 200),
    ("GET https://api.seen.test/say/x HTTP/1.1\r\nHost: api.seen.test\r\n", 200),
    ("GET /say/x HTTP/1.1\r\nHost: docs.seen.test\r\n", 421),
    ("GET /say/x HTTP/1.1\r\nHost: api.seen.test:80\r\n", 421),
    ("GET http://api.seen.test/say/x HTTP/1.1\r\nHost: api.seen.test\r\n", 421),
    ("GET https://docs.seen.test/say/x HTTP/1.1\r\nHost: docs.seen.test\r\n", 421),
    ("GET https://docs.seen.test/say/x HTTP/1.1\r\nHost: api.seen.test\r\n", 421),
    ("CONNECT api.seen.test:443 HTTP/1.1\r\nHost: api.seen.test:443\r\n", 501),
    ("GET /api/say/x HTTP/1.1\r\nHost: 127.0.0.1\r\n", 421),
])
def test_the_host_stays(proxy, server, secret, head, status):
    """What the CONNECT settled, nothing inside changes: no secret goes anywhere else, and none to another host's name."""
    answer = inside(proxy).ask(head + "\r\n")
    assert status_of(answer) == status, answer
    if status == 200:
        assert server.seen(1)[0]["authorization"] == f"Bearer {secret}"
    else:
        assert b"problem+json" in answer


@pytest.mark.parametrize("name,sni", [("api.seen.test", "docs.seen.test"), ("api.seen.test", ""), (SECURE, "api.seen.test")])
def test_another_server_name(proxy, authority, name, sni):
    with open_tunnel(proxy, f"{name}:443", proxy.proxy_token()) as client:
        client.send(Tls(client, sni or None, authority.ca).first)
        assert refused_inside(client)
    assert proxy.audit(1, way="connect", event="end", verdict="deny", host=name)


@pytest.mark.parametrize("second", ["api.seen.test", "docs.seen.test"])
def test_another_server_name_the_second_time(proxy, server, second):
    """Only the first ClientHello was judged before the handshake: the name of the second one counts too."""
    with open_tunnel(proxy, "api.seen.test:443", proxy.proxy_token()) as client:
        tls = TwoHellos(client.sock, "api.seen.test", second)
        assert tls.shake_hands() == 0 and tls.asked_again
        answer = tls.ask(b"GET /say/x HTTP/1.1\r\nHost: api.seen.test\r\n\r\n")
        tls.close()
    if second == "api.seen.test":
        assert status_of(answer) == 200 and server.seen(1)
    else:
        assert answer == b"" and server.seen(0) == []
        assert proxy.audit(1, way="intercept", reason="sni_mismatch", verdict="deny")


def test_a_token_is_taken_out(proxy, server, secret):
    """A client that was given its token as key shows it where the secret goes."""
    token = proxy.token()
    tls = inside(proxy)
    assert status_of(tls.ask(f"GET /say/x HTTP/1.1\r\nHost: api.seen.test\r\nAuthorization: Bearer {token}\r\nX-Api-Key: {token}\r\n\r\n")) == 200
    seen = server.seen(1)[0]
    assert (seen["authorization"], seen["x_api_key"]) == (f"Bearer {secret}", "")


def test_many_requests(proxy, server, secret):
    """Kept alive, pipelined, refused in between: one connection."""
    tls = inside(proxy)
    ask = "GET /say/{} HTTP/1.1\r\nHost: {}\r\n\r\n".format
    for i in range(3):
        assert tls.ask(ask(i, "api.seen.test")).endswith(b"GET /say/%d\n" % i)
    assert status_of(tls.ask(ask("no", "docs.seen.test"))) == 421
    both = tls.ask(ask("a", "api.seen.test") + ask("b", "api.seen.test"))
    while b"GET /say/b\n" not in both:
        both += tls.step(tls.session.read)
    assert all(seen["authorization"] == f"Bearer {secret}" for seen in server.seen(5))


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_a_large_body(proxy, network, server, tmp_path, version):
    """4 MiB down, over TLS both times; and up. (curl 7.88 loses an answer by HTTP/2 that comes before its upload's end.)"""
    data = os.urandom(4 << 20)
    (server.folder / "www/large").write_bytes(data)
    done = network.run("curl", "-sSf", version, "https://api.seen.test/files/large", "-o", tmp_path / "got", env=sourced(proxy))
    assert done.returncode == 0 and (tmp_path / "got").read_bytes() == data, done.stderr
    (tmp_path / "up").write_bytes(data)
    done = network.run("curl", "-sS", "--http1.1", "--data-binary", f"@{tmp_path / 'up'}", "https://api.seen.test/made", env=sourced(proxy))
    assert (done.stdout, done.stderr) == (b"made by POST\n", b"")
    assert server.seen(2)[1]["length"] == str(len(data))


@pytest.mark.parametrize("host,version,shown,up", [
    ("pass.seen.test", "--http2", "2", "HTTP/2.0"), ("pass.seen.test", "--http1.1", "1.1", "HTTP/1.1"),
    ("off.seen.test", "--http2", "1.1", "HTTP/1.1"),
])
def test_http2_by_entry(proxy, network, server, host, version, shown, up):
    """tunnel: HTTP/2 goes to the origin as it is; off: it is not offered."""
    done = network.run("curl", "-sS", version, "-w", "%{http_version}", f"https://{host}/say/x", env=sourced(proxy), text=True)
    assert (done.stdout, done.stderr) == (f"GET /say/x\n{shown}", "")
    assert server.seen(1)[0]["protocol"] == up
    line = proxy.audit(1, event="end", way="intercept", host=host)[0]  # curl may leave with a reset
    assert ("path" in line) == (up == "HTTP/1.1") and line["bytes_down"] > 10
    assert len(proxy.audit(event="start", way="intercept")) == (up == "HTTP/2.0")


def test_http2_tunnel_that_cannot_be(proxy, network):
    """The origin is dialled before the client's handshake; where it is not there, the client gets none."""
    network.names.addresses["pass.seen.test"] = "198.51.100.87"
    try:
        done = network.run("curl", "-sS", "https://pass.seen.test/say/x", env=sourced(proxy), text=True)
        assert done.returncode == 35, done
        assert proxy.audit(1, event="end", way="intercept", verdict="fail", reason="connect", host="pass.seen.test")
    finally:
        network.names.addresses["pass.seen.test"] = SECURE


def test_http2_tunnel_to_a_silent_origin(keystile, network, origin):
    """It is the origin who is late, not the client."""
    origin(swallow, host="198.51.100.89", port=443, network=network)
    network.names.addresses["mute.seen.test"] = "198.51.100.89"
    text = one_api("https://api.seen.test", hosts="[{ host: mute.seen.test, intercept: true, http2: tunnel }]")
    one = keystile(text, {"api": "secret-of-nobody"}, {"limits": "{{ connect: 1s, handshake: 1s }}"}, network=network)
    with open_tunnel(one, "mute.seen.test:443", one.proxy_token()) as client:
        client.send(Tls(client, "mute.seen.test", ca_of(one)).first)
        assert refused_inside(client)
    assert one.audit(1, event="end", way="intercept", verdict="fail", reason="handshake_timeout", host="mute.seen.test")


def test_a_client_without_our_ca(proxy, network, authority):
    done = network.run("curl", "-sS", "https://api.seen.test/say/x", env={**sourced(proxy), "CURL_CA_BUNDLE": str(authority.ca), "SSL_CERT_FILE": str(authority.ca)}, text=True)
    assert done.returncode == 60, done
    assert proxy.audit(1, way="intercept", verdict="fail", reason="tls_handshake", host="api.seen.test", profile="agent")


def test_plain_http_in_the_tunnel(proxy, server, secret):
    """It is judged like an absolute-form request; the credential's upstream is reached by TLS all the same."""
    with open_tunnel(proxy, "api.seen.test:80", proxy.proxy_token()) as client:
        response = client.ask("GET /say/x HTTP/1.1\r\nHost: api.seen.test\r\n\r\n")
        assert response.status == 200, response
    assert server.seen(1)[0]["authorization"] == f"Bearer {secret}"


@pytest.mark.parametrize("first", [b"\x00", b"\x80\x01", b"\x17\x03\x03"])
def test_what_is_neither(proxy, first):
    with open_tunnel(proxy, "api.seen.test:443", proxy.proxy_token()) as client:
        client.send(first)
        assert not client.rest()
    assert proxy.audit(1, way="connect", verdict="deny")


def test_a_silent_upstream_is_told(proxy, network):
    """Nobody is dialled for the CONNECT: what fails is told for each request."""
    network.names.addresses["docs.seen.test"] = None
    try:
        answer = inside(proxy, "docs.seen.test").ask("GET /say/x HTTP/1.1\r\nHost: docs.seen.test\r\n\r\n")
        assert status_of(answer) == 502 and b"cannot resolve" in answer
    finally:
        network.names.addresses["docs.seen.test"] = SECURE


def test_sigterm(proxy, server):
    """An idle connection ends with close_notify, at once; proxyd exits 0."""
    tls = inside(proxy)
    assert status_of(tls.ask("GET /say/x HTTP/1.1\r\nHost: api.seen.test\r\n\r\n")) == 200
    proxy.process.send_signal(signal.SIGTERM)
    assert tls.step(tls.session.read) == b""
    assert proxy.stop() == 0


def test_who_asked_before_sigterm_is_answered(proxy):
    """As without TLS: it is not told goodbye as one who says nothing."""
    kept = [inside(proxy) for _ in range(20)]
    ask = "GET /say/x HTTP/1.1\r\nHost: api.seen.test\r\n\r\n"
    for tls in kept:
        assert status_of(tls.ask(ask)) == 200
    with proxy.standing_still():
        for tls in kept:
            tls.step(tls.session.write, ask.encode())
        proxy.process.send_signal(signal.SIGTERM)
    for tls in kept:
        assert status_of(tls.answer()) == 200
    assert proxy.stop() == 0


def test_the_client_leaves(proxy, network, origin, authority, keystile, secret):
    """Its upstream request ends with it."""
    came = []

    def script(connection):
        came.append(connection.request())
        with pytest.raises(Closed):
            connection.request()
        came.append("closed")

    slow = origin(script, host="198.51.100.85", port=443, network=network, context=authority.server_context("slow", ["DNS:slow.seen.test"]))
    network.names.addresses["slow.seen.test"] = "198.51.100.85"
    one = keystile(one_api("https://slow.seen.test", intercept="true", ca=authority.ca), {"api": secret}, network=network)
    tls = inside(one, "slow.seen.test")
    tls.step(tls.session.write, b"GET /x HTTP/1.1\r\nHost: slow.seen.test\r\n\r\n")
    wait_for(lambda: came, "the request to arrive")
    tls.stream.close()
    wait_for(lambda: "closed" in came, "the upstream's connection to end")
    assert one.audit(1, way="intercept", reason="client_gone")
    assert slow


def test_who_has_it_not(keystile, network, authority, secret, server):
    """A profile without the credential gets no tunnel to its host, and is told of no endpoint."""
    text = one_api("https://api.seen.test", intercept="true", ca=authority.ca) + "  other:\n    credentials: []\n"
    one = keystile(text, {"api": secret}, network=network)
    url = one.environment("other")["HTTPS_PROXY"]
    assert "SSL_CERT_FILE" not in one.environment("other")
    done = network.run("curl", "-sS", "-o", "/dev/null", "-w", "%{http_connect}", "--proxy", url, "https://api.seen.test/", text=True)
    assert done.stdout == "403"
    assert not re.search("127.0.0.1:[0-9]+/api", done.stderr)


@pytest.fixture
def hold(keystile, network, origin, authority, secret):
    """hold(LIMITS, COUNT) gives a proxyd, and clients within TLS that asked for a large response and do not read it."""

    def script(connection):
        connection.request()
        with contextlib.suppress(OSError):
            connection.answer("200 OK", b"x" * (32 << 20))

    def begin(limits, count):
        origin(script, host="198.51.100.86", port=443, network=network, context=authority.server_context("held", ["DNS:held.seen.test"]))
        network.names.addresses["held.seen.test"] = "198.51.100.86"
        text = one_api("https://held.seen.test", intercept="true", ca=authority.ca)
        one = keystile(text, {"api": secret}, {"limits": "{{ " + limits + " }}"}, network=network)
        held = [inside(one, "held.seen.test") for _ in range(count)]
        for tls in held:
            tls.step(tls.session.write, b"GET /x HTTP/1.1\r\nHost: held.seen.test\r\n\r\n")
            tls.stream.sock.recv(1, socket.MSG_PEEK)
        return one, held

    return begin


def test_a_client_that_does_not_read_is_cut(hold):
    """Not ended: what it reads later is no whole response."""
    one, (tls,) = hold("response_idle: 3s", 1)
    one.audit(1, event="end", way="intercept", verdict="fail", reason="stalled")
    with pytest.raises((Closed, ssl.SSLError, ConnectionError)):
        while tls.step(tls.session.read, 65536):
            pass


@pytest.mark.parametrize("limit", ["connections", "profile_connections"])
def test_a_client_that_does_not_read_counts(hold, limit):
    """Once, as long as its connection is there."""
    one, held = hold(f"{limit}: 2", 2)

    def status():
        with one.client() as client:
            client.send(connect("held.seen.test:443", one.proxy_token()))
            return client.head().status

    assert status() == 503
    for tls in held:
        tls.stream.sock.close()
    wait_for(lambda: status() == 200, "the places to be free again")


UPGRADE = "GET /x HTTP/1.1\r\nHost: cut.seen.test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
SWITCHED = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"


def reset(stream):
    """Within TLS: what was said last is no end."""
    stream.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.sock.close()


@pytest.fixture
def cut(keystile, network, origin, authority, secret):
    """cut(SCRIPT) gives a TLS session with proxyd, in front of an origin that runs it."""

    def start(script):
        network.names.addresses["cut.seen.test"] = "198.51.100.88"
        origin(script, host="198.51.100.88", port=443, network=network, context=authority.server_context("cut", ["DNS:cut.seen.test"]))
        one = keystile(one_api("https://cut.seen.test", intercept="true", ca=authority.ca), {"api": secret}, network=network)
        return inside(one, "cut.seen.test")

    return start


@pytest.mark.parametrize("ask,answer", [
    ("GET /x HTTP/1.0\r\nHost: cut.seen.test\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
    (UPGRADE, SWITCHED + "hello"),
])
def test_what_the_upstream_cuts_has_no_end(cut, ask, answer):
    """Where the end of the connection is the end of what is said, a cut is no close_notify (RFC 8446 6.1)."""

    go = threading.Event()

    def script(connection):
        connection.request()
        connection.send(answer)
        assert go.wait(TIMEOUT)
        reset(connection)

    tls = cut(script)
    tls.step(tls.session.write, ask.encode())
    came = b""
    while not came.endswith(b"hello"):
        came += tls.step(tls.session.read)
    go.set()
    with pytest.raises(Closed):
        tls.step(tls.session.read)


def test_what_the_client_cuts_has_no_end(cut):
    """The same towards the upstream, behind a 101."""
    heard, seen = threading.Event(), []

    def script(connection):
        connection.request()
        connection.send(SWITCHED)
        connection.until(b"hello")
        heard.set()
        connection.sock.suppress_ragged_eofs = False
        try:
            seen.append(connection.sock.recv(1))
        except OSError as error:
            seen.append(error)

    tls = cut(script)
    tls.step(tls.session.write, UPGRADE.encode())
    assert b" 101 " in tls.step(tls.session.read)
    tls.step(tls.session.write, b"hello")
    assert heard.wait(TIMEOUT)
    reset(tls.stream)
    wait_for(lambda: seen, "the upstream to be told")
    assert isinstance(seen[0], OSError), seen
