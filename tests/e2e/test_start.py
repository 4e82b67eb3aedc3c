"""proxyd as it starts: what it asks for, and what it tells."""

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
