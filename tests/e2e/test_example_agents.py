"""examples/claude-code: Claude Code, Codex and the vendors' SDKs, as they are, get what they ask for, and never see a key.

In a network where the vendors' names lead to a server of ours, in TLS, behind `ca:`; all else of keystile.yaml is the example's."""

import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tomllib

import pytest
import yaml

from peers import evidence
from peers.config import get
from peers.evidence import EVIDENCE
from peers.keystile import PROGRAMS, Keystile, clean_environment, wait_for
from peers.wire import Origin, note
from test_examples import EXAMPLES

FOLDER = EXAMPLES / "claude-code"
EXAMPLE = (FOLDER / "keystile.yaml").read_text()
TOOLS = pathlib.Path(os.environ.get("KEYSTILE_TOOLS", PROGRAMS / "tools"))
AGENTS = TOOLS / "agents/node_modules"
ANSWER = "an answer from upstream"
VENDORS = ["api.anthropic.com", "api.openai.com", "api.github.com", "github.com"]
ADDRESS = "198.51.100.81"


def events(*items):
    return "".join(f"event: {item['type']}\ndata: {json.dumps(item)}\n\n" for item in items)


MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": None, "stop_sequence": None,
           "usage": {"input_tokens": 1, "output_tokens": 1}}
ANTHROPIC_STREAM = events(
    {"type": "message_start", "message": {**MESSAGE, "content": []}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": ANSWER}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 1}},
    {"type": "message_stop"},
)
ITEM = {"type": "message", "role": "assistant", "id": "m1", "status": "completed",
        "content": [{"type": "output_text", "text": ANSWER, "annotations": []}]}
OPENAI_STREAM = events(
    {"type": "response.created", "response": {"id": "r1"}},
    {"type": "response.output_item.done", "output_index": 0, "item": ITEM},
    {"type": "response.completed", "response": {"id": "r1", "usage": {
        "input_tokens": 1, "input_tokens_details": None, "output_tokens": 1, "output_tokens_details": None, "total_tokens": 2}}},
)
ANTHROPIC_WHOLE = json.dumps({**MESSAGE, "stop_reason": "end_turn", "content": [{"type": "text", "text": ANSWER}]})
OPENAI_WHOLE = json.dumps({"id": "r1", "object": "response", "created_at": 1, "model": "m", "status": "completed", "output": [ITEM],
                           "parallel_tool_calls": False, "tool_choice": "auto", "tools": []})


def vendor(connection):
    """Both vendors in one: what they answer to a message, as a stream where one is asked for. One that waits long is closed, as
    vendors do, and not left open with nobody there."""
    while True:
        try:
            request = connection.request()
        except TimeoutError:
            return
        connection.origin.requests.append(request)
        streams = b'"stream":true' in request.body.replace(b" ", b"")
        if request.target.startswith("/v1/messages"):
            body = ANTHROPIC_STREAM if streams else ANTHROPIC_WHOLE
        elif request.target.startswith("/v1/responses"):
            body = OPENAI_STREAM if streams else OPENAI_WHOLE
        else:
            body = '{"data": [], "models": [], "object": "list"}'
        connection.answer("200 OK", body, f"Content-Type: {'text/event-stream' if streams else 'application/json'}")


@pytest.fixture(scope="module")
def laptop(tmp_path_factory, authority, network):
    """The example's proxyd, a home and a project for the agent, and the server."""
    folder = tmp_path_factory.mktemp("laptop")
    network.names.addresses.update(dict.fromkeys(VENDORS, ADDRESS))
    context = authority.server_context("vendors", [f"DNS:{name}" for name in VENDORS])
    server = Origin(vendor, context=context, host=ADDRESS, port=443, network=network)
    text = re.sub(r"( +preset: .*\n)", rf"\1    ca: {authority.ca}\n", EXAMPLE[EXAMPLE.index("credentials:"):])
    keys = {name: evidence.secret(f"laptop {name}") for name in ("anthropic", "openai", "github")}
    (folder / "config").mkdir()
    proxy = Keystile(folder / "config", text, keys, network=network)
    for name in ("home/.codex", "project"):
        (folder / name).mkdir(parents=True)
    codex = (FOLDER / "codex.toml").read_text().replace("127.0.0.1:8180", f"127.0.0.1:{proxy.port}")
    (folder / "home/.codex/config.toml").write_text(codex)
    proxy.start()
    yield proxy, server, keys, folder
    assert proxy.stop() == 0
    server.close()


@pytest.fixture
def agent(laptop):
    """agent(COMMAND…) starts it as the README does, and gives what it said and the requests that came to the vendor."""
    proxy, server, keys, folder = laptop

    def start(*command):
        before = len(server.requests)
        argv = [*proxy.launcher, PROGRAMS / "envgen/envgen", "run", "--config", proxy.config, "--confine", "--best-effort", "--clean", "--", *command]
        environment = clean_environment(HOME=str(folder / "home"), PATH=f"{TOOLS / 'bin'}:{os.environ['PATH']}",
                                        ANTHROPIC_API_KEY="sk-ant-operators-own", OPENAI_API_KEY="sk-operators-own")
        done = subprocess.run([str(word) for word in argv], cwd=folder / "project", env=environment, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=60)
        note(shlex.join(map(str, command))[:200], "said", done.stdout + done.stderr)
        EVIDENCE.add("an agent's output", done.stdout + done.stderr)
        assert not any(key in done.stdout + done.stderr for key in keys.values())
        return done, server.requests[before:]

    return start


def test_readmes_first_commands_put_the_vault_out_of_the_project(tmp_path):
    """They are typed in the example's folder, whose own keystile.yaml must not be the one that counts."""
    commands = re.search(r"^```\n(.*?)^creds set", (FOLDER / "README.md").read_text(), re.M | re.S)[1]
    shutil.copytree(FOLDER, tmp_path / "example")
    path = f"{PROGRAMS / 'creds'}:{os.environ['PATH']}"
    subprocess.run(["sh", "-ec", commands], cwd=tmp_path / "example", env=clean_environment(HOME=str(tmp_path), PATH=path), check=True,
                   capture_output=True)
    assert (tmp_path / ".config/keystile/secrets.vault").exists() and not (tmp_path / "example/secrets.vault").exists()


def test_configuration_of_codex_is_what_envgen_says(laptop):
    proxy, _, _, folder = laptop
    provider = tomllib.loads((folder / "home/.codex/config.toml").read_text())["model_providers"]["keystile"]
    assert provider["base_url"] == proxy.environment("coder")["OPENAI_BASE_URL"]


def installed(path):
    found = AGENTS / path
    return pytest.mark.skipif(not found.exists(), reason=f"{path} is not installed; npm has it for some machines only"), found


has_claude, CLAUDE = installed("@anthropic-ai/claude-code-linux-x64/claude")
has_codex, CODEX = installed("@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex")


@has_claude
def test_claude_code(agent, laptop):
    done, requests = agent(CLAUDE, "-p", "hello")
    assert done.returncode == 0 and done.stdout.strip() == ANSWER, done.stdout + done.stderr
    assert {request.get("x-api-key") for request in requests} == {laptop[2]["anthropic"]}
    assert all(request.target.startswith("/v1/messages") and request.get("Authorization") is None for request in requests)


@has_codex
def test_codex(agent, laptop):
    done, requests = agent(CODEX, "exec", "--skip-git-repo-check", "hello")
    assert done.returncode == 0 and done.stdout.strip() == ANSWER, done.stdout + done.stderr
    assert {request.get("Authorization") for request in requests} == {f"Bearer {laptop[2]['openai']}"}


@has_codex
def test_codex_without_its_file_reaches_nobody(agent, laptop):
    """Why codex.toml is there. If this fails, Codex has learnt to read OPENAI_BASE_URL, and the README is to be shortened."""
    proxy, _, _, folder = laptop
    before = len(proxy.audit())

    def has_tried():
        """It may be that it gets nowhere within its time."""
        done, requests = agent("timeout", "4", CODEX, "exec", "--skip-git-repo-check", "-c", 'model_provider="openai"', "hello")
        assert done.returncode != 0 and requests == []
        return any(line.get("host") == "api.openai.com" and line.get("status") == 403 for line in proxy.audit()[before:])

    wait_for(has_tried, "a request for the vendor itself, which is refused", 60)


PYTHON = {
    "anthropic": "import anthropic; print(anthropic.Anthropic().messages.create(model='m', max_tokens=9, "
                 "messages=[{'role': 'user', 'content': 'hello'}]).content[0].text)",
    "openai": "import openai; print(openai.OpenAI().responses.create(model='m', input='hello').output_text)",
}
NODE = {
    "anthropic": "const A = require('@anthropic-ai/sdk'); new (A.default || A)().messages.create({model: 'm', max_tokens: 9, "
                 "messages: [{role: 'user', content: 'hello'}]}).then(m => console.log(m.content[0].text))",
    "openai": "const O = require('openai'); new (O.default || O)().responses.create({model: 'm', input: 'hello'})"
              ".then(r => console.log(r.output_text))",
}


@pytest.mark.parametrize("vendor_name", ["anthropic", "openai"])
@pytest.mark.parametrize("language", ["python", "node"])
def test_sdk(language, vendor_name, agent, laptop):
    if language == "python":
        done, requests = agent(sys.executable, "-c", PYTHON[vendor_name])
    else:
        done, requests = agent("sh", "-c", f"cd {shlex.quote(str(TOOLS / 'node'))} && exec node -e {shlex.quote(NODE[vendor_name])}")
    assert done.returncode == 0 and done.stdout.strip() == ANSWER, done.stdout + done.stderr
    field, value = ("x-api-key", "{}") if vendor_name == "anthropic" else ("Authorization", "Bearer {}")
    assert [request.get(field) for request in requests] == [value.format(laptop[2][vendor_name])]


@pytest.mark.parametrize("credential, method, path, status", [
    ("anthropic", "POST", "/v1/messages", 200),
    ("anthropic", "GET", "/v1/models", 200),
    ("anthropic", "GET", "/v1/organizations/api_keys", 403),
    ("anthropic", "DELETE", "/v1/files/f", 403),
    ("openai", "POST", "/v1/responses", 200),
    ("openai", "GET", "/v1/responses/r1", 200),
    ("openai", "POST", "/v1/fine_tuning/jobs", 403),
    ("openai", "GET", "/v1/organization/admin_api_keys", 403),
    ("github", "GET", "/repos/o/r/contents/a%2Fb", 200),
    ("github", "POST", "/repos/o/r/pulls", 200),
    ("github", "POST", "/repos/o/r/issues/1/comments", 200),
    ("github", "POST", "/graphql", 403),
    ("github", "GET", "/graphql", 403),
    ("github", "PUT", "/repos/o/r/pulls/1/merge", 403),
    ("github", "POST", "/repos/o/r/keys", 403),
    ("github", "DELETE", "/repos/o/r", 403),
    ("git-github", "POST", "/o/r.git/git-receive-pack", 403),
])
def test_rules(credential, method, path, status, laptop):
    proxy = laptop[0]
    said = proxy.environment("coder")
    token = {"anthropic": "ANTHROPIC_API_KEY", "openai": "OPENAI_API_KEY", "github": "GH_TOKEN"}.get(credential)
    token = said[token] if token else re.search(r"//x:([^@]+)@", said["GIT_CONFIG_KEY_0"])[1]
    fields = ["Content-Length: 0"] if method in ("POST", "PUT") else []
    assert proxy.ask(get(f"/{credential}{path}", token, *fields, method=method), method).status == status


def test_devcontainer_opens_the_agents_container():
    container = json.loads((FOLDER / "devcontainer.json").read_text())
    compose = yaml.safe_load((EXAMPLES / "docker/compose.yaml").read_text())
    assert container["dockerComposeFile"].endswith("examples/docker/compose.yaml")
    assert compose["services"][container["service"]]["working_dir"] == container["workspaceFolder"]
