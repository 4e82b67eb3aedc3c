"""`rate:` of credentials and profiles (SPEC §2, §8): how many are let through, by whatever way they come, and what others are told.

Rates are per hour where a test counts, so that nothing comes back while it does."""

import json
import os
import signal
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from peers import evidence
from peers.config import get, one_api, problem
from peers.h2 import H2
from peers.in_tls import InTls
from peers.keystile import wait_for
from peers.tunnel import connect, open_tunnel
from peers.wire import serve_ok
from test_ways import proxied

OVER_API = "credential api is over its rate of "
OVER_AGENT = "profile agent is over its rate of "


def is_over(response, detail, most):
    """It is a 429 with this detail, that has the client come again within `most` seconds."""
    told = problem(response, 429)
    assert told["title"] == "Too Many Requests" and told["detail"] == detail, told
    assert "`rate` of " + " ".join(detail.split()[:2]) in told["hint"], told
    assert response.get("Proxy-Status").startswith("keystile; error=") and 'details="rate"' in response.get("Proxy-Status")
    assert response.get("Retry-After").isdigit() and 1 <= int(response.get("Retry-After")) <= most, response
    return int(response.get("Retry-After"))


@pytest.fixture
def serve(keystile, origin):
    """serve(RATE OF AGENT, RATE OF api) gives proxyd and the origin behind `api`, which profile `other` has too; another origin,
    proxy.free, is an allowed host of both."""

    def start(profile=None, credential=None, script=None, **more):
        server, free = origin(script), origin()
        rates = {"rate": credential} if credential else {}
        text = one_api(f"http://127.0.0.1:{server.port}", hosts=f'["127.0.0.1:{free.port}"]', **rates)
        text += f"    rate: {profile}\n" if profile else ""
        proxy = keystile(text + f'  other: {{ hosts: ["127.0.0.1:{free.port}"], credentials: [api] }}\n', {"api": evidence.secret("rate")}, **more)
        proxy.free = free
        return proxy, server

    return start


def ask_free(proxy, profile="agent"):
    """A request to the allowed host."""
    return proxy.ask(proxied(f"http://127.0.0.1:{proxy.free.port}/x", proxy.proxy_token(profile)))


# Counts


def test_credential(before):
    """Just so many, then 429, on a connection that stays; nothing of the others reaches the upstream."""
    proxy, server = before(rate="5/h")
    with proxy.client() as client:
        for _ in range(5):
            assert client.ask(proxy.request()).status == 200
        for _ in range(3):
            assert is_over(client.ask(proxy.request()), OVER_API + "5/h", 720) > 600
        body = proxy.request("/x", "Content-Length: 3", method="POST") + "abc"
        assert client.ask(body).status == 429
        head = client.ask(proxy.request(method="HEAD"), "HEAD")
        assert head.status == 429 and not head.body and head.get("Retry-After")
        assert client.ask(proxy.request()).status == 429
    assert len(server.requests) == 5
    lines = proxy.audit(6, event="end", verdict="deny")
    for line in lines:
        assert (line["reason"], line["status"], line["injected"], line["credential"], line["profile"]) == ("rate", 429, False, "api", "agent")
        assert line["path"] == "/x" and "rule" not in line
    assert len(lines) == 6 and len(proxy.audit(5, event="end", verdict="allow", method="GET")) == 5


def test_denied_costs_nothing(before):
    """Whatever is refused before: rule, path, method, length."""
    proxy, server = before(rate="2/h", rules='["allow GET,POST /x"]', body="10B")
    with proxy.client() as client:
        for path, method, fields, status in [("/no", "GET", [], 403), ("/x/../y", "GET", [], 400), ("/x", "DELETE", [], 403),
                                             ("/x", "TRACE", [], 405), ("/x", "POST", ["Content-Length: 11"], 413)] * 2:
            with proxy.client() as one:
                assert one.ask(proxy.request(path, *fields, method=method)).status == status
        for status in (200, 200, 429):
            assert client.ask(proxy.request()).status == status
    assert len(server.requests) == 2


def test_not_let_in_costs_nothing(keystile, origin):
    """Token, host, and a secret that is not there."""
    server = origin()
    proxy = keystile(one_api(f"http://127.0.0.1:{server.port}") + "    rate: 2/h\n")
    for _ in range(3):
        problem(proxy.ask(get("/api/x", "0" * 43)), 401)
        problem(proxy.ask(proxied("http://elsewhere.test/", proxy.proxy_token())), 403)
        problem(proxy.ask(get("/api/x", proxy.token())), 503)
    proxy.creds("set", "api", input=evidence.secret())
    os.kill(proxy.process.pid, signal.SIGHUP)
    wait_for(lambda: proxy.ask(get("/api/x", proxy.token())).status == 200, "the new secret")
    assert [proxy.ask(get("/api/x", proxy.token())).status for _ in range(3)] == [200, 429, 429]


