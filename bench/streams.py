"""Streams and connections that wait: what wrk cannot measure. One thread is client and origin at once, so that a moment
written by the one and read by the other is of the same clock."""
import gc
import os
import re
import selectors
import socket
import time

from peers import Failure

EVENT = re.compile(rb'data: (\d+)\n')


def listen(place):
    origin = socket.create_server(('127.0.0.1', place.names['STREAM']), backlog=1024)
    origin.settimeout(10)
    return origin


def request_head(proxy, path, method='GET', extra=''):
    return (f'{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{proxy.port}\r\n'
        f'Authorization: {proxy.authorization(path)}\r\n{extra}\r\n').encode()


def connect(port, receive_buffer=0):
    client = socket.socket()
    if receive_buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.settimeout(10)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.connect(('127.0.0.1', port))
    return client


def read_head(peer, what):
    """Up to the empty line; what is behind it is returned too."""
    data = b''
    while b'\r\n\r\n' not in data:
        more = peer.recv(65536)
        if not more:
            raise Failure(f'{what}: the connection ended within the head: {data[:200]!r}')
        data += more
    head, _, rest = data.partition(b'\r\n\r\n')
    return head, rest


def exchange(proxy, path, method='GET', body=b''):
    """One request on a connection of its own: status, body."""
    with connect(proxy.port) as client:
        extra = 'Connection: close\r\n' + (f'Content-Length: {len(body)}\r\n' if body else '')
        client.sendall(request_head(proxy, path, method, extra) + body)
        head, data = read_head(client, f'{proxy.name} {path}')
        while more := client.recv(65536):
            data += more
    return int(head.split()[1]), data


def echo(place, listener, proxy, size):
    """A body through the proxy to an origin that keeps it: is it the same there, with the secret beside it?"""
    body = os.urandom(size)
    with connect(proxy.port) as client:
        client.sendall(request_head(proxy, '/stream/echo', 'POST', f'Content-Length: {size}\r\n') + body)
        origin, _ = listener.accept()
        with origin:
            origin.settimeout(10)
            head, data = read_head(origin, f'{proxy.name} to the origin')
            while len(data) < size:
                data += origin.recv(65536)
            origin.sendall(b'HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n')
        answer, _ = read_head(client, f'{proxy.name} /stream/echo')
    if f'Bearer {place.secret}'.encode() not in head:
        raise Failure(f'{proxy.name}: the secret did not reach the origin with a POST')
    if data != body or b' 204' not in answer:
        raise Failure(f'{proxy.name}: a POST of {size} bytes arrived changed, or its answer did: {answer[:80]!r}')


class Stream:
    """One event stream: the client's end and the origin's."""

    def __init__(self, listener, connection, head):
        self.client = connection
        self.client.sendall(head)
        self.origin, _ = listener.accept()
        self.origin.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.origin.settimeout(10)
        read_head(self.origin, 'the origin of streams')
        self.origin.sendall(b'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n'
            b'Transfer-Encoding: chunked\r\n\r\n')
        read_head(self.client, 'the client of streams')
        self.client.setblocking(False)

    def emit(self):
        event = b'data: %d\n\n' % time.monotonic_ns()
        self.origin.sendall(b'%x\r\n%s\r\n' % (len(event), event))

    def close(self):
        self.client.close()
        self.origin.close()


def event_delays(listener, proxy, count, seconds, rate):
    """Delays in microseconds of the events of `count` streams, `rate` a second each, evenly spread over time.
    Without a proxy: straight from origin to client, the floor of the method itself."""
    port = proxy.port if proxy else listener.getsockname()[1]
    head = request_head(proxy, '/stream/events') if proxy else b'GET / HTTP/1.1\r\nHost: x\r\n\r\n'
    streams = [Stream(listener, connect(port), head) for _ in range(count)]
    poll = selectors.DefaultSelector()
    for stream in streams:
        poll.register(stream.client, selectors.EVENT_READ)
    delays, sent, gap = [], 0, 1 / (rate * count)
    gc.disable()
    began = time.monotonic()
    total = int(seconds / gap)
    while len(delays) < total:
        now = time.monotonic()
        if now - began > seconds + 5:
            raise Failure(f'{proxy.name if proxy else "direct"}: {total - len(delays)} of {total} events never came')
        if sent < total and now >= began + sent * gap:
            streams[sent % count].emit()
            sent += 1
        due = began + sent * gap if sent < total else now + 1
        for key, _ in poll.select(max(0, due - time.monotonic())):
            data = key.fileobj.recv(65536)
            arrived = time.monotonic_ns()
            delays += [(arrived - int(moment)) / 1000 for moment in EVENT.findall(data)]
            if not data:
                raise Failure(f'{proxy.name if proxy else "direct"}: an event stream ended early')
    gc.enable()
    poll.close()
    for stream in streams:
        stream.close()
    return delays


def idle_connections(proxy, count):
    """Connections that have had one answer and wait. The caller closes them."""
    connections = []
    for _ in range(count):
        client = connect(proxy.port)
        client.sendall(request_head(proxy, '/plain/1k'))
        head, data = read_head(client, f'{proxy.name} /plain/1k')
        length = int(re.search(rb'(?i)content-length: *(\d+)', head)[1])
        while len(data) < length:
            data += client.recv(65536)
        connections.append(client)
    return connections


def slow_streams(proxy, count):
    """Long answers that nobody reads beyond the head."""
    connections = []
    for _ in range(count):
        client = connect(proxy.port, receive_buffer=4096)
        client.sendall(request_head(proxy, '/slow/huge'))
        if b' 200' not in client.recv(64):
            raise Failure(f'{proxy.name}: /slow/huge was not answered with 200')
        connections.append(client)
    return connections
