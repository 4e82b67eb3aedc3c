"""Clients of bench/soak that hold on to what they have, or let go of it in the middle, each kind in a thread and bounded in number."""
import contextlib
import random
import select
import socket
import threading
import time

import httpx
from guests import opening
from peers.tunnel import connect
from peers.wire import Client, Closed

HEAD_TIME = 2   # s, proxyd's limit
DRIPPERS, DRIP = 20, 0.4
STUCK, STUCK_TIME = 8, 10
LEAVES = 0.25   # s between two of them
HELLO = bytes.fromhex('1603010200010001fc0303') + bytes(100)  # the beginning of one


class Place:
    """Where proxyd is, and what its clients show."""

    def __init__(self, port, tokens, proxy_token, secure):
        self.port, self.tokens, self.proxy_token, self.secure = port, tokens, proxy_token, secure

    def connect(self, receive=None):
        sock = socket.socket()
        if receive:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        sock.settimeout(10)
        sock.connect(('127.0.0.1', self.port))
        return sock

    def head(self, target, name):
        return f'GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nAuthorization: Bearer {self.tokens[name]}\r\n'.encode()


class Rude(threading.Thread):
    """`faults`: what should not have been. `count`: how many there were."""

    def __init__(self, place):
        super().__init__(daemon=True)
        self.place, self.stop, self.faults, self.count = place, threading.Event(), [], 0

    def run(self):
        while not self.stop.is_set():
            try:
                self.round()
            except Exception as error:
                self.faults.append(f'{type(self).__name__}: {error!r}')
                self.stop.wait(1)
        self.leave()

    def round(self):
        raise NotImplementedError

    def leave(self):
        pass


class Drips(Rude):
    """Heads byte by byte, never whole: proxyd is to end each in time, whatever trickles."""

    def __init__(self, place):
        super().__init__(place)
        self.held = {}  # socket: since when

    def round(self):
        while len(self.held) < DRIPPERS:
            self.held[self.place.connect()] = time.monotonic()
            self.count += 1
        for sock in list(self.held):
            if not self.drips(sock):
                sock.close()
                del self.held[sock]
        self.stop.wait(DRIP)

    def drips(self, sock):
        """One byte more. False once it was ended."""
        held = time.monotonic() - self.held[sock]
        if select.select([sock], [], [], 0)[0]:
            return False
        if held > HEAD_TIME + 3:
            self.faults.append(f'a head that trickles was borne for {held:.1f} s')
            return False
        with contextlib.suppress(OSError):
            sock.send(random.choice([b'G', b'E', b'T', b'a']))
        return True

    def leave(self):
        for sock in self.held:
            sock.close()


class Sticks(Rude):
    """Asks for much and reads nothing of it."""

    def __init__(self, place):
        super().__init__(place)
        self.held = []

    def round(self):
        sock = self.place.connect(4096)
        sock.sendall(self.place.head('/honest/echo?size=3000000', 'honest') + b'\r\n')
        self.held.append(sock)
        self.count += 1
        if len(self.held) > STUCK:
            self.held.pop(0).close()
        self.stop.wait(STUCK_TIME / STUCK)

    def leave(self):
        for sock in self.held:
            sock.close()


class Leaves(Rude):
    """Goes in the middle of something."""

    def round(self):
        with contextlib.suppress(OSError, Closed):
            random.choice([self.handshake, self.events, self.upgrade, self.streams])()
        self.count += 1
        self.stop.wait(LEAVES)

    def tunnel(self):
        client = Client(('127.0.0.1', self.place.port), 'leaves')
        client.send(connect(self.place.secure, self.place.proxy_token))
        client.head()
        return client

    def handshake(self):
        """Of TLS that proxyd ends."""
        with self.tunnel() as client:
            client.send(HELLO[:random.randrange(len(HELLO))])
            if random.random() < 0.5:
                client.reset()

    def events(self):
        with self.place.connect() as sock:
            sock.sendall(self.place.head('/events/', 'events') + b'\r\n')
            sock.recv(1000)

    def upgrade(self):
        client = Client(('127.0.0.1', self.place.port), 'leaves')
        client.send(opening(self.place.port, self.place.tokens['socket']))
        if random.random() < 0.7:
            client.head()
        client.reset()

    def streams(self):
        """Of one HTTP/2 connection: each is reset in the middle of its answer."""
        fields = {'Authorization': f'Bearer {self.place.tokens["honest"]}'}
        with httpx.Client(http1=False, http2=True, trust_env=False, timeout=10) as client:
            for _ in range(3):
                with client.stream('GET', f'http://127.0.0.1:{self.place.port}/honest/echo?size=500000', headers=fields) as answer:
                    next(answer.iter_raw())


KINDS = [Drips, Sticks, Leaves]
