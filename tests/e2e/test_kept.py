"""Client connections that are kept: later heads of every size, those that come right behind, and what rests (SPEC §3)."""

import concurrent.futures
import contextlib
import os
import random
import socket
import time

import pytest

from peers import evidence
from peers.config import get, one_api
from peers.keystile import in_time, wait_for
from peers.wire import Closed


@pytest.fixture
def serve(keystile, origin):
    def start(limits=None, script=None):
        server = origin(script)
        head = {"limits": f"{{{{ {limits} }}}}"} if limits else None
        proxy = keystile(one_api(f"http://127.0.0.1:{server.port}"), {"api": evidence.secret()}, head)
        proxy.padded = lambda size: get("/api/x", proxy.token(), "X-Pad: " + "p" * size)
        return proxy, server

    return start


@pytest.fixture
def both(before):
    """The same, for plain clients and for those in TLS."""

    def start(limits=None, script=None):
        proxy, server = before(script, {"limits": f"{{{{ {limits} }}}}"} if limits else None)
        proxy.padded = lambda size: proxy.request("/x", "X-Pad: " + "p" * size)
        return proxy, server

    return start


SIZES = [10, 20000, 3000, 3850, 3870, 4080, 4200, 4500, 10, 5000, 5500, 6500, 10, 9000, 14000, 23000, 10]


def test_heads_of_every_size(both):
    """What is large needs another place than what is small; the client notices nothing."""
    proxy, server = both()
    with proxy.client() as client:
        for size in SIZES:
            assert client.ask(proxy.padded(size)).status == 200, size
    assert [len(request.get("X-Pad")) for request in server.requests] == SIZES


@pytest.mark.parametrize("size", SIZES[3:])
@pytest.mark.parametrize("place", ["field", "query"])
def test_first_heads_of_every_size(both, size, place):
    proxy, server = both()
    request = proxy.padded(size) if place == "field" else get("/api/x?" + "p" * size, proxy.token())
    assert proxy.ask(request).status == 200
    with proxy.client() as client:
        for _ in range(2):
            assert client.ask(request).status == 200
    assert len(server.requests) == 3


@pytest.mark.parametrize("sizes", [[10] * 30, [10, 6000], [10, 3000, 3000, 3000, 3000], [10, 23000, 10]],
                         ids=["small ones", "a larger one", "more than one read", "large"])
def test_heads_right_behind(both, sizes):
    """They come with the first, in one piece: they are read together with it. What does not fit may be refused then."""
    proxy, server = both()
    with proxy.client() as client:
        client.send("".join(map(proxy.padded, sizes)))
        statuses = []
        for _ in sizes:
            statuses.append(client.response().status)
            if statuses[-1] != 200:
                break
    whole = [len(request.get("X-Pad")) for request in server.requests]
    assert whole == sizes[:len(whole)] and statuses[:len(whole)] == [200] * len(whole)
    assert statuses == [200] * len(sizes) or (max(sizes) > 10000 and statuses[-1] == 431), statuses


@pytest.mark.parametrize("way", ["first", "kept", "with a body", "kept, with a body"])
@pytest.mark.parametrize("pieces", [1, 2])
def test_large_answers_with_requests_right_behind(both, way, pieces):
    """The answer's head takes what the requests that were read along leave of the memory. None is lost without a word."""
    sizes = iter(range(500, 9000, 130))

    def script(connection):
        while (request := connection.request()):
            size = int(request.get("X-Size") or 1)
            connection.send(f"HTTP/1.1 200 OK\r\nX-Pad: {'p' * size}\r\nContent-Length: 2\r\n\r\nok")

    proxy, _ = both(script=script)
    behind = "".join(proxy.padded(10) for _ in range(40))
    for size in sizes:
        with proxy.client() as client:
            if "kept" in way:
                assert client.ask(proxy.padded(10)).status == 200
            if "body" in way:
                one = get("/api/x", proxy.token(), f"X-Size: {size}", "Content-Length: 5", method="POST") + "hello"
            else:
                one = get("/api/x", proxy.token(), f"X-Size: {size}")
            for piece in [one, behind] if pieces == 2 else [one + behind]:
                client.send(piece)
            response = client.response()
            assert (response.status, response.text, len(response.get("X-Pad"))) == (200, "ok", size)
            if response.get("Connection") != "close":
                assert [client.response().status for _ in range(40)] == [200] * 40
            else:
                assert size > 2500


LARGE = "head: 64KiB, head_time: 3s"


@pytest.mark.parametrize("sizes", [(20000, 31000), (20000, 48000), (30000, 64800), (60000, 60000, 10, 60000)])
def test_large_heads_on_one_connection(both, sizes):
    proxy, _ = both(LARGE)
    with proxy.client() as client:
        for size in sizes:
            assert client.ask(proxy.padded(size)).status == 200, size


def test_a_client_that_left_while_it_was_answered(both):
    """What it asked behind the answer that it was still taking ends with it, if it began at all."""
    def script(connection):
        with contextlib.suppress(OSError):
            assert connection.request()
            connection.answer("200 OK", b"x" * 8_000_000)
            if connection.request():
                assert connection.rest() == b""

    proxy, server = both(script=script)
    with proxy.client() as client:
        client.send(proxy.padded(10))
        client.head()
        client.send(proxy.padded(10))
        client.sock.shutdown(socket.SHUT_WR)
        began = time.monotonic()
        client.rest()
        assert time.monotonic() - began < 5, "the connection stayed open"
    wait_for(lambda: len(proxy.audit()) >= len(server.requests), "the end of all that began")


