"""Commands of `exec:` (SPEC §2, §11): run in the background, side by side, again before what they printed ends, and in the way of
nothing that has a good value. A command stands still where the test wants it, at a pipe that nobody writes to yet."""

import json
import os
import pathlib
import signal
import threading
import time

import pytest

from peers import evidence
from peers.config import get, problem
from peers.keystile import wait_for
from peers.metrics import admin, scrape, status

SCRIPT = """\
cd {folder} || exit
echo $$ >>runs
[ -p gate ] && read line <gate
[ -e bad ] && {{ cat value >&2; exit 3; }}
cat value
"""


class Command:
    """A command, and what it shall print."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.source = f"exec:/bin/sh {folder}/command"
        (folder / "command").write_text(SCRIPT.format(folder=folder))
        self.renew()

    def renew(self):
        """It prints another value from here on."""
        self.value = evidence.secret("exec")
        (self.folder / "value").write_text(self.value)

    def hold(self):
        """It stands still from here on."""
        os.mkfifo(self.folder / "gate")

    def release(self):
        """It goes on: the one that runs, once it does, and all later ones."""
        with open(self.folder / "gate", "wb"):
            os.unlink(self.folder / "gate")

    def fail(self, fails=True):
        (self.folder / "bad").touch() if fails else (self.folder / "bad").unlink()

    def runs(self):
        """The processes, in their order."""
        path = self.folder / "runs"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def wait_for_run(self, count):
        wait_for(lambda: len(self.runs()) >= count, f"run {count}")
        return self.runs()[count - 1]


def has_ended(pid):
    """Nothing is left of it, and no zombie either."""
    return not os.path.exists(f"/proc/{pid}")


def children(proxy):
    return pathlib.Path(f"/proc/{proxy.process.pid}/task/{proxy.process.pid}/children").read_text().split()


@pytest.fixture
def world(keystile, origin, tmp_path):
    """world(NAMES, …) gives proxyd with a credential for each name, its commands, and the API, which takes all but what is in
    `refused`; beside them one whose secret is a file's."""

    class World:
        def __init__(self, names, start=True, head=None, **more):
            self.api = origin(self.serve)
            self.refused = set()
            self.commands = {name: Command(tmp_path / name) for name in names}
            self.file = tmp_path / "file"
            self.file.write_text(evidence.secret("file"))
            self.more = more
            self.proxy = keystile(self.config(names), {}, head, start=start)
            self.tokens = {name: self.proxy.token(f"{name.upper()}_TOKEN") for name in [*names, "file"]}
            if start:  # proxyd is ready without them where they take long
                wait_for(lambda: not self.waiting(), "the first values")

        def config(self, names):
            sources = {**{name: self.commands[name].source for name in names}, "file": f"file:{self.file}"}
            text = "credentials:\n"
            for name, source in sources.items():
                text += (f"  {name}:\n    upstream: http://127.0.0.1:{self.api.port}\n    secret: '{source}'\n"
                         "    inject: { header: Authorization, value: 'Bearer {secret}' }\n"
                         f"    env: {{ token: {name.upper()}_TOKEN }}\n")
                if source.startswith("exec"):
                    text += "".join(f"    {key}: {value}\n" for key, value in self.more.items())
            return text + f"profiles:\n  agent: {{ credentials: [{', '.join(sources)}] }}\n"

        def serve(self, connection):
            while True:
                message = connection.request()
                connection.origin.requests.append(message)
                refused = self.sent(message) in self.refused
                connection.answer("401 Unauthorized" if refused else "200 OK")

        def sent(self, message):
            return message.get("Authorization").removeprefix("Bearer ")

        def head(self, name):
            return get(f"/{name}/x", self.tokens[name])

        def ask(self, name):
            """What was sent up for a request that is answered with 200."""
            with self.proxy.client() as client:
                assert client.ask(self.head(name)).status == 200
            return self.sent(self.api.requests[-1])

        def answers(self, name):
            with self.proxy.client() as client:
                return client.ask(self.head(name)).status

        def waiting(self):
            return {entry["credential"]: entry["why"] for entry in json.loads(admin(self.proxy, "/readyz").body)["waiting"]}

        def stale(self):
            return {entry["credential"]: entry["why"] for entry in json.loads(admin(self.proxy, "/readyz").body)["stale"]}

        def change_the_file(self):
            """Returns once what is there then is in use, of commands too."""
            self.file.write_text(evidence.secret("file"))
            wait_for(lambda: self.ask("file") == self.file.read_text(), "the file's new value")

    return World


