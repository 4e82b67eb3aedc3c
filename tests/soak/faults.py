"""What goes wrong beside the good traffic of bench/soak, at a bounded rate: clients and upstreams of every temper (tests/soak), and
what happens to a machine."""
import contextlib
import ctypes
import os
import pathlib
import random
import signal
import threading
import time

import guests
from clients import Client, World
from origins import Origin, honest, wild
from peers import evidence
from peers.authority import Authority
from peers.config import basic
from peers.names import Names
from peers.wire import TRANSCRIPT
from peers.wire import Client as Wire
from rude import KINDS, Place

DETACH = 2  # MNT_DETACH: whatever is still open there
YIELD = 10  # niceness: they share cores with proxyd and good clients, which would not be so elsewhere
CLIENTS, PAUSE = 3, 0.15  # s between two acts of each
FLAKY = 'flaky.test'
SPOILT = 0.9  # s for which a file is so: proxyd waits half a second before it takes a configuration
ROTATED = 'rotated'
STEPS = [0, 0, 600, 3600, 10800]  # s by which proxyd's clock is ahead, so that it is set forward and back


# --- clients and upstreams ---

class Company:
    """The clients and origins of tests/soak, slowed down."""

    def __init__(self, folder, secrets):
        self.rude = []
        authority = Authority(folder / 'wild-authority')
        self.ca, self.world, self.clients = authority.ca, World('bench', PAUSE), []
        self.origins = {}
        for name, secret in secrets.items():
            context = authority.server_context(name) if name.startswith('tls') else None
            self.origins[name] = Origin(name, honest if name.endswith('honest') else wild, 'bench', secret, (), context)

    def begin(self, port, tokens, proxy_token, secure):
        self.world.port, self.world.tokens = port, tokens
        for origin in self.origins.values():
            origin.tokens = tuple(tokens.values())
        self.clients = [Client(self.world, number) for number in range(CLIENTS)]
        self.rude = [kind(Place(port, tokens, proxy_token, secure)) for kind in KINDS]
        for client in (*self.clients, *self.rude):
            client.start()

    def forget(self):
        """What a run of seconds looks at."""
        del self.world.asked[:]
        TRANSCRIPT.clear()

    def end(self):
        for stop in (self.world.stop, *(one.stop for one in self.rude)):
            stop.set()
        for client in (*self.clients, *self.rude):
            client.join(40)
        for sock in self.world.silent:
            sock.close()

    def deeds(self):
        found = {type(one).__name__.lower(): one.count for one in self.rude}
        for client in self.clients:
            for name, count in client.deeds.items():
                found[name] = found.get(name, 0) + count
        return found

    def faults(self):
        return [fault for one in (*self.clients, *self.rude, *self.origins.values()) for fault in one.faults]


