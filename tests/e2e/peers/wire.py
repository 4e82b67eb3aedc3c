"""A client and a server that send exactly the bytes they are told to, and say what came."""

import itertools
import re
import socket
import ssl
import threading

from .evidence import EVIDENCE

TIMEOUT = 10.0
TRANSCRIPT = []  # (who, direction, bytes) of the running test; shown where it fails
SHOWN = {byte: f"\\x{byte:02x}" for byte in [*range(32), *range(127, 160)] if chr(byte) not in "\t\r\n"}  # a log is text


def note(who, direction, data):
    TRANSCRIPT.append((who, direction, data))


def show_transcript(limit=6000):
    lines, last = [], None
    for who, direction, data in TRANSCRIPT:
        text = data if isinstance(data, str) else data.decode("latin-1")
        if (who, direction) != last:
            lines.append(f"--- {who} {direction}")
            last = (who, direction)
        lines.append(text if len(text) < 1500 else f"{text[:1500]}… ({len(text)} bytes)")
    whole = "\n".join(lines).translate(SHOWN)
    return whole if len(whole) <= limit else whole[:limit] + "\n…"


class Closed(Exception):
    """The other end closed before the message was complete."""


class Message:
    """One HTTP/1 message: start line, fields in order, body, trailers."""

    def __init__(self, head):
        self.raw_head = head
        lines = head.decode("latin-1").split("\r\n")
        self.line = lines[0]
        self.fields = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:] if line]
        self.body = b""
        self.trailers = []
        self.interim = []
        self.clean = True

    def get(self, name, default=None):
        """The value of one field; it is an error if there are several."""
        found = self.all(name)
        assert len(found) < 2, f"{name} stands {len(found)} times: {found}"
        return found[0] if found else default

    def all(self, name):
        return [value for key, value in self.fields if key.lower() == name.lower()]

    @property
    def status(self):
        return int(self.line.split(" ")[1])

    @property
    def method(self):
        return self.line.split(" ")[0]

    @property
    def target(self):
        return self.line.split(" ")[1]

    @property
    def text(self):
        return self.body.decode()

    def __repr__(self):
        return f"<{self.line!r} {self.fields} body {self.body[:300]!r} trailers {self.trailers}>"


class Stream:
    """Reads and writes on one socket, as HTTP/1 messages or as bytes."""

    def __init__(self, sock, who, evidence=None):
        self.sock = sock
        self.who = who
        self.evidence = evidence
        self.buffer = b""
        self.ended = False
        sock.settimeout(TIMEOUT)

    def send(self, data):
        if isinstance(data, str):
            data = data.encode("latin-1")
        note(self.who, "sent", data)
        self.sock.sendall(data)

    def receive(self):
        """One more piece into the buffer; False at the end."""
        if self.ended:
            return False
        try:
            data = self.sock.recv(65536)
        except ConnectionError as error:
            note(self.who, "got", f"[{error}]")
            data = b""
        if not data:
            note(self.who, "got", "[end]")
            self.ended = True
            return False
        note(self.who, "got", data)
        if self.evidence:
            EVIDENCE.add(self.evidence, data)
        self.buffer += data
        return True

    def until(self, mark):
        """Everything up to and with `mark`."""
        while mark not in self.buffer:
            if not self.receive():
                raise Closed(f"{self.who}: closed before {mark!r}; so far {self.buffer[:500]!r}")
        end = self.buffer.index(mark) + len(mark)
        data, self.buffer = self.buffer[:end], self.buffer[end:]
        return data

    def exactly(self, count):
        while len(self.buffer) < count:
            if not self.receive():
                raise Closed(f"{self.who}: closed after {len(self.buffer)} of {count} bytes")
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def rest(self):
        """Everything until the other end closes."""
        while self.receive():
            pass
        data, self.buffer = self.buffer, b""
        return data

    def head(self):
        return Message(self.until(b"\r\n\r\n")[:-4])

    def chunk(self):
        """The next chunk's data; b"" at the last one."""
        line = self.until(b"\r\n")[:-2]
        assert re.fullmatch(rb"[0-9A-Fa-f]+", line), f"{self.who}: not a chunk size: {line!r}"
        data = self.exactly(int(line, 16))
        if data:
            assert self.exactly(2) == b"\r\n", f"{self.who}: no CRLF behind a chunk"
        return data

    def trailers(self):
        fields = []
        while (line := self.until(b"\r\n")[:-2]) != b"":
            name, value = line.decode("latin-1").split(":", 1)
            fields.append((name.strip(), value.strip()))
        return fields

    def body(self, message, until_close):
        """The body of a message whose head was read."""
        codings = message.all("Transfer-Encoding")
        lengths = message.all("Content-Length")
        assert not (codings and lengths), f"{self.who}: both framings: {message.fields}"
        if codings:
            assert codings == ["chunked"], f"{self.who}: coding {codings}"
            try:
                while data := self.chunk():
                    message.body += data
                message.trailers = self.trailers()
            except Closed:
                message.clean = False
        elif lengths:
            assert len(lengths) == 1, f"{self.who}: lengths {lengths}"
            try:
                message.body = self.exactly(int(lengths[0]))
            except Closed:
                message.body, message.clean = self.buffer, False
        elif until_close:
            message.body = self.rest()
        return message

    def is_open(self, wait=0.2):
        """Is the connection still open, with nothing said, after `wait` seconds?"""
        self.sock.settimeout(wait)
        try:
            return self.receive()
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(TIMEOUT)

    def quiet(self, wait=0.3):
        """Does nothing come within `wait` seconds?"""
        return not self.buffer and self.is_open(wait) and not self.buffer

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def end(self):
        """Half-closes, unless the other end has gone already."""
        try:
            self.half_close()
        except OSError:
            note(self.who, "sent", "[end, too late]")

    def reset(self):
        """Closes with RST."""
        note(self.who, "sent", "[reset]")
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def close(self):
        note(self.who, "sent", "[close]")
        try:
            if hasattr(self.sock, "unwrap"):
                self.sock.unwrap()
        except (OSError, ValueError):
            pass
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()


