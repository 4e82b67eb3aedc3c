"""The admin listener, asked on its unix socket, where it wants no token."""

import dataclasses
import http.client
import socket


@dataclasses.dataclass
class Answer:
    status: int
    fields: dict
    body: bytes


class AdminSocket:
    """That of a proxyd with `admin: unix:PATH`, in its own folder."""

    def __init__(self, proxy, name="admin.sock"):
        self.path = proxy.folder / name

    def ask(self, path, method="GET"):
        connection = http.client.HTTPConnection("localhost", timeout=10)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(self.path))
        connection.request(method, path)
        response = connection.getresponse()
        answer = Answer(response.status, dict(response.getheaders()), response.read())
        connection.close()
        return answer
