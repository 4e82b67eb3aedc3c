"""The vault and creds, as an operator uses them and as a bad day finds them (SPEC §10)."""

import fcntl
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from peers import evidence
from peers.evidence import EVIDENCE
from peers.keystile import PROGRAMS, clean_environment
from peers.terminal import Terminal
from peers.tracer import counts_vary, run_until
from peers.wire import note

CREDS = PROGRAMS / "creds/creds"
SHUT = "secrets.vault: does not open: this is not its key, or the file is damaged; check the key, or put a backup back"
WRONG = SHUT.replace("its key", "its passphrase").replace("check the key", "check the passphrase")
ROOT = os.geteuid() == 0


class Folder:
    """A folder with a vault, and an environment that knows nothing of the operator's own files."""

    def __init__(self, path, creds=CREDS):
        self.path, self.program = path, creds
        self.env = clean_environment(HOME=str(path / "home"), XDG_STATE_HOME=str(path / "state"))

    def __truediv__(self, name):
        return self.path / name

    def creds(self, *arguments, input="", check=True, env=None, launcher=(), secret=False):
        """`secret`: this one writes a secret on purpose."""
        result = subprocess.run(
            [*launcher, self.program, *arguments], input=input.encode(), capture_output=True, cwd=self.path,
            env={**self.env, **(env or {})}, timeout=120, start_new_session=True,
        )
        result.out, result.err = result.stdout.decode(), result.stderr.decode()
        if not secret:
            note("creds " + " ".join(map(str, arguments)), "said", f"{result.out}{result.err}[{result.returncode}]")
            EVIDENCE.add("creds output", result.stdout + result.stderr)
            assert not evidence.find(result.out + result.err), "a secret in the output"
        assert not check or result.returncode == 0, result.err
        return result

    def fails(self, *arguments, says, code=1, **more):
        result = self.creds(*arguments, check=False, **more)
        assert (result.returncode, says in result.err) == (code, True), f"should say: {says}\nsaid: {result.err}"
        return result

    def value(self, name):
        return self.creds("reveal", name, secret=True).out

    def names(self):
        return [entry["name"] for entry in json.loads(self.creds("list", "--json").out)["secrets"]]

    def terminal(self, *arguments, input=None):
        return Terminal([self.program, *arguments], self.env, self.path, input)


@pytest.fixture
def empty(tmp_path):
    return Folder(tmp_path)


@pytest.fixture
def folder(empty):
    empty.creds("init")
    return empty


# What an operator does


def test_init_makes_what_is_absent(empty):
    said = empty.creds("init").out
    for name in ("vault.key", "secrets.vault", "session.key"):
        assert f"made {name}" in said
        assert (empty / name).stat().st_mode & 0o777 == 0o600
    assert (empty / "vault.key").stat().st_size == (empty / "session.key").stat().st_size == 32
    assert 'vault: { file: secrets.vault, key: "file:vault.key" }' in said
    before = {name: (empty / name).read_bytes() for name in ("vault.key", "secrets.vault", "session.key")}
    said = empty.creds("init").out
    assert said.count("was there already") == 3
    (empty / "session.key").unlink()
    assert "made session.key" in empty.creds("init").out
    del before["session.key"]
    assert before == {name: (empty / name).read_bytes() for name in before}


def test_init_makes_no_key_for_an_old_vault(folder):
    (folder / "vault.key").unlink()
    folder.fails("init", says="put the key back")
    assert not (folder / "vault.key").exists()


@pytest.mark.parametrize("given, kept", [
    ("x", "x"), ("x\n", "x"), ("x\r\n", "x"), ("\ufeffx\n", "x"), (" x ", " x "), ("ключ", "ключ"),
    ("-----BEGIN KEY-----\na\nb\n-----END KEY-----\n", "-----BEGIN KEY-----\na\nb\n-----END KEY-----"),
    ("x" * 65536, "x" * 65536),
])
def test_set_and_reveal(folder, given, kept):
    folder.creds("set", "api", input=given)
    assert folder.value("api") == kept
    (folder / "file").write_text(given)
    folder.creds("set", "other", "--from-file", "file")
    assert folder.value("other") == kept
    folder.creds("set", "piped", "--from-file", "/dev/stdin", input=given)
    assert folder.value("piped") == kept


