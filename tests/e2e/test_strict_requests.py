"""RFC 9112 and 9110 to the letter on what clients send: lists of requests (wire/heads.py, wire/bodies.py), on every way in,
whole and in single bytes. What goes up has one reading, and what is refused goes up with no byte (SPEC §3)."""

import contextlib
import dataclasses
import itertools
import re
import ssl

import pytest

from peers import evidence
from peers.config import basic
from peers.in_tls import InTls
from peers.keystile import Keystile
from wire import bodies, heads, rows
from wire.origin import RawOrigin
from wire.reading import Short, Unclear, take_response

ROWS = heads.ROWS + bodies.ROWS
# A reverse endpoint; absolute-form to a credential host; to an allowed host; in TLS that proxyd ends, to a credential host.
WAYS = ("reverse", "credential", "allowed", "TLS")
# There the host is settled, HTTP/2 takes ALPN, and the reader of chunks knows blanks around a coding.
IN_TLS = {
    **{row.id: dataclasses.replace(row, outcome=rows.STAYS, status=421, up=())
       for row in ROWS if row.id in ("Host of another name", "Host without its port's number", "Host with underscore and sub-delims", "Host in brackets")},
    **{row.id: dataclasses.replace(row, status=501) for row in ROWS if row.id == "a preface of HTTP/2 that is none"},
    **{row.id: dataclasses.replace(row, outcome=rows.PASSES, up=(rows.Up("POST", body=b"hello"),)) for row in ROWS if row.id == "blank behind chunked"},
}
PLACES = ("first", "later", "behind")        # of the connection; once one was answered; in one write with one before it
SPLIT_AT_MOST = 4000                         # bytes that are sent one by one
OURS = {"host", "authorization", "content-length", "transfer-encoding"}

CONFIG = """credentials:
  api:
    upstream: http://127.0.0.1:{api}
    secret: vault:api
    inject: {{ header: Authorization, value: "Bearer {{secret}}" }}
    env: {{ base_url: API_URL, token: API_TOKEN }}
  inner:
    upstream: https://localhost:{inner}
    secret: vault:api
    inject: {{ header: Authorization, value: "Bearer {{secret}}" }}
    intercept: true
    ca: {ca}
profiles:
  agent:
    hosts: ["127.0.0.1:{other}"]
    credentials: [api, inner]
"""


class Bench:
    """One proxyd for all rows, between two origins."""

    def __init__(self, folder, authority):
        self.secret = evidence.secret("strict")
        self.origins = {"api": RawOrigin(), "other": RawOrigin(), "inner": RawOrigin(authority.server_context())}
        ports = {name: origin.port for name, origin in self.origins.items()}
        self.proxy = Keystile(folder, CONFIG.format(**ports, ca=authority.ca), {"api": self.secret})
        self.proxy.start()
        self.numbers = itertools.count(1)
        self.expected = dict.fromkeys(ports, 0)
        self.proxy.intercepts = f"localhost:{ports['inner']}"
        self.token = self.proxy.proxy_token()
        bearer = f"Authorization: Bearer {self.proxy.token()}"
        proxied = f"Proxy-Authorization: {basic('agent', self.token)}"
        api, other = f"127.0.0.1:{ports['api']}", f"127.0.0.1:{ports['other']}"
        self.ways = {
            "reverse": ("api", "/api", f"127.0.0.1:{self.proxy.port}", bearer),
            "credential": ("api", f"http://{api}", api, proxied),
            "allowed": ("other", f"http://{other}", other, proxied),
            "TLS": ("inner", "", self.proxy.intercepts, "Authorization: Bearer none"),
        }

    def close(self):
        self.proxy.stop()
        for origin in self.origins.values():
            origin.close()


@pytest.fixture(scope="module")
def bench(tmp_path_factory, authority):
    made = Bench(tmp_path_factory.mktemp("strict"), authority)
    yield made
    made.close()
    assert "Sanitizer" not in made.proxy.log() and "runtime error" not in made.proxy.log(), made.proxy.log()
    for name, origin in made.origins.items():
        assert not origin.faults
        assert sum(map(len, origin.requests.values())) == made.expected[name], "more arrived than was answered"


class Try:
    """One row on one way, at one place of a connection, whole or in single bytes."""

    def __init__(self, bench, row, way, place):
        self.bench, self.row, self.place = bench, row, place
        self.name, base, self.host, self.auth = bench.ways[way]
        self.origin = bench.origins[self.name]
        self.number = next(bench.numbers)
        self.to = f"{base}/n{self.number}"
        self.client = InTls(bench.proxy, token=bench.token) if way == "TLS" else bench.proxy.client()
        self.got = b""

    def fill(self, text):
        for name in ("to", "host", "auth"):
            text = text.replace("{" + name + "}", getattr(self, name))
        return text

    def whole(self, text):
        inner = self.fill(rows.SMUGGLED)
        text = self.fill(text).replace("{smuggled}", inner)
        return text.replace("{inner}", str(len(inner))).replace("{inner:x}", f"{len(inner):x}").encode("latin-1")

    def send(self, data, split):
        try:
            if not split:
                self.client.send(data)
            for byte in data if split else b"":
                self.client.sock.sendall(bytes([byte]))
        except (ConnectionError, ssl.SSLError):
            pass  # it was refused already

    def responses(self, count):
        """Up to `count` final responses; fewer where the connection ends before."""
        found = []
        while len(found) < count:
            try:
                response = take_response(self.got)
                self.got = self.got[response.size :]
                if response.line[0] >= 200:
                    found.append(response)
                continue
            except Short:
                pass
            if not self.receive():
                break
        return found

    def receive(self):
        before = len(self.client.buffer)
        alive = self.client.receive()
        self.got += self.client.buffer[before:]
        return alive

    def rest(self):
        while self.receive():
            pass
        return self.got

    def is_over(self, found):
        """Does the connection end, with nothing behind the answer? libmicrohttpd 0.9.75 says some refusals of its own twice."""
        rest = self.rest()
        ours = bool(found) and bool(found[0].all("Proxy-Status"))
        return not rest or (bool(found) and not ours and b"HTTP/1.1 2" not in rest)

    def say(self, wrong):
        row = self.row
        should = {"status": row.status or "no answer", "up": row.up, "outcome": row.outcome}
        return (f"{row.id} ({row.rfc}): {wrong}\nsent {self.whole(row.sent)[:600]!r}\nshould be {should}\n"
                f"up came {self.origin.of(self.number)}\nclient got {bytes(self.client.buffer)[:600]!r}")

    def check(self, holds, wrong):
        assert holds, self.say(wrong)


