"""Real clients, unchanged, with only the sourced file of envgen: they do their work, and never hold the secret."""

import base64
import os
import pathlib
import subprocess

import pytest

from peers import apis, evidence
from peers.config import basic
from peers.evidence import EVIDENCE
from peers.git_server import AUTHOR
from peers.keystile import clean_environment
from peers.nginx import Nginx
from peers.wire import note

TOOLS = pathlib.Path(os.environ.get("KEYSTILE_TOOLS", "/nonexistent")).absolute()
PYTHON = TOOLS / "python/bin/python"
NODE = TOOLS / "bin/node"
NPM = TOOLS / "bin/npm"


def client_environment(proxy, tmp_path, **more):
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    sourced = proxy.environment()
    EVIDENCE.add("environ", str(sourced))
    path = f"{TOOLS / 'bin'}:{os.environ['PATH']}"
    # The API is at loopback here, which keeps all of loopback out of NO_PROXY; elsewhere it is in it
    sourced |= {"NO_PROXY": "localhost,127.0.0.1", "no_proxy": "localhost,127.0.0.1"}
    return {**clean_environment(), **sourced, "PATH": path, "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1", **more}


def run(command, env, cwd, stdin=None, check=True):
    """Runs a client to its end; what it said is kept as evidence."""
    done = subprocess.run(list(map(str, command)), env=env, cwd=cwd, input=stdin, capture_output=True, text=True, timeout=120)
    note(" ".join(map(str, command))[:200], "said", done.stdout + done.stderr)
    EVIDENCE.add("client output", done.stdout + done.stderr)
    assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def run_stream(command, env, cwd, gate):
    """A client that prints a line for each event: the server's next event waits for the line."""
    process = subprocess.Popen(list(map(str, command)), env=env, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines = []
    for line in process.stdout:
        note("client", "said", line)
        EVIDENCE.add("client output", line)
        lines.append(line.rstrip("\n"))
        if line.startswith("event "):
            gate.release()
    assert process.wait(60) == 0, "\n".join(lines)
    return lines


@pytest.fixture
def api(request):
    made = []

    def make(server):
        made.append(server)
        return server

    yield make
    for server in made:
        server.close()
        assert server.refused == [], "the server turned a request away"


def one_preset(preset, upstream, name=None):
    name = name or preset
    return (
        f"credentials:\n  {name}:\n    preset: {preset}\n    upstream: {upstream}\n    secret: vault:{name}\n"
        f"profiles:\n  agent:\n    credentials: [{name}]\n"
    )


OPENAI_PYTHON = """
import sys, tempfile, openai
client = openai.OpenAI()
if sys.argv[1] == "stream":
    chunks = client.chat.completions.create(model="gpt-test", stream=True, messages=[{"role": "user", "content": "hi"}])
    for chunk in chunks:
        if chunk.choices[0].delta.content:
            print("event", chunk.choices[0].delta.content, flush=True)
else:
    done = client.chat.completions.create(model="gpt-test", messages=[{"role": "user", "content": "hi"}])
    print(done.choices[0].message.content)
    print([model.id for model in client.models.list()])
    print(client.files.create(file=("f.jsonl", b"line of the file\\n" * 5000), purpose="batch").id)
"""
OPENAI_NODE = """
const OpenAI = require("openai").default;
(async () => {
  const client = new OpenAI();
  const messages = [{ role: "user", content: "hi" }];
  if (process.argv[2] === "stream") {
    for await (const chunk of await client.chat.completions.create({ model: "gpt-test", stream: true, messages }))
      if (chunk.choices[0].delta.content) console.log("event", chunk.choices[0].delta.content);
  } else {
    console.log((await client.chat.completions.create({ model: "gpt-test", messages })).choices[0].message.content);
    const found = [];
    for await (const model of client.models.list()) found.push(model.id);
    console.log(found);
    const file = new File(["line of the file\\n".repeat(5000)], "f.jsonl");
    console.log((await client.files.create({ file, purpose: "batch" })).id);
  }
})();
"""
ANTHROPIC_PYTHON = """
import sys, anthropic
client = anthropic.Anthropic()
asked = dict(model="claude-test", max_tokens=10, messages=[{"role": "user", "content": "hi"}])
if sys.argv[1] == "stream":
    with client.messages.stream(**asked) as stream:
        for text in stream.text_stream:
            print("event", text, flush=True)
else:
    print(client.messages.create(**asked).content[0].text)
"""
ANTHROPIC_NODE = """
const Anthropic = require("@anthropic-ai/sdk").default;
(async () => {
  const client = new Anthropic();
  const asked = { model: "claude-test", max_tokens: 10, messages: [{ role: "user", content: "hi" }] };
  if (process.argv[2] === "stream") {
    for await (const event of await client.messages.create({ ...asked, stream: true }))
      if (event.type === "content_block_delta") console.log("event", event.delta.text);
  } else console.log((await client.messages.create(asked)).content[0].text);
})();
"""
SDKS = [
    ("openai", "python", OPENAI_PYTHON), ("openai", "node", OPENAI_NODE),
    ("anthropic", "python", ANTHROPIC_PYTHON), ("anthropic", "node", ANTHROPIC_NODE),
]


def script_command(tmp_path, language, text):
    """The command that runs a script; node finds its modules from where the script lies."""
    if language == "python":
        path = tmp_path / "client.py"
        path.write_text(text)
        return [PYTHON, path]
    path = tmp_path / "client.cjs"
    path.write_text(text)
    link = tmp_path / "node_modules"
    if not link.exists():
        link.symlink_to(TOOLS / "node/node_modules")
    return [NODE, path]


@pytest.mark.parametrize("vendor,language,text", SDKS, ids=[f"{row[0]} {row[1]}" for row in SDKS])
@pytest.mark.parametrize("mode", ["whole", "stream"])
def test_sdk(keystile, api, tmp_path, vendor, language, text, mode):
    secret = evidence.secret("sk")
    server = api(getattr(apis, vendor)(secret))
    proxy = keystile(one_preset(vendor, server.url), {vendor: secret})
    env = client_environment(proxy, tmp_path)
    command = [*script_command(tmp_path, language, text), mode]
    if mode == "stream":
        lines = run_stream(command, env, tmp_path, server.gate)
        assert lines == ["event one", "event  two", "event  three"]
    else:
        lines = run(command, env, tmp_path).stdout.splitlines()
        assert lines[0] == "one two three"
        if vendor == "openai":
            assert "gpt-test" in lines[1] and lines[2] == "file-1"


# Once it has looked at an object, PyGithub goes by the `url` in it, which is the upstream's own and no body is rewritten:
# so the repository is a lazy one until all that needs its address is done.
PYGITHUB = """
import os, github
hub = github.Github(auth=github.Auth.Token(os.environ["GITHUB_TOKEN"]), base_url=os.environ["GITHUB_API_URL"])
print(hub.get_user().login)
repo = hub.get_repo("octo/hello", lazy=True)
print(repo.create_issue("third").title)
print(repo.full_name)
"""
OCTOKIT = """
(async () => {
  const { Octokit } = await import("octokit");
  const hub = new Octokit({ auth: process.env.GITHUB_TOKEN, baseUrl: process.env.GITHUB_API_URL });
  console.log((await hub.rest.users.getAuthenticated()).data.login);
  const where = { owner: "octo", repo: "hello" };
  console.log((await hub.rest.issues.create({ ...where, title: "third" })).data.title);
  console.log((await hub.rest.repos.get(where)).data.full_name);
})();
"""


@pytest.fixture
def github(keystile, api, tmp_path):
    secret = evidence.secret("ghp")
    server = api(apis.github(f"token {secret}"))
    proxy = keystile(one_preset("github", server.url), {"github": secret})
    return server, client_environment(proxy, tmp_path)


@pytest.mark.parametrize("language,text", [("python", PYGITHUB), ("node", OCTOKIT)], ids=["PyGithub", "octokit"])
def test_github(github, tmp_path, language, text):
    _, env = github
    lines = run(script_command(tmp_path, language, text), env, tmp_path).stdout.splitlines()
    assert lines == ["octo", "third", "octo/hello"]


PAGES = """
import os, requests, urllib.parse
url = os.environ["GITHUB_API_URL"] + "/repos/octo/hello/issues"
while url:
    answer = requests.get(url, headers={"Authorization": "token " + os.environ["GITHUB_TOKEN"]})
    print([issue["title"] for issue in answer.json()])
    url = urllib.parse.urljoin(answer.url, answer.links["next"]["url"]) if "next" in answer.links else None
"""


def test_github_pages(github, tmp_path):
    """The second page is where the Link of the first one leads, for a client that resolves it (RFC 8288 §3.1)."""
    _, env = github
    lines = run(script_command(tmp_path, "python", PAGES), env, tmp_path).stdout.splitlines()
    assert lines == ["['first']", "['second']"]


GENERAL = """
import sys, os, json
url, token = os.environ["API_URL"], os.environ["API_TOKEN"]
field = {"Authorization": "Bearer " + token}
if sys.argv[1] == "requests":
    import requests as library
    session = library.Session()
else:
    import httpx as library
    session = library.Client()
print(session.get(url + "/say/one", headers=field).text.strip())
print(session.post(url + "/made", headers=field, data={"a": "b" * 100000}).status_code)
print(session.get(url + "/empty", headers=field).status_code)
print(session.head(url + "/say/two", headers=field).headers["Content-Length"])
"""


@pytest.mark.parametrize("library", ["requests", "httpx"])
def test_python_library(keystile, nginx, tmp_path, library):
    from peers.config import one_api

    secret = evidence.secret(library)
    proxy = keystile(one_api(f"http://127.0.0.1:{nginx.port}"), {"api": secret})
    lines = run([*script_command(tmp_path, "python", GENERAL), library], client_environment(proxy, tmp_path), tmp_path)
    assert lines.stdout.splitlines() == ["GET /say/one", "201", "204", str(len("HEAD /say/two\n"))]
    seen = nginx.seen(4)
    assert {line["authorization"] for line in seen} == {f"Bearer {secret}"}
    assert library.split("x")[0] in seen[0]["user_agent"]


# git


def test_git_clone_and_push(keystile, git_server, tmp_path):
    """The sourced file leads git's own URL of the host to the proxy: nobody configures git."""
    secret = evidence.secret("ghs")
    server = git_server(basic("x-access-token", secret))
    config = one_preset("git-github", f"http://127.0.0.1:{server.nginx.port}")
    proxy = keystile(config, {"git-github": secret})
    env = client_environment(proxy, tmp_path, **AUTHOR)
    copy = tmp_path / "copy"
    run(["git", "clone", "-q", "https://github.com/octo/hello.git", copy], env, tmp_path)
    assert (copy / "README").read_text() == "hello\n"
    (copy / "new").write_bytes(os.urandom(3 << 20))  # over http.postBuffer: git sends it chunked
    run(["git", "-C", copy, "add", "."], env, tmp_path)
    run(["git", "-C", copy, "commit", "-qm", "second"], env, tmp_path)
    run(["git", "-C", copy, "push", "-q", "origin", "main"], env, tmp_path)
    assert server.log() == ["second", "first"]
    run(["git", "-C", copy, "fetch", "-q"], env, tmp_path)


# pip and npm


def make_wheel(folder, name, version):
    """A wheel of one module."""
    import zipfile

    info = f"{name}-{version}.dist-info"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", f"version = '{version}'\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return path


def test_pip(keystile, tmp_path):
    """A private index: nginx serves it to one Authorization alone."""
    secret = evidence.secret("pypi")
    more = (
        f'location /simple/ {{ if ($http_authorization != "{basic("__token__", secret)}") {{ return 401; }} autoindex on; '
        "types { text/html html; application/octet-stream whl; } }"
    )
    server = Nginx(tmp_path / "index", more)
    try:
        package = tmp_path / "index/www/simple/keystile-private"
        package.mkdir(parents=True)
        make_wheel(package, "keystile_private", "1.0")
        proxy = keystile(one_preset("pypi", f"http://127.0.0.1:{server.port}"), {"pypi": secret})
        env = client_environment(proxy, tmp_path)
        target = tmp_path / "site"
        run([PYTHON, "-m", "pip", "install", "--no-cache-dir", "--target", target, "keystile-private"], env, tmp_path)
        assert "1.0" in (target / "keystile_private.py").read_text()
    finally:
        server.close()


def make_tarball(name, version):
    import io
    import json
    import tarfile

    files = {"package.json": json.dumps({"name": name, "version": version, "main": "index.js"}),
             "index.js": f"module.exports = {json.dumps(name)};\n"}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for path, text in files.items():
            info = tarfile.TarInfo("package/" + path)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()


def test_npm(keystile, api, tmp_path):
    """Two private packages, one with a scope; npm gets document and tarball, and the registry sees the real token."""
    secret = evidence.secret("npm")
    names = ["keystile-private", "@keystile/scoped"]
    server = api(apis.npm(secret, {name: {"1.0.0": make_tarball(name, "1.0.0")} for name in names}))
    proxy = keystile(one_preset("npm", server.url), {"npm": secret})
    project = tmp_path / "project"
    project.mkdir()
    (project / "package.json").write_text('{"name":"p","version":"1.0.0","private":true}')
    env = client_environment(proxy, tmp_path, npm_config_cache=str(tmp_path / "cache"), npm_config_update_notifier="false")
    run([NPM, "install", "--no-audit", "--no-fund", "--fetch-retries=0", *names], env, project)
    for name in names:
        assert name in (project / "node_modules" / name / "index.js").read_text()
    paths = {path for _, path, _ in server.asked}
    assert any(path.lower().startswith("/@keystile%2fscoped") for path in paths), paths


def test_curl_with_userinfo(keystile, nginx, tmp_path):
    """The token as a password of the URL."""
    from peers.config import one_api

    secret = evidence.secret("curl")
    proxy = keystile(one_api(f"http://127.0.0.1:{nginx.port}", "{ basic: user }"), {"api": secret})
    env = client_environment(proxy, tmp_path)
    url = env["API_URL"].replace("http://", f"http://x:{env['API_TOKEN']}@") + "/say/curl"
    assert run(["curl", "-sSf", url], env, tmp_path).stdout == "GET /say/curl\n"
    assert nginx.seen()[0]["authorization"] == "Basic " + base64.b64encode(f"user:{secret}".encode()).decode()
