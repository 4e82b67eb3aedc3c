"""Messages there and back behind a 101: one thread is client and origin at once, and neither looks into what passes."""
import os
import selectors
import socket
import time

import streams
from peers import Failure

PATH = '/stream/upgrade'
ASKS = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n'
SWITCH = (b'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n'
    b'Sec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\n\r\n')


class Echo:
    """One upgraded connection: the client's end, and the origin's, which sends back what comes."""

    def __init__(self, place, listener, proxy, size):
        self.message, self.came, self.sent = frame(size), 0, 0
        self.client = streams.connect(proxy.port)
        self.client.sendall(streams.request_head(proxy, PATH, extra=ASKS))
        self.origin, _ = listener.accept()
        self.origin.settimeout(10)
        self.origin.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head, _ = streams.read_head(self.origin, f'{proxy.name} to the origin')
        if f'Bearer {place.secret}'.encode() not in head or b'websocket' not in head:
            raise Failure(f'{proxy.name}: an upgrade reached the origin without the secret, or without its field: {head!r}')
        self.origin.sendall(SWITCH)
        head, _ = streams.read_head(self.client, f'the client of {proxy.name}')
        if not head.startswith(b'HTTP/1.1 101 '):
            raise Failure(f'{proxy.name}: 101 was expected, got {head[:200]!r}')

    def ask(self):
        self.came, self.sent = 0, time.monotonic_ns()
        self.client.sendall(self.message)

    def answer(self):
        data = self.origin.recv(65536)
        self.origin.sendall(data)
        return data

    def take(self):
        """Microseconds that the message took, once it is back; None until then."""
        data = self.client.recv(65536)
        if data != self.message[self.came:self.came + len(data)] or not data:
            raise Failure('a message came back changed, or not at all')
        self.came += len(data)
        return (time.monotonic_ns() - self.sent) / 1000 if self.came == len(self.message) else None

    def close(self):
        self.client.close()
        self.origin.close()


def frame(size):
    """A binary frame of a client (RFC 6455 5.2), masked."""
    length = bytes([0x80 | size]) if size < 126 else b'\xfe' + size.to_bytes(2, 'big')
    return b'\x82' + length + os.urandom(4 + size)


def echo(place, listener, proxy, case, seconds):
    """Microseconds of the proxy's CPU per message, messages/s, delays. The connections are open when it begins."""
    pairs = [Echo(place, listener, proxy, case['size']) for _ in range(case['connections'])]
    poll = selectors.DefaultSelector()
    for pair in pairs:
        poll.register(pair.client, selectors.EVENT_READ, (pair, pair.take))
        poll.register(pair.origin, selectors.EVENT_READ, (pair, pair.answer))
    delays = []
    before, began = proxy.cpu_ns(), time.monotonic()
    for pair in pairs:
        pair.ask()
    while time.monotonic() - began < seconds:
        for key, _ in poll.select(5) or [(None, None)]:
            if key is None:
                raise Failure(f'{proxy.name}: no message came back for five seconds')
            pair, act = key.data
            result = act()
            if act == pair.take and result is not None:
                delays.append(result)
                pair.ask()
    cpu, took = proxy.cpu_ns() - before, time.monotonic() - began
    poll.close()
    for pair in pairs:
        pair.close()
    delays.sort()
    return {'cpu_us': cpu / 1000 / len(delays), 'requests_s': len(delays) / took, 'p50_us': delays[len(delays) // 2],
        'p99_us': delays[int(len(delays) * 0.99)], 'requests': len(delays)}
