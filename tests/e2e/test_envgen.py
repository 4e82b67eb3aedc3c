"""The environment that envgen writes: which variables, for which shells, into which file (SPEC §6)."""

import os
import pathlib
import re
import shutil
import stat
import subprocess
import threading

import pytest

from peers import evidence
from peers.config import one_api
from peers.keystile import PROGRAMS, Keystile, clean_environment
from peers.tracer import counts_vary, run_until
from peers.wire import note

TOP = pathlib.Path(__file__).resolve().parents[2]
TOKEN = r"[0-9A-Za-z]{43}"
SHELLS = [shell for shell in ("sh", "dash", "bash", "busybox sh", "ksh", "mksh", "zsh") if shutil.which(shell.split()[0])]


@pytest.fixture
def proxy(keystile):
    """A configuration with one credential and its keys; nothing runs."""
    return keystile(one_api("https://api.example.com"), start=False)


def sourced(path, shell="sh", options="-eu"):
    """What a program has in its environment that a shell starts once it has read the file."""
    done = subprocess.run([*shell.split(), options, "-c", '. "$1"; exec env -0', "shell", str(path)], capture_output=True,
                          env={"PATH": os.environ["PATH"]}, cwd=path.parent)
    note(f"{shell} {options}", "said", done.stderr)
    assert (done.returncode, done.stderr) == (0, b"")
    variables = dict(item.split("=", 1) for item in done.stdout.decode().split("\0") if item)
    for name in ("PATH", "PWD", "OLDPWD", "SHLVL", "_"):
        variables.pop(name, None)
    return variables


def of_credentials(variables):
    return {name: value for name, value in variables.items() if name not in PROXY_VARIABLES}


# What every profile gets: {url} is the proxy's, with the token; {no} is NO_PROXY
PROXY_VARIABLES = {
    "HTTP_PROXY": "{url}", "http_proxy": "{url}", "HTTPS_PROXY": "{url}", "https_proxy": "{url}",
    "ALL_PROXY": "{url}", "all_proxy": "{url}", "NO_PROXY": "{no}", "no_proxy": "{no}",
    "NODE_USE_ENV_PROXY": "1", "GLOBAL_AGENT_HTTP_PROXY": "{url}", "GLOBAL_AGENT_HTTPS_PROXY": "{url}",
    "GLOBAL_AGENT_NO_PROXY": "{no}", "npm_config_proxy": "{url}", "npm_config_https_proxy": "{url}",
    "npm_config_noproxy": "{no}", "grpc_proxy": "{url}", "no_grpc_proxy": "{no}",
    "JAVA_TOOL_OPTIONS":
        "-Dhttp.proxyHost={host} -Dhttp.proxyPort={port} -Dhttp.proxyUser=agent -Dhttp.proxyPassword={token} "
        "-Dhttps.proxyHost={host} -Dhttps.proxyPort={port} -Dhttps.proxyUser=agent -Dhttps.proxyPassword={token} "
        "-Dhttp.nonProxyHosts={no_java} -Djdk.http.auth.proxying.disabledSchemes= "
        "-Djdk.http.auth.tunneling.disabledSchemes=",
}

# advertise, what NO_PROXY is
ADVERTISED = [
    ("127.0.0.1:8180", "localhost,127.0.0.1"),
    ("localhost:8180", "localhost,127.0.0.1"),
    ("keystile:8180", "localhost,127.0.0.1,keystile"),
    ("10.1.2.3:8180", "localhost,127.0.0.1,10.1.2.3"),
    ("[fd00::1]:8180", "localhost,127.0.0.1"),
    ("api.example.com:8180", "localhost,127.0.0.1"),  # a credential's host is never in it
]


@pytest.mark.parametrize("advertise,no_proxy", ADVERTISED, ids=[row[0] for row in ADVERTISED])
def test_proxy_variables(proxy, advertise, no_proxy):
    """Every one of them, in both cases where clients differ."""
    variables = sourced(proxy.env_file("agent", "--advertise", advertise))
    token = re.fullmatch(rf"http://agent:({TOKEN})@{re.escape(advertise)}", variables["HTTP_PROXY"])
    assert token, variables["HTTP_PROXY"]
    host, port = advertise.rsplit(":", 1)
    values = {"url": variables["HTTP_PROXY"], "no": no_proxy, "no_java": no_proxy.replace(",", "|"), "host": host.strip("[]"),
              "port": port, "token": token[1]}
    should = {name: value.format(**values) for name, value in PROXY_VARIABLES.items()}
    assert {name: variables.get(name) for name in should} == should
    assert set(of_credentials(variables)) == {"API_URL", "API_TOKEN"}
    assert variables["API_URL"] == f"http://{advertise}/api"


