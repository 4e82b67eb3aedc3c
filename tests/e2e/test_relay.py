"""Bytes in a tunnel: whole, in both directions, at the slower side's pace, until both have ended (SPEC §4, §12)."""

import contextlib
import hashlib
import os
import socket
import threading

import pytest

from peers.keystile import wait_for
from peers.tunnel import open_tunnel, swallow
from peers.wire import Closed
from test_limits import memory_of

MIB = 1 << 20


def noise(size, seed=b"n"):
    """Bytes of which no piece comes twice."""
    return hashlib.shake_256(seed).digest(size)


@pytest.fixture
def tunnel(tunnelled):
    """tunnel(SCRIPT) gives proxyd, the server, and a client whose tunnel to it stands."""

    def start(script, behind=b"", **more):
        proxy, server = tunnelled(script, **more)
        return proxy, server, open_tunnel(proxy, "tun.test:9999", proxy.proxy_token(), behind)

    return start


def ended(proxy):
    """The audit line of the one tunnel that has ended."""
    return proxy.audit(1, way="connect", event="end", method="CONNECT")[0]


# Who speaks first, and who ends first


def test_server_speaks_first(tunnel):
    """As SSH, SMTP, MySQL and NATS do: the client says nothing until it was greeted."""

    def script(connection):
        connection.send(b"220 here\r\n")
        assert connection.until(b"\r\n") == b"HELO me\r\n"
        connection.send(b"250 you\r\n")
        connection.rest()

    _, _, client = tunnel(script)
    with client:
        assert client.until(b"\r\n") == b"220 here\r\n"
        client.send(b"HELO me\r\n")
        assert client.until(b"\r\n") == b"250 you\r\n"


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"GET", b"\x16\3\1", b"\x16\3\1\0\5\1\0\0\1\0"])
def test_once_the_server_has_spoken(tunnel, said):
    """Whatever the client says then is an answer, and flows as it is."""

    def script(connection):
        connection.send(b"hello\n")
        connection.origin.requests.append(connection.exactly(len(said)))
        connection.send(b"done\n")
        connection.rest()

    _, server, client = tunnel(script, head={"limits": "{{ head_time: 5s }}"})
    with client:
        assert client.until(b"\n") == b"hello\n"
        client.send(said)
        assert client.until(b"\n") == b"done\n"
    assert server.requests == [said]


def test_the_server_speaks_over_what_is_undecided(tunnel):
    """Bytes that could still become a request wait; a word of the server's sets them free."""
    go = threading.Event()

    def script(connection):
        assert go.wait(10)
        connection.send(b"hello\n")
        connection.send(connection.exactly(4) + b"\n")
        connection.rest()

    _, _, client = tunnel(script)
    with client:
        client.send(b"USER")
        assert client.quiet(0.2), "not decided yet"
        go.set()
        assert client.until(b"\n") == b"hello\n"
        assert client.until(b"\n") == b"USER\n"


def test_both_are_silent(tunnel):
    """A tunnel that is opened ahead of its use has the time of an idle one."""
    _, _, client = tunnel(lambda connection: connection.send(connection.exactly(3)), head={"limits": "{{ head_time: 300ms }}"})
    with client:
        assert client.quiet(1)
        client.send(b"\1\2\3")
        assert client.exactly(3) == b"\1\2\3"


def test_client_ends_first(tunnel):
    """Its last word is answered."""

    def script(connection):
        connection.send(b"whole: " + connection.rest())

    proxy, _, client = tunnel(script)
    with client:
        client.send(b"\1question")
        client.half_close()
        assert client.rest() == b"whole: \1question"
    assert (ended(proxy)["bytes_up"], ended(proxy)["bytes_down"]) == (9, 16)


def test_server_ends_first(tunnel):
    def script(connection):
        connection.send(b"last word")
        connection.half_close()
        connection.origin.requests.append(connection.rest())

    proxy, server, client = tunnel(script)
    with client:
        assert client.rest() == b"last word"
        client.send(b"\1still here")
        client.half_close()
        wait_for(lambda: server.requests, "what the client said behind the server's end")
    assert server.requests == [b"\1still here"]
    assert ended(proxy)["verdict"] == "allow"


def test_client_ends_without_a_word(tunnel):
    """It may still be told something."""
    proxy, _, client = tunnel(lambda connection: connection.send(b"to %d bytes" % len(connection.rest())))
    with client:
        client.half_close()
        assert client.rest() == b"to 0 bytes"
    assert (ended(proxy)["bytes_up"], ended(proxy)["bytes_down"]) == (0, 10)


