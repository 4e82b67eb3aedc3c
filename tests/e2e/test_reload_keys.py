"""What keystile.yaml names beside secrets changes while proxyd runs (SPEC §11): `ca:`, `client:` and `tls:` files, and session.key. What
begins later has the new one, what is under way goes on, and what is no good is refused."""

import json
import os
import signal
import threading

import pytest

from peers import evidence
from peers.authority import Authority
from peers.config import get, one_api, problem
from peers.in_tls import InTls
from peers.keystile import wait_for
from peers.metrics import admin, scrape
from peers.replacing import by_rename


@pytest.fixture(scope="session")
def another(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("another"), "another CA")


def listed_as_stale(proxy):
    """What /readyz lists as stale, by name, with the reasons; nothing waits for it."""
    told = json.loads(admin(proxy, "/readyz?all").body)
    assert told["status"] == "ready", told
    return {one.get("credential") or one["part"]: one["why"] for one in told["stale"] + told["stale_parts"]}


def stale(proxy):
    """The same, and the metrics agree."""
    found = listed_as_stale(proxy)
    metrics = scrape(proxy)
    assert {key[1] for key in metrics if key[0] in ("keystile_secret_stale", "keystile_part_stale") and metrics[key]} == set(found)
    assert metrics["keystile_last_reload_successful", "secrets"] == (not found)
    return found


def replace(proxy, *files):
    """Puts these in place, (PATH, BYTES or None) each, and waits until that was looked at and found to be new."""
    count = proxy.log().count("files and secrets read again")
    for path, content in files:
        path.unlink() if content is None else by_rename(path, content)
    wait_for(lambda: proxy.log().count("files and secrets read again") > count, "the look at what has changed")


# ca:


class Held:
    """An upstream that says who it is, and ends /held once it may."""

    def __init__(self):
        self.came, self.go = threading.Event(), threading.Event()

    def __call__(self, connection):
        while True:
            held = connection.request().target == "/held"
            if held:
                self.came.set()
                assert self.go.wait(10)
            connection.answer("200 OK", str(connection.number))


def test_ca(keystile, origin, authority, another, tmp_path):
    """With another `ca:` no connection that was verified by the old one is used, but by who is on it."""
    held, path = Held(), tmp_path / "upstream.pem"
    server = origin(held, context=authority.server_context())
    path.write_bytes(authority.ca.read_bytes())
    proxy = keystile(one_api(f"https://127.0.0.1:{server.port}", ca=path), {"api": evidence.secret("ca")}, {"workers": "1"})
    token = proxy.token()
    with proxy.client() as client, proxy.client("who waits") as waiting:
        waiting.send(get("/api/held", token))
        assert held.came.wait(10)
        assert client.ask(get("/api/x", token)).text == client.ask(get("/api/x", token)).text == "1", "it is kept"
        replace(proxy, (path, another.ca.read_text()))
        assert "certificate" in problem(client.ask(get("/api/x", token)), 502)["detail"]
        held.go.set()
        assert waiting.response().text == "0", "what was under way ends"
        for bad in ("nothing\n", None):
            replace(proxy, (path, bad))
            assert list(stale(proxy)) == ["api"] and str(path) in stale(proxy)["api"]
            problem(client.ask(get("/api/x", token)), 502)
        replace(proxy, (path, another.ca.read_text() + authority.ca.read_text()))
        answer = client.ask(get("/api/x", token))
        assert answer.status == 200 and int(answer.text) > 1 and stale(proxy) == {}


def test_client_certificate(keystile, nginx_tls, authority, tmp_path):
    """Both files of a pair, by rename; one of them alone is no pair, and the last good one stays. What it does is in
    test_client_certificate.py."""
    first, second = authority.client("pair1"), authority.client("pair2")
    cert, key = tmp_path / "c.pem", tmp_path / "k.pem"
    cert.write_bytes(first[0].read_bytes()), key.write_bytes(first[1].read_bytes())
    client = f'{{ cert: {cert}, key: "file:{key}" }}'
    proxy = keystile(one_api(f"https://127.0.0.1:{nginx_tls.port}", ca=authority.ca, client=client), {"api": evidence.secret("client")})
    assert proxy.ask(get("/api/say/x", proxy.token())).status == 200
    replace(proxy, (cert, second[0].read_text()))
    assert "it is not the key of the certificate in" in stale(proxy)["api"]
    assert proxy.ask(get("/api/say/x", proxy.token())).status == 200
    replace(proxy, (key, second[1].read_text()))
    assert stale(proxy) == {} and proxy.ask(get("/api/say/x", proxy.token())).status == 200