class Client(Stream):
    """A client of the proxy; `network` has the socket (peers.network), else it is the machine's."""

    def __init__(self, address, who="client", network=socket):
        if isinstance(address, str):
            sock = network.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        else:
            sock = network.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(TIMEOUT)
        sock.connect(address)
        super().__init__(sock, who, evidence="client")

    def response(self, method="GET"):
        """The next final response, whole; 1xx before it are in `.interim`."""
        interim = []
        while True:
            message = self.head()
            if 100 <= message.status < 200 and message.status != 101:
                interim.append(message)
                continue
            message.interim = interim
            bodyless = method == "HEAD" or message.status in (101, 204, 304)
            return message if bodyless else self.body(message, until_close=True)

    def ask(self, data, method="GET"):
        self.send(data)
        return self.response(method)


class Connection(Stream):
    """A server's side of one connection."""

    def request(self):
        """The next request, whole."""
        message = self.head()
        return self.body(message, until_close=False)

    def answer(self, status="200 OK", body=b"ok", *fields):
        if isinstance(body, str):
            body = body.encode()
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields]
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)


class Origin:
    """A server that runs `script(connection)` for each connection, in a thread. What a script raises fails the test."""

    def __init__(self, script=None, context=None, host="127.0.0.1", port=0, network=socket):
        self.script = script or serve_ok
        self.context = context
        self.requests = []
        self.connections = []
        self.errors = []
        self.listener = network.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((host, port))
        self.listener.listen(256)
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        for number in itertools.count():
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=(sock, number), daemon=True).start()

    def serve(self, sock, number):
        try:
            sock.settimeout(TIMEOUT)
            if self.context:
                sock = self.context.wrap_socket(sock, server_side=True)
            connection = Connection(sock, f"origin connection {number}")
            connection.origin, connection.number = self, number  # in the order in which they were accepted
            self.connections.append(connection)
            self.script(connection)
            connection.close()
        except (Closed, TimeoutError, ConnectionError, ssl.SSLError, OSError) as error:
            note("origin", "error", repr(error))
        except Exception as error:  # an assertion of a script
            self.errors.append(error)
            note("origin", "error", repr(error))
            sock.close()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)  # what waits in accept() ends; a close would leave it there
        self.thread.join(TIMEOUT)
        self.listener.close()
        for connection in self.connections:
            try:
                connection.sock.close()
            except OSError:
                pass


def serve_ok(connection):
    """Answers every request with 200, and keeps what came in origin.requests."""
    while True:
        message = connection.request()
        connection.origin.requests.append(message)
        connection.answer()
