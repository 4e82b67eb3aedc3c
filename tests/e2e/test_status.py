"""/status, and who may see it (SPEC §12)."""

import contextlib
import datetime
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

from peers import evidence
from peers.config import get, one_api, problem
from peers.keystile import wait_for
from peers.metrics import admin, admin_token, status
from peers.tunnel import open_tunnel
from peers.wire import Client

TIME = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z"

# What it looks like: a type, a list of one, or members; a tuple is any of them.
SHAPE = {
    "version": str, "started": str, "now": str, "serving": bool, "draining": bool, "workers": int,
    "configuration": {"file": str, "loaded": str, "reloads": int, "failed": (None, {"time": str, "why": str})},
    "connections": {"clients": int, "limit": int},
    "profiles": [{"name": str, "connections": int, "credentials": [str]}],
    "credentials": [{
        "name": str, "upstream": str, "endpoint": (None, str), "profiles": [str], "ready": bool, "why": (None, str),
        "stale": (None, str), "changed": (None, str), "expires": (None, str), "requests": int, "denied": int, "failed": int,
    }],
    "parent": (None, {"proxy": str, "ready": bool, "why": (None, str), "stale": (None, str)}),
    "stale_parts": [{"part": str, "why": str}],
    "warnings": [str],
    "live": [{
        "id": str, "since": str, "profile": (None, str), "client": (None, str), "way": str, "credential": (None, str),
        "method": (None, str), "host": (None, str), "port": (None, int), "path": (None, str), "state": str, "bytes_up": int,
        "bytes_down": int,
    }],
    "live_total": int,
    "refusals": [{
        "time": str, "id": str, "profile": (None, str), "client": (None, str), "way": str, "credential": (None, str),
        "method": (None, str), "host": (None, str), "port": (None, int), "path": (None, str), "verdict": str, "rule": (None, str),
        "reason": (None, str), "status": (None, int),
    }],
}


def fits(value, shape, where="status"):
    """Where `value` is not of that shape, or None."""
    if isinstance(shape, tuple):
        return None if any(fits(value, one) is None for one in shape) else f"{where}: {value!r}"
    if shape is None or isinstance(shape, type):
        return None if value is shape or type(value) is shape else f"{where}: {value!r}"
    if isinstance(shape, list):
        rows = [fits(one, shape[0], f"{where}[]") for one in value] if isinstance(value, list) else [where]
        return next(filter(None, rows), None)
    if not isinstance(value, dict) or list(value) != list(shape):
        return f"{where}: {value!r}"
    return next(filter(None, (fits(value[key], shape[key], f"{where}.{key}") for key in shape)), None)


@pytest.fixture
def serve(keystile, origin):
    """serve(SCRIPT, …) gives proxyd and the origin behind its credential `api`."""

    def start(script=None, head=None, hosts="[]", more="", **entry):
        server = origin(script)
        proxy = keystile(one_api(f"http://localhost:{server.port}/base", hosts=hosts, **entry) + more,
                         {"api": evidence.secret("status")}, head)
        return proxy, server

    return start


def told_once(proxy, holds, what):
    """/status, once that holds: counts and lists change behind an answer, and a worker may take its time."""

    def look():
        told = status(proxy)
        return told if holds(told) else None

    return wait_for(look, what)


# Who may see it

# What is shown, and the status; TOKEN is the admin token.
SHOWN = [
    ([], 401),
    (["Authorization: Bearer wrong"], 401),
    (["Authorization: Bearer TOKEN"], 200),
    (["authorization: bearer TOKEN"], 200),
    (["Authorization: Basic TOKEN"], 401),
    (["Authorization: Bearer TOKENx"], 401),
    (["Authorization: Bearer PROXY"], 401),
    (["Authorization: Bearer AGENT"], 401),
    (["Cookie: keystile_admin=TOKEN"], 200),
    (["Cookie: other=1; keystile_admin=TOKEN; more=2"], 200),
    (["Cookie: keystile_admin=wrong; keystile_admin=TOKEN"], 200),
    (["Cookie: keystile_admin=wrong"], 401),
    (["Cookie: keystile_admins=TOKEN"], 401),
    (["Cookie: keystile_admin"], 401),
    (["Proxy-Authorization: Bearer TOKEN"], 401),
]


