"""/metrics (SPEC §12): by Prometheus's conventions, each number moved by what it names, and no label that a client made."""

import itertools
import json
import pathlib
import re
import shutil
import signal
import socket
import subprocess

import pytest
from h2.settings import SettingCodes

from peers import evidence
from peers.config import get, one_api
from peers.h2 import H2
from peers.keystile import wait_for
from peers.metrics import Metrics, admin, moves, scrape
from peers.tunnel import open_tunnel
from peers.wire import Closed

TOP = pathlib.Path(__file__).resolve().parents[2]
SCHEMA = json.loads((TOP / "docs/keystile.schema.json").read_text())
LIMITS = list(SCHEMA["$defs"]["limits"]["properties"])


@pytest.fixture
def serve(keystile, origin):
    """serve(SCRIPT, {LIMIT: VALUE}) gives proxyd in front of an origin that runs the script."""

    def start(script=None, limits=None, head=None, hosts="[]", **more):
        text = ", ".join(f"{name}: {value}" for name, value in (limits or {}).items())
        server = origin(script)
        hosts = hosts.replace("ORIGIN", f"127.0.0.1:{server.port}")
        config = one_api(f"http://localhost:{server.port}", hosts=hosts, **more)
        proxy = keystile(config, {"api": evidence.secret("metrics")}, {**({"limits": "{{ " + text + " }}"} if limits else {}), **(head or {})})
        return proxy, server

    return start


def moved(proxy, before, *key, by=1):
    """Waits until the number has moved by so much: an exchange is counted when it is over."""
    wait_for(lambda: scrape(proxy).get(*key) - before.get(*key) >= by, f"{key}; so far {moves(before, scrape(proxy))}")
    assert scrape(proxy).get(*key) - before.get(*key) == by, key


def promtool(text):
    if not shutil.which("promtool"):
        pytest.skip("promtool is not installed (package prometheus)")
    done = subprocess.run(["promtool", "check", "metrics"], input=text.encode(), capture_output=True)
    return done.returncode, (done.stdout + done.stderr).decode()


def test_promtool(serve):
    """After some of everything; and it is no decoration."""
    proxy, _ = serve()
    proxy.ask(get("/api/x", proxy.token()))
    proxy.ask(get("/api/x", "wrong"))
    text = admin(proxy, "/metrics").text
    assert promtool(text) == (0, "")
    assert promtool(text.replace("keystile_rotations_total", "keystile_rotations"))[0] != 0


