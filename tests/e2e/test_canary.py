"""A secret is found nowhere: every byte that clients got, every log, audit line, page, argument, variable, core."""

import contextlib
import os
import re
import resource

import pytest

from peers import evidence, sanitizers
from peers.config import get, one_api
from peers.evidence import EVIDENCE
from test_refusals import REFUSED, RULES
from test_ways import admin_get, proxied


def mappings(pid):
    """(start, end, flags) of each readable mapping; the flags are those of smaps' VmFlags."""
    found, current = [], None
    for line in open(f"/proc/{pid}/smaps"):
        if match := re.match(r"([0-9a-f]+)-([0-9a-f]+) (r?)", line):
            current = [int(match[1], 16), int(match[2], 16), set(), bool(match[3])]
            found.append(current)
        elif line.startswith("VmFlags:"):
            current[2] = set(line.split()[1:])
    return [(start, end, flags) for start, end, flags, readable in found if readable]


def memory_with_canary(pid):
    """The flags of each mapping in which the canary stands, as it is."""
    found = []
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for start, end, flags in mappings(pid):
            try:
                memory.seek(start)
                data = memory.read(end - start)
            except (OSError, ValueError, OverflowError):
                continue
            if evidence.CANARY.encode() in data:
                found.append((f"{start:x}-{end:x}", sorted(flags)))
    return found


@pytest.fixture
def used(keystile, origin):
    """A proxyd that served many kinds of requests, good and bad."""
    secret = evidence.secret("canary")
    server = origin()
    proxy = keystile(one_api(f"http://127.0.0.1:{server.port}", rules=RULES), {"api": secret}, start=False)
    proxy.start("-v")
    token = proxy.token()
    for _, text, _, _ in REFUSED:
        proxy.ask(text.format(token=token))
    for number in range(20):
        with proxy.client() as client:
            client.ask(get(f"/api/{number}", token))
            client.ask(get(f"/api/{number}", token, "Content-Length: 3", method="POST") + "abc")
    proxy.ask(proxied(f"http://127.0.0.1:{server.port}/x", proxy.proxy_token()))
    assert server.requests[-1].get("Authorization") == f"Bearer {secret}"
    for way, count in (("reverse", 40), ("forward", 1)):  # a line is written behind the end, where the exchange's memory is wiped
        proxy.audit(count, event="end", way=way, verdict="allow")
    return proxy


def test_not_in_pages_and_process(used):
    pid = used.process.pid
    for path in ("/healthz", "/readyz", "/readyz?all", "/metrics", "/status", "/"):
        admin_get(used, path)
    for name in ("cmdline", "environ"):
        data = open(f"/proc/{pid}/{name}", "rb").read()
        assert evidence.find(data) == [], f"/proc/PID/{name}"
    for descriptor in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # one that was closed meanwhile
            assert evidence.find(os.readlink(f"/proc/{pid}/fd/{descriptor}")) == []


def test_no_core_and_none_that_would_hold_it(used):
    """Cores are off, and every page in which the secret stands is kept out of one and locked."""
    pid = used.process.pid
    assert resource.prlimit(pid, resource.RLIMIT_CORE) == (0, 0)
    if sanitizers.in_use():
        pytest.skip("a sanitizer keeps freed memory as it was")
    for place, flags in memory_with_canary(pid):
        assert "dd" in flags, f"the canary stands at {place}, flags {flags}, without MADV_DONTDUMP"


def test_gone_after_the_exchange(used):
    """The memory that carried a request is wiped: the secret stands in guarded memory alone, and in few places."""
    if sanitizers.in_use():
        pytest.skip("a sanitizer keeps freed memory as it was")
    places = memory_with_canary(used.process.pid)
    assert len(places) <= 2, places


def test_not_in_the_listings(used):
    used.creds("list", "--json")
    used.creds("list")
    used.creds("show", "api")
    used.creds("verify")
    used.check()
    assert evidence.CANARY not in used.environment("agent")["API_TOKEN"]


def test_not_in_the_vault_file(used):
    for path in used.folder.rglob("*"):
        if path.is_file():
            assert evidence.find(path.read_bytes()) == [], path


def test_nowhere_in_the_whole_session(used):
    """All that clients got and all that Keystile wrote, in all tests that ran before."""
    used.stop()
    assert EVIDENCE.bytes.get("client", 0) > 1000, "nothing was looked at"
    assert EVIDENCE.finds == []
