"""Are the token servers of these tests what they say? Driven by Authlib's own client, requests, curl and PyGithub, without proxyd."""

import json
import subprocess
import threading
import time
import urllib.parse

import github
import jwt
import pytest
import requests
from authlib.integrations.requests_client import AssertionSession, OAuth2Session
from joserfc import jwk
from requests.auth import HTTPBasicAuth

from peers import evidence, liars
from peers.grants import Known
from peers.keystile import wait_for
from peers.signed_tokens import GitHub, Google, Pair, Verifying
from peers.token_server import Api, TokenServer

ODD = "a:b%41+c d é&=/"  # what a form encodes


@pytest.fixture
def server():
    one = TokenServer()
    yield one
    one.close()


@pytest.fixture
def api(server):
    one = Api(server.store.find)
    yield one
    one.close()


def post(server, data, auth=None):
    return requests.post(server.token_url, data=data, auth=auth)


def form_encoded(id, key):
    return HTTPBasicAuth(*(urllib.parse.quote_plus(part) for part in (id, key)))


CREDENTIALS = {"grant_type": "client_credentials"}


def test_authlibs_client(server, api):
    for auth in ("client_secret_basic", "client_secret_post"):
        server.store.add(Known(auth, "key", auth, scope="read write"))
        client = OAuth2Session(auth, "key", token_endpoint_auth_method=auth, scope="read")
        token = client.fetch_token(server.token_url, grant_type="client_credentials")
        assert (token["token_type"], token["expires_in"], token["scope"]) == ("Bearer", 3600, "read") and "refresh_token" not in token
        assert client.get(api.url + "/x?y").text == "ok"
    assert [asked.path for asked in api.requests] == ["/x?y", "/x?y"]


@pytest.mark.parametrize("auth", ["client_secret_basic", "client_secret_post"])
def test_each_client_has_one_method(server, auth):
    server.store.add(Known(ODD, ODD + "key", auth))
    in_body = {**CREDENTIALS, "client_id": ODD, "client_secret": ODD + "key"}
    by_basic, by_body = post(server, CREDENTIALS, form_encoded(ODD, ODD + "key")), post(server, in_body)
    good, bad = (by_basic, by_body) if auth == "client_secret_basic" else (by_body, by_basic)
    assert good.status_code == 200, good.text
    assert (bad.status_code, bad.json()["error"]) == (401, "invalid_client")
    both = post(server, in_body, form_encoded(ODD, ODD + "key"))
    assert (both.status_code, both.json()["error"]) == (400, "invalid_request")


def test_basic_is_form_encoded(server):
    """RFC 6749 2.3.1: a blank is `+` or %20, what stands as it is gets lost."""
    server.store.add(Known(ODD, ODD))
    for quote, status in ((urllib.parse.quote_plus, 200), (lambda text: urllib.parse.quote(text, safe=""), 200),
                          (lambda text: text.replace(":", "%3A"), 401), (lambda text: urllib.parse.quote(text, safe="+"), 401)):
        header = subprocess.run(["base64", "-w0"], input=f"{quote(ODD)}:{quote(ODD)}".encode(), capture_output=True).stdout.decode()
        argv = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"Authorization: Basic {header}", "-d",
                "grant_type=client_credentials", server.token_url]
        assert subprocess.run(argv, capture_output=True, text=True).stdout == str(status), quote(ODD)


def refreshed(server, value, **more):
    answer = post(server, {"grant_type": "refresh_token", "refresh_token": value, "client_id": "public", **more})
    return answer.json() if answer.status_code == 200 else answer.json()["error"]


def test_rotation(server, api):
    """Each refresh token once; one that comes again ends the chain, and a public client has no key to show."""
    first = server.store.grant(server.store.add(Known("public", auth="none")))
    assert refreshed(server, first, client_secret="x") == "invalid_client"
    one = refreshed(server, first)
    two = refreshed(server, one["refresh_token"])
    assert two["refresh_token"] not in (first, one["refresh_token"])
    bearer = {"Authorization": f"Bearer {two['access_token']}"}
    assert requests.get(api.url, headers=bearer).status_code == 200
    assert refreshed(server, one["refresh_token"]) == "invalid_grant"
    assert refreshed(server, two["refresh_token"]) == "invalid_grant"
    assert requests.get(api.url, headers=bearer).status_code == 401
    assert server.store.refresh[first].chain.lost


