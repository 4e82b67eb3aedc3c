"""Two origins: an honest one that echoes, and a wild one that misbehaves at random. Both judge what reaches them."""

import contextlib
import hashlib
import random
import re
import socket
import ssl
import threading
import time

PATIENCE = 15
HEAD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ /[!-~]*(\?[!-~\x80-\xff]*)? HTTP/1\.1\Z")
FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\Z")


class Gone(Exception):
    """The other end closed, reset or said nothing more."""


class Request:
    """One request as it reached an origin. `faults` is what should never have got through a proxy."""

    def __init__(self, head, secret, tokens):
        lines = head.split(b"\r\n")
        self.faults = [] if HEAD.match(lines[0]) else [f"request line {lines[0]!r}"]
        self.method, _, rest = lines[0].partition(b" ")
        self.target = rest.rpartition(b" ")[0].decode("latin-1")
        self.faults += [f"field line {line!r}" for line in lines[1:] if not FIELD.match(line)]
        self.fields = [(name.lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines[1:])]
        for name in (b"host", b"authorization"):
            if len(self.all(name)) != 1:
                self.faults.append(f"{name!r} stands {len(self.all(name))} times")
        if self.all(b"authorization") != [b"Bearer " + secret.encode()]:
            self.faults.append("Authorization is not the secret's")
        if any(token.encode() in head for token in tokens):
            self.faults.append("a session token")
        if len(self.all(b"content-length")) + len(self.all(b"transfer-encoding")) > 1:
            self.faults.append("two framings")
        self.chunked = bool(self.all(b"transfer-encoding"))
        self.length = int((self.all(b"content-length") or [b"0"])[0])

    def all(self, name):
        return [value for key, value in self.fields if key == name]


class Connection:
    def __init__(self, sock, origin):
        self.sock, self.origin, self.buffer = sock, origin, b""
        sock.settimeout(PATIENCE)

    def more(self):
        try:
            data = self.sock.recv(65536)
        except OSError as error:
            raise Gone from error
        if not data:
            raise Gone
        self.buffer += data

    def until(self, mark):
        while mark not in self.buffer:
            self.more()
        found, _, self.buffer = self.buffer.partition(mark)
        return found

    def exactly(self, count):
        while len(self.buffer) < count:
            self.more()
        found, self.buffer = self.buffer[:count], self.buffer[count:]
        return found

    def head(self):
        request = Request(self.until(b"\r\n\r\n"), self.origin.secret, self.origin.tokens)
        for fault in request.faults:
            self.origin.faults.append(f"the {self.origin.name} origin got {fault}")
        return request

    def body(self, request):
        if not request.chunked:
            return self.exactly(request.length)
        found = b""
        while size := int(self.until(b"\r\n"), 16):
            found += self.exactly(size)
            if self.exactly(2) != b"\r\n":
                self.origin.faults.append("a chunk without its end")
        while self.until(b"\r\n"):
            pass
        return found

    def send(self, data):
        try:
            self.sock.sendall(data.encode("latin-1") if isinstance(data, str) else data)
        except OSError as error:
            raise Gone from error

    def reset(self):
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()
        raise Gone


def echo_of(target, body):
    """What the honest origin answers: it belongs to this request and no other."""
    text = f"{target} {hashlib.sha256(body).hexdigest()} ".encode()
    wanted = re.search(r"size=(\d{1,7})\Z", target)
    size = int(wanted.group(1)) if wanted else 0
    return text + hashlib.sha256(text).hexdigest().encode() * (size // 64)


def honest(connection, choose):
    request = connection.head()
    answer = echo_of(request.target, connection.body(request))
    if request.method == b"HEAD":
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    elif choose.random() < 0.5:
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer))
    else:
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while answer:
            size = choose.choice([1, 7, 1000, 20000])
            connection.send(b"%x\r\n%s\r\n" % (len(answer[:size]), answer[:size]))
            answer = answer[size:]
        connection.send("0\r\n\r\n")


