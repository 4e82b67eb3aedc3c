"""What proxyd gives up once it serves, seen from outside, and that it lives on with what is left. What a process in its
place cannot do any more, tests/unit/test_isolation.c tries."""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import tempfile

import pytest

from peers import evidence, sanitizers
from peers.config import get, one_api
from peers.keystile import Keystile, wait_for
from peers.minting import revealed

KEPT = {"chown": 0, "dac_override": 1, "dac_read_search": 2, "fowner": 3, "ipc_lock": 14}  # capabilities(7)
NOBODY = 65534

pytestmark = pytest.mark.skipif(sanitizers.in_use(), reason="proxyd gives up nothing where it was built with sanitizers")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")


def lines(proxy, word="confinement:"):
    return [line for line in proxy.log().splitlines() if word in line]


def statuses(proxy):
    """What /proc says of each of its threads."""
    found = []
    for task in pathlib.Path(f"/proc/{proxy.process.pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # one that ran a command, and has ended
            found.append(dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if ":\t" in line))
    return found


def ask(proxy):
    response = proxy.ask(get("/api/x", proxy.token()))
    return response.status, response.body.decode()


@pytest.fixture
def showing(origin):
    """An upstream that answers with the number of bytes of the secret that it got."""

    def serve(connection):
        while True:
            connection.answer("200 OK", str(len(connection.request().get("Authorization"))).encode())

    return origin(serve)


def entry(showing, source, **more):
    return one_api(f"http://127.0.0.1:{showing.port}", **more).replace("vault:api", source)


def length(secret):
    return 200, str(len("Bearer " + secret))


def hup(proxy, what):
    """SIGHUP, until `what` is in the log once more than before."""
    before = proxy.log().count(what)
    proxy.process.send_signal(signal.SIGHUP)
    wait_for(lambda: proxy.log().count(what) > before, f"{what} in the log: {proxy.log()}")


def change(proxy, text, what):
    before = proxy.log().count(what)
    proxy.take(text)
    proxy.process.send_signal(signal.SIGHUP)
    wait_for(lambda: proxy.log().count(what) > before, f"{what} in the log: {proxy.log()}")


# ---- what is gone


def test_each_thread(keystile, showing):
    proxy = keystile(entry(showing, "vault:api"), {"api": evidence.secret("each")}, {"workers": "3"})
    assert ask(proxy)[0] == 200
    kept = sum(1 << number for number in KEPT.values())
    threads = statuses(proxy)
    assert len(threads) > 3
    for status in threads:
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2", status
        assert int(status["CapEff"], 16) & ~kept == 0 and int(status["CapPrm"], 16) & ~kept == 0, status
        assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0, status
        assert os.geteuid() != 0 or int(status["CapBnd"], 16) & ~kept == 0, status


def test_told(keystile, showing):
    proxy = keystile(entry(showing, "vault:api"), {"api": evidence.secret("told")})
    (line,) = lines(proxy)
    assert re.search(r"no new privileges, no capabilities.*, system calls by seccomp$", line), line
    assert proxy.log().index(line) < proxy.log().index("proxyd: ready")


