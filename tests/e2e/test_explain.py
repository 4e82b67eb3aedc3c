"""envgen explain: what becomes of a host, as a table and as JSON."""

import json
import os
import re
import subprocess

import pytest

from peers.config import one_api
from peers.keystile import clean_environment

HOSTS = """[pypi.org, "*.pythonhosted.org", "nats.internal:4222", example.com, 10.0.0.0/8, "!bad.test",
             { host: docs.test, rules: ["allow GET /**"] }]"""


@pytest.fixture
def proxy(keystile):
    return keystile(one_api("https://api.example.com", hosts=HOSTS), start=False)


def rows(text):
    """The lines of a table by their first column."""
    return {line.split()[0]: re.split(r"  +", line) for line in text.splitlines()}


def place(proxy, text):
    """FILE:LINE of the line that has `text` in it."""
    numbers = [number for number, line in enumerate(proxy.text.splitlines(), 1) if text in line]
    return f"{proxy.config}:{numbers[0]}"


def test_table(proxy):
    """All credentials and hosts of the profile, each with its rule and the reason."""
    result = proxy.envgen("explain")
    assert result.err == ""
    table = rows(result.out)
    hosts, more = place(proxy, "hosts: ["), place(proxy, "{ host: docs.test")
    api = place(proxy, "  api:")
    assert table.pop("nats.internal:4222")[:2] == ["nats.internal:4222", "direct"]
    assert table == {
        "HOST": ["HOST", "VERDICT", "RULE", "WHY"],
        "api.example.com": ["api.example.com", "injected", f"api ({api})", f"credential api, at http://127.0.0.1:{proxy.port}/api"],
        "pypi.org": ["pypi.org", "direct", f"pypi.org ({hosts})", "NO_PROXY has pypi.org"],
        "*.pythonhosted.org": ["*.pythonhosted.org", "direct", f"*.pythonhosted.org ({hosts})", "NO_PROXY has .pythonhosted.org"],
        "example.com": ["example.com", "proxied", f"example.com ({hosts})", "in NO_PROXY it would lead some client past the "
                        f"proxy to api.example.com of credential api ({api})"],
        "10.0.0.0/8": ["10.0.0.0/8", "proxied", f"10.0.0.0/8 ({hosts})",
                       "addresses stay out of NO_PROXY: a client that resolves names would follow them"],
        "bad.test": ["bad.test", "refused", f"!bad.test ({hosts})", "denied, whatever else allows it"],
        "docs.test": ["docs.test", "proxied", f"docs.test ({more})", "its rules judge each request"],
    }


def test_json(proxy):
    """The same, for programs."""
    told = json.loads(proxy.envgen("explain", "--json").out)
    table = rows(proxy.envgen("explain").out)
    del table["HOST"]
    assert [entry["host"] for entry in told] == list(table)
    for entry in told:
        row = table[entry["host"]]
        assert entry["verdict"] == row[1] and f"{entry['rule']} ({entry['file']}:{entry['line']})" == row[2]
        assert row[3].startswith(entry["why"])
        clients = entry["through_the_proxy" if entry["verdict"] == "direct" else "past_the_proxy"]
        assert bool(clients) == (entry["host"] == "nats.internal:4222")
        assert row[3] == entry["why"] + ("; through the proxy all the same: " + "; ".join(clients) if clients else "")


# A host, its rows: what is shown, verdict, how the reason begins
ASKED = [
    ("pypi.org", [("pypi.org", "direct", "NO_PROXY has pypi.org")]),
    ("PyPI.org.", [("PyPI.org.", "direct", "NO_PROXY has pypi.org")]),
    ("sub.pypi.org", [("sub.pypi.org", "direct", "NO_PROXY has pypi.org; the proxy would refuse it; through the proxy all the same: ")]),
    ("files.pythonhosted.org:443", [("files.pythonhosted.org:443", "direct", "NO_PROXY has .pythonhosted.org")]),
    ("nats.internal", [("nats.internal", "refused", "no entry of `hosts:` of profile agent allows it")]),
    ("notpypi.org", [("notpypi.org", "refused", "no entry of `hosts:` of profile agent allows it; past the proxy: apt; ")]),
    ("bad.test", [("bad.test", "refused", "denied, ")]),
    ("10.2.3.4", [("10.2.3.4", "proxied", "addresses stay out ")]),
    ("127.0.0.1", [("127.0.0.1", "direct", "NO_PROXY has 127.0.0.1")]),
    ("api.example.com", [("api.example.com", "injected", "credential api, ")]),
    ("api.example.com:8443", [("api.example.com:8443", "refused", "no entry ")]),
]


