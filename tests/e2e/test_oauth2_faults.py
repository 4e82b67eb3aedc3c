"""Token endpoints that lie (peers.liars): no token comes of a lie, whoever asks is told so, nothing else happens."""

import contextlib
import json
import re
import threading
import time

import pytest

from peers import evidence, liars
from peers.config import get
from peers.evidence import EVIDENCE
from peers.keystile import wait_for
from peers.minting import Minting, not_ready, waiting
from peers.wire import serve_ok


@pytest.fixture
def lied(keystile, serving, origin):
    """lied(SCRIPT) gives proxyd behind a token endpoint that runs it, and that endpoint."""
    finds = len(EVIDENCE.finds)
    made = []

    def start(script, **more):
        liar = origin(script)
        one = Minting(keystile, serving, token_url=f"http://127.0.0.1:{liar.port}/token", **more)
        one.api.before = lambda asked: ("ok", 200)  # whatever token comes
        made.append(one)
        return one, liar

    yield start
    for one in made:
        one.proxy.stop()
    assert EVIDENCE.finds[finds:] == [], "the liar's words, or what it was shown, came through"


def told_alike(one, detail):
    """The 503, /readyz and the log have one reason."""
    told = re.fullmatch("credential api has no token: (.*)", detail)[1]
    assert waiting(one.proxy)["api"] == told and f"credential api gets no token: {told}\n" in one.proxy.log(), one.proxy.log()


def the_lie(lied, what, **more):
    """A 503 that says why, in words of our own; nothing goes to the API."""
    lie = liars.LIES[what]
    one, liar = lied(lie.script, **more)
    began = time.monotonic()
    response = one.ask()
    assert response.status in lie.statuses, response
    assert time.monotonic() - began < 25, "a limit should have ended it, not the clock"
    assert liar.requests
    if response.status == 200:
        assert [value.strip() for value in one.api.tokens] == one.api.tokens != [""]
        return
    detail = not_ready(response)
    assert re.search(lie.says, detail), detail
    assert f"127.0.0.1:{liar.port}" in detail and len(detail) < 1000
    assert one.api.requests == [] and not evidence.find(detail)
    told_alike(one, detail)
    assert all(line.isprintable() for line in one.proxy.log().splitlines())


@pytest.mark.parametrize("what", liars.LIES)
def test_lie(lied, what):
    the_lie(lied, what)


@pytest.mark.parametrize("what", [what for what in liars.LIES if "key" in what or "end" in what])
def test_lie_for_a_refresh_token(lied, what):
    """Which is shown, as the key is in the body."""
    the_lie(lied, what, auth="body", refresh=True)


def test_down(minting):
    one = minting(start=False)
    one.server.down()
    one.start()
    detail = not_ready(one.ask())
    assert f"127.0.0.1:{one.server.port}" in detail and "connect" in detail, detail
    told_alike(one, detail)
    one.server.up()
    one.works()
    assert waiting(one.proxy) == {}


def test_how_much_is_read(lied):
    """Of what does not end, some."""
    for what in ("an endless body", "an endless head", "an endless line", "a flood of 1xx"):
        one, liar = lied(liars.LIES[what].script)
        not_ready(one.ask())
        assert liar.sent < 20 << 20, f"{what}: {liar.sent} bytes went out"
        one.proxy.stop()


@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"])
def test_a_redirect_is_not_followed(lied, origin, status):
    """It would show id and key to whoever it names."""
    other = origin()
    one, liar = lied(liars.answering("", status, f"Location: http://127.0.0.1:{other.port}/token"))
    detail = not_ready(one.ask())
    assert status[:3] in detail, detail
    assert liar.requests and other.connections == []


def test_slow(lied):
    """30 s in all, whether nothing comes meanwhile or a byte at a time; whoever waits is told then."""
    ones = [lied(script)[0] for script in (liars.forever, liars.dripping)]
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(one.proxy.client()) for one in ones]
        for one, client in zip(ones, clients):
            client.sock.settimeout(60)
            client.send(get("/api/x", one.token))
        details = [not_ready(client.response()) for client in clients]
    assert 25 < time.monotonic() - began < 45
    assert all("30 s" in detail or "time" in detail for detail in details), details
    for one, detail in zip(ones, details):
        told_alike(one, detail)


