"""The processes of a measurement: nginx as origin, nginx and proxyd as proxies, each on its core, each ended with us.
Those that pass tunnels are in tunnels.py."""
import base64
import ctypes
import os
import random
import re
import secrets
import signal
import socket
import subprocess
import time
from urllib.parse import urlsplit

HERE = os.path.dirname(os.path.abspath(__file__))
BODY_1K = '{"text":"' + 'k' * (1024 - 11) + '"}'
SIZE_100K = 100 * 1024
# Text, as a search for a secret meets it: no byte as every other one.
RECORD = '{"id":"req-%08x","model":"large-2026","object":"chat.completion","usage":{"input_tokens":%d},"text":"It depends."},\n'
BODY_100K = ''.join(RECORD % (number * 2654435761 % 2 ** 32, number) for number in range(1000))[:SIZE_100K]
PACKAGES = {'nginx': 'nginx-light', 'cc': 'gcc libc6-dev', 'nghttpx': 'nghttp2-proxy'}  # where the name is another
FLAGS = ['-O2', '-std=gnu17', '-Wall', '-Wextra']
SIZE_HUGE = 64 * 1024 * 1024


class Failure(Exception):
    """What stops a measurement: told in one line."""


class NotInstalled(Failure):
    """A program that the measurement can perhaps do without."""


def free_port():
    """A port that nobody has, below the range from which the kernel takes the ports of outgoing connections."""
    for _ in range(200):
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(('127.0.0.1', port))
                return port
            except OSError:
                continue
    raise Failure('no free port between 20000 and 32000')


def child_setup(cores):
    """For a child: on its core, or its set of them, and gone when we are."""
    parent = os.getpid()
    prctl = ctypes.CDLL(None).prctl

    def setup():
        prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(1)
        os.sched_setaffinity(0, cores if isinstance(cores, set) else {cores})
    return setup


class Workplace:
    """A folder in /tmp with everything that one run needs, and the processes that were started in it."""

    def __init__(self, folder):
        self.folder = folder
        self.secret = 'sk-bench-' + secrets.token_hex(24)
        self.children = []
        # The workers of nginx are root as we are, or who we are: they read the folder either way.
        self.names = {'FOLDER': folder, 'USER': 'user root;' if os.geteuid() == 0 else '', 'SECRET': self.secret, 'BODY': BODY_1K,
            'BASIC': base64.b64encode(f'bench:{self.secret}'.encode()).decode(),
            'PLAIN': free_port(), 'TLS': free_port(), 'TLS_H2': free_port(), 'STREAM': free_port(), 'TUNNEL': free_port()}
        self.names['SLOW'] = self.names['PLAIN']
        os.makedirs(self.path('tmp'))
        os.makedirs(self.path('files'))
        self.write('secret', self.secret)
        self.write('files/100k', BODY_100K)
        with open(self.path('files/huge'), 'wb') as huge:
            huge.truncate(SIZE_HUGE)
        self.certificates()

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), 'w', encoding='utf-8') as out:
            out.write(text)
        os.chmod(self.path(name), 0o600)

    def template(self, source, target, names):
        with open(os.path.join(HERE, source), encoding='utf-8') as file:
            text = file.read()
        for name, value in {**self.names, **names}.items():
            text = text.replace(f'@{name}@', str(value))
        self.write(target, text)

    def certificates(self):
        """A CA, a leaf for localhost and 127.0.0.1, and both in one file, as proxies show them that end TLS."""
        def openssl(*words):
            done = subprocess.run(['openssl', *words], cwd=self.folder, capture_output=True, text=True, check=False)
            if done.returncode:
                raise Failure(f'openssl {words[0]}: {done.stderr.strip()}')
        curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
        openssl('req', '-x509', *curve, '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '2', '-subj', '/CN=bench CA',
            '-addext', 'keyUsage=critical,keyCertSign')
        openssl('req', *curve, '-keyout', 'origin.key', '-out', 'origin.csr', '-subj', '/CN=localhost')
        self.write('leaf.ext', 'subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n')
        openssl('x509', '-req', '-in', 'origin.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2',
            '-extfile', 'leaf.ext', '-out', 'origin.pem')
        with open(self.path('origin.pem'), encoding='ascii') as leaf, open(self.path('ca.pem'), encoding='ascii') as ca:
            self.write('chain.pem', leaf.read() + ca.read())

    def start(self, name, words, core, port, user=None):
        """Starts a process and waits until its port accepts. Returns the process and the seconds that it took."""
        log = open(self.path(name + '.log'), 'wb')
        began = time.monotonic()
        environment = {**os.environ, 'XDG_STATE_HOME': self.path('state')}
        child = subprocess.Popen(words, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env=environment, user=user, preexec_fn=child_setup(core))
        log.close()
        self.children.append(child)
        while time.monotonic() - began < 20:
            if child.poll() is not None:
                raise Failure(f'{name} ended at once, exit {child.returncode}: {self.tail(name)}')
            try:
                socket.create_connection(('127.0.0.1', port), 1).close()
                return child, time.monotonic() - began
            except OSError:
                time.sleep(0.005)
        raise Failure(f'{name} does not accept on 127.0.0.1:{port} after 20 s: {self.tail(name)}')

    def tail(self, name):
        lines = []
        for suffix in ('.log', '.error.log'):
            try:
                with open(self.path(name + suffix), encoding='utf-8', errors='replace') as file:
                    lines += file.read().strip().splitlines()[-5:]
            except OSError:
                pass
        return ' | '.join(lines) or 'it said nothing'

    def stop(self, child):
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(3)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self.children.remove(child)

    def stop_all(self):
        for child in list(self.children):
            self.stop(child)


