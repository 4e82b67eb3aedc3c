"""What origins do wrong in HTTP/2, or do not want to do: a list of answers (wire/answers_h2.py), and whose request is asked again
(SPEC §5, §8)."""

import gzip
import itertools
import os

import pytest

from peers import evidence
from peers.config import get, one_api, problem
from peers.h2 import H2
from peers.h2_origin import HTTP_1_1_REQUIRED, INTERNAL_ERROR, MAX_CONCURRENT_STREAMS, NO_ERROR, REFUSED_STREAM, Came, respond, speak
from peers.keystile import Keystile, free_port, wait_for
from peers.wire import Message, Origin
from wire import answers_h2

LAST = 2**31 - 1


# Malformed answers


class Bench:
    """proxyd, and an origin that answers `/nN/row` with row N, and any other path with the path."""

    def __init__(self, folder, authority, context):
        self.rows, self.numbers = {}, itertools.count(1)
        self.server = Origin(speak(self.script), context=context)
        text = one_api(f"https://127.0.0.1:{self.server.port}", ca=authority.ca)
        self.proxy = Keystile(folder, text, {"api": evidence.secret("faults")})
        self.proxy.start()

    def script(self, session):
        while came := session.next():
            if came.path in self.rows:
                for step in self.rows[came.path].steps:
                    step(session, came)
            else:
                session.answer(came, came.path.encode())

    def path(self, row):
        path = f"/n{next(self.numbers)}/row"
        self.rows[path] = row
        return path

    def close(self):
        assert self.proxy.stop() == 0, self.proxy.log()
        self.server.close()
        for error in self.server.errors:
            raise error


@pytest.fixture(scope="module")
def bench(tmp_path_factory, authority, context_for):
    made = Bench(tmp_path_factory.mktemp("faults"), authority, context_for(("h2",)))
    yield made
    made.close()


def ask_for(bench, row, check):
    """Asks for the row between two requests that are answered well."""
    path = bench.path(row)
    with H2(bench.proxy) as client:
        assert client.ask(f"/api{path}/before").body == f"{path}/before".encode()
        connections = len(bench.server.connections)
        check(client, client.request(f"/api{path}", method=row.method))
        assert client.ask(f"/api{path}/behind").body == f"{path}/behind".encode(), "the next one has its own answer"
        assert not row.ends or len(bench.server.connections) > connections, "an error of the connection ends it (RFC 9113 section 5.4.1)"
    (line,) = bench.proxy.audit(1, path=path)
    return line


@pytest.mark.parametrize("row", answers_h2.BAD, ids=lambda row: row.id)
def test_no_answer(bench, row):
    def check(client, number):
        problem(client.answer(number), 502)

    line = ask_for(bench, row, check)
    assert (line["verdict"], line["status"]) == ("fail", 502) and line["reason"] == (row.reason or line["reason"]), line


@pytest.mark.parametrize("row", answers_h2.BODIES, ids=lambda row: row.id)
def test_no_end(bench, row):
    """It began well, so the client has a head of it; what is malformed in it, or cut, is never its end."""

    def check(client, number):
        answer = client.answer(number, reset=True)
        assert answer.status in (200, 502) and answer.reset == INTERNAL_ERROR and not answer.whole and not answer.trailers, answer

    assert ask_for(bench, row, check)["verdict"] == "fail"


@pytest.mark.parametrize("row", answers_h2.EVIL, ids=lambda row: row.id)
def test_no_body(bench, row):
    def check(client, number):
        answer = client.answers[number]
        client.until(lambda: answer.whole or answer.reset is not None, "the end")
        assert b"evil" not in answer.body and not answer.trailers, answer

    ask_for(bench, row, check)


# Whose request is asked again


def posts(client, *paths, body=b"body"):
    """A POST for each, with a small body; their streams."""
    numbers = []
    for path in paths:
        numbers.append(client.request(f"/api{path}", method="POST", end=False))
        client.data(numbers[-1], body, end=True)
    return numbers


def test_goaway(before_h2):
    """What it says was not processed is asked again elsewhere, a POST too; what was, is answered where it is."""

    def script(session):
        if len(session.origin.connections) > 1:
            return session.serve(lambda session, came: session.answer(came, b"second " + came.body))
        session.until(lambda: len(session.left) == 3 and all(came.whole for came in session.left), "all three")
        session.go_away(session.left[0].number)
        session.until_told(lambda: len(session.origin.requests) == 5)
        session.answer(session.left[0], b"first " + session.left[0].body)

    proxy, server = before_h2(script)
    with H2(proxy) as client:
        stays, *again = posts(client, "/a", "/b", "/c")
        assert [client.answer(number).body for number in again] == [b"second body"] * 2
        assert client.answer(stays).body == b"first body"
        assert client.ask("/api/d").body == b"second "
    assert sorted(came.path for came in server.requests) == ["/a", "/b", "/b", "/c", "/c", "/d"]
    assert len(server.connections) == 2
    assert {came.get("authorization") for came in server.requests} == {f"Bearer {proxy.secrets['api']}"}
    assert [line["verdict"] for line in proxy.audit(4)] == ["allow"] * 4