@as_root
def test_as_a_user_of_its_own(showing, request):
    """Without root it has no capability at all, and nothing asks for one."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="keystile-user-"))
    request.addfinalizer(lambda: shutil.rmtree(folder))
    secret = evidence.secret("user")
    proxy = Keystile(folder, entry(showing, "vault:api"), {"api": secret})
    for path in (folder, *folder.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    proxy.start(launcher=["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"])
    request.addfinalizer(proxy.stop)
    assert ask(proxy) == length(secret)
    for status in statuses(proxy):
        assert {status[name] for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")} == {"0" * 16}, status
    assert ", no capabilities, " in lines(proxy)[0]


# ---- it lives on


def test_the_audit_file_is_rotated(keystile, showing):
    proxy = keystile(entry(showing, "vault:api"), {"api": evidence.secret("rotated")})
    audit = proxy.folder / "audit.jsonl"
    assert ask(proxy)[0] == 200
    proxy.audit(1)
    audit.rename(proxy.folder / "audit.jsonl.1")
    hup(proxy, "SIGHUP: audit file reopened")
    assert ask(proxy)[0] == 200
    proxy.audit(1)
    assert "stays the old one" not in proxy.log()


@as_root
def test_a_secret_of_another_user_is_rotated(keystile, showing, tmp_path):
    """As Vault Agent has it: another file, 0640, of its own user."""
    path, one, two = tmp_path / "secret", evidence.secret("one"), evidence.secret("another-one")
    path.write_text(one)
    proxy = keystile(entry(showing, f"file:{path}"))
    assert ask(proxy) == length(one)
    fresh = tmp_path / "secret.tmp"
    fresh.write_text(two)
    fresh.chmod(0o640)
    os.chown(fresh, NOBODY, NOBODY)
    fresh.rename(path)
    wait_for(lambda: ask(proxy) == length(two), "the other secret")


GIVING = 1 << KEPT["chown"] | 1 << KEPT["fowner"]


@as_root
def test_what_is_replaced_keeps_its_owner(minting):
    """The rights to give files away are kept for that alone."""
    one = minting(refresh=True, start=False)
    for path in (one.proxy.folder, *one.proxy.folder.glob("secrets.vault*")):
        os.chown(path, NOBODY, NOBODY)
    one.start()
    one.works()
    assert one.newest() != one.secrets["refresh"] and revealed(one.proxy, "refresh") == one.newest()
    for path in one.proxy.folder.glob("secrets.vault*"):
        assert (path.stat().st_uid, path.stat().st_gid) == (NOBODY, NOBODY), path
    assert all(int(status["CapEff"], 16) & GIVING == GIVING for status in statuses(one.proxy))


@as_root
def test_no_other_owners(keystile, showing):
    proxy = keystile(entry(showing, "vault:api"), {"api": evidence.secret("owners")})
    assert all(int(status["CapPrm"], 16) & GIVING == 0 for status in statuses(proxy))
    assert not re.search("chown|fowner", lines(proxy)[0]), lines(proxy)


def test_the_socket_is_removed_at_the_end(keystile, showing):
    secret = evidence.secret("socket")
    proxy = keystile(entry(showing, "vault:api"), {"api": secret}, {"listen": '["127.0.0.1:{port}", "unix:{folder}/run.sock"]'})
    assert (proxy.folder / "run.sock").is_socket()
    proxy.process.send_signal(signal.SIGTERM)
    proxy.wait_notified("STOPPING=1")  # by an abstract socket
    assert proxy.stop() == 0
    assert not (proxy.folder / "run.sock").exists()


OPENSSL = """openssl_conf = init
[init]
providers = providers
[providers]
default = on
legacy = on
[on]
activate = 1
"""


def test_what_openssl_loads_is_loaded_before(keystile, showing, tmp_path):
    """Where libcurl, or what it uses, has OpenSSL, the machine's openssl.cnf may have providers in files of their own."""
    secret, traced, config = evidence.secret("loaded"), tmp_path / "traced", tmp_path / "openssl.cnf"
    config.write_text(OPENSSL)
    proxy = keystile(entry(showing, "vault:api"), {"api": secret}, env={"OPENSSL_CONF": config},
                     launcher=["strace", "-D", "-f", "-qq", "-o", traced, "-e", "trace=mmap"])
    assert ask(proxy) == length(secret)
    proxy.stop()
    assert "PROT_EXEC" in traced.read_text() and "EPERM" not in traced.read_text()


# ---- what takes a restart


def test_a_command_that_comes_later(keystile, showing):
    secret = evidence.secret("later")
    proxy = keystile(entry(showing, "vault:api"), {"api": secret})
    change(proxy, proxy.text.replace("vault:api", "exec:/bin/echo later"), "is refused")
    number = 1 + proxy.text.splitlines().index("    secret: exec:/bin/echo later")
    assert f"keystile.yaml:{number}:13: `exec:` needs a restart: proxyd gave up running programs" in proxy.log(), proxy.log()
    assert ask(proxy) == length(secret)
    assert proxy.stop() == 0
    proxy.start()
    assert ask(proxy) == length("later")


