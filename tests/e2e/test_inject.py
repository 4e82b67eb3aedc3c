"""The secret goes into every place that SPEC §2 names, the agent's own values there go out, and nothing else changes."""

import urllib.parse

import pytest

from peers import evidence
from peers.config import basic, get, one_api

# name, inject, what the agent sends ({token}), where nginx sees it, what it must see ({secret})
PLACES = [
    ("bearer", '{ header: Authorization, value: "Bearer {secret}" }', "Authorization: Bearer {token}",
     "authorization", "Bearer {secret}"),
    ("header", '{ header: X-Api-Key, value: "{secret}" }', "X-Api-Key: {token}", "x_api_key", "{secret}"),
    ("header as Bearer", '{ header: X-Api-Key, value: "{secret}" }', "Authorization: Bearer {token}",
     "x_api_key", "{secret}"),
    ("basic", "{ basic: x-access-token }", "Authorization: {basic}", "authorization", "{basic_secret}"),
    ("cookie", "{ cookie: sid }", "Cookie: a=b; sid={token}; c=d", "cookie", "sid={secret}"),
    ("a list", '[ { header: Authorization, value: "Token {secret}" }, { header: X-Api-Key, value: "{secret}" } ]',
     "Authorization: Token {token}", "x_api_key", "{secret}"),
]


@pytest.mark.parametrize("name,inject,field,where,wanted", PLACES, ids=[row[0] for row in PLACES])
def test_field(keystile, nginx, name, inject, field, where, wanted):
    secret = evidence.secret("s")
    proxy = keystile(one_api(f"http://127.0.0.1:{nginx.port}", inject), {"api": secret})
    token = proxy.token()
    field = field.format(token=token, basic=basic("anyone", token))
    response = proxy.ask(get("/api/say/hello?x=%7e&y", None, field))
    assert (response.status, response.text) == (200, "GET /say/hello\n")
    seen = nginx.seen()[0]
    wanted = wanted.format(secret=secret, basic_secret=basic("x-access-token", secret))
    assert wanted in seen[where], f"nginx got {seen}, wanted {wanted!r}"
    assert token not in str(seen), f"the token went up: {seen}"
    assert seen["uri"] == "/say/hello?x=%7e&y"
    assert seen["host"] == f"127.0.0.1:{nginx.port}"
    assert (seen["via"], seen["forwarded"], seen["proxy_authorization"]) == ("", "", "")


def test_cookie_leaves_the_others(keystile, nginx):
    secret = evidence.secret("c")
    proxy = keystile(one_api(f"http://127.0.0.1:{nginx.port}", "{ cookie: sid }"), {"api": secret})
    proxy.ask(get("/api/say/x", None, f"Cookie: a=b; sid={proxy.token()}; c=d; sid=again"))
    pairs = sorted(pair.strip() for pair in nginx.seen()[0]["cookie"].split(";"))
    assert pairs == sorted(["a=b", "c=d", f"sid={secret}"])


def test_trailers(keystile, origin):
    """A server may take them together with the fields: what goes out of these goes out of trailers too."""
    server = origin()
    inject = '{ header: X-Api-Key, value: "{secret}" }'
    proxy = keystile(one_api(f"http://127.0.0.1:{server.port}", inject), {"api": evidence.secret()})
    token = proxy.token()
    trailers = ["X-Api-Key: forged", f"x-api-key: {token}", "Authorization: Bearer forged", f"X-A: {token}", "X-Ok: 1"]
    request = get("/api/x", None, f"X-Api-Key: {token}", "Transfer-Encoding: chunked", method="POST")
    assert proxy.ask(request + "2\r\nok\r\n0\r\n" + "\r\n".join(trailers) + "\r\n\r\n").status == 200
    assert server.requests[0].trailers == [("X-Ok", "1")]


def test_query(keystile, nginx):
    secret = evidence.secret("q&=%+ ")
    proxy = keystile(one_api(f"http://127.0.0.1:{nginx.port}", "{ query: key }"), {"api": secret})
    token = proxy.token()
    response = proxy.ask(get(f"/api/say/q?a=1&key={token}&b=%2F&k%65y=other", None))
    assert response.status == 200
    path, query = nginx.seen()[0]["uri"].split("?")
    assert path == "/say/q"
    assert sorted(urllib.parse.parse_qsl(query)) == sorted([("a", "1"), ("key", secret), ("b", "/")])
    assert "b=%2F" in query, "the rest of the query must stay byte for byte"


