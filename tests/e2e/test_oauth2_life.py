"""The life of a minted token (SPEC §2): renewed at 80 % of it, never used after it, and what is told while there is none."""

import signal
import threading
import time

import pytest

from peers.config import get
from peers.keystile import wait_for
from peers.minting import config_of, credential, not_ready, waiting


def test_renewed_in_time(minting):
    """The token server takes its time, and no request waits for it."""
    life, began = 15, time.monotonic()
    one = minting(life=life)
    assert one.ask().status == 200
    gate = one.server.hold()
    one.asks_until(lambda: len(one.server.requests) > 1, "a renewal")
    assert one.ask().status == 200 and len(set(one.api.tokens)) == 1, "while it is asked"
    gate.set()
    one.asks_until(lambda: len(set(one.api.tokens)) > 1, "the new one")
    first, second = (asked.at for asked in one.server.requests)
    assert second - began >= 0.79 * life and second - first <= life
    assert {asked.status for asked in one.api.requests} == {200}, "one came behind its end"


@pytest.mark.parametrize("workers", ["1", "4"])
def test_fifty_at_the_end(minting, workers):
    """The token has ended, what renews it is under way, and all wait for that one."""
    one = minting(life=4, head={"workers": workers}, start=False)
    gate = threading.Event()

    def hold_the_second(asked):
        if len(one.server.requests) > 1:
            gate.wait(90)

    def outlives_the_first(asked):
        one.store.life = 3600

    one.server.before, one.server.after = hold_the_second, outlives_the_first
    one.start()
    assert one.ask().status == 200
    (token,) = one.store.access.values()
    wait_for(token.is_expired, "the end of the token")

    def release():
        wait_for(lambda: len(one.server.requests) == 2, "a second request to the token server")
        gate.set()

    assert [response.status for response in one.at_once(50, release)] == [200] * 50
    assert len(one.server.requests) == 2 and one.server.most_running == 1
    assert {asked.status for asked in one.api.requests} == {200}


def test_where_all_stood_still(minting):
    """A machine that slept, or had no time, for as long as the token lived: nothing went wrong, and who comes then waits for the next."""
    one = minting(life=3)
    assert one.ask().status == 200
    (token,) = [one.store.find(value) for value in set(one.api.tokens)]
    one.proxy.process.send_signal(signal.SIGSTOP)
    wait_for(token.is_expired, "the end of the token")
    answers = one.at_once(40, lambda: one.proxy.process.send_signal(signal.SIGCONT))
    assert [answer.status for answer in answers] == [200] * 40, answers


def test_never_used_after_its_end(minting):
    one = minting(life=5)
    assert one.ask().status == 200
    assert waiting(one.proxy) == {}
    one.server.down()
    response = one.wait_until_expired()
    detail = not_ready(response)
    assert f"127.0.0.1:{one.server.port}" in detail, detail
    assert {asked.status for asked in one.api.requests} == {200}
    count = len(one.api.requests)
    for _ in range(10):
        not_ready(one.ask())
    assert len(one.api.requests) == count
    assert f":{one.server.port}" in waiting(one.proxy)["api"]
    (line, *_) = one.proxy.audit(1, event="end", status=503)
    assert (line["verdict"], line["injected"], line["credential"]) == ("fail", False, "api")
    one.server.up()
    one.works()
    assert waiting(one.proxy) == {}


def test_good_until_its_end(minting):
    """A renewal that fails takes nothing away before."""
    one = minting(life=15)
    assert one.ask().status == 200
    one.server.before = lambda asked: ("no", 500)
    one.asks_until(lambda: len(one.server.requests) > 1, "a renewal that fails")
    assert one.ask().status == 200
    one.server.before = None
    wait_for(lambda: (one.ask().status == 200, len(set(one.api.tokens)) > 1)[1], "a renewal, with no request refused")


def test_told_once(minting):
    """The log has a failure once, not for every request or try, and its end."""
    one = minting(start=False)
    one.server.before = lambda asked: ("no", 500)
    one.start()

    def lines():
        return [line for line in one.proxy.log().splitlines() if f":{one.server.port}" in line or "api" in line and "token" in line]

    not_ready(one.ask())
    told = len(wait_for(lines, "a line of the log"))
    assert told <= 2, lines()
    wait_for(lambda: (not_ready(one.ask()), len(one.server.requests) >= 3)[1], "two more tries", 60)
    assert len(lines()) == told, lines()
    one.server.before = None
    one.works()
    wait_for(lambda: len(lines()) > told, "a line that tells of the recovery")
    assert len(lines()) == told + 1


def test_another_failure_is_told_too(minting):
    one = minting(start=False)
    one.server.before = lambda asked: ("no", 500)
    one.start()
    detail = not_ready(one.ask())
    assert "500" in detail
    one.server.before = lambda asked: ({"error": "unauthorized_client"}, 400)
    wait_for(lambda: "unauthorized_client" in not_ready(one.ask()), "the other failure", 60)
    assert "unauthorized_client" in waiting(one.proxy)["api"]
    assert one.proxy.log().count("unauthorized_client") == 1


@pytest.mark.parametrize("status", [500, 429, 400])
def test_one_that_fails_is_not_hammered(minting, status):
    one = minting(start=False)
    one.server.before = lambda asked: ({"error": "temporarily_unavailable"}, status, {"Retry-After": "60"})
    one.start()
    for _ in range(100):
        not_ready(one.ask())
    assert 1 <= len(one.server.requests) <= 10, len(one.server.requests)


def test_sighup_asks_again(minting):
    """What was wrong is mended at the server, and the secrets are as they were: nobody waits for the pause to end."""
    one = minting(start=False)
    one.server.before = lambda asked: ({"error": "invalid_client"}, 401)
    one.start()
    not_ready(one.ask())
    one.server.before = None
    count = len(one.server.requests)
    one.proxy.process.send_signal(signal.SIGHUP)
    wait_for(lambda: len(one.server.requests) > count, "another request to the token server", 10)
    one.works()


def test_others_are_not_the_worse_for_it(minting, origin):
    """A credential whose token server is gone; one beside it with a secret of the vault."""
    other = origin()
    one = minting(start=False)
    beside = credential("plain", f"http://127.0.0.1:{other.port}", '{ header: X-Key, value: "{secret}" }', "secret: vault:id")
    one.proxy.config.write_text(one.proxy.text.split("credentials:")[0] + config_of(one.entry, beside))
    one.server.down()
    one.start()
    not_ready(one.ask())
    answer = one.proxy.ask(get("/plain/x", None, f"X-Key: {one.proxy.token('PLAIN_TOKEN')}"))
    assert answer.status == 200 and other.requests[0].get("X-Key").encode("latin-1").decode() == one.client.client_id
