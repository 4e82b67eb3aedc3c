"""Keystile itself: a folder with a configuration and a vault, proxyd in front of it, envgen and creds on it."""

import contextlib
import itertools
import json
import os
import pathlib
import re
import shlex
import signal
import socket
import subprocess
import time

from . import sanitizers
from .evidence import EVIDENCE
from .wire import Client, note

PROGRAMS = pathlib.Path(os.environ.get("KEYSTILE_PROGRAMS", pathlib.Path(__file__).parents[3] / "build")).absolute()
PATIENCE = float(os.environ.get("KEYSTILE_PATIENCE", "15"))

HEAD = {
    "listen": "127.0.0.1:{port}",
    "admin": "127.0.0.1:{admin_port}",
    "workers": os.environ.get("KEYSTILE_WORKERS", "1"),
    "vault": '{{ file: secrets.vault, key: "file:vault.key" }}',
    "session": '{{ key: "file:session.key" }}',
    "audit": "{{ file: audit.jsonl }}",
    "state": "state",
}


def our_ports():
    """Two thousand that no other run of these tests has, below those that the kernel hands out by itself: nothing gets one
    between its finding and its use. They are whose who holds the name, which is the network's as ports are."""
    for first in range(12000, 32000, 2000):
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0keystile-test-ports-{first}")
            return name, itertools.cycle(range(first, first + 2000))
        except OSError:
            name.close()
    raise AssertionError("ten other runs have all the ports")


HELD, PORTS = our_ports()


def free_port():
    for port in PORTS:
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def wait_for(condition, what, patience=PATIENCE):
    """Waits until `condition()` is true, and returns its value."""
    deadline = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited {patience} s for {what}"
        time.sleep(0.01)


def in_time(limit, act, tries=3):
    """Does act() give a time below `limit`? It has more than one try, since this machine may stand still: who waits for
    something is late each time."""
    return any(act() < limit for _ in range(tries))


def clean_environment(**more):
    """The environment of our own programs: nothing of the machine's proxies, CAs and keys. What they get of memory is not zero."""
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANG": "C.UTF-8", "MALLOC_PERTURB_": "85",
            **sanitizers.options(), **more}


