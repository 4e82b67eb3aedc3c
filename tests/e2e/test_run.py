"""envgen run: a program in the environment, apart from keys and secrets (SPEC §6). Real commands, as root and as another user."""

import errno
import os
import pathlib
import platform
import re
import select
import shlex
import shutil
import socket
import subprocess
import tempfile

import pytest

from peers import evidence, sanitizers
from peers.evidence import EVIDENCE
from peers.keystile import PROGRAMS, Keystile, clean_environment
from peers.wire import note

ROOT = os.geteuid() == 0
NOBODY = 65534
ANOTHER = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"]
PYTHON = "/usr/bin/python3"
CONFIG = """credentials:
  api:
    upstream: https://api.example.com
    secret: file:secret.txt
    inject: { header: Authorization, value: "Bearer {secret}" }
    env: { base_url: API_URL, token: API_TOKEN }
  other:
    upstream: https://other.example.com
    secret: env:OPERATORS_KEY
    inject: { query: key }
    env: { token: OTHER_TOKEN }
profiles:
  agent:
    credentials: [api]
"""
WARNING = "envgen: warning: "
AS_ROOT = WARNING + "CMD runs as root: "
NO_PROXY_YET = WARNING + "nothing listens at "  # most of what runs here needs no proxyd


class Place:
    """A Keystile in ks/, a folder to work in and a home, all of one user, who runs what is run here."""

    def __init__(self, top, user, config=CONFIG, head=None):
        self.top = top
        self.launcher = ANOTHER if user else []
        self.ks, self.work, self.home = top / "ks", top / "work", top / "home"
        for folder in (self.ks, self.work, self.home):
            folder.mkdir()
        self.keystile = Keystile(self.ks, config, head=head)
        self.secret = evidence.secret("file")
        (self.ks / "secret.txt").write_text(self.secret)
        (self.ks / "secret.txt").chmod(0o600)
        for path in (top, *top.rglob("*")):
            os.chown(path, user, user)

    def environment(self, **more):
        return clean_environment(**{"HOME": str(self.home), "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin", **more})

    def words(self, *arguments):
        return [*self.launcher, PROGRAMS / "envgen/envgen", "--config", self.ks / "keystile.yaml", "run", *arguments]

    def run(self, *arguments, cwd=None, env=None, before=(), check=True, **more):
        done = subprocess.run([*before, *self.words(*arguments)], capture_output=True, cwd=cwd or self.work, timeout=60,
                              env=self.environment(**(env or {})), **{"input": b"", **more})
        done.out, done.err = done.stdout.decode(), done.stderr.decode()
        note(" ".join(map(str, arguments)), "said", done.out + done.err + f"[{done.returncode}]")
        EVIDENCE.add("envgen run's messages", done.stderr)
        assert not check or done.returncode == 0, done.err
        return done

    def sh(self, script, *arguments, **more):
        return self.run(*arguments, "--", "sh", "-c", script, **more)

    def warnings(self, done):
        return [line for line in done.err.splitlines() if line.startswith(WARNING) and not line.startswith((AS_ROOT, NO_PROXY_YET))]


USERS = [0, NOBODY] if ROOT else [os.geteuid()]


@pytest.fixture
def make_place():
    """Not below pytest's own folder, which other users may not enter."""
    made = []

    def make(user=os.geteuid(), config=CONFIG, head=None):
        made.append(pathlib.Path(tempfile.mkdtemp(prefix="keystile-run-")).resolve())
        made[-1].chmod(0o755)
        return Place(made[-1], user if ROOT else 0, config, head)

    yield make
    for folder in made:
        shutil.rmtree(folder)


@pytest.fixture
def here(make_place):
    return make_place()


@pytest.fixture(params=USERS, ids=lambda user: f"user {user}")
def place(make_place, request):
    return make_place(request.param)


# The environment


def variables(done):
    return dict(item.split("=", 1) for item in done.out.split("\0") if item)


OPERATORS = {
    "OPENAI_API_KEY": "real-key", "openai_base_url": "x", "GH_TOKEN": "real-token", "OPERATORS_KEY": "real-source",
    "KEYSTILE_CONFIG": "/nowhere", "CREDENTIALS_DIRECTORY": "/nowhere", "OTHER_TOKEN": "real-other", "FTP_PROXY": "http://corp",
    "npm_config_https-proxy": "http://corp", "npm_config__authToken": "real-npm", "ANTHROPIC_AUTH_TOKEN": "real-other-name",
    "SSL_CERT_FILE": "/corp.pem", "GIT_CONFIG_PARAMETERS": "'http.extraHeader'='real-header'", "RSYNC_PROXY": "corp",
}
STAYS = {"EDITOR": "vi", "LC_ALL": "C.UTF-8", "TZ": "UTC", "TERM": "dumb"}


def test_environment(here):
    """What the file of envgen sets, and of the operator's what leads nowhere."""
    made = here.keystile.environment()
    done = here.run("--", "env", "-0", env={**OPERATORS, **STAYS, "HTTP_PROXY": "http://corp", "API_TOKEN": "real-api"})
    came = variables(done)
    for name in ("PWD", "OLDPWD", "SHLVL", "_"):
        made.pop(name, None)
        came.pop(name, None)
    should = {**here.environment(**STAYS), **made}
    should.update({"HOME": str(here.home), "PATH": here.environment()["PATH"]})
    assert came == should
    line, = re.findall(r"^envgen: unset for CMD: (.*)$", done.err, re.MULTILINE)
    assert sorted(line.split(", ")) == sorted(OPERATORS)
    assert not re.search("real-|corp", done.err)