def test_a_slow_one_at_start(world):
    """proxyd is ready without it; who needs it waits, and nobody else; one run is for all who wait."""
    one = world("ab", start=False)
    a, b = one.commands.values()
    a.hold()
    one.proxy.start()
    assert one.ask("b") == b.value and one.ask("file") == one.file.read_text()
    assert list(one.waiting()) == ["a"] and "run for the first time" in one.waiting()["a"]
    clients = [one.proxy.client(f"client {number}") for number in range(20)]
    for client in clients:
        client.send(one.head("a"))
    assert clients[-1].quiet()
    a.release()
    assert {client.response().status for client in clients} == {200}
    for client in clients:
        client.close()
    assert one.ask("a") == a.value and not one.waiting()
    assert len(a.runs()) == len(b.runs()) == 1
    assert "not ready" not in one.proxy.log()


def test_while_it_runs_again(world):
    """The good value is used, SIGHUP is worked off, and other secrets go on."""
    one = world("ab", ttl="3600s")
    a, b = one.commands.values()
    old = a.value
    a.renew()
    b.renew()
    a.hold()
    one.proxy.hang_up()
    a.wait_for_run(2)
    wait_for(lambda: one.ask("b") == b.value, "the other command's new value")
    one.change_the_file()
    one.proxy.hang_up()
    assert one.ask("a") == old
    a.release()
    wait_for(lambda: one.ask("a") == a.value, "the new value")
    a.wait_for_run(3)  # what was asked for while it ran


def test_before_it_ends(world):
    """At some 80 % of the ttl; and never used beyond it: who comes then waits for the next one."""
    one = world("a", ttl="5s")
    a, old = one.commands["a"], one.commands["a"].value
    a.renew()
    a.hold()
    a.wait_for_run(2)
    with one.proxy.client() as client:
        client.send(one.head("a"))
        wait_for(lambda: not client.quiet(0.01) or "a" in one.waiting(), "an answer, or the value's end where that was quicker")
        if client.buffer:
            assert client.response().status == 200 and one.sent(one.api.requests[-1]) == old
    wait_for(lambda: "a" in one.waiting(), "the end of the value")
    with one.proxy.client() as client:
        client.send(one.head("a"))
        assert client.quiet()
        a.release()
        assert client.response().status == 200
    assert one.sent(one.api.requests[-1]) == a.value
    a.wait_for_run(3)
    assert one.ask("a") == a.value


def test_at_the_very_end(world):
    """Whoever comes as the value ends, while its command runs, waits too: there is no moment at which that is told as a failure."""
    one = world("a", ttl="3s")
    a = one.commands["a"]
    a.renew()
    a.hold()
    statuses, over = [], threading.Event()

    def ask():
        with one.proxy.client() as client:
            while not over.is_set():
                statuses.append(client.ask(one.head("a")).status)

    thread = threading.Thread(target=ask)
    thread.start()
    wait_for(lambda: "a" in one.waiting(), "the end of the value")
    a.release()
    wait_for(lambda: one.sent(one.api.requests[-1]) == a.value, "the new value")
    over.set()
    thread.join()
    assert set(statuses) == {200}


def test_failures(world):
    """The last value stays for as long as it is good; then the reason is told, once in the log; it is tried again by itself."""
    one = world("a", ttl="6s")
    a, old = one.commands["a"], one.commands["a"].value
    a.renew()
    a.fail()
    one.proxy.hang_up()  # long before its end
    wait_for(one.stale, "a failure")
    assert "ended with status 3" in one.stale()["a"] and one.ask("a") == old
    wait_for(one.waiting, "the end of the value")
    answer = one.proxy.ask(one.head("a"))
    told = problem(answer, 503)
    assert "exec:/bin/sh: ended with status 3" in told["detail"] and "run again by itself" in told["hint"]
    assert 1 <= int(answer.get("Retry-After")) <= 10
    runs = len(a.runs())
    a.hold()
    wait_for(lambda: len(a.runs()) > runs and not has_ended(a.runs()[-1]), "the next try")
    one.change_the_file()
    assert problem(one.proxy.ask(one.head("a")), 503)["detail"] == told["detail"], "nobody waits for what may fail again"
    a.fail(False)
    a.release()
    wait_for(lambda: one.answers("a") == 200, "the next try")
    assert one.ask("a") == a.value and not one.waiting() and not one.stale()
    log = one.proxy.log()
    assert log.count("credential a is not ready") == log.count("goes on with its last good value") == 1, log
    assert log.count("credential a is ready") == 1


