"""Each format of envgen is read by its real readers, and the same values come out of all of them (SPEC §6)."""

import json
import os
import re
import shlex
import shutil
import stat
import subprocess

import pytest

from peers import envfiles
from peers.config import one_api
from peers.wire import note

TOOLS = os.environ["KEYSTILE_TOOLS"]
SHELLS = [shell for shell in ("dash", "bash", "zsh", "busybox sh", "ksh", "mksh") if shutil.which(shell.split()[0])]

# A value, and whether a dotenv file can hold it so that all its readers agree
VALUES = [
    ("plain", True), ("", True), (" leading", True), ("trailing ", True), ("\ttabs\t".replace("\t", "  "), True),
    ("a b", True), ("a#b", True), ("a #b", True), ("#", True), (";", True), ("=", True), ("a=b=c", True), ("-Da=b|*.c", True),
    ("it's", True), ("'", True), ("''", True), ("'quoted'", True), ('"', True), ('"quoted"', True), ("`date`", True),
    ("$HOME", True), ("$$", True), ("$(id)", True), ("%s %d", True), ("!x", True), ("* ? [a] ~", True), ("a;b&c|d<e>f", True),
    ("back\\slash", True), ("\\n", True), ("\\t\\x41", True), ("ключ ñ 🔑", True), ("export A=b", True), ("a: b, c", True),
    ("<<EOF", True), ("A<<B=c", True), ("{X}", True), ('{"json": ["{token}", 1]}', True), ("x" * 5000, True),
    ("${HOME}", False), ("${HOME:-x}", False), ("\\", False), ("a\\\\b", False), ("a\\", False),
    ("it's \"both\"", False), ("it's $HOME", False), ("it's `x`", False), ("it's a\\b", False),
]
HELD = [f"V{number}" for number, (_, held) in enumerate(VALUES) if held]


def yaml_quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@pytest.fixture(scope="module")
def proxy(tmp_path_factory):
    from peers.keystile import Keystile

    settings = ", ".join(f"V{number}: {yaml_quoted(text)}" for number, (text, _) in enumerate(VALUES))
    config = one_api("https://api.example.com", hosts='[pypi.org, "*.pythonhosted.org"]').replace(
        "token: API_TOKEN }", f"token: API_TOKEN, token_prefix: 'a:b', set: {{ {settings} }} }}")
    return Keystile(tmp_path_factory.mktemp("formats"), config)


@pytest.fixture(scope="module")
def wanted(proxy):
    """What a POSIX shell has: test_envgen holds it against what the configuration says."""
    variables = proxy.environment()
    for name in ("PATH", "PWD", "OLDPWD", "SHLVL", "_", "HOME", "LANG", "MALLOC_PERTURB_"):
        variables.pop(name, None)
    values = {f"V{number}": text.replace("{token}", variables["API_TOKEN"]) for number, (text, _) in enumerate(VALUES)}
    assert {name: variables[name] for name in values} == values
    return {name: value for name, value in variables.items() if not name.endswith("SAN_OPTIONS")}


