"""Measures what dead names cost others; test_names.py runs it in a network of its own, with a name server that is silent.

One worker, one profile `good`, and noisy profiles that ask for names which never resolve. Prints how long the good ones
took, without and with the noise, as JSON."""

import base64
import json
import pathlib
import statistics
import sys
import threading
import time

from peers import names
from peers.keystile import Keystile, wait_for
from peers.wire import TRANSCRIPT, Closed, Origin

DEAD = 20   # names of each noisy profile
NOISY = 4   # such profiles: with eight look-ups each they would have all of a worker's 32
ASKS = 200  # for each figure


def proxied(host, port, path, token):
    userinfo = base64.b64encode(f"x:{token}".encode()).decode()
    return f"GET http://{host}:{port}{path} HTTP/1.1\r\nHost: {host}:{port}\r\nProxy-Authorization: Basic {userinfo}\r\n\r\n"


def serve(connection):
    """/fresh ends its connection, so that the next request has to dial."""
    while True:
        fresh = connection.request().target == "/fresh"
        connection.answer("200 OK", b"ok", *["Connection: close"] * fresh)
        if fresh:
            return


class Load:
    def __init__(self, proxy, port, tokens):
        self.proxy, self.port, self.tokens = proxy, port, tokens
        self.stop = threading.Event()
        self.answers = {}
        self.threads = []

    def start(self):
        for profile in range(NOISY):
            for number in range(DEAD):
                self.spawn(self.wait_for_it, profile, f"dead{number}.test")
            self.spawn(self.leave_at_once, profile)

    def spawn(self, what, *arguments):
        self.threads.append(threading.Thread(target=what, args=arguments, daemon=True))
        self.threads[-1].start()

    def ask(self, client, profile, name):
        client.send(proxied(name, self.port, "/", self.tokens[profile]))

    def wait_for_it(self, profile, name):
        while not self.stop.is_set():
            try:
                with self.proxy.client() as client:
                    self.ask(client, profile, name)
                    status = client.response().status
            except (Closed, OSError):
                continue
            self.answers[status] = self.answers.get(status, 0) + 1

    def leave_at_once(self, profile):
        """Clients that do not wait: their look-ups run on, and are counted."""
        while not self.stop.wait(0.02):
            with self.proxy.client() as client:
                self.ask(client, profile, "deadest.test")

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(15)


def measure(proxy, port, token):
    """The 99th percentile in ms of each way to a good server."""
    found = {}
    for kind, host, path in [("address, kept", "127.0.0.1", "/"), ("address, fresh", "127.0.0.1", "/fresh"),
                             ("name, kept", "good.test", "/"), ("name, fresh", "good.test", "/fresh")]:
        with proxy.client() as client:
            times = []
            for _ in range(ASKS):
                began = time.monotonic()
                response = client.ask(proxied(host, port, path, token))
                times.append((time.monotonic() - began) * 1000)
                assert response.status == 200, f"{kind}: {response}"
                TRANSCRIPT.clear()
        found[kind] = sorted(times)[len(times) * 99 // 100]
    return found


def threads_of(process):
    return len(list(pathlib.Path(f"/proc/{process.pid}/task").iterdir()))


def main(folder):
    names.loopback_up()
    names.cover(folder, "resolv.conf", "nameserver 127.0.0.1\noptions timeout:2 attempts:2\n")
    server = names.Names({"good.test": "127.0.0.1"})
    origin = Origin(serve)
    hosts = ", ".join(f'"{name}:{origin.port}"' for name in
                      ["127.0.0.1", "good.test", "deadest.test", *(f"dead{number}.test" for number in range(DEAD))])
    config = "profiles:\n" + "".join(f"  {name}: {{ hosts: [{hosts}] }}\n"
                                     for name in ["good", *(f"noisy{number}" for number in range(NOISY))])
    pathlib.Path(folder, "run").mkdir()
    proxy = Keystile(pathlib.Path(folder, "run"), config, head={"limits": "{{ connect: 3s, connections: 10000 }}"})
    proxy.start()
    token = proxy.proxy_token("good")
    result = {"quiet": measure(proxy, origin.port, token)}
    load = Load(proxy, origin.port, [proxy.proxy_token(f"noisy{number}") for number in range(NOISY)])
    before = threads_of(proxy.process)
    load.start()
    wait_for(lambda: sum(server.asked.get(f"dead{number}.test", 0) for number in range(DEAD)) >= 8, "dead names to be asked for")
    rounds, result["threads"] = [], 0
    while load.answers.get(504, 0) < NOISY * DEAD:  # until every slot has been given on
        rounds.append(measure(proxy, origin.port, token))
        result["threads"] = max(result["threads"], threads_of(proxy.process) - before)
    load.end()
    # Noise is there in every round; in one of them this machine may stand still.
    result["noisy"] = {kind: statistics.median_low(one[kind] for one in rounds) for kind in rounds[0]}
    result["answers"] = load.answers
    result["reasons"] = sorted({line.get("reason") or "" for line in proxy.audit()})
    result["status"] = proxy.stop()
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1])
