"""The good traffic of bench/soak, at a rate that does not depend on what else goes on, and the servers that it goes to."""
import collections
import contextlib
import hashlib
import http.client
import logging
import random
import signal
import ssl
import threading
import time

import httpx
from origins import echo_of
from peers import evidence
from peers.config import basic
from peers.grants import Known
from peers.token_server import Api, TokenServer
from peers.tunnel import connect
from peers.websocket import PythonServer
from peers.wire import TRANSCRIPT, Client, Origin
from websockets.sync.client import connect as open_websocket

SMALL, BIG = 1000, 1 << 20
EVENTS, EVENT_PAUSE = 10, 0.05
TOKEN_LIFE = 20  # s
RATE = 5         # of a credential that is limited, each second
PATIENCE = 20
BEHIND = 1  # s that one kind makes up for
SECURE_HOST = 'localhost'


# --- the servers ---

def send_events(connection):
    """Server-sent events, with pauses between them."""
    while True:
        connection.request()
        connection.send('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n')
        for number in range(EVENTS):
            event = f'data: {number}\n\n'
            connection.send(f'{len(event):x}\r\n{event}\r\n')
            time.sleep(EVENT_PAUSE)
        connection.send('0\r\n\r\n')


def send_back(connection):
    while connection.receive():
        connection.send(connection.buffer)
        connection.buffer = b''


class Servers:
    """What answers good traffic, but for nginx."""

    def __init__(self):
        self.events, self.echo, self.socket = Origin(send_events), Origin(send_back), PythonServer()
        self.minted = 0
        self.tokens = TokenServer(TOKEN_LIFE)
        self.api = Api(self.tokens.store.find)
        self.client = self.tokens.store.add(Known(evidence.secret('id'), evidence.secret('key'), 'client_secret_basic'))

    def ports(self):
        return {name: getattr(self, name).port for name in ('events', 'echo', 'socket', 'tokens', 'api')}

    def forget(self):
        """What they keep of each request, which tests look at."""
        self.minted += len(self.tokens.requests)
        for kept in (self.tokens.requests, self.api.requests, self.socket.requests):
            del kept[:]
        for origin in (self.events, self.echo):
            origin.connections = [one for one in origin.connections if not one.ended]
        TRANSCRIPT.clear()


# --- the clients ---

class Asker:
    """What all clients know: where proxyd is, and what each credential's token is."""

    def __init__(self, port, tokens, proxy_token, places):
        self.port, self.tokens, self.proxy_token, self.places = port, tokens, proxy_token, places
        self.serial = 0

    def bearer(self, name):
        return {'Authorization': f'Bearer {self.tokens[name]}'}


def check(wanted, what):
    if not wanted:
        raise AssertionError(str(what)[:300])


def look_at(data):
    check(not evidence.find(data), 'a secret came to a client')


class Refused(AssertionError):
    """Another status than was wanted."""

    def __init__(self, status, what):
        super().__init__(str(what)[:300])
        self.status = status


class Kept:
    """An HTTP/1.1 connection that is kept, to proxyd or another port; a request on it is never sent again."""

    def __init__(self, asker, port=None):
        self.asker, self.port, self.http = asker, port or asker.port, None

    def ask(self, name, path, status=200, method='GET', body=None, fields=None):
        self.http = self.http or http.client.HTTPConnection('127.0.0.1', self.port, timeout=PATIENCE)
        try:
            self.http.request(method, f'/{name}{path}', body, self.asker.bearer(name) if fields is None else fields)
            answer = self.http.getresponse()
            data = answer.read()
        except BaseException:
            self.close()
            raise
        look_at(data)
        if answer.status != status:
            raise Refused(answer.status, (name, path, answer.status, data))
        return data

    def close(self):
        if self.http:
            self.http.close()
        self.http = None


class Kind:
    """One kind of good traffic, `rate` times a second. `timed`: how long it takes says how fast proxyd is. What act() returns is its
    name for this once."""
    rate, timed = 1.0, True

    def __init__(self, asker):
        self.asker = asker
        self.kept = Kept(asker)

    def act(self):
        raise NotImplementedError

    def close(self):
        self.kept.close()