def test_who_may_see_it(serve):
    proxy, _ = serve()
    words = {"TOKEN": admin_token(proxy), "PROXY": proxy.proxy_token(), "AGENT": proxy.token()}
    for fields, wanted in SHOWN:
        said = [re.sub("TOKEN|PROXY|AGENT", lambda match: words[match[0]], field) for field in fields]
        for path in ("/status", "/nosuch"):
            answer = admin(proxy, path, *said)
            assert answer.status == (404 if (wanted, path) == (200, "/nosuch") else wanted), (fields, path)
    told = problem(admin(proxy, "/status"), 401)
    assert "envgen admin" in told["hint"]
    assert admin(proxy, "/status").all("WWW-Authenticate") == ['Bearer realm="keystile"']
    # A token in a query opens nothing but the door.
    assert admin(proxy, f"/status?token={words['TOKEN']}").status == 401


def test_the_url_of_envgen_admin(serve):
    """It sets the cookie and leads away from itself; a wrong one does not."""
    proxy, _ = serve()
    url = proxy.envgen("admin").out.strip()
    path = "/" + url.split("/", 3)[3]
    answer = admin(proxy, path)
    assert (answer.status, answer.get("Location")) == (303, "/")
    cookie = re.fullmatch(r"(keystile_admin=\w{43}); Path=/; HttpOnly; SameSite=Strict", answer.get("Set-Cookie"))[1]
    assert admin(proxy, "/status", f"Cookie: {cookie}").status == 200
    for wrong in ("/?token=wrong", "/?token=", "/?token", "/", f"/?token={proxy.proxy_token()}"):
        answer = admin(proxy, wrong)
        assert (answer.status, answer.all("Set-Cookie")) == (401, []), wrong


@pytest.mark.parametrize("host,method,wanted", [("evil.example", "GET", 403), (None, "POST", 405), (None, "OPTIONS", 405), ("localhost", "GET", 200)])
def test_host_and_method(serve, host, method, wanted):
    """A token makes no difference to either."""
    proxy, _ = serve()
    shown = f"Authorization: Bearer {admin_token(proxy)}"
    for path in ("/status", "/metrics"):
        answer = admin(proxy, path, shown, "Origin: http://evil.example", host=host, method=method)
        assert answer.status == wanted and answer.all("Access-Control-Allow-Origin") == []


def test_nobody_keeps_others_away(serve):
    """Far more connections than there are places, each with half a request: who asks is answered at once."""
    proxy, _ = serve()
    many = [socket.create_connection(("127.0.0.1", proxy.admin_port)) for _ in range(200)]
    with Client(("127.0.0.1", proxy.admin_port), "kept") as kept:
        for number in range(4):
            for idle in many:
                with contextlib.suppress(ConnectionError):
                    idle.send(b"GET "[number:number + 1])
            began = time.monotonic()
            assert admin(proxy, "/healthz").status == 200
            head = f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{proxy.admin_port}\r\n\r\n"
            assert kept.ask(head).status == 200, "who is answered stays"
            assert time.monotonic() - began < 5
    for idle in many:
        idle.close()


def test_head(serve):
    proxy, _ = serve()
    answer = admin(proxy, "/status", f"Authorization: Bearer {admin_token(proxy)}", method="HEAD")
    assert answer.status == 200 and int(answer.get("Content-Length")) > 100


