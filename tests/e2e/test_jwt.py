"""`inject: { jwt: … }` (SPEC §2): JWTs that PyJWT verifies at the upstream, that a token server takes for a token, that GitHub and
Google take as their clocks have it."""

import json
import time

import jwt
import pytest
from joserfc import jwk

from peers import evidence
from peers.config import get, problem
from peers.evidence import EVIDENCE
from peers.grants import JWT_BEARER, Known
from peers.in_tls import InTls
from peers.keystile import wait_for
from peers.minting import checked, config_of, credential, not_ready, waiting
from peers.serving import age, begun
from peers.signed_tokens import GitHub, Google, Pair, Verifying
from peers.token_server import Api, TokenServer
from test_ways import proxied

ALGS = ["RS256", "ES256", "EdDSA", "HS256"]
SECRET = "secret: vault:key"
AGENT = "User-Agent: agent"


@pytest.fixture
def signing(keystile):
    """signing(UPSTREAM, INJECT, KEY) gives proxyd with the key as the secret of `api`. No line of the key is seen anywhere."""
    made = []

    def make(upstream, inject, key, start=True, network=None, env=None, head=None, lines=(), **more):
        one = keystile(config_of(credential("api", upstream, inject, SECRET, **more)), {"key": key}, head, start=False, network=network)
        made.append((one, [line for line in (*lines, *key.split("\n")) if len(line) > 30 and "PRIVATE KEY" not in line]))
        if start:
            one.start(env=env)
            one.api_token = one.token()
        return one

    finds = len(EVIDENCE.finds)
    yield make
    for one, lines in made:
        seen = one.log() + "".join(path.read_text() for path in one.folder.glob("*.jsonl"))
        assert not [line for line in lines if line in seen]
        one.stop()
    assert EVIDENCE.finds[finds:] == []


def ask(proxy, path="/x", *fields):
    return proxy.ask(get("/api" + path, proxy.api_token, begun(), *fields))


def alone(alg, **claims):
    pairs = "".join(f", {name}: {json.dumps(value)}" for name, value in claims.items())
    return f"{{ jwt: {{ alg: {alg}, claims: {{ iss: me{pairs} }} }} }}"


# By itself


@pytest.mark.parametrize("alg", ALGS)
def test_alone(signing, serving, alg):
    """The JWT is what goes out."""
    pair = Pair(alg)
    api = serving(Verifying, pair)
    proxy = signing(api.url, alone(alg, sub="1", aud="https://api.test", note='é "x" \\'), pair.secret)
    for _ in range(3):
        assert ask(proxy).status == 200, api.refused
    claims, now = api.claims[0], time.time()
    assert {name: claims[name] for name in ("iss", "sub", "aud", "note")} == {
        "iss": "me", "sub": "1", "aud": "https://api.test", "note": 'é "x" \\'}
    assert now - 120 <= claims["iat"] <= now < claims["exp"] <= now + 86400
    header = api.headers[0]
    assert header["alg"] == alg and header.get("typ", "JWT") == "JWT" and set(header) <= {"alg", "typ", "kid"}


@pytest.mark.parametrize("way", ["absolute", "intercepted"])
def test_other_ways(signing, serving, authority, way):
    pair = Pair("ES256")
    api = serving(Verifying, pair, context=authority.server_context() if way == "intercepted" else None)
    host = f"localhost:{api.port}" if way == "intercepted" else f"127.0.0.1:{api.port}"
    more = {"intercept": "true", "ca": authority.ca} if way == "intercepted" else {}
    proxy = signing(f"{'https' if more else 'http'}://{host}", alone("ES256"), pair.secret, **more)
    own = "Authorization: Bearer agents-own"
    if more:
        proxy.intercepts = host
        with InTls(proxy) as client:
            assert client.ask(get("/x", None, own, host=host)).status == 200
    else:
        assert proxy.ask(proxied(f"http://{host}/x", proxy.proxy_token(), own)).status == 200
    (came,) = api.requests
    assert len(came.all("Authorization")) == 1 and "agents-own" not in str(came)


