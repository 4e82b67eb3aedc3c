"""CONNECT up to its answer: who may, whereto, and what is told to whom may not (SPEC §3, §4, §7, §8, §12)."""

import itertools
import os
import select
import signal

import pytest

from conftest import TUNNEL
from peers import sanitizers
from peers.config import basic, problem
from peers.keystile import wait_for
from peers.tunnel import connect, open_tunnel
from peers.wire import Client


def refused(proxy, authority, status, token=None, *fields):
    """The problem that answers such a CONNECT, as one text."""
    with proxy.client() as client:
        told = problem(client.ask(connect(authority, token or proxy.proxy_token(), *fields)), status)
    return told["detail"] + "; " + told.get("hint", "")


def talks(client, text=b"\1hello"):
    """Do bytes come back from the echo?"""
    client.send(text)
    return client.exactly(len(text)) == text


# Who may


def shown(proxy, what):
    return {
        "nothing": [],
        "a wrong token": [f"Proxy-Authorization: {basic('agent', '0' * 43)}"],
        "an empty password": [f"Proxy-Authorization: {basic('agent', '')}"],
        "no Base64": ["Proxy-Authorization: Basic !!!"],
        "another scheme": ["Proxy-Authorization: Digest username=agent"],
        "a credential's token": [f"Proxy-Authorization: {basic('agent', proxy.token())}"],
        "Authorization alone": [f"Authorization: {basic('agent', proxy.proxy_token())}"],
        "the token of a changed key": [f"Proxy-Authorization: {basic('agent', proxy.proxy_token()[:-1] + '!')}"],
    }[what]


WRONG = ("nothing", "a wrong token", "an empty password", "no Base64", "another scheme", "a credential's token", "Authorization alone",
         "the token of a changed key")


@pytest.mark.parametrize("what", WRONG)
def test_407(tunnelled, what):
    """It is answered before anything else is told, and the connection stays for the next try."""
    proxy, server = tunnelled()
    with proxy.client() as client:
        for authority in ("tun.test:9999", "elsewhere.example:443", "api.cred.test:443"):
            response = client.ask(connect(authority, None, *shown(proxy, what)))
            problem(response, 407)
            assert response.get("Proxy-Authenticate") == 'Basic realm="keystile"'
            assert "close" not in response.get("Connection", "").lower()
        assert server.connections == []
        client.send(connect("tun.test:9999", proxy.proxy_token()))
        assert client.head().status == 200
        assert talks(client)
    assert len(proxy.audit(3, way="connect", status=407, verdict="deny")) == 3


@pytest.mark.parametrize("scheme,user", [("Basic", "agent"), ("basic", "agent"), ("BASIC", "anybody"), ("Basic", "")])
def test_token(tunnelled, scheme, user):
    """A scheme has no case (RFC 9110 11.1), and the token alone says who it is."""
    proxy, _ = tunnelled()
    field = f"Proxy-Authorization: {basic(user, proxy.proxy_token())}".replace("Basic", scheme)
    with open_tunnel(proxy, "tun.test:9999", None, b"", field) as client:
        assert talks(client)


def test_407_then_in_one_write(tunnelled):
    proxy, _ = tunnelled()
    with proxy.client() as client:
        client.send(connect("tun.test:9999") + connect("tun.test:9999", proxy.proxy_token()) + b"\1early")
        problem(client.response(), 407)
        assert client.head().status == 200
        assert client.exactly(6) == b"\1early"


def test_another_profiles_token(tunnelled):
    """Whose token it is decides what is allowed, whatever user stands before it."""
    proxy, _ = tunnelled(more="  other:\n    hosts: []\n")
    text = refused(proxy, "tun.test:9999", 403, proxy.proxy_token("other"))
    assert "tun.test" in text and "other" in text


NONE = {"plain": ([], 200), "a browser's origin": (["Origin: https://evil.example"], 403), "null origin": (["Origin: null"], 403),
        "cross-site": (["Sec-Fetch-Site: cross-site"], 403), "not from a page": (["Sec-Fetch-Site: none"], 200),
        "a token that nobody wants": (["Proxy-Authorization: Basic YTpi"], 200)}


@pytest.mark.parametrize("fields,status", NONE.values(), ids=NONE)
def test_session_none(tunnelled, fields, status):
    proxy, server = tunnelled(head={"session": "none"})
    with proxy.client() as client:
        client.send(connect("tun.test:9999", None, *fields))
        response = client.head()
        assert response.status == status, response
        assert status != 200 or talks(client)
    assert len(server.connections) == (status == 200)


