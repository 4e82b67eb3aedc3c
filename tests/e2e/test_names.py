"""Names: slow and dead ones delay nobody else (SPEC §3; DESIGN: 32 look-ups for each worker, 8 for each profile), either family of
addresses will do, and a name that moves is followed."""

import json
import socket
import time

import pytest

from peers import evidence, names
from peers.config import basic, get, one_api
from peers.keystile import wait_for
from peers.network import V6
from peers.tunnel import echo, open_tunnel
from peers.wire import Origin

A, B = "198.51.100.94", "198.51.100.95"
HOSTS = '[six.test, "six.test:9999", both.test, moved.test]'


def test_dead_names_delay_nobody_else(tmp_path):
    """Four profiles ask for dead names without end; a fifth has its good names and addresses as fast as without them."""
    if not names.can_enter():
        pytest.skip("namespaces cannot be made here")
    result = json.loads(names.enter("names_under_load", str(tmp_path)))
    for kind, quiet in result["quiet"].items():
        noisy = result["noisy"][kind]
        assert noisy < max(10 * quiet, 100), f"{kind}: p99 {noisy:.1f} ms, {quiet:.1f} ms without dead names"
    assert result["answers"].get("504"), result["answers"]
    assert set(result["reasons"]) <= {"", "connect_timeout", "client_gone", "dns"}, result["reasons"]
    assert result["threads"] < 200, f"{result['threads']} threads for look-ups"
    assert result["status"] == 0


@pytest.fixture
def server(network):
    """server(ADDRESS, BODY) serves one request for each connection, at port 80 unless a script comes with another one."""
    made = []

    def once(body):
        def script(connection):
            connection.request()
            connection.answer("200 OK", body, "Connection: close")

        return script

    def make(address, body="ok", script=None, port=80):
        made.append(Origin(script or once(body), host=address, port=port, network=network))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def proxy(keystile, network):
    return keystile(one_api("http://api.test", hosts=HOSTS), {"api": evidence.secret("names")}, network=network)


@pytest.fixture
def ask(proxy):
    """ask(NAME) gives what came from there, by a connection of its own."""
    field = f"Proxy-Authorization: {basic('agent', proxy.proxy_token())}"
    return lambda name: proxy.ask(get(f"http://{name}/", None, field, host=name))


def has_ipv6(network):
    try:
        with network.socket(socket.AF_INET6) as sock:
            sock.bind((V6, 0))
        return True
    except OSError:
        return False


@pytest.fixture
def ipv6(network):
    if not has_ipv6(network):
        pytest.skip("this kernel has no IPv6")


def test_ipv6_alone(network, ipv6, server, proxy, ask):
    network.names.addresses["six.test"] = V6
    server(V6, "six")
    server(V6, script=echo, port=9999)
    assert ask("six.test").text == "six"
    with open_tunnel(proxy, "six.test:9999", proxy.proxy_token()) as client:
        client.send(b"\1hello")
        assert client.exactly(6) == b"\1hello"


@pytest.fixture
def silent(network):
    """silent(ADDRESS) takes no connection at port 80 there and refuses none: its queue is full, and SYNs go unanswered."""
    made = []

    def make(address):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listener = network.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, 80))
        listener.listen(0)
        made.append(listener)
        for _ in range(4):
            made.append(network.socket(family))
            made[-1].setblocking(False)
            made[-1].connect_ex((address, 80))

    yield make
    for sock in made:
        sock.close()


@pytest.mark.parametrize("how", ["silent", "refused"])
@pytest.mark.parametrize("dead,living", [(V6, A), (A, V6)], ids=["IPv6 is dead", "IPv4 is dead"])
def test_one_family_is_dead(network, ipv6, server, silent, ask, how, dead, living):
    """Happy eyeballs (RFC 8305): the other one serves within 300 ms, from the request to the whole response."""
    network.names.addresses["both.test"] = [V6, A]
    server(living, "alive")
    if how == "silent":
        silent(dead)
    took = []
    for _ in range(5):
        begun = time.monotonic()
        assert ask("both.test").text == "alive"
        took.append(time.monotonic() - begun)
    assert min(took) < 0.3, took
    if how == "silent" and dead == V6:
        assert min(took) > 0.1, f"the silent one should have been tried first: {took}"


def test_name_that_moves(network, server, proxy, ask):
    """The next connections follow it, without a restart; and where it moves to must be allowed like any other address."""
    network.names.addresses["moved.test"] = A
    server(A, "here")
    server(B, "there")
    inside = server("127.0.0.1", "inside")
    assert ask("moved.test").text == "here"
    network.names.addresses["moved.test"] = B
    wait_for(lambda: ask("moved.test").text == "there", "moved.test to be followed")
    network.names.addresses["moved.test"] = "127.0.0.1"
    wait_for(lambda: ask("moved.test").status == 403, "moved.test to be refused")
    assert proxy.audit(1, host="moved.test", verdict="deny", reason="address_refused")
    assert inside.connections == []
