"""Clients that break the rules of HTTP/2, frame by frame (RFC 9113, RFC 7541): all 147 cases of h2spec (wire/h2.py) and some of ours, each by
prior knowledge and within TLS that we end. Floods are in test_h2_floods.py."""

import pytest

from peers import evidence, sanitizers
from peers.config import one_api
from peers.frames import WAYS, intercepted, told
from peers.keystile import Keystile, wait_for
from peers.tunnel import Tls, open_tunnel
from peers.wire import Origin
from wire.h2 import CASES, OURS
from wire.h2_bytes import GOAWAY, PING, PREFACE, ping


def script(connection):
    while True:
        head = connection.head()
        connection.body(head, until_close=False)
        connection.answer("200 OK", b"" if head.method == "HEAD" else b"x" * 100)


@pytest.fixture(scope="module")
def shared(tmp_path_factory, authority):
    """One proxyd for all rows: what one leaves behind, another would notice."""
    server = Origin(script, context=authority.server_context())
    config = one_api(f"https://localhost:{server.port}", intercept="true", ca=authority.ca)
    one = Keystile(tmp_path_factory.mktemp("hostile"), config, {"api": evidence.secret("hostile")}).start()
    one.intercepts = f"localhost:{server.port}"
    one.tokens = {"api": one.token(), "proxy": one.proxy_token()}
    yield one
    status, found = one.stop(), sanitizers.reports()
    server.close()
    assert (status, server.errors, found) == (0, [], []), one.log()


@pytest.fixture
def proxy(request, shared):
    request.node.keystiles = [shared]
    return shared


def test_all_cases_are_here():
    counts = [sum(row.id.startswith(group) for row in CASES) for group in ("generic/", "http2/", "hpack/")]
    assert counts == [44, 95, 8] and len({row.id for row in CASES}) == 147


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("row", CASES + OURS, ids=[f"{row.id} {row.what}" for row in CASES + OURS])
def test_case(proxy, row, way):
    before = told(proxy, "malformed")
    with WAYS[way](proxy, greet=row.greet) as client:
        client.send(row.sends(client))
        row.outcome(client)
    if hasattr(row.outcome, "audited"):
        wait_for(lambda: told(proxy, "malformed") > before, "the audit line")
    with WAYS[way](proxy) as another:
        another.answers()


def test_no_preface_where_alpn_named_h2(proxy):
    """It ends with a word, and a line."""
    with intercepted(proxy, greet=False) as client:
        who = "{}:{}".format(*client.stream.sock.getsockname())
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        (one,) = [one for one in client.rest() if one.kind == GOAWAY]
        assert (one.code, b"preface" in one.payload) == ("PROTOCOL_ERROR", True), one
    (line,) = proxy.audit(1, reason="malformed", client=who)
    assert (line["way"], line["host"]) == ("intercept", "localhost"), line


@pytest.mark.parametrize("alpn", [[], ["http/1.1"]], ids=["none", "http/1.1"])
def test_preface_where_alpn_did_not_name_h2(proxy, alpn):
    client = open_tunnel(proxy, proxy.intercepts, proxy.tokens["proxy"])
    tls = Tls(client, "localhost", proxy.folder / "state/ca.pem", alpn)
    client.send(tls.first)
    answer = tls.shake_hands().ask(PREFACE.decode())
    assert answer.startswith(b"HTTP/1.1 501 ") and b"inside TLS needs ALPN" in answer, answer


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("extra,status", [(0, "200"), (1, "431")])
@pytest.mark.parametrize("host", [False, True], ids=[":authority", "Host too"])
def test_fields_count_as_in_http_1(proxy, way, extra, status, host):
    """limits.fields is 100: the Host field is one of them, by that name or as :authority; the other pseudo-fields are the request line."""
    with WAYS[way](proxy) as client:
        named = [("host", client.begin[":authority"])] * host
        others = sum(not name.startswith(":") for name in client.begin)
        client.send(client.head(*named, *[("x-a", "b")] * (99 + extra - others)))
        assert client.status(1) == status
        client.answers()


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_read_behind_an_error(proxy, way):
    """Not even what came in the same piece: where libnghttp2 would read on, a bomb would be unpacked to its end."""
    with WAYS[way](proxy) as client:
        client.send(client.head(stream=5) + client.head(stream=3) + ping())
        heard = client.rest()
        assert [one.kind for one in heard if one.kind in (GOAWAY, PING)] == [GOAWAY], heard
