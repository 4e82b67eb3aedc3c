"""examples/claude-code/keystile.service: proxyd as a service of a user's own systemd, as the README says."""

import re
import subprocess

import pytest

from peers import evidence
from peers.evidence import EVIDENCE
from peers.keystile import PROGRAMS, wait_for
from peers.machine import Machine, why_not
from test_examples import EXAMPLES

FOLDER = EXAMPLES / "claude-code"
COMMANDS = re.search(r"^```\n(mkdir -p ~/\.config/systemd/user\n.*?)^```", (FOLDER / "README.md").read_text(), re.M | re.S)[1]
HOME, RUNTIME, PATH = "/home/dev", "/run/user/4711", "PATH=/usr/local/bin:/usr/bin:/bin"
CONFIG = """version: 1
listen: 127.0.0.1:8180
vault: { file: secrets.vault, key: "file:vault.key" }
session: { key: "file:session.key" }
credentials:
  openai: { preset: openai, secret: vault:openai }
profiles:
  coder: { credentials: [openai] }
"""


@pytest.fixture
def machine(tmp_path):
    if reason := why_not(True):
        pytest.skip(reason)
    one = Machine(tmp_path / "machine")
    yield one
    one.close()


def test_user_service(machine):
    for name in ("proxyd", "envgen", "creds"):
        with open(PROGRAMS / name / name, "rb") as file:
            subprocess.run(machine.command("sh", "-c", f"cat >/usr/local/bin/{name}; chmod 755 /usr/local/bin/{name}"), stdin=file, check=True)
    machine.sh(f"useradd --uid 4711 --create-home --home-dir {HOME} dev; install -d -o dev -m 700 {RUNTIME}")
    machine.sh(f"systemd-run --quiet --unit=manager -p User=dev -p Delegate=yes -E XDG_RUNTIME_DIR={RUNTIME} /lib/systemd/systemd --user")
    wait_for(lambda: machine.run("test", "-S", f"{RUNTIME}/systemd/private", check=False).returncode == 0, "the user's systemd")

    def as_dev(script, **more):
        said = machine.run("setpriv", "--reuid=dev", "--regid=dev", "--clear-groups", "env", "-C", f"{HOME}/example", f"HOME={HOME}", PATH,
                           f"XDG_RUNTIME_DIR={RUNTIME}", "sh", "-euc", script, **more)
        EVIDENCE.add("a user's service", said.stdout + said.stderr)
        return said.stdout

    machine.sh(f"install -d -o dev {HOME}/example; install -d -o dev {HOME}/.config; install -d -o dev -m 700 {HOME}/.config/keystile")
    machine.put(f"{HOME}/example/keystile.service", (FOLDER / "keystile.service").read_text())
    machine.put(f"{HOME}/.config/keystile/keystile.yaml", CONFIG)
    config = f"--config {HOME}/.config/keystile/keystile.yaml"
    as_dev(f"creds {config} init")
    as_dev(f"creds {config} set openai", input=evidence.secret("user service"))
    as_dev(COMMANDS)
    assert as_dev("systemctl --user is-active keystile; systemctl --user is-enabled keystile") == "active\nenabled\n"
    assert "nothing listens" not in as_dev(f"envgen run {config} -- true 2>&1")
    as_dev("systemctl --user stop keystile")
    assert as_dev("systemctl --user show -P Result keystile") == "success\n"
