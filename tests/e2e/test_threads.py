"""Several workers at once: requests of every kind on all of them while secrets change, SIGHUP comes and pages are read.

It holds on any build. Under ThreadSanitizer it is where two threads that touch one thing without order are seen to."""

import os
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

from peers import evidence
from peers.config import get
from peers.keystile import wait_for
from peers.parents import through_to
from test_ways import admin_get, proxied

PRINTED = "what-a-command-printed"
SOURCE = f'"exec:echo {PRINTED}"'
CLIENTS, ROUNDS, RELOADS = 6, 12, 8


def config(plain, tls, parent, authority):
    api = "upstream: '{}', secret: vault:api, inject: {{ header: X-Key, value: '{{secret}}' }}, env: {{ token: {} }}, rate: 1000000/s"
    return (
        "credentials:\n"
        f"  plain: {{ {api.format(f'http://127.0.0.1:{plain.port}', 'PLAIN_TOKEN')}, rules: ['allow GET,POST /x/**'] }}\n"
        f"  tls: {{ {api.format(f'https://localhost:{tls.port}', 'TLS_TOKEN')}, ca: '{authority.ca}' }}\n"
        f"  command: {{ {api.format(f'http://127.0.0.1:{plain.port}', 'COMMAND_TOKEN').replace('vault:api', SOURCE)}, ttl: 5s }}\n"
        "profiles:\n  agent: { hosts: [far.invalid], credentials: [plain, tls, command], rate: 1000000/s }\n"
        f"parent: {{ proxy: 'http://127.0.0.1:{parent.port}', auth: vault:parent, except: ['127.0.0.1:{plain.port}', 'localhost:{tls.port}'] }}\n"
    )


def work(proxy, plain, tokens, number):
    """What one client does; returns the statuses that it got."""
    got = []
    for round in range(ROUNDS):
        with proxy.client(f"client {number}") as client:
            got.append(client.ask(get("/plain/x/y", tokens["plain"])).status)
            got.append(client.ask(get("/tls/x", tokens["tls"])).status)
            got.append(client.ask(get("/plain/x/y", tokens["plain"], "Content-Length: 3", method="POST") + "abc").status)
            got.append(client.ask(get("/plain/no", tokens["plain"])).status)
            got.append(client.ask(get("/command/command", tokens["command"])).status)
            got.append(client.ask(proxied(f"http://127.0.0.1:{plain.port}/x/z", tokens["proxy"])).status)
            got.append(client.ask(proxied("http://far.invalid/far", tokens["proxy"])).status)
        with proxy.client(f"client {number}, leaving") as client:
            client.send(get("/tls/x", tokens["tls"]))
            if round % 2:
                client.reset()
    return got


def reload(proxy, secrets, ended):
    """New values and SIGHUPs, one behind the other, until all clients are done."""
    for value in secrets:
        proxy.creds("set", "api", input=value)
        proxy.creds("set", "parent", input="u:" + value)
        os.kill(proxy.process.pid, signal.SIGHUP)
        admin_get(proxy, "/readyz?all")
    while not ended.wait(0.02):
        os.kill(proxy.process.pid, signal.SIGHUP)
        admin_get(proxy, "/readyz")


def test_workers_share_nothing_without_order(keystile, origin, authority):
    plain = origin()
    tls = origin(context=authority.server_context())
    secrets = [evidence.secret() for _ in range(RELOADS)]
    parent = origin(through_to(lambda: socket.create_connection(("127.0.0.1", plain.port))))
    proxy = keystile(config(plain, tls, parent, authority), {"api": secrets[0], "parent": f"u:{secrets[0]}"}, {"workers": "3"})
    tokens = {"plain": proxy.token("PLAIN_TOKEN"), "tls": proxy.token("TLS_TOKEN"), "command": proxy.token("COMMAND_TOKEN"),
              "proxy": proxy.proxy_token()}
    ended = threading.Event()
    with ThreadPoolExecutor(CLIENTS + 1) as pool:
        reloader = pool.submit(reload, proxy, secrets, ended)
        clients = [pool.submit(work, proxy, plain, tokens, number) for number in range(CLIENTS)]
        try:
            for client in clients:
                assert client.result() == [200, 200, 200, 403, 200, 200, 200] * ROUNDS
        finally:
            ended.set()
        reloader.result()
    for request in plain.requests + tls.requests:
        assert request.get("X-Key") in {"/far": [None], "/command": [PRINTED]}.get(request.target, secrets)
    wait_for(lambda: last_key(proxy, plain, tokens) == secrets[-1], "the last secret in use")
    proxy.audit(CLIENTS * ROUNDS * 7, event="end")


def last_key(proxy, plain, tokens):
    proxy.ask(get("/plain/x/last", tokens["plain"]))
    return plain.requests[-1].get("X-Key")
