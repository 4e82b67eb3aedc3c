"""Changes of keystile.yaml and of secrets under clients that never pause (SPEC §11)."""

import http.client
import re
import signal
import threading

import httpx
import pytest

from peers.keystile import wait_for
from peers.nginx import Nginx
from peers.replacing import by_rename

ROUNDS = 50    # of the secret, and of the configuration
BY_SIGNAL = 30 # of the latter
CONFIG = """credentials:
  api:
    upstream: http://127.0.0.1:{port}
    secret: file:{secret}
    scrub: off
    inject: [{{ header: Authorization, value: "Bearer {{secret}}" }}, {{ header: X-Version, value: v0 }}]
    env: {{ base_url: API_URL, token: API_TOKEN }}
profiles:
  agent: {{ credentials: [api] }}
"""


class Http1:
    """http.client, on one connection."""

    def __init__(self, proxy, token):
        self.connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
        self.connection.connect()
        self.sock, self.fields = self.connection.sock, {"Authorization": f"Bearer {token}"}

    def ask(self):
        self.connection.request("GET", "/api/x", headers=self.fields)
        response = self.connection.getresponse()
        text = response.read().decode()
        assert self.connection.sock is self.sock, "it would have to connect anew"
        return response.status, text

    def close(self):
        self.connection.close()


class H2c:
    """httpx, by prior knowledge."""

    def __init__(self, proxy, token):
        self.client = httpx.Client(http1=False, http2=True, trust_env=False, timeout=10)
        self.url, self.fields = f"http://127.0.0.1:{proxy.port}/api/x", {"Authorization": f"Bearer {token}"}

    def ask(self):
        response = self.client.get(self.url, headers=self.fields)
        return response.status_code, response.text

    def close(self):
        self.client.close()


class Changing:
    """A number that is made visible by change(NUMBER), and what clients may see of it: while a change is under way the number before
    or the new one. It is over once each of them has seen the new one."""

    def __init__(self, change, clients):
        self.change, self.current, self.seen = change, 0, [0] * clients

    def judge(self, client, number):
        """None, or what is wrong with an answer that has this number."""
        last, current = self.seen[client], self.current
        self.seen[client] = number
        return None if last <= number <= current and number >= current - 1 else f"{number} after {last}, while it was {current}"

    def go_on(self, failures):
        self.current += 1
        self.change(self.current)
        wait_for(lambda: min(self.seen) == self.current or failures, f"all clients to see {self.current}; they saw {self.seen}")
        assert not failures, failures


class Asking(threading.Thread):
    """Asks without a pause, until it is told to stop, and holds what comes against what it may be."""

    def __init__(self, client, number, watched, failures):
        super().__init__(daemon=True)
        self.client, self.number, self.watched, self.failures = client, number, watched, failures
        self.stopped, self.count = threading.Event(), 0

    def run(self):
        try:
            while not self.stopped.is_set() and not self.failures:
                self.look(*self.client.ask())
                self.count += 1
        except Exception as error:
            self.failures.append(f"client {self.number}, after {self.count} answers: {error!r}")

    def look(self, status, text):
        shown = re.fullmatch(r"Bearer s(\d+) v(\d+)", text)
        wrong = [f"{status} {text!r}"] if status != 200 or not shown else [
            watched.judge(self.number, int(number)) for watched, number in zip(self.watched, shown.groups())]
        self.failures.extend(f"client {self.number}: {why}" for why in wrong if why)


@pytest.fixture
def echoing(keystile, tmp_path):
    """proxyd, whose upstream, nginx, says what was injected; and the file of the secret."""
    (tmp_path / "nginx").mkdir()
    secret, server = tmp_path / "secret", Nginx(tmp_path / "nginx", 'location / { return 200 "$http_authorization $http_x_version"; }')
    secret.write_text("s0")
    yield keystile(CONFIG.format(port=server.port, secret=secret), head={"workers": "2"}), secret
    server.close()


def change_beside(changing, failures):
    """All rounds of one, on a thread of its own."""

    def run():
        try:
            for _ in range(ROUNDS):
                changing.go_on(failures)
        except AssertionError as error:
            failures.append(str(error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def test_a_hundred_reloads_under_six_clients(echoing):
    """Secret and configuration change side by side, most often by themselves, at times at a SIGHUP. No request is lost, no connection
    ends, and no answer has a value that was not current."""
    proxy, path = echoing
    token, failures = proxy.token(), []

    def change_configuration(number):
        by_rename(proxy.config, proxy.text.replace("value: v0", f"value: v{number}"))
        if number <= BY_SIGNAL:
            proxy.process.send_signal(signal.SIGHUP)

    clients = [kind(proxy, token) for kind in (Http1, Http1, Http1, H2c, H2c, H2c)]
    watched = Changing(lambda number: by_rename(path, f"s{number}\n"), 6), Changing(change_configuration, 6)
    threads = [Asking(client, number, watched, failures) for number, client in enumerate(clients)]
    for thread in threads:
        thread.start()
    wait_for(lambda: all(thread.count for thread in threads) or failures, "the first answers")
    files = proxy.open_files()
    beside = change_beside(watched[0], failures)
    for _ in range(ROUNDS):
        watched[1].go_on(failures)
    beside.join()
    for thread in threads:
        thread.stopped.set()
    for thread in threads:
        thread.join()
    assert failures == [] and [one.current for one in watched] == [ROUNDS, ROUNDS]
    for client in clients:
        client.close()
    lines = proxy.audit(sum(thread.count for thread in threads))
    assert {(line["verdict"], line["status"], line["injected"]) for line in lines} == {("allow", 200, True)}
    assert len({line["client"] for line in lines}) == 6, "each on one connection"
    wait_for(lambda: proxy.open_files() <= files, f"no more than {files} open files")
