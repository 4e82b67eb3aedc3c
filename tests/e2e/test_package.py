"""The Debian package: built, looked at by lintian, and its whole life in a system of its own: installed, set up, upgraded under
load, removed, purged."""

import ast
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from peers.evidence import EVIDENCE, secret
from peers.keystile import wait_for
from peers.machine import Machine, why_not

TOP = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).parent
NOT_SOURCE = {".git", "build", "build-aux", "autom4te.cache", "node_modules", "__pycache__"}
EXPOSURE = 1.3  # as README and proxyd(8) say it
CONFIG = """\
version: 1
listen: 127.0.0.1:8180
vault: { file: /var/lib/keystile/secrets.vault, key: "systemd:vault.key" }
session: { key: "systemd:session.key" }
audit: { file: /var/log/keystile/audit.jsonl }
credentials:
  api: { upstream: "http://127.0.0.1:9000", secret: vault:api, inject: { bearer: true }, env: { token: API_TOKEN } }
profiles:
  coder: { credentials: [api] }
""".replace("{ bearer: true }", '{ header: Authorization, value: "Bearer {secret}" }')

pytestmark = pytest.mark.skipif(not shutil.which("dpkg-buildpackage") or not shutil.which("dh"), reason="debhelper is not installed")


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """Built once, without unit tests and optimization, out of a copy."""
    folder = tmp_path_factory.mktemp("package")
    shutil.copytree(TOP, folder / "keystile", symlinks=True, ignore=lambda _, names: NOT_SOURCE & set(names))
    done = subprocess.run(["dpkg-buildpackage", "-us", "-uc", "-b"], cwd=folder / "keystile", capture_output=True, text=True,
                          env={"PATH": "/usr/lib/ccache:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(folder), "LANG": "C.UTF-8",
                               "DEB_BUILD_OPTIONS": f"nocheck noopt parallel={os.cpu_count()}",
                               **{name: value for name, value in os.environ.items() if name.startswith("CCACHE_")}})
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return next(folder.glob("keystile_*.deb"))


@pytest.fixture(scope="module")
def older(package):
    """The same under an earlier version, with another conffile and another program, so that an upgrade replaces both."""
    tree = package.parent / "older"
    subprocess.run(["dpkg-deb", "-R", package, tree], check=True)
    for name, old, new in [("DEBIAN/control", r"^Version: .*", "Version: 0.0.1"), ("etc/logrotate.d/keystile", "rotate 13", "rotate 12")]:
        (tree / name).write_text(re.sub(old, new, (tree / name).read_text(), flags=re.M))
    os.utime(tree / "usr/bin/proxyd", (0, 0))
    (tree / "DEBIAN/md5sums").unlink()
    made = package.parent / "older.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "-b", tree, made], check=True, capture_output=True)
    return made


@pytest.fixture
def machine(tmp_path, request):
    boot = getattr(request, "param", True)
    if reason := why_not(boot):
        pytest.skip(reason)
    one = Machine(tmp_path / "machine", boot)
    yield one
    one.close()