class SmallGet(Kind):
    rate = 20

    def act(self):
        check(len(self.kept.ask('good', '/small')) == SMALL, 'a short body')


class Direct(Kind):
    """Without proxyd, from the same server: what machine, client and server take, whatever proxyd does."""
    rate, timed = 10, False

    def __init__(self, asker):
        super().__init__(asker)
        self.kept = Kept(asker, asker.places['plain'])

    def act(self):
        check(len(self.kept.ask('small', '', fields={})) == SMALL, 'a short body')


class BigGet(Kind):
    rate, timed = 2, False

    def act(self):
        check(len(self.kept.ask('good', '/big')) == BIG, 'a short body')


class Upload(Kind):
    rate, timed = 3, False
    chosen = random.Random('upload')

    def act(self):
        self.asker.serial += 1
        path, body = f'/echo/good-{self.asker.serial}', self.chosen.randbytes(random.choice([1000, 60000, 300000]))
        content = body if self.asker.serial % 2 else iter([body[at:at + 20000] for at in range(0, len(body), 20000)])
        check(self.kept.ask('honest', path, method='POST', body=content) == echo_of(path, body), 'another answer')


class Events(Kind):
    rate, timed = 0.5, False

    def act(self):
        data = self.kept.ask('events', '/')
        check(data == b''.join(b'data: %d\n\n' % number for number in range(EVENTS)), data)


class Refusal(Kind):
    rate = 3

    def act(self):
        wrong = {'Authorization': 'Bearer ' + hashlib.sha256(random.randbytes(9)).hexdigest()[:43]}
        self.kept.ask('good', '/small', 401, fields=wrong)
        self.kept.ask('nothing', '/small', 404, fields=self.asker.bearer('good'))


class Minted(Kind):
    """Its token lives for some seconds."""
    rate, timed = 2, False

    def act(self):
        check(self.kept.ask('minted', '/x') == b'ok', 'another answer')


class Commanded(Kind):
    """Its secret is what a command prints, again every few seconds."""
    rate, timed = 2, False

    def act(self):
        check(len(self.kept.ask('commanded', '/small?printed')) == SMALL, 'a short body')


class Rated(Kind):
    """More often than its credential allows."""
    rate, timed = 1.5 * RATE, False

    def act(self):
        try:
            self.kept.ask('rated', '/small')
        except Refused as refusal:
            check(refusal.status == 429, refusal)
            return 'RatedOver'


class WebSocket(Kind):
    rate = 5

    def __init__(self, asker):
        super().__init__(asker)
        self.socket = None

    def act(self):
        if not self.socket:
            url, fields = f'ws://127.0.0.1:{self.asker.port}/socket/', {'X-Key': self.asker.tokens['socket']}
            self.socket = open_websocket(url, additional_headers=fields, open_timeout=PATIENCE, proxy=None)
        self.socket.send('x' * 64)
        check(self.socket.recv(PATIENCE) == 'x' * 64, 'another message')

    def close(self):
        if self.socket:
            self.socket.close()
        self.socket = None


class Http2(Kind):
    """h2c; a connection of its own for each hundred."""
    rate = 10

    def __init__(self, asker):
        super().__init__(asker)
        self.client, self.count = None, 0

    def make(self):
        return httpx.Client(http1=False, http2=True, trust_env=False, timeout=PATIENCE)

    def act(self):
        self.client = self.client or self.make()
        answer = self.client.get(f'http://127.0.0.1:{self.asker.port}/good/small', headers=self.asker.bearer('good'))
        self.judge(answer)

    def judge(self, answer):
        look_at(answer.content)
        check(answer.status_code == 200 and len(answer.content) == SMALL, (answer.status_code, answer.content))
        self.count += 1
        if self.count % 100 == 0:
            self.close()

    def close(self):
        if self.client:
            self.client.close()
        self.client = None