def test_a_goaway_that_lets_all_finish(before_h2):
    """As a server says it that is about to end: the streams are answered, and the next request goes elsewhere."""

    def script(session):
        session.until(lambda: len(session.left) == 3, "all three")
        session.go_away(LAST)
        for came in session.left:
            session.answer(came, b"x" * 100_000)

    proxy, server = before_h2(script)
    with H2(proxy) as client:
        for _ in range(2):
            assert [len(client.answer(number).body) for number in posts(client, "/a", "/b", "/c")] == [100_000] * 3
    assert len(server.requests) == 6 and len(server.connections) == 2


def test_a_goaway_before_anything(before_h2):
    """A connection that takes nothing: the request goes on another; were they all so, it would end."""

    def script(session):
        if len(session.origin.connections) == 1:
            session.go_away(0)
            return
        session.serve()

    proxy, server = before_h2(script)
    with H2(proxy) as client:
        (number,) = posts(client, "/a")
        assert client.answer(number).body == b"ok"


@pytest.mark.parametrize("forever", ["goaway", "refused"])
def test_nothing_is_asked_for_ever(before_h2, forever):
    def script(session):
        while came := session.next(whole=False):
            if forever == "refused":
                session.reset(came, REFUSED_STREAM)
            else:
                session.go_away(0)

    proxy, server = before_h2(script)
    with H2(proxy) as client:
        (number,) = posts(client, "/a")
        problem(client.answer(number), 502)
    assert len(server.requests) == 2
    assert proxy.audit(1)[0]["verdict"] == "fail"


@pytest.mark.parametrize("size", [0, 4, 20_000], ids=["no body", "small body", "20 KB"])
def test_refused_stream(before_h2, size):
    body = os.urandom(size)

    def answer(session, came):
        if len(session.origin.requests) == 1:
            session.reset(came, REFUSED_STREAM)
        else:
            session.answer(came, came.body)

    proxy, server = before_h2(respond(answer))
    with H2(proxy) as client:
        (number,) = posts(client, "/a", body=body)
        assert client.answer(number).body == body
    assert [came.path for came in server.requests] == ["/a", "/a"]
    assert proxy.audit(1)[0]["verdict"] == "allow"


@pytest.mark.parametrize("by", ["goaway", "refused"])
def test_a_body_that_is_gone_is_not_asked_again(before_h2, by):
    """More of it was taken than is kept: no part of a request is sent for the whole."""

    def script(session):
        came = session.next(whole=False)
        session.until(lambda: len(came.body) > 1_000_000, "much of it")
        session.go_away(0) if by == "goaway" else session.reset(came, REFUSED_STREAM)

    proxy, server = before_h2(script)
    with H2(proxy) as client:
        number = client.request(method="POST", end=False)
        client.data(number, b"x" * 1_200_000)
        answer = client.answers[number]
        client.until(lambda: answer.status or answer.reset is not None, "the answer")
        assert answer.status in (502, None), answer
    assert len(server.requests) == 1


@pytest.mark.parametrize("method,status", [("GET", 200), ("POST", 502)])
def test_a_connection_that_breaks(before_h2, method, status):
    """Without a word: as in HTTP/1.1, what is idempotent is sent once more where the connection had served before."""

    def script(session):
        if len(session.origin.connections) > 1:
            return session.serve()
        session.answer(session.next())
        session.next()
        session.connection.reset()

    proxy, server = before_h2(script)
    with H2(proxy) as client:
        assert client.ask("/api/before").status == 200
        assert client.ask("/api/x", method=method).status == status
        assert client.ask("/api/behind").status == 200
    assert [came.path for came in server.requests].count("/x") == (2 if method == "GET" else 1)


def only_http_1_1(session, came):
    session.reset(came, HTTP_1_1_REQUIRED)


