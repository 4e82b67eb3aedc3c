"""Whatever a client makes of a credential host's name, its traffic is judged or refused (SPEC §2, §3, §4). Every name leads to
servers that note who comes: nobody may."""

import json
import random

import pytest

from conftest import SINK
from peers import evidence, tunnel
from peers.config import basic, problem
from peers.keystile import Keystile
from peers.spellings import ABSOLUTE, ENDPOINT, MALFORMED, ROWS, WILDCARD
from peers.tunnel import connect, open_tunnel, refused_inside
from peers.wire import Closed, Origin

FREE, FRONT = "198.51.100.71", "198.51.100.72"
RULES = '["allow GET /ok/**"]'
UPSTREAMS = {
    "api": "https://api.cred.test", "odd": "http://odd.cred.test:8080", "wild": "https://*.wild.test", "idn": "https://bücher.test",
    "addr": "https://198.51.100.70", "six": "https://[2001:db8::1]",
}
WIDE = '["*.test", "0.0.0.0/0", "::/0", "free.test:9999"]'
CONFIG = "credentials:\n" + "".join(
    f"  {name}:\n    upstream: '{url}'\n    secret: vault:api\n    rules: {RULES}\n"
    "    inject: { header: Authorization, value: 'Bearer {secret}' }\n"
    + (f"    env: {{ base_url: {name.upper()}_URL, token: {name.upper()}_TOKEN }}\n" if name != "wild" else "")
    for name, url in UPSTREAMS.items()
) + (
    "profiles:\n"
    f"  holder: {{ hosts: {WIDE}, credentials: [{', '.join(UPSTREAMS)}] }}\n"
    f"  stranger: {{ hosts: {WIDE} }}\n"
    "  narrow: { hosts: [free.test] }\n"
    "  hunter: { hosts: [free.test, 'free.test:9999'], credentials: [api] }\n"
)
PROFILES = ("holder", "stranger", "narrow", "hunter")


class Party:
    """Keystile, its tokens, and the servers at every address that a spelling could lead to."""

    def __init__(self, folder, network):
        network.names.addresses.update({"free.test": FREE, "front.test": FRONT})
        places = [(SINK, port) for port in (22, 80, 443, 8080, 8443)]
        places += [(address, port) for address in ("198.51.100.70", "2001:db8::1") for port in (80, 443)]
        self.sinks = [Origin(tunnel.swallow, host=host, port=port, network=network) for host, port in places]
        self.free = [Origin(tunnel.swallow, host=FREE, port=port, network=network) for port in (80, 443, 9999)]
        self.front = {80: Origin(host=FRONT, port=80, network=network),
                      443: Origin(tunnel.swallow, host=FRONT, port=443, network=network)}
        self.proxy = Keystile(folder, CONFIG, {"api": evidence.secret("spelled")}, {"limits": "{{ head_time: 5s }}"}, network)
        self.proxy.start()
        self.tokens = {profile: self.proxy.proxy_token(profile) for profile in PROFILES}

    def ask(self, head):
        """What is answered to a head that goes in one write."""
        with self.proxy.client() as client:
            return client.ask(head)

    def reached(self):
        return [(sink.listener.getsockname()[:2], connection.buffer) for sink in self.sinks for connection in sink.connections]

    def close(self):
        assert self.proxy.stop() == 0
        for server in [*self.sinks, *self.free, *self.front.values()]:
            server.close()
            assert not server.errors, server.errors
        assert self.reached() == []


@pytest.fixture(scope="module")
def shared_party(network, tmp_path_factory):
    one = Party(tmp_path_factory.mktemp("spellings"), network)
    yield one
    one.close()


@pytest.fixture
def party(request, shared_party):
    request.node.keystiles = [shared_party.proxy]
    for server in shared_party.front.values():
        server.connections.clear()
        server.requests.clear()
    yield shared_party
    assert shared_party.reached() == [], "somebody came to a credential host"


def neighbour(row):
    """A host like this one, which no entry of profile `narrow` allows and no credential has."""
    port = row.written.rsplit(":", 1)[1]
    if row.credential == "six":
        return f"[2001:db8:9::9]:{port}"
    return f"203.0.113.9:{port}" if row.credential == "addr" else f"elsewhere.example:{port}"


