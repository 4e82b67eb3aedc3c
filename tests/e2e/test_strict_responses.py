"""RFC 9112 and 9110 to the letter on what upstreams send: a list of responses (wire/answers.py), on every way in, whole and in
single bytes. What comes down has one reading, and nothing of what is malformed ever answers another request (SPEC §3, §8)."""

import itertools
import re
import socket
import threading

import pytest

from peers import evidence
from peers.config import basic
from peers.keystile import Keystile
from peers.wire import note
from wire import answers
from wire.reading import Short, Unclear, take_request, take_response

PLACES = ("first", "later")  # of a connection to the upstream, and of one to the client
WAYS = ("reverse", "credential", "allowed", "http/1.0")
SPLIT_AT_MOST = 4000
PATIENCE = 10        # seconds for a client's read
OURS = {"date", "connection", "content-length", "transfer-encoding"}
CONFIG = """credentials:
  api:
    upstream: http://127.0.0.1:{api}
    secret: vault:api
    inject: {{ header: Authorization, value: "Bearer {{secret}}" }}
    env: {{ base_url: API_URL, token: API_TOKEN }}
profiles:
  agent:
    hosts: ["127.0.0.1:{other}"]
    credentials: [api]
"""


def pieces(row, data, split):
    if not split:
        return [data]
    if row.strays:
        end = data.index(b"\r\n\r\n") + 4
        return [data[:end], data[end:]]
    return [bytes([byte]) for byte in data]


class Sayer:
    """An upstream that sends the row which a target names (`/n7/row` with `said[7]`), and the target itself for any other."""

    def __init__(self):
        self.said = {}
        self.served = {}  # target: number of the connection
        self.faults = []  # targets that came where no request may come any more
        self.numbers = itertools.count(1)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        data, number, spoilt = b"", next(self.numbers), None
        with sock:
            try:
                while piece := sock.recv(65536):
                    data += piece
                    try:
                        request = take_request(data)
                    except Short:
                        continue
                    data, target = data[request.size :], request.line[1]
                    self.served[target] = number
                    if spoilt:
                        self.faults.append((spoilt, target))
                    if not self.answer(sock, target):
                        return
                    row = self.said.get(target, (None,))[0]
                    spoilt = row.id if row and not row.keeps else spoilt
            except OSError as error:
                note("upstream", "error", repr(error))

    def answer(self, sock, target):
        """False where the connection is to end."""
        row, split, head_came = self.said.get(target, (None, False, None))
        if not row:
            sock.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(target)}\r\n\r\n{target}".encode())
            return True
        data = row.sent.encode("latin-1")
        note("upstream", "sent", data)
        for piece in pieces(row, data, split):
            sock.sendall(piece)
            if split and row.strays:
                head_came.wait(PATIENCE)
        if row.then == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        return row.then == "wait"

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join(5)
        self.listener.close()


class Bench:
    def __init__(self, folder):
        self.secret = evidence.secret("strict")
        self.upstreams = {"api": Sayer(), "other": Sayer()}
        ports = {name: upstream.port for name, upstream in self.upstreams.items()}
        self.proxy = Keystile(folder, CONFIG.format(**ports), {"api": self.secret})
        self.proxy.start()
        self.numbers = itertools.count(1)
        bearer = f"Authorization: Bearer {self.proxy.token()}"
        proxied = f"Proxy-Authorization: {basic('agent', self.proxy.proxy_token())}"
        self.ways = {
            "reverse": ("api", "/api", bearer),
            "http/1.0": ("api", "/api", bearer),
            "credential": ("api", f"http://127.0.0.1:{ports['api']}", proxied),
            "allowed": ("other", f"http://127.0.0.1:{ports['other']}", proxied),
        }

    def close(self):
        self.proxy.stop()
        for upstream in self.upstreams.values():
            upstream.close()


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    made = Bench(tmp_path_factory.mktemp("strict"))
    yield made
    made.close()
    assert "Sanitizer" not in made.proxy.log() and "runtime error" not in made.proxy.log(), made.proxy.log()