OK = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwild\n"
CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
# Sent as they are; then the connection goes on, or ends (see ENDS)
ANSWERS = [
    OK, OK, OK, CHUNKED + "5\r\nwild\n\r\n0\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 3 + OK,
    "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end", "HTTP/1.0 200 OK\r\n\r\nold", "HTTP/1.1 200 OK\r\nX-", "",
    "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhalf", CHUNKED + "5\r\nwi", CHUNKED + "zz\r\n", CHUNKED + "5\r\nwild\n\r\n",
    "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nwild\n", "HTTP/1.1 304 Not Modified\r\n\r\n", OK + OK, OK + "x",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nraw", "HTTP/1.1 100 Continue\r\n\r\n" * 150 + OK,
    "HTTP/1.1 200 OK\r\n" + "X-A: b\r\n" * 500 + "\r\n", "HTTP/1.1 200 OK\r\nX-A: " + "a" * 100000 + "\r\n\r\n",
    "HTTP/1.1 302 Found\r\nLocation: /elsewhere?a=b\r\nContent-Length: 0\r\n\r\n", "\x15\x03\x01\x00\x02\x02\x28",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTrailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwild\n\r\n0\r\nX-T: 1\r\n\r\n",
    "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nno\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n" + "x" * 2000000, CHUNKED + "1\r\nx\r\n" * 3000 + "0\r\n\r\n",
]


def messages(data):
    """The status and body of each whole response in `data`."""
    found = []
    while b"\r\n\r\n" in data:
        head, _, data = data.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        size, body = int(length.group(1)) if length else 0, b""
        if length and len(data) < size:
            break
        if length:
            body, data = data[:size], data[size:]
        else:
            while match := re.match(rb"([0-9A-Fa-f]+)\r\n", data):
                size = int(match.group(1), 16)
                body += data[match.end() : match.end() + size]
                data = data[match.end() + size + 2 :]
                if size == 0:
                    break
        found.append((int(head[9:12]), body))
    return found


def mutate(choose, data):
    """`data` with a few bytes changed, lost, doubled or come from elsewhere."""
    data = bytearray(data.encode("latin-1") if isinstance(data, str) else data)
    for _ in range(choose.randrange(1, 4)):
        at = choose.randrange(len(data) + 1)
        what = choose.randrange(5)
        if what == 0:
            data[at:at] = choose.choice([b"\r", b"\n", b"\0", b" ", b":", b"\r\n", b"\xff", b"0", b",", b"\t", b"\r\n\r\n"])
        elif what == 1:
            del data[at : at + choose.choice([1, 1, 2, 10, 100])]
        elif what == 2:
            data[at:at] = data[at : at + choose.choice([1, 10, 50])]
        elif what == 3 and at < len(data):
            data[at] = choose.randrange(256)
        else:
            data[at:at] = bytes(choose.randrange(256) for _ in range(choose.randrange(20)))
    return bytes(data)


def in_pieces(choose, data, send, wait=0.005):
    """Sends `data` whole or cut at random places."""
    while data and choose.random() < 0.4:
        at = choose.randrange(1, len(data) + 1)
        send(data[:at])
        data = data[at:]
        if choose.random() < 0.3:
            time.sleep(choose.random() * wait)
    if data:
        send(data)


def wild(connection, choose):
    """One request, answered badly or not at all, at any moment of it."""
    if choose.random() < 0.05:
        connection.reset()
    request = connection.head()
    early = choose.random() < 0.15
    if not early:
        connection.body(request)
    answer = choose.choice(ANSWERS).encode("latin-1")
    if len(answer) < 5000 and choose.random() < 0.25:
        answer = mutate(choose, answer)
    in_pieces(choose, answer, connection.send)
    end = choose.random()
    if end < 0.1:
        connection.reset()
    elif end < 0.25:
        raise Gone
    elif end < 0.3:
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nunasked")
    elif end < 0.33:
        connection.until(b"nothing that will come")
    if early:
        connection.body(request)


class Origin:
    """Runs `act` for each request on each connection, in threads of its own."""

    def __init__(self, name, act, seed, secret, tokens, context=None):
        self.name, self.act, self.secret, self.tokens, self.context = name, act, secret, tokens, context
        self.faults, self.count, self.requests = [], 0, 0
        self.choose = random.Random(f"{seed} {name}")
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            choose = random.Random(self.choose.random())
            threading.Thread(target=self.serve, args=(sock, choose), daemon=True).start()

    def serve(self, sock, choose):
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(PATIENCE)
            with self.context.wrap_socket(sock, server_side=True) if self.context else sock as stream:
                connection = Connection(stream, self)
                while True:
                    self.act(connection, choose)
                    self.requests += 1
        except (Gone, OSError, ssl.SSLError):
            pass
        except Exception as error:
            self.faults.append(f"the {self.name} origin: {error!r}")
