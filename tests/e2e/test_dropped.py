"""A 401 drops what was minted, and the request is repeated once with what comes next, if it can be (SPEC §2): tokens of oauth2,
values of `exec:`. An upstream that always says 401 moves nobody to ask for one after the other."""

import threading
import time

import pytest

from peers import evidence
from peers.config import BEARER, get, one_api, problem
from peers.h2 import H2
from peers.keystile import wait_for
from peers.minting import config_of, credential, waiting

LARGE = b"x" * (8 << 20)
INVALID = ("gone", 401, {"WWW-Authenticate": 'Bearer error="invalid_token"'})


def statuses(requests):
    return [asked.status for asked in requests]


@pytest.fixture
def revoked(minting):
    """proxyd with a token that was good once; the API does not take it any more."""
    def start(**more):
        one = minting(**more)
        assert one.ask("/first").status == 200
        one.store.revoke()
        one.api.forget()
        return one

    return start


# Repeated


@pytest.mark.parametrize("method,body", [("GET", b""), ("DELETE", b""), ("POST", b""), ("POST", b'{"a": 1}'), ("PUT", b"x" * 4000)])
def test_repeated_with_a_new_one(revoked, method, body):
    """The agent sees the second answer alone."""
    one = revoked()
    response = one.ask("/y?z", method=method, body=body)
    assert (response.status, response.body) == (200, body or b"ok")
    assert statuses(one.api.requests) == [401, 200]
    first, second = one.api.requests
    assert (first.method, first.path, first.body) == (second.method, second.path, second.body) == (method, "/y?z", body)
    old, new = one.api.tokens
    assert old != new and len(one.server.requests) == 2
    (line,) = one.proxy.audit(1, event="end", path="/y")
    assert (line["status"], line["verdict"]) == (200, "allow")
    assert one.ask().status == 200 and len(one.server.requests) == 2