FORMS = {
    "PKCS#8": lambda pair: pair.secret,
    "with CRLF": lambda pair: pair.secret.replace("\n", "\r\n"),
    "with \\n": lambda pair: pair.secret.strip().replace("\n", "\\n"),
    "without an end": lambda pair: pair.secret.strip(),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA"])
def test_forms_of_keys(signing, serving, alg, form):
    pair = Pair(alg)
    api = serving(Verifying, pair)
    proxy = signing(api.url, alone(alg), FORMS[form](pair), lines=pair.lines())
    assert ask(proxy).status == 200, api.refused


@pytest.mark.parametrize("alg", ["RS256", "ES256"])
def test_traditional_keys(signing, serving, alg):
    """As GitHub gives them: BEGIN RSA PRIVATE KEY."""
    pair = Pair(alg, "traditional")
    api = serving(Verifying, pair)
    assert ask(signing(api.url, alone(alg), pair.secret)).status == 200, api.refused


@pytest.mark.parametrize("source", ["file", "env", "exec"])
def test_sources(signing, serving, tmp_path, source):
    pair = Pair("EdDSA")
    api = serving(Verifying, pair)
    (tmp_path / "key.pem").write_text(pair.secret)
    text = {"file": f"file:{tmp_path}/key.pem", "env": "env:THE_KEY", "exec": f"'exec:/bin/cat {tmp_path}/key.pem'"}[source]
    proxy = signing(api.url, alone("EdDSA"), pair.secret, start=False)
    proxy.config.write_text(proxy.text.replace("vault:key", text))
    proxy.start(env={"THE_KEY": pair.secret})
    proxy.api_token = proxy.token()
    assert ask(proxy).status == 200, api.refused


def test_life(signing, serving):
    """`ttl` is how long it is good; a fresh one goes out in time."""
    pair = Pair("ES256")
    api = serving(Verifying, pair)
    proxy = signing(api.url, alone("ES256"), pair.secret, ttl="5s")
    wait_for(lambda: (ask(proxy).status == 200, len({claims["iat"] for claims in api.claims}) >= 3)[1], "two more of them", 60)
    assert not api.refused
    for claims in api.claims:
        assert claims["exp"] - claims["iat"] <= 5 + 60, claims  # `iat` may be back-dated


@pytest.mark.parametrize("method,body", [("GET", ""), ("POST", "abc")])
def test_a_401_drops_it(signing, serving, method, body):
    """Signed anew, and the request repeated once."""
    pair = Pair("ES256")
    api = serving(Verifying, pair)
    proxy = signing(api.url, alone("ES256"), pair.secret)
    assert ask(proxy).status == 200
    api.before = lambda asked: ("no", 401) if len(api.requests) == 2 else None
    response = proxy.ask(get("/api/y", proxy.api_token, *([f"Content-Length: {len(body)}"] if body else []), method=method) + body)
    assert response.status == 200 and [asked.status for asked in api.requests] == [200, 401, 200]
    assert api.requests[1].body == api.requests[2].body == body.encode()


WRONG = {
    "no key": lambda: "hello hello hello hello hello hello",
    "a public key": lambda: "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----",
    "a key of another kind": lambda: Pair("ES256").secret,
    "half a key": lambda: Pair("RS256").secret[:800],
    "an open mark": lambda: "-----BEGIN PRIVATE KEY-----",
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_keys(signing, serving, what):
    """Told at start, in /readyz and to who asks, without a line of it; nothing goes out."""
    api = serving(Verifying, Pair("RS256"))
    proxy = signing(api.url, alone("RS256"), WRONG[what]())
    detail = not_ready(ask(proxy))
    assert "key" in detail, detail
    assert api.requests == [] and "key" in waiting(proxy)["api"]


def test_scrubbed(signing, serving):
    """The JWT that goes out is a secret."""
    pair = Pair("ES256")
    api = serving(Api, lambda value: None)
    api.before = lambda asked: (f"you: {asked.get('Authorization')}", 200)
    proxy = signing(api.url, alone("ES256"), pair.secret)
    value = ask(proxy).text.removeprefix("you: Bearer ")
    assert value == "*" * len(api.tokens[0]) and len(value) > 100


# For a token


@pytest.mark.parametrize("alg,kind", [("RS256", "RSA"), ("ES256", "EC"), ("HS256", "oct")])
def test_token_url(signing, serving, alg, kind):
    """RFC 7523 2.1, with nothing but the assertion. (Authlib does not take EdDSA in one.)"""
    pair, server = Pair(alg), serving(TokenServer, 6)
    server.store.add(Known("me", public_key=jwk.import_key(pair.secret, kind)))
    api = serving(Api, server.store.find)
    inject = alone(alg, sub="me", aud=server.token_url).replace(" } } }", f' }}, token_url: "{server.token_url}" }} }}')
    proxy = signing(api.url, inject, pair.secret)
    response = ask(proxy)
    assert response.status == 200, [asked.told for asked in server.requests]
    asked = server.requests[0]
    assert asked.form["grant_type"] == [JWT_BEARER] and set(asked.form) == {"grant_type", "assertion"}
    assert asked.all("Authorization") == []
    assert api.tokens == [asked.told["access_token"]]
    wait_for(lambda: (ask(proxy).status == 200, len(set(api.tokens)) >= 2)[1], "a renewal", 60)
    assert {came.status for came in api.requests} == {200}
    server.store.revoke()
    assert ask(proxy).status == 200
    assert [came.status for came in api.requests[-2:]] == [401, 200]


# GitHub


INSTALLATION = "{ jwt: { github_app: 12345, installation: 67 } }"


@pytest.mark.parametrize("clock", [-30, 0, 30])
def test_github_app(signing, serving, clock):
    """The App's own JWT, for a clock that is off by half a minute either way."""
    pair = Pair("RS256", "traditional")
    github = serving(GitHub, 12345, pair.public, 67, clock)
    proxy = signing(github.url, "{ jwt: { github_app: 12345 } }", pair.secret)
    assert json.loads(ask(proxy, "/app", AGENT).body)["id"] == "12345", github.refused
    claims = jwt.decode(github.requests[0].get("Authorization").split()[1], pair.public, ["RS256"])
    now = time.time()
    assert -65 <= claims["iat"] - now <= -55 and claims["exp"] - now < 600 and set(claims) - {"jti"} == {"iss", "iat", "exp"}


@pytest.mark.parametrize("clock", [-30, 0, 30])
@pytest.mark.parametrize("prefix", ["", "/api/v3"])
def test_github_installation(signing, serving, clock, prefix):
    """Its token, from the same host: GitHub refuses a request without a User-Agent, so ours has one."""
    pair = Pair("RS256", "traditional")
    github = serving(GitHub, 12345, pair.public, 67, clock, prefix=prefix)
    proxy = signing(github.url + prefix, INSTALLATION, pair.secret)
    for _ in range(3):
        assert ask(proxy, "/repos/a/b", AGENT).status == 200, github.refused
    minted, *asked = github.requests
    assert (minted.method, minted.path, minted.status) == ("POST", f"{prefix}/app/installations/67/access_tokens", 201)
    assert minted.get("User-Agent") and "agent" not in minted.get("User-Agent")
    assert "json" in minted.get("Accept", "json") and not minted.form
    (value,) = github.given
    assert [one.all("Authorization") for one in asked] == [[f"Bearer {value}"]] * 3


def test_github_installation_is_renewed(signing, serving):
    """`expires_at` is its end; a token that was revoked is replaced."""
    pair = Pair("RS256")
    github = serving(GitHub, 12345, pair.public, 67, life=6)
    proxy = signing(github.url, INSTALLATION, pair.secret)
    wait_for(lambda: (ask(proxy, "/repos/a", AGENT).status == 200, len(github.used) >= 2)[1], "a renewal", 60)
    assert not github.refused
    for value in github.given:
        github.given[value] = 0
    assert ask(proxy, "/repos/a", AGENT).status == 200 and github.refused == ["Bad credentials"]


@pytest.mark.parametrize("app,installation,status", [(12346, 67, "401"), (12345, 68, "404")])
def test_github_refuses(signing, serving, app, installation, status):
    pair = Pair("RS256")
    github = serving(GitHub, app, pair.public, installation)
    proxy = signing(github.url, INSTALLATION, pair.secret)
    assert status in not_ready(ask(proxy, "/repos/a", AGENT))
    assert status in waiting(proxy)["api"] and all(one.path.startswith("/app/") for one in github.requests)


@pytest.mark.parametrize("answer", [
    {"expires_at": "2099-01-01T00:00:00Z"}, {"token": "ghs_aaaaaaaa", "expires_at": "2001-01-01T00:00:00Z"},
    {"token": "ghs_aaaaaaaa", "expires_at": "tomorrow"}, {"token": "ghs_aaaaaaaa", "expires_at": "2099-13-41T00:00:00Z"},
    {"token": "ghs a", "expires_at": "2099-01-01T00:00:00Z"}, {"token": "ghs_aaaaaaaa", "expires_at": 4070908800}])
def test_github_lies(signing, serving, answer):
    pair = Pair("RS256")
    github = serving(GitHub, 12345, pair.public, 67)
    github.before = lambda asked: (answer, 201) if asked.method == "POST" else None
    proxy = signing(github.url, INSTALLATION, pair.secret)
    not_ready(ask(proxy, "/repos/a", AGENT))
    assert all(one.method == "POST" for one in github.requests)


# Google


GOOGLE, STORAGE = "198.51.100.110", "198.51.100.111"
SCOPE = "https://www.googleapis.com/auth/devstorage.read_only"


@pytest.fixture
def google(signing, serving, network, authority):
    """google(CLOCK) gives proxyd and Google, at its own names."""
    network.names.addresses.update({"oauth2.googleapis.com": GOOGLE, "storage.googleapis.com": STORAGE})
    context = authority.server_context("google", ["DNS:*.googleapis.com"])

    def start(clock=0, life=3599, account=None, **more):
        server = serving(Google, Pair("RS256"), SCOPE, clock, life, context=context, host=GOOGLE, port=443, network=network)
        api = serving(Api, lambda value: None, context=context, host=STORAGE, port=443, network=network)
        api.before = lambda asked: (
            ("ok", 200) if server.given.get(asked.get("Authorization")[7:], 0) > time.monotonic() - age() else ("no", 401))
        secret = account or server.account()
        proxy = signing("https://storage.googleapis.com", f'{{ jwt: {{ google: "{SCOPE}" }} }}', secret, network=network,
                        env={"SSL_CERT_FILE": str(authority.ca)}, lines=server.pair.lines(), **more)
        return proxy, server, api

    return start


@pytest.mark.parametrize("clock", [-30, 0, 30])
def test_google(google, clock):
    proxy, server, api = google(clock)
    for _ in range(3):
        assert ask(proxy, "/storage/v1/b").status == 200, server.refused
    (asked,) = server.requests
    assert set(asked.form) == {"grant_type", "assertion"} and asked.all("Authorization") == []
    (value,) = server.given
    assert api.tokens == [value] * 3


def test_google_is_renewed(google):
    proxy, server, api = google(life=3)
    wait_for(lambda: (ask(proxy).status == 200, len(server.given) >= 3)[1], "two renewals")
    assert {came.status for came in api.requests} == {200} and not server.refused


@pytest.mark.parametrize("account,word", [("{}", "key"), ("[]", ""), ("hello", "JSON"), ('{"client_email": "me@x.test"}', "private_key")])
def test_google_without_an_account(google, account, word):
    proxy, server, api = google(account=account)
    assert word in not_ready(ask(proxy))
    assert server.requests == api.requests == []


# The configuration


@pytest.mark.parametrize("inject,words", [
    ('[ { jwt: { alg: RS256 } }, { header: X-Key, value: "{secret}" } ]', ["jwt"]),
    ('[ { jwt: { alg: RS256 } }, { query: key } ]', ["jwt"]),
    ('[ { jwt: { github_app: 1 } }, { header: Authorization, value: "{secret}" } ]', ["Authorization"]),
    ("{ jwt: { alg: none } }", ["alg"]),
    ('{ jwt: { alg: RS256, token_url: "ftp://auth.test" } }', ["https://"]),
])
def test_errors(keystile, inject, words):
    """The key itself goes nowhere."""
    said = checked(keystile, credential("api", "http://127.0.0.1:9", inject, SECRET))
    assert "not built" not in said.err, said.err
    assert said.returncode == 1 and "keystile.yaml:" in said.err and all(word in said.err for word in words), said.err


def test_what_waits_is_told(signing, serving):
    """A key that is not there yet."""
    proxy = signing(serving(Verifying, Pair("RS256")).url, alone("RS256"), "x" * 40, start=False)
    proxy.creds("rm", "key")
    proxy.start()
    proxy.api_token = proxy.token()
    told = problem(ask(proxy), 503)
    assert "vault:key" in told["detail"] and "api" in waiting(proxy)
    assert evidence.CANARY not in str(told)