@pytest.mark.skipif(not shutil.which("lintian"), reason="lintian is not installed")
def test_lintian_finds_nothing(package):
    done = subprocess.run(["lintian", "--allow-root", "--fail-on", "error,warning", next(package.parent.glob("*.changes"))],
                          capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_version_is_that_of_configure():
    wanted = re.search(r"AC_INIT\(\[keystile\], \[(.*)\]\)", (TOP / "configure.ac").read_text())[1]
    assert re.match(r"keystile \((.*)\)", (TOP / "debian/changelog").read_text())[1] == wanted


def test_build_packages_are_those_of_setup():
    told = set(re.search(r"^Build-Depends:(.*?)^\w", (TOP / "debian/control").read_text(), re.M | re.S)[1].replace("|", ",").split(","))
    told = {re.sub(r"[(<].*", "", one).strip() for one in told}
    wanted = re.search(r"^build_packages='(.*?)'", (TOP / "setup").read_text(), re.M | re.S)[1].replace("|", " ").split()
    assert {name for name in wanted if name.endswith("-dev") and name != "libc6-dev"} <= told


def test_holds_what_it_should(package):
    listing = subprocess.run(["dpkg-deb", "-c", package], capture_output=True, text=True, check=True).stdout
    held = {line.split()[5].lstrip("."): line.split()[:2] for line in listing.splitlines()}
    unit = "/usr/lib/systemd/system" if "/usr/lib/systemd/system/keystile.service" in held else "/lib/systemd/system"
    for path in ["/usr/bin/proxyd", "/usr/bin/envgen", "/usr/bin/creds"]:
        assert held[path] == ["-rwxr-xr-x", "root/root"], path
    for path in [f"{unit}/keystile.service", f"{unit}/keystile.socket", "/etc/logrotate.d/keystile", "/usr/share/man/man8/proxyd.8.gz",
                 "/usr/share/man/man1/envgen.1.gz", "/usr/share/man/man1/creds.1.gz", "/usr/share/man/man5/keystile.yaml.5.gz",
                 "/usr/share/keystile/keystile.schema.json", "/usr/share/zsh/vendor-completions/_keystile",
                 "/usr/share/bash-completion/completions/proxyd", "/usr/share/fish/vendor_completions.d/envgen.fish",
                 "/usr/share/doc/keystile/copyright", "/usr/share/doc/keystile/examples/systemd/keystile.yaml"]:
        assert held[path] == ["-rw-r--r--", "root/root"], path
    conffiles = subprocess.run(["dpkg-deb", "-I", package, "conffiles"], capture_output=True, text=True, check=True).stdout
    assert conffiles == "/etc/logrotate.d/keystile\n", "what the operator writes is no conffile"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_exposure_is_what_the_documents_say(package, tmp_path):
    subprocess.run(["dpkg-deb", "-x", package, tmp_path], check=True)
    unit = next(tmp_path.glob("**/systemd/system/keystile.service"))
    threshold = subprocess.run(["systemd-analyze", "security", "--offline=true", f"--threshold={round(EXPOSURE * 10)}", unit],
                               capture_output=True, text=True)
    assert threshold.returncode == 0, threshold.stdout + threshold.stderr
    for page in ("README.md", "docs/proxyd.8"):
        assert re.search(rf"\b{re.escape(str(EXPOSURE))}\b", (TOP / page).read_text()), f"{page} does not say {EXPOSURE}"


def install(machine, deb):
    target = f"/tmp/{deb.name}"
    with open(deb, "rb") as file:
        subprocess.run(machine.command("sh", "-c", f"cat >{target}"), stdin=file, check=True)
    return machine.run("dpkg", "--force-confold", "-i", target, patience=120)


def set_up(machine, value):
    """As examples/systemd/README.md has it."""
    machine.put("/etc/keystile/keystile.yaml", CONFIG)
    machine.sh("""
        export CREDENTIALS_DIRECTORY=/etc/keystile
        creds keygen /etc/keystile/vault.key
        creds keygen /etc/keystile/session.key
        install -d -m 700 -o keystile -g keystile /var/lib/keystile
        creds --config /etc/keystile/keystile.yaml init
        chown keystile: /var/lib/keystile/secrets.vault
    """)
    machine.run("env", "CREDENTIALS_DIRECTORY=/etc/keystile", "creds", "--config", "/etc/keystile/keystile.yaml", "set", "api", input=value)
    return machine.sh("CREDENTIALS_DIRECTORY=/etc/keystile envgen --config /etc/keystile/keystile.yaml --format json | "
                      "sed -n 's/.*\"API_TOKEN\": *\"\\([^\"]*\\)\".*/\\1/p'").strip()


ORIGIN = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = self.headers.get("Authorization", "none")[-6:].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 9000), Handler)
print("serving", flush=True)
server.serve_forever()
"""


def state(machine, unit="keystile.service", name="ActiveState"):
    return machine.run("systemctl", "show", "-P", name, unit).stdout.strip()


def test_its_life(machine, package, older):
    install(machine, older)
    assert state(machine) == "inactive" and state(machine, name="ConditionResult") == "no"
    machine.run("systemctl", "start", "keystile")
    assert "ConditionPathExists=/etc/keystile/keystile.yaml" in machine.run("systemctl", "status", "keystile", check=False).stdout
    assert machine.sh("systemctl --failed --no-legend") == ""
    assert machine.sh("stat -c '%a %U %G' /etc/keystile") == "750 root keystile\n"
    value = secret("package")
    token = set_up(machine, value)
    machine.run("systemctl", "enable", "--now", "keystile.socket")
    machine.run("systemctl", "start", "keystile.service")
    assert state(machine) == "active"
    origin = machine.start("/usr/bin/python3", "-c", ORIGIN)
    assert origin.stdout.readline() == "serving\n"
    load = subprocess.Popen(machine.command("/usr/bin/python3", "-c", (HERE / "peers/load_in_turns.py").read_text(), "8180", "/api/x", token),
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert load.stdout.readline() == "started\n"

    first = state(machine, name="MainPID")
    machine.sh("sed -i 's/weekly/daily/' /etc/logrotate.d/keystile")
    install(machine, package)
    second = state(machine, name="MainPID")
    assert second not in ("0", first), "the upgrade starts the new program"
    machine.run("systemctl", "restart", "keystile.service")
    assert state(machine, name="MainPID") not in ("0", second)
    machine.run("systemctl", "reload", "keystile.service")
    counts = ast.literal_eval(load.communicate("")[0])
    assert set(counts) == {200} and counts[200] > 50, counts
    assert "daily" in machine.sh("cat /etc/logrotate.d/keystile"), "what the administrator wrote stays"

    assert machine.sh("stat -c '%a %U %G' /var/log/keystile/audit.jsonl") == "640 keystile keystile\n"
    if machine.run("sh", "-c", "command -v logrotate", check=False).returncode == 0:
        inode = machine.sh("stat -c %i /var/log/keystile/audit.jsonl")
        machine.run("logrotate", "--force", "/etc/logrotate.d/keystile")
        wait_for(lambda: machine.run("stat", "-c", "%i", "/var/log/keystile/audit.jsonl", check=False).stdout not in ("", inode), "a new audit file")
    EVIDENCE.add("the journal", machine.run("journalctl", "--no-pager").stdout.encode())

    machine.run("dpkg", "--remove", "keystile", patience=90)
    for unit in ("keystile.service", "keystile.socket"):
        assert state(machine, unit) in ("inactive", "failed"), unit
    assert machine.sh("ss -ltn").count(":8180 ") == 0
    assert machine.sh("ls /etc/keystile /etc/logrotate.d/keystile").count("vault.key") == 1
    told = machine.run("dpkg", "--purge", "keystile").stdout
    assert "/etc/keystile is not empty and stays" in told and "/var/lib/keystile is not empty and stays" in told
    assert machine.sh("ls /var/lib/keystile /etc/keystile").split() == [
        "/etc/keystile:", "keystile.yaml", "session.key", "vault.key", "/var/lib/keystile:", "secrets.vault", "secrets.vault.lock"]
    machine.sh("! test -e /var/log/keystile && ! test -e /etc/logrotate.d/keystile && ! systemctl cat keystile.socket 2>/dev/null")


def test_a_key_that_is_missing_is_told(machine, package):
    """The unit takes an absent key for an empty one, so that configurations without it start; others say which."""
    install(machine, package)
    machine.put("/etc/keystile/keystile.yaml", CONFIG)
    assert machine.run("systemctl", "start", "keystile.service", check=False).returncode != 0
    told = wait_for(lambda: re.search(r"proxyd: error: .*", machine.run("journalctl", "-u", "keystile", "--no-pager", "-o", "cat").stdout),
                    "proxyd's error in the journal")[0]
    assert "session.key" in told, told


def test_the_drop_in_of_the_manual(machine, package):
    """Its listener takes capabilities, which proxyd gives up behind the unit's walls too."""
    drop_in = re.search(r"^\[Service\]\nAmbientCapabilities=.*?(?=^\.Ed)", (TOP / "docs/proxyd.8").read_text(), re.M | re.S)[0]
    install(machine, package)
    set_up(machine, secret("drop-in"))
    machine.sh("sed -i 's/:8180/:80/' /etc/keystile/keystile.yaml; mkdir /etc/systemd/system/keystile.service.d")
    machine.put("/etc/systemd/system/keystile.service.d/override.conf", drop_in)
    machine.sh("systemctl daemon-reload; systemctl start keystile.service")
    status = machine.sh(f"cat /proc/{state(machine, name='MainPID')}/status")
    assert dict(re.findall(r"^Cap(Prm|Eff|Inh|Amb):\t(\w+)$", status, re.M)) == dict.fromkeys(["Prm", "Eff", "Inh", "Amb"], "0" * 16), status


@pytest.mark.parametrize("machine", [False], indirect=True, ids=["no systemd runs"])
def test_where_no_systemd_runs(machine, package, older):
    """As in a container's image, or while a system is installed."""
    install(machine, older)
    assert machine.sh("getent passwd keystile | cut -d: -f6,7") == "/var/lib/keystile:/usr/sbin/nologin\n"
    install(machine, package)
    assert machine.sh("proxyd --version && envgen --version && creds --version").count("\n") == 3
    machine.run("dpkg", "--remove", "keystile")
    install(machine, package)
    assert machine.sh("stat -c '%a %U %G' /etc/keystile") == "750 root keystile\n", "removed, and installed again"
    machine.run("dpkg", "--purge", "keystile")
    machine.sh("! test -e /etc/keystile && ! test -e /var/lib/keystile")