def test_a_small_chunked_body(revoked):
    one = revoked()
    head = get("/api/y", one.token, "Transfer-Encoding: chunked", method="POST")
    response = one.proxy.ask(head + "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    assert response.status in (200, 401)
    assert one.api.requests[-1].body == b"abcde"
    assert one.ask().status == 200


def test_over_h2(revoked):
    one = revoked()
    with H2(one.proxy) as client:
        answers = [client.ask("/api/y", token=one.token) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 200]
    assert statuses(one.api.requests) == [401, 200, 200, 200] and len(one.server.requests) == 2


def test_one_that_cannot_be_repeated(revoked):
    """Its body is too large to keep: it gets the 401, and the next request has a new token."""
    one = revoked()
    response = one.ask("/y", method="POST", body=LARGE)
    assert response.status == 401 and "invalid_token" in response.get("WWW-Authenticate")
    assert statuses(one.api.requests) == [401] and len(one.api.requests[0].body) == len(LARGE)
    wait_for(lambda: len(one.server.requests) == 2, "the request for a new token, once nobody has the old one")
    assert one.ask("/y", method="POST", body=LARGE).status == 200
    assert statuses(one.api.requests) == [401, 200] and len(one.server.requests) == 2


def test_a_second_401_is_passed_on(minting):
    one = minting()
    one.api.before = lambda asked: INVALID if asked.path == "/no" else None
    response = one.ask("/no")
    assert (response.status, response.text) == (401, "gone") and response.get("WWW-Authenticate") == INVALID[2]["WWW-Authenticate"]
    assert statuses(one.api.requests) == [401, 401] and len(set(one.api.tokens)) == 2
    assert one.ask().status == 200


@pytest.mark.parametrize("status", [400, 403, 404, 407, 429, 500])
def test_other_answers_drop_nothing(minting, status):
    one = minting()
    one.api.before = lambda asked: ("no", status) if asked.path == "/no" else None
    response = one.ask("/no")
    assert (response.status, response.text) == (status, "no")
    assert one.ask().status == 200
    assert len(one.server.requests) == 1 and len(one.api.requests) == 2


def test_no_new_one_to_be_had(revoked):
    """The token server is gone: the agent gets the 401, or is told why; afterwards it is as ever."""
    one = revoked()
    one.server.down()
    assert one.ask().status in (401, 503)
    assert statuses(one.api.requests) == [401]
    assert one.ask().status == 503 and len(one.api.requests) == 1, "what was dropped is not used"
    one.server.up()
    one.works()


def test_with_a_refresh_token(revoked):
    """What was dropped is renewed by the newest refresh token."""
    one = revoked(refresh=True)
    for _ in range(2):
        assert one.ask().status == 200
        one.store.revoke()
    assert one.ask().status == 200 and not one.chain.lost


# Not too often


def test_always_401(minting):
    """A hundred requests, a handful of tokens."""
    one = minting()
    one.api.before = lambda asked: INVALID
    assert [one.ask().status for _ in range(100)] == [401] * 100
    assert len(one.server.requests) <= 10, f"{len(one.server.requests)} requests to the token server"
    assert 100 <= len(one.api.requests) <= 200
    one.api.before = None
    assert one.ask().status == 200


def test_always_401_many_at_once(minting):
    one = minting(head={"workers": "2"})
    one.api.before = lambda asked: INVALID
    for _ in range(4):
        assert {response.status for response in one.at_once(25)} == {401}
    assert len(one.server.requests) <= 10, f"{len(one.server.requests)} requests to the token server"


@pytest.mark.parametrize("workers", ["1", "4"])
def test_fifty_401s_for_one_token(minting, workers):
    """All of them out with the old token before the first is answered: one new token, for all."""
    one = minting(head={"workers": workers})
    assert one.ask("/first").status == 200
    (old,) = one.store.access
    one.store.revoke()
    one.api.forget()
    everyone = threading.Barrier(50)

    def wait_for_all(asked):
        if old in asked.get("Authorization"):
            everyone.wait(20)

    one.api.before = wait_for_all
    assert {response.status for response in one.at_once(50)} == {200}
    assert len(one.server.requests) == 2 and len(set(one.api.tokens)) == 2
    assert sorted(statuses(one.api.requests)) == [200] * 50 + [401] * 50


def test_a_late_401_drops_nothing_new(minting):
    """It is for a token that is gone already."""
    one = minting()
    assert one.ask("/first").status == 200
    (old,) = one.store.access
    one.store.revoke()
    gate = threading.Event()
    one.api.before = lambda asked: (gate.wait(20), None)[1] if asked.path == "/late" and old in asked.get("Authorization") else None
    with one.proxy.client() as late:
        late.send(get("/api/late", one.token))
        wait_for(lambda: any(asked.path == "/late" for asked in one.api.requests), "the one that will be late")
        assert one.ask("/soon").status == 200
        gate.set()
        assert late.response().status == 200
    assert len(one.server.requests) == 2 and one.ask().status == 200


def test_how_long_it_waited_counts_against_no_rate(minting):
    """A request that waits for its token is counted when it goes up, by what the budget has then."""
    one = minting(start=False)
    plain = credential("plain", one.api.url, '{ header: X-Key, value: "{secret}" }', "secret: vault:id")
    text = config_of(one.entry, plain, more="    rate: 2/s\n")
    one.proxy.config.write_text(one.proxy.text.split("credentials:")[0] + text)
    gate = one.server.hold()
    one.start()
    with one.proxy.client() as client:
        client.send(get("/api/x", one.token))
        wait_for(lambda: one.server.requests, "a request to the token server")
        until = time.monotonic() + 2
        wait_for(lambda: time.monotonic() > until, "a budget that is full again")
        assert one.proxy.ask(get("/plain/x", one.proxy.token("PLAIN_TOKEN"))).status != 429
        gate.set()
        assert client.response().status == 200


# exec:


@pytest.fixture
def command(keystile, origin, tmp_path):
    """command(TTL) gives proxyd with a secret that a command prints, the API's side, and how often the command ran. The API takes
    what is in `good`."""
    def start(ttl=None, rotation=None, inject=BEARER):
        (tmp_path / "value").write_text(evidence.secret("exec"))
        (tmp_path / "runs").write_text("")
        (tmp_path / "get").write_text(f"echo >> {tmp_path}/runs\ncat {tmp_path}/value\n")

        def api(connection):
            while True:
                message = connection.request()
                connection.origin.requests.append(message)
                good = message.get("Authorization") == f"Bearer {connection.origin.good}"
                connection.answer("200 OK" if good else "401 Unauthorized", message.body if good else b"no")

        server = origin(api)
        server.good = (tmp_path / "value").read_text()
        more = {name: value for name, value in (("ttl", ttl), ("rotation", rotation)) if value}
        text = one_api(f"http://127.0.0.1:{server.port}", inject, **more).replace("vault:api", f"'exec:/bin/sh {tmp_path}/get'")
        proxy = keystile(text)
        proxy.api_token = proxy.token()
        wait_for(lambda: not waiting(proxy), "the first value")  # proxyd is ready without it where that takes long

        def renew():
            server.good = evidence.secret("exec")
            (tmp_path / "value").write_text(server.good)

        return proxy, server, renew, lambda: (tmp_path / "runs").read_text().count("\n")

    return start


KINDS = pytest.mark.parametrize("ttl,rotation", [("3600s", None), (None, None), ("3600s", "strict"), (None, "strict")])


@KINDS
def test_exec_runs_once_more(command, ttl, rotation):
    """Once; and the request that found out is answered."""
    proxy, server, renew, runs = command(ttl, rotation)
    assert proxy.ask(get("/api/x", proxy.api_token)).status == 200
    before = runs()
    for number in range(1, 4):
        renew()
        head = get("/api/y", proxy.api_token, "Content-Length: 3", method="POST")
        response = proxy.ask(head + "abc")
        assert (response.status, response.text) == (200, "abc")
        assert runs() == before + number
    for _ in range(5):
        assert proxy.ask(get("/api/x", proxy.api_token)).status == 200
    assert runs() == before + 3


@KINDS
def test_exec_whose_value_is_the_same(command, ttl, rotation):
    """The API is at fault: the 401 is passed on, and the command does not run for each request."""
    proxy, server, _, runs = command(ttl, rotation)
    before, server.good = runs(), "another"
    assert [proxy.ask(get("/api/x", proxy.api_token)).status for _ in range(100)] == [401] * 100
    assert runs() - before <= 10, f"the command ran {runs() - before} times"
    assert len(server.requests) <= 200


def test_exec_for_many_at_once(command):
    proxy, server, renew, runs = command("3600s")
    before = runs()
    renew()
    clients = [proxy.client(f"client {number}") for number in range(50)]
    for client in clients:
        client.send(get("/api/x", proxy.api_token))
    assert {client.response().status for client in clients} == {200}
    for client in clients:
        client.close()
    assert runs() == before + 1


def test_exec_that_fails_then(command, tmp_path):
    """The last good value was refused: it is not shown again for ever, and what went wrong is told."""
    proxy, server, renew, runs = command("3600s")
    renew()
    (tmp_path / "get").rename(tmp_path / "away")
    assert proxy.ask(get("/api/x", proxy.api_token)).status in (401, 503)
    (tmp_path / "away").rename(tmp_path / "get")
    proxy.hang_up()
    wait_for(lambda: proxy.ask(get("/api/x", proxy.api_token)).status == 200, "the new value", 60)


def test_exec_whose_next_value_cannot_be_sent(command, tmp_path):
    """The first value went up, and the audit says so, whatever becomes of the second."""
    proxy, server, renew, _ = command("3600s", inject=f"[{BEARER}, {{ cookie: key }}]")
    renew()
    (tmp_path / "value").write_text("a secret that no cookie can carry")
    assert problem(proxy.ask(get("/api/y", proxy.api_token)), 503)
    (line,) = proxy.audit(1, event="end", path="/y")
    assert (line["status"], line["injected"]) == (503, True)


def test_a_secret_that_is_not_minted_is_not_dropped(keystile, origin):
    """A vault's: the 401 is the agent's."""
    def api(connection):
        while True:
            connection.origin.requests.append(connection.request())
            connection.answer("401 Unauthorized", b"no")

    server = origin(api)
    proxy = keystile(one_api(f"http://127.0.0.1:{server.port}"), {"api": evidence.secret()})
    for _ in range(3):
        assert proxy.ask(get("/api/x", proxy.token())).status == 401
    assert len(server.requests) == 3