NO_PROXY_NAMES = [name for name, value in PROXY_VARIABLES.items() if value == "{no}"]


def test_no_proxy_holds_what_is_safe(keystile):
    """Allowed hosts, but for those that would lead a client to a credential host; one line says how many."""
    hosts = '[pypi.org, example.com, "*.pythonhosted.org", "nats.internal:4222", com, 203.0.113.9]'
    proxy = keystile(one_api("https://api.example.com", hosts=hosts), start=False)
    result = proxy.envgen("-o", proxy.folder / "agent.env")
    assert result.err == ("envgen: warning: left out: NO_PROXY: 3 of 6 allowed hosts, which are reached through the proxy; "
                          "envgen explain tells why\n")
    variables = sourced(proxy.folder / "agent.env")
    wanted = "localhost,127.0.0.1,pypi.org,.pythonhosted.org,nats.internal:4222"
    assert {variables[name] for name in NO_PROXY_NAMES} == {wanted}
    assert "-Dhttp.nonProxyHosts=localhost|127.0.0.1|pypi.org|*.pythonhosted.org " in variables["JAVA_TOOL_OPTIONS"]


def test_no_warning_of_what_goes_by_the_loopback_entry(keystile):
    """Its address and port have no entry of their own, and need none."""
    hosts = '["127.0.0.1:5432", "10.0.0.1:5432"]'
    result = keystile(one_api("https://api.example.com", hosts=hosts), start=False).envgen()
    assert "left out: NO_PROXY: 1 of 2 allowed hosts" in result.err


def test_no_proxy_is_set_where_nothing_bypasses(keystile):
    variables = sourced(keystile(one_api("http://127.0.0.1:9"), start=False).env_file())
    assert {variables[name] for name in NO_PROXY_NAMES} == {""}
    assert "-Dhttp.nonProxyHosts= " in variables["JAVA_TOOL_OPTIONS"]


def test_no_proxy_fits_into_a_variable(keystile):
    """10,000 hosts are more than one variable holds. A shell starts a program with what is written, and the rest is told."""
    hosts = [f"host-{number}.some.example.org" for number in range(10_000)]
    proxy = keystile(one_api("https://api.example.com", hosts=f"[{', '.join(hosts)}]"), start=False)
    result = proxy.envgen("-o", proxy.folder / "agent.env")
    variables = sourced(proxy.folder / "agent.env")
    listed = variables["NO_PROXY"].split(",")[2:]
    assert listed == hosts[: len(listed)]
    most = 131_071 - len("GLOBAL_AGENT_NO_PROXY=")
    assert most - len("," + hosts[-1]) < len(variables["NO_PROXY"]) <= most
    assert (f"envgen: warning: left out: NO_PROXY: {10_000 - len(listed)} of 10000 allowed hosts, for which there is no room in "
            "a variable; they are reached through the proxy\n") in result.err
    java = variables["JAVA_TOOL_OPTIONS"]
    assert len("JAVA_TOOL_OPTIONS=" + java) <= 131_071 and "|host-0.some.example.org|" in java
    assert re.search(r"left out: JAVA_TOOL_OPTIONS: \d+ hosts of NO_PROXY, for which there is no room in it\n", result.err)