def process_tree(pid):
    """The process and everything below it."""
    found = [pid]
    for parent in found:
        for task in os.listdir(f'/proc/{parent}/task'):
            with open(f'/proc/{parent}/task/{task}/children', encoding='ascii') as file:
                found += [int(child) for child in file.read().split()]
    return found


def cpu_clock(pid):
    clock = ctypes.c_int()
    error = ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock))
    if error:
        raise Failure(f'no CPU clock of process {pid}: {os.strerror(error)}')
    return clock.value


class Proxy:
    """One of those under measurement."""

    def __init__(self, place, name, child, port, startup, headers):
        self.place, self.name, self.child, self.port, self.startup = place, name, child, port, startup
        self.headers = headers  # per first segment of the path: the Authorization that the client sends

    @property
    def pids(self):
        """Looked up each time: nginx accepts before its worker is there."""
        return process_tree(self.child.pid)

    def authorization(self, path):
        return self.headers.get(path.split('/')[1], 'Bearer none')

    def cpu_ns(self):
        """What all its threads have run so far, those that are gone included."""
        return sum(time.clock_gettime_ns(cpu_clock(pid)) for pid in self.pids)

    def rss_kib(self):
        """Of the process that serves: of nginx the worker alone, the master has no part in it."""
        with open(f'/proc/{self.pids[-1]}/smaps_rollup', encoding='ascii') as file:
            for line in file:
                if line.startswith('Rss:'):
                    return int(line.split()[1])
        raise Failure(f'{self.name}: no Rss')

    def peak_kib(self):
        """The most that it ever had."""
        with open(f'/proc/{self.pids[-1]}/status', encoding='ascii') as file:
            return next(int(line.split()[1]) for line in file if line.startswith('VmHWM:'))

    def stop(self):
        self.place.stop(self.child)


def start_origin(place, core):
    place.template('origin.conf', 'origin.conf', {'NAME': 'origin'})
    place.start('origin', [find('nginx'), '-p', place.folder, '-c', place.path('origin.conf')], core, place.names['PLAIN'])


def start_slow_origin(place, core):
    """Another one for /slow/, which yields to the first."""
    place.names['SLOW'] = free_port()
    ports = {'PLAIN': place.names['SLOW'], 'TLS': free_port(), 'TLS_H2': free_port()}
    place.template('origin.conf', 'slow.conf', {'NAME': 'slow', **ports})
    words = ['nice', '-n', '15', find('nginx'), '-p', place.folder, '-c', place.path('slow.conf')]
    place.start('slow', words, core, place.names['SLOW'])


def start_nginx(place, core, name='nginx'):
    port = free_port()
    place.template('nginx.conf', name + '.conf', {'NAME': name, 'PORT': port})
    words = [find('nginx'), '-p', place.folder, '-c', place.path(name + '.conf')]
    child, startup = place.start(name, words, core, port)
    return Proxy(place, name, child, port, startup, {})


