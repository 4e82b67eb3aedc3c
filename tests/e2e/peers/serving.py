"""Web applications (Flask) that serve in threads of the test, at an address of their own, and can be taken down and up again."""

import dataclasses
import socket
import threading
import time
import typing

import flask
import werkzeug.serving
from flask import g, request

from .keystile import free_port


class Quiet(werkzeug.serving.WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_):
        """What comes is kept where a test looks for it."""


@dataclasses.dataclass
class Asked:
    """One request, as it came, and the status of its answer."""

    at: float  # time.monotonic()
    method: str
    path: str  # with the query, as Flask has decoded it
    raw: str   # as it came
    fields: list
    body: bytes
    form: dict
    status: int = 0
    told: typing.Any = None

    def all(self, name):
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def get(self, name, default=None):
        found = self.all(name)
        assert len(found) < 2, f"{name} stands {len(found)} times: {found}"
        return found[0] if found else default


def begun():
    """A field by which a request says when its client began to ask."""
    return f"X-Begun: {time.monotonic()}"


def age():
    """For how many seconds the request has been on its way, where it says so. Whoever judges a token by the clock judges it as
    of then: what is sent in time may arrive late."""
    told = flask.has_request_context() and request.headers.get("X-Begun")
    return time.monotonic() - float(told) if told else 0.0


class Serving:
    """`app` at host:port, until close(). `network` has the socket (peers.network), else it is the machine's."""

    def __init__(self, app, context=None, host="127.0.0.1", port=0, network=socket):
        self.app, self.context, self.host, self.network = app, context, host, network
        self.port = port or free_port() if network is socket else port
        self.lock = threading.Lock()
        self.requests = []  # each Asked
        self.running = self.most_running = 0
        self.before = None  # called with each Asked, before all else; an answer that it gives is the answer
        self.after = None   # called with each Asked whose answer is ready and not sent
        self.errors = []  # what the application raised
        self.server = None
        app.before_request_funcs.setdefault(None, []).insert(0, self.came)
        app.after_request(self.goes)
        app.teardown_request(self.ended)
        flask.got_request_exception.connect(self.failed, app)
        self.up()

    @property
    def url(self):
        return f"{'https' if self.context else 'http'}://{self.host}:{self.port}"

    def up(self):
        """Listens, at the same port as before."""
        with self.network.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((self.host, self.port))
            sock.listen(256)
            self.port = sock.getsockname()[1]
            self.server = werkzeug.serving.make_server(
                self.host, self.port, self.app, threaded=True, request_handler=Quiet, ssl_context=self.context, fd=sock.fileno())
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def down(self):
        """Connections are refused from here on."""
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    close = down

    def came(self):
        body = request.get_data()  # before the form is read, which would take it
        fields = [(key, value) for key, value in request.headers]
        path = request.full_path if request.query_string else request.path
        g.asked = Asked(time.monotonic(), request.method, path, request.environ["RAW_URI"], fields, body, request.form.to_dict(flat=False))
        with self.lock:
            self.requests.append(g.asked)
            self.running += 1
            self.most_running = max(self.most_running, self.running)
            g.counted = True
        return self.before(g.asked) if self.before else None

    def goes(self, response):
        g.asked.status = response.status_code
        g.asked.told = response.get_json(silent=True) if response.is_json else None
        if self.after:
            self.after(g.asked)
        return response

    def ended(self, _):
        with self.lock:
            self.running -= 1 if g.pop("counted", False) else 0

    def failed(self, _, exception, **more):
        self.errors.append(exception)

    def hold(self):
        """What comes from here on waits until the event that this gives is set."""
        gate = threading.Event()
        self.before = lambda asked: (gate.wait(90), None)[1]
        return gate

    def forget(self):
        with self.lock:
            self.requests.clear()
            self.most_running = self.running
