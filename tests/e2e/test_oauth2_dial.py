"""Where token requests go (SPEC §7): addresses that a name may not lead to, our own listeners, a parent proxy, and TLS that must
verify."""

import socket

import pytest

from peers import evidence
from peers.authority import Authority
from peers.config import get
from peers.keystile import free_port, wait_for
from peers.minting import config_of, credential, not_ready, oauth2, secrets_of, waiting
from peers.parents import head_of, through_to
from peers.token_server import Api, TokenServer

METADATA = "169.254.169.254"
PRIVATE = "10.9.9.9"
PUBLIC = "198.51.100.120"


@pytest.fixture
def placed(minting, serving, network):
    """placed(ADDRESS, URL's host, NAMES) gives proxyd, and its token server at that address of a network of its own, port 80."""
    added = []

    def start(address, host, names=(), api_host="198.51.100.121", **more):
        network.names.addresses.update(dict(names))
        if network.run("ip", "addr", "add", f"{address}/32", "dev", "lo").returncode == 0:
            added.append(address)
        server = serving(TokenServer, host=address, port=80, network=network)
        api = serving(Api, server.store.find, host=api_host, port=80, network=network)
        network.names.addresses["api.dial.test"] = api_host
        return minting(server=server, api=api, upstream="http://api.dial.test", token_url=f"http://{host}/token", network=network, **more)

    yield start
    for address in added:
        network.run("ip", "addr", "del", f"{address}/32", "dev", "lo")


REFUSED = {
    "loopback": ("127.0.0.1", {"auth.dial.test": "127.0.0.1"}),
    "another loopback": ("127.7.7.7", {"auth.dial.test": "127.7.7.7"}),
    "metadata": (METADATA, {"auth.dial.test": METADATA}),
    "link-local": ("169.254.7.7", {"auth.dial.test": "169.254.7.7"}),
    "of another cloud": ("100.100.100.200", {"auth.dial.test": "100.100.100.200"}),
    "unspecified": ("127.0.0.1", {"auth.dial.test": "0.0.0.0"}),
    "all of several": (METADATA, {"auth.dial.test": [METADATA, "127.0.0.1"]}),
}


@pytest.mark.parametrize("where", REFUSED)
def test_refused(placed, where):
    """A name leads there: nothing is dialled, and the words say why."""
    address, names = REFUSED[where]
    one = placed(address, "auth.dial.test", names)
    detail = not_ready(one.ask())
    assert "auth.dial.test" in detail or "169.254" in detail or "address" in detail, detail
    assert one.server.requests == one.api.requests == []
    assert waiting(one.proxy)["api"]


REACHED = {
    "public": (PUBLIC, "auth.dial.test", {"auth.dial.test": PUBLIC}),
    "private by its exact name": (PRIVATE, "auth.dial.test", {"auth.dial.test": PRIVATE}),
    "the loopback literal": ("127.0.0.1", "127.0.0.1", {}),
    "localhost": ("127.0.0.1", "localhost", {"localhost": "127.0.0.1"}),
    "a private literal": (PRIVATE, PRIVATE, {}),
    "a literal public address": (PUBLIC, PUBLIC, {}),
}


@pytest.mark.parametrize("where", REACHED)
def test_reached(placed, where):
    """What token_url names exactly, it may reach."""
    address, host, names = REACHED[where]
    one = placed(address, host, names)
    response = one.ask()
    assert response.status == 200, response
    assert one.server.requests[0].get("Host") == host


def test_a_name_that_moves(placed, network):
    """It was good once; the next time it leads to the metadata address."""
    one = placed(PUBLIC, "moves.dial.test", {"moves.dial.test": PUBLIC})
    assert one.ask().status == 200
    network.names.addresses["moves.dial.test"] = METADATA
    wait_for(lambda: (one.store.revoke(), one.ask())[1].status == 503, "the end of what is known of the name")
    count = len(one.server.requests)
    assert METADATA in not_ready(one.ask())
    assert len(one.server.requests) == count


def test_no_such_name(placed):
    one = placed(PUBLIC, "nosuch.dial.test", {"nosuch.dial.test": None})
    assert "nosuch.dial.test" in not_ready(one.ask())
    assert one.server.requests == []


@pytest.mark.parametrize("which", ["port", "admin_port"])
def test_our_own_listener(keystile, origin, which):
    """The configuration is refused, or the request; neither listener sees it."""
    api = origin()
    secrets = {name: evidence.secret(name) for name in ("id", "key")}
    proxy = keystile(config_of(credential("api", f"http://127.0.0.1:{api.port}", oauth2("http://127.0.0.1:9/token"), secrets_of("id", "key"))), secrets, start=False)
    proxy.config.write_text(proxy.text.replace(":9/token", f":{getattr(proxy, which)}/token"))
    checked = proxy.check()
    if checked.returncode:
        assert str(getattr(proxy, which)) in checked.err and "listen" in checked.err, checked.err
        return
    proxy.start()
    detail = not_ready(proxy.ask(get("/api/x", proxy.token())))
    assert str(getattr(proxy, which)) in detail
    assert not proxy.audit(path="/token") and api.requests == []
    assert not proxy.audit(method="POST")


# Through a parent proxy