def without(text, *names):
    """The text with what may differ taken out."""
    for name in names:
        text = text.replace(name, "*")
    return text


CANONICAL = {"api": ("api.cred.test",), "odd": ("odd.cred.test",), "idn": ("xn--bcher-kva.test", "bücher.test"),
             "addr": ("198.51.100.70",), "six": ("[2001:db8::1]", "2001:db8::1")}


def judged(party, row, response, profile):
    """Is what came what the row demands?"""
    if row.outcome == MALFORMED:
        told = problem(response, 400)
        assert row.word in told["detail"], told
        return
    told = problem(response, 403)
    text = told["detail"] + told.get("hint", "")
    if row.outcome == ENDPOINT and profile == "holder":
        assert f"http://127.0.0.1:{party.proxy.port}/{row.credential}/" in text, told
        assert f"{row.credential.upper()}_URL" in text, told
    else:
        assert "127.0.0.1" not in text and "_URL" not in text, told
        assert profile in text or (row.outcome == WILDCARD and profile == "holder"), told


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
@pytest.mark.parametrize("profile", ["holder", "stranger"])
def test_connect(party, row, profile):
    response = party.ask(connect(row.bytes, party.tokens[profile], host="h"))
    judged(party, row, response, profile)


@pytest.mark.parametrize("row", [row for row in ROWS if row.outcome == ENDPOINT], ids=lambda row: row.id)
@pytest.mark.parametrize("profile", ["stranger", "narrow"])
def test_who_has_no_such_credential_is_told_nothing_of_it(party, row, profile):
    """The answer is that for any host which is not allowed: the file's other profiles are not this one's business."""
    token = party.tokens[profile]
    asked = problem(party.ask(connect(row.bytes, token, host="h")), 403)
    other = problem(party.ask(connect(neighbour(row), party.tokens["narrow"], host="h")), 403)
    row_names = [*CANONICAL[row.credential], profile]
    other_names = [neighbour(row).rsplit(":", 1)[0], neighbour(row).rsplit(":", 1)[0].strip("[]"), "narrow"]
    assert without(json.dumps(asked, ensure_ascii=False), *row_names) == without(json.dumps(other), *other_names)