@pytest.mark.parametrize("given, says", [
    ("", "is empty"), ("\n", "is empty"), ("  \n", "is empty"), ("<no value>\n", "is <no value>"),
    ("a\x00b", "has a control character"), ("a\x1b[0m", "has a control character"), ("x" * 65537, "65536"),
])
def test_set_refuses(folder, given, says):
    folder.creds("set", "api", input="before")
    folder.fails("set", "api", input=given, says=says, code=2)
    assert folder.value("api") == "before"


@pytest.mark.parametrize("given, says", [
    (" x", "begins or ends with a blank"), ("a\nb", "has several lines"),
])
def test_set_warns(folder, given, says):
    assert says in folder.creds("set", "api", input=given).err


def test_a_secret_is_no_argument(folder):
    secret = evidence.secret()
    result = folder.fails("set", "api", secret, says="a secret is never an argument", code=2)
    assert secret not in result.err + result.out
    assert folder.names() == []


@pytest.mark.parametrize("arguments, says, code", [
    ([], "no command", 2), (["sett", "x"], "no such command", 2), (["set"], "usage: creds set NAME", 2),
    (["set", "a b"], "no name for a secret", 2), (["set", ".a"], "no name for a secret", 2),
    (["set", "a" * 129], "no name for a secret", 2), (["list", "--expires", "1d"], "does not take that option", 2),
    (["key"], "no such command", 2), (["key", "add"], "usage: creds key add SOURCE", 2),
    (["key", "add", "hunter2"], "file:PATH, systemd:NAME", 2), (["--key"], "a value is missing", 2),
    (["--frobnicate", "list"], "no such option", 2), (["show", "nope"], "no such secret in secrets.vault", 1),
    (["reveal", "nope"], "no such secret", 1), (["rm", "nope"], "no such secret", 1),
    (["key", "rm", "zz"], "see: creds key list", 2), (["import", "nope.env"], "nope.env: No such file", 1),
    (["set", "a", "--from-file", "nope"], "nope: No such file", 1), (["set", "a", "--expires", "soon"], "write 90d", 2),
    (["set", "a", "--expires", "2001-01-01"], "has passed", 2), (["set", "a", "--expires", "2031-02-30"], "write 90d", 2),
    (["keygen", "vault.key"], "is there already", 1), (["--vault", "else.vault", "list"], "creds init", 1),
    (["--key", "systemd:k", "list"], "CREDENTIALS_DIRECTORY", 1), (["--key", "passphrase", "list"], "no terminal", 1),
    (["--key", "file:nope", "list"], "nope: No such file", 1), (["--config", "nope.yaml", "list"], "nope.yaml", 2),
])
def test_mistakes(folder, arguments, says, code):
    folder.fails(*arguments, says=says, code=code)


def test_without_a_vault(empty):
    for command in (["list"], ["set", "x"], ["rm", "x"], ["verify"], ["key", "list"], ["accept-older"], ["rekey"]):
        empty.fails(*command, says="secrets.vault: there is no such vault; make it with: creds init")
    assert list(empty.path.iterdir()) == []


def test_list_and_show(folder):
    folder.creds("set", "b", input=evidence.secret(), check=True)
    folder.creds("set", "a", "--expires", "36h", input=evidence.secret())
    listed = json.loads(folder.creds("list", "--json").out)
    assert [entry["name"] for entry in listed["secrets"]] == ["a", "b"]
    assert listed["secrets"][1]["expires"] is None and listed["secrets"][0]["expires"].endswith("Z")
    text = folder.creds("list").out
    assert "NAME" in text and ("in 35 hours" in text or "in 36 hours" in text) and "never" in text
    one = json.loads(folder.creds("show", "a", "--json").out)
    assert one == listed["secrets"][0]
    assert "expires:" in folder.creds("show", "a").out
    folder.creds("set", "a", input=evidence.secret())
    assert json.loads(folder.creds("show", "a", "--json").out)["expires"] == one["expires"], "a new value keeps the expiry"
    folder.creds("set", "a", "--expires", "never", input=evidence.secret())
    assert json.loads(folder.creds("show", "a", "--json").out)["expires"] is None