SAFEGUARDS = {
    "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


def test_safeguards(serve):
    """On every answer, refusals included."""
    proxy, _ = serve()
    shown = f"Authorization: Bearer {admin_token(proxy)}"
    for path, fields in [("/status", [shown]), ("/status", []), ("/metrics", []), ("/healthz", []), ("/nosuch", [shown]),
                         (f"/?token={admin_token(proxy)}", [])]:
        answer = admin(proxy, path, *fields)
        assert {name: answer.all(name) for name in SAFEGUARDS} == {name: [value] for name, value in SAFEGUARDS.items()}, path


def curl(path, *arguments):
    done = subprocess.run(["curl", "-s", "-o", "-", "-w", "\n%{http_code}", "--unix-socket", path, *arguments], capture_output=True, text=True)
    body, _, code = done.stdout.rpartition("\n")
    return int(code), body


@pytest.mark.parametrize("session", [None, "none"])
def test_a_unix_socket_needs_no_token(serve, session):
    """Its mode says who may."""
    proxy, _ = serve(head={"admin": "unix:admin.sock", **({"session": session} if session else {})})
    path = proxy.folder / "admin.sock"
    code, body = curl(path, "http://localhost/status")
    assert code == 200 and fits(json.loads(body), SHAPE) is None
    assert os.stat(path).st_mode & 0o777 == 0o660
    assert curl(path, "-i", "http://localhost/?token=x;%0d%0ay")[0] == 303 and "ookie" not in curl(path, "-i", "http://localhost/?token=x")[1]
    assert curl(path, "-H", "Host: evil.example", "http://localhost/status")[0] == 403


def test_without_sessions(serve):
    """There is no key to make a token of, and agents reach loopback: closed, saying so; what is for all stays open."""
    proxy, _ = serve(head={"session": "none"})
    told = problem(admin(proxy, "/status", "Authorization: Bearer " + "a" * 43), 403)
    assert "session: none" in told["detail"] and "unix:" in told["hint"]
    assert admin(proxy, "/metrics").status == admin(proxy, "/healthz").status == 200


# What it shows


def test_shape(serve):
    proxy, _ = serve(more="parent: { proxy: http://127.0.0.1:9, except: [localhost] }\n", rules="['allow * /base/ok']")
    proxy.ask(get("/api/ok", proxy.token()))
    proxy.ask(get("/api/no", proxy.token()))
    told = told_once(proxy, lambda told: told["profiles"][0]["connections"] == 0 and told["refusals"], "the end of what was asked")
    assert fits(told, SHAPE) is None
    assert re.fullmatch(TIME, told["started"]) and re.fullmatch(TIME, told["now"]) and told["started"] <= told["now"]
    assert (told["serving"], told["draining"]) == (True, False)
    assert told["configuration"]["file"] == str(proxy.config) and told["configuration"]["failed"] is None
    assert told["profiles"] == [{"name": "agent", "connections": 0, "credentials": ["api"]}]
    assert told["parent"] == {"proxy": "127.0.0.1:9", "ready": True, "why": None, "stale": None}


def test_credential(serve):
    proxy, server = serve(rules="['allow * /base/ok']")
    assert [proxy.ask(get(f"/api/{path}", proxy.token())).status for path in ("ok", "ok", "no")] == [200, 200, 403]
    (one,) = told_once(proxy, lambda told: told["credentials"][0]["requests"] == 3, "all three")["credentials"]
    assert re.fullmatch(TIME, one.pop("changed"))
    assert one == {
        "name": "api", "upstream": f"http://localhost:{server.port}/base", "endpoint": "/api/", "profiles": ["agent"], "ready": True,
        "why": None, "stale": None, "expires": None, "requests": 3, "denied": 1, "failed": 0,
    }


def test_secrets_that_come_and_go(keystile, origin, tmp_path):
    path = tmp_path / "secret"
    proxy = keystile(one_api(f"http://127.0.0.1:{origin().port}").replace("vault:api", f"file:{path}"))

    def credential():
        return status(proxy)["credentials"][0]

    assert not credential()["ready"] and str(path) in credential()["why"] and credential()["changed"] is None
    path.write_text(evidence.secret("late"))
    proxy.process.send_signal(signal.SIGHUP)
    wait_for(lambda: credential()["ready"], "the secret")
    assert credential()["why"] is None and credential()["changed"]
    path.unlink()
    proxy.process.send_signal(signal.SIGHUP)
    wait_for(lambda: credential()["stale"], "the file's going")
    assert str(path) in credential()["stale"] and credential()["ready"]


def test_minted_token_expires(minting):
    proxy = minting().proxy
    assert proxy.ask(get("/api/x", proxy.token())).status == 200
    told = status(proxy)
    assert told["credentials"][0]["expires"] > told["now"]


def test_warnings(serve):
    proxy, _ = serve()
    proxy.stop()
    for file in (proxy.folder / "state").iterdir():
        file.unlink()
    (proxy.folder / "state").rmdir()
    (proxy.folder / "state").write_text("no folder")
    proxy.start()
    assert any("generation cannot be kept" in line for line in status(proxy)["warnings"])


def test_refusals(serve):
    """The newest first, as the audit has them, and at most a hundred; of an agent's text only what JSON holds."""
    proxy, _ = serve(head={"workers": "1"}, rules="['allow * /base/ok']")  # several have no order
    for number in range(105):
        proxy.ask(get(f"/api/no-{number}", proxy.token()))
    told = told_once(proxy, lambda told: told["credentials"][0]["denied"] == 105, "all of them")["refusals"]
    assert [one["path"] for one in told] == [f"/base/no-{number}" for number in range(104, 4, -1)]
    line = proxy.audit(105)[-1]
    assert {key: told[0][key] for key in told[0] if key not in ("time", "rule")} == {key: line[key] for key in told[0] if key not in ("time", "rule")}
    moments = [datetime.datetime.fromisoformat(one["time"]) for one in (told[0], line)]
    assert abs(moments[0] - moments[1]) < datetime.timedelta(seconds=10), moments


def test_refusals_of_all_workers(serve):
    """In the order of time, whoever refused."""
    proxy, _ = serve(head={"workers": "3"}, rules="['allow * /base/ok']")
    clients = [proxy.client(f"client {number}") for number in range(6)]
    for client in clients * 3:
        assert client.ask(get("/api/no", proxy.token())).status == 403
    told = told_once(proxy, lambda told: len(told["refusals"]) >= 18, "all of them")
    times = [one["time"] for one in told["refusals"]]
    assert len(times) == 18 and times == sorted(times, reverse=True)
    for client in clients:
        client.close()


def test_refusals_without_an_audit_file(serve):
    proxy, _ = serve(head={"audit": None}, rules="['allow * /base/ok']")
    proxy.ask(get("/api/no", proxy.token()))
    assert [one["reason"] for one in told_once(proxy, lambda told: told["refusals"], "it")["refusals"]] == ["no_rule"]


def held(connection):
    """Answers what asks for /ok; with all else it waits until the test lets go."""
    while True:
        request = connection.request()
        if "held" in request.target:
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhel")
            connection.rest()
            return
        connection.answer()


def test_live(serve):
    """While a response comes: since when, who, and how much; afterwards it is gone."""
    proxy, _ = serve(held)
    with proxy.client() as client:
        client.send(get("/api/held?q=hidden", proxy.token(), "Content-Length: 3", method="POST") + "abc")
        told = told_once(proxy, lambda told: [one["bytes_down"] for one in told["live"]] == [3], "the request")
        (one,) = told["live"]
        assert told["live_total"] == 1 and fits(told, SHAPE) is None and told["profiles"][0]["connections"] == 1
        assert (one["profile"], one["way"], one["credential"], one["method"], one["path"]) == ("agent", "reverse", "api", "POST", "/base/held")
        assert one["bytes_up"] == 3 and one["state"] and one["client"].startswith("127.0.0.1:") and "hidden" not in json.dumps(told)
        assert re.fullmatch(TIME, one["since"]) and one["since"] <= told["now"][:19] + ".999Z"
    told = told_once(proxy, lambda told: told["live_total"] == 0 and told["refusals"], "its end")
    (line,) = proxy.audit(1, event="end")
    assert line["id"] == one["id"] == told["refusals"][0]["id"] and line["reason"] == "client_gone"


def test_live_of_all_workers(serve):
    """The oldest first, at most 200, and how many there are."""
    proxy, _ = serve(held, head={"workers": "3"})
    clients, token = [proxy.client(f"client {number}") for number in range(210)], proxy.token()
    for number, client in enumerate(clients):
        client.send(get(f"/api/held-{number}", token))
    told = told_once(proxy, lambda told: told["live_total"] == 210, "all of them")["live"]
    assert len(told) == 200 and [one["since"] for one in told] == sorted(one["since"] for one in told)
    for client in clients:
        client.close()
    wait_for(lambda: status(proxy)["live_total"] == 0, "their end")


def test_live_tunnels_and_upgrades(serve):
    def script(connection):
        connection.request()
        connection.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n")
        connection.send(connection.exactly(5))

    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        proxy, _ = serve(script, hosts=f'["127.0.0.1:{port}"]')
        with open_tunnel(proxy, f"127.0.0.1:{port}", proxy.proxy_token()) as tunnel, proxy.client() as client:
            tunnel.send(b"\x00hello")
            there, _ = other.accept()
            client.send(get("/api/x", proxy.token(), "Connection: upgrade", "Upgrade: chat"))
            assert client.head().status == 101
            assert there.recv(6, socket.MSG_WAITALL) == b"\x00hello"
            told = told_once(proxy, lambda told: told["live_total"] == 2, "both")
            told = {one["way"]: one for one in told["live"]}
            assert (told["connect"]["method"], told["connect"]["host"], told["connect"]["port"]) == ("CONNECT", "127.0.0.1", port)
            assert told["connect"]["state"] == "tunnel" and told["connect"]["bytes_up"] == 6
            assert told["reverse"]["state"] == "upgraded" and told["reverse"]["path"] == "/base/x"
            there.close()
            client.send("hello")
            assert client.exactly(5) == b"hello"
        wait_for(lambda: status(proxy)["live_total"] == 0, "their end")


def test_draining(serve):
    """Until the last request is done, it is told; it comes to no harm while workers end."""
    proxy, _ = serve(held, head={"workers": "2"})
    shown = f"Authorization: Bearer {admin_token(proxy)}"
    with proxy.client() as client:
        client.send(get("/api/held", proxy.token()))
        wait_for(lambda: status(proxy)["live_total"] == 1, "the request")
        proxy.process.send_signal(signal.SIGTERM)

        def drains():
            told = json.loads(admin(proxy, "/status", shown).body)
            return told if told["draining"] and not told["serving"] else None

        assert wait_for(drains, "the drain")["live_total"] == 1
    assert proxy.stop() == 0


def test_many_ask_while_many_work(serve):
    """Nobody's answer is another's, and no request waits for one."""
    proxy, _ = serve(head={"workers": "2"})
    token, shown, ended = proxy.token(), f"Authorization: Bearer {admin_token(proxy)}", threading.Event()
    wrong = []

    def look():
        while not ended.is_set():
            told = json.loads(admin(proxy, "/status", shown).body)
            wrong.extend(filter(None, [fits(told, SHAPE)]))
            admin(proxy, "/metrics")

    lookers = [threading.Thread(target=look) for _ in range(3)]
    for one in lookers:
        one.start()
    for _ in range(10):
        with proxy.client() as client:
            for path in ("ok", "no", "ok"):
                assert client.ask(get(f"/api/{path}", token)).status == 200
            assert client.ask(get("/nosuch", token)).status == 404
    ended.set()
    for one in lookers:
        one.join()
    assert wrong == []


def test_nothing_secret(serve):
    """Where a token or a secret stood in a path there is a word, and queries are not shown."""
    proxy, _ = serve(inject="{ path: '/bot{secret}' }", rules="['allow * /base/ok']")
    token = proxy.token()
    proxy.ask(get(f"/api/bot{token}/no?q=hidden", None))
    proxy.ask(get(f"/api/x/{token}", None))
    told_once(proxy, lambda told: len(told["refusals"]) == 2, "both refusals")
    answer = admin(proxy, "/status", f"Authorization: Bearer {admin_token(proxy)}")
    assert json.loads(answer.body)["refusals"] and evidence.find(answer.body) == []
    assert not [word for word in (token, admin_token(proxy), proxy.proxy_token(), "hidden") if word in answer.text]