def test_path(keystile, nginx):
    secret = evidence.secret("123")
    proxy = keystile(one_api(f"http://127.0.0.1:{nginx.port}/quiet", "{ path: '/bot{secret}' }"), {"api": secret})
    response = proxy.ask(get(f"/api/bot{proxy.token()}/getMe", None))
    assert response.status == 200, response
    assert nginx.seen()[0]["uri"] == f"/quiet/bot{secret}/getMe"


@pytest.mark.parametrize("form", ["bearer", "basic", "protocol"])
def test_token_in_another_form(keystile, nginx, form):
    secret = evidence.secret("f")
    proxy = keystile(one_api(f"http://127.0.0.1:{nginx.port}", '{ header: X-Api-Key, value: "{secret}" }'), {"api": secret})
    token = proxy.token()
    field = {
        "bearer": f"Authorization: Bearer {token}",
        "basic": f"Authorization: {basic('somebody', token)}",
        "protocol": f"Sec-WebSocket-Protocol: chat, {token}",
    }[form]
    assert proxy.ask(get("/api/say/x", None, field)).status == 200
    seen = nginx.seen()[0]
    assert seen["x_api_key"] == secret
    assert seen["authorization"] == "", "the agent's Authorization goes out of the request"


def test_agents_copies_are_removed(keystile, origin):
    server = origin()
    secret = evidence.secret("r")
    proxy = keystile(one_api(f"http://127.0.0.1:{server.port}", '{ header: X-Api-Key, value: "{secret}" }'), {"api": secret})
    proxy.ask(get("/api/x", proxy.token(), "x-api-key: mine", "X-API-KEY: mine too", "X-Other: stays",
                  "Connection: X-Gone", "X-Gone: 1", "Keep-Alive: 5", "Proxy-Anything: 1", "TE: gzip"))
    request = server.requests[0]
    assert request.all("X-Api-Key") == [secret]
    assert request.get("X-Other") == "stays"
    for name in ("X-Gone", "Keep-Alive", "Proxy-Anything", "TE", "Authorization", "Via", "Proxy-Authorization"):
        assert request.all(name) == [], f"{name} went up: {request}"


def test_pass_keeps_authorization(keystile, origin):
    server = origin()
    secret = evidence.secret("p")
    inject = '{ header: X-Api-Key, value: "{secret}" }'
    proxy = keystile(one_api(f"http://127.0.0.1:{server.port}", inject, **{"pass": "[Authorization]"}), {"api": secret})
    proxy.ask(get("/api/x", None, f"X-Api-Key: {proxy.token()}", "Authorization: Digest mine"))
    assert server.requests[0].get("Authorization") == "Digest mine"
    assert server.requests[0].get("X-Api-Key") == secret


def test_two_secrets(keystile, origin):
    server = origin()
    first, second = evidence.secret("a"), evidence.secret("b")
    config = one_api(
        f"http://127.0.0.1:{server.port}",
        '[ { header: X-Id, value: "{id}" }, { header: X-Key, value: "k {key}" }, { header: X-Version, value: "7" } ]',
    ).replace("secret: vault:api", "secrets: { id: vault:a, key: vault:b }")
    proxy = keystile(config, {"a": first, "b": second})
    proxy.ask(get("/api/x", proxy.token()))
    request = server.requests[0]
    assert (request.get("X-Id"), request.get("X-Key"), request.get("X-Version")) == (first, f"k {second}", "7")


@pytest.mark.parametrize("source", ["file", "env", "systemd", "exec"])
def test_sources(keystile, origin, tmp_path, source):
    server = origin()
    secret = evidence.secret("src")
    (tmp_path / "one").write_text("\ufeff" + secret + "\n")
    text = {"file": f"file:{tmp_path}/one", "env": "env:DEMO_SECRET", "systemd": "systemd:one",
            "exec": f"'exec:/bin/cat {tmp_path}/one'"}[source]
    config = one_api(f"http://127.0.0.1:{server.port}").replace("vault:api", text)
    proxy = keystile(config, env={"DEMO_SECRET": secret, "CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert proxy.ask(get("/api/x", proxy.token())).status == 200
    assert server.requests[0].get("Authorization") == f"Bearer {secret}"


def test_post_arrives_whole(keystile, origin):
    server = origin()
    proxy = keystile(one_api(f"http://127.0.0.1:{server.port}"), {"api": evidence.secret()})
    body = bytes(range(256)) * 1000
    head = get("/api/upload", proxy.token(), f"Content-Length: {len(body)}", method="POST").encode()
    assert proxy.ask(head + body).status == 200
    assert server.requests[0].body == body
    assert server.requests[0].get("Content-Length") == str(len(body))