class Try:
    def __init__(self, bench, row, way, split):
        self.row, self.way = row, way
        name, self.base, self.auth = bench.ways[way]
        self.upstream, self.number = bench.upstreams[name], next(bench.numbers)
        self.head_came = threading.Event()
        self.upstream.said[f"/n{self.number}/row"] = (row, split, self.head_came)
        self.client = bench.proxy.client()
        self.client.sock.settimeout(PATIENCE)
        self.got = b""

    def ask(self, what, method="GET"):
        version = "1.0\r\nConnection: keep-alive" if self.way == "http/1.0" else "1.1"
        self.client.send(f"{method} {self.base}/n{self.number}/{what} HTTP/{version}\r\nHost: a\r\n{self.auth}\r\n\r\n")

    def receive(self):
        before = len(self.client.buffer)
        alive = self.client.receive()
        self.got += self.client.buffer[before:]
        return alive

    def response(self, method="GET"):
        """The next final response, the statuses before it, and whether it is whole; None: the connection ended before its head."""
        interim = []
        while True:
            try:
                response = take_response(self.got, method)
            except Short:
                response = None
            if response and response.line[0] < 200:
                interim.append(response.line[0])
                self.got = self.got[response.size :]
            elif response and response.whole:
                self.got = self.got[response.size :]
                return response, interim, True
            elif b"\r\n\r\n" in self.got and not self.head_came.is_set():
                self.head_came.set()
            elif not self.receive():
                if response:
                    self.got = b""
                return response, interim, bool(response)

    def say(self, wrong):
        row = self.row
        return (f"{row.id} ({row.rfc}): {wrong}\nthe upstream sent {row.sent[:600]!r}, then {row.then}\n"
                f"should be {row.outcome} {row.down}\nclient got {bytes(self.client.buffer)[:900]!r}")

    def check(self, holds, wrong):
        assert holds, self.say(wrong)


def check_bad(attempt, response, interim, whole):
    attempt.check(response and whole and response.line[0] == 502, f"answered {response}")
    attempt.check(response.all("Content-Type") == ["application/problem+json"], "no problem details")


def check_good(attempt, response, interim, whole):
    down = attempt.row.down
    old = attempt.way == "http/1.0"
    attempt.check(response and whole, f"not whole: {response}")
    fields = [(name, value) for name, value in response.fields if name.lower() not in OURS]
    came = (response.line[0], response.body, tuple(fields), tuple(response.trailers), tuple(interim))
    want = (down.status, down.body, down.fields, () if old else down.trailers, () if old else down.interim)
    attempt.check(came == want, f"came {came}, should be {want}")


def check_broken(attempt, response, interim, whole):
    """An end by close is a cut for who was told no length: HTTP/1.0 gets a reset then, which reads as an end here."""
    if response and response.line[0] == 502:
        return
    attempt.check(not whole or (attempt.way == "http/1.0" and not response.whole), f"came whole: {response}")


CHECKS = {answers.BAD: check_bad, answers.GOOD: check_good, answers.BROKEN: check_broken}


def run(bench, row, way, place, split):
    attempt = Try(bench, row, way, split)
    with attempt.client:
        if place == "later":
            attempt.ask("before")
            attempt.check(attempt.response()[0].body == f"/n{attempt.number}/before".encode(), "the one before was not answered")
        try:
            attempt.ask("row", row.method)
            response, interim, whole = attempt.response(row.method)
            CHECKS[row.outcome](attempt, response, interim, whole)
            attempt.check(not (whole and attempt.got), f"behind the answer came {attempt.got!r}")
            if not attempt.client.ended:
                check_next(attempt)
            attempt.check(not attempt.upstream.faults, f"a request behind this one: {attempt.upstream.faults}")
        except Unclear as unclear:
            pytest.fail(attempt.say(f"what came down can be read in two ways: {unclear}"))
        except TimeoutError:
            pytest.fail(attempt.say("no answer, and no end of the connection"))
    fresh = Try(bench, row, way, split)
    with fresh.client:
        check_next(fresh)


def check_next(attempt):
    """Nothing that was said before answers the next request."""
    try:
        attempt.ask("next")
    except ConnectionError:
        return
    response, interim, whole = attempt.response()
    where = attempt.upstream.served
    if attempt.row.keeps and response and f"/n{attempt.number}/row" in where:
        attempt.check(where[f"/n{attempt.number}/next"] == where[f"/n{attempt.number}/row"], "the connection was not used again")
    attempt.check(response is None or (response.body == f"/n{attempt.number}/next".encode() and not interim),
                  f"the next request was answered {interim} {response}")


def test_the_list_is_long_and_clear():
    assert len(answers.ROWS) >= 60 and len({row.id for row in answers.ROWS}) == len(answers.ROWS)
    assert all(re.match(r"\d{4} §\d", row.rfc) for row in answers.ROWS)


@pytest.mark.parametrize("split", [False, True], ids=["whole", "bytes"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("row", answers.ROWS, ids=[row.id for row in answers.ROWS])
def test_response(bench, row, way, place, split):
    if split and len(row.sent) > SPLIT_AT_MOST:
        pytest.skip("too long to be sent in single bytes")
    if split and row.strays and not row.down.body:
        pytest.skip("its end is the head's, and what comes behind the next request answers that")
    run(bench, row, way, place, split)