@pytest.mark.parametrize("how", ["one by one", "at once", "with a body"])
def test_http_1_1_required(before_h2, how):
    """By HTTP/1.1, and the next ones at once."""

    proxy, server = before_h2(lambda session: session.serve(only_http_1_1, whole=how != "at once"))
    with H2(proxy) as client:
        if how == "at once":
            numbers = [client.request(f"/api/{i}") for i in range(5)]
            assert [client.answer(number).body for number in numbers] == [b"ok"] * 5
        else:
            (number,) = posts(client, "/0", body=b"x" * (20_000 if how == "with a body" else 0))
            assert client.answer(number).body == b"ok"
        seen = len(server.requests)
        for i in range(3):
            assert client.ask(f"/api/more/{i}").body == b"ok"
    assert [type(came) for came in server.requests[seen:]] == [Message] * 3
    plain = [came for came in server.requests if isinstance(came, Message)]
    if how == "with a body":
        assert plain[0].body == b"x" * 20_000
    assert {came.get("Authorization") for came in plain} == {f"Bearer {proxy.secrets['api']}"}
    assert all(line["verdict"] == "allow" for line in proxy.audit(4))


def test_http_1_1_required_by_goaway(before_h2):
    """For the whole connection, of which nothing was processed."""

    def script(session):
        session.next()
        session.go_away(0, HTTP_1_1_REQUIRED)

    proxy, server = before_h2(script)
    with H2(proxy) as client:
        (number,) = posts(client, "/0")
        assert client.answer(number).body == b"ok"
        assert client.ask("/api/1").body == b"ok"
    assert [type(came) for came in server.requests] == [Came, Message, Message]
    assert server.requests[1].body == b"body"


def test_http_1_1_required_is_for_one_origin(before_h2, origin, context_for):
    other = origin(speak(), context=context_for(("h2", "http/1.1")))
    proxy, server = before_h2(respond(only_http_1_1), hosts=f'["127.0.0.1:{other.port}"]')
    with H2(proxy) as client:
        assert client.ask("/api/x").body == b"ok"
        for _ in range(2):
            assert client.ask("/y", authority=f"127.0.0.1:{other.port}", scheme="https", proxy_token=proxy.proxy_token()).body == b"ok"
    assert [type(came) for came in other.requests] == [Came, Came]
    assert [type(came) for came in server.requests] == [Came, Message]


def test_http_1_1_required_while_a_connection_serves_http_1_1(before_h2):
    """Both pools of one origin, in turn."""
    proxy, server = before_h2(respond(only_http_1_1))
    with proxy.client() as plain, H2(proxy) as client:
        assert plain.ask(get("/api/plain", proxy.token())).status == 200
        assert client.ask("/api/x").body == b"ok"
    assert [type(came) for came in server.requests] == [Message, Came, Message]


# Answers that come before their time


def test_an_answer_that_wants_no_more(before_h2):
    """RFC 9113 section 8.1: whole, then RST_STREAM with NO_ERROR, while the upload goes on. The answer stands."""

    def answer(session, came):
        session.answer(came, b"too large", status=413)
        session.h2.reset_stream(came.number, NO_ERROR)
        session.flush()

    proxy, server = before_h2(lambda session: session.serve(answer, whole=False))
    with H2(proxy) as client:
        numbers = [client.request(method="POST", end=False) for _ in range(3)]
        for number in numbers:
            client.data(number, b"x" * 10_000)
            answer = client.answer(number)
            assert (answer.status, answer.body) == (413, b"too large"), answer
        client.data(numbers[0], b"x" * 500_000)
        assert [client.answer(number, reset=True).reset for number in numbers] == [NO_ERROR] * 3
    assert len(server.connections) == 1
    assert [(line["verdict"], line["status"]) for line in proxy.audit(3)] == [("allow", 413)] * 3


def test_an_answer_before_the_uploads_end(before_h2):
    """Without a reset: the rest of the upload is of no use, and nothing of it holds up others."""

    def answer(session, came):
        session.answer(came, b"x" * 100_000, status=413)

    proxy, server = before_h2(lambda session: session.serve(answer, whole=False))
    with H2(proxy) as client:
        number = client.request(method="POST", end=False)
        client.data(number, b"x" * 10_000)
        assert client.answer(number).body == b"x" * 100_000
        client.data(number, b"x" * 500_000)
        assert client.answer(number, reset=True).reset == NO_ERROR
        assert client.ask("/api/x").body == b"x" * 100_000


# Origins that are not there, or say nothing


def test_tls_that_fails(before_h2, origin, authority, keystile):
    server = origin(speak(), context=authority.self_signed())
    proxy = keystile(one_api(f"https://127.0.0.1:{server.port}", ca=authority.ca), {"api": evidence.secret()})
    with H2(proxy) as client:
        numbers = [client.request() for _ in range(5)]
        for number in numbers:
            assert "certificate" in problem(client.answer(number), 502)["detail"]