def test_through_the_parent(minting, serving, origin):
    """By name, which the parent alone can resolve; the API is an exception."""
    server = serving(TokenServer)
    parent = origin(through_to(lambda: socket.create_connection(("127.0.0.1", server.port))))
    one = minting(server=server, token_url="http://auth.invalid/token", start=False)
    one.proxy.config.write_text(one.proxy.text + f'parent: {{ proxy: "http://127.0.0.1:{parent.port}", except: ["127.0.0.1:{one.api.port}"] }}\n')
    one.start()
    assert one.ask().status == 200
    (connect,) = parent.requests
    assert (connect.method, connect.target, connect.body) == ("CONNECT", "auth.invalid:80", b"")
    assert evidence.find(str(connect.fields)) == []
    assert server.requests[0].get("Host") == "auth.invalid" and server.requests[0].all("Proxy-Authorization") == []


def test_in_tls_through_the_parent(minting, serving, origin, authority):
    """The parent sees a name, and nothing within."""
    server = serving(TokenServer, context=authority.server_context("auth-invalid", ["DNS:auth.invalid"]))
    parent = origin(through_to(lambda: socket.create_connection(("127.0.0.1", server.port))))
    one = minting(server=server, token_url="https://auth.invalid/token", start=False, env={"SSL_CERT_FILE": str(authority.ca)})
    one.proxy.config.write_text(one.proxy.text + f'parent: {{ proxy: "http://127.0.0.1:{parent.port}", auth: vault:parent, '
                                f'except: ["127.0.0.1:{one.api.port}"] }}\n')
    one.proxy.creds("set", "parent", input=f"corp:{evidence.secret('parent')}")
    one.start()
    assert one.ask().status == 200
    assert parent.requests[0].target == "auth.invalid:443" and parent.requests[0].all("Proxy-Authorization")
    assert server.requests[0].all("Proxy-Authorization") == []


def test_an_exception_of_the_parent(minting, origin):
    """Both are: nothing goes there."""
    parent = origin(head_of)
    one = minting(start=False)
    exceptions = f'["127.0.0.1:{one.api.port}", "127.0.0.1:{one.server.port}"]'
    one.proxy.config.write_text(one.proxy.text + f'parent: {{ proxy: "http://127.0.0.1:{parent.port}", except: {exceptions} }}\n')
    one.start()
    assert one.ask().status == 200
    assert parent.connections == []


def test_the_parent_is_gone(minting):
    one = minting(start=False, token_url="http://auth.invalid/token")
    port = free_port()
    one.proxy.config.write_text(one.proxy.text + f'parent: {{ proxy: "http://127.0.0.1:{port}", except: ["127.0.0.1:{one.api.port}"] }}\n')
    one.start()
    assert f"127.0.0.1:{port}" in not_ready(one.ask())
    assert one.api.requests == []


# TLS


@pytest.fixture
def strangers(tmp_path):
    return Authority(tmp_path / "strangers", "Strangers' CA")


def in_tls(minting, serving, authority, env, **more):
    context = authority.server_context()
    server = serving(TokenServer, context=context)
    api = serving(Api, server.store.find, context=context)
    return minting(server=server, api=api, env=env, **more)


def test_trusted_by_the_systems_roots(minting, serving, authority):
    one = in_tls(minting, serving, authority, {"SSL_CERT_FILE": str(authority.ca)})
    assert one.ask().status == 200


def test_trusted_by_ca(minting, serving, authority, strangers):
    """`ca:` of the credential is for its token server too."""
    one = in_tls(minting, serving, authority, {"SSL_CERT_FILE": str(strangers.ca)}, ca=authority.ca)
    assert one.ask().status == 200


def refused_in_tls(minting, serving, trusted, context):
    """The key is not shown to a server that does not verify."""
    server = serving(TokenServer, context=context)
    one = minting(server=server, env={"SSL_CERT_FILE": str(trusted)})
    detail = not_ready(one.ask())
    assert "certificate" in detail and f"127.0.0.1:{server.port}" in detail, detail
    assert server.requests == one.api.requests == []
    assert "certificate" in waiting(one.proxy)["api"]


def test_not_trusted(minting, serving, authority, strangers):
    refused_in_tls(minting, serving, strangers.ca, authority.server_context())


def test_self_signed(minting, serving, authority):
    refused_in_tls(minting, serving, authority.ca, authority.self_signed())


def test_another_name(minting, serving, authority):
    refused_in_tls(minting, serving, authority.ca, authority.server_context("elsewhere", ["DNS:elsewhere.test"]))


def test_no_tls_where_there_should_be(minting, origin):
    """A server that speaks plainly at the port of https: gets a ClientHello and nothing more."""
    def script(connection):
        connection.receive()
        connection.origin.requests.append(connection.buffer)
        connection.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    plain = origin(script)
    one = minting(token_url=f"https://127.0.0.1:{plain.port}/token")
    not_ready(one.ask())
    assert all(data[:1] == b"\x16" and evidence.find(data) == [] for data in plain.requests)


def test_ours_is_not_trusted(minting, serving, keystile, authority):
    """A certificate of the CA with which proxyd opens its clients' connections: its key is in memory, so one like it is given."""
    own = Authority(authority.folder / "own", "Own CA")
    server = serving(TokenServer, context=own.server_context())
    one = minting(server=server, start=False, env={"SSL_CERT_FILE": str(authority.ca)})
    one.proxy.config.write_text(one.proxy.text + f"tls: {{ ca_cert: {own.ca}, ca_key: {own.folder / 'ca.key'} }}\n")
    one.start()
    assert "certificate" in not_ready(one.ask())
    assert server.requests == []
