"""Bodies and responses of HTTP/2 upstreams: windows, both ways at once, trailers, 1xx. What is asked, and of whom, is in
test_h2_upstream.py."""

import hashlib
import os
import threading

import pytest

from peers.h2 import H2
from peers.h2_origin import CANCEL, HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, by_h2, respond
from peers.keystile import wait_for
from peers.wire import TIMEOUT

# Bodies


@pytest.mark.parametrize("length", [True, False], ids=["with its length", "without"])
def test_large_both_ways_through_small_windows(before_h2, length):
    data, back = os.urandom(5 << 20), os.urandom(5 << 20)
    seen = []

    def script(session):
        came = session.next()
        seen.append((hashlib.sha256(came.body).digest(), came.get("content-length")))
        session.answer(came, back)

    proxy, server = before_h2(script, {INITIAL_WINDOW_SIZE: 16_000})
    with H2(proxy, settings={INITIAL_WINDOW_SIZE: 16_000}) as client:
        number = client.request("/api/x", *([("content-length", str(len(data)))] if length else []), method="POST", end=False)
        client.data(number, data, end=True)
        assert hashlib.sha256(client.answer(number).body).digest() == hashlib.sha256(back).digest()
    assert seen == [(hashlib.sha256(data).digest(), str(len(data)) if length else None)]
    (line,) = proxy.audit(1)
    assert (line["bytes_up"], line["bytes_down"]) == (len(data), len(back))


def echo_more(session, came):
    """Sends back what is new of a stream; False if nothing is."""
    if came.number not in session.said:
        if not came.body and not came.whole:
            return False
        session.said[came.number] = 0
        session.head(came, ("content-type", "application/grpc"))
    piece, whole = came.body[session.said[came.number]:], came.whole
    session.said[came.number] += len(piece)
    session.data(came, piece) if piece else None
    if whole:
        session.left.remove(came)
        session.head(came, ("grpc-status", "0"), *came.trailers, status=None, end=True)
    return bool(piece or whole)


def echo(session):
    """Each piece of each body goes back as it comes; then the trailers."""
    session.said = {}
    while True:
        if not any([echo_more(session, came) for came in list(session.left)]) and not session.hear():
            return


def test_both_ways_at_once(before_h2):
    """As gRPC: each message is answered before the next one is said, and trailers end both."""
    proxy, server = before_h2(echo)
    with H2(proxy) as client:
        number = client.request("/api/s.S/M", ("te", "trailers"), ("content-type", "application/grpc"), method="POST", end=False)
        answer = client.answers[number]
        for turn in range(20):
            client.data(number, b"message %02d" % turn)
            client.until(lambda: answer.body.endswith(b"message %02d" % turn), "the message to come back")
        assert answer.status == 200 and not answer.whole
        client.trailers(number, ("x-checksum", "abc"))
        client.answer(number)
    assert answer.trailers == [("grpc-status", "0"), ("x-checksum", "abc")] and len(answer.body) == 200
    (came,) = by_h2(server, 1)
    assert came.trailers == [("x-checksum", "abc")] and came.pieces >= 20, "no piece waits for another"


def test_ten_streams_both_ways_at_once(before_h2):
    """Each with more than its windows hold, all through one connection."""
    proxy, server = before_h2(echo)
    bodies = {}
    with H2(proxy) as client:
        for letter in range(10):
            bodies[client.request(method="POST", end=False)] = bytes([65 + letter]) * 300_000
        left = dict(bodies)
        while left:
            for number in list(left):
                room = min(client.room(number), client.connection.max_outbound_frame_size)
                if room:
                    client.data(number, left[number][:room], end=room >= len(left[number]))
                    left[number] = left[number][room:]
                if not left[number]:
                    del left[number]
            if left and all(client.room(number) == 0 for number in left):
                client.hear()
        for number, body in bodies.items():
            assert client.answer(number).body == body
    by_h2(server, 10)
    assert len(server.connections) == 1 and {line["bytes_up"] for line in proxy.audit(10)} == {300_000}


def test_a_window_that_shrinks(before_h2):
    """SETTINGS may take from a window that is in use, and leave less than nothing of it (RFC 9113 section 6.9.2)."""
    body = os.urandom(400_000)

    def script(session):
        (came,) = session.until(lambda: [one for one in session.left if one.pieces], "the first piece")
        session.h2.update_settings({INITIAL_WINDOW_SIZE: 1000})
        session.flush()
        session.until(lambda: session.acknowledged == 2, "its acknowledgement")
        assert session.hear(0.2) is None, "nothing comes where there is no window"
        for stream in (None, came.number):
            session.h2.increment_flow_control_window(500_000, stream)
        session.flush()
        session.serve(lambda session, came: session.answer(came, came.body))

    proxy, server = before_h2(script, windows=False)
    with H2(proxy) as client:
        number = client.request(method="POST", end=False)
        client.data(number, body, end=True)
        assert client.answer(number).body == body
    by_h2(server, 1)