def test_server_ends_without_a_word(tunnel):
    """A collector that never says anything closes its side at once; what comes is for it."""

    def script(connection):
        connection.half_close()
        connection.origin.requests.append(connection.rest())

    proxy, server, client = tunnel(script)
    with client:
        assert client.rest() == b""
        client.send(b"\1a line of a log\n")
        client.half_close()
        wait_for(lambda: server.requests, "the line")
    assert server.requests == [b"\1a line of a log\n"]
    assert ended(proxy)["verdict"] == "allow"


def test_client_leaves_within_a_download(tunnel):
    """Its server learns of it by the next bytes that nobody takes."""
    gone = threading.Event()

    def script(connection):
        connection.exactly(1)
        try:
            while True:
                connection.sock.sendall(b"d" * 65536)
        except OSError:
            gone.set()

    proxy, _, client = tunnel(script)
    with client:
        client.send(b"\1")
        client.exactly(MIB)
    assert gone.wait(10)
    assert ended(proxy)["reason"] == "client_gone"


def test_client_leaves_unseen(tunnel):
    gone = threading.Event()

    def script(connection):
        assert connection.rest() == b""
        gone.set()

    proxy, _, client = tunnel(script)
    client.close()
    assert gone.wait(10)
    assert ended(proxy)["bytes_up"] == 0


@pytest.mark.parametrize("who", ["client", "server"])
def test_reset(tunnel, who):
    """The other side learns of it, and does not take it for an end of all that was said."""
    talked, seen = threading.Event(), []

    def script(connection):
        connection.exactly(1)
        connection.send(b"!")
        if who == "server":
            assert talked.wait(10)
            connection.reset()
            return
        try:
            connection.sock.recv(1)
            seen.append("end")
        except ConnectionResetError:
            seen.append("reset")

    proxy, _, client = tunnel(script)
    with client:
        client.send(b"\1")
        assert client.exactly(1) == b"!"
        talked.set()
        if who == "client":
            client.reset()
        else:
            try:
                client.sock.recv(1)
                seen.append("end")
            except ConnectionResetError:
                seen.append("reset")
        wait_for(lambda: seen, "the other side to learn of it")
    assert seen == ["reset"]
    assert ended(proxy)["bytes_up"] == 1


# Much


def test_behind_the_head(tunnel):
    """A client that does not wait for its 200 loses nothing."""
    data = b"\1" + noise(100_000)
    proxy, _, client = tunnel(lambda connection: connection.send(connection.exactly(len(data))), data)
    with client:
        assert client.exactly(len(data)) == data
    assert ended(proxy)["bytes_up"] == ended(proxy)["bytes_down"] == len(data)


def test_both_ways_at_once(tunnel):
    """Sixteen megabytes each, in writes of odd sizes."""
    up, down = b"\1" + noise(16 * MIB, b"up"), noise(16 * MIB, b"down")

    def script(connection):
        sender = threading.Thread(target=connection.sock.sendall, args=(down,))
        sender.start()
        connection.origin.requests.append(digest_of(connection))
        sender.join()

    def send():
        for at in range(0, len(up), 99_991):
            client.sock.sendall(up[at : at + 99_991])
        client.half_close()

    proxy, server, client = tunnel(script)
    with client:
        sender = threading.Thread(target=send)
        sender.start()
        assert digest_of(client) == hashlib.sha256(down).digest()
        sender.join()
    assert server.requests == [hashlib.sha256(up).digest()]
    line = ended(proxy)
    assert (line["bytes_up"], line["bytes_down"], line["verdict"]) == (len(up), len(down), "allow")


def digest_of(stream):
    """Reads to the end without keeping it."""
    digest = hashlib.sha256(stream.buffer)
    stream.buffer = b""
    while data := stream.sock.recv(MIB):
        digest.update(data)
    return digest.digest()


class Pusher:
    """Sends without end, and tells how much has gone."""

    def __init__(self, sock, limit):
        self.sock, self.limit = sock, limit
        self.sent, self.digest, self.done = 0, hashlib.sha256(), threading.Event()

    def run(self):
        piece = noise(MIB)
        while self.sent < self.limit:
            count = self.sock.send(piece)
            self.digest.update(piece[:count])
            self.sent += count
        self.done.set()

    def stands_still(self):
        before = self.sent
        return not self.done.wait(0.3) and self.sent == before