def test_clean(here):
    done = here.run("--clean", "--keep", "EDITOR", "--keep=ABSENT", "--", "env", "-0", env={**OPERATORS, **STAYS})
    came = set(variables(done)) - set(here.keystile.environment())
    assert came <= {"EDITOR", "TZ", "TERM"}
    assert {name: variables(done)[name] for name in ("EDITOR", "TZ", "TERM")} == {"EDITOR": "vi", "TZ": "UTC", "TERM": "dumb"}
    assert variables(done)["HOME"] == str(here.home) and variables(done)["LANG"] == "C.UTF-8"
    assert "LC_ALL" in done.err


def test_a_value_that_no_program_can_be_given(make_place):
    """execve(2) would fail with E2BIG, and CMD not start."""
    most = 131_071
    place = make_place(config=CONFIG.replace("token: API_TOKEN", f"token: API_TOKEN, set: {{ A: {'x' * (most - 2)}, B: {'x' * (most - 1)} }}"))
    done = place.sh('echo ${#A} ${B-none}')
    assert done.out == f"{most - 2} none\n"
    assert f"left out: B: it has {most + 1} bytes with its name, and a program can be given {most} at most" in done.err


def test_many_names_are_one_line(here):
    done = here.run("--clean", "--", "true", env={f"SOME_LONG_NAME_OF_A_VARIABLE_{number}": "1" for number in range(500)})
    line, = re.findall(r"^envgen: unset for CMD: .* and (\d+) more$", done.err, re.MULTILINE)
    assert 0 < int(line) < 500


MISUSES = [
    (["--keep", "EDITOR", "--", "true"], "--keep goes with --clean; without that, all that need not be unset stays"),
    (["--clean", "--keep", "OPENAI_API_KEY", "--", "true"], "--keep OPENAI_API_KEY: this variable is always unset: …"),
    (["--clean", "--keep", "API_TOKEN", "--", "true"], "--keep API_TOKEN: this variable is set for CMD, so the old value cannot "
     "stay"),
    (["--clean", "--keep", "A=b", "--", "true"], "--keep takes the name of a variable; its value stays as it is"),
    (["--best-effort", "--", "true"], "--best-effort goes with --confine"),
    (["--profile", "nobody", "--", "true"], "--profile nobody: …/keystile.yaml has no such profile; it has: agent"),
    ([], "usage: envgen run [--profile P] [--advertise HOST:PORT] …"),
    (["--confine", "--"], "usage: envgen run [--profile P] [--advertise HOST:PORT] …"),
    (["--json", "true"], "envgen run does not take --json; usage: …"),
    (["--keep", "A"] * 65 + ["true"], "--keep is given more than 64 times"),
    (["--ca-over"], "--ca-over: a value is missing behind it; see: envgen --help"),
]


@pytest.mark.parametrize("arguments,says", MISUSES, ids=[" ".join(row[0])[:40] for row in MISUSES])
def test_misuse(here, arguments, says):
    done = here.run(*arguments, check=False)
    pattern = ".*".join(re.escape(part) for part in ("envgen: error: " + says).split("…"))
    assert done.returncode == 1 and re.fullmatch(pattern, done.err.splitlines()[-1]), done.err


def test_other_commands_do_not_take_its_options(here):
    done = here.keystile.envgen("--confine", check=False)
    assert done.returncode == 1 and "envgen does not take --confine" in done.err


# The process


def test_words_reach_it_untouched(here):
    script = 'for word; do printf "[%s]" "$word"; done'
    for dashes in (["--"], []):
        done = here.run(*dashes, "sh", "-c", script, "sh", "-o", "--config", "", "a b", "--", "--help", "$HOME")
        assert done.out == "[-o][--config][][a b][--][--help][$HOME]"


def test_it_is_the_same_process(place):
    """So its signals and its status are the caller's."""
    for options in ([], ["--confine"]):
        process = subprocess.Popen(place.words(*options, "--", "sh", "-c", "echo $$; read line; echo $line; exit 23"), cwd=place.work,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=place.environment())
        out, _ = process.communicate(b"from the caller\n", timeout=60)
        assert out.decode().splitlines() == [str(process.pid), "from the caller"] and process.returncode == 23


def test_a_signal_ends_it(here):
    assert here.sh("kill -9 $$", check=False).returncode == -9


@pytest.mark.parametrize("options", [[], ["--confine"]], ids=["", "confine"])
def test_status_of_what_does_not_start(here, options):
    """As env(1) has it."""
    done = here.run(*options, "--", "no-such-program", check=False)
    assert done.returncode == 127 and "envgen: error: cannot run no-such-program: No such file or directory" in done.err
    done = here.run(*options, "--", str(here.work), check=False)
    assert done.returncode == 126 and f"envgen: error: cannot run {here.work}: Permission denied" in done.err


@pytest.mark.parametrize("options", [[], ["--confine"]], ids=["", "confine"])
def test_open_files(here, options):
    """The caller's stay, ours do not come."""
    with open("/dev/null") as file:
        done = here.run(*options, "--", "ls", "/proc/self/fd", pass_fds=[file.fileno()])
        passed = file.fileno()
    assert sorted(map(int, done.out.split())) == sorted([0, 1, 2, passed, 3 if passed != 3 else 4])


