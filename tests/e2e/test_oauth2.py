"""`inject: { oauth2: … }` (SPEC §2): what the token server is asked, what the API gets, by every way in, and nothing that the agent
should not see. What becomes of refresh tokens is in test_oauth2_refresh.py, of time in test_oauth2_life.py."""

import ssl

import pytest

from peers import evidence
from peers.config import basic, get, problem
from peers.h2 import H2
from peers.in_tls import InTls
from peers.keystile import wait_for
from peers.minting import admin, checked, credential, oauth2, secrets_of
from peers.token_server import Api, TokenServer
from peers.tunnel import open_tunnel
from test_ways import proxied


def the_one(requests):
    (asked,) = requests
    return asked


# What the token server is asked


@pytest.mark.parametrize("auth", [None, "basic", "body"])
def test_client_credentials(minting, auth):
    """Id and key are full of what a form encodes, in the body and (RFC 6749 2.3.1) before Basic; they go one way only."""
    one = minting(auth=auth)
    response = one.ask("/a/b?c=d", "User-Agent: agent", "Cookie: its=own", "Accept-Encoding: br", "X-Its: own")
    assert (response.status, response.text) == (200, "ok")
    asked = the_one(one.server.requests)
    assert (asked.method, asked.path, asked.status) == ("POST", "/token", 200)
    assert asked.get("Content-Type").split(";")[0] == "application/x-www-form-urlencoded"
    assert "json" in asked.get("Accept", "json") and asked.get("Host") == f"127.0.0.1:{one.server.port}"
    in_body = {"client_id": [one.client.client_id], "client_secret": [one.client.key]}
    assert asked.form == {"grant_type": ["client_credentials"], **(in_body if auth == "body" else {})}
    assert bool(asked.all("Authorization")) == (auth != "body")
    for name in ("Cookie", "X-Its", "Referer", "Proxy-Authorization"):
        assert asked.all(name) == [], asked
    assert "agent" not in asked.get("User-Agent", "") and one.token not in str(asked)
    came = the_one(one.api.requests)
    assert (came.path, came.all("Authorization")) == ("/a/b?c=d", [f"Bearer {asked.told['access_token']}"])


@pytest.mark.parametrize("auth,method", [(None, "client_secret_post"), ("body", "client_secret_basic")])
def test_the_wrong_way_is_refused(minting, auth, method):
    """Each client has one way of showing itself; the other is not tried."""
    one = minting(auth=auth, start=False)
    one.client.auth = method
    one.start()
    told = problem(one.ask(), 503)
    assert "invalid_client" in told["detail"] or "401" in told["detail"], told
    assert all(bool(asked.all("Authorization")) == (auth is None) for asked in one.server.requests)
    assert one.api.requests == []


@pytest.mark.parametrize("scope", [None, "read", "read write"])
def test_scope(minting, scope):
    one = minting(scope=scope)
    assert one.ask().status == 200
    asked = the_one(one.server.requests)
    assert asked.form.get("scope") == ([scope] if scope else None)
    assert asked.told["scope"] == (scope or "read write")


@pytest.mark.parametrize("path", ["/oauth/v2.0/a%20b/token", "/oauth/token/", "/token?p=B2C_1%2Fx&y"])
def test_the_path_of_token_url_is_kept(minting, path):
    """And its query, which RFC 6749 3.2 lets it have."""
    one = minting(start=False)
    text = one.proxy.config.read_text().replace("/token\"", f"{path}\"")
    one.proxy.config.write_text(text)
    one.start()
    assert one.ask().status == (200 if path.startswith("/token?") else 503)
    assert one.server.requests[0].raw == path


def test_used_as_long_as_it_is_good(minting):
    one = minting()
    for _ in range(20):
        assert one.ask().status == 200
    assert len(one.server.requests) == 1 and len(set(one.api.tokens)) == 1


# By every way in


@pytest.mark.parametrize("way", ["reverse", "absolute", "intercepted", "h2", "intercepted h2"])
def test_ways(minting, serving, authority, way):
    """The agent's own Authorization reaches nobody, whatever it is."""
    inside = way.startswith("intercepted")
    server = serving(TokenServer)
    api = serving(Api, server.store.find, context=authority.server_context() if inside else None)
    host = f"{'localhost' if inside else '127.0.0.1'}:{api.port}"
    more = {"intercept": "true", "ca": authority.ca, "upstream": f"https://{host}"} if inside else {}
    one = minting(server=server, api=api, **more)
    proxy = one.proxy
    proxy.intercepts = host
    own = "Bearer agents-own-token"
    if way == "reverse":
        status = one.ask("/y").status
    elif way == "absolute":
        status = proxy.ask(proxied(f"http://{host}/y", proxy.proxy_token(), f"Authorization: {own}")).status
    elif way == "h2":
        with H2(proxy) as client:
            status = client.ask("/api/y").status
    elif way == "intercepted":
        with InTls(proxy) as client:
            status = client.ask(get("/y", None, f"Authorization: {own}", "Authorization: Basic eDp5", host=host)).status
    else:
        status = in_h2(proxy, host)
    assert status == 200
    came = the_one(api.requests)
    assert (came.path, came.all("Authorization")) == ("/y", [f"Bearer {server.requests[0].told['access_token']}"])
    assert "agents-own" not in str(came.fields) and one.token not in str(came.fields)
    (line,) = proxy.audit(1, event="end", credential="api", path="/y")
    assert (line["injected"], line["verdict"], line["status"]) == (True, "allow", 200)