@pytest.mark.parametrize("row", ABSOLUTE, ids=lambda row: row.id)
@pytest.mark.parametrize("profile", ["holder", "stranger"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_absolute_form(party, row, profile, scheme):
    """The credential's rules allow nothing of this path, so that who is judged comes nowhere either."""
    target = f"{scheme}://".encode() + row.bytes + b"/secret"
    head = b"GET " + target + b" HTTP/1.1\r\nHost: h\r\nProxy-Authorization: "
    response = party.ask(head + basic("agent", party.tokens[profile]).encode() + b"\r\n\r\n")
    problem(response, 400 if row.outcome == MALFORMED else 403)


SPLIT = [row for row in ROWS if row.id in ("capitals", "trailing dot", "mapped, in hexadecimal", "U-label", "userinfo", "no port")]


@pytest.mark.parametrize("row", SPLIT, ids=lambda row: row.id)
def test_byte_by_byte(party, row):
    with party.proxy.client() as client:
        for byte in connect(row.bytes, party.tokens["holder"], host="h"):
            client.sock.sendall(bytes([byte]))
        judged(party, row, client.response(), "holder")


@pytest.mark.parametrize("row", SPLIT, ids=lambda row: row.id)
def test_behind_a_407(party, row):
    """Both heads in one write."""
    with party.proxy.client() as client:
        client.send(connect(row.bytes, host="h") + connect(row.bytes, party.tokens["holder"], host="h"))
        first = client.response()
        if row.outcome == MALFORMED and first.status == 400:
            return
        problem(first, 407)
        judged(party, row, client.response(), "holder")


BEHIND = {  # what comes first on the connection
    "an own request": "GET /api/secret HTTP/1.1\r\nHost: h\r\n\r\n",
    "an absolute one": "GET http://api.cred.test/secret HTTP/1.1\r\nHost: h\r\nProxy-Authorization: {auth}\r\n\r\n",
    "a body": "POST http://api.cred.test/secret HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nProxy-Authorization: {auth}\r\n\r\nabc",
}


@pytest.mark.parametrize("first", BEHIND.values(), ids=BEHIND)
@pytest.mark.parametrize("together", [False, True], ids=["later", "in one write"])
@pytest.mark.parametrize("host", ["api.cred.test:443", "API.cred.test.:80", "free.test:9999"])
def test_behind_another_request(party, first, together, host):
    """A connection that was for requests is never a tunnel, wherever that would lead."""
    token = party.tokens["holder"]
    first, second = first.format(auth=basic("agent", token)).encode(), connect(host, token)
    with party.proxy.client() as client:
        client.send(first + second * together)
        assert client.response().status in (401, 403)
        if not together:
            client.send(second)
        problem(client.response(), 501)
        assert client.rest() == b"", "the connection closes"


def test_host_field_disagrees(party):
    """The authority is what counts, or nothing is."""
    token = party.tokens["holder"]
    told = problem(party.ask(connect("api.cred.test:443", token, host="free.test:443")), 403)
    assert "API_URL" in told["detail"] + told.get("hint", ""), told
    with party.proxy.client() as client:
        client.send(connect("front.test:80", token, host="api.cred.test:443"))
        response = client.head()
        assert response.status in (200, 400), response
    for fields in (["Host: api.cred.test:443"], ["Host: free.test:443"]):
        problem(party.ask(connect("free.test:443", token, *fields)), 400)  # two of them


# Inside a tunnel to an allowed host: front.test stands for a server that would serve the credential host as well


INSIDE = {
    "Host": "GET /secret HTTP/1.1\r\nHost: api.cred.test\r\n\r\n",
    "Host with a port": "GET /secret HTTP/1.1\r\nHost: api.cred.test:443\r\n\r\n",
    "absolute-form": "GET http://api.cred.test/secret HTTP/1.1\r\nHost: api.cred.test\r\n\r\n",
    "absolute-form and the tunnel's Host": "GET http://api.cred.test/secret HTTP/1.1\r\nHost: front.test\r\n\r\n",
    "absolute-form, https": "GET https://API.cred.test./secret HTTP/1.1\r\nHost: front.test\r\n\r\n",
    "another host": "GET http://free.test/secret HTTP/1.1\r\nHost: free.test\r\n\r\n",
    "two Hosts": "GET /secret HTTP/1.1\r\nHost: front.test\r\nHost: api.cred.test\r\n\r\n",
    "forwarded host": "GET /secret HTTP/1.1\r\nHost: api.cred.test\r\nX-Forwarded-Host: front.test\r\n\r\n",
}


@pytest.mark.parametrize("place", ["first", "second"])
@pytest.mark.parametrize("request_sent", INSIDE.values(), ids=INSIDE)
def test_requests_inside(party, request_sent, place):
    """What the tunnel was opened to stays: a request that names another host goes to no server under that name."""
    with open_tunnel(party.proxy, "front.test:80", party.tokens["holder"]) as client:
        if place == "second":
            assert client.ask("GET /first HTTP/1.1\r\nHost: front.test\r\n\r\n").status == 200
        response = client.ask(request_sent)
    came = [request for request in party.front[80].requests if request.target != "/first"]
    for request in came:
        assert request.all("Host") == ["front.test"] and request.target == "/secret", request
    assert response.status == 200 if came else response.status in (400, 403, 421), response
    if "://" in request_sent:
        assert not came, came


@pytest.mark.parametrize("place", ["first", "second"])
def test_connect_inside(party, place):
    token = party.tokens["holder"]
    with open_tunnel(party.proxy, "front.test:80", token) as client:
        if place == "second":
            assert client.ask("GET /first HTTP/1.1\r\nHost: front.test\r\n\r\n").status == 200
        client.send(connect("api.cred.test:443", token))
        problem(client.response(), 501)
        assert client.rest() == b""


def test_endpoint_inside(party):
    """Within a tunnel `/api/x` is a path of the tunnel's host, whatever credential has that name."""
    with open_tunnel(party.proxy, "front.test:80", party.tokens["holder"]) as client:
        assert client.ask("GET /api/ok/x HTTP/1.1\r\nHost: front.test\r\n\r\n").status == 200
    assert [request.target for request in party.front[80].requests] == ["/api/ok/x"]


ONLY = tunnel.server_name(b"front.test")
OTHER = tunnel.server_name(b"api.cred.test")
ECH = tunnel.extension(0xFE0D, b"\0\0\1\0\1\7" + tunnel.vector(2, b"k" * 32) + tunnel.vector(2, b"p" * 128))
PADDING = tunnel.extension(21, b"\0" * 9000)
SHORT_TAIL = tunnel.records(tunnel.hello(OTHER), 40)
PASSES, CLOSED, EITHER = "passes", "closed", "either"
HELLOS = {  # what a client sends first in a tunnel to front.test:443
    "the host": (tunnel.records(tunnel.hello(ONLY)), PASSES),
    "the host in capitals": (tunnel.records(tunnel.hello(tunnel.server_name(b"FRONT.Test"))), PASSES),
    "the host with a trailing dot": (tunnel.records(tunnel.hello(tunnel.server_name(b"front.test."))), EITHER),
    "the host in small records": (tunnel.records(tunnel.hello(ONLY), 7), PASSES),
    "the host in records of one byte": (tunnel.records(tunnel.hello(ONLY), 1), PASSES),
    "the host behind 9 KB": (tunnel.records(tunnel.hello(PADDING, ONLY)), PASSES),
    "the host, and an encrypted hello": (tunnel.records(tunnel.hello(ONLY, ECH)), EITHER),
    "another": (tunnel.records(tunnel.hello(OTHER)), CLOSED),
    "another in capitals": (tunnel.records(tunnel.hello(tunnel.server_name(b"API.CRED.TEST"))), CLOSED),
    "another with a trailing dot": (tunnel.records(tunnel.hello(tunnel.server_name(b"api.cred.test."))), CLOSED),
    "another, and an encrypted hello": (tunnel.records(tunnel.hello(OTHER, ECH)), CLOSED),
    "another in two records": (tunnel.records(tunnel.hello(OTHER), 60), CLOSED),
    "another in small records": (SHORT_TAIL, CLOSED),
    "another in records of one byte": (tunnel.records(tunnel.hello(OTHER), 1), CLOSED),
    "another behind 9 KB": (tunnel.records(tunnel.hello(PADDING, OTHER)), CLOSED),
    "another, record of SSL 3.0": (tunnel.records(tunnel.hello(OTHER), version=b"\x03\x00"), CLOSED),
    "none": (tunnel.records(tunnel.hello()), CLOSED),
    "none, and an encrypted hello": (tunnel.records(tunnel.hello(ECH)), CLOSED),
    "an empty one": (tunnel.records(tunnel.hello(tunnel.server_name(b""))), CLOSED),
    "an empty list": (tunnel.records(tunnel.hello(tunnel.extension(0, b"\0\0"))), CLOSED),
    "the host, then another": (tunnel.records(tunnel.hello(tunnel.server_name(b"front.test", b"api.cred.test"))), CLOSED),
    "another, then the host": (tunnel.records(tunnel.hello(tunnel.server_name(b"api.cred.test", b"front.test"))), CLOSED),
    "two extensions": (tunnel.records(tunnel.hello(ONLY, OTHER)), CLOSED),
    "two extensions, another first": (tunnel.records(tunnel.hello(OTHER, ONLY)), CLOSED),
    "NUL behind the host": (tunnel.records(tunnel.hello(tunnel.server_name(b"front.test\0.api.cred.test"))), CLOSED),
    "NUL behind another": (tunnel.records(tunnel.hello(tunnel.server_name(b"api.cred.test\0front.test"))), CLOSED),
    "blank behind the host": (tunnel.records(tunnel.hello(tunnel.server_name(b"front.test "))), CLOSED),
    "below the host": (tunnel.records(tunnel.hello(tunnel.server_name(b"a.front.test"))), CLOSED),
    "an address": (tunnel.records(tunnel.hello(tunnel.server_name(b"198.51.100.70"))), CLOSED),
    "host and port": (tunnel.records(tunnel.hello(tunnel.server_name(b"front.test:443"))), CLOSED),
    "a name that ends too late": (tunnel.records(tunnel.hello(tunnel.extension(0, b"\0\x0d\0\0\x40front.test"))), CLOSED),
    "no hello in the record": (tunnel.records(b"\x02" + tunnel.hello(ONLY)[1:]), CLOSED),
    "an empty record first": (b"\x16\x03\x01\0\0" + tunnel.records(tunnel.hello(OTHER)), CLOSED),
    "a record over the limit": (b"\x16\x03\x01\x7f\xff" + b"\1\0\x7f\xfb" + b"a" * 33000, CLOSED),
    "a hello over all limits": (tunnel.records(b"\x01\xff\xff\xff" + b"a" * 60000), CLOSED),
    "another record between": (SHORT_TAIL[:45] + b"\x17\x03\x03\0\1a" + SHORT_TAIL[45:], CLOSED),
}


def send_in(client, sent, size):
    """Sends all of it in pieces, unless the other end has closed before."""
    try:
        for at in range(0, len(sent), size):
            client.sock.sendall(sent[at : at + size])
    except ConnectionError:
        return False
    return True


@pytest.mark.parametrize("sent,outcome", HELLOS.values(), ids=HELLOS)
@pytest.mark.parametrize("how", ["behind the head", "in one write", "in small writes"])
def test_server_name_inside(party, sent, outcome, how):
    """Not one byte reaches the server before the name is known and right; then all do, as they were sent."""
    before = len(party.proxy.audit(way="connect", verdict="deny", host="front.test"))
    behind = sent if how == "behind the head" else b""
    with open_tunnel(party.proxy, "front.test:443", party.tokens["holder"], behind) as client:
        if not behind:
            size = len(sent) if how == "in one write" else 1 + len(sent) // 2000
            assert send_in(client, sent, size) or outcome != PASSES
        if outcome != CLOSED:
            client.end()
        assert refused_inside(client)
    came = b"".join(connection.buffer for connection in party.front[443].connections)
    assert came in {PASSES: (sent,), CLOSED: (b"",), EITHER: (sent, b"")}[outcome]
    if outcome == CLOSED:
        line = party.proxy.audit(before + 1, way="connect", verdict="deny", host="front.test")[-1]
        assert line["port"] == 443 and line["reason"], line


def test_hello_that_never_ends(party):
    """It is nobody's until `head_time`, and then closed."""
    sent = tunnel.records(tunnel.hello(ONLY), 50)
    with open_tunnel(party.proxy, "front.test:443", party.tokens["holder"], sent[:-3]) as client:
        assert refused_inside(client)
    assert not any(connection.buffer for connection in party.front[443].connections)


# A client that tries at random


def mutate(rng, head):
    head = bytearray(head)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        at = rng.randrange(len(head))
        what = rng.randrange(5)
        piece = rng.choice((b"api.cred.test", b"api.cred.test:443", b"free.test", b":", b".", b" ", b"\t", b"\0", b"\r", b"\n", b"@",
                            b"%2e", b"[", b"]", b"/", b"#", b"\xc2\xad", b"\xe3\x80\x82", b"443", b"\r\nHost: free.test",
                            b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", bytes([rng.randrange(256)])))
        if what < 2:
            head[at:at] = piece
        elif what == 2:
            head[at : at + len(piece)] = piece
        elif what == 3:
            del head[at : at + rng.choice((1, 1, 2, 9))]
        else:
            head[at] ^= 1 << rng.randrange(8)
        if not head:
            return b"\r\n\r\n"
    return bytes(head) + b"\r\n\r\n"


@pytest.mark.parametrize("seed", range(8))
def test_heads_at_random(party, seed):
    """Profile `hunter` may reach free.test alone; every other name in this network leads to a server that may see nobody."""
    rng = random.Random(seed)
    for _ in range(60):
        host = rng.choice(("api.cred.test:443", "api.cred.test:80", "API.cred.test.:443", "free.test:443", "free.test:9999"))
        sent = mutate(rng, connect(host, party.tokens["hunter"]))
        with party.proxy.client() as client:
            try:
                client.send(sent + rng.choice((b"", tunnel.records(tunnel.hello(OTHER)), b"GET / HTTP/1.1\r\nHost: api.cred.test\r\n\r\n")))
                client.half_close()
                client.rest()
            except (Closed, OSError):
                pass
        assert party.reached() == [], (seed, sent)
    for server in party.free:
        for connection in server.connections:
            assert b"api.cred.test" not in connection.buffer or server.port == 9999, connection.buffer
        server.connections.clear()
