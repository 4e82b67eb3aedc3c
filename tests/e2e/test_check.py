"""proxyd --check and --presets: what they tell, where, and with which exit status (SPEC §12)."""

import os
import re
import subprocess

import pytest

from peers import evidence
from peers.config import one_api
from peers.keystile import PROGRAMS, clean_environment

API = one_api("https://127.0.0.1:9")
PLACE = r"proxyd: warning: \S+/keystile\.yaml:\d+:\d+: "


def source(text):
    return API.replace("vault:api", text)


def with_config(keystile, config):
    """A whole Keystile whose file then becomes another one."""
    one = keystile(API, {"api": evidence.secret()}, start=False)
    one.config.write_text(one.text.replace(API, config))
    return one


def test_good(keystile):
    secret = evidence.secret()
    one = keystile(API, {"api": secret}, start=False)
    done = one.check()
    assert (done.returncode, done.err) == (0, "")
    assert done.out == f"{one.config}: good: 1 credential, 1 profile\n"
    assert secret not in done.out + done.err


def test_makes_nothing(keystile):
    """No session key, no audit file, no vault, no listener's socket."""
    one = keystile(API, head={"listen": "unix:proxy.sock", "advertise": "127.0.0.1:8180"}, start=False)
    for name in ("session.key", "secrets.vault", "vault.key"):
        (one.folder / name).unlink()
    before = sorted(os.listdir(one.folder))
    done = one.check()
    assert done.returncode == 0 and "secrets.vault: there is no such vault" in done.err
    assert done.out.endswith(": good: 1 credential, 1 profile, 1 warning\n")
    assert sorted(os.listdir(one.folder)) == before


# What is not there yet: proxyd starts without it, so it is a warning, at the place that names it.
WARNINGS = [
    ("a secret that is not in the vault", API, r"vault:api: not in the vault \S+; put it there: creds set api"),
    ("a variable that is not set", source("env:MISSING_KEY"), "env:MISSING_KEY: not set"),
    ("a file that is not there", source("file:missing"), r"\S+/missing"),
    ("a systemd credential outside a unit", source("systemd:api"), r"\$CREDENTIALS_DIRECTORY is not set"),
    ("a command that fails", source("exec:false"), "exec:false: "),
    ("a ca: that is not there", API.replace("    secret", "    ca: missing.pem\n    secret"), r"\S+/missing\.pem"),
]


@pytest.mark.parametrize("config,text", [row[1:] for row in WARNINGS], ids=[row[0] for row in WARNINGS])
def test_warning(keystile, config, text):
    secrets = {} if "vault:api" in config and "ca:" not in config else {"api": evidence.secret()}
    done = keystile(config, secrets, start=False).check()
    assert (done.returncode, done.err.count("\n")) == (0, 1), done.err
    assert re.match(PLACE + ".*" + text, done.err), done.err
    assert done.out.endswith(", 1 warning\n")


def test_vault_with_another_key(keystile):
    one = keystile(API, {"api": evidence.secret()}, start=False)
    (one.folder / "vault.key").write_bytes(os.urandom(32))
    done = one.check()
    assert done.returncode == 0, done.err
    assert re.match(PLACE + "credential api is not ready and answers 503: vault:api: ", done.err), done.err


def test_vault_with_a_passphrase(keystile):
    """Without a terminal nobody can be asked."""
    one = keystile(API, {"api": evidence.secret()}, start=False)
    one.config.write_text(one.text.replace('"file:vault.key"', "passphrase"))
    done = one.check()
    assert done.returncode == 0 and "no terminal to ask on" in done.err, done.err


def test_odd_secret(keystile):
    """A prefix that the injection adds again is warned of, and not shown."""
    secret = evidence.secret()
    done = keystile(API, {"api": f"Bearer {secret}"}, start=False).check()
    assert done.returncode == 0 and "begins with `Bearer ` already" in done.err
    assert secret not in done.err + done.out


# What proxyd would not start with.
ERRORS = [
    ("a typing error", API.replace("upstream", "upsteam"), ":5: unknown key .upsteam.; did you mean .upstream."),
    ("exec: in what was only found", source("exec:true"), ":13: exec: is refused"),
]


@pytest.mark.parametrize("config,text", [row[1:] for row in ERRORS], ids=[row[0] for row in ERRORS])
def test_error(keystile, config, text):
    """Run without --config in the folder, so that the file is found there."""
    done = with_config(keystile, config).run("proxyd", "--check", check=False)
    assert (done.returncode, done.out) == (1, ""), done.out
    assert re.search(r"^proxyd: error: \./keystile\.yaml:\d+" + text, done.err, re.M), done.err


def test_all_errors_at_once(keystile):
    done = with_config(keystile, API.replace("upstream", "upsteam").replace("hosts: []", "hosts: [a b, 'c/d']")).check()
    lines = done.err.splitlines()
    places = [tuple(map(int, re.search(r":(\d+):(\d+): ", line).groups())) for line in lines]
    assert len(lines) == 4 and places == sorted(places), lines


def test_session_key_of_the_wrong_size(keystile):
    one = keystile(API, {"api": evidence.secret()}, start=False)
    (one.folder / "session.key").write_bytes(b"short")
    done = one.check()
    assert (done.returncode, done.out) == (1, "")
    assert re.search(r"proxyd: error: session key: \S+/session\.key: .*32 bytes", done.err), done.err


def test_broken_roots(keystile, tmp_path):
    """Without roots no upstream over https can be verified, so proxyd would not start."""
    roots = tmp_path / "roots.pem"
    roots.write_text("no certificate\n")
    one = keystile(API, {"api": evidence.secret()}, start=False)
    done = one.check(env={"SSL_CERT_FILE": str(roots)})
    assert done.returncode == 1 and str(roots) in done.err, done.err


def test_no_configuration(tmp_path):
    done = subprocess.run(
        [PROGRAMS / "proxyd/proxyd", "--check"], capture_output=True, text=True, cwd=tmp_path, env=clean_environment())
    assert (done.returncode, done.stdout) == (1, "")
    for word in ("./keystile.yaml", "/etc/keystile/keystile.yaml", "--config"):
        assert word in done.stderr, done.stderr


def test_presets():
    done = subprocess.run(
        [PROGRAMS / "proxyd/proxyd", "--presets"], capture_output=True, text=True, env=clean_environment())
    assert (done.returncode, done.stderr) == (0, "")
    blocks = {block.split("\n")[0]: block for block in done.stdout.split("\n\n")[:-1]}
    assert len(blocks) == 19
    for name, block in blocks.items():
        for label in ("what", "upstream", "inject", "env"):
            assert re.search(rf"^  {label} +\S", block, re.M), f"{name} says no {label}"
    assert "OPENAI_BASE_URL = http://{address}/openai/v1" in blocks["openai"]
    assert "header x-api-key: {secret}" in blocks["anthropic"]
    assert "encoded_slash  true" in blocks["gitlab"]
    assert "rules          deny POST,PUT /api/v4/personal_access_tokens*/**" in blocks["gitlab"]
    assert "path /bot{secret} /file/bot{secret}" in blocks["telegram"]
    assert "git's insteadOf = https://github.com/" in blocks["git-github"]
