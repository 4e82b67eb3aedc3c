"""Refresh tokens that are good once (SPEC §2): the newest is in the vault before it matters, whatever happens meanwhile. The token
server ends a chain whose old token comes again, so one that was lost shows."""

import fcntl
import os
import random
import shutil
import threading
import time

import pytest

from peers import evidence, sanitizers
from peers.config import get
from peers.keystile import wait_for
from peers.minting import config_of, credential, kill, not_ready, revealed, secrets_of, waiting

confined = pytest.mark.skipif(sanitizers.in_use(), reason="proxyd gives up nothing where it was built with sanitizers")


def ask_until_renewed(one, count):
    """Asks until the token server has answered `count` times; every answer is 200."""
    one.asks_until(lambda: sum(asked.status == 200 for asked in one.server.requests) >= count, f"{count} tokens")


def is_stored(one, name="refresh", first=None):
    """Waits until the newest of the chain that began with `first` is in the vault: a renewal may be under way."""
    chain = one.store.refresh[first or one.secrets["refresh"]].chain
    wait_for(lambda: revealed(one.proxy, name) == chain.tokens[-1].refresh, f"the newest token in vault:{name}")


def seconds_until_retry(response):
    not_ready(response)
    return int(response.get("Retry-After"))


def forms(one):
    return [asked.form["refresh_token"] for asked in one.server.requests]


# What is asked


@pytest.mark.parametrize("auth,key", [(None, True), ("body", True), (None, False), ("body", False)])
def test_refresh(minting, auth, key):
    """Without a key the client is public: its id is in the body (RFC 6749 3.2.1), and there is no Basic."""
    one = minting(refresh=True, auth=auth, key=key, scope="read")
    assert one.ask().status == 200
    (asked,) = one.server.requests
    wanted = {"grant_type": ["refresh_token"], "refresh_token": [one.secrets["refresh"]], "scope": ["read"]}
    if not key or auth == "body":
        wanted["client_id"] = [one.client.client_id]
    if key and auth == "body":
        wanted["client_secret"] = [one.client.key]
    assert asked.form == wanted
    assert bool(asked.all("Authorization")) == (key and auth != "body")
    assert revealed(one.proxy, "refresh") == asked.told["refresh_token"]
    assert one.api.tokens == [asked.told["access_token"]]


def test_one_that_does_not_rotate(minting):
    """An answer without a refresh token: the old one stays good, and the vault as it is."""
    one = minting(refresh=True, rotates=False, life=4)
    generation = (one.proxy.folder / "secrets.vault").read_bytes()
    ask_until_renewed(one, 3)
    assert set(map(tuple, forms(one))) == {(one.secrets["refresh"],)}
    assert (one.proxy.folder / "secrets.vault").read_bytes() == generation


# Stored before use


def test_stored_before_use(minting):
    """Each access token that the API sees came with the refresh token that the vault has by then."""
    one = minting(refresh=True, life=4)
    seen = []

    def look(asked):
        value = asked.get("Authorization").removeprefix("Bearer ")
        if value not in seen:
            seen.append(value)
            stored = revealed(one.proxy, "refresh")
            values = [token.refresh for token in one.chain.tokens]  # another renewal may have come meanwhile
            assert values.index(stored) >= values.index(one.store.access[value].refresh)

    one.api.before = look
    ask_until_renewed(one, 4)
    assert len(seen) >= 3 and not one.chain.lost
    assert {name: revealed(one.proxy, name) for name in ("id", "key")} == {name: one.secrets[name] for name in ("id", "key")}


def test_a_restart_keeps_the_chain(minting):
    one = minting(refresh=True, life=3)
    for _ in range(3):
        count = len(one.server.requests)
        ask_until_renewed(one, count + 2)
        assert one.proxy.stop() == 0
        assert revealed(one.proxy, "refresh") == one.newest()
        one.start()
    assert one.ask().status == 200 and not one.chain.lost


def test_a_look_at_the_vault_keeps_the_chain(minting):
    """SIGHUP amid renewals: what proxyd itself wrote is no news to it, and nothing is asked for twice."""
    life = 3
    one = minting(refresh=True, life=life, head={"workers": "2"})
    done = threading.Event()
    statuses = set()

    def ask():
        while not done.is_set():
            statuses.add(one.ask().status)

    def renewed():
        one.proxy.hang_up()
        return len(one.server.requests) > 3

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        wait_for(renewed, "three renewals", 60)
    finally:
        count, took = len(one.server.requests), time.monotonic() - one.server.requests[0].at
        done.set()
        thread.join()
    assert statuses == {200} and not one.chain.lost
    assert count <= 2 + took / (0.7 * life), f"{count} requests to the token server in {took} s"
    ask_until_renewed(one, count + 2)
    is_stored(one)


