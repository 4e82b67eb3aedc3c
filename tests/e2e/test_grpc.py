"""gRPC, real clients and a real server (tests/e2e/grpc, tests/e2e/go): the sourced file alone, through CONNECT, opened, judged, with the
secret in the metadata of each call. Clients and server know nothing of a proxy (SPEC §5)."""

import base64
import hashlib
import json
import os
import pathlib
import subprocess
import threading

import pytest

from peers import evidence
from peers.config import one_api
from peers.evidence import EVIDENCE
from peers.keystile import Keystile, clean_environment, wait_for
from peers.wire import note

HERE = pathlib.Path(__file__).parent
TOOLS = pathlib.Path(os.environ.get("KEYSTILE_TOOLS", "/nonexistent")).absolute()
HOST, ADDRESS = "grpc.clients.test", "198.51.100.94"
EVERY = bytes(range(256))
PYTHON = TOOLS / "python/bin/python"
CLIENTS = {
    "grpcio": [PYTHON, HERE / "grpc/client.py"],
    "grpc-js": [TOOLS / "bin/node", HERE / "grpc/client.cjs"],
    "grpc-go": [TOOLS / "versions/go/client", "grpc"],
}
OK, CANCELLED, DEADLINE_EXCEEDED, NOT_FOUND, PERMISSION_DENIED, DATA_LOSS = 0, 1, 4, 5, 7, 15
ANSWERS = {
    "unary": ["hello", "one", "asked", "two", base64.b64encode(EVERY).decode()],
    "down": list(range(100)),
    "up": "100 messages, 100000 bytes",
    "both": ["re: first", *(f"re: {number}" for number in range(1, 20))],
    "large": hashlib.sha256(EVERY * (4 << 12)).hexdigest(),
    "fail": [NOT_FOUND, "no such thing: é"],
    "fail_late": [["one"], DATA_LOSS, "behind one"],
    "refused": PERMISSION_DENIED,  # what gRPC makes of a 403
    "deadline": [DEADLINE_EXCEEDED, True],
    "cancel": ["slow", CANCELLED],
}
CALLS = ["Unary", "Down", "Up", "Both", "Unary", "Fail", "FailLate", "Slow", "Slow"]


class Server:
    def __init__(self, network, certificate):
        self.lines = []
        self.process = subprocess.Popen(
            [*network.launcher, PYTHON, HERE / "grpc/server.py", ADDRESS, "443", *certificate], stdout=subprocess.PIPE, text=True,
            env=clean_environment())
        threading.Thread(target=self.read, daemon=True).start()
        wait_for(lambda: {"ready": True} in self.lines, "the server")

    def read(self):
        for line in self.process.stdout:
            note("gRPC server", "said", line)
            self.lines.append(json.loads(line))

    def close(self):
        self.process.terminate()
        self.process.wait()


@pytest.fixture(scope="module")
def ran(network, authority, tmp_path_factory):
    """ran(CLIENT): what it printed, what the server did, the secret, and the audit."""
    network.names.addresses[HOST] = ADDRESS
    server = Server(network, authority.issue("grpc", [f"DNS:{HOST}"]))
    kept, proxies = {}, []

    def run(name):
        if not CLIENTS[name][0].exists():
            pytest.skip(f"{name} is not installed here")
        if name not in kept:
            kept[name] = once(name)
        return kept[name]

    def once(name):
        secret = evidence.secret("grpc")
        config = one_api(f"https://{HOST}", intercept="true", ca=authority.ca, rules='["deny * /keystile.Echo/Refused", "allow POST /keystile.Echo/*"]')
        proxy = Keystile(tmp_path_factory.mktemp(name), config, {"api": secret}, network=network)
        proxies.append(proxy.start())
        begin = len(server.lines)
        env = {**clean_environment(), **proxy.environment(), "NODE_PATH": str(TOOLS / "node/node_modules")}
        EVIDENCE.add("environ", str(env))
        done = network.run(*CLIENTS[name], HOST, env=env, text=True)
        note(name, "said", done.stdout + done.stderr)
        EVIDENCE.add("client output", done.stdout + done.stderr)
        assert done.returncode == 0, (done.stdout, done.stderr)
        for word, count in (("call", len(CALLS)), ("over", 2)):
            wait_for(lambda: sum(word in line for line in server.lines[begin:]) >= count, f"{count} lines that say {word}")
        audit = proxy.audit(len(CALLS) + 1, event="end", way="intercept")
        return json.loads(done.stdout), server.lines[begin:], secret, audit

    yield run
    for proxy in proxies:
        assert proxy.stop() == 0
    server.close()


@pytest.mark.parametrize("case", ANSWERS)
@pytest.mark.parametrize("name", CLIENTS)
def test_call(ran, name, case):
    seen, *_ = ran(name)
    assert seen[case] == ANSWERS[case]


@pytest.mark.parametrize("name", CLIENTS)
def test_what_the_server_saw(ran, name):
    """Each call once, with the secret alone; a deadline and a cancel reach it."""
    _, lines, secret, audit = ran(name)
    calls = [line for line in lines if "call" in line]
    assert sorted(call["call"] for call in calls) == sorted(CALLS)
    assert all(call["authorization"] == [f"Bearer {secret}"] for call in calls), calls
    assert sorted(line["over"] for line in lines if "over" in line) == ["cancel", "deadline"]
    assert sorted((line["path"], line["verdict"]) for line in audit if line["verdict"] == "deny") == [("/keystile.Echo/Refused", "deny")]
    assert all(line["injected"] for line in audit if line["verdict"] == "allow")