def test_rm_is_all_or_nothing(folder):
    for name in "abc":
        folder.creds("set", name, input="x")
    folder.fails("rm", "a", "nope", says="nope: no such secret")
    assert folder.names() == ["a", "b", "c"]
    folder.creds("rm", "a", "c")
    assert folder.names() == ["b"]


def test_full_output_is_told(folder):
    folder.creds("set", "a", input="x")
    with open("/dev/full", "wb") as full:
        for command in (["reveal", "a"], ["list"], ["verify"]):
            done = subprocess.run([CREDS, *command], stdout=full, stderr=subprocess.PIPE, cwd=folder.path, env=folder.env)
            assert done.returncode == 1 and b"cannot write to standard output" in done.stderr


# Keys


def test_keys_come_and_go(folder):
    folder.creds("set", "a", input="x")
    (folder / "phrase").write_text("correct horse battery\n")
    (folder / "phrase").chmod(0o600)
    assert "made ./second.key" in folder.creds("key", "add", "file:second.key").out
    folder.creds("key", "add", "passphrase:file:phrase")
    for key in ("file:vault.key", "file:second.key", "passphrase:file:phrase"):
        assert folder.creds("--key", key, "reveal", "a", secret=True).out == "x"
    keys = json.loads(folder.creds("key", "list", "--json").out)["keys"]
    assert [key["label"] for key in keys] == ["file:vault.key", "file:second.key", "passphrase:file:phrase"]
    assert [key["in_use"] for key in keys] == [True, False, False]
    folder.fails("key", "rm", keys[0]["id"], says="open with another", code=2)
    folder.creds("key", "rm", keys[1]["id"][:8])
    folder.fails("--key", "file:second.key", "list", says=SHUT)
    folder.fails("rekey", says="--with SOURCE", code=2)
    folder.creds("rekey", "--with", "passphrase:file:phrase")
    assert folder.creds("--key", "passphrase:file:phrase", "reveal", "a", secret=True).out == "x"
    folder.creds("rekey", "--drop")
    folder.fails("--key", "passphrase:file:phrase", "list", says=WRONG)
    assert folder.value("a") == "x"


def test_keygen(folder):
    folder.creds("keygen", "other.key")
    assert (folder / "other.key").stat().st_size == 32
    assert (folder / "other.key").stat().st_mode & 0o777 == 0o600
    folder.fails("--key", "file:other.key", "list", says=SHUT)


def test_a_key_from_systemd(folder):
    (folder / "credentials").mkdir()
    shutil.copy(folder / "vault.key", folder / "credentials" / "keystile")
    folder.creds("--key", "systemd:keystile", "list", env={"CREDENTIALS_DIRECTORY": str(folder / "credentials")})


@pytest.mark.parametrize("mode, says", [
    (0o600, ""), (0o400, ""), (0o640, ""), (0o644, "others may read this key (mode 0644); do: chmod 600 vault.key"),
    (0o604, "others may read"), (0o660, "others may change"),
])
def test_modes_of_a_key(folder, mode, says):
    (folder / "vault.key").chmod(mode)
    said = folder.creds("verify").err
    assert says in said and (says or not said)


# On a terminal


def test_a_secret_from_a_terminal(folder):
    secret = evidence.secret("terminal") + "x" * 20000  # the terminal's own line has 4095
    terminal = folder.terminal("set", "api")
    terminal.expect("secret api: ")
    assert not terminal.echoes()
    terminal.type(secret + "Ü\x7f\r")
    code, shown = terminal.end()
    assert code == 0 and terminal.echo_at_end
    assert not evidence.find(shown)
    assert folder.value("api") == secret


def test_cancelling_changes_nothing(folder):
    for keys in ("half\x03", "\x04", "half\x1c"):
        terminal = folder.terminal("set", "api")
        terminal.expect("secret api: ")
        terminal.type(keys)
        code, shown = terminal.end()
        assert code == 2 and "cancelled; nothing was changed" in shown and terminal.echo_at_end
    assert folder.names() == []


def test_a_signal_restores_the_terminal(folder):
    for _ in range(50):  # at the prompt's end it may come before the program waits for the first key
        terminal = folder.terminal("set", "api")
        terminal.expect("secret api: ")
        os.kill(terminal.pid, 15)
        code, _ = terminal.end()
        assert code == -15 and terminal.echo_at_end