def test_grace(server, api):
    """A refresh token whose answer got lost is taken again, until something of that answer was used."""
    server.store.grace = True
    first = server.store.grant(server.store.add(Known("public", auth="none")))
    lost = refreshed(server, first)
    again = refreshed(server, first)
    assert again["access_token"] != lost["access_token"]
    assert requests.get(api.url, headers={"Authorization": f"Bearer {lost['access_token']}"}).status_code == 401
    assert refreshed(server, first) == "invalid_grant" and server.store.refresh[first].chain.lost
    first = server.store.grant(server.store.clients["public"])
    requests.get(api.url, headers={"Authorization": f"Bearer {refreshed(server, first)['access_token']}"})
    assert refreshed(server, first) == "invalid_grant"


def test_two_refreshes_at_a_time_lose_the_chain(server):
    first = server.store.grant(server.store.add(Known("public", auth="none")))
    begin, came = threading.Barrier(2), []
    server.before = lambda asked: (begin.wait(5), None)[1]
    threads = [threading.Thread(target=lambda: came.append(refreshed(server, first))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "invalid_grant" in came and server.most_running == 2 and server.store.refresh[first].chain.lost


def test_lives_and_revocation(server, api):
    server.store.add(Known("id", "key"))
    server.store.life = 1
    began = time.monotonic()
    bearer = {"Authorization": f"Bearer {post(server, CREDENTIALS, ('id', 'key')).json()['access_token']}"}
    while (answer := requests.get(api.url, headers=bearer)).status_code == 200:
        pass
    assert time.monotonic() - began > 0.9
    assert answer.status_code == 401 and answer.headers["WWW-Authenticate"].startswith('Bearer error="invalid_token"')
    server.store.life = 100
    bearer = {"Authorization": f"Bearer {post(server, CREDENTIALS, ('id', 'key')).json()['access_token']}"}
    assert requests.get(api.url, headers=bearer).status_code == 200
    server.store.revoke()
    assert requests.get(api.url, headers=bearer).status_code == 401
    assert requests.get(api.url).status_code == 401


@pytest.mark.parametrize("alg", ["RS256", "ES256"])
def test_assertions(server, api, alg):
    pair = Pair(alg)
    server.store.add(Known("signer", public_key=jwk.import_key(pair.secret, "RSA" if alg == "RS256" else "EC")))
    client = AssertionSession(server.token_url, issuer="signer", subject="signer", audience=server.token_url,
                              key=jwk.import_key(pair.secret, "RSA" if alg == "RS256" else "EC"), header={"alg": alg})
    assert client.get(api.url).text == "ok"
    other = jwt.encode({"iss": "signer", "aud": server.token_url, "exp": int(time.time()) + 60}, Pair(alg).secret, alg)
    answer = post(server, {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": other})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


def test_down_and_up(server):
    server.store.add(Known("id", "key"))
    for _ in range(2):
        server.down()
        with pytest.raises(requests.ConnectionError):
            post(server, CREDENTIALS, ("id", "key"))
        server.up()
        assert post(server, CREDENTIALS, ("id", "key")).status_code == 200


# --- GitHub and Google ---


def test_github():
    """PyGithub's own way, with its clock before and behind the server's."""
    pair = Pair("RS256", "traditional")
    server = GitHub(12345, pair.public, 67)
    try:
        app = github.GithubIntegration(auth=github.Auth.AppAuth(12345, pair.secret), base_url=server.url)
        assert app.get_access_token(67).token in server.given
        with pytest.raises(github.GithubException):
            app.get_access_token(68)
        server.clock = -120  # PyGithub's `iat` is a minute ago
        with pytest.raises(github.GithubException):
            app.get_access_token(67)
        assert "Issued at" in server.refused[-1]
        assert b"User-Agent header" in subprocess.run(["curl", "-s", "-A", "", server.url + "/app"], capture_output=True).stdout
    finally:
        server.close()


@pytest.mark.parametrize("claims,why", [
    ({"exp": 660}, "too far"), ({"iat": 60}, "Issued at"), ({"exp": -10}, "Expiration"), ({"iss": "1"}, "no such App"),
    ({"exp": 599.5}, "integers"), ({"iat": None}, "iat"), ({}, None)])
def test_githubs_clock(claims, why):
    pair = Pair("RS256")
    server, now = GitHub(12345, pair.public, 67), int(time.time())
    whole = {"iat": now - 60, "exp": now + 540, "iss": "12345"}
    whole.update({name: now + value if name != "iss" and value is not None else value for name, value in claims.items()})
    text = jwt.encode({name: value for name, value in whole.items() if value is not None}, pair.secret, "RS256")
    answer = requests.post(server.url + "/app/installations/67/access_tokens", headers={"Authorization": f"Bearer {text}"})
    server.close()
    assert answer.status_code == (401 if why else 201)
    assert why is None or why in server.refused[-1]


@pytest.mark.parametrize("changed,why", [
    ({}, None), ({"aud": "https://elsewhere.test"}, "elsewhere"), ({"scope": "b"}, "scope"), ({"exp": 3660}, "far"), ({"iat": 60}, "Issued"),
    ({"iss": "you"}, "you")])
def test_google(changed, why):
    server, now = Google(Pair("RS256"), "a"), int(time.time())
    try:
        account = json.loads(server.account())
        claims = {"iss": account["client_email"], "aud": account["token_uri"], "scope": "a", "iat": now, "exp": now + 3600}
        claims.update({name: now + value if type(value) is int else value for name, value in changed.items()})
        for kid in ("kid-1", "kid-2"):
            text = jwt.encode(claims, account["private_key"], "RS256", {"kid": kid})
            answer = requests.post(server.url + "/token", data={"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": text})
            assert answer.status_code == (200 if kid == "kid-1" and not why else 400), server.refused
        assert not why or why in server.refused[0]
        if not why:
            (value,) = server.given
            assert requests.get(server.url + "/storage", headers={"Authorization": f"Bearer {value}"}).text == "ok"
        assert requests.get(server.url + "/storage", headers={"Authorization": "Bearer x"}).status_code == 401
    finally:
        server.close()


@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA", "HS256"])
def test_verifying(alg):
    pair = Pair(alg)
    server, now = Verifying(pair), int(time.time())
    for key, status in ((pair.secret, 200), (Pair(alg).secret + "x" * (alg == "HS256"), 401)):
        text = jwt.encode({"iat": now, "exp": now + 60}, key, alg)
        assert requests.get(server.url + "/x", headers={"Authorization": f"Bearer {text}"}).status_code == status
    server.close()


# --- those that lie ---


@pytest.mark.parametrize("what", [name for name, lie in liars.LIES.items() if 200 not in lie.statuses])
def test_no_token_comes_of_a_lie(origin, what):
    """Nothing that a careful reader takes for a token within a second."""
    server = origin(liars.LIES[what].script)
    argv = ["curl", "-sS", "-m", "1", "--max-filesize", "100000", "-u", "id:key", "-d", "client_secret=key", f"http://127.0.0.1:{server.port}/token",
            "-w", "\n%{http_code}"]
    done = subprocess.run(argv, capture_output=True)
    body, _, status = done.stdout.rpartition(b"\n")
    wait_for(lambda: server.requests, "the request")

    def once(pairs):
        assert len(dict(pairs)) == len(pairs), "a member stands twice"
        return dict(pairs)

    if done.returncode == 0 and status == b"200":
        try:
            told = json.loads(body, object_pairs_hook=once)
            value, life = told["access_token"], told.get("expires_in", 1)
        except (ValueError, KeyError, TypeError, AssertionError, RecursionError):
            return
        assert not (isinstance(value, str) and value and value.isascii() and value.isprintable() and " " not in value and type(life) is int
                    and life > 0 and told["token_type"].lower() == "bearer"), told
    assert evidence.CANARY