# What each preset gives under its own name: {base} is http://ADVERTISE/NAME, {address} is ADVERTISE, {token} the token
PRESETS = {
    "anthropic": ("sk-ant-", {"ANTHROPIC_BASE_URL": "{base}", "ANTHROPIC_API_KEY": "{token}"}),
    "gemini": ("", {"GOOGLE_GEMINI_BASE_URL": "{base}", "GEMINI_API_KEY": "{token}"}),
    "git-github": ("", {
        "GIT_CONFIG_COUNT": "3",
        "GIT_CONFIG_KEY_0": "url.http://x:{token}@{address}/git-github/.insteadOf", "GIT_CONFIG_VALUE_0": "https://github.com/",
        "GIT_CONFIG_KEY_1": "url.http://x:{token}@{address}/git-github/.insteadOf", "GIT_CONFIG_VALUE_1": "git@github.com:",
        "GIT_CONFIG_KEY_2": "url.http://x:{token}@{address}/git-github/.insteadOf",
        "GIT_CONFIG_VALUE_2": "ssh://git@github.com/",
    }),
    "git-gitlab": ("", {
        "GIT_CONFIG_COUNT": "3",
        "GIT_CONFIG_KEY_0": "url.http://x:{token}@{address}/git-gitlab/.insteadOf", "GIT_CONFIG_VALUE_0": "https://gitlab.com/",
        "GIT_CONFIG_KEY_1": "url.http://x:{token}@{address}/git-gitlab/.insteadOf", "GIT_CONFIG_VALUE_1": "git@gitlab.com:",
        "GIT_CONFIG_KEY_2": "url.http://x:{token}@{address}/git-gitlab/.insteadOf",
        "GIT_CONFIG_VALUE_2": "ssh://git@gitlab.com/",
    }),
    "github": ("ghp_", {"GITHUB_API_URL": "{base}", "GITHUB_GRAPHQL_URL": "{base}/graphql", "GITHUB_TOKEN": "{token}",
                        "GH_TOKEN": "{token}"}),
    "gitlab": ("glpat-", {"GITLAB_URL": "{base}", "GITLAB_TOKEN": "{token}", "GITLAB_PRIVATE_TOKEN": "{token}"}),
    "groq": ("gsk_", {"GROQ_BASE_URL": "{base}", "GROQ_API_KEY": "{token}"}),
    "huggingface": ("hf_", {"HF_ENDPOINT": "{base}", "HF_TOKEN": "{token}"}),
    "linear": ("lin_api_", {"LINEAR_API_URL": "{base}/graphql", "LINEAR_API_KEY": "{token}"}),
    "mistral": ("", {"MISTRAL_SERVER_URL": "{base}", "MISTRAL_BASE_URL": "{base}/v1", "MISTRAL_API_KEY": "{token}"}),
    "notion": ("ntn_", {"NOTION_BASE_URL": "{base}", "NOTION_TOKEN": "{token}", "NOTION_API_TOKEN": "{token}",
                        "NOTION_API_KEY": "{token}"}),
    "npm": ("npm_", {"npm_config_registry": "http://x:{token}@{address}/npm/", "npm_config_replace_registry_host": "always",
                     "NPM_TOKEN": "{token}", "NODE_AUTH_TOKEN": "{token}"}),
    "openai": ("sk-", {"OPENAI_BASE_URL": "{base}/v1", "OPENAI_API_BASE": "{base}/v1", "OPENAI_API_KEY": "{token}"}),
    "openrouter": ("sk-or-v1-", {"OPENROUTER_BASE_URL": "{base}/api/v1", "OPENROUTER_API_KEY": "{token}"}),
    "pypi": ("pypi-", {"PIP_INDEX_URL": "http://__token__:{token}@{address}/pypi/simple", "PIP_TRUSTED_HOST": "{address}",
                       "UV_DEFAULT_INDEX": "http://__token__:{token}@{address}/pypi/simple"}),
    "sentry": ("", {"SENTRY_URL": "http://sentry.io", "SENTRY_AUTH_TOKEN": "{token}"}),
    "slack": ("xoxb-", {"SLACK_API_URL": "{base}/api", "SLACK_BOT_TOKEN": "{token}"}),
    "stripe": ("sk_proxy_", {"STRIPE_API_BASE": "{base}", "STRIPE_API_KEY": "{token}", "STRIPE_SECRET_KEY": "{token}"}),
    "telegram": ("1000000000:", {"TELEGRAM_API_URL": "{base}", "TELEGRAM_BOT_TOKEN": "{token}"}),
}


def test_every_preset_is_in_the_table():
    assert set(PRESETS) == {path.stem for path in (TOP / "presets").glob("*.yaml")}