def test_new_secrets_fill_no_budget(serve):
    proxy, server = serve(profile="3/h", credential="3/h")
    assert [proxy.ask(get("/api/x", proxy.token())).status for _ in range(2)] == [200, 200]
    secret = evidence.secret("rate")
    proxy.creds("set", "api", input=secret)
    os.kill(proxy.process.pid, signal.SIGHUP)
    wait_for(lambda: "secrets read again" in proxy.log(), "the new secret")
    assert [proxy.ask(get("/api/x", proxy.token())).status for _ in range(3)] == [200, 429, 429]
    assert server.requests[-1].get("Authorization") == f"Bearer {secret}"


def test_profile(serve):
    """Whatever its requests are for. Nothing of it is another profile's business."""
    proxy, server = serve(profile="3/h")
    assert proxy.ask(get("/api/x", proxy.token())).status == 200
    assert ask_free(proxy).status == 200
    assert proxy.ask(get("/api/x", proxy.token())).status == 200
    is_over(ask_free(proxy), OVER_AGENT + "3/h", 1200)
    is_over(proxy.ask(get("/api/x", proxy.token())), OVER_AGENT + "3/h", 1200)
    for _ in range(5):
        assert proxy.ask(get("/api/x", proxy.token(profile="other"))).status == 200
        assert ask_free(proxy, "other").status == 200
    assert (len(server.requests), len(proxy.free.requests)) == (7, 6)
    refused = proxy.audit(2, reason="rate", verdict="deny", profile="agent")
    assert sorted((line["way"], line.get("credential")) for line in refused) == [("forward", None), ("reverse", "api")]


def test_credential_of_two_profiles(serve):
    """They share its budget; what is asked of others is no part of it."""
    proxy, _ = serve(credential="3/h")
    assert proxy.ask(get("/api/x", proxy.token())).status == 200
    assert proxy.ask(get("/api/x", proxy.token(profile="other"))).status == 200
    assert proxy.ask(get("/api/x", proxy.token())).status == 200
    for profile in ("agent", "other"):
        is_over(proxy.ask(get("/api/x", proxy.token(profile=profile))), OVER_API + "3/h", 1200)
        assert ask_free(proxy, profile).status == 200


def test_both_or_none(serve):
    """Where the credential's is over the profile's loses nothing, and the other way round."""
    proxy, _ = serve(profile="4/h", credential="2/h")
    for status in (200, 200, 429, 429, 429, 429, 429):
        assert proxy.ask(get("/api/x", proxy.token())).status == status
    for _ in range(2):
        assert ask_free(proxy).status == 200
    is_over(ask_free(proxy), OVER_AGENT + "4/h", 900)
    is_over(proxy.ask(get("/api/x", proxy.token())), OVER_API + "2/h", 1800)
    proxy, _ = serve(profile="2/h", credential="4/h")
    for status in (200, 200, 429, 429, 429, 429, 429):
        assert proxy.ask(get("/api/x", proxy.token())).status == status
    for _ in range(2):
        assert proxy.ask(get("/api/x", proxy.token(profile="other"))).status == 200
    is_over(proxy.ask(get("/api/x", proxy.token(profile="other"))), OVER_API + "4/h", 900)


def test_one_that_is_repeated_counts_once(serve):
    """A reused connection that gives not one byte back: the upstream sees it twice, the budget once."""
    def script(connection):
        for _ in range(2):
            connection.origin.requests.append(connection.request())
            if connection.number == 0 and len(connection.origin.requests) == 2:
                return
            connection.answer()

    proxy, server = serve(credential="2/h", script=script, head={"workers": "1"})  # each has connections of its own
    assert [proxy.ask(get("/api/x", proxy.token())).status for _ in range(3)] == [200, 200, 429]
    assert len(server.requests) == 3


def test_two_workers(serve):
    """Counted over all workers: connections that both serve, in turns and then all at once."""
    proxy, server = serve(credential="40/h", head={"workers": "2"})
    token, clients = proxy.token(), [proxy.client(f"client {number}") for number in range(8)]
    statuses = [client.ask(get("/api/x", token)).status for client in clients for _ in range(2)]
    begin = threading.Barrier(len(clients))

    def hammer(client):
        begin.wait(10)
        return [client.ask(get("/api/x", token)).status for _ in range(10)]

    with ThreadPoolExecutor(len(clients)) as pool:
        statuses += [status for came in pool.map(hammer, clients) for status in came]
    for client in clients:
        client.close()
    assert (statuses.count(200), statuses.count(429)) == (40, 56)
    assert len(server.requests) == 40 and len(server.connections) >= 2, "each worker has connections of its own"


# Time


