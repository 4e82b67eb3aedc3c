"""proxyd as it starts: what it asks for, and what it tells."""

import datetime
import json
import os
import signal
import socket

import pytest

from peers import evidence
from peers.config import get, one_api, problem
from peers.keystile import PROGRAMS, clean_environment, wait_for
from peers.terminal import Terminal

PHRASE = "correct horse battery"


@pytest.fixture
def sealed(keystile, origin):
    """A vault that a passphrase opens."""
    server, secret = origin(), evidence.secret("phrase")
    proxy = keystile(one_api(f"http://127.0.0.1:{server.port}"), {"api": secret}, start=False)
    phrase = proxy.folder / "phrase"
    phrase.write_text(PHRASE)
    phrase.chmod(0o600)
    proxy.creds("key", "add", f"passphrase:file:{phrase}")
    proxy.config.write_text(proxy.text.replace('"file:vault.key"', "passphrase"))
    return proxy, server, secret


def begin(proxy):
    argv = [PROGRAMS / "proxyd/proxyd", "--config", proxy.config]
    return Terminal(argv, clean_environment(), proxy.folder)


def end(terminal):
    os.kill(terminal.pid, signal.SIGTERM)
    return terminal.end()


def test_passphrase_is_asked_for_once(sealed):
    proxy, server, secret = sealed
    token = proxy.token()
    terminal = begin(proxy)
    terminal.expect("passphrase of ")
    assert not terminal.echoes()
    terminal.type("wrong\r")
    terminal.expect("does not open")
    terminal.expect("passphrase of ", 2)
    terminal.type(PHRASE + "\r")
    terminal.expect("proxyd: ready")
    assert proxy.ask(get("/api/x", token)).status == 200
    assert server.requests[0].get("Authorization") == f"Bearer {secret}"
    # What it was told opens the vault again, without asking.
    other = evidence.secret("other")
    proxy.config.write_text(proxy.text)
    proxy.creds("set", "api", input=other)
    os.kill(terminal.pid, signal.SIGHUP)
    terminal.expect("secrets read again")
    assert proxy.ask(get("/api/x", token)).status == 200
    assert server.requests[1].get("Authorization") == f"Bearer {other}"
    code, shown = end(terminal)
    assert code == 0 and shown.count("passphrase of") == 2 and PHRASE not in shown


def test_wrong_passphrases_leave_the_credential_waiting(sealed):
    proxy, server, _ = sealed
    token = proxy.token()
    terminal = begin(proxy)
    for number in range(3):
        terminal.expect("passphrase of ", number + 1)
        terminal.type("wrong\r")
    terminal.expect("proxyd: ready")
    told = problem(proxy.ask(get("/api/x", token)), 503)
    assert "does not open" in told["detail"], told
    code, shown = end(terminal)
    assert code == 0 and "credential api is not ready" in shown
    assert server.requests == []


def test_secret_that_does_not_fit(keystile, origin):
    """A cookie cannot carry it: told at start, in /readyz, and to who asks."""
    server = origin()
    proxy = keystile(one_api(f"http://127.0.0.1:{server.port}", "{ cookie: sid }"), {"api": evidence.secret(";")})
    assert "credential api is not ready" in proxy.log() and "cookie sid" in proxy.log()
    told = problem(proxy.ask(get("/api/x", proxy.token())), 503)
    assert "cookie sid" in told["detail"], told
    assert server.requests == []


def test_trailers_carry_nothing_that_fields_may_not(keystile, origin):
    server = origin()
    inject = '{ header: X-Api-Key, value: "{secret}" }'
    proxy = keystile(one_api(f"http://127.0.0.1:{server.port}", inject), {"api": evidence.secret()})
    token = proxy.token()
    head = get("/api/x", token, "Transfer-Encoding: chunked", "Trailer: X-Sum", method="POST")
    trailers = f"X-Sum: 1\r\nx_api_key: mine\r\nAuthorization: Bearer mine\r\nX-Token: {token}\r\n"
    assert proxy.ask(head + "2\r\nok\r\n0\r\n" + trailers + "\r\n").status == 200
    assert server.requests[0].trailers == [("X-Sum", "1")]
    wait_for(lambda: proxy.audit(1), "the audit line")


@pytest.mark.parametrize("listening, words", [(True, "is not in `listen:` or `admin:`"), (False, "does not listen")])
def test_socket_of_nobody(keystile, origin, listening, words):
    """A socket that systemd passes, and on which no client would ever be served."""
    server = origin()
    proxy = keystile(one_api(f"http://127.0.0.1:{server.port}"), {"api": evidence.secret()}, start=False)
    with socket.socket() as passed:
        passed.bind(("127.0.0.1", 0 if listening else proxy.port))
        if listening:
            passed.listen()
        script = 'exec 3<&"$1"; shift; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
        fd = str(passed.fileno())
        proxy.start(pass_fds=[int(fd)], launcher=["/bin/bash", "-c", script, "launcher", fd], wait=False)
        assert proxy.process.wait(15) == 1
        assert "socket 3 of LISTEN_FDS" in proxy.log() and words in proxy.log()
        if listening:
            assert f"listens on 127.0.0.1:{passed.getsockname()[1]}" in proxy.log()


