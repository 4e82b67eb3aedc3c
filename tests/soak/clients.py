"""Clients of every temper. An act is a function of a Client: one deed, on connections of its own or a kept one."""

import contextlib
import random
import socket
import threading
import time

import httpx
from origins import echo_of, in_pieces, messages, mutate
from peers import evidence

TAIL = 200  # bytes of the last piece that are looked at together with the next


class World:
    """What everybody knows. `pause`: seconds between two acts of a client, where it is not to do all that it can."""

    def __init__(self, seed, pause=0.0):
        self.seed, self.pause = seed, pause
        self.stop = threading.Event()
        self.port = None
        self.tokens = {}
        self.asked = []   # paths of honest requests: each has one audit line
        self.silent = []

    def token(self, target):
        return self.tokens.get(target.split("/")[1], "none")


class Client(threading.Thread):
    """Does one act after the other until told to stop; `faults` is what should never have come."""

    def __init__(self, world, number):
        super().__init__(daemon=True)
        self.world = world
        self.number = number
        self.choose = random.Random(f"{world.seed} client {number}")
        self.deeds, self.statuses, self.faults = {}, {}, []
        self.serial = 0
        self.http = None

    def run(self):
        while not self.world.stop.is_set():
            act = self.choose.choices(ACTS, WEIGHTS)[0]
            self.deeds[act.__name__] = self.deeds.get(act.__name__, 0) + 1
            try:
                act(self)
            except (OSError, httpx.TransportError):
                if act in HONEST:
                    self.faults.append(f"{act.__name__}: no answer")
            except Exception as error:
                self.faults.append(f"{act.__name__}: {error!r}")
            self.world.stop.wait(self.world.pause)
        if self.http:
            self.http.close()

    # What the acts are made of

    def nonce(self):
        self.serial += 1
        return f"{self.number}-{self.serial}"

    def connect(self, small=False):
        sock = socket.socket()
        if small:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(10)
        sock.connect(("127.0.0.1", self.world.port))
        return sock

    def look_at(self, data):
        if found := evidence.find(data):
            self.faults.append(f"a secret came to a client: {found}")

    def read(self, sock, most=1 << 30, seconds=10.0):
        """What comes until the end, `most` bytes or `seconds` without any."""
        found, tail = b"", b""
        sock.settimeout(seconds)
        with contextlib.suppress(OSError):
            while len(found) < most and (data := sock.recv(65536)):
                self.look_at(tail + data)
                tail = data[-TAIL:]
                found += data
        for line in found.split(b"\r\n")[:1]:
            if line.startswith(b"HTTP/1.1 "):
                self.statuses[line[9:12].decode()] = self.statuses.get(line[9:12].decode(), 0) + 1
        return found

    def request(self, target, *fields, method="GET", body=b"", token=None, version="1.1"):
        lines = [f"{method} {target} HTTP/{version}", "Host: 127.0.0.1", *fields]
        lines.append(f"Authorization: Bearer {self.world.token(target) if token is None else token}")
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body

    def wild_request(self):
        choose, body = self.choose, bytes(self.choose.randrange(256) for _ in range(self.choose.choice([0, 1, 50, 3000])))
        target = choose.choice(["/wild/a", "/wild/a/b?c=d", "/tlswild/a", "/tlswild/x", "/honest/echo?size=500"])
        method = choose.choice(["GET", "GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "FROB"])
        version = choose.choice(["1.1"] * 9 + ["1.0"])
        if choose.random() < 0.4:
            return self.request(target, method=method, version=version)
        if choose.random() < 0.5:
            return self.request(target, f"Content-Length: {len(body)}", method=method, body=body)
        expect = ["Expect: 100-continue"] * (choose.random() < 0.2)
        chunk = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
        return self.request(target, "Transfer-Encoding: chunked", *expect, method=method, body=chunk + b"0\r\n\r\n")


def leave(client, sock):
    """At any moment, in any way."""
    how = client.choose.random()
    if how < 0.3:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    elif how < 0.6:
        sock.shutdown(socket.SHUT_WR)
        client.read(sock, seconds=client.choose.random())
    sock.close()


# Acts whose answers are known


def uses_http(client):
    """A well-behaved client that keeps its connections."""
    choose = client.choose
    if not client.http or choose.random() < 0.02:
        if client.http:
            client.http.close()
        client.http = httpx.Client(trust_env=False, timeout=20)
    endpoint = choose.choice(["honest", "tlshonest"])
    path = f"/echo/{client.nonce()}?size={choose.choice([0, 100, 5000, 40000, 300000])}"
    body = choose.randbytes(choose.choice([0, 10, 3000, 70000, 400000]))
    method = choose.choice(["GET", "POST", "PUT", "PATCH"])
    content = body if choose.random() < 0.5 else iter([body[at : at + 9999] for at in range(0, len(body), 9999)])
    response = client.http.request(
        method, f"http://127.0.0.1:{client.world.port}/{endpoint}{path}", content=None if method == "GET" else content,
        headers={"Authorization": f"Bearer {client.world.token('/' + endpoint)}"})
    client.look_at(response.content)
    expect(client, path, b"" if method == "GET" else body, response.status_code, response.content)


def expect(client, path, body, status, content):
    client.world.asked.append(path.partition("?")[0])
    if status != 200 or content != echo_of(path, body):
        client.faults.append(f"{path}: {status}, {content[:200]!r}")


def pipelines(client):
    """Several requests at once, cut anywhere; the answers come in their order."""
    count = client.choose.randrange(2, 6)
    paths = [f"/echo/{client.nonce()}?size={client.choose.choice([0, 100, 3000])}" for _ in range(count)]
    with client.connect() as sock:
        data = b"".join(client.request("/honest" + path) for path in paths[:-1])
        data += client.request("/honest" + paths[-1], "Connection: close")
        in_pieces(client.choose, data, sock.sendall)
        came = client.read(sock)
    answers = messages(came)
    for path in paths:
        expect(client, path, b"", *(answers.pop(0) if answers else (0, came[-300:])))


def is_refused(client):
    """Without the right token nothing goes out."""
    target, status = client.choose.choice([("/honest/echo", 401), ("/tlswild/x", 401), ("/nothing/x", 404)])
    with client.connect() as sock:
        sock.sendall(client.request(target, "Connection: close", token="x" * 43))
        came = client.read(sock)
    if not came.startswith(f"HTTP/1.1 {status}".encode()):
        client.faults.append(f"{target} with a wrong token: {came[:100]!r}")


# Acts of which anything may come


def goes_wild(client):
    """One or several requests, sent in pieces, read or not."""
    with client.connect() as sock:
        for _ in range(client.choose.choice([1, 1, 2, 5])):
            in_pieces(client.choose, client.wild_request(), sock.sendall)
            client.read(sock, client.choose.choice([1, 100, 1 << 20]), client.choose.choice([0.05, 0.3, 1]))
        leave(client, sock)


def mutates(client):
    with client.connect() as sock:
        if client.choose.random() < 0.4:
            sock.sendall(client.request("/honest/echo"))
        for _ in range(client.choose.choice([1, 2])):
            in_pieces(client.choose, mutate(client.choose, client.wild_request()), sock.sendall)
        client.read(sock, seconds=client.choose.choice([0.05, 0.2]))
        leave(client, sock)


NONSENSE = [b"\x16\x03\x01", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\n\r\n", b"\r\n\r\n", b"\0" * 50]


def talks_nonsense(client):
    with client.connect() as sock:
        noise = client.choose.randbytes(client.choose.randrange(1, 3000))
        sock.sendall(client.choose.choice([*NONSENSE, noise, noise]))
        client.read(sock, seconds=0.1)
        leave(client, sock)


def cuts_an_upload(client):
    with client.connect() as sock:
        endpoint, body = client.choose.choice(["wild", "honest", "tlshonest"]), client.choose.randbytes(200000)
        head = client.request(f"/{endpoint}/echo", f"Content-Length: {len(body)}", method=client.choose.choice(["POST", "PUT"]))
        sock.sendall(head + body[: client.choose.randrange(len(body))])
        if client.choose.random() < 0.3:
            client.read(sock, seconds=0.05)
        leave(client, sock)


def cuts_a_download(client):
    with client.connect(small=True) as sock:
        endpoint, size = client.choose.choice(["honest", "tlshonest"]), client.choose.choice([50000, 3000000])
        sock.sendall(client.request(f"/{endpoint}/echo?size={size}"))
        client.read(sock, client.choose.randrange(1, 200000), 1)
        leave(client, sock)


def reads_slowly(client):
    with client.connect(small=True) as sock:
        sock.sendall(client.request("/honest/echo?size=2000000"))
        for _ in range(client.choose.randrange(1, 20)):
            client.read(sock, 1000, 1)
            time.sleep(client.choose.random() * 0.02)
        leave(client, sock)


def drips_a_head(client):
    with client.connect() as sock:
        for byte in client.wild_request()[: client.choose.randrange(1, 60)]:
            sock.sendall(bytes([byte]))
            time.sleep(0.002)
        leave(client, sock)


def says_nothing(client):
    sock = client.connect()
    client.world.silent.append(sock)  # who leaves sockets open for proxyd to close
    while len(client.world.silent) > 50:
        client.world.silent.pop(0).close()


HONEST = [uses_http, pipelines, is_refused]
ACTS = [*HONEST, goes_wild, mutates, talks_nonsense, cuts_an_upload, cuts_a_download, reads_slowly, drips_a_head, says_nothing]
WEIGHTS = [30, 8, 4, 30, 30, 5, 8, 6, 3, 3, 4]
