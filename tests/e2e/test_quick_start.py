"""README's quick start, typed as it stands: a program with the vendor's SDK has its answer, and the key is where it says.

In a network where the vendor's name leads to a server of ours, behind `ca:`, with the key from a pipe instead of a terminal."""

import os
import re
import shlex
import subprocess

import pytest
import yaml

from peers import evidence
from peers.evidence import EVIDENCE
from peers.keystile import PROGRAMS, clean_environment, free_port, wait_for
from peers.wire import Origin, note
from test_examples import TOP

ADDRESS = "198.51.100.82"
SECTION = re.search(r"^## Quick start\n(.*?)^## ", (TOP / "README.md").read_text(), re.M | re.S)[1]
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", SECTION, re.M | re.S)
CONFIG = next(text for kind, text in BLOCKS if kind == "yaml")
COMMANDS = "".join(text for kind, text in BLOCKS if not kind).splitlines()
INSTALL = ["./setup", "sudo make"]
AGENT = "import openai; print([model.id for model in openai.OpenAI().models.list()])"


def api(connection):
    while True:
        connection.origin.requests.append(connection.request())
        connection.answer("200 OK", '{"data": [{"id": "a-model", "object": "model"}], "object": "list"}', "Content-Type: application/json")


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory, authority, network):
    """type(LINE…) types lines of README in one shell's environment, and gives what was said. The server, the key, the home."""
    home = tmp_path_factory.mktemp("newcomer")
    key = evidence.secret("newcomer")
    network.names.addresses["api.openai.com"] = ADDRESS
    server = Origin(api, context=authority.server_context("quick", ["DNS:api.openai.com"]), host=ADDRESS, port=443, network=network)
    (home / "project").mkdir()
    (home / "project/my-agent.py").write_text(AGENT)
    path = ":".join([*(str(PROGRAMS / name) for name in ("proxyd", "envgen", "creds")), os.environ["PATH"]])
    environment = clean_environment(HOME=str(home), PATH=path, OPENAI_API_KEY="sk-operators-own")

    def type_(*lines, **more):
        done = subprocess.run([*network.launcher, "sh", "-ec", "\n".join(lines)], cwd=home, env=environment, capture_output=True, text=True,
                              timeout=60, **{"stdin": subprocess.DEVNULL, **more})
        note("\n".join(lines), "said", done.stdout + done.stderr)
        EVIDENCE.add("the quick start's output", done.stdout + done.stderr)
        assert done.returncode == 0, done.stderr
        return done

    yield type_, server, key, home, environment
    server.close()


def python():
    """The interpreter that has the SDK."""
    tools = os.environ.get("KEYSTILE_TOOLS", str(PROGRAMS / "tools"))
    return f"{tools}/python/bin/python"


def test_as_readme_says(newcomer, authority, network):
    type_, server, key, home, environment = newcomer
    lines = [line.split("   #")[0].rstrip() for line in COMMANDS if not line.startswith(tuple(INSTALL))]
    start = lines.index("proxyd &")
    config = home / ".config/keystile/keystile.yaml"
    made = [line for line in lines[:start] if not line.startswith("creds")]
    type_(*made)
    config.write_text(CONFIG.replace("preset: openai\n", f"preset: openai\n    ca: {authority.ca}\n"))
    type_(*made, *(line for line in lines[:start] if line.startswith("creds")), stdin=None, input=key)

    with open(home / "log", "wb") as log:
        proxyd = subprocess.Popen([*network.launcher, PROGRAMS / "proxyd/proxyd"], cwd=home, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                  env={**environment, "KEYSTILE_CONFIG": str(config)})
    try:
        wait_for(lambda: "proxyd: ready" in (home / "log").read_text(), "proxyd")
        agent = [line.replace("--confine", "--confine --best-effort").replace("python3", shlex.quote(python())) for line in lines[start + 1:]]
        assert agent[0] == "cd ~/project" and len(agent) == 3, agent
        done = type_(*(line for line in made if line.startswith("export")), *agent)
        assert '"id": "a-model"' in done.stdout and "['a-model']" in done.stdout, done.stdout + done.stderr
        assert {request.get("Authorization") for request in server.requests} == {f"Bearer {key}"} and len(server.requests) == 2
        assert key not in done.stdout + done.stderr and "nothing listens" not in done.stderr
        wait_for(lambda: (config.parent / "audit/audit.jsonl").read_text().count('"verdict":"allow"') == 2, "the audit log")
    finally:
        proxyd.terminate()
        assert proxyd.wait(30) == 0, (home / "log").read_text()


def test_tables_lines_are_taken(newcomer, tmp_path):
    """What the section adds to the file, all at once."""
    another, name = re.search(r"`((\w+): \{ preset: .*? \})`", SECTION).groups()
    hosts, admin = re.search(r"`(hosts: \[.*?\])`", SECTION)[1], re.search(r"`(admin: \S+)`", SECTION)[1]
    text = CONFIG.replace("profiles:", f"  {another}\nprofiles:").replace("[openai] }", f"[openai, {name}], {hosts} }}")
    (tmp_path / "keystile.yaml").write_text(f"{text}{admin}\n")
    assert set(yaml.safe_load(text)["credentials"]) == {"openai", name}
    done = newcomer[0](f"cd {tmp_path}", "proxyd --check --config keystile.yaml")
    assert "good: 2 credentials, 1 profile" in done.stdout, done.stdout


def test_paths_are_told_as_one_would_write_them(tmp_path):
    """proxyd was started in the folder, and says where the file is from wherever its log is read."""
    config = tmp_path / "keystile.yaml"
    (tmp_path / "audit").mkdir()
    config.write_text(CONFIG.replace(":8180", f":{free_port()}"))
    with open(tmp_path / "log", "wb") as log:
        proxyd = subprocess.Popen([PROGRAMS / "proxyd/proxyd"], cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                  env=clean_environment(HOME=str(tmp_path)))
    said = (tmp_path / "log").read_text
    try:
        wait_for(lambda: "proxyd: ready" in said(), "proxyd")
        config.write_text("lisen: 1\n")
        wait_for(lambda: f"proxyd: error: {config} is refused, and the last good one stays in use" in said(), "the refusal")
    finally:
        proxyd.terminate()
        proxyd.wait(30)