@pytest.mark.parametrize("slow", ["client", "server"])
def test_slow_reader(tunnel, slow):
    """Who does not read stops the other; meanwhile proxyd keeps no more than the kernel does."""
    pushers, start, digests = [], threading.Event(), []

    def script(connection):
        connection.exactly(1)
        connection.sock.settimeout(None)
        if slow == "client":
            pushers.append(Pusher(connection.sock, 200 * MIB))
            pushers[0].run()
        else:
            assert start.wait(30)
            digests.append(digest_of(connection))

    proxy, _, client = tunnel(script)
    client.sock.settimeout(None)
    with client:
        before = memory_of(proxy.process)
        client.send(b"\1")
        if slow == "server":
            pushers.append(Pusher(client.sock, 200 * MIB))
            threading.Thread(target=lambda: (pushers[0].run(), client.half_close())).start()
        wait_for(lambda: pushers and pushers[0].sent and pushers[0].stands_still(), "the sender to be stopped", 30)
        assert pushers[0].sent < 64 * MIB
        assert memory_of(proxy.process) - before < MIB
        start.set()
        if slow == "client":
            digests.append(digest_of(client))
        else:
            client.rest()
    assert pushers[0].sent == 200 * MIB and digests == [pushers[0].digest.digest()]
    assert max(ended(proxy)["bytes_up"], ended(proxy)["bytes_down"]) >= 200 * MIB


def test_small_messages(tunnel):
    """A thousand there and back, each alone: none waits for another."""

    def script(connection):
        while connection.receive():
            connection.sock.sendall(connection.buffer)
            connection.buffer = b""

    _, _, client = tunnel(script)
    with client:
        for number in range(1000):
            message = b"\1%d" % number
            client.sock.sendall(message)
            assert client.exactly(len(message)) == message


# Limits


def test_tunnel_idle(tunnel):
    gone = threading.Event()

    def script(connection):
        connection.send(connection.exactly(1))
        connection.rest()
        gone.set()

    proxy, _, client = tunnel(script, head={"limits": "{{ tunnel_idle: 2s }}"})
    with client:
        client.send(b"\1")
        assert client.exactly(1) == b"\1"
        assert client.rest() == b""
        assert gone.wait(10)
    line = ended(proxy)
    assert "idle" in line["reason"] and (line["bytes_up"], line["bytes_down"]) == (1, 1), line


def test_tunnel_idle_of_a_half(tunnel):
    """A client that has ended its side without a word waits for no longer."""
    go = threading.Event()

    def script(connection):
        connection.rest()
        go.wait(10)

    proxy, _, client = tunnel(script, head={"limits": "{{ tunnel_idle: 1s }}"})
    with client:
        client.half_close()
        assert client.rest() == b""
        assert "idle" in ended(proxy)["reason"]
    go.set()


@pytest.mark.parametrize("who", ["client", "server"])
def test_one_direction_is_no_idle(tunnel, who):
    """A download with no word from the client is in use, and so is an upload."""
    steps = [0]

    def drip(sock):
        for _ in range(8):
            sock.sendall(b"\1")
            steps[0] += 1
            threading.Event().wait(0.5)

    def script(connection):
        connection.exactly(1)
        drip(connection.sock) if who == "server" else connection.origin.requests.append(connection.exactly(8))

    proxy, server, client = tunnel(script, head={"limits": "{{ tunnel_idle: 3s }}"})
    with client:
        client.send(b"\1")
        if who == "client":
            drip(client.sock)
            wait_for(lambda: server.requests, "all drops")
        else:
            assert client.rest() == b"\1" * 8
    assert steps == [8]


# Audit


def test_audit(tunnel):
    """A line when it begins, and one when it ends, with what went."""
    proxy, _, client = tunnel(lambda connection: [connection.exactly(6), connection.send(b"four"), connection.rest()])
    with client:
        begun = proxy.audit(1, event="start", way="connect")[0]
        assert not proxy.audit(event="end")
        client.send(b"\1hello")
        assert client.exactly(4) == b"four"
    line = ended(proxy)
    for key, value in {"way": "connect", "method": "CONNECT", "host": "tun.test", "port": 9999, "profile": "agent"}.items():
        assert begun[key] == line[key] == value, (key, begun, line)
    assert begun["id"] == line["id"] and begun["client"] == line["client"] and line["client"].startswith("127.0.0.1:")
    assert (line["verdict"], line["status"], line["bytes_up"], line["bytes_down"]) == ("allow", 200, 6, 4)
    assert line["ms"] >= 0 and not line.get("injected")


