"""Floods by HTTP/2 (wire/h2_floods.py), by prior knowledge and within TLS that we end: each ends its own connection, for a reason that the
audit has, or holds no more than is told; others are served meanwhile, and memory stays."""

import fcntl
import itertools
import select
import termios
import threading

import pytest

from peers import evidence, sanitizers, wire
from peers.config import one_api
from peers.frames import WAYS, told
from peers.keystile import Keystile, wait_for
from peers.wire import Origin
from wire.h2_bytes import GOAWAY, HEADERS, PING, RST_STREAM, continuation, data, literal, ping
from wire.h2_floods import CALM, ENDED, FLOODS, LATER, WAITS, requests

SIZE = 900_000  # less than proxyd discards of who was sent away, so that its last word arrives
MOST = 8 << 20
MOST_FRAMES = 2500  # that one is answered with
MOST_HELD = 100 * (256 << 10)  # by a hundred exchanges
OUTCOMES = {CALM: ("ENHANCE_YOUR_CALM",), ENDED: ("PROTOCOL_ERROR", "STREAM_CLOSED")}


def script(connection):
    with connection.sock:
        serve(connection)


def serve(connection):
    while True:
        head = connection.head()
        connection.origin.requests.append(head.target)
        if head.target.endswith("/big"):
            connection.send(f"HTTP/1.1 200 OK\r\nContent-Length: {1 << 30}\r\n\r\n")
            while True:
                connection.sock.sendall(bytes(65536))
        elif head.target.endswith("/early"):
            connection.answer("413 Content Too Large", b"no")
            connection.rest()
        elif head.target.endswith("/sink"):
            while connection.receive():
                connection.buffer = b""
        connection.body(head, until_close=False)
        connection.answer("200 OK", b"x" * 100)


def most_memory(process):
    """That it ever had."""
    with open(f"/proc/{process.pid}/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM:"))


def ready(proxy, server):
    """What peers.frames wants of it."""
    proxy.origin, proxy.intercepts = server, f"localhost:{server.port}"
    proxy.tokens = {"api": proxy.token(), "proxy": proxy.proxy_token()}
    return proxy


@pytest.fixture(scope="module")
def shared(tmp_path_factory, authority):
    server = Origin(script, context=authority.server_context())
    config = one_api(f"https://localhost:{server.port}", intercept="true", ca=authority.ca)
    one = Keystile(tmp_path_factory.mktemp("floods"), config, {"api": evidence.secret("floods")}).start()
    one.first = most_memory(one.process)
    yield ready(one, server)
    status, found = one.stop(), sanitizers.reports()
    server.close()
    assert (status, server.errors, found) == (0, [], []), one.log()


@pytest.fixture
def proxy(request, shared):
    request.node.keystiles = [shared]
    return shared


def grown_less(proxy, most):
    """Since it began: what one flood leaves behind adds to the next."""
    grown = most_memory(proxy.process) - proxy.first
    print(f"{grown >> 10} KiB")
    return sanitizers.in_use() or grown < most


def readable(client):
    poll = select.poll()
    poll.register(client.stream.sock, select.POLLIN)
    return bool(poll.poll(0))


def pour(client, flood, reads, size=SIZE, meanwhile=lambda: None):
    """Sends so much of it, or until the end; what comes back is read, or left on the socket."""
    everything = flood.bytes(client.fields(), size)
    for at in range(0, len(everything), 65536):
        client.send(everything[at : at + 65536])
        meanwhile()
        while reads and readable(client) and client.stream.receive():
            pass


def path_of(flood, way):
    return ("/api/" if way == "h2c" else "/") + flood.path


