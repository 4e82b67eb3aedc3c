"""Rotation overlap (SPEC §11): for a while after a secret was replaced, a 401 with one value is tried with the other."""

import threading
import time

import pytest

from peers import evidence, sanitizers, standing
from peers.config import basic, get, one_api
from peers.h2 import H2
from peers.keystile import wait_for
from peers.metrics import status
from peers.replacing import by_rename
from peers.tunnel import open_tunnel


class Api:
    """An upstream that takes what is in `good`, and says 401 to all else."""

    def __init__(self, origin):
        self.good, self.said, self.lock = set(), [], threading.Lock()
        self.server = origin(self.serve)

    def serve(self, connection):
        while True:
            message = connection.request()
            value = message.get("Authorization").removeprefix("Bearer ")
            with self.lock:
                self.said.append(value)
            if value in self.good:
                connection.answer("200 OK", message.body or b"ok")
            else:
                connection.answer("401 Unauthorized", f"no {value}")

    def tried(self):
        """What came since the last look."""
        with self.lock:
            said, self.said = self.said, []
        return said


@pytest.fixture
def rotating(keystile, origin, tmp_path):
    """rotating(…) gives proxyd, its upstream, and rotate(), which puts another value into the secret's file."""

    def start(head=None, **more):
        api, path = Api(origin), tmp_path / "secret"
        values = [evidence.secret("old")]
        path.write_text(values[0])
        api.good.add(values[0])
        entry = one_api(f"http://127.0.0.1:{api.server.port}", **more).replace("vault:api", f"file:{path}")
        proxy = keystile(entry, {}, head)

        def rotate():
            values.append(evidence.secret("new"))
            by_rename(path, values[-1])
            proxy.hang_up()
            return values[-1]

        return proxy, api, rotate

    return start


def ask(proxy, method="GET", body=b""):
    fields = [f"Content-Length: {len(body)}"] if body else []
    return proxy.ask(get("/api/x", proxy.token(), *fields, method=method).encode() + body)


def test_an_upstream_that_does_not_know_the_new_one_yet(rotating):
    proxy, api, rotate = rotating()
    lines = []  # in the order of the requests, which two workers do not keep

    def asks(count=1):
        for _ in range(count):
            assert ask(proxy).status == 200
            lines.extend(line for line in proxy.audit(len(lines) + 1, event="end") if line not in lines)
        return api.tried()

    (old,) = asks()
    new = rotate()
    assert asks() == [new, old]
    assert asks(3) == [old] * 3, "the one that was taken is the first one"
    api.good = {new}
    assert asks(3) == [old, new, new, new]
    assert [line["rotated"] for line in lines] == [False, True, False, False, False, True, False, False]
    assert all(line["injected"] and line["status"] == 200 for line in lines)


def test_neither_is_taken(rotating):
    """The answer to the second one is passed on, and neither value comes back in it."""
    proxy, api, rotate = rotating()
    assert ask(proxy).status == 200
    new = rotate()
    (old,) = api.tried()
    api.good = set()
    answer = ask(proxy)
    assert answer.status == 401 and new not in answer.text and old not in answer.text and "***" in answer.text
    assert api.tried() == [new, old]


@pytest.mark.parametrize("size,repeated", [(1, True), (60_000, True), (200_000, False)])
def test_a_body_goes_along(rotating, size, repeated):
    """As far as it is kept."""
    proxy, api, rotate = rotating()
    rotate()
    body = b"b" * size
    answer = ask(proxy, "POST", body)
    assert answer.status == (200 if repeated else 401)
    assert not repeated or answer.body == body
    assert len(api.tried()) == 1 + repeated


def test_by_http2(rotating):
    proxy, api, rotate = rotating()
    rotate()
    with H2(proxy) as client:
        assert client.ask("/api/x").status == 200
    assert len(api.tried()) == 2


def test_strict(rotating):
    proxy, api, rotate = rotating(rotation="strict")
    new = rotate()
    assert ask(proxy).status == 401
    assert api.tried() == [new]


def test_two_rotations(rotating):
    """The last one before counts, and no other."""
    proxy, api, rotate = rotating()
    first = rotate()
    api.good = {first}
    second = rotate()
    assert ask(proxy).status == 200
    assert api.tried() == [second, first]


def test_what_began_with_the_old_one(rotating):
    """Its upstream answers 401 once the value was replaced: the request goes on with the new one."""
    proxy, api, rotate = rotating()
    came, go = threading.Event(), threading.Event()
    api.server.script = answering(api, came, go)
    with proxy.client() as client:
        client.send(get("/api/x", proxy.token()))
        assert came.wait(10)
        new = rotate()
        api.good = {new}
        api.server.script = api.serve
        go.set()
        assert client.response().status == 200
    assert api.tried()[-1] == new


def take(proxy, text):
    count = proxy.log().count("keystile.yaml: taken")
    by_rename(proxy.config, text)
    proxy.text = text
    proxy.hang_up()
    assert proxy.log().count("keystile.yaml: taken") == count + 1