def serve(channel):
    """A process: gets a folder and secrets, tells ports and the CA, gets what begin() takes when clients are to begin, and tells at the
    end what they did and what went wrong."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(YIELD)
    company = Company(*channel.recv())
    channel.send({'ca': str(company.ca), **{name: origin.port for name, origin in company.origins.items()}})
    while True:
        said = channel.recv() if channel.poll(5) else 'forget'
        if said == 'end':
            break
        if said != 'forget':
            company.begin(*said)
        company.forget()
    company.end()
    channel.send((company.deeds(), company.faults()))
    channel.recv()  # its honest origin serves good traffic to the end


# --- the machine ---

class Shelf:
    """A small file system of its own, where the audit file is."""

    SIZE = 64 << 20

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        self.ballast = self.folder / 'ballast'
        self.libc = ctypes.CDLL(None, use_errno=True)
        if self.libc.mount(b'soak', os.fsencode(self.folder), b'tmpfs', 0, b'size=%d,mode=755' % self.SIZE) != 0:
            raise OSError(ctypes.get_errno(), f'cannot mount a tmpfs at {self.folder}')

    def fill(self):
        with open(self.ballast, 'wb', buffering=0) as out:
            try:
                while True:
                    out.write(bytes(65536))
            except OSError:
                pass

    def free(self):
        self.ballast.unlink(missing_ok=True)

    def close(self):
        self.libc.umount2(os.fsencode(self.folder), DETACH)


def replace(path, text):
    """As those do who write secrets: beside it, then a rename."""
    fresh = path.with_name(f'.{path.name}.new')
    fresh.write_text(text)
    fresh.chmod(0o600)
    fresh.rename(path)


class Machine:
    """What an operator, a disk, a clock and a name server do. Each deed has its period in seconds; `done` counts them. `rotated` and
    `sealed` are Values, of a secret in a file and of one in the vault."""

    def __init__(self, proxy, shelf, values, clock_file, ports):
        self.proxy, self.shelf, self.clock_file = proxy, shelf, clock_file
        (self.rotated, self.secret_file), (self.sealed, self.sealed_name) = values
        self.names = Names({FLAKY: '127.0.0.1'})
        self.flaky_port, self.far = ports['plain'], f'127.0.0.1:{ports["echo"]}'
        self.proxy_token = proxy.proxy_token()
        self.guest_tokens = {name: proxy.token(f'TOKEN_{name.upper()}', 'guest') for name in ('good', 'socket')}
        self.guest_tokens['proxy'] = proxy.proxy_token('guest')
        self.secret_lock, self.configuration_lock = threading.Lock(), threading.Lock()
        self.done, self.wrong, self.cut, self.stop, self.choose = {}, [], [], threading.Event(), random.Random('machine')
        self.configuration = proxy.config.read_text()
        self.filled = False
        deeds = [(self.rotates_a_secret, 3), (self.spoils_a_secret, 7), (self.spoils_the_configuration, 10), (self.seals_a_secret, 10),
                 (self.asks_a_flaky_name, 1), (self.name_server_changes, 5),
                 (self.hangs_up, 7), (self.takes_from_guests, 5), (self.disk_fills_or_empties, 8)]
        deeds += [(self.clock_steps, 13)] if clock_file else []
        self.threads = [threading.Thread(target=self.run, args=deed, daemon=True) for deed in deeds]

    def begin(self):
        for thread in self.threads:
            thread.start()

    def run(self, deed, period):
        while not self.stop.wait(period):
            try:
                deed()
                self.done[deed.__name__] = self.done.get(deed.__name__, 0) + 1
            except Exception as error:
                self.wrong.append(f'{deed.__name__}: {error!r}')

    def end(self):
        """All is well again."""
        self.stop.set()
        for thread in self.threads:
            thread.join(30)
        self.filled = False
        self.shelf.free()
        if self.clock_file:
            replace(self.clock_file, '+0\n')
        self.names.addresses[FLAKY] = '127.0.0.1'
        replace(self.proxy.config, self.configuration)

    # --- deeds ---

    def rotates_a_secret(self):
        with self.secret_lock:
            self.rotated.change(evidence.secret(ROTATED), lambda value: replace(self.secret_file, value + '\n'))

    def spoils_a_secret(self):
        """It is gone, empty or broken for a moment: the last good value stays."""
        with self.secret_lock:
            spoil = self.choose.choice([None, '', '\n', '<no value>', 'two\nlines\n', '\0'])
            if spoil is None:
                self.secret_file.unlink()
            else:
                replace(self.secret_file, spoil)
            self.stop.wait(SPOILT)
            replace(self.secret_file, self.rotated.current)

    def spoils_the_configuration(self):
        with self.configuration_lock:
            replace(self.proxy.config, self.choose.choice([self.configuration[:-20], self.configuration + 'nonsense: [\n', '']))
            self.stop.wait(SPOILT)
            replace(self.proxy.config, self.configuration)

    def seals_a_secret(self):
        with self.configuration_lock:  # creds reads it too
            self.sealed.change(evidence.secret(self.sealed_name), lambda value: self.proxy.creds('set', self.sealed_name, input=value))

    def hangs_up(self):
        self.proxy.process.send_signal(signal.SIGHUP)

    def takes_from_guests(self):
        """A configuration that takes something from a guest, and then the one of before, with a remark."""
        name, changed, ends, status = guests.CHANGES[self.done.get('takes_from_guests', 0) % len(guests.CHANGES)]
        line = guests.profile(self.far)
        fresh = self.configuration.replace(line, guests.profile(self.far, **changed) if changed else '')
        with self.configuration_lock, contextlib.closing(guests.arrives(self.proxy.port, self.guest_tokens, self.far)) as guest:
            try:
                replace(self.proxy.config, fresh)
                self.cut.append((guest.watch(ends, status), name))
            finally:
                replace(self.proxy.config, f'{self.configuration}# {time.time()}\n')

    def disk_fills_or_empties(self):
        self.filled = not self.filled
        if self.filled:
            self.shelf.fill()
        else:
            self.shelf.free()

    def clock_steps(self):
        replace(self.clock_file, f'+{self.choose.choice(STEPS)}\n')

    def name_server_changes(self):
        """It knows the name, knows it not, or is silent."""
        how = self.choose.choice(['known', 'unknown', 'silent'])
        if how == 'silent':
            self.names.addresses.pop(FLAKY, None)
        else:
            self.names.addresses[FLAKY] = '127.0.0.1' if how == 'known' else None

    def asks_a_flaky_name(self):
        far = f'{FLAKY}:{self.flaky_port}'
        fields = f'Host: {far}\r\nProxy-Authorization: {basic("agent", self.proxy_token)}\r\nConnection: close\r\n'
        with Wire(('127.0.0.1', self.proxy.port), 'flaky') as client:
            client.sock.settimeout(30)
            answer = client.ask(f'GET http://{far}/small HTTP/1.1\r\n{fields}\r\n')
            if answer.status not in (200, 502, 504):
                raise AssertionError(answer)