# What a head may be


@pytest.mark.parametrize("version,fields", [("1.0", []), ("1.0", ["Host: tun.test:9999"]), ("1.1", ["Host: tun.test:9999"])])
def test_versions(tunnelled, version, fields):
    """HTTP/1.0 has CONNECT by custom, and needs no Host."""
    proxy, _ = tunnelled()
    lines = [f"CONNECT tun.test:9999 HTTP/{version}", *fields, f"Proxy-Authorization: {basic('agent', proxy.proxy_token())}"]
    with proxy.client() as client:
        client.send("\r\n".join(lines) + "\r\n\r\n")
        response = client.head()
        assert response.status == 200 and response.line.startswith("HTTP/1.1 200")
        assert talks(client)


CONTENT = {"a length": ["Content-Length: 5"], "a coding": ["Transfer-Encoding: chunked"],
           "both": ["Content-Length: 5", "Transfer-Encoding: chunked"], "two lengths": ["Content-Length: 0", "Content-Length: 5"]}


@pytest.mark.parametrize("fields", CONTENT.values(), ids=CONTENT)
def test_content_is_refused(tunnelled, fields):
    """It has no meaning (RFC 9110 9.3.6): two parties could disagree where the tunnel begins."""
    proxy, server = tunnelled()
    with proxy.client() as client:
        client.send(connect("tun.test:9999", proxy.proxy_token(), *fields) + b"5\r\nhello\r\n0\r\n\r\n")
        problem(client.response(), 400)
    assert server.connections == []


def test_content_of_no_bytes(tunnelled):
    proxy, _ = tunnelled()
    with open_tunnel(proxy, "tun.test:9999", proxy.proxy_token(), b"", "Content-Length: 0") as client:
        assert talks(client)


HEADS = {
    "small letters": ("connect tun.test:9999 HTTP/1.1\r\nHost: h\r\n{auth}\r\n", 400),
    "no Host": ("CONNECT tun.test:9999 HTTP/1.1\r\n{auth}\r\n", 400),
    "two Hosts": ("CONNECT tun.test:9999 HTTP/1.1\r\nHost: tun.test:9999\r\nHost: tun.test:9999\r\n{auth}\r\n", 400),
    "no version": ("CONNECT tun.test:9999\r\nHost: h\r\n{auth}\r\n", 400),
    "bare LF": ("CONNECT tun.test:9999 HTTP/1.1\nHost: h\n{auth}\n", 400),
    "fold": ("CONNECT tun.test:9999 HTTP/1.1\r\nHost: h\r\nX-A: b\r\n c\r\n{auth}\r\n", 400),
    "head too large": ("CONNECT tun.test:9999 HTTP/1.1\r\nHost: h\r\nX-A: " + "a" * 30000 + "\r\n{auth}\r\n", 431),
    "too many fields": ("CONNECT tun.test:9999 HTTP/1.1\r\nHost: h\r\n" + "X-A: b\r\n" * 150 + "{auth}\r\n", 431),
}


@pytest.mark.parametrize("sent,status", HEADS.values(), ids=HEADS)
def test_malformed_heads(tunnelled, sent, status):
    proxy, server = tunnelled()
    with proxy.client() as client:
        problem(client.ask(sent.format(auth=f"Proxy-Authorization: {basic('agent', proxy.proxy_token())}\r\n")), status)
    assert server.connections == []


# Whereto


def test_host_that_is_not_allowed(tunnelled):
    proxy, _ = tunnelled()
    text = refused(proxy, "elsewhere.example:443", 403)
    assert "elsewhere.example" in text and "agent" in text, text
    (line,) = proxy.audit(1, way="connect", verdict="deny")
    assert {key: line[key] for key in ("event", "profile", "method", "host", "port", "status")} == {
        "event": "end", "profile": "agent", "method": "CONNECT", "host": "elsewhere.example", "port": 443, "status": 403}


@pytest.mark.parametrize("authority", ["203.0.113.5:443", "[2001:db8:5::5]:80", "[::ffff:203.0.113.5]:443"])
def test_address_that_is_not_allowed(tunnelled, authority):
    """A client that resolves names itself shows addresses, for which no entry was written."""
    proxy, _ = tunnelled()
    text = refused(proxy, authority, 403)
    assert "agent" in text and "resolve" in text, text


@pytest.mark.parametrize("authority", ["tun.test:8443", "localhost:3000"])
def test_host_that_no_proxy_has(tunnelled, authority):
    """It is in the NO_PROXY that envgen writes, so an obedient client would not be here."""
    proxy, _ = tunnelled()
    text = refused(proxy, authority, 403)
    assert "NO_PROXY" in text, text
    assert "NO_PROXY" not in refused(proxy, "elsewhere.example:443", 403)