def test_children_that_are_ignored(world):
    """As whoever starts proxyd may leave it: a command that failed is one no less, and what it printed is no secret."""
    one = world("a", start=False)
    a = one.commands["a"]
    (a.folder / "command").write_text(SCRIPT.format(folder=a.folder) + "exit 7\n")
    one.proxy.start(launcher=["env", "--ignore-signal=CHLD"])
    assert "ended with status 7" in problem(one.proxy.ask(one.head("a")), 503)["detail"]
    assert one.api.requests == []


def test_its_environment(world):
    """Nothing of the service manager's, and no secret of another credential; the limit on files is that of the start."""
    one = world("ab", start=False)
    a, secret = one.commands["a"], evidence.secret("other")
    shows = f"cd {a.folder} || exit\nenv >environment\nuntil [ $(ulimit -Sn) = 300 ]; do :; done\necho $$ >>runs\ncat value\n"
    (a.folder / "command").write_text(shows)
    one.proxy.take(one.proxy.text.replace(one.commands["b"].source, "env:OTHER_SECRET"))
    one.proxy.start(env={"OTHER_SECRET": secret, "REGION": "eu", "LISTEN_FDS": "0", "LISTEN_PID": "1", "WATCHDOG_USEC": "1"},
                    launcher=["/bin/sh", "-c", 'ulimit -Sn 300; exec "$@"', "launcher"])
    assert one.ask("a") == a.value and one.ask("b") == secret
    one.proxy.hang_up()
    a.wait_for_run(2)  # proxyd's own limit is raised by then
    assert "Max open files             300 " not in pathlib.Path(f"/proc/{one.proxy.process.pid}/limits").read_text()
    names = {line.split("=")[0] for line in (a.folder / "environment").read_text().splitlines()}
    assert {"PATH", "REGION"} <= names
    assert not names & {"OTHER_SECRET", "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "WATCHDOG_USEC"}


def test_what_it_leaves_behind_ends_with_it(world):
    one = world("a", start=False)
    a = one.commands["a"]
    (a.folder / "command").write_text(SCRIPT.format(folder=a.folder) + f"sleep 60 >/dev/null 2>&1 & echo $! >{a.folder}/left\n")
    one.proxy.start()
    assert one.ask("a") == a.value
    left = int((a.folder / "left").read_text())
    wait_for(lambda: has_ended(left), "the end of what the command left")


def test_hangup_mends(world):
    """No pause is waited for."""
    one = world("a", start=False)
    a = one.commands["a"]
    a.fail()
    one.proxy.start()
    a.wait_for_run(4)  # the pauses double: the next is of 8 s
    wait_for(lambda: int(one.proxy.ask(one.head("a")).get("Retry-After")) >= 7, "the fourth failure")
    a.fail(False)
    one.proxy.hang_up()
    wait_for(lambda: one.answers("a") == 200, "its value", 5)


def test_hangup_mends_nothing(world):
    """What fails again was never ready in between, and is told once."""
    one = world("a", start=False)
    a = one.commands["a"]
    a.fail()
    one.proxy.start()
    assert "ended with status 3" in problem(one.proxy.ask(one.head("a")), 503)["detail"]
    a.hold()
    runs = len(a.runs())
    one.proxy.hang_up()
    a.wait_for_run(runs + 1)
    one.change_the_file()  # by then what is told of the run has been
    assert "a" in one.waiting() and "credential a is ready" not in one.proxy.log()
    a.release()
    assert "ended with status 3" in problem(one.proxy.ask(one.head("a")), 503)["detail"]
    a.fail(False)
    one.proxy.hang_up()
    wait_for(lambda: one.answers("a") == 200, "its value")
    log = one.proxy.log()
    assert log.count("credential a is not ready") == log.count("credential a is ready") == 1, log


def test_side_by_side(world):
    """Eight; those behind them come as places are free."""
    names = "abcdefghij"
    one = world(names, start=False)
    for command in one.commands.values():
        command.hold()
    one.proxy.start()
    wait_for(lambda: sum(len(command.runs()) for command in one.commands.values()) >= 8, "eight")
    running = [command for command in one.commands.values() if command.runs()]
    assert len(running) == 8
    running[0].release()
    wait_for(lambda: sum(len(command.runs()) for command in one.commands.values()) == 9, "the ninth")
    for command in one.commands.values():
        if command is not running[0]:
            command.release()
    for name, command in one.commands.items():
        wait_for(lambda: one.answers(name) == 200, f"the value of {name}")
        assert one.ask(name) == command.value and len(command.runs()) == 1


def test_one_command_of_two_credentials(world):
    """With one ttl it is one; a value that one of them sees refused is new for both."""
    one = world("ab", start=False)
    a = one.commands["a"]
    one.proxy.take(one.proxy.text.replace(one.commands["b"].source, a.source))
    one.proxy.start()
    assert one.ask("a") == one.ask("b") == a.value and len(a.runs()) == 1
    one.refused.add(a.value)
    a.renew()
    assert one.ask("a") == a.value and one.ask("b") == a.value and len(a.runs()) == 2


def test_a_value_that_is_refused(world):
    """Who found out waits for the next one, others too; no other credential does."""
    one = world("ab", ttl="3600s")
    a = one.commands["a"]
    one.refused.add(a.value)
    a.renew()
    a.hold()
    with one.proxy.client() as first, one.proxy.client() as second:
        first.send(one.head("a"))
        a.wait_for_run(2)
        second.send(one.head("a"))
        assert one.ask("b") == one.commands["b"].value
        assert second.quiet() and first.quiet(0.01)
        a.release()
        assert first.response().status == second.response().status == 200
    assert len(a.runs()) == 2


def test_times(world):
    """As dates."""
    one = world("a", ttl="300s")
    now = time.time()
    expires = scrape(one.proxy)["keystile_secret_expires_timestamp_seconds", "a", "secret"]
    assert now + 290 < expires < now + 302
    (entry,) = [entry for entry in status(one.proxy)["credentials"] if entry["name"] == "a"]
    assert time.strftime("%Y-%m-%dT%H", time.gmtime(expires)) in entry["expires"]


# A changed configuration:


def test_a_command_that_comes_and_one_that_goes(world):
    one = world("ab")
    a, b = one.commands.values()
    a.hold()
    one.proxy.hang_up()
    pid = a.wait_for_run(2)
    c = one.commands["c"] = Command(a.folder.parent / "c")
    c.hold()
    one.proxy.take(one.proxy.text.replace(a.source, c.source))
    c.wait_for_run(1)
    wait_for(lambda: has_ended(pid), "the end of what nobody wants")
    with one.proxy.client() as client:
        client.send(one.head("a"))
        assert client.quiet(0.1) and one.ask("b") == b.value
        c.release()
        assert client.response().status == 200
    assert one.sent(one.api.requests[-1]) == c.value
    wait_for(lambda: len(b.runs()) == 2 and not children(one.proxy), "the end of what ran beside it")


def test_a_configuration_that_is_refused(world):
    """What it alone would run is over; what was there goes on."""
    one = world("a", head={"audit": "{{ file: '{folder}/audit.jsonl' }}"})
    a = one.commands["a"]
    c = one.commands["c"] = Command(a.folder.parent / "c")
    c.hold()
    one.proxy.take(one.proxy.text.replace(a.source, c.source).replace("/audit.jsonl", "/none/audit.jsonl"))
    wait_for(lambda: "is refused" in one.proxy.log(), "the refusal")
    wait_for(lambda: all(has_ended(pid) for pid in c.runs()), "the end of its command")
    assert one.ask("a") == a.value and len(a.runs()) == 1


# The end:


def test_a_drain_in_which_one_is_waited_for(world):
    one = world("a")
    a = one.commands["a"]
    one.refused.add(a.value)
    a.renew()
    a.hold()
    with one.proxy.client() as client:
        client.send(one.head("a"))
        a.wait_for_run(2)
        one.proxy.process.send_signal(signal.SIGTERM)
        wait_for(lambda: "stopping" in one.proxy.log(), "the drain")
        a.release()
        assert client.response().status == 200
    assert one.proxy.stop() == 0
    assert one.sent(one.api.requests[-1]) == a.value


def test_an_end_for_which_none_is_waited_for(world):
    """Nobody needs it: its process ends with proxyd, at once."""
    one = world("a")
    a = one.commands["a"]
    a.hold()
    one.proxy.hang_up()
    pid = a.wait_for_run(2)
    assert one.proxy.stop() == 0
    assert has_ended(pid)


def test_asked_to_end_twice(world):
    one = world("a")
    a = one.commands["a"]
    one.refused.add(a.value)
    a.hold()
    with one.proxy.client() as client:
        client.send(one.head("a"))
        pid = a.wait_for_run(2)
        wait_for(lambda: len(status(one.proxy)["live"]) == 1, "the request")
        assert one.proxy.hurry() == 0
    assert has_ended(pid)


def test_a_start_that_fails(world):
    """No process is left behind."""
    one = world("a", start=False, head={"audit": "{{ file: '{folder}/none/audit.jsonl' }}"})
    a = one.commands["a"]
    a.hold()
    one.proxy.start(wait=False)
    pid = a.wait_for_run(1)
    wait_for(lambda: one.proxy.process.poll() is not None, "the end")
    assert one.proxy.stop() == 1 and "none/audit.jsonl" in one.proxy.log()
    assert has_ended(pid)