@pytest.mark.parametrize("wrong", [
    {"audit": "{{ file: '{folder}/none/audit.jsonl' }}"},
    {"tls": "{{ ca_cert: none.pem, ca_key: none.key }}"},
])
def test_a_start_that_fails_leaves_no_socket(keystile, wrong):
    listeners = {"listen": '["127.0.0.1:{port}", "unix:{folder}/run.sock"]', "admin": "unix:{folder}/admin.sock"}
    text = one_api("https://api.example.com", intercept="true")
    proxy = keystile(text, {"api": evidence.secret()}, {**listeners, **wrong}, start=False).start(wait=False)
    wait_for(lambda: proxy.process.poll() is not None, "the end")
    assert proxy.stop() == 1 and "none" in proxy.log() and proxy.log().count(".sock") == 2
    assert not list(proxy.folder.glob("*.sock"))


def test_closed_descriptors(keystile, origin):
    """No socket of proxyd is its standard input, output or error."""
    server, secret = origin(), evidence.secret()
    proxy = keystile(one_api(f"http://127.0.0.1:{server.port}"), {"api": secret}, start=False)
    proxy.start(launcher=["/bin/bash", "-c", 'exec "$@" <&- >&- 2>&-', "launcher"])
    assert [os.readlink(f"/proc/{proxy.process.pid}/fd/{fd}") for fd in range(3)] == ["/dev/null"] * 3
    assert proxy.ask(get("/api/x", proxy.token())).status == 200


# The log's format:


def lines_of(text):
    """Each of them is one, whole."""
    found = [json.loads(line) for line in text.splitlines()]
    for line in found:
        assert list(line) == ["time", "level", "program", "message"] and line["program"] == "proxyd", line
        assert len(line["time"]) == len("2026-11-27T15:20:01.123Z"), line
        age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(line["time"])
        assert -1 < age.total_seconds() < 60, line
    return [(line["level"], line["message"]) for line in found]


def test_log_in_json(keystile, origin):
    """From the first line to the last one."""
    text = one_api(f"http://127.0.0.1:{origin().port}").replace("vault:api", "'file:a \"late\" one'")
    proxy = keystile(text, start=False).start("-v", "--log-format", "json")
    problem(proxy.ask(get("/api/x", proxy.token())), 503)
    path = proxy.folder / 'a "late" one'
    path.write_text(evidence.secret("late"))
    wait_for(lambda: proxy.ask(get("/api/x", proxy.token())).status == 200, "the secret")
    log = proxy.log_path
    assert proxy.stop() == 0
    lines = lines_of(log.read_text())
    assert [level for level, message in lines if "not ready and answers 503" in message and str(path) in message] == ["warning"]
    assert ("info", "ready") in lines and any(level == "debug" for level, _ in lines)
    assert lines[-1][1].startswith("stopping")


@pytest.mark.parametrize("arguments,message", [
    (["--chek", "--log-format", "json"], "unrecognized option '--chek'"),
    (["--log-format=json", "-x"], "invalid option -- 'x'"),
    (["--log-format", "json", "more"], "unexpected argument: more"),
    (["--log-format", "json", "--config"], "option '--config' wants an argument"),
])
def test_a_wrong_command_line_in_json(keystile, arguments, message):
    """It is told in the format that the same line asks for."""
    said = keystile("credentials: {}\nprofiles: {}\n", start=False).run("proxyd", *arguments, check=False)
    assert said.returncode == 2 and lines_of(said.err) == [("error", f"{message}; see proxyd --help")]


def test_a_wrong_configuration_in_json(keystile):
    one = keystile("credentials: {}\nprofiles: {}\n", start=False)
    one.take(one.text.replace("profiles", "profile"))
    for arguments in ([], ["--check"]):
        said = one.run("proxyd", "--config", one.config, "--log-format", "json", *arguments, check=False)
        lines = lines_of(said.err)
        assert said.returncode == 1 and any("did you mean" in message for level, message in lines if level == "error"), lines


@pytest.mark.parametrize("name", ["xml", "JSON", ""])
def test_a_format_that_is_none(keystile, name):
    said = keystile("credentials: {}\nprofiles: {}\n", start=False).run("proxyd", "--log-format", name, check=False)
    assert said.returncode == 2 and f"proxyd: unknown log format '{name}': it is text or json\nusage: " in said.err
