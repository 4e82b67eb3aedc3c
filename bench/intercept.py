"""TLS that is ended: proxyd intercepting, against nginx and nghttpx as reverse proxies with the same certificate, header and
origin. The load is C, built here."""
import ssl
import subprocess

import peers
import streams
from peers import Failure, NotInstalled
from turns import Turns

ROUND_MOST = 60  # seconds
POSTED = 'p' * 1024

REQUESTS = {'title': 'ended TLS', 'cpu': 'CPU per request, us', 'speed': 'requests/s'}
HANDSHAKES = {'title': 'handshakes', 'cpu': 'CPU each, us', 'speed': 'handshakes/s'}
# `up`: which of the origin's ports, by what it speaks. nginx goes up by HTTP/1.1 whatever that is.
CASES = [
    {'name': 'h1, 1 KB', 'mode': 'h1', 'path': '/1k', 'connections': 16, 'counts': REQUESTS},
    {'name': 'h1, 1 KB', 'mode': 'h1', 'path': '/1k', 'connections': 64, 'counts': REQUESTS, 'quick': True},
    {'name': 'h1, POST 1 KB', 'mode': 'h1', 'path': '/post', 'connections': 64, 'post': True, 'counts': REQUESTS},
    {'name': 'h1, 100 KB', 'mode': 'h1', 'path': '/100k', 'connections': 64, 'counts': REQUESTS, 'quick': True},
    {'name': 'h2, 1 KB', 'mode': 'h2', 'path': '/1k', 'connections': 16, 'streams': 10, 'counts': REQUESTS, 'quick': True},
    {'name': 'h2, 1 KB', 'mode': 'h2', 'path': '/1k', 'connections': 1, 'streams': 100, 'counts': REQUESTS},
    {'name': 'h2, POST 1 KB', 'mode': 'h2', 'path': '/post', 'connections': 16, 'streams': 10, 'post': True,
        'counts': REQUESTS},
    {'name': 'h2, 100 KB', 'mode': 'h2', 'path': '/100k', 'connections': 16, 'streams': 10, 'counts': REQUESTS, 'quick': True},
    {'name': 'h2-h2, 1 KB', 'mode': 'h2', 'up': 'h2', 'path': '/1k', 'connections': 16, 'streams': 10, 'counts': REQUESTS,
        'quick': True},
    {'name': 'h2-h2, 1 KB', 'mode': 'h2', 'up': 'h2', 'path': '/1k', 'connections': 1, 'streams': 100, 'counts': REQUESTS},
    {'name': 'h2-h2, POST 1 KB', 'mode': 'h2', 'up': 'h2', 'path': '/post', 'connections': 16, 'streams': 10, 'post': True,
        'counts': REQUESTS},
    {'name': 'h2-h2, 100 KB', 'mode': 'h2', 'up': 'h2', 'path': '/100k', 'connections': 16, 'streams': 10,
        'counts': REQUESTS},
    {'name': 'full', 'mode': 'full', 'path': '/1k', 'connections': 16, 'counts': HANDSHAKES, 'quick': True},
    {'name': 'resumed', 'mode': 'resumed', 'path': '/1k', 'connections': 16, 'counts': HANDSHAKES, 'quick': True},
]
ANSWERS = {'/1k': peers.BODY_1K, '/post': peers.BODY_1K, '/100k': peers.BODY_100K}


class Ending:
    """Who ends TLS: for each protocol of the origin a process. Where `authorization` is given, a CONNECT goes ahead."""

    def __init__(self, place, name, proxies, ca='ca.pem', authorization=None):
        self.place, self.name, self.proxies, self.ca = place, name, proxies, place.path(ca)
        self.authorization = authorization
        for up in ('h1', 'h2'):
            place.write(self.head_file(up), self.head(up))

    def authority(self, up):
        return f'localhost:{self.place.names["TLS" if up == "h1" else "TLS_H2"]}'

    def head_file(self, up):
        return f'{self.name}.{up}.head'

    def head(self, up):
        if not self.authorization:
            return ''
        target = self.authority(up)
        return f'CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{peers.proxy_authorization(self.authorization)}\r\n'

    def open(self, up, protocol):
        """A TLS connection, the certificate verified."""
        client = streams.connect(self.proxies[up].port)
        if self.authorization:
            client.sendall(self.head(up).encode())
            answer, _ = streams.read_head(client, f'{self.name}, CONNECT')
            if b' 200' not in answer.split(b'\r\n')[0]:
                raise Failure(f'{self.name}: CONNECT was answered: {answer.decode(errors="replace")}')
        context = ssl.create_default_context(cafile=self.ca)
        context.set_alpn_protocols([protocol])
        return context.wrap_socket(client, server_hostname='localhost')