@pytest.fixture(scope="module")
def of_presets(tmp_path_factory):
    """All presets, each in a profile of its own, in one configuration."""
    text = "credentials:\n" + "".join(f"  {name}: {{ preset: {name}, secret: vault:{name} }}\n" for name in PRESETS)
    text += "profiles:\n" + "".join(f"  p-{name}: {{ credentials: [{name}] }}\n" for name in PRESETS)
    text += f"  all: {{ credentials: [{', '.join(PRESETS)}] }}\n"
    return Keystile(tmp_path_factory.mktemp("presets"), text)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_variables_of_a_preset(of_presets, name):
    prefix, should = PRESETS[name]
    address = f"127.0.0.1:{of_presets.port}"
    came = of_credentials(sourced(of_presets.env_file(f"p-{name}")))
    tokens = set(re.findall(rf"(?<![0-9A-Za-z]){TOKEN}(?![0-9A-Za-z])", "\n".join(came.values())))
    assert len(tokens) == 1, f"one token in all of {came}"
    token = prefix + tokens.pop()
    assert came == {
        key: value.format(base=f"http://{address}/{name}", address=address, token=token) for key, value in should.items()
    }


def test_all_presets_in_one_profile(of_presets):
    """No two of them want the same variable, and git's are numbered over the profile."""
    came = of_credentials(sourced(of_presets.env_file("all")))
    names = {name for _, variables in PRESETS.values() for name in variables if not name.startswith("GIT_CONFIG")}
    git = {f"GIT_CONFIG_{part}_{number}" for part in ("KEY", "VALUE") for number in range(6)}
    assert set(came) == names | git | {"GIT_CONFIG_COUNT"}
    assert came["GIT_CONFIG_COUNT"] == "6"
    assert [came[f"GIT_CONFIG_VALUE_{number}"] for number in range(6)] == [
        "https://github.com/", "git@github.com:", "ssh://git@github.com/",
        "https://gitlab.com/", "git@gitlab.com:", "ssh://git@gitlab.com/",
    ]
    assert len({came[f"GIT_CONFIG_KEY_{number}"] for number in range(6)}) == 2


GIT_URLS = [
    ("https://github.com/octo/hello.git", "/git-github/octo/hello.git"),
    ("git@github.com:octo/hello.git", "/git-github/octo/hello.git"),
    ("ssh://git@github.com/octo/hello", "/git-github/octo/hello"),
    ("https://gitlab.com/group/sub/project.git", "/git-gitlab/group/sub/project.git"),
    ("https://github.community/octo/hello.git", None),
    ("https://example.com/github.com/x.git", None),
]


@pytest.mark.parametrize("url,path", GIT_URLS, ids=[row[0] for row in GIT_URLS])
def test_git_goes_to_the_endpoint(of_presets, url, path):
    """As git itself reads the variables."""
    variables = sourced(of_presets.env_file("all"))
    done = subprocess.run(["git", "ls-remote", "--get-url", url], capture_output=True, text=True, cwd=of_presets.folder,
                          env={**clean_environment(GIT_CONFIG_NOSYSTEM="1"), **variables})
    came = re.sub(rf"x:{TOKEN}@", "x:TOKEN@", done.stdout.strip())
    assert came == (f"http://x:TOKEN@127.0.0.1:{of_presets.port}{path}" if path else url), done.stderr


# Values that a shell would like to run, split or change
HOSTILE = [
    "$(touch pwned)", "`touch pwned`", "'; touch pwned; '", "\"; touch pwned; \"", "a' 'b", "''", "\\", "\\'", "\\n",
    "$HOME ${HOME} $$ $1 $@", "!! !x", "* ? [a-z] ~ ~root", "a;b&c|d<e>f(g)h#i", "  blanks  around  ",
    "ключ ñ 🔑", "%s %d %%", "=x", "-n", "{X} {base_url", "x" * 3000, "a: b # c", '{"json": ["{token}", 1]}',
]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("options", ["-eu", "-f"])
def test_hostile_values(keystile, shell, options):
    """A shell that reads the file gets each value byte for byte, and runs none of it."""
    settings = ", ".join(f"H{number}: {quoted(text)}" for number, text in enumerate(HOSTILE))
    proxy = keystile(one_api("https://api.example.com", env=f"{{ set: {{ {settings} }} }}").replace(
        "    env: { base_url: API_URL, token: API_TOKEN }\n", ""), start=False)
    path = proxy.env_file()
    variables = sourced(path, shell, options)
    token = variables[f"H{len(HOSTILE) - 1}"].split('"')[3]
    assert re.fullmatch(TOKEN, token)
    for number, text in enumerate(HOSTILE):
        assert variables[f"H{number}"] == text.replace("{token}", token)
    assert not list(proxy.folder.glob("pwned"))
    assert sourced(path, shell, options) == variables, "reading it twice changes nothing"


