"""A client of HTTP/1.1 within TLS that the proxy ends: what a test says to the endpoint of `api` is said to its host instead."""

import os
import re
import socket
import ssl

from .tunnel import open_tunnel
from .wire import Client, Stream, note


class InTls(Client):
    """Of a proxy with `intercepts`, the credential's HOST:PORT."""

    def __init__(self, proxy, who="client", token=None):
        context = ssl.create_default_context(cafile=proxy.folder / "state/ca.pem")
        token = token or proxy.proxy_token()
        tunnel = open_tunnel(proxy, proxy.intercepts, token, client=Client(("127.0.0.1", proxy.port), "tunnel"))
        self.host = proxy.intercepts.encode()
        Stream.__init__(self, context.wrap_socket(tunnel.sock, server_hostname=proxy.intercepts.split(":")[0]), who, evidence="client")

    def half_close(self):
        """Of TCP alone; what comes is still read as TLS."""
        with socket.socket(fileno=os.dup(self.sock.fileno())) as bare:
            bare.shutdown(socket.SHUT_WR)

    def receive(self):
        try:
            return super().receive()
        except ssl.SSLError as error:
            note(self.who, "got", f"[{error}]")
            self.ended = True
            return False

    def send(self, data):
        data = data.encode("latin-1") if isinstance(data, str) else data
        data = re.sub(rb"(?m)^([A-Z]+) /api/", rb"\1 /", data)
        super().send(re.sub(rb"(?m)^Host: (127\.0\.0\.1|h)(?=\r)", b"Host: " + self.host, data))