DENIED = '["*.test", "*.test:9999", "!tun.test:9999", "!*.bad.test", "198.51.100.0/24", "!198.51.100.80"]'


@pytest.mark.parametrize("authority", ["tun.test:9999", "TUN.test.:9999", "a.bad.test:443", "198.51.100.80:80", "other.test:22"])
def test_denied_host(tunnelled, authority):
    proxy, server = tunnelled(hosts=DENIED)
    refused(proxy, authority, 403)
    assert server.connections == []


def test_port_that_the_entry_names(tunnelled):
    proxy, _ = tunnelled(hosts='["tun.test:9999"]')
    refused(proxy, "tun.test:443", 403)
    refused(proxy, "tun.test:80", 403)
    with open_tunnel(proxy, "tun.test:9999", proxy.proxy_token()) as client:
        assert talks(client)


@pytest.mark.parametrize("hosts,authority", [
    ('["*.test:9999"]', "tun.test:9999"), ('["198.51.100.80:9999"]', "198.51.100.80:9999"),
    ('["198.51.100.80:9999"]', "[::ffff:198.51.100.80]:9999"), ('["tun.test:9999"]', "TUN.Test.:9999"),
])
def test_entries(tunnelled, hosts, authority):
    proxy, _ = tunnelled(hosts=hosts)
    with open_tunnel(proxy, authority, proxy.proxy_token()) as client:
        assert talks(client)


def test_ipv6(tunnelled):
    proxy, _ = tunnelled(hosts='["[2001:db8::1]:9999"]', host="2001:db8::1")
    with open_tunnel(proxy, "[2001:DB8:0::1]:9999", proxy.proxy_token()) as client:
        assert talks(client)


def test_international_name(tunnelled, network):
    network.names.addresses["xn--mller-kva.test"] = TUNNEL
    proxy, _ = tunnelled(hosts='["müller.test:9999"]')
    for authority in ("xn--mller-kva.test:9999", "MÜLLER.test.:9999"):
        with proxy.client() as client:
            client.send(connect(authority, proxy.proxy_token(), host="h"))
            assert client.head().status == 200
            assert talks(client)


# Failures before any 200


def test_unknown_name(tunnelled):
    proxy, _ = tunnelled(hosts='["nosuch.test"]')
    assert "nosuch.test" in refused(proxy, "nosuch.test:443", 502)
    assert proxy.audit(1, way="connect", verdict="fail", status=502, host="nosuch.test")


def test_nobody_listens(tunnelled):
    proxy, _ = tunnelled()
    assert "tun.test" in refused(proxy, "tun.test:443", 502)
    assert proxy.audit(1, way="connect", verdict="fail", status=502, host="tun.test", port=443)


@pytest.fixture
def unaccepting(network):
    """At tun.test:8443 listens one whose backlog is full: it lets nobody in."""
    sockets = [network.socket()]
    sockets[0].bind((TUNNEL, 8443))
    sockets[0].listen(0)
    while len(sockets) == 1 or select.select([], sockets[-1:], [], 0.1)[1]:  # the last one got in
        sockets.append(network.socket())
        sockets[-1].setblocking(False)
        sockets[-1].connect_ex((TUNNEL, 8443))
    yield
    for sock in sockets:
        sock.close()


def test_nobody_accepts(tunnelled, unaccepting):
    proxy, _ = tunnelled(hosts='["tun.test:8443"]', head={"limits": "{{ connect: 1s }}"})
    refused(proxy, "tun.test:8443", 504)
    assert proxy.audit(1, way="connect", verdict="fail", status=504)


def test_name_server_that_is_silent(tunnelled, network):
    network.names.otherwise, before = None, network.names.otherwise
    try:
        proxy, _ = tunnelled(hosts='["silent.test"]', head={"limits": "{{ connect: 1s }}"})
        assert "silent.test" in refused(proxy, "silent.test:443", 504)
    finally:
        network.names.otherwise = before


ADDRESSES = ["127.0.0.1", "127.9.9.9", "0.0.0.0", "169.254.169.254", "169.254.1.1", "100.100.100.200", "168.63.129.16", "224.0.0.1",
             "240.0.0.1", "255.255.255.255", "10.0.0.1", "172.16.0.1", "192.168.0.1", "::1", "::", "fe80::1", "ff02::1",
             "fd00:ec2::254", "fd12::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "2002:7f00:1::1", "64:ff9b::7f00:1",
             "64:ff9b::a9fe:a9fe"]


