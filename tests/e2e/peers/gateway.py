"""A network behind a network: clients whose every packet passes a machine that may redirect it, as containers on a bridge do."""

import subprocess
import sys

HERE, THERE = "10.77.0.1", "10.77.0.2"
HERE6, THERE6 = "fd77::1", "fd77::2"
INTERFACE = "agents0"  # of the machine, towards the clients


class Gateway:
    """Clients that are started by run() are behind `network`; what they send elsewhere goes through it."""

    def __init__(self, network):
        self.network = network
        wait = [sys.executable, "-c", "import os; os.write(1, b'+'); os.read(0, 1)"]
        self.holder = subprocess.Popen(
            [*network.launcher, "unshare", "--net", *wait], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        assert self.holder.stdout.read(1) == b"+", "the clients' network did not come up"
        self.launcher = ["nsenter", "--target", str(self.holder.pid), "--user", "--preserve-credentials", "--net", "--mount", "--root"]
        self.link()

    def link(self):
        outside, inside = self.network.run, self.run
        commands = [
            (outside, "link", "add", INTERFACE, "type", "veth", "peer", "name", "up0", "netns", str(self.holder.pid)),
            (outside, "addr", "add", f"{HERE}/24", "dev", INTERFACE),
            (outside, "link", "set", INTERFACE, "up"),
            (inside, "link", "set", "lo", "up"),
            (inside, "addr", "add", f"{THERE}/24", "dev", "up0"),
            (inside, "link", "set", "up0", "up"),
            (inside, "route", "add", "default", "via", HERE),
        ]
        if self.has_v6():
            commands += [
                (outside, "-6", "addr", "add", f"{HERE6}/64", "dev", INTERFACE, "nodad"),
                (inside, "-6", "addr", "add", f"{THERE6}/64", "dev", "up0", "nodad"),
                (inside, "-6", "route", "add", "default", "via", HERE6),
            ]
        for run, *arguments in commands:
            self.must(run, "ip", *arguments)

    def has_v6(self):
        return self.network.run("ip", "-6", "addr", "show", "dev", "lo").stdout != b""

    @staticmethod
    def must(run, *argv, **more):
        done = run(*argv, **more)
        assert done.returncode == 0, (argv, done.stderr)

    def rules(self, path, *routes):
        """The rules of that file take the place of those before; `routes` are arguments of ip."""
        self.must(self.network.run, "nft", "flush", "ruleset")
        self.must(self.network.run, "nft", "-f", str(path))
        for route in routes:
            self.must(self.network.run, "ip", *route.split())

    def run(self, *argv, **more):
        """Runs a client to its end."""
        return subprocess.run([*self.launcher, *argv], **{"capture_output": True, "timeout": 60, **more})

    def close(self):
        self.network.run("nft", "flush", "ruleset")
        self.holder.stdin.close()
        self.holder.wait(10)
        self.holder.stdout.close()
