"""Tunnels: proxyd against haproxy, which passes the same bytes without asking, with other proxies for CONNECT beside it.
The load and the origin are C, built here: they must not be what is measured."""
import os
import shutil
import ssl
import subprocess
import threading

import peers
import streams
from peers import Failure, NotInstalled
from turns import Turns

MIB = 1 << 20
SANITY_SIZE = 8 * MIB
ECHO = 3  # an order to the origin: tunnel.h
COUNT_SIZE = 8
ROUND_MOST = 120  # seconds
# Where a way says nothing that another does not say too.
ABSENT = {'down': ['haproxy-asked'], 'up': ['haproxy-asked'], 'open': ['haproxy-auto'], 'echo': ['haproxy-auto', 'haproxy-asked']}
PEERS = ['haproxy', 'tinyproxy', 'squid']

# What is counted, its unit for CPU and for speed, and how many of what tunnel_load counts one of them is.
BYTES = {'title': 'bytes', 'cpu': 'CPU per GB, ms', 'cpu_scale': 1e-6, 'speed': 'MB/s', 'speed_scale': 1e6, 'each': 1e9,
    'late': False}
TUNNELS = {'title': 'tunnels', 'cpu': 'CPU per tunnel, us', 'cpu_scale': 1e-3, 'speed': 'tunnels/s', 'speed_scale': 1, 'each': 1}
MESSAGES = {'title': 'messages', 'cpu': 'CPU per message, us', 'cpu_scale': 1e-3, 'speed': 'messages/s', 'speed_scale': 1,
    'each': 1}
CASES = [
    {'name': 'download', 'mode': 'down', 'tunnels': 1, 'counts': BYTES},
    {'name': 'download', 'mode': 'down', 'tunnels': 16, 'counts': BYTES},
    {'name': 'upload', 'mode': 'up', 'tunnels': 1, 'counts': BYTES},
    {'name': 'upload', 'mode': 'up', 'tunnels': 16, 'counts': BYTES},
    {'name': 'address', 'mode': 'open', 'tunnels': 1, 'counts': TUNNELS},
    {'name': 'address', 'mode': 'open', 'tunnels': 16, 'counts': TUNNELS},
    {'name': 'address', 'mode': 'open', 'tunnels': 64, 'counts': TUNNELS},
    {'name': 'name, TLS', 'mode': 'open', 'tunnels': 16, 'counts': TUNNELS, 'tls': True},
    {'name': 'echo', 'mode': 'echo', 'tunnels': 1, 'counts': MESSAGES},
    {'name': 'echo', 'mode': 'echo', 'tunnels': 16, 'counts': MESSAGES},
]


class Way:
    """To the origin: through a proxy, or straight. Where `ask` is off a connection is a tunnel; else CONNECT makes it."""

    def __init__(self, place, name, proxy, ask=True, authorization=None):
        self.place, self.name, self.proxy, self.ask = place, name, proxy, ask
        self.port = proxy.port if proxy else place.names['TUNNEL']
        self.authorization = authorization
        for host in ('127.0.0.1', 'localhost'):
            place.write(self.head_file(host), self.head(host, authorization))

    def head_file(self, host):
        return f'{self.name}.{host}.head'

    def head(self, host, authorization):
        if not self.ask:
            return ''
        target = f'{host}:{self.place.names["TUNNEL"]}'
        shown = peers.proxy_authorization(authorization) if authorization else ''
        return f'CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{shown}\r\n'

    def open(self, host, authorization):
        """A tunnel, or what else was answered."""
        client = streams.connect(self.port)
        if self.ask:
            client.sendall(self.head(host, authorization).encode())
            answer, rest = streams.read_head(client, f'{self.name}, CONNECT')
            if b' 200' not in answer.split(b'\r\n')[0] or rest:
                client.close()
                return None, answer.split(b'\r\n')[0].decode(errors='replace')
        return client, None


def client_hello(name):
    """The first record of a TLS client that wants `name`."""
    out = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


def sanity(way, hello):
    """Do the bytes arrive that were sent? Both ways at once, and more than any buffer holds."""
    for host, first in (('127.0.0.1', b''), ('localhost', hello)):
        tunnel, refused = way.open(host, way.authorization)
        if not tunnel:
            raise Failure(f'{way.name}: CONNECT {host} was answered: {refused}')
        sent = os.urandom(SANITY_SIZE)
        try:
            got = echo(tunnel, first, sent)
        except OSError as error:
            raise Failure(f'{way.name}, {host}: an echo did not come back: {error}') from error
        if got != sent:
            at = next((i for i, (a, b) in enumerate(zip(sent, got)) if a != b), len(got))
            raise Failure(f'{way.name}, {host}: the bytes of an echo differ at {at} of {SANITY_SIZE}; {len(got)} came')
    if way.authorization:
        tunnel, refused = way.open('127.0.0.1', None)
        if tunnel or ' 407' not in refused and ' 401' not in refused:
            raise Failure(f'{way.name}: without a password CONNECT was answered: {refused or "200"}; 407 was expected')


def echo(tunnel, first, sent):
    with tunnel:
        tunnel.sendall(first + bytes([ECHO]) + bytes(COUNT_SIZE))
        writer = threading.Thread(target=send_all, args=(tunnel, sent))
        writer.start()
        got = bytearray()
        try:
            while len(got) < len(sent) and (more := tunnel.recv(MIB)):
                got += more
        finally:
            writer.join()
    return got


def send_all(tunnel, data):
    try:
        tunnel.sendall(data)
    except OSError:
        pass  # the reader tells what is missing