# tls:


def issuer(client):
    """Of the certificate that the other end shows."""
    return dict(pair[0] for pair in client.sock.getpeercert()["issuer"])["commonName"]


def test_ca_of_interception(keystile, origin, authority, another, tmp_path):
    """New connections are opened by the new CA, which clients find where the old one was; those that are there go on."""
    cert, key = tmp_path / "ca.crt", tmp_path / "ca.key"
    pairs = [(one.ca.read_text(), (one.folder / "ca.key").read_text()) for one in (authority, another)]
    cert.write_text(pairs[0][0]), key.write_text(pairs[0][1])
    server = origin(context=authority.server_context())
    config = one_api(f"https://localhost:{server.port}", ca=authority.ca, intercept="true")
    proxy = keystile(config, {"api": evidence.secret("tls")}, {"tls": f"{{{{ ca_cert: {cert}, ca_key: {key} }}}}"})
    proxy.intercepts, request = f"localhost:{server.port}", get("/x", proxy.token(), host=f"localhost:{server.port}")
    with InTls(proxy) as old:
        assert issuer(old) == "Keystile test CA" and old.ask(request).status == 200
        replace(proxy, (cert, pairs[1][0]))
        assert "tls.ca_key: " in stale(proxy)["ca"], "half of a pair is none"
        with InTls(proxy) as between:
            assert issuer(between) == "Keystile test CA"
        replace(proxy, (key, pairs[1][1]))
        assert stale(proxy) == {} and (proxy.folder / "state/ca.pem").read_text() == pairs[1][0]
        assert pairs[1][0] in (proxy.folder / "state/bundle.pem").read_text()
        with InTls(proxy) as new:
            assert issuer(new) == "another CA" and new.ask(request).status == 200
        assert old.ask(request).status == 200, "it was there before"
        replace(proxy, (cert, None))
        assert "No such file" in stale(proxy)["ca"]
        with InTls(proxy) as last:
            assert issuer(last) == "another CA" and last.ask(request).status == 200


def ca_files(proxy):
    return [path.read_bytes() for path in (proxy.folder / "state/ca.pem", proxy.folder / "more/bundle.pem")]


def test_ca_that_cannot_be_handed_out(keystile, origin, authority, another, tmp_path):
    """Clients find, whole, the CA that is in use: by a refused configuration, and by new files of it."""
    cert, key = tmp_path / "ca.crt", tmp_path / "ca.key"
    pairs = [(one.ca.read_text(), (one.folder / "ca.key").read_text()) for one in (authority, another)]
    cert.write_text(pairs[0][0]), key.write_text(pairs[0][1])
    server = origin(context=authority.server_context())
    proxy = keystile(one_api(f"https://localhost:{server.port}", ca=authority.ca, intercept="true"), {"api": evidence.secret("tls")},
                     {"tls": f"{{{{ ca_cert: {cert}, ca_key: {key}, bundle_out: more/bundle.pem }}}}"}, start=False)
    (proxy.folder / "more").mkdir()
    proxy.start()
    proxy.intercepts, before = f"localhost:{server.port}", ca_files(proxy)
    text = proxy.text.replace(str(cert), str(another.ca)).replace(str(key), str(another.folder / "ca.key"))
    by_rename(proxy.config, text.replace("audit.jsonl", "no/audit.jsonl"))
    wait_for(lambda: "refused_configuration" in json.loads(admin(proxy, "/readyz").body), "the refusal")
    assert ca_files(proxy) == before
    by_rename(proxy.config, proxy.text)
    wait_for(lambda: "refused_configuration" not in json.loads(admin(proxy, "/readyz").body), "the refusal's end")
    (proxy.folder / "more").rename(proxy.folder / "gone")
    replace(proxy, (cert, pairs[1][0]), (key, pairs[1][1]))
    wait_for(lambda: "clients cannot be given the new CA" in listed_as_stale(proxy).get("ca", ""), "the reason")
    assert "tls.bundle_out: " in stale(proxy)["ca"] and (proxy.folder / "state/ca.pem").read_bytes() == before[0]
    with InTls(proxy) as client:
        assert issuer(client) == "Keystile test CA"
    (proxy.folder / "gone").rename(proxy.folder / "more")
    assert ca_files(proxy) == before
    proxy.process.send_signal(signal.SIGHUP)
    wait_for(lambda: listed_as_stale(proxy) == {}, "the new CA")
    assert stale(proxy) == {} and ca_files(proxy)[0].decode() == pairs[1][0]
    with InTls(proxy) as client:
        assert issuer(client) == "another CA"