# What CMD can get at

GUARDED = {"secrets.vault": "the vault", "vault.key": "the vault's key", "session.key": "the session key",
           "secret.txt": "a secret of credential api", "state": "the state folder"}


def test_warnings_without_confinement(place):
    done = place.sh(f"cat {place.ks}/secret.txt")
    assert done.out == place.secret
    assert sorted(place.warnings(done)) == sorted(
        f"{WARNING}CMD can get at {place.ks}/{name} ({what}); --confine hides it, or run envgen as another user"
        for name, what in GUARDED.items())


@pytest.mark.skipif(not ROOT, reason="takes root, to be another user")
def test_no_warning_of_what_it_cannot_read(make_place):
    place = make_place(NOBODY)
    for name in ("secrets.vault", "vault.key"):
        os.chown(place.ks / name, 0, 0)
    done = place.sh("true")
    assert {line.split("(")[1].split(")")[0] for line in place.warnings(done)} == set(GUARDED.values()) - {
        "the vault", "the vault's key"}


def test_proxy_that_does_not_listen_is_told_of(here):
    told = f"{NO_PROXY_YET}127.0.0.1:{here.keystile.port}, where CMD is to find the proxy; start proxyd\n"
    assert told in here.sh("true").err
    with socket.create_server(("127.0.0.1", here.keystile.port)):
        assert NO_PROXY_YET not in here.sh("true").err
    for elsewhere in ("keystile:8180", "192.0.2.1:8180"):  # what is not this machine is not asked
        assert NO_PROXY_YET not in here.run("--advertise", elsewhere, "--", "true").err


# --confine: files


def leaving_mounts(run):
    """What `run()` gives, which leaves the mounts here as they were. Somebody else may mount meanwhile, but not each time."""
    for _ in range(5):
        before = pathlib.Path("/proc/self/mountinfo").read_text()
        done = run()
        after = pathlib.Path("/proc/self/mountinfo").read_text()
        if before == after:
            return done
    raise AssertionError(f"{before}became\n{after}")


def outside(place):
    """What is on the disk, of all of ks/."""
    return {path: path.read_bytes() for path in place.ks.rglob("*") if path.is_file()}


def test_nothing_is_seen(place):
    before, script = outside(place), f"ls -A {place.ks}; cat {place.ks}/*; cat {place.ks}/secret.txt {place.ks}/secrets.vault"
    done = leaving_mounts(lambda: place.sh(script, "--confine", check=False))
    assert done.out == "" and done.err.count("No such file or directory") == 3
    assert not place.warnings(done) and f"envgen: hidden from CMD: {place.ks}/\n" in done.err
    assert (AS_ROOT in done.err) == (not place.launcher)
    assert outside(place) == before


def test_an_open_folder_leads_nowhere(place):
    """By its descriptor, what was there before the mounts would be seen."""
    inside = os.open(place.ks, os.O_RDONLY | os.O_DIRECTORY)
    done = place.sh(f"cat /proc/self/fd/{inside}/secret.txt", "--confine", pass_fds=[inside], check=False)
    assert done.out == "" and done.returncode != 0 and place.secret not in done.err
    done = place.sh("cat /proc/self/fd/0/secret.txt", "--confine", input=None, stdin=inside, check=False)
    assert done.out == "" and "descriptor 0 is an open folder" in done.err
    os.close(inside)


@pytest.mark.skipif(not ROOT, reason="takes root: another user's mounts never go outside")
def test_mounts_stay_within(here):
    """Where mounts are shared, as systemd has it, they would appear outside."""
    shared = ["unshare", "-m", "--propagation", "shared", "sh", "-c", '"$@"; cat "$0"', here.ks / "secret.txt"]
    bundle = with_bundle(here)
    assert here.sh("true", "--confine", before=shared).out == here.secret
    assert here.sh("true", "--ca-over", bundle, before=[*shared[:-1], bundle]).out == BUNDLE


# What CMD might try, each in a shell, with $KS for the folder and $OTHER for a process of the same user outside. None of it
# may print "IN", which stands in a file there. "unshare -Urm" gives all rights that a user can have in a namespace of its own.
ATTEMPTS = {
    "umount": "umount $KS; umount -l $KS; cat $KS/in",
    "umount in a namespace of its own": "unshare -Urm sh -c 'umount $KS; umount -l $KS; umount -R /; cat $KS/in'",
    "bind the folder above": "unshare -Urm sh -c 'mount --bind $TOP $WORK; cat $WORK/ks/in; umount $WORK/ks; cat $WORK/ks/in'",
    "bind it with all mounts": "unshare -Urm sh -c 'mount --rbind $TOP $WORK; umount $WORK/ks; cat $WORK/ks/in'",
    "overlay the folder above": "unshare -Urm sh -c 'mount -t overlay -o lowerdir=$TOP:/usr/share none $WORK; cat $WORK/ks/in'",
    "move it away": "mv $KS $TOP/moved; cat $TOP/moved/in; unshare -Urm sh -c 'mount --move $KS $WORK; cat $KS/in'",
    "another process's root": "cat /proc/$OTHER/root$KS/in /proc/$OTHER/cwd/in",
    "another process's open file": "cat /proc/$OTHER/fd/9",
    "another process's namespace": "nsenter -t $OTHER -m cat $KS/in; nsenter -t $OTHER -U -m cat $KS/in",
    "tracing": f"{PYTHON} -c 'import ctypes,sys; ctypes.CDLL(None).ptrace(16, int(sys.argv[1]), 0, 0) or print(\"IN\")' $OTHER",
    "remount": "mount -o remount,rw $KS; echo x >$KS/x; cat $KS/in; unshare -Urm sh -c 'mount -o remount,rw,bind $KS; echo x >$KS/x'",
    "dot-dot": "cd $WORK/../ks && cat in",
}


