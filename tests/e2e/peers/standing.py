"""What clients of a profile have open while its configuration is replaced: tunnels, upgraded connections, connections that they
keep, and responses under way. Each is a class that is opened by FORM(world, profile) (World, below)."""

import ssl

from .config import basic, get
from .h2 import H2
from .in_tls import InTls
from .keystile import wait_for
from .tunnel import Tls, echo, open_tunnel
from .wire import Client, Stream

UPGRADE = ("Upgrade: websocket", "Connection: Upgrade")


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def serve(connection):
    """A server's script: answers, or upgrades and sends back what comes, or begins a stream of events that ends once the origin's
    `go_on` is set. For which an upgrade of /late waits, too."""
    while True:
        message = connection.request()
        connection.origin.requests.append(message)
        if message.get("Upgrade"):
            assert not message.target.endswith("/late") or connection.origin.go_on.wait(30)
            connection.send("HTTP/1.1 101 Switching Protocols\r\n" + "\r\n".join(UPGRADE) + "\r\n\r\n")
            return echo(connection)
        if not message.target.endswith("/events"):
            connection.answer()
            continue
        connection.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.send(chunk(b"data: first\n\n"))
        assert connection.origin.go_on.wait(30)
        connection.send(chunk(b"data: last\n\n") + chunk(b""))


class World:
    """proxyd, the ports of what is behind it, and the tokens of its profiles as they are at first. `host`: as clients name it,
    but for `secure`."""

    host = "127.0.0.1"

    def __init__(self, proxy, **ports):
        self.proxy, self.ports, self.environments = proxy, ports, {}
        self.ca = proxy.folder / "state/ca.pem"

    def environment(self, profile):
        if profile not in self.environments:
            self.environments[profile] = self.proxy.environment(profile)
        return self.environments[profile]

    def token(self, profile):
        return self.environment(profile)["TOKEN"]

    def proxy_token(self, profile):
        return self.environment(profile)["HTTP_PROXY"].split("@")[0].split(":")[-1]

    def client(self, who):
        return Client(("127.0.0.1", self.proxy.port), who, self.proxy.network)


class Inside(InTls):
    """An HTTP client in TLS that proxyd ends."""

    def __init__(self, world, profile, name, alpn=()):
        context = ssl.create_default_context(cafile=world.ca)
        if alpn:
            context.set_alpn_protocols(list(alpn))
        tunnel = open_tunnel(world.proxy, name, world.proxy_token(profile), client=world.client("tunnel"))
        Stream.__init__(self, context.wrap_socket(tunnel.sock, server_hostname=name.split(":")[0]), "client in TLS", evidence="client")

    send = Client.send


class Form:
    """`audited`: what its lines in the audit have, beside its profile."""

    def __init__(self, world, profile):
        self.world, self.profile = world, profile
        self.path = f"/{type(self).__name__}"
        self.token, self.proxy_token = world.token(profile), world.proxy_token(profile)
        self.open()

    def place(self, name):
        return f"{'localhost' if name == 'secure' else self.world.host}:{self.world.ports[name]}"

    def shown(self):
        return f"Proxy-Authorization: {basic('agent', self.proxy_token)}"

    def close(self):
        self.client.sock.close()


# What stands: it is alive(), or is over() soon.


class Stands(Form):
    def alive(self):
        self.client.send(b"\0ping")
        assert self.client.exactly(5) == b"\0ping"

    def over(self):
        """Waits for its end."""
        assert self.client.rest() == b""

    def upgrade(self, *head, **more):
        self.client.send(get(*head, *UPGRADE, **more))
        response = self.client.response()
        assert response.status == 101, response
        self.alive()


class Tunnel(Stands):
    def open(self):
        self.audited = {"way": "connect", "port": self.world.ports["echo"]}
        self.client = open_tunnel(self.world.proxy, self.place("echo"), self.proxy_token, client=self.world.client("tunnel"))
        self.alive()


class SilentTunnel(Stands):
    """Whose client has said nothing yet, to a host whose TLS we would end."""

    server = "secure"

    def open(self):
        self.audited = {"way": "connect", "port": self.world.ports[self.server]}
        self.client = open_tunnel(self.world.proxy, self.place(self.server), self.proxy_token, client=self.world.client("tunnel"))

    def alive(self):
        assert self.client.is_open(0.01)


class SilentHttp2Tunnel(SilentTunnel):
    """The same, where HTTP/2 would pass."""

    server = "passing"


class Handshake(Stands):
    """TLS that we end, while we wait for the client to finish it."""

    def open(self):
        self.audited = {"way": "intercept", "port": self.world.ports["secure"]}
        self.client = open_tunnel(self.world.proxy, self.place("secure"), self.proxy_token, client=self.world.client("tunnel"))
        self.tls = Tls(self.client, "localhost", self.world.ca)
        self.client.send(self.tls.first)
        assert self.client.receive()  # its answer has begun to come

    def alive(self):
        assert b" 200 " in self.tls.shake_hands().ask(get("/Handshake", None, host=self.place("secure"))).split(b"\r\n")[0]

    def over(self):
        self.client.rest()