@pytest.mark.parametrize("reads", [True, False], ids=["reads", "does not read"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("flood", [flood for flood in FLOODS if flood.outcome in OUTCOMES], ids=lambda flood: flood.name)
def test_flood_that_ends(proxy, flood, way, reads):
    reason = "flood" if flood.outcome == CALM else "malformed"
    before = told(proxy, reason)
    with WAYS[way](proxy) as other, WAYS[way](proxy, path_of(flood, way), greet=False) as client:
        pour(client, flood, reads, meanwhile=other.answers)
        heard = client.rest()
        codes = [one.code for one in heard if one.kind == GOAWAY]
        assert len(codes) == 1 and codes[0] in OUTCOMES[flood.outcome], codes
        assert len(heard) < MOST_FRAMES, len(heard)
        other.answers()
    wait_for(lambda: told(proxy, reason) > before, "the audit line")
    assert grown_less(proxy, MOST)


EARLY = {"h2c": "/api/early", "TLS": "/early"}
AT_ONCE = 50  # streams; over limits.streams it would be another offence


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("flood", [flood for flood in FLOODS if flood.resets], ids=lambda flood: flood.name)
def test_streams_that_are_reset(proxy, flood, way):
    """With no more of them at a time than may be open. Each reset is a stream that was begun: so many in vain are too many."""
    before, number = told(proxy, "flood"), 0
    with WAYS[way](proxy) as other, WAYS[way](proxy, path_of(flood, way)) as client:
        streams = flood.more(client.fields())
        while not (heard := [one for one in client.heard if one.kind == GOAWAY]):
            client.send(*itertools.islice(streams, AT_ONCE))
            number += AT_ONCE
            client.send(ping())
            while (one := client.hear()) and one.kind not in (PING, GOAWAY):
                pass
            assert number < 1000, "nobody minds"
        assert [one.code for one in heard] == ["ENHANCE_YOUR_CALM"] and number > 200, (heard, number)
        other.answers()
    wait_for(lambda: told(proxy, "flood") > before, "the audit line")
    assert grown_less(proxy, MOST)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("flood", [flood for flood in FLOODS if flood.outcome == LATER], ids=lambda flood: flood.name)
def test_flood_that_is_seen_late(proxy, flood, way):
    """A body whose answer is out already may go on for two seconds; then it is reset, and what still comes is for nothing."""
    before = told(proxy, "flood")
    with WAYS[way](proxy) as other, WAYS[way](proxy, path_of(flood, way)) as client:
        client.send(flood.first(client.fields()))
        piece = next(flood.more(client.fields()))
        while not any(one.kind == GOAWAY for one in client.heard):
            client.send(piece)
            while readable(client) and client.hear():
                pass
        reset, goaway = (one.code for one in client.heard if one.kind in (GOAWAY, RST_STREAM))
        assert reset in ("NO_ERROR", "FLOW_CONTROL_ERROR") and goaway == "ENHANCE_YOUR_CALM", (reset, goaway)
        other.answers()
    wait_for(lambda: told(proxy, "flood") > before, "the audit line")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("flood", [flood for flood in FLOODS if flood.outcome == WAITS], ids=lambda flood: flood.name)
def test_flood_that_waits(proxy, flood, way):
    """A hundred exchanges stand still, or move byte by byte: what they hold is what a hundred may, and it is given back."""
    with WAYS[way](proxy) as other, WAYS[way](proxy, path_of(flood, way), greet=False) as client:
        pour(client, flood, flood.answered, 20_000 if flood.answered else SIZE, other.answers)
        heads = 0
        while heads < 100 * flood.answered:
            heads += client.hear().kind == HEADERS
        other.answers()
    with WAYS[way](proxy) as another:
        another.answers()
    assert grown_less(proxy, MOST_HELD)


@pytest.mark.parametrize("way", WAYS)
def test_what_was_on_its_way_is_no_flood(proxy, way):
    """Of each stream that is reset a window's worth may still come."""
    streams = range(1, 201, 2)
    with WAYS[way](proxy, EARLY[way]) as client:
        client.send(*(client.head(method="POST", end=False, stream=stream) for stream in streams))
        left = set(streams)
        while left:
            one = client.hear()
            assert one.kind != GOAWAY, one
            left -= {one.stream} if one.kind == RST_STREAM else set()
        for stream in streams:
            client.send(*(data(stream, bytes(16383), end=False) for _ in range(4)))
        client.send(ping())
        assert client.until(lambda one: one.kind in (PING, GOAWAY), "the PING").kind == PING


@pytest.fixture
def limited(keystile, origin, authority):
    """limited(LIMITS) gives a proxyd with them."""

    def begin(limits, script=script):
        server = origin(script, context=authority.server_context())
        config = one_api(f"https://localhost:{server.port}", intercept="true", ca=authority.ca)
        return ready(keystile(config, {"api": evidence.secret("floods")}, {"limits": "{{ " + limits + " }}"}), server)

    return begin


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fed", [False, True], ids=["silent", "fed"])
def test_a_head_that_never_ends(limited, way, fed):
    """limits.head_time is for all of it, however many frames follow."""
    proxy = limited("head_time: 1s")
    with WAYS[way](proxy) as other, WAYS[way](proxy) as client:
        client.send(client.head(whole=False))
        rest = continuation(1, literal("x-a", "a" * 10000))
        for byte in rest * fed:
            if readable(client):
                break
            client.send(bytes([byte]))
            other.answers()
        (one,) = [one for one in client.rest() if one.kind == GOAWAY]
        assert one.code == "ENHANCE_YOUR_CALM" and b"head_time" in one.payload, one
        other.answers()
    assert proxy.audit(1, reason="head_late", verdict="fail")


@pytest.mark.parametrize("way", WAYS)
def test_streams_that_stand_still(limited, way):
    """A client whose windows stay shut, or whose bodies never come, holds its streams no longer than limits say."""
    proxy = limited("body_idle: 2s, response_idle: 2s, idle: 2s")
    clients = []
    for flood in FLOODS:
        if flood.name in ("windows that never open", "streams that are left"):
            clients.append(WAYS[way](proxy, path_of(flood, way), greet=False))
            clients[-1].send(flood.bytes(clients[-1].fields(), 0))
    assert len(clients) == 2
    for client in clients:
        assert client.rest()[-1].code == "NO_ERROR"
        client.stream.sock.close()


def until_nothing_moves(client, other):
    """Nothing more arrives unread, whatever else is answered."""
    last, same = None, 0
    while same < 20:
        other.answers()
        now = fcntl.ioctl(client.stream.sock, termios.FIONREAD, bytes(4))
        last, same = now, same + 1 if now == last else 0


@pytest.mark.parametrize("way", WAYS)
def test_what_follows_an_error(proxy, way):
    """Its GOAWAY cannot be written, as answers fill all that is between: what it sends is read for no longer than that shows."""
    flood = next(flood for flood in FLOODS if flood.name == "answers that are not read")
    before = told(proxy, "flood") + told(proxy, "malformed")
    with WAYS[way](proxy, path_of(flood, way), greet=False) as client, WAYS[way](proxy) as other:
        client.send(flood.bytes(client.fields(), 0))
        until_nothing_moves(client, other)
        client.send(data(0))
        sent, piece = 0, bytes(65536)
        while client.send(piece):
            sent += len(piece)
            other.answers()
            assert sent < 100 << 20, "it is read for ever"
    wait_for(lambda: told(proxy, "flood") + told(proxy, "malformed") > before, "the audit line")


@pytest.mark.parametrize("way", WAYS)
def test_who_asks_much_has_no_more_than_a_share(limited, way):
    """A hundred requests came before the one of another client, and it does not wait for them: each has a connection to an origin that
    answers none before it has heard them all, and its comes among the first."""
    came, all_came = {}, threading.Event()

    def script(connection):
        target = connection.head().target
        came[connection.number] = target
        if len(came) == 101:
            all_came.set()
        assert all_came.wait(3 * wire.TIMEOUT), came
        connection.answer("200 OK", b"x" * 100, "Connection: close")

    proxy = limited("idle: 60s, handshake: 60s", script)
    with WAYS[way](proxy) as client, WAYS[way](proxy, "/api/one" if way == "h2c" else "/one") as other:
        for one in (client, other):
            one.stream.sock.settimeout(3 * wire.TIMEOUT)
        with proxy.standing_still():
            client.send(*itertools.islice(requests(client.fields()), 100))
            other.send(other.head())
        assert other.status(1) == "200"
        assert client.status(199) == "200"
    assert next(number for number, target in came.items() if target == "/one") < 50, came