def test_passphrases(empty):
    terminal = empty.terminal("--key", "passphrase", "init")
    terminal.expect("new passphrase of secrets.vault: ")
    terminal.type("correct horse battery\r")
    terminal.expect("the same once more: ")
    terminal.type("correct horse buttery\r")
    code, shown = terminal.end()
    assert code == 2 and "not the same" in shown and not (empty / "secrets.vault").exists()

    terminal = empty.terminal("--key", "passphrase", "init")
    for prompt in ("new passphrase of secrets.vault: ", "the same once more: "):
        terminal.expect(prompt)
        assert not terminal.echoes()
        terminal.type("correct horse battery\r")
    assert terminal.end()[0] == 0

    reader, writer = os.pipe()  # the secret from a pipe, the passphrase from the terminal
    os.write(writer, b"piped\n")
    os.close(writer)
    terminal = empty.terminal("--key", "passphrase", "set", "api", input=reader)
    terminal.expect("passphrase of secrets.vault: ")
    terminal.type("correct horse battery\r")
    assert terminal.end()[0] == 0

    terminal = empty.terminal("--key", "passphrase", "reveal", "api")
    terminal.expect("passphrase of secrets.vault: ")
    terminal.type("correct horse batteri\r")
    code, shown = terminal.end()
    assert code == 1 and WRONG in shown and "horse" not in shown

    terminal = empty.terminal("--key", "passphrase", "reveal", "api")
    terminal.expect("passphrase of secrets.vault: ")
    terminal.type("correct horse battery\r")
    code, shown = terminal.end()
    assert code == 0 and shown.endswith("\r\npiped\r\n")


# import


def test_import_takes_all(folder):
    secret = evidence.secret("import")
    (folder / "a.env").write_text(
        f"# comment\nexport PLAIN={secret}\nQUOTED=\"two\\nlines\" # note\nLITERAL='$HOME'\nDOLLAR=a$$b\nYAML: x\nPLAIN2 = y \n"
    )
    folder.creds("set", "YAML", input="old")
    said = folder.creds("import", "a.env").out
    assert "6 secrets (5 new, 1 replaced, 0 as before)" in said
    values = {"PLAIN": secret, "QUOTED": "two\nlines", "LITERAL": "$HOME", "DOLLAR": "a$b", "YAML": "x", "PLAIN2": "y"}
    assert {name: folder.value(name) for name in folder.names()} == values
    before = json.loads(folder.creds("show", "YAML", "--json").out)
    assert "0 new, 0 replaced, 6 as before" in folder.creds("import", "a.env").out
    assert json.loads(folder.creds("show", "YAML", "--json").out) == before


def test_import_takes_nothing_where_a_line_is_wrong(folder):
    secret = evidence.secret("import")
    (folder / "a.env").write_text(f"GOOD={secret}\n{secret}\nVARIABLE=$HOME-{secret}\nEMPTY=\n_X={secret}\nOPEN=\"{secret}\n")
    result = folder.fails("import", "a.env", says="a.env: 5 lines cannot be taken; nothing was changed")
    for line in range(2, 7):
        assert f"a.env:{line}: " in result.err
    assert "a.env:1:" not in result.err and folder.names() == []
    folder.creds("import", "a.env", "GOOD", check=False)
    (folder / "b.env").write_text("GOOD=1\nEMPTY=\nVARIABLE=$HOME\n_X=1\n")
    folder.creds("import", "b.env", "GOOD")
    assert folder.names() == ["GOOD"]
    folder.fails("import", "b.env", "GOOD", "NOPE", says="b.env: has no NOPE")


def test_import_tells_a_name_that_comes_twice(folder):
    (folder / "a.env").write_text("A=1\nA=2\n")
    assert "a.env:2: A stands in line 1 too" in folder.creds("import", "a.env").err
    assert folder.value("A") == "2"


# Bad days