class Intercepted(Http2):
    """TLS that proxyd ends, with HTTP/1.1 in it."""
    rate, http2 = 5, False

    def make(self):
        trust = ssl.create_default_context(cafile=self.asker.places['ca'])
        proxy = f'http://agent:{self.asker.proxy_token}@127.0.0.1:{self.asker.port}'
        return httpx.Client(http1=not self.http2, http2=self.http2, proxy=proxy, verify=trust, trust_env=False, timeout=PATIENCE)

    def act(self):
        self.client = self.client or self.make()
        self.judge(self.client.get(f'https://{SECURE_HOST}:{self.asker.places["secure"]}/small'))


class Intercepted2(Intercepted):
    """The same with HTTP/2."""
    http2 = True


class Tunnel(Kind):
    """A CONNECT for each, and a request of HTTP/1.1 in it."""
    rate, timed = 3, False

    def act(self):
        far = f'127.0.0.1:{self.asker.places["plain"]}'
        with Client(('127.0.0.1', self.asker.port), 'tunnel') as client:
            client.send(connect(far, self.asker.proxy_token))
            check(client.head().status == 200, 'no tunnel')
            answer = client.ask(f'GET /small HTTP/1.1\r\nHost: {far}\r\n\r\n')
            check(answer.status == 200 and len(answer.body) == SMALL, answer)


class Forward(Kind):
    """An allowed host, nothing injected."""
    rate = 3

    def act(self):
        far = f'127.0.0.1:{self.asker.places["plain"]}'
        fields = f'Proxy-Authorization: {basic("agent", self.asker.proxy_token)}\r\nConnection: close\r\n'
        with Client(('127.0.0.1', self.asker.port), 'forward') as client:
            answer = client.ask(f'GET http://{far}/small HTTP/1.1\r\nHost: {far}\r\n{fields}\r\n')
            check(answer.status == 200 and len(answer.body) == SMALL, answer)


KINDS = [SmallGet, Direct, BigGet, Upload, Events, Refusal, Minted, Commanded, Rated, WebSocket,
         Http2, Intercepted, Intercepted2, Tunnel, Forward]


class Traffic:
    """All kinds, each in a thread of its own. `seen`: (when, kind, seconds, None or what went wrong). Seconds count from the moment when it
    was due, so that one that came late because of the one before hides nothing."""

    def __init__(self, asker):
        self.stop, self.seen = threading.Event(), collections.deque()
        self.threads = [threading.Thread(target=self.run, args=(kind(asker),), daemon=True) for kind in KINDS]
        for thread in self.threads:
            thread.start()

    def run(self, kind):
        due = time.monotonic() + random.random()
        while not self.stop.wait(max(0, due - time.monotonic())):
            name, wrong = type(kind).__name__, None
            try:
                name = kind.act() or name
            except Exception as error:
                wrong = f'{type(error).__name__}: {error}'
                with contextlib.suppress(Exception):
                    kind.close()
            now = time.monotonic()
            self.seen.append((due, name, now - due, wrong))
            due = max(due + random.uniform(0.8, 1.2) / kind.rate, now - BEHIND)
        with contextlib.suppress(Exception):
            kind.close()

    def take(self):
        """What was seen since the last call."""
        return [self.seen.popleft() for _ in range(len(self.seen))]

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(PATIENCE + 10)
        return self.take()


def serve_clients(channel):
    """A process: gets an Asker's arguments, tells what was seen whenever it is asked, and at the end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    traffic = Traffic(Asker(*channel.recv()))
    while channel.recv() != 'end':
        TRANSCRIPT.clear()
        channel.send(traffic.take())
    channel.send(traffic.end())


def serve_servers(channel):
    """A process: tells the ports, forgets now and then what came, and tells at the end what failed and how many tokens it gave."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.getLogger('websockets').setLevel(logging.CRITICAL)  # of clients that leave there are many
    servers = Servers()
    channel.send({**servers.ports(), 'id': servers.client.client_id, 'key': servers.client.key})
    while not channel.poll(10) or channel.recv() != 'end':
        servers.forget()
    servers.forget()
    errors = [repr(error) for server in (servers.events, servers.echo, servers.tokens, servers.api) for error in server.errors]
    channel.send((errors, servers.minted))