def test_an_answer_before_the_end(before_h2):
    """The origin has said all, and reads no more: what waits for its window has nowhere to go, and is forgotten."""

    def script(session):
        session.serve(lambda session, came: session.answer(came, b"no more"), whole=False)

    proxy, server = before_h2(script, {INITIAL_WINDOW_SIZE: 100}, head={"workers": "1"})
    for _ in range(20):
        with H2(proxy) as client:
            number = client.request(method="POST", end=False)
            client.data(number, os.urandom(50_000), end=False)
            assert client.answer(number).body == b"no more"
    assert len(proxy.audit(20)) == 20


@pytest.mark.parametrize("slow", [1, 8])
def test_whoever_reads_slowly_holds_up_nobody_else(before_h2, slow):
    """The windows of an upstream's connection are not one client's to fill."""
    stuck = threading.Event()

    def script(session):
        filled = []
        while (heard := session.hear(0.2)) is not False:
            while session.left:
                came = session.left.pop()
                if came.path == "/slow":
                    session.head(came)
                    filled.append(came)
                else:
                    session.answer(came, b"x" * 200_000)
            if heard is None and len(filled) == slow:
                stuck.set()
            for came in filled:
                came.reset is None and session.fill(came)

    proxy, server = before_h2(script, head={"workers": "1"})
    with H2(proxy, windows=False) as idle, H2(proxy) as client:
        for _ in range(slow):
            idle.request("/api/slow")
        assert stuck.wait(TIMEOUT)
        for _ in range(10):
            assert client.ask("/api/fast").body == b"x" * 200_000
    by_h2(server, slow + 10)
    assert len(server.connections) == 1


def test_what_was_not_read_is_not_lost_to_others(before_h2):
    """160 clients' worth of windows that were full when they left: the connection's own window is whole again."""

    def script(session):
        while came := session.next():
            if came.path == "/fast":
                session.answer(came, b"x" * 200_000)
                continue
            session.head(came)
            session.fill(came)
            came.filled = True

    proxy, server = before_h2(script, head={"workers": "1"})
    for turn in (1, 2):
        with H2(proxy, windows=False) as idle:
            for _ in range(80):
                idle.request("/api/slow")
            wait_for(lambda: sum(hasattr(came, "filled") for came in server.requests) == 80 * turn, "full windows")
        wait_for(lambda: sum(came.reset == CANCEL for came in server.requests) == 80 * turn, "their end")
    with H2(proxy) as client:
        assert client.ask("/api/fast").body == b"x" * 200_000
    assert len(server.connections) == 1


def test_padding(before_h2):
    """It takes of the windows too (RFC 9113 section 6.1)."""

    def answer(session, came):
        session.head(came)
        for _ in range(1000):
            session.until(lambda: session.h2.local_flow_control_window(came.number) > 300, "room in the window")
            session.h2.send_data(came.number, b"0123456789", pad_length=255)
            session.flush()
        session.data(came, end=True)

    proxy, server = before_h2(respond(answer))
    with H2(proxy) as client:
        assert client.ask().body == b"0123456789" * 1000
    by_h2(server, 1)


@pytest.mark.parametrize("settings", [{HEADER_TABLE_SIZE: 0}, {HEADER_TABLE_SIZE: 1 << 20}, {MAX_FRAME_SIZE: 1 << 20}, {INITIAL_WINDOW_SIZE: 0}],
                         ids=["no table", "large table", "large frames", "no window"])
def test_settings_of_the_origin(before_h2, settings):
    def answer(session, came):
        while not came.whole:
            session.h2.increment_flow_control_window(10_000, came.number)
            session.flush()
            session.hear()
        session.answer(came, came.body, ("x-again", came.get("x-a")))

    proxy, server = before_h2(lambda session: session.serve(answer, whole=False), settings)
    with H2(proxy) as client:
        for _ in range(3):
            number = client.request("/api/x", ("x-a", "b" * 100), method="POST", end=False)
            client.data(number, b"x" * 50_000, end=True)
            answer = client.answer(number)
            assert (answer.body, answer.get("x-again")) == (b"x" * 50_000, "b" * 100)
    by_h2(server, 3)


def test_what_is_not_read_stops_the_origin(before_h2):
    """Less than 256 KiB of a response waits in between, and some in sockets."""
    stopped = []

    def script(session):
        came = session.next()
        session.head(came)
        sent = 0
        while came.reset is None and not stopped:
            sent += session.fill(came)
            if session.hear(0.3) is None:
                stopped.append(sent)
        session.until(lambda: came.reset is not None, "the client's leaving")

    proxy, server = before_h2(script)
    with H2(proxy, windows=False) as client:
        client.request()
        wait_for(lambda: stopped, "the origin to be stopped")
    wait_for(lambda: server.requests[0].reset is not None, "the client's leaving to arrive")
    assert stopped[0] <= 65_535 + 256 * 1024


# Responses