class Keystile:
    """`config` is the part of keystile.yaml behind the usual head; `head` replaces lines of that, None drops one. proxyd and
    its clients live in `network` (peers.network), else in the machine's."""

    def __init__(self, folder, config, secrets=None, head=None, network=None):
        self.folder = pathlib.Path(folder)
        self.network = network or socket
        self.launcher = network.launcher if network else []
        self.audit_file = self.folder / "audit.jsonl"
        self.port, self.admin_port = free_port(), free_port()
        lines = {**HEAD, **(head or {})}
        text = "version: 1\n" + "".join(f"{key}: {value}\n" for key, value in lines.items() if value is not None)
        self.text = text.format(port=self.port, admin_port=self.admin_port, folder=self.folder) + config
        self.config = self.folder / "keystile.yaml"
        self.config.write_text(self.text)
        self.process = None
        self.sockets = []
        self.log_path = self.folder / "proxyd.log"
        self.secrets = secrets or {}
        if lines["vault"] or lines["session"]:
            self.creds("init")
        for name, value in self.secrets.items():
            self.creds("set", name, input=value)

    def take(self, text):
        """Has `text` as its whole configuration, in place of its own."""
        self.text = text
        self.config.write_text(text)

    def run(self, program, *arguments, check=True, input=None, env=None, cwd=None, launcher=()):
        """Runs one of our programs to its end, without a terminal."""
        result = subprocess.run(
            [*launcher, PROGRAMS / program / program, *arguments], input=input if input is None else input.encode(), capture_output=True,
            env=clean_environment(**(env or {})), cwd=cwd or self.folder, timeout=60, start_new_session=True,
        )
        result.out, result.err = result.stdout.decode(), result.stderr.decode()
        note(program + " " + shlex.join(map(str, arguments)), "said", result.out + result.err + f"[{result.returncode}]")
        EVIDENCE.add(f"{program} output", result.stdout + result.stderr)
        assert not check or result.returncode == 0, f"{program} {arguments}: {result.returncode}: {result.err}"
        return result

    def creds(self, *arguments, **more):
        return self.run("creds", "--config", self.config, *arguments, **more)

    def envgen(self, *arguments, **more):
        return self.run("envgen", "--config", self.config, *arguments, **more)

    def check(self, **more):
        return self.run("proxyd", "--config", self.config, "--check", check=False, **more)

    def start(self, *arguments, env=None, wait=True, pass_fds=(), launcher=()):
        notify = self.network.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        name = f"\0keystile-test-{os.getpid()}-{self.port}"
        notify.bind(name)
        notify.settimeout(0.05)
        environment = clean_environment(NOTIFY_SOCKET="@" + name[1:], **(env or {}))
        self.log_file = open(self.log_path, "ab")
        self.process = subprocess.Popen(
            [*launcher, *self.launcher, PROGRAMS / "proxyd/proxyd", "--config", self.config, *arguments], stdin=subprocess.DEVNULL,
            stdout=self.log_file, stderr=self.log_file, env=environment, cwd=self.folder, pass_fds=pass_fds,
        )
        self.notify = notify
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self):
        self.wait_notified("READY=1")

    def wait_notified(self, state):
        """Waits until proxyd tells its service manager that."""

        def came():
            status = self.process.poll()  # before the look: what it said and ended behind is still there
            try:
                return state.encode() in self.notify.recv(4096)
            except TimeoutError:
                assert status is None, f"proxyd ended ({status}): {self.log()}"
                return False

        wait_for(came, f"{state} of proxyd; its log: {self.log()}")

    def stop(self, how=signal.SIGTERM, patience=PATIENCE):
        """Ends proxyd and returns its exit status."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            status = self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"proxyd did not end within {patience} s of {how!r}; its log: {self.log()}")
        self.process = None
        self.notify.close()
        self.log_file.close()
        EVIDENCE.add("proxyd's log", self.log())
        for file in self.folder.glob("*.jsonl"):
            EVIDENCE.add("audit", file.read_bytes())
        return status

    def hang_up(self):
        """SIGHUP, and all that it does has been done."""
        count = self.log().count("SIGHUP: ")
        self.process.send_signal(signal.SIGHUP)
        wait_for(lambda: self.log().count("SIGHUP: ") > count, "what SIGHUP does")

    def hurry(self):
        """Asked to end once more, proxyd cuts what is under way. Returns its exit status."""

        def has_ended():
            self.process.send_signal(signal.SIGTERM)
            return self.process.poll() is not None

        wait_for(has_ended, "the end, once a second SIGTERM counts as one")
        return self.stop()

    def end_of_the_drain(self):
        """It drains: from here on time is over. Root may do so, with strace, where no sanitizer is in the way."""
        end = ["-e", "trace=rt_sigtimedwait", "-e", "inject=rt_sigtimedwait:error=EAGAIN:when=1"]
        tracer = subprocess.Popen(["strace", "-o", "/dev/null", *end, "-p", str(self.process.pid)], stderr=subprocess.PIPE)
        said = tracer.communicate(timeout=PATIENCE)[1]
        assert b"attached" in said, said
        return self.stop()

    @contextlib.contextmanager
    def standing_still(self):
        """proxyd does nothing: what clients do meanwhile it finds at once, and in its listening socket's queue. A SIGTERM that
        was sent meanwhile, too."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def audit(self, count=None, **match):
        """The audit lines whose members equal `match`; waits until there are `count`."""
        path = self.audit_file

        def lines():
            text = path.read_text() if path.exists() else ""
            found = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]  # the last one may be half written
            return [line for line in found if all(line.get(key) == value for key, value in match.items())]

        if count:
            wait_for(lambda: len(lines()) >= count, f"{count} audit lines with {match}")
        return lines()

    def client(self, who="client"):
        return Client(("127.0.0.1", self.port), who, self.network)

    def open_files(self):
        """How many descriptors it has."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def ask(self, data, method="GET"):
        with self.client() as client:
            return client.ask(data, method)

    def env_file(self, profile="agent", *arguments):
        path = self.folder / f"{profile}.env"
        self.envgen("--profile", profile, "-o", path, *arguments)
        return path

    def environment(self, profile="agent", *arguments):
        """What a shell has in its environment once it sourced the file of `envgen --format sh`."""
        path = self.env_file(profile, *arguments)
        shell = subprocess.run(
            ["/bin/sh", "-euc", f". {shlex.quote(str(path))}; env -0"], capture_output=True, check=True,
            env=clean_environment(),
        )
        return dict(item.split("=", 1) for item in shell.stdout.decode().split("\0") if item)

    def proxy_token(self, profile="agent"):
        """The token of the proxy URL, from HTTP_PROXY."""
        url = self.environment(profile)["HTTP_PROXY"]
        return re.match(r"http://[^:]+:([^@]+)@", url).group(1)

    def token(self, name="API_TOKEN", profile="agent"):
        """A session token, from the variable that carries it."""
        return self.environment(profile)[name]