def add_another(proxy, tmp_path):
    """A credential `other` like `api`; the file of its secret."""
    other = tmp_path / "other"
    other.write_text(evidence.secret("other"))
    start, end = proxy.text.index("  api:\n"), proxy.text.index("profiles:")
    entry = proxy.text[start:end].replace("api:\n", "other:\n").replace("API_", "OTHER_").replace(f"{tmp_path}/secret", str(other))
    take(proxy, (proxy.text[:end] + entry + proxy.text[end:]).replace("[api]", "[api, other]"))
    return other


def answering(api, came, go):
    """A script that says 401 to one request, once `go` is set."""

    def serve(connection):
        api.said.append(connection.request().get("Authorization").removeprefix("Bearer "))
        came.set()
        assert go.wait(10)
        connection.answer("401 Unauthorized", "no")
        api.serve(connection)

    return serve


def test_what_began_beside_another_ones_rotation(rotating, tmp_path):
    """That other secrets changed meanwhile does not make the value an older one."""
    proxy, api, rotate = rotating()
    other = add_another(proxy, tmp_path)
    (old,) = api.good
    new = rotate()
    came, go = threading.Event(), threading.Event()
    api.server.script = answering(api, came, go)
    with proxy.client() as client:
        client.send(get("/api/x", proxy.token()))
        assert came.wait(10)
        api.server.script = api.serve
        by_rename(other, evidence.secret("other"))
        proxy.hang_up()
        status(proxy)  # each worker has taken it
        assert proxy.ask(get("/other/x", proxy.token("OTHER_TOKEN"))).status == 401
        assert api.tried()[0] == new
        go.set()
        assert client.response().status == 200
    assert api.tried() == [old]


def test_another_source_behind_a_value_that_was_refused(rotating, tmp_path):
    """The former value was preferred; the configuration that names another source has none."""
    proxy, api, rotate = rotating()
    rotate()
    assert ask(proxy).status == 200 and len(api.tried()) == 2
    last = tmp_path / "last"
    last.write_text(evidence.secret("last"))
    api.good = {last.read_text()}
    wait_for(lambda: time.time() - last.stat().st_ctime > 0.3, "a file that is taken at the first look")
    take(proxy, proxy.text.replace(f"{tmp_path}/secret", str(last)))
    wait_for(lambda: ask(proxy).status == 200, "the other source's value")
    assert api.tried()[-1] == last.read_text()


def test_a_configuration_that_signs_comes_meanwhile(rotating):
    """The 401 is tried again by what holds now."""
    proxy, api, rotate = rotating(head={"workers": "1"})
    rotate()
    came, go = threading.Event(), threading.Event()
    api.server.script = answering(api, came, go)
    with proxy.client() as client:
        client.send(get("/api/x", proxy.token(), "Content-Length: 4", method="POST") + "body")
        assert came.wait(10)
        api.server.script = api.serve
        (line,) = [line for line in proxy.text.splitlines() if " secret: " in line]
        source = line.split(": ", 1)[1]
        text = proxy.text.replace(line, f"    secrets: {{ id: {source}, key: {source} }}")
        (line,) = [line for line in text.splitlines() if " inject: " in line]
        take(proxy, text.replace(line, "    inject: { aws_sigv4: { region: eu-central-1, service: dynamodb } }"))
        assert ask(proxy).status == 401 and api.tried()[-1].startswith("AWS4-")
        go.set()
        assert client.response().status == 401
    (said,) = api.tried()
    assert said.startswith("AWS4-HMAC-SHA256 ")


def test_a_value_that_is_gone_when_it_is_wanted(rotating, tmp_path):
    """A configuration that came meanwhile has no overlap for the credential, only for another one: the 401 stays one."""
    proxy, api, rotate = rotating()
    came, go = threading.Event(), threading.Event()

    other = add_another(proxy, tmp_path)
    by_rename(other, evidence.secret("other"))
    new = rotate()
    api.good, api.server.script = set(), answering(api, came, go)
    with proxy.client() as client:
        client.send(get("/api/x", proxy.token()))
        assert came.wait(10)
        api.server.script = api.serve
        take(proxy, proxy.text.replace("  api:\n", "  api:\n    rotation: strict\n"))
        go.set()
        assert client.response().status == 401
    assert set(api.tried()) <= {new}


def locked(proxy):
    """KiB of locked memory."""
    with open(f"/proc/{proxy.process.pid}/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmLck:"))


@pytest.mark.skipif(sanitizers.in_use(), reason="sanitizers make mlock() do nothing, by which it is measured")
def test_what_stands_keeps_no_old_value(rotating, origin):
    """Neither a tunnel nor an upgraded connection holds on to the secrets of its time, however long it stands."""
    server = origin(standing.serve)
    place = f"127.0.0.1:{server.port}"
    proxy, _, rotate = rotating(hosts=f'["{place}"]')
    token = proxy.proxy_token()
    request = get(f"http://{place}/x", None, f"Proxy-Authorization: {basic('agent', token)}", *standing.UPGRADE, host=place)
    clients, sizes = [], []
    for _ in range(8):
        clients += [open_tunnel(proxy, place, token), proxy.client()]
        clients[-1].send(request)
        assert clients[-1].response().status == 101
        rotate()
        status(proxy)  # each worker has taken it
        sizes.append(locked(proxy))
    assert min(sizes) > 0
    wait_for(lambda: locked(proxy) <= sizes[3], f"memory as after four: {sizes}")
    for client in clients:
        client.sock.close()
