"""What /status of proxyd says, by hand, and a server that serves it with the admin page, as a test has it."""

import copy
import datetime
import http.server
import json
import threading

from .keystile import free_port

START = datetime.datetime(2026, 11, 27, 12, 0, tzinfo=datetime.UTC)


def at(seconds):
    """So many seconds after what a status calls now."""
    return (START + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def credential(name, **more):
    return {
        "name": name, "upstream": f"https://api.{name}.example", "endpoint": f"/{name}/", "profiles": ["coder"], "ready": True, "why": None,
        "stale": None, "changed": at(-7200), "expires": None, "requests": 0, "denied": 0, "failed": 0, **more,
    }


def live(number=1, **more):
    return {
        "id": f"live{number}", "since": at(-number), "profile": "coder", "client": f"10.0.0.7:{40000 + number}", "way": "reverse",
        "credential": "openai", "method": "POST", "host": "api.openai.example", "port": 443, "path": "/v1/chat/completions",
        "state": "response", "bytes_up": 1800, "bytes_down": 48200 * number, **more,
    }


def refusal(number=1, **more):
    return {
        "time": at(-10 * number), "id": f"refusal{number}", "profile": "coder", "client": "10.0.0.7:40001", "way": "reverse",
        "credential": "openai", "method": "DELETE", "host": "api.openai.example", "port": 443, "path": f"/v1/files/{number}",
        "verdict": "deny", "rule": None, "reason": "no_rule", "status": 403, **more,
    }


def status(credentials=None, **more):
    credentials = [credential("openai"), credential("github")] if credentials is None else credentials
    return {
        "version": "0.1.0", "started": at(-93600), "now": at(0), "serving": True, "draining": False, "workers": 4,
        "configuration": {"file": "/etc/keystile/keystile.yaml", "loaded": at(-7200), "reloads": 3, "failed": None},
        "connections": {"clients": 12, "limit": 4096},
        "profiles": [{"name": "coder", "connections": 9, "credentials": [one["name"] for one in credentials]}],
        "credentials": credentials, "parent": None, "stale_parts": [], "warnings": [], "live": [], "live_total": 0, "refusals": [], **more,
    }


class StatusServer:
    """Serves `page`, its bytes and fields, at /, and `status` at /status. `answer` is (STATUS, TEXT) where that is to be something
    else; while it is None the connection is closed unanswered. `gate` holds answers back until it is set."""

    def __init__(self, page):
        self.page, self.fields = page
        self.status = status()
        self.answer = ()
        self.gate = threading.Event()
        self.gate.set()
        self.asked = []  # the path of each request
        self.running = self.most_running = 0
        self.errors = []
        self.lock = threading.Lock()
        self.port = free_port()
        self.up()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/"

    def change(self, **more):
        """The status from here on."""
        self.status = {**copy.deepcopy(self.status), **more}

    def count(self):
        return self.asked.count("/status")

    def up(self):
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                owner.respond(self)

            def log_message(self, *_):
                """What was asked is kept."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def down(self):
        """Nobody listens from here on, at the port that up() takes again."""
        if self.server:
            self.server.shutdown()
            self.server.server_close()
        self.server = None

    def close(self):
        self.gate.set()
        self.down()

    def respond(self, handler):
        with self.lock:
            self.asked.append(handler.path)
            self.running += handler.path == "/status"
            self.most_running = max(self.most_running, self.running)
        try:
            if handler.path == "/":
                self.send(handler, 200, self.page, self.fields)
            elif handler.path == "/status":
                self.gate.wait(30)
                self.send_status(handler)
            else:
                self.send(handler, 404, b"", {})
        except (BrokenPipeError, ConnectionResetError):
            pass
        finally:
            with self.lock:
                self.running -= handler.path == "/status"

    def send_status(self, handler):
        if self.answer is None:
            return
        code, text = self.answer or (200, json.dumps(self.status))
        self.send(handler, code, text.encode(), {"Content-Type": "application/json", "Cache-Control": "no-store"})

    @staticmethod
    def send(handler, code, body, fields):
        handler.send_response(code)
        for name, value in {**fields, "Content-Length": len(body)}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)