def quoted(text):
    """As YAML's double quotes have it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def test_a_value_with_lines_is_refused(keystile):
    proxy = keystile(one_api("https://api.example.com"), start=False)
    proxy.config.write_text(proxy.text.replace("token: API_TOKEN", 'set: { A: "a\\nb" }'))
    result = proxy.envgen(check=False)
    assert result.returncode == 1 and "a control character or a line break" in result.err


# The file


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_only_its_owner_may_read_it(proxy, umask):
    before = os.umask(umask)
    try:
        path = proxy.env_file()
    finally:
        os.umask(before)
    assert mode_of(path) == 0o600
    path.chmod(0o644)
    proxy.env_file()
    assert mode_of(path) == 0o600


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_what_another_user_planted(proxy, kind):
    """Who may write in the folder must not choose what is written to."""
    path, victim = proxy.folder / "agent.env", proxy.folder / "victim"
    victim.write_text("mine")
    if kind == "link":
        path.symlink_to("victim")
    else:
        os.mkfifo(path)
    if os.geteuid() != 0:
        pytest.skip("takes root, to be two users")
    os.chown(path, 65534, 65534, follow_symlinks=False)
    done = proxy.envgen("-o", path, check=False)
    assert done.returncode == 1 and "another user" in done.err
    assert victim.read_text() == "mine"


def test_a_link_stays(proxy):
    target = proxy.folder / "target.env"
    target.write_text("old")
    (proxy.folder / "agent.env").symlink_to("target.env")
    path = proxy.env_file()
    assert path.is_symlink() and mode_of(target) == 0o600 and "export" in target.read_text()


def test_standard_output(proxy):
    text = proxy.env_file().read_text()
    for arguments in ([], ["-o", "-"], ["-o", "/dev/stdout"]):
        result = proxy.envgen("--profile", "agent", *arguments)
        assert (result.out, result.err) == (text, "")


def test_a_pipe_is_written_to(proxy):
    pipe = proxy.folder / "pipe"
    os.mkfifo(pipe)
    came = []
    reader = threading.Thread(target=lambda: came.append(pipe.read_text()))
    reader.start()
    proxy.envgen("-o", pipe)
    reader.join(10)
    assert came == [proxy.env_file().read_text()]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_killed_at_every_system_call(proxy):
    """Whatever the moment: the file is the old one or the new one, whole."""
    path = proxy.env_file()
    new = path.read_text()
    argv = [PROGRAMS / "envgen/envgen", "--config", proxy.config, "-o", path]
    total, code = run_until(argv, -1, b"", clean_environment(), proxy.folder)
    assert code == 0
    outcomes = []
    for stops in range(total, 0, -1):
        path.write_text("old")
        run_until(argv, stops, b"", clean_environment(), proxy.folder)
        outcomes.append({"old": "old", new: "new"}.get(path.read_text()))
        assert outcomes[-1], f"killed at stop {stops} of {total}: {path.read_text()[:100]!r}"
        if outcomes[-40:].count("old") == 40:
            break
    assert "new" in outcomes and outcomes[-1] == "old"
    last_new = max(place for place, outcome in enumerate(outcomes) if outcome == "new")
    # It may take some calls more than the time before.
    assert counts_vary() or last_new - outcomes.index("old") < 8, f"the new one came and went: {outcomes}"


def test_a_failure_leaves_the_old_file(proxy):
    path = proxy.env_file()
    before = path.read_bytes()
    proxy.config.write_text(proxy.text.replace("credentials: [api]", "credentials: [nope]"))
    assert proxy.envgen("-o", path, check=False).returncode == 1
    assert path.read_bytes() == before
    assert not list(proxy.folder.glob("agent.env.*"))


# Tokens

TWO_PROFILES = """credentials:
  one: { upstream: "https://one.example", secret: vault:one, inject: { query: key }, env: { token: ONE, base_url: ONE_URL } }
  two: { upstream: "https://two.example", secret: vault:two, inject: { query: key }, env: { token: TWO, token_prefix: t- } }