def test_killed_at_every_system_call(folder, tmp_path):
    """Whatever the moment: the vault opens, to the old value or the new one, and the next write works."""
    folder.creds("set", "api", input="old")
    saved = tmp_path / "saved"
    saved.mkdir()
    for name in ("secrets.vault", "vault.key"):
        shutil.copy2(folder / name, saved)
    shutil.copytree(folder / "state", saved / "state")
    argv = [CREDS, "set", "api"]
    total, code = run_until(argv, -1, b"new", folder.env, folder.path)
    assert code == 0 and folder.value("api") == "new"
    outcomes = []
    for stops in range(total, 0, -1):
        shutil.copy2(saved / "secrets.vault", folder / "secrets.vault")
        shutil.rmtree(folder / "state")
        shutil.copytree(saved / "state", folder / "state")
        _, code = run_until(argv, stops, b"new", folder.env, folder.path)
        outcomes.append(folder.value("api"))
        assert outcomes[-1] in ("old", "new"), f"killed at stop {stops} of {total}: {outcomes[-1]!r}"
        # Once nothing was written yet for a while, nothing is before it either: the loader's work.
        if outcomes[-1] == "old" and outcomes[-60:].count("old") == 60:
            break
    assert outcomes[0] == "new" and outcomes[-1] == "old" and outcomes.count("new") > 3
    assert counts_vary() or outcomes == sorted(outcomes), f"the new value came and went: {outcomes}"
    folder.creds("set", "api", input="last")
    assert folder.value("api") == "last"
    assert sorted(path.name for path in folder.path.glob("secrets*")) == ["secrets.vault", "secrets.vault.lock"]


def test_init_killed_at_every_system_call(empty):
    """Killed anywhere, the next init ends what was begun."""
    argv = [CREDS, "init"]
    total, code = run_until(argv, -1, b"", empty.env, empty.path)
    assert code == 0
    for stops in range(total - 1, 0, -3):
        for name in ("secrets.vault", "secrets.vault.lock", "vault.key", "session.key"):
            (empty / name).unlink(missing_ok=True)
        shutil.rmtree(empty / "state", ignore_errors=True)
        run_until(argv, stops, b"", empty.env, empty.path)
        nothing = not (empty / "vault.key").exists()
        empty.creds("init")
        empty.creds("verify")
        if nothing:
            break


def test_damage_has_one_message(folder):
    folder.creds("set", "api", input=evidence.secret())
    good = (folder / "secrets.vault").read_bytes()
    places = [*range(0, 264, 3), *range(264, len(good), 211), len(good) - 1]
    for place in places:
        damaged = bytearray(good)
        damaged[place] ^= 1 << place % 8
        (folder / "secrets.vault").write_bytes(damaged)
        result = folder.fails("list", says=SHUT)
        assert result.err == f"creds: error: {SHUT}\n"
    for length in [*range(0, 300, 17), len(good) - 1]:
        (folder / "secrets.vault").write_bytes(good[:length])
        assert folder.fails("set", "api", input="x", says=SHUT).err == f"creds: error: {SHUT}\n"
    (folder / "secrets.vault").write_bytes(good)
    folder.creds("verify")


