"""Real servers whose protocols are not HTTP, in a network of the tests (peers.network), and a way to them for clients that know
no proxies."""

import contextlib
import pathlib
import shutil
import socket
import subprocess
import threading

from .keystile import clean_environment, wait_for
from .tunnel import connect
from .wire import Client


class Server:
    """A program that listens at `address`:`port`, as a user that is not root, with a folder of its own."""

    def __init__(self, network, folder, address, port):
        self.network, self.folder, self.address, self.port = network, pathlib.Path(folder), address, port
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = open(self.folder / "log", "w+")
        self.prepare()
        self.process = subprocess.Popen(
            [*network.as_user, *map(str, self.argv())], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, cwd=self.folder,
            env=clean_environment(),
        )
        wait_for(self.accepts, f"{type(self).__name__} to listen; its log: {self.folder / 'log'}")

    def prepare(self):
        pass

    def accepts(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()
        with self.network.socket() as sock:
            return sock.connect_ex((self.address, self.port)) == 0

    def run(self, *argv, **more):
        """Runs what the server or its client needs, in the network, as the same user."""
        return subprocess.run([*self.network.as_user, *map(str, argv)], cwd=self.folder, timeout=60, capture_output=True, text=True, **more)

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


class Nats(Server):
    def argv(self):
        return ["nats-server", "--addr", self.address, "--port", self.port]


class Redis(Server):
    def argv(self):
        return ["redis-server", "--bind", self.address, "--port", self.port, "--save", "", "--protected-mode", "no"]


class Ssh(Server):
    CONFIG = "StrictModes no\nUsePAM no\nPidFile none\nSubsystem sftp internal-sftp\nAuthorizedKeysFile {folder}/user.pub\n"

    def prepare(self):
        for name in ("host", "user"):
            made = self.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / name)
            assert made.returncode == 0, made.stderr
        key = (self.folder / "host.pub").read_text().split()
        (self.folder / "known").write_text(f"ssh.test {key[0]} {key[1]}\n[ssh.test]:{self.port} {key[0]} {key[1]}\n")
        (self.folder / "config").write_text(self.CONFIG.format(folder=self.folder))

    def argv(self):
        return ["/usr/sbin/sshd", "-D", "-e", "-f", self.folder / "config", "-h", self.folder / "host",
                "-o", f"ListenAddress={self.address}", "-o", f"Port={self.port}"]

    def options(self, proxy_command):
        """What ssh and sftp need to get here."""
        return ["-F", "none", "-i", self.folder / "user", "-o", f"UserKnownHostsFile={self.folder / 'known'}", "-o", "BatchMode=yes",
                "-o", "StrictHostKeyChecking=yes", "-o", f"ProxyCommand={proxy_command}", "-o", f"Port={self.port}", "-o", "User=agent"]


class PostgreSql(Server):
    def prepare(self):
        self.bin = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))[-1]
        made = self.run(self.bin / "initdb", "-D", self.folder / "data", "-U", "agent", "-A", "trust", "-N", "--no-locale", "-E", "UTF8")
        assert made.returncode == 0, made.stderr
        with open(self.folder / "data/pg_hba.conf", "a") as file:
            file.write("host all all samenet trust\n")
        for name in ("server.key", "server.crt"):
            shutil.copy(self.certificate[name], self.folder / "data" / name)
        (self.folder / "data/server.key").chmod(0o600)

    def __init__(self, network, folder, address, port, certificate):
        self.certificate = {"server.crt": certificate[0], "server.key": certificate[1]}
        super().__init__(network, folder, address, port)

    def accepts(self):
        """It listens before it is ready, and refuses who comes by then."""
        return super().accepts() and "ready to accept connections" in (self.folder / "log").read_text()

    def argv(self):
        return [self.bin / "postgres", "-D", self.folder / "data", "-h", self.address, "-p", self.port, "-k", "", "-F", "-c", "ssl=on"]


class Forwarder:
    """Listens on loopback and takes each connection through a tunnel of its own, as a client without proxy settings needs it."""

    def __init__(self, network, proxy, authority, token):
        self.network, self.proxy, self.authority, self.token = network, proxy, authority, token
        self.answers = []  # heads that came to CONNECT
        self.listener = network.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(16)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        with sock, Client(("127.0.0.1", self.proxy.port), "forwarder", self.network) as through:
            through.send(connect(self.authority, self.token))
            self.answers.append(through.head())
            if self.answers[-1].status != 200:
                return
            sock.sendall(through.buffer)
            through.sock.settimeout(None)
            up = threading.Thread(target=pump, args=(sock, through.sock), daemon=True)
            up.start()
            pump(through.sock, sock)
            up.join(10)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def pump(source, target):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
