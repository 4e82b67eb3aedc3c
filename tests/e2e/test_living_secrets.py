"""Secret files that come, change, turn bad, turn good and go while a client asks all the time (SPEC §11)."""

import itertools
import os
import pathlib
import threading
import time

import pytest

from peers import evidence
from peers.keystile import wait_for
from peers.living import LARGEST, WAYS, Pulse, answer_marks, config_for, mark, tells_the_same, told

GOOD = object()
STILL = 0.09  # s, less than proxyd waits before it looks at a file that has changed
# root reads all, but for who gave its capabilities up
PLAIN = ["setpriv", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []

# What is put in the file's place, one after the other, and a part of the reason where that is no secret: never the same twice in a
# row, so that it tells of just this look.
LIFE = [
    (None, "No such file"),
    (b"", "is empty"),
    (GOOD, None),
    (GOOD, None),
    (b"", "is empty"),
    (b"half of a secr\0", "control"),
    (b"\n", "is empty"),
    (b"two\nlines\n", "line break"),
    (b"<no value>", "no value"),
    (b"x" * (LARGEST + 1), "longer than"),
    ("folder", "not a regular file"),
    (GOOD, None),
    ("FIFO", "not a regular file"),
    ("socket", "No such device"),
    ("closed", "Permission denied"),
    ("nowhere", "No such file"),
    (GOOD, None),
    (None, "No such file"),
    (GOOD, None),
]


class Lives:
    """proxyd with a credential for each way, and one whose file never changes."""

    def __init__(self, keystile, origin, folder, names, launcher=(), **more):
        folder.mkdir()
        self.ways = {name: WAYS[name](folder / name) for name in names}
        self.steady = folder / "steady"
        self.steady.write_text(evidence.secret("steady"))
        self.names = [*self.ways, "steady"]
        files = {name: way.file for name, way in self.ways.items()} | {"steady": self.steady}
        self.proxy = keystile(config_for(origin(answer_marks).port, files, **more), launcher=launcher)
        self.current = {name: None for name in self.ways}
        self.expected = {name: [None] for name in self.ways}
        self.slow = set()  # where a file may have been seen half changed

    def put(self, name, what):
        """Returns when, and what the secret is now: None where it is none."""
        since = time.monotonic()
        if what is GOOD:
            self.current[name] = evidence.secret(name)
            self.expected[name].append(mark(self.current[name]))
            what = self.current[name].encode() + b"\n"
        self.ways[name].put(what)
        if time.monotonic() - since > STILL:
            self.slow.add(name)
        return since


@pytest.fixture
def lives(keystile, origin, tmp_path):
    """lives(*NAMES) gives Lives, and the Pulse of a client."""
    made = []

    def start(*names, **more):
        one = Lives(keystile, origin, tmp_path / "files", names, **more)
        made.append(Pulse(one.proxy, one.names))
        return one, made[-1]

    yield start
    for pulse in made:
        pulse.close()


def settled(one, part):
    """Waits until /readyz tells of all ways that `part` is why; None: nothing."""
    def reasons():
        waiting, stale = told(one.proxy)
        lists = [(waiting, stale) if one.current[name] else (stale, waiting) for name in one.ways]
        found = [(other.get(name), why.get(name)) for name, (other, why) in zip(one.ways, lists)]
        done = all(other is None and (part in why if part and why else why is part) for other, why in found)
        return done and (waiting, stale)

    return wait_for(reasons, f"/readyz to tell of {part!r}")


def test_lives(lives):
    """Every way at once: what is no secret is never sent, and told of in the same way everywhere."""
    one, pulse = lives(*WAYS, launcher=PLAIN)
    for what, part in LIFE:
        since = {name: one.put(name, what) for name in one.ways}
        waiting, stale = settled(one, part)
        tells_the_same(one.proxy, one.names, waiting, stale)
        assert set(waiting) | set(stale) == (set(one.ways) if part else set())
        for name, way in one.ways.items():
            if part:
                assert str(way.file) in (waiting | stale)[name]
                _, came, body = pulse.beats(name)
                assert came == (mark(one.current[name]) if one.current[name] else None)
                assert came or f"file:{way.file}" in body and part in body, body
            else:
                pulse.until(name, one.current[name], since[name])
    for name in one.ways:
        assert pulse.runs(name) == one.expected[name]
    assert pulse.runs("steady") == [mark(one.steady.read_text())]
    check_log(one)


def test_each_by_itself(lives):
    """What happens to a file is seen without anything that happens to another one."""
    one, pulse = lives(*WAYS)
    for name in one.ways:
        for what in (GOOD, GOOD, None, GOOD):
            since = one.put(name, what)
            if what is GOOD:
                pulse.until(name, one.current[name], since)
            else:
                wait_for(lambda: name in told(one.proxy)[1], f"/readyz to tell that {name} has gone")
    for name in one.ways:
        assert pulse.runs(name) == one.expected[name]


def check_log(one):
    """Each reason stands there once, whatever else was looked at meanwhile."""
    log = one.proxy.log()
    first = next(i for i, (what, _) in enumerate(LIFE) if what is GOOD)
    for name in set(one.ways) - one.slow:
        assert log.count(f"credential {name} is not ready") == first, name
        assert log.count(f"credential {name} goes on with") == sum(1 for what, part in LIFE[first:] if part), name
    assert "credential steady" not in log and log.count("proxyd ready") <= 1


def write_half(path, value):
    """Opens it as a shell's `>` does, and leaves it with the first half of the value in it."""
    file = open(path, "wb")
    file.write(value[: len(value) // 2])
    file.flush()
    return file


def test_written_in_pieces(lives):
    """Half of a value is never sent, though other files have proxyd look while it stands there."""
    one, pulse = lives("rename", "in-place")
    path, slow = one.ways["in-place"].file, set()
    for name in one.ways:
        since = one.put(name, GOOD)
        pulse.until(name, one.current[name], since)
    for pause in [0.01, 0.03, 0.05, 0.07, 0.08] * 3:  # a look comes 100 ms behind the rename, wherever the writer then is
        value = evidence.secret("pieces")
        one.expected["in-place"].append(mark(value))
        renamed = one.put("rename", GOOD)
        assert not pulse.stop.wait(pause)
        begun = time.monotonic()
        file = write_half(path, value.encode())
        assert not pulse.stop.wait(0.05)
        file.write(value.encode()[len(value) // 2:])
        file.close()
        since = time.monotonic()
        if since - begun > STILL:  # this machine did not let us be as quick as we wanted to be: the half was still
            slow.add(mark(value[: len(value) // 2]))
        pulse.until("in-place", value, since)
        pulse.until("rename", one.current["rename"], renamed)
    for name in one.ways:
        assert [value for value in pulse.runs(name) if value not in slow] == one.expected[name]
    assert slow or "is empty" not in one.proxy.log()


def test_one_that_is_never_still(lives):
    """It keeps the others waiting for a while at most, and is itself taken once it is still."""
    one, pulse = lives("rename", "in-place")
    rewritten, over, times = b"never-still-and-never-sent", threading.Event(), []

    def rewrite():
        while not over.wait(0.02):
            one.ways["in-place"].put(rewritten)
            times.append(time.monotonic())

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        for _ in range(3):
            since = one.put("rename", GOOD)
            pulse.until("rename", one.current["rename"], since)
    finally:
        over.set()
        writer.join()
    # Where its writer was kept waiting, it was still.
    pauses = [after - before for before, after in itertools.pairwise(times)]
    still = {mark(rewritten.decode())} if max(pauses) > STILL else set()
    assert set(pulse.runs("in-place")) <= {None} | still
    since = one.put("in-place", GOOD)
    pulse.until("in-place", one.current["in-place"], since)
    assert [value for value in pulse.runs("in-place") if value not in still] == one.expected["in-place"]


def locked_memory(proxy):
    lines = pathlib.Path(f"/proc/{proxy.process.pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmLck:")))


def test_what_was_replaced_is_let_go_of(lives):
    """No value but the current one is held, not that of the start either."""
    one, pulse = lives("rename", rotation="strict")
    before = locked_memory(one.proxy)
    if before == 0:
        pytest.skip("this machine lets nobody lock memory")
    for _ in range(3):
        since = one.put("rename", GOOD)
        pulse.until("rename", one.current["rename"], since)
        wait_for(lambda: locked_memory(one.proxy) <= before, f"no more than {before} KiB that are locked")