def start_haproxy(place, core, name):
    """As `haproxy-auto` it decides for itself whether to splice."""
    port = peers.free_port()
    splice = 'option splice-auto' if name == 'haproxy-auto' else 'option splice-request\n    option splice-response'
    place.template('haproxy.cfg', name + '.cfg', {'PORT': port, 'SPLICE': splice})
    child, startup = place.start(name, [peers.find('haproxy'), '-db', '-f', place.path(name + '.cfg')], core, port)
    return Way(place, name, peers.Proxy(place, name, child, port, startup, {}), ask=False)


def start_tinyproxy(place, core, name):
    port = peers.free_port()
    place.template('tinyproxy.conf', name + '.conf', {'PORT': port})
    child, startup = place.start(name, [peers.find('tinyproxy'), '-d', '-c', place.path(name + '.conf')], core, port)
    return Way(place, name, peers.Proxy(place, name, child, port, startup, {}), authorization='bench:' + place.secret)


def start_squid(place, core, name):
    """It refuses to stay root: where we are root, it starts as the user `proxy` that its package makes, in a folder of its
    own. It is named after the run, since what it leaves in /dev/shm when it is killed would stop the next of its name."""
    port, program = peers.free_port(), peers.find('squid')
    user = 'proxy' if os.geteuid() == 0 else None
    os.makedirs(place.path('squid'))
    place.template('squid.conf', 'squid/squid.conf', {'PORT': port})
    if user:
        os.chmod(place.folder, 0o711)
        for path in ('squid', 'squid/squid.conf'):
            shutil.chown(place.path(path), user)
    words = [program, '-N', '-n', f'bench{os.getpid()}', '-f', place.path('squid/squid.conf')]
    child, startup = place.start(name, words, core, port, user=user)
    return Way(place, name, peers.Proxy(place, name, child, port, startup, {}))


def start_proxyd(place, core, name):
    port, envgen = peers.free_port(), peers.program('envgen')
    place.template('tunnels.yaml', name + '.yaml', {'PORT': port})
    config = place.path(name + '.yaml')
    child, startup = place.start(name, [peers.program('proxyd'), '--config', config], core, port)
    return Way(place, name, peers.Proxy(place, name, child, port, startup, {}),
        authorization=peers.proxy_user(place, envgen, config))


class Tunnels(Turns):
    def __init__(self, options, place):
        super().__init__(options, place)
        self.ways = []

    def start(self):
        """The origin and every proxy that is to be had; the first is the yardstick."""
        self.load = peers.build(self.place, 'tunnel_load')
        self.place.start('tunnel_origin', [peers.build(self.place, 'tunnel_origin'), str(self.place.names['TUNNEL'])], self.load_core,
            self.place.names['TUNNEL'])
        starts = {'haproxy': start_haproxy}
        if self.options.subject == 'proxyd':
            starts.update({'proxyd': start_proxyd, 'haproxy-auto': start_haproxy, 'tinyproxy': start_tinyproxy,
                'squid': start_squid})
        else:
            starts['haproxy-too'] = start_haproxy
        for name, start in starts.items():
            try:
                self.ways.append(start(self.place, self.proxy_core, name))
            except NotInstalled as missing:
                print(f'{name} is left out: {missing}')
        if self.ways and self.ways[0].name == 'haproxy' and self.options.subject == 'proxyd':
            self.ways.insert(1, Way(self.place, 'haproxy-asked', self.ways[0].proxy))
        self.ways.append(Way(self.place, 'direct', None, ask=False))
        return ', '.join(peers.version(way.name) for way in self.ways if way.name in PEERS)

    def once(self, way, case, amount):
        host, hello = ('localhost', 'hello') if case.get('tls') else ('127.0.0.1', 'no-hello')
        words = [self.load, case['mode'], way.port, case['tunnels'], amount, self.place.path(way.head_file(host)),
            self.place.path(hello)]
        before = way.proxy.cpu_ns() if way.proxy else 0
        what = f'{way.name}, {case["name"]} with {case["tunnels"]} tunnels'
        try:
            done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, timeout=ROUND_MOST,
                preexec_fn=peers.child_setup(self.load_core))
        except subprocess.TimeoutExpired as error:
            raise Failure(f'{what}: not done after {ROUND_MOST} s') from error
        cpu = way.proxy.cpu_ns() - before if way.proxy else 0
        if done.returncode:
            raise Failure(f'{what}: {done.stderr.strip()}')
        count, nanoseconds, p50, p99 = (int(word) for word in done.stdout.split())
        counts = case['counts']
        return {'cpu': cpu * counts['cpu_scale'] * counts['each'] / count, 'speed': count * 1e9 / nanoseconds / counts['speed_scale'],
            'busy': cpu / nanoseconds, 'p50_us': p50 / 1000, 'p99_us': p99 / 1000}

    def measure(self, case):
        amount = self.options.seconds * (512 * MIB if case['counts'] is BYTES else 1000)
        ways = [way for way in self.ways if way.name not in ABSENT[case['mode']]]
        return self.interleave(ways, lambda way, part: self.once(way, case, int(amount * part)))

    def run(self):
        versions = self.start()
        hello = client_hello('localhost')
        with open(self.place.path('hello'), 'wb') as out:
            out.write(hello)
        self.place.write('no-hello', '')
        for way in self.ways:
            sanity(way, hello)
        print(f'\ntunnels: what is sent arrives, through each; ratios to {self.ways[0].name}; {versions}')
        for case in CASES:
            self.show(case, case['tunnels'], self.measure(case))
        for proxy in {way.proxy for way in self.ways if way.proxy}:
            proxy.stop()
        return self.rows