def is_up(attempt, request, up):
    """Did the request go up just so?"""
    sent = [(name, value) for name, value in request.fields if name.lower() not in OURS]
    body = attempt.whole(up.body.decode("latin-1"))
    secret = [] if attempt.name == "other" else [f"Bearer {attempt.bench.secret}"]
    host = "localhost" if attempt.name == "inner" else "127.0.0.1"
    want = ((up.method, f"/n{attempt.number}{up.target}"), list(up.fields), body, list(up.trailers))
    return ((request.line, sent, request.body, request.trailers) == want and request.all("Authorization") == secret and
            request.all("Host") == [f"{host}:{attempt.origin.port}"])


def check_up(attempt, ups):
    came = attempt.origin.of(attempt.number)
    attempt.bench.expected[attempt.name] += len(came)
    attempt.check(not attempt.origin.faults, f"what went up can be read in two ways: {attempt.origin.faults}")
    attempt.check(len(came) == len(ups), f"{len(came)} requests went up, should be {len(ups)}")
    for request, up in zip(came, ups):
        attempt.check(is_up(attempt, request, up), f"went up as {request}, should be {up}")


def check_refused(attempt, before):
    row = attempt.row
    found = attempt.responses(1)
    status = found[0].line[0] if found else 0
    allowed = {row.status} | (set() if attempt.place == "first" else {400, 0, *row.later})
    attempt.check(status in allowed, f"answered {status}, should be one of {sorted(allowed)}")
    if row.outcome != rows.STAYS:
        attempt.check(attempt.is_over(found), "more than one answer")
    check_up(attempt, before)
    attempt.check(attempt.number not in attempt.origin.partial, "a part of it went up")


def check_passed(attempt, before):
    row = attempt.row
    found = attempt.responses(len(row.up))
    attempt.check([each.line[0] for each in found] == [200] * len(row.up), f"answered {found}")
    if row.outcome == rows.ENDS:
        attempt.check(attempt.rest() == b"", "the connection does not end")
    check_up(attempt, before + list(row.up))


def check_broken(attempt, before):
    """It has no end that counts: nothing whole goes up, and the connection is over."""
    if attempt.row.outcome == rows.CUT:
        with contextlib.suppress(OSError):  # it may be reset already
            attempt.client.half_close()
    found = attempt.responses(1)
    attempt.check(not found or found[0].line[0] in (400, 413, 431), f"answered {found}")
    attempt.check(attempt.is_over(found), "more than one answer")
    check_up(attempt, before)


def check_either(attempt, before):
    found = attempt.responses(1)
    if found and found[0].line[0] == 200:
        check_up(attempt, before + list(attempt.row.up))
    else:
        attempt.check(attempt.is_over(found), "more than one answer")
        check_up(attempt, before)


def check_lenient(attempt, before):
    (check_refused if attempt.place == "first" else check_either)(attempt, before)


CHECKS = {rows.REFUSED: check_refused, rows.STAYS: check_refused, rows.LENIENT: check_lenient, rows.PASSES: check_passed, rows.ENDS: check_passed,
          rows.BROKEN: check_broken, rows.CUT: check_broken, rows.EITHER: check_either}


def run(bench, row, way, place, split):
    row = IN_TLS.get(row.id, row) if way == "TLS" else row
    attempt = Try(bench, row, way, place)
    with attempt.client:
        good = attempt.whole(rows.GET.replace("/x", "/before") + "\r\n") if place != "first" else b""
        data = attempt.whole(row.sent)
        if row.outcome in (rows.REFUSED, rows.ENDS):
            data += attempt.whole(rows.SMUGGLED)
        if place == "later":
            attempt.send(good, False)
            good = b""
            attempt.check(attempt.responses(1)[0].line[0] == 200, "the one before was not answered")
        attempt.send(good + data, split)
        if place == "behind":
            found = attempt.responses(1)
            attempt.check(found and found[0].line[0] == 200, "the one before was not answered")
        before = [rows.Up(target="/before")] if place != "first" else []
        try:
            CHECKS[row.outcome](attempt, before)
        except Unclear as unclear:
            pytest.fail(attempt.say(f"the answer can be read in two ways: {unclear}"))
        except TimeoutError:
            pytest.fail(attempt.say("no answer, and no end of the connection"))


def test_the_lists_are_long_and_clear():
    assert len(ROWS) >= 120 and len({row.id for row in ROWS}) == len(ROWS)
    assert all(re.match(r"\d{4} §\d", row.rfc) for row in ROWS)


@pytest.mark.parametrize("split", [False, True], ids=["whole", "bytes"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("row", ROWS, ids=[row.id for row in ROWS])
def test_request(bench, row, way, place, split):
    if split and len(row.sent) > SPLIT_AT_MOST:
        pytest.skip("too long to be sent in single bytes")
    run(bench, row, way, place, split)
