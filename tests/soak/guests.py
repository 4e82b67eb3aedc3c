"""Who is cut off when a reload takes away what they use (SPEC 11), and who is not."""
import os
import time

from peers.tunnel import connect
from peers.wire import Client, Closed

WITHIN = 2.5  # s from the file's change: 500 ms of quiet, a second, and what a busy machine takes
MASK = bytes(4)  # a client's frames are masked (RFC 6455 5.3), by zeros too
PROFILE = '  guest: {{ token_version: {version}, hosts: [{hosts}], credentials: [{credentials}] }}\n'

# what is changed, what of a guest's ends by it, and the status of a kept connection's next request
CHANGES = [
    ('token_version', {'version': 2}, {'tunnel', 'socket'}, 401),
    ('hosts', {'hosts': ''}, {'tunnel'}, 200),
    ('credentials', {'credentials': 'good'}, {'socket'}, 200),
    ('profile', None, {'tunnel', 'socket'}, 401),
]


def profile(far, **changed):
    """The line of the guests' profile; `far` is the authority of a server that sends back what it gets."""
    return PROFILE.format(**{'version': 1, 'hosts': f'"{far}"', 'credentials': 'good, socket', **changed})


def opening(port, token):
    """The head that asks for a WebSocket of credential `socket` (RFC 6455 4.1)."""
    fields = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==']
    return '\r\n'.join(['GET /socket/ HTTP/1.1', f'Host: 127.0.0.1:{port}', f'X-Key: {token}', *fields, '', ''])


def has_ended(client):
    """Without waiting: did the other end close?"""
    client.sock.settimeout(0.02)
    try:
        return not client.receive()
    except TimeoutError:
        return False


class Guest:
    """A tunnel, a WebSocket and a kept connection of profile `guest`, all in use. `tokens`: by credential, and `proxy`."""

    def __init__(self, port, tokens, far):
        self.tokens = tokens
        self.tunnel, self.socket, self.kept = (Client(('127.0.0.1', port), f'guest {what}') for what in ('tunnel', 'socket', 'kept'))
        self.tunnel.send(connect(far, tokens['proxy']))
        self.expect(self.tunnel.head().status, 200, 'its tunnel')
        self.socket.send(opening(port, tokens['socket']))
        self.expect(self.socket.head().status, 101, 'its WebSocket')
        self.expect(self.status(), 200, 'its request')
        self.use({'tunnel', 'socket'})

    def expect(self, came, wanted, what):
        if came != wanted:
            raise AssertionError(f'a guest: {what} got {came}, not {wanted}')

    def status(self):
        return self.kept.ask(f'GET /good/small HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {self.tokens["good"]}\r\n\r\n').status

    def use(self, what):
        """There and back."""
        words = os.urandom(8)
        for name, sent, came in [('tunnel', b'\0' + words, b'\0' + words), ('socket', b'\x82\x88' + MASK + words, b'\x82\x08' + words)]:
            if name in what:
                client = getattr(self, name)
                client.sock.settimeout(10)
                client.send(sent)
                self.expect(client.exactly(len(came)), came, f'its {name}')

    def watch(self, ends, status):
        """How long it took until what is to end did, and a request is judged anew; the rest goes on. Raises where that takes too long."""
        began, left, judged = time.monotonic(), {name: getattr(self, name) for name in ends}, False
        while left or not judged:
            left = {name: client for name, client in left.items() if not has_ended(client)}
            judged = judged or self.status() == status
            if time.monotonic() - began > 2 * WITHIN:
                what = ', '.join(left) or 'a request that is judged as before'
                raise AssertionError(f'a guest still has {what} {2 * WITHIN} s after the change')
        took = time.monotonic() - began
        self.expect(self.status(), status, 'its next request')
        self.use({'tunnel', 'socket'} - ends)
        return took

    def close(self):
        for client in (self.tunnel, self.socket, self.kept):
            client.sock.close()


def arrives(port, tokens, far, patience=WITHIN):
    """A guest, as soon as the profile is there again."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return Guest(port, tokens, far)
        except (AssertionError, Closed, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
