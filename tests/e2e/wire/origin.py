"""A raw origin for many rows: it reads with `reading` alone, answers what is whole, and keeps what came by row."""

import contextlib
import re
import socket
import threading

from peers.wire import note

from .reading import Short, Unclear, take_request

MARK = re.compile(rb"/n(\d+)/")


def answer_ok(request):
    return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" if request.line[0] != "HEAD" else b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


class RawOrigin:
    """`requests[n]` are those whose target has the mark of row n; `faults` is what could not be read in one way."""

    def __init__(self, context=None):
        self.context = context
        self.changed = threading.Condition()
        self.requests, self.partial, self.faults = {}, {}, []
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

    def keep(self, store, data, what):
        mark = MARK.search(data)
        with self.changed:
            store.setdefault(int(mark[1]) if mark else -1, []).append(what)
            self.changed.notify_all()

    def serve(self, sock):
        data = b""
        with contextlib.suppress(OSError), self.context.wrap_socket(sock, server_side=True) if self.context else sock as sock:
            while True:
                try:
                    piece = sock.recv(65536)
                except OSError:
                    piece = b""
                if not piece:
                    break
                note("origin", "got", piece)
                data = self.read(sock, data + piece)
                if data is None:
                    return
        if data:
            self.keep(self.partial, data, data)

    def read(self, sock, data):
        """Answers what is whole; what is left. None where it cannot go on."""
        while data:
            try:
                request = take_request(data)
            except Short:
                break
            except Unclear as unclear:
                with self.changed:
                    self.faults.append((str(unclear), data))
                return None
            self.keep(self.requests, data[: request.size], request)
            data = data[request.size :]
            try:
                sock.sendall(answer_ok(request))
            except OSError:
                return None
        return data

    def of(self, number):
        with self.changed:
            return list(self.requests.get(number, ()))

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join(5)
        self.listener.close()