def test_openmetrics(serve):
    """Counters are named by their families, and it has an end; the numbers are the same."""
    proxy, _ = serve()
    proxy.ask(get("/api/x", proxy.token()))
    assert proxy.audit(1, event="end"), "by then it is counted"
    answer = admin(proxy, "/metrics", "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert answer.get("Content-Type") == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert answer.text.endswith("\n# EOF\n") and "# TYPE keystile_requests counter\n" in answer.text
    assert 'keystile_requests_total{credential="api",status="200"} 1\n' in answer.text and 'le="1.0"' in answer.text
    assert {key[0] for key in set(Metrics(answer.text)) ^ set(scrape(proxy))} <= {
        "keystile_request_duration_seconds_bucket", "keystile_time_to_first_byte_seconds_bucket"}


def test_what_each_has(serve):
    """Help and type in front of the samples; no family twice; histograms add up."""
    proxy, _ = serve()
    proxy.ask(get("/api/x", proxy.token()))
    assert proxy.audit(1, event="end"), "by then it is counted"
    lines = admin(proxy, "/metrics").text.splitlines()
    families = [line.split()[2] for line in lines if line.startswith("# TYPE ")]
    assert len(families) == len(set(families)) and all(name.startswith(("keystile_", "process_")) for name in families)
    metrics = scrape(proxy)
    bounds = [labels["le"] for labels in metrics.labels["keystile_request_duration_seconds_bucket"] if labels["credential"] == "api"]
    counts = [metrics["keystile_request_duration_seconds_bucket", "api", le] for le in bounds]
    assert bounds[-1] == "+Inf" and counts == sorted(counts) and counts[-1] == 1
    assert metrics["keystile_request_duration_seconds_count", "api"] == metrics["keystile_time_to_first_byte_seconds_count", "api"] == 1
    assert 0 < metrics["keystile_time_to_first_byte_seconds_sum", "api"] <= metrics["keystile_request_duration_seconds_sum", "api"]


def test_every_metric_is_in_the_manual(serve):
    proxy, _ = serve()
    manual = (TOP / "docs/proxyd.8").read_text()
    families = re.findall(r"# TYPE (\S+)", admin(proxy, "/metrics").text)
    assert [name for name in families if not re.search(rf"^\.It Li {name}( |$)", manual, re.M)] == []
    assert [name for name in re.findall(r"^\.It Li ((?:keystile|process)_\S+)", manual, re.M)
            if name not in families and "expires" not in name] == []


def test_a_request(serve):
    proxy, _ = serve()
    before = scrape(proxy)
    with proxy.client() as client:
        for _ in range(2):
            assert client.ask(get("/api/x", proxy.token(), "Content-Length: 3", method="POST") + "abc").status == 200
    assert proxy.audit(2, event="end"), "by then they are counted"
    moved(proxy, before, "keystile_requests_total", "api", "200", by=2)
    change = moves(before, scrape(proxy))
    assert change["keystile_credential_requests_total", "api", "allow"] == change["keystile_profile_requests_total", "agent", "allow"] == 2
    assert change["keystile_exchanges_total", "reverse", "allow"] == change["keystile_injected_total",] == 2
    assert change["keystile_bytes_up_total",] == 6 and change["keystile_bytes_down_total",] == 4
    assert change["keystile_upstream_connections_opened_total",] == change["keystile_upstream_connections",] == 1
    assert change["keystile_upstream_reuses_total",] == 1


# What is asked, and the reason by which it is counted.
REFUSED = [
    (lambda proxy: get("/api/x", None), "no_token", "api", "401"),
    (lambda proxy: get("/api/x", "wrong"), "bad_token", "api", "401"),
    (lambda proxy: get("/api/no", proxy.token()), "no_rule", "api", "403"),
    (lambda proxy: get("/nosuch/x", proxy.token()), "no_credential", "", "404"),
    (lambda proxy: get("/api/%2e%2e/x", proxy.token()), "malformed_path", "api", "400"),
    (lambda proxy: get("/api/x", proxy.token(), method="TRACE"), "trace", None, "405"),
]


@pytest.mark.parametrize("ask,reason,credential,status", REFUSED, ids=[row[1] for row in REFUSED])
def test_refusals(serve, ask, reason, credential, status):
    proxy, _ = serve(rules="['allow * /x']")
    before = scrape(proxy)
    assert proxy.ask(ask(proxy)).status == int(status)
    moved(proxy, before, "keystile_refusals_total", reason)
    change = moves(before, scrape(proxy))
    assert credential is None or change["keystile_requests_total", credential, status] == 1
    assert not [key for key in change if key[0] == "keystile_failures_total" or "_seconds_" in key[0]]


def test_failures(serve):
    proxy, _ = serve(lambda connection: connection.request() and connection.send("nonsense\r\n\r\n"))
    before = scrape(proxy)
    assert proxy.ask(get("/api/x", proxy.token())).status == 502
    moved(proxy, before, "keystile_failures_total", "upstream_malformed")
    moved(proxy, before, "keystile_requests_total", "api", "502")


def test_rate(serve):
    proxy, _ = serve(rate="1/h")
    before = scrape(proxy)
    assert [proxy.ask(get("/api/x", proxy.token())).status for _ in range(2)] == [200, 429]
    moved(proxy, before, "keystile_refusals_total", "rate")


def test_scrub(serve):
    """A find is counted, and so is what could not be read."""

    def echo(connection):
        while True:
            request = connection.request()
            unread = "unread" in request.target
            if unread:
                connection.answer("200 OK", b"no secret", "Content-Encoding: br")
            else:
                connection.answer("200 OK", request.get("Authorization").encode())

    proxy, _ = serve(echo)
    before = scrape(proxy)
    assert proxy.ask(get("/api/x", proxy.token())).status == 200
    moved(proxy, before, "keystile_scrub_finds_total")
    proxy.ask(get("/api/unread", proxy.token()))
    moved(proxy, before, "keystile_scrub_unread_total")


def test_rotation_and_reload(keystile, origin, tmp_path):
    """One request is sent with both; secrets were read again once; and the new value is younger."""
    good, path = evidence.secret("good"), tmp_path / "secret"

    def script(connection):
        while True:
            taken = connection.request().get("Authorization").endswith(good)
            connection.answer("200 OK" if taken else "401 Unauthorized")

    path.write_text(good)
    proxy = keystile(one_api(f"http://127.0.0.1:{origin(script).port}").replace("vault:api", f"file:{path}"))
    before = scrape(proxy)
    path.write_text(evidence.secret("not yet"))
    proxy.process.send_signal(signal.SIGHUP)
    moved(proxy, before, "keystile_reloads_total", "secrets", "success")
    assert scrape(proxy)["keystile_loaded_timestamp_seconds", "secrets"] >= before["keystile_loaded_timestamp_seconds", "secrets"]
    asked = itertools.count(1)

    def rotated():
        """The worker may not have heard of the new value when its reading is counted."""
        assert proxy.ask(get("/api/x", proxy.token())).status == 200
        return any(line["rotated"] for line in proxy.audit(next(asked), event="end"))

    wait_for(rotated, "a request that is sent with both")
    moved(proxy, before, "keystile_rotations_total")


def test_secrets(keystile, origin, tmp_path):
    """What waits, what comes, what goes."""
    path = tmp_path / "secret"
    proxy = keystile(one_api(f"http://127.0.0.1:{origin().port}").replace("vault:api", f"file:{path}"))
    assert scrape(proxy)["keystile_credential_ready", "api"] == 0
    assert ("keystile_secret_changed_timestamp_seconds", "api", "secret") not in scrape(proxy)
    path.write_text(evidence.secret("late"))
    proxy.process.send_signal(signal.SIGHUP)
    wait_for(lambda: scrape(proxy)["keystile_credential_ready", "api"] == 1, "the secret")
    metrics = scrape(proxy)
    assert metrics["keystile_secret_changed_timestamp_seconds", "api", "secret"] >= metrics["process_start_time_seconds",]
    assert metrics["keystile_secret_stale", "api"] == 0
    path.unlink()
    proxy.process.send_signal(signal.SIGHUP)
    wait_for(lambda: scrape(proxy)["keystile_secret_stale", "api"] == 1, "the file's going")
    assert scrape(proxy)["keystile_credential_ready", "api"] == 1


def test_minted_token(minting):
    world = minting()
    assert world.proxy.ask(get("/api/x", world.proxy.token())).status == 200
    metrics = scrape(world.proxy)
    assert metrics["keystile_token_expires_timestamp_seconds", "api"] > metrics["process_start_time_seconds",]


def test_state_that_cannot_be_written(keystile):
    """A warning, and a metric (SPEC §10)."""
    proxy = keystile(one_api("http://127.0.0.1:1"), {"api": evidence.secret("state")}, start=False)
    assert scrape(proxy.start())["keystile_state_writable",] == 1
    proxy.stop()
    shutil.rmtree(proxy.folder / "state")
    (proxy.folder / "state").write_text("no folder")
    assert scrape(proxy.start())["keystile_state_writable",] == 0


def test_memory_that_cannot_be_locked(keystile):
    """A warning, and a metric (SPEC §10)."""
    proxy = keystile(one_api("http://127.0.0.1:1"), {"api": evidence.secret("locked")})
    locked = "cannot be locked" not in proxy.log()
    assert scrape(proxy)["keystile_memory_locked",] == locked


def test_audit(serve):
    """Lines that are written; lines that the file does not take; and what goes nowhere for that."""
    proxy, _ = serve(head={"audit": "{{ file: /dev/full, required: true }}"})
    assert proxy.ask(get("/api/x", proxy.token())).status == 503
    wait_for(lambda: scrape(proxy).get("keystile_audit_lost_total") >= 2, "the lines")
    metrics = scrape(proxy)
    assert metrics["keystile_audit_refused_total",] == metrics["keystile_audit_failing",] == 1
    assert metrics["keystile_audit_lines_total",] == 0


def test_audit_lines(serve):
    proxy, _ = serve()
    for _ in range(3):
        proxy.ask(get("/api/x", proxy.token()))
    wait_for(lambda: scrape(proxy)["keystile_audit_lines_total",] == 3, "three lines")
    assert scrape(proxy)["keystile_audit_lost_total",] == 0


# Tunnels and upgrades


def test_tunnels(serve):
    """One that flows is there now; and it is counted by its end."""
    proxy, server = serve(lambda connection: connection.send(connection.exactly(5)), hosts='["127.0.0.1:1234"]')
    other = socket.create_server(("127.0.0.1", 0))
    port = other.getsockname()[1]
    proxy.stop()
    proxy.config.write_text(proxy.text.replace("127.0.0.1:1234", f"127.0.0.1:{port}"))
    proxy.start()
    before = scrape(proxy)
    with open_tunnel(proxy, f"127.0.0.1:{port}", proxy.proxy_token()) as client:
        there, _ = other.accept()
        client.send(b"\x00hello")
        wait_for(lambda: scrape(proxy)["keystile_tunnels",] == 1, "the tunnel")
        assert scrape(proxy)["keystile_client_connections",] == 1
        there.close()
    moved(proxy, before, "keystile_tunnels_opened_total")
    wait_for(lambda: scrape(proxy)["keystile_tunnels",] == 0, "its end")
    assert sum(scrape(proxy)["keystile_tunnels_total", verdict] for verdict in ("allow", "fail")) == 1
    assert open_refused(proxy) == 403
    moved(proxy, before, "keystile_tunnels_total", "deny")
    other.close()


def open_refused(proxy):
    with proxy.client() as client:
        import base64

        auth = base64.b64encode(f"agent:{proxy.proxy_token()}".encode()).decode()
        client.send(f"CONNECT denied.test:443 HTTP/1.1\r\nHost: denied.test:443\r\nProxy-Authorization: Basic {auth}\r\n\r\n")
        return client.response().status


def test_upgrades(serve):
    def script(connection):
        connection.request()
        connection.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n")
        connection.send(connection.exactly(5))

    proxy, _ = serve(script)
    before = scrape(proxy)
    with proxy.client() as client:
        client.send(get("/api/x", proxy.token(), "Connection: upgrade", "Upgrade: chat"))
        assert client.head().status == 101
        wait_for(lambda: scrape(proxy)["keystile_upgrades",] == 1, "the upgrade")
        client.send("hello")
        assert client.exactly(5) == b"hello"
    moved(proxy, before, "keystile_requests_total", "api", "101")
    wait_for(lambda: scrape(proxy)["keystile_upgrades",] == 0, "its end")
    assert scrape(proxy)["keystile_upgrades_total",] == 1
    assert not [key for key in moves(before, scrape(proxy)) if "duration" in key[0]]


# Limits: each is there with its value, and a hit counts.


def test_every_limit_is_there(serve):
    """Whoever adds a limit gives it a metric."""
    values = {"head": "8KiB", "idle": "90s", "streams": 7}
    proxy, _ = serve(limits=values)
    metrics = scrape(proxy)
    for name in ("keystile_limit", "keystile_limit_hits_total"):
        assert sorted(labels["limit"] for labels in metrics.labels[name]) == sorted(LIMITS)
    assert metrics["keystile_limit", "head", "bytes"] == 8192
    assert metrics["keystile_limit", "idle", "seconds"] == 90
    assert metrics["keystile_limit", "streams", "count"] == 7
    assert metrics["keystile_limit", "body", "bytes"] == 0


def test_the_largest_limit(serve):
    proxy, _ = serve(limits={"body": "1048576GiB"})
    assert scrape(proxy)["keystile_limit", "body", "bytes"] == 2**50


def over_head(proxy):
    assert proxy.ask(get("/api/x", proxy.token(), "X-Pad: " + "a" * 5000)).status == 431


def over_fields(proxy):
    assert proxy.ask(get("/api/x", proxy.token(), *(f"X-{i}: a" for i in range(30)))).status == 431


def over_head_time(proxy):
    with proxy.client() as client:
        client.send("GET /api")
        assert client.response().status == 408


def over_idle(proxy):
    with proxy.client() as client:
        assert client.ask(get("/api/x", proxy.token())).status == 200
        client.rest()


def over_connections(proxy):
    with proxy.client() as first, proxy.client() as second:
        assert first.ask(get("/api/x", proxy.token())).status == 200
        assert second.ask(get("/api/x", proxy.token())).status == 200
        with proxy.client() as third:
            assert third.response().status == 503


def over_profile_connections(proxy):
    with proxy.client() as first, proxy.client() as second:
        assert first.ask(get("/api/x", proxy.token())).status == 200
        assert second.ask(get("/api/x", proxy.token())).status == 503


def over_body_idle(proxy):
    with proxy.client() as client:
        client.send(get("/api/x", proxy.token(), "Content-Length: 5", method="POST") + "abc")
        assert client.response().status == 408


def over_response_idle(proxy):
    assert proxy.ask(get("/api/silent", proxy.token())).status == 504


def over_body(proxy):
    assert proxy.ask(get("/api/x", proxy.token(), "Content-Length: 5000", method="POST")).status == 413


def over_streams(proxy):
    with H2(proxy) as client:
        client.connection.remote_settings[SettingCodes.MAX_CONCURRENT_STREAMS] = 100  # it was told of one
        client.connection.remote_settings.acknowledge()
        for _ in range(4):
            client.request("/api/silent", token=proxy.token())
        client.flush()
        wait_for(lambda: scrape(proxy).get("keystile_limit_hits_total", "streams") > 0, "the refusal")


# limit: its value, and what hits it
HITS = {
    "head": ("4KiB", over_head),
    "fields": (20, over_fields),
    "head_time": ("3s", over_head_time),
    "connections": (2, over_connections),
    "profile_connections": (1, over_profile_connections),
    "idle": ("200ms", over_idle),
    "body_idle": ("200ms", over_body_idle),
    "response_idle": ("200ms", over_response_idle),
    "body": ("4KiB", over_body),
    "streams": (1, over_streams),
}


def silent_where_asked(connection):
    while True:
        request = connection.request()
        if "silent" in request.target:
            connection.rest()
            return
        connection.answer()


@pytest.mark.parametrize("limit", HITS)
def test_limit_hits(serve, limit):
    value, hit = HITS[limit]
    proxy, _ = serve(silent_where_asked, {limit: value})
    before = scrape(proxy)
    hit(proxy)
    wait_for(lambda: scrape(proxy).get("keystile_limit_hits_total", limit) > before.get("keystile_limit_hits_total", limit), limit)
    others = [key[1] for key in moves(before, scrape(proxy)) if key[0] == "keystile_limit_hits_total"]
    assert others == [limit]


def test_tunnel_idle(serve):
    proxy, server = serve(lambda connection: connection.rest(), {"tunnel_idle": "200ms"}, hosts='["127.0.0.1:4321"]')
    with socket.create_server(("127.0.0.1", 0)) as other:
        proxy.stop()
        proxy.config.write_text(proxy.text.replace("127.0.0.1:4321", f"127.0.0.1:{other.getsockname()[1]}"))
        proxy.start()
        with open_tunnel(proxy, f"127.0.0.1:{other.getsockname()[1]}", proxy.proxy_token()) as client:
            client.rest()
        wait_for(lambda: scrape(proxy).get("keystile_limit_hits_total", "tunnel_idle") == 1, "the end")


def test_handshake(keystile, origin):
    server = origin(lambda connection: connection.rest())
    proxy = keystile(one_api(f"https://127.0.0.1:{server.port}"), {"api": evidence.secret("hands")}, {"limits": "{{ handshake: 200ms }}"})
    assert proxy.ask(get("/api/x", proxy.token())).status == 504
    wait_for(lambda: scrape(proxy).get("keystile_limit_hits_total", "handshake") == 1, "the end")


def test_connect(keystile):
    """Nobody takes a connection from a queue that is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        proxy = keystile(one_api(f"http://127.0.0.1:{full.getsockname()[1]}"), {"api": evidence.secret("full")},
                         {"limits": "{{ connect: 300ms }}"})
        assert proxy.ask(get("/api/x", proxy.token())).status == 504
        wait_for(lambda: scrape(proxy).get("keystile_limit_hits_total", "connect") == 1, "the end")
        for one in waiting:
            one.close()


def test_signed_body(keystile, origin):
    config = (
        "credentials:\n  api:\n"
        f"    upstream: http://127.0.0.1:{origin().port}\n    secrets: {{ id: vault:id, key: vault:key }}\n"
        "    inject: { aws_sigv4: { region: eu-west-1, service: dynamodb } }\n    env: { token: API_TOKEN }\n"
        "profiles:\n  agent: { credentials: [api] }\n"
    )
    proxy = keystile(config, {"id": "AKIAEXAMPLE00000000", "key": evidence.secret("key")}, {"limits": "{{ signed_body: 4KiB }}"})
    head = get("/api/x", None, f"Authorization: Bearer {proxy.token()}", "Content-Length: 5000", method="POST")
    assert proxy.ask(head).status == 413
    wait_for(lambda: scrape(proxy).get("keystile_limit_hits_total", "signed_body") == 1, "the refusal")


# What must not be there


def test_no_label_is_a_clients(serve):
    """Whatever an agent, or an upstream, says: the samples stay those of the configuration and of closed sets."""

    def script(connection):
        while True:
            connection.answer(f"{connection.request().target[-3:]} Odd")

    proxy, _ = serve(script, hosts='["*.allowed.test"]')
    proxy.ask(get("/api/200", proxy.token()))
    proxy.ask(get("/api/299", proxy.token()))
    wait_for(lambda: scrape(proxy).get("keystile_requests_total", "api", "2xx") == 1, "the first odd one")
    for line in ("GET /nosuch-%d/x", "BREW%d /api/200", "GET http://host%d.test/", "G%d", "\x00%d", "GET /api/200?q%d"):
        with proxy.client() as client:
            client.send(line % 1 + " HTTP/1.1\r\nHost: a\r\n\r\n")
            with_answer(client)
    assert len(proxy.audit(8, event="end")) == 8, "by then they are counted"
    known = {key[:2] for key in scrape(proxy)}
    before = len(scrape(proxy))
    for number in range(20):
        proxy.ask(get(f"/api/{230 + number}", proxy.token()))
        for line in ("GET /nosuch-%d/x", "BREW%d /api/200", "GET http://host%d.test/", "G%d", "GET /api/200?q%d"):
            with proxy.client() as client:
                client.send(line % (number + 2) + " HTTP/1.1\r\nHost: a\r\n\r\n")
                with_answer(client)
    assert len(scrape(proxy)) == before and {key[:2] for key in scrape(proxy)} == known


def with_answer(client):
    try:
        client.response()
    except (Closed, ConnectionError):
        pass


def test_nothing_secret(serve):
    """Neither a secret nor a token, a path, a query, or a name that a client made up."""
    proxy, _ = serve()
    token, marks = proxy.token(), ["marked-path", "marked-query", "marked-agent"]
    proxy.ask(get("/api/marked-path?q=marked-query", token, "User-Agent: marked-agent"))
    proxy.ask(get("/api/marked-path", "marked-token"))
    text = admin(proxy, "/metrics").text
    assert evidence.find(text) == [] and not [word for word in (*marks, token, "marked-token") if word in text]


# The closed set of reasons

REASON = re.compile(
    r'problem_set\([^;]*?,\s*\d{3},\s*"([a-z_0-9]+)"|worker_note_(?:refusal|failure)\([^;]*?"([a-z_0-9]+)"'
    r'|\{\d{3}, (?:\d+, )?"([a-z_0-9]+)"|\{AUDIT_(?:DENY|FAIL), "([a-z_0-9]+)"|\bbroken = "([a-z_0-9]+)"'
    r'|(?:connect_end|\bend|\bfail|refuse_hello)\([^;"]*"([a-z][a-z_0-9]+)"\)'
    r'|return (?:[^;"]*\? )?"([a-z]+_revoked)"', re.S)


def test_every_reason_has_its_metric():
    """What the audit may say as a reason stands in the table, sorted, or it is counted as "other"."""
    table = re.findall(r'\{"([a-z_0-9]+)", TALLY_', (TOP / "proxyd/tally_names.c").read_text().split("tally_reasons[", 1)[1])
    found = {}
    for path in sorted((TOP / "proxyd").glob("*.c")):
        if path.name not in ("admin.c", "tally_names.c"):
            for match in REASON.finditer(path.read_text()):
                found.setdefault(next(filter(None, match.groups())), path.name)
    assert table[0] == "other" and table[1:] == sorted(table[1:])
    assert len(found) > 70 and {name: where for name, where in found.items() if name not in table} == {}
