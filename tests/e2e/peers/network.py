"""A network of its own for what has to be at ports 80 and 443, behind names and public addresses: a process sits in it
and hands out sockets, so that the tests themselves stay where they are."""

import array
import fcntl
import os
import pathlib
import socket
import struct
import subprocess
import sys
import threading

from .names import ENTER, Names, cover, loopback_up

PUBLIC = "198.51.100.0"  # a /24; every address of it is this machine
V6 = "2001:db8::1"
USER = 1000  # for servers that will not run as root


def add_addresses():
    """The whole /24 on loopback (as 127/8 is), and one IPv6 address where the kernel has IPv6."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        name = b"lo:1"
        for request, address in ((0x8916, PUBLIC[:-1] + "1"), (0x891C, "255.255.255.0")):  # SIOCSIFADDR, SIOCSIFNETMASK
            value = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))
            fcntl.ioctl(sock, request, struct.pack("16s16s8x", name, value))
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            request = struct.pack("16sIi", socket.inet_pton(socket.AF_INET6, V6), 128, socket.if_nametoindex("lo"))
            fcntl.ioctl(sock, 0x8916, request)
    except OSError:
        pass


def hand_out(channel):
    """Answers each (family, type) with such a socket, until the other end closes."""
    while request := channel.recv(8):
        with socket.socket(*struct.unpack("II", request)) as sock:
            channel.sendmsg([b"."], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [sock.fileno()]))])


class Network:
    """`addresses` maps names to addresses (see Names); what it does not know has the address `otherwise`."""

    def __init__(self, folder, addresses, otherwise=None):
        self.lock = threading.Lock()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.holder = subprocess.Popen(
                [*ENTER, sys.executable, "-m", "peers.network", str(theirs.fileno()), str(folder)],
                pass_fds=[theirs.fileno()], cwd=pathlib.Path(__file__).parents[1], stdin=subprocess.DEVNULL,
            )
        self.channel = ours
        assert ours.recv(1) == b"+", "the network did not come up"
        self.launcher = ["nsenter", "--target", str(self.holder.pid), "--user", "--preserve-credentials", "--net", "--mount", "--root"]
        self.as_user = [*self.launcher, "unshare", "--user", f"--map-user={USER}", f"--map-group={USER}"]
        self.names = Names(addresses, self, otherwise)

    def socket(self, family=socket.AF_INET, kind=socket.SOCK_STREAM):
        """A socket in this network, neither bound nor connected."""
        with self.lock:
            self.channel.send(struct.pack("II", family, kind))
            _, fds, _, _ = socket.recv_fds(self.channel, 1, 1)
        return socket.socket(fileno=fds[0])

    def run(self, *argv, **more):
        """Runs a program in it to its end."""
        return subprocess.run([*self.launcher, *argv], **{"capture_output": True, "timeout": 60, **more})

    def close(self):
        self.channel.close()
        self.holder.wait(10)


def main(fd, folder):
    loopback_up()
    add_addresses()
    pathlib.Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").write_text("0")
    cover(folder, "resolv.conf", "nameserver 127.0.0.1\noptions timeout:2 attempts:2\n")
    cover(folder, "passwd", f"root:x:0:0::/root:/bin/sh\nagent:x:{USER}:{USER}::{folder}:/bin/sh\n")
    channel = socket.socket(fileno=int(fd))
    channel.send(b"+")
    hand_out(channel)
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