def test_the_truth_afterwards(lied):
    """It lies in two ways, and then not."""
    told = threading.Event()

    def script(connection):
        count = len(connection.origin.requests)
        if count >= 2 and told.is_set():
            return liars.answering(liars.token())(connection)
        return liars.LIES["a blank in the token" if count else "HTML"].script(connection)

    one, liar = lied(script)
    not_ready(one.ask())
    told.set()
    one.works()
    assert len(liar.requests) >= 3 and waiting(one.proxy) == {}


def test_retry_after(lied):
    """429 with a time: it is not asked again before."""
    times = []

    def script(connection):
        times.append(time.monotonic())
        if len(times) == 1:
            return liars.answering("", "429 Too Many Requests", "Retry-After: 4")(connection)
        return liars.answering(liars.token())(connection)

    one, liar = lied(script)
    not_ready(one.ask())
    one.works()
    assert times[1] - times[0] >= 3.5


def test_a_long_life_is_not_too_long(lied):
    """No clock ends by it."""
    for life in (2**31, 2**32, 2**53):
        one, _ = lied(liars.answering(liars.token(expires_in=life)))
        assert [one.ask().status for _ in range(3)] == [200] * 3
        assert waiting(one.proxy) == {}
        one.proxy.stop()


def test_no_life_is_not_for_ever_and_not_for_nothing(lied):
    """Without `expires_in` (RFC 6749 5.1 only recommends it) a token is used for some time."""
    one, liar = lied(liars.answering(liars.token(expires_in=None)))
    assert [one.ask().status for _ in range(20)] == [200] * 20
    assert len(liar.requests) == 1


def test_a_life_of_one_second(lied):
    """As short as they get: no storm of requests."""
    began = time.monotonic()
    one, liar = lied(lambda connection: liars.answering(liars.token(expires_in=1))(connection))
    until = time.monotonic() + 4
    wait_for(lambda: (one.ask().status in (200, 503), time.monotonic() > until)[1], "four seconds of requests")
    count, took = len(liar.requests), time.monotonic() - began
    assert count <= 2 + took / 0.7, f"{count} requests in {took} s"


def test_its_connection_is_its_own(lied):
    """What a token server sends behind its answer belongs to nobody."""
    def script(connection):
        connection.origin.requests.append(connection.request())
        data = json.dumps(liars.token()).encode()
        connection.send(f"HTTP/1.1 200 OK\r\n{liars.JSON}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data
                        + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        connection.receive()

    one, _ = lied(script)
    assert [one.ask().text for _ in range(3)] == ["ok"] * 3


def test_cookies_are_not_kept(lied):
    def script(connection):
        while True:
            connection.origin.requests.append(connection.request())
            connection.answer("200 OK", json.dumps(liars.token(expires_in=1)), liars.JSON, "Set-Cookie: a=b; Path=/", 'Alt-Svc: h2="elsewhere:1"',
                              "Strict-Transport-Security: max-age=1000")

    one, liar = lied(script)
    wait_for(lambda: (one.ask(), len(liar.requests) >= 2)[1], "a second token request")
    assert all(message.all("Cookie") == [] for message in liar.requests)


def test_environment_and_netrc_are_not_read(keystile, serving, origin, tmp_path):
    """Neither a proxy of the operator's shell, nor its ~/.netrc and ~/.curlrc."""
    other = origin(serve_ok)
    (tmp_path / ".netrc").write_text("default login evil password evil\n")
    (tmp_path / ".curlrc").write_text(f"proxy = http://127.0.0.1:{other.port}\n")
    proxied = {name: f"http://127.0.0.1:{other.port}" for name in ("http_proxy", "https_proxy", "all_proxy", "ALL_PROXY", "HTTPS_PROXY")}
    one = Minting(keystile, serving, auth="body", env={**proxied, "HOME": str(tmp_path)})
    assert one.ask().status == 200
    assert other.connections == [] and one.server.requests[0].all("Authorization") == []