class Http2Tunnel(Stands):
    """`http2: tunnel`"""

    def open(self):
        self.audited = {"way": "intercept", "port": self.world.ports["passing"]}
        self.client = Inside(self.world, self.profile, self.place("passing"), ("h2",))
        assert self.client.sock.selected_alpn_protocol() == "h2"
        self.h2 = H2(self.world.proxy, stream=self.client)
        self.alive()

    def alive(self):
        assert self.h2.ask("/x", authority=self.place("passing"), scheme="https", token=None).status == 200

    def over(self):
        self.h2.end()


class ReverseUpgrade(Stands):
    def open(self):
        self.audited = {"way": "reverse", "path": self.path}
        self.client = self.world.client("upgraded")
        self.upgrade(f"/plain-{self.profile}{self.path}", self.token)


class InterceptedUpgrade(Stands):
    def open(self):
        self.audited = {"way": "intercept", "path": self.path}
        self.client = Inside(self.world, self.profile, self.place("secure"))
        self.upgrade(self.path, None, host=self.place("secure"))


class ForwardedUpgrade(Stands):
    def open(self):
        self.audited = {"way": "forward", "path": self.path}
        self.client, place = self.world.client("upgraded"), self.place("allowed")
        self.upgrade(f"http://{place}{self.path}", None, self.shown(), host=place)


class TunnelledUpgrade(Stands):
    """Of plain HTTP in a tunnel."""

    def open(self):
        self.audited = {"way": "connect", "path": self.path}
        self.client = open_tunnel(self.world.proxy, self.place("allowed"), self.proxy_token, client=self.world.client("tunnel"))
        self.upgrade(self.path, None, host=self.place("allowed"))


class Late:
    """Whose 101 comes once the origin's `go_on` is set."""

    def upgrade(self, target, *head, **more):
        server = self.world.servers[self.server]
        before = len(server.requests)
        self.client.send(get(f"{target}/late", *head, *UPGRADE, **more))
        self.audited["path"] += "/late"
        wait_for(lambda: len(server.requests) > before, "the request for an upgrade")


class LateReverseUpgrade(Late, ReverseUpgrade):
    server = "plain"


class LateInterceptedUpgrade(Late, InterceptedUpgrade):
    server = "secure"


class LateForwardedUpgrade(Late, ForwardedUpgrade):
    server = "allowed"


# What is kept: ask() gives the status of a next request on it.


class Kept(Form):
    http2 = False

    def open(self):
        self.connect()
        if self.http2:
            self.client = H2(self.world.proxy, stream=self.client)
        assert self.ask() == 200

    def close(self):
        (self.client.stream if self.http2 else self.client).sock.close()


class ReverseKept(Kept):
    def connect(self):
        self.audited = {"way": "reverse"}
        self.client = self.world.client("client")

    def ask(self):
        return self.client.ask(get(f"/plain-{self.profile}{self.path}", self.token)).status


class ReverseHttp2(Kept):
    http2, connect = True, ReverseKept.connect

    def ask(self):
        return self.client.ask(f"/plain-{self.profile}{self.path}", token=self.token).status


class ForwardKept(Kept):
    def connect(self):
        self.audited = {"way": "forward"}
        self.client = self.world.client("client")

    def ask(self):
        place = self.place("allowed")
        return self.client.ask(get(f"http://{place}{self.path}", None, self.shown(), host=place)).status


class TunnelKept(Kept):
    """Plain HTTP in a tunnel."""

    def connect(self):
        self.audited = {"way": "connect"}
        self.client = open_tunnel(self.world.proxy, self.place("allowed"), self.proxy_token, client=self.world.client("tunnel"))

    def ask(self):
        return self.client.ask(get(self.path, None, host=self.place("allowed"))).status


class InterceptedKept(Kept):
    def connect(self):
        self.audited = {"way": "intercept"}
        self.client = Inside(self.world, self.profile, self.place("secure"))

    def ask(self):
        return self.client.ask(get(self.path, None, host=self.place("secure"))).status


class InterceptedHttp2(Kept):
    http2 = True

    def connect(self):
        self.audited = {"way": "intercept"}
        self.client = Inside(self.world, self.profile, self.place("secure"), ("h2",))

    def ask(self):
        return self.client.ask(self.path, authority=self.place("secure"), scheme="https", token=None).status


# What is under way: it goes on to its end.


class Events(Form):
    def begin(self, *head, **more):
        self.client.send(get(*head, **more))
        response = self.client.head()
        assert response.status == 200 and self.client.chunk() == b"data: first\n\n"

    def finish(self):
        assert self.client.chunk() == b"data: last\n\n" and self.client.chunk() == b""


class ReverseEvents(Events):
    def open(self):
        self.client = self.world.client("listener")
        self.begin(f"/plain-{self.profile}{self.path}/events", self.token)


class ForwardedEvents(Events):
    def open(self):
        self.client, place = self.world.client("listener"), self.place("allowed")
        self.begin(f"http://{place}{self.path}/events", None, self.shown(), host=place)


class InterceptedEvents(Events):
    def open(self):
        self.client = Inside(self.world, self.profile, self.place("secure"))
        self.begin(f"{self.path}/events", None, host=self.place("secure"))


EVENTS = [ReverseEvents, ForwardedEvents, InterceptedEvents]
