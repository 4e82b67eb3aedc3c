"""envgen admin: the URL of the admin page with its token, or the socket that needs none."""

import re
import subprocess
import urllib.request

import pytest

from peers.config import one_api
from peers.keystile import clean_environment

TOKEN = r"[0-9A-Za-z]{43}"

# `admin:`, and the address in the URL
ADDRESSES = [
    ("127.0.0.1:8181", "127.0.0.1:8181"),
    ('"[::1]:8181"', "[::1]:8181"),
    ("0.0.0.0:8181", "127.0.0.1:8181"),
    ('"[::]:8181"', "[::1]:8181"),
    ("{{ listen: 127.0.0.1:8181, hosts: [keystile.pod] }}", "127.0.0.1:8181"),
    ("{{ listen: 0.0.0.0:8181, hosts: [keystile.pod, other.pod] }}", "keystile.pod:8181"),
]


@pytest.mark.parametrize("admin,address", ADDRESSES, ids=[row[0] for row in ADDRESSES])
def test_url(keystile, admin, address):
    proxy = keystile(one_api("https://api.example.com"), head={"admin": admin}, start=False)
    result = proxy.envgen("admin")
    assert re.fullmatch(rf"http://{re.escape(address)}/\?token={TOKEN}\n", result.out) and result.err == ""


def test_the_token_is_one_of_its_own(keystile):
    """It opens nothing else, stays the same, needs no profile, and goes with the key."""
    proxy = keystile("profiles: { agent: {}, other: {} }\n", start=False)
    first = proxy.envgen("admin").out
    assert proxy.envgen("admin").out == first
    token = first.strip().split("=")[1]
    assert token not in (proxy.proxy_token("agent"), proxy.proxy_token("other"))
    (proxy.folder / "session.key").unlink()
    assert proxy.envgen("admin").out != first


def test_the_url_leads_to_proxyd(keystile):
    proxy = keystile(one_api("https://api.example.com"))
    url = proxy.envgen("admin").out.strip()
    with urllib.request.urlopen(url.replace("/?", "/healthz?")) as answer:
        assert (answer.status, answer.read()) == (200, b'{"status":"ok"}\n')


def test_a_socket_needs_no_token(keystile):
    """What is printed is a command that a shell runs, whatever the path."""
    proxy = keystile(one_api("https://api.example.com"), head={"admin": '"unix:it\'s a $socket"'})
    result = proxy.envgen("admin")
    path = str(proxy.folder / "it's a $socket").replace("'", "'\\''")
    assert (result.out, result.err) == (f"curl --unix-socket '{path}' http://localhost/\n", "")
    done = subprocess.run(["sh", "-c", "exec " + result.out.strip() + "healthz -s"], capture_output=True, text=True,
                          env=clean_environment())
    assert done.stdout == '{"status":"ok"}\n', done.stderr


REFUSED = [
    ({"admin": None}, "has no admin listener; add one: `admin: 127.0.0.1:8181`, or `admin: unix:PATH`"),
    ({"session": "none"}, "says `session: none`, so there is no key to make a token of; with `admin: unix:PATH` none is needed"),
]


@pytest.mark.parametrize("head,why", REFUSED, ids=["no admin", "no sessions"])
def test_refused(keystile, head, why):
    proxy = keystile(one_api("https://api.example.com"), head=head, start=False)
    result = proxy.envgen("admin", check=False)
    assert (result.returncode, result.out, result.err) == (1, "", f"envgen: error: {proxy.config} {why}\n")


def test_takes_no_profile(keystile):
    proxy = keystile(one_api("https://api.example.com"), start=False)
    assert "envgen admin does not take --profile" in proxy.envgen("admin", "--profile", "agent", check=False).err