def sanity(way):
    """HTTP/1.1 byte for byte, and both protocols offered; tls_load compares each answer of HTTP/2."""
    for path, body in ANSWERS.items():
        head = f'GET {path} HTTP/1.1\r\nHost: {way.authority("h1")}\r\nConnection: close\r\n\r\n'
        with way.open('h1', 'http/1.1') as client:
            client.sendall(head.encode())
            answer, data = streams.read_head(client, f'{way.name} {path}')
            while more := client.recv(65536):
                data += more
        if b' 200 ' not in answer.split(b'\r\n')[0] or data != body.encode():
            raise Failure(f'{way.name} {path}: expected the origin\'s {len(body)} bytes, got {answer[:300]!r}, {len(data)} bytes')
    for up in way.proxies:
        with way.open(up, 'h2') as client:
            if client.selected_alpn_protocol() != 'h2':
                raise Failure(f'{way.name} speaks no HTTP/2')


def start_nginx(place, core, name):
    port = peers.free_port()
    place.template('intercept.conf', name + '.conf', {'NAME': name, 'PORT': port})
    child, startup = place.start(name, [peers.find('nginx'), '-p', place.folder, '-c', place.path(name + '.conf')], core, port)
    proxy = peers.Proxy(place, name, child, port, startup, {})
    return Ending(place, name, {'h1': proxy, 'h2': proxy})


def start_nghttpx(place, core, name):
    """One for each protocol of the origin; the other one sleeps."""
    proxies = {}
    for up, protocol, origin in (('h1', 'http/1.1', 'TLS'), ('h2', 'h2', 'TLS_H2')):
        port, which = peers.free_port(), f'{name}-{up}'
        place.template('nghttpx.conf', which + '.conf',
            {'NAME': which, 'PORT': port, 'PROTOCOL': protocol, 'ORIGIN': place.names[origin]})
        child, startup = place.start(which, [peers.find('nghttpx'), '--conf=' + place.path(which + '.conf')], core, port)
        proxies[up] = peers.Proxy(place, which, child, port, startup, {})
    return Ending(place, name, proxies)


def start_proxyd(place, core, name):
    port, envgen = peers.free_port(), peers.program('envgen')
    place.template('intercept.yaml', 'intercept.yaml', {'PORT': port})
    config = place.path('intercept.yaml')
    child, startup = place.start(name, [peers.program('proxyd'), '--config', config], core, port)
    proxy = peers.Proxy(place, name, child, port, startup, {})
    return Ending(place, name, {'h1': proxy, 'h2': proxy}, 'proxyd-ca.pem', peers.proxy_user(place, envgen, config))


class Intercept(Turns):
    def start(self):
        self.load = peers.build(self.place, 'tls_load', 'tls_load_http.c', '-lgnutls', '-lnghttp2')
        self.place.write('nothing', '')
        self.place.write('posted', POSTED)
        for path, body in ANSWERS.items():
            self.place.write('answer' + path.replace('/', '-'), body)
        starts = {'nginx': start_nginx}
        if self.options.subject == 'proxyd':
            starts.update({'proxyd': start_proxyd, 'nghttpx': start_nghttpx})
        else:
            starts['nginx-too'] = start_nginx
        ways = []
        for name, start in starts.items():
            try:
                ways.append(start(self.place, self.proxy_core, name))
            except NotInstalled as missing:
                print(f'{name} is left out: {missing}')
        return ways

    def once(self, way, case, part):
        seconds = self.options.seconds * part
        up = case.get('up', 'h1')
        proxy, what = way.proxies[up], f'{way.name}, {case["name"]} on {case["connections"]} connections'
        words = [self.load, case['mode'], proxy.port, self.place.path(way.head_file(up)), case['connections'],
            case.get('streams', 1), int(seconds * 1000), way.authority(up), case['path'],
            self.place.path('answer' + case['path'].replace('/', '-')), self.place.path('posted' if case.get('post') else 'nothing')]
        with subprocess.Popen([str(word) for word in words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                text=True, preexec_fn=peers.child_setup(self.load_core)) as load:
            try:
                load.stdout.readline()
                before = proxy.cpu_ns()
                load.stdin.write('go\n')
                load.stdin.flush()
                line = load.stdout.readline()
                cpu = proxy.cpu_ns() - before
                load.wait(ROUND_MOST)
            except (subprocess.TimeoutExpired, BrokenPipeError):
                load.kill()
            if load.wait():
                raise Failure(f'{what}: {load.stderr.read().strip()}; {self.place.tail(proxy.name)}')
        count, nanoseconds, p50, p99 = (int(word) for word in line.split())
        if count == 0 and part == 1:
            raise Failure(f'{what}: nothing was answered')
        return {'cpu': cpu / 1000 / max(count, 1), 'speed': count * 1e9 / nanoseconds, 'busy': cpu / nanoseconds, 'p50_us': p50 / 1000,
            'p99_us': p99 / 1000}

    def run(self):
        ways = self.start()
        for way in ways:
            sanity(way)
        print(f'\nTLS is ended, the origin is reached by TLS; ratios to {ways[0].name}; '
            + ', '.join(peers.version(way.name) for way in ways if way.name in ('nginx', 'nghttpx')))
        for case in CASES:
            if self.options.quick and not case.get('quick'):
                continue
            at = f'{case["connections"]}x{case["streams"]}' if 'streams' in case else case['connections']
            self.show(case, at, self.interleave(ways, lambda way, part, case=case: self.once(way, case, part)))
        for proxy in {proxy for way in ways for proxy in way.proxies.values()}:
            proxy.stop()
        return self.rows