@pytest.fixture
def other(place):
    """A process of the same user, outside, that has the folder open."""
    (place.ks / "in").write_text("IN")
    os.chown(place.ks / "in", place.ks.stat().st_uid, place.ks.stat().st_gid)
    process = subprocess.Popen([*place.launcher, "sh", "-c", "exec 9<in; echo up; exec cat"], cwd=place.ks,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=place.environment())
    assert process.stdout.readline() == b"up\n"
    with process:
        yield process
        process.kill()  # a tracer may have left it stopped


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_it_cannot_be_undone(place, other, attempt):
    names = {"KS": str(place.ks), "TOP": str(place.top), "WORK": str(place.work), "OTHER": str(other.pid)}
    done = place.sh(ATTEMPTS[attempt], "--confine", env=names, check=False)
    assert "IN" not in done.out and not (place.ks / "x").exists(), done.out + done.err
    assert other.poll() is None


def test_the_other_process_is_worth_trying(place, other):
    """Without --confine, these do work."""
    names = {"OTHER": str(other.pid), "KS": str(place.ks)}
    assert place.sh("cat /proc/$OTHER/root$KS/in /proc/$OTHER/cwd/in /proc/$OTHER/fd/9", env=names).out == "IN" * 3
    assert place.sh(ATTEMPTS["tracing"], env=names).out == "IN\n"


def test_no_new_privileges(place):
    done = place.run("--confine", "--", "grep", "-E", "^(NoNewPrivs|Seccomp|CapEff|CapBnd)", "/proc/self/status")
    came = dict(line.split(":\t") for line in done.out.splitlines())
    sys_admin = 1 << 21
    assert came["NoNewPrivs"] == "1" and came["Seccomp"] == "2"
    assert not int(came["CapBnd"], 16) & sys_admin and not int(came["CapEff"], 16) & sys_admin
    assert bool(int(came["CapEff"], 16)) == (not place.launcher)


def test_users_stay_who_they_are(place):
    """Files are made and changed as ever."""
    here = "id -u; id -g; echo mine >made; stat -c %u:%g made"
    assert place.sh(here, "--confine").out == place.sh(here).out
    assert (place.work / "made").stat().st_uid == place.ks.stat().st_uid


class Talk:
    """A confined shell that does one line after the other."""

    def __init__(self, place, *options, **more):
        self.process = subprocess.Popen(place.words(*options, "--", "sh"), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, cwd=more.get("cwd", place.work), env=place.environment())

    def __enter__(self):
        self.say("true")
        return self

    def __exit__(self, *_):
        self.process.communicate(timeout=60)

    def say(self, line):
        """What the line writes."""
        self.process.stdin.write(f"{line}\necho END-OF-LINE\n".encode())
        self.process.stdin.flush()
        came = b""
        while not came.endswith(b"END-OF-LINE\n"):
            assert select.select([self.process.stdout], [], [], 60)[0], came
            piece = os.read(self.process.stdout.fileno(), 4096)
            assert piece, came
            came += piece
        return came.decode().removesuffix("END-OF-LINE\n")


def replace(path, text):
    """As everybody replaces secrets: a new file, renamed."""
    new = path.with_name("new")
    new.write_text(text)
    shutil.chown(new, path.parent.stat().st_uid)
    new.rename(path)


def test_what_is_replaced_is_not_seen(place):
    """A mount on the file itself would be gone with it."""
    with Talk(place, "--confine") as talk:
        replace(place.ks / "secret.txt", "IN")
        (place.ks / "later").write_text("IN")
        assert "IN" not in talk.say(f"cat {place.ks}/secret.txt {place.ks}/later")


def test_a_folder_that_is_needed(place):
    """Its files are hidden one by one, and what that is worth is told; the others stay."""
    done = place.sh("cat secrets.vault vault.key session.key secret.txt state/*; ls state; grep -c upstream keystile.yaml",
                    "--confine", cwd=place.ks, check=False)
    assert done.out.split() == ["2"]
    lines = place.warnings(done)
    assert {re.fullmatch(rf"{WARNING}{place.ks}/(.*) \((.*)\) is hidden only until it is replaced: its folder cannot be hidden, "
                         rf"since CMD needs {place.ks}; move it to .*", line).groups() for line in lines} == {
        (name, what) for name, what in GUARDED.items() if name != "state"}
    assert (place.ks / "secret.txt").read_text() == place.secret


@pytest.mark.parametrize("what", ["home", "program by name", "program in the path", "program here in the path", "bundle", "link to the working folder"])
def test_what_is_needed(place, what):
    """Whatever of CMD lies in the folder, it stays."""
    program, options, more = place.ks / "program", [], {}
    shutil.copy("/bin/true", program)
    words = ["true"]
    if what == "home":
        more = {"env": {"HOME": str(place.ks)}}
    elif what == "program by name":
        words = [program]
    elif what == "program in the path":
        words, more = ["program"], {"env": {"PATH": f"/nowhere:{place.ks}:/usr/bin"}}
    elif what == "program here in the path":
        words, more = ["program"], {"env": {"PATH": "/nowhere::/usr/bin"}, "cwd": place.ks}
    elif what == "bundle":
        shutil.copy(with_bundle(place), place.ks / "bundle.crt")
        options = ["--ca-over", place.ks / "bundle.crt"]
    else:
        (place.top / "link").symlink_to("ks")
        more = {"cwd": place.top / "link"}
    done = place.run("--confine", *options, "--", *words, **more)
    assert len(place.warnings(done)) == len(GUARDED) - 1 and f"CMD needs {place.ks}" in done.err