@pytest.mark.parametrize("host,should", ASKED, ids=[row[0] for row in ASKED])
def test_one_host(proxy, host, should):
    lines = json.loads(proxy.envgen("explain", host, "--json").out)
    assert [(line["host"], line["verdict"]) for line in lines] == [row[:2] for row in should]
    table = proxy.envgen("explain", host).out.splitlines()[1:]
    for line, (_, _, why) in zip(table, should, strict=True):
        assert why in line


def test_ports_that_differ(keystile):
    """Without a port, both of the usual ones are told where they are not alike."""
    proxy = keystile(one_api("http://api.example.com", hosts='["api.example.com:443"]'), start=False)
    told = json.loads(proxy.envgen("explain", "api.example.com", "--json").out)
    assert [(line["host"], line["verdict"]) for line in told] == [
        ("api.example.com (443)", "proxied"), ("api.example.com (80)", "injected")]


def test_two_credentials_of_one_host(keystile):
    """One row tells of both, in the order in which they are tried."""
    two = one_api("https://api.example.com").replace("profiles:", """  other:
    upstream: https://api.example.com/v1
    secret: vault:other
    inject: { header: X-Api-Key, value: "{secret}" }
profiles:""").replace("[api]", "[other, api]")
    proxy = keystile(two, start=False)
    why = f"credential other, at http://127.0.0.1:{proxy.port}/other; else credential api, at http://127.0.0.1:{proxy.port}/api"
    for words in ((), ("api.example.com",)):
        (told,) = json.loads(proxy.envgen("explain", "--json", *words).out)
        assert (told["host"], told["verdict"], told["rule"], told["why"]) == ("api.example.com", "injected", "other", why)


def test_it_says_what_the_environment_does(proxy):
    """curl, as the one client that is always here: direct where explain says so, and through the proxy where not."""
    environment = {**clean_environment(), **proxy.environment(), "HTTP_PROXY": "", "http_proxy": "http://127.0.0.1:9"}
    for host, direct in [("pypi.org", True), ("example.com", False), ("docs.test", False), ("files.pythonhosted.org", True)]:
        done = subprocess.run(
            ["curl", "-sv", "--connect-to", f"{host}:80:127.0.0.1:9", f"http://{host}/"], capture_output=True, text=True,
            env={**environment, "PATH": os.environ["PATH"]}, timeout=30)
        verdict = json.loads(proxy.envgen("explain", host, "--json").out)[0]["verdict"]
        assert (verdict == "direct") == direct
        assert ("Uses proxy env variable http_proxy" in done.stderr) != direct, done.stderr


REFUSED = [
    ("https://pypi.org/", "https://pypi.org/: name a host, such as api.example.com or api.example.com:8443, without scheme and path"),
    ("*.pypi.org", "*.pypi.org: name one host below it"),
    ("pypi.org:0", "host `pypi.org:0` has no port from 1 to 65535 behind its `:`"),
    ("1.2.3", "host `1.2.3` ends in a number and is no IPv4 address; one has four numbers from 0 to 255, like 192.0.2.1"),
]


@pytest.mark.parametrize("host,why", REFUSED, ids=[row[0] for row in REFUSED])
def test_refused(proxy, host, why):
    result = proxy.envgen("explain", host, check=False)
    assert (result.returncode, result.out, result.err) == (1, "", f"envgen: error: {why}\n")


def test_options_that_are_not_its_own(proxy):
    result = proxy.envgen("explain", "--format", "json", check=False)
    assert (result.returncode, result.err) == (
        1, "envgen: error: envgen explain does not take --format; usage: envgen explain [HOST] "
        "[--profile P] [--advertise HOST:PORT] [--config FILE] [--json]\n")
    assert "usage: envgen explain [HOST]" in proxy.envgen("explain", "a", "b", check=False).err
    assert "envgen does not take --json" in proxy.envgen("--json", check=False).err


def test_needs_no_session_key(proxy):
    (proxy.folder / "session.key").unlink()
    proxy.envgen("explain")
    assert not (proxy.folder / "session.key").exists()