def test_another_folder_to_write_to(keystile, showing, tmp_path):
    proxy = keystile(entry(showing, "vault:api"), {"api": evidence.secret("folder")})
    if "by Landlock" not in lines(proxy)[0]:
        pytest.skip("this kernel has no Landlock, so nothing is given up")
    there = tmp_path / "there"
    there.mkdir()
    before = proxy.text
    change(proxy, before.replace("audit.jsonl", f"{there}/audit.jsonl"), "is refused")
    assert f"`audit`: needs a restart: proxyd gave up writing in {there} when it started" in proxy.log(), proxy.log()
    change(proxy, before.replace("audit.jsonl", "other.jsonl"), "taken")
    assert ask(proxy)[0] == 200
    wait_for(lambda: (proxy.folder / "other.jsonl").read_text(), "a line in the other file")


def test_a_folder_that_was_made_anew(keystile, showing, tmp_path):
    """It has its old name, and is another one."""
    there = tmp_path / "there"
    there.mkdir()
    proxy = keystile(entry(showing, "vault:api"), {"api": evidence.secret("anew")}, {"audit": f"{{{{ file: {there}/audit.jsonl }}}}"})
    if "by Landlock" not in lines(proxy)[0]:
        pytest.skip("this kernel has no Landlock, so nothing is given up")
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    shutil.rmtree(there)
    fresh.rename(there)
    hup(proxy, "the audit file stays the old one")
    (line,) = lines(proxy, "stays the old one")
    assert f"proxyd gave up writing in {there} when it started, or that folder was made anew since; restart proxyd" in line, line
    assert ask(proxy)[0] == 200


# ---- folders that are others' too


@pytest.fixture
def in_tmp(request):
    """A name in /tmp itself that nobody has."""
    path = pathlib.Path(tempfile.mktemp(prefix="keystile-", dir="/tmp"))
    request.addfinalizer(lambda: path.unlink(missing_ok=True))
    return path


@pytest.mark.parametrize("head, told", [
    ({"audit": "{{ file: %s }}"}, "may write all of /tmp, since `audit` lies in it; give it a folder of its own"),
    ({"listen": '["127.0.0.1:{port}", "unix:%s"]'}, "may remove files in all of /tmp, since `listen` lies in it"),
], ids=["audit", "socket"])
def test_a_folder_of_everybody(keystile, showing, in_tmp, head, told):
    proxy = keystile(entry(showing, "vault:api"), {"api": evidence.secret("all")}, {key: value % in_tmp for key, value in head.items()})
    if "by Landlock" not in lines(proxy)[0]:
        pytest.skip("this kernel has no Landlock, so nothing is given up")
    (line,) = lines(proxy, "who takes over proxyd may")
    assert "warning" in line and told in line, line


def test_a_folder_of_its_own(keystile, showing):
    assert "warning" not in keystile(entry(showing, "vault:api"), {"api": evidence.secret("own")}).log()


# ---- commands


def test_commands_are_run(keystile, showing, tmp_path):
    """They write where they like, and are renewed. The first run has no more rights than later ones."""
    secret, log = evidence.secret("command"), tmp_path / "ran"
    command = tmp_path / "command"
    command.write_text(f"#!/bin/sh\ngrep ^Seccomp: /proc/self/status >>{log}\n( : ) && cat {tmp_path}/value\n")
    command.chmod(0o755)
    (tmp_path / "value").write_text(secret)
    proxy = keystile(entry(showing, f"exec:{command}", ttl="1s"))
    wait_for(lambda: ask(proxy) == length(secret), "what the command printed")  # unless a run took longer than that is good
    first, why = lines(proxy)
    assert "no programs" not in first and "system calls by seccomp, but for what commands need" in first, first
    assert "stay open for the commands of `exec:`" in why and "keystile.yaml:" in why, why
    assert all(status["NoNewPrivs"] == "1" and status["Seccomp"] == "2" for status in statuses(proxy))
    wait_for(lambda: len(log.read_text().splitlines()) > 2, "another run of the command")
    assert set(log.read_text().split("\n")) == {"Seccomp:\t2", ""}
    wait_for(lambda: ask(proxy) == length(secret), "what the command printed then")