@pytest.mark.parametrize("address", ADDRESSES)
def test_name_that_leads_inside(tunnelled, network, address):
    """An entry with a wildcard names no address; what its names resolve to is looked at, and not dialled."""
    network.names.addresses["inner.test"] = address
    proxy, server = tunnelled(hosts='["*.test", "*.test:9999"]', host="127.0.0.1")
    for authority in ("inner.test:9999", "inner.test:443"):
        text = refused(proxy, authority, 403)
        assert "inner.test" in text, text
    assert server.connections == []
    assert len(proxy.audit(2, way="connect", verdict="deny", status=403, host="inner.test")) == 2


def test_private_address_of_an_exact_entry(tunnelled, network):
    """Private ranges are for entries without a wildcard; there is no such machine here."""
    network.names.addresses["inner.test"] = "10.0.0.1"
    proxy, _ = tunnelled(hosts='["inner.test:9999"]', head={"limits": "{{ connect: 1s }}"})
    with proxy.client() as client:
        assert client.ask(connect("inner.test:9999", proxy.proxy_token())).status in (502, 504)


def test_address_that_an_entry_names(tunnelled, network):
    network.names.addresses["inner.test"] = "127.0.0.1"
    proxy, _ = tunnelled(hosts='["inner.test:9999", "127.0.0.1:9999"]', host="127.0.0.1")
    for authority in ("127.0.0.1:9999", "[::ffff:127.0.0.1]:9999", "inner.test:9999"):
        with open_tunnel(proxy, authority, proxy.proxy_token()) as client:
            assert talks(client)


def test_own_listeners(tunnelled, network):
    """Neither the proxy nor the admin listener is ever dialled, by whatever name."""
    network.names.addresses["inner.test"] = "127.0.0.1"
    ports = "{port}", "{admin_port}"
    names = [f'"{host}:{port}"' for host, port in itertools.product(("127.0.0.1", "localhost", "inner.test"), ports)]
    head = {"limits": "{{ idle: 60s }}\nprofiles:\n  agent: {{ hosts: [" + ", ".join(names) + "] }}"}
    proxy, _ = tunnelled(head=head, config="credentials: {}\n")
    for host, port in itertools.product(("127.0.0.1", "localhost", "inner.test", "[::ffff:127.0.0.1]"), (proxy.port, proxy.admin_port)):
        refused(proxy, f"{host}:{port}", 403)


def test_no_audit_no_tunnel(tunnelled):
    proxy, server = tunnelled(head={"audit": "{{ file: /dev/full, required: true }}"})
    refused(proxy, "tun.test:9999", 503)
    assert server.connections == []


# Connections


def test_too_many(tunnelled):
    proxy, _ = tunnelled(head={"limits": "{{ connections: 2 }}"})
    token = proxy.proxy_token()
    with open_tunnel(proxy, "tun.test:9999", token) as first, open_tunnel(proxy, "tun.test:9999", token):
        refused(proxy, "tun.test:9999", 503)
        assert talks(first)
    wait_for(lambda: proxy.ask(connect("elsewhere.example:443", token)).status == 403, "the places of closed tunnels")


def test_too_many_of_a_profile(tunnelled):
    proxy, _ = tunnelled(head={"limits": "{{ profile_connections: 2 }}"}, more="  other:\n    hosts: ['tun.test:9999']\n")
    token = proxy.proxy_token()
    with open_tunnel(proxy, "tun.test:9999", token), open_tunnel(proxy, "tun.test:9999", token):
        text = refused(proxy, "tun.test:9999", 503)
        assert "agent" in text and "profile_connections" in text, text
        with open_tunnel(proxy, "tun.test:9999", proxy.proxy_token("other")) as client:
            assert talks(client)

    def is_free():
        with proxy.client() as client:
            client.send(connect("tun.test:9999", token))
            return client.head().status == 200

    wait_for(is_free, "the places of closed tunnels")


def test_who_leaves_while_it_is_dialled(tunnelled, network):
    """Whoever has gone holds no place, and nobody is connected for it in the end."""
    names = [f"left-{number}.test" for number in range(6)]  # one each: of one name, two questions come for each look-up
    network.names.otherwise, before = None, network.names.otherwise
    try:
        proxy, server = tunnelled(hosts=f"[{', '.join(names)}]", head={"limits": "{{ connections: 4, connect: 5s }}"})
        token = proxy.proxy_token()
        for name in names:
            with proxy.client() as client:
                client.send(connect(f"{name}:443", token))
                wait_for(lambda: name in network.names.asked, "the look-up")
                client.reset()
        wait_for(lambda: proxy.ask(connect("elsewhere.example:443", token)).status == 403, "a place")
    finally:
        network.names.otherwise = before
    assert proxy.audit(6, way="connect", reason="client_gone")
    assert server.connections == []