def test_nothing_is_kept_of_what_flows(tunnel):
    """What an agent says in a tunnel is in no log."""
    words = os.urandom(8).hex().encode()
    proxy, _, client = tunnel(swallow)
    with client:
        client.send(b"\1" + words)
    ended(proxy)
    assert words.decode() not in (proxy.folder / "audit.jsonl").read_text() + proxy.log()


def test_tunnels_that_break_are_counted_out(tunnelled):
    """Wherever they broke off; else the limit would be reached by none."""
    proxy, _ = tunnelled(head={"limits": "{{ connections: 8, profile_connections: 8 }}"})
    token = proxy.proxy_token()

    def try_open():
        try:
            return open_tunnel(proxy, "tun.test:9999", token)
        except (AssertionError, Closed, OSError):
            return None

    for number in range(40):
        client = wait_for(try_open, "a place")
        client.send((b"", b"GET", b"\x16\3\1\0", b"\1", b"GET / HTTP/1.1\r\n")[number % 5])
        client.reset() if number % 2 else client.close()

    def all_are_free():
        clients = [try_open() for _ in range(8)]
        for client in filter(None, clients):
            client.sock.close()
        return all(clients)

    wait_for(all_are_free, "8 tunnels at once")


# What was said before a break, and a break that shows


@pytest.mark.parametrize("half", [False, True], ids=["close", "shutdown and close"])
def test_answer_in_front_of_a_break(tunnelled, half):
    """Who asked for too much is told so while it still sends, and its server does not read on."""
    answer = b"too much " * 13

    def script(connection):
        connection.sock.recv(10)
        connection.sock.sendall(answer)
        if half:
            connection.half_close()
        connection.sock.close()

    proxy, _ = tunnelled(script)
    for _ in range(30):
        with open_tunnel(proxy, "tun.test:9999", proxy.proxy_token()) as client:
            with contextlib.suppress(OSError):
                client.sock.sendall(b"\1" + noise(300_000))
            got = b""
            with contextlib.suppress(OSError):
                while more := client.sock.recv(4096):
                    got += more
            assert got == answer


def test_idle_within_a_download_is_no_end(tunnel):
    """The client paused for too long: it must not take what it has for all there is."""
    sent = threading.Event()

    def script(connection):
        connection.exactly(1)
        with contextlib.suppress(OSError):
            connection.sock.sendall(b"d" * (32 * MIB))
        sent.set()

    proxy, _, client = tunnel(script, head={"limits": "{{ tunnel_idle: 2s }}"})
    with client:
        client.send(b"\1")
        client.exactly(MIB)
        assert ended(proxy)["reason"] == "tunnel_idle"
        with pytest.raises(ConnectionResetError):
            while client.sock.recv(65536):
                pass
    assert sent.wait(10)


def test_urgent_bytes_hold_nothing_up(tunnel):
    """TCP's urgent mark cuts reads short, though there is more (Telnet, FTP)."""
    _, _, client = tunnel(lambda connection: connection.send(connection.until(b"efgh")))
    with client:
        client.sock.sendall(b"\1abc")
        client.sock.send(b"D", socket.MSG_OOB)
        client.sock.sendall(b"efgh")
        assert client.until(b"efgh").replace(b"D", b"") == b"\1abcefgh"


@pytest.mark.parametrize("said", [b"\1", b"SSH-2.0-x\r\n", b" GET /secret HTTP/1.1\r\n\r\n", b"GET\x1f/secret HTTP/1.1\r\n\r\n",
                                  b"GET ./secret HTTP/1.1\r\n\r\n"])
def test_rules_on_a_named_port(tunnelled, said):
    """What is no request would go past them."""
    proxy, server = tunnelled(hosts='[{ host: "tun.test:9999", rules: ["allow GET /docs/**"] }]')
    with open_tunnel(proxy, "tun.test:9999", proxy.proxy_token()) as client:
        client.send(said)
        client.rest()
    assert proxy.audit(1, way="connect", event="end", verdict="deny", host="tun.test", port=9999)
    assert b"".join(connection.buffer for connection in server.connections) == b""