def start_proxyd(place, core, name='proxyd', many=0, workers=1, scrub='on'):
    """`many`: as many more credentials and allowed hosts in the configuration, which nobody asks for."""
    port = free_port()
    envgen = program('envgen', required=False)
    more = ''.join(f'  more{i}: {{ upstream: "https://c{i}.example.com", secret: "file:secret", '
        'inject: { header: Authorization, value: "Bearer {secret}" } }\n' for i in range(many))
    hosts = ''.join(f'      - h{i}.example.org\n' for i in range(many))
    place.template('keystile.yaml', name + '.yaml', {'PORT': port, 'MORE_CREDENTIALS': more, 'WORKERS': workers, 'SCRUB': scrub,
        'SESSION': '{ key: "file:session.key" }' if envgen else 'none',
        'MORE_NAMES': ''.join(f', more{i}' for i in range(many)), 'MORE_HOSTS': '    hosts:\n' + hosts if many else ''})
    config = place.path(name + '.yaml')
    child, startup = place.start(name, [program('proxyd'), '--config', config], core, port)
    headers = tokens(place, envgen, config) if envgen else {}
    return Proxy(place, name, child, port, startup, headers)


def tokens(place, envgen, config):
    names = ['plain', 'tls', 'stream', 'basic', 'slow']
    shown = agent_variables(place, envgen, config, [f'{name.upper()}_TOKEN' for name in names])
    return {name: 'Bearer ' + token for name, token in zip(names, shown)}


def agent_variables(place, envgen, config, names):
    """What the agent shows, as the agent learns it: from the file that envgen writes, read by a shell."""
    target = place.path('agent.env')
    done = subprocess.run([envgen, '--config', config, '--profile', 'bench', '-o', target], capture_output=True, text=True,
        env={**os.environ, 'XDG_STATE_HOME': place.path('state')}, check=False)
    if done.returncode:
        raise Failure(f'envgen: exit {done.returncode}: {done.stderr.strip()}')
    script = '. "$1"; printf "%s\\n" ' + ' '.join(f'"${name}"' for name in names)
    shown = subprocess.run(['sh', '-c', script, 'sh', target], capture_output=True, text=True, check=True)
    return shown.stdout.splitlines()


def proxy_user(place, envgen, config):
    """What the agent shows to open tunnels: `user:password`."""
    url = urlsplit(agent_variables(place, envgen, config, ['HTTPS_PROXY'])[0])
    return f'{url.username}:{url.password}'


def proxy_authorization(user):
    return f'Proxy-Authorization: Basic {base64.b64encode(user.encode()).decode()}\r\n'


def find(name):
    for folder in os.environ.get('PATH', '').split(':') + ['/usr/sbin', '/usr/bin']:
        path = os.path.join(folder, name)
        if os.access(path, os.X_OK):
            return path
    raise NotInstalled(f'{name} is not installed: apt-get install {PACKAGES.get(name, name)}')


def build(place, name, *more):
    """A program in C of this folder; `more`: further sources of it, and libraries."""
    sources = [os.path.join(HERE, source) for source in (name + '.c', *(word for word in more if word.endswith('.c')))]
    libraries = [word for word in more if not word.endswith('.c')]
    done = subprocess.run([find('cc'), *FLAGS, '-o', place.path(name), *sources, *libraries], capture_output=True, text=True,
        check=False)
    if done.returncode:
        raise Failure(f'{sources[0]} does not compile: {done.stderr.strip()}')
    return place.path(name)


def first_line(words):
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        return (done.stdout + done.stderr).strip().splitlines()[0]
    except (OSError, IndexError):
        return 'unknown'


def version(name):
    """`name 1.2.3`, as the program itself has it."""
    found = re.search(r'\d+(\.\d+)+', first_line([find(name), '-v']))
    return f'{name} {found[0] if found else "of an unknown version"}'


def program(name, required=True):
    """One of ours, from $KEYSTILE_BUILD or ./build."""
    build = os.environ.get('KEYSTILE_BUILD') or os.path.join(os.path.dirname(HERE), 'build')
    for path in (os.path.join(build, name), os.path.join(build, name, name), os.path.join(build, 'bin', name)):
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return os.path.abspath(path)
    if required:
        raise Failure(f'no {name} in {build}: build it with `./setup`, or set KEYSTILE_BUILD')
    return None