def test_two_credentials_share_the_chain(minting, serving):
    """The same secrets and server: never two refreshes at a time, never an old refresh token."""
    one = minting(refresh=True, life=4, start=False, head={"workers": "2"})
    twin = one.entry.replace("  api:", "  twin:").replace("API_", "TWIN_")
    one.proxy.config.write_text(one.proxy.text.split("credentials:")[0] + config_of(one.entry, twin))
    gate = one.server.hold()
    one.start()
    twins_token = one.proxy.token("TWIN_TOKEN")

    with one.proxy.client() as first, one.proxy.client("twin") as second:
        first.send(get("/api/x", one.token))
        second.send(get("/twin/x", twins_token))
        wait_for(lambda: one.server.requests, "a request to the token server")
        assert first.quiet(1) and len(one.server.requests) == 1
        gate.set()
        assert first.response().status == second.response().status == 200

    def ask_twin():
        with one.proxy.client() as client:
            return client.ask(get("/twin/x", twins_token)).status

    statuses, done = [], threading.Event()

    def keep_asking():
        while not done.is_set():
            statuses.append(ask_twin())

    threads = [threading.Thread(target=keep_asking) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        ask_until_renewed(one, 5)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert set(statuses) == {200} and not one.chain.lost
    assert one.server.most_running == 1
    assert len(forms(one)) == len({value for (value,) in forms(one)})


# Where it cannot be stored


@pytest.fixture
def unwritable(minting):
    """proxyd, and a vault that can be read and, from the first answer on, not written, until lock.rmdir()."""
    one = minting(refresh=True, start=False)
    one.lock = one.proxy.folder / "secrets.vault.lock"

    def forbid(_):
        one.server.after = None
        one.lock.unlink()
        one.lock.mkdir()

    one.server.after = forbid
    return one.start()


def test_not_used_before_it_is_stored(unwritable):
    """503 with words; the token is kept, the old refresh token is not shown again, and once it can be stored all goes on."""
    one = unwritable
    detail = not_ready(one.ask())
    assert "secrets.vault" in detail and "write" in detail or "store" in detail, detail
    for _ in range(10):
        not_ready(one.ask())
    assert one.api.requests == [] and len(one.server.requests) == 1
    assert revealed(one.proxy, "refresh") == one.secrets["refresh"]
    assert "secrets.vault" in waiting(one.proxy)["api"]
    assert "secrets.vault" in one.proxy.log()
    one.lock.rmdir()
    one.works()
    assert len(one.server.requests) == 1 and not one.chain.lost
    assert one.api.tokens[0] == one.server.requests[0].told["access_token"]
    assert revealed(one.proxy, "refresh") == one.newest()
    assert waiting(one.proxy) == {}


def test_a_look_loses_nothing_that_is_not_stored(unwritable):
    """The vault has the old one still: a SIGHUP does not bring that back."""
    one = unwritable
    not_ready(one.ask())
    for _ in range(3):
        one.proxy.hang_up()
        not_ready(one.ask())
    assert len(one.server.requests) == 1
    one.lock.rmdir()
    one.works()
    assert not one.chain.lost and revealed(one.proxy, "refresh") == one.newest()


def test_a_folder_that_cannot_be_written_is_told_before(minting):
    """By --check, before a server replaces one; the folder is that of the vault itself, whatever leads there."""
    one = minting(refresh=True, start=False)
    sealed = one.proxy.folder / "sealed"
    sealed.mkdir()
    (one.proxy.folder / "secrets.vault").rename(sealed / "secrets.vault")
    (one.proxy.folder / "secrets.vault").symlink_to(sealed / "secrets.vault")
    without = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    assert "refresh token" not in one.proxy.check(launcher=without).err
    sealed.chmod(0o555)
    said = one.proxy.check(launcher=without)
    sealed.chmod(0o755)
    assert said.returncode == 0 and f"cannot write in {sealed} (cannot write beside {sealed}/secrets.vault: Permission denied); let that user, " in said.err, said.err
    assert sorted(path.name for path in sealed.iterdir()) == ["secrets.vault"]


def test_not_asked_where_it_could_not_be_stored(minting):
    """The old one stays good at the server. It goes on once it can be stored."""
    one = minting(refresh=True, life=8)  # by its first renewal the vault cannot be written
    one.works()
    lock = one.proxy.folder / "secrets.vault.lock"
    lock.unlink()
    lock.mkdir()
    wait_for(lambda: "the endpoint is not asked" in one.proxy.log(), "a renewal that is not begun", 30)
    asked = len(one.server.requests)
    detail = not_ready(one.wait_until_expired())
    assert "another refresh token could not be stored" in detail and str(lock) in detail, detail
    lock.rmdir()
    one.works()
    assert len(one.server.requests) > asked and not one.chain.lost
    is_stored(one)


def test_asked_where_it_never_could_be_stored(minting):
    """A server that replaces none needs no writing: the vault may be on a disk that is read-only."""
    one = minting(refresh=True, rotates=False, life=4, start=False)
    lock = one.proxy.folder / "secrets.vault.lock"
    lock.unlink()
    lock.mkdir()
    one.start()
    assert "a refresh token that its server replaces could not be stored" in one.proxy.log()
    ask_until_renewed(one, 3)


def in_a_folder(minting, **more):
    """With a vault in a folder of its own, which is moved away as the second one."""
    one = minting(refresh=True, start=False, **more)
    folder = one.proxy.folder / "v"
    folder.mkdir()
    for path in one.proxy.folder.glob("secrets.vault*"):
        path.rename(folder / path.name)
    (one.proxy.folder / "secrets.vault").symlink_to("v/secrets.vault")
    return one, folder, one.proxy.folder / "v.old"


@confined
def test_a_folder_that_was_made_anew(minting):
    """`mv v v.old; cp -a v.old v`: proxyd gave up writing in the new one, and says so before a refresh token is used."""
    one, folder, old = in_a_folder(minting, life=8)  # by its first renewal the folder is another one
    one.start()
    if "by Landlock" not in one.proxy.log():
        pytest.skip("this kernel has no Landlock, so nothing is given up")
    one.works()
    folder.rename(old)
    shutil.copytree(old, folder)
    gave_up = f"proxyd gave up writing in {folder} when it started, or that folder was made anew since; restart proxyd"
    wait_for(lambda: gave_up in one.proxy.log(), "the reason in the log", 30)
    wait_for(lambda: gave_up in waiting(one.proxy).get("api", ""), "the reason in /readyz", 30)
    assert not one.chain.lost and revealed(one.proxy, "refresh") == one.newest()
    one.proxy.stop()
    one.start()
    one.works()
    assert not one.chain.lost


@confined
def test_a_folder_that_is_made_anew_meanwhile(minting):
    """While the endpoint is asked: what it gave is kept, and stored once the former folder is back."""
    one, folder, old = in_a_folder(minting)

    def swap(_):
        one.server.after = None
        folder.rename(old)
        shutil.copytree(old, folder)

    one.server.after = swap
    one.start()
    if "by Landlock" not in one.proxy.log():
        pytest.skip("this kernel has no Landlock, so nothing is given up")
    detail = not_ready(one.ask())
    assert f"gave up writing in {folder} when it started" in detail and "put the former folder back" in detail, detail
    shutil.rmtree(folder)
    old.rename(folder)
    one.works()
    assert not one.chain.lost and revealed(one.proxy, "refresh") == one.newest()


def test_tried_once_more_at_the_end(unwritable):
    """What is kept is stored before proxyd ends, where that can be done by then, however long the pause would be."""
    one = unwritable
    wait_for(lambda: seconds_until_retry(one.ask()) > 5, "a pause of more than 5 s", 60)
    one.lock.rmdir()
    assert one.proxy.stop() == 0
    assert revealed(one.proxy, "refresh") == one.newest()
    one.start()
    one.works()
    assert not one.chain.lost


def test_another_writer(minting):
    """Who writes the vault holds its lock: proxyd waits, and requests for others are answered meanwhile."""
    one = minting(refresh=True, start=False)
    with open(one.proxy.folder / "secrets.vault.lock", "rb+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        one.start()
        with one.proxy.client() as client:
            client.sock.settimeout(90)
            client.send(get("/api/x", one.token))
            wait_for(lambda: [asked.status for asked in one.server.requests] == [200], "an answer of the token server")
            assert one.proxy.ask(get("/nope/x", one.token)).status == 404
            assert one.api.requests == []
            fcntl.flock(lock, fcntl.LOCK_UN)
            response = client.response()
    assert response.status == 200 or not_ready(response)
    one.works()
    assert len(one.server.requests) == 1 and not one.chain.lost
    assert revealed(one.proxy, "refresh") == one.newest()


def test_another_writer_for_too_long(minting):
    """After 30 s there are words for it."""
    one = minting(refresh=True, start=False)
    with open(one.proxy.folder / "secrets.vault.lock", "rb+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        one.start()
        with one.proxy.client() as client:
            client.sock.settimeout(90)
            client.send(get("/api/x", one.token))
            detail = not_ready(client.response())
        assert "secrets.vault" in detail, detail
        assert one.api.requests == [] and len(one.server.requests) == 1
    one.works(90)
    assert len(one.server.requests) == 1 and not one.chain.lost


# Where it ends without warning


def test_killed_before_it_has_the_answer(minting):
    """The token server has made the exchange and proxyd does not know it: the old refresh token is all there is."""
    one = minting(refresh=True, grace=True, start=False)
    reached, go = threading.Event(), threading.Event()
    one.server.after = lambda asked: (reached.set(), go.wait(20))
    one.start()
    with one.proxy.client() as client:
        client.send(get("/api/x", one.token))
        assert reached.wait(10)
        kill(one)
    one.server.after = None
    go.set()
    assert revealed(one.proxy, "refresh") == one.secrets["refresh"]
    one.start()
    one.works()
    assert [value for (value,) in forms(one)] == [one.secrets["refresh"]] * 2 and not one.chain.lost


def test_killed_while_it_stores(unwritable):
    one = unwritable
    one.store.grace = True
    not_ready(one.ask())
    kill(one)
    one.lock.rmdir()
    one.start()
    one.works()
    assert not one.chain.lost


def test_killed_at_any_moment(minting):
    """Twenty times, amid renewals every second. The server takes an old refresh token as long as nothing that came of it was seen."""
    one = minting(refresh=True, grace=True, life=1, head={"workers": "2"})
    generator = random.Random(20)
    done = threading.Event()

    def keep_asking():
        while not done.is_set():
            one.try_to_ask()

    threads = [threading.Thread(target=keep_asking) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for number in range(20):
            until = time.monotonic() + generator.uniform(0, 1.2)
            wait_for(lambda: time.monotonic() > until, "a random moment")
            kill(one)
            assert not one.chain.lost, f"before the kill {number}"
            one.start()
            wait_for(lambda: one.try_to_ask() == 200 or one.chain.lost, "an answer with 200", 30)
            assert not one.chain.lost, f"behind the kill {number}"
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert len(one.chain.tokens) > 20


# Where the chain has ended


def test_a_lost_chain_is_told_and_mended(minting):
    """The server knows the refresh token no more: 503, no hammering; the operator puts a new one into the vault."""
    one = minting(refresh=True, start=False)
    one.chain.lost = True
    one.start()
    detail = not_ready(one.ask())
    assert "invalid_grant" in detail, detail
    for _ in range(50):
        not_ready(one.ask())
    assert len(one.server.requests) <= 5
    assert "invalid_grant" in waiting(one.proxy)["api"]
    value = one.store.grant(one.client)
    one.proxy.creds("set", "refresh", input=value)
    one.proxy.hang_up()
    one.works()
    assert one.server.requests[-1].form["refresh_token"] == [value]
    assert waiting(one.proxy) == {}


def test_the_operators_new_one_is_used(minting):
    """While the old chain goes on: the next renewal is with what the operator said, and the old chain is left alone."""
    one = minting(refresh=True, life=3)
    ask_until_renewed(one, 1)
    value = one.store.grant(one.client)
    one.proxy.creds("set", "refresh", input=value)
    one.proxy.hang_up()
    wait_for(lambda: (one.ask().status == 200, [value] in forms(one))[1], "a request with the new one")
    assert not one.chain.lost and not one.store.refresh[value].chain.lost
    assert one.ask().status == 200
    is_stored(one, first=value)


def test_the_operators_new_one_is_not_written_over(minting):
    """It comes while a renewal of the old chain is under way: what that brings does not take its place."""
    one = minting(refresh=True, start=False)
    gate = one.server.hold()
    one.start()
    value = one.store.grant(one.client)
    with one.proxy.client() as client:
        client.send(get("/api/x", one.token))
        wait_for(lambda: one.server.requests, "a request to the token server")
        one.proxy.creds("set", "refresh", input=value)
        gate.set()
        client.response()
    one.proxy.hang_up()
    one.works()
    newest = {token.refresh for token in one.store.refresh[value].chain.tokens}
    assert revealed(one.proxy, "refresh") in newest


def test_one_that_is_not_there_yet(minting):
    """Nothing is asked; it is told, and starts to work once it is set."""
    one = minting(refresh=True, start=False)
    one.proxy.creds("rm", "refresh")
    one.start()
    assert "refresh" in not_ready(one.ask())
    assert one.server.requests == [] and "refresh" in waiting(one.proxy)["api"]
    one.proxy.creds("set", "refresh", input=one.secrets["refresh"])
    one.proxy.hang_up()
    one.works()
    assert len(one.server.requests) == 1


@pytest.mark.parametrize("value", ['"a b"', '""', "1", "null", '"a\\u0000b"', '"x\\r\\ny"'])
def test_a_refresh_token_that_is_none(minting, value):
    """What could not be stored or sent is not taken for one: the old one stays, where the answer is not refused as a whole."""
    one = minting(refresh=True, start=False)
    access = evidence.secret("at")
    text = f'{{"access_token": "{access}", "token_type": "Bearer", "expires_in": 3600, "refresh_token": {value}}}'
    one.server.before = lambda asked: (text, 200, {"Content-Type": "application/json"})
    one.api.before = lambda asked: ("ok", 200)
    one.start()
    response = one.ask()
    assert response.status == 200 or not_ready(response)
    assert revealed(one.proxy, "refresh") in (one.secrets["refresh"], "a b")


def test_the_rest_of_the_credential_is_of_the_vault_too(minting):
    """A new key of the operator's is what the next renewal shows, with the newest refresh token."""
    one = minting(refresh=True, life=4)
    ask_until_renewed(one, 2)
    one.client.key = evidence.secret("key-two")
    one.proxy.creds("set", "key", input=one.client.key)
    one.proxy.hang_up()
    count = len(one.server.requests)
    wait_for(lambda: (one.ask(), any(asked.status == 200 for asked in one.server.requests[count:]))[1], "a renewal with the new key", 60)
    assert not one.chain.lost and one.ask().status == 200


def test_one_refresh_token_for_two_scopes(minting):
    """Two tokens of one chain: whoever is second waits for the refresh token that the first one brings."""
    one = minting(refresh=True, start=False)
    twin = one.entry.replace("  api:", "  twin:").replace("API_", "TWIN_").replace("/token\"", "/token\", scope: read")
    assert "scope: read" in twin
    one.proxy.config.write_text(one.proxy.text.split("credentials:")[0] + config_of(one.entry, twin))
    gate = one.server.hold()
    one.start()
    token = one.proxy.token("TWIN_TOKEN")
    with one.proxy.client() as first, one.proxy.client("twin") as second:
        first.send(get("/api/x", one.token))
        second.send(get("/twin/x", token))
        wait_for(lambda: one.server.requests, "a request to the token server")
        assert first.quiet(1) and len(one.server.requests) == 1
        gate.set()
        assert first.response().status == second.response().status == 200
    assert one.server.most_running == 1 and not one.chain.lost and len(forms(one)) == 2 == len({value for (value,) in forms(one)})


def test_refreshes_of_different_credentials(minting, serving):
    """Each has its own chain, entry and server; both are stored."""
    first = minting(refresh=True, life=4, start=False)
    second = first.store.grant(first.client)
    first.proxy.creds("set", "other", input=second)
    other = credential("other", first.api.url, first.inject, secrets_of("id", "key", "refresh").replace("vault:refresh", "vault:other"))
    first.proxy.config.write_text(first.proxy.text.split("credentials:")[0] + config_of(first.entry, other))
    first.start()
    token = first.proxy.token("OTHER_TOKEN")
    for _ in range(3):
        count = len(first.server.requests)
        ask_until_renewed(first, count + 1)
        assert first.proxy.ask(get("/other/x", token)).status == 200
    assert not first.chain.lost and not first.store.refresh[second].chain.lost
    is_stored(first)
    is_stored(first, "other", second)