def test_own_ca_stays(keystile, origin, authority):
    """Where nothing is intercepted for a while, clients that run meanwhile trust the right one later, too."""
    server = origin(context=authority.server_context())
    proxy = keystile(one_api(f"https://localhost:{server.port}", ca=authority.ca, intercept="true"), {"api": evidence.secret("tls")})
    proxy.intercepts, trusted = f"localhost:{server.port}", (proxy.folder / "state/ca.pem").read_bytes()
    for number, text in enumerate((proxy.text.replace("    intercept: true\n", ""), proxy.text), 1):
        by_rename(proxy.config, text)
        wait_for(lambda: proxy.log().count("keystile.yaml: taken") == number, "the configuration")
    assert (proxy.folder / "state/ca.pem").read_bytes() == trusted
    with InTls(proxy) as client:
        assert client.ask(get("/x", proxy.token(), host=proxy.intercepts)).status == 200


# session.key


@pytest.fixture
def keyed(keystile, origin):
    """proxyd, and what its tokens are by another session.key, as a replica would have them."""
    proxy = keystile(one_api(f"http://127.0.0.1:{origin().port}"), {"api": evidence.secret("key")})
    proxy.key = proxy.folder / "session.key"
    return proxy


def tokens(proxy):
    return proxy.token(), proxy.proxy_token(), proxy.envgen("admin").out.strip().split("=")[1]


def bytes_over(path, content):
    """As by_rename(), for what is no text."""
    beside = path.with_name(".beside")
    beside.write_bytes(content)
    beside.chmod(0o600)
    os.rename(beside, path)


def test_session_key(keyed):
    """Old tokens are refused with their reason, on a connection that was there before too, and new ones are good."""
    old = tokens(keyed)
    with keyed.client() as client:
        assert client.ask(get("/api/x", old[0])).status == 200
        bytes_over(keyed.key, os.urandom(32))
        wait_for(lambda: admin(keyed, "/status", f"Authorization: Bearer {old[2]}").status == 401, "the end of the old key")
        told = problem(client.ask(get("/api/x", old[0])), 401)
        assert "token" in told["detail"] and "envgen" in told.get("hint", ""), told
        new = tokens(keyed)
        assert client.ask(get("/api/x", new[0])).status == 200
    assert admin(keyed, "/status", f"Authorization: Bearer {new[2]}").status == 200 and not set(old) & set(new)
    assert [(line["verdict"], line.get("reason")) for line in keyed.audit(3)] == [("allow", None), ("deny", "bad_token"), ("allow", None)]


def test_session_key_that_is_none(keyed):
    """The last good one stays, whatever stands there, and where nothing does none is made."""
    token, good = keyed.token(), keyed.key.read_bytes()
    for number, (bad, why) in enumerate(((good[:31], "holds 32 bytes, this one 31"), (b"", "this one 0"), (None, "No such file")), 1):
        keyed.key.unlink() if bad is None else bytes_over(keyed.key, bad)
        wait_for(lambda: why in listed_as_stale(keyed).get("session_key", ""), why)
        assert list(stale(keyed)) == ["session_key"] and keyed.ask(get("/api/x", token)).status == 200
        assert keyed.log().count("the last good one stays in use: session key: ") == number
    assert not keyed.key.exists()
    bytes_over(keyed.key, good)
    wait_for(lambda: listed_as_stale(keyed) == {}, "the key")
    assert keyed.ask(get("/api/x", token)).status == 200 and "the session key is good again" in keyed.log()


# What is odd


def test_odd_values_are_told_of_once(keystile, origin, tmp_path):
    """At start, and again once the value is another one that is odd; not at each reload of what is beside it."""
    path = tmp_path / "secret"
    path.write_text("odd1 \n")
    proxy = keystile(one_api(f"http://127.0.0.1:{origin().port}").replace("vault:api", f"file:{path}"))

    def told():
        return proxy.log().count("of api begins or ends with a blank")

    assert told() == 1
    for number in range(2):
        by_rename(proxy.config, proxy.text + f"limits: {{ fields: {90 + number} }}\n")
        wait_for(lambda: scrape(proxy)["keystile_limit", "fields", "count"] == 90 + number, "the configuration")
    assert told() == 1
    for value, count in (("odd2 ", 2), ("even", 2), ("odd3 ", 3)):
        replace(proxy, (path, value))
        assert told() == count, value
