"""Good traffic beside floods of HTTP/2: what hostile clients cost the others. The floods are those of the end-to-end tests."""
import os
import selectors
import socket
import subprocess
import sys
import time

import peers
import streams
from peers import Failure

sys.path.insert(0, os.path.join(os.path.dirname(peers.HERE), 'tests', 'e2e'))
from wire import h2_floods  # noqa: E402


class Churn:
    """The yardstick: what connections cost that come and go without any HTTP/2, each refused with 401."""

    name, path = 'HTTP/1.1: no token, and gone', 'small'

    def bytes(self, fields, size):
        return b'GET /plain/1k HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n'


FLOODS = [Churn(), *h2_floods.FLOODS]

RATE = 200         # good requests a second
IDLE = 40          # connections that they have
HOSTILE = 8        # connections at a time; one that is cut is followed by the next at once
BYTES = 1 << 16    # of a flood, for each of them: more would load nothing but this machine's loopback
LARGE = {'SETTINGS, many values', 'padding', 'unknown frames', 'small unknown frames', 'CONTINUATION'}  # it takes more to be cut
UNREAD = {'answers that are not read'}
PATHS = {'small': '/plain/1k', 'big': '/slow/huge', 'early': '/none/x', 'sink': '/plain/post'}


def percentile(values, part):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def good(proxy, seconds):
    """Microseconds from when each request was due to the end of its answer; one that is late keeps no other waiting."""
    request, body = streams.request_head(proxy, '/plain/1k'), peers.BODY_1K.encode()
    delays, began, sent, total = [], time.monotonic(), 0, int(seconds * RATE)
    poll, free, due, came = selectors.DefaultSelector(), [streams.connect(proxy.port) for _ in range(IDLE)], {}, {}
    for client in free:
        poll.register(client, selectors.EVENT_READ)
    while len(delays) < total:
        now, next_due = time.monotonic(), began + sent / RATE
        if now - began > seconds + 20:
            raise Failure(f'{proxy.name}: {total - len(delays)} of {total} good requests had no answer')
        if sent < total and now >= next_due and free:
            client = free.pop()
            due[client], came[client] = next_due, b''
            client.sendall(request)
            sent += 1
            continue
        for key, _ in poll.select(max(0, next_due - now) if sent < total and free else 1):
            client = key.fileobj
            data = client.recv(65536)
            came[client] += data
            if not data:
                raise Failure(f'{proxy.name}: good traffic was cut')
            if came[client].endswith(body):
                delays.append((time.monotonic() - due[client]) * 1e6)
                free.append(client)
    poll.close()
    for client in free:
        client.close()
    return delays


class Attack:
    """A process of its own (`floods.py NUMBER PORT PATH`), niced: what good traffic needs of their core goes first."""

    def __init__(self, proxy, number, core):
        path = PATHS[FLOODS[number].path]
        self.child = subprocess.Popen(
            [sys.executable, __file__, str(number), str(proxy.port), path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            preexec_fn=peers.child_setup(core))
        self.child.stdin.write(proxy.authorization(path) + '\n')
        self.child.stdin.flush()
        if self.child.stdout.readline() != 'ready\n':
            raise Failure(f'the attacker of {FLOODS[number].name} did not start')

    def end(self):
        """How many of its connections were cut."""
        out, _ = self.child.communicate('end\n')
        if self.child.returncode:
            raise Failure('the attacker ended early')
        return int(out)


class Hostile:
    """One connection after the other that sends a flood."""

    def __init__(self, poll, port, flood, reads):
        self.poll, self.port, self.flood, self.reads, self.cut = poll, port, flood, reads, 0
        self.open()

    def open(self):
        self.sock, self.sent = socket.create_connection(('127.0.0.1', self.port), 5), 0
        self.sock.setblocking(False)
        self.poll.register(self.sock, self.reads | selectors.EVENT_WRITE, self)

    def step(self, events):
        try:
            if events & selectors.EVENT_WRITE:
                self.sent += self.sock.send(memoryview(self.flood)[self.sent:self.sent + 65536])
            if events & selectors.EVENT_READ and not self.sock.recv(65536):
                raise ConnectionError
            if self.sent == len(self.flood):
                self.poll.modify(self.sock, self.reads, self) if self.reads else self.poll.unregister(self.sock)
        except BlockingIOError:
            pass
        except ConnectionError:
            self.cut += 1
            self.poll.unregister(self.sock)
            self.sock.close()
            self.open()


def attack(number, port, path):
    """Until a line comes; then it says how often it was cut."""
    authorization = sys.stdin.readline().strip()
    fields = [(':method', 'GET'), (':scheme', 'http'), (':path', path), (':authority', f'127.0.0.1:{port}'), ('authorization', authorization)]
    flood = FLOODS[number].bytes(fields, BYTES * (16 if FLOODS[number].name in LARGE else 1))
    poll = selectors.DefaultSelector()
    poll.register(sys.stdin, selectors.EVENT_READ)
    os.nice(15)
    reads = 0 if FLOODS[number].name in UNREAD else selectors.EVENT_READ
    hostile = [Hostile(poll, port, flood, reads) for _ in range(HOSTILE)]
    print('ready', flush=True)
    while True:
        for key, events in poll.select(1):
            if not key.data:
                print(sum(one.cut for one in hostile))
                return
            key.data.step(events)


class Floods:
    def __init__(self, options, place):
        self.options, self.place = options, place
        self.proxy_core, self.load_core = options.cores

    def run(self):
        """A fresh proxyd for each, quiet and flooded in turns. What the floods ask for has an origin of its own, niced as they are."""
        peers.start_slow_origin(self.place, self.load_core)
        print(f'\n{"good traffic beside a flood":44}{"p50, us":>16}{"p99, us":>16}\n'
            f'{f"{HOSTILE} connections of each; {RATE} good requests/s":44}'
            + f'{"quiet":>8}{"flooded":>8}' * 2 + f'{"ratio":>7}{"busy":>6}{"cut/s":>8}{"MiB":>6}')
        return [self.measure(number) for number in range(len(FLOODS))]

    def measure(self, number):
        proxy = peers.start_proxyd(self.place, self.proxy_core)
        good(proxy, 0.5)
        before, quiet, flooded, cut, cpu = proxy.rss_kib(), [], [], 0, 0
        for _ in range(self.options.rounds):
            quiet += good(proxy, self.options.seconds)
            attacker = Attack(proxy, number, self.load_core)
            cpu -= proxy.cpu_ns()
            flooded += good(proxy, self.options.seconds)
            cpu += proxy.cpu_ns()
            cut += attacker.end()
        seconds = self.options.rounds * self.options.seconds
        row = {'flood': FLOODS[number].name, 'p50_us': [percentile(one, 0.5) for one in (quiet, flooded)],
            'p99_us': [percentile(one, 0.99) for one in (quiet, flooded)], 'cut_s': cut / seconds,
            'busy': cpu / 1e9 / seconds, 'grown_kib': proxy.peak_kib() - before}
        row['ratio'] = row['p99_us'][1] / row['p99_us'][0]
        print(f'{row["flood"]:44}' + ''.join(f'{us:>8.0f}' for us in row['p50_us'] + row['p99_us'])
            + f'{row["ratio"]:>7.2f}{row["busy"]:>6.0%}{row["cut_s"]:>8.0f}{row["grown_kib"] / 1024:>6.1f}', flush=True)
        proxy.stop()
        return row


if __name__ == '__main__':
    attack(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