@pytest.mark.parametrize("whose", ["profile", "credential"])
def test_comes_back(serve, whose):
    """Not before its time, and no later than Retry-After says."""
    proxy, _ = serve(**{whose: "1/s"})
    request, detail = get("/api/x", proxy.token()), {"profile": OVER_AGENT, "credential": OVER_API}[whose] + "1/s"
    with proxy.client() as client:
        def ask_until_over():
            """When the last one began that was let through, and what the one behind it got, which is the second, unless this
            machine stood still."""
            began = None
            for _ in range(10):
                asked, response = time.monotonic(), client.ask(request)
                if response.status == 429:
                    return began, response
                assert response.status == 200
                began = asked

        began, response = ask_until_over()
        is_over(response, detail, 1)
        allowed = time.monotonic() + int(response.get("Retry-After"))
        while response.status != 200:
            asked = time.monotonic()
            response = client.ask(request)
            assert response.status == 200 or asked < allowed, "it takes longer than Retry-After said"
        assert time.monotonic() - began >= 1, "let through before its time"
        assert ask_until_over(), "more than its time was worth"


# Ways in


def test_h2(serve):
    """Each stream is a request; over the rate it gets its answer, and the connection goes on."""
    proxy, server = serve(profile="6/h", credential="4/h")
    with H2(proxy) as client:
        numbers = [client.request("/api/x") for _ in range(10)]
        answers = [client.answer(number) for number in numbers]
        assert sorted(answer.status for answer in answers) == [200] * 4 + [429] * 6
        for answer in answers:
            if answer.status == 429:
                assert json.loads(answer.body)["detail"] == OVER_API + "4/h"
                assert 1 <= int(answer.get("retry-after")) <= 900 and 'details="rate"' in answer.get("proxy-status")
        free, token = f"127.0.0.1:{proxy.free.port}", proxy.proxy_token()
        assert [client.ask("/x", authority=free, proxy_token=token).status for _ in range(3)] == [200, 200, 429]
    assert len(server.requests) == 4
    assert len(proxy.audit(7, reason="rate", verdict="deny", status=429)) == 7


def test_h2_in_tls(keystile, origin, authority):
    """The tunnel counts as one for the profile, and each stream in it as one for both."""
    server = origin(context=authority.server_context())
    where = f"localhost:{server.port}"
    text = one_api(f"https://{where}", intercept="true", ca=authority.ca, rate="2/h") + "    rate: 4/h\n"
    proxy = keystile(text, {"api": evidence.secret("rate")})
    proxy.intercepts = where
    context = ssl.create_default_context(cafile=proxy.folder / "state/ca.pem")
    context.set_alpn_protocols(["h2"])
    client = open_tunnel(proxy, where, proxy.proxy_token())
    client.sock = context.wrap_socket(client.sock, server_hostname="localhost")
    with H2(proxy, stream=client) as streams:
        answers = [streams.ask("/x", scheme="https", authority=where, token="x") for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 429, 429]
    assert {json.loads(answer.body)["detail"] for answer in answers[2:]} == {OVER_API + "2/h"}
    with InTls(proxy) as client:  # the fourth
        is_over(client.ask(get("/x", None, host=where)), OVER_API + "2/h", 1800)
    with proxy.client() as client:
        is_over(client.ask(connect(where, proxy.proxy_token())), OVER_AGENT + "4/h", 900)
    assert len(server.requests) == 2


def test_tunnels(tunnelled):
    """One each, for the profile, whatever goes through; a refused CONNECT costs nothing."""
    proxy, server = tunnelled(more="    rate: 2/h\n")
    token = proxy.proxy_token()
    for authority, shown, status in [("elsewhere.test:443", token, 403), ("api.cred.test:443", token, 403), ("tun.test:9999", None, 407)] * 2:
        with proxy.client() as client:
            problem(client.ask(connect(authority, shown)), status)
    for _ in range(2):
        with open_tunnel(proxy, "tun.test:9999", token) as client:
            for _ in range(5):
                client.send(b"\1hello")
                assert client.exactly(6) == b"\1hello"
    with proxy.client() as client:
        is_over(client.ask(connect("tun.test:9999", token)), OVER_AGENT + "2/h", 1800)
        assert client.rest() == b"", "it ends, as behind any refused CONNECT"
    assert len(server.connections) == 2
    (line,) = proxy.audit(1, reason="rate")
    assert (line["way"], line["verdict"], line["status"], line["host"], line["profile"], line["event"]) == ("connect", "deny", 429, "tun.test", "agent", "end")
    assert not proxy.audit(event="start", id=line["id"])


def test_requests_in_a_tunnel(tunnelled):
    """Plain HTTP is read, and each request counts as one behind the CONNECT's own."""
    proxy, server = tunnelled(serve_ok, more="    rate: 3/h\n")
    with open_tunnel(proxy, "tun.test:9999", proxy.proxy_token()) as client:
        request = get("/x", None, host="tun.test:9999")
        assert [client.ask(request).status for _ in range(2)] == [200, 200]
        is_over(client.ask(request), OVER_AGENT + "3/h", 1200)
    assert len(server.requests) == 2