def written(proxy, form):
    path = proxy.folder / f"agent.{form}"
    result = proxy.envgen("--format", form, "-o", path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return path, result


def output(command, stdin=None, cwd=None, **env):
    done = subprocess.run(command, input=stdin, capture_output=True, cwd=cwd, timeout=60,
                          env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANG": "C.UTF-8", **env})
    note(shlex.join(map(str, command))[:200], "said", done.stderr)
    assert done.returncode == 0, done.stderr
    return done.stdout


def same(came, should):
    """The values of all that should be there; what else a reader's own environment has is not looked at."""
    assert {name: came.get(name) for name in should} == should


def of_environ(data):
    return dict(item.split("=", 1) for item in data.decode().split("\0") if item)


@pytest.mark.parametrize("shell", SHELLS)
def test_sh(proxy, wanted, shell):
    path, result = written(proxy, "sh")
    assert result.err == ""
    same(of_environ(output([*shell.split(), "-euc", '. "$1"; exec env -0', "x", path])), wanted)


def test_the_shells_are_there():
    assert {"dash", "bash", "zsh", "busybox sh"} <= set(SHELLS) and shutil.which("fish") and shutil.which("jq")


def test_fish(proxy, wanted):
    path, result = written(proxy, "fish")
    assert result.err == ""
    same(of_environ(output(["fish", "--no-config", "-c", f"source {shlex.quote(str(path))}; exec env -0"])), wanted)


def test_json(proxy, wanted):
    path, result = written(proxy, "json")
    assert result.err == ""
    assert json.loads(path.read_text()) == wanted
    assert json.loads(output(["jq", "-e", ".", path])) == wanted


# dotenv


@pytest.fixture(scope="module")
def dotenv(proxy, wanted):
    """The file, and what of the values it can hold; the rest is told."""
    path, result = written(proxy, "dotenv")
    told = re.findall(r"^envgen: warning: left out: (\w+): the format dotenv cannot hold it: .+$", result.err, re.MULTILINE)
    assert told == [f"V{number}" for number, (_, held) in enumerate(VALUES) if not held]
    assert len(result.err.splitlines()) == len(told)
    return path, {name: value for name, value in wanted.items() if name not in told}


def test_dotenv_of_node(dotenv):
    path, should = dotenv
    script = "console.log(JSON.stringify(require('dotenv').parse(require('fs').readFileSync(process.argv[1]))))"
    came = json.loads(output([f"{TOOLS}/bin/node", "-e", script, path], NODE_PATH=f"{TOOLS}/node/node_modules"))
    assert came == should


def test_env_file_of_node(dotenv):
    path, should = dotenv
    command = [f"{TOOLS}/bin/node", f"--env-file={path}", "-e", "console.log(JSON.stringify(process.env))"]
    same(json.loads(output(command)), should)


def test_dotenv_of_python(dotenv):
    from dotenv import dotenv_values

    path, should = dotenv
    assert dict(dotenv_values(path)) == should


def test_dotenv_of_compose(dotenv):
    path, should = dotenv
    assert envfiles.compose(path.read_bytes()) == should


@pytest.mark.skipif(not shutil.which("docker-compose"), reason="docker-compose is not installed")
def test_docker_compose(dotenv, tmp_path):
    """The program itself, which prints a `$` as two."""
    path, should = dotenv
    (tmp_path / "docker-compose.yaml").write_text(f'version: "3"\nservices: {{ a: {{ image: x, env_file: "{path}" }} }}\n')
    import yaml

    came = yaml.safe_load(output(["docker-compose", "config"], cwd=tmp_path))["services"]["a"]["environment"]
    assert {name: str(value if value is not None else "").replace("$$", "$") for name, value in came.items()} == should


# Readers that need more than a file


@pytest.mark.parametrize("form", ["docker", "k8s", "systemd"])
def test_grammar(proxy, wanted, form):
    path, result = written(proxy, form)
    assert result.err == ""
    read = {"docker": envfiles.docker, "k8s": envfiles.kubectl, "systemd": envfiles.systemd}[form]
    assert read(path.read_bytes()) == wanted


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
def test_kubectl(proxy, wanted):
    path, _ = written(proxy, "k8s")
    made = output(["kubectl", "create", "configmap", "x", f"--from-env-file={path}", "--dry-run=client", "-o", "json"])
    assert json.loads(made)["data"] == wanted


GENERATOR = "/usr/lib/systemd/user-environment-generators/30-systemd-environment-d-generator"


@pytest.mark.skipif(not os.path.exists(GENERATOR), reason="systemd is not installed")
def test_parser_of_systemd(proxy, wanted, tmp_path):
    """environment.d is read by the parser of EnvironmentFile=; but it fills in `$` in what came out, and drops what is empty."""
    path, _ = written(proxy, "systemd")
    (tmp_path / "environment.d").mkdir()
    shutil.copy(path, tmp_path / "environment.d/a.conf")
    came = output([GENERATOR], XDG_CONFIG_HOME=str(tmp_path))
    shell = output(["bash", "-c", f"set -a; {came.decode()}\nexec env -0"])
    same(of_environ(shell), {name: value for name, value in wanted.items() if value and "$" not in value})


LONG = """profiles:
  agent: { hosts: [%s] }
credentials:
  api: { upstream: "https://api.example.com", secret: vault:api, inject: { query: key } }
"""


@pytest.mark.parametrize("form,most", [("docker", 65534), ("k8s", 65534), ("dotenv", 131071), ("json", 131071)])
def test_long_lists_are_cut_to_what_is_read(keystile, form, most):
    """docker refuses a longer line, and kubectl drops it and all behind it."""
    hosts = [f"host-{number}.some.example.org" for number in range(6000)]
    proxy = keystile(LONG % ", ".join(hosts), start=False)
    path, result = written(proxy, form)
    read = {"docker": envfiles.docker, "k8s": envfiles.kubectl, "dotenv": envfiles.compose, "json": json.loads}[form]
    came = read(path.read_bytes())
    longest = max(len(name + "=" + value) for name, value in came.items())
    assert most - 40 < longest <= most and len(came) == 18
    assert "for which there is no room in a variable" in result.err


@pytest.mark.parametrize("form,most", [("docker", 65534), ("k8s", 65534), ("systemd", 131071), ("sh", 131071)])
def test_a_value_too_long_for_a_format(keystile, form, most):
    proxy = keystile(one_api("https://api.example.com").replace(
        "token: API_TOKEN", f"token: API_TOKEN, set: {{ A: {'x' * (most - 2)}, B: {'x' * (most - 1)} }}"), start=False)
    path, result = written(proxy, form)
    who = "a program can be given" if most == 131071 else f"the format {form} holds"
    assert result.err == f"envgen: warning: left out: B: it has {most + 1} bytes with its name, and {who} {most} at most\n"
    assert "\nB=" not in path.read_text() and "B='" not in path.read_text()


# github


def masks(text):
    return [line.removeprefix("::add-mask::").replace("%25", "%") for line in text.splitlines() if line.startswith("::add-mask::")]


def tokens(wanted):
    """The proxy's, the credential's, and the latter as a URL has it."""
    token = wanted["API_TOKEN"]
    return [wanted["HTTP_PROXY"].split(":")[2].split("@")[0], token, token.replace(":", "%3A")]


def test_github(proxy, wanted):
    """Appended to what the job names, with the tokens masked before anything could show them."""
    path = proxy.folder / "github_env"
    path.write_text("BEFORE=1")
    result = proxy.envgen("--format", "github", env={"GITHUB_ENV": str(path)})
    assert (masks(result.out), result.err) == (tokens(wanted), "")
    assert len(result.out.splitlines()) == 3, "nothing but masks"
    assert envfiles.github(path.read_bytes()) == {"BEFORE": "1", **wanted}
    proxy.envgen("--format", "github", env={"GITHUB_ENV": str(path)})
    assert envfiles.github(path.read_bytes()) == {"BEFORE": "1", **wanted}
    assert path.read_text().count("API_TOKEN=") == 2, "appended"


def test_github_to_a_file_of_its_own(proxy, wanted):
    path = proxy.folder / "github_new"
    path.unlink(missing_ok=True)
    result = proxy.envgen("--format", "github", "-o", path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and masks(result.out) == tokens(wanted)
    assert envfiles.github(path.read_bytes()) == wanted


def test_github_to_standard_output(proxy, wanted):
    result = proxy.envgen("--format", "github", "-o", "-")
    assert masks(result.out) == tokens(wanted)
    assert envfiles.github(result.out.split("\n", 3)[3].encode()) == wanted


@pytest.mark.parametrize("env", [{}, {"GITHUB_ENV": ""}])
def test_github_outside_of_a_job(proxy, env):
    result = proxy.envgen("--format", "github", check=False, env=env)
    assert (result.returncode, result.out) == (1, "")
    assert result.err == ("envgen: error: --format github: GITHUB_ENV is not set, so this is no step of a GitHub job; say where "
                          "to append with -o FILE\n")


def test_github_keeps_names_to_itself(keystile):
    env = "{ base_url: [GITHUB_API_URL, CI, OTHER], token: [GITHUB_TOKEN, RUNNER_TOKEN, NODE_OPTIONS] }"
    proxy = keystile(one_api("https://api.example.com").replace("{ base_url: API_URL, token: API_TOKEN }", env), start=False)
    path, result = written(proxy, "github")
    assert result.err == "".join(
        f"envgen: warning: left out: {name}: the format github cannot hold it: {why}\n" for name, why in [
            ("GITHUB_API_URL", "the runner sets it itself, in every step"), ("CI", "the runner sets it itself, in every step"),
            ("RUNNER_TOKEN", "the runner sets it itself, in every step"), ("NODE_OPTIONS", "the runner refuses it")])
    assert {"OTHER", "GITHUB_TOKEN"} <= set(envfiles.github(path.read_bytes()))


def test_without_sessions_nothing_is_masked(keystile):
    proxy = keystile(one_api("https://api.example.com"), head={"session": "none"}, start=False)
    assert proxy.envgen("--format", "github", "-o", proxy.folder / "x").out == ""


@pytest.mark.parametrize("form", ["sh", "dotenv", "docker", "systemd", "json", "fish", "k8s"])
def test_standard_output_is_the_same(proxy, form):
    path, result = written(proxy, form)
    assert proxy.envgen("--format", form).out == path.read_text()


def test_an_unknown_format(proxy):
    result = proxy.envgen("--format", "csh", check=False)
    assert (result.returncode, result.err) == (1, "envgen: error: --format csh: there is no such format; there is: sh, dotenv, "
                                                  "docker, systemd, github, json, fish, k8s\n")