def test_a_folder_that_is_needed_is_written_to(place):
    place.sh("echo made >by-cmd", "--confine", cwd=place.ks)
    assert (place.ks / "by-cmd").read_text() == "made\n"


def test_nothing_hides_what_is_not_there(place):
    (place.ks / "secret.txt").unlink()
    done = place.sh("echo ran", "--confine", cwd=place.ks, check=False)
    told = (f"{place.ks}/secret.txt (a secret of credential api) is not there yet, so nothing can hide it, and the folder "
            f"{place.ks} cannot be hidden, since CMD needs {place.ks}; name a file in a folder of its own, and make that folder")
    assert (done.returncode, done.out) == (1, "")
    assert f"envgen: error: --confine: {told}; or go on without it: --best-effort" in done.err
    done = place.sh("echo ran", "--confine", "--best-effort", cwd=place.ks)
    assert done.out == "ran\n" and f"{WARNING}not confined: {told}" in place.warnings(done)


def test_what_is_not_there_yet(place):
    """In a folder that can be hidden it comes hidden; a state folder is made for that."""
    (place.ks / "secret.txt").unlink()
    shutil.rmtree(place.ks / "state")
    with Talk(place, "--confine") as talk:
        replace(place.ks / "secret.txt", "IN")
        assert "IN" not in talk.say(f"cat {place.ks}/secret.txt")
    assert (place.ks / "state").is_dir()


def test_a_link_leads_elsewhere(place):
    """As Kubernetes and Vault Agent have it: what is hidden is where the name is, and where the file is."""
    (place.top / "real").mkdir()
    (place.top / "real/value").write_text("IN")
    (place.ks / "secret.txt").unlink()
    (place.ks / "secret.txt").symlink_to("../real/value")
    assert place.sh(f"cat {place.ks}/secret.txt; cat {place.top}/real/value", "--confine", check=False).out == ""


# What CMD may try so that a later run covers something else, or starts something else.
DECOYS = {
    "the folder above": "mv $TOP/above $TOP/elsewhere",
    "two above": "mv $TOP/upper $TOP/elsewhere",
    "exchanged": f"{PYTHON} -c 'import ctypes,sys; c=ctypes.CDLL(None,use_errno=True); "
                 "sys.exit(c.renameat2(-100,sys.argv[1].encode(),-100,sys.argv[2].encode(),2) and ctypes.get_errno())' "
                 "$TOP/upper $TOP/decoy",
    "in a namespace of its own": "unshare -Urm sh -c 'umount -l $TOP/upper; mv $TOP/upper $TOP/elsewhere'",
}


@pytest.mark.parametrize("attempt", DECOYS)
def test_a_name_stays(place, attempt):
    """Of a folder that holds a covered one, and is in one where CMD may write."""
    upper, decoy = place.top / "upper", place.top / "decoy"
    (upper / "above").mkdir(parents=True)
    decoy.mkdir()
    place.ks.rename(upper / "above/ks")
    place.ks = upper / "above/ks"
    for path in (upper, upper / "above", decoy):
        shutil.chown(path, place.top.stat().st_uid)
    script = DECOYS[attempt].replace("$TOP/above", f"{upper}/above").replace("$TOP", str(place.top))
    done = place.sh(f"{script} && echo IN; echo >{upper}/new; cat {upper}/above/ks/secret.txt", "--confine", check=False)
    assert "IN" not in done.out and "error: --confine" not in done.err
    assert "busy" in done.err or attempt == "exchanged"
    assert (upper / "above/ks/secret.txt").read_text() == place.secret and (upper / "new").exists()


def test_the_configuration_stays(place):
    """Where CMD works in its folder too: it is read, and neither changed nor replaced."""
    before = (place.ks / "keystile.yaml").read_text()
    done = place.sh("cat keystile.yaml; echo IN >>keystile.yaml; echo IN >new; mv new keystile.yaml; rm keystile.yaml; cat new",
                    "--confine", cwd=place.ks, check=False)
    assert done.out == before + "IN\n" and "Read-only" in done.err and done.err.count("busy") == 2
    assert (place.ks / "keystile.yaml").read_text() == before


def test_the_way_back_from_the_working_folder(place):
    """As it was opened before the mounts, it would lead past them."""
    inner = place.top / "inner"
    (inner / "work").mkdir(parents=True)
    place.ks.rename(inner / "ks")
    place.ks = inner / "ks"
    for path in (inner, inner / "work"):
        shutil.chown(path, place.top.stat().st_uid)
    assert place.sh("cat ../ks/secret.txt; ls ../ks; pwd", "--confine", cwd=inner / "work", check=False).out == f"{inner}/work\n"


def test_links_that_can_be_led_elsewhere(place):
    """A folder by a link: root could lead any link of the system elsewhere, and is told other things."""
    place.ks.rename(place.top / "real")
    place.ks.symlink_to("real")
    warnings = place.warnings(place.sh("true", "--confine"))
    told = [line for line in warnings if f"CMD can lead the link {place.ks} elsewhere" in line]
    assert len(told) == (len(GUARDED) if place.launcher else 0)