def test_nobody_there(keystile, authority):
    proxy = keystile(one_api(f"https://127.0.0.1:{free_port()}", ca=authority.ca), {"api": evidence.secret()})
    with H2(proxy) as client:
        numbers = [client.request() for _ in range(5)]
        for number in numbers:
            problem(client.answer(number), 502)
    assert [line["reason"] for line in proxy.audit(5)] == ["connect"] * 5


@pytest.mark.parametrize("says", [b"", b"\0\0\6\4"], ids=["nothing", "half of its SETTINGS"])
def test_an_origin_that_says_nothing(origin, keystile, context_for, authority, says):
    """It chose HTTP/2, and does not begin to speak it: that is the handshake's time."""

    def script(connection):
        connection.send(says)
        connection.rest()

    server = origin(script, context=context_for(("h2",)))
    proxy = keystile(one_api(f"https://127.0.0.1:{server.port}", ca=authority.ca), {"api": evidence.secret()}, {"limits": "{{ handshake: 1s }}"})
    with H2(proxy) as client:
        numbers = [client.request() for _ in range(3)]
        for number in numbers:
            problem(client.answer(number), 504)
    assert [line["verdict"] for line in proxy.audit(3)] == ["fail"] * 3


def test_an_origin_that_takes_no_stream(before_h2):
    """SETTINGS_MAX_CONCURRENT_STREAMS 0 is allowed; who waits does not wait for ever."""
    proxy, server = before_h2(None, {MAX_CONCURRENT_STREAMS: 0}, head={"limits": "{{ response_idle: 1s }}"})
    with H2(proxy) as client:
        answer = client.ask()
        assert answer.status in (502, 504), answer


def test_whoever_waits_and_leaves(before_h2):
    """A client that goes while its request waits for the connection, or for a place on it, leaves nothing behind."""

    def script(session):
        session.until(lambda: session.left, "the first")
        session.until_told(lambda: bench)
        session.serve()

    bench = []
    proxy, server = before_h2(script, {MAX_CONCURRENT_STREAMS: 1}, head={"workers": "1"})
    with H2(proxy) as client, H2(proxy) as other:
        first = other.request("/api/first")
        wait_for(lambda: server.requests, "the first")
        waiting = [client.request(f"/api/{i}", method="POST", end=False) for i in range(5)]
        for number in waiting[:3]:
            client.reset(number)
        client.close()
        proxy.audit(5, reason="client_gone")
        bench.append(True)
        assert other.answer(first).body == b"ok"
        assert other.ask("/api/last").body == b"ok"
    assert {"/first", "/last"} <= {came.path for came in server.requests}


def fill_or_break(session, came):
    """`/large` has more of a body than the windows take; in `/packed` the secret stands, for which its response is broken."""
    if came.path == "/behind":
        session.answer(came)
        return
    session.head(came, *([("content-encoding", "gzip")] if came.path == "/packed" else []))
    if came.path == "/large":
        session.fill(came)
    else:
        secret = came.get("authorization").removeprefix("Bearer ").encode()
        session.data(came, gzip.compress(os.urandom(9000) + secret + os.urandom(9000)))


@pytest.mark.parametrize("then", ["the origin resets it", "nothing comes"])
def test_behind_a_response_that_broke(before_h2, then):
    """The client does not take the reset that tells of it: the others have its windows."""
    resets = []

    def script(session):
        while True:
            session.until_told(lambda: session.left or resets)
            if resets:
                session.reset(next(came for came in session.streams.values() if came.path == "/packed"), resets.pop())
            else:
                fill_or_break(session, session.left.pop(0))

    idle = "4s" if then == "nothing comes" else "60s"
    proxy, server = before_h2(script, head={"workers": "1", "limits": f"{{{{ response_idle: {idle} }}}}"})
    with H2(proxy, windows=False) as client:
        def all_is_taken(window):
            client.until(lambda: sum(len(answer.body) for answer in client.answers.values()) == window, "all that the window takes")

        for _ in range(4):
            client.request("/api/large")
        all_is_taken(65535)
        number = client.request("/api/packed", ("accept-encoding", "gzip"))
        client.connection.prioritize(number, weight=1)
        client.ask("/api/behind", method="HEAD")
        client.connection.increment_flow_control_window(80000)
        client.flush()
        all_is_taken(65535 + 80000)
        packed = client.answers[number]
        assert packed.body and packed.reset is None, packed
        if then == "nothing comes":
            client.until(lambda: packed.reset is not None, "the end of the wait")
        else:
            resets.append(INTERNAL_ERROR)
            wait_for(lambda: not resets, "the reset")
        with H2(proxy) as other:
            assert other.ask("/api/behind").body == b"ok"
    assert proxy.audit(1, path="/packed")[0]["reason"] == "secret_in_gzip"