def test_twenty_writers_at_once(folder):
    writers = [
        subprocess.Popen([CREDS, "set", f"n{number}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, cwd=folder.path, env=folder.env)
        for number in range(20)
    ]
    for number, writer in enumerate(writers):
        writer.stdin.write(b"value%d" % number)
        writer.stdin.close()
    for writer in writers:
        assert writer.wait(60) == 0, writer.stderr.read()
    assert sorted(folder.names()) == sorted(f"n{number}" for number in range(20))
    for number in range(20):
        assert folder.value(f"n{number}") == f"value{number}"
    assert json.loads(folder.creds("verify", "--json").out)["generation"] == 21


def test_a_writer_waits_for_the_lock(folder):
    with open(folder / "secrets.vault.lock", "rb+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder.creds("list")  # readers do not wait
        writer = subprocess.Popen([CREDS, "set", "a"], stdin=subprocess.PIPE, cwd=folder.path, env=folder.env,
                                  stdout=subprocess.DEVNULL)
        writer.stdin.write(b"x")
        writer.stdin.close()
        with pytest.raises(subprocess.TimeoutExpired):
            writer.wait(0.5)
        assert folder.names() == []
        fcntl.flock(lock, fcntl.LOCK_UN)
    assert writer.wait(30) == 0
    assert folder.names() == ["a"]


def test_two_inits_at_once(empty):
    makers = [subprocess.Popen([CREDS, "init"], cwd=empty.path, env=empty.env, stdout=subprocess.DEVNULL) for _ in range(8)]
    assert [maker.wait(60) for maker in makers] == [0] * 8
    empty.creds("verify")


FULL_DISK = """
set -e
mount -t tmpfs -o size=64k none disk
cd disk
"$1" init >/dev/null
printf kept | "$1" set api >/dev/null
cat /dev/zero > filler 2>/dev/null || true
set +e
head -c 20000 /dev/zero | tr '\\0' x | "$1" set big; echo "set: $?"
"$1" rekey; echo "rekey: $?"
"$1" reveal api; echo
ls
rm filler
printf after | "$1" set api
"$1" reveal api
"""


def test_a_full_disk(empty):
    (empty / "disk").mkdir()
    user = [] if ROOT else ["--map-root-user"]
    done = subprocess.run(["unshare", *user, "--mount", "sh", "-c", FULL_DISK, "sh", CREDS], cwd=empty.path, env=empty.env,
                          capture_output=True, text=True, timeout=60)
    note("full disk", "said", done.stdout + done.stderr)
    assert done.returncode == 0
    assert done.stderr.count("disk/secrets.vault: No space left on device\n") == 2
    lines = done.stdout.split("\n")
    assert lines[:3] == ["set: 1", "rekey: 1", "kept"]
    assert lines[3:8] == ["filler", "secrets.vault", "secrets.vault.lock", "session.key", "vault.key"]
    assert lines[-1] == "after"


def test_an_older_copy(folder):
    folder.creds("set", "api", input="old")
    old = (folder / "secrets.vault").read_bytes()
    folder.creds("set", "api", input="new")
    new = (folder / "secrets.vault").read_bytes()
    (folder / "secrets.vault").write_bytes(old)
    says = "secrets.vault: generation 2 is older than 3, the last one seen"
    for command in (["list"], ["reveal", "api"], ["set", "api"], ["rekey"], ["verify"], ["key", "list"]):
        assert "creds accept-older" in folder.fails(*command, input="x", says=says).err
    assert (folder / "secrets.vault").read_bytes() == old
    (folder / "secrets.vault").write_bytes(new)
    folder.creds("verify")
    (folder / "secrets.vault").write_bytes(old)
    assert "generation 2 is now the last one seen" in folder.creds("accept-older").out
    assert folder.value("api") == "old"
    folder.creds("set", "api", input="newer")
    assert folder.value("api") == "newer"


def test_the_state_folder(folder):
    warning = "an older copy put in its place would not be noticed"
    assert warning in folder.creds("verify", env={"XDG_STATE_HOME": "/proc/none"}).err
    assert warning in folder.creds("verify", env={"XDG_STATE_HOME": "", "HOME": ""}).err
    assert json.loads(folder.creds("verify", "--json", env={"XDG_STATE_HOME": "/proc/none"}).out)["generation_kept"] is False
    folder.fails("accept-older", env={"XDG_STATE_HOME": "/proc/none"}, says="nothing was accepted")
    folder.creds("verify", env={"STATE_DIRECTORY": f"{folder / 'service'}:/elsewhere"})
    kept = list((folder / "service").iterdir())
    assert len(kept) == 1 and kept[0].read_text() == "1\n"
    kept[0].write_text("nonsense")
    folder.fails("verify", env={"STATE_DIRECTORY": str(folder / "service")}, says="does not hold a number")
    folder.creds("accept-older", env={"STATE_DIRECTORY": str(folder / "service")})
    assert kept[0].read_text() == "1\n"
    folder.creds("verify", env={"HOME": str(folder / "someone"), "XDG_STATE_HOME": ""})
    assert len(list((folder / "someone/.local/state/keystile").iterdir())) == 1


@pytest.fixture
def open_folder():
    """A folder that every user can reach, with the program in it."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="keystile-test-"))
    path.chmod(0o755)
    shutil.copy(CREDS, path / "creds")
    (path / "work").mkdir()
    folder = Folder(path / "work", path / "creds")
    yield folder
    shutil.rmtree(path)


@pytest.mark.skipif(not ROOT, reason="only root can give files away")
def test_a_vault_of_another_user(open_folder):
    folder, other = open_folder, 4242
    as_other = ["setpriv", f"--reuid={other}", f"--regid={other}", "--clear-groups"]
    folder.creds("init")
    for name in ("secrets.vault", "secrets.vault.lock"):
        os.chown(folder / name, 4343, 4344)
    folder.creds("set", "api", input="by root")
    status = (folder / "secrets.vault").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (4343, 4344, 0o600), "root keeps the owner"

    # Another user who may write in the folder, read the vault and has its key, would have to take it over: refused.
    (folder / "secrets.vault").chmod(0o644)
    (folder / "secrets.vault.lock").chmod(0o666)
    os.chown(folder / "vault.key", other, other)
    folder.path.chmod(0o777)
    before = (folder / "secrets.vault").read_bytes()
    folder.fails("set", "api", input="by another", launcher=as_other,
                 says="secrets.vault: belongs to user 4343, group 4344, and this process may not keep that; run it as that user")
    assert (folder / "secrets.vault").read_bytes() == before
    assert not list(folder.path.glob("*.new"))
    assert folder.creds("reveal", "api", launcher=as_other, secret=True).out == "by root"

    # The lock file that root makes is its owner's, so root's write does not lock the owner out.
    (folder / "secrets.vault.lock").unlink()
    folder.creds("set", "api", input="by root")
    assert (folder / "secrets.vault.lock").stat().st_uid == 4343


# With a configuration

CONFIG = """version: 1
listen: 127.0.0.1:8180
vault: { file: kept/v.vault, key: "file:kept/v.key" }
session: { key: "file:kept/s.key" }
state: kept/state
credentials:
  api: { upstream: "https://api.example.com", secret: "vault:api-key", inject: { header: Authorization, value: "Bearer {secret}" } }
  more: { upstream: "https://more.example.com", secret: "vault:api-key", inject: { header: X-Key, value: "{secret}" } }
  other: { upstream: "https://other.example.com", secret: "vault:absent", inject: { header: X-Key, value: "{secret}" } }
profiles:
  coder: { credentials: [api, more, other] }
"""


def test_the_vault_of_a_configuration(empty):
    (empty / "keystile.yaml").write_text(CONFIG)
    said = empty.creds("init").out
    assert "made ./kept/v.key" in said and "in keystile.yaml say" not in said
    assert sorted(path.name for path in (empty / "kept").glob("?.*")) == ["s.key", "v.key", "v.vault", "v.vault.lock"]
    empty.creds("set", "api-key", input="x")
    listed = json.loads(empty.creds("list", "--json").out)
    assert listed["secrets"][0]["used_by"] == ["api", "more"]
    assert listed["missing"] == ["absent"]
    text = empty.creds("list").out
    assert "api, more" in text and "absent is wanted by other, and is not there; do: creds set absent" in text
    assert len(list((empty / "kept/state").iterdir())) == 1
    (empty / "elsewhere").mkdir()
    subprocess.run([CREDS, "--config", "../keystile.yaml", "verify"], cwd=empty / "elsewhere", env=empty.env, check=True)
    subprocess.run([CREDS, "verify"], cwd=empty / "elsewhere", check=True,
                   env={**empty.env, "KEYSTILE_CONFIG": str(empty / "keystile.yaml")})


def test_a_broken_configuration(empty):
    (empty / "keystile.yaml").write_text(CONFIG.replace("listen:", "lisen:"))
    result = empty.fails("init", says="or name the vault: --vault FILE --key SOURCE", code=2)
    assert "keystile.yaml:2:1:" in result.err
    empty.creds("--vault", "v", "--key", "file:k", "init")


def test_a_configuration_without_a_vault(empty):
    (empty / "keystile.yaml").write_text(CONFIG.split("vault:")[0] + "session: none\nprofiles:\n  coder: { hosts: [example.com] }\n")
    said = empty.creds("init").out
    assert 'in keystile.yaml say:  vault: { file: secrets.vault, key: "file:vault.key" }' in said
    assert not (empty / "session.key").exists()