def test_a_socket_that_is_not_there_yet(make_place):
    """proxyd may start later: a folder that will hold the proxy's own socket is not hidden."""
    place = make_place(head={"listen": "[127.0.0.1:{port}, 'unix:{folder}/p.sock']"})
    (place.ks / "secret.txt").unlink()
    done = place.sh("true", "--confine", check=False)
    assert done.returncode == 1 and f"CMD needs {place.ks}/p.sock" in done.err


def test_commands_that_hold_a_secret(make_place):
    """exec: hides its script and what the script is told to read; not a program that everybody may read."""
    place = make_place(config=CONFIG.replace("file:secret.txt", "'exec:/bin/sh {top}/scripts/get {top}/data/key nothing'"))
    for name in ("scripts/get", "data/key", "data2/key"):
        (place.top / name).parent.mkdir()
        (place.top / name).write_text("IN")
        (place.top / name).chmod(0o600)
    config = place.ks / "keystile.yaml"
    config.write_text(config.read_text().replace("{top}", str(place.top)))
    done = place.sh(f"cat {place.top}/scripts/get {place.top}/data/key; cat {place.top}/data2/key", "--confine")
    assert done.out == "IN"


def test_systemd_credentials(here):
    folder = here.top / "credentials"
    folder.mkdir()
    (folder / "vault").write_text("IN")
    config = here.ks / "keystile.yaml"
    config.write_text(config.read_text().replace("file:secret.txt", "systemd:vault"))
    script = f"cat {folder}/vault"
    assert here.sh(script, "--confine", env={"CREDENTIALS_DIRECTORY": str(folder)}, check=False).out == ""


def test_the_admin_socket(make_place):
    """Not a file to read, but a door. The folder has the proxy's own socket too, so only the one is hidden."""
    place = make_place(head={"admin": "unix:{folder}/doors/admin.sock", "listen": "[127.0.0.1:{port}, 'unix:{folder}/doors/p.sock']"})
    (place.ks / "doors").mkdir()
    connect = f"{PYTHON} -c 'import socket,sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])' {place.ks}/doors/"
    place.keystile.start()
    try:
        assert place.sh(f"{connect}admin.sock && {connect}p.sock").returncode == 0
        done = place.sh(f"{connect}p.sock && echo ours; {connect}admin.sock && echo IN", "--confine", check=False)
        assert done.out == "ours\n" and "ConnectionRefusedError" in done.err
    finally:
        place.keystile.stop()


# --confine: TCP

CONNECT = """
import errno, socket, sys
kind, port = sys.argv[1], int(sys.argv[2])
try:
    if kind == "tcp":
        socket.create_connection(("127.0.0.1", port))
    elif kind == "tcp6":
        socket.create_connection(("::1", port))
    elif kind == "fastopen":
        socket.socket().sendto(b"x", socket.MSG_FASTOPEN, ("127.0.0.1", port))
    elif kind == "fastopen by sendmsg":
        socket.socket().sendmsg([b"x"], [], socket.MSG_FASTOPEN, ("127.0.0.1", port))
    elif kind == "fastopen by connect":
        s = socket.socket(); s.setsockopt(socket.IPPROTO_TCP, 30, 1); s.connect(("127.0.0.1", port)); s.send(b"x")
    elif kind == "udp":
        socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", port))
    elif kind == "io_uring":
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syscall(425, 1, ctypes.create_string_buffer(200)) < 0:
            raise OSError(ctypes.get_errno(), "io_uring_setup")
    else:
        domain, protocol = map(int, kind.split()[1:])
        socket.socket(domain, socket.SOCK_STREAM, protocol).connect(("127.0.0.1", port))
    print("through")
except OSError as error:
    print(errno.errorcode[error.errno])
"""
REFUSED = {
    "tcp": "EACCES", "tcp6": "EACCES", "fastopen": "ENOTSUP", "fastopen by sendmsg": "ENOTSUP", "fastopen by connect": "EACCES",
    "socket 2 262": "EPROTONOSUPPORT",  # Multipath TCP
    "socket 10 262": "EPROTONOSUPPORT",
    "socket 2 256": "EPROTONOSUPPORT",  # SMC
    "socket 43 0": "EAFNOSUPPORT",
    "io_uring": "ENOSYS",
    "udp": "through",
}


@pytest.fixture
def listening():
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("kind", REFUSED)
def test_connects(place, listening, kind):
    came = place.run("--confine", "--", PYTHON, "-c", CONNECT, kind, str(listening)).out
    assert came == REFUSED[kind] + "\n"


def test_the_proxy_is_reached(place, listening):
    for kind in ("tcp", "tcp6"):
        done = place.run("--confine", "--advertise", f"127.0.0.1:{listening}", "--", PYTHON, "-c", CONNECT, kind, str(listening))
        assert done.out == "through\n"


@pytest.mark.parametrize("hosts,through", [("[nats.internal:{port}]", True), ("['api.example.com:{port}']", False),
                                           ("[nats.internal]", False)], ids=["its port", "of a credential", "without a port"])