def in_h2(proxy, host):
    context = ssl.create_default_context(cafile=proxy.folder / "state/ca.pem")
    context.set_alpn_protocols(["h2"])
    client = open_tunnel(proxy, host, proxy.proxy_token())
    client.sock = context.wrap_socket(client.sock, server_hostname="localhost")
    with H2(proxy, stream=client) as streams:
        return streams.ask("/y", scheme="https", authority=host, token="agents-own-token").status


def test_who_shows_no_token_costs_none(minting):
    """As Bearer, as Basic with any user; else 401, and nobody is asked."""
    one = minting()
    problem(one.proxy.ask(get("/api/x", "wrong")), 401)
    problem(one.proxy.ask(get("/api/x", None)), 401)
    assert one.api.requests == []
    assert one.ask().status == 200
    assert one.proxy.ask(get("/api/x", None, f"Authorization: {basic('any', one.token)}")).status == 200
    assert all(one.token not in str(came) for came in one.api.requests)


# What is seen of it


def test_scrubbed(minting):
    """An API that shows what it got: the minted token is a secret like any other."""
    one = minting()
    one.api.answer = lambda asked: (f"you: {asked.get('Authorization')}!", 200, {"X-You": asked.get("Authorization")})
    response = one.ask()
    value = one.server.requests[0].told["access_token"]
    assert response.text == f"you: Bearer {'*' * len(value)}!"
    assert response.get("X-You") == "Bearer [secret]"
    assert one.proxy.audit(1, event="end")[0]["scrubbed"]


def test_seen_nowhere(minting):
    """With everything that goes wrong, at -v. (What is seen of ids, keys and tokens fails every test with `minting`, at its end.)"""
    one = minting(start=False, life=2)
    one.proxy.start("-v")
    one.token = one.proxy.token()
    assert one.ask().status == 200
    one.server.before = lambda asked: ({"error": "invalid_client", "error_description": f"{asked.form} {asked.get('Authorization')}"}, 401)
    one.store.revoke()
    for _ in range(5):
        assert one.ask().status in (401, 503)
    one.wait_until_expired()
    for path in ("/readyz", "/readyz?all", "/status", "/metrics", "/"):
        assert evidence.find(admin(one.proxy, path).body) == []
    assert one.proxy.check().returncode == 0
    memory = open(f"/proc/{one.proxy.process.pid}/cmdline", "rb").read() + open(f"/proc/{one.proxy.process.pid}/environ", "rb").read()
    assert evidence.find(memory) == []


# Many at a time


@pytest.mark.parametrize("workers", ["1", "4"])
def test_fifty_at_start(minting, workers):
    """One request to the token server, however many wait for what comes of it."""
    one = minting(head={"workers": workers}, start=False)
    gate = one.server.hold()
    one.start()

    def release():
        wait_for(lambda: one.server.requests, "a request to the token server")
        gate.set()

    assert [response.status for response in one.at_once(50, release)] == [200] * 50
    assert len(one.server.requests) == 1 and len(set(one.api.tokens)) == 1 and len(one.api.requests) == 50


def test_a_client_that_goes_takes_no_token_along(minting):
    """It waited for the token server, and went: the next has what was minted."""
    one = minting(start=False)
    gate = one.server.hold()
    one.start()
    with one.proxy.client() as client:
        client.send(get("/api/x", one.token))
        wait_for(lambda: one.server.requests, "a request to the token server")
    gate.set()
    assert one.ask().status == 200
    assert len(one.server.requests) == 1


# The configuration


def check_says(keystile, inject, secrets, *words, head=None):
    said = checked(keystile, credential("api", "http://127.0.0.1:9", inject, secrets), head=head)
    assert said.returncode == 1 and "not built" not in said.err, said.err
    assert all(word in said.err for word in words) and "keystile.yaml:" in said.err, said.err


URL = "https://auth.test/token"


@pytest.mark.parametrize("source", ["file:refresh", "env:REFRESH", "systemd:refresh", "exec:cat refresh"])
def test_refresh_is_in_the_vault(keystile, source):
    """It changes as it is used, and nothing else can be written."""
    check_says(keystile, oauth2(URL), f'secrets: {{ id: vault:id, key: vault:key, refresh: "{source}" }}', "refresh", "vault:")


def test_no_vault(keystile):
    check_says(keystile, oauth2(URL), secrets_of("id", "refresh"), "vault", head={"vault": None})


@pytest.mark.parametrize("names,word", [(["id"], "key"), (["key"], "id"), (["refresh"], "id"), (["key", "refresh"], "id")])
def test_what_it_needs(keystile, names, word):
    check_says(keystile, oauth2(URL), secrets_of(*names), f'"{word}"')


@pytest.mark.parametrize("inject,words", [
    (f'[ {oauth2(URL)}, {{ header: Authorization, value: "Bearer {{key}}" }} ]', ["Authorization"]),
    (f"[ {oauth2(URL)}, {oauth2(URL)} ]", ["twice"]),
    ('{ oauth2: { scope: a } }', ["token_url"]),
    (oauth2("ftp://auth.test/token"), ["https://"]),
    (oauth2("https://id:key@auth.test/token"), []),
    (oauth2("https://*.auth.test/token"), []),
    (oauth2("https://auth.test/token#x"), []),
])
def test_errors(keystile, inject, words):
    check_says(keystile, inject, secrets_of("id", "key"), *words)


def test_what_is_good_is_good(keystile):
    for names in (["id", "key"], ["id", "refresh"], ["id", "key", "refresh"]):
        said = checked(keystile, credential("api", "https://api.test", oauth2(URL, scope="a b", auth="body"), secrets_of(*names)))
        assert said.returncode == 0, said.err
