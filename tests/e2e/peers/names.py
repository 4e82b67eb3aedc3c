"""A name server for a test, in a network and a mount namespace of its own: it knows some names, and is silent of others."""

import ctypes
import fcntl
import os
import pathlib
import socket
import struct
import subprocess
import sys
import threading

ENTER = ["unshare", "--user", "--map-root-user", "--net", "--mount"]


def can_enter():
    """May we make such namespaces here?"""
    try:
        return subprocess.run([*ENTER, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def enter(module, *arguments, timeout=120):
    """Runs `module` of this folder's parent in the namespaces; returns what it printed."""
    done = subprocess.run(
        [*ENTER, sys.executable, "-m", module, *arguments], capture_output=True, text=True, timeout=timeout,
        cwd=pathlib.Path(__file__).parents[1],
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def loopback_up():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, 0x8914, struct.pack("16sh22x", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS: IFF_UP, IFF_RUNNING


def cover(folder, name, text):
    """Makes `text` what this namespace has at /etc/`name`."""
    path = pathlib.Path(folder) / name
    path.write_text(text)
    mount = ctypes.CDLL(None, use_errno=True).mount
    if mount(os.fsencode(path), b"/etc/" + name.encode(), None, 4096, None) != 0:  # MS_BIND
        raise OSError(ctypes.get_errno(), f"cannot mount over /etc/{name}")


def name_in(query):
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode("latin-1"))
        at += 1 + query[at]
    return ".".join(labels).lower(), query[12 : at + 5], struct.unpack(">H", query[at + 1 : at + 3])[0]


def record_of(address):
    """Its type (RFC 1035 3.2.2, RFC 3596 2.1), and the whole of it."""
    family, number, size = (socket.AF_INET6, 28, 16) if ":" in address else (socket.AF_INET, 1, 4)
    return number, b"\xc0\x0c" + struct.pack(">HHIH", number, 1, 0, size) + socket.inet_pton(family, address)


def answer_to(query, question, kind, addresses):
    """A reply with those addresses that are of the kind that was asked for; none at all: there is no such name."""
    records = [record for number, record in map(record_of, addresses) if number == kind]
    head = query[:2] + struct.pack(">HHHHH", 0x8180 | (0 if addresses else 3), 1, len(records), 0, 0)
    return head + question + b"".join(records)


class Names:
    """`addresses` maps names to their address, or a list of them, or None where there is no such name; any other name has the address
    `otherwise`, and without that a question for it gets no answer at all."""

    def __init__(self, addresses, network=socket, otherwise=None):
        self.addresses = addresses
        self.otherwise = otherwise
        self.asked = {}  # name: how often
        self.sock = network.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 53))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            query, client = self.sock.recvfrom(4096)
            name, question, kind = name_in(query)
            self.asked[name] = self.asked.get(name, 0) + 1
            if name in self.addresses or self.otherwise:
                found = self.addresses.get(name, self.otherwise) or []
                self.sock.sendto(answer_to(query, question, kind, [found] if isinstance(found, str) else found), client)