def test_what_is_reached_without_the_proxy(make_place, listening, hosts, through):
    """The ports of NO_PROXY's entries; what goes through the proxy needs none."""
    place = make_place(config=CONFIG + f"    hosts: {hosts.format(port=listening)}\n")
    done = place.run("--confine", "--", PYTHON, "-c", CONNECT, "tcp", str(listening))
    assert done.out == ("through\n" if through else "EACCES\n")


SYSTEM_CALL_OF_I386 = """
import ctypes, mmap, os
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(bytes.fromhex("b814000000cd80c3"))  # getpid, by int 0x80
came = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
print("its own" if came == os.getpid() else came)
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="takes a processor that runs 32-bit programs too")
def test_another_architectures_system_calls(place):
    """They have numbers of their own, and one that makes any kind of socket."""
    if place.run("--", PYTHON, "-c", SYSTEM_CALL_OF_I386, check=False).out != "its own\n":
        pytest.skip("this kernel has none")
    assert place.run("--confine", "--", PYTHON, "-c", SYSTEM_CALL_OF_I386).out == f"{-errno.ENOSYS}\n"


def test_the_limit_is_for_all_that_it_starts(place, listening):
    script = f"sh -c '{PYTHON} -c \"$1\" tcp {listening}' sh \"$CONNECT\"; unshare -Ur {PYTHON} -c \"$CONNECT\" tcp {listening}"
    assert place.sh(script, "--confine", env={"CONNECT": CONNECT}).out == "EACCES\nEACCES\n"


def test_a_client_does_its_work(make_place, nginx):
    """All of it together: through the proxy with the secret, to the same server past the proxy not at all."""
    for user in USERS:
        place = make_place(user, CONFIG.replace("https://api.example.com", f"http://127.0.0.1:{nginx.port}"))
        place.keystile.start()
        try:
            ask = 'curl -sS --max-time 20 -H "Authorization: Bearer $API_TOKEN"'
            done = place.sh(f"{ask} $API_URL/say/hello; {ask} --noproxy '*' http://127.0.0.1:{nginx.port}/say/past", "--confine", check=False)
        finally:
            place.keystile.stop()
        assert done.out == "GET /say/hello\n" and done.returncode == 7, done.err
        seen, = nginx.seen()
        assert seen["authorization"] == f"Bearer {place.secret}"


TYPE = """
import errno, fcntl, sys
try:
    fcntl.ioctl(0, int(sys.argv[1]), b"x")
    print("typed")
except OSError as error:
    print(errno.errorcode[error.errno])
