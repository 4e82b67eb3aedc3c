"""Secret files as those who write them change them, each in a way of its own, and a client that asks all the while."""

import hashlib
import http.client
import itertools
import json
import os
import shutil
import socket
import threading
import time

from . import sanitizers
from .config import BEARER
from .keystile import wait_for
from .metrics import admin, scrape, status

WITHIN = 5 if sanitizers.in_use() else 1  # s, SPEC §11
LARGEST = 64 * 1024


def lay(path, what):
    """Makes `what` at a path where nothing is: bytes are a file's, None is nothing, and a word is something else."""
    if isinstance(what, bytes):
        path.write_bytes(what)
    elif what == "folder":
        path.mkdir()
    elif what == "FIFO":
        os.mkfifo(path)
    elif what == "socket":
        folder = os.open(path.parent, os.O_RDONLY)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(f"/proc/self/fd/{folder}/{path.name}")  # its whole path may be longer than an address is
        os.close(folder)
    elif what == "closed":
        path.write_bytes(b"nobody-may-read-this")
        path.chmod(0)
    elif what == "nowhere":
        path.symlink_to("there-is-no-such-file")
    else:
        assert what is None


def clear(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class Way:
    """`file` is what the configuration names; nothing of it is there at first."""

    def __init__(self, folder):
        self.folder, self.numbers = folder, itertools.count(1)
        folder.mkdir()
        self.file = folder / "secret"

    def fresh(self):
        return self.folder / f".{next(self.numbers)}"

    def put(self, what):
        raise NotImplementedError


class ByRename(Way):
    """Vault Agent: a temporary file in the same folder takes its place."""

    def put(self, what):
        if what is None or "folder" in (what, self.file.is_dir() and "folder"):  # rename(2) does not do this
            clear(self.file)
        if what is not None:
            fresh = self.fresh()
            lay(fresh, what)
            fresh.rename(self.file)


class InPlace(Way):
    """A shell's `>`: the file stays what it is, and has other bytes."""

    def put(self, what):
        if not (isinstance(what, bytes) and self.file.is_file() and self.file.stat().st_mode & 0o200):
            clear(self.file)
        lay(self.file, what)


class ByData(Way):
    """The kubelet's AtomicWriter, step by step: a new folder, `..data` led to it in one step, the links that users see, and
    the old folder's end."""

    def put(self, what):
        data = self.folder / "..data"
        old, fresh = data.exists() and data.resolve(), self.folder / f"..2026_11_27_18_00_00.{next(self.numbers)}"
        fresh.mkdir()
        lay(fresh / "secret", what)
        (self.folder / "..data_tmp").symlink_to(fresh.name)
        (self.folder / "..data_tmp").rename(data)
        if what is None:
            self.file.unlink(missing_ok=True)
        elif not self.file.is_symlink():
            self.file.symlink_to("..data/secret")
        if old:
            shutil.rmtree(old)


class ByLink(Way):
    """A link that is led elsewhere."""

    def put(self, what):
        target, link = self.fresh(), self.fresh()
        lay(target, what)
        if what is None:
            clear(self.file)
        else:
            link.symlink_to(target.name)
            link.rename(self.file)


class ByParentLink(Way):
    """The same for the folder above it."""

    def __init__(self, folder):
        super().__init__(folder)
        self.file = folder / "current/secret"

    def put(self, what):
        target, link = self.fresh(), self.fresh()
        target.mkdir()
        lay(target / "secret", what)
        link.symlink_to(target.name)
        link.rename(self.file.parent)


class ByFolder(Way):
    """Its folder is put aside, and another one takes that one's place."""

    def __init__(self, folder):
        super().__init__(folder)
        self.file = folder / "secrets/secret"

    def put(self, what):
        fresh, old = self.fresh(), self.fresh()
        fresh.mkdir()
        lay(fresh / "secret", what)
        if self.file.parent.exists():
            self.file.parent.rename(old)
        fresh.rename(self.file.parent)
        shutil.rmtree(old, ignore_errors=True)


class WithFolders(Way):
    """All folders above it come with it, and go with it."""

    def __init__(self, folder):
        super().__init__(folder)
        self.top, self.file = folder / "late", folder / "late/of/all/secret"

    def put(self, what):
        clear(self.top)
        if what is not None:
            self.file.parent.mkdir(parents=True)
            lay(self.file, what)


WAYS = {
    "rename": ByRename, "in-place": InPlace, "data": ByData, "link": ByLink, "parent-link": ByParentLink, "folder": ByFolder,
    "folders": WithFolders,
}


def mark(value):
    """What a value is known by in an answer, where it would itself be scrubbed."""
    return hashlib.sha256(f"Bearer {value}".encode()).hexdigest()


def answer_marks(connection):
    """A server's script."""
    while True:
        connection.answer("200 OK", hashlib.sha256(connection.request().get("Authorization").encode()).hexdigest())


def config_for(port, files, **more):
    """A credential for each of `files` (NAME: PATH), in one profile; `more` are further lines of each."""
    lines = "".join(f"    {key}: {value}\n" for key, value in more.items())
    entries = "".join(
        f"  {name}:\n    upstream: http://127.0.0.1:{port}\n    secret: file:{path}\n    inject: {BEARER}\n"
        f"    env: {{ token: TOKEN_OF_{name.upper().replace('-', '_')} }}\n{lines}" for name, path in files.items())
    return f"credentials:\n{entries}profiles:\n  agent:\n    credentials: [{', '.join(files)}]\n"


class Pulse:
    """A client that asks for one credential after the other, on one connection that it keeps. For each credential it has what
    came, in order: the time at which it asked, and the mark of the value that went up, or None with the 503's `detail`."""

    def __init__(self, proxy, names):
        self.proxy, self.names = proxy, names
        environment = proxy.environment()
        self.tokens = {name: environment[f"TOKEN_OF_{name.upper().replace('-', '_')}"] for name in names}
        self.came = {name: [] for name in names}
        self.stop, self.error, self.late = threading.Event(), None, []
        self.connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
        self.connection.connect()
        self.connection.auto_open = False  # it is this one, to the end
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def ask(self, name):
        asked = time.monotonic()
        self.connection.request("GET", f"/{name}/x", headers={"Authorization": f"Bearer {self.tokens[name]}"})
        response = self.connection.getresponse()
        body = response.read().decode()
        assert response.status in (200, 503), (name, response.status, body)
        self.came[name].append((asked, body if response.status == 200 else None, body))

    def run(self):
        try:
            for name in itertools.cycle(self.names):
                self.ask(name)
                if self.stop.wait(0.002):
                    break
        except Exception as error:
            self.error = error

    def until(self, name, value, since, within=WITHIN):
        """Waits for the value of a credential to go up; it did so within so many seconds. One of all values may take longer:
        this machine may stand still."""

        def found():
            assert self.error is None, f"the client: {self.error!r}"
            return next((asked for asked, came, _ in reversed(self.came[name]) if asked >= since and came == mark(value)), None)

        wait_for(found, f"{name} to have the new value")
        first = next(asked for asked, came, _ in self.came[name] if asked >= since and came == mark(value))
        if first - since >= within:
            self.late.append(f"{name}: {first - since:.2f} s until it was injected")
        assert len(self.late) < 2 and first - since < within + 4, self.late

    def runs(self, name):
        """What went up, each value once for each time that it began to."""
        return [came for came, _ in itertools.groupby(came for _, came, _ in self.came[name])]

    def beats(self, name):
        """Waits until it asked once more and was answered."""
        count = len(self.came[name])
        wait_for(lambda: self.error or len(self.came[name]) > count + 1, f"two more answers for {name}")
        return self.came[name][-1]

    def close(self):
        self.stop.set()
        self.thread.join(15)
        self.connection.close()
        assert self.error is None, f"the client: {self.error!r}"


def told(proxy):
    """What /readyz tells: for each credential that waits, or goes on with what it had, why."""
    answer = admin(proxy, "/readyz")
    lists = json.loads(answer.body)
    assert answer.status == 200 and lists["status"] == "ready", lists
    return tuple({one["credential"]: one["why"] for one in lists[name]} for name in ("waiting", "stale"))


def tells_the_same(proxy, names, waiting, stale):
    """Do /readyz?all, /metrics and /status agree with what /readyz told?"""
    assert admin(proxy, "/readyz?all").status == (503 if waiting else 200)
    metrics, rows = scrape(proxy), {row["name"]: row for row in status(proxy)["credentials"]}
    for name in names:
        assert metrics.get("keystile_credential_ready", name) == (name not in waiting), name
        assert metrics.get("keystile_secret_stale", name) == (name in stale), name
        assert (rows[name]["ready"], rows[name]["why"]) == (name not in waiting, waiting.get(name)), name
        assert rows[name]["stale"] == stale.get(name), name