@pytest.mark.parametrize("method,status,fields,length", [
    ("HEAD", 200, [("content-length", "17")], "17"),
    ("GET", 204, [], None),
    ("GET", 304, [("content-length", "9"), ("etag", '"a"')], "9"),
    ("GET", 200, [("content-length", "0")], "0"),
    ("GET", 200, [], None),
    ("POST", 200, [("content-type", "application/grpc"), ("grpc-status", "5")], None),
], ids=["HEAD", "204", "304", "length 0", "nothing", "trailers alone"])
def test_response_without_body(before_h2, method, status, fields, length):
    proxy, server = before_h2(respond(lambda session, came: session.head(came, *fields, status=status, end=True)))
    with H2(proxy) as client:
        for _ in range(2):
            answer = client.ask(method=method)
            assert (answer.status, answer.body, answer.trailers) == (status, b"", []), answer
            assert sorted(answer.fields) == sorted(fields), answer
            assert answer.get("content-length") == length
    by_h2(server, 2)


def test_response_trailers(before_h2):
    """Behind a body, behind none, and of a response whose length was told."""

    def answer(session, came):
        body = {"/none": b"", "/some": b"body", "/long": b"x" * 300_000}[came.path]
        session.answer(came, body, ("content-length", str(len(body))), trailers=[("grpc-status", "7"), ("grpc-message", "%20")])

    proxy, server = before_h2(respond(answer))
    with H2(proxy) as client:
        for path, body in (("none", b""), ("some", b"body"), ("long", b"x" * 300_000)):
            answer = client.ask(f"/api/{path}", ("te", "trailers"), method="POST")
            assert (answer.body, answer.trailers) == (body, [("grpc-status", "7"), ("grpc-message", "%20")])
    by_h2(server, 3)


def test_fields_come_down(before_h2):
    def answer(session, came):
        session.answer(came, b"ok", ("location", f"https://127.0.0.1:{came.session.origin.port}/there"), ("alt-svc", "h3"),
                       ("set-cookie", "a=1"), ("set-cookie", "b=2"), ("x-8bit", "\xe9"))

    proxy, server = before_h2(respond(answer))
    with H2(proxy) as client:
        answer = client.ask()
    assert sorted(answer.fields) == [("content-length", "2"), ("location", "/api/there"), ("set-cookie", "a=1"), ("set-cookie", "b=2"), ("x-8bit", "\xe9")]
    by_h2(server, 1)


def test_interim_responses(before_h2):
    def answer(session, came):
        session.head(came, ("link", "</a>"), status=103)
        session.head(came, status=100)
        session.answer(came)

    proxy, server = before_h2(respond(answer))
    with H2(proxy) as client:
        got = client.ask()
    assert got.status == 200 and [one[":status"] for one in got.interim] == ["103", "100"] and got.interim[0]["link"] == "</api/a>", got.interim
    by_h2(server, 1)


def test_expect(before_h2):
    """The 100 is the origin's, and the body waits for it."""

    def script(session):
        came = session.next(whole=False)
        assert came.get("expect") == "100-continue" and not came.body
        session.head(came, status=100)
        session.until(lambda: came.whole, "the body")
        session.answer(came, came.body)

    proxy, server = before_h2(script)
    with H2(proxy) as client:
        number = client.request("/api/x", ("expect", "100-continue"), ("content-length", "4"), method="POST", end=False)
        client.until(lambda: client.answers[number].interim, "the 100")
        client.data(number, b"body", end=True)
        assert client.answer(number).body == b"body"
    by_h2(server, 1)


def test_events_leave_as_they_come(before_h2):
    said = []

    def script(session):
        came = session.next()
        session.head(came, ("content-type", "text/event-stream"))
        for event in range(3):
            session.data(came, b"data: %d\n\n" % event)
            session.until_told(lambda: len(said) > event)
        session.data(came, end=True)

    proxy, server = before_h2(script)
    with H2(proxy) as client:
        number = client.request()
        for event in range(3):
            client.until(lambda: client.answers[number].body.endswith(b"data: %d\n\n" % event), "the event")
            said.append(event)
        assert client.answer(number).whole
    by_h2(server, 1)


def test_the_secret_never_comes_back(before_h2):
    """In fields, in the body, in pieces, and in trailers."""

    def answer(session, came):
        value = came.get("authorization")
        session.head(came, ("x-echo", value))
        session.data(came, f"<{value[:20]}".encode())
        session.data(came, f"{value[20:]}>".encode())
        session.head(came, ("x-last", value), status=None, end=True)

    proxy, server = before_h2(respond(answer))
    with H2(proxy) as client:
        got = client.ask()
    length = len(proxy.secrets["api"])
    assert (got.get("x-echo"), got.body, got.trailers) == ("Bearer [secret]", b"<Bearer " + b"*" * length + b">", [("x-last", "Bearer [secret]")])
    assert proxy.audit(1)[0]["scrubbed"]
    by_h2(server, 1)