"""


@pytest.mark.parametrize("request_number", [0x5412, 0x541C], ids=["TIOCSTI", "TIOCLINUX"])
def test_nothing_is_typed_into_the_terminal(place, request_number):
    """A shell outside would run it."""
    (place.work / "type.py").write_text(TYPE)
    came = {}
    for options in ([], ["--confine"]):
        command = shlex.join(map(str, place.words(*options, "--", PYTHON, place.work / "type.py", request_number)))
        done = subprocess.run(["script", "-qec", command, "/dev/null"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              cwd=place.work, env=place.environment(), timeout=60)
        came[bool(options)] = done.stdout.split()[-1].removeprefix("x")
    assert came[True] == "EPERM" and came[False] in {0x5412: ("typed", "EIO"), 0x541C: ("typed", "EPERM", "ENOTTY", "EINVAL")}[request_number]


# --ca-over

BUNDLE = "-----BEGIN CERTIFICATE-----\nc3lzdGVt\n-----END CERTIFICATE-----\n"
CA = "-----BEGIN CERTIFICATE-----\nb3Vycw==\n-----END CERTIFICATE-----\n"


def with_bundle(place, ca=CA):
    bundle = place.top / "bundles/ca-certificates.crt"
    bundle.parent.mkdir()
    bundle.write_text(BUNDLE)
    (place.top / "bundles/link.pem").symlink_to("ca-certificates.crt")
    if ca is not None:
        (place.ks / "state/ca.pem").write_text(ca)
    return bundle


@pytest.mark.parametrize("options", [[], ["--confine"], ["--confine", "--best-effort"]], ids=lambda options: " ".join(options))
def test_ca_over(place, options):
    bundle = with_bundle(place)
    script = f"cat {bundle} {bundle.parent}/link.pem; echo x >>{bundle}"
    for name in (bundle, bundle.parent / "link.pem"):
        done = leaving_mounts(lambda: place.sh(script, *options, "--ca-over", name, check=False))
        assert done.out == (BUNDLE + CA) * 2 and "cannot create" in done.err
        assert bundle.read_text() == BUNDLE


def test_ca_over_the_systems_own(place):
    """The one that wget and apt read."""
    with_bundle(place)
    name = "/etc/ssl/certs/ca-certificates.crt"
    done = place.run("--ca-over", name, "--", "tail", "-c", str(len(CA)), name)
    assert done.out == CA and not pathlib.Path(name).read_text().endswith(CA)


def test_the_certificate_is_seen_where_the_state_folder_is_not(place):
    with_bundle(place)
    (place.ks / "state/bundle.pem").write_text(BUNDLE + CA)
    done = place.sh(f"ls {place.ks}", "--confine")
    assert done.out == "", "the folder above is hidden as a whole"
    state = place.top / "state"
    (place.ks / "state").rename(state)
    config = place.ks / "keystile.yaml"
    config.write_text(config.read_text().replace("state: state", f"state: {state}"))
    done = place.sh(f"ls -l {state} | cut -c1-10; cat {state}/ca.pem {state}/bundle.pem; echo x >{state}/ca.pem", "--confine",
                    check=False)
    assert done.out.splitlines()[1:3] == ["-r--r--r--"] * 2 and done.out.endswith("\n" + CA + BUNDLE + CA)
    assert (state / "ca.pem").read_text() == CA


CA_MISTAKES = [
    (None, "…/ca.pem: No such file or directory; proxyd writes it when it starts with `intercept: true`, and without interception "
     "no bundle needs it: leave --ca-over out"),
    ("", "…/ca.pem: must hold a certificate in PEM, and no private key"),
    (CA + "-----BEGIN PRIVATE KEY-----\n", "…/ca.pem: must hold a certificate in PEM, and no private key"),
]


@pytest.mark.parametrize("ca,says", CA_MISTAKES, ids=["absent", "empty", "with its key"])
def test_ca_over_without_a_certificate(here, ca, says):
    bundle = with_bundle(here, ca)
    done = here.run("--ca-over", bundle, "--", "true", check=False)
    assert done.returncode == 1
    pattern = f"--ca-over {bundle}: the proxy's CA certificate: {says}"
    assert re.fullmatch(".*".join(map(re.escape, pattern.split("…"))), done.err.splitlines()[-1].removeprefix("envgen: error: "))


@pytest.mark.parametrize("content,says", [(None, "No such file or directory"), ("text", "not a trust bundle: there is no PEM "
                                                                             "certificate in it")], ids=["absent", "no bundle"])
def test_ca_over_what_is_no_bundle(here, content, says):
    with_bundle(here)
    path = here.top / "other.pem"
    if content:
        path.write_text(content)
    done = here.run("--ca-over", path, "--", "true", check=False)
    assert done.returncode == 1 and done.err.endswith(f"envgen: error: --ca-over {path}: {says}\n")


# What a system cannot do

NO_USER_NAMESPACES = ["unshare", "-U", "-r", "-m", "sh", "-c", 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"', "sh"]


def injecting(call, what):
    """strace makes one system call fail, as a kernel without it does."""
    return ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:{what}"]


LACKS = {
    "no user namespaces": (NO_USER_NAMESPACES, "cannot make a user namespace (unshare(2); the kernel may forbid it by sysctl "
                           "user.max_user_namespaces, …): No space left on device", "files"),
    "unshare forbidden": (injecting("unshare", "error=EPERM"), "cannot make a user namespace (…): Operation not permitted", "files"),
    "no Landlock": (injecting("landlock_create_ruleset", "error=ENOSYS"), "this kernel has no Landlock, or a sandbox keeps it away, so "
                    "TCP connects cannot be limited; Linux 6.7 can", "connects"),
    "Landlock off": (injecting("landlock_create_ruleset", "error=EOPNOTSUPP"), "Landlock is turned off, so TCP connects cannot be "
                     "limited; add landlock to `lsm=` of the kernel's command line", "connects"),
    "an older Landlock": (injecting("landlock_create_ruleset", "retval=3"), "this kernel's Landlock is version 3 and cannot limit TCP "
                          "connects; version 4 can, of Linux 6.7", "connects"),
    "no seccomp": (injecting("seccomp", "error=EINVAL"), "this kernel has no seccomp filters, so Multipath TCP and TCP Fast Open go past "
                   "Landlock, and keys can be typed into the terminal; a kernel with CONFIG_SECCOMP_FILTER has them", "detours"),
    "no mounts": (injecting("move_mount", "error=EPERM"), "cannot hold … in its place: Operation not permitted", "files"),
}


without_sanitizers = pytest.mark.skipif(sanitizers.in_use(), reason="a sanitizer's own tracer and strace do not go together")


@without_sanitizers
@pytest.mark.parametrize("lack", LACKS)
def test_what_a_system_cannot_do(here, listening, lack):
    before, says, lost = LACKS[lack]
    script = f'cat {here.ks}/secret.txt; {PYTHON} -c "$CONNECT" tcp {listening}; {PYTHON} -c "$CONNECT" "socket 2 262" {listening}'
    pattern = ".*".join(map(re.escape, says.split("…")))
    done = here.sh(script, "--confine", before=before, env={"CONNECT": CONNECT}, check=False)
    assert (done.returncode, done.out) == (1, "")
    assert re.search(rf"^envgen: error: --confine: {pattern}; or go on without it: --best-effort$", done.err, re.MULTILINE), done.err
    done = here.sh(script, "--confine", "--best-effort", before=before, env={"CONNECT": CONNECT}, check=False)
    assert re.search(rf"^envgen: warning: not confined: {pattern}$", done.err, re.MULTILINE), done.err
    came = {"files": here.secret in done.out, "connects": "through\nE" in done.out, "detours": done.out.endswith("EACCES\nthrough\n")}
    assert came == {name: name == lost for name in came}, done.out + done.err
    assert (f"hidden from CMD: {here.ks}/\n" in done.err) == (lost != "files")
    if lost == "files" and lack != "no mounts":
        assert f"{WARNING}CMD can get at {here.ks}/secret.txt (a secret of credential api)" in done.err


@without_sanitizers
def test_ca_over_where_there_are_no_namespaces(here):
    bundle = with_bundle(here)
    done = here.sh("echo ran", "--confine", "--best-effort", "--ca-over", bundle, before=injecting("unshare", "error=EPERM"), check=False)
    assert (done.returncode, done.out) == (1, "") and "envgen: error: --ca-over: cannot make a user namespace" in done.err