def test_blanks_behind_values(both):
    """They are no part of the values (RFC 9112 5.1), on later requests and in front of bodies too."""
    proxy, server = both()
    request = proxy.request("/x", "X-A: a \t ", "X-Empty:", "X-Empty-Too:   ", "X-B:  b", "Content-Length: 1", "X-C: c  ", method="POST") + "x"
    with proxy.client() as client:
        for _ in range(3):
            assert client.ask(request).status == 200
    assert [[one.get(name) for name in ("X-A", "X-Empty", "X-Empty-Too", "X-B", "X-C")] for one in server.requests] == [["a", "", "", "b", "c"]] * 3


def test_an_empty_line_first(serve):
    """RFC 9112 section 2.2 lets it pass; what libmicrohttpd then has of a second request is not known, so there is none."""
    proxy, server = serve()
    with proxy.client() as client:
        client.send("\r\n" + proxy.padded(10) + proxy.padded(10))
        response = client.response()
        assert (response.status, response.get("Connection")) == (200, "close")
        assert client.rest() == b""
    assert len(server.requests) == 1


def test_heads_that_end_where_a_read_ends(both):
    """No part of the next one is read with them, and no event tells of what was there before."""
    proxy, server = both("idle: 60s")
    one = get("/api/x", proxy.token(), "X-Pad: ")
    request = one.replace("X-Pad: ", "X-Pad: " + "p" * (-len(one) % 512))
    assert len(request) % 512 == 0
    with proxy.client() as client:
        def ask_often():
            began = time.monotonic()
            client.send(request * 100)
            for _ in range(100):
                assert client.response().status == 200
            return time.monotonic() - began

        assert in_time(0.9, ask_often, 5), "less than a rest"


@pytest.mark.parametrize("size", [10, 3000])
def test_a_head_in_pieces_behind_another(both, size):
    """Its beginning was read with the one before, its end comes once that is answered."""
    proxy, server = both()
    second = proxy.padded(size)
    with proxy.client() as client:
        for cut in (1, 3, 30, len(second) // 2, len(second) - 1):
            client.send(proxy.padded(1) + second[:cut])
            assert client.response().status == 200
            client.send(second[cut:])
            assert client.response().status == 200, cut
    assert len(server.requests) == 10


def sockets(proxy):
    """Number and identity of each socket that proxyd has open."""
    folder, found = f"/proc/{proxy.process.pid}/fd", set()
    for number in os.listdir(folder):
        try:
            found.add((number, os.readlink(f"{folder}/{number}")))
        except OSError:
            pass
    return {entry for entry in found if entry[1].startswith("socket:")}


class Seats:
    """An origin's script; where proxyd's sockets were while it was last asked, when the connection that asks has its seat."""

    def __call__(self, connection):
        while True:
            connection.origin.requests.append(connection.request())
            self.then = sockets(self.proxy)
            connection.answer()

    def wait_until_left(self):
        """A socket is there under another number: its connection left its seat."""
        names = {name for _, name in self.then}
        wait_for(lambda: any(name in names for _, name in sockets(self.proxy) - self.then), "the connection to rest")


@pytest.fixture
def seated(serve):
    """The same as `serve`, with the Seats of its proxyd."""

    def start(limits=None):
        seats = Seats()
        seats.proxy, server = serve(limits, seats)
        return seats.proxy, server, seats

    return start


def test_a_connection_that_rests(seated):
    """It gives back what it does not need, and goes on as if nothing had been."""
    proxy, server, seats = seated()
    with proxy.client() as client:
        for _ in range(3):
            assert client.ask(proxy.padded(10)).status == 200
            seats.wait_until_left()
            assert client.ask(proxy.padded(20000)).status == 200
    assert len(server.requests) == 6


def test_requests_at_the_moment_of_rest(serve):
    """Who asks just when the connection gives up its seat is answered. It does so half of `idle` after a response, here. Where
    this machine stood still for so long that all of `idle` was over, it asks on another one."""
    proxy, _ = serve("idle: 400ms")
    request = proxy.padded(10)

    def ask_again(number):
        choose, client, asked = random.Random(number), proxy.client(), time.monotonic()
        for _ in range(20):
            before, asked = asked, time.monotonic()
            try:
                assert client.ask(request).status == 200
            except (Closed, ConnectionError):
                assert time.monotonic() - before >= 0.4, "it was closed too soon"
                client.close()
                client = proxy.client()
            time.sleep(choose.uniform(0.19, 0.21))
        client.close()

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(ask_again, range(16)))


def test_a_connection_that_rests_too_long(serve):
    proxy, _ = serve("idle: 600ms, head_time: 300ms")
    with proxy.client() as client:
        request, began = proxy.padded(10), time.monotonic()
        assert client.ask(request).status == 200
        assert client.rest() == b""
        assert time.monotonic() - began > 0.5


def test_a_head_that_stops_after_a_rest(seated):
    proxy, _, seats = seated("head_time: 2s")
    request = proxy.padded(10)
    with proxy.client() as client:
        assert client.ask(request).status == 200
        seats.wait_until_left()
        client.send("GET /api/x HTTP/1.1\r\nHo")
        assert client.head().status == 408
    assert proxy.audit(1, reason="head_late")


def test_resting_connections_count_for_their_profile(seated):
    proxy, _, seats = seated("profile_connections: 2")
    first, second, third = (proxy.client() for _ in range(3))
    for client in (first, second):
        assert client.ask(proxy.padded(10)).status == 200
        seats.wait_until_left()
    assert third.ask(proxy.padded(10)).status == 503
    first.close()
    wait_for(lambda: third.ask(proxy.padded(10)).status == 200, "room for the third")
    for client in (second, third):
        client.close()