# ---- a kernel that lacks something


def lacking(call, what):
    """strace as a launcher: that call does not do what it does. It traces from aside, so proxyd is still our child."""
    return ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:{what}"]


@pytest.mark.parametrize("call, what, told", [
    ("landlock_create_ruleset", "error=ENOSYS", "this kernel has no Landlock, or a sandbox keeps it away, so who takes over proxyd"),
    ("landlock_create_ruleset", "error=EOPNOTSUPP", "Landlock is turned off, so who takes over proxyd can write what its user can"),
    ("seccomp", "error=ENOSYS", "system calls cannot be limited by seccomp"),
    ("capset", "error=EPERM", "capabilities cannot be given up"),
])
def test_what_a_kernel_lacks_is_warned_of(keystile, showing, call, what, told):
    if call == "capset" and os.geteuid() != 0:
        pytest.skip("who has no capability gives up none")
    secret = evidence.secret("lacks")
    proxy = keystile(entry(showing, "vault:api"), {"api": secret}, launcher=lacking(call, what))
    warnings = [line for line in lines(proxy, "warning") if told in line]
    assert len(warnings) == 1, proxy.log()
    (line,) = lines(proxy)
    assert ("Landlock" in line) == (call != "landlock_create_ruleset"), line
    assert ("seccomp" in line) == (call != "seccomp"), line
    assert ("capabilities" in line) == (call != "capset"), line
    assert ask(proxy) == length(secret)


def older(version):
    return lacking("landlock_create_ruleset", f"retval={version}:when=1")


@pytest.mark.parametrize("version, told", [
    (2, "files by Landlock ABI 2 (which lacks TCP listeners, signals and abstract sockets: Linux 6.12 has them)"),
    (4, "files by Landlock ABI 4 (which lacks signals and abstract sockets: Linux 6.12 has them)"),
])
def test_an_older_landlock(keystile, showing, version, told):
    """What it has is used: a newer kernel takes the same rules."""
    secret = evidence.secret("older")
    proxy = keystile(entry(showing, "vault:api"), {"api": secret},
                     launcher=older(version))
    if "Landlock is turned off" in proxy.log() or "no Landlock" in proxy.log():
        pytest.skip("this kernel has no Landlock")
    assert told in lines(proxy)[0], proxy.log()
    assert "warning" not in proxy.log(), proxy.log()
    assert ask(proxy) == length(secret)


@pytest.mark.parametrize("launcher, told, warned", [
    (lacking("landlock_create_ruleset", "error=ENOSYS"), None,
     "this kernel has no Landlock, or a sandbox keeps it away, so who takes over proxyd can open TCP listeners, and signal what its user can; "
     "Linux 6.12 can"),
    (older(3), None, "Landlock ABI 3 has nothing of what is given up beside commands: TCP listeners (Linux 6.7) and signals (Linux 6.12) stay"),
    (older(5), ", TCP listeners by Landlock ABI 5 (which lacks signals: Linux 6.12 has them)", None),
], ids=["none", "3", "5"])
def test_an_older_landlock_beside_commands(keystile, showing, launcher, told, warned):
    """What is said is of what would be given up there: writing stays open with any."""
    proxy = keystile(entry(showing, "exec:/bin/echo beside"), launcher=launcher)
    warnings = lines(proxy, "warning")
    assert len(warnings) == (1 if warned else 0) and (warned or "") in "".join(warnings), proxy.log()
    first = lines(proxy)[0]
    assert told in first if told else "Landlock" not in first, first
    assert ask(proxy) == length("beside")