def test_drains_at_sigterm(tunnelled):
    """Nobody new gets in, an open tunnel goes on, and its end is proxyd's."""
    proxy, _ = tunnelled()
    with open_tunnel(proxy, "tun.test:9999", proxy.proxy_token()) as client:
        proxy.process.send_signal(signal.SIGTERM)

        def late():
            try:
                proxy.client("late client").close()
                return False
            except OSError:
                return True

        wait_for(late, "the listener to close")
        assert talks(client), "the tunnel is still there"
    assert proxy.stop() == 0


def dialling_at_sigterm(proxy, client):
    client.send(connect("tun.test:8443", proxy.proxy_token()))
    proxy.audit(1, event="start", way="connect")
    proxy.process.send_signal(signal.SIGTERM)
    return client.response()


def test_drain_waits_for_a_dial(tunnelled, unaccepting):
    proxy, _ = tunnelled(hosts='["tun.test:8443"]', head={"limits": "{{ connect: 1s }}"})
    with proxy.client() as client:
        problem(dialling_at_sigterm(proxy, client), 504)
    assert proxy.stop() == 0


STRACE = pytest.mark.skipif(sanitizers.in_use() or os.geteuid() != 0, reason="strace attaches to proxyd, which only root may")


@pytest.mark.parametrize("how", ["hurry", pytest.param("end_of_the_drain", marks=STRACE)])
def test_a_dial_at_the_end_of_the_drain(tunnelled, unaccepting, how):
    """No answer would leave the client to wonder. What the drain waits with is told at once that its time is over."""
    proxy, _ = tunnelled(hosts='["tun.test:8443"]', head={"limits": "{{ connect: 60s }}"})
    with proxy.client() as client, proxy.client("silent client") as silent:
        client.send(connect("tun.test:8443", proxy.proxy_token()))
        proxy.audit(1, event="start", way="connect")
        proxy.process.send_signal(signal.SIGTERM)
        assert silent.rest() == b"", "it is closed, so the drain has begun"
        assert getattr(proxy, how)() == 0
        told = problem(client.response(), 503)
        assert client.rest() == b"" and "again" in told["hint"], told
    assert proxy.audit(1, event="end", way="connect", verdict="fail", reason="shutdown", status=503)


def test_unix_listener(tunnelled, tmp_path):
    path = tmp_path / "p.sock"
    proxy, _ = tunnelled(head={"listen": f'["127.0.0.1:{{port}}", "unix:{path}"]'})
    with Client(str(path)) as client:
        client.send(connect("tun.test:9999", proxy.proxy_token()))
        assert client.head().status == 200
        assert talks(client)


def test_many_at_once(tunnelled):
    """Two workers, and tunnels that each get back their own bytes."""
    proxy, server = tunnelled(head={"workers": "2"})
    token = proxy.proxy_token()
    clients = [open_tunnel(proxy, "tun.test:9999", token, who=f"client {number}") for number in range(60)]
    for turn in range(3):
        for number, client in enumerate(clients):
            client.send(b"\1%d/%d" % (number, turn))
    for number, client in enumerate(clients):
        assert client.exactly(3 * len(b"\1%d/0" % number)) == b"".join(b"\1%d/%d" % (number, turn) for turn in range(3))
        client.close()
    assert len(server.connections) == 60
    assert len(proxy.audit(60, event="end", way="connect", verdict="allow")) == 60


def test_nothing_is_told_of_the_token(tunnelled):
    proxy, _ = tunnelled()
    token = proxy.proxy_token()
    with open_tunnel(proxy, "tun.test:9999", token) as client:
        assert talks(client)
    refused(proxy, "elsewhere.example:443", 403, token)
    proxy.audit(2, event="end")
    told = (proxy.folder / "audit.jsonl").read_text() + proxy.log()
    assert token not in told and basic("agent", token) not in told


def test_a_server_that_ends_at_once(tunnelled):
    proxy, _ = tunnelled(script=lambda connection: connection.reset())
    with proxy.client() as client:
        client.send(connect("tun.test:9999", proxy.proxy_token()))
        response = client.head()
        assert response.status in (200, 502), response
        assert response.status == 502 or client.rest() == b""