profiles:
  agent: { credentials: [one, two] }
  other: { extends: agent }
"""


def test_tokens_differ_and_stay(keystile):
    proxy = keystile(TWO_PROFILES, start=False)
    agent, other = proxy.environment("agent"), proxy.environment("other")
    tokens = [agent["ONE"], agent["TWO"], other["ONE"], other["TWO"], proxy.proxy_token("agent"), proxy.proxy_token("other")]
    assert len({token.removeprefix("t-") for token in tokens}) == 6
    assert agent["TWO"].startswith("t-")
    assert proxy.environment("agent") == agent
    proxy.config.write_text(proxy.text.replace("agent: { credentials", "agent: { token_version: 2, credentials"))
    changed = proxy.environment("agent")
    assert {changed["ONE"], changed["TWO"]}.isdisjoint(tokens) and proxy.environment("other")["ONE"] == other["ONE"]


def test_needs_no_vault_and_makes_the_session_key(proxy):
    before = proxy.environment()
    (proxy.folder / "secrets.vault").unlink()
    (proxy.folder / "vault.key").unlink()
    assert proxy.environment() == before
    (proxy.folder / "session.key").unlink()
    assert proxy.environment()["API_TOKEN"] != before["API_TOKEN"]
    assert mode_of(proxy.folder / "session.key") == 0o600


def test_holds_no_secret(keystile):
    proxy = keystile(one_api("https://api.example.com"), {"api": evidence.secret("env")}, start=False)
    assert not evidence.find(proxy.env_file().read_bytes())


def test_without_sessions(keystile):
    """No token is checked then; many libraries want one all the same."""
    proxy = keystile(one_api("https://api.example.com").replace("token: API_TOKEN", "token: API_TOKEN, token_prefix: sk-"),
                     head={"session": "none"}, start=False)
    variables = proxy.environment()
    assert variables["HTTP_PROXY"] == f"http://127.0.0.1:{proxy.port}"
    assert variables["API_TOKEN"] == "sk-keystile"
    assert "proxyPassword" not in variables["JAVA_TOOL_OPTIONS"]


# Endpoints


def test_a_wildcard_has_no_endpoint(keystile):
    """Its token is there, for the proxy's absolute-form; nothing points at an endpoint."""
    config = one_api("https://*.example.com").replace("base_url: API_URL, ", "")
    proxy = keystile(config, start=False)
    came = of_credentials(proxy.environment())
    came = {name: value for name, value in came.items() if name.startswith("API")}
    assert list(came) == ["API_TOKEN"] and re.fullmatch(TOKEN, came["API_TOKEN"])
    proxy.config.write_text(proxy.text.replace("token: API_TOKEN", "token: API_TOKEN, base_url: API_URL"))
    result = proxy.envgen(check=False)
    assert result.returncode == 1 and "an upstream with a wildcard has no reverse endpoint" in result.err


@pytest.mark.parametrize("path,wanted", [("/v1", "/v1"), ("/v1/", "/v1"), ("/", ""), ("/a/b", "/a/b")])
def test_a_base_url_never_ends_in_a_slash(keystile, path, wanted):
    proxy = keystile(one_api("https://api.example.com").replace("base_url: API_URL", f"base_url: API_URL, path: {path}"),
                     start=False)
    assert proxy.environment()["API_URL"] == f"http://127.0.0.1:{proxy.port}/api{wanted}"


def test_templates(keystile):
    more = 'set: { ALL: "{base_url}|{token}|{address}|{}|{X}" }'
    proxy = keystile(one_api("https://api.example.com").replace("token: API_TOKEN", f"token: API_TOKEN, {more}"), start=False)
    variables = proxy.environment()
    address = f"127.0.0.1:{proxy.port}"
    assert variables["ALL"] == f"http://{address}/api|{variables['API_TOKEN']}|{address}|{{}}|{{X}}"
