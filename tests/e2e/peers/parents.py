"""Proxies that proxyd goes through: real ones, each with a user, a password and a name that it does not let through, and one
that answers whatever a test wants."""

import contextlib
import subprocess
import threading

from .keystile import wait_for
from .servers import Server, pump
from .wire import Message

USER = "corp"
DENIED = "denied.par.test"

SQUID = """http_port {address}:{port}
auth_param basic program /usr/lib/squid/basic_ncsa_auth {folder}/passwords
auth_param basic children 1 startup=1
acl denied dstdomain {denied}
acl known proxy_auth REQUIRED
http_access deny denied
http_access allow CONNECT known
http_access deny all
dns_nameservers 127.0.0.1
cache deny all
cache_mem 0 MB
access_log stdio:{folder}/access.log
cache_log {folder}/cache.log
pid_filename none
coredump_dir none
max_filedescriptors 1024
shutdown_lifetime 0 seconds
"""

TINYPROXY = """Listen {address}
Port {port}
Timeout 60
MaxClients 100
LogFile "{folder}/access.log"
LogLevel Connect
BasicAuth {user} {password}
Filter "{folder}/denied"
"""


class Parent(Server):
    def __init__(self, network, folder, address, port, password):
        self.password = password
        super().__init__(network, folder, address, port)

    def settings(self, text):
        return text.format(address=self.address, port=self.port, folder=self.folder, denied=DENIED, user=USER, password=self.password)

    def seen(self, authority):
        """Was a tunnel to it asked for? Waits for the line."""
        path = self.folder / "access.log"
        wait_for(lambda: path.exists() and f"CONNECT {authority}" in path.read_text(), f"CONNECT {authority} in {path}")
        return True

    def knows(self, name):
        """Does it have anything of that name in its log?"""
        path = self.folder / "access.log"
        return path.exists() and name in path.read_text()


class Squid(Parent):
    def prepare(self):
        made = subprocess.run(["openssl", "passwd", "-apr1", "-stdin"], input=self.password, capture_output=True, text=True, check=True)
        (self.folder / "passwords").write_text(f"{USER}:{made.stdout}")
        (self.folder / "squid.conf").write_text(self.settings(SQUID))

    def argv(self):
        return ["/usr/sbin/squid", "-N", "-f", self.folder / "squid.conf"]


class Tinyproxy(Parent):
    def prepare(self):
        (self.folder / "denied").write_text(DENIED.replace(".", "\\.") + "\n")
        (self.folder / "tinyproxy.conf").write_text(self.settings(TINYPROXY))

    def argv(self):
        return ["/usr/bin/tinyproxy", "-d", "-c", self.folder / "tinyproxy.conf"]


def head_of(connection):
    """The CONNECT that came, as a message; kept in origin.requests."""
    message = Message(connection.until(b"\r\n\r\n")[:-4])
    connection.origin.requests.append(message)
    return message


def through_to(connect):
    """A script: lets everybody through, to the socket that `connect()` gives, whatever name was asked for."""

    def script(connection):
        head_of(connection)
        with connect() as upstream:
            connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
            upstream.sendall(connection.buffer)
            connection.sock.settimeout(None)
            up = threading.Thread(target=pump, args=(connection.sock, upstream), daemon=True)
            up.start()
            pump(upstream, connection.sock)
            with contextlib.suppress(OSError):
                connection.sock.shutdown(2)
            up.join(10)

    return script


def answering(answer):
    """A script: reads the CONNECT and says just this."""

    def script(connection):
        head_of(connection)
        connection.send(answer)
        connection.receive()

    return script
